//! Which time a request is about, and in values of which length it is told.

use std::{ops::Range, time::Duration};

use model::{Minute, Span, UtcMicros};

use super::MINUTES_MAX;
use crate::{app::buckets::Level, config::RetentionConfig};

/// Days of one request: five years, as long as hours and days are kept if nobody says otherwise.
const RANGE_DAYS_MAX: i64 = 5 * 366;

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coming {
    /// All of it is held at once: a level has a limit of values.
    AtOnce,
    /// Part by part, each within that limit.
    InParts,
}

/// Parses the range of a request into whole minutes, or whole buckets of a level: from the one of
/// `from` to the one that `to` lies in or ends.
///
/// Without a level, the finest is taken that does not make too many of them and is kept for so
/// long, with its times: those of minutes go with their rounds. If none is, the one that is kept
/// longest. However it comes, that is the same.
///
/// # Errors
///
/// The field at fault, `to` or `level`, with the reason: `to` is not after `from`, the range is too
/// long, has too many values at this level, or nothing of it is kept at this level.
pub(crate) fn range(
    (from, to): (UtcMicros, UtcMicros),
    level: Option<Level>,
    coming: Coming,
    now: UtcMicros,
    retention: &RetentionConfig,
) -> Result<(Range<Minute>, Level), (&'static str, String)> {
    if to <= from {
        return Err(("to", "must be after `from`".to_owned()));
    }
    // `to` is excluded, so a full minute does not begin another.
    let asked = from.minute()..UtcMicros(to.0 - 1).minute().next();
    if RANGE_DAYS_MAX * MINUTES_MAX < asked.end.0 - asked.start.0 {
        return Err(("to", format!("must be at most {RANGE_DAYS_MAX} days after `from`")));
    }
    let kept = |level: Level| (now - retention.of(level, false)).minute();
    let values = |level: Level| {
        let range = level.whole(&asked);
        (range.end.0 - range.start.0) / level.minutes()
    };
    let fits = |level: &Level| values(*level) <= level.values_max();
    let fitting = || Level::ALL.into_iter().filter(fits);
    let level = match level {
        Some(level) if asked.end <= kept(level) => {
            return Err(("level", format!("is not kept for so long: {}", retention.levels())));
        }
        Some(level) if coming == Coming::AtOnce && !fits(&level) => {
            let reason = format!("gives more than {} values in this range", level.values_max());
            let remedy = "take a coarser one, a shorter range, or format=csv, jsonl or parquet";
            return Err(("level", format!("{reason}; {remedy}")));
        }
        Some(level) => level,
        None => {
            let longest = || fitting().min_by_key(|level| kept(*level));
            let timed = (now - retention.rounds).minute();
            let has_times = |level: &Level| *level != Level::Minute || timed <= asked.start;
            let whole = || fitting().filter(|level| kept(*level) <= asked.start);
            let finest = whole().find(has_times).or_else(|| whole().next());
            finest.or_else(longest).unwrap_or(Level::Bucket(Span::Day))
        }
    };
    Ok((level.whole(&asked), level))
}

impl RetentionConfig {
    /// How long a level is kept, of each agent or of all together.
    pub(crate) fn of(&self, level: Level, is_of_agent: bool) -> Duration {
        match (level, is_of_agent) {
            (Level::Minute, _) => self.minutes,
            (Level::Bucket(Span::FiveMinutes), true) => self.agent_5m,
            // Days of an agent are told from its hours.
            (Level::Bucket(Span::Hour | Span::Day), true) => self.agent_1h,
            (Level::Bucket(Span::FiveMinutes), false) => self.target_5m,
            (Level::Bucket(Span::Hour), false) => self.target_1h,
            (Level::Bucket(Span::Day), false) => self.target_1d,
        }
    }

    /// In words, how long each level is kept.
    fn levels(&self) -> String {
        let days = |level, is_of_agent| self.of(level, is_of_agent).as_secs() / 86_400;
        let word = |level: Level| match (days(level, false), days(level, true)) {
            (all, agent) if all == agent => format!("{} for {all} days", level.as_str()),
            (all, agent) => {
                format!("{} for {all} days (of each agent {agent})", level.as_str())
            }
        };
        Level::ALL.map(word).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_whole_minutes_or_buckets() {
        const FIVE: Level = Level::Bucket(Span::FiveMinutes);
        let minute = |m: i64| Minute(m).start();
        let told = |from, to, level| {
            let (range_of, kept) = ((from, to), RetentionConfig::default());
            let told = range(range_of, level, Coming::AtOnce, minute(10), &kept);
            told.map(|(range, level)| (range.start.0..range.end.0, level))
        };
        assert_eq!(told(minute(1), minute(2), None), Ok((1..2, Level::Minute)));
        let inside = told(UtcMicros(minute(1).0 + 5), UtcMicros(minute(2).0 + 5), None);
        assert_eq!(inside, Ok((1..3, Level::Minute)));
        assert_eq!(told(minute(7), minute(16), Some(FIVE)), Ok((5..20, FIVE)));
        assert_eq!(told(minute(0), minute(MINUTES_MAX + 1), None).unwrap().1, FIVE);
        let fault = |from, to, level| told(from, to, level).unwrap_err().0;
        assert_eq!(fault(minute(2), minute(2), None), "to");
        assert_eq!(fault(minute(0), minute(1_831 * 1_440), None), "to");
        assert_eq!(fault(minute(0), minute(MINUTES_MAX + 1), Some(Level::Minute)), "level");
        assert_eq!(fault(minute(0), minute(9 * 1_440), Some(FIVE)), "level");
    }

    #[test]
    fn what_comes_in_parts_has_as_many_values_as_are_asked_for_and_no_more() {
        let day = |day: i64| Minute(day * 1_440).start();
        let told = |level| {
            let kept = RetentionConfig::default();
            range((day(-30), day(0)), level, Coming::InParts, day(0), &kept)
        };
        let minutes = Minute(-30 * 1_440)..Minute(0);
        assert_eq!(told(Some(Level::Minute)), Ok((minutes.clone(), Level::Minute)));
        assert_eq!(told(None), Ok((minutes, Level::Bucket(Span::Hour))));
    }

    #[test]
    fn the_level_is_the_finest_that_fits_and_is_kept() {
        let day = |day: i64| Minute(day * 1_440).start();
        let kept = RetentionConfig::default();
        let told =
            |from, to, level| range((day(from), day(to)), level, Coming::AtOnce, day(0), &kept);
        let level = |from, to| told(from, to, None).unwrap().1.as_str();
        assert_eq!([level(-1, 0), level(-7, 0), level(-8, 0)], ["1m", "5m", "1h"]);
        assert_eq!([level(-92, 0), level(-400, 0), level(-1_826, 0)], ["1h", "1d", "1d"]);
        // One day, whose rounds are kept, and whose are gone; and long ago.
        assert_eq!([level(-14, -13), level(-15, -14)], ["1m", "5m"]);
        assert_eq!([level(-91, -90), level(-401, -400), level(-1_830, -1_829)], ["5m", "1h", "1h"]);
        let refused = told(-402, -401, Some(Level::Bucket(Span::FiveMinutes))).unwrap_err();
        assert_eq!(
            refused.1,
            "is not kept for so long: 1m for 90 days, 5m for 400 days (of each agent 90), \
             1h for 1826 days (of each agent 400), 1d for 1826 days (of each agent 400)"
        );
    }
}
