//! How much one sender may send. Pure: time is passed in.

use std::{collections::BTreeMap, time::Duration};

use model::UtcMicros;

/// Senders remembered at once, so that strangers cannot fill the memory.
const SENDERS_MAX: usize = 10_000;

/// A token bucket, kept as the time at which everything taken so far is paid for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    paid_at: UtcMicros,
}

impl Bucket {
    /// Takes something worth `cost`; returns how long to wait so that no more than `burst` is owed.
    pub(super) fn take(&mut self, cost: Duration, burst: Duration, now: UtcMicros) -> Duration {
        self.paid_at = self.paid_at.max(now) + cost;
        self.paid_at.since(now).saturating_sub(burst)
    }

    /// Takes it only if that owes no more than `burst`.
    pub(super) fn try_take(&mut self, cost: Duration, burst: Duration, now: UtcMicros) -> bool {
        let mut taken = *self;
        let is_within = taken.take(cost, burst, now).is_zero();
        if is_within {
            *self = taken;
        }
        is_within
    }
}

/// Attempts by sender, for a door at which anyone may knock: a stranger is known by the network it
/// comes from, an agent by its certificate.
#[derive(Debug)]
pub(super) struct Knocks<K> {
    buckets: BTreeMap<K, Bucket>,
}

impl<K> Default for Knocks<K> {
    fn default() -> Knocks<K> {
        Knocks { buckets: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Knocks<K> {
    /// Whether one more attempt of this sender is heard. If too many senders are remembered, those
    /// that owe nothing are forgotten, and if all owe, a new one has to wait.
    pub(super) fn is_heard(
        &mut self,
        sender: K,
        cost: Duration,
        burst: Duration,
        now: UtcMicros,
    ) -> bool {
        if self.buckets.len() == SENDERS_MAX && !self.buckets.contains_key(&sender) {
            self.buckets.retain(|_, bucket| now < bucket.paid_at);
            if self.buckets.len() == SENDERS_MAX {
                return false;
            }
        }
        self.buckets.entry(sender).or_default().try_take(cost, burst, now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const fn at(ms: i64) -> UtcMicros {
        UtcMicros(1_000_000_000 + ms * 1_000)
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_the_rate() {
        let (cost, burst) = (Duration::from_millis(100), Duration::from_millis(300));
        let mut bucket = Bucket::default();
        let waits = [0, 0, 0, 0, 0].map(|ms| bucket.take(cost, burst, at(ms)).as_millis());
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        assert_eq!(bucket.take(cost, burst, at(5_000)), Duration::ZERO);
    }

    #[test]
    fn one_address_does_not_use_up_anothers_attempts() {
        let (cost, burst) = (Duration::from_secs(6), Duration::from_secs(12));
        let mut knocks = Knocks::default();
        let [one, two] = [1, 2].map(|n| IpAddr::from([192, 0, 2, n]));
        let mut knock = |address, ms| knocks.is_heard(address, cost, burst, at(ms));
        assert_eq!([0, 0, 0].map(|ms| knock(one, ms)), [true, true, false]);
        assert!(knock(two, 0));
        assert_eq!([6_000, 6_000].map(|ms| knock(one, ms)), [true, false]);
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let (cost, burst) = (Duration::from_secs(6), Duration::from_secs(12));
        let mut knocks = Knocks::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..SENDERS_MAX as u32 {
            assert!(knocks.is_heard(address(n), cost, burst, at(0)));
        }
        assert!(!knocks.is_heard(address(u32::MAX), cost, burst, at(0)));
        assert!(knocks.is_heard(address(u32::MAX), cost, burst, at(7_000)));
        assert_eq!(knocks.buckets.len(), 1);
    }
}
