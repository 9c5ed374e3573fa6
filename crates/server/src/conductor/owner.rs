//! The task that owns the engine: hear, decide, store, and only then act.
//!
//! Turns are bounded, by entries and by rounds. A commit that fails is tried again until it
//! succeeds: everything behind it waits in the log, and what waits there is bounded by permits, so
//! agents are slowed down rather than lied to. The engine's deadlines become `Tick` entries of the
//! log first, so that replay meets them at the same place.

use std::{future, sync::Arc, time::Duration};

use model::{LogPosition, UtcMicros};
use store::{Commit, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    AgentAssignment, HeldVerdict, PairStatusView, ProbeStatusView, REQUESTS_MAX, Request,
    board::Board,
    judge::{Judge, Turn},
};
use crate::{
    clock::Clock,
    log::{Appended, Body, Durable, LogHandle, LogUnavailable, Submission},
};

/// Entries taken from the queue at once.
const TURN_ENTRIES_MAX: usize = 256;
/// The engine is not woken more often for its own deadlines; entries wake it besides.
const TICK_SPACING: Duration = Duration::from_millis(200);
/// How much log a restart replays at most, besides what happened since.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);
const CHECKPOINT_ENTRIES: u64 = 50_000;
/// A loop that has nothing to do still turns, so that one that hangs is seen.
const IDLE_TURN: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Attempts to commit while the server stops. The log keeps what is not stored.
const STOPPING_ATTEMPTS_MAX: u32 = 5;

#[derive(Debug)]
pub(crate) struct Owner {
    pub(super) judge: Judge,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) log: LogHandle,
    pub(super) board: Arc<Board>,
    pub(super) stop: CancellationToken,
    /// Where the present assignments were made.
    pub(super) assigned_at: LogPosition,
    /// The newest checkpoint, and when it was made.
    pub(super) checkpoint: LogPosition,
    pub(super) checkpoint_at: UtcMicros,
    pub(super) entries_since: u64,
    /// How often the log had been opened anew at the last checkpoint: entries before that may be
    /// gone with its directory, and only a checkpoint makes a restart independent of them.
    pub(super) log_reopens: u64,
}

/// A `Tick` that is on its way through the log.
type TickDone = oneshot::Receiver<Result<Appended, LogUnavailable>>;

impl Owner {
    /// Runs until the log has ended and everything in it is stored.
    ///
    /// # Errors
    ///
    /// If the store takes nothing while the server stops: the log keeps it.
    pub(crate) async fn run(
        mut self,
        mut entries: mpsc::Receiver<Durable>,
        mut requests: mpsc::Receiver<Request>,
    ) -> Result<(), store::StoreError> {
        let mut turn = Vec::with_capacity(TURN_ENTRIES_MAX);
        let mut tick: Option<TickDone> = None;
        let mut ticked_at = self.clock.now();
        let mut idle = tokio::time::interval(IDLE_TURN);
        loop {
            self.board.turned();
            tokio::select! {
                biased;
                count = entries.recv_many(&mut turn, TURN_ENTRIES_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.hear(turn.drain(..), &mut requests).await?;
                }
                Some(request) = requests.recv() => self.answer(request),
                () = wait(&mut tick) => tick = None,
                () = self.sleep(ticked_at), if tick.is_none() => {
                    ticked_at = self.clock.now();
                    let (submission, done) = Submission::of(Body::Tick);
                    // A full queue brings entries, and they bring the time.
                    tick = self.log.try_submit(submission).then_some(done);
                }
                _ = idle.tick() => (),
            }
        }
    }

    /// Waits until the engine has something due, but not closer to the last tick than allowed.
    async fn sleep(&self, ticked_at: UtcMicros) {
        match self.judge.engine.poll_timeout() {
            Some(wakeup) => {
                let at = wakeup.at.max(ticked_at + TICK_SPACING);
                tokio::time::sleep(at.since(self.clock.now())).await;
            }
            None => future::pending().await,
        }
    }

    async fn hear(
        &mut self,
        entries: impl Iterator<Item = Durable>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), store::StoreError> {
        let mut turn = Turn::default();
        for entry in entries {
            self.judge.hear(&mut turn, entry);
            if turn.is_full() {
                self.conclude(std::mem::take(&mut turn), requests).await?;
                self.answer_waiting(requests);
            }
        }
        if turn.entries != 0 {
            self.conclude(turn, requests).await?;
        }
        self.answer_waiting(requests);
        Ok(())
    }

    /// Stores a turn, then tells everybody.
    async fn conclude(
        &mut self,
        turn: Turn,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), store::StoreError> {
        self.entries_since += turn.entries;
        let log_reopens = self.log.vitals().reopens;
        let is_due = CHECKPOINT_INTERVAL <= turn.at.since(self.checkpoint_at)
            || CHECKPOINT_ENTRIES <= self.entries_since
            || self.log_reopens != log_reopens
            || self.stop.is_cancelled();
        let checkpoint = is_due.then(|| self.judge.engine.checkpoint());
        self.commit(&turn, checkpoint.as_deref(), requests).await?;
        if checkpoint.is_some() {
            self.checkpoint_at = turn.at;
            self.entries_since = 0;
            self.log_reopens = log_reopens;
            self.board.set_checkpoint(turn.position);
            // Behind the one before: it is the way back if the newest cannot be read.
            self.log.trim(std::mem::replace(&mut self.checkpoint, turn.position));
        }
        self.judge.metrics.engine.set(self.judge.engine.counters());
        self.judge.metrics.decisions.inc_by(u64::try_from(turn.decisions.len()).unwrap_or(0));
        for (position, events) in turn.told {
            self.board.live.tell(position, events);
        }
        // Whoever read a page at this position has missed nothing.
        self.board.live.tell(turn.position, Vec::new());
        self.board.set_applied(turn.position, turn.at, self.judge.inventory_version);
        let mut heard = turn.rounds;
        heard.extend(turn.gateways);
        self.board.hand_on(heard);
        if turn.is_assignment_changed {
            self.assigned_at = turn.position;
            self.board.assignments.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    async fn commit(
        &self,
        turn: &Turn,
        checkpoint: Option<&[u8]>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), store::StoreError> {
        let highwaters = turn.highwaters();
        let commit = Commit {
            position: turn.position,
            inventory_version: self.judge.inventory_version,
            decisions: &turn.decisions,
            rounds: &turn.rounds,
            highwaters: &highwaters,
            gaps: &turn.gaps,
            checkpoint,
        };
        let mut pause = RETRY_MIN;
        let mut attempts = 0;
        loop {
            self.board.turned();
            let started_at = self.clock.now();
            let error = match self.store.commit(&commit, started_at).await {
                Ok(_) => {
                    let took = self.clock.now().since(started_at);
                    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    self.judge.metrics.commit_took(took_us);
                    if let Some(lasted) = self.board.intake.store_works(self.clock.now()) {
                        let after_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
                        tracing::info!(after_ms, "the database takes decisions again");
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            self.judge.metrics.commit_failures.inc();
            let reason = crate::chain(&error);
            // Everyone hears of it, by `/readyz`: what lies behind the error is for the log.
            if self.board.intake.store_failed(error.to_string(), self.clock.now()) {
                let position = turn.position.0;
                tracing::error!(error = %reason, position, "cannot store decisions; trying again");
            }
            if self.stop.is_cancelled() {
                attempts += 1;
                if attempts == STOPPING_ATTEMPTS_MAX {
                    return Err(error);
                }
            }
            refuse_for(pause, &error.to_string(), requests).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Answers who asked meanwhile: under a backlog there is always another entry, and whoever
    /// reads a page must not wait for its end.
    fn answer_waiting(&self, requests: &mut mpsc::Receiver<Request>) {
        for _ in 0..REQUESTS_MAX {
            let Ok(request) = requests.try_recv() else {
                return;
            };
            self.answer(request);
        }
    }

    /// Answers a reader. One that has gone does not need it.
    fn answer(&self, request: Request) {
        let engine = &self.judge.engine;
        match request {
            Request::Status { probe, reply } => {
                reply.send(Ok(self.status(probe))).map_or_else(drop, drop);
            }
            Request::Assignment { agent, reply } => {
                let (tiers, probes) = self.judge.mirror.tasks(&engine.assignment(agent));
                let assignment = AgentAssignment { version: self.assigned_at.0, tiers, probes };
                reply.send(Ok(assignment)).map_or_else(drop, drop);
            }
        }
    }

    fn status(&self, probe: model::ProbeId) -> ProbeStatusView {
        let engine = &self.judge.engine;
        let position = *self.board.position.borrow();
        let Some(status) = engine.probe_status(probe) else {
            return ProbeStatusView { probe, position, consensus: None, pairs: Vec::new() };
        };
        let pair = |agent| {
            let pair = engine.pair_status(probe, agent)?;
            Some(PairStatusView {
                agent,
                held: HeldVerdict { verdict: pair.verdict, why: pair.why, since: pair.since },
                last_round_at: pair.last_round_at,
                window_packets: u32::from(pair.window_packets),
                window_lost: u32::from(pair.window_lost),
                rtt_us_mean: pair.rtt_us,
            })
        };
        let held = HeldVerdict { verdict: status.verdict, why: status.why, since: status.since };
        let pairs = status.agents.iter().copied().filter_map(pair).collect();
        ProbeStatusView { probe, position, consensus: Some(held), pairs }
    }
}

/// Lets `pause` pass. Who asks meanwhile is sent away: the engine holds what is not stored, and
/// nobody shall wait for a disk to see a page.
async fn refuse_for(pause: Duration, reason: &str, requests: &mut mpsc::Receiver<Request>) {
    let over = tokio::time::sleep(pause);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            Some(request) = requests.recv() => request.refuse(reason),
        }
    }
}

/// Waits until a tick is through the log, or refused.
async fn wait(tick: &mut Option<TickDone>) {
    match tick {
        Some(done) => done.await.map_or_else(drop, drop),
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use journal::{Disk, Journal};
    use model::ProbeId;

    use super::*;
    use crate::{
        conductor::Replay,
        log::{self, LogStart},
    };

    #[tokio::test]
    async fn who_asks_while_entries_wait_is_answered_after_the_turn() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, metrics) = (Clock::system(), Arc::default());
        let store = Store::open(&dir.path().join("faultline.db")).await.unwrap();
        let options = log::options(LogPosition(0));
        let (journal, _) = Journal::open(dir.path().join("log"), options, Disk).unwrap();
        let replay = Replay {
            store: &store,
            journal: &journal,
            clock: &clock,
            metrics: Arc::clone(&metrics),
        };
        let replayed = replay.run().await.unwrap();
        let last_at = clock.now();
        let start = LogStart { journal, highwaters: log::Highwaters::default(), last_at };
        let (durable, _appended) = mpsc::channel(1);
        let (log, _) = log::start(start, clock.clone(), metrics, durable).unwrap();
        let stop = CancellationToken::new();
        let (conductor, owner, requests, _) = replayed.conduct(&store, &log, &clock, &stop);
        // One entry and the end of the log are there at once: so there is always an entry to take.
        let (sender, entries) = mpsc::channel(1);
        let (position, now) = (LogPosition(1), clock.now());
        let entry = Durable { position, now, body: Body::Tick, rounds: None, permit: None };
        sender.try_send(entry).unwrap();
        drop(sender);
        let asked = conductor.pair_statuses(ProbeId(1));
        let (answer, ended) = tokio::join!(asked, owner.run(entries, requests));
        assert_eq!(answer.unwrap().position, position);
        ended.unwrap();
    }

    /// The pause may be over, and the database take decisions again, before who was sent away sees
    /// the answer: it is told what was so when it asked.
    #[tokio::test]
    async fn who_is_sent_away_hears_of_the_database_and_not_of_a_stop() {
        let (requests, mut asked) = mpsc::channel(1);
        let (reply, answer) = oneshot::channel();
        requests.try_send(Request::Status { probe: ProbeId(1), reply }).unwrap();
        refuse_for(Duration::from_millis(1), "the disk is full", &mut asked).await;
        let error = answer.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the database takes nothing: the disk is full");
    }
}
