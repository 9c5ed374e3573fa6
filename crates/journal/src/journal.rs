//! The journal itself: append, sync, trim.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    FileLayer, JournalError, LayerFile, Lock, Position, Reader, Recovery,
    recover::recover,
    segment::{self, HEADER_BYTES, Segment},
};

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that has reached this size is full. Only whole segments are trimmed.
    pub segment_bytes_max: u64,
    /// No longer record is taken. Below 2 GiB.
    pub record_bytes_max: u32,
    /// The first record appended gets at least this position. For an owner that has stored what
    /// it applied elsewhere: should the disk have lost more than it may, no position is used
    /// twice.
    pub next_at_least: Position,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes_max: 64 * 1024 * 1024,
            record_bytes_max: 8 * 1024 * 1024,
            next_at_least: Position(1),
        }
    }
}

/// A record log, open to append. One process at a time has it.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    options: Options,
    layer: Arc<dyn FileLayer>,
    /// At least one; the last is appended to.
    segments: Vec<Segment>,
    active: Box<dyn LayerFile>,
    next: u64,
    /// Everything below is durable.
    durable_next: u64,
    /// The end of what is durable in the active segment.
    durable_end: u64,
    is_failed: bool,
    record: Vec<u8>,
    _lock: Box<dyn Lock>,
}

impl Journal {
    /// Opens the journal in `dir`, makes that directory if only it is not there, and repairs what a
    /// crash left.
    ///
    /// Reads every byte once: about a second a gigabyte.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] if another process has it; `Full` or `Unusable` if the operating
    /// system refused. Damage is no error: [`Recovery`] counts it.
    pub fn open(
        dir: impl Into<PathBuf>,
        options: Options,
        layer: impl FileLayer + 'static,
    ) -> Result<(Journal, Recovery), JournalError> {
        let dir = dir.into();
        let layer: Arc<dyn FileLayer> = Arc::new(layer);
        let made = layer.create_dir(&dir);
        made.map_err(|e| JournalError::io("create", &dir, e))?;
        let lock = layer.lock(&dir.join("lock")).map_err(|e| {
            if e.kind() == io::ErrorKind::WouldBlock {
                JournalError::Locked { dir: dir.clone() }
            } else {
                JournalError::io("lock", &dir.join("lock"), e)
            }
        })?;
        let mut recovered = recover(layer.as_ref(), &dir)?;
        let least = options.next_at_least.0.max(1);
        let reusable = recovered.segments.last().filter(|_| least <= recovered.next);
        let active = if let Some(last) = reusable {
            let opened = layer.open(&last.path);
            opened.map_err(|e| JournalError::io("open", &last.path, e))?
        } else {
            recovered.next = recovered.next.max(least);
            let (segment, file) = create_segment(layer.as_ref(), &dir, recovered.next)?;
            recovered.segments.push(segment);
            file
        };
        let journal = Journal {
            dir,
            options,
            layer,
            durable_end: recovered.segments.last().map_or(0, |s| s.end),
            segments: recovered.segments,
            active,
            next: recovered.next,
            durable_next: recovered.next,
            is_failed: false,
            record: Vec::new(),
            _lock: lock,
        };
        Ok((journal, recovered.recovery))
    }

    /// Appends a record. It is durable only after the next [`Journal::sync`].
    ///
    /// # Errors
    ///
    /// [`JournalError::Full`] or `Unusable`: nothing was appended, and the journal goes on.
    /// `TooLong`, likewise. `Failed`: it must be opened anew.
    pub fn append(&mut self, payload: &[u8]) -> Result<Position, JournalError> {
        self.check_usable()?;
        if (self.options.record_bytes_max as usize) < payload.len() {
            return Err(JournalError::TooLong {
                length_bytes: payload.len(),
                max_bytes: self.options.record_bytes_max,
            });
        }
        if self.options.segment_bytes_max <= self.active_segment()?.end {
            self.roll()?;
        }
        let position = Position(self.next);
        let is_durable_before = self.next == self.durable_next;
        let (salt, end) = self.active_segment().map(|s| (s.salt, s.end))?;
        let record = &mut self.record;
        segment::encode(record, salt, position, is_durable_before, payload);
        if let Err(error) = self.active.write_at(record, end) {
            // Remains are harmless (the next record goes over them, and recovery cuts them off);
            // removing them gives a full disk its room back.
            self.active.truncate(end).ok();
            let path = self.active_segment().map(|s| s.path.clone())?;
            return Err(JournalError::io("append to", &path, error));
        }
        let length = record.len() as u64;
        if let Some(segment) = self.segments.last_mut() {
            segment.push(position.0, length);
        }
        self.next += 1;
        Ok(position)
    }

    /// Makes everything appended so far survive a loss of power.
    ///
    /// # Errors
    ///
    /// [`JournalError::Failed`]: nothing appended since the last good sync is durable, and the
    /// journal takes nothing more until it is opened anew.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.check_usable()?;
        if self.durable_next == self.next {
            return Ok(());
        }
        self.sync_active()
    }

    fn sync_active(&mut self) -> Result<(), JournalError> {
        if let Err(error) = self.sync_in_place() {
            self.is_failed = true;
            // The kernel may call the lost pages clean: nobody may read them back as records.
            self.active.truncate(self.durable_end).ok();
            return Err(JournalError::Failed { dir: self.dir.clone(), source: Some(error) });
        }
        self.durable_next = self.next;
        self.durable_end = self.active_segment()?.end;
        Ok(())
    }

    /// Syncs, and makes sure that what was synced is where the next opening looks for it.
    fn sync_in_place(&self) -> io::Result<()> {
        self.active.sync()?;
        match self.active_segment() {
            Ok(segment) if !self.active.is_at(&segment.path)? => {
                let reason = format!("`{}` is no longer there", segment.path.display());
                Err(io::Error::new(io::ErrorKind::NotFound, reason))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reads the records from `position` on, up to the last one appended now.
    ///
    /// The reader is independent of the journal and may go to another thread. Trimming what it
    /// has not read yet makes it fail.
    pub fn read_from(&self, position: Position) -> Reader {
        let after = self.segments.partition_point(|s| s.first <= position.0);
        let segments = self.segments.get(after.saturating_sub(1)..);
        let segments = segments.unwrap_or_default().to_vec();
        Reader::new(self.layer.clone(), segments, position, self.options.record_bytes_max)
    }

    /// Removes the segments that hold only records before `position`.
    ///
    /// The oldest first, each durably, so that a crash never leaves a hole. The segment of the
    /// newest record always stays, so that what the record says is known at the next opening.
    ///
    /// # Errors
    ///
    /// `Unusable` if the operating system refused; what was removed until then stays removed.
    pub fn trim_before(&mut self, position: Position) -> Result<(), JournalError> {
        while self.segments.get(1).is_some_and(|second| second.first <= position.0) {
            if let Some(oldest) = self.segments.first() {
                let path = &oldest.path;
                match self.layer.remove(path) {
                    Ok(()) => (),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                    Err(error) => return Err(JournalError::io("remove", path, error)),
                }
                let synced = self.layer.sync_dir(&self.dir);
                synced.map_err(|e| JournalError::io("sync", &self.dir, e))?;
            }
            self.segments.remove(0);
        }
        Ok(())
    }

    /// Bytes of all segments.
    pub fn len_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.end).sum()
    }

    pub fn segments_total(&self) -> usize {
        self.segments.len()
    }

    /// The lowest position that may still be read; equal to [`Journal::next`] if there is none.
    pub fn first(&self) -> Position {
        Position(self.segments.first().map_or(self.next, |s| s.first))
    }

    /// The position that the next record gets.
    pub fn next(&self) -> Position {
        Position(self.next)
    }

    /// Everything below this position is durable.
    pub fn durable_next(&self) -> Position {
        Position(self.durable_next)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn check_usable(&self) -> Result<(), JournalError> {
        if self.is_failed {
            return Err(JournalError::Failed { dir: self.dir.clone(), source: None });
        }
        Ok(())
    }

    fn active_segment(&self) -> Result<&Segment, JournalError> {
        self.segments
            .last()
            .ok_or_else(|| JournalError::Failed { dir: self.dir.clone(), source: None })
    }

    /// Ends the active segment and starts the next.
    fn roll(&mut self) -> Result<(), JournalError> {
        let (path, end) = self.active_segment().map(|s| (s.path.clone(), s.end))?;
        // Nothing but records may be in a segment that is not the last.
        let cut = self.active.truncate(end);
        cut.map_err(|e| JournalError::io("truncate", &path, e))?;
        self.sync_active()?;
        let (segment, file) = create_segment(self.layer.as_ref(), &self.dir, self.next)?;
        self.active = file;
        self.segments.push(segment);
        self.durable_end = HEADER_BYTES as u64;
        Ok(())
    }
}

fn create_segment(
    layer: &dyn FileLayer,
    dir: &Path,
    first: u64,
) -> Result<(Segment, Box<dyn LayerFile>), JournalError> {
    let path = Segment::path_of(dir, first);
    Segment::create(layer, dir, path.clone(), first)
        .map_err(|e| JournalError::io("create", &path, e))
}
