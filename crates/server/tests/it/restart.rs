//! The server stops, dies, stays away and comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use model::ProbeId;
use server::{
    Config, FirstError, HomeError, Overrides,
    clock::{Clock, ReadClocks, Reading},
};

use crate::harness::{Link, Server, answered, enrol, of_gateway, soon};

/// The machine's clocks, moved by hand.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    wall_us: AtomicI64,
    boot_us: AtomicI64,
}

impl ReadClocks for Moved {
    fn read(&self) -> Reading {
        let real = server::clock::system_reading();
        Reading {
            wall_us: real.wall_us + self.wall_us.load(Ordering::SeqCst),
            boot_us: real.boot_us + self.boot_us.load(Ordering::SeqCst),
        }
    }
}

impl Moved {
    pub(crate) fn pass(&self, time: Duration) {
        let us = i64::try_from(time.as_micros()).unwrap();
        self.wall_us.fetch_add(us, Ordering::SeqCst);
        self.boot_us.fetch_add(us, Ordering::SeqCst);
    }
}

async fn send(link: &mut Link, probe: ProbeId, seqs: std::ops::RangeInclusive<u64>) {
    let epoch = link.epoch;
    let last = *seqs.end();
    for seq in seqs {
        link.send_rounds(seq, &[answered(probe, seq)]).await;
    }
    link.acknowledged(epoch, last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_become_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let mut link = enrol(&token).await.unwrap().link().await.unwrap();
    link.assigned(&[probe]).await;
    let epoch = link.epoch;
    link.send_rounds(1, &[answered(probe, 2), answered(probe, 1), answered(probe, 0)]).await;
    link.acknowledged(epoch, 1).await;
    soon(async {
        while server.get(&format!("/targets/{target}")).await["verdict"] != "up" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let status = server.get(&format!("/targets/{target}/status")).await;
    assert_eq!(status["consensus"]["verdict"], "up");
    assert_eq!(status["agents"][0]["window_packets"], 15);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_everything_it_acknowledged_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let mut identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let first_epoch = link.epoch;
    send(&mut link, probe, 1..=20).await;
    server.kill().await;
    let mut last_epoch = first_epoch;
    for kill in 1..=3 {
        let server = Server::start_again(dir.path()).await;
        identity = identity.at(&server);
        let mut link = identity.process(1, last_epoch).link().await.unwrap();
        last_epoch = link.epoch;
        // As a spool does that lost the acknowledgement.
        link.send_again(first_epoch, 20, &[answered(probe, 20)]).await;
        link.acknowledged(first_epoch, 20).await;
        link.send_rounds(1, &[answered(probe, 100 + kill)]).await;
        let epoch = link.epoch;
        link.acknowledged(epoch, 1).await;
        server.kill().await;
    }
    let server = Server::start_again(dir.path()).await;
    assert_eq!(server.rounds_reach(target, 23).await.len(), 23);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_was_away_is_a_gap_and_a_quick_restart_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Moved::default());
    let start = || Server::start_by(dir.path(), Clock::over(clocks.clone()));
    start().await.stop().await;
    let server = start().await;
    assert_eq!(server.get("/health").await["gaps"].as_array().unwrap().len(), 0);
    server.stop().await;
    clocks.pass(Duration::from_secs(3_600));
    let server = start().await;
    let health = server.get("/health").await;
    assert_eq!(health["gaps"].as_array().unwrap().len(), 1);
    assert_eq!(health["gaps"][0]["cause"], "monitor_down");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_admin_password_is_reset_on_the_machine_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let overrides = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
    let config = Config::resolve("", &|_| None, &overrides).unwrap();
    let nothing = server::reset_password(&config, "admin").await;
    assert!(matches!(nothing, Err(FirstError::NoData { .. })));

    let first = Server::start(dir.path()).await;
    let lost = first.ready.first_start.clone().unwrap().admin_password;
    assert_eq!(first.sign_in("admin", &lost).await, 200);
    let running = server::reset_password(&config, "admin").await;
    assert!(matches!(running, Err(FirstError::Home(HomeError::InUse { .. }))));
    first.stop().await;

    let nobody = server::reset_password(&config, "nobody").await;
    assert!(matches!(nobody, Err(FirstError::NoUser { .. })));
    let password = server::reset_password(&config, "admin").await.unwrap();
    let second = Server::start(dir.path()).await;
    assert_eq!(second.sign_in("admin", &lost).await, 401);
    assert_eq!(second.sign_in("admin", &password).await, 200);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_key_that_was_deleted_is_made_anew_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path()).await;
    let keys = first.get("/api-keys").await;
    first.delete(&format!("/api-keys/{}", keys["items"][0]["id"])).await;
    first.stop().await;
    let second = Server::start(dir.path()).await;
    assert_eq!(second.get("/api-keys").await["items"][0]["name"], "server-shell");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_flips_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    link.assigned(&[probe]).await;
    let epoch = link.epoch;
    link.send_rounds(1, &[answered(probe, 2), answered(probe, 1), answered(probe, 0)]).await;
    link.acknowledged(epoch, 1).await;
    soon(async {
        while server.get(&format!("/targets/{target}")).await["verdict"] != "up" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let held = server.get(&format!("/targets/{target}/status")).await["consensus"].clone();
    server.stop().await;

    let store = store::Store::open(&dir.path().join("faultline.db")).await.unwrap();
    let applied = store.applied().await.unwrap();
    let damaged = store::Commit {
        position: model::LogPosition(applied.position.0 + 1),
        inventory_version: applied.inventory_version,
        decisions: &[],
        rounds: &[],
        highwaters: &[],
        gaps: &[],
        metrics: &[],
        checkpoint: Some(b"damaged"),
    };
    store
        .commit(&damaged, model::UtcMicros(server::clock::system_reading().wall_us))
        .await
        .unwrap();
    store.close().await;

    let server = Server::start(dir.path()).await;
    let status = server.get(&format!("/targets/{target}/status")).await;
    for part in ["verdict", "since"] {
        assert_eq!(status["consensus"][part], held[part]);
    }
    server.stop().await;
}

/// Everything that is held of a target, as it is told.
async fn held(server: &Server, target: u64) -> serde_json::Value {
    server.get(&format!("/targets/{target}/status")).await
}

/// Waits until what is held of a target is so.
async fn held_as(server: &Server, target: u64, verdict: &str) -> serde_json::Value {
    soon(async {
        loop {
            let status = held(server, target).await;
            if status["consensus"]["verdict"] == verdict {
                return status;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// The verdicts that all agents together came to, oldest first.
async fn turns(server: &Server, target: u64) -> Vec<String> {
    let page = server.get(&format!("/targets/{target}/changes?limit=500")).await;
    let changes = page["items"].as_array().unwrap().iter();
    let consensus = changes.filter(|change| change["agent"].is_null());
    let mut turns: Vec<String> =
        consensus.map(|change| change["to"].as_str().unwrap().to_owned()).collect();
    turns.reverse();
    turns
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verdict_flips_because_the_monitor_was_away_and_the_gap_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Moved::default());
    let start = || Server::start_by(dir.path(), Clock::over(clocks.clone()));
    let server = start().await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let mut link = enrol(&token).await.unwrap().link().await.unwrap();
    link.assigned(&[probe]).await;
    let epoch = link.epoch;
    link.send_rounds(1, &[answered(probe, 30), answered(probe, 0), of_gateway(0)]).await;
    link.acknowledged(epoch, 1).await;
    let before = held_as(&server, target, "up").await;
    server.stop().await;
    clocks.pass(Duration::from_secs(600));
    let server = start().await;
    assert_eq!(held(&server, target).await["consensus"], before["consensus"]);
    assert_eq!(turns(&server, target).await, ["up"]);
    let history = server.get(&format!("/targets/{target}/history")).await;
    let minutes = history["series"][0]["minutes"].as_array().unwrap();
    let of_gap = minutes.iter().filter(|minute| minute["cause"] == "monitor_down").count();
    assert!((9..=11).contains(&of_gap), "ten minutes: {minutes:#?}");
    server.stop().await;
}
