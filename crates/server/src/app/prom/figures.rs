//! The names under which the history is read as series, and what each value is. Pure.

use std::sync::{Arc, LazyLock};

use model::{Cause, Rtts, StateMinutes, Verdict};
use store::AgentRef;

use crate::{
    app::{
        buckets::Bucket,
        history::{PaddedMinute, ToldSeries, Values},
    },
    promql::{Labels, NAME, Selector},
};

/// A name with what it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) is_counter: bool,
    pub(super) of: Of,
    pub(super) figure: Figure,
}

/// Who is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A target, by all agents together.
    Target,
    /// A target, by one agent.
    Pair,
    /// All targets.
    Inventory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Up,
    State,
    Loss,
    Rtt,
    StateSeconds,
    Sent,
    Lost,
    Count,
}

macro_rules! metrics {
    ($prefix:literal, $of:expr, $by:literal) => {
        [
            Metric {
                name: concat!($prefix, "_up"),
                help: concat!(
                    "1 while up or degraded, 0 while down, absent while unknown, ",
                    $by,
                    "; of longer spans the share of the known minutes in which it was up."
                ),
                is_counter: false,
                of: $of,
                figure: Figure::Up,
            },
            Metric {
                name: concat!($prefix, "_state"),
                help: concat!(
                    "The worst verdict held, ",
                    $by,
                    ": 0 up, 1 unknown, 2 degraded, 3 down."
                ),
                is_counter: false,
                of: $of,
                figure: Figure::State,
            },
            Metric {
                name: concat!($prefix, "_loss_ratio"),
                help: concat!("Share of the packets that were not answered, ", $by, "."),
                is_counter: false,
                of: $of,
                figure: Figure::Loss,
            },
            Metric {
                name: concat!($prefix, "_rtt_seconds"),
                help: concat!(
                    "Round-trip time, ",
                    $by,
                    ": stat is min, mean or max of the packets, or p50, p95 or p99 of the rounds' \
                     means (of spans of 5 minutes or longer)."
                ),
                is_counter: false,
                of: $of,
                figure: Figure::Rtt,
            },
            Metric {
                name: concat!($prefix, "_state_seconds_total"),
                help: concat!(
                    "Time in each state, ",
                    $by,
                    ": up, degraded, down or unknown. Read it with increase or rate."
                ),
                is_counter: true,
                of: $of,
                figure: Figure::StateSeconds,
            },
            Metric {
                name: concat!($prefix, "_packets_sent_total"),
                help: concat!(
                    "Packets sent, confirm bursts apart, ",
                    $by,
                    ". Read it with increase or rate."
                ),
                is_counter: true,
                of: $of,
                figure: Figure::Sent,
            },
            Metric {
                name: concat!($prefix, "_packets_lost_total"),
                help: concat!(
                    "Packets that were not answered, ",
                    $by,
                    ". Read it with increase or rate."
                ),
                is_counter: true,
                of: $of,
                figure: Figure::Lost,
            },
        ]
    };
}

const TARGET: [Metric; 7] = metrics!("faultline_target", Of::Target, "by all agents together");
const PAIR: [Metric; 7] = metrics!("faultline_pair", Of::Pair, "by one agent");
const INVENTORY: Metric = Metric {
    name: "faultline_targets",
    help: "How many targets are up, degraded, down, unknown or paused right now.",
    is_counter: false,
    of: Of::Inventory,
    figure: Figure::Count,
};

/// Every name there is.
pub(crate) fn metrics() -> impl Iterator<Item = Metric> {
    TARGET.into_iter().chain(PAIR).chain([INVENTORY])
}

/// Labels that a series may have, beside its name.
pub(crate) const LABELS: [&str; 9] =
    ["agent", "agent_id", "site", "stat", "state", "tags", "target", "target_id", "tier"];

/// Names and values that every series shares.
pub(super) struct Words {
    pub(super) name: Arc<str>,
    pub(super) target: Arc<str>,
    pub(super) target_id: Arc<str>,
    pub(super) tier: Arc<str>,
    pub(super) site: Arc<str>,
    pub(super) tags: Arc<str>,
    agent: Arc<str>,
    agent_id: Arc<str>,
    stat: Arc<str>,
    pub(super) state: Arc<str>,
}

pub(super) static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    name: NAME.into(),
    target: "target".into(),
    target_id: "target_id".into(),
    tier: "tier".into(),
    site: "site".into(),
    tags: "tags".into(),
    agent: "agent".into(),
    agent_id: "agent_id".into(),
    stat: "stat".into(),
    state: "state".into(),
});

pub(super) const STATS: [Stat; 6] =
    [Stat::Min, Stat::Mean, Stat::Max, Stat::P50, Stat::P95, Stat::P99];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stat {
    Min,
    Mean,
    Max,
    P50,
    P95,
    P99,
}

impl Stat {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Stat::Min => "min",
            Stat::Mean => "mean",
            Stat::Max => "max",
            Stat::P50 => "p50",
            Stat::P95 => "p95",
            Stat::P99 => "p99",
        }
    }

    pub(super) fn is_quantile(self) -> bool {
        matches!(self, Stat::P50 | Stat::P95 | Stat::P99)
    }
}

/// One of the series that a figure has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Facet {
    Whole,
    Stat(Stat),
    State(Verdict),
}

impl Figure {
    pub(super) fn facets(self) -> Vec<Facet> {
        match self {
            Figure::Rtt => STATS.into_iter().map(Facet::Stat).collect(),
            Figure::StateSeconds => Verdict::ALL.into_iter().map(Facet::State).collect(),
            Figure::Up | Figure::State | Figure::Loss | Figure::Sent | Figure::Lost => {
                vec![Facet::Whole]
            }
            Figure::Count => Vec::new(),
        }
    }
}

/// The labels of the series of a figure that a selector asks for, with their facets.
pub(super) fn facets_of(
    metric: &Metric,
    base: &Labels,
    agent: Option<&AgentRef>,
    selector: &Selector,
) -> Vec<(Facet, Labels)> {
    let words = &*WORDS;
    let mut all = Vec::new();
    for facet in metric.figure.facets() {
        let mut labels = base.clone();
        labels.set(&words.name, &metric.name.into());
        if let Some(agent) = agent {
            labels.set(&words.agent, &agent.name.as_str().into());
            // One that is gone and one that has its name now are two.
            labels.set(&words.agent_id, &agent.id.to_string().into());
        }
        match facet {
            Facet::Whole => {}
            Facet::Stat(stat) => labels.set(&words.stat, &stat.as_str().into()),
            Facet::State(verdict) => labels.set(&words.state, &verdict.as_str().into()),
        }
        if selector.takes_all(&labels) {
            all.push((facet, labels));
        }
    }
    all
}

/// What is known of one minute or longer span.
struct Told {
    verdict: Verdict,
    minutes: StateMinutes,
    /// Rounds were heard of, so packets were counted.
    is_counted: bool,
    sent: u32,
    received: u32,
    times: [Option<u64>; 6],
}

impl Told {
    /// `None` before there was anything to know, and after it was forgotten.
    fn of_minute(minute: &PaddedMinute) -> Option<Told> {
        let counts = minute.counts;
        let known = u64::from(minute.verdict != Verdict::Unknown);
        if is_beyond(minute.cause, known, counts.rounds.saturating_add(counts.not_asked)) {
            return None;
        }
        let mut minutes = StateMinutes::default();
        if !minute.is_open {
            minutes.add(minute.verdict, 1);
        }
        let is_timed = 0 < counts.received && 0 < counts.rtt_us_max;
        let mean = counts.rtt_us_sum.checked_div(u64::from(counts.received));
        let times = [Some(u64::from(counts.rtt_us_min)), mean, Some(u64::from(counts.rtt_us_max))];
        let [min, mean, max] = times.map(|time| time.filter(|_| is_timed));
        Some(Told {
            verdict: minute.verdict,
            minutes,
            is_counted: 0 < counts.rounds.saturating_add(counts.not_asked),
            sent: counts.sent,
            received: counts.received,
            times: [min, mean, max, None, None, None],
        })
    }

    fn of_bucket(bucket: &Bucket) -> Option<Told> {
        let rollup = &bucket.rollup;
        let known = rollup.minutes.total().saturating_sub(u64::from(rollup.minutes.unknown));
        if is_beyond(bucket.cause, known, rollup.rounds.saturating_add(rollup.not_asked)) {
            return None;
        }
        let times = |of: fn(&Rtts) -> u32| rollup.times.as_ref().map(of).map(u64::from);
        Some(Told {
            verdict: bucket.verdict,
            minutes: rollup.minutes,
            is_counted: 0 < rollup.rounds.saturating_add(rollup.not_asked),
            sent: rollup.sent,
            received: rollup.received,
            times: [
                times(Rtts::us_min),
                times(Rtts::us_mean),
                times(Rtts::us_max),
                times(Rtts::us_p50),
                times(Rtts::us_p95),
                times(Rtts::us_p99),
            ],
        })
    }

    fn value(&self, figure: Figure, facet: Facet) -> Option<f64> {
        let lost = self.sent.saturating_sub(self.received);
        match (figure, facet) {
            (Figure::Up, _) => {
                let StateMinutes { up, degraded, down, .. } = self.minutes;
                let known = up.saturating_add(degraded).saturating_add(down);
                let good = f64::from(up.saturating_add(degraded));
                match (known, self.verdict) {
                    // A minute that is not closed yet is what is held.
                    (0, Verdict::Up | Verdict::Degraded) => Some(1.0),
                    (0, Verdict::Down) => Some(0.0),
                    (0, Verdict::Unknown) => None,
                    (known, _) => Some(good / f64::from(known)),
                }
            }
            (Figure::State, _) => Some(f64::from(self.verdict.badness())),
            (Figure::Loss, _) => (0 < self.sent).then(|| f64::from(lost) / f64::from(self.sent)),
            (Figure::Rtt, Facet::Stat(stat)) => {
                let at = STATS.iter().position(|one| *one == stat)?;
                self.times.get(at).copied().flatten().map(seconds)
            }
            (Figure::StateSeconds, Facet::State(verdict)) => {
                let minutes = self.minutes.of(verdict);
                (0 < self.minutes.total()).then(|| f64::from(minutes) * 60.0)
            }
            (Figure::Sent, _) => self.is_counted.then(|| f64::from(self.sent)),
            (Figure::Lost, _) => self.is_counted.then(|| f64::from(lost)),
            (Figure::Rtt | Figure::StateSeconds | Figure::Count, _) => None,
        }
    }
}

/// Nothing was there yet, or nothing is kept any more.
fn is_beyond(cause: Cause, known_minutes: u64, rounds: u32) -> bool {
    matches!(cause, Cause::NotYet | Cause::Expired) && known_minutes == 0 && rounds == 0
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a round trip are far below 2^52")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// The values of one facet, and from where on they may still be on their way.
pub(super) fn values(
    series: &ToldSeries,
    figure: Figure,
    facet: Facet,
) -> (Vec<Option<f64>>, usize) {
    match &series.values {
        Values::Minutes(minutes) => {
            let value = |minute| Told::of_minute(minute)?.value(figure, facet);
            let open = minutes.iter().rev().take_while(|minute| minute.is_open).count();
            (minutes.iter().map(value).collect(), minutes.len() - open)
        }
        Values::Buckets(buckets) => {
            let value = |bucket| Told::of_bucket(bucket)?.value(figure, facet);
            let open = buckets.iter().rev().take_while(|bucket| bucket.is_open).count();
            (buckets.iter().map(value).collect(), buckets.len() - open)
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Minute, MinuteCounts, Rollup, Sketch, Times, Worst};

    use super::*;

    /// The value of each figure, by name and facet; what is unknown is left out.
    fn told(values: Values) -> String {
        let series = ToldSeries { agent: None, values };
        let mut text = String::new();
        for metric in &TARGET {
            for facet in metric.figure.facets() {
                let name = metric.name.trim_start_matches("faultline_target_");
                let facet_name = match facet {
                    Facet::Whole => "",
                    Facet::Stat(stat) => stat.as_str(),
                    Facet::State(verdict) => verdict.as_str(),
                };
                for value in super::values(&series, metric.figure, facet).0.into_iter().flatten() {
                    text += &format!("{name} {facet_name} {value}\n");
                }
            }
        }
        text
    }

    #[test]
    fn a_deleted_agent_and_a_new_one_of_its_name_are_two_series() {
        let name = model::Name::parse("fra1").unwrap();
        let up = PAIR.iter().find(|metric| metric.figure == Figure::Up).unwrap();
        let labels = [1, 2].map(|id| {
            let agent = AgentRef { id: model::AgentId(id), name: name.clone() };
            facets_of(up, &Labels::default(), Some(&agent), &Selector::any()).remove(0).1
        });
        assert_ne!(labels[0], labels[1]);
        assert_eq!(labels[0].get("agent"), labels[1].get("agent"));
    }

    fn minute(verdict: Verdict, cause: Cause, counts: MinuteCounts, is_open: bool) -> Values {
        let minute = Minute(0);
        let (revision, said_first) = (0, None);
        Values::Minutes(vec![PaddedMinute {
            minute,
            verdict,
            cause,
            counts,
            revision,
            said_first,
            is_open,
        }])
    }

    #[test]
    fn a_minute_in_figures() {
        let counts = MinuteCounts {
            rounds: 2,
            not_asked: 0,
            sent: 10,
            received: 8,
            rtt_us_min: 1_000,
            rtt_us_sum: 16_000,
            rtt_us_max: 4_000,
        };
        let up = minute(Verdict::Degraded, Cause::Loss, counts, false);
        expect_test::expect![[r#"
            up  1
            state  2
            loss_ratio  0.2
            rtt_seconds min 0.001
            rtt_seconds mean 0.002
            rtt_seconds max 0.004
            state_seconds_total up 0
            state_seconds_total degraded 60
            state_seconds_total down 0
            state_seconds_total unknown 0
            packets_sent_total  10
            packets_lost_total  2
        "#]]
        .assert_eq(&told(up));
    }

    #[test]
    fn silence_is_neither_up_nor_down_and_no_packet_is_no_loss() {
        let none = MinuteCounts::default();
        let silent = minute(Verdict::Unknown, Cause::Silent, none, false);
        expect_test::expect![[r#"
            state  1
            state_seconds_total up 0
            state_seconds_total degraded 0
            state_seconds_total down 0
            state_seconds_total unknown 60
        "#]]
        .assert_eq(&told(silent));
        for cause in [Cause::NotYet, Cause::Expired] {
            assert_eq!(told(minute(Verdict::Unknown, cause, none, false)), "");
        }
        // The first minute of a target: it was asked, and nothing can be said yet.
        let counts = MinuteCounts { rounds: 1, sent: 5, ..none };
        let first = told(minute(Verdict::Unknown, Cause::NotYet, counts, false));
        assert!(first.contains("packets_lost_total  5") && first.contains("state  1"), "{first}");
        // Not closed yet: what is held, and no time of it counts.
        let open = minute(Verdict::Down, Cause::NoAnswer, none, true);
        assert_eq!(told(open), "up  0\nstate  3\n");
    }

    #[test]
    fn an_hour_in_figures() {
        let mut rollup = Rollup::default();
        rollup.add_minutes(Minute(0)..Minute(45), Verdict::Up, Cause::Answering);
        rollup.add_minutes(Minute(45)..Minute(50), Verdict::Down, Cause::NoAnswer);
        rollup.add_minutes(Minute(50)..Minute(60), Verdict::Unknown, Cause::Silent);
        (rollup.rounds, rollup.sent, rollup.received) = (100, 500, 450);
        let mut means = Sketch::default();
        (1..=100).for_each(|n| means.add(n * 1_000));
        let (us_min, us_max, us_sum) = (500, 110_000, 450 * 50_500);
        rollup.times = Times { packets: 450, us_min, us_max, us_sum, means };
        let rollup = rollup.told();
        let Worst { verdict, cause, .. } = rollup.worst.unwrap();
        let bucket = Bucket { start: Minute(0), verdict, cause, rollup, is_open: false };
        // All are middles of steps: within 0.4 % of fastest and mean, 3.2 % of the others.
        expect_test::expect![[r#"
            up  0.9
            state  3
            loss_ratio  0.1
            rtt_seconds min 0.0005
            rtt_seconds mean 0.050559
            rtt_seconds max 0.108543
            rtt_seconds p50 0.050175
            rtt_seconds p95 0.096255
            rtt_seconds p99 0.100351
            state_seconds_total up 2700
            state_seconds_total degraded 0
            state_seconds_total down 300
            state_seconds_total unknown 600
            packets_sent_total  500
            packets_lost_total  50
        "#]]
        .assert_eq(&told(Values::Buckets(vec![bucket])));
    }
}
