//! How often each round-trip time was seen: what quantiles are told from.
//!
//! Times fall into steps that grow with them, so a few counts tell any quantile to within 3.2 %.
//! Sketches are merged by adding their counts, in any order and grouping. All is integers: the same
//! on every machine.

/// How finely times are told: in steps that grow with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// 16 steps each doubling: the middle of a step is at most 3.2 % from any time in it.
    Coarse,
    /// 128 steps each doubling: at most 0.4 %. Each is a part of one coarse step.
    Fine,
}

impl Scale {
    /// Steps of each doubling, as a power of two. Below so many µs each time has a step of its own.
    const fn steps_log2(self) -> u32 {
        match self {
            Scale::Coarse => 4,
            Scale::Fine => 7,
        }
    }

    /// The step of the longest time that there can be, 71 minutes.
    pub const fn step_max(self) -> u16 {
        match self {
            Scale::Coarse => 463,
            Scale::Fine => 3_327,
        }
    }

    /// The step that a time in microseconds is in; a longer time is never in a lower step.
    pub fn step_of(self, us: u32) -> u16 {
        let log2 = self.steps_log2();
        let shift = us.checked_ilog2().map_or(0, |log| log.saturating_sub(log2));
        u16::try_from((shift << log2) + (us >> shift)).unwrap_or(self.step_max())
    }

    /// The time in the middle of a step, in microseconds.
    pub fn middle_of(self, step: u16) -> u32 {
        let (step, log2) = (u32::from(step.min(self.step_max())), self.steps_log2());
        let shift = (step >> log2).saturating_sub(1);
        let first = (step - (shift << log2)) << shift;
        first + ((1_u32 << shift) - 1) / 2
    }

    /// The middle of the step that a time is in.
    pub fn round(self, us: u32) -> u32 {
        self.middle_of(self.step_of(us))
    }
}

/// Counts of round-trip times in steps.
///
/// Below 16 µs each time has a step of its own; above, each doubling has 16. A quantile is the
/// middle of its step: at most 3.2 % from the time that was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Steps in ascending order with their counts, none of which is zero.
    counts: Vec<(u16, u32)>,
}

impl Sketch {
    const SCALE: Scale = Scale::Coarse;

    /// How many times were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Counts one time, in microseconds.
    pub fn add(&mut self, us: u32) {
        self.add_step(Sketch::SCALE.step_of(us), 1);
    }

    /// Counts of a step, which is one of [`Scale::Coarse`].
    pub fn add_step(&mut self, step: u16, more: u32) {
        if more == 0 {
            return;
        }
        let step = step.min(Sketch::SCALE.step_max());
        match self.counts.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(index) => {
                if let Some((_, count)) = self.counts.get_mut(index) {
                    *count = count.saturating_add(more);
                }
            }
            Err(index) => self.counts.insert(index, (step, more)),
        }
    }

    /// Each step of which there is any, in ascending order, with its count.
    pub fn steps(&self) -> impl Iterator<Item = (u16, u32)> {
        self.counts.iter().copied()
    }

    /// Adds what another sketch counted.
    pub fn merge(&mut self, other: &Sketch) {
        for (step, count) in &other.counts {
            self.add_step(*step, *count);
        }
    }

    /// The time in microseconds that `percent` of a hundred are at most; `None` if there is none.
    pub fn quantile(&self, percent: u64) -> Option<u32> {
        self.quantile_step(percent).map(|step| Sketch::SCALE.middle_of(step))
    }

    /// The step of that time.
    pub fn quantile_step(&self, percent: u64) -> Option<u16> {
        let rank = self.total().saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (step, count) in &self.counts {
            seen += u64::from(*count);
            if rank <= seen {
                return Some(*step);
            }
        }
        None
    }
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
        fn a_quantile_is_within_three_and_a_bit_percent(
            mut times in times(), percent in 0..=100_u64
        ) {
            let told = sketch(&times).quantile(percent).unwrap();
            times.sort_unstable();
            let rank = (usize::try_from(percent).unwrap() * times.len()).div_ceil(100);
            let exact = times[rank.max(1) - 1];
            let off = u64::from(told.abs_diff(exact)) * 1_000;
            prop_assert!(off <= u64::from(exact) * 32, "{} for {}", told, exact);
        }

        /// A rounded mean or fastest packet, to within 0.4 %; and rounded twice as rounded once.
        #[test]
        fn a_fine_step_is_within_four_thousandths(us in times()) {
            for us in us {
                let told = Scale::Fine.round(us);
                prop_assert!(u64::from(told.abs_diff(us)) * 1_000 <= u64::from(us) * 4);
                prop_assert_eq!(Scale::Fine.round(told), told);
                let (coarse, finer) = (Scale::Coarse.step_of(us), Scale::Coarse.step_of(told));
                prop_assert_eq!(coarse, finer);
            }
        }

        /// Of many days, against sorting all that they had: merging makes it no worse.
        #[test]
        fn merged_a_quantile_is_as_near_to_what_was_as_before(
            days in vec(times(), 1..12), percent in 0..=100_u64
        ) {
            let mut merged = Sketch::default();
            for day in &days {
                let mut kept = Sketch::default();
                sketch(day).steps().for_each(|(step, count)| kept.add_step(step, count));
                merged.merge(&kept);
            }
            let mut all = days.concat();
            all.sort_unstable();
            let rank = (usize::try_from(percent).unwrap() * all.len()).div_ceil(100);
            let (told, exact) = (merged.quantile(percent).unwrap(), all[rank.max(1) - 1]);
            let off = u64::from(told.abs_diff(exact)) * 1_000;
            prop_assert!(off <= u64::from(exact) * 32, "{} for {}", told, exact);
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
        }
    }

    #[test]
    fn each_step_is_told_by_a_time_that_is_in_it() {
        for scale in [Scale::Coarse, Scale::Fine] {
            for us in [0, 15, 16, 17, 33, 64, 511, 512, 1_000_000, u32::MAX - 1, u32::MAX] {
                assert_eq!(scale.step_of(scale.round(us)), scale.step_of(us), "{us}");
            }
            assert_eq!(scale.step_of(u32::MAX), scale.step_max());
        }
        assert_eq!(Sketch::default().quantile(50), None);
    }
}
