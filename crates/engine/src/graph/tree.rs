//! Shortest paths from one node to all others, equal costs kept, and kept up to date when one link
//! changes.
//!
//! A tree is exact after every change: updating gives what computing anew would.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use model::ElementKind;

use super::topology::{Arc, ElementIx, Topology};

/// Nothing leads there.
const FAR: u64 = u64::MAX;
/// A link without cost still is a step, or equal paths could run in circles.
const COST_SCALE: u64 = 1 << 16;

/// Which way the packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// From the root to the others.
    Others,
    /// From the others to the root.
    Root,
}

/// A way into a node: from where, over which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parent {
    pub node: ElementIx,
    pub link: ElementIx,
}

/// All shortest paths between a root and every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: ElementIx,
    toward: Toward,
    distances: Vec<u64>,
    /// Sorted, so that equal trees are equal.
    parents: Vec<Vec<Parent>>,
}

type Heap = BinaryHeap<Reverse<(u64, ElementIx)>>;

impl Tree {
    pub fn new(topology: &Topology, root: ElementIx, toward: Toward) -> Tree {
        let count = topology.elements().len();
        let mut tree =
            Tree { root, toward, distances: vec![FAR; count], parents: vec![Vec::new(); count] };
        if let Some(distance) = tree.distances.get_mut(root.index()) {
            *distance = 0;
        }
        tree.settle(topology, Heap::from([Reverse((0, root))]), &mut BTreeSet::new());
        tree
    }

    pub fn root(&self) -> ElementIx {
        self.root
    }

    pub fn is_reached(&self, node: ElementIx) -> bool {
        self.distance(node) != FAR
    }

    pub fn parents(&self, node: ElementIx) -> &[Parent] {
        self.parents.get(node.index()).map_or(&[], Vec::as_slice)
    }

    fn distance(&self, node: ElementIx) -> u64 {
        self.distances.get(node.index()).copied().unwrap_or(FAR)
    }

    fn cost(&self, arc: &Arc) -> u64 {
        let cost = match self.toward {
            Toward::Others => arc.cost,
            Toward::Root => arc.cost_back,
        };
        if cost == u32::MAX { FAR } else { (u64::from(cost) * COST_SCALE).max(1) }
    }

    /// Whether packets of others may pass through a node.
    fn is_transit(&self, topology: &Topology, node: ElementIx) -> bool {
        node == self.root || topology.kind(node) == ElementKind::Device
    }

    /// Dijkstra from what is on the heap; notes every node whose way changed.
    fn settle(&mut self, topology: &Topology, mut heap: Heap, changed: &mut BTreeSet<ElementIx>) {
        while let Some(Reverse((distance, node))) = heap.pop() {
            if distance != self.distance(node) || !self.is_transit(topology, node) {
                continue;
            }
            for arc in topology.arcs(node) {
                if self.relax(node, distance, arc, changed) {
                    heap.push(Reverse((self.distance(arc.to), arc.to)));
                }
            }
        }
    }

    /// Offers a way over an arc; whether the far node is nearer than before.
    fn relax(
        &mut self,
        node: ElementIx,
        distance: u64,
        arc: &Arc,
        changed: &mut BTreeSet<ElementIx>,
    ) -> bool {
        let reached = distance.saturating_add(self.cost(arc));
        let known = self.distance(arc.to);
        let parent = Parent { node, link: arc.link };
        let place = arc.to.index();
        let (Some(parents), Some(slot)) =
            (self.parents.get_mut(place), self.distances.get_mut(place))
        else {
            return false;
        };
        if reached < known {
            *slot = reached;
            *parents = vec![parent];
            changed.insert(arc.to);
            return true;
        }
        if reached == known
            && reached != FAR
            && let Err(at) = parents.binary_search(&parent)
        {
            parents.insert(at, parent);
            changed.insert(arc.to);
        }
        false
    }

    /// Follows a change of one link's cost, after the topology has it; [`u32::MAX`] is no link.
    /// Returns the nodes that are reached by other paths than before.
    pub fn follow(&mut self, topology: &Topology, link: ElementIx) -> BTreeSet<ElementIx> {
        let mut changed = BTreeSet::new();
        let ends = topology.get(link).and_then(|element| element.ends);
        let Some(ends) = ends.map(|ends| ends.map(|end| topology.node_of(end))) else {
            return changed;
        };
        let mut orphans = BTreeSet::new();
        for end in ends {
            self.disown(end, |parent| parent.link == link, &mut orphans, &mut changed);
        }
        self.spread(topology, &mut orphans, &mut changed);
        let mut heap = Heap::new();
        for node in ends.iter().chain(&orphans) {
            for arc in topology.arcs(*node) {
                let near = self.distance(arc.to);
                if near != FAR && self.is_transit(topology, arc.to) {
                    heap.push(Reverse((near, arc.to)));
                }
            }
        }
        self.settle(topology, heap, &mut changed);
        self.below(topology, changed)
    }

    /// Takes ways away from a node; one that has none left is an orphan.
    fn disown(
        &mut self,
        node: ElementIx,
        is_lost: impl Fn(&Parent) -> bool,
        orphans: &mut BTreeSet<ElementIx>,
        changed: &mut BTreeSet<ElementIx>,
    ) {
        let Some(parents) = self.parents.get_mut(node.index()) else { return };
        let before = parents.len();
        parents.retain(|parent| !is_lost(parent));
        if parents.len() == before {
            return;
        }
        changed.insert(node);
        if parents.is_empty()
            && node != self.root
            && let Some(distance) = self.distances.get_mut(node.index())
        {
            *distance = FAR;
            orphans.insert(node);
        }
    }

    /// What was reached only through orphans is an orphan.
    fn spread(
        &mut self,
        topology: &Topology,
        orphans: &mut BTreeSet<ElementIx>,
        changed: &mut BTreeSet<ElementIx>,
    ) {
        let mut rest: Vec<ElementIx> = orphans.iter().copied().collect();
        while let Some(node) = rest.pop() {
            for arc in topology.arcs(node) {
                let known = orphans.len();
                self.disown(arc.to, |parent| parent.node == node, orphans, changed);
                if known < orphans.len() {
                    rest.push(arc.to);
                }
            }
        }
    }

    /// The nodes given and all whose paths lead through them.
    fn below(&self, topology: &Topology, nodes: BTreeSet<ElementIx>) -> BTreeSet<ElementIx> {
        let mut all = nodes.clone();
        let mut rest: Vec<ElementIx> = nodes.into_iter().collect();
        while let Some(node) = rest.pop() {
            for arc in topology.arcs(node) {
                let is_child = self.parents(arc.to).iter().any(|parent| parent.node == node);
                if is_child && all.insert(arc.to) {
                    rest.push(arc.to);
                }
            }
        }
        all
    }

    /// Every shortest path to `node`, from the root, with the share of flows that take it when
    /// each node spreads them evenly; at most `routes_max`, the shares then of those.
    pub fn routes(&self, node: ElementIx, routes_max: usize) -> Vec<(Vec<Parent>, f64)> {
        if !self.is_reached(node) {
            return Vec::new();
        }
        let onward = self.onward(node);
        let mut routes = Vec::new();
        let mut stack = vec![(self.root, Vec::new(), 1.0)];
        while let Some((at, way, share)) = stack.pop() {
            if at == node {
                routes.push((way, share));
                if routes.len() == routes_max {
                    break;
                }
                continue;
            }
            let hops = onward.get(&at).map_or(&[][..], Vec::as_slice);
            let share = share / hops.len().max(1) as f64;
            for (to, link) in hops.iter().rev() {
                let mut way = way.clone();
                way.push(Parent { node: *to, link: *link });
                stack.push((*to, way, share));
            }
        }
        let sum: f64 = routes.iter().map(|(_, share)| share).sum();
        routes.iter_mut().for_each(|(_, share)| *share /= sum);
        routes
    }

    /// Of every node on a path to `node`: where it sends packets for it.
    fn onward(&self, node: ElementIx) -> BTreeMap<ElementIx, Vec<(ElementIx, ElementIx)>> {
        let mut onward: BTreeMap<ElementIx, Vec<(ElementIx, ElementIx)>> = BTreeMap::new();
        let mut seen = BTreeSet::from([node]);
        let mut rest = vec![node];
        while let Some(at) = rest.pop() {
            for parent in self.parents(at) {
                onward.entry(parent.node).or_default().push((at, parent.link));
                if seen.insert(parent.node) {
                    rest.push(parent.node);
                }
            }
        }
        onward.values_mut().for_each(|hops| hops.sort_unstable());
        onward
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::draft::{Draft, ElementDraft};

    /// A connected graph and some more links, drawn from a seed.
    fn network(seed: &mut u64, nodes: u64) -> Topology {
        let mut draw = |below: u64| {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) % below
        };
        let mut draft = Draft::default();
        for node in 0..nodes {
            draft.elements.push(ElementDraft::new(format!("r{node}"), ElementKind::Device));
        }
        for link in 1..nodes * 2 {
            let a = if link < nodes { link } else { draw(nodes) };
            let b = if link < nodes { draw(link) } else { draw(nodes) };
            if a == b {
                continue;
            }
            let mut element =
                ElementDraft::link(format!("l{link}"), &format!("r{a}"), &format!("r{b}"));
            element.cost = i64::try_from(draw(4)).ok();
            element.cost_back = i64::try_from(draw(4)).ok();
            draft.elements.push(element);
        }
        Topology::build(&draft).expect("a good network")
    }

    #[test]
    fn following_a_change_gives_what_computing_anew_gives() {
        let mut seed = 7;
        for _ in 0..30 {
            let mut topology = network(&mut seed, 24);
            let root = topology.find("r3").expect("is there");
            for toward in [Toward::Others, Toward::Root] {
                let mut tree = Tree::new(&topology, root, toward);
                let links: Vec<ElementIx> = topology.of_kind(ElementKind::Link).collect();
                for (nth, link) in links.into_iter().enumerate() {
                    let cost = [u32::MAX, 0, 1, 3][nth % 4];
                    let before = tree.clone();
                    topology.set_cost(link, cost, cost);
                    let changed = tree.follow(&topology, link);
                    let anew = Tree::new(&topology, root, toward);
                    assert_eq!(tree, anew, "link {nth} to {cost}");
                    for node in topology.of_kind(ElementKind::Device) {
                        if before.routes(node, 64) != anew.routes(node, 64) {
                            assert!(changed.contains(&node), "{} unnoticed", topology.id(node));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn equal_paths_share_the_flows_hop_by_hop() {
        let mut draft = Draft::default();
        for id in ["a", "b", "c", "d"] {
            draft.elements.push(ElementDraft::new(id, ElementKind::Device));
        }
        for (id, x, y) in [
            ("ab", "a", "b"),
            ("ac", "a", "c"),
            ("bd", "b", "d"),
            ("bd2", "b", "d"),
            ("cd", "c", "d"),
        ] {
            draft.elements.push(ElementDraft::link(id, x, y));
        }
        let topology = Topology::build(&draft).expect("a good network");
        let find = |id| topology.find(id).expect("is there");
        let tree = Tree::new(&topology, find("a"), Toward::Others);
        let routes = tree.routes(find("d"), 8);
        let told: Vec<(String, f64)> = routes
            .iter()
            .map(|(way, share)| {
                let links: Vec<&str> = way.iter().map(|hop| topology.id(hop.link)).collect();
                (links.join(" "), *share)
            })
            .collect();
        let expected =
            [("ab bd", 0.25), ("ab bd2", 0.25), ("ac cd", 0.5)].map(|(way, s)| (way.to_owned(), s));
        assert_eq!(told, expected);
    }
}
