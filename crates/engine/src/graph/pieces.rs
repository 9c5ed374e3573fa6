//! What stays connected without one link or one device: for every one of them from one walk
//! (Tarjan 1974), where a [`Cut`](super::Cut) walks anew for each.

use std::collections::BTreeMap;

use model::ElementKind;

use super::topology::{Arc, ElementIx, Topology};

/// The walk over a topology, by when each node was come to.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    /// By element, from 1 on; 0 of a node that no link leads to.
    entered: Vec<u32>,
    /// By when it was entered.
    nodes: Vec<Node>,
    /// Of a link that the walk took: the node behind it.
    behind: BTreeMap<ElementIx, u32>,
}

/// A node in the walk; all numbers are of when nodes were entered.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Where the walk began that came here.
    begun: u32,
    /// The last that was entered from here on, itself among them.
    last: u32,
    /// The earliest that is reached from below without the link over which it was entered.
    low: u32,
    /// Entered from here.
    below: Vec<u32>,
}

/// A node that the walk is in, with the link it came over, and where it goes on.
struct Stop {
    node: ElementIx,
    at: u32,
    link: Option<ElementIx>,
    next_arc: usize,
}

impl Pieces {
    /// `None` of a network with a link that is open one way alone.
    pub(crate) fn new(topology: &Topology) -> Option<Pieces> {
        let size = topology.elements().len();
        let nodes = vec![Node::default()];
        let mut pieces = Pieces { entered: vec![0; size], nodes, behind: BTreeMap::new() };
        for start in topology.devices() {
            let mut arcs = topology.arcs(*start).iter();
            if arcs.any(|arc| (arc.cost == u32::MAX) != (arc.cost_back == u32::MAX)) {
                return None;
            }
            if pieces.at(*start) == 0 {
                pieces.walk(topology, *start);
            }
        }
        Some(pieces)
    }

    /// Whether packets get from one node to the other without a link or device that nothing else
    /// needs; `None` if one walk does not tell.
    pub(crate) fn is_connected_without(
        &self,
        topology: &Topology,
        gone: ElementIx,
        (a, b): (ElementIx, ElementIx),
    ) -> Option<bool> {
        let is_plain = |node: ElementIx| {
            let open = topology.arcs(node).iter().filter(|arc| arc.cost != u32::MAX);
            topology.kind(node) == ElementKind::Device || open.count() < 2
        };
        if topology.is_needed(gone) || !is_plain(a) || !is_plain(b) {
            return None;
        }
        let (at_a, at_b) = (self.at(a), self.at(b));
        let (Some(from), Some(to)) = (self.node(at_a), self.node(at_b)) else { return Some(false) };
        if at_a == 0 || at_b == 0 || from.begun != to.begun || a == gone || b == gone {
            return Some(false);
        }
        let is_behind =
            |top: u32, at: u32| top <= at && self.node(top).is_some_and(|node| at <= node.last);
        match topology.kind(gone) {
            ElementKind::Link => Some(match self.behind.get(&gone) {
                Some(top) if self.node(*top).is_some_and(|node| *top <= node.low) => {
                    is_behind(*top, at_a) == is_behind(*top, at_b)
                }
                Some(_) | None => true,
            }),
            ElementKind::Device => {
                let at = self.at(gone);
                let side = |node: u32| {
                    let below = &self.node(at).filter(|_| is_behind(at, node))?.below;
                    let nth = below.partition_point(|top| *top <= node).checked_sub(1)?;
                    let top = *below.get(nth)?;
                    let low = self.node(top)?.low;
                    (at <= low).then_some(top)
                };
                Some(side(at_a) == side(at_b))
            }
            ElementKind::Interface
            | ElementKind::Lag
            | ElementKind::Site
            | ElementKind::Srlg
            | ElementKind::Upstream
            | ElementKind::Agent
            | ElementKind::AgentUplink
            | ElementKind::Target => None,
        }
    }

    fn at(&self, node: ElementIx) -> u32 {
        self.entered.get(node.index()).copied().unwrap_or(0)
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize)
    }

    fn enter(&mut self, node: ElementIx, begun: Option<u32>, link: Option<ElementIx>) -> Stop {
        let at = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let begun = begun.unwrap_or(at);
        self.nodes.push(Node { begun, last: at, low: at, below: Vec::new() });
        self.entered.get_mut(node.index()).into_iter().for_each(|slot| *slot = at);
        self.behind.extend(link.map(|link| (link, at)));
        Stop { node, at, link, next_arc: 0 }
    }

    fn walk(&mut self, topology: &Topology, start: ElementIx) {
        let first = self.enter(start, None, None);
        let begun = first.at;
        let mut way = vec![first];
        while let Some(stop) = way.last_mut() {
            let is_through = topology.kind(stop.node) == ElementKind::Device;
            let arc = topology.arcs(stop.node).get(stop.next_arc).filter(|_| is_through);
            stop.next_arc += 1;
            let Some(Arc { link, to, cost, .. }) = arc.copied() else {
                let done = stop.at;
                way.pop();
                let above = way.last().map(|above| above.at);
                self.leave(done, above);
                continue;
            };
            if Some(link) == stop.link || cost == u32::MAX {
                continue;
            }
            match self.at(to) {
                0 => {
                    let next = self.enter(to, Some(begun), Some(link));
                    way.push(next);
                }
                // Nothing passes through what is no device.
                _ if topology.kind(to) != ElementKind::Device => {}
                seen => {
                    let at = stop.at;
                    self.node_mut(at).into_iter().for_each(|node| node.low = node.low.min(seen));
                }
            }
        }
    }

    /// A node is done: what is known of it is known of the one before it.
    fn leave(&mut self, done: u32, above: Option<u32>) {
        let Some((last, low)) = self.node(done).map(|node| (node.last, node.low)) else { return };
        if let Some(above) = above.and_then(|above| self.node_mut(above)) {
            above.last = above.last.max(last);
            above.low = above.low.min(low);
            above.below.push(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Cut, Draft, ElementDraft};

    fn draw(seed: &mut u64, below: u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (*seed >> 33) % below
    }

    /// Devices with links at random, some of them parallel or shut, and what is no device.
    fn network(mut seed: u64) -> Topology {
        let mut draft = Draft::default();
        let devices = 3 + draw(&mut seed, 8);
        for device in 0..devices {
            draft.elements.push(ElementDraft::new(format!("r{device}"), ElementKind::Device));
        }
        for nth in 0..draw(&mut seed, 2 * devices) {
            let (a, b) = (draw(&mut seed, devices), draw(&mut seed, devices));
            if a != b {
                let link =
                    ElementDraft::link(format!("l{nth}"), &format!("r{a}"), &format!("r{b}"));
                draft.elements.push(link);
            }
        }
        for nth in 0..3 {
            draft.elements.push(ElementDraft::new(format!("u{nth}"), ElementKind::Upstream));
            let (to, id) = (format!("r{}", draw(&mut seed, devices)), format!("u{nth}"));
            draft.elements.push(ElementDraft::link(format!("x{nth}"), &to, &id));
        }
        let mut topology = Topology::build(&draft).expect("a good network");
        for nth in 0..draw(&mut seed, 3) {
            if let Some(link) = topology.find(&format!("l{nth}")) {
                topology.set_cost(link, u32::MAX, u32::MAX);
            }
        }
        topology
    }

    #[test]
    fn without_any_link_or_device_it_says_what_a_cut_says() {
        for seed in 0..400 {
            let topology = network(seed);
            let pieces = Pieces::new(&topology).expect("no link is open one way alone");
            let of = |kind| topology.of_kind(kind);
            let nodes = of(ElementKind::Device).chain(of(ElementKind::Upstream));
            let nodes: Vec<ElementIx> = nodes.collect();
            for gone in of(ElementKind::Link).chain(of(ElementKind::Device)) {
                let cut = Cut::new(&topology, &[gone]);
                let all = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
                for pair in all.filter(|(a, b)| a != b) {
                    let said = pieces.is_connected_without(&topology, gone, pair);
                    let is = cut.is_connected(pair.0, pair.1);
                    assert_eq!(said, Some(is), "seed {seed}, {gone:?}, {pair:?}");
                }
            }
        }
    }
}
