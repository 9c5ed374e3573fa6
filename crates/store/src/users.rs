//! People who sign in. Passwords arrive here as hashes; checking them is the server's.

use model::{Name, Role, UserId, UtcMicros};
use serde_json::{Value, json};

use crate::{
    AuditEntry, LIST_ROWS_MAX, NewUser, Scope, Store, StoreError, TokenHash, UserCredential,
    UserPatch, UserRow, audit,
    db::{Conn, DbRow, Tx, sql},
    error::name_taken,
};

const USER_ADD: &str = "
    INSERT INTO user_account (
        org_id, name, role, password_hash, is_active, created_at, updated_at
    ) VALUES ($1, $2, $3, $4, 1, $5, $5)
    RETURNING id";
const USER_LIST: &str = "
    SELECT id, name, role, is_active, created_at, updated_at
      FROM user_account
     WHERE org_id = $1
     ORDER BY name
     LIMIT $2";
const USER_GET: &str = "
    SELECT id, name, role, is_active, created_at, updated_at, password_hash
      FROM user_account
     WHERE org_id = $1
       AND id = $2";
const USER_BY_NAME: &str = "
    SELECT id, name, role, is_active, created_at, updated_at, password_hash
      FROM user_account
     WHERE org_id = $1
       AND name = $2";
const USER_COUNT: &str = "SELECT count(*) FROM user_account WHERE org_id = $1";
const ADMIN_OTHERS: &str = "
    SELECT count(*)
      FROM user_account
     WHERE org_id = $1
       AND id <> $2
       AND role = 'admin'
       AND is_active = 1";
const USER_SET: &str = "
    UPDATE user_account
       SET name = $3, role = $4, is_active = $5, updated_at = $6
     WHERE org_id = $1
       AND id = $2";
const PASSWORD_SET: &str = "
    UPDATE user_account
       SET password_hash = $3, updated_at = $4
     WHERE org_id = $1
       AND id = $2";
const USER_DELETE: &str = "DELETE FROM user_account WHERE org_id = $1 AND id = $2";
const SESSIONS_END: &str = "
    DELETE FROM session
     WHERE org_id = $1
       AND user_id = $2
       AND token_hash <> $3";

/// No token hashes to nothing: with it, every session ends.
const NO_SESSION: &[u8] = &[];

impl Store {
    /// Creates an active user.
    pub async fn user_create(
        &self,
        scope: &Scope,
        new: &NewUser,
        now: UtcMicros,
    ) -> Result<UserRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        if i64::from(LIST_ROWS_MAX) <= count(&mut tx, scope).await? {
            return Err(StoreError::TooMany { what: "users", max: LIST_ROWS_MAX as usize });
        }
        let row = sql(USER_ADD)
            .bind(scope.org.0)
            .bind(new.name.as_str())
            .bind(new.role.as_str())
            .bind(&new.password_hash)
            .bind(now.0)
            .fetch_one(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        let user = UserRow {
            id: UserId(row.number("id")?),
            name: new.name.clone(),
            role: new.role,
            is_active: true,
            created_at: now,
            updated_at: now,
        };
        record(&mut tx, scope, "user.create", (None, Some(&user)), now).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Lists in name order.
    pub async fn user_list(&self, scope: &Scope) -> Result<Vec<UserRow>, StoreError> {
        let rows = sql(USER_LIST)
            .bind(scope.org.0)
            .bind(LIST_ROWS_MAX)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        rows.iter().map(user_row).collect()
    }

    pub async fn user_get(&self, scope: &Scope, id: UserId) -> Result<UserRow, StoreError> {
        Ok(self.user_credential(scope, id).await?.user)
    }

    pub async fn user_count(&self, scope: &Scope) -> Result<u64, StoreError> {
        let count = count(&mut *self.read(scope.org).await?, scope).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Finds whom to check a password against; `None` if there is nobody of that name.
    pub async fn user_by_name(
        &self,
        scope: &Scope,
        name: &Name,
    ) -> Result<Option<UserCredential>, StoreError> {
        let row = sql(USER_BY_NAME)
            .bind(scope.org.0)
            .bind(name.as_str())
            .fetch_optional(&mut *self.read(scope.org).await?)
            .await?;
        row.as_ref().map(credential).transpose()
    }

    pub async fn user_credential(
        &self,
        scope: &Scope,
        id: UserId,
    ) -> Result<UserCredential, StoreError> {
        get(&mut *self.read(scope.org).await?, scope, id).await
    }

    /// Changes what `patch` names. Deactivating ends the user's sessions.
    ///
    /// # Errors
    ///
    /// [`StoreError::LastAdmin`] if nobody could manage the installation afterwards.
    pub async fn user_update(
        &self,
        scope: &Scope,
        id: UserId,
        patch: &UserPatch,
        now: UtcMicros,
    ) -> Result<UserRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope, id).await?.user;
        let after = UserRow {
            name: patch.name.clone().unwrap_or_else(|| before.name.clone()),
            role: patch.role.unwrap_or(before.role),
            is_active: patch.is_active.unwrap_or(before.is_active),
            updated_at: now,
            ..before.clone()
        };
        if !(after.is_active && after.role == Role::Admin) {
            assert_other_admin(&mut tx, scope, &before).await?;
        }
        sql(USER_SET)
            .bind(scope.org.0)
            .bind(id.0)
            .bind(after.name.as_str())
            .bind(after.role.as_str())
            .bind(after.is_active)
            .bind(now.0)
            .execute(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        if !after.is_active {
            end_sessions(&mut tx, scope, id, None).await?;
        }
        let change = (Some(&before), Some(&after));
        record(&mut tx, scope, "user.update", change, now).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Sets the password and ends every session of the user but `keep_session`.
    pub async fn user_set_password_hash(
        &self,
        scope: &Scope,
        id: UserId,
        hash: &str,
        keep_session: Option<&TokenHash>,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let user = get(&mut tx, scope, id).await?.user;
        sql(PASSWORD_SET)
            .bind(scope.org.0)
            .bind(id.0)
            .bind(hash)
            .bind(now.0)
            .execute(&mut tx)
            .await?;
        end_sessions(&mut tx, scope, id, keep_session).await?;
        let change = (Some(&user), Some(&user));
        record(&mut tx, scope, "user.set_password", change, now).await?;
        tx.commit().await
    }

    /// Deletes the user with its sessions.
    ///
    /// # Errors
    ///
    /// [`StoreError::LastAdmin`] if nobody could manage the installation afterwards.
    pub async fn user_delete(
        &self,
        scope: &Scope,
        id: UserId,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope, id).await?.user;
        assert_other_admin(&mut tx, scope, &before).await?;
        sql(USER_DELETE).bind(scope.org.0).bind(id.0).execute(&mut tx).await?;
        record(&mut tx, scope, "user.delete", (Some(&before), None), now).await?;
        tx.commit().await
    }
}

async fn count(connection: &mut Conn, scope: &Scope) -> Result<i64, StoreError> {
    sql(USER_COUNT).bind(scope.org.0).scalar(connection).await
}

async fn get(
    connection: &mut Conn,
    scope: &Scope,
    id: UserId,
) -> Result<UserCredential, StoreError> {
    let row = sql(USER_GET).bind(scope.org.0).bind(id.0).fetch_optional(connection).await?;
    credential(&row.ok_or(StoreError::NotFound { what: "user" })?)
}

/// Refuses to lose `user` as an administrator if it is the last active one.
async fn assert_other_admin(
    connection: &mut Conn,
    scope: &Scope,
    user: &UserRow,
) -> Result<(), StoreError> {
    if !(user.is_active && user.role == Role::Admin) {
        return Ok(());
    }
    let others: i64 =
        sql(ADMIN_OTHERS).bind(scope.org.0).bind(user.id.0).scalar(connection).await?;
    if others == 0 {
        return Err(StoreError::LastAdmin);
    }
    Ok(())
}

/// Ends the user's sessions but `keep`; says how many.
pub(crate) async fn end_sessions(
    connection: &mut Conn,
    scope: &Scope,
    id: UserId,
    keep: Option<&TokenHash>,
) -> Result<u64, StoreError> {
    sql(SESSIONS_END)
        .bind(scope.org.0)
        .bind(id.0)
        .bind(keep.map_or(NO_SESSION, |hash| hash.as_slice()))
        .execute(connection)
        .await
}

pub(crate) fn user_row(row: &DbRow) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: UserId(row.number("id")?),
        name: row.name("name")?,
        role: row.parsed("role", Role::parse)?,
        is_active: row.is("is_active")?,
        created_at: row.at("created_at")?,
        updated_at: row.at("updated_at")?,
    })
}

fn credential(row: &DbRow) -> Result<UserCredential, StoreError> {
    Ok(UserCredential { user: user_row(row)?, password_hash: row.value("password_hash")? })
}

async fn record(
    tx: &mut Tx,
    scope: &Scope,
    action: &str,
    (before, after): (Option<&UserRow>, Option<&UserRow>),
    now: UtcMicros,
) -> Result<(), StoreError> {
    let Some(user) = after.or(before) else {
        return Ok(());
    };
    let entry = AuditEntry {
        action,
        object_kind: "user",
        object_id: Some(user.id.0),
        object_name: user.name.as_str(),
        before: before.map(user_json),
        after: after.map(user_json),
    };
    audit::record(tx, scope, &entry, now).await
}

fn user_json(user: &UserRow) -> Value {
    json!({
        "name": user.name.as_str(),
        "role": user.role.as_str(),
        "is_active": user.is_active,
    })
}
