//! From a [`Draft`] to a [`Topology`]: every name found, every contradiction told.

use std::{collections::BTreeMap, ops::Range};

use model::{ElementKind, ElementRole, PathSource, nearest};

use super::{
    draft::{
        COST_MAX, COUNT_MAX, Draft, ELEMENTS_MAX, ElementDraft, ID_BYTES_MAX, Need, PINS_MAX, Pin,
        Position, Problem, TargetDraft, VIA_MAX,
    },
    paths::Told,
    topology::{Arc, Element, ElementIx, Requirement, Topology},
};

/// Problems told of one draft: who has more has another file than he thinks.
const PROBLEMS_MAX: usize = 100;
/// Members that the name of several together names; the others are a number.
const TOGETHER_NAMES_MAX: usize = 4;

pub(super) fn build(draft: &Draft) -> Result<Topology, Vec<Problem>> {
    let mut resolver = Resolver::default();
    resolver.register(draft);
    if resolver.problems.is_empty() {
        resolver.resolve_elements(draft);
        resolver.resolve_targets(draft);
        resolver.resolve_dependencies(draft);
    }
    if !resolver.problems.is_empty() {
        resolver.problems.truncate(PROBLEMS_MAX);
        return Err(resolver.problems);
    }
    Ok(resolver.finish())
}

#[derive(Debug, Default)]
struct Resolver {
    elements: Vec<Element>,
    by_id: BTreeMap<Box<str>, ElementIx>,
    requirements: BTreeMap<ElementIx, Vec<Requirement>>,
    pins: Vec<Told>,
    problems: Vec<Problem>,
}

impl Resolver {
    fn problem(&mut self, place: String, reason: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem::new(place, reason));
        }
    }

    /// Gives every id its index: elements, then targets, then groups that have no element.
    fn register(&mut self, draft: &Draft) {
        if ELEMENTS_MAX < draft.elements.len() + draft.targets.len() {
            let reason = format!("more than {ELEMENTS_MAX} elements and targets");
            return self.problem("elements".to_owned(), reason);
        }
        for (at, element) in draft.elements.iter().enumerate() {
            self.add(format!("elements[{at}].id"), &element.id, element.kind);
        }
        for (at, target) in draft.targets.iter().enumerate() {
            let known = self.by_id.get(target.id.as_str()).copied();
            let declared = known.filter(|ix| {
                let is_target = |e: &Element| e.kind == ElementKind::Target;
                ix.index() < draft.elements.len()
                    && self.elements.get(ix.index()).is_some_and(is_target)
            });
            if declared.is_none() {
                self.add(format!("targets[{at}].id"), &target.id, ElementKind::Target);
            }
        }
        for (at, element) in draft.elements.iter().enumerate() {
            for (nth, group) in element.groups.iter().enumerate() {
                if !self.by_id.contains_key(group.as_str()) {
                    let place = format!("elements[{at}].srlg[{nth}]");
                    self.add(place, group, ElementKind::Srlg);
                }
            }
        }
    }

    fn add(&mut self, place: String, id: &str, kind: ElementKind) {
        if id.is_empty() {
            return self.problem(place, "an id has at least one character");
        }
        if ID_BYTES_MAX < id.len() {
            let reason = format!("an id has at most {ID_BYTES_MAX} bytes; this has {}", id.len());
            return self.problem(place, reason);
        }
        if self.by_id.contains_key(id) {
            return self
                .problem(place, format!("the id `{id}` is there twice: give one of them another"));
        }
        let ix = ElementIx(u32::try_from(self.elements.len()).unwrap_or(u32::MAX));
        self.by_id.insert(id.into(), ix);
        self.elements.push(Element::new(id, kind));
    }

    /// Finds an id that must be of one of `kinds` (any, if none is named).
    fn find(&mut self, place: &str, id: &str, kinds: &[ElementKind]) -> Option<ElementIx> {
        let found = self.by_id.get(id).copied();
        let kind = found.and_then(|ix| self.elements.get(ix.index())).map(|element| element.kind);
        match kind {
            None => {
                self.problem(
                    place.to_owned(),
                    format!("there is no element `{id}`: add it, or correct the id"),
                );
                None
            }
            Some(kind) if kinds.is_empty() || kinds.contains(&kind) => found,
            Some(kind) => {
                let wanted: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                let reason = format!("`{id}` is a {kind}, not a {}", wanted.join(" or "));
                self.problem(place.to_owned(), reason);
                None
            }
        }
    }

    fn resolve_elements(&mut self, draft: &Draft) {
        use ElementKind::{Agent, Device, Lag, Site, Srlg, Upstream};
        for (at, (element, ix)) in draft.elements.iter().zip(0..).enumerate() {
            let place = |field: &str| format!("elements[{at}].{field}");
            let site = element.site.as_deref();
            let site = site.and_then(|id| self.find(&place("site"), id, &[Site]));
            let mut groups = Vec::new();
            for (nth, id) in element.groups.iter().enumerate() {
                let place = place(&format!("srlg[{nth}]"));
                groups.extend(self.find(&place, id, &[Srlg, Lag, Site]));
            }
            let device = element.device.as_deref();
            let host =
                device.and_then(|id| self.find(&place("device"), id, &[Device, Agent, Upstream]));
            let ends = self.ends(at, element);
            let cost = self.cost(&place("cost"), element.cost, 1);
            let cost_back = self.cost(&place("cost_back"), element.cost_back, cost);
            let customers = self.count(place("customers"), element.customers);
            let services = self.count(place("services"), element.services);
            self.check_role(place("role"), element);
            self.check_position(place("latitude"), element.position);
            self.check_name(place("name"), element);
            if let Some(resolved) = self.elements.get_mut(ix) {
                resolved.role = element.role;
                resolved.position = element.position;
                resolved.site = site;
                resolved.groups = groups;
                resolved.ends = ends;
                resolved.host = host;
                resolved.cost = cost;
                resolved.cost_back = cost_back;
                resolved.name = element.name.as_deref().map(Box::from);
                resolved.customers = customers;
                resolved.services = services;
            }
        }
        self.refuse_loops(draft);
    }

    fn ends(&mut self, at: usize, element: &ElementDraft) -> Option<[ElementIx; 2]> {
        use ElementKind::{Agent, AgentUplink, Device, Interface, Lag, Link, Upstream};
        let place = format!("elements[{at}].ends");
        let [a, b] = match &element.ends {
            Some(ends) => ends,
            None => {
                if element.kind == Link {
                    self.problem(place, format!("the link `{}` has no ends", element.id));
                }
                return None;
            }
        };
        if !matches!(element.kind, Link | Lag | AgentUplink) {
            let reason = format!("`{}` is a {}, which has no ends", element.id, element.kind);
            self.problem(place, reason);
            return None;
        }
        let nodes = [Device, Interface, Upstream, Agent];
        let a = self.find(&format!("{place}[0]"), a, &nodes);
        let b = self.find(&format!("{place}[1]"), b, &nodes);
        Some([a?, b?])
    }

    /// Links of a device with itself, told once interfaces know their devices.
    fn refuse_loops(&mut self, draft: &Draft) {
        for at in 0..draft.elements.len() {
            let Some(Element { id, ends: Some(ends), .. }) = self.elements.get(at) else {
                continue;
            };
            let id = id.clone();
            let nodes = ends.map(|end| node_of(&self.elements, end));
            if nodes[0] == nodes[1] {
                let reason = format!("`{id}` is a link of an element with itself: name two");
                self.problem(format!("elements[{at}].ends"), reason);
            }
        }
    }

    fn cost(&mut self, place: &str, cost: Option<i64>, default: u32) -> u32 {
        let Some(cost) = cost else { return default };
        match u32::try_from(cost) {
            Ok(cost) if cost <= COST_MAX => cost,
            _ => {
                let reason = format!("a cost is 0 to {COST_MAX}; this is {cost}");
                self.problem(place.to_owned(), reason);
                default
            }
        }
    }

    fn count(&mut self, place: String, count: Option<u64>) -> u64 {
        let count = count.unwrap_or(0);
        if COUNT_MAX < count {
            self.problem(place, format!("a count is 0 to {COUNT_MAX}; this is {count}"));
        }
        count.min(COUNT_MAX)
    }

    fn check_role(&mut self, place: String, element: &ElementDraft) {
        let Some(role) = element.role else { return };
        if role.kinds().contains(&element.kind) {
            return;
        }
        self.problem(place, no_role(element.kind, role.as_str()));
    }

    fn check_position(&mut self, place: String, position: Option<Position>) {
        if let Some(position) = position.filter(|position| !position.is_on_earth()) {
            let Position { latitude, longitude } = position;
            let reason = format!(
                "{latitude}, {longitude} is nowhere: latitudes are -90 to 90 and longitudes -180 \
                 to 180"
            );
            self.problem(place, reason);
        }
    }

    fn check_name(&mut self, place: String, element: &ElementDraft) {
        if element.name.is_some() && element.kind != ElementKind::Agent {
            let reason = format!("a {} is called by its id: leave `name` out", element.kind);
            self.problem(place, reason);
        }
    }

    fn resolve_targets(&mut self, draft: &Draft) {
        for (at, TargetDraft { id, device, weight, pins }) in draft.targets.iter().enumerate() {
            let place = format!("targets[{at}].device");
            let weight = self.count(format!("targets[{at}].weight"), Some(*weight));
            let host = device.as_deref().and_then(|device| {
                use ElementKind::{Agent, Device, Interface, Link, Upstream};
                self.find(&place, device, &[Device, Interface, Upstream, Link, Agent])
            });
            let ix = self.by_id.get(id.as_str()).copied();
            if let Some(target) = ix.and_then(|ix| self.elements.get_mut(ix.index())) {
                target.host = host.or(target.host);
                target.weight = weight;
            }
            if let Some(target) = ix {
                self.resolve_pins(&format!("targets[{at}].paths"), target, pins);
            }
        }
    }

    fn resolve_pins(&mut self, place: &str, target: ElementIx, pins: &[Pin]) {
        use ElementKind::{Agent, AgentUplink, Device, Interface, Lag, Link, Upstream};
        if PINS_MAX < pins.len() {
            let reason = format!("{} paths; a target has at most {PINS_MAX}", pins.len());
            return self.problem(place.to_owned(), reason);
        }
        for (nth, Pin { agent, via, weight }) in pins.iter().enumerate() {
            let place = format!("{place}[{nth}]");
            if via.is_empty() || VIA_MAX < via.len() {
                let reason =
                    format!("it goes over 1 to {VIA_MAX} elements; this over {}", via.len());
                self.problem(format!("{place}.via"), reason);
                continue;
            }
            if *weight == 0 {
                self.problem(format!("{place}.weight"), "nothing goes there: leave the path out");
            }
            let agent = self.find(&format!("{place}.agent"), agent, &[Agent]);
            let kinds = [Device, Interface, Link, Lag, Upstream, AgentUplink];
            let found = via.iter().enumerate();
            let found: Vec<Option<ElementIx>> = found
                .map(|(at, id)| self.find(&format!("{place}.via[{at}]"), id, &kinds))
                .collect();
            let elements: Option<Vec<ElementIx>> = found.into_iter().collect();
            if let (Some(agent), Some(elements)) = (agent, elements) {
                let weight = f64::from(*weight);
                self.pins.push(Told {
                    agent,
                    target,
                    elements,
                    weight,
                    source: PathSource::Pinned,
                    from: None,
                    until: None,
                });
            }
        }
    }

    fn resolve_dependencies(&mut self, draft: &Draft) {
        for (at, dependency) in draft.dependencies.iter().enumerate() {
            let place = format!("dependencies[{at}]");
            let of = self.find(&format!("{place}.of"), &dependency.of, &[]);
            let mut on = Vec::new();
            for (nth, id) in dependency.on.iter().enumerate() {
                on.extend(self.find(&format!("{place}.on[{nth}]"), id, &[]));
            }
            on.sort_unstable();
            on.dedup();
            if dependency.on.is_empty() {
                self.problem(format!("{place}.on"), "it needs nothing: name what, or leave it out");
            }
            if let Some(of) = of {
                // One of one is all.
                let need = if on.len() == 1 { Need::All } else { dependency.need };
                let requirement = Requirement { need, on, together: None };
                self.requirements.entry(of).or_default().push(requirement);
            }
        }
        if let Some(circle) = circle(&self.requirements) {
            let name = |ix: &ElementIx| self.elements.get(ix.index()).map_or("", |e| &e.id);
            let names: Vec<&str> = circle.iter().map(name).collect();
            let at = draft.dependencies.iter().position(|d| names.contains(&d.of.as_str()));
            let reason = format!("`all` in a circle: {}: take one out", names.join(" needs "));
            self.problem(format!("dependencies[{}]", at.unwrap_or(0)), reason);
        }
    }

    fn finish(mut self) -> Topology {
        let togethers = self.add_togethers();
        let Resolver { elements, by_id, requirements, mut pins, .. } = self;
        let sums = pins.iter().fold(BTreeMap::new(), |mut sums, pin| {
            *sums.entry((pin.agent, pin.target)).or_insert(0.0) += pin.weight;
            sums
        });
        for pin in &mut pins {
            pin.weight /= sums.get(&(pin.agent, pin.target)).copied().unwrap_or(1.0);
        }
        let mut arcs = vec![Vec::new(); elements.len()];
        let mut members = vec![Vec::new(); elements.len()];
        let mut behind = vec![Vec::new(); elements.len()];
        let mut is_asymmetric = false;
        for (element, ix) in elements.iter().zip(0..).map(|(e, ix)| (e, ElementIx(ix))) {
            let groups = element.groups.iter().copied().chain(element.site);
            let owner = element.host.filter(|_| element.kind != ElementKind::Target);
            let of_uplink = element.ends.filter(|_| element.kind == ElementKind::AgentUplink);
            let agents = of_uplink.into_iter().flatten().filter(|end| {
                elements.get(end.index()).is_some_and(|e| e.kind == ElementKind::Agent)
            });
            for group in groups.chain(owner).chain(agents) {
                if let Some(list) = members.get_mut(group.index()) {
                    list.push(ix);
                }
            }
            if element.kind == ElementKind::Target
                && let Some(list) = element.host.and_then(|host| behind.get_mut(host.index()))
            {
                list.push(ix);
            }
            is_asymmetric |= element.ends.is_some() && element.cost != element.cost_back;
            for (from, arc) in arcs_of(&elements, element, ix) {
                if let Some(list) = arcs.get_mut(from.index()) {
                    list.push(arc);
                }
            }
        }
        let mut needed_by: BTreeMap<ElementIx, Vec<ElementIx>> = BTreeMap::new();
        for (of, requirement) in
            requirements.iter().flat_map(|(of, r)| r.iter().map(move |r| (of, r)))
        {
            for on in &requirement.on {
                needed_by.entry(*on).or_default().push(*of);
            }
            if let Some(list) = requirement.together.and_then(|ix| members.get_mut(ix.index())) {
                list.clone_from(&requirement.on);
            }
        }
        let mut kinds: BTreeMap<ElementKind, Vec<ElementIx>> = BTreeMap::new();
        for (element, ix) in elements.iter().zip(0..) {
            kinds.entry(element.kind).or_default().push(ElementIx(ix));
        }
        let weight_total = elements.iter().map(|element| element.weight).sum();
        Topology {
            elements,
            by_id,
            kinds,
            weight_total,
            arcs,
            members,
            behind,
            requirements,
            needed_by,
            togethers,
            pins,
            is_asymmetric,
        }
    }

    /// Gives several that replace each other an element that stands for all of them at once, so
    /// that their common loss can be a cause. Who needs the same ones shares it.
    fn add_togethers(&mut self) -> Range<u32> {
        let count = |elements: &[Element]| u32::try_from(elements.len()).unwrap_or(u32::MAX);
        let first = count(&self.elements);
        let mut known: BTreeMap<Vec<ElementIx>, ElementIx> = BTreeMap::new();
        let mut requirements = std::mem::take(&mut self.requirements);
        let any = requirements.values_mut().flatten().filter(|r| r.need == Need::Any);
        for requirement in any {
            let ix = known.entry(requirement.on.clone()).or_insert_with(|| {
                let mut id = self.together_id(&requirement.on);
                while self.by_id.contains_key(id.as_str()) {
                    id.push_str(" (all)");
                }
                let ix = ElementIx(count(&self.elements));
                self.by_id.insert(id.as_str().into(), ix);
                self.elements.push(Element::new(&id, ElementKind::Srlg));
                ix
            });
            requirement.together = Some(*ix);
        }
        self.requirements = requirements;
        first..count(&self.elements)
    }

    /// As `feed-a and feed-b`.
    fn together_id(&self, members: &[ElementIx]) -> String {
        let named = members.iter().take(TOGETHER_NAMES_MAX);
        let id = |ix: &ElementIx| self.elements.get(ix.index()).map_or("", |e| &e.id);
        let mut names: Vec<String> = named.map(|ix| id(ix).to_owned()).collect();
        if names.len() < members.len() {
            names.push(format!("{} more", members.len() - names.len()));
        }
        let last = names.pop().unwrap_or_default();
        if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
    }
}

/// Adds a link to a topology whose draft has it and was checked; `None` if that is not so.
pub(super) fn add_link(topology: &mut Topology, draft: &ElementDraft) -> Option<ElementIx> {
    let [a, b] = draft.ends.as_ref()?;
    let ends = [topology.find(a)?, topology.find(b)?];
    let site = match &draft.site {
        Some(site) => Some(topology.find(site)?),
        None => None,
    };
    let groups: Option<Vec<ElementIx>> =
        draft.groups.iter().map(|group| topology.find(group)).collect();
    let cost = |cost: Option<i64>| cost.and_then(|cost| u32::try_from(cost).ok());
    let there = cost(draft.cost).unwrap_or(1);
    let element = Element {
        id: draft.id.as_str().into(),
        kind: ElementKind::Link,
        role: draft.role,
        site,
        position: draft.position,
        groups: groups?,
        ends: Some(ends),
        cost: there,
        cost_back: cost(draft.cost_back).unwrap_or(there),
        host: None,
        weight: 0,
        name: None,
        customers: draft.customers.unwrap_or(0),
        services: draft.services.unwrap_or(0),
    };
    let ix = ElementIx(u32::try_from(topology.elements.len()).ok()?);
    if topology.by_id.contains_key(&element.id) {
        return None;
    }
    topology.by_id.insert(element.id.clone(), ix);
    for group in element.groups.iter().copied().chain(element.site) {
        topology.members.get_mut(group.index())?.push(ix);
    }
    for (from, arc) in arcs_of(&topology.elements, &element, ix) {
        topology.arcs.get_mut(from.index())?.push(arc);
    }
    topology.kinds.entry(element.kind).or_default().push(ix);
    topology.elements.push(element);
    topology.members.push(Vec::new());
    topology.behind.push(Vec::new());
    topology.arcs.push(Vec::new());
    Some(ix)
}

/// An interface is its device; everything else stands for itself.
fn node_of(elements: &[Element], end: ElementIx) -> ElementIx {
    match elements.get(end.index()) {
        Some(Element { kind: ElementKind::Interface, host: Some(device), .. }) => *device,
        _ => end,
    }
}

/// Both ways over a link. An upstream that names only the device it is attached to is a link too.
fn arcs_of(elements: &[Element], element: &Element, ix: ElementIx) -> Vec<(ElementIx, Arc)> {
    let arc = |to, ports, cost, cost_back, is_forward| Arc {
        link: ix,
        to,
        ports,
        cost,
        cost_back,
        is_forward,
    };
    if let (ElementKind::Upstream, Some(device)) = (element.kind, element.host) {
        let out = arc(ix, [None, None], 1, 1, true);
        let back = arc(device, [None, None], 1, 1, false);
        return vec![(device, out), (ix, back)];
    }
    let Some(ends) = element.ends else { return Vec::new() };
    let [a, b] = ends.map(|end| node_of(elements, end));
    let [port_a, port_b] = ends.map(|end| Some(end).filter(|end| node_of(elements, *end) != *end));
    vec![
        (a, arc(b, [port_a, port_b], element.cost, element.cost_back, true)),
        (b, arc(a, [port_b, port_a], element.cost_back, element.cost, false)),
    ]
}

/// Why an element of a kind cannot have what is written as its role.
pub(super) fn no_role(kind: ElementKind, word: &str) -> String {
    let roles: Vec<&str> = ElementRole::of(kind).map(ElementRole::as_str).collect();
    let a = if kind.as_str().starts_with(['a', 'i', 'u']) { "an" } else { "a" };
    let what = format!("`{word}` is no role of {a} {kind}");
    match nearest(word, roles.iter().copied()) {
        _ if roles.is_empty() => format!("{what}, which has none: leave it out"),
        Some(role) => format!("{what}: did you mean `{role}`?"),
        None => format!("{what}: it is {}", roles.join(", ")),
    }
}

/// A circle of `all`, walked once round; `None` if there is none.
fn circle(requirements: &BTreeMap<ElementIx, Vec<Requirement>>) -> Option<Vec<ElementIx>> {
    let needs = |ix: &ElementIx| -> Vec<ElementIx> {
        let all = requirements.get(ix).into_iter().flatten().filter(|r| r.need == Need::All);
        all.flat_map(|requirement| requirement.on.iter().copied()).collect()
    };
    let mut done: BTreeMap<ElementIx, bool> = BTreeMap::new(); // false: on the way
    for start in requirements.keys() {
        let mut way: Vec<(ElementIx, Vec<ElementIx>)> = Vec::new();
        if done.insert(*start, false).is_some() {
            done.insert(*start, true);
            continue;
        }
        way.push((*start, needs(start)));
        while let Some((at, rest)) = way.last_mut() {
            let at = *at;
            match rest.pop() {
                None => {
                    done.insert(at, true);
                    way.pop();
                }
                Some(next) => match done.get(&next) {
                    Some(true) => {}
                    Some(false) => {
                        let from = way.iter().position(|(ix, _)| *ix == next).unwrap_or(0);
                        let names = way.iter().skip(from).map(|(ix, _)| *ix);
                        return Some(names.chain([next]).collect());
                    }
                    None => {
                        done.insert(next, false);
                        way.push((next, needs(&next)));
                    }
                },
            }
        }
    }
    None
}
