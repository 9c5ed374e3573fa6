//! Who may sign in.

use model::{Name, Role, UserId};
use store::{NewUser, Scope, UserPatch, UserRow};

use super::{
    App, AppError,
    password::{self, NewPassword},
};
use crate::home;

impl App {
    pub(crate) async fn users(&self, scope: &Scope) -> Result<Vec<UserRow>, AppError> {
        Ok(self.store.user_list(scope).await?)
    }

    pub(crate) async fn user(&self, scope: &Scope, id: UserId) -> Result<UserRow, AppError> {
        Ok(self.store.user_get(scope, id).await?)
    }

    pub(crate) async fn user_create(
        &self,
        scope: &Scope,
        name: Name,
        role: Role,
        password: NewPassword,
    ) -> Result<UserRow, AppError> {
        let password_hash = password::hash(password).await.map_err(AppError::internal)?;
        let new = NewUser { name, role, password_hash };
        Ok(self.store.user_create(scope, &new, self.clock.now()).await?)
    }

    /// Changes a user; with a new password all the user's sessions end.
    pub(crate) async fn user_update(
        &self,
        scope: &Scope,
        id: UserId,
        patch: &UserPatch,
        password: Option<NewPassword>,
    ) -> Result<UserRow, AppError> {
        // Before anything is changed: a hash that fails must not leave half of it.
        let hash = match password {
            Some(password) => Some(password::hash(password).await.map_err(AppError::internal)?),
            None => None,
        };
        let now = self.clock.now();
        let row = self.store.user_update(scope, id, patch, now).await?;
        if let Some(hash) = hash {
            self.store.user_set_password_hash(scope, id, &hash, None, now).await?;
            self.forget_first_password(&row.name);
        }
        Ok(row)
    }

    /// What was the first password of `user` is none any more.
    pub(crate) fn forget_first_password(&self, user: &Name) {
        home::forget_first_password(&self.config.data_dir, user.as_str());
    }

    /// Gives a user a new password that nobody chose, and ends all the user's sessions.
    pub(crate) async fn user_reset_password(
        &self,
        scope: &Scope,
        id: UserId,
    ) -> Result<String, AppError> {
        let new = NewPassword::generate().map_err(AppError::internal)?;
        let text = new.reveal().to_owned();
        let hash = password::hash(new).await.map_err(AppError::internal)?;
        let user = self.store.user_credential(scope, id).await?.user;
        self.store.user_set_password_hash(scope, id, &hash, None, self.clock.now()).await?;
        self.forget_first_password(&user.name);
        Ok(text)
    }

    pub(crate) async fn user_delete(&self, scope: &Scope, id: UserId) -> Result<(), AppError> {
        Ok(self.store.user_delete(scope, id, self.clock.now()).await?)
    }
}
