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
    time::Duration,
};

use anyhow::ensure;
use bench::now;
use model::{AgentId, Minute, ProbeId};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::json;
use store::{RoundQuery, Scope, Store, Who};

use crate::{
    play::{AGENTS, BEGIN, DAY_MINUTES, Play, ROUNDS_PER_MINUTE},
    show,
};

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
    /// Where the database with roll-ups is made, and stays; without it, it is thrown away.
    #[arg(long)]
    keep: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let rounds = rounds(args).await?;
    show(args.json, &rounds);
    let scratch = tempfile::tempdir()?;
    let folder = args.keep.as_deref().unwrap_or(scratch.path());
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
async fn rounds(args: &Args) -> anyhow::Result<serde_json::Value> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("faultline.db");
    let probes = args.series.div_ceil(AGENTS).max(1);
    let mut play = Play::new(&path, probes, args.seed).await?;
    let minutes = i64::from(args.days) * DAY_MINUTES;
    for minute in BEGIN.0..BEGIN.0 + minutes {
        play.minutes(Minute(minute)..Minute(minute + 1)).await?;
    }
    // The last day is merged once it is quiet.
    for minute in [15, 30, 120] {
        play.compact(Minute(BEGIN.0 + minutes + minute).start()).await?;
    }
    let results = u64::from(probes * AGENTS) * ROUNDS_PER_MINUTE * u64::try_from(minutes)?;
    let size = play.store.history_size().await?;
    ensure!(size.rounds.records == results, "{size:?} instead of {results} results");
    while 0 < play.store.vacuum_step().await? {}
    let (scope, agents) = (play.scope.clone(), play.agents.clone());
    play.store.close().await;
    let mut rounds_ms = Vec::new();
    let mut target_ms = Vec::new();
    let last = Minute(BEGIN.0 + minutes - DAY_MINUTES);
    for read in 0..args.reads {
        let probe = ProbeId(1 + u32::try_from(play.chance.below(u64::from(probes)))?);
        let agent = agents.get(read as usize % agents.len()).copied();
        let store = cold(&path).await?;
        rounds_ms.push(read_rounds(&store, &scope, probe, agent, last).await?);
        store.close().await;
        let store = cold(&path).await?;
        target_ms.push(read_target(&store, &scope, probe, last).await?);
        store.close().await;
    }
    let per_result = |bytes: u64| bytes as f64 / results as f64;
    Ok(json!({
        "results": results,
        "series": probes * AGENTS,
        "days": args.days,
        "bytes_per_value": per_result(size.rounds.bytes) / 3.0,
        "bytes_per_result": per_result(size.rounds.bytes),
        "minutes_bytes_per_minute": size.minutes.bytes as f64 / size.minutes.records.max(1) as f64,
        "commit_ns": play.commit_cpu_s * 1e9 / results as f64,
        "compact_ns": play.compact_cpu_s * 1e9 / results as f64,
        "read_24h_ms_p50": percentile(&mut rounds_ms, 50),
        "read_24h_ms_p95": percentile(&mut rounds_ms, 95),
        "read_24h_target_ms_p50": percentile(&mut target_ms, 50),
        "read_24h_target_ms_p95": percentile(&mut target_ms, 95),
    }))
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
    agent: Option<AgentId>,
    first: Minute,
) -> anyhow::Result<f64> {
    let mut query = RoundQuery {
        probe,
        agent,
        from: first.start(),
        to: Minute(first.0 + DAY_MINUTES).start(),
        after: None,
        limit: store::PAGE_ROWS_MAX,
    };
    let begun = now();
    let mut found = 0;
    loop {
        let page = store.rounds(scope, &query).await?;
        found += page.rows.len();
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let took = begun.elapsed();
    ensure!(found == 2 * 1_440, "{found} rounds of a day");
    Ok(ms(took))
}

/// Reads a day of a target as its page does: minutes of all agents, with the times of their rounds.
async fn read_target(
    store: &Store,
    scope: &Scope,
    probe: ProbeId,
    first: Minute,
) -> anyhow::Result<f64> {
    let begun = now();
    let last = Minute(first.0 + DAY_MINUTES);
    let series = store.minutes(scope, probe, Who::Each, first, last).await?;
    let took = begun.elapsed();
    let minutes: usize = series.iter().map(|series| series.minutes.len()).sum();
    ensure!(minutes == 4 * 1_440, "{minutes} minutes of a day");
    Ok(ms(took))
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or_default()
}
