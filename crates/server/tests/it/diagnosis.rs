//! The cause of what real agents report, by the topology that was imported.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Server, answered, enrol, lost};

/// An agent at r1 and one at r4; r2 is between r1, r3 and r4.
fn network() -> Value {
    let link = |a: &str, b: &str| {
        let id = format!("{a}--{b}");
        json!({"id": id, "kind": "link", "ends": [a, b], "cost": 10})
    };
    let mut elements: Vec<Value> =
        ["r1", "r2", "r3", "r4"].map(|id| json!({"id": id, "kind": "device"})).to_vec();
    elements.extend([link("r1", "r2"), link("r2", "r3"), link("r2", "r4")]);
    elements.extend([
        json!({"id": "fra1", "kind": "agent", "device": "r1"}),
        json!({"id": "ber1", "kind": "agent", "device": "r4"}),
    ]);
    let targets: Vec<Value> = [("r1", 1), ("r2", 1), ("r3", 120), ("r4", 1)]
        .map(|(id, weight)| json!({"id": id, "device": id, "weight": weight}))
        .to_vec();
    json!({"elements": elements, "targets": targets})
}

fn open(diagnosis: &Value) -> Vec<&Value> {
    let all = diagnosis["incidents"].as_array().unwrap();
    all.iter().filter(|incident| incident["state"] == "open").collect()
}

async fn until(server: &Server, is_it: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + Duration::from_secs(12);
    loop {
        let diagnosis = server.get("/diagnosis").await;
        if is_it(&diagnosis) {
            return diagnosis;
        }
        assert!(Instant::now() < patience, "it did not come: {diagnosis:#}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_named_from_what_agents_report_and_hits_nobody_once_answers_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post("/topology/import", &network()).await;
    let mut probes = Vec::new();
    for name in ["r1", "r2", "r3", "r4"] {
        let body = json!({"name": name, "address": "192.0.2.1", "tier_id": 2});
        let made = server.post("/targets", &body).await;
        let probe = u32::try_from(made["probe_id"].as_u64().unwrap()).unwrap();
        probes.push(model::ProbeId(probe));
    }
    let mut links = Vec::new();
    for name in ["fra1", "ber1"] {
        let (_, token) = server.new_agent(name).await;
        let mut link = enrol(&token).await.unwrap().link().await.unwrap();
        link.assigned(&probes).await;
        links.push(link);
    }
    for link in &links {
        let mut rows = Vec::new();
        for ago_s in (20..=60).rev().step_by(5) {
            for (at, probe) in probes.iter().enumerate() {
                let is_cut = at == 2 && ago_s <= 35;
                rows.push(if is_cut { lost(*probe, ago_s) } else { answered(*probe, ago_s) });
            }
        }
        link.send_rounds(1, &rows).await;
    }
    let diagnosis = until(&server, |diagnosis| !open(diagnosis).is_empty()).await;
    let [incident] = open(&diagnosis)[..] else { panic!("{diagnosis:#}") };
    assert_eq!(incident["causes"][0]["elements"], json!(["r2--r3", "r3"]), "{incident:#}");
    let sentence = incident["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("r2--r3 or r3 is down, since "), "{sentence}");
    assert_eq!(incident["impact"]["targets_down"], 1);
    assert_eq!(incident["impact"]["weight"], 120);
    assert_eq!(incident["suppressed"], json!(["r3"]));
    assert!(incident["causes"][0]["evidence"].as_array().is_some_and(|all| !all.is_empty()));
    assert_eq!(diagnosis["missing"], json!([]));
    assert_eq!(diagnosis["pairs"], 8);

    for link in &links {
        let rows: Vec<_> = [15, 10, 5].map(|ago_s| answered(probes[2], ago_s)).to_vec();
        link.send_rounds(2, &rows).await;
    }
    let is_back = |incident: &&Value| incident["impact"]["targets_down"] == 0;
    until(&server, |diagnosis| open(diagnosis).iter().all(is_back)).await;
    server.stop().await;
}
