//! A past that nobody watched, written as a server that was there would have committed it: for
//! what shows a history, and for what measures one.

use model::{
    Cause, Decision, DecisionKind, Entity, LogPosition, Minute, MinuteCounts, MinuteTruth, OrgId,
    RoundBatch, UtcMicros, Verdict,
};

use crate::{Commit, Store, StoreError};

/// Steps of one compaction: far more than there are.
const STEPS_MAX: u32 = 1_000_000;

/// Writes a past, in the order of its minutes.
#[derive(Debug)]
pub struct Past {
    pub store: Store,
    position: u64,
}

impl Past {
    /// Of a store to which nothing was committed yet.
    pub fn new(store: Store) -> Past {
        Past { store, position: 0 }
    }

    /// Commits what was decided, and the rounds that were heard, before `until`.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub async fn commit(
        &mut self,
        decisions: &[Decision],
        rounds: &[RoundBatch],
        until: UtcMicros,
    ) -> Result<(), StoreError> {
        self.position += 1;
        let commit = Commit {
            position: LogPosition(self.position),
            inventory_version: 1,
            decisions,
            rounds,
            highwaters: &[],
            gaps: &[],
            metrics: &[],
            checkpoint: None,
        };
        self.store.commit(&commit, until).await.map(drop)
    }

    /// Seals, merges and rolls up all that is due by `at`.
    ///
    /// # Errors
    ///
    /// As [`Store::compact`].
    pub async fn compact(&self, at: UtcMicros) -> Result<(), StoreError> {
        for _ in 0..STEPS_MAX {
            if self.store.compact(at).await?.is_done {
                break;
            }
        }
        Ok(())
    }
}

/// What was the truth of a minute, as it is decided.
pub fn minute_decided(
    org: OrgId,
    entity: Entity,
    minute: Minute,
    (verdict, cause): (Verdict, Cause),
    counts: MinuteCounts,
) -> Decision {
    let truth =
        MinuteTruth { entity, minute, verdict, cause, counts, revision: 0, said_first: None };
    Decision { org, decided_at: minute.end(), kind: DecisionKind::Minute(truth) }
}
