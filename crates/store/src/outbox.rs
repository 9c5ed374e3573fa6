//! What is to be told to people outside: messages, and their way to each webhook.
//!
//! A message is written in the transaction of what it tells of, once for each key, with one
//! delivery for each webhook that is switched on. A delivery is due until it was taken or given
//! up; each try is kept. How long to wait between tries is the server's.

use model::{OrgId, UtcMicros, WebhookId};

use crate::{
    AuditEntry, PAGE_ROWS_MAX, Scope, Store, StoreError, audit,
    db::{Bulk, Conn, DbRow, Tx, big, sql},
    webhooks,
};

/// Deliveries that wait for one webhook; beyond, the oldest are given up. A receiver that was away
/// for a day wants to know what is now, not thousands of old messages.
pub const DELIVERIES_DUE_MAX: u32 = 1_000;
/// Messages that one sweep forgets, so that others get to write in between.
const SWEEP_ROWS_MAX: u32 = 1_000;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The same message has the same key however often it is put: it is sent once.
    pub key: String,
    /// What happened, for example `incident.opened`.
    pub kind: String,
    /// What it is about: messages of one subject arrive in their order.
    pub subject: String,
    /// What is sent, to the byte.
    pub body: String,
}

/// How far a message has come on its way to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    Due,
    Sent,
    /// Given up: it was tried too often, or there was no sense in it any more.
    Dead,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 3] =
        [DeliveryState::Due, DeliveryState::Sent, DeliveryState::Dead];

    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Due => "due",
            DeliveryState::Sent => "sent",
            DeliveryState::Dead => "dead",
        }
    }

    pub fn parse(text: &str) -> Option<DeliveryState> {
        DeliveryState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A delivery that is to be tried now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    pub id: u64,
    pub org: OrgId,
    pub webhook: WebhookId,
    /// As [`crate::WebhookRow::host`] and [`crate::WebhookRow::sealed`].
    pub host: String,
    pub sealed: Vec<u8>,
    pub message: NewMessage,
    /// Tries since it was asked for.
    pub tries: u32,
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryTry {
    pub at: UtcMicros,
    pub took_us: u64,
    /// Of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// Why it is not a delivery; `None` if it is.
    pub reason: Option<String>,
}

/// What follows from a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryNext {
    Sent,
    Again {
        at: UtcMicros,
    },
    Dead,
    /// The receiver wants nothing any more: the webhook is switched off.
    Gone,
}

/// A delivery as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub id: u64,
    pub webhook: WebhookId,
    pub key: String,
    pub kind: String,
    pub subject: String,
    pub state: DeliveryState,
    pub due_at: UtcMicros,
    pub reason: Option<String>,
    /// Of the message.
    pub created_at: UtcMicros,
    pub updated_at: UtcMicros,
    /// Oldest first; filled for one delivery, empty in lists.
    pub tries: Vec<DeliveryTry>,
    pub tries_total: u32,
    /// What is sent; filled for one delivery, empty in lists.
    pub body: String,
}

const MESSAGE_ADD: &str = "
    INSERT INTO message (org_id, message_key, kind, subject, body_json, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (org_id, message_key) DO NOTHING
    RETURNING id";
const WEBHOOKS_ACTIVE: &str = "
    SELECT id
      FROM webhook
     WHERE org_id = $1
       AND is_active = 1
     ORDER BY id";
const DELIVERY_ADD: Bulk<'_> = Bulk {
    head: "INSERT INTO delivery (
               org_id, webhook_id, message_id, subject, state, tries, tries_before, due_at,
               updated_at
           ) VALUES",
    columns: 9,
    tail: "RETURNING id",
};
/// The oldest beyond the limit.
const DELIVERIES_OVER: &str = "
    UPDATE delivery
       SET state = 'dead', reason = $3, updated_at = $4
     WHERE org_id = $1
       AND webhook_id = $2
       AND state = 'due'
       AND id <= (
               SELECT id
                 FROM delivery
                WHERE org_id = $1
                  AND webhook_id = $2
                  AND state = 'due'
                ORDER BY id DESC
                LIMIT 1
               OFFSET $5
           )";
const DELIVERIES_GIVE_UP: &str = "
    UPDATE delivery
       SET state = 'dead', reason = $3, updated_at = $4
     WHERE org_id = $1
       AND webhook_id = $2
       AND state = 'due'";
/// For each webhook the oldest that is due and has none of its own subject before it.
// Above organisations: one notifier sends the messages of all.
const DELIVERIES_DUE: &str = "
    SELECT delivery.id, delivery.org_id, delivery.webhook_id, webhook.host, webhook.sealed,
           delivery.tries, message.message_key, message.kind, message.subject, message.body_json
      FROM delivery
      JOIN webhook ON webhook.id = delivery.webhook_id
      JOIN message ON message.id = delivery.message_id
     WHERE delivery.id IN (
               SELECT min(own.id)
                 FROM delivery AS own
                WHERE own.state = 'due'
                  AND own.due_at <= $1
                  AND NOT EXISTS (
                          SELECT 1
                            FROM delivery AS earlier
                           WHERE earlier.webhook_id = own.webhook_id
                             AND earlier.subject = own.subject
                             AND earlier.state = 'due'
                             AND earlier.id < own.id
                      )
                GROUP BY own.webhook_id
           )
     ORDER BY delivery.id
     LIMIT $2";
const DELIVERY_SET: &str = "
    UPDATE delivery
       SET state = $3, tries = tries + 1, due_at = $4, reason = $5, updated_at = $6
     WHERE org_id = $1
       AND id = $2
       AND state = 'due'
    RETURNING tries + tries_before AS number, webhook_id";
const TRY_ADD: &str = "
    INSERT INTO delivery_try (delivery_id, number, org_id, at, took_us, status, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const WEBHOOK_OFF: &str = "
    UPDATE webhook
       SET is_active = 0, updated_at = $3
     WHERE org_id = $1
       AND id = $2";
const DELIVERY_LIST: &str = "
    SELECT delivery.id, delivery.webhook_id, message.message_key, message.kind, message.subject,
           delivery.state, delivery.due_at, delivery.reason, message.created_at,
           delivery.updated_at, delivery.tries + delivery.tries_before AS tries, '' AS body_json
      FROM delivery
      JOIN message ON message.id = delivery.message_id
     WHERE delivery.org_id = $1
       AND delivery.webhook_id = $2
       AND delivery.id < $3
       AND ($4 = '' OR delivery.state = $4)
     ORDER BY delivery.id DESC
     LIMIT $5";
const DELIVERY_GET: &str = "
    SELECT delivery.id, delivery.webhook_id, message.message_key, message.kind, message.subject,
           delivery.state, delivery.due_at, delivery.reason, message.created_at,
           delivery.updated_at, delivery.tries + delivery.tries_before AS tries, message.body_json
      FROM delivery
      JOIN message ON message.id = delivery.message_id
     WHERE delivery.org_id = $1
       AND delivery.id = $2";
const TRY_LIST: &str = "
    SELECT at, took_us, status, reason
      FROM delivery_try
     WHERE org_id = $1
       AND delivery_id = $2
     ORDER BY number DESC
     LIMIT $3";
const DELIVERY_AGAIN: &str = "
    UPDATE delivery
       SET state = 'due', due_at = $3, tries_before = tries_before + tries, tries = 0,
           reason = NULL, updated_at = $3
     WHERE org_id = $1
       AND id = $2";
const MESSAGE_LAST: &str = "
    SELECT message_key, kind, subject, body_json
      FROM message
     WHERE org_id = $1
       AND message_key > $2
       AND message_key < $3
     ORDER BY message_key DESC
     LIMIT 1";
// Above organisations: what is old goes, whosever it is.
const MESSAGES_SWEEP: &str = "
    DELETE FROM message
     WHERE id IN (
               SELECT id
                 FROM message
                WHERE created_at < $1
                ORDER BY created_at, id
                LIMIT $2
           )";
/// Without the tests that failed: whoever asked for one was told, and nobody misses it.
const DELIVERY_COUNTS: &str = "
    SELECT delivery.webhook_id, delivery.state, count(*) AS count,
           max(delivery.updated_at) AS at, min(message.created_at) AS since
      FROM delivery
      JOIN message ON message.id = delivery.message_id
     WHERE delivery.org_id = $1
       AND NOT (delivery.state = 'dead' AND message.kind = 'test')
     GROUP BY delivery.webhook_id, delivery.state
     ORDER BY delivery.webhook_id, delivery.state";

/// Deliveries of a webhook in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryCount {
    pub webhook: WebhookId,
    pub state: DeliveryState,
    pub count: u64,
    /// When the last of them came to that state, or was tried last.
    pub at: UtcMicros,
    /// When what the oldest of them tells of happened.
    pub since: UtcMicros,
}

impl Store {
    /// Puts a message of its own transaction; `false` if one of its key is there already.
    pub async fn message_put(
        &self,
        scope: &Scope,
        new: &NewMessage,
        now: UtcMicros,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let is_new = put(&mut tx, scope, new, now).await?;
        tx.commit().await?;
        Ok(is_new)
    }

    /// The message whose key comes last of those that begin with `family` and a dot.
    pub async fn message_last(
        &self,
        scope: &Scope,
        family: &str,
    ) -> Result<Option<NewMessage>, StoreError> {
        let row = sql(MESSAGE_LAST)
            .bind(scope.org.0)
            .bind(format!("{family}."))
            // What follows the dot, byte by byte.
            .bind(format!("{family}/"))
            .fetch_optional(&mut *self.read(scope.org).await?)
            .await?;
        row.map(|row| {
            Ok(NewMessage {
                key: row.value("message_key")?,
                kind: row.value("kind")?,
                subject: row.value("subject")?,
                body: row.value("body_json")?,
            })
        })
        .transpose()
    }

    /// Puts a message for one webhook alone; returns the delivery, which is not due before
    /// `due_at`: whoever asks for it sends it at once, and the notifier if they do not.
    pub async fn message_put_to(
        &self,
        scope: &Scope,
        webhook: WebhookId,
        new: &NewMessage,
        (now, due_at): (UtcMicros, UtcMicros),
    ) -> Result<u64, StoreError> {
        let mut tx = self.write(scope.org).await?;
        webhooks::get(&mut tx, scope, webhook).await?;
        let Some(message) = add(&mut tx, scope, new, now).await? else {
            return Err(StoreError::Stale { what: "message" });
        };
        let to = [webhook];
        let added = deliver(&mut tx, scope, (message, new), &to, (now, due_at)).await?;
        tx.commit().await?;
        added.first().ok_or(StoreError::NotFound { what: "delivery" })?.number("id")
    }

    /// The deliveries to try now: one for each webhook, the oldest first.
    pub async fn deliveries_due(
        &self,
        now: UtcMicros,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let rows = sql(DELIVERIES_DUE)
            .bind(now.0)
            .bind(limit)
            .fetch_all(&mut *self.read_above().await?)
            .await?;
        rows.iter().map(due_row).collect()
    }

    /// Notes a try and what follows from it. Of a delivery that is not due any more nothing is
    /// noted: it was given up meanwhile, or its webhook is gone.
    pub async fn delivery_tried(
        &self,
        scope: &Scope,
        id: u64,
        done: &DeliveryTry,
        next: DeliveryNext,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let (state, due_at) = match next {
            DeliveryNext::Sent => (DeliveryState::Sent, now),
            DeliveryNext::Again { at } => (DeliveryState::Due, at),
            DeliveryNext::Dead | DeliveryNext::Gone => (DeliveryState::Dead, now),
        };
        let row = sql(DELIVERY_SET)
            .bind(scope.org.0)
            .bind(big(id))
            .bind(state.as_str())
            .bind(due_at.0)
            .bind(done.reason.as_deref())
            .bind(now.0)
            .fetch_optional(&mut tx)
            .await?;
        let Some(row) = row else {
            return Ok(());
        };
        sql(TRY_ADD)
            .bind(big(id))
            .bind(row.number::<i64>("number")?)
            .bind(scope.org.0)
            .bind(done.at.0)
            .bind(big(done.took_us))
            .bind(done.status.map(i64::from))
            .bind(done.reason.as_deref())
            .execute(&mut tx)
            .await?;
        if next == DeliveryNext::Gone {
            let webhook = WebhookId(row.number("webhook_id")?);
            let reason = "the receiver answered 410: it wants no more messages";
            sql(WEBHOOK_OFF).bind(scope.org.0).bind(webhook.0).bind(now.0).execute(&mut tx).await?;
            give_up_all(&mut tx, scope, webhook, reason, now).await?;
        }
        tx.commit().await
    }

    /// Lists the newest first, those before `before_id`, of one state or of all.
    pub async fn delivery_list(
        &self,
        scope: &Scope,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        (before_id, limit): (Option<u64>, u32),
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        webhooks::get(&mut tx, scope, webhook).await?;
        list(&mut tx, scope, webhook, state, (before_id, limit)).await
    }

    /// One delivery with its body and its last tries.
    pub async fn delivery_get(&self, scope: &Scope, id: u64) -> Result<DeliveryRow, StoreError> {
        let mut tx = self.read(scope.org).await?;
        delivery(&mut tx, scope, id).await
    }

    /// A delivery as it is sent.
    pub async fn delivery_due(&self, scope: &Scope, id: u64) -> Result<DueDelivery, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let row = delivery(&mut tx, scope, id).await?;
        let webhook = webhooks::get(&mut tx, scope, row.webhook).await?;
        Ok(DueDelivery {
            id,
            org: scope.org,
            webhook: row.webhook,
            host: webhook.host,
            sealed: webhook.sealed,
            message: NewMessage {
                key: row.key,
                kind: row.kind,
                subject: row.subject,
                body: row.body,
            },
            tries: 0,
        })
    }

    /// Makes a delivery due again, with all its tries before it.
    pub async fn delivery_again(
        &self,
        scope: &Scope,
        id: u64,
        now: UtcMicros,
    ) -> Result<DeliveryRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = delivery(&mut tx, scope, id).await?;
        let webhook = webhooks::get(&mut tx, scope, before.webhook).await?;
        if !webhook.is_active {
            return Err(StoreError::Off { what: "webhook" });
        }
        sql(DELIVERY_AGAIN).bind(scope.org.0).bind(big(id)).bind(now.0).execute(&mut tx).await?;
        let entry = AuditEntry {
            action: "delivery.resend",
            object_kind: "webhook",
            object_id: Some(webhook.id.0),
            object_name: webhook.name.as_str(),
            before: None,
            after: Some(serde_json::json!({ "message": before.key, "kind": before.kind })),
        };
        audit::record(&mut tx, scope, &entry, now).await?;
        let after = delivery(&mut tx, scope, id).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// How many deliveries of each webhook are in which state; of tests none that was given up.
    pub async fn delivery_counts(&self, scope: &Scope) -> Result<Vec<DeliveryCount>, StoreError> {
        let rows = sql(DELIVERY_COUNTS)
            .bind(scope.org.0)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        let count = |row: &DbRow| {
            Ok(DeliveryCount {
                webhook: WebhookId(row.number("webhook_id")?),
                state: row.parsed("state", DeliveryState::parse)?,
                count: row.number("count")?,
                at: row.at("at")?,
                since: row.at("since")?,
            })
        };
        rows.iter().map(count).collect()
    }

    /// Forgets some messages from before `before`, with their deliveries; says how many.
    pub async fn messages_sweep(&self, before: UtcMicros) -> Result<u64, StoreError> {
        let mut tx = self.write_above().await?;
        let swept =
            sql(MESSAGES_SWEEP).bind(before.0).bind(SWEEP_ROWS_MAX).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(swept)
    }
}

/// Puts a message in the transaction of what it tells of; `false` if one of its key is there
/// already, which then stays as it is.
pub(crate) async fn put(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewMessage,
    now: UtcMicros,
) -> Result<bool, StoreError> {
    let Some(message) = add(tx, scope, new, now).await? else {
        return Ok(false);
    };
    let webhooks: Vec<u32> = sql(WEBHOOKS_ACTIVE).bind(scope.org.0).scalars(tx).await?;
    let webhooks: Vec<WebhookId> = webhooks.into_iter().map(WebhookId).collect();
    deliver(tx, scope, (message, new), &webhooks, (now, now)).await?;
    for webhook in webhooks {
        sql(DELIVERIES_OVER)
            .bind(scope.org.0)
            .bind(webhook.0)
            .bind(format!("more than {DELIVERIES_DUE_MAX} messages were waiting"))
            .bind(now.0)
            .bind(DELIVERIES_DUE_MAX)
            .execute(tx)
            .await?;
    }
    Ok(true)
}

/// Gives up whatever waits for a webhook.
pub(crate) async fn give_up_all(
    tx: &mut Tx,
    scope: &Scope,
    webhook: WebhookId,
    reason: &str,
    now: UtcMicros,
) -> Result<(), StoreError> {
    sql(DELIVERIES_GIVE_UP)
        .bind(scope.org.0)
        .bind(webhook.0)
        .bind(reason)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// Adds the message; `None` if one of its key is there already.
async fn add(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewMessage,
    now: UtcMicros,
) -> Result<Option<i64>, StoreError> {
    sql(MESSAGE_ADD)
        .bind(scope.org.0)
        .bind(&new.key)
        .bind(&new.kind)
        .bind(&new.subject)
        .bind(&new.body)
        .bind(now.0)
        .scalar_optional(tx)
        .await
}

async fn deliver(
    tx: &mut Tx,
    scope: &Scope,
    (message, new): (i64, &NewMessage),
    to: &[WebhookId],
    (now, due_at): (UtcMicros, UtcMicros),
) -> Result<Vec<DbRow>, StoreError> {
    DELIVERY_ADD
        .run(tx, to, |webhook, row| {
            row.add(scope.org.0)
                .add(webhook.0)
                .add(message)
                .add(new.subject.clone())
                .add(DeliveryState::Due.as_str())
                .add(0)
                .add(0)
                .add(due_at.0)
                .add(now.0);
        })
        .await
}

async fn list(
    conn: &mut Conn,
    scope: &Scope,
    webhook: WebhookId,
    state: Option<DeliveryState>,
    (before_id, limit): (Option<u64>, u32),
) -> Result<Vec<DeliveryRow>, StoreError> {
    let rows = sql(DELIVERY_LIST)
        .bind(scope.org.0)
        .bind(webhook.0)
        .bind(before_id.map_or(i64::MAX, big))
        .bind(state.map_or("", DeliveryState::as_str))
        // One more tells whether another page follows.
        .bind(limit.min(PAGE_ROWS_MAX + 1))
        .fetch_all(conn)
        .await?;
    rows.iter().map(delivery_row).collect()
}

async fn delivery(conn: &mut Conn, scope: &Scope, id: u64) -> Result<DeliveryRow, StoreError> {
    let row = sql(DELIVERY_GET).bind(scope.org.0).bind(big(id)).fetch_optional(conn).await?;
    let mut row = delivery_row(&row.ok_or(StoreError::NotFound { what: "delivery" })?)?;
    let tries =
        sql(TRY_LIST).bind(scope.org.0).bind(big(id)).bind(PAGE_ROWS_MAX).fetch_all(conn).await?;
    row.tries = tries.iter().rev().map(try_row).collect::<Result<_, _>>()?;
    Ok(row)
}

fn delivery_row(row: &DbRow) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        id: row.number("id")?,
        webhook: WebhookId(row.number("webhook_id")?),
        key: row.value("message_key")?,
        kind: row.value("kind")?,
        subject: row.value("subject")?,
        state: row.parsed("state", DeliveryState::parse)?,
        due_at: row.at("due_at")?,
        reason: row.value("reason")?,
        created_at: row.at("created_at")?,
        updated_at: row.at("updated_at")?,
        tries: Vec::new(),
        tries_total: row.number("tries")?,
        body: row.value("body_json")?,
    })
}

fn try_row(row: &DbRow) -> Result<DeliveryTry, StoreError> {
    Ok(DeliveryTry {
        at: row.at("at")?,
        took_us: row.number("took_us")?,
        status: row.number_opt("status")?,
        reason: row.value("reason")?,
    })
}

fn due_row(row: &DbRow) -> Result<DueDelivery, StoreError> {
    Ok(DueDelivery {
        id: row.number("id")?,
        org: OrgId(row.number("org_id")?),
        webhook: WebhookId(row.number("webhook_id")?),
        host: row.value("host")?,
        sealed: row.value("sealed")?,
        message: NewMessage {
            key: row.value("message_key")?,
            kind: row.value("kind")?,
            subject: row.value("subject")?,
            body: row.value("body_json")?,
        },
        tries: row.number("tries")?,
    })
}
