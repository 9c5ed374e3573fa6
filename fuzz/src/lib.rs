//! Hostile bytes for every decoder that faces the network or a file.
//!
//! A target is a plain function over bytes: it decodes them, checks what must then hold, and says
//! whether they were taken. It panics if a property breaks; memory beyond the target's limit is a
//! break too. Each has a folder of inputs in `corpus/`, made by [`seeds`] or found before; the
//! tests play them and seeded mutations of them, so a run is the same each time. The program of
//! this crate does the same for as long as it is told to:
//! `cargo run --release -p fuzz -- icmp --seconds 600 --seed 7`.
//!
//! Nothing here needs a nightly compiler. A harness that measures coverage (libFuzzer, AFL) calls
//! [`run`] with a target's name and its bytes.
//!
//! DNS answers are not here: we parse none, a library does.

pub mod corpus;
pub mod memory;
pub mod mutate;
pub mod play;
pub mod seeds;
mod targets;

/// A decoder under fire.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    /// What one input may make it hold at once, beyond the input itself.
    pub bytes_max: usize,
    /// Mutations in a test run.
    pub runs: u32,
    /// Decodes, and says whether the bytes were taken.
    pub run: fn(&[u8]) -> bool,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The usual number of mutations.
const RUNS: u32 = 10_000;
/// Where one run takes near a millisecond without optimisation.
const RUNS_SLOW: u32 = 2_000;

const fn target(name: &'static str, bytes_max: usize, run: fn(&[u8]) -> bool) -> Target {
    Target { name, bytes_max, runs: RUNS, run }
}

const fn slow(name: &'static str, bytes_max: usize, run: fn(&[u8]) -> bool) -> Target {
    Target { name, bytes_max, runs: RUNS_SLOW, run }
}

/// Every target there is.
pub const TARGETS: &[Target] = &[
    // What comes over the agents' door, and what a server sends an agent.
    slow("wire_sealed", 16 * MIB, targets::wire::sealed),
    slow("wire_payload", 16 * MIB, targets::wire::payload),
    target("wire_rounds", MIB, targets::wire::rounds),
    target("wire_batch", MIB, targets::wire::batch),
    target("agent_frame", MIB, targets::wire::agent_frame),
    target("server_frame", MIB, targets::wire::server_frame),
    target("certificate", MIB, targets::files::certificate),
    slow("certificate_request", MIB, targets::files::certificate_request),
    // What comes out of the network that is asked.
    target("icmp_v4", 64 * KIB, targets::packets::icmp_v4),
    target("icmp_v6", 64 * KIB, targets::packets::icmp_v6),
    slow("prober", MIB, targets::packets::prober),
    // What comes over HTTP.
    slow("csv_import", 4 * MIB, targets::http::csv_import),
    target("json_import", 4 * MIB, targets::http::json_import),
    target("headers", MIB, targets::http::headers),
    target("cursor", 64 * KIB, targets::text::cursor),
    // What a person types or pastes.
    target("token", MIB, targets::text::token),
    target("address", 64 * KIB, targets::text::address),
    target("name", 64 * KIB, targets::text::name),
    target("time", MIB, targets::text::time),
    slow("server_config", 4 * MIB, targets::text::server_config),
    target("agent_config", 4 * MIB, targets::text::agent_config),
    // What describes a network.
    slow("case", 4 * MIB, targets::network::case),
    target("graphml", MIB, targets::network::graphml),
    target("topology_csv", MIB, targets::network::topology_csv),
    target("topology_json", MIB, targets::network::topology_json),
    target("topology_yaml", MIB, targets::network::topology_yaml),
    target("topohub", MIB, targets::network::topohub),
    // What lies on disk.
    slow("journal", 16 * MIB, targets::files::journal),
    target("log_entry", 4 * MIB, targets::files::log_entry),
    slow("checkpoint", 32 * MIB, targets::files::checkpoint),
    slow("history_chunk", 256 * MIB, targets::files::history_chunk),
    target("history_tail", 4 * MIB, targets::files::history_tail),
    target("spool_state", MIB, targets::files::spool_state),
    target("assignment", 4 * MIB, targets::files::assignment),
    target("sealed_secret", MIB, targets::files::sealed_secret),
    target("master_key", MIB, targets::text::master_key),
];

/// Finds a target.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs the target `name` on `bytes`; `None` if there is none.
///
/// # Panics
///
/// If a property of the target breaks.
pub fn run(name: &str, bytes: &[u8]) -> Option<bool> {
    find(name).map(|target| (target.run)(bytes))
}
