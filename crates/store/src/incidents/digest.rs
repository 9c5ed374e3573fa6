//! What changed of incidents in a while, counted: for those who were not told of each thing.
//!
//! Entries of timelines are counted by their ids, in the order in which they were written: what is
//! written late, when the database was busy, is counted then, and nothing twice.

use std::collections::BTreeMap;

use model::{EntryKind, IncidentId, IncidentState, Severity, UtcMicros};

use super::{COUNTS, IncidentBody, json};
use crate::{
    Actor, Scope, Store, StoreError,
    db::{Conn, DbRow, Text, big, sql},
};

/// Incidents that a digest names, the worst; the console has all.
pub const DIGEST_NAMED_MAX: usize = 20;
/// Incidents that are read for a digest, those that changed last: each has a body.
const DIGEST_READ_MAX: u32 = 500;
/// What only people do, also when the software does it for them.
const BY_PEOPLE: [EntryKind; 5] = [
    EntryKind::Acknowledged,
    EntryKind::Unacknowledged,
    EntryKind::Assigned,
    EntryKind::Commented,
    EntryKind::Closed,
];

// `+org_id`: a range of ids is short, and the entries of an organisation are many; with the sign
// SQLite does not go by the index that begins with the organisation.
const FIRST: &str = "
    SELECT id
      FROM incident_entry
     WHERE +org_id = $1
       AND id > $2
       AND at > $3
       AND is_told = 0
       AND kind NOT IN ('traced', 'path_changed')
     ORDER BY id
     LIMIT 1";
const LAST: &str = "
    SELECT id
      FROM incident_entry
     WHERE +org_id = $1
       AND id >= $2
       AND at <= $3
     ORDER BY id DESC
     LIMIT 1";
const HAPPENED: &str = "
    SELECT kind, is_told, actor_kind, count(*) AS count, min(at) AS at
      FROM incident_entry
     WHERE +org_id = $1
       AND id >= $2
       AND id <= $3
       AND kind NOT IN ('traced', 'path_changed')
     GROUP BY kind, is_told, actor_kind";
const CHANGED_COUNT: &str = "
    SELECT count(DISTINCT number)
      FROM incident_entry
     WHERE +org_id = $1
       AND id >= $2
       AND id <= $3";
const CHANGED: &str = "
    SELECT number, state, severity, sentence, body_json
      FROM incident
     WHERE org_id = $1
       AND number IN (
               SELECT number
                 FROM incident_entry
                WHERE +org_id = $1
                  AND id >= $2
                  AND id <= $3
           )
     ORDER BY updated_at DESC, number DESC
     LIMIT $4";
const UNTOLD: &str = "
    SELECT number, count(*) AS count
      FROM incident_entry
     WHERE is_told = 0
       AND org_id = ";

/// What a digest begins after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAfter {
    /// The last entry that the digest before counted.
    Entry(u64),
    /// There is none before: what happened later than this.
    Time(UtcMicros),
}

/// What became of incidents in a while.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentDigest {
    /// How often each thing happened, whether people outside were told of it or not.
    pub happened: BTreeMap<EntryKind, u32>,
    /// Of these, what people did.
    pub by_people: u32,
    /// When the first thing happened that people outside were not told of.
    pub since: UtcMicros,
    /// The last entry that is counted.
    pub last_entry: u64,
    /// The worst of those that changed, the worst first: at most [`DIGEST_NAMED_MAX`].
    pub incidents: Vec<DigestIncident>,
    /// How many changed.
    pub incidents_total: u32,
    /// Targets whose own alert those stand for that changed.
    pub suppressed_total: usize,
    /// More incidents changed than were read for that.
    pub is_suppressed_more: bool,
    /// Open now, of all.
    pub open: u64,
    pub unacknowledged: u64,
}

/// An incident that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct DigestIncident {
    pub id: IncidentId,
    pub state: IncidentState,
    pub severity: Severity,
    pub sentence: String,
    /// Changes that people were not told of.
    pub untold: u32,
    /// Targets whose own alert it stands for.
    pub suppressed_total: usize,
}

impl Store {
    /// Counts what was written from the first thing on that people were not told of, and that no
    /// digest counted, to the last thing that happened until `until`; `None` if there is nothing.
    pub async fn incident_digest(
        &self,
        scope: &Scope,
        after: DigestAfter,
        until: UtcMicros,
    ) -> Result<Option<IncidentDigest>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let Some(range) = range(&mut tx, scope, after, until).await? else { return Ok(None) };
        let mut digest = happened(&mut tx, scope, range).await?;
        let on = |text: &'static str| sql(text).bind(scope.org.0).bind(range.0).bind(range.1);
        digest.incidents_total = on(CHANGED_COUNT).scalar(&mut tx).await?;
        let rows = on(CHANGED).bind(DIGEST_READ_MAX).fetch_all(&mut tx).await?;
        digest.incidents = rows.iter().map(changed).collect::<Result<_, StoreError>>()?;
        digest.is_suppressed_more = rows.len() < digest.incidents_total as usize;
        digest.suppressed_total = digest.incidents.iter().map(|one| one.suppressed_total).sum();
        digest.incidents.sort_by_key(|one| (one.severity, std::cmp::Reverse(one.id)));
        digest.incidents.truncate(DIGEST_NAMED_MAX);
        count_untold(&mut tx, scope, range, &mut digest.incidents).await?;
        let counts = sql(COUNTS).bind(scope.org.0).fetch_one(&mut tx).await?;
        digest.open = counts.number("open")?;
        digest.unacknowledged = digest.open.saturating_sub(counts.number("acknowledged")?);
        Ok(Some(digest))
    }
}

/// The first and the last entry that are counted.
async fn range(
    conn: &mut Conn,
    scope: &Scope,
    after: DigestAfter,
    until: UtcMicros,
) -> Result<Option<(i64, i64)>, StoreError> {
    let (entry, at) = match after {
        DigestAfter::Entry(id) => (big(id), i64::MIN),
        DigestAfter::Time(at) => (0, at.0),
    };
    let first = sql(FIRST).bind(scope.org.0).bind(entry).bind(at);
    let first: Option<i64> = first.scalar_optional(conn).await?;
    let Some(first) = first else { return Ok(None) };
    let last = sql(LAST).bind(scope.org.0).bind(first).bind(until.0);
    let last: Option<i64> = last.scalar_optional(conn).await?;
    Ok(last.map(|last| (first, last)))
}

async fn happened(
    conn: &mut Conn,
    scope: &Scope,
    (first, last): (i64, i64),
) -> Result<IncidentDigest, StoreError> {
    let mut digest = IncidentDigest {
        since: UtcMicros(i64::MAX),
        last_entry: u64::try_from(last).unwrap_or(0),
        ..IncidentDigest::default()
    };
    let rows = sql(HAPPENED).bind(scope.org.0).bind(first).bind(last).fetch_all(conn).await?;
    for row in &rows {
        let kind = row.parsed("kind", EntryKind::parse)?;
        let count: u32 = row.number("count")?;
        *digest.happened.entry(kind).or_default() += count;
        if BY_PEOPLE.contains(&kind) || row.value::<&str>("actor_kind")? != Actor::System.kind() {
            digest.by_people += count;
        }
        if !row.is("is_told")? {
            digest.since = digest.since.min(row.at("at")?);
        }
    }
    Ok(digest)
}

/// Counts for each of these what people were not told of it.
async fn count_untold(
    conn: &mut Conn,
    scope: &Scope,
    (first, last): (i64, i64),
    incidents: &mut [DigestIncident],
) -> Result<(), StoreError> {
    let mut text = Text::new(UNTOLD);
    text.value(scope.org.0).push(" AND id >= ").value(first).push(" AND id <= ").value(last);
    text.push(" AND number IN (");
    for (index, one) in incidents.iter().enumerate() {
        text.push(if index == 0 { "" } else { ", " }).value(one.id.0);
    }
    text.push(") GROUP BY number");
    for row in text.fetch_all(conn).await? {
        let number: u32 = row.number("number")?;
        if let Some(one) = incidents.iter_mut().find(|one| one.id.0 == number) {
            one.untold = row.number("count")?;
        }
    }
    Ok(())
}

fn changed(row: &DbRow) -> Result<DigestIncident, StoreError> {
    let body: IncidentBody = json(row, "body_json")?;
    Ok(DigestIncident {
        id: IncidentId(row.number("number")?),
        state: row.parsed("state", IncidentState::parse)?,
        severity: row.parsed("severity", Severity::parse)?,
        sentence: row.value("sentence")?,
        untold: 0,
        suppressed_total: body.suppressed_total,
    })
}
