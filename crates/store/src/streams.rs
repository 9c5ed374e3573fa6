//! Agents' streams: epochs, what of each was taken, and what the agents lost.

use std::{cmp::Reverse, time::Duration};

use model::{AgentId, DropCause, Gap, UtcMicros};

use crate::{
    AgentGap, AgentGapRow, AgentGaps, AgentRef, EpochGrant, EpochKnown, Ref, Scope, Store,
    StoreError,
    db::{DbRow, Tx, big, sql},
};

// Above organisations: an agent is known by its certificate, whose id is its own.
const EPOCH_KNOWN: &str = "SELECT epoch, used, spool_id, at FROM agent_epoch WHERE agent_id = $1";
// Above organisations: an agent is known by its certificate, whose id is its own.
const EPOCH_GRANT: &str = "
    INSERT INTO agent_epoch (agent_id, org_id, epoch, spool_id, at, used)
    SELECT id, org_id, $4 + 1, $2, $3, 0 FROM agent WHERE id = $1
    ON CONFLICT (agent_id) DO UPDATE
       SET epoch = CASE WHEN agent_epoch.epoch < $4 THEN $4 ELSE agent_epoch.epoch END + 1,
           used = CASE WHEN agent_epoch.spool_id = excluded.spool_id
                       THEN agent_epoch.used ELSE 0 END,
           spool_id = excluded.spool_id, at = excluded.at
    RETURNING epoch";
// Above organisations: an agent is known by its certificate, whose id is its own.
const EPOCH_USED: &str = "
    UPDATE agent_epoch SET used = $2 WHERE agent_id = $1 AND epoch = $2 AND used < $2";
// Above organisations: an agent is known by its certificate, whose id is its own.
const GAP_ADD: &str = "
    INSERT INTO agent_gap (
        agent_id, epoch, seq, part, org_id, from_at, to_at, rounds, cause
    )
    SELECT id, $2, $3, $4, org_id, $5, $6, $7, $8 FROM agent WHERE id = $1
    ON CONFLICT (agent_id, epoch, seq, part) DO NOTHING";
const GAPS: &str = "
    SELECT agent_gap.agent_id, agent.name, cause,
           min(from_at) AS from_at, max(to_at) AS to_at, sum(rounds) AS rounds
      FROM agent_gap
      JOIN agent ON agent.id = agent_gap.agent_id
     WHERE agent_gap.org_id = $1
       AND to_at > $2
       AND from_at < $3
     GROUP BY agent_gap.agent_id, agent.name, cause, from_at / 60000000
     ORDER BY max(to_at) DESC, agent_gap.agent_id, cause
     LIMIT $4";

/// Minutes with a loss that one answer is made of, the newest first: two days of ten agents.
const GAP_MINUTES_MAX: u32 = 30_000;
/// Losses no further apart are one: a full spool drops with each batch.
const GAP_JOIN: Duration = Duration::from_secs(60);
/// Rounds that one loss may claim, so that a sum of them stays a number.
const GAP_ROUNDS_MAX: u64 = 1_000_000_000_000;

/// No agent lives through a million million sessions; a larger claim is a broken or hostile one.
const EPOCH_CLAIM_MAX: u64 = 1_000_000_000_000;

impl Store {
    /// What is known of an agent's epochs and of the spool that had the last one; `None` before
    /// its first stream.
    pub async fn epoch_known(&self, agent: AgentId) -> Result<Option<EpochKnown>, StoreError> {
        let row =
            sql(EPOCH_KNOWN).bind(agent.0).fetch_optional(&mut *self.read_above().await?).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(EpochKnown {
            epoch: row.number("epoch")?,
            used: row.number("used")?,
            spool_id: row.value("spool_id")?,
            granted_at: row.at("at")?,
        }))
    }

    /// Grants an agent a new epoch, higher than any before. It is durable when this returns.
    ///
    /// `last_epoch` is the newest that the agent says it was granted: a database restored from an
    /// older backup must not grant one again, or two batches would have one name. It is believed
    /// up to [`EPOCH_CLAIM_MAX`].
    pub async fn epoch_grant(
        &self,
        agent: AgentId,
        spool_id: &[u8; 16],
        last_epoch: u64,
        now: UtcMicros,
    ) -> Result<EpochGrant, StoreError> {
        let mut tx = self.write_above().await?;
        let before: Option<Vec<u8>> = sql(EPOCH_KNOWN)
            .bind(agent.0)
            .fetch_optional(&mut tx)
            .await?
            .map(|row| row.value("spool_id"))
            .transpose()?;
        let row = sql(EPOCH_GRANT)
            .bind(agent.0)
            .bind(spool_id.as_slice())
            .bind(now.0)
            .bind(i64::try_from(last_epoch.min(EPOCH_CLAIM_MAX)).unwrap_or(0))
            .fetch_optional(&mut tx)
            .await?;
        let row = row.ok_or(StoreError::NotFound { what: "agent" })?;
        let grant = EpochGrant {
            epoch: row.number("epoch")?,
            is_new_spool: before.is_some_and(|before| before != spool_id),
        };
        tx.commit().await?;
        Ok(grant)
    }

    /// Notes that the agent has this epoch: it said something after it was granted.
    pub async fn epoch_used(&self, agent: AgentId, epoch: u64) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        sql(EPOCH_USED).bind(agent.0).bind(big(epoch)).execute(&mut tx).await?;
        tx.commit().await
    }

    /// Lists what agents lost of the range, the newest first; losses of one agent and cause that
    /// follow each other are one.
    pub async fn agent_gaps(
        &self,
        scope: &Scope,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<AgentGaps, StoreError> {
        let rows = sql(GAPS)
            .bind(scope.org.0)
            .bind(from.0)
            .bind(to.0)
            .bind(GAP_MINUTES_MAX)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        let gap = |row| -> Result<AgentGapRow, StoreError> {
            let row: &DbRow = row;
            let agent: AgentRef =
                Ref { id: AgentId(row.number("agent_id")?), name: row.name("name")? };
            let gap = Gap {
                from: row.at("from_at")?,
                to: row.at("to_at")?,
                rounds: row.number("rounds")?,
                cause: row.parsed("cause", DropCause::parse)?,
            };
            Ok(AgentGapRow { agent, gap })
        };
        let rows = rows.iter().map(gap).collect::<Result<Vec<_>, _>>()?;
        // The newest first: what did not fit ended at or before the last of them.
        let is_full = (GAP_MINUTES_MAX as usize) <= rows.len();
        let known_from = rows.last().filter(|_| is_full).map(|row| row.gap.to);
        Ok(AgentGaps { rows: joined(rows), known_from })
    }
}

/// Joins what follows each other; the newest first before and after.
fn joined(mut rows: Vec<AgentGapRow>) -> Vec<AgentGapRow> {
    rows.sort_by_key(|row| (row.agent.id, row.gap.cause, row.gap.from));
    let mut all: Vec<AgentGapRow> = Vec::new();
    for row in rows {
        match all.last_mut() {
            Some(last)
                if last.agent.id == row.agent.id
                    && last.gap.cause == row.gap.cause
                    && row.gap.from <= last.gap.to + GAP_JOIN =>
            {
                last.gap.to = last.gap.to.max(row.gap.to);
                last.gap.rounds = last.gap.rounds.saturating_add(row.gap.rounds);
            }
            Some(_) | None => all.push(row),
        }
    }
    all.sort_by_key(|row| (Reverse(row.gap.to), row.agent.id, row.gap.cause));
    all
}

/// Writes what batches told their agents lost.
pub(crate) async fn write_gaps(tx: &mut Tx, gaps: &[AgentGap]) -> Result<(), StoreError> {
    for told in gaps {
        let AgentGap { agent, epoch, seq, part, gap } = told;
        sql(GAP_ADD)
            .bind(agent.0)
            .bind(big(*epoch))
            .bind(big(*seq))
            .bind(*part)
            .bind(gap.from.0)
            .bind(gap.to.0)
            .bind(big(gap.rounds.min(GAP_ROUNDS_MAX)))
            .bind(gap.cause.as_str())
            .execute(tx)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::Name;

    use super::*;

    fn lost(agent: u32, cause: DropCause, from_s: i64, to_s: i64) -> AgentGapRow {
        let name = Name::parse(&format!("agent{agent}")).unwrap();
        let at = |s: i64| UtcMicros(s * 1_000_000);
        let gap = Gap { from: at(from_s), to: at(to_s), rounds: 10, cause };
        AgentGapRow { agent: Ref { id: AgentId(agent), name }, gap }
    }

    #[test]
    fn losses_that_follow_each_other_are_one_and_others_are_not() {
        use DropCause::{Age, Size};
        let minutes = (0..600).map(|n| lost(1, Size, n * 60, n * 60 + 59));
        let others = [lost(1, Size, 40_000, 40_010), lost(1, Age, 30, 40), lost(2, Size, 30, 40)];
        let all = joined(minutes.chain(others).collect());
        let said = |row: &AgentGapRow| (row.agent.id.0, row.gap.cause, row.gap.from.0 / 1_000_000);
        assert_eq!(
            all.iter().map(said).collect::<Vec<_>>(),
            [(1, Size, 40_000), (1, Size, 0), (1, Age, 30), (2, Size, 30)]
        );
        assert_eq!(all[1].gap.rounds, 6_000);
        assert_eq!(all[1].gap.to, UtcMicros(35_999_000_000));
    }
}
