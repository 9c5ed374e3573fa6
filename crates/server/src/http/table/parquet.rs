//! Tables as Apache Parquet, for pandas, DuckDB, Spark and the like.
//!
//! What is written is the plainest form that every reader knows: groups of rows, one page a column
//! in each, plain values behind the levels that say which are null, compressed with zstd. Every
//! column may be null; times are `TIMESTAMP(MICROS)` in UTC, counts 64-bit integers, texts UTF-8.
//! What a column means stands in the file's own notes under `faultline.columns`.
//!
//! It is written here, and not by a library, because the libraries bring a second calendar and more
//! code than this server's whole API for the encodings that are not needed.

use serde_json::json;

use super::{
    Cell, Column, Kind,
    thrift::{BINARY, I32, STRUCT, Thrift, varint},
};
use crate::app::AppError;

/// Rows that are held until they are written together: some 6 MB of the widest table.
const GROUP_ROWS_MAX: usize = 32_768;
/// Under which name a file says what its columns mean.
const COLUMNS_KEY: &str = "faultline.columns";
const MAGIC: &[u8; 4] = b"PAR1";
const VERSION: i32 = 1;
const ZSTD_LEVEL: i32 = 3;

// Numbers of the format.
const OPTIONAL: i32 = 1;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const DATA_PAGE: i32 = 0;
const CODEC_ZSTD: i32 = 6;

pub(super) struct ParquetWriter<R: 'static> {
    columns: &'static [Column<R>],
    held: Vec<Held>,
    rows: usize,
    /// Where the next byte stands in the file.
    position: usize,
    groups: Vec<Group>,
    out: Vec<u8>,
}

/// The cells of a column that are not written yet.
#[derive(Default)]
struct Held {
    /// Known or null, and how many rows in a row.
    runs: Vec<(bool, u64)>,
    /// Plain values of those that are known.
    values: Vec<u8>,
    /// Flags are bits: how many there are.
    flags: usize,
}

/// A group of rows that was written.
struct Group {
    rows: usize,
    chunks: Vec<Chunk>,
}

/// A column of a group that was written: where it begins, and its bytes before and after packing.
struct Chunk {
    position: usize,
    plain: usize,
    packed: usize,
}

impl<R> ParquetWriter<R> {
    pub(super) fn new(columns: &'static [Column<R>]) -> ParquetWriter<R> {
        ParquetWriter {
            columns,
            held: columns.iter().map(|_| Held::default()).collect(),
            rows: 0,
            position: MAGIC.len(),
            groups: Vec::new(),
            out: MAGIC.to_vec(),
        }
    }

    pub(super) fn write(&mut self, rows: &[R]) -> Result<Vec<u8>, AppError> {
        for some in rows.chunks(GROUP_ROWS_MAX) {
            if GROUP_ROWS_MAX < self.rows + some.len() {
                self.write_group()?;
            }
            for (column, held) in self.columns.iter().zip(&mut self.held) {
                some.iter().for_each(|row| held.add(column.kind, (column.cell)(row)));
            }
            self.rows += some.len();
        }
        Ok(std::mem::take(&mut self.out))
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, AppError> {
        self.write_group()?;
        let notes = self.notes();
        self.out.extend_from_slice(&notes);
        let length = u32::try_from(notes.len()).map_err(AppError::internal)?;
        self.out.extend_from_slice(&length.to_le_bytes());
        self.out.extend_from_slice(MAGIC);
        Ok(self.out)
    }

    fn write_group(&mut self) -> Result<(), AppError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut chunks = Vec::with_capacity(self.held.len());
        for held in &mut self.held {
            let plain = std::mem::take(held).page();
            let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(AppError::internal)?;
            let header = page_header(self.rows, plain.len(), packed.len())?;
            let position = self.position;
            self.position += header.len() + packed.len();
            let (plain, bytes) = (header.len() + plain.len(), header.len() + packed.len());
            chunks.push(Chunk { position, plain, packed: bytes });
            self.out.extend_from_slice(&header);
            self.out.extend_from_slice(&packed);
        }
        self.groups.push(Group { rows: std::mem::take(&mut self.rows), chunks });
        Ok(())
    }

    /// What a reader looks at first, though it stands last.
    fn notes(&self) -> Vec<u8> {
        let mut notes = Thrift::default();
        notes.int(1, VERSION);
        notes.list(2, STRUCT, self.columns.len() + 1);
        notes.item_open();
        notes.text(4, "faultline");
        notes.int(5, i32::try_from(self.columns.len()).unwrap_or(i32::MAX));
        notes.close();
        self.columns.iter().for_each(|column| schema_of(&mut notes, column));
        notes.long(3, long(self.groups.iter().map(|group| group.rows).sum()));
        notes.list(4, STRUCT, self.groups.len());
        for group in &self.groups {
            notes.item_open();
            notes.list(1, STRUCT, group.chunks.len());
            for (column, chunk) in self.columns.iter().zip(&group.chunks) {
                chunk_of(&mut notes, column, chunk, group.rows);
            }
            notes.long(2, long(group.chunks.iter().map(|chunk| chunk.plain).sum()));
            notes.long(3, long(group.rows));
            notes.close();
        }
        let meanings = self.columns.iter().map(
            |column| json!({ "name": column.name, "unit": column.unit, "meaning": column.meaning }),
        );
        notes.list(5, STRUCT, 1);
        notes.item_open();
        notes.text(1, COLUMNS_KEY);
        notes.text(2, &meanings.collect::<serde_json::Value>().to_string());
        notes.close();
        notes.text(6, concat!("faultline version ", env!("CARGO_PKG_VERSION")));
        notes.close();
        notes.bytes
    }
}

impl Held {
    /// Adds a cell. One of another kind than its column's would be null; a test walks every table.
    fn add(&mut self, kind: Kind, cell: Cell<'_>) {
        let is_known = match (kind, cell) {
            (Kind::Time, Cell::Time(at)) => self.push(&at.0.to_le_bytes()),
            (Kind::Count, Cell::Count(count)) => self.push(&count.to_le_bytes()),
            (Kind::Real, Cell::Real(real)) => self.push(&real.to_le_bytes()),
            (Kind::Text, Cell::Text(text)) => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                self.push(&length.to_le_bytes());
                self.push(text.as_bytes())
            }
            (Kind::Flag, Cell::Flag(flag)) => self.push_flag(flag),
            (Kind::Time | Kind::Count | Kind::Real | Kind::Text | Kind::Flag, _) => false,
        };
        match self.runs.last_mut().filter(|(known, _)| *known == is_known) {
            Some((_, count)) => *count += 1,
            None => self.runs.push((is_known, 1)),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        self.values.extend_from_slice(bytes);
        true
    }

    /// Eight to a byte, the first in the lowest bit.
    fn push_flag(&mut self, flag: bool) -> bool {
        let bit = self.flags % 8;
        if bit == 0 {
            self.values.push(0);
        }
        if let Some(byte) = self.values.last_mut() {
            *byte |= u8::from(flag) << bit;
        }
        self.flags += 1;
        true
    }

    /// The levels, behind their length, and the values.
    fn page(self) -> Vec<u8> {
        let mut levels = Vec::new();
        for (is_known, count) in self.runs {
            varint(&mut levels, count << 1);
            levels.push(u8::from(is_known));
        }
        let mut page = Vec::with_capacity(4 + levels.len() + self.values.len());
        page.extend_from_slice(&u32::try_from(levels.len()).unwrap_or(u32::MAX).to_le_bytes());
        page.extend_from_slice(&levels);
        page.extend_from_slice(&self.values);
        page
    }
}

fn page_header(rows: usize, plain: usize, packed: usize) -> Result<Vec<u8>, AppError> {
    let int = |count: usize| i32::try_from(count).map_err(AppError::internal);
    let mut header = Thrift::default();
    header.int(1, DATA_PAGE);
    header.int(2, int(plain)?);
    header.int(3, int(packed)?);
    header.open(5);
    header.int(1, int(rows)?);
    header.int(2, PLAIN);
    header.int(3, RLE);
    header.int(4, RLE);
    header.close();
    header.close();
    Ok(header.bytes)
}

/// The number of a column's type.
fn physical(kind: Kind) -> i32 {
    match kind {
        Kind::Flag => 0,
        Kind::Time | Kind::Count => 2,
        Kind::Real => 5,
        Kind::Text => 6,
    }
}

fn schema_of<R>(notes: &mut Thrift, column: &Column<R>) {
    notes.item_open();
    notes.int(1, physical(column.kind));
    notes.int(3, OPTIONAL);
    notes.text(4, column.name);
    match column.kind {
        Kind::Text => {
            // As old readers know it, UTF8, and as new ones do.
            notes.int(6, 0);
            notes.open(10);
            notes.open(1);
            notes.close();
            notes.close();
        }
        Kind::Time => {
            // TIMESTAMP_MICROS; TIMESTAMP, in UTC, unit MICROS.
            notes.int(6, 10);
            notes.open(10);
            notes.open(8);
            notes.yes(1);
            notes.open(2);
            notes.open(2);
            (0..4).for_each(|_| notes.close());
        }
        Kind::Count | Kind::Real | Kind::Flag => {}
    }
    notes.close();
}

fn chunk_of<R>(notes: &mut Thrift, column: &Column<R>, chunk: &Chunk, rows: usize) {
    notes.item_open();
    notes.long(2, long(chunk.position));
    notes.open(3);
    notes.int(1, physical(column.kind));
    notes.list(2, I32, 2);
    notes.item_int(PLAIN);
    notes.item_int(RLE);
    notes.list(3, BINARY, 1);
    notes.item_text(column.name);
    notes.int(4, CODEC_ZSTD);
    notes.long(5, long(rows));
    notes.long(6, long(chunk.plain));
    notes.long(7, long(chunk.packed));
    notes.long(9, long(chunk.position));
    notes.close();
    notes.close();
}

fn long(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
