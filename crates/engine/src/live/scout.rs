//! Which pairs are traced by themselves, and why.
//!
//! A trace says how far packets come. When hundreds of pairs go bad at once it needs few of them:
//!
//! 1 - A pair that went bad, or healed, is looked at once it stayed so for [`SETTLE_US`]: a blink
//!     is not traced, and what fails together is seen together.
//! 2 - Of all pairs of one agent that one incident explains, one is traced: one that is down before
//!     one that is degraded, then the one that went bad first. So it is of those that no incident
//!     explains yet. Of one incident, [`AGENTS_MAX`] agents trace.
//! 3 - Beside the first of an incident, one pair of the same agent is traced that answers, if one
//!     is known: how far packets should come.
//! 4 - What would tell the likeliest causes of an incident apart is traced once in a quarter of an
//!     hour for each set of such causes.
//! 5 - A pair that heals is traced if it was traced when it went bad: which way it goes now.
//! 6 - The same pair is not traced again within [`AGAIN_US`], but when it went down and was only
//!     degraded.
//! 7 - At most [`AGENT_MINUTE_MAX`] an agent and [`ORG_MINUTE_MAX`] an organisation within a
//!     minute, and [`AGENT_AT_ONCE_MAX`] and [`ORG_AT_ONCE_MAX`] at once. What is bad comes first,
//!     then what tells causes apart, then what to hold beside it, then what healed.
//! 8 - What found no room for [`PATIENCE_US`] after it was looked at first is left: it is no news
//!     any more.

use std::collections::{BTreeMap, BTreeSet};

use model::{AgentId, ProbeId, TraceWhy, UtcMicros};

/// A round and its confirmation: a blink is over, and those that fail together are known.
const SETTLE_US: i64 = 3_000_000;
/// What went bad longer ago is seen by its incident.
const PATIENCE_US: i64 = 60_000_000;
/// Routing has settled by then, and a trace would say the same.
const AGAIN_US: i64 = 300_000_000;
/// What a trace told is evidence for two minutes; if causes cannot be told apart long after, they
/// may be by then.
const ASK_AGAIN_US: i64 = 900_000_000;
/// Points of view on one incident.
const AGENTS_MAX: usize = 3;
/// Traces of one agent, and of one organisation, within a minute.
const AGENT_MINUTE_MAX: usize = 4;
const ORG_MINUTE_MAX: usize = 8;
/// And at once: an agent makes four, and two of them stay people's.
const AGENT_AT_ONCE_MAX: usize = 2;
const ORG_AT_ONCE_MAX: usize = 4;
const MINUTE_US: i64 = 60_000_000;
/// A trace that nobody ended by then is not waited for.
const UNDER_WAY_US: i64 = 120_000_000;
/// Pairs that wait to be chosen from; of those that went bad with them one is as good as another.
const WAITING_MAX: usize = 4_096;
/// And so many of them are looked at in one choice, the worst and oldest first.
const LOOKED_AT_MAX: usize = 512;
/// What was traced is remembered so long, so that its healing is traced too.
const REMEMBERED_US: i64 = 24 * 3_600_000_000;
const REMEMBERED_MAX: usize = 4_096;

/// An agent, and what it asks of a target.
pub type Way = (AgentId, ProbeId);

/// A pair that went bad or healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    pub way: Way,
    pub to: Turn,
    /// When that was decided.
    pub at: UtcMicros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    Down,
    Degraded,
    Healed,
}

/// Two causes of an incident that nothing tells apart, and the pair whose trace would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub incident: u32,
    pub way: Way,
    /// Both causes, in words.
    pub causes: String,
}

/// What is known at one moment.
#[expect(missing_debug_implementations, reason = "it holds what answers questions")]
pub struct Scene<'a> {
    pub now: UtcMicros,
    /// The incident that explains a pair.
    pub incident_of: &'a dyn Fn(Way) -> Option<u32>,
    /// A pair of the same agent that answers, on much the same way.
    pub reference: &'a dyn Fn(Way) -> Option<Way>,
    pub questions: &'a [Question],
}

/// What is to be traced, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub way: Way,
    pub why: TraceWhy,
    /// The incident that explains it, if one does yet.
    pub incident: Option<u32>,
    pub note: Note,
}

/// The reason, without names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    Down,
    Degraded,
    Healed,
    /// Beside this target.
    Beside(ProbeId),
    Between(String),
}

/// What was spent of the budget.
#[derive(Clone, Debug, Default)]
struct Budget {
    /// Within the last minute.
    spent: Vec<(UtcMicros, AgentId)>,
    under_way: Vec<(UtcMicros, Way)>,
}

impl Budget {
    fn pass(&mut self, now: UtcMicros) {
        self.spent.retain(|(at, _)| now.0 - at.0 < MINUTE_US);
        self.under_way.retain(|(at, _)| now.0 - at.0 < UNDER_WAY_US);
    }

    fn has_room(&self, agent: AgentId) -> bool {
        let spent = self.spent.iter().filter(|(_, of)| *of == agent).count();
        let under_way = self.under_way.iter().filter(|(_, way)| way.0 == agent).count();
        self.spent.len() < ORG_MINUTE_MAX
            && spent < AGENT_MINUTE_MAX
            && self.under_way.len() < ORG_AT_ONCE_MAX
            && under_way < AGENT_AT_ONCE_MAX
    }

    fn spend(&mut self, way: Way, now: UtcMicros) {
        self.spent.push((now, way.0));
        self.under_way.push((now, way));
    }

    fn end(&mut self, way: Way) {
        if let Some(at) = self.under_way.iter().position(|(_, of)| *of == way) {
            self.under_way.remove(at);
        }
    }
}

/// That a pair was traced.
#[derive(Clone, Copy, Debug)]
struct Traced {
    at: UtcMicros,
    /// When it was because it went bad, and how bad it was.
    bad: Option<(UtcMicros, Turn)>,
    /// Its healing is to be traced.
    is_bad: bool,
    incident: Option<u32>,
}

/// A pair that waits to be chosen.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    turn: Turn,
    at: UtcMicros,
    /// When it was looked at first.
    seen_at: Option<UtcMicros>,
}

/// What waits to be traced of one organisation, and what was.
#[derive(Clone, Debug, Default)]
pub struct Scout {
    waiting: BTreeMap<Way, Waiting>,
    traced: BTreeMap<Way, Traced>,
    /// Agents that traced for an incident.
    agents: BTreeMap<u32, BTreeSet<AgentId>>,
    /// What would tell causes apart, and when that was traced.
    asked: BTreeMap<(u32, String), UtcMicros>,
    budget: Budget,
    /// Pairs that found no room.
    left: u64,
}

impl Scout {
    /// Takes what became of a pair.
    pub fn handle_turn(&mut self, turned: Turned) {
        let before = self.waiting.get(&turned.way).map(|waiting| waiting.turn);
        let waiting = Waiting { turn: turned.to, at: turned.at, seen_at: None };
        match (before, turned.to) {
            // It blinked: neither is news.
            (Some(Turn::Down | Turn::Degraded), Turn::Healed)
                if !self.traced.get(&turned.way).is_some_and(|traced| traced.is_bad) =>
            {
                self.waiting.remove(&turned.way);
            }
            (Some(Turn::Healed), Turn::Down | Turn::Degraded) => {
                self.waiting.remove(&turned.way);
            }
            (Some(_), _) => {
                self.waiting.insert(turned.way, waiting);
            }
            (None, _) if self.waiting.len() < WAITING_MAX => {
                self.waiting.insert(turned.way, waiting);
            }
            (None, _) => self.left += 1,
        }
    }

    /// Nobody knows any more how a pair is.
    pub fn forget(&mut self, way: Way) {
        self.waiting.remove(&way);
    }

    /// A trace that was wished for is over, or was not made.
    pub fn handle_end(&mut self, way: Way) {
        self.budget.end(way);
    }

    /// Pairs that were not traced since this was asked last, as there was no room.
    pub fn take_left(&mut self) -> u64 {
        std::mem::take(&mut self.left)
    }

    /// Says what to trace now; what it says is spent of the budget and not said again.
    pub fn choose(&mut self, scene: &Scene<'_>) -> Vec<Wish> {
        let now = scene.now;
        self.pass(now);
        let mut wishes = Vec::new();
        let settled = self.waiting.iter().filter(|(_, one)| SETTLE_US <= now.0 - one.at.0);
        let mut settled: Vec<(Way, Turn, UtcMicros)> =
            settled.map(|(way, one)| (*way, one.turn, one.at)).collect();
        settled.sort_unstable_by_key(|(way, turn, at)| (*turn, *at, *way));
        settled.truncate(LOOKED_AT_MAX);
        let mut chosen: BTreeSet<(AgentId, Option<u32>)> = BTreeSet::new();
        let mut beside = Vec::new();
        for (way, turn, _) in settled.iter().filter(|(_, turn, _)| *turn != Turn::Healed) {
            let incident = (scene.incident_of)(*way);
            let group = (way.0, incident);
            if self.is_known(*way, *turn, incident, now) || chosen.contains(&group) {
                // Another speaks for it.
                self.waiting.remove(way);
                continue;
            }
            if !self.budget.has_room(way.0) {
                continue;
            }
            let is_first = incident.is_none_or(|id| !self.agents.contains_key(&id));
            chosen.insert(group);
            let note = if *turn == Turn::Down { Note::Down } else { Note::Degraded };
            let wish = Wish { way: *way, why: TraceWhy::WentBad, incident, note };
            self.wish(wish, *turn, now, &mut wishes);
            if is_first {
                beside.push((*way, *turn, incident));
            }
        }
        self.tell_apart(scene, &mut wishes);
        for (way, turn, incident) in beside {
            let Some(other) = (scene.reference)(way) else { continue };
            let is_recent =
                self.traced.get(&other).is_some_and(|traced| now.0 - traced.at.0 < AGAIN_US);
            if !is_recent && self.budget.has_room(way.0) {
                let note = Note::Beside(way.1);
                let wish = Wish { way: other, why: TraceWhy::Reference, incident, note };
                self.wish(wish, turn, now, &mut wishes);
            }
        }
        for (way, turn, _) in settled.iter().filter(|(_, turn, _)| *turn == Turn::Healed) {
            let before = self.traced.get(way).filter(|traced| traced.is_bad);
            let Some(Traced { incident, .. }) = before.copied() else {
                self.waiting.remove(way);
                continue;
            };
            if self.budget.has_room(way.0) {
                let note = Note::Healed;
                let wish = Wish { way: *way, why: TraceWhy::Healed, incident, note };
                self.wish(wish, *turn, now, &mut wishes);
            }
        }
        wishes
    }

    /// Condition 4.
    fn tell_apart(&mut self, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        for question in scene.questions {
            let key = (question.incident, question.causes.clone());
            if self.asked.contains_key(&key) || !self.budget.has_room(question.way.0) {
                continue;
            }
            self.asked.insert(key, scene.now);
            let wish = Wish {
                way: question.way,
                why: TraceWhy::TellApart,
                incident: Some(question.incident),
                note: Note::Between(question.causes.clone()),
            };
            self.budget.spend(wish.way, scene.now);
            wishes.push(wish);
        }
    }

    /// Conditions 2 and 6: whether a trace that was made speaks for it.
    fn is_known(&self, way: Way, turn: Turn, incident: Option<u32>, now: UtcMicros) -> bool {
        let agents = incident.and_then(|id| self.agents.get(&id));
        let of_incident =
            agents.is_some_and(|agents| agents.contains(&way.0) || AGENTS_MAX <= agents.len());
        let own = self.traced.get(&way).and_then(|traced| traced.bad);
        of_incident || own.is_some_and(|(at, bad)| now.0 - at.0 < AGAIN_US && bad <= turn)
    }

    fn wish(&mut self, wish: Wish, turn: Turn, now: UtcMicros, wishes: &mut Vec<Wish>) {
        self.waiting.remove(&wish.way);
        self.budget.spend(wish.way, now);
        let incident = wish.incident;
        let before = self.traced.get(&wish.way).and_then(|traced| traced.bad);
        let is_bad = wish.why == TraceWhy::WentBad;
        let bad = if is_bad { Some((now, turn)) } else { before };
        self.traced.insert(wish.way, Traced { at: now, bad, is_bad, incident });
        if let Some(id) = incident.filter(|_| is_bad) {
            self.agents.entry(id).or_default().insert(wish.way.0);
        }
        wishes.push(wish);
    }

    /// Forgets what is no news any more.
    fn pass(&mut self, now: UtcMicros) {
        self.budget.pass(now);
        let before = self.waiting.len();
        self.waiting.retain(|_, one| now.0 - one.seen_at.get_or_insert(now).0 < PATIENCE_US);
        self.left += (before - self.waiting.len()) as u64;
        self.traced.retain(|_, traced| {
            now.0 - traced.at.0 < if traced.is_bad { REMEMBERED_US } else { AGAIN_US }
        });
        while REMEMBERED_MAX < self.traced.len() {
            let oldest = self.traced.iter().min_by_key(|(way, traced)| (traced.at, **way));
            let Some(way) = oldest.map(|(way, _)| *way) else { break };
            self.traced.remove(&way);
        }
        let known: BTreeSet<u32> =
            self.traced.values().filter_map(|traced| traced.incident).collect();
        self.agents.retain(|id, _| known.contains(id));
        self.asked.retain(|_, at| now.0 - at.0 < ASK_AGAIN_US);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Plays what becomes of pairs, one line for each moment: `SECONDS | AGENT-TARGET WORD ...`.
    /// Words: `down`, `degraded`, `healed`, `gone` of the pairs before them; `=3` says that
    /// incident 3 explains them, `over` that their trace is over, `ask` that a trace of theirs
    /// would tell causes of incident 3 apart. Target 9 answers every agent. Shows what is traced.
    #[track_caller]
    fn check(script: &str, expected: Expect) {
        let mut scout = Scout::default();
        let mut incidents: BTreeMap<Way, u32> = BTreeMap::new();
        let mut said = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (now, words) = line.split_once('|').expect("a time");
            let seconds: i64 = now.trim().parse().expect("seconds");
            let now = UtcMicros(seconds * SECOND);
            let mut ways: Vec<Way> = Vec::new();
            let mut is_named = false;
            let mut questions = Vec::new();
            for word in words.split_whitespace() {
                if let Some((agent, target)) = word.split_once('-') {
                    if std::mem::take(&mut is_named) {
                        ways.clear();
                    }
                    let number = |text: &str| text.parse().expect("a number");
                    ways.push((AgentId(number(agent)), ProbeId(number(target))));
                    continue;
                }
                is_named = true;
                for way in ways.iter().copied() {
                    let turn = |to| Turned { way, to, at: now };
                    match word {
                        "down" => scout.handle_turn(turn(Turn::Down)),
                        "degraded" => scout.handle_turn(turn(Turn::Degraded)),
                        "healed" => scout.handle_turn(turn(Turn::Healed)),
                        "gone" => scout.forget(way),
                        "over" => scout.handle_end(way),
                        "ask" => questions.push(Question {
                            incident: 3,
                            way,
                            causes: "r1 or r2".to_owned(),
                        }),
                        id => {
                            let id = id.trim_start_matches('=').parse().expect("an incident");
                            incidents.insert(way, id);
                        }
                    }
                }
            }
            let scene = Scene {
                now,
                incident_of: &|way| incidents.get(&way).copied(),
                reference: &|way| (way.1 != ProbeId(9)).then_some((way.0, ProbeId(9))),
                questions: &questions,
            };
            for wish in scout.choose(&scene) {
                let (AgentId(agent), ProbeId(target)) = wish.way;
                let why = wish.why.as_str();
                let of = wish.incident.map(|id| format!(" of #{id}")).unwrap_or_default();
                said += &format!("{seconds} s: {agent}-{target} {why}{of}\n");
            }
            let left = scout.take_left();
            if 0 < left {
                said += &format!("{seconds} s: {left} left\n");
            }
        }
        expected.assert_eq(&said);
    }

    #[test]
    fn what_went_bad_is_traced_once_it_stayed_so_beside_what_answers_and_a_blink_is_not() {
        check(
            "
            10 | 1-5 down 1-6 down 1-6 healed
            12 |
            13 |
            20 |
            ",
            expect![[r#"
                13 s: 1-5 went_bad
                13 s: 1-9 reference
            "#]],
        );
    }

    #[test]
    fn of_many_pairs_of_one_incident_each_of_three_agents_traces_one_what_is_down_first() {
        check(
            "
            10 | 1-4 degraded 1-5 1-6 2-5 2-6 3-5 4-5 down 1-4 1-5 1-6 2-5 2-6 3-5 4-5 =3
            13 |
            14 | 1-5 1-9 2-5 over
            15 | 3-5 over
            40 | 1-7 2-7 down =3
            43 |
            ",
            expect![[r#"
                13 s: 1-5 went_bad of #3
                13 s: 2-5 went_bad of #3
                13 s: 3-5 went_bad of #3
                13 s: 1-9 reference of #3
            "#]],
        );
    }

    #[test]
    fn what_no_incident_explains_is_one_group_of_its_agent() {
        check(
            "
            10 | 1-4 1-5 1-6 down
            13 |
            14 | 1-4 1-9 over
            ",
            expect![[r#"
                13 s: 1-4 went_bad
                13 s: 1-9 reference
            "#]],
        );
    }

    #[test]
    fn a_mass_outage_keeps_to_the_budget_and_what_waits_for_a_minute_is_left() {
        check(
            "
            10 | 1-1 1-2 1-3 1-4 1-5 2-1 3-1 4-1 5-1 6-1 down 1-2 =2 1-3 =3 1-4 =4 1-5 =5
            13 |
            14 | 1-1 1-9 2-1 3-1 1-2 1-3 over
            15 | 4-1 5-1 1-2 1-3 over
            16 | 6-1 1-4 4-1 over
            71 |
            ",
            expect![[r#"
                13 s: 1-1 went_bad
                13 s: 1-2 went_bad of #2
                13 s: 2-1 went_bad
                13 s: 3-1 went_bad
                14 s: 1-3 went_bad of #3
                14 s: 1-4 went_bad of #4
                14 s: 4-1 went_bad
                14 s: 5-1 went_bad
                71 s: 2 left
            "#]],
        );
    }

    #[test]
    fn what_heals_is_traced_if_it_was_traced_when_it_went_bad() {
        check(
            "
            10 | 1-5 1-6 down =3
            13 |
            20 | 1-5 1-9 over
            60 | 1-5 1-6 healed
            63 |
            ",
            expect![[r#"
                13 s: 1-5 went_bad of #3
                13 s: 1-9 reference of #3
                63 s: 1-5 healed of #3
            "#]],
        );
    }

    #[test]
    fn the_same_pair_is_traced_again_after_five_minutes_or_when_it_gets_worse() {
        check(
            "
            10  | 1-5 degraded
            13  |
            14  | 1-5 1-9 over
            20  | 1-5 down
            23  |
            24  | 1-5 over
            30  | 1-5 healed
            33  |
            34  | 1-5 over
            60  | 1-5 down
            63  |
            100 | 1-5 healed
            103 |
            330 | 1-5 down
            333 |
            ",
            expect![[r#"
                13 s: 1-5 went_bad
                13 s: 1-9 reference
                23 s: 1-5 went_bad
                33 s: 1-5 healed
                333 s: 1-5 went_bad
                333 s: 1-9 reference
            "#]],
        );
    }

    #[test]
    fn what_would_tell_causes_apart_is_traced_once() {
        check(
            "
            10 | 1-5 ask
            11 | 1-5 over ask
            ",
            expect![[r#"
                10 s: 1-5 tell_apart of #3
            "#]],
        );
    }

    #[test]
    fn of_what_nobody_knows_nothing_is_traced() {
        check("10 | 1-5 down\n11 | 1-5 gone\n20 |", expect![""]);
    }
}
