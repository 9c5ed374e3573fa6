//! Every route against every kind of caller, as the table says.

use std::sync::Arc;

use model::Role;
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use server::{
    desk::{Desk, DeskRefusal, DeskState, FaultOrder},
    http::{
        permission::allows,
        routes::{Access, catalogue},
    },
};

use super::{Session, Site, read};

const PASSWORD: &str = "a long enough password";

/// A desk with nothing to break.
#[derive(Debug)]
struct NoDesk;

impl Desk for NoDesk {
    fn state(&self) -> DeskState {
        DeskState::default()
    }

    fn begin(&self, _: &[FaultOrder]) -> Result<(), DeskRefusal> {
        let reason = "there is nothing to break".to_owned();
        Err(DeskRefusal { index: 0, field: "element", reason, is_conflict: false })
    }

    fn mend(&self, _: u32) -> bool {
        false
    }

    fn mend_all(&self) -> usize {
        0
    }
}

enum Kind {
    Anonymous,
    Session(Role),
    Key(Role, String),
}

/// What the table says that a caller gets.
fn expected(kind: &Kind, access: Access) -> Option<StatusCode> {
    let is_allowed = match (kind, access) {
        (_, Access::Public) => true,
        (Kind::Anonymous, _) => return Some(StatusCode::UNAUTHORIZED),
        (Kind::Session(_), Access::Person) => true,
        (Kind::Key(..), Access::Person) => false,
        (
            Kind::Session(role) | Kind::Key(role, _),
            Access::Needs(permission) | Access::LocalOr(permission),
        ) => allows(*role, permission),
    };
    (!is_allowed).then_some(StatusCode::FORBIDDEN)
}

/// Paths of the users that [`users`] makes; the first admin is the first user.
const VIEWER: &str = "/2";
const OPERATOR: &str = "/3";

async fn users(site: &Site) {
    for role in [Role::Viewer, Role::Operator] {
        let body = json!({"name": role.as_str(), "role": role.as_str(), "password": PASSWORD});
        site.post("/users", body).await;
    }
}

async fn key(site: &Site, role: Role) -> String {
    let body = json!({"name": format!("key-{role}"), "role": role.as_str()});
    super::text(&site.post("/api-keys", body).await["key"])
}

async fn session(site: &Site, role: Role) -> Session {
    match role {
        Role::Admin => site.session("admin", &site.admin_password).await,
        Role::Viewer | Role::Operator => site.session(role.as_str(), PASSWORD).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_whom_the_table_says() {
    // A demo has all the routes there are.
    let site = Site::start_as(Some(Arc::new(NoDesk))).await;
    users(&site).await;
    let mut kinds = vec![Kind::Anonymous];
    kinds.extend(Role::ALL.map(Kind::Session));
    for role in Role::ALL {
        kinds.push(Kind::Key(role, key(&site, role).await));
    }
    for kind in &kinds {
        let mut signed_in = match kind {
            Kind::Session(role) => Some(session(&site, *role).await),
            Kind::Anonymous | Kind::Key(..) => None,
        };
        for (method, path, access) in catalogue() {
            // As from another machine, or the test itself would be local.
            let request = site
                .request(method.clone(), &path.replace("{id}", "999999"))
                .header("x-forwarded-for", "203.0.113.9")
                .header(CONTENT_TYPE, "application/json")
                .body("{}");
            let request = match (kind, &signed_in) {
                (Kind::Key(_, key), _) => request.bearer_auth(key),
                (_, Some(session)) => session.on(request),
                (_, None) => request,
            };
            let status = request.send().await.expect("an answer").status();
            let who = match kind {
                Kind::Anonymous => "anonymous".to_owned(),
                Kind::Session(role) => format!("{role} by session"),
                Kind::Key(role, _) => format!("{role} by key"),
            };
            match expected(kind, access) {
                Some(refusal) => assert_eq!(status, refusal, "{who}: {method} {path}"),
                None => assert!(
                    ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status)
                        && !status.is_server_error(),
                    "{who}: {method} {path}: {status}"
                ),
            }
            if let Kind::Session(role) = kind
                && method == Method::DELETE
                && path == "/api/v1/session"
            {
                signed_in = Some(session(&site, *role).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_demo_has_a_fault_desk() {
    let ordinary = Site::start().await;
    let demo = Site::start_as(Some(Arc::new(NoDesk))).await;
    for (site, is_demo) in [(&ordinary, false), (&demo, true)] {
        let (status, _) = site.send(Method::GET, "/demo/desk", None).await;
        assert_eq!(status == StatusCode::OK, is_demo, "{status}");
        let body = json!({"faults": [{"kind": "link-cut", "element": "a--b"}]});
        let (status, refused) = site.send(Method::POST, "/demo/faults", Some(body)).await;
        if is_demo {
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
            assert_eq!(refused["errors"][0]["field"], "faults[0].element", "{refused}");
        } else {
            assert_eq!(status, StatusCode::NOT_FOUND, "{refused}");
        }
        let (_, document) = site.send(Method::GET, "/openapi.json", None).await;
        assert_eq!(document["paths"]["/api/v1/demo/desk"].is_object(), is_demo);
        let body = json!({"name": "admin", "password": site.admin_password});
        let (_, session) = site.send(Method::POST, "/session", Some(body)).await;
        assert_eq!(session["is_demo"], json!(is_demo));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_sends_unasked_changes_nothing() {
    let site = Site::start_as(Some(Arc::new(NoDesk))).await;
    let session = session(&site, Role::Admin).await;
    for (method, path, access) in catalogue() {
        if access == Access::Public || method == Method::GET {
            continue;
        }
        for token in ["", "wrong"] {
            let request = site.request(method.clone(), &path.replace("{id}", "1"));
            let request = request.header("cookie", &session.cookie).header("x-csrf-token", token);
            let (status, problem) = read(request.send().await.expect("an answer")).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
            assert_eq!(problem["code"], "bad_csrf_token", "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_be_less_than_its_role() {
    let site = Site::start().await;
    let body = json!({"name": "narrow", "role": "admin", "permissions": ["target_read"]});
    let created = site.post("/api-keys", body).await;
    assert_eq!(created["permissions"], json!(["target_read"]));
    let get = async |path: &str| {
        let request = site.request(Method::GET, path).bearer_auth(super::text(&created["key"]));
        request.send().await.expect("an answer").status()
    };
    assert_eq!(get("/api/v1/targets").await, StatusCode::OK);
    assert_eq!(get("/api/v1/tiers").await, StatusCode::FORBIDDEN);
    assert_eq!(get("/api/v1/map").await, StatusCode::FORBIDDEN);
    assert_eq!(get("/api/v1/map/targets?of=x").await, StatusCode::NOT_FOUND);
    let (status, problem) = site
        .send(
            Method::POST,
            "/api-keys",
            Some(json!({"name": "wide", "role": "viewer", "permissions": ["tier_write"]})),
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        super::errors(&problem),
        "permissions: `tier_write` is not one of the role viewer\n"
    );
    // Nor does it make one that is more than itself.
    let body = json!({"name": "maker", "role": "admin", "permissions": ["api_key_manage"]});
    let maker = super::text(&site.post("/api-keys", body).await["key"]);
    let make = async |name: &str, permissions: &str| {
        let request = site.request(Method::POST, "/api/v1/api-keys").bearer_auth(&maker);
        let body = json!({"name": name, "role": "admin", "permissions": [permissions]});
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        read(request.send().await.expect("an answer")).await
    };
    assert_eq!(make("same", "api_key_manage").await.0, StatusCode::CREATED);
    let (status, problem) = make("more", "target_write").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(super::errors(&problem), "permissions: you have not `target_write` yourself\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_manages_users_makes_and_changes_nobody_who_may_more_than_it() {
    let site = Site::start().await;
    users(&site).await;
    let held = [
        "user_manage",
        "target_read",
        "tier_read",
        "topology_read",
        "agent_read",
        "incident_read",
        "fact_read",
        "trace_read",
        "maintenance_read",
        "health_read",
    ];
    let body = json!({"name": "narrow", "role": "admin", "permissions": held});
    let narrow = super::text(&site.post("/api-keys", body).await["key"]);
    let send = async |method: Method, path: &str, body: serde_json::Value| {
        let request = site.request(method, &format!("/api/v1/users{path}")).bearer_auth(&narrow);
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        request.send().await.expect("an answer").status()
    };
    for role in ["operator", "admin"] {
        let eve = json!({"name": "eve", "role": role, "password": PASSWORD});
        assert_eq!(send(Method::POST, "", eve).await, StatusCode::FORBIDDEN);
    }
    for patch in [
        json!({"password": PASSWORD}),
        json!({"role": "viewer"}),
        json!({"name": "root"}),
        json!({"is_disabled": true}),
    ] {
        assert_eq!(send(Method::PATCH, "/1", patch.clone()).await, StatusCode::FORBIDDEN);
        assert_eq!(send(Method::PATCH, OPERATOR, patch).await, StatusCode::FORBIDDEN);
    }
    for role in ["operator", "admin"] {
        let patch = json!({"role": role});
        assert_eq!(send(Method::PATCH, VIEWER, patch).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(send(Method::DELETE, "/1", json!({})).await, StatusCode::FORBIDDEN);
    // What is left is what it is for.
    let patch = json!({"name": "vincent", "password": PASSWORD});
    assert_eq!(send(Method::PATCH, VIEWER, patch).await, StatusCode::OK);
    assert_eq!(send(Method::DELETE, VIEWER, json!({})).await, StatusCode::NO_CONTENT);
    let promote = Some(json!({"role": "admin"}));
    let path = format!("/users{OPERATOR}");
    site.expect(StatusCode::OK, Method::PATCH, &path, promote).await;
}
