//! The answers as JSON, one object a line.

use engine::{
    case::{Case, Step},
    graph::{ElementIx, Topology},
    rca::{Change, Evidence, Finding, Incident, Incidents, Loss, RankedCause, State, text},
};
use model::{ElementKind, FaultMode};
use serde::Serialize;

/// Everything that one step is shown from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) name: &'a str,
    pub(super) case: &'a Case,
    pub(super) incidents: &'a Incidents,
    pub(super) step: &'a Step,
}

impl Shown<'_> {
    /// Whether anybody had looked by then.
    pub(super) fn is_watched(&self) -> bool {
        self.case.is_watched(self.step.at)
    }
}

fn is_false(is: &bool) -> bool {
    !is
}

#[derive(Serialize)]
struct StepView<'a> {
    file: &'a str,
    at_us: i64,
    incidents: Vec<IncidentView<'a>>,
    blind_agents: Vec<&'a str>,
    unexplained: Vec<PairView<'a>>,
    decisions: Vec<DecisionView>,
    /// No round that asked had come in: that there is no incident says nothing. Left out if one
    /// had.
    #[serde(skip_serializing_if = "is_false")]
    unwatched: bool,
    #[serde(skip_serializing_if = "CountedView::is_empty")]
    counted: CountedView,
}

#[derive(Serialize)]
struct PairView<'a> {
    agent: &'a str,
    target: &'a str,
}

#[derive(Serialize)]
struct DecisionView {
    kind: &'static str,
    incident: String,
    why: String,
}

/// What counted for nothing; left out if there is nothing.
#[derive(Default, PartialEq, Eq, Serialize)]
struct CountedView {
    rounds_not_asked: u32,
    rounds_doubtful: u32,
    facts_unknown: u32,
    from_the_future: u32,
    is_cut_short: bool,
}

impl CountedView {
    fn is_empty(&self) -> bool {
        *self == CountedView::default()
    }
}

#[derive(Serialize)]
struct IncidentView<'a> {
    id: String,
    revision: u32,
    state: &'static str,
    causes: Vec<CauseView<'a>>,
    other_probability: f64,
    onset_us: [i64; 2],
    impact: ImpactView<'a>,
    suppressed: Vec<&'a str>,
}

#[derive(Serialize)]
struct CauseView<'a> {
    elements: Vec<&'a str>,
    kind: ElementKind,
    mode: FaultMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_ppm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_us_added: Option<i64>,
    probability: f64,
    evidence: Vec<EvidenceView>,
    to_disambiguate: Option<&'a str>,
}

#[derive(Serialize)]
struct EvidenceView {
    supports: bool,
    log_ratio: f64,
    text: String,
    refs: Vec<String>,
}

#[derive(Serialize)]
struct ImpactView<'a> {
    targets_down: u32,
    targets_degraded: u32,
    weight: u64,
    weight_total: u64,
    devices: Vec<&'a str>,
    /// One more failure and these are cut off.
    devices_exposed: Vec<&'a str>,
}

/// Four digits say all that a probability knows.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

fn ids<'a>(topology: &'a Topology, elements: &[ElementIx]) -> Vec<&'a str> {
    let mut ids: Vec<&str> = elements.iter().map(|ix| topology.id(*ix)).collect();
    ids.sort_unstable();
    ids
}

/// One step as a line of JSON.
pub(super) fn step(shown: &Shown<'_>) -> String {
    let Shown { name, case, incidents, step } = *shown;
    let topology = &case.topology;
    let mut unexplained: Vec<PairView<'_>> = step
        .assessment
        .unexplained
        .iter()
        .map(|(agent, target)| PairView {
            agent: topology.id(*agent),
            target: topology.id(*target),
        })
        .collect();
    unexplained.sort_by_key(|pair| (pair.agent, pair.target));
    line(&StepView {
        file: name,
        at_us: step.at.0,
        incidents: incidents.list().map(|incident| incident_view(topology, incident)).collect(),
        blind_agents: ids(topology, &step.assessment.blind),
        unexplained,
        decisions: decisions(step)
            .map(|(kind, incident, why)| DecisionView { kind, incident, why })
            .collect(),
        unwatched: !shown.is_watched(),
        counted: CountedView {
            rounds_not_asked: case.counted.rounds_not_asked,
            rounds_doubtful: case.counted.rounds_doubtful,
            facts_unknown: step.assessment.facts_unknown,
            from_the_future: case.counted.from_the_future,
            is_cut_short: step.assessment.is_cut_short,
        },
    })
}

fn line(view: &impl Serialize) -> String {
    match serde_json::to_string(view) {
        Ok(text) => text + "\n",
        Err(error) => format!("{{\"error\":{{\"path\":\".\",\"reason\":\"{error}\"}}}}\n"),
    }
}

pub(super) fn decisions(step: &Step) -> impl Iterator<Item = (&'static str, String, String)> + '_ {
    step.messages.iter().map(|message| {
        let (kind, why) = match message.change {
            Change::Opened => ("notify", "opened".to_owned()),
            Change::Reopened => ("notify", "reopened".to_owned()),
            Change::CauseChanged => ("notify", "cause_changed".to_owned()),
            Change::Resolved => ("resolve", "resolved".to_owned()),
            Change::Unasked => ("resolve", "nobody_asks".to_owned()),
            Change::Merged { into } => ("merge", format!("explained by i{}", into.0)),
        };
        (kind, format!("i{}", message.incident.0), why)
    })
}

fn incident_view<'a>(topology: &'a Topology, incident: &'a Incident) -> IncidentView<'a> {
    let Finding { causes, other, onset, impact, suppressed, .. } = &incident.finding;
    IncidentView {
        id: format!("i{}", incident.id.0),
        revision: incident.revision,
        state: match incident.state {
            State::Open => "open",
            State::Resolved => "resolved",
        },
        causes: causes.iter().map(|cause| cause_view(topology, cause)).collect(),
        other_probability: rounded(*other),
        onset_us: [onset.0.0, onset.1.0],
        impact: ImpactView {
            targets_down: impact.targets_down,
            targets_degraded: impact.targets_degraded,
            weight: impact.weight,
            weight_total: impact.weight_total,
            devices: ids(topology, &impact.devices),
            devices_exposed: ids(topology, &impact.devices_exposed),
        },
        suppressed: ids(topology, suppressed),
    }
}

fn cause_view<'a>(topology: &'a Topology, cause: &'a RankedCause) -> CauseView<'a> {
    CauseView {
        elements: cause.elements.iter().map(|ix| topology.id(*ix)).collect(),
        kind: cause.kind,
        mode: cause.mode,
        loss_ppm: cause.loss_ppm,
        rtt_us_added: cause.rtt_us_added,
        probability: rounded(cause.probability),
        evidence: cause.evidence.iter().map(|piece| evidence_view(topology, piece)).collect(),
        to_disambiguate: cause.to_disambiguate.as_deref(),
    }
}

fn evidence_view(topology: &Topology, piece: &Evidence) -> EvidenceView {
    let pair = |(agent, target): &(ElementIx, ElementIx)| {
        format!("{}>{}", topology.id(*agent), topology.id(*target))
    };
    EvidenceView {
        supports: piece.supports,
        log_ratio: (piece.log_ratio * 100.0).round() / 100.0,
        text: text::evidence(topology, piece),
        refs: piece.pairs.iter().map(pair).collect(),
    }
}

/// A file that could not be read.
pub(super) fn fault(is_human: bool, file: &str, path: &str, reason: &str) -> String {
    if is_human {
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        return format!("{file}: {place}{reason}\n");
    }
    #[derive(Serialize)]
    struct View<'a> {
        file: &'a str,
        error: FaultView<'a>,
    }
    #[derive(Serialize)]
    struct FaultView<'a> {
        path: &'a str,
        reason: &'a str,
    }
    line(&View { file, error: FaultView { path, reason } })
}

/// How an answer differs from what the case expects.
pub(super) fn differences(is_human: bool, file: &str, differences: &[String]) -> String {
    #[derive(Serialize)]
    struct View<'a> {
        file: &'a str,
        differs: &'a [String],
    }
    match (is_human, differences) {
        (_, []) => String::new(),
        (true, lines) => lines.iter().map(|line| format!("{file}: {line}\n")).collect(),
        (false, differs) => line(&View { file, differs }),
    }
}

/// What a failure would take.
pub(super) fn loss(
    is_human: bool,
    file: &str,
    case: &Case,
    elements: &[ElementIx],
    loss: &Loss,
) -> String {
    #[derive(Serialize)]
    struct View<'a> {
        file: &'a str,
        down: Vec<&'a str>,
        targets_lost: Vec<&'a str>,
        weight: u64,
        devices: Vec<&'a str>,
        devices_exposed: Vec<&'a str>,
        agents_blind: Vec<&'a str>,
        targets_rerouted: u32,
        targets_split: u32,
        sentence: String,
    }
    let topology = &case.topology;
    let down = ids(topology, elements);
    let sentence = text::loss(topology, elements, loss);
    if is_human {
        let mut text = format!("{file}: {sentence}\n");
        let mut list = |what: &str, elements: &[ElementIx]| {
            if !elements.is_empty() {
                text.push_str(&format!("  {what}: {}\n", ids(topology, elements).join(", ")));
            }
        };
        list("devices down or cut off", &loss.devices);
        list("one failure more cuts off", &loss.devices_exposed);
        list("agents that would see nothing", &loss.agents);
        return text;
    }
    line(&View {
        file,
        targets_lost: ids(topology, &loss.targets),
        weight: loss.weight,
        devices: ids(topology, &loss.devices),
        devices_exposed: ids(topology, &loss.devices_exposed),
        agents_blind: ids(topology, &loss.agents),
        targets_rerouted: loss.rerouted,
        targets_split: loss.split,
        down,
        sentence,
    })
}

/// Every element whose loss darkens targets.
pub(super) fn single_points(is_human: bool, file: &str, case: &Case) -> String {
    #[derive(Serialize)]
    struct View<'a> {
        file: &'a str,
        single_points: Vec<PointView<'a>>,
    }
    #[derive(Serialize)]
    struct PointView<'a> {
        element: &'a str,
        kind: ElementKind,
        targets: u32,
        weight: u64,
    }
    let points = engine::rca::single_points(&case.topology, &[]);
    let view = |point: &engine::rca::SinglePoint| PointView {
        element: case.topology.id(point.element),
        kind: case.topology.kind(point.element),
        targets: point.targets,
        weight: point.weight,
    };
    let points: Vec<PointView<'_>> = points.iter().map(view).collect();
    if !is_human {
        return line(&View { file, single_points: points });
    }
    let rows: Vec<Vec<String>> = points
        .iter()
        .map(|point| {
            let PointView { element, kind, targets, weight } = point;
            vec![(*element).to_owned(), kind.to_string(), targets.to_string(), weight.to_string()]
        })
        .collect();
    crate::table::render(&["ELEMENT", "KIND", "TARGETS", "WEIGHT"], &rows)
}
