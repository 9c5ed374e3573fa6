//! A link of a network that the server knows is cut: the likely cause names it, with whom it hits,
//! and is over when it heals. An agent that goes blind is no fault of the network.

use anyhow::Context;
use serde_json::{Value, json};

use super::Setting;
use crate::{
    api::{items, number, text},
    clock,
    network::{AGENTS, Family, SLOW, TARGETS},
    report::Report,
    world::{Rights, World, agent_name, target_name},
};

/// A link is named as soon as a target behind it could be called Down, and a second for judging.
const CUT_TO_NAMED_MAX: f64 = 12.0;
/// Good rounds of all, and two judgements.
const HEALED_TO_OVER_MAX: f64 = 30.0;
const BLIND_MAX: f64 = 15.0;
const LINK: &str = "net--field";

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let world = setting.world(Family::V4, [Rights::Root, Rights::Root], report)?;
    let described = topology();
    let parts = ["elements", "targets"]
        .map(|part| described.get(part).map_or(0, |part| items(part).len()))
        .iter()
        .sum::<usize>();
    let taken = world.api.post("/topology/import", &described)?;
    let added = number(&taken, "/added/total");
    report.row("parts imported", &parts.to_string(), &added.to_string(), added == parts as u64);
    let pairs = u64::from(AGENTS * TARGETS);
    let quiet =
        clock::wait("a quiet network", clock::now(), std::time::Duration::from_secs(30), || {
            let seen = world.api.get("/diagnosis")?;
            Ok((number(&seen, "/pairs") == pairs && open(&seen).is_empty()).then_some(seen))
        });
    let missing = quiet?.0.get("missing").cloned().unwrap_or_default();
    report.row("what is missing", "[]", &missing.to_string(), missing == json!([]));

    let begun = clock::now();
    let faults = world.network.cut_field()?;
    let named = named(&world, begun);
    let seen = world.api.get("/diagnosis")?;
    report.seconds("s from cut to the link named", named, CUT_TO_NAMED_MAX);
    one_cause(&seen, report);

    drop(faults);
    let healed = clock::now();
    let max = std::time::Duration::from_secs_f64(HEALED_TO_OVER_MAX * super::PATIENCE);
    let over = clock::wait("no open incident", healed, max, || {
        Ok(open(&world.api.get("/diagnosis")?).is_empty().then_some(()))
    });
    report.seconds("s from healed to over", over.map(|o| o.1.as_secs_f64()), HEALED_TO_OVER_MAX);

    let begun = clock::now();
    let _fault = world.network.cut_probing(1)?;
    let max = std::time::Duration::from_secs_f64(BLIND_MAX * super::PATIENCE);
    let blind = clock::wait("a blind agent", begun, max, || {
        let seen = world.api.get("/diagnosis")?;
        let named = seen.get("blind_agents").map_or(&[][..], items);
        Ok(named.iter().any(|name| *name == agent_name(1)).then_some(seen.clone()))
    });
    let took = blind.as_ref().map(|(_, took)| took.as_secs_f64());
    let took = took.map_err(|error| anyhow::anyhow!("{error:#}"));
    report.seconds("s from probing cut to a blind agent", took, BLIND_MAX);
    let blamed: Vec<String> =
        blind.iter().flat_map(|(seen, _)| open(seen)).map(cause_kind).collect();
    // A blind agent may be told without an incident; what it can no longer see is never to blame.
    let is_own = blind.is_ok() && blamed.iter().all(|kind| kind.starts_with("agent"));
    report.row("kinds of cause then", "none, or of the agent", &blamed.join(", "), is_own);
    Ok(())
}

/// The world as its operator would describe it.
fn topology() -> Value {
    let link = |id: &str, to: &str| json!({"id": id, "kind": "link", "ends": ["net", to]});
    let mut elements = vec![
        json!({"id": "net", "kind": "device", "role": "core"}),
        json!({"id": "field", "kind": "device", "role": "access", "customers": 2900}),
        json!({"id": "slow", "kind": "device", "role": "access"}),
        link(LINK, "field"),
        link("net--slow", "slow"),
    ];
    for n in 1..=AGENTS {
        elements.push(json!({"id": agent_name(n), "kind": "agent", "device": "net"}));
    }
    let stands = |n: u32| if n == SLOW { "slow" } else { "field" };
    let targets: Vec<Value> =
        (1..=TARGETS).map(|n| json!({"id": target_name(n), "device": stands(n)})).collect();
    json!({"version": 1, "elements": elements, "targets": targets})
}

fn open(diagnosis: &Value) -> Vec<&Value> {
    let all = diagnosis.get("incidents").map_or(&[][..], items);
    all.iter().filter(|incident| text(incident, "/state") == "open").collect()
}

fn cause_kind(incident: &Value) -> String {
    text(incident, "/causes/0/kind")
}

fn names_link(incident: &Value) -> bool {
    let elements = incident.pointer("/causes/0/elements").map_or(&[][..], items);
    let probability = incident.pointer("/causes/0/probability").and_then(Value::as_f64);
    elements.iter().any(|id| id == LINK) && probability.is_some_and(|p| 0.5 < p)
}

fn named(world: &World, begun: std::time::Instant) -> anyhow::Result<f64> {
    let max = std::time::Duration::from_secs_f64(CUT_TO_NAMED_MAX * super::PATIENCE);
    let found = clock::wait("the link named", begun, max, || {
        let seen = world.api.get("/diagnosis")?;
        let is_hit = |incident: &&Value| {
            names_link(incident)
                && number(incident, "/impact/targets_down") == u64::from(TARGETS - 1)
        };
        Ok(open(&seen).iter().any(is_hit).then_some(()))
    });
    let ((), took) =
        found.with_context(|| world.api.get("/diagnosis").unwrap_or_default().to_string())?;
    Ok(took.as_secs_f64())
}

fn one_cause(seen: &Value, report: &mut Report) {
    let open = open(seen);
    let sentences: Vec<String> = open.iter().map(|incident| text(incident, "/sentence")).collect();
    let is_one = open.len() == 1;
    report.row("open incidents, and what they say", "1", &sentences.join("; "), is_one);
    let Some(incident) = open.first() else { return };
    let customers = number(incident, "/impact/customers");
    report.row("customers cut off", "2900", &customers.to_string(), customers == 2900);
    let said = incident.pointer("/causes/0/evidence").map_or(&[][..], items);
    let supports = said.iter().filter(|piece| piece.get("supports") == Some(&json!(true))).count();
    report.row("pieces of evidence for it", "at least 1", &supports.to_string(), 0 < supports);
}
