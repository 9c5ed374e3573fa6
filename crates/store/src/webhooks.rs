//! Where messages go. Address and secret arrive here sealed; opening them is the server's.

use model::{Name, UtcMicros, WebhookId};
use serde_json::{Value, json};

use crate::{
    AuditEntry, Scope, Store, StoreError, audit,
    db::{Conn, DbRow, Tx, sql},
    error::name_taken,
    outbox,
};

/// Webhooks of an organisation: each message is sent to each of them.
pub const WEBHOOKS_MAX: usize = 32;

/// An address that messages are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    pub id: WebhookId,
    pub name: Name,
    /// The address without what may be secret in it, for lists and logs.
    pub host: String,
    /// Address and secret, sealed.
    pub sealed: Vec<u8>,
    pub is_active: bool,
    pub created_at: UtcMicros,
    pub updated_at: UtcMicros,
}

/// What is new of a webhook, or of one that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDraft {
    pub name: Name,
    pub host: String,
    pub sealed: Vec<u8>,
    pub is_active: bool,
}

const WEBHOOK_COUNT: &str = "SELECT count(*) FROM webhook WHERE org_id = $1";
const WEBHOOK_ADD: &str = "
    INSERT INTO webhook (org_id, name, host, sealed, is_active, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)
    RETURNING id, name, host, sealed, is_active, created_at, updated_at";
const WEBHOOK_LIST: &str = "
    SELECT id, name, host, sealed, is_active, created_at, updated_at
      FROM webhook
     WHERE org_id = $1
     ORDER BY name
     LIMIT $2";
const WEBHOOK_GET: &str = "
    SELECT id, name, host, sealed, is_active, created_at, updated_at
      FROM webhook
     WHERE org_id = $1
       AND id = $2";
const WEBHOOK_SET: &str = "
    UPDATE webhook
       SET name = $3, host = $4, sealed = $5, is_active = $6, updated_at = $7
     WHERE org_id = $1
       AND id = $2
    RETURNING id, name, host, sealed, is_active, created_at, updated_at";
const WEBHOOK_DELETE: &str = "DELETE FROM webhook WHERE org_id = $1 AND id = $2";

impl Store {
    /// Creates a webhook: it gets what is told from now on.
    pub async fn webhook_create(
        &self,
        scope: &Scope,
        new: &WebhookDraft,
        now: UtcMicros,
    ) -> Result<WebhookRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let count: i64 = sql(WEBHOOK_COUNT).bind(scope.org.0).scalar(&mut tx).await?;
        if usize::try_from(count).is_ok_and(|count| WEBHOOKS_MAX <= count) {
            return Err(StoreError::TooMany { what: "webhooks", max: WEBHOOKS_MAX });
        }
        let row = sql(WEBHOOK_ADD)
            .bind(scope.org.0)
            .bind(new.name.as_str())
            .bind(&new.host)
            .bind(new.sealed.as_slice())
            .bind(new.is_active)
            .bind(now.0)
            .fetch_one(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        let webhook = webhook_row(&row)?;
        record(&mut tx, scope, "webhook.create", (None, Some(&webhook)), now).await?;
        tx.commit().await?;
        Ok(webhook)
    }

    /// Lists in name order.
    pub async fn webhook_list(&self, scope: &Scope) -> Result<Vec<WebhookRow>, StoreError> {
        let rows = sql(WEBHOOK_LIST)
            .bind(scope.org.0)
            .bind(WEBHOOKS_MAX as u32)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        rows.iter().map(webhook_row).collect()
    }

    pub async fn webhook_get(
        &self,
        scope: &Scope,
        id: WebhookId,
    ) -> Result<WebhookRow, StoreError> {
        get(&mut *self.read(scope.org).await?, scope, id).await
    }

    /// Makes a webhook what `draft` says. What waits for one that is switched off is given up: it
    /// would be old news when somebody switches it on again.
    pub async fn webhook_update(
        &self,
        scope: &Scope,
        id: WebhookId,
        draft: &WebhookDraft,
        now: UtcMicros,
    ) -> Result<WebhookRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope, id).await?;
        let row = sql(WEBHOOK_SET)
            .bind(scope.org.0)
            .bind(id.0)
            .bind(draft.name.as_str())
            .bind(&draft.host)
            .bind(draft.sealed.as_slice())
            .bind(draft.is_active)
            .bind(now.0)
            .fetch_one(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        let after = webhook_row(&row)?;
        if before.is_active && !after.is_active {
            outbox::give_up_all(&mut tx, scope, id, "the webhook was switched off", now).await?;
        }
        record(&mut tx, scope, "webhook.update", (Some(&before), Some(&after)), now).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Deletes a webhook with its deliveries.
    pub async fn webhook_delete(
        &self,
        scope: &Scope,
        id: WebhookId,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope, id).await?;
        sql(WEBHOOK_DELETE).bind(scope.org.0).bind(id.0).execute(&mut tx).await?;
        record(&mut tx, scope, "webhook.delete", (Some(&before), None), now).await?;
        tx.commit().await
    }
}

pub(crate) async fn get(
    conn: &mut Conn,
    scope: &Scope,
    id: WebhookId,
) -> Result<WebhookRow, StoreError> {
    let row = sql(WEBHOOK_GET).bind(scope.org.0).bind(id.0).fetch_optional(conn).await?;
    webhook_row(&row.ok_or(StoreError::NotFound { what: "webhook" })?)
}

fn webhook_row(row: &DbRow) -> Result<WebhookRow, StoreError> {
    Ok(WebhookRow {
        id: WebhookId(row.number("id")?),
        name: row.name("name")?,
        host: row.value("host")?,
        sealed: row.value("sealed")?,
        is_active: row.is("is_active")?,
        created_at: row.at("created_at")?,
        updated_at: row.at("updated_at")?,
    })
}

async fn record(
    tx: &mut Tx,
    scope: &Scope,
    action: &str,
    (before, after): (Option<&WebhookRow>, Option<&WebhookRow>),
    now: UtcMicros,
) -> Result<(), StoreError> {
    let Some(webhook) = after.or(before) else {
        return Ok(());
    };
    let entry = AuditEntry {
        action,
        object_kind: "webhook",
        object_id: Some(webhook.id.0),
        object_name: webhook.name.as_str(),
        before: before.map(webhook_json),
        after: after.map(webhook_json),
    };
    audit::record(tx, scope, &entry, now).await
}

/// Whether address or secret were changed is not said: both are sealed anew with each change.
fn webhook_json(webhook: &WebhookRow) -> Value {
    json!({
        "name": webhook.name.as_str(),
        "host": webhook.host,
        "is_active": webhook.is_active,
    })
}
