//! A topology in force with its paths, and how it follows a change.
//!
//! 1 - Links that come, go or change their cost move only the paths that they move: everything
//!     else keeps its place and its index.
//! 2 - Whatever else changes, the topology is built anew; so it is when a link changes that a
//!     target or a dependency names, because that goes by its index.
//! 3 - What is the same is compared and never copied: a change costs what it changes.

use std::{borrow::Cow, cmp::Ordering};

use model::{ElementKind, UtcMicros};

use crate::graph::{
    COST_MAX, Dependency, Draft, ElementDraft, ElementIx, ID_BYTES_MAX, PathBook, PathSet, Problem,
    TargetDraft, Topology, document::own_id,
};

/// Changes that are followed before everything is built anew: the place of a link that is gone is
/// kept until then.
const FOLLOWED_MAX: u32 = 1_000;

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It says the same as before.
    Nothing,
    /// Links were followed: how many, and how many sets of paths they moved.
    Followed { links: usize, paths: usize },
    /// Indices of elements are others than before.
    Rebuilt,
}

/// The topology in force.
#[derive(Clone, Debug)]
pub struct Net {
    /// By id.
    draft: Draft,
    topology: Topology,
    book: PathBook,
    followed: u32,
}

/// A link as it was and as it is; `None` where it is not there.
type Pair = (Option<ElementDraft>, Option<ElementDraft>);

/// A description by id, borrowed from whoever has it.
#[derive(Debug)]
pub(super) struct Described<'a> {
    elements: Vec<&'a ElementDraft>,
    /// With ids of their own.
    targets: Vec<Cow<'a, TargetDraft>>,
    dependencies: &'a [Dependency],
}

impl<'a> Described<'a> {
    pub(super) fn of(draft: &'a Draft) -> Described<'a> {
        Described::with(draft, &[], &[])
    }

    /// A draft, and what it leaves out.
    pub(super) fn with(
        draft: &'a Draft,
        elements: &'a [ElementDraft],
        targets: &'a [TargetDraft],
    ) -> Described<'a> {
        let mut elements: Vec<&ElementDraft> = draft.elements.iter().chain(elements).collect();
        elements.sort_by(|a, b| a.id.cmp(&b.id));
        let is_taken =
            |id: &str| elements.binary_search_by(|element| element.id.as_str().cmp(id)).is_ok();
        let own = |target: &'a TargetDraft| {
            if !is_taken(&target.id) {
                return Cow::Borrowed(target);
            }
            Cow::Owned(TargetDraft { id: own_id(&target.id, is_taken), ..target.clone() })
        };
        let mut targets: Vec<_> = draft.targets.iter().chain(targets).map(own).collect();
        targets.sort_by(|a, b| a.id.cmp(&b.id));
        Described { elements, targets, dependencies: &draft.dependencies }
    }

    fn to_draft(&self) -> Draft {
        Draft {
            elements: self.elements.iter().map(|element| (*element).clone()).collect(),
            targets: self.targets.iter().map(|target| (**target).clone()).collect(),
            dependencies: self.dependencies.to_vec(),
        }
    }
}

impl Net {
    /// Builds a topology; targets that are called as an element get an id of their own.
    ///
    /// # Errors
    ///
    /// As [`Topology::build`].
    pub fn new(draft: &Draft) -> Result<Net, Vec<Problem>> {
        Net::of(&Described::of(draft))
    }

    pub(super) fn of(described: &Described<'_>) -> Result<Net, Vec<Problem>> {
        let draft = described.to_draft();
        let topology = Topology::build(&draft)?;
        let book = PathBook::new(&topology, topology.pins());
        Ok(Net { draft, topology, book, followed: 0 })
    }

    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(super) fn parts(&mut self) -> (&Topology, &mut PathBook) {
        (&self.topology, &mut self.book)
    }

    /// The paths from an agent to a target at a moment.
    pub fn paths(&mut self, agent: ElementIx, target: ElementIx, at: UtcMicros) -> Option<PathSet> {
        let set = self.book.set_at(&self.topology, agent, target, at);
        self.book.get(set).cloned()
    }

    /// Becomes what another draft describes. Where it was built anew, the topology before it comes
    /// back too.
    ///
    /// # Errors
    ///
    /// As [`Topology::build`]; then it stays what it was.
    pub fn change(&mut self, draft: &Draft) -> Result<(Moved, Option<Topology>), Vec<Problem>> {
        self.be(&Described::of(draft))
    }

    pub(super) fn be(
        &mut self,
        next: &Described<'_>,
    ) -> Result<(Moved, Option<Topology>), Vec<Problem>> {
        let links = self.links_to(next);
        if links.as_ref().is_some_and(Vec::is_empty) {
            return Ok((Moved::Nothing, None));
        }
        let links = links.filter(|links| {
            // A draft that cannot be built must leave everything as it is.
            let can_be = |(before, after): &Pair| {
                // An id that is there twice is told by whoever builds it.
                let is_free = |link: &ElementDraft| {
                    before.is_some() || self.topology.find(&link.id).is_none()
                };
                after.as_ref().is_none_or(|link| is_free(link) && self.can_add(link))
            };
            self.followed < FOLLOWED_MAX && links.iter().all(can_be)
        });
        if let Some(links) = links
            && let Some(moved) = self.follow(&links)
        {
            self.followed += 1;
            links.into_iter().for_each(|link| self.note(link));
            return Ok((moved, None));
        }
        let before = std::mem::replace(self, Net::of(next)?);
        Ok((Moved::Rebuilt, Some(before.topology)))
    }

    /// The links that tell another draft from this; `None` if it is more than that.
    fn links_to(&self, next: &Described<'_>) -> Option<Vec<Pair>> {
        let Draft { elements, targets, dependencies } = &self.draft;
        let are_same_targets = next.targets.len() == targets.len()
            && next.targets.iter().zip(targets).all(|(next, target)| **next == *target);
        if !are_same_targets || next.dependencies != dependencies {
            return None;
        }
        let links = links_between(elements, &next.elements)?;
        let mut changed = links.iter().flat_map(|(before, after)| before.iter().chain(after));
        if changed.any(is_asymmetric)
            && next.elements.iter().any(|element| is_asymmetric(element))
                != self.topology.is_asymmetric()
        {
            return None; // Every path then has another way back.
        }
        let moves = |(before, after): &Pair| match (before, after) {
            (Some(before), Some(after)) => !is_cost_alone(before, after),
            (Some(_), None) => true,
            (None, _) => false,
        };
        let moved = links.iter().filter(|link| moves(link)).filter_map(|(before, _)| {
            before.as_ref().and_then(|link| self.topology.find(&link.id))
        });
        (!self.is_named(&moved.collect::<Vec<_>>())).then_some(links)
    }

    /// Whether a target, a pinned path or a dependency goes by one of these links.
    fn is_named(&self, links: &[ElementIx]) -> bool {
        let is_one = |ix: &ElementIx| links.contains(ix);
        let draft = &self.draft;
        let ids = draft.targets.iter().filter_map(|target| target.device.as_deref());
        let of = draft.dependencies.iter().flat_map(|d| d.on.iter().chain([&d.of]));
        let via = draft.targets.iter().flat_map(|target| &target.pins).flat_map(|pin| &pin.via);
        !links.is_empty()
            && ids
                .chain(of.chain(via).map(String::as_str))
                .any(|id| self.topology.find(id).as_ref().is_some_and(is_one))
    }

    /// Writes down what a link became.
    fn note(&mut self, (before, after): Pair) {
        let elements = &mut self.draft.elements;
        let Some(id) = before.as_ref().or(after.as_ref()).map(|link| link.id.clone()) else {
            return;
        };
        match (elements.binary_search_by(|element| element.id.cmp(&id)), after) {
            (Ok(at), Some(after)) => {
                elements.get_mut(at).into_iter().for_each(|link| *link = after.clone());
            }
            (Ok(at), None) => drop(elements.remove(at)),
            (Err(at), Some(after)) => elements.insert(at, after),
            (Err(_), None) => {}
        }
    }

    /// Whether everything that a link names is there, and its ends are two.
    fn can_add(&self, link: &ElementDraft) -> bool {
        let ends = link.ends.as_ref().map(|ends| ends.each_ref().map(|end| self.node(end)));
        let named = link.groups.iter().chain(&link.site);
        let is_known = named.into_iter().all(|id| self.topology.find(id).is_some());
        let is_fine =
            |cost: Option<i64>| cost.is_none_or(|c| (0..=i64::from(COST_MAX)).contains(&c));
        let are_two = matches!(ends, Some([Some(a), Some(b)]) if a != b);
        let is_named = (1..=ID_BYTES_MAX).contains(&link.id.len());
        is_named && are_two && is_known && is_fine(link.cost) && is_fine(link.cost_back)
    }

    fn node(&self, end: &str) -> Option<ElementIx> {
        let found = self.topology.find(end)?;
        let kinds = [
            ElementKind::Device,
            ElementKind::Interface,
            ElementKind::Upstream,
            ElementKind::Agent,
        ];
        let is_end = kinds.contains(&self.topology.kind(found));
        is_end.then(|| self.topology.node_of(found))
    }

    /// `None` leaves it half way: whoever called builds it anew.
    fn follow(&mut self, links: &[Pair]) -> Option<Moved> {
        let mut paths = 0;
        for (before, after) in links {
            let known = before.as_ref().and_then(|link| self.topology.find(&link.id));
            let link = match (before, after) {
                (Some(before), Some(after)) if is_cost_alone(before, after) => {
                    let (cost, cost_back) = costs(after);
                    self.topology.set_cost(known?, cost, cost_back)?;
                    known?
                }
                _ => {
                    if let Some(link) = known {
                        self.topology.set_cost(link, u32::MAX, u32::MAX)?;
                        paths += self.book.follow(&self.topology, link);
                        self.topology.forget_link(link);
                    }
                    let Some(after) = after else { continue };
                    self.topology.add_link(after)?
                }
            };
            paths += self.book.follow(&self.topology, link);
        }
        Some(Moved::Followed { links: links.len(), paths })
    }
}

fn costs(link: &ElementDraft) -> (u32, u32) {
    let cost = |cost: Option<i64>| cost.and_then(|cost| u32::try_from(cost).ok());
    let there = cost(link.cost).unwrap_or(1);
    (there, cost(link.cost_back).unwrap_or(there))
}

fn is_asymmetric(link: &ElementDraft) -> bool {
    let (there, back) = costs(link);
    link.ends.is_some() && there != back
}

fn is_cost_alone(before: &ElementDraft, after: &ElementDraft) -> bool {
    let cost = |link: &ElementDraft| (link.cost, link.cost_back);
    let (cost, cost_back) = cost(after);
    ElementDraft { cost, cost_back, ..before.clone() } == *after
}

/// What tells two lists apart, both by id; `None` if it is more than links.
fn links_between(before: &[ElementDraft], after: &[&ElementDraft]) -> Option<Vec<Pair>> {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().copied().peekable());
    let mut links: Vec<Pair> = Vec::new();
    let is_other = |element: &&ElementDraft| element.kind != ElementKind::Link;
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Some(links),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.id.cmp(&new.id),
        };
        let was = if order.is_le() { old.next() } else { None };
        let is = if order.is_ge() { new.next() } else { None };
        if was == is {
            continue;
        }
        if was.iter().chain(&is).any(is_other) {
            return None;
        }
        links.push((was.cloned(), is.cloned()));
    }
}
