//! What outlives a process of an incident, in names, and how it comes back.

use std::collections::BTreeMap;

use model::UtcMicros;

use super::told::{Blame, Told};
use crate::{
    graph::{ElementIx, Topology, document::name_of},
    rca::{Finding, Impact, Incident, Known, RankedCause},
};

/// Pairs that are kept of one incident, spread over all of them: its all-clear waits for these.
pub const PAIRS_KEPT_MAX: usize = 2_000;

/// What is kept of an incident that people were told of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    pub revision: u32,
    /// Their evidence is not read.
    pub causes: Vec<Blame>,
    pub other_probability: f64,
    pub onset: (UtcMicros, UtcMicros),
    pub targets_down: u32,
    pub targets_degraded: u32,
    /// Agent and target of each, as [`pairs_of`] gives them.
    pub pairs: Vec<(String, String)>,
    /// `None`: it is open.
    pub closed_at: Option<UtcMicros>,
}

impl From<&Told> for Kept {
    fn from(told: &Told) -> Kept {
        Kept {
            revision: told.revision,
            causes: told.causes.clone(),
            other_probability: told.other_probability,
            onset: told.onset,
            targets_down: told.hit.targets_down,
            targets_degraded: told.hit.targets_degraded,
            pairs: Vec::new(),
            closed_at: None,
        }
    }
}

/// Pairs of an incident by name: at most [`PAIRS_KEPT_MAX`].
pub(super) fn pairs_of(topology: &Topology, incident: &Incident) -> Vec<(String, String)> {
    let pairs = &incident.finding.pairs;
    let step = pairs.len().div_ceil(PAIRS_KEPT_MAX).max(1);
    let pair = |(agent, target): &(ElementIx, ElementIx)| {
        (topology.id(*agent).to_owned(), name_of(topology, *target).to_owned())
    };
    pairs.iter().step_by(step).map(pair).collect()
}

/// From how many agents each target of an incident is out.
pub(super) fn agents_by_target(topology: &Topology, incident: &Incident) -> BTreeMap<String, u32> {
    let mut agents: BTreeMap<ElementIx, u32> = BTreeMap::new();
    for (_, target) in &incident.finding.pairs {
        *agents.entry(*target).or_default() += 1;
    }
    agents.into_iter().map(|(ix, count)| (name_of(topology, ix).to_owned(), count)).collect()
}

/// The same by the indices of a topology; `None` if nothing of its causes is there any more.
pub(super) fn known(
    topology: &Topology,
    kept: &Kept,
    target: impl Fn(&str) -> Option<ElementIx>,
) -> Option<Known> {
    let cause = |blame: &Blame| {
        let elements: Vec<ElementIx> =
            blame.elements.iter().filter_map(|id| topology.find(id)).collect();
        (!elements.is_empty()).then(|| RankedCause {
            kind: blame.kind,
            mode: blame.mode,
            loss_ppm: blame.loss_ppm,
            rtt_us_added: blame.rtt_us_added,
            probability: blame.probability,
            evidence: Vec::new(),
            to_disambiguate: blame.to_disambiguate.clone(),
            elements,
        })
    };
    let causes: Vec<RankedCause> = kept.causes.iter().filter_map(cause).collect();
    if causes.is_empty() {
        return None;
    }
    let pair = |(agent, to): &(String, String)| topology.find(agent).zip(target(to));
    let finding = Finding {
        causes,
        other: kept.other_probability,
        onset: kept.onset,
        impact: Impact {
            targets_down: kept.targets_down,
            targets_degraded: kept.targets_degraded,
            ..Impact::default()
        },
        suppressed: Vec::new(),
        explained: 0.0,
        pairs: kept.pairs.iter().filter_map(pair).collect(),
        lost: Vec::new(),
        is_fresh: false,
        is_announced: false,
        is_felt: 0 < kept.targets_down + kept.targets_degraded,
        is_over: false,
    };
    Some(Known { revision: kept.revision, finding, closed_at: kept.closed_at })
}
