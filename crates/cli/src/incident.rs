//! Incidents: what is the matter, and what people do about it.

use std::path::Path;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use server::clock::Clock;

use crate::{
    args::{Connection, IncidentArgs, IncidentCommand, IncidentsArgs},
    client::Client,
    commands::{cell, items, say, say_json},
    table,
};

/// As many as one request gives.
const PAGE_MAX: usize = 500;

/// Lists incidents.
pub(crate) async fn list(connection: Connection, args: IncidentsArgs) -> anyhow::Result<()> {
    let client = &Client::new(&connection)?;
    let mut url = reqwest::Url::parse("http://path/")?;
    {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("limit", &args.limit.min(PAGE_MAX).to_string());
        let state = match args.state.as_str() {
            "all" => None,
            "past" => Some("resolved,closed"),
            other => Some(other),
        };
        let since = args.last.map(|last| (Clock::system().now() - last).to_string());
        for (name, value) in [
            ("state", state),
            ("since", since.as_deref()),
            ("severity", args.severity.as_deref()),
            ("owner", args.owner.as_deref()),
            ("element", args.element.as_deref()),
            ("target", args.target.as_deref()),
            ("q", args.query.as_deref()),
            ("sort", args.sort.as_deref()),
        ] {
            if let Some(value) = value {
                pairs.append_pair(name, value);
            }
        }
    }
    let path = format!("/incidents?{}", url.query().unwrap_or_default());
    let page: Value = client.get(&path).await?;
    if connection.json {
        return say_json(&page);
    }
    if items(&page).is_empty() {
        say(nothing(&args));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = items(&page).iter().map(row).collect();
    let headers = ["NUMBER", "SEVERITY", "STATE", "BEGAN", "DOWN", "OWNER", "WHAT"];
    say(&table::render(&headers, &rows));
    if page.get("next_cursor").is_some_and(Value::is_string) {
        say(&format!("and more: these are the first {}\n", items(&page).len()));
    }
    Ok(())
}

/// What is said instead of an empty list.
fn nothing(args: &IncidentsArgs) -> &'static str {
    let filters = [&args.severity, &args.owner, &args.element, &args.target, &args.query];
    let is_filtered = args.last.is_some() || filters.into_iter().any(Option::is_some);
    match (args.state.as_str(), is_filtered) {
        ("open", false) => "No incident is open. --state past shows those that are over.\n",
        ("open", true) => {
            "No open incident is like that. --state past looks at those that are over.\n"
        }
        (_, false) => "There was no incident.\n",
        (_, true) => "No incident is like that.\n",
    }
}

fn row(incident: &Value) -> Vec<String> {
    let [number, severity, began, down, owner, what] =
        ["/id", "/severity", "/onset_until", "/targets_down", "/owner", "/sentence"]
            .map(|field| cell(incident, field));
    vec![format!("#{number}"), severity, state(incident), began, down, owner, what]
}

/// What is open and acknowledged is said to be so.
fn state(incident: &Value) -> String {
    let state = cell(incident, "/state");
    let is_known = incident.get("acknowledged_by").is_some_and(Value::is_string);
    if state == "open" && is_known { "acknowledged".to_owned() } else { state }
}

/// Shows an incident, or does something to it.
pub(crate) async fn run(connection: Connection, args: IncidentArgs) -> anyhow::Result<()> {
    let client = &Client::new(&connection)?;
    let is_json = connection.json;
    let Some(command) = args.command else {
        let id = args.id.context("which incident: give its number")?;
        let incident: Value = client.get(&format!("/incidents/{id}")).await?;
        return tell(is_json, &incident, &told(&incident));
    };
    let post = async |id: u32, act: &str, body: Value, text: String| {
        let path = format!("/incidents/{id}/{act}");
        let after: Value = client.send(Method::POST, &path, &body).await?;
        tell(is_json, &after, &text)
    };
    match command {
        IncidentCommand::Ack { id } => {
            post(id, "acknowledge", json!({}), format!("#{id} is acknowledged\n")).await
        }
        IncidentCommand::Unack { id } => {
            let text = format!("nobody looks at #{id} any more\n");
            post(id, "unacknowledge", json!({}), text).await
        }
        IncidentCommand::Assign { id, user, .. } => {
            let who = user.as_deref().unwrap_or("nobody");
            let text = format!("#{id} is assigned to {who}\n");
            post(id, "assign", json!({ "owner": user }), text).await
        }
        IncidentCommand::Comment { id, text } => {
            post(id, "comment", json!({ "text": text }), format!("noted at #{id}\n")).await
        }
        IncidentCommand::Close { id, code, note, force } => {
            let text = format!("#{id} is closed as {}\n", code.replace('_', " "));
            let body = json!({ "code": code, "note": note, "force": force });
            post(id, "close", body, text).await
        }
        IncidentCommand::Reopen { id, note } => {
            let path = format!("/incidents/{id}/reopen");
            let after: Value = client.send(Method::POST, &path, &json!({ "note": note })).await?;
            tell(is_json, &after, &format!("#{id} is {}\n", cell(&after, "/state")))
        }
        IncidentCommand::Export { id, file } => {
            let file = file.unwrap_or_else(|| format!("incident-{id}.json").into());
            let name = file.display();
            let text = format!("#{id} is in `{name}`: faultline diagnose --human --check {name}\n");
            save(client, &format!("/incidents/{id}/case"), &file, &text).await
        }
        IncidentCommand::Report { id, file } => {
            let file = file.unwrap_or_else(|| format!("incident-{id}.md").into());
            let text = format!("the post-mortem of #{id} is in `{}`\n", file.display());
            save(client, &format!("/incidents/{id}/report"), &file, &text).await
        }
    }
}

/// Writes an answer into a file and says so, and what it leaves out; for `-` to whoever reads.
async fn save(client: &Client, path: &str, file: &Path, done: &str) -> anyhow::Result<()> {
    let (text, notes) = client.text(path, "x-notes").await?;
    if file == Path::new("-") {
        say(&text);
        return Ok(());
    }
    let cannot = || format!("cannot write `{}`", file.display());
    let mut made = std::fs::File::create_new(file).with_context(cannot)?;
    std::io::Write::write_all(&mut made, text.as_bytes()).with_context(cannot)?;
    say(done);
    if let Some(notes) = notes {
        say(&format!("{notes}\n"));
    }
    Ok(())
}

fn tell(is_json: bool, answer: &Value, text: &str) -> anyhow::Result<()> {
    if is_json {
        return say_json(answer);
    }
    say(text);
    Ok(())
}

fn list_of<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An incident as a person reads it.
fn told(incident: &Value) -> String {
    let field = |pointer: &str| cell(incident, pointer);
    let mut text = format!(
        "#{}  {}\n{}, {}; began {}, owner {}, acknowledged by {}\n",
        field("/id"),
        field("/sentence"),
        field("/severity"),
        state(incident),
        field("/onset_until"),
        field("/owner"),
        field("/acknowledged_by"),
    );
    if incident.get("resolved_at").is_some_and(Value::is_string) {
        text += &format!("over {}\n", field("/resolved_at"));
    }
    text += &format!(
        "targets down {}, degraded {}; under it {}\n",
        field("/impact/targets_down"),
        field("/impact/targets_degraded"),
        field("/suppressed_total"),
    );
    for cause in list_of(incident, "causes") {
        text += &told_cause(cause);
    }
    for (at, step) in list_of(incident, "next_steps").iter().enumerate() {
        let head = if at == 0 { "\nNext steps\n" } else { "" };
        text += &format!("{head}  {}. {}\n", at + 1, step.as_str().unwrap_or_default());
    }
    let entry = |entry: &Value| {
        let [at, kind, note] = ["/at", "/kind", "/note"].map(|field| cell(entry, field));
        let who = entry.get("actor").and_then(Value::as_str).unwrap_or("faultline").to_owned();
        let trace = entry.get("trace").and_then(Value::as_u64);
        let trace = trace.map(|id| format!(" (faultline traces {id})")).unwrap_or_default();
        vec![at, who, kind.replace('_', " "), note.replace('\n', " ") + &trace]
    };
    let began = vec![field("/onset_until"), String::new(), "first symptom".to_owned()];
    let entries = list_of(incident, "timeline").iter().map(entry);
    let rows: Vec<Vec<String>> = [began].into_iter().chain(entries).collect();
    text += &format!("\n{}", table::render(&["WHEN", "WHO", "DID", "NOTE"], &rows));
    text
}

fn told_cause(cause: &Value) -> String {
    let names: Vec<&str> = list_of(cause, "elements").iter().filter_map(Value::as_str).collect();
    let probability = cause.get("probability").and_then(Value::as_f64).unwrap_or(0.0);
    let [kind, mode] = ["/kind", "/mode"].map(|field| cell(cause, field).replace('_', " "));
    // Never more sure than the judgement is.
    let percent = (probability * 1_000.0).floor() / 10.0;
    let mut text = format!("\n{percent:.1} %  {} ({kind}, {mode})\n", names.join(" or "));
    for piece in list_of(cause, "evidence") {
        let sign = if piece.get("supports") == Some(&Value::Bool(true)) { '+' } else { '-' };
        text += &format!("  {sign} {}\n", cell(piece, "/text"));
    }
    if let Some(tell) = cause.get("to_disambiguate").and_then(Value::as_str) {
        text += &format!("  to be sure: {tell}\n");
    }
    text
}
