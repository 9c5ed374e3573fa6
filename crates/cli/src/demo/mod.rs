//! `faultline demo`: a virtual internet provider, watched by real agents and a real server, in one
//! process, from a directory that is thrown away.
//!
//! Nothing of it needs root or a network: the agents' packets go through [`sim::isp`], and
//! everything else is as in an installation: certificates, spool, stream, log, judgement.

mod agents;
mod collector;
mod desk;
mod past;
mod setup;

use std::{
    fs::File,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use agent::clock::Clock;
use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use serde_json::json;
use server::{Config, LogFormat, Overrides, Ready};
use sim::isp::{CREDIT, Isp, Timetable};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use desk::FaultDesk;

use crate::{args::Connection, client, client::Client, serve, signals::Signals};

/// What the folder of a demo begins with, below the system's own for such things.
const FOLDER_PREFIX: &str = "faultline-demo-";
/// The console's usual port, if nobody else has it.
const PORT_USUAL: u16 = 7480;
const TARGETS_DEFAULT: usize = 5_000;
const SEED_DEFAULT: u64 = 7;
const PAST_DAYS_DEFAULT: u16 = 14;
/// A start is a matter of seconds; on a machine that is busy with something else, of some more.
const READY_MAX: Duration = Duration::from_secs(120);
/// The longest scenario that is read.
const SCENARIO_BYTES_MAX: u64 = 256 * 1024;
/// All agents together, when they are told to stop.
const AGENTS_STOP_MAX: Duration = Duration::from_secs(15);

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Address of console and API [default: 127.0.0.1:7480, or any free port if that is taken].
    #[arg(long, value_name = "IP:PORT")]
    http_listen: Option<SocketAddr>,
    /// How many targets are watched, from 200 to 50,000.
    #[arg(long, value_name = "N", default_value_t = TARGETS_DEFAULT, value_parser = parse_scale)]
    scale: usize,
    /// How many days of history are made up behind it, 0 to 14.
    #[arg(long, value_name = "DAYS", default_value_t = PAST_DAYS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=14))]
    past: u16,
    /// Faults at given times (TOML; docs/demo.md says how it looks).
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Draws the network's loads and losses; the same number draws the same.
    #[arg(long, value_name = "N", default_value_t = SEED_DEFAULT)]
    seed: u64,
}

fn parse_scale(text: &str) -> Result<usize, String> {
    let scale = text.parse().ok().filter(|scale| (200..=50_000).contains(scale));
    scale.ok_or_else(|| "is a number of targets from 200 to 50000".to_owned())
}

/// The virtual network, shared by everybody who uses it.
type SharedIsp = Arc<Mutex<Isp>>;

/// What a panicked thread left is still a network.
fn lock(isp: &Mutex<Isp>) -> MutexGuard<'_, Isp> {
    isp.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until it is told to stop, and leaves nothing.
pub(crate) async fn run(connection: Connection, args: DemoArgs) -> anyhow::Result<()> {
    if let Some(at) = args.http_listen {
        // Before everything is made, which takes a while.
        TcpListener::bind(at).with_context(|| {
            format!(
                "cannot listen on {at}. Remedy: find out who does with `ss -ltnp`, or choose \
                 another port with `--http-listen 127.0.0.1:PORT`"
            )
        })?;
    }
    let timetable = args.scenario.as_deref().map(read_timetable).transpose()?.unwrap_or_default();
    serve::start_logging(LogFormat::Text, LevelFilter::ERROR);
    let mut signals = Signals::new()?;
    let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir();
    let folder = folder.context("cannot make a directory for the demo: let TMPDIR name one")?;
    let mut demo = Demo::new(&args, timetable)?;
    if !connection.json {
        say("Growing a provider and starting its agents and a server. This takes some seconds.\n");
    }
    let begun = tokio::select! {
        begun = demo.begin(&args, folder.path()) => begun.map(Some),
        () = signals.told() => Ok(None),
    };
    let ended = match begun {
        Ok(Some(ready)) => {
            greet(&connection, &ready, folder.path(), &demo.isp);
            tokio::select! {
                () = signals.told() => Ok(()),
                error = demo.goes_wrong() => Err(error),
            }
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if !connection.json {
        say("\nStopping, and removing everything.\n");
    }
    demo.end().await;
    let path = folder.path().to_owned();
    let removed = folder.close();
    removed.with_context(|| format!("cannot remove `{}`: do it by hand", path.display()))?;
    ended
}

fn read_timetable(path: &Path) -> anyhow::Result<Timetable> {
    let context = || format!("cannot read the scenario `{}`", path.display());
    let mut text = String::new();
    let mut file = File::open(path).with_context(context)?.take(SCENARIO_BYTES_MAX + 1);
    file.read_to_string(&mut text).with_context(context)?;
    if SCENARIO_BYTES_MAX < text.len() as u64 {
        bail!("the scenario `{}` is longer than {SCENARIO_BYTES_MAX} bytes", path.display());
    }
    Timetable::parse(&text)
        .map_err(|reason| anyhow::anyhow!("the scenario `{}` {reason}", path.display()))
}

/// Everything that runs.
struct Demo {
    isp: SharedIsp,
    clock: Clock,
    stop_agents: CancellationToken,
    stop_server: CancellationToken,
    server: JoinSet<anyhow::Result<()>>,
    agents: JoinSet<anyhow::Result<()>>,
    /// What ends when it is dropped: relays and the collector.
    helpers: JoinSet<anyhow::Result<()>>,
}

impl Demo {
    fn new(args: &DemoArgs, timetable: Timetable) -> anyhow::Result<Demo> {
        let clock = Clock::new();
        let now = clock.tick();
        let mut isp = Isp::new(args.scale, args.seed, now, clock.wall())?;
        for timed in timetable.faults {
            let at = |seconds: u32| now + Duration::from_secs(seconds.into());
            let element = timed.fault.element.clone();
            isp.schedule(timed.fault, at(timed.from_s), timed.until_s.map(at))
                .with_context(|| format!("the scenario's fault of `{element}`"))?;
        }
        Ok(Demo {
            isp: Arc::new(Mutex::new(isp)),
            clock,
            stop_agents: CancellationToken::new(),
            stop_server: CancellationToken::new(),
            server: JoinSet::new(),
            agents: JoinSet::new(),
            helpers: JoinSet::new(),
        })
    }

    /// Starts the server, tells it of the network, and starts the agents.
    async fn begin(&mut self, args: &DemoArgs, folder: &Path) -> anyhow::Result<Ready> {
        let data_dir = folder.join("server");
        let config = configuration(args, &data_dir)?;
        past::write(&self.isp, self.clock, &config, args.past).await?;
        let (ready, is_ready) = oneshot::channel();
        let desk = FaultDesk { isp: Arc::clone(&self.isp), clock: self.clock };
        let (system, stop) = (server::clock::Clock::system(), self.stop_server.clone());
        let serving = server::serve_demo(config, system, Arc::new(desk), stop, ready);
        self.server.spawn(async move { serving.await.context("the server cannot go on") });
        let ready = tokio::select! {
            ready = timeout(READY_MAX, is_ready) => match ready {
                Ok(Ok(ready)) => ready,
                Ok(Err(_)) => return Err(self.goes_wrong().await),
                Err(_) => bail!("the server was not ready after {} s", READY_MAX.as_secs()),
            },
        };
        let client = Client::new(&Connection {
            url: Some(ready.http_url.clone()),
            api_key: Some(client::local_key(&data_dir)?),
            data_dir: Some(data_dir),
            json: false,
        })?;
        let plan = lock(&self.isp).plan().clone();
        setup::tiers(&client).await?;
        let ids = setup::agents(&client).await?;
        for watcher in &plan.watchers {
            let id = ids.get(&watcher.name).context("an agent of the past is missing")?;
            let token = setup::agent(&client, watcher, *id).await?;
            self.start_agent(watcher, &token, &folder.join(&watcher.name)).await?;
        }
        setup::network(&client, &plan).await?;
        setup::maintenance(&client, self.clock.wall()).await?;
        let (isp, clock) = (Arc::clone(&self.isp), self.clock);
        self.helpers.spawn(collector::run(isp, clock, client));
        Ok(ready)
    }

    /// Waits until something ends that should go on.
    async fn goes_wrong(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.server.join_next() => ended,
            Some(ended) = self.agents.join_next() => ended,
            Some(ended) = self.helpers.join_next() => ended,
        };
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("a part of the demo ended by itself"),
            Ok(Err(error)) => error,
            Err(error) => anyhow::Error::new(error).context("a part of the demo panicked"),
        }
    }

    /// Agents first, so that what they have is told; then the server.
    async fn end(mut self) {
        self.stop_agents.cancel();
        let agents = async { while self.agents.join_next().await.is_some() {} };
        if timeout(AGENTS_STOP_MAX, agents).await.is_err() {
            tracing::warn!("some agents did not stop in time");
        }
        self.agents.shutdown().await;
        self.helpers.shutdown().await;
        self.stop_server.cancel();
        let server = async { while self.server.join_next().await.is_some() {} };
        if timeout(server::STOP_MAX * 2, server).await.is_err() {
            tracing::warn!("the server did not stop in time");
        }
    }
}

/// Of nobody but this program: neither a file nor the environment may lead a demo to the database
/// of an installation.
fn configuration(args: &DemoArgs, data_dir: &Path) -> anyhow::Result<Config> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_USUAL));
    let listen = args.http_listen.unwrap_or_else(|| match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    });
    let overrides = Overrides {
        data_dir: Some(data_dir.to_owned()),
        http_listen: Some(listen.to_string()),
        agent_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string()),
    };
    Ok(Config::resolve("", &|_| None, &overrides)?)
}

/// Says where to look. The password is of a server that is thrown away, so it is said anywhere.
fn greet(connection: &Connection, ready: &Ready, folder: &Path, isp: &SharedIsp) {
    let password = ready.first_start.as_ref().map_or("", |first| first.admin_password.as_str());
    if connection.json {
        let line = json!({
            "http_url": ready.http_url,
            "user": "admin",
            "password": password,
            "data_dir": folder.join("server"),
        });
        say(&format!("{line}\n"));
        return;
    }
    let isp = lock(isp);
    let (plan, topology) = (isp.plan(), isp.topology());
    let count = |kind| topology.of_kind(kind).count();
    say(&format!(
        "\n  The demo is up: {} routers in {} cities, {} upstreams, {} targets, {} agents.\n\n    \
         Console   {}\n    User      admin\n    Password  {password}\n    Data      {}\n\n  \
         {CREDIT}\n\n  Ctrl-C ends it and removes everything.\n\n",
        count(model::ElementKind::Device),
        count(model::ElementKind::Site),
        count(model::ElementKind::Upstream),
        plan.asked.len(),
        plan.watchers.len(),
        ready.http_url,
        folder.display(),
    ));
}

#[expect(clippy::print_stdout, reason = "what the demo says to the person who typed it")]
fn say(text: &str) {
    print!("{text}");
    // Somebody who reads a pipe waits for it.
    std::io::Write::flush(&mut std::io::stdout()).unwrap_or(());
}
