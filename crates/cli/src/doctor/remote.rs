//! What only a running server knows: its own checks, and its agents.

use std::{io, net::SocketAddr, time::Duration};

use model::UtcMicros;
use serde_json::Value;
use server::Config;
use tokio::{net::TcpStream, time::timeout};

use super::Check;
use crate::{args::Connection, client::Client};

/// A listener on the own host answers at once, or hangs.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Between a server's and an agent's clock; more than this people notice.
const OFFSET_MS_MAX: u64 = 1_000;
/// Agents renew theirs by themselves long before: fewer days mean that they cannot.
const AGENT_DAYS_MIN: u64 = 7;
const DAY_S: u64 = 86_400;

/// Whether somebody has this data directory.
pub(super) async fn running(config: &Config) -> bool {
    let data_dir = config.data_dir.clone();
    let asked = tokio::task::spawn_blocking(move || server::is_in_use(&data_dir)).await;
    asked.is_ok_and(|asked| asked.unwrap_or(false))
}

pub(super) async fn connect(address: SocketAddr) -> io::Result<()> {
    let connected = timeout(CONNECT_MAX, TcpStream::connect(address)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(drop)
}

/// Asks the server for its checks and its agents.
pub(super) async fn ask(connection: &Connection, config: &Config, now: UtcMicros) -> Vec<Check> {
    let answers = async {
        let client = Client::new(connection)?;
        let health: Value = client.get("/health").await?;
        let agents: Value = client.get("/agents").await?;
        let topology: Value = client.get("/topology/check").await?;
        let webhooks: Value = client.get("/webhooks").await?;
        anyhow::Ok((health, agents, topology, webhooks))
    };
    match answers.await {
        Ok((health, agents, topology, webhooks)) => {
            let version = text(&health, "version").unwrap_or("?");
            let mut checks = vec![match version == env!("CARGO_PKG_VERSION") {
                true => Check::ok("server", format!("runs and answers, version {version}")),
                false => Check::warning(
                    "server",
                    format!("runs version {version}, this is {}", env!("CARGO_PKG_VERSION")),
                    "restart the server, so that what is installed also runs",
                ),
            }];
            checks.extend(list(&health, "checks").iter().map(of_server));
            checks.extend(list(&agents, "items").iter().flat_map(|agent| of_agent(agent, now)));
            checks.extend(of_company(list(&agents, "items")));
            checks.push(of_topology(&topology));
            checks.push(of_webhooks(list(&webhooks, "items"), config.http.public_url.is_some()));
            checks
        }
        Err(error) => {
            let remedy = "give doctor the server's --url; if it hangs, its log says why";
            vec![Check::problem("server", format!("{error:#}"), remedy)]
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A check of the server's Health page. What it calls degraded goes on working; what fails does
/// not.
fn of_server(check: &Value) -> Check {
    let name = format!("server: {}", text(check, "name").unwrap_or("?"));
    let detail = text(check, "detail").unwrap_or_default();
    let remedy = text(check, "remedy").unwrap_or_default();
    match text(check, "status") {
        Some("ok") => Check::ok(name, detail),
        Some("degraded") => Check::warning(name, detail, remedy),
        Some(_) | None => Check::problem(name, detail, remedy),
    }
}

/// 1 - It is paused: nobody expects anything of it.
/// 2 - It is not online.
/// 3 - It can ask nothing, its clock is off, its certificate ends, its version is another.
fn of_agent(agent: &Value, now: UtcMicros) -> Vec<Check> {
    let name = format!("agent {}", text(agent, "name").unwrap_or("?"));
    let state = text(agent, "state").unwrap_or("?");
    if agent.get("is_paused").and_then(Value::as_bool) == Some(true) {
        return vec![Check::ok(name, format!("is paused; {state}"))];
    }
    if state == "awaited" {
        let why = text(agent, "state_why").unwrap_or_default();
        let remedy = "an agent that is well is heard within 15 s of the server's start; then see \
                      docs/runbooks/agent-offline.md";
        return vec![Check::warning(name, why, remedy)];
    }
    if state != "online" {
        let why = text(agent, "state_why").unwrap_or_default();
        let remedy = format!(
            "see docs/runbooks/agent-offline.md, or `faultline agent pause {}` if it is meant to \
             be away",
            text(agent, "name").unwrap_or("NAME")
        );
        return vec![Check::problem(name, format!("is {state}: {why}"), remedy)];
    }
    let mut checks = Vec::new();
    if let Some(impediment) = text(agent, "impediment") {
        checks.push(Check::problem(&name, "can ask nothing", impediment));
    }
    let offset_ms = agent.get("clock_offset_ms").and_then(Value::as_i64).unwrap_or(0);
    if OFFSET_MS_MAX < offset_ms.unsigned_abs() {
        let detail = format!("its clock is {offset_ms} ms off the server's");
        checks.push(Check::warning(&name, detail, "run a time service on both hosts"));
    }
    let not_after = agent.get("certificate").and_then(|it| text(it, "not_after"));
    let not_after = not_after.and_then(UtcMicros::parse);
    let days = not_after.map(|at| at.since(now).as_secs() / DAY_S);
    if let Some(days) = days.filter(|days| *days < AGENT_DAYS_MIN) {
        let detail = format!("its certificate is valid for {days} more days and is not renewed");
        let remedy = "see docs/runbooks/certificate-expired.md";
        checks.push(Check::problem(&name, detail, remedy));
    }
    let version = text(agent, "version").unwrap_or("?");
    if version != env!("CARGO_PKG_VERSION") {
        let detail = format!("is of version {version}, this is {}", env!("CARGO_PKG_VERSION"));
        checks.push(Check::warning(&name, detail, "install the agent of the server's release"));
    }
    if checks.is_empty() {
        let days = days.map_or(String::new(), |days| format!(", certificate for {days} days"));
        let detail = format!("online, version {version}, clock {offset_ms} ms off{days}");
        checks.push(Check::ok(name, detail));
    }
    checks
}

fn is_set(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool) == Some(true)
}

/// One agent alone is a view from one place. That there is none the server says by itself.
fn of_company(agents: &[Value]) -> Option<Check> {
    let mut asking = agents.iter().filter(|agent| !is_set(agent, "is_paused"));
    let alone = asking.next()?;
    asking.next().is_none().then(|| {
        let name = text(alone, "name").unwrap_or("?");
        Check::warning(
            "agents",
            format!("`{name}` is alone: nobody confirms what it sees, nor asks while it is away"),
            "put a second one into another part of the network: `faultline agent create NAME`",
        )
    })
}

/// 1 - Nothing is known of the network: an outage has no cause.
/// 2 - Names in it are none of the inventory's.
fn of_topology(topology: &Value) -> Check {
    let count = |name: &str| topology.get(name).and_then(Value::as_u64).unwrap_or(0);
    if count("devices") == 0 {
        return Check::warning(
            "topology",
            "has no devices: the cause of an outage cannot be named, nor whom it hits",
            "describe the network: `faultline topology import FILE`, see docs/topology.md",
        );
    }
    let warnings = list(topology, "warnings");
    match warnings.first().and_then(Value::as_str) {
        Some(first) => {
            let more = match warnings.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let remedy = "add it to the inventory, or correct the name; `faultline topology check` \
                          lists all";
            Check::warning("topology", format!("{first}{more}"), remedy)
        }
        None => {
            let (devices, targets) = (count("devices"), count("targets"));
            Check::ok("topology", format!("{devices} devices, {targets} targets placed"))
        }
    }
}

/// 1 - Nobody is told.
/// 2 - Whoever is told gets no link.
fn of_webhooks(webhooks: &[Value], has_public_url: bool) -> Check {
    let enabled = webhooks.iter().filter(|hook| !is_set(hook, "is_disabled")).count();
    match (enabled, webhooks.len()) {
        (0, 0) => Check::warning(
            "webhooks",
            "there is none: nobody is told of an incident who does not look at the console",
            "`faultline webhook add NAME URL`, then `faultline webhook test NAME`; see \
             docs/webhooks.md",
        ),
        (0, _) => Check::warning(
            "webhooks",
            "all are disabled: nobody is told of an incident who does not look at the console",
            "`faultline webhook enable NAME`",
        ),
        (enabled, _) if has_public_url => Check::ok("webhooks", format!("{enabled} enabled")),
        (enabled, _) => Check::warning(
            "webhooks",
            format!("{enabled} enabled, but `link` in their messages is null"),
            "set `public_url` under [http] to the address at which people reach the console",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::State, *};

    #[track_caller]
    fn check(agent: &Value, expected: &[(State, &str)]) {
        let now = UtcMicros::parse("2026-01-01T00:00:00Z").unwrap();
        let found = of_agent(agent, now);
        let told: Vec<_> = found.iter().map(|it| (it.state, it.detail.as_str())).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for ((state, detail), (wanted, part)) in told.iter().zip(expected) {
            assert!(state == wanted && detail.contains(part), "{told:?}");
        }
    }

    #[test]
    fn an_agent_is_judged_by_what_the_server_knows_of_it() {
        let version = env!("CARGO_PKG_VERSION");
        let well = json!({
            "name": "fra1", "state": "online", "version": version, "clock_offset_ms": -3,
            "certificate": { "not_after": "2026-01-31T00:00:00Z" },
        });
        check(&well, &[(State::Ok, "certificate for 30 days")]);
        let with = |name: &str, value: Value| {
            let mut agent = well.clone();
            agent[name] = value;
            agent
        };
        check(&with("state", json!("blind")), &[(State::Problem, "is blind")]);
        check(&with("state", json!("awaited")), &[(State::Warning, "")]);
        check(&with("is_paused", json!(true)), &[(State::Ok, "is paused")]);
        check(&with("impediment", json!("sysctl …")), &[(State::Problem, "can ask nothing")]);
        check(&with("clock_offset_ms", json!(-1_500)), &[(State::Warning, "-1500 ms off")]);
        check(&with("version", json!("0.0.1")), &[(State::Warning, "version 0.0.1")]);
        let ends = json!({ "not_after": "2026-01-05T00:00:00Z" });
        check(&with("certificate", ends), &[(State::Problem, "4 more days")]);
    }

    #[track_caller]
    fn warns(check: &Check, detail: &str, remedy: &str) {
        assert_eq!(check.state, State::Warning, "{check:?}");
        assert!(check.detail.contains(detail) && check.remedy.contains(remedy), "{check:?}");
    }

    #[test]
    fn what_an_installation_lacks_to_name_a_cause_and_to_tell_it_is_a_warning() {
        let topology = |devices: u64, warnings: &[&str]| {
            of_topology(&json!({ "devices": devices, "targets": 2, "warnings": warnings }))
        };
        warns(&topology(0, &[]), "cause of an outage cannot be named", "topology import FILE");
        warns(&topology(3, &["`a` is not", "`b` is not"]), "`a` is not (and 1 more)", "check");
        assert_eq!(topology(3, &[]).detail, "3 devices, 2 targets placed");

        let hook = |is_disabled: bool| json!({ "is_disabled": is_disabled });
        warns(&of_webhooks(&[], true), "nobody is told", "webhook add NAME URL");
        warns(&of_webhooks(&[hook(true)], true), "all are disabled", "webhook enable NAME");
        warns(
            &of_webhooks(&[hook(false)], false),
            "`link` in their messages is null",
            "public_url",
        );
        assert_eq!(of_webhooks(&[hook(false), hook(true)], true).detail, "1 enabled");

        let agent = |name: &str, is_paused| json!({ "name": name, "is_paused": is_paused });
        let alone = of_company(&[agent("fra1", false), agent("ber1", true)]);
        warns(&alone.expect("is alone"), "`fra1` is alone", "agent create NAME");
        assert!(of_company(&[agent("fra1", false), agent("ber1", false)]).is_none());
        assert!(of_company(&[]).is_none());
    }

    #[test]
    fn what_fails_on_the_server_is_a_problem_and_what_is_slow_a_warning() {
        let state = |status: &str| of_server(&json!({ "name": "disk", "status": status })).state;
        assert_eq!(state("ok"), State::Ok);
        assert_eq!(state("degraded"), State::Warning);
        assert_eq!(state("failing"), State::Problem);
    }
}
