//! Which elements the packets of a pair cross, when, how surely, and who said so.
//!
//! A [`PathSet`] is shared by all targets behind one device: it ends at the device, and the target
//! itself is added by whoever asks. Rows of evidence are grouped by it.

use std::collections::{BTreeMap, BTreeSet};

use model::{ElementKind, PathSource, UtcMicros};

use super::{
    draft::Need,
    topology::{ElementIx, Topology},
    tree::{Parent, Toward, Tree},
};

/// Alternatives of one set. Beyond it each carries so few flows that none of them decides.
pub const ROUTES_MAX: usize = 16;

/// Which way an element is crossed; elements that are no links are crossed neither way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Through,
    /// From a link's first end to its second.
    Forward,
    Back,
}

/// One element on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub element: ElementIx,
    pub way: Way,
}

/// One alternative: its steps from the agent on, and the share of flows that take it.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub steps: Vec<Step>,
    pub share: f64,
}

/// How many of the flows cross an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    pub element: ElementIx,
    pub share: f64,
    /// The shares that cross it each way.
    pub share_forward: f64,
    pub share_back: f64,
}

/// A set of paths in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetIx(pub u32);

/// The alternatives from one agent to one place.
#[derive(Clone, Debug, PartialEq)]
pub struct PathSet {
    pub agent: ElementIx,
    /// Where it ends; `None` if nobody knows what the target stands behind.
    pub end: Option<ElementIx>,
    pub source: PathSource,
    pub routes: Vec<Route>,
    /// By element.
    pub crossings: Vec<Crossing>,
}

impl PathSet {
    pub fn crossing(&self, element: ElementIx) -> Option<&Crossing> {
        let at = self.crossings.binary_search_by_key(&element, |crossing| crossing.element).ok()?;
        self.crossings.get(at)
    }

    /// The share of flows that cross any of these; they are sorted.
    pub fn share_of_any(&self, elements: &[ElementIx]) -> f64 {
        let crossed = self.crossings.iter().filter(|c| elements.binary_search(&c.element).is_ok());
        let most = crossed.map(|crossing| crossing.share).fold(0.0, f64::max);
        if most == 0.0 || 1.0 <= most {
            return most.min(1.0);
        }
        let crosses = |step: &Step| elements.binary_search(&step.element).is_ok();
        let routes = self.routes.iter().filter(|route| route.steps.iter().any(crosses));
        routes.map(|route| route.share).sum::<f64>().min(1.0)
    }
}

/// A path somebody told us, for as long as it held.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub agent: ElementIx,
    pub target: ElementIx,
    pub elements: Vec<ElementIx>,
    pub weight: f64,
    pub source: PathSource,
    pub from: Option<UtcMicros>,
    pub until: Option<UtcMicros>,
}

/// When a pair took which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub from: UtcMicros,
    /// Not itself in it.
    pub until: UtcMicros,
    pub set: SetIx,
}

/// What tells two sets apart: agent, end, source, and each route with its share's bits.
type Signature = (ElementIx, Option<ElementIx>, PathSource, Vec<(Vec<Step>, u64)>);

/// The sets that were computed for one agent, by where they end.
#[derive(Clone, Debug, Default)]
struct Ends {
    /// By element; [`NOT_ASKED`] where nobody asked, or where a change took it away.
    sets: Vec<SetIx>,
    /// To what stands nowhere.
    nowhere: Option<SetIx>,
}

const NOT_ASKED: SetIx = SetIx(u32::MAX);

impl Ends {
    fn get(&self, end: Option<ElementIx>) -> Option<SetIx> {
        match end {
            Some(end) => self.sets.get(end.index()).copied().filter(|set| *set != NOT_ASKED),
            None => self.nowhere,
        }
    }

    fn set(&mut self, end: Option<ElementIx>, set: SetIx) {
        let Some(end) = end else {
            self.nowhere = Some(set);
            return;
        };
        if self.sets.len() <= end.index() {
            self.sets.resize(end.index() + 1, NOT_ASKED);
        }
        if let Some(slot) = self.sets.get_mut(end.index()) {
            *slot = set;
        }
    }

    fn take(&mut self, end: ElementIx) -> Option<SetIx> {
        let slot = self.sets.get_mut(end.index())?;
        Some(std::mem::replace(slot, NOT_ASKED)).filter(|set| *set != NOT_ASKED)
    }
}

/// Every path of every pair.
#[derive(Clone, Debug, Default)]
pub struct PathBook {
    sets: Vec<PathSet>,
    known: BTreeMap<Signature, SetIx>,
    epochs: BTreeMap<(ElementIx, ElementIx), Vec<Epoch>>,
    /// Sets that epochs name.
    told: BTreeSet<SetIx>,
    /// By agent.
    computed: BTreeMap<ElementIx, Ends>,
    trees: BTreeMap<ElementIx, [Option<Tree>; 2]>,
    /// Sets that a change took from who asked for them. Each new set takes the place of one, so
    /// that the book grows with the pairs and not with the changes.
    left: Vec<SetIx>,
}

const EVER: UtcMicros = UtcMicros(i64::MIN);
const NEVER: UtcMicros = UtcMicros(i64::MAX);

impl PathBook {
    /// Takes what was told; the rest is computed when it is asked for.
    pub fn new(topology: &Topology, told: &[Told]) -> PathBook {
        let mut book = PathBook::default();
        let mut groups: BTreeMap<_, Vec<&Told>> = BTreeMap::new();
        for path in told {
            let validity = (path.from.unwrap_or(EVER), path.until.unwrap_or(NEVER));
            groups.entry((path.agent, path.target, validity)).or_default().push(path);
        }
        for ((agent, target, (from, until)), paths) in groups {
            let set = book.told_set(topology, agent, target, &paths);
            book.told.insert(set);
            book.epochs.entry((agent, target)).or_default().push(Epoch { from, until, set });
        }
        book
    }

    pub fn sets(&self) -> &[PathSet] {
        &self.sets
    }

    pub fn get(&self, set: SetIx) -> Option<&PathSet> {
        self.sets.get(set.0 as usize)
    }

    /// Whether anything was told about any pair.
    pub fn has_told(&self) -> bool {
        !self.epochs.is_empty()
    }

    /// What was told about a pair, by time.
    pub fn epochs(&self, agent: ElementIx, target: ElementIx) -> &[Epoch] {
        self.epochs.get(&(agent, target)).map_or(&[], Vec::as_slice)
    }

    /// The set that a pair took at a moment: what was told for then (the latest to begin, if
    /// several), else the last that was told before, else shortest paths.
    pub fn set_at(
        &mut self,
        topology: &Topology,
        agent: ElementIx,
        target: ElementIx,
        at: UtcMicros,
    ) -> SetIx {
        let epochs = self.epochs(agent, target);
        let holds = |epoch: &&Epoch| epoch.from <= at && at < epoch.until;
        let current = epochs.iter().filter(holds).max_by_key(|epoch| epoch.from);
        if let Some(epoch) = current {
            return epoch.set;
        }
        let expired = epochs.iter().filter(|epoch| epoch.until <= at);
        if let Some(epoch) = expired.max_by_key(|epoch| epoch.until) {
            return self.as_last_known(epoch.set);
        }
        self.shortest(topology, agent, topology.host(target))
    }

    /// The same routes, trusted less.
    fn as_last_known(&mut self, set: SetIx) -> SetIx {
        match self.get(set) {
            Some(old) if old.source < PathSource::LastKnown => {
                let old = PathSet { source: PathSource::LastKnown, ..old.clone() };
                self.intern(old)
            }
            _ => set,
        }
    }

    /// Shortest paths from an agent to a device, equal ones as alternatives; answers that come
    /// back another way bring its elements in.
    pub fn shortest(
        &mut self,
        topology: &Topology,
        agent: ElementIx,
        end: Option<ElementIx>,
    ) -> SetIx {
        if let Some(set) = self.computed.get(&agent).and_then(|ends| ends.get(end)) {
            return set;
        }
        let set = self.compute(topology, agent, end);
        let set = self.intern(set);
        self.computed.entry(agent).or_default().set(end, set);
        set
    }

    fn compute(
        &mut self,
        topology: &Topology,
        agent: ElementIx,
        end: Option<ElementIx>,
    ) -> PathSet {
        let root = topology.host(agent).unwrap_or(agent);
        let end_node = end.map(|end| topology.node_of(end));
        let mut routes = Vec::new();
        if let Some(node) = end_node {
            let trees = self.trees.entry(root).or_default();
            let there = trees[0].get_or_insert_with(|| Tree::new(topology, root, Toward::Others));
            let out = there.routes(node, ROUTES_MAX);
            let back = if topology.is_asymmetric() {
                let back = trees[1].get_or_insert_with(|| Tree::new(topology, root, Toward::Root));
                back.routes(node, ROUTES_MAX)
            } else {
                Vec::new()
            };
            routes = both_ways(topology, root, &out, &back);
        }
        let is_known = !routes.is_empty();
        if !is_known {
            routes.push(Route { steps: Vec::new(), share: 1.0 });
        }
        let source = if is_known { PathSource::Spf } else { PathSource::Unknown };
        complete(topology, agent, end, source, routes)
    }

    fn told_set(
        &mut self,
        topology: &Topology,
        agent: ElementIx,
        target: ElementIx,
        paths: &[&Told],
    ) -> SetIx {
        let sum: f64 = paths.iter().map(|path| path.weight.max(0.0)).sum();
        // Less than all of the flows may be known; more than all is a matter of scale.
        let scale = if 1.0 < sum { sum } else { 1.0 };
        let routes = paths.iter().take(ROUTES_MAX).map(|path| Route {
            steps: steps(topology, agent, &path.elements),
            share: path.weight.max(0.0) / scale,
        });
        let routes: Vec<Route> = routes.collect();
        let source = paths.iter().map(|path| path.source).max().unwrap_or(PathSource::Unknown);
        let set = complete(topology, agent, topology.host(target), source, routes);
        self.intern(set)
    }

    fn intern(&mut self, set: PathSet) -> SetIx {
        let signature = signature(&set);
        if let Some(known) = self.known.get(&signature) {
            return *known;
        }
        let next = self.free().unwrap_or(SetIx(u32::try_from(self.sets.len()).unwrap_or(u32::MAX)));
        self.known.insert(signature, next);
        match self.sets.get_mut(next.0 as usize) {
            Some(slot) => *slot = set,
            None => self.sets.push(set),
        }
        next
    }

    /// The place of a set that nobody takes any more.
    fn free(&mut self) -> Option<SetIx> {
        while let Some(left) = self.left.pop() {
            if self.told.contains(&left) {
                continue; // It is named by its place.
            }
            let Some(set) = self.sets.get(left.0 as usize) else { continue };
            let taken = self.computed.get(&set.agent).and_then(|ends| ends.get(set.end));
            if taken != Some(left) {
                self.known.remove(&signature(set));
                return Some(left);
            }
        }
        None
    }

    /// Follows a change of one link's cost, after the topology has it. Only what it moves is
    /// forgotten, and computed again when somebody asks. Returns how many sets that is; their
    /// places may be taken by others from now on.
    pub fn follow(&mut self, topology: &Topology, link: ElementIx) -> usize {
        let mut moved = 0;
        let mut agents: BTreeMap<ElementIx, Vec<ElementIx>> = BTreeMap::new();
        for agent in self.computed.keys() {
            agents.entry(topology.host(*agent).unwrap_or(*agent)).or_default().push(*agent);
        }
        for (root, trees) in &mut self.trees {
            for tree in trees.iter_mut().flatten() {
                let nodes = tree.follow(topology, link);
                for agent in agents.get(root).into_iter().flatten() {
                    let Some(ends) = self.computed.get_mut(agent) else { continue };
                    for node in &nodes {
                        // A path to an interface is one to its device.
                        let members = topology.members(*node).iter();
                        let ports =
                            members.filter(|port| topology.kind(**port) == ElementKind::Interface);
                        for end in [node].into_iter().chain(ports) {
                            let set = ends.take(*end);
                            moved += usize::from(set.is_some());
                            self.left.extend(set);
                        }
                    }
                }
            }
        }
        moved
    }
}

fn signature(set: &PathSet) -> Signature {
    let routes = set.routes.iter().map(|route| (route.steps.clone(), route.share.to_bits()));
    (set.agent, set.end, set.source, routes.collect())
}

/// Adds what every packet of the agent crosses before, and at the end, and what those need.
fn complete(
    topology: &Topology,
    agent: ElementIx,
    end: Option<ElementIx>,
    source: PathSource,
    mut routes: Vec<Route>,
) -> PathSet {
    let host = topology.host(agent);
    let is_uplink = |ix: &&ElementIx| topology.kind(**ix) == ElementKind::AgentUplink;
    let uplinks: Vec<ElementIx> =
        topology.members(agent).iter().filter(is_uplink).copied().collect();
    for route in &mut routes {
        let through = |element| Step { element, way: Way::Through };
        let first = [agent].into_iter().chain(uplinks.iter().copied()).chain(host);
        let missing = |steps: &[Step], element| steps.iter().all(|step| step.element != element);
        let start: Vec<Step> = first.filter(|ix| missing(&route.steps, *ix)).map(through).collect();
        route.steps.splice(0..0, start);
        if let Some(end) = end.filter(|end| missing(&route.steps, *end)) {
            route.steps.push(through(end));
        }
        require(topology, &mut route.steps);
    }
    let crossings = crossings(&routes);
    PathSet { agent, end, source, routes, crossings }
}

/// Appends what the elements of a path need by the operator's word.
fn require(topology: &Topology, steps: &mut Vec<Step>) {
    let mut at = 0;
    while let Some(step) = steps.get(at).copied() {
        at += 1;
        let needed = topology.requirements(step.element).iter().flat_map(|requirement| {
            let (all, any) = match requirement.need {
                Need::All => (requirement.on.as_slice(), None),
                Need::Any => (&[][..], requirement.together),
            };
            all.iter().copied().chain(any)
        });
        for element in needed {
            if steps.iter().all(|step| step.element != element) {
                steps.push(Step { element, way: Way::Through });
            }
        }
    }
}

fn crossings(routes: &[Route]) -> Vec<Crossing> {
    let mut all: BTreeMap<ElementIx, Crossing> = BTreeMap::new();
    for route in routes {
        let mut seen: Vec<Step> = route.steps.clone();
        seen.sort_unstable();
        seen.dedup();
        let mut last = None;
        for Step { element, way } in seen {
            let zero = Crossing { element, share: 0.0, share_forward: 0.0, share_back: 0.0 };
            let crossing = all.entry(element).or_insert(zero);
            if last.replace(element) != Some(element) {
                crossing.share += route.share;
            }
            match way {
                Way::Through => {}
                Way::Forward => crossing.share_forward += route.share,
                Way::Back => crossing.share_back += route.share,
            }
        }
    }
    all.into_values().collect()
}

/// The steps of a told path: each link's way follows from the device before or after it.
fn steps(topology: &Topology, agent: ElementIx, elements: &[ElementIx]) -> Vec<Step> {
    let mut steps = Vec::with_capacity(elements.len());
    let mut before = topology.host(agent).unwrap_or(agent);
    for (at, element) in elements.iter().enumerate() {
        let ends = topology.get(*element).and_then(|element| element.ends);
        let way = match ends.map(|ends| ends.map(|end| topology.node_of(end))) {
            None => {
                if topology.kind(*element) == ElementKind::Device {
                    before = *element;
                }
                Way::Through
            }
            Some([a, b]) => {
                let after = elements.get(at + 1).map(|next| topology.node_of(*next));
                if before == a || after == Some(b) {
                    before = b;
                    Way::Forward
                } else if before == b || after == Some(a) {
                    before = a;
                    Way::Back
                } else {
                    Way::Through
                }
            }
        };
        steps.push(Step { element: *element, way });
    }
    steps
}

/// Pairs every way there with every way back, as one packet goes one way and its answer another.
fn both_ways(
    topology: &Topology,
    root: ElementIx,
    out: &[(Vec<Parent>, f64)],
    back: &[(Vec<Parent>, f64)],
) -> Vec<Route> {
    let mut routes = Vec::new();
    for (way, share) in out {
        let there = walk(topology, root, way, Toward::Others);
        if back.is_empty() {
            routes.push(Route { steps: there, share: *share });
            continue;
        }
        for (way, back_share) in back {
            let mut steps = there.clone();
            for step in walk(topology, root, way, Toward::Root) {
                if !steps.iter().any(|known| known.element == step.element) {
                    steps.push(step);
                }
            }
            routes.push(Route { steps, share: share * back_share });
        }
    }
    routes.sort_by(|a, b| b.share.total_cmp(&a.share));
    routes.truncate(ROUTES_MAX);
    let sum: f64 = routes.iter().map(|route| route.share).sum();
    routes.iter_mut().for_each(|route| route.share /= sum);
    routes
}

/// The elements of a way of links: devices, ports and links, in order.
fn walk(topology: &Topology, root: ElementIx, way: &[Parent], toward: Toward) -> Vec<Step> {
    let mut steps = vec![Step { element: root, way: Way::Through }];
    let mut at = root;
    for hop in way {
        let arc = topology.arcs(at).iter().find(|arc| arc.link == hop.link && arc.to == hop.node);
        let Some(arc) = arc else { continue };
        let is_forward = arc.is_forward == (toward == Toward::Others);
        let [near, far] =
            arc.ports.map(|port| port.map(|p| Step { element: p, way: Way::Through }));
        let link =
            Step { element: arc.link, way: if is_forward { Way::Forward } else { Way::Back } };
        let node = Step { element: arc.to, way: Way::Through };
        // An upstream attached to its device is link and node at once.
        let link = Some(link).filter(|link| link.element != node.element && link.element != at);
        steps.extend(near.into_iter().chain(link).chain(far));
        steps.push(node);
        at = hop.node;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Draft, ElementDraft};

    /// A link that flaps moves the same paths again and again.
    #[test]
    fn the_book_grows_with_the_pairs_and_not_with_the_changes() {
        let mut draft = Draft::default();
        for id in ["a", "b", "c", "d"] {
            draft.elements.push(ElementDraft::new(id, ElementKind::Device));
        }
        for (id, x, y) in [("ab", "a", "b"), ("ac", "a", "c"), ("bd", "b", "d"), ("cd", "c", "d")] {
            draft.elements.push(ElementDraft::link(id, x, y));
        }
        let agent = ElementDraft::new("ag", ElementKind::Agent);
        draft.elements.push(ElementDraft { device: Some("a".to_owned()), ..agent });
        let mut topology = Topology::build(&draft).expect("a good network");
        let find = |topology: &Topology, id| topology.find(id).expect("is there");
        let (agent, link) = (find(&topology, "ag"), find(&topology, "ab"));
        let ends: Vec<ElementIx> = topology.devices().to_vec();
        let pinned = Told {
            agent,
            target: ends[0],
            elements: vec![ends[0], link, ends[1]],
            weight: 1.0,
            source: PathSource::Pinned,
            from: None,
            until: None,
        };
        let mut book = PathBook::new(&topology, &[pinned]);
        let told = book.get(SetIx(0)).cloned();
        for cost in 1..100 {
            topology.set_cost(link, cost, cost);
            book.follow(&topology, link);
            let mut anew = PathBook::default();
            for end in &ends {
                let set = book.shortest(&topology, agent, Some(*end));
                let other = anew.shortest(&topology, agent, Some(*end));
                assert_eq!(book.get(set), anew.get(other), "to {} at {cost}", end.0);
            }
        }
        assert!(book.sets().len() <= 2 * ends.len(), "{} sets", book.sets().len());
        assert_eq!(book.get(SetIx(0)).cloned(), told, "what was told is still there");
    }
}
