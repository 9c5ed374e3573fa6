//! The server as a whole, in one binary: real sockets, real TLS, a directory per test.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test fails by panicking")]

mod harness;
mod http;
mod ingest;
