//! How often each round-trip time was seen: what quantiles are told from.
//!
//! Times fall into steps that grow with them, so a few counts tell any quantile to within 1.6 %.
//! Sketches are merged by adding their counts, in any order and grouping. All is integers: the same
//! on every machine.

/// Steps of each doubling, as a power of two.
const STEPS_LOG2: u32 = 5;

/// Counts of round-trip times in steps.
///
/// Below 32 µs each time has a step of its own; above, each doubling has 32. A quantile is the
/// middle of its step: at most 1.6 % from the time that was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Steps in ascending order with their counts, none of which is zero.
    counts: Vec<(u16, u32)>,
}

impl Sketch {
    /// The step of the longest time that there can be, 71 minutes.
    pub const STEP_MAX: u16 = 895;

    /// Puts a sketch together from its steps, in their order; `None` if these are none.
    pub fn from_counts(counts: Vec<(u16, u32)>) -> Option<Sketch> {
        let is_ascending = counts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let is_step = |(step, count): &(u16, u32)| *step <= Sketch::STEP_MAX && 0 < *count;
        (is_ascending && counts.iter().all(is_step)).then_some(Sketch { counts })
    }

    /// The steps in ascending order with their counts, none of which is zero.
    pub fn counts(&self) -> &[(u16, u32)] {
        &self.counts
    }

    /// How many times were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Counts one time, in microseconds.
    pub fn add(&mut self, us: u32) {
        self.add_step(step_of(us), 1);
    }

    /// Adds what another sketch counted.
    pub fn merge(&mut self, other: &Sketch) {
        for (step, count) in &other.counts {
            self.add_step(*step, *count);
        }
    }

    fn add_step(&mut self, step: u16, more: u32) {
        match self.counts.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(index) => {
                if let Some((_, count)) = self.counts.get_mut(index) {
                    *count = count.saturating_add(more);
                }
            }
            Err(index) => self.counts.insert(index, (step, more)),
        }
    }

    /// The time in microseconds that `percent` of a hundred are at most; `None` if there is none.
    pub fn quantile(&self, percent: u64) -> Option<u32> {
        let rank = self.total().saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (step, count) in &self.counts {
            seen += u64::from(*count);
            if rank <= seen {
                return Some(middle_of(*step));
            }
        }
        None
    }
}

fn step_of(us: u32) -> u16 {
    let shift = us.checked_ilog2().map_or(0, |log| log.saturating_sub(STEPS_LOG2));
    u16::try_from((shift << STEPS_LOG2) + (us >> shift)).unwrap_or(Sketch::STEP_MAX)
}

fn middle_of(step: u16) -> u32 {
    let step = u32::from(step.min(Sketch::STEP_MAX));
    let shift = (step >> STEPS_LOG2).saturating_sub(1);
    let first = (step - (shift << STEPS_LOG2)) << shift;
    first + ((1_u32 << shift) - 1) / 2
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// From none to seconds, and all that there may be.
    fn times() -> impl Strategy<Value = Vec<u32>> {
        vec((any::<u32>(), 0..32_u32).prop_map(|(us, shift)| us >> shift), 1..200)
    }

    fn sketch(times: &[u32]) -> Sketch {
        let mut sketch = Sketch::default();
        times.iter().for_each(|us| sketch.add(*us));
        sketch
    }

    proptest! {
        /// Against sorting.
        #[test]
        fn a_quantile_is_within_two_percent(mut times in times(), percent in 0..=100_u64) {
            let told = sketch(&times).quantile(percent).unwrap();
            times.sort_unstable();
            let rank = (usize::try_from(percent).unwrap() * times.len()).div_ceil(100);
            let exact = times[rank.max(1) - 1];
            let off = u64::from(told.abs_diff(exact)) * 1_000;
            prop_assert!(off <= u64::from(exact) * 16, "{} for {}", told, exact);
        }

        #[test]
        fn merged_in_any_order_it_is_the_sketch_of_all(a in times(), b in times(), c in times()) {
            let whole = sketch(&[a.clone(), b.clone(), c.clone()].concat());
            for order in [[&a, &b, &c], [&c, &a, &b]] {
                let mut left = sketch(order[0]);
                left.merge(&sketch(order[1]));
                left.merge(&sketch(order[2]));
                let mut right = sketch(order[1]);
                right.merge(&sketch(order[2]));
                let mut grouped = sketch(order[0]);
                grouped.merge(&right);
                prop_assert_eq!(&left, &whole);
                prop_assert_eq!(&grouped, &whole);
            }
            let counts = whole.counts().to_vec();
            prop_assert_eq!(Sketch::from_counts(counts), Some(whole));
        }
    }

    #[test]
    fn each_step_is_told_by_a_time_that_is_in_it() {
        for us in [0, 31, 32, 33, 63, 64, 1_000_000, u32::MAX - 1, u32::MAX] {
            assert_eq!(step_of(middle_of(step_of(us))), step_of(us), "{us}");
        }
        assert_eq!(step_of(u32::MAX), Sketch::STEP_MAX);
        assert_eq!(Sketch::default().quantile(50), None);
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        for counts in [vec![(1, 0)], vec![(2, 1), (2, 1)], vec![(3, 1), (2, 1)], vec![(896, 1)]] {
            assert_eq!(Sketch::from_counts(counts), None);
        }
    }
}
