//! A topology with its names resolved: elements by index, arcs by node.
//!
//! Built once from a [`Draft`] and trusted afterwards. It holds no state of the network: nothing in
//! it is up or down.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use model::{ElementKind, ElementRole};

use super::{
    draft::{Draft, ElementDraft, Need, Pin, Position, Problem},
    paths::Told,
    resolve,
};

/// An element of one topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementIx(pub u32);

impl ElementIx {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One element, with what it hangs on.
#[derive(Clone, Debug)]
pub struct Element {
    pub id: Box<str>,
    pub kind: ElementKind,
    pub role: Option<ElementRole>,
    pub site: Option<ElementIx>,
    pub position: Option<Position>,
    pub groups: Vec<ElementIx>,
    pub ends: Option<[ElementIx; 2]>,
    pub cost: u32,
    pub cost_back: u32,
    /// The device of an interface, agent, upstream or target.
    pub host: Option<ElementIx>,
    /// Subscribers or services behind a target.
    pub weight: u64,
    /// Of an agent: what it is called in the inventory, if not by its id.
    pub name: Option<Box<str>>,
    pub customers: u64,
    pub services: u64,
}

impl Element {
    /// An element of which only id and kind are known.
    pub(super) fn new(id: &str, kind: ElementKind) -> Element {
        Element {
            id: id.into(),
            kind,
            role: None,
            site: None,
            position: None,
            groups: Vec::new(),
            ends: None,
            cost: 1,
            cost_back: 1,
            host: None,
            weight: 0,
            name: None,
            customers: 0,
            services: 0,
        }
    }
}

/// One way over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arc {
    pub link: ElementIx,
    pub to: ElementIx,
    /// Interfaces at the near and at the far end, where the link names them.
    pub ports: [Option<ElementIx>; 2],
    /// From here to there.
    pub cost: u32,
    /// From there to here.
    pub cost_back: u32,
    /// Whether it is walked from the link's first end to its second.
    pub is_forward: bool,
}

/// What an element needs beside the links to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub need: Need,
    /// Sorted, each once.
    pub on: Vec<ElementIx>,
    /// Of several of which any is enough: the element that stands for all of them at once.
    pub together: Option<ElementIx>,
}

/// The network as the operator describes it.
#[derive(Clone, Debug)]
pub struct Topology {
    pub(super) elements: Vec<Element>,
    pub(super) by_id: BTreeMap<Box<str>, ElementIx>,
    /// By kind, each by index: nearly all elements are targets, and nobody should walk over those
    /// to find an agent.
    pub(super) kinds: BTreeMap<ElementKind, Vec<ElementIx>>,
    /// The weight of all targets.
    pub(super) weight_total: u64,
    pub(super) arcs: Vec<Vec<Arc>>,
    /// Of a site, group or LAG: what is in it. Of a device: its interfaces, agents and upstreams.
    pub(super) members: Vec<Vec<ElementIx>>,
    /// Targets behind a device.
    pub(super) behind: Vec<Vec<ElementIx>>,
    pub(super) requirements: BTreeMap<ElementIx, Vec<Requirement>>,
    /// Who needs an element, alone or beside others.
    pub(super) needed_by: BTreeMap<ElementIx, Vec<ElementIx>>,
    /// Elements that stand for several that replace each other, and nobody wrote.
    pub(super) togethers: Range<u32>,
    /// By the operator's word; the weights of a pair are shares.
    pub(super) pins: Vec<Told>,
    pub(super) is_asymmetric: bool,
}

impl Topology {
    /// Resolves every name of a draft.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with its place: ids that are empty, too long, twice
    /// there or nowhere, links to themselves, costs that are no costs, `all` in a circle.
    pub fn build(draft: &Draft) -> Result<Topology, Vec<Problem>> {
        resolve::build(draft)
    }

    /// All elements; the position in it is the [`ElementIx`].
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    pub fn find(&self, id: &str) -> Option<ElementIx> {
        self.by_id.get(id).copied()
    }

    /// An element; `None` for an index of another topology.
    pub fn get(&self, ix: ElementIx) -> Option<&Element> {
        self.elements.get(ix.index())
    }

    pub fn id(&self, ix: ElementIx) -> &str {
        self.get(ix).map_or("", |element| &element.id)
    }

    pub fn kind(&self, ix: ElementIx) -> ElementKind {
        self.get(ix).map_or(ElementKind::Device, |element| element.kind)
    }

    pub fn host(&self, ix: ElementIx) -> Option<ElementIx> {
        self.get(ix)?.host
    }

    /// Ways out of a node.
    pub fn arcs(&self, node: ElementIx) -> &[Arc] {
        self.arcs.get(node.index()).map_or(&[], Vec::as_slice)
    }

    /// What is in a site, group or LAG, and what belongs to a device.
    pub fn members(&self, ix: ElementIx) -> &[ElementIx] {
        self.members.get(ix.index()).map_or(&[], Vec::as_slice)
    }

    /// Targets behind a device.
    pub fn behind(&self, ix: ElementIx) -> &[ElementIx] {
        self.behind.get(ix.index()).map_or(&[], Vec::as_slice)
    }

    pub fn requirements(&self, ix: ElementIx) -> &[Requirement] {
        self.requirements.get(&ix).map_or(&[], Vec::as_slice)
    }

    /// Paths that the operator pinned.
    pub fn pins(&self) -> &[Told] {
        &self.pins
    }

    /// Whether an element stands for several that replace each other: it is lost when all of them
    /// are. Nobody wrote it; its members are what they are.
    pub fn is_together(&self, ix: ElementIx) -> bool {
        self.togethers.contains(&ix.0)
    }

    /// Whether anything needs more than the links to it.
    pub fn has_needs(&self) -> bool {
        !self.requirements.is_empty()
    }

    /// Whether something needs it by the operator's word.
    pub fn is_needed(&self, ix: ElementIx) -> bool {
        self.needed_by.contains_key(&ix)
    }

    /// What is lost with `gone`, itself among it, sorted: whatever needs one of several things that
    /// are all gone, or all of several of which one is, with what shares its fate, and so on.
    pub fn downfall(&self, gone: &[ElementIx]) -> Vec<ElementIx> {
        let mut lost: BTreeSet<ElementIx> = gone.iter().copied().collect();
        let mut rest: Vec<ElementIx> = gone.to_vec();
        while let Some(at) = rest.pop() {
            for of in self.needed_by.get(&at).into_iter().flatten() {
                let is_lost = |requirement: &Requirement| match requirement.need {
                    Need::Any => requirement.on.iter().all(|on| lost.contains(on)),
                    Need::All => requirement.on.iter().any(|on| lost.contains(on)),
                };
                if !lost.contains(of) && self.requirements(*of).iter().any(is_lost) {
                    let fate = self.fate(*of);
                    rest.extend(fate.iter().filter(|element| lost.insert(**element)));
                }
            }
        }
        lost.into_iter().collect()
    }

    /// What is the last of several that replace each other, the others being among `gone` (sorted).
    pub fn last_of(&self, gone: &[ElementIx]) -> BTreeSet<ElementIx> {
        let is_gone = |ix: &ElementIx| gone.binary_search(ix).is_ok();
        let needing = gone.iter().filter_map(|ix| self.needed_by.get(ix)).flatten();
        let any = needing.filter(|of| !is_gone(of)).flat_map(|of| self.requirements(*of));
        let last = any.filter(|requirement| requirement.need == Need::Any).filter_map(|any| {
            let mut left = any.on.iter().filter(|on| !is_gone(on));
            left.next().filter(|_| left.next().is_none())
        });
        last.copied().collect()
    }

    /// Whether some link costs more one way than the other, so that answers may take another path.
    pub fn is_asymmetric(&self) -> bool {
        self.is_asymmetric
    }

    /// Every device, by index.
    pub fn devices(&self) -> &[ElementIx] {
        self.kinds.get(&ElementKind::Device).map_or(&[], Vec::as_slice)
    }

    /// The weight behind all targets.
    pub fn weight_total(&self) -> u64 {
        self.weight_total
    }

    pub fn of_kind(&self, kind: ElementKind) -> impl Iterator<Item = ElementIx> + '_ {
        self.kinds.get(&kind).into_iter().flatten().copied()
    }

    /// Devices that no link reaches, by name: a mistake in most topologies, and harmless.
    pub fn orphans(&self) -> Vec<&str> {
        let devices = self.of_kind(ElementKind::Device);
        devices.filter(|ix| self.arcs(*ix).is_empty()).map(|ix| self.id(ix)).collect()
    }

    /// What stands with this element in the same fate: members of a group and, of a site, the
    /// devices that stand there. The element itself is among them.
    pub fn fate(&self, ix: ElementIx) -> Vec<ElementIx> {
        let mut all = vec![ix];
        let is_group = matches!(
            self.kind(ix),
            ElementKind::Site | ElementKind::Srlg | ElementKind::Lag | ElementKind::Upstream
        );
        if is_group {
            all.extend_from_slice(self.members(ix));
        }
        if self.is_together(ix) {
            all.extend(self.members(ix).iter().flat_map(|member| self.fate(*member)));
        }
        if matches!(self.kind(ix), ElementKind::Site | ElementKind::Srlg) {
            // A site in a power group takes its devices along.
            let sites = self.members(ix).iter().filter(|m| self.kind(**m) == ElementKind::Site);
            all.extend(sites.flat_map(|site| self.members(*site)));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Adds a link between what is there; `None` if something that it names is not.
    pub fn add_link(&mut self, link: &ElementDraft) -> Option<ElementIx> {
        resolve::add_link(self, link)
    }

    /// Takes a link out. Its index stays empty: the others keep theirs.
    pub fn forget_link(&mut self, link: ElementIx) {
        let Some(element) = self.elements.get_mut(link.index()) else { return };
        let ends = element.ends.take();
        let groups = std::mem::take(&mut element.groups);
        let site = element.site.take();
        let id = std::mem::take(&mut element.id);
        self.by_id.remove(&id);
        for group in groups.into_iter().chain(site) {
            if let Some(members) = self.members.get_mut(group.index()) {
                members.retain(|member| *member != link);
            }
        }
        let nodes = ends.map(|ends| ends.map(|end| self.node_of(end)));
        for node in nodes.into_iter().flatten() {
            if let Some(arcs) = self.arcs.get_mut(node.index()) {
                arcs.retain(|arc| arc.link != link);
            }
        }
    }

    /// Changes what a link costs, [`u32::MAX`] for not at all; `None` if it is no link.
    pub fn set_cost(&mut self, link: ElementIx, cost: u32, cost_back: u32) -> Option<()> {
        let ends = self.get(link)?.ends?;
        if let Some(element) = self.elements.get_mut(link.index()) {
            element.cost = cost;
            element.cost_back = cost_back;
        }
        for node in ends.map(|end| self.node_of(end)) {
            let arcs = self.arcs.get_mut(node.index())?;
            for arc in arcs.iter_mut().filter(|arc| arc.link == link) {
                let costs = [cost, cost_back];
                [arc.cost, arc.cost_back] = if arc.is_forward { costs } else { [cost_back, cost] };
            }
        }
        self.is_asymmetric |= cost != cost_back;
        Some(())
    }

    /// The node that a link's end stands for: an interface is its device.
    pub fn node_of(&self, end: ElementIx) -> ElementIx {
        match self.get(end) {
            Some(Element { kind: ElementKind::Interface, host: Some(device), .. }) => *device,
            _ => end,
        }
    }

    /// The draft that this was built from, as far as elements and targets go.
    pub fn to_draft(&self) -> Draft {
        let name = |ix: ElementIx| self.id(ix).to_owned();
        let mut draft = Draft::default();
        let mut pins: BTreeMap<ElementIx, Vec<Pin>> = BTreeMap::new();
        for Told { agent, target, elements, weight, .. } in &self.pins {
            let via = elements.iter().map(|ix| name(*ix)).collect();
            // Shares in parts of a thousand, so that they are numbers again.
            let weight = (weight * 1_000.0).round().max(1.0) as u32;
            pins.entry(*target).or_default().push(Pin { agent: name(*agent), via, weight });
        }
        for (element, ix) in self.elements.iter().zip(0..) {
            if self.togethers.contains(&ix) {
                continue; // It follows from who needs it.
            }
            if element.kind == ElementKind::Target {
                draft.targets.push(super::draft::TargetDraft {
                    id: element.id.to_string(),
                    device: element.host.map(name),
                    weight: element.weight,
                    pins: pins.remove(&ElementIx(ix)).unwrap_or_default(),
                });
                continue;
            }
            let is_link = element.ends.is_some();
            draft.elements.push(ElementDraft {
                id: element.id.to_string(),
                kind: element.kind,
                role: element.role,
                site: element.site.map(name),
                position: element.position,
                groups: element.groups.iter().map(|group| name(*group)).collect(),
                ends: element.ends.map(|ends| ends.map(name)),
                cost: is_link.then_some(i64::from(element.cost)),
                cost_back: is_link.then_some(i64::from(element.cost_back)),
                device: element.host.map(name),
                name: element.name.as_deref().map(str::to_owned),
                customers: Some(element.customers).filter(|count| 0 < *count),
                services: Some(element.services).filter(|count| 0 < *count),
            });
        }
        for (of, requirements) in &self.requirements {
            draft.dependencies.extend(requirements.iter().map(|requirement| {
                super::draft::Dependency {
                    of: name(*of),
                    need: requirement.need,
                    on: requirement.on.iter().map(|on| name(*on)).collect(),
                }
            }));
        }
        draft
    }
}
