//! How likely each kind of thing is to be broken before anything was seen of it.
//!
//! Natural logarithms. In a backbone 70 % of unplanned failures are of one link, and almost 30 %
//! are shared by several (Markopoulou et al., Sprint); an agent is a program on a host somewhere
//! and fails more often than what it watches.

use model::{ElementKind, FaultMode};

use super::picture::Picture;
use crate::graph::ElementIx;

/// Of a target by itself.
pub(super) const TARGET: f64 = -10.5;
/// Of something behind a device that nobody drew: a switch, a power strip. Drawn things fail less
/// often than that, together, as most devices have nothing undrawn behind them.
pub(super) const UNDRAWN: f64 = -8.0;
/// The least likely that several which replace each other are down at once: whatever replaces each
/// other shares a room, a supplier or a release more often than not.
const TOGETHER_MIN: f64 = -11.0;
/// What announced work adds.
const WORK: f64 = 4.0;

pub(super) fn of(picture: &Picture<'_>, element: ElementIx, mode: FaultMode) -> f64 {
    let topology = picture.topology;
    let kind: f64 = if topology.is_together(element) {
        let members = topology.members(element).iter();
        let all: f64 = members.map(|member| of_kind(topology.kind(*member))).sum();
        all.max(TOGETHER_MIN)
    } else {
        of_kind(topology.kind(element))
    };
    let is_device = matches!(topology.kind(element), ElementKind::Device | ElementKind::Site);
    let mode = match mode {
        FaultMode::Down | FaultMode::Reroute | FaultMode::Flapping => 0.0,
        FaultMode::OneWay => 0.0, // Its price is on the part.
        // What loses or delays a part of the packets is a line far more often than a box.
        FaultMode::Lossy if is_device => -2.5,
        FaultMode::Slow if is_device => -3.0,
        FaultMode::Lossy => -0.5,
        FaultMode::Slow => -1.0,
    };
    let site = topology.get(element).and_then(|element| element.site);
    let is_announced = picture.works.iter().any(|work| {
        (work.element == element || Some(work.element) == site)
            && work.from <= picture.now
            && picture.now < work.until
    });
    kind + mode + if is_announced { WORK } else { 0.0 }
}

fn of_kind(kind: ElementKind) -> f64 {
    match kind {
        ElementKind::Link => -6.5,
        ElementKind::Device => -6.5,
        ElementKind::Interface => -7.5,
        ElementKind::Lag => -7.0,
        ElementKind::Site => -8.5,
        ElementKind::Srlg => -8.5,
        ElementKind::Upstream => -6.5,
        ElementKind::Agent | ElementKind::AgentUplink => -5.0,
        // Lower than what carries it: of a device with one target it is the device.
        ElementKind::Target => TARGET,
    }
}
