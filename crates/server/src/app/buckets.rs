//! Longer spans of a record: what the minutes and rounds of five minutes, an hour or a day add up
//! to. Pure.
//!
//! A bucket is made of minutes as they are told, so one that nothing was recorded in has its cause
//! like any minute, and what late rounds revise is revised here too.

use std::collections::BTreeMap;

use model::{Cause, Minute, MinuteCounts, Verdict};

use super::history::PaddedMinute;

/// Buckets of one series: more than a chart has pixels.
pub(crate) const BUCKETS_MAX: i64 = 2_300;

/// How much of the time one value is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Minute,
    FiveMinutes,
    Hour,
    Day,
}

impl Level {
    pub(crate) const ALL: [Level; 4] = [Level::Minute, Level::FiveMinutes, Level::Hour, Level::Day];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Level::Minute => "1m",
            Level::FiveMinutes => "5m",
            Level::Hour => "1h",
            Level::Day => "1d",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == text)
    }

    pub(crate) fn minutes(self) -> i64 {
        match self {
            Level::Minute => 1,
            Level::FiveMinutes => 5,
            Level::Hour => 60,
            Level::Day => 24 * 60,
        }
    }

    /// The finest one that tells so many minutes in not too many values.
    pub(crate) fn of(minutes: i64) -> Level {
        let fits = |level: &Level| match level {
            Level::Minute => minutes <= super::history::MINUTES_MAX,
            Level::FiveMinutes | Level::Hour | Level::Day => {
                minutes <= BUCKETS_MAX * level.minutes()
            }
        };
        Level::ALL.into_iter().find(fits).unwrap_or(Level::Day)
    }

    /// The first minute of the bucket that a minute is in.
    pub(crate) fn start(self, minute: Minute) -> Minute {
        Minute(minute.0.div_euclid(self.minutes()) * self.minutes())
    }
}

/// What some minutes add up to.
///
/// 1 - Its verdict is the worst of its minutes, Down before Degraded before Unknown before Up; its
///     cause is that of the first minute that was as bad.
/// 2 - Each of its minutes counts for one verdict, told or not.
/// 3 - Packets are those of its minutes. Round-trip times are those of its rounds: minimum and
///     maximum of packets, their mean, and quantiles of the rounds' means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) start: Minute,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    /// Minutes of each verdict.
    pub(crate) up: u32,
    pub(crate) degraded: u32,
    pub(crate) down: u32,
    pub(crate) unknown: u32,
    pub(crate) counts: MinuteCounts,
    /// Answered packets of minutes whose times are known still.
    timed: u64,
    pub(crate) times: Sketch,
    /// Some of it is not closed yet.
    pub(crate) is_open: bool,
}

impl Bucket {
    fn new(start: Minute, first: &PaddedMinute) -> Bucket {
        Bucket {
            start,
            verdict: first.verdict,
            cause: first.cause,
            up: 0,
            degraded: 0,
            down: 0,
            unknown: 0,
            counts: MinuteCounts::default(),
            timed: 0,
            times: Sketch::default(),
            is_open: false,
        }
    }

    fn add(&mut self, minute: &PaddedMinute) {
        if self.verdict.badness() < minute.verdict.badness() {
            (self.verdict, self.cause) = (minute.verdict, minute.cause);
        }
        let count = match minute.verdict {
            Verdict::Up => &mut self.up,
            Verdict::Degraded => &mut self.degraded,
            Verdict::Down => &mut self.down,
            Verdict::Unknown => &mut self.unknown,
        };
        *count += 1;
        self.is_open |= minute.is_open;
        let mut counts = minute.counts;
        if 0 < counts.rtt_us_max {
            self.timed += u64::from(counts.received);
            if self.counts.rtt_us_max == 0 {
                self.counts.rtt_us_min = counts.rtt_us_min;
            }
        } else {
            // Its times are gone: they must not pull the minimum to zero.
            counts.rtt_us_min = self.counts.rtt_us_min;
        }
        self.counts.add(&counts);
    }

    /// The mean of the answered packets; `None` if no time is known.
    pub(crate) fn rtt_us_mean(&self) -> Option<u64> {
        self.counts.rtt_us_sum.checked_div(self.timed)
    }

    /// Fastest and slowest packet; `None` if no time is known.
    pub(crate) fn rtt_us_range(&self) -> Option<(u32, u32)> {
        (0 < self.timed).then_some((self.counts.rtt_us_min, self.counts.rtt_us_max))
    }
}

/// Adds minutes in the order of time to the buckets that they are in.
pub(crate) fn add(buckets: &mut Vec<Bucket>, level: Level, minutes: &[PaddedMinute]) {
    for minute in minutes {
        let start = level.start(minute.minute);
        if buckets.last().is_none_or(|bucket| bucket.start < start) {
            buckets.push(Bucket::new(start, minute));
        }
        if let Some(bucket) = buckets.last_mut() {
            bucket.add(minute);
        }
    }
}

/// Adds means of rounds to the buckets of their minutes, which are there already.
pub(crate) fn add_times(buckets: &mut [Bucket], level: Level, times: &[(Minute, u32)]) {
    for (minute, us) in times {
        let start = level.start(*minute);
        let found = buckets.binary_search_by_key(&start, |bucket| bucket.start);
        if let Some(bucket) = found.ok().and_then(|index| buckets.get_mut(index)) {
            bucket.times.add(*us);
        }
    }
}

/// How often each round-trip time was seen, to within 1.6 %: what quantiles are told from.
///
/// Sketches are merged by adding them, in any order. All is integers: the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    counts: BTreeMap<u16, u32>,
}

/// Steps of each doubling.
const STEPS_LOG2: u32 = 5;

impl Sketch {
    pub(crate) fn add(&mut self, us: u32) {
        let count = self.counts.entry(step_of(us)).or_default();
        *count = count.saturating_add(1);
    }

    /// The time that `percent` of a hundred are at most; `None` if there is none.
    pub(crate) fn quantile(&self, percent: u64) -> Option<u32> {
        let total: u64 = self.counts.values().map(|count| u64::from(*count)).sum();
        let rank = (total * percent).div_ceil(100).max(1);
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

/// Below 32 µs each time has a step of its own; above, each doubling has 32.
fn step_of(us: u32) -> u16 {
    let shift = us.checked_ilog2().map_or(0, |log| log.saturating_sub(STEPS_LOG2));
    u16::try_from((shift << STEPS_LOG2) + (us >> shift)).unwrap_or(u16::MAX)
}

fn middle_of(step: u16) -> u32 {
    let step = u32::from(step);
    let shift = (step >> STEPS_LOG2).saturating_sub(1);
    let first = (step - (shift << STEPS_LOG2)) << shift;
    first + ((1_u32 << shift) - 1) / 2
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn minute(number: i64, verdict: Verdict, cause: Cause, rtt_us: u32) -> PaddedMinute {
        let received = u32::from(0 < rtt_us) * 10;
        let counts = MinuteCounts {
            rounds: 2,
            not_asked: 0,
            sent: 10,
            received,
            rtt_us_min: rtt_us,
            rtt_us_sum: u64::from(rtt_us) * u64::from(received),
            rtt_us_max: rtt_us * 2,
        };
        PaddedMinute {
            minute: Minute(number),
            verdict,
            cause,
            counts,
            revision: 0,
            said_first: None,
            is_open: false,
        }
    }

    #[track_caller]
    fn check(level: Level, minutes: &[PaddedMinute], expected: Expect) {
        let mut buckets = Vec::new();
        // In two goes, as days are.
        let (early, late) = minutes.split_at(minutes.len() / 2);
        add(&mut buckets, level, early);
        add(&mut buckets, level, late);
        let line = |b: &Bucket| {
            let range = b.rtt_us_range();
            format!(
                "{} {} {} {} {} {} {} {}/{} {range:?} mean {:?}\n",
                b.start.0,
                b.verdict,
                b.cause,
                b.up,
                b.degraded,
                b.down,
                b.unknown,
                b.counts.received,
                b.counts.sent,
                b.rtt_us_mean()
            )
        };
        expected.assert_eq(&buckets.iter().map(line).collect::<String>());
    }

    #[test]
    fn the_worst_minute_names_a_bucket_and_each_minute_counts() {
        check(
            Level::FiveMinutes,
            &[
                minute(8, Verdict::Up, Cause::Answering, 100),
                minute(9, Verdict::Unknown, Cause::Silent, 0),
                minute(10, Verdict::Unknown, Cause::MonitorDown, 0),
                minute(11, Verdict::Degraded, Cause::Loss, 300),
                minute(12, Verdict::Degraded, Cause::Slow, 200),
                minute(13, Verdict::Down, Cause::NoAnswer, 0),
                minute(14, Verdict::Up, Cause::Answering, 100),
                minute(15, Verdict::Unknown, Cause::NotYet, 0),
            ],
            expect![[r#"
                5 unknown silent 1 0 0 1 10/20 Some((100, 200)) mean Some(100)
                10 down no_answer 1 2 1 1 30/50 Some((100, 600)) mean Some(200)
                15 unknown not_yet 0 0 0 1 0/10 None mean None
            "#]],
        );
    }

    /// Minutes whose rounds are gone have packets and no times.
    #[test]
    fn times_that_are_gone_pull_nothing_down() {
        let mut gone = minute(0, Verdict::Up, Cause::Answering, 100);
        (gone.counts.rtt_us_min, gone.counts.rtt_us_sum, gone.counts.rtt_us_max) = (0, 0, 0);
        let mut later = gone.clone();
        later.minute = Minute(2);
        check(
            Level::Hour,
            &[gone, minute(1, Verdict::Up, Cause::Answering, 300), later],
            expect![[r#"
                0 up answering 3 0 0 0 30/30 Some((300, 600)) mean Some(300)
            "#]],
        );
    }

    #[test]
    fn the_level_is_the_finest_that_is_not_too_long() {
        let day = 24 * 60;
        let told = [1, day, day + 1, 7 * day, 8 * day, 92 * day, 400 * day].map(Level::of);
        assert_eq!(told.map(Level::as_str), ["1m", "1m", "5m", "5m", "1h", "1h", "1d"]);
        assert_eq!(Level::Day.start(Minute(-1)), Minute(-1_440));
    }

    /// Against sorting: whatever was added, in whatever order.
    #[test]
    fn quantiles_are_within_two_percent() {
        let mut seed = 7_u64;
        for size in [1_u32, 2, 10, 1_000] {
            let mut times = Vec::new();
            let mut sketch = Sketch::default();
            for _ in 0..size {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // From none to seconds, and all that there may be.
                let us = u32::try_from(seed >> 32).unwrap() >> (seed >> 11 & 31);
                times.push(us);
                sketch.add(us);
            }
            times.sort_unstable();
            for percent in [1, 50, 95, 99, 100] {
                let rank = (usize::try_from(percent).unwrap() * times.len()).div_ceil(100);
                let exact = times[rank.max(1) - 1];
                let told = sketch.quantile(percent).unwrap();
                let off = u64::from(told.abs_diff(exact)) * 1_000;
                assert!(off <= u64::from(exact) * 16, "{told} for {exact} of {size}");
            }
        }
        assert_eq!(Sketch::default().quantile(50), None);
        for us in [0, 31, 32, 33, 63, 64, 1_000_000, u32::MAX - 1, u32::MAX] {
            assert_eq!(step_of(middle_of(step_of(us))), step_of(us), "{us}");
        }
    }
}
