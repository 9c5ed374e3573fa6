//! What people do to incidents.

use model::{CauseCode, EntryKind, IncidentId, IncidentState, Name, UserId, UtcMicros};
use serde_json::json;

use super::{
    ActRefused, IncidentAct, IncidentEntry, IncidentFull, IncidentRow, full,
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
const UNACKNOWLEDGE: &str = "
    UPDATE incident
       SET acknowledged_at = NULL, acknowledged_by = '', updated_at = $3
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
// What is not followed any more was seen to be over.
const REOPEN: &str = "
    UPDATE incident
       SET state = CASE is_followed WHEN 1 THEN 'open' ELSE 'resolved' END,
           closed_at = NULL, close_code = NULL, updated_at = $3
     WHERE org_id = $1
       AND number = $2";

/// Somebody who presses twice, or whose program asks again, says a comment once.
const SAME_COMMENT_US: i64 = 60_000_000;

impl Store {
    /// Does what a person asks for, notes it in the timeline and in the audit; says whether that
    /// changed anything.
    ///
    /// 1 - What the same person did already is done: nothing changes. A comment that is the last
    ///     one word for word, within a minute, is the same one.
    /// 2 - If the caller says which version was `seen`, nobody did anything since.
    /// 3 - Nobody acknowledges or closes what somebody else did, and nobody acknowledges what is
    ///     over.
    /// 4 - What is still seen is closed only by force.
    /// 5 - Reopened is what was closed: it is open if it is still seen, and resolved if not. What
    ///     is over is not reopened: nothing would ever end it.
    ///
    /// # Errors
    ///
    /// [`StoreError::ActRefused`] with who or what speaks against it.
    pub async fn incident_act(
        &self,
        scope: &Scope,
        id: IncidentId,
        act: &IncidentAct,
        seen: Option<u64>,
        now: UtcMicros,
    ) -> Result<(IncidentFull, bool), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = full(&mut tx, scope, id).await?;
        if is_done(scope, &before, act, now) {
            tx.rollback().await?;
            return Ok((before, false));
        }
        let checked = check_seen(&before, seen).and_then(|()| check(&before, act));
        checked.map_err(|source| StoreError::ActRefused { source })?;
        let (kind, note) = apply(&mut tx, scope, &before.row, act, now).await?;
        let entry = Entry { kind, note: &note, is_told: false, trace: None };
        add_entry(&mut tx, scope, id, &entry, now).await?;
        let after = full(&mut tx, scope, id).await?;
        let entry = AuditEntry {
            action: action(act),
            object_kind: "incident",
            object_id: Some(id.0),
            object_name: &format!("#{id}"),
            before: Some(told(&before.row)),
            after: Some(told(&after.row)),
        };
        audit::record(&mut tx, scope, &entry, now).await?;
        tx.commit().await?;
        Ok((after, true))
    }
}

fn action(act: &IncidentAct) -> &'static str {
    match act {
        IncidentAct::Acknowledge => "incident.acknowledge",
        IncidentAct::Unacknowledge => "incident.unacknowledge",
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

/// What people call whoever did something.
fn who(entry: &IncidentEntry) -> String {
    match (entry.actor_kind.as_str(), entry.actor_name.as_str()) {
        ("system", _) => "Faultline".to_owned(),
        (kind, "") => kind.replace('_', " "),
        (_, name) => name.to_owned(),
    }
}

/// Condition 1.
fn is_done(scope: &Scope, full: &IncidentFull, act: &IncidentAct, now: UtcMicros) -> bool {
    let row = &full.row;
    let last = |kind: EntryKind| full.entries.iter().rfind(|entry| entry.kind == kind);
    let is_mine = |entry: &IncidentEntry| {
        entry.actor_kind == scope.actor.kind() && entry.actor_name == scope.actor.name()
    };
    match act {
        IncidentAct::Acknowledge => {
            row.acknowledged_at.is_some() && last(EntryKind::Acknowledged).is_some_and(is_mine)
        }
        IncidentAct::Unacknowledge => row.acknowledged_at.is_none(),
        IncidentAct::Assign(to) => row.owner == owner(to.as_ref()),
        IncidentAct::Comment(text) => last(EntryKind::Commented).is_some_and(|entry| {
            is_mine(entry) && entry.note == *text && now.0 - entry.at.0 < SAME_COMMENT_US
        }),
        IncidentAct::Close { code, note, .. } => {
            let said = closing(*code, note);
            full.closed_by().is_some_and(|entry| is_mine(entry) && entry.note == said)
        }
        IncidentAct::Reopen { .. } => {
            let steps = [EntryKind::Closed, EntryKind::Resolved, EntryKind::Reopened];
            let step = full.entries.iter().rfind(|entry| steps.contains(&entry.kind));
            step.is_some_and(|entry| entry.kind == EntryKind::Reopened && is_mine(entry))
        }
    }
}

/// Condition 2.
fn check_seen(full: &IncidentFull, seen: Option<u64>) -> Result<(), ActRefused> {
    let Some(seen) = seen else { return Ok(()) };
    let is_since = |entry: &&IncidentEntry| !entry.kind.is_detail() && seen < entry.id;
    let Some(entry) = full.entries.iter().rfind(is_since) else { return Ok(()) };
    let did = match entry.kind {
        EntryKind::Assigned => format!("assigned it {}", entry.note),
        EntryKind::Closed => format!("closed it ({})", entry.note),
        EntryKind::CauseChanged => "found another cause of it".to_owned(),
        EntryKind::Commented => "commented on it".to_owned(),
        EntryKind::NotBack => "saw that it did not come back from maintenance".to_owned(),
        EntryKind::Opened
        | EntryKind::Revised
        | EntryKind::Merged
        | EntryKind::Resolved
        | EntryKind::Reopened
        | EntryKind::Acknowledged
        | EntryKind::Traced
        | EntryKind::PathChanged
        | EntryKind::Unacknowledged => format!("{} it", entry.kind.as_str()),
    };
    Err(ActRefused::Changed { by: who(entry), did, at: entry.at })
}

/// Conditions 3 to 5.
fn check(full: &IncidentFull, act: &IncidentAct) -> Result<(), ActRefused> {
    let row = &full.row;
    match act {
        IncidentAct::Acknowledge => match row.acknowledged_at {
            Some(at) => Err(ActRefused::Acknowledged { by: row.acknowledged_by.clone(), at }),
            None if row.state == IncidentState::Open => Ok(()),
            None => Err(ActRefused::Past),
        },
        IncidentAct::Unacknowledge | IncidentAct::Assign(_) | IncidentAct::Comment(_) => Ok(()),
        IncidentAct::Close { is_forced, .. } => match full.closed_by() {
            Some(entry) => {
                let what = entry.note.clone();
                Err(ActRefused::Closed { by: who(entry), at: entry.at, what })
            }
            None if row.is_followed && !is_forced => Err(ActRefused::StillSeen { hits: hits(row) }),
            None => Ok(()),
        },
        IncidentAct::Reopen { .. } => match (row.state, row.resolved_at) {
            (IncidentState::Closed, _) => Ok(()),
            (IncidentState::Resolved, Some(at)) => Err(ActRefused::Over { at }),
            (IncidentState::Resolved, None) | (IncidentState::Open, _) => Err(ActRefused::Open),
        },
    }
}

fn hits(row: &IncidentRow) -> String {
    match (row.targets_down, row.targets_degraded) {
        (0, 0) => "no target is down or degraded".to_owned(),
        (down, 0) => format!("targets down: {down}"),
        (0, degraded) => format!("targets degraded: {degraded}"),
        (down, degraded) => format!("targets down: {down}, degraded: {degraded}"),
    }
}

fn owner(to: Option<&(UserId, Name)>) -> &str {
    to.map_or("", |(_, name)| name.as_str())
}

/// What the timeline says of a closing.
fn closing(code: CauseCode, note: &str) -> String {
    let code = code.as_str().replace('_', " ");
    if note.is_empty() { code } else { format!("{code}: {note}") }
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
    Ok(match act {
        IncidentAct::Acknowledge => {
            let name = match scope.actor.name() {
                "" => scope.actor.kind(),
                name => name,
            };
            on(ACKNOWLEDGE).bind(now.0).bind(name).execute(tx).await?;
            (EntryKind::Acknowledged, String::new())
        }
        IncidentAct::Unacknowledge => {
            on(UNACKNOWLEDGE).bind(now.0).execute(tx).await?;
            (EntryKind::Unacknowledged, format!("{} had acknowledged it", before.acknowledged_by))
        }
        IncidentAct::Assign(to) => {
            let name = owner(to.as_ref());
            let user = to.as_ref().map(|(user, _)| user.0);
            on(ASSIGN).bind(user).bind(name).bind(now.0).execute(tx).await?;
            let note = if name.is_empty() { "to nobody".to_owned() } else { format!("to {name}") };
            (EntryKind::Assigned, note)
        }
        IncidentAct::Comment(text) => {
            on(TOUCH).bind(now.0).execute(tx).await?;
            (EntryKind::Commented, text.clone())
        }
        IncidentAct::Close { code, note, .. } => {
            on(CLOSE).bind(now.0).bind(code.as_str()).execute(tx).await?;
            (EntryKind::Closed, closing(*code, note))
        }
        IncidentAct::Reopen { note } => {
            on(REOPEN).bind(now.0).execute(tx).await?;
            (EntryKind::Reopened, note.clone())
        }
    })
}
