//! Judges one organisation's network, again and again.

use std::collections::BTreeMap;

use model::{AgentId, ElementKind, OrgId, ProbeId, UtcMicros};

use super::{
    kept::{self, Kept},
    ledger::Ledger,
    net::{Described, Moved, Net},
    roster::Roster,
    told::{Report, told},
};
use crate::{
    graph::{Draft, ElementIx, Problem, Topology, document::own_id},
    rca::{self, Beat, Incidents, Pair, Picture},
};

/// Between two heartbeats of an agent.
const HEARTBEAT_US: i64 = 5_000_000;
/// What a gateway did longer ago says nothing of now.
const GATEWAY_AGE_US_MAX: i64 = 60_000_000;

/// What there is to judge.
#[derive(Clone, Copy, Debug)]
pub struct Hearing<'a> {
    pub now: UtcMicros,
    pub roster: &'a Roster,
    pub ledger: &'a Ledger,
    /// When each agent's heartbeat came last.
    pub heard: &'a [(AgentId, UtcMicros)],
    /// Bounds the work, in covers weighed; `None` is no limit.
    pub budget: Option<u64>,
}

/// A topology in force, and what is the matter with it.
#[derive(Clone, Debug)]
pub struct Standing {
    org: OrgId,
    net: Option<Net>,
    incidents: Incidents,
    agents: BTreeMap<AgentId, ElementIx>,
    probes: BTreeMap<ProbeId, ElementIx>,
}

impl Standing {
    pub fn new(org: OrgId) -> Standing {
        Standing {
            org,
            net: None,
            incidents: Incidents::default(),
            agents: BTreeMap::new(),
            probes: BTreeMap::new(),
        }
    }

    pub fn net(&self) -> Option<&Net> {
        self.net.as_ref()
    }

    /// Takes the topology that is in force now, or the one before with another inventory. One
    /// without a device is none: nothing follows from it.
    ///
    /// # Errors
    ///
    /// As [`Topology::build`]; then it stays what it was.
    pub fn set_topology(&mut self, roster: &Roster, draft: &Draft) -> Result<Moved, Vec<Problem>> {
        let has_device = draft.elements.iter().any(|e| e.kind == ElementKind::Device);
        if !has_device {
            *self =
                Standing { incidents: std::mem::take(&mut self.incidents), ..Self::new(self.org) };
            self.incidents.translate(|_| None);
            return Ok(Moved::Rebuilt);
        }
        let (agents, targets) = roster.missing(self.org, draft);
        let described = Described::with(draft, &agents, &targets);
        let moved = match &mut self.net {
            Some(net) => {
                let (moved, before) = net.be(&described)?;
                if let Some(before) = before {
                    self.incidents.translate(|ix| net.topology().find(before.id(ix)));
                } else {
                    // A link that is gone has no name any more.
                    let is_there = |ix: &ElementIx| !net.topology().id(*ix).is_empty();
                    self.incidents.translate(|ix| Some(ix).filter(is_there));
                }
                moved
            }
            None => {
                self.net = Some(Net::of(&described)?);
                Moved::Rebuilt
            }
        };
        self.name(roster);
        Ok(moved)
    }

    /// Finds which element each agent and probe is.
    fn name(&mut self, roster: &Roster) {
        let Some(net) = &self.net else { return };
        let topology = net.topology();
        let agents = topology.of_kind(ElementKind::Agent).filter_map(|ix| {
            let element = topology.get(ix)?;
            Some((element.name.as_deref().unwrap_or(&element.id), ix))
        });
        let by_name: BTreeMap<&str, ElementIx> = agents.collect();
        self.agents = roster
            .agents(self.org)
            .filter_map(|(id, name)| Some((id, *by_name.get(name)?)))
            .collect();
        self.probes = roster
            .probes(self.org)
            .filter_map(|(id, name)| Some((id, target(topology, name)?)))
            .collect();
    }

    /// Whether what an agent reports is evidence: it stands in the topology.
    pub fn hears(&self, agent: AgentId) -> bool {
        self.agents.contains_key(&agent)
    }

    /// Goes on with the incidents of a process before, instead of those it has; says which of its
    /// own each is. `None` is one whose causes are no longer in the topology.
    pub fn restore(&mut self, kept: &[Kept], now: UtcMicros) -> Vec<Option<u32>> {
        let Some(net) = &self.net else { return vec![None; kept.len()] };
        let topology = net.topology();
        let known = |kept| kept::known(topology, kept, |name| target(topology, name));
        let known: Vec<_> = kept.iter().map(known).collect();
        let mut next = 0;
        let ids = known.iter().map(|known| {
            known.as_ref().map(|_| {
                next += 1;
                next
            })
        });
        let ids = ids.collect();
        self.incidents = Incidents::restore(known.into_iter().flatten(), now);
        ids
    }

    /// Agents and targets of an incident's pairs, as many as are kept of it.
    pub fn pairs_of(&self, id: u32) -> Vec<(String, String)> {
        let found = self.net.as_ref().zip(self.incidents.list().find(|one| one.id.0 == id));
        found.map_or_else(Vec::new, |(net, one)| kept::pairs_of(net.topology(), one))
    }

    /// From how many agents each target of an incident is out.
    pub fn agents_by_target(&self, id: u32) -> BTreeMap<String, u32> {
        let found = self.net.as_ref().zip(self.incidents.list().find(|one| one.id.0 == id));
        found.map_or_else(BTreeMap::new, |(net, one)| kept::agents_by_target(net.topology(), one))
    }

    /// Judges; `None` without a topology.
    pub fn judge(&mut self, hearing: &Hearing<'_>) -> Option<Report> {
        self.net.as_ref()?;
        let pairs = self.pairs(hearing);
        let beats = self.beats(hearing);
        let rounds = pairs.iter().map(|pair| pair.asks.len()).sum();
        let (topology, paths) = self.net.as_mut()?.parts();
        let mut picture = Picture {
            now: hearing.now,
            topology,
            paths,
            pairs: &pairs,
            facts: &[],
            beats: &beats,
            heartbeat_us: HEARTBEAT_US,
            works: &[],
        };
        let assessment = rca::assess(&mut picture, hearing.budget);
        let messages = self.incidents.take(&assessment, &|pair| rca::is_answering(&pairs, pair));
        let report = told(topology, hearing.now, &assessment, &self.incidents);
        // Who was not asked for a while says nothing of now.
        let is_heard = |pair: &&Pair<'_>| {
            let heard_at = pair.asks.last().map(|ask| ask.at.0);
            heard_at.is_some_and(|at| hearing.now.0 - at <= rca::window_us(pair.interval_us))
        };
        let heard = pairs.iter().filter(is_heard).count();
        Some(Report { messages, pairs: heard, rounds, ..report })
    }

    /// In the order of agent and target; of several probes of one target the first.
    fn pairs<'a>(&self, hearing: &Hearing<'a>) -> Vec<Pair<'a>> {
        let Hearing { roster, ledger, now, .. } = *hearing;
        let mut pairs: Vec<Pair<'a>> = ledger
            .pairs()
            .filter_map(|(agent, probe, asks)| {
                // A round of later than now is one of a clock that leapt.
                let asks = asks.get(..asks.partition_point(|ask| ask.at <= now))?;
                Some(Pair {
                    agent: *self.agents.get(&agent)?,
                    target: *self.probes.get(&probe)?,
                    interval_us: roster.interval_us(probe),
                    asks,
                })
            })
            .collect();
        pairs.sort_by_key(|pair| (pair.agent, pair.target));
        pairs.dedup_by_key(|pair| (pair.agent, pair.target));
        pairs
    }

    /// By agent and time.
    fn beats(&self, hearing: &Hearing<'_>) -> Vec<Beat> {
        let mut beats = Vec::new();
        for (id, at) in hearing.heard {
            let Some(agent) = self.agents.get(id).copied() else { continue };
            let gateway = hearing.ledger.gateway_of(*id);
            let fresh = gateway.filter(|g| hearing.now.0 - g.at.0 < GATEWAY_AGE_US_MAX);
            let silent = fresh.and_then(|gateway| gateway.silent_since);
            if let Some(since) = silent.filter(|since| since < at) {
                beats.push(Beat { agent, at: since, is_gateway_ok: false });
            }
            beats.push(Beat { agent, at: *at, is_gateway_ok: silent.is_none() });
        }
        beats.sort_by_key(|beat| (beat.agent, beat.at));
        beats
    }
}

/// A target by its name in the inventory.
fn target(topology: &Topology, name: &str) -> Option<ElementIx> {
    let is_other =
        |id: &str| topology.find(id).is_some_and(|ix| topology.kind(ix) != ElementKind::Target);
    topology.find(&own_id(name, is_other))
}
