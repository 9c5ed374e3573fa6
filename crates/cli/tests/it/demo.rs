//! The demo from its start to its end: a fault at its desk becomes an incident with that cause,
//! mended it is over, and afterwards nothing is left.

use std::{path::Path, process::Stdio, time::Duration};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use crate::program::{Running, faultline};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Until targets are seen: a round of the slowest tier, and what two cores need to start it all.
const ALIVE_MAX: Duration = Duration::from_secs(120);
/// Until a cut is named: two rounds of the fast tier and the reports of its devices take some
/// fifteen seconds, people are told when it is sure.
const NAMED_MAX: Duration = Duration::from_secs(90);
/// Until it is over: routing, a round of each pair that it hit, and some time to be sure.
const OVER_MAX: Duration = Duration::from_secs(240);

/// A link of the backbone, with another way round it.
const LINK: &str = "dallas-core1--denver-core1";

struct Demo {
    running: Running,
    url: String,
    key: String,
    http: Client,
}

impl Demo {
    fn start(folder: &Path) -> Demo {
        let mut command =
            faultline(&["demo", "--json", "--scale", "200", "--seed", "3", "--past", "0"]);
        command.args(["--http-listen", "127.0.0.1:0"]).env("TMPDIR", folder);
        let mut running = Running::start(command.stderr(Stdio::inherit()));
        let said: Value = serde_json::from_str(&running.line_with("http_url")).unwrap();
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        assert_eq!((text("user"), text("password").is_empty()), ("admin".to_owned(), false));
        let key = Path::new(&text("data_dir")).join("keys/local-api.key");
        let key = std::fs::read_to_string(key).unwrap().trim().to_owned();
        // Another test of this process may have installed it.
        rustls::crypto::ring::default_provider().install_default().unwrap_or(());
        let http = Client::builder().no_proxy().build().unwrap();
        Demo { running, url: format!("{}/api/v1", text("http_url")), key, http }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let mut request = request.bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Looks again and again until it is so, at most for `within`.
    async fn until<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl AsyncFnMut(&Demo) -> Option<T>,
    ) -> T {
        let waited = timeout(within, async {
            let mut again = interval(LOOK_INTERVAL);
            loop {
                again.tick().await;
                if let Some(found) = look(self).await {
                    return found;
                }
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("not {what} within {within:?}: {}", self.get("/diagnosis").await),
        }
    }
}

/// The first incident whose cause is the link, or a class with it.
fn of_the_link(incidents: &Value) -> Option<Value> {
    let says =
        |incident: &&Value| incident["sentence"].as_str().is_some_and(|it| it.contains(LINK));
    incidents["items"].as_array()?.iter().find(says).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_cut_at_the_desk_is_an_incident_and_mended_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(folder.path());
    let everything_answers = async |demo: &Demo| {
        let overview = demo.get("/overview").await;
        (overview["targets"]["up"] == overview["targets"]["total"]).then_some(())
    };
    demo.until("everything up", ALIVE_MAX, everything_answers).await;
    assert_eq!(demo.get("/agents").await["items"].as_array().unwrap().len(), 8);
    let desk = demo.get("/demo/desk").await;
    assert_eq!(desk["tour"].as_array().unwrap().len(), 5);
    assert!(desk["credit"].as_str().unwrap().contains("CC BY 4.0"));

    let body = json!({"faults": [{"kind": "link-cut", "element": LINK}]});
    let (status, desk) = demo.send(Method::POST, "/demo/faults", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{desk}");
    let id = desk["active"][0]["id"].as_u64().unwrap();
    let named = async |demo: &Demo| of_the_link(&demo.get("/incidents").await);
    let incident = demo.until("named", NAMED_MAX, named).await;
    let path = format!("/incidents/{}", incident["id"]);

    let (status, _) = demo.send(Method::DELETE, &format!("/demo/faults/{id}"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let is_over = async |demo: &Demo| {
        let incident = demo.get(&path).await;
        (incident["state"] == "resolved").then_some(())
    };
    demo.until("over", OVER_MAX, is_over).await;
    let overview = demo.get("/overview").await;
    assert_eq!(overview["targets"]["down"], 0, "{overview}");

    assert!(demo.running.stop());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing");
}

#[test]
fn a_scenario_that_cannot_be_is_refused_with_a_reason_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faults.toml");
    let refused = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command =
            faultline(&["demo", "--json", "--scale", "200", "--past", "0", "--scenario"]);
        command.arg(&file).env("TMPDIR", folder.path());
        let told = crate::program::complaint(&mut command);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the scenario");
        told
    };
    let fault = "[[faults]]\nfrom_s = 1\nkind = \"link-cut\"\nelement = \"nowhere\"\n";
    assert!(refused(fault).contains("there is no link `nowhere`"));
    assert!(refused("faults = 1").contains("faults.toml"));
}
