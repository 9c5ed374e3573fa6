//! `start`: a server with a large network is killed and started again.
//!
//! Each pair of agent and target has state, and the log holds what came since the last checkpoint.
//! What counts is the time from the start of the process until `/readyz` says so; after each start
//! the rounds of some targets are read back.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bench::{
    fleet::{Fleet, INTERVAL},
    link::Link,
    now,
};
use clap::Args as ClapArgs;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{account, ingest::wait_readable, server::Server, show};

/// Rounds of each pair: enough for a verdict.
const ROUNDS: u32 = 2;
/// Kills: the first leaves the log as ingest did, the others what the start before made of it.
const KILLS: usize = 3;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 100_000)]
    targets: u32,
    /// All of them ask all targets.
    #[arg(long, default_value_t = 3)]
    agents: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    json: bool,
    /// Folder of `faultline` and `faultline-agent`.
    #[arg(long)]
    programs: PathBuf,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut server = Server::start(&args.programs)?;
    let begun = now();
    server.watch(args.targets, INTERVAL)?;
    eprintln!("{} targets after {:.0} s", args.targets, begun.elapsed().as_secs_f64());
    let mut links = JoinSet::new();
    for number in 1..=args.agents {
        let identity = server.enroll(&args.programs, number)?;
        let (targets, seed) = (args.targets, args.seed + u64::from(number));
        links.spawn(async move {
            let mut link = Link::open(&identity, now(), 0).await?;
            let assigned = link.assigned(targets).await?;
            anyhow::Ok((link, Fleet::new(&assigned, ROUNDS, seed)?))
        });
    }
    let mut agents = Vec::new();
    while let Some(agent) = links.join_next().await {
        agents.push(agent??);
    }
    let mut sending = JoinSet::new();
    let playing_since = now();
    for (link, fleet) in agents {
        sending.spawn(link.play(fleet, playing_since));
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    let expected = u64::from(args.agents * ROUNDS);
    wait_readable(&server, args.targets, expected).await?;
    eprintln!("all rounds readable after {:.0} s", begun.elapsed().as_secs_f64());

    let mut ready_s = Vec::new();
    for _ in 0..KILLS {
        ready_s.push(server.killed_and_started(&args.programs)?);
        if server.targets()? != u64::from(args.targets) {
            bail!("targets are missing after the start");
        }
        wait_readable(&server, args.targets, expected).await?;
    }
    let summary = json!({
        "summary": true,
        "targets": args.targets,
        "pairs": u64::from(args.targets) * u64::from(args.agents),
        "ready_s": ready_s,
        "ready_s_max": ready_s.iter().copied().reduce(f64::max).context("nothing was killed")?,
        "cpu_s_last": account::cpu_s(server.process())?,
        "rss_bytes_peak": account::rss_bytes_peak(server.process())?,
        "log_bytes": server.log_bytes()?,
    });
    show(args.json, &summary);
    Ok(())
}
