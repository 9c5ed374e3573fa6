//! Memory, results and packets of a real server.

use std::time::Duration;

use bench::{fleet::Fleet, link::Link, now};
use model::{Kept, Plan, Tier, plan::Question};
use tokio::task::JoinSet;

use super::{Args, Compared};
use crate::{
    account,
    ingest::wait_readable,
    server::{SETTLE, Server},
};

const INTERVAL: Duration = Duration::from_secs(30);
/// Rounds of each pair: one until all are heard, and the others while memory is looked at.
const ROUNDS: u32 = 4;
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &Args) -> anyhow::Result<Vec<Compared>> {
    let server = Server::start(&args.programs)?;
    tokio::time::sleep(SETTLE).await;
    let empty = account::rss_bytes(server.process())?;
    server.watch(args.targets, INTERVAL)?;
    let pairs = u64::from(args.targets) * u64::from(args.agents);
    eprintln!("load: encoding {ROUNDS} rounds of each of {pairs} pairs");
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
    let begun = now();
    let mut sending = JoinSet::new();
    let mut results = 0;
    for (link, fleet) in agents {
        results += fleet.results();
        sending.spawn(link.play(fleet, begun));
    }
    let mut seen = Vec::new();
    tokio::time::sleep(INTERVAL + INTERVAL / 2).await;
    while now() < begun + INTERVAL * ROUNDS {
        seen.push(account::rss_bytes(server.process())?);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    let took = (begun.elapsed().as_secs_f64()).max((INTERVAL * ROUNDS).as_secs_f64());
    wait_readable(&server, args.targets, u64::from(args.agents * ROUNDS)).await?;
    let peak = account::rss_bytes_peak(server.process())?;
    let database = server.database_bytes()?;
    seen.sort_unstable();
    let middle = seen.get(seen.len() / 2).copied().unwrap_or_default();
    Ok(compare(args, (empty, middle, peak), (results as f64 / took, database)))
}

fn compare(
    args: &Args,
    (empty, middle, peak): (u64, u64, u64),
    (results_per_s, database): (f64, u64),
) -> Vec<Compared> {
    let plan = Plan::of(&Question {
        targets: args.targets.into(),
        agents: args.agents.into(),
        interval: INTERVAL,
        packets: Tier::PACKETS_DEFAULT,
        payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
        // Nothing of this is asked.
        kept: Kept::NOTHING,
    });
    let pairs = u64::from(args.targets) * u64::from(args.agents);
    let (between, at_peak) = model::plan::memory_bytes(pairs, database);
    let of = |name, planned, measured, note| Compared { name, planned, measured, note };
    let packets = f64::from(Tier::PACKETS_DEFAULT);
    vec![
        of(
            "memory_empty",
            model::plan::MEMORY_EMPTY_BYTES as f64,
            empty as f64,
            "some seconds after the start",
        ),
        of("memory", between as f64, middle as f64, "the middle of a look each second"),
        of("memory_peak", at_peak as f64, peak as f64, "the most there was"),
        of("results_per_s", plan.results_per_s, results_per_s, "of all agents, by the clock"),
        of(
            "packets_per_s",
            plan.together.packets_per_s,
            results_per_s * packets,
            "of the rounds that were read back",
        ),
    ]
}
