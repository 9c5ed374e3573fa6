//! The one thread that appends to the journal and syncs it, for everybody at once.
//!
//! 1 - Everything that waits, up to a limit, is appended and synced together: the longer a sync
//!     takes, the more it covers. There is no timer to linger on.
//! 2 - Only after the sync is anyone told, and only then does the entry go to the engine.
//! 3 - A batch that is in the log already is not appended again, and is answered after the same
//!     sync, so that the answer holds for it too.
//! 4 - If one append fails, everything behind it in the group fails, and so does what the same
//!     sender has queued: a batch must not overtake the one before it, or that one would be taken
//!     for a duplicate when it comes again.
//! 5 - The server's time is moved here, by the entry that says so, and that entry is the first of
//!     its group: the engine hears of the step before it sees the new time.
//! 6 - A failed append is tried again with the next group, and what comes then is appended.
//! 7 - A failed sync closes the journal; it is opened anew before anything else is taken, and what
//!     recovery found to be durable after all is handed on.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use journal::{Disk, Journal, JournalError, Options, Position, Reader};
use model::{AgentId, LogPosition, MonitorEvent, UtcMicros};
use tokio::sync::{mpsc, oneshot};

use super::{
    Appended, Body, Durable, ENTRY_BYTES_MAX, Highwaters, LogUnavailable, LogVitals, Submission,
    decode, encode,
};
use crate::{clock::Clock, metrics::Metrics, trouble::Trouble};

/// Requests that may wait for the thread; each batch holds a permit for its rounds besides.
const REQUESTS_MAX: usize = 1_024;
/// Entries covered by one sync: at most 128 MiB of batches, so that a sync stays short.
const GROUP_MAX: usize = 256;
/// A closed journal is not tried more often: opening it reads every segment.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum LogRequest {
    Append(Submission),
    /// The engine's state up to here is stored: nobody will read it again.
    Trim(LogPosition),
    Hold(oneshot::Sender<LogHold>),
    /// `None`: it cannot be read right now.
    Read(LogPosition, oneshot::Sender<Option<Reader>>),
    Stop,
}

/// While it lives, nothing is trimmed.
#[derive(Debug)]
pub(crate) struct LogHold {
    _held: Arc<()>,
    /// Everything up to here is durable.
    pub(crate) last: LogPosition,
}

/// What everybody else has of the log.
#[derive(Clone, Debug)]
pub(crate) struct LogHandle {
    requests: mpsc::Sender<LogRequest>,
    vitals: Arc<Mutex<LogVitals>>,
    highwaters: Arc<Mutex<Highwaters>>,
}

/// The log has stopped.
#[derive(Debug)]
pub(crate) struct LogStopped;

impl LogHandle {
    pub(crate) async fn submit(&self, submission: Submission) -> Result<(), LogStopped> {
        let request = LogRequest::Append(submission);
        self.requests.send(request).await.map_err(|_| LogStopped)
    }

    /// Lets go of everything up to `position`, if the queue has room; the next checkpoint asks
    /// again.
    pub(crate) fn trim(&self, position: LogPosition) {
        self.requests.try_send(LogRequest::Trim(position)).unwrap_or(());
    }

    /// Keeps everything that is in the log now, and what comes.
    pub(crate) async fn hold(&self) -> Result<LogHold, LogStopped> {
        let (reply, held) = oneshot::channel();
        self.requests.send(LogRequest::Hold(reply)).await.map_err(|_| LogStopped)?;
        held.await.map_err(|_| LogStopped)
    }

    /// Reads what is durable by now, from a position on.
    pub(crate) async fn read(&self, from: LogPosition) -> Result<Option<Reader>, LogStopped> {
        let (reply, reader) = oneshot::channel();
        self.requests.send(LogRequest::Read(from, reply)).await.map_err(|_| LogStopped)?;
        reader.await.map_err(|_| LogStopped)
    }

    /// Queues an entry if there is room for it.
    pub(crate) fn try_submit(&self, submission: Submission) -> bool {
        self.requests.try_send(LogRequest::Append(submission)).is_ok()
    }

    /// Ends the log behind everything that is queued.
    pub(crate) async fn stop(&self) {
        self.requests.send(LogRequest::Stop).await.unwrap_or(());
    }

    /// Up to where an agent's batches are in the log, or just about to be, for its newest epochs,
    /// the newest first.
    pub(crate) fn marks_of(&self, agent: AgentId, count_max: usize) -> Vec<(u64, u64)> {
        lock(&self.highwaters).newest(agent, count_max)
    }

    /// Whether nobody knows any more what was taken of an agent's epoch.
    pub(crate) fn is_forgotten(&self, agent: AgentId, epoch: u64) -> bool {
        lock(&self.highwaters).is_forgotten(agent, epoch)
    }

    /// Forgets marks that were raised last before `at`: no batch of theirs can come again.
    pub(crate) fn forget_marks_before(&self, at: UtcMicros) {
        lock(&self.highwaters).forget_before(at);
    }

    pub(crate) fn vitals(&self) -> LogVitals {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the thread starts with: the journal after replay.
#[derive(Debug)]
pub(crate) struct LogStart {
    pub(crate) journal: Journal,
    pub(crate) highwaters: Highwaters,
    /// When the last entry was appended.
    pub(crate) last_at: UtcMicros,
}

/// How the journal of the log is opened.
pub(crate) fn options(applied: LogPosition) -> Options {
    Options {
        record_bytes_max: ENTRY_BYTES_MAX,
        next_at_least: Position(applied.0).next(),
        ..Options::default()
    }
}

/// Starts the thread.
///
/// # Errors
///
/// If the operating system gives no thread.
pub(crate) fn start(
    start: LogStart,
    clock: Clock,
    metrics: Arc<Metrics>,
    durable: mpsc::Sender<Durable>,
) -> std::io::Result<(LogHandle, oneshot::Receiver<()>)> {
    let (requests, asked) = mpsc::channel(REQUESTS_MAX);
    let vitals = Arc::new(Mutex::new(LogVitals::default()));
    let highwaters = Arc::new(Mutex::new(start.highwaters));
    let (ended, has_ended) = oneshot::channel();
    let mut writer = Writer {
        dir: start.journal.dir().to_owned(),
        last: LogPosition(start.journal.next().0.saturating_sub(1)),
        last_at: start.last_at,
        journal: Some(start.journal),
        highwaters: Arc::clone(&highwaters),
        opened_at: UtcMicros(0),
        shut_because: String::new(),
        trouble: Trouble::default(),
        clock,
        metrics,
        durable,
        vitals: Arc::clone(&vitals),
        held: Arc::default(),
    };
    writer.publish(0);
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        writer.run(asked);
        ended.send(()).unwrap_or(());
    })?;
    Ok((LogHandle { requests, vitals, highwaters }, has_ended))
}

struct Writer {
    dir: PathBuf,
    /// `None` after a failed sync, until it could be opened anew.
    journal: Option<Journal>,
    highwaters: Arc<Mutex<Highwaters>>,
    last: LogPosition,
    last_at: UtcMicros,
    /// The last attempt to open it anew.
    opened_at: UtcMicros,
    /// Why there is no journal.
    shut_because: String,
    trouble: Trouble,
    clock: Clock,
    metrics: Arc<Metrics>,
    durable: mpsc::Sender<Durable>,
    vitals: Arc<Mutex<LogVitals>>,
    /// Each clone keeps the log from being trimmed.
    held: Arc<()>,
}

/// What one sync covers.
#[derive(Default)]
struct Group {
    appended: Vec<(LogPosition, Submission)>,
    duplicates: Vec<Submission>,
    failed: Vec<Submission>,
    failure: Option<LogUnavailable>,
    /// High-water marks as they were, to go back to.
    before: Vec<((AgentId, u64), Option<u64>)>,
}

impl Writer {
    fn run(&mut self, mut asked: mpsc::Receiver<LogRequest>) {
        let mut turn = Vec::with_capacity(GROUP_MAX);
        loop {
            if asked.blocking_recv_many(&mut turn, GROUP_MAX) == 0 {
                return;
            }
            let mut submissions = Vec::with_capacity(turn.len());
            let mut readers = Vec::new();
            let mut trim = None;
            let mut is_stopping = false;
            for request in turn.drain(..) {
                match request {
                    LogRequest::Append(submission) => submissions.push(submission),
                    LogRequest::Trim(position) => trim = Some(position),
                    request @ (LogRequest::Hold(_) | LogRequest::Read(..)) => readers.push(request),
                    LogRequest::Stop => is_stopping = true,
                }
            }
            if !submissions.is_empty() && !self.commit(submissions) {
                return;
            }
            readers.into_iter().for_each(|request| self.answer_reader(request));
            if let Some(position) = trim {
                self.trim(position);
            }
            if is_stopping {
                return;
            }
        }
    }

    /// Between two groups: what is in the journal then is durable.
    fn answer_reader(&self, request: LogRequest) {
        match request {
            LogRequest::Hold(reply) => {
                let hold = LogHold { _held: Arc::clone(&self.held), last: self.last };
                reply.send(hold).map_or_else(drop, drop);
            }
            LogRequest::Read(from, reply) => {
                let reader = |journal: &Journal| journal.read_from(Position(from.0));
                reply.send(self.journal.as_ref().map(reader)).map_or_else(drop, drop);
            }
            LogRequest::Append(_) | LogRequest::Trim(_) | LogRequest::Stop => (),
        }
    }

    /// Appends and syncs a group; `false` if nobody takes entries any more.
    fn commit(&mut self, mut submissions: Vec<Submission>) -> bool {
        if self.journal.is_none() && !self.reopen() {
            return false;
        }
        submissions.sort_by_key(|submission| !is_step(&submission.body));
        if submissions.first().is_some_and(|submission| is_step(&submission.body)) {
            self.clock.follow();
        }
        let now = self.clock.now().max(self.last_at);
        let mut group = Group::default();
        for submission in submissions {
            self.append(&mut group, submission, now);
        }
        let started_at = self.clock.now();
        let synced = match &mut self.journal {
            Some(journal) => journal.sync().map_err(|error| unavailable(&error)),
            None => Ok(()),
        };
        let sync_us = self.clock.now().since(started_at);
        self.metrics.log_sync_seconds.observe(sync_us.as_secs_f64());
        let sync_us = u64::try_from(sync_us.as_micros()).unwrap_or(u64::MAX);
        if let Err(failure) = synced {
            self.shut_because.clone_from(&failure.reason);
            self.journal = None;
            self.go_back(&mut group, failure);
        }
        if let Some((position, _)) = group.appended.last() {
            self.last = *position;
            self.last_at = now;
            // Not before it is durable: what is forgotten cannot be brought back.
            let mut highwaters = lock(&self.highwaters);
            group.before.iter().for_each(|((agent, _), _)| highwaters.bound(*agent));
        }
        self.note_trouble(&group, now);
        self.publish(sync_us);
        self.answer(group, now)
    }

    /// Tells a failure, and that entries are taken again. A group that appended nothing, such as
    /// one of duplicates, shows neither.
    fn note_trouble(&mut self, group: &Group, now: UtcMicros) {
        if let Some(failure) = &group.failure {
            self.metrics.log_failures.inc();
            if self.trouble.is_told(now) {
                tracing::error!(error = %failure, "what comes in is refused, and comes again");
            }
            self.set_impediment(Some(failure.to_string()));
        } else if !group.appended.is_empty() {
            if let Some(lasted) = self.trouble.end(now) {
                tracing::info!(after_s = lasted.as_secs(), "the log takes entries again");
            }
            self.set_impediment(None);
        }
    }

    fn append(&mut self, group: &mut Group, submission: Submission, now: UtcMicros) {
        if group.failure.is_some() || submission.lane.is_broken() {
            group.failed.push(submission);
            return;
        }
        let key = match &submission.body {
            Body::Batch(batch) => Some(((batch.agent, batch.epoch), batch.seq)),
            Body::Agent { .. }
            | Body::Inventory { .. }
            | Body::Monitor(_)
            | Body::Metrics(_)
            | Body::Tick => None,
        };
        if let Some(((agent, epoch), seq)) = key {
            let highwaters = lock(&self.highwaters);
            if highwaters.get(agent, epoch).is_some_and(|high| seq <= high) {
                group.duplicates.push(submission);
                return;
            }
            if highwaters.is_forgotten(agent, epoch) {
                // It was not when it came in: when it comes again, it is refused for good.
                let reason = "what was taken of its epoch is no longer known".to_owned();
                submission.lane.set_broken();
                submission.done.send(Err(LogUnavailable { reason })).unwrap_or(());
                return;
            }
        }
        let appended = match &mut self.journal {
            Some(journal) => {
                let bytes = encode(now, &submission.body);
                journal.append(&bytes).map_err(|error| unavailable(&error))
            }
            None => Err(LogUnavailable { reason: self.shut_because.clone() }),
        };
        match appended {
            Ok(position) => {
                if let Some((lane, seq)) = key {
                    let was = lock(&self.highwaters).raise(lane.0, lane.1, seq, now);
                    group.before.push((lane, was));
                }
                group.appended.push((LogPosition(position.0), submission));
            }
            Err(failure) => {
                group.failure = Some(failure);
                group.failed.push(submission);
            }
        }
    }

    /// Nothing of the group is durable: as if it had never been asked for.
    fn go_back(&mut self, group: &mut Group, failure: LogUnavailable) {
        let mut highwaters = lock(&self.highwaters);
        for ((agent, epoch), was) in group.before.drain(..).rev() {
            highwaters.put_back(agent, epoch, was);
        }
        drop(highwaters);
        let appended = group.appended.drain(..).map(|(_, submission)| submission);
        let duplicates = group.duplicates.drain(..);
        group.failed.extend(appended.chain(duplicates));
        group.failure = Some(failure);
    }

    /// Tells everybody what became of theirs, and hands durable entries on in their order.
    fn answer(&mut self, group: Group, now: UtcMicros) -> bool {
        let closed = LogUnavailable { reason: "an entry before this one failed".to_owned() };
        let failure = group.failure.unwrap_or(closed);
        for submission in group.failed {
            submission.lane.set_broken();
            submission.done.send(Err(failure.clone())).unwrap_or(());
        }
        for submission in group.duplicates {
            submission.done.send(Ok(Appended::Duplicate(self.last))).unwrap_or(());
        }
        for (position, submission) in group.appended {
            let Submission { body, rounds, permit, done, .. } = submission;
            // A sender that has gone does not need to know.
            done.send(Ok(Appended::New(position))).unwrap_or(());
            let entry = Durable { position, now, body, rounds, permit };
            if self.durable.blocking_send(entry).is_err() {
                return false;
            }
        }
        true
    }

    /// Opens the journal anew after a failed sync; `false` if nobody takes entries any more.
    fn reopen(&mut self) -> bool {
        let now = self.clock.now();
        if now.since(self.opened_at) < REOPEN_INTERVAL {
            return true;
        }
        self.opened_at = now;
        let recovered = match Journal::open(&self.dir, options(self.last), Disk) {
            Ok((journal, _)) => self.hand_on_recovered(&journal).map(|taken| (journal, taken)),
            Err(error) => Err(error),
        };
        match recovered {
            Ok((journal, is_taken)) => {
                self.journal = Some(journal);
                self.vitals.lock().unwrap_or_else(PoisonError::into_inner).reopens += 1;
                is_taken
            }
            Err(error) => {
                self.shut_because = unavailable(&error).reason;
                true
            }
        }
    }

    /// Hands on entries that were durable although their sync failed: they will be replayed, so
    /// the engine must hear them now.
    fn hand_on_recovered(&mut self, journal: &Journal) -> Result<bool, JournalError> {
        for record in journal.read_from(Position(self.last.0).next()) {
            let (position, bytes) = record?;
            self.last = LogPosition(position.0);
            let Ok(entry) = decode(bytes.into()) else {
                self.metrics.log_entries_unreadable.inc();
                continue;
            };
            if let Body::Batch(batch) = &entry.body {
                let mut highwaters = lock(&self.highwaters);
                highwaters.raise(batch.agent, batch.epoch, batch.seq, entry.now);
                highwaters.bound(batch.agent);
            }
            self.last_at = self.last_at.max(entry.now);
            let durable = Durable {
                position: self.last,
                now: entry.now,
                body: entry.body,
                rounds: None,
                permit: None,
            };
            if self.durable.blocking_send(durable).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn trim(&mut self, position: LogPosition) {
        if 1 < Arc::strong_count(&self.held) {
            // The next checkpoint asks again.
            return;
        }
        let Some(journal) = &mut self.journal else {
            return;
        };
        if let Err(error) = journal.trim_before(Position(position.0).next()) {
            self.metrics.log_failures.inc();
            let error = crate::chain(&error);
            tracing::warn!(%error, "old segments of the log stay until the next checkpoint");
        }
        let sync_us = self.vitals.lock().unwrap_or_else(PoisonError::into_inner).sync_us;
        self.publish(sync_us);
    }

    fn set_impediment(&self, impediment: Option<String>) {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner).impediment = impediment;
    }

    fn publish(&self, sync_us: u64) {
        let mut vitals = self.vitals.lock().unwrap_or_else(PoisonError::into_inner);
        vitals.last = self.last;
        vitals.last_at = self.last_at;
        vitals.sync_us = sync_us;
        if let Some(journal) = &self.journal {
            vitals.bytes = journal.len_bytes();
            vitals.segments = u64::try_from(journal.segments_total()).unwrap_or(u64::MAX);
        }
    }
}

fn lock(highwaters: &Mutex<Highwaters>) -> MutexGuard<'_, Highwaters> {
    highwaters.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_step(body: &Body) -> bool {
    matches!(body, Body::Monitor(MonitorEvent::ClockStepped { .. }))
}

fn unavailable(error: &JournalError) -> LogUnavailable {
    let remedy = match error {
        JournalError::Full { .. } => ": free space there",
        JournalError::Unusable { .. } | JournalError::Failed { .. } => {
            ": look at its disk, and whether it is mounted and writable"
        }
        JournalError::Locked { .. }
        | JournalError::TooLong { .. }
        | JournalError::Damaged { .. } => "",
    };
    LogUnavailable { reason: format!("{}{remedy}", crate::chain(error)) }
}

#[cfg(test)]
mod tests;
