//! What was held to be true: changes, minutes, and the gaps in which nobody watched.

use std::{collections::BTreeMap, iter};

use model::{
    AgentId, AgentState, Entity, Minute, MinuteCounts, MinuteTruth, ProbeId, TargetId, UtcMicros,
};

use crate::{
    AgentOutage, AgentRef, ChangeKind, ChangeRow, Freshness, MINUTES_MAX, MinuteGaps, MinuteSeries,
    MonitorGap, PAGE_ROWS_MAX, Ref, Scope, Store, StoreError, Who,
    chunks::{MinuteRecord, RoundRecord},
    code,
    db::{DbRow, Tx, damaged, sql},
    names,
    series::{self, Wanted},
};

/// Minutes of one request over all its agents: a day of a consensus and 63 agents.
const MINUTE_ROWS_MAX: usize = 64 * MINUTES_MAX as usize;

const CHANGES_RECENT: &str = "
    SELECT from_at, verdict_before, verdict, cause, why, agent_id, NULL AS agent_name,
           coalesce(target.id, tombstone.object_id) AS target_id,
           coalesce(target.name, tombstone.name) AS target_name
      FROM verdict_span
      LEFT JOIN probe ON probe.id = verdict_span.probe_id
      LEFT JOIN target ON target.id = probe.target_id
      LEFT JOIN tombstone ON tombstone.probe_id = verdict_span.probe_id
     WHERE verdict_span.org_id = $1
       AND verdict_span.agent_id = 0
       AND coalesce(target.name, tombstone.name) IS NOT NULL
     ORDER BY verdict_span.from_at DESC, verdict_span.id DESC
     LIMIT $2";
const AGENT_EVENTS_RECENT: &str = "
    SELECT agent_event.at, state_before, state, why, agent_id,
           coalesce(agent.name, tombstone.name) AS agent_name
      FROM agent_event
      LEFT JOIN agent ON agent.id = agent_event.agent_id
      LEFT JOIN tombstone ON tombstone.kind = 'agent'
                         AND tombstone.object_id = agent_event.agent_id
     WHERE agent_event.org_id = $1
       AND coalesce(agent.name, tombstone.name) IS NOT NULL
     ORDER BY agent_event.at DESC, agent_event.id DESC
     LIMIT $2";
const CHANGES_OF: &str = "
    SELECT from_at, verdict_before, verdict, cause, why, agent_id,
           coalesce(agent.name, tombstone.name) AS agent_name,
           target.id AS target_id, target.name AS target_name
      FROM target
      CROSS JOIN probe
      CROSS JOIN verdict_span
      LEFT JOIN agent ON agent.id = verdict_span.agent_id
      LEFT JOIN tombstone ON tombstone.kind = 'agent'
                         AND tombstone.object_id = verdict_span.agent_id
     WHERE target.org_id = $1
       AND target.id = $2
       AND probe.target_id = target.id
       AND verdict_span.probe_id = probe.id
     ORDER BY verdict_span.from_at DESC, verdict_span.id DESC
     LIMIT $3";
const TARGET_FOUND: &str = "SELECT count(*) FROM target WHERE org_id = $1 AND id = $2";

const AGENT_NAME: &str = "
    SELECT name FROM agent WHERE org_id = $1 AND id = $2
    UNION ALL
    SELECT name FROM tombstone WHERE org_id = $1 AND kind = 'agent' AND object_id = $2
    LIMIT 1";
const MINUTE_FIRST: &str = "
    SELECT minute FROM recorded_minute WHERE org_id = $1 ORDER BY minute LIMIT 1";
const MINUTES_MISSING: &str = "
    WITH RECURSIVE wanted (minute) AS (
        SELECT CAST($2 AS BIGINT)
         UNION ALL
        SELECT minute + 1 FROM wanted WHERE minute < $3
    )
    SELECT wanted.minute
      FROM wanted
     WHERE NOT EXISTS (
               SELECT 1
                 FROM recorded_minute
                WHERE recorded_minute.org_id = $1
                  AND recorded_minute.minute = wanted.minute)
     ORDER BY wanted.minute
     LIMIT $4";
const FRESHNESS: &str = "
    SELECT (SELECT newest_round_at FROM freshness WHERE org_id = $1) AS newest_round_at,
           (SELECT minute
              FROM recorded_minute
             WHERE org_id = $1
             ORDER BY minute DESC
             LIMIT 1) AS newest_minute";
const OUTAGES_OPEN: &str = "
    SELECT agent_id, name AS agent_name, state, since_at AS from_at, NULL AS to_at, why
      FROM agent_state_now
      JOIN agent ON agent.id = agent_state_now.agent_id
     WHERE agent_state_now.org_id = $1
       AND state IN ('offline', 'blind')
       AND since_at < $2
     ORDER BY since_at DESC, agent_id
     LIMIT $3";
// An event ends what the agent's event before it began.
const OUTAGES_ENDED: &str = "
    SELECT ended.agent_id, ended.state_before AS state, began.at AS from_at, ended.at AS to_at,
           began.why, coalesce(agent.name, tombstone.name) AS agent_name
      FROM agent_event AS ended
      JOIN agent_event AS began ON began.id = (
               SELECT max(id)
                 FROM agent_event AS earlier
                WHERE earlier.agent_id = ended.agent_id
                  AND earlier.id < ended.id)
      LEFT JOIN agent ON agent.id = ended.agent_id
      LEFT JOIN tombstone ON tombstone.kind = 'agent'
                         AND tombstone.object_id = ended.agent_id
     WHERE ended.org_id = $1
       AND ended.at > $2
       AND ended.state_before IN ('offline', 'blind')
       AND coalesce(agent.name, tombstone.name) IS NOT NULL
     ORDER BY ended.at DESC, ended.id DESC
     LIMIT $3";
const GAP_ADD: &str =
    "INSERT INTO monitor_gap (org_id, from_at, to_at, cause) VALUES ($1, $2, $3, $4)";
const GAPS: &str = "
    SELECT from_at, to_at, cause
      FROM monitor_gap
     WHERE org_id = $1
       AND to_at > $2
       AND from_at < $3
     ORDER BY to_at, id
     LIMIT $4";

impl Store {
    /// Lists what changed last: the consensus of targets and the state of agents, newest first.
    pub async fn changes_recent(
        &self,
        scope: &Scope,
        limit: u32,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let mut tx = self.read(scope.org).await?;
        let mut changes = Vec::new();
        for (text, read) in [
            (CHANGES_RECENT, verdict_change as fn(&DbRow) -> _),
            (AGENT_EVENTS_RECENT, agent_change),
        ] {
            let rows = sql(text).bind(scope.org.0).bind(limit).fetch_all(&mut tx).await?;
            for row in &rows {
                changes.push(read(row)?);
            }
        }
        changes.sort_by_key(|change: &ChangeRow| std::cmp::Reverse(change.at));
        changes.truncate(limit as usize);
        Ok(changes)
    }

    /// Lists what changed at a target, for its consensus and for each agent, and what its name
    /// stood for, newest first.
    pub async fn changes_of(
        &self,
        scope: &Scope,
        target: TargetId,
        limit: u32,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let mut tx = self.read(scope.org).await?;
        let found: i64 = sql(TARGET_FOUND).bind(scope.org.0).bind(target.0).scalar(&mut tx).await?;
        if found == 0 {
            return Err(StoreError::NotFound { what: "target" });
        }
        let rows =
            sql(CHANGES_OF).bind(scope.org.0).bind(target.0).bind(limit).fetch_all(&mut tx).await?;
        let mut changes: Vec<ChangeRow> =
            rows.iter().map(verdict_change).collect::<Result<_, StoreError>>()?;
        changes.extend(names::changes_of(&mut tx, scope, target, limit).await?);
        changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        changes.truncate(limit as usize);
        Ok(changes)
    }

    /// Reads the stored minutes from `from` to before `to`: the consensus first, then, if asked
    /// for, each agent that has any.
    ///
    /// Their round-trip times are those of the rounds that are stored: zero where those are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] if the range is longer than [`MINUTES_MAX`], or if so many agents
    /// ask the target that a shorter one is needed.
    pub async fn minutes(
        &self,
        scope: &Scope,
        probe: ProbeId,
        who: Who,
        from: Minute,
        to: Minute,
    ) -> Result<Vec<MinuteSeries>, StoreError> {
        if to <= from {
            return Ok(vec![MinuteSeries { agent: None, minutes: Vec::new() }]);
        }
        last_minute(from, to)?;
        let wanted = Wanted {
            org: scope.org,
            subject: probe.0,
            agent: None,
            from: from.start(),
            to: to.start(),
        };
        let mut tx = self.read(scope.org).await?;
        let said = Wanted { agent: who.agent(), ..wanted };
        let mut said = series::read::<MinuteRecord>(&mut tx, &said, self.damage()).await?;
        if MINUTE_ROWS_MAX < said.values().map(Vec::len).sum() {
            return Err(StoreError::TooMany {
                what: "minutes of all agents",
                max: MINUTE_ROWS_MAX,
            });
        }
        // The times of all together are those of every agent's rounds.
        let rounds = series::read::<RoundRecord>(&mut tx, &wanted, self.damage()).await?;
        let counted = counted(&rounds);
        let consensus = said.remove(&0).unwrap_or_default();
        let mut series = Vec::with_capacity(said.len().saturating_add(1));
        for (id, minutes) in iter::once((0, consensus)).chain(said) {
            let agent = match id {
                0 => None,
                id => Some(agent_name(&mut tx, scope, AgentId(id)).await?),
            };
            let truth = |record| minute(probe, id, record, &counted);
            let minutes = minutes.into_iter().map(truth).collect();
            series.push(MinuteSeries { agent, minutes });
        }
        Ok(series)
    }

    /// The newest round and minute there are.
    pub async fn freshness(&self, scope: &Scope) -> Result<Freshness, StoreError> {
        let row =
            sql(FRESHNESS).bind(scope.org.0).fetch_one(&mut *self.read(scope.org).await?).await?;
        Ok(Freshness {
            newest_round_at: row.at_opt("newest_round_at")?,
            newest_minute: row.value::<Option<i64>>("newest_minute")?.map(Minute),
        })
    }

    /// Lists the times in which an agent was offline or blind: those that began before `to` and
    /// last still, then those that ended after `from`, newest first; `limit` of each.
    pub async fn agent_outages(
        &self,
        scope: &Scope,
        from: UtcMicros,
        to: UtcMicros,
        limit: u32,
    ) -> Result<Vec<AgentOutage>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let mut outages = Vec::new();
        for (text, bound) in [(OUTAGES_OPEN, to), (OUTAGES_ENDED, from)] {
            let rows = sql(text)
                .bind(scope.org.0)
                .bind(bound.0)
                .bind(limit.min(PAGE_ROWS_MAX))
                .fetch_all(&mut tx)
                .await?;
            for row in &rows {
                outages.push(AgentOutage {
                    agent: agent_ref(row.number("agent_id")?, row, "agent_name")?,
                    state: row.parsed("state", AgentState::parse)?,
                    from: row.at("from_at")?,
                    to: row.at_opt("to_at")?,
                    why: row.value("why")?,
                });
            }
        }
        Ok(outages)
    }

    /// Counts the minutes from `from` to before `to` in which nothing was recorded at all, since
    /// the first one ever.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] if the range is longer than [`MINUTES_MAX`].
    pub async fn minute_gaps(
        &self,
        scope: &Scope,
        from: Minute,
        to: Minute,
    ) -> Result<MinuteGaps, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let first: Option<i64> =
            sql(MINUTE_FIRST).bind(scope.org.0).scalar_optional(&mut tx).await?;
        let Some(first) = first else {
            return Ok(MinuteGaps::default());
        };
        let from = from.max(Minute(first));
        if to <= from {
            return Ok(MinuteGaps::default());
        }
        let missing: Vec<i64> = sql(MINUTES_MISSING)
            .bind(scope.org.0)
            .bind(from.0)
            .bind(last_minute(from, to)?)
            .bind(MINUTES_MAX)
            .scalars(&mut tx)
            .await?;
        let mut gaps = MinuteGaps::default();
        for minute in missing {
            match gaps.runs.last_mut() {
                Some((start, count)) if start.0.saturating_add(i64::from(*count)) == minute => {
                    *count = count.saturating_add(1);
                }
                Some(_) | None => gaps.runs.push((Minute(minute), 1)),
            }
        }
        Ok(gaps)
    }

    /// Records a time in which the monitoring itself did not work.
    pub async fn gap_add(&self, scope: &Scope, gap: &MonitorGap) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        sql(GAP_ADD)
            .bind(scope.org.0)
            .bind(gap.from.0)
            .bind(gap.to.0)
            .bind(code::of_cause(gap.cause))
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Lists the gaps that touch the range, oldest first.
    pub async fn gaps(
        &self,
        scope: &Scope,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<MonitorGap>, StoreError> {
        let rows = sql(GAPS)
            .bind(scope.org.0)
            .bind(from.0)
            .bind(to.0)
            .bind(PAGE_ROWS_MAX)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(MonitorGap {
                    from: row.at("from_at")?,
                    to: row.at("to_at")?,
                    cause: row.cause("cause")?,
                })
            })
            .collect()
    }
}

/// The last minute before `to`, of a range that is not too long.
fn last_minute(from: Minute, to: Minute) -> Result<i64, StoreError> {
    if i64::from(MINUTES_MAX) < to.0.saturating_sub(from.0) {
        return Err(StoreError::TooMany { what: "minutes", max: MINUTES_MAX as usize });
    }
    Ok(to.0.saturating_sub(1))
}

fn agent_ref(id: u32, row: &DbRow, column: &'static str) -> Result<AgentRef, StoreError> {
    Ok(Ref { id: AgentId(id), name: row.name(column)? })
}

fn verdict_change(row: &DbRow) -> Result<ChangeRow, StoreError> {
    let target = Ref { id: TargetId(row.number("target_id")?), name: row.name("target_name")? };
    let agent = match row.number("agent_id")? {
        0 => None,
        id => Some(agent_ref(id, row, "agent_name")?),
    };
    Ok(ChangeRow {
        at: row.at("from_at")?,
        target: Some(target),
        agent,
        kind: ChangeKind::Verdict {
            from: row.verdict("verdict_before")?,
            to: row.verdict("verdict")?,
            cause: row.cause("cause")?,
        },
        why: row.value("why")?,
    })
}

fn agent_change(row: &DbRow) -> Result<ChangeRow, StoreError> {
    Ok(ChangeRow {
        at: row.at("at")?,
        target: None,
        agent: Some(agent_ref(row.number("agent_id")?, row, "agent_name")?),
        kind: ChangeKind::Agent {
            from: row.parsed("state_before", AgentState::parse)?,
            to: row.parsed("state", AgentState::parse)?,
        },
        why: row.value("why")?,
    })
}

/// What rounds add up to in each minute: of an agent, and of all as agent 0.
fn counted(rounds: &BTreeMap<u32, Vec<RoundRecord>>) -> BTreeMap<(u32, Minute), MinuteCounts> {
    let mut counted: BTreeMap<(u32, Minute), MinuteCounts> = BTreeMap::new();
    for (agent, rounds) in rounds {
        for round in rounds {
            for agent in [0, *agent] {
                counted.entry((agent, round.at.minute())).or_default().count(&round.outcome);
            }
        }
    }
    counted
}

fn minute(
    probe: ProbeId,
    agent: u32,
    record: MinuteRecord,
    counted: &BTreeMap<(u32, Minute), MinuteCounts>,
) -> MinuteTruth {
    let MinuteRecord { minute, verdict, cause, mut counts, revision, said_first } = record;
    let times = counted.get(&(agent, minute)).filter(|_| 0 < counts.received);
    if let Some(times) = times {
        counts.rtt_us_min = times.rtt_us_min;
        counts.rtt_us_sum = times.rtt_us_sum;
        counts.rtt_us_max = times.rtt_us_max;
    }
    let entity = match agent {
        0 => Entity::Consensus { probe },
        id => Entity::Pair { probe, agent: AgentId(id) },
    };
    MinuteTruth { entity, minute, verdict, cause, counts, revision, said_first }
}

/// Finds the name of an agent that recorded something, also if it was deleted.
pub(crate) async fn agent_name(
    tx: &mut Tx,
    scope: &Scope,
    agent: AgentId,
) -> Result<AgentRef, StoreError> {
    let row = sql(AGENT_NAME).bind(scope.org.0).bind(agent.0).fetch_optional(tx);
    let row = row.await?.ok_or_else(|| damaged("history_chunk.agent"))?;
    agent_ref(agent.0, &row, "name")
}
