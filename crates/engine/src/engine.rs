//! The driver's view of the brain: inputs, outputs, deadlines, and readers for status pages.
//!
//! Rules of the road, each of which was somebody's bug: `now` is the time it is and not the
//! deadline that fired; a deadline is retired before its action; every turn is bounded; the driver
//! calls [`Engine::handle_timeout`] after every batch of inputs and drains
//! [`Engine::poll_decision`] before it waits. What is left over makes [`Engine::poll_timeout`]
//! name a time that has already come.

use std::collections::BTreeSet;

use model::{
    AgentId, AgentState, Cause, Decision, ProbeId, TierId, UtcMicros, Verdict, Wakeup, Why,
};
use serde::{Deserialize, Serialize};

use crate::{
    consensus::{Agreement, View, agree},
    defect::Defects,
    minutes::{RUNS_MAX, RUNS_MIN, RUNS_TOTAL},
    rules::{NEVER, Rules},
    state::{Agent, Decisions, Frame, Monitor, Pair, Probe, Word},
    why::{self, PairFacts, Voice},
};

/// Later than any time we judge: the year 9999. Keeps sums from overflowing.
const NOW_MAX: UtcMicros = UtcMicros(253_402_300_799_000_000);

/// Room for decisions that is kept once all are taken: those of an ordinary turn. What a change of
/// the whole inventory took is given back.
const DECISIONS_KEPT: usize = 4_096;

/// What the engine counted, since it was new: restarts and restores do not reset it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Rounds of probes, gateways and witnesses.
    pub rounds_total: u64,
    /// Of those: rounds that came too late for live verdicts.
    pub late_rounds_total: u64,
    /// Rounds of a probe that is not (or no longer) assigned to the agent, or of no known agent.
    pub stray_rounds_total: u64,
    /// Rounds of a pair and a time that had already been heard.
    pub repeated_rounds_total: u64,
    /// Late rounds of a minute that can no longer be revised.
    pub unrevisable_rounds_total: u64,
    /// Minutes that were said again.
    pub revisions_total: u64,
}

/// What one agent holds of one probe, for a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairStatus {
    pub verdict: Verdict,
    pub why: Why,
    /// Since when it holds the verdict for this cause.
    pub since: UtcMicros,
    /// Start of the newest round, asked or not.
    pub last_round_at: Option<UtcMicros>,
    /// Packets in the loss window, at most 100, and how many of them were lost.
    pub window_packets: u8,
    pub window_lost: u8,
    /// Mean of the newest answered round, in microseconds.
    pub rtt_us: Option<u32>,
}

/// What all agents hold of one probe, for a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStatus {
    pub verdict: Verdict,
    pub why: Why,
    pub since: UtcMicros,
    /// The assigned agents, in the order of their ids.
    pub agents: Vec<AgentId>,
}

/// What is held of an agent, for a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentStatus {
    pub state: AgentState,
    pub since: UtcMicros,
    pub text: String,
    /// When its heartbeat last came.
    pub heard_at: Option<UtcMicros>,
}

/// Everything that a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) now: UtcMicros,
    pub(crate) monitor: Monitor,
    pub(crate) assignment_version: u64,
    pub(crate) counters: Counters,
    pub(crate) pairs: usize,
    pub(crate) tiers: Vec<Option<Rules>>,
    pub(crate) agents: Vec<Option<Box<Agent>>>,
    pub(crate) probes: Vec<Option<Probe>>,
    /// Probes to look at before anything else is waited for.
    pub(crate) urgent: BTreeSet<ProbeId>,
    /// Probes with skipped minutes that nothing has been said of.
    pub(crate) unsaid: BTreeSet<ProbeId>,
}

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Agent(AgentId),
    Probe(ProbeId),
}

/// Judges everything. One task owns it.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) state: State,
    /// Deadlines of verdicts and agents. An entry may be early: then its owner is armed anew.
    pub(crate) timers: BTreeSet<(UtcMicros, Timer)>,
    /// When the oldest open minute of each probe is to be closed. Apart from the verdicts'
    /// deadlines, so that neither starves the other.
    pub(crate) closings: BTreeSet<(UtcMicros, ProbeId)>,
    pub(crate) decisions: Decisions,
    pub(crate) defects: Defects,
}

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

impl State {
    pub(crate) fn agent(&self, id: AgentId) -> Option<&Agent> {
        self.agents.get(index(id.0))?.as_deref()
    }

    pub(crate) fn agent_mut(&mut self, id: AgentId) -> Option<&mut Agent> {
        self.agents.get_mut(index(id.0))?.as_deref_mut()
    }

    pub(crate) fn probe(&self, id: ProbeId) -> Option<&Probe> {
        self.probes.get(index(id.0))?.as_ref()
    }

    /// The rules of a tier; those of a standard tier if the inventory has not named it yet.
    pub(crate) fn rules(&self, tier: TierId) -> Rules {
        rules_of(&self.tiers, tier)
    }

    pub(crate) fn runs_max(&self) -> usize {
        let entities = self.pairs.saturating_add(self.probes.len()).max(1);
        (RUNS_TOTAL / entities).clamp(RUNS_MIN, RUNS_MAX)
    }
}

pub(crate) fn rules_of(tiers: &[Option<Rules>], tier: TierId) -> Rules {
    tiers.get(index(tier.0)).copied().flatten().unwrap_or_else(Rules::standard)
}

pub(crate) fn slot<T>(slots: &mut [Option<T>], id: u32) -> Option<&mut Option<T>> {
    slots.get_mut(index(id))
}

/// Finds the slot of an id, making room for it.
///
/// Ids come from the store, which hands them out densely from 1.
pub(crate) fn slot_grown<T>(slots: &mut Vec<Option<T>>, id: u32) -> Option<&mut Option<T>> {
    let index = index(id);
    if slots.len() <= index {
        slots.resize_with(index.checked_add(1)?, || None);
    }
    slots.get_mut(index)
}

impl Engine {
    /// Makes an engine that knows nothing.
    #[must_use]
    pub fn new(started_at: UtcMicros) -> Engine {
        let now = started_at.min(NOW_MAX);
        Engine::from_state(State {
            now,
            monitor: Monitor { started_at: now, resumed_at: now, downtimes: Vec::new() },
            assignment_version: 0,
            counters: Counters::default(),
            pairs: 0,
            tiers: Vec::new(),
            agents: Vec::new(),
            probes: Vec::new(),
            urgent: BTreeSet::new(),
            unsaid: BTreeSet::new(),
        })
    }

    /// Switches on one mistake, for the simulator's oracle to find.
    #[cfg(feature = "seeded-defects")]
    #[must_use]
    pub fn with_defect(mut self, defect: crate::Defect) -> Engine {
        self.defects = Defects::only(defect);
        for rules in self.state.tiers.iter_mut().flatten() {
            rules.defects = self.defects;
        }
        if defect == crate::Defect::TimerLostAtRestore && self.is_restored() {
            self.timers.clear();
        }
        self
    }

    #[cfg(feature = "seeded-defects")]
    fn is_restored(&self) -> bool {
        self.decisions.is_empty() && !self.state.probes.is_empty()
    }

    /// Takes the time over; it never runs backwards.
    pub(crate) fn advance(&mut self, now: UtcMicros) -> UtcMicros {
        self.state.now = self.state.now.max(now.min(NOW_MAX));
        self.state.now
    }

    /// Takes the oldest decision that nobody has taken yet.
    pub fn poll_decision(&mut self) -> Option<Decision> {
        let decision = self.decisions.pop_front();
        if decision.is_none() && DECISIONS_KEPT < self.decisions.capacity() {
            self.decisions = Decisions::new();
        }
        decision
    }

    /// Says when [`Engine::handle_timeout`] has work next, and why. The time may have come already.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let at_once =
            |is_due: bool, reason| is_due.then_some(Wakeup { at: self.state.now, reason });
        let timer = self.timers.first().map(|&(at, timer)| {
            let reason = match timer {
                Timer::Agent(_) => "an agent's heartbeat is due",
                Timer::Probe(_) => "a verdict's evidence ends",
            };
            Wakeup { at, reason }
        });
        let closing =
            self.closings.first().map(|&(at, _)| Wakeup { at, reason: "a minute is to be closed" });
        [
            at_once(!self.state.urgent.is_empty(), "probes are to be looked at"),
            at_once(!self.state.unsaid.is_empty(), "skipped minutes are to be said"),
            timer,
            closing,
        ]
        .into_iter()
        .flatten()
        .min_by_key(|wakeup| wakeup.at)
    }

    /// Arms a probe's deadline, unless an earlier one is armed: that one will arm it anew.
    pub(crate) fn arm_probe(&mut self, id: ProbeId, at: UtcMicros) {
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            return;
        };
        arm(&mut self.timers, &mut probe.armed, Timer::Probe(id), at);
    }

    pub(crate) fn arm_agent(&mut self, id: AgentId, at: UtcMicros) {
        let Some(agent) = slot(&mut self.state.agents, id.0).and_then(Option::as_mut) else {
            return;
        };
        arm(&mut self.timers, &mut agent.armed, Timer::Agent(id), at);
    }

    /// What one agent holds of one probe; `None` if it is not assigned.
    pub fn pair_status(&self, probe: ProbeId, agent: AgentId) -> Option<PairStatus> {
        let probe = self.state.probe(probe)?;
        let pair = probe.pairs.get(probe.index_of(agent)?)?;
        let (window_lost, window_packets) = pair.watch.loss();
        let last_at = pair.watch.last_at();
        Some(PairStatus {
            verdict: pair.watch.verdict(),
            why: self.state.why_pair(probe, pair),
            since: pair.since,
            last_round_at: (last_at != NEVER).then_some(last_at),
            window_packets,
            window_lost,
            rtt_us: pair.watch.rtt_us(),
        })
    }

    /// What all agents hold of one probe; `None` if there is no such probe.
    pub fn probe_status(&self, probe: ProbeId) -> Option<ProbeStatus> {
        let probe = self.state.probe(probe)?;
        Some(ProbeStatus {
            verdict: probe.verdict,
            why: self.state.why_consensus(probe, &self.state.agreement(probe, self.defects)),
            since: probe.since,
            agents: probe.pairs.iter().map(|pair| pair.agent).collect(),
        })
    }

    /// What is held of an agent; `None` if there is no such agent.
    pub fn agent_status(&self, agent: AgentId) -> Option<AgentStatus> {
        let agent = self.state.agent(agent)?;
        Some(AgentStatus {
            state: agent.state,
            since: agent.since,
            text: agent.why.to_string(),
            heard_at: (agent.heard_at != NEVER).then_some(agent.heard_at),
        })
    }

    /// The probes that an agent is to ask now, paused ones left out, in the order of their ids.
    pub fn assignment(&self, agent: AgentId) -> Vec<ProbeId> {
        let Some(agent) = self.state.agent(agent) else {
            return Vec::new();
        };
        let is_asked = |id: &ProbeId| self.state.probe(*id).is_some_and(|probe| !probe.is_paused);
        agent.probes.iter().copied().filter(is_asked).collect()
    }

    /// Grows whenever anything changed that agents are told: who asks what, how, at which address.
    pub fn assignment_version(&self) -> u64 {
        self.state.assignment_version
    }

    pub fn counters(&self) -> Counters {
        self.state.counters
    }
}

/// Arms a deadline, unless an earlier one is armed.
fn arm(
    timers: &mut BTreeSet<(UtcMicros, Timer)>,
    armed: &mut Option<UtcMicros>,
    timer: Timer,
    at: UtcMicros,
) {
    if armed.is_some_and(|armed| armed <= at) {
        return;
    }
    if let Some(was) = armed.replace(at) {
        timers.remove(&(was, timer));
    }
    timers.insert((at, timer));
}

/// Makes the frame of one input out of the parts that nobody changes meanwhile.
pub(crate) fn frame<'a>(
    now: UtcMicros,
    monitor: &'a Monitor,
    runs_max: usize,
    defects: Defects,
) -> Frame<'a> {
    Frame { now, monitor, runs_max, defects }
}

impl State {
    pub(crate) fn why_pair(&self, probe: &Probe, pair: &Pair) -> Why {
        let rules = self.rules(probe.tier);
        let facts = pair_facts(pair, self.agent(pair.agent), &rules, self.now);
        why::pair(pair.watch.verdict(), pair.watch.cause(), &facts)
    }

    /// Whether the first rounds of a pair are on their way.
    pub(crate) fn is_awaited(&self, pair: &Pair) -> bool {
        pair.watch.cause() == Cause::NotYet && self.agent(pair.agent).is_some_and(Agent::is_heard)
    }

    /// What the assigned agents hold together by now. Those who left speak for those who ask in
    /// their place until these have judged.
    pub(crate) fn agreement(&self, probe: &Probe, defects: Defects) -> Agreement {
        let view = |pair: &Pair| View {
            agent: pair.agent,
            verdict: pair.watch.verdict(),
            cause: pair.watch.cause(),
            has_judged: pair.has_judged,
            is_awaited: self.is_awaited(pair),
        };
        let word = |(agent, word): (AgentId, &Word)| View {
            agent,
            verdict: word.verdict,
            cause: word.cause,
            has_judged: true,
            is_awaited: false,
        };
        let pairs = probe.pairs.iter().map(view);
        let views: Vec<View> = pairs.chain(probe.words(self.now).map(word)).collect();
        let held = (probe.verdict, probe.cause);
        let mut agreement = agree(held, &views, probe.pooled().0, defects);
        if probe.is_paused {
            agreement.cause = Cause::Paused;
        }
        agreement
    }

    pub(crate) fn why_consensus(&self, probe: &Probe, agreement: &Agreement) -> Why {
        let name = |id: AgentId| self.agent(id).map_or("a deleted agent", |agent| &agent.name);
        let voice = |pair: &Pair| Voice {
            agent: name(pair.agent).to_owned(),
            verdict: pair.watch.verdict(),
            cause: pair.watch.cause(),
            text: self.why_pair(probe, pair).text,
        };
        let left = |(agent, word): (AgentId, &Word)| Voice {
            agent: name(agent).to_owned(),
            verdict: word.verdict,
            cause: word.cause,
            text: word.text.clone(),
        };
        let voices = probe.pairs.iter().map(voice);
        let voices: Vec<Voice> = voices.chain(probe.words(self.now).map(left)).collect();
        let (_, lost) = probe.pooled();
        let losers = || {
            let lost = |pair: &&Pair| 0 < probe.pool.lost_of(pair.share);
            let names: Vec<String> = probe
                .pairs
                .iter()
                .filter(lost)
                .map(|pair| format!("{} {}", name(pair.agent), probe.pool.lost_of(pair.share)))
                .collect();
            names.join(", ")
        };
        let pooled = (0 < lost).then(|| (lost, losers()));
        let named = agreement.named.map(name);
        why::consensus(agreement.verdict, agreement.cause, named, &voices, pooled)
    }
}

pub(crate) fn pair_facts<'a>(
    pair: &'a Pair,
    agent: Option<&'a Agent>,
    rules: &'a Rules,
    now: UtcMicros,
) -> PairFacts<'a> {
    PairFacts {
        watch: &pair.watch,
        rules,
        agent: agent.map_or("a deleted agent", |agent| &agent.name),
        seen: agent.and_then(|agent| agent.sight.seen()),
        is_agent_heard: agent.is_some_and(Agent::is_heard),
        is_agent_awaited: agent.is_some_and(|agent| agent.is_awaited),
        agent_heard_at: agent.map(|a| a.heard_at).filter(|&at| at != NEVER),
        now,
    }
}
