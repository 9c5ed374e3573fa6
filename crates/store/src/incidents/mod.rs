//! Incidents: what people were told is the matter, what was believed when, and what people did.
//!
//! What a judgement changes is written as a whole and once, with what people outside are told of
//! it. Whether something is an incident, and whether it is over, is not decided here.

mod digest;
mod list;
mod people;
mod rows;
mod turn;

use model::{
    CauseCode, EntryKind, IncidentId, IncidentState, LogPosition, MaintenanceId, OrgId, Severity,
    TargetId, TraceId, UtcMicros,
};
use serde::de::DeserializeOwned;

use crate::{
    PAGE_ROWS_MAX, Scope, Store, StoreError,
    db::{Conn, DbRow, Text, damaged, sql},
};

pub use digest::{DIGEST_NAMED_MAX, DigestAfter, DigestIncident, IncidentDigest};
pub use rows::*;

/// Revisions that are kept of one incident: the first, and the last ones.
pub const REVISIONS_MAX: u32 = 200;
/// What happened to one incident, at most: people are refused more, and of what the software did
/// the oldest goes.
pub const ENTRIES_MAX: u32 = 2_000;
/// Incidents of one organisation, open ones apart: beyond, the oldest go. At fifty a day five
/// years.
pub const INCIDENTS_KEPT_MAX: u32 = 100_000;
/// Incidents that a process goes on with: as many as the engine has open, and as many that closed.
const FOLLOWED_MAX: u32 = 2_000;

/// What a row of an incident is read from.
const COLUMNS: &str = "
           number, state, severity, is_followed, opened_at, onset_after, onset_until, resolved_at,
           closed_at, close_code, merged_into, revision, sentence, targets_down, targets_degraded,
           weight, owner_name, acknowledged_at, acknowledged_by, inventory_version, log_position,
           updated_at, maintenance_id, is_silent";
const HEAD: &str = "SELECT next_number FROM incident_head WHERE org_id = $1";
const ENTRIES: &str = "
    SELECT entry.id, entry.at, entry.kind, entry.actor_kind, entry.actor_name, entry.note,
           entry.is_told, trace.id AS trace_id, trace.target_id
      FROM incident_entry AS entry
      LEFT JOIN trace ON trace.id = entry.trace_id AND trace.org_id = entry.org_id
     WHERE entry.org_id = $1
       AND entry.number = $2
     ORDER BY entry.id
     LIMIT $3";
const REVISIONS: &str = "
    SELECT revision, at, why, sentence, body_json, inventory_version, log_position
      FROM incident_revision
     WHERE org_id = $1
       AND number = $2
     ORDER BY revision
     LIMIT $3";
const COUNTS: &str = "
    SELECT count(*) AS open, count(acknowledged_at) AS acknowledged
      FROM incident
     WHERE org_id = $1
       AND state = 'open'";

impl Store {
    /// What a process goes on with: incidents that are followed, and those that were resolved
    /// after `resolved_after`.
    pub async fn incidents_kept(
        &self,
        scope: &Scope,
        resolved_after: UtcMicros,
    ) -> Result<IncidentsKept, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let next: Option<u32> = sql(HEAD).bind(scope.org.0).scalar_optional(&mut tx).await?;
        let mut text = select(", body_json, pairs_json", scope.org);
        text.push(" AND (is_followed = 1 OR resolved_at > ");
        text.value(resolved_after.0).push(") ORDER BY number LIMIT ").value(FOLLOWED_MAX);
        let rows = text.fetch_all(&mut tx).await?;
        let kept = |row: &DbRow| {
            Ok(IncidentKept {
                row: incident_row(row)?,
                body: json(row, "body_json")?,
                pairs: json(row, "pairs_json")?,
            })
        };
        let incidents = rows.iter().map(kept).collect::<Result<_, StoreError>>()?;
        Ok(IncidentsKept { next: next.unwrap_or(1), incidents })
    }

    /// Lists a page of incidents.
    ///
    /// # Errors
    ///
    /// [`StoreError::CursorInvalid`] if `query.after` is not a `next` of the same order.
    pub async fn incident_list(
        &self,
        scope: &Scope,
        query: &IncidentQuery,
    ) -> Result<IncidentPage, StoreError> {
        let limit = query.limit.clamp(1, PAGE_ROWS_MAX);
        let mut tx = self.read(scope.org).await?;
        let rows = list::page(scope, query, limit)?.fetch_all(&mut tx).await?;
        let mut rows: Vec<IncidentRow> =
            rows.iter().map(incident_row).collect::<Result<_, StoreError>>()?;
        let has_next = (limit as usize) < rows.len();
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| has_next);
        let next = last.map(|row| list::cursor_of(query.sort, row));
        let counts = sql(COUNTS).bind(scope.org.0).fetch_one(&mut tx).await?;
        let open: u64 = counts.number("open")?;
        let unacknowledged = open.saturating_sub(counts.number("acknowledged")?);
        Ok(IncidentPage { rows, next, open, unacknowledged })
    }

    /// One incident with everything about it.
    pub async fn incident_get(
        &self,
        scope: &Scope,
        id: IncidentId,
    ) -> Result<IncidentFull, StoreError> {
        full(&mut *self.read(scope.org).await?, scope, id).await
    }

    /// What was believed of an incident, from the first on.
    pub async fn incident_revisions(
        &self,
        scope: &Scope,
        id: IncidentId,
    ) -> Result<Vec<IncidentRevision>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        get(&mut tx, scope, id).await?;
        let rows = sql(REVISIONS)
            .bind(scope.org.0)
            .bind(id.0)
            .bind(REVISIONS_MAX)
            .fetch_all(&mut tx)
            .await?;
        let revision = |row: &DbRow| {
            Ok(IncidentRevision {
                revision: row.number("revision")?,
                at: row.at("at")?,
                why: row.value("why")?,
                sentence: row.value("sentence")?,
                body: json(row, "body_json")?,
                inventory_version: row.number("inventory_version")?,
                log_position: LogPosition(row.number("log_position")?),
            })
        };
        rows.iter().map(revision).collect()
    }
}

/// Begins a statement over the incidents of an organisation.
fn select(further: &'static str, org: OrgId) -> Text {
    let mut text = Text::new("SELECT ");
    text.push(COLUMNS).push(further).push(" FROM incident WHERE org_id = ").value(org.0);
    text
}

pub(crate) async fn get(
    conn: &mut Conn,
    scope: &Scope,
    id: IncidentId,
) -> Result<IncidentRow, StoreError> {
    let mut text = select("", scope.org);
    text.push(" AND number = ").value(id.0);
    let rows = text.fetch_all(conn).await?;
    incident_row(rows.first().ok_or(StoreError::NotFound { what: "incident" })?)
}

async fn full(conn: &mut Conn, scope: &Scope, id: IncidentId) -> Result<IncidentFull, StoreError> {
    let mut text = select(", body_json, pairs_json", scope.org);
    text.push(" AND number = ").value(id.0);
    let rows = text.fetch_all(conn).await?;
    let row = rows.first().ok_or(StoreError::NotFound { what: "incident" })?;
    let entries =
        sql(ENTRIES).bind(scope.org.0).bind(id.0).bind(ENTRIES_MAX).fetch_all(conn).await?;
    Ok(IncidentFull {
        row: incident_row(row)?,
        body: json(row, "body_json")?,
        pairs: json(row, "pairs_json")?,
        entries: entries.iter().map(entry_row).collect::<Result<_, StoreError>>()?,
    })
}

fn json<T: DeserializeOwned>(row: &DbRow, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(row.value(column)?).map_err(|_| damaged(column))
}

fn incident_row(row: &DbRow) -> Result<IncidentRow, StoreError> {
    let code = |text: &str| CauseCode::parse(text).ok_or_else(|| damaged("close_code"));
    Ok(IncidentRow {
        id: IncidentId(row.number("number")?),
        state: row.parsed("state", IncidentState::parse)?,
        severity: row.parsed("severity", Severity::parse)?,
        is_followed: row.is("is_followed")?,
        opened_at: row.at("opened_at")?,
        onset: (row.at("onset_after")?, row.at("onset_until")?),
        resolved_at: row.at_opt("resolved_at")?,
        closed_at: row.at_opt("closed_at")?,
        close_code: row.value::<Option<&str>>("close_code")?.map(code).transpose()?,
        merged_into: row.number_opt("merged_into")?.map(IncidentId),
        revision: row.number("revision")?,
        sentence: row.value("sentence")?,
        targets_down: row.number("targets_down")?,
        targets_degraded: row.number("targets_degraded")?,
        weight: row.number("weight")?,
        owner: row.value("owner_name")?,
        acknowledged_at: row.at_opt("acknowledged_at")?,
        acknowledged_by: row.value("acknowledged_by")?,
        inventory_version: row.number("inventory_version")?,
        log_position: LogPosition(row.number("log_position")?),
        updated_at: row.at("updated_at")?,
        maintenance: maintained(row)?,
    })
}

fn maintained(row: &DbRow) -> Result<Option<Maintained>, StoreError> {
    let is_silent = row.is("is_silent")?;
    let window = row.number_opt("maintenance_id")?.map(MaintenanceId);
    Ok(window.map(|window| Maintained { window, is_silent }))
}

fn entry_row(row: &DbRow) -> Result<IncidentEntry, StoreError> {
    Ok(IncidentEntry {
        id: row.number("id")?,
        at: row.at("at")?,
        kind: row.parsed("kind", EntryKind::parse)?,
        actor_kind: row.value("actor_kind")?,
        actor_name: row.value("actor_name")?,
        note: row.value("note")?,
        is_told: row.is("is_told")?,
        trace: row
            .number_opt("trace_id")?
            .map(TraceId)
            .zip(row.number_opt("target_id")?.map(TargetId)),
    })
}
