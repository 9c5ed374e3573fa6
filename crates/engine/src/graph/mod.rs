//! The network as the operator describes it: elements, links, shared risks, and the paths that
//! follow from them.
//!
//! It knows nothing of what is up or down, asks nobody, and has no opinion about causes. A
//! [`Draft`] is what somebody wrote; a [`Topology`] is what could be made of it; a [`PathBook`]
//! says what the packets of each pair cross.

mod bridges;
mod cut;
pub mod document;
mod draft;
mod export;
pub mod import;
mod paths;
mod pieces;
mod resolve;
mod topology;
mod tree;

pub use bridges::Bridges;
pub use cut::Cut;
pub use draft::{
    COST_MAX, COUNT_MAX, Dependency, Draft, ELEMENTS_MAX, ElementDraft, ID_BYTES_MAX, Need,
    PINS_MAX, Pin, Position, Problem, TargetDraft, VIA_MAX,
};
pub use paths::{Crossing, Epoch, PathBook, PathSet, ROUTES_MAX, Route, SetIx, Step, Told, Way};
pub(crate) use pieces::Pieces;
pub use topology::{Arc, Element, ElementIx, Requirement, Topology};
pub use tree::{Parent, Toward, Tree};
