//! The first start: directories, the first user, the key for this machine's own command line.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use model::{Name, Role, UtcMicros};
use nix::fcntl::{Flock, FlockArg};
use store::{NewApiKey, NewUser, ORG_DEFAULT, Scope, Store, StoreError};

use crate::{
    app::{
        keys::{self, API_KEY_PREFIX, Secret},
        password::{self, NewPassword, PasswordError},
    },
    clock::Clock,
    config::Config,
    secrets::{SecretsError, write_secret_file},
};

/// Only the server's user may look into the data directory.
const DIR_MODE: u32 = 0o700;
const MODE_MASK: u32 = 0o777;
const ADMIN: &str = "admin";
const LOCAL_KEY: &str = "local";

/// Why the server cannot settle in its data directory.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
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
    #[error("there is no data of a server: `{}` does not exist", path.display())]
    NoData { path: PathBuf },
    #[error("there is no user named `{name}`")]
    NoUser { name: String },
    #[error("cannot write the user or the key")]
    Store(#[from] StoreError),
    #[error("cannot make a password")]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error("cannot make the local key: {reason}")]
    Key { reason: String },
}

/// What is said once and never again.
#[derive(Clone)]
pub struct FirstStart {
    pub admin_password: String,
}

impl std::fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FirstStart(..)")
    }
}

/// Makes the directories and takes the lock that keeps a second server out.
pub(crate) fn settle(config: &Config) -> Result<Flock<fs::File>, FirstError> {
    for dir in [&config.data_dir, &config.keys_dir()] {
        make_private(dir)?;
    }
    let path = config.data_dir.join("lock");
    let fail = |source| FirstError::Dir { path: path.clone(), source };
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let locked = Flock::lock(file.map_err(fail)?, FlockArg::LockExclusiveNonblock);
    let mut lock = locked.map_err(|(_, _)| FirstError::InUse {
        path: config.data_dir.clone(),
        // Only a person reads it: without, the error says less.
        pid: fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()),
    })?;
    lock.set_len(0).map_err(fail)?;
    writeln!(lock, "{}", std::process::id()).map_err(fail)?;
    Ok(lock)
}

/// Makes a directory that only its owner enters. An empty one was made for us and is closed to
/// others; one with content is somebody's: it is used if it is closed, and never changed.
fn make_private(dir: &Path) -> Result<(), FirstError> {
    let failed = |source| FirstError::Dir { path: dir.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).map_err(failed)?;
    let mode = fs::metadata(dir).map_err(failed)?.permissions().mode() & MODE_MASK;
    if mode & !DIR_MODE == 0 {
        return Ok(());
    }
    if fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(FirstError::Open { path: dir.to_owned(), mode });
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(DIR_MODE)).map_err(failed)
}

/// Creates the user `admin` if there is no user at all.
pub(crate) async fn first_user(
    store: &Store,
    now: UtcMicros,
) -> Result<Option<FirstStart>, FirstError> {
    let scope = Scope::system(ORG_DEFAULT);
    if store.user_count(&scope).await? != 0 {
        return Ok(None);
    }
    let new = NewPassword::generate()?;
    let admin_password = new.reveal().to_owned();
    let password_hash = password::hash(new).await?;
    let user = NewUser { name: name(ADMIN)?, role: Role::Admin, password_hash };
    store.user_create(&scope, &user, now).await?;
    Ok(Some(FirstStart { admin_password }))
}

/// Makes a new password for a user, without a server: who can write the data directory may.
///
/// Returns the password. The user's sessions end, and the audit says that the system did it.
///
/// # Errors
///
/// [`FirstError::InUse`] while a server runs on the directory; [`FirstError::NoData`] and
/// [`FirstError::NoUser`] if there is nothing to change.
pub async fn reset_password(config: &Config, user: &str) -> Result<String, FirstError> {
    let path = config.database_path();
    if !path.exists() {
        return Err(FirstError::NoData { path });
    }
    let _lock = settle(config)?;
    let store = Store::open(&path).await?;
    let scope = Scope::system(ORG_DEFAULT);
    let found = store.user_by_name(&scope, &name(user)?).await?;
    let found = found.ok_or_else(|| FirstError::NoUser { name: user.to_owned() })?.user;
    let new = NewPassword::generate()?;
    let text = new.reveal().to_owned();
    let hash = password::hash(new).await?;
    let now = Clock::system().now();
    store.user_set_password_hash(&scope, found.id, &hash, None, now).await?;
    store.close().await;
    Ok(text)
}

/// Makes the key for the command line on this machine, unless the one in its file still opens.
pub(crate) async fn local_key(
    store: &Store,
    config: &Config,
    now: UtcMicros,
) -> Result<(), FirstError> {
    let path = config.local_api_key_path();
    // A key that was deleted opens nothing: without a new one this machine would be locked out.
    if let Ok(text) = fs::read_to_string(&path)
        && store.api_key_find(&keys::hash(text.trim()), now).await?.is_some()
    {
        return Ok(());
    }
    let scope = Scope::system(ORG_DEFAULT);
    // One whose file was lost opens nothing any more.
    for key in store.api_key_list(&scope).await? {
        if key.name.as_str() == LOCAL_KEY {
            store.api_key_delete(&scope, key.id, now).await?;
        }
    }
    let secret = Secret::generate(API_KEY_PREFIX);
    let secret = secret.map_err(|error| FirstError::Key { reason: error.to_string() })?;
    let new = NewApiKey {
        name: name(LOCAL_KEY)?,
        key_hash: secret.hash,
        role: Role::Admin,
        permissions: None,
        expires_at: None,
    };
    store.api_key_create(&scope, &new, now).await?;
    // Secrets are never written over: what opens nothing goes first.
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(FirstError::Dir { path, source });
        }
        Ok(()) | Err(_) => (),
    }
    write_secret_file(&path, format!("{}\n", secret.text).as_bytes())?;
    Ok(())
}

fn name(text: &str) -> Result<Name, FirstError> {
    Name::parse(text).map_err(|error| FirstError::Key { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
