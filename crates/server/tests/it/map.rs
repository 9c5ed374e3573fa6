//! The map of what real agents report: now, what changed since, and as it was.

use std::time::Duration;

use model::UtcMicros;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::diagnosis::{cut, described};
use crate::harness::Server;

async fn map_until(server: &Server, path: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let map = server.get(path).await;
        if is_it(&map) {
            return map;
        }
        assert!(Instant::now() < patience, "it did not come: {map:#}");
        tokio::task::yield_now().await;
    }
}

fn of<'a>(map: &'a Value, list: &str, id: &str) -> &'a Value {
    let all = map[list].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_says_what_is_down_why_and_what_it_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let nothing = server.get("/map").await;
    assert_eq!((&nothing["is_whole"], &nothing["sites"]), (&json!(true), &json!([])));
    let probes = described(&server).await;
    let silent = server.get("/map").await;
    assert_eq!(of(&silent, "devices", "r1")["state"], "unknown", "{silent:#}");
    assert_eq!(of(&silent, "links", "r1--r2")["state"], "unknown");
    cut(&server, &probes).await;
    let older = server.get("/map").await;

    let has_incident = |map: &Value| map["incidents"].as_array().is_some_and(|all| all.len() == 1);
    let map = map_until(&server, "/map", has_incident).await;
    // Its verdict waits for rounds that are not late: until then it is one of two.
    let r3 = of(&map, "devices", "r3");
    assert_eq!((&r3["state"], &r3["part"]), (&json!("unknown"), &json!("suspect")));
    assert_eq!(r3["why"], "#1: one of r2--r3, r3, which nothing tells apart");
    assert_eq!(r3["targets"]["unknown"], 1);
    assert_eq!(of(&map, "sites", "r3")["incidents"], json!([1]));
    let link = of(&map, "links", "r2--r3");
    assert_eq!((&link["state"], &link["part"]), (&json!("unknown"), &json!("suspect")));
    assert_eq!(of(&map, "links", "r1--r2")["state"], "up", "{map:#}");
    assert_eq!(map["incidents"][0]["cause"], json!(["r2--r3", "r3"]));

    // Nothing changed since, and of the whole nothing is told again.
    let version = map["version"].as_str().unwrap();
    let since = server.get(&format!("/map?after={version}")).await;
    assert_eq!((&since["is_whole"], &since["version"]), (&json!(false), &map["version"]));
    assert_eq!((&since["sites"], &since["links"]), (&json!([]), &json!([])));
    let older = older["version"].as_str().unwrap();
    let since = server.get(&format!("/map?after={older}")).await;
    assert_eq!(since["is_whole"], false);
    assert_eq!(of(&since, "devices", "r3")["part"], "suspect");
    let strange = server.get("/map?after=1").await;
    assert_eq!(strange["is_whole"], true);

    let targets = server.get("/map/targets?of=r3").await;
    assert_eq!(
        (&targets["total"], &targets["items"][0]["verdict"]),
        (&json!(1), &json!("unknown"))
    );

    // It is known what was, and that nothing was known before.
    let now = map["at"].as_str().unwrap();
    let then = server.get(&format!("/map?at={now}")).await;
    assert_eq!((&then["is_past"], &then["is_unrecorded"]), (&json!(true), &json!(false)));
    assert_eq!(of(&then, "devices", "r1")["state"], "up", "{then:#}");
    assert!(has_incident(&then), "{then:#}");
    let earlier = UtcMicros(UtcMicros::parse(now).unwrap().0 - 3_600_000_000);
    let before = server.get(&format!("/map?at={earlier}")).await;
    assert_eq!(of(&before, "devices", "r1")["state"], "unknown");
    assert_eq!(before["incidents"], json!([]));
    server.stop().await;
}
