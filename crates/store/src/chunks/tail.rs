//! A tail: what one commit recorded, for all series at once, until it goes into chunks.
//!
//! It is written with every commit, so it costs little to write: the columns as they are, and a
//! directory of fixed width in which a series is found by halving.
//!
//! ```text
//! tail    checksum, version of the layout, kind, series, directory (subject, agent, end of each),
//!         pages
//! page    columns (values of each), what is rare
//! ```

use super::{
    Damaged, Key, Layout, Reader, Record, Split, Writer,
    bytes::{checked, sealed},
    chunk,
};

const ENTRY_BYTES: usize = 12;

/// Writes series that are in the order of their keys.
pub(crate) fn encode<R: Record, S: AsRef<[R]>>(series: &[(Key, S)]) -> Vec<u8> {
    let mut pages = Writer::default();
    let mut split = Split::default();
    let mut directory = Vec::with_capacity(series.len().saturating_mul(ENTRY_BYTES));
    for (key, records) in series {
        R::split_into(records.as_ref(), 0, &mut split);
        chunk::write_plain(&mut pages, &split);
        let end = u32::try_from(pages.bytes.len()).unwrap_or(u32::MAX);
        for number in [key.subject, key.agent, end] {
            directory.extend(number.to_le_bytes());
        }
    }
    let mut tail = Writer::default();
    tail.bytes.extend([R::LAYOUT.version, R::KIND]);
    tail.length(series.len());
    tail.bytes.extend(directory);
    tail.bytes.extend(pages.bytes);
    sealed(&tail.bytes)
}

/// A tail that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail<'a> {
    layout: Layout,
    directory: &'a [[u8; ENTRY_BYTES]],
    pages: &'a [u8],
}

impl<'a> Tail<'a> {
    /// # Errors
    ///
    /// [`Damaged`]: nothing of it can be read.
    pub(crate) fn parse<R: Record>(bytes: &'a [u8]) -> Result<Tail<'a>, Damaged> {
        let mut reader = Reader::new(checked(bytes)?);
        let layout = R::layout(reader.byte()?).ok_or(chunk::OTHER)?;
        if reader.byte()? != R::KIND {
            return Err(chunk::OTHER);
        }
        let count: usize = reader.small()?;
        let directory = reader.take(count.saturating_mul(ENTRY_BYTES))?;
        let (directory, _) = directory.as_chunks();
        Ok(Tail { layout, directory, pages: reader.rest() })
    }

    /// Reads every record, series by series, behind what is there. What was added before an error
    /// is of no use.
    pub(crate) fn all_into<R: Record>(self, into: &mut Vec<(Key, R)>) -> Result<(), Damaged> {
        let (mut split, mut records) = (Split::default(), Vec::new());
        for index in 0..self.directory.len() {
            let key = self.series_into(index, &mut split, &mut records)?;
            into.extend(records.drain(..).map(|record| (key, record)));
        }
        Ok(())
    }

    /// Reads every record, to see whether that can be done.
    pub(crate) fn check<R: Record>(self) -> Result<(), Damaged> {
        self.all_into::<R>(&mut Vec::new())
    }

    /// Reads the series of one subject: of one agent, or of all.
    pub(crate) fn of<R: Record>(
        self,
        subject: u32,
        agent: Option<u32>,
    ) -> Result<Vec<(Key, Vec<R>)>, Damaged> {
        let first = self.directory.partition_point(|entry| entry_of(entry).0.subject < subject);
        let mut series = Vec::new();
        for (index, entry) in self.directory.iter().enumerate().skip(first) {
            let (key, _) = entry_of(entry);
            if key.subject != subject {
                break;
            }
            if agent.is_none_or(|agent| agent == key.agent) {
                series.push(self.series(index)?);
            }
        }
        Ok(series)
    }

    fn series<R: Record>(self, index: usize) -> Result<(Key, Vec<R>), Damaged> {
        let mut records = Vec::new();
        let key = self.series_into(index, &mut Split::default(), &mut records)?;
        Ok((key, records))
    }

    fn series_into<R: Record>(
        self,
        index: usize,
        split: &mut Split,
        records: &mut Vec<R>,
    ) -> Result<Key, Damaged> {
        const LOST: Damaged = Damaged("a page is not where it should be");
        let (key, end) = self.directory.get(index).map(entry_of).ok_or(LOST)?;
        let before = index.checked_sub(1).and_then(|before| self.directory.get(before));
        let start = before.map_or(0, |entry| entry_of(entry).1);
        let mut reader = Reader::new(self.pages.get(start..end).ok_or(LOST)?);
        chunk::read_plain(&mut reader, self.layout, split)?;
        R::join_into(split, 0, records)?;
        Ok(key)
    }
}

fn entry_of(entry: &[u8; ENTRY_BYTES]) -> (Key, usize) {
    let mut numbers = entry.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    let mut next = || numbers.next().unwrap_or_default();
    let key = Key { subject: next(), agent: next() };
    (key, usize::try_from(next()).unwrap_or(usize::MAX))
}
