//! What the owner, the sessions and the readers of vitals share: positions, links, last hearings.
//!
//! Short locks around plain values; no lock is held while anything is waited for.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use model::{AgentId, LogPosition, RoundBatch, UtcMicros};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    AgentVitals, HEARD_ROUNDS_MAX, Heard, Live, Rival, ServerVitals,
    intake::Intake,
    lease::{Claim, Held, Holder, decide},
};
use crate::{
    log::LogHandle,
    metrics::{Metrics, in_float, in_seconds},
};

#[derive(Debug)]
pub(crate) struct Board {
    pub(super) live: Live,
    pub(super) intake: Intake,
    pub(super) metrics: Arc<Metrics>,
    /// Applied and stored.
    pub(super) position: watch::Sender<LogPosition>,
    /// Counts what may have changed an assignment.
    pub(super) assignments: watch::Sender<u64>,
    /// Who listens to rounds. He never holds anybody up.
    listener: Mutex<Option<mpsc::Sender<Heard>>>,
    /// For rounds that wait for who listens.
    room: Arc<Semaphore>,
    started_at: UtcMicros,
    is_ready: AtomicBool,
    progress: Mutex<Progress>,
    agents: Mutex<BTreeMap<AgentId, AgentVitals>>,
    links: Mutex<BTreeMap<AgentId, LinkEntry>>,
    links_total: AtomicU64,
    turns: AtomicU64,
}

/// How far the owner is.
#[derive(Debug, Default)]
struct Progress {
    /// When the last applied entry was appended.
    applied_at: UtcMicros,
    inventory_version: u64,
    checkpoint: LogPosition,
    wall_ahead_us: i64,
}

#[derive(Debug)]
struct LinkEntry {
    number: u64,
    claim: Claim,
    heard_at_us: Arc<AtomicI64>,
    ended: CancellationToken,
    end: Arc<OnceLock<LinkEnd>>,
}

impl LinkEntry {
    fn holder(&self) -> Holder<'_> {
        let us = self.heard_at_us.load(Ordering::Relaxed);
        Holder { claim: &self.claim, heard_at: (us != NOT_LISTENING).then_some(UtcMicros(us)) }
    }
}

/// Stands for the time at which a stream was heard while the server does not listen to it.
const NOT_LISTENING: i64 = i64::MAX;

/// Why a stream was ended from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    Revoked,
    /// Another stream of the same agent began.
    Newer {
        from: Option<SocketAddr>,
    },
}

/// The entry of one stream; it leaves the board when it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    board: Weak<Board>,
    agent: AgentId,
    number: u64,
    heard_at_us: Arc<AtomicI64>,
    /// Cancelled when the stream must end, also because the server stops.
    pub(crate) ended: CancellationToken,
    end: Arc<OnceLock<LinkEnd>>,
}

impl Link {
    /// Notes that the agent was heard, or that nobody listened up to now.
    pub(crate) fn heard(&self, now: UtcMicros) {
        self.heard_at_us.store(now.0, Ordering::Relaxed);
    }

    /// Notes that nobody listens from now on: silence then is no sign that the agent has gone.
    pub(crate) fn not_listening(&self) {
        self.heard_at_us.store(NOT_LISTENING, Ordering::Relaxed);
    }

    /// Why it was ended; `None` if the server stops.
    pub(crate) fn end(&self) -> Option<LinkEnd> {
        self.end.get().copied()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(board) = self.board.upgrade() else {
            return;
        };
        let mut links = lock(&board.links);
        if links.get(&self.agent).is_some_and(|entry| entry.number == self.number) {
            links.remove(&self.agent);
            drop(links);
            board.note(self.agent, |vitals| vitals.connected_from = None);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        started_at: UtcMicros,
        position: LogPosition,
    ) -> Board {
        Board {
            live: Live::new(position),
            intake: Intake::default(),
            metrics,
            position: watch::Sender::new(position),
            assignments: watch::Sender::new(0),
            listener: Mutex::default(),
            room: Arc::new(Semaphore::new(HEARD_ROUNDS_MAX)),
            started_at,
            is_ready: AtomicBool::new(false),
            progress: Mutex::new(Progress { applied_at: started_at, ..Progress::default() }),
            agents: Mutex::default(),
            links: Mutex::default(),
            links_total: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        }
    }

    /// The owner's loop turned once more.
    pub(super) fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Hands rounds to who listens, if there is room.
    pub(super) fn hand_on(&self, rounds: Vec<RoundBatch>) {
        let listener = lock(&self.listener).clone().filter(|_| !rounds.is_empty());
        let Some(listener) = listener else { return };
        let batches = rounds.len() as u64;
        let count = rounds.iter().map(|batch| batch.rounds.len()).sum::<usize>();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(count);
        let is_sent =
            room.is_ok_and(|room| listener.try_send(Heard { rounds, _room: room }).is_ok());
        if !is_sent {
            self.metrics.diagnosis_missed.inc_by(batches);
        }
    }

    pub(super) fn listen(&self, listener: mpsc::Sender<Heard>) {
        *lock(&self.listener) = Some(listener);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    pub(super) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    /// Notes that everything up to `position`, appended at `at`, is applied and stored.
    pub(super) fn set_applied(&self, position: LogPosition, at: UtcMicros, version: u64) {
        let mut progress = lock(&self.progress);
        progress.applied_at = at;
        progress.inventory_version = version;
        drop(progress);
        self.position.send_replace(position);
    }

    pub(super) fn inventory_version(&self) -> u64 {
        lock(&self.progress).inventory_version
    }

    pub(super) fn set_checkpoint(&self, position: LogPosition) {
        lock(&self.progress).checkpoint = position;
    }

    pub(super) fn agent(&self, agent: AgentId) -> Option<AgentVitals> {
        lock(&self.agents).get(&agent).cloned()
    }

    pub(super) fn note(&self, agent: AgentId, edit: impl FnOnce(&mut AgentVitals)) {
        edit(lock(&self.agents).entry(agent).or_default());
    }

    pub(super) fn heard_since(&self, since: UtcMicros) -> Vec<(AgentId, UtcMicros)> {
        let agents = lock(&self.agents);
        let heard = agents.iter().filter_map(|(id, v)| Some((*id, v.last_heartbeat_at?)));
        heard.filter(|(_, at)| since <= *at).collect()
    }

    /// Enters a stream as the agent's, if it may be that; the one before it ends.
    pub(super) fn link(
        board: &Arc<Board>,
        agent: AgentId,
        claim: Claim,
        now: UtcMicros,
        stop: &CancellationToken,
    ) -> Result<Link, Held> {
        let from = claim.from;
        let mut links = lock(&board.links);
        let holder = links.get(&agent).map(LinkEntry::holder);
        if let Err(held) = decide(holder, &claim, now) {
            drop(links);
            board.note(agent, |vitals| vitals.note_rival(&held, claim, now));
            return Err(held);
        }
        let number = board.links_total.fetch_add(1, Ordering::Relaxed);
        let ended = stop.child_token();
        let end = Arc::new(OnceLock::new());
        let heard_at_us = Arc::new(AtomicI64::new(now.0));
        let entry = LinkEntry {
            number,
            claim,
            heard_at_us: Arc::clone(&heard_at_us),
            ended: ended.clone(),
            end: Arc::clone(&end),
        };
        if let Some(older) = links.insert(agent, entry) {
            older.end.get_or_init(|| LinkEnd::Newer { from });
            older.ended.cancel();
        }
        drop(links);
        board.note(agent, |vitals| {
            vitals.connected_from = from;
            vitals.connected_at = Some(now);
        });
        Ok(Link { board: Arc::downgrade(board), agent, number, heard_at_us, ended, end })
    }

    /// Agents of which a second process was refused since `since`.
    pub(super) fn rivals_since(&self, since: UtcMicros) -> Vec<(AgentId, Rival)> {
        let agents = lock(&self.agents);
        let rivals = agents.iter().filter_map(|(id, v)| Some((*id, v.rival.clone()?)));
        rivals.filter(|(_, rival)| since <= rival.last_at).collect()
    }

    pub(super) fn end_link(&self, agent: AgentId, end: LinkEnd) {
        if let Some(entry) = lock(&self.links).get(&agent) {
            entry.end.get_or_init(|| end);
            entry.ended.cancel();
        }
    }

    pub(super) fn pulse(&self, now: UtcMicros, wall_ahead_us: i64) {
        self.metrics.sample(now);
        lock(&self.progress).wall_ahead_us = wall_ahead_us;
    }

    pub(super) fn vitals(&self, log: &LogHandle) -> ServerVitals {
        let log = log.vitals();
        let metrics = &self.metrics;
        let rates = metrics.rates();
        let position = *self.position.borrow();
        let progress = lock(&self.progress);
        let lag = match position < log.last {
            true => log.last_at.since(progress.applied_at),
            false => std::time::Duration::ZERO,
        };
        ServerVitals {
            started_at: self.started_at,
            position,
            log_depth_records: log.last.0.saturating_sub(progress.checkpoint.0),
            log_bytes: log.bytes,
            log_segments: log.segments,
            log_sync_us: log.sync_us,
            ingest_lag_us: u64::try_from(lag.as_micros()).unwrap_or(u64::MAX),
            rounds_total: metrics.rounds.get(),
            batches_total: metrics.batches.get(),
            bytes_total: metrics.bytes.get(),
            refusals_total: metrics.refusals.get(),
            duplicates_total: metrics.duplicates.get(),
            heartbeats_total: metrics.heartbeats.get(),
            decisions_total: metrics.decisions.get(),
            rounds_per_s: rates.rounds,
            batches_per_s: rates.batches,
            decisions_per_s: rates.decisions,
            commit_us_p95: metrics.commit_us_p95(),
            agents_connected: lock(&self.links).len(),
            live_subscribers: self.live.subscribers(),
            wall_ahead_us: progress.wall_ahead_us,
            is_intake_open: self.intake.is_open(),
            disk_impediment: self.intake.disk(),
            store_impediment: self.intake.store(),
            log_impediment: log.impediment,
        }
    }

    /// Sets the levels that are only worth computing when somebody reads them.
    pub(super) fn set_levels(&self, vitals: &ServerVitals) {
        let levels = &self.metrics.levels;
        let agents = lock(&self.agents);
        let connected = || agents.values().filter(|v| v.connected_from.is_some());
        let batches_max = connected().map(|v| v.backlog_batches).max().unwrap_or(0);
        let sum = |of: fn(&AgentVitals) -> u64| in_float(connected().map(of).sum());
        levels.spool_batches.set(sum(|v| v.backlog_batches));
        levels.spool_bytes.set(sum(|v| v.backlog_bytes));
        levels.spool_batches_max.set(in_float(batches_max));
        levels.lag_seconds.set(in_seconds(vitals.ingest_lag_us));
        levels.log_depth.set(in_float(vitals.log_depth_records));
        levels.log_bytes.set(in_float(vitals.log_bytes));
        levels.log_position.set(in_float(vitals.position.0));
        levels.agents_connected.set(in_float(vitals.agents_connected as u64));
        levels.live_subscribers.set(in_float(vitals.live_subscribers as u64));
        let ahead = in_seconds(vitals.wall_ahead_us.unsigned_abs());
        levels.wall_ahead_seconds.set(if vitals.wall_ahead_us < 0 { -ahead } else { ahead });
    }
}
