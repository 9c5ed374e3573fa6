//! Opening what a crash left: the rules of the crate's documentation.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    FileLayer, JournalError, LayerFile, Position,
    segment::{self, Found, HEADER_BYTES, Scan, Segment},
};

/// What was found when the journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Readable records.
    pub records: u64,
    /// Bytes cut off the end: writes that had not become durable.
    pub truncated_bytes: u64,
    /// Segments renamed to `….damaged` this time.
    pub segments_damaged: u64,
    /// Positions between the first and the last record that have none: lost to damage, now or at
    /// an earlier time.
    pub records_missing: u64,
}

/// The segments of a directory, verified; the last is open to append.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    pub(crate) next: u64,
    pub(crate) recovery: Recovery,
}

/// Reads and repairs every segment in `dir`.
pub(crate) fn recover(layer: &dyn FileLayer, dir: &Path) -> Result<Recovered, JournalError> {
    let firsts = tidy_up(layer, dir)?;
    let mut recovered = Recovered { segments: Vec::new(), next: 1, recovery: Recovery::default() };
    for (index, first) in firsts.iter().enumerate() {
        let is_last = index + 1 == firsts.len();
        let step = Step {
            layer,
            dir,
            first: *first,
            floor: first.max(&recovered.next).saturating_sub(1),
            is_last,
        };
        step.recover(&mut recovered)?;
    }
    // A segment that a failed creation left behind is used from now on: its name must stay.
    let synced = layer.sync_dir(dir);
    synced.map_err(|e| JournalError::io("sync", dir, e))?;
    let missing_from = recovered.segments.first().map_or(recovered.next, |s| s.first);
    recovered.recovery.records_missing =
        recovered.next.saturating_sub(missing_from).saturating_sub(recovered.recovery.records);
    Ok(recovered)
}

/// Finishes or undoes a repair that a crash interrupted, and lists the segments in order.
fn tidy_up(layer: &dyn FileLayer, dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut names = layer.list(dir).map_err(|e| JournalError::io("list", dir, e))?;
    names.sort_unstable();
    let mut firsts: Vec<u64> = names.iter().filter_map(|n| Segment::first_of(n)).collect();
    for first in names.iter().filter_map(|n| Segment::first_of(n.strip_suffix(".new")?)) {
        let to = Segment::path_of(dir, first);
        let from = with_suffix(&to, "new");
        if firsts.contains(&first) {
            let result = layer.remove(&from);
            result.map_err(|e| JournalError::io("remove", &from, e))?;
        } else {
            // The damaged segment is already out of the way, so this one was complete.
            let result = layer.rename(&from, &to);
            result.map_err(|e| JournalError::io("rename", &from, e))?;
            firsts.push(first);
        }
        let result = layer.sync_dir(dir);
        result.map_err(|e| JournalError::io("sync", dir, e))?;
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// One segment on its way to be trusted.
struct Step<'a> {
    layer: &'a dyn FileLayer,
    dir: &'a Path,
    first: u64,
    /// No record in it has this position or a lower one.
    floor: u64,
    is_last: bool,
}

/// What is to be done with a segment.
pub(crate) enum Verdict {
    Whole,
    /// Keep this many records; the file ends here.
    CutOff {
        records: usize,
        end: usize,
    },
    Damaged {
        records: usize,
    },
}

impl Step<'_> {
    fn recover(&self, to: &mut Recovered) -> Result<(), JournalError> {
        let path = Segment::path_of(self.dir, self.first);
        let fail = |action, e| JournalError::io(action, &path, e);
        let file = self.layer.open(&path).map_err(|e| fail("open", e))?;
        let bytes = read_all(file.as_ref()).map_err(|e| fail("read", e))?;
        let Some(salt) = segment::salt_of(&bytes) else {
            return self.recover_headless(to, &path, bytes.len());
        };
        let scan = segment::scan(&bytes, salt, self.floor);
        let mut segment = Segment::new(path.clone(), self.first, salt);
        let kept = match judge(&scan, bytes.len(), self.is_last) {
            Verdict::Whole => scan.records.len(),
            Verdict::CutOff { records, end } => {
                file.truncate(end as u64).map_err(|e| fail("truncate", e))?;
                to.recovery.truncated_bytes += (bytes.len() - end) as u64;
                records
            }
            Verdict::Damaged { records } => {
                to.recovery.segments_damaged += 1;
                segment.salt = segment::new_salt();
                let kept = scan.records.get(..records).unwrap_or_default();
                self.set_aside(&path, &salvage(&bytes, kept, segment.salt))?;
                records
            }
        };
        if self.is_last {
            // What is handed out must not vanish in the next crash.
            file.sync().map_err(|e| fail("sync", e))?;
        }
        to.next = to.next.max(self.first);
        for found in scan.records.iter().take(kept) {
            segment.push(found.position, found.bytes.len() as u64);
            to.next = found.position + 1;
        }
        to.recovery.records += kept as u64;
        to.segments.push(segment);
        Ok(())
    }

    /// A segment without a readable header: a creation that was interrupted, or lost altogether.
    fn recover_headless(
        &self,
        to: &mut Recovered,
        path: &Path,
        length_bytes: usize,
    ) -> Result<(), JournalError> {
        let segment = Segment::new(path.to_owned(), self.first, segment::new_salt());
        if self.is_last && length_bytes <= HEADER_BYTES {
            to.recovery.truncated_bytes += length_bytes as u64;
        } else {
            to.recovery.segments_damaged += 1;
        }
        self.set_aside(path, &segment::header(segment.salt))?;
        to.next = to.next.max(self.first);
        to.segments.push(segment);
        Ok(())
    }

    /// Puts `bytes` in the place of a segment and keeps the old one as `….damaged`.
    ///
    /// The new file is durable before the old one is moved: at every instant either the old
    /// segment or a complete new one is there, and [`tidy_up`] finishes what a crash interrupts.
    fn set_aside(&self, path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
        let new = with_suffix(path, "new");
        let write = || -> io::Result<()> {
            let file = self.layer.create(&new)?;
            file.write_at(bytes, 0)?;
            file.sync()?;
            self.layer.sync_dir(self.dir)
        };
        write().map_err(|e| JournalError::io("write", &new, e))?;
        let swap = || -> io::Result<()> {
            self.layer.rename(path, &with_suffix(path, "damaged"))?;
            self.layer.sync_dir(self.dir)?;
            self.layer.rename(&new, path)?;
            self.layer.sync_dir(self.dir)
        };
        swap().map_err(|e| JournalError::io("rename", path, e))
    }
}

/// 1 - Damage in any segment but the last is damage to durable data.
/// 2 - In the last, only what lies before a record that was written after a sync.
/// 3 - The first other damage is a torn write, and nothing behind it counts.
pub(crate) fn judge(scan: &Scan, length_bytes: usize, is_last: bool) -> Verdict {
    let Some(first_bad) = scan.records.iter().position(|r| r.is_after_damage) else {
        return match (scan.end == length_bytes, is_last) {
            (true, _) => Verdict::Whole,
            (false, true) => Verdict::CutOff { records: scan.records.len(), end: scan.end },
            (false, false) => Verdict::Damaged { records: scan.records.len() },
        };
    };
    if !is_last {
        return Verdict::Damaged { records: scan.records.len() };
    }
    let durable_until = scan.records.iter().rposition(|r| r.is_durable_before);
    let is_torn = |(index, found): (usize, &Found)| {
        found.is_after_damage && durable_until.is_none_or(|d| d < index)
    };
    let torn = scan.records.iter().enumerate().position(is_torn);
    let records = torn.unwrap_or(scan.records.len());
    if records <= first_bad {
        let before = first_bad.checked_sub(1).and_then(|i| scan.records.get(i));
        let end = before.map_or(HEADER_BYTES, |r| r.bytes.end);
        return Verdict::CutOff { records, end };
    }
    Verdict::Damaged { records }
}

/// A segment of the records that could be read.
fn salvage(bytes: &[u8], records: &[Found], salt: u64) -> Vec<u8> {
    let mut to = segment::header(salt).to_vec();
    let mut record = Vec::new();
    for found in records {
        let payload_at = found.bytes.start + segment::RECORD_HEADER_BYTES;
        let payload = bytes.get(payload_at..found.bytes.end).unwrap_or_default();
        let position = Position(found.position);
        segment::encode(&mut record, salt, position, found.is_durable_before, payload);
        to.extend_from_slice(&record);
    }
    to
}

/// Reads a whole segment. Its size is bounded by the option it was written under.
fn read_all(file: &dyn LayerFile) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at as u64) {
            Ok(0) => break,
            Ok(read) => at += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}
