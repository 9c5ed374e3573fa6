//! `faultline server`: the control plane in the foreground, as a service manager wants it.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args as ClapArgs;
use sdnotify::Notifier;
use serde_json::json;
use server::{
    Config, FIRST_PASSWORD_FILE, LogFormat, Overrides, Ready, Turning, secrets::write_secret_file,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::{Interval, interval},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use crate::{
    args::ListenArgs,
    memory::{GIVE_BACK_INTERVAL, Untouched},
};

#[derive(Debug, ClapArgs)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Check the configuration and exit.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the configuration in force, with its defaults, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// When ready, print one line of JSON for the process that started this one.
    #[arg(long, hide = true)]
    pub(crate) announce_json: bool,
}

pub(crate) async fn run(data_dir: Option<PathBuf>, args: ServerArgs) -> anyhow::Result<()> {
    let config = configuration(data_dir, args.listen)?;
    if args.print_config {
        say(&config.to_text());
        return Ok(());
    }
    if args.check {
        say("the configuration is good\n");
        return Ok(());
    }
    start_logging(config.log_format, LevelFilter::INFO);
    let data_dir = config.data_dir.clone();
    let manager = Notifier::from_environment()
        .context("cannot tell the service manager anything: check NOTIFY_SOCKET")?;

    let stop = CancellationToken::new();
    let (ready, is_ready) = oneshot::channel();
    let serving = server::serve(config, stop.clone(), ready);
    tokio::pin!(serving);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut waiting = Some(is_ready);
    let mut turning: Option<Turning> = None;
    let mut beat = manager.alive_interval().map(interval);
    let (mut untouched, mut give_back) = (Untouched::new(), interval(GIVE_BACK_INTERVAL));
    loop {
        tokio::select! {
            ended = &mut serving => return ended.context("the server cannot go on"),
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            Some(ready) = once(&mut waiting) => {
                announce(&ready, args.announce_json, &data_dir)?;
                manager.ready(&format!("console {}", ready.http_url));
                turning = Some(ready.turning);
            }
            // The manager hears that the work goes on, for as long as it does.
            () = next(&mut beat) => {
                if turning.as_mut().is_some_and(Turning::goes_on) {
                    manager.alive();
                }
            }
            _ = give_back.tick() => untouched.exchange(),
        }
    }
    if waiting.is_some() {
        // A long log may be before it, and what is half brought back is safe to leave.
        tracing::info!("stopped before it was ready");
        return Ok(());
    }
    manager.stopping();
    stop.cancel();
    serving.await.context("the server did not stop cleanly")
}

/// The configuration as the server takes it: what the command line says wins.
pub(crate) fn configuration(
    data_dir: Option<PathBuf>,
    listen: ListenArgs,
) -> anyhow::Result<Config> {
    let ListenArgs { http_listen, agent_listen, config } = listen;
    let overrides = Overrides { data_dir, http_listen, agent_listen };
    Ok(Config::load(config.as_deref(), &overrides)?)
}

/// What the server says when it is ready. It says nothing else, and nothing at all if it ends
/// before: then it says why in another way.
async fn once(waiting: &mut Option<oneshot::Receiver<Ready>>) -> Option<Ready> {
    let ready = waiting.as_mut()?.await;
    *waiting = None;
    ready.ok()
}

/// Waits for the next sign of life to be due; for ever, if nobody wants any.
async fn next(beat: &mut Option<Interval>) {
    match beat {
        Some(beat) => {
            beat.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Logs to standard error what is of this level or worse, unless `RUST_LOG` says otherwise.
pub(crate) fn start_logging(format: LogFormat, level: LevelFilter) {
    // A default, not a directive: that would stand above the level which `RUST_LOG` asks for.
    let filter = EnvFilter::builder().with_default_directive(level.into());
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter.from_env_lossy());
    match format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(false).init(),
    }
}

/// Where commands on this host find the server.
fn url_path(data_dir: &Path) -> PathBuf {
    data_dir.join("url")
}

/// What a server last said of where it is; `None` if none did.
pub(crate) fn left_url(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(url_path(data_dir)).ok()?;
    Some(text.trim().to_owned())
}

fn announce(ready: &Ready, as_json: bool, data_dir: &Path) -> anyhow::Result<()> {
    // Without it the commands only have to be told.
    if let Err(error) = std::fs::write(url_path(data_dir), format!("{}\n", ready.http_url)) {
        tracing::warn!(%error, "cannot leave the server's address in the data directory");
    }
    let password = ready.first_start.as_ref().map(|first| first.admin_password.as_str());
    if as_json {
        let line = json!({
            "http_url": ready.http_url,
            "agent_address": ready.agent_address,
            "http_listen": ready.http,
            "agent_listen": ready.agents,
            "admin_password": password,
        });
        // To the process that started this one and asked for it.
        say(&format!("{line}\n"));
        return Ok(());
    }
    say(&format!("console {}, agents {}\n", ready.http_url, ready.agent_address));
    if let Some(password) = password {
        let told = tell_password(password, data_dir, std::io::stdout().is_terminal())?;
        say(&format!("first start: user `admin`, {told}\n"));
    }
    Ok(())
}

/// Says the first password to a person at a terminal. Anywhere else, such as a service's journal,
/// others read along and it stays for years: there it goes into a file, and that is said.
pub(crate) fn tell_password(
    password: &str,
    data_dir: &Path,
    is_terminal: bool,
) -> anyhow::Result<String> {
    if is_terminal {
        return Ok(format!("password `{password}`; it is shown once"));
    }
    let path = data_dir.join(FIRST_PASSWORD_FILE);
    write_secret_file(&path, format!("{password}\n").as_bytes())
        .context("cannot keep the first password; `faultline user set-password admin` sets one")?;
    Ok(format!("password in `{}`, which goes when the password is changed", path.display()))
}

/// What is to be said of the password of `admin` at a start that is not the first.
pub(crate) fn password_note(data_dir: &Path) -> String {
    let path = data_dir.join(FIRST_PASSWORD_FILE);
    let forgotten = "forgotten: `faultline user reset-password admin`";
    if path.exists() {
        format!("the first password is in `{}` until it is changed", path.display())
    } else {
        format!("the password is not shown again; {forgotten}")
    }
}

#[expect(clippy::print_stdout, reason = "what the server says to the person who started it")]
fn say(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_data_directory_of_the_file_counts_unless_another_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.toml");
        std::fs::write(&file, "data_dir = \"/srv/faultline\"\n").unwrap();
        let listen = ListenArgs { http_listen: None, agent_listen: None, config: Some(file) };
        let of_file = configuration(None, listen.clone()).unwrap();
        assert_eq!(of_file.data_dir, Path::new("/srv/faultline"));
        assert!(of_file.to_text().contains("data_dir = \"/srv/faultline\""));
        let given = configuration(Some("/srv/other".into()), listen).unwrap();
        assert_eq!(given.data_dir, Path::new("/srv/other"));
    }

    #[test]
    fn the_first_password_is_said_to_a_terminal_and_to_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let told = tell_password("correct horse", dir.path(), true).unwrap();
        assert!(told.contains("correct horse"), "{told}");
        let path = dir.path().join("first-password");
        assert!(!path.exists());
        let told = tell_password("correct horse", dir.path(), false).unwrap();
        assert!(!told.contains("correct horse") && told.contains("first-password"), "{told}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "correct horse\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
