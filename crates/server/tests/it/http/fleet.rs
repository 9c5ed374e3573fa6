//! Agents through the API.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Site, errors, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_agent_comes_with_the_command_to_type() {
    let site = Site::start().await;
    let created = site.post("/agents", json!({"name": "north", "witnesses": ["192.0.2.53"]})).await;
    let agent = &created["agent"];
    assert_eq!((&agent["state"], &agent["certificate"]), (&json!("never_seen"), &Value::Null));
    assert_eq!(agent["witnesses"], json!(["192.0.2.53"]));
    assert_eq!(created["expires_at"], "2026-11-21T06:04:00Z");
    let token = text(&created["token"]);
    assert!(text(&created["command"]).contains(&format!("faultline-agent enroll {token}")));
    let body = token.strip_prefix("flt1.").expect("the form's version");
    let body = URL_SAFE_NO_PAD.decode(body).expect("base64");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(text(&body["f"]).len(), 64);
    assert_eq!(URL_SAFE_NO_PAD.decode(text(&body["s"])).expect("base64").len(), 32);
    assert!(!body["a"].as_array().expect("addresses").is_empty(), "{body}");
    let path = format!("/agents/{}", agent["id"]);
    let again = site.expect(StatusCode::OK, Method::POST, &format!("{path}/token"), None).await;
    assert_ne!(again["token"], created["token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_paused_revoked_and_deleted() {
    let site = Site::start().await;
    let created = site.post("/agents", json!({"name": "north"})).await;
    let path = format!("/agents/{}", created["agent"]["id"]);
    let patch = Some(json!({"is_paused": true, "name": "south"}));
    let changed = site.expect(StatusCode::OK, Method::PATCH, &path, patch).await;
    assert_eq!((&changed["name"], &changed["is_paused"]), (&json!("south"), &json!(true)));
    site.expect(StatusCode::NO_CONTENT, Method::POST, &format!("{path}/revoke"), None).await;
    assert_eq!(site.get("/agents").await["items"].as_array().map(Vec::len), Some(1));
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, &path, None).await;
    site.expect(StatusCode::NOT_FOUND, Method::GET, &path, None).await;
    let body = Some(json!({"name": "-", "witnesses": ["here", "0.0.0.0"]}));
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = site.expect(status, Method::POST, "/agents", body).await;
    assert_eq!(
        errors(&problem),
        "name: a name starts with a letter or a digit\nwitnesses: `here` is not an IP address\n"
    );
}
