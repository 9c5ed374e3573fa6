//! The case file's shape, as it is written. What it means is in `read`.

use model::{ElementKind, FaultMode, PathSource};
use serde::Deserialize;

/// A list that may be left out or be null.
type List<T> = Option<Vec<T>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCase {
    pub(super) version: u32,
    pub(super) steps_us: Vec<i64>,
    #[serde(default)]
    pub(super) tiers: List<RawTier>,
    #[serde(default)]
    pub(super) heartbeat_us: Option<i64>,
    #[serde(default)]
    pub(super) elements: List<RawElement>,
    #[serde(default)]
    pub(super) targets: List<RawTarget>,
    #[serde(default)]
    pub(super) paths: List<RawPath>,
    #[serde(default)]
    pub(super) rounds: List<RawRound>,
    #[serde(default)]
    pub(super) facts: List<RawFact>,
    #[serde(default)]
    pub(super) heartbeats: List<RawBeat>,
    #[serde(default)]
    pub(super) maintenance: List<RawWork>,
    #[serde(default)]
    pub(super) expected: Option<RawExpected>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTier {
    pub(super) id: String,
    #[serde(default)]
    pub(super) interval_us: Option<i64>,
    #[serde(default)]
    pub(super) timeout_us: Option<i64>,
    #[serde(default)]
    pub(super) packets: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawElement {
    pub(super) id: String,
    pub(super) kind: ElementKind,
    #[serde(default)]
    pub(super) site: Option<String>,
    #[serde(default)]
    pub(super) srlg: List<String>,
    #[serde(default)]
    pub(super) ends: Option<[String; 2]>,
    #[serde(default)]
    pub(super) cost: Option<i64>,
    #[serde(default)]
    pub(super) cost_back: Option<i64>,
    #[serde(default)]
    pub(super) device: Option<String>,
    #[serde(default)]
    pub(super) needs: List<RawNeed>,
}

/// What an element or target needs beside the links to it: one of these, or all of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum RawNeed {
    Any(Vec<String>),
    All(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) id: String,
    #[serde(default)]
    pub(super) device: Option<String>,
    #[serde(default)]
    pub(super) weight: Option<u64>,
    #[serde(default)]
    pub(super) tier: Option<String>,
    #[serde(default)]
    pub(super) needs: List<RawNeed>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPath {
    pub(super) agent: String,
    pub(super) target: String,
    pub(super) elements: Vec<String>,
    #[serde(default)]
    pub(super) weight: Option<f64>,
    #[serde(default)]
    pub(super) source: Option<PathSource>,
    #[serde(default)]
    pub(super) from_us: Option<i64>,
    #[serde(default)]
    pub(super) until_us: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRound {
    pub(super) agent: String,
    pub(super) target: String,
    pub(super) at_us: i64,
    #[serde(default)]
    pub(super) sent: Option<u16>,
    #[serde(default)]
    pub(super) received: Option<u16>,
    #[serde(default)]
    pub(super) rtt_us: Option<u32>,
    #[serde(default)]
    pub(super) not_asked: Option<bool>,
    #[serde(default)]
    pub(super) doubtful: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFact {
    pub(super) element: String,
    #[serde(default)]
    pub(super) end: Option<String>,
    #[serde(default)]
    pub(super) agent: Option<String>,
    pub(super) kind: String,
    pub(super) at_us: i64,
    #[serde(default)]
    pub(super) until_us: Option<i64>,
    #[serde(default)]
    pub(super) value: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBeat {
    pub(super) agent: String,
    pub(super) at_us: i64,
    #[serde(default)]
    pub(super) gateway_ok: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWork {
    pub(super) element: String,
    pub(super) from_us: i64,
    pub(super) until_us: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpected {
    #[serde(default)]
    pub(super) causes: List<RawCause>,
    #[serde(default)]
    pub(super) blind_agents: List<String>,
    #[serde(default)]
    pub(super) suppressed: List<String>,
    #[serde(default)]
    pub(super) messages: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCause {
    pub(super) elements: Vec<String>,
    #[serde(default)]
    pub(super) kind: Option<ElementKind>,
    #[serde(default)]
    pub(super) mode: Option<FaultMode>,
}
