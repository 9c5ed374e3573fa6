//! Who is affected by a cause, and what one more failure would do.

use std::{cell::OnceCell, collections::BTreeSet};

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
    before: &Before,
    cover: &Cover,
    pairs: &[(ElementIx, ElementIx)],
) -> Impact {
    let topology = picture.topology;
    let mut asked: Vec<ElementIx> = pairs.iter().map(|(_, target)| *target).collect();
    asked.sort_unstable();
    asked.dedup();
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
        let whole = before.whole(picture);
        let fate = topology.downfall(&cover.fate);
        impact.devices = whole.cut_off(topology, &fate);
        impact.devices_exposed = whole.exposed(topology, &fate, &impact.devices);
    }
    impact
}

/// Whether a pair of a target is out, and whether one is not.
fn seen(picture: &Picture<'_>, board: &Board, target: ElementIx) -> (bool, bool) {
    let mut out = board.out_of(target);
    let mut others = board.pairs_of(target).iter().map(|at| *at as usize);
    let is_fine = others.any(|at| {
        out.clone().all(|out| out != at)
            && picture.pair(at).is_some_and(|pair| !pair.asks.is_empty())
    });
    (out.next().is_some(), is_fine)
}

/// What was reached before anything broke, once somebody asked.
#[derive(Debug, Default)]
pub(super) struct Before(OnceCell<Whole>);

impl Before {
    fn whole(&self, picture: &Picture<'_>) -> &Whole {
        self.0.get_or_init(|| {
            let agents = picture.topology.of_kind(ElementKind::Agent);
            let roots = agents.filter_map(|agent| picture.topology.host(agent)).collect();
            Whole::new(picture.topology, roots)
        })
    }
}

/// What agents reach while nothing is broken.
#[derive(Debug)]
pub(super) struct Whole {
    /// Where they stand.
    roots: Vec<ElementIx>,
    cut: Cut,
    bridges: Bridges,
}

impl Whole {
    pub(super) fn new(topology: &Topology, roots: Vec<ElementIx>) -> Whole {
        let (cut, bridges) = (Cut::new(topology, &[]), Bridges::new(topology, &roots, &[]));
        Whole { roots, cut, bridges }
    }

    fn cut_off(&self, topology: &Topology, fate: &[ElementIx]) -> Vec<ElementIx> {
        newly_cut_off(topology, &self.roots, &self.cut, fate)
    }

    /// Devices that survive the loss of `fate`, and that one failure more would cut off which they
    /// would have survived before: of a link, or of the last of several that replace each other.
    pub(super) fn exposed(
        &self,
        topology: &Topology,
        fate: &[ElementIx],
        lost: &[ElementIx],
    ) -> Vec<ElementIx> {
        if self.roots.is_empty() {
            return Vec::new();
        }
        let after = Bridges::new(topology, &self.roots, fate);
        let is_lost = |device: &ElementIx| lost.binary_search(device).is_ok();
        let devices = topology.devices().iter().copied();
        let mut all: BTreeSet<ElementIx> = devices
            .filter(|device| after.is_reached(*device))
            .filter(|device| self.bridges.before(*device) < after.before(*device))
            .collect();
        for last in topology.last_of(fate) {
            let mut more = fate.to_vec();
            more.extend(topology.fate(last));
            let more = topology.downfall(&more);
            // What hangs on the last one alone was always one failure from the end.
            let alone = self.cut_off(topology, &topology.downfall(&topology.fate(last)));
            let taken = self.cut_off(topology, &more);
            all.extend(taken.into_iter().filter(|device| alone.binary_search(device).is_err()));
        }
        all.into_iter().filter(|device| !is_lost(device)).collect()
    }
}

/// Devices that are gone, or that no agent's device reaches any more though one did before.
/// `fate` is sorted, with all that cannot be without it.
pub(crate) fn cut_off(
    topology: &Topology,
    roots: &[ElementIx],
    fate: &[ElementIx],
) -> Vec<ElementIx> {
    newly_cut_off(topology, roots, &Cut::new(topology, &[]), fate)
}

fn newly_cut_off(
    topology: &Topology,
    roots: &[ElementIx],
    before: &Cut,
    fate: &[ElementIx],
) -> Vec<ElementIx> {
    let after = Cut::new(topology, fate);
    let reached =
        |cut: &Cut, device: ElementIx| roots.iter().any(|root| cut.is_connected(*root, device));
    let is_lost = |device: &ElementIx| {
        fate.binary_search(device).is_ok()
            || (!reached(&after, *device) && reached(before, *device))
    };
    topology.devices().iter().copied().filter(is_lost).collect()
}
