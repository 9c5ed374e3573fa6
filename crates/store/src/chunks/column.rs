//! One column over all series of a chunk, compressed, with a page for each of them.
//!
//! What the values have in common — which ranges are frequent, how many bits the rest of each takes
//! — is in the column's own head; so short pages compress as well as long ones.

use pco::{
    ChunkConfig, DeltaSpec, ModeSpec, PagingSpec,
    data_types::Number,
    wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor},
};

use super::{Damaged, Reader, Unpackable, Writer};

/// Beyond this, bytes hardly shrink and time grows.
const LEVEL: usize = 8;
const NARROW: u8 = 4;
const WIDE: u8 = 8;
const UNREADABLE: Damaged = Damaged("a column cannot be decompressed");

/// A compressed column.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Empty if all pages are.
    pub(super) head: Vec<u8>,
    /// One for each series; empty where it has no values.
    pub(super) pages: Vec<Vec<u8>>,
}

/// Compresses one column of several series.
///
/// # Errors
///
/// [`Unpackable`] if there are more values than one column takes, 16 million.
pub(super) fn pack(series: &[&[u64]]) -> Result<Packed, Unpackable> {
    let lengths: Vec<usize> = series.iter().map(|values| values.len()).collect();
    let values = series.concat();
    let narrow: Result<Vec<u32>, _> = values.iter().map(|v| u32::try_from(*v)).collect();
    let packed = match narrow {
        Ok(narrow) => try_pack(NARROW, &narrow, &lengths),
        Err(_) => try_pack(WIDE, &values, &lengths),
    };
    packed.map_err(|error| Unpackable(error.to_string()))
}

fn try_pack<T: Number>(
    width: u8,
    values: &[T],
    lengths: &[usize],
) -> Result<Packed, pco::errors::PcoError> {
    let mut pages = vec![Vec::new(); lengths.len()];
    if values.is_empty() {
        return Ok(Packed { head: Vec::new(), pages });
    }
    let used: Vec<usize> = lengths.iter().copied().filter(|length| *length != 0).collect();
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        // The columns are differences already, made by who knows what the numbers mean.
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::NoOp)
        .with_paging_spec(PagingSpec::Exact(used));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config)?;
    let head = file.write_header(vec![width])?;
    let head = chunk.write_meta(head)?;
    let filled = lengths.iter().zip(&mut pages).filter(|(length, _)| **length != 0);
    for (index, (_, page)) in filled.enumerate() {
        *page = chunk.write_page(index, Vec::new())?;
    }
    Ok(Packed { head, pages })
}

/// What reads the pages of one column.
pub(super) enum Unpacker {
    Empty,
    Narrow(ChunkDecompressor<u32>),
    Wide(ChunkDecompressor<u64>),
}

impl Unpacker {
    pub(super) fn new(head: &[u8]) -> Result<Unpacker, Damaged> {
        match head.split_first() {
            None => Ok(Unpacker::Empty),
            Some((&NARROW, rest)) => Ok(Unpacker::Narrow(decompressor(rest)?)),
            Some((&WIDE, rest)) => Ok(Unpacker::Wide(decompressor(rest)?)),
            Some(_) => Err(Damaged("a column is of no known width")),
        }
    }

    /// Decompresses `count` values of a page.
    pub(super) fn page(&mut self, page: &[u8], count: usize) -> Result<Vec<u64>, Damaged> {
        match self {
            _ if count == 0 => Ok(Vec::new()),
            Unpacker::Empty => Err(UNREADABLE),
            Unpacker::Narrow(chunk) => {
                Ok(values(chunk, page, count)?.into_iter().map(u64::from).collect())
            }
            Unpacker::Wide(chunk) => values(chunk, page, count),
        }
    }
}

fn decompressor<T: Number>(head: &[u8]) -> Result<ChunkDecompressor<T>, Damaged> {
    let (file, rest) = FileDecompressor::new(head).map_err(|_| UNREADABLE)?;
    let (chunk, _) = file.chunk_decompressor(rest).map_err(|_| UNREADABLE)?;
    Ok(chunk)
}

fn values<T: Number + Default>(
    chunk: &mut ChunkDecompressor<T>,
    page: &[u8],
    count: usize,
) -> Result<Vec<T>, Damaged> {
    let mut values = vec![T::default(); count];
    let mut reader = chunk.page_decompressor(page, count).map_err(|_| UNREADABLE)?;
    let progress = reader.read(&mut values).map_err(|_| UNREADABLE)?;
    if progress.finished { Ok(values) } else { Err(UNREADABLE) }
}

/// Writes a column as it is: for a few values, which no head pays for.
pub(super) fn write_plain(to: &mut Writer, values: &[u64]) {
    to.length(values.len());
    for value in values {
        to.number(*value);
    }
}

/// Reads it back, into a column that is empty.
pub(super) fn read_plain(from: &mut Reader<'_>, values: &mut Vec<u64>) -> Result<(), Damaged> {
    let count: usize = from.small()?;
    // Each takes a byte at least: no more is made room for than can be there.
    if from.rest().len() < count {
        return Err(Damaged("a column is longer than what holds it"));
    }
    values.reserve(count);
    for _ in 0..count {
        values.push(from.number()?);
    }
    Ok(())
}
