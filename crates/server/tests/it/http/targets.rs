//! Targets and tiers through the API.

use expect_test::expect;
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Site, errors, read, text};

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().expect("items").iter().map(|item| text(&item["name"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_lives_and_goes() {
    let site = Site::start().await;
    let body = json!({"name": "core1", "address": "2001:DB8::1", "tags": ["b", "a", "b"]});
    let created = site.post("/targets", body).await;
    assert_eq!(created["address"], "2001:db8::1");
    assert_eq!(created["tags"], json!(["a", "b"]));
    assert_eq!(created["tier"]["name"], "standard");
    assert_eq!(created["verdict"], "unknown");
    let path = format!("/targets/{}", created["id"]);
    assert_eq!(site.get(&path).await, created);
    let patch = json!({"address": "core1.example.net", "is_paused": true});
    let changed = site.expect(StatusCode::OK, Method::PATCH, &path, Some(patch)).await;
    assert_eq!(changed["address"], "core1.example.net");
    assert_eq!(changed["is_paused"], true);
    assert_eq!(changed["tags"], json!(["a", "b"]));
    let status = site.get(&format!("{path}/status")).await;
    assert_eq!(status["target"], changed);
    assert_eq!(status["interval_s"], 30);
    let overview = site.get("/overview").await;
    assert_eq!(overview["targets"]["total"], 1);
    assert_eq!(overview["targets"]["paused"], 1);
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, &path, None).await;
    site.expect(StatusCode::NOT_FOUND, Method::GET, &path, None).await;
    site.expect(StatusCode::NOT_FOUND, Method::DELETE, &path, None).await;
    assert_ne!(site.target("core1", "192.0.2.1").await, created["id"], "an id came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bad_fields_are_named_at_once() {
    let site = Site::start().await;
    let refuse = async |path: &str, body: Value| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        errors(&site.expect(status, Method::POST, path, Some(body)).await)
    };
    let body = json!({"name": "a b", "address": "300.1.1.1", "tags": ["x", "!"]});
    expect![[r#"
        name: a name has only letters, digits, `-`, `_` and `.`; byte 1 is another
        address: looks like an IPv4 address but is none
        tags: `!`: a name starts with a letter or a digit
    "#]]
    .assert_eq(&refuse("/targets", body).await);
    let body = json!({"name": "a", "address": "192.0.2.1", "tier_id": 77});
    expect![[r#"
        tier_id: there is no such tier
    "#]]
    .assert_eq(&refuse("/targets", body).await);
    let body = json!({"name": "", "packets": 21, "gap_ms": 1, "strategy": "count"});
    expect![[r#"
        name: a name has at least one character
        packets: must be from 1 to 20
        gap_ms: must be from 20ms to 1s
        agent_count: must ask at least one agent
    "#]]
    .assert_eq(&refuse("/tiers", body).await);
    site.target("taken", "192.0.2.1").await;
    let body = Some(json!({"name": "taken", "address": "192.0.2.2"}));
    let problem = site.expect(StatusCode::CONFLICT, Method::POST, "/targets", body).await;
    assert_eq!(errors(&problem), "name: another one has this name\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_paged_filtered_and_sorted() {
    let site = Site::start().await;
    for n in 1..=5 {
        site.target(&format!("t{n}"), &format!("192.0.2.{}", 10 - n)).await;
    }
    let mut walked = Vec::new();
    let mut path = "/targets?sort=-name&limit=2".to_owned();
    loop {
        let page = site.get(&path).await;
        assert_eq!(page["total"], 5);
        walked.extend(names(&page));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/targets?sort=-name&limit=2&cursor={cursor}");
    }
    assert_eq!(walked, ["t5", "t4", "t3", "t2", "t1"]);
    let by_address = site.get("/targets?sort=address").await;
    assert_eq!(names(&by_address), ["t5", "t4", "t3", "t2", "t1"]);
    assert_eq!(names(&site.get("/targets?q=0.2.9").await), ["t1"]);
    assert_eq!(names(&site.get("/targets?verdict=up&verdict=down").await).len(), 0);
    assert_eq!(names(&site.get("/targets?verdict=up&verdict=unknown").await).len(), 5);
    assert_eq!(names(&site.get("/targets?tier=standard").await).len(), 5);
    assert_eq!(names(&site.get("/targets?tier=1&tag=").await).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_reports_each_row_and_a_dry_run_changes_nothing() {
    let site = Site::start().await;
    site.target("kept", "192.0.2.1").await;
    site.target("moved", "192.0.2.2").await;
    let csv = "name,address,tier,tags\n\
        new,192.0.2.9,standard,edge core\n\
        kept,192.0.2.1,,\n\
        moved,192.0.2.22,,\n\
        -bad,300.1.1.1,,\n\
        lost,192.0.2.8,gold,\n";
    let import = async |dry_run: bool, kind: &str, body: String| {
        let path = format!("/api/v1/targets/import?dry_run={dry_run}");
        let request = site.request(Method::POST, &path).bearer_auth(&site.key);
        let response = request.header(CONTENT_TYPE, kind).body(body).send().await;
        let (status, report) = read(response.expect("an answer")).await;
        assert_eq!(status, StatusCode::OK, "{report}");
        report
    };
    let dry = import(true, "text/csv", csv.to_owned()).await;
    assert_eq!(site.get("/targets").await["total"], 2);
    let done = import(false, "text/csv; charset=utf-8", csv.to_owned()).await;
    assert_eq!(dry["rows"], done["rows"]);
    assert_eq!((&dry["dry_run"], &done["dry_run"]), (&json!(true), &json!(false)));
    let line = |row: &Value| {
        format!("{} {} {}\n{}", row["row"], text(&row["name"]), text(&row["action"]), errors(row))
    };
    let report: String = done["rows"].as_array().expect("rows").iter().map(line).collect();
    expect![[r#"
        1 new create
        2 kept unchanged
        3 moved update
        4 -bad fail
        name: a name starts with a letter or a digit
        address: looks like an IPv4 address but is none
        5 lost fail
        tier: there is no tier `gold`
    "#]]
    .assert_eq(&report);
    let counts = ["created", "updated", "unchanged", "failed"].map(|name| done[name].clone());
    assert_eq!(counts, [1, 1, 1, 2].map(Value::from));
    assert_eq!(names(&site.get("/targets?tag=edge").await), ["new"]);
    let rows = json!([{"name": "new", "address": "192.0.2.9", "note": "n"}, {"name": 7}]);
    let report = import(false, "application/json", rows.to_string()).await;
    let actions = [&report["rows"][0]["action"], &report["rows"][1]["action"]];
    assert_eq!(actions, [&json!("update"), &json!("fail")]);
    assert_eq!(names(&site.get("/targets?tag=edge").await), ["new"], "tags left out stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_in_use_stays() {
    let site = Site::start().await;
    let tier =
        site.post("/tiers", json!({"name": "gold", "interval_s": 10, "agent_count": 2})).await;
    assert_eq!((&tier["strategy"], &tier["packets"]), (&json!("count"), &json!(5)));
    let path = format!("/tiers/{}", tier["id"]);
    let id = site.target("core1", "192.0.2.1").await;
    let target = format!("/targets/{id}");
    let patch = Some(json!({"tier_id": tier["id"]}));
    site.expect(StatusCode::OK, Method::PATCH, &target, patch).await;
    assert_eq!(site.get(&path).await["targets_total"], 1);
    site.expect(StatusCode::CONFLICT, Method::DELETE, &path, None).await;
    let patch = Some(json!({"packets": 0, "lost_clear": 7}));
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = site.expect(status, Method::PATCH, &path, patch).await;
    expect![[r#"
        packets: must be from 1 to 20
        lost_clear: must be below lost_raise
    "#]]
    .assert_eq(&errors(&problem));
    let patch = Some(json!({"strategy": "all", "name": "silver"}));
    let tier = site.expect(StatusCode::OK, Method::PATCH, &path, patch).await;
    assert_eq!((&tier["name"], &tier["agent_count"]), (&json!("silver"), &Value::Null));
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, &target, None).await;
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, &path, None).await;
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, "/tiers/2", None).await;
    // The last one stays: new targets need it.
    site.expect(StatusCode::CONFLICT, Method::DELETE, "/tiers/1", None).await;
}
