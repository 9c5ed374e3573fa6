//! What was lost and is not told yet. The next batch tells it, and then it is that batch's.

use model::{DropCause, Tick, UtcMicros};
use wire::{Anchor, BootId, Dropped, limits::DROPS_MAX, v1};

/// Losses of one cause that lie no further apart are one.
const JOIN_US_MAX: u64 = 60_000_000;

/// [`Dropped`] as the state keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Loss {
    boot: BootId,
    near_tick_us: u64,
    near_wall_us: i64,
    from_tick_us: u64,
    to_tick_us: u64,
    rounds: u64,
    cause: DropCause,
}

impl Loss {
    fn of(dropped: &Dropped) -> Loss {
        Loss {
            boot: dropped.boot,
            near_tick_us: dropped.near.tick.0,
            near_wall_us: dropped.near.wall.0,
            from_tick_us: dropped.from.0,
            to_tick_us: dropped.to.0,
            rounds: dropped.rounds,
            cause: dropped.cause,
        }
    }

    fn to_dropped(self) -> Dropped {
        let near = Anchor { tick: Tick(self.near_tick_us), wall: UtcMicros(self.near_wall_us) };
        Dropped {
            boot: self.boot,
            near,
            from: Tick(self.from_tick_us),
            to: Tick(self.to_tick_us),
            rounds: self.rounds,
            cause: self.cause,
        }
    }

    fn join(&mut self, other: &Loss) {
        self.rounds = self.rounds.saturating_add(other.rounds);
        if self.boot == other.boot {
            self.from_tick_us = self.from_tick_us.min(other.from_tick_us);
            self.to_tick_us = self.to_tick_us.max(other.to_tick_us);
            self.near_tick_us = other.near_tick_us;
            self.near_wall_us = other.near_wall_us;
        }
    }

    fn is_told_by(&self, told: &Loss) -> bool {
        (self.boot, self.cause) == (told.boot, told.cause)
            && told.from_tick_us <= self.from_tick_us
            && self.to_tick_us <= told.to_tick_us
            && self.rounds <= told.rounds
    }
}

/// At most [`DROPS_MAX`], in the order in which they were noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Losses(Vec<Loss>);

impl Losses {
    /// Adds one.
    ///
    /// 1 - It is joined with the last one if that has the same boot and cause and ends at most a
    ///     minute before it begins.
    /// 2 - If there is no room for one more, it is joined with the last one whatever that is: the
    ///     count stays right, and the time grows too long rather than too short.
    pub(super) fn add(&mut self, dropped: &Dropped) {
        let loss = Loss::of(dropped);
        let is_full = self.0.len() == DROPS_MAX;
        if let Some(last) = self.0.last_mut() {
            let is_same = (last.boot, last.cause) == (loss.boot, loss.cause);
            let gap_us = loss.from_tick_us.saturating_sub(last.to_tick_us);
            if is_full || (is_same && gap_us <= JOIN_US_MAX) {
                return last.join(&loss);
            }
        }
        self.0.push(loss);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the next batch tells them.
    pub(super) fn to_drops(&self) -> Vec<v1::Drop> {
        self.0.iter().map(|loss| loss.to_dropped().to_drop()).collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Leaves out what a batch that is durable tells already: the state was not written after it.
    pub(super) fn forget_told(&mut self, told: &[Dropped]) {
        let told: Vec<Loss> = told.iter().map(Loss::of).collect();
        self.0.retain(|loss| !told.iter().any(|told| loss.is_told_by(told)));
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<Dropped> {
        self.0.iter().map(|loss| loss.to_dropped()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn lost(cause: DropCause, from_s: u64, to_s: u64, rounds: u64) -> Dropped {
        Dropped {
            boot: [1; 16],
            near: Anchor { tick: Tick(to_s * SECOND), wall: UtcMicros(0) },
            from: Tick(from_s * SECOND),
            to: Tick(to_s * SECOND),
            rounds,
            cause,
        }
    }

    fn seen(losses: &Losses) -> Vec<(DropCause, u64, u64, u64)> {
        let all = losses.all();
        all.iter().map(|d| (d.cause, d.from.0 / SECOND, d.to.0 / SECOND, d.rounds)).collect()
    }

    #[test]
    fn losses_in_a_row_are_one_and_others_are_not() {
        use DropCause::{Age, Size};
        let mut losses = Losses::default();
        for dropped in [
            lost(Size, 0, 10, 5),
            lost(Size, 9, 20, 5),
            lost(Size, 80, 90, 1),
            lost(Size, 151, 160, 2),
            lost(Age, 160, 170, 3),
        ] {
            losses.add(&dropped);
        }
        let expected = [(Size, 0, 90, 11), (Size, 151, 160, 2), (Age, 160, 170, 3)];
        assert_eq!(seen(&losses), expected);
    }

    #[test]
    fn however_many_there_are_the_count_is_right() {
        let mut losses = Losses::default();
        for n in 0..100 {
            losses.add(&lost(DropCause::Size, n * 1_000, n * 1_000 + 1, 1));
        }
        assert_eq!(losses.0.len(), DROPS_MAX);
        assert_eq!(losses.0.iter().map(|loss| loss.rounds).sum::<u64>(), 100);
        assert_eq!(seen(&losses).last(), Some(&(DropCause::Size, 15_000, 99_001, 85)));
    }

    #[test]
    fn what_a_durable_batch_tells_is_not_told_again() {
        let mut losses = Losses::default();
        losses.add(&lost(DropCause::Size, 0, 10, 5));
        losses.add(&lost(DropCause::Age, 0, 10, 5));
        losses.forget_told(&[lost(DropCause::Size, 0, 20, 9)]);
        assert_eq!(seen(&losses), [(DropCause::Age, 0, 10, 5)]);
    }
}
