//! What is known at one moment: the evidence that a judgement is made of.
//!
//! It carries evidence, not verdicts: rounds as they came in, facts as they were reported, what
//! the agents said of themselves.

use model::{FactKind, UtcMicros};

use crate::graph::{ElementIx, PathBook, Topology};

/// One round of one pair that asked and is not doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub at: UtcMicros,
    pub sent: u16,
    pub received: u16,
    /// `None` if nothing was answered or nobody measured.
    pub rtt_us: Option<u32>,
}

impl Ask {
    /// Nothing came back.
    pub fn is_dead(&self) -> bool {
        self.received == 0
    }

    pub fn lost(&self) -> u16 {
        self.sent.saturating_sub(self.received)
    }
}

/// An agent and a target that it asks, with the rounds so far by time.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub agent: ElementIx,
    pub target: ElementIx,
    /// Between two rounds.
    pub interval_us: i64,
    pub asks: &'a [Ask],
}

/// Something a device, or somebody who asks it, reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub element: ElementIx,
    /// Whose side of a link reports.
    pub end: Option<ElementIx>,
    /// Who could, or could not, reach it.
    pub agent: Option<ElementIx>,
    /// `None` for a kind that nobody here knows.
    pub kind: Option<FactKind>,
    pub at: UtcMicros,
    /// Until when it held; `None` while it holds.
    pub until: Option<UtcMicros>,
    pub value: Option<f64>,
}

/// What an agent said of itself last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    pub agent: ElementIx,
    pub at: UtcMicros,
    pub is_gateway_ok: bool,
}

/// Work that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub element: ElementIx,
    pub from: UtcMicros,
    pub until: UtcMicros,
}

/// Everything that is known at `now`. Pairs are in order of agent and target; nothing in it is of
/// later than `now`.
#[derive(Debug)]
pub struct Picture<'a> {
    pub now: UtcMicros,
    pub topology: &'a Topology,
    /// Paths that nobody told are computed on the way.
    pub paths: &'a mut PathBook,
    pub pairs: &'a [Pair<'a>],
    pub facts: &'a [Fact],
    /// By agent and time.
    pub beats: &'a [Beat],
    pub heartbeat_us: i64,
    pub works: &'a [Work],
}

/// Whether a pair's last round was answered; pairs are in order of agent and target.
pub fn is_answering(pairs: &[Pair<'_>], of: (ElementIx, ElementIx)) -> bool {
    let at = pairs.binary_search_by_key(&of, |pair| (pair.agent, pair.target));
    let pair = at.ok().and_then(|at| pairs.get(at));
    pair.and_then(|pair| pair.asks.last()).is_some_and(|ask| !ask.is_dead())
}
