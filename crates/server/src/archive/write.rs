//! Writing an archive, piece by piece, on a thread that may wait for its sink.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use journal::JournalError;
use sha2::{Digest as _, Sha256};
use store::RowPart;
use tokio::sync::mpsc;

use super::{
    Count, Counting, END, HEAD, Head, LEFT_OUT, LOG, MANIFEST, Manifest, START, TABLES, log_row,
};
use crate::log::LogTail;

/// zstd's own default: about 4:1 on rows, faster than a disk.
const LEVEL: i32 = 3;
/// Only the owner of an unpacked archive may read it.
const MODE: u32 = 0o600;
/// Rows of one part of the log.
const LOG_PART_BYTES: usize = 1024 * 1024;

/// Why an archive was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot read the log")]
    Log(#[from] JournalError),
    #[error("cannot write the archive")]
    Sink(#[from] io::Error),
    #[error("the archive was given up before it was complete")]
    GivenUp,
}

/// What comes next in an archive.
#[derive(Debug)]
pub(crate) enum Piece {
    Rows {
        table: String,
        part: RowPart,
    },
    File {
        name: &'static str,
        bytes: Vec<u8>,
    },
    Log(LogTail),
    /// Nothing more: without it the archive is not finished.
    End,
}

/// Writes everything that comes, and the manifest behind it.
///
/// # Errors
///
/// [`WriteError`]; what the sink has then is no archive.
pub(crate) fn write<W: Write>(
    head: Head,
    mut pieces: mpsc::Receiver<Piece>,
    sink: W,
) -> Result<(W, Manifest), WriteError> {
    let mut writer = Writer::begin(head, sink)?;
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Rows { table, part }) => writer.rows(&table, &part)?,
            Some(Piece::File { name, bytes }) => writer.file(name, &bytes)?,
            Some(Piece::Log(tail)) => writer.log(tail)?,
            Some(Piece::End) => return Ok(writer.end()?),
            None => return Err(WriteError::GivenUp),
        }
    }
}

struct Writer<W: Write> {
    tar: tar::Builder<zstd::Encoder<'static, Hashed<W>>>,
    head: Head,
    /// By table; the log is one of them.
    rows: BTreeMap<String, Counting>,
    files: Vec<Count>,
}

impl<W: Write> Writer<W> {
    fn begin(head: Head, sink: W) -> io::Result<Writer<W>> {
        let mut hashed = Hashed { sink, digest: Sha256::new() };
        hashed.write_all(&START)?;
        let mut encoder = zstd::Encoder::new(hashed, LEVEL)?;
        encoder.include_checksum(true)?;
        let tar = tar::Builder::new(encoder);
        let mut writer = Writer { tar, head, rows: BTreeMap::new(), files: Vec::new() };
        let text = serde_json::to_vec_pretty(&writer.head)?;
        writer.entry(HEAD, &text)?;
        Ok(writer)
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        header.set_mode(MODE);
        self.tar.append_data(&mut header, name, bytes)
    }

    fn rows(&mut self, table: &str, part: &RowPart) -> io::Result<()> {
        let counting = self.rows.entry(table.to_owned()).or_default();
        counting.add(part.rows, &part.lines);
        let folder = if table == LOG { "" } else { TABLES };
        let name = format!("{folder}{table}/{:05}.jsonl", counting.parts);
        self.entry(&name, &part.lines)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut counting = Counting::default();
        counting.add(0, bytes);
        self.files.push(counting.count(name));
        self.entry(name, bytes)
    }

    fn log(&mut self, tail: LogTail) -> Result<(), WriteError> {
        let mut part = RowPart::default();
        for record in tail.reader {
            let (position, entry) = record?;
            if tail.through.0 < position.0 {
                break;
            }
            log_row(&mut part.lines, position.0, &entry);
            part.rows += 1;
            if LOG_PART_BYTES <= part.lines.len() {
                self.rows(LOG, &std::mem::take(&mut part))?;
            }
        }
        if part.rows != 0 {
            self.rows(LOG, &part)?;
        }
        Ok(())
    }

    fn end(mut self) -> io::Result<(W, Manifest)> {
        let count = |rows: &BTreeMap<String, Counting>, name: &str| {
            rows.get(name).cloned().unwrap_or_default().count(name)
        };
        let tables = self.head.tables.iter();
        let manifest = Manifest {
            counts: tables.map(|table| count(&self.rows, &table.name)).collect(),
            log: count(&self.rows, LOG),
            files: std::mem::take(&mut self.files),
            left_out: LEFT_OUT.map(str::to_owned).to_vec(),
            head: self.head.clone(),
        };
        let text = serde_json::to_vec_pretty(&manifest)?;
        self.entry(MANIFEST, &text)?;
        let mut hashed = self.tar.into_inner()?.finish()?;
        let digest = hashed.digest.clone().finalize();
        hashed.write_all(&END)?;
        hashed.write_all(&digest)?;
        hashed.flush()?;
        Ok((hashed.sink, manifest))
    }
}

/// Hashes what goes through.
struct Hashed<W> {
    sink: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
