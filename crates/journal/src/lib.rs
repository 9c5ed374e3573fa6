//! A segmented, checksummed record log on disk: the agent's spool and the server's log.
//!
//! It carries bytes and knows nothing of what they mean. One process appends; records get
//! consecutive positions from 1, are never changed and are removed only from the front.
//!
//! # On disk
//!
//! A directory holds `lock`, and segments named after the position that their first record may
//! have: `00000000000000000001.seg`. A segment is a header and records, little endian:
//!
//! ```text
//! header  magic [8] "FLTJRNL1"   salt [8] random
//! record  length u32   crc u32   position u64   payload [length]
//! ```
//!
//! The top bit of `length` says: when this record was written, everything before it was durable.
//! The checksum (CRC-32) covers salt, length word, position and payload. The salt is why a payload
//! that somebody crafted to look like a record is never taken for one.
//!
//! # What a sync promises
//!
//! [`Journal::append`] hands bytes to the operating system; [`Journal::sync`] makes everything
//! appended so far survive a loss of power. Group commit is the caller's: append many, sync once,
//! then acknowledge all. A segment's directory entry is durable before its first record is
//! written, and a segment is synced before the next one starts, so only the last segment can hold
//! anything that is not durable.
//!
//! A sync that failed cannot be tried again: the kernel may have dropped the pages and call them
//! clean. The journal then cuts off what was not durable, refuses everything with
//! [`JournalError::Failed`] and wants to be opened anew; nothing appended since the last good sync
//! may be acknowledged. The same goes for a sync of a segment that is no longer where the journal
//! made it (its directory was removed, or another file system was mounted over it): what nobody
//! could open again is not durable.
//!
//! An append that failed (a full disk) is different: the journal goes on as if it had not been
//! tried. (Should power fail before anything else was appended, the record may be found all the
//! same: that it was refused is no promise that it is gone.)
//!
//! # Recovery
//!
//! 1. Every segment is read and every checksum verified when the journal is opened.
//! 2. Bytes at the end of the last segment that make no record, and any records behind them that
//!    nothing proves to have been durable, are cut off: a torn or reordered write of records that
//!    were never acknowledged. Keeping what follows a hole would let a record overtake the one
//!    before it.
//! 3. Unreadable bytes followed by a record whose top bit is set, or unreadable bytes in any
//!    segment but the last, are damage to durable data. The segment is renamed to `….damaged` and
//!    kept for inspection; its readable records are written to a new segment under their old
//!    positions. [`Recovery`] counts both. Nothing is guessed and opening never fails for it.
//! 4. Everything recovered is synced before it is handed out.

mod inspect;
mod journal;
mod layer;
mod reader;
mod recover;
mod segment;

pub use inspect::{Inspection, inspect};
pub use journal::{Journal, Options};
pub use layer::{Disk, FileLayer, LayerFile, Lock};
pub use reader::Reader;
pub use recover::Recovery;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// The number of a record: from 1, consecutive, never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("`{}` is in use by another process", dir.display())]
    Locked { dir: PathBuf },
    /// Nothing was appended. It may work again once there is room.
    #[error("no room left on the disk of `{}`", path.display())]
    Full {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The operating system refused. The journal is as it was before the call.
    #[error("cannot {action} `{}`", path.display())]
    Unusable {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A sync failed, now or earlier. Nothing since the last good one is durable: open it anew.
    #[error("journal `{}` could not be made durable and must be opened again", dir.display())]
    Failed {
        dir: PathBuf,
        /// Absent if it was an earlier call that failed.
        #[source]
        source: Option<io::Error>,
    },
    #[error("a record has at most {max_bytes} bytes; this one has {length_bytes}")]
    TooLong { length_bytes: usize, max_bytes: u32 },
    /// A record that was good when the journal was opened is no longer.
    #[error("segment `{}` is damaged at byte {offset_bytes}", path.display())]
    Damaged { path: PathBuf, offset_bytes: u64 },
}

impl JournalError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> JournalError {
        let path = path.to_owned();
        let is_full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if is_full {
            JournalError::Full { path, source }
        } else {
            JournalError::Unusable { action, path, source }
        }
    }
}
