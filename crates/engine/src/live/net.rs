//! A topology in force with its paths, and how it follows a change.
//!
//! 1 - Links that come, go or change their cost move only the paths that they move: everything
//!     else keeps its place and its index.
//! 2 - Whatever else changes, the topology is built anew.

use std::cmp::Ordering;

use model::{ElementKind, UtcMicros};

use crate::graph::{
    COST_MAX, Draft, ElementDraft, ElementIx, ID_BYTES_MAX, PathBook, PathSet, Problem,
    TargetDraft, Topology,
};

/// Changes that are followed before everything is built anew: paths that nobody takes any more
/// are kept until then.
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

impl Net {
    /// Builds a topology; targets that are called as an element get an id of their own.
    ///
    /// # Errors
    ///
    /// As [`Topology::build`].
    pub fn new(draft: &Draft) -> Result<Net, Vec<Problem>> {
        let draft = sorted(draft);
        let topology = Topology::build(&draft)?;
        Ok(Net { draft, topology, book: PathBook::default(), followed: 0 })
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
        let draft = sorted(draft);
        if draft == self.draft {
            return Ok((Moved::Nothing, None));
        }
        let links = if self.followed < FOLLOWED_MAX { self.links_to(&draft) } else { None };
        if let Some(moved) = links.and_then(|links| self.follow(&links)) {
            self.followed += 1;
            self.draft = draft;
            return Ok((moved, None));
        }
        let before = std::mem::replace(self, Net::new(&draft)?);
        Ok((Moved::Rebuilt, Some(before.topology)))
    }

    /// The links that tell another draft from this; `None` if it is more than that.
    fn links_to(&self, next: &Draft) -> Option<Vec<Pair>> {
        if next.targets != self.draft.targets || next.dependencies != self.draft.dependencies {
            return None;
        }
        if is_asymmetric(next) != self.topology.is_asymmetric() {
            return None; // Every path then has another way back.
        }
        let is_twice = |pair: &[ElementDraft]| matches!(pair, [a, b] if a.id == b.id);
        if next.elements.windows(2).any(is_twice) {
            return None;
        }
        let links = links_between(&self.draft.elements, &next.elements)?;
        // A draft that cannot be built must leave everything as it is.
        let ends = links.iter().filter_map(|(_, link)| link.as_ref());
        let mut checked = ends.map(|link| self.can_add(link));
        checked.all(|is_good| is_good).then_some(links)
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

fn sorted(draft: &Draft) -> Draft {
    let mut draft = draft.with_own_targets();
    draft.elements.sort_by(|a, b| a.id.cmp(&b.id));
    draft.targets.sort_by(|a: &TargetDraft, b| a.id.cmp(&b.id));
    draft
}

fn costs(link: &ElementDraft) -> (u32, u32) {
    let cost = |cost: Option<i64>| cost.and_then(|cost| u32::try_from(cost).ok());
    let there = cost(link.cost).unwrap_or(1);
    (there, cost(link.cost_back).unwrap_or(there))
}

fn is_asymmetric(draft: &Draft) -> bool {
    let mut ends = draft.elements.iter().filter(|element| element.ends.is_some());
    ends.any(|link| {
        let (there, back) = costs(link);
        there != back
    })
}

fn is_cost_alone(before: &ElementDraft, after: &ElementDraft) -> bool {
    let cost = |link: &ElementDraft| (link.cost, link.cost_back);
    let (cost, cost_back) = cost(after);
    ElementDraft { cost, cost_back, ..before.clone() } == *after
}

/// What tells two lists apart, both by id; `None` if it is more than links.
fn links_between(before: &[ElementDraft], after: &[ElementDraft]) -> Option<Vec<Pair>> {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let mut links = Vec::new();
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
