//! `doctor` on a real data directory, with its server running and stopped.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;

use crate::program::{Running, faultline};

/// Runs it; returns whether it found no problem, and its checks.
fn doctor(dir: &Path, arguments: &[&str]) -> (bool, Vec<Value>) {
    let mut command = faultline(&["doctor", "--json", "--data-dir"]);
    let output = command.arg(dir).args(arguments).output().unwrap();
    let checks = serde_json::from_slice(&output.stdout);
    let checks = checks.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), checks)
}

fn state<'a>(checks: &'a [Value], name: &str) -> (&'a str, &'a str) {
    let found = checks.iter().find(|check| check["name"] == name);
    let check = found.unwrap_or_else(|| panic!("no `{name}` in {checks:#?}"));
    (check["state"].as_str().unwrap(), check["detail"].as_str().unwrap())
}

#[test]
fn it_looks_at_an_installation_that_runs_and_at_one_that_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, ready) = Running::server(&data, &[]);
    let url = ready["http_url"].as_str().unwrap();
    let console = url.trim_start_matches("http://");
    let agents = ready["agent_address"].as_str().unwrap();
    let listens = ["--url", url, "--http-listen", console, "--agent-listen", agents];

    let (_, checks) = doctor(&data, &listens);
    for name in ["data directory", "keys", "authority", "console port", "agents' port", "server"] {
        assert_eq!(state(&checks, name).0, "ok", "{checks:#?}");
    }
    assert!(state(&checks, "server").1.contains("runs and answers"));
    assert!(state(&checks, "authority").1.contains("fingerprint"));
    // The server's own checks, with its word for them: there is no agent yet.
    assert_eq!(state(&checks, "server: agents").0, "warning");
    assert_eq!(state(&checks, "server: parts").0, "ok");
    // Nothing is wrong with it, and yet it can name no cause and tells nobody.
    assert!(matches!(state(&checks, "topology"), ("warning", text) if text.contains("cause")));
    assert!(matches!(state(&checks, "webhooks"), ("warning", text) if text.contains("nobody")));

    assert!(server.stop());
    let (is_well, checks) = doctor(&data, &listens);
    assert!(is_well, "{checks:#?}");
    assert_eq!(state(&checks, "server").0, "warning");
    assert!(state(&checks, "console port").1.contains("is free"));
}

#[test]
fn a_problem_is_named_with_its_remedy_and_the_exit_status_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (is_well, checks) = doctor(&dir.path().join("nowhere"), &[]);
    assert!(!is_well);
    assert_eq!(state(&checks, "data directory").0, "problem");

    let data = dir.path().join("data");
    let (mut server, _) = Running::server(&data, &[]);
    assert!(server.stop());
    let key = data.join("keys/master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (is_well, checks) =
        doctor(&data, &["--http-listen", &address, "--agent-listen", "127.0.0.1:0"]);
    assert!(!is_well);
    assert!(matches!(state(&checks, "keys"), ("problem", text) if text.contains("mode 644")));
    assert!(matches!(state(&checks, "console port"), ("problem", text) if text.contains(&address)));
    assert!(checks.iter().all(|check| check["state"] == "ok" || check["remedy"] != ""));
}
