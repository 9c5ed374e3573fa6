//! Browser tests against the real thing: a server and an enrolled agent of their own, on free
//! ports, with data in a folder that is gone afterwards.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::shell;

const USER: &str = "admin";

/// What a server says when it is ready.
#[derive(Debug, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) http_url: String,
    admin_password: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Created {
    token: String,
}

/// A process that ends with its owner.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A folder that goes with its owner.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> anyhow::Result<Scratch> {
        let name = format!("faultline-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).context("cannot make a folder for the data")?;
        Ok(Scratch(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Runs the console's browser tests against the programs in `folder`.
pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    let scratch = Scratch::new("e2e")?;
    let data = scratch.0.join("data");

    let (_server, announced) = start_server(folder, &data, &scratch.0.join("server.log"))?;
    let made = shell::output(
        Command::new(folder.join("faultline"))
            .args(["agent", "create", "local", "--json", "--url", &announced.http_url])
            .arg("--data-dir")
            .arg(&data),
    )?;
    let made: Created = serde_json::from_str(&made).context("no token for the agent")?;
    let state = data.join("agent");
    let agent = || Command::new(folder.join("faultline-agent"));
    shell::output(agent().args(["enroll", &made.token, "--state-dir"]).arg(&state))?;
    let log = fs::File::create(scratch.0.join("agent.log")).context("cannot make a log")?;
    let _agent = Running(
        agent()
            .args(["run", "--state-dir"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start the agent")?,
    );

    let result = shell::run(
        shell::npm_exec("playwright")
            .arg("test")
            .env("FAULTLINE_E2E_URL", &announced.http_url)
            .env("FAULTLINE_E2E_USER", USER)
            .env("FAULTLINE_E2E_PASSWORD", announced.admin_password.unwrap_or_default()),
    );
    if result.is_err() {
        for name in ["server.log", "agent.log"] {
            let text = fs::read_to_string(scratch.0.join(name)).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(20).collect();
            println!("── the end of {name}");
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
    }
    result
}

/// Starts a server on free ports and waits until it is ready.
pub(crate) fn start_server(
    folder: &Path,
    data: &Path,
    log: &Path,
) -> anyhow::Result<(Running, Announcement)> {
    let mut server = Command::new(folder.join("faultline"))
        .args(["server", "--announce-json", "--http-listen=127.0.0.1:0"])
        .args(["--agent-listen=127.0.0.1:0", "--data-dir"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(log).context("cannot make a log")?)
        .spawn()
        .context("cannot start the server")?;
    let stdout = server.stdout.take().context("the server has no output")?;
    let server = Running(server);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).context("the server's output broke off")?;
    if line.is_empty() {
        bail!("the server did not start: {}", fs::read_to_string(log).unwrap_or_default());
    }
    let announced = serde_json::from_str(&line)
        .with_context(|| format!("the server said something unexpected: {line}"))?;
    Ok((server, announced))
}
