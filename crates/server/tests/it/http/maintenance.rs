//! Maintenance windows over the API: planned, looked at, changed, ended, and what is refused.

use std::time::Duration;

use model::UtcMicros;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{START_US, Site, errors};

fn minutes(minutes: i64) -> String {
    UtcMicros(START_US + minutes * 60_000_000).to_string()
}

/// r1 - r2 - r3 with an agent at r1, and a target at each.
async fn described(site: &Site) {
    let elements = json!([
        {"id": "r1", "kind": "device"},
        {"id": "r2", "kind": "device", "customers": 10},
        {"id": "r3", "kind": "device", "customers": 40},
        {"id": "r1--r2", "kind": "link", "ends": ["r1", "r2"]},
        {"id": "r2--r3", "kind": "link", "ends": ["r2", "r3"]},
        {"id": "fra1", "kind": "agent", "device": "r1"},
    ]);
    let targets = ["r1", "r2", "r3"].map(|id| json!({"id": id, "device": id}));
    let body = json!({"elements": elements, "targets": targets});
    site.expect(StatusCode::OK, Method::POST, "/topology/import", Some(body)).await;
    for (name, tags) in [("r1", json!([])), ("r2", json!([])), ("r3", json!(["vip"]))] {
        let body = json!({"name": name, "address": "192.0.2.1", "tags": tags});
        site.post("/targets", body).await;
    }
}

fn window(covers: Value) -> Value {
    json!({"title": "fan tray", "note": "bring two", "covers": covers, "start": minutes(60),
           "end": minutes(120), "zone": "Europe/Berlin"})
}

async fn preview(site: &Site, body: Value) -> Value {
    site.expect(StatusCode::OK, Method::POST, "/maintenance/preview", Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_who_is_silent_by_what_stands_behind_what() {
    let site = Site::start().await;
    described(&site).await;
    for (covers, targets, devices, customers) in [
        (json!([{"kind": "element", "name": "r3"}]), json!(["r3"]), json!(["r3"]), 40),
        (
            json!([{"kind": "element", "name": "r1--r2"}]),
            json!(["r2", "r3"]),
            json!(["r2", "r3"]),
            50,
        ),
        (json!([{"kind": "tag", "name": "vip"}]), json!(["r3"]), json!([]), 0),
        (json!([{"kind": "target", "name": "r2"}]), json!(["r2"]), json!([]), 0),
    ] {
        let said = preview(&site, window(covers.clone())).await;
        assert_eq!((&said["targets"], &said["devices"]), (&targets, &devices), "{covers}");
        assert_eq!((&said["customers"], &said["unknown"]), (&json!(customers), &json!([])));
    }
    let all = preview(&site, window(json!([{"kind": "all"}]))).await;
    assert_eq!((&all["is_all"], &all["targets_total"]), (&json!(true), &json!(3)));
    let nobody = json!([{"kind": "element", "name": "r9"}, {"kind": "tag", "name": "gold"},
                        {"kind": "target", "name": "r9"}]);
    let nobody = preview(&site, window(nobody)).await;
    assert_eq!(nobody["unknown"].as_array().map(Vec::len), Some(3), "{nobody:#}");
    assert_eq!(nobody["targets_total"], 0);
    assert_eq!(site.get("/maintenance").await["items"], json!([]), "a preview keeps nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_times_are_told_with_their_offset_and_where_the_clocks_change() {
    let site = Site::start().await;
    let mut body = window(json!([{"kind": "all"}]));
    body["start"] = json!("2027-03-21T02:30");
    body["end"] = json!("2027-03-21T04:30");
    body["rule"] = json!("FREQ=WEEKLY;BYDAY=SU;COUNT=4");
    body["except"] = json!(["2027-04-04"]);
    let said = preview(&site, body).await;
    let told = said["occurrences"].as_array().expect("times");
    let told: Vec<(&str, bool)> = told
        .iter()
        .map(|one| {
            let is_changed = one["is_clock_changed"].as_bool().expect("a flag");
            (one["start_local"].as_str().expect("a time"), is_changed)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("2027-03-21T02:30:00+01:00", false),
            ("2027-03-28T03:30:00+02:00", true),
            ("2027-04-11T02:30:00+02:00", false),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_planned_opens_is_extended_ends_and_is_in_the_audit() {
    let site = Site::start().await;
    described(&site).await;
    let made = site.post("/maintenance", window(json!([{"kind": "element", "name": "r3"}]))).await;
    assert_eq!((&made["id"], &made["state"]), (&json!(1), &json!("planned")), "{made:#}");
    let patch = json!({"title": "fan trays", "end": minutes(90)});
    let path = "/maintenance/1";
    let changed = site.expect(StatusCode::OK, Method::PATCH, path, Some(patch)).await;
    assert_eq!((&changed["title"], &changed["end"]), (&json!("fan trays"), &json!(minutes(90))));
    let (status, _) = site.send(Method::POST, "/maintenance/1/end", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is not open yet");

    site.clocks.pass(Duration::from_secs(3_700));
    let open = site.get("/maintenance").await;
    assert_eq!(open["items"][0]["state"], "open");
    let covers = json!({"covers": [{"kind": "all"}]});
    let (status, problem) = site.send(Method::PATCH, path, Some(covers)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|why| why.starts_with("it has begun")));
    let note = json!({"note": "done by two"});
    site.expect(StatusCode::OK, Method::PATCH, path, Some(note)).await;
    let until = |at: String| Some(json!({"until": at}));
    let earlier = site.send(Method::POST, "/maintenance/1/extend", until(minutes(80))).await;
    assert_eq!(earlier.0, StatusCode::UNPROCESSABLE_ENTITY);
    let extend = "/maintenance/1/extend";
    let longer = site.expect(StatusCode::OK, Method::POST, extend, until(minutes(150))).await;
    assert_eq!(longer["open"]["end"], minutes(150));

    site.clocks.pass(Duration::from_secs(600));
    let ended = site.expect(StatusCode::OK, Method::POST, "/maintenance/1/end", None).await;
    assert_eq!((&ended["state"], &ended["amended_total"]), (&json!("over"), &json!(1)));
    assert_eq!(site.get("/maintenance").await["items"], json!([]));
    assert_eq!(site.get("/maintenance?state=past").await["items"][0]["id"], 1);
    let (status, _) = site.send(Method::POST, "/maintenance/1/cancel", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is over");

    // r3 is target 3; its minutes of the hour are marked, and so are no other's.
    let (since, until) = (minutes(0), minutes(600));
    let spans = |id: u32| format!("/targets/{id}/maintenance?since={since}&until={until}");
    let marked = site.get(&spans(3)).await;
    assert_eq!(marked["items"][0]["start"], minutes(60), "{marked:#}");
    assert_eq!(marked["items"][0]["end"], ended["last"]["end"]);
    assert_eq!(site.get(&spans(1)).await["items"], json!([]));

    let audit = site.get("/audit").await;
    let entries = audit["items"].as_array().expect("entries");
    let actions = entries.iter().filter_map(|entry| entry["action"].as_str());
    let actions: Vec<&str> = actions.filter(|action| action.starts_with("maintenance.")).collect();
    assert_eq!(
        actions,
        [
            "maintenance.end",
            "maintenance.extend",
            "maintenance.update",
            "maintenance.update",
            "maintenance.create",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_window_that_runs_twice_at_once_ends_both() {
    let site = Site::start().await;
    let mut body = window(json!([{"kind": "all"}]));
    // A day has 1,440 minutes: it begins anew while it runs.
    body["end"] = json!(minutes(60 + 1_500));
    body["rule"] = json!("FREQ=DAILY;COUNT=2");
    site.post("/maintenance", body).await;
    site.clocks.pass(Duration::from_secs(60 * (60 + 1_450)));
    assert_eq!(site.get("/maintenance").await["items"][0]["state"], "open");
    let ended = site.expect(StatusCode::OK, Method::POST, "/maintenance/1/end", None).await;
    assert_eq!((&ended["state"], &ended["amended_total"]), (&json!("over"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_window_is_named() {
    let site = Site::start().await;
    let body = json!({"title": "", "covers": [{"kind": "router", "name": "r1"}, {"kind": "tag"}],
                      "start": "tomorrow", "end": minutes(1), "zone": "Europe/Berlin",
                      "rule": "FREQ=HOURLY", "except": ["soon"]});
    let (status, problem) = site.send(Method::POST, "/maintenance", Some(body)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let told = errors(&problem);
    for field in ["title:", "covers[0].kind:", "covers[1].name:", "start:", "rule:", "except:"] {
        assert!(told.contains(field), "{field}\n{told}");
    }
    for (change, fault) in [
        (json!({"zone": "CEST"}), "zone: is no zone"),
        (json!({"end": minutes(60)}), "end: must be after the start"),
        (json!({"rule": "FREQ=WEEKLY;BYDAY=MO"}), "rule: does not name the day of the start"),
        (json!({"covers": []}), "covers: has 1 to 200"),
        (json!({"start": minutes(-120), "end": minutes(-60)}), "end: is past"),
        (json!({"start": minutes(-1_500)}), "start: is more than a day ago"),
    ] {
        let mut body = window(json!([{"kind": "all"}]));
        let fields = change.as_object().expect("fields");
        fields.iter().for_each(|(name, value)| body[name] = value.clone());
        let (status, problem) = site.send(Method::POST, "/maintenance", Some(body)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(errors(&problem).contains(fault), "{fault}\n{}", errors(&problem));
    }
}
