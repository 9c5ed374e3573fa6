//! The operator's commands: one request or a few, then a table or JSON.

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use server::{Config, FirstError, HomeError, Overrides};

use crate::{
    args::{AgentCommand, Connection, TargetCommand, UserCommand},
    client::Client,
    measured, password, record, table,
};

/// Targets asked for in one request.
const PAGE_LIMIT: u32 = 500;
/// More than this is a job for the export of the API, not for a terminal.
const LIST_ROWS_MAX: usize = 100_000;
/// Names resolved through the list, not one by one: agents are at most some hundreds.
const AGENTS_PATH: &str = "/agents";

/// Says it to whoever reads; one that went away, as `head` does, wants no more.
pub(crate) fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).ok();
}

pub(crate) fn say_json(value: &Value) -> anyhow::Result<()> {
    say(&format!("{}\n", serde_json::to_string_pretty(value)?));
    Ok(())
}

/// A field as text for a table cell; what is absent is a dash, and a moment is told to the second.
pub(crate) fn cell(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => match to_the_second(text) {
            Some(moment) => format!("{moment}Z"),
            None => text.clone(),
        },
        Some(other) => other.to_string(),
    }
}

/// Returns what of a moment, such as 2026-11-21T05:54:33.662609Z, stands before the parts of a
/// second.
fn to_the_second(text: &str) -> Option<&str> {
    const LENGTH: usize = "2026-11-21T05:54:33".len();
    let (moment, parts) = text.strip_suffix('Z')?.split_once('.')?;
    let is_number = |parts: &str| parts.bytes().all(|byte| byte.is_ascii_digit());
    let is_moment = moment.len() == LENGTH && moment.as_bytes().get(10) == Some(&b'T');
    (is_moment && is_number(parts)).then_some(moment)
}

pub(crate) fn items(value: &Value) -> &[Value] {
    let list = value.get("items").unwrap_or(value);
    list.as_array().map_or(&[], Vec::as_slice)
}

/// Finds the id of the thing with this name in a list of the API.
pub(crate) async fn id_of(
    client: &Client,
    path: &str,
    kind: &str,
    name: &str,
) -> anyhow::Result<u64> {
    let list: Value = client.get(path).await?;
    let found = items(&list).iter().find(|item| cell(item, "/name") == name);
    let id = found.and_then(|item| item.get("id")).and_then(Value::as_u64);
    id.with_context(|| format!("there is no {kind} named `{name}`"))
}

pub(crate) async fn agent(connection: Connection, command: AgentCommand) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    let client = &client;
    let by_name = async |name: &str| id_of(client, AGENTS_PATH, "agent", name).await;
    match command {
        AgentCommand::Create { name } => {
            let made = client.send(Method::POST, AGENTS_PATH, &json!({ "name": name })).await?;
            show_token(&connection, &name, &made)
        }
        AgentCommand::Token { name } => {
            let path = format!("{AGENTS_PATH}/{}/token", by_name(&name).await?);
            let made = client.send(Method::POST, &path, &Value::Null).await?;
            show_token(&connection, &name, &made)
        }
        AgentCommand::List => {
            let list: Value = client.get(AGENTS_PATH).await?;
            if connection.json {
                return say_json(&list);
            }
            let headers = ["NAME", "STATE", "PROBES", "VERSION", "FROM", "IMPEDIMENT"];
            let rows: Vec<Vec<String>> = items(&list).iter().map(agent_row).collect();
            say(&table::render(&headers, &rows));
            Ok(())
        }
        AgentCommand::Revoke { name } => {
            let path = format!("{AGENTS_PATH}/{}/revoke", by_name(&name).await?);
            let _: Value = client.send(Method::POST, &path, &Value::Null).await?;
            say(&format!(
                "agent `{name}` is cut off; `faultline agent token {name}` lets it back\n"
            ));
            Ok(())
        }
        AgentCommand::Pause { name } => pause(client, by_name(&name).await?, &name, true).await,
        AgentCommand::Resume { name } => pause(client, by_name(&name).await?, &name, false).await,
        AgentCommand::Metrics { name, last } => {
            measured::metrics(client, connection.json, by_name(&name).await?, last).await
        }
        AgentCommand::Delete { name } => {
            let path = format!("{AGENTS_PATH}/{}", by_name(&name).await?);
            let _: Value = client.send(Method::DELETE, &path, &Value::Null).await?;
            say(&format!("agent `{name}` is deleted\n"));
            Ok(())
        }
    }
}

/// One that is paused is said to be so: it asks nothing, whatever else it is.
fn agent_row(agent: &Value) -> Vec<String> {
    let [name, state, probes, version, from, impediment] =
        ["/name", "/state", "/probes", "/version", "/connected_from", "/impediment"]
            .map(|field| cell(agent, field));
    let is_paused = agent.get("is_paused") == Some(&Value::Bool(true));
    let state = if is_paused { format!("paused, {state}") } else { state };
    vec![name, state, probes, version, from, impediment]
}

async fn pause(client: &Client, id: u64, name: &str, is_paused: bool) -> anyhow::Result<()> {
    let body = json!({ "is_paused": is_paused });
    let _: Value = client.send(Method::PATCH, &format!("{AGENTS_PATH}/{id}"), &body).await?;
    say(&if is_paused {
        format!(
            "agent `{name}` asks nothing until `faultline agent resume {name}`; its targets are \
             asked by the others, or by nobody\n"
        )
    } else {
        format!("agent `{name}` asks again\n")
    });
    Ok(())
}

fn show_token(connection: &Connection, name: &str, made: &Value) -> anyhow::Result<()> {
    if connection.json {
        return say_json(made);
    }
    say(&format!(
        "Type this on the host of agent `{name}`, before {}:\n\n    {}\n\n",
        cell(made, "/expires_at"),
        cell(made, "/command"),
    ));
    if let Some(warning) = made.get("warning").and_then(Value::as_str) {
        say(&format!("Note: {warning}.\n\n"));
    }
    Ok(())
}

pub(crate) fn rows(headers: &[&str], fields: &[&str], items: &[Value]) -> String {
    let row = |item: &Value| fields.iter().map(|field| cell(item, field)).collect();
    table::render(headers, &items.iter().map(row).collect::<Vec<Vec<String>>>())
}

pub(crate) async fn target(connection: Connection, command: TargetCommand) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    match command {
        TargetCommand::Add { name, address, tier, tags } => {
            let mut body = json!({ "name": name, "address": address, "tags": tags });
            if let (Some(tier), Some(fields)) = (tier, body.as_object_mut()) {
                let id = id_of(&client, "/tiers", "tier", &tier).await?;
                fields.insert("tier_id".to_owned(), id.into());
            }
            let made: Value = client.send(Method::POST, "/targets", &body).await?;
            if connection.json {
                return say_json(&made);
            }
            say(&format!("watching `{name}` at {}\n", cell(&made, "/address")));
            Ok(())
        }
        TargetCommand::List { query, verdict } => {
            let list = target_list(&client, query.as_deref(), verdict.as_deref()).await?;
            if connection.json {
                return say_json(&Value::Array(list));
            }
            let fields = ["/name", "/address", "/verdict", "/since", "/tier/name", "/why"];
            let headers = ["NAME", "ADDRESS", "VERDICT", "SINCE", "TIER", "WHY"];
            say(&rows(&headers, &fields, &list));
            Ok(())
        }
        TargetCommand::Import { file, dry_run } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read `{}`", file.display()))?;
            let is_json = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
            let kind = if is_json { "application/json" } else { "text/csv" };
            let path = format!("/targets/import?dry_run={dry_run}");
            let report: Value = client.upload(&path, kind, text).await?;
            show_import(&connection, &report)
        }
        TargetCommand::Show { name } => record::show(&connection, &client, &name).await,
        TargetCommand::Delete { name } => {
            let path = format!("/targets/{}", target_id(&client, &name).await?);
            let _: Value = client.send(Method::DELETE, &path, &Value::Null).await?;
            say(&format!("target `{name}` is deleted\n"));
            Ok(())
        }
    }
}

/// Finds a target by its whole name.
pub(crate) async fn target_id(client: &Client, name: &str) -> anyhow::Result<u64> {
    let found = target_list(client, Some(name), None).await?;
    let is_it = |item: &&Value| cell(item, "/name") == name;
    let id = found.iter().find(is_it).and_then(|item| item.get("id")?.as_u64());
    id.with_context(|| format!("there is no target named `{name}`"))
}

/// Reads all pages of the list.
async fn target_list(
    client: &Client,
    query: Option<&str>,
    verdict: Option<&str>,
) -> anyhow::Result<Vec<Value>> {
    let mut list = Vec::new();
    let mut cursor = None;
    while list.len() < LIST_ROWS_MAX {
        let limit = PAGE_LIMIT.to_string();
        let mut path = reqwest::Url::parse("http://path/targets")?;
        let pairs = [
            ("limit", Some(limit.as_str())),
            ("q", query),
            ("verdict", verdict),
            ("cursor", cursor.as_deref()),
        ];
        for (key, value) in pairs {
            if let Some(value) = value {
                path.query_pairs_mut().append_pair(key, value);
            }
        }
        let path = format!("/targets?{}", path.query().unwrap_or_default());
        let page: Value = client.get(&path).await?;
        list.extend_from_slice(items(&page));
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    Ok(list)
}

fn show_import(connection: &Connection, report: &Value) -> anyhow::Result<()> {
    if connection.json {
        say_json(report)?;
    } else {
        let failed = report.get("rows").map_or(&[][..], items);
        for row in failed.iter().filter(|row| cell(row, "/action") == "fail") {
            for error in row.get("errors").map_or(&[][..], items) {
                let (field, reason) = (cell(error, "/field"), cell(error, "/reason"));
                let (line, name) = (cell(row, "/line"), cell(row, "/name"));
                let place = match line.as_str() {
                    "-" => format!("row {}", cell(row, "/row")),
                    line => format!("line {line}"),
                };
                say(&format!("{place} ({name}): {field}: {reason}\n"));
            }
        }
        let is_dry = report.get("dry_run") == Some(&Value::Bool(true));
        say(&format!(
            "{}create {}, update {}, unchanged {}, failed {}\n",
            if is_dry { "dry run, nothing changed: " } else { "" },
            cell(report, "/created"),
            cell(report, "/updated"),
            cell(report, "/unchanged"),
            cell(report, "/failed"),
        ));
    }
    if report.get("failed").and_then(Value::as_u64).unwrap_or(0) != 0 {
        bail!("some rows cannot be taken");
    }
    Ok(())
}

pub(crate) async fn user(connection: Connection, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::SetPassword { name } => set_password(&connection, &name).await,
        UserCommand::ResetPassword { name } => reset_password(&connection, &name).await,
    }
}

/// Makes a new password: in the data directory if it is here and no server works on it, else
/// through the server.
async fn reset_password(connection: &Connection, name: &str) -> anyhow::Result<()> {
    let password = match reset_without_server(connection, name).await? {
        Some(password) => password,
        None => {
            let client = Client::new(connection)?;
            let id = id_of(&client, "/users", "user", name).await?;
            let path = format!("/users/{id}/password");
            cell(&client.send(Method::POST, &path, &Value::Null).await?, "/password")
        }
    };
    if connection.json {
        return say_json(&json!({ "name": name, "password": password }));
    }
    say(&format!(
        "the password of `{name}` is now\n\n    {password}\n\nIt is shown once; all sessions of \
         `{name}` have ended. Change it after signing in.\n"
    ));
    Ok(())
}

/// Returns the new password; `None` if that is a server's work.
async fn reset_without_server(
    connection: &Connection,
    name: &str,
) -> anyhow::Result<Option<String>> {
    if !connection.is_local() {
        return Ok(None);
    }
    let overrides = Overrides { data_dir: connection.data_dir.clone(), ..Overrides::default() };
    match server::reset_password(&Config::load(None, &overrides)?, name).await {
        Ok(password) => Ok(Some(password)),
        Err(FirstError::Home(HomeError::InUse { .. }) | FirstError::NoData { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn set_password(connection: &Connection, name: &str) -> anyhow::Result<()> {
    let client = Client::new(connection)?;
    let id = id_of(&client, "/users", "user", name).await?;
    let body = json!({ "password": password::read(name)? });
    let _: Value = client.send(Method::PATCH, &format!("/users/{id}"), &body).await?;
    say(&format!("the password of `{name}` is set\n"));
    Ok(())
}

pub(crate) async fn status(connection: Connection) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    let overview: Value = client.get("/overview").await?;
    if connection.json {
        return say_json(&overview);
    }
    let count = |pointer: &str| cell(&overview, pointer);
    say(&format!(
        "targets  {} down, {} degraded, {} unknown, {} up, {} paused\nagents   {} online, {} \
         offline, {} blind, {} never seen, {} not heard since the server started\nas of    {}\n",
        count("/targets/down"),
        count("/targets/degraded"),
        count("/targets/unknown"),
        count("/targets/up"),
        count("/targets/paused"),
        count("/agents/online"),
        count("/agents/offline"),
        count("/agents/blind"),
        count("/agents/never_seen"),
        count("/agents/awaited"),
        count("/as_of"),
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_agent_is_said_to_be_paused() {
        let agent = |is_paused: bool| {
            json!({ "name": "fra1", "state": "online", "probes": 3,
            "version": "1.0.0", "connected_from": null, "impediment": null,
            "is_paused": is_paused })
        };
        assert_eq!(agent_row(&agent(true))[1], "paused, online");
        assert_eq!(agent_row(&agent(false)), ["fra1", "online", "3", "1.0.0", "-", "-"]);
    }

    #[test]
    fn moments_are_told_to_the_second_and_other_texts_as_they_are() {
        let told = |text: &str| cell(&json!({ "at": text }), "/at");
        assert_eq!(told("2026-11-21T05:54:33.662609Z"), "2026-11-21T05:54:33Z");
        for text in ["2026-11-21T05:54:33Z", "router1.exampleZ", "at 05:54:33.66Z", "1.2.3.4"] {
            assert_eq!(told(text), text);
        }
        assert_eq!(told(""), "");
        assert_eq!(cell(&json!({}), "/at"), "-");
    }
}
