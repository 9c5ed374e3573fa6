//! Resolving names on a thread of its own, so that a slow resolver delays no packet.
//!
//! It follows `/etc/resolv.conf` and `/etc/hosts` and notices when they change. It keeps no cache:
//! when to ask again is decided by `sense`.

use std::{
    fs,
    net::IpAddr,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread,
    time::{Duration, SystemTime},
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use model::Hostname;
use sense::ResolveFailure;
use tokio::{sync::mpsc, task::JoinSet};

/// Names asked at the same time, and waiting to be.
const ASKS_MAX: usize = 64;
/// Answers that wait for the probing thread, which looks every few milliseconds.
const ANSWERS_MAX: usize = 1024;
/// Addresses taken of one answer.
const ADDRESSES_MAX: usize = 64;
/// For one question to one server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// For one name altogether.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of one name.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) name: Hostname,
    pub(super) addresses: Result<Vec<IpAddr>, ResolveFailure>,
    pub(super) ttl: Duration,
}

/// The handle to the resolving thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    asks: mpsc::Sender<Hostname>,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// Starts the thread. `None` if the system gives none: the next name tries again.
    pub(super) fn start() -> Option<Resolver> {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (answer, answers) = sync_channel(ANSWERS_MAX);
        let run = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(serve(asked, answer)),
            Err(error) => tracing::error!(%error, "cannot start the resolver"),
        };
        match thread::Builder::new().name("resolver".to_owned()).spawn(run) {
            Ok(_) => Some(Resolver { asks, answers }),
            Err(error) => {
                tracing::error!(%error, "cannot start the resolver's thread");
                None
            }
        }
    }

    /// Says whether another name can be asked now.
    pub(super) fn has_room(&self) -> bool {
        0 < self.asks.capacity()
    }

    /// Asks a name; without room it is forgotten, and asked for again later.
    pub(super) fn ask(&self, name: Hostname) {
        if self.asks.try_send(name).is_err() {
            tracing::debug!("the resolver has no room for another name");
        }
    }

    pub(super) fn poll(&self) -> Result<Answer, TryRecvError> {
        self.answers.try_recv()
    }
}

async fn serve(mut asked: mpsc::Receiver<Hostname>, answers: SyncSender<Answer>) {
    let mut under_way: JoinSet<Answer> = JoinSet::new();
    let mut held: Option<(Version, TokioResolver)> = None;
    loop {
        tokio::select! {
            name = asked.recv(), if under_way.len() < ASKS_MAX => {
                let Some(name) = name else { return };
                let version = Version::read();
                if held.as_ref().is_none_or(|(known, _)| *known != version) {
                    held = build().map(|resolver| (version, resolver));
                }
                under_way.spawn(ask(held.as_ref().map(|(_, r)| r.clone()), name));
            }
            Some(done) = under_way.join_next() => {
                // Full or gone: the prober asks again when its patience ends.
                if let Ok(answer) = done {
                    drop(answers.try_send(answer));
                }
            }
        }
    }
}

async fn ask(resolver: Option<TokioResolver>, name: Hostname) -> Answer {
    let failed = |failure| (Err(failure), Duration::ZERO);
    let (addresses, ttl) = match resolver {
        None => failed(ResolveFailure::Unanswered),
        // The final dot: no search domains, the same answer on every agent.
        Some(resolver) => {
            let looked_up = resolver.lookup_ip(format!("{}.", name.as_str()));
            match tokio::time::timeout(PATIENCE, looked_up).await {
                Ok(Ok(found)) => {
                    let records = found.as_lookup().answers();
                    let ttl_s = records.iter().map(|record| record.ttl).min().unwrap_or(0);
                    let addresses = found.iter().take(ADDRESSES_MAX).collect();
                    (Ok(addresses), Duration::from_secs(u64::from(ttl_s)))
                }
                Ok(Err(error)) if error.is_no_records_found() => failed(ResolveFailure::NoAddress),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "no resolver answered");
                    failed(ResolveFailure::Unanswered)
                }
                Err(_) => failed(ResolveFailure::Unanswered),
            }
        }
    };
    Answer { name, addresses, ttl }
}

/// Which state of the system's configuration a resolver was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version([Option<SystemTime>; 2]);

impl Version {
    fn read() -> Version {
        Version(
            ["/etc/resolv.conf", "/etc/hosts"].map(|path| fs::metadata(path).ok()?.modified().ok()),
        )
    }
}

fn build() -> Option<TokioResolver> {
    let mut builder = match TokioResolver::builder_tokio() {
        Ok(builder) => builder,
        Err(error) => {
            // The host file still answers.
            tracing::warn!(%error, "no usable /etc/resolv.conf: names resolve by /etc/hosts only");
            let provider = TokioRuntimeProvider::default();
            TokioResolver::builder_with_config(ResolverConfig::default(), provider)
        }
    };
    let options = builder.options_mut();
    options.timeout = TIMEOUT;
    options.attempts = 2;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Always;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    match builder.build() {
        Ok(resolver) => Some(resolver),
        Err(error) => {
            tracing::warn!(%error, "cannot make a resolver");
            None
        }
    }
}
