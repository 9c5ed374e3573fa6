//! A topology as somebody wrote it: names not yet resolved, nothing checked.

use model::{ElementKind, ElementRole};

/// Elements of one topology, groups and targets included: ten times the largest we aim at.
pub const ELEMENTS_MAX: usize = 1_000_000;
/// The longest id: as long as a DNS name, so that interfaces of long-named devices fit.
pub const ID_BYTES_MAX: usize = 255;
/// The dearest link: a path over every element stays far below the overflow of its sum.
pub const COST_MAX: u32 = 1 << 24;
/// Pinned paths of one target: every agent of the largest network with its alternatives.
pub const PINS_MAX: usize = 4_096;
/// Elements of a pinned path: far more than any packet crosses (RFC 791 allows 255 routers), ports
/// and links included.
pub const VIA_MAX: usize = 1_024;
/// The most subscribers or services behind one element: more than there are people, and a sum over
/// every element stays far below its overflow.
pub const COUNT_MAX: u64 = 10_000_000_000;

/// Everything a topology is made of, in the order it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    pub elements: Vec<ElementDraft>,
    pub targets: Vec<TargetDraft>,
    pub dependencies: Vec<Dependency>,
}

/// One element. What does not apply to its kind is `None` or empty.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementDraft {
    pub id: String,
    pub kind: ElementKind,
    pub role: Option<ElementRole>,
    pub site: Option<String>,
    pub position: Option<Position>,
    /// Shared risks it takes part in, and the LAG it is a member of.
    pub groups: Vec<String>,
    /// What a link connects: devices, or their interfaces.
    pub ends: Option<[String; 2]>,
    /// From the first end to the second; 1 unless said.
    pub cost: Option<i64>,
    /// From the second end to the first; as `cost` unless said.
    pub cost_back: Option<i64>,
    /// The device that an interface belongs to, or that an agent or upstream is attached to.
    pub device: Option<String>,
    /// What an agent is called in the inventory, if not by its id.
    pub name: Option<String>,
    /// Subscribers whose sessions or lines end here; a count, never persons.
    pub customers: Option<u64>,
    /// Services that are given from here.
    pub services: Option<u64>,
}

impl ElementDraft {
    /// An element of which only id and kind are known.
    pub fn new(id: impl Into<String>, kind: ElementKind) -> ElementDraft {
        ElementDraft {
            id: id.into(),
            kind,
            role: None,
            site: None,
            position: None,
            groups: Vec::new(),
            ends: None,
            cost: None,
            cost_back: None,
            device: None,
            name: None,
            customers: None,
            services: None,
        }
    }

    /// A link of cost 1 between two devices.
    pub fn link(id: impl Into<String>, a: &str, b: &str) -> ElementDraft {
        let ends = Some([a.to_owned(), b.to_owned()]);
        ElementDraft { ends, ..ElementDraft::new(id, ElementKind::Link) }
    }
}

/// Where a site or device stands, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub latitude: f64,
    pub longitude: f64,
}

impl Position {
    pub fn is_on_earth(self) -> bool {
        (-90.0..=90.0).contains(&self.latitude) && (-180.0..=180.0).contains(&self.longitude)
    }
}

/// Something that is asked, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetDraft {
    pub id: String,
    /// What it stands behind; `None` if nobody knows.
    pub device: Option<String>,
    /// Subscribers or services behind it; a count, never persons.
    pub weight: u64,
    /// Paths to it that count before what follows from links and costs.
    pub pins: Vec<Pin>,
}

impl TargetDraft {
    /// A target with nothing behind it but itself.
    pub fn new(id: impl Into<String>, device: Option<String>) -> TargetDraft {
        TargetDraft { id: id.into(), device, weight: 1, pins: Vec::new() }
    }
}

/// A path that the operator pins: what the packets of an agent cross to a target. Several of one
/// agent are alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub agent: String,
    /// In the order walked from the agent.
    pub via: Vec<String>,
    /// How many of the flows take it, against the other pins of the pair.
    pub weight: u32,
}

/// Whether one of several is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Redundant: lost only if all are.
    Any,
    /// Lost if any of them is.
    All,
}

/// What the operator knows beyond links: `of` needs `on`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub of: String,
    pub need: Need,
    pub on: Vec<String>,
}

/// One thing that is wrong with a topology, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Problem {
    /// As `elements[17].ends`.
    pub place: String,
    pub reason: String,
}

impl Problem {
    pub fn new(place: impl Into<String>, reason: impl Into<String>) -> Problem {
        Problem { place: place.into(), reason: reason.into() }
    }
}
