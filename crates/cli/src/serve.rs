//! `faultline server`: the control plane in the foreground, as a service manager wants it.

use std::path::Path;

use anyhow::Context;
use serde_json::json;
use server::{Config, LogFormat, Overrides, Ready};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use crate::args::ServerArgs;

pub(crate) async fn run(data_dir: &Path, args: ServerArgs) -> anyhow::Result<()> {
    let overrides = Overrides {
        data_dir: Some(data_dir.to_owned()),
        http_listen: args.listen.http_listen,
        agent_listen: args.listen.agent_listen,
        log_format: None,
    };
    let config = Config::load(args.listen.config.as_deref(), &overrides)?;
    if args.print_config {
        say(&config.to_text());
        return Ok(());
    }
    if args.check {
        say("the configuration is good\n");
        return Ok(());
    }
    start_logging(config.log_format);

    let stop = CancellationToken::new();
    let (ready, is_ready) = oneshot::channel();
    let serving = server::serve(config, stop.clone(), ready);
    tokio::pin!(serving);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = &mut serving => return ended.context("the server cannot go on"),
        ready = is_ready => {
            // Without a word the server has ended: then `serving` says why.
            if let Ok(ready) = ready {
                announce(&ready, args.announce_json);
            }
        }
    }
    tokio::select! {
        ended = &mut serving => return ended.context("the server cannot go on"),
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
    stop.cancel();
    serving.await.context("the server did not stop cleanly")
}

fn start_logging(format: LogFormat) {
    // A default, not a directive: that would stand above the level which `RUST_LOG` asks for.
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter.from_env_lossy());
    match format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(false).init(),
    }
}

fn announce(ready: &Ready, as_json: bool) {
    let password = ready.first_start.as_ref().map(|first| first.admin_password.as_str());
    if as_json {
        let line = json!({
            "http_url": ready.http_url,
            "agent_address": ready.agent_address,
            "admin_password": password,
        });
        return say(&format!("{line}\n"));
    }
    say(&format!("console {}, agents {}\n", ready.http_url, ready.agent_address));
    if let Some(password) = password {
        say(&format!("first start: user `admin`, password `{password}`; it is shown once\n"));
    }
}

#[expect(clippy::print_stdout, reason = "what the server says to the person who started it")]
fn say(text: &str) {
    print!("{text}");
}
