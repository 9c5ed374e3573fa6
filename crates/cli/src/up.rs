//! `faultline up`: a server and a local agent on one machine, as two processes.
//!
//! Two processes, so that the server never needs network privileges and the local agent is
//! enrolled, authenticated and fenced like any other. This one only starts them, tells the person
//! where to look, keeps the agent running, and passes on the end.

mod bell;
mod local_agent;
mod logs;

use std::{
    fmt, fs,
    io::{self, IsTerminal as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::UnixStream,
    process::{Child, Command},
    time::{Instant, interval, timeout},
};

use crate::{
    args::{Connection, ListenArgs, UpArgs},
    client, serve,
    signals::Signals,
};
use bell::{Answer, Bell};
use local_agent::LocalAgent;

/// A start with a large database replays its log first.
const READY_MAX: Duration = Duration::from_secs(120);
/// Time for the server to bring everything to disk.
const STOP_MAX: Duration = Duration::from_secs(20);

/// What a server says on its standard output when it is ready.
#[derive(Debug, Deserialize)]
struct Announcement {
    http_url: String,
    http_listen: SocketAddr,
    agent_listen: SocketAddr,
    admin_password: Option<String>,
}

/// Starts both, waits for a signal or the server's end, stops both.
pub(crate) async fn run(connection: Connection, args: UpArgs) -> anyhow::Result<()> {
    let data_dir = serve::configuration(connection.data_dir.clone(), args.listen.clone())?.data_dir;
    if let Some(answer) = bell::ring(&data_dir).await {
        say(&format!(
            "Faultline is up already (process {}): {}, agents connect to {}\n{}\n",
            answer.pid,
            answer.http_url,
            reached(answer.agent_listen),
            answer.agent
        ));
        return same_addresses(&answer, &args.listen);
    }
    let logs = data_dir.join("logs");
    create_logs(&logs)?;
    let mut signals = Signals::new()?;
    if !args.no_agent {
        local_agent::program()?; // Before the first start, whose password is shown once.
    }
    let (mut server, announcement) = start_server(&data_dir, &logs, &args).await?;
    let first_password = announcement.admin_password.as_deref();
    let is_terminal = io::stdout().is_terminal();
    let tell = |password| serve::tell_password(password, &data_dir, is_terminal);
    let first_password = first_password.map(tell).transpose()?;
    let mut agent = LocalAgent::absent(&data_dir, &logs);
    if !args.no_agent {
        let api_key = Some(client::local_key(&data_dir)?);
        let (url, data_dir) = (announcement.http_url.clone(), Some(data_dir.clone()));
        let connection = Connection { url: Some(url), api_key, data_dir, ..connection };
        if let Err(error) = agent.enroll_and_start(&connection).await {
            if let Some(told) = &first_password {
                say(&format!("First start: user `admin`, {told}.\n"));
            }
            stop(&mut server).await;
            return Err(error);
        }
    }
    let bell = Bell::hang(&data_dir).inspect_err(|error| {
        say(&format!("A second `faultline up` cannot talk to this one: {error}\n"));
    });
    greet(&announcement, first_password.as_deref(), &data_dir, &agent);

    let mut look = interval(logs::LOOK_INTERVAL);
    let ended = loop {
        tokio::select! {
            _ = look.tick() => logs::look(&logs),
            () = signals.told() => break Ok(()),
            status = server.wait() => break Err(ended_by_itself(status, &logs)),
            () = agent.turn() => (),
            stream = rung(&bell) => {
                let http_url = announcement.http_url.clone();
                let Announcement { http_listen, agent_listen, .. } = announcement;
                let (pid, agent) = (std::process::id(), agent.wanted());
                let answer = Answer { pid, http_url, http_listen, agent_listen, agent };
                bell::answer(stream, &answer).await;
            }
        }
    };
    say("\nStopping: the local agent first, then the server.\n");
    say(&format!("The local agent {}.\n", agent.stop().await));
    say(&format!("The server {}.\n", stop(&mut server).await));
    ended
}

/// Where agents connect to what is listened on.
fn reached(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        format!("port {} of any address of this host", listen.port())
    } else {
        listen.to_string()
    }
}

/// Fails if the addresses that were given are not those in use: they cannot be changed in a server
/// that runs.
fn same_addresses(answer: &Answer, given: &ListenArgs) -> anyhow::Result<()> {
    let pairs = [
        ("--http-listen", &given.http_listen, answer.http_listen),
        ("--agent-listen", &given.agent_listen, answer.agent_listen),
    ];
    for (flag, given, used) in pairs {
        if let Some(given) = given.as_deref().filter(|given| !is_same(given, used)) {
            bail!(
                "{flag} {given} is not in use, {used} is: to change it, stop the one that runs \
                 (Ctrl-C where it was started, or `kill {}`) and type this again",
                answer.pid
            );
        }
    }
    Ok(())
}

/// Whether `given` asks for what is `used`. Any port (0) is each.
fn is_same(given: &str, used: SocketAddr) -> bool {
    given.parse::<SocketAddr>().is_ok_and(|given| {
        given.ip() == used.ip() && (given.port() == 0 || given.port() == used.port())
    })
}

/// Waits for a second `up`.
async fn rung(bell: &io::Result<Bell>) -> UnixStream {
    if let Ok(bell) = bell
        && let Ok(stream) = bell.rung().await
    {
        return stream;
    }
    std::future::pending().await
}

fn ended_by_itself(status: io::Result<std::process::ExitStatus>, logs: &Path) -> anyhow::Error {
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let log = logs.join("server.log");
    anyhow::anyhow!(
        "the server ended by itself ({how}); `{}` has its log, which ends:\n{}",
        log.display(),
        logs::last_words(&log, 0)
    )
}

/// Makes the folder, private as the server asks of its directory. A data directory that is empty
/// was made for us, and is closed before there is anything in it.
fn made_private(logs: &Path) -> io::Result<()> {
    if let Some(data_dir) = logs.parent()
        && fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_none())
    {
        fs::set_permissions(data_dir, fs::Permissions::from_mode(0o700))?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(logs)
}

fn create_logs(logs: &Path) -> anyhow::Result<()> {
    made_private(logs).with_context(|| {
        format!(
            "cannot create `{}`: give this user (uid {}) the right to write there, or name \
             another folder by --data-dir",
            logs.display(),
            nix::unistd::getuid()
        )
    })
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
    let (file, from) = logs::open(&log)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
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
        Ok(_) => {
            // It is at its end, and may still be saying why.
            stop(&mut child).await;
            bail!("the server did not start:\n{}", logs::last_words(&log, from))
        }
        Err(_) => bail!(
            "the server was not ready after {} s; see `{}`",
            READY_MAX.as_secs(),
            log.display()
        ),
    }
}

/// How a process ended, in words that follow its name.
#[derive(Debug)]
enum Stopped {
    Already,
    InTime { after: Duration, status: ExitStatus },
    Killed,
    Not { reason: io::Error },
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Already => f.write_str("was not running"),
            Stopped::InTime { after, status } if status.success() => {
                write!(f, "stopped in {:.1} s, everything is stored", after.as_secs_f64())
            }
            Stopped::InTime { after, status } => write!(
                f,
                "ended after {:.1} s, but not well ({status}): its log says why; what was \
                 acknowledged comes back at the next start",
                after.as_secs_f64()
            ),
            Stopped::Killed => write!(
                f,
                "did not stop within {} s and was killed; what was acknowledged comes back at the \
                 next start",
                STOP_MAX.as_secs()
            ),
            Stopped::Not { reason } => write!(f, "does not stop: {reason}"),
        }
    }
}

/// Asks a process to end, and ends it if it does not.
async fn stop(child: &mut Child) -> Stopped {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return Stopped::Already;
    };
    let begun = Instant::now();
    if kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok()
        && let Ok(Ok(status)) = timeout(STOP_MAX, child.wait()).await
    {
        return Stopped::InTime { after: begun.elapsed(), status };
    }
    match child.kill().await {
        Ok(()) => Stopped::Killed,
        Err(reason) => Stopped::Not { reason },
    }
}

fn greet(
    announcement: &Announcement,
    first_password: Option<&str>,
    data_dir: &Path,
    agent: &LocalAgent,
) {
    let mut text = format!("\n  Faultline is up.\n\n    Console   {}\n", announcement.http_url);
    match first_password {
        Some(told) => {
            text += &format!("    User      admin, {told}\n");
            text += "\n  Change this password after signing in.\n";
        }
        None => {
            text += &format!("    User      admin ({})\n", serve::password_note(data_dir));
        }
    }
    text += &format!("\n    Agents    connect to {}\n", reached(announcement.agent_listen));
    if agent.pid().is_some() {
        let process = local_agent::process(agent.pid());
        text += &format!("    Agent     `local`, running beside the server{process}\n");
    }
    text += &format!("    Data      {}\n", data_dir.display());
    text += &format!("    Logs      {}\n", data_dir.join("logs").display());
    if let Some(line) = std::env::current_exe().ok().as_deref().and_then(path_line) {
        text += &format!("\n  `faultline` is found in another terminal after\n\n    {line}\n");
    }
    text += "\n  Ctrl-C stops it.\n\n";
    say(&text);
}

/// What to type so that a shell finds this program by its name; `None` if it does already.
fn path_line(program: &Path) -> Option<String> {
    let (folder, name) = (program.parent()?, program.file_name()?);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    let found = folders.find_map(|folder| fs::canonicalize(folder.join(name)).ok());
    let is_this = found.is_some_and(|found| fs::canonicalize(program).is_ok_and(|it| it == found));
    (!is_this).then(|| format!("export PATH=\"{}:$PATH\"", folder.display()))
}

#[expect(clippy::print_stdout, reason = "what `up` says to the person who typed it")]
fn say(text: &str) {
    print!("{text}");
}
