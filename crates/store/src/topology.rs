//! The network as its operator describes it, part by part, with the version of each change.
//!
//! What a part says is its caller's business: here it is a text under an id. A change is made on
//! the version that its maker saw, in one transaction, or not at all.

use model::UtcMicros;
use serde_json::{Value, json};

use crate::{
    AuditEntry, Changed, Scope, Store, StoreError, TOPOLOGY_PARTS_MAX, TopologyEdit, TopologyPart,
    TopologyRow, audit,
    db::{Bulk, Conn, Tx, big, sql},
    inventory::{self, Kind, Logged},
};

/// Rows read at a time: bounds the memory of one statement.
const PAGE_ROWS: u32 = 10_000;

const HEAD: &str = "
    SELECT version, updated_at
      FROM topology_head
     WHERE org_id = $1";
const HEAD_SET: &str = "
    INSERT INTO topology_head (org_id, version, updated_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (org_id) DO UPDATE
       SET version = excluded.version, updated_at = excluded.updated_at";
const PART_LIST: &str = "
    SELECT section, id, kind, body_json
      FROM topology_part
     WHERE org_id = $1
       AND (section > $2 OR (section = $2 AND id > $3))
     ORDER BY section, id
     LIMIT $4";
const PART_COUNT: &str = "SELECT count(*) FROM topology_part WHERE org_id = $1";
const PART_SET: Bulk = Bulk {
    head: "INSERT INTO topology_part (org_id, section, id, kind, body_json, version) VALUES",
    columns: 6,
    tail: "ON CONFLICT (org_id, section, id) DO UPDATE
              SET kind = excluded.kind, body_json = excluded.body_json,
                  version = excluded.version",
};
const PART_DELETE: &str = "
    DELETE FROM topology_part
     WHERE org_id = $1
       AND section = $2
       AND id = $3";

impl Store {
    /// The version of the last change of a topology; 0 before the first.
    pub async fn topology_version(&self, scope: &Scope) -> Result<u64, StoreError> {
        Ok(head(&mut *self.read(scope.org).await?, scope).await?.map_or(0, |(version, _)| version))
    }

    /// Everything that a topology is made of, by section and id.
    pub async fn topology(&self, scope: &Scope) -> Result<TopologyRow, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let head = head(&mut tx, scope).await?;
        let mut parts: Vec<TopologyPart> = Vec::new();
        loop {
            let (section, id) = parts.last().map_or(("", ""), |part| (&part.section, &part.id));
            let rows = sql(PART_LIST)
                .bind(scope.org.0)
                .bind(section.to_owned())
                .bind(id.to_owned())
                .bind(PAGE_ROWS)
                .fetch_all(&mut tx)
                .await?;
            for row in &rows {
                parts.push(TopologyPart {
                    section: row.value("section")?,
                    id: row.value("id")?,
                    kind: row.value("kind")?,
                    body: row.value("body_json")?,
                });
            }
            if rows.len() < PAGE_ROWS as usize {
                break;
            }
        }
        Ok(TopologyRow {
            version: head.map_or(0, |(version, _)| version),
            updated_at: head.map(|(_, at)| at),
            parts,
        })
    }

    /// Changes a topology: all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Stale`] if it is no longer what the change was made on;
    /// [`StoreError::TooMany`] over [`TOPOLOGY_PARTS_MAX`] parts.
    pub async fn topology_change(
        &self,
        scope: &Scope,
        edit: &TopologyEdit,
        now: UtcMicros,
    ) -> Result<Changed<u64>, StoreError> {
        let said = Said::of(edit);
        let mut tx = self.write(scope.org).await?;
        let version = apply(&mut tx, scope, (edit, said), now).await?;
        tx.commit().await?;
        Ok(Changed { row: version, version, changes: Vec::new() })
    }
}

/// As [`Store::topology_change`], within another change; returns the version then.
pub(crate) async fn apply(
    tx: &mut Tx,
    scope: &Scope,
    (edit, said): (&TopologyEdit, Said),
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let known = head(tx, scope).await?.map_or(0, |(version, _)| version);
    if known != edit.basis {
        return Err(StoreError::Stale { what: "topology" });
    }
    if edit.sets.is_empty() && edit.removes.is_empty() {
        return Ok(known);
    }
    let version = record(tx, scope, edit, said, now).await?;
    for (section, id) in &edit.removes {
        sql(PART_DELETE)
            .bind(scope.org.0)
            .bind(section.clone())
            .bind(id.clone())
            .execute(tx)
            .await?;
    }
    PART_SET
        .run(tx, &edit.sets, |part, row| {
            row.add(scope.org.0)
                .add(part.section.clone())
                .add(part.id.clone())
                .add(part.kind.clone())
                .add(part.body.clone())
                .add(big(version));
        })
        .await?;
    let count: i64 = sql(PART_COUNT).bind(scope.org.0).scalar(tx).await?;
    if i64::try_from(TOPOLOGY_PARTS_MAX).unwrap_or(i64::MAX) < count {
        let max = TOPOLOGY_PARTS_MAX;
        return Err(StoreError::TooMany { what: "parts of a topology", max });
    }
    sql(HEAD_SET).bind(scope.org.0).bind(big(version)).bind(now.0).execute(tx).await?;
    Ok(version)
}

async fn head(conn: &mut Conn, scope: &Scope) -> Result<Option<(u64, UtcMicros)>, StoreError> {
    let row = sql(HEAD).bind(scope.org.0).fetch_optional(conn).await?;
    row.map(|row| Ok((row.number("version")?, row.at("updated_at")?))).transpose()
}

/// What audit and change log say of an edit: of a whole network some megabytes, so it is made
/// before others wait for the writer.
pub(crate) struct Said {
    /// What was set as it is now, and what went.
    logged: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl Said {
    pub(crate) fn of(edit: &TopologyEdit) -> Said {
        let read = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        let set =
            |part: &TopologyPart| json!({ "section": part.section, "body": read(&part.body) });
        let gone = |(section, id): &(String, String)| json!({ "section": section, "id": id });
        let logged = json!({
            "set": edit.sets.iter().map(set).collect::<Vec<Value>>(),
            "removed": edit.removes.iter().map(gone).collect::<Vec<Value>>(),
        });
        let first = edit.sets.first().filter(|_| edit.name.is_some());
        Said {
            logged: logged.to_string(),
            before: edit.before.as_deref().filter(|_| edit.name.is_some()).map(read),
            after: first.map(|part| read(&part.body)),
        }
    }
}

/// Writes the audit and the change log.
async fn record(
    tx: &mut Tx,
    scope: &Scope,
    edit: &TopologyEdit,
    said: Said,
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let body = &said.logged;
    let logged = Logged { kind: Kind::Topology, object_id: 0, is_removed: false, body };
    let version = inventory::log(tx, scope, &[logged], now).await?;
    let counts = json!({
        "set": edit.sets.len(),
        "removed": edit.removes.len(),
        "inventory_version": version,
    });
    let (before, after) = match &edit.name {
        None => (None, Some(counts)),
        Some(_) => (said.before, said.after),
    };
    let entry = AuditEntry {
        action: edit.action,
        object_kind: "topology",
        object_id: None,
        object_name: edit.name.as_deref().unwrap_or_default(),
        before,
        after,
    };
    audit::record(tx, scope, &entry, now).await?;
    Ok(version)
}
