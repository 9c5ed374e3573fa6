//! An agent that asks nobody: it enrols like any other, and says what it is told to say.
//!
//! For whoever needs to know exactly what a server was sent: the benches, which encode it all
//! beforehand, and the drills, which count it.

pub mod fleet;
pub mod link;

use std::time::Instant;

/// Reads the clock of whoever plays an agent.
#[expect(clippy::disallowed_methods, reason = "the one home of the clock in this crate")]
pub fn now() -> Instant {
    Instant::now()
}
