//! The server's time: the only home of the system clocks in the server.
//!
//! The server goes by the wall clock as it was at its start plus what the boot clock has counted
//! since. That clock follows a slew (both run at the corrected rate) and counts a suspended
//! machine's sleep, but a step of the wall clock moves it nowhere: no time has passed, and
//! minutes, round-trip times and deadlines must not say otherwise. A step is reported once. A step
//! forward that stays is followed after [`STEP_BELIEVED_AFTER`] (a machine that booted without a
//! clock), by the log, so that the engine hears of it before it sees the new time; a step backward
//! is never followed, because time that was written to the log cannot be taken back: the server
//! then stays ahead until it is restarted later than the last entry of its log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::UtcMicros;
use nix::time::{ClockId, clock_gettime};

/// A difference between two looks that is no rounding and no slew.
pub const STEP_MIN: Duration = Duration::from_millis(500);
/// How long a step forward must stay before the server's time follows it.
pub const STEP_BELIEVED_AFTER: Duration = Duration::from_secs(600);

/// What both clocks said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Microseconds since 1970 by the wall clock, which people set.
    pub wall_us: i64,
    /// Microseconds since the machine booted, which nobody sets.
    pub boot_us: i64,
}

/// What a look at both clocks found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The wall was stepped since the last look: forward or not, by how much.
    pub(crate) stepped: Option<(bool, Duration)>,
    /// The server's time is to be moved forward by this much.
    pub(crate) to_follow: Option<Duration>,
}

/// The pure part: turns readings into time and steps.
#[derive(Debug)]
struct Timekeeper {
    /// Server time less boot time.
    base_us: i64,
    /// Wall time less boot time at the last look.
    wall_base_us: i64,
    /// Since when the wall has been ahead by a step, by boot time.
    ahead_since_us: Option<i64>,
    last: UtcMicros,
    /// How often our time was moved to follow the wall.
    jumps: u32,
}

impl Timekeeper {
    fn new(reading: Reading) -> Timekeeper {
        let base_us = reading.wall_us - reading.boot_us;
        let last = UtcMicros(reading.wall_us);
        Timekeeper { base_us, wall_base_us: base_us, ahead_since_us: None, last, jumps: 0 }
    }

    fn now(&mut self, reading: Reading) -> UtcMicros {
        let now = UtcMicros(reading.boot_us.saturating_add(self.base_us));
        self.last = self.last.max(now);
        self.last
    }

    /// Time goes on from here at the earliest.
    fn not_before(&mut self, floor: UtcMicros, reading: Reading) {
        self.base_us = self.base_us.max(floor.0 - reading.boot_us);
        self.last = self.last.max(floor);
    }

    /// 1 - The wall moved against the boot clock by [`STEP_MIN`] or more since the last look: a
    ///     step, reported. Less is rounding; a slew moves both clocks alike.
    /// 2 - Ahead of our time by a step for [`STEP_BELIEVED_AFTER`]: our time is to follow.
    fn look(&mut self, reading: Reading) -> Look {
        let wall_base_us = reading.wall_us - reading.boot_us;
        let moved_us = wall_base_us - self.wall_base_us;
        self.wall_base_us = wall_base_us;
        let moved = Duration::from_micros(moved_us.unsigned_abs());
        let ahead_us = wall_base_us - self.base_us;
        if ahead_us < in_us(STEP_MIN) {
            self.ahead_since_us = None;
        } else {
            self.ahead_since_us.get_or_insert(reading.boot_us);
        }
        let is_believed = |since| in_us(STEP_BELIEVED_AFTER) <= reading.boot_us - since;
        Look {
            stepped: (STEP_MIN <= moved).then_some((0 < moved_us, moved)),
            to_follow: (self.ahead_since_us.is_some_and(is_believed))
                .then(|| Duration::from_micros(ahead_us.unsigned_abs())),
        }
    }

    /// Moves our time to the wall, if that is ahead.
    fn follow(&mut self, reading: Reading) {
        self.base_us = self.base_us.max(reading.wall_us - reading.boot_us);
        self.ahead_since_us = None;
        self.jumps += 1;
    }
}

fn in_us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Where a test's clock gets its readings.
pub trait ReadClocks: Send + Sync + std::fmt::Debug {
    fn read(&self) -> Reading;
}

#[derive(Debug)]
struct SystemClocks;

impl ReadClocks for SystemClocks {
    fn read(&self) -> Reading {
        system_reading()
    }
}

/// Reads the machine's clocks.
pub fn system_reading() -> Reading {
    Reading { wall_us: read_us(ClockId::CLOCK_REALTIME), boot_us: read_us(ClockId::CLOCK_BOOTTIME) }
}

/// Reads one clock. The call fails only for clocks that do not exist; Linux has both.
fn read_us(id: ClockId) -> i64 {
    match clock_gettime(id) {
        Ok(time) => time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_nsec() / 1_000),
        Err(_) => 0,
    }
}

/// The server's time. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Arc<dyn ReadClocks>,
    keeper: Arc<Mutex<Timekeeper>>,
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Clock {
        Clock::over(Arc::new(SystemClocks))
    }

    /// Any clocks; tests step them.
    pub fn over(source: Arc<dyn ReadClocks>) -> Clock {
        let keeper = Timekeeper::new(source.read());
        Clock { source, keeper: Arc::new(Mutex::new(keeper)) }
    }

    /// The time it is. It never decreases.
    pub fn now(&self) -> UtcMicros {
        let reading = self.source.read();
        self.lock().now(reading)
    }

    /// Makes sure that time goes on no earlier than `floor`: the last entry of the log.
    pub(crate) fn not_before(&self, floor: UtcMicros) {
        let reading = self.source.read();
        self.lock().not_before(floor, reading);
    }

    /// Compares the clocks; call it about once a second.
    pub(crate) fn look(&self) -> Look {
        let reading = self.source.read();
        self.lock().look(reading)
    }

    /// Moves the server's time to the wall's. Only the log does it, with the entry that says so.
    pub(crate) fn follow(&self) {
        let reading = self.source.read();
        self.lock().follow(reading);
    }

    /// How far the wall clock is ahead of the server's time; negative if it is behind.
    pub fn wall_ahead_us(&self) -> i64 {
        let keeper = self.lock();
        keeper.wall_base_us - keeper.base_us
    }

    /// How often the server's time was moved: what was measured against it before is void.
    pub(crate) fn jumps(&self) -> u32 {
        self.lock().jumps
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timekeeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;
    const HOUR_US: i64 = 3_600 * SECOND_US;

    fn at(boot_s: i64, wall_offset_us: i64) -> Reading {
        let boot_us = boot_s * SECOND_US;
        Reading { wall_us: 1_000 * HOUR_US + boot_us + wall_offset_us, boot_us }
    }

    fn shown(keeper: &mut Timekeeper, reading: Reading) -> i64 {
        (keeper.now(reading).0 - 1_000 * HOUR_US) / SECOND_US
    }

    #[test]
    fn a_step_is_told_once_and_moves_no_minute() {
        for step_us in [HOUR_US, -HOUR_US] {
            let mut keeper = Timekeeper::new(at(0, 0));
            assert_eq!(keeper.look(at(1, 0)), Look::default());
            let stepped = Some((0 < step_us, Duration::from_secs(3600)));
            assert_eq!(keeper.look(at(2, step_us)), Look { stepped, to_follow: None });
            assert_eq!(keeper.look(at(3, step_us)), Look::default());
            assert_eq!(shown(&mut keeper, at(4, step_us)), 4);
        }
    }

    #[test]
    fn a_step_forward_that_stays_is_believed_and_one_backward_is_not() {
        let mut keeper = Timekeeper::new(at(0, 0));
        for second in 1..=600 {
            assert_eq!(keeper.look(at(second, HOUR_US)).to_follow, None);
        }
        let to_follow = keeper.look(at(601, HOUR_US)).to_follow;
        assert_eq!(to_follow, Some(Duration::from_secs(3600)));
        assert_eq!(shown(&mut keeper, at(601, HOUR_US)), 601);
        keeper.follow(at(601, HOUR_US));
        assert_eq!(shown(&mut keeper, at(700, HOUR_US)), 3_600 + 700);
        for second in 701..=2_000 {
            assert_eq!(keeper.look(at(second, 0)).to_follow, None);
        }
        assert_eq!(shown(&mut keeper, at(2_000, 0)), 3_600 + 2_000);
    }

    #[test]
    fn a_slewed_wall_is_followed_and_is_no_step() {
        // The kernel slews both clocks alike, by 0.5 ms a second at the most: what parts them is
        // rounding.
        let mut keeper = Timekeeper::new(at(0, 0));
        for second in 1..=3_600 {
            let rounding_us = if second % 2 == 0 { 3 } else { -3 };
            let look = keeper.look(at(second, rounding_us));
            assert_eq!(look, Look::default());
            assert_eq!(shown(&mut keeper, at(second, rounding_us)), second);
        }
    }

    #[test]
    fn a_machine_suspended_for_ten_minutes_has_slept_for_ten_minutes() {
        let mut keeper = Timekeeper::new(at(0, 0));
        keeper.look(at(1, 0));
        assert_eq!(keeper.look(at(601, 0)), Look::default(), "no clock was stepped");
        assert_eq!(shown(&mut keeper, at(601, 0)), 601);
    }

    #[test]
    fn time_goes_on_behind_the_last_entry_of_the_log() {
        let mut keeper = Timekeeper::new(at(0, 0));
        let floor = keeper.now(at(0, 0)) + Duration::from_secs(30);
        keeper.not_before(floor, at(1, 0));
        assert_eq!(shown(&mut keeper, at(1, 0)), 30);
        assert_eq!(shown(&mut keeper, at(2, 0)), 31);
    }
}
