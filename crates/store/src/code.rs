//! The numbers that stand for verdicts and causes in tables with many rows.
//!
//! They are pinned: a number, once written, never changes its meaning. Tables with few rows hold
//! the text forms of `model` instead.

use model::{Cause, NotAsked, Verdict};

/// Worst first, so that ascending order is the order people want.
const VERDICTS: [(Verdict, i16); 4] =
    [(Verdict::Down, 0), (Verdict::Degraded, 1), (Verdict::Unknown, 2), (Verdict::Up, 3)];

const CAUSES: [(Cause, i16); 22] = [
    (Cause::Answering, 1),
    (Cause::NoAnswer, 2),
    (Cause::Loss, 3),
    (Cause::Slow, 4),
    (Cause::Partial, 5),
    (Cause::Unconfirmed, 6),
    (Cause::NotYet, 7),
    (Cause::Silent, 8),
    (Cause::NoAgent, 9),
    (Cause::AgentOffline, 10),
    (Cause::AgentBlind, 11),
    (Cause::Paused, 12),
    (Cause::MonitorDown, 13),
    (Cause::Doubtful, 14),
    (Cause::Dropped, 15),
    (Cause::Expired, 16),
    (Cause::NotAsked(NotAsked::NoRoute), 21),
    (Cause::NotAsked(NotAsked::Permission), 22),
    (Cause::NotAsked(NotAsked::Resolver), 23),
    (Cause::NotAsked(NotAsked::BufferFull), 24),
    (Cause::NotAsked(NotAsked::Socket), 25),
    (Cause::NotAsked(NotAsked::Overrun), 26),
];

/// A number that no table holds: a cause or verdict that is missing above. A test keeps it unused.
const NONE: i16 = -1;

pub(crate) fn of_verdict(verdict: Verdict) -> i16 {
    let found = VERDICTS.iter().find(|(v, _)| *v == verdict);
    found.map_or(NONE, |(_, code)| *code)
}

pub(crate) fn verdict(code: i16) -> Option<Verdict> {
    let found = VERDICTS.iter().find(|(_, c)| *c == code);
    found.map(|(verdict, _)| *verdict)
}

pub(crate) fn of_cause(cause: Cause) -> i16 {
    let found = CAUSES.iter().find(|(c, _)| *c == cause);
    found.map_or(NONE, |(_, code)| *code)
}

pub(crate) fn cause(code: i16) -> Option<Cause> {
    let found = CAUSES.iter().find(|(_, c)| *c == code);
    found.map(|(cause, _)| *cause)
}

pub(crate) fn of_not_asked(reason: NotAsked) -> i16 {
    of_cause(Cause::NotAsked(reason))
}

pub(crate) fn not_asked(code: i16) -> Option<NotAsked> {
    match cause(code)? {
        Cause::NotAsked(reason) => Some(reason),
        Cause::Answering
        | Cause::NoAnswer
        | Cause::Loss
        | Cause::Slow
        | Cause::Partial
        | Cause::Unconfirmed
        | Cause::NotYet
        | Cause::Silent
        | Cause::NoAgent
        | Cause::AgentOffline
        | Cause::AgentBlind
        | Cause::Paused
        | Cause::MonitorDown
        | Cause::Doubtful
        | Cause::Dropped
        | Cause::Expired => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_number() {
        for v in Verdict::ALL {
            assert_eq!(verdict(of_verdict(v)), Some(v));
        }
        for c in Cause::ALL {
            assert_eq!(cause(of_cause(c)), Some(c), "{c}");
        }
        assert_eq!(not_asked(of_not_asked(NotAsked::Socket)), Some(NotAsked::Socket));
        assert_eq!(not_asked(of_cause(Cause::Slow)), None);
    }
}
