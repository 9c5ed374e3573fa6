//! The inventory as the engine needs it: who exists, what is asked how, and by whom.
//!
//! Applying a change twice changes nothing the second time. It judges nothing: probes whose agents
//! or policy changed are looked at in the next turn.

use std::collections::BTreeSet;

use model::{
    Address, AgentId, AgentSpec, AgentState, Capabilities, Cause, InventoryChange, OrgId, ProbeId,
    ProbeSpec, Strategy, Tier, TierId, UtcMicros, Verdict, Why,
};

use crate::{
    assign::agents_preferring,
    engine::{Engine, frame, pair_facts, rules_of, slot, slot_grown},
    minutes::Accumulated,
    rules::Rules,
    state::{Agent, Pair, Probe, Word},
    watch::Watch,
    why,
};

/// The agents of an organisation that may be given something to ask, in the order of their ids.
struct Candidates {
    heard: Vec<(AgentId, Capabilities)>,
    unheard: Vec<AgentId>,
}

impl Candidates {
    /// Chooses who asks a probe. If not all do, then first who can, as it said itself; then who
    /// was heard but cannot: its rounds say at least why nothing is known; and only then who was
    /// never heard.
    fn choose(&self, probe: &Probe, strategy: Strategy) -> Vec<AgentId> {
        let (mut able, mut unable) = (Vec::new(), Vec::new());
        for &(agent, capabilities) in &self.heard {
            let rank = if capabilities.meets(probe.needed) { &mut able } else { &mut unable };
            rank.push(agent);
        }
        agents_preferring(probe.id, strategy, &[&able, &unable, &self.unheard])
    }
}

fn address_text(address: &Address) -> Box<str> {
    address.to_string().into()
}

impl Engine {
    /// Takes in a change of the inventory.
    pub fn handle_change(&mut self, change: &InventoryChange, now: UtcMicros) {
        let now = self.advance(now);
        match change {
            InventoryChange::TierSet(tier) => self.set_tier(tier, now),
            InventoryChange::TierRemoved(id) => self.remove_tier(*id),
            InventoryChange::ProbeSet(spec) => self.set_probe(spec, now),
            InventoryChange::ProbeRemoved(id) => self.remove_probe(*id),
            InventoryChange::AgentSet(spec) => self.set_agent(spec, now),
            InventoryChange::AgentRemoved(id) => self.remove_agent(*id, now),
        }
    }

    fn changed(&mut self) {
        self.state.assignment_version = self.state.assignment_version.saturating_add(1);
        for agent in self.state.agents.iter_mut().flatten() {
            agent.is_sight_stale = true;
        }
    }

    /// A new policy judges from the next round on: evidence that already speaks goes on for as
    /// long as it was given.
    fn set_tier(&mut self, tier: &Tier, now: UtcMicros) {
        let rules = Rules { defects: self.defects, ..Rules::new(tier) };
        let Some(slot) = slot_grown(&mut self.state.tiers, tier.id.0) else {
            return;
        };
        let was = slot.replace(rules);
        if was == Some(rules) {
            return;
        }
        self.changed();
        if was.map(|was| was.agent_count) != Some(rules.agent_count) {
            self.reassign(now, |probe| probe.tier == tier.id);
        }
    }

    /// A tier that is still in use keeps its rules until its probes have another.
    fn remove_tier(&mut self, id: TierId) {
        let is_used = self.state.probes.iter().flatten().any(|probe| probe.tier == id);
        if !is_used && let Some(slot) = slot(&mut self.state.tiers, id.0) {
            *slot = None;
        }
    }

    fn set_probe(&mut self, spec: &ProbeSpec, now: UtcMicros) {
        let address = address_text(&spec.address);
        let Some(slot) = slot_grown(&mut self.state.probes, spec.id.0) else {
            return;
        };
        let Some(probe) = slot else {
            *slot = Some(new_probe(spec, address, now));
            self.arm_closing(spec.id);
            self.changed();
            self.reassign_one(spec.id, now);
            return;
        };
        let is_moved = probe.tier != spec.tier || probe.org != spec.org;
        let is_readdressed = probe.address != address;
        let is_turned = probe.is_paused != spec.paused;
        if !is_moved && !is_readdressed && !is_turned {
            return;
        }
        probe.tier = spec.tier;
        probe.org = spec.org;
        probe.address = address;
        let needed = Capabilities::needed_for(&spec.address);
        let is_asked_otherwise = std::mem::replace(&mut probe.needed, needed) != needed;
        probe.is_paused = spec.paused;
        self.changed();
        if is_moved || is_asked_otherwise {
            self.reassign_one(spec.id, now);
        }
        if is_readdressed {
            self.forget_evidence(spec.id, now);
        }
        self.state.urgent.insert(spec.id);
    }

    /// What was heard of one address says nothing about another.
    fn forget_evidence(&mut self, id: ProbeId, now: UtcMicros) {
        let runs_max = self.state.runs_max();
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            return;
        };
        let rules = rules_of(&self.state.tiers, probe.tier);
        let frame = frame(now, &self.state.monitor, runs_max, self.defects);
        probe.roll(&rules, &frame, &mut self.decisions);
        probe.pool.reset();
        for index in 0..probe.pairs.len() {
            let Some(pair) = probe.pairs.get_mut(index) else {
                continue;
            };
            let is_known = pair.watch.cause() != Cause::NotYet;
            if is_known {
                let cause = Cause::NotYet;
                let why = Why { cause, text: "its address was changed".to_owned() };
                let turn = (Verdict::Unknown, cause);
                probe.turn_pair(index, turn, why, &frame, &mut self.decisions);
            }
            if let Some(pair) = probe.pairs.get_mut(index) {
                pair.watch = Watch::new();
                pair.late = None;
                pair.asked = None;
            }
        }
    }

    /// A deleted probe ends without a word: nobody is left to tell.
    fn remove_probe(&mut self, id: ProbeId) {
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::take) else {
            return;
        };
        if let Some(at) = probe.armed {
            self.timers.remove(&(at, crate::engine::Timer::Probe(id)));
        }
        if let Some(at) = probe.closing {
            self.closings.remove(&(at, id));
        }
        self.state.urgent.remove(&id);
        self.state.unsaid.remove(&id);
        self.state.pairs = self.state.pairs.saturating_sub(probe.pairs.len());
        for pair in &probe.pairs {
            if let Some(agent) = self.state.agent_mut(pair.agent) {
                agent.forget_probe(id);
            }
        }
        self.changed();
    }

    fn set_agent(&mut self, spec: &AgentSpec, now: UtcMicros) {
        let Some(slot) = slot_grown(&mut self.state.agents, spec.id.0) else {
            return;
        };
        if let Some(agent) = slot {
            agent.name = spec.name.as_str().into();
            if agent.is_active == spec.is_active && agent.org == spec.org {
                return;
            }
            agent.is_active = spec.is_active;
            agent.org = spec.org;
        } else {
            let agent = Agent::new(spec.org, spec.name.as_str(), spec.is_active, now);
            *slot = Some(Box::new(agent));
        }
        self.reassign(now, |_| true);
    }

    fn remove_agent(&mut self, id: AgentId, now: UtcMicros) {
        let Some(agent) = self.state.agent_mut(id) else {
            return;
        };
        agent.is_active = false;
        let armed = agent.armed.take();
        if let Some(at) = armed {
            self.timers.remove(&(at, crate::engine::Timer::Agent(id)));
        }
        self.reassign(now, |_| true);
        if let Some(slot) = slot(&mut self.state.agents, id.0) {
            *slot = None;
        }
    }

    fn candidates(&self, org: OrgId) -> Candidates {
        let mut candidates = Candidates { heard: Vec::new(), unheard: Vec::new() };
        for (id, agent) in (0u32..).zip(&self.state.agents) {
            let Some(agent) = agent.as_ref().filter(|a| a.is_active && a.org == org) else {
                continue;
            };
            if agent.state == AgentState::NeverSeen {
                candidates.unheard.push(AgentId(id));
            } else {
                candidates.heard.push((AgentId(id), agent.capabilities));
            }
        }
        candidates
    }

    /// Assigns anew the probes that `concerns` names.
    pub(crate) fn reassign(&mut self, now: UtcMicros, concerns: impl Fn(&Probe) -> bool) {
        let concerned = self.state.probes.iter().flatten().filter(|probe| concerns(probe));
        let mut probes: Vec<(OrgId, ProbeId)> = concerned.map(|p| (p.org, p.id)).collect();
        probes.sort_unstable();
        let mut last: Option<(OrgId, Candidates)> = None;
        for (org, id) in probes {
            let candidates = match last.take() {
                Some((of, candidates)) if of == org => candidates,
                _ => self.candidates(org),
            };
            self.assign_probe(id, &candidates, now);
            last = Some((org, candidates));
        }
    }

    fn reassign_one(&mut self, id: ProbeId, now: UtcMicros) {
        if let Some(org) = self.state.probe(id).map(|probe| probe.org) {
            let candidates = self.candidates(org);
            self.assign_probe(id, &candidates, now);
        }
    }

    /// Ends the pairs that are no longer assigned and begins those that are now.
    ///
    /// A pair of which something was said turns Unknown, `NoAgent`, so that its span has an end;
    /// the minute that it ended in is its last.
    fn assign_probe(&mut self, id: ProbeId, candidates: &Candidates, now: UtcMicros) {
        let Some(probe) = self.state.probe(id) else {
            return;
        };
        let strategy = self.state.rules(probe.tier).strategy();
        let wanted = candidates.choose(probe, strategy);
        if probe.pairs.iter().map(|pair| pair.agent).eq(wanted.iter().copied()) {
            return;
        }
        for index in (0..probe.pairs.len()).rev() {
            let agent = self.state.probe(id).and_then(|p| p.pairs.get(index)).map(|p| p.agent);
            if let Some(agent) = agent.filter(|agent| !wanted.contains(agent)) {
                self.end_pair(id, index, agent, now);
            }
        }
        if let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) {
            probe.pairs.reserve_exact(wanted.len().saturating_sub(probe.pairs.len()));
        }
        for agent in wanted {
            self.begin_pair(id, agent, now);
        }
        self.state.urgent.insert(id);
        self.changed();
    }

    fn end_pair(&mut self, id: ProbeId, index: usize, agent_id: AgentId, now: UtcMicros) {
        let runs_max = self.state.runs_max();
        let agent = slot(&mut self.state.agents, agent_id.0).and_then(Option::as_deref_mut);
        let probe = slot(&mut self.state.probes, id.0).and_then(Option::as_mut);
        let Some(probe) = probe else {
            return;
        };
        let rules = rules_of(&self.state.tiers, probe.tier);
        let frame = frame(now, &self.state.monitor, runs_max, self.defects);
        probe.roll(&rules, &frame, &mut self.decisions);
        let mut word = None;
        let was_told = |pair: &&Pair| pair.watch.cause() != Cause::NotYet;
        if let Some(pair) = probe.pairs.get(index).filter(was_told) {
            let facts = pair_facts(pair, agent.as_deref(), &rules, now);
            let (verdict, cause) = (pair.watch.verdict(), pair.watch.cause());
            let text = why::left(&why::pair(verdict, cause, &facts).text);
            let evidence_until = pair.watch.evidence_until();
            let is_known = verdict != Verdict::Unknown;
            word = is_known.then_some(Word { verdict, cause, text, evidence_until });
            let turn = (Verdict::Unknown, Cause::NoAgent);
            let why = why::pair(turn.0, turn.1, &facts);
            probe.turn_pair(index, turn, why, &frame, &mut self.decisions);
        }
        probe.leave(index, word, now);
        self.state.pairs = self.state.pairs.saturating_sub(1);
        if let Some(agent) = agent {
            agent.forget_probe(id);
        }
    }

    fn begin_pair(&mut self, id: ProbeId, agent_id: AgentId, now: UtcMicros) {
        let runs_max = self.state.runs_max();
        let probe = slot(&mut self.state.probes, id.0).and_then(Option::as_mut);
        let agent = slot(&mut self.state.agents, agent_id.0).and_then(Option::as_mut);
        let (Some(probe), Some(agent)) = (probe, agent) else {
            return;
        };
        if let Err(index) = probe.pairs.binary_search_by_key(&agent_id, |pair| pair.agent) {
            let rules = rules_of(&self.state.tiers, probe.tier);
            let frame = frame(now, &self.state.monitor, runs_max, self.defects);
            probe.roll(&rules, &frame, &mut self.decisions);
            probe.join(index, agent_id, now);
            agent.probes.insert(id);
            self.state.pairs += 1;
        }
    }
}

fn new_probe(spec: &ProbeSpec, address: Box<str>, now: UtcMicros) -> Probe {
    let minute = now.minute();
    let mut probe = Probe {
        id: spec.id,
        org: spec.org,
        tier: spec.tier,
        is_paused: spec.paused,
        pool: crate::loss::Pool::default(),
        pairs: Vec::new(),
        left: Vec::new(),
        oldest: minute,
        newest: minute,
        verdict: Verdict::Unknown,
        cause: Cause::NotYet,
        since: now,
        open: [Accumulated::new(); 2],
        past: None,
        unsaid: None,
        armed: None,
        closing: None,
        address,
        needed: Capabilities::needed_for(&spec.address),
    };
    let accumulated = probe.open_mut(minute);
    accumulated.begin_at(minute, now);
    accumulated.note_held(Verdict::Unknown, Cause::NotYet);
    probe
}

impl Agent {
    fn forget_probe(&mut self, id: ProbeId) {
        self.probes.remove(&id);
        self.waiting.remove(&id);
        if let Some(lane) = &mut self.lane {
            lane.forget_probe(id);
        }
    }
}

/// What the sight of an agent must know of its targets: the shortest interval plus span of all of
/// them, and of those that have answered.
pub(crate) fn refresh_sight(engine: &mut Engine, agent: &mut Agent, id: AgentId) {
    agent.is_sight_stale = false;
    let (mut assigned, mut answering) = (BTreeSet::new(), BTreeSet::new());
    for probe in agent.probes.iter().filter_map(|id| engine.state.probe(*id)) {
        let pair = probe.index_of(id).and_then(|index| probe.pairs.get(index));
        let Some(pair) = pair.filter(|pair| !probe.is_paused && !pair.watch.is_local()) else {
            continue;
        };
        let rules = engine.state.rules(probe.tier);
        let us = rules.interval_us + rules.round_us;
        assigned.insert(us);
        if pair.watch.has_answered_outside() {
            answering.insert(us);
        }
    }
    agent.sight.set_targets(assigned.first().copied(), answering.first().copied());
}
