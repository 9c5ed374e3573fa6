//! Collects rounds until they make a batch.

use sense::RoundRecord;
use wire::rounds::RoundRow;

/// A batch is closed at this many rounds, or after a second: large enough to compress well, small
/// enough that one lost connection repeats little.
pub(crate) const BATCH_ROUNDS_MAX: usize = 2_000;

/// The rounds of the batch that is open.
#[derive(Debug, Default)]
pub(crate) struct Batcher {
    rows: Vec<RoundRow>,
}

impl Batcher {
    pub(crate) fn push(&mut self, record: &RoundRecord) {
        self.rows.push(RoundRow {
            subject: record.subject,
            due_tick: record.due,
            outcome: record.outcome,
            flags: record.flags,
            icmp_error: record.icmp_error,
            address: record.address,
        });
    }

    pub(crate) fn is_full(&self) -> bool {
        BATCH_ROUNDS_MAX <= self.rows.len()
    }

    /// Closes the batch; `None` if there is nothing in it. What does not fit is in the next one.
    pub(crate) fn take(&mut self) -> Option<Vec<RoundRow>> {
        let rest = self.rows.split_off(self.rows.len().min(BATCH_ROUNDS_MAX));
        let rows = std::mem::replace(&mut self.rows, rest);
        (!rows.is_empty()).then_some(rows)
    }
}

#[cfg(test)]
mod tests {
    use model::{NotAsked, Outcome, RoundFlags, Subject, Tick};

    use super::*;

    #[test]
    fn no_batch_is_larger_than_its_limit() {
        let mut batcher = Batcher::default();
        let record = RoundRecord {
            subject: Subject::Gateway,
            due: Tick(1),
            outcome: Outcome::NotAsked(NotAsked::NoRoute),
            flags: RoundFlags::default(),
            icmp_error: None,
            address: None,
        };
        for _ in 0..=BATCH_ROUNDS_MAX {
            batcher.push(&record);
        }
        let lengths: Vec<usize> = std::iter::from_fn(|| batcher.take()).map(|b| b.len()).collect();
        assert_eq!(lengths, [BATCH_ROUNDS_MAX, 1]);
    }
}
