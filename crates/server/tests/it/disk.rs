//! Disks that go away under a running server, and come back.

use std::fs;

use serde_json::Value;
use tonic::Code;

use crate::harness::{Server, answered, enrol, soon};

/// Waits until `/readyz` answers with this status, and says this among others.
async fn readyz(server: &Server, status: u16, part: &str) {
    soon(async {
        loop {
            let (found, text) = server.readyz().await;
            if found == status && text.contains(part) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn check<'a>(health: &'a Value, name: &str) -> &'a Value {
    let checks = health["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_data_directory_a_server_refuses_says_why_and_goes_on_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, away) = (dir.path().join("data"), dir.path().join("away"));
    let server = Server::start(&data).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let first = link.epoch;
    link.send_rounds(1, &[answered(probe, 60)]).await;
    link.acknowledged(first, 1).await;
    server.rounds_reach(target, 1).await;

    fs::rename(&data, &away).unwrap();
    readyz(&server, 503, "data` is not there").await;
    // The open stream ends, and a new one is not begun: with a status that says to try again.
    for status in [link.end().await, identity.link().await.err().unwrap()] {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().starts_with("the server takes no results now"), "{status}");
    }
    let health = server.get("/health").await;
    assert_eq!(health["status"], "failing");
    assert_eq!(health["ingest"]["is_open"], false);
    assert_eq!(check(&health, "disk")["status"], "failing");
    assert!(!data.exists(), "no other one is made in its place");

    fs::rename(&away, &data).unwrap();
    readyz(&server, 200, "ready").await;
    let mut link = identity.process(1, first).link().await.unwrap();
    let second = link.epoch;
    link.send_again(first, 1, &[answered(probe, 60)]).await;
    link.acknowledged(first, 1).await;
    link.send_rounds(1, &[answered(probe, 30)]).await;
    link.acknowledged(second, 1).await;
    assert_eq!(server.rounds_reach(target, 2).await.len(), 2);
    // The disk of the machine that this runs on may itself be rather full.
    assert_ne!(check(&server.get("/health").await, "disk")["status"], "failing");
    server.stop().await;
    let server = Server::start(&data).await;
    assert_eq!(server.rounds(target).await.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_log_is_made_anew_and_nothing_is_acknowledged_into_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let link = identity.link().await.unwrap();
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    link.send_rounds(1, &[answered(probe, 30)]).await;
    let epoch = link.epoch;
    let identity = identity.process(1, epoch);
    drop(link);
    // As an agent does: again and again, until it is acknowledged.
    soon(async {
        loop {
            if let Ok(mut link) = identity.link().await {
                link.send_again(epoch, 1, &[answered(probe, 30)]).await;
                if link.answer().await.is_ok() {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    readyz(&server, 200, "ready").await;
    assert_eq!(server.rounds_reach(target, 1).await.len(), 1);
    // A crash: what was acknowledged is in the new log.
    server.kill().await;
    let server = Server::start_again(dir.path()).await;
    assert_eq!(server.rounds(target).await.len(), 1);
    server.stop().await;
}
