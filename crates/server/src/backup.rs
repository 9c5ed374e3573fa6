//! Making an archive: of a running server, or of a data directory that no server has open.
//!
//! 1 - The log is kept from being trimmed, and its last durable position is noted: everything
//!     acknowledged so far is at or before it.
//! 2 - Then one moment of the database is held. Whatever the log said of the inventory up to the
//!     noted position had been committed before, so the database of that moment knows it.
//! 3 - The archive holds the database, and the log from behind its newest checkpoint up to the
//!     noted position, or to where it was applied if that is later. A start replays exactly that.
//!
//! So the archive shows one moment, and nothing acknowledged before it is missing.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use journal::{Disk, Journal, JournalError, Position};
use model::{LogPosition, UtcMicros};
use store::{Database, DatabaseUrl, Dump, StoreError};
use tokio::sync::mpsc;

use crate::{
    archive::{
        self, AUTHORITY_CERTIFICATE, AUTHORITY_KEY, FORM, Head, Manifest, Piece, WriteError,
    },
    conductor::{ConductError, Conductor},
    config::database_of,
    home::{self, HomeError},
    log::{self, LogTail},
};

/// Rows read before they are handed on.
const PART_BYTES: usize = 1024 * 1024;
/// Parts that wait for the writer.
const PIECES_MAX: usize = 4;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("cannot read the database")]
    Store(#[from] StoreError),
    #[error("cannot read the log")]
    Log(#[from] JournalError),
    #[error("cannot read the log")]
    Conduct(#[from] ConductError),
    #[error("cannot use `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Archive(#[from] WriteError),
    #[error("`{}` has no database: is it a server's data directory?", path.display())]
    NoDatabase { path: PathBuf },
    #[error(
        "a server has `{}` open: leave out --offline to back it up while it runs", path.display()
    )]
    InUse { path: PathBuf },
    #[error(transparent)]
    Home(HomeError),
    #[error("what was written is no good backup: {problem}")]
    NotGood { problem: String },
}

/// One moment of an installation.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) dump: Dump,
    pub(crate) log: LogTail,
    pub(crate) data_dir: PathBuf,
    pub(crate) now: UtcMicros,
}

impl Source {
    /// Holds this moment of a running server.
    pub(crate) async fn of_running(
        store: &store::Store,
        conductor: &Conductor,
        data_dir: &Path,
        now: UtcMicros,
    ) -> Result<Source, BackupError> {
        let hold = conductor.log_hold().await?;
        let dump = store.dump().await?;
        let through = hold.last.max(dump.applied.position);
        let log = conductor.log_tail(dump.checkpoint, through, hold).await?;
        Ok(Source { dump, log, data_dir: data_dir.to_owned(), now })
    }
}

/// Writes an archive into `sink`, which may take its time.
///
/// # Errors
///
/// [`BackupError`]; what the sink has then is no archive.
pub(crate) async fn write<W: Write + Send + 'static>(
    source: Source,
    sink: W,
) -> Result<(W, Manifest), BackupError> {
    let Source { mut dump, log, data_dir, now } = source;
    let head = Head {
        form: FORM,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now.to_string(),
        organisations: dump.organisations.clone(),
        schema: dump.schema.clone(),
        position: dump.applied.position.0,
        checkpoint: dump.checkpoint.0,
        tables: dump.tables.clone(),
    };
    let (pieces, taken) = mpsc::channel(PIECES_MAX);
    let writer = tokio::task::spawn_blocking(move || archive::write(head, taken, sink));
    let produced = produce(&mut dump, log, &data_dir, &pieces).await;
    drop(pieces);
    let written = writer.await.map_err(|_| WriteError::GivenUp)?;
    match (produced, written) {
        (Ok(()), written) => Ok(written?),
        // The writer left first: it knows why.
        (Err(BackupError::Archive(WriteError::GivenUp)), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error),
    }
}

async fn produce(
    dump: &mut Dump,
    log: LogTail,
    data_dir: &Path,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), BackupError> {
    let send = async |piece| pieces.send(piece).await.map_err(|_| WriteError::GivenUp.into());
    for table in dump.tables.clone() {
        let mut rows = dump.rows(&table)?;
        while let Some(part) = rows.part(PART_BYTES).await? {
            send(Piece::Rows { table: table.name.clone(), part }).await?;
        }
    }
    for name in [AUTHORITY_CERTIFICATE, AUTHORITY_KEY] {
        let path = data_dir.join(name);
        let bytes = fs::read(&path).map_err(|source| BackupError::File { path, source })?;
        send(Piece::File { name, bytes }).await?;
    }
    send(Piece::Log(log)).await?;
    send(Piece::End).await
}

/// Backs up a data directory that no server has open into a new file.
///
/// # Errors
///
/// [`BackupError::InUse`] if a server has it open. Nothing is left at `to` then.
pub async fn backup_offline(
    data_dir: &Path,
    url: Option<&DatabaseUrl>,
    to: &Path,
    now: UtcMicros,
) -> Result<Manifest, BackupError> {
    let database = database_of(data_dir, url);
    home::check_database(data_dir, &database).map_err(BackupError::Home)?;
    let is_there = match &database {
        Database::Sqlite(path) => path.exists(),
        Database::Postgres(_) => data_dir.join("keys").exists(),
    };
    if !is_there {
        return Err(BackupError::NoDatabase { path: data_dir.to_owned() });
    }
    let _lock = home::lock(data_dir).map_err(|error| match error {
        HomeError::InUse { path, .. } => BackupError::InUse { path },
        error @ (HomeError::Dir { .. }
        | HomeError::Open { .. }
        | HomeError::OtherDatabase { .. }
        | HomeError::OtherInstallation { .. }
        | HomeError::Unfinished { .. }) => BackupError::Home(error),
    })?;
    let dump = Dump::open(&database).await?;
    let log_dir = data_dir.join("log");
    let (journal, _) = Journal::open(log_dir, log::options(dump.applied.position), Disk)?;
    let through = LogPosition(journal.next().0.saturating_sub(1));
    let reader = journal.read_from(Position(dump.checkpoint.0).next());
    let log = LogTail { reader, through, _hold: None };
    let source = Source { dump, log, data_dir: data_dir.to_owned(), now };
    into_file(source, to).await
}

/// Writes an archive into a new file beside `to`, reads it back, and only then gives it its name.
pub(crate) async fn into_file(source: Source, to: &Path) -> Result<Manifest, BackupError> {
    let partial = Partial::create(to)?;
    let unwritten = |source| BackupError::File { path: to.to_owned(), source };
    let (file, manifest) = write(source, partial.file().map_err(unwritten)?).await?;
    file.sync_all().map_err(unwritten)?;
    let path = partial.path.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let file = fs::File::open(&path);
        let file = file.map_err(|source| BackupError::File { path, source })?;
        let read = archive::read(file, |_| Ok::<(), archive::ArchiveError>(()));
        read.map_err(|error| BackupError::NotGood { problem: error.to_string() })
    });
    let found = checked.await.map_err(|_| WriteError::GivenUp)??;
    if found != manifest {
        return Err(BackupError::NotGood { problem: "it reads as another".to_owned() });
    }
    partial.finish(to).map_err(unwritten)?;
    Ok(manifest)
}

/// A file that is not complete yet. It goes if it does not become so.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    is_finished: bool,
}

/// The end of the name of a file that is not complete.
pub(crate) const PARTIAL: &str = ".partial";

impl Partial {
    /// Begins a file that will be called `to`.
    ///
    /// # Errors
    ///
    /// If `to` is there already, or its folder takes no file.
    pub fn create(to: &Path) -> Result<Partial, BackupError> {
        let fail = |source| BackupError::File { path: to.to_owned(), source };
        if to.exists() {
            return Err(fail(io::Error::new(io::ErrorKind::AlreadyExists, "it is there already")));
        }
        let mut path = to.as_os_str().to_owned();
        path.push(PARTIAL);
        let partial = Partial { path: path.into(), is_finished: false };
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, crate::secrets::SECRET_MODE);
        options.open(&partial.path).map_err(fail)?;
        Ok(partial)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it to write.
    ///
    /// # Errors
    ///
    /// As the operating system says.
    pub fn file(&self) -> io::Result<fs::File> {
        fs::OpenOptions::new().write(true).open(&self.path)
    }

    /// Gives it its name; the caller has synced its content.
    ///
    /// # Errors
    ///
    /// As the operating system says; then nothing is left.
    pub fn finish(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.is_finished = true;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed is overwritten the next time.
            fs::remove_file(&self.path).unwrap_or(());
        }
    }
}
