//! Measures real processes through their public doors, each judged by its own account.
//!
//! Every bench checks its own result before it prints a speed; none is a test with a time limit.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod account;
mod capture;
mod empty;
mod history;
mod ingest;
mod pages;
mod plan;
mod play;
mod rtt;
mod server;
mod start;

use std::process::ExitCode;

pub(crate) use bench::{fleet, link, now};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Results per CPU-second of a server.
    Ingest(ingest::Args),
    /// Pages of a large network while its rounds come in, and the memory it takes.
    Fleet(pages::Args),
    /// The agent's round-trip times against a capture of the wire (needs root).
    Rtt(rtt::Args),
    /// Memory of an empty server and agent, size of the agent.
    Empty(empty::Args),
    /// Size of what is kept, and time to read it.
    History(history::Args),
    /// What `faultline plan` says beside what is measured.
    Plan(plan::Args),
    /// How long a server that was killed needs until it is ready.
    Start(start::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().bench {
        Bench::Ingest(args) => block_on(ingest::run(&args)),
        Bench::Fleet(args) => block_on(pages::run(&args)),
        // It enters a namespace, which is a thread's own: no runtime before.
        Bench::Rtt(args) => rtt::run(&args),
        Bench::Empty(args) => block_on(empty::run(&args)),
        Bench::History(args) => block_on(history::run(&args)),
        Bench::Plan(args) => block_on(plan::run(&args)),
        Bench::Start(args) => block_on(start::run(&args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(bench: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench)
}

fn show(is_json: bool, summary: &serde_json::Value) {
    if is_json {
        println!("{summary}");
        return;
    }
    for (name, value) in summary.as_object().into_iter().flatten() {
        println!("{name:22} {value}");
    }
}
