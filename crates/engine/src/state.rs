//! What the engine holds: agents, probes, and the pairs of both.
//!
//! Pairs live inside their probe, so that one round touches one place and the consensus finds all
//! views side by side. Ids are dense, so probes and agents are found by index. The functions here
//! keep minutes and turn verdicts; when to do so is the engine's business.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
};

use model::{
    AgentId, AgentState, AgentStateChange, Capabilities, Cause, Decision, DecisionKind, Entity,
    Minute, MinuteTruth, OrgId, ProbeId, TierId, UtcMicros, Verdict, VerdictChange, Why,
};
use serde::{Deserialize, Serialize};

use crate::{
    consensus::{Agreement, NOTHING_HELD, Pooled, View, agree},
    defect::Defects,
    lane::{Lane, Late},
    loss::{Pool, PoolShare},
    minutes::{Accumulated, Past, Peers, Said},
    rules::{GRACE_US, NEVER, Rules, after},
    sight::Sight,
    watch::Watch,
};

/// Times that the server itself was not running, newest last. More than it can restart within the
/// time that a minute waits to be closed.
pub(crate) const DOWNTIMES_MAX: usize = 8;

/// Where decisions go.
pub(crate) type Decisions = VecDeque<Decision>;

/// What the server knows about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Monitor {
    /// When it last started.
    pub(crate) started_at: UtcMicros,
    /// When it last began to listen: it started, or its clock stepped. Nobody is called silent for
    /// what came before.
    pub(crate) resumed_at: UtcMicros,
    pub(crate) downtimes: Vec<(UtcMicros, UtcMicros)>,
}

impl Monitor {
    fn was_down_in(&self, minute: Minute) -> bool {
        self.downtimes.iter().any(|&(from, to)| from < minute.end() && minute.start() < to)
    }

    fn was_down_at(&self, at: UtcMicros) -> bool {
        self.downtimes.iter().any(|&(from, to)| from <= at && at < to)
    }
}

/// What stays the same while one input is handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) now: UtcMicros,
    pub(crate) monitor: &'a Monitor,
    pub(crate) runs_max: usize,
    pub(crate) defects: Defects,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) org: OrgId,
    pub(crate) name: Box<str>,
    pub(crate) is_active: bool,
    /// As it said last; none until it was heard.
    pub(crate) capabilities: Capabilities,
    pub(crate) state: AgentState,
    pub(crate) since: UtcMicros,
    pub(crate) why: Box<str>,
    pub(crate) heard_at: UtcMicros,
    /// It was heard before the server started (at `heard_at`), and not since.
    pub(crate) is_awaited: bool,
    /// Since when its heartbeat comes without a break.
    pub(crate) heard_since: UtcMicros,
    pub(crate) sight: Sight,
    /// Its probes or their tiers changed since `sight` was told of them.
    pub(crate) is_sight_stale: bool,
    pub(crate) probes: BTreeSet<ProbeId>,
    /// Probes whose conviction waits for proof of sight.
    pub(crate) waiting: BTreeSet<ProbeId>,
    /// What it had last seen when they were looked at.
    pub(crate) looked_at: UtcMicros,
    pub(crate) armed: Option<UtcMicros>,
    pub(crate) lane: Option<Box<Lane>>,
}

impl Agent {
    pub(crate) fn new(org: OrgId, name: &str, is_active: bool, now: UtcMicros) -> Agent {
        Agent {
            org,
            name: name.into(),
            is_active,
            capabilities: Capabilities::default(),
            state: AgentState::NeverSeen,
            since: now,
            why: crate::why::agent_created().into(),
            heard_at: NEVER,
            is_awaited: false,
            heard_since: NEVER,
            sight: Sight::new(),
            is_sight_stale: true,
            probes: BTreeSet::new(),
            waiting: BTreeSet::new(),
            looked_at: NEVER,
            armed: None,
            lane: None,
        }
    }

    /// Whether its heartbeat comes.
    pub(crate) fn is_heard(&self) -> bool {
        matches!(self.state, AgentState::Online | AgentState::Blind)
    }

    pub(crate) fn turn(
        &mut self,
        id: AgentId,
        to: AgentState,
        text: String,
        now: UtcMicros,
        decisions: &mut Decisions,
    ) {
        let from = std::mem::replace(&mut self.state, to);
        self.since = now;
        self.why = text.as_str().into();
        let change = AgentStateChange { agent: id, from, to, at: now, text };
        let kind = DecisionKind::Agent(change);
        decisions.push_back(Decision { org: self.org, decided_at: now, kind });
    }
}

/// What one agent holds of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) watch: Watch,
    pub(crate) agent: AgentId,
    pub(crate) share: PoolShare,
    /// It has held a verdict since it began, its address was changed, or a pause ended.
    pub(crate) has_judged: bool,
    pub(crate) since: UtcMicros,
    /// What the probe's name last stood for, and from when on; of few probes.
    pub(crate) asked: Option<Box<(UtcMicros, IpAddr)>>,
    /// The open minutes, by the lowest bit of their number.
    pub(crate) open: [Accumulated; 2],
    pub(crate) past: Option<Box<Past>>,
    pub(crate) late: Option<Box<Late>>,
}

/// A pair that is no longer asked, until its last minutes are said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) pair: Pair,
    /// When it ended.
    pub(crate) at: UtcMicros,
    /// What it held then and why, while that speaks still: whoever asks now has not judged yet.
    pub(crate) word: Option<Box<Word>>,
}

/// What a pair held when it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) text: String,
    /// Until when its last round speaks.
    pub(crate) evidence_until: UtcMicros,
}

impl Word {
    /// When silence ends it, as it would have ended the pair's.
    pub(crate) fn until(&self) -> UtcMicros {
        after(self.evidence_until, GRACE_US)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) id: ProbeId,
    pub(crate) org: OrgId,
    pub(crate) tier: TierId,
    pub(crate) is_paused: bool,
    pub(crate) pool: Pool,
    pub(crate) pairs: Vec<Pair>,
    /// Pairs that ended lately; of few probes. At most one an agent.
    pub(crate) left: Vec<Left>,
    /// Oldest and newest open minute: one or two.
    pub(crate) oldest: Minute,
    pub(crate) newest: Minute,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) since: UtcMicros,
    pub(crate) open: [Accumulated; 2],
    pub(crate) past: Option<Box<Past>>,
    /// Closed minutes, from and up to, of which nothing has been said as yet.
    pub(crate) unsaid: Option<(Minute, Minute)>,
    pub(crate) armed: Option<UtcMicros>,
    pub(crate) closing: Option<UtcMicros>,
    pub(crate) address: Box<str>,
    /// An agent with one of these can ask it.
    pub(crate) needed: Capabilities,
}

/// Where an open minute is kept.
fn place(minute: Minute) -> usize {
    usize::from(minute.0 & 1 == 1)
}

impl Pair {
    /// Begins one: of the minutes before the one of `now` it has nothing to say.
    pub(crate) fn new(agent: AgentId, now: UtcMicros) -> Pair {
        let minute = now.minute();
        let mut open = [Accumulated::new(); 2];
        let before = Minute(minute.0 - 1);
        open[place(before)].begin_at(before, now);
        open[place(minute)].begin_at(minute, now);
        open[place(minute)].note_held(Verdict::Unknown, Cause::NotYet);
        Pair {
            watch: Watch::new(),
            agent,
            share: PoolShare::default(),
            has_judged: false,
            since: now,
            asked: None,
            open,
            past: None,
            late: None,
        }
    }

    pub(crate) fn open_mut(&mut self, minute: Minute) -> &mut Accumulated {
        &mut self.open[place(minute)]
    }

    /// A verdict that is only carried over from before the server was away is not held until a
    /// round renews it.
    fn begin_minute(&mut self, minute: Minute, is_carried: bool) {
        let mut accumulated = Accumulated::new();
        if !is_carried || self.watch.verdict() == Verdict::Unknown {
            accumulated.note_held(self.watch.verdict(), self.watch.cause());
        }
        if !self.watch.is_cut() {
            accumulated.cover(minute, minute.start(), self.watch.evidence_until());
        }
        *self.open_mut(minute) = accumulated;
    }
}

impl Probe {
    pub(crate) fn index_of(&self, agent: AgentId) -> Option<usize> {
        // Few agents ask one target; with many the ids are in order.
        if self.pairs.len() <= 8 {
            self.pairs.iter().position(|pair| pair.agent == agent)
        } else {
            self.pairs.binary_search_by_key(&agent, |pair| pair.agent).ok()
        }
    }

    pub(crate) fn open_mut(&mut self, minute: Minute) -> &mut Accumulated {
        &mut self.open[place(minute)]
    }

    /// The oldest minute that is open once the minutes are rolled on to `now`.
    pub(crate) fn oldest_at(&self, now: UtcMicros) -> Minute {
        let minute = now.minute();
        match minute.0.saturating_sub(self.newest.0) {
            ..=0 => self.oldest,
            1 => self.newest,
            _ => minute,
        }
    }

    /// Gives one pair a verdict, from `frame.now` on.
    pub(crate) fn turn_pair(
        &mut self,
        index: usize,
        (verdict, cause): (Verdict, Cause),
        why: Why,
        frame: &Frame<'_>,
        decisions: &mut Decisions,
    ) {
        let (oldest, newest, now) = (self.oldest, self.newest, frame.now);
        let Some(pair) = self.pairs.get_mut(index) else {
            return;
        };
        let from = pair.watch.verdict();
        pair.watch.turn(verdict, cause, now);
        pair.has_judged = verdict != Verdict::Unknown
            || (pair.has_judged && !matches!(cause, Cause::Paused | Cause::NotYet));
        pair.since = now;
        pair.open_mut(newest).note_held(verdict, cause);
        if matches!(cause, Cause::AgentOffline | Cause::AgentBlind | Cause::Paused) {
            pair.open_mut(oldest).uncover_from(oldest, now);
            pair.open_mut(newest).uncover_from(newest, now);
        }
        let entity = Entity::Pair { probe: self.id, agent: pair.agent };
        let change = VerdictChange { entity, from, to: verdict, at: now, why };
        let kind = DecisionKind::Verdict(change);
        decisions.push_back(Decision { org: self.org, decided_at: now, kind });
    }

    /// Gives the consensus a verdict, from `frame.now` on.
    pub(crate) fn turn_consensus(
        &mut self,
        agreement: Agreement,
        why: Why,
        frame: &Frame<'_>,
        decisions: &mut Decisions,
    ) {
        let from = std::mem::replace(&mut self.verdict, agreement.verdict);
        self.cause = agreement.cause;
        self.since = frame.now;
        if matches!(agreement.verdict, Verdict::Down | Verdict::Unknown) {
            self.pool.reset();
        }
        let newest = self.newest;
        self.open_mut(newest).note_held(agreement.verdict, agreement.cause);
        let entity = Entity::Consensus { probe: self.id };
        let change = VerdictChange { entity, from, to: agreement.verdict, at: frame.now, why };
        let kind = DecisionKind::Verdict(change);
        decisions.push_back(Decision { org: self.org, decided_at: frame.now, kind });
    }

    /// Whose packets raised the pooled test: one agent's alone if all others together lost at most
    /// an eighth of them, which chance explains. Also the number of lost packets.
    pub(crate) fn pooled(&self) -> (Pooled, u32) {
        if !self.pool.is_raised() {
            return (Pooled::Calm, 0);
        }
        let lost_of = |pair: &Pair| u32::from(self.pool.lost_of(pair.share));
        let lost: u32 = self.pairs.iter().map(lost_of).sum();
        match self.pairs.iter().max_by_key(|pair| (lost_of(pair), std::cmp::Reverse(pair.agent))) {
            Some(most) if (lost - lost_of(most)) * 8 <= lost => (Pooled::One(most.agent), lost),
            _ => (Pooled::Many, lost),
        }
    }

    /// Opens minutes up to the one of `frame.now`.
    ///
    /// At most two are open. Minutes that passed while nobody looked (the server was not running)
    /// are kept as `MonitorDown` and said later, in bounded turns.
    pub(crate) fn roll(&mut self, rules: &Rules, frame: &Frame<'_>, decisions: &mut Decisions) {
        let minute = frame.now.minute();
        if minute <= self.newest {
            return;
        }
        if self.newest.next() < minute {
            while self.oldest <= self.newest {
                self.close_oldest(rules, frame, decisions);
            }
            let next = self.newest.next();
            if !frame.monitor.was_down_at(next.start()) {
                // It began under a running server: what was held then belongs to it.
                (self.oldest, self.newest) = (next, next);
                self.begin_minute(next, false);
                self.close_oldest(rules, frame, decisions);
            }
            self.skip(self.newest.next(), minute, frame);
            self.oldest = minute;
        } else if self.oldest < self.newest {
            self.close_oldest(rules, frame, decisions);
        }
        self.newest = minute;
        self.begin_minute(minute, frame.monitor.was_down_at(minute.start()));
    }

    fn begin_minute(&mut self, minute: Minute, is_carried: bool) {
        let (verdict, cause) = (self.verdict, self.cause);
        let accumulated = self.open_mut(minute);
        *accumulated = Accumulated::new();
        if !is_carried || verdict == Verdict::Unknown {
            accumulated.note_held(verdict, cause);
        }
        for pair in &mut self.pairs {
            pair.begin_minute(minute, is_carried);
        }
        self.cover_by_left(minute);
    }

    /// What those who left heard speaks for all until whoever asks now has judged.
    fn cover_by_left(&mut self, minute: Minute) {
        let accumulated = &mut self.open[place(minute)];
        for left in &self.left {
            if let Some(word) = &left.word {
                accumulated.cover(minute, left.at, word.evidence_until);
            }
        }
    }

    /// Ends a pair. Its open minutes are said with what they have when they are closed; its `word`
    /// counts for as long as its last round speaks, if nobody else has judged.
    pub(crate) fn leave(&mut self, index: usize, word: Option<Word>, now: UtcMicros) {
        let mut pair = self.pairs.remove(index);
        let (oldest, newest) = (self.oldest, self.newest);
        for minute in [oldest, newest] {
            pair.open_mut(minute).uncover_from(minute, now);
        }
        pair.late = None;
        self.left.push(Left { pair, at: now, word: word.map(Box::new) });
        self.cover_by_left(oldest);
        self.cover_by_left(newest);
    }

    /// Begins a pair. One that ended within the same minutes goes on with what they have.
    pub(crate) fn join(&mut self, index: usize, agent: AgentId, now: UtcMicros) {
        let mut pair = Pair::new(agent, now);
        if let Some(at) = self.left.iter().position(|left| left.pair.agent == agent) {
            let mut left = self.left.remove(at);
            for minute in [self.oldest, self.newest] {
                if minute <= left.at.minute() {
                    *pair.open_mut(minute) = *left.pair.open_mut(minute);
                }
            }
            pair.open_mut(self.newest).note_held(Verdict::Unknown, Cause::NotYet);
            pair.past = left.pair.past;
        }
        self.pairs.insert(index, pair);
    }

    /// What those who left held and still speaks.
    pub(crate) fn words<'a>(&'a self, now: UtcMicros) -> impl Iterator<Item = (AgentId, &'a Word)> {
        let word = |left: &'a Left| Some((left.pair.agent, left.word.as_deref()?));
        self.left.iter().filter_map(word).filter(move |(_, word)| now < word.until())
    }

    /// Forgets what those held who left: somebody else has judged, or nobody is to.
    pub(crate) fn forget_words(&mut self) {
        self.left.iter_mut().for_each(|left| left.word = None);
    }

    /// Notes what all hold, if nothing is noted in the newest minute and some pair's rounds have
    /// renewed what it holds.
    pub(crate) fn renew_consensus(&mut self) {
        let (verdict, cause, newest) = (self.verdict, self.cause, self.newest);
        let is_renewed = self.pairs.iter_mut().any(|pair| pair.open_mut(newest).is_held());
        let accumulated = self.open_mut(newest);
        if is_renewed && verdict != Verdict::Unknown && !accumulated.is_held() {
            accumulated.note_held(verdict, cause);
        }
    }

    /// Keeps the minutes from `first` up to `end` as Unknown, to be said later.
    fn skip(&mut self, first: Minute, end: Minute, frame: &Frame<'_>) {
        let first = first.max(Minute(end.0 - crate::minutes::REVISABLE_MINUTES_MAX));
        let Ok(minutes) = u16::try_from(end.0.saturating_sub(first.0)) else {
            return;
        };
        if minutes == 0 {
            return;
        }
        let unknown = |cause| {
            let mut accumulated = Accumulated::new();
            accumulated.note_unknown(cause);
            let verdict = Verdict::Unknown;
            (accumulated, Said { verdict, cause, first: verdict, revision: 0 })
        };
        let cause = if self.is_paused { Cause::Paused } else { Cause::MonitorDown };
        let (accumulated, said) = unknown(cause);
        let mut pasts: Vec<&mut Option<Box<Past>>> =
            self.pairs.iter_mut().map(|pair| &mut pair.past).collect();
        pasts.push(&mut self.past);
        for past in pasts {
            let past = past.get_or_insert_default();
            past.keep(first, minutes, accumulated, said, Peers::default(), frame.runs_max);
        }
        let from = self.unsaid.map_or(first, |(from, _)| from);
        self.unsaid = Some((from, end));
    }

    /// Says the truth of the oldest open minute, for each pair and for all.
    ///
    /// What all held is what was held live. If nothing was, because the rounds of the minute came
    /// late, it is what the pairs' truths amount to.
    pub(crate) fn close_oldest(
        &mut self,
        rules: &Rules,
        frame: &Frame<'_>,
        decisions: &mut Decisions,
    ) {
        let minute = self.oldest;
        let was_down = frame.monitor.was_down_in(minute);
        let mut all = *self.open_mut(minute);
        let mut peers = Peers::default();
        let mut is_any_kept = false;
        let mut views = Vec::new();
        for pair in &mut self.pairs {
            let (verdict, cause) = (pair.watch.verdict(), pair.watch.cause());
            let accumulated = pair.open_mut(minute);
            if accumulated.is_absent() {
                continue;
            }
            if !accumulated.is_whole() {
                if was_down {
                    accumulated.note_unknown(Cause::MonitorDown);
                } else if !accumulated.is_told() && verdict == Verdict::Unknown {
                    accumulated.note_unknown(cause);
                }
            }
            let accumulated = *accumulated;
            all.join(&accumulated);
            let truth = accumulated.truth(frame.defects);
            let entity = Entity::Pair { probe: self.id, agent: pair.agent };
            let said = first_said(truth);
            if accumulated.began_with(&all) {
                views.push(view_of(pair.agent, truth));
            }
            say(self.org, entity, minute, &accumulated, &said, frame.now, decisions);
            let is_complete = accumulated.is_whole() || accumulated.is_beginning();
            // A round of this minute may be on its way still, although others speak for it.
            let next_at = after(pair.watch.last_at(), rules.interval_us);
            if is_complete && minute.end() <= next_at {
                peers.add(truth);
                if let Some(past) = &mut pair.past {
                    past.forget_before(minute);
                    if past.is_empty() {
                        pair.past = None;
                    }
                }
            } else {
                is_any_kept = true;
                let past = pair.past.get_or_insert_default();
                past.keep(minute, 1, accumulated, said, Peers::default(), frame.runs_max);
            }
        }
        self.close_left(minute, (&mut all, &mut views, &mut peers), frame, decisions);
        let said = first_said(truth_of_all(&all, &views, frame.defects));
        let entity = Entity::Consensus { probe: self.id };
        say(self.org, entity, minute, &all, &said, frame.now, decisions);
        if is_any_kept {
            let past = self.past.get_or_insert_default();
            past.keep(minute, 1, all, said, peers, frame.runs_max);
        }
        if let Some(past) = &mut self.past {
            past.forget_before(minute);
            if past.is_empty() {
                self.past = None;
            }
        }
        self.oldest = if self.oldest < self.newest { self.newest } else { minute.next() };
        let is_unsaid = self.unsaid.is_some();
        self.left.retain(|left| is_unsaid || left.word.is_some() || minute.end() < left.at);
    }

    /// Says a minute of those who left in it or later. Only who was there to its end has a view of
    /// it.
    fn close_left(
        &mut self,
        minute: Minute,
        (all, views, peers): (&mut Accumulated, &mut Vec<View>, &mut Peers),
        frame: &Frame<'_>,
        decisions: &mut Decisions,
    ) {
        for left in self.left.iter_mut().filter(|left| minute.start() < left.at) {
            let agent = left.pair.agent;
            let accumulated = left.pair.open_mut(minute);
            if accumulated.is_absent() {
                continue;
            }
            all.join(accumulated);
            // What is after its end is nobody's gap.
            accumulated.cover(minute, left.at, minute.end());
            let accumulated = *accumulated;
            let truth = accumulated.truth(frame.defects);
            if minute.end() <= left.at && accumulated.began_with(all) {
                views.push(view_of(agent, truth));
                peers.add(truth);
            }
            let entity = Entity::Pair { probe: self.id, agent };
            say(self.org, entity, minute, &accumulated, &first_said(truth), frame.now, decisions);
        }
    }

    /// Says skipped minutes, at most `minutes_max` of them; returns whether all are said.
    pub(crate) fn say_skipped(
        &mut self,
        minutes_max: i64,
        now: UtcMicros,
        decisions: &mut Decisions,
    ) -> bool {
        let Some((from, end)) = self.unsaid else {
            return true;
        };
        let until = Minute(end.0.min(from.0.saturating_add(minutes_max)));
        let mut minute = from;
        while minute < until {
            let (org, probe) = (self.org, self.id);
            let left = self.left.iter_mut().map(|left| &mut left.pair);
            for pair in self.pairs.iter_mut().chain(left) {
                let entity = Entity::Pair { probe, agent: pair.agent };
                say_kept(org, entity, minute, pair.past.as_deref_mut(), now, decisions);
            }
            let entity = Entity::Consensus { probe };
            say_kept(org, entity, minute, self.past.as_deref_mut(), now, decisions);
            minute = minute.next();
        }
        self.unsaid = (until < end).then_some((until, end));
        self.unsaid.is_none()
    }

    pub(crate) fn is_unsaid(&self, minute: Minute) -> bool {
        self.unsaid.is_some_and(|(from, end)| from <= minute && minute < end)
    }
}

impl Peers {
    fn add(&mut self, (verdict, cause): (Verdict, Cause)) {
        match verdict {
            Verdict::Up => self.up = self.up.saturating_add(1),
            Verdict::Degraded => self.degraded = self.degraded.saturating_add(1),
            Verdict::Down => self.down = self.down.saturating_add(1),
            Verdict::Unknown => (),
        }
        self.is_lossy |= cause == Cause::Loss;
    }
}

/// How an agent's minute counts in what all hold of it.
pub(crate) fn view_of(agent: AgentId, (verdict, cause): (Verdict, Cause)) -> View {
    View { agent, verdict, cause, has_judged: cause != Cause::NotYet, is_awaited: false }
}

/// What all held of a minute: what was held live, or else what the agents' minutes amount to.
fn truth_of_all(all: &Accumulated, views: &[View], defects: Defects) -> (Verdict, Cause) {
    let truth = all.truth(defects);
    let agreement = agree(NOTHING_HELD, views, Pooled::Calm, defects);
    if truth.0 == Verdict::Unknown && agreement.verdict != Verdict::Unknown {
        (agreement.verdict, agreement.cause)
    } else {
        truth
    }
}

fn first_said((verdict, cause): (Verdict, Cause)) -> Said {
    Said { verdict, cause, first: verdict, revision: 0 }
}

/// Reports a minute.
pub(crate) fn say(
    org: OrgId,
    entity: Entity,
    minute: Minute,
    accumulated: &Accumulated,
    said: &Said,
    now: UtcMicros,
    decisions: &mut Decisions,
) {
    let truth = MinuteTruth {
        entity,
        minute,
        verdict: said.verdict,
        cause: said.cause,
        counts: accumulated.counts(),
        revision: said.revision,
        said_first: (0 < said.revision).then_some(said.first),
    };
    let kind = DecisionKind::Minute(truth);
    decisions.push_back(Decision { org, decided_at: now, kind });
}

/// Reports a skipped minute for the first time, as it stands by now.
fn say_kept(
    org: OrgId,
    entity: Entity,
    minute: Minute,
    past: Option<&mut Past>,
    now: UtcMicros,
    decisions: &mut Decisions,
) {
    let Some(past) = past else {
        return;
    };
    // Untouched minutes stay in their run: only looking at them must not cut it.
    let Some(kept) = past.get(minute) else {
        return;
    };
    if !kept.is_touched {
        let kept = *kept;
        return say(org, entity, minute, &kept.accumulated, &kept.said, now, decisions);
    }
    if let Some(kept) = past.get_mut(minute) {
        kept.is_touched = false;
        kept.said = first_said(kept.accumulated.truth(Defects::default()));
        say(org, entity, minute, &kept.accumulated, &kept.said, now, decisions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minutes::Kept;

    /// Of 100,000 targets and three agents that is 77 MB, and 24 MB while every pair keeps a minute
    /// that late rounds may still fill.
    #[test]
    fn what_is_held_of_every_pair_and_probe_is_small() {
        let sizes = [
            ("pair", size_of::<Pair>(), 184),
            ("probe", size_of::<Probe>(), 264),
            ("minute", size_of::<Accumulated>(), 40),
            ("kept minutes", size_of::<Kept>(), 64),
            ("past", size_of::<Past>(), 72),
        ];
        for (what, bytes, bytes_max) in sizes {
            assert!(bytes <= bytes_max, "{what}: {bytes} bytes, {bytes_max} at most");
        }
    }
}
