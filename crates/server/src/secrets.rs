//! Random bytes, and secrets at rest: sealed under one master key.
//!
//! The master key comes from `ENCRYPTION_MASTER_KEY` or from `keys/master.key`, made on the first
//! start with mode 0600. Whatever is sealed is bound to a context, so that a sealed value moved to
//! another place does not open. It deliberately knows nothing of passwords: those are hashed.

use std::{fmt, fs, io, io::Write as _, os::unix::fs as unix, path::Path, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};

/// Bytes of a master key: what XChaCha20-Poly1305 takes.
pub const MASTER_KEY_BYTES: usize = 32;
/// The name of the environment variable that replaces the key file.
pub const MASTER_KEY_VARIABLE: &str = "ENCRYPTION_MASTER_KEY";

const NONCE_BYTES: usize = 24;
/// First byte of everything sealed, so that the format can change.
const FORMAT: u8 = 1;
/// A key file is 44 characters and a line feed; a longer one is not ours.
const KEY_FILE_BYTES_MAX: u64 = 128;
/// What is sealed first of all. Where it is without its key, a new key would open nothing.
const SEALED_SIBLING: &str = "authority.key.sealed";
const MODE_MASK: u32 = 0o777;
/// Only the owner may read or write.
pub const SECRET_MODE: u32 = 0o600;

/// Why secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("cannot use `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{path}` has mode {mode:03o}, so others may read it: run `chmod 600 {path}`, and change \
         the key if somebody may have copied it",
        path = path.display()
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "{origin} is not a key: it must be 32 bytes in base64 (`head -c32 /dev/urandom | base64`)"
    )]
    NotAKey { origin: String },
    #[error(
        "`{}` is missing and there are secrets sealed under it: put it back from where you keep \
         it, or set {MASTER_KEY_VARIABLE}", path.display()
    )]
    Missing { path: PathBuf },
    #[error("the operating system gave no random bytes: {reason}")]
    Random { reason: String },
    #[error("cannot seal `{context}`")]
    Seal { context: &'static str },
    #[error(
        "cannot open the sealed `{context}`: the master key is another one than it was sealed \
         under, or the file is damaged; restore keys/master.key (or {MASTER_KEY_VARIABLE})"
    )]
    Open { context: &'static str },
}

/// 32 bytes that open everything else. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; MASTER_KEY_BYTES]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Reads a key in base64; `origin` is named if it is none.
    ///
    /// # Errors
    ///
    /// [`SecretsError::NotAKey`].
    pub fn parse(text: &str, origin: &str) -> Result<MasterKey, SecretsError> {
        let not_a_key = || SecretsError::NotAKey { origin: origin.to_owned() };
        let bytes = STANDARD.decode(text.trim()).map_err(|_| not_a_key())?;
        bytes.try_into().map(MasterKey).map_err(|_| not_a_key())
    }

    /// Reads a key file that only its owner may read; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`SecretsError::Mode`], [`SecretsError::NotAKey`] or [`SecretsError::File`].
    pub fn read(path: &Path) -> Result<Option<MasterKey>, SecretsError> {
        let Some(content) = read_secret_file(path)? else {
            return Ok(None);
        };
        let is_short = u64::try_from(content.len()).is_ok_and(|n| n <= KEY_FILE_BYTES_MAX);
        let text = String::from_utf8(content).ok().filter(|_| is_short).unwrap_or_default();
        MasterKey::parse(&text, &format!("`{}`", path.display())).map(Some)
    }

    /// As a key file holds it.
    pub(crate) fn to_text(&self) -> String {
        format!("{}\n", STANDARD.encode(self.0))
    }
}

/// Fills `N` bytes from the operating system.
///
/// # Errors
///
/// [`SecretsError::Random`]: then nothing secret can be made.
pub fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| SecretsError::Random { reason: error.to_string() })?;
    Ok(bytes)
}

/// Ends the name of a secret file that is not whole yet.
const UNFINISHED: &str = "new";

/// Writes a new file that only its owner may read, durably and as a whole or not at all: a half
/// written key would be taken for a key at every later start.
///
/// # Errors
///
/// [`SecretsError::File`], also if the file is there already.
pub fn write_secret_file(path: &Path, content: &[u8]) -> Result<(), SecretsError> {
    let write = || {
        // The lock on the data directory keeps everybody else away from these names.
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let unfinished = path.with_added_extension(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => (),
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        unix::OpenOptionsExt::mode(&mut options, SECRET_MODE);
        let mut file = options.open(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let Some(directory) = path.parent() else {
            return Ok(());
        };
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(|source| SecretsError::File { path: path.to_owned(), source })
}

/// Reads a file that only its owner may read; `None` if there is none.
///
/// # Errors
///
/// [`SecretsError::Mode`] if others may read it, [`SecretsError::File`] if it cannot be read.
pub fn read_secret_file(path: &Path) -> Result<Option<Vec<u8>>, SecretsError> {
    let unreadable = |source| SecretsError::File { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mode = unix::PermissionsExt::mode(&metadata.permissions()) & MODE_MASK;
    if mode & !SECRET_MODE != 0 {
        return Err(SecretsError::Mode { path: path.to_owned(), mode });
    }
    fs::read(path).map(Some).map_err(unreadable)
}

/// Seals and opens.
#[derive(Clone)]
pub struct Secrets {
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    pub fn new(key: &MasterKey) -> Secrets {
        Secrets { cipher: XChaCha20Poly1305::new(&key.0.into()) }
    }

    /// Takes the given key, or the key file, which is made if it is not there and nothing is
    /// sealed yet.
    ///
    /// # Errors
    ///
    /// [`SecretsError`] with its remedy.
    pub fn load(given: Option<&MasterKey>, path: &Path) -> Result<Secrets, SecretsError> {
        if let Some(key) = given {
            return Ok(Secrets::new(key));
        }
        if let Some(key) = MasterKey::read(path)? {
            return Ok(Secrets::new(&key));
        }
        if path.with_file_name(SEALED_SIBLING).exists() {
            return Err(SecretsError::Missing { path: path.to_owned() });
        }
        let key = MasterKey(random()?);
        write_secret_file(path, key.to_text().as_bytes())?;
        Ok(Secrets::new(&key))
    }

    /// Seals `plain` for one context.
    ///
    /// # Errors
    ///
    /// [`SecretsError::Random`] or [`SecretsError::Seal`].
    pub fn seal(&self, context: &'static str, plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: plain, aad: context.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SecretsError::Seal { context })?;
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// Opens what [`Secrets::seal`] made for the same context.
    ///
    /// # Errors
    ///
    /// [`SecretsError::Open`] if the key, the context or a byte is another.
    pub fn open(&self, context: &'static str, sealed: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let fail = || SecretsError::Open { context };
        let (&format, rest) = sealed.split_first().ok_or_else(fail)?;
        let (nonce, msg) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(fail)?;
        if format != FORMAT {
            return Err(fail());
        }
        let payload = Payload { msg, aad: context.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| fail())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn sealed_for_one_context_opens_for_no_other() {
        let secrets = Secrets::new(&MasterKey([7; 32]));
        let sealed = secrets.seal("authority", b"a key").unwrap();
        assert_eq!(secrets.open("authority", &sealed).unwrap(), b"a key");
        assert!(secrets.open("session", &sealed).is_err());
        assert!(Secrets::new(&MasterKey([8; 32])).open("authority", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[index] ^= 1;
            assert!(secrets.open("authority", &bent).is_err());
        }
        assert!(secrets.open("authority", &[]).is_err());
    }

    #[test]
    fn the_key_file_is_made_once_and_refused_if_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let sealed = Secrets::load(None, &path).unwrap().seal("x", b"y").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secrets::load(None, &path).unwrap().open("x", &sealed).unwrap(), b"y");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Secrets::load(None, &path).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_crash_while_a_secret_is_written_leaves_none_and_the_next_start_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("local-api.key");
        // What a crash between creating and writing leaves.
        fs::write(dir.path().join("local-api.key.new"), "").unwrap();
        assert_eq!(read_secret_file(&path).unwrap(), None);
        write_secret_file(&path, b"whole").unwrap();
        assert_eq!(read_secret_file(&path).unwrap().as_deref(), Some(&b"whole"[..]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_secret_file(&path, b"another").is_err());
    }

    #[test]
    fn a_lost_key_is_not_replaced_by_one_that_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        fs::write(dir.path().join(SEALED_SIBLING), "sealed").unwrap();
        let error = Secrets::load(None, &path).unwrap_err().to_string();
        assert!(error.contains("put it back"), "{error}");
        assert!(!path.exists());
        assert!(Secrets::load(Some(&MasterKey([1; 32])), &path).is_ok());
    }

    #[test]
    fn a_given_key_must_be_32_bytes_of_base64() {
        assert!(MasterKey::parse(&STANDARD.encode([1; 32]), "it").is_ok());
        for text in ["", "abc", &STANDARD.encode([1; 31]), &"A".repeat(500)] {
            let error = MasterKey::parse(text, "ENCRYPTION_MASTER_KEY").unwrap_err();
            assert!(error.to_string().starts_with("ENCRYPTION_MASTER_KEY is not a key"));
        }
    }
}
