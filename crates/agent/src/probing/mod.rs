//! Asking with real packets: a thread that drives `sense` with sockets and the host's own facts.
//!
//! One thread owns the prober and its sockets and sleeps between turns; a second one, started with
//! the first DNS name, resolves. The rest of the agent sees a handle: assignments go in, rounds
//! come out, and [`ProbingVitals`] say how well it goes.
//!
//! Deliberately not here: what a round means, where it is kept, how it travels.

pub mod bench;
mod driver;
mod host;
mod ports;
mod receive;
pub(crate) mod resolver;
pub(crate) mod socket;
mod sockets;
pub(crate) mod transmit;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use sense::{Assignment, Counters, Network, RoundRecord, SendLag};

use crate::clock::Clock;

/// What probing says about itself.
///
/// Counters are totals since the start; gauges are of now or of the time since the last call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbingVitals {
    pub packets_sent: u64,
    /// Replies in time, each once.
    pub replies: u64,
    /// Echo replies with our identifier that answer no packet of ours.
    pub strange_replies: u64,
    pub duplicate_replies: u64,
    /// Replies after their timeout.
    pub late_replies: u64,
    /// Packets that the kernel threw away because our receive buffer was full.
    pub kernel_drops: u64,
    /// Send and receive calls that failed, whatever the reason; a missing route is one.
    pub socket_errors: u64,
    pub rounds: u64,
    /// Rounds that were thrown away because nobody took them in time.
    pub results_dropped: u64,
    /// Probes assigned now, gateway and witnesses apart.
    pub probes: u32,
    /// How late packets left against their due time since the last call: median (a power of two
    /// less one) and worst, in microseconds.
    pub send_lag_us_p50: u32,
    pub send_lag_us_max: u32,
    /// Why nothing can be asked, in words, with the one command that helps. `None` if all is well.
    pub impediment: Option<String>,
    /// Whether a socket of the family is open.
    pub icmp_v4: bool,
    pub icmp_v6: bool,
}

/// The handle to the probing thread, which stops when this is dropped.
#[derive(Debug)]
pub struct Probing {
    shared: Arc<Mutex<Shared>>,
    /// Wakes the thread; its end stops it.
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the handle and the thread exchange.
#[derive(Debug, Default)]
struct Shared {
    /// The newest assignment that the thread has not seen yet.
    assignment: Option<Assignment>,
    counters: Counters,
    vitals: ProbingVitals,
    send_lag: SendLag,
    /// Turns of the thread since its start.
    turns: u64,
}

impl Probing {
    /// Starts the probing thread.
    ///
    /// It never fails for want of permission: then every round is `NotAsked`, `impediment` says the
    /// remedy, and the sockets are tried again until it works. `rounds` is bounded by its maker;
    /// rounds that find it full for long are dropped and counted.
    pub fn start(clock: Clock, rounds: tokio::sync::mpsc::Sender<Vec<RoundRecord>>) -> Probing {
        Probing::begin(clock, sockets::reach(clock), rounds)
    }

    /// The same in any network.
    pub(crate) fn start_in(
        network: Box<dyn Network + Send>,
        clock: Clock,
        rounds: tokio::sync::mpsc::Sender<Vec<RoundRecord>>,
    ) -> Probing {
        Probing::begin(clock, Box::new(|_| network), rounds)
    }

    fn begin(
        clock: Clock,
        reach: driver::Reach,
        rounds: tokio::sync::mpsc::Sender<Vec<RoundRecord>>,
    ) -> Probing {
        let shared = Arc::new(Mutex::new(Shared::default()));
        // One pending wake-up is enough: the thread looks at everything when it wakes.
        let (wake, woken) = mpsc::sync_channel(1);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("probing".to_owned())
            .spawn(move || driver::run(clock, reach, &theirs, &woken, &rounds));
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                tracing::error!(%error, "cannot start the probing thread");
                lock(&shared).vitals.impediment = Some(format!(
                    "the probing thread did not start ({error}): raise the limit of processes \
                     (`ulimit -u`) and restart the agent"
                ));
                None
            }
        };
        Probing { shared, wake: Some(wake), thread }
    }

    /// Replaces what is asked. Of several in quick succession only the last is applied.
    pub fn assign(&self, assignment: Assignment) {
        lock(&self.shared).assignment = Some(assignment);
        if let Some(wake) = &self.wake {
            // Full means that it is being woken already; closed, that it could not start.
            wake.try_send(()).ok();
        }
    }

    /// Returns how often the thread has turned. It turns at least twenty times a second, whatever
    /// there is to ask: a number that stands still is a thread that hangs or has ended.
    pub(crate) fn turns(&self) -> u64 {
        lock(&self.shared).turns
    }

    /// Returns how probing goes; the send lag covers the time since the last call.
    pub fn vitals(&self) -> ProbingVitals {
        let mut shared = lock(&self.shared);
        let send_lag = std::mem::take(&mut shared.send_lag);
        let Counters { packets_sent, replies, rounds, .. } = shared.counters;
        let Counters { strange_replies, duplicate_replies, late_replies, .. } = shared.counters;
        ProbingVitals {
            packets_sent,
            replies,
            strange_replies,
            duplicate_replies,
            late_replies,
            rounds,
            send_lag_us_p50: send_lag.us_p50(),
            send_lag_us_max: send_lag.us_max(),
            ..shared.vitals.clone()
        }
    }
}

impl Probing {
    /// Whether the thread panicked. Asked after it let go of its rounds: waits for its very end.
    pub(crate) fn has_panicked(&mut self) -> bool {
        self.thread.take().is_some_and(|thread| thread.join().is_err())
    }

    /// A thread that ends in a panic.
    #[cfg(test)]
    pub(crate) fn panicking(rounds: tokio::sync::mpsc::Sender<Vec<RoundRecord>>) -> Probing {
        let thread = thread::spawn(move || {
            let _rounds = rounds;
            panic!("as the test wants");
        });
        Probing { shared: Arc::default(), wake: None, thread: Some(thread) }
    }

    /// A thread that ends at once.
    #[cfg(test)]
    pub(crate) fn ended(rounds: tokio::sync::mpsc::Sender<Vec<RoundRecord>>) -> Probing {
        let thread = thread::spawn(move || drop(rounds));
        Probing { shared: Arc::default(), wake: None, thread: Some(thread) }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the probing thread panicked");
        }
    }
}

/// Takes the lock; what a panicked thread left is still only numbers.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{Address, NotAsked, Outcome, ProbeId, RoundFlags, Subject, Tier, TierId};
    use sense::{ProbeTask, TierTiming};

    use super::*;

    /// Enough probes for the first round to be due at once, whatever the time.
    const PROBES: u32 = 100;

    /// Which of both is expected depends on what this host permits, not on what probing does.
    #[test]
    fn loopback_answers_or_the_impediment_says_what_is_missing() {
        let may_ask = socket::open(sense::Family::V4, 1).is_ok();
        let (rounds, mut taken) = tokio::sync::mpsc::channel(16);
        let probing = Probing::start(Clock, rounds);
        let tier = TierTiming {
            id: TierId(1),
            interval: Tier::INTERVAL_MIN,
            packets: 1,
            gap: Tier::GAP_MIN,
            timeout: Tier::TIMEOUT_MIN,
            payload_bytes: Tier::PAYLOAD_BYTES_MIN,
        };
        let task = |id| ProbeTask {
            id: ProbeId(id),
            tier: tier.id,
            address: Address::parse("127.0.0.1").expect("an address"),
        };
        probing.assign(Assignment {
            version: 1,
            tiers: vec![tier],
            probes: (1..=PROBES).map(task).collect(),
            witnesses: Vec::new(),
        });
        let is_probe = |round: &RoundRecord| matches!(round.subject, Subject::Probe(_));
        let round = loop {
            let batch = taken.blocking_recv().expect("probing runs");
            if let Some(round) = batch.into_iter().find(is_probe) {
                break round;
            }
        };
        let vitals = probing.vitals();
        assert_eq!(vitals.probes, PROBES);
        match round.outcome {
            Outcome::Asked { sent, received, rtt, .. } => {
                assert!(may_ask);
                assert_eq!((sent, received), (1, 1));
                let rtt_us = rtt.expect("one reply").us_max;
                assert!(Duration::from_micros(rtt_us.into()) <= Tier::TIMEOUT_MIN);
                assert!(round.flags.contains(RoundFlags::LOCAL));
                assert!(vitals.icmp_v4 && vitals.impediment.is_none() && 0 < vitals.replies);
            }
            Outcome::NotAsked(reason) => {
                assert_eq!((reason, may_ask), (NotAsked::Permission, false));
                assert!(vitals.impediment.is_some_and(|words| words.contains("sysctl -w")));
            }
        }
    }
}
