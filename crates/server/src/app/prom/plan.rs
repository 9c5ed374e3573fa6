//! Which values a selector is answered from: how long they are, and of when. Pure.

use std::ops::Range;

use model::{Minute, Span, UtcMicros};

use super::figures::{Figure, Metric, Of, STATS};
use crate::{
    app::buckets::Level,
    config::RetentionConfig,
    promql::{Fault, Selector, Steps},
};

/// How far back a value at a moment may lie, beyond its own span: one that is on its way is
/// answered with the one before.
const LOOKBACK_MS: i64 = 5 * 60_000;
/// Prometheus's own limit, so that its clients know how to ask for less.
pub(crate) const POINTS_MAX: usize = 11_000;

/// Values of one length, of one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) level: Level,
    pub(super) range: Range<Minute>,
}

/// Chooses the values that a selector is answered from.
///
/// 1 - The longest that are not longer than the step and the window, so that no moment has to look
///     at more than it shows. Without a step, as few minutes as there are.
/// 2 - Quantiles are known of 5 minutes or longer.
/// 3 - If there are too many in the range, or it is longer ago than they are kept, longer ones; but
///     a window holds at least one. Times of minutes are kept as long as their rounds.
pub(super) fn plan(
    selector: &Selector,
    metrics: &[Metric],
    steps: Steps,
    now: UtcMicros,
    retention: &RetentionConfig,
) -> Result<Plan, Fault> {
    let window_ms = selector.range_ms.unwrap_or(i64::MAX);
    let is_timed = metrics.iter().any(|metric| metric.figure == Figure::Rtt);
    let is_quantile = is_timed
        && STATS.iter().any(|stat| stat.is_quantile() && selector.takes("stat", stat.as_str()));
    let finest = if is_quantile { Level::Bucket(Span::FiveMinutes) } else { Level::Minute };
    let is_pair = metrics.iter().any(|metric| metric.of == Of::Pair);
    let ms = |level: Level| level.minutes().saturating_mul(60_000);
    let step_ms = if steps.count < 2 { 0 } else { steps.step_ms };
    let wanted = Level::ALL
        .into_iter()
        .rfind(|level| ms(*level) <= step_ms.min(window_ms) && ms(finest) <= ms(*level))
        .unwrap_or(finest);
    let mut fitting =
        Level::ALL.into_iter().filter(|level| ms(wanted) <= ms(*level)).map(|level| {
            let range = range_of(selector, level, steps);
            let kept = match level {
                Level::Minute if is_timed => retention.minutes.min(retention.rounds),
                Level::Minute | Level::Bucket(_) => retention.of(level, is_pair),
            };
            let kept = (now - kept).minute();
            let values = (range.end.0 - range.start.0) / level.minutes();
            let fits = values <= level.values_max() && kept <= range.start;
            (level, range, fits)
        });
    let longest = Level::Bucket(Span::Day);
    let (level, range, _) = fitting
        .find(|(.., fits)| *fits)
        .unwrap_or_else(|| (longest, range_of(selector, longest, steps), true));
    if window_ms < ms(level) {
        let name = selector.name();
        let word = level.as_str();
        return Err(Fault::bad(format!(
            "a window over {name} must be {word} or longer here: use {name}[{word}] (the values \
             that this is answered from are of {word})"
        )));
    }
    let values = (range.end.0 - range.start.0) / level.minutes();
    if level.values_max() < values {
        return Err(Fault::bad("the range is longer than five years"));
    }
    Ok(Plan { level, range })
}

fn range_of(selector: &Selector, level: Level, steps: Steps) -> Range<Minute> {
    let span_ms = level.minutes().saturating_mul(60_000);
    let back_ms = selector.range_ms.unwrap_or(LOOKBACK_MS).saturating_add(span_ms);
    let first = steps.start_ms.saturating_sub(selector.offset_ms).saturating_sub(back_ms);
    let last = steps.at(steps.count.saturating_sub(1)).saturating_sub(selector.offset_ms);
    let minute = |ms: i64| UtcMicros(ms.saturating_mul(1_000)).minute();
    level.whole(&(minute(first)..minute(last).next()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::prom::figures::metrics, promql::parse};

    const DAY_MS: i64 = 86_400_000;
    /// A day long after 1970, at noon.
    const NOW_MS: i64 = 20_000 * DAY_MS + DAY_MS / 2;

    /// The level that the first selector of a query is answered from, over so many days up to now.
    #[track_caller]
    fn check(query: &str, days: f64, step_s: i64, expected: &str) {
        let query = parse(query).unwrap();
        let selector = &query.selectors[0];
        let all: Vec<Metric> =
            metrics().filter(|metric| selector.takes("__name__", metric.name)).collect();
        #[expect(clippy::cast_possible_truncation, reason = "a few days")]
        let range_ms = (days * 86_400_000.0) as i64;
        let step_ms = (step_s * 1_000).max(1);
        let count = if step_s == 0 { 1 } else { usize::try_from(range_ms / step_ms).unwrap() + 1 };
        let start_ms = if step_s == 0 { NOW_MS } else { NOW_MS - range_ms };
        let steps = Steps { start_ms, step_ms, count };
        let now = UtcMicros(NOW_MS * 1_000);
        let told = plan(selector, &all, steps, now, &RetentionConfig::default());
        let told = told.map_or_else(|fault| fault.text, |plan| plan.level.as_str().to_owned());
        assert_eq!(told, expected, "{} over {days} days by {step_s} s", selector.name());
    }

    #[test]
    fn the_level_follows_the_step_and_the_window() {
        check("faultline_target_up", 0.25, 15, "1m");
        check("faultline_target_up", 0.25, 60, "1m");
        check("faultline_target_up", 1.0, 300, "5m");
        check("faultline_target_up", 7.0, 3_600, "1h");
        check("faultline_target_up", 400.0, 86_400, "1d");
        check("faultline_target_up", 0.0, 0, "1m");
        // Too many minutes.
        check("faultline_target_up", 2.0, 60, "5m");
        check("faultline_target_up", 30.0, 300, "1h");
        check("faultline_target_up offset 100d", 0.25, 60, "5m");
        check("faultline_target_up offset 500d", 0.25, 60, "1h");
        // A window of five minutes is answered of one value of five minutes, which is told once it
        // has ended: it may lag by as much.
        check("rate(faultline_target_packets_sent_total[5m])", 0.5, 3_600, "5m");
        check("increase(faultline_target_packets_sent_total[4m])", 0.5, 3_600, "1m");
        check("increase(faultline_target_packets_sent_total[30d])", 0.0, 0, "1h");
        check("increase(faultline_target_packets_sent_total[1h])", 0.0, 0, "1m");
        check("increase(faultline_target_packets_sent_total[2y])", 0.0, 0, "1d");
    }

    #[test]
    fn quantiles_are_of_five_minutes_and_times_of_packets_are_not() {
        check("faultline_target_rtt_seconds{stat=\"p95\"}", 0.1, 15, "5m");
        check("faultline_target_rtt_seconds", 0.1, 15, "5m");
        check("faultline_target_rtt_seconds{stat=~\"min|max\"}", 0.1, 15, "1m");
        // The rounds of 20 days ago are gone, and with them the times of minutes.
        check("faultline_target_rtt_seconds{stat=\"max\"} offset 20d", 0.1, 15, "5m");
        check("faultline_target_up offset 20d", 0.1, 15, "1m");
    }

    #[test]
    fn a_window_that_holds_no_value_says_how_long_it_must_be() {
        let expected = "a window over faultline_target_up must be 1h or longer here: use \
             faultline_target_up[1h] (the values that this is answered from are of 1h)";
        check("max_over_time(faultline_target_up[5m])", 60.0, 3_600, expected);
        let expected = "a window over faultline_target_up must be 1m or longer here: use \
             faultline_target_up[1m] (the values that this is answered from are of 1m)";
        check("max_over_time(faultline_target_up[30s])", 0.1, 60, expected);
    }
}
