//! How many single links stand between the agents and each device.
//!
//! A link that alone connects a device with every agent is a bridge. Counting them tells what one
//! failure more would cut off, for the whole network in one walk (Tarjan 1974).

use std::{collections::BTreeMap, ops::Range};

use model::ElementKind;

use super::topology::{ElementIx, Topology};

/// The walk has not come there.
const UNSEEN: u32 = u32::MAX;

/// Bridges between the roots and every node.
#[derive(Clone, Debug)]
pub struct Bridges {
    entered: Vec<u32>,
    count: Vec<u32>,
    /// Of a link or node whose loss cuts something off: the nodes right behind it.
    behind: BTreeMap<ElementIx, Vec<ElementIx>>,
    /// Sorted.
    roots: Vec<ElementIx>,
    order: Vec<ElementIx>,
    /// Of each of `order`: nodes of it that were entered from there, itself among them.
    sizes: Vec<usize>,
}

/// A node that was entered, and from where over which link; of a root that was begun at, `None`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    node: ElementIx,
    over: Option<(ElementIx, ElementIx)>,
}

/// A node that the walk is in, and where it goes on.
#[derive(Clone, Copy, Debug)]
struct Stop {
    node: ElementIx,
    /// The link it came over; of a root none.
    link: Option<ElementIx>,
    next_arc: usize,
    /// The earliest node that can be reached from below without `link`.
    low: u32,
}

impl Bridges {
    /// Walks from `roots`, without what is `gone` (sorted). Roots need no way between them.
    pub fn new(topology: &Topology, roots: &[ElementIx], gone: &[ElementIx]) -> Bridges {
        let size = topology.elements().len();
        let mut walk = Walk {
            topology,
            gone,
            roots: roots.to_vec(),
            entered: vec![UNSEEN; size],
            low: vec![UNSEEN; size],
            order: Vec::new(),
        };
        walk.roots.sort_unstable();
        walk.run();
        let mut count = vec![0; size];
        let mut behind: BTreeMap<ElementIx, Vec<ElementIx>> = BTreeMap::new();
        for Entry { node, over } in &walk.order {
            let Some((parent, link)) = *over else { continue };
            let entered = walk.entered(parent);
            let above = count.get(parent.index()).copied().unwrap_or(0);
            let low = walk.low.get(node.index()).copied().unwrap_or(UNSEEN);
            if let Some(slot) = count.get_mut(node.index()) {
                *slot = above + u32::from(entered < low);
            }
            if entered < low {
                behind.insert(link, vec![*node]);
            }
            if entered <= low {
                behind.entry(parent).or_default().push(*node);
            }
        }
        let mut sizes = vec![1_usize; walk.order.len()];
        for (at, Entry { over, .. }) in walk.order.iter().enumerate().rev() {
            let parent = over.map(|(parent, _)| walk.entered(parent) as usize - 1);
            let size = sizes.get(at).copied().unwrap_or(0);
            if let Some(slot) = parent.and_then(|parent| sizes.get_mut(parent)) {
                *slot += size;
            }
        }
        let Walk { roots, entered, order, .. } = walk;
        let order = order.into_iter().map(|entry| entry.node).collect();
        Bridges { entered, count, behind, roots, order, sizes }
    }

    /// Every node that some root reaches. What one link or node cuts off stands side by side in it.
    pub fn order(&self) -> &[ElementIx] {
        &self.order
    }

    /// What the loss of a link or node cuts off beside itself, as ranges of [`Bridges::order`]. Of
    /// a root it is not looked at: `None`.
    pub fn behind(&self, ix: ElementIx) -> Option<Vec<Range<usize>>> {
        if self.roots.binary_search(&ix).is_ok() {
            return None;
        }
        let range = |node: &ElementIx| {
            let at = *self.entered.get(node.index())? as usize - 1;
            Some(at..at + self.sizes.get(at)?)
        };
        Some(self.behind.get(&ix).into_iter().flatten().filter_map(range).collect())
    }

    /// Whether some root reaches it.
    pub fn is_reached(&self, node: ElementIx) -> bool {
        self.entered.get(node.index()).is_some_and(|entered| *entered != UNSEEN)
    }

    /// Whether the loss of a link cuts something off.
    pub fn is_bridge(&self, link: ElementIx) -> bool {
        self.behind.contains_key(&link)
    }

    /// Whether the loss of a node may cut something else off; of a root it is not looked at, so it
    /// may.
    pub fn is_joint(&self, node: ElementIx) -> bool {
        self.behind.contains_key(&node) || self.roots.binary_search(&node).is_ok()
    }

    /// Links of which each alone would cut it off from every root.
    pub fn before(&self, node: ElementIx) -> u32 {
        self.count.get(node.index()).copied().unwrap_or(0)
    }
}

struct Walk<'t> {
    topology: &'t Topology,
    gone: &'t [ElementIx],
    /// Sorted.
    roots: Vec<ElementIx>,
    entered: Vec<u32>,
    low: Vec<u32>,
    /// As entered.
    order: Vec<Entry>,
}

impl Walk<'_> {
    fn is_gone(&self, ix: ElementIx) -> bool {
        self.gone.binary_search(&ix).is_ok()
    }

    fn is_root(&self, ix: ElementIx) -> bool {
        self.roots.binary_search(&ix).is_ok()
    }

    fn entered(&self, ix: ElementIx) -> u32 {
        self.entered.get(ix.index()).copied().unwrap_or(UNSEEN)
    }

    fn run(&mut self) {
        for root in self.roots.clone() {
            if self.entered(root) == UNSEEN && !self.is_gone(root) {
                self.from(root);
            }
        }
    }

    fn enter(&mut self, node: ElementIx, over: Option<(ElementIx, ElementIx)>) -> Stop {
        let at = u32::try_from(self.order.len() + 1).unwrap_or(UNSEEN - 1);
        if let Some(slot) = self.entered.get_mut(node.index()) {
            *slot = at;
        }
        self.order.push(Entry { node, over });
        let link = over.map(|(_, link)| link);
        // Whoever comes to a root has come to all of them, from above every node.
        Stop { node, link, next_arc: 0, low: if self.is_root(node) { 0 } else { at } }
    }

    fn from(&mut self, root: ElementIx) {
        let mut way = vec![self.enter(root, None)];
        while let Some(stop) = way.last_mut() {
            let arcs = self.topology.arcs(stop.node);
            let is_through = stop.link.is_none()
                || self.topology.kind(stop.node) == ElementKind::Device
                || self.is_root(stop.node);
            let arc = arcs.get(stop.next_arc).filter(|_| is_through).copied();
            stop.next_arc += 1;
            let Some(arc) = arc else {
                let Stop { node, low, .. } = *stop;
                way.pop();
                if let Some(slot) = self.low.get_mut(node.index()) {
                    *slot = low;
                }
                if let Some(above) = way.last_mut() {
                    above.low = above.low.min(low);
                }
                continue;
            };
            let is_port_gone = arc.ports.iter().flatten().any(|port| self.is_gone(*port));
            let is_shut = arc.cost == u32::MAX || is_port_gone;
            if Some(arc.link) == stop.link || is_shut {
                continue;
            }
            if self.is_gone(arc.link) || self.is_gone(arc.to) {
                continue;
            }
            if self.is_root(arc.to) {
                stop.low = 0;
            }
            let entered = self.entered(arc.to);
            let from = stop.node;
            if entered == UNSEEN {
                let next = self.enter(arc.to, Some((from, arc.link)));
                way.push(next);
            } else {
                stop.low = stop.low.min(entered);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Cut, Draft, ElementDraft};

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
        for link in 0..nodes + nodes / 4 {
            let (a, b) = (draw(nodes), draw(nodes));
            if a != b {
                let [a, b] = [a, b].map(|node| format!("r{node}"));
                draft.elements.push(ElementDraft::link(format!("l{link}"), &a, &b));
            }
        }
        Topology::build(&draft).expect("a good network")
    }

    #[test]
    fn as_many_bridges_as_links_that_cut_it_off_when_each_is_tried() {
        let mut seed = 11;
        for _ in 0..60 {
            let topology = network(&mut seed, 16);
            let find = |id| topology.find(id).expect("is there");
            let gone = [find("r5")];
            for roots in [vec![find("r0")], vec![find("r0"), find("r1"), find("r2")]] {
                let bridges = Bridges::new(&topology, &roots, &gone);
                let reached =
                    |cut: &Cut, node| roots.iter().any(|root| cut.is_connected(*root, node));
                let whole = Cut::new(&topology, &gone);
                for node in topology.devices() {
                    assert_eq!(bridges.is_reached(*node), reached(&whole, *node));
                    let cuts = topology.of_kind(ElementKind::Link).filter(|link| {
                        let mut gone = vec![gone[0], *link];
                        gone.sort_unstable();
                        reached(&whole, *node) && !reached(&Cut::new(&topology, &gone), *node)
                    });
                    let tried = cuts.count();
                    assert_eq!(bridges.before(*node) as usize, tried, "{}", topology.id(*node));
                }
            }
        }
    }

    #[test]
    fn parallel_links_are_no_bridge() {
        let mut draft = Draft::default();
        for id in ["a", "b", "c"] {
            draft.elements.push(ElementDraft::new(id, ElementKind::Device));
        }
        for (id, x, y) in [("ab", "a", "b"), ("ab2", "a", "b"), ("bc", "b", "c")] {
            draft.elements.push(ElementDraft::link(id, x, y));
        }
        let topology = Topology::build(&draft).expect("a good network");
        let find = |id| topology.find(id).expect("is there");
        let bridges = Bridges::new(&topology, &[find("a")], &[]);
        assert_eq!((bridges.before(find("b")), bridges.before(find("c"))), (0, 1));
    }
}
