//! What watching would cost, over the API.

use reqwest::{Method, StatusCode};

use super::{Site, errors};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_disk_by_level_memory_and_packets() {
    let site = Site::start().await;
    let plan = site.get("/plan?targets=1000&agents=3&interval_s=60&packets=10").await;
    let levels = plan["levels"].as_array().expect("levels");
    let names: Vec<_> = levels.iter().map(|level| level["name"].as_str().expect("text")).collect();
    let told = "rounds minutes agent_5m agent_1h agent_1d target_5m target_1h target_1d";
    assert_eq!(names.join(" "), format!("{told} unmerged free log"));
    // 14 days unless configured, 1,440 rounds a day.
    assert_eq!(levels[0]["records"], 3_000 * 1_440 * 14);
    let bytes: u64 = levels.iter().filter_map(|level| level["bytes"].as_u64()).sum();
    assert_eq!(plan["disk_bytes"], bytes);
    assert_eq!(plan["results_per_s"], 50.0);
    assert_eq!(plan["together"]["packets_per_s"], 500.0);
    assert_eq!(plan["together"]["bits_per_s"], 336_000.0);
    let standard = site.get("/plan?targets=1000&agents=3").await;
    assert_eq!(standard["results_per_s"], 100.0, "every 30 s");
    assert_eq!(standard["together"]["packets_per_s"], 500.0, "5 packets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_what_no_tier_may_have_names_each_field() {
    let site = Site::start().await;
    let path = "/plan?targets=0&interval_s=4&packets=many";
    let (status, problem) = site.send(Method::GET, path, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        errors(&problem),
        "targets: must be a number from 1 to 10000000\n\
         agents: must be a number from 1 to 1000\n\
         interval_s: must be a number from 5 to 3600\n\
         packets: must be a number from 1 to 20\n"
    );
}
