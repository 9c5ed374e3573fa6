//! What an agent says of itself over time: every bucket of a range, and in words why one is empty.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use model::{
    AgentId, Cause, CounterRollup, MetricName, MetricRollup, MetricSubject, Minute, Span, UtcMicros,
};
use store::{AgentRow, MetricSeries, MonitorGap, Scope};

use super::{App, AppError, Fields, buckets::Level};
use crate::config::RetentionConfig;

/// Values of one request over all its series: a chart of each of an agent's.
const VALUES_MAX: i64 = 50_000;

/// A series with every bucket of a range.
#[derive(Debug)]
pub(crate) struct MetricHistory {
    pub(crate) series: MetricSeries,
    pub(crate) buckets: Vec<MetricBucket>,
}

/// What a series adds up to in a bucket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricBucket {
    pub(crate) start: Minute,
    /// `None` if there is no sample.
    pub(crate) rollup: Option<MetricRollup>,
    /// Of a counter: what it counted since the sample before the bucket, and in how many
    /// microseconds; `None` if nobody knows.
    pub(crate) counted: Option<(u64, u64)>,
    /// Why there is no sample.
    pub(crate) cause: Option<Cause>,
    /// It is not over.
    pub(crate) is_open: bool,
}

/// What tells why a bucket is empty.
struct Context {
    created: Minute,
    kept: Minute,
    now: UtcMicros,
    gaps: Vec<MonitorGap>,
}

impl Context {
    /// 1 - Before the agent existed, or not over: not yet. 2 - Before what is kept: expired.
    /// 3 - Wholly in a gap of the monitor: monitor down. 4 - Else nothing was heard of the agent.
    fn cause(&self, start: Minute, end: Minute) -> Cause {
        let is_in = |gap: &MonitorGap| gap.from <= start.start() && end.start() <= gap.to;
        if end <= self.created || self.now < end.start() {
            Cause::NotYet
        } else if end <= self.kept {
            Cause::Expired
        } else if self.gaps.iter().any(is_in) {
            Cause::MonitorDown
        } else {
            Cause::Silent
        }
    }
}

impl App {
    /// Returns what is known of an agent's metrics in a range of whole buckets, in the order of
    /// their names; of one name, or of all.
    pub(crate) async fn agent_metrics(
        &self,
        scope: &Scope,
        id: AgentId,
        name: Option<&MetricName>,
        (range, level): (Range<Minute>, Level),
    ) -> Result<(AgentRow, Vec<MetricHistory>), AppError> {
        let agent = self.store.agent_get(scope, id).await?;
        let now = self.clock.now();
        let mut all = self.store.metric_series(scope, MetricSubject::Agent(id)).await?;
        all.retain(|series| name.is_none_or(|name| *name == series.name));
        let buckets = (range.end.0 - range.start.0) / level.minutes();
        let series = i64::try_from(all.len()).unwrap_or(i64::MAX);
        if VALUES_MAX < buckets.saturating_mul(series) {
            let mut fields = Fields::default();
            let reason = format!(
                "is needed: {series} metrics have more than {VALUES_MAX} values in this range"
            );
            fields.refuse("name", reason);
            return Err(fields.error());
        }
        let (from, to) = (range.start.start(), range.end.start());
        let (gaps, _) = self.gaps(scope, from, to).await?;
        let context = Context {
            created: agent.created_at.minute(),
            kept: (now - kept(level, &self.config.retention)).minute(),
            now,
            gaps,
        };
        let mut histories = Vec::with_capacity(all.len());
        for series in all {
            let span = match level {
                Level::Minute => None,
                Level::Bucket(span) => Some(span),
            };
            // What a counter counted in the first bucket began in the one before.
            let from = Minute(range.start.0.saturating_sub(level.minutes()));
            let found = self.store.metric_rollups(scope, &series, span, from, range.end).await?;
            let buckets = tell(&found, &range, level, &context);
            histories.push(MetricHistory { series, buckets });
        }
        Ok((agent, histories))
    }
}

/// Tells every bucket of a range that has begun.
fn tell(
    found: &BTreeMap<Minute, MetricRollup>,
    range: &Range<Minute>,
    level: Level,
    context: &Context,
) -> Vec<MetricBucket> {
    let before = found.range(..range.start).next_back().map(|(_, rollup)| rollup);
    let mut before: Option<CounterRollup> = before.and_then(counter);
    let mut buckets = Vec::new();
    let mut start = range.start;
    while start < range.end && start.start() <= context.now {
        let end = Minute(start.0.saturating_add(level.minutes()));
        let rollup = found.get(&start).copied();
        let counter = rollup.as_ref().and_then(counter);
        let counted = counter.filter(|counter| before.is_some() || 1 < counter.count);
        let counted = counted.map(|counter| counter.since(before.as_ref()));
        before = counter.or(before);
        let cause = rollup.is_none().then(|| context.cause(start, end));
        let is_open = context.now < end.start();
        buckets.push(MetricBucket { start, rollup, counted, cause, is_open });
        start = end;
    }
    buckets
}

fn counter(rollup: &MetricRollup) -> Option<CounterRollup> {
    match rollup {
        MetricRollup::Counter(counter) => Some(*counter),
        MetricRollup::Gauge(_) => None,
    }
}

/// How long a level of metrics is kept: as what an agent says of its targets, and days as long as
/// any.
fn kept(level: Level, retention: &RetentionConfig) -> Duration {
    match level {
        Level::Minute => retention.rounds,
        Level::Bucket(Span::FiveMinutes) => retention.agent_5m,
        Level::Bucket(Span::Hour) => retention.agent_1h,
        Level::Bucket(Span::Day) => retention.target_1d,
    }
}

/// The whole buckets of a range: of the level that is asked for, or of the finest that has not too
/// many of them and is kept for so long.
///
/// # Errors
///
/// The field at fault, `to` or `level`, with the reason.
pub(crate) fn range(
    (from, to): (UtcMicros, UtcMicros),
    level: Option<Level>,
    now: UtcMicros,
    retention: &RetentionConfig,
) -> Result<(Range<Minute>, Level), (&'static str, &'static str)> {
    if to <= from {
        return Err(("to", "must be after `from`"));
    }
    let asked = from.minute()..UtcMicros(to.0.saturating_sub(1)).minute().next();
    let fits = |level: &Level| {
        let whole = level.whole(&asked);
        (whole.end.0 - whole.start.0) / level.minutes() <= level.values_max()
    };
    let is_kept = |level: &Level| now - kept(*level, retention) <= from;
    let fitting = || Level::ALL.into_iter().filter(fits);
    let level = match level {
        Some(level) if !fits(&level) => {
            return Err(("level", "gives too many values in this range; take a coarser one"));
        }
        Some(level) => level,
        None => {
            let last = fitting().next_back();
            let level = fitting().find(is_kept).or(last);
            level.ok_or(("to", "must be at most five years after `from`"))?
        }
    };
    Ok((level.whole(&asked), level))
}

#[cfg(test)]
mod tests {
    use model::{Count, MetricValue};

    use super::*;

    fn of(second: i64, total: u64) -> MetricRollup {
        let count = Count { total, epoch: 1, is_32_bit: false };
        MetricRollup::of(UtcMicros(second * 1_000_000), MetricValue::Counter(count))
    }

    #[test]
    fn every_bucket_is_told_and_an_empty_one_says_why() {
        let minute = |m: i64| Minute(m).start();
        let context = Context {
            created: Minute(2),
            kept: Minute(3),
            now: UtcMicros(minute(8).0 + 1),
            gaps: vec![MonitorGap { from: minute(4), to: minute(5), cause: Cause::MonitorDown }],
        };
        let found = BTreeMap::from([(Minute(3), of(200, 10)), (Minute(6), of(400, 70))]);
        let told = tell(&found, &(Minute(1)..Minute(10)), Level::Minute, &context);
        let told: Vec<_> =
            told.iter().map(|b| (b.start.0, b.counted, b.cause, b.is_open)).collect();
        let expected = [
            (1, None, Some(Cause::NotYet), false),
            (2, None, Some(Cause::Expired), false),
            (3, None, None, false),
            (4, None, Some(Cause::MonitorDown), false),
            (5, None, Some(Cause::Silent), false),
            (6, Some((60, 200_000_000)), None, false),
            (7, None, Some(Cause::Silent), false),
            (8, None, Some(Cause::NotYet), true),
        ];
        assert_eq!(told, expected);
        // The bucket before the range says what the first counted.
        let told = tell(&found, &(Minute(6)..Minute(7)), Level::Minute, &context);
        assert_eq!(told[0].counted, Some((60, 200_000_000)));
    }

    #[test]
    fn the_level_is_the_finest_that_fits_and_is_kept() {
        let day = |day: i64| Minute(day * 1_440).start();
        let level = |from, to| {
            let range = range((day(from), day(to)), None, day(0), &RetentionConfig::default());
            range.map(|(_, level)| level.as_str())
        };
        assert_eq!([level(-1, 0), level(-7, 0), level(-90, 0)], [Ok("1m"), Ok("5m"), Ok("1h")]);
        assert_eq!([level(-16, -15), level(-92, -91)], [Ok("5m"), Ok("1h")]);
        assert_eq!([level(-402, -401), level(-1_800, 0)], [Ok("1d"), Ok("1d")]);
        assert_eq!(level(-4_000, 0).unwrap_err().0, "to");
        let minutes = Some(Level::Minute);
        let told = range((day(-2), day(0)), minutes, day(0), &RetentionConfig::default());
        assert_eq!(told.unwrap_err().0, "level");
    }
}
