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
//! 6 - When many were told lately, the next waits a while and tells of all that is due by then.
//! 7 - What comes back again and again is over once it answered for a while.

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
/// So many in an hour are told at once; then one each [`PACE_US`], as nobody reads more.
const BURST_MAX: usize = 10;
const BURST_US: i64 = 3_600_000_000;
const PACE_US: i64 = 300_000_000;
/// So long for each time that it came back, what came back has to answer.
const QUIET_US: i64 = 60_000_000;
const QUIET_US_MAX: i64 = 900_000_000;
/// Names that are followed: who else is down is told once some of these answer.
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
    /// Of those that [`Alerts`] follows: down, or nobody knows.
    pub still: BTreeSet<String>,
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
    /// How often it came back.
    returns: u32,
    /// Since when all of it answers.
    quiet_since: Option<UtcMicros>,
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
    /// Since when is judged without a break: what was down before gets its time too.
    since: Option<UtcMicros>,
    /// Until when each target that is down was explained.
    explained_until: BTreeMap<String, UtcMicros>,
    /// When people were told, in the last hour.
    told_at: Vec<UtcMicros>,
}

/// A target that is down and that nobody was told of.
struct News<'a> {
    since: UtcMicros,
    /// Since when nothing else explains it.
    unexplained: UtcMicros,
    name: &'a str,
    is_placed: bool,
}

impl News<'_> {
    fn is_due(&self, now: UtcMicros) -> bool {
        let after = if self.is_placed { PLACED_AFTER_US } else { UNPLACED_AFTER_US };
        after <= now.0 - self.unexplained.0
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
        let begun = *self.since.get_or_insert(now);
        self.explained_until.retain(|name, _| out.down.contains_key(name));
        let explained = out.down.keys().filter(|name| beside.explained.contains_key(*name));
        self.explained_until.extend(explained.map(|name| (name.clone(), now)));
        let known: BTreeSet<String> = self.followed().map(str::to_owned).collect();
        let is_news = |name: &str| !known.contains(name) && !beside.explained.contains_key(name);
        let news = out.down.iter().filter(|(name, _)| is_news(name));
        let mut news: Vec<News<'_>> = news
            .map(|(name, since)| News {
                since: *since,
                unexplained: self
                    .explained_until
                    .get(name)
                    .copied()
                    .max(Some(*since.max(&begun)))
                    .unwrap_or(now),
                name,
                is_placed: (beside.is_placed)(name),
            })
            .collect();
        news.sort_unstable_by_key(|one| (one.since, one.name));
        news.truncate(FOLLOWED_MAX.saturating_sub(known.len()));
        self.told_at.retain(|at| now.0 - at.0 < BURST_US);
        while let Some(due) = news.iter().position(|one| one.is_due(now)) {
            let last = self.told_at.last().copied();
            let is_many = BURST_MAX <= self.told_at.len();
            if is_many && last.is_some_and(|at| now.0 - at.0 < PACE_US) {
                break;
            }
            let first = news.remove(due);
            let is_with = |one: &mut News<'_>| {
                one.goes_with(first.since, first.is_placed) || (is_many && one.is_due(now))
            };
            let with = news.extract_if(.., is_with);
            let names: BTreeSet<&str> = with.map(|one| one.name).chain([first.name]).collect();
            messages.push(self.tell(first.since, &names, first.is_placed));
            self.told_at.push(now);
        }
        messages
    }

    /// Nothing was judged up to now: what is down gets its time again.
    pub(super) fn handle_sight(&mut self) {
        self.since = None;
    }

    fn tell(&mut self, onset: UtcMicros, names: &BTreeSet<&str>, is_placed: bool) -> Message {
        let is_back = |alert: &Alert| names.iter().any(|name| alert.targets.contains_key(*name));
        let back = self.closed.iter().position(is_back).map(|at| self.closed.remove(at));
        let change = if back.is_some() { Change::Reopened } else { Change::Opened };
        let (id, revision, returns) = if let Some(back) = back {
            (back.id, back.revision, back.returns.saturating_add(1))
        } else {
            self.next += 1;
            (FIRST_ID.saturating_add(self.next), 0, 0)
        };
        let targets = names.iter().map(|name| ((*name).to_owned(), true)).collect();
        let revision = revision + 1;
        let (quiet_since, closed_at) = (None, None);
        let alert =
            Alert { id, revision, onset, targets, is_placed, returns, quiet_since, closed_at };
        self.shown.push(alert);
        Message { incident: IncidentId(id), change }
    }

    /// What is to be told of all that are shown.
    pub(super) fn told(&self) -> impl Iterator<Item = Told> {
        self.shown.iter().map(|alert| alert.told(self.total))
    }

    /// The open one that tells of a target.
    pub(super) fn of(&self, target: &str) -> Option<u32> {
        self.open().find(|alert| alert.targets.contains_key(target)).map(|alert| alert.id)
    }

    /// Every target that one tells of now.
    pub(super) fn names_of(&self, id: u32) -> Vec<String> {
        let alert = self.shown.iter().find(|alert| alert.id == id);
        alert.map(Alert::names).unwrap_or_default()
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
            returns: 0,
            quiet_since: None,
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

    /// Those that are out; once none is, all that were.
    fn names(&self) -> Vec<String> {
        let is_any_out = self.out().next().is_some();
        let names = self.targets.iter().filter(|(_, is_out)| **is_out || !is_any_out);
        names.map(|(name, _)| name.clone()).collect()
    }

    /// Conditions 3, 4 and 7.
    fn go_on(&mut self, out: &Out, beside: &Beside<'_>) -> Option<Message> {
        let is_quiet = self.quiet_since.is_some();
        for (name, is_out) in &mut self.targets {
            let was_out = *is_out;
            *is_out = (was_out || is_quiet) && out.down.contains_key(name)
                || was_out && out.still.contains(name);
            self.revision += u32::from(*is_out != was_out);
        }
        if self.out().next().is_some() {
            let is_placed = self.out().any(|name| (beside.is_placed)(name));
            self.is_placed = is_placed;
            self.returns = self.returns.saturating_add(u32::from(is_quiet));
            self.quiet_since = None;
        }
        let whole: Option<Vec<IncidentId>> =
            self.out().map(|name| beside.explained.get(name).copied()).collect();
        let change = match whole?.first() {
            Some(into) => Change::Merged { into: *into },
            None if self.targets.keys().any(|name| (beside.is_asked)(name)) => Change::Resolved,
            None => Change::Unasked,
        };
        let quiet_since = *self.quiet_since.get_or_insert(beside.now);
        let quiet = QUIET_US.saturating_mul(i64::from(self.returns)).min(QUIET_US_MAX);
        if change == Change::Resolved && beside.now.0 - quiet_since.0 < quiet {
            return None;
        }
        self.closed_at = Some(beside.now);
        Some(Message { incident: IncidentId(self.id), change })
    }

    fn told(&self, total: u64) -> Told {
        let is_open = self.closed_at.is_none();
        let names = if is_open { self.names() } else { self.targets.keys().cloned().collect() };
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
                    out.still.insert(name.to_owned());
                } else if let Some((name, id)) = word.split_once('=') {
                    explained.insert(name.to_owned(), IncidentId(id.parse().expect("a number")));
                } else {
                    let (name, since) = word.split_once('@').expect("since when");
                    let since = UtcMicros(since.parse::<i64>().expect("seconds") * SECOND);
                    out.down.insert(name.to_owned(), since);
                }
            }
            alerts.since.get_or_insert(UtcMicros(0));
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
            230 |
            9000 | a@8900
            ",
            expect![[r#"
                120 s, 1 Opened: a is down since 00:01:40; it stands nowhere
                130 s, 1 Resolved: a was down, from 00:01:40 until 00:02:10
                160 s, 1 Reopened: a is down since 00:02:20; it stands nowhere
                230 s, 1 Resolved: a was down, from 00:02:20 until 00:03:50
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
    fn what_fails_again_and_again_is_one_alert_that_is_over_once_it_answered_for_a_while() {
        check(
            &mut Alerts::default(),
            "
            120 | a@100
            130 |
            160 | a@140
            170 |
            180 | a@175
            190 |
            309 |
            310 |
            ",
            expect![[r#"
                120 s, 1 Opened: a is down since 00:01:40; it stands nowhere
                130 s, 1 Resolved: a was down, from 00:01:40 until 00:02:10
                160 s, 1 Reopened: a is down since 00:02:20; it stands nowhere
                310 s, 1 Resolved: a was down, from 00:02:20 until 00:05:10
            "#]],
        );
    }

    #[test]
    fn what_was_down_before_anybody_judged_gets_its_time_and_what_was_explained_too() {
        let mut alerts = Alerts { since: Some(UtcMicros(500 * SECOND)), ..Alerts::default() };
        check(
            &mut alerts,
            "
            519 | a@100
            520 | a@100
            600 | a@100 B@100 B=1
            689 | a@100 B@100
            690 | a@100 B@100
            ",
            expect![[r#"
                520 s, 1 Opened: a is down since 00:01:40; it stands nowhere
                690 s, 2 Opened: B is down since 00:01:40, and no cause
            "#]],
        );
        alerts.handle_sight();
        assert_eq!(alerts.since, None);
    }

    #[test]
    fn when_many_were_told_the_next_waits_and_tells_of_all_that_is_due() {
        let mut alerts = Alerts { since: Some(UtcMicros(0)), ..Alerts::default() };
        let mut told: Vec<(i64, usize)> = Vec::new();
        for now in (100..3_000).step_by(10) {
            let down = (1..20).map(|at| (format!("t{at:02}"), at * 100));
            let down = down.filter(|(_, since)| *since <= now);
            let down = down.map(|(name, since)| (name, UtcMicros(since * SECOND))).collect();
            let out = Out { down, ..Out::default() };
            let beside = Beside {
                now: UtcMicros(now * SECOND),
                explained: &BTreeMap::new(),
                is_placed: &|_| false,
                is_asked: &|_| true,
            };
            for message in alerts.take(&out, &beside) {
                told.push((now, alerts.names_of(message.incident.0).len()));
            }
        }
        let late = told.split_off(BURST_MAX);
        assert!(told.iter().all(|(_, names)| *names == 1), "{told:?}");
        assert_eq!(late, [(1_320, 3), (1_620, 3), (1_920, 3)]);
        assert_eq!(alerts.followed().count(), 19, "nobody is forgotten");
    }
}
