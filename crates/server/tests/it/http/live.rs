//! Live events: what comes, and how a subscriber resumes.

use reqwest::Method;
use serde_json::Value;

use super::Site;

/// One event as a browser gets it.
#[derive(Debug)]
struct Told {
    name: String,
    id: Option<String>,
    data: Value,
}

struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(site: &Site, last_event_id: Option<&str>) -> Stream {
        let request = site.request(Method::GET, "/api/v1/live").bearer_auth(&site.key);
        let request = match last_event_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { response, text: String::new() }
    }

    /// Waits for the next event with this name.
    async fn next(&mut self, name: &str) -> Told {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let told = parse(event);
                self.text = rest.to_owned();
                if told.name == name {
                    return told;
                }
            }
            let chunk = self.response.chunk().await.expect("goes on").expect("does not end");
            self.text += std::str::from_utf8(&chunk).expect("text");
        }
    }
}

fn parse(event: &str) -> Told {
    let line = |key: &str| {
        let value = event.lines().find_map(|line| line.strip_prefix(key));
        value.map(|value| value.trim().to_owned())
    };
    let data = line("data:").map_or(Value::Null, |data| serde_json::from_str(&data).expect("JSON"));
    Told { name: line("event:").unwrap_or_default(), id: line("id:"), data }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_and_can_be_told_again() {
    let site = Site::start().await;
    let mut stream = Stream::open(&site, None).await;
    let before = site.get("/overview").await["log_position"].to_string();
    site.target("core1", "192.0.2.1").await;
    let told = stream.next("inventory").await;
    let id = told.id.expect("the place to resume after");
    assert_eq!(told.data["position"].to_string(), id);

    let mut resumed = Stream::open(&site, Some(&before)).await;
    assert_eq!(resumed.next("inventory").await.data, told.data);

    let mut later = Stream::open(&site, Some(&id)).await;
    site.target("core2", "192.0.2.2").await;
    let second = later.next("inventory").await;
    assert!(told.data["version"].as_u64() < second.data["version"].as_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_known_means_read_everything_anew() {
    let site = Site::start().await;
    for id in ["999999999", "nonsense"] {
        let mut stream = Stream::open(&site, Some(id)).await;
        assert!(stream.next("resync").await.id.is_some());
    }
}
