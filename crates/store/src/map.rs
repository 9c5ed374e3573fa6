//! What a map is drawn of: all targets with what is held of them, now and at a moment of the past,
//! and the incidents that were open then.

use model::{AgentId, IncidentId, IncidentState, ProbeId, Severity, TargetId, UtcMicros, Verdict};

use crate::{
    IncidentBody, Scope, Store, StoreError,
    db::{DbRow, damaged, sql},
};

/// Rows read at a time: bounds the memory of one statement.
const PAGE_ROWS: u32 = 10_000;
/// Incidents that a map shows at once, the newest: more are no map any more.
pub const MAP_INCIDENTS_MAX: u32 = 200;
/// Verdicts of the past that were replaced since: those of the largest fleet, each once.
const SPANS_MAX: u32 = 1_000_000;

/// A target with its probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapTarget {
    pub target: TargetId,
    pub probe: ProbeId,
    pub name: String,
    pub is_paused: bool,
    pub tags: Vec<String>,
}

/// What is held of a probe since a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapHeld {
    pub probe: ProbeId,
    /// `None`: all agents together.
    pub agent: Option<AgentId>,
    pub verdict: Verdict,
    pub since: UtcMicros,
}

/// What was held of a probe at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSpan {
    pub probe: ProbeId,
    /// `None`: all agents together.
    pub agent: Option<AgentId>,
    pub verdict: Verdict,
}

/// An incident as it was believed to be.
#[derive(Clone, Debug, PartialEq)]
pub struct MapIncident {
    pub id: IncidentId,
    pub severity: Severity,
    pub sentence: String,
    pub opened_at: UtcMicros,
    pub body: IncidentBody,
}

const TARGETS: &str = "
    SELECT target.id, target.name, target.is_paused, probe.id AS probe_id,
           (SELECT string_agg(tag, ',' ORDER BY tag)
              FROM target_tag
             WHERE target_tag.target_id = target.id) AS tags
      FROM target
      JOIN probe ON probe.target_id = target.id
     WHERE target.org_id = $1
       AND target.id > $2
     ORDER BY target.id
     LIMIT $3";
const HELD: &str = "
    SELECT probe_id, agent_id, verdict, since_at
      FROM verdict_now
     WHERE org_id = $1
       AND (probe_id > $2 OR (probe_id = $2 AND agent_id > $3))
     ORDER BY probe_id, agent_id
     LIMIT $4";
const SPANS: &str = "
    SELECT probe_id, agent_id, verdict
      FROM verdict_span
     WHERE org_id = $1
       AND to_at > $2
       AND from_at <= $2
     LIMIT $3";
const INCIDENTS_OPEN: &str = "
    SELECT number, severity, sentence, opened_at, body_json
      FROM incident
     WHERE org_id = $1
       AND state = $2
     ORDER BY number DESC
     LIMIT $3";
// What was believed of each at that moment.
const INCIDENTS_AT: &str = "
    SELECT incident.number, incident.severity, incident.opened_at, said.sentence, said.body_json
      FROM incident
      JOIN incident_revision AS said ON said.org_id = incident.org_id
                                    AND said.number = incident.number
     WHERE incident.org_id = $1
       AND incident.opened_at <= $2
       AND (incident.state = 'open'
            OR coalesce(incident.resolved_at, incident.closed_at, incident.opened_at) > $2)
       AND said.revision = (
               SELECT max(earlier.revision)
                 FROM incident_revision AS earlier
                WHERE earlier.org_id = incident.org_id
                  AND earlier.number = incident.number
                  AND earlier.at <= $2)
     ORDER BY incident.number DESC
     LIMIT $3";

impl Store {
    /// Every target with its tags, by id.
    pub async fn map_targets(&self, scope: &Scope) -> Result<Vec<MapTarget>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let mut all: Vec<MapTarget> = Vec::new();
        loop {
            let after = all.last().map_or(0, |row| row.target.0);
            let rows = sql(TARGETS).bind(scope.org.0).bind(after).bind(PAGE_ROWS);
            let rows = rows.fetch_all(&mut tx).await?;
            for row in &rows {
                let tags = row.value::<Option<&str>>("tags")?.unwrap_or_default();
                all.push(MapTarget {
                    target: TargetId(row.number("id")?),
                    probe: ProbeId(row.number("probe_id")?),
                    name: row.value("name")?,
                    is_paused: row.is("is_paused")?,
                    tags: tags
                        .split(',')
                        .filter(|tag| !tag.is_empty())
                        .map(str::to_owned)
                        .collect(),
                });
            }
            if rows.len() < PAGE_ROWS as usize {
                return Ok(all);
            }
        }
    }

    /// What is held of every probe, by all agents together and by each, by probe.
    pub async fn map_held(&self, scope: &Scope) -> Result<Vec<MapHeld>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let mut all: Vec<MapHeld> = Vec::new();
        loop {
            let after = all.last().map_or((0, -1), |row| {
                (i64::from(row.probe.0), row.agent.map_or(0, |agent| i64::from(agent.0)))
            });
            let rows = sql(HELD)
                .bind(scope.org.0)
                .bind(after.0)
                .bind(after.1)
                .bind(PAGE_ROWS)
                .fetch_all(&mut tx)
                .await?;
            for row in &rows {
                all.push(MapHeld {
                    probe: ProbeId(row.number("probe_id")?),
                    agent: agent(row)?,
                    verdict: row.verdict("verdict")?,
                    since: row.at("since_at")?,
                });
            }
            if rows.len() < PAGE_ROWS as usize {
                return Ok(all);
            }
        }
    }

    /// What was held at a moment and is not any more.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] if more changed since than are read at once.
    pub async fn map_spans(
        &self,
        scope: &Scope,
        at: UtcMicros,
    ) -> Result<Vec<MapSpan>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let rows =
            sql(SPANS).bind(scope.org.0).bind(at.0).bind(SPANS_MAX).fetch_all(&mut tx).await?;
        if SPANS_MAX as usize <= rows.len() {
            let max = SPANS_MAX as usize;
            return Err(StoreError::TooMany { what: "verdicts that changed since", max });
        }
        let span = |row: &DbRow| {
            Ok(MapSpan {
                probe: ProbeId(row.number("probe_id")?),
                agent: agent(row)?,
                verdict: row.verdict("verdict")?,
            })
        };
        rows.iter().map(span).collect()
    }

    /// Incidents that are open, or were at a moment, as they were believed to be then; the newest
    /// first, at most [`MAP_INCIDENTS_MAX`].
    pub async fn map_incidents(
        &self,
        scope: &Scope,
        at: Option<UtcMicros>,
    ) -> Result<Vec<MapIncident>, StoreError> {
        let query = match at {
            None => sql(INCIDENTS_OPEN).bind(scope.org.0).bind(IncidentState::Open.as_str()),
            Some(at) => sql(INCIDENTS_AT).bind(scope.org.0).bind(at.0),
        };
        let mut tx = self.read(scope.org).await?;
        let rows = query.bind(MAP_INCIDENTS_MAX).fetch_all(&mut tx).await?;
        rows.iter().map(incident).collect()
    }
}

/// `None` stands for all agents together.
fn agent(row: &DbRow) -> Result<Option<AgentId>, StoreError> {
    let id: u32 = row.number("agent_id")?;
    Ok(Some(AgentId(id)).filter(|id| id.0 != 0))
}

fn incident(row: &DbRow) -> Result<MapIncident, StoreError> {
    let body: IncidentBody =
        serde_json::from_str(row.value("body_json")?).map_err(|_| damaged("body_json"))?;
    Ok(MapIncident {
        id: IncidentId(row.number("number")?),
        severity: row.parsed("severity", Severity::parse)?,
        sentence: row.value("sentence")?,
        opened_at: row.at("opened_at")?,
        body,
    })
}
