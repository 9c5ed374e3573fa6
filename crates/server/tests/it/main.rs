//! The server as a whole, in one binary: real sockets, real TLS, a directory per test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod diagnosis;
mod disk;
mod harness;
mod http;
mod ingest;
mod maintenance;
mod map;
mod notify;
mod overload;
mod postgres;
mod prom;
mod read_parquet;
mod reading;
mod restart;
mod streams;
mod traces;
