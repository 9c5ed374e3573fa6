//! The columns of the tables that are exported: what each is, in what unit, and what it means.

use std::sync::Arc;

use model::{Confirm, Outcome, Rtts};
use store::{AgentRef, RoundRow, TargetRef};

use super::{
    agent_metrics::MetricLine,
    rounds::{flag_words, minute_times, not_asked_word},
    table::{Cell, Column, Kind},
};
use crate::app::{buckets::Bucket, history::PaddedMinute};

/// One row about a target, by one agent or by all together.
#[derive(Clone, Debug)]
pub(super) struct Line<V> {
    pub(super) target: Arc<TargetRef>,
    pub(super) agent: Option<Arc<AgentRef>>,
    pub(super) value: V,
}

const fn column<R>(
    name: &'static str,
    (kind, unit): (Kind, &'static str),
    meaning: &'static str,
    cell: for<'a> fn(&'a R) -> Cell<'a>,
) -> Column<R> {
    Column { name, kind, unit, meaning, cell }
}

const TEXT: (Kind, &str) = (Kind::Text, "");
const TIME: (Kind, &str) = (Kind::Time, "");
const COUNT: (Kind, &str) = (Kind::Count, "");
const FLAG: (Kind, &str) = (Kind::Flag, "");
const REAL: (Kind, &str) = (Kind::Real, "");
const MINUTES: (Kind, &str) = (Kind::Count, "min");
const MICROS: (Kind, &str) = (Kind::Count, "µs");

const fn target_id<V>() -> Column<Line<V>> {
    column("target_id", COUNT, "The target; never used twice.", |line| {
        Cell::count(line.target.id.0)
    })
}

const fn target<V>() -> Column<Line<V>> {
    column("target", TEXT, "Its name today.", |line| Cell::text(line.target.name.as_str()))
}

const fn agent_id<V>() -> Column<Line<V>> {
    column("agent_id", COUNT, "The agent; null for all together.", |line| {
        Cell::some(line.agent.as_deref(), |agent| Cell::count(agent.id.0))
    })
}

const fn agent<V>() -> Column<Line<V>> {
    column("agent", TEXT, "Its name; null for all together.", |line| {
        Cell::some(line.agent.as_deref(), |agent| Cell::text(agent.name.as_str()))
    })
}

const SENT: &str = "Packets sent, confirm bursts apart.";
const RECEIVED: &str = "Packets answered.";

/// Of minutes.
pub(super) const MINUTE: [Column<Line<PaddedMinute>>; 17] = [
    target_id(),
    target(),
    agent_id(),
    agent(),
    column("minute", TIME, "Its start.", |line| Cell::Time(line.value.minute.start())),
    column("verdict", TEXT, "The worst held in it: up, degraded, down, unknown.", |line| {
        Cell::text(line.value.verdict.as_str())
    }),
    column("cause", TEXT, "Which rule decided; of what is not known, why.", |line| {
        Cell::text(line.value.cause.as_str())
    }),
    column("rounds", COUNT, "Rounds that asked.", |line| Cell::count(line.value.counts.rounds)),
    column("not_asked", COUNT, "Rounds that could not ask.", |line| {
        Cell::count(line.value.counts.not_asked)
    }),
    column("sent", COUNT, SENT, |line| Cell::count(line.value.counts.sent)),
    column("received", COUNT, RECEIVED, |line| Cell::count(line.value.counts.received)),
    column("rtt_us_min", MICROS, "Fastest answer; null without any.", |line| {
        Cell::some(minute_times(&line.value), |(min, ..)| Cell::count(min))
    }),
    column("rtt_us_mean", MICROS, "Mean of the answers; null without any.", |line| {
        Cell::some(minute_times(&line.value), |(_, mean, _)| {
            Cell::Count(i64::try_from(mean).unwrap_or(i64::MAX))
        })
    }),
    column("rtt_us_max", MICROS, "Slowest answer; null without any.", |line| {
        Cell::some(minute_times(&line.value), |(.., max)| Cell::count(max))
    }),
    column("revision", COUNT, "Revisions by rounds that arrived late.", |line| {
        Cell::count(line.value.revision)
    }),
    column("said_first", TEXT, "The verdict before the first revision; null without.", |line| {
        Cell::some(line.value.said_first, |verdict| Cell::text(verdict.as_str()))
    }),
    column("is_open", FLAG, "Not closed yet: it may still change.", |line| {
        Cell::Flag(line.value.is_open)
    }),
];

/// The times of a bucket.
fn times<'a>(line: &Line<Bucket>, of: fn(&Rtts) -> u32) -> Cell<'a> {
    Cell::some(line.value.rollup.times.as_ref(), |rtts| Cell::count(of(rtts)))
}

/// Of longer values.
pub(super) const BUCKET: [Column<Line<Bucket>>; 22] = [
    target_id(),
    target(),
    agent_id(),
    agent(),
    column("start", TIME, "Its start; 5 minutes, an hour or a day of UTC.", |line| {
        Cell::Time(line.value.start.start())
    }),
    column("verdict", TEXT, "Of its worst minute: up, degraded, down, unknown.", |line| {
        Cell::text(line.value.verdict.as_str())
    }),
    column("cause", TEXT, "Of the first minute that was as bad.", |line| {
        Cell::text(line.value.cause.as_str())
    }),
    column("minutes_up", MINUTES, "Minutes of each verdict, told or not.", |line| {
        Cell::count(line.value.rollup.minutes.up)
    }),
    column("minutes_degraded", MINUTES, "Likewise.", |line| {
        Cell::count(line.value.rollup.minutes.degraded)
    }),
    column("minutes_down", MINUTES, "Likewise.", |line| {
        Cell::count(line.value.rollup.minutes.down)
    }),
    column("minutes_unknown", MINUTES, "Likewise.", |line| {
        Cell::count(line.value.rollup.minutes.unknown)
    }),
    column("rounds", COUNT, "Rounds that asked.", |line| Cell::count(line.value.rollup.rounds)),
    column("not_asked", COUNT, "Rounds that could not ask.", |line| {
        Cell::count(line.value.rollup.not_asked)
    }),
    column("sent", COUNT, SENT, |line| Cell::count(line.value.rollup.sent)),
    column("received", COUNT, RECEIVED, |line| Cell::count(line.value.rollup.received)),
    column("rtt_us_min", MICROS, "Fastest answer, within 0.4 %; null without any.", |line| {
        times(line, Rtts::us_min)
    }),
    column("rtt_us_mean", MICROS, "Mean of the answers, within 0.4 %.", |line| {
        times(line, Rtts::us_mean)
    }),
    column("rtt_us_max", MICROS, "Slowest answer, within 3.2 %.", |line| times(line, Rtts::us_max)),
    column("rtt_us_p50", MICROS, "Of the rounds' means, within 3.2 %.", |line| {
        times(line, Rtts::us_p50)
    }),
    column("rtt_us_p95", MICROS, "Likewise.", |line| times(line, Rtts::us_p95)),
    column("rtt_us_p99", MICROS, "Likewise.", |line| times(line, Rtts::us_p99)),
    column("is_open", FLAG, "Some of its minutes are not closed yet.", |line| {
        Cell::Flag(line.value.is_open)
    }),
];

/// Of what a round that asked learned; null if it could not ask.
fn asked<'a>(line: &Line<RoundRow>, of: fn(u8, u8, Confirm) -> u8) -> Cell<'a> {
    match line.value.round.outcome {
        Outcome::Asked { sent, received, confirm, .. } => Cell::count(of(sent, received, confirm)),
        Outcome::NotAsked(_) => Cell::Null,
    }
}

fn rtt<'a>(line: &Line<RoundRow>, of: fn(&model::Rtt) -> u32) -> Cell<'a> {
    match &line.value.round.outcome {
        Outcome::Asked { rtt, .. } => Cell::some(rtt.as_ref(), |rtt| Cell::count(of(rtt))),
        Outcome::NotAsked(_) => Cell::Null,
    }
}

/// Of rounds.
pub(super) const ROUND: [Column<Line<RoundRow>>; 17] = [
    target_id(),
    target(),
    agent_id(),
    agent(),
    column("at", TIME, "When its first packet was due.", |line| Cell::Time(line.value.round.at)),
    column("sent", COUNT, "Packets sent; null if it could not ask.", |line| {
        asked(line, |sent, _, _| sent)
    }),
    column("received", COUNT, "Packets answered; null if it could not ask.", |line| {
        asked(line, |_, received, _| received)
    }),
    column("confirm_sent", COUNT, "The burst after a fully lost round; never loss.", |line| {
        asked(line, |_, _, confirm| confirm.sent)
    }),
    column("confirm_received", COUNT, "Its answers.", |line| {
        asked(line, |_, _, confirm| confirm.received)
    }),
    column("rtt_us_min", MICROS, "Fastest answer, within 0.4 %; null without any.", |line| {
        rtt(line, |rtt| rtt.us_min)
    }),
    column("rtt_us_mean", MICROS, "Mean of the answers, within 0.4 %.", |line| {
        rtt(line, |rtt| rtt.us_mean)
    }),
    column("rtt_us_max", MICROS, "Slowest answer, within 3.2 %.", |line| {
        rtt(line, |rtt| rtt.us_max)
    }),
    column("not_asked", TEXT, "Why it could not ask; null if it did.", |line| {
        match line.value.round.outcome {
            Outcome::Asked { .. } => Cell::Null,
            Outcome::NotAsked(reason) => Cell::text(not_asked_word(reason)),
        }
    }),
    column("flags", TEXT, "Marks, with spaces between; null without any.", |line| {
        let words = flag_words(line.value.round.flags);
        if words.is_empty() { Cell::Null } else { Cell::text(words.join(" ")) }
    }),
    column("icmp_type", COUNT, "Of the first ICMP error that came back; null without.", |line| {
        Cell::some(line.value.round.icmp_error, |error| Cell::count(error.kind))
    }),
    column("icmp_code", COUNT, "Likewise.", |line| {
        Cell::some(line.value.round.icmp_error, |error| Cell::count(error.code))
    }),
    column("icmp_source", TEXT, "Who sent it: often the router that knows why.", |line| {
        Cell::some(line.value.round.icmp_error, |error| Cell::text(error.source.to_string()))
    }),
];

/// Of what agents say of themselves.
pub(super) const METRIC: [Column<MetricLine>; 14] = [
    column("name", TEXT, "Of the metric; it ends with its unit.", |line| {
        Cell::text(&*line.series.name)
    }),
    column("labels", TEXT, "What tells it from others of its name.", |line| {
        Cell::text(&*line.series.labels)
    }),
    column("kind", TEXT, "gauge or counter.", |line| Cell::text(line.series.kind)),
    column("start", TIME, "Start of the bucket.", |line| Cell::Time(line.start)),
    column("count", COUNT, "Samples.", |line| Cell::count(line.bucket.count)),
    column("min", REAL, "Of a gauge; null for a counter.", |line| {
        Cell::some(line.bucket.min, Cell::Real)
    }),
    column("mean", REAL, "Likewise.", |line| Cell::some(line.bucket.mean, Cell::Real)),
    column("max", REAL, "Likewise.", |line| Cell::some(line.bucket.max, Cell::Real)),
    column("last", REAL, "Likewise.", |line| Cell::some(line.bucket.last, Cell::Real)),
    column("increase", COUNT, "What a counter counted; null if nobody knows.", |line| {
        Cell::some(line.bucket.increase, |increase| {
            Cell::Count(i64::try_from(increase).unwrap_or(i64::MAX))
        })
    }),
    column("rate_per_s", REAL, "The same by the time it took.", |line| {
        Cell::some(line.bucket.rate_per_s, Cell::Real)
    }),
    column("resets", COUNT, "How often a counter began again.", |line| {
        Cell::count(line.bucket.resets)
    }),
    column("cause", TEXT, "Why there is no sample; null if there is one.", |line| {
        Cell::some(line.cause, |cause| Cell::text(cause.as_str()))
    }),
    column("is_open", FLAG, "It is not over.", |line| Cell::Flag(line.bucket.is_open)),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect_file;
    use model::{
        Cause, IcmpError, Minute, MinuteCounts, NotAsked, Round, RoundFlags, Rtt, Subject,
        ToldRollup, UtcMicros, Verdict,
    };

    use super::*;

    fn kind_of(cell: &Cell<'_>) -> Option<Kind> {
        match cell {
            Cell::Null => None,
            Cell::Time(_) => Some(Kind::Time),
            Cell::Text(_) => Some(Kind::Text),
            Cell::Count(_) => Some(Kind::Count),
            Cell::Real(_) => Some(Kind::Real),
            Cell::Flag(_) => Some(Kind::Flag),
        }
    }

    /// Every cell is of its column's kind, and every column is known of one row at least.
    #[track_caller]
    fn check<R>(columns: &[Column<R>], rows: &[R]) {
        for column in columns {
            let kinds: Vec<Kind> =
                rows.iter().filter_map(|row| kind_of(&(column.cell)(row))).collect();
            assert!(!kinds.is_empty(), "{} is never known", column.name);
            assert!(kinds.iter().all(|kind| *kind == column.kind), "{}", column.name);
        }
    }

    fn line<V>(value: V) -> Line<V> {
        let name = |text| model::Name::parse(text).expect("a name");
        let target = Arc::new(TargetRef { id: model::TargetId(1), name: name("core1") });
        let agent = Arc::new(AgentRef { id: model::AgentId(2), name: name("fra1") });
        Line { target, agent: Some(agent), value }
    }

    #[test]
    fn a_cell_is_of_the_kind_of_its_column() {
        let counts = MinuteCounts { received: 1, rtt_us_max: 9, ..MinuteCounts::default() };
        let minute = PaddedMinute {
            minute: Minute(0),
            verdict: Verdict::Up,
            cause: Cause::Answering,
            counts,
            revision: 1,
            said_first: Some(Verdict::Down),
            is_open: false,
        };
        check(&MINUTE, &[line(minute)]);
        let times = Some(Rtts::from_steps(1, model::RttSteps::default()));
        let rollup = ToldRollup::default().with_times(|_: Option<Rtts>| times);
        let bucket = Bucket {
            start: Minute(0),
            verdict: Verdict::Up,
            cause: Cause::Answering,
            rollup,
            is_open: false,
        };
        check(&BUCKET, &[line(bucket)]);
        let rtt = Some(Rtt { us_min: 1, us_mean: 2, us_max: 3 });
        let asked = Outcome::Asked { sent: 5, received: 5, rtt, confirm: Confirm::default() };
        let round = |outcome| {
            let agent = AgentRef::clone(line(()).agent.as_deref().expect("an agent"));
            let source = std::net::IpAddr::from([192, 0, 2, 1]);
            let icmp_error = Some(IcmpError { kind: 3, code: 1, source });
            let at = UtcMicros(0);
            let subject = Subject::Gateway;
            let round = Round { subject, at, outcome, flags: RoundFlags::LATE, icmp_error };
            line(RoundRow { agent, round })
        };
        check(&ROUND, &[round(asked), round(Outcome::NotAsked(NotAsked::NoRoute))]);
    }

    /// The page is written by this test when `UPDATE_EXPECT=1` is set.
    #[test]
    fn every_column_is_documented() {
        let mut page = "# Columns of exported tables\n\n\
            What `format=csv`, `jsonl` and `parquet` tell, one row a record. An empty field, a \
            null: nothing is\nknown. In Parquet every column may be null; a time is \
            `TIMESTAMP(MICROS, UTC)`, a count `INT64`, a\nreal `DOUBLE`, a flag `BOOLEAN`, a text \
            `STRING`; the same meanings stand in the file under\n`faultline.columns`.\n"
            .to_owned();
        section(&mut page, "Minutes: `history` at the level 1m", &MINUTE);
        section(&mut page, "Longer values: `history` at the levels 5m, 1h, 1d", &BUCKET);
        section(&mut page, "Rounds: `rounds`", &ROUND);
        section(&mut page, "Agents: `metrics`", &METRIC);
        expect_file!["../../../../docs/history-columns.md"].assert_eq(&page);
    }

    fn section<R>(page: &mut String, title: &str, columns: &[Column<R>]) {
        writeln!(page, "\n## {title}\n\n| column | is | unit | meaning |\n|---|---|---|---|")
            .expect("room");
        for Column { name, kind, unit, meaning, .. } in columns {
            let kind = format!("{kind:?}").to_lowercase();
            writeln!(page, "| `{name}` | {kind} | {unit} | {meaning} |").expect("room");
        }
    }
}
