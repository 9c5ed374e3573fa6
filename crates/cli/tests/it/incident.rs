//! `faultline incidents` and `faultline incident` against a server on which nothing is the matter:
//! what they ask and what they say. What people do to a real one is shown with the server.

use std::path::Path;

use serde_json::Value;

use crate::program::{Running, faultline};

fn run(data: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = faultline(arguments);
    let output = command.arg("--data-dir").arg(data).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), said + &String::from_utf8(output.stderr).unwrap())
}

#[test]
fn filters_are_asked_as_typed_and_what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, _) = Running::server(&data, &[]);
    let (code, said) = run(&data, &["incidents"]);
    assert!(code == 0 && said.starts_with("No incident is open. --state past"), "{said}");
    let filters = ["--state=past", "--severity=critical,minor", "--owner=-", "--last=7d"];
    let others = ["--element=r1", "--target=t 1", "--query=#12", "--sort=-opened", "--json"];
    let (code, said) = run(&data, &[&["incidents"], &filters[..], &others[..]].concat());
    let page: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &page["open"]), (0, &Value::from(0)), "{said}");
    let (code, said) = run(&data, &["incidents", "--state", "burning"]);
    assert!(code == 1 && said.contains("state: must be one of open, resolved, closed"), "{said}");

    for command in [
        &["incident", "#7"][..],
        &["incident", "ack", "7"],
        &["incident", "unack", "7"],
        &["incident", "assign", "7", "--nobody"],
        &["incident", "comment", "7", "hello"],
        &["incident", "close", "7", "line", "--force"],
        &["incident", "reopen", "7"],
        &["incident", "export", "7", "-"],
        &["incident", "report", "7", "-"],
    ] {
        let (code, said) = run(&data, command);
        assert!(code == 1 && said.contains("there is no such incident"), "{command:?}: {said}");
    }
    let (code, said) = run(&data, &["incident", "close", "7", "gremlins"]);
    assert!(code == 1 && said.contains("CODE: must be one of hardware, line"), "{said}");
    assert_eq!(run(&data, &["incident", "seven"]).0, 2);
    assert_eq!(run(&data, &["incident", "assign", "7"]).0, 2, "to whom");
    assert!(server.stop());
}
