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
            address: record.address_changed,
        });
    }

    pub(crate) fn is_full(&self) -> bool {
        BATCH_ROUNDS_MAX <= self.rows.len()
    }

    /// Closes the batch; `None` if there is nothing in it.
    pub(crate) fn take(&mut self) -> Option<Vec<RoundRow>> {
        (!self.rows.is_empty()).then(|| std::mem::take(&mut self.rows))
    }
}
