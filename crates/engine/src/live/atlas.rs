//! The state of every site, device and link, as a map shows it: from the verdicts of the targets
//! that stand there and behind it, and from what incidents name.
//!
//! Of a device or an upstream:
//!
//! 1 - An incident names it alone as its likeliest cause: Down if the cause is that it is down,
//!     Degraded otherwise.
//! 2 - Targets stand at it and are judged: Down if none of them answers, Degraded if one is down or
//!     degraded, else Up.
//! 3 - An incident names it with others as what nothing tells apart: Unknown.
//! 4 - Answers pass through it: Up.
//! 5 - An incident cuts it off, or nothing that is watched is behind it: Unknown.
//!
//! Of a link:
//!
//! 1 - An incident names it, or a shared risk that it is in, alone: as above.
//! 2 - An incident names it with others: Unknown.
//! 3 - Answers of targets pass over it, by the paths that follow from costs and pins: Up.
//! 4 - Otherwise Unknown.
//!
//! Of a site:
//!
//! 1 - An incident names it alone: as above.
//! 2 - Nothing that is known of it is well: Down. Of a single device: what that is.
//! 3 - A device there is down or degraded: Degraded.
//! 4 - A device there is up: Up. Otherwise Unknown, also if an incident names it with others.
//!
//! It deliberately judges nothing anew: it only says where what was judged stands.

use std::collections::BTreeMap;

use model::{ElementKind, FaultMode, IncidentId, Verdict};

use crate::graph::{ElementIx, Parent, Topology, Toward, Tree};

/// Less of a target's answers is a matter of rounding.
const FLOW_MIN: f64 = 1e-6;
/// Names in a sentence; how many there are is said.
const NAMES_MAX: usize = 3;

/// What incidents say of an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    #[default]
    None,
    /// It is down, cut off or hit by what an incident names.
    Hit,
    /// One of several that an incident may be about.
    Suspect,
    /// What an incident is about.
    Cause,
}

/// An open incident as far as a map shows it, the worst first among several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blamed {
    pub incident: IncidentId,
    /// Ids of the likeliest cause: several if nothing tells them apart.
    pub elements: Vec<String>,
    pub mode: FaultMode,
    /// Ids of devices that are down or cut off.
    pub devices: Vec<String>,
}

/// One target with what is held of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub target: ElementIx,
    pub is_paused: bool,
    pub verdict: Verdict,
    /// What each agent of the topology holds of it.
    pub by: Vec<(ElementIx, Verdict)>,
}

/// How many targets are what; each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub up: u32,
    pub degraded: u32,
    pub down: u32,
    pub unknown: u32,
    pub paused: u32,
}

/// What is shown of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub state: Verdict,
    /// In a sentence without its end.
    pub why: String,
    pub part: Part,
    /// Those that name it, the worst first.
    pub incidents: Vec<IncidentId>,
    pub counts: Counts,
}

/// A site, or a device that stands at none.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub element: ElementIx,
    /// Latitude and longitude in degrees: its own, or the middle of its devices.
    pub position: Option<(f64, f64)>,
}

/// A device, or an upstream, and the place where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub element: ElementIx,
    /// Position in [`Atlas::places`].
    pub place: usize,
}

/// A link or LAG between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub element: ElementIx,
    /// Positions in [`Atlas::nodes`].
    pub ends: [usize; 2],
}

/// What there is to show of a topology, and which ways its answers take.
#[derive(Debug)]
pub struct Atlas {
    pub places: Vec<Place>,
    pub nodes: Vec<Node>,
    pub lines: Vec<Line>,
    /// By element.
    roles: Vec<Shown>,
    /// By agent: nodes with the ways to them, the farthest first.
    ways: BTreeMap<ElementIx, Vec<(ElementIx, Vec<Parent>)>>,
    /// What was pinned for an agent and a target: elements and their share.
    pins: BTreeMap<(ElementIx, ElementIx), Vec<(ElementIx, f64)>>,
}

/// The marks, in the orders of an atlas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub places: Vec<Mark>,
    pub nodes: Vec<Mark>,
    pub lines: Vec<Mark>,
}

/// What an element is on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Place(usize),
    Node(usize),
    Line(usize),
}

impl Counts {
    fn add(&mut self, seen: &Seen) {
        *match seen.verdict {
            _ if seen.is_paused => &mut self.paused,
            Verdict::Up => &mut self.up,
            Verdict::Degraded => &mut self.degraded,
            Verdict::Down => &mut self.down,
            Verdict::Unknown => &mut self.unknown,
        } += 1;
    }

    fn sum(&mut self, other: Counts) {
        self.up += other.up;
        self.degraded += other.degraded;
        self.down += other.down;
        self.unknown += other.unknown;
        self.paused += other.paused;
    }

    fn judged(self) -> u32 {
        self.up + self.degraded + self.down
    }
}

impl Atlas {
    /// Finds out what there is to show, and the ways from each agent.
    pub fn of(topology: &Topology) -> Atlas {
        let mut atlas = Atlas {
            places: Vec::new(),
            nodes: Vec::new(),
            lines: Vec::new(),
            roles: vec![Shown::Nothing; topology.elements().len()],
            ways: BTreeMap::new(),
            pins: BTreeMap::new(),
        };
        atlas.place(topology);
        for kind in [ElementKind::Link, ElementKind::Lag, ElementKind::AgentUplink] {
            for element in topology.of_kind(kind) {
                let Some(ends) = topology.get(element).and_then(|link| link.ends) else { continue };
                let [Some(a), Some(b)] = ends.map(|end| atlas.node_at(topology, end)) else {
                    continue;
                };
                atlas.show(element, Shown::Line(atlas.lines.len()));
                atlas.lines.push(Line { element, ends: [a, b] });
            }
        }
        for agent in topology.of_kind(ElementKind::Agent) {
            let Some(host) = topology.host(agent) else { continue };
            let root = topology.node_of(host);
            atlas.ways.insert(agent, ways(topology, root));
        }
        for pin in topology.pins() {
            let shares = atlas.pins.entry((pin.agent, pin.target)).or_default();
            shares.extend(pin.elements.iter().map(|element| (*element, pin.weight)));
        }
        atlas
    }

    fn place(&mut self, topology: &Topology) {
        for site in topology.of_kind(ElementKind::Site) {
            self.show(site, Shown::Place(self.places.len()));
            self.places.push(Place { element: site, position: position(topology, site) });
        }
        let sites = self.places.len();
        let mut middles: Vec<(f64, f64, f64)> = vec![(0.0, 0.0, 0.0); sites];
        for device in topology.of_kind(ElementKind::Device) {
            let site = topology.get(device).and_then(|element| element.site);
            let own = position(topology, device);
            let place = match site.map(|site| self.shown(site)) {
                Some(Shown::Place(place)) => place,
                _ => {
                    self.places.push(Place { element: device, position: own });
                    self.places.len() - 1
                }
            };
            if let (Some(middle), Some((latitude, longitude))) = (middles.get_mut(place), own) {
                *middle = (middle.0 + latitude, middle.1 + longitude, middle.2 + 1.0);
            }
            self.show(device, Shown::Node(self.nodes.len()));
            self.nodes.push(Node { element: device, place });
        }
        for (place, (latitude, longitude, count)) in self.places.iter_mut().zip(middles) {
            if place.position.is_none() && 0.0 < count {
                place.position = Some((latitude / count, longitude / count));
            }
        }
        for upstream in topology.of_kind(ElementKind::Upstream) {
            let host = topology.host(upstream);
            let Some(at) = host.and_then(|host| self.node_at(topology, host)) else { continue };
            let Some(place) = self.nodes.get(at).map(|node| node.place) else { continue };
            self.show(upstream, Shown::Node(self.nodes.len()));
            self.nodes.push(Node { element: upstream, place });
        }
    }

    fn show(&mut self, element: ElementIx, shown: Shown) {
        if let Some(slot) = self.roles.get_mut(element.index()) {
            *slot = shown;
        }
    }

    fn shown(&self, element: ElementIx) -> Shown {
        self.roles.get(element.index()).copied().unwrap_or(Shown::Nothing)
    }

    /// The node that an element is at: a device itself, the device of a port or an agent.
    pub fn node_at(&self, topology: &Topology, element: ElementIx) -> Option<usize> {
        let mut at = element;
        // A port of a device, an agent at a port: hosts do not go deeper.
        for _ in 0..4 {
            if let Shown::Node(node) = self.shown(at) {
                return Some(node);
            }
            at = topology.host(at)?;
        }
        None
    }

    /// Says what each is, from all targets and open incidents.
    pub fn marks(&self, topology: &Topology, seen: &[Seen], blamed: &[Blamed]) -> Marks {
        let mut counts = vec![Counts::default(); self.nodes.len()];
        let mut at_lines = vec![Counts::default(); self.lines.len()];
        let mut flows = Flows::new(topology);
        for one in seen {
            let Some(host) = topology.host(one.target) else { continue };
            let line = match self.shown(host) {
                Shown::Line(line) => at_lines.get_mut(line),
                Shown::Node(_) | Shown::Place(_) | Shown::Nothing => None,
            };
            if let Some(counts) = line {
                counts.add(one);
            } else if let Some(node) = self.node_at(topology, host)
                && let Some(counts) = counts.get_mut(node)
            {
                counts.add(one);
            }
            if !one.is_paused {
                flows.add(self, topology, one);
            }
        }
        flows.spread(self);
        let named = self.name(topology, blamed);
        let node = |(at, node): (usize, &Node)| {
            let known = counts.get(at).copied().unwrap_or_default();
            node_mark(&named, node.element, known, flows.of(node.element))
        };
        let nodes: Vec<Mark> = self.nodes.iter().enumerate().map(node).collect();
        let line = |(at, line): (usize, &Line)| {
            let known = at_lines.get(at).copied().unwrap_or_default();
            line_mark(&named, line.element, known, flows.of(line.element))
        };
        let lines = self.lines.iter().enumerate().map(line).collect();
        let places = self.place_marks(topology, &named, &nodes);
        Marks { places, nodes, lines }
    }

    fn place_marks(&self, topology: &Topology, named: &Named<'_>, nodes: &[Mark]) -> Vec<Mark> {
        let mut here: Vec<Vec<usize>> = vec![Vec::new(); self.places.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            if let Some(at_place) = here.get_mut(node.place) {
                at_place.push(at);
            }
        }
        let mark = |(place, here): (&Place, Vec<usize>)| {
            let at = |at: &usize| Some((self.nodes.get(*at)?.element, nodes.get(*at)?));
            let is_told = |(element, mark): &(ElementIx, &Mark)| {
                // An upstream of which nothing is known says nothing of the place.
                topology.kind(*element) == ElementKind::Device || mark.state != Verdict::Unknown
            };
            let here = here.iter().filter_map(at).filter(is_told);
            let devices: Vec<(&str, &Mark)> =
                here.map(|(element, mark)| (topology.id(element), mark)).collect();
            place_mark(named.of(place.element), &devices)
        };
        self.places.iter().zip(here).map(mark).collect()
    }

    /// What incidents say of each element that is shown.
    fn name<'a>(&self, topology: &Topology, blamed: &'a [Blamed]) -> Named<'a> {
        let mut named = Named::default();
        for blame in blamed {
            let part = if blame.elements.len() == 1 { Part::Cause } else { Part::Suspect };
            for id in &blame.elements {
                for element in topology.find(id).into_iter().flat_map(|ix| drawn(topology, ix)) {
                    named.add(element, part, blame);
                }
            }
            for id in &blame.devices {
                if let Some(element) = topology.find(id) {
                    named.add(element, Part::Hit, blame);
                }
            }
        }
        named
    }
}

fn position(topology: &Topology, element: ElementIx) -> Option<(f64, f64)> {
    let position = topology.get(element)?.position?;
    Some((position.latitude, position.longitude))
}

/// Every node that is reached, with the ways into it, so that what hangs on others comes first.
fn ways(topology: &Topology, root: ElementIx) -> Vec<(ElementIx, Vec<Parent>)> {
    let tree = Tree::new(topology, root, Toward::Others);
    let mut children: BTreeMap<ElementIx, u32> = BTreeMap::new();
    let all = (0..topology.elements().len()).filter_map(|at| u32::try_from(at).ok());
    let reached: Vec<ElementIx> =
        all.map(ElementIx).filter(|ix| !tree.parents(*ix).is_empty()).collect();
    for parent in reached.iter().flat_map(|node| tree.parents(*node)) {
        *children.entry(parent.node).or_default() += 1;
    }
    let mut free: Vec<ElementIx> =
        reached.iter().filter(|node| !children.contains_key(node)).copied().collect();
    let mut ordered = Vec::with_capacity(reached.len());
    while let Some(node) = free.pop() {
        let parents = tree.parents(node);
        for parent in parents {
            if let Some(left) = children.get_mut(&parent.node) {
                *left -= 1;
                if *left == 0 {
                    free.push(parent.node);
                }
            }
        }
        ordered.push((node, parents.to_vec()));
    }
    ordered
}

/// What is drawn of an element that an incident names.
fn drawn(topology: &Topology, element: ElementIx) -> Vec<ElementIx> {
    if topology.is_together(element) {
        return topology.members(element).to_vec();
    }
    match topology.kind(element) {
        ElementKind::Device
        | ElementKind::Site
        | ElementKind::Link
        | ElementKind::Upstream
        | ElementKind::AgentUplink => vec![element],
        // Whatever is in it is lost with it.
        ElementKind::Lag | ElementKind::Srlg => {
            let members = topology.members(element).iter().copied();
            [element].into_iter().chain(members).collect()
        }
        // A port is drawn as the links that end there.
        ElementKind::Interface => {
            let device = topology.node_of(element);
            let arcs = topology.arcs(device).iter();
            arcs.filter(|arc| arc.ports[0] == Some(element)).map(|arc| arc.link).collect()
        }
        ElementKind::Agent | ElementKind::Target => Vec::new(),
    }
}

/// How many targets answer, and are asked, over each element.
struct Flows {
    answered: Vec<f64>,
    asked: Vec<f64>,
    /// By agent and node: targets behind it that answer, and all.
    ends: BTreeMap<(ElementIx, ElementIx), (f64, f64)>,
}

impl Flows {
    fn new(topology: &Topology) -> Flows {
        let count = topology.elements().len();
        Flows { answered: vec![0.0; count], asked: vec![0.0; count], ends: BTreeMap::new() }
    }

    fn of(&self, element: ElementIx) -> (f64, f64) {
        let of = |all: &[f64]| all.get(element.index()).copied().unwrap_or(0.0);
        (of(&self.answered), of(&self.asked))
    }

    fn pass(&mut self, element: ElementIx, (answered, asked): (f64, f64)) {
        if let Some(slot) = self.answered.get_mut(element.index()) {
            *slot += answered;
        }
        if let Some(slot) = self.asked.get_mut(element.index()) {
            *slot += asked;
        }
    }

    fn add(&mut self, atlas: &Atlas, topology: &Topology, seen: &Seen) {
        // Each target counts once, however many ask it.
        let share = 1.0 / f64::from(u32::try_from(seen.by.len().max(1)).unwrap_or(1));
        let Some(host) = topology.host(seen.target) else { return };
        for (agent, verdict) in &seen.by {
            let answers = matches!(verdict, Verdict::Up | Verdict::Degraded);
            let flow = (if answers { share } else { 0.0 }, share);
            if let Some(pins) = atlas.pins.get(&(*agent, seen.target)) {
                for (element, part) in pins {
                    self.pass(*element, (flow.0 * part, flow.1 * part));
                }
                continue;
            }
            let node = topology.node_of(host);
            let slot = self.ends.entry((*agent, node)).or_default();
            *slot = (slot.0 + flow.0, slot.1 + flow.1);
        }
    }

    /// Lets what ends at each node pass over all that leads there, equal ways sharing it.
    fn spread(&mut self, atlas: &Atlas) {
        let mut ends = std::mem::take(&mut self.ends);
        let agents: Vec<ElementIx> = atlas.ways.keys().copied().collect();
        for agent in agents {
            for (node, parents) in atlas.ways.get(&agent).into_iter().flatten() {
                let Some(flow) = ends.remove(&(agent, *node)) else { continue };
                self.pass(*node, flow);
                let count = f64::from(u32::try_from(parents.len().max(1)).unwrap_or(1));
                let part = (flow.0 / count, flow.1 / count);
                for parent in parents {
                    if parent.link != *node {
                        self.pass(parent.link, part);
                    }
                    let slot = ends.entry((agent, parent.node)).or_default();
                    *slot = (slot.0 + part.0, slot.1 + part.1);
                }
            }
        }
        // What is left ends where the agents themselves are.
        for ((_, node), flow) in ends {
            self.pass(node, flow);
        }
    }
}

/// What incidents say of elements.
#[derive(Default)]
struct Named<'a>(BTreeMap<ElementIx, Vec<(Part, &'a Blamed)>>);

impl<'a> Named<'a> {
    fn add(&mut self, element: ElementIx, part: Part, blame: &'a Blamed) {
        let all = self.0.entry(element).or_default();
        if all.iter().all(|(_, known)| known.incident != blame.incident) {
            all.push((part, blame));
        }
    }

    fn of(&self, element: ElementIx) -> &[(Part, &'a Blamed)] {
        self.0.get(&element).map_or(&[], Vec::as_slice)
    }
}

fn mark(named: &[(Part, &Blamed)], counts: Counts, (state, why): (Verdict, String)) -> Mark {
    Mark {
        state,
        why,
        part: named.iter().map(|(part, _)| *part).max().unwrap_or_default(),
        incidents: named.iter().map(|(_, blame)| blame.incident).collect(),
        counts,
    }
}

/// The state of what an incident names alone; `None` if none does.
fn caused(named: &[(Part, &Blamed)]) -> Option<(Verdict, String)> {
    let causes = named.iter().filter(|(part, _)| *part == Part::Cause).map(|(_, blame)| blame);
    let state = |mode| match mode {
        FaultMode::Down => Verdict::Down,
        FaultMode::Lossy
        | FaultMode::Slow
        | FaultMode::OneWay
        | FaultMode::Reroute
        | FaultMode::Flapping => Verdict::Degraded,
    };
    let worst = causes.max_by_key(|blame| state(blame.mode) == Verdict::Down)?;
    let why = match worst.elements.first() {
        Some(element) => format!("#{}: {element} is {}", worst.incident.0, worst.mode.as_str()),
        None => format!("named by #{}", worst.incident.0),
    };
    Some((state(worst.mode), why))
}

fn suspected(named: &[(Part, &Blamed)]) -> Option<(Verdict, String)> {
    let (_, blame) = named.iter().find(|(part, _)| *part == Part::Suspect)?;
    let among = some(blame.elements.iter().map(String::as_str));
    let why = format!("#{}: one of {among}, which nothing tells apart", blame.incident.0);
    Some((Verdict::Unknown, why))
}

/// Some names, and how many more there are.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let first: Vec<&str> = names.take(NAMES_MAX).collect();
    let more = count.saturating_sub(first.len());
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

fn targets(count: u32) -> String {
    if count == 1 { "1 target".to_owned() } else { format!("{count} targets") }
}

/// What the targets that stand at it say; `None` if none is judged.
fn counted(counts: Counts) -> Option<(Verdict, String)> {
    let judged = counts.judged();
    if judged == 0 {
        return None;
    }
    let of = targets(judged);
    Some(if counts.down == judged {
        let why = if judged == 1 {
            "its target is down".to_owned()
        } else {
            format!("none of its {of} answers")
        };
        (Verdict::Down, why)
    } else if 0 < counts.down {
        (Verdict::Degraded, format!("{} of {of} down", counts.down))
    } else if counts.degraded == 1 && judged == 1 {
        (Verdict::Degraded, "its target is degraded".to_owned())
    } else if 0 < counts.degraded {
        (Verdict::Degraded, format!("{} of {of} degraded", counts.degraded))
    } else if counts.unknown == 0 {
        (Verdict::Up, format!("{of} up"))
    } else {
        (Verdict::Up, format!("{of} up, {} unknown", counts.unknown))
    })
}

fn node_mark(named: &Named<'_>, element: ElementIx, counts: Counts, flow: (f64, f64)) -> Mark {
    let named = named.of(element);
    let found = caused(named).or_else(|| counted(counts)).or_else(|| suspected(named));
    let found = found.unwrap_or_else(|| {
        if FLOW_MIN < flow.0 {
            return (Verdict::Up, format!("answers of {} pass through it", about(flow.0)));
        }
        let why = match named.first() {
            Some((_, blame)) => {
                format!("#{} cuts it off: nothing is heard of it", blame.incident.0)
            }
            None if 0 < counts.unknown => {
                format!("nobody knows of its {}", targets(counts.unknown))
            }
            None if 0 < counts.paused => format!("its {} paused", are(counts.paused)),
            None if FLOW_MIN < flow.1 => "nothing behind it answers".to_owned(),
            None => "nothing that is watched is at it or behind it".to_owned(),
        };
        (Verdict::Unknown, why)
    });
    mark(named, counts, found)
}

fn are(count: u32) -> String {
    if count == 1 { "target is".to_owned() } else { format!("{count} targets are") }
}

fn line_mark(named: &Named<'_>, element: ElementIx, counts: Counts, flow: (f64, f64)) -> Mark {
    let named = named.of(element);
    let found = caused(named).or_else(|| suspected(named)).or_else(|| counted(counts));
    let found = found.unwrap_or_else(|| {
        if FLOW_MIN < flow.0 {
            (Verdict::Up, format!("answers of {} pass over it", about(flow.0)))
        } else if FLOW_MIN < flow.1 {
            (Verdict::Unknown, "nothing behind it answers".to_owned())
        } else {
            (Verdict::Unknown, "no watched target is behind it".to_owned())
        }
    });
    mark(named, counts, found)
}

/// A number of targets that is a share of some.
fn about(flow: f64) -> String {
    // At most all targets there are.
    let count = flow.ceil().min(f64::from(u32::MAX)) as u32;
    let is_whole = (flow - flow.round()).abs() < 1e-3;
    let count = if is_whole { flow.round() as u32 } else { count };
    if is_whole { targets(count) } else { format!("some {}", targets(count)) }
}

fn place_mark(named: &[(Part, &Blamed)], devices: &[(&str, &Mark)]) -> Mark {
    let mut counts = Counts::default();
    for (_, mark) in devices {
        counts.sum(mark.counts);
    }
    let that = |state| devices.iter().filter(move |(_, mark)| mark.state == state);
    let [up, degraded, down] =
        [Verdict::Up, Verdict::Degraded, Verdict::Down].map(|state| that(state).count());
    let names = |state| {
        let names: Vec<&str> = that(state).map(|(id, _)| *id).collect();
        some(names.into_iter())
    };
    let by_devices = || {
        if let [(_, only)] = devices {
            return (only.state, only.why.clone());
        }
        let of = devices.len();
        if 0 < down && up + degraded == 0 {
            let why = if down == of {
                format!("all of its {of} devices are down")
            } else {
                format!("{down} of {of} devices down, the others unknown")
            };
            (Verdict::Down, why)
        } else if 0 < down {
            (Verdict::Degraded, format!("down: {}", names(Verdict::Down)))
        } else if 0 < degraded {
            (Verdict::Degraded, format!("degraded: {}", names(Verdict::Degraded)))
        } else if 0 < up {
            let why = if up == of {
                format!("all of its {of} devices up")
            } else {
                format!("{up} of {of} devices up, the others unknown")
            };
            (Verdict::Up, why)
        } else if of == 0 {
            (Verdict::Unknown, "no device stands here".to_owned())
        } else {
            (Verdict::Unknown, format!("nothing is known of its {of} devices"))
        }
    };
    let found = caused(named).unwrap_or_else(|| match by_devices() {
        (Verdict::Unknown, why) => suspected(named).unwrap_or((Verdict::Unknown, why)),
        known => known,
    });
    let mut mark = mark(named, counts, found);
    for (_, of) in devices {
        mark.part = mark.part.max(of.part);
        for incident in &of.incidents {
            if !mark.incidents.contains(incident) {
                mark.incidents.push(*incident);
            }
        }
    }
    mark
}
