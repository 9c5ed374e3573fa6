//! After a restart: the stored checkpoint, then the log behind it, to the same decisions.
//!
//! What is stored already is decided again and thrown away; what is not is stored. Then the
//! conductor catches up with what it missed: changes of the inventory, and the gap itself.

use std::{sync::Arc, time::Duration};

use engine::Engine;
use journal::{Journal, JournalError, Position};
use model::{Cause, LogPosition, MonitorEvent, UtcMicros};
use store::{Commit, MonitorGap, ORG_DEFAULT, Scope, Store, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    ConductError, Conductor, Owner, Request,
    judge::{Judge, Turn},
    mirror::Mirror,
};
use crate::{
    clock::Clock,
    log::{Durable, Highwaters, LogHandle, decode},
    metrics::Metrics,
};

/// A shorter silence is a restart, and no minute misses a round for it.
const DOWN_MIN: Duration = Duration::from_secs(15);

/// Why the state of the last run cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read the log")]
    Log(#[from] JournalError),
    #[error("cannot read or write the database")]
    Store(#[from] StoreError),
}

/// What replay works with.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    pub(crate) store: &'a Store,
    pub(crate) journal: &'a Journal,
    pub(crate) clock: &'a Clock,
    pub(crate) metrics: Arc<Metrics>,
}

/// The state of the last run.
#[derive(Debug)]
pub(crate) struct Replayed {
    judge: Judge,
    pub(crate) position: LogPosition,
    pub(crate) highwaters: Highwaters,
    /// When the last entry was appended; zero if there is none.
    pub(crate) last_at: UtcMicros,
    /// When the server was last known to run.
    alive_at: Option<UtcMicros>,
    checkpoint: LogPosition,
    /// No checkpoint was restored: the engine must hear the whole inventory.
    is_fresh: bool,
}

impl Replay<'_> {
    /// Restores the checkpoint and replays the log behind it.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]. An entry that cannot be understood is counted and left out.
    pub(crate) async fn run(&self) -> Result<Replayed, ReplayError> {
        let applied = self.store.applied().await?;
        let mut mirror = Mirror::default();
        let (_, inventory) = self.store.inventory_snapshot().await?;
        for change in &inventory {
            mirror.change(change);
        }
        let (engine, checkpoint) = self.engine().await?;
        let is_fresh = checkpoint.is_none();
        let checkpoint = checkpoint.unwrap_or_default();
        let version = if is_fresh { 0 } else { applied.inventory_version };
        let mut highwaters = Highwaters::default();
        for mark in self.store.highwaters().await? {
            highwaters.raise(mark.agent, mark.epoch, mark.seq, self.clock.now());
            highwaters.bound(mark.agent);
        }
        let mut replayed = Replayed {
            judge: Judge::new(engine, mirror, version, Arc::clone(&self.metrics)),
            position: applied.position,
            highwaters,
            last_at: UtcMicros::default(),
            alive_at: applied.alive_at,
            checkpoint,
            is_fresh,
        };
        self.replay(&mut replayed, applied.position).await?;
        let alive_at = replayed.alive_at.unwrap_or_default().max(replayed.last_at);
        self.clock.not_before(replayed.last_at);
        replayed.alive_at = (alive_at != UtcMicros::default()).then_some(alive_at);
        Ok(replayed)
    }

    /// Returns the engine as of the newest checkpoint that can be read, or a new one. The log is
    /// kept from the older of two checkpoints on, so that either brings back the same state.
    async fn engine(&self) -> Result<(Engine, Option<LogPosition>), ReplayError> {
        for checkpoint in self.store.checkpoints().await? {
            let position = checkpoint.position;
            match Engine::restore(&checkpoint.bytes) {
                Ok(engine) => return Ok((engine, Some(position))),
                Err(error) => {
                    let error = crate::chain(&error);
                    tracing::error!(%error, position = position.0, "a checkpoint is of no use");
                    self.store.checkpoint_delete(position).await?;
                }
            }
        }
        let first = self.journal.read_from(self.journal.first()).next().transpose()?;
        let entry = first.and_then(|(_, bytes)| decode(bytes.into()).ok());
        let started_at = entry.map_or_else(|| self.clock.now(), |entry| entry.now);
        Ok((Engine::new(started_at), None))
    }

    async fn replay(
        &self,
        replayed: &mut Replayed,
        applied: LogPosition,
    ) -> Result<(), ReplayError> {
        let from = Position(replayed.checkpoint.0).next();
        let mut turn = Turn::default();
        for record in self.journal.read_from(from) {
            let (position, bytes) = record?;
            let entry = match decode(bytes.into()) {
                Ok(entry) => entry,
                Err(error) => {
                    self.metrics.log_entries_unreadable.inc();
                    let error = crate::chain(&error);
                    tracing::error!(%error, position = position.0, "an entry is left out");
                    continue;
                }
            };
            let position = LogPosition(position.0);
            replayed.last_at = replayed.last_at.max(entry.now);
            let (now, body) = (entry.now, entry.body);
            let durable = Durable { position, now, body, rounds: None, permit: None };
            replayed.judge.hear(&mut turn, durable);
            if position <= applied {
                // Stored by the last run.
                turn = Turn::default();
            } else if turn.is_full() {
                self.store_turn(replayed, std::mem::take(&mut turn)).await?;
            }
        }
        if turn.entries != 0 {
            self.store_turn(replayed, turn).await?;
        }
        Ok(())
    }

    async fn store_turn(&self, replayed: &mut Replayed, turn: Turn) -> Result<(), ReplayError> {
        let commit = Commit {
            position: turn.position,
            inventory_version: replayed.judge.inventory_version,
            decisions: &turn.decisions,
            rounds: &turn.rounds,
            highwaters: &turn.highwaters(),
            gaps: &turn.gaps,
            metrics: &turn.metrics,
            checkpoint: None,
        };
        self.store.commit(&commit, self.clock.now()).await?;
        replayed.position = turn.position;
        for ((agent, epoch), seq) in turn.highwaters {
            replayed.highwaters.raise(agent, epoch, seq, turn.at);
            replayed.highwaters.bound(agent);
        }
        Ok(())
    }
}

impl Replayed {
    /// Starts the conductor where the last run ended; the owner still has to be run.
    pub(crate) fn conduct(
        self,
        store: &Store,
        log: &LogHandle,
        clock: &Clock,
        stop: &CancellationToken,
    ) -> (Conductor, Owner, mpsc::Receiver<Request>, CatchUp) {
        let now = clock.now();
        let metrics = Arc::clone(&self.judge.metrics);
        let (conductor, requests) = Conductor::new(log.clone(), metrics, now, self.position);
        conductor.board.set_checkpoint(self.checkpoint);
        let catch_up = CatchUp {
            version: (!self.is_fresh).then_some(self.judge.inventory_version),
            down_since: self.alive_at.filter(|at| DOWN_MIN < now.since(*at)),
        };
        let owner = Owner {
            judge: self.judge,
            store: store.clone(),
            clock: clock.clone(),
            log: log.clone(),
            board: Arc::clone(&conductor.board),
            stop: stop.clone(),
            assigned_at: self.position,
            checkpoint: self.checkpoint,
            checkpoint_at: UtcMicros::default(),
            entries_since: 0,
            log_reopens: 0,
            gathered: Turn::default(),
            gathered_since: now,
        };
        (conductor, owner, requests, catch_up)
    }
}

/// What the engine has to hear before anything else.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// The inventory it knows; `None`: none of it.
    version: Option<u64>,
    down_since: Option<UtcMicros>,
}

impl CatchUp {
    /// Tells the engine that the server started and what changed while it did not listen.
    ///
    /// # Errors
    ///
    /// [`CatchUpError`].
    pub(crate) async fn run(
        self,
        conductor: &Conductor,
        store: &Store,
        clock: &Clock,
    ) -> Result<(), CatchUpError> {
        let now = clock.now();
        if let Some(from) = self.down_since {
            tracing::info!(down_since = %from, "the monitor was down; the gap is recorded");
            let gap = MonitorGap { from, to: now, cause: Cause::MonitorDown };
            store.gap_add(&Scope::system(ORG_DEFAULT), &gap).await?;
        }
        let started = MonitorEvent::Started { down_since: self.down_since };
        conductor.monitor_event(started).await?;
        let (version, changes) = match self.version {
            Some(version) => store.inventory_since(version).await?,
            None => store.inventory_snapshot().await?,
        };
        if !changes.is_empty() {
            conductor.inventory_changed(changes, version).await?;
        }
        conductor.board.set_ready();
        Ok(())
    }
}

/// Why the conductor could not catch up.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    #[error("cannot read or write the database")]
    Store(#[from] StoreError),
    #[error("cannot write the log")]
    Conduct(#[from] ConductError),
}
