//! The data directory itself: who may enter it, who has it, and whether it is whole.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use store::Database;

use crate::{
    config::DATABASE_FILE,
    secrets::{self, SecretsError},
};

/// Only the server's user may look into the data directory.
const DIR_MODE: u32 = 0o700;
const MODE_MASK: u32 = 0o777;
/// Who holds a lock on this file has the directory.
const LOCK: &str = "lock";
/// Says which one of PostgreSQL it is, without what opens it, and of which installation.
const ELSEWHERE: &str = "database-elsewhere";
/// Before the name of an installation, in the second line: the database has it, or is about to.
const SETTLED: &str = "installation ";
const CLAIMED: &str = "claims ";
/// Of the name of an installation: enough that no two have the same.
const INSTALLATION_BYTES: usize = 8;
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
        "the data directory `{}` is of {ours} and the database {named} of {theirs}: keys, log and \
         database belong together. Set --data-dir and DATABASE_URL as before; to move to another \
         database, restore a backup into an empty one (docs/postgresql.md)", path.display()
    )]
    OtherInstallation { path: PathBuf, named: String, ours: String, theirs: String },
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
        Database::Sqlite(_) => Note::read(data_dir)?.map(|note| note.place),
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

/// What a data directory notes of its database, if that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Where it is, without what opens it.
    pub(crate) place: String,
    /// `None` of a directory that an older version used last.
    pub(crate) installation: Option<Installed>,
}

/// The name of an installation, as a data directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    /// Its database has the name.
    Settled(String),
    /// It is about to get it: a start that dies in between goes on with the same.
    Claimed(String),
}

impl Note {
    /// Reads it; `None` if there is none.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Note>, HomeError> {
        let path = data_dir.join(ELSEWHERE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| HomeError::Dir { path, source })?,
        };
        let mut lines = text.lines();
        let place = lines.next().unwrap_or_default().to_owned();
        let installation = lines.next().and_then(|line| {
            let settled = line.strip_prefix(SETTLED).map(|name| Installed::Settled(name.into()));
            settled.or_else(|| Some(Installed::Claimed(line.strip_prefix(CLAIMED)?.into())))
        });
        Ok(Some(Note { place, installation }))
    }

    /// Writes it durably, as a whole or not at all.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), HomeError> {
        let name = match &self.installation {
            None => String::new(),
            Some(Installed::Settled(name)) => format!("{SETTLED}{name}\n"),
            Some(Installed::Claimed(name)) => format!("{CLAIMED}{name}\n"),
        };
        let (path, new) = (data_dir.join(ELSEWHERE), data_dir.join(ELSEWHERE.to_owned() + ".new"));
        let write = || {
            let mut file = fs::File::create(&new)?;
            file.write_all(format!("{}\n{name}", self.place).as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            fs::File::open(data_dir)?.sync_all()
        };
        write().map_err(|source| HomeError::Dir { path: path.clone(), source })
    }
}

/// Makes a name for an installation.
pub(crate) fn installation_name() -> Result<String, SecretsError> {
    let bytes: [u8; INSTALLATION_BYTES] = secrets::random()?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// Says what a data directory, whose note names `ours`, and a database of `theirs` are together:
/// the name for both, to be noted and to be given, or a refusal.
///
/// 1 - The same name: they belong together.
/// 2 - Neither has one: `new` is for both. So an installation of an older version gets its name.
/// 3 - The directory is about to give its name, and the database has none: it is given.
/// 4 - Anything else is a mistake: the log of one beside the database of another.
///
/// # Errors
///
/// [`HomeError::OtherInstallation`].
pub(crate) fn joined(
    (data_dir, ours): (&Path, Option<&Installed>),
    (named, theirs): (&Database, Option<&str>),
    new: String,
) -> Result<String, HomeError> {
    let said = |name: Option<&str>| match name {
        Some(name) => format!("the installation {name}"),
        None => "no installation yet".to_owned(),
    };
    match (ours, theirs) {
        (None, None) => Ok(new),
        (Some(Installed::Claimed(ours)), None) => Ok(ours.clone()),
        (Some(Installed::Settled(ours) | Installed::Claimed(ours)), Some(theirs))
            if ours == theirs =>
        {
            Ok(ours.clone())
        }
        (_, theirs) => {
            let ours = ours.map(|(Installed::Settled(name) | Installed::Claimed(name))| &**name);
            Err(HomeError::OtherInstallation {
                path: data_dir.to_owned(),
                named: named.to_string(),
                ours: said(ours),
                theirs: said(theirs),
            })
        }
    }
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
        let place = server.to_string();
        let note = Note { place, installation: Some(Installed::Settled("a1".to_owned())) };
        note.write(dir.path()).unwrap();
        assert_eq!(Note::read(dir.path()).unwrap(), Some(note));
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

    /// What is noted, what the database says, and what comes of it.
    #[track_caller]
    fn check(ours: Option<Installed>, theirs: Option<&str>, expected: Result<&str, &str>) {
        let url = DatabaseUrl::parse("postgresql://a:s3cret@db.example.net/f").unwrap();
        let dir = Path::new("/data");
        let database = database_of(dir, Some(&url));
        let found = joined((dir, ours.as_ref()), (&database, theirs), "new1".to_owned());
        match (found, expected) {
            (Ok(name), Ok(expected)) => assert_eq!(name, expected),
            (Err(error), Err(expected)) => {
                let error = error.to_string();
                assert!(error.contains(expected) && error.contains("restore a backup"), "{error}");
                assert!(error.contains("`/data`") && error.contains("db.example.net"), "{error}");
                assert!(!error.contains("s3cret"), "{error}");
            }
            (found, expected) => panic!("{found:?} and not {expected:?}"),
        }
    }

    #[test]
    fn a_data_directory_goes_with_the_database_of_its_own_installation() {
        let settled = |name: &str| Some(Installed::Settled(name.to_owned()));
        let claimed = |name: &str| Some(Installed::Claimed(name.to_owned()));
        check(None, None, Ok("new1"));
        check(settled("a1"), Some("a1"), Ok("a1"));
        // A start died between the two.
        check(claimed("a1"), None, Ok("a1"));
        check(claimed("a1"), Some("a1"), Ok("a1"));
        check(settled("a1"), Some("b2"), Err("is of the installation a1 and the database Postgre"));
        check(settled("a1"), Some("b2"), Err("/f of the installation b2"));
        check(claimed("a1"), Some("b2"), Err("installation b2"));
        // The database is a new one, or the directory.
        check(settled("a1"), None, Err("/f of no installation yet"));
        check(None, Some("b2"), Err("is of no installation yet"));
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
