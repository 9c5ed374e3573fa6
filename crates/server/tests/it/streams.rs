//! Several streams of one agent, several epochs of one spool, and what an agent lost.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use model::ProbeId;
use serde_json::Value;
use server::clock::Clock;
use tonic::Code;
use wire::{rounds::RoundRow, v1};

use crate::{
    harness::{Link, NOW_S, Server, answered, clock, enrol, soon},
    restart::Moved,
};

fn sealed(rows: &[RoundRow]) -> Vec<u8> {
    let rounds = v1::payload::Kind::Rounds(wire::rounds::encode_rounds(rows));
    wire::seal(&v1::Payload { kind: Some(rounds) }).unwrap()
}

async fn deliver(link: &mut Link, epoch: u64, seq: u64, rows: &[RoundRow]) {
    link.send_again(epoch, seq, rows).await;
    link.acknowledged(epoch, seq).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_comes_between_live_batches_and_each_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let old = link.epoch;
    deliver(&mut link, old, 1, &[answered(probe, 200)]).await;
    let mut link = identity.process(1, old).link().await.unwrap();
    let live = link.epoch;
    assert_eq!(link.have, [(old, 1)]);
    for (epoch, seq, ago_s) in
        [(live, 1, 9), (old, 2, 190), (live, 2, 6), (old, 3, 180), (old, 3, 180), (live, 3, 3)]
    {
        deliver(&mut link, epoch, seq, &[answered(probe, ago_s)]).await;
    }
    assert_eq!(server.rounds_reach(target, 6).await.len(), 6);
    assert_eq!(server.metric("faultline_ingest_duplicates_total").await, 1.0);
    // The next stream is told of both.
    let link = identity.process(1, live).link().await.unwrap();
    assert_eq!(link.have, [(live, 3), (old, 3)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_refused_with_both_addresses_and_the_first_goes_on_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (id, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut first = identity.link().await.unwrap();
    let epoch = first.epoch;
    for seq in 1..=3 {
        let refused = identity.process(2, epoch).link().await.err().unwrap();
        assert_eq!(refused.code(), Code::AlreadyExists);
        let agent = server.get(&format!("/agents/{id}")).await;
        let holder = agent["connected_from"].as_str().unwrap();
        assert!(refused.message().contains(holder), "{}", refused.message());
        assert_eq!(agent["rival"]["holder"], holder);
        assert_ne!(agent["rival"]["from"], holder);
        assert_eq!(agent["rival"]["refusals"], seq);
        deliver(&mut first, epoch, seq, &[answered(probe, seq)]).await;
    }
    assert_eq!(server.rounds_reach(target, 3).await.len(), 3);
    assert_eq!(server.metric("faultline_ingest_sessions_total").await, 1.0);
    assert_eq!(server.metric("faultline_ingest_rivals_total").await, 3.0);
    let health = server.get("/health").await;
    let checks = health["checks"].as_array().unwrap();
    let copies = checks.iter().find(|check| check["name"] == "copies").unwrap();
    assert_eq!(copies["status"], "degraded");
    assert!(copies["detail"].as_str().unwrap().starts_with("fra1 is connected from 127.0.0.1:"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_does_not_slip_in_while_its_original_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (_, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let copied_at = link.epoch;
    deliver(&mut link, copied_at, 1, &[answered(probe, 9)]).await;
    let mut link = identity.process(1, copied_at).link().await.unwrap();
    let epoch = link.epoch;
    deliver(&mut link, epoch, 1, &[answered(probe, 6)]).await;
    drop(link);
    // Nobody is connected, and still the copy is kept out, also by a server that has just started.
    let is_kept_for_original = |text: &str| text.contains("is a copy");
    soon(async {
        loop {
            let refused = identity.process(2, copied_at).link().await.err().unwrap();
            assert_eq!(refused.code(), Code::AlreadyExists);
            if is_kept_for_original(refused.message()) {
                break;
            }
        }
    })
    .await;
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let identity = identity.at(&server);
    let refused = identity.process(2, copied_at).link().await.err().unwrap();
    assert!(is_kept_for_original(refused.message()), "{}", refused.message());
    // The original comes back as a new process and is let in at once.
    let link = identity.process(3, epoch).link().await.unwrap();
    assert!(epoch < link.epoch);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_restored_from_a_snapshot_is_let_in_after_five_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Moved::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let (_, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let (old, snapshot) = (link.epoch, identity.process(2, link.epoch));
    deliver(&mut link, old, 1, &[answered(probe, 9)]).await;
    let mut link = identity.process(1, old).link().await.unwrap();
    let epoch = link.epoch;
    deliver(&mut link, epoch, 1, &[answered(probe, 6)]).await;
    drop(link);
    assert_eq!(snapshot.link().await.err().unwrap().code(), Code::AlreadyExists);
    clocks.pass(Duration::from_secs(301));
    assert!(epoch < snapshot.link_once_free().await.epoch);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_spool_gets_an_epoch_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let epoch = link.epoch;
    deliver(&mut link, epoch, 1, &[answered(probe, 9)]).await;
    drop(link);
    let mut link = identity.wiped().link_once_free().await;
    assert!(epoch < link.epoch);
    let epoch = link.epoch;
    deliver(&mut link, epoch, 1, &[answered(probe, 6)]).await;
    assert_eq!(server.rounds_reach(target, 2).await.len(), 2);
    server.stop().await;
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // As a server leaves it: nobody else may look in.
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_restored_from_a_backup_says_what_it_lacks_and_takes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let first = link.epoch;
    deliver(&mut link, first, 1, &[answered(probe, 90)]).await;
    server.rounds_reach(target, 1).await;
    drop(link);
    server.stop().await;
    let backup = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), backup.path());

    let server = Server::start(dir.path()).await;
    let identity = identity.at(&server);
    let mut link = identity.process(2, first).link().await.unwrap();
    let second = link.epoch;
    deliver(&mut link, first, 2, &[answered(probe, 60)]).await;
    deliver(&mut link, second, 1, &[answered(probe, 30)]).await;
    drop(link);
    server.stop().await;

    let server = Server::start(backup.path()).await;
    let identity = identity.at(&server);
    let mut link = identity.process(3, second).link().await.unwrap();
    assert_eq!(link.have, [(first, 1)]);
    assert!(second < link.epoch, "an epoch that the lost days had is not granted again");
    deliver(&mut link, first, 2, &[answered(probe, 60)]).await;
    deliver(&mut link, second, 1, &[answered(probe, 30)]).await;
    assert_eq!(server.rounds_reach(target, 3).await.len(), 3);
    assert_eq!(server.metric("faultline_ingest_duplicates_total").await, 0.0);
    server.stop().await;
}

/// The causes of an agent's minutes, oldest first.
async fn causes(server: &Server, target: u64, agent: &str) -> Vec<String> {
    let history = server.get(&format!("/targets/{target}/history")).await;
    let series = history["series"].as_array().unwrap();
    let own = series.iter().find(|series| series["agent"]["name"] == agent).unwrap();
    let minutes = own["minutes"].as_array().unwrap();
    minutes.iter().map(|minute| minute["cause"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_lost_is_one_gap_with_its_count_and_its_minutes_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Moved::default());
    let start = || Server::start_by(dir.path(), Clock::over(clocks.clone()));
    let server = start().await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    clocks.pass(Duration::from_secs(1_200));
    let mut link = identity.link().await.unwrap();
    let epoch = link.epoch;
    let drop_of = |from_ago_s, to_ago_s, rounds| v1::Drop {
        boot_id: vec![1; 16],
        near: Some(clock(NOW_S)),
        from_tick_us: (NOW_S - from_ago_s) * 1_000_000,
        to_tick_us: (NOW_S - to_ago_s) * 1_000_000,
        rounds,
        cause: v1::DropCause::Size.into(),
    };
    let drops = vec![drop_of(900, 600, 1_234)];
    let payload = sealed(&[answered(probe, 1)]);
    for _ in 0..2 {
        link.send_with_drops(epoch, 1, payload.clone(), drops.clone()).await;
        link.acknowledged(epoch, 1).await;
    }
    server.rounds_reach(target, 1).await;
    let check = async |server: &Server| {
        let health = server.get("/health").await;
        let gaps = health["gaps"].as_array().unwrap();
        let lost: Vec<&Value> = gaps.iter().filter(|gap| gap["agent"]["name"] == "fra1").collect();
        assert_eq!(lost.len(), 1, "{gaps:?}");
        assert_eq!(lost[0]["rounds"], 1_234);
        assert_eq!(lost[0]["why"], "1234 rounds lost: its spool was full");
        assert_eq!(
            (&lost[0]["cause"], &lost[0]["drop_cause"]),
            (&"dropped".into(), &"size".into())
        );
        let causes = causes(server, target, "fra1").await;
        let dropped = causes.iter().filter(|cause| *cause == "dropped").count();
        // Five minutes, and the one that the sixth touches.
        assert!((5..=6).contains(&dropped), "{causes:?}");
    };
    check(&server).await;
    assert_eq!(server.metric("faultline_ingest_results_dropped_total").await, 1_234.0);
    server.stop().await;
    let server = start().await;
    check(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_drops_are_broken_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (_, token) = server.new_agent("fra1").await;
    let mut link = enrol(&token).await.unwrap().link().await.unwrap();
    let payload = sealed(&[answered(ProbeId(1), 1)]);
    link.send_with_drops(link.epoch, 1, payload, vec![v1::Drop::default(); 17]).await;
    let answer = link.answer().await.unwrap();
    let v1::server_frame::Kind::Refusal(refusal) = answer else {
        panic!("not a refusal: {answer:?}")
    };
    assert!(refusal.reason.contains("drops"), "{}", refusal.reason);
    server.stop().await;
}
