//! Who is affected by a cause, and what one more failure would do.

use std::collections::BTreeSet;

use model::{ElementKind, FaultMode};

use super::{picture::Picture, rows::Board, score::Cover};
use crate::graph::{Cut, ElementIx, Topology};

/// Devices named as cut off or without a second way; the others are many.
const DEVICES_MAX: usize = 200;
/// With more links than this none is tried as a further failure: it takes too long for a judgement.
const FURTHER_MAX: usize = 400;

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
            (true, 1.., 0) => impact.targets_down += 1,
            (true, 0, _) => continue, // It is reached another way.
            _ => impact.targets_degraded += 1,
        }
        impact.weight += weight;
    }
    impact.weight_total = topology.elements().iter().map(|element| element.weight).sum();
    let is_own = matches!(
        topology.kind(cover.element),
        ElementKind::Agent | ElementKind::AgentUplink | ElementKind::Target
    );
    if is_outage && !is_own {
        let roots = roots(picture);
        impact.devices = cut_off(topology, &roots, &cover.fate);
        impact.devices_exposed = exposed(topology, &roots, &cover.fate, &impact.devices);
    }
    impact
}

/// Pairs of a target that are out, and those that are not.
fn seen(picture: &Picture<'_>, board: &Board, target: ElementIx) -> (u32, u32) {
    let (mut out, mut fine) = (0, 0);
    for at in board.pairs_of(target).iter().map(|at| *at as usize) {
        if picture.pairs.get(at).is_none_or(|pair| pair.asks.is_empty()) {
            continue;
        }
        match board.regimes.get(&at) {
            Some(regime) if regime.is_dead => out += 1,
            _ => fine += 1,
        }
    }
    (out, fine)
}

/// Where the agents stand.
fn roots(picture: &Picture<'_>) -> Vec<ElementIx> {
    let agents = picture.topology.of_kind(ElementKind::Agent);
    agents.filter_map(|agent| picture.topology.host(agent)).collect()
}

/// Devices that are gone, or that no agent's device reaches any more though one did before.
pub(super) fn cut_off(
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
    devices.take(DEVICES_MAX).copied().collect()
}

/// Devices that survive the loss of `fate` but not that of one link more, and would have survived
/// that link alone.
pub(super) fn exposed(
    topology: &Topology,
    roots: &[ElementIx],
    fate: &[ElementIx],
    lost: &[ElementIx],
) -> Vec<ElementIx> {
    let links: Vec<ElementIx> = topology.of_kind(ElementKind::Link).collect();
    if FURTHER_MAX < links.len() || roots.is_empty() {
        return Vec::new();
    }
    let mut all = BTreeSet::new();
    for link in links.into_iter().filter(|link| fate.binary_search(link).is_err()) {
        let mut more = fate.to_vec();
        more.push(link);
        more.sort_unstable();
        let (alone, both) = (Cut::new(topology, &[link]), Cut::new(topology, &more));
        all.extend(topology.devices().iter().filter(|device| {
            let reached = |cut: &Cut| roots.iter().any(|root| cut.is_connected(*root, **device));
            !lost.contains(device) && reached(&alone) && !reached(&both)
        }));
    }
    all.into_iter().take(DEVICES_MAX).collect()
}
