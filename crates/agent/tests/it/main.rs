//! The agent's program as a person meets it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod errors;
