//! Reading an archive and checking every byte of it.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
};

use sha2::{Digest as _, Sha256};
use store::TableShape;

use super::{
    Count, Counting, DIGEST_BYTES, END, END_BYTES, FORM, HEAD, Head, LOG, MANIFEST, Manifest,
    START, TABLES, log_shape,
};

/// A part is at most about 1 MiB and one row more; the largest row is a checkpoint of the engine.
const ENTRY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What follows the last entry of a tar file: two empty blocks.
const PADDING_BYTES_MAX: u64 = 64 * 1024;
/// Bytes asked of the file at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Why a file is no archive that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it is no Faultline backup: it does not begin as one")]
    Foreign,
    #[error(
        "it has form {found} and this version reads forms up to {FORM}: use the version that wrote \
         it, or a newer one"
    )]
    TooNew { found: u32 },
    #[error("it is damaged at `{thing}`: {reason}; use another backup")]
    Damaged { thing: String, reason: String },
}

/// One thing out of an archive, in the order in which they stand there.
#[derive(Clone, Debug)]
pub enum Part {
    Head(Head),
    Rows {
        table: TableShape,
        lines: Vec<u8>,
    },
    /// Entries of the log, as rows.
    Log(Vec<u8>),
    File {
        name: String,
        bytes: Vec<u8>,
    },
}

/// Reads all of an archive, gives each part to `take` and returns the manifest.
///
/// Nothing of what `take` got may be relied upon before this has returned without an error.
///
/// # Errors
///
/// [`ArchiveError`] naming what is damaged, or what `take` says.
pub fn read<E: From<ArchiveError>>(
    source: impl Read,
    mut take: impl FnMut(Part) -> Result<(), E>,
) -> Result<Manifest, E> {
    let mut withheld = Withheld::new(source);
    let mut start = [0; START.len()];
    let begins = withheld.read_exact(&mut start);
    if begins.is_err() || start != START {
        return Err(ArchiveError::Foreign.into());
    }
    let mut reading = Reading::default();
    let decoder = zstd::Decoder::new(withheld);
    let mut decoder = decoder.map_err(|error| reading.damaged(&error.to_string()))?;
    read_entries(&mut decoder, &mut reading, &mut take)?;
    reading.thing = "the end".to_owned();
    let padding = io::copy(&mut (&mut decoder).take(PADDING_BYTES_MAX), &mut io::sink());
    match padding {
        Ok(bytes) if bytes < PADDING_BYTES_MAX => (),
        Ok(_) => return Err(reading.damaged("something follows the manifest").into()),
        Err(error) => return Err(reading.broken(&error).into()),
    }
    if !decoder.finish().into_inner().is_whole() {
        return Err(reading.damaged("the checksum over the whole file differs").into());
    }
    Ok(reading.finish()?)
}

fn read_entries<R: Read, E: From<ArchiveError>>(
    decoder: &mut zstd::Decoder<'_, BufReader<R>>,
    reading: &mut Reading,
    take: &mut impl FnMut(Part) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = tar::Archive::new(decoder);
    let entries = archive.entries().map_err(|error| reading.broken(&error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| reading.broken(&error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        reading.thing.clone_from(&name);
        if ENTRY_BYTES_MAX < entry.size() {
            return Err(reading.damaged("it claims to be larger than any part is").into());
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| reading.broken(&error))?;
        if let Some(part) = reading.part(name, bytes)? {
            take(part)?;
        }
    }
    Ok(())
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reading {
    /// What is being read.
    thing: String,
    head: Option<Head>,
    manifest: Option<Manifest>,
    rows: BTreeMap<String, Counting>,
    files: Vec<Count>,
}

impl Reading {
    fn damaged(&self, reason: &str) -> ArchiveError {
        let thing = if self.thing.is_empty() { HEAD } else { &self.thing };
        ArchiveError::Damaged { thing: thing.to_owned(), reason: reason.to_owned() }
    }

    fn broken(&self, error: &io::Error) -> ArchiveError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.damaged("the file ends too early");
        }
        self.damaged(&error.to_string())
    }

    fn part(&mut self, name: String, bytes: Vec<u8>) -> Result<Option<Part>, ArchiveError> {
        if self.manifest.is_some() {
            return Err(self.damaged("it follows the manifest"));
        }
        let Some(head) = &self.head else {
            let head = self.parse_head(&name, &bytes)?;
            self.head = Some(head.clone());
            return Ok(Some(Part::Head(head)));
        };
        if name == MANIFEST {
            let manifest = serde_json::from_slice(&bytes);
            self.manifest = Some(manifest.map_err(|_| self.damaged("it is no manifest"))?);
            return Ok(None);
        }
        let table = match name.strip_prefix(TABLES) {
            Some(path) => path.split_once('/').map(|(table, _)| table),
            None => name.starts_with("log/").then_some(LOG),
        };
        let Some(table) = table else {
            let mut counting = Counting::default();
            counting.add(0, &bytes);
            self.files.push(counting.count(&name));
            return Ok(Some(Part::File { name, bytes }));
        };
        let shape = match table {
            LOG => Some(log_shape()),
            _ => head.tables.iter().find(|shape| shape.name == table).cloned(),
        };
        let shape = shape.ok_or_else(|| self.damaged("the head knows no such table"))?;
        let rows = store::check_rows(&shape, &bytes);
        let rows = rows.map_err(|error| self.damaged(&error.to_string()))?;
        self.rows.entry(table.to_owned()).or_default().add(rows, &bytes);
        Ok(Some(match table {
            LOG => Part::Log(bytes),
            _ => Part::Rows { table: shape, lines: bytes },
        }))
    }

    fn parse_head(&self, name: &str, bytes: &[u8]) -> Result<Head, ArchiveError> {
        if name != HEAD {
            return Err(self.damaged("the head is missing before it"));
        }
        let value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|_| self.damaged("it is no JSON"))?;
        let form = value.get("form").and_then(serde_json::Value::as_u64);
        let form = form.and_then(|form| u32::try_from(form).ok());
        match form {
            Some(found) if FORM < found => Err(ArchiveError::TooNew { found }),
            Some(_) => serde_json::from_value(value).map_err(|e| self.damaged(&e.to_string())),
            None => Err(self.damaged("it names no form")),
        }
    }

    /// 1 - There is a manifest, and it repeats the head.
    /// 2 - Each table, the log and each file are as the manifest says.
    fn finish(mut self) -> Result<Manifest, ArchiveError> {
        MANIFEST.clone_into(&mut self.thing);
        let manifest = self.manifest.take();
        let manifest = manifest.ok_or_else(|| self.damaged("it is missing: incomplete file"))?;
        if self.head.as_ref() != Some(&manifest.head) {
            return Err(self.damaged("it belongs to another head"));
        }
        let names = manifest.head.tables.iter().map(|table| &table.name);
        if !names.eq(manifest.counts.iter().map(|count| &count.name)) {
            return Err(self.damaged("it has other tables than the head"));
        }
        for said in manifest.counts.iter().chain([&manifest.log]) {
            let found = self.rows.get(&said.name).cloned().unwrap_or_default();
            let found = found.count(&said.name);
            if found != *said {
                self.thing = format!("table {}", said.name);
                let rows = (found.rows, said.rows);
                let reason = match rows {
                    (found, said) if found != said => {
                        format!("it has {found} rows and the manifest says {said}")
                    }
                    _ => "its checksum differs from the manifest's".to_owned(),
                };
                return Err(self.damaged(&reason));
            }
        }
        if self.files != manifest.files {
            "keys/".clone_into(&mut self.thing);
            return Err(self.damaged("its files are not those of the manifest"));
        }
        Ok(manifest)
    }
}

/// Hashes what is read, and keeps the end frame back for the comparison.
struct Withheld<R> {
    source: R,
    buffer: Vec<u8>,
    used: usize,
    digest: Sha256,
}

impl<R: Read> Withheld<R> {
    fn new(source: R) -> Withheld<R> {
        Withheld { source, buffer: Vec::new(), used: 0, digest: Sha256::new() }
    }

    /// Bytes that are surely before the end frame.
    fn fill(&mut self) -> io::Result<usize> {
        loop {
            let ready = self.buffer.len() - self.used;
            if END_BYTES < ready {
                return Ok(ready - END_BYTES);
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            let room = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
            if (&mut self.source).take(room).read_to_end(&mut self.buffer)? == 0 {
                return Ok(0);
            }
        }
    }

    /// Whether what is left is the end frame of what was read.
    fn is_whole(&self) -> bool {
        let left = self.buffer.get(self.used..).unwrap_or_default();
        let digest = self.digest.clone().finalize();
        debug_assert_eq!(digest.len(), DIGEST_BYTES);
        left.strip_prefix(&END).is_some_and(|found| *found == *digest)
    }
}

impl<R: Read> Read for Withheld<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill()?.min(to.len());
        let from = self.buffer.get(self.used..self.used + count).unwrap_or_default();
        if let Some(to) = to.get_mut(..count) {
            to.copy_from_slice(from);
        }
        self.digest.update(from);
        self.used += count;
        Ok(count)
    }
}
