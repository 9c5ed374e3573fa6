//! The one owner of the engine, and the handle that everybody else has of it.
//!
//! Whatever the engine hears is an entry of the log first. The owner ([`owner`]) takes durable
//! entries in their order, lets the engine decide, stores what it decided, and only then tells
//! anyone: consoles through [`Live`], agents through their new assignment. Nothing here decides;
//! nothing here reads a socket.

mod board;
mod intake;
mod judge;
mod lease;
mod live;
mod mirror;
mod owner;
mod replay;
mod vitals;

use std::sync::Arc;

use model::{
    Address, AgentEvent, AgentId, InventoryChange, LogPosition, MonitorEvent, ProbeId, RoundBatch,
    Tier, TierId, UtcMicros,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use board::{Link, LinkEnd};
pub(crate) use lease::{Claim, Held};
pub use live::{LIVE_RING_MAX, Live, LiveEvent, LiveItem, LiveStream};
pub(crate) use owner::Owner;
pub use replay::{CatchUpError, ReplayError};
pub(crate) use replay::{Replay, Replayed};
pub use vitals::{AgentVitals, HeldVerdict, PairStatusView, ProbeStatusView, Rival, ServerVitals};

use crate::{
    log::{Appended, Body, LogHandle, LogHold, LogTail, LogUnavailable, Submission},
    metrics::Metrics,
};
use board::Board;

/// Questions that may wait for the owner: each is one page of one person, or one agent's session.
const REQUESTS_MAX: usize = 256;
/// Turns whose rounds may wait for who listens: what does not fit is dropped there and counted.
const HEARD_MAX: usize = 1_024;
/// And rounds of all of them: some 100 MB while a judgement takes its time.
const HEARD_ROUNDS_MAX: usize = 1_000_000;
/// Changes in one entry of the log: keeps an entry of a large import below its size limit.
const CHANGES_PER_ENTRY_MAX: usize = 5_000;

/// Why the conductor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ConductError {
    /// Nothing was appended; a later attempt may succeed.
    #[error(transparent)]
    Log(#[from] LogUnavailable),
    /// What the engine holds is ahead of what is stored, and may not be told yet.
    #[error("the database takes nothing: {reason}")]
    NotStored { reason: String },
    #[error("the server is stopping")]
    Stopped,
}

/// What an agent is to ask, as its session sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentAssignment {
    /// Grows with every change, also over restarts: the position of the log it was made at.
    pub(crate) version: u64,
    /// Those that `probes` name, in the order of their ids.
    pub(crate) tiers: Vec<Tier>,
    pub(crate) probes: Vec<(ProbeId, TierId, Address)>,
}

/// Rounds that the engine has heard: those that are stored, and those of gateways.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) rounds: Vec<RoundBatch>,
    /// Room for as many rounds, given back when they were taken.
    _room: OwnedSemaphorePermit,
}

/// Probes of one question: before each what is gathered is stored, so that many are asked of at
/// once, and the owner must not be kept from its work for long.
const STATUSES_MAX: usize = 1_000;

/// What the owner is asked.
#[derive(Debug)]
pub(crate) enum Request {
    Status {
        probe: ProbeId,
        reply: Reply<ProbeStatusView>,
    },
    /// Of at most [`STATUSES_MAX`] probes, in their order.
    Statuses {
        probes: Vec<ProbeId>,
        reply: Reply<Vec<ProbeStatusView>>,
    },
    Assignment {
        agent: AgentId,
        reply: Reply<AgentAssignment>,
    },
}

/// An answer, or why there is none. One that is dropped means that the owner has gone.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ConductError>>;

impl Request {
    /// Sends who asks away: the engine holds what is not stored.
    fn refuse(self, reason: &str) {
        let not_stored = || ConductError::NotStored { reason: reason.to_owned() };
        match self {
            Request::Status { reply, .. } => {
                reply.send(Err(not_stored())).map_or_else(drop, drop);
            }
            Request::Statuses { reply, .. } => {
                reply.send(Err(not_stored())).map_or_else(drop, drop);
            }
            Request::Assignment { reply, .. } => {
                reply.send(Err(not_stored())).map_or_else(drop, drop);
            }
        }
    }
}

/// The handle. A clone is the same conductor.
#[derive(Clone, Debug)]
pub struct Conductor {
    log: LogHandle,
    requests: mpsc::Sender<Request>,
    board: Arc<Board>,
}

impl Conductor {
    /// Makes the handle; the receiver is for the [`Owner`].
    pub(crate) fn new(
        log: LogHandle,
        metrics: Arc<Metrics>,
        started_at: UtcMicros,
        position: LogPosition,
    ) -> (Conductor, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let board = Arc::new(Board::new(metrics, started_at, position));
        (Conductor { log, requests, board }, asked)
    }

    /// Feeds already committed inventory changes to log and engine, in order; returns when the
    /// engine has them.
    ///
    /// # Errors
    ///
    /// [`ConductError`]: the change is stored, and a task catches up with it.
    pub async fn inventory_changed(
        &self,
        changes: Vec<InventoryChange>,
        version: u64,
    ) -> Result<LogPosition, ConductError> {
        let mut position = self.position();
        let chunks = changes.len().div_ceil(CHANGES_PER_ENTRY_MAX).max(1);
        let mut changes = changes.into_iter();
        for chunk in 1..=chunks {
            let part = changes.by_ref().take(CHANGES_PER_ENTRY_MAX).collect();
            // Only the last entry completes the version: a crash in between is caught up with.
            let version = (chunk == chunks).then_some(version);
            position = self.append(Body::Inventory { version, changes: part }).await?;
        }
        self.applied(position).await?;
        Ok(position)
    }

    /// Appends an entry and waits until it is durable.
    pub(crate) async fn append(&self, body: Body) -> Result<LogPosition, ConductError> {
        let appended = self.submit(Submission::of(body)).await?.await;
        match appended.map_err(|_| ConductError::Stopped)?? {
            Appended::New(position) | Appended::Duplicate(position) => Ok(position),
        }
    }

    /// Queues an entry; the receiver answers when it is durable.
    pub(crate) async fn submit(
        &self,
        (submission, done): (Submission, oneshot::Receiver<Result<Appended, LogUnavailable>>),
    ) -> Result<oneshot::Receiver<Result<Appended, LogUnavailable>>, ConductError> {
        self.log.submit(submission).await.map_err(|_| ConductError::Stopped)?;
        Ok(done)
    }

    /// Notes what the server noticed about an agent; the engine hears it in its turn.
    pub(crate) async fn agent_event(
        &self,
        agent: AgentId,
        event: AgentEvent,
    ) -> Result<(), ConductError> {
        self.submit(Submission::of(Body::Agent { agent, event })).await.map(drop)
    }

    /// Notes what the server noticed about itself.
    pub(crate) async fn monitor_event(&self, event: MonitorEvent) -> Result<(), ConductError> {
        self.append(Body::Monitor(event)).await.map(drop)
    }

    /// Keeps what is in the log while somebody makes a copy.
    pub(crate) async fn log_hold(&self) -> Result<LogHold, ConductError> {
        self.log.hold().await.map_err(|_| ConductError::Stopped)
    }

    /// Reads the log behind `after` and up to `through`, both of which `hold` keeps.
    pub(crate) async fn log_tail(
        &self,
        after: LogPosition,
        through: LogPosition,
        hold: LogHold,
    ) -> Result<LogTail, ConductError> {
        let from = LogPosition(after.0.saturating_add(1));
        let reader = self.log.read(from).await.map_err(|_| ConductError::Stopped)?;
        let failed = || LogUnavailable { reason: "it is being opened again".to_owned() };
        Ok(LogTail { reader: reader.ok_or_else(failed)?, through, _hold: Some(hold) })
    }

    /// Waits until the engine has everything up to `position` and it is stored.
    async fn applied(&self, position: LogPosition) -> Result<(), ConductError> {
        let mut applied = self.board.position.subscribe();
        let reached = applied.wait_for(|at| position <= *at).await;
        reached.map(drop).map_err(|_| ConductError::Stopped)
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, ConductError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| ConductError::Stopped)?;
        answer.await.map_err(|_| ConductError::Stopped)?
    }

    /// Returns what the engine holds of a probe right now.
    ///
    /// # Errors
    ///
    /// [`ConductError::NotStored`], or [`ConductError::Stopped`].
    pub async fn pair_statuses(&self, probe: ProbeId) -> Result<ProbeStatusView, ConductError> {
        self.ask(|reply| Request::Status { probe, reply }).await
    }

    /// Returns what the engine holds of probes, in their order.
    ///
    /// # Errors
    ///
    /// As [`Conductor::pair_statuses`].
    pub(crate) async fn statuses(
        &self,
        probes: &[ProbeId],
    ) -> Result<Vec<ProbeStatusView>, ConductError> {
        let mut all = Vec::with_capacity(probes.len());
        for some in probes.chunks(STATUSES_MAX) {
            let probes = some.to_vec();
            all.extend(self.ask(|reply| Request::Statuses { probes, reply }).await?);
        }
        Ok(all)
    }

    pub(crate) async fn assignment(&self, agent: AgentId) -> Result<AgentAssignment, ConductError> {
        self.ask(|reply| Request::Assignment { agent, reply }).await
    }

    /// Changes whenever any agent's assignment may have changed.
    pub(crate) fn assignments(&self) -> watch::Receiver<u64> {
        self.board.assignments.subscribe()
    }

    /// Lets every session look whether its agent's assignment says something else now.
    pub(crate) fn renew_assignments(&self) {
        self.board.assignments.send_modify(|count| *count += 1);
    }

    /// Listens to every round that is heard from now on, in place of who listened before.
    pub(crate) fn listen(&self) -> mpsc::Receiver<Heard> {
        let (sender, heard) = mpsc::channel(HEARD_MAX);
        self.board.listen(sender);
        heard
    }

    /// Where to subscribe to what changed.
    pub fn live(&self) -> Live {
        self.board.live.clone()
    }

    /// The last position that is applied and stored.
    pub fn position(&self) -> LogPosition {
        *self.board.position.borrow()
    }

    /// The version of the inventory that the engine has.
    pub(crate) fn inventory_version(&self) -> u64 {
        self.board.inventory_version()
    }

    /// Whether everything in the log of the last run has been applied.
    pub fn is_ready(&self) -> bool {
        self.board.is_ready()
    }

    /// How often the owner's loop has turned. It turns at least once a second, also while the store
    /// takes nothing: a number that stands still is a loop that hangs.
    pub(crate) fn turns(&self) -> u64 {
        self.board.turns()
    }

    pub fn vitals(&self) -> ServerVitals {
        self.board.vitals(&self.log)
    }

    /// Returns an agent as it was last heard since the server started; `None` if it was not.
    pub fn agent_vitals(&self, agent: AgentId) -> Option<AgentVitals> {
        self.board.agent(agent)
    }

    /// Ends an agent's stream at once: after it was revoked or deleted.
    pub fn disconnect(&self, agent: AgentId) {
        self.board.end_link(agent, LinkEnd::Revoked);
    }

    /// What Prometheus reads.
    pub fn metrics_text(&self) -> String {
        self.board.set_levels(&self.vitals());
        self.board.metrics.to_text()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.board.metrics
    }

    /// Enters a new stream of an agent; the one before it ends.
    ///
    /// # Errors
    ///
    /// [`Held`]: another stream is the agent's and is heard.
    pub(crate) fn link(
        &self,
        agent: AgentId,
        claim: Claim,
        now: UtcMicros,
        stop: &CancellationToken,
    ) -> Result<Link, Held> {
        Board::link(&self.board, agent, claim, now, stop)
    }

    /// Up to where an agent's batches were taken, for its newest epochs: epoch, seq.
    pub(crate) fn marks_of(&self, agent: AgentId, count_max: usize) -> Vec<(u64, u64)> {
        self.log.marks_of(agent, count_max)
    }

    /// Whether nobody knows any more what was taken of an agent's epoch.
    pub(crate) fn is_forgotten(&self, agent: AgentId, epoch: u64) -> bool {
        self.log.is_forgotten(agent, epoch)
    }

    /// Forgets marks of epochs that the database forgets as well.
    pub(crate) fn forget_marks_before(&self, at: UtcMicros) {
        self.log.forget_marks_before(at);
    }

    /// Agents of which a second process was refused since `since`, with that process.
    pub fn rivals_since(&self, since: UtcMicros) -> Vec<(AgentId, Rival)> {
        self.board.rivals_since(since)
    }

    /// Changes what is known of an agent.
    pub(crate) fn note(&self, agent: AgentId, edit: impl FnOnce(&mut AgentVitals)) {
        self.board.note(agent, edit);
    }

    /// Agents that were heard at or after `since`, and when last.
    pub(crate) fn heard_since(&self, since: UtcMicros) -> Vec<(AgentId, UtcMicros)> {
        self.board.heard_since(since)
    }

    /// Once a second: rates, what else is measured over time, and what ails the disks.
    pub(crate) fn pulse(&self, now: UtcMicros, wall_ahead_us: i64, disk: Option<String>) {
        self.board.pulse(now, wall_ahead_us);
        self.board.intake.set_disk(disk, now);
        if self.log.vitals().impediment.is_some() {
            // Whether it takes entries again shows only when one is tried.
            self.log.try_submit(Submission::of(Body::Tick).0);
        }
    }

    /// Whether a disk kept results from being taken when they were looked at last.
    pub(crate) fn was_disk_in_the_way(&self) -> bool {
        self.board.intake.disk().is_some()
    }

    /// Why no results are taken; changes when that begins or ends.
    pub(crate) fn intake(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.board.intake.subscribe()
    }

    /// Tells consoles that the server lives.
    pub(crate) fn tell_tick(&self, at: UtcMicros) {
        self.board.live.tell_tick(at);
    }

    /// Tells consoles that an incident was written.
    pub(crate) fn tell_incident(&self, org: model::OrgId, incident: model::IncidentId) {
        self.board.live.tell_incident(org, incident);
    }

    /// Tells consoles that there is something new of a trace.
    pub(crate) fn tell_trace(&self, org: model::OrgId, trace: model::TraceId) {
        self.board.live.tell_trace(org, trace);
    }
}
