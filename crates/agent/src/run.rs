//! The agent at work: one owner of spool, stream and probing, in bounded turns.
//!
//! Rounds come from the probing thread, are batched, made durable and then sent; everything the
//! server wants comes back on the same stream. Probing goes on whatever becomes of the server.

mod traces;
mod turns;

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::{Tick, UtcMicros};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use sdnotify::Notifier;
use sense::{Network, RoundRecord, TraceNetwork};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::{BootId, limits, v1};

use crate::{
    assignment::Collector,
    batcher::Batcher,
    clock::{self, Clock},
    config::Config,
    identity::{Identity, IdentityError},
    pace::Backoff,
    probing::{Probing, ProbingVitals},
    spool::{Spool, SpoolError},
    tls,
    traces::{Report, Traces},
    uplink::{self, Link, LinkError, OUTBOUND_RESERVE},
};

/// Lists of rounds between the probing thread and this loop: at 10,000 rounds a second and a list
/// every few milliseconds about a second, which is what a slow disk may take for one sync.
const ROUNDS_QUEUE_MAX: usize = 256;
/// Lists of rounds taken in one turn.
const ROUNDS_TURN_MAX: usize = 64;
/// A batch is never held longer.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// The first hello waits so long at most for the probing thread to say what it can.
const CAPABILITY_PATIENCE: Duration = Duration::from_secs(1);

/// From the word to stop to the last byte on disk, at most. Under a service manager its own limit
/// (`TimeoutStopSec`) is longer.
pub const STOP_MAX: Duration = Duration::from_secs(10);
/// The number of a process and a line break.
const LOCK_BYTES_MAX: u64 = 32;

/// Why the agent could not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "another agent{} runs with the state directory `{}`: stop that one, or give this one \
         another --state-dir",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), dir.display()
    )]
    AlreadyRunning { dir: PathBuf, pid: Option<u32> },
    #[error(
        "cannot use the state directory `{}`: let it belong to this user (uid {}) on a disk that \
         can be written, or name another by --state-dir", dir.display(), nix::unistd::geteuid()
    )]
    StateDir {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("key, certificate and authority do not go together: enrol this agent anew")]
    Tls(#[from] rustls::Error),
    #[error("cannot open the spool")]
    Spool(#[from] SpoolError),
    /// Nothing is asked any more, and only a new process can: the supervisor starts one.
    #[error("the probing thread panicked: restart the agent")]
    Probing,
    #[error("cannot tell the service manager anything: check NOTIFY_SOCKET")]
    Manager(#[source] io::Error),
    #[error(
        "the last rounds were not on disk within {} s of the word to stop and are given up; what \
         was made durable before is kept. Look at the disk of the state directory",
        STOP_MAX.as_secs()
    )]
    StopTooSlow,
}

/// Holds a state directory for one process.
///
/// # Errors
///
/// [`RunError::AlreadyRunning`] if another process has it.
pub fn lock_state_dir(dir: &Path) -> Result<File, RunError> {
    let fail = |source| RunError::StateDir { dir: dir.to_owned(), source };
    crate::files::create_private_dir(dir).map_err(fail)?;
    let mut options = OpenOptions::new();
    let path = dir.join("lock");
    let file = options.write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(fail)?;
            writeln!(file, "{}", std::process::id()).map_err(fail)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            // Only a person reads it: without, the error says less.
            let text = crate::files::read_limited(&path, LOCK_BYTES_MAX).unwrap_or_default();
            let pid = String::from_utf8_lossy(&text).trim().parse().ok();
            Err(RunError::AlreadyRunning { dir: dir.to_owned(), pid })
        }
        Err(TryLockError::Error(error)) => Err(fail(error)),
    }
}

/// Runs the agent until `stop`, then makes durable what it has, within [`STOP_MAX`], and says
/// whether it did.
///
/// # Errors
///
/// [`RunError`] if it cannot start; once it runs, it goes on whatever happens but the loss of its
/// probing thread.
pub async fn run(config: &Config, stop: &CancellationToken) -> Result<(), RunError> {
    let _lock = lock_state_dir(&config.state_dir)?;
    let manager = Notifier::from_environment().map_err(RunError::Manager)?;
    let agent = Agent::new(config, manager, Probing::start, None)?;
    tracing::info!(
        agent = %agent.identity.agent_name,
        version = crate::VERSION,
        backlog_batches = agent.spool.backlog_batches(),
        "agent started"
    );
    work(agent, stop).await
}

/// The networks that an agent asks in instead of its host's.
pub struct Networks {
    pub probes: Box<dyn Network + Send>,
    pub traces: Box<dyn TraceNetwork>,
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Networks(..)")
    }
}

/// The same in another network than the host's, beside others in one process: no service manager
/// is told of it.
///
/// # Errors
///
/// As [`run`].
pub async fn run_in(
    networks: Networks,
    config: &Config,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let _lock = lock_state_dir(&config.state_dir)?;
    let Networks { probes, traces } = networks;
    let start = |clock, rounds| Probing::start_in(probes, clock, rounds);
    work(Agent::new(config, Notifier::default(), start, Some(traces))?, stop).await
}

async fn work(mut agent: Agent, stop: &CancellationToken) -> Result<(), RunError> {
    agent.resume_assignment();
    agent.manager.ready(&format!("agent {}", agent.identity.agent_name));
    let conducted = agent.conduct(stop).await;
    agent.manager.stopping();
    // On a thread of its own: a disk that hangs must not keep the process.
    let ending = tokio::task::spawn_blocking(move || agent.end());
    match timeout(STOP_MAX, ending).await {
        Ok(Ok(())) => conducted,
        Ok(Err(_)) | Err(_) => conducted.and(Err(RunError::StopTooSlow)),
    }
}

fn beat_every(period: Duration) -> Interval {
    let mut beat = interval(period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// A dialled and welcomed stream, or why not.
type Opened = Result<(Link, v1::Welcome), LinkError>;
/// A new certificate, or why not.
type Renewed = Result<CertificateDer<'static>, String>;

/// Everything the agent has, in one hand.
struct Agent {
    config: Config,
    clock: Clock,
    boot: BootId,
    /// Names this process to the server, so that two with one identity are told apart.
    instance: [u8; 16],
    started_at: UtcMicros,
    identity: Identity,
    tls: Arc<ClientConfig>,
    probing: Probing,
    /// False once the probing thread has ended: it gives no rounds any more.
    is_probing: bool,
    rounds: mpsc::Receiver<Vec<RoundRecord>>,
    traces: Traces,
    trace_reports: mpsc::Receiver<Report>,
    /// What could not be said of traces yet.
    untold: VecDeque<Report>,
    batcher: Batcher,
    spool: Spool,
    vitals: ProbingVitals,
    flush: Interval,
    beat: Interval,
    manager: Notifier,
    /// Signs of life to the manager, if it wants any.
    alive: Option<Interval>,
    /// Turns of the probing thread at the last sign of life.
    turns_told: u64,
    link: Option<Link>,
    /// What the hello of the stream said, or of the one being dialled.
    capabilities_told: Vec<i32>,
    linked_at: Tick,
    /// When batches begin to carry the stream's own epoch, if they do not yet.
    turn_at: Option<Tick>,
    /// What sending waits for.
    wait: Wait,
    /// At most one.
    dialing: JoinSet<Opened>,
    dial_at: Instant,
    backoff: Backoff,
    collector: Collector,
    assignment_version: u64,
    /// At most one.
    renewing: JoinSet<Renewed>,
    renew_after: Tick,
    uplink_problem: Option<String>,
    spool_problem: Option<String>,
    batches_refused: u64,
    /// Results that the probing thread had dropped at the last look, and when that was.
    overrun: (u64, Tick),
    saved_at: Tick,
}

/// What has to happen before the next batch can go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Whatever comes next.
    Nothing,
    /// Room in the connection.
    Room,
    /// The server's pace.
    Until(Instant),
}

enum Event {
    Rounds(Vec<Vec<RoundRecord>>),
    Flush,
    Beat,
    Frame(Result<v1::server_frame::Kind, LinkError>),
    Opened(Box<Opened>),
    Renewed(Renewed),
    Dial,
    Pump,
    ProbingEnded,
    Trace(Report),
    Alive,
    Stop,
}

impl Agent {
    fn new(
        config: &Config,
        manager: Notifier,
        start: impl FnOnce(Clock, mpsc::Sender<Vec<RoundRecord>>) -> Probing,
        trace_network: Option<Box<dyn TraceNetwork>>,
    ) -> Result<Agent, RunError> {
        let identity = Identity::load(&config.state_dir)?;
        let clock = Clock::new();
        let boot = clock::boot_id();
        let spool = Spool::open(&config.state_dir, config.spool, clock, boot)?;
        let (sender, rounds) = mpsc::channel(ROUNDS_QUEUE_MAX);
        let mut flush = interval(FLUSH_INTERVAL);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (traces, trace_reports) = Traces::start(clock, trace_network);
        Ok(Agent {
            traces,
            trace_reports,
            untold: VecDeque::new(),
            tls: tls::enrolled(&identity)?,
            probing: start(clock, sender),
            is_probing: true,
            rounds,
            flush,
            beat: beat_every(limits::HEARTBEAT_INTERVAL),
            alive: manager.alive_interval().map(beat_every),
            manager,
            turns_told: 0,
            config: config.clone(),
            clock,
            boot,
            instance: crate::files::random(),
            started_at: clock.wall(),
            identity,
            spool,
            batcher: Batcher::default(),
            vitals: ProbingVitals::default(),
            link: None,
            capabilities_told: Vec::new(),
            linked_at: Tick(0),
            turn_at: None,
            wait: Wait::Nothing,
            dialing: JoinSet::new(),
            dial_at: Instant::now(),
            backoff: Backoff::default(),
            collector: Collector::default(),
            assignment_version: 0,
            renewing: JoinSet::new(),
            renew_after: Tick(0),
            uplink_problem: None,
            spool_problem: None,
            batches_refused: 0,
            overrun: (0, clock.tick()),
            saved_at: Tick(0),
        })
    }

    async fn conduct(&mut self, stop: &CancellationToken) -> Result<(), RunError> {
        loop {
            self.pump();
            match self.next_event(stop).await {
                Event::Rounds(lists) => self.handle_rounds(&lists),
                Event::Flush => self.flush(),
                Event::Beat => self.handle_beat(),
                Event::Frame(Ok(frame)) => self.handle_frame(frame),
                Event::Frame(Err(error)) => self.handle_link_lost(&error),
                Event::Opened(opened) => match *opened {
                    Ok((link, welcome)) => self.handle_opened(link, &welcome),
                    Err(error) => self.handle_link_lost(&error),
                },
                Event::Renewed(renewed) => self.handle_renewed(renewed),
                Event::Dial => self.dial(),
                Event::Pump => (),
                Event::ProbingEnded => self.handle_probing_ended()?,
                Event::Trace(report) => self.handle_report(report),
                Event::Alive => self.tell_alive(),
                Event::Stop => return Ok(()),
            }
        }
    }

    /// Waits for whatever comes first. Nothing is lost of what does not.
    async fn next_event(&mut self, stop: &CancellationToken) -> Event {
        let mut lists = Vec::new();
        let may_dial = self.link.is_none() && self.dialing.is_empty();
        let outbound = self.link.as_ref().map(Link::outbound);
        let wait = self.wait;
        let room = async {
            match (wait, outbound) {
                (Wait::Room, Some(outbound)) => {
                    // An error is the end of the connection, which the frames will say.
                    let permits = outbound.reserve_many(OUTBOUND_RESERVE + 1).await;
                    if permits.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                (Wait::Until(at), Some(_)) => sleep_until(at).await,
                (Wait::Nothing | Wait::Room | Wait::Until(_), _) => std::future::pending().await,
            }
        };
        let frame = async {
            match &mut self.link {
                Some(link) => link.next_frame().await,
                None => std::future::pending().await,
            }
        };
        let alive = async {
            match &mut self.alive {
                Some(alive) => alive.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Event::Stop,
            _ = alive => Event::Alive,
            _ = self.beat.tick() => Event::Beat,
            frame = frame => Event::Frame(frame),
            _ = self.flush.tick() => Event::Flush,
            Some(opened) = self.dialing.join_next() => {
                Event::Opened(Box::new(opened.unwrap_or(Err(LinkError::Silent))))
            }
            Some(renewed) = self.renewing.join_next() => {
                Event::Renewed(renewed.unwrap_or(Err("the task failed".to_owned())))
            }
            () = sleep_until(self.dial_at), if may_dial => Event::Dial,
            () = room => Event::Pump,
            Some(report) = self.trace_reports.recv() => Event::Trace(report),
            count = self.rounds.recv_many(&mut lists, ROUNDS_TURN_MAX), if self.is_probing => {
                if count == 0 { Event::ProbingEnded } else { Event::Rounds(lists) }
            }
        }
    }

    /// Tells the manager that the work goes on, if it does: this loop turns, for it is here, and
    /// the probing thread has turned since the last time.
    fn tell_alive(&mut self) {
        let turns = self.probing.turns();
        if turns != self.turns_told {
            self.turns_told = turns;
            self.manager.alive();
        }
    }

    fn dial(&mut self) {
        self.vitals = self.probing.vitals();
        let knows = self.vitals.icmp_v4 || self.vitals.icmp_v6 || self.vitals.impediment.is_some();
        if !knows && self.clock.wall().since(self.started_at) < CAPABILITY_PATIENCE {
            self.dial_at = Instant::now() + CAPABILITY_PATIENCE / 20;
            return;
        }
        let hello = self.hello();
        self.capabilities_told.clone_from(&hello.capabilities);
        let addresses = self.config.addresses.clone();
        let addresses = addresses.unwrap_or(self.identity.addresses.clone());
        let now = self.clock.tick();
        self.dialing.spawn(uplink::open(addresses, self.tls.clone(), hello, now));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::spool::SpoolLimits;

    /// An enrolled agent that has nobody to dial.
    fn enrolled(dir: &Path) -> Config {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["x".to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        let (addresses, key) = (Vec::new(), key.serialize_der());
        let name = "fra1".to_owned();
        let identity = Identity::new(7, name, addresses, certificate.clone(), certificate, key);
        identity.store(dir).expect("stores");
        Config {
            state_dir: dir.to_owned(),
            addresses: None,
            spool: SpoolLimits::default(),
            log: String::new(),
            is_log_json: false,
        }
    }

    /// A manager's socket, and a notifier that found it in its environment.
    fn manager(dir: &Path) -> (UnixDatagram, Notifier) {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).expect("binds");
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.display().to_string()),
            "WATCHDOG_USEC" => Some("3000".to_owned()),
            _ => None,
        };
        let notifier = Notifier::new(&variable, 1).expect("a notifier");
        (socket, notifier)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_manager_hears_of_life_only_while_the_probing_thread_turns() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = enrolled(dir.path());
        let (socket, notifier) = manager(dir.path());
        let mut agent =
            Agent::new(&config, notifier, |_, sender| Probing::ended(sender), None).expect("makes");
        agent.tell_alive();
        agent.tell_alive();
        socket.set_nonblocking(true).expect("sets");
        assert!(socket.recv(&mut [0; 64]).is_err(), "a thread that ended is no life");
        drop(agent);

        std::fs::remove_file(dir.path().join("notify")).expect("removes");
        let (socket, notifier) = manager(dir.path());
        let stop = CancellationToken::new();
        let mut agent = Agent::new(&config, notifier, Probing::start, None).expect("makes");
        let heard = tokio::task::spawn_blocking(move || {
            let mut bytes = [0; 64];
            let length = socket.recv(&mut bytes).expect("hears");
            bytes.get(..length).map(<[u8]>::to_vec)
        });
        let heard = tokio::select! {
            heard = heard => heard.expect("heard"),
            conducted = agent.conduct(&stop) => panic!("it ended: {conducted:?}"),
        };
        assert_eq!(heard.as_deref(), Some(b"WATCHDOG=1".as_slice()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_its_probing_thread_the_agent_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = enrolled(dir.path());
        let stop = CancellationToken::new();
        let none = Notifier::default;
        let panicking = |_, sender| Probing::panicking(sender);
        let mut agent = Agent::new(&config, none(), panicking, None).expect("makes");
        assert!(matches!(agent.conduct(&stop).await, Err(RunError::Probing)));
        drop(agent);
        // One that could not start says so as its impediment, and the agent goes on to tell.
        let ended = |_, sender| Probing::ended(sender);
        let mut agent = Agent::new(&config, none(), ended, None).expect("makes");
        assert!(agent.handle_probing_ended().is_ok());
    }
}
