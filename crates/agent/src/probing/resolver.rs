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
    ResolverBuilder, TokioResolver,
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
pub(crate) struct Answer {
    pub(crate) name: Hostname,
    pub(crate) addresses: Result<Vec<IpAddr>, ResolveFailure>,
    pub(crate) ttl: Duration,
}

/// The handle to the resolving thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Resolver {
    asks: mpsc::Sender<Hostname>,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// Starts the thread. `None` if the system gives none: the next name tries again.
    pub(crate) fn start() -> Option<Resolver> {
        Resolver::start_by(build)
    }

    fn start_by(build: impl Fn() -> Option<TokioResolver> + Send + 'static) -> Option<Resolver> {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (answer, answers) = sync_channel(ANSWERS_MAX);
        let run = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(serve(asked, answer, build)),
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
    pub(crate) fn has_room(&self) -> bool {
        0 < self.asks.capacity()
    }

    /// Asks a name; without room it is forgotten, and asked for again later.
    pub(crate) fn ask(&self, name: Hostname) {
        if self.asks.try_send(name).is_err() {
            tracing::debug!("the resolver has no room for another name");
        }
    }

    pub(crate) fn poll(&self) -> Result<Answer, TryRecvError> {
        self.answers.try_recv()
    }
}

async fn serve(
    mut asked: mpsc::Receiver<Hostname>,
    answers: SyncSender<Answer>,
    build: impl Fn() -> Option<TokioResolver>,
) {
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
    finish(match TokioResolver::builder_tokio() {
        Ok(builder) => builder,
        Err(error) => {
            // The host file still answers.
            tracing::warn!(%error, "no usable /etc/resolv.conf: names resolve by /etc/hosts only");
            let provider = TokioRuntimeProvider::default();
            TokioResolver::builder_with_config(ResolverConfig::default(), provider)
        }
    })
}

fn finish(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Option<TokioResolver> {
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

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, UdpSocket},
        sync::{
            Arc,
            atomic::{AtomicU8, Ordering},
        },
    };

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use model::{Address, NameAnswer, ProbeId, RoundFlags, Tick, Tier, TierId};
    use sense::{Assignment, Config, Key, ProbeTask, Prober, TierTiming};

    use super::*;
    use crate::batcher::Batcher;

    /// A DNS server in a thread of its own, for as long as the test: every name stands for
    /// 192.0.2.n, and has no other address.
    fn dns_server(n: Arc<AtomicU8>) -> u16 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = socket.local_addr().expect("an address").port();
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let answer = answer_of(&query[..length], n.load(Ordering::Relaxed));
                socket.send_to(&answer, from).expect("sends");
            }
        });
        port
    }

    /// The answer to a query for one name (RFC 1035, 4.1); what follows its question is ignored.
    fn answer_of(query: &[u8], n: u8) -> Vec<u8> {
        let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).expect("a name");
        let question = &query[12..name_end + 5];
        let is_v4 = query[name_end + 2] == 1;
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
        answer.extend(question);
        if is_v4 {
            // The question's name, A, IN, 30 s, four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, n]);
        }
        answer
    }

    fn prober() -> Prober {
        let tier = TierTiming {
            id: TierId(1),
            interval: Duration::from_secs(10),
            packets: 1,
            gap: Tier::GAP_MIN,
            timeout: Tier::TIMEOUT_MIN,
            payload_bytes: Tier::PAYLOAD_BYTES_MIN,
        };
        let address = Address::parse("core1.example.net").expect("a name");
        let probe = ProbeTask { id: ProbeId(1), tier: tier.id, address };
        let mut prober = Prober::new(Config { ident: 1 }, Key::new([7; 16]));
        prober.set_families(true, false);
        let (tiers, probes) = (vec![tier], vec![probe]);
        let assignment = Assignment { version: 1, tiers, probes, witnesses: Vec::new() };
        prober.set_assignment(&assignment, Tick(0));
        prober
    }

    /// Plays a minute and a half of the prober's time against the resolver; the names are asked
    /// for real.
    #[test]
    fn a_dns_server_that_answers_otherwise_is_in_the_batch_with_both_addresses() {
        let n = Arc::new(AtomicU8::new(1));
        let port = dns_server(Arc::clone(&n));
        let resolver = Resolver::start_by(move || {
            let mut connection = ConnectionConfig::udp();
            connection.port = port;
            let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let provider = TokioRuntimeProvider::default();
            finish(TokioResolver::builder_with_config(config, provider))
        });
        let resolver = resolver.expect("a thread");
        let (mut prober, mut batcher, mut packet) = (prober(), Batcher::default(), Vec::new());
        while let Some(now) = prober.poll_timeout().filter(|now| now.0 < 90_000_000) {
            prober.handle_timeout(now);
            while let Some(name) = prober.poll_resolve() {
                resolver.ask(name);
                let answer = resolver.answers.recv().expect("the resolver answers");
                let addresses = answer.addresses.as_deref().map_err(|failure| *failure);
                prober.handle_resolved(&answer.name, addresses, answer.ttl, now);
                // The next time it is asked, it stands for something else.
                n.store(7, Ordering::Relaxed);
            }
            while let Some(transmit) = prober.poll_transmit(now, &mut packet) {
                prober.handle_sent(transmit.token, Ok(now));
            }
            while let Some(record) = prober.poll_round() {
                batcher.push(&record);
            }
        }
        let rows = batcher.take().expect("rounds");
        let news: Vec<_> = rows.iter().filter_map(|row| Some((row.address?, row.flags))).collect();
        let ip = |n| IpAddr::from([192, 0, 2, n]);
        let first = NameAnswer { address: ip(1), was: None };
        let second = NameAnswer { address: ip(7), was: Some(ip(1)) };
        let expected = [(first, RoundFlags::default()), (second, RoundFlags::ADDRESS_CHANGED)];
        assert_eq!(news, expected);
    }
}
