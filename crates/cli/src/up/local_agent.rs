//! The agent beside the server: enrolled once, started, and kept running unless a person stops it.

use std::{
    fmt, io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep_until},
};

use super::{
    Stopped,
    logs::{last_words, open},
    say, stop,
};
use crate::{
    args::{API_KEY_VARIABLE, Connection},
    client::Client,
};

const NAME: &str = "local";
/// An agent that died is started again after this, then after twice as long, and so on.
const RESTART_AFTER_MIN: Duration = Duration::from_secs(1);
/// Never later: whoever mends the cause waits no longer for the effect.
const RESTART_AFTER_MAX: Duration = Duration::from_secs(60);
/// One that ran for so long was well: waiting begins from the start.
const STEADY_MIN: Duration = Duration::from_secs(60);

/// How the local agent is, and what `up` does about it.
///
/// 1 - It ended well, or by SIGTERM or SIGINT: a person stopped it. It stays so until `up` is
///     called again; its targets turn Unknown.
/// 2 - It ended otherwise: it is started again, with growing pauses while it keeps dying.
#[derive(Debug)]
pub(super) struct LocalAgent {
    data_dir: PathBuf,
    logs: PathBuf,
    state: State,
    restart_after: Duration,
    /// Where what the one that runs says begins in its log.
    log_from: u64,
}

#[derive(Debug)]
enum State {
    /// Not wanted.
    Absent,
    Running {
        child: Child,
        since: Instant,
    },
    Stopped,
    Waiting {
        until: Instant,
    },
}

/// What a person is told who calls `up` again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Found {
    Absent,
    Running,
    StartedAgain,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Found::Absent => "It was started without a local agent (--no-agent).",
            Found::Running => "The local agent is running.",
            Found::StartedAgain => "The local agent was stopped; it is started again.",
        })
    }
}

impl LocalAgent {
    pub(super) fn absent(data_dir: &Path, logs: &Path) -> LocalAgent {
        LocalAgent {
            data_dir: data_dir.to_owned(),
            logs: logs.to_owned(),
            state: State::Absent,
            restart_after: RESTART_AFTER_MIN,
            log_from: 0,
        }
    }

    fn state_dir(&self) -> PathBuf {
        self.data_dir.join("agent")
    }

    fn log(&self) -> PathBuf {
        self.logs.join("agent.log")
    }

    /// Enrols if that was never done, and starts.
    pub(super) async fn enroll_and_start(&mut self, connection: &Connection) -> anyhow::Result<()> {
        if !self.state_dir().join("identity/identity.json").exists() {
            let client = Client::new(connection)?;
            let token = token(&client).await?;
            // Arguments of a process are shown to everyone on the machine, its environment is not.
            let output = command()?
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
        let mut command = command()?;
        command.arg("run").arg("--state-dir").arg(self.state_dir());
        let (log, from) = open(&self.log())?;
        self.log_from = from;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().context("cannot start `faultline-agent`")?;
        self.state = State::Running { child, since: Instant::now() };
        Ok(())
    }

    /// The number of its process, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.state {
            State::Running { child, .. } => child.id(),
            State::Absent | State::Stopped | State::Waiting { .. } => None,
        }
    }

    /// Waits for the next thing to do about it, and does it; never ends if there is none.
    pub(super) async fn turn(&mut self) {
        match &mut self.state {
            State::Absent | State::Stopped => std::future::pending().await,
            State::Running { child, since } => {
                let (ended, since) = (child.wait().await, *since);
                self.handle_end(ended, since);
            }
            State::Waiting { until } => {
                sleep_until(*until).await;
                self.start_again();
            }
        }
    }

    fn handle_end(&mut self, ended: io::Result<ExitStatus>, since: Instant) {
        if ended.as_ref().is_ok_and(is_deliberate) {
            self.state = State::Stopped;
            let dir = self.data_dir.canonicalize().unwrap_or(self.data_dir.clone());
            say(&format!(
                "The local agent was stopped: its targets turn Unknown, not Down. To start it \
                 again, type in another terminal:\n\n    {} up --data-dir {}\n\n",
                own_name(),
                dir.display()
            ));
            return;
        }
        if STEADY_MIN <= since.elapsed() {
            self.restart_after = RESTART_AFTER_MIN;
        }
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        let wait = self.wait();
        say(&format!(
            "The local agent died ({how}); it is started again in {} s. Its last words:\n{}\n",
            wait.as_secs(),
            last_words(&self.log(), self.log_from)
        ));
    }

    fn start_again(&mut self) {
        match self.start() {
            Ok(()) => say(&format!("The local agent runs again{}.\n", process(self.pid()))),
            Err(error) => {
                let wait = self.wait();
                say(&format!("{error:#}; trying again in {} s\n", wait.as_secs()));
            }
        }
    }

    fn wait(&mut self) -> Duration {
        let wait = self.restart_after;
        self.state = State::Waiting { until: Instant::now() + wait };
        self.restart_after = (wait * 2).min(RESTART_AFTER_MAX);
        wait
    }

    /// `up` was called again: whatever it waits for is over.
    pub(super) fn wanted(&mut self) -> Found {
        match &self.state {
            State::Absent => Found::Absent,
            State::Running { .. } => Found::Running,
            State::Stopped | State::Waiting { .. } => {
                self.restart_after = RESTART_AFTER_MIN;
                self.start_again();
                Found::StartedAgain
            }
        }
    }

    pub(super) async fn stop(&mut self) -> Stopped {
        match &mut self.state {
            State::Running { child, .. } => stop(child).await,
            State::Absent | State::Stopped | State::Waiting { .. } => Stopped::Already,
        }
    }
}

/// The number of a process in brackets, for a person who wants to signal it.
pub(super) fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

fn is_deliberate(status: &ExitStatus) -> bool {
    let signals = [Signal::SIGTERM as i32, Signal::SIGINT as i32];
    status.success() || status.signal().is_some_and(|signal| signals.contains(&signal))
}

/// How this program was called.
fn own_name() -> String {
    std::env::args().next().unwrap_or("faultline".to_owned())
}

/// Creates the local agent, or a new token for it if it is there already.
async fn token(client: &Client) -> anyhow::Result<String> {
    let list: Value = client.get("/agents").await?;
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let known = items
        .filter(|agent| agent.get("name").and_then(Value::as_str) == Some(NAME))
        .find_map(|agent| agent.get("id")?.as_u64());
    let made: Value = match known {
        Some(id) => client.send(Method::POST, &format!("/agents/{id}/token"), &Value::Null).await?,
        None => client.send(Method::POST, "/agents", &json!({ "name": NAME })).await?,
    };
    let token = made.get("token").and_then(Value::as_str);
    Ok(token.context("the server gave no token for the local agent")?.to_owned())
}

/// The agent's program without the server's secrets: whoever takes over the agent, which reads
/// packets of strangers, must not find them in its environment.
fn command() -> anyhow::Result<Command> {
    let mut command = Command::new(program()?);
    for secret in [server::secrets::MASTER_KEY_VARIABLE, API_KEY_VARIABLE] {
        command.env_remove(secret);
    }
    Ok(command)
}

/// Finds the agent beside this program.
pub(super) fn program() -> anyhow::Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_deliberate_or_a_crash() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        let killed = |signal: Signal| ExitStatus::from_raw(signal as i32);
        assert!(is_deliberate(&exited(0)));
        assert!(is_deliberate(&killed(Signal::SIGTERM)) && is_deliberate(&killed(Signal::SIGINT)));
        assert!(!is_deliberate(&exited(1)));
        assert!(
            !is_deliberate(&killed(Signal::SIGKILL)) && !is_deliberate(&killed(Signal::SIGSEGV))
        );
    }

    #[tokio::test]
    async fn pauses_grow_to_a_limit_and_begin_anew_when_it_ran_well() {
        let dir = Path::new("nowhere");
        let mut agent = LocalAgent::absent(dir, dir);
        let waits: Vec<u64> = (0..8).map(|_| agent.wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let long_ago = Instant::now() - STEADY_MIN;
        agent.handle_end(Ok(ExitStatus::from_raw(9)), long_ago);
        assert_eq!(agent.restart_after, RESTART_AFTER_MIN * 2);
        agent.handle_end(Ok(ExitStatus::from_raw(9)), Instant::now());
        assert_eq!(agent.restart_after, RESTART_AFTER_MIN * 4);
    }
}
