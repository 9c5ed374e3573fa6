//! Starting and stopping everything, in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::{Listener, ListenerExt as _};
use journal::{Disk, Journal, JournalError};
use model::LogPosition;
use store::{Database, Store, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{App, desk::Desk},
    authority::{Authority, AuthorityError, ServerCertificate},
    clock::Clock,
    conductor::{CatchUpError, Conductor, Replay, ReplayError},
    config::Config,
    first::{self, FirstError, FirstStart},
    http,
    ingest::{Ingest, stub::agent_link_server::AgentLinkServer},
    listen::{self, Door, ListenError, PlainListener, Purpose, TlsListener},
    log::{self, Body, LogHandle, LogStart},
    metrics::Metrics,
    notify::{Notifier, Sender},
    secrets::{Secrets, SecretsError},
    tasks,
};

/// Durable entries that may wait for the engine; those with rounds hold permits besides.
const DURABLE_MAX: usize = 1_024;
/// A connection is closed after this, so that agents spread again after a restart of one server
/// and a renewed certificate comes into use.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(6 * 3600);
const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(10);
/// Calls at once on one connection: an agent has its stream and perhaps a renewal.
const STREAMS_MAX: u32 = 4;
/// How long connections may take to end when the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long the last entries may take to be durable, judged and stored with a checkpoint.
const FINISH_MAX: Duration = Duration::from_secs(10);
/// From the word to stop to the end, at most. Under a service manager its own limit
/// (`TimeoutStopSec`) is longer.
pub const STOP_MAX: Duration = DRAIN_MAX.saturating_add(FINISH_MAX);

/// In the data directory: the certificate that console and API show, for this machine's commands.
pub const HTTP_CERTIFICATE_FILE: &str = "http-certificate.der";

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    First(#[from] FirstError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error("cannot open the database {database}")]
    Store {
        database: Database,
        #[source]
        source: StoreError,
    },
    #[error("cannot use the certificate authority")]
    Authority(#[from] AuthorityError),
    #[error("cannot open the log")]
    Log(#[from] JournalError),
    #[error("cannot bring back the state of the last run")]
    Replay(#[from] ReplayError),
    #[error("cannot catch up with what changed")]
    CatchUp(#[from] CatchUpError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot start {what}")]
    Start {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot send messages: this machine's certificates cannot be used")]
    Sender {
        #[source]
        source: reqwest::Error,
    },
    #[error("{what} ended by itself: {reason}")]
    Ended { what: &'static str, reason: String },
    #[error("the database took nothing while the server stopped; the log keeps what it lacks")]
    NotStored(#[source] StoreError),
    #[error(
        "not everything was stored within {} s of the word to stop; what was acknowledged is in \
         the log, and the next start reads it. Look at the disk of the data directory",
        STOP_MAX.as_secs()
    )]
    StopTooSlow,
}

/// What a server that is ready says of itself.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where this machine reaches console and API.
    pub http_url: String,
    /// Where this machine reaches the agents' listener.
    pub agent_address: String,
    pub http: SocketAddr,
    pub agents: SocketAddr,
    /// Only at the very first start.
    pub first_start: Option<FirstStart>,
    pub turning: Turning,
}

/// Whether the server's work goes on: asked from time to time by whoever tells a watchdog.
#[derive(Clone, Debug)]
pub struct Turning {
    conductor: Conductor,
    seen: u64,
}

impl Turning {
    /// Whether the loop that everything goes through has turned since this was asked last. It turns
    /// at least once a second, and also while the database takes nothing: that is for the Health
    /// page, and no reason to start anew.
    pub fn goes_on(&mut self) -> bool {
        let turns = self.conductor.turns();
        std::mem::replace(&mut self.seen, turns) != turns
    }
}

/// Runs a server until `stop`, by the machine's clock.
///
/// # Errors
///
/// [`ServeError`]: it did not start, or could not go on.
pub async fn serve(
    config: Config,
    stop: CancellationToken,
    ready: oneshot::Sender<Ready>,
) -> Result<(), ServeError> {
    serve_with(config, Clock::system(), stop, ready).await
}

/// Runs the server of a demo: with a desk for breaking the network that it watches.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_demo(
    config: Config,
    clock: Clock,
    desk: Arc<dyn Desk>,
    stop: CancellationToken,
    ready: oneshot::Sender<Ready>,
) -> Result<(), ServeError> {
    run(config, clock, Some(desk), stop, ready).await
}

/// Runs a server by any clock.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_with(
    config: Config,
    clock: Clock,
    stop: CancellationToken,
    ready: oneshot::Sender<Ready>,
) -> Result<(), ServeError> {
    run(config, clock, None, stop, ready).await
}

async fn run(
    mut config: Config,
    clock: Clock,
    desk: Option<Arc<dyn Desk>>,
    stop: CancellationToken,
    ready: oneshot::Sender<Ready>,
) -> Result<(), ServeError> {
    let _lock = first::settle(&config)?;
    let master_key = config.keys_dir().join("master.key");
    let secrets = Secrets::load(config.master_key.as_ref(), &master_key)?;
    let database = config.database();
    let store = Store::open_at(&database).await;
    let store = store.map_err(|source| ServeError::Store { database, source })?;
    first::join(&config, &store).await?;
    let authority = Arc::new(Authority::load(&config.keys_dir(), &secrets, clock.now())?);
    let mut core = Core::start(&config, &store, &clock).await?;

    let agents = listen::bind(config.agents.listen, Purpose::Agents).await?;
    let console = listen::bind(config.http.listen, Purpose::Console).await?;
    let bound = |what| move |source| ServeError::Start { what, source };
    let agents_at = agents.local_addr().map_err(bound("the agents' listener"))?;
    let http_at = console.local_addr().map_err(bound("the console's listener"))?;
    config.complete_advertise(agents_at);
    let config = Arc::new(config);
    let now = clock.now();
    let sender = Sender::new().map_err(|source| ServeError::Sender { source })?;
    let notifier = Notifier { store: store.clone(), secrets, clock, sender };
    let app = App::new(store, core.conductor.clone(), authority, Arc::clone(&config), notifier);
    let app = app.with_desk(desk);
    app.traces_begin()
        .await
        .map_err(|source| ServeError::Store { database: config.database(), source })?;

    let doors = Doors { app: app.clone(), metrics: core.metrics.clone(), stop: stop.clone() };
    let mut running = JoinSet::new();
    let sessions = TaskTracker::new();
    let certificate = doors.serve_agents(agents, &sessions, &mut running)?;
    doors.serve_http(console, &config, &mut running)?;
    let periodic = TaskTracker::new();
    tasks::start(&periodic, &app, &certificate, &stop);
    // Last of all: a start that fails must not have made a password that nobody was told.
    let first_start = first::first_user(&app.store, now).await?;
    first::local_key(&app.store, &config, now).await?;
    let turning = Turning { conductor: core.conductor.clone(), seen: 0 };
    let said = Ready::of(&config, http_at, agents_at, first_start, turning);
    tracing::info!(console = %said.http_url, agents = %said.agent_address, "ready");
    // Whoever started the server may not care.
    ready.send(said).map_or_else(drop, drop);

    let ended = core.wait(&stop, &mut running).await;
    stop.cancel();
    core.conductor.live().close();
    ended.and(shut(core, &app.store, drain(running, &sessions, &periodic)).await)
}

/// Ends everything in order and within [`STOP_MAX`], and says whether it did.
async fn shut(
    core: Core,
    store: &Store,
    drained: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let begun = Instant::now();
    drained.await;
    let finished = async {
        let stored = core.finish().await;
        store.close().await;
        stored
    };
    let stored = timeout(FINISH_MAX, finished).await.unwrap_or(Err(ServeError::StopTooSlow));
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &stored {
        Ok(()) => tracing::info!(took_ms, "stopped; everything is stored"),
        Err(error) => {
            let error = crate::chain(error);
            tracing::error!(%error, took_ms, "stopped, but not everything is stored");
        }
    }
    stored
}

impl Ready {
    fn of(
        config: &Config,
        http: SocketAddr,
        agents: SocketAddr,
        first_start: Option<FirstStart>,
        turning: Turning,
    ) -> Ready {
        let scheme = if config.http.tls.is_some() { "https" } else { "http" };
        Ready {
            http_url: format!("{scheme}://{}", reachable(http)),
            agent_address: reachable(agents).to_string(),
            http,
            agents,
            first_start,
            turning,
        }
    }
}

/// Lets connections and tasks end by themselves, for a while.
async fn drain(
    mut running: JoinSet<Result<(), String>>,
    sessions: &TaskTracker,
    periodic: &TaskTracker,
) {
    sessions.close();
    periodic.close();
    let ended = async {
        while running.join_next().await.is_some() {}
        sessions.wait().await;
        periodic.wait().await;
    };
    if timeout(DRAIN_MAX, ended).await.is_err() {
        tracing::warn!("some connections did not end in time and are cut off");
    }
    running.shutdown().await;
}

/// Log, engine and what drives them.
struct Core {
    conductor: Conductor,
    metrics: Arc<Metrics>,
    log: LogHandle,
    /// Cancelled last: then every turn leaves a checkpoint.
    stopping: CancellationToken,
    owner: JoinSet<Result<(), StoreError>>,
}

impl Core {
    async fn start(config: &Config, store: &Store, clock: &Clock) -> Result<Core, ServeError> {
        let metrics = Arc::new(Metrics::default());
        let (journal, replayed) = replay(config, store, clock, &metrics).await?;
        let start = LogStart {
            journal,
            highwaters: replayed.highwaters.clone(),
            last_at: replayed.last_at,
        };
        let (durable, entries) = mpsc::channel(DURABLE_MAX);
        let (log, _) = log::start(start, clock.clone(), Arc::clone(&metrics), durable)
            .map_err(|source| ServeError::Start { what: "the log's thread", source })?;
        let stopping = CancellationToken::new();
        let (conductor, owner, requests, catch_up) =
            replayed.conduct(store, &log, clock, &stopping);
        let mut tasks = JoinSet::new();
        tasks.spawn(owner.run(entries, requests));
        catch_up.run(&conductor, store, clock).await?;
        Ok(Core { conductor, metrics, log, stopping, owner: tasks })
    }

    /// Waits until the server is to stop, or cannot go on.
    async fn wait(
        &mut self,
        stop: &CancellationToken,
        running: &mut JoinSet<Result<(), String>>,
    ) -> Result<(), ServeError> {
        let ended = |what, reason| Err(ServeError::Ended { what, reason });
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(owner) = self.owner.join_next() => ended("the conductor", format!("{owner:?}")),
            Some(door) = running.join_next() => match door {
                // The listeners end on their own only when they are told to.
                Ok(Ok(())) if stop.is_cancelled() => Ok(()),
                Ok(Ok(())) => ended("a listener", "it was closed".to_owned()),
                Ok(Err(reason)) => ended("a listener", reason),
                Err(error) => ended("a listener", error.to_string()),
            },
        }
    }

    /// Stores everything that is in the log, with a checkpoint.
    async fn finish(mut self) -> Result<(), ServeError> {
        self.stopping.cancel();
        // Brings one more turn, and with it the checkpoint.
        if let Err(error) = self.conductor.append(Body::Tick).await {
            tracing::warn!(%error, "the last entry is not in the log");
        }
        self.log.stop().await;
        match self.owner.join_next().await {
            Some(Ok(stored)) => stored.map_err(ServeError::NotStored),
            Some(Err(error)) => {
                Err(ServeError::Ended { what: "the conductor", reason: error.to_string() })
            }
            None => Ok(()),
        }
    }
}

async fn replay(
    config: &Config,
    store: &Store,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<(Journal, crate::conductor::Replayed), ServeError> {
    let applied = store.applied().await.map_err(ReplayError::from)?;
    let (journal, recovery) =
        Journal::open(config.log_dir(), log::options(applied.position), Disk)?;
    if recovery.segments_damaged != 0 || recovery.records_missing != 0 {
        tracing::error!(
            segments = recovery.segments_damaged,
            records = recovery.records_missing,
            "the log was damaged: what could be read is kept, the rest is set aside"
        );
    }
    let replay = Replay { store, journal: &journal, clock, metrics: Arc::clone(metrics) };
    let replayed = replay.run().await?;
    let LogPosition(position) = replayed.position;
    tracing::info!(position, records = recovery.records, "the state of the last run is back");
    Ok((journal, replayed))
}

/// The listeners.
struct Doors {
    app: App,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Doors {
    fn serve_agents(
        &self,
        listener: tokio::net::TcpListener,
        sessions: &TaskTracker,
        running: &mut JoinSet<Result<(), String>>,
    ) -> Result<Arc<ServerCertificate>, ServeError> {
        let signed = self.app.authority.sign_server(self.app.clock.now())?;
        let certificate = Arc::new(ServerCertificate::new(signed));
        let config = listen::agents_tls(&self.app.authority, certificate.clone())?;
        let listener = self.tls(listener, config, Door::agents(), running)?;
        let ingest = Ingest::new(self.app.clone(), sessions.clone(), self.stop.clone());
        let service = AgentLinkServer::new(ingest)
            .max_decoding_message_size(wire::limits::FRAME_BYTES_MAX)
            .max_encoding_message_size(wire::limits::FRAME_BYTES_MAX);
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(wire::limits::KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(wire::limits::KEEPALIVE_TIMEOUT))
            .max_connection_age(CONNECTION_AGE_MAX)
            .max_connection_age_grace(CONNECTION_AGE_GRACE)
            .max_concurrent_streams(STREAMS_MAX)
            .add_service(service)
            .serve_with_incoming_shutdown(
                listener.into_streams(),
                self.stop.clone().cancelled_owned(),
            );
        running.spawn(async move { server.await.map_err(|error| crate::chain(&error)) });
        Ok(certificate)
    }

    fn serve_http(
        &self,
        listener: tokio::net::TcpListener,
        config: &Config,
        running: &mut JoinSet<Result<(), String>>,
    ) -> Result<(), ServeError> {
        let left = config.data_dir.join(HTTP_CERTIFICATE_FILE);
        listen::leave_certificate(&left, config.http.tls.as_ref())?;
        match &config.http.tls {
            Some(files) => {
                let tls = listen::http_tls(files)?;
                let listener = self.tls(listener, tls, Door::http(), running)?;
                self.serve_router(listener, running);
            }
            None => {
                let metrics = Arc::clone(&self.metrics);
                self.serve_router(PlainListener::new(listener, Door::http(), metrics), running);
            }
        }
        Ok(())
    }

    fn serve_router<L>(&self, listener: L, running: &mut JoinSet<Result<(), String>>)
    where
        L: Listener<Addr = SocketAddr>,
    {
        // Tapping is what gives the peer's address to handlers, whatever the listener.
        let listener = listener.tap_io(|_| ());
        let service =
            http::router(self.app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service)
            .with_graceful_shutdown(self.stop.clone().cancelled_owned());
        running.spawn(async move { serving.await.map_err(|error| error.to_string()) });
    }

    fn tls(
        &self,
        listener: tokio::net::TcpListener,
        config: rustls::ServerConfig,
        door: Door,
        running: &mut JoinSet<Result<(), String>>,
    ) -> Result<TlsListener, ServeError> {
        let (metrics, stop) = (Arc::clone(&self.metrics), self.stop.clone());
        let made = TlsListener::new(listener, config, door, metrics, stop);
        let (listener, accepting) =
            made.map_err(|source| ServeError::Start { what: "a TLS listener", source })?;
        running.spawn(async move {
            accepting.await;
            Ok(())
        });
        Ok(listener)
    }
}

/// The address by which this machine itself reaches a listener.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, bound.port())
}
