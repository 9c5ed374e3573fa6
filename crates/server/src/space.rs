//! Room on the disks that the server writes to: when it gets short, and what is kept in reserve.
//!
//! The last of the room is not for results: what was accepted has still to be judged and stored,
//! and the server has to be able to say why it takes no more.

use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

/// Below a tenth of the disk there is little room left, and below a twentieth very little…
const LOW_SHARE: u64 = 10;
const SHORT_SHARE: u64 = 20;
/// …but a tenth of a large disk lasts for years: with more than this nothing is said.
const LOW_BYTES_MAX: u64 = 64 << 30;
const SHORT_BYTES_MAX: u64 = 16 << 30;
/// Kept for the server itself: what is in flight, stored (about 100 MB) and once more in SQLite's
/// write-ahead log. A small disk holds less, and a share of it does.
const RESERVE_BYTES_MAX: u64 = 256 << 20;
const RESERVE_SHARE: u64 = 32;
/// Results are taken again with so many times the reserve, lest every batch turns it over.
const REOPEN_FACTOR: u64 = 2;
/// Files that can still be made: a segment of the log, SQLite's own, and some for others.
const RESERVE_FILES: u64 = 64;

/// The file system that holds a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) total_bytes: u64,
    /// What this process may still write; less than what root may.
    pub(crate) free_bytes: u64,
    /// Files that it may still make; `None` if that has no limit.
    pub(crate) free_files: Option<u64>,
    pub(crate) is_read_only: bool,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    Enough,
    Low,
    Short,
    /// Only the reserve is left: no results are taken.
    Spent,
}

/// Reads it from the system; `None` if the folder is not there, or cannot be asked.
pub(crate) fn disk(folder: &Path) -> Option<Disk> {
    let stats = statvfs(folder).ok()?;
    let fragment_bytes = stats.fragment_size();
    Some(Disk {
        total_bytes: stats.blocks().saturating_mul(fragment_bytes),
        free_bytes: stats.blocks_available().saturating_mul(fragment_bytes),
        free_files: (stats.files() != 0).then(|| stats.files_available()),
        is_read_only: stats.flags().contains(FsFlags::ST_RDONLY),
    })
}

impl Disk {
    fn reserve_bytes(&self) -> u64 {
        (self.total_bytes / RESERVE_SHARE).min(RESERVE_BYTES_MAX)
    }

    /// 1 - The reserve is touched, in bytes or in files: spent, until there is twice as much.
    /// 2 - Below a share of the disk, or below what a large one needs: short, or low.
    pub(crate) fn room(&self, was_spent: bool) -> Room {
        let factor = if was_spent { REOPEN_FACTOR } else { 1 };
        let is_spent = self.free_bytes < self.reserve_bytes() * factor
            || self.free_files.is_some_and(|files| files < RESERVE_FILES * factor);
        if is_spent {
            Room::Spent
        } else if self.free_bytes < (self.total_bytes / SHORT_SHARE).min(SHORT_BYTES_MAX) {
            Room::Short
        } else if self.free_bytes < (self.total_bytes / LOW_SHARE).min(LOW_BYTES_MAX) {
            Room::Low
        } else {
            Room::Enough
        }
    }

    /// What results may still fill.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.free_bytes.saturating_sub(self.reserve_bytes())
    }

    /// What is left, in words.
    pub(crate) fn words(&self) -> String {
        let (free, total) = (size(self.free_bytes), size(self.total_bytes));
        match self.free_files {
            Some(files) if files < RESERVE_FILES * REOPEN_FACTOR => {
                format!("{free} of {total} and {files} files free")
            }
            Some(_) | None => format!("{free} of {total} free"),
        }
    }
}

/// A size as people read it: whole MiB, or GiB with one decimal from 10 GiB on.
pub(crate) fn size(bytes: u64) -> String {
    let mib = bytes / (1024 * 1024);
    if mib < 10 * 1024 {
        return format!("{mib} MiB");
    }
    format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024)
}

/// Why no results can be kept below `folder`, with the remedy; `None` if they can.
pub(crate) fn impediment(folder: &Path, disk: Option<Disk>, was_spent: bool) -> Option<String> {
    let folder = folder.display();
    let Some(disk) = disk else {
        return Some(format!(
            "`{folder}` is not there: put the directory or its mount back, or stop the server and \
             restore a backup"
        ));
    };
    if disk.is_read_only {
        return Some(format!(
            "`{folder}` is mounted read-only: mount it writable, after a check of the disk if it \
             failed"
        ));
    }
    let (reserve, again) = (disk.reserve_bytes(), disk.reserve_bytes() * REOPEN_FACTOR);
    (disk.room(was_spent) == Room::Spent).then(|| {
        format!(
            "the disk of `{folder}` has {}, and the last {} are kept for the server itself: free \
             space there until it has {}",
            disk.words(),
            size(reserve),
            size(again)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn free(free_bytes: u64, total_bytes: u64) -> Disk {
        Disk { total_bytes, free_bytes, free_files: None, is_read_only: false }
    }

    #[test]
    fn room_gets_low_then_short_and_the_reserve_is_kept() {
        let rooms = [50, 10, 9, 5, 4, 1].map(|gib| free(gib * GIB, 100 * GIB).room(false));
        use Room::{Enough, Low, Short, Spent};
        assert_eq!(rooms, [Enough, Enough, Low, Low, Short, Short]);
        assert_eq!(free(255 * MIB, 100 * GIB).room(false), Spent);
        // A small disk keeps a share, and a large one is no trouble with plenty left.
        assert_eq!(free(6 * MIB, 192 * MIB).room(false), Short);
        assert_eq!(free(5 * MIB, 192 * MIB).room(false), Spent);
        assert_eq!(free(70 * GIB, 10_000 * GIB).room(false), Enough);
    }

    #[test]
    fn what_was_spent_opens_again_with_twice_the_reserve() {
        let disk = |mib| free(mib * MIB, 100 * GIB);
        let rooms = [511, 512].map(|mib| disk(mib).room(true));
        assert_eq!(rooms, [Room::Spent, Room::Short]);
    }

    #[test]
    fn a_disk_without_files_left_is_as_full_as_one_without_bytes() {
        let disk = Disk { free_files: Some(63), ..free(50 * GIB, 100 * GIB) };
        assert_eq!(disk.room(false), Room::Spent);
        let said = impediment(Path::new("/data"), Some(disk), false).expect("an impediment");
        assert!(said.contains("63 files free"), "{said}");
    }

    #[test]
    fn a_folder_that_is_gone_or_read_only_is_named_with_its_remedy() {
        let folder = Path::new("/data");
        let gone = impediment(folder, None, false).expect("an impediment");
        assert!(gone.starts_with("`/data` is not there: put"), "{gone}");
        let read_only = Disk { is_read_only: true, ..free(GIB, GIB) };
        let said = impediment(folder, Some(read_only), false).expect("an impediment");
        assert!(said.starts_with("`/data` is mounted read-only"), "{said}");
        assert_eq!(impediment(folder, Some(free(GIB, GIB)), false), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(disk(Path::new("/")).is_some_and(|disk| disk.free_bytes <= disk.total_bytes));
        assert_eq!(disk(Path::new("/nowhere/at/all")), None);
    }
}
