//! What a service manager hears of server and agent: real processes, a real socket.

use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::program::{Running, faultline};

/// How long the manager of this test waits for a word: without an end a failure would hang.
const PATIENCE: Duration = Duration::from_secs(20);

struct Manager(UnixDatagram);

impl Manager {
    /// Binds a socket and makes the command a service that is watched.
    fn of(dir: &Path, command: &mut Command) -> Manager {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "300000");
        command.env_remove("WATCHDOG_PID");
        Manager(socket)
    }

    /// Reads on to a message that begins so.
    fn hears(&self, start: &str) -> String {
        let mut bytes = [0; 512];
        loop {
            let length = self.0.recv(&mut bytes).unwrap();
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if text.starts_with(start) {
                return text;
            }
        }
    }
}

#[test]
fn a_manager_hears_when_the_server_is_ready_alive_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = faultline(&["server", "--data-dir"]);
    command.arg(dir.path().join("data")).stderr(Stdio::null());
    command.args(["--http-listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"]);
    let manager = Manager::of(dir.path(), &mut command);
    let mut server = Running::start(&mut command);
    assert!(manager.hears("READY=1").contains("STATUS=console http://127.0.0.1:"));
    // More often than the loop turns by itself: twice shows that it goes on.
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    assert!(server.stop());
    manager.hears("STOPPING=1");
}

#[test]
fn a_manager_hears_when_the_agent_is_ready_alive_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, ready) = Running::server(&dir.path().join("data"), &[]);
    let url = ready["http_url"].as_str().unwrap();
    let mut create = faultline(&["agent", "create", "fra1", "--json", "--url", url, "--data-dir"]);
    let made = create.arg(dir.path().join("data")).output().unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let state = dir.path().join("agent");
    let agent = |arguments: &[&str]| {
        let program = Path::new(env!("CARGO_BIN_EXE_faultline")).with_file_name("faultline-agent");
        assert!(program.exists(), "build it first: cargo build --bin faultline-agent");
        let mut command = Command::new(program);
        command.args(arguments).arg("--state-dir").arg(&state).stdin(Stdio::null());
        command
    };
    let token = made["token"].as_str().unwrap();
    assert!(agent(&["enroll", token]).output().unwrap().status.success());

    let mut run = agent(&["run"]);
    let manager = Manager::of(dir.path(), run.stderr(Stdio::null()));
    let mut running = Running::start(&mut run);
    assert_eq!(manager.hears("READY=1"), "READY=1\nSTATUS=agent fra1");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    assert!(running.stop());
    manager.hears("STOPPING=1");
    assert!(server.stop());
}
