//! What a person types or pastes, and small texts of the API.

use agent::Token;
use model::{Address, Name, UtcMicros};
use server::{Config, Overrides, secrets::MasterKey};
use store::RoundCursor;

/// Bytes that are no text never get here: what reads them has refused them.
fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

pub(crate) fn token(bytes: &[u8]) -> bool {
    let Ok(token) = Token::parse(text_of(bytes)) else { return false };
    assert!(!token.addresses.is_empty() && !token.secret.is_empty(), "an empty part");
    assert!(!format!("{token:?}").contains(&format!("\"{}\"", token.secret)), "the secret is told");
    true
}

pub(crate) fn address(bytes: &[u8]) -> bool {
    let Ok(address) = Address::parse(text_of(bytes)) else { return false };
    assert_eq!(Address::parse(&address.to_string()), Ok(address), "written and read");
    true
}

pub(crate) fn name(bytes: &[u8]) -> bool {
    let Ok(name) = Name::parse(text_of(bytes)) else { return false };
    assert_eq!(Name::parse(name.as_str()), Ok(name), "written and read");
    true
}

pub(crate) fn time(bytes: &[u8]) -> bool {
    let Some(time) = UtcMicros::parse(text_of(bytes)) else { return false };
    assert_eq!(UtcMicros::parse(&time.to_string()), Some(time), "written and read");
    true
}

pub(crate) fn cursor(bytes: &[u8]) -> bool {
    let Some(cursor) = RoundCursor::parse(text_of(bytes)) else { return false };
    assert_eq!(RoundCursor::parse(&cursor.to_string()), Some(cursor), "written and read");
    true
}

pub(crate) fn master_key(bytes: &[u8]) -> bool {
    let Ok(key) = MasterKey::parse(text_of(bytes), "here") else { return false };
    assert_eq!(format!("{key:?}"), "MasterKey(..)");
    true
}

/// What `--print-config` prints is a configuration, and prints the same.
pub(crate) fn server_config(bytes: &[u8]) -> bool {
    let nothing = |_: &str| None;
    let Ok(config) = Config::resolve(text_of(bytes), &nothing, &Overrides::default()) else {
        return false;
    };
    let text = config.to_text();
    let again = Config::resolve(&text, &nothing, &Overrides::default());
    let again = again.unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again.to_text(), text, "printed and read");
    true
}

pub(crate) fn agent_config(bytes: &[u8]) -> bool {
    agent::fuzz::config(bytes)
}
