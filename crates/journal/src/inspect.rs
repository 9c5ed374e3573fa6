//! Looking at a journal without changing anything, also while another process appends to it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Disk, FileLayer as _, JournalError, Position,
    recover::{Verdict, judge},
    segment::{self, RECORD_HEADER_BYTES, Segment},
};

/// What a look at a journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Readable records, the first and the last of them.
    pub records: u64,
    pub first: Option<Position>,
    pub last: Option<Position>,
    /// Positions between the first and the last that have no record: lost to damage.
    pub missing: u64,
    /// Segments with damage to what was durable. The next opening sets them aside.
    pub damaged: Vec<PathBuf>,
    /// Segments that an earlier opening set aside.
    pub set_aside: Vec<PathBuf>,
}

/// Reads every record in `dir` and gives each to `each`, as far as it would be kept.
///
/// The end of the last segment may be a write under way; that is no damage.
///
/// # Errors
///
/// [`JournalError::Unusable`] if the directory or a segment cannot be read.
pub fn inspect(
    dir: &Path,
    mut each: impl FnMut(Position, &[u8]),
) -> Result<Inspection, JournalError> {
    let mut names = Disk.list(dir).map_err(|e| JournalError::io("list", dir, e))?;
    names.sort_unstable();
    let firsts: Vec<u64> = names.iter().filter_map(|name| Segment::first_of(name)).collect();
    let is_aside = |name: &&String| name.ends_with(".damaged");
    let mut found = Inspection {
        set_aside: names.iter().filter(is_aside).map(|name| dir.join(name)).collect(),
        ..Inspection::default()
    };
    for (index, first) in firsts.iter().enumerate() {
        let path = Segment::path_of(dir, *first);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // Its owner needs it no more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(JournalError::io("read", &path, error)),
        };
        let is_last = index + 1 == firsts.len();
        look(&mut found, &path, &bytes, is_last, &mut each);
    }
    if let (Some(first), Some(last)) = (found.first, found.last) {
        found.missing = (last.0 - first.0 + 1).saturating_sub(found.records);
    }
    Ok(found)
}

fn look(
    found: &mut Inspection,
    path: &Path,
    bytes: &[u8],
    is_last: bool,
    each: &mut impl FnMut(Position, &[u8]),
) {
    let Some(salt) = segment::salt_of(bytes) else {
        if !is_last || segment::HEADER_BYTES < bytes.len() {
            found.damaged.push(path.to_owned());
        }
        return;
    };
    let floor = found.last.map_or(0, |last| last.0);
    let scan = segment::scan(bytes, salt, floor);
    let kept = match judge(&scan, bytes.len(), is_last) {
        Verdict::Whole => scan.records.len(),
        Verdict::CutOff { records, .. } => records,
        Verdict::Damaged { records } => {
            found.damaged.push(path.to_owned());
            records
        }
    };
    for record in scan.records.iter().take(kept) {
        let position = Position(record.position);
        let payload = record.bytes.start + RECORD_HEADER_BYTES..record.bytes.end;
        each(position, bytes.get(payload).unwrap_or_default());
        found.first.get_or_insert(position);
        found.last = Some(position);
        found.records += 1;
    }
}
