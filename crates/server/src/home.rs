//! The data directory itself: who may enter it, who has it, and whether it is whole.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use store::Database;

use crate::config::DATABASE_FILE;

/// Only the server's user may look into the data directory.
const DIR_MODE: u32 = 0o700;
const MODE_MASK: u32 = 0o777;
/// Who holds a lock on this file has the directory.
const LOCK: &str = "lock";
/// Says which one of PostgreSQL it is, without what opens it.
const ELSEWHERE: &str = "database-elsewhere";
/// Stands in a data directory until a restore has filled it.
pub(crate) const UNFINISHED: &str = "restore-unfinished";

/// The first user.
pub(crate) const ADMIN: &str = "admin";
/// File with the first password, where no terminal was there to tell it to.
pub const FIRST_PASSWORD_FILE: &str = "first-password";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error(
        "cannot use `{}`: let it belong to this user (uid {}) on a disk that can be written, or \
         name another folder by --data-dir", path.display(), nix::unistd::geteuid()
    )]
    Dir {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{path}` has mode {mode:03o}, so others on this machine may look into it: run \
         `chmod 700 {path}`, or name a directory of the server's own",
        path = path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error(
        "`{}` is in use by another Faultline server{}: stop that one, or give this one another \
         --data-dir", path.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse { path: PathBuf, pid: Option<u32> },
    #[error(
        "the data directory belongs to the database {found}, and this start names {named}: set \
         DATABASE_URL as before; to move to another database, restore a backup into it \
         (docs/postgresql.md); to begin anew, take a new data directory"
    )]
    OtherDatabase { found: String, named: String },
    #[error(
        "`{}` is what a restore left that did not end: delete it, and restore again", path.display()
    )]
    Unfinished { path: PathBuf },
}

/// Takes a data directory, for as long as the value lives.
///
/// # Errors
///
/// [`HomeError::InUse`] if a server, a backup or a restore has it.
pub(crate) fn lock(data_dir: &Path) -> Result<Flock<fs::File>, HomeError> {
    let path = data_dir.join(LOCK);
    let fail = |source| HomeError::Dir { path: path.clone(), source };
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let locked = Flock::lock(file.map_err(fail)?, FlockArg::LockExclusiveNonblock);
    let mut lock = locked.map_err(|(_, _)| HomeError::InUse {
        path: data_dir.to_owned(),
        // Only a person reads it: without, the error says less.
        pid: fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()),
    })?;
    lock.set_len(0).map_err(fail)?;
    writeln!(lock, "{}", std::process::id()).map_err(fail)?;
    Ok(lock)
}

/// Says whether somebody has a data directory, and leaves no trace of having asked.
///
/// # Errors
///
/// If its lock cannot be read.
pub fn is_in_use(data_dir: &Path) -> io::Result<bool> {
    match fs::File::open(data_dir.join(LOCK)) {
        Ok(file) => Ok(Flock::lock(file, FlockArg::LockSharedNonblock).is_err()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses a data directory that a restore has not filled.
///
/// # Errors
///
/// [`HomeError::Unfinished`].
pub(crate) fn check_whole(data_dir: &Path) -> Result<(), HomeError> {
    if data_dir.join(UNFINISHED).exists() {
        return Err(HomeError::Unfinished { path: data_dir.to_owned() });
    }
    Ok(())
}

/// Refuses a database of another kind than the data directory was used with: keys, log and
/// database belong together, and a forgotten variable would begin an empty one.
///
/// # Errors
///
/// [`HomeError::OtherDatabase`].
pub(crate) fn check_database(data_dir: &Path, named: &Database) -> Result<(), HomeError> {
    let other = match named {
        Database::Sqlite(path) if path.exists() => None,
        Database::Sqlite(_) => fs::read_to_string(data_dir.join(ELSEWHERE)).ok(),
        Database::Postgres(_) => {
            let path = data_dir.join(DATABASE_FILE);
            path.exists().then(|| path.display().to_string())
        }
    };
    match other {
        None => Ok(()),
        Some(found) => {
            let found = found.trim().to_owned();
            Err(HomeError::OtherDatabase { found, named: named.to_string() })
        }
    }
}

/// Notes in a data directory that its database is elsewhere, for [`check_database`].
pub(crate) fn note_database(data_dir: &Path, database: &Database) -> Result<(), HomeError> {
    let Database::Postgres(url) = database else { return Ok(()) };
    let path = data_dir.join(ELSEWHERE);
    fs::write(&path, format!("{url}\n")).map_err(|source| HomeError::Dir { path, source })
}

/// Removes the file with the first password once `user`, if it is the first one, has another. One
/// that cannot be removed tells nobody's secret any more.
pub(crate) fn forget_first_password(data_dir: &Path, user: &str) {
    if user == ADMIN {
        fs::remove_file(data_dir.join(FIRST_PASSWORD_FILE)).unwrap_or(());
    }
}

/// Makes a directory that only its owner enters. An empty one was made for us and is closed to
/// others; one with content is somebody's: it is used if it is closed, and never changed.
pub(crate) fn make_private(dir: &Path) -> Result<(), HomeError> {
    let failed = |source| HomeError::Dir { path: dir.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).map_err(failed)?;
    let mode = fs::metadata(dir).map_err(failed)?.permissions().mode() & MODE_MASK;
    if mode & !DIR_MODE == 0 {
        return Ok(());
    }
    if fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(HomeError::Open { path: dir.to_owned(), mode });
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(DIR_MODE)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use store::DatabaseUrl;

    use super::*;
    use crate::config::database_of;

    #[test]
    fn a_data_directory_goes_with_the_kind_of_database_that_it_was_used_with() {
        let dir = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::parse("postgresql://a:s3cret@db.example.net/f").unwrap();
        let (file, server) = (database_of(dir.path(), None), database_of(dir.path(), Some(&url)));
        for named in [&file, &server] {
            check_database(dir.path(), named).unwrap();
        }
        note_database(dir.path(), &server).unwrap();
        check_database(dir.path(), &server).unwrap();
        // The variable was forgotten.
        let error = check_database(dir.path(), &file).unwrap_err().to_string();
        assert!(error.contains("belongs to the database PostgreSQL db.example.net:5432/f"));
        assert!(!error.contains("s3cret"), "{error}");
        fs::remove_file(dir.path().join(ELSEWHERE)).unwrap();
        fs::write(dir.path().join(DATABASE_FILE), "").unwrap();
        check_database(dir.path(), &file).unwrap();
        let error = check_database(dir.path(), &server).unwrap_err().to_string();
        assert!(error.contains("faultline.db, and this start names PostgreSQL"), "{error}");
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused_and_left_as_it_is() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("data");
        let mode = || fs::metadata(&dir).unwrap().permissions().mode() & MODE_MASK;
        let open = || fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
        make_private(&dir).unwrap();
        assert_eq!(mode(), DIR_MODE);
        open();
        make_private(&dir).unwrap();
        assert_eq!(mode(), DIR_MODE);
        fs::write(dir.join("somebodys"), "").unwrap();
        make_private(&dir).unwrap();
        open();
        let error = make_private(&dir).unwrap_err().to_string();
        assert!(error.contains("mode 750") && error.contains("chmod 700"), "{error}");
        assert_eq!(mode(), 0o750);
    }
}
