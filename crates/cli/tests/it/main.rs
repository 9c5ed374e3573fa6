//! The program as a person meets it: real processes, real sockets, a directory per test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod errors;
mod help;
mod program;
mod up;
