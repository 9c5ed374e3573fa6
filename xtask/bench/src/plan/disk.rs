//! Disk by level.

use std::time::Duration;

use anyhow::ensure;
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
const MERGED: &str = "all merged, as what is older is";
/// As a configuration has them that says nothing, in days.
const KEPT_DAYS: [u64; 7] = [14, 90, 90, 400, 400, 1_826, 1_826];

/// That, and no more than was played.
fn kept(days: u32) -> Kept {
    let [rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d] =
        KEPT_DAYS.map(|kept| Duration::from_secs(86_400 * kept.min(days.into())));
    Kept { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d }
}

/// Fills a store with `days` and compares what it takes.
pub(super) async fn run(days: u32, seed: u64) -> anyhow::Result<Vec<Compared>> {
    eprintln!("disk: {days} days of {PROBES} targets and {AGENTS} agents");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("faultline.db");
    let mut play = Play::new(&path, PROBES, seed).await?;
    let empty = play.past.store.size_bytes().await?;
    let end = BEGIN.0 + i64::from(days) * DAY_MINUTES;
    for minute in (BEGIN.0..end).step_by(COMMIT_MINUTES as usize) {
        play.minutes(Minute(minute)..Minute(minute + COMMIT_MINUTES)).await?;
    }
    while 0 < play.past.store.vacuum_step().await? {}
    let at_midnight = play.past.store.history_size().await?;
    let file = play.past.store.size_bytes().await?.saturating_sub(empty);
    // Quiet after each step before the next, and long enough for the longest spans.
    for after in [120, 1_000, 2_000] {
        play.compact(Minute(end + after).start()).await?;
    }
    for days_after in [40, 80, 500, 1_000] {
        play.compact(Minute(end + days_after * DAY_MINUTES).start()).await?;
    }
    let merged = play.past.store.history_size().await?;
    play.past.store.close().await;
    compare(days, &at_midnight, &merged, file)
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
    days: u32,
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
        kept: kept(days),
    });
    let (mut all, mut unmerged, mut in_chunks) = (Vec::new(), 0.0, 0.0);
    for Level { name, records, bytes, .. } in &plan.levels {
        let (Some((count, size)), Some(planned)) = (of(merged, name), records) else { continue };
        // What is older than the times that are kept is there too: nothing was forgotten.
        ensure!(*planned as f64 <= count, "{count} records of {name}, {planned} were planned");
        let each = size / count;
        let (planned, measured) = (*bytes as f64, each * *planned as f64);
        all.push(Compared { name, planned, measured, note: MERGED });
        let (count_then, size_then) = of(at_midnight, name).unwrap_or_default();
        unmerged += size_then - each * count_then;
        in_chunks += size_then;
    }
    unmerged += at_midnight.tail.bytes as f64;
    in_chunks += at_midnight.tail.bytes as f64;
    let planned = |name: &str| plan.levels.iter().find(|l| l.name == name).map_or(0, |l| l.bytes);
    let levels: f64 = all.iter().map(|compared| compared.measured).sum();
    let free = (file as f64 / in_chunks - 1.0) * (levels + unmerged);
    for (name, measured, note) in [
        ("unmerged", unmerged, "just before a midnight, the most there is"),
        ("free", free, "of the file then, times all levels"),
        ("disk", levels + unmerged + free, "all of these; without the log"),
    ] {
        let planned =
            if name == "disk" { plan.disk_bytes() - planned("log") } else { planned(name) };
        let planned = planned as f64;
        all.push(Compared { name, planned, measured, note });
    }
    Ok(all)
}
