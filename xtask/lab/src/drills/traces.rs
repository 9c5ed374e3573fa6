//! Traces through routers that are known: each hop is there, equal ways part, and a router that
//! limits its answers is not said to lose.
//!
//! ```text
//!                                  ┌── fl-r3 ──┐
//!   fl-a1 ── fl-net ──── fl-r2 ────┤           ├── fl-end: the target
//!                                  └── fl-r4 ──┘
//! ```

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Setting;
use crate::{
    api::{items, number, text},
    clock,
    net::{self, End},
    network::Family,
    report::Report,
    world::{Rights, World, agent_name},
};

const TARGET: &str = "10.40.0.9";
/// What lies before the ways part.
const BEFORE: [&str; 2] = ["10.10.1.1", "10.41.1.2"];
const EITHER: [&str; 2] = ["10.41.2.2", "10.41.3.2"];
/// The slowest trace here takes some ten seconds.
const TRACE_MAX: Duration = Duration::from_secs(60);
/// An agent connects within a second or two.
const CONNECT_MAX: Duration = Duration::from_secs(30);

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let rights = [Rights::Root, Rights::Datagram];
    let world = World::new(Family::V4, rights, setting.programs, setting.scratch)?;
    lay()?;
    let made = world.api.post("/targets", &json!({ "name": "far", "address": TARGET }))?;
    let target = number(&made, "/id");
    let way = |hop: &str| [BEFORE[0], BEFORE[1], hop, TARGET].join(" ");
    let ways = EITHER.map(way);

    for protocol in ["icmp", "udp"] {
        let options = json!({ "protocol": protocol, "rounds": 3 });
        let trace = trace(&world, target, &options)?;
        let (hops, end) = (way_of(&trace, 0), text(&trace, "/end"));
        let is_known = ways.contains(&hops) && end == "reached";
        report.row(&format!("hops by {protocol}"), &ways[0], &format!("{hops}, {end}"), is_known);
    }
    let options = json!({ "protocol": "udp", "flows": 16, "rounds": 1, "interval_ms": 100 });
    let parted = trace(&world, target, &options)?;
    let mut found: Vec<String> = (0..16).map(|flow| way_of(&parted, flow)).collect();
    found.sort();
    found.dedup();
    report.row("ways that 16 flows take", "both", &found.join(" | "), found == ways);

    net::set("fl-r2", "net.ipv4.icmp_ratelimit", "5000")?;
    let options = json!({ "rounds": 20, "interval_ms": 200 });
    let limited = trace(&world, target, &options)?;
    let notes: Vec<String> = hops(&limited).iter().map(|hop| text(hop, "/note")).collect();
    let expected = "clean rate_limited clean clean";
    report.row(
        "a router that limits answers",
        expected,
        &notes.join(" "),
        notes.join(" ") == expected,
    );
    let lost = hops(&limited).get(1).map_or(0, |hop| number(hop, "/lost"));
    report.range("of 20 packets it did not answer", lost as f64, 5.0, 19.0);
    net::set("fl-r2", "net.ipv4.icmp_ratelimit", "0")?;

    let fault = net::Fault::new(Some("fl-r2"), "forward", &format!("ip daddr {TARGET}"))?;
    let cut = trace(&world, target, &json!({ "rounds": 1 }))?;
    let answered = hops(&cut).iter().filter(|hop| 0 < number(hop, "/received")).count();
    let said = format!("{} after {answered} hops", text(&cut, "/end"));
    report.row(
        "behind a router that swallows",
        "silent after 2 hops",
        &said,
        said == "silent after 2 hops",
    );
    drop(fault);
    refused(&world, target, report)
}

/// An agent that may open no raw socket says so.
fn refused(world: &World, target: u64, report: &mut Report) -> anyhow::Result<()> {
    let agent = number(&world.api.agent(&agent_name(2))?, "/id");
    let body = json!({ "agent": agent, "target": target });
    let said = |error: anyhow::Error| format!("{error:#}");
    let told = || {
        let said = world.api.post("/traces", &body).map_or_else(said, |trace| trace.to_string());
        Ok((!said.contains("not connected")).then_some(said))
    };
    let (said, _) = clock::wait("the second agent", clock::now(), CONNECT_MAX, told)?;
    let is_said = said.contains("409") && said.contains("CAP_NET_RAW");
    let measured = if is_said { "said" } else { said.as_str() };
    report.row("an agent without CAP_NET_RAW", "said", measured, is_said);
    Ok(())
}

/// Lays the routers behind the one of the world.
fn lay() -> anyhow::Result<()> {
    for name in ["fl-r2", "fl-r3", "fl-r4", "fl-end"] {
        net::namespace(name)?;
        net::set(name, "net.ipv4.ip_forward", "1")?;
        // What a router answers by default would be another test.
        net::set(name, "net.ipv4.icmp_ratelimit", "0")?;
    }
    net::set("fl-net", "net.ipv4.icmp_ratelimit", "0")?;
    // By ports, too.
    net::set("fl-r2", "net.ipv4.fib_multipath_hash_policy", "1")?;
    for (link, near, far) in [
        (1, "fl-net", "fl-r2"),
        (2, "fl-r2", "fl-r3"),
        (3, "fl-r2", "fl-r4"),
        (4, "fl-r3", "fl-end"),
        (5, "fl-r4", "fl-end"),
    ] {
        let [near_address, far_address] = [1, 2].map(|host| format!("10.41.{link}.{host}/24"));
        let name = format!("w{link}");
        let end = |namespace, address| End { namespace: Some(namespace), name: &name, address };
        net::cable(&end(near, &near_address), &end(far, &far_address))?;
    }
    net::address(Some("fl-end"), "lo", &format!("{TARGET}/32"))?;
    for route in [
        format!("-n fl-net route add {TARGET} via 10.41.1.2"),
        format!("-n fl-r2 route add {TARGET} nexthop via 10.41.2.2 nexthop via 10.41.3.2"),
        format!("-n fl-r3 route add {TARGET} via 10.41.4.2"),
        format!("-n fl-r4 route add {TARGET} via 10.41.5.2"),
        "-n fl-r2 route add default via 10.41.1.1".to_owned(),
        "-n fl-r3 route add default via 10.41.2.1".to_owned(),
        "-n fl-r4 route add default via 10.41.3.1".to_owned(),
        "-n fl-end route add default via 10.41.4.1".to_owned(),
    ] {
        net::ip(&route)?;
    }
    Ok(())
}

/// Lets the first agent trace, once it is there, and waits for the end.
fn trace(world: &World, target: u64, options: &Value) -> anyhow::Result<Value> {
    let agent = number(&world.api.agent(&agent_name(1))?, "/id");
    let mut body = options.clone();
    let fields = body.as_object_mut().context("options are an object")?;
    fields.insert("agent".to_owned(), json!(agent));
    fields.insert("target".to_owned(), json!(target));
    let begin = || match world.api.post("/traces", &body) {
        Err(error) if format!("{error:#}").contains("not connected") => Ok(None),
        begun => begun.map(Some),
    };
    let (begun, _) = clock::wait("the first agent", clock::now(), CONNECT_MAX, begin)?;
    let path = format!("/traces/{}", number(&begun, "/id"));
    let look = || {
        let trace = world.api.get(&path)?;
        Ok((!text(&trace, "/ended_at").is_empty()).then_some(trace))
    };
    clock::wait("the end of a trace", clock::now(), TRACE_MAX, look).map(|(trace, _)| trace)
}

fn hops(trace: &Value) -> &[Value] {
    trace.get("hops").map_or(&[], items)
}

/// The addresses that a flow passes; of each hop all that answered.
fn way_of(trace: &Value, flow: u64) -> String {
    let of_flow = hops(trace).iter().filter(|hop| number(hop, "/flow") == flow);
    let address = |hop: &Value| {
        let answers = hop.get("answers").map_or(&[][..], items);
        let all: Vec<String> = answers.iter().map(|answer| text(answer, "/address")).collect();
        if all.is_empty() { "*".to_owned() } else { all.join("/") }
    };
    of_flow.map(address).collect::<Vec<_>>().join(" ")
}
