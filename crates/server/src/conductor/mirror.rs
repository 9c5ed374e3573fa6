//! The inventory as far as assignments need it, kept beside the engine by the same changes.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Address, AgentId, InventoryChange, OrgId, ProbeId, Round, Subject, TargetId, Tier, TierId,
};

#[derive(Debug, Default)]
pub(super) struct Mirror {
    tiers: BTreeMap<TierId, Tier>,
    /// By their ids, which the store gives densely from 1: every round asks for one.
    probes: Vec<Option<MirrorProbe>>,
    agents: BTreeMap<AgentId, OrgId>,
}

#[derive(Debug)]
struct MirrorProbe {
    org: OrgId,
    target: TargetId,
    tier: TierId,
    address: Address,
}

fn index(id: ProbeId) -> usize {
    usize::try_from(id.0).unwrap_or(usize::MAX)
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
                let index = index(spec.id);
                if self.probes.len() <= index {
                    self.probes.resize_with(index.saturating_add(1), || None);
                }
                if let Some(place) = self.probes.get_mut(index) {
                    *place = Some(probe);
                }
            }
            InventoryChange::ProbeRemoved(id) => {
                if let Some(place) = self.probes.get_mut(index(*id)) {
                    *place = None;
                }
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
            let Some(probe) = self.probe(*id) else {
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
        self.probe(probe).map(|probe| probe.target)
    }

    fn probe(&self, id: ProbeId) -> Option<&MirrorProbe> {
        self.probes.get(index(id))?.as_ref()
    }

    /// Leaves the rounds of probes that this agent's organisation has: only those are stored.
    pub(super) fn retain_stored(&self, agent: AgentId, rounds: &mut Vec<Round>) {
        let org = self.agents.get(&agent).copied();
        rounds.retain(|round| match round.subject {
            Subject::Probe(id) => org.is_some() && org == self.probe(id).map(|probe| probe.org),
            Subject::Gateway | Subject::Witness(_) => false,
        });
    }
}
