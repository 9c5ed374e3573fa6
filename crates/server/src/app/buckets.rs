//! Longer spans of a record: roll-ups, and the minutes of which nothing was recorded told in words.
//! Pure.

use std::{collections::BTreeMap, ops::Range};

use model::{Cause, Minute, Span, ToldRollup, Verdict};

/// Buckets of one series: more than a chart has pixels, and five years of days.
pub(crate) const BUCKETS_MAX: i64 = 2_300;

/// How much of the time one value is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Minute,
    Bucket(Span),
}

impl Level {
    pub(crate) const ALL: [Level; 4] = [
        Level::Minute,
        Level::Bucket(Span::FiveMinutes),
        Level::Bucket(Span::Hour),
        Level::Bucket(Span::Day),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Level::Minute => "1m",
            Level::Bucket(Span::FiveMinutes) => "5m",
            Level::Bucket(Span::Hour) => "1h",
            Level::Bucket(Span::Day) => "1d",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == text)
    }

    pub(crate) fn minutes(self) -> i64 {
        match self {
            Level::Minute => 1,
            Level::Bucket(span) => span.minutes(),
        }
    }

    /// Values of one series that one request may ask for.
    pub(crate) fn values_max(self) -> i64 {
        match self {
            Level::Minute => super::history::MINUTES_MAX,
            Level::Bucket(_) => BUCKETS_MAX,
        }
    }

    /// The first minute of the bucket that a minute is in.
    pub(crate) fn start(self, minute: Minute) -> Minute {
        match self {
            Level::Minute => minute,
            Level::Bucket(span) => span.start(minute),
        }
    }

    /// The whole buckets that a range touches.
    pub(crate) fn whole(self, range: &Range<Minute>) -> Range<Minute> {
        let last = self.start(Minute(range.end.0.saturating_sub(1)));
        self.start(range.start)..Minute(last.0.saturating_add(self.minutes()))
    }
}

/// What the minutes of a span add up to, those included of which nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) start: Minute,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) rollup: ToldRollup,
    /// Some of it is not closed yet.
    pub(crate) is_open: bool,
}

/// Says what minutes were of which nothing was recorded, and why one that was is Unknown.
pub(crate) trait Teller {
    /// The minutes between which what is said may change, in ascending order.
    fn cuts(&self) -> &[Minute];

    /// What a minute was of which nothing was recorded: verdict, cause, and whether it is open.
    fn untold(&self, minute: Minute) -> (Verdict, Cause, bool);

    /// The cause of a minute that was recorded.
    fn cause(&self, minute: Minute, verdict: Verdict, cause: Cause) -> Cause;
}

/// Tells every bucket of a range, which begins with one and may end within one.
///
/// 1 - Each minute is in it once: as it was recorded, or as it is told.
/// 2 - Its verdict and cause are those of its worst minute, the first of those as bad.
pub(crate) fn tell(
    stored: &BTreeMap<Minute, ToldRollup>,
    range: &Range<Minute>,
    span: Span,
    teller: &impl Teller,
) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let end = Minute(start.0.saturating_add(span.minutes())).min(range.end);
        let mut rollup = stored.get(&start).cloned().unwrap_or_default();
        if let Some(worst) = &mut rollup.worst {
            worst.cause = teller.cause(worst.minute, worst.verdict, worst.cause);
        }
        let mut is_open = false;
        for run in rollup.missing(start..end) {
            for alike in cut(&run, teller.cuts()) {
                let (verdict, cause, open) = teller.untold(alike.start);
                is_open |= open;
                rollup.add_minutes(alike, verdict, cause);
            }
        }
        let worst = rollup.worst.map(|worst| (worst.verdict, worst.cause));
        let (verdict, cause) = worst.unwrap_or((Verdict::Unknown, Cause::Silent));
        buckets.push(Bucket { start, verdict, cause, rollup, is_open });
        start = Minute(start.0.saturating_add(span.minutes()));
    }
    buckets
}

/// Parts of a run of minutes that are alike.
fn cut(run: &Range<Minute>, cuts: &[Minute]) -> Vec<Range<Minute>> {
    let first = cuts.partition_point(|at| *at <= run.start);
    let mut parts = Vec::new();
    let mut start = run.start;
    let inner = cuts.iter().skip(first).take_while(|at| **at < run.end);
    for end in inner.copied().chain([run.end]) {
        if start < end {
            parts.push(start..end);
        }
        start = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::{MinuteCounts, Worst};

    use super::*;

    #[track_caller]
    fn check(recorded: &[(i64, Verdict, Cause)], expected: Expect) {
        let mut stored: BTreeMap<Minute, ToldRollup> = BTreeMap::new();
        for (minute, verdict, cause) in recorded {
            let minute = Minute(*minute);
            let worst = Worst { verdict: *verdict, cause: *cause, minute };
            let rollup = stored.entry(Span::FiveMinutes.start(minute)).or_default();
            rollup.add_minute(worst, &MinuteCounts { sent: 10, ..MinuteCounts::default() });
        }
        // Down to 12 nobody watched, from 18 on it is open.
        struct Words;
        impl Teller for Words {
            fn cuts(&self) -> &[Minute] {
                &[Minute(12), Minute(18)]
            }
            fn untold(&self, minute: Minute) -> (Verdict, Cause, bool) {
                match minute.0 {
                    ..12 => (Verdict::Unknown, Cause::MonitorDown, false),
                    12..18 => (Verdict::Unknown, Cause::Silent, false),
                    18.. => (Verdict::Up, Cause::Answering, true),
                }
            }
            fn cause(&self, minute: Minute, verdict: Verdict, cause: Cause) -> Cause {
                let is_lost = verdict == Verdict::Unknown && minute == Minute(16);
                if is_lost { Cause::Dropped } else { cause }
            }
        }
        let line = |bucket: &Bucket| {
            let Bucket { start, verdict, cause, rollup, is_open } = bucket;
            let m = rollup.minutes;
            let minutes = format!("{} {} {} {}", m.up, m.degraded, m.down, m.unknown);
            let open = if *is_open { " open" } else { "" };
            format!("{} {verdict} {cause} {minutes} {}{open}\n", start.0, rollup.sent)
        };
        let told = tell(&stored, &(Minute(0)..Minute(23)), Span::FiveMinutes, &Words);
        expected.assert_eq(&told.iter().map(line).collect::<String>());
    }

    #[test]
    fn the_worst_minute_names_a_bucket_and_each_minute_counts() {
        check(
            &[
                (6, Verdict::Up, Cause::Answering),
                (11, Verdict::Degraded, Cause::Loss),
                (12, Verdict::Degraded, Cause::Slow),
                (13, Verdict::Down, Cause::NoAnswer),
                (14, Verdict::Up, Cause::Answering),
                (15, Verdict::Up, Cause::Answering),
                (16, Verdict::Unknown, Cause::Silent),
            ],
            expect![[r#"
                0 unknown monitor_down 0 0 0 5 0
                5 unknown monitor_down 1 0 0 4 10
                10 down no_answer 1 2 1 1 40
                15 unknown dropped 3 0 0 2 20 open
                20 up answering 3 0 0 0 0 open
            "#]],
        );
    }

    #[test]
    fn a_run_is_cut_where_what_is_said_of_it_changes() {
        let cuts = [1, 3, 3, 5, 9].map(Minute);
        let parts = |from, to| {
            let parts = cut(&(Minute(from)..Minute(to)), &cuts);
            parts.iter().map(|part| (part.start.0, part.end.0)).collect::<Vec<_>>()
        };
        assert_eq!(parts(3, 9), [(3, 5), (5, 9)]);
        assert_eq!(parts(0, 4), [(0, 1), (1, 3), (3, 4)]);
        assert_eq!(parts(6, 8), [(6, 8)]);
    }
}
