//! What is traced by itself, of all organisations: hears which pairs go bad, wishes for traces as
//! [`engine::live::Scout`] chooses, and puts what they found into the timeline of their incident.

use std::collections::BTreeMap;

use engine::live::{Hearing, Note, Roster, Scene, Scout, Standing, Turn, Turned, Way, Wish};
use model::{AgentId, EntryKind, OrgId, ProbeId, TargetId, TraceId, TraceWhy, UtcMicros, Verdict};
use store::IncidentTraced;

use super::book::Book;
use crate::conductor::LiveEvent;

/// Wishes that wait to be ordered: more than all budgets of a minute.
pub(super) const WISHES_MAX: usize = 64;
/// Ends that wait for the next judgement.
pub(super) const TOLD_MAX: usize = 256;
/// A trace may be made before people are told of the incident that explains it; so long it is
/// kept for its timeline.
const LOOSE_US: i64 = 900_000_000;
const LOOSE_MAX: usize = 256;

/// What is to be traced.
#[derive(Clone, Debug)]
pub(crate) struct TraceWish {
    pub(crate) org: OrgId,
    pub(crate) agent: AgentId,
    pub(crate) target: TargetId,
    pub(crate) why: TraceWhy,
    /// The same in a sentence.
    pub(crate) note: String,
    pub(crate) about: About,
}

/// What a trace was wished for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    way: Way,
    /// The pair that went bad: the same, or the one it is held beside.
    bad: Way,
    /// By the engine's own number.
    incident: Option<u32>,
}

/// What became of a trace.
#[derive(Clone, Debug)]
pub(crate) struct TraceTold {
    pub(crate) org: OrgId,
    pub(crate) agent: AgentId,
    pub(crate) target: TargetId,
    pub(crate) at: UtcMicros,
    pub(crate) why: TraceWhy,
    /// What a person asked for is about nothing.
    pub(crate) about: Option<About>,
    /// What stands in a timeline, of which trace; nothing if it came to no end.
    pub(crate) entries: Vec<(EntryKind, TraceId, String)>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Patrol {
    scouts: BTreeMap<OrgId, Scout>,
    wishes: Vec<TraceWish>,
    /// Ends that stand in no timeline yet.
    loose: Vec<TraceTold>,
    left: u64,
}

impl Patrol {
    /// Takes what the conductor tells.
    pub(super) fn hear(&mut self, event: &LiveEvent) {
        let LiveEvent::Verdict { org, probe, agent: Some(agent), from, to, at, .. } = event else {
            return;
        };
        let way = (*agent, *probe);
        let is_bad = |verdict: Verdict| matches!(verdict, Verdict::Down | Verdict::Degraded);
        let turn = match to {
            Verdict::Down => Turn::Down,
            // That it is less bad is no news.
            Verdict::Degraded if *from == Verdict::Down => return,
            Verdict::Degraded => Turn::Degraded,
            Verdict::Up if is_bad(*from) => Turn::Healed,
            Verdict::Up => return,
            Verdict::Unknown => {
                self.scouts.entry(*org).or_default().forget(way);
                return;
            }
        };
        self.scouts.entry(*org).or_default().handle_turn(Turned { way, to: turn, at: *at });
    }

    /// Takes what became of traces.
    pub(super) fn handle_ends(&mut self, told: Vec<TraceTold>) {
        for told in told {
            if let (Some(about), Some(scout)) = (told.about, self.scouts.get_mut(&told.org)) {
                scout.handle_end(about.way);
            }
            if !told.entries.is_empty() && self.loose.len() < LOOSE_MAX {
                self.loose.push(told);
            }
        }
    }

    /// What is to be ordered.
    pub(super) fn take_wishes(&mut self) -> Vec<TraceWish> {
        std::mem::take(&mut self.wishes)
    }

    /// Pairs that were not traced, as there was no room.
    pub(super) fn take_left(&mut self) -> u64 {
        std::mem::take(&mut self.left)
    }

    /// Goes on with one organisation, after it was judged.
    pub(super) fn go_on(
        &mut self,
        org: OrgId,
        standing: &mut Standing,
        book: &mut Book,
        hearing: &Hearing<'_>,
    ) {
        self.enter((org, standing), book, hearing);
        let (now, roster) = (hearing.now, hearing.roster);
        let mut questions = standing.questions(now);
        // What people do not know is not asked about.
        questions.retain(|question| book.number(question.incident).is_some());
        let scout = self.scouts.entry(org).or_default();
        // One for both questions: neither is asked while the other is.
        let standing = std::cell::RefCell::new(standing);
        let wishes = scout.choose(&Scene {
            now,
            incident_of: &|way| standing.borrow().incident_of(roster, way),
            reference: &|way| standing.borrow_mut().reference(hearing.ledger, way, now),
            questions: &questions,
        });
        self.left += scout.take_left();
        self.wishes.extend(wishes.into_iter().filter_map(|wish| wanted(org, roster, &wish)));
    }

    /// Puts ends into the timelines of the incidents that explain them.
    fn enter(
        &mut self,
        (org, standing): (OrgId, &Standing),
        book: &mut Book,
        hearing: &Hearing<'_>,
    ) {
        let roster = hearing.roster;
        let is_fresh = |told: &TraceTold| hearing.now.0 - told.at.0 < LOOSE_US;
        self.loose.retain(is_fresh);
        self.loose.retain(|told| {
            if told.org != org {
                return true;
            }
            let bad = told.about.map(|about| about.bad);
            let own = || Some((told.agent, roster.probe_of(org, told.target)?));
            let known = told.about.and_then(|about| about.incident);
            let known = known.filter(|id| book.number(*id).is_some());
            let found = known.or_else(|| standing.incident_of(roster, bad.or_else(own)?));
            let Some((id, number)) = found.and_then(|id| Some((id, book.number(id)?))) else {
                return told.about.is_some();
            };
            for (kind, trace, note) in &told.entries {
                let (kind, trace, note) = (*kind, *trace, note.clone());
                book.note_trace(IncidentTraced {
                    incident: number,
                    trace,
                    kind,
                    at: told.at,
                    note,
                });
            }
            if let (TraceWhy::TellApart, Some((_, _, said))) = (told.why, told.entries.first()) {
                book.revise_because(id, said.clone());
            }
            false
        });
    }
}

/// A wish with its names; nothing of what left the inventory.
fn wanted(org: OrgId, roster: &Roster, wish: &Wish) -> Option<TraceWish> {
    let name = |probe: ProbeId| roster.target_of(probe).map(|(_, name)| name);
    let (target, called) = roster.target_of(wish.way.1)?;
    let from = roster.agent_name(wish.way.0)?;
    let mut bad = wish.way;
    let note = match &wish.note {
        Note::Down => format!("{called} is down from {from}"),
        Note::Degraded => format!("{called} is degraded from {from}"),
        Note::Healed => format!("{called} answers {from} again"),
        Note::Beside(other) => {
            bad.1 = *other;
            let other = name(*other).unwrap_or("another target");
            format!("{called} answers {from}, to hold beside {other}")
        }
        Note::Between(causes) => format!("to tell which it is: {causes}"),
    };
    let about = About { way: wish.way, bad, incident: wish.incident };
    Some(TraceWish { org, agent: wish.way.0, target, why: wish.why, note, about })
}
