//! The agent's two clocks, and the only place that reads any.
//!
//! Ticks count on through suspension and know nothing of time servers: every measure is taken with
//! them. The wall clock only ever anchors a batch.

use std::time::{SystemTime, UNIX_EPOCH};

use model::{Tick, UtcMicros};
use nix::time::ClockId;
use sha2::{Digest, Sha256};
use wire::{Anchor, BootId};

/// Reads both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    pub fn new() -> Clock {
        Clock
    }

    /// Returns the microseconds since the operating system started, time in suspension included.
    ///
    /// All processes of one start share the origin, so ticks of an agent that was restarted still
    /// compare.
    pub fn tick(self) -> Tick {
        // The call cannot fail on a Linux that runs this binary (2.6.39, 2011).
        let time = ClockId::CLOCK_BOOTTIME.now().ok();
        Tick(time.map_or(0, |t| {
            let s = u64::try_from(t.tv_sec()).unwrap_or(0);
            let ns = u64::try_from(t.tv_nsec()).unwrap_or(0);
            s.saturating_mul(1_000_000).saturating_add(ns / 1_000)
        }))
    }

    /// Returns what the host believes the time of day to be.
    pub fn wall(self) -> UtcMicros {
        #[expect(clippy::disallowed_methods, reason = "this is the one clock of the process")]
        let now = SystemTime::now();
        UtcMicros(match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        })
    }

    /// Reads both at one moment.
    pub fn anchor(self) -> Anchor {
        Anchor { tick: self.tick(), wall: self.wall() }
    }
}

/// Names the origin of the ticks: the start of the operating system, and the time namespace, whose
/// ticks have an origin of their own.
///
/// Where the kernel does not say, a random one: ticks then compare within this process only.
pub fn boot_id() -> BootId {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id");
    let Ok(boot) = boot else {
        tracing::warn!("the kernel names no boot id: this start counts as a boot of its own");
        return crate::files::random();
    };
    let namespace = std::fs::read("/proc/self/timens_offsets").unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(boot.trim_ascii());
    hash.update(namespace.trim_ascii());
    let digest = hash.finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_run_backwards_and_one_boot_has_one_id() {
        let before = Clock.tick();
        assert!(Tick(0) < before && before <= Clock.tick());
        assert_eq!(boot_id(), boot_id());
    }
}
