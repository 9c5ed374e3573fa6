//! The program as a person meets it: real processes, real sockets, a directory per test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod demo;
mod diagnose;
mod doctor;
mod errors;
mod fact;
mod help;
mod incident;
mod maintenance;
mod manager;
mod plan;
mod program;
mod record;
mod target;
mod topology;
mod trace;
mod up;
mod webhook;
