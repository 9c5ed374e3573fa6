//! The topology over the API: files in and out, single parts, paths, who names what.

use std::time::Duration;

use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Site, read};

const CSV: &str = "kind,id,role,site,device,end_a,end_b,cost,weight,customers\n\
    site,fra,,,,,,,,\n\
    device,core1,core,fra,,,,,,\n\
    device,core2,core,fra,,,,,,\n\
    device,acc1,access,,,,,,,250\n\
    interface,core1:e1,,,core1,,,,,\n\
    link,core1--core2,physical,,,core1:e1,core2,10,,\n\
    link,core1--acc1,,,,core1,acc1,10,,\n\
    link,core2--acc1,,,,core2,acc1,10,,\n\
    agent,fra1,,,core2,,,,,\n\
    target,acc1,,,acc1,,,,250,\n";

async fn import(site: &Site, query: &str, kind: &str, text: &str) -> (StatusCode, Value) {
    let request = site
        .request(Method::POST, &format!("/api/v1/topology/import{query}"))
        .bearer_auth(&site.key)
        .header(CONTENT_TYPE, kind)
        .body(text.to_owned());
    read(request.send().await.expect("an answer")).await
}

async fn export(site: &Site, format: &str) -> (String, String) {
    let path = format!("/api/v1/topology/export?format={format}");
    let request = site.request(Method::GET, &path).bearer_auth(&site.key);
    let answer = request.send().await.expect("an answer");
    let left_out = answer.headers()["x-left-out"].to_str().expect("a number").to_owned();
    (answer.text().await.expect("a text"), left_out)
}

/// Waits until the diagnosis is in a state.
async fn until(site: &Site, state: &str) -> Value {
    let patience = Duration::from_secs(20);
    let reached = async {
        loop {
            let diagnosis = site.get("/diagnosis").await;
            if diagnosis["state"] == state {
                return diagnosis;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, reached).await.expect("it did not come")
}

fn total(report: &Value, key: &str) -> u64 {
    report[key]["total"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_comes_out_again_in_every_format() {
    let site = Site::start().await;
    let (status, report) = import(&site, "?dry_run=true", "text/csv", CSV).await;
    assert_eq!((status, total(&report, "added")), (StatusCode::OK, 10), "{report}");
    assert_eq!(site.get("/topology").await["elements_total"], 0, "a dry run changes nothing");
    let (status, report) = import(&site, "", "text/csv", CSV).await;
    assert_eq!((status, total(&report, "added")), (StatusCode::OK, 10), "{report}");
    for format in ["json", "yaml", "csv"] {
        let (text, left_out) = export(&site, format).await;
        assert_eq!(left_out, "0");
        let query = format!("?format={format}&mode=replace");
        let (status, report) = import(&site, &query, "text/plain", &text).await;
        assert_eq!(status, StatusCode::OK, "{format}: {report}");
        assert_eq!(report["unchanged"], 10, "{format}: {report}");
    }
    for format in ["graphml", "topohub"] {
        let (text, left_out) = export(&site, format).await;
        assert_eq!(left_out, "4", "{format}: {text}");
        let query = format!("?format={format}&dry_run=true");
        let (_, report) = import(&site, &query, "text/plain", &text).await;
        assert_eq!(report["problems"], json!([]), "{format}: {report}");
    }
    let (_, report) = import(&site, "?mode=replace", "text/csv", "kind,id\ndevice,a\n").await;
    assert_eq!((total(&report, "removed"), total(&report, "added")), (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_fault_changes_nothing_and_each_fault_has_its_line() {
    let site = Site::start().await;
    let text = CSV.replace("core2--acc1,,,,core2,", "core2--acc1,,,,core9,");
    let (status, report) = import(&site, "?dry_run=true", "text/csv", &text).await;
    assert_eq!(status, StatusCode::OK);
    let problem = json!([{
        "field": "line 9: link `core2--acc1`, ends[0]",
        "reason": "there is no element `core9`: add it, or correct the id",
    }]);
    assert_eq!(report["problems"], problem);
    let (status, refused) = import(&site, "", "text/csv", &text).await;
    assert_eq!((status, &refused["errors"]), (StatusCode::UNPROCESSABLE_ENTITY, &problem));
    assert_eq!(site.get("/topology").await["elements_total"], 0);
    let (status, _) = import(&site, "", "text/plain", CSV).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, refused) = import(&site, "?format=xls", "text/csv", CSV).await;
    assert_eq!((status, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_and_an_agent_that_the_inventory_does_not_have_are_told_and_taken() {
    let site = Site::start().await;
    let target = json!({"name": "cpe-8", "address": "192.0.2.8"});
    site.expect(StatusCode::CREATED, Method::POST, "/targets", Some(target)).await;
    let agent = json!({"name": "fra1"});
    site.expect(StatusCode::CREATED, Method::POST, "/agents", Some(agent)).await;
    let rows = |target: &str, agent: &str| {
        format!("kind,id,device\ndevice,acc1,\nagent,{agent},acc1\ntarget,{target},acc1\n")
    };
    let warnings = json!([
        "target `cpe-9` is not in the inventory: no rounds will be counted for it; did you mean \
         `cpe-8`?",
        "agent `fre1` is not in the inventory: no rounds will be counted of it; did you mean \
         `fra1`?",
    ]);
    for query in ["?dry_run=true", ""] {
        let (status, report) = import(&site, query, "text/csv", &rows("cpe-9", "fre1")).await;
        assert_eq!((status, total(&report, "added")), (StatusCode::OK, 3), "{report}");
        assert_eq!(report["warnings"], warnings);
    }
    let checked = site.get("/topology/check").await;
    assert_eq!((&checked["warnings"], &checked["devices"]), (&warnings, &json!(1)));
    let (_, report) = import(&site, "?mode=replace", "text/csv", &rows("cpe-8", "fra1")).await;
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(site.get("/topology/check").await["warnings"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_parts_are_set_read_and_taken_out_unless_somebody_names_them() {
    let site = Site::start().await;
    import(&site, "", "text/csv", CSV).await;
    let path = "/topology/elements/core1%20b%2F1";
    let element = json!({
        "id": "core1 b/1", "kind": "device", "role": "core", "site": "fra",
        "needs": [{"any": ["core1", "core2"]}],
    });
    let set = site.expect(StatusCode::OK, Method::PUT, path, Some(element.clone())).await;
    assert_eq!(set, element);
    assert_eq!(site.get(path).await, element);
    let version = site.get("/topology").await["version"].clone();
    site.expect(StatusCode::OK, Method::PUT, path, Some(element.clone())).await;
    assert_eq!(site.get("/topology").await["version"], version, "the same again is no change");

    let wrong = json!({"id": "x", "kind": "device"});
    let (status, refused) = site.send(Method::PUT, path, Some(wrong)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused["errors"][0]["field"], "id");
    let wrong = json!({"id": "core1 b/1", "kind": "device", "site": "nowhere"});
    let (_, refused) = site.send(Method::PUT, path, Some(wrong)).await;
    let reason = "there is no element `nowhere`: add it, or correct the id";
    assert_eq!(refused["errors"][0]["reason"], reason);

    let (status, refused) = site.send(Method::DELETE, "/topology/elements/core1", None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let detail = super::text(&refused["detail"]);
    assert!(detail.starts_with("`core1` is still named by"), "{detail}");
    assert!(detail.contains("interface `core1:e1`, device"), "{detail}");
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, path, None).await;
    let (status, _) = site.send(Method::DELETE, path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let target = json!({"id": "acc1", "device": "core2", "weight": 7});
    let path = "/topology/targets/acc1";
    assert_eq!(site.expect(StatusCode::OK, Method::PUT, path, Some(target.clone())).await, target);
    site.expect(StatusCode::NO_CONTENT, Method::DELETE, path, None).await;
    let audit = site.get("/audit").await;
    assert_eq!(audit["items"][0]["action"], "topology.remove");
    assert_eq!(audit["items"][1]["after"], target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_topology_is_read_by_site_device_and_kind() {
    let site = Site::start().await;
    import(&site, "", "text/csv", CSV).await;
    let ids = async |query: &str| {
        let found = site.get(&format!("/topology{query}")).await;
        let of = |key: &str| -> Vec<String> {
            let list = found[key].as_array().expect("a list").iter();
            list.map(|item| super::text(&item["id"])).collect()
        };
        (of("elements"), of("targets"))
    };
    let (elements, targets) = ids("?device=acc1").await;
    assert_eq!(elements, ["acc1", "core1--acc1", "core2--acc1"]);
    assert_eq!(targets, ["acc1"]);
    let (elements, _) = ids("?site=fra").await;
    assert_eq!(elements.len(), 8, "{elements:?}");
    assert_eq!(ids("?kind=site").await, (vec!["fra".to_owned()], vec![]));
    let (status, _) = site.send(Method::GET, "/topology?kind=router", None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_paths_of_a_pair_follow_the_links_and_their_costs() {
    let site = Site::start().await;
    import(&site, "", "text/csv", CSV).await;
    let paths = site.get("/paths?agent=fra1&target=acc1").await;
    assert_eq!(
        (&paths["source"], paths["routes"].as_array().map(Vec::len)),
        (&json!("spf"), Some(1))
    );
    let way = |paths: &Value, route: usize| -> Vec<String> {
        let steps = paths["routes"][route]["elements"].as_array().expect("steps").iter();
        steps.map(|step| super::text(&step["id"])).collect()
    };
    assert_eq!(way(&paths, 0), ["fra1", "core2", "core2--acc1", "acc1"]);
    let dear = json!({"id": "core2--acc1", "kind": "link", "ends": ["core2", "acc1"], "cost": 20});
    let path = "/topology/elements/core2--acc1";
    site.expect(StatusCode::OK, Method::PUT, path, Some(dear)).await;
    let paths = site.get("/paths?agent=fra1&target=acc1").await;
    assert_eq!(paths["routes"].as_array().map(Vec::len), Some(2), "equal ways: {paths}");
    assert_eq!(paths["routes"][0]["share"], 0.5);
    let (status, _) = site.send(Method::GET, "/paths?agent=fra1&target=none", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, refused) = site.send(Method::GET, "/paths?agent=fra1", None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused["errors"][0]["field"], "target");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_topology_the_diagnosis_says_what_is_missing() {
    let site = Site::start().await;
    let diagnosis = until(&site, "no_topology").await;
    let missing = super::text(&diagnosis["missing"][0]);
    assert!(missing.contains("faultline topology import FILE"), "{missing}");
    import(&site, "", "text/csv", CSV).await;
    let diagnosis = until(&site, "judged").await;
    assert_eq!(diagnosis["incidents"], json!([]));
    let missing = super::text(&diagnosis["missing"][0]);
    assert!(missing.starts_with("no rounds were heard yet"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_lost_is_said_without_changing_anything() {
    let site = Site::start().await;
    let (status, report) = import(&site, "", "text/csv", CSV).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    let one = site.get("/topology/what-if?down=core1--acc1").await;
    assert_eq!((&one["weight"], &one["targets_rerouted"]), (&json!(0), &json!(0)), "{one}");
    assert_eq!(one["devices_exposed"]["ids"], json!(["acc1", "core1"]), "{one}");
    let both = site.get("/topology/what-if?down=core1--acc1,%20core2--acc1").await;
    assert_eq!(
        both["sentence"],
        "without core1--acc1 and core2--acc1 nobody reaches 1 target of weight 250: acc1"
    );
    assert_eq!((&both["customers"], &both["weight_total"]), (&json!(250), &json!(250)), "{both}");
    let points = site.get("/topology/single-points").await;
    let named: Vec<&str> = points["single_points"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|point| point["element"].as_str())
        .collect();
    assert_eq!(named, ["acc1", "core2", "fra"], "{points}");
    for (query, reason) in [("", "is missing"), ("?down=r9", "there is no element `r9`")] {
        let (status, problem) =
            site.send(Method::GET, &format!("/topology/what-if{query}"), None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem.to_string().contains(reason), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_and_an_agent_that_are_called_otherwise_stay_where_they_stand() {
    let site = Site::start().await;
    let csv = "kind,id,device,weight,needs\n\
        device,r1,,,\n\
        agent,fra1,r1,,\n\
        target,cpe-17,r1,120,\n\
        target,cpe-18,r1,1,all: cpe-17\n";
    let (status, report) = import(&site, "", "text/csv", csv).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    let target = site.target("cpe-17", "192.0.2.17").await;
    let agent = site.post("/agents", json!({ "name": "fra1" })).await;
    let agent = agent["agent"]["id"].as_u64().expect("a number");
    for (path, name) in
        [(format!("/targets/{target}"), "cpe-17b"), (format!("/agents/{agent}"), "fra-one")]
    {
        site.expect(StatusCode::OK, Method::PATCH, &path, Some(json!({ "name": name }))).await;
    }
    let (text, _) = export(&site, "csv").await;
    assert!(text.contains("agent,fra1,fra-one,"), "{text}");
    assert!(text.contains("target,cpe-17b,") && text.contains("all: cpe-17b"), "{text}");
    let paths = site.get("/paths?agent=fra-one&target=cpe-17b").await;
    assert_eq!(paths["source"], "spf", "{paths}");
    // What cannot follow is refused: `r1` would take over that something needs `cpe-17b`.
    for (name, reason) in [("cpe-18", "another target `cpe-18`"), ("r1", "would take over")] {
        let body = Some(json!({ "name": name }));
        let path = format!("/targets/{target}");
        let (status, problem) = site.send(Method::PATCH, &path, body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem.to_string().contains(reason), "{problem}");
    }
}
