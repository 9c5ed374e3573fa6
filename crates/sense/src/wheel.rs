//! One deadline per slot, for a million slots, in constant time.
//!
//! A hierarchical wheel: four levels of 64 buckets, each level 64 times coarser than the one below,
//! the finest 256 us. Buckets are doubly linked lists through one dense array, so that setting and
//! clearing a deadline touches two or three cache lines and never allocates.
//!
//! A deadline fires up to 256 us late and never early. Order within one bucket is not promised,
//! but it is the same for the same calls.

use model::Tick;

/// 2^8 microseconds: far below any gap or timeout, and coarse enough that packets leave in groups.
const UNIT_BITS: u32 = 8;
const LEVEL_BITS: u32 = 6;
const LEVELS: usize = 4;
const BUCKETS: usize = 1 << LEVEL_BITS;
const NONE: u32 = u32::MAX;
/// Marks a `previous` that is a bucket and not a slot. Slots stay below it.
const BUCKET_MARK: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Link {
    unit: u64,
    /// The slot before, or `BUCKET_MARK | bucket`, or `NONE` if no deadline is set.
    previous: u32,
    next: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The unit whose bucket is emptied now; everything before it has fired.
    current: u64,
    heads: [u32; LEVELS * BUCKETS],
    /// A bit per bucket that is not empty.
    occupied: [u64; LEVELS],
    links: Vec<Link>,
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel {
            current: 0,
            heads: [NONE; LEVELS * BUCKETS],
            occupied: [0; LEVELS],
            links: Vec::new(),
        }
    }

    /// Makes room for slots below `count`.
    pub(crate) fn grow(&mut self, count: usize) {
        if self.links.len() < count {
            self.links.resize(count, Link { unit: 0, previous: NONE, next: NONE });
        }
    }

    /// Sets the deadline of a slot, in place of the one it had.
    pub(crate) fn set(&mut self, slot: u32, at: Tick) {
        self.clear(slot);
        let unit = at.0.div_ceil(1 << UNIT_BITS).max(self.current);
        self.link(slot, unit);
    }

    /// Retires the deadline of a slot, if it has one.
    pub(crate) fn clear(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(slot as usize) else {
            return;
        };
        let Link { previous, next, .. } = *link;
        if previous == NONE {
            return;
        }
        link.previous = NONE;
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = previous;
        }
        if previous & BUCKET_MARK == 0 {
            if let Some(previous) = self.links.get_mut(previous as usize) {
                previous.next = next;
            }
        } else {
            self.set_head((previous & !BUCKET_MARK) as usize, next);
        }
    }

    /// Takes one slot whose deadline is not after `now`.
    pub(crate) fn pop(&mut self, now: Tick) -> Option<u32> {
        let target = now.0 >> UNIT_BITS;
        while self.current <= target {
            let bucket = index(self.current, 0);
            let slot = self.heads.get(bucket).copied().unwrap_or(NONE);
            if slot != NONE {
                self.clear(slot);
                return Some(slot);
            }
            match self.next_unit() {
                Some(unit) if unit <= target => self.advance(unit),
                // Nothing is due until `target`; but its own unit may still be filled.
                Some(_) | None => {
                    if self.current == target {
                        return None;
                    }
                    self.advance(target);
                }
            }
        }
        None
    }

    /// Returns when `pop` may have something next: never late, at times early.
    pub(crate) fn next(&self) -> Option<Tick> {
        let bucket = index(self.current, 0);
        let unit = match self.heads.get(bucket) {
            Some(head) if *head != NONE => self.current,
            Some(_) | None => self.next_unit()?,
        };
        Some(Tick(unit << UNIT_BITS))
    }

    /// Finds the start of the first occupied bucket after the current one.
    fn next_unit(&self) -> Option<u64> {
        (0_u32..).zip(self.occupied).find_map(|(level, occupied)| {
            let shift = LEVEL_BITS * level;
            let position = self.current >> shift;
            let own = u32::try_from(position % BUCKETS as u64).unwrap_or(0);
            // Bit 0 is the bucket after the current one, around the circle.
            let ahead = occupied.rotate_right(own).checked_shr(1).unwrap_or(0);
            (ahead != 0).then(|| (position + 1 + u64::from(ahead.trailing_zeros())) << shift)
        })
    }

    /// Moves on to `unit`, before which nothing is due, and refines the buckets it enters.
    fn advance(&mut self, unit: u64) {
        let before = std::mem::replace(&mut self.current, unit);
        for level in (1..LEVELS).rev() {
            let shift = LEVEL_BITS * u32::try_from(level).unwrap_or(0);
            if before >> shift == unit >> shift {
                continue;
            }
            let bucket = index(unit, level);
            let mut slot = self.heads.get(bucket).copied().unwrap_or(NONE);
            self.set_head(bucket, NONE);
            while let Some(Link { unit, next, .. }) = self.links.get(slot as usize).copied() {
                self.link(slot, unit.max(self.current));
                slot = next;
            }
        }
    }

    fn link(&mut self, slot: u32, unit: u64) {
        let apart = unit ^ self.current;
        let level = match apart {
            0 => 0,
            _ => ((u64::BITS - 1 - apart.leading_zeros()) / LEVEL_BITS) as usize,
        };
        let top = LEVELS - 1;
        // A deadline beyond the wheel waits in the farthest bucket and is placed anew from there.
        let ahead_max = (BUCKETS as u64 - 1) << (LEVEL_BITS * (LEVELS as u32 - 1));
        let reach = unit.min(self.current.saturating_add(ahead_max));
        let bucket = index(reach, level.min(top));
        let next = self.heads.get(bucket).copied().unwrap_or(NONE);
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = slot;
        }
        if let Some(link) = self.links.get_mut(slot as usize) {
            *link = Link { unit, previous: BUCKET_MARK | u32::try_from(bucket).unwrap_or(0), next };
            self.set_head(bucket, slot);
        }
    }

    fn set_head(&mut self, bucket: usize, slot: u32) {
        let (level, bit) = (bucket / BUCKETS, 1_u64 << (bucket % BUCKETS));
        if let Some(head) = self.heads.get_mut(bucket) {
            *head = slot;
        }
        if let Some(occupied) = self.occupied.get_mut(level) {
            if slot == NONE { *occupied &= !bit } else { *occupied |= bit }
        }
    }
}

fn index(unit: u64, level: usize) -> usize {
    let shift = LEVEL_BITS * u32::try_from(level).unwrap_or(0);
    let position = usize::try_from((unit >> shift) % BUCKETS as u64).unwrap_or(0);
    level * BUCKETS + position
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// One grain late is allowed.
    const GRAIN: u64 = 1 << UNIT_BITS;
    const SLOTS: u32 = 24;

    fn spans() -> impl Strategy<Value = u64> {
        // From within a grain to beyond the wheel's 71 minutes.
        prop_oneof![0..2_000_u64, 0..3_000_000_u64, 0..10_000_000_000_u64]
    }

    proptest! {
        /// Against the obvious implementation: every deadline fires once, never early, never more
        /// than a grain late, and the announced next time is never too late.
        #[test]
        fn fires_what_a_sorted_map_would(
            steps in prop::collection::vec((0..SLOTS, spans(), spans(), any::<bool>()), 1..60)
        ) {
            let mut wheel = Wheel::new();
            wheel.grow(usize::try_from(SLOTS).expect("fits"));
            let mut deadlines: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = 0;
            for (slot, ahead, step, is_cleared) in steps {
                if is_cleared {
                    wheel.clear(slot);
                    deadlines.remove(&slot);
                } else {
                    wheel.set(slot, Tick(now + ahead));
                    deadlines.insert(slot, now + ahead);
                }
                let earliest = deadlines.values().min();
                prop_assert_eq!(earliest.is_none(), wheel.next().is_none());
                if let (Some(earliest), Some(next)) = (earliest, wheel.next()) {
                    prop_assert!(next.0 <= earliest + GRAIN);
                }
                now += step;
                while let Some(fired) = wheel.pop(Tick(now)) {
                    let due = deadlines.remove(&fired);
                    prop_assert!(due.is_some_and(|due| due <= now), "{fired} at {now}: {due:?}");
                }
                prop_assert!(deadlines.values().all(|due| now < due + GRAIN));
            }
        }

        /// Whoever always sleeps until `next` gets there in few steps and misses nothing.
        #[test]
        fn following_next_reaches_every_deadline(
            dues in prop::collection::vec(spans(), 1..24), start in spans()
        ) {
            let mut wheel = Wheel::new();
            wheel.grow(dues.len());
            prop_assert_eq!(wheel.pop(Tick(start)), None);
            for (slot, due) in (0..).zip(&dues) {
                wheel.set(slot, Tick(start + due));
            }
            let (mut fired, mut steps) = (0, 0);
            while let Some(next) = wheel.next() {
                while let Some(slot) = wheel.pop(next) {
                    let due = start + dues[usize::try_from(slot).expect("fits")];
                    prop_assert!(due <= next.0 && next.0 <= due + GRAIN);
                    fired += 1;
                }
                steps += 1;
                prop_assert!(steps < 200, "{steps} steps");
            }
            prop_assert_eq!(fired, dues.len());
        }
    }
}
