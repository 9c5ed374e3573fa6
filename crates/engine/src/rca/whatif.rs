//! What would be lost if something failed: for planning work, and for finding what must not fail.
//!
//! It looks at links and devices alone, not at capacity: what has a second way is not lost.

use std::collections::BTreeSet;

use model::ElementKind;

use super::impact;
use crate::graph::{Cut, ElementIx, PathBook, SetIx, Topology};

/// What a failure would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Targets that nobody would reach.
    pub targets: Vec<ElementIx>,
    pub weight: u64,
    /// Devices that would be gone or cut off.
    pub devices: Vec<ElementIx>,
    /// Devices that one failure more would cut off.
    pub devices_exposed: Vec<ElementIx>,
    /// Agents that would see nothing.
    pub agents: Vec<ElementIx>,
    /// Targets whose packets would take another way.
    pub rerouted: u32,
    /// Targets that some agent would no longer reach, though another does.
    pub split: u32,
}

/// An element whose loss darkens targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinglePoint {
    pub element: ElementIx,
    pub targets: u32,
    pub weight: u64,
}

/// Says what the loss of `elements` would take.
pub fn what_if(topology: &Topology, elements: &[ElementIx]) -> Loss {
    let fate = fate(topology, elements);
    let roots = roots(topology);
    let targets = dark(topology, &roots, &fate);
    let devices = impact::cut_off(topology, &roots, &fate);
    let hosts = topology.of_kind(ElementKind::Agent);
    let agents = hosts.filter(|agent| {
        let host = topology.host(*agent);
        fate.binary_search(agent).is_ok() || host.is_some_and(|host| devices.contains(&host))
    });
    let (rerouted, split) = moved(topology, &fate, &targets);
    Loss {
        weight: weight(topology, &targets),
        devices_exposed: impact::exposed(topology, &roots, &fate, &devices),
        agents: agents.collect(),
        rerouted,
        split,
        targets,
        devices,
    }
}

/// Every element whose loss darkens targets, by weight.
pub fn single_points(topology: &Topology) -> Vec<SinglePoint> {
    let roots = roots(topology);
    let already: BTreeSet<ElementIx> = dark(topology, &roots, &[]).into_iter().collect();
    let mut points = Vec::new();
    for (element, ix) in topology.elements().iter().zip(0..).map(|(e, ix)| (e, ElementIx(ix))) {
        let is_one = !matches!(element.kind, ElementKind::Target | ElementKind::Agent);
        if !is_one || topology.is_together(ix) {
            continue;
        }
        let mut lost = dark(topology, &roots, &fate(topology, &[ix]));
        lost.retain(|target| !already.contains(target));
        if !lost.is_empty() {
            let weight = weight(topology, &lost);
            let targets = u32::try_from(lost.len()).unwrap_or(u32::MAX);
            points.push(SinglePoint { element: ix, targets, weight });
        }
    }
    points.sort_by(|a, b| {
        (b.weight, b.targets).cmp(&(a.weight, a.targets)).then(a.element.cmp(&b.element))
    });
    points
}

/// What is lost with them, sorted.
fn fate(topology: &Topology, elements: &[ElementIx]) -> Vec<ElementIx> {
    let fate: Vec<ElementIx> =
        elements.iter().flat_map(|element| topology.fate(*element)).collect();
    topology.downfall(&fate)
}

fn roots(topology: &Topology) -> Vec<ElementIx> {
    let agents = topology.of_kind(ElementKind::Agent);
    agents.filter_map(|agent| topology.host(agent)).collect()
}

fn weight(topology: &Topology, targets: &[ElementIx]) -> u64 {
    targets.iter().filter_map(|target| topology.get(*target)).map(|target| target.weight).sum()
}

/// Targets that stand behind nothing an agent reaches.
fn dark(topology: &Topology, roots: &[ElementIx], fate: &[ElementIx]) -> Vec<ElementIx> {
    let cut = Cut::new(topology, fate);
    let targets = topology.of_kind(ElementKind::Target).filter(|target| {
        let is_lost = |ix: &ElementIx| fate.binary_search(ix).is_ok();
        let Some(host) = topology.host(*target) else { return is_lost(target) };
        let node = topology.node_of(host);
        let is_reached = roots.iter().any(|root| cut.is_connected(*root, node));
        is_lost(target) || is_lost(&host) || !is_reached
    });
    targets.collect()
}

/// Targets that stay reachable and whose shortest paths cross what is lost: for whom there is
/// another way, and for whom some agent has none.
fn moved(topology: &Topology, fate: &[ElementIx], dark: &[ElementIx]) -> (u32, u32) {
    let cut = Cut::new(topology, fate);
    let mut book = PathBook::default();
    let (mut moved, mut split) = (BTreeSet::new(), BTreeSet::new());
    let node = |ix: ElementIx| topology.host(ix).map(|host| topology.node_of(host));
    for agent in topology.of_kind(ElementKind::Agent) {
        for target in topology.of_kind(ElementKind::Target) {
            let set: SetIx = book.shortest(topology, agent, topology.host(target));
            let crosses = book.get(set).is_some_and(|set| 0.0 < set.share_of_any(fate));
            if crosses && dark.binary_search(&target).is_err() {
                let ends = node(agent).zip(node(target));
                let is_split = ends.is_some_and(|(from, to)| !cut.is_connected(from, to));
                if is_split {
                    split.insert(target)
                } else {
                    moved.insert(target)
                };
            }
        }
    }
    moved.retain(|target| !split.contains(target));
    let count = |set: BTreeSet<ElementIx>| u32::try_from(set.len()).unwrap_or(u32::MAX);
    (count(moved), count(split))
}
