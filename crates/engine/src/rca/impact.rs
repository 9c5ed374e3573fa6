//! Who is affected by a cause, and what one more failure would do.

use std::collections::BTreeSet;

use model::{ElementKind, FaultMode};

use super::{board::Board, picture::Picture, score::Cover};
use crate::graph::{Bridges, Cut, ElementIx, Topology};

/// What a cause does, by count and by weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    pub targets_down: u32,
    pub targets_degraded: u32,
    /// Weight behind those.
    pub weight: u64,
    /// Weight of all targets, for comparison.
    pub weight_total: u64,
    /// Devices that are down or cut off.
    pub devices: Vec<ElementIx>,
    /// Devices that one more failure would cut off, and that two would have had to before.
    pub devices_exposed: Vec<ElementIx>,
}

pub(super) fn of(
    picture: &Picture<'_>,
    board: &Board,
    cover: &Cover,
    pairs: &[(ElementIx, ElementIx)],
) -> Impact {
    let topology = picture.topology;
    let asked: BTreeSet<ElementIx> = pairs.iter().map(|(_, target)| *target).collect();
    let mut impact = Impact::default();
    let is_outage = !matches!(cover.mode, FaultMode::Lossy | FaultMode::Slow);
    for target in &asked {
        let (out, fine) = seen(picture, board, *target);
        let weight = topology.get(*target).map_or(0, |target| target.weight);
        match (is_outage, out, fine) {
            (true, true, false) => impact.targets_down += 1,
            (true, false, _) => continue, // It is reached another way.
            _ => impact.targets_degraded += 1,
        }
        impact.weight += weight;
    }
    impact.weight_total = topology.weight_total();
    let is_own = matches!(
        topology.kind(cover.element),
        ElementKind::Agent | ElementKind::AgentUplink | ElementKind::Target
    );
    if is_outage && !is_own {
        let roots = roots(picture);
        let fate = topology.downfall(&cover.fate);
        impact.devices = cut_off(topology, &roots, &fate);
        impact.devices_exposed = exposed(topology, &roots, &fate, &impact.devices);
    }
    impact
}

/// Whether a pair of a target is out, and whether one is not.
fn seen(picture: &Picture<'_>, board: &Board, target: ElementIx) -> (bool, bool) {
    let out = board.out_of(target);
    let mut others = board.pairs_of(target).iter().map(|at| *at as usize);
    let is_fine = others.any(|at| {
        out.binary_search(&at).is_err()
            && picture.pair(at).is_some_and(|pair| !pair.asks.is_empty())
    });
    (!out.is_empty(), is_fine)
}

/// Where the agents stand.
fn roots(picture: &Picture<'_>) -> Vec<ElementIx> {
    let agents = picture.topology.of_kind(ElementKind::Agent);
    agents.filter_map(|agent| picture.topology.host(agent)).collect()
}

/// Devices that are gone, or that no agent's device reaches any more though one did before.
/// `fate` is sorted, with all that cannot be without it.
pub(crate) fn cut_off(
    topology: &Topology,
    roots: &[ElementIx],
    fate: &[ElementIx],
) -> Vec<ElementIx> {
    let before = Cut::new(topology, &[]);
    let after = Cut::new(topology, fate);
    let devices = topology.devices().iter().filter(|device| {
        let reached = |cut: &Cut| roots.iter().any(|root| cut.is_connected(*root, **device));
        fate.binary_search(device).is_ok() || (reached(&before) && !reached(&after))
    });
    devices.copied().collect()
}

/// Devices that survive the loss of `fate`, and that one failure more would cut off which they
/// would have survived before: of a link, or of the last of several that replace each other.
pub(super) fn exposed(
    topology: &Topology,
    roots: &[ElementIx],
    fate: &[ElementIx],
    lost: &[ElementIx],
) -> Vec<ElementIx> {
    if roots.is_empty() {
        return Vec::new();
    }
    let before = Bridges::new(topology, roots, &[]);
    let after = Bridges::new(topology, roots, fate);
    let is_lost = |device: &ElementIx| lost.binary_search(device).is_ok();
    let devices = topology.devices().iter().copied();
    let mut all: BTreeSet<ElementIx> = devices
        .filter(|device| after.is_reached(*device))
        .filter(|device| before.before(*device) < after.before(*device))
        .collect();
    for last in topology.last_of(fate) {
        let mut more = fate.to_vec();
        more.extend(topology.fate(last));
        let more = topology.downfall(&more);
        // What hangs on the last one alone was always one failure from the end.
        let alone = cut_off(topology, roots, &topology.downfall(&topology.fate(last)));
        let taken = cut_off(topology, roots, &more);
        all.extend(taken.into_iter().filter(|device| alone.binary_search(device).is_err()));
    }
    all.into_iter().filter(|device| !is_lost(device)).collect()
}
