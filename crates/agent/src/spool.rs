//! What was learned and is not yet acknowledged: on disk, within limits, in order.
//!
//! A record of the journal is a `Batch` exactly as it goes over the wire. A batch is sent only
//! after it is durable, so its name (epoch, seq) is never used twice: the newest record, which the
//! journal never trims, says where an epoch has come to. Where that cannot be known (a damaged or
//! wiped spool), nothing more is put into the epoch, and the spool waits for the next one.
//!
//! Batches of one epoch are delivered in order, epochs independently of each other, so what is
//! delivered is a mark for each epoch. Whatever is lost on the way (too much, too old, unreadable,
//! refused) is a loss with its time, count and cause, and the next batch tells it: once, for it is
//! durable together with that batch.
//!
//! Delivered batches stay on the disk for a while, up to a quarter of the spool's size: a server
//! that was restored from a backup says what it has, and gets the rest again.
//!
//! Deliberately not here: when to send and how fast.

mod losses;
mod state;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use journal::{Disk, Journal, JournalError, Options, Position, Reader, Recovery};
use model::{DropCause, Tick, UtcMicros};
use prost::Message;
use wire::{Anchor, BatchHead, BootId, Dropped, limits, rounds::RoundRow, v1};

use crate::{clock::Clock, files};
pub(crate) use state::State;
use state::new_id;

/// Small, because only whole segments leave the disk.
const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// This part of the spool's size (1 / 4) may hold what is delivered already, for a server that is
/// restored from a backup: with the default size 128 MiB, a day of about 150 rounds a second.
const KEPT_SHARE: u64 = 4;
/// What is counted for a batch that cannot be read: it held some rounds, and nobody knows how many.
const UNREADABLE_ROUNDS_MIN: u64 = 1;
/// What a batch that cannot be read was of, before it was closed: batches are closed each second.
const UNREADABLE_SPAN_US: u64 = 1_000_000;

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
    #[error("there is no epoch to put batches into: the server has to grant one")]
    NoEpoch,
    #[error("batch {}/{} is no longer readable", key.0, key.1)]
    Unreadable { key: (u64, u64) },
    #[error("the rounds do not fit a batch")]
    Seal(#[from] wire::WireError),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    position: Position,
    bytes: u64,
    boot: BootId,
    closed: Anchor,
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
    /// The epoch that batches are put into: the newest granted, or for a moment still the one
    /// before it.
    writing: u64,
    /// The seq of the next batch; `None` while no epoch may be written to.
    next_seq: Option<u64>,
    /// What is to be delivered. Names ascend with positions.
    pending: BTreeMap<Key, Entry>,
    bytes: u64,
    /// Bytes of what is delivered, yet lies on the disk behind something that is not.
    behind: BTreeMap<Key, u64>,
    behind_bytes: u64,
    /// A position each [`SEGMENT_BYTES_MAX`], to know where to cut.
    milestones: VecDeque<Position>,
    since_milestone: u64,
    /// Where the last reading stopped, to go on from there.
    reader: Option<(Position, Reader)>,
    dropped_rounds_total: u64,
}

/// What opening finds in the records.
#[derive(Debug, Default)]
struct Found {
    /// The newest record's position.
    last: Option<Position>,
    /// The newest batch of the present numbering.
    newest: Option<(Key, Anchor, BootId)>,
    /// What lies between two records and is not there.
    holes: Vec<Dropped>,
    told: Vec<Dropped>,
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
        let state = State::read(&path).map_err(|source| SpoolError::State { path, source })?;
        let mut spool = Spool {
            dir,
            limits,
            clock,
            boot,
            journal: None,
            state,
            writing: 0,
            next_seq: None,
            pending: BTreeMap::new(),
            bytes: 0,
            behind: BTreeMap::new(),
            behind_bytes: 0,
            milestones: VecDeque::new(),
            since_milestone: 0,
            reader: None,
            dropped_rounds_total: 0,
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
            record_bytes_max: u32::try_from(limits::FRAME_BYTES_MAX).unwrap_or(u32::MAX),
            next_at_least: Position(self.state.delivered_below),
        };
        let (journal, recovery) = Journal::open(&self.dir, options, Disk)?;
        let found = self.scan(&journal)?;
        self.state.losses.forget_told(&found.told);
        self.find_place(&recovery, found, journal.next());
        self.journal = Some(journal);
        // A disk that takes no state may take none for long: what is noted here is found again at
        // the next opening, and an agent that asks and says so beats one that does not start.
        if let Err(error) = self.save() {
            tracing::warn!(%error, "cannot keep the state of the spool");
        }
        Ok(())
    }

    /// Reads every record and finds what is to be delivered.
    fn scan(&mut self, journal: &Journal) -> Result<Found, SpoolError> {
        self.pending.clear();
        self.behind.clear();
        self.milestones.clear();
        (self.bytes, self.behind_bytes, self.since_milestone) = (0, 0, 0);
        let mut found = Found::default();
        for record in journal.read_from(Position(0)) {
            let (position, bytes) = record?;
            let length = bytes.len() as u64;
            self.pass(position, length);
            let batch = v1::Batch::decode(bytes.as_slice()).ok();
            let head = batch.as_ref().and_then(|batch| BatchHead::of(batch).ok());
            let (Some(batch), Some(head)) = (batch, head) else {
                tracing::warn!(%position, "a spooled record is no batch and is left out");
                continue;
            };
            let before = found.last.replace(position);
            if position.0 < self.state.names_from {
                continue;
            }
            let key = (head.epoch, head.seq);
            if before.is_some_and(|before| before.next() != position)
                && self.state.delivered_below <= position.0
                && let Some((before, closed, boot)) = found.newest
            {
                found.holes.extend(self.hole((before, closed, boot), (key, &head)));
            }
            found.newest = Some((key, head.closed, head.boot));
            found.told = Dropped::all_of(&batch).unwrap_or_default();
            if position.0 < self.state.delivered_below {
                continue;
            }
            let (boot, closed) = (head.boot, head.closed);
            let entry = Entry { position, bytes: length, boot, closed };
            if !self.state.is_done(key) {
                self.bytes += length;
                self.pending.insert(key, entry);
            } else if !self.pending.is_empty() {
                self.behind_bytes += length;
                self.behind.insert(key, length);
            }
        }
        Ok(found)
    }

    /// What was between two batches and is gone; `None` if all of it was delivered.
    fn hole(
        &self,
        (before, closed, boot): (Key, Anchor, BootId),
        (key, head): (Key, &BatchHead),
    ) -> Option<Dropped> {
        let last_missing = (key.0, key.1.saturating_sub(1));
        if last_missing.1 != 0 && self.state.is_done(last_missing) {
            return None;
        }
        let count = if before.0 == key.0 { last_missing.1.saturating_sub(before.1) } else { 1 };
        let to = head.closed.tick;
        let from = if boot == head.boot { closed.tick.min(to) } else { to };
        let rounds = count.max(UNREADABLE_ROUNDS_MIN);
        let cause = DropCause::Unreadable;
        Some(Dropped { boot: head.boot, near: head.closed, from, to, rounds, cause })
    }

    /// Decides where the epoch has come to.
    ///
    /// 1 - The spool lost records, now or at an earlier start: it cannot be known until the next
    /// epoch. 2 - The newest record is of the epoch: after it. 3 - It is of an older one, or of a
    /// numbering that was given up: the epoch has none yet. 4 - There is no record: it cannot be
    /// known either.
    fn find_place(&mut self, recovery: &Recovery, found: Found, next: Position) {
        let is_cut = found.last.map_or(self.state.delivered_below != 0, |at| at.next() != next);
        let has_lost = recovery.segments_damaged != 0 || is_cut;
        if has_lost && !self.state.is_fenced {
            tracing::warn!(
                damaged = recovery.segments_damaged,
                missing = recovery.records_missing,
                "the spool lost records: rounds are kept again once the server has answered"
            );
            self.state.is_fenced = true;
            self.state.spool_id = new_id();
            for hole in &found.holes {
                self.note(hole);
            }
            if let Some((_, closed, boot)) = found.newest.filter(|_| is_cut) {
                let (near, cause) = (self.clock.anchor(), DropCause::Unreadable);
                let from = if boot == self.boot { closed.tick.min(near.tick) } else { near.tick };
                let (boot, to, rounds) = (self.boot, near.tick, UNREADABLE_ROUNDS_MIN);
                self.note(&Dropped { boot, near, from, to, rounds, cause });
            }
        }
        let newest = found.newest.map(|(key, ..)| key);
        self.state.epoch = self.state.epoch.max(newest.map_or(0, |(epoch, _)| epoch));
        self.writing = self.state.epoch;
        self.next_seq = match newest {
            _ if self.state.is_fenced || found.last.is_none() => None,
            Some((epoch, seq)) if epoch == self.state.epoch => Some(seq + 1),
            Some(_) | None => Some(1),
        };
    }

    /// Notes a record on the disk, to know later where to cut.
    fn pass(&mut self, position: Position, bytes: u64) {
        self.since_milestone += bytes;
        if SEGMENT_BYTES_MAX <= self.since_milestone {
            self.since_milestone = 0;
            self.milestones.push_back(position.next());
        }
    }

    /// Takes a newly granted epoch: it is remembered at once, and batches carry it from the next
    /// [`Spool::turn`] on. Where no epoch can be written to, that is now.
    ///
    /// One that is not above the newest known is of a server that does not believe this spool.
    /// Then the names that the spool has used up to now mean nothing any more: what it could not
    /// deliver under them is lost, and it begins anew in the epoch that it got.
    pub(crate) fn grant(&mut self, epoch: u64) -> Result<(), SpoolError> {
        if epoch == 0 {
            return Err(SpoolError::NoEpoch);
        }
        if epoch == self.state.epoch && self.next_seq.is_some() {
            return Ok(());
        }
        if epoch <= self.state.epoch {
            let (newest, batches) = (self.state.epoch, self.pending.len());
            tracing::error!(
                granted = epoch,
                newest,
                batches,
                "the server granted an older epoch than this spool has used: the spool begins \
                 anew in it, and the batches it could not deliver are a gap"
            );
            self.begin_anew()?;
        }
        let before = self.state.clone();
        self.state.epoch = epoch;
        self.state.is_fenced = false;
        if let Err(error) = self.save() {
            self.state = before;
            return Err(error);
        }
        if self.next_seq.is_none() {
            self.turn();
        }
        Ok(())
    }

    /// From now on batches carry the newest epoch.
    pub(crate) fn turn(&mut self) {
        if self.writing != self.state.epoch || self.next_seq.is_none() {
            self.writing = self.state.epoch;
            self.next_seq = Some(1);
        }
    }

    /// Gives up all names used up to now.
    fn begin_anew(&mut self) -> Result<(), SpoolError> {
        while let Some((key, _)) = self.pending.first_key_value() {
            self.lose(*key, DropCause::Renamed);
        }
        let next = self.journal.as_ref().map_or(Position(0), Journal::next);
        self.state.names_from = next.0;
        self.state.spool_id = new_id();
        self.state.marks.clear();
        self.state.settled.clear();
        self.next_seq = None;
        self.advance();
        self.save()
    }

    /// Compares with what the server says it has of this agent.
    ///
    /// 1 - It lacks what was delivered once: it was restored from a backup. What the disk still has
    ///     of it, and is not too old to be kept, is to be delivered again.
    /// 2 - It has more of the newest epoch than this spool ever put into it: the spool was restored
    ///     from an older state. What it has put there since bears names that are used, would be
    ///     taken for what the server has, and is lost.
    pub(crate) fn reconcile(&mut self, have: &[v1::Mark]) -> Result<(), SpoolError> {
        let have: BTreeMap<u64, u64> = have.iter().map(|mark| (mark.epoch, mark.seq)).collect();
        // Of a full list the oldest epochs are left out.
        let is_full = limits::MARKS_MAX <= have.len();
        let known_from = have.keys().next().filter(|_| is_full).copied().unwrap_or(0);
        let newest = self.state.epoch;
        let made = match self.next_seq {
            Some(next) if self.writing == newest => next - 1,
            Some(_) => 0,
            None => u64::MAX,
        };
        if have.get(&newest).is_some_and(|seq| made < *seq) {
            tracing::error!(
                epoch = newest,
                "this spool was restored from an older state: its batches of this epoch bear \
                 names that are used, and are a gap"
            );
            let keys: Vec<Key> =
                self.pending.range((newest, 0)..=(newest, u64::MAX)).map(|(k, _)| *k).collect();
            for key in keys {
                self.lose(key, DropCause::Renamed);
            }
            self.next_seq = None;
            self.advance();
            return self.save();
        }
        let has = |epoch: &u64| have.get(epoch).copied().unwrap_or(0);
        let is_lacking = |(epoch, seq): &(&u64, &u64)| known_from <= **epoch && has(epoch) < **seq;
        if !self.state.marks.iter().any(|mark| is_lacking(&mark)) {
            return Ok(());
        }
        for (epoch, mark) in self.state.marks.range_mut(known_from..) {
            *mark = has(epoch).min(*mark);
        }
        let before: Vec<Key> = self.pending.keys().copied().collect();
        self.state.delivered_below = self.state.names_from;
        if let Some(journal) = self.journal.take() {
            let scanned = self.scan(&journal);
            self.journal = Some(journal);
            scanned?;
        }
        // Of what is older than anything is kept for, the server may have forgotten its mark.
        let is_old = |key: &Key, entry: &Entry| {
            before.binary_search(key).is_err() && self.limits.age_max < self.age_of(entry)
        };
        let pending = self.pending.iter();
        let old: Vec<Key> = pending.filter(|(k, e)| is_old(k, e)).map(|(k, _)| *k).collect();
        for key in old {
            self.forget(key);
        }
        self.advance();
        let again = self.pending.len().saturating_sub(before.len());
        tracing::warn!(
            batches = again,
            "the server lacks batches that it had acknowledged (restored from a backup?): what is \
             still here is delivered again"
        );
        self.save()
    }

    /// Whether rounds can be kept: an epoch was granted and its place in it is known.
    pub(crate) fn is_open(&self) -> bool {
        self.next_seq.is_some()
    }

    /// Makes a batch durable. If that fails, its rounds are counted as dropped; an error after it
    /// (the state cannot be kept, an old segment cannot be removed) loses none.
    pub(crate) fn append(&mut self, rows: &[RoundRow]) -> Result<(), SpoolError> {
        if let Err(error) = self.try_append(rows) {
            self.lose_rows(rows);
            return Err(error);
        }
        // The batch is durable: what fails from here on loses no round of it.
        if !self.state.losses.is_empty() {
            self.state.losses.clear();
            self.save()?;
        }
        self.enforce_limits()
    }

    fn try_append(&mut self, rows: &[RoundRow]) -> Result<(), SpoolError> {
        if self.journal.is_none() {
            self.reopen()?;
        }
        let seq = self.next_seq.ok_or(SpoolError::NoEpoch)?;
        let kind = Some(v1::payload::Kind::Rounds(wire::rounds::encode_rounds(rows)));
        let payload_zstd = wire::seal(&v1::Payload { kind })?;
        let mut batch = self.batch(seq, payload_zstd);
        let mut record = batch.encode_to_vec();
        let position = match self.write(&record) {
            Err(SpoolError::Journal(JournalError::Failed { .. })) => {
                // What was not durable is gone; whatever is still there is good.
                self.reopen()?;
                if self.next_seq != Some(seq) {
                    return Err(SpoolError::Unreadable { key: (batch.epoch, seq) });
                }
                // Opening may have found something to tell.
                batch = self.batch(seq, batch.payload_zstd);
                record = batch.encode_to_vec();
                self.write(&record)?
            }
            other => other?,
        };
        let head = BatchHead::of(&batch)?;
        let bytes = record.len() as u64;
        self.next_seq = Some(seq + 1);
        self.bytes += bytes;
        self.pass(position, bytes);
        let entry = Entry { position, bytes, boot: head.boot, closed: head.closed };
        self.pending.insert((head.epoch, head.seq), entry);
        Ok(())
    }

    /// A batch that is closed now and tells what was lost.
    fn batch(&self, seq: u64, payload_zstd: Vec<u8>) -> v1::Batch {
        v1::Batch {
            epoch: self.writing,
            seq,
            boot_id: self.boot.to_vec(),
            closed: Some(self.clock.anchor().to_clock()),
            payload_zstd,
            drops: self.state.losses.to_drops(),
        }
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

    /// Counts rounds that could not be kept.
    pub(crate) fn lose_rows(&mut self, rows: &[RoundRow]) {
        let now = self.clock.tick();
        let from = rows.iter().map(|row| row.due_tick).min().unwrap_or(now);
        self.lose_since(from, rows.len() as u64, DropCause::Unwritten);
    }

    /// Counts rounds that were lost, from `from` until now, before they came here.
    pub(crate) fn lose_since(&mut self, from: Tick, rounds: u64, cause: DropCause) {
        let near = self.clock.anchor();
        let (boot, to) = (self.boot, near.tick);
        self.note(&Dropped { boot, near, from: from.min(to), to, rounds, cause });
    }

    fn note(&mut self, dropped: &Dropped) {
        self.dropped_rounds_total += dropped.rounds;
        self.state.losses.add(dropped);
    }

    /// Drops the oldest batches beyond the limits.
    ///
    /// The size is that of what is on the disk from the oldest undelivered batch on: what was
    /// delivered behind it cannot leave before it does.
    fn enforce_limits(&mut self) -> Result<(), SpoolError> {
        let mut dropped = 0u64;
        while let Some((key, entry)) = self.pending.first_key_value().map(|(k, e)| (*k, *e)) {
            let cause = if self.limits.bytes_max < self.bytes + self.behind_bytes {
                DropCause::Size
            } else if self.limits.age_max < self.age_of(&entry) {
                DropCause::Age
            } else {
                break;
            };
            self.lose(key, cause);
            self.advance();
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

    /// Gives up a batch that is to be delivered: what was in it is lost, and what it was to tell
    /// is told by the next one.
    fn lose(&mut self, key: Key, cause: DropCause) {
        let Some(entry) = self.pending.get(&key).copied() else {
            return;
        };
        let (near, to) = (entry.closed, entry.closed.tick);
        match self.read(key) {
            Ok(batch) => {
                let (from, rounds) = content_of(&batch);
                let from = from.unwrap_or(to).min(to);
                if rounds != 0 {
                    self.note(&Dropped { boot: entry.boot, near, from, to, rounds, cause });
                }
                for dropped in Dropped::all_of(&batch).unwrap_or_default() {
                    // Counted when it was noticed.
                    self.state.losses.add(&dropped);
                }
            }
            Err(_) => self.note_unreadable(&entry),
        }
        self.forget(key);
    }

    fn note_unreadable(&mut self, entry: &Entry) {
        self.reader = None;
        let to = entry.closed.tick;
        let from = Tick(to.0.saturating_sub(UNREADABLE_SPAN_US));
        let (boot, near, rounds) = (entry.boot, entry.closed, UNREADABLE_ROUNDS_MIN);
        self.note(&Dropped { boot, near, from, to, rounds, cause: DropCause::Unreadable });
    }

    /// Within one boot by ticks, which a set clock does not bend; else by the wall clock.
    fn age_of(&self, entry: &Entry) -> Duration {
        if entry.boot == self.boot {
            self.clock.tick().since(entry.closed.tick)
        } else {
            self.clock.wall().since(entry.closed.wall)
        }
    }

    /// Whether everything that waits was learned within the last `age_max`.
    pub(crate) fn is_recent(&self, age_max: Duration) -> bool {
        let oldest = self.pending.first_key_value();
        oldest.is_none_or(|(_, entry)| self.age_of(entry) <= age_max)
    }

    /// Forgets every batch of `epoch` up to and including `seq`: the server has them.
    pub(crate) fn acknowledge(&mut self, epoch: u64, seq: u64) -> Result<(), SpoolError> {
        let keys: Vec<Key> =
            self.pending.range((epoch, 0)..=(epoch, seq)).map(|(key, _)| *key).collect();
        if let Some((_, newest)) = keys.last() {
            self.state.mark(epoch, *newest);
        }
        for key in keys {
            self.forget(key);
        }
        self.advance();
        self.trim()
    }

    /// Gives up one batch that the server will never take.
    pub(crate) fn refuse(&mut self, key: Key) -> Result<(), SpoolError> {
        // While the journal is shut, nobody knows what is in it: it is refused again later.
        if self.journal.is_none() || !self.pending.contains_key(&key) {
            return Ok(());
        }
        self.lose(key, DropCause::Refused);
        self.state.settle(key);
        self.advance();
        // Together with the loss, or it would be counted again.
        self.save()?;
        self.trim()
    }

    /// Takes a batch out of what is to be delivered.
    fn forget(&mut self, key: Key) {
        if let Some(entry) = self.pending.remove(&key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            if self.pending.first_key_value().is_some_and(|(first, _)| *first < key) {
                self.behind_bytes += entry.bytes;
                self.behind.insert(key, entry.bytes);
            }
        }
    }

    /// Brings what is remembered to where the oldest undelivered batch is.
    fn advance(&mut self) {
        let oldest = self.pending.first_key_value().map(|(key, entry)| (*key, entry.position));
        match oldest {
            Some((oldest, _)) => {
                while let Some(first) = self.behind.first_entry().filter(|e| *e.key() < oldest) {
                    self.behind_bytes = self.behind_bytes.saturating_sub(first.remove());
                }
            }
            None => {
                self.behind.clear();
                self.behind_bytes = 0;
            }
        }
        let next = self.journal.as_ref().map(Journal::next);
        if let Some(below) = oldest.map(|(_, position)| position).or(next) {
            self.state.delivered_below = below.0;
        }
        let oldest = oldest.map_or((u64::MAX, 0), |(key, _)| key);
        self.state.settled.retain(|key| oldest < *key);
    }

    /// Frees the disk of what is neither to be delivered nor kept.
    fn trim(&mut self) -> Result<(), SpoolError> {
        let floor = self.floor();
        match &mut self.journal {
            Some(journal) => Ok(journal.trim_before(floor)?),
            None => Ok(()),
        }
    }

    /// Before this the disk may be cut: behind the oldest undelivered record nothing may go, and
    /// of what lies before it, so much is kept as there is room for.
    fn floor(&mut self) -> Position {
        let undelivered = Position(self.state.delivered_below);
        let kept_max = self.limits.bytes_max / KEPT_SHARE / SEGMENT_BYTES_MAX;
        if kept_max == 0 {
            return undelivered;
        }
        let on_disk = self.journal.as_ref().map_or(0, Journal::len_bytes);
        let over = on_disk.saturating_sub(self.limits.bytes_max).div_ceil(SEGMENT_BYTES_MAX);
        let delivered = self.milestones.partition_point(|at| *at <= undelivered);
        let in_usize = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let surplus =
            delivered.saturating_sub(in_usize(kept_max)).max(delivered.min(in_usize(over)));
        self.milestones.drain(..surplus).next_back().unwrap_or(Position(0))
    }

    /// The first batch after `after`, in the order of their making. None while the journal is shut:
    /// opening it finds them again.
    pub(crate) fn next_after(&self, after: Key) -> Option<(Key, u64)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.journal.as_ref()?;
        let mut rest = self.pending.range((Excluded(after), Unbounded));
        rest.next().map(|(key, entry)| (*key, entry.bytes))
    }

    /// Reads a batch back. One that cannot be read is forgotten and counted as dropped.
    pub(crate) fn fetch(&mut self, key: Key) -> Result<v1::Batch, SpoolError> {
        let read = self.read(key);
        // While the journal is shut, nothing is lost: opening it finds the batch again.
        if read.is_err() && self.journal.is_some() {
            self.reader = None;
            if let Some(entry) = self.pending.get(&key).copied() {
                self.note_unreadable(&entry);
                self.state.settle(key);
            }
            self.forget(key);
            self.advance();
            self.save()?;
        }
        read
    }

    fn read(&mut self, key: Key) -> Result<v1::Batch, SpoolError> {
        let unreadable = SpoolError::Unreadable { key };
        let (Some(entry), Some(journal)) = (self.pending.get(&key), &self.journal) else {
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
        self.pending.len() as u64
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest batch that is not delivered was closed, by the wall clock of then.
    pub(crate) fn oldest(&self) -> Option<UtcMicros> {
        self.pending.first_key_value().map(|(_, entry)| entry.closed.wall)
    }

    pub(crate) fn dropped_rounds_total(&self) -> u64 {
        self.dropped_rounds_total
    }

    /// Writes the state. Done when something must not be forgotten, and now and then.
    pub(crate) fn save(&self) -> Result<(), SpoolError> {
        let path = self.dir.join("state.json");
        self.state.write(&path).map_err(|source| SpoolError::State { path, source })
    }
}

/// When the first round of a batch was due, and how many rounds it carries.
fn content_of(batch: &v1::Batch) -> (Option<Tick>, u64) {
    let payload = wire::open(&batch.payload_zstd).ok();
    let Some(v1::payload::Kind::Rounds(rounds)) = payload.and_then(|payload| payload.kind) else {
        return (None, 0);
    };
    let ticks = rounds.due_tick_us_delta.iter().scan(0i64, |due, delta| {
        *due = due.wrapping_add(*delta);
        Some(*due)
    });
    let from = ticks.min().map(|tick| Tick(tick.max(0).unsigned_abs()));
    (from, rounds.subject.len() as u64)
}

#[cfg(test)]
mod tests;
