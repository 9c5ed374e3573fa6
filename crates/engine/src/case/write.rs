//! Writes a case file: what was known at some moments, and what should come out of it.
//!
//! The inverse of `read`, for what a server has stored. What it cannot know any more is left out:
//! paths of before the topology's last change, and what agents said of their gateways.

use std::collections::{BTreeMap, BTreeSet};

use model::{ElementKind, FactKind, UtcMicros};
use serde_json::{Map, Value, json};

use super::expect::ExpectedCause;
use crate::{
    graph::{Dependency, Draft, ElementDraft, Need, TargetDraft, document::own_id},
    rca::Ask,
};

/// Between two heartbeats that are written: whoever reports a round is alive.
const HEARTBEAT_US: i64 = 5_000_000;

/// A target that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedTarget {
    pub name: String,
    pub tier: String,
    /// By name of the agent.
    pub asks: Vec<(String, Ask)>,
}

/// Something that was reported, by ids.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseFact {
    pub element: String,
    /// Whose side of a link.
    pub end: Option<String>,
    /// From which agent.
    pub agent: Option<String>,
    pub kind: FactKind,
    pub at: UtcMicros,
    pub until: Option<UtcMicros>,
    pub value: Option<f64>,
}

/// What goes into a case file.
#[derive(Clone, Debug, Default)]
pub struct CaseDraft {
    /// The moments at which the engine is asked, ascending.
    pub steps: Vec<UtcMicros>,
    pub topology: Draft,
    /// Name and interval in microseconds.
    pub tiers: BTreeMap<String, i64>,
    pub asked: Vec<AskedTarget>,
    pub facts: Vec<CaseFact>,
    /// After the last step.
    pub expected: Vec<ExpectedCause>,
}

impl CaseDraft {
    /// The file, which [`super::Case::read`] takes. Agents and targets that the topology does not
    /// name stand nowhere in it, as they do in a running server.
    pub fn write(&self) -> String {
        let agents = self.agent_ids();
        let missing = self.strangers(&agents);
        let mut elements: Vec<Value> =
            self.topology.elements.iter().map(|element| self.element(element)).collect();
        elements.extend(missing.iter().map(|id| json!({ "id": id, "kind": "agent" })));
        let (rounds, heartbeats) = self.rounds(&agents);
        let tier = |(id, us): (&String, &i64)| json!({ "id": id, "interval_us": us });
        let whole = json!({
            "version": 1,
            "steps_us": self.steps.iter().map(|at| at.0).collect::<Vec<_>>(),
            "tiers": self.tiers.iter().map(tier).collect::<Vec<_>>(),
            "heartbeat_us": HEARTBEAT_US,
            "elements": elements,
            "targets": self.targets(),
            "paths": self.paths(),
            "rounds": rounds,
            "facts": self.facts.iter().map(fact).collect::<Vec<_>>(),
            "heartbeats": heartbeats,
            "expected": { "causes": self.expected.iter().map(cause).collect::<Vec<_>>() },
        });
        format!("{whole}\n")
    }

    /// Element by the name of its agent.
    fn agent_ids(&self) -> BTreeMap<&str, &str> {
        let agents = self.topology.elements.iter().filter(|one| one.kind == ElementKind::Agent);
        agents.map(|one| (one.name.as_deref().unwrap_or(&one.id), one.id.as_str())).collect()
    }

    /// Agents that asked and stand nowhere.
    fn strangers<'a>(&'a self, known: &BTreeMap<&str, &str>) -> BTreeSet<&'a str> {
        let asked = self.asked.iter().flat_map(|target| &target.asks);
        let names = asked.map(|(agent, _)| agent.as_str());
        names.filter(|name| !known.contains_key(name) && !self.is_element(name)).collect()
    }

    fn is_element(&self, id: &str) -> bool {
        self.topology.elements.iter().any(|element| element.id == id)
    }

    fn own_id(&self, target: &str) -> String {
        own_id(target, |id| self.is_element(id))
    }

    fn element(&self, element: &ElementDraft) -> Value {
        let mut told = Map::new();
        told.insert("id".to_owned(), json!(element.id));
        told.insert("kind".to_owned(), json!(element.kind.as_str()));
        for (key, value) in [
            ("site", element.site.as_ref().map(|site| json!(site))),
            ("srlg", Some(json!(element.groups)).filter(|_| !element.groups.is_empty())),
            ("ends", element.ends.as_ref().map(|ends| json!(ends))),
            ("cost", element.cost.map(|cost| json!(cost))),
            ("cost_back", element.cost_back.map(|cost| json!(cost))),
            ("device", element.device.as_ref().map(|device| json!(device))),
            ("needs", self.needs(&element.id)),
        ] {
            told.extend(value.map(|value| (key.to_owned(), value)));
        }
        Value::Object(told)
    }

    fn needs(&self, of: &str) -> Option<Value> {
        let need = |dependency: &Dependency| match dependency.need {
            Need::Any => json!({ "any": dependency.on }),
            Need::All => json!({ "all": dependency.on }),
        };
        let all = self.topology.dependencies.iter().filter(|dependency| dependency.of == of);
        let all: Vec<Value> = all.map(need).collect();
        (!all.is_empty()).then(|| json!(all))
    }

    fn targets(&self) -> Vec<Value> {
        let tiers: BTreeMap<&str, &str> =
            self.asked.iter().map(|one| (one.name.as_str(), one.tier.as_str())).collect();
        let placed = self.topology.targets.iter().map(|target| {
            let TargetDraft { id, device, weight, .. } = target;
            let tier = tiers.get(id.as_str());
            let mut told = json!({ "id": self.own_id(id), "weight": weight, "device": device });
            if let (Some(tier), Some(told)) = (tier, told.as_object_mut()) {
                told.insert("tier".to_owned(), json!(tier));
            }
            if let (Some(needs), Some(told)) = (self.needs(id), told.as_object_mut()) {
                told.insert("needs".to_owned(), needs);
            }
            told
        });
        let known: BTreeSet<&str> =
            self.topology.targets.iter().map(|target| target.id.as_str()).collect();
        let strangers = self.asked.iter().filter(|one| !known.contains(one.name.as_str()));
        let strangers =
            strangers.map(|one| json!({ "id": self.own_id(&one.name), "tier": one.tier }));
        placed.chain(strangers).collect()
    }

    /// Pinned paths.
    fn paths(&self) -> Vec<Value> {
        let of = |target: &TargetDraft| {
            let id = self.own_id(&target.id);
            let path = |pin: &crate::graph::Pin| {
                json!({
                    "agent": pin.agent, "target": id, "elements": pin.via,
                    "weight": pin.weight, "source": "trace",
                })
            };
            target.pins.iter().map(path).collect::<Vec<_>>()
        };
        self.topology.targets.iter().flat_map(of).collect()
    }

    /// Rounds, and a heartbeat of each agent for every few seconds in which it reported one.
    fn rounds(&self, agents: &BTreeMap<&str, &str>) -> (Vec<Value>, Vec<Value>) {
        let mut rounds = Vec::new();
        let mut beats: BTreeMap<&str, BTreeMap<i64, i64>> = BTreeMap::new();
        for target in &self.asked {
            let id = self.own_id(&target.name);
            for (agent, ask) in &target.asks {
                let agent = agents.get(agent.as_str()).copied().unwrap_or(agent);
                let at = ask.at.0;
                let last = beats.entry(agent).or_default().entry(at / HEARTBEAT_US).or_insert(at);
                *last = at.max(*last);
                rounds.push(json!({
                    "agent": agent, "target": id, "at_us": at, "sent": ask.sent,
                    "received": ask.received, "rtt_us": ask.rtt_us,
                }));
            }
        }
        let beat = |agent: &str, at: i64| json!({ "agent": agent, "at_us": at });
        let beats = beats
            .into_iter()
            .flat_map(|(agent, all)| all.into_values().map(move |at| beat(agent, at)));
        (rounds, beats.collect())
    }
}

fn fact(fact: &CaseFact) -> Value {
    let mut told = Map::new();
    for (key, value) in [
        ("element", Some(json!(fact.element))),
        ("end", fact.end.as_ref().map(|end| json!(end))),
        ("agent", fact.agent.as_ref().map(|agent| json!(agent))),
        ("kind", Some(json!(fact.kind.as_str()))),
        ("at_us", Some(json!(fact.at.0))),
        ("until_us", fact.until.map(|until| json!(until.0))),
        ("value", fact.value.map(|value| json!(value))),
    ] {
        told.extend(value.map(|value| (key.to_owned(), value)));
    }
    Value::Object(told)
}

fn cause(cause: &ExpectedCause) -> Value {
    json!({
        "elements": cause.elements,
        "kind": cause.kind.map(ElementKind::as_str),
        "mode": cause.mode.map(model::FaultMode::as_str),
    })
}

#[cfg(test)]
mod tests {
    use model::FaultMode;

    use super::*;
    use crate::{
        case::{Case, Player},
        graph::document::Document,
        live::{Reported, for_case},
        rca::Change,
    };

    /// Two devices in a row behind an agent; the second falls silent after some rounds.
    fn field() -> CaseDraft {
        let device = |id: &str| ElementDraft::new(id, ElementKind::Device);
        let agent = ElementDraft {
            device: Some("r1".to_owned()),
            name: Some("fra1".to_owned()),
            ..ElementDraft::new("agent-1", ElementKind::Agent)
        };
        let elements = vec![
            device("r1"),
            device("r2"),
            device("r3"),
            agent,
            ElementDraft::link("l12", "r1", "r2"),
        ];
        let elements = [elements, vec![ElementDraft::link("l23", "r2", "r3")]].concat();
        let target = |name: &str| TargetDraft::new(name, Some(name.to_owned()));
        let targets = ["r1", "r2", "r3"].map(target).to_vec();
        let need = Dependency { of: "r3".to_owned(), need: Need::All, on: vec!["r2".to_owned()] };
        let ask = |at_s: i64, received: u16| Ask {
            at: UtcMicros(at_s * 1_000_000),
            sent: 5,
            received,
            rtt_us: (0 < received).then_some(900),
        };
        let asked = |name: &str, lost_from_s: i64| AskedTarget {
            name: name.to_owned(),
            tier: "fast".to_owned(),
            asks: (1..20)
                .map(|nth| nth * 10)
                .map(|at| ("fra1".to_owned(), ask(at, if lost_from_s <= at { 0 } else { 5 })))
                .collect(),
        };
        CaseDraft {
            steps: vec![UtcMicros(100_000_000), UtcMicros(191_000_000)],
            topology: Draft { elements, targets, dependencies: vec![need] },
            tiers: BTreeMap::from([("fast".to_owned(), 10_000_000)]),
            asked: vec![asked("r1", 999), asked("r2", 999), asked("r3", 150), asked("new", 999)],
            facts: Vec::new(),
            expected: vec![ExpectedCause {
                elements: ["l23", "r3"].map(str::to_owned).into(),
                kind: None,
                mode: Some(FaultMode::Down),
            }],
        }
    }

    #[test]
    fn what_is_written_is_read_and_judged_as_expected() {
        let field = field();
        let case = Case::read(field.write().as_bytes()).unwrap();
        assert_eq!(case.steps, field.steps);
        assert_eq!(case.seen.len(), 4, "also of a target that stands nowhere");
        assert_eq!(case.counted, crate::case::Counted::default());
        let mut player = Player::new(&case, None);
        assert_eq!(player.step().unwrap().messages, [], "all is well at first");
        let last = player.step().unwrap();
        assert!(last.messages.iter().any(|told| told.change == Change::Opened), "{last:#?}");
        let expected = case.expected.as_ref().unwrap();
        let differences =
            expected.differences(&case.topology, player.incidents(), &last.assessment, 1);
        assert_eq!(differences, Vec::<String>::new());
    }
    #[test]
    fn what_was_reported_is_in_it_as_it_was_known_then() {
        let mut field = field();
        let topology = Document::from(field.topology.clone()).build().unwrap();
        let at = |s: i64| UtcMicros(s * 1_000_000);
        let reported = |element: &str, source: &str, since: i64, seen: i64| Reported {
            source: source.into(),
            element: element.to_owned(),
            end: None,
            agent: None,
            kind: FactKind::InterfaceDown,
            value: None,
            since: at(since),
            seen: at(seen),
            until: Some(at(400)),
        };
        let reported = [
            // Twice the same, seen once more after the last step, and over long after it.
            reported("l23", "snmp", 149, 390),
            reported("l23", "syslog", 150, 150),
            reported("nowhere", "snmp", 149, 190),
            reported("l12", "snmp", 300, 390),
        ];
        let facts = for_case(&topology, &reported, at(191));
        let told: Vec<_> = facts.iter().map(|of| (of.element.as_str(), of.at, of.until)).collect();
        assert_eq!(told, [("l23", at(149), None)]);
        field.facts = facts;
        field.expected[0].elements = ["l23".to_owned()].into();

        let case = Case::read(field.write().as_bytes()).unwrap();
        let mut player = Player::new(&case, None);
        let last = std::iter::from_fn(|| player.step()).last().unwrap();
        let expected = case.expected.as_ref().unwrap();
        let differences =
            expected.differences(&case.topology, player.incidents(), &last.assessment, 1);
        assert_eq!(differences, Vec::<String>::new());
    }
}
