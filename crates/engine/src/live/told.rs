//! What was found, in ids and sentences, so that it outlives the topology it was found on.

use std::collections::BTreeMap;

use model::{ElementKind, FaultMode, MaintenanceId, UtcMicros};

use super::{
    facts::{Contradiction, FactTold},
    vigil::MonitorChange,
};
use crate::{
    graph::{ElementIx, Topology, document::name_of},
    rca::{Assessment, Evidence, Finding, Incident, Incidents, Message, RankedCause, State, text},
};

/// Ids in one list; how many there are is said beside it.
pub(super) const NAMES_MAX: usize = 500;

/// What is the matter at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub at: UtcMicros,
    /// Open ones and those that just closed: first what hits most.
    pub incidents: Vec<Told>,
    /// What people are told now.
    pub messages: Vec<Message>,
    /// Agents whose rounds speak of themselves.
    pub blind: Vec<String>,
    /// Pairs that are out, and nobody knows why.
    pub unexplained: Vec<(String, String)>,
    pub unexplained_total: usize,
    /// What was reported lately: what was seen last comes first.
    pub facts: Vec<FactTold>,
    /// Of those that were looked at.
    pub facts_total: usize,
    /// Sessions that are up though nothing passes.
    pub contradictions: Vec<Contradiction>,
    pub is_cut_short: bool,
    /// Of how many pairs and rounds this was made.
    pub pairs: usize,
    pub rounds: usize,
    /// Targets of which nothing follows: they stand behind nothing in the topology, or are an
    /// agent's own host.
    pub targets_outside: usize,
    pub sight: Sight,
    /// Incidents that are inside of an open maintenance window, with which.
    pub maintained: BTreeMap<u32, MaintenanceId>,
}

/// Whether the monitor itself sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// What people are told of it now.
    pub monitor: Option<MonitorChange>,
    /// Since when people know that it does not.
    pub blind_since: Option<UtcMicros>,
    /// Nothing is judged: no agent sees, or they are coming back.
    pub is_waiting: bool,
}

/// One incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: u32,
    pub revision: u32,
    pub is_open: bool,
    pub sentence: String,
    /// The likeliest first.
    pub causes: Vec<Blame>,
    pub other_probability: f64,
    /// It began after the first moment and not after the second.
    pub onset: (UtcMicros, UtcMicros),
    pub hit: Hit,
    /// Targets whose alert it stands for.
    pub suppressed: Vec<String>,
    pub suppressed_total: usize,
}

/// A cause that could be, or a class of causes that nothing tells apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Blame {
    pub elements: Vec<String>,
    pub kind: ElementKind,
    pub mode: FaultMode,
    pub loss_ppm: Option<u32>,
    pub rtt_us_added: Option<i64>,
    pub probability: f64,
    pub evidence: Vec<Clue>,
    pub to_disambiguate: Option<String>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Clue {
    pub supports: bool,
    pub log_ratio: f64,
    pub text: String,
    /// Agent and target of pairs it rests on.
    pub refs: Vec<(String, String)>,
}

/// Whom it hits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    pub targets_down: u32,
    pub targets_degraded: u32,
    pub weight: u64,
    pub weight_total: u64,
    pub devices: Vec<String>,
    pub devices_total: usize,
    /// One more failure and these are cut off.
    pub devices_exposed: Vec<String>,
    pub devices_exposed_total: usize,
    /// Behind devices that are down or cut off.
    pub customers: u64,
    pub services: u64,
}

fn ids(topology: &Topology, elements: &[ElementIx]) -> Vec<String> {
    let mut ids: Vec<&str> = elements.iter().map(|ix| topology.id(*ix)).collect();
    ids.sort_unstable();
    ids.into_iter().take(NAMES_MAX).map(str::to_owned).collect()
}

/// What targets are called in the inventory.
fn names(topology: &Topology, targets: &[ElementIx]) -> Vec<String> {
    let mut names: Vec<&str> = targets.iter().map(|ix| name_of(topology, *ix)).collect();
    names.sort_unstable();
    names.into_iter().take(NAMES_MAX).map(str::to_owned).collect()
}

/// Says everything that was found.
pub fn told(
    topology: &Topology,
    at: UtcMicros,
    assessment: &Assessment,
    incidents: &Incidents,
) -> Report {
    let pair = |(agent, target): &(ElementIx, ElementIx)| {
        (topology.id(*agent).to_owned(), name_of(topology, *target).to_owned())
    };
    let mut unexplained: Vec<(String, String)> = assessment.unexplained.iter().map(pair).collect();
    unexplained.sort_unstable();
    let unexplained_total = unexplained.len();
    unexplained.truncate(NAMES_MAX);
    let mut told: Vec<Told> = incidents.list().map(|one| incident(topology, one, at)).collect();
    told.sort_by_key(|told| {
        let hits = (told.hit.weight, told.hit.targets_down, told.hit.targets_degraded);
        (!told.is_open, std::cmp::Reverse(hits), told.id)
    });
    Report {
        at,
        incidents: told,
        messages: Vec::new(),
        blind: ids(topology, &assessment.blind),
        unexplained,
        unexplained_total,
        facts: Vec::new(),
        facts_total: 0,
        contradictions: Vec::new(),
        is_cut_short: assessment.is_cut_short,
        pairs: 0,
        rounds: 0,
        targets_outside: 0,
        sight: Sight::default(),
        maintained: BTreeMap::new(),
    }
}

fn incident(topology: &Topology, incident: &Incident, at: UtcMicros) -> Told {
    let Finding { causes, other, onset, impact, suppressed, .. } = &incident.finding;
    let behind = |count: fn(&crate::graph::Element) -> u64| -> u64 {
        impact.devices.iter().filter_map(|ix| topology.get(*ix)).map(count).sum()
    };
    Told {
        id: incident.id.0,
        revision: incident.revision,
        is_open: incident.state == State::Open,
        sentence: text::sentence(topology, incident, at),
        causes: causes.iter().map(|cause| blame(topology, cause)).collect(),
        other_probability: *other,
        onset: *onset,
        hit: Hit {
            targets_down: impact.targets_down,
            targets_degraded: impact.targets_degraded,
            weight: impact.weight,
            weight_total: impact.weight_total,
            devices: ids(topology, &impact.devices),
            devices_total: impact.devices.len(),
            devices_exposed: ids(topology, &impact.devices_exposed),
            devices_exposed_total: impact.devices_exposed.len(),
            customers: behind(|element| element.customers),
            services: behind(|element| element.services),
        },
        suppressed: names(topology, suppressed),
        suppressed_total: suppressed.len(),
    }
}

fn blame(topology: &Topology, cause: &RankedCause) -> Blame {
    Blame {
        elements: cause.elements.iter().map(|ix| topology.id(*ix).to_owned()).collect(),
        kind: cause.kind,
        mode: cause.mode,
        loss_ppm: cause.loss_ppm,
        rtt_us_added: cause.rtt_us_added,
        probability: cause.probability,
        evidence: cause.evidence.iter().map(|piece| clue(topology, piece)).collect(),
        to_disambiguate: cause.to_disambiguate.clone(),
    }
}

fn clue(topology: &Topology, piece: &Evidence) -> Clue {
    let pair = |(agent, target): &(ElementIx, ElementIx)| {
        (topology.id(*agent).to_owned(), name_of(topology, *target).to_owned())
    };
    Clue {
        supports: piece.supports,
        log_ratio: piece.log_ratio,
        text: text::evidence(topology, piece),
        refs: piece.pairs.iter().map(pair).collect(),
    }
}
