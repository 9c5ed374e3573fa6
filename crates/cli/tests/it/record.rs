//! Looking at a target, and pausing an agent, from the command line.

use std::{path::Path, process::Output};

use crate::program::{Running, complaint, faultline};

/// Runs a command against the server of a data directory; it must succeed.
fn said(dir: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        faultline(arguments).arg("--data-dir").arg(dir).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success() && stderr.is_empty(), "{arguments:?}: {stderr}");
    String::from_utf8(stdout).unwrap()
}

#[test]
fn a_target_is_shown_with_its_state_its_agents_and_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, _) = Running::server(dir.path(), &[]);
    said(dir.path(), &["agent", "create", "fra1"]);
    said(dir.path(), &["target", "add", "core1", "192.0.2.1"]);
    let shown = said(dir.path(), &["target", "show", "core1"]);
    for part in ["core1  192.0.2.1, tier standard, asked every", "unknown since 2", "AGENT", "fra1"]
    {
        assert!(shown.contains(part), "no `{part}` in:\n{shown}");
    }
    let shown = said(dir.path(), &["target", "show", "core1", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["status"]["target"]["name"], "core1");
    assert!(shown["changes"].is_array());

    let history = said(dir.path(), &["history", "core1", "--last", "10m"]);
    assert!(history.starts_with("FROM") && history.contains("unknown"), "{history}");
    let buckets = said(dir.path(), &["history", "core1", "--last", "6h", "--span", "5m"]);
    assert!(buckets.contains("MIN DOWN") && 72 <= buckets.lines().count(), "{buckets}");
    let series = said(dir.path(), &["history", "core1", "--json", "--agent", "fra1"]);
    let series: serde_json::Value = serde_json::from_str(&series).unwrap();
    assert_eq!(series["agent"]["name"], "fra1");

    let compared = ["history", "core1", "--last", "10m", "--compare", "1d"];
    let told = said(dir.path(), &compared);
    assert!(told.starts_with("core1\nthis:   2") && told.contains("\nbefore: 2"), "{told}");
    assert!(told.contains("fra1     minutes unknown"), "{told}");
    let told = said(dir.path(), &[&compared[..], &["--json", "--agent", "fra1"]].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["series"].as_array().unwrap().len(), 1);
    assert_eq!(told["series"][0]["agent"]["name"], "fra1");
    let minutes = told["series"][0]["compared"]["minutes_unknown"].as_u64().unwrap();
    assert!((10..=11).contains(&minutes), "{told}");

    let at = |arguments: &[&str]| complaint(faultline(arguments).arg("--data-dir").arg(dir.path()));
    assert!(at(&["target", "show", "core2"]).contains("there is no target named `core2`"));
    assert!(at(&["history", "core1", "--agent", "ams2"]).contains("no agent named `ams2`"));
    assert!(at(&["history", "core1", "--last", "6"]).contains("90m, 6h, 7d or 1y"));
}

#[test]
fn an_agent_is_paused_and_asks_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, _) = Running::server(dir.path(), &[]);
    said(dir.path(), &["agent", "create", "fra1"]);
    let paused = || {
        let list = said(dir.path(), &["agent", "list", "--json"]);
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        list["items"].get(0).or(list.get(0)).unwrap()["is_paused"].as_bool()
    };
    assert!(said(dir.path(), &["agent", "pause", "fra1"]).contains("faultline agent resume fra1"));
    assert_eq!(paused(), Some(true));
    assert!(said(dir.path(), &["agent", "resume", "fra1"]).contains("asks again"));
    assert_eq!(paused(), Some(false));
}

/// The first password lies in a file, as no terminal was there, until it is changed.
#[test]
fn the_file_with_the_first_password_goes_when_the_password_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = faultline(&["up", "--no-agent", "--data-dir"]);
    up.arg(dir.path()).args(["--http-listen", "127.0.0.1:0", "--agent-listen", "0.0.0.0:0"]);
    let mut first = Running::start(&mut up);
    assert!(first.line_with("User").contains("first-password"));
    let agents = first.line_with("connect to");
    assert!(agents.contains("of any address of this host"), "{agents}");
    assert!(first.stop());
    let mut again = Running::start(&mut up);
    let told = again.line_with("User");
    assert!(told.contains("until it is changed"), "{told}");
    assert!(dir.path().join("first-password").exists());
    said(dir.path(), &["user", "reset-password", "admin"]);
    assert!(!dir.path().join("first-password").exists());
    assert!(again.stop());
}

#[test]
fn an_up_that_fails_says_why_it_and_not_the_one_before_did() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    std::fs::write(dir.path().join("logs/server.log"), "of the day before\n".repeat(9)).unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut up = faultline(&["up", "--no-agent", "--agent-listen", "127.0.0.1:0", "--data-dir"]);
    let why = complaint(up.arg(dir.path()).args(["--http-listen", &address]));
    assert!(why.contains("did not start") && why.contains(&address), "{why}");
    assert!(!why.contains("of the day before"), "{why}");
}
