//! Signatures of messages, as [Standard Webhooks](https://www.standardwebhooks.com) has them: a
//! receiver checks them with a library of its own language.
//!
//! Signed is `ID.TIMESTAMP.BODY`, so that a message that was overheard cannot be sent again later
//! or changed: a receiver refuses times that are minutes away, and ids it has seen.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secrets::{SecretsError, random};

/// Bytes of a new key: what HMAC-SHA-256 has no use for more of.
const KEY_BYTES: usize = 32;
/// The text of a key begins with this, so that it is recognised.
const PREFIX: &str = "whsec_";

/// What messages to one webhook are signed with. Never printed but to who made it.
#[derive(Clone)]
pub(crate) struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    pub(crate) fn generate() -> Result<Key, SecretsError> {
        Ok(Key(random::<KEY_BYTES>()?.to_vec()))
    }

    /// Reads a key's text.
    pub(super) fn parse(text: &str) -> Option<Key> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (!bytes.is_empty()).then_some(Key(bytes))
    }

    pub(crate) fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &str) -> Option<String> {
        // A key of any length is one.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn a_signature_is_what_the_specification_says() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_key_is_never_the_same_and_never_shown_by_accident() {
        let [one, two] = [(); 2].map(|()| Key::generate().unwrap());
        assert_ne!(one.to_text(), two.to_text());
        assert_eq!(Key::parse(&one.to_text()).unwrap().to_text(), one.to_text());
        assert_eq!(format!("{one:?}"), "Key(…)");
        for bad in ["", "whsec_", "whsec_?", "abc"] {
            assert!(Key::parse(bad).is_none(), "{bad}");
        }
    }
}
