//! Reading what was heard: ranges added up, and tables beside the JSON of the same.

use model::UtcMicros;
use reqwest::Method;
use serde_json::{Value, json};
use server::clock::Clock;

use crate::{
    harness::Server,
    prom::{clocks, heard, now_s},
};

const FIGURES: [&str; 6] = ["rounds", "sent", "lost", "rtt_us_min", "rtt_us_mean", "rtt_us_max"];

fn time(seconds: i64) -> String {
    UtcMicros(seconds * 1_000_000).to_string()
}

/// Ten rounds answered and two lost by one agent, all of one minute; and nothing of the day before.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_added_up_and_compared_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let clocks = clocks();
    let server = Server::start_by(dir.path(), Clock::over(clocks.clone())).await;
    let target = heard(&server, &clocks).await;
    let now = now_s(&clocks);
    let day = 24 * 3_600;
    let path = format!(
        "/targets/{target}/summary?from={}&to={}&compare_from={}",
        time(now - 1_800),
        time(now),
        time(now - 1_800 - day)
    );
    let told = server.get(&path).await;
    assert_eq!(told["target"], json!({"id": target, "name": "core1"}));
    let [all, fra1] = &told["series"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&all["agent"], &fra1["agent"]["name"]), (&Value::Null, &json!("fra1")));
    for series in [all, fra1] {
        let range = &series["range"];
        let figures = FIGURES.iter().map(|figure| range[*figure].as_u64().unwrap());
        assert_eq!(figures.collect::<Vec<_>>(), [12, 60, 10, 900, 1_000, 1_100], "{series}");
        assert_eq!(range["loss_ratio"], 10.0 / 60.0);
        for quantile in ["rtt_us_p50", "rtt_us_p95", "rtt_us_p99"] {
            assert!(range[quantile].as_u64().unwrap().abs_diff(1_000) <= 32, "{range}");
        }
        let minutes = ["up", "degraded", "down", "unknown"];
        let minutes = minutes.map(|of| range[format!("minutes_{of}")].as_u64().unwrap());
        assert!((30..=31).contains(&minutes.iter().sum::<u64>()), "{range}");
        assert_eq!(range["availability"].as_f64().is_some(), 0 < minutes[..3].iter().sum::<u64>());
        let compared = &series["compared"];
        assert_eq!((&compared["sent"], &compared["availability"]), (&json!(0), &Value::Null));
        assert_eq!(compared["rtt_us_p95"], Value::Null);
        let difference = &series["difference"];
        assert_eq!((&difference["sent"], &difference["lost"]), (&json!(60), &json!(10)));
        assert_eq!(difference["rtt_us_mean"], Value::Null, "none is not zero");
    }
    assert_eq!(told["range"]["notes"], json!([]));
    // Compared with itself nothing differs; the end of the second range is its own.
    let same = path.replace(&time(now - 1_800 - day), &time(now - 1_800));
    let same = server.get(&format!("{same}&compare_to={}", time(now))).await;
    let difference = same["series"][0]["difference"].as_object().unwrap();
    let of_zero = |value: &Value| value.as_f64() == Some(0.0);
    assert!(difference.values().all(of_zero), "{difference:?}");
    // Of a range whose rounds are not all kept there are sums, and a note.
    let long = format!("/targets/{target}/summary?from={}", time(now - 30 * day));
    let long = server.get(&long).await;
    assert_eq!((&long["range"]["level"], &long["compared"]), (&json!("1h"), &Value::Null));
    let sum = &long["series"][0]["range"];
    assert_eq!((&sum["sent"], &sum["rtt_us_p50"]), (&json!(60), &Value::Null));
    assert!(sum["rtt_us_mean"].as_u64().unwrap().abs_diff(1_000) <= 4, "{sum}");
    let note = long["range"]["notes"][0].as_str().unwrap();
    assert!(note.starts_with("percentiles are told of rounds, which are kept for 14 days"));

    let refused = async |query: &str| {
        let answer = server.ask(Method::GET, &format!("/targets/{target}/summary?{query}")).await;
        assert_eq!(answer.status(), 422, "{query}");
        let told: Value = answer.json().await.unwrap();
        told["errors"][0].to_string()
    };
    let at = time(now);
    assert!(refused(&format!("compare_to={at}")).await.contains("must be given if `compare_to`"));
    let backwards = refused(&format!("compare_from={at}&compare_to={at}")).await;
    assert!(backwards.contains("compare_to") && backwards.contains("after `compare_from`"));
    let endless = refused("compare_from=1999-01-01T00:00:00Z&compare_to=2026-01-01T00:00:00Z");
    assert!(endless.await.contains("days after `compare_from`"));
}
