//! A chunk: the series of a group over a span of time, in a head and some parts.
//!
//! The head says where each series' page is and holds what its columns have in common; a part holds
//! the pages of some series. So one series costs the head and one part, whatever lies beside it.
//! Head and pages have a checksum each: a damaged page takes its own series with it, no other.
//!
//! ```text
//! head    checksum, version of the layout, kind, packing, base, columns (head of each), series
//!         (key, records, place, length, checksum of each page)
//! page    columns (values, compressed bytes of each; or plain values), what is rare
//! ```

mod trim;

pub(crate) use trim::trim;

use super::{
    Damaged, Key, Layout, Reader, Record, Split, Unpackable, Writer,
    bytes::{checked, sealed},
    column::{self, Packed, Unpacker},
};

/// A part ends once it has this many bytes and fills pages of a database; or as soon as it has so
/// many that a reader would notice, some reads of a disk.
const PART_BYTES: usize = 32 << 10;
const PART_BYTES_MAX: usize = 96 << 10;
/// SQLite, whose pages have 16 KiB here, puts all of a part but so many bytes on pages of its
/// own...
const OVERFLOW_PAGE_BYTES: usize = (16 << 10) - 4;
/// ... and at least these, with what stands beside them in the row, where rows are.
const ROW_BYTES_MIN: usize = 2_020;
/// What is left over is little, or nearly another page: otherwise half a page would stay empty.
const REST_BYTES_SMALL: usize = 3 << 10;
const REST_BYTES_LARGE: usize = 14 << 10;
/// Values of one column in one page: as many as a chunk may have records, and more than the
/// sketches of a month's hours can have steps.
const PAGE_VALUES_MAX: usize = 1_000_000;

/// A chunk as it is stored.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(crate) head: Vec<u8>,
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) records: usize,
}

/// How the columns of a chunk are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As they are: of some minutes, which are soon read again to be merged.
    Plain,
    Compressed,
}

/// What is not read as records of the kind that is asked for.
pub(super) const OTHER: Damaged = Damaged("it is of another version or kind");
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

/// Where the page of a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) key: Key,
    pub(crate) records: usize,
    pub(crate) part: usize,
    offset: usize,
    length: usize,
    checksum: u32,
}

impl Page {
    /// Appends its bytes to the parts of a chunk, and where they are to its head; `subject` is that
    /// of the page before.
    fn write(&self, head: &mut Writer, subject: &mut u32, to: &mut Encoded, bytes: &[u8]) {
        if to.parts.last().is_none_or(|part| is_full(part.len())) {
            to.parts.push(Vec::new());
        }
        let part_index = to.parts.len().saturating_sub(1);
        let Some(part) = to.parts.last_mut() else { return };
        head.number(u64::from(self.key.subject.wrapping_sub(*subject)));
        *subject = self.key.subject;
        head.number(u64::from(self.key.agent));
        head.length(self.records);
        head.length(part_index);
        head.length(part.len());
        head.length(bytes.len());
        head.bytes.extend(self.checksum.to_le_bytes());
        part.extend_from_slice(bytes);
        to.records += self.records;
    }

    /// Reads where all pages of a chunk are.
    fn read_all(head: &mut Reader<'_>) -> Result<Vec<Page>, Damaged> {
        let count: usize = head.small()?;
        let mut pages = Vec::with_capacity(count.min(head.rest().len()));
        let mut subject: u32 = 0;
        for _ in 0..count {
            subject = subject.wrapping_add(head.small()?);
            pages.push(Page {
                key: Key { subject, agent: head.small()? },
                records: head.small()?,
                part: head.small()?,
                offset: head.small()?,
                length: head.small()?,
                checksum: u32::from_le_bytes(head.array()?),
            });
        }
        Ok(pages)
    }
}

/// A head that was read.
pub(crate) struct Head {
    layout: Layout,
    base: i64,
    /// Of each column; none if they are plain.
    columns: Option<Vec<Unpacker>>,
    /// In the order of their keys.
    pages: Vec<Page>,
}

/// Makes a chunk of series that are in the order of their keys.
///
/// # Errors
///
/// [`Unpackable`] if a column takes no more values; see [`Record::CHUNK_RECORDS_MAX`].
pub(crate) fn encode<R: Record, S: AsRef<[R]>>(
    series: &[(Key, S)],
    base: i64,
    packing: Packing,
) -> Result<Encoded, Unpackable> {
    // Plain pages are made one after the other, compressed ones of all series together.
    let packed = series.iter().filter(|_| packing == Packing::Compressed);
    let splits: Vec<Split> = packed.map(|(_, records)| R::split(records.as_ref(), base)).collect();
    let mut columns = Vec::with_capacity(R::LAYOUT.columns);
    for index in (0..R::LAYOUT.columns).filter(|_| packing == Packing::Compressed) {
        let values: Vec<&[u64]> =
            splits.iter().map(|s| s.columns.get(index).map_or(&[][..], Vec::as_slice)).collect();
        columns.push(column::pack(&values)?);
    }
    let mut head = Writer::default();
    let is_compressed = packing == Packing::Compressed;
    let packed_as = if is_compressed { COMPRESSED } else { PLAIN };
    head.bytes.extend([R::LAYOUT.version, R::KIND, packed_as]);
    head.signed(base);
    for column in &columns {
        head.counted(&column.head);
    }
    head.length(series.len());
    let mut encoded = Encoded::default();
    let (mut subject, mut plain, mut page) = (0, Split::default(), Writer::default());
    for (index, (key, records)) in series.iter().enumerate() {
        let records = records.as_ref();
        page.bytes.clear();
        match splits.get(index) {
            Some(split) => write_packed(&mut page, index, split, &columns),
            None => {
                R::split_into(records, base, &mut plain);
                write_plain(&mut page, &plain);
            }
        }
        let checksum = crc32fast::hash(&page.bytes);
        let of =
            Page { key: *key, records: records.len(), part: 0, offset: 0, length: 0, checksum };
        of.write(&mut head, &mut subject, &mut encoded, &page.bytes);
    }
    encoded.head = sealed(&head.bytes);
    Ok(encoded)
}

fn is_full(part_bytes: usize) -> bool {
    let rest = part_bytes.saturating_sub(ROW_BYTES_MIN) % OVERFLOW_PAGE_BYTES;
    let fills_pages = !(REST_BYTES_SMALL..=REST_BYTES_LARGE).contains(&rest);
    (PART_BYTES <= part_bytes && fills_pages) || PART_BYTES_MAX <= part_bytes
}

/// Writes the columns of a series as they are.
pub(super) fn write_plain(to: &mut Writer, split: &Split) {
    for column in &split.columns {
        column::write_plain(to, column);
    }
    to.counted(&split.rare);
}

/// Reads them back, into columns whose room is used again.
pub(super) fn read_plain(
    from: &mut Reader<'_>,
    layout: Layout,
    split: &mut Split,
) -> Result<(), Damaged> {
    split.clear(layout);
    for column in &mut split.columns {
        column::read_plain(from, column)?;
    }
    split.rare.extend_from_slice(from.counted()?);
    Ok(())
}

fn write_packed(page: &mut Writer, index: usize, split: &Split, columns: &[Packed]) {
    for (values, packed) in split.columns.iter().zip(columns) {
        page.length(values.len());
        page.counted(packed.pages.get(index).map_or(&[][..], Vec::as_slice));
    }
    page.counted(&split.rare);
}

impl Head {
    /// Reads a head of chunks of `R`.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: nothing of the chunk can be read.
    pub(crate) fn parse<R: Record>(bytes: &[u8]) -> Result<Head, Damaged> {
        let mut head = Reader::new(checked(bytes)?);
        let layout = R::layout(head.byte()?).ok_or(OTHER)?;
        if head.byte()? != R::KIND {
            return Err(OTHER);
        }
        let is_compressed = match head.byte()? {
            PLAIN => false,
            COMPRESSED => true,
            _ => return Err(Damaged("it is of no known packing")),
        };
        let base = head.signed()?;
        let mut columns = Vec::with_capacity(layout.columns);
        for _ in (0..layout.columns).filter(|_| is_compressed) {
            columns.push(Unpacker::new(head.counted()?)?);
        }
        let pages = Page::read_all(&mut head)?;
        Ok(Head { layout, base, columns: is_compressed.then_some(columns), pages })
    }

    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The series of one subject: of one agent, or of all.
    pub(crate) fn pages_of(&self, subject: u32, agent: Option<u32>) -> Vec<Page> {
        let first = self.pages.partition_point(|page| page.key.subject < subject);
        let pages = self.pages.iter().skip(first);
        let pages = pages.take_while(|page| page.key.subject == subject);
        pages.filter(|page| agent.is_none_or(|agent| agent == page.key.agent)).copied().collect()
    }

    /// Reads the series of a page out of the part that it is in.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: the other pages may be whole.
    pub(crate) fn series<R: Record>(
        &mut self,
        page: &Page,
        part: &[u8],
    ) -> Result<Vec<R>, Damaged> {
        let end = page.offset.saturating_add(page.length);
        let bytes =
            part.get(page.offset..end).ok_or(Damaged("a page is not where it should be"))?;
        if crc32fast::hash(bytes) != page.checksum {
            return Err(Damaged("the checksum of a page does not hold"));
        }
        self.decode(bytes)
    }

    /// Reads a page whose checksum holds.
    ///
    /// # Errors
    ///
    /// [`Damaged`].
    pub(crate) fn decode<R: Record>(&mut self, page: &[u8]) -> Result<Vec<R>, Damaged> {
        let mut reader = Reader::new(page);
        let split = match &mut self.columns {
            None => {
                let mut split = Split::default();
                read_plain(&mut reader, self.layout, &mut split)?;
                split
            }
            Some(columns) => read_packed(&mut reader, self.layout, columns)?,
        };
        R::join(&split, self.base)
    }
}

fn read_packed(
    reader: &mut Reader<'_>,
    layout: Layout,
    columns: &mut [Unpacker],
) -> Result<Split, Damaged> {
    let mut split = Split { version: layout.version, ..Split::default() };
    for column in columns {
        let count: usize = reader.small()?;
        if PAGE_VALUES_MAX < count {
            return Err(Damaged("a page has more values than a chunk may"));
        }
        split.columns.push(column.page(reader.counted()?, count)?);
    }
    split.rare = reader.counted()?.to_vec();
    Ok(split)
}
