//! Backups: one for whoever asks and may, and one from time to time into a folder.
//!
//! One at a time: each holds a moment of the database and all of the log behind it.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use model::UtcMicros;
use store::{AuditEntry, ORG_DEFAULT, Scope};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;

use super::{App, AppError, FieldError};
use crate::{
    backup::{self, BackupError, PARTIAL, Source},
    config::BackupConfig,
    metrics::in_float,
};

pub(crate) use crate::archive::MEDIA_TYPE;

/// Bytes that are sent at once, and how many such pieces wait for the one who reads.
const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS_MAX: usize = 16;
/// Who takes nothing for as long has gone: the log and the database must not be held for them.
const STALL_MAX: Duration = Duration::from_secs(60);
/// After a failure it is tried again sooner than the next one would be due.
const RETRY_AFTER: Duration = Duration::from_secs(15 * 60);
const NAME_START: &str = "faultline-";
const NAME_END: &str = ".tar.zst";

/// A backup that was made into the folder and read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupDone {
    pub(crate) at: UtcMicros,
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// How the scheduled backups fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackupState {
    /// The newest in the folder, also of an earlier run of the server.
    pub(crate) done: Option<BackupDone>,
    /// When and why the last attempt failed; `None` after one that did not.
    pub(crate) failed: Option<(UtcMicros, String)>,
    /// `None` until the folder was looked at.
    next_at: Option<UtcMicros>,
}

#[derive(Debug)]
pub(super) struct Backups {
    turn: Arc<Semaphore>,
    state: Mutex<BackupState>,
    tasks: TaskTracker,
}

impl Default for Backups {
    fn default() -> Backups {
        Backups {
            turn: Arc::new(Semaphore::new(1)),
            state: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }
}

/// An archive on its way to whoever asked. An error ends it: what was sent is no archive then.
pub(crate) struct BackupStream {
    /// What to call the file.
    pub(crate) name: String,
    pub(crate) chunks: ReceiverStream<io::Result<Bytes>>,
}

impl App {
    /// Begins a backup of this moment for whoever asked.
    pub(crate) async fn backup_stream(&self, scope: &Scope) -> Result<BackupStream, AppError> {
        let turn = Arc::clone(&self.backups.turn).try_acquire_owned().map_err(|_| {
            let reason = "another backup is being made: wait until it is done";
            AppError::Conflict(FieldError::new("", reason))
        })?;
        let now = self.clock.now();
        let name = file_name(now);
        self.backup_audit(scope, "backup.download", &name, None, now).await?;
        let source = self.backup_source(now).await.map_err(AppError::internal)?;
        let (chunks, taken) = mpsc::channel(CHUNKS_MAX);
        let sink =
            ChunkSink { chunks: chunks.clone(), full: Vec::new(), runtime: Handle::current() };
        let metrics = self.conductor.clone();
        self.backups.tasks.spawn(async move {
            let _turn = turn;
            match backup::write(source, sink).await {
                Ok((_, manifest)) => {
                    tracing::info!(rows = manifest.rows_total(), "a backup was downloaded");
                }
                Err(error) => {
                    metrics.metrics().backup_failures.inc();
                    let error = crate::chain(&error);
                    tracing::warn!(%error, "a backup was not downloaded");
                    // Without an end the other side must not take it for a whole one.
                    chunks.send(Err(io::Error::other(error))).await.unwrap_or(());
                }
            }
        });
        Ok(BackupStream { name, chunks: ReceiverStream::new(taken) })
    }

    /// How the scheduled backups fare.
    pub(crate) fn backup_state(&self) -> BackupState {
        self.backups.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a backup into the configured folder if one is due.
    ///
    /// 1 - One is due as long after the newest in the folder as configured; at once if there is
    ///     none. So a restart changes nothing.
    /// 2 - After a failure it is tried again in [`RETRY_AFTER`], or when due if that is sooner.
    /// 3 - Only when the new one was read back are the oldest beyond the number to keep removed.
    pub(crate) async fn backup_if_due(&self) -> Result<(), BackupError> {
        let Some(config) = &self.config.backup else {
            return Ok(());
        };
        let now = self.clock.now();
        let next_at = self.backup_state().next_at;
        let next_at = match next_at {
            Some(next_at) => next_at,
            None => self.backup_look(config, now),
        };
        let Ok(_turn) = self.backups.turn.try_acquire() else {
            return Ok(()); // Once the one under way is done.
        };
        if now < next_at {
            return Ok(());
        }
        let made = self.backup_into(config, now).await;
        let mut state = self.backups.state.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(done) => {
                state.next_at = Some(now + config.every);
                state.failed = None;
                state.done = Some(done);
                self.conductor.metrics().backups.inc();
                drop(state);
                self.backup_levels();
                Ok(())
            }
            Err(error) => {
                state.next_at = Some(now + RETRY_AFTER.min(config.every));
                state.failed = Some((now, crate::chain(&error)));
                self.conductor.metrics().backup_failures.inc();
                Err(error)
            }
        }
    }

    /// Finds out from the folder what an earlier run has done, and when the next one is due.
    fn backup_look(&self, config: &BackupConfig, now: UtcMicros) -> UtcMicros {
        // A folder that cannot be read fails when the backup is made, with its reason.
        let newest = backups_in(&config.dir).unwrap_or_default().pop();
        let next_at = newest.as_ref().map_or(now, |newest| newest.at + config.every);
        let mut state = self.backups.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done = newest;
        state.next_at = Some(next_at);
        drop(state);
        self.backup_levels();
        next_at
    }

    async fn backup_into(
        &self,
        config: &BackupConfig,
        now: UtcMicros,
    ) -> Result<BackupDone, BackupError> {
        let unusable = |source| BackupError::File { path: config.dir.clone(), source };
        fs::create_dir_all(&config.dir).map_err(unusable)?;
        remove_partial(&config.dir).map_err(unusable)?;
        let name = file_name(now);
        let path = config.dir.join(&name);
        let manifest = backup::into_file(self.backup_source(now).await?, &path).await?;
        let bytes = fs::metadata(&path).map_err(unusable)?.len();
        let rows = manifest.rows_total();
        tracing::info!(path = %path.display(), bytes, rows, "backup made and read back");
        let scope = Scope::system(ORG_DEFAULT);
        self.backup_audit(&scope, "backup.create", &name, Some(bytes), now).await?;
        let mut kept = backups_in(&config.dir).map_err(unusable)?;
        kept.truncate(kept.len().saturating_sub(usize::try_from(config.keep).unwrap_or(0)));
        for old in kept {
            fs::remove_file(config.dir.join(&old.name)).map_err(unusable)?;
            tracing::info!(name = old.name, "old backup removed");
        }
        Ok(BackupDone { at: now, name, bytes })
    }

    async fn backup_source(&self, now: UtcMicros) -> Result<Source, BackupError> {
        Source::of_running(&self.store, &self.conductor, &self.config.data_dir, now).await
    }

    async fn backup_audit(
        &self,
        scope: &Scope,
        action: &'static str,
        name: &str,
        bytes: Option<u64>,
        now: UtcMicros,
    ) -> Result<(), store::StoreError> {
        let entry = AuditEntry {
            action,
            object_kind: "backup",
            object_id: None,
            object_name: name,
            before: None,
            after: bytes.map(|bytes| serde_json::json!({ "bytes": bytes })),
        };
        self.store.audit_append(scope, &entry, now).await
    }

    fn backup_levels(&self) {
        let Some(done) = self.backup_state().done else {
            return;
        };
        let levels = &self.conductor.metrics().levels;
        let seconds = u64::try_from(done.at.0 / 1_000_000).unwrap_or(0);
        levels.backup_at_seconds.set(in_float(seconds));
        levels.backup_bytes.set(in_float(done.bytes));
    }
}

/// `faultline-20261121T055400Z.tar.zst`: sorts by time.
fn file_name(at: UtcMicros) -> String {
    let text = at.to_string();
    let seconds = text.split_once('.').map_or(text.trim_end_matches('Z'), |(seconds, _)| seconds);
    format!("{NAME_START}{}Z{NAME_END}", seconds.replace(['-', ':'], ""))
}

/// When a file of this name was made; `None` for what is none of ours.
fn made_at(name: &str) -> Option<UtcMicros> {
    let text = name.strip_prefix(NAME_START)?.strip_suffix(NAME_END)?;
    let mut rfc = String::new();
    for (index, letter) in text.chars().enumerate() {
        match index {
            4 | 6 => rfc.push('-'),
            11 | 13 => rfc.push(':'),
            _ => (),
        }
        rfc.push(letter);
    }
    UtcMicros::parse(&rfc).filter(|at| file_name(*at) == name)
}

/// Our files in a folder, oldest first.
fn backups_in(dir: &Path) -> io::Result<Vec<BackupDone>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue; // None of ours.
        };
        if let Some(at) = made_at(&name) {
            found.push(BackupDone { at, name, bytes: entry.metadata()?.len() });
        }
    }
    found.sort_by_key(|backup| backup.at);
    Ok(found)
}

/// Removes what a server that was killed has left half-written.
fn remove_partial(dir: &Path) -> io::Result<()> {
    let is_partial = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_suffix(PARTIAL)).and_then(made_at).is_some()
    };
    let paths = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(is_partial).try_for_each(fs::remove_file)
}

/// Hands an archive on in pieces, as fast as they are taken.
struct ChunkSink {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    full: Vec<u8>,
    runtime: Handle,
}

impl ChunkSink {
    fn send(&mut self) -> io::Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.full));
        // On a thread of its own, which may wait.
        match self.runtime.block_on(timeout(STALL_MAX, self.chunks.send(Ok(bytes)))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes it")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it was not taken in time")),
        }
    }
}

impl Write for ChunkSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full.extend_from_slice(bytes);
        if CHUNK_BYTES <= self.full.len() {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.full.is_empty() { Ok(()) } else { self.send() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_nothing_else_is_ours() {
        let at = UtcMicros::parse("2026-11-21T05:54:00.123456Z").expect("a time");
        assert_eq!(file_name(at), "faultline-20261121T055400Z.tar.zst");
        assert_eq!(made_at(&file_name(at)), UtcMicros::parse("2026-11-21T05:54:00Z"));
        for name in [
            "faultline-20261121T055400Z.tar.zst.partial",
            "faultline-20261121T055400Z.tar",
            "faultline-before-upgrade.tar.zst",
            "faultline-20261321T055400Z.tar.zst",
            "other-20261121T055400Z.tar.zst",
        ] {
            assert_eq!(made_at(name), None, "{name}");
        }
    }
}
