//! What devices report, as log ratios for a cause.
//!
//! Control-plane truth meets data-plane truth only here. A missing report is neutral unless its
//! neighbours' reports came; an old one counts less.

use std::collections::BTreeMap;

use model::{ElementKind, FactKind, FaultMode, UtcMicros};

use super::picture::{Fact, Picture};
use crate::graph::ElementIx;

/// A report this far from the onset is of another time.
const NEAR_US: i64 = 120_000_000;
/// What is left of its weight.
const FAR_PART: f64 = 0.25;

/// One end of a link says it is down; the other end too.
const ONE_END: f64 = 5.0;
const OTHER_END: f64 = 5.0;
/// One end that said nothing while the other did.
const END_SILENT: f64 = -1.1;
/// One end says it is up again, or the other end says it is up while one says down.
const IS_UP: f64 = -6.0;
/// The neighbour's port towards a dead device goes down.
const NEIGHBOUR: f64 = 5.0;
const NEIGHBOUR_MORE: f64 = 4.0;
/// A neighbour that said nothing while another did.
const NEIGHBOUR_SILENT: f64 = -1.1;
/// A dead device reports nothing of its own ports.
const OWN_REPORT: f64 = -4.0;

/// The facts that count at a moment, by element.
#[derive(Debug, Default)]
pub(super) struct Telemetry {
    /// Indices into the picture's facts; of links also those of their ports.
    by_element: BTreeMap<ElementIx, Vec<usize>>,
    /// Kinds nobody knows, and facts from the future: neutral, and counted.
    pub(super) unknown: u32,
}

impl Telemetry {
    pub(super) fn new(picture: &Picture<'_>) -> Telemetry {
        let mut telemetry = Telemetry::default();
        let topology = picture.topology;
        for (at, fact) in picture.facts.iter().enumerate() {
            if fact.kind.is_none() {
                telemetry.unknown += 1;
                continue;
            }
            telemetry.by_element.entry(fact.element).or_default().push(at);
            if topology.kind(fact.element) == ElementKind::Interface {
                let device = topology.node_of(fact.element);
                let of_port = topology.arcs(device).iter();
                let of_port = of_port.filter(|arc| arc.ports[0] == Some(fact.element));
                for arc in of_port {
                    telemetry.by_element.entry(arc.link).or_default().push(at);
                }
            }
        }
        telemetry
    }

    pub(super) fn facts(&self, element: ElementIx) -> &[usize] {
        self.by_element.get(&element).map_or(&[], Vec::as_slice)
    }

    /// Elements that something bad was reported of.
    pub(super) fn suspects<'a>(
        &'a self,
        picture: &'a Picture<'_>,
    ) -> impl Iterator<Item = ElementIx> + 'a {
        let is_bad = |at: &usize| {
            picture.facts.get(*at).and_then(|fact| fact.kind).is_some_and(FactKind::is_bad)
        };
        let all = self.by_element.iter();
        all.filter(move |(_, facts)| facts.iter().any(is_bad)).map(|(element, _)| *element)
    }

    /// The sum of what was reported, for a cause that began at `onset`, and is over or not.
    pub(super) fn ratio(
        &self,
        picture: &Picture<'_>,
        element: ElementIx,
        mode: FaultMode,
        (onset, is_over): (UtcMicros, bool),
    ) -> f64 {
        if self.by_element.is_empty() {
            return 0.0;
        }
        let topology = picture.topology;
        let own = self.own(picture, element, mode, onset);
        let when = (onset, is_over);
        match topology.kind(element) {
            ElementKind::Link | ElementKind::Lag => own + self.link(picture, element, mode, when),
            ElementKind::Device => own + self.neighbours(picture, element, mode, when),
            ElementKind::Site | ElementKind::Srlg => {
                let members = topology.fate(element).into_iter().filter(|m| *m != element);
                let of_member = |member| match topology.kind(member) {
                    ElementKind::Link | ElementKind::Lag => self.link(picture, member, mode, when),
                    ElementKind::Device => {
                        let own = self.own(picture, member, mode, onset);
                        own + self.neighbours(picture, member, mode, when)
                    }
                    ElementKind::Interface
                    | ElementKind::Site
                    | ElementKind::Srlg
                    | ElementKind::Upstream
                    | ElementKind::Agent
                    | ElementKind::AgentUplink
                    | ElementKind::Target => 0.0,
                };
                // A member that was not hit says as much against the group as a hit one for it.
                own + members.map(of_member).sum::<f64>()
            }
            ElementKind::Interface
            | ElementKind::Upstream
            | ElementKind::Agent
            | ElementKind::AgentUplink
            | ElementKind::Target => own,
        }
    }

    /// How much it weighs, of 1, that the last word of some end of a link, or of a neighbour's port
    /// towards a device, is that it is down; 0 if none says so.
    pub(super) fn still_down(&self, picture: &Picture<'_>, element: ElementIx) -> f64 {
        let topology = picture.topology;
        let around = topology.arcs(element).iter().map(|arc| arc.link);
        let is_device = topology.kind(element) == ElementKind::Device;
        let links = around.filter(|_| is_device).chain([element]);
        let states = links.flat_map(|link| self.end_states(picture, link, false));
        let down = states.filter(|(_, fact)| fact.kind == Some(FactKind::InterfaceDown));
        down.map(|(_, fact)| fact.weight).fold(0.0, f64::max)
    }

    /// Reports that name the element itself.
    fn own(
        &self,
        picture: &Picture<'_>,
        element: ElementIx,
        mode: FaultMode,
        onset: UtcMicros,
    ) -> f64 {
        let mut sum = 0.0;
        for fact in self.facts(element).iter().filter_map(|at| picture.facts.get(*at)) {
            let Some(kind) = fact.kind else { continue };
            let ratio = match (kind, mode) {
                (FactKind::Restarted, FaultMode::Lossy | FaultMode::Slow) => 0.0,
                (FactKind::Restarted, _) => 7.0,
                (FactKind::PowerLost, _) => 7.0,
                (FactKind::SessionsDropped, _) => 3.0,
                (FactKind::ConfigChanged, _) => 1.5,
                (FactKind::ErrorsRising, FaultMode::Lossy) => 4.0,
                (FactKind::ErrorsRising, FaultMode::Slow) => 0.5,
                (FactKind::ErrorsRising, _) => 1.0,
                (FactKind::BgpDown, FaultMode::Down) => 4.0,
                (FactKind::BgpUp, FaultMode::Down) => -0.5,
                _ => 0.0,
            };
            sum += ratio * nearness(fact, onset);
        }
        sum
    }

    /// Reports of a link's ends.
    fn link(
        &self,
        picture: &Picture<'_>,
        link: ElementIx,
        mode: FaultMode,
        (onset, is_over): (UtcMicros, bool),
    ) -> f64 {
        let states = self.end_states(picture, link, is_over);
        let mut down = 0.0;
        let mut ends_down = 0;
        let mut sum = 0.0;
        let mut routing: f64 = 0.0;
        let mut weight_down: f64 = 0.0;
        for (end, fact) in &states {
            let near = nearness(fact, onset);
            match fact.kind {
                Some(FactKind::InterfaceDown) => {
                    let is_other = 0.0 < down && end.is_some();
                    ends_down += 1;
                    weight_down = weight_down.max(fact.weight);
                    down += if is_other {
                        OTHER_END
                    } else if down == 0.0 {
                        ONE_END
                    } else {
                        0.0
                    } * near;
                }
                Some(FactKind::InterfaceUp) => {
                    sum += if mode == FaultMode::OneWay { 2.0 } else { IS_UP } * near;
                }
                Some(FactKind::OspfNeighborDown | FactKind::BfdDown) => {
                    routing = routing.max(4.0 * near);
                }
                _ => {}
            }
        }
        if ends_down == 1 {
            down += END_SILENT * weight_down;
        }
        let weight = match mode {
            FaultMode::Down | FaultMode::Reroute | FaultMode::Flapping => 1.0,
            FaultMode::OneWay => 0.8,
            FaultMode::Lossy | FaultMode::Slow => -0.5,
        };
        // The adjacency goes with the port: it says little more than the port did.
        let routing = if down == 0.0 { routing } else { routing * 0.25 };
        sum + (down + routing) * weight
    }

    /// The latest word of each end of a link about its port, and about what runs over it. Of what
    /// `is_over` it is the latest bad one: that it came back since says nothing against it.
    fn end_states<'f>(
        &self,
        picture: &'f Picture<'_>,
        link: ElementIx,
        is_over: bool,
    ) -> Vec<(Option<ElementIx>, &'f Fact)> {
        let mut latest: BTreeMap<(Option<ElementIx>, u8), &Fact> = BTreeMap::new();
        for fact in self.facts(link).iter().filter_map(|at| picture.facts.get(*at)) {
            let family = match fact.kind {
                Some(FactKind::InterfaceDown | FactKind::InterfaceUp) => 0,
                Some(FactKind::OspfNeighborDown | FactKind::OspfNeighborUp) => 1,
                Some(FactKind::BfdDown | FactKind::BfdUp) => 2,
                _ => continue,
            };
            let is_past = !is_over && fact.until.is_some_and(|until| until <= picture.now);
            let is_back = is_over && !fact.kind.is_some_and(FactKind::is_bad);
            if is_past || is_back {
                continue;
            }
            let topology = picture.topology;
            let end = if topology.kind(fact.element) == ElementKind::Interface {
                Some(topology.node_of(fact.element))
            } else {
                fact.end.map(|end| topology.node_of(end))
            };
            let slot = latest.entry((end, family)).or_insert(fact);
            if slot.at <= fact.at {
                *slot = fact;
            }
        }
        latest.into_iter().map(|((end, _), fact)| (end, fact)).collect()
    }

    /// What the ports around a device say of it.
    fn neighbours(
        &self,
        picture: &Picture<'_>,
        device: ElementIx,
        mode: FaultMode,
        (onset, is_over): (UtcMicros, bool),
    ) -> f64 {
        if !matches!(mode, FaultMode::Down | FaultMode::Flapping | FaultMode::Reroute) {
            return 0.0;
        }
        let mut sum = 0.0;
        let (mut told, mut silent) = (0, 0);
        let mut weight_told: f64 = 0.0;
        for arc in picture.topology.arcs(device) {
            let states = self.end_states(picture, arc.link, is_over);
            let of = |end: ElementIx, kinds: [FactKind; 3]| {
                let at_end = states.iter().filter(move |(of, _)| *of == Some(end));
                at_end
                    .filter(|(_, fact)| fact.kind.is_some_and(|kind| kinds.contains(&kind)))
                    .map(|(_, fact)| (nearness(fact, onset), fact.weight))
                    .fold((0.0, 0.0), |most: (f64, f64), of| if most.0 < of.0 { of } else { most })
            };
            let down = [FactKind::InterfaceDown, FactKind::OspfNeighborDown, FactKind::BfdDown];
            let (far, weight) = of(arc.to, down);
            if 0.0 < far {
                sum += far * if told == 0 { NEIGHBOUR } else { NEIGHBOUR_MORE };
                told += 1;
                weight_told = weight_told.max(weight);
            } else {
                silent += 1;
            }
            sum += OWN_REPORT * of(device, down).0;
        }
        if 0 < told {
            sum += NEIGHBOUR_SILENT * f64::from(silent) * weight_told;
        }
        sum
    }
}

/// How much a fact counts for something that began at `onset`.
fn nearness(fact: &Fact, onset: UtcMicros) -> f64 {
    let part = if (fact.at.0 - onset.0).abs() <= NEAR_US { 1.0 } else { FAR_PART };
    part * fact.weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{Draft, ElementDraft, PathBook, Topology},
        rca::picture::Pair,
    };

    const DOWN_AT: UtcMicros = UtcMicros(1_000_000_000);
    const NOW: UtcMicros = UtcMicros(1_060_000_000);

    /// What `read` makes of the link r1--r2, whose two ends say that it went down; each with what
    /// is left of its weight.
    fn of_link(
        weights: [f64; 2],
        until: Option<UtcMicros>,
        read: impl FnOnce(&Telemetry, &Picture<'_>, ElementIx) -> f64,
    ) -> f64 {
        let mut draft = Draft::default();
        let devices = ["r1", "r2"];
        draft.elements.extend(devices.map(|id| ElementDraft::new(id, ElementKind::Device)));
        draft.elements.push(ElementDraft::link("r1--r2", "r1", "r2"));
        let topology = Topology::build(&draft).expect("a good network");
        let link = topology.find("r1--r2").expect("it is there");
        let end = |(id, weight)| Fact {
            element: link,
            end: topology.find(id),
            agent: None,
            kind: Some(FactKind::InterfaceDown),
            at: DOWN_AT,
            until,
            value: None,
            weight,
            by: None,
        };
        let facts: Vec<Fact> = devices.into_iter().zip(weights).map(end).collect();
        let picture = Picture {
            now: NOW,
            topology: &topology,
            paths: &mut PathBook::default(),
            pairs: &Vec::<Pair<'_>>::new(),
            facts: &facts,
            beats: &[],
            heartbeat_us: 1,
            works: &[],
        };
        read(&Telemetry::new(&picture), &picture, link)
    }

    /// The report that a port is up again ends the one that it was down.
    #[test]
    fn what_is_over_is_still_what_its_ports_said_was_down() {
        let ratio = |until, is_over| {
            of_link([1.0; 2], until, |telemetry, picture, link| {
                telemetry.ratio(picture, link, FaultMode::Down, (DOWN_AT, is_over))
            })
        };
        let ended = Some(UtcMicros(NOW.0 - 1));
        assert_eq!(ratio(ended, true), ONE_END + OTHER_END);
        assert_eq!(ratio(ended, false), 0.0, "of what lasts it says nothing");
        assert_eq!(ratio(None, false), ONE_END + OTHER_END);
    }

    #[test]
    fn a_port_that_is_still_down_counts_as_much_as_is_left_of_its_report() {
        let down = |weights, until| of_link(weights, until, Telemetry::still_down);
        assert_eq!(down([0.25, 0.5], None), 0.5);
        assert_eq!(down([0.25, 0.5], Some(NOW)), 0.0, "it is up again");
    }
}
