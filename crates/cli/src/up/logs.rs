//! The logs of both processes: opened, kept small while they are written, read at their end.
//!
//! The processes write by themselves and go on if this one dies; so a log is not renamed under
//! them but copied and emptied. What is said in between is lost, a line or two.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;

/// A log larger than this is set aside; one older one is kept.
const BYTES_MAX: u64 = 32 << 20;
/// How often it is looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// What is read at its end: more than its last lines have.
const TAIL_BYTES_MAX: u64 = 16 << 10;
/// Lines that are shown of it.
const LAST_LINES_MAX: usize = 5;

/// Opens a log, for a process that adds to it; with its length, behind which that process writes.
pub(super) fn open(path: &Path) -> anyhow::Result<(File, u64)> {
    bound(path, BYTES_MAX).with_context(|| format!("cannot set aside `{}`", path.display()))?;
    let context = || format!("cannot open the log `{}`", path.display());
    let file = OpenOptions::new().create(true).append(true).open(path).with_context(context)?;
    let length = file.metadata().with_context(context)?.len();
    Ok((file, length))
}

/// Sets every log of a folder aside that has grown too large. One that cannot be is looked at
/// again.
pub(super) fn look(folder: &Path) {
    for name in ["server.log", "agent.log"] {
        bound(&folder.join(name), BYTES_MAX).unwrap_or(());
    }
}

/// Empties a log that is too large; its content is kept beside it if there is room for that.
fn bound(path: &Path, bytes_max: u64) -> io::Result<()> {
    if fs::metadata(path).map_or(0, |meta| meta.len()) <= bytes_max {
        return Ok(());
    }
    let aside = path.with_extension("log.1");
    if fs::copy(path, &aside).is_err() {
        // A full disk is no reason to fill it further, nor is half a copy of use.
        fs::remove_file(&aside).unwrap_or(());
    }
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// The last lines of a log behind `from`, for a person who should not have to look for it.
pub(super) fn last_words(log: &Path, from: u64) -> String {
    let text = tail(log, from).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES_MAX)..].join("\n")
}

fn tail(log: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES_MAX))))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_is_bounded_while_a_process_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let mut log = open(&path).unwrap();
        log.0.write_all(b"first\n").unwrap();
        bound(&path, 6).unwrap();
        log.0.write_all(b"second\n").unwrap();
        bound(&path, 6).unwrap();
        log.0.write_all(b"third\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
        let aside = fs::read_to_string(dir.path().join("server.log.1")).unwrap();
        assert_eq!(aside, "first\nsecond\n");
    }

    #[test]
    fn the_last_words_of_a_long_log_are_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let text: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
        fs::write(&path, text).unwrap();
        let words = last_words(&path, 0);
        assert!(words.starts_with("line 9995\n") && words.ends_with("line 9999"), "{words}");
        assert_eq!(last_words(&dir.path().join("none"), 0), "");
        // What a process that was started now has said.
        let (mut file, from) = open(&path).unwrap();
        assert_eq!(last_words(&path, from), "");
        writeln!(file, "the port is taken").unwrap();
        assert_eq!(last_words(&path, from), "the port is taken");
    }
}
