//! Names that operators give to things.

use std::fmt;

/// A name that an operator gave to something.
///
/// Invariant: 1 to 63 bytes; ASCII letters, digits, `-`, `_`, `.`; starts with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has at least one character")]
    Empty,
    #[error("a name has at most {} bytes; this one has {length_bytes}", Name::BYTES_MAX)]
    TooLong { length_bytes: usize },
    #[error("a name starts with a letter or a digit")]
    BadStart,
    #[error("a name has only letters, digits, `-`, `_` and `.`; byte {offset_bytes} is another")]
    BadByte { offset_bytes: usize },
}

impl Name {
    /// As long as a DNS label, so that a name can become one.
    pub const BYTES_MAX: usize = 63;

    /// Parses operator input. This is the only way to make a `Name`.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule of the invariant is broken.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        let Some(first) = text.bytes().next() else {
            return Err(NameError::Empty);
        };
        if Name::BYTES_MAX < text.len() {
            return Err(NameError::TooLong { length_bytes: text.len() });
        }
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::BadStart);
        }
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        match text.bytes().position(|b| !is_allowed(b)) {
            Some(offset_bytes) => Err(NameError::BadByte { offset_bytes }),
            None => Ok(Name(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), NameError>) {
        assert_eq!(Name::parse(text).map(|_| ()), expected);
    }

    #[test]
    fn names_an_operator_would_type() {
        check("core1.fra", Ok(()));
        check("8.8.8.8", Ok(()));
        check("pop_north-2", Ok(()));
    }

    #[test]
    fn each_broken_rule_is_named() {
        check("", Err(NameError::Empty));
        check("-x", Err(NameError::BadStart));
        check("a b", Err(NameError::BadByte { offset_bytes: 1 }));
        check("café", Err(NameError::BadByte { offset_bytes: 3 }));
        check(&"a".repeat(63), Ok(()));
        check(&"a".repeat(64), Err(NameError::TooLong { length_bytes: 64 }));
    }
}
