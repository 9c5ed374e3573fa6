//! `faultline maintenance` against a server of its own.

use std::path::Path;

use serde_json::Value;

use crate::program::{Running, faultline};

fn run(data: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = faultline(&["maintenance"]);
    let output = command.args(arguments).arg("--data-dir").arg(data).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
fn a_window_is_looked_at_planned_extended_ended_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, _) = Running::server(&data, &[]);
    let (code, said) = run(&data, &["list"]);
    assert!(code == 0 && said.starts_with("there is no such window; `faultline"), "{said}");

    let weekly = [
        "fan tray",
        "--element",
        "r2",
        "--tag",
        "vip",
        "--zone",
        "Europe/Berlin",
        "--start",
        "2127-03-23T02:30",
        "--end",
        "2127-03-23T04:30",
        "--rule",
        "FREQ=WEEKLY;COUNT=2",
    ];
    let (code, said) = run(&data, &[&["preview"][..], &weekly].concat());
    assert!(code == 0 && said.starts_with("silent: 0 targets\n  behind 0 devices"), "{said}");
    assert!(said.contains("not there, and so without effect: tag vip, r2\n"), "{said}");
    let bent = "2127-03-30T03:30:00+02:00 to 2127-03-30T05:30:00+02:00  (the clocks change)";
    assert!(said.contains(bent), "{said}");
    let (_, said) = run(&data, &["list"]);
    assert!(said.starts_with("there is no such window"), "a preview keeps nothing: {said}");

    let (code, said) = run(&data, &[&["add"][..], &weekly].concat());
    assert!(code == 0 && said.starts_with("planned as #1: 2127-03-23T02:30:00+01:00 to"), "{said}");
    let (code, said) = run(&data, &["add", "all of it", "--all", "--for", "1h"]);
    assert!(code == 0 && said.starts_with("planned as #2: "), "{said}");
    let (_, said) = run(&data, &["list"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[1].starts_with("#2  open") && lines[1].contains("everything"), "{said}");
    assert!(lines[2].starts_with("#1  planned") && lines[2].contains("r2, tag vip"), "{said}");

    let (code, said) = run(&data, &["extend", "2", "--by", "30m", "--json"]);
    let longer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &longer["amended_total"]), (0, &Value::from(1)), "{said}");
    let (code, said) = run(&data, &["end", "2"]);
    assert!(code == 0 && said.starts_with("#2 ended: in a minute you hear"), "{said}");
    let (code, said) = run(&data, &["end", "2"]);
    assert!(code == 1 && said.contains("it is not open now"), "{said}");
    let (code, said) = run(&data, &["cancel", "1"]);
    assert!(code == 0 && said == "#1 is cancelled\n", "{said}");
    let (_, said) = run(&data, &["show", "1"]);
    assert!(said.starts_with("#1 fan tray: cancelled\n"), "{said}");
    let (_, said) = run(&data, &["list", "--past"]);
    assert_eq!(said.lines().count(), 3, "{said}");

    let (code, said) = run(&data, &["add", "x", "--target", "r1", "--end", "soon"]);
    assert!(code == 1 && said.contains("end: must be a time such as"), "{said}");
    assert_eq!(run(&data, &["add", "x", "--for", "1h"]).0, 2, "of what");
    assert!(server.stop());
}
