//! What stays connected when some elements are gone.

use model::ElementKind;

use super::topology::{ElementIx, Topology};

/// No piece.
const GONE: u32 = u32::MAX;

/// The pieces that a topology falls into without some of its elements.
#[derive(Clone, Debug)]
pub struct Cut {
    piece: Vec<u32>,
}

impl Cut {
    /// Takes `gone` away, links and nodes alike, with what cannot be without it; a device takes
    /// its interfaces along.
    pub fn new(topology: &Topology, gone: &[ElementIx]) -> Cut {
        let gone = topology.downfall(gone);
        let is_gone = |ix: ElementIx| gone.binary_search(&ix).is_ok();
        let mut piece = vec![GONE; topology.elements().len()];
        let mut pieces = 0;
        let mut rest = Vec::new();
        for start in topology.devices() {
            if piece.get(start.index()) != Some(&GONE) || is_gone(*start) {
                continue;
            }
            rest.push(*start);
            while let Some(node) = rest.pop() {
                match piece.get_mut(node.index()) {
                    Some(slot) if *slot == GONE => *slot = pieces,
                    _ => continue,
                }
                if topology.kind(node) != ElementKind::Device {
                    continue; // Nothing passes through what is no device.
                }
                let open = topology.arcs(node).iter().filter(|arc| {
                    let port = arc.ports.iter().flatten().any(|port| is_gone(*port));
                    !is_gone(arc.link) && !is_gone(arc.to) && !port && arc.cost != u32::MAX
                });
                rest.extend(open.map(|arc| arc.to));
            }
            pieces += 1;
        }
        Cut { piece }
    }

    /// The piece that a node is in; `None` if it is gone.
    pub fn piece_of(&self, node: ElementIx) -> Option<u32> {
        self.piece.get(node.index()).copied().filter(|piece| *piece != GONE)
    }

    /// Whether packets still get from one node to the other.
    pub fn is_connected(&self, a: ElementIx, b: ElementIx) -> bool {
        self.piece_of(a).is_some_and(|piece| self.piece_of(b) == Some(piece))
    }
}
