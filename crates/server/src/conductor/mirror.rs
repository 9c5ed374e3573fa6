//! The inventory as far as assignments need it, kept beside the engine by the same changes.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Address, AgentId, InventoryChange, OrgId, ProbeId, Round, Subject, TargetId, Tier, TierId,
};

#[derive(Debug, Default)]
pub(super) struct Mirror {
    tiers: BTreeMap<TierId, Tier>,
    probes: BTreeMap<ProbeId, MirrorProbe>,
    agents: BTreeMap<AgentId, OrgId>,
}

#[derive(Debug)]
struct MirrorProbe {
    org: OrgId,
    target: TargetId,
    tier: TierId,
    address: Address,
}

impl Mirror {
    pub(super) fn change(&mut self, change: &InventoryChange) {
        match change {
            InventoryChange::TierSet(tier) => {
                self.tiers.insert(tier.id, tier.clone());
            }
            InventoryChange::TierRemoved(id) => {
                self.tiers.remove(id);
            }
            InventoryChange::ProbeSet(spec) => {
                let probe = MirrorProbe {
                    org: spec.org,
                    target: spec.target,
                    tier: spec.tier,
                    address: spec.address.clone(),
                };
                self.probes.insert(spec.id, probe);
            }
            InventoryChange::ProbeRemoved(id) => {
                self.probes.remove(id);
            }
            InventoryChange::AgentSet(spec) => {
                self.agents.insert(spec.id, spec.org);
            }
            InventoryChange::AgentRemoved(id) => {
                self.agents.remove(id);
            }
        }
    }

    /// Returns what the probes need to be asked; one without a tier is left out.
    pub(super) fn tasks(&self, probes: &[ProbeId]) -> (Vec<Tier>, Vec<(ProbeId, TierId, Address)>) {
        let mut used = BTreeSet::new();
        let mut tasks = Vec::with_capacity(probes.len());
        for id in probes {
            let Some(probe) = self.probes.get(id) else {
                continue;
            };
            if self.tiers.contains_key(&probe.tier) {
                used.insert(probe.tier);
                tasks.push((*id, probe.tier, probe.address.clone()));
            }
        }
        let tiers = used.iter().filter_map(|id| self.tiers.get(id).cloned()).collect();
        (tiers, tasks)
    }

    pub(super) fn target(&self, probe: ProbeId) -> Option<TargetId> {
        self.probes.get(&probe).map(|probe| probe.target)
    }

    /// Whether a round is of a probe that this agent's organisation has: only those are stored.
    pub(super) fn is_stored(&self, agent: AgentId, round: &Round) -> bool {
        match round.subject {
            Subject::Probe(id) => {
                let org = self.probes.get(&id).map(|probe| probe.org);
                org.is_some() && org == self.agents.get(&agent).copied()
            }
            Subject::Gateway | Subject::Witness(_) => false,
        }
    }
}
