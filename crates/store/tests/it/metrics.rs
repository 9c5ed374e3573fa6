//! Metrics: whatever they are kept in, at every level, what their samples add up to.

use std::collections::BTreeMap;

use model::{
    AgentId, Count, Labels, LogPosition, MetricBatch, MetricKind, MetricName, MetricRollup,
    MetricSample, MetricSubject, MetricValue, Minute, Reading, Span, UtcMicros,
};
use store::{Commit, MetricSeries, NewAgent, Retention, SUBJECT_SERIES_MAX};

use crate::{Fixture, at, fixture, name, rollups_before};

const DAY_S: i64 = 24 * 3600;
const NAMES: [&str; 3] = ["agent_probes", "agent_rounds_total", "if_in_bytes_total"];

struct World {
    f: Fixture,
    agent: AgentId,
    position: u64,
    dice: u64,
    /// What each counter shows, and its epoch.
    counters: [(u64, u32); 2],
    /// The first that was heard of an instant.
    naive: BTreeMap<(&'static str, UtcMicros), MetricValue>,
}

async fn world() -> World {
    let f = fixture().await;
    let new = NewAgent { name: name("fra1"), witnesses: Vec::new() };
    let agent = f.store.agent_create(&f.scope, &new, at(0)).await.unwrap().row.id;
    let counters = [(0, 1), (u64::from(u32::MAX) - 5_000, 1)];
    World { f, agent, position: 0, dice: 7, counters, naive: BTreeMap::new() }
}

pub(crate) fn sample(name: &str, at: UtcMicros, value: MetricValue) -> MetricSample {
    let name = MetricName::parse(name).unwrap();
    MetricSample { name, labels: Labels::default(), at, value }
}

impl World {
    fn below(&mut self, limit: u32) -> u32 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from((self.dice >> 33) % u64::from(limit)).unwrap()
    }

    fn value(&mut self, of: usize) -> MetricValue {
        let Some(n) = of.checked_sub(1) else {
            return MetricValue::Gauge(Reading::new(f64::from(self.below(900)) / 8.0).unwrap());
        };
        let more = u64::from(self.below(1_000));
        let (mut total, mut epoch) = self.counters[n];
        total += more;
        match self.below(20) {
            0 => (total, epoch) = (more, epoch + 1),
            1 => total = more,
            _ => (),
        }
        let is_32_bit = n == 1;
        if is_32_bit {
            total &= u64::from(u32::MAX);
        }
        self.counters[n] = (total, epoch);
        MetricValue::Counter(Count { total, epoch, is_32_bit })
    }

    /// Commits samples of all series at `when`, in seconds; some are not there.
    async fn commit(&mut self, when: i64, now: i64) {
        let mut samples = Vec::new();
        for (of, name) in NAMES.into_iter().enumerate() {
            if self.below(9) == 0 {
                continue;
            }
            let (value, when) = (self.value(of), at(when));
            samples.push(sample(name, when, value));
            self.naive.entry((name, when)).or_insert(value);
        }
        self.send(samples, now).await;
    }

    async fn send(&mut self, samples: Vec<MetricSample>, now: i64) {
        self.position += 1;
        let commit = Commit {
            position: LogPosition(self.position),
            inventory_version: 1,
            decisions: &[],
            rounds: &[],
            highwaters: &[],
            gaps: &[],
            metrics: &[MetricBatch { subject: MetricSubject::Agent(self.agent), samples }],
            checkpoint: None,
        };
        assert!(self.f.store.commit(&commit, at(now)).await.unwrap());
    }

    async fn series(&self) -> Vec<MetricSeries> {
        let subject = MetricSubject::Agent(self.agent);
        self.f.store.metric_series(&self.f.scope, subject).await.unwrap()
    }

    async fn read(
        &self,
        series: &MetricSeries,
        span: Option<Span>,
        from: Minute,
        to: Minute,
    ) -> BTreeMap<Minute, MetricRollup> {
        let read = self.f.store.metric_rollups(&self.f.scope, series, span, from, to);
        read.await.unwrap()
    }

    fn expected(&self, name: &str, span: Option<Span>) -> BTreeMap<Minute, MetricRollup> {
        let mut expected: BTreeMap<Minute, MetricRollup> = BTreeMap::new();
        for ((of, at), value) in &self.naive {
            if *of != name {
                continue;
            }
            let one = MetricRollup::of(*at, *value);
            let start = span.map_or(at.minute(), |span| span.start(at.minute()));
            expected.entry(start).and_modify(|held| held.push(&one)).or_insert(one);
        }
        expected
    }

    /// At every level, all that was recorded.
    async fn check(&self) {
        let spans = [None, Some(Span::FiveMinutes), Some(Span::Hour), Some(Span::Day)];
        let series = self.series().await;
        assert_eq!(series.len(), NAMES.len());
        for (series, span) in series.iter().flat_map(|s| spans.map(|span| (s, span))) {
            let (from, to) = (Span::Day.start(at(0).minute()), at(3 * DAY_S).minute());
            let to = Minute(Span::Day.start(to).0 + 1_440);
            let read = self.read(series, span, from, to).await;
            let expected = self.expected(series.name.as_str(), span);
            // Numbers of eighths are added without rounding.
            assert!(read == expected, "{} {span:?}: {read:#?} {expected:#?}", series.name);
        }
    }

    async fn compact(&self, now: i64) {
        while !self.f.store.compact(at(now)).await.unwrap().is_done {}
    }
}

#[tokio::test]
async fn metrics_are_the_same_in_the_tail_in_chunks_and_rolled_up() {
    let mut w = world().await;
    for n in 0..100 {
        let when = n * 150;
        w.commit(when, when + 1).await;
        if n % 7 == 0 {
            w.compact(when + 2).await;
            w.check().await;
        }
    }
    let series = w.series().await;
    let kinds: Vec<MetricKind> = series.iter().map(|series| series.kind).collect();
    assert_eq!(kinds, [MetricKind::Gauge, MetricKind::Counter, MetricKind::Counter32]);
    // Rolled up; then something comes late, and is in every level once.
    w.compact(2 * DAY_S).await;
    w.check().await;
    for when in [3_601, 3_602, 9_000] {
        w.commit(when, 2 * DAY_S + 10).await;
    }
    w.check().await;
    for later in [400, 1_000, 8_000, DAY_S] {
        w.compact(2 * DAY_S + later).await;
        w.check().await;
    }
    assert!(w.f.ask("SELECT start FROM history_due").await.is_empty(), "all is rolled up");
    let kinds = w.f.ask("SELECT DISTINCT CAST(kind AS BIGINT) FROM history_chunk ORDER BY 1").await;
    assert_eq!(kinds, [9, 10, 11, 12]);
    assert_eq!((w.f.store.damaged_places(), w.f.store.metrics_left_out()), (0, 0));
    let size = w.f.store.history_size().await.unwrap();
    assert_eq!(size.metrics.records, w.naive.len() as u64);
}

/// A day of samples that is a chunk, of which each level is forgotten in its time: then nothing of
/// the series is left, and it is forgotten, too.
#[tokio::test]
async fn metrics_are_forgotten_level_by_level_and_then_their_series() {
    let mut w = world().await;
    for n in 0..40 {
        w.commit(n * 300, n * 300 + 1).await;
    }
    for later in [3 * DAY_S, 4 * DAY_S, 5 * DAY_S] {
        w.compact(later).await;
    }
    let mut retention = Retention {
        now: at(0),
        rounds_before: at(3 * DAY_S),
        minutes_before: at(0),
        rollups_before: rollups_before(at(0)),
        changes_before: at(0),
        incidents_before: at(0),
        facts_before: at(0),
        audit_before: at(0),
        highwaters_before: at(0),
    };
    let series = w.series().await.remove(0);
    let range = (Span::Day.start(at(0).minute()), Span::Day.start(at(3 * DAY_S).minute()));
    w.f.store.retain(&retention).await.unwrap();
    assert!(w.read(&series, None, range.0, range.1).await.is_empty());
    let name = series.name.as_str();
    for span in Span::ALL {
        let read = w.read(&series, Some(span), range.0, range.1).await;
        assert_eq!(read, w.expected(name, Some(span)), "{span:?}");
    }
    // A chunk of days covers a year.
    let all_before = at(800 * DAY_S);
    retention.rollups_before = rollups_before(all_before);
    (retention.minutes_before, retention.rounds_before) = (all_before, all_before);
    (retention.changes_before, retention.audit_before) = (all_before, all_before);
    while !w.f.store.retain(&retention).await.unwrap().is_done {}
    assert!(w.f.ask("SELECT id FROM history_chunk").await.is_empty());
    assert!(w.series().await.is_empty());
}

/// What comes when hours of its day are gone already would be all that the day knows.
#[tokio::test]
async fn a_day_is_not_made_anew_of_hours_that_are_partly_gone() {
    let mut w = world().await;
    for when in (0..DAY_S).step_by(600) {
        w.commit(when, when + 1).await;
    }
    for days in [1, 2, 40] {
        w.compact(days * DAY_S + 7_300).await;
    }
    let (series, day) = (w.series().await.remove(0), at(0).minute());
    let (from, to) = (Span::Day.start(day), Minute(Span::Day.start(day).0 + 2 * 1_440));
    let before = w.read(&series, Some(Span::Day), from, to).await;
    let gone = format!(
        "DELETE FROM history_chunk WHERE kind = 11;
         INSERT INTO history_swept (org_id, before, metric_hours) VALUES (1, {0}, {1})
         ON CONFLICT (org_id) DO UPDATE SET metric_hours = excluded.metric_hours",
        from.0, to.0
    );
    w.f.raw(gone.leak()).await;
    let samples = vec![sample(NAMES[0], at(30), MetricValue::Gauge(Reading::from(5)))];
    w.send(samples, 41 * DAY_S).await;
    assert_eq!(w.read(&series, Some(Span::Day), from, to).await, before, "while it is new");
    for days in [42, 43, 90] {
        w.compact(days * DAY_S).await;
    }
    assert_eq!(w.read(&series, Some(Span::Day), from, to).await, before, "and when it is not");
}

#[tokio::test]
async fn a_thing_with_too_many_series_keeps_those_it_has() {
    let mut w = world().await;
    let value = MetricValue::Gauge(Reading::from(1));
    let many = |when: i64| {
        let one = |n: usize| sample(&format!("made_up_{n}"), at(when), value);
        (0..SUBJECT_SERIES_MAX + 3).map(one).collect::<Vec<_>>()
    };
    w.send(many(0), 1).await;
    assert_eq!(w.series().await.len(), SUBJECT_SERIES_MAX);
    assert_eq!(w.f.store.metrics_left_out(), 3);
    w.send(many(60), 61).await;
    assert_eq!(w.f.store.metrics_left_out(), 6);
    let series = w.series().await.remove(0);
    let read = w.read(&series, None, at(0).minute(), at(600).minute()).await;
    assert_eq!(read.len(), 2);
}

/// What is heard of an agent that is gone by then is of nobody.
#[tokio::test]
async fn a_deleted_agent_leaves_nothing_behind() {
    let mut w = world().await;
    w.commit(0, 1).await;
    w.f.store.agent_delete(&w.f.scope, w.agent, at(2)).await.unwrap();
    let before = w.series().await.len();
    w.commit(60, 61).await;
    let tail = w.f.ask("SELECT id FROM history_tail").await;
    assert_eq!((w.series().await.len(), tail.len()), (before, 1));
}
