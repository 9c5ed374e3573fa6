//! Maintenance: when somebody works on what, once or again and again.
//!
//! A window says what it covers and gives its occurrences; what follows for incidents is decided
//! in `engine`.
//!
//! 1 - The clock time of the first occurrence is kept in its zone, through every change of daylight
//!     saving. One that a day does not have begins as much later as the clock was put on; of one
//!     that it has twice, the first counts. So says RFC 5545.
//! 2 - Each lasts as long as the first, in elapsed time, unless it was ended early or extended.
//! 3 - Days that are left out have none, and still count towards a `COUNT`.
//! 4 - A window that was cancelled has none from then on; the one that runs then ends then.

use std::{fmt, time::Duration};

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::{
    UtcMicros,
    recurrence::{Day, Rule},
    topology::words,
};

/// Things that one window covers; whoever has more says a site, a tag or all.
pub const COVERS_MAX: usize = 200;
/// The longest occurrence: whoever works longer plans again, and somebody looks at it.
pub const DURATION_MAX: Duration = Duration::from_secs(31 * 86_400);
/// The shortest: less is over before anybody is told of anything.
pub const DURATION_MIN: Duration = Duration::from_secs(60);
/// Days that are left out: of a daily window a year of them.
pub const EXCEPT_MAX: usize = 366;
/// Occurrences that were ended early or extended: of a weekly window twenty years of them.
pub const AMENDED_MAX: usize = 1_000;
/// Occurrences that are given at once.
pub const OCCURRENCES_MAX: usize = 1_000;
/// Bytes of what is covered: as long as an element's id may be.
const COVER_BYTES_MAX: usize = 255;

words! {
    /// What sort of thing a window covers.
    CoverKind {
        /// An element of the topology, by its id, with what cannot be without it.
        Element = "element",
        /// A target, by its name.
        Target = "target",
        /// Every target that has a tag.
        Tag = "tag",
        /// Everything of the organisation.
        All = "all",
    }
}

/// Something that a window covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cover {
    kind: CoverKind,
    /// Empty of all.
    name: String,
}

impl Cover {
    /// # Errors
    ///
    /// Which rule it breaks.
    pub fn parse(kind: CoverKind, name: &str) -> Result<Cover, String> {
        match (kind, name) {
            (CoverKind::All, "") => {}
            (CoverKind::All, _) => return Err("`all` has no name".to_owned()),
            (CoverKind::Element | CoverKind::Target | CoverKind::Tag, "") => {
                return Err(format!("says of a {kind} no name"));
            }
            (CoverKind::Element | CoverKind::Target | CoverKind::Tag, name) => {
                if COVER_BYTES_MAX < name.len() || name.chars().any(char::is_control) {
                    return Err(format!(
                        "has at most {COVER_BYTES_MAX} bytes and no control characters"
                    ));
                }
            }
        }
        Ok(Cover { kind, name: name.to_owned() })
    }

    pub fn kind(&self) -> CoverKind {
        self.kind
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// `site FRA1` of an element named FRA1 is just `FRA1`; the others say what they are.
impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            CoverKind::All => f.write_str("everything"),
            CoverKind::Element => f.write_str(&self.name),
            CoverKind::Target | CoverKind::Tag => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A zone of the IANA database, which comes with this program: the same rules on every machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Finds a zone such as `Europe/Berlin`.
    pub fn parse(name: &str) -> Option<Zone> {
        let zone = TimeZone::get(name).ok()?;
        // As the database writes it, whatever letters were given.
        let name = zone.iana_name()?.to_owned();
        Some(Zone { name, zone })
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Reads a moment: RFC 3339, or a clock time there such as `2026-03-22T02:30`.
    pub fn read(&self, text: &str) -> Option<UtcMicros> {
        UtcMicros::parse(text).or_else(|| {
            let at = self.moment(text.parse().ok()?)?;
            Some(UtcMicros(at.as_microsecond()))
        })
    }

    /// A moment by the clocks there, with their offset: `2026-03-29T03:30:00+02:00`.
    pub fn tell(&self, at: UtcMicros) -> String {
        let Ok(timestamp) = Timestamp::from_microsecond(at.0) else { return at.to_string() };
        timestamp.display_with_offset(self.zone.to_offset(timestamp)).to_string()
    }

    /// The day by the clocks there.
    pub fn day(&self, at: UtcMicros) -> Day {
        Day(self.date_time(at).map_or(civil::Date::MAX, civil::DateTime::date))
    }

    fn date_time(&self, at: UtcMicros) -> Option<civil::DateTime> {
        Some(self.zone.to_datetime(Timestamp::from_microsecond(at.0).ok()?))
    }

    /// Rule 1 is what the library calls compatible.
    fn moment(&self, date_time: civil::DateTime) -> Option<Timestamp> {
        self.zone.to_timestamp(date_time).ok()
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name).finish()
    }
}

/// One time that a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    pub start: UtcMicros,
    /// The first moment after it.
    pub end: UtcMicros,
}

impl Occurrence {
    pub fn holds(&self, at: UtcMicros) -> bool {
        self.start <= at && at < self.end
    }
}

/// An occurrence that ends at another time than planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amended {
    pub start: UtcMicros,
    pub end: UtcMicros,
}

/// When a window is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    start: UtcMicros,
    end: UtcMicros,
    zone: Zone,
    rule: Option<Rule>,
    /// Days by the clock of the zone, sorted.
    except: Vec<Day>,
    amended: Vec<Amended>,
    cancelled_at: Option<UtcMicros>,
}

/// Why a window cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("must be after the start")]
    Backwards,
    #[error("is less than a minute after the start")]
    TooShort,
    #[error("is more than 31 days after the start: plan several windows, or one that recurs")]
    TooLong,
    #[error("does not name the day of the start: begin on a day that it names")]
    StartNotNamed,
    #[error("are of a window that recurs alone")]
    ExceptWithoutRule,
    #[error("are at most {EXCEPT_MAX} days")]
    TooManyExcept,
    #[error("leaves no occurrence")]
    Never,
    #[error("is beyond the calendar")]
    BeyondCalendar,
}

impl Window {
    /// # Errors
    ///
    /// As [`WindowError`] says.
    pub fn new(
        (start, end): (UtcMicros, UtcMicros),
        zone: Zone,
        rule: Option<Rule>,
        mut except: Vec<Day>,
    ) -> Result<Window, WindowError> {
        if end <= start {
            return Err(WindowError::Backwards);
        }
        let lasts = end.since(start);
        if lasts < DURATION_MIN {
            return Err(WindowError::TooShort);
        }
        if DURATION_MAX < lasts {
            return Err(WindowError::TooLong);
        }
        if rule.is_none() && !except.is_empty() {
            return Err(WindowError::ExceptWithoutRule);
        }
        except.sort_unstable();
        except.dedup();
        if EXCEPT_MAX < except.len() {
            return Err(WindowError::TooManyExcept);
        }
        let first = zone.date_time(start).ok_or(WindowError::BeyondCalendar)?;
        let window =
            Window { start, end, zone, rule, except, amended: Vec::new(), cancelled_at: None };
        if window.rule.is_some() && window.days().next() != Some(Day(first.date())) {
            return Err(WindowError::StartNotNamed);
        }
        if window.planned().next().is_none() {
            return Err(WindowError::Never);
        }
        Ok(window)
    }

    /// One that was checked when it was made: rules of zones change, and what is stored stays.
    pub fn stored(
        (start, end): (UtcMicros, UtcMicros),
        zone: Zone,
        rule: Option<Rule>,
        except: Vec<Day>,
    ) -> Window {
        Window { start, end, zone, rule, except, amended: Vec::new(), cancelled_at: None }
    }

    /// The same, as it was changed while it ran: ended early, extended, cancelled.
    pub fn amended(self, amended: Vec<Amended>, cancelled_at: Option<UtcMicros>) -> Window {
        Window { amended, cancelled_at, ..self }
    }

    pub fn start(&self) -> UtcMicros {
        self.start
    }

    /// The end of the first occurrence, as it was planned.
    pub fn end(&self) -> UtcMicros {
        self.end
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    pub fn except(&self) -> &[Day] {
        &self.except
    }

    pub fn amendments(&self) -> &[Amended] {
        &self.amended
    }

    pub fn cancelled_at(&self) -> Option<UtcMicros> {
        self.cancelled_at
    }

    /// Occurrences that touch the time from `from` until before `to`, the first ones, at most
    /// `max` and [`OCCURRENCES_MAX`].
    pub fn occurrences(&self, (from, to): (UtcMicros, UtcMicros), max: usize) -> Vec<Occurrence> {
        let touches = |one: &Occurrence| from < one.end;
        let all = self.planned().map(|one| self.as_it_ran(one));
        let all = all.take_while(|one| one.start < to).filter(|one| one.start < one.end);
        all.filter(touches).take(max.min(OCCURRENCES_MAX)).collect()
    }

    /// The occurrences that run, the one that ends last at the end: a window that is longer than
    /// its pause runs twice at once.
    pub fn running(&self, now: UtcMicros) -> Vec<Occurrence> {
        let moment = (now, UtcMicros(now.0.saturating_add(1)));
        let mut running = self.occurrences(moment, OCCURRENCES_MAX);
        running.sort_by_key(|one| one.end);
        running
    }

    /// The end of the last occurrence; `None` of a window that recurs without end. One that was
    /// cancelled before it began ended then.
    pub fn ends(&self) -> Option<UtcMicros> {
        if let Some(at) = self.cancelled_at {
            return Some(self.last(at).map_or(at, |last| last.end));
        }
        if self.rule.as_ref().is_some_and(Rule::is_endless) {
            return None;
        }
        let all = self.planned().map(|one| self.as_it_ran(one));
        Some(all.map(|one| one.end).max().unwrap_or(self.end))
    }

    /// The occurrence that begins next.
    pub fn next(&self, now: UtcMicros) -> Option<Occurrence> {
        let all = self.planned().map(|one| self.as_it_ran(one));
        all.filter(|one| one.start < one.end).find(|one| now < one.start)
    }

    /// The last one that began; a running one too.
    pub fn last(&self, now: UtcMicros) -> Option<Occurrence> {
        let all = self.planned().map(|one| self.as_it_ran(one));
        let begun = all.take_while(|one| one.start <= now);
        begun.filter(|one| one.start < one.end).last()
    }

    /// Whether an occurrence is not at the clock time of the first, or the clocks change in it.
    pub fn is_bent(&self, one: Occurrence) -> bool {
        let offset = |at: UtcMicros| {
            let at = Timestamp::from_microsecond(at.0).ok()?;
            Some(self.zone.zone.to_offset(at))
        };
        let time = |at| self.zone.date_time(at).map(civil::DateTime::time);
        offset(one.start) != offset(one.end) || time(one.start) != time(self.start)
    }

    fn days(&self) -> Box<dyn Iterator<Item = Day> + '_> {
        let Some(first) = self.zone.date_time(self.start) else {
            return Box::new(std::iter::empty());
        };
        let day = Day(first.date());
        let at = move |date: civil::Date| self.zone.moment(date.to_datetime(first.time()));
        match &self.rule {
            None => Box::new(std::iter::once(day)),
            Some(rule) => Box::new(rule.days(day, at)),
        }
    }

    /// As planned, without the days that are left out.
    fn planned(&self) -> impl Iterator<Item = Occurrence> + '_ {
        let lasts = self.end.since(self.start);
        let first = self.zone.date_time(self.start);
        let days = self.days().filter(|day| self.except.binary_search(day).is_err());
        days.filter_map(move |day| {
            let at = self.zone.moment(day.0.to_datetime(first?.time()))?;
            let is_first = day.0 == first?.date();
            // Of a clock time that the first day has twice, the one that was said.
            let start = if is_first { self.start } else { UtcMicros(at.as_microsecond()) };
            Some(Occurrence { start, end: start + lasts })
        })
    }

    fn as_it_ran(&self, planned: Occurrence) -> Occurrence {
        let amended = self.amended.iter().rfind(|one| one.start == planned.start);
        let end = amended.map_or(planned.end, |amended| amended.end);
        let end = self.cancelled_at.map_or(end, |at| end.min(at.max(planned.start)));
        Occurrence { end, ..planned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcMicros {
        UtcMicros::parse(text).expect("a time")
    }

    fn berlin() -> Zone {
        Zone::parse("europe/berlin").expect("a zone")
    }

    fn window(start: &str, end: &str, rule: &str, except: &[&str]) -> Result<Window, WindowError> {
        let rule = (!rule.is_empty()).then(|| Rule::parse(rule).expect("a rule"));
        let except = except.iter().map(|day| Day::parse(day).expect("a day")).collect();
        Window::new((at(start), at(end)), berlin(), rule, except)
    }

    /// Occurrences by the clocks in Berlin, as `START END`.
    fn told(window: &Window, from: &str, to: &str) -> Vec<String> {
        let all = window.occurrences((at(from), at(to)), OCCURRENCES_MAX);
        let tell = |one: &Occurrence| {
            format!("{} {}", window.zone.tell(one.start), window.zone.tell(one.end))
        };
        all.iter().map(tell).collect()
    }

    #[test]
    fn a_zone_is_found_by_its_name_and_told_as_the_database_writes_it() {
        assert_eq!(berlin().as_str(), "Europe/Berlin");
        assert_eq!(Zone::parse("UTC").expect("a zone").as_str(), "UTC");
        for name in ["", "Berlin", "CEST", "+02:00"] {
            assert!(Zone::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_moment_is_read_with_its_offset_or_by_the_clocks_there() {
        for (text, read) in [
            ("2026-03-22T01:30:00Z", Some("2026-03-22T01:30:00Z")),
            ("2026-03-22T02:30:00+01:00", Some("2026-03-22T01:30:00Z")),
            ("2026-03-22T02:30", Some("2026-03-22T01:30:00Z")),
            // It does not exist, and is there twice.
            ("2026-03-29T02:30", Some("2026-03-29T01:30:00Z")),
            ("2026-10-25T02:30:00", Some("2026-10-25T00:30:00Z")),
            ("half past two", None),
        ] {
            assert_eq!(berlin().read(text), read.map(at), "{text}");
        }
    }

    #[test]
    fn it_ends_with_its_last_occurrence_unless_it_recurs_without_end() {
        let ends = |rule| {
            let window = window("2026-06-01T20:00:00Z", "2026-06-01T22:00:00Z", rule, &[]);
            window.expect("a window").ends()
        };
        assert_eq!(ends(""), Some(at("2026-06-01T22:00:00Z")));
        assert_eq!(ends("FREQ=DAILY;COUNT=3"), Some(at("2026-06-03T22:00:00Z")));
        assert_eq!(ends("FREQ=DAILY"), None);
        let daily = window("2026-06-01T20:00:00Z", "2026-06-01T22:00:00Z", "FREQ=DAILY", &[]);
        let daily = daily.expect("a window");
        let cancelled = |when| daily.clone().amended(Vec::new(), Some(at(when))).ends();
        assert_eq!(cancelled("2026-05-30T12:00:00Z"), Some(at("2026-05-30T12:00:00Z")));
        assert_eq!(cancelled("2026-06-02T12:00:00Z"), Some(at("2026-06-01T22:00:00Z")));
        assert_eq!(cancelled("2026-06-02T21:00:00Z"), Some(at("2026-06-02T21:00:00Z")));
    }

    /// 02:30 does not exist on 29 March 2026, and is there twice on 25 October.
    #[test]
    fn a_weekly_window_at_half_past_two_keeps_its_clock_time_over_both_changes() {
        let weekly = window("2026-03-22T01:30:00Z", "2026-03-22T03:30:00Z", "FREQ=WEEKLY", &[]);
        let weekly = weekly.expect("a window");
        assert_eq!(
            told(&weekly, "2026-03-20T00:00:00Z", "2026-04-08T00:00:00Z"),
            [
                "2026-03-22T02:30:00+01:00 2026-03-22T04:30:00+01:00",
                "2026-03-29T03:30:00+02:00 2026-03-29T05:30:00+02:00",
                "2026-04-05T02:30:00+02:00 2026-04-05T04:30:00+02:00",
            ]
        );
        let time = (at("2026-03-20T00:00:00Z"), at("2026-11-02T00:00:00Z"));
        let all = weekly.occurrences(time, OCCURRENCES_MAX);
        let bent = all.iter().filter(|one| weekly.is_bent(**one));
        let bent: Vec<String> = bent.map(|one| weekly.zone.day(one.start).to_string()).collect();
        assert_eq!(bent, ["2026-03-29", "2026-10-25"], "and those are said to be");
        assert_eq!(
            told(&weekly, "2026-10-17T00:00:00Z", "2026-11-02T00:00:00Z"),
            [
                "2026-10-18T02:30:00+02:00 2026-10-18T04:30:00+02:00",
                "2026-10-25T02:30:00+02:00 2026-10-25T03:30:00+01:00",
                "2026-11-01T02:30:00+01:00 2026-11-01T04:30:00+01:00",
            ]
        );
    }

    #[test]
    fn the_first_occurrence_is_when_it_was_said_also_in_the_hour_that_is_there_twice() {
        let second =
            window("2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z", "FREQ=DAILY;COUNT=2", &[]);
        assert_eq!(
            told(&second.expect("a window"), "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            [
                "2026-10-25T02:30:00+01:00 2026-10-25T03:30:00+01:00",
                "2026-10-26T02:30:00+01:00 2026-10-26T03:30:00+01:00",
            ]
        );
    }

    #[test]
    fn days_that_are_left_out_have_none_and_still_count() {
        let rule = "FREQ=WEEKLY;COUNT=3";
        let weekly = window("2026-12-17T22:30:00Z", "2026-12-18T00:30:00Z", rule, &["2026-12-24"]);
        let weekly = weekly.expect("a window");
        assert_eq!(
            told(&weekly, "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z"),
            [
                "2026-12-17T23:30:00+01:00 2026-12-18T01:30:00+01:00",
                "2026-12-31T23:30:00+01:00 2027-01-01T01:30:00+01:00",
            ]
        );
        assert_eq!(
            weekly.next(at("2026-12-18T00:00:00Z")).map(|one| one.start),
            Some(at("2026-12-31T22:30:00Z"))
        );
        assert_eq!(weekly.next(at("2027-01-01T00:00:00Z")), None);
    }

    #[test]
    fn one_that_was_ended_extended_or_cancelled_ends_then_and_the_others_as_planned() {
        let daily = window("2026-06-01T20:00:00Z", "2026-06-01T22:00:00Z", "FREQ=DAILY", &[]);
        let amend = |start, end| Amended { start: at(start), end: at(end) };
        let amended = vec![
            amend("2026-06-01T20:00:00Z", "2026-06-01T20:30:00Z"),
            amend("2026-06-02T20:00:00Z", "2026-06-02T23:00:00Z"),
        ];
        let daily = daily.expect("a window").amended(amended, Some(at("2026-06-04T21:00:00Z")));
        assert_eq!(
            told(&daily, "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"),
            [
                "2026-06-01T22:00:00+02:00 2026-06-01T22:30:00+02:00",
                "2026-06-02T22:00:00+02:00 2026-06-03T01:00:00+02:00",
                "2026-06-03T22:00:00+02:00 2026-06-04T00:00:00+02:00",
                "2026-06-04T22:00:00+02:00 2026-06-04T23:00:00+02:00",
            ]
        );
        assert_eq!(daily.running(at("2026-06-01T20:30:00Z")), [], "it ended then");
        assert_eq!(daily.running(at("2026-06-02T22:59:59Z")).len(), 1);
        assert_eq!(daily.next(at("2026-06-04T21:00:00Z")), None);
        let last = daily.last(at("2026-06-20T00:00:00Z")).map(|one| one.end);
        assert_eq!(last, Some(at("2026-06-04T21:00:00Z")));
    }

    #[test]
    fn one_that_is_longer_than_its_pause_runs_twice_at_once() {
        let long = window("2026-06-01T20:00:00Z", "2026-06-03T02:00:00Z", "FREQ=DAILY", &[]);
        let ends = long.expect("a window").running(at("2026-06-02T21:00:00Z"));
        let ends: Vec<_> = ends.iter().map(|one| one.end).collect();
        assert_eq!(ends, [at("2026-06-03T02:00:00Z"), at("2026-06-04T02:00:00Z")]);
    }

    #[test]
    fn what_cannot_be_a_window_says_why() {
        let start = "2026-06-01T20:00:00Z"; // a Monday
        for (end, rule, except, error) in [
            (start, "", &[][..], WindowError::Backwards),
            ("2026-06-01T20:00:59Z", "", &[], WindowError::TooShort),
            ("2026-07-03T20:00:00Z", "", &[], WindowError::TooLong),
            ("2026-06-01T22:00:00Z", "FREQ=WEEKLY;BYDAY=TU", &[], WindowError::StartNotNamed),
            ("2026-06-01T22:00:00Z", "", &["2026-06-01"], WindowError::ExceptWithoutRule),
            ("2026-06-01T22:00:00Z", "FREQ=DAILY;COUNT=1", &["2026-06-01"], WindowError::Never),
        ] {
            assert_eq!(window(start, end, rule, except), Err(error), "{rule}");
        }
        let far = window("2026-06-01T20:00:00Z", "2026-06-01T22:00:00Z", "FREQ=DAILY", &[]);
        let many = far.expect("a window").occurrences((at(start), UtcMicros(i64::MAX)), usize::MAX);
        assert_eq!(many.len(), OCCURRENCES_MAX, "it is bounded");
    }

    #[test]
    fn what_is_covered_has_a_name_unless_it_is_all() {
        assert!(Cover::parse(CoverKind::All, "").is_ok());
        assert!(Cover::parse(CoverKind::All, "x").is_err());
        assert!(Cover::parse(CoverKind::Element, "").is_err());
        assert!(Cover::parse(CoverKind::Tag, "a\nb").is_err());
        assert_eq!(Cover::parse(CoverKind::Tag, "vip").expect("good").to_string(), "tag vip");
    }
}
