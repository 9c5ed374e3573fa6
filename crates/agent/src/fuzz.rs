//! The decoders of this crate as a fuzzer calls them: bytes in, a property that must hold, and
//! whether the bytes were taken. They panic if the property breaks. Nothing else calls them.

use std::path::Path;

use crate::{assignment, config, spool};

/// The configuration file.
pub fn config(bytes: &[u8]) -> bool {
    config::Config::resolve(Path::new("agent.toml"), bytes, config::Overrides::default()).is_ok()
}

/// The state beside the spooled records: what is read is written as the same.
pub fn spool_state(bytes: &[u8]) -> bool {
    let Ok(state) = serde_json::from_slice::<spool::State>(bytes) else { return false };
    let written = serde_json::to_vec(&state).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<spool::State>(&written).ok(), Some(state), "read again");
    true
}

/// A state as the spool writes it.
pub fn spool_state_seed() -> Vec<u8> {
    serde_json::to_vec(&spool::State::new()).unwrap_or_default()
}

/// The kept assignment: whatever it asks keeps to the limits of the contract.
pub fn assignment(bytes: &[u8]) -> bool {
    let Ok(Some(parts)) = assignment::parts_of(bytes) else { return false };
    let accepted = assignment::accept(&parts);
    assert!(accepted.refused.len() <= wire::limits::APPLIED_REFUSED_MAX, "too many reasons");
    assert!(accepted.assignment.witnesses.len() <= model::WITNESSES_MAX, "witnesses");
    true
}
