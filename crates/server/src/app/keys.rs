//! Secrets that callers show: session tokens and API keys. Only their hashes are kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{ApiKeyId, Name, Role, UtcMicros};
use sha2::{Digest, Sha256};
use store::{ApiKeyRow, NewApiKey, Scope, TokenHash};

use super::{App, AppError};

/// Starts every API key, so that people and secret scanners recognise one.
pub const API_KEY_PREFIX: &str = "flk_";
/// 256 bits: not to be guessed, so a plain hash of it is safe to keep.
const SECRET_BYTES: usize = 32;

/// A secret with its hash. The text is shown once and never kept.
pub struct Secret {
    pub text: String,
    pub hash: TokenHash,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Makes a new secret of which the text starts with `prefix`.
    ///
    /// # Errors
    ///
    /// If the machine has no randomness.
    pub fn generate(prefix: &str) -> Result<Secret, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes));
        let hash = hash(&text);
        Ok(Secret { text, hash })
    }
}

/// Returns what is kept of a secret.
pub fn hash(text: &str) -> TokenHash {
    Sha256::digest(text.as_bytes()).into()
}

impl App {
    /// Creates an API key; the second value is its text, which exists nowhere else.
    pub(crate) async fn api_key_create(
        &self,
        scope: &Scope,
        name: Name,
        role: Role,
        permissions: Option<String>,
        expires_at: Option<UtcMicros>,
    ) -> Result<(ApiKeyRow, String), AppError> {
        let secret = Secret::generate(API_KEY_PREFIX).map_err(AppError::internal)?;
        let new = NewApiKey { name, key_hash: secret.hash, role, permissions, expires_at };
        let row = self.store.api_key_create(scope, &new, self.clock.now()).await?;
        Ok((row, secret.text))
    }

    pub(crate) async fn api_keys(&self, scope: &Scope) -> Result<Vec<ApiKeyRow>, AppError> {
        Ok(self.store.api_key_list(scope).await?)
    }

    pub(crate) async fn api_key_delete(&self, scope: &Scope, id: ApiKeyId) -> Result<(), AppError> {
        Ok(self.store.api_key_delete(scope, id, self.clock.now()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_and_never_the_same() {
        let [one, two] = [(); 2].map(|()| Secret::generate(API_KEY_PREFIX).expect("randomness"));
        assert!(one.text.starts_with("flk_"));
        assert_eq!(one.text.len(), "flk_".len() + 43);
        assert_ne!(one.text, two.text);
        assert_eq!(one.hash, hash(&one.text));
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }
}
