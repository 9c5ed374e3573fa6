//! The part of Prometheus's query language that dashboards need. Pure.
//!
//! A query is read by [`parse`], which refuses what is not evaluated here, naming it and what to
//! write instead; [`evaluate`] works it out over series that somebody else has read. Every rule is
//! Prometheus's own but for two, because our values are of whole minutes or longer spans and not
//! points: a value lasts until the next one is due and no longer, and what a counter grew by is the
//! sum of what was counted, without a guess of what may lie beyond the window.

mod ast;
mod eval;
mod labels;
mod lex;
mod operate;
mod parse;
mod window;

pub(crate) use ast::{Query, Selector};
pub(crate) use eval::{Answer, Line, Steps, evaluate};
pub(crate) use labels::{Labels, NAME};
pub(crate) use parse::{parse, parse_selectors};
pub(crate) use window::Series;

/// Bytes of one query: a few hundred targets named one by one.
const QUERY_BYTES_MAX: usize = 16 * 1024;

/// Reads a duration such as `5m` or `1h30m`, in milliseconds.
pub(crate) fn parse_duration_ms(text: &str) -> Option<i64> {
    lex::duration_ms(text)
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It cannot be read, or asks for what is not supported.
    Bad,
    /// It was understood and cannot be worked out: too much, or values that do not fit together.
    Execution,
    /// It took longer than it may.
    Late,
}

impl Fault {
    pub(crate) fn bad(text: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Bad, text: text.into() }
    }

    pub(crate) fn execution(text: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Execution, text: text.into() }
    }

    pub(crate) fn late() -> Fault {
        let text = "the query took too long: ask for fewer targets, a longer step or a shorter \
                    range";
        Fault { kind: FaultKind::Late, text: text.to_owned() }
    }

    fn parse(text: impl AsRef<str>) -> Fault {
        Fault::bad(format!("parse error: {}", text.as_ref()))
    }

    /// Something of Prometheus's that is not evaluated here.
    fn unsupported(what: impl AsRef<str>, instead: &str) -> Fault {
        Fault::bad(format!("{} not supported: {instead}", what.as_ref()))
    }
}

fn unit_ms(unit: &str) -> Option<i64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "w" => Some(7 * 86_400_000),
        "y" => Some(365 * 86_400_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
