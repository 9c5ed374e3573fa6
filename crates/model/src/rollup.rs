//! Roll-ups: what the minutes and rounds of a longer span add up to.
//!
//! A roll-up of a day is the same whether it is made of its minutes, or of the roll-ups of its
//! hours, in any order: merging is exact. What is kept and told of round-trip times is rounded, and
//! by how much it may be off is said ([`crate::Rtts`]). It says nothing of minutes of which nothing
//! was recorded but that they are not in it; why that is so, whoever tells it has to say.

use std::ops::Range;

use crate::{Cause, Minute, MinuteCounts, Outcome, Rtts, Times, Verdict};

/// The spans that roll-ups are kept for. They begin at whole multiples of their length since 1970
/// in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    FiveMinutes,
    Hour,
    Day,
}

impl Span {
    pub const ALL: [Span; 3] = [Span::FiveMinutes, Span::Hour, Span::Day];

    /// How many minutes it has.
    pub const fn minutes(self) -> i64 {
        match self {
            Span::FiveMinutes => 5,
            Span::Hour => 60,
            Span::Day => 24 * 60,
        }
    }

    /// The first minute of the span that a minute is in.
    pub fn start(self, minute: Minute) -> Minute {
        Minute(minute.0.div_euclid(self.minutes()).saturating_mul(self.minutes()))
    }
}

/// The worst minute of some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worst {
    pub verdict: Verdict,
    pub cause: Cause,
    pub minute: Minute,
}

impl Worst {
    /// The worse of two minutes of one series: this is what "worst in the span" means, everywhere.
    ///
    /// 1 - Down before Degraded before Unknown before Up.
    /// 2 - Of two that are as bad, the earlier.
    #[must_use]
    pub fn or(self, other: Worst) -> Worst {
        let rank = |worst: Worst| (std::cmp::Reverse(worst.verdict.badness()), worst.minute);
        if rank(other) < rank(self) { other } else { self }
    }
}

/// How many minutes each verdict was the truth of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateMinutes {
    pub up: u32,
    pub degraded: u32,
    pub down: u32,
    pub unknown: u32,
}

impl StateMinutes {
    /// How many there are of one verdict.
    pub fn of(&self, verdict: Verdict) -> u32 {
        match verdict {
            Verdict::Up => self.up,
            Verdict::Degraded => self.degraded,
            Verdict::Down => self.down,
            Verdict::Unknown => self.unknown,
        }
    }

    pub fn add(&mut self, verdict: Verdict, minutes: u32) {
        let count = match verdict {
            Verdict::Up => &mut self.up,
            Verdict::Degraded => &mut self.degraded,
            Verdict::Down => &mut self.down,
            Verdict::Unknown => &mut self.unknown,
        };
        *count = count.saturating_add(minutes);
    }

    pub fn total(&self) -> u64 {
        Verdict::ALL.into_iter().map(|verdict| u64::from(self.of(verdict))).sum()
    }
}

/// What the minutes and rounds of a span add up to, of one agent or of all together.
///
/// 1 - Each minute that was recorded is in it once, and counts for its verdict.
/// 2 - Rounds and packets are those of its minutes.
/// 3 - Round-trip times are those of its rounds; of all together, those of every agent's rounds.
///
/// While it may still be added to, `T` is [`Times`]; as it is kept and told, what is left of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup<T = Times> {
    /// Of the minutes that were recorded; `None` if none was.
    pub worst: Option<Worst>,
    pub minutes: StateMinutes,
    /// Rounds that asked, and that could not.
    pub rounds: u32,
    pub not_asked: u32,
    /// Packets, confirm bursts apart.
    pub sent: u32,
    pub received: u32,
    pub times: T,
    /// Which minutes were recorded: runs in the order of time that do not touch.
    runs: Vec<Range<i64>>,
}

/// A roll-up as it is told; without answered packets it has no times.
pub type ToldRollup = Rollup<Option<Rtts>>;

impl<T> Rollup<T> {
    /// Adds a minute that is not in it yet.
    pub fn add_minute(&mut self, worst: Worst, counts: &MinuteCounts) {
        self.worst = Some(self.worst.map_or(worst, |held| held.or(worst)));
        self.minutes.add(worst.verdict, 1);
        self.rounds = self.rounds.saturating_add(counts.rounds);
        self.not_asked = self.not_asked.saturating_add(counts.not_asked);
        self.sent = self.sent.saturating_add(counts.sent);
        self.received = self.received.saturating_add(counts.received);
        self.add_run(worst.minute.0..worst.minute.next().0);
    }

    /// Adds a run of minutes that are not in it yet, all of one verdict and without rounds.
    pub fn add_minutes(&mut self, run: Range<Minute>, verdict: Verdict, cause: Cause) {
        let minutes = u32::try_from(run.end.0.saturating_sub(run.start.0)).unwrap_or(0);
        if minutes == 0 {
            return;
        }
        let worst = Worst { verdict, cause, minute: run.start };
        self.worst = Some(self.worst.map_or(worst, |held| held.or(worst)));
        self.minutes.add(verdict, minutes);
        self.add_run(run.start.0..run.end.0);
    }

    /// The same with other times.
    pub fn with_times<U>(self, times: impl FnOnce(T) -> U) -> Rollup<U> {
        let Rollup { worst, minutes, rounds, not_asked, sent, received, times: held, runs } = self;
        let times = times(held);
        Rollup { worst, minutes, rounds, not_asked, sent, received, times, runs }
    }

    /// The runs of minutes that were recorded, in the order of time; each ends before the next
    /// begins.
    pub fn runs(&self) -> impl Iterator<Item = Range<Minute>> {
        self.runs.iter().map(|run| Minute(run.start)..Minute(run.end))
    }

    /// The minutes of a range that are not in it, as runs.
    pub fn missing(&self, range: Range<Minute>) -> Vec<Range<Minute>> {
        let mut missing = Vec::new();
        let mut from = range.start.0;
        for run in &self.runs {
            if from < run.start.min(range.end.0) {
                missing.push(Minute(from)..Minute(run.start.min(range.end.0)));
            }
            from = from.max(run.end);
        }
        if from < range.end.0 {
            missing.push(Minute(from)..range.end);
        }
        missing
    }

    /// Adds a run of minutes, joined with those that it touches.
    pub fn add_run(&mut self, run: Range<i64>) {
        if run.end <= run.start {
            return;
        }
        // Those that end before it begins stay in front, those that begin behind its end behind.
        let first = self.runs.partition_point(|held| held.end < run.start);
        let last = self.runs.partition_point(|held| held.start <= run.end);
        let touched = self.runs.get(first..last).unwrap_or_default();
        let start = touched.first().map_or(run.start, |held| held.start.min(run.start));
        let end = touched.last().map_or(run.end, |held| held.end.max(run.end));
        self.runs.splice(first..last, std::iter::once(start..end));
    }
}

impl Rollup {
    /// Adds the times of a round that is not in it yet.
    pub fn add_round(&mut self, outcome: &Outcome) {
        self.times.add(outcome);
    }

    /// Adds a roll-up of other minutes and rounds of the same series.
    pub fn merge(&mut self, other: &Rollup) {
        if let Some(worst) = other.worst {
            self.worst = Some(self.worst.map_or(worst, |held| held.or(worst)));
        }
        for verdict in Verdict::ALL {
            self.minutes.add(verdict, other.minutes.of(verdict));
        }
        self.rounds = self.rounds.saturating_add(other.rounds);
        self.not_asked = self.not_asked.saturating_add(other.not_asked);
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
        self.times.merge(&other.times);
        other.runs.iter().for_each(|run| self.add_run(run.clone()));
    }

    /// What is told of it.
    pub fn told(self) -> ToldRollup {
        self.with_times(|times| times.told())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*, sample::select};

    use super::*;
    use crate::{Confirm, Rtt};

    #[derive(Clone, Debug)]
    struct Recorded {
        verdict: Verdict,
        cause: Cause,
        counts: MinuteCounts,
        /// Received packets, and the mean.
        rounds: Vec<(u8, u32)>,
    }

    fn recorded() -> impl Strategy<Value = Recorded> {
        let rounds = prop::collection::vec((0..=5_u8, any::<u32>()), 0..4);
        let verdict = select(Verdict::ALL.to_vec());
        (verdict, select(Cause::ALL.to_vec()), rounds, 0..3_u32).prop_map(
            |(verdict, cause, rounds, not_asked)| {
                let counts = MinuteCounts { rounds: 2, not_asked, sent: 10, ..Default::default() };
                Recorded { verdict, cause, counts, rounds }
            },
        )
    }

    fn rollup<'a>(minutes: impl Iterator<Item = (&'a i64, &'a Recorded)>) -> Rollup {
        let mut rollup = Rollup::default();
        for (minute, recorded) in minutes {
            let Recorded { verdict, cause, counts, rounds } = recorded;
            let worst = Worst { verdict: *verdict, cause: *cause, minute: Minute(*minute) };
            rollup.add_minute(worst, counts);
            for (received, us_mean) in rounds {
                let (us_min, us_max) = (us_mean / 2, us_mean.saturating_mul(2));
                let rtt = (0 < *received).then_some(Rtt { us_min, us_mean: *us_mean, us_max });
                let confirm = Confirm::default();
                rollup.add_round(&Outcome::Asked { sent: 5, received: *received, rtt, confirm });
            }
        }
        rollup
    }

    proptest! {
        /// However the minutes were cut into roll-ups, and in whatever order those are merged.
        #[test]
        fn merged_roll_ups_are_the_roll_up_of_all_minutes(
            minutes in btree_map(0..120_i64, recorded(), 0..100),
            cuts in prop::collection::vec(0..4_u8, 120),
            order in Just(vec![0_u8, 1, 2, 3]).prop_shuffle(),
        ) {
            let part_of = |minute: i64| cuts.get(usize::try_from(minute).unwrap()).copied();
            let mut merged = Rollup::default();
            for part in order {
                let of = minutes.iter().filter(|(minute, _)| part_of(**minute) == Some(part));
                merged.merge(&rollup(of));
            }
            let whole = rollup(minutes.iter());
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(merged.minutes.total(), minutes.len() as u64);
            // Against looking at each minute.
            let missing: Vec<i64> = whole
                .missing(Minute(3)..Minute(110))
                .into_iter()
                .flat_map(|run| run.start.0..run.end.0)
                .collect();
            let expected: Vec<i64> = (3..110).filter(|m| !minutes.contains_key(m)).collect();
            prop_assert_eq!(missing, expected);
            let rank = |(minute, r): &(&i64, &Recorded)| {
                (u8::MAX - r.verdict.badness(), **minute)
            };
            let worst = minutes.iter().min_by_key(rank);
            let worst = worst.map(|(minute, r)| (Minute(*minute), r.verdict, r.cause));
            prop_assert_eq!(merged.worst.map(|w| (w.minute, w.verdict, w.cause)), worst);
        }
    }

    #[test]
    fn spans_begin_at_whole_multiples_of_their_length() {
        assert_eq!(Span::Day.start(Minute(-1)), Minute(-1_440));
        assert_eq!(Span::FiveMinutes.start(Minute(9)), Minute(5));
    }
}
