//! Who did what to which object. Written in the transaction of the change itself; never edited,
//! never holding a secret.

use model::UtcMicros;
use serde_json::Value;

use crate::{
    AuditEntry, AuditRow, PAGE_ROWS_MAX, Scope, Store, StoreError,
    db::{Conn, DbRow, big, damaged, sql},
};

const AUDIT_ADD: &str = "
    INSERT INTO audit (
        org_id, at, actor_kind, actor_id, actor_name,
        action, object_kind, object_id, object_name, before_json, after_json
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const AUDIT_LIST: &str = "
    SELECT id, at, actor_kind, actor_id, actor_name,
           action, object_kind, object_id, object_name, before_json, after_json
      FROM audit
     WHERE org_id = $1
       AND id < $2
     ORDER BY id DESC
     LIMIT $3";

impl Store {
    /// Records something that no other call of the store does, such as a login.
    pub async fn audit_append(
        &self,
        scope: &Scope,
        entry: &AuditEntry<'_>,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        record(&mut tx, scope, entry, now).await?;
        tx.commit().await
    }

    /// Lists the newest first, those before `before_id`.
    pub async fn audit_list(
        &self,
        scope: &Scope,
        before_id: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sql(AUDIT_LIST)
            .bind(scope.org.0)
            .bind(before_id.map_or(i64::MAX, big))
            // One more tells whether another page follows.
            .bind(limit.min(PAGE_ROWS_MAX + 1))
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        rows.iter().map(audit_row).collect()
    }
}

/// Adds the row of a change to its transaction.
pub(crate) async fn record(
    connection: &mut Conn,
    scope: &Scope,
    entry: &AuditEntry<'_>,
    now: UtcMicros,
) -> Result<(), StoreError> {
    sql(AUDIT_ADD)
        .bind(scope.org.0)
        .bind(now.0)
        .bind(scope.actor.kind())
        .bind(scope.actor.id())
        .bind(scope.actor.name())
        .bind(entry.action)
        .bind(entry.object_kind)
        .bind(entry.object_id)
        .bind(entry.object_name)
        .bind(entry.before.as_ref().map(Value::to_string))
        .bind(entry.after.as_ref().map(Value::to_string))
        .execute(connection)
        .await?;
    Ok(())
}

fn audit_row(row: &DbRow) -> Result<AuditRow, StoreError> {
    let json = |column| match row.value::<Option<&str>>(column)? {
        None => Ok(None),
        Some(text) => serde_json::from_str(text).map(Some).map_err(|_| damaged(column)),
    };
    Ok(AuditRow {
        id: row.number("id")?,
        at: row.at("at")?,
        actor_kind: row.value("actor_kind")?,
        actor_id: row.number_opt("actor_id")?,
        actor_name: row.value("actor_name")?,
        action: row.value("action")?,
        object_kind: row.value("object_kind")?,
        object_id: row.number_opt("object_id")?,
        object_name: row.value("object_name")?,
        before: json("before_json")?,
        after: json("after_json")?,
    })
}
