//! What the demo's server is told, over its API, as an operator would.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use engine::graph::document::{self, Format};
use model::UtcMicros;
use reqwest::Method;
use serde_json::{Value, json};
use sim::isp::{Pace, Plan, Watcher};

use crate::client::Client;

/// Agents that ask each target.
pub(super) const AGENTS_PER_TARGET: u8 = 3;
/// Names of the tiers that the demo's targets are in.
const FAST: &str = "fast";
const STANDARD: &str = "standard";

/// Lets a few agents ask each target, in both tiers.
pub(super) async fn tiers(client: &Client) -> anyhow::Result<()> {
    let list: Value = client.get("/tiers").await?;
    let known = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    for (name, interval_s) in [(FAST, 5), (STANDARD, 30)] {
        let rules = json!({
            "name": name,
            "interval_s": interval_s,
            "strategy": "count",
            "agent_count": AGENTS_PER_TARGET,
        });
        let is_it = |tier: &&Value| tier.get("name").and_then(Value::as_str) == Some(name);
        let id = known.iter().find(is_it).and_then(|tier| tier.get("id")?.as_u64());
        let _: Value = match id {
            Some(id) => client.send(Method::PATCH, &format!("/tiers/{id}"), &rules).await?,
            None => client.send(Method::POST, "/tiers", &rules).await?,
        };
    }
    Ok(())
}

/// Numbers of the agents that the server knows, by name.
pub(super) async fn agents(client: &Client) -> anyhow::Result<BTreeMap<String, u64>> {
    let list: Value = client.get("/agents").await?;
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let of = |agent: &Value| {
        let name = agent.get("name").and_then(Value::as_str)?.to_owned();
        Some((name, agent.get("id")?.as_u64()?))
    };
    Ok(items.filter_map(of).collect())
}

/// Lets an agent know what proves that it sees, and returns its token.
pub(super) async fn agent(client: &Client, watcher: &Watcher, id: u64) -> anyhow::Result<String> {
    let witnesses: Vec<String> = watcher.witnesses.iter().map(ToString::to_string).collect();
    let body = json!({ "witnesses": witnesses });
    let _: Value = client.send(Method::PATCH, &format!("/agents/{id}"), &body).await?;
    let path = format!("/agents/{id}/token");
    let made: Value = client.send(Method::POST, &path, &Value::Null).await?;
    let token = made.get("token").and_then(Value::as_str);
    Ok(token.context("the server gave no token for an agent")?.to_owned())
}

/// Plans work on a city, in the night to come: half a day from now, for two hours.
pub(super) async fn maintenance(client: &Client, now: UtcMicros) -> anyhow::Result<()> {
    let hours = |hours: u64| (now + Duration::from_secs(hours * 3_600)).to_string();
    let body = json!({
        "title": "Router upgrade in Sacramento",
        "note": "New software for sacramento-core1. Its customers were told.",
        "covers": [{ "kind": "element", "name": "sacramento" }],
        "start": hours(12),
        "end": hours(14),
    });
    let _: Value = client.send(Method::POST, "/maintenance", &body).await?;
    Ok(())
}

/// Imports the targets and the topology.
pub(super) async fn network(client: &Client, plan: &Plan) -> anyhow::Result<()> {
    let rows = plan.asked.iter().map(|each| {
        let tier = match each.pace {
            Pace::Fast => FAST,
            Pace::Standard => STANDARD,
        };
        json!({
            "name": each.name,
            "address": each.address.to_string(),
            "tier": tier,
            "tags": each.tags,
        })
    });
    let rows = Value::Array(rows.collect());
    let report: Value = client.send(Method::POST, "/targets/import", &rows).await?;
    if report.get("failed").and_then(Value::as_u64) != Some(0) {
        bail!("the server does not take the demo's targets: {report}");
    }
    let text = document::write(Format::Json, &plan.draft).text;
    let path = "/topology/import?format=json&mode=replace";
    let report: Value = client.upload(path, Format::Json.media_type(), text).await?;
    let problems = report.get("problems").and_then(Value::as_array);
    if problems.is_some_and(|problems| !problems.is_empty()) {
        bail!("the server does not take the demo's topology: {report}");
    }
    Ok(())
}
