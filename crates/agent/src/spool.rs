//! What was learned and is not yet acknowledged: on disk, within limits, in order.
//!
//! A record of the journal is a `Batch` exactly as it goes over the wire. A batch is sent only
//! after it is durable, so its name (epoch, seq) is never used twice: the newest record, which the
//! journal never trims, says where an epoch has come to. Where that cannot be known (a damaged or
//! wiped spool), nothing more is put into the epoch, and the spool waits for the next one.
//!
//! Deliberately not here: when to send and how fast.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use journal::{Disk, Journal, JournalError, Options, Position, Reader, Recovery};
use model::UtcMicros;
use prost::Message;
use wire::{BatchHead, BootId, rounds::RoundRow, v1};

use crate::{clock::Clock, files};

/// Small, because only whole segments leave the disk.
const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The state is a few numbers.
const STATE_BYTES_MAX: u64 = 4096;

/// What is counted for a batch that cannot be read: it held some rounds, and nobody knows how many.
const UNREADABLE_ROUNDS_MIN: u64 = 1;

/// The name of a batch: epoch, seq.
pub(crate) type Key = (u64, u64);

/// How much is kept for a server that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// The oldest batches are dropped beyond this. Default 512 MiB.
    pub bytes_max: u64,
    /// Batches older than this are dropped. Default 7 days.
    pub age_max: Duration,
}

impl Default for SpoolLimits {
    fn default() -> SpoolLimits {
        SpoolLimits { bytes_max: 512 * 1024 * 1024, age_max: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// Why the spool cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot keep the state of the spool in `{}`", path.display())]
    State {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the server granted epoch {granted} after {newest}: it knows less than this agent")]
    EpochBackwards { granted: u64, newest: u64 },
    #[error("batch {}/{} is no longer readable", key.0, key.1)]
    Unreadable { key: (u64, u64) },
    #[error("the rounds do not fit a batch")]
    Seal(#[from] wire::WireError),
}

/// What is remembered beside the records.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct State {
    spool_id: String,
    /// The newest epoch granted; 0 if none.
    epoch: u64,
    /// Records were lost since that epoch was granted: nothing more is put into it.
    is_fenced: bool,
    /// Records below are acknowledged or dropped. A hint: they may be sent again without harm.
    delivered_below: u64,
    /// Rounds dropped since the newest batch.
    dropped_rounds: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    position: Position,
    bytes: u64,
    boot: BootId,
    closed: wire::Anchor,
}

/// The batches that are not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    limits: SpoolLimits,
    clock: Clock,
    boot: BootId,
    /// Absent after a failed sync, until it could be opened again.
    journal: Option<Journal>,
    state: State,
    /// The seq of the next batch; `None` while no epoch may be written to.
    next_seq: Option<u64>,
    entries: BTreeMap<Key, Entry>,
    bytes: u64,
    /// Where the last reading stopped, to go on from there.
    reader: Option<(Position, Reader)>,
    dropped_rounds_total: u64,
}

/// Where the spool lies.
pub(crate) fn dir_of(state_dir: &Path) -> PathBuf {
    state_dir.join("spool")
}

impl Spool {
    /// Opens the spool and finds what it still has to deliver.
    pub(crate) fn open(
        state_dir: &Path,
        limits: SpoolLimits,
        clock: Clock,
        boot: BootId,
    ) -> Result<Spool, SpoolError> {
        let dir = dir_of(state_dir);
        let path = dir.join("state.json");
        let state = read_state(&path).map_err(|source| SpoolError::State { path, source })?;
        let mut spool = Spool {
            dir,
            limits,
            clock,
            boot,
            journal: None,
            next_seq: None,
            entries: BTreeMap::new(),
            bytes: 0,
            reader: None,
            dropped_rounds_total: 0,
            state,
        };
        spool.reopen()?;
        Ok(spool)
    }

    /// Opens the journal, after a start or a failed sync, and reads what is there.
    fn reopen(&mut self) -> Result<(), SpoolError> {
        self.reader = None;
        // Its lock has to go before it can be opened again.
        self.journal = None;
        let options = Options {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            record_bytes_max: u32::try_from(wire::limits::FRAME_BYTES_MAX).unwrap_or(u32::MAX),
            next_at_least: Position(self.state.delivered_below),
        };
        let (journal, recovery) = Journal::open(&self.dir, options, Disk)?;
        self.entries.clear();
        self.bytes = 0;
        let mut newest = None;
        for record in journal.read_from(Position(0)) {
            let (position, bytes) = record?;
            let batch = v1::Batch::decode(bytes.as_slice());
            let head = batch.ok().and_then(|batch| BatchHead::of(&batch).ok());
            let Some(head) = head else {
                tracing::warn!(%position, "a spooled record is no batch and is left out");
                continue;
            };
            newest = Some(((head.epoch, head.seq), position));
            if self.state.delivered_below <= position.0 {
                self.insert(position, bytes.len() as u64, &head);
            }
        }
        self.find_place(&recovery, newest, journal.next());
        self.journal = Some(journal);
        self.save()
    }

    /// Decides where the epoch has come to.
    ///
    /// 1 - The spool lost records, now or at an earlier start: it cannot be known until the next
    /// epoch. 2 - The newest record is of the epoch: after it. 3 - It is of an older one: the epoch
    /// has none yet. 4 - There is no record: it cannot be known either.
    fn find_place(&mut self, recovery: &Recovery, newest: Option<(Key, Position)>, next: Position) {
        let has_lost = recovery.segments_damaged != 0
            || newest.map_or(self.state.delivered_below != 0, |(_, at)| at.next() != next);
        if has_lost && !self.state.is_fenced {
            tracing::warn!(
                damaged = recovery.segments_damaged,
                missing = recovery.records_missing,
                "the spool lost records: rounds are kept again once the server has answered"
            );
            self.state.is_fenced = true;
            self.state.spool_id = new_id();
        }
        let newest = newest.map(|(key, _)| key);
        self.state.epoch = self.state.epoch.max(newest.map_or(0, |(epoch, _)| epoch));
        self.next_seq = match newest {
            Some(_) if self.state.is_fenced => None,
            Some((epoch, seq)) if epoch == self.state.epoch => Some(seq + 1),
            Some(_) => Some(1),
            None => None,
        };
    }

    fn insert(&mut self, position: Position, bytes: u64, head: &BatchHead) {
        let entry = Entry { position, bytes, boot: head.boot, closed: head.closed };
        self.bytes += bytes;
        self.entries.insert((head.epoch, head.seq), entry);
    }

    /// Takes a newly granted epoch: from now on batches carry it.
    pub(crate) fn grant(&mut self, epoch: u64) -> Result<(), SpoolError> {
        if epoch < self.state.epoch || (epoch == self.state.epoch && self.next_seq.is_none()) {
            return Err(SpoolError::EpochBackwards { granted: epoch, newest: self.state.epoch });
        }
        if epoch == self.state.epoch {
            return Ok(());
        }
        let before = self.state.clone();
        self.state.epoch = epoch;
        self.state.is_fenced = false;
        if let Err(error) = self.save() {
            self.state = before;
            return Err(error);
        }
        self.next_seq = Some(1);
        Ok(())
    }

    /// Whether rounds can be kept: an epoch was granted and its place in it is known.
    pub(crate) fn is_open(&self) -> bool {
        self.next_seq.is_some()
    }

    /// Makes a batch durable. If that fails, its rounds are counted as dropped; an error after it
    /// (the state cannot be kept, an old segment cannot be removed) loses none.
    pub(crate) fn append(&mut self, rows: &[RoundRow]) -> Result<(), SpoolError> {
        if let Err(error) = self.try_append(rows) {
            self.drop_rounds(rows.len() as u64);
            return Err(error);
        }
        // The batch is durable: what fails from here on loses no round of it.
        if self.state.dropped_rounds != 0 {
            self.state.dropped_rounds = 0;
            self.save()?;
        }
        self.enforce_limits()
    }

    fn try_append(&mut self, rows: &[RoundRow]) -> Result<(), SpoolError> {
        if self.journal.is_none() {
            self.reopen()?;
        }
        let Some(seq) = self.next_seq else {
            return Err(SpoolError::EpochBackwards { granted: 0, newest: self.state.epoch });
        };
        let kind = Some(v1::payload::Kind::Rounds(wire::rounds::encode_rounds(rows)));
        let batch = v1::Batch {
            epoch: self.state.epoch,
            seq,
            boot_id: self.boot.to_vec(),
            closed: Some(self.clock.anchor().to_clock()),
            payload_zstd: wire::seal(&v1::Payload { kind })?,
            dropped_before: self.state.dropped_rounds,
        };
        let head = BatchHead::of(&batch)?;
        let record = batch.encode_to_vec();
        let position = match self.write(&record) {
            Err(SpoolError::Journal(JournalError::Failed { .. })) => {
                // What was not durable is gone; whatever is still there is good.
                self.reopen()?;
                if self.next_seq != Some(seq) {
                    return Err(SpoolError::Unreadable { key: (batch.epoch, seq) });
                }
                self.write(&record)?
            }
            other => other?,
        };
        self.next_seq = Some(seq + 1);
        self.insert(position, record.len() as u64, &head);
        Ok(())
    }

    fn write(&mut self, record: &[u8]) -> Result<Position, SpoolError> {
        let dir = &self.dir;
        let journal = self
            .journal
            .as_mut()
            .ok_or_else(|| JournalError::Failed { dir: dir.clone(), source: None })?;
        let written = journal.append(record).and_then(|position| {
            journal.sync()?;
            Ok(position)
        });
        if let Err(JournalError::Failed { .. }) = &written {
            self.journal = None;
        }
        Ok(written?)
    }

    /// Counts rounds that are lost; the next batch says how many.
    pub(crate) fn drop_rounds(&mut self, count: u64) {
        self.dropped_rounds_total += count;
        self.state.dropped_rounds += count;
    }

    /// Drops the oldest batches beyond the limits.
    fn enforce_limits(&mut self) -> Result<(), SpoolError> {
        let mut dropped = 0u64;
        while let Some((key, entry)) = self.entries.first_key_value().map(|(k, e)| (*k, *e)) {
            let is_too_old = self.limits.age_max < self.age_of(&entry);
            if self.bytes <= self.limits.bytes_max && !is_too_old {
                break;
            }
            let rounds = self.fetch(key).map_or(0, |batch| rounds_in(&batch));
            self.drop_rounds(rounds);
            self.forget(key);
            dropped += 1;
        }
        if dropped == 0 {
            return Ok(());
        }
        tracing::warn!(
            batches = dropped,
            backlog_bytes = self.bytes,
            "the spool is full: its oldest batches are dropped"
        );
        self.save()?;
        self.trim()
    }

    /// Within one boot by ticks, which a set clock does not bend; else by the wall clock.
    fn age_of(&self, entry: &Entry) -> Duration {
        if entry.boot == self.boot {
            self.clock.tick().since(entry.closed.tick)
        } else {
            self.clock.wall().since(entry.closed.wall)
        }
    }

    /// Forgets every batch of `epoch` up to and including `seq`: the server has them.
    pub(crate) fn acknowledge(&mut self, epoch: u64, seq: u64) -> Result<(), SpoolError> {
        let keys: Vec<Key> =
            self.entries.range((epoch, 0)..=(epoch, seq)).map(|(key, _)| *key).collect();
        for key in keys {
            self.forget(key);
        }
        self.trim()
    }

    /// Forgets one batch that the server will never take.
    pub(crate) fn refuse(&mut self, key: Key) -> Result<(), SpoolError> {
        self.forget(key);
        self.trim()
    }

    fn forget(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    fn trim(&mut self) -> Result<(), SpoolError> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        // Names ascend with positions, so the first entry is the oldest record.
        let oldest = self.entries.first_key_value().map(|(_, entry)| entry.position);
        let below = oldest.unwrap_or(journal.next());
        self.state.delivered_below = self.state.delivered_below.max(below.0);
        Ok(journal.trim_before(below)?)
    }

    /// The first batch after `after`, in the order of their making.
    pub(crate) fn next_after(&self, after: Key) -> Option<(Key, u64)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut rest = self.entries.range((Excluded(after), Unbounded));
        rest.next().map(|(key, entry)| (*key, entry.bytes))
    }

    /// Reads a batch back. One that cannot be read is forgotten and counted as dropped.
    pub(crate) fn fetch(&mut self, key: Key) -> Result<v1::Batch, SpoolError> {
        let read = self.read(key);
        if read.is_err() {
            self.reader = None;
            // While the journal is shut, nothing is lost: opening it finds the batch again.
            if self.entries.contains_key(&key) && self.journal.is_some() {
                self.drop_rounds(UNREADABLE_ROUNDS_MIN);
            }
            self.forget(key);
        }
        read
    }

    fn read(&mut self, key: Key) -> Result<v1::Batch, SpoolError> {
        let unreadable = SpoolError::Unreadable { key };
        let (Some(entry), Some(journal)) = (self.entries.get(&key), &self.journal) else {
            return Err(unreadable);
        };
        let position = entry.position;
        let mut reader = match self.reader.take() {
            Some((next, reader)) if next == position => reader,
            Some(_) | None => journal.read_from(position),
        };
        let record = match reader.next() {
            // It was made before this record was: read on from here.
            None => {
                reader = journal.read_from(position);
                reader.next()
            }
            some => some,
        };
        let (found, bytes) = record.ok_or(unreadable)??;
        self.reader = Some((found.next(), reader));
        let batch = v1::Batch::decode(bytes.as_slice()).ok();
        batch
            .filter(|batch| found == position && (batch.epoch, batch.seq) == key)
            .ok_or(SpoolError::Unreadable { key })
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.state.epoch
    }

    pub(crate) fn spool_id(&self) -> Vec<u8> {
        files::unhex(&self.state.spool_id).unwrap_or_default()
    }

    pub(crate) fn backlog_batches(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest batch that is not delivered was closed, by the wall clock of then.
    pub(crate) fn oldest(&self) -> Option<UtcMicros> {
        self.entries.first_key_value().map(|(_, entry)| entry.closed.wall)
    }

    pub(crate) fn dropped_rounds_total(&self) -> u64 {
        self.dropped_rounds_total
    }

    /// Writes the state. Done when something must not be forgotten, and now and then.
    pub(crate) fn save(&self) -> Result<(), SpoolError> {
        let path = self.dir.join("state.json");
        let bytes = serde_json::to_vec(&self.state).map_err(io::Error::from);
        bytes
            .and_then(|bytes| files::write_atomic(&path, &bytes, files::SECRET))
            .map_err(|source| SpoolError::State { path, source })
    }
}

impl State {
    /// Of a spool that nothing was put into yet.
    pub(crate) fn new() -> State {
        State {
            spool_id: new_id(),
            epoch: 0,
            is_fenced: false,
            delivered_below: 0,
            dropped_rounds: 0,
        }
    }
}

fn new_id() -> String {
    files::hex(&files::random::<16>())
}

/// A state that is not there or not readable is a new one: the records speak for themselves, and
/// without an epoch nothing is written.
fn read_state(path: &Path) -> io::Result<State> {
    if let Some(dir) = path.parent() {
        files::create_private_dir(dir)?;
    }
    let new = State::new();
    match files::read_limited(path, STATE_BYTES_MAX) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "the spool's state is damaged");
            // Kept for inspection; if that fails, it is overwritten.
            fs::rename(path, path.with_extension("json.damaged")).ok();
            new
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(new),
        Err(error) => Err(error),
    }
}

/// How many rounds a batch carries, with those that were dropped before it.
fn rounds_in(batch: &v1::Batch) -> u64 {
    let payload = wire::open(&batch.payload_zstd).ok();
    let rounds = match payload.and_then(|payload| payload.kind) {
        Some(v1::payload::Kind::Rounds(rounds)) => rounds.subject.len() as u64,
        Some(v1::payload::Kind::Facts(_) | v1::payload::Kind::Metrics(_)) | None => 0,
    };
    rounds + batch.dropped_before
}

#[cfg(test)]
mod tests;
