//! Loss that is not an outage: the last 100 packets of one pair, and a test pooled over agents.
//!
//! Neither judges on one round, and confirm packets enter neither: a burst that is only sent after
//! a loss would bias the rate.

use model::{Tier, UtcMicros};
use serde::{Deserialize, Serialize};

use crate::rules::us_since;

/// The last 100 packets of a pair, one bit each.
///
/// Within a round the lost packets are taken to be the oldest: which of them were lost is not
/// reported, and once the round is inside the window its order makes no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LossWindow {
    /// Newest packet in the lowest bit of the first half; 1 is lost. Halves, because a whole would
    /// have every pair begin at a multiple of 16 bytes.
    halves: [u64; 2],
}

impl LossWindow {
    const PACKETS: u32 = Tier::LOSS_WINDOW_PACKETS as u32;

    fn bits(self) -> u128 {
        let [low, high] = self.halves;
        u128::from(high) << 64 | u128::from(low)
    }

    fn set_bits(&mut self, bits: u128) {
        let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        self.halves = [low, u64::try_from(bits >> 64).unwrap_or(u64::MAX)];
    }

    /// Takes in one round; returns how many packets the window holds now.
    pub(crate) fn push(&mut self, packets: u8, sent: u8, lost: u8) -> u8 {
        let (sent, lost) = (u32::from(sent.min(100)), u32::from(lost.min(sent).min(100)));
        let ones = (1u128 << lost) - 1;
        let bits = (self.bits() << sent) | (ones << (sent - lost));
        self.set_bits(bits & ((1u128 << Self::PACKETS) - 1));
        u8::try_from((u32::from(packets) + sent).min(Self::PACKETS)).unwrap_or(u8::MAX)
    }

    /// Lets packets pass that nobody knows: the oldest of the window make room for them.
    ///
    /// Returns how many packets the window holds now.
    pub(crate) fn pass(&mut self, packets: u8, unknown: u32) -> u8 {
        let kept = Self::PACKETS.saturating_sub(unknown).min(u32::from(packets));
        self.set_bits(self.bits() & ((1u128 << kept) - 1));
        u8::try_from(kept).unwrap_or(u8::MAX)
    }

    pub(crate) fn lost(&self) -> u8 {
        u8::try_from(self.bits().count_ones()).unwrap_or(u8::MAX)
    }
}

/// A sequential test on the packets of all agents that see a probe.
///
/// It is Page's CUSUM of the log-likelihood ratio of 10 % loss against 1 %, in units of one
/// received packet: ln(0.99/0.90) = 0.0953 counts 1 down, ln(0.10/0.01) = 2.303 counts 24 up.
///
/// 1 - A lost packet adds 24, a received one takes 1; the score never falls below 0.
/// 2 - At most 2 lost packets of one round count: a burst shorter than a round says nothing about
///     a rate, so no single round of two agents can raise.
/// 3 - A fully lost round counts only when its pair answers again: until then it may be an outage,
///     or the agent's own fault. An agent that goes away therefore raises nothing.
/// 4 - At 100 (tiers up to 10 s) or 142 (slower tiers) the test is raised.
/// 5 - Raised, it runs the other way: a received packet adds 1, a lost one takes 24, and at 100
///     it is cleared. That is 100 packets in a row without a loss, 125 with one.
///
/// Why these thresholds (the test `pool_figures` computes them): at 20 % loss, 2 agents and 5
/// packets each per 5 s, 100 detects in 14.7 s median and 27.7 s at p95, arrival included. Random
/// loss of 0.5 % on 100,000 targets by 3 agents every 30 s raises 142 falsely 0.3 times a day
/// over the whole fleet; 100 would raise 159 times. The fast tier buys speed with that on the
/// targets that were put there for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    score: u8,
    is_raised: bool,
    /// Counts the score's excursions from 0, so that each agent's share of the present one is
    /// known without visiting all pairs when it ends.
    run: u8,
    /// Start of the newest round that fed it.
    fed_at: UtcMicros,
}

/// One agent's share of the present excursion of a [`Pool`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolShare {
    run: u8,
    lost: u8,
}

impl Pool {
    const LOST_STEP: i16 = 24;
    const LOST_PER_ROUND_MAX: u8 = 2;
    const RAISE_FAST: i16 = 100;
    const RAISE: i16 = 142;
    const CLEAR: i16 = 100;

    pub(crate) fn is_raised(&self) -> bool {
        self.is_raised
    }

    /// Lets time pass up to a round that started at `at`.
    ///
    /// If nobody's packets came for as long as a loss window reaches (the server was away, or all
    /// agents were), what it knew is as old as what a window forgets. Returns whether it was
    /// raised by that.
    pub(crate) fn pass(&mut self, at: UtcMicros, window_us: i64) -> bool {
        let was_raised = self.is_raised;
        let is_old = window_us <= us_since(at, self.fed_at);
        self.fed_at = self.fed_at.max(at);
        if is_old {
            self.reset();
        }
        is_old && was_raised
    }

    /// Takes in what one round of one agent sent and lost.
    ///
    /// Returns whether the consensus has something to look at: it was raised or cleared, or it is
    /// raised and the agents' shares moved.
    pub(crate) fn feed(
        &mut self,
        share: &mut PoolShare,
        sent: u8,
        lost: u8,
        is_fast: bool,
    ) -> bool {
        if lost == 0 && self.score == 0 && !self.is_raised {
            return false;
        }
        let counted = i16::from(lost.min(Self::LOST_PER_ROUND_MAX)) * Self::LOST_STEP;
        let change = counted - i16::from(sent.saturating_sub(lost));
        if share.run != self.run {
            *share = PoolShare { run: self.run, lost: 0 };
        }
        share.lost = share.lost.saturating_add(lost);
        let signed = if self.is_raised { -change } else { change };
        let score = (i16::from(self.score) + signed).max(0);
        let raise = if is_fast { Self::RAISE_FAST } else { Self::RAISE };
        let limit = if self.is_raised { Self::CLEAR } else { raise };
        if limit <= score {
            self.score = 0;
            self.is_raised = !self.is_raised;
            if !self.is_raised {
                self.run = self.run.wrapping_add(1);
            }
            return true;
        }
        if score == 0 && !self.is_raised {
            self.run = self.run.wrapping_add(1);
        }
        self.score = u8::try_from(score).unwrap_or(u8::MAX);
        self.is_raised && 0 < lost
    }

    /// Forgets: the probe is Down, or nobody sees it any more.
    pub(crate) fn reset(&mut self) {
        *self = Pool { score: 0, is_raised: false, run: self.run.wrapping_add(1), ..*self };
    }

    /// How many lost packets an agent contributed to the present excursion.
    pub(crate) fn lost_of(&self, share: PoolShare) -> u8 {
        if share.run == self.run { share.lost } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator with a fixed seed (SplitMix64): the figures must not flicker.
    struct Dice(u64);

    impl Dice {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// Seconds until 20 % loss is raised by 2 agents that each send 5 packets per 5 s: the start
    /// of the raising round, its span of 1.8 s, and up to 1 s until it is flushed.
    fn detection_s(dice: &mut Dice) -> f64 {
        let mut pool = Pool::default();
        let mut shares = [PoolShare::default(); 2];
        let mut next = [dice.unit() * 5.0, dice.unit() * 5.0];
        loop {
            let which = usize::from(next[1] < next[0]);
            let lost = u8::try_from((0..5).filter(|_| dice.unit() < 0.2).count()).expect("few");
            // A fully lost round waits for the next one; that is as rare as 1 in 3,000 here.
            pool.feed(&mut shares[which], 5, lost, true);
            if pool.is_raised() {
                return next[which] + 1.8 + dice.unit();
            }
            next[which] += 5.0;
        }
    }

    /// False raises a day of 100,000 targets, 3 agents, 30 s, 5 packets, at 0.5 % random loss: the
    /// steady flow over the threshold of the score's Markov chain.
    fn false_raises_a_day(is_fast: bool) -> f64 {
        let chance = |lost: u8| {
            let ways = [1.0, 5.0, 10.0, 10.0, 5.0, 1.0][usize::from(lost)];
            ways * 0.005f64.powi(i32::from(lost)) * 0.995f64.powi(5 - i32::from(lost))
        };
        let mut states = vec![0.0; 256];
        states[0] = 1.0;
        let mut flow = 0.0;
        for _ in 0..400 {
            let mut next = vec![0.0; 256];
            flow = 0.0;
            for (score, &weight) in (0..=u8::MAX).zip(&states) {
                if weight < 1e-30 {
                    continue;
                }
                for lost in 0..=4 {
                    let mut pool = Pool { score, ..Pool::default() };
                    pool.feed(&mut PoolShare::default(), 5, lost, is_fast);
                    if pool.is_raised {
                        flow += weight * chance(lost);
                        next[0] += weight * chance(lost);
                    } else {
                        next[usize::from(pool.score)] += weight * chance(lost);
                    }
                }
            }
            states = next;
        }
        flow * 100_000.0 * 3.0 * 2_880.0
    }

    #[test]
    fn pool_figures() {
        let mut dice = Dice(1);
        let mut times: Vec<f64> = (0..20_000).map(|_| detection_s(&mut dice)).collect();
        times.sort_by(f64::total_cmp);
        let text = format!(
            "20 % loss, fast tier: median {:.1} s, p95 {:.1} s\n\
             false raises a day at 0.5 %: fast {:.0}, others {:.2}\n",
            times[times.len() / 2],
            times[times.len() * 95 / 100],
            false_raises_a_day(true),
            false_raises_a_day(false),
        );
        expect_test::expect![[r#"
            20 % loss, fast tier: median 14.7 s, p95 27.7 s
            false raises a day at 0.5 %: fast 159, others 0.31
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn the_window_forgets_the_hundred_and_first_packet() {
        let mut window = LossWindow::default();
        let mut packets = 0;
        packets = window.push(packets, 5, 2);
        for round in 0..18 {
            packets = window.push(packets, 5, 0);
            assert_eq!((packets, window.lost()), (10 + round * 5, 2));
        }
        packets = window.push(packets, 5, 5);
        assert_eq!((packets, window.lost()), (100, 7));
        packets = window.push(packets, 1, 0);
        assert_eq!((packets, window.lost()), (100, 6));
        packets = window.pass(packets, 1);
        assert_eq!((packets, window.lost()), (99, 5));
        packets = window.pass(packets, 94);
        assert_eq!((packets, window.lost()), (6, 5));
        packets = window.pass(packets, 5_000);
        assert_eq!((packets, window.lost()), (0, 0));
    }

    #[test]
    fn a_raised_pool_clears_after_a_hundred_packets_without_loss() {
        let mut pool = Pool::default();
        let mut share = PoolShare::default();
        for _ in 0..3 {
            pool.feed(&mut share, 5, 2, true);
        }
        assert!(pool.is_raised());
        assert_eq!(pool.lost_of(share), 6);
        let rounds = (1..).find(|_| pool.feed(&mut share, 5, 0, true));
        assert_eq!((rounds, pool.is_raised()), (Some(20), false));
        assert_eq!(pool.lost_of(share), 0);
    }
}
