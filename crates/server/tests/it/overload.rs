//! More than the server can take: who sends without end is held back, and nobody else is.

use std::time::Duration;

use model::ProbeId;
use tokio::time::{Instant, timeout};
use tonic::Code;
use wire::{rounds::encode_rounds, v1};

use crate::harness::{Link, Server, answered, enrol, soon};

/// Rounds of one of the flood's batches: the most that the contract allows.
const FLOOD_ROUNDS: u64 = wire::limits::ROUNDS_MAX as u64;
const HONEST: usize = 3;
/// Batches of each honest agent, one after the other.
const BATCHES: u64 = 30;
/// How long an honest batch may wait: what one agent may hold, judged by a program that is not
/// optimised, beside other tests.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What this process may grow by: what is in flight, and a decoded batch of each stream.
const GROWTH_MAX_KIB: u64 = 512 * 1024;
/// Sixty are let in at once, and two a second meanwhile.
const STREAMS_MAX: usize = 500;

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Sends batches of the largest size for as long as the server takes them.
async fn flood(link: Link, payload: Vec<u8>) {
    for seq in 1.. {
        link.send_payload(link.epoch, seq, payload.clone()).await;
    }
}

/// Sends small batches, each when the one before is acknowledged; returns the longest wait.
async fn honest(mut link: Link, probe: ProbeId) -> Duration {
    let mut longest = Duration::ZERO;
    for seq in 1..=BATCHES {
        let begun = Instant::now();
        let epoch = link.epoch;
        link.send_rounds(seq, &[answered(probe, seq)]).await;
        link.acknowledged(epoch, seq).await;
        longest = longest.max(begun.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_sends_without_end_does_not_hold_up_the_others_or_fill_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("flood").await;
    let hostile = enrol(&token).await.unwrap().link().await.unwrap();
    let mut links = Vec::new();
    for n in 0..HONEST {
        let (_, token) = server.new_agent(&format!("honest{n}")).await;
        links.push(enrol(&token).await.unwrap().link().await.unwrap());
    }
    let before_kib = peak_kib();
    // Small on the wire and large in memory, of probes that nobody knows.
    let rows = (0..FLOOD_ROUNDS).map(|n| answered(ProbeId(100_000 + n as u32), n % 60));
    let rounds = encode_rounds(&rows.collect::<Vec<_>>());
    let kind = Some(v1::payload::Kind::Rounds(rounds));
    let payload = wire::seal(&v1::Payload { kind }).unwrap();

    let flooding = flood(hostile, payload);
    let others = async {
        let waits = links.into_iter().map(|link| honest(link, probe));
        let waits = futures_util::future::join_all(waits).await;
        waits.into_iter().max().unwrap()
    };
    tokio::pin!(flooding);
    let longest = tokio::select! {
        longest = timeout(WAIT_MAX * 10, others) => longest.expect("the others are held up"),
        () = &mut flooding => unreachable!("it has no end"),
    };
    assert!(longest < WAIT_MAX, "one waited {longest:?}");
    assert!(FLOOD_ROUNDS as f64 <= server.metric("faultline_ingest_rounds_total").await);
    let grown_kib = peak_kib() - before_kib;
    assert!(grown_kib < GROWTH_MAX_KIB, "grew by {grown_kib} KiB");
    println!("longest wait {longest:?}, grown by {grown_kib} KiB");
    let count = HONEST * usize::try_from(BATCHES).unwrap();
    assert_eq!(server.rounds_reach(target, count).await.len(), count);
    soon(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_comes_and_goes_without_end_is_sent_away_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (_, restless) = server.new_agent("restless").await;
    let (_, other) = server.new_agent("other").await;
    let (restless, other) = (enrol(&restless).await.unwrap(), enrol(&other).await.unwrap());
    let mut refused = None;
    for _ in 0..STREAMS_MAX {
        if let Err(status) = restless.link().await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("it is never sent away");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("comes and goes too often"), "{refused}");
    other.link().await.expect("another agent is heard");
    server.stop().await;
}
