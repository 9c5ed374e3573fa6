//! What is known at one moment: the evidence that a judgement is made of.
//!
//! It carries evidence, not verdicts: rounds as they came in, facts as they were reported, what
//! the agents said of themselves.

use std::sync::Arc;

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

impl<'a> Pair<'a> {
    /// With the rounds that were asked by then.
    pub fn until(self, now: UtcMicros) -> Pair<'a> {
        let heard = self.asks.partition_point(|ask| ask.at <= now);
        Pair { asks: self.asks.get(..heard).unwrap_or(&[]), ..self }
    }
}

/// Who asks whom, each under a number that it keeps.
pub trait Pairs: std::fmt::Debug {
    /// One more than the highest number.
    fn count(&self) -> usize;

    /// `None` of a number that nobody has.
    fn get(&self, at: usize) -> Option<Pair<'_>>;
}

impl Pairs for Vec<Pair<'_>> {
    fn count(&self) -> usize {
        self.len()
    }

    fn get(&self, at: usize) -> Option<Pair<'_>> {
        self.as_slice().get(at).copied()
    }
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
    /// How much of its weight is left, of 1: what was not seen for a while says less of now.
    pub weight: f64,
    /// Who reported it, if it is known.
    pub by: Option<Arc<str>>,
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

/// Everything that is known at `now`. Of no pair are there two; rounds of later than now wait.
#[derive(Debug)]
pub struct Picture<'a> {
    pub now: UtcMicros,
    pub topology: &'a Topology,
    /// Paths that nobody told are computed on the way.
    pub paths: &'a mut PathBook,
    pub pairs: &'a dyn Pairs,
    pub facts: &'a [Fact],
    /// By agent and time.
    pub beats: &'a [Beat],
    pub heartbeat_us: i64,
    pub works: &'a [Work],
}

impl<'a> Picture<'a> {
    /// A pair with its rounds up to now.
    pub(super) fn pair(&self, at: usize) -> Option<Pair<'a>> {
        self.pairs.get(at).map(|pair| pair.until(self.now))
    }
}
