//! `cargo run --release -p fuzz`: mutations for as long as one likes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use clap::Parser;
use fuzz::{TARGETS, Target, corpus, find, play};

#[derive(Debug, Parser)]
#[command(name = "fuzz", about = "Mutated inputs for every decoder")]
struct Args {
    /// Targets; all of them if none is named.
    names: Vec<String>,
    /// How long each is played.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only write the seeds of the corpus anew.
    #[arg(long)]
    write_seeds: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let mut targets: Vec<&Target> = Vec::new();
    for name in &args.names {
        targets.push(find(name).with_context(|| format!("there is no target `{name}`"))?);
    }
    if targets.is_empty() {
        targets = TARGETS.iter().collect();
    }
    for target in targets {
        if args.write_seeds {
            corpus::write_seeds(target)
                .with_context(|| format!("cannot write {}", corpus::dir(target).display()))?;
            continue;
        }
        let end = now() + Duration::from_secs(args.seconds);
        let played = play::play(target, args.seed, |_| end <= now());
        let played = played.map_err(|why| anyhow!("seed {}: {why}", args.seed))?;
        println!("{:20} {played:?}", target.name);
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the one home of the clock in this program")]
fn now() -> Instant {
    Instant::now()
}
