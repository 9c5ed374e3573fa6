//! Signing in, and how a session or a key ends.

use std::time::Duration;

use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use server::http::permission::Permission;

use super::{Session, Site, read, text};

const HOUR: Duration = Duration::from_secs(3600);
const PASSWORD: &str = "a long enough password";

async fn is_signed_in(site: &Site, session: &Session) -> bool {
    let request = session.on(site.request(Method::GET, "/api/v1/session"));
    request.send().await.expect("an answer").status() == StatusCode::OK
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_for_this_server_and_no_script() {
    let site = Site::start().await;
    let response = site.sign_in("admin", &site.admin_password).await;
    let cookie = response.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.starts_with("faultline_session="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800"), "{cookie}");
    let (_, session) = read(response).await;
    assert_eq!(session["user"]["role"], "admin");
    assert_eq!(session["permissions"].as_array().map(Vec::len), Some(Permission::ALL.len()));
    let request = site.request(Method::POST, "/api/v1/session");
    let body = json!({"name": "admin", "password": site.admin_password}).to_string();
    let request = request.header("x-forwarded-proto", "https");
    let request = request.header(CONTENT_TYPE, "application/json").body(body);
    let response = request.send().await.expect("an answer");
    let cookie = response.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_gets_one_answer_and_then_none() {
    let site = Site::start().await;
    let mut told = Vec::new();
    for name in ["admin", "nobody", "not a name"] {
        let (status, problem) = read(site.sign_in(name, "wrong password").await).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        told.push((text(&problem["code"]), text(&problem["detail"])));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    for _ in 1..10 {
        assert_eq!(site.sign_in("admin", "wrong").await.status(), StatusCode::UNAUTHORIZED);
    }
    let refused = site.sign_in("admin", &site.admin_password).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    site.pass(Duration::from_secs(300));
    assert_eq!(site.sign_in("admin", &site.admin_password).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_idle_and_when_old() {
    let site = Site::start().await;
    let idle = site.session("admin", &site.admin_password).await;
    let used = site.session("admin", &site.admin_password).await;
    for _ in 0..15 {
        site.pass(11 * HOUR);
        assert!(is_signed_in(&site, &used).await);
    }
    assert!(!is_signed_in(&site, &idle).await);
    // 165 hours old: the last use is within 12 hours, but 7 days are over after 3 more.
    site.pass(3 * HOUR);
    assert!(!is_signed_in(&site, &used).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_a_new_password_and_disabling_end_sessions() {
    let site = Site::start().await;
    let body = json!({"name": "ann", "role": "operator", "password": PASSWORD});
    let ann = site.post("/users", body).await["id"].as_u64().expect("an id");
    let [here, there, gone] = [
        site.session("ann", PASSWORD).await,
        site.session("ann", PASSWORD).await,
        site.session("ann", PASSWORD).await,
    ];
    let request = gone.on(site.request(Method::DELETE, "/api/v1/session"));
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::NO_CONTENT);
    assert!(!is_signed_in(&site, &gone).await);

    let change = async |current: &str, new: &str| {
        let request = here.on(site.request(Method::PUT, "/api/v1/session/password"));
        let body = json!({"current_password": current, "new_password": new}).to_string();
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        read(request.send().await.expect("an answer")).await
    };
    let (_, problem) = change("wrong", "another long password").await;
    assert_eq!(super::errors(&problem), "current_password: is not your password\n");
    let (_, problem) = change(PASSWORD, "short").await;
    assert_eq!(super::errors(&problem), "new_password: must have at least 12 characters\n");
    assert_eq!(change(PASSWORD, "another long password").await.0, StatusCode::NO_CONTENT);
    assert!(is_signed_in(&site, &here).await);
    assert!(!is_signed_in(&site, &there).await);
    assert_eq!(site.sign_in("ann", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);

    let path = format!("/users/{ann}");
    let disable = Some(json!({"is_disabled": true}));
    site.expect(StatusCode::OK, Method::PATCH, &path, disable).await;
    assert!(!is_signed_in(&site, &here).await);
    let response = site.sign_in("ann", "another long password").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_password_is_shown_once_and_ends_every_session() {
    let site = Site::start().await;
    let body = json!({"name": "ann", "role": "admin", "password": PASSWORD});
    let ann = site.post("/users", body).await["id"].as_u64().expect("an id");
    let before = site.session("ann", PASSWORD).await;
    let path = format!("/users/{ann}/password");
    let told = site.expect(StatusCode::OK, Method::POST, &path, None).await;
    let password = text(&told["password"]);
    assert!(!is_signed_in(&site, &before).await);
    assert_eq!(site.sign_in("ann", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    let now = site.session("ann", &password).await;
    let audit = site.get("/audit?limit=10").await;
    let items = audit["items"].as_array().expect("items");
    let is_it =
        |e: &&serde_json::Value| e["action"] == "user.set_password" && e["object"] == "user ann";
    assert_eq!(items.iter().filter(is_it).count(), 1, "{audit}");
    assert!(!audit.to_string().contains(&password), "{audit}");

    // One's own password needs the old one.
    let request = now.on(site.request(Method::POST, &format!("/api/v1{path}")));
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::CONFLICT);
    site.expect(StatusCode::NOT_FOUND, Method::POST, "/users/99/password", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_locks_everyone_out() {
    let site = Site::start().await;
    let admin = site.session("admin", &site.admin_password).await;
    let request = admin.on(site.request(Method::DELETE, "/api/v1/users/1"));
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::CONFLICT);
    let demote = Some(json!({"role": "viewer"}));
    site.expect(StatusCode::CONFLICT, Method::PATCH, "/users/1", demote).await;
    site.expect(StatusCode::CONFLICT, Method::DELETE, "/users/1", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_it_expires_or_is_deleted() {
    let site = Site::start().await;
    let key = async |name: &str, expires_at: Option<&str>| {
        let body = json!({"name": name, "role": "viewer", "expires_at": expires_at});
        site.post("/api-keys", body).await
    };
    let works = async |key: &serde_json::Value| {
        let request = site.request(Method::GET, "/api/v1/targets");
        let request = request.bearer_auth(text(&key["key"]));
        request.send().await.expect("an answer").status() == StatusCode::OK
    };
    let short = key("short", Some("2026-11-21T06:00:00Z")).await;
    let long = key("long", None).await;
    assert!(works(&short).await && works(&long).await);
    site.pass(HOUR);
    assert!(!works(&short).await && works(&long).await);
    let path = format!("/api-keys/{}", long["id"]);
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, &path, None).await;
    assert!(!works(&long).await);
    let listed = site.get("/api-keys").await.to_string();
    assert!(!listed.contains("flk_"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_who_did_what() {
    let site = Site::start().await;
    site.session("admin", &site.admin_password).await;
    read(site.sign_in("admin", "wrong").await).await;
    let id = site.target("core1", "192.0.2.1").await;
    let path = format!("/targets/{id}");
    site.expect(StatusCode::OK, Method::PATCH, &path, Some(json!({"note": "edge"}))).await;
    let page = site.get("/audit?limit=4").await;
    let line = |e: &serde_json::Value| {
        format!("{} {} {}", text(&e["actor"]), text(&e["action"]), text(&e["object"]))
    };
    let told: Vec<String> = page["items"].as_array().expect("items").iter().map(line).collect();
    assert_eq!(
        told,
        [
            "api_key server-shell target.update target core1",
            "api_key server-shell target.create target core1",
            "system session.refuse user admin",
            "user admin session.create user admin",
        ]
    );
    assert_eq!(page["items"][0]["after"]["note"], "edge");
    let next = text(&page["next_cursor"]);
    let rest = site.get(&format!("/audit?cursor={next}")).await;
    assert_eq!(rest["next_cursor"], serde_json::Value::Null);
    // A page that holds the last row is the last, also when it is full.
    let left = rest["items"].as_array().expect("items").len();
    let full = site.get(&format!("/audit?cursor={next}&limit={left}")).await;
    assert_eq!(full, rest);
    assert!(!rest.to_string().contains("argon2"), "{rest}");
}
