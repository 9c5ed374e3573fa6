//! The engine's side: its decisions, the rounds behind them and how far the log is applied, in
//! one transaction. Nobody may act on a decision before it is here.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    AgentId, AgentStateChange, Decision, DecisionKind, Entity, LogPosition, MinuteTruth,
    NameChange, OrgId, UtcMicros, VerdictChange,
};

use crate::{
    Applied, Checkpoint, Commit, Highwater, Store, StoreError,
    chunks::{Key, MinuteRecord},
    code,
    db::{Bulk, Conn, DbRow, Tx, big, sql},
    metrics, names, rounds, series, streams,
};

/// Checkpoints kept: the newest, and the one before in case it cannot be read.
const CHECKPOINTS: u32 = 2;
/// Highwaters read at once. All are read, page by page: without its mark, a batch counts twice.
const HIGHWATERS_PAGE: u32 = 500;

// Above organisations: the engine is one.
const STATE: &str = "
    SELECT position, inventory_version, alive_at FROM engine_state WHERE id = 1";
// Above organisations: the engine is one.
const STATE_SET: &str = "
    UPDATE engine_state SET position = $1, inventory_version = $2, alive_at = $3 WHERE id = 1";
// Above organisations: the engine is one.
const ALIVE_SET: &str = "UPDATE engine_state SET alive_at = $1 WHERE id = 1";
// Above organisations: the engine is one.
const CHECKPOINT_ADD: &str = "
    INSERT INTO engine_checkpoint (position, at, body) VALUES ($1, $2, $3)";
// Above organisations: the engine is one.
const CHECKPOINTS_TRIM: &str = "
    DELETE FROM engine_checkpoint
     WHERE position NOT IN (
               SELECT position FROM engine_checkpoint ORDER BY position DESC LIMIT $1)";
// Above organisations: the engine is one.
const CHECKPOINTS_KEPT: &str = "
    SELECT position, at, body FROM engine_checkpoint ORDER BY position DESC LIMIT $1";
// Above organisations: the engine is one.
const CHECKPOINT_DELETE: &str = "DELETE FROM engine_checkpoint WHERE position = $1";
// Above organisations: the engine hears all agents.
const HIGHWATERS: &str = "
    SELECT agent_id, epoch, seq
      FROM highwater
     WHERE (agent_id, epoch) > ($1, $2)
     ORDER BY agent_id, epoch
     LIMIT $3";
// Columns of a VALUES list are column1, column2, … here and on PostgreSQL.
const HIGHWATER_SET: Bulk = Bulk {
    head: "INSERT INTO highwater (agent_id, epoch, org_id, seq, at)
           SELECT agent.id, mark.column2, agent.org_id, mark.column3, mark.column4
             FROM (VALUES",
    columns: 4,
    tail: ") AS mark
             JOIN agent ON agent.id = mark.column1
            WHERE TRUE
           ON CONFLICT (agent_id, epoch) DO UPDATE SET seq = excluded.seq, at = excluded.at
            WHERE highwater.seq < excluded.seq",
};
const AGENT_STATE_SET: &str = "
    INSERT INTO agent_state_now (agent_id, org_id, state, since_at, why)
    SELECT id, org_id, $2, $3, $4 FROM agent WHERE id = $1
    ON CONFLICT (agent_id) DO UPDATE
       SET state = excluded.state, since_at = excluded.since_at, why = excluded.why";
const AGENT_EVENT_ADD: &str = "
    INSERT INTO agent_event (org_id, agent_id, state_before, state, at, why, position)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

// Above organisations: ids of probes are of one organisation each.
const SPAN_END: Bulk = Bulk {
    head: "UPDATE verdict_span SET to_at = ended.column3 FROM (VALUES",
    columns: 3,
    tail: ") AS ended
           WHERE verdict_span.probe_id = ended.column1
             AND verdict_span.agent_id = ended.column2
             AND verdict_span.to_at IS NULL",
};
const SPAN_ADD: Bulk = Bulk {
    head: "INSERT INTO verdict_span (
               org_id, probe_id, agent_id, verdict_before, verdict, cause, why,
               from_at, to_at, position, inventory_version
           ) VALUES",
    columns: 11,
    tail: "",
};
const NOW_SET: Bulk = Bulk {
    head: "INSERT INTO verdict_now (
               probe_id, agent_id, org_id, verdict, cause, why, since_at
           ) VALUES",
    columns: 7,
    tail: "ON CONFLICT (probe_id, agent_id) DO UPDATE
           SET verdict = excluded.verdict, cause = excluded.cause, why = excluded.why,
               since_at = excluded.since_at",
};
// Above organisations: ids of probes are of one organisation each.
const TARGET_NOW: Bulk = Bulk {
    head: "UPDATE target SET verdict_order = held.column2, since_at = held.column3 FROM (VALUES",
    columns: 3,
    // A join with probe would let the planner scan every target.
    tail: ") AS held
           WHERE target.id = (SELECT target_id FROM probe WHERE probe.id = held.column1)",
};
const MINUTE_RECORDED: Bulk = Bulk {
    head: "INSERT INTO recorded_minute (org_id, minute) VALUES",
    columns: 2,
    tail: "ON CONFLICT (org_id, minute) DO NOTHING",
};
// What was deleted while the engine did not know it yet: nothing may be held of it.
// Above organisations: the engine hears every change.
const UNHEARD: &str = "SELECT count(*) FROM tombstone WHERE version > $1";
// Above organisations: the engine hears every change.
const UNHEARD_FORGET: [&str; 4] = [
    "DELETE FROM verdict_now
      WHERE probe_id IN (SELECT probe_id FROM tombstone WHERE version > $1)",
    "DELETE FROM verdict_now
      WHERE agent_id IN (
                SELECT object_id FROM tombstone WHERE version > $1 AND kind = 'agent')",
    "UPDATE verdict_span
        SET to_at = from_at
      WHERE to_at IS NULL
        AND probe_id IN (SELECT probe_id FROM tombstone WHERE version > $1)",
    "UPDATE verdict_span
        SET to_at = from_at
      WHERE to_at IS NULL
        AND agent_id IN (
                SELECT object_id FROM tombstone WHERE version > $1 AND kind = 'agent')",
];

/// A decision's content with the organisation it belongs to.
type Owned<'a, T> = (OrgId, &'a T);

#[derive(Default)]
struct Sorted<'a> {
    verdicts: Vec<Owned<'a, VerdictChange>>,
    minutes: Vec<Owned<'a, MinuteTruth>>,
    agents: Vec<Owned<'a, AgentStateChange>>,
    names: Vec<Owned<'a, NameChange>>,
}

impl Store {
    /// Stores one turn of the engine; false if it was stored before, and then changes nothing.
    pub async fn commit(&self, commit: &Commit<'_>, now: UtcMicros) -> Result<bool, StoreError> {
        let sorted = sort(commit.decisions);
        let mut tx = self.write_above().await?;
        if commit.position <= applied(&mut tx).await?.position {
            return Ok(false);
        }
        write_verdicts(&mut tx, &sorted.verdicts, commit).await?;
        write_minutes(&mut tx, &sorted.minutes, now).await?;
        for (org, change) in &sorted.agents {
            write_agent(&mut tx, *org, change, commit.position).await?;
        }
        names::write(&mut tx, &sorted.names, commit.position).await?;
        rounds::write(&mut tx, commit.rounds, now).await?;
        let left_out = metrics::write(&mut tx, commit.metrics, now).await?;
        HIGHWATER_SET
            .run(&mut tx, commit.highwaters, |mark, row| {
                row.add(mark.agent.0).add(big(mark.epoch)).add(big(mark.seq)).add(now.0);
            })
            .await?;
        streams::write_gaps(&mut tx, commit.gaps).await?;
        forget_unheard(&mut tx, commit.inventory_version).await?;
        if let Some(bytes) = commit.checkpoint {
            write_checkpoint(&mut tx, commit.position, bytes, now).await?;
        }
        sql(STATE_SET)
            .bind(big(commit.position.0))
            .bind(big(commit.inventory_version))
            .bind(now.0)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        self.damage().leave_out(left_out);
        Ok(true)
    }

    /// Says how far the log is applied.
    pub async fn applied(&self) -> Result<Applied, StoreError> {
        applied(&mut *self.read_above().await?).await
    }

    /// Leaves a sign of life, so that the next start knows how long nobody watched.
    pub async fn alive(&self, now: UtcMicros) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        sql(ALIVE_SET).bind(now.0).execute(&mut tx).await?;
        tx.commit().await
    }

    /// The checkpoints that are kept, the newest first.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        checkpoints(&mut *self.read_above().await?).await
    }

    /// Forgets a checkpoint that is of no use, so that it takes no good one's place.
    pub async fn checkpoint_delete(&self, position: LogPosition) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        sql(CHECKPOINT_DELETE).bind(big(position.0)).execute(&mut tx).await?;
        tx.commit().await
    }

    /// The newest batch of each agent and epoch that was applied.
    pub async fn highwaters(&self) -> Result<Vec<Highwater>, StoreError> {
        let mut tx = self.read_above().await?;
        let mut highwaters: Vec<Highwater> = Vec::new();
        loop {
            let after = highwaters.last().map_or((0, 0), |last| (last.agent.0, big(last.epoch)));
            let rows = sql(HIGHWATERS)
                .bind(after.0)
                .bind(after.1)
                .bind(HIGHWATERS_PAGE)
                .fetch_all(&mut tx)
                .await?;
            if rows.is_empty() {
                return Ok(highwaters);
            }
            for row in &rows {
                highwaters.push(Highwater {
                    agent: AgentId(row.number("agent_id")?),
                    epoch: row.number("epoch")?,
                    seq: row.number("seq")?,
                });
            }
        }
    }
}

pub(crate) async fn applied(connection: &mut Conn) -> Result<Applied, StoreError> {
    let row = sql(STATE).fetch_one(connection).await?;
    Ok(Applied {
        position: LogPosition(row.number("position")?),
        inventory_version: row.number("inventory_version")?,
        alive_at: row.at_opt("alive_at")?,
    })
}

pub(crate) async fn checkpoints(connection: &mut Conn) -> Result<Vec<Checkpoint>, StoreError> {
    let rows = sql(CHECKPOINTS_KEPT).bind(CHECKPOINTS).fetch_all(connection);
    let checkpoint = |row: &DbRow| {
        Ok(Checkpoint {
            position: LogPosition(row.number("position")?),
            bytes: row.value("body")?,
            at: row.at("at")?,
        })
    };
    rows.await?.iter().map(checkpoint).collect()
}

fn sort(decisions: &[Decision]) -> Sorted<'_> {
    let mut sorted = Sorted::default();
    for decision in decisions {
        let org = decision.org;
        match &decision.kind {
            DecisionKind::Verdict(change) => sorted.verdicts.push((org, change)),
            DecisionKind::Minute(truth) => sorted.minutes.push((org, truth)),
            DecisionKind::Agent(change) => sorted.agents.push((org, change)),
            DecisionKind::Name(change) => sorted.names.push((org, change)),
        }
    }
    sorted
}

/// The agent's number in a key; 0 for a consensus.
fn agent_key(entity: Entity) -> u32 {
    entity.agent().map_or(0, |agent| agent.0)
}

/// Ends the open spans, adds the new ones and updates what is held now.
async fn write_verdicts(
    tx: &mut Tx,
    changes: &[Owned<'_, VerdictChange>],
    commit: &Commit<'_>,
) -> Result<(), StoreError> {
    // By entity, and of each as they were decided: what lies side by side in the tables and their
    // indexes is written one after the other. A consensus comes behind the pairs that it is of.
    let mut ordered: Vec<&Owned<'_, VerdictChange>> = changes.iter().collect();
    ordered.sort_by_key(|(_, change)| {
        (change.entity.probe(), change.entity.agent().map_or(u32::MAX, |agent| agent.0))
    });
    let (mut firsts, mut spans, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for of_entity in ordered.chunk_by(|(_, a), (_, b)| a.entity == b.entity) {
        firsts.extend(of_entity.first().map(|(_, change)| *change));
        // Where it changes more than once, each change ends the span of the one before.
        let ends = of_entity.iter().skip(1).map(|(_, next)| Some(next.at)).chain([None]);
        spans.extend(of_entity.iter().zip(ends));
        held.extend(of_entity.last().copied());
    }
    SPAN_END
        .run(tx, &firsts, |change, row| {
            row.add(change.entity.probe().0).add(agent_key(change.entity)).add(change.at.0);
        })
        .await?;
    SPAN_ADD
        .run(tx, &spans, |((org, change), end), row| {
            row.add(org.0)
                .add(change.entity.probe().0)
                .add(agent_key(change.entity))
                .add(code::of_verdict(change.from))
                .add(code::of_verdict(change.to))
                .add(code::of_cause(change.why.cause))
                .add(change.why.text.clone())
                .add(change.at.0)
                .add(end.map(|at| at.0))
                .add(big(commit.position.0))
                .add(big(commit.inventory_version));
        })
        .await?;
    write_held(tx, &held).await
}

async fn write_held(tx: &mut Tx, held: &[&Owned<'_, VerdictChange>]) -> Result<(), StoreError> {
    NOW_SET
        .run(tx, held, |(org, change), row| {
            row.add(change.entity.probe().0)
                .add(agent_key(change.entity))
                .add(org.0)
                .add(code::of_verdict(change.to))
                .add(code::of_cause(change.why.cause))
                .add(change.why.text.clone())
                .add(change.at.0);
        })
        .await?;
    let consensus: Vec<&VerdictChange> = held
        .iter()
        .map(|(_, change)| *change)
        .filter(|change| change.entity.agent().is_none())
        .collect();
    TARGET_NOW
        .run(tx, &consensus, |change, row| {
            row.add(change.entity.probe().0).add(code::of_verdict(change.to)).add(change.at.0);
        })
        .await?;
    Ok(())
}

async fn write_minutes(
    tx: &mut Tx,
    minutes: &[Owned<'_, MinuteTruth>],
    now: UtcMicros,
) -> Result<(), StoreError> {
    let mut said: BTreeMap<OrgId, Vec<(Key, MinuteRecord)>> = BTreeMap::new();
    let mut recorded = BTreeSet::new();
    for (org, truth) in minutes {
        let key = Key { subject: truth.entity.probe().0, agent: agent_key(truth.entity) };
        said.entry(*org).or_default().push((key, MinuteRecord::of(truth)));
        recorded.insert((*org, truth.minute));
    }
    for (org, minutes) in said {
        series::add(tx, org, minutes, now).await?;
    }
    let recorded: Vec<_> = recorded.into_iter().collect();
    MINUTE_RECORDED
        .run(tx, &recorded, |(org, minute), row| {
            row.add(org.0).add(minute.0);
        })
        .await?;
    Ok(())
}

async fn write_agent(
    tx: &mut Tx,
    org: OrgId,
    change: &AgentStateChange,
    position: LogPosition,
) -> Result<(), StoreError> {
    sql(AGENT_STATE_SET)
        .bind(change.agent.0)
        .bind(change.to.as_str())
        .bind(change.at.0)
        .bind(&change.text)
        .execute(tx)
        .await?;
    sql(AGENT_EVENT_ADD)
        .bind(org.0)
        .bind(change.agent.0)
        .bind(change.from.as_str())
        .bind(change.to.as_str())
        .bind(change.at.0)
        .bind(&change.text)
        .bind(big(position.0))
        .execute(tx)
        .await?;
    Ok(())
}

async fn forget_unheard(tx: &mut Tx, version: u64) -> Result<(), StoreError> {
    let unheard: i64 = sql(UNHEARD).bind(big(version)).scalar(tx).await?;
    if unheard == 0 {
        return Ok(());
    }
    for text in UNHEARD_FORGET {
        sql(text).bind(big(version)).execute(tx).await?;
    }
    Ok(())
}

async fn write_checkpoint(
    tx: &mut Tx,
    position: LogPosition,
    bytes: &[u8],
    now: UtcMicros,
) -> Result<(), StoreError> {
    sql(CHECKPOINT_ADD).bind(big(position.0)).bind(now.0).bind(bytes.to_vec()).execute(tx).await?;
    sql(CHECKPOINTS_TRIM).bind(CHECKPOINTS).execute(tx).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Binder, Sql};

    #[tokio::test]
    async fn no_bulk_update_scans_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("t.db")).await.unwrap();
        for (bulk, search) in [
            (SPAN_END, "SEARCH verdict_span USING INDEX verdict_span_open"),
            (TARGET_NOW, "SEARCH target USING INTEGER PRIMARY KEY"),
        ] {
            let text = format!("EXPLAIN QUERY PLAN {}", bulk.text(16, false));
            let mut tx = store.read_above().await.unwrap();
            let rows = Sql::of(text, Binder::default()).fetch_all(&mut tx).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|r| r.value("detail").unwrap()).collect();
            assert!(plan.iter().any(|step| step.starts_with(search)), "{plan:#?}");
        }
    }
}
