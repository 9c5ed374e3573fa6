//! A scenario as a case file, so that `faultline diagnose` can be asked about it.

use engine::{case::Case, graph::ElementIx};
use serde_json::{Value, json};

use crate::scenario::Scenario;

/// The case, with what broke as what is expected.
pub(crate) fn case(scenario: &Scenario) -> Value {
    let case = &scenario.case;
    let id = |ix: ElementIx| case.topology.id(ix).to_owned();
    let ids = |all: &[ElementIx]| all.iter().map(|ix| id(*ix)).collect::<Vec<String>>();
    let draft = case.topology.to_draft();
    let elements: Vec<Value> = draft
        .elements
        .iter()
        .map(|element| {
            json!({
                "id": element.id, "kind": element.kind, "site": element.site,
                "srlg": element.groups, "ends": element.ends, "cost": element.cost,
                "cost_back": element.cost_back, "device": element.device,
            })
        })
        .collect();
    let targets: Vec<Value> = draft
        .targets
        .iter()
        .map(|target| json!({ "id": target.id, "device": target.device, "weight": target.weight }))
        .collect();
    let expected: Vec<Value> =
        scenario.broken.iter().map(|element| json!({ "elements": [id(*element)] })).collect();
    json!({
        "version": 1,
        "steps_us": case.steps.iter().map(|step| step.0).collect::<Vec<i64>>(),
        "heartbeat_us": case.heartbeat_us,
        "elements": elements,
        "targets": targets,
        "paths": case.told.iter().map(|path| json!({
            "agent": id(path.agent), "target": id(path.target), "elements": ids(&path.elements),
            "weight": path.weight, "source": path.source,
            "from_us": path.from, "until_us": path.until,
        })).collect::<Vec<Value>>(),
        "rounds": rounds(case),
        "facts": case.facts.iter().map(|fact| json!({
            "element": id(fact.element), "end": fact.end.map(id), "agent": fact.agent.map(id),
            "kind": fact.kind, "at_us": fact.at, "until_us": fact.until, "value": fact.value,
        })).collect::<Vec<Value>>(),
        "heartbeats": case.beats.iter().map(|beat| json!({
            "agent": id(beat.agent), "at_us": beat.at, "gateway_ok": beat.is_gateway_ok,
        })).collect::<Vec<Value>>(),
        "expected": { "causes": expected },
    })
}

fn rounds(case: &Case) -> Vec<Value> {
    let all = case.seen.iter().flat_map(|seen| seen.asks.iter().map(move |ask| (seen, ask)));
    all.map(|(seen, ask)| {
        json!({
            "agent": case.topology.id(seen.agent), "target": case.topology.id(seen.target),
            "at_us": ask.at, "sent": ask.sent, "received": ask.received, "rtt_us": ask.rtt_us,
        })
    })
    .collect()
}
