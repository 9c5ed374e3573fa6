//! What an agent says of itself: `agent metrics`.

use std::time::Duration;

use serde_json::Value;
use server::clock::Clock;

use crate::{
    client::Client,
    commands::{cell, say, say_json},
    table,
};

/// Shows every metric of an agent over some time, one a line.
pub(crate) async fn metrics(
    client: &Client,
    is_json: bool,
    id: u64,
    last: Duration,
) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let mut url = reqwest::Url::parse("http://path")?;
    url.query_pairs_mut()
        .append_pair("from", &(now - last).to_string())
        .append_pair("to", &now.to_string());
    let path = format!("/agents/{id}/metrics?{}", url.query().unwrap_or_default());
    let metrics: Value = client.get(&path).await?;
    if is_json {
        return say_json(&metrics);
    }
    let series = metrics.get("series").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let lines: Vec<Vec<String>> = series.iter().map(line).collect();
    let headers = ["METRIC", "LAST", "AT MOST", "COUNTED", "RESETS", "UNKNOWN"];
    say(&table::render(&headers, &lines));
    Ok(())
}

/// Of a gauge the last value and the largest; of a counter its rates a second, what it counted and
/// how often it began again; and of how much of the time nothing is known.
fn line(series: &Value) -> Vec<String> {
    let buckets = series.get("buckets").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_counter = series.get("kind").and_then(Value::as_str) == Some("counter");
    let values = |field: &'static str| {
        buckets.iter().filter_map(move |bucket| bucket.get(field).and_then(Value::as_f64))
    };
    // Not `sum`, which makes -0 of nothing.
    let sum = |field| values(field).fold(0.0, |all, value| all + value).to_string();
    let (last, most) = if is_counter { ("rate_per_s", "rate_per_s") } else { ("last", "max") };
    let shown = |value: Option<f64>| match value {
        None => "-".to_owned(),
        Some(value) if is_counter => format!("{} /s", short(value)),
        Some(value) => short(value),
    };
    let silent = |bucket: &&Value| {
        let is = |field| bucket.get(field).and_then(Value::as_bool) == Some(true);
        let cause = bucket.get("cause").and_then(Value::as_str);
        // Nothing is missing of what was never there, or is not kept any more.
        cause.is_some_and(|cause| !matches!(cause, "not_yet" | "expired")) && !is("is_open")
    };
    let silent = buckets.iter().filter(silent).count();
    vec![
        name(series),
        shown(values(last).next_back()),
        shown(values(most).reduce(f64::max)),
        if is_counter { sum("increase") } else { "-".to_owned() },
        if is_counter { sum("resets") } else { "-".to_owned() },
        format!("{silent} of {}", buckets.len()),
    ]
}

fn name(series: &Value) -> String {
    let labels = series.get("labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let name = cell(series, "/name");
    if labels.is_empty() { name } else { format!("{name}{{{}}}", labels.join(",")) }
}

/// With as many digits as mean something.
fn short(value: f64) -> String {
    let digits = [(1e4, 0), (1e2, 1), (1.0, 3)];
    let digits = digits.into_iter().find(|(least, _)| *least <= value.abs());
    let text = format!("{value:.*}", digits.map_or(6, |(_, digits)| digits));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_metric_is_a_line_and_what_is_not_known_is_a_dash() {
        let empty = json!({ "count": 0, "max": null, "last": null, "increase": null,
            "rate_per_s": null, "resets": 0, "cause": "silent", "is_open": false });
        let gauge = json!({ "count": 2, "max": 0.0025, "last": 0.000125, "increase": null,
            "rate_per_s": null, "resets": 0, "cause": null, "is_open": true });
        let lag = json!({ "name": "agent_send_lag_seconds", "labels": { "stat": "max" },
            "kind": "gauge", "buckets": [empty, gauge] });
        assert_eq!(
            line(&lag),
            ["agent_send_lag_seconds{stat=\"max\"}", "0.000125", "0.0025", "-", "-", "1 of 2"]
        );
        let counted = json!({ "count": 2, "max": null, "last": null, "increase": 3000,
            "rate_per_s": 100.0, "resets": 1, "cause": null, "is_open": false });
        let rounds = json!({ "name": "agent_rounds_total", "labels": {}, "kind": "counter",
            "buckets": [counted, empty] });
        assert_eq!(
            line(&rounds),
            ["agent_rounds_total", "100 /s", "100 /s", "3000", "1", "1 of 2"]
        );
        let once = json!({ "name": "agent_rounds_total", "labels": {}, "kind": "counter",
            "buckets": [empty] });
        assert_eq!(line(&once), ["agent_rounds_total", "-", "-", "0", "0", "1 of 1"]);
    }
}
