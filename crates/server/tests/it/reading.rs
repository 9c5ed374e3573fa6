//! Reading what was heard: ranges added up, and tables beside the JSON of the same.

use std::time::Duration;

use model::UtcMicros;
use reqwest::Method;
use serde_json::{Value, json};
use server::clock::Clock;

use crate::{
    harness::Server,
    prom::{clocks, heard, now_s},
    read_parquet::{notes_of, page_of, take},
};

const FIGURES: [&str; 6] = ["rounds", "sent", "lost", "rtt_us_min", "rtt_us_mean", "rtt_us_max"];

fn time(seconds: i64) -> String {
    UtcMicros(seconds * 1_000_000).to_string()
}

/// Ten rounds answered and two lost by one agent, all of one minute; and nothing of the day before.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_added_up_and_compared_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let target = heard(&server, &clocks).await;
    let now = now_s(&clocks);
    let day = 24 * 3_600;
    let path = format!(
        "/targets/{target}/summary?from={}&to={}&compare_from={}",
        time(now - 1_800),
        time(now),
        time(now - 1_800 - day)
    );
    let told = server.get(&path).await;
    assert_eq!(told["target"], json!({"id": target, "name": "core1"}));
    let [all, fra1] = &told["series"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&all["agent"], &fra1["agent"]["name"]), (&Value::Null, &json!("fra1")));
    for series in [all, fra1] {
        let range = &series["range"];
        let figures = FIGURES.iter().map(|figure| range[*figure].as_u64().unwrap());
        assert_eq!(figures.collect::<Vec<_>>(), [12, 60, 10, 900, 1_000, 1_100], "{series}");
        assert_eq!(range["loss_ratio"], 10.0 / 60.0);
        for quantile in ["rtt_us_p50", "rtt_us_p95", "rtt_us_p99"] {
            assert!(range[quantile].as_u64().unwrap().abs_diff(1_000) <= 32, "{range}");
        }
        let minutes = ["up", "degraded", "down", "unknown"];
        let minutes = minutes.map(|of| range[format!("minutes_{of}")].as_u64().unwrap());
        assert!((30..=31).contains(&minutes.iter().sum::<u64>()), "{range}");
        assert_eq!(range["availability"].as_f64().is_some(), 0 < minutes[..3].iter().sum::<u64>());
        let compared = &series["compared"];
        assert_eq!((&compared["sent"], &compared["availability"]), (&json!(0), &Value::Null));
        assert_eq!(compared["rtt_us_p95"], Value::Null);
        let difference = &series["difference"];
        assert_eq!((&difference["sent"], &difference["lost"]), (&json!(60), &json!(10)));
        assert_eq!(difference["rtt_us_mean"], Value::Null, "none is not zero");
    }
    assert_eq!(told["range"]["notes"], json!([]));
    // Compared with itself nothing differs; the end of the second range is its own.
    let same = path.replace(&time(now - 1_800 - day), &time(now - 1_800));
    let same = server.get(&format!("{same}&compare_to={}", time(now))).await;
    let difference = same["series"][0]["difference"].as_object().unwrap();
    let of_zero = |value: &Value| value.as_f64() == Some(0.0);
    assert!(difference.values().all(of_zero), "{difference:?}");
    // Of a range whose rounds are not all kept the percentiles are those of its days, and a note
    // says so.
    let long = format!("/targets/{target}/summary?from={}", time(now - 30 * day));
    let long = server.get(&long).await;
    assert_eq!((&long["range"]["level"], &long["compared"]), (&json!("1h"), &Value::Null));
    told_from_roll_ups(&long["series"][0]["range"]);
    told_from_roll_ups(&long["series"][1]["range"]);
    let note = long["range"]["notes"][0].as_str().unwrap();
    assert!(note.starts_with("times are told to within 3.2 %, percentiles of the whole days from"));
    assert!(note.ends_with("because rounds are kept for 14 days"), "{note}");

    let refused = async |query: &str| {
        let answer = server.ask(Method::GET, &format!("/targets/{target}/summary?{query}")).await;
        assert_eq!(answer.status(), 422, "{query}");
        let told: Value = answer.json().await.unwrap();
        told["errors"][0].to_string()
    };
    let at = time(now);
    assert!(refused(&format!("compare_to={at}")).await.contains("must be given if `compare_to`"));
    let backwards = refused(&format!("compare_from={at}&compare_to={at}")).await;
    assert!(backwards.contains("compare_to") && backwards.contains("after `compare_from`"));
    let endless = refused("compare_from=1999-01-01T00:00:00Z&compare_to=2026-01-01T00:00:00Z");
    assert!(endless.await.contains("days after `compare_from`"));
}

/// Of the twelve rounds of [`heard`], as days keep them.
#[track_caller]
fn told_from_roll_ups(sum: &Value) {
    assert_eq!((&sum["sent"], &sum["lost"]), (&json!(60), &json!(10)), "{sum}");
    assert!(sum["rtt_us_min"].as_u64().unwrap().abs_diff(900) <= 4, "{sum}");
    assert!(sum["rtt_us_mean"].as_u64().unwrap().abs_diff(1_000) <= 4, "{sum}");
    for quantile in ["rtt_us_p50", "rtt_us_p95", "rtt_us_p99"] {
        assert!(sum[quantile].as_u64().unwrap().abs_diff(1_000) <= 32, "{sum}");
    }
}

/// Sixteen days later, when the rounds are gone: percentiles of days, none of half an hour, and
/// times of both.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_its_rounds_is_told_from_roll_ups() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let target = heard(&server, &clocks).await;
    let (then, day) = (now_s(&clocks), 24 * 3_600);
    let midnight = then - then.rem_euclid(day);
    clocks.pass(Duration::from_secs(16 * 24 * 3_600));
    let summary = async |from: i64, to: i64| {
        let path = format!("/targets/{target}/summary?from={}&to={}", time(from), time(to));
        server.get(&path).await
    };
    // Whoever runs this just after midnight heard the rounds the day before.
    let days = summary(midnight - day, midnight + day).await;
    assert_eq!(days["range"]["level"], "5m");
    days["series"].as_array().unwrap().iter().for_each(|one| told_from_roll_ups(&one["range"]));
    assert_eq!(days["series"].as_array().unwrap().len(), 2);
    let note = days["range"]["notes"].as_array().unwrap();
    assert_eq!(note.len(), 1, "{note:?}");
    let (first, last) = (time(midnight - day), time(midnight + day));
    assert!(note[0].as_str().unwrap().contains(&format!("from {first} to {last}, because")));

    let half = summary(then - 1_800, then).await;
    let sum = &half["series"][0]["range"];
    assert_eq!((&sum["sent"], &sum["rtt_us_p50"]), (&json!(60), &Value::Null), "{half}");
    assert!(sum["rtt_us_mean"].as_u64().unwrap().abs_diff(1_000) <= 4, "minutes have none: {half}");
    let note = half["range"]["notes"][0].as_str().unwrap();
    assert!(note.starts_with("percentiles are not told of less than a day, because rounds are"));
    // So the history of that time comes with its times unless minutes are asked for.
    let path = format!("/targets/{target}/history?from={}&to={}", time(then - 1_800), time(then));
    let told = server.get(&path).await;
    assert_eq!(told["level"], "5m");
    let buckets = told["series"][0]["buckets"].as_array().unwrap();
    let timed = buckets.iter().find(|bucket| bucket["rtt_us_p95"].is_u64()).unwrap();
    assert!(timed["rtt_us_p95"].as_u64().unwrap().abs_diff(1_000) <= 32, "{timed}");
    server.stop().await;
}

/// With each agent it is known only while it is told how much it is: then it is refused in the
/// middle, as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn one_answer_of_json_has_a_limit_also_where_agents_make_it_long() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    heard(&server, &clocks).await;
    let rows: Vec<Value> = (2..=50)
        .map(|n| json!({"name": format!("t{n}"), "address": format!("192.0.2.{n}")}))
        .collect();
    server.post("/targets/import", &Value::Array(rows)).await;
    let listed = server.get("/targets?limit=100").await;
    let ids: Vec<String> =
        listed["items"].as_array().unwrap().iter().map(|one| one["id"].to_string()).collect();
    assert_eq!(ids.len(), 50);
    // A day of minutes of fifty: as much as there may be, and one answer.
    let now = now_s(&clocks);
    let range =
        format!("from={}&to={}&level=1m", time(now - now % 60 - 86_400), time(now - now % 60));
    let path = format!("/history?targets={}&{range}", ids.join(","));
    let all = server.get(&path).await;
    let minutes = |one: &Value| one["series"][0]["minutes"].as_array().unwrap().len();
    assert_eq!(all["targets"].as_array().unwrap().iter().map(minutes).sum::<usize>(), 72_000);
    let refused = server.ask(Method::GET, &format!("{path}&agents=true")).await;
    assert_eq!(refused.status(), 422);
    let told: Value = refused.json().await.unwrap();
    assert_eq!(
        told["errors"][0]["reason"],
        "together give more than 72000 values; take fewer of them, a coarser level, a shorter \
         range, or format=csv, jsonl or parquet",
        "{told}"
    );
    server.stop().await;
}

/// 501 entries, asked for by 500: the last is on a page of its own, and the end is an end.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_page_of_the_audit_goes_on_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, _) = server.new_target("core1", "192.0.2.1").await;
    let walk = async |limit: u32| {
        let (mut ids, mut pages, mut cursor) = (Vec::<u64>::new(), Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/audit?limit={limit}{cursor}")).await;
            let items = page["items"].as_array().unwrap();
            pages.push(items.len());
            ids.extend(items.iter().map(|item| item["id"].as_u64().unwrap()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return (ids, pages),
            }
        }
    };
    let before = walk(100).await.0.len();
    for n in before..501 {
        server.patch(&format!("/targets/{target}"), &json!({"note": n.to_string()})).await;
    }
    let (ids, pages) = walk(500).await;
    assert_eq!(pages, [500, 1]);
    assert!(ids.windows(2).all(|pair| pair[1] < pair[0]), "each once, the newest first");
    assert_eq!(walk(100).await.0, ids);
    server.delete(&format!("/targets/{target}")).await;
    assert_eq!(walk(251).await.1, [251, 251], "the end of a full page is an end");
    server.stop().await;
}

/// The columns of a Parquet file, times as microseconds.
fn columns_of(file: &[u8]) -> Vec<Vec<Value>> {
    let mut columns: Vec<Vec<Value>> = Vec::new();
    for group in notes_of(file).field(4).list() {
        for (at, chunk) in group.field(1).list().iter().enumerate() {
            let (known, values) = page_of(file, chunk);
            let (mut rest, mut seen) = (&values[..], 0);
            let mut next = || match chunk.field(3).field(1).number() {
                0 => {
                    seen += 1;
                    json!(values[(seen - 1) / 8] >> ((seen - 1) % 8) & 1 == 1)
                }
                2 => json!(i64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
                5 => json!(f64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
                _ => {
                    let length = u32::from_le_bytes(take(&mut rest, 4).try_into().unwrap());
                    json!(String::from_utf8(take(&mut rest, length as usize).to_vec()).unwrap())
                }
            };
            if columns.len() <= at {
                columns.push(Vec::new());
            }
            columns[at].extend(known.iter().map(|k| if *k { next() } else { Value::Null }));
        }
    }
    columns
}

/// Whatever the form, each value is what the JSON of the same request says.
#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_a_table_says_what_json_says() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let target = heard(&server, &clocks).await;
    let now = now_s(&clocks);
    for (level, list, ago_s) in [("1m", "minutes", 1_800), ("5m", "buckets", 7_200)] {
        let to = now - now % 300;
        let range = format!("from={}&to={}&level={level}", time(to - ago_s), time(to));
        let path = format!("/targets/{target}/history?{range}");
        let table = async |format: &str| {
            let answer = server.ask(Method::GET, &format!("{path}&format={format}")).await;
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap().to_vec()
        };
        // A minute may be closed between two requests: then all are asked again.
        let (told, lines, csv, parquet) = loop {
            let told = server.get(&path).await;
            let tables = (table("jsonl").await, table("csv").await, table("parquet").await);
            if server.get(&path).await == told {
                break (told, tables.0, tables.1, tables.2);
            }
        };
        let series = told["series"].as_array().unwrap();
        let of = |one: &Value| one[list].as_array().unwrap().clone();
        let expected: Vec<Value> = series.iter().flat_map(of).collect();
        assert_eq!(expected.iter().map(|one| one["sent"].as_u64().unwrap()).sum::<u64>(), 120);
        let lines = String::from_utf8(lines).unwrap();
        let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), expected.len());
        for (line, one) in lines.iter().zip(&expected) {
            let one = one.as_object().unwrap();
            assert!(one.iter().all(|(key, value)| line[key] == *value), "{line}\n{one:?}");
        }
        let csv = String::from_utf8(csv).unwrap();
        let mut rows = csv.lines().map(|row| row.split(',').collect::<Vec<&str>>());
        let names = rows.next().unwrap();
        let parquet = columns_of(&parquet);
        assert_eq!((rows.clone().count(), parquet.len()), (lines.len(), names.len()));
        for (at, (row, line)) in rows.zip(&lines).enumerate() {
            for (column, (name, cell)) in names.iter().zip(row).enumerate() {
                let value = &line[*name];
                let said = || if value.is_null() { String::new() } else { value.to_string() };
                let text = value.as_str().map_or_else(said, str::to_owned);
                assert_eq!(cell, text, "{name} of {line}");
                let stored = &parquet[column][at];
                let is_same = match (value.as_str().and_then(UtcMicros::parse), stored.as_i64()) {
                    (Some(at), Some(us)) => at.0 == us,
                    _ => value == stored,
                };
                assert!(is_same, "{name} of {line} is {stored} in Parquet");
            }
        }
    }
    server.stop().await;
}
