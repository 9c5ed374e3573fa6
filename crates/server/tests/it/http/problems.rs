//! What goes wrong is told as problem details, whatever goes wrong.

use expect_test::{Expect, expect};
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};

use super::{Site, errors, read, text};

const JSON: &str = "application/json";
/// Enough of a message to know it; the rest lists what would have been right.
const DETAIL_CHARS_MAX: usize = 70;

/// Sends requests as an admin and compares the answers: status, code, detail, fields.
///
/// A case is method, path, content type and body.
async fn check(cases: &[(Method, &str, &str, &str)], expected: Expect) {
    let site = Site::start().await;
    let mut told = String::new();
    for (method, path, kind, body) in cases {
        let request = site.request(method.clone(), path).bearer_auth(&site.key);
        let request = request.header(CONTENT_TYPE, *kind).body((*body).to_owned());
        let response = request.send().await.expect("an answer");
        let headers = response.headers().clone();
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json", "{path}");
        let (status, problem) = read(response).await;
        assert_eq!(problem["status"], status.as_u16(), "{path}");
        assert_eq!(problem["request_id"], headers["x-request-id"].to_str().expect("text"));
        let code = text(&problem["code"]);
        assert_eq!(problem["type"], format!("urn:faultline:problem:{code}"));
        let detail = text(&problem["detail"]);
        let detail: String = detail.chars().take(DETAIL_CHARS_MAX).collect();
        told += &format!("{} {code}: {detail}\n{}", status.as_u16(), errors(&problem));
    }
    expected.assert_eq(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_says_why() {
    let path = "/api/v1/targets";
    let long = format!("{{\"note\": \"{}\"", "x".repeat(70_000));
    check(
        &[
            (Method::POST, path, JSON, "{"),
            (Method::POST, path, JSON, r#"{"address": "192.0.2.1"}"#),
            (Method::POST, path, JSON, r#"{"name": "a", "address": "192.0.2.1", "teir": 1}"#),
            (Method::POST, path, JSON, r#"{"name": 7, "address": "192.0.2.1"}"#),
            (Method::POST, "/api/v1/tiers", JSON, r#"{"name": "gold", "intervall_s": 10}"#),
            (Method::POST, path, "text/plain", "{}"),
            (Method::POST, path, JSON, &long),
            (Method::POST, "/api/v1/targets/import", "text/plain", "name,address"),
            (Method::POST, "/api/v1/targets/import", "text/csv", "name,adress"),
            (Method::POST, "/api/v1/targets/import", JSON, "{}"),
            (Method::POST, path, JSON, r#"["a", "192.0.2.1"]"#),
            (Method::PATCH, "/api/v1/tiers/1", JSON, r#"{"kept_days": [14, 90]}"#),
            (Method::POST, "/api/v1/topology/import?dry_run=true", JSON, "[]"),
        ],
        expect![[r#"
            400 bad_body: EOF while parsing an object at line 1 column 1
            400 bad_body: missing field `name` at line 1 column 24
            name: is missing
            400 bad_body: teir: unknown field `teir`, expected one of `name`, `address`, `tier_i
            teir: is not known here
            400 bad_body: name: invalid type: integer `7`, expected a string at line 1 column 10
            name: invalid type: integer `7`, expected a string at line 1 column 10
            400 bad_body: unknown field `intervall_s` at line 1 column 35
            intervall_s: is not known here
            415 bad_media_type: send `content-type: application/json`
            413 too_large: the body exceeds the limit of this route; send it in parts
            415 bad_media_type: send `content-type: text/csv` or `application/json`
            422 invalid: the fields in `errors` cannot be accepted
            header.adress: is not a column; known: name, address, tier, tags, note
            header.address: is missing
            400 bad_body: the body is not a JSON array of rows: invalid type: map, expected a se
            400 bad_body: invalid type: sequence, expected an object
            400 bad_body: invalid type: sequence, expected an object at line 1 column 23
            400 bad_body: a topology is an object: {"elements": [], "targets": []}
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_read_says_why() {
    let all_wrong = "/api/v1/targets?limit=0&sort=size&verdict=up,dwon&tag=-&tier=x";
    check(
        &[
            (Method::GET, "/api/v1/targets?verdcit=down", JSON, ""),
            (Method::GET, all_wrong, JSON, ""),
            (Method::GET, "/api/v1/targets?cursor=nonsense", JSON, ""),
            (Method::POST, "/api/v1/targets/import?dry_run=yes", JSON, "[]"),
            (Method::GET, "/api/v1/incidents?until=", JSON, ""),
        ],
        expect![[r#"
            400 bad_query: unknown field `verdcit`, expected one of `cursor`, `limit`, `sort`, `q
            verdcit: is not known here
            422 invalid: the fields in `errors` cannot be accepted
            limit: must be a number from 1 to 500
            sort: must be name, -name, verdict, since or address
            verdict: must be up, degraded, down or unknown; several with commas between
            tag: a name starts with a letter or a digit
            tier: is neither id nor name of a tier
            422 invalid: the fields in `errors` cannot be accepted
            cursor: is not one that this list gave; start again without it
            422 invalid: the fields in `errors` cannot be accepted
            dry_run: must be true or false
            422 invalid: the fields in `errors` cannot be accepted
            until: must be a time such as 2026-11-21T05:54:33Z
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_nowhere_says_so() {
    check(
        &[
            (Method::GET, "/api/v1/targets/abc", JSON, ""),
            (Method::GET, "/api/v1/targets/12345", JSON, ""),
            (Method::GET, "/api/v2/targets", JSON, ""),
            (Method::PUT, "/api/v1/targets", JSON, "{}"),
        ],
        expect![[r#"
            400 bad_path: Invalid URL: Cannot parse `abc` to a `u32`
            404 not_found: there is no such target
            404 not_found: there is no such route; see /api/v1/openapi.json
            405 method_not_allowed: this path has no such method; see /api/v1/openapi.json
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_that_protect() {
    let site = Site::start().await;
    for path in ["/api/v1/targets", "/api/v1/nothing", "/", "/healthz"] {
        let response = site.request(Method::GET, path).send().await.expect("an answer");
        let header =
            |name: &str| response.headers().get(name).map(|v| v.to_str().expect("text").to_owned());
        let policy = header("content-security-policy").expect("a policy");
        assert!(policy.contains("script-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
        assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"), "{path}");
        assert!(header("x-request-id").is_some(), "{path}");
        if path.starts_with("/api/") {
            assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_and_collectors_are_answered() {
    let site = Site::start().await;
    let get = async |path: &str, from: Option<&str>| {
        let request = site.request(Method::GET, path);
        let request = match from {
            Some(from) => request.header("x-forwarded-for", from),
            None => request,
        };
        read(request.send().await.expect("an answer")).await
    };
    assert_eq!(get("/healthz", None).await.0, StatusCode::OK);
    assert_eq!(get("/readyz", None).await.0, StatusCode::OK);
    let (status, numbers) = get("/metrics", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text(&numbers).contains("# TYPE faultline_"), "{numbers}");
    assert_eq!(get("/metrics", Some("203.0.113.9")).await.0, StatusCode::UNAUTHORIZED);
    // What a stranger writes in front does not make it local.
    assert_eq!(get("/metrics", Some("127.0.0.1, 203.0.113.9")).await.0, StatusCode::UNAUTHORIZED);
    let health = site.get("/health").await;
    assert_eq!(health["database"]["engine"], "sqlite");
    let names = health["checks"].as_array().expect("checks").iter().map(|c| text(&c["name"]));
    let names: Vec<String> = names.collect();
    let expected = [
        "intake", "database", "disk", "memory", "history", "record", "losses", "agents", "clock",
        "backup", "parts", "copies", "storage", "messages",
    ];
    assert_eq!(names, expected);
}
