//! `bench history`: what a result costs on the disk, and how soon a day of it is read.
//!
//! Days of rounds every 30 s, by the generator of `ingest`, and the minutes that they make, go
//! through the store as the server commits them, and are sealed and merged as time passes. Every
//! read is of a random series, with nothing of the file in memory, and is checked against the
//! number of rounds that were made.

use std::{fs::File, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use bench::{fleet::Chance, now};
use model::{
    AgentId, Cause, Decision, DecisionKind, Entity, LogPosition, Minute, MinuteCounts, MinuteTruth,
    Name, ProbeId, Round, RoundBatch, UtcMicros, Verdict,
};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::json;
use store::{Commit, NewAgent, ORG_DEFAULT, RoundQuery, Scope, Store};

use crate::{account, show};

const AGENTS: u32 = 3;
const ROUNDS_PER_MINUTE: u64 = 2;
const ROUND_US: u64 = 30_000_000;
const DAY_MINUTES: i64 = 1_440;
/// A midnight, so that days are days.
const BEGIN: Minute = Minute(29_998_080);
/// Steps of one compaction: far more than there are.
const STEPS_MAX: u32 = 1_000_000;

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
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    json: bool,
}

/// What is written, minute by minute.
struct Play {
    store: Store,
    scope: Scope,
    agents: Vec<AgentId>,
    probes: u32,
    chance: Chance,
    /// Of each probe and agent.
    bases_us: Vec<f64>,
    position: u64,
    commit_cpu_s: f64,
    compact_cpu_s: f64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("faultline.db");
    let probes = args.series.div_ceil(AGENTS).max(1);
    let mut play = Play::new(&path, probes, args.seed).await?;
    let minutes = i64::from(args.days) * DAY_MINUTES;
    for minute in 0..minutes {
        play.minute(Minute(BEGIN.0 + minute)).await?;
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
    let summary = json!({
        "summary": true,
        "results": results,
        "series": probes * AGENTS,
        "days": args.days,
        "bytes_per_value": per_result(size.rounds.bytes) / 3.0,
        "bytes_per_result": per_result(size.rounds.bytes),
        "minutes_bytes_per_minute": size.minutes.bytes as f64 / size.minutes.records.max(1) as f64,
        "data_dir_bytes_per_result": per_result(path.metadata()?.len()),
        "commit_ns": play.commit_cpu_s * 1e9 / results as f64,
        "compact_ns": play.compact_cpu_s * 1e9 / results as f64,
        "read_24h_ms_p50": percentile(&mut rounds_ms, 50),
        "read_24h_ms_p95": percentile(&mut rounds_ms, 95),
        "read_24h_target_ms_p50": percentile(&mut target_ms, 50),
        "read_24h_target_ms_p95": percentile(&mut target_ms, 95),
    });
    show(args.json, &summary);
    Ok(())
}

impl Play {
    async fn new(path: &Path, probes: u32, seed: u64) -> anyhow::Result<Play> {
        let store = Store::open(path).await?;
        let scope = Scope::system(ORG_DEFAULT);
        let mut agents = Vec::new();
        for number in 1..=AGENTS {
            let name = Name::parse(&format!("agent{number}")).context("a name")?;
            let new = NewAgent { name, witnesses: Vec::new() };
            agents.push(store.agent_create(&scope, &new, BEGIN.start()).await?.row.id);
        }
        let mut chance = Chance(seed.max(1));
        let bases_us = (0..probes * AGENTS).map(|_| chance.base_rtt_us()).collect();
        let (commit_cpu_s, compact_cpu_s) = (0.0, 0.0);
        let position = 0;
        Ok(Play {
            store,
            scope,
            agents,
            probes,
            chance,
            bases_us,
            position,
            commit_cpu_s,
            compact_cpu_s,
        })
    }

    /// Commits what all agents asked in a minute, and the truth of it; then time passes.
    async fn minute(&mut self, minute: Minute) -> anyhow::Result<()> {
        let mut batches = Vec::new();
        let mut decisions = Vec::new();
        let mut all = vec![MinuteCounts::default(); self.probes as usize];
        for (index, agent) in self.agents.clone().into_iter().enumerate() {
            let mut rounds = Vec::new();
            for (probe, all) in (1..=self.probes).zip(&mut all) {
                let base = index * self.probes as usize + probe as usize - 1;
                let base_us = self.bases_us.get(base).copied().unwrap_or_default();
                let mut counts = MinuteCounts::default();
                for round in 0..ROUNDS_PER_MINUTE {
                    // Spread over the interval, as agents do.
                    let phase_us = ROUND_US * u64::from(probe) / u64::from(self.probes + 1);
                    let due_us = i64::try_from(round * ROUND_US + phase_us)?;
                    let at = UtcMicros(minute.start().0 + due_us);
                    let row = self.chance.round(probe, 0, base_us);
                    counts.count(&row.outcome);
                    rounds.push(Round {
                        subject: row.subject,
                        at,
                        outcome: row.outcome,
                        flags: row.flags,
                        icmp_error: row.icmp_error,
                    });
                }
                all.add(&counts);
                let entity = Entity::Pair { probe: ProbeId(probe), agent };
                decisions.push(said(entity, minute, counts));
            }
            rounds.sort_by_key(|round| round.at);
            batches.push(RoundBatch::new(agent, rounds));
        }
        for (probe, counts) in (1..=self.probes).zip(all) {
            decisions.push(said(Entity::Consensus { probe: ProbeId(probe) }, minute, counts));
        }
        self.position += 1;
        let commit = Commit {
            position: LogPosition(self.position),
            inventory_version: 1,
            decisions: &decisions,
            rounds: &batches,
            highwaters: &[],
            gaps: &[],
            checkpoint: None,
        };
        let before = account::cpu_s(std::process::id())?;
        self.store.commit(&commit, minute.end()).await?;
        self.commit_cpu_s += account::cpu_s(std::process::id())? - before;
        self.compact(minute.end()).await
    }

    async fn compact(&mut self, at: UtcMicros) -> anyhow::Result<()> {
        let before = account::cpu_s(std::process::id())?;
        for _ in 0..STEPS_MAX {
            if self.store.compact(at).await?.is_done {
                break;
            }
        }
        self.compact_cpu_s += account::cpu_s(std::process::id())? - before;
        Ok(())
    }
}

fn said(entity: Entity, minute: Minute, counts: MinuteCounts) -> Decision {
    let truth = MinuteTruth {
        entity,
        minute,
        verdict: Verdict::Up,
        cause: Cause::Answering,
        counts,
        revision: 0,
        said_first: None,
    };
    let kind = DecisionKind::Minute(truth);
    Decision { org: ORG_DEFAULT, decided_at: minute.end(), kind }
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
    let series = store.minutes(scope, probe, first, Minute(first.0 + DAY_MINUTES)).await?;
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
