//! What changed of incidents in a while, counted: for those who were not told of each thing.

use std::collections::BTreeMap;

use model::{EntryKind, IncidentId, IncidentState, Severity, UtcMicros};

use super::{COUNTS, IncidentBody, json};
use crate::{
    Scope, Store, StoreError,
    db::{DbRow, sql},
};

/// Incidents that one digest is made of, those that changed last.
const DIGEST_INCIDENTS_MAX: u32 = 500;

const CHANGED: &str = "
    SELECT number, state, severity, sentence, body_json
      FROM incident
     WHERE org_id = $1
       AND updated_at > $2
       AND number IN (
               SELECT number
                 FROM incident_entry
                WHERE org_id = $1
                  AND at > $2
                  AND at <= $3
           )
     ORDER BY updated_at DESC, number DESC
     LIMIT $4";
const ENTRIES: &str = "
    SELECT number, kind, is_told, count(*) AS count, min(at) AS at
      FROM incident_entry
     WHERE org_id = $1
       AND at > $2
       AND at <= $3
       AND number IN (SELECT number FROM incident WHERE org_id = $1 AND updated_at > $2)
     GROUP BY number, kind, is_told
     ORDER BY number, kind, is_told";
/// What became of incidents in a while.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentDigest {
    /// How often each thing happened, whether people outside were told of it or not.
    pub happened: BTreeMap<EntryKind, u32>,
    /// Of these, what they were not told.
    pub untold: u32,
    /// When the first of those happened.
    pub untold_since: Option<UtcMicros>,
    /// Those that changed, the worst first.
    pub incidents: Vec<DigestIncident>,
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
    /// Counts what happened after `from` and until `until`.
    pub async fn incident_digest(
        &self,
        scope: &Scope,
        (from, until): (UtcMicros, UtcMicros),
    ) -> Result<IncidentDigest, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let mut digest = IncidentDigest::default();
        let mut untold: BTreeMap<u32, u32> = BTreeMap::new();
        let rows =
            sql(ENTRIES).bind(scope.org.0).bind(from.0).bind(until.0).fetch_all(&mut tx).await?;
        for row in &rows {
            let count: u32 = row.number("count")?;
            *digest.happened.entry(row.parsed("kind", EntryKind::parse)?).or_default() += count;
            if !row.is("is_told")? {
                let at = row.at("at")?;
                digest.untold += count;
                digest.untold_since = Some(digest.untold_since.map_or(at, |first| first.min(at)));
                *untold.entry(row.number("number")?).or_default() += count;
            }
        }
        let rows = sql(CHANGED)
            .bind(scope.org.0)
            .bind(from.0)
            .bind(until.0)
            .bind(DIGEST_INCIDENTS_MAX)
            .fetch_all(&mut tx)
            .await?;
        for row in &rows {
            digest.incidents.push(changed(row, &untold)?);
        }
        digest.incidents.sort_by_key(|one| (one.severity, std::cmp::Reverse(one.id)));
        let counts = sql(COUNTS).bind(scope.org.0).fetch_one(&mut tx).await?;
        digest.open = counts.number("open")?;
        digest.unacknowledged = digest.open.saturating_sub(counts.number("acknowledged")?);
        Ok(digest)
    }
}

fn changed(row: &DbRow, untold: &BTreeMap<u32, u32>) -> Result<DigestIncident, StoreError> {
    let number = row.number("number")?;
    let body: IncidentBody = json(row, "body_json")?;
    Ok(DigestIncident {
        id: IncidentId(number),
        state: row.parsed("state", IncidentState::parse)?,
        severity: row.parsed("severity", Severity::parse)?,
        sentence: row.value("sentence")?,
        untold: untold.get(&number).copied().unwrap_or(0),
        suppressed_total: body.suppressed_total,
    })
}
