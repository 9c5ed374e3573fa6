//! The one-time token that an operator copies from the server to a new agent.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::files::unhex;

/// What every token starts with: the product and the version of the form.
const PREFIX: &str = "flt1.";
/// A token with several long addresses stays far below.
const TEXT_BYTES_MAX: usize = 4096;
/// Addresses that are tried for one server.
const ADDRESSES_MAX: usize = 8;

/// What a token says.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Where the server is dialled, `host:port`, in the order to try.
    pub addresses: Vec<String>,
    /// SHA-256 of the server's authority, by which the server is known at the first contact.
    pub fingerprint: [u8; 32],
    /// Proves once that the operator wanted this agent.
    pub secret: String,
}

/// Without the secret, which is good for an identity.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "this is no token: it starts with `{PREFIX}`. Copy the whole line that \
         `faultline agent create NAME` or the console shows"
    )]
    NoToken,
    #[error(
        "the token is incomplete or changed ({0}): copy it again, in one piece and without line \
         breaks"
    )]
    Broken(&'static str),
}

#[derive(serde::Deserialize)]
struct Body {
    a: Vec<String>,
    f: String,
    s: String,
}

impl Token {
    /// Parses what the operator pasted.
    ///
    /// # Errors
    ///
    /// [`TokenError`] says what to do about it. It never repeats the text, which is a secret.
    pub fn parse(text: &str) -> Result<Token, TokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(TokenError::NoToken)?;
        if TEXT_BYTES_MAX < encoded.len() {
            return Err(TokenError::Broken("it is too long"));
        }
        let json = URL_SAFE_NO_PAD.decode(encoded);
        let json = json.map_err(|_| TokenError::Broken("a character is wrong or missing"))?;
        let body: Body = serde_json::from_slice(&json)
            .map_err(|_| TokenError::Broken("a part of it is missing"))?;
        let fingerprint = unhex(&body.f).and_then(|bytes| bytes.try_into().ok());
        let fingerprint = fingerprint.ok_or(TokenError::Broken("its fingerprint is damaged"))?;
        if body.a.is_empty() || ADDRESSES_MAX < body.a.len() {
            return Err(TokenError::Broken("it names no address of the server"));
        }
        if !body.a.iter().all(|address| wire::is_host_port(address)) {
            return Err(TokenError::Broken("an address of the server is not `host:port`"));
        }
        if body.s.is_empty() {
            return Err(TokenError::Broken("its secret is missing"));
        }
        Ok(Token { addresses: body.a, fingerprint, secret: body.s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(json: &str) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    #[track_caller]
    fn check_broken(text: &str, part: &str) {
        let error = Token::parse(text).expect_err("is no token").to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn a_token_comes_back_as_it_was_made() {
        let f = "ab".repeat(32);
        let text = token(&format!(r#"{{"a":["192.0.2.1:7481","[::1]:7481"],"f":"{f}","s":"x"}}"#));
        let expected = Token {
            addresses: vec!["192.0.2.1:7481".to_owned(), "[::1]:7481".to_owned()],
            fingerprint: [0xab; 32],
            secret: "x".to_owned(),
        };
        assert_eq!(Token::parse(&format!(" {text}\n")), Ok(expected));
    }

    #[test]
    fn what_is_wrong_with_a_token_is_said() {
        let f = "ab".repeat(32);
        check_broken("hello", "starts with `flt1.`");
        check_broken("flt1.ab*", "a character is wrong");
        check_broken(&token("{}"), "a part of it is missing");
        check_broken(&token(r#"{"a":["a:1"],"f":"ab","s":"x"}"#), "fingerprint");
        check_broken(&token(&format!(r#"{{"a":[],"f":"{f}","s":"x"}}"#)), "no address");
        check_broken(&token(&format!(r#"{{"a":["a:1"],"f":"{f}","s":""}}"#)), "secret");
        for address in ["a", "a:0", "a:99999", ":1", "::1:7481"] {
            let json = format!(r#"{{"a":["{address}"],"f":"{f}","s":"x"}}"#);
            check_broken(&token(&json), "not `host:port`");
        }
        check_broken(&format!("flt1.{}", "A".repeat(5_000)), "too long");
    }
}
