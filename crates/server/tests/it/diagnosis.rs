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

/// What people were told, as the database has it: number, state, entries, messages.
async fn stored(dir: &std::path::Path) -> Vec<(u32, String, Vec<String>)> {
    let store = store::Store::open(&dir.join("faultline.db")).await.unwrap();
    let scope = store::Scope::system(store::ORG_DEFAULT);
    let query = store::IncidentQuery { limit: 10, ..store::IncidentQuery::default() };
    let page = store.incident_list(&scope, &query).await.unwrap();
    let mut all = Vec::new();
    for row in page.rows {
        let full = store.incident_get(&scope, row.id).await.unwrap();
        let told = full.entries.iter().filter(|entry| entry.is_told);
        let told = told.map(|entry| entry.kind.to_string()).collect();
        all.push((row.id.0, row.state.to_string(), told));
    }
    store.close().await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_goes_on_with_its_incident_and_tells_nobody_again() {
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
    let mut identities = Vec::new();
    for name in ["fra1", "ber1"] {
        let (_, token) = server.new_agent(name).await;
        let identity = enrol(&token).await.unwrap();
        let mut link = identity.link().await.unwrap();
        link.assigned(&probes).await;
        let mut rows = Vec::new();
        for ago_s in (2..=62).rev().step_by(5) {
            for (at, probe) in probes.iter().enumerate() {
                let is_cut = at == 2 && ago_s <= 32;
                rows.push(if is_cut { lost(*probe, ago_s) } else { answered(*probe, ago_s) });
            }
        }
        link.send_rounds(1, &rows).await;
        let epoch = link.epoch;
        link.acknowledged(epoch, 1).await;
        identities.push(identity.process(1, epoch));
    }
    let number = |diagnosis: &Value| {
        open(diagnosis).first().and_then(|incident| incident["incident"].as_u64())
    };
    until(&server, |diagnosis| number(diagnosis) == Some(1)).await;
    server.kill().await;

    let server = Server::start_again(dir.path()).await;
    let goes_on = until(&server, |diagnosis| number(diagnosis) == Some(1)).await;
    assert_eq!(open(&goes_on).len(), 1, "nothing was heard yet: {goes_on:#}");
    for identity in identities {
        let identity = identity.at(&server);
        let mut link = identity.link_once_free().await;
        let rows: Vec<_> = [9, 6, 3].map(|ago_s| answered(probes[2], ago_s)).to_vec();
        link.send_rounds(1, &rows).await;
        let epoch = link.epoch;
        link.acknowledged(epoch, 1).await;
    }
    until(&server, |diagnosis| open(diagnosis).is_empty()).await;
    server.stop().await;
    let told = vec!["opened".to_owned(), "resolved".to_owned()];
    assert_eq!(stored(dir.path()).await, [(1, "resolved".to_owned(), told)]);
}
