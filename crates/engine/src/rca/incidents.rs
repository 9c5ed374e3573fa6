//! From assessments to incidents: what is the same as before, what is new, what is over, and whom
//! to tell.
//!
//! 1 - A finding goes on with the incident whose cause it shares or, if that has no finding of its
//!     own cause, whose pairs it explains. What is too unlikely to be an incident, and hits few of
//!     many pairs, is chance: with it none goes on.
//! 2 - A new finding opens an incident; people are told once its cause is likelier than not, and of
//!     what nobody feels once it is nearly sure and not quite new.
//! 3 - People are told of the opening, and of another cause that is likely and stays so for a
//!     while; of better numbers they are not. What lost nothing lately is no news either: it is an
//!     old outage seen through a window that moves on. Of what rests on a few lost rounds they are
//!     told once there are more; and no change of cause without rounds lost since: it is hindsight.
//! 4 - An incident that people know closes when its pairs answered since: at once when all that is
//!     out does, and when nothing of it was seen in two assessments and nearly all do that nothing
//!     else explains. What nobody asks any more is not waited for. Silence is no all-clear. What
//!     nobody was told of closes when nothing of it was seen in two assessments.
//! 5 - Incidents that one finding explains are merged into the oldest that people know, and into
//!     the oldest of all if they know none. What they were told of has one ending: it is part of
//!     what they know, or it is over.
//! 6 - What is seen again of an incident that closed, and was over by then, is no news; nor is it
//!     one for a round that was lost by chance since.
//! 7 - What was announced is kept and nobody is told.
//! 8 - Of what began with an incident that people know, or has its cause, and hits the same pairs,
//!     they are told only if it outlives that.
//! 9 - What people were told is over, and fails again soon, is the same incident: reopened.
//! 10 - While some of what is out answers again, it is said as it was: that rounds fall out of the
//!     window is no doubt. One that is over is said as it was at its worst.
//! 11 - After a restart, and after the monitor did not see, an incident goes on, and nobody is told
//!     of it again. It closes only once every pair of it was heard and answers; once its evidence
//!     would be whole again, as any other does: what died by itself meanwhile keeps nothing open.

mod restore;

pub use restore::Known;

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeSet,
    ptr,
};

use model::{ElementKind, FaultMode, UtcMicros};

use super::report::{Assessment, Finding, LOST_MAX, SUPPRESS_PROBABILITY};
use crate::graph::ElementIx;

/// Incidents open at once; the oldest are never dropped, new ones wait.
const INCIDENTS_MAX: usize = 1_000;
/// How long an incident that closed is remembered: longer than any window of evidence.
const REMEMBERED_US: i64 = 600_000_000;
/// And how many of them at most; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 1_000;
/// What fails again this soon after it closed is the same incident.
pub const REOPEN_US: i64 = REMEMBERED_US;
/// A cause this likely is an incident.
pub const OPEN_PROBABILITY: f64 = 0.1;
/// And people are told of it from here on.
///
/// Causes said to be less likely than this were right one time in four.
const TELL_PROBABILITY: f64 = 0.6;
/// Of a target by itself: nothing else explains it, and its agents were heard.
const TELL_TARGET_PROBABILITY: f64 = 0.5;
/// Of what loses fewer packets than this, from here on: it is measured on every row at every
/// moment, so that chance alone makes some row look so many times a day.
const SMALL_LOSS_PPM: u32 = 50_000;
const TELL_SMALL_LOSS_PROBABILITY: f64 = 0.999;
/// Of what lost fewer rounds than this, and nobody reported, from here on: two or three are
/// lost by chance at once, somewhere, many times a day.
const LOST_MIN: usize = 4;
const TELL_FEW_PROBABILITY: f64 = 0.95;
/// So many pairs lose one more by chance in two rounds, at four times the usual noise.
const PAIRS_A_LOST: usize = 32;
/// Of what nobody feels, because it was gone round, from here on.
const TELL_UNFELT_PROBABILITY: f64 = 0.8;
/// Another cause is told only when it is this likely.
const CHANGE_PROBABILITY: f64 = 0.6;
/// And only when it was so for this long: while routing settles, and while rounds fall out of the
/// window, the best cause may be another for a moment.
const CHANGE_SETTLE_US: i64 = 25_000_000;
/// So long after a restart the evidence of what loses or delays a part is whole again.
const AWAITED_US: i64 = 900_000_000;
/// One pair in so many may be silent when an incident ends: of many, some lose a round by chance.
const STRAGGLER_PAIRS: usize = 10;
/// Of what nobody feels people are told once it is that old: a failure is reported device
/// by device, and is another thing once its rounds are there.
const UNFELT_SETTLE_US: i64 = 15_000_000;
/// What began no further apart than this may be one thing.
const TOGETHER_US: i64 = 60_000_000;

/// The number of an incident, in the order of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IncidentId(pub u32);

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Resolved,
}

/// One cause and everything it explains, over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    pub id: IncidentId,
    /// Grows when the cause, its mode or what it hits changes.
    pub revision: u32,
    pub state: State,
    pub finding: Finding,
    /// The same when it was at its worst and believed most: what is told once it is over.
    worst: Finding,
    /// Since when some of what is out answers again.
    heals_since: Option<UtcMicros>,
    /// Assessments since that did not show it.
    missed: u32,
    is_told: bool,
    /// People knew it before it closed and came back.
    is_back: bool,
    /// It closed as a part of another.
    is_merged: bool,
    /// Since when it goes on after a restart, or after the monitor did not see; until it is seen.
    awaited_since: Option<UtcMicros>,
    /// When an assessment showed it last.
    seen_at: UtcMicros,
    /// Since when another cause is likelier.
    other_since: Option<UtcMicros>,
    /// Every pair that it explained so far.
    pairs_ever: BTreeSet<(ElementIx, ElementIx)>,
}

/// Why people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Opened,
    /// It was over, and is not.
    Reopened,
    CauseChanged,
    Resolved,
    /// Nobody asks any more what it hit.
    Unasked,
    /// It is part of another one.
    Merged {
        into: IncidentId,
    },
}

/// What is known of a pair of an agent and a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Its last round, of then, was answered.
    Answered(UtcMicros),
    /// Its last round was not, or there is none.
    Silent,
    /// The agent or the target is gone, or nobody is to ask it for now.
    Unasked,
}

/// Something to do about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub incident: IncidentId,
    pub change: Change,
}

/// All incidents of one network, over its assessments.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    open: Vec<Incident>,
    /// With when they closed.
    closed: Vec<(UtcMicros, Incident)>,
    next: u32,
    /// Of when the last assessment was.
    taken_at: UtcMicros,
}

impl Incidents {
    /// Takes the next assessment, with what is known of pairs; returns what changed. Incidents
    /// that are over are shown once more by [`Incidents::list`] and then forgotten.
    pub fn take(
        &mut self,
        assessment: &Assessment,
        heard: &dyn Fn((ElementIx, ElementIx)) -> Heard,
    ) -> Vec<Message> {
        let closed = self.open.extract_if(.., |incident| incident.state != State::Open);
        self.closed.extend(closed.map(|incident| (self.taken_at, incident)));
        self.closed.retain(|(at, _)| assessment.at.0 - at.0 <= REMEMBERED_US);
        let excess = self.closed.len().saturating_sub(REMEMBERED_MAX);
        self.closed.drain(..excess);
        self.taken_at = assessment.at;
        let mut messages = Vec::new();
        let mut seen = BTreeSet::new();
        // What is over is no news: its incident, if there is one, closes with its pairs.
        for finding in assessment.findings.iter().filter(|finding| !finding.is_over) {
            // Who has a finding of his own cause goes on with that, and with no other.
            let is_same = |incident: &Incident| {
                incident
                    .own(&assessment.findings)
                    .map_or_else(|| incident.goes_on_now(finding), |own| ptr::eq(own, finding))
            };
            let mut same: Vec<usize> =
                (0..self.open.len()).filter(|at| self.open.get(*at).is_some_and(is_same)).collect();
            same.retain(|at| !seen.contains(at));
            if self.came_apart(finding, &same) {
                seen.extend(same);
                continue;
            }
            let Some(first) = self.survivor(finding, &same, &assessment.findings) else {
                if self.closed.iter().any(|(at, incident)| incident.is_past(finding, *at)) {
                    continue;
                }
                self.open((finding, assessment.at), &mut seen, &mut messages);
                continue;
            };
            seen.insert(first);
            let Some(incident) = self.open.get_mut(first) else { continue };
            let into = incident.id;
            let change = incident.go_on(finding, assessment.at, heard);
            messages.extend(self.tell(first, change));
            for at in same.into_iter().filter(|at| *at != first) {
                let Some(part) = self.open.get_mut(at) else { continue };
                if part.is_part_of(finding, &assessment.findings) {
                    seen.insert(at);
                    messages.extend(part.end_in(into));
                }
            }
        }
        for (at, incident) in self.open.iter_mut().enumerate() {
            if !seen.contains(&at) && incident.state == State::Open {
                messages.extend(incident.miss(assessment, heard));
            }
        }
        messages
    }

    /// Goes on over a topology whose elements have other indices, which `to` gives; an incident
    /// whose causes are all gone is forgotten.
    pub fn translate(&mut self, to: impl Fn(ElementIx) -> Option<ElementIx>) {
        self.open.retain_mut(|incident| incident.translate(&to));
        self.closed.retain_mut(|(_, incident)| incident.translate(&to));
    }

    /// Open incidents and those that closed with the last assessment, oldest first.
    pub fn list(&self) -> impl Iterator<Item = &Incident> {
        self.open.iter()
    }

    /// Targets that open ones explain which people know, with one of these.
    pub fn told(&self) -> impl Iterator<Item = (ElementIx, IncidentId)> {
        let told = self.open.iter().filter(|one| one.is_told && one.state == State::Open);
        told.flat_map(|one| one.finding.pairs.iter().map(|(_, target)| (*target, one.id)))
    }

    /// How many were opened since the beginning.
    pub fn opened(&self) -> u32 {
        self.next
    }

    fn open(
        &mut self,
        (finding, now): (&Finding, UtcMicros),
        seen: &mut BTreeSet<usize>,
        messages: &mut Vec<Message>,
    ) {
        let probability = finding.causes.first().map_or(0.0, |cause| cause.probability);
        if INCIDENTS_MAX <= self.open.len() || probability < OPEN_PROBABILITY {
            return;
        }
        let incident = self.take_back(finding).unwrap_or_else(|| {
            self.next += 1;
            Incident::new(IncidentId(self.next), finding.clone(), now)
        });
        let place = self.open.len();
        seen.insert(place);
        self.open.push(incident);
        let is_news = finding.is_news() && finding.is_settled(now);
        messages.extend(self.tell(place, is_news.then_some(Change::Opened)));
    }
}

impl Incidents {
    /// Whether a finding says of targets that they went out together, of which it is known that
    /// they did not; each of their incidents goes on as it is.
    fn came_apart(&mut self, finding: &Finding, same: &[usize]) -> bool {
        let is_apart = finding.is_target() && 1 < same.len() && {
            let mut known = same.iter().filter_map(|at| self.open.get(*at));
            known.all(|incident| incident.finding.is_target())
        };
        for at in same.iter().filter(|_| is_apart) {
            self.open.get_mut(*at).into_iter().for_each(|incident| incident.see(self.taken_at));
        }
        is_apart
    }

    /// Who goes on with a finding: the oldest, unless people know another that would end in it.
    fn survivor(&self, finding: &Finding, same: &[usize], all: &[Finding]) -> Option<usize> {
        let oldest = *same.first()?;
        let is_known = |at: &&usize| {
            let incident = self.open.get(**at);
            incident.is_some_and(|incident| {
                incident.is_told && (**at == oldest || incident.is_part_of(finding, all))
            })
        };
        Some(same.iter().find(is_known).copied().unwrap_or(oldest))
    }

    /// Tells people of an incident, unless they know it as a part of another.
    fn tell(&mut self, place: usize, change: Option<Change>) -> Option<Message> {
        let (change, incident) = (change?, self.open.get(place)?);
        let is_part = |other: &Incident| {
            other.id != incident.id && other.is_told && other.is_whole_of(&incident.finding)
        };
        if change == Change::Opened && self.open.iter().any(is_part) {
            return None;
        }
        let incident = self.open.get_mut(place)?;
        incident.is_told = true;
        let is_again = change == Change::Opened && incident.is_back;
        let change = if is_again { Change::Reopened } else { change };
        Some(Message { incident: incident.id, change })
    }
}

impl Finding {
    /// Whether it is a target, or several, and nothing that carries them.
    fn is_target(&self) -> bool {
        self.causes.first().is_some_and(|cause| cause.kind == ElementKind::Target)
    }

    fn tell_probability(&self) -> f64 {
        let cause = self.causes.first();
        if cause.is_some_and(|c| c.loss_ppm.is_some_and(|ppm| ppm < SMALL_LOSS_PPM)) {
            TELL_SMALL_LOSS_PROBABILITY
        } else if self.is_target() {
            TELL_TARGET_PROBABILITY
        } else if self.is_felt {
            TELL_PROBABILITY
        } else {
            TELL_UNFELT_PROBABILITY
        }
    }

    /// Whether people want to know it, if they do not.
    fn is_news(&self) -> bool {
        let probability = self.causes.first().map_or(0.0, |cause| cause.probability);
        let is_likely = self.tell_probability() <= probability || self.is_surely_one();
        !self.is_announced && self.is_fresh && is_likely && self.is_no_chance(probability)
    }

    /// Whether it may be told: at once if it hits somebody.
    fn is_settled(&self, now: UtcMicros) -> bool {
        self.is_felt || UNFELT_SETTLE_US <= now.0 - self.onset.1.0
    }

    /// Whether one of the causes named surely holds, though none may be likely by itself.
    fn is_surely_one(&self) -> bool {
        let loses = self.causes.first().is_some_and(|cause| cause.loss_ppm.is_some());
        self.is_felt && !loses && !self.is_target() && SUPPRESS_PROBABILITY <= self.explained
    }

    /// Whether it is more than a few rounds that were lost by chance.
    fn is_no_chance(&self, probability: f64) -> bool {
        TELL_FEW_PROBABILITY <= probability
            || self.lost.is_empty()
            || self.is_reported()
            || LOST_MIN <= self.lost.len()
    }

    /// Whether it says less than another: of fewer pairs, or of as many less surely.
    fn is_less_than(&self, other: &Finding) -> bool {
        let sure = |of: &Finding| of.causes.first().map_or(0.0, |cause| cause.probability);
        match self.pairs.len().cmp(&other.pairs.len()) {
            Ordering::Less => true,
            Ordering::Equal => sure(self) < sure(other),
            Ordering::Greater => false,
        }
    }

    /// Lost rounds that are more than chance takes from what it hits.
    fn lost_min(&self) -> usize {
        let pairs = self.pairs.len();
        (pairs.clamp(1, LOST_MIN) + pairs / PAIRS_A_LOST).min(LOST_MAX)
    }

    /// Lost rounds since a moment.
    fn lost_since(&self, at: UtcMicros) -> usize {
        self.lost.partition_point(|lost| at < *lost)
    }

    /// Whether anybody reported something of it.
    fn is_reported(&self) -> bool {
        self.causes.first().is_some_and(|cause| {
            cause.evidence.iter().any(|piece| piece.supports && piece.source.is_fact())
        })
    }
}

impl Incident {
    fn new(id: IncidentId, finding: Finding, now: UtcMicros) -> Incident {
        Incident {
            id,
            revision: 1,
            state: State::Open,
            missed: 0,
            is_told: false,
            is_back: false,
            is_merged: false,
            awaited_since: None,
            seen_at: now,
            other_since: None,
            pairs_ever: finding.pairs.iter().copied().collect(),
            worst: finding.clone(),
            heals_since: None,
            finding,
        }
    }

    fn translate(&mut self, to: &impl Fn(ElementIx) -> Option<ElementIx>) -> bool {
        let pair = |(agent, target): &(ElementIx, ElementIx)| to(*agent).zip(to(*target));
        self.pairs_ever = self.pairs_ever.iter().filter_map(pair).collect();
        self.worst.translate(to);
        self.finding.translate(to)
    }

    /// The finding of its own cause: if several have that, the one of its mode, and of those the
    /// one with the most of its pairs.
    fn own<'f>(&self, findings: &'f [Finding]) -> Option<&'f Finding> {
        let mode = |finding: &Finding| finding.causes.first().map(|cause| cause.mode);
        let fit = |finding: &&Finding| {
            let is_other = mode(finding) != mode(&self.finding);
            (is_other, Reverse(self.pairs_within(finding)))
        };
        let own = findings.iter().filter(|other| !other.is_over && self.shares_cause(other));
        own.min_by_key(fit)
    }

    /// How many of its pairs a finding explains.
    fn pairs_within(&self, finding: &Finding) -> usize {
        let mine = self.finding.pairs.iter();
        mine.filter(|pair| finding.pairs.binary_search(pair).is_ok()).count()
    }

    fn shares_cause(&self, finding: &Finding) -> bool {
        let (Some(mine), Some(other)) = (self.finding.causes.first(), finding.causes.first())
        else {
            return false;
        };
        mine.elements.iter().any(|element| other.elements.contains(element))
    }

    /// Whether a finding is this one again: it shares the cause, or most of the pairs.
    fn goes_on(&self, finding: &Finding) -> bool {
        self.shares_cause(finding) || self.is_within(finding) || {
            let mine = &self.finding.pairs;
            let common = finding.pairs.iter().filter(|pair| mine.binary_search(pair).is_ok());
            let common = common.count();
            0 < common && finding.pairs.len() <= common * 2
        }
    }

    /// The same of one that is open: a few rounds of many that were lost by chance do not keep it
    /// so.
    fn goes_on_now(&self, finding: &Finding) -> bool {
        let probability = finding.causes.first().map_or(0.0, |cause| cause.probability);
        let is_few = finding.pairs.len() * STRAGGLER_PAIRS <= self.finding.pairs.len();
        let is_chance = probability < OPEN_PROBABILITY && is_few && !self.shares_cause(finding);
        !is_chance && self.goes_on(finding)
    }

    /// Whether most of what this explains is explained by the finding.
    fn is_within(&self, finding: &Finding) -> bool {
        let common = self.pairs_within(finding);
        0 < common && self.finding.pairs.len() <= common * 2
    }

    /// Whether a finding wholly explains this one: two causes may share a pair.
    fn is_part_of(&self, finding: &Finding, all: &[Finding]) -> bool {
        self.is_within(finding)
            && !all.iter().any(|other| other != finding && self.shares_cause(other))
    }

    /// Closes it as a part of another; that is told to who knows it.
    fn end_in(&mut self, into: IncidentId) -> Option<Message> {
        self.close();
        self.is_merged = true;
        let message = Message { incident: self.id, change: Change::Merged { into } };
        Some(message).filter(|_| self.is_told)
    }

    /// Whether a finding shows only what this incident was before it closed.
    fn is_past(&self, finding: &Finding, closed_at: UtcMicros) -> bool {
        let is_before = finding.onset.1 <= closed_at;
        let is_lost_since = finding.lost_min() <= finding.lost_since(closed_at);
        is_before && (!finding.is_felt || !is_lost_since) && self.goes_on(finding)
    }

    /// Whether a finding is part of this: it began with it or has its cause, and hits what this
    /// hit.
    fn is_whole_of(&self, finding: &Finding) -> bool {
        let apart = self.finding.onset.1.0 - finding.onset.1.0;
        let is_related = apart.abs() <= TOGETHER_US || self.shares_cause(finding);
        let known = finding.pairs.iter().filter(|pair| self.pairs_ever.contains(pair)).count();
        self.state == State::Open && is_related && 0 < known && finding.pairs.len() <= known * 2
    }

    fn see(&mut self, now: UtcMicros) {
        self.missed = 0;
        self.seen_at = now;
    }

    /// It is over: what is said of it is what was, with the figures of its worst.
    fn close(&mut self) {
        self.state = State::Resolved;
        self.revision += 1;
        if self.is_told {
            let onset = self.finding.onset;
            self.finding = Finding { onset, ..self.worst.clone() };
        }
    }

    /// Whether what is out answers all along: it loses or delays a part, or is gone round.
    fn is_answered(&self) -> bool {
        self.finding.causes.first().is_some_and(|cause| {
            matches!(cause.mode, FaultMode::Reroute | FaultMode::Lossy | FaultMode::Slow)
        })
    }

    /// Whether a finding says less only because some of what is out answers again; it does not
    /// once the rest went on losing rounds for a while.
    fn is_healing(
        &mut self,
        finding: &Finding,
        now: UtcMicros,
        heard: &dyn Fn((ElementIx, ElementIx)) -> Heard,
    ) -> bool {
        let is_back = |pair: &(ElementIx, ElementIx)| matches!(heard(*pair), Heard::Answered(_));
        if !self.is_told || self.is_answered() || !self.finding.pairs.iter().any(is_back) {
            self.heals_since = None;
            return false;
        }
        let since = *self.heals_since.get_or_insert(now);
        let is_rest = finding.lost.is_empty() || finding.lost_min() <= finding.lost_since(since);
        let is_lasting = is_rest && finding.is_fresh && CHANGE_SETTLE_US <= now.0 - since.0;
        let is_another = finding
            .causes
            .first()
            .is_some_and(|cause| matches!(cause.mode, FaultMode::Reroute | FaultMode::Flapping));
        finding.is_less_than(&self.finding) && !is_lasting && !is_another
    }

    /// Keeps what it is now, if it is worse than all before, or another thing.
    fn note_worst(&mut self, is_same_cause: bool) {
        let said = |finding: &Finding| {
            let cause = finding.causes.first();
            cause.map(|cause| (cause.elements.clone(), cause.mode))
        };
        let is_other = self.heals_since.is_none() && said(&self.worst) != said(&self.finding);
        let is_bare = self.worst.causes.iter().all(|cause| cause.evidence.is_empty());
        let is_less = self.finding.is_less_than(&self.worst);
        if !self.is_told || !is_same_cause || is_other || is_bare || !is_less {
            self.worst.clone_from(&self.finding);
        }
    }

    fn go_on(
        &mut self,
        finding: &Finding,
        now: UtcMicros,
        heard: &dyn Fn((ElementIx, ElementIx)) -> Heard,
    ) -> Option<Change> {
        self.see(now);
        if self.is_healing(finding, now, heard) {
            return None;
        }
        let is_same_cause = self.shares_cause(finding);
        let new = finding.causes.first();
        // What would open nothing says nothing of what people know: it is its last rounds.
        if self.is_told && new.is_none_or(|cause| cause.probability < OPEN_PROBABILITY) {
            return None;
        }
        let is_sure = new.is_some_and(|cause| CHANGE_PROBABILITY <= cause.probability);
        if is_same_cause {
            self.other_since = None;
        } else {
            // A passing doubt changes neither the incident nor anybody's sleep.
            let since = *self.other_since.get_or_insert(now);
            // From a target to what carries it the story only grows.
            // Who loses nothing more is on its way back: that is hindsight, and no news.
            let is_hindsight =
                !finding.lost.is_empty() && finding.lost_since(since) < finding.lost_min();
            let is_settled =
                (CHANGE_SETTLE_US <= now.0 - since.0 && !is_hindsight) || self.finding.is_target();
            if !is_sure {
                self.other_since = None;
            }
            if !is_sure || (self.is_told && !(is_settled && finding.is_fresh)) {
                return None;
            }
            self.other_since = None;
        }
        self.awaited_since = None;
        let old = self.finding.causes.first();
        let is_changed = !is_same_cause
            || old.map(|cause| (&cause.elements, cause.mode))
                != new.map(|cause| (&cause.elements, cause.mode))
            || self.finding.impact != finding.impact;
        let onset = self.finding.onset;
        if self.finding.pairs != finding.pairs {
            self.pairs_ever.extend(&finding.pairs);
        }
        self.finding = finding.clone();
        // What was seen of the beginning is not forgotten when the rounds age, nor when another
        // cause is likelier: it is only ever found to be earlier.
        if onset.1 <= finding.onset.1 {
            self.finding.onset = onset;
        }
        self.note_worst(is_same_cause);
        self.revision += u32::from(is_changed);
        match (self.is_told, is_same_cause) {
            (false, _) if finding.is_news() && finding.is_settled(now) => Some(Change::Opened),
            (true, false) if !finding.is_announced => Some(Change::CauseChanged),
            _ => None,
        }
    }

    /// One assessment did not show it.
    fn miss(
        &mut self,
        assessment: &Assessment,
        heard: &dyn Fn((ElementIx, ElementIx)) -> Heard,
    ) -> Option<Message> {
        self.missed += 1;
        let change = self.ending(assessment, heard)?;
        self.close();
        Some(Message { incident: self.id, change }).filter(|_| self.is_told)
    }

    /// How it ends now that an assessment did not show it; `None` if it does not.
    fn ending(
        &self,
        assessment: &Assessment,
        heard: &dyn Fn((ElementIx, ElementIx)) -> Heard,
    ) -> Option<Change> {
        let is_lost = 2 <= self.missed;
        let resolved = |is_over: bool| is_over.then_some(Change::Resolved);
        let is_answered = self.is_answered();
        let is_whole =
            self.awaited_since.is_none_or(|since| AWAITED_US <= assessment.at.0 - since.0);
        let (mut asked, mut answering, mut missing, mut is_blind) = (0, 0, 0, false);
        for pair in &self.finding.pairs {
            let is_since = |at: UtcMicros| !is_answered || self.seen_at < at;
            match heard(*pair) {
                Heard::Unasked => continue,
                Heard::Answered(at) if is_since(at) => answering += 1,
                // Who does not see is no witness, and is not waited for.
                Heard::Answered(_) | Heard::Silent if assessment.blind.contains(&pair.0) => {
                    is_blind = true;
                    continue;
                }
                Heard::Answered(_) | Heard::Silent => {
                    missing += usize::from(!assessment.explains(*pair));
                }
            }
            asked += 1;
        }
        if asked == 0 && !is_blind {
            // After a restart those pairs are left out that the inventory no longer has.
            let impact = &self.finding.impact;
            let is_hit = 0 < impact.targets_down + impact.targets_degraded;
            let is_known = self.is_told && (is_hit || !self.finding.pairs.is_empty());
            let change = if is_known { Change::Unasked } else { Change::Resolved };
            return (is_lost && (is_whole || is_known)).then_some(change);
        }
        let is_back = 0 < answering && asked == answering;
        let is_nearly = 0 < answering && missing * STRAGGLER_PAIRS <= asked;
        resolved((is_back && !is_answered) || (is_whole && is_lost && (is_nearly || !self.is_told)))
    }
}
