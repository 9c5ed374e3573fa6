//! What happens from time to time. Each task can be run at any moment, twice or never, and only
//! brings things to where they should be; a failure is counted, logged and met again next time. One
//! that panics is caught and started again from where its last good run left it.

use std::{future::Future, sync::Arc, time::Duration};

use model::{MonitorEvent, UtcMicros};
use store::{AuditEntry, ORG_DEFAULT, Retention, RollupsBefore, Scope, StoreError};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{App, digest::period_end},
    authority::{AuthorityError, SERVER_RENEW_BEFORE, ServerCertificate},
    backup::BackupError,
    conductor::ConductError,
    panics::Panics,
};

const PULSE_INTERVAL: Duration = Duration::from_secs(1);
/// Pulses between two signs of life to consoles and in the database.
const PULSES_PER_TICK: u64 = 5;
/// Pulses between two notes of when agents were last seen.
const PULSES_PER_SEEN: u64 = 30;
/// Pulses between two comparisons of the stored inventory with the engine's.
const PULSES_PER_CATCH_UP: u64 = 10;
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
/// Steps of one sweep; what is left is met ten minutes later.
const SWEEP_STEPS_MAX: u32 = 1_000;
/// Between two steps of a sweep, so that commits get their turn.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);
/// Marks are kept longer than any spool keeps a batch, by as much as clocks may differ and a batch
/// may be on its way: without its mark, a batch that comes again counts twice.
const HIGHWATER_MARGIN: Duration = Duration::from_secs(24 * 3600);
/// What was committed goes into chunks once it is five minutes old, at most this much later.
const COMPACT_INTERVAL: Duration = Duration::from_secs(10);
/// Steps of one go; what is left is met ten seconds later.
const COMPACT_STEPS_MAX: u32 = 1_000;
/// Steps that tell roll-ups to the tables of PostgreSQL: a few hundred thousand rows, after which
/// sealing has its turn.
const TELL_STEPS_MAX: u32 = 10;
/// Steps that give deleted pages back, of 16 MiB each; what is left is met with the next sweep.
const VACUUM_STEPS_MAX: u32 = 1_000;
/// Only compares two times, but when a digest is due.
const DIGEST_INTERVAL: Duration = Duration::from_secs(10);
const RENEW_INTERVAL: Duration = Duration::from_secs(3600);
/// Only compares two times, but when a backup is due.
const BACKUP_INTERVAL: Duration = Duration::from_secs(1);
/// A task that panicked is started again after this, then after twice as long, and so on.
const RESTART_AFTER_MIN: Duration = Duration::from_secs(1);
/// Never later: what a task does is missed by then.
const RESTART_AFTER_MAX: Duration = Duration::from_secs(300);

/// Why a task did not do its work this time.
#[derive(Debug, thiserror::Error)]
enum TaskError {
    #[error("cannot use the database")]
    Store(#[from] StoreError),
    #[error("cannot use the log")]
    Conduct(#[from] ConductError),
    #[error("cannot catch up with the inventory: {0}")]
    Change(String),
    #[error("cannot sign")]
    Authority(#[from] AuthorityError),
    #[error("there is no new backup")]
    Backup(#[from] BackupError),
}

/// Starts all of them; they end with `stop`.
pub(crate) fn start(
    tasks: &TaskTracker,
    app: &App,
    certificate: &Arc<ServerCertificate>,
    stop: &CancellationToken,
) {
    let pulse = Pulse { app: app.clone(), count: 0, seen_at: app.clock.now() };
    tasks.spawn(every(PULSE_INTERVAL, stop.clone(), pulse, "pulse", Pulse::beat));
    tasks.spawn(every(SWEEP_INTERVAL, stop.clone(), app.clone(), "sweep", sweep));
    tasks.spawn(every(COMPACT_INTERVAL, stop.clone(), app.clone(), "compact", compact));
    if app.config.backup.is_some() {
        tasks.spawn(every(BACKUP_INTERVAL, stop.clone(), app.clone(), "backup", backup));
    }
    let renewal = Renewal { app: app.clone(), certificate: Arc::clone(certificate) };
    tasks.spawn(every(RENEW_INTERVAL, stop.clone(), renewal, "renewal", Renewal::renew));
    tasks.spawn(diagnose(app.clone(), stop.clone()));
    tasks.spawn(trace(app.clone(), stop.clone()));
    tasks.spawn(notify(app.clone(), stop.clone()));
    if let Some(every) = app.config.digest {
        let digest = Digest { app: app.clone(), every, done: None };
        tasks.spawn(self::every(DIGEST_INTERVAL, stop.clone(), digest, "digest", Digest::tell));
    }
    if let Some(heartbeat) = &app.config.heartbeat {
        let beat = Beat { app: app.clone(), was_refused: false };
        tasks.spawn(every(heartbeat.every, stop.clone(), beat, "heartbeat", Beat::beat));
    }
}

/// Tells people of what they were not told one by one.
#[derive(Clone)]
struct Digest {
    app: App,
    every: Duration,
    /// Until when it was done last; `None`: before the first time in this process.
    done: Option<UtcMicros>,
}

impl HasApp for Digest {
    fn app(&self) -> &App {
        &self.app
    }
}

impl Digest {
    async fn tell(mut self) -> (Digest, Result<(), TaskError>) {
        let until = period_end(self.app.clock.now(), self.every);
        if self.done == Some(until) {
            return (self, Ok(()));
        }
        let told = self.app.digest(&Scope::system(ORG_DEFAULT), until).await;
        if told.is_ok() {
            self.done = Some(until);
        }
        (self, told.map_err(TaskError::Store))
    }
}

/// Empties the outbox; after a panic, anew after a pause.
async fn notify(app: App, stop: CancellationToken) {
    loop {
        let metrics = app.conductor.metrics();
        let run = app.notifier.clone().run(metrics, stop.clone());
        let ended = metrics.panics.catch("notify", run).await;
        let pause = stop.run_until_cancelled(tokio::time::sleep(RESTART_AFTER_MAX));
        if ended.is_some() || pause.await.is_none() {
            return;
        }
    }
}

/// Gives the sign of life that a dead man's switch elsewhere waits for, as long as there is life: a
/// server that cannot judge or store must not say that all is well.
#[derive(Clone)]
struct Beat {
    app: App,
    was_refused: bool,
}

impl HasApp for Beat {
    fn app(&self) -> &App {
        &self.app
    }
}

impl Beat {
    async fn beat(mut self) -> (Beat, Result<(), TaskError>) {
        let Some(heartbeat) = &self.app.config.heartbeat else {
            return (self, Ok(()));
        };
        let metrics = self.app.conductor.metrics();
        if let Some((what, reason)) = self.app.not_ready().await.into_iter().next() {
            tracing::warn!(what, %reason, "no sign of life was given: this server is not ready");
            return (self, Ok(()));
        }
        let refused = self.app.notifier.sender.ping(&heartbeat.address).await;
        let counter = match &refused {
            None => &metrics.heartbeats_sent,
            Some(_) => &metrics.heartbeat_failures,
        };
        counter.inc();
        if let Some(reason) = refused.as_ref().filter(|_| !self.was_refused) {
            let host = heartbeat.address.host();
            tracing::warn!(%host, %reason, "a sign of life did not arrive");
        }
        self.was_refused = refused.is_some();
        (self, Ok(()))
    }
}

/// Judges what is the matter with the network; after a panic, anew after a pause.
async fn diagnose(app: App, stop: CancellationToken) {
    loop {
        let (store, conductor) = (app.store.clone(), app.conductor.clone());
        let with = (app.clock.clone(), app.config.http.public_url.clone());
        let run = app.diagnosis.clone().run(store, conductor, with, stop.clone());
        let ended = app.conductor.metrics().panics.catch("diagnosis", run).await;
        let pause = stop.run_until_cancelled(tokio::time::sleep(RESTART_AFTER_MAX));
        if ended.is_some() || pause.await.is_none() {
            return;
        }
    }
}

/// Makes the traces that nobody asked for; after a panic, anew after a pause.
async fn trace(app: App, stop: CancellationToken) {
    loop {
        let run = async {
            loop {
                for wish in app.diagnosis.wishes().await {
                    app.trace_automatic(wish).await;
                }
            }
        };
        let panics = &app.conductor.metrics().panics;
        let ended = stop.run_until_cancelled(panics.catch("traces", run)).await;
        let pause = stop.run_until_cancelled(tokio::time::sleep(RESTART_AFTER_MAX));
        if ended.is_none() || pause.await.is_none() {
            return;
        }
    }
}

/// Runs `act` on `state` at once and then each `period`; after a panic, with growing pauses.
async fn every<S, A, F>(
    period: Duration,
    stop: CancellationToken,
    mut state: S,
    name: &'static str,
    act: A,
) where
    S: Supervised,
    A: Fn(S) -> F,
    F: Future<Output = (S, Result<(), TaskError>)>,
{
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut restart_after = RESTART_AFTER_MIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => (),
        }
        let panics = state.panics();
        let run = panics.catch(name, act(state.clone()));
        let Some(ended) = stop.run_until_cancelled(run).await else {
            return;
        };
        let Some((next, done)) = ended else {
            interval.reset_after(restart_after);
            restart_after = (restart_after * 2).min(RESTART_AFTER_MAX);
            continue;
        };
        restart_after = RESTART_AFTER_MIN;
        state = next;
        if let Err(error) = done {
            state.note_failure();
            let error = crate::chain(&error);
            tracing::warn!(%error, task = name, "a periodic task failed");
        }
    }
}

/// What the loop around a task needs of it.
trait Supervised: Clone {
    fn panics(&self) -> Panics;
    fn note_failure(&self);
}

trait HasApp {
    fn app(&self) -> &App;
}

impl<T: HasApp + Clone> Supervised for T {
    fn panics(&self) -> Panics {
        self.app().conductor.metrics().panics.clone()
    }

    fn note_failure(&self) {
        self.app().conductor.metrics().task_failures.inc();
    }
}

impl HasApp for App {
    fn app(&self) -> &App {
        self
    }
}

/// Looks at the clocks, measures rates, gives signs of life.
#[derive(Clone)]
struct Pulse {
    app: App,
    count: u64,
    seen_at: UtcMicros,
}

impl HasApp for Pulse {
    fn app(&self) -> &App {
        &self.app
    }
}

impl Pulse {
    async fn beat(mut self) -> (Pulse, Result<(), TaskError>) {
        let done = self.try_beat().await;
        (self, done)
    }

    async fn try_beat(&mut self) -> Result<(), TaskError> {
        let App { conductor, clock, store, .. } = &self.app;
        let look = clock.look();
        let now = clock.now();
        // First: a look tells of a step once, and nothing that fails below may lose it.
        if let Some((forward, by)) = look.stepped {
            self.note_step(forward, by, now).await;
        }
        conductor.pulse(now, clock.wall_ahead_us(), self.app.disk_impediment());
        self.app.traces_turn(now);
        self.count += 1;
        if self.count.is_multiple_of(PULSES_PER_TICK) {
            conductor.tell_tick(now);
            store.alive(now).await?;
        }
        if self.count.is_multiple_of(PULSES_PER_SEEN) {
            let seen = conductor.heard_since(self.seen_at);
            if !seen.is_empty() {
                store.agents_seen(&seen).await?;
            }
            self.seen_at = now;
        }
        if self.count.is_multiple_of(PULSES_PER_CATCH_UP) {
            self.catch_up().await?;
        }
        if let Some(by) = look.to_follow {
            tracing::warn!(?by, "the wall clock has stayed ahead; the server's time follows");
            conductor.monitor_event(MonitorEvent::ClockStepped { forward: true, by }).await?;
        }
        Ok(())
    }
}

impl Pulse {
    /// Counts, logs and audits a step of the wall clock.
    async fn note_step(&self, forward: bool, by: Duration, now: UtcMicros) {
        let metrics = self.app.conductor.metrics();
        metrics.clock_steps.inc();
        tracing::warn!(forward, ?by, "the wall clock was stepped; the server's time was not");
        let by_us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let entry = AuditEntry {
            action: "clock.step",
            object_kind: "server",
            object_id: None,
            object_name: "wall clock",
            before: None,
            after: Some(serde_json::json!({ "forward": forward, "by_us": by_us })),
        };
        let scope = Scope::system(ORG_DEFAULT);
        if let Err(error) = self.app.store.audit_append(&scope, &entry, now).await {
            metrics.task_failures.inc();
            let error = crate::chain(&error);
            tracing::warn!(%error, "a step of the wall clock is not in the audit log");
        }
    }

    /// Hands over changes of the inventory that were stored while the log took nothing.
    async fn catch_up(&self) -> Result<(), TaskError> {
        let known = self.app.conductor.inventory_version();
        if self.app.store.inventory_version().await? <= known {
            return Ok(());
        }
        let store = self.app.store.clone();
        // In the order of all changes: read only when no other is under way.
        let missed = async move {
            let (version, changes) = store.inventory_since(known).await?;
            Ok((known < version).then_some((changes, version)))
        };
        self.app
            .change_version(missed)
            .await
            .map_err(|error| TaskError::Change(format!("{error:?}")))
    }
}

/// Forgets what is too old, in steps that let others write in between.
async fn sweep(app: App) -> (App, Result<(), TaskError>) {
    let done = try_sweep(&app).await;
    (app, done)
}

async fn try_sweep(app: &App) -> Result<(), TaskError> {
    let now = app.clock.now();
    let kept = app.config.retention;
    app.store.sessions_sweep(now).await?;
    let retention = Retention {
        now,
        rounds_before: now - kept.rounds,
        minutes_before: now - kept.minutes,
        rollups_before: RollupsBefore {
            pair_fives: now - kept.agent_5m,
            pair_hours: now - kept.agent_1h,
            all_fives: now - kept.target_5m,
            all_hours: now - kept.target_1h,
            all_days: now - kept.target_1d,
        },
        changes_before: now - kept.changes,
        incidents_before: now - kept.incidents,
        facts_before: now - kept.facts,
        audit_before: now - kept.audit,
        highwaters_before: now - wire::limits::SPOOL_AGE_MAX - HIGHWATER_MARGIN,
    };
    for _ in 0..SWEEP_STEPS_MAX {
        if app.store.retain(&retention).await?.is_done {
            break;
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
    app.conductor.forget_marks_before(retention.highwaters_before);
    for _ in 0..SWEEP_STEPS_MAX {
        if app.store.messages_sweep(now - kept.messages).await? == 0 {
            break;
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
    for _ in 0..VACUUM_STEPS_MAX {
        if app.store.vacuum_step().await? == 0 {
            break;
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
    app.storage_measure().await?;
    // Last, because somebody may read what is to go.
    Ok(app.store.rollup_tables_sweep(&app.config.rollup_tables, now).await?)
}

/// Brings what was committed into chunks, and chunks together.
async fn compact(app: App) -> (App, Result<(), TaskError>) {
    let done = try_compact(&app).await;
    let levels = &app.conductor.metrics().levels;
    let number = |count| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    levels.history_damaged.set(number(app.store.damaged_places()));
    levels.history_left_out.set(number(app.store.metrics_left_out()));
    // Whatever becomes of the tables, they hold up nothing else.
    let told = tell_tables(&app).await;
    (app, done.and(told))
}

async fn try_compact(app: &App) -> Result<(), TaskError> {
    for _ in 0..COMPACT_STEPS_MAX {
        let step = app.store.compact(app.clock.now()).await?;
        let metrics = app.conductor.metrics();
        metrics.history_sealed.inc_by(step.sealed);
        metrics.history_merged.inc_by(step.merged);
        metrics.history_rolled.inc_by(step.rolled);
        metrics.history_rebuilt.inc_by(step.rebuilt);
        if step.is_done {
            break;
        }
    }
    Ok(())
}

/// Brings roll-ups into the tables of PostgreSQL.
async fn tell_tables(app: &App) -> Result<(), TaskError> {
    for _ in 0..TELL_STEPS_MAX {
        let now = app.clock.now();
        if app.store.rollup_tables_step(&app.config.rollup_tables, now).await? {
            break;
        }
    }
    Ok(())
}

async fn backup(app: App) -> (App, Result<(), TaskError>) {
    let done = app.backup_if_due().await;
    (app, done.map_err(TaskError::from))
}

/// Makes the server's certificate anew before it ends.
#[derive(Clone)]
struct Renewal {
    app: App,
    certificate: Arc<ServerCertificate>,
}

impl HasApp for Renewal {
    fn app(&self) -> &App {
        &self.app
    }
}

impl Renewal {
    #[expect(clippy::unused_async, reason = "has the form of the other tasks")]
    async fn renew(self) -> (Renewal, Result<(), TaskError>) {
        let now = self.app.clock.now();
        let not_after = self.certificate.not_after();
        let is_fresh = not_after.is_some_and(|at| now + SERVER_RENEW_BEFORE < at);
        if is_fresh {
            return (self, Ok(()));
        }
        let renewed = self.app.authority.sign_server(now);
        let done = renewed.map(|certified| self.certificate.replace(certified));
        (self, done.map_err(TaskError::from))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    /// Runs left to a part that panics first and is well then.
    #[derive(Clone)]
    struct Shaky {
        panics: Panics,
        good_runs: u32,
    }

    impl Supervised for Shaky {
        fn panics(&self) -> Panics {
            self.panics.clone()
        }
        fn note_failure(&self) {}
    }

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_from_its_last_good_state() {
        let stop = CancellationToken::new();
        let panics = Panics::default();
        let shaky = Shaky { panics: panics.clone(), good_runs: 0 };
        let runs = Arc::new(AtomicU32::new(0));
        let (told, mut heard) = mpsc::channel(1);
        let task = every(Duration::from_millis(1), stop.clone(), shaky, "shaky", |mut shaky| {
            let (told, run) = (told.clone(), runs.fetch_add(1, Ordering::Relaxed));
            async move {
                shaky.good_runs += 1;
                assert_ne!(run, 1, "the second run");
                told.send((run, shaky.good_runs)).await.unwrap_or(());
                (shaky, Ok(()))
            }
        });
        let watch = async {
            assert_eq!(heard.recv().await, Some((0, 1)));
            // The state of the run that panicked is gone with it.
            assert_eq!(heard.recv().await, Some((2, 2)));
            stop.cancel();
        };
        tokio::join!(task, watch);
        let all = panics.all();
        assert_eq!(all.len(), 1);
        assert!(all.iter().all(|panicked| panicked.part == "shaky" && panicked.times == 1));
    }
}
