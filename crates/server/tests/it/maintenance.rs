//! Maintenance, live: inside of it nobody is told, beside it they are, and of what did not come
//! back they are told once.

use std::{path::Path, sync::Arc, time::Duration};

use model::{ProbeId, UtcMicros};
use serde_json::{Value, json};
use server::clock::Clock;
use tokio::time::Instant;

use crate::diagnosis::{cut, described, heartbeat, incident_until, messages, to_nobody};
use crate::harness::{Identity, Server, answered, lost};
use crate::http::{START_US, TestClocks};

const HEARTBEATS: &str = "faultline_ingest_heartbeats_total";

/// A server in its own time, with the network of four devices and a webhook where nobody listens.
async fn site(dir: &Path) -> (Server, Arc<TestClocks>, Vec<ProbeId>) {
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir, Clock::over(clocks.clone())).await;
    to_nobody(&server).await;
    let probes = described(&server).await;
    (server, clocks, probes)
}

/// A window over something, open from ten minutes before the server began to ten after.
async fn plan(server: &Server, covers: Value) -> Value {
    let minutes = |minutes: i64| UtcMicros(START_US + minutes * 60_000_000).to_string();
    let body = json!({"title": "fan tray", "covers": covers, "start": minutes(-10),
                      "end": minutes(10)});
    server.post("/maintenance", &body).await
}

/// Both agents report what became of r3 since what they reported before; gives how they go on.
async fn report(
    (server, clocks): (&Server, &TestClocks),
    probes: &[ProbeId],
    identities: Vec<Identity>,
    is_out: bool,
) -> Vec<Identity> {
    clocks.pass(Duration::from_secs(12));
    let mut after = Vec::new();
    for identity in identities {
        let identity = identity.at(server).booted();
        let mut link = identity.link_once_free().await;
        let round = if is_out { lost } else { answered };
        let rows: Vec<_> = [9, 6, 3].map(|ago_s| round(probes[2], ago_s)).to_vec();
        link.send_rounds(1, &rows).await;
        let epoch = link.epoch;
        link.acknowledged(epoch, 1).await;
        let known = server.metric(HEARTBEATS).await;
        heartbeat(&link).await;
        while server.metric(HEARTBEATS).await <= known {
            tokio::task::yield_now().await;
        }
        after.push(identity.process(1, epoch));
    }
    after
}

/// Both agents report for a minute that r3 answers.
async fn heal(
    at: (&Server, &TestClocks),
    probes: &[ProbeId],
    mut identities: Vec<Identity>,
) -> Vec<Identity> {
    for _ in 0..5 {
        identities = report(at, probes, identities, false).await;
    }
    identities
}

/// Waits until people were told exactly that.
async fn told(server: &Server, expected: &[&str]) {
    let patience = Instant::now() + Duration::from_secs(12);
    loop {
        let messages = messages(server).await;
        if messages == expected {
            return;
        }
        assert!(Instant::now() < patience, "{messages:?}, not {expected:?}");
        tokio::task::yield_now().await;
    }
}

/// Waits for a judgement that begins now, and the next.
async fn judged(server: &Server, clocks: &TestClocks) {
    for _ in 0..2 {
        clocks.pass(Duration::from_secs(1));
        let now = server.get("/diagnosis").await["at_us"].as_i64();
        crate::diagnosis::until(server, |diagnosis| now < diagnosis["at_us"].as_i64()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_come_back_is_told_once_also_if_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (server, clocks, probes) = site(dir.path()).await;
    let window = plan(&server, json!([{"kind": "element", "name": "r3"}])).await;
    assert_eq!((&window["id"], &window["state"]), (&json!(1), &json!("open")), "{window:#}");
    let identities = cut(&server, &probes).await;
    let incident = incident_until(&server, |_| true).await;
    let marks = (&incident["maintenance"], &incident["is_silent"], &incident["state"]);
    assert_eq!(marks, (&json!(1), &json!(true), &json!("open")), "{incident:#}");
    let opened = &incident["timeline"][0];
    assert_eq!((&opened["kind"], &opened["is_told"]), (&json!("opened"), &json!(false)));
    let note = opened["note"].as_str().unwrap();
    assert!(note.starts_with("in maintenance #1 “fan tray”, nobody is told: "), "{note}");
    let preview = server.get("/maintenance/1/preview").await;
    assert_eq!(preview["open_incidents"][0]["id"], 1, "{preview:#}");
    server.kill().await;

    // It ends, r3 stays out, and there is a minute to come back in.
    let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
    let identities = report((&server, &clocks), &probes, identities, true).await;
    let ended = server.post("/maintenance/1/end", &json!({})).await;
    assert_eq!((&ended["state"], &ended["open"]), (&json!("over"), &Value::Null));
    judged(&server, &clocks).await;
    assert_eq!(messages(&server).await, Vec::<String>::new());
    clocks.pass(Duration::from_secs(61));
    let identities = report((&server, &clocks), &probes, identities, true).await;
    told(&server, &["maintenance.not_back"]).await;
    let message = server.get("/deliveries/1").await;
    let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
    let text = body["data"]["text"].as_str().unwrap();
    let begin = "Maintenance #1 “fan tray” is over, and this did not come back: #1 ";
    assert!(text.starts_with(begin), "{text}");
    assert_eq!(body["data"]["incidents"][0]["targets"], json!(["r3"]));
    let incident = incident_until(&server, |row| row["is_silent"] == false).await;
    let last = incident["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["kind"], &last["is_told"]), (&json!("not_back"), &json!(true)));
    server.kill().await;

    let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
    let identities = report((&server, &clocks), &probes, identities, true).await;
    judged(&server, &clocks).await;
    assert_eq!(messages(&server).await, ["maintenance.not_back"], "nobody is told again");
    heal((&server, &clocks), &probes, identities).await;
    told(&server, &["maintenance.not_back", "incident.resolved"]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_came_back_nobody_is_told_of_anything() {
    let dir = tempfile::tempdir().unwrap();
    let (server, clocks, probes) = site(dir.path()).await;
    plan(&server, json!([{"kind": "target", "name": "r3"}])).await;
    let identities = cut(&server, &probes).await;
    incident_until(&server, |row| row["is_silent"] == true).await;
    let identities = heal((&server, &clocks), &probes, identities).await;
    incident_until(&server, |row| row["state"] == "resolved").await;
    server.post("/maintenance/1/cancel", &json!({})).await;
    clocks.pass(Duration::from_secs(61));
    heal((&server, &clocks), &probes, identities).await;
    judged(&server, &clocks).await;
    assert_eq!(messages(&server).await, Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_beside_the_work_is_told_at_once_and_a_window_that_begins_later_silences_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (server, clocks, probes) = site(dir.path()).await;
    plan(&server, json!([{"kind": "element", "name": "r4"}])).await;
    let identities = cut(&server, &probes).await;
    told(&server, &["incident.opened"]).await;
    plan(&server, json!([{"kind": "all"}])).await;
    judged(&server, &clocks).await;
    heal((&server, &clocks), &probes, identities).await;
    told(&server, &["incident.opened", "incident.resolved"]).await;
    server.stop().await;
}
