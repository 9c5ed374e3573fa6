//! `faultline trace` with a server, an agent and packets of their own.

use std::{path::Path, process::Output};

use serde_json::Value;

use crate::program::{Running, faultline};

fn run(data: &Path, arguments: &[&str]) -> (bool, String) {
    let output = faultline(arguments).arg("--data-dir").arg(data).output().unwrap();
    let Output { status, stdout, stderr } = output;
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// Which of both is expected depends on what this host permits, not on what tracing does.
#[test]
fn a_trace_is_shown_as_a_table_and_as_json_or_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut command = faultline(&["up", "--data-dir"]);
    command.arg(&data).args(["--http-listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"]);
    let mut up = Running::start(&mut command);
    up.line_with("running beside the server");
    let (_, said) = run(&data, &["traces"]);
    assert!(said.starts_with("there is no trace; `faultline trace"), "{said}");
    let (added, said) = run(&data, &["target", "add", "here", "127.0.0.1"]);
    assert!(added, "{said}");
    let (done, said) = loop {
        let (done, said) = run(&data, &["trace", "here", "--agent", "local", "--rounds", "2"]);
        if !said.contains("not connected") {
            break (done, said);
        }
    };
    if said.contains("CAP_NET_RAW") {
        assert!(!done);
    } else {
        assert!(done && said.contains("from local to here (127.0.0.1) by icmp"), "{said}");
        assert!(said.ends_with("the target answers\n"), "{said}");
        let by_address = ["trace", "127.0.0.1", "--agent", "local", "--udp", "--json"];
        let (done, said) = run(&data, &by_address);
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert!(done && last["end"] == "reached" && last["hops"][0]["hop"] == 1, "{said}");
        let (_, said) = run(&data, &["traces", "--target", "here"]);
        assert_eq!(said.lines().count(), 3, "{said}");
        let (_, said) = run(&data, &["traces", "1"]);
        assert!(said.contains("the target answers"), "{said}");
    }
    let (done, said) = run(&data, &["trace", "192.0.2.77", "--agent", "local"]);
    assert!(!done && said.contains("not the address of a target"), "{said}");
    assert!(up.stop());
}
