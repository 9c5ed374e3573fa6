//! The HTTP API against a whole server: its own data directory, its own ports, a clock of the
//! test.

mod access;
mod console;
mod facts;
mod fleet;
mod history;
mod live;
mod maintenance;
mod openapi;
mod plan;
mod problems;
mod sessions;
mod targets;
mod topology;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{Client, Method, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use server::{
    Config, Overrides,
    clock::{Clock, ReadClocks, Reading},
    desk::Desk,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// 2026-11-21T05:54:00Z.
pub(crate) const START_US: i64 = 1_795_240_440_000_000;

/// A clock that only the test moves. It starts at [`START_US`].
#[derive(Debug, Default)]
pub(crate) struct TestClocks(Mutex<i64>);

impl ReadClocks for TestClocks {
    fn read(&self) -> Reading {
        let boot_us = *self.0.lock().expect("not poisoned");
        Reading { wall_us: START_US + boot_us, boot_us }
    }
}

/// A running server. It ends with its owner.
struct Site {
    url: String,
    /// The key of the command line on this machine: an admin.
    key: String,
    admin_password: String,
    http: Client,
    clocks: Arc<TestClocks>,
    dir: TempDir,
    _running: JoinSet<()>,
}

impl TestClocks {
    pub(crate) fn pass(&self, time: Duration) {
        let mut boot_us = self.0.lock().expect("not poisoned");
        *boot_us += i64::try_from(time.as_micros()).expect("not for ever");
    }
}

impl Site {
    async fn start() -> Site {
        Site::start_as(None).await
    }

    /// Starts a demo if there is a desk.
    async fn start_as(desk: Option<Arc<dyn Desk>>) -> Site {
        // Every test of the process installs it; only the first can.
        rustls::crypto::ring::default_provider().install_default().unwrap_or(());
        let dir = TempDir::new().expect("a directory");
        let overrides = Overrides {
            data_dir: Some(dir.path().to_owned()),
            http_listen: Some("127.0.0.1:0".to_owned()),
            agent_listen: Some("127.0.0.1:0".to_owned()),
        };
        let config = Config::resolve("", &|_| None, &overrides).expect("a good configuration");
        let key_path = config.local_api_key_path();
        let clocks = Arc::new(TestClocks::default());
        let clock = Clock::over(clocks.clone());
        let (ready, is_ready) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let stop = CancellationToken::new();
            let ended = match desk {
                Some(desk) => server::serve_demo(config, clock, desk, stop, ready).await,
                None => server::serve_with(config, clock, stop, ready).await,
            };
            ended.expect("the server runs");
        });
        let ready = is_ready.await.expect("the server starts");
        let key = std::fs::read_to_string(key_path).expect("the local key");
        Site {
            url: ready.http_url,
            key: key.trim().to_owned(),
            admin_password: ready.first_start.expect("a first start").admin_password,
            http: Client::builder().no_proxy().build().expect("a client"),
            clocks,
            dir,
            _running: running,
        }
    }

    fn pass(&self, time: Duration) {
        self.clocks.pass(time);
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends as the admin key; the path is relative to the API.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.request(method, &format!("/api/v1{path}")).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        read(request.send().await.expect("an answer")).await
    }

    async fn get(&self, path: &str) -> Value {
        self.expect(StatusCode::OK, Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.expect(StatusCode::CREATED, Method::POST, path, Some(body)).await
    }

    async fn expect(
        &self,
        status: StatusCode,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Value {
        let (told, value) = self.send(method.clone(), path, body).await;
        assert_eq!(told, status, "{method} {path}: {value}");
        value
    }

    /// Creates a target and returns its id.
    async fn target(&self, name: &str, address: &str) -> u64 {
        let body = serde_json::json!({"name": name, "address": address});
        self.post("/targets", body).await["id"].as_u64().expect("an id")
    }

    async fn sign_in(&self, name: &str, password: &str) -> Response {
        let body = serde_json::json!({"name": name, "password": password});
        let request = self.request(Method::POST, "/api/v1/session");
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        request.send().await.expect("an answer")
    }

    async fn session(&self, name: &str, password: &str) -> Session {
        let response = self.sign_in(name, password).await;
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = response.headers()["set-cookie"].to_str().expect("text").to_owned();
        let cookie = cookie.split(';').next().expect("a value").to_owned();
        let (_, body) = read(response).await;
        Session { cookie, csrf_token: text(&body["csrf_token"]) }
    }
}

/// What a browser holds.
#[derive(Clone)]
struct Session {
    cookie: String,
    csrf_token: String,
}

impl Session {
    fn on(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.header("cookie", &self.cookie).header("x-csrf-token", &self.csrf_token)
    }
}

/// Reads status and JSON body; a body of another kind becomes a text.
async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.text().await.expect("a whole body");
    let value = serde_json::from_str(&body).unwrap_or(Value::String(body));
    (status, value)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The fields and reasons of a problem, a line each.
fn errors(problem: &Value) -> String {
    let errors = problem["errors"].as_array().expect("errors");
    let line = |e: &Value| format!("{}: {}\n", text(&e["field"]), text(&e["reason"]));
    errors.iter().map(line).collect()
}
