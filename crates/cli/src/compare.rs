//! `history --compare`: a time summed up beside one that lay before it.

use std::time::Duration;

use model::UtcMicros;
use serde_json::Value;

use crate::{
    args::HistoryArgs,
    client::Client,
    commands::{cell, say, say_json, target_id},
    record::list,
    table,
};

/// What is told of each agent: its words, its place in a sum, and how it is written.
const FIGURES: [(&str, &str, Form); 14] = [
    ("availability", "availability", Form::Share),
    ("minutes up", "minutes_up", Form::Count),
    ("minutes degraded", "minutes_degraded", Form::Count),
    ("minutes down", "minutes_down", Form::Count),
    ("minutes unknown", "minutes_unknown", Form::Count),
    ("packets sent", "sent", Form::Count),
    ("packets lost", "lost", Form::Count),
    ("loss", "loss_ratio", Form::Share),
    ("rtt fastest", "rtt_us_min", Form::Time),
    ("rtt mean", "rtt_us_mean", Form::Time),
    ("rtt p50", "rtt_us_p50", Form::Time),
    ("rtt p95", "rtt_us_p95", Form::Time),
    ("rtt p99", "rtt_us_p99", Form::Time),
    ("rtt slowest", "rtt_us_max", Form::Time),
];

#[derive(Clone, Copy, Debug)]
enum Form {
    Count,
    Share,
    /// Of microseconds.
    Time,
}

impl Form {
    fn write(self, value: Option<&Value>) -> String {
        let Some(number) = value.and_then(Value::as_f64) else { return "-".to_owned() };
        match self {
            Form::Count => format!("{number:.0}"),
            Form::Share => format!("{:.3} %", number * 100.0),
            Form::Time => format!("{:.2} ms", number / 1_000.0),
        }
    }

    /// With the sign of what is more; nothing where nothing differs.
    fn write_difference(self, value: Option<&Value>) -> String {
        match value.and_then(Value::as_f64) {
            Some(number) if 0.0 < number => format!("+{}", self.write(value)),
            Some(0.0) => String::new(),
            Some(_) | None => self.write(value),
        }
    }
}

/// Shows the last of a time beside as long a time that lay `before` it.
pub(crate) async fn compare(
    client: &Client,
    (args, is_json): (&HistoryArgs, bool),
    (now, before): (UtcMicros, Duration),
) -> anyhow::Result<()> {
    let mut told = Vec::with_capacity(args.names.len());
    for name in &args.names {
        let id = target_id(client, name).await?;
        let mut url = reqwest::Url::parse("http://path")?;
        let (from, to) = (now - args.last, now);
        url.query_pairs_mut()
            .append_pair("from", &from.to_string())
            .append_pair("to", &to.to_string())
            .append_pair("compare_from", &(from - before).to_string())
            .append_pair("compare_to", &(to - before).to_string());
        let path = format!("/targets/{id}/summary?{}", url.query().unwrap_or_default());
        let mut summary: Value = client.get(&path).await?;
        if let Some(agent) = &args.agent {
            keep(&mut summary, name, agent)?;
        }
        told.push(summary);
    }
    match told.as_slice() {
        [summary] if is_json => say_json(summary),
        all if is_json => say_json(&all.iter().cloned().collect::<Value>()),
        all => {
            say(&all.iter().map(told_as).collect::<Vec<_>>().join("\n"));
            Ok(())
        }
    }
}

/// Keeps the series of one agent.
fn keep(summary: &mut Value, target: &str, agent: &str) -> anyhow::Result<()> {
    let of_agent = |series: &Value| cell(series, "/agent/name") == agent;
    let kept: Vec<Value> =
        list(summary, "series").iter().filter(|series| of_agent(series)).cloned().collect();
    if kept.is_empty() {
        anyhow::bail!("no agent named `{agent}` asked `{target}` in that time");
    }
    if let Some(series) = summary.get_mut("series") {
        *series = Value::Array(kept);
    }
    Ok(())
}

fn told_as(summary: &Value) -> String {
    let range = |name: &str| {
        let field = |field: &str| cell(summary, &format!("/{name}/{field}"));
        format!("{} to {}, from values of {}", field("from"), field("to"), field("level"))
    };
    let mut text = format!(
        "{}\nthis:   {}\nbefore: {}\n",
        cell(summary, "/target/name"),
        range("range"),
        range("compared")
    );
    for (name, word) in [("range", "this"), ("compared", "before")] {
        let notes = summary.get(name).map_or(&[][..], |range| list(range, "notes"));
        for note in notes.iter().filter_map(Value::as_str) {
            text += &format!("{word}: {note}\n");
        }
    }
    let mut lines = Vec::new();
    for series in list(summary, "series") {
        let agent = series.pointer("/agent/name").and_then(Value::as_str).unwrap_or("all");
        for (words, figure, form) in FIGURES {
            let of = |sum: &str| series.pointer(&format!("/{sum}/{figure}"));
            lines.push(vec![
                agent.to_owned(),
                words.to_owned(),
                form.write(of("range")),
                form.write(of("compared")),
                form.write_difference(of("difference")),
            ]);
        }
    }
    text + &table::render(&["SEEN BY", "WHAT", "THIS", "BEFORE", "DIFFERENCE"], &lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_figure_stands_beside_what_it_was_and_by_how_much_it_differs() {
        let range = |from: &str, notes: Value| {
            let level = "5m";
            json!({"from": from, "to": "T", "level": level, "notes": notes})
        };
        let text = told_as(&json!({
            "target": {"id": 1, "name": "core1"},
            "range": range("A", json!([])),
            "compared": range("B", json!(["percentiles are not told"])),
            "series": [{
                "agent": null,
                "range": {"availability": 0.9975, "lost": 12, "rtt_us_mean": 12_345},
                "compared": {"availability": 1.0, "lost": 12, "rtt_us_mean": 10_000},
                "difference": {"availability": -0.0025, "lost": 0, "rtt_us_mean": 2_345}
            }]
        }));
        let line = |what: &str| {
            let line = text.lines().find(|line| line.contains(what)).expect("a line");
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        };
        assert!(text.starts_with("core1\nthis:   A to T, from values of 5m\nbefore: B to T"));
        assert!(text.contains("\nbefore: percentiles are not told\n"), "{text}");
        let availability = ["all", "availability", "99.750 %", "100.000 %", "-0.250 %"];
        assert_eq!(line("availability"), availability);
        assert_eq!(line("packets lost"), ["all", "packets lost", "12", "12"]);
        assert_eq!(line("rtt mean"), ["all", "rtt mean", "12.35 ms", "10.00 ms", "+2.35 ms"]);
        assert_eq!(line("rtt p99"), ["all", "rtt p99", "-", "-", "-"]);
    }
}
