//! Signing in and out, and who a session or an API key speaks for.

use std::{net::IpAddr, time::Duration};

use model::{Name, OrgId, Role, UserId, UtcMicros};
use store::{
    Actor, ApiKeyRow, AuditEntry, NewSession, ORG_DEFAULT, Scope, SessionRow, StoreError,
    TokenHash, UserRow,
};

use super::{
    App, AppError, FieldError,
    keys::{self, Secret},
    password::{self, NewPassword},
};

/// A session ends when nobody used it for this long.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(12 * 3600);
/// A session ends after this long, used or not.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Use is written down this often, not with each request.
const TOUCH_AFTER: Duration = Duration::from_secs(60);

/// A new session: the token goes into the cookie and exists nowhere else.
pub(crate) struct SignedIn {
    pub(crate) token: Secret,
    pub(crate) csrf_token: String,
    pub(crate) user: UserRow,
}

/// How the request proved who it comes from.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    Session { token_hash: TokenHash, csrf_token: String, user: UserRow },
    ApiKey(ApiKeyRow),
}

impl Proof {
    pub(crate) fn role(&self) -> Role {
        match self {
            Proof::Session { user, .. } => user.role,
            Proof::ApiKey(key) => key.role,
        }
    }

    pub(crate) fn actor(&self) -> Actor {
        match self {
            Proof::Session { user, .. } => Actor::User { id: user.id, name: user.name.clone() },
            Proof::ApiKey(key) => Actor::ApiKey { id: key.id, name: key.name.clone() },
        }
    }
}

impl App {
    /// Signs a person in.
    ///
    /// An unknown name, an inactive user and a wrong password get the same answer after the same
    /// time.
    pub(crate) async fn sign_in(
        &self,
        name: &str,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<SignedIn, AppError> {
        let now = self.clock.now();
        let system = Scope::system(ORG_DEFAULT);
        let name = Name::parse(name).ok();
        // What cannot be a name is counted as one: strangers do not choose the size of the key.
        let counted_as = name.as_ref().map_or("", Name::as_str);
        self.attempts
            .start(counted_as, address, now)
            .map_err(|retry_after| AppError::TooManyAttempts { retry_after })?;
        let credential = match &name {
            Some(name) => self.store.user_by_name(&system, name).await?,
            None => None,
        };
        let credential = credential.filter(|credential| credential.user.is_active);
        let stored = credential.as_ref().map(|credential| credential.password_hash.clone());
        let is_right = password::verify(password, stored).await.map_err(AppError::internal)?;
        let Some(credential) = credential.filter(|_| is_right) else {
            self.audit_refusal(&system, counted_as, now).await?;
            return Err(AppError::BadCredentials);
        };
        self.attempts.succeed(counted_as, address);
        self.session_start(credential.user, now).await
    }

    async fn audit_refusal(
        &self,
        scope: &Scope,
        name: &str,
        now: UtcMicros,
    ) -> Result<(), AppError> {
        self.conductor.metrics().sign_ins_refused.inc();
        let Some(untold) = self.attempts.tell_refusal(now) else {
            return Ok(());
        };
        let after = (untold != 0).then(|| serde_json::json!({ "refused_unlisted": untold }));
        let entry = AuditEntry {
            action: "session.refuse",
            object_kind: "user",
            object_id: None,
            object_name: name,
            before: None,
            after,
        };
        Ok(self.store.audit_append(scope, &entry, now).await?)
    }

    async fn session_start(&self, user: UserRow, now: UtcMicros) -> Result<SignedIn, AppError> {
        let token = Secret::generate("").map_err(AppError::internal)?;
        let csrf_token = Secret::generate("").map_err(AppError::internal)?.text;
        let actor = Actor::User { id: user.id, name: user.name.clone() };
        let scope = Scope { org: ORG_DEFAULT, actor };
        let session = NewSession {
            token_hash: token.hash,
            user: user.id,
            csrf_token: csrf_token.clone(),
            expires_at: now + IDLE_MAX,
        };
        self.store.session_create(&scope, &session, now).await?;
        let entry = AuditEntry {
            action: "session.create",
            object_kind: "user",
            object_id: Some(user.id.0),
            object_name: user.name.as_str(),
            before: None,
            after: None,
        };
        self.store.audit_append(&scope, &entry, now).await?;
        Ok(SignedIn { token, csrf_token, user })
    }

    /// Returns whom a session token speaks for, and notes that it was used.
    pub(crate) async fn session_proof(
        &self,
        token: &str,
    ) -> Result<Option<(OrgId, Proof)>, AppError> {
        let now = self.clock.now();
        let token_hash = keys::hash(token);
        let Some(session) = self.store.session_find(&token_hash, now).await? else {
            return Ok(None);
        };
        let ends_at = session.created_at + AGE_MAX;
        if ends_at <= now {
            self.store.session_delete(&token_hash).await?;
            return Ok(None);
        }
        if TOUCH_AFTER <= now.since(session.last_seen_at) {
            let expires_at = (now + IDLE_MAX).min(ends_at);
            note_use(self.store.session_touch(&token_hash, now, expires_at).await)?;
        }
        let SessionRow { org, user, csrf_token, .. } = session;
        Ok(Some((org, Proof::Session { token_hash, csrf_token, user })))
    }

    /// Returns whom an API key speaks for, and notes that it was used.
    pub(crate) async fn api_key_proof(
        &self,
        key: &str,
    ) -> Result<Option<(OrgId, Proof)>, AppError> {
        if !key.starts_with(keys::API_KEY_PREFIX) {
            return Ok(None);
        }
        let now = self.clock.now();
        let Some((org, row)) = self.store.api_key_find(&keys::hash(key), now).await? else {
            return Ok(None);
        };
        let is_noted = row.last_used_at.is_some_and(|used_at| now.since(used_at) < TOUCH_AFTER);
        if !is_noted {
            note_use(self.store.api_key_used(row.id, now).await)?;
        }
        Ok(Some((org, Proof::ApiKey(row))))
    }

    /// Ends a session.
    pub(crate) async fn sign_out(
        &self,
        scope: &Scope,
        user: &UserRow,
        token_hash: &TokenHash,
    ) -> Result<(), AppError> {
        self.store.session_delete(token_hash).await?;
        let entry = AuditEntry {
            action: "session.delete",
            object_kind: "user",
            object_id: Some(user.id.0),
            object_name: user.name.as_str(),
            before: None,
            after: None,
        };
        Ok(self.store.audit_append(scope, &entry, self.clock.now()).await?)
    }

    /// Changes one's own password; the user's other sessions end.
    pub(crate) async fn password_change(
        &self,
        scope: &Scope,
        user: UserId,
        session: &TokenHash,
        current: String,
        new: NewPassword,
        address: Option<IpAddr>,
    ) -> Result<(), AppError> {
        let credential = self.store.user_credential(scope, user).await?;
        let name = credential.user.name.as_str();
        // A stolen session must not become a place to guess the password.
        self.attempts
            .start(name, address, self.clock.now())
            .map_err(|retry_after| AppError::TooManyAttempts { retry_after })?;
        let is_right = password::verify(current, Some(credential.password_hash)).await;
        if !is_right.map_err(AppError::internal)? {
            let error = FieldError::new("current_password", "is not your password");
            return Err(AppError::Invalid(vec![error]));
        }
        self.attempts.succeed(name, address);
        let hash = password::hash(new).await.map_err(AppError::internal)?;
        let now = self.clock.now();
        self.store.user_set_password_hash(scope, user, &hash, Some(session), now).await?;
        self.forget_first_password(&credential.user.name);
        Ok(())
    }
}

/// Who reads must not be sent away because a full disk keeps the note of it from being written:
/// the pages that say so are read then.
fn note_use(noted: Result<(), StoreError>) -> Result<(), StoreError> {
    match noted {
        Err(error) if error.is_of_place() => {
            tracing::debug!(error = %crate::chain(&error), "a use is not noted");
            Ok(())
        }
        noted => noted,
    }
}
