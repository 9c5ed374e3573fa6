//! The cause of what real agents report, by the topology that was imported.

use std::{sync::Arc, time::Duration};

use model::{ProbeId, Tick};
use serde_json::{Value, json};
use server::clock::Clock;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tokio::time::Instant;
use wire::{rounds::RoundRow, v1};

use crate::harness::{Identity, Link, Server, answered, enrol, lost, soon};
use crate::http::TestClocks;

/// An agent at r1 and one at r4; r2 is between r1, r3 and r4.
fn network() -> Value {
    weighing([1, 120])
}

/// The same, with the weights of r2 and r3.
fn weighing([r2, r3]: [u32; 2]) -> Value {
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
    let targets: Vec<Value> = [("r1", 1), ("r2", r2), ("r3", r3), ("r4", 1)]
        .map(|(id, weight)| json!({"id": id, "device": id, "weight": weight}))
        .to_vec();
    json!({"elements": elements, "targets": targets})
}

pub(crate) fn open(diagnosis: &Value) -> Vec<&Value> {
    let all = diagnosis["incidents"].as_array().unwrap();
    all.iter().filter(|incident| incident["state"] == "open").collect()
}

pub(crate) async fn until(server: &Server, is_it: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let diagnosis = server.get("/diagnosis").await;
        if is_it(&diagnosis) {
            return diagnosis;
        }
        assert!(Instant::now() < patience, "it did not come: {diagnosis:#}");
        tokio::task::yield_now().await;
    }
}

/// Describes the network, with a target at each device.
pub(crate) async fn described(server: &Server) -> Vec<model::ProbeId> {
    server.post("/topology/import", &network()).await;
    let mut probes = Vec::new();
    for name in ["r1", "r2", "r3", "r4"] {
        let body = json!({"name": name, "address": "192.0.2.1", "tier_id": 2});
        let made = server.post("/targets", &body).await;
        let probe = u32::try_from(made["probe_id"].as_u64().unwrap()).unwrap();
        probes.push(model::ProbeId(probe));
    }
    probes
}

/// Both agents report that r3 is out since half a minute; gives how they go on after a restart.
pub(crate) async fn cut(server: &Server, probes: &[model::ProbeId]) -> Vec<Identity> {
    let mut identities = Vec::new();
    for name in ["fra1", "ber1"] {
        let (_, token) = server.new_agent(name).await;
        let identity = enrol(&token).await.unwrap();
        let mut link = identity.link().await.unwrap();
        link.assigned(probes).await;
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
    identities
}

/// Both agents report to a server that was started again that r3 answers.
async fn heal(server: &Server, probes: &[model::ProbeId], identities: Vec<Identity>) {
    for identity in identities {
        let identity = identity.at(server);
        let mut link = identity.link_once_free().await;
        let rows: Vec<_> = [9, 6, 3].map(|ago_s| answered(probes[2], ago_s)).to_vec();
        link.send_rounds(1, &rows).await;
        let epoch = link.epoch;
        link.acknowledged(epoch, 1).await;
    }
}

async fn linked(server: &Server, probes: &[model::ProbeId]) -> Vec<Link> {
    let mut links = Vec::new();
    for name in ["fra1", "ber1"] {
        let (_, token) = server.new_agent(name).await;
        let mut link = enrol(&token).await.unwrap().link().await.unwrap();
        link.assigned(probes).await;
        links.push(link);
    }
    links
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_named_from_what_agents_report_and_hits_nobody_once_answers_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let probes = described(&server).await;
    let links = linked(&server, &probes).await;
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
    let probes = described(&server).await;
    let identities = cut(&server, &probes).await;
    let number = |diagnosis: &Value| {
        open(diagnosis).first().and_then(|incident| incident["incident"].as_u64())
    };
    until(&server, |diagnosis| number(diagnosis) == Some(1)).await;
    server.kill().await;

    let server = Server::start_again(dir.path()).await;
    let goes_on = until(&server, |diagnosis| number(diagnosis) == Some(1)).await;
    assert_eq!(open(&goes_on).len(), 1, "nothing was heard yet: {goes_on:#}");
    heal(&server, &probes, identities).await;
    until(&server, |diagnosis| open(diagnosis).is_empty()).await;
    server.stop().await;
    let told = vec!["opened".to_owned(), "resolved".to_owned()];
    assert_eq!(stored(dir.path()).await, [(1, "resolved".to_owned(), told)]);
}

/// What the API answers to something a person does.
async fn act(server: &Server, path: &str, body: Value) -> (u16, Value) {
    server.try_post(&format!("/incidents/1/{path}"), &body).await
}

/// A webhook where nobody listens: what it would be sent can be looked at.
pub(crate) async fn to_nobody(server: &Server) {
    server.post("/webhooks", &json!({"name": "noc", "url": "http://127.0.0.1:9/"})).await;
}

/// What people outside were told, oldest first.
pub(crate) async fn messages(server: &Server) -> Vec<String> {
    let page = server.get("/webhooks/1/deliveries").await;
    let kinds = page["items"].as_array().unwrap().iter().rev();
    kinds.map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
}

/// The number of the next incident that a console is told of.
async fn incident_told(live: &mut reqwest::Response) -> u64 {
    let mut text = String::new();
    loop {
        text += str::from_utf8(&soon(live.chunk()).await.unwrap().unwrap()).unwrap();
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        let event = whole.split("\n\n").find(|event| event.contains("event: incident"));
        let data = event.and_then(|event| event.lines().find_map(|l| l.strip_prefix("data: ")));
        if let Some(data) = data {
            let told: Value = serde_json::from_str(data).unwrap();
            return told["incident"].as_u64().unwrap();
        }
    }
}

pub(crate) async fn incident_until(server: &Server, is_it: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let page = server.get("/incidents").await;
        if let Some(row) = page["items"].as_array().unwrap().first()
            && is_it(row)
        {
            return server.get(&format!("/incidents/{}", row["id"])).await;
        }
        assert!(Instant::now() < patience, "it did not come: {page:#}");
        tokio::task::yield_now().await;
    }
}

/// The incident as a case file is judged as it was live; its post-mortem says the same.
async fn case_holds(server: &Server) {
    let answer = server.ask(reqwest::Method::GET, "/incidents/1/case").await;
    let file = answer.bytes().await.unwrap();
    let case = engine::case::Case::read(&file).unwrap();
    assert_eq!(case.seen.len(), 8, "every pair");
    let mut player = engine::case::Player::new(&case, None);
    let mut last = None;
    while let Some(step) = player.step() {
        last = Some(step);
    }
    let (expected, last) = (case.expected.as_ref().unwrap(), last.unwrap());
    let causes = expected.causes.as_ref().unwrap();
    assert!(causes[0].elements.contains("r2--r3"), "{causes:?}");
    let differences = expected.differences(&case.topology, player.incidents(), &last.assessment, 0);
    assert_eq!(differences, Vec::<String>::new());
    let answer = server.ask(reqwest::Method::GET, "/incidents/1/report").await;
    let text = answer.text().await.unwrap();
    for part in
        ["# Incident #1: r2--r3 or r3 is down", "- Targets down, at worst: 1", "first symptom"]
    {
        assert!(text.contains(part), "{text}");
    }
}

/// What is still seen is closed only by force; `version` is one of before anybody did anything.
async fn closed_by_force(server: &Server, version: &Value) {
    let (status, problem) = act(server, "close", json!({"code": "line"})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (409, &json!("force")), "{problem:#}");
    let stale = json!({"code": "line", "force": true, "version": version});
    let (status, problem) = act(server, "close", stale).await;
    assert_eq!(status, 409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("since you read it, server-shell commented on it at "), "{detail}");
    let forced = json!({"code": "line", "note": "known", "force": true});
    let (status, closed) = act(server, "close", forced).await;
    assert_eq!(
        (status, &closed["state"], &closed["is_seen"]),
        (200, &json!("closed"), &json!(true))
    );
    assert_eq!(server.get("/incidents?state=open").await["items"], json!([]));
    let (status, reopened) = act(server, "reopen", json!({"note": "not yet"})).await;
    assert_eq!((status, &reopened["state"]), (200, &json!("open")));
}

/// What is said of an incident that has just opened.
async fn tells_all(server: &Server, incident: &Value) {
    assert_eq!(incident["suppressed"][0]["target"], "r3");
    assert_eq!(incident["targets"][0]["name"], "r3", "a link to its history");
    assert_eq!(incident["timeline"][0]["kind"], "opened");
    assert_eq!(incident["timeline"][0]["is_told"], true);
    let steps = incident["next_steps"].as_array().unwrap();
    assert!(steps[0].as_str().unwrap().contains("r2--r3 or r3"), "{steps:?}");
    let beliefs = server.get("/incidents/1/revisions").await;
    assert_eq!(beliefs["items"][0]["sentence"], incident["sentence"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_work_on_a_real_incident_from_the_first_symptom_to_the_all_clear() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let probes = described(&server).await;
    let identities = cut(&server, &probes).await;
    let incident = incident_until(&server, |_| true).await;
    assert_eq!((&incident["id"], &incident["state"]), (&json!(1), &json!("open")));
    assert_eq!(incident["causes"][0]["elements"], json!(["r2--r3", "r3"]), "{incident:#}");
    assert!(!incident["causes"][0]["evidence"].as_array().unwrap().is_empty());
    tells_all(&server, &incident).await;

    case_holds(&server).await;

    let (status, acknowledged) = act(&server, "acknowledge", json!({})).await;
    assert_eq!((status, &acknowledged["acknowledged_by"]), (200, &json!("server-shell")));
    let again = act(&server, "acknowledge", json!({"version": incident["version"]})).await.1;
    assert_eq!(again["version"], acknowledged["version"], "pressed twice");
    let (status, owned) = act(&server, "assign", json!({"owner": "admin"})).await;
    assert_eq!((status, &owned["owner"]), (200, &json!("admin")));
    let (status, problem) = act(&server, "assign", json!({"owner": "nobody"})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("owner")));
    assert_eq!(act(&server, "assign", json!({})).await.0, 400, "nobody is said as null");
    assert_eq!(act(&server, "comment", json!({"text": "on my way"})).await.0, 200);
    assert_eq!(act(&server, "comment", json!({"text": " "})).await.0, 422);
    assert_eq!(act(&server, "comment", json!({"text": "x", "to": "y"})).await.0, 400);

    closed_by_force(&server, &incident["version"]).await;

    // What people did outlives the process, and so does what they wait for.
    server.kill().await;
    let server = Server::start_again(dir.path()).await;
    heal(&server, &probes, identities).await;
    let over = incident_until(&server, |row| row["state"] == "resolved").await;
    let (status, problem) = act(&server, "reopen", json!({})).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("it is over since"), "{problem:#}");
    // Nothing but people writes it any more: consoles see what they do.
    let mut live = server.ask(reqwest::Method::GET, "/live").await;
    assert_eq!(
        act(&server, "close", json!({"code": "line", "version": over["version"]})).await.0,
        200
    );
    assert_eq!(incident_told(&mut live).await, 1);
    let done = server.get("/incidents/1").await;
    let did = |entry: &Value| format!("{} {}", entry["actor"], entry["kind"]).replace('"', "");
    let told: Vec<String> = done["timeline"].as_array().unwrap().iter().map(did).collect();
    let told: Vec<&str> =
        told.iter().map(String::as_str).filter(|did| !did.ends_with("revised")).collect();
    assert_eq!(
        told,
        [
            "null opened",
            "server-shell acknowledged",
            "server-shell assigned",
            "server-shell commented",
            "server-shell closed",
            "server-shell reopened",
            "null resolved",
            "server-shell closed",
        ]
    );
    assert_eq!(done["closed_by"], "server-shell");
    let page = server.get("/incidents?q=r2--r3&owner=admin&sort=severity&target=r3").await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["open"]), (1, &json!(0)));
    server.stop().await;
}

/// Rounds fail, both ends report their port, the sentence names the link; a server that is killed
/// knows it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_arrives_names_the_link_and_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let probes = described(&server).await;
    cut(&server, &probes).await;
    let elements = |diagnosis: &Value| {
        open(diagnosis).first().map(|incident| incident["causes"][0]["elements"].clone())
    };
    let before = until(&server, |diagnosis| elements(diagnosis).is_some()).await;
    assert_eq!(elements(&before), Some(json!(["r2--r3", "r3"])));
    let since = open(&before)[0]["since"].clone();
    let fact = |end: &str| {
        json!({"element": "r2--r3", "end": end, "kind": "interface_down", "source": "snmp-fra",
               "since": since})
    };
    let bgp = json!({"element": "r2", "kind": "bgp_up"});
    let body = json!({"facts": [fact("r2"), fact("r3"), bgp]});
    let (status, taken) = server.try_post("/facts", &body).await;
    assert_eq!((status, &taken["new"]), (200, &json!(3)), "{taken:#}");
    let is_named = |diagnosis: &Value| elements(diagnosis) == Some(json!(["r2--r3"]));
    let named = until(&server, is_named).await;
    let sentence = open(&named)[0]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("link r2--r3 is down, since "), "{sentence}");
    let texts = open(&named)[0]["causes"][0]["evidence"].to_string();
    assert!(texts.contains("r2 reports port of r2--r3 down at ") && texts.contains("(snmp-fra)"));
    assert_eq!(named["facts_total"], 3);
    server.kill().await;

    let server = Server::start_again(dir.path()).await;
    let again = until(&server, |diagnosis| diagnosis["facts_total"] == 3).await;
    let facts = again["facts"].as_array().unwrap();
    let is_beside = |fact: &&Value| fact["is_control_plane"] == true;
    assert_eq!(facts.iter().filter(is_beside).count(), 1, "{facts:#?}");
    assert!(facts.iter().all(|fact| fact["is_stale"] == false && fact["is_known"] == true));
    server.stop().await;
}

/// The same failure turns out to hit many more: the same cause, and more severe.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_closed_speaks_again_when_it_gets_worse() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    to_nobody(&server).await;
    let probes = described(&server).await;
    server.post("/topology/import", &weighing([120, 1])).await;
    cut(&server, &probes).await;
    incident_until(&server, |row| row["severity"] == "major").await;
    assert_eq!(act(&server, "acknowledge", json!({})).await.0, 200);
    let forced = json!({"code": "line", "force": true});
    assert_eq!(act(&server, "close", forced).await.1["state"], "closed");

    server.post("/topology/import", &weighing([120, 120])).await;
    let worse = incident_until(&server, |row| row["state"] == "open").await;
    assert_eq!((&worse["id"], &worse["severity"]), (&json!(1), &json!("critical")), "{worse:#}");
    assert_eq!(worse["acknowledged_by"], Value::Null, "nobody has seen that it is worse");
    let entries = worse["timeline"].as_array().unwrap();
    let told = entries.iter().filter(|entry| entry["is_told"] == true);
    let told: Vec<&str> = told.map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(told, ["opened", "reopened"]);
    assert_eq!(messages(&server).await, ["incident.opened", "incident.reopened"]);
    server.stop().await;
}

pub(crate) async fn heartbeat(link: &Link) {
    link.send(v1::agent_frame::Kind::Heartbeat(v1::Heartbeat::default())).await;
}

/// Waits until so many were heard, and everything that was sent before them.
async fn heartbeats(server: &Server, count: u64) {
    soon(async {
        while server.metric("faultline_ingest_heartbeats_total").await < count as f64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_is_cut_off_says_that_alone_once_and_that_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    to_nobody(&server).await;
    let probes = described(&server).await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    link.assigned(&probes).await;
    heartbeat(&link).await;
    heartbeats(&server, 1).await;

    // Nobody is heard: neither the agent, nor anything that it asks, is called down for it.
    clocks.pass(Duration::from_secs(40));
    let blind = |diagnosis: &Value| diagnosis["missing"].to_string().contains("no agent sees");
    until(&server, blind).await;
    clocks.pass(Duration::from_secs(3_600));
    let later = server.get("/diagnosis").await["at_us"].as_i64();
    until(&server, |diagnosis| later < diagnosis["at_us"].as_i64()).await;
    assert_eq!(messages(&server).await, ["monitor.blind"]);
    let identity = identity.process(1, link.epoch);
    server.kill().await;

    let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
    until(&server, blind).await;
    assert_eq!(messages(&server).await, ["monitor.blind"], "nobody is told again");
    let link = identity.at(&server).link_once_free().await;
    heartbeat(&link).await;
    until(&server, |diagnosis| !blind(diagnosis)).await;
    assert_eq!(messages(&server).await, ["monitor.blind", "monitor.sees"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topology_that_is_taken_away_while_the_monitor_is_blind_ends_nothing_until_it_sees() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    to_nobody(&server).await;
    let probes = described(&server).await;
    let identities = cut(&server, &probes).await;
    incident_until(&server, |row| row["state"] == "open").await;

    clocks.pass(Duration::from_secs(40));
    until(&server, |diagnosis| diagnosis["missing"].to_string().contains("no agent sees")).await;
    server.post("/topology/import?mode=replace", &json!({"elements": [], "targets": []})).await;
    let is_empty = |diagnosis: &Value| diagnosis["state"] == "no_topology";
    let at = until(&server, is_empty).await["at_us"].as_i64();
    clocks.pass(Duration::from_secs(5));
    until(&server, |diagnosis| at < diagnosis["at_us"].as_i64()).await;
    assert_eq!(messages(&server).await, ["incident.opened", "monitor.blind"]);

    for identity in identities {
        heartbeat(&identity.at(&server).link_once_free().await).await;
    }
    let ended = incident_until(&server, |row| row["state"] == "resolved").await;
    let told = ["incident.opened", "monitor.blind", "monitor.sees", "incident.resolved"];
    let mut said = messages(&server).await;
    said.sort();
    let mut told = told.to_vec();
    told.sort_unstable();
    assert_eq!(said, told);
    assert!(ended.to_string().contains("no longer in the topology"), "{ended:#}");
    server.stop().await;
}

/// The first judgement takes what is stored, and the second one reads the verdicts.
pub(crate) async fn judged_thrice(server: &Server, clocks: &TestClocks) {
    for _ in 0..3 {
        let at = server.get("/diagnosis").await["at_us"].as_i64();
        clocks.pass(Duration::from_secs(1));
        until(server, |diagnosis| at < diagnosis["at_us"].as_i64()).await;
    }
}

/// An agent at its pace: in each batch a round of the first probe, and one of the second, which
/// answers.
pub(crate) async fn report(
    (server, clocks, link): (&Server, &TestClocks, &Link),
    [probe, well]: [ProbeId; 2],
    batches: std::ops::RangeInclusive<u64>,
    row: fn(ProbeId, u64) -> RoundRow,
) {
    for batch in batches {
        clocks.pass(Duration::from_secs(5));
        let later = |row: RoundRow| {
            let due_tick = Tick(row.due_tick.0 + batch * 5_000_000);
            RoundRow { due_tick, ..row }
        };
        link.send_rounds(batch, &[row(probe, 1), answered(well, 1)].map(later)).await;
        heartbeat(link).await;
        heartbeats(server, batch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_topology_a_target_that_is_down_is_told_all_the_same_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    to_nobody(&server).await;
    let mut probes = Vec::new();
    for (name, address) in [("lone", "192.0.2.1"), ("well", "192.0.2.2")] {
        let body = json!({"name": name, "address": address, "tier_id": 2});
        let probe = server.post("/targets", &body).await["probe_id"].as_u64().unwrap();
        probes.push(ProbeId(u32::try_from(probe).unwrap()));
    }
    let [lone, well] = probes[..] else { panic!("two probes") };
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    link.assigned(&probes).await;
    judged_thrice(&server, &clocks).await;
    report((&server, &clocks, &link), [lone, well], 1..=3, answered).await;
    report((&server, &clocks, &link), [lone, well], 4..=12, lost).await;
    let told = incident_until(&server, |row| row["state"] == "open").await;
    let sentence = told["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("target lone is down since"), "{sentence}");
    assert!(sentence.ends_with("so no cause can be named"), "{sentence}");
    assert_eq!(told["causes"], json!([]));
    let identity = identity.process(1, link.epoch);
    server.kill().await;

    let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
    judged_thrice(&server, &clocks).await;
    assert_eq!(messages(&server).await, ["incident.opened"], "nobody is told again, nor of an end");
    let mut link = identity.at(&server).link_once_free().await;
    link.assigned(&probes).await;
    report((&server, &clocks, &link), [lone, well], 1..=3, answered).await;
    incident_until(&server, |row| row["state"] == "resolved").await;
    assert_eq!(messages(&server).await, ["incident.opened", "incident.resolved"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_topology_that_cannot_be_read_targets_are_told_and_incidents_wait_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    to_nobody(&server).await;
    let mut probes = described(&server).await;
    let identities = cut(&server, &probes).await;
    incident_until(&server, |row| row["state"] == "open").await;
    server.kill().await;
    damage_topology(dir.path()).await;
    clocks.pass(Duration::from_secs(1));

    let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
    let is_unreadable = |diagnosis: &Value| diagnosis["state"] == "bad_topology";
    until(&server, is_unreadable).await;
    judged_thrice(&server, &clocks).await;
    let body = json!({"name": "lone", "address": "192.0.2.1", "tier_id": 2});
    let lone = server.post("/targets", &body).await["probe_id"].as_u64().unwrap();
    let lone = ProbeId(u32::try_from(lone).unwrap());
    probes.push(lone);
    let mut link = identities[0].clone().at(&server).link_once_free().await;
    link.assigned(&probes).await;
    report((&server, &clocks, &link), [lone, probes[0]], 1..=3, answered).await;
    report((&server, &clocks, &link), [lone, probes[0]], 4..=12, lost).await;
    incident_until(&server, |row| row["id"] == 2).await;
    let said = server.get("/incidents/2").await["sentence"].clone();
    assert!(said.as_str().unwrap().starts_with("target lone is down"), "{said}");
    assert_eq!(messages(&server).await, ["incident.opened", "incident.opened"]);

    server.post("/topology/import?mode=replace", &network()).await;
    let went_on = |diagnosis: &Value| open(diagnosis).iter().any(|one| one["incident"] == 1);
    until(&server, went_on).await;
    assert_eq!(messages(&server).await, ["incident.opened", "incident.opened"], "nothing ended");
    server.stop().await;
}

/// Half of what is stored of r2 is lost.
async fn damage_topology(data_dir: &std::path::Path) {
    let options = SqliteConnectOptions::new().filename(data_dir.join("faultline.db"));
    let mut connection = options.connect().await.unwrap();
    let half = "UPDATE topology_part SET body_json = '{\"id\": \"r2' WHERE id = 'r2'";
    let changed = sqlx::query(half).execute(&mut connection).await.unwrap().rows_affected();
    assert_eq!(changed, 2, "the device and the target");
    connection.close().await.unwrap();
}
