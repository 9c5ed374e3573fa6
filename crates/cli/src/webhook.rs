//! Webhooks: who is told what happens, and whether they were.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::{Connection, WebhookCommand},
    client::Client,
    commands::{cell, id_of, items, say, say_json},
    table,
};

const PATH: &str = "/webhooks";
/// As many as one request gives: the console pages through all.
const DELIVERIES_MAX: u32 = 500;

/// The states of the API and the words that people read for them, here and in the console.
const STATES: [(&str, &str); 3] = [("due", "waiting"), ("sent", "taken"), ("dead", "given up")];

/// Returns whether all is well: whether a test was taken.
pub(crate) async fn run(connection: Connection, command: WebhookCommand) -> anyhow::Result<bool> {
    let client = &Client::new(&connection)?;
    let is_json = connection.json;
    let path_of = async |name: &str| -> anyhow::Result<String> {
        Ok(format!("{PATH}/{}", id_of(client, PATH, "webhook", name).await?))
    };
    match command {
        WebhookCommand::List => list(client, is_json).await?,
        WebhookCommand::Add { name, address } => {
            let body = json!({ "name": name, "url": address });
            let made: Value = client.send(Method::POST, PATH, &body).await?;
            let secret = cell(&made, "/secret");
            let mut text = format!(
                "webhook `{name}` is told of incidents from now on. Its messages are signed \
                 with\n\n    {secret}\n\nIt is shown once: give it to the receiver, then type \
                 `faultline webhook test {name}`.\n"
            );
            if let Some(warning) = made.get("warning").and_then(Value::as_str) {
                text += &format!("\nNote: {warning}.\n");
            }
            tell(is_json, &made, &text)?;
        }
        WebhookCommand::Test { name } => {
            return test(client, is_json, &path_of(&name).await?, &name).await;
        }
        WebhookCommand::Deliveries { name, state } => {
            deliveries(client, is_json, &path_of(&name).await?, state.as_deref()).await?;
        }
        WebhookCommand::Resend { id } => {
            let path = format!("/deliveries/{id}/resend");
            let delivery: Value = client.send(Method::POST, &path, &Value::Null).await?;
            let text = format!("{} is sent again now\n", cell(&delivery, "/message"));
            tell(is_json, &delivery, &text)?;
        }
        WebhookCommand::Disable { name } => {
            let text = format!(
                "nothing is sent to `{name}` until `faultline webhook enable {name}`; what waited \
                 is given up\n"
            );
            switch(client, is_json, &path_of(&name).await?, true, &text).await?;
        }
        WebhookCommand::Enable { name } => {
            let text = format!("`{name}` is told what happens from now on\n");
            switch(client, is_json, &path_of(&name).await?, false, &text).await?;
        }
        WebhookCommand::Remove { name } => {
            let path = path_of(&name).await?;
            let _: Value = client.send(Method::DELETE, &path, &Value::Null).await?;
            say(&format!("webhook `{name}` is deleted\n"));
        }
    }
    Ok(true)
}

fn tell(is_json: bool, answer: &Value, text: &str) -> anyhow::Result<()> {
    if is_json {
        return say_json(answer);
    }
    say(text);
    Ok(())
}

async fn list(client: &Client, is_json: bool) -> anyhow::Result<()> {
    let list: Value = client.get(PATH).await?;
    if is_json {
        return say_json(&list);
    }
    if items(&list).is_empty() {
        say("nobody is told: `faultline webhook add NAME URL` adds an address\n");
        return Ok(());
    }
    let row = |hook: &Value| {
        let is_off = hook.get("is_disabled") == Some(&Value::Bool(true));
        let state = if is_off { "disabled" } else { "enabled" };
        let [name, due, dead, last, url] =
            ["/name", "/due", "/dead", "/last_sent_at", "/url"].map(|field| cell(hook, field));
        vec![name, state.to_owned(), due, dead, last, url]
    };
    let rows: Vec<Vec<String>> = items(&list).iter().map(row).collect();
    let headers = ["NAME", "STATE", "WAITING", "GIVEN UP", "LAST TAKEN", "ADDRESS"];
    say(&table::render(&headers, &rows));
    Ok(())
}

async fn test(client: &Client, is_json: bool, path: &str, name: &str) -> anyhow::Result<bool> {
    let told: Value = client.send(Method::POST, &format!("{path}/test"), &Value::Null).await?;
    let is_taken = told.get("state").and_then(Value::as_str) == Some("sent");
    let took_us = told.pointer("/tries/0/took_us").and_then(Value::as_u64).unwrap_or(0);
    let after = format!("{}.{} ms", took_us / 1_000, took_us % 1_000 / 100);
    let text = if is_taken {
        format!("`{name}` took it: {} after {after}\n", cell(&told, "/tries/0/status"))
    } else {
        format!("`{name}` did not take it, after {after}: {}\n", cell(&told, "/reason"))
    };
    tell(is_json, &told, &text)?;
    Ok(is_taken)
}

async fn deliveries(
    client: &Client,
    is_json: bool,
    path: &str,
    state: Option<&str>,
) -> anyhow::Result<()> {
    let mut query = reqwest::Url::parse("http://path/")?;
    query.query_pairs_mut().append_pair("limit", &DELIVERIES_MAX.to_string());
    if let Some(state) = state {
        let known = STATES.into_iter().find(|(_, word)| *word == state.replace(['-', '_'], " "));
        query.query_pairs_mut().append_pair("state", known.map_or(state, |(state, _)| state));
    }
    let query = query.query().unwrap_or_default();
    let page: Value = client.get(&format!("{path}/deliveries?{query}")).await?;
    if is_json {
        return say_json(&page);
    }
    if items(&page).is_empty() {
        say("there is no such message\n");
        return Ok(());
    }
    let headers = ["ID", "HAPPENED", "WHAT", "STATE", "TRIES", "NEXT TRY", "REASON"];
    let rows: Vec<Vec<String>> = items(&page).iter().map(delivery).collect();
    say(&table::render(&headers, &rows));
    if page.get("next_cursor").is_some_and(Value::is_string) {
        say(&format!("and earlier ones: the newest {DELIVERIES_MAX} are shown\n"));
    }
    Ok(())
}

fn delivery(of: &Value) -> Vec<String> {
    let [id, at, kind, state, tries, next, reason] =
        ["/id", "/created_at", "/kind", "/state", "/tries_total", "/next_at", "/reason"]
            .map(|field| cell(of, field));
    let what = match of.get("incident").and_then(Value::as_u64) {
        Some(incident) => format!("{kind} #{incident}"),
        None => kind,
    };
    let word = STATES.into_iter().find(|(known, _)| *known == state).map(|(_, word)| word);
    vec![id, at, what, word.map(str::to_owned).unwrap_or(state), tries, next, reason]
}

async fn switch(
    client: &Client,
    is_json: bool,
    path: &str,
    is_disabled: bool,
    text: &str,
) -> anyhow::Result<()> {
    let body = json!({ "is_disabled": is_disabled });
    let after: Value = client.send(Method::PATCH, path, &body).await?;
    tell(is_json, &after, text)
}
