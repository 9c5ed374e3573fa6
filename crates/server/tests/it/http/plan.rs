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
    let longer = site.get("/plan?targets=1000&agents=3&rounds_days=28&target_1d_days=10").await;
    let records = |plan: &serde_json::Value, level: usize| plan["levels"][level]["records"].clone();
    assert_eq!(records(&longer, 0), 3_000 * 2_880 * 28);
    assert_eq!(records(&longer, 1), records(&standard, 1), "as the server keeps them");
    assert_eq!(records(&longer, 7), 1_000 * 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_what_no_tier_may_have_names_each_field() {
    let site = Site::start().await;
    let path = "/plan?targets=0&interval_s=4&packets=many&agent_1h_days=0";
    let (status, problem) = site.send(Method::GET, path, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        errors(&problem),
        "targets: must be a number from 1 to 10000000\n\
         agents: must be a number from 1 to 1000\n\
         interval_s: must be a number from 5 to 3600\n\
         packets: must be a number from 1 to 20\n\
         agent_1h_days: must be a number from 1 to 36500\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_keeps_its_history_for_its_own_days() {
    let site = Site::start().await;
    let body = serde_json::json!({ "name": "gold", "kept_days": { "rounds": 60, "minutes": 200 } });
    let (status, tier) = site.send(Method::POST, "/tiers", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    let kept = &tier["kept_days"];
    assert_eq!((&kept["rounds"], &kept["agent_5m"]), (&60.into(), &serde_json::Value::Null));
    let path = format!("/tiers/{}", tier["id"]);
    // What is not named stays as a whole; what is named is taken as a whole.
    let (_, same) =
        site.send(Method::PATCH, &path, Some(serde_json::json!({ "packets": 4 }))).await;
    assert_eq!(same["kept_days"], tier["kept_days"]);
    let body = serde_json::json!({ "kept_days": { "target_1d": 900, "minutes": null } });
    let (_, changed) = site.send(Method::PATCH, &path, Some(body)).await;
    let kept = &changed["kept_days"];
    assert_eq!((&kept["target_1d"], &kept["rounds"]), (&900.into(), &serde_json::Value::Null));
    let all = site.get("/tiers").await;
    assert_eq!(all["kept_days"]["rounds"], 14, "what the server keeps where a tier says nothing");
    let body = serde_json::json!({ "kept_days": { "rounds": 0, "agent_1h": 36_501 } });
    let (status, problem) = site.send(Method::PATCH, &path, Some(body)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let must = "must be from 1 to 36500 days, or null for as long as the server keeps it";
    let expected = format!("kept_days.rounds: {must}\nkept_days.agent_1h: {must}\n");
    assert_eq!(errors(&problem), expected);
}
