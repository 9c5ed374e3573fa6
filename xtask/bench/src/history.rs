//! `bench history`: what a result costs on the disk, and how soon it is read.
//!
//! First days of rounds with their minutes, as [`crate::play`] fills a store; then the roll-ups
//! of a quarter and more of one group of targets ([`rolls`]), made by the real code of real rounds
//! that are forgotten after their time. Every read is of a random series, with nothing of the file
//! in memory, and is checked against what was made.

pub(crate) mod rolls;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use bench::fleet::Chance;
use model::{AgentId, Minute, ProbeId};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::{Map, Value, json};
use store::{ORG_DEFAULT, RoundQuery, Scope, Store, Who};

use crate::{
    account::{Cost, Meter},
    play::{AGENTS, BEGIN, DAY_MINUTES, Play, ROUNDS_PER_MINUTE},
    show,
};

/// The database of the part with rounds.
const ROUNDS: &str = "rounds.db";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pairs of target and agent; three agents ask each target.
    #[arg(long, default_value_t = 3_000)]
    series: u32,
    #[arg(long, default_value_t = 2)]
    days: u32,
    /// Reads that are timed.
    #[arg(long, default_value_t = 200)]
    reads: u32,
    /// Days of the part with roll-ups, of one group of 64 targets.
    #[arg(long, default_value_t = 97)]
    roll_days: u32,
    /// Where the databases are made, and stay; without it, they are thrown away.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Only reads what an earlier run with the same numbers has kept in this folder.
    #[arg(long, conflicts_with = "keep")]
    reread: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(folder) = &args.reread {
        let mut summary = read_days(args, &folder.join(ROUNDS)).await?;
        let rolls = rolls::reads(folder, args.roll_days, args.reads, args.seed).await?;
        summary.as_object_mut().context("an object")?.append(&mut told("read_90d_rollup", rolls));
        show(args.json, &summary);
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let folder = args.keep.as_deref().unwrap_or(scratch.path());
    let rounds = rounds(args, &folder.join(ROUNDS)).await?;
    show(args.json, &rounds);
    let rolls = rolls::run(folder, args.roll_days, args.reads, args.seed).await?;
    for line in rolls.lines() {
        show(args.json, &line);
    }
    let mut summary = rolls.summary();
    let (Some(all), Some(rounds)) = (summary.as_object_mut(), rounds.as_object()) else {
        return Ok(());
    };
    all.extend(rounds.clone());
    all.insert("summary".to_owned(), json!(true));
    show(args.json, &summary);
    Ok(())
}

/// Days of rounds and their minutes, and reading one of them.
async fn rounds(args: &Args, path: &Path) -> anyhow::Result<Value> {
    let probes = probes(args);
    let mut play = Play::new(path, probes, args.seed).await?;
    let minutes = i64::from(args.days) * DAY_MINUTES;
    for minute in BEGIN.0..BEGIN.0 + minutes {
        play.minutes(Minute(minute)..Minute(minute + 1)).await?;
    }
    // The last day is merged once it is quiet.
    for minute in [15, 30, 120] {
        play.compact(Minute(BEGIN.0 + minutes + minute).start()).await?;
    }
    let results = u64::from(probes * AGENTS) * ROUNDS_PER_MINUTE * u64::try_from(minutes)?;
    let size = play.past.store.history_size().await?;
    ensure!(size.rounds.records == results, "{size:?} instead of {results} results");
    while 0 < play.past.store.vacuum_step().await? {}
    play.past.store.close().await;
    let mut all = read_days(args, path).await?;
    let per_result = |bytes: u64| bytes as f64 / results as f64;
    let written = json!({
        "results": results,
        "series": probes * AGENTS,
        "days": args.days,
        "bytes_per_value": per_result(size.rounds.bytes) / 3.0,
        "bytes_per_result": per_result(size.rounds.bytes),
        "minutes_bytes_per_minute": size.minutes.bytes as f64 / size.minutes.records.max(1) as f64,
        "commit_ns": play.commit_cpu_s * 1e9 / results as f64,
        "compact_ns": play.compact_cpu_s * 1e9 / results as f64,
    });
    let written = written.as_object().context("an object")?.clone();
    all.as_object_mut().context("an object")?.extend(written);
    Ok(all)
}

fn probes(args: &Args) -> u32 {
    args.series.div_ceil(AGENTS).max(1)
}

/// Reads the last day of random series and targets.
async fn read_days(args: &Args, path: &Path) -> anyhow::Result<Value> {
    let mut chance = Chance(args.seed.wrapping_add(1).max(1));
    let scope = Scope::system(ORG_DEFAULT);
    let (mut rounds, mut target) = (Vec::new(), Vec::new());
    let last = Minute(BEGIN.0 + (i64::from(args.days) - 1) * DAY_MINUTES);
    for read in 0..args.reads {
        let probe = ProbeId(1 + u32::try_from(chance.below(u64::from(probes(args))))?);
        let agent = AgentId(1 + read % AGENTS);
        let store = cold(path).await?;
        rounds.push(read_rounds(&store, &scope, probe, agent, last).await?);
        store.close().await;
        let store = cold(path).await?;
        target.push(read_target(&store, &scope, probe, last).await?);
        store.close().await;
    }
    let mut all = told("read_24h", rounds);
    all.append(&mut told("read_24h_target", target));
    Ok(all.into())
}

/// What reads took: by the clock, and of the machine.
fn told(name: &str, costs: Vec<Cost>) -> Map<String, Value> {
    let of = |part: fn(&Cost) -> f64, percent| {
        percentile(&mut costs.iter().map(part).collect::<Vec<_>>(), percent)
    };
    Map::from_iter([
        (format!("{name}_ms_p50"), json!(of(|cost| cost.ms, 50))),
        (format!("{name}_ms_p95"), json!(of(|cost| cost.ms, 95))),
        (format!("{name}_cpu_ms_p50"), json!(of(|cost| cost.cpu_ms, 50))),
        (format!("{name}_reads_p50"), json!(of(|cost| cost.reads, 50))),
        (format!("{name}_disk_kib_p50"), json!(of(|cost| cost.disk_kib, 50))),
    ])
}

/// Opens the database with nothing of it in the system's memory or in its own.
async fn cold(path: &Path) -> anyhow::Result<Store> {
    let store = Store::open(path).await?;
    posix_fadvise(File::open(path)?, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(store)
}

/// Reads a day of rounds of one series, page by page, and returns how long that took.
async fn read_rounds(
    store: &Store,
    scope: &Scope,
    probe: ProbeId,
    agent: AgentId,
    first: Minute,
) -> anyhow::Result<Cost> {
    let mut query = RoundQuery {
        probe,
        agent: Some(agent),
        from: first.start(),
        to: Minute(first.0 + DAY_MINUTES).start(),
        after: None,
        limit: store::PAGE_ROWS_MAX,
    };
    let meter = Meter::start()?;
    let mut found = 0;
    loop {
        let page = store.rounds(scope, &query).await?;
        found += page.rows.len();
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let cost = meter.stop()?;
    ensure!(found == 2 * 1_440, "{found} rounds of a day");
    Ok(cost)
}

/// Reads a day of a target as its page does: minutes of all agents, with the times of their rounds.
async fn read_target(
    store: &Store,
    scope: &Scope,
    probe: ProbeId,
    first: Minute,
) -> anyhow::Result<Cost> {
    let meter = Meter::start()?;
    let last = Minute(first.0 + DAY_MINUTES);
    let series = store.minutes(scope, probe, Who::Each, first, last).await?;
    let cost = meter.stop()?;
    let minutes: usize = series.iter().map(|series| series.minutes.len()).sum();
    ensure!(minutes == 4 * 1_440, "{minutes} minutes of a day");
    Ok(cost)
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or_default()
}
