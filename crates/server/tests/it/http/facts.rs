//! Facts: who may send and read them, what is refused, and what is done once.

use std::time::Duration;

use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::Instant;

use super::{Site, errors, read, text};

async fn send(site: &Site, key: &str, once: Option<&str>, body: &str) -> (StatusCode, Value) {
    let request = site.request(Method::POST, "/api/v1/facts").bearer_auth(key);
    let request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
    let request = match once {
        Some(once) => request.header("idempotency-key", once),
        None => request,
    };
    read(request.send().await.expect("an answer")).await
}

async fn described(site: &Site) {
    let elements = json!([
        {"id": "r1", "kind": "device"},
        {"id": "r2", "kind": "device"},
        {"id": "r1--r2", "kind": "link", "ends": ["r1", "r2"]},
    ]);
    let body = json!({"elements": elements, "targets": []});
    site.expect(StatusCode::OK, Method::POST, "/topology/import", Some(body)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_sends_with_a_key_that_can_do_nothing_else() {
    let site = Site::start().await;
    described(&site).await;
    let body = json!({"name": "snmp-fra", "role": "operator", "permissions": ["fact_write"]});
    let key = text(&site.post("/api-keys", body).await["key"]);
    let fact = json!({"element": "r1--r2", "end": "r1", "kind": "interface_down"}).to_string();
    let (status, taken) = send(&site, &key, None, &fact).await;
    let nothing_unknown =
        json!({"new": 1, "repeated": 0, "unknown_elements": [], "unknown_elements_total": 0});
    assert_eq!((status, taken), (StatusCode::OK, nothing_unknown));
    for path in ["/api/v1/facts", "/api/v1/targets", "/api/v1/diagnosis"] {
        let request = site.request(Method::GET, path).bearer_auth(&key);
        let status = request.send().await.expect("an answer").status();
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    let listed = site.get("/facts").await;
    let fact = &listed["items"][0];
    assert_eq!((&fact["source"], &fact["sender"]), (&json!("snmp-fra"), &json!("snmp-fra")));
    let said = ["is_latest", "is_known", "is_stale", "is_control_plane"].map(|key| &fact[key]);
    assert_eq!(said, [&json!(true), &json!(true), &json!(false), &json!(false)]);
    let audit = site.get("/audit").await;
    let entry = &audit["items"][0];
    let (action, object) = (&entry["action"], &entry["object"]);
    assert_eq!((action, object), (&json!("fact.send"), &json!("fact r1--r2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagnosis_shows_facts_only_to_who_may_read_them() {
    let site = Site::start().await;
    described(&site).await;
    let fact = json!({"element": "r1", "kind": "restarted"}).to_string();
    assert_eq!(send(&site, &site.key, None, &fact).await.0, StatusCode::OK);
    let deadline = Instant::now() + Duration::from_secs(20);
    while site.get("/diagnosis").await["facts_total"] != 1 {
        assert!(Instant::now() < deadline, "no judgement heard of it");
    }
    for (permissions, shown) in
        [(json!(["topology_read"]), 0), (json!(["topology_read", "fact_read"]), 1)]
    {
        let body =
            json!({"name": format!("k{shown}"), "role": "viewer", "permissions": permissions});
        let key = text(&site.post("/api-keys", body).await["key"]);
        let request = site.request(Method::GET, "/api/v1/diagnosis").bearer_auth(&key);
        let (status, told) = read(request.send().await.expect("an answer")).await;
        let facts = told["facts"].as_array().map(Vec::len);
        assert_eq!((status, facts), (StatusCode::OK, Some(shown)), "{told:#}");
        assert_eq!(told["facts_total"], shown);
    }
}

/// A collector keeps what it is told of a request with a key.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_topology_cannot_be_read_no_element_is_called_unknown() {
    let site = Site::start().await;
    let damage = "
        INSERT INTO topology_part (org_id, section, id, kind, body_json, version)
        VALUES (1, 'element', 'r1', 'device', 'no json', 1);
        INSERT INTO topology_head (org_id, version, updated_at) VALUES (1, 1, 1)";
    let options = SqliteConnectOptions::new().filename(site.dir.path().join("faultline.db"));
    let mut database = SqliteConnection::connect_with(&options).await.expect("the database");
    sqlx::raw_sql(damage).execute(&mut database).await.expect("a bad topology");
    database.close().await.expect("it closes");
    let fact = json!({"element": "r1", "kind": "restarted"}).to_string();
    let (status, taken) = send(&site, &site.key, Some("k"), &fact).await;
    assert_eq!((status, &taken["unknown_elements_total"]), (StatusCode::OK, &json!(0)));
    assert_eq!((&taken["new"], &taken["unknown_elements"]), (&json!(1), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_fact_is_named_and_then_none_is_kept() {
    let site = Site::start().await;
    let facts = json!([
        {"element": "r1", "kind": "restarted"},
        {"element": "", "kind": "rebooted"},
        {"element": "r1", "kind": "unreachable_from"},
        {"element": "r1", "kind": "restarted", "agent": "fra1"},
        {"element": "r1", "kind": "restarted", "seen": "2026-11-21T05:00:00Z",
         "since": "2026-11-21T05:00:01Z"},
        {"element": "r1", "kind": "restarted", "seen": "2026-11-21T06:54:00Z"},
        {"element": "r1", "kind": "restarted", "sine": "2026-11-21T05:00:00Z"},
        {"kind": "restarted"},
        ["r1", "restarted"],
        {"element": "r1", "kind": "restarted", "source": "a b"},
    ]);
    let (status, problem) =
        send(&site, &site.key, None, &json!({"facts": facts}).to_string()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let told = errors(&problem);
    let mut fields: Vec<&str> =
        told.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    fields.dedup();
    assert_eq!(
        fields,
        [
            "facts[1].element",
            "facts[1].kind",
            "facts[2].agent",
            "facts[3].agent",
            "facts[4].since",
            "facts[5].seen",
            "facts[6].sine",
            "facts[7].element",
            "facts[8]",
            "facts[9].source",
        ]
    );
    assert!(told.contains("must be one of interface_down, interface_up, "), "{told}");
    assert!(told.contains("is in the future: here it is 2026-11-21T05:54:"), "{told}");
    assert_eq!(site.get("/facts").await["items"], json!([]));
    for (body, expected) in [
        ("[]", StatusCode::BAD_REQUEST),
        ("{", StatusCode::BAD_REQUEST),
        (r#"{"facts": {}}"#, StatusCode::BAD_REQUEST),
        (r#"{"facts": [], "source": "x"}"#, StatusCode::BAD_REQUEST),
        (r#"{"facts": []}"#, StatusCode::UNPROCESSABLE_ENTITY),
        (r#"{"element": "r1"}"#, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(send(&site, &site.key, None, body).await.0, expected, "{body}");
    }
    let one = json!({"element": "r1", "kind": "restarted"});
    let many = json!({"facts": vec![one; 1_001]}).to_string();
    let (status, problem) = send(&site, &site.key, None, &many).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(errors(&problem), "facts: has 1 to 1000 facts; this has 1001\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_gets_the_same_answer_and_changes_nothing() {
    let site = Site::start().await;
    described(&site).await;
    let body = json!({"facts": [
        {"element": "r1", "kind": "restarted"},
        {"element": "r9", "kind": "config_changed"},
        {"element": "r9", "kind": "power_lost", "value": 2.5},
    ]})
    .to_string();
    let first = send(&site, &site.key, Some("a"), &body).await;
    assert_eq!(first.0, StatusCode::OK, "{first:?}");
    assert_eq!((&first.1["new"], &first.1["unknown_elements"]), (&json!(3), &json!(["r9"])));
    // A moment later it would be another event, and the element may be known.
    site.pass(std::time::Duration::from_secs(90));
    assert_eq!(send(&site, &site.key, Some("a"), &body).await, first);
    let listed = site.get("/facts").await;
    assert_eq!(listed["items"].as_array().expect("a list").len(), 3);
    assert_eq!(listed["items"][0]["value"], 2.5, "what came last comes first");
    assert_eq!(listed["items"][0]["is_known"], false);
    let other = json!({"element": "r1", "kind": "restarted"}).to_string();
    let (status, problem) = send(&site, &site.key, Some("a"), &other).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(errors(&problem).starts_with("Idempotency-Key: "), "{problem}");
    let long = "k".repeat(201);
    assert_eq!(
        send(&site, &site.key, Some(&long), &other).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_listed_by_element_kind_and_time_page_by_page_and_grow_stale() {
    let site = Site::start().await;
    for (element, kind) in [
        ("r1--r2", "interface_down"),
        ("r3", "bgp_down"),
        ("r1--r2", "interface_up"),
        ("r3", "bgp_up"),
    ] {
        let body = json!({"element": element, "kind": kind, "source": "frr"}).to_string();
        assert_eq!(send(&site, &site.key, None, &body).await.0, StatusCode::OK);
        site.pass(std::time::Duration::from_secs(60));
    }
    let kinds = async |query: &str| {
        let page = site.get(&format!("/facts{query}")).await;
        let items = page["items"].as_array().expect("a list").clone();
        let kinds: Vec<String> = items.iter().map(|fact| text(&fact["kind"])).collect();
        (kinds, page["next_cursor"].clone())
    };
    assert_eq!(kinds("?latest=true").await.0, ["bgp_up", "interface_up"]);
    assert_eq!(kinds("?element=r3").await.0, ["bgp_up", "bgp_down"]);
    let of_ports = "?kind=interface_down,interface_up&source=frr";
    assert_eq!(kinds(of_ports).await.0, ["interface_up", "interface_down"]);
    assert_eq!(kinds("?until=2026-11-21T05:54:30Z").await.0, ["interface_down"]);
    let (first, cursor) = kinds("?limit=3").await;
    assert_eq!(first.len(), 3);
    let (second, end) = kinds(&format!("?limit=3&cursor={}", text(&cursor))).await;
    assert_eq!((second, end), (vec!["interface_down".to_owned()], Value::Null));
    let (status, problem) = site.send(Method::GET, "/facts?kind=x&limit=0", None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");

    let down = &site.get("/facts?kind=bgp_down").await["items"][0];
    assert_eq!(down["until"], "2026-11-21T05:57:00Z", "its contrary ended it");
    assert_eq!(down["is_control_plane"], true);
    site.pass(std::time::Duration::from_secs(15 * 60));
    let up = &site.get("/facts?kind=bgp_up").await["items"][0];
    assert_eq!((&up["is_stale"], &up["weight"]), (&json!(true), &json!(0.0)));
}
