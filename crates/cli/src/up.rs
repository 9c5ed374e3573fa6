//! `faultline up`: a server and a local agent on one machine, as two processes.
//!
//! Two processes, so that the server never needs network privileges and the local agent is
//! enrolled, authenticated and fenced like any other. This one only starts them, tells the person
//! where to look, and passes on the end.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::{
    args::{API_KEY_VARIABLE, Connection, UpArgs},
    client::{self, Client},
};

const LOCAL_AGENT_NAME: &str = "local";
/// A start with a large database replays its log first.
const READY_MAX: Duration = Duration::from_secs(120);
/// Time for the server to bring everything to disk.
const STOP_MAX: Duration = Duration::from_secs(20);
/// A log larger than this is set aside at the next start; one older one is kept.
const LOG_BYTES_MAX: u64 = 32 << 20;
/// An agent that dies is started again, but not more often than this.
const AGENT_RESTART_PAUSE: Duration = Duration::from_secs(3);

/// What a server says on its standard output when it is ready.
#[derive(Debug, Deserialize)]
struct Announcement {
    http_url: String,
    agent_address: String,
    admin_password: Option<String>,
}

/// Starts both, waits for a signal or the server's end, stops both.
pub(crate) async fn run(connection: Connection, args: UpArgs) -> anyhow::Result<()> {
    let data_dir = connection.data_dir.clone();
    let logs = data_dir.join("logs");
    // Private, as the server asks of its directory.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&logs)
        .with_context(|| format!("cannot create `{}`", logs.display()))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    if !args.no_agent {
        agent_program()?; // Before the first start, whose password is shown once.
    }
    let (mut server, announcement) = start_server(&data_dir, &logs, &args).await?;
    let mut agent = LocalAgent { data_dir: data_dir.clone(), logs, child: None };
    if !args.no_agent {
        let api_key = Some(client::local_key(&data_dir)?);
        let connection = Connection { url: announcement.http_url.clone(), api_key, ..connection };
        if let Err(error) = agent.enroll_and_start(&connection).await {
            if let Some(password) = &announcement.admin_password {
                say(&format!("First start: user `admin`, password `{password}`; shown once.\n"));
            }
            stop(&mut server).await;
            return Err(error);
        }
    }
    greet(&announcement, &data_dir, !args.no_agent);

    let ended = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
            status = server.wait() => {
                let log = data_dir.join("logs/server.log");
                break Err(anyhow::anyhow!(
                    "the server ended by itself ({}); its last words are in `{}`",
                    status.map_or_else(|e| e.to_string(), |s| s.to_string()), log.display()
                ));
            }
            () = agent.ended() => {
                if let Err(error) = agent.restart_unless_stopped().await {
                    break Err(error); // Not at once: the server still has to stop in order.
                }
            }
        }
    };
    if let Some(child) = &mut agent.child {
        stop(child).await;
    }
    stop(&mut server).await;
    ended
}

async fn start_server(
    data_dir: &Path,
    logs: &Path,
    args: &UpArgs,
) -> anyhow::Result<(Child, Announcement)> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command.arg("server").arg("--announce-json").arg("--data-dir").arg(data_dir);
    let options = [
        ("--http-listen", args.listen.http_listen.clone()),
        ("--agent-listen", args.listen.agent_listen.clone()),
        ("--config", args.listen.config.as_ref().map(|path| path.display().to_string())),
    ];
    for (flag, value) in options {
        if let Some(value) = value {
            command.arg(flag).arg(value);
        }
    }
    let log = logs.join("server.log");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(open_log(&log)?);
    // Ctrl-C reaches only this process, which then stops the others in order.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().context("cannot start the server")?;
    let stdout = child.stdout.take().context("the server has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(READY_MAX, lines.next_line()).await;
    match line {
        Ok(Ok(Some(line))) => {
            let announcement = serde_json::from_str(&line)
                .with_context(|| format!("the server said something unexpected: {line}"))?;
            Ok((child, announcement))
        }
        Ok(_) => bail!("the server did not start:\n{}", last_words(&log)),
        Err(_) => bail!(
            "the server was not ready after {} s; see `{}`",
            READY_MAX.as_secs(),
            log.display()
        ),
    }
}

/// The agent beside the server.
struct LocalAgent {
    data_dir: PathBuf,
    logs: PathBuf,
    child: Option<Child>,
}

impl LocalAgent {
    fn state_dir(&self) -> PathBuf {
        self.data_dir.join("agent")
    }

    async fn enroll_and_start(&mut self, connection: &Connection) -> anyhow::Result<()> {
        if !self.state_dir().join("identity/identity.json").exists() {
            let client = Client::new(connection)?;
            let token = local_token(&client).await?;
            // Arguments of a process are shown to everyone on the machine, its environment is not.
            let output = agent_command()?
                .env("FAULTLINE_AGENT_TOKEN", token)
                .args(["enroll", "--state-dir"])
                .arg(self.state_dir())
                .output()
                .await
                .context("cannot start `faultline-agent`")?;
            if !output.status.success() {
                let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                bail!("the local agent could not enrol: {words}");
            }
        }
        self.start()
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let log = open_log(&self.logs.join("agent.log"))?;
        let mut command = agent_command()?;
        command.arg("run").arg("--state-dir").arg(self.state_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.process_group(0).kill_on_drop(true);
        self.child = Some(command.spawn().context("cannot start `faultline-agent`")?);
        Ok(())
    }

    /// Ends when the agent does; never, if there is none.
    async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => {
                if let Err(error) = child.wait().await {
                    tracing::warn!(?error, "lost sight of the local agent");
                }
            }
            None => std::future::pending().await,
        }
    }

    /// Starts the agent again if it died; leaves it if a person stopped it (it ended well).
    async fn restart_unless_stopped(&mut self) -> anyhow::Result<()> {
        let status = match self.child.take() {
            Some(mut child) => child.wait().await.context("lost sight of the local agent")?,
            None => return Ok(()),
        };
        if status.success() {
            say("The local agent was stopped. Its targets turn Unknown, not Down.\n");
            say("Start it again with Ctrl-C and the same command as before.\n");
            return Ok(());
        }
        say(&format!("The local agent ended ({status}); starting it again.\n"));
        tokio::time::sleep(AGENT_RESTART_PAUSE).await;
        self.start()
    }
}

/// Creates the local agent, or a new token for it if it is there already.
async fn local_token(client: &Client) -> anyhow::Result<String> {
    let list: Value = client.get("/agents").await?;
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let known = items
        .filter(|agent| agent.get("name").and_then(Value::as_str) == Some(LOCAL_AGENT_NAME))
        .find_map(|agent| agent.get("id")?.as_u64());
    let made: Value = match known {
        Some(id) => client.send(Method::POST, &format!("/agents/{id}/token"), &Value::Null).await?,
        None => client.send(Method::POST, "/agents", &json!({ "name": LOCAL_AGENT_NAME })).await?,
    };
    let token = made.get("token").and_then(Value::as_str);
    Ok(token.context("the server gave no token for the local agent")?.to_owned())
}

/// The agent's program without the server's secrets: whoever takes over the agent, which reads
/// packets of strangers, must not find them in its environment.
fn agent_command() -> anyhow::Result<Command> {
    let mut command = Command::new(agent_program()?);
    for secret in [server::secrets::MASTER_KEY_VARIABLE, API_KEY_VARIABLE] {
        command.env_remove(secret);
    }
    Ok(command)
}

/// Finds the agent beside this program.
fn agent_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let beside = own.with_file_name("faultline-agent");
    if !beside.exists() {
        bail!(
            "`{}` is missing: build it with `cargo build --release --bin faultline-agent`, or \
             start without a local agent by --no-agent",
            beside.display()
        );
    }
    Ok(beside)
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let is_large = fs::metadata(path).is_ok_and(|meta| LOG_BYTES_MAX < meta.len());
    if is_large {
        fs::rename(path, path.with_extension("log.1"))
            .with_context(|| format!("cannot set aside `{}`", path.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open the log `{}`", path.display()))
}

/// The last lines of a log, for a person who should not have to look for it.
fn last_words(log: &Path) -> String {
    const LINES_MAX: usize = 5;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}

/// Asks a process to end, and ends it if it does not.
async fn stop(child: &mut Child) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return; // It has ended already.
    };
    if kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok()
        && timeout(STOP_MAX, child.wait()).await.is_ok()
    {
        return;
    }
    if let Err(error) = child.kill().await {
        tracing::warn!(?error, "could not end a process");
    }
}

fn greet(announcement: &Announcement, data_dir: &Path, with_agent: bool) {
    let mut text = format!("\n  Faultline is up.\n\n    Console   {}\n", announcement.http_url);
    match &announcement.admin_password {
        Some(password) => {
            text += &format!("    User      admin\n    Password  {password}\n");
            text += "\n  This password is shown once. Change it after signing in.\n";
        }
        None => {
            text += "    User      admin (password as set; forgotten: `faultline user \
                     set-password admin`)\n";
        }
    }
    text += &format!("\n    Agents    connect to {}\n", announcement.agent_address);
    if with_agent {
        text += "    Agent     `local`, running beside the server\n";
    }
    text += &format!("    Data      {}\n", data_dir.display());
    text += &format!("    Logs      {}\n", data_dir.join("logs").display());
    text += "\n  Ctrl-C stops it.\n\n";
    say(&text);
}

#[expect(clippy::print_stdout, reason = "what `up` says to the person who typed it")]
fn say(text: &str) {
    print!("{text}");
}
