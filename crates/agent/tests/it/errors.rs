//! Every mistake that is easily made: the thing, the reason, the remedy.

use std::{io::Write as _, net::TcpListener, path::Path, process::Command, thread};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

fn agent(state_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline-agent"));
    command.env_remove("FAULTLINE_AGENT_TOKEN").env_remove("FAULTLINE_AGENT_STATE_DIR");
    command.args(arguments).arg("--state-dir").arg(state_dir);
    command
}

#[track_caller]
fn check(command: &mut Command, parts: &[&str]) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{text}");
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

fn token(address: &str) -> String {
    let body = format!(r#"{{"a":["{address}"],"f":"{}","s":"x"}}"#, "ab".repeat(32));
    format!("flt1.{}", URL_SAFE_NO_PAD.encode(body))
}

#[test]
fn an_enrolment_that_cannot_be_says_why_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    check(&mut agent(dir.path(), &["enroll", "hello"]), &["flt1.", "faultline agent create"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refused = ["cannot be reached at", &free, "firewall", "refused"];
    check(&mut agent(dir.path(), &["enroll", &token(&free)]), &refused);

    // The console's port instead of the agents': it answers, but without TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap().to_string();
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let answers = [plain.as_str(), "not as our server", "7481"];
    check(&mut agent(dir.path(), &["enroll", &token(&plain)]), &answers);
    answering.join().unwrap();
}

#[test]
fn an_agent_that_cannot_run_says_why_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    check(&mut agent(dir.path(), &["run"]), &["not enrolled", "faultline agent create"]);
    let nowhere = Path::new("/dev/null/agent");
    check(&mut agent(nowhere, &["run"]), &["/dev/null/agent", "uid", "--state-dir"]);
    check(&mut agent(dir.path(), &["status"]), &["no agent has run"]);
    let _lock = ::agent::lock_state_dir(dir.path()).unwrap();
    let process = format!("(process {})", std::process::id());
    check(&mut agent(dir.path(), &["run"]), &["another agent", &process, "--state-dir"]);
}
