//! How often to dial, how fast to send. Pure arithmetic; the time is passed in.

use std::time::Duration;

use model::Tick;

/// The wait after the first failure.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Soon enough after an outage, and a thousand agents make 17 attempts a second.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The wait after a refusal that only a person can lift.
pub(crate) const REFUSED_WAIT: Duration = Duration::from_secs(60);

/// Exponential waits between attempts, with jitter so that agents do not return in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns the next wait: between half and all of the exponential one, by `dice`.
    pub(crate) fn next(&mut self, dice: u16) -> Duration {
        let doubled = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let full = doubled.min(BACKOFF_MAX);
        full / 2 + full / 2 * u32::from(dice) / u32::from(u16::MAX)
    }
}

/// Millionths of a batch or a byte: rates per second times microseconds need no division.
const UNIT: i64 = 1_000_000;

/// Keeps an agent within what the server allows it: two buckets that hold one second's worth.
#[derive(Debug)]
pub(crate) struct Pacer {
    batches: Bucket,
    bytes: Bucket,
    at: Tick,
}

#[derive(Debug)]
struct Bucket {
    per_second: i64,
    level: i64,
}

impl Bucket {
    fn new(per_second: u64) -> Bucket {
        // A limit of nothing would be a server that never hears: at least one.
        let per_second = i64::try_from(per_second).unwrap_or(i64::MAX / UNIT);
        let per_second = per_second.clamp(1, i64::MAX / UNIT);
        let level = per_second.saturating_mul(UNIT);
        Bucket { per_second, level }
    }

    fn refill(&mut self, elapsed_us: i64) {
        let more = self.per_second.saturating_mul(elapsed_us);
        let most = self.per_second.saturating_mul(UNIT);
        self.level = self.level.saturating_add(more).min(most);
    }

    fn wait(&self) -> Duration {
        if 0 < self.level {
            return Duration::ZERO;
        }
        let us = self.level.unsigned_abs() / self.per_second.unsigned_abs();
        Duration::from_micros(us + 1)
    }
}

impl Pacer {
    pub(crate) fn new(batches_per_second: u32, bytes_per_second: u64, now: Tick) -> Pacer {
        Pacer {
            batches: Bucket::new(batches_per_second.into()),
            bytes: Bucket::new(bytes_per_second),
            at: now,
        }
    }

    /// Returns how long to wait before the next batch; zero if it may go now.
    pub(crate) fn wait(&mut self, now: Tick) -> Duration {
        let elapsed_us = i64::try_from(now.since(self.at).as_micros()).unwrap_or(i64::MAX);
        self.at = now;
        self.batches.refill(elapsed_us);
        self.bytes.refill(elapsed_us);
        self.batches.wait().max(self.bytes.wait())
    }

    /// Notes that a batch went out. A large one may overdraw; the next then waits longer.
    pub(crate) fn spend(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.batches.level = self.batches.level.saturating_sub(UNIT);
        self.bytes.level = self.bytes.level.saturating_sub(bytes.saturating_mul(UNIT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_again() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..10).map(|_| backoff.next(u16::MAX).as_millis()).collect();
        let expected = [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000];
        assert_eq!(waits, expected);
        backoff.reset();
        assert_eq!(backoff.next(0).as_millis(), 250);
    }

    #[test]
    fn a_sender_keeps_to_both_rates() {
        let mut pacer = Pacer::new(10, 1_000, Tick(0));
        let mut now = Tick(0);
        let mut sent = 0;
        while now < Tick(10_000_000) {
            let wait = pacer.wait(now);
            if wait.is_zero() {
                pacer.spend(50);
                sent += 1;
            } else {
                now = now + wait;
            }
        }
        // One second's worth at once, then ten a second.
        assert!((105..=111).contains(&sent), "{sent}");
        pacer.spend(3_000);
        assert!(Duration::from_secs(1) < pacer.wait(now), "overdrawn by two seconds' worth");
    }
}
