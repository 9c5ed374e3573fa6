//! What would be lost if something failed: for planning work, and for finding what must not fail.
//!
//! It looks at links and devices alone, not at capacity: what has a second way is not lost.

use std::collections::{BTreeMap, BTreeSet};

use model::{ElementKind, UtcMicros};

use super::impact;
use crate::graph::{Bridges, Cut, ElementIx, PathBook, SetIx, Topology, document::name_of};

/// What a failure would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Targets that nobody would reach.
    pub targets: Vec<ElementIx>,
    pub weight: u64,
    /// Devices that would be gone or cut off.
    pub devices: Vec<ElementIx>,
    /// Devices that one failure more would cut off.
    pub devices_exposed: Vec<ElementIx>,
    /// Agents that would see nothing.
    pub agents: Vec<ElementIx>,
    /// Targets whose packets would take another way.
    pub rerouted: u32,
    /// Targets that some agent would no longer reach, though another does.
    pub split: u32,
}

/// An element whose loss darkens targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinglePoint {
    pub element: ElementIx,
    pub targets: u32,
    pub weight: u64,
}

/// Agents that are drawn and do not ask: of those called `enrolled`, none. Where nobody enrolled
/// yet it is a plan, and all that are drawn count.
pub fn absent_agents(topology: &Topology, enrolled: &BTreeSet<&str>) -> Vec<ElementIx> {
    let name = |ix: ElementIx| name_of(topology, ix);
    let (present, absent): (Vec<_>, Vec<_>) =
        topology.of_kind(ElementKind::Agent).partition(|ix| enrolled.contains(name(*ix)));
    if present.is_empty() { Vec::new() } else { absent }
}

/// Says what the loss of `elements` would take. Agents that are `absent` reach nothing before it
/// either; in order.
pub fn what_if(topology: &Topology, elements: &[ElementIx], absent: &[ElementIx]) -> Loss {
    let is_absent = |agent: &ElementIx| absent.binary_search(agent).is_ok();
    let fate = fate(topology, elements);
    let agents = topology.of_kind(ElementKind::Agent).filter(|agent| !is_absent(agent));
    let agents: Vec<ElementIx> = agents.collect();
    let roots = seeing(topology, &fate, &agents);
    let targets = dark(topology, &roots, &fate);
    let devices = impact::cut_off(topology, &roots, &fate);
    let (rerouted, split) = moved(topology, &fate, &targets, &agents);
    let blinded = agents.into_iter().filter(|agent| {
        let host = topology.host(*agent);
        is_blinded(topology, &fate, *agent) || host.is_some_and(|host| devices.contains(&host))
    });
    Loss {
        weight: weight(topology, &targets),
        devices_exposed: impact::Whole::new(topology, roots.clone())
            .exposed(topology, &fate, &devices),
        agents: blinded.collect(),
        rerouted,
        split,
        targets,
        devices,
    }
}

/// Every element whose loss darkens targets, by weight. Agents that are `absent` reach nothing; in
/// order.
pub fn single_points(topology: &Topology, absent: &[ElementIx]) -> Vec<SinglePoint> {
    let roots = roots(topology, absent);
    let bridges = Bridges::new(topology, &roots, &[]);
    let places = Places::new(topology, &roots);
    let sums = Sums::new(topology, &bridges, &places);
    let mut points = Vec::new();
    for ix in (0..).map(ElementIx).take(topology.elements().len()) {
        let (targets, weight) = match reach(topology, &bridges, ix) {
            Reach::Nothing => continue,
            Reach::Itself => places.at(topology, ix),
            Reach::Further => match sums.behind(topology, &bridges, &places, ix) {
                Some(lost) => lost,
                None => places.lost_with(topology, &roots, &fate(topology, &[ix])),
            },
        };
        if 0 < targets {
            points.push(SinglePoint { element: ix, targets, weight });
        }
    }
    points.sort_by(|a, b| {
        (b.weight, b.targets).cmp(&(a.weight, a.targets)).then(a.element.cmp(&b.element))
    });
    points
}

/// How far the loss of one element can reach.
enum Reach {
    Nothing,
    /// Only what stands right there.
    Itself,
    /// It has to be tried.
    Further,
}

fn reach(topology: &Topology, bridges: &Bridges, ix: ElementIx) -> Reach {
    let goes_further = match topology.kind(ix) {
        ElementKind::Target | ElementKind::Agent => return Reach::Nothing,
        ElementKind::Link => bridges.is_bridge(ix),
        ElementKind::Device => bridges.is_joint(ix),
        ElementKind::Interface => is_joint_port(topology, bridges, ix),
        ElementKind::Lag
        | ElementKind::Site
        | ElementKind::Srlg
        | ElementKind::Upstream
        | ElementKind::AgentUplink => true,
    };
    match (topology.is_together(ix), goes_further || topology.is_needed(ix)) {
        (true, _) => Reach::Nothing,
        (false, true) => Reach::Further,
        (false, false) => Reach::Itself,
    }
}

/// Whether the loss of a port may cut something off: it carries a bridge, or several links.
fn is_joint_port(topology: &Topology, bridges: &Bridges, port: ElementIx) -> bool {
    let arcs = topology.arcs(topology.node_of(port)).iter();
    let mut links = arcs.filter(|arc| arc.ports.contains(&Some(port))).map(|arc| arc.link);
    match (links.next(), links.next()) {
        (Some(link), None) => bridges.is_bridge(link),
        (None, _) => false,
        (Some(_), Some(_)) => true,
    }
}

/// Where the targets stand that somebody reaches.
struct Places {
    /// Of each element: the targets that stand at it, and their weight.
    at: BTreeMap<ElementIx, (u32, u64)>,
    /// Those that need something of their own.
    apart: Vec<ElementIx>,
}

impl Places {
    fn new(topology: &Topology, roots: &[ElementIx]) -> Places {
        let already: BTreeSet<ElementIx> = dark(topology, roots, &[]).into_iter().collect();
        let mut places = Places { at: BTreeMap::new(), apart: Vec::new() };
        let all = topology.of_kind(ElementKind::Target);
        for target in all.filter(|target| !already.contains(target)) {
            let Some(host) = topology.host(target) else { continue };
            if topology.requirements(target).is_empty() {
                let (count, weight) = places.at.entry(host).or_default();
                *count += 1;
                *weight += topology.get(target).map_or(0, |target| target.weight);
            } else {
                places.apart.push(target);
            }
        }
        places
    }

    /// Of one element that nothing else hangs on but its own ports.
    fn at(&self, topology: &Topology, ix: ElementIx) -> (u32, u64) {
        let is_port = |ix: &&ElementIx| topology.kind(**ix) == ElementKind::Interface;
        let ports = topology.members(ix).iter().filter(is_port);
        let all = ports.chain([&ix]).filter_map(|at| self.at.get(at));
        let stands = |target: &&ElementIx| {
            topology.host(**target).is_some_and(|host| host == ix || topology.node_of(host) == ix)
        };
        let apart = self.apart.iter().filter(stands).filter_map(|target| topology.get(*target));
        let sum = all.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        apart.fold(sum, |sum, target| (sum.0 + 1, sum.1 + target.weight))
    }

    fn lost_with(
        &self,
        topology: &Topology,
        roots: &[ElementIx],
        fate: &[ElementIx],
    ) -> (u32, u64) {
        let lost = Lost::new(topology, roots, fate);
        let (mut targets, mut weight) = (0, 0);
        for (host, (count, of)) in &self.at {
            if lost.is_out(topology, *host) {
                targets += count;
                weight += of;
            }
        }
        for target in &self.apart {
            let host = topology.host(*target).unwrap_or(*target);
            if lost.is_gone(*target) || lost.is_out(topology, host) {
                targets += 1;
                weight += topology.get(*target).map_or(0, |target| target.weight);
            }
        }
        (targets, weight)
    }
}

/// What stands at the first nodes of [`Bridges::order`], for each number of them.
struct Sums(Vec<(u32, u64)>);

impl Sums {
    fn new(topology: &Topology, bridges: &Bridges, places: &Places) -> Sums {
        let mut sums = vec![(0, 0)];
        let mut sum = (0, 0);
        for node in bridges.order() {
            let at = places.at(topology, *node);
            sum = (sum.0 + at.0, sum.1 + at.1);
            sums.push(sum);
        }
        Sums(sums)
    }

    /// What is lost with a link or device; `None` where it has to be tried: of what others need,
    /// the walk knows nothing.
    fn behind(
        &self,
        topology: &Topology,
        bridges: &Bridges,
        places: &Places,
        ix: ElementIx,
    ) -> Option<(u32, u64)> {
        let is_walked = matches!(topology.kind(ix), ElementKind::Link | ElementKind::Device);
        if !is_walked || topology.has_needs() {
            return None;
        }
        let mut lost = places.at(topology, ix);
        for range in bridges.behind(ix)? {
            let (from, to) = (self.0.get(range.start)?, self.0.get(range.end)?);
            lost = (lost.0 + to.0 - from.0, lost.1 + to.1 - from.1);
        }
        Some(lost)
    }
}

/// What nobody reaches any more.
struct Lost<'f> {
    fate: &'f [ElementIx],
    cut: Cut,
    pieces: BTreeSet<u32>,
}

impl Lost<'_> {
    fn new<'f>(topology: &Topology, roots: &[ElementIx], fate: &'f [ElementIx]) -> Lost<'f> {
        let cut = Cut::new(topology, fate);
        let pieces = roots.iter().filter_map(|root| cut.piece_of(*root)).collect();
        Lost { fate, cut, pieces }
    }

    fn is_gone(&self, ix: ElementIx) -> bool {
        self.fate.binary_search(&ix).is_ok()
    }

    /// Whether what stands at `host` is out.
    fn is_out(&self, topology: &Topology, host: ElementIx) -> bool {
        let piece = self.cut.piece_of(topology.node_of(host));
        self.is_gone(host) || piece.is_none_or(|piece| !self.pieces.contains(&piece))
    }
}

/// What is lost with them, sorted.
fn fate(topology: &Topology, elements: &[ElementIx]) -> Vec<ElementIx> {
    let fate: Vec<ElementIx> =
        elements.iter().flat_map(|element| topology.fate(*element)).collect();
    topology.downfall(&fate)
}

fn roots(topology: &Topology, absent: &[ElementIx]) -> Vec<ElementIx> {
    let is_absent = |agent: &ElementIx| absent.binary_search(agent).is_ok();
    let agents = topology.of_kind(ElementKind::Agent).filter(|agent| !is_absent(agent));
    agents.filter_map(|agent| topology.host(agent)).collect()
}

/// Where the agents stand that are not lost themselves: who is gone reaches nobody.
fn seeing(topology: &Topology, fate: &[ElementIx], agents: &[ElementIx]) -> Vec<ElementIx> {
    let see = agents.iter().filter(|agent| !is_blinded(topology, fate, **agent));
    see.filter_map(|agent| topology.host(*agent)).collect()
}

/// Whether an agent is lost, or every uplink that it has.
fn is_blinded(topology: &Topology, fate: &[ElementIx], agent: ElementIx) -> bool {
    let is_lost = |ix: &ElementIx| fate.binary_search(ix).is_ok();
    let is_uplink = |ix: &&ElementIx| topology.kind(**ix) == ElementKind::AgentUplink;
    let mut uplinks = topology.members(agent).iter().filter(is_uplink).peekable();
    is_lost(&agent) || (uplinks.peek().is_some() && uplinks.all(is_lost))
}

fn weight(topology: &Topology, targets: &[ElementIx]) -> u64 {
    targets.iter().filter_map(|target| topology.get(*target)).map(|target| target.weight).sum()
}

/// Targets that stand behind nothing an agent reaches, sorted.
fn dark(topology: &Topology, roots: &[ElementIx], fate: &[ElementIx]) -> Vec<ElementIx> {
    let lost = Lost::new(topology, roots, fate);
    let targets = topology.of_kind(ElementKind::Target);
    let is_out = |ix: ElementIx| topology.host(ix).is_some_and(|host| lost.is_out(topology, host));
    targets.filter(|target| lost.is_gone(*target) || is_out(*target)).collect()
}

/// Targets that stay reachable and whose shortest paths cross what is lost: for whom there is
/// another way, and for whom some agent has none.
fn moved(
    topology: &Topology,
    fate: &[ElementIx],
    dark: &[ElementIx],
    agents: &[ElementIx],
) -> (u32, u32) {
    let cut = Cut::new(topology, fate);
    let mut book = PathBook::new(topology, topology.pins());
    let (mut moved, mut split) = (BTreeSet::new(), BTreeSet::new());
    let node = |ix: ElementIx| topology.host(ix).map(|host| topology.node_of(host));
    for agent in agents.iter().copied() {
        for target in topology.of_kind(ElementKind::Target) {
            // A pin has no end.
            let set: SetIx = book.set_at(topology, agent, target, UtcMicros(0));
            let crosses = book.get(set).is_some_and(|set| 0.0 < set.share_of_any(fate));
            if crosses && dark.binary_search(&target).is_err() {
                let ends = node(agent).zip(node(target));
                let is_cut = ends.is_some_and(|(from, to)| !cut.is_connected(from, to));
                let is_split = is_cut || is_blinded(topology, fate, agent);
                if is_split {
                    split.insert(target)
                } else {
                    moved.insert(target)
                };
            }
        }
    }
    moved.retain(|target| !split.contains(target));
    let count = |set: BTreeSet<ElementIx>| u32::try_from(set.len()).unwrap_or(u32::MAX);
    (count(moved), count(split))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Dependency, Draft, ElementDraft, Need, TargetDraft};

    /// Devices in sites, ports, links at devices and at ports, needs, targets at all of them.
    fn network(seed: &mut u64) -> Topology {
        let mut draw = |below: u64| {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) % below
        };
        let mut draft = Draft::default();
        for at in 0..3 {
            draft.elements.push(ElementDraft::new(format!("s{at}"), ElementKind::Site));
            draft.elements.push(ElementDraft::new(format!("g{at}"), ElementKind::Srlg));
        }
        for at in 0..12 {
            let mut device = ElementDraft::new(format!("r{at}"), ElementKind::Device);
            device.site = Some(format!("s{}", draw(3)));
            draft.elements.push(device);
            let mut port = ElementDraft::new(format!("r{at}p"), ElementKind::Interface);
            port.device = Some(format!("r{at}"));
            draft.elements.push(port);
        }
        for at in 0..14 {
            let (a, b) = (draw(12), draw(12));
            if a != b {
                let port = if draw(2) == 0 { "p" } else { "" };
                let id = format!("l{at}");
                let mut link = ElementDraft::link(id, &format!("r{a}{port}"), &format!("r{b}"));
                link.groups = vec![format!("g{}", draw(3))];
                draft.elements.push(link);
            }
        }
        for at in 0..2 {
            let agent = ElementDraft::new(format!("a{at}"), ElementKind::Agent);
            let device = Some(format!("r{}", draw(12)));
            draft.elements.push(ElementDraft { device, ..agent });
        }
        for at in 0..16 {
            let port = if draw(3) == 0 { "p" } else { "" };
            let device = Some(format!("r{}{port}", draw(12)));
            let target = TargetDraft::new(format!("t{at}"), device);
            draft.targets.push(TargetDraft { weight: 1 + draw(9), ..target });
        }
        let with_needs = draw(2) == 0;
        for of in [format!("r{}", draw(12)), format!("t{}", draw(16))] {
            if !with_needs {
                break;
            }
            let need = if draw(2) == 0 { Need::Any } else { Need::All };
            let on = vec![format!("g{}", draw(3)), format!("s{}", draw(3))];
            draft.dependencies.push(Dependency { of, need, on });
        }
        Topology::build(&draft).expect("a good network")
    }

    #[test]
    fn without_the_only_agent_nobody_reaches_anything_and_without_one_of_two_all_is_reached() {
        let mut draft = Draft::default();
        draft.elements.push(ElementDraft::new("r1", ElementKind::Device));
        draft.targets.push(TargetDraft::new("t1", Some("r1".to_owned())));
        for (id, targets, split) in [("a1", 1, 0), ("a2", 0, 1)] {
            let device = Some("r1".to_owned());
            draft
                .elements
                .push(ElementDraft { device, ..ElementDraft::new(id, ElementKind::Agent) });
            let topology = Topology::build(&draft).expect("a good network");
            let loss = what_if(&topology, &[topology.find("a1").expect("an agent")], &[]);
            assert_eq!(loss.agents.len(), 1);
            assert_eq!((loss.targets.len(), loss.rerouted, loss.split), (targets, 0, split));
        }
    }

    #[test]
    fn an_agent_that_never_enrolled_reaches_nothing_once_another_has() {
        let mut draft = Draft::default();
        for id in ["r1", "r2"] {
            draft.elements.push(ElementDraft::new(id, ElementKind::Device));
        }
        draft.elements.push(ElementDraft::link("r1--r2", "r1", "r2"));
        for (id, device) in [("here", "r1"), ("there", "r2")] {
            let device = Some(device.to_owned());
            draft
                .elements
                .push(ElementDraft { device, ..ElementDraft::new(id, ElementKind::Agent) });
        }
        draft.targets.push(TargetDraft::new("t2", Some("r2".to_owned())));
        let topology = Topology::build(&draft).expect("a good network");
        let cut = topology.find("r1--r2").expect("a link");
        for (enrolled, lost) in [(&[][..], 0), (&["here", "there"], 0), (&["here"], 1)] {
            let absent = absent_agents(&topology, &enrolled.iter().copied().collect());
            let loss = what_if(&topology, &[cut], &absent);
            assert_eq!(loss.targets.len(), lost, "{enrolled:?} enrolled");
        }
    }

    #[test]
    fn single_points_are_what_trying_each_element_finds() {
        let mut seed = 3;
        for _ in 0..300 {
            let topology = network(&mut seed);
            let roots = roots(&topology, &[]);
            let already = dark(&topology, &roots, &[]);
            let found = single_points(&topology, &[]);
            for ix in (0..).map(ElementIx).take(topology.elements().len()) {
                let kind = topology.kind(ix);
                let is_one = !matches!(kind, ElementKind::Target | ElementKind::Agent);
                let mut lost = dark(&topology, &roots, &fate(&topology, &[ix]));
                lost.retain(|target| already.binary_search(target).is_err());
                let expected = (u32::try_from(lost.len()).expect("few"), weight(&topology, &lost));
                let point = found.iter().find(|point| point.element == ix);
                let said = point.map_or((0, 0), |point| (point.targets, point.weight));
                let expected = if is_one && !topology.is_together(ix) { expected } else { (0, 0) };
                assert_eq!(said, expected, "{}", topology.id(ix));
            }
        }
    }
}
