//! What a target is and was: `target show` and `history`.

use std::time::Duration;

use anyhow::Context as _;
use model::UtcMicros;
use serde_json::{Value, json};
use server::clock::Clock;

use crate::{
    args::{Connection, HistoryArgs},
    client::Client,
    commands::{cell, items, rows, say, say_json, target_id},
    compare::compare,
    table,
};

/// Changes that are shown of a target.
const CHANGES_MAX: u32 = 10;
/// Lines that `history` aims at, if nobody says how long a span is.
const LINES_MAX: u64 = 100;
/// Targets of one request: as many as the API takes.
const TARGETS_MAX: usize = 50;
/// The spans that the API tells.
const SPANS: [(&str, u64); 4] = [("1m", 60), ("5m", 300), ("1h", 3_600), ("1d", 86_400)];

/// Shows what is held of a target, by whom, and what changed last.
pub(crate) async fn show(
    connection: &Connection,
    client: &Client,
    name: &str,
) -> anyhow::Result<()> {
    let id = target_id(client, name).await?;
    let status: Value = client.get(&format!("/targets/{id}/status")).await?;
    let changes: Value = client.get(&format!("/targets/{id}/changes?limit={CHANGES_MAX}")).await?;
    if connection.json {
        return say_json(&json!({ "status": status, "changes": items(&changes) }));
    }
    say(&head(&status, Clock::system().now()));
    let agents = status.get("agents").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let fields = ["/agent/name", "/agent/state", "/verdict", "/since", "/last_round_at", "/why"];
    let headers = ["AGENT", "STATE", "VERDICT", "SINCE", "LAST ROUND", "WHY"];
    say(&format!("\n{}", rows(&headers, &fields, agents)));
    let changes: Vec<Vec<String>> = items(&changes).iter().map(change).collect();
    say(&format!("\n{}", table::render(&["CHANGED", "SEEN BY", "FROM", "TO", "WHY"], &changes)));
    Ok(())
}

fn head(status: &Value, now: UtcMicros) -> String {
    let field = |pointer: &str| cell(status, pointer);
    let since = UtcMicros::parse(&field("/consensus/since")).map(|since| now.since(since));
    let lasted = since.map_or_else(String::new, |lasted| format!(" ({})", span(lasted)));
    let note = match status.pointer("/target/is_paused").and_then(Value::as_bool) {
        Some(true) => ", paused",
        Some(false) | None => "",
    };
    format!(
        "{}  {}, tier {}, asked every {} s{note}\n{} since {}{lasted}: {}\n",
        field("/target/name"),
        field("/target/address"),
        field("/target/tier/name"),
        field("/interval_s"),
        field("/consensus/verdict"),
        field("/consensus/since"),
        field("/consensus/why"),
    ) + &unwatched(status)
}

/// When nobody looked since then: a line each.
fn unwatched(status: &Value) -> String {
    let gaps = status.get("unwatched").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let line = |gap: &Value| {
        format!(
            "  the server did not run from {} to {}: nobody looked then\n",
            cell(gap, "/from"),
            cell(gap, "/to")
        )
    };
    gaps.iter().map(line).collect()
}

fn span(lasted: Duration) -> String {
    let minutes = lasted.as_secs() / 60;
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", lasted.as_secs()),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn change(item: &Value) -> Vec<String> {
    let field = |pointer: &str| cell(item, pointer);
    let who = match item.pointer("/agent/name").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => "all".to_owned(),
    };
    let why = match item.get("why") {
        Some(_) => field("/why"),
        None => format!("what {} stands for", field("/name")),
    };
    vec![field("/at"), who, field("/from"), field("/to"), why]
}

/// Shows how targets were.
pub(crate) async fn history(connection: Connection, args: HistoryArgs) -> anyhow::Result<()> {
    let client = Client::new(&connection)?;
    let now = Clock::system().now();
    if let Some(before) = args.compare {
        return compare(&client, (&args, connection.json), (now, before)).await;
    }
    let mut ids = Vec::with_capacity(args.names.len());
    for name in &args.names {
        ids.push(target_id(&client, name).await?);
    }
    let finest = SPANS.into_iter().find(|(_, span)| args.last.as_secs() <= span * LINES_MAX);
    let span = args.span.as_deref().unwrap_or(finest.map_or("1d", |(name, _)| name));
    let mut told = Vec::with_capacity(ids.len());
    for some in ids.chunks(TARGETS_MAX) {
        let some: Vec<String> = some.iter().map(u64::to_string).collect();
        let mut url = reqwest::Url::parse("http://path")?;
        url.query_pairs_mut()
            .append_pair("targets", &some.join(","))
            .append_pair("agents", if args.agent.is_some() { "true" } else { "false" })
            .append_pair("from", &(now - args.last).to_string())
            .append_pair("to", &now.to_string())
            .append_pair("level", span);
        let path = format!("/history?{}", url.query().unwrap_or_default());
        let histories: Value = client.get(&path).await?;
        told.extend(list(&histories, "targets").iter().cloned());
    }
    // In the order in which they were asked for.
    let of = |id: &u64| {
        let is_it = |one: &&Value| one.pointer("/target/id").and_then(Value::as_u64) == Some(*id);
        told.iter().find(is_it).context("a target was deleted meanwhile: try again")
    };
    let mut asked = Vec::with_capacity(ids.len());
    for (id, name) in ids.iter().zip(&args.names) {
        asked.push((name, series(of(id)?, name, args.agent.as_deref())?));
    }
    match asked.as_slice() {
        [(_, series)] if connection.json => say_json(series),
        all if connection.json => {
            let all = all.iter().map(|(name, series)| json!({ "target": name, "series": series }));
            say_json(&all.collect::<Value>())
        }
        all => {
            for (index, (name, series)) in all.iter().enumerate() {
                let before = if index == 0 { "" } else { "\n" };
                let title = if 1 < all.len() { format!("{before}{name}\n") } else { String::new() };
                say(&(title + &told_as(series)));
            }
            Ok(())
        }
    }
}

/// What is told of a target by one agent, or by all together.
fn series<'a>(told: &'a Value, name: &str, agent: Option<&str>) -> anyhow::Result<&'a Value> {
    let name_of =
        |series: &Value| series.pointer("/agent/name").and_then(Value::as_str).map(str::to_owned);
    let series = list(told, "series").iter().find(|one| name_of(one).as_deref() == agent);
    series.with_context(|| {
        format!("no agent named `{}` asked `{name}` in that time", agent.unwrap_or_default())
    })
}

pub(crate) fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

fn told_as(series: &Value) -> String {
    let (minutes, buckets) = (list(series, "minutes"), list(series, "buckets"));
    if buckets.is_empty() {
        let line = |item: &Value| line(item, "/minute", &[]);
        let lines: Vec<Vec<String>> = minutes.iter().map(line).collect();
        return table::render(&["FROM", "VERDICT", "CAUSE", "LOSS", "RTT"], &lines);
    }
    let spent = ["/minutes_down", "/minutes_degraded", "/minutes_unknown"];
    let lines: Vec<Vec<String>> = buckets.iter().map(|item| line(item, "/start", &spent)).collect();
    let headers = ["FROM", "VERDICT", "CAUSE", "MIN DOWN", "DEGRADED", "UNKNOWN", "LOSS", "RTT"];
    table::render(&headers, &lines)
}

fn line(item: &Value, start: &str, spent: &[&str]) -> Vec<String> {
    let open = match item.get("is_open").and_then(Value::as_bool) {
        Some(true) => " (not over)",
        Some(false) | None => "",
    };
    let mut cells = vec![cell(item, start), cell(item, "/verdict"), cell(item, "/cause") + open];
    cells.extend(spent.iter().map(|pointer| cell(item, pointer)));
    let number = |name: &str| item.get(name).and_then(Value::as_u64);
    cells.push(match (number("sent"), number("received")) {
        (Some(sent), Some(received)) if 0 < sent => {
            let tenths = sent.saturating_sub(received) * 1_000 / sent;
            format!("{}.{} %", tenths / 10, tenths % 10)
        }
        _ => "-".to_owned(),
    });
    cells.push(match number("rtt_us_mean") {
        Some(us) => format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10),
        None => "-".to_owned(),
    });
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_is_told_by_its_two_largest_units() {
        let told =
            [5, 125, 3_600 * 3 + 240, 86_400 * 2 + 7_500].map(|s| span(Duration::from_secs(s)));
        assert_eq!(told, ["5 s", "2 min", "3 h 4 min", "2 d 2 h"]);
    }

    #[test]
    fn an_outage_of_the_monitor_is_told_beside_since() {
        let status = json!({
            "target": { "name": "core1", "address": "192.0.2.1", "tier": { "name": "fast" } },
            "interval_s": 5,
            "consensus": {
                "verdict": "down", "since": "2026-11-26T12:00:00Z", "why": "no answer"
            },
            "unwatched": [{ "from": "2026-11-26T12:01:00Z", "to": "2026-11-26T12:09:00Z" }]
        });
        let now = UtcMicros::parse("2026-11-26T12:10:00Z").expect("a time");
        assert_eq!(
            head(&status, now),
            "core1  192.0.2.1, tier fast, asked every 5 s\n\
             down since 2026-11-26T12:00:00Z (10 min): no answer\n  the server did not run from \
             2026-11-26T12:01:00Z to 2026-11-26T12:09:00Z: nobody looked then\n"
        );
    }

    #[test]
    fn the_series_is_that_of_the_agent_or_of_all_together() {
        let told = json!({ "series": [
            { "agent": null, "minutes": [] }, { "agent": { "id": 1, "name": "fra1" } }
        ] });
        let all = series(&told, "core1", None).expect("all together");
        assert_eq!(all.get("agent"), Some(&Value::Null));
        assert!(series(&told, "core1", Some("fra1")).is_ok());
        let why = series(&told, "core1", Some("ber1")).expect_err("nobody").to_string();
        assert_eq!(why, "no agent named `ber1` asked `core1` in that time");
    }

    #[test]
    fn spans_and_minutes_are_a_table_each() {
        let bucket = json!({
            "start": "2026-11-26T12:00:00Z", "verdict": "down", "cause": "no_answer",
            "minutes_up": 3, "minutes_degraded": 0, "minutes_down": 2, "minutes_unknown": 0,
            "sent": 50, "received": 30, "rtt_us_mean": 12_345, "is_open": true
        });
        let text = told_as(&json!({ "minutes": [], "buckets": [bucket] }));
        let line = text.lines().nth(1).expect("a line");
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        assert_eq!(
            cells,
            [
                "2026-11-26T12:00:00Z",
                "down",
                "no_answer (not over)",
                "2",
                "0",
                "0",
                "40.0 %",
                "12.34 ms"
            ]
        );
        let minute = json!({
            "minute": "2026-11-26T12:00:00Z", "verdict": "unknown", "cause": "monitor_down",
            "sent": 0, "received": 0, "rtt_us_mean": null, "is_open": false
        });
        let text = told_as(&json!({ "minutes": [minute], "buckets": [] }));
        assert!(text.contains("unknown  monitor_down  -     -"), "{text}");
    }
}
