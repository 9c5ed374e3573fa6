//! `bench ingest`: what a CPU-second of a real server carries, through its public doors.
//!
//! A fleet of agents that ask nobody: it enrols like any other, and sends rounds that were made and
//! encoded before the first of them is sent, at the pace of real time. Counts the server's own
//! CPU, and only after every round was read back.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    account,
    fleet::{Fleet, INTERVAL},
    link::Link,
    now,
    server::Server,
    show,
};

/// Time for the server to judge and store what it acknowledged.
const READABLE_MAX: Duration = Duration::from_secs(60);
/// Targets whose rounds are read back and counted.
const SAMPLES: u32 = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds in all; rounded up to whole rounds of every agent and probe.
    #[arg(long, default_value_t = 1_000_000)]
    results: u64,
    #[arg(long, default_value_t = 10)]
    agents: u32,
    #[arg(long, default_value_t = 10_000)]
    probes: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    pub(crate) json: bool,
    /// Folder of `faultline` and `faultline-agent`.
    #[arg(long)]
    programs: PathBuf,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let pairs = u64::from(args.agents) * u64::from(args.probes);
    let rounds = u32::try_from(args.results.div_ceil(pairs.max(1)))?;
    let server = Server::start(&args.programs)?;
    server.watch(args.probes, INTERVAL)?;
    eprintln!(
        "enrolling {} agents, encoding {} rounds of each of {pairs} pairs",
        args.agents, rounds
    );
    let mut links = JoinSet::new();
    for number in 1..=args.agents {
        let identity = server.enroll(&args.programs, number)?;
        let (probes, seed) = (args.probes, args.seed + u64::from(number));
        links.spawn(async move {
            let mut link = Link::open(&identity, crate::now(), 0).await?;
            let assigned = link.assigned(probes).await?;
            anyhow::Ok((link, Fleet::new(&assigned, rounds, seed)?))
        });
    }
    let mut agents = Vec::new();
    while let Some(agent) = links.join_next().await {
        agents.push(agent??);
    }

    let (begun, cpu_before) = (now(), account::cpu_s(server.process())?);
    eprintln!("sending for about {} s", u64::from(rounds) * INTERVAL.as_secs());
    let mut sending = JoinSet::new();
    let mut results = 0;
    for (link, fleet) in agents {
        results += fleet.results();
        sending.spawn(link.play(fleet, begun));
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    let expected = u64::from(args.agents) * u64::from(rounds);
    wait_readable(&server, args.probes, expected).await?;
    let cpu_s = account::cpu_s(server.process())? - cpu_before;
    let summary = json!({
        "summary": true,
        "results": results,
        "wall_s": begun.elapsed().as_secs_f64(),
        "cpu_s": cpu_s,
        "results_per_cpu_s": (results as f64 / cpu_s).round(),
        "rss_bytes_peak": account::rss_bytes_peak(server.process())?,
        "log_bytes_per_result": server.log_bytes()? as f64 / results as f64,
    });
    show(args.json, &summary);
    Ok(())
}

/// Waits until every sampled target shows every round, once.
pub(crate) async fn wait_readable(
    server: &Server,
    probes: u32,
    expected: u64,
) -> anyhow::Result<()> {
    let begun = now();
    let step = (probes / SAMPLES).max(1);
    for number in (1..=probes).step_by(step as usize) {
        loop {
            let found = server.rounds_of(number)?;
            if found == expected {
                break;
            }
            if expected < found || READABLE_MAX < begun.elapsed() {
                bail!("target {number} shows {found} rounds, {expected} were acknowledged");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}
