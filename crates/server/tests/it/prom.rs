//! The history through Prometheus's way of reading, of a server that heard a few rounds.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use server::clock::{Clock, ReadClocks as _};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    harness::{Server, answered, enrol, lost, of_gateway, soon},
    restart::Moved,
};

const FORM: &str = "application/x-www-form-urlencoded";

/// A clock that begins in the middle of a minute, so that all rounds are of one.
pub(crate) fn clocks() -> Arc<Moved> {
    let clocks = Arc::new(Moved::default());
    let second = server::clock::system_reading().wall_us.div_euclid(1_000_000).rem_euclid(60);
    clocks.pass(Duration::from_secs(u64::try_from(90 - second).unwrap()));
    clocks
}

/// The time there, in seconds since 1970.
pub(crate) fn now_s(clocks: &Moved) -> i64 {
    clocks.read().wall_us / 1_000_000
}

/// Asks as a client does that sends forms.
async fn ask(server: &Server, path: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    pairs.iter().for_each(|(name, value)| {
        form.append_pair(name, value);
    });
    let body = form.finish();
    let path = format!("/prom/api/v1/{path}");
    let by_get = server.ask(Method::GET, &format!("{path}?{body}")).await;
    let status = by_get.status().as_u16();
    let told: Value = by_get.json().await.unwrap();
    if ["query", "query_range", "series", "labels"].contains(&path.rsplit('/').next().unwrap()) {
        let posted = server.send_form(&path, FORM, body).await;
        assert_eq!(posted.status().as_u16(), status);
        let posted: Value = posted.json().await.unwrap();
        assert_eq!(posted["data"], told["data"], "{path}");
    }
    (status, told)
}

/// The values of a query at one moment, by the labels that are named.
async fn values(server: &Server, query: &str, time: &str, by: &[&str]) -> Vec<String> {
    let (status, told) = ask(server, "query", &[("query", query), ("time", time)]).await;
    assert_eq!((status, &told["status"]), (200, &json!("success")), "{query}: {told}");
    assert_eq!(told["data"]["resultType"], "vector", "{query}");
    let one = |one: &Value| {
        let labels = by.iter().map(|label| format!("{} ", one["metric"][*label].as_str().unwrap()));
        format!("{}{}", labels.collect::<String>(), one["value"][1].as_str().unwrap())
    };
    told["data"]["result"].as_array().unwrap().iter().map(one).collect()
}

/// Ten rounds answered and two lost, five packets each: everything that follows can be worked out
/// by hand.
pub(crate) async fn heard(server: &Server, clocks: &Moved) -> u64 {
    let body = json!({"name": "core1", "address": "192.0.2.1", "tags": ["core", "fra"]});
    let made = server.post("/targets", &body).await;
    let target = made["id"].as_u64().unwrap();
    let probe = model::ProbeId(u32::try_from(made["probe_id"].as_u64().unwrap()).unwrap());
    let (_, token) = server.new_agent("fra1").await;
    let mut link = enrol(&token).await.unwrap().link().await.unwrap();
    link.assigned(&[probe]).await;
    let mut rows = vec![lost(probe, 12), lost(probe, 11), of_gateway(5)];
    rows.extend((1..=10).rev().map(|ago_s| answered(probe, ago_s)));
    rows.sort_by_key(|row| row.due_tick);
    let epoch = link.epoch;
    link.send_rounds(1, &rows).await;
    link.acknowledged(epoch, 1).await;
    server.rounds_reach(target, 12).await;
    soon(async {
        while server.get(&format!("/targets/{target}")).await["verdict"] != "up" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    clocks.pass(Duration::from_secs(300));
    soon(async {
        loop {
            let history = server.get(&format!("/targets/{target}/history")).await;
            let minutes = history["series"][0]["minutes"].as_array().unwrap();
            if minutes.iter().map(|minute| minute["sent"].as_u64().unwrap()).sum::<u64>() == 60 {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_is_read_as_series() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let target = heard(&server, &clocks).await;
    let now = now_s(&clocks);
    let at = now.to_string();
    let ask_now = async |query: &str, by: &[&str]| values(&server, query, &at, by).await;

    let sent = "increase(faultline_target_packets_sent_total[30m])";
    assert_eq!(ask_now(sent, &["target", "tier", "tags"]).await, ["core1 standard ,core,fra, 60"]);
    let pair = "increase(faultline_pair_packets_lost_total{agent=\"fra1\"}[30m])";
    assert_eq!(ask_now(pair, &["target", "agent"]).await, ["core1 fra1 10"]);
    let ratio = "sum(increase(faultline_target_packets_lost_total[30m])) / \
                 sum(increase(faultline_target_packets_sent_total[30m])) * 6";
    assert_eq!(ask_now(ratio, &[]).await, ["1"]);
    let times = "max_over_time(faultline_target_rtt_seconds{stat=~\"min|mean|max\"}[30m])";
    assert_eq!(ask_now(times, &["stat"]).await, ["min 0.0009", "mean 0.001", "max 0.0011"]);
    // Within 3.2 %.
    let p95 = "max_over_time(faultline_target_rtt_seconds{stat=\"p95\"}[30m]) * 1e5";
    let p95: f64 = ask_now(p95, &[]).await[0].parse().unwrap();
    assert!((96.8..=103.2).contains(&p95), "{p95}");
    let state = "count by (state) (faultline_targets == 1)";
    assert_eq!(ask_now(state, &["state"]).await.len(), 1);
    // None of these is known of a target that is not there.
    assert!(ask_now("faultline_target_up{target=\"edge1\"}", &[]).await.is_empty());

    // Minute by minute as the history tells it.
    let history = server.get(&format!("/targets/{target}/history")).await;
    let minutes = history["series"][0]["minutes"].as_array().unwrap();
    let mut compared = 0;
    for minute in minutes.iter().filter(|minute| minute["is_open"] == false) {
        let start = model::UtcMicros::parse(minute["minute"].as_str().unwrap()).unwrap();
        let end = ((start.0 / 1_000_000) + 60).to_string();
        let up = values(&server, "faultline_target_up", &end, &[]).await;
        let expected: &[&str] = match minute["verdict"].as_str().unwrap() {
            "up" | "degraded" => &["1"],
            "down" => &["0"],
            _ => &[],
        };
        assert_eq!(up, expected, "{minute}");
        compared += 1;
    }
    assert!(3 < compared, "{history}");

    // Two hours in steps of a minute: one line, and what is unknown is not drawn.
    let start = (now - 7_200).to_string();
    let pairs =
        [("query", "faultline_target_state == 0"), ("start", &start), ("end", &at), ("step", "1m")];
    let (status, told) = ask(&server, "query_range", &pairs).await;
    assert_eq!((status, &told["data"]["resultType"]), (200, &json!("matrix")));
    let lines = told["data"]["result"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{told}");
    assert_eq!(lines[0]["metric"]["__name__"], "faultline_target_state");
    let points = lines[0]["values"].as_array().unwrap().len();
    assert!((1..20).contains(&points), "{told}");
    server.stop().await;
}

/// A query of a dashboard, with what Grafana would put in the place of its variables.
fn filled(expr: &str) -> String {
    let places =
        [("$__rate_interval", "4m"), ("$__range", "30m"), ("$target", "core1"), ("$tier", ".*")];
    places.iter().fold(expr.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Every query of every dashboard that is shipped has an answer, and one with values.
#[tokio::test(flavor = "multi_thread")]
async fn each_panel_of_the_dashboards_shows_something() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    heard(&server, &clocks).await;
    let now = now_s(&clocks);
    let (start, end) = ((now - 1_800).to_string(), now.to_string());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/grafana/dashboards");
    let mut asked = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = filled(target["expr"].as_str().unwrap());
                assert!(!query.contains('$'), "{query}");
                let (path, pairs) = match target["instant"] == true {
                    true => ("query", vec![("query", query.as_str()), ("time", &end)]),
                    false => (
                        "query_range",
                        vec![
                            ("query", query.as_str()),
                            ("start", &start),
                            ("end", &end),
                            ("step", "60"),
                        ],
                    ),
                };
                let (status, told) = ask(&server, path, &pairs).await;
                assert_eq!(status, 200, "{query}: {told}");
                let found = told["data"]["result"].as_array().unwrap().len();
                // Nothing was down.
                let may_be_empty = query.contains("state=\"down\"");
                assert!(0 < found || may_be_empty, "{}: {query}: {told}", panel["title"]);
                asked += 1;
            }
        }
    }
    assert!(15 < asked, "{asked} queries");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_out_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    heard(&server, &clocks).await;
    let data = async |path: &str, pairs: &[(&str, &str)]| {
        let (status, told) = ask(&server, path, pairs).await;
        assert_eq!((status, &told["status"]), (200, &json!("success")), "{path}: {told}");
        told["data"].clone()
    };
    let pair =
        [("match[]", "{__name__=~\"faultline_pair_(up|loss_ratio)\", tags=~\".*,core,.*\"}")];
    let series = data("series", &pair).await;
    let names: Vec<&Value> =
        series.as_array().unwrap().iter().map(|series| &series["__name__"]).collect();
    assert_eq!(names, ["faultline_pair_loss_ratio", "faultline_pair_up"], "{series}");
    assert_eq!(series[0]["agent"], "fra1");
    let labels = data("labels", &[]).await;
    let labels: Vec<&str> = labels.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let expected =
        ["agent", "agent_id", "site", "stat", "state", "tags", "target", "target_id", "tier"];
    assert_eq!(labels[1..], expected);
    let some = [("match[]", "faultline_targets{state=\"up\"}")];
    assert_eq!(data("labels", &some).await, json!(["__name__", "state"]));
    assert_eq!(data("label/target/values", &[]).await, json!(["core1"]));
    assert_eq!(data("label/tier/values", &[]).await, json!(["fast", "standard"]));
    assert_eq!(data("label/agent/values", &[]).await, json!(["fra1"]));
    assert_eq!(data("label/agent/values", &pair).await, json!(["fra1"]));
    assert_eq!(data("label/nothing/values", &[]).await, json!([]));
    let all = data("label/__name__/values", &[]).await;
    assert_eq!(all.as_array().unwrap().len(), 15);
    let metadata = data("metadata", &[("metric", "faultline_target_packets_sent_total")]).await;
    assert_eq!(metadata["faultline_target_packets_sent_total"][0]["type"], "counter");
    assert_eq!(data("metadata", &[]).await.as_object().unwrap().len(), 15);
    assert_eq!(data("status/buildinfo", &[]).await["application"], "Faultline");
    // What Grafana asks when a data source is saved.
    let sum = data("query", &[("query", "1+1"), ("time", "1795240440.5")]).await;
    assert_eq!((&sum["resultType"], &sum["result"][1]), (&json!("scalar"), &json!("2")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_has_no_answer_is_refused_as_prometheus_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for n in 0..3 {
        server.new_target(&format!("core{n}"), &format!("192.0.2.{n}")).await;
    }
    let refused = async |path: &str, pairs: &[(&str, &str)]| {
        let (status, told) = ask(&server, path, pairs).await;
        assert_eq!(told["status"], "error", "{pairs:?}: {told}");
        format!("{status} {}: {}", told["errorType"].as_str().unwrap(), told["error"])
    };
    let range = |query, step| {
        [("query", query), ("start", "1795240000"), ("end", "2026-11-21T08:00:00Z"), ("step", step)]
    };
    for (told, expected) in [
        (refused("query", &[]).await, "400 bad_data: \"invalid parameter \\\"query\\\": it is"),
        (
            refused("query", &[("query", "up{")]).await,
            "400 bad_data: \"parse error: unexpected end",
        ),
        (
            refused("query", &[("query", "1"), ("time", "noon")]).await,
            "400 bad_data: \"invalid parameter \\\"time\\\": cannot parse",
        ),
        (
            refused("query", &[("query", "faultline_target_packets_sent_total")]).await,
            "400 bad_data: \"faultline_target_packets_sent_total is a counter: its value",
        ),
        (
            refused("query", &[("query", "irate(faultline_target_packets_sent_total[5m])")]).await,
            "400 bad_data: \"the function `irate` not supported: use ",
        ),
        (
            refused("query", &[("query", "vector(1) * on () faultline_targets")]).await,
            "422 execution: \"found duplicate series for the match group on the right",
        ),
        (
            refused("query_range", &range("1", "0.5")).await,
            "400 bad_data: \"exceeded maximum resolution of 11000 points per timeseries.",
        ),
        (
            refused("query_range", &range("1", "0")).await,
            "400 bad_data: \"invalid parameter \\\"step\\\": zero or negative query resolution",
        ),
        (
            refused("query", &[("query", "max_over_time(faultline_targets[5m])")]).await,
            "400 bad_data: \"faultline_targets is known of the present only: ask it without a",
        ),
        (refused("series", &[]).await, "400 bad_data: \"no match[] parameter provided"),
        (
            refused("series", &[("match[]", "sum(up)")]).await,
            "400 bad_data: \"parse error: `sum(up)` is no series selector",
        ),
    ] {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    server.stop().await;
}

/// A tier that keeps minutes for a day only is answered from what is left, the others from minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_from_what_the_tiers_of_its_targets_keep() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let tier = server.post("/tiers", &json!({"name": "brief", "kept_days": {"minutes": 1}})).await;
    server.new_target("core1", "192.0.2.1").await;
    let body = json!({"name": "edge1", "address": "192.0.2.2", "tier_id": tier["id"]});
    server.post("/targets", &body).await;
    let of = async |target: &str| {
        let query =
            format!("max_over_time(faultline_target_up{{target=~\"{target}\"}}[1m] offset 3d)");
        ask(&server, "query", &[("query", query.as_str())]).await
    };
    assert_eq!(of("core1").await.0, 200);
    let (status, told) = of("edge1").await;
    assert_eq!(status, 400);
    let expected = "a window over faultline_target_up must be 5m or longer here";
    assert!(told["error"].as_str().unwrap().starts_with(expected), "{told}");
    // As long as any of them keeps it.
    assert_eq!(of("core1|edge1").await.0, 200);
    server.stop().await;
}

/// Of 1,400 targets there are more series than a list may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_series_that_is_cut_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let rows: Vec<Value> = (0..1_400)
        .map(|n| (format!("{}{n}", ["a", "b"][n % 2]), format!("10.0.{}.{}", n / 200, n % 200)))
        .map(|(name, address)| json!({"name": name, "address": address}))
        .collect();
    server.post("/targets/import", &Value::Array(rows)).await;
    let list = async |matches: &[&str]| {
        let pairs: Vec<(&str, &str)> = matches.iter().map(|one| ("match[]", *one)).collect();
        let (status, told) = ask(&server, "series", &pairs).await;
        assert_eq!(status, 200);
        (told["data"].as_array().unwrap().len(), told["warnings"].clone())
    };
    let half = list(&["{target=~\"a.*\"}"]).await;
    assert_eq!(half, (700 * 15, Value::Null));
    let both = list(&["{target=~\"a.*\"}", "{target=~\"b.*\"}"]).await;
    assert_eq!(both, (20_000, json!(["only 20000 series are told"])));
    let (count, warnings) = list(&["faultline_target_up{target=~\".+\"}"]).await;
    assert_eq!((count, warnings), (1_000, json!(["only the first 1000 targets are told"])));
    // A query does not leave out in silence what it cannot read.
    let (status, told) = ask(&server, "query", &[("query", "sum(faultline_target_up)")]).await;
    assert_eq!((status, &told["errorType"]), (422, &json!("execution")));
    assert!(told["error"].as_str().unwrap().starts_with("more than 1000 targets have"), "{told}");
    server.stop().await;
}

/// What stands in the database is none any more: series are told without sites and say so, and a
/// query by site is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_topology_that_cannot_be_read_takes_the_sites_away_and_no_series() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.new_target("core1", "192.0.2.1").await;
    server.stop().await;
    let mut database = SqliteConnection::connect_with(
        &SqliteConnectOptions::new().filename(dir.path().join("faultline.db")),
    )
    .await
    .unwrap();
    let damage = "
        INSERT INTO topology_part (org_id, section, id, kind, body_json, version)
        VALUES (1, 'element', 'r1', 'device', 'no json', 1);
        INSERT INTO topology_head (org_id, version, updated_at) VALUES (1, 1, 1)";
    sqlx::raw_sql(damage).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let server = Server::start_again(dir.path()).await;
    let (status, told) = ask(&server, "series", &[("match[]", "faultline_target_up")]).await;
    assert_eq!((status, told["data"].as_array().unwrap().len()), (200, 1), "{told}");
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("the label site is left out: the topology cannot be read"));
    let by_site = [("query", "faultline_target_up{site=\"fra\"}")];
    let (status, told) = ask(&server, "query", &by_site).await;
    assert_eq!(status, 500, "{told}");
    server.stop().await;
}
