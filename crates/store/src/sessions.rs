//! What a caller shows to be let in: sessions of people and keys of programs, both as hashes.
//!
//! Both are found before it is known whose they are, so these two searches have no scope; they
//! yield it. Who was active when is not audited here; logins are, by the server.

use model::{ApiKeyId, OrgId, Role, UtcMicros};
use serde_json::json;

use crate::{
    ApiKeyRow, AuditEntry, LIST_ROWS_MAX, NewApiKey, NewSession, Scope, SessionRow, Store,
    StoreError, TokenHash, audit,
    db::{DbRow, sql},
    error::name_taken,
    users,
};

const SESSION_ADD: &str = "
    INSERT INTO session (
        token_hash, org_id, user_id, csrf_token, created_at, last_seen_at, expires_at
    ) SELECT $1, org_id, id, $4, $5, $5, $6
        FROM user_account
       WHERE org_id = $2
         AND id = $3
         AND is_active = 1";
const SESSION_FIND: &str = "
    SELECT session.org_id, session.csrf_token, session.created_at AS began_at,
           session.last_seen_at, session.expires_at,
           user_account.id, user_account.name, user_account.role, user_account.is_active,
           user_account.created_at, user_account.updated_at
      FROM session
      JOIN user_account ON user_account.id = session.user_id
     WHERE session.token_hash = $1
       AND session.expires_at > $2
       AND user_account.is_active = 1";
// Above organisations: a session is found by its token.
const SESSION_TOUCH: &str = "
    UPDATE session SET last_seen_at = $2, expires_at = $3 WHERE token_hash = $1";
// Above organisations: a session is found by its token.
const SESSION_DELETE: &str = "DELETE FROM session WHERE token_hash = $1";
// Above organisations: every session ends.
const SESSIONS_SWEEP: &str = "DELETE FROM session WHERE expires_at <= $1";

const KEY_COUNT: &str = "SELECT count(*) FROM api_key WHERE org_id = $1";
const KEY_ADD: &str = "
    INSERT INTO api_key (
        org_id, name, key_hash, role, permissions, created_by, created_at, expires_at
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    RETURNING org_id, id, name, role, permissions, created_by, created_at, expires_at,
              last_used_at";
const KEY_LIST: &str = "
    SELECT org_id, id, name, role, permissions, created_by, created_at, expires_at, last_used_at
      FROM api_key
     WHERE org_id = $1
     ORDER BY name
     LIMIT $2";
const KEY_DELETE: &str = "
    DELETE FROM api_key
     WHERE org_id = $1
       AND id = $2
    RETURNING org_id, id, name, role, permissions, created_by, created_at, expires_at,
              last_used_at";
const KEY_FIND: &str = "
    SELECT org_id, id, name, role, permissions, created_by, created_at, expires_at, last_used_at
      FROM api_key
     WHERE key_hash = $1
       AND (expires_at IS NULL OR expires_at > $2)";
// Above organisations: a key is found by its secret; its id is its own.
const KEY_USED: &str = "UPDATE api_key SET last_used_at = $2 WHERE id = $1";

impl Store {
    /// Begins a session of an active user.
    pub async fn session_create(
        &self,
        scope: &Scope,
        new: &NewSession,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let added = sql(SESSION_ADD)
            .bind(new.token_hash.as_slice())
            .bind(scope.org.0)
            .bind(new.user.0)
            .bind(&new.csrf_token)
            .bind(now.0)
            .bind(new.expires_at.0)
            .execute(&mut tx)
            .await?;
        if added == 0 {
            return Err(StoreError::NotFound { what: "user" });
        }
        tx.commit().await
    }

    /// Finds a session that has not expired, of a user who is active.
    pub async fn session_find(
        &self,
        token: &TokenHash,
        now: UtcMicros,
    ) -> Result<Option<SessionRow>, StoreError> {
        let row = sql(SESSION_FIND)
            .bind(token.as_slice())
            .bind(now.0)
            .fetch_optional(&mut *self.read_above().await?)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(SessionRow {
            org: OrgId(row.number("org_id")?),
            user: users::user_row(&row)?,
            csrf_token: row.value("csrf_token")?,
            created_at: row.at("began_at")?,
            last_seen_at: row.at("last_seen_at")?,
            expires_at: row.at("expires_at")?,
        }))
    }

    /// Records that a session was used and how long it now lasts.
    ///
    /// It costs a durable write: a caller does it once a minute, not once a request.
    pub async fn session_touch(
        &self,
        token: &TokenHash,
        last_seen_at: UtcMicros,
        expires_at: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        sql(SESSION_TOUCH)
            .bind(token.as_slice())
            .bind(last_seen_at.0)
            .bind(expires_at.0)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Ends a session; says whether there was one.
    pub async fn session_delete(&self, token: &TokenHash) -> Result<bool, StoreError> {
        let mut tx = self.write_above().await?;
        let ended = sql(SESSION_DELETE).bind(token.as_slice()).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(0 < ended)
    }

    /// Deletes what has expired; says how many.
    pub async fn sessions_sweep(&self, now: UtcMicros) -> Result<u64, StoreError> {
        let mut tx = self.write_above().await?;
        let swept = sql(SESSIONS_SWEEP).bind(now.0).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(swept)
    }

    /// Creates a key. Its secret never comes here.
    pub async fn api_key_create(
        &self,
        scope: &Scope,
        new: &NewApiKey,
        now: UtcMicros,
    ) -> Result<ApiKeyRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let count: i64 = sql(KEY_COUNT).bind(scope.org.0).scalar(&mut tx).await?;
        if i64::from(LIST_ROWS_MAX) <= count {
            return Err(StoreError::TooMany { what: "API keys", max: LIST_ROWS_MAX as usize });
        }
        let row = sql(KEY_ADD)
            .bind(scope.org.0)
            .bind(new.name.as_str())
            .bind(new.key_hash.as_slice())
            .bind(new.role.as_str())
            .bind(new.permissions.as_deref())
            .bind(scope.actor.name())
            .bind(now.0)
            .bind(new.expires_at.map(|at| at.0))
            .fetch_one(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        let key = key_row(&row)?;
        let entry = AuditEntry { after: Some(key_json(&key)), ..key_entry("api_key.create", &key) };
        audit::record(&mut tx, scope, &entry, now).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Lists in name order.
    pub async fn api_key_list(&self, scope: &Scope) -> Result<Vec<ApiKeyRow>, StoreError> {
        let rows = sql(KEY_LIST)
            .bind(scope.org.0)
            .bind(LIST_ROWS_MAX)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        rows.iter().map(key_row).collect()
    }

    pub async fn api_key_delete(
        &self,
        scope: &Scope,
        id: ApiKeyId,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let row = sql(KEY_DELETE).bind(scope.org.0).bind(id.0).fetch_optional(&mut tx).await?;
        let key = key_row(&row.ok_or(StoreError::NotFound { what: "API key" })?)?;
        let entry =
            AuditEntry { before: Some(key_json(&key)), ..key_entry("api_key.delete", &key) };
        audit::record(&mut tx, scope, &entry, now).await?;
        tx.commit().await
    }

    /// Finds a key that has not expired.
    pub async fn api_key_find(
        &self,
        key: &TokenHash,
        now: UtcMicros,
    ) -> Result<Option<(OrgId, ApiKeyRow)>, StoreError> {
        let row = sql(KEY_FIND)
            .bind(key.as_slice())
            .bind(now.0)
            .fetch_optional(&mut *self.read_above().await?)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some((OrgId(row.number("org_id")?), key_row(&row)?)))
    }

    /// Records when a key was used; as costly as [`Store::session_touch`].
    pub async fn api_key_used(&self, id: ApiKeyId, now: UtcMicros) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        sql(KEY_USED).bind(id.0).bind(now.0).execute(&mut tx).await?;
        tx.commit().await
    }
}

fn key_row(row: &DbRow) -> Result<ApiKeyRow, StoreError> {
    Ok(ApiKeyRow {
        id: ApiKeyId(row.number("id")?),
        name: row.name("name")?,
        role: row.parsed("role", Role::parse)?,
        permissions: row.value("permissions")?,
        created_by: row.value("created_by")?,
        created_at: row.at("created_at")?,
        expires_at: row.at_opt("expires_at")?,
        last_used_at: row.at_opt("last_used_at")?,
    })
}

fn key_entry<'a>(action: &'a str, key: &'a ApiKeyRow) -> AuditEntry<'a> {
    AuditEntry {
        action,
        object_kind: "api_key",
        object_id: Some(key.id.0),
        object_name: key.name.as_str(),
        before: None,
        after: None,
    }
}

fn key_json(key: &ApiKeyRow) -> serde_json::Value {
    json!({
        "name": key.name.as_str(),
        "role": key.role.as_str(),
        "permissions": key.permissions,
        "expires_at": key.expires_at.map(|at| at.to_string()),
    })
}
