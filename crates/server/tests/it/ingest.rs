//! Agents at the door: enrolment, fences, acknowledgements, hostile payloads, restarts.

use std::net::IpAddr;

use journal::{Disk, Journal, Options, Position};
use model::{NameAnswer, ProbeId};
use serde_json::{Value, json};
use tonic::Code;
use wire::{
    rounds::{RoundRow, encode_rounds},
    v1,
};

use crate::harness::{NOW_S, Server, answered, clock, enrol, not_asked, soon};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enrols_once_and_gets_what_it_is_to_ask() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    assert!(server.ready.first_start.is_some());
    let (_, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let again = enrol(&token).await.err().unwrap();
    assert_eq!(again.code(), Code::PermissionDenied);

    let mut link = identity.link().await.unwrap();
    let part = link.assigned(&[probe]).await;
    assert_eq!(part.probes[0].address, "192.0.2.1");
    assert_eq!(part.tiers.len(), 1);
    let (_, second) = server.new_target("core2", "2001:db8::1").await;
    let newer = link.assigned(&[probe, second]).await;
    assert!(part.version < newer.version);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_with_a_count_is_asked_by_the_agent_whose_hello_says_that_it_can() {
    use v1::Capability::{IcmpV4, IcmpV6};
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let tier = json!({"name": "one", "strategy": "count", "agent_count": 1});
    let tier = server.post("/tiers", &tier).await;
    let mut probes = Vec::new();
    for (name, address) in [("core1", "192.0.2.1"), ("core2", "2001:db8::1")] {
        let body = json!({"name": name, "address": address, "tier_id": tier["id"]});
        let made = server.post("/targets", &body).await;
        probes.push(ProbeId(u32::try_from(made["probe_id"].as_u64().unwrap()).unwrap()));
    }
    let (_, token) = server.new_agent("fra1").await;
    let first = enrol(&token).await.unwrap().able(&[IcmpV6]);
    let mut v6 = first.link().await.unwrap();
    v6.assigned(&probes).await;

    let (_, token) = server.new_agent("ams2").await;
    let second = enrol(&token).await.unwrap().able(&[IcmpV4]);
    let mut v4 = second.link().await.unwrap();
    v4.assigned(&probes[..1]).await;
    v6.assigned(&probes[1..]).await;
    // The host of the first now lets it ask everything, and that of the second nothing.
    let mut both = first.able(&[IcmpV4, IcmpV6]).link().await.unwrap();
    v4 = second.clone().able(&[]).link().await.unwrap();
    both.assigned(&probes).await;
    v4.assigned(&[]).await;
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut back = second.able(&[]).at(&server).link().await.unwrap();
    back.assigned(&[]).await;
    server.stop().await;
}

/// The changes of what a target's name stands for.
async fn names_of(server: &Server, target: u64) -> Vec<Value> {
    let page = server.get(&format!("/targets/{target}/changes")).await;
    let items = page["items"].as_array().unwrap().iter();
    items.filter(|item| item["kind"] == "name").cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_answers_otherwise_is_a_change_of_its_target_with_both_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "core1.example.net").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    link.assigned(&[probe]).await;
    let epoch = link.epoch;
    let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
    let found = |ago_s, n, was: Option<u8>| {
        let answer = NameAnswer { address: ip(n), was: was.map(ip) };
        RoundRow { address: Some(answer), ..answered(probe, ago_s) }
    };
    // The batch again says it no second time.
    for _ in 0..2 {
        link.send_rounds(1, &[found(60, 1, None), found(30, 7, Some(1))]).await;
        link.acknowledged(epoch, 1).await;
    }
    server.rounds_reach(target, 2).await;
    let told = names_of(&server, target).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let expected = json!(["core1.example.net", "192.0.2.1", "192.0.2.7", "fra1"]);
    let told = &told[0];
    assert_eq!(json!([told["name"], told["from"], told["to"], told["agent"]["name"]]), expected);
    server.stop().await;

    // A server and an agent that start anew know what it was; until it is heard, nobody calls it
    // online.
    let server = Server::start(dir.path()).await;
    let state = async |server: &Server| server.get("/agents").await["items"][0].clone();
    let awaited = state(&server).await;
    assert_eq!(awaited["state"], "awaited");
    let why = awaited["state_why"].as_str().unwrap();
    assert!(
        why.starts_with("not heard since the server started at ") && why.contains("was online")
    );
    let overview = server.get("/overview").await;
    assert_eq!(
        (&overview["agents"]["awaited"], &overview["agents"]["online"]),
        (&json!(1), &json!(0))
    );
    let mut link = identity.process(2, epoch).at(&server).link().await.unwrap();
    link.send_rounds(1, &[found(10, 7, None), found(0, 8, None)]).await;
    link.acknowledged(link.epoch, 1).await;
    server.rounds_reach(target, 4).await;
    assert_eq!(state(&server).await["state"], "online");
    let told = names_of(&server, target).await;
    assert_eq!(
        (told.len(), &told[0]["from"], &told[0]["to"]),
        (2, &json!("192.0.2.7"), &json!("192.0.2.8"))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_that_are_changed_reach_a_connected_agent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (id, token) = server.new_agent("fra1").await;
    let mut link = enrol(&token).await.unwrap().link().await.unwrap();
    assert!(link.assigned(&[]).await.witnesses.is_empty());
    let told = json!({"witnesses": ["192.0.2.53", "2001:db8::53"]});
    server.patch(&format!("/agents/{id}"), &told).await;
    link.forget_assignments();
    assert_eq!(link.assigned(&[]).await.witnesses, ["192.0.2.53", "2001:db8::53"]);
    let audit = server.get("/audit?limit=1").await;
    assert_eq!(audit["items"][0]["action"], "agent.update");
    assert_eq!(audit["items"][0]["before"]["witnesses"], json!([]));
    assert_eq!(audit["items"][0]["after"]["witnesses"], told["witnesses"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_only_enrolment_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (_, token) = server.new_agent("fra1").await;
    let mut stranger = token.clone();
    stranger.secret = "guessed".to_owned();
    let refused = enrol(&stranger).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(enrol(&token).await.is_ok());
    assert_eq!(server.metric("faultline_enrolment_refused_total").await, 1.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_is_cut_off_at_once_and_stays_out() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (id, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    server.post(&format!("/agents/{id}/revoke"), &json!({})).await;
    assert_eq!(link.end().await.code(), Code::PermissionDenied);
    assert_eq!(identity.link().await.err().unwrap().code(), Code::PermissionDenied);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stream_ends_the_older_and_has_a_later_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut older = identity.link().await.unwrap();
    let newer = identity.link().await.unwrap();
    assert_eq!(older.end().await.code(), Code::Aborted);
    assert!(older.epoch < newer.epoch);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_counts_once_however_often_it_comes_also_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let epoch = link.epoch;
    let rows = [answered(probe, 60), answered(probe, 30), not_asked(probe, 0)];
    link.send_rounds(1, &rows).await;
    link.acknowledged(epoch, 1).await;
    link.send_rounds(1, &rows).await;
    link.acknowledged(epoch, 1).await;
    assert_eq!(server.rounds_reach(target, 3).await.len(), 3);
    assert_eq!(server.metric("faultline_ingest_batches_total").await, 1.0);
    assert_eq!(server.metric("faultline_ingest_duplicates_total").await, 1.0);
    server.stop().await;

    let server = Server::start(dir.path()).await;
    assert!(server.ready.first_start.is_none());
    let mut link = identity.at(&server).process(2, epoch).link().await.unwrap();
    assert!(epoch < link.epoch);
    let rounds = v1::payload::Kind::Rounds(encode_rounds(&rows));
    let payload = wire::seal(&v1::Payload { kind: Some(rounds) }).unwrap();
    link.send_payload(epoch, 1, payload).await;
    link.acknowledged(epoch, 1).await;
    let fresh = link.epoch;
    link.send_rounds(1, &[answered(probe, 10)]).await;
    link.acknowledged(fresh, 1).await;
    assert_eq!(server.rounds_reach(target, 4).await.len(), 4);
    assert_eq!(server.metric("faultline_ingest_duplicates_total").await, 1.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (_, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let epoch = link.epoch;
    let rounds = v1::payload::Kind::Rounds(encode_rounds(&[answered(probe, 0)]));
    let payload = wire::seal(&v1::Payload { kind: Some(rounds) }).unwrap();
    link.send_payload(epoch, 1, payload.clone()).await;
    link.acknowledged(epoch, 1).await;

    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path().join("log")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let options = Options { record_bytes_max: 16 << 20, ..Options::default() };
    let (journal, _) = Journal::open(copy.path(), options, Disk).unwrap();
    let is_there = journal.read_from(Position(1)).any(|record| {
        let (_, bytes) = record.unwrap();
        bytes.windows(payload.len()).any(|window| window == payload)
    });
    assert!(is_there);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_payloads_are_refused_with_a_reason_while_another_agent_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("hostile").await;
    let mut hostile = enrol(&token).await.unwrap().link().await.unwrap();
    let (_, token) = server.new_agent("honest").await;
    let mut honest = enrol(&token).await.unwrap().link().await.unwrap();

    let future = encode_rounds(&[answered(probe, 0)]);
    let mut future_rounds = future.clone();
    future_rounds.due_tick_us_delta[0] = i64::try_from((NOW_S + 3_600) * 1_000_000).unwrap();
    let mut short = future.clone();
    short.sent.clear();
    let sealed = |rounds: v1::Rounds| {
        wire::seal(&v1::Payload { kind: Some(v1::payload::Kind::Rounds(rounds)) }).unwrap()
    };
    let facts = v1::payload::Kind::Facts(v1::Facts::default());
    let facts = wire::seal(&v1::Payload { kind: Some(facts) }).unwrap();
    let cases = [
        (hostile.epoch, b"garbage".to_vec(), "no zstd frame"),
        (hostile.epoch, sealed(future_rounds), "in the future"),
        (hostile.epoch, sealed(short), "column"),
        (hostile.epoch, facts, "rounds only"),
        (hostile.epoch + 1, sealed(future.clone()), "not granted"),
        (0, sealed(future.clone()), "epoch"),
    ];
    for (seq, (epoch, payload, expected)) in (1..).zip(cases) {
        hostile.send_payload(epoch, seq, payload).await;
        let answer = hostile.answer().await.unwrap();
        let v1::server_frame::Kind::Refusal(refusal) = answer else {
            panic!("not a refusal: {answer:?}")
        };
        assert_eq!((refusal.epoch, refusal.seq), (epoch, seq));
        assert!(refusal.reason.contains(expected), "{}", refusal.reason);
    }
    for seq in 1..=60 {
        hostile.send_payload(hostile.epoch, 100 + seq, b"garbage".to_vec()).await;
    }
    assert_eq!(hostile.end().await.code(), Code::InvalidArgument);

    let epoch = honest.epoch;
    honest.send_rounds(1, &[answered(probe, 0)]).await;
    honest.acknowledged(epoch, 1).await;
    assert_eq!(server.rounds_reach(target, 1).await.len(), 1);
    let refused = async |what: &str| {
        let name = format!("faultline_ingest_refusals_total{{what=\"{what}\"}}");
        server.metric(&name).await
    };
    assert!(6.0 <= refused("batch").await);
    // A second hello, a heartbeat that says too much: counted each, and the stream goes on. A frame
    // that is too large ends it.
    honest.send(v1::agent_frame::Kind::Hello(v1::Hello::default())).await;
    let impediment = "x".repeat(257);
    let heartbeat = v1::Heartbeat { impediment, ..v1::Heartbeat::default() };
    honest.send(v1::agent_frame::Kind::Heartbeat(heartbeat)).await;
    honest.send_rounds(2, &[answered(probe, 0)]).await;
    honest.acknowledged(epoch, 2).await;
    assert_eq!((refused("hello").await, refused("heartbeat").await), (1.0, 1.0));
    honest.send_payload(epoch, 3, vec![0; 2 << 20]).await;
    honest.end().await;
    assert_eq!(refused("frame").await, 1.0);
    server.stop().await;
}

/// From the heartbeat through the log into the history, once, also over a kill of the server; and
/// another process of the agent is a reset of its counters.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_says_of_itself_is_kept_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (id, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let beat = |rounds_total| {
        v1::agent_frame::Kind::Heartbeat(v1::Heartbeat {
            clock: Some(clock(100)),
            rounds_total,
            send_lag_us_max: 2_500,
            probes: 7,
            ..v1::Heartbeat::default()
        })
    };
    let path = format!("/agents/{id}/metrics?level=1d");
    let told = async |server: &Server, name: &str| {
        let told = server.get(&format!("{path}&name={name}")).await;
        told["series"].as_array().unwrap().clone()
    };
    // A counter's samples, what it counted, and its resets.
    let rounds = async |server: &Server, samples: u64| {
        soon(async {
            loop {
                let series = told(server, "agent_rounds_total").await;
                let bucket = series.first().map(|s| s["buckets"].as_array().unwrap().last());
                if let Some(bucket) = bucket.flatten().filter(|b| b["count"] == samples) {
                    return bucket.clone();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    let link = identity.link().await.unwrap();
    link.send(beat(100)).await;
    link.send(beat(101)).await;
    rounds(&server, 1).await;
    let lags = told(&server, "agent_send_lag_seconds").await;
    assert_eq!(lags.len(), 2, "the median and the worst: {lags:?}");
    let worst = lags.iter().find(|series| series["labels"]["stat"] == "max").unwrap();
    assert_eq!((&worst["unit"], &worst["kind"]), (&json!("seconds"), &json!("gauge")));
    // The last 24 hours are two days of the calendar, but for the first moment of a day.
    let told = worst["buckets"].as_array().unwrap().iter().filter(|bucket| bucket["count"] != 0);
    assert_eq!(told.map(|bucket| &bucket["max"]).collect::<Vec<_>>(), [&json!(0.0025)]);
    let all = server.get(&path).await;
    assert_eq!(all["series"].as_array().unwrap().len(), 14);
    server.kill().await;

    let server = Server::start_again(dir.path()).await;
    rounds(&server, 1).await;
    let identity = identity.at(&server).process(2, link.epoch);
    let link = identity.link_once_free().await;
    link.send(beat(500)).await;
    let bucket = rounds(&server, 2).await;
    assert_eq!((&bucket["increase"], &bucket["resets"]), (&json!(500), &json!(1)));
    let csv = server.ask(reqwest::Method::GET, &format!("{path}&format=csv")).await;
    let csv = csv.text().await.unwrap();
    assert!(csv.starts_with("name,labels,kind,start,count,min,"), "{csv}");
    assert!(csv.contains("agent_send_lag_seconds,\"stat=\"\"max\"\"\",gauge,"), "{csv}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_kept_out_of_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let overrides =
        server::Overrides { data_dir: Some(dir.path().to_owned()), ..server::Overrides::default() };
    let config = server::Config::resolve("", &|_| None, &overrides).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (ready, _) = tokio::sync::oneshot::channel();
    let error = soon(server::serve(config, stop, ready)).await.unwrap_err();
    assert!(error.to_string().contains("in use by another Faultline server (process "), "{error}");
    server.stop().await;
}
