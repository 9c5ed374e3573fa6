//! What maintenance reaches: the causes that work explains, and the targets that stand behind it.
//!
//! 1 - A window reaches what it covers: an element with everything that shares its fate, what
//!     belongs to a device and the links at it, and whatever by the operator's word cannot be
//!     without these.
//! 2 - Of what is cut off from every agent while all of that is gone it reaches the targets, and
//!     the agents that stand there. A device behind is not worked on: if it fails, it fails.
//! 3 - An incident is inside if one of the causes that nothing tells apart is reached, or if every
//!     target that it hits is covered by name: whatever carries them, nobody else is hit.
//! 4 - Of several windows it is inside the one that ends last.

use std::collections::BTreeSet;

use model::{ElementKind, MaintenanceId, Occurrence};

use super::standing::target;
use crate::{
    graph::{ElementIx, Topology},
    rca::{Finding, Work, cut_off},
};

/// A window that is open, with what it covers in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Works {
    pub id: MaintenanceId,
    pub open: Occurrence,
    /// Ids of elements.
    pub elements: Vec<String>,
    /// Names of targets, those of tags among them, sorted.
    pub targets: Vec<String>,
    pub is_all: bool,
}

/// What a window reaches in one topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    is_all: bool,
    /// What is covered by name.
    elements: Vec<ElementIx>,
    /// Causes that the work explains, targets behind it among them.
    causes: BTreeSet<ElementIx>,
    /// Targets that are covered by name.
    named: BTreeSet<ElementIx>,
    /// Devices that are worked on, or cut off.
    devices: BTreeSet<ElementIx>,
}

impl Reach {
    /// Names that the topology does not know reach nothing.
    pub fn of(topology: &Topology, works: &Works) -> Reach {
        let elements: Vec<ElementIx> =
            works.elements.iter().filter_map(|id| topology.find(id)).collect();
        let named = works.targets.iter().filter_map(|name| target(topology, name));
        let named: BTreeSet<ElementIx> = named.collect();
        let mut causes = named.clone();
        let mut devices = BTreeSet::new();
        if !elements.is_empty() {
            let inside = inside(topology, &elements);
            let cut = cut_off(topology, &roots(topology), &inside);
            causes.extend(standing_at(topology, &cut));
            devices.extend(cut);
            // What hangs on a device that is worked on, and on a link.
            causes.extend(standing_at(topology, &inside));
            causes.extend(inside);
        }
        Reach { is_all: works.is_all, elements, causes, named, devices }
    }

    /// Rule 3.
    pub(super) fn holds(&self, finding: &Finding) -> bool {
        let Some(cause) = finding.causes.first() else { return false };
        let is_hit_alone = !finding.pairs.is_empty()
            && finding.pairs.iter().all(|(_, target)| self.named.contains(target));
        self.is_all || is_hit_alone || self.holds_one(&cause.elements)
    }

    /// Whether it reaches one of several elements.
    pub fn holds_one(&self, elements: &[ElementIx]) -> bool {
        self.is_all || elements.iter().any(|element| self.causes.contains(element))
    }

    /// Elements of a kind that it reaches.
    pub fn of_kind(&self, topology: &Topology, kind: ElementKind) -> Vec<ElementIx> {
        let is_reached = |ix: &ElementIx| self.is_all || self.causes.contains(ix);
        topology.of_kind(kind).filter(is_reached).collect()
    }

    /// Devices that are worked on, or that are cut off with what is.
    pub fn devices(&self, topology: &Topology) -> Vec<ElementIx> {
        if self.is_all {
            return topology.devices().to_vec();
        }
        self.devices.iter().copied().collect()
    }

    /// Announced work makes what is worked on a likelier cause.
    pub(super) fn works(&self, open: Occurrence) -> impl Iterator<Item = Work> + '_ {
        let work = move |element: &ElementIx| Work {
            element: *element,
            from: open.start,
            until: open.end,
        };
        self.elements.iter().map(work)
    }
}

/// Rule 1, sorted.
fn inside(topology: &Topology, elements: &[ElementIx]) -> Vec<ElementIx> {
    let mut all: BTreeSet<ElementIx> = BTreeSet::new();
    let mut rest: Vec<ElementIx> = elements.to_vec();
    while let Some(element) = rest.pop() {
        if !all.insert(element) {
            continue;
        }
        rest.extend(topology.fate(element));
        match topology.kind(element) {
            ElementKind::Device => {
                rest.extend(topology.members(element));
                let arcs = topology.arcs(element).iter();
                all.extend(
                    arcs.flat_map(|arc| [Some(arc.link), arc.ports[0], arc.ports[1]]).flatten(),
                );
            }
            ElementKind::Link => {
                let ends = topology.get(element).and_then(|link| link.ends);
                let ports = ends
                    .into_iter()
                    .flatten()
                    .filter(|end| topology.kind(*end) == ElementKind::Interface);
                all.extend(ports);
            }
            ElementKind::Interface => {
                let arcs = topology.arcs(topology.node_of(element)).iter();
                all.extend(arcs.filter(|arc| arc.ports[0] == Some(element)).map(|arc| arc.link));
            }
            ElementKind::Lag
            | ElementKind::Site
            | ElementKind::Srlg
            | ElementKind::Upstream
            | ElementKind::Agent
            | ElementKind::AgentUplink
            | ElementKind::Target => {}
        }
    }
    let all: Vec<ElementIx> = all.into_iter().collect();
    topology.downfall(&all)
}

/// Targets and agents that stand at any of these; `at` is sorted.
fn standing_at(topology: &Topology, at: &[ElementIx]) -> Vec<ElementIx> {
    let is_there =
        |ix: &ElementIx| topology.host(*ix).is_some_and(|host| at.binary_search(&host).is_ok());
    let kinds = [ElementKind::Target, ElementKind::Agent, ElementKind::AgentUplink];
    kinds.into_iter().flat_map(|kind| topology.of_kind(kind)).filter(is_there).collect()
}

/// Where the agents stand.
fn roots(topology: &Topology) -> Vec<ElementIx> {
    topology.of_kind(ElementKind::Agent).filter_map(|agent| topology.host(agent)).collect()
}

/// The windows that are open, and what they reach.
#[derive(Clone, Debug, Default)]
pub(super) struct Announced {
    open: Vec<Works>,
    /// In the same order; `None` when they are to be found anew.
    reaches: Option<Vec<Reach>>,
}

impl Announced {
    /// Says whether they are others than before.
    pub(super) fn set(&mut self, open: &[Works]) {
        if self.open != open {
            self.open = open.to_vec();
            self.reaches = None;
        }
    }

    /// The topology is another.
    pub(super) fn forget(&mut self) {
        self.reaches = None;
    }

    /// The last window to end of those that reach all of these targets, with a topology or without.
    pub(super) fn window_of_targets(
        &mut self,
        topology: Option<&Topology>,
        names: &[String],
    ) -> Option<MaintenanceId> {
        topology.map(|topology| self.find(topology).len());
        let reaches = self.reaches.as_deref().unwrap_or_default();
        let inside = self.open.iter().enumerate().filter(|(at, works)| {
            let placed = topology.zip(reaches.get(*at));
            let is_reached = |name: &String| {
                works.targets.binary_search(name).is_ok()
                    || placed.is_some_and(|(topology, reach)| {
                        target(topology, name).is_some_and(|ix| reach.causes.contains(&ix))
                    })
            };
            works.is_all || (!names.is_empty() && names.iter().all(is_reached))
        });
        let last = inside.max_by_key(|(_, works)| (works.open.end, works.id));
        last.map(|(_, works)| works.id)
    }

    pub(super) fn find(&mut self, topology: &Topology) -> Vec<(&Works, &Reach)> {
        let open = &self.open;
        let reaches = self
            .reaches
            .get_or_insert_with(|| open.iter().map(|works| Reach::of(topology, works)).collect());
        open.iter().zip(reaches.iter()).collect()
    }
}

/// Rule 4.
pub(super) fn window_of(finding: &Finding, open: &[(&Works, &Reach)]) -> Option<MaintenanceId> {
    let inside = open.iter().filter(|(_, reach)| reach.holds(finding));
    inside.max_by_key(|(works, _)| (works.open.end, works.id)).map(|(works, _)| works.id)
}
