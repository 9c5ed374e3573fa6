//! Case files: a network, what was seen of it, and the moments at which the engine is asked.
//!
//! [`Case::read`] takes bytes and gives a case or the first thing that is wrong with them, with
//! its place. [`Player`] asks the engine step by step and knows no more at each than had arrived
//! by then. Nothing of what a case expects is read by the judgement.

mod expect;
mod play;
mod raw;
mod read;
mod write;

pub use expect::{Expected, ExpectedCause};
pub use play::{Player, Step};
pub use read::{CASE_BYTES_MAX, Case, CaseError, Counted, Seen};
pub use write::{AskedTarget, CaseDraft, CaseFact};
