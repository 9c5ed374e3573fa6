//! Up to where each agent's batches are in the log, epoch by epoch: what makes a batch count once.
//!
//! What the database forgets because no spool can hold it any more is forgotten here with it. An
//! agent with more epochs than that keeps the newest; a batch of an older one may have been taken
//! or not, nobody knows any more, so it is refused and the agent tells it as lost. It does not know
//! the database: after a restart the same marks are kept, for the newest of the stored ones are.

use std::collections::BTreeMap;

use model::{AgentId, UtcMicros};

/// Epochs of one agent: one for each stream in which it sent something. A new stream every three
/// minutes for as long as a spool keeps anything; 200 KiB at most.
pub(crate) const EPOCHS_PER_AGENT_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    seq: u64,
    /// When it was raised last.
    at: UtcMicros,
}

/// The epochs of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marks {
    by_epoch: BTreeMap<u64, Mark>,
    /// Epochs before this were dropped while a spool could still hold something of them.
    first: u64,
}

/// The highest sequence number in the log, by agent and epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Highwaters(BTreeMap<AgentId, Marks>);

impl Highwaters {
    pub(crate) fn get(&self, agent: AgentId, epoch: u64) -> Option<u64> {
        self.0.get(&agent)?.by_epoch.get(&epoch).map(|mark| mark.seq)
    }

    /// Raises a mark; returns what it was, to go back to.
    pub(crate) fn raise(
        &mut self,
        agent: AgentId,
        epoch: u64,
        seq: u64,
        at: UtcMicros,
    ) -> Option<u64> {
        let marks = &mut self.0.entry(agent).or_default().by_epoch;
        let was = marks.get(&epoch).map(|mark| mark.seq);
        marks.insert(epoch, Mark { seq: was.map_or(seq, |was| was.max(seq)), at });
        was
    }

    /// Takes a raise back.
    pub(crate) fn put_back(&mut self, agent: AgentId, epoch: u64, was: Option<u64>) {
        let Some(Marks { by_epoch: marks, .. }) = self.0.get_mut(&agent) else {
            return;
        };
        match (was, marks.get_mut(&epoch)) {
            (Some(seq), Some(mark)) => mark.seq = seq,
            (Some(_), None) => (),
            (None, _) => drop(marks.remove(&epoch)),
        }
    }

    /// Whether nobody knows any more what was taken of an epoch.
    pub(crate) fn is_forgotten(&self, agent: AgentId, epoch: u64) -> bool {
        self.0.get(&agent).is_some_and(|marks| {
            let oldest = marks.by_epoch.keys().next();
            let is_full = EPOCHS_PER_AGENT_MAX <= marks.by_epoch.len();
            epoch < marks.first || (is_full && oldest.is_some_and(|oldest| epoch < *oldest))
        })
    }

    /// Keeps the newest epochs of an agent.
    pub(crate) fn bound(&mut self, agent: AgentId) {
        if let Some(marks) = self.0.get_mut(&agent) {
            while EPOCHS_PER_AGENT_MAX < marks.by_epoch.len()
                && let Some((dropped, _)) = marks.by_epoch.pop_first()
            {
                marks.first = marks.first.max(dropped + 1);
            }
        }
    }

    /// Forgets what was raised last before `at`.
    pub(crate) fn forget_before(&mut self, at: UtcMicros) {
        for marks in self.0.values_mut() {
            marks.by_epoch.retain(|_, mark| at <= mark.at);
        }
        self.0.retain(|_, marks| !marks.by_epoch.is_empty() || 0 < marks.first);
    }

    /// The newest epochs of an agent with their marks, the newest first.
    pub(crate) fn newest(&self, agent: AgentId, count_max: usize) -> Vec<(u64, u64)> {
        let marks = self.0.get(&agent).into_iter().flat_map(|marks| &marks.by_epoch).rev();
        marks.take(count_max).map(|(epoch, mark)| (*epoch, mark.seq)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRA1: AgentId = AgentId(1);
    const MAX: u64 = EPOCHS_PER_AGENT_MAX as u64;

    /// Marks of the epochs 1 to `epochs`, each raised in the second of its number.
    fn marks(epochs: u64) -> Highwaters {
        let mut marks = Highwaters::default();
        for epoch in 1..=epochs {
            let at = UtcMicros(i64::try_from(epoch).unwrap() * 1_000_000);
            assert_eq!(marks.raise(FRA1, epoch, 7, at), None);
        }
        marks
    }

    /// What was dropped stays unknown, also once there are fewer marks again.
    #[test]
    fn a_dropped_epoch_is_not_new_again_when_others_are_forgotten() {
        let mut marks = marks(MAX + 10);
        marks.raise(FRA1, 3, 8, UtcMicros(i64::MAX));
        marks.bound(FRA1);
        marks.forget_before(UtcMicros(20_000_000));
        assert!(marks.is_forgotten(FRA1, 3) && !marks.is_forgotten(FRA1, MAX + 11));
        marks.forget_before(UtcMicros(i64::MAX));
        assert!(marks.is_forgotten(FRA1, 3), "though nothing is kept of it");
    }

    #[test]
    fn an_agent_that_comes_and_goes_without_end_has_so_many_marks_and_no_batch_counts_twice() {
        let mut marks = marks(MAX + 10);
        marks.bound(FRA1);
        assert_eq!(marks.newest(FRA1, usize::MAX).len(), EPOCHS_PER_AGENT_MAX);
        assert!(marks.is_forgotten(FRA1, 1) && marks.is_forgotten(FRA1, 10));
        assert!(!marks.is_forgotten(FRA1, 11) && !marks.is_forgotten(FRA1, MAX + 11));
        assert!(!marks.is_forgotten(AgentId(2), 1), "nothing is known of it: it is new");
    }

    #[test]
    fn few_epochs_forget_nothing_and_an_older_one_may_be_new() {
        let mut marks = marks(MAX);
        marks.0.get_mut(&FRA1).unwrap().by_epoch.remove(&3);
        marks.bound(FRA1);
        assert!(!marks.is_forgotten(FRA1, 3));
    }

    #[test]
    fn what_the_database_forgets_is_forgotten_here() {
        let mut marks = marks(5);
        marks.raise(FRA1, 2, 9, UtcMicros(9_000_000));
        marks.forget_before(UtcMicros(4_000_000));
        assert_eq!(marks.newest(FRA1, 9), [(5, 7), (4, 7), (2, 9)]);
        marks.forget_before(UtcMicros(10_000_000));
        assert_eq!(marks, Highwaters::default());
    }

    #[test]
    fn a_raise_is_taken_back_and_a_mark_is_never_lowered() {
        let mut marks = marks(1);
        let was = marks.raise(FRA1, 1, 8, UtcMicros(5));
        marks.put_back(FRA1, 1, was);
        assert_eq!(marks.get(FRA1, 1), Some(7));
        let was = marks.raise(FRA1, 2, 1, UtcMicros(5));
        marks.put_back(FRA1, 2, was);
        assert_eq!(marks.get(FRA1, 2), None);
        marks.raise(FRA1, 1, 3, UtcMicros(6));
        assert_eq!(marks.get(FRA1, 1), Some(7));
    }
}
