//! Round-trip times of many rounds: as they add up, and as they are told.

use crate::{Outcome, Scale, Sketch};

/// The round-trip times of some rounds, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Answered packets; without any, the rest is zero.
    pub packets: u64,
    pub us_min: u32,
    pub us_max: u32,
    /// The sum of the rounds' means, each times its answered packets.
    pub us_sum: u64,
    /// The means of the rounds: packets of a round are near each other, and known no finer.
    pub means: Sketch,
}

impl Times {
    /// The mean of the answered packets; `None` if there are none.
    pub fn us_mean(&self) -> Option<u64> {
        self.us_sum.checked_div(self.packets)
    }

    /// Fastest and slowest packet; `None` if there are none.
    pub fn us_range(&self) -> Option<(u32, u32)> {
        (0 < self.packets).then_some((self.us_min, self.us_max))
    }

    /// Adds the times of a round that is not in it yet; one without an answer has none.
    pub fn add(&mut self, outcome: &Outcome) {
        let Outcome::Asked { received, rtt: Some(rtt), .. } = outcome else { return };
        if *received == 0 {
            return;
        }
        let packets = u64::from(*received);
        let us_sum = u64::from(rtt.us_mean).saturating_mul(packets);
        self.add_packets(packets, (rtt.us_min, rtt.us_max), us_sum);
        self.means.add(rtt.us_mean);
    }

    pub(crate) fn merge(&mut self, other: &Times) {
        self.add_packets(other.packets, (other.us_min, other.us_max), other.us_sum);
        self.means.merge(&other.means);
    }

    /// What is told of them; `None` if there are none.
    pub fn told(&self) -> Option<Rtts> {
        let quantile = |percent| self.means.quantile_step(percent).unwrap_or_default();
        let steps = RttSteps {
            min: Scale::Fine.step_of(self.us_min),
            mean: Scale::Fine.step_of(self.us_mean_narrow()),
            max: Scale::Coarse.step_of(self.us_max),
            p50: quantile(50),
            p95: quantile(95),
            p99: quantile(99),
        };
        (0 < self.packets).then(|| Rtts::from_steps(self.packets, steps))
    }

    fn us_mean_narrow(&self) -> u32 {
        self.us_mean().map_or(0, |mean| u32::try_from(mean).unwrap_or(u32::MAX))
    }

    /// Adds answered packets of which nothing else is known: their quantiles are not told.
    pub fn add_packets(&mut self, packets: u64, (us_min, us_max): (u32, u32), us_sum: u64) {
        if packets == 0 {
            return;
        }
        self.us_min = if self.packets == 0 { us_min } else { self.us_min.min(us_min) };
        self.us_max = self.us_max.max(us_max);
        self.us_sum = self.us_sum.saturating_add(us_sum);
        self.packets = self.packets.saturating_add(packets);
    }
}

/// The steps of what is told of round-trip times: the fastest packet and the mean on the fine
/// scale, the others on the coarse one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RttSteps {
    pub min: u16,
    pub mean: u16,
    pub max: u16,
    pub p50: u16,
    pub p95: u16,
    pub p99: u16,
}

/// What is told of the round-trip times of some rounds, in microseconds.
///
/// 1 - The fastest packet and the mean are within 0.4 % of what they were.
/// 2 - The slowest packet is within 3.2 %.
/// 3 - Quantiles are of the rounds' means, within 3.2 %.
/// 4 - No rounding puts them out of their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtts {
    packets: u64,
    steps: RttSteps,
}

impl Rtts {
    /// Tells times from their steps, put in order where they are not.
    pub fn from_steps(packets: u64, steps: RttSteps) -> Rtts {
        let coarse = |fine: u16| Scale::Coarse.step_of(Scale::Fine.middle_of(fine));
        let mean = steps.mean.min(Scale::Fine.step_max());
        let min = steps.min.min(mean);
        let max = steps.max.clamp(coarse(mean), Scale::Coarse.step_max());
        let within = |step: u16| step.clamp(coarse(min), max);
        let (p50, p95, p99) = (within(steps.p50), within(steps.p95), within(steps.p99));
        Rtts { packets, steps: RttSteps { min, mean, max, p50, p95, p99 } }
    }

    /// Answered packets whose times these are.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    pub fn steps(&self) -> RttSteps {
        self.steps
    }

    pub fn us_min(&self) -> u32 {
        Scale::Fine.middle_of(self.steps.min)
    }

    /// Of the answered packets.
    pub fn us_mean(&self) -> u32 {
        Scale::Fine.middle_of(self.steps.mean)
    }

    pub fn us_max(&self) -> u32 {
        Scale::Coarse.middle_of(self.steps.max).max(self.us_mean())
    }

    /// Half of the rounds' means are at most this.
    pub fn us_p50(&self) -> u32 {
        self.quantile(self.steps.p50)
    }

    pub fn us_p95(&self) -> u32 {
        self.quantile(self.steps.p95)
    }

    pub fn us_p99(&self) -> u32 {
        self.quantile(self.steps.p99)
    }

    fn quantile(&self, step: u16) -> u32 {
        Scale::Coarse.middle_of(step).max(self.us_min()).min(self.us_max())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{Confirm, Rtt};

    /// Answered packets, the fastest, and what lies above it.
    fn rounds() -> impl Strategy<Value = Vec<(u8, Rtt)>> {
        let rtt = (0..3_000_000_u32, 0..24_u32, 0..9_000_u32, 0..90_000_u32);
        let rtt = rtt.prop_map(|(us, shift, mean, max)| {
            let us_min = us >> shift;
            Rtt { us_min, us_mean: us_min + mean, us_max: us_min + mean + max }
        });
        vec((1..=5_u8, rtt), 1..100)
    }

    fn times(rounds: &[(u8, Rtt)]) -> Times {
        let mut times = Times::default();
        for (received, rtt) in rounds {
            let (rtt, confirm) = (Some(*rtt), Confirm::default());
            times.add(&Outcome::Asked { sent: 5, received: *received, rtt, confirm });
        }
        times
    }

    fn is_within(told: u64, exact: u64, per_mille: u64) -> bool {
        told.abs_diff(exact) * 1_000 <= exact * per_mille
    }

    proptest! {
        /// Against sorting and adding up.
        #[test]
        fn what_is_told_is_near_what_was_and_in_order(rounds in rounds()) {
            let told = times(&rounds).told().unwrap();
            let packets: u64 = rounds.iter().map(|(packets, _)| u64::from(*packets)).sum();
            let of = |(n, rtt): &(_, Rtt)| u64::from(*n) * u64::from(rtt.us_mean);
            let sum: u64 = rounds.iter().map(of).sum();
            let min = rounds.iter().map(|(_, rtt)| rtt.us_min).min().unwrap();
            let max = rounds.iter().map(|(_, rtt)| rtt.us_max).max().unwrap();
            prop_assert!(is_within(told.us_min().into(), min.into(), 4));
            prop_assert!(is_within(told.us_mean().into(), sum / packets, 4));
            prop_assert!(is_within(told.us_max().into(), max.into(), 32));
            let mut means: Vec<u32> = rounds.iter().map(|(_, rtt)| rtt.us_mean).collect();
            means.sort_unstable();
            let rank = |percent: usize| means[(percent * means.len()).div_ceil(100) - 1];
            let quantiles = [(told.us_p50(), 50), (told.us_p95(), 95), (told.us_p99(), 99)];
            for (told, percent) in quantiles {
                prop_assert!(is_within(told.into(), rank(percent).into(), 32));
            }
            let order = [told.us_min(), told.us_p50(), told.us_p95(), told.us_p99(), told.us_max()];
            prop_assert!(order.is_sorted(), "{:?}", order);
            prop_assert!(told.us_min() <= told.us_mean() && told.us_mean() <= told.us_max());
            prop_assert_eq!(Rtts::from_steps(told.packets(), told.steps()), told);
        }
    }

    #[test]
    fn times_are_of_answered_packets_and_none_is_not_zero() {
        let none = Times::default();
        assert_eq!((none.us_mean(), none.us_range(), none.told()), (None, None, None));
        let rtt = |us_mean| Rtt { us_min: us_mean / 2, us_mean, us_max: us_mean * 2 };
        let times = times(&[(5, rtt(100)), (0, rtt(7)), (1, rtt(400))]);
        assert_eq!((times.us_mean(), times.us_range()), (Some(900 / 6), Some((50, 800))));
        assert_eq!(times.means.total(), 2);
    }
}
