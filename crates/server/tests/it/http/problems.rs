//! What goes wrong is told as problem details, whatever goes wrong.

use expect_test::{Expect, expect};
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};

use super::{Site, errors, read, text};

/// Sends one request as an admin and compares the answer: status, code, detail, fields.
async fn check(site: &Site, method: Method, path: &str, kind: &str, body: &str, expected: Expect) {
    let request = site.request(method, path).bearer_auth(&site.key).header(CONTENT_TYPE, kind);
    let response = request.body(body.to_owned()).send().await.expect("an answer");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json", "{path}");
    let id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
    let (status, problem) = read(response).await;
    assert_eq!(problem["status"], status.as_u16(), "{path}");
    assert_eq!(problem["request_id"], id, "{path}");
    assert_eq!(problem["type"], format!("urn:faultline:problem:{}", text(&problem["code"])));
    let told = format!(
        "{} {}\n{}\n{}",
        status.as_u16(),
        text(&problem["code"]),
        text(&problem["detail"]),
        errors(&problem)
    );
    expected.assert_eq(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_nonsense_has_its_answer() {
    const JSON: &str = "application/json";
    let site = Site::start().await;
    let site = &site;
    let post = async |kind, body, expected| {
        check(site, Method::POST, "/api/v1/targets", kind, body, expected).await;
    };
    post(JSON, "{", expect![[r#"
        400 bad_body
        Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1
    "#]]).await;
    post(JSON, r#"{"address": "192.0.2.1"}"#, expect![[r#"
        400 bad_body
        Failed to deserialize the JSON body into the target type: missing field `name` at line 1 column 24
        name: is missing
    "#]]).await;
    post(JSON, r#"{"name": "a", "address": "192.0.2.1", "teir": 1}"#, expect![[r#"
        400 bad_body
        Failed to deserialize the JSON body into the target type: teir: unknown field `teir`, expected one of `name`, `address`, `tier_id`, `tags`, `note`, `is_paused` at line 1 column 44
        teir: is not known here
    "#]]).await;
    post("text/plain", "{}", expect![[r#"
        415 bad_media_type
        send `content-type: application/json`
    "#]]).await;
    post(JSON, &format!("{{\"note\": \"{}\"", "x".repeat(70_000)), expect![[r#"
        413 too_large
        the body exceeds the limit of this route; send it in parts
    "#]]).await;
    let get = async |path, expected| check(site, Method::GET, path, JSON, "", expected).await;
    get("/api/v1/targets?verdcit=down", expect![[r#"
        400 bad_query
        unknown field `verdcit`, expected one of `cursor`, `limit`, `sort`, `q`, `verdict`, `tier`, `tag`
        verdcit: is not known here
    "#]]).await;
    get("/api/v1/targets?limit=0&sort=size&verdict=up,dwon&tag=-&tier=x", expect![[r#"
        422 invalid
        the fields in `errors` cannot be accepted
        limit: must be a number from 1 to 500
        sort: must be name, -name, verdict, since or address
        verdict: must be up, degraded, down or unknown; several with commas between
        tag: a name starts with a letter or a digit
        tier: is neither id nor name of a tier
    "#]]).await;
    get("/api/v1/targets?cursor=nonsense", expect![[r#"
        422 invalid
        the fields in `errors` cannot be accepted
        cursor: is not one that this list gave; start again without it
    "#]]).await;
    get("/api/v1/targets/abc", expect![[r#"
        400 bad_path
        Invalid URL: Cannot parse `abc` to a `u32`
    "#]]).await;
    get("/api/v1/targets/12345", expect![[r#"
        404 not_found
        there is no such target
    "#]]).await;
    get("/api/v2/targets", expect![[r#"
        404 not_found
        there is no such route; see /api/v1/openapi.json
    "#]]).await;
    check(site, Method::PUT, "/api/v1/targets", JSON, "{}", expect![[r#"
        405 method_not_allowed
        this path has no such method; see /api/v1/openapi.json
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_that_protect() {
    let site = Site::start().await;
    for path in ["/api/v1/targets", "/api/v1/nothing", "/", "/healthz"] {
        let response = site.request(Method::GET, path).send().await.expect("an answer");
        let header = |name: &str| {
            response.headers().get(name).map(|v| v.to_str().expect("text").to_owned())
        };
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
    assert_eq!(names, ["intake", "database", "disk", "memory", "history", "agents", "clock"]);
}
