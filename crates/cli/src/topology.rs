//! The network's topology: checked offline, taken over by a server, shown, given back as a file.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use engine::graph::document::{Document, Format};
use serde_json::{Value, json};

use crate::{
    args::{Connection, TopologyCommand},
    client::Client,
    commands::{cell, say, say_json},
    table,
};

/// As much as the server takes in one body.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Ids that are shown of each sort; how many there are is said.
const SHOWN_MAX: usize = 20;

/// Returns whether all is well: whether there was no problem.
pub(crate) async fn run(connection: Connection, command: TopologyCommand) -> anyhow::Result<bool> {
    match command {
        TopologyCommand::Import { file, format, dry_run, replace } => {
            let (format, text) = read(&file, format)?;
            import(&connection, (&file, format, text), dry_run, replace).await
        }
        TopologyCommand::Check { file: Some(file), format } => {
            let (format, text) = read(&file, format)?;
            check(&connection, &file, format, &text)
        }
        TopologyCommand::Check { file: None, .. } => check_server(&connection).await,
        TopologyCommand::WhatIf { down } => what_if(&connection, &down).await,
        TopologyCommand::SinglePoints => single_points(&connection).await,
        TopologyCommand::Export { format } => export(&connection, format).await,
        TopologyCommand::Show { site, device, kind } => {
            show(&connection, &[("site", site), ("device", device), ("kind", kind)]).await
        }
    }
}

/// Reads a file and says what it is.
fn read(path: &Path, format: Option<Format>) -> anyhow::Result<(Format, String)> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read `{name}`"))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read `{name}`"))?;
    if FILE_BYTES_MAX < bytes.len() as u64 {
        bail!("`{name}` has more than {FILE_BYTES_MAX} bytes: import it in parts");
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("`{name}` is no UTF-8 in line {line}: save it as UTF-8")
    })?;
    let format = format.or_else(|| Format::guess(&name, &text)).with_context(|| {
        format!(
            "the name of `{name}` says no format: end it with .csv, .yaml, .json or .graphml, or \
             give --format"
        )
    })?;
    Ok((format, text))
}

fn check(connection: &Connection, file: &Path, format: Format, text: &str) -> anyhow::Result<bool> {
    let read = Document::read(format, text);
    let built = read.and_then(|document| document.build().map(|built| (document, built)));
    let (problems, doubts, counts) = match &built {
        Ok((document, topology)) => {
            let counts = (document.draft.elements.len(), document.draft.targets.len());
            (Vec::new(), document.doubts(topology), counts)
        }
        Err(faults) => (faults.iter().map(ToString::to_string).collect(), Vec::new(), (0, 0)),
    };
    if connection.json {
        let report = json!({
            "file": file.display().to_string(), "format": format.as_str(),
            "elements": counts.0, "targets": counts.1,
            "problems": problems, "doubts": doubts,
        });
        say_json(&report)?;
        return Ok(problems.is_empty());
    }
    let mut out = lines(file, &problems);
    if problems.is_empty() {
        out += &format!("{} elements and {} targets make sense\n", counts.0, counts.1);
    }
    out += &doubtful(&doubts);
    say(&out);
    Ok(problems.is_empty())
}

/// What is odd about the topology that a server has: it made sense when it was taken.
async fn check_server(connection: &Connection) -> anyhow::Result<bool> {
    let checked: Value = Client::new(connection)?.get("/topology/check").await?;
    if connection.json {
        say_json(&checked)?;
        return Ok(true);
    }
    let (elements, targets) = (cell(&checked, "/elements"), cell(&checked, "/targets"));
    say(&(format!("{elements} elements and {targets} targets make sense\n") + &odd(&checked)));
    Ok(true)
}

/// What a server says that is odd: first what has no effect as it is.
fn odd(report: &Value) -> String {
    let of = |key| list(report, key).iter().filter_map(Value::as_str);
    let warnings: String = of("warnings").map(|said| format!("warning: {said}\n")).collect();
    let doubts: Vec<String> = of("doubts").map(str::to_owned).collect();
    warnings + &doubtful(&doubts)
}

/// Problems as compilers write them, so that editors find the place.
fn lines(file: &Path, problems: &[String]) -> String {
    problems.iter().map(|problem| format!("{}: {problem}\n", file.display())).collect()
}

fn doubtful(doubts: &[String]) -> String {
    doubts.iter().map(|doubt| format!("note: {doubt}\n")).collect()
}

/// Asks first what would become of it, so that each problem stands on a line of its own.
async fn import(
    connection: &Connection,
    (file, format, text): (&PathBuf, Format, String),
    dry_run: bool,
    replace: bool,
) -> anyhow::Result<bool> {
    let client = Client::new(connection)?;
    let mode = if replace { "replace" } else { "merge" };
    let path = |dry_run: bool| {
        format!("/topology/import?format={}&mode={mode}&dry_run={dry_run}", format.as_str())
    };
    let mut report: Value = client.upload(&path(true), format.media_type(), text.clone()).await?;
    let problems = list(&report, "problems").to_vec();
    let is_good = problems.is_empty();
    if is_good && !dry_run {
        report = client.upload(&path(false), format.media_type(), text).await?;
    }
    if connection.json {
        say_json(&report)?;
        return Ok(is_good);
    }
    let problems: Vec<String> = problems
        .iter()
        .map(|problem| match cell(problem, "/field").as_str() {
            "" | "-" => cell(problem, "/reason"),
            field => format!("{field}: {}", cell(problem, "/reason")),
        })
        .collect();
    let mut out = lines(file, &problems);
    if is_good {
        for (word, key) in [("added", "added"), ("changed", "changed"), ("removed", "removed")] {
            out += &sort_of((word, word), report.get(key).unwrap_or(&Value::Null));
        }
        out += &format!("{} unchanged\n", cell(&report, "/unchanged"));
        if dry_run {
            out += "nothing was changed: leave out --dry-run to do it\n";
        }
    } else {
        out += "nothing was changed\n";
    }
    say(&(out + &odd(&report)));
    Ok(is_good)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// "3 added: r1, r2, r1--r2"
/// How many of a sort there are, by the word for one and for many, and the first of them.
fn sort_of((one, many): (&str, &str), keys: &Value) -> String {
    let total = keys.get("total").and_then(Value::as_u64).unwrap_or(0);
    let word = if total == 1 { one } else { many };
    let ids = list(keys, "ids").iter().filter_map(Value::as_str);
    let shown: Vec<&str> = ids.take(SHOWN_MAX).collect();
    let more = total.saturating_sub(shown.len() as u64);
    match (total, more) {
        (0, _) => String::new(),
        (_, 0) => format!("{total} {word}: {}\n", shown.join(", ")),
        (_, more) => format!("{total} {word}: {} and {more} more\n", shown.join(", ")),
    }
}

async fn export(connection: &Connection, format: Option<Format>) -> anyhow::Result<bool> {
    let client = Client::new(connection)?;
    let format = format.unwrap_or(Format::Yaml);
    let path = format!("/topology/export?format={}", format.as_str());
    let (text, left_out) = client.text(&path, "x-left-out").await?;
    say(&text);
    if left_out.as_deref().is_some_and(|count| count != "0") {
        let count = left_out.unwrap_or_default();
        complain(&format!(
            "faultline: {} has room for devices and links alone: {count} other parts are left out; \
             yaml, json and csv hold all",
            format.as_str()
        ));
    }
    Ok(true)
}

#[expect(clippy::print_stderr, reason = "a note beside a file on standard output")]
fn complain(text: &str) {
    eprintln!("{text}");
}

async fn what_if(connection: &Connection, down: &str) -> anyhow::Result<bool> {
    let client = Client::new(connection)?;
    let mut path = reqwest::Url::parse("http://path/topology/what-if")?;
    path.query_pairs_mut().append_pair("down", down);
    let query = path.query().unwrap_or_default();
    let answer: Value = client.get(&format!("/topology/what-if?{query}")).await?;
    if connection.json {
        say_json(&answer)?;
        return Ok(true);
    }
    let mut out = format!("{}\n", cell(&answer, "/sentence"));
    for (word, key) in [
        (("target lost", "targets lost"), "targets_lost"),
        (("device down or cut off", "devices down or cut off"), "devices"),
        (
            ("device that one failure more cuts off", "devices that one failure more cuts off"),
            "devices_exposed",
        ),
        (("agent that would see nothing", "agents that would see nothing"), "agents_blind"),
    ] {
        out += &sort_of(word, answer.get(key).unwrap_or(&Value::Null));
    }
    for (one, many, key) in
        [("customer", "customers", "/customers"), ("service", "services", "/services")]
    {
        let count = cell(&answer, key);
        let word = if count == "1" { one } else { many };
        if count != "0" {
            out += &format!("{count} {word} behind those devices\n");
        }
    }
    say(&out);
    Ok(true)
}

async fn single_points(connection: &Connection) -> anyhow::Result<bool> {
    let client = Client::new(connection)?;
    let answer: Value = client.get("/topology/single-points").await?;
    if connection.json {
        say_json(&answer)?;
        return Ok(true);
    }
    let points = list(&answer, "single_points");
    if points.is_empty() {
        say("no element alone darkens a target\n");
        return Ok(true);
    }
    let row =
        |point: &Value| ["/element", "/kind", "/targets", "/weight"].map(|at| cell(point, at));
    let rows: Vec<Vec<String>> = points.iter().map(|point| row(point).to_vec()).collect();
    say(&table::render(&["ELEMENT", "KIND", "TARGETS", "WEIGHT"], &rows));
    let total = answer.get("total").and_then(Value::as_u64).unwrap_or(0);
    if (rows.len() as u64) < total {
        say(&format!("and {} more\n", total - rows.len() as u64));
    }
    Ok(true)
}

async fn show(connection: &Connection, filters: &[(&str, Option<String>)]) -> anyhow::Result<bool> {
    let client = Client::new(connection)?;
    let mut path = reqwest::Url::parse("http://path/topology")?;
    for (key, value) in filters {
        if let Some(value) = value {
            path.query_pairs_mut().append_pair(key, value);
        }
    }
    let query = path.query().map(|query| format!("?{query}")).unwrap_or_default();
    let topology: Value = client.get(&format!("/topology{query}")).await?;
    if connection.json {
        say_json(&topology)?;
        return Ok(true);
    }
    let row = |kind: String, item: &Value| {
        let ends = item.get("ends").and_then(Value::as_array);
        let between =
            ends.map(|ends| ends.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" - "));
        let at = between.unwrap_or_else(|| cell(item, "/device"));
        let weight = cell(item, "/weight");
        let count = if weight == "-" { cell(item, "/customers") } else { weight };
        vec![kind, cell(item, "/id"), cell(item, "/role"), cell(item, "/site"), at, count]
    };
    let mut rows: Vec<Vec<String>> =
        list(&topology, "elements").iter().map(|item| row(cell(item, "/kind"), item)).collect();
    rows.extend(list(&topology, "targets").iter().map(|item| row("target".to_owned(), item)));
    if rows.is_empty() {
        say("nothing is there: `faultline topology import FILE` describes the network\n");
        return Ok(true);
    }
    say(&table::render(&["KIND", "ID", "ROLE", "SITE", "AT", "BEHIND IT"], &rows));
    say(&format!(
        "{} elements, {} targets; version {} of the inventory\n",
        cell(&topology, "/elements_total"),
        cell(&topology, "/targets_total"),
        cell(&topology, "/version"),
    ));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_two_are_many() {
        let words = ("agent that sees nothing", "agents that see nothing");
        let said =
            |ids: &[&str]| sort_of(words, &serde_json::json!({"total": ids.len(), "ids": ids}));
        assert_eq!(said(&[]), "");
        assert_eq!(said(&["a"]), "1 agent that sees nothing: a\n");
        assert_eq!(said(&["a", "b"]), "2 agents that see nothing: a, b\n");
    }
}
