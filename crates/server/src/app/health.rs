//! How this server fares: what it measures, and the checks with what to do about each.

mod messages;

use std::{net::SocketAddr, time::Duration};

use model::{AgentId, AgentState, DropCause, Gap, Minute, UtcMicros};
use store::{AgentGapRow, AgentOutage, AgentRow, Freshness, MinuteGaps, MonitorGap, Scope};

use super::{
    App, AppError,
    backup::BackupState,
    machine::{self, Load, Memory},
    storage::Storage,
};
use crate::{
    conductor::{Rival, ServerVitals},
    panics::Panicked,
    space::{self, Disk, Room, size},
};

/// Judging further behind than this is no longer live.
const INGEST_LAG_MAX: Duration = Duration::from_secs(10);
/// A commit slower than this at the 95th percentile holds up judging.
const COMMIT_MAX: Duration = Duration::from_secs(1);
/// Below this share (1 / 20) of the machine's memory, it starts to swap or kill.
const MEMORY_FREE_SHARE: u64 = 20;
/// The engine closes no minute later than this after its end: by then the slowest legal round with
/// its confirm burst has come in.
const CLOSING_DELAY: Duration = Duration::from_secs(50);
/// A difference that people notice when they compare times.
const WALL_AHEAD_US_MAX: u64 = 1_000_000;
const GAPS_LOOKBACK: Duration = Duration::from_secs(7 * 24 * 3600);
/// A loss this long ago is history: the list of gaps has it.
const LOSSES_LOOKBACK: Duration = Duration::from_secs(24 * 3600);
/// A copy knocks every 15 seconds: one that has not for this long was stopped.
const RIVAL_SHOWN: Duration = Duration::from_secs(300);
/// The page shows a list, not an archive.
const GAPS_MAX: usize = 100;
/// As [`GAPS_MAX`], of those that last and of those that ended.
const OUTAGES_MAX: u32 = 100;
const MINUTES_PER_DAY: i64 = 1_440;
const PANIC_TOLD_FOR: Duration = Duration::from_secs(24 * 3600);

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) detail: String,
    /// What to do about it; `None` if all is well.
    pub(crate) remedy: Option<&'static str>,
    /// The server does not do its work for it, now.
    pub(crate) is_failing: bool,
}

impl Check {
    fn new(name: &'static str, detail: String, remedy: Option<&'static str>) -> Check {
        Check { name, detail, remedy, is_failing: false }
    }

    fn failing(name: &'static str, detail: String, remedy: &'static str) -> Check {
        Check { name, detail, remedy: Some(remedy), is_failing: true }
    }
}

/// Everything the Health page shows.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) now: UtcMicros,
    pub(crate) vitals: ServerVitals,
    pub(crate) load: Option<Load>,
    pub(crate) memory: Option<Memory>,
    pub(crate) disk: Option<Disk>,
    pub(crate) database: Database,
    pub(crate) freshness: Freshness,
    /// How often the most watched target is asked; `None` if none is watched.
    pub(crate) interval_min: Option<Duration>,
    pub(crate) missing: MinuteGaps,
    pub(crate) gaps: Vec<MonitorGap>,
    /// Times in which an agent was offline or blind.
    pub(crate) outages: Vec<AgentOutage>,
    pub(crate) backup: BackupState,
    /// How often a backup is to be made; `None` if none are.
    pub(crate) backup_every: Option<Duration>,
    pub(crate) panics: Vec<Panicked>,
    /// Parts of the history that were found damaged since the start.
    pub(crate) damaged: u64,
    /// What agents lost, newest first.
    pub(crate) lost: Vec<AgentGapRow>,
    /// What the history takes; `None` until it was measured.
    pub(crate) storage: Option<Storage>,
    pub(crate) checks: Vec<Check>,
}

/// Whether results come in, and how far judging is behind them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeState {
    pub(crate) is_open: bool,
    pub(crate) lag: Duration,
}

#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) engine: &'static str,
    /// Its file, or its host and name.
    pub(crate) place: String,
    pub(crate) version: String,
    pub(crate) schema_version: u32,
    pub(crate) size_bytes: u64,
}

impl App {
    pub(crate) async fn health(&self, scope: &Scope) -> Result<Health, AppError> {
        let now = self.clock.now();
        let database = Database {
            engine: self.store.engine_name(),
            place: self.config.database().to_string(),
            version: self.store.engine_version().await?,
            schema_version: self.store.schema_version().await?,
            size_bytes: self.store.size_bytes().await?,
        };
        let today = Minute(now.minute().0 - MINUTES_PER_DAY)..now.minute();
        let missing = self.store.minute_gaps(scope, today.start, today.end).await?;
        let mut gaps = self.store.gaps(scope, now - GAPS_LOOKBACK, now).await?;
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.from));
        gaps.truncate(GAPS_MAX);
        let week_ago = now - GAPS_LOOKBACK;
        // The newest are enough here.
        let lost = self.store.agent_gaps(scope, week_ago, now).await?.rows;
        let mut health = Health {
            now,
            vitals: self.conductor.vitals(),
            load: machine::load(),
            memory: machine::memory(),
            disk: space::disk(&self.config.data_dir),
            database,
            freshness: self.store.freshness(scope).await?,
            interval_min: self.store.tier_interval_min(scope).await?,
            missing,
            gaps,
            outages: self.store.agent_outages(scope, week_ago, now, OUTAGES_MAX).await?,
            backup: self.backup_state(),
            backup_every: self.config.backup.as_ref().map(|backup| backup.every),
            panics: self.panics().all(),
            damaged: self.store.damaged_places(),
            lost,
            storage: None,
            checks: Vec::new(),
        };
        let agents = self.store.agent_list(scope).await?;
        health.storage = self.storage(scope, &agents, health.disk).await?;
        let awaited = agents.iter().filter(|agent| self.awaited_since(agent).is_some());
        let awaited: Vec<AgentId> = awaited.map(|agent| agent.id).collect();
        health.checks = health.check(&agents, &awaited);
        let rivals = self.conductor.rivals_since(now - RIVAL_SHOWN);
        health.checks.push(check_copies(&agents, &rivals));
        health.checks.extend(health.storage.as_ref().map(check_storage));
        health.checks.push(messages::check(now, &self.webhooks(scope).await?));
        // Judged in full, listed in part.
        health.lost.truncate(GAPS_MAX);
        Ok(health)
    }

    /// Returns what keeps this server from its work, each with its name; empty when it is ready.
    pub(crate) async fn not_ready(&self) -> Vec<(&'static str, String)> {
        let mut reasons = Vec::new();
        let probe = async {
            let error = self.store.probe().await.err()?;
            // Everyone may ask this: what lies behind the error is for the log.
            tracing::warn!(error = %crate::chain(&error), "the database does not answer");
            Some(error.to_string())
        };
        let probed = self.readiness.ask(&self.clock, probe).await;
        let vitals = self.conductor.vitals();
        if let Some(reason) = vitals.store_impediment.or(probed) {
            reasons.push(("database", reason));
        }
        if let Some(impediment) = vitals.disk_impediment {
            reasons.push(("disk", impediment));
        }
        if let Some(impediment) = vitals.log_impediment {
            reasons.push(("log", impediment));
        }
        if !self.conductor.is_ready() {
            reasons.push(("conductor", "is still reading the log; wait".to_owned()));
        }
        reasons
    }

    /// Says whether results come in.
    pub(crate) fn intake(&self) -> IntakeState {
        let vitals = self.conductor.vitals();
        IntakeState {
            is_open: vitals.is_intake_open && vitals.log_impediment.is_none(),
            lag: Duration::from_micros(vitals.ingest_lag_us),
        }
    }

    /// What ails the disks that results go to, with the remedy.
    pub(crate) fn disk_impediment(&self) -> Option<String> {
        let was_spent = self.conductor.was_disk_in_the_way();
        let folders = [self.config.data_dir.clone(), self.config.log_dir()];
        folders.iter().find_map(|folder| space::impediment(folder, space::disk(folder), was_spent))
    }
}

/// Whether the disk takes what is to be kept.
fn check_storage(storage: &Storage) -> Check {
    let remedy = "keep less (`kept_days` of a tier, `retention` in the configuration), or take a \
                  larger disk (docs/runbooks/disk-full.md)";
    Check::new("storage", storage.words(), storage.is_full_soon().then_some(remedy))
}

impl Health {
    /// How long ago the newest round was; `None` if there is none.
    pub(crate) fn freshness(&self) -> Option<Duration> {
        self.freshness.newest_round_at.map(|at| self.now.since(at))
    }

    /// The longest time without a record: minutes of today, or the monitor's own gaps.
    pub(crate) fn largest_gap(&self) -> Duration {
        let minutes = Duration::from_secs(u64::from(self.missing.largest()) * 60);
        let gaps = self.gaps.iter().map(|gap| gap.to.since(gap.from));
        gaps.fold(minutes, Duration::max)
    }

    /// The longest time in which one agent was away or blind, up to now if it still is.
    pub(crate) fn largest_outage(&self) -> Duration {
        let lengths = self.outages.iter().map(|o| o.to.unwrap_or(self.now).since(o.from));
        lengths.max().unwrap_or(Duration::ZERO)
    }

    fn check(&self, agents: &[AgentRow], awaited: &[AgentId]) -> Vec<Check> {
        vec![
            self.check_intake(),
            self.check_database(),
            self.check_disk(),
            self.check_memory(),
            self.check_history(),
            self.check_record(),
            self.check_losses(),
            check_agents(agents, awaited),
            self.check_clock(),
            self.check_backup(),
            self.check_parts(),
        ]
    }

    /// 1 - Nothing is taken, or the log refuses it: failing.
    /// 2 - What was taken is judged late.
    fn check_intake(&self) -> Check {
        let vitals = &self.vitals;
        let closed = [&vitals.disk_impediment, &vitals.store_impediment];
        let closed = closed.into_iter().flatten().next().filter(|_| !vitals.is_intake_open);
        if let Some(reason) = closed.or(vitals.log_impediment.as_ref()) {
            let detail = format!("no results are taken: {reason}");
            let remedy = "agents keep their results and send them once that is over";
            return Check::failing("intake", detail, remedy);
        }
        let lag = Duration::from_micros(vitals.ingest_lag_us);
        if lag <= INGEST_LAG_MAX {
            let detail = format!("judging is {} ms behind what came in", lag.as_millis());
            return Check::new("intake", detail, None);
        }
        let detail = format!("judging is {} s behind what came in", lag.as_secs());
        let remedy = "see whether the disk or the processor is busy; it catches up by itself";
        Check::new("intake", detail, Some(remedy))
    }

    fn check_database(&self) -> Check {
        if let Some(impediment) = &self.vitals.store_impediment {
            let remedy = "it is tried again by itself; what was accepted is in the log meanwhile";
            return Check::failing("database", impediment.clone(), remedy);
        }
        let commit = Duration::from_micros(self.vitals.commit_us_p95);
        let detail = format!("95 % of the commits took at most {} ms", commit.as_millis());
        let remedy = "put the data directory on a faster disk, or stop what else writes to it";
        Check::new("database", detail, (COMMIT_MAX < commit).then_some(remedy))
    }

    fn check_disk(&self) -> Check {
        let remedy =
            "free space, or shorten `retention` in the configuration (docs/runbooks/disk-full.md)";
        if let Some(impediment) = &self.vitals.disk_impediment {
            return Check::failing("disk", impediment.clone(), remedy);
        }
        let Some(disk) = self.disk else {
            let detail = "the file system of the data directory cannot be read".to_owned();
            return Check::new("disk", detail, Some("look whether the data directory is there"));
        };
        match disk.room(false) {
            Room::Enough => Check::new("disk", disk.words(), None),
            Room::Low => Check::new("disk", format!("low: {}", disk.words()), Some(remedy)),
            Room::Short | Room::Spent => {
                let detail = format!("very low: {}; soon no results are taken", disk.words());
                Check::new("disk", detail, Some(remedy))
            }
        }
    }

    fn check_memory(&self) -> Check {
        let (detail, is_low) = match self.memory {
            Some(memory) => (
                format!(
                    "{} used by this process, {} of {} available",
                    size(memory.rss_bytes),
                    size(memory.available_bytes),
                    size(memory.total_bytes)
                ),
                memory.available_bytes < memory.total_bytes / MEMORY_FREE_SHARE,
            ),
            None => ("/proc cannot be read".to_owned(), true),
        };
        let remedy = "stop what else uses memory on this machine, or give it more";
        Check::new("memory", detail, is_low.then_some(remedy))
    }

    /// 1 - Something is watched, and the newest round is older than the shortest interval and the
    ///     closing delay: the next one should have come in by then.
    /// 2 - The server has run for as long: before, nobody could send it one.
    fn check_history(&self) -> Check {
        let uptime = self.now.since(self.vitals.started_at);
        let age = self.freshness().unwrap_or(Duration::MAX);
        let is_bad = self
            .interval_min
            .is_some_and(|interval| interval.saturating_add(CLOSING_DELAY) < age.min(uptime));
        let detail = match self.freshness() {
            Some(age) => format!("the newest round is {} s old", age.as_secs()),
            None => "no round has come in yet".to_owned(),
        };
        let remedy = "look at the agents: one must be online and able to send";
        Check::new("history", detail, is_bad.then_some(remedy))
    }

    fn check_record(&self) -> Check {
        let detail = match self.damaged {
            0 => "nothing of it was found damaged".to_owned(),
            places => format!("{places} parts of it are damaged and left out since the start"),
        };
        let remedy = "check the disk; `faultline verify` says what is damaged, and a backup from \
                      before has it (docs/runbooks/history-damaged.md)";
        Check::new("record", detail, (0 < self.damaged).then_some(remedy))
    }

    /// A panic is told for a day, so that the next shift hears of it too.
    fn check_parts(&self) -> Check {
        let recent = self.panics.iter().filter(|panicked| panicked.age < PANIC_TOLD_FOR);
        let told: Vec<String> = recent
            .map(|Panicked { part, times, age, text }| {
                format!("`{part}` panicked {times} times, last {} s ago: {text}", age.as_secs())
            })
            .collect();
        let remedy = "it goes on by itself; please report it with the lines of the log around it";
        match told.is_empty() {
            true => {
                let detail = "none of the server's parts failed unexpectedly".to_owned();
                Check::new("parts", detail, None)
            }
            false => Check::new("parts", told.join("; "), Some(remedy)),
        }
    }

    /// What agents lost within the last day.
    fn check_losses(&self) -> Check {
        let is_recent = |row: &&AgentGapRow| self.now - LOSSES_LOOKBACK < row.gap.to;
        let recent: Vec<&AgentGapRow> = self.lost.iter().filter(is_recent).collect();
        let mut agents: Vec<&str> = recent.iter().map(|row| row.agent.name.as_str()).collect();
        agents.sort_unstable();
        agents.dedup();
        let rounds = recent.iter().map(|row| row.gap.rounds).fold(0, u64::saturating_add);
        let detail = match agents.as_slice() {
            [] => "no agent lost a result within 24 hours".to_owned(),
            agents => format!("{rounds} rounds lost within 24 hours at {}", agents.join(", ")),
        };
        let remedy = "see the gaps below for the reason; give the agent a larger or longer spool \
                      if it was cut off for longer than that holds";
        Check::new("losses", detail, (!recent.is_empty()).then_some(remedy))
    }

    fn check_clock(&self) -> Check {
        let ahead_us = self.vitals.wall_ahead_us;
        let is_off = WALL_AHEAD_US_MAX < ahead_us.unsigned_abs();
        let remedy = "let a time service discipline the clock of this machine; a restart of the \
                      server takes the corrected time over";
        let detail =
            format!("the machine's clock is {} ms ahead of the server's", ahead_us / 1_000);
        Check::new("clock", detail, is_off.then_some(remedy))
    }

    /// 1 - The last attempt failed.
    /// 2 - The newest is older than two periods: one was missed and the next one was too.
    fn check_backup(&self) -> Check {
        let name = "backup";
        let Some(every) = self.backup_every else {
            let detail = "none are made by themselves: `backup.dir` is not set".to_owned();
            return Check::new(name, detail, None);
        };
        if let Some((at, reason)) = &self.backup.failed {
            let detail = format!("the attempt of {at} failed: {reason}");
            let remedy = "give `backup.dir` room and the server's user the right to write there; \
                          it is tried again within 15 minutes";
            return Check::new(name, detail, Some(remedy));
        }
        let Some(done) = &self.backup.done else {
            return Check::new(name, "the first one is being made".to_owned(), None);
        };
        let is_old = every.saturating_mul(2) < self.now.since(done.at);
        let remedy = "look for `backup` in the server's log";
        let detail = format!("the newest is of {}, {}", done.at, size(done.bytes));
        Check::new(name, detail, is_old.then_some(remedy))
    }
}

/// What an agent lost, in words.
pub(crate) fn drop_words(gap: &Gap) -> String {
    let why = match gap.cause {
        DropCause::Size => "its spool was full",
        DropCause::Age => "its spool keeps nothing for so long",
        DropCause::Unreadable => "its spool was damaged",
        DropCause::Refused => "the server refused it",
        DropCause::Unwritten => "its spool could not be written",
        DropCause::Overrun => "it could not keep up",
        DropCause::Renamed => "its spool was restored or reset",
    };
    let at_least = if gap.cause == DropCause::Unreadable { "at least " } else { "" };
    format!("{at_least}{} rounds lost: {why}", gap.rounds)
}

/// Whether a second process with the identity of an agent knocks.
fn check_copies(agents: &[AgentRow], rivals: &[(AgentId, Rival)]) -> Check {
    let address = |at: Option<SocketAddr>| at.map_or("?".to_owned(), |at| at.to_string());
    let tell = |(id, rival): &(AgentId, Rival)| {
        let agent = agents.iter().find(|agent| agent.id == *id)?;
        let held = match rival.holder {
            Some(at) => format!("connected from {at} (host {})", rival.holder_hostname),
            None => format!("kept for host {}", rival.holder_hostname),
        };
        let (from, host) = (address(rival.from), &rival.hostname);
        Some(format!("{} is {held}; a second one is refused from {from} (host {host})", agent.name))
    };
    let told: Vec<String> = rivals.iter().filter_map(tell).collect();
    let remedy = "a state directory was copied: stop the copy, or make it an agent of its own with \
                  `faultline agent create NAME` and there `faultline-agent enroll TOKEN --replace`";
    match told.as_slice() {
        [] => {
            let detail = "no agent has a second process with its identity".to_owned();
            Check::new("copies", detail, None)
        }
        told => Check::new("copies", told.join("; "), Some(remedy)),
    }
}

fn check_agents(agents: &[AgentRow], awaited: &[AgentId]) -> Check {
    let active = agents.iter().filter(|agent| !agent.is_paused && !agent.is_revoked);
    let (mut online, mut troubled) = (0, Vec::new());
    for agent in active {
        match agent.state {
            _ if awaited.contains(&agent.id) => {
                troubled.push(format!("{} was not heard since the server started", agent.name));
            }
            AgentState::Online => online += 1,
            AgentState::NeverSeen | AgentState::Offline | AgentState::Blind => {
                troubled.push(format!("{} is {}", agent.name, words(agent.state)));
            }
        }
    }
    let (detail, remedy) = if online == 0 && troubled.is_empty() {
        ("there is no agent".to_owned(), Some("create an agent and type its command on a host"))
    } else if troubled.is_empty() {
        (format!("all {online} online"), None)
    } else {
        let remedy = "start the agent on its host, or pause it if it is meant to be away";
        (format!("{online} online; {}", troubled.join(", ")), Some(remedy))
    };
    Check::new("agents", detail, remedy)
}

fn words(state: AgentState) -> &'static str {
    match state {
        AgentState::NeverSeen => "not enrolled yet",
        AgentState::Online => "online",
        AgentState::Offline => "offline",
        AgentState::Blind => "blind",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::{super::backup::BackupDone, *};

    fn disk(total_bytes: u64, free_bytes: u64) -> Disk {
        Disk { total_bytes, free_bytes, free_files: None, is_read_only: false }
    }

    /// A server that is well, an hour after its start.
    fn well() -> Health {
        let now = UtcMicros(0) + Duration::from_secs(3600);
        let freshness = Freshness { newest_round_at: Some(now), newest_minute: None };
        Health {
            now,
            vitals: ServerVitals { is_intake_open: true, ..ServerVitals::default() },
            load: None,
            memory: Some(Memory { rss_bytes: 1, total_bytes: 100, available_bytes: 50 }),
            disk: Some(disk(100 << 30, 50 << 30)),
            database: Database {
                engine: "sqlite",
                place: String::new(),
                version: String::new(),
                schema_version: 1,
                size_bytes: 0,
            },
            freshness,
            interval_min: Some(Duration::from_secs(30)),
            missing: MinuteGaps::default(),
            gaps: Vec::new(),
            outages: Vec::new(),
            backup: BackupState::default(),
            backup_every: None,
            panics: Vec::new(),
            damaged: 0,
            lost: Vec::new(),
            storage: None,
            checks: Vec::new(),
        }
    }

    /// Compares the checks that are not well.
    #[track_caller]
    fn check(health: &Health, expected: Expect) {
        let mut checks = health.check(&[], &[]);
        // There is no agent here: its check has its own test below.
        checks.retain(|check| check.remedy.is_some() && check.name != "agents");
        let line = |check: &Check| {
            let failing = if check.is_failing { "failing: " } else { "" };
            format!("{}: {failing}{}\n", check.name, check.detail)
        };
        expected.assert_eq(&checks.iter().map(line).collect::<String>());
    }

    #[test]
    fn nothing_is_said_of_a_server_that_is_well() {
        check(&well(), expect![""]);
    }

    #[test]
    fn each_trouble_is_named() {
        let mut health = well();
        health.vitals.ingest_lag_us = 11_000_000;
        health.vitals.commit_us_p95 = 1_500_000;
        health.vitals.wall_ahead_us = -2_000_000;
        health.disk = None;
        health.memory =
            Some(Memory { rss_bytes: 1, total_bytes: 100 << 20, available_bytes: 4 << 20 });
        health.freshness.newest_round_at = None;
        health.damaged = 2;
        check(
            &health,
            expect![[r#"
                intake: judging is 11 s behind what came in
                database: 95 % of the commits took at most 1500 ms
                disk: the file system of the data directory cannot be read
                memory: 0 MiB used by this process, 4 MiB of 100 MiB available
                history: no round has come in yet
                record: 2 parts of it are damaged and left out since the start
                clock: the machine's clock is -2000 ms ahead of the server's
            "#]],
        );
    }

    #[test]
    fn what_agents_lost_is_said_for_a_day() {
        let mut health = well();
        health.now = health.now + Duration::from_secs(7 * 24 * 3600);
        health.interval_min = None;
        let lost = |name: &str, ago_s| AgentGapRow {
            agent: store::Ref { id: AgentId(1), name: model::Name::parse(name).unwrap() },
            gap: model::Gap {
                from: health.now - Duration::from_secs(ago_s + 60),
                to: health.now - Duration::from_secs(ago_s),
                rounds: 20,
                cause: model::DropCause::Size,
            },
        };
        let rows = vec![lost("fra2", 60), lost("fra1", 90), lost("fra1", 120), lost("old", 90_000)];
        health.lost = rows;
        check(
            &health,
            expect![[r#"
                losses: 60 rounds lost within 24 hours at fra1, fra2
            "#]],
        );
    }

    #[test]
    fn a_disk_is_told_to_get_low_before_it_is_spent() {
        let mut health = well();
        health.disk = Some(disk(100 << 30, 9 << 30));
        check(
            &health,
            expect![[r#"
                disk: low: 9216 MiB of 100.0 GiB free
            "#]],
        );
        health.disk = Some(disk(100 << 30, 4 << 30));
        check(
            &health,
            expect![[r#"
                disk: very low: 4096 MiB of 100.0 GiB free; soon no results are taken
            "#]],
        );
    }

    #[test]
    fn what_keeps_the_server_from_its_work_is_a_failure_with_its_reason() {
        let mut health = well();
        health.vitals.log_impediment = Some("the log takes nothing: no room".to_owned());
        check(
            &health,
            expect![[r#"
                intake: failing: no results are taken: the log takes nothing: no room
            "#]],
        );
        health.vitals.log_impediment = None;
        health.vitals.store_impediment = Some("no room for the database".to_owned());
        check(
            &health,
            expect![[r#"
                database: failing: no room for the database
            "#]],
        );
        health.vitals.is_intake_open = false;
        health.vitals.disk_impediment = Some("`/data` is mounted read-only".to_owned());
        check(
            &health,
            expect![[r#"
                intake: failing: no results are taken: `/data` is mounted read-only
                database: failing: no room for the database
                disk: failing: `/data` is mounted read-only
            "#]],
        );
    }

    #[test]
    fn silence_is_no_trouble_if_nothing_is_watched_or_the_server_just_started() {
        let mut health = well();
        health.freshness.newest_round_at = None;
        health.interval_min = None;
        check(&health, expect![""]);
        health.interval_min = well().interval_min;
        health.now = UtcMicros(0) + Duration::from_secs(10);
        check(&health, expect![""]);
    }

    #[test]
    fn a_slow_tier_is_waited_for_and_a_fast_one_is_not() {
        let mut health = well();
        health.now = UtcMicros(0) + Duration::from_secs(7200);
        health.freshness.newest_round_at = Some(health.now - Duration::from_secs(3640));
        health.interval_min = Some(Duration::from_secs(3600));
        check(&health, expect![""]);
        health.freshness.newest_round_at = Some(health.now - Duration::from_secs(3651));
        check(
            &health,
            expect![[r#"
            history: the newest round is 3651 s old
        "#]],
        );
        health.freshness.newest_round_at = Some(health.now - Duration::from_secs(56));
        health.interval_min = Some(Duration::from_secs(5));
        check(
            &health,
            expect![[r#"
            history: the newest round is 56 s old
        "#]],
        );
    }

    #[test]
    fn sizes_have_digits_that_mean_something() {
        let told = [0, 5 << 20, (10 << 30) - 1, 47_352_643_584].map(size);
        assert_eq!(told, ["0 MiB", "5 MiB", "10239 MiB", "44.1 GiB"]);
    }

    #[test]
    fn a_backup_that_failed_or_is_overdue_is_a_trouble() {
        let mut health = well();
        health.backup_every = Some(Duration::from_secs(600));
        check(&health, expect![""]);
        let at = health.now - Duration::from_secs(1_200);
        health.backup.done = Some(BackupDone { at, name: "b".to_owned(), bytes: 3 << 20 });
        check(&health, expect![""]);
        health.now = health.now + Duration::from_secs(1);
        check(
            &health,
            expect![[r#"
            backup: the newest is of 1970-01-01T00:40:00Z, 3 MiB
        "#]],
        );
        health.backup.failed = Some((at, "no room".to_owned()));
        check(
            &health,
            expect![[r#"
            backup: the attempt of 1970-01-01T00:40:00Z failed: no room
        "#]],
        );
    }

    #[test]
    fn a_part_that_panicked_is_told_for_a_day() {
        let mut health = well();
        let (age, text) = (Duration::from_secs(60), "index out of bounds".to_owned());
        health.panics = vec![Panicked { part: "sweep", times: 2, age, text }];
        check(
            &health,
            expect![[r#"
                parts: `sweep` panicked 2 times, last 60 s ago: index out of bounds
            "#]],
        );
        health.panics.iter_mut().for_each(|panicked| panicked.age = PANIC_TOLD_FOR);
        check(&health, expect![""]);
    }

    #[test]
    fn no_agent_at_all_is_a_trouble() {
        let told = check_agents(&[], &[]);
        assert_eq!(told.detail, "there is no agent");
        assert!(told.remedy.is_some());
    }

    #[test]
    fn the_largest_gap_is_of_minutes_or_of_the_monitor() {
        let mut health = well();
        health.missing = MinuteGaps { runs: vec![(Minute(7), 2), (Minute(20), 3)] };
        assert_eq!(health.largest_gap(), Duration::from_secs(180));
        let (from, to) = (UtcMicros(0), UtcMicros(0) + Duration::from_secs(200));
        let cause = model::Cause::MonitorDown;
        health.gaps = vec![MonitorGap { from, to, cause }];
        assert_eq!(health.largest_gap(), Duration::from_secs(200));
        assert_eq!(health.largest_outage(), Duration::ZERO);
        let name = model::Name::parse("fra1").expect("a name");
        let agent = store::AgentRef { id: model::AgentId(1), name };
        let (state, why) = (AgentState::Offline, String::new());
        health.outages = vec![AgentOutage { agent, state, from: to, to: None, why }];
        assert_eq!(health.largest_outage(), Duration::from_secs(3600 - 200));
    }
}
