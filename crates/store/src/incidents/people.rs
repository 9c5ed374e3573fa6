//! What people do to incidents.

use model::{EntryKind, IncidentId, IncidentState, UtcMicros};
use serde_json::json;

use super::{
    IncidentAct, IncidentFull, IncidentRow, full, get,
    turn::{Entry, add_entry},
};
use crate::{
    AuditEntry, Scope, Store, StoreError, audit,
    db::{Tx, sql},
};

const ACKNOWLEDGE: &str = "
    UPDATE incident
       SET acknowledged_at = $3, acknowledged_by = $4, updated_at = $3
     WHERE org_id = $1
       AND number = $2";
const ASSIGN: &str = "
    UPDATE incident
       SET owner_id = $3, owner_name = $4, updated_at = $5
     WHERE org_id = $1
       AND number = $2";
const TOUCH: &str = "
    UPDATE incident
       SET updated_at = $3
     WHERE org_id = $1
       AND number = $2";
const CLOSE: &str = "
    UPDATE incident
       SET state = 'closed', closed_at = $3, close_code = $4, updated_at = $3
     WHERE org_id = $1
       AND number = $2";
const REOPEN: &str = "
    UPDATE incident
       SET state = 'open', closed_at = NULL, close_code = NULL, updated_at = $3
     WHERE org_id = $1
       AND number = $2";

impl Store {
    /// Does what a person asks for, notes it in the timeline and in the audit.
    ///
    /// # Errors
    ///
    /// [`StoreError::Stale`] if it was acknowledged, closed or reopened before.
    pub async fn incident_act(
        &self,
        scope: &Scope,
        id: IncidentId,
        act: &IncidentAct,
        now: UtcMicros,
    ) -> Result<IncidentFull, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope, id).await?;
        let (kind, note) = apply(&mut tx, scope, &before, act, now).await?;
        let entry = Entry { kind, note: &note, is_told: false };
        add_entry(&mut tx, scope, id, &entry, now).await?;
        let after = full(&mut tx, scope, id).await?;
        let entry = AuditEntry {
            action: action(act),
            object_kind: "incident",
            object_id: Some(id.0),
            object_name: &format!("#{id}"),
            before: Some(told(&before)),
            after: Some(told(&after.row)),
        };
        audit::record(&mut tx, scope, &entry, now).await?;
        tx.commit().await?;
        Ok(after)
    }
}

fn action(act: &IncidentAct) -> &'static str {
    match act {
        IncidentAct::Acknowledge => "incident.acknowledge",
        IncidentAct::Assign(_) => "incident.assign",
        IncidentAct::Comment(_) => "incident.comment",
        IncidentAct::Close { .. } => "incident.close",
        IncidentAct::Reopen { .. } => "incident.reopen",
    }
}

fn told(row: &IncidentRow) -> serde_json::Value {
    json!({
        "state": row.state.as_str(),
        "owner": row.owner,
        "acknowledged_by": row.acknowledged_by,
        "close_code": row.close_code.map(|code| code.as_str()),
    })
}

/// Changes the row; says what the timeline says.
async fn apply(
    tx: &mut Tx,
    scope: &Scope,
    before: &IncidentRow,
    act: &IncidentAct,
    now: UtcMicros,
) -> Result<(EntryKind, String), StoreError> {
    let on = |text: &'static str| sql(text).bind(scope.org.0).bind(before.id.0);
    let stale = StoreError::Stale { what: "incident" };
    Ok(match act {
        IncidentAct::Acknowledge => {
            if before.acknowledged_at.is_some() {
                return Err(stale);
            }
            let name = match scope.actor.name() {
                "" => scope.actor.kind(),
                name => name,
            };
            on(ACKNOWLEDGE).bind(now.0).bind(name).execute(tx).await?;
            (EntryKind::Acknowledged, String::new())
        }
        IncidentAct::Assign(to) => {
            let name = to.as_ref().map_or("", |(_, name)| name.as_str());
            let user = to.as_ref().map(|(user, _)| user.0);
            on(ASSIGN).bind(user).bind(name).bind(now.0).execute(tx).await?;
            let note = if name.is_empty() { "to nobody".to_owned() } else { format!("to {name}") };
            (EntryKind::Assigned, note)
        }
        IncidentAct::Comment(text) => {
            on(TOUCH).bind(now.0).execute(tx).await?;
            (EntryKind::Commented, text.clone())
        }
        IncidentAct::Close { code, note } => {
            if before.state == IncidentState::Closed {
                return Err(stale);
            }
            on(CLOSE).bind(now.0).bind(code.as_str()).execute(tx).await?;
            let code = code.as_str().replace('_', " ");
            let note = if note.is_empty() { code } else { format!("{code}: {note}") };
            (EntryKind::Closed, note)
        }
        IncidentAct::Reopen { note } => {
            if before.state == IncidentState::Open {
                return Err(stale);
            }
            on(REOPEN).bind(now.0).execute(tx).await?;
            (EntryKind::Reopened, note.clone())
        }
    })
}
