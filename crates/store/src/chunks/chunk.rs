//! A chunk: the series of a group over a span of time, in a head and some parts.
//!
//! The head says where the pages of each series are and holds what their columns have in common; a
//! part holds the pages of some series. So one series costs the head and one part, whatever lies
//! beside it. A long series of a kind whose pages are timed has several, and a reader of a short
//! time decodes those that it lies in. Head and pages have a checksum each: a damaged page takes
//! what it has of its own series with it, nothing else.
//!
//! ```text
//! head    checksum, version of the layout, kind, packing, base, columns (head of each), pages
//!         (key, records, place, length, checksum; if they are timed, first and last instant)
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
/// sketches of a year's days can have steps.
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

/// Where a page of a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) key: Key,
    pub(crate) records: usize,
    pub(crate) part: usize,
    offset: usize,
    length: usize,
    checksum: u32,
    /// Its first and its last instant, if the head says so.
    pub(crate) times: Option<(i64, i64)>,
}

/// What the pages of a chunk are written to, in the order of their keys and then of time.
struct Pages {
    head: Writer,
    /// What instants are written as a difference to, if they are.
    base: Option<i64>,
    /// Of the page before.
    subject: u32,
    encoded: Encoded,
}

impl Pages {
    /// Behind a head that so far has what all pages have in common.
    fn new(head: Writer, layout: Layout, base: i64) -> Pages {
        let base = layout.is_timed.then_some(base);
        Pages { head, base, subject: 0, encoded: Encoded::default() }
    }

    /// Appends the bytes of a page to the parts, and where they are to the head.
    fn add(&mut self, page: &Page, bytes: &[u8]) {
        let to = &mut self.encoded;
        if to.parts.last().is_none_or(|part| is_full(part.len())) {
            to.parts.push(Vec::new());
        }
        let part_index = to.parts.len().saturating_sub(1);
        let Some(part) = to.parts.last_mut() else { return };
        let head = &mut self.head;
        head.number(u64::from(page.key.subject.wrapping_sub(self.subject)));
        self.subject = page.key.subject;
        head.number(u64::from(page.key.agent));
        head.length(page.records);
        head.length(part_index);
        head.length(part.len());
        head.length(bytes.len());
        head.bytes.extend(page.checksum.to_le_bytes());
        if let Some(base) = self.base {
            let (first, last) = page.times.unwrap_or((base, base));
            head.signed(first.wrapping_sub(base));
            head.signed(last.wrapping_sub(first));
        }
        part.extend_from_slice(bytes);
        to.records += page.records;
    }

    fn sealed(self) -> Encoded {
        Encoded { head: sealed(&self.head.bytes), ..self.encoded }
    }
}

impl Page {
    /// Whether it may have anything from `from` to before `to`.
    pub(crate) fn touches(&self, from: i64, to: i64) -> bool {
        self.times.is_none_or(|(first, last)| first < to && from <= last)
    }

    /// How many records it has from `from` to before `to`, as if they lay evenly in its time; 0 if
    /// nothing says of what time it is.
    pub(crate) fn records_in(&self, from: i64, to: i64) -> usize {
        let Some((first, last)) = self.times else { return 0 };
        let [first, last, from, to] = [first, last, from, to].map(i128::from);
        let all = (last + 1 - first).max(1);
        let shared = (to.min(last + 1) - from.max(first)).max(0);
        let records = i128::try_from(self.records).unwrap_or(0).saturating_mul(shared) / all;
        usize::try_from(records).unwrap_or(usize::MAX)
    }

    /// Reads where all pages of a chunk are.
    fn read_all(head: &mut Reader<'_>, layout: Layout, base: i64) -> Result<Vec<Page>, Damaged> {
        let count: usize = head.small()?;
        let mut pages = Vec::with_capacity(count.min(head.rest().len()));
        let mut subject: u32 = 0;
        for _ in 0..count {
            subject = subject.wrapping_add(head.small()?);
            let mut page = Page {
                key: Key { subject, agent: head.small()? },
                records: head.small()?,
                part: head.small()?,
                offset: head.small()?,
                length: head.small()?,
                checksum: u32::from_le_bytes(head.array()?),
                times: None,
            };
            if layout.is_timed {
                let first = base.wrapping_add(head.signed()?);
                page.times = Some((first, first.wrapping_add(head.signed()?)));
            }
            pages.push(page);
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
    /// In the order of their keys, those of one series in the order of time.
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
    encode_in_pages(series, (base, packing), R::PAGE_RECORDS_MAX)
}

/// The same with pages of any length.
pub(super) fn encode_in_pages<R: Record, S: AsRef<[R]>>(
    series: &[(Key, S)],
    (base, packing): (i64, Packing),
    page_records_max: usize,
) -> Result<Encoded, Unpackable> {
    let mut pages: Vec<(Key, &[R])> = Vec::with_capacity(series.len());
    for (key, records) in series {
        pages.extend(records.as_ref().chunks(page_records_max).map(|records| (*key, records)));
    }
    // Plain pages are made one after the other, compressed ones all together.
    let packed = pages.iter().filter(|_| packing == Packing::Compressed);
    let splits: Vec<Split> = packed.map(|(_, records)| R::split(records, base)).collect();
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
    head.length(pages.len());
    let mut to = Pages::new(head, R::LAYOUT, base);
    let (mut plain, mut page) = (Split::default(), Writer::default());
    for (index, (key, records)) in pages.into_iter().enumerate() {
        page.bytes.clear();
        match splits.get(index) {
            Some(split) => write_packed(&mut page, index, split, &columns),
            None => {
                R::split_into(records, base, &mut plain);
                write_plain(&mut page, &plain);
            }
        }
        let checksum = crc32fast::hash(&page.bytes);
        let times = records.first().zip(records.last()).map(|(a, b)| (a.at(), b.at()));
        let records = records.len();
        let of = Page { key, records, part: 0, offset: 0, length: 0, checksum, times };
        to.add(&of, &page.bytes);
    }
    Ok(to.sealed())
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
        let pages = Page::read_all(&mut head, layout, base)?;
        Ok(Head { layout, base, columns: is_compressed.then_some(columns), pages })
    }

    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The pages of one subject: of one agent, or of all.
    pub(crate) fn pages_of(&self, subject: u32, agent: Option<u32>) -> Vec<Page> {
        let first = self.pages.partition_point(|page| page.key.subject < subject);
        let pages = self.pages.iter().skip(first);
        let pages = pages.take_while(|page| page.key.subject == subject);
        pages.filter(|page| agent.is_none_or(|agent| agent == page.key.agent)).copied().collect()
    }

    /// Reads what a page has of its series out of the part that it is in.
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
