//! The first start: directories, the first user, the key for this machine's own command line.

use std::{fs, io, path::PathBuf};

use model::{Name, Role, UtcMicros};
use nix::fcntl::Flock;
use store::{Database, NewApiKey, NewUser, ORG_DEFAULT, Scope, Store, StoreError};

use crate::{
    app::{
        keys::{self, API_KEY_PREFIX, Secret},
        password::{self, NewPassword, PasswordError},
    },
    clock::Clock,
    config::Config,
    home::{self, HomeError, Installed, Note},
    secrets::{SecretsError, write_secret_file},
};

/// What the timeline and the audit call whoever types on the server's own machine: not `local`, as
/// the agent beside the server is called.
const LOCAL_KEY: &str = "server-shell";

/// Why the server cannot settle in its data directory.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    #[error(transparent)]
    Home(#[from] HomeError),
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
    home::check_whole(&config.data_dir)?;
    home::check_database(&config.data_dir, &config.database())?;
    for dir in [&config.data_dir, &config.keys_dir()] {
        home::make_private(dir)?;
    }
    Ok(home::lock(&config.data_dir)?)
}

/// Refuses a database of PostgreSQL that belongs to another data directory, and notes which one
/// it is. A file of SQLite lies in its own.
///
/// # Errors
///
/// [`HomeError::OtherInstallation`].
pub(crate) async fn join(config: &Config, store: &Store) -> Result<(), FirstError> {
    let database = config.database();
    let Database::Postgres(url) = &database else { return Ok(()) };
    let dir = &config.data_dir;
    let ours = Note::read(dir)?.and_then(|note| note.installation);
    let theirs = store.installation().await?;
    let (here, there) = ((&**dir, ours.as_ref()), (&database, theirs.as_deref()));
    let name = home::joined(here, there, home::installation_name()?)?;
    let note = |installation| Note { place: url.to_string(), installation: Some(installation) };
    if theirs.is_none() {
        note(Installed::Claimed(name.clone())).write(dir)?;
        store.installation_claim(&name).await?;
    }
    Ok(note(Installed::Settled(name)).write(dir)?)
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
    let user = NewUser { name: name(home::ADMIN)?, role: Role::Admin, password_hash };
    store.user_create(&scope, &user, now).await?;
    Ok(Some(FirstStart { admin_password }))
}

/// Makes a new password for a user, without a server: who can write the data directory may.
///
/// Returns the password. The user's sessions end, and the audit says that the system did it.
///
/// # Errors
///
/// [`HomeError::InUse`] while a server runs on the directory; [`FirstError::NoData`] and
/// [`FirstError::NoUser`] if there is nothing to change.
pub async fn reset_password(config: &Config, user: &str) -> Result<String, FirstError> {
    let database = config.database();
    let path = match &database {
        Database::Sqlite(path) => path.clone(),
        Database::Postgres(_) => config.keys_dir(),
    };
    if !path.exists() {
        return Err(FirstError::NoData { path });
    }
    let _lock = settle(config)?;
    let store = Store::open_at(&database).await?;
    join(config, &store).await?;
    let scope = Scope::system(ORG_DEFAULT);
    let found = store.user_by_name(&scope, &name(user)?).await?;
    let found = found.ok_or_else(|| FirstError::NoUser { name: user.to_owned() })?.user;
    let new = NewPassword::generate()?;
    let text = new.reveal().to_owned();
    let hash = password::hash(new).await?;
    let now = Clock::system().now();
    store.user_set_password_hash(&scope, found.id, &hash, None, now).await?;
    store.close().await;
    home::forget_first_password(&config.data_dir, found.name.as_str());
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
            return Err(HomeError::Dir { path, source }.into());
        }
        Ok(()) | Err(_) => (),
    }
    write_secret_file(&path, format!("{}\n", secret.text).as_bytes())?;
    Ok(())
}

fn name(text: &str) -> Result<Name, FirstError> {
    Name::parse(text).map_err(|error| FirstError::Key { reason: error.to_string() })
}
