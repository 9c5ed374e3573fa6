//! The project's own tasks, for people and for CI: `cargo xtask test` is the one command that says
//! whether a change is good, `cargo xtask up` the one that starts everything.
//!
//! Holds no product code and is imported by nobody. Each task checks for what it needs and says the
//! remedy when that is missing.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod api_fuzz;
mod bench;
mod codegen;
mod console;
mod e2e;
mod icmp;
mod need;
mod postgres;
mod shell;
mod test;
mod tidy;
mod units;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build everything and start a server and a local agent, data in ./data.
    Up {
        /// Passed on to `faultline up`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Build everything and show a made-up provider with faults to set; nothing is kept.
    Demo {
        /// Passed on to `faultline demo`, for example --scale 1000.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Run every check there is; what CI runs.
    Test {
        /// Leave out what needs minutes: browser tests, lab drills, long simulations.
        #[arg(long)]
        quick: bool,
        /// Run only the steps whose name contains this; may be given several times.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Check the rules of the house that no compiler checks.
    Tidy,
    /// Generate code from proto/ and openapi/; with --check only say whether it is up to date.
    Codegen {
        #[arg(long)]
        check: bool,
    },
    /// Measure something against its figure: icmp, rtt, ingest, empty, start, sim, detect, rca.
    Bench {
        name: String,
        /// Passed on to the bench, for example --targets 100000 --json.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Run the deterministic simulator, for example --seeds 0..200 --json.
    Sim {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Run drills with real processes and real packets in network namespaces (needs root).
    Lab {
        /// Names of drills, --list, --json, --repeat N.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Up { rest } => up::run(&rest),
        Task::Demo { rest } => up::demo(&rest),
        Task::Test { quick, only } => test::run(quick, &only),
        Task::Tidy => tidy::run(),
        Task::Codegen { check } => codegen::run(check),
        Task::Bench { name, rest } => bench::run(&name, &rest),
        Task::Sim { rest } => bench::sim(&rest),
        Task::Lab { rest } => bench::lab(&rest),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
