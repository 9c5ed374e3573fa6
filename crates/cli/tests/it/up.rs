//! `up` keeps a local agent running, unless a person stopped it.

use std::{path::Path, process::Stdio};

use crate::program::{Running, faultline, pid_in, signal};

fn up(dir: &Path) -> std::process::Command {
    let mut command = faultline(&["up", "--data-dir"]);
    command.arg(dir).args(["--http-listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"]);
    command.stderr(Stdio::inherit());
    command
}

#[test]
fn an_agent_that_died_comes_back_and_one_that_was_stopped_waits_for_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(&mut up(dir.path()));
    let console = running.line_with("Console");
    let first = pid_in(&running.line_with("running beside the server"));
    // What a shell needs to find the program, which tests do not have in their PATH.
    let export = running.line_with("export PATH=");
    let folder = Path::new(env!("CARGO_BIN_EXE_faultline")).parent().unwrap();
    assert_eq!(export.trim(), format!("export PATH=\"{}:$PATH\"", folder.display()));

    signal(first, "KILL");
    let died = running.line_with("died");
    assert!(died.contains("started again in 1 s"), "{died}");
    let second = pid_in(&running.line_with("runs again"));
    assert_ne!(second, first);

    signal(second, "TERM");
    let stopped = running.line_with("was stopped");
    assert!(stopped.contains("Unknown, not Down"), "{stopped}");
    // The command that it says, as it says it.
    let said = running.line_with("up --data-dir");
    let mut words = said.split_whitespace();
    let mut again = std::process::Command::new(words.next().unwrap());
    let told = again.args(words).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("is up already") && told.contains("started again"), "{told}");
    assert!(told.contains(console.trim().trim_start_matches("Console").trim()), "{told}");
    let third = pid_in(&running.line_with("runs again"));
    assert_ne!(third, second);

    // Once more, with nothing to do.
    let told = up(dir.path()).output().unwrap();
    assert!(String::from_utf8(told.stdout).unwrap().contains("The local agent is running"));

    // It can be found by its data directory alone, and its addresses do not change meanwhile.
    let status = faultline(&["status", "--data-dir"]).arg(dir.path()).output().unwrap();
    let complaint = String::from_utf8(status.stderr).unwrap();
    assert!(status.status.success() && complaint.is_empty(), "{complaint}");
    let mut elsewhere = faultline(&["up", "--http-listen", "127.0.0.1:1", "--data-dir"]);
    let told = elsewhere.arg(dir.path()).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    let remedy = format!("kill {}", running.pid());
    for part in ["--http-listen 127.0.0.1:1 is not in use", &remedy] {
        assert!(!told.status.success() && text.contains(part), "{text}");
    }

    assert!(running.stop());
    running.line_with("The local agent stopped in");
    running.line_with("The server stopped in");
    assert!(!Path::new(&format!("/proc/{third}")).exists());
    assert!(!dir.path().join("up.sock").exists());
}
