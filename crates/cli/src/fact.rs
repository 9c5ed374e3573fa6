//! Facts: what devices, or whoever asks them, reported, and a way to report one.

use std::{io::Read as _, path::Path};

use anyhow::Context as _;
use serde_json::{Value, json};
use server::clock::Clock;

use crate::{
    args::{Connection, FactArgs, FactsArgs},
    client::Client,
    commands::{cell, items, say, say_json},
    table,
};

/// As many as one request gives.
const PAGE_MAX: usize = 500;

/// Lists facts, the last first.
pub(crate) async fn list(connection: Connection, args: FactsArgs) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    let mut url = reqwest::Url::parse("http://path/")?;
    {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("limit", &args.limit.min(PAGE_MAX).to_string());
        let since = args.last.map(|last| (Clock::system().now() - last).to_string());
        for (name, value) in [
            ("element", args.element.as_deref()),
            ("kind", args.kind.as_deref()),
            ("source", args.source.as_deref()),
            ("since", since.as_deref()),
            ("latest", args.latest.then_some("true")),
        ] {
            if let Some(value) = value {
                pairs.append_pair(name, value);
            }
        }
    }
    let page: Value = client.get(&format!("/facts?{}", url.query().unwrap_or_default())).await?;
    if connection.json {
        return say_json(&page);
    }
    if items(&page).is_empty() {
        say("there is no such fact; `faultline fact ELEMENT KIND` reports one\n");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = items(&page).iter().map(row).collect();
    say(&table::render(&["SINCE", "SEEN", "SOURCE", "ELEMENT", "WHAT", "IS"], &rows));
    if page.get("next_cursor").is_some_and(Value::is_string) {
        say(&format!("and earlier ones: these are the last {}\n", items(&page).len()));
    }
    Ok(())
}

fn row(fact: &Value) -> Vec<String> {
    let [since, seen, source, element] =
        ["/since", "/seen", "/source", "/element"].map(|field| cell(fact, field));
    let mut what = cell(fact, "/kind").replace('_', " ");
    for (word, field) in [("at", "end"), ("from", "agent")] {
        if let Some(name) = fact.get(field).and_then(Value::as_str) {
            what += &format!(", {word} {name}");
        }
    }
    if let Some(value) = fact.get("value").and_then(Value::as_f64) {
        what += &format!(", value {value}");
    }
    vec![since, seen, source, element, what, standing(fact)]
}

/// What it is worth now.
fn standing(fact: &Value) -> String {
    let is = |field: &str| fact.get(field) == Some(&Value::Bool(true));
    let state = if fact.get("until").is_some_and(Value::is_string) {
        format!("over {}", cell(fact, "/until"))
    } else if !is("is_latest") {
        "past".to_owned()
    } else if is("is_stale") {
        "stale".to_owned()
    } else {
        "fresh".to_owned()
    };
    if is("is_known") { state } else { format!("{state}; no such element is drawn") }
}

/// Reports one fact, or those of a file.
pub(crate) async fn send(connection: Connection, args: FactArgs) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    let body = match &args.file {
        Some(file) => read(file)?,
        None => json!({
            "element": args.element, "kind": args.kind, "end": args.end, "agent": args.agent,
            "value": args.value, "since": args.since, "source": args.source,
        })
        .to_string(),
    };
    let taken: Value = client.upload("/facts", "application/json", body).await?;
    if connection.json {
        return say_json(&taken);
    }
    let mut text = format!(
        "{} new, {} known already and seen again\n",
        cell(&taken, "/new"),
        cell(&taken, "/repeated")
    );
    let unknown = taken.get("unknown_elements").and_then(Value::as_array);
    let names: Vec<&str> = unknown.into_iter().flatten().filter_map(Value::as_str).collect();
    if !names.is_empty() {
        text += &format!(
            "the topology does not know {}: what was reported of that is kept, and says nothing \
             until it is drawn\n",
            names.join(", ")
        );
    }
    say(&text);
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}
