//! Passwords: argon2id, off the runtime's threads, a few at a time.
//!
//! It does not know users; it turns a password into a text to store, and compares.

use std::sync::LazyLock;

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::phc::PasswordHash,
};
use tokio::sync::Semaphore;

use crate::secrets::{SecretsError, random};

/// NIST SP 800-63B asks for at least 8; a monitoring server on the open Internet for more.
pub const CHARS_MIN: usize = 12;
/// Hashing time must not grow with what a stranger sends.
pub const BYTES_MAX: usize = 256;

/// OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Each hash takes 19 MiB and a core for some 30 ms: more at once would starve the rest.
const HASHES_AT_ONCE_MAX: usize = 2;

/// No letters that look like digits or like each other: it is read from a screen and typed.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 20 letters of 32: 100 bits.
const GENERATED_LETTERS: usize = 20;

static SLOTS: Semaphore = Semaphore::const_new(HASHES_AT_ONCE_MAX);

/// A hash of nobody's password, so that an unknown user costs the same time as a known one.
static NOBODY: LazyLock<Option<String>> =
    LazyLock::new(|| hash_now(b"the password of nobody").ok());

/// Why a password could not be hashed; never because of the password itself.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("cannot hash the password: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("the hashing task did not end")]
    Task,
}

/// A password that is long enough. It never shows itself.
pub struct NewPassword(String);

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

impl NewPassword {
    /// Parses what a person chose.
    ///
    /// # Errors
    ///
    /// The rule that is broken, as a text for that person.
    pub fn parse(text: &str) -> Result<NewPassword, String> {
        if text.chars().count() < CHARS_MIN {
            return Err(format!("must have at least {CHARS_MIN} characters"));
        }
        if BYTES_MAX < text.len() {
            return Err(format!("must have at most {BYTES_MAX} bytes"));
        }
        Ok(NewPassword(text.to_owned()))
    }

    /// Makes one that nobody can guess, to be shown once.
    ///
    /// # Errors
    ///
    /// [`SecretsError`] if the machine has no randomness.
    pub fn generate() -> Result<NewPassword, SecretsError> {
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        Ok(NewPassword(random::<GENERATED_LETTERS>()?.into_iter().map(letter).collect()))
    }

    /// The password itself, for the one who is told it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Returns the text to store (PHC string format) for a password.
///
/// # Errors
///
/// [`PasswordError`] if the machine cannot: no memory, no randomness.
pub async fn hash(password: NewPassword) -> Result<String, PasswordError> {
    slotted(move || hash_now(password.0.as_bytes())).await?
}

/// Returns whether `password` is the one of `stored`. Takes as long if there is no such user.
///
/// # Errors
///
/// [`PasswordError::Task`] if the machine cannot compare.
pub async fn verify(password: String, stored: Option<String>) -> Result<bool, PasswordError> {
    if BYTES_MAX < password.len() {
        return Ok(false);
    }
    let compare = move || {
        let is_known = stored.is_some();
        let against = stored.or_else(|| NOBODY.clone()).unwrap_or_default();
        let is_equal = PasswordHash::new(&against).is_ok_and(|hash| {
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
        });
        is_known && is_equal
    };
    slotted(compare).await
}

/// Runs `work` in a slot. The work keeps the slot to its end, even if the caller hangs up: else
/// strangers who hang up at once would have any number of hashes under way.
async fn slotted<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let slot = SLOTS.acquire().await.map_err(|_| PasswordError::Task)?;
    let task = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(slot);
        done
    });
    task.await.map_err(|_| PasswordError::Task)
}

fn hash_now(password: &[u8]) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| PasswordError::Hash(error.into()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password(password).map_err(PasswordError::Hash)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_same_password_matches() {
        let password = NewPassword::parse("correct horse battery").expect("long enough");
        let stored = hash(password).await.expect("hashes");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let verify = async |text: &str, stored| verify(text.to_owned(), stored).await;
        assert!(verify("correct horse battery", Some(stored.clone())).await.expect("compares"));
        assert!(!verify("correct horse batterY", Some(stored)).await.expect("compares"));
        assert!(!verify("the password of nobody", None).await.expect("compares"));
    }

    #[tokio::test]
    async fn a_caller_who_hangs_up_does_not_free_the_slot() {
        let (end, ended) = std::sync::mpsc::sync_channel::<()>(1);
        let mut work = Box::pin(slotted(move || ended.recv()));
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(work.as_mut().poll(context)));
        assert!(polled.await.is_pending());
        drop(work);
        assert!(SLOTS.available_permits() < HASHES_AT_ONCE_MAX);
        end.send(()).expect("the work goes on");
    }

    #[test]
    fn a_generated_password_is_long_and_no_other() {
        let [a, b] = [(); 2].map(|()| NewPassword::generate().expect("randomness"));
        assert!(NewPassword::parse(a.reveal()).is_ok() && a.reveal().len() == GENERATED_LETTERS);
        assert_ne!(a.reveal(), b.reveal());
    }

    #[test]
    fn length_is_counted_in_characters_and_capped_in_bytes() {
        assert!(NewPassword::parse("elf letters").is_err());
        assert!(NewPassword::parse("zwölf Zeichn").is_ok());
        assert!(NewPassword::parse(&"x".repeat(BYTES_MAX + 1)).is_err());
    }
}
