//! The inventory as far as a topology needs it: what targets and agents are called, and how often
//! each is asked.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Address, AgentId, ElementKind, InventoryChange, OrgId, ProbeId, ProbeSpec, TargetId, TierId,
};

use crate::graph::{Draft, ElementDraft, TargetDraft};

/// A tier that nobody named yet is taken as a standard one.
const INTERVAL_US: i64 = 30_000_000;

#[derive(Clone, Debug)]
struct Probe {
    org: OrgId,
    target: Box<str>,
    target_id: TargetId,
    address: Address,
    tier: TierId,
    paused: bool,
}

#[derive(Clone, Debug)]
struct Agent {
    org: OrgId,
    name: Box<str>,
}

fn index(id: ProbeId) -> usize {
    usize::try_from(id.0).unwrap_or(usize::MAX)
}

/// Who asks and who is asked, by id, of all organisations.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    intervals_us: BTreeMap<TierId, i64>,
    /// By their ids, which the store gives densely from 1.
    probes: Vec<Option<Probe>>,
    agents: BTreeMap<AgentId, Agent>,
    /// Probes whose address is another, until somebody asks.
    readdressed: BTreeSet<ProbeId>,
    /// Changes when something is asked more often, or less.
    tempo: u64,
}

impl Roster {
    /// Takes a change; whether a topology that was completed before is no longer complete.
    pub fn change(&mut self, change: &InventoryChange) -> bool {
        match change {
            InventoryChange::TierSet(tier) => {
                let us = i64::try_from(tier.interval.as_micros()).unwrap_or(INTERVAL_US);
                let before = self.intervals_us.insert(tier.id, us);
                self.tempo += u64::from(before != Some(us));
                false
            }
            InventoryChange::TierRemoved(id) => {
                self.intervals_us.remove(id);
                self.tempo += 1;
                false
            }
            InventoryChange::ProbeSet(spec) => self.set_probe(spec),
            InventoryChange::ProbeRemoved(id) => {
                self.probes.get_mut(index(*id)).and_then(Option::take).is_some()
            }
            InventoryChange::AgentSet(spec) => {
                let name = spec.name.as_str();
                let before = if spec.is_active {
                    self.agents.insert(spec.id, Agent { org: spec.org, name: name.into() })
                } else {
                    return self.agents.remove(&spec.id).is_some();
                };
                before.is_none_or(|before| &*before.name != name || before.org != spec.org)
            }
            InventoryChange::AgentRemoved(id) => self.agents.remove(id).is_some(),
        }
    }

    fn set_probe(&mut self, spec: &ProbeSpec) -> bool {
        let index = index(spec.id);
        if self.probes.len() <= index {
            self.probes.resize_with(index.saturating_add(1), || None);
        }
        let Some(place) = self.probes.get_mut(index) else {
            return false;
        };
        let target = spec.target_name.as_str();
        let address = spec.address.clone();
        let (tier, paused) = (spec.tier, spec.paused);
        let probe = Probe {
            org: spec.org,
            target: target.into(),
            target_id: spec.target,
            address,
            tier,
            paused,
        };
        let before = place.replace(probe);
        let is_other = before.as_ref().is_some_and(|before| before.tier != spec.tier);
        self.tempo += u64::from(is_other);
        if before.as_ref().is_some_and(|before| before.address != spec.address) {
            self.readdressed.insert(spec.id);
        }
        before.is_none_or(|before| &*before.target != target || before.org != spec.org)
    }

    fn probe(&self, id: ProbeId) -> Option<&Probe> {
        self.probes.get(index(id))?.as_ref()
    }

    /// Probes that ask another address since this was called last.
    pub(super) fn take_readdressed(&mut self) -> BTreeSet<ProbeId> {
        std::mem::take(&mut self.readdressed)
    }

    /// The organisations that have something.
    pub fn orgs(&self) -> BTreeSet<OrgId> {
        let probes = self.probes.iter().flatten().map(|probe| probe.org);
        probes.chain(self.agents.values().map(|agent| agent.org)).collect()
    }

    pub fn has_probe(&self, probe: ProbeId) -> bool {
        self.probe(probe).is_some()
    }

    /// Whether it is to be asked.
    pub(super) fn is_asked(&self, probe: ProbeId) -> bool {
        self.probe(probe).is_some_and(|probe| !probe.paused)
    }

    /// The target that a probe asks, and what that is called.
    pub fn target_of(&self, probe: ProbeId) -> Option<(TargetId, &str)> {
        self.probe(probe).map(|probe| (probe.target_id, &*probe.target))
    }

    /// A probe of a target.
    pub fn probe_of(&self, org: OrgId, target: TargetId) -> Option<ProbeId> {
        let is_one = |probe: &Probe| probe.org == org && probe.target_id == target;
        let at = self.probes.iter().position(|probe| probe.as_ref().is_some_and(is_one))?;
        Some(ProbeId(u32::try_from(at).ok()?))
    }

    /// What an agent is called.
    pub fn agent_name(&self, agent: AgentId) -> Option<&str> {
        self.agents.get(&agent).map(|agent| &*agent.name)
    }

    pub fn has_agent(&self, agent: AgentId) -> bool {
        self.agents.contains_key(&agent)
    }

    pub(super) fn tempo(&self) -> u64 {
        self.tempo
    }

    /// Between two rounds of a probe.
    pub(super) fn interval_us(&self, probe: ProbeId) -> i64 {
        let tier = self.probe(probe).map(|probe| probe.tier);
        tier.and_then(|tier| self.intervals_us.get(&tier).copied()).unwrap_or(INTERVAL_US)
    }

    pub(super) fn agents(&self, org: OrgId) -> impl Iterator<Item = (AgentId, &str)> {
        let agents = self.agents.iter().filter(move |(_, agent)| agent.org == org);
        agents.map(|(id, agent)| (*id, &*agent.name))
    }

    pub(super) fn probes(&self, org: OrgId) -> impl Iterator<Item = (ProbeId, &str)> {
        let probes = (0..).map(ProbeId).zip(&self.probes);
        let probes = probes.filter_map(|(id, probe)| Some((id, probe.as_ref()?)));
        probes.filter(move |(_, probe)| probe.org == org).map(|(id, probe)| (id, &*probe.target))
    }

    /// How many targets an organisation has.
    pub fn probe_count(&self, org: OrgId) -> usize {
        self.probes(org).count()
    }

    /// Every agent and target of the inventory that a topology does not name: they stand nowhere.
    pub(super) fn missing(
        &self,
        org: OrgId,
        draft: &Draft,
    ) -> (Vec<ElementDraft>, Vec<TargetDraft>) {
        let agents = draft.elements.iter().filter(|element| element.kind == ElementKind::Agent);
        let called: BTreeSet<&str> =
            agents.map(|agent| agent.name.as_deref().unwrap_or(&agent.id)).collect();
        let strangers: Vec<&str> =
            self.agents(org).map(|(_, name)| name).filter(|name| !called.contains(name)).collect();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        if !strangers.is_empty() {
            taken.extend(draft.elements.iter().map(|element| element.id.clone()));
        }
        let mut agents = Vec::new();
        for name in strangers {
            let mut id = name.to_owned();
            while !taken.insert(id.clone()) {
                id.push_str(" (agent)");
            }
            let name = Some(name.to_owned());
            agents.push(ElementDraft { name, ..ElementDraft::new(id, ElementKind::Agent) });
        }
        let known: BTreeSet<&str> = draft.targets.iter().map(|target| target.id.as_str()).collect();
        let targets = self.probes(org).filter(|(_, name)| !known.contains(*name));
        let mut targets: Vec<TargetDraft> =
            targets.map(|(_, name)| TargetDraft::new(name, None)).collect();
        targets.sort_by(|a, b| a.id.cmp(&b.id));
        targets.dedup();
        (agents, targets)
    }
}
