//! What an agent lost: a gap that is told, stored and drawn as one.

use std::fmt;

use crate::UtcMicros;

/// Why an agent lost results that it had, or was to have.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DropCause {
    /// Its spool was full: the oldest went.
    Size,
    /// It lay in the spool for longer than it is kept.
    Age,
    /// What was written cannot be read back.
    Unreadable,
    /// The server refused it.
    Refused,
    /// The spool could not be written to.
    Unwritten,
    /// The agent could not keep up.
    Overrun,
    /// It bore names that its spool may no longer use.
    Renamed,
}

impl DropCause {
    pub const ALL: [DropCause; 7] = [
        DropCause::Size,
        DropCause::Age,
        DropCause::Unreadable,
        DropCause::Refused,
        DropCause::Unwritten,
        DropCause::Overrun,
        DropCause::Renamed,
    ];

    /// The code as stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            DropCause::Size => "size",
            DropCause::Age => "age",
            DropCause::Unreadable => "unreadable",
            DropCause::Refused => "refused",
            DropCause::Unwritten => "unwritten",
            DropCause::Overrun => "overrun",
            DropCause::Renamed => "renamed",
        }
    }

    pub fn parse(text: &str) -> Option<DropCause> {
        DropCause::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A time of which an agent lost what it had learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: UtcMicros,
    /// Not before `from`.
    pub to: UtcMicros,
    /// Rounds lost; at least so many where they cannot be counted any more.
    pub rounds: u64,
    pub cause: DropCause,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_pinned_and_read_back() {
        let texts = "size age unreadable refused unwritten overrun renamed";
        assert_eq!(DropCause::ALL.map(DropCause::as_str).join(" "), texts);
        for cause in DropCause::ALL {
            assert_eq!(DropCause::parse(cause.as_str()), Some(cause));
        }
    }
}
