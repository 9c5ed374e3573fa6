//! The task that owns the engine: hear, decide, store, and only then act.
//!
//! Turns are bounded, by entries, by rounds and by time. What decides nothing is gathered for a
//! moment, because a commit costs as much as some thousand rounds; what decides something, and what
//! somebody asks about, is stored at once. A commit that fails is tried again until it succeeds:
//! everything behind it waits in the log, and what waits there is bounded by permits, so agents are
//! slowed down rather than lied to. The engine's deadlines become `Tick` entries of the log first,
//! so that replay meets them at the same place.

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
/// So long rounds that decide nothing wait for others before they are stored. They are safe in the
/// log; who looks at a target sees them a quarter of a second later.
const GATHER: Duration = Duration::from_millis(250);
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
    /// What was heard and is not stored yet, and when the first of it was heard.
    pub(super) gathered: Turn,
    pub(super) gathered_since: UtcMicros,
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
                        self.conclude(&mut requests).await?;
                        self.answer_waiting(&mut requests);
                        return Ok(());
                    }
                    self.hear(turn.drain(..), &mut requests).await?;
                }
                Some(request) = requests.recv() => {
                    self.conclude(&mut requests).await?;
                    self.answer(request);
                }
                () = self.gathering() => self.conclude(&mut requests).await?,
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

    /// Waits until what is gathered is to be stored; for ever if there is nothing.
    async fn gathering(&self) {
        if self.gathered.entries == 0 {
            future::pending().await
        }
        tokio::time::sleep((self.gathered_since + GATHER).since(self.clock.now())).await;
    }

    async fn hear(
        &mut self,
        entries: impl Iterator<Item = Durable>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), store::StoreError> {
        for entry in entries {
            if self.gathered.entries == 0 {
                self.gathered_since = self.clock.now();
            }
            self.judge.hear(&mut self.gathered, entry);
            if self.gathered.is_full() {
                self.conclude(requests).await?;
                self.answer_waiting(requests);
            }
        }
        let is_due = self.gathered.is_urgent
            || GATHER <= self.clock.now().since(self.gathered_since)
            || !requests.is_empty();
        if is_due {
            self.conclude(requests).await?;
            self.answer_waiting(requests);
        }
        Ok(())
    }

    /// Stores what is gathered, then tells everybody.
    async fn conclude(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), store::StoreError> {
        let turn = std::mem::take(&mut self.gathered);
        if turn.entries == 0 {
            return Ok(());
        }
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
            metrics: &turn.metrics,
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
            Request::Statuses { probes, reply } => {
                let all = probes.into_iter().map(|probe| self.status(probe)).collect();
                reply.send(Ok(all)).map_or_else(drop, drop);
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
    use std::path::Path;

    use journal::{Disk, Journal};
    use model::ProbeId;

    use super::*;
    use crate::{
        clock::{ReadClocks, Reading},
        conductor::{Conductor, Replay},
        log::{self, LogStart},
    };

    #[derive(Debug)]
    struct Still;

    impl ReadClocks for Still {
        fn read(&self) -> Reading {
            Reading { wall_us: 1_795_240_440_000_000, boot_us: 0 }
        }
    }

    /// An owner with an empty database and log, for whom no time passes, and the handle of it.
    async fn owner(dir: &Path) -> (Conductor, Owner, mpsc::Receiver<Request>) {
        let (clock, metrics) = (Clock::over(Arc::new(Still)), Arc::default());
        let store = Store::open(&dir.join("faultline.db")).await.unwrap();
        let options = log::options(LogPosition(0));
        let (journal, _) = Journal::open(dir.join("log"), options, Disk).unwrap();
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
        (conductor, owner, requests)
    }

    fn entry(position: u64, body: Body) -> Durable {
        let (position, now) = (LogPosition(position), Clock::over(Arc::new(Still)).now());
        Durable { position, now, body, rounds: None, permit: None }
    }

    #[tokio::test]
    async fn who_asks_while_entries_wait_is_answered_after_the_turn() {
        let dir = tempfile::tempdir().unwrap();
        let (conductor, owner, requests) = owner(dir.path()).await;
        // One entry and the end of the log are there at once: so there is always an entry to take.
        let (sender, entries) = mpsc::channel(1);
        sender.try_send(entry(1, Body::Tick)).unwrap();
        drop(sender);
        let asked = conductor.pair_statuses(ProbeId(1));
        let (answer, ended) = tokio::join!(asked, owner.run(entries, requests));
        assert_eq!(answer.unwrap().position, LogPosition(1));
        ended.unwrap();
    }

    #[tokio::test]
    async fn what_decides_nothing_is_gathered_and_what_somebody_waits_for_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut owner, mut requests) = owner(dir.path()).await;
        let mut hear = async |entries: Vec<Durable>| {
            owner.hear(entries.into_iter(), &mut requests).await.unwrap();
            owner.store.applied().await.unwrap().position
        };
        assert_eq!(hear(vec![entry(1, Body::Tick), entry(2, Body::Tick)]).await, LogPosition(0));
        let inventory = Body::Inventory { version: Some(1), changes: Vec::new() };
        assert_eq!(hear(vec![entry(3, inventory)]).await, LogPosition(3));
    }

    #[tokio::test]
    async fn what_is_gathered_is_stored_before_long_and_at_once_for_who_asks() {
        let dir = tempfile::tempdir().unwrap();
        let (conductor, owner, requests) = owner(dir.path()).await;
        let (sender, entries) = mpsc::channel(1);
        let mut running = tokio::task::JoinSet::new();
        running.spawn(owner.run(entries, requests));
        sender.send(entry(1, Body::Tick)).await.unwrap();
        conductor.applied(LogPosition(1)).await.unwrap();
        sender.send(entry(2, Body::Tick)).await.unwrap();
        let answer = conductor.pair_statuses(ProbeId(1)).await.unwrap();
        assert_eq!(answer.position, LogPosition(2));
        drop(sender);
        running.join_next().await.unwrap().unwrap().unwrap();
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
