//! How often something happens again, as RFC 5545 writes it: the days of an `RRULE`.
//!
//! It gives days, not moments: which moment a clock time is on a day is the zone's to say. Read is
//! the part of the RFC that whole days need; the rest is refused by name, so that nobody relies on
//! a rule that is not kept.

use std::{fmt, ops::RangeInclusive};

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};

/// The longest rule: every part of it with every value is shorter.
pub const RULE_BYTES_MAX: usize = 500;
/// Nobody plans further ahead: days beyond are not looked for.
const YEARS_MAX: i64 = 50;
/// Of `INTERVAL` and `COUNT`: more is no plan.
const NUMBER_MAX: u32 = 10_000;

/// A day of the calendar, wherever that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub(crate) civil::Date);

impl Day {
    /// Parses text such as `2026-12-24`.
    pub fn parse(text: &str) -> Option<Day> {
        // The library reads more forms than are promised.
        (text.len() == 10).then(|| text.parse().ok().map(Day)).flatten()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a rule cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("has at most {RULE_BYTES_MAX} bytes; this has {bytes}")]
    TooLong { bytes: usize },
    #[error("`{part}` is not of the form NAME=VALUE")]
    NotAPart { part: String },
    #[error("says `{name}` twice")]
    Twice { name: String },
    #[error(
        "`{name}` is not supported: a window recurs on days, by FREQ, INTERVAL, COUNT, UNTIL, \
         BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS and WKST"
    )]
    Unsupported { name: String },
    #[error("`{name}={value}`: must be {must}")]
    BadValue { name: &'static str, value: String, must: &'static str },
    #[error("has no FREQ: say DAILY, WEEKLY, MONTHLY or YEARLY")]
    NoFrequency,
    #[error("{reason}")]
    Contradiction { reason: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// A weekday, and of several in a month or year which: the n-th, from the end if negative.
type ByDay = (Option<i32>, civil::Weekday);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The last day, by the clock of the zone.
    Day(civil::Date),
    At(Timestamp),
}

/// On which days something happens again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    text: String,
    frequency: Frequency,
    interval: u32,
    count: Option<u32>,
    until: Option<Until>,
    days: Vec<ByDay>,
    /// From the end of the month if negative.
    month_days: Vec<i32>,
    months: Vec<i32>,
    positions: Vec<i32>,
    week_start: civil::Weekday,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Rule {
    /// Parses text such as `FREQ=WEEKLY;BYDAY=SU`; `RRULE:` before it may be there.
    pub fn parse(text: &str) -> Result<Rule, RuleError> {
        if RULE_BYTES_MAX < text.len() {
            return Err(RuleError::TooLong { bytes: text.len() });
        }
        let upper = text.trim().to_ascii_uppercase();
        let upper = upper.strip_prefix("RRULE:").unwrap_or(&upper);
        let mut rule = Rule {
            text: upper.to_owned(),
            frequency: Frequency::Daily,
            interval: 1,
            count: None,
            until: None,
            days: Vec::new(),
            month_days: Vec::new(),
            months: Vec::new(),
            positions: Vec::new(),
            week_start: civil::Weekday::Monday,
        };
        let mut seen: Vec<&str> = Vec::new();
        for part in upper.split(';') {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| RuleError::NotAPart { part: part.to_owned() })?;
            if seen.contains(&name) {
                return Err(RuleError::Twice { name: name.to_owned() });
            }
            seen.push(name);
            rule.take(name, value)?;
        }
        if !seen.contains(&"FREQ") {
            return Err(RuleError::NoFrequency);
        }
        rule.contradiction().map_or(Ok(rule), |reason| Err(RuleError::Contradiction { reason }))
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), RuleError> {
        let bad = |name, must| RuleError::BadValue { name, value: value.to_owned(), must };
        let number = |name| {
            let number = value.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number));
            number.ok_or_else(|| bad(name, "a number from 1 to 10000"))
        };
        match name {
            "FREQ" => {
                self.frequency = match value {
                    "DAILY" => Frequency::Daily,
                    "WEEKLY" => Frequency::Weekly,
                    "MONTHLY" => Frequency::Monthly,
                    "YEARLY" => Frequency::Yearly,
                    _ => return Err(bad("FREQ", "DAILY, WEEKLY, MONTHLY or YEARLY")),
                }
            }
            "INTERVAL" => self.interval = number("INTERVAL")?,
            "COUNT" => self.count = Some(number("COUNT")?),
            "UNTIL" => {
                let must = "a day such as 20271231, or a moment such as 20271231T225959Z";
                self.until = Some(until(value).ok_or_else(|| bad("UNTIL", must))?);
            }
            "BYDAY" => {
                let days = value.split(',').map(by_day).collect::<Option<_>>();
                self.days =
                    days.ok_or_else(|| bad("BYDAY", "days such as MO,TU or 1SU or -1FR"))?;
            }
            "BYMONTHDAY" => {
                let days = numbers(value, &(-31..=31));
                self.month_days =
                    days.ok_or_else(|| bad("BYMONTHDAY", "days from 1 to 31 or -31 to -1"))?;
            }
            "BYMONTH" => {
                let months = numbers(value, &(1..=12));
                self.months = months.ok_or_else(|| bad("BYMONTH", "months from 1 to 12"))?;
            }
            "BYSETPOS" => {
                let positions = numbers(value, &(-366..=366));
                self.positions = positions
                    .ok_or_else(|| bad("BYSETPOS", "numbers from 1 to 366, or negative"))?;
            }
            "WKST" => {
                self.week_start = weekday(value).ok_or_else(|| bad("WKST", "a day such as MO"))?;
            }
            _ => return Err(RuleError::Unsupported { name: name.to_owned() }),
        }
        Ok(())
    }

    /// What the RFC forbids, or nobody can mean.
    fn contradiction(&self) -> Option<&'static str> {
        let is_short = matches!(self.frequency, Frequency::Daily | Frequency::Weekly);
        let has_by =
            !self.days.is_empty() || !self.month_days.is_empty() || !self.months.is_empty();
        if self.count.is_some() && self.until.is_some() {
            Some("says both COUNT and UNTIL: one of them ends it")
        } else if is_short && self.days.iter().any(|(nth, _)| nth.is_some()) {
            Some("BYDAY counts days, such as 1SU, only with FREQ=MONTHLY or YEARLY")
        } else if self.frequency == Frequency::Weekly && !self.month_days.is_empty() {
            Some("BYMONTHDAY does not go with FREQ=WEEKLY")
        } else if !self.positions.is_empty() && !has_by {
            Some("BYSETPOS needs BYDAY, BYMONTHDAY or BYMONTH beside it")
        } else {
            None
        }
    }

    /// Whether it ends by itself.
    pub fn is_endless(&self) -> bool {
        self.count.is_none() && self.until.is_none()
    }

    /// The days, by the calendar, from `first` on; `moment` is when that day's begins, which an
    /// `UNTIL` with a time is compared with. It ends with the rule, or after [`YEARS_MAX`].
    pub(crate) fn days<'a>(
        &'a self,
        first: Day,
        moment: impl Fn(civil::Date) -> Option<Timestamp> + 'a,
    ) -> impl Iterator<Item = Day> + 'a {
        let first = first.0;
        let horizon = first.checked_add(YEARS_MAX.years()).unwrap_or(civil::Date::MAX);
        let all = (0..)
            .map_while(move |at| self.period(first, at))
            .take_while(move |period| *period.start() <= horizon)
            .flat_map(move |period| self.chosen(&period, first));
        let is_in_time = move |date: &civil::Date| match self.until {
            None => true,
            Some(Until::Day(last)) => *date <= last,
            Some(Until::At(last)) => moment(*date).is_some_and(|at| at <= last),
        };
        let count = self.count.map_or(usize::MAX, |count| count as usize);
        all.filter(move |date| first <= *date).take(count).take_while(is_in_time).map(Day)
    }

    /// The first and the last day of a period; `None` beyond the calendar.
    fn period(&self, first: civil::Date, at: i64) -> Option<RangeInclusive<civil::Date>> {
        let steps = at.checked_mul(i64::from(self.interval))?;
        match self.frequency {
            Frequency::Daily => {
                let day = first.checked_add(steps.days()).ok()?;
                Some(day..=day)
            }
            Frequency::Weekly => {
                let back = self.week_start.until(first.weekday());
                let begin = first.checked_sub(i64::from(back).days()).ok()?;
                let begin = begin.checked_add(steps.checked_mul(7)?.days()).ok()?;
                Some(begin..=begin.checked_add(6.days()).ok()?)
            }
            Frequency::Monthly => {
                let begin = first.first_of_month().checked_add(steps.months()).ok()?;
                Some(begin..=begin.last_of_month())
            }
            Frequency::Yearly => {
                let begin = first.first_of_year().checked_add(steps.years()).ok()?;
                Some(begin..=begin.last_of_year())
            }
        }
    }

    /// The days of a period that the rule names.
    fn chosen(&self, period: &RangeInclusive<civil::Date>, first: civil::Date) -> Vec<civil::Date> {
        let mut day = Some(*period.start());
        let mut named = Vec::new();
        while let Some(date) = day.filter(|date| date <= period.end()) {
            if self.names(date, first) {
                named.push(date);
            }
            day = date.tomorrow().ok();
        }
        if self.positions.is_empty() {
            return named;
        }
        let len = i32::try_from(named.len()).unwrap_or(i32::MAX);
        let is_there = |at: i32| self.positions.iter().any(|p| *p == at + 1 || *p == at - len);
        (0..len).zip(named).filter(|(at, _)| is_there(*at)).map(|(_, date)| date).collect()
    }

    /// Whether the rule names a day of its period.
    ///
    /// 1 - Each of `BYMONTH`, `BYMONTHDAY` and `BYDAY` that is there must name it.
    /// 2 - Without a day named, it is the first one's: its weekday each week, its day each month,
    ///     its day and, unless months are named, its month each year.
    fn names(&self, date: civil::Date, first: civil::Date) -> bool {
        let (day, last) = (i32::from(date.day()), i32::from(date.days_in_month()));
        let is_month = self.months.is_empty() || self.months.contains(&i32::from(date.month()));
        if !is_month {
            return false;
        }
        if self.days.is_empty() && self.month_days.is_empty() {
            return match self.frequency {
                Frequency::Daily => true,
                Frequency::Weekly => date.weekday() == first.weekday(),
                Frequency::Monthly => date.day() == first.day(),
                Frequency::Yearly => {
                    let is_same_month = !self.months.is_empty() || date.month() == first.month();
                    is_same_month && date.day() == first.day()
                }
            };
        }
        let is_month_day = self.month_days.is_empty()
            || self.month_days.iter().any(|of| *of == day || *of == day - last - 1);
        is_month_day
            && (self.days.is_empty() || self.days.iter().any(|of| self.is_by_day(*of, date)))
    }

    fn is_by_day(&self, (nth, weekday): ByDay, date: civil::Date) -> bool {
        if date.weekday() != weekday {
            return false;
        }
        let Some(nth) = nth else { return true };
        let is_of_year = self.frequency == Frequency::Yearly && self.months.is_empty();
        let (day, last) = if is_of_year {
            (i32::from(date.day_of_year()), i32::from(date.days_in_year()))
        } else {
            (i32::from(date.day()), i32::from(date.days_in_month()))
        };
        (day - 1) / 7 + 1 == nth || (day - last) / 7 - 1 == nth
    }
}

/// Numbers but zero, within `range`.
fn numbers(text: &str, range: &RangeInclusive<i32>) -> Option<Vec<i32>> {
    let number = |text: &str| text.parse().ok().filter(|n| *n != 0 && range.contains(n));
    text.split(',').map(number).collect()
}

fn by_day(text: &str) -> Option<ByDay> {
    let (nth, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let nth = match nth {
        "" => None,
        nth => Some(nth.parse().ok().filter(|n: &i32| *n != 0 && (-53..=53).contains(n))?),
    };
    Some((nth, weekday(name)?))
}

fn weekday(text: &str) -> Option<civil::Weekday> {
    Some(match text {
        "MO" => civil::Weekday::Monday,
        "TU" => civil::Weekday::Tuesday,
        "WE" => civil::Weekday::Wednesday,
        "TH" => civil::Weekday::Thursday,
        "FR" => civil::Weekday::Friday,
        "SA" => civil::Weekday::Saturday,
        "SU" => civil::Weekday::Sunday,
        _ => return None,
    })
}

fn until(text: &str) -> Option<Until> {
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| text.parse::<i8>().ok();
    let date = |text: &str| {
        let (year, rest) = text.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        let is_date = text.len() == 8 && is_digits(text);
        let date = civil::Date::new(year.parse().ok()?, number(month)?, number(day)?).ok()?;
        is_date.then_some(date)
    };
    let Some((day, time)) = text.split_once('T') else { return date(text).map(Until::Day) };
    let time = time.strip_suffix('Z').filter(|time| time.len() == 6 && is_digits(time))?;
    let (hour, rest) = time.split_at_checked(2)?;
    let (minute, second) = rest.split_at_checked(2)?;
    let time = civil::Time::new(number(hour)?, number(minute)?, number(second)?, 0).ok()?;
    let at = TimeZone::UTC.to_timestamp(date(day)?.to_datetime(time)).ok()?;
    Some(Until::At(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first days of a rule, from a day on.
    #[track_caller]
    fn check(first: &str, rule: &str, expected: &str) {
        let rule = Rule::parse(rule).expect("a good rule");
        let midnight = |date: civil::Date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok();
        let days = rule.days(Day::parse(first).expect("a day"), midnight);
        let days: Vec<String> =
            days.take(5).map(|day| day.0.strftime("%y-%m-%d").to_string()).collect();
        assert_eq!(days.join(" "), expected, "{rule} from {first}");
    }

    #[test]
    fn days_come_by_their_period_and_by_what_names_them() {
        check("2026-01-05", "FREQ=DAILY", "26-01-05 26-01-06 26-01-07 26-01-08 26-01-09");
        check("2026-01-05", "FREQ=DAILY;INTERVAL=10;COUNT=2", "26-01-05 26-01-15");
        check("2026-01-05", "RRULE:freq=weekly", "26-01-05 26-01-12 26-01-19 26-01-26 26-02-02");
        check("2026-01-05", "FREQ=DAILY;BYDAY=SA,SU;UNTIL=20260117", "26-01-10 26-01-11 26-01-17");
        check(
            "2026-01-06",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH;COUNT=4",
            "26-01-06 26-01-08 26-01-20 26-01-22",
        );
        // The RFC's own: which week a Sunday is of depends on where weeks begin.
        check(
            "1997-08-05",
            "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
            "97-08-05 97-08-10 97-08-19 97-08-24",
        );
        check(
            "1997-08-05",
            "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
            "97-08-05 97-08-17 97-08-19 97-08-31",
        );
    }

    #[test]
    fn months_without_that_day_are_left_out_and_the_last_one_is_counted_from_the_end() {
        check("2026-01-31", "FREQ=MONTHLY;COUNT=3", "26-01-31 26-03-31 26-05-31");
        check("2026-01-31", "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", "26-01-31 26-02-28 26-03-31");
        check("2026-01-04", "FREQ=MONTHLY;BYDAY=1SU;COUNT=3", "26-01-04 26-02-01 26-03-01");
        check("2026-01-30", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=3", "26-01-30 26-02-27 26-03-27");
        check(
            "2026-01-30",
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3",
            "26-01-30 26-02-27 26-03-31",
        );
        check(
            "2026-02-13",
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;COUNT=3",
            "26-02-13 26-03-13 26-11-13",
        );
        check("2024-02-29", "FREQ=YEARLY;COUNT=2", "24-02-29 28-02-29");
        check("2026-03-10", "FREQ=YEARLY;BYMONTH=3,9;COUNT=3", "26-03-10 26-09-10 27-03-10");
        check("1997-05-19", "FREQ=YEARLY;BYDAY=20MO;COUNT=3", "97-05-19 98-05-18 99-05-17");
        check("2026-03-29", "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;COUNT=2", "26-03-29 27-03-28");
    }

    #[test]
    fn it_ends_with_the_last_day_or_moment_that_is_said() {
        check("2026-01-05", "FREQ=WEEKLY;UNTIL=20260112", "26-01-05 26-01-12");
        check("2026-01-05", "FREQ=WEEKLY;UNTIL=20260112T000000Z", "26-01-05 26-01-12");
        check("2026-01-05", "FREQ=WEEKLY;UNTIL=20260111T235959Z", "26-01-05");
        check("2026-01-05", "FREQ=MONTHLY;BYMONTHDAY=30;BYMONTH=2", "");
    }

    #[test]
    fn what_is_not_kept_is_refused_by_name() {
        for (text, reason) in [
            ("", "`` is not of the form"),
            ("INTERVAL=2", "has no FREQ"),
            ("FREQ=HOURLY", "`FREQ=HOURLY`: must be DAILY"),
            ("FREQ=DAILY;BYHOUR=2", "`BYHOUR` is not supported"),
            ("FREQ=DAILY;FREQ=DAILY", "says `FREQ` twice"),
            ("FREQ=DAILY;COUNT=0", "`COUNT=0`: must be a number from 1"),
            ("FREQ=DAILY;COUNT=1;UNTIL=20270101", "both COUNT and UNTIL"),
            ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY counts days"),
            ("FREQ=WEEKLY;BYMONTHDAY=1", "does not go with"),
            ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS needs"),
            ("FREQ=DAILY;UNTIL=2027-01-01", "`UNTIL=2027-01-01`: must be a day"),
            ("FREQ=MONTHLY;BYMONTHDAY=0", "must be days from 1"),
            ("FREQ=MONTHLY;BYDAY=XX", "must be days such as"),
        ] {
            let error = Rule::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Rule::parse(&"X".repeat(501)).is_err());
    }
}
