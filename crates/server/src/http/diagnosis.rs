//! What is the matter with the network right now, and which ways packets take through it.

use std::collections::BTreeMap;

use axum::extract::State;
use engine::{
    graph::{PathSet, Topology, Way},
    live::{Blame, Clue, Contradiction, FactTold, Hit, Report, Told},
};
use model::IncidentId;
use serde::{Deserialize, Serialize};
use store::{CauseBody, EvidenceBody, FACTS_LIVE_MAX, ImpactBody};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Query},
    permission::Permission,
    problem::ApiError,
    views::Timestamp,
};
use crate::app::{
    App, Fields,
    diagnosis::{Shown, ShownState},
};

/// What was found last. People are told of it as incidents; no verdict follows from it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Diagnosis)]
pub(crate) struct DiagnosisView {
    state: DiagnosisStateView,
    /// What is missing for a judgement, or makes it weaker, and what to do about it.
    missing: Vec<String>,
    /// When it was judged; null before the first time.
    #[schema(required)]
    at: Option<Timestamp>,
    #[schema(required)]
    at_us: Option<i64>,
    /// Everything up to here was heard.
    log_position: u64,
    inventory_version: u64,
    /// Since when evidence is kept: since this server started, or had its first topology.
    #[schema(required)]
    evidence_since: Option<Timestamp>,
    /// Pairs of agent and target, and rounds of them, that it was made of.
    pairs: usize,
    rounds: usize,
    /// Targets of which nothing can follow: they stand behind nothing in the topology, or are asked
    /// only by an agent on whose own host they are (127.0.0.0/8, for example).
    targets_outside: usize,
    took_us: u64,
    /// Open ones and those that just closed: what hits most comes first.
    incidents: Vec<DiagnosisIncidentView>,
    /// Agents whose rounds speak of themselves.
    blind_agents: Vec<String>,
    /// Pairs that are out, and nobody knows why; at most 500.
    unexplained: Vec<DiagnosisPairView>,
    unexplained_total: usize,
    /// What devices reported in the last hour, beside the judgement: what was seen last comes
    /// first; at most 500. Empty for who has no `fact_read`, as `contradictions` is.
    facts: Vec<DiagnosisFactView>,
    /// How many the judgement looked at: at most 10,000, what is bad before what is good.
    /// `missing` says if there were more.
    facts_total: usize,
    /// Sessions that are up though nothing passes: shown, and never acted upon.
    contradictions: Vec<DiagnosisContradictionView>,
    /// The budget ran out: what is here is right as far as it goes.
    is_cut_short: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DiagnosisState)]
pub(crate) enum DiagnosisStateView {
    /// The server has just started.
    Waiting,
    /// There is no device in the topology.
    NoTopology,
    /// The topology that is stored cannot be used.
    BadTopology,
    Judged,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiagnosisPair)]
pub(crate) struct DiagnosisPairView {
    agent: String,
    target: String,
}

impl From<&(String, String)> for DiagnosisPairView {
    fn from((agent, target): &(String, String)) -> DiagnosisPairView {
        DiagnosisPairView { agent: agent.clone(), target: target.clone() }
    }
}

/// A fact beside a judgement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiagnosisFact)]
pub(crate) struct DiagnosisFactView {
    #[schema(example = "r1 reports port of r1--r2 down")]
    text: String,
    source: String,
    element: String,
    #[schema(example = "interface_down")]
    kind: &'static str,
    since: Timestamp,
    /// When it was seen to be so last.
    seen: Timestamp,
    #[schema(required)]
    until: Option<Timestamp>,
    /// What is left of its weight as evidence, of 1.
    weight: f64,
    /// It was not seen for so long that it is no evidence any more.
    is_stale: bool,
    /// It is of what routers tell one another.
    is_control_plane: bool,
    /// Whether the topology knows the element.
    is_known: bool,
}

impl From<&FactTold> for DiagnosisFactView {
    fn from(fact: &FactTold) -> DiagnosisFactView {
        DiagnosisFactView {
            text: fact.text.clone(),
            source: fact.source.clone(),
            element: fact.element.clone(),
            kind: fact.kind.as_str(),
            since: fact.since.into(),
            seen: fact.seen.into(),
            until: fact.until.map(Timestamp::from),
            weight: rounded(fact.weight),
            is_stale: fact.weight == 0.0,
            is_control_plane: fact.kind.is_control_plane(),
            is_known: fact.is_known,
        }
    }
}

/// A session that is up though nothing passes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiagnosisContradiction)]
pub(crate) struct DiagnosisContradictionView {
    #[schema(example = "transit-a: BGP up, nothing passes for 4 min")]
    text: String,
    element: String,
    #[schema(example = "bgp_up")]
    kind: &'static str,
    source: String,
    /// When the session was seen to be up last.
    seen: Timestamp,
    /// Since when nothing passes.
    silent_since: Timestamp,
}

impl From<&Contradiction> for DiagnosisContradictionView {
    fn from(found: &Contradiction) -> DiagnosisContradictionView {
        DiagnosisContradictionView {
            text: found.text.clone(),
            element: found.element.clone(),
            kind: found.kind.as_str(),
            source: found.source.clone(),
            seen: found.seen.into(),
            silent_since: found.silent_since.into(),
        }
    }
}

/// One cause and everything it explains.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiagnosisIncident)]
pub(crate) struct DiagnosisIncidentView {
    #[schema(example = "i1")]
    id: String,
    /// The number of the stored incident; null while people are not told of it.
    #[schema(required)]
    incident: Option<u32>,
    /// Grows when the cause, its mode or what it hits changes.
    revision: u32,
    /// `open`, or `resolved` in the last judgement that shows it.
    #[schema(example = "open")]
    state: &'static str,
    #[schema(example = "link fra1--ber1 is down, since 12:00:49 (probability 97.0 %)")]
    sentence: String,
    /// The likeliest first.
    causes: Vec<DiagnosisCauseView>,
    other_probability: f64,
    /// It began after the first moment and not after the second.
    onset_us: Vec<i64>,
    since: Timestamp,
    impact: DiagnosisImpactView,
    /// Targets whose alert it stands for; at most 500.
    suppressed: Vec<String>,
    suppressed_total: usize,
}

/// A cause, or a class of causes that nothing observed tells apart.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiagnosisCause)]
pub(crate) struct DiagnosisCauseView {
    elements: Vec<String>,
    #[schema(example = "link")]
    kind: &'static str,
    /// `down`, `lossy`, `slow`, `one_way`, `reroute` or `flapping`.
    #[schema(example = "down")]
    mode: &'static str,
    #[schema(required)]
    loss_ppm: Option<u32>,
    #[schema(required)]
    rtt_us_added: Option<i64>,
    probability: f64,
    evidence: Vec<DiagnosisEvidenceView>,
    /// What would tell the members apart.
    #[schema(required)]
    to_disambiguate: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiagnosisEvidence)]
pub(crate) struct DiagnosisEvidenceView {
    supports: bool,
    /// Natural logarithm of how much likelier it is with the cause than without.
    log_ratio: f64,
    text: String,
    refs: Vec<DiagnosisPairView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiagnosisImpact)]
pub(crate) struct DiagnosisImpactView {
    targets_down: u32,
    targets_degraded: u32,
    weight: u64,
    weight_total: u64,
    /// Down or cut off; at most 500, as below.
    devices: Vec<String>,
    devices_total: usize,
    /// One failure more and these are cut off.
    devices_exposed: Vec<String>,
    devices_exposed_total: usize,
    /// Behind devices that are down or cut off.
    customers: u64,
    services: u64,
}

/// Four digits say all that a probability knows.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

impl DiagnosisIncidentView {
    fn of(told: &Told, numbers: &Numbers) -> DiagnosisIncidentView {
        let (after, until) = told.onset;
        DiagnosisIncidentView {
            id: format!("i{}", told.id),
            incident: numbers.get(&told.id).map(|number| number.0),
            revision: told.revision,
            state: if told.is_open { "open" } else { "resolved" },
            sentence: told.sentence.clone(),
            causes: told.causes.iter().map(DiagnosisCauseView::from).collect(),
            other_probability: rounded(told.other_probability),
            onset_us: vec![after.0, until.0],
            since: until.into(),
            impact: (&told.hit).into(),
            suppressed: told.suppressed.clone(),
            suppressed_total: told.suppressed_total,
        }
    }
}

impl From<&Blame> for DiagnosisCauseView {
    fn from(blame: &Blame) -> DiagnosisCauseView {
        DiagnosisCauseView {
            elements: blame.elements.clone(),
            kind: blame.kind.as_str(),
            mode: blame.mode.as_str(),
            loss_ppm: blame.loss_ppm,
            rtt_us_added: blame.rtt_us_added,
            probability: rounded(blame.probability),
            evidence: blame.evidence.iter().map(DiagnosisEvidenceView::from).collect(),
            to_disambiguate: blame.to_disambiguate.clone(),
        }
    }
}

impl From<&Clue> for DiagnosisEvidenceView {
    fn from(clue: &Clue) -> DiagnosisEvidenceView {
        DiagnosisEvidenceView {
            supports: clue.supports,
            log_ratio: (clue.log_ratio * 100.0).round() / 100.0,
            text: clue.text.clone(),
            refs: clue.refs.iter().map(DiagnosisPairView::from).collect(),
        }
    }
}

impl From<&Hit> for DiagnosisImpactView {
    fn from(hit: &Hit) -> DiagnosisImpactView {
        DiagnosisImpactView {
            targets_down: hit.targets_down,
            targets_degraded: hit.targets_degraded,
            weight: hit.weight,
            weight_total: hit.weight_total,
            devices: hit.devices.clone(),
            devices_total: hit.devices_total,
            devices_exposed: hit.devices_exposed.clone(),
            devices_exposed_total: hit.devices_exposed_total,
            customers: hit.customers,
            services: hit.services,
        }
    }
}

impl From<&CauseBody> for DiagnosisCauseView {
    fn from(cause: &CauseBody) -> DiagnosisCauseView {
        DiagnosisCauseView {
            elements: cause.elements.clone(),
            kind: cause.kind.as_str(),
            mode: cause.mode.as_str(),
            loss_ppm: cause.loss_ppm,
            rtt_us_added: cause.rtt_us_added,
            probability: rounded(cause.probability),
            evidence: cause.evidence.iter().map(DiagnosisEvidenceView::from).collect(),
            to_disambiguate: cause.to_disambiguate.clone(),
        }
    }
}

impl From<&EvidenceBody> for DiagnosisEvidenceView {
    fn from(piece: &EvidenceBody) -> DiagnosisEvidenceView {
        DiagnosisEvidenceView {
            supports: piece.supports,
            log_ratio: (piece.log_ratio * 100.0).round() / 100.0,
            text: piece.text.clone(),
            refs: piece.refs.iter().map(DiagnosisPairView::from).collect(),
        }
    }
}

impl From<&ImpactBody> for DiagnosisImpactView {
    fn from(impact: &ImpactBody) -> DiagnosisImpactView {
        DiagnosisImpactView {
            targets_down: impact.targets_down,
            targets_degraded: impact.targets_degraded,
            weight: impact.weight,
            weight_total: impact.weight_total,
            devices: impact.devices.clone(),
            devices_total: impact.devices_total,
            devices_exposed: impact.devices_exposed.clone(),
            devices_exposed_total: impact.devices_exposed_total,
            customers: impact.customers,
            services: impact.services,
        }
    }
}

/// Read the diagnosis
///
/// What failed, how surely, what speaks for it and against it, and whom it hits: the same judgement
/// as `faultline diagnose` makes of a case file, on the network as it is now.
#[utoipa::path(
    get, path = "/api/v1/diagnosis", tag = "topology",
    responses((status = 200, description = "What was found last", body = DiagnosisView))
)]
pub(crate) async fn diagnosis_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<DiagnosisView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let Some(shown) = app.diagnosis(&scope) else {
        let missing = vec!["the server has just started: the first judgement comes in a second"];
        let missing = missing.into_iter().map(str::to_owned).collect();
        return Ok(Json(view(
            DiagnosisStateView::Waiting,
            missing,
            (&Report::default(), &Numbers::new()),
        )));
    };
    let mut missing = Vec::new();
    let nothing = Report::default();
    let (state, report) = match &shown.state {
        ShownState::NoTopology => {
            missing.push(
                "there is no topology: describe the network, for example with `faultline topology \
                 import FILE`"
                    .to_owned(),
            );
            (DiagnosisStateView::NoTopology, &nothing)
        }
        ShownState::BadTopology(reason) => {
            missing.push(format!("the stored topology cannot be used: {reason}; import it again"));
            (DiagnosisStateView::BadTopology, &nothing)
        }
        ShownState::Judged(report) => (DiagnosisStateView::Judged, report.as_ref()),
    };
    if state == DiagnosisStateView::Judged {
        missing.extend(app.diagnosis_gaps(&scope, report.pairs).await?);
    }
    missing.extend(weaknesses(&shown, report));
    let told = DiagnosisView {
        at: Some(shown.at.into()),
        at_us: Some(shown.at.0),
        log_position: shown.position.0,
        inventory_version: shown.inventory_version,
        evidence_since: Some(shown.since.into()),
        took_us: shown.took_us,
        ..view(state, missing, (report, &shown.numbers))
    };
    if caller.allows(Permission::FactRead) {
        return Ok(Json(told));
    }
    let (facts, contradictions) = (Vec::new(), Vec::new());
    Ok(Json(DiagnosisView { facts, facts_total: 0, contradictions, ..told }))
}

/// What makes a judgement weaker.
fn weaknesses(shown: &Shown, report: &Report) -> Vec<String> {
    let mut missing = Vec::new();
    if report.sight.is_waiting {
        missing.push(match report.sight.blind_since {
            Some(since) => format!(
                "no agent sees the network since {since}, or can say so: nothing is judged until \
                 one does; look at this server's own line, and at the agents"
            ),
            None => "agents are not heard just now: nothing is judged until they are".to_owned(),
        });
    }
    if 0 < report.targets_outside {
        let (count, verb) = match report.targets_outside {
            1 => ("1 target".to_owned(), "is"),
            count => (format!("{count} targets"), "are"),
        };
        missing.push(format!(
            "{count} {verb} not in this judgement: behind nothing in the topology, or an agent's \
             own host; say what each stands behind (`device` of a target)"
        ));
    }
    if 0 < shown.batches_missed {
        missing.push(format!(
            "{} batches were not looked at, as judging was behind: evidence has holes",
            shown.batches_missed
        ));
    }
    if shown.is_facts_cut {
        missing.push(format!(
            "more than {FACTS_LIVE_MAX} facts were reported in the last hour: the judgement looks \
             at what is bad, and at what is good as far as there is room; have collectors leave \
             out ports that are up"
        ));
    }
    missing
}

/// What incidents are called that are stored, by the id of the judgement.
type Numbers = BTreeMap<u32, IncidentId>;

fn view(
    state: DiagnosisStateView,
    missing: Vec<String>,
    (report, numbers): (&Report, &Numbers),
) -> DiagnosisView {
    DiagnosisView {
        state,
        missing,
        at: None,
        at_us: None,
        log_position: 0,
        inventory_version: 0,
        evidence_since: None,
        pairs: report.pairs,
        rounds: report.rounds,
        targets_outside: report.targets_outside,
        took_us: 0,
        incidents: report
            .incidents
            .iter()
            .map(|told| DiagnosisIncidentView::of(told, numbers))
            .collect(),
        blind_agents: report.blind.clone(),
        unexplained: report.unexplained.iter().map(DiagnosisPairView::from).collect(),
        unexplained_total: report.unexplained_total,
        facts: report.facts.iter().map(DiagnosisFactView::from).collect(),
        facts_total: report.facts_total,
        contradictions: report
            .contradictions
            .iter()
            .map(DiagnosisContradictionView::from)
            .collect(),
        is_cut_short: report.is_cut_short,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PathsQuery {
    /// Name of an agent.
    agent: Option<String>,
    /// Name of a target.
    target: Option<String>,
}

/// What the packets of an agent cross to a target.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Paths)]
pub(crate) struct PathsView {
    agent: String,
    target: String,
    topology_version: u64,
    /// Since when these hold: since the topology changed last.
    #[schema(required)]
    since: Option<Timestamp>,
    /// Who says so: `spf` is computed of links and costs, `unknown` is nobody.
    #[schema(example = "spf")]
    source: &'static str,
    /// Alternatives, each with the share of flows that take it.
    routes: Vec<RouteView>,
    /// Every element crossed, with the share of flows that cross it.
    elements: Vec<CrossingView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Route)]
pub(crate) struct RouteView {
    share: f64,
    /// In the order walked from the agent.
    elements: Vec<RouteStepView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RouteStep)]
pub(crate) struct RouteStepView {
    id: String,
    #[schema(example = "link")]
    kind: &'static str,
    /// Of a link: `forward` from its first end to its second, `back`; null of all else.
    #[schema(required)]
    way: Option<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Crossing)]
pub(crate) struct CrossingView {
    id: String,
    #[schema(example = "link")]
    kind: &'static str,
    share: f64,
}

fn routes(topology: &Topology, set: &PathSet) -> Vec<RouteView> {
    let step = |step: &engine::graph::Step| RouteStepView {
        id: topology.id(step.element).to_owned(),
        kind: topology.kind(step.element).as_str(),
        way: match step.way {
            Way::Through => None,
            Way::Forward => Some("forward"),
            Way::Back => Some("back"),
        },
    };
    let route = |route: &engine::graph::Route| RouteView {
        share: rounded(route.share),
        elements: route.steps.iter().map(step).collect(),
    };
    set.routes.iter().map(route).collect()
}

/// Read the paths of a pair
///
/// Which elements the packets of an agent cross to a target, equal ways as alternatives.
#[utoipa::path(
    get, path = "/api/v1/paths", tag = "topology", params(PathsQuery),
    responses((status = 200, description = "The paths", body = PathsView))
)]
pub(crate) async fn paths_get(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PathsQuery>,
) -> Result<Json<PathsView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let mut fields = Fields::default();
    for (field, given) in [("agent", &query.agent), ("target", &query.target)] {
        if given.is_none() {
            fields.refuse(field, "is missing: give a name");
        }
    }
    fields.check()?;
    let (agent, target) = (query.agent.unwrap_or_default(), query.target.unwrap_or_default());
    let found = app.pair_paths(&scope, &agent, &target).await?;
    let topology = &found.held.topology;
    let crossing = |crossing: &engine::graph::Crossing| CrossingView {
        id: topology.id(crossing.element).to_owned(),
        kind: topology.kind(crossing.element).as_str(),
        share: rounded(crossing.share),
    };
    Ok(Json(PathsView {
        topology_version: found.held.version,
        since: found.held.updated_at.map(Timestamp::from),
        source: found.set.source.as_str(),
        routes: routes(topology, &found.set),
        elements: found.set.crossings.iter().map(crossing).collect(),
        agent,
        target,
    }))
}
