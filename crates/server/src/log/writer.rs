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
            Body::Agent { .. } | Body::Inventory { .. } | Body::Monitor(_) | Body::Tick => None,
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
mod tests {
    use std::{
        io,
        path::Path,
        sync::atomic::{AtomicBool, Ordering},
    };

    use bytes::Bytes;
    use journal::{FileLayer, LayerFile, Lock};

    use super::*;
    use crate::log::{BatchBody, Lane};

    /// A disk whose syncs fail while the first switch is on, and that is full while the second is.
    #[derive(Clone, Debug, Default)]
    struct Failing(Arc<AtomicBool>, Arc<AtomicBool>);

    impl Failing {
        fn room(&self) -> io::Result<()> {
            match self.1.load(Ordering::SeqCst) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    #[derive(Debug)]
    struct FailingFile(Box<dyn LayerFile>, Failing);

    impl FileLayer for Failing {
        fn create_dir(&self, dir: &Path) -> io::Result<()> {
            Disk.create_dir(dir)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
            Disk.list(dir)
        }
        fn create(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
            self.room()?;
            Ok(Box::new(FailingFile(Disk.create(path)?, self.clone())))
        }
        fn open(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
            Ok(Box::new(FailingFile(Disk.open(path)?, self.clone())))
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            Disk.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            Disk.remove(path)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            Disk.sync_dir(dir)
        }
        fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
            Disk.lock(path)
        }
    }

    impl LayerFile for FailingFile {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.0.read_at(buffer, offset)
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            if let Err(error) = self.1.room() {
                // As a full disk does: a part of it finds room.
                let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
                self.0.write_at(part, offset)?;
                return Err(error);
            }
            self.0.write_at(bytes, offset)
        }
        fn truncate(&self, length: u64) -> io::Result<()> {
            self.0.truncate(length)
        }
        fn is_at(&self, path: &Path) -> io::Result<bool> {
            self.0.is_at(path)
        }
        fn sync(&self) -> io::Result<()> {
            match self.1.0.load(Ordering::SeqCst) {
                true => Err(io::Error::other("input/output error")),
                false => self.0.sync(),
            }
        }
    }

    fn batch(seq: u64) -> Body {
        batch_of(1, seq)
    }

    fn batch_of(epoch: u64, seq: u64) -> Body {
        Body::Batch(BatchBody {
            agent: AgentId(1),
            epoch,
            seq,
            offset_us: 0,
            payload_zstd: Bytes::new(),
            gaps: Vec::new(),
        })
    }

    fn open(dir: &Path, layer: Failing) -> (LogHandle, mpsc::Receiver<Durable>) {
        open_with(dir, layer, Highwaters::default())
    }

    fn open_with(
        dir: &Path,
        layer: Failing,
        highwaters: Highwaters,
    ) -> (LogHandle, mpsc::Receiver<Durable>) {
        let (journal, _) = Journal::open(dir, options(LogPosition(0)), layer).unwrap();
        let start_with = LogStart { journal, highwaters, last_at: UtcMicros(0) };
        let (durable, entries) = mpsc::channel(16);
        let metrics = Arc::default();
        let (handle, _) = start(start_with, Clock::system(), metrics, durable).unwrap();
        (handle, entries)
    }

    async fn append(log: &LogHandle, body: Body) -> Appended {
        let (submission, done) = Submission::of(body);
        log.submit(submission).await.unwrap();
        done.await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn entries_come_out_durable_in_order_and_a_duplicate_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut entries) = open(dir.path(), Failing::default());
        assert_eq!(append(&log, batch(1)).await, Appended::New(LogPosition(1)));
        assert_eq!(append(&log, batch(1)).await, Appended::Duplicate(LogPosition(1)));
        assert_eq!(append(&log, Body::Tick).await, Appended::New(LogPosition(2)));
        log.stop().await;
        assert_eq!(entries.recv().await.unwrap().body, batch(1));
        assert_eq!(entries.recv().await.unwrap().body, Body::Tick);
        assert!(entries.recv().await.is_none());
        assert_eq!(log.vitals().last, LogPosition(2));
    }

    #[tokio::test]
    async fn what_is_not_durable_is_not_acknowledged_and_comes_again_as_new() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Failing::default();
        let (log, mut entries) = open(dir.path(), disk.clone());
        assert_eq!(append(&log, batch(1)).await, Appended::New(LogPosition(1)));
        disk.0.store(true, Ordering::SeqCst);
        let (submission, done) = Submission::of(batch(2));
        log.submit(submission).await.unwrap();
        assert!(done.await.unwrap().is_err());
        assert!(log.vitals().impediment.is_some());
        assert_eq!(append(&log, batch(2)).await, Appended::New(LogPosition(2)));
        assert_eq!(append(&log, batch(1)).await, Appended::Duplicate(LogPosition(2)));
        assert_eq!(log.vitals().impediment, None);
        log.stop().await;
        assert_eq!(entries.recv().await.unwrap().body, batch(1));
        assert_eq!(entries.recv().await.unwrap().body, batch(2));
        assert!(entries.recv().await.is_none());
    }

    /// An agent with as many epochs as are remembered begins one more: what was taken of its oldest
    /// is forgotten, but not because of a batch that is not durable, and a batch of that is not
    /// taken a second time.
    #[tokio::test]
    async fn an_epoch_is_forgotten_for_a_durable_batch_and_its_batches_count_no_second_time() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Failing::default();
        let mut marks = Highwaters::default();
        let max = u64::try_from(crate::log::marks::EPOCHS_PER_AGENT_MAX).unwrap();
        for epoch in 1..=max {
            marks.raise(AgentId(1), epoch, 5, UtcMicros(0));
        }
        let (log, mut entries) = open_with(dir.path(), disk.clone(), marks);
        disk.0.store(true, Ordering::SeqCst);
        refused(&log, batch_of(max + 1, 1)).await;
        assert!(!log.is_forgotten(AgentId(1), 1));
        assert!(matches!(append(&log, batch_of(1, 5)).await, Appended::Duplicate(_)));
        append(&log, batch_of(max + 1, 1)).await;
        assert!(log.is_forgotten(AgentId(1), 1));
        assert_eq!(
            refused(&log, batch_of(1, 5)).await,
            "what was taken of its epoch is no longer known"
        );
        assert!(matches!(append(&log, batch_of(2, 5)).await, Appended::Duplicate(_)));
        log.stop().await;
        assert_eq!(entries.recv().await.unwrap().body, batch_of(max + 1, 1));
        assert!(entries.recv().await.is_none());
    }

    async fn refused(log: &LogHandle, body: Body) -> String {
        let (submission, done) = Submission::of(body);
        log.submit(submission).await.unwrap();
        done.await.unwrap().unwrap_err().reason
    }

    #[tokio::test]
    async fn a_full_disk_is_said_until_an_entry_is_taken_again_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Failing::default();
        let (log, mut entries) = open(dir.path(), disk.clone());
        append(&log, batch(1)).await;
        disk.1.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let reason = refused(&log, batch(2)).await;
            assert!(reason.starts_with("no room left on the disk of `"), "{reason}");
            assert!(reason.ends_with("free space there"), "{reason}");
        }
        assert!(log.vitals().impediment.is_some());
        // What is there already is there: that says nothing of the disk.
        append(&log, batch(1)).await;
        log.trim(LogPosition(0));
        append(&log, batch(1)).await;
        assert!(log.vitals().impediment.is_some());
        disk.1.store(false, Ordering::SeqCst);
        assert_eq!(append(&log, batch(2)).await, Appended::New(LogPosition(2)));
        assert_eq!(log.vitals().impediment, None);
        log.stop().await;
        let mut seqs = Vec::new();
        while let Some(entry) = entries.recv().await {
            seqs.push(entry.body);
        }
        assert_eq!(seqs, [batch(1), batch(2)]);
        let (journal, recovery) = Journal::open(dir.path(), options(LogPosition(0)), Disk).unwrap();
        assert_eq!((recovery.records, recovery.truncated_bytes), (2, 0));
        drop(journal);
    }

    #[tokio::test]
    async fn a_removed_directory_takes_nothing_and_is_made_anew_if_its_parent_is_there() {
        let parent = tempfile::tempdir().unwrap();
        let (data, away) = (parent.path().join("data"), parent.path().join("away"));
        std::fs::create_dir(&data).unwrap();
        let (log, _entries) = open(&data.join("log"), Failing::default());
        append(&log, batch(1)).await;
        std::fs::rename(&data, &away).unwrap();
        let reason = refused(&log, batch(2)).await;
        assert!(reason.contains("is no longer there"), "{reason}");
        let reason = refused(&log, batch(2)).await;
        assert!(reason.contains("cannot create `"), "{reason}");
        assert!(!data.exists(), "the owner's directory is not made anew");
        std::fs::create_dir(&data).unwrap();
        let taken = soon_taken(&log, batch(2)).await;
        assert_eq!(taken, Appended::New(LogPosition(2)));
        assert_eq!((log.vitals().impediment, log.vitals().reopens), (None, 1));
    }

    /// Tries until it is taken: a closed log is not opened more often than once a second.
    async fn soon_taken(log: &LogHandle, body: Body) -> Appended {
        loop {
            let (submission, done) = Submission::of(body.clone());
            log.submit(submission).await.unwrap();
            if let Ok(appended) = done.await.unwrap() {
                return appended;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_broken_sender_has_queued_fails_and_a_new_one_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _entries) = open(dir.path(), Failing::default());
        let lane = Lane::default();
        lane.set_broken();
        let (submission, done) = Submission::of(batch(2));
        log.submit(Submission { lane, ..submission }).await.unwrap();
        assert!(done.await.unwrap().is_err());
        assert_eq!(append(&log, batch(1)).await, Appended::New(LogPosition(1)));
    }

    #[tokio::test]
    async fn what_is_held_is_not_trimmed_and_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        // A segment an entry.
        let small = Options { segment_bytes_max: 1, ..options(LogPosition(0)) };
        let (journal, _) = Journal::open(dir.path(), small, Disk).unwrap();
        let highwaters = Highwaters::default();
        let start_with = LogStart { journal, highwaters, last_at: UtcMicros(0) };
        let (durable, mut entries) = mpsc::channel(16);
        let metrics = Arc::default();
        let (log, _) = start(start_with, Clock::system(), metrics, durable).unwrap();
        for seq in 1..=3 {
            append(&log, batch(seq)).await;
        }
        let hold = log.hold().await.unwrap();
        assert_eq!(hold.last, LogPosition(3));
        log.trim(LogPosition(3));
        append(&log, batch(4)).await;
        let read = async |from| {
            let reader = log.read(LogPosition(from)).await.unwrap().unwrap();
            reader.map(|record| record.unwrap().0.0).collect::<Vec<u64>>()
        };
        assert_eq!(read(1).await, [1, 2, 3, 4]);
        assert_eq!(read(3).await, [3, 4]);
        drop(hold);
        log.trim(LogPosition(3));
        append(&log, batch(5)).await;
        assert_eq!(read(1).await, [4, 5]);
        log.stop().await;
        while entries.recv().await.is_some() {}
    }
}
