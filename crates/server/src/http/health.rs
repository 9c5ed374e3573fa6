//! How this server fares.

use axum::extract::State;
use model::{AgentState, Cause, UtcMicros};
use serde::Serialize;
use store::MonitorGap;
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::Json,
    permission::Permission,
    problem::ApiError,
    views::{CauseView, DropCauseView, RefView, Timestamp},
};
use crate::app::{
    App,
    health::{Check, Health, drop_words},
    storage::{Full, Part, Storage},
};

/// A page shows a list; all of a day without a record is one run anyway.
const MISSING_MAX: usize = 100;

/// What this server measures of itself, and what to do about what is not well.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthView {
    /// That of the worst check.
    status: HealthStatusView,
    version: &'static str,
    started_at: Timestamp,
    uptime_s: u64,
    /// Over 1, 5 and 15 minutes.
    load: Vec<f64>,
    memory: MemoryView,
    disk: DiskView,
    database: DatabaseView,
    log: LogView,
    ingest: IngestView,
    history: HistoryHealthView,
    /// When the monitoring itself did not work, an agent was away or blind, or lost what it had
    /// learned, in the last 7 days, newest first.
    gaps: Vec<GapView>,
    backup: BackupView,
    /// Null until it was measured, some minutes after a start.
    #[schema(required)]
    storage: Option<StorageView>,
    checks: Vec<CheckView>,
}

/// What the history takes now, and what the plan says that it takes once everything of the present
/// inventory has been kept for its time. Paused targets are reckoned with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthStorage)]
pub(crate) struct StorageView {
    /// Used bytes are of then; it is looked at once an hour.
    measured_at: Timestamp,
    levels: Vec<StorageLevelView>,
    /// Their sums.
    used_bytes: u64,
    planned_bytes: u64,
    full: StorageFullView,
    /// When the disk is full if everything goes on as it is; null if that is never or not known.
    #[schema(required)]
    full_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthStorageLevel)]
pub(crate) struct StorageLevelView {
    /// A level of the history, `rest` (of the database: not merged yet, free, inventory, changes)
    /// or `log`.
    #[schema(example = "rounds")]
    name: &'static str,
    used_bytes: u64,
    planned_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthStorageFull)]
pub(crate) enum StorageFullView {
    /// The disk takes all that is planned.
    Never,
    /// At `full_at`.
    Later,
    /// The database is not on a disk that this server sees.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthStatus)]
pub(crate) enum HealthStatusView {
    Ok,
    /// It works, and will not for ever.
    Degraded,
    /// The server does not do its work.
    Failing,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthMemory)]
pub(crate) struct MemoryView {
    /// Of this process.
    rss_bytes: u64,
    total_bytes: u64,
    available_bytes: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthDisk)]
pub(crate) struct DiskView {
    path: String,
    total_bytes: u64,
    free_bytes: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthDatabase)]
pub(crate) struct DatabaseView {
    /// `sqlite` or `postgresql`.
    engine: &'static str,
    /// Its file, or its host and name.
    place: String,
    version: String,
    size_bytes: u64,
    schema_version: u32,
    /// Of the last commits.
    latency_ms_p95: f64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthLog)]
pub(crate) struct LogView {
    position: u64,
    /// Records that no stored checkpoint covers yet.
    depth_records: u64,
    bytes: u64,
    segments: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthIngest)]
pub(crate) struct IngestView {
    /// False while no results are taken; the check `intake` says why.
    is_open: bool,
    /// How far judging is behind what was accepted.
    lag_ms: f64,
    rounds_per_s: f64,
    batches_per_s: f64,
    refused_total: u64,
    duplicates_total: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthHistory)]
pub(crate) struct HistoryHealthView {
    #[schema(required)]
    newest_round_at: Option<Timestamp>,
    #[schema(required)]
    newest_minute: Option<Timestamp>,
    /// Age of the newest round; null if there is none.
    #[schema(required)]
    freshness_s: Option<u64>,
    missing_minutes_24h: u32,
    /// The runs of these minutes, newest first.
    missing: Vec<MissingView>,
    /// Of the monitoring itself: the longest run of missing minutes, or the longest stop.
    largest_gap_s: u64,
    /// The longest time in the last 7 days in which one agent was offline or blind.
    largest_outage_s: u64,
}

/// Minutes in a row in which nothing at all was recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MissingMinutes)]
pub(crate) struct MissingView {
    from: Timestamp,
    minutes: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gap)]
pub(crate) struct GapView {
    /// The agent that was away or blind; null if the server itself was.
    #[schema(required)]
    agent: Option<RefView>,
    from: Timestamp,
    /// Null while it lasts.
    #[schema(required)]
    to: Option<Timestamp>,
    length_s: u64,
    cause: CauseView,
    /// In words; empty for the server.
    why: String,
    /// How many rounds the agent lost, at least; null if it is another kind of gap.
    #[schema(required)]
    rounds: Option<u64>,
    /// Why it lost them; null likewise.
    #[schema(required)]
    drop_cause: Option<DropCauseView>,
}

/// The scheduled backups.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthBackup)]
pub(crate) struct BackupView {
    /// How often one is made; null if none are.
    #[schema(required)]
    every_s: Option<u64>,
    #[schema(required)]
    last_success_at: Option<Timestamp>,
    #[schema(required)]
    last_bytes: Option<u64>,
    /// Null after one that succeeded.
    #[schema(required)]
    last_failure_at: Option<Timestamp>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthCheck)]
pub(crate) struct CheckView {
    name: &'static str,
    status: HealthStatusView,
    detail: String,
    /// What to do about it; empty if all is well.
    remedy: &'static str,
}

impl From<Check> for CheckView {
    fn from(check: Check) -> CheckView {
        let status = match check.remedy {
            Some(_) if check.is_failing => HealthStatusView::Failing,
            Some(_) => HealthStatusView::Degraded,
            None => HealthStatusView::Ok,
        };
        let remedy = check.remedy.unwrap_or_default();
        CheckView { name: check.name, status, detail: check.detail, remedy }
    }
}

/// How this server fares
#[utoipa::path(
    get, path = "/api/v1/health", tag = "server",
    responses((status = 200, description = "As of now", body = HealthView))
)]
pub(crate) async fn health_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<HealthView>, ApiError> {
    let scope = caller.authorize(Permission::HealthRead)?;
    let health = app.health(&scope).await?;
    Ok(Json(view(&app, health)))
}

fn view(app: &App, health: Health) -> HealthView {
    let history = history_view(&health);
    let backup = backup_view(&health);
    let gaps = gap_views(&health);
    let storage = health.storage.as_ref().map(|storage| storage_view(storage, health.now));
    let vitals = &health.vitals;
    let checks: Vec<CheckView> = health.checks.into_iter().map(CheckView::from).collect();
    let worst = checks.iter().map(|check| check.status).max();
    HealthView {
        status: worst.unwrap_or(HealthStatusView::Ok),
        version: env!("CARGO_PKG_VERSION"),
        started_at: vitals.started_at.into(),
        uptime_s: health.now.since(vitals.started_at).as_secs(),
        load: health.load.map(Vec::from).unwrap_or_default(),
        memory: MemoryView {
            rss_bytes: health.memory.map_or(0, |memory| memory.rss_bytes),
            total_bytes: health.memory.map_or(0, |memory| memory.total_bytes),
            available_bytes: health.memory.map_or(0, |memory| memory.available_bytes),
        },
        disk: DiskView {
            path: app.config.data_dir.display().to_string(),
            total_bytes: health.disk.map_or(0, |disk| disk.total_bytes),
            free_bytes: health.disk.map_or(0, |disk| disk.free_bytes),
        },
        database: DatabaseView {
            engine: health.database.engine,
            place: health.database.place,
            version: health.database.version,
            size_bytes: health.database.size_bytes,
            schema_version: health.database.schema_version,
            latency_ms_p95: in_ms(vitals.commit_us_p95),
        },
        log: LogView {
            position: vitals.position.0,
            depth_records: vitals.log_depth_records,
            bytes: vitals.log_bytes,
            segments: vitals.log_segments,
        },
        ingest: IngestView {
            is_open: vitals.is_intake_open && vitals.log_impediment.is_none(),
            lag_ms: in_ms(vitals.ingest_lag_us),
            rounds_per_s: vitals.rounds_per_s,
            batches_per_s: vitals.batches_per_s,
            refused_total: vitals.refusals_total,
            duplicates_total: vitals.duplicates_total,
        },
        history,
        backup,
        storage,
        gaps,
        checks,
    }
}

fn storage_view(storage: &Storage, now: UtcMicros) -> StorageView {
    let level = |part: &Part| StorageLevelView {
        name: part.name,
        used_bytes: part.growing.used_bytes,
        planned_bytes: part.growing.planned_bytes,
    };
    let (full, full_at) = match storage.full {
        Full::Never => (StorageFullView::Never, None),
        Full::Unknown => (StorageFullView::Unknown, None),
        Full::After(after) => (StorageFullView::Later, Some((now + after).into())),
    };
    StorageView {
        measured_at: storage.measured_at.into(),
        levels: storage.parts.iter().map(level).collect(),
        used_bytes: storage.used_bytes(),
        planned_bytes: storage.planned_bytes(),
        full,
        full_at,
    }
}

fn backup_view(health: &Health) -> BackupView {
    let done = health.backup.done.as_ref();
    BackupView {
        every_s: health.backup_every.map(|every| every.as_secs()),
        last_success_at: done.map(|done| done.at.into()),
        last_bytes: done.map(|done| done.bytes),
        last_failure_at: health.backup.failed.as_ref().map(|(at, _)| (*at).into()),
    }
}

fn history_view(health: &Health) -> HistoryHealthView {
    HistoryHealthView {
        newest_round_at: health.freshness.newest_round_at.map(Timestamp::from),
        newest_minute: health.freshness.newest_minute.map(|minute| minute.start().into()),
        freshness_s: health.freshness().map(|age| age.as_secs()),
        missing_minutes_24h: health.missing.missing(),
        missing: (health.missing.runs.iter().rev().take(MISSING_MAX))
            .map(|(minute, count)| MissingView { from: minute.start().into(), minutes: *count })
            .collect(),
        largest_gap_s: health.largest_gap().as_secs(),
        largest_outage_s: health.largest_outage().as_secs(),
    }
}

/// Brings the gaps of the server and of its agents into one list, newest first.
fn gap_views(health: &Health) -> Vec<GapView> {
    let view = |from: UtcMicros, to: Option<UtcMicros>, cause: Cause| GapView {
        agent: None,
        from: from.into(),
        to: to.map(Timestamp::from),
        length_s: to.unwrap_or(health.now).since(from).as_secs(),
        cause: cause.into(),
        why: String::new(),
        rounds: None,
        drop_cause: None,
    };
    let own = |gap: &MonitorGap| (gap.from, view(gap.from, Some(gap.to), gap.cause));
    let mut all: Vec<(UtcMicros, GapView)> = health.gaps.iter().map(own).collect();
    all.extend(health.outages.iter().map(|outage| {
        let is_blind = outage.state == AgentState::Blind;
        let cause = if is_blind { Cause::AgentBlind } else { Cause::AgentOffline };
        let agent = Some(RefView::from(&outage.agent));
        let gap = view(outage.from, outage.to, cause);
        (outage.from, GapView { agent, why: outage.why.clone(), ..gap })
    }));
    all.extend(health.lost.iter().map(|lost| {
        let gap = view(lost.gap.from, Some(lost.gap.to), Cause::Dropped);
        let view = GapView {
            agent: Some(RefView::from(&lost.agent)),
            why: drop_words(&lost.gap),
            rounds: Some(lost.gap.rounds),
            drop_cause: Some(lost.gap.cause.into()),
            ..gap
        };
        (lost.gap.from, view)
    }));
    all.sort_by_key(|(from, _)| std::cmp::Reverse(*from));
    all.into_iter().map(|(_, gap)| gap).collect()
}

fn in_ms(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64() * 1_000.0
}
