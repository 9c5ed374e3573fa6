//! Roll-ups: what they cost, how soon a quarter of them is read, and what a data directory that has
//! all that the default retention keeps would be.
//!
//! One group of 64 targets for some months, so that everything but hours and days is at its full
//! size, merged and forgotten as in years of service. What is kept for longer is the same records
//! again, so its size follows from the count.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use bench::fleet::Chance;
use model::{Minute, ProbeId, Span, UtcMicros};
use serde_json::{Value, json};
use store::{HistorySize, Kept, ORG_DEFAULT, Retention, RollupsBefore, Scope, Store, Who};

use super::{cold, told};
use crate::account::{Cost, Meter};
use crate::play::{AGENTS, BEGIN, DAY_MINUTES, Play, ROUNDS_PER_MINUTE};

/// The database of the part with roll-ups.
const DATABASE: &str = "faultline.db";
/// One group of neighbouring targets: what chunks are made of.
const PROBES: u32 = 64;
/// Minutes of one commit: as long as it takes until they are sealed, whatever the commits.
const COMMIT_MINUTES: i64 = 5;
/// As `[retention]` has them by default, in days.
const ROUNDS_DAYS: u32 = 14;
const MINUTES_DAYS: u32 = 90;
const PAIR_FIVES_DAYS: u32 = 90;
const PAIR_HOURS_DAYS: u32 = 400;
const ALL_FIVES_DAYS: u32 = 400;
const YEARS_5_DAYS: u32 = 1_827;
/// What is read: the longest range that is told by hours.
const READ_DAYS: i64 = 90;

/// What is kept of one level.
struct Level {
    name: &'static str,
    kept: Kept,
    /// Records that are kept of each pair of target and agent, at the default retention.
    records_per_pair: f64,
}

impl Level {
    fn bytes_per_record(&self) -> f64 {
        self.kept.bytes as f64 / self.kept.records.max(1) as f64
    }

    /// Rounds of a pair are kept for two weeks: these are what bytes are shared among.
    fn bytes_per_result(&self) -> f64 {
        self.bytes_per_record() * self.records_per_pair / results_per_pair()
    }
}

/// What the part with roll-ups found.
pub(crate) struct Rolls {
    levels: Vec<Level>,
    /// Of the file over what is in chunks and tails.
    overhead: f64,
    reads: Vec<Cost>,
    days: u32,
}

fn results_per_pair() -> f64 {
    f64::from(ROUNDS_DAYS) * DAY_MINUTES as f64 * ROUNDS_PER_MINUTE as f64
}

/// Fills a store in a folder with `days` and reads `reads` quarters of it.
pub(crate) async fn run(folder: &Path, days: u32, reads: u32, seed: u64) -> anyhow::Result<Rolls> {
    let path = folder.join(DATABASE);
    let mut play = Play::new(&path, PROBES, seed).await?;
    let empty = play.past.store.size_bytes().await?;
    let end = BEGIN.0 + i64::from(days) * DAY_MINUTES;
    for minute in (BEGIN.0..end).step_by(COMMIT_MINUTES as usize) {
        play.minutes(Minute(minute)..Minute(minute + COMMIT_MINUTES)).await?;
        if (minute + COMMIT_MINUTES) % DAY_MINUTES == 0 {
            play.forget(&retention(Minute(minute).end())).await?;
        }
    }
    // What the last day's chunks were made of is given back within ten minutes.
    play.compact(Minute(end + 120).start()).await?;
    play.forget(&retention(Minute(end + 120).start())).await?;
    let size = play.past.store.history_size().await?;
    play.past.store.close().await;
    let levels = levels(&size);
    let bytes: u64 = levels.iter().map(|level| level.kept.bytes).sum();
    // What a database has of itself is little where there is more than one group.
    let file = path.metadata()?.len().saturating_sub(empty);
    let overhead = file as f64 / (bytes + size.tail.bytes).max(1) as f64;
    let reads = self::reads(folder, days, reads, seed).await?;
    Ok(Rolls { levels, overhead, reads, days })
}

/// Reads `count` quarters of what such a run has left in a folder.
pub(crate) async fn reads(
    folder: &Path,
    days: u32,
    count: u32,
    seed: u64,
) -> anyhow::Result<Vec<Cost>> {
    let path = folder.join(DATABASE);
    let mut chance = Chance(seed.wrapping_add(1).max(1));
    let scope = Scope::system(ORG_DEFAULT);
    let end = BEGIN.0 + i64::from(days) * DAY_MINUTES;
    let span = READ_DAYS.min(i64::from(days)) * DAY_MINUTES;
    let mut reads = Vec::new();
    for _ in 0..count {
        let probe = ProbeId(1 + u32::try_from(chance.below(u64::from(PROBES)))?);
        let store = cold(&path).await?;
        reads.push(read(&store, &scope, probe, Minute(end - span), Minute(end)).await?);
        store.close().await;
    }
    Ok(reads)
}

/// Reads the hours of a target, of all its agents and of all together.
async fn read(
    store: &Store,
    scope: &Scope,
    probe: ProbeId,
    from: Minute,
    to: Minute,
) -> anyhow::Result<Cost> {
    let meter = Meter::start()?;
    let series = store.rollups(scope, probe, Who::Each, Span::Hour, from, to).await?;
    let cost = meter.stop()?;
    let hours: usize = series.iter().map(|series| series.rollups.len()).sum();
    let due = (to.0 - from.0) / Span::Hour.minutes() * i64::from(AGENTS + 1);
    ensure!(i64::try_from(hours) == Ok(due), "{hours} hours instead of {due}");
    Ok(cost)
}

fn retention(now: UtcMicros) -> Retention {
    let before = |days: u32| now - Duration::from_secs(u64::from(days) * 24 * 3600);
    Retention {
        now,
        rounds_before: before(ROUNDS_DAYS),
        minutes_before: before(MINUTES_DAYS),
        rollups_before: RollupsBefore {
            pair_fives: before(PAIR_FIVES_DAYS),
            pair_hours: before(PAIR_HOURS_DAYS),
            all_fives: before(ALL_FIVES_DAYS),
            all_hours: before(YEARS_5_DAYS),
            all_days: before(YEARS_5_DAYS),
        },
        changes_before: before(PAIR_HOURS_DAYS),
        incidents_before: before(PAIR_HOURS_DAYS),
        facts_before: before(PAIR_HOURS_DAYS),
        audit_before: before(PAIR_HOURS_DAYS),
        highwaters_before: before(ROUNDS_DAYS),
    }
}

fn levels(size: &HistorySize) -> Vec<Level> {
    let per_day = |minutes: i64| DAY_MINUTES as f64 / minutes as f64;
    // Of all agents together there is one series for as many pairs as there are agents.
    let shared = 1.0 / f64::from(AGENTS);
    let (five, hour) = (per_day(Span::FiveMinutes.minutes()), per_day(Span::Hour.minutes()));
    let of = |name, kept, per_day: f64, days: u32| {
        let records_per_pair = per_day * f64::from(days);
        Level { name, kept, records_per_pair }
    };
    vec![
        of("rounds", size.rounds, per_day(1) * ROUNDS_PER_MINUTE as f64, ROUNDS_DAYS),
        of("minutes", size.minutes, per_day(1) * (1.0 + shared), MINUTES_DAYS),
        of("agent_5m", size.pair_fives, five, PAIR_FIVES_DAYS),
        of("agent_1h", size.pair_hours, hour, PAIR_HOURS_DAYS),
        of("agent_1d", size.pair_days, 1.0, PAIR_HOURS_DAYS),
        of("target_5m", size.all_fives, five * shared, ALL_FIVES_DAYS),
        of("target_1h", size.all_hours, hour * shared, YEARS_5_DAYS),
        of("target_1d", size.all_days, shared, YEARS_5_DAYS),
    ]
}

impl Rolls {
    /// One line for each level.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Value> {
        self.levels.iter().map(|level| {
            json!({
                "level": level.name,
                "records": level.kept.records,
                "chunks": level.kept.chunks,
                "bytes_per_record": level.bytes_per_record(),
                "bytes_per_result": level.bytes_per_result(),
            })
        })
    }

    pub(crate) fn summary(self) -> Value {
        let all: f64 = self.levels.iter().map(Level::bytes_per_result).sum();
        let mut summary = told("read_90d_rollup", self.reads);
        summary.insert("roll_days".to_owned(), json!(self.days));
        summary.insert("database_over_chunks".to_owned(), json!(self.overhead));
        summary.insert("data_dir_bytes_per_result".to_owned(), json!(all * self.overhead));
        summary.insert(
            "data_dir_formula".to_owned(),
            json!(
                "database_over_chunks * sum over levels of bytes_per_record * records kept of a \
                 pair / rounds kept of a pair, without the log"
            ),
        );
        summary.into()
    }
}
