//! Disk by level.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use model::{
    Kept, Minute, Plan, Tier,
    plan::{Level, Question},
};
use store::HistorySize;

use super::Compared;
use crate::play::{AGENTS, BEGIN, DAY_MINUTES, Play};

/// One group of neighbouring targets: what chunks are made of.
const PROBES: u32 = 64;
/// Minutes of one commit: as long as it takes until they are sealed, whatever the commits.
const COMMIT_MINUTES: i64 = 5;
/// Below this share of all a level is not judged alone.
const SHARE_JUDGED: f64 = 0.02;
const MERGED: &str = "bytes of merged records, times as many as are kept";
/// As a configuration has them that says nothing, in days.
const KEPT_DAYS: [u64; 7] = [14, 90, 90, 400, 400, 1_826, 1_826];

fn kept() -> Kept {
    let [rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d] =
        KEPT_DAYS.map(|days| Duration::from_secs(86_400 * days));
    Kept { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d }
}

/// Fills a store with `days` and compares what it takes.
pub(super) async fn run(days: u32, seed: u64) -> anyhow::Result<Vec<Compared>> {
    eprintln!("disk: {days} days of {PROBES} targets and {AGENTS} agents");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("faultline.db");
    let mut play = Play::new(&path, PROBES, seed).await?;
    let empty = play.store.size_bytes().await?;
    let end = BEGIN.0 + i64::from(days) * DAY_MINUTES;
    for minute in (BEGIN.0..end).step_by(COMMIT_MINUTES as usize) {
        play.minutes(Minute(minute)..Minute(minute + COMMIT_MINUTES)).await?;
    }
    while 0 < play.store.vacuum_step().await? {}
    let at_midnight = play.store.history_size().await?;
    let file = play.store.size_bytes().await?.saturating_sub(empty);
    // Quiet after each step before the next, and long enough for the longest spans.
    for after in [120, 1_000, 2_000] {
        play.compact(Minute(end + after).start()).await?;
    }
    for days_after in [40, 80, 500, 1_000] {
        play.compact(Minute(end + days_after * DAY_MINUTES).start()).await?;
    }
    let merged = play.store.history_size().await?;
    play.store.close().await;
    compare(&at_midnight, &merged, file)
}

/// Records and bytes of each level, as a plan names it.
fn of(size: &HistorySize, name: &str) -> Option<(f64, f64)> {
    let kept = match name {
        "rounds" => size.rounds,
        "minutes" => size.minutes,
        "agent_5m" => size.pair_fives,
        "agent_1h" => size.pair_hours,
        "agent_1d" => size.pair_days,
        "target_5m" => size.all_fives,
        "target_1h" => size.all_hours,
        "target_1d" => size.all_days,
        _ => return None,
    };
    Some((kept.records as f64, kept.bytes as f64))
}

fn compare(
    at_midnight: &HistorySize,
    merged: &HistorySize,
    file: u64,
) -> anyhow::Result<Vec<Compared>> {
    let plan = Plan::of(&Question {
        targets: PROBES.into(),
        agents: AGENTS.into(),
        interval: Tier::INTERVAL_DEFAULT,
        packets: Tier::PACKETS_DEFAULT,
        payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
        kept: kept(),
    });
    let (mut all, mut unmerged, mut in_chunks) = (Vec::new(), 0.0, 0.0);
    for Level { name, records, bytes, .. } in &plan.levels {
        let Some((count, size)) = of(merged, name) else { continue };
        ensure!(0.0 < count, "nothing of {name} was made: play more days");
        let each = size / count;
        let (count_then, size_then) = of(at_midnight, name).unwrap_or_default();
        unmerged += size_then - each * count_then;
        in_chunks += size_then;
        let (planned, kept) = (*bytes as f64, records.context("no records")? as f64);
        let measured = each * kept;
        all.push(Compared { name, planned, measured, is_judged: false, note: MERGED });
    }
    unmerged += at_midnight.tail.bytes as f64;
    in_chunks += at_midnight.tail.bytes as f64;
    let planned = |name: &str| {
        let level = plan.levels.iter().find(|level| level.name == name);
        level.map_or(0.0, |level| level.bytes as f64)
    };
    let levels: f64 = all.iter().map(|compared| compared.measured).sum();
    let free = (file as f64 / in_chunks - 1.0) * (levels + unmerged);
    let told = [
        ("unmerged", planned("unmerged"), unmerged, "just before a midnight, the most there is"),
        ("free", planned("free"), free, "of the file then, times all levels"),
    ];
    for (name, planned, measured, note) in told {
        all.push(Compared { name, planned, measured, is_judged: false, note });
    }
    let measured = levels + unmerged + free;
    for compared in &mut all {
        compared.is_judged = SHARE_JUDGED * measured <= compared.measured;
    }
    let planned = plan.disk_bytes() as f64 - planned("log");
    let note = "all of these; without the log";
    all.push(Compared { name: "disk", planned, measured, is_judged: true, note });
    Ok(all)
}
