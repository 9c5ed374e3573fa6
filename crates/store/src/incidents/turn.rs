//! What a judgement changes, in one transaction.

use std::collections::BTreeSet;

use model::{EntryKind, IncidentId, IncidentState, TraceId, UtcMicros};
use serde_json::to_string;

use super::{
    ENTRIES_MAX, IncidentBody, IncidentSave, IncidentStep, IncidentTraced, IncidentTurn,
    REVISIONS_MAX, get,
};
use crate::{
    Scope, Store, StoreError,
    db::{Bulk, Tx, big, damaged, sql},
    outbox,
};

/// Elements and targets that one incident is found by; what is beyond is in its body.
const SUBJECTS_MAX: usize = 1_000;

/// A turn that is written already changes no row.
const HEAD_SET: &str = "
    INSERT INTO incident_head (org_id, next_number, run, turn) VALUES ($1, $2, $3, $4)
    ON CONFLICT (org_id) DO UPDATE
       SET next_number = excluded.next_number, run = excluded.run, turn = excluded.turn
     WHERE incident_head.run <> excluded.run OR incident_head.turn < excluded.turn";
const ADD: &str = "
    INSERT INTO incident (
        org_id, number, state, severity, is_followed, opened_at, onset_after, onset_until,
        revision, sentence, targets_down, targets_degraded, weight, body_json, pairs_json,
        owner_name, acknowledged_by, inventory_version, log_position, maintenance_id, is_silent,
        updated_at
    ) VALUES ($1, $2, 'open', $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', '', $14, $15,
              $16, $17, $4)";
const SET: &str = "
    UPDATE incident
       SET severity = $3, updated_at = $4, onset_after = $5, onset_until = $6, revision = $7,
           sentence = $8, targets_down = $9, targets_degraded = $10, weight = $11, body_json = $12,
           pairs_json = $13, inventory_version = $14, log_position = $15, maintenance_id = $16,
           is_silent = $17
     WHERE org_id = $1
       AND number = $2";
const OVER: &str = "
    UPDATE incident
       SET state = CASE WHEN state = 'open' THEN 'resolved' ELSE state END,
           resolved_at = $3, merged_into = $4, is_followed = 0
     WHERE org_id = $1
       AND number = $2";
// Who acknowledged it knew of another failure.
const AGAIN: &str = "
    UPDATE incident
       SET state = 'open', resolved_at = NULL, closed_at = NULL, close_code = NULL,
           merged_into = NULL, is_followed = 1, acknowledged_at = NULL, acknowledged_by = ''
     WHERE org_id = $1
       AND number = $2";
const REVISION_ADD: &str = "
    INSERT INTO incident_revision (
        org_id, number, revision, at, why, sentence, body_json, inventory_version, log_position
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (org_id, number, revision) DO NOTHING";
const REVISIONS_OVER: &str = "
    DELETE FROM incident_revision
     WHERE org_id = $1
       AND number = $2
       AND revision > 1
       AND revision <= $3";
const ENTRY_ADD: &str = "
    INSERT INTO incident_entry (
        org_id, number, at, kind, actor_kind, actor_id, actor_name, note, is_told, trace_id
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const TRACE_SET: &str = "UPDATE trace SET incident_number = $3 WHERE org_id = $1 AND id = $2";
const ENTRY_COUNT: &str = "SELECT count(*) FROM incident_entry WHERE org_id = $1 AND number = $2";
/// The oldest that the software made, but the first.
const ENTRIES_OVER: &str = "
    DELETE FROM incident_entry
     WHERE id IN (
               SELECT id
                 FROM incident_entry
                WHERE org_id = $1
                  AND number = $2
                  AND actor_kind = 'system'
                  AND kind <> 'opened'
                ORDER BY id
                LIMIT $3)";
const SUBJECT_ADD: Bulk<'_> = Bulk {
    head: "INSERT INTO incident_subject (org_id, kind, name, number) VALUES",
    columns: 4,
    tail: "ON CONFLICT (org_id, kind, name, number) DO NOTHING",
};

impl Store {
    /// Writes what one judgement changes: all of it, and once however often it is called. What
    /// people outside are told is queued with it.
    pub async fn incidents_take(
        &self,
        scope: &Scope,
        turn: &IncidentTurn,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let is_new = sql(HEAD_SET)
            .bind(scope.org.0)
            .bind(turn.next)
            .bind(big(turn.run))
            .bind(big(turn.turn))
            .execute(&mut tx)
            .await?;
        if is_new == 0 {
            return tx.rollback().await;
        }
        for save in &turn.saves {
            write(&mut tx, scope, turn, save).await?;
        }
        for traced in &turn.traced {
            let IncidentTraced { incident, trace, kind, at, note } = traced;
            let entry = Entry { kind: *kind, note, is_told: false, trace: Some(*trace) };
            add_entry(&mut tx, scope, *incident, &entry, *at).await?;
            sql(TRACE_SET)
                .bind(scope.org.0)
                .bind(trace.0)
                .bind(incident.0)
                .execute(&mut tx)
                .await?;
        }
        for message in &turn.tells {
            outbox::put(&mut tx, scope, message, turn.at).await?;
        }
        tx.commit().await
    }
}

async fn write(
    tx: &mut Tx,
    scope: &Scope,
    turn: &IncidentTurn,
    save: &IncidentSave,
) -> Result<(), StoreError> {
    let text = if save.step == IncidentStep::Opened { ADD } else { SET };
    let impact = &save.body.impact;
    sql(text)
        .bind(scope.org.0)
        .bind(save.id.0)
        .bind(save.severity.as_str())
        .bind(turn.at.0)
        .bind(save.onset.0.0)
        .bind(save.onset.1.0)
        .bind(save.revision)
        .bind(&save.sentence)
        .bind(impact.targets_down)
        .bind(impact.targets_degraded)
        .bind(big(impact.weight))
        .bind(to_string(&save.body).map_err(|_| damaged("body_json"))?)
        .bind(to_string(&save.pairs).map_err(|_| damaged("pairs_json"))?)
        .bind(big(turn.inventory_version))
        .bind(big(turn.log_position.0))
        .bind(save.maintenance.map(|of| of.window.0))
        .bind(save.maintenance.is_some_and(|of| of.is_silent))
        .execute(tx)
        .await?;
    if save.step == IncidentStep::Refreshed {
        return Ok(());
    }
    let kind = stand(tx, scope, save, turn.at).await?;
    revise(tx, scope, turn, save).await?;
    name(tx, scope, save).await?;
    // Of what only got worse people are told if it was closed.
    let is_told = save.step != IncidentStep::Worsened || kind == EntryKind::Reopened;
    let message = save.message.as_ref().filter(|_| is_told);
    let is_told = message.is_some() || save.step == IncidentStep::NotBack;
    let entry = Entry { kind, note: &save.note, is_told, trace: None };
    add_entry(tx, scope, save.id, &entry, turn.at).await?;
    // The one place where people outside are told of an incident.
    if let Some(message) = message {
        outbox::put(tx, scope, message, turn.at).await?;
    }
    Ok(())
}

/// Brings the incident to where the step leads; says as what it stands in the timeline.
async fn stand(
    tx: &mut Tx,
    scope: &Scope,
    save: &IncidentSave,
    at: UtcMicros,
) -> Result<EntryKind, StoreError> {
    let (org, id) = (scope.org.0, save.id.0);
    let over = |into: Option<IncidentId>| {
        sql(OVER).bind(org).bind(id).bind(at.0).bind(into.map(|into| into.0))
    };
    Ok(match save.step {
        IncidentStep::Opened => EntryKind::Opened,
        IncidentStep::Refreshed | IncidentStep::Revised => EntryKind::Revised,
        IncidentStep::Worsened => {
            if get(tx, scope, save.id).await?.state == IncidentState::Open {
                return Ok(EntryKind::Revised);
            }
            sql(AGAIN).bind(org).bind(id).execute(tx).await?;
            EntryKind::Reopened
        }
        IncidentStep::NotBack => EntryKind::NotBack,
        IncidentStep::Resolved => {
            over(None).execute(tx).await?;
            EntryKind::Resolved
        }
        IncidentStep::Merged { into } => {
            over(Some(into)).execute(tx).await?;
            EntryKind::Merged
        }
        IncidentStep::Reopened => {
            sql(AGAIN).bind(org).bind(id).execute(tx).await?;
            EntryKind::Reopened
        }
        IncidentStep::CauseChanged => {
            // Whoever closed it closed another cause.
            if get(tx, scope, save.id).await?.state != IncidentState::Open {
                sql(AGAIN).bind(org).bind(id).execute(tx).await?;
                let note = "what it was closed as is no longer its cause";
                let entry = Entry { kind: EntryKind::Reopened, note, is_told: false, trace: None };
                add_entry(tx, scope, save.id, &entry, at).await?;
            }
            EntryKind::CauseChanged
        }
    })
}

async fn revise(
    tx: &mut Tx,
    scope: &Scope,
    turn: &IncidentTurn,
    save: &IncidentSave,
) -> Result<(), StoreError> {
    let mut body: IncidentBody = save.body.clone();
    // What it rests on is read as text; which pairs, is with the incident.
    for piece in body.causes.iter_mut().flat_map(|cause| &mut cause.evidence) {
        piece.refs.clear();
    }
    sql(REVISION_ADD)
        .bind(scope.org.0)
        .bind(save.id.0)
        .bind(save.revision)
        .bind(turn.at.0)
        .bind(&save.note)
        .bind(&save.sentence)
        .bind(to_string(&body).map_err(|_| damaged("body_json"))?)
        .bind(big(turn.inventory_version))
        .bind(big(turn.log_position.0))
        .execute(tx)
        .await?;
    let gone = save.revision.saturating_sub(REVISIONS_MAX - 1);
    sql(REVISIONS_OVER).bind(scope.org.0).bind(save.id.0).bind(gone).execute(tx).await?;
    Ok(())
}

/// Notes what it is found by.
async fn name(tx: &mut Tx, scope: &Scope, save: &IncidentSave) -> Result<(), StoreError> {
    let causes = save.body.causes.iter().flat_map(|cause| &cause.elements);
    let elements = causes.chain(&save.body.impact.devices).map(|id| ("element", id));
    let targets = save.body.suppressed.iter().map(|one| ("target", &one.target));
    let hit = save.pairs.iter().map(|(_, target)| ("target", target));
    let names: BTreeSet<(&str, &String)> =
        elements.chain(targets).chain(hit).take(SUBJECTS_MAX).collect();
    let names: Vec<(&str, &String)> = names.into_iter().collect();
    SUBJECT_ADD
        .run(tx, &names, |(kind, name), row| {
            row.add(scope.org.0).add(*kind).add((*name).clone()).add(save.id.0);
        })
        .await?;
    Ok(())
}

/// What is new in a timeline.
pub(super) struct Entry<'a> {
    pub(super) kind: EntryKind,
    pub(super) note: &'a str,
    pub(super) is_told: bool,
    pub(super) trace: Option<TraceId>,
}

/// Adds to a timeline, under the name of the scope's actor.
pub(super) async fn add_entry(
    tx: &mut Tx,
    scope: &Scope,
    id: IncidentId,
    entry: &Entry<'_>,
    at: UtcMicros,
) -> Result<(), StoreError> {
    let count: u32 = sql(ENTRY_COUNT).bind(scope.org.0).bind(id.0).scalar(tx).await?;
    if ENTRIES_MAX <= count {
        let over = count + 1 - ENTRIES_MAX;
        let gone = sql(ENTRIES_OVER).bind(scope.org.0).bind(id.0).bind(over).execute(tx).await?;
        if gone < u64::from(over) {
            return Err(StoreError::TooMany { what: "entries", max: ENTRIES_MAX as usize });
        }
    }
    sql(ENTRY_ADD)
        .bind(scope.org.0)
        .bind(id.0)
        .bind(at.0)
        .bind(entry.kind.as_str())
        .bind(scope.actor.kind())
        .bind(scope.actor.id())
        .bind(scope.actor.name())
        .bind(entry.note)
        .bind(entry.is_told)
        .bind(entry.trace.map(|trace| trace.0))
        .execute(tx)
        .await?;
    Ok(())
}
