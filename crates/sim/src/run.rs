//! One scenario from beginning to end: one clock, moved to the earliest wake-up.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    AgentId, AgentSpec, Entity, InventoryChange, Name, OrgId, ProbeId, ProbeSpec, Strategy,
    TargetId, Tier, TierId, UtcMicros,
};

use crate::{
    Defect,
    agent::SimAgent,
    diagnosis::Diagnosis,
    net::{VirtualNet, target_address},
    oracle::{Oracle, Violation},
    rng::Rng,
    scenario::Scenario,
    server::{Answer, Entry, Heard, SimServer, decisions, hear},
    world::World,
};

/// When every scenario begins: a whole minute.
pub(crate) const ORIGIN: UtcMicros = UtcMicros(1_795_240_800_000_000);
const SECOND_US: u64 = 1_000_000;
/// A scenario of some minutes takes some hundred thousand steps; more is a clock that stands.
const STEPS_MAX: u64 = 20_000_000;
/// Restarts tried on the finished log, beside those that the scenario itself made.
const RESTARTS: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub scenario: Scenario,
    pub steps: u64,
    pub decisions: usize,
    pub violations: Vec<Violation>,
}

pub(crate) fn utc(now_us: u64) -> UtcMicros {
    UtcMicros(ORIGIN.0 + i64::try_from(now_us).unwrap_or(i64::MAX))
}

fn scenario_us(at: UtcMicros) -> u64 {
    u64::try_from(at.0 - ORIGIN.0).unwrap_or(0)
}

/// Everything that takes part.
struct Stage {
    world: World,
    net: VirtualNet,
    agents: Vec<SimAgent>,
    server: SimServer,
    /// Of the running server, if there is a network.
    diagnosis: Option<Diagnosis>,
    oracle: Oracle,
    defect: Option<Defect>,
    /// Who is to ask, as the running server was told last; only of agents of which that changes.
    told: BTreeMap<u32, bool>,
}

/// Plays a scenario and says what was not true.
pub fn run(scenario: &Scenario, defect: Option<Defect>) -> Report {
    run_restarting(scenario, defect, RESTARTS)
}

/// The same, with as many restarts from drawn positions of the finished log as are asked for.
pub fn run_restarting(scenario: &Scenario, defect: Option<Defect>, restarts: u64) -> Report {
    let world = World::new(scenario.clone());
    let rng = Rng::new(scenario.seed);
    let mut stage = Stage {
        net: VirtualNet::new(rng.fork(2)),
        agents: (1..=scenario.agents).map(|id| SimAgent::new(id, &rng)).collect(),
        server: SimServer::new(defect),
        diagnosis: None,
        oracle: Oracle::new(world.clone(), ORIGIN),
        defect,
        world,
        told: BTreeMap::new(),
    };
    let end_us = u64::from(scenario.end_s()) * SECOND_US;
    let mut now_us = 0;
    let mut steps = 0;
    let mut next_second_us = 0;
    while now_us <= end_us && steps < STEPS_MAX {
        steps += 1;
        if next_second_us <= now_us {
            next_second_us = now_us - now_us % SECOND_US + SECOND_US;
            stage.handle_second(now_us);
        }
        stage.handle_step(now_us);
        now_us = stage.wake(next_second_us).max(now_us + 1);
    }
    if STEPS_MAX <= steps {
        stage.oracle.object("10 time goes on", now_us, "the simulation does not end".to_owned());
    }
    stage.handle_end(end_us, &rng, restarts);
    Report {
        scenario: scenario.clone(),
        steps,
        decisions: stage.server.disk.decisions.len(),
        violations: stage.oracle.violations().to_vec(),
    }
}

impl Stage {
    fn wake(&self, next_second_us: u64) -> u64 {
        let agents = self.agents.iter().flat_map(|a| [a.poll_timeout(), a.uplink.poll_timeout()]);
        let others = [self.net.poll_timeout(), self.server.poll_timeout(scenario_us)];
        agents.chain(others).flatten().chain([next_second_us]).min().unwrap_or(next_second_us)
    }

    /// Faults begin and end on whole seconds.
    fn handle_second(&mut self, now_us: u64) {
        for agent in &mut self.agents {
            agent.follow(&self.world, now_us);
        }
        let should_run = self.world.server_runs(now_us);
        if !should_run {
            self.server.crash();
            self.diagnosis = None;
            self.told.clear();
        } else if self.server.running.is_none() {
            let is_first = self.server.disk.log.is_empty();
            self.diagnosis = Diagnosis::new(&self.world.scenario, utc(now_us), self.defect);
            if let Some(complaint) = self.server.start(utc(now_us)) {
                self.oracle.object("8 a restart changes nothing", now_us, complaint);
            }
            if is_first {
                for change in inventory(&self.world.scenario) {
                    let heard = Heard::Inventory(change);
                    self.server.append(Entry { now: utc(now_us), heard }, now_us);
                }
            }
        }
        if should_run {
            self.tell_assigned(now_us);
        }
        if let Some(diagnosis) = &mut self.diagnosis {
            let judged = diagnosis.judge(&mut self.server.disk, utc(now_us));
            self.oracle.handle_judged(judged, now_us);
        }
        self.oracle.handle_second(now_us);
    }

    /// Tells the server who is to ask, where that changes. After its start it is told again: what
    /// it had not synced is lost.
    fn tell_assigned(&mut self, now_us: u64) {
        let agents = 1..=self.world.scenario.agents;
        for id in agents.filter(|&id| !self.world.agent_stays_assigned(id)) {
            let is_active = self.world.agent_is_assigned(id, now_us);
            if self.told.insert(id, is_active) != Some(is_active) {
                let heard = Heard::Inventory(agent_set(id, is_active));
                self.server.append(Entry { now: utc(now_us), heard }, now_us);
            }
        }
    }

    fn handle_step(&mut self, now_us: u64) {
        while let Some(reply) = self.net.poll_arrival(&self.world, now_us) {
            let index = usize::try_from(reply.agent - 1).unwrap_or(usize::MAX);
            if let Some(agent) = self.agents.get_mut(index) {
                agent.handle_reply(&self.world, reply.from, &reply.bytes, now_us);
            }
        }
        for agent in &mut self.agents {
            if agent.poll_timeout().is_some_and(|at_us| at_us <= now_us) {
                agent.handle_timeout(&self.world, &mut self.net, now_us);
            }
            while let Some(frame) = agent.uplink.poll_arrival(now_us) {
                let id = AgentId(agent.id);
                match self.server.handle_frame(id, frame, utc(now_us), now_us) {
                    Some(answer) => answer_to(agent, answer, now_us),
                    None => continue,
                }
            }
        }
        let committed = self.server.commit(utc(now_us), now_us);
        for batch in &committed.batches {
            self.oracle.handle_batch(batch);
        }
        for decision in &committed.decisions {
            self.oracle.handle_decision(decision);
        }
        for (id, answer) in committed.answers {
            let agent = self.agents.iter_mut().find(|agent| agent.id == id.0);
            if let Some(agent) = agent.filter(|agent| agent.is_connected()) {
                answer_to(agent, answer, now_us);
            }
        }
    }

    fn handle_end(&mut self, end_us: u64, rng: &Rng, restarts: u64) {
        self.oracle.handle_end(end_us, &self.server.unplaceable);
        for agent in &self.agents {
            if 5 < agent.spool_len() {
                let text = format!("agent {} still keeps {} batches", agent.id, agent.spool_len());
                self.oracle.object("10 queues empty after healing", end_us, text);
            }
        }
        self.check_log(end_us);
        self.check_counts(end_us);
        self.check_replay(end_us, &mut rng.fork(3), restarts);
    }

    /// 9: the log takes a batch once.
    fn check_log(&mut self, end_us: u64) {
        let mut seen = BTreeSet::new();
        for entry in &self.server.disk.log {
            if let Heard::Batch { batch, epoch, seq } = &entry.heard
                && !seen.insert((batch.agent, *epoch, *seq))
            {
                let text =
                    format!("agent {} epoch {epoch} batch {seq} is in it twice", batch.agent);
                self.oracle.object("9 a batch is logged once", end_us, text);
            }
        }
    }

    /// 9: what the minutes counted is what the agents wrote down, no more and no less.
    ///
    /// The last minutes are not closed, so the sums are compared with what the engine heard.
    fn check_counts(&mut self, end_us: u64) {
        let unplaceable = &self.server.unplaceable;
        // What an agent sends while it is not to ask is nobody's.
        let is_counted = |a: &&SimAgent| {
            !unplaceable.contains(&AgentId(a.id)) && self.world.agent_stays_assigned(a.id)
        };
        for agent in self.agents.iter().filter(is_counted) {
            for target in 1..=self.world.scenario.targets {
                let probe = ProbeId(target);
                let entity = Entity::Pair { probe, agent: AgentId(agent.id) };
                let minutes = self.oracle.minutes();
                let last = minutes.keys().filter(|(e, _)| *e == entity).map(|(_, m)| *m).max();
                let Some(last) = last else { continue };
                let counted: u64 = minutes
                    .iter()
                    .filter(|((e, _), _)| *e == entity)
                    .map(|(_, truth)| u64::from(truth.counts.sent))
                    .sum();
                let heard = crate::adapt::heard_sent(&self.server.disk.log, entity, last);
                if counted != heard.once {
                    let text = format!("{entity:?}: minutes count {counted} packets, {heard:?}");
                    self.oracle.object("9 nothing counted twice or lost", end_us, text);
                }
                let closed = agent.closed.get(&probe).copied().unwrap_or(0);
                let acknowledged = agent.acknowledged.get(&probe).copied().unwrap_or(0);
                if heard.all_time < acknowledged || closed < heard.all_time {
                    let text = format!(
                        "{entity:?}: {closed} packets written down, {acknowledged} acknowledged, \
                         {} heard",
                        heard.all_time
                    );
                    self.oracle.object("9 nothing acknowledged is lost", end_us, text);
                }
            }
        }
    }

    /// 7 and 8: the log decides the same again, also from a checkpoint taken anywhere in it.
    fn check_replay(&mut self, end_us: u64, rng: &mut Rng, restarts: u64) {
        let log = &self.server.disk.log;
        let Some(first) = log.first() else { return };
        let mut engine = crate::adapt::with_defect(engine::Engine::new(first.now), self.defect);
        let mut tails = Vec::new();
        let cuts: Vec<usize> = (0..restarts)
            .map(|_| usize::try_from(rng.between(1, log.len() as u64)).unwrap_or(1))
            .collect();
        let mut said = Vec::new();
        for (index, entry) in log.iter().enumerate() {
            if cuts.contains(&index) {
                tails.push((index, engine.checkpoint()));
            }
            hear(&mut engine, entry);
            said.extend(decisions(&mut engine).map(|decision| (index + 1, decision)));
        }
        let whole = (engine.checkpoint(), engine.poll_timeout());
        if said != self.server.disk.decisions {
            let text = "the log replayed decides otherwise".to_owned();
            self.oracle.object("7 replay is identical", end_us, text);
        }
        for (from, checkpoint) in tails {
            let Ok(engine) = engine::Engine::restore(&checkpoint) else {
                let text = format!("the checkpoint at {from} is refused");
                self.oracle.object("8 restart anywhere", end_us, text);
                continue;
            };
            let mut engine = crate::adapt::with_defect(engine, self.defect);
            let mut tail = Vec::new();
            for (index, entry) in log.iter().enumerate().skip(from) {
                hear(&mut engine, entry);
                tail.extend(decisions(&mut engine).map(|decision| (index + 1, decision)));
            }
            let expected = said.iter().filter(|(at, _)| from < *at);
            // What it holds beside its decisions, hysteresis, counters and timers, is the same too.
            if !expected.eq(tail.iter())
                || engine.poll_timeout() != whole.1
                || engine.checkpoint() != whole.0
            {
                let text = format!("restarted at entry {from}, the tail differs");
                self.oracle.object("8 restart anywhere", end_us, text);
            }
        }
    }
}

fn answer_to(agent: &mut SimAgent, answer: Answer, now_us: u64) {
    match answer {
        Answer::Welcome { epoch } => agent.handle_welcome(epoch, now_us),
        Answer::Ack { epoch, seq } => agent.handle_ack(epoch, seq),
    }
}

fn name(kind: &str, number: u32) -> Name {
    Name::parse(&format!("{kind}{number}")).unwrap_or_else(|_| unreachable!("a legal name"))
}

fn agent_set(id: u32, is_active: bool) -> InventoryChange {
    let (id, name) = (AgentId(id), name("agent", id));
    InventoryChange::AgentSet(AgentSpec { id, org: OrgId(1), name, is_active })
}

/// The inventory of a scenario, as changes.
fn inventory(scenario: &Scenario) -> Vec<InventoryChange> {
    let tier = Tier {
        interval: std::time::Duration::from_secs(scenario.interval_s.into()),
        packets: scenario.packets,
        strategy: Strategy::All,
        ..Tier::standard(TierId(1), name("tier", 1))
    };
    let agents = (1..=scenario.agents).map(|id| agent_set(id, true));
    let probes = (1..=scenario.targets).map(|id| {
        InventoryChange::ProbeSet(ProbeSpec {
            id: ProbeId(id),
            org: OrgId(1),
            target: TargetId(id),
            target_name: name("target", id),
            address: model::Address::Ip(target_address(id)),
            tier: TierId(1),
            paused: false,
        })
    });
    [InventoryChange::TierSet(tier)].into_iter().chain(agents).chain(probes).collect()
}
