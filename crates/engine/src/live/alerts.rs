//! Targets that are down, and nobody was told of.
//!
//! Root cause speaks of what it can name. What it cannot name is down all the same:
//!
//! 1 - A target that is down and that no incident people know explains is told: soon if it stands
//!     nowhere in the topology, else once root cause had its time.
//! 2 - Those that went down together are one alert. Who goes down once it is told is another:
//!     nobody is added to what people know without a message.
//! 3 - It is over when each of them answers again, or is asked no more. Silence ends nothing.
//! 4 - It ends in the incident that people are told of later, when that explains all that is left.
//! 5 - What is down again soon is the same alert again.
//! 6 - When there are too many, what is new joins the last one.

use std::collections::{BTreeMap, BTreeSet};

use model::UtcMicros;

use super::{
    kept::Kept,
    told::{Hit, NAMES_MAX, Told},
};
use crate::rca::{Change, IncidentId, Message, REOPEN_US, text::clock};

/// A blink is over by then, and those that fail together are down by then.
const UNPLACED_AFTER_US: i64 = 20_000_000;
/// Four rounds of the usual half minute: root cause needs no more to tell what it will tell.
const PLACED_AFTER_US: i64 = 90_000_000;
/// Targets asked each half minute are down within two rounds of each other.
const TOGETHER_US: i64 = 60_000_000;
/// Open at once: nobody reads more messages than that.
const ALERTS_MAX: usize = 20;
/// Of which the names are followed; others are down unnoticed beside so many.
const FOLLOWED_MAX: usize = 5_000;
/// Closed ones that may come back.
const REMEMBERED_MAX: usize = 100;
/// Ids of alerts begin here, so that they are none of the incidents'.
const FIRST_ID: u32 = 1 << 31;
/// Names in a sentence.
const NAMED_MAX: usize = 3;

/// What the verdicts say of an organisation's targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Out {
    /// Down, since when.
    pub down: BTreeMap<String, UtcMicros>,
    /// Of those that [`Alerts`] follows: nobody knows.
    pub unknown: BTreeSet<String>,
    /// How many targets there are.
    pub total: u64,
}

/// What else is known at one moment.
pub(super) struct Beside<'a> {
    pub(super) now: UtcMicros,
    /// Targets that incidents explain which people know, with one of these.
    pub(super) explained: &'a BTreeMap<String, IncidentId>,
    /// Whether a target stands somewhere in the topology.
    pub(super) is_placed: &'a dyn Fn(&str) -> bool,
    /// Whether anybody is to ask a target.
    pub(super) is_asked: &'a dyn Fn(&str) -> bool,
}

#[derive(Clone, Debug)]
struct Alert {
    id: u32,
    revision: u32,
    onset: UtcMicros,
    /// Every target that it told of, and whether it is still out.
    targets: BTreeMap<String, bool>,
    is_placed: bool,
    closed_at: Option<UtcMicros>,
}

/// All alerts of one organisation.
#[derive(Clone, Debug, Default)]
pub(super) struct Alerts {
    /// Open ones, and those that closed with the last judgement.
    shown: Vec<Alert>,
    closed: Vec<Alert>,
    next: u32,
    total: u64,
}

/// A target that is down and that nobody was told of.
struct News<'a> {
    since: UtcMicros,
    name: &'a str,
    is_placed: bool,
}

impl News<'_> {
    fn is_due(&self, now: UtcMicros) -> bool {
        let after = if self.is_placed { PLACED_AFTER_US } else { UNPLACED_AFTER_US };
        after <= now.0 - self.since.0
    }

    /// Condition 2.
    fn goes_with(&self, onset: UtcMicros, is_placed: bool) -> bool {
        self.is_placed == is_placed && (0..=TOGETHER_US).contains(&(self.since.0 - onset.0))
    }
}

impl Alerts {
    /// Whether an id is one of an alert.
    pub(super) fn is_one(id: u32) -> bool {
        FIRST_ID <= id
    }

    /// Targets whose verdict decides what is over.
    pub(super) fn followed(&self) -> impl Iterator<Item = &str> {
        self.open().flat_map(Alert::out)
    }

    fn open(&self) -> impl Iterator<Item = &Alert> {
        self.shown.iter().filter(|alert| alert.closed_at.is_none())
    }

    /// Takes the verdicts; says what people are told.
    pub(super) fn take(&mut self, out: &Out, beside: &Beside<'_>) -> Vec<Message> {
        let now = beside.now;
        self.total = out.total;
        self.closed.extend(self.shown.extract_if(.., |alert| alert.closed_at.is_some()));
        self.closed.retain(|alert| alert.closed_at.is_some_and(|at| now.0 - at.0 <= REOPEN_US));
        self.closed.drain(..self.closed.len().saturating_sub(REMEMBERED_MAX));
        let mut messages: Vec<Message> =
            self.shown.iter_mut().filter_map(|alert| alert.go_on(out, beside)).collect();
        let known: BTreeSet<String> = self.followed().map(str::to_owned).collect();
        let room = FOLLOWED_MAX.saturating_sub(known.len());
        let is_news = |name: &str| !known.contains(name) && !beside.explained.contains_key(name);
        let mut news: Vec<(UtcMicros, &str)> =
            out.down.iter().map(|(name, since)| (*since, name.as_str())).collect();
        news.retain(|(_, name)| is_news(name));
        news.sort_unstable();
        news.truncate(room);
        let mut news: Vec<News<'_>> = news
            .into_iter()
            .map(|(since, name)| News { since, name, is_placed: (beside.is_placed)(name) })
            .collect();
        while let Some(due) = news.iter().position(|one| one.is_due(now)) {
            let first = news.remove(due);
            let is_with = |one: &mut News<'_>| one.goes_with(first.since, first.is_placed);
            let with = news.extract_if(.., is_with);
            let names: BTreeSet<&str> = with.map(|one| one.name).chain([first.name]).collect();
            messages.extend(self.tell(first.since, &names, first.is_placed));
        }
        messages
    }

    fn tell(
        &mut self,
        onset: UtcMicros,
        names: &BTreeSet<&str>,
        is_placed: bool,
    ) -> Option<Message> {
        if ALERTS_MAX <= self.open().count() {
            let last = self.shown.iter_mut().rfind(|alert| alert.closed_at.is_none())?;
            names.iter().for_each(|name| last.add(name));
            return None;
        }
        let is_back = |alert: &Alert| names.iter().any(|name| alert.targets.contains_key(*name));
        let back = self.closed.iter().position(is_back).map(|at| self.closed.remove(at));
        let change = if back.is_some() { Change::Reopened } else { Change::Opened };
        let mut alert = back.unwrap_or_else(|| {
            self.next += 1;
            let id = FIRST_ID.saturating_add(self.next);
            let targets = BTreeMap::new();
            Alert { id, revision: 0, onset, targets, is_placed, closed_at: None }
        });
        alert.closed_at = None;
        names.iter().for_each(|name| alert.add(name));
        let incident = IncidentId(alert.id);
        self.shown.push(alert);
        Some(Message { incident, change })
    }

    /// What is to be told of all that are shown.
    pub(super) fn told(&self) -> impl Iterator<Item = Told> {
        self.shown.iter().map(|alert| alert.told(self.total))
    }

    /// What is kept of one: targets that were out, of no agent in particular.
    pub(super) fn pairs_of(&self, id: u32) -> Vec<(String, String)> {
        let alert = self.shown.iter().find(|alert| alert.id == id);
        let names = alert.into_iter().flat_map(|alert| alert.targets.keys());
        names.map(|name| (String::new(), name.clone())).collect()
    }

    /// Goes on with one of a process before; says which it is. `None` is none of its own.
    pub(super) fn restore(&mut self, kept: &Kept) -> Option<u32> {
        if !kept.causes.is_empty() || kept.pairs.is_empty() {
            return None;
        }
        self.next += 1;
        let id = FIRST_ID.saturating_add(self.next);
        let is_out = kept.closed_at.is_none();
        let targets = kept.pairs.iter().map(|(_, name)| (name.clone(), is_out)).collect();
        let alert = Alert {
            id,
            revision: kept.revision,
            onset: kept.onset.0,
            targets,
            is_placed: true,
            closed_at: kept.closed_at,
        };
        if is_out { &mut self.shown } else { &mut self.closed }.push(alert);
        Some(id)
    }
}

impl Alert {
    fn out(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter(|(_, is_out)| **is_out).map(|(name, _)| name.as_str())
    }

    fn add(&mut self, name: &str) {
        self.targets.insert(name.to_owned(), true);
        self.revision += 1;
    }

    /// Conditions 3 and 4.
    fn go_on(&mut self, out: &Out, beside: &Beside<'_>) -> Option<Message> {
        for (name, is_out) in self.targets.iter_mut().filter(|(_, is_out)| **is_out) {
            *is_out = out.down.contains_key(name) || out.unknown.contains(name);
            self.revision += u32::from(!*is_out);
        }
        let whole: Option<Vec<IncidentId>> =
            self.out().map(|name| beside.explained.get(name).copied()).collect();
        let change = match whole?.first() {
            None if self.targets.keys().any(|name| (beside.is_asked)(name)) => Change::Resolved,
            None => Change::Unasked,
            Some(into) => Change::Merged { into: *into },
        };
        self.closed_at = Some(beside.now);
        Some(Message { incident: IncidentId(self.id), change })
    }

    fn told(&self, total: u64) -> Told {
        let is_open = self.closed_at.is_none();
        let is_shown = |is_out: bool| is_out || !is_open;
        let names = self.targets.iter().filter(|(_, is_out)| is_shown(**is_out));
        let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        let down = u32::try_from(names.len()).unwrap_or(u32::MAX);
        Told {
            id: self.id,
            revision: self.revision,
            is_open,
            sentence: self.sentence(&names),
            causes: Vec::new(),
            other_probability: 1.0,
            onset: (self.onset, self.onset),
            hit: Hit {
                targets_down: down,
                weight: u64::from(down),
                weight_total: total,
                ..Hit::default()
            },
            suppressed_total: names.len(),
            suppressed: names.into_iter().take(NAMES_MAX).collect(),
        }
    }

    fn sentence(&self, names: &[String]) -> String {
        let (subject, is, stands) = match names {
            [one] => (format!("target {one}"), "is", "it stands"),
            [first @ .., last] if first.len() < NAMED_MAX => {
                (format!("targets {} and {last}", first.join(", ")), "are", "they stand")
            }
            names => {
                let first = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
                (format!("{} targets ({first}, ...)", names.len()), "are", "they stand")
            }
        };
        let since = clock(self.onset);
        if let Some(until) = self.closed_at {
            let was = if is == "is" { "was" } else { "were" };
            return format!("{subject} {was} down, from {since} until {}", clock(until));
        }
        if self.is_placed {
            format!("{subject} {is} down since {since}, and no cause is likely enough to be named")
        } else {
            format!(
                "{subject} {is} down since {since}; {stands} nowhere in the topology, so no cause \
                 can be named"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Plays verdicts: `SECONDS | NAME@SECONDS ...`, since when each is down; `NAME?` nobody
    /// knows; `NAME=3` incident 3 explains it. Names in capitals stand in the topology. Shows what
    /// is told.
    #[track_caller]
    fn check(alerts: &mut Alerts, script: &str, expected: Expect) {
        let mut said = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (now, targets) = line.split_once('|').expect("a time and targets");
            let now: i64 = now.trim().parse().expect("seconds");
            let (mut out, mut explained) = (Out { total: 100, ..Out::default() }, BTreeMap::new());
            for word in targets.split_whitespace() {
                if let Some(name) = word.strip_suffix('?') {
                    out.unknown.insert(name.to_owned());
                } else if let Some((name, id)) = word.split_once('=') {
                    explained.insert(name.to_owned(), IncidentId(id.parse().expect("a number")));
                } else {
                    let (name, since) = word.split_once('@').expect("since when");
                    let since = UtcMicros(since.parse::<i64>().expect("seconds") * SECOND);
                    out.down.insert(name.to_owned(), since);
                }
            }
            let is_placed = |name: &str| name.chars().all(char::is_uppercase);
            let beside = Beside {
                now: UtcMicros(now * SECOND),
                explained: &explained,
                is_placed: &is_placed,
                is_asked: &|name| name != "gone",
            };
            for Message { incident, change } in alerts.take(&out, &beside) {
                let told = alerts.told().find(|told| told.id == incident.0).expect("shown");
                let number = incident.0 - FIRST_ID;
                let nowhere = "nowhere in the topology, so no cause can be named";
                let sentence = told.sentence.replace(nowhere, "nowhere").replace("target ", "");
                let sentence =
                    sentence.replace("no cause is likely enough to be named", "no cause");
                said += &format!("{now} s, {number} {change:?}: {sentence}\n");
            }
        }
        expected.assert_eq(&said);
    }

    #[test]
    fn who_stands_nowhere_is_told_soon_and_who_stands_somewhere_once_root_cause_had_its_time() {
        check(
            &mut Alerts::default(),
            "
            110 | a@100 B@100
            120 | a@100 B@100
            189 | a@100 B@100 C@150
            190 | a@100 B@100 C@150
            ",
            expect![[r#"
                120 s, 1 Opened: a is down since 00:01:40; it stands nowhere
                190 s, 2 Opened: targets B and C are down since 00:01:40, and no cause
            "#]],
        );
    }

    #[test]
    fn what_goes_down_together_is_told_once_and_is_over_when_all_of_it_answers() {
        check(
            &mut Alerts::default(),
            "
            120 | a@100 b@105
            150 | a@100 b@105 c@140
            200 | a@100 b@105 c@140 d@180
            210 | c@140 d@180
            220 | c? d?
            230 | d@180
            240 |
            ",
            expect![[r#"
                120 s, 1 Opened: targets a and b are down since 00:01:40; they stand nowhere
                200 s, 2 Opened: targets c and d are down since 00:02:20; they stand nowhere
                210 s, 1 Resolved: targets a and b were down, from 00:01:40 until 00:03:30
                240 s, 2 Resolved: targets c and d were down, from 00:02:20 until 00:04:00
            "#]],
        );
    }

    #[test]
    fn what_an_incident_explains_that_people_know_is_not_told_and_ends_in_it() {
        check(
            &mut Alerts::default(),
            "
            200 | A@100 A=1
            300 | A@100 A=1 B@200
            310 | A@100 A=1 B@200 B=2
            ",
            expect![[r#"
                300 s, 1 Opened: B is down since 00:03:20, and no cause
                310 s, 1 Merged { into: IncidentId(2) }: B was down, from 00:03:20 until 00:05:10
            "#]],
        );
    }

    #[test]
    fn what_is_asked_no_more_is_over_and_is_not_said_to_answer() {
        check(
            &mut Alerts::default(),
            "
            120 | gone@100
            130 |
            ",
            expect![[r#"
                120 s, 1 Opened: gone is down since 00:01:40; it stands nowhere
                130 s, 1 Unasked: gone was down, from 00:01:40 until 00:02:10
            "#]],
        );
    }

    #[test]
    fn what_is_down_again_soon_is_the_same_and_later_another() {
        check(
            &mut Alerts::default(),
            "
            120 | a@100
            130 |
            160 | a@140
            170 |
            9000 | a@8900
            ",
            expect![[r#"
                120 s, 1 Opened: a is down since 00:01:40; it stands nowhere
                130 s, 1 Resolved: a was down, from 00:01:40 until 00:02:10
                160 s, 1 Reopened: a is down since 00:01:40; it stands nowhere
                170 s, 1 Resolved: a was down, from 00:01:40 until 00:02:50
                9000 s, 2 Opened: a is down since 02:28:20; it stands nowhere
            "#]],
        );
    }

    #[test]
    fn after_a_restart_it_goes_on_untold_and_silence_ends_nothing() {
        let mut before = Alerts::default();
        check(
            &mut before,
            "120 | a@100 b@100",
            expect![[r#"
                120 s, 1 Opened: targets a and b are down since 00:01:40; they stand nowhere
            "#]],
        );
        let pairs = before.pairs_of(FIRST_ID + 1);
        let onset = (UtcMicros(100 * SECOND), UtcMicros(100 * SECOND));
        let kept = Kept { revision: 4, onset, pairs, ..Kept::default() };
        let mut after = Alerts::default();
        assert_eq!(after.restore(&kept), Some(FIRST_ID + 1));
        check(
            &mut after,
            "
            300 | a? b?
            310 | a@305 b?
            320 | b?
            330 |
            ",
            expect![[r#"
                330 s, 1 Resolved: targets a and b were down, from 00:01:40 until 00:05:30
            "#]],
        );
    }

    #[test]
    fn beyond_so_many_alerts_what_is_new_joins_the_last_one() {
        let mut alerts = Alerts::default();
        let name = |at: usize| format!("t{at:02}@{}", at * 100);
        let all = |count: usize| (0..count).map(name).collect::<Vec<_>>().join(" ");
        let mut told = 0;
        for count in 1..=ALERTS_MAX + 2 {
            let before = alerts.shown.len();
            let script = format!("{} | {}", count * 100, all(count));
            let now = UtcMicros(i64::try_from(count * 100).unwrap() * SECOND);
            let down = script.split_whitespace().filter_map(|word| word.split_once('@'));
            let down = down.map(|(name, at)| {
                (name.to_owned(), UtcMicros(at.parse::<i64>().unwrap() * SECOND))
            });
            let out = Out { down: down.collect(), ..Out::default() };
            let beside = Beside {
                now,
                explained: &BTreeMap::new(),
                is_placed: &|_| false,
                is_asked: &|_| true,
            };
            told += alerts.take(&out, &beside).len();
            assert!(alerts.shown.len() <= before + 1);
        }
        assert_eq!(told, ALERTS_MAX);
        assert_eq!(alerts.followed().count(), ALERTS_MAX + 2, "nobody is forgotten");
    }
}
