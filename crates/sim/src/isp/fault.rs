//! What can be broken in the demo's network, and how much.

use std::time::Duration;

use engine::graph::{ElementIx, Topology};
use model::{ElementKind, FaultMode};
use serde::{Deserialize, Serialize};

/// Of a flap: so long it is down, and so long up again.
pub(super) const FLAP_DOWN: Duration = Duration::from_secs(12);
pub(super) const FLAP_UP: Duration = Duration::from_secs(18);
/// What a lossy line loses unless said otherwise, in percent of packets.
const LOSS_PERCENT_DEFAULT: u32 = 15;
/// What a slow line adds to each round trip unless said otherwise, in milliseconds.
const DELAY_MS_DEFAULT: u32 = 140;
/// The longest delay: below the default timeout, or it would be a loss.
const DELAY_MS_MAX: u32 = 900;

/// A way to break something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A link carries nothing; routing goes round it where it can.
    LinkCut,
    /// A link loses some packets, too few for routing to notice.
    LinkLossy,
    /// A link is slow, as one that is full.
    LinkSlow,
    /// A link goes and comes, again and again.
    LinkFlaps,
    RouterStopped,
    /// A site without power: everything that stands there, an agent as well.
    SiteDark,
    /// Somebody digs: every line in one conduit.
    ConduitDug,
    UpstreamGone,
    /// An agent reaches nothing, the server least of all.
    AgentIsolated,
}

/// How much of it, for the kinds that have a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub default: u32,
    pub max: u32,
    pub unit: &'static str,
}

impl FaultKind {
    pub const ALL: [FaultKind; 9] = [
        FaultKind::LinkCut,
        FaultKind::RouterStopped,
        FaultKind::SiteDark,
        FaultKind::LinkLossy,
        FaultKind::LinkSlow,
        FaultKind::AgentIsolated,
        FaultKind::UpstreamGone,
        FaultKind::LinkFlaps,
        FaultKind::ConduitDug,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::LinkCut => "link-cut",
            FaultKind::LinkLossy => "link-lossy",
            FaultKind::LinkSlow => "link-slow",
            FaultKind::LinkFlaps => "link-flaps",
            FaultKind::RouterStopped => "router-stopped",
            FaultKind::SiteDark => "site-dark",
            FaultKind::ConduitDug => "conduit-dug",
            FaultKind::UpstreamGone => "upstream-gone",
            FaultKind::AgentIsolated => "agent-isolated",
        }
    }

    pub fn parse(text: &str) -> Option<FaultKind> {
        FaultKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// What it happens to.
    pub fn element(self) -> ElementKind {
        match self {
            FaultKind::LinkCut
            | FaultKind::LinkLossy
            | FaultKind::LinkSlow
            | FaultKind::LinkFlaps => ElementKind::Link,
            FaultKind::RouterStopped => ElementKind::Device,
            FaultKind::SiteDark => ElementKind::Site,
            FaultKind::ConduitDug => ElementKind::Srlg,
            FaultKind::UpstreamGone => ElementKind::Upstream,
            FaultKind::AgentIsolated => ElementKind::Agent,
        }
    }

    pub fn size(self) -> Option<Size> {
        match self {
            FaultKind::LinkLossy => {
                Some(Size { default: LOSS_PERCENT_DEFAULT, max: 100, unit: "% of packets" })
            }
            FaultKind::LinkSlow => {
                Some(Size { default: DELAY_MS_DEFAULT, max: DELAY_MS_MAX, unit: "ms more" })
            }
            FaultKind::LinkCut
            | FaultKind::LinkFlaps
            | FaultKind::RouterStopped
            | FaultKind::SiteDark
            | FaultKind::ConduitDug
            | FaultKind::UpstreamGone
            | FaultKind::AgentIsolated => None,
        }
    }

    /// How the engine calls it.
    pub fn mode(self) -> FaultMode {
        match self {
            FaultKind::LinkLossy => FaultMode::Lossy,
            FaultKind::LinkSlow => FaultMode::Slow,
            FaultKind::LinkFlaps => FaultMode::Flapping,
            FaultKind::LinkCut
            | FaultKind::RouterStopped
            | FaultKind::SiteDark
            | FaultKind::ConduitDug
            | FaultKind::UpstreamGone
            | FaultKind::AgentIsolated => FaultMode::Down,
        }
    }
}

/// Something that is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: FaultKind,
    /// Id of the element in the topology.
    pub element: String,
    /// Of a lossy link the percent of packets, of a slow one milliseconds; as usual if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// Why something is not broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("there is no {kind} `{element}` in the demo's network; its fault desk lists what is")]
    NoSuch { kind: ElementKind, element: String },
    #[error("must be from 1 to {max} {unit}")]
    Size { max: u32, unit: &'static str },
    #[error("a fault of this kind has no size: leave it out")]
    NoSize,
    #[error("`{element}` is broken in this way already: mend it first, or break something else")]
    Already { element: String },
    #[error("{max} faults at once are enough: mend one first")]
    TooMany { max: usize },
}

impl Fault {
    pub fn new(kind: FaultKind, element: impl Into<String>) -> Fault {
        Fault { kind, element: element.into(), size: None }
    }

    pub(super) fn check(&self, topology: &Topology) -> Result<ElementIx, FaultError> {
        let kind = self.kind.element();
        let found = topology.find(&self.element).filter(|ix| topology.kind(*ix) == kind);
        let element =
            found.ok_or_else(|| FaultError::NoSuch { kind, element: self.element.clone() })?;
        match (self.size, self.kind.size()) {
            (Some(_), None) => Err(FaultError::NoSize),
            (Some(size), Some(Size { max, unit, .. })) if size == 0 || max < size => {
                Err(FaultError::Size { max, unit })
            }
            (Some(_) | None, _) => Ok(element),
        }
    }

    /// Its measure, as given or as usual; 0 of what has none.
    pub fn measure(&self) -> u32 {
        self.size.or(self.kind.size().map(|size| size.default)).unwrap_or(0)
    }

    /// What is the matter, in words.
    pub fn words(&self) -> String {
        let (element, measure) = (&self.element, self.measure());
        match self.kind {
            FaultKind::LinkCut => format!("link {element} is cut"),
            FaultKind::LinkLossy => format!("link {element} loses {measure} % of packets"),
            FaultKind::LinkSlow => format!("link {element} is {measure} ms slower"),
            FaultKind::LinkFlaps => format!(
                "link {element} flaps: {} s down, {} s up",
                FLAP_DOWN.as_secs(),
                FLAP_UP.as_secs()
            ),
            FaultKind::RouterStopped => format!("router {element} is stopped"),
            FaultKind::SiteDark => format!("site {element} has no power"),
            FaultKind::ConduitDug => format!("{element} is dug up, with every line in it"),
            FaultKind::UpstreamGone => format!("upstream {element} is gone"),
            FaultKind::AgentIsolated => format!("agent {element} is cut off from everything"),
        }
    }
}
