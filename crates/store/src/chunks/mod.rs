//! Chunks: how history is kept. Pure; the tables that hold them are written in [`crate::history`].
//!
//! A series is what one agent, or all together, recorded of one subject: rounds, or minutes. Its
//! records are split into columns of numbers ([`Record`]). A chunk holds the series of a group of
//! neighbouring subjects over a span of time: each column is compressed over all of them, because
//! they look alike, but every series has a page of its own, so that one is read without decoding
//! its neighbours ([`chunk`]). What has just been committed is not yet in a chunk: it waits in a
//! tail, which is the same columns uncompressed ([`tail`]).
//!
//! Nothing here decides what is true: of two records of one instant, [`Record::supersedes`] says
//! which one stays.

use std::time::Duration;

mod bytes;
mod chunk;
mod column;
mod metric;
mod metric_roll;
mod minute;
mod rollup;
mod round;
mod tail;

#[cfg(test)]
mod tests;

pub(crate) use chunk::{Encoded, Head, Packing, Page, encode as encode_chunk, trim};
pub(crate) use metric::MetricRecord;
pub(crate) use metric_roll::{METRIC_DAY, METRIC_FIVE, METRIC_HOUR, MetricRollRecord};
pub(crate) use minute::MinuteRecord;
pub(crate) use rollup::{
    ALL_DAY, ALL_FIVE, ALL_HOUR, AllDay, AllFive, AllHour, PAIR_DAY, PAIR_FIVE, PAIR_HOUR, PairDay,
    PairFive, PairHour, RollRecord,
};
pub(crate) use round::RoundRecord;
pub(crate) use tail::{Tail, encode as encode_tail};

pub(crate) use bytes::sealed;
use bytes::{Reader, Writer};

/// Bytes that no version writes, or a checksum that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged: {0}")]
pub(crate) struct Damaged(pub(crate) &'static str);

/// Why a chunk could not be made. Nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk cannot be made: {0}")]
pub(crate) struct Unpackable(String);

/// Whose records they are. Of a consensus, the agent is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) subject: u32,
    pub(crate) agent: u32,
}

/// Numbers of subjects below this are probes, from it on series of metrics: so no group has both.
const METRIC_SUBJECTS: u32 = 1 << 31;

/// Subjects of one group, with all their series: 256 where three agents ask and agree.
pub(crate) const GROUP_SUBJECTS: u32 = 64;

impl Key {
    /// Of the metric series with this number; `None` if there are no more keys.
    pub(crate) fn of_metric(series: u32) -> Option<Key> {
        (series < METRIC_SUBJECTS).then_some(Key { subject: METRIC_SUBJECTS | series, agent: 0 })
    }

    /// The group that its chunks are in.
    pub(crate) fn group(self) -> u32 {
        self.subject / GROUP_SUBJECTS
    }
}

/// Whether a group is of metrics; otherwise it is of probes.
pub(crate) fn is_of_metrics(group: u32) -> bool {
    METRIC_SUBJECTS / GROUP_SUBJECTS <= group
}

/// A span of time that chunks are merged over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// 3 is the last of every kind.
    pub(crate) number: u8,
    pub(crate) minutes: i64,
    /// For how long nothing may have come in.
    pub(crate) quiet: Duration,
    pub(crate) packing: Packing,
}

const fn quiet_minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// What commits record is sealed by this, and merged to it, first.
pub(crate) const BLOCK_MINUTES: i64 = 15;
/// Of what commits record.
///
/// A quarter of an hour is read again within the hour: compressing it costs more than it saves.
const RECORDED: [Level; 3] = [
    Level { number: 1, minutes: BLOCK_MINUTES, quiet: quiet_minutes(2), packing: Packing::Plain },
    Level { number: 2, minutes: 60, quiet: quiet_minutes(10), packing: Packing::Compressed },
    Level { number: 3, minutes: 24 * 60, quiet: quiet_minutes(60), packing: Packing::Compressed },
];

/// How the columns of a kind are written; what they mean, its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Pinned: it stands in every chunk and tail.
    pub(crate) version: u8,
    /// Columns that a series is split into.
    pub(crate) columns: usize,
    /// Whether heads of chunks say of what time each page is.
    pub(crate) is_timed: bool,
}

/// One thing that was recorded at an instant.
pub(crate) trait Record: Clone + Send + Sized + 'static {
    /// Its number in tables and chunks; pinned.
    const KIND: u8;
    /// How it is written.
    const LAYOUT: Layout;
    /// How it was written, and is still read.
    const OLDER: &'static [Layout] = &[];
    /// What its chunks are merged over.
    const LEVELS: &'static [Level] = &RECORDED;
    /// Records of one chunk: what takes tens of megabytes while it is made. A day of a group of 64
    /// probes that five agents ask every 30 s.
    const CHUNK_RECORDS_MAX: usize = 1_000_000;
    /// Records of one page: a series that has more takes several. Only of pages that are timed
    /// does a reader of a short time decode fewer.
    const PAGE_RECORDS_MAX: usize = usize::MAX;
    /// The longest time that a chunk covers.
    const SPAN_MINUTES_MAX: i64 = match Self::LEVELS {
        [.., last] => last.minutes,
        [] => 0,
    };

    /// The layout of a version that is read.
    fn layout(version: u8) -> Option<Layout> {
        let mut layouts = std::iter::once(&Self::LAYOUT).chain(Self::OLDER);
        layouts.find(|layout| layout.version == version).copied()
    }

    /// How chunks of a level are packed. Those that were not merged yet are plain.
    fn packing_of(level: u8) -> Packing {
        let level = Self::LEVELS.iter().find(|known| known.number == level);
        level.map_or(Packing::Plain, |level| level.packing)
    }

    /// The instant, in microseconds. A series has one record of each.
    fn at(&self) -> i64;

    /// Whether it takes the place of what was recorded of the same instant before it.
    fn supersedes(&self, earlier: &Self) -> bool;

    /// Splits a series, which is in the order of time and without two of one instant.
    ///
    /// `base` is near its beginning: what is written as a difference to it is short.
    fn split(series: &[Self], base: i64) -> Split;

    /// Splits a series into columns whose room is used again. A kind that is written all the time
    /// does it without making new ones.
    fn split_into(series: &[Self], base: i64, into: &mut Split) {
        *into = Self::split(series, base);
    }

    /// Puts a series together again.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if these are no columns of this kind.
    fn join(split: &Split, base: i64) -> Result<Vec<Self>, Damaged>;

    /// The same behind what is there. What was added before an error is of no use.
    ///
    /// # Errors
    ///
    /// [`Damaged`], likewise.
    fn join_into(split: &Split, base: i64, into: &mut Vec<Self>) -> Result<(), Damaged> {
        into.extend(Self::join(split, base)?);
        Ok(())
    }
}

/// A series as columns, of any length each, and what is too rare to be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// Of the layout.
    pub(crate) version: u8,
    pub(crate) columns: Vec<Vec<u64>>,
    pub(crate) rare: Vec<u8>,
}

impl Split {
    fn new(layout: Layout) -> Split {
        let columns = vec![Vec::new(); layout.columns];
        Split { version: layout.version, columns, rare: Vec::new() }
    }

    /// Makes it empty, in a layout.
    fn clear(&mut self, layout: Layout) {
        self.version = layout.version;
        self.columns.resize_with(layout.columns, Vec::new);
        self.columns.iter_mut().for_each(Vec::clear);
        self.rare.clear();
    }

    fn push(&mut self, column: usize, value: u64) {
        if let Some(column) = self.columns.get_mut(column) {
            column.push(value);
        }
    }

    fn column(&self, column: usize) -> impl Iterator<Item = u64> {
        self.columns.get(column).into_iter().flatten().copied()
    }
}

/// Puts records of one series in order; of one instant the one stays that supersedes the others.
///
/// They are given in the order in which they were recorded.
pub(crate) fn merge<R: Record>(records: &mut Vec<R>) {
    if records.windows(2).all(|pair| pair[0].at() < pair[1].at()) {
        return;
    }
    // Stable: of one instant, the earlier recorded stays in front.
    records.sort_by_key(Record::at);
    records.dedup_by(|later, kept| {
        let is_same = later.at() == kept.at();
        if is_same && later.supersedes(kept) {
            kept.clone_from(later);
        }
        is_same
    });
}
