//! Messages on their way out: to a receiver on a real socket, over failures, waits and restarts.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, response::IntoResponse as _};
use http::{HeaderMap, Response, StatusCode};
use model::{IncidentId, LogPosition, Severity, UtcMicros};
use serde_json::{Value, json};
use server::clock::Clock;
use store::{
    IncidentBody, IncidentSave, IncidentStep, IncidentTurn, NewMessage, ORG_DEFAULT, Scope, Store,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use crate::{
    harness::{Server, soon},
    http::{START_US, TestClocks},
};

/// What a receiver was sent.
#[derive(Debug)]
struct Taken {
    headers: HeaderMap,
    body: String,
}

#[derive(Clone)]
struct Desk {
    /// What it answers, one after another; `200` when there are no more.
    answers: Arc<Mutex<VecDeque<Response<String>>>>,
    taken: mpsc::UnboundedSender<Taken>,
}

/// Takes messages on a port of its own.
struct Receiver {
    url: String,
    desk: Desk,
    taken: mpsc::UnboundedReceiver<Taken>,
    _running: JoinSet<()>,
}

impl Receiver {
    async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in/s3cret", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a test looks at each message")]
        let (taken, receiver) = mpsc::unbounded_channel();
        let desk = Desk { answers: Arc::default(), taken };
        let router = Router::new().fallback(take).with_state(desk.clone());
        let mut running = JoinSet::new();
        running.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, desk, taken: receiver, _running: running }
    }

    fn will_answer(&self, status: u16, headers: &[(&str, &str)], text: &str) {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        self.desk.answers.lock().unwrap().push_back(answer.body(text.to_owned()).unwrap());
    }

    async fn next(&mut self) -> Taken {
        soon(self.taken.recv()).await.unwrap()
    }
}

async fn take(
    State(desk): State<Desk>,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    desk.taken.send(Taken { headers, body }).unwrap();
    let answer = desk.answers.lock().unwrap().pop_front();
    answer.map_or(StatusCode::OK.into_response(), |answer| answer.into_response())
}

fn header<'a>(taken: &'a Taken, name: &str) -> &'a str {
    taken.headers[name].to_str().unwrap()
}

fn message(key: &str, subject: &str) -> NewMessage {
    NewMessage {
        key: key.to_owned(),
        kind: "incident.opened".to_owned(),
        subject: subject.to_owned(),
        body: json!({"type": "incident.opened", "data": {"key": key}}).to_string(),
    }
}

async fn put(dir: &Path, messages: &[NewMessage]) {
    let store = Store::open(&dir.join("faultline.db")).await.unwrap();
    for message in messages {
        let at = UtcMicros(START_US);
        store.message_put(&Scope::system(ORG_DEFAULT), message, at).await.unwrap();
    }
    store.close().await;
}

/// The deliveries of the first webhook, once `is_so` of them.
async fn deliveries(server: &Server, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    soon(async {
        loop {
            let page = server.get("/webhooks/1/deliveries").await;
            let items = page["items"].as_array().unwrap();
            if is_so(items) {
                return items.clone();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn webhook(server: &Server, receiver: &Receiver) -> Value {
    server.post("/webhooks", &json!({"name": "noc", "url": receiver.url})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_at_once_and_says_what_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut receiver = Receiver::start().await;
    let made = webhook(&server, &receiver).await;
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!((&made["url"], &made["due"]), (&json!(receiver.url), &json!(0)));

    let told = server.post("/webhooks/1/test", &json!({})).await;
    assert_eq!((&told["state"], &told["tries"][0]["status"]), (&json!("sent"), &json!(200)));
    let taken = receiver.next().await;
    assert_eq!(told["body"], json!(taken.body));
    assert_eq!(told["message"], json!(header(&taken, "webhook-id")));
    assert_eq!(header(&taken, "content-type"), "application/json");
    assert!(header(&taken, "webhook-signature").starts_with("v1,"));
    let body: Value = serde_json::from_str(&taken.body).unwrap();
    assert_eq!(body["type"], "test");

    receiver.will_answer(403, &[], "who\n are you?");
    let told = server.post("/webhooks/1/test", &json!({})).await;
    assert_eq!((&told["state"], &told["tries_total"]), (&json!("dead"), &json!(1)));
    assert_eq!(told["reason"], "the receiver answered 403: who are you?");
    receiver.will_answer(307, &[("location", "http://192.0.2.1/")], "");
    let told = server.post("/webhooks/1/test", &json!({})).await;
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("enter the address it leads to"), "{reason}");

    // Nobody listens there; and what was entered is not in the reason.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    server.patch("/webhooks/1", &json!({"url": format!("http://{gone}/s3cret")})).await;
    let told = server.post("/webhooks/1/test", &json!({})).await;
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("refused") && !reason.contains("s3cret"), "{reason}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_sent_again_with_its_id_and_in_its_order_also_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    webhook(&server, &receiver).await;
    server.stop().await;
    let (opened, resolved) = (message("i1 opened", "i1"), message("i1 resolved", "i1"));
    put(dir.path(), &[opened.clone(), resolved.clone()]).await;

    receiver.will_answer(503, &[("retry-after", "60")], "busy");
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    assert_eq!(header(&receiver.next().await, "webhook-id"), "i1 opened");
    let is_tried = |items: &[Value]| items.iter().any(|one| one["tries_total"] == 1);
    let waiting = deliveries(&server, is_tried).await;
    let states: Vec<_> = waiting.iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["due", "due"], "the end waits for the beginning");
    server.kill().await;

    clocks.pass(Duration::from_secs(60));
    let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!((header(&first, "webhook-id"), &first.body), ("i1 opened", &opened.body));
    assert_eq!((header(&second, "webhook-id"), &second.body), ("i1 resolved", &resolved.body));
    deliveries(&server, |items| items.iter().all(|one| one["state"] == "sent")).await;
    assert!(receiver.taken.try_recv().is_err(), "each once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_can_be_sent_again_and_a_receiver_can_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    webhook(&server, &receiver).await;
    server.stop().await;
    put(dir.path(), &[message("one", "1")]).await;

    for _ in 0..10 {
        receiver.will_answer(500, &[], "");
    }
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let is_tried = |tries: usize| {
        move |items: &[Value]| items.first().is_some_and(|one| one["tries_total"] == json!(tries))
    };
    for tries in 1..=10 {
        receiver.next().await;
        deliveries(&server, is_tried(tries)).await;
        clocks.pass(Duration::from_secs(14 * 3600));
    }
    let items = deliveries(&server, |items| items[0]["state"] == "dead").await;
    assert_eq!(items[0]["reason"], "the receiver answered 500");

    receiver.will_answer(410, &[], "");
    let again = server.post(&format!("/deliveries/{}/resend", items[0]["id"]), &json!({})).await;
    assert_eq!((&again["state"], &again["tries_total"]), (&json!("due"), &json!(10)));
    assert_eq!(header(&receiver.next().await, "webhook-id"), "one");
    deliveries(&server, is_tried(11)).await;
    let webhook = server.get("/webhooks/1").await;
    assert_eq!((&webhook["is_disabled"], &webhook["dead"]), (&json!(true), &json!(1)));
    server.stop().await;
}

/// What became of an incident, of which the opening alone is told.
async fn an_incident(dir: &Path, (turn, at): (u64, UtcMicros), steps: &[(IncidentStep, u32)]) {
    let save = |&(step, revision): &(IncidentStep, u32)| IncidentSave {
        id: IncidentId(1),
        step,
        note: String::new(),
        revision,
        severity: Severity::Major,
        onset: (at, at),
        sentence: "r2--r3 is down".to_owned(),
        body: IncidentBody { suppressed_total: 7, ..IncidentBody::default() },
        pairs: Vec::new(),
        message: (revision == 1).then(|| message("incident.1.1", "incident.1")),
        maintenance: None,
    };
    let turn = IncidentTurn {
        run: 1,
        turn,
        at,
        inventory_version: 1,
        log_position: LogPosition(0),
        next: 2,
        saves: steps.iter().map(save).collect(),
        tells: Vec::new(),
        traced: Vec::new(),
    };
    let store = Store::open(&dir.join("faultline.db")).await.unwrap();
    store.incidents_take(&Scope::system(ORG_DEFAULT), &turn).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_was_told_of_is_told_in_one_digest_and_of_nothing_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let clocks = Arc::new(TestClocks::default());
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    webhook(&server, &receiver).await;
    server.stop().await;
    let revised = IncidentStep::Revised;
    let steps = [(IncidentStep::Opened, 1), (revised, 2), (revised, 3)];
    an_incident(dir.path(), (1, UtcMicros(START_US)), &steps).await;

    clocks.pass(Duration::from_secs(900));
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    assert_eq!(header(&receiver.next().await, "webhook-id"), "incident.1.1");
    let digest: Value = serde_json::from_str(&receiver.next().await.body).unwrap();
    assert_eq!(digest["type"], "incident.digest");
    // It counts until the end of a quarter of an hour.
    assert_eq!(digest["timestamp"], "2026-11-21T06:00:00Z");
    let data = &digest["data"];
    assert_eq!(
        (&data["opened"], &data["revised"], &data["open"]),
        (&json!(0), &json!(2), &json!(1))
    );
    assert_eq!(data["incidents"][0]["targets_suppressed"], json!(7));
    deliveries(&server, |items| items.iter().all(|one| one["state"] == "sent")).await;
    server.kill().await;

    // The same period again, and the next, in which nothing changed.
    for _ in 0..2 {
        let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
        server.post("/webhooks/1/test", &json!({})).await;
        let body: Value = serde_json::from_str(&receiver.next().await.body).unwrap();
        assert_eq!(body["type"], "test", "no digest again");
        server.kill().await;
        clocks.pass(Duration::from_secs(900));
    }
    // It happened in the first of these periods, and the database took it only now.
    an_incident(dir.path(), (2, UtcMicros(START_US + 1)), &[(revised, 4)]).await;
    let server = Server::start_again_by(dir.path(), Clock::over(clocks.clone())).await;
    let digest: Value = serde_json::from_str(&receiver.next().await.body).unwrap();
    let data = &digest["data"];
    assert_eq!((&data["opened"], &data["revised"]), (&json!(0), &json!(1)), "{digest:#}");
    let items = deliveries(&server, |items| items.iter().all(|one| one["state"] == "sent")).await;
    let mut kinds: Vec<&str> = items.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let digest = "incident.digest";
    assert_eq!(kinds, [digest, digest, "incident.opened", "test", "test"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_is_given_while_there_is_life() {
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let config = format!("[heartbeat]\nurl = \"{}\"\nevery = \"10s\"", receiver.url);
    let server = Server::start_with(dir.path(), &config, Clock::system()).await;
    let taken = receiver.next().await;
    assert_eq!(taken.body, "");
    soon(async {
        while server.metric("faultline_heartbeats_sent_total").await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_address_nor_secret_is_in_the_clear_on_disk_or_in_the_audit() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let receiver = Receiver::start().await;
    let made = webhook(&server, &receiver).await;
    let first = made["secret"].as_str().unwrap().to_owned();
    let second = server.post("/webhooks/1/secret", &json!({})).await;
    assert_ne!(second["secret"], json!(first));
    let audit = server.get("/audit").await.to_string();
    assert!(audit.contains("webhook.create") && !audit.contains("s3cret"), "{audit}");
    assert!(!audit.contains(&first), "{audit}");
    server.stop().await;
    for file in ["faultline.db", "faultline.db-wal"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("s3cret") && !text.contains(&first), "{file}");
    }
}
