//! The command line of the agent.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use agent::{
    clock::Clock,
    config::{Config, Overrides},
    enroll::enroll,
    probing::bench::{Steady, run_steady},
    status::Status,
};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Watches targets for a Faultline server, from where this host stands.
///
/// The agent dials the server (one TCP connection, TLS in both directions) and never listens. It
/// sends what it measured and what it says of itself, nothing else; `status` shows it. While the
/// server cannot be reached, it goes on and delivers later.
#[derive(Parser)]
#[command(name = "faultline-agent", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// Where identity, spool and assignment are kept [default: /var/lib/faultline-agent].
    #[arg(long, global = true, value_name = "DIR", env = "FAULTLINE_AGENT_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Configuration file [default: /etc/faultline/agent.toml, if it is there].
    #[arg(long, global = true, value_name = "FILE", env = "FAULTLINE_AGENT_CONFIG")]
    config: Option<PathBuf>,
    /// What to log, for example `info`, `debug` or `agent::run=debug` [default: info].
    #[arg(long, global = true, value_name = "FILTER", env = "FAULTLINE_AGENT_LOG")]
    log: Option<String>,
    /// How to log [default: text].
    #[arg(long, global = true, value_name = "FORMAT", env = "FAULTLINE_AGENT_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

const EXAMPLES: &str = "\
Examples:
  faultline-agent enroll flt1.eyJh…        once, with the token of `faultline agent create NAME`
  faultline-agent run                      asks and delivers, in the foreground
  faultline-agent status                   how it is doing";

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Make this host an agent of a server: once, with the token the server shows.
    ///
    /// The token comes from `faultline agent create NAME` on the server, or from the console under
    /// Agents. It works once and for 10 minutes. The private key is made here and stays here.
    Enroll {
        /// The token, as it was shown: one word that starts with `flt1.`.
        #[arg(env = "FAULTLINE_AGENT_TOKEN", hide_env_values = true)]
        token: String,
        /// Become another agent: throws away the former identity and what it has not delivered.
        #[arg(long)]
        replace: bool,
    },
    /// Ask and deliver until told to stop (SIGTERM or Ctrl-C).
    ///
    /// Needs to send ICMP echo: either the group of the process is within
    /// net.ipv4.ping_group_range, or the program has CAP_NET_RAW. Without, it runs and says so.
    Run,
    /// Show how the agent on this host is doing.
    ///
    /// The exit status is 0 if it runs and is connected, 1 if it runs without the server, 2 if it
    /// does not run.
    Status {
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Measure how fast this host asks its own loopback.
    #[command(hide = true)]
    BenchIcmp {
        #[arg(long, default_value_t = 1000)]
        targets: u32,
        #[arg(long)]
        json: bool,
        /// Ask so many rounds at the pace of a tier instead of one as fast as it goes.
        #[arg(long, requires = "list")]
        rounds: Option<u32>,
        /// The first target of these rounds.
        #[arg(long, default_value = "127.1.0.1")]
        first: Ipv4Addr,
        /// Where the round-trip times of these rounds are written to.
        #[arg(long)]
        list: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            writeln!(io::stderr(), "faultline-agent: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    let overrides = Overrides {
        state_dir: cli.common.state_dir,
        log: cli.common.log,
        is_log_json: cli.common.log_format.map(|f| matches!(f, LogFormat::Json)),
    };
    let config = Config::load(cli.common.config.as_deref(), overrides)?;
    log_to_stderr(&config)?;
    match cli.command {
        Command::Enroll { token, replace } => enroll_here(&token, &config.state_dir, replace),
        Command::Run => run(&config),
        Command::Status { json } => show_status(&config.state_dir, json),
        Command::BenchIcmp { targets, first, rounds: Some(rounds), list: Some(list), .. } => {
            bench_steady(Steady { first, targets, rounds }, &list)
        }
        Command::BenchIcmp { targets, json, .. } => bench_icmp(targets, json),
    }
}

fn log_to_stderr(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).context("the log filter is not understood")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let log = log.with_ansi(io::stderr().is_terminal());
    if config.is_log_json {
        log.json().init();
    } else {
        log.init();
    }
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One thread conducts; the other takes its place while it waits for the disk.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn enroll_here(token: &str, state_dir: &Path, is_replacing: bool) -> anyhow::Result<ExitCode> {
    let _lock = agent::lock_state_dir(state_dir)
        .context("stop the agent that runs here before enrolling")?;
    let identity = runtime()?.block_on(enroll(token, state_dir, is_replacing))?;
    let until = identity.validity().map(|(_, until)| until.to_string());
    writeln!(
        io::stdout(),
        "enrolled as {} (id {}); certificate until {}, renewed by itself\nstart it with: \
         faultline-agent run --state-dir {}",
        identity.agent_name,
        identity.agent_id,
        until.unwrap_or_default(),
        state_dir.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let ran = runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch SIGINT")?;
        let mut tasks = tokio::task::JoinSet::new();
        let told = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
            told.cancel();
        });
        agent::run(config, &stop).await?;
        Ok(ExitCode::SUCCESS)
    });
    // What hangs on a disk is not waited for: `run` has said what became of it.
    runtime.shutdown_background();
    ran
}

fn show_status(state_dir: &Path, is_json: bool) -> anyhow::Result<ExitCode> {
    let status = match Status::load(state_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            anyhow::bail!("no agent has run with the state directory {}", state_dir.display())
        }
        other => other.context("cannot read the status")?,
    };
    let is_running = status.is_fresh(Clock::new().wall());
    let mut out = io::stdout();
    if is_json {
        let mut value = serde_json::to_value(&status)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("is_running".to_owned(), is_running.into());
        }
        writeln!(out, "{value:#}")?;
    } else {
        if !is_running {
            writeln!(out, "NOT RUNNING: this is how it was at {}", status.written_at)?;
        }
        write!(out, "{status}")?;
    }
    Ok(match (is_running, status.connected_to.is_some()) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(1),
        (false, _) => ExitCode::from(2),
    })
}

/// Writes a line per round, and at the end what a machine reads.
fn bench_steady(steady: Steady, list: &Path) -> anyhow::Result<ExitCode> {
    let report = run_steady(steady);
    let file = File::create(list).context("cannot write the list")?;
    let mut lines = io::BufWriter::new(file);
    for (number, rtt_us) in &report.rtts {
        match rtt_us {
            Some(rtt_us) => writeln!(lines, "{number} {rtt_us}")?,
            None => writeln!(lines, "{number} -")?,
        }
    }
    lines.flush()?;
    let value = serde_json::json!({ "doubtful": report.doubtful, "wall_s": report.wall_s });
    writeln!(io::stdout(), "{value}")?;
    Ok(ExitCode::SUCCESS)
}

fn bench_icmp(targets: u32, is_json: bool) -> anyhow::Result<ExitCode> {
    let report = agent::probing::bench::run(targets);
    let mut out = io::stdout();
    if is_json {
        let value = serde_json::json!({
            "targets": targets,
            "probes": report.probes,
            "replies": report.replies,
            "wall_s": report.wall_s,
            "cpu_s": report.cpu_s,
        });
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "{report:?}")?;
    }
    Ok(ExitCode::SUCCESS)
}
