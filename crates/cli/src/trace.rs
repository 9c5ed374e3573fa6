//! Traces: the way from an agent to a target, hop by hop, as the agent finds it.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Connection,
    client::Client,
    commands::{cell, id_of, items, say, say_json, target_id},
    table,
};

/// Between two looks at a trace: what a person sees as at once.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const LIST_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 500;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct TraceArgs {
    /// Name of the target, or its address: nothing else is traced.
    pub(crate) target: String,
    /// Name of the agent that traces.
    #[arg(long)]
    pub(crate) agent: String,
    /// Send UDP to ports that nothing listens on, instead of echo requests.
    #[arg(long)]
    pub(crate) udp: bool,
    /// Flows to trace, 1 to 16: several show where equal ways part.
    #[arg(long, default_value_t = 1)]
    pub(crate) flows: u8,
    /// Packets for each hop of each flow; times --flows at most 64.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u8,
    /// Hops to go at most, 1 to 64.
    #[arg(long, default_value_t = 30)]
    pub(crate) hops_max: u8,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TracesArgs {
    /// Only of this target.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Only from this agent.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only those that were made by themselves.
    #[arg(long)]
    pub(crate) automatic: bool,
    /// At most so many, the last ones.
    #[arg(long, default_value_t = LIST_DEFAULT)]
    pub(crate) limit: u32,
    /// Show one with its hops, by its number.
    #[arg(conflicts_with_all = ["target", "agent"])]
    pub(crate) id: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PathsArgs {
    /// Only to this target.
    pub(crate) target: Option<String>,
    /// Only from this agent.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// At most so many, those that began last.
    #[arg(long, default_value_t = LIST_DEFAULT)]
    pub(crate) limit: u32,
}

/// Lists which way packets take, since when, and what changed.
pub(crate) async fn paths(connection: Connection, args: PathsArgs) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    let mut path = format!("/traces/paths?limit={}", args.limit.clamp(1, PAGE_MAX));
    if let Some(name) = &args.target {
        path += &format!("&target={}", target_id(&client, name).await?);
    }
    if let Some(name) = &args.agent {
        path += &format!("&agent={}", id_of(&client, "/agents", "agent", name).await?);
    }
    let page: Value = client.get(&path).await?;
    if connection.json {
        return say_json(&page);
    }
    if items(&page).is_empty() {
        say("no path is known: the first trace that is answered makes one\n");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = items(&page).iter().map(path_row).collect();
    let headers = ["AGENT", "TARGET", "SINCE", "SEEN", "TRACE", "WAY", "CHANGE"];
    say(&table::render(&headers, &rows));
    Ok(())
}

fn path_row(path: &Value) -> Vec<String> {
    let field = |pointer| cell(path, pointer);
    let hops = path.get("hops").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let who = |answer: &Value| match (cell(answer, "/element"), cell(answer, "/target/name")) {
        (element, _) if element != "-" => element,
        (_, name) if name != "-" => name,
        _ => cell(answer, "/address"),
    };
    let way = hops.iter().map(|hop| {
        let answers = hop.get("answers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut names: Vec<String> = answers.iter().map(who).collect();
        names.dedup();
        if names.is_empty() { "*".to_owned() } else { names.join("/") }
    });
    let way: Vec<String> = way.collect();
    // Agent and target stand beside it.
    let change = field("/change");
    let change = change.split_once(" changed ").map_or("-", |(_, what)| what).to_owned();
    let (agent, target) = (field("/agent/name"), field("/target/name"));
    vec![agent, target, field("/since"), field("/seen"), field("/trace"), way.join(" > "), change]
}

/// Lists traces, or shows one.
pub(crate) async fn list(connection: Connection, args: TracesArgs) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    if let Some(id) = args.id {
        let trace: Value = client.get(&format!("/traces/{id}")).await?;
        if connection.json {
            return say_json(&trace);
        }
        say(&told(&trace));
        return Ok(());
    }
    let mut path = format!("/traces?limit={}", args.limit.clamp(1, PAGE_MAX));
    if let Some(name) = &args.target {
        path += &format!("&target={}", target_id(&client, name).await?);
    }
    if let Some(name) = &args.agent {
        path += &format!("&agent={}", id_of(&client, "/agents", "agent", name).await?);
    }
    if args.automatic {
        path += "&automatic=true";
    }
    let page: Value = client.get(&path).await?;
    if connection.json {
        return say_json(&page);
    }
    if items(&page).is_empty() {
        say("there is no trace; `faultline trace --agent AGENT TARGET` makes one\n");
        return Ok(());
    }
    let row = |trace: &Value| {
        let field = |pointer| cell(trace, pointer);
        let (id, at) = (field("/id"), field("/created_at"));
        let who = (field("/agent/name"), field("/target/name"), field("/asker"));
        let asker = if who.2 == "-" { field("/why").replace('_', " ") } else { who.2 };
        vec![id, at, who.0, who.1, field("/protocol"), outcome(trace), asker]
    };
    let rows: Vec<Vec<String>> = items(&page).iter().map(row).collect();
    let headers = ["ID", "AT", "AGENT", "TARGET", "BY", "OUTCOME", "ASKED BY"];
    say(&table::render(&headers, &rows));
    Ok(())
}

/// Lets an agent trace a target and shows the hops as they come; whether it came to its end.
pub(crate) async fn run(connection: Connection, args: TraceArgs) -> anyhow::Result<bool> {
    let client = Client::new(&connection)?;
    let agent = id_of(&client, "/agents", "agent", &args.agent).await?;
    let mut body = json!({
        "agent": agent,
        "protocol": if args.udp { "udp" } else { "icmp" },
        "flows": args.flows,
        "rounds": args.rounds,
        "hops_max": args.hops_max,
    });
    let subject = match target_id(&client, &args.target).await {
        Ok(id) => ("target", json!(id)),
        // Not a name: then it may be an address, of which the server says whose it is.
        Err(_) if args.target.contains(['.', ':']) => ("address", json!(args.target)),
        Err(error) => return Err(error),
    };
    if let Some(body) = body.as_object_mut() {
        body.insert(subject.0.to_owned(), subject.1);
    }
    let trace: Value = client.send(Method::POST, "/traces", &body).await?;
    let trace = follow(&client, &connection, trace).await?;
    let state = cell(&trace, "/state");
    if state != "done" && !connection.json {
        bail!("the trace is {state}: {}", cell(&trace, "/reason"));
    }
    Ok(state == "done")
}

/// Looks at a trace until it is over. Interrupted, it is cancelled.
async fn follow(client: &Client, connection: &Connection, trace: Value) -> anyhow::Result<Value> {
    let path = format!("/traces/{}", cell(&trace, "/id"));
    let is_live = io::stdout().is_terminal() && !connection.json;
    let (mut trace, mut lines, mut shown) = (trace, 0, None);
    let mut interrupted = Box::pin(tokio::signal::ctrl_c());
    loop {
        let is_over = trace.get("ended_at").is_some_and(Value::is_string);
        let revision = cell(&trace, "/revision");
        let is_news = shown.as_ref() != Some(&revision) || is_over;
        if connection.json && is_news {
            say(&format!("{trace}\n"));
        } else if (is_live && is_news) || is_over {
            let text = told(&trace);
            // Up to where the table began, and nothing below it.
            let again = if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") };
            lines = if is_live { text.lines().count() } else { 0 };
            say(&(again + &text));
        }
        shown = Some(revision);
        if is_over {
            return Ok(trace);
        }
        trace = tokio::select! {
            _ = &mut interrupted => client.send(Method::DELETE, &path, &Value::Null).await?,
            () = tokio::time::sleep(LOOK_INTERVAL) => client.get(&path).await?,
        };
    }
}

/// A trace as a table of its hops, with what there is to say above and below.
fn told(trace: &Value) -> String {
    let field = |pointer| cell(trace, pointer);
    let mut text = format!(
        "trace {} from {} to {} ({}) by {}\n",
        field("/id"),
        field("/agent/name"),
        field("/target/name"),
        field("/traced"),
        field("/protocol")
    );
    let why = field("/why_note");
    if !why.is_empty() && why != "-" {
        text += &format!("made by itself: {why}\n");
    }
    let is_parted = trace.get("flows").and_then(Value::as_u64).is_some_and(|flows| 1 < flows);
    let hops = trace.get("hops").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut rows = Vec::new();
    for hop in hops {
        rows.extend(hop_rows(hop, is_parted));
    }
    if !rows.is_empty() {
        let mut headers =
            vec!["HOP", "ADDRESS", "WHO", "LOST", "SENT", "BEST", "AVG", "WORST", "NOTE"];
        if is_parted {
            headers.insert(0, "FLOW");
        }
        text += &table::render(&headers, &rows);
    }
    text + &format!("{}\n", outcome(trace))
}

/// The rows of a hop: one for each address that answered.
fn hop_rows(hop: &Value, is_parted: bool) -> Vec<Vec<String>> {
    let answers = hop.get("answers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let none = Value::Null;
    let mut rows = Vec::new();
    for (at, answer) in answers.iter().chain(answers.is_empty().then_some(&none)).enumerate() {
        let of_hop = |pointer| if at == 0 { cell(hop, pointer) } else { String::new() };
        let ms = |pointer| {
            answer
                .pointer(pointer)
                .and_then(Value::as_f64)
                .map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us / 1_000.0))
        };
        let address = if answers.is_empty() { "*".to_owned() } else { cell(answer, "/address") };
        let mut row = if is_parted { vec![of_hop("/flow")] } else { Vec::new() };
        row.extend([
            of_hop("/hop"),
            address,
            who(answer),
            of_hop("/lost"),
            of_hop("/sent"),
            ms("/rtt_us_min"),
            ms("/rtt_us_mean"),
            ms("/rtt_us_max"),
            if at == 0 { note(hop) } else { String::new() },
        ]);
        rows.push(row);
    }
    rows
}

/// The target that has an address, and the element it stands behind.
fn who(answer: &Value) -> String {
    match (cell(answer, "/target/name"), cell(answer, "/element")) {
        (name, element) if element == "-" || element == name => name,
        (name, element) => format!("{name} at {element}"),
    }
}

/// What a hop's losses mean, in words.
fn note(hop: &Value) -> String {
    if let Some(code) = hop.get("refused_code").and_then(Value::as_u64) {
        return format!("refuses to pass it on (code {code})");
    }
    match cell(hop, "/note").as_str() {
        "rate_limited" => "limits its answers: nothing is lost here",
        "silent" => "answers nothing, and passes on",
        "lossy" => "loses, as all behind it",
        "unclear" => "too few packets to say",
        "dark" => "no answer, nor from behind",
        _ => "",
    }
    .to_owned()
}

/// How a trace stands, in words.
fn outcome(trace: &Value) -> String {
    let reason = cell(trace, "/reason");
    let end = match (cell(trace, "/state").as_str(), cell(trace, "/end").as_str()) {
        ("ordered" | "running", _) => "under way",
        ("done", "reached") => "the target answers",
        ("done", "unreachable") => "refused on the way",
        ("done", "silent") => "the target does not answer",
        ("done", "not_asked") => "nothing could be sent",
        ("done", _) => "done",
        ("cancelled", _) => "cancelled",
        ("expired", _) => "expired",
        _ => "failed",
    };
    if reason.is_empty() || reason == "-" { end.to_owned() } else { format!("{end}: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_answers_is_told_as_no_loss_and_each_way_has_its_row() {
        let trace = json!({
            "id": 7, "agent": {"name": "fra1"}, "target": {"name": "edge1"},
            "traced": "192.0.2.9", "protocol": "icmp", "flows": 1, "state": "done",
            "end": "reached", "reason": "",
            "hops": [
                {"flow": 0, "hop": 1, "sent": 5, "lost": 3, "note": "rate_limited", "answers": [
                    {"address": "192.0.2.1", "rtt_us_min": 100, "rtt_us_mean": 200,
                     "rtt_us_max": 3000, "target": {"name": "core1"}, "element": "r1"},
                    {"address": "192.0.2.2", "rtt_us_min": 1, "rtt_us_mean": 1, "rtt_us_max": 1},
                ]},
                {"flow": 0, "hop": 2, "sent": 5, "lost": 5, "note": "silent", "answers": []},
            ],
        });
        let text = told(&trace);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "trace 7 from fra1 to edge1 (192.0.2.9) by icmp");
        let words = |at: usize| lines[at].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(2),
            "1 192.0.2.1 core1 at r1 3 5 0.10 ms 0.20 ms 3.00 ms limits its answers: nothing is \
             lost here"
        );
        assert_eq!(words(3), "192.0.2.2 - 0.00 ms 0.00 ms 0.00 ms");
        assert_eq!(words(4), "2 * - 5 5 - - - answers nothing, and passes on");
        assert_eq!(lines[5], "the target answers");
    }
}
