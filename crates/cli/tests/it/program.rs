//! Starting the program, and reading what it says.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

/// The program with nothing of this process's environment that it listens to.
pub(crate) fn faultline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
    for name in ["URL", "API_KEY", "DATA_DIR", "HTTP_LISTEN", "AGENT_LISTEN", "CONFIG"] {
        command.env_remove(format!("FAULTLINE_{name}"));
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end, which must be a failure; returns what it complained.
pub(crate) fn complaint(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && stdout.is_empty(), "{status}: {text}");
    text
}

/// A process that is ended with its test.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// A server on ports of its own, and where its console is.
    pub(crate) fn server(dir: &Path, arguments: &[&str]) -> (Running, serde_json::Value) {
        let mut command = faultline(&["server", "--announce-json", "--data-dir"]);
        command.arg(dir).args(["--http-listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"]);
        let mut server = Running::start(command.args(arguments).stderr(Stdio::null()));
        let line = server.line_with("http_url");
        (server, serde_json::from_str(&line).unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads on to the line that contains this.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "the output ended without `{part}`:\n{seen}");
            if line.contains(part) {
                return line;
            }
            seen += &line;
        }
    }

    /// Asks it to end, and waits; returns whether it ended well.
    pub(crate) fn stop(&mut self) -> bool {
        signal(self.pid(), "TERM");
        self.child.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // So that a test that fails leaves nothing behind.
        self.child.kill().unwrap_or(());
        self.child.wait().unwrap();
    }
}

/// The number in `… (process 4711)…`.
pub(crate) fn pid_in(line: &str) -> u32 {
    let (_, rest) = line.split_once("(process ").unwrap();
    rest.split_once(')').unwrap().0.parse().unwrap()
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}
