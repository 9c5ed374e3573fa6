//! `bench fleet`: how long the pages of a large network take while its rounds come in.
//!
//! Every agent asks every target each 30 s, at the pace of real time, as in `ingest`. Once all
//! pairs were heard, the lists that a person asks for, the overview and single targets are read
//! over HTTP, one after the other, until the play is over. What is read is counted first: a page
//! with less than it should have fails the bench.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use bench::{
    fleet::{Chance, Fleet},
    link::Link,
    now,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    account,
    ingest::wait_readable,
    server::{SETTLE, Server},
    show,
};

/// Between two rounds of a pair, as in the tier that most targets are in.
const INTERVAL: Duration = Duration::from_secs(30);
/// Rounds of each pair: one until all are heard, and the others while pages are read.
const ROUNDS: u32 = 4;
const PAGE_ROWS: usize = 100;

#[derive(Debug, clap::Args)]
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

/// Lists as people ask for them, by the name under which their times are told.
const LISTS: [(&str, &str); 7] = [
    ("list", "/targets?limit=100"),
    ("list_by_verdict", "/targets?limit=100&sort=verdict"),
    ("list_by_since", "/targets?limit=100&sort=since"),
    ("list_up", "/targets?limit=100&verdict=up&sort=since"),
    ("list_tier", "/targets?limit=100&tier=bench&sort=verdict"),
    ("list_text", "/targets?limit=100&q=00"),
    ("list_four", "/targets?limit=100&tier=bench&verdict=up,degraded&q=t00&sort=since"),
];

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let server = Server::start(&args.programs)?;
    tokio::time::sleep(SETTLE).await;
    let rss_empty = account::rss_bytes(server.process())?;
    server.watch(args.targets, INTERVAL)?;
    let pairs = u64::from(args.targets) * u64::from(args.agents);
    eprintln!("encoding {ROUNDS} rounds of each of {pairs} pairs");
    let mut links = JoinSet::new();
    for number in 1..=args.agents {
        let identity = server.enroll(&args.programs, number)?;
        let (targets, seed) = (args.targets, args.seed + u64::from(number));
        links.spawn(async move {
            let mut link = Link::open(&identity, now(), 0).await?;
            let assigned = link.assigned(targets).await?;
            anyhow::Ok((link, Fleet::of(&assigned, ROUNDS, INTERVAL, seed)?))
        });
    }
    let mut agents = Vec::new();
    while let Some(agent) = links.join_next().await {
        agents.push(agent??);
    }
    let (begun, cpu_before) = (now(), account::cpu_s(server.process())?);
    let mut sending = JoinSet::new();
    let mut results = 0;
    for (link, fleet) in agents {
        results += fleet.results();
        sending.spawn(link.play(fleet, begun));
    }
    // Until every pair was heard once, and judged.
    tokio::time::sleep(INTERVAL + INTERVAL / 2).await;
    let (targets, seed) = (args.targets, args.seed);
    let until = begun + INTERVAL * ROUNDS;
    let reading = tokio::task::spawn_blocking(move || {
        let read = read(&server, targets, seed, until);
        (server, read)
    });
    let (server, times) = reading.await?;
    let times = times?;
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    wait_readable(&server, args.targets, u64::from(args.agents * ROUNDS)).await?;
    let cpu_s = account::cpu_s(server.process())? - cpu_before;
    let rss = account::rss_bytes(server.process())?;
    let rss_peak = account::rss_bytes_peak(server.process())?;
    let per_pair = |bytes: u64| bytes.saturating_sub(rss_empty) as f64 / pairs as f64;
    let mut summary = json!({
        "summary": true,
        "targets": args.targets,
        "pairs": pairs,
        "results": results,
        "results_per_s": results as f64 / (INTERVAL * ROUNDS).as_secs_f64(),
        "results_per_cpu_s": (results as f64 / cpu_s).round(),
        "rss_bytes": rss,
        "rss_bytes_peak": rss_peak,
        "rss_bytes_per_pair": per_pair(rss).round(),
        "rss_bytes_peak_per_pair": per_pair(rss_peak).round(),
    });
    for (name, times) in times {
        for (mark, share) in [("p50", 50), ("p95", 95)] {
            let at = (times.len() * share / 100).min(times.len().saturating_sub(1));
            let took = times.get(at).with_context(|| format!("{name} was not read"))?;
            summary[format!("{name}_ms_{mark}")] = json!(took.as_micros() as f64 / 1_000.0);
        }
    }
    show(args.json, &summary);
    Ok(())
}

/// Reads one page after the other until the time is over; the times of each, in their order.
fn read(
    server: &Server,
    targets: u32,
    seed: u64,
    until: std::time::Instant,
) -> anyhow::Result<BTreeMap<&'static str, Vec<Duration>>> {
    let mut chance = Chance(seed.max(1));
    let mut times: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    let ids = ids(server)?;
    while now() < until {
        for (name, path) in LISTS {
            let page = timed(server, path, times.entry(name).or_default())?;
            let rows = page.get("items").and_then(Value::as_array).map_or(0, Vec::len);
            if rows != PAGE_ROWS.min(targets as usize) {
                bail!("{path} shows {rows} targets");
            }
        }
        let overview = timed(server, "/overview", times.entry("overview").or_default())?;
        if overview.pointer("/targets/total").and_then(Value::as_u64) != Some(targets.into()) {
            bail!("the overview does not count all targets: {overview}");
        }
        let id = ids.get(chance.below(ids.len() as u64) as usize).context("no target")?;
        let path = format!("/targets/{id}/status");
        timed(server, &path, times.entry("target").or_default())?;
        let path = format!("/targets/{id}/rounds?limit=500");
        timed(server, &path, times.entry("target_rounds").or_default())?;
    }
    times.values_mut().for_each(|times| times.sort_unstable());
    Ok(times)
}

/// Some targets of all parts of the list.
fn ids(server: &Server) -> anyhow::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for sort in ["name", "-name", "address"] {
        let page = server.get(&format!("/targets?limit=500&sort={sort}"))?;
        let items = page.get("items").and_then(Value::as_array).context("no items")?;
        ids.extend(items.iter().filter_map(|item| item.get("id").and_then(Value::as_u64)));
    }
    Ok(ids)
}

fn timed(server: &Server, path: &str, times: &mut Vec<Duration>) -> anyhow::Result<Value> {
    let begun = now();
    let page = server.get(path)?;
    times.push(begun.elapsed());
    Ok(page)
}
