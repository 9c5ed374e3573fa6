//! The bytes of a segment: header, records, and finding records again after damage.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{FileLayer, LayerFile, Position};

pub(crate) const MAGIC: [u8; 8] = *b"FLTJRNL1";
pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const RECORD_HEADER_BYTES: usize = 16;
/// Set in the length word of a record before which everything was durable.
const DURABLE_BEFORE: u32 = 1 << 31;
/// Looking for records behind damage gives up once the checksums that failed have covered the bytes
/// of the segment this many times, so that crafted payloads, of which each byte may claim to begin
/// a long record, cannot make an opening take more than a multiple of its reading. Real records do
/// not overlap: those that are damaged cover the segment once at most.
const SALVAGE_PASSES_MAX: usize = 8;
/// Lost records leave a hole in the positions; a larger one is no record. Far more than a segment
/// can hold, and small enough that random bytes do not pass.
const HOLE_MAX: u64 = 1 << 32;
/// Distance of two entries in the index of a segment: what a reader skips at most to find a
/// position.
const INDEX_BYTES: u64 = 256 * 1024;

/// What is known of one segment while the journal is open.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// The position in its name: no record in it has a lower one.
    pub(crate) first: u64,
    pub(crate) salt: u64,
    /// The end of its last record.
    pub(crate) end: u64,
    /// Some of its records: (position, offset), ascending.
    index: Vec<(u64, u64)>,
}

/// A record inside the bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    /// Of the whole record with its header.
    pub(crate) bytes: Range<usize>,
    pub(crate) is_durable_before: bool,
    /// Unreadable bytes lie directly before it.
    pub(crate) is_after_damage: bool,
}

/// What the bytes of a segment hold.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) records: Vec<Found>,
    /// Where the last readable record ends.
    pub(crate) end: usize,
}

impl Segment {
    pub(crate) fn path_of(dir: &Path, first: u64) -> PathBuf {
        dir.join(format!("{first:020}.seg"))
    }

    /// Reads a position from the name of a segment.
    pub(crate) fn first_of(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".seg")?;
        if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().filter(|first| 0 < *first)
    }

    /// Creates an empty segment that is durable before the first record goes into it.
    pub(crate) fn create(
        layer: &dyn FileLayer,
        dir: &Path,
        path: PathBuf,
        first: u64,
    ) -> io::Result<(Segment, Box<dyn LayerFile>)> {
        let file = layer.create(&path)?;
        let salt = new_salt();
        file.write_at(&header(salt), 0)?;
        file.sync()?;
        layer.sync_dir(dir)?;
        Ok((Segment::new(path, first, salt), file))
    }

    pub(crate) fn new(path: PathBuf, first: u64, salt: u64) -> Segment {
        Segment { path, first, salt, end: HEADER_BYTES as u64, index: Vec::new() }
    }

    /// Notes that a record was written at the end of the segment.
    pub(crate) fn push(&mut self, position: u64, length: u64) {
        if self.index.last().is_none_or(|(_, at)| at + INDEX_BYTES <= self.end) {
            self.index.push((position, self.end));
        }
        self.end += length;
    }

    /// The offset of a record at or before the first one with `position` or a higher one.
    pub(crate) fn offset_near(&self, position: u64) -> u64 {
        let after = self.index.partition_point(|(at, _)| *at <= position);
        let entry = after.checked_sub(1).and_then(|i| self.index.get(i));
        entry.map_or(HEADER_BYTES as u64, |(_, offset)| *offset)
    }
}

/// Randomness without a dependency: the standard library seeds its hashers from the system.
pub(crate) fn new_salt() -> u64 {
    RandomState::new().build_hasher().finish()
}

pub(crate) fn header(salt: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&salt.to_le_bytes());
    bytes
}

/// Reads the salt from the header; `None` if it is none of ours.
pub(crate) fn salt_of(bytes: &[u8]) -> Option<u64> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    Some(u64::from_le_bytes(*rest.first_chunk()?))
}

/// Writes a record into `to`, replacing what is there.
pub(crate) fn encode(
    to: &mut Vec<u8>,
    salt: u64,
    position: Position,
    is_durable_before: bool,
    payload: &[u8],
) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let word = if is_durable_before { length | DURABLE_BEFORE } else { length };
    let crc = checksum(salt, word, position.0, payload);
    to.clear();
    to.extend_from_slice(&word.to_le_bytes());
    to.extend_from_slice(&crc.to_le_bytes());
    to.extend_from_slice(&position.0.to_le_bytes());
    to.extend_from_slice(payload);
}

fn checksum(salt: u64, word: u32, position: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&word.to_le_bytes());
    hasher.update(&position.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHeader {
    word: u32,
    crc: u32,
    pub(crate) position: u64,
}

impl RecordHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Option<RecordHeader> {
        let (word, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        Some(RecordHeader {
            word: u32::from_le_bytes(*word),
            crc: u32::from_le_bytes(*crc),
            position: u64::from_le_bytes(*rest.first_chunk()?),
        })
    }

    pub(crate) fn payload_bytes(self) -> usize {
        (self.word & !DURABLE_BEFORE) as usize
    }

    pub(crate) fn is_good(self, salt: u64, payload: &[u8]) -> bool {
        checksum(salt, self.word, self.position, payload) == self.crc
    }
}

/// Finds every record in `bytes` (a whole segment) with a position above `floor`.
pub(crate) fn scan(bytes: &[u8], salt: u64, floor: u64) -> Scan {
    let mut scan = Scan { records: Vec::new(), end: HEADER_BYTES };
    let mut last = floor;
    let mut offset = HEADER_BYTES;
    // Bytes under checksums that failed.
    let mut searched = 0;
    let searched_max = bytes.len().saturating_mul(SALVAGE_PASSES_MAX);
    let mut is_after_damage = false;
    while offset < bytes.len() && searched < searched_max {
        match record_at(bytes, salt, last, offset, &mut searched) {
            Some(mut found) => {
                found.is_after_damage = is_after_damage;
                is_after_damage = false;
                last = found.position;
                offset = found.bytes.end;
                scan.end = offset;
                scan.records.push(found);
            }
            None => {
                is_after_damage = true;
                offset += 1;
            }
        }
    }
    scan
}

/// The record that begins at `offset`. Only a checksum that fails is added to `searched`: good
/// records are no search.
fn record_at(
    bytes: &[u8],
    salt: u64,
    last: u64,
    offset: usize,
    searched: &mut usize,
) -> Option<Found> {
    let header = RecordHeader::parse(bytes.get(offset..)?)?;
    let start = offset + RECORD_HEADER_BYTES;
    let payload = bytes.get(start..start.checked_add(header.payload_bytes())?)?;
    if header.position <= last || HOLE_MAX < header.position - last {
        return None;
    }
    let end = start + payload.len();
    if !header.is_good(salt, payload) {
        *searched = searched.saturating_add(end - offset);
        return None;
    }
    Some(Found {
        position: header.position,
        bytes: offset..end,
        is_durable_before: header.word & DURABLE_BEFORE != 0,
        is_after_damage: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 7;

    /// A segment that begins with `claims` false records, each up to the end, before a good one.
    fn crafted(claims: u32) -> Vec<u8> {
        let mut bytes = header(SALT).to_vec();
        let mut record = Vec::new();
        encode(&mut record, SALT, Position(3), true, b"good");
        let end = HEADER_BYTES as u32 + claims * RECORD_HEADER_BYTES as u32 + record.len() as u32;
        for _ in 0..claims {
            let length = end - (bytes.len() + RECORD_HEADER_BYTES) as u32;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&2_u64.to_le_bytes());
        }
        bytes.extend_from_slice(&record);
        bytes
    }

    #[test]
    fn crafted_bytes_are_checksummed_a_few_times_at_most() {
        let found = |claims| scan(&crafted(claims), SALT, 0).records.len();
        assert_eq!(found(SALVAGE_PASSES_MAX as u32), 1);
        assert_eq!(found(1_000), 0, "they cover the segment 500 times");
    }
}
