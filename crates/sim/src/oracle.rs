//! The oracle: slow and simple on purpose, it compares what was said with the truth.
//!
//! It never looks into the engine. It sees the decisions as they were stored and the world as it
//! was, and knows three bounds: how soon a fault must be seen, how long a healed one may linger,
//! and how long silence may go unnoticed.

mod incidents;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{
    AgentId, AgentState, Cause, Decision, DecisionKind, Entity, Minute, MinuteTruth, Outcome,
    ProbeId, RoundBatch, RoundFlags, Subject, UtcMicros, Verdict, VerdictChange, Why,
};

use crate::{scenario::Scenario, world::World};

/// Loss from which on a path may honestly be called Down for a while.
const LOSS_PPM_MAYBE_DOWN: u32 = 100_000;
/// Three heartbeats of 5 s, the limit for an agent gone, and a second of slack.
const OFFLINE_US: u64 = 17_000_000;
const SECOND_US: u64 = 1_000_000;
/// A frame on a rough uplink, a group commit, a flush.
const TRANSPORT_US: u64 = 6 * SECOND_US;

/// What was said that is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Number of the check in the project's list of oracle checks, with a short name.
    pub check: &'static str,
    pub at_s: u64,
    pub text: String,
}

/// What is currently held, rebuilt from decisions alone.
#[derive(Debug)]
pub(crate) struct Oracle {
    world: World,
    origin: UtcMicros,
    held: BTreeMap<Entity, Verdict>,
    reasons: BTreeMap<Entity, Why>,
    /// Start of the newest round that the server heard of each pair.
    newest: BTreeMap<Entity, UtcMicros>,
    /// From when each verdict was held, in order.
    spans: BTreeMap<Entity, Vec<(UtcMicros, Verdict)>>,
    /// The newest rounds that asked, undoubted, as the server heard them of each pair.
    heard: BTreeMap<Entity, VecDeque<Outcome>>,
    agents: BTreeMap<AgentId, AgentState>,
    minutes: BTreeMap<(Entity, Minute), MinuteTruth>,
    incidents: incidents::Known,
    violations: Vec<Violation>,
}

/// Twice as many rounds of five packets as the loss window has room for: what was decided on the
/// first of several that came at once is compared when all of them are heard.
const HEARD_ROUNDS_MAX: usize = 40;
/// Lost packets that make a pair Degraded, by the tier that the scenarios use.
const LOST_RAISE: u32 = 7;
/// At this many or fewer it clears.
const LOST_CLEAR: u32 = 2;
/// A run that goes wrong goes wrong often: this many are told.
const VIOLATIONS_MAX: usize = 20;

impl Oracle {
    pub(crate) fn new(world: World, origin: UtcMicros) -> Oracle {
        Oracle {
            world,
            origin,
            held: BTreeMap::new(),
            reasons: BTreeMap::new(),
            newest: BTreeMap::new(),
            spans: BTreeMap::new(),
            heard: BTreeMap::new(),
            agents: BTreeMap::new(),
            minutes: BTreeMap::new(),
            incidents: incidents::Known::default(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn minutes(&self) -> &BTreeMap<(Entity, Minute), MinuteTruth> {
        &self.minutes
    }

    pub(crate) fn object(&mut self, check: &'static str, at_us: u64, text: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { check, at_s: at_us / SECOND_US, text });
        }
    }

    fn scenario(&self) -> &Scenario {
        &self.world.scenario
    }

    /// The longest time from a fault to its verdict when everything else is well: an interval, a
    /// round, a confirm burst, the way to the server; one more interval where a round was
    /// already under way.
    fn detect_us(&self) -> u64 {
        let interval_us = u64::from(self.scenario().interval_s) * SECOND_US;
        2 * interval_us + 4 * SECOND_US + TRANSPORT_US
    }

    /// How long an old verdict may be held after its reason has gone: Degraded apart.
    fn linger_us(&self) -> u64 {
        let interval_us = u64::from(self.scenario().interval_s) * SECOND_US;
        3 * interval_us + OFFLINE_US + TRANSPORT_US
    }

    fn us(&self, at: UtcMicros) -> u64 {
        u64::try_from(at.0 - self.origin.0).unwrap_or(0)
    }

    /// Takes a stored decision. Checks what can be seen of it alone (6: every decision has
    /// evidence; spans are a chain).
    pub(crate) fn handle_decision(&mut self, decision: &Decision) {
        let at_us = self.us(decision.decided_at);
        match &decision.kind {
            DecisionKind::Verdict(change) => {
                let before = self.held.insert(change.entity, change.to);
                let before = before.unwrap_or(Verdict::Unknown);
                let spans = self.spans.entry(change.entity).or_default();
                spans.push((change.at, change.to));
                let why = self.reasons.insert(change.entity, change.why.clone());
                // A span with the same verdict begins when its reason is another.
                let says_nothing = change.from == change.to && why.as_ref() == Some(&change.why);
                if before != change.from || says_nothing {
                    let text = format!("{:?}: held {before}, said {change:?}", change.entity);
                    self.object("spans are a chain", at_us, text);
                }
                if change.why.text.is_empty() {
                    let text = format!("{:?} turned {} without a word", change.entity, change.to);
                    self.object("6 every decision has evidence", at_us, text);
                }
                self.check_down_is_left_for_an_opinion(change, at_us);
                self.check_conviction(change.entity, change.to, change.why.cause, at_us);
                self.check_evidence(change, at_us);
                self.check_not_late(change, at_us);
                self.check_not_called_gone(change.entity, change.why.cause, at_us);
            }
            DecisionKind::Minute(truth) => {
                let key = (truth.entity, truth.minute);
                if let Some(old) = self.minutes.get(&key)
                    && truth.revision != old.revision + 1
                {
                    let text =
                        format!("{key:?} revision {} after {}", truth.revision, old.revision);
                    self.object("9 a minute is said once a revision", at_us, text);
                }
                if truth.revision == 0 {
                    self.check_worst(truth, at_us);
                }
                self.minutes.insert(key, truth.clone());
            }
            DecisionKind::Agent(change) => {
                self.agents.insert(change.agent, change.to);
            }
            DecisionKind::Name(change) => {
                let text = format!("{change:?}, but no target has a name");
                self.object("6 every decision has evidence", at_us, text);
            }
        }
    }

    /// Down must have a reason beyond the agent's own access, at the moment it is turned.
    fn check_conviction(&mut self, entity: Entity, to: Verdict, cause: Cause, at_us: u64) {
        if to != Verdict::Down {
            return;
        }
        let guilty = self.guilty_paths(entity, at_us);
        let from_us = at_us.saturating_sub(self.linger_us());
        let is_asking = |agent: &u32| {
            self.world.throughout(from_us, at_us, |t| self.world.agent_is_assigned(*agent, t))
        };
        let asking = (1..=self.scenario().agents).filter(is_asking).count();
        let asked = match entity {
            Entity::Pair { .. } => 1,
            // One that has just joined may not have judged.
            Entity::Consensus { .. } => u32::try_from(asking.clamp(1, 2)).unwrap_or(1),
        };
        if guilty < asked {
            let text = format!("{entity:?} turned Down ({cause}) with {guilty} bad paths");
            self.object("2 nobody is convicted who answers", at_us, text);
        }
    }

    /// Down is left because somebody sees otherwise, or nobody sees any more: not because an agent
    /// joined or went away.
    fn check_down_is_left_for_an_opinion(&mut self, change: &VerdictChange, at_us: u64) {
        let VerdictChange { entity: entity @ Entity::Consensus { probe }, from, to, .. } = *change
        else {
            return;
        };
        if from != Verdict::Down || to == Verdict::Down {
            return;
        }
        let agents = 1..=self.scenario().agents;
        let held: Vec<Verdict> = agents
            .filter_map(|id| self.held.get(&Entity::Pair { probe, agent: AgentId(id) }).copied())
            .filter(|verdict| *verdict != Verdict::Unknown)
            .collect();
        if !held.is_empty() && held.iter().all(|verdict| *verdict == Verdict::Down) {
            let text =
                format!("{entity:?} turned {to}, all that see say Down: {}", change.why.text);
            self.object("2 Down is left for an opinion", at_us, text);
        }
    }

    /// Remembers what the server heard.
    pub(crate) fn handle_batch(&mut self, batch: &RoundBatch) {
        for round in &batch.rounds {
            if let Subject::Probe(probe) = round.subject {
                let pair = Entity::Pair { probe, agent: batch.agent };
                let newest = self.newest.entry(pair).or_insert(round.at);
                *newest = round.at.max(*newest);
            }
            if let Subject::Probe(probe) = round.subject
                && matches!(round.outcome, Outcome::Asked { .. })
                && !round.flags.contains(RoundFlags::DOUBTFUL)
            {
                let heard =
                    self.heard.entry(Entity::Pair { probe, agent: batch.agent }).or_default();
                heard.push_back(round.outcome);
                if HEARD_ROUNDS_MAX < heard.len() {
                    heard.pop_front();
                }
            }
        }
    }

    /// Live verdicts come from rounds that are news.
    fn check_not_late(&mut self, change: &VerdictChange, at_us: u64) {
        let Some(&newest) = self.newest.get(&change.entity) else { return };
        let interval_us = u64::from(self.scenario().interval_s) * SECOND_US;
        let news_us = interval_us + SECOND_US + OFFLINE_US + TRANSPORT_US;
        if change.to != Verdict::Unknown && self.us(newest) + news_us < at_us {
            let text = format!("{:?} turned {} by rounds up to {newest}", change.entity, change.to);
            self.object("late rounds move no live verdict", at_us, text);
        }
    }

    /// 6: what was said of a pair is in the rounds that were heard.
    fn check_evidence(&mut self, change: &VerdictChange, at_us: u64) {
        let VerdictChange { entity, from, to, ref why, .. } = *change;
        if entity.agent().is_none() {
            return; // A consensus rests on pairs, not on rounds.
        }
        let nothing = VecDeque::new();
        let heard = self.heard.get(&entity).unwrap_or(&nothing);
        let lost = |outcome: &Outcome| match *outcome {
            Outcome::Asked { sent, received, .. } => u32::from(sent - received),
            Outcome::NotAsked(_) => 0,
        };
        let is_backed = match (to, why.cause) {
            (Verdict::Down, _) => {
                heard.iter().any(|outcome| matches!(*outcome, Outcome::Asked { received: 0, .. }))
            }
            (Verdict::Degraded, Cause::Loss) => {
                // What was Degraded before it was Unknown is so until its loss has cleared.
                let limit = if from == Verdict::Unknown { LOST_CLEAR + 1 } else { LOST_RAISE };
                limit <= heard.iter().map(lost).sum::<u32>()
            }
            _ => true,
        };
        if !is_backed {
            let text = format!("{entity:?} turned {to}, the rounds do not say so: {}", why.text);
            self.object("6 every decision has evidence", at_us, text);
        }
    }

    /// 2: nobody is called gone who is heard, least of all because the monitor was away.
    fn check_not_called_gone(&mut self, entity: Entity, cause: Cause, at_us: u64) {
        let Some(agent) = entity.agent().filter(|_| cause == Cause::AgentOffline) else {
            return;
        };
        let is_heard = |t: u64| {
            self.world.agent_runs(agent.0, t)
                && self.world.uplink_works(agent.0, t)
                && !self.world.uplink_is_rough(agent.0, t)
        };
        if self.world.throughout(at_us.saturating_sub(2 * OFFLINE_US), at_us, is_heard) {
            let text = format!("{entity:?} is Unknown as if agent {agent} were gone");
            self.object("2 nobody is called gone who is heard", at_us, text);
        }
    }

    /// A minute is at least as bad as the worst verdict held in it, Down and Degraded above all.
    fn check_worst(&mut self, truth: &MinuteTruth, at_us: u64) {
        let spans = self.spans.get(&truth.entity).map_or(&[][..], Vec::as_slice);
        let (start, end) = (truth.minute.start(), truth.minute.end());
        // A monitor that was away all the time held nothing.
        let away = |t: u64| !self.world.server_runs(t);
        if self.world.throughout(self.us(start), self.us(end) - 1, away) {
            return;
        }
        let before = spans.iter().rev().find(|(at, _)| *at <= start);
        // What was held before the monitor went away is not held in the minute in which it comes
        // back, unless it outlasts the first rounds that are heard then.
        let renewed_us = self.us(start)
            ..=(self.us(start)..self.us(end))
                .step_by(1_000_000)
                .find(|&t| self.world.server_runs(t))
                .map_or(self.us(end), |t| t + self.linger_us());
        let is_renewed = |from: &&(UtcMicros, Verdict)| {
            let next = spans.iter().find(|(at, _)| from.0 < *at);
            let until_us = next.map_or(at_us, |(at, _)| self.us(*at));
            self.world.server_runs(self.us(start)) || !renewed_us.contains(&until_us)
        };
        let before = before.filter(is_renewed);
        let within = spans.iter().filter(|(at, _)| start < *at && *at < end);
        let worst = before.into_iter().chain(within).map(|&(_, verdict)| verdict);
        let worst = worst.fold(Verdict::Up, Verdict::worse);
        let is_fault = matches!(worst, Verdict::Down | Verdict::Degraded);
        if is_fault && truth.verdict.badness() < worst.badness() {
            let text =
                format!("{:?} at {start} is {}, {worst} was held", truth.entity, truth.verdict);
            self.object("a minute is the worst held in it", at_us, text);
        }
    }

    /// How many of the paths behind this entity were bad lately, beyond their agent's access.
    fn guilty_paths(&self, entity: Entity, at_us: u64) -> u32 {
        let from_us = at_us.saturating_sub(self.linger_us());
        let target = entity.probe().0;
        let is_guilty = |agent: u32| {
            self.world.ever(from_us, at_us, |t| {
                LOSS_PPM_MAYBE_DOWN <= self.world.beyond(agent, target, t).loss_ppm
            })
        };
        let agents = match entity.agent() {
            Some(agent) => agent.0..=agent.0,
            None => 1..=self.scenario().agents,
        };
        u32::try_from(agents.filter(|&agent| is_guilty(agent)).count()).unwrap_or(u32::MAX)
    }

    /// Looks at everything that is held, once a second of the scenario.
    pub(crate) fn handle_second(&mut self, at_us: u64) {
        // While the monitor is down it says nothing; after its start it needs a moment.
        let from_us = at_us.saturating_sub(self.linger_us());
        if !self.world.throughout(from_us, at_us, |t| self.world.server_runs(t)) {
            return;
        }
        for target in 1..=self.scenario().targets {
            self.check_not_up_while_unreachable(target, at_us);
            for agent in 1..=self.scenario().agents {
                self.check_lost_agent_is_unknown(agent, target, at_us);
            }
        }
    }

    /// 1: never Up longer than the bound while nobody can reach it.
    fn check_not_up_while_unreachable(&mut self, target: u32, at_us: u64) {
        let slow_us = self.linger_us().max(self.detect_us());
        let Some(from_us) = at_us.checked_sub(slow_us) else {
            return;
        };
        let is_gone = self.world.throughout(from_us, at_us, |t| {
            (1..=self.scenario().agents)
                .all(|agent| self.world.beyond(agent, target, t).loss_ppm == 1_000_000)
        });
        let entity = Entity::Consensus { probe: ProbeId(target) };
        if is_gone && self.held.get(&entity) == Some(&Verdict::Up) {
            let text = format!("target {target} is Up, unreachable for {} s", slow_us / SECOND_US);
            self.object("1 not Up while unreachable", at_us, text);
        }
        let all_well = self.world.throughout(from_us, at_us, |t| {
            (1..=self.scenario().agents).all(|agent| self.is_agent_well(agent, t))
        });
        if is_gone && all_well && self.held.get(&entity) != Some(&Verdict::Down) {
            // Where nothing else proves that an agent sees, Unknown is the honest word.
            if self.can_prove_sight(from_us, at_us) {
                let text = format!(
                    "target {target} is cut off and not Down: {:?}",
                    self.held.get(&entity)
                );
                self.object("1 Down in time", at_us, text);
            }
        }
    }

    /// Whether every agent had something outside that answered throughout.
    fn can_prove_sight(&self, from_us: u64, until_us: u64) -> bool {
        let scenario = self.scenario();
        scenario.has_gateway
            || self.world.throughout(from_us, until_us, |t| {
                (1..=scenario.agents).all(|agent| {
                    let answering = (1..=scenario.targets)
                        .filter(|&target| self.world.beyond(agent, target, t).loss_ppm == 0);
                    answering.count() != 0
                })
            })
    }

    /// The agent runs, sends, sees and is heard, its uplink smooth.
    pub(crate) fn is_agent_well(&self, agent: u32, at_us: u64) -> bool {
        self.world.agent_runs(agent, at_us)
            && self.world.agent_is_assigned(agent, at_us)
            && self.world.agent_may_send(agent, at_us)
            && self.world.agent_sees(agent, at_us)
            && !self.world.agent_drops(agent, at_us)
            && !self.world.agent_is_mute(agent, at_us)
            && self.world.uplink_works(agent, at_us)
            && !self.world.uplink_is_rough(agent, at_us)
    }

    /// 2: an agent that is gone, or blind, gives Unknown.
    fn check_lost_agent_is_unknown(&mut self, agent: u32, target: u32, at_us: u64) {
        let entity = Entity::Pair { probe: ProbeId(target), agent: AgentId(agent) };
        let Some(&verdict) = self.held.get(&entity) else {
            return;
        };
        if verdict == Verdict::Unknown {
            return;
        }
        let silent =
            |t: u64| !self.world.agent_runs(agent, t) || !self.world.uplink_works(agent, t);
        let gone_from = at_us.saturating_sub(OFFLINE_US + SECOND_US);
        if self.world.throughout(gone_from, at_us, silent) {
            let text = format!("agent {agent} is gone, its target {target} is {verdict}");
            self.object("2 a lost agent gives Unknown", at_us, text);
        }
        let mute_from = at_us.saturating_sub(self.linger_us());
        if self.world.throughout(mute_from, at_us, |t| self.world.agent_is_mute(agent, t)) {
            let text = format!("agent {agent} says nothing, its target {target} is {verdict}");
            self.object("2 silence gives Unknown", at_us, text);
        }
        let blind_from = at_us.saturating_sub(self.linger_us());
        if self.world.throughout(blind_from, at_us, |t| !self.world.agent_sees(agent, t)) {
            let text = format!("agent {agent} is blind, its target {target} is {verdict}");
            self.object("2 a blind agent judges nobody", at_us, text);
        }
    }

    /// 12: after healing everything is well again.
    pub(crate) fn handle_end(&mut self, at_us: u64, unplaceable: &BTreeSet<AgentId>) {
        for target in 1..=self.scenario().targets {
            let consensus = Entity::Consensus { probe: ProbeId(target) };
            let pairs = (1..=self.scenario().agents)
                .map(|agent| Entity::Pair { probe: ProbeId(target), agent: AgentId(agent) });
            for entity in pairs.chain([consensus]) {
                if self.held.get(&entity) != Some(&Verdict::Up) {
                    let held = self.held.get(&entity);
                    self.object("12 healed", at_us, format!("{entity:?} is {held:?} at the end"));
                }
            }
        }
        for agent in 1..=self.scenario().agents {
            if self.agents.get(&AgentId(agent)) != Some(&AgentState::Online) {
                let state = self.agents.get(&AgentId(agent));
                self.object("12 healed", at_us, format!("agent {agent} is {state:?} at the end"));
            }
        }
        self.check_minutes(at_us, unplaceable);
        self.check_all_clear(at_us);
    }

    /// The minutes as finally revised, against the truth of each whole minute.
    fn check_minutes(&mut self, end_us: u64, unplaceable: &BTreeSet<AgentId>) {
        let first = UtcMicros(self.origin.0).minute();
        let last = UtcMicros(self.origin.0 + i64::try_from(end_us).unwrap_or(0)).minute();
        // The first minute begins before the first round; the last ones are not closed yet.
        let mut minute = first.next().next();
        while minute.next().next().next() < last {
            for target in 1..=self.scenario().targets {
                let agents = 1..=self.scenario().agents;
                for agent in agents.filter(|&agent| !unplaceable.contains(&AgentId(agent))) {
                    self.check_minute(agent, target, minute, end_us);
                }
            }
            minute = minute.next();
        }
    }

    fn check_minute(&mut self, agent: u32, target: u32, minute: Minute, end_us: u64) {
        let entity = Entity::Pair { probe: ProbeId(target), agent: AgentId(agent) };
        let margin_us = self.linger_us();
        let from_us = self.us(minute.start()).saturating_sub(margin_us);
        let until_us = self.us(minute.end()) + margin_us;
        let is_asking = |t: u64| self.world.agent_is_assigned(agent, t);
        if !self.world.throughout(from_us, until_us, is_asking) {
            return; // It has no minutes, or began or ended within them.
        }
        let Some(truth) = self.minutes.get(&(entity, minute)) else {
            let text = format!("{entity:?} has no word for {}", minute.start());
            return self.object("every minute has a truth", end_us, text);
        };
        let verdict = truth.verdict;
        let saw = |t: u64| {
            self.world.agent_runs(agent, t)
                && self.world.agent_may_send(agent, t)
                && self.world.agent_sees(agent, t)
                && !self.world.agent_is_mute(agent, t)
                && !self.world.agent_drops(agent, t)
        };
        let expected = if !self.world.ever(from_us, until_us, |t| self.world.agent_runs(agent, t)) {
            Verdict::Unknown
        } else if !self.world.throughout(from_us, until_us, saw) {
            return; // Partly blind or stopped: several words are honest.
        } else {
            let path = |t: u64| self.world.beyond(agent, target, t);
            let calm = |t: u64| path(t).loss_ppm == 0 && path(t).rtt_us < 100_000;
            // Degraded clears only with a window of good packets: look further back.
            let calm_from =
                from_us.saturating_sub(u64::from(self.scenario().interval_s) * 25 * SECOND_US);
            if self.world.throughout(calm_from, until_us, |t| calm(t) && saw(t)) {
                Verdict::Up
            } else if self.world.throughout(from_us, until_us, |t| path(t).loss_ppm == 1_000_000)
                && self.can_prove_sight(from_us, until_us)
            {
                Verdict::Down
            } else {
                return;
            }
        };
        if verdict != expected {
            let text = format!(
                "{entity:?} at {} is {verdict} ({}, revision {}), it was {expected}",
                minute.start(),
                truth.cause,
                truth.revision
            );
            self.object("the minute is true", self.us(minute.start()), text);
        }
    }
}
