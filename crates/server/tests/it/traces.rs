//! Traces through the doors that people and agents use: ordered, told hop by hop, ended once.

use std::{sync::Arc, time::Duration};

use model::{HopAnswer, HopEnding, HopNote, TraceEnd, TraceHop, TraceOptions, TraceProtocol};
use reqwest::Method;
use serde_json::{Value, json};
use server::clock::Clock;
use wire::{
    trace::{TRACE, TraceOrder, TraceReport},
    v1::{self, CommandState},
};

use crate::{
    diagnosis::{judged_thrice, report, until},
    harness::{Identity, Link, Server, answered, enrol, lost, soon},
    http::TestClocks,
    restart::Moved,
};

const ABLE: [v1::Capability; 2] = [v1::Capability::IcmpV4, v1::Capability::Trace];

/// A server with a target and an enrolled agent; ids of both.
async fn site(dir: &std::path::Path) -> (Server, u64, u64, Identity) {
    let server = Server::start(dir).await;
    let (target, _) = server.new_target("edge1", "192.0.2.9").await;
    let (agent, token) = server.new_agent("fra1").await;
    (server, target, agent, enrol(&token).await.unwrap())
}

/// Waits for an order.
async fn ordered(link: &mut Link) -> v1::Command {
    let frame = link.answer().await.unwrap();
    let v1::server_frame::Kind::Command(command) = frame else {
        panic!("no command: {frame:?}");
    };
    command
}

async fn say(link: &Link, id: u64, state: CommandState, report: TraceReport) {
    let reason = if state == CommandState::Failed { "it broke" } else { "" }.to_owned();
    let update = v1::CommandUpdate { id, state: state.into(), reason, output: report.encode() };
    link.send(v1::agent_frame::Kind::CommandUpdate(update)).await;
}

fn hop(ttl: u8, from: &str, received: u16, note: HopNote) -> TraceHop {
    let answer = HopAnswer {
        from: from.parse().unwrap(),
        received,
        rtt_us_min: 900,
        rtt_us_mean: 1_000,
        rtt_us_max: 1_200,
    };
    let (answers, ending) = (vec![answer], None);
    TraceHop { flow: 0, ttl, sent: 5, lost: 5 - received, answers, ending, note }
}

/// Waits until a trace is in a state.
async fn reaches(server: &Server, id: &Value, state: &str) -> Value {
    soon(async {
        loop {
            let trace = server.get(&format!("/traces/{id}")).await;
            if trace["state"] == state {
                return trace;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_ordered_told_hop_by_hop_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    let (router, _) = server.new_target("core1", "192.0.2.1").await;
    let mut link = identity.able(&ABLE).link().await.unwrap();
    let body = json!({ "agent": agent, "target": target, "protocol": "udp", "flows": 2 });
    let asked = server.post("/traces", &body).await;
    assert_eq!((&asked["state"], &asked["hops"]), (&json!("ordered"), &json!([])));
    let command = ordered(&mut link).await;
    assert_eq!((command.kind.as_str(), command.id), (TRACE, asked["id"].as_u64().unwrap()));
    assert!(0 < command.deadline_ms);
    let order = TraceOrder::decode(&command.arguments).unwrap();
    let options =
        TraceOptions { protocol: TraceProtocol::Udp, flows: 2, ..TraceOptions::default() };
    assert_eq!((order.address.to_string().as_str(), order.options), ("192.0.2.9", options));

    let first = TraceReport {
        hops: vec![hop(1, "192.0.2.1", 3, HopNote::Unclear)],
        ..TraceReport::default()
    };
    say(&link, command.id, CommandState::Progress, first).await;
    let running = reaches(&server, &asked["id"], "running").await;
    let answer = &running["hops"][0]["answers"][0];
    assert_eq!((&answer["address"], &answer["rtt_us_mean"]), (&json!("192.0.2.1"), &json!(1_000)));
    assert_eq!(answer["target"], json!({ "id": router, "name": "core1" }));

    let mut last = hop(2, "192.0.2.9", 5, HopNote::Clean);
    last.ending = Some(HopEnding::Reached);
    let all = TraceReport {
        hops: vec![hop(1, "192.0.2.1", 3, HopNote::RateLimited), last],
        end: Some(TraceEnd::Reached),
        address: Some("192.0.2.9".parse().unwrap()),
    };
    say(&link, command.id, CommandState::Done, all.clone()).await;
    let done = reaches(&server, &asked["id"], "done").await;
    assert_eq!((&done["end"], &done["asker"]), (&json!("reached"), &json!("server-shell")));
    assert_eq!(done["hops"][0]["note"], "rate_limited");
    assert_eq!(
        (&done["hops"][1]["is_target"], &done["hops"][1]["received"]),
        (&json!(true), &json!(5))
    );
    // What comes later, and what comes of others, changes nothing.
    say(&link, command.id, CommandState::Failed, TraceReport::default()).await;
    say(&link, 4_000_000_000, CommandState::Done, all).await;
    let list = server.get(&format!("/traces?target={target}")).await;
    assert_eq!((&list["items"][0]["state"], &list["items"][1]), (&json!("done"), &Value::Null));
    let audit = server.get("/audit").await;
    let entry = &audit["items"][0];
    assert_eq!((&entry["action"], &entry["object"]), (&json!("trace.run"), &json!("trace edge1")));
    server.stop().await;
    let server = Server::start_again(dir.path()).await;
    assert_eq!(server.get(&format!("/traces/{}", asked["id"])).await["hops"], done["hops"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_addresses_of_targets_are_traced() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    let mut link = identity.able(&ABLE).link().await.unwrap();
    for (body, field) in [
        (json!({ "agent": agent, "address": "198.51.100.77" }), "address"),
        (json!({ "agent": agent, "address": "no name" }), "address"),
        (json!({ "agent": agent, "target": 999 }), "target"),
        (json!({ "agent": agent }), "target"),
        (json!({ "agent": agent, "target": target, "address": "192.0.2.9" }), "address"),
        (json!({ "agent": 999, "target": target }), "agent"),
        (json!({ "agent": agent, "target": target, "flows": 17 }), "flows"),
        (json!({ "agent": agent, "target": target, "flows": 16, "rounds": 9 }), "rounds"),
        (json!({ "agent": agent, "target": target, "protocol": "tcp" }), "protocol"),
        (json!({ "agent": agent, "target": target, "timeout_ms": 1 }), "timeout_ms"),
    ] {
        let (status, problem) = server.try_post("/traces", &body).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    let body = json!({ "agent": agent, "address": "192.0.2.9" });
    let asked = server.post("/traces", &body).await;
    assert_eq!(asked["target"]["name"], "edge1");
    assert_eq!(ordered(&mut link).await.id, asked["id"].as_u64().unwrap());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_away_or_too_old_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    let body = json!({ "agent": agent, "target": target });
    let (status, problem) = server.try_post("/traces", &body).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (409, &json!("agent")));
    assert!(problem["detail"].as_str().unwrap().contains("not connected"), "{problem}");
    let link = identity.able(&[v1::Capability::IcmpV4]).link().await.unwrap();
    let (status, problem) = server.try_post("/traces", &body).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("CAP_NET_RAW"), "{problem}");
    drop(link);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_cancelled_by_a_person_once() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    let mut link = identity.able(&ABLE).link().await.unwrap();
    let asked = server.post("/traces", &json!({ "agent": agent, "target": target })).await;
    let path = format!("/traces/{}", asked["id"]);
    let id = ordered(&mut link).await.id;
    let cancelled: Value = server.ask(Method::DELETE, &path).await.json().await.unwrap();
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["reason"].as_str().unwrap().contains("server-shell"), "{cancelled}");
    let frame = link.answer().await.unwrap();
    let cancel = v1::CommandCancel { id };
    assert_eq!(frame, v1::server_frame::Kind::CommandCancel(cancel));
    assert_eq!(server.ask(Method::DELETE, &path).await.status(), 409);
    let audit = server.get("/audit").await;
    assert_eq!(audit["items"][0]["action"], "trace.cancel");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_an_organisation_may_ask_for_is_refused_with_the_time_to_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    let mut link = identity.able(&ABLE).link().await.unwrap();
    let body = json!({ "agent": agent, "target": target });
    for _ in 0..4 {
        server.post("/traces", &body).await;
    }
    let (status, problem) = server.try_post("/traces", &body).await;
    assert_eq!((status, &problem["code"]), (429, &json!("too_many_attempts")));
    assert!(problem["detail"].as_str().unwrap().contains("4 traces"), "{problem}");
    // Those that are over make room, up to so many a minute.
    let mut made = 4;
    let refused = loop {
        let id = ordered(&mut link).await.id;
        say(&link, id, CommandState::Done, TraceReport::default()).await;
        reaches(&server, &json!(id), "done").await;
        let (status, problem) = server.try_post("/traces", &body).await;
        if status != 201 {
            assert_eq!(status, 429);
            break problem;
        }
        made += 1;
        assert!(made < 20, "nothing bounds them");
    };
    assert!(12 <= made, "{made}");
    assert!(refused["detail"].as_str().unwrap().contains("in "), "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_nobody_ends_ends_with_its_time_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let moved = Arc::new(Moved::default());
    let server = Server::start_by(dir.path(), Clock::over(moved.clone())).await;
    let (target, _) = server.new_target("edge1", "192.0.2.9").await;
    let (agent, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap().able(&ABLE);
    let mut link = identity.link().await.unwrap();
    let asked = server.post("/traces", &json!({ "agent": agent, "target": target })).await;
    ordered(&mut link).await;
    drop(link);
    moved.pass(Duration::from_secs(400));
    let ended = reaches(&server, &asked["id"], "expired").await;
    assert!(!ended["reason"].as_str().unwrap().is_empty(), "{ended}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_was_under_way_when_the_server_stopped_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    let mut link = identity.able(&ABLE).link().await.unwrap();
    let asked = server.post("/traces", &json!({ "agent": agent, "target": target })).await;
    ordered(&mut link).await;
    server.kill().await;
    let server = Server::start_again(dir.path()).await;
    let ended = server.get(&format!("/traces/{}", asked["id"])).await;
    assert_eq!(ended["state"], "failed");
    assert!(ended["reason"].as_str().unwrap().contains("server"), "{ended}");
    server.stop().await;
}

/// Waits for an order, whatever else comes.
async fn next_order(link: &mut Link) -> (u64, TraceOrder) {
    loop {
        if let v1::server_frame::Kind::Command(command) = link.answer().await.unwrap() {
            return (command.id, TraceOrder::decode(&command.arguments).unwrap());
        }
    }
}

/// Targets at the devices of the network of `diagnosis`, each with an address of its own.
async fn placed(server: &Server) -> Vec<model::ProbeId> {
    let link = |a: &str, b: &str| {
        let id = format!("{a}--{b}");
        json!({"id": id, "kind": "link", "ends": [a, b], "cost": 10})
    };
    let mut elements: Vec<Value> =
        ["r1", "r2", "r3", "r4"].map(|id| json!({"id": id, "kind": "device"})).to_vec();
    elements.extend([link("r1", "r2"), link("r2", "r3"), link("r2", "r4")]);
    elements.push(json!({"id": "fra1", "kind": "agent", "device": "r1"}));
    elements.push(json!({"id": "ber1", "kind": "agent", "device": "r4"}));
    let names = ["r1", "r2", "r3", "r4"];
    let targets = names.map(|id| json!({"id": id, "device": id}));
    let body = json!({"elements": elements, "targets": targets});
    server.post("/topology/import", &body).await;
    let mut probes = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let address = format!("192.0.2.{}", at + 1);
        let made =
            server.post("/targets", &json!({"name": name, "address": address, "tier_id": 2})).await;
        probes.push(model::ProbeId(u32::try_from(made["probe_id"].as_u64().unwrap()).unwrap()));
    }
    probes
}

/// An agent that can trace and that asks r3 and r4, which answer it at first; then r3 does not.
async fn cut(server: &Server, clocks: &TestClocks) -> Link {
    let probes = placed(server).await;
    let (_, token) = server.new_agent("fra1").await;
    let mut link = enrol(&token).await.unwrap().able(&ABLE).link().await.unwrap();
    link.assigned(&probes).await;
    judged_thrice(server, clocks).await;
    let pair = [probes[2], probes[3]];
    // One batch a judgement: time that passes while one is made would count as its own.
    for batch in 1..=9 {
        let at = server.get("/diagnosis").await["at_us"].as_i64();
        let row = if batch < 3 { answered } else { lost };
        report((server, clocks, &link), pair, batch..=batch, row).await;
        until(server, |diagnosis| at < diagnosis["at_us"].as_i64()).await;
    }
    link
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_goes_bad_is_traced_by_itself_and_what_was_found_stands_in_its_incident() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let mut link = cut(&server, &clocks).await;
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let (id, order) = next_order(&mut link).await;
        let address = order.address.to_string();
        let is_bad = address == "192.0.2.3";
        let mut hops =
            vec![hop(1, "192.0.2.1", 3, HopNote::Clean), hop(2, "192.0.2.2", 3, HopNote::Clean)];
        if !is_bad {
            hops[1].ending = Some(HopEnding::Reached);
        }
        let end = Some(if is_bad { TraceEnd::Silent } else { TraceEnd::Reached });
        let report = TraceReport { hops, end, ..TraceReport::default() };
        say(&link, id, CommandState::Done, report).await;
        addresses.push((is_bad, id));
    }
    addresses.sort_unstable();
    let [(false, _), (true, bad)] = addresses[..] else { panic!("{addresses:?}") };
    let timeline = soon(async {
        loop {
            let incidents = server.get("/incidents").await;
            if let Some(number) = incidents["items"][0]["id"].as_u64() {
                let incident = server.get(&format!("/incidents/{number}")).await;
                let entries = incident["timeline"].as_array().unwrap().clone();
                let traced: Vec<Value> =
                    entries.into_iter().filter(|entry| entry["kind"] == "traced").collect();
                if traced.iter().any(|entry| entry["trace"] == json!(bad)) {
                    return traced;
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let entry = timeline.iter().find(|entry| entry["trace"] == json!(bad)).unwrap();
    assert_eq!(entry["note"], "trace from fra1 to r3: last answer from r2, hop 2");
    let trace = server.get(&format!("/traces/{bad}")).await;
    assert_eq!((&trace["why"], &trace["asker"]), (&json!("went_bad"), &Value::Null));
    assert_eq!(
        (&trace["why_note"], &trace["incident"]),
        (&json!("r3 is down from fra1"), &json!(1))
    );
    let automatic = server.get("/traces?automatic=true&incident=1").await;
    assert!(!automatic["items"].as_array().unwrap().is_empty());
    assert_eq!(server.get("/traces?automatic=false").await["items"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_traced_by_itself_gives_way_to_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let mut link = cut(&server, &clocks).await;
    let first = next_order(&mut link).await.0;
    let second = next_order(&mut link).await.0;
    let (agent, target) = (server.get(&format!("/traces/{first}")).await["agent"]["id"].clone(), 1);
    let body = json!({ "agent": agent, "target": target });
    // Two more are room for; then one that nobody asked for ends for each.
    for _ in 0..4 {
        server.post("/traces", &body).await;
    }
    for id in [first, second] {
        let ended = reaches(&server, &json!(id), "cancelled").await;
        assert!(ended["reason"].as_str().unwrap().contains("gave way"), "{ended}");
    }
    let (status, _) = server.try_post("/traces", &body).await;
    assert_eq!(status, 429, "four are people's");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_ask_at_the_same_moment_start_no_more_than_one_after_another() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    let _link = identity.able(&ABLE).link().await.unwrap();
    let body = json!({ "agent": agent, "target": target });
    let ask = async || server.try_post("/traces", &body).await.0;
    let (a, b, c, d, e, f, g, h) =
        tokio::join!(ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask());
    let made = [a, b, c, d, e, f, g, h].iter().filter(|status| **status == 201).count();
    assert_eq!(made, 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_way_is_told_with_its_hop_and_who_answers_nothing_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (server, target, agent, identity) = site(dir.path()).await;
    server.new_target("core1", "192.0.2.1").await;
    let mut link = identity.able(&ABLE).link().await.unwrap();
    let body = json!({ "agent": agent, "target": target });
    let path = format!("/traces/paths?target={target}&agent={agent}");
    let mut seen = Vec::new();
    for second in [Some("192.0.2.2"), None, Some("192.0.2.3")] {
        server.post("/traces", &body).await;
        let id = ordered(&mut link).await.id;
        let mut hops = vec![hop(1, "192.0.2.1", 5, HopNote::Clean)];
        hops.extend(second.map(|address| hop(2, address, 5, HopNote::Clean)));
        let end = Some(TraceEnd::Silent);
        say(&link, id, CommandState::Done, TraceReport { hops, end, ..TraceReport::default() })
            .await;
        // What was seen of it is kept before the next one is made.
        let is_seen = |page: &Value| page["items"][0]["trace"] == json!(id);
        let page = soon(async {
            loop {
                let page = server.get(&path).await;
                if is_seen(&page) {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        seen.push(page["items"].as_array().unwrap().len());
    }
    assert_eq!(seen, [1, 1, 2]);
    let page = server.get(&path).await;
    let change = page["items"][0]["change"].as_str().unwrap();
    let begins = "path from fra1 to edge1 changed at hop 2: was 192.0.2.2, is 192.0.2.3, since";
    assert!(change.starts_with(begins), "{change}");
    assert_eq!(page["items"][0]["hops"][0]["answers"][0]["target"]["name"], "core1");
    assert_eq!(
        (&page["items"][1]["seen_count"], &page["items"][1]["is_latest"]),
        (&json!(2), &json!(false))
    );
    server.stop().await;
}
