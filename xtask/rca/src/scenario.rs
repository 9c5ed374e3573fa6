//! One failure, and what would be seen of it: the truth that the methods do not know.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    case::{Case, Counted, Seen},
    graph::{Arc, ElementIx, PathBook, Told, Topology},
    rca::{Ask, Fact},
};
use model::{ElementKind, ElementRole, FactKind, PathSource, UtcMicros};

use sim::Rng as Dice;

/// When it breaks.
pub(crate) const BREAK: i64 = 1_760_000_000_000_000;
pub(crate) const INTERVAL_US: i64 = 30_000_000;
/// How long the loss of packets is measured.
const LOSSY_ROUNDS: i64 = 3;
const LOSSY_PACKETS: u16 = 20;

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    Link,
    Device,
    /// An access device, of a grown network.
    Access,
    /// Everything that stands at a site without an agent.
    Site,
    /// All links of a conduit.
    Conduit,
    Upstream,
    TwoLinks,
    /// So many links and devices at once.
    Many(u32),
    /// Percent of packets.
    Lossy(u32),
    AgentBlind,
    AgentDead,
    /// A device that starts again; only over time.
    Reboot,
    /// A link that goes down and up; only over time.
    Flapping,
    Nothing,
}

/// What the network and its observers do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Before routing has gone round the failure.
    Transient,
    /// Afterwards, every path known.
    Rerouted,
    /// Afterwards, half of the paths as they were before.
    Stale,
    /// Before, and the paths computed from the topology, not traced.
    Computed,
    /// The same, from a topology that lacks some of the links.
    Wrong,
    /// As before, traced, and the clock of each agent is off.
    Skewed,
    /// As before, traced, and some devices answer only a part of what they are asked.
    Limited,
}

/// Links that nobody wrote down, of all.
const UNWRITTEN: f64 = 0.02;
/// By how much the clock of an agent is off at most.
const SKEW_US: i64 = 5_000_000;
/// Devices that limit what they answer, and the share of packets that they leave.
const LIMITED: f64 = 0.1;
const UNANSWERED: f64 = 0.3;

/// A kind of experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) failure: Failure,
    pub(crate) phase: Phase,
    /// Devices report, 70 % of the time.
    pub(crate) has_telemetry: bool,
}

/// The noise of rca.md's anchors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) false_bad: f64,
    pub(crate) false_good: f64,
    /// Affected rounds that notice, before routing has converged.
    pub(crate) notice: f64,
    pub(crate) telemetry: f64,
    /// Scenarios with one false report.
    pub(crate) false_report: f64,
}

pub(crate) const NOISE: Noise =
    Noise { false_bad: 0.005, false_good: 0.02, notice: 0.9, telemetry: 0.7, false_report: 0.1 };

/// A case, and what really broke.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) case: Case,
    pub(crate) broken: Vec<ElementIx>,
    /// What each pair crosses as far as is known, and whether its last round was lost.
    pub(crate) rows: Vec<(ElementIx, ElementIx, Vec<ElementIx>, bool)>,
}

/// Draws a scenario; `None` if nobody would see anything of it.
pub(crate) fn draw(topology: &Topology, cell: Cell, dice: &mut Dice) -> Option<Scenario> {
    let broken = broken(topology, cell.failure, dice);
    let mut book = PathBook::default();
    let fate: BTreeSet<ElementIx> = broken.iter().flat_map(|ix| topology.fate(*ix)).collect();
    let gone = without(topology, &fate);
    let mut book_after = PathBook::default();
    let (dice, quirks) = (dice.fork(1), dice.fork(2));
    let mut world = World { topology, cell, broken: &broken, fate: &fate, dice, quirks };
    let mut told = Vec::new();
    let mut seen = Vec::new();
    let mut rows = Vec::new();
    let mut is_felt =
        matches!(cell.failure, Failure::Nothing | Failure::AgentDead | Failure::Many(0));
    for agent in topology.of_kind(ElementKind::Agent) {
        for target in topology.of_kind(ElementKind::Target) {
            let before = route(&mut book, topology, agent, target);
            let after = route(&mut book_after, &gone, agent, target);
            let (truth, known) = world.paths(&before, &after);
            let is_hit = world.is_hit(agent, &truth);
            is_felt |= is_hit;
            let asks = world.asks((agent, target), is_hit);
            if asks.is_empty() {
                continue;
            }
            let is_bad = asks.last().is_some_and(Ask::is_dead);
            let since = (cell.phase == Phase::Rerouted && known != before).then_some(BREAK);
            if !matches!(cell.phase, Phase::Computed | Phase::Wrong) {
                told.push(Told {
                    agent,
                    target,
                    elements: known.clone(),
                    weight: 1.0,
                    source: PathSource::Trace,
                    from: since.map(UtcMicros),
                    until: None,
                });
            }
            seen.push(Seen { agent, target, interval_us: INTERVAL_US, asks });
            rows.push((agent, target, known, is_bad));
        }
    }
    let facts = world.facts();
    let beats = world.beats();
    let case = Case {
        topology: world.written(),
        told,
        seen,
        facts,
        beats,
        works: Vec::new(),
        steps: vec![UtcMicros(BREAK + INTERVAL_US + 2_000_000)],
        heartbeat_us: 5_000_000,
        expected: None,
        counted: Counted::default(),
    };
    is_felt.then_some(Scenario { case, broken, rows })
}

pub(crate) fn broken(topology: &Topology, failure: Failure, dice: &mut Dice) -> Vec<ElementIx> {
    let of = |kind| topology.of_kind(kind).collect::<Vec<ElementIx>>();
    let hosts: BTreeSet<ElementIx> =
        topology.of_kind(ElementKind::Agent).filter_map(|agent| topology.host(agent)).collect();
    match failure {
        Failure::Link | Failure::Flapping | Failure::Lossy(_) => {
            dice.some(&of(ElementKind::Link), 1)
        }
        Failure::TwoLinks => dice.some(&of(ElementKind::Link), 2),
        Failure::Device | Failure::Reboot => {
            let mut devices = of(ElementKind::Device);
            devices.retain(|device| !hosts.contains(device));
            dice.some(&devices, 1)
        }
        Failure::Access => {
            let mut devices = of(ElementKind::Device);
            let role = |ix: &ElementIx| topology.get(*ix).and_then(|element| element.role);
            devices.retain(|device| role(device) == Some(ElementRole::Access));
            dice.some(&devices, 1)
        }
        Failure::Site => {
            let mut sites = of(ElementKind::Site);
            sites.retain(|site| topology.fate(*site).iter().all(|member| !hosts.contains(member)));
            dice.some(&sites, 1)
        }
        Failure::Conduit => dice.some(&of(ElementKind::Srlg), 1),
        Failure::Upstream => dice.some(&of(ElementKind::Upstream), 1),
        Failure::AgentBlind | Failure::AgentDead => dice.some(&of(ElementKind::Agent), 1),
        Failure::Many(count) => {
            let mut all = of(ElementKind::Device);
            all.retain(|device| !hosts.contains(device));
            all.extend(of(ElementKind::Link));
            dice.some(&all, count as usize)
        }
        Failure::Nothing => Vec::new(),
    }
}

/// The topology as routing sees it once it has noticed.
pub(crate) fn without(topology: &Topology, fate: &BTreeSet<ElementIx>) -> Topology {
    let mut gone = topology.clone();
    for element in fate {
        let links: Vec<ElementIx> = if topology.kind(*element) == ElementKind::Device {
            topology.arcs(*element).iter().map(|arc| arc.link).collect()
        } else {
            vec![*element]
        };
        for link in links {
            gone.set_cost(link, u32::MAX, u32::MAX);
        }
    }
    gone
}

/// The one of the equal paths that this pair's flow takes; empty if nothing leads there.
pub(crate) fn route(
    book: &mut PathBook,
    topology: &Topology,
    agent: ElementIx,
    target: ElementIx,
) -> Vec<ElementIx> {
    let set = book.shortest(topology, agent, topology.host(target));
    let Some(set) = book.get(set) else { return Vec::new() };
    if set.source == PathSource::Unknown {
        return Vec::new();
    }
    let nth = (agent.0 as usize * 31 + target.0 as usize * 17) % set.routes.len().max(1);
    let route = set.routes.get(nth).map_or(&[][..], |route| &route.steps);
    route.iter().map(|step| step.element).collect()
}

struct World<'a> {
    topology: &'a Topology,
    cell: Cell,
    broken: &'a [ElementIx],
    /// What broke, and what went with it.
    fate: &'a BTreeSet<ElementIx>,
    dice: Dice,
    /// What is drawn of an agent or a device, whoever asks first.
    quirks: Dice,
}

impl World<'_> {
    /// (what the packets cross, what we think they cross)
    fn paths(
        &mut self,
        before: &[ElementIx],
        after: &[ElementIx],
    ) -> (Vec<ElementIx>, Vec<ElementIx>) {
        let is_lossy = matches!(self.cell.failure, Failure::Lossy(_));
        match self.cell.phase {
            Phase::Transient | Phase::Computed | Phase::Wrong | Phase::Skewed | Phase::Limited => {
                (before.to_vec(), before.to_vec())
            }
            _ if is_lossy => (before.to_vec(), before.to_vec()),
            // An unreachable target has no path; what was known of it stays.
            _ if after.is_empty() => (before.to_vec(), before.to_vec()),
            Phase::Rerouted => (after.to_vec(), after.to_vec()),
            Phase::Stale if self.dice.chance(0.5) => (after.to_vec(), before.to_vec()),
            Phase::Stale => (after.to_vec(), after.to_vec()),
        }
    }

    fn is_hit(&self, agent: ElementIx, path: &[ElementIx]) -> bool {
        self.fate.contains(&agent) || path.iter().any(|element| self.fate.contains(element))
    }

    /// The topology as somebody wrote it down.
    fn written(&mut self) -> Topology {
        if self.cell.phase != Phase::Wrong {
            return self.topology.clone();
        }
        let mut links: Vec<ElementIx> = self.topology.of_kind(ElementKind::Link).collect();
        links.retain(|link| !self.fate.contains(link));
        let count = (links.len() as f64 * UNWRITTEN).ceil() as usize;
        without(self.topology, &self.dice.some(&links, count).into_iter().collect())
    }

    /// By how much an agent's clock is off.
    fn skew_us(&self, agent: ElementIx) -> i64 {
        if self.cell.phase != Phase::Skewed {
            return 0;
        }
        let part = self.quirks.fork(u64::from(agent.0)).part();
        (SKEW_US as f64 * (2.0 * part - 1.0)) as i64
    }

    /// Whether what a target stands behind leaves a part unanswered.
    fn is_limited(&self, target: ElementIx) -> bool {
        let part = || self.quirks.fork(u64::from(target.0)).part();
        self.cell.phase == Phase::Limited && part() < LIMITED
    }

    /// Rounds before and after; the moment within the interval is the pair's own.
    fn asks(&mut self, (agent, target): (ElementIx, ElementIx), is_hit: bool) -> Vec<Ask> {
        let skew_us = self.skew_us(agent);
        let is_limited = self.is_limited(target);
        let phase_us = self.dice.below(INTERVAL_US as usize) as i64;
        let ask = |at: i64, sent, received| {
            let rtt_us = (0 < received).then_some(5_000);
            Ask { at: UtcMicros(BREAK + at + skew_us), sent, received, rtt_us }
        };
        if let Failure::Lossy(percent) = self.cell.failure {
            return self.lossy_asks(f64::from(percent) / 100.0, is_hit);
        }
        let is_dead = self.cell.failure == Failure::AgentDead && self.broken.contains(&agent);
        let mut asks = Vec::new();
        for at in [phase_us - INTERVAL_US, phase_us] {
            let is_after = 0 <= at;
            if is_dead && is_after {
                continue;
            }
            let notice = match self.cell.phase {
                Phase::Rerouted | Phase::Stale => 1.0,
                Phase::Transient
                | Phase::Computed
                | Phase::Wrong
                | Phase::Skewed
                | Phase::Limited => NOISE.notice,
            };
            let is_lost = if is_hit && is_after && self.dice.chance(notice) {
                !self.dice.chance(NOISE.false_good)
            } else {
                self.dice.chance(NOISE.false_bad)
            };
            let lost = if is_limited {
                (0..5).filter(|_| self.dice.chance(UNANSWERED)).count() as u16
            } else {
                0
            };
            asks.push(ask(at, 5, if is_lost { 0 } else { 5 - lost }));
        }
        asks
    }

    fn lossy_asks(&mut self, loss: f64, is_hit: bool) -> Vec<Ask> {
        let mut asks = Vec::new();
        for round in 0..LOSSY_ROUNDS {
            let at = round * INTERVAL_US / LOSSY_ROUNDS + self.dice.below(5_000_000) as i64;
            let chance = 0.002 + if is_hit { loss } else { 0.0 };
            let lost = (0..LOSSY_PACKETS).filter(|_| self.dice.chance(chance)).count() as u16;
            let received = if self.dice.chance(NOISE.false_bad) { 0 } else { LOSSY_PACKETS - lost };
            let rtt_us = (0 < received).then_some(5_000);
            asks.push(Ask { at: UtcMicros(BREAK + at), sent: LOSSY_PACKETS, received, rtt_us });
        }
        asks
    }

    /// Reports: each end of what broke, if it lives, 70 % of the time; and now and then a false
    /// one.
    fn facts(&mut self) -> Vec<Fact> {
        if !self.cell.has_telemetry {
            return Vec::new();
        }
        let topology = self.topology;
        let mut facts = BTreeMap::new();
        let mut report = |link: ElementIx, end: ElementIx, dice: &mut Dice| {
            let at = UtcMicros(BREAK + 1_000_000 + dice.below(5_000_000) as i64);
            let kind = Some(FactKind::InterfaceDown);
            let end = Some(end);
            let fact = Fact {
                element: link,
                end,
                agent: None,
                kind,
                at,
                until: None,
                value: None,
                weight: 1.0,
                by: None,
            };
            facts.insert((link, end), fact);
        };
        for element in self.fate {
            if topology.kind(*element) == ElementKind::Device {
                let alive = |arc: &&Arc| !self.fate.contains(&arc.to);
                for arc in topology.arcs(*element).iter().filter(alive) {
                    if self.dice.chance(NOISE.telemetry) {
                        report(arc.link, arc.to, &mut self.dice);
                    }
                }
            } else if !matches!(self.cell.failure, Failure::Lossy(_)) {
                let ends = topology.get(*element).and_then(|element| element.ends);
                for end in ends.into_iter().flatten() {
                    if self.dice.chance(NOISE.telemetry) {
                        report(*element, end, &mut self.dice);
                    }
                }
            }
        }
        if self.dice.chance(NOISE.false_report) {
            let links: Vec<ElementIx> = topology.of_kind(ElementKind::Link).collect();
            let link = self.dice.some(&links, 1);
            let ends = link.first().and_then(|link| topology.get(*link)?.ends);
            if let Some((link, ends)) = link.first().zip(ends) {
                report(*link, ends[self.dice.below(2)], &mut self.dice);
            }
        }
        facts.into_values().collect()
    }

    /// Agents speak of themselves where that matters.
    fn beats(&self) -> Vec<engine::rca::Beat> {
        let mut beats = Vec::new();
        if !matches!(self.cell.failure, Failure::AgentDead) {
            return beats;
        }
        for agent in self.topology.of_kind(ElementKind::Agent) {
            let until = if self.broken.contains(&agent) { 0 } else { INTERVAL_US };
            for at in (-INTERVAL_US..=until).step_by(5_000_000) {
                beats.push(engine::rca::Beat {
                    agent,
                    at: UtcMicros(BREAK + at),
                    is_gateway_ok: true,
                });
            }
        }
        beats
    }
}
