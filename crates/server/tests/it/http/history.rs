//! The record of a target through the API.

use std::time::Duration;

use model::{Cause, UtcMicros};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use store::{MonitorGap, ORG_DEFAULT, Scope, Store};

use super::{START_US, Site, errors, text};
use crate::harness::soon;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn every_minute_that_has_begun_is_told() {
    let site = Site::start().await;
    let id = site.target("core1", "192.0.2.1").await;
    let start = UtcMicros(START_US);
    let store = Store::open(&site.dir.path().join("faultline.db")).await.expect("the database");
    let gap = MonitorGap {
        from: start + 2 * MINUTE,
        to: start + 3 * MINUTE + Duration::from_secs(5),
        cause: Cause::MonitorDown,
    };
    store.gap_add(&Scope::system(ORG_DEFAULT), &gap).await.expect("stores");
    site.pass(10 * MINUTE);
    let path = format!("/targets/{id}/history?from=2026-11-21T05:52:30Z&to=2026-11-21T07:00:00Z");
    let history = site.get(&path).await;
    assert_eq!(history["from"], "2026-11-21T05:52:00Z");
    assert_eq!(history["to"], "2026-11-21T07:00:00Z");
    let consensus = &history["series"][0];
    assert_eq!(consensus["agent"], Value::Null);
    let minutes = consensus["minutes"].as_array().expect("minutes");
    let told = minutes.iter().map(|minute| {
        let [at, verdict, cause] = ["minute", "verdict", "cause"].map(|name| text(&minute[name]));
        format!("{at} {verdict} {cause} {}", minute["is_open"])
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told.len(), 13, "from 05:52 to 06:04: {told:#?}");
    assert_eq!(told[0], "2026-11-21T05:52:00Z unknown not_yet false");
    assert_eq!(told[1], "2026-11-21T05:53:00Z unknown not_yet false");
    assert!(told[4].starts_with("2026-11-21T05:56:00Z unknown monitor_down"), "{told:#?}");
    assert!(told[12].starts_with("2026-11-21T06:04:00Z unknown"), "{told:#?}");
    assert!(told[12].ends_with("true"), "{told:#?}");

    let csv = site.request(Method::GET, &format!("/api/v1{path}&format=csv"));
    let csv = csv.bearer_auth(&site.key).send().await.expect("an answer");
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let disposition = csv.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert_eq!(disposition, "attachment; filename=\"core1-history.csv\"");
    let csv = csv.text().await.expect("a body");
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "target_id,target,agent_id,agent,minute,verdict,cause,rounds,not_asked,sent,received,\
             rtt_us_min,rtt_us_mean,rtt_us_max,revision,said_first,is_open"
        )
    );
    let first = format!("{id},core1,,,2026-11-21T05:52:00Z,unknown,not_yet,0,0,0,0,,,,0,,false");
    assert_eq!(lines.next(), Some(first.as_str()));
    assert_eq!(lines.count(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bucket_that_has_begun_is_told() {
    let site = Site::start().await;
    let id = site.target("core1", "192.0.2.1").await;
    site.pass(10 * MINUTE);
    let path = format!("/targets/{id}/history?from=2026-11-20T05:01:00Z&to=2026-11-21T07:00:00Z");
    // The clock has leapt: once that is judged, nobody looked in between.
    let history = soon(async {
        loop {
            let history = site.get(&path).await;
            let newest = history["series"][0]["buckets"].as_array().and_then(|all| all.last());
            if newest.is_some_and(|bucket| bucket["cause"] == "monitor_down") {
                return history;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        (text(&history["level"]), text(&history["from"])),
        ("5m".into(), "2026-11-20T05:00:00Z".into())
    );
    let consensus = &history["series"][0];
    assert_eq!(consensus["minutes"], Value::Array(vec![]));
    let buckets = consensus["buckets"].as_array().expect("buckets");
    assert_eq!(buckets.len(), 25 * 12 + 1, "to the one of 06:00");
    let told = |bucket: &Value| {
        let [at, verdict, cause] = ["start", "verdict", "cause"].map(|name| text(&bucket[name]));
        format!("{at} {verdict} {cause} {} {}", bucket["minutes_unknown"], bucket["is_open"])
    };
    assert_eq!(told(&buckets[0]), "2026-11-20T05:00:00Z unknown not_yet 5 false");
    assert_eq!(told(&buckets[300]), "2026-11-21T06:00:00Z unknown monitor_down 5 true");
    assert_eq!(buckets[300]["rtt_us_p95"], Value::Null);
    let days = site.get(&format!("{path}&level=1d")).await;
    let days = days["series"][0]["buckets"].as_array().expect("buckets").clone();
    let sums: Vec<_> = days.iter().map(|day| day["minutes_unknown"].as_u64()).collect();
    assert_eq!(sums, [Some(1_440), Some(6 * 60 + 5)]);

    let csv = site.request(Method::GET, &format!("/api/v1{path}&level=1d&format=csv"));
    let csv = csv.bearer_auth(&site.key).send().await.expect("an answer");
    let csv = csv.text().await.expect("a body");
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "target_id,target,agent_id,agent,start,verdict,cause,minutes_up,minutes_degraded,\
             minutes_down,minutes_unknown,rounds,not_asked,sent,received,rtt_us_min,rtt_us_mean,\
             rtt_us_max,rtt_us_p50,rtt_us_p95,rtt_us_p99,is_open"
        )
    );
    let first = "core1,,,2026-11-20T00:00:00Z,unknown,not_yet,0,0,0,1440,0,0,0,0,,,,,,,false";
    assert_eq!(lines.next(), Some(format!("{id},{first}").as_str()));
    assert_eq!(lines.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_targets_are_told_in_one_request() {
    let site = Site::start().await;
    let core = site.target("core1", "192.0.2.1").await;
    let edge = site.target("edge1", "192.0.2.2").await;
    // Before they existed: nothing that happens meanwhile changes it.
    let range = "from=2026-11-21T05:32:00Z&to=2026-11-21T05:40:00Z";
    // One that is gone, or never was, takes nothing from the others.
    let all = site.get(&format!("/history?targets={edge},{core},999&{range}")).await;
    let told = all["targets"].as_array().expect("targets");
    let names: Vec<String> = told.iter().map(|one| text(&one["target"]["name"])).collect();
    assert_eq!(names, ["core1", "edge1"], "in the order of their ids");
    assert_eq!(text(&all["level"]), "1m");
    let single = site.get(&format!("/targets/{core}/history?{range}")).await;
    assert_eq!(told[0]["series"], single["series"], "as each is told alone");
    assert_eq!(told[0]["series"].as_array().map(Vec::len), Some(1), "all together only");
    let days = site.get(&format!("/history?targets={core}&{range}&level=1d&agents=true")).await;
    assert_eq!(days["targets"][0]["series"][0]["buckets"].as_array().map(Vec::len), Some(1));

    let refuse = async |query: &str| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        errors(&site.expect(status, Method::GET, &format!("/history?{query}"), None).await)
    };
    let many: Vec<String> = (1..=51).map(|id| id.to_string()).collect();
    assert_eq!(
        refuse(&format!("targets={}&level=2m&agents=maybe", many.join(","))).await,
        "targets: must be at most 50 ids\nlevel: must be 1m, 5m, 1h or 1d\n\
         agents: must be true or false\n"
    );
    assert_eq!(
        refuse("targets=1,x").await,
        "targets: must be ids with commas between; `x` is none\n"
    );
    assert_eq!(
        refuse(&format!("targets={}&from=2021-11-22T00:00:00Z", many[..50].join(","))).await,
        "targets: together give more than 72000 values; take fewer of them, a coarser level, a \
         shorter range, or format=csv, jsonl or parquet\n"
    );
    site.expect(StatusCode::BAD_REQUEST, Method::GET, "/history", None).await;
}

/// A table of some targets, as bytes, with its media type and the name of its file.
async fn table(site: &Site, path: &str) -> (Vec<u8>, [String; 2]) {
    let request = site.request(Method::GET, &format!("/api/v1{path}"));
    let answer = request.bearer_auth(&site.key).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let headers = ["content-type", "content-disposition"]
        .map(|name| answer.headers()[name].to_str().expect("text").to_owned());
    (answer.bytes().await.expect("all of it").to_vec(), headers)
}

/// Of several targets, and of more minutes than one answer of JSON may have: the same values.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_several_targets_has_what_json_tells_part_by_part() {
    let site = Site::start().await;
    let core = site.target("core1", "192.0.2.1").await;
    let edge = site.target("edge1", "192.0.2.2").await;
    let days = ["2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21"]
        .map(|day| format!("{day}T00:00:00Z"));
    let range = |from: &str, to: &str| format!("from={from}&to={to}&level=1m");
    let mut expected = Vec::new();
    for target in [core, edge] {
        for day in days.windows(2) {
            let path = format!("/targets/{target}/history?{}", range(&day[0], &day[1]));
            let told = site.get(&path).await;
            let minutes = told["series"][0]["minutes"].as_array().expect("minutes").clone();
            assert_eq!(minutes.len(), 1_440);
            expected.extend(minutes.into_iter().map(|minute| (target, minute)));
        }
    }
    let path = format!("/history?targets={edge},{core},999&{}", range(&days[0], &days[3]));
    let (lines, [kind, name]) = table(&site, &format!("{path}&format=jsonl")).await;
    assert_eq!(kind, "application/x-ndjson");
    assert_eq!(name, "attachment; filename=\"history.jsonl\"");
    let lines = String::from_utf8(lines).expect("text");
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).expect("json")).collect();
    assert_eq!(lines.len(), expected.len());
    for (line, (target, minute)) in lines.iter().zip(&expected) {
        assert_eq!(line["target_id"], *target);
        let minute = minute.as_object().expect("an object");
        assert!(minute.iter().all(|(key, value)| line[key] == *value), "{line} {minute:?}");
    }
    let (csv, _) = table(&site, &format!("{path}&format=csv")).await;
    assert_eq!(csv.iter().filter(|byte| **byte == b'\n').count(), 1 + expected.len());

    let (parquet, [kind, name]) = table(&site, &format!("{path}&format=parquet")).await;
    assert_eq!(kind, "application/vnd.apache.parquet");
    assert_eq!(name, "attachment; filename=\"history.parquet\"");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));

    let (rounds, [_, name]) = table(&site, &format!("/targets/{core}/rounds?format=csv")).await;
    assert!(rounds.starts_with(b"target_id,target,agent_id,agent,at,sent,"));
    assert_eq!(name, "attachment; filename=\"core1-rounds.csv\"");
    let refuse = async |query: &str| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        errors(&site.expect(status, Method::GET, &format!("/history?{query}"), None).await)
    };
    assert_eq!(
        refuse("targets=1,2&from=2021-11-25T00:00:00Z&level=1m&format=parquet").await,
        "targets: together give more than 5000000 values; take fewer of them, a coarser level, a \
         shorter range\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_cannot_be_told_says_why() {
    let site = Site::start().await;
    let id = site.target("core1", "192.0.2.1").await;
    let refuse = async |query: &str| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let path = format!("/targets/{id}/{query}");
        errors(&site.expect(status, Method::GET, &path, None).await)
    };
    assert_eq!(
        refuse("history?from=yesterday&to=now&format=xml").await,
        "format: must be json, jsonl, csv or parquet\n\
         to: must be a time such as 2026-11-21T05:54:33Z\n\
         from: must be a time such as 2026-11-21T05:54:33Z\n"
    );
    assert_eq!(
        refuse("history?from=2026-11-21T05:00:00Z&to=2026-11-21T05:00:00Z").await,
        "to: must be after `from`\n"
    );
    assert_eq!(
        refuse("history?from=2026-08-20T05:00:00Z&to=2026-11-21T05:01:00Z&level=2m").await,
        "level: must be 1m, 5m, 1h or 1d\n"
    );
    assert_eq!(
        refuse("history?from=2021-10-20T05:00:00Z&to=2026-11-21T05:01:00Z").await,
        "to: must be at most 1830 days after `from`\n"
    );
    assert_eq!(
        refuse("history?from=2025-08-20T05:00:00Z&to=2025-08-21T05:00:00Z&level=1m").await,
        "level: is not kept for so long: 1m for 90 days, 5m for 400 days (of each agent 90), \
         1h for 1826 days (of each agent 400), 1d for 1826 days (of each agent 400)\n"
    );
    assert_eq!(
        refuse("history?from=2026-11-20T05:00:00Z&to=2026-11-21T05:01:00Z&level=1m").await,
        "level: gives more than 1440 values in this range; take a coarser one, a shorter range, or \
         format=csv, jsonl or parquet\n"
    );
    assert_eq!(
        refuse("rounds?agent=x&cursor=y&limit=501").await,
        "limit: must be a number from 1 to 500\nagent: must be an id\n\
         cursor: is not one of this list\n"
    );
    assert_eq!(
        refuse("rounds?from=2026-08-01T00:00:00Z&to=2026-11-21T00:00:00Z&limit=5&format=csv").await,
        "limit: is of pages of json: a table has all rounds of its range\n\
         to: must be at most 92 days after `from`\n"
    );
    let rounds = site.get(&format!("/targets/{id}/rounds")).await;
    assert_eq!(rounds["items"], Value::Array(vec![]));
    assert_eq!(rounds["next_cursor"], Value::Null);
    site.get(&format!("/targets/{id}/changes?limit=5")).await;
    site.expect(StatusCode::NOT_FOUND, Method::GET, "/targets/99/history", None).await;
    site.expect(StatusCode::NOT_FOUND, Method::GET, "/targets/99/changes", None).await;
}

/// What is held goes on over an outage of the monitor, which is told beside it; one before it began
/// is not.
#[tokio::test(flavor = "multi_thread")]
async fn since_goes_back_over_an_outage_of_the_monitor_and_says_so() {
    let site = Site::start().await;
    let id = site.target("core1", "192.0.2.1").await;
    let start = UtcMicros(START_US);
    let store = Store::open(&site.dir.path().join("faultline.db")).await.expect("the database");
    let scope = Scope::system(ORG_DEFAULT);
    for (from, to) in
        [(start - 3 * MINUTE, start - 2 * MINUTE), (start + MINUTE, start + 2 * MINUTE)]
    {
        let gap = MonitorGap { from, to, cause: Cause::MonitorDown };
        store.gap_add(&scope, &gap).await.expect("stores");
    }
    site.pass(3 * MINUTE);
    let status = site.get(&format!("/targets/{id}/status")).await;
    let unwatched = status["unwatched"].as_array().expect("a list");
    assert_eq!(unwatched.len(), 1, "{status}");
    assert_eq!(unwatched[0]["from"], (start + MINUTE).to_string());
    assert_eq!(unwatched[0]["to"], (start + 2 * MINUTE).to_string());
}
