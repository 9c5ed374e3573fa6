//! Agents' streams: epochs, what of each was taken, and what the agents lost.

use model::{AgentId, DropCause, Gap, UtcMicros};

use crate::{
    AgentGap, AgentGapRow, AgentRef, EpochGrant, EpochKnown, PAGE_ROWS_MAX, Ref, Scope, Store,
    StoreError,
    db::{Columns, Tx, big},
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
    SELECT agent_gap.agent_id, agent.name, from_at, to_at, rounds, cause
      FROM agent_gap
      JOIN agent ON agent.id = agent_gap.agent_id
     WHERE agent_gap.org_id = $1
       AND to_at > $2
       AND from_at < $3
     ORDER BY to_at DESC, agent_gap.agent_id, epoch, seq, part
     LIMIT $4";

/// No agent lives through a million million sessions; a larger claim is a broken or hostile one.
const EPOCH_CLAIM_MAX: u64 = 1_000_000_000_000;

impl Store {
    /// What is known of an agent's epochs and of the spool that had the last one; `None` before
    /// its first stream.
    pub async fn epoch_known(&self, agent: AgentId) -> Result<Option<EpochKnown>, StoreError> {
        let row =
            sqlx::query(EPOCH_KNOWN).bind(agent.0).fetch_optional(&mut *self.read().await?).await?;
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
        let mut tx = self.write().await?;
        let before: Option<Vec<u8>> = sqlx::query(EPOCH_KNOWN)
            .bind(agent.0)
            .fetch_optional(&mut *tx)
            .await?
            .map(|row| row.value("spool_id"))
            .transpose()?;
        let row = sqlx::query(EPOCH_GRANT)
            .bind(agent.0)
            .bind(spool_id.as_slice())
            .bind(now.0)
            .bind(i64::try_from(last_epoch.min(EPOCH_CLAIM_MAX)).unwrap_or(0))
            .fetch_optional(&mut *tx)
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
        let mut tx = self.write().await?;
        sqlx::query(EPOCH_USED).bind(agent.0).bind(big(epoch)).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Lists what agents lost of the range, the newest first.
    pub async fn agent_gaps(
        &self,
        scope: &Scope,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<AgentGapRow>, StoreError> {
        let rows = sqlx::query(GAPS)
            .bind(scope.org.0)
            .bind(from.0)
            .bind(to.0)
            .bind(PAGE_ROWS_MAX)
            .fetch_all(self.readers())
            .await?;
        let gap = |row| -> Result<AgentGapRow, StoreError> {
            let row: &sqlx::sqlite::SqliteRow = row;
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
        rows.iter().map(gap).collect()
    }
}

/// Writes what batches told their agents lost.
pub(crate) async fn write_gaps(tx: &mut Tx, gaps: &[AgentGap]) -> Result<(), StoreError> {
    for told in gaps {
        let AgentGap { agent, epoch, seq, part, gap } = told;
        sqlx::query(GAP_ADD)
            .bind(agent.0)
            .bind(big(*epoch))
            .bind(big(*seq))
            .bind(*part)
            .bind(gap.from.0)
            .bind(gap.to.0)
            .bind(big(gap.rounds))
            .bind(gap.cause.as_str())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
