//! Bringing an installation back from an archive.
//!
//! Everything is written into a folder beside the data directory, made durable, and only then
//! takes its name. Until its last file is durable a mark stands in that folder, and no server
//! starts where the mark is. So at every instant there is either no data directory or a whole one,
//! or one with the mark: a database of PostgreSQL is committed when nothing else is left that could
//! fail, which is after the folder has its name.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use journal::{Disk, Journal, JournalError, Position};
use model::LogPosition;
use nix::fcntl::Flock;
use store::{Database, DatabaseUrl, Load, StoreError};
use tokio::sync::mpsc;

use crate::{
    archive::{self, AUTHORITY_CERTIFICATE, AUTHORITY_KEY, ArchiveError, Manifest, Part, log_rows},
    authority::{Authority, AuthorityError},
    config::database_of,
    home::{self, HomeError, Installed, Note, UNFINISHED},
    log,
    secrets::{MasterKey, Secrets, SecretsError, write_secret_file},
};

/// Parts of the archive that wait to be written.
const PARTS_MAX: usize = 4;
/// The end of the name of the folder that is being filled.
const STAGING: &str = ".restoring";
/// Entries of the log made durable at once.
const LOG_SYNC_ENTRIES: u64 = 10_000;

/// Why nothing was restored. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("cannot read `{}`", path.display())]
    Source {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("this file cannot be restored")]
    Archive(#[from] ArchiveError),
    #[error(
        "`{}` is not empty: give a new data directory, or move this one aside first", path.display()
    )]
    NotEmpty { path: PathBuf },
    #[error(
        "`{path}` is a file system of its own, which cannot be replaced as a whole: restore into \
         a folder in it, such as `{path}/data`",
        path = path.display()
    )]
    MountPoint { path: PathBuf },
    #[error(
        "`{}` is in the way and has no mark of an unfinished restore: it may be a whole data \
         directory; look at it, then rename or delete it", path.display()
    )]
    Foreign { path: PathBuf },
    #[error("another restore is filling `{}`", path.display())]
    UnderWay { path: PathBuf },
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error("cannot fill the database")]
    Store(#[from] StoreError),
    #[error("cannot write the log")]
    Log(#[from] JournalError),
    #[error("the key given is not the one that this backup was sealed under")]
    Key(#[source] AuthorityError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error("the restore was interrupted")]
    Interrupted,
}

/// The master key that goes with an archive.
#[derive(Clone, Copy, Debug)]
pub enum GivenKey<'a> {
    /// Whoever starts the server puts it into its place.
    None,
    /// It comes from the environment: it is checked, and not written anywhere.
    Check(&'a MasterKey),
    /// It is checked, and written where a server looks for it.
    Put(&'a MasterKey),
}

/// Restores the archive at `from` into `data_dir`, which must not be there or be empty; its
/// database into the one that `url` names, which must be empty, or into a file there.
///
/// # Errors
///
/// [`RestoreError`] with its remedy; then `data_dir` is as it was.
pub async fn restore(
    from: &Path,
    data_dir: &Path,
    url: Option<&DatabaseUrl>,
    key: GivenKey<'_>,
) -> Result<Manifest, RestoreError> {
    let unreadable = |source| RestoreError::Source { path: from.to_owned(), source };
    let file = fs::File::open(from).map_err(unreadable)?;
    restore_from(file, data_dir, url, key).await
}

/// As [`restore`], from anything that can be read.
///
/// # Errors
///
/// As [`restore`].
pub async fn restore_from(
    source: impl io::Read + Send + 'static,
    data_dir: &Path,
    url: Option<&DatabaseUrl>,
    key: GivenKey<'_>,
) -> Result<Manifest, RestoreError> {
    let mut staging = Staging::create(data_dir)?;
    let (parts, mut taken) = mpsc::channel(PARTS_MAX);
    let reading = tokio::task::spawn_blocking(move || {
        archive::read(source, |part| {
            parts.blocking_send(part).map_err(|_| RestoreError::Interrupted)
        })
    });
    let database = database_of(&staging.dir, url);
    let mut filling =
        Filling { dir: staging.dir.clone(), database, load: None, log: Log::default() };
    let mut filled = Ok(());
    while let Some(part) = taken.recv().await {
        filled = filling.take(part).await;
        if filled.is_err() {
            break;
        }
    }
    drop(taken);
    let read = reading.await.map_err(|_| RestoreError::Interrupted)?;
    let manifest = match (filled, read) {
        (Ok(()), read) => read?,
        (Err(error), _) => return Err(error),
    };
    use_key(&staging.dir, key)?;
    let database = filling.database.clone();
    let (load, installation) = filling.settle()?;
    match &database {
        Database::Sqlite(path) => {
            load.finish(None).await?;
            sync(path)?;
            staging.unmark()?;
            staging.place(data_dir)?;
            staging.is_finished = true;
        }
        Database::Postgres(_) => {
            staging.place(data_dir)?;
            load.finish(installation.as_deref()).await?;
            staging.is_finished = true;
            staging.unmark()?;
        }
    }
    Ok(manifest)
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> RestoreError {
    move |source| RestoreError::Write { path: path.to_owned(), source }
}

/// What is being filled.
#[derive(Debug)]
struct Filling {
    dir: PathBuf,
    database: Database,
    load: Option<Load>,
    log: Log,
}

impl Filling {
    async fn take(&mut self, part: Part) -> Result<(), RestoreError> {
        match part {
            Part::Head(head) => {
                self.log.dir = self.dir.join("log");
                self.log.behind = head.position.max(head.checkpoint);
                self.load = Some(Load::create(&self.database, &head.schema).await?);
            }
            Part::Rows { table, lines } => {
                let load = self.load.as_mut().ok_or(RestoreError::Interrupted)?;
                load.rows(&table, &lines).await?;
            }
            Part::Log(lines) => self.log.append(&lines)?,
            // A name that no version writes is nothing to make a file of.
            Part::File { name, bytes } => match name.as_str() {
                AUTHORITY_CERTIFICATE | AUTHORITY_KEY => {
                    write_secret_file(&self.dir.join(&name), &bytes)?;
                }
                _ => tracing::warn!(name, "the archive has a file that this version leaves out"),
            },
        }
        Ok(())
    }

    /// Makes everything but the database whole, and says the name that is to be given to it: what
    /// is restored is an installation of its own, with a log of its own from here on.
    fn settle(self) -> Result<(Load, Option<String>), RestoreError> {
        self.log.end()?;
        let load = self.load.ok_or(RestoreError::Interrupted)?;
        let mut named = None;
        if let Database::Postgres(url) = &self.database {
            let name = home::installation_name()?;
            let installation = Some(Installed::Settled(name.clone()));
            Note { place: url.to_string(), installation }.write(&self.dir)?;
            named = Some(name);
        }
        Ok((load, named))
    }
}

/// The log on its way back, at the positions it had.
#[derive(Debug, Default)]
struct Log {
    dir: PathBuf,
    journal: Option<Journal>,
    unsynced: u64,
    /// What is applied already: the next entry comes behind it.
    behind: u64,
}

impl Log {
    fn append(&mut self, lines: &[u8]) -> Result<(), RestoreError> {
        let damaged = || ArchiveError::Damaged {
            thing: "log".to_owned(),
            reason: "its entries are not in their order".to_owned(),
        };
        for (position, entry) in log_rows(lines).ok_or_else(damaged)? {
            let mut journal = match self.journal.take() {
                // Entries that were lost to damage before leave a hole, here as there.
                Some(journal) if journal.next().0 == position.0 => journal,
                journal => {
                    self.journal = journal;
                    self.finish()?;
                    let before = LogPosition(position.0.saturating_sub(1));
                    Journal::open(&self.dir, log::options(before), Disk)?.0
                }
            };
            if journal.append(&entry)? != Position(position.0) {
                return Err(damaged().into());
            }
            self.unsynced += 1;
            if self.unsynced == LOG_SYNC_ENTRIES {
                journal.sync()?;
                self.unsynced = 0;
            }
            self.journal = Some(journal);
        }
        Ok(())
    }

    /// Leaves a log that a server goes on with, also if there was no entry.
    fn end(mut self) -> Result<(), RestoreError> {
        self.finish()?;
        Journal::open(&self.dir, log::options(LogPosition(self.behind)), Disk)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), RestoreError> {
        if let Some(mut journal) = self.journal.take() {
            journal.sync()?;
        }
        Ok(())
    }
}

fn use_key(dir: &Path, given: GivenKey<'_>) -> Result<(), RestoreError> {
    let (GivenKey::Check(key) | GivenKey::Put(key)) = given else {
        return Ok(());
    };
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read(&path).map_err(write_error(&path))
    };
    let (pem, sealed) = (read(AUTHORITY_CERTIFICATE)?, read(AUTHORITY_KEY)?);
    let path = dir.join(AUTHORITY_CERTIFICATE);
    let checked = Authority::check(&pem, &sealed, &Secrets::new(key), &path);
    checked.map_err(RestoreError::Key)?;
    if matches!(given, GivenKey::Put(_)) {
        write_secret_file(&dir.join("keys/master.key"), key.to_text().as_bytes())?;
    }
    Ok(())
}

fn sync(path: &Path) -> Result<(), RestoreError> {
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(write_error(path))
}

/// The folder that becomes the data directory. It goes if it does not.
#[derive(Debug)]
struct Staging {
    dir: PathBuf,
    parent: PathBuf,
    /// An empty data directory that it replaced.
    replaced: Option<PathBuf>,
    is_finished: bool,
    _lock: Flock<fs::File>,
}

impl Staging {
    fn create(data_dir: &Path) -> Result<Staging, RestoreError> {
        let (parent, dir) = places(data_dir)?;
        check_target(data_dir, &parent)?;
        if dir.exists() {
            clear(&dir)?;
        }
        home::make_private(&dir)?;
        let mark = dir.join(UNFINISHED);
        fs::write(&mark, "").map_err(write_error(&mark))?;
        sync(&mark)?;
        sync(&dir)?;
        sync(&parent)?;
        home::make_private(&dir.join("keys"))?;
        let lock = lock(&dir)?;
        Ok(Staging { dir, parent, replaced: None, is_finished: false, _lock: lock })
    }

    /// Gives the folder the name of the data directory, durably.
    fn place(&mut self, data_dir: &Path) -> Result<(), RestoreError> {
        for dir in ["keys", "log", ""].map(|name| self.dir.join(name)) {
            if dir.exists() {
                sync(&dir)?;
            }
        }
        let was_there = data_dir.exists();
        // Replaces an empty directory, and nothing else.
        fs::rename(&self.dir, data_dir).map_err(write_error(data_dir))?;
        data_dir.clone_into(&mut self.dir);
        self.replaced = was_there.then(|| data_dir.to_owned());
        sync(&self.parent)
    }

    /// Takes the mark away that no server starts over, durably.
    fn unmark(&self) -> Result<(), RestoreError> {
        let mark = self.dir.join(UNFINISHED);
        fs::remove_file(&mark).map_err(write_error(&mark))?;
        sync(&self.dir)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed keeps its mark, and the next restore clears it.
            fs::remove_dir_all(&self.dir).unwrap_or(());
            if let Some(replaced) = &self.replaced {
                home::make_private(replaced).unwrap_or(());
            }
        }
    }
}

fn lock(dir: &Path) -> Result<Flock<fs::File>, RestoreError> {
    home::lock(dir).map_err(|error| match error {
        HomeError::InUse { path, .. } => RestoreError::UnderWay { path },
        error @ (HomeError::Dir { .. }
        | HomeError::Open { .. }
        | HomeError::OtherDatabase { .. }
        | HomeError::OtherInstallation { .. }
        | HomeError::Unfinished { .. }) => RestoreError::Home(error),
    })
}

/// The folder that `data_dir` is in, and the one to fill beside it.
fn places(data_dir: &Path) -> Result<(PathBuf, PathBuf), RestoreError> {
    let absolute = std::path::absolute(data_dir).map_err(write_error(data_dir))?;
    let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "it has no parent");
    let parent = absolute.parent().ok_or_else(|| write_error(data_dir)(nowhere()))?;
    let name = absolute.file_name().ok_or_else(|| write_error(data_dir)(nowhere()))?;
    fs::create_dir_all(parent).map_err(write_error(parent))?;
    let mut staging = name.to_owned();
    staging.push(STAGING);
    Ok((parent.to_owned(), parent.join(staging)))
}

fn check_target(data_dir: &Path, parent: &Path) -> Result<(), RestoreError> {
    let path = data_dir.to_owned();
    let mut entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(write_error(data_dir)(error)),
    };
    let device = |dir: &Path| fs::metadata(dir).map(|meta| meta.dev()).map_err(write_error(dir));
    if device(data_dir)? != device(parent)? {
        return Err(RestoreError::MountPoint { path });
    }
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(RestoreError::NotEmpty { path }),
    }
}

/// Removes what an interrupted restore left.
fn clear(dir: &Path) -> Result<(), RestoreError> {
    let is_ours = dir.join(UNFINISHED).exists();
    let is_empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    if !is_ours && !is_empty {
        return Err(RestoreError::Foreign { path: dir.to_owned() });
    }
    if is_ours {
        drop(lock(dir)?);
    }
    fs::remove_dir_all(dir).map_err(write_error(dir))
}
