//! The archive: everything of an installation at one moment, in one file.
//!
//! # Form 1
//!
//! ```text
//! start   a skippable zstd frame that holds "FLTBKUP1"
//! body    one zstd frame with its checksum: a tar file
//! end     a skippable zstd frame that holds "FLTBKEND" and the SHA-256 of all bytes before it
//! ```
//!
//! So `zstd -dc FILE | tar -x` opens it without this program. The tar file has, in this order:
//!
//! ```text
//! head.json                   form, version, moment, schema, and the columns of every table
//! tables/NAME/00001.jsonl     rows, a JSON array a line (see the documentation of `store`)
//! keys/authority.crt          the authority's certificate
//! keys/authority.key.sealed   its key, sealed under the master key
//! log/00001.jsonl             the log's entries behind the checkpoint: [position, base64]
//! manifest.json               what was written: rows and SHA-256 of each table, of the log and of
//!                             each file
//! ```
//!
//! The manifest stands last because an archive is written while it is made, so an archive without
//! one is not complete. No byte is outside of a checksum. Rows say nothing of the database that
//! they come from or go to. The master key is never in an archive: what is sealed stays sealed.

mod read;
mod write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::LogPosition;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::{ColumnKind, ColumnShape, SchemaMark, TableShape};

use crate::authority::hex;

pub use read::{ArchiveError, Part, read};
pub use write::WriteError;
pub(crate) use write::{Piece, write};

/// The form that this version writes, and the newest that it reads.
pub const FORM: u32 = 1;
/// What programs call the bytes of an archive.
pub const MEDIA_TYPE: &str = "application/zstd";
/// The authority's files, as the data directory and the archive name them.
pub const AUTHORITY_CERTIFICATE: &str = "keys/authority.crt";
/// Likewise.
pub const AUTHORITY_KEY: &str = "keys/authority.key.sealed";
/// What is not in an archive, for the person who reads its manifest.
const LEFT_OUT: [&str; 5] = [
    "keys/master.key or ENCRYPTION_MASTER_KEY: keep it apart from the archive",
    "keys/local-api.key: made anew at the next start",
    "sessions: everybody signs in again",
    "the configuration file and the TLS files that it names",
    "the state of an agent on the server's host: it enrols again",
];

const HEAD: &str = "head.json";
const MANIFEST: &str = "manifest.json";
const TABLES: &str = "tables/";
const LOG: &str = "log";
/// A skippable frame's magic number, with the length of what it holds.
const START: [u8; 16] = *b"\x51\x2a\x4d\x18\x08\x00\x00\x00FLTBKUP1";
const END: [u8; 16] = *b"\x51\x2a\x4d\x18\x28\x00\x00\x00FLTBKEND";
const DIGEST_BYTES: usize = 32;
const END_BYTES: usize = END.len() + DIGEST_BYTES;

/// What an archive says before anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub form: u32,
    /// Of the program that wrote it.
    pub version: String,
    /// The moment that it shows, RFC 3339.
    pub created_at: String,
    pub organisations: Vec<String>,
    pub schema: SchemaMark,
    /// How far the log was applied.
    pub position: u64,
    /// The entries of the log begin behind it.
    pub checkpoint: u64,
    pub tables: Vec<TableShape>,
}

/// What an archive says last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The head again, in case somebody reads this alone.
    #[serde(flatten)]
    pub head: Head,
    /// In the order of [`Head::tables`].
    pub counts: Vec<Count>,
    pub log: Count,
    pub files: Vec<Count>,
    pub left_out: Vec<String>,
}

/// What was written of a table, the log or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub name: String,
    /// Of a file, zero.
    pub rows: u64,
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// All rows, of tables and log.
    pub fn rows_total(&self) -> u64 {
        self.counts.iter().map(|count| count.rows).sum::<u64>() + self.log.rows
    }
}

/// A count under way.
#[derive(Clone, Debug, Default)]
struct Counting {
    parts: u64,
    rows: u64,
    bytes: u64,
    digest: Sha256,
}

impl Counting {
    fn add(&mut self, rows: u64, bytes: &[u8]) {
        self.parts += 1;
        self.rows += rows;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.digest.update(bytes);
    }

    fn count(&self, name: &str) -> Count {
        Count {
            name: name.to_owned(),
            rows: self.rows,
            bytes: self.bytes,
            sha256: hex(&self.digest.clone().finalize()),
        }
    }
}

/// The log's entries as a table.
pub(crate) fn log_shape() -> TableShape {
    let column = |name: &str, kind| ColumnShape { name: name.to_owned(), kind };
    TableShape {
        name: LOG.to_owned(),
        columns: vec![column("position", ColumnKind::Integer), column("entry", ColumnKind::Bytes)],
    }
}

/// Writes an entry of the log as a row of [`log_shape`].
fn log_row(to: &mut Vec<u8>, position: u64, entry: &[u8]) {
    to.extend_from_slice(format!("[{position},\"{}\"]\n", STANDARD.encode(entry)).as_bytes());
}

/// Reads rows of [`log_shape`] back; `None` if one is none.
pub(crate) fn log_rows(lines: &[u8]) -> Option<Vec<(LogPosition, Vec<u8>)>> {
    let whole = lines.strip_suffix(b"\n")?;
    let row = |line| {
        let (position, entry): (u64, &str) = serde_json::from_slice(line).ok()?;
        Some((LogPosition(position), STANDARD.decode(entry).ok()?))
    };
    whole.split(|byte| *byte == b'\n').map(row).collect()
}
