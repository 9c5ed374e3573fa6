//! `faultline fact` and `faultline facts` against a server of their own.

use std::{
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::program::{Running, faultline};

fn run(data: &Path, arguments: &[&str], input: &str) -> (i32, String) {
    let mut command = faultline(arguments);
    command.arg("--data-dir").arg(data).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code().unwrap(), said)
}

#[test]
fn what_is_reported_is_listed_and_what_is_wrong_with_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, _) = Running::server(&data, &[]);
    let (code, said) = run(&data, &["facts"], "");
    assert!(code == 0 && said.starts_with("there is no such fact; `faultline fact"), "{said}");

    let one = ["fact", "r2--r3", "interface_down", "--end", "r2", "--source", "snmp-fra"];
    let (code, said) = run(&data, &one, "");
    assert!(code == 0 && said.starts_with("1 new, 0 known already"), "{said}");
    assert!(said.contains("the topology does not know r2--r3"), "{said}");
    let (_, said) = run(&data, &one, "");
    assert!(said.starts_with("0 new, 1 known already"), "{said}");

    let many = r#"{"facts": [{"element": "r3", "kind": "sessions_dropped", "value": 300,
        "since": "2026-01-02T03:04:05Z", "seen": "2026-01-02T03:04:05Z"}]}"#;
    let (code, said) = run(&data, &["fact", "--file", "-"], many);
    assert!(code == 0 && said.starts_with("1 new"), "{said}");

    let (_, said) = run(&data, &["facts"], "");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[1].contains("sessions dropped, value 300  stale; no such"), "{said}");
    assert!(lines[2].contains("interface down, at r2        fresh; no such element"), "{said}");
    let only = ["facts", "--kind=interface_down", "--source=snmp-fra", "--last=1h", "--latest"];
    let (_, said) = run(&data, &[&only[..], &["--element=r2--r3", "--json"]].concat(), "");
    let page: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{said}");

    let (code, said) = run(&data, &["fact", "r3", "on_fire"], "");
    assert!(code == 1 && said.contains("kind: must be one of interface_down"), "{said}");
    let (code, said) = run(&data, &["fact", "--file", "/nowhere"], "");
    assert!(code == 1 && said.contains("cannot read `/nowhere`"), "{said}");
    assert_eq!(run(&data, &["fact", "r3"], "").0, 2, "what is reported");
    assert!(server.stop());
}
