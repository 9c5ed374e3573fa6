//! The probing thread: turns of receive, deadlines, send, hand over, sleep.
//!
//! It sleeps until the prober's next deadline and never until a packet comes: the kernel stamps
//! replies when they arrive, so reading them a little later costs nothing, and one wake-up serves
//! many packets.

use std::{
    sync::{
        Mutex,
        mpsc::{Receiver as StdReceiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use model::Tick;
use sense::{Config, Key, Network, Prober, RoundRecord};
use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::{
    Shared, lock,
    resolver::{Answer, Resolver},
};
use crate::clock::Clock;

/// The shortest sleep: packets that are due within it leave together, this much late at most.
const TURN_MIN: Duration = Duration::from_millis(1);
/// The longest sleep: replies wait no longer than this in the kernel's buffer.
const TURN_MAX: Duration = Duration::from_millis(50);
/// Between two hand-overs of rounds and vitals.
const HAND_OVER_INTERVAL: Duration = Duration::from_millis(200);
/// Rounds handed over in one piece: a third of what a batch on the wire may hold.
const ROUNDS_BATCH_MAX: usize = 4096;
/// Rounds held back while nobody takes them: a few seconds at the highest rates.
const ROUNDS_HELD_MAX: usize = 1 << 17;

/// Everything that the probing thread owns.
pub(super) struct Driver {
    pub(super) clock: Clock,
    pub(super) prober: Prober,
    network: Box<dyn Network>,
    resolver: Option<Resolver>,
    rounds: Vec<RoundRecord>,
    handed_over_at: Tick,
    results_dropped: u64,
    kernel_drops: u64,
    socket_errors: u64,
}

/// Runs until `woken` has no sender any more.
pub(super) fn run(
    clock: Clock,
    reach: Reach,
    shared: &Mutex<Shared>,
    woken: &StdReceiver<()>,
    rounds: &Sender<Vec<RoundRecord>>,
) {
    let mut driver = match Driver::new(clock, reach) {
        Ok(driver) => driver,
        Err(error) => {
            tracing::error!(%error, "cannot start probing");
            lock(shared).vitals.impediment =
                Some(format!("the system gives no random numbers ({error}); restart the agent"));
            return;
        }
    };
    loop {
        let assignment = {
            let mut shared = lock(shared);
            shared.turns += 1;
            shared.assignment.take()
        };
        if let Some(assignment) = assignment {
            tracing::info!(
                version = assignment.version,
                probes = assignment.probes.len(),
                "new assignment"
            );
            driver.prober.set_assignment(&assignment, clock.tick());
        }
        let wait = driver.turn();
        driver.hand_over(shared, rounds);
        if !sleep(woken, wait) {
            return;
        }
    }
}

/// Sleeps for `wait` or until woken; false if nobody is left who could wake it.
pub(super) fn sleep(woken: &StdReceiver<()>, wait: Duration) -> bool {
    let slept = if wait.is_zero() {
        woken.try_recv().map_err(|error| error == TryRecvError::Disconnected)
    } else {
        woken.recv_timeout(wait).map_err(|error| error == RecvTimeoutError::Disconnected)
    };
    slept != Err(true)
}

/// Makes a network for a prober whose requests have this identifier.
pub(super) type Reach = Box<dyn FnOnce(u16) -> Box<dyn Network> + Send>;

impl Driver {
    /// Opens what can be opened.
    ///
    /// # Errors
    ///
    /// If the system gives no random key.
    pub(super) fn new(clock: Clock, reach: Reach) -> Result<Driver, getrandom::Error> {
        let (mut key, mut ident) = ([0_u8; 16], [0_u8; 2]);
        getrandom::fill(&mut key)?;
        getrandom::fill(&mut ident)?;
        let ident = u16::from_be_bytes(ident);
        let mut prober = Prober::new(Config { ident }, Key::new(key));
        let now = clock.tick();
        let mut network = reach(ident);
        network.refresh(&mut prober, now);
        Ok(Driver {
            clock,
            prober,
            network,
            resolver: None,
            rounds: Vec::new(),
            handed_over_at: now,
            results_dropped: 0,
            kernel_drops: 0,
            socket_errors: 0,
        })
    }

    /// Does one turn of bounded work and returns how long to sleep.
    pub(super) fn turn(&mut self) -> Duration {
        let now = self.clock.tick();
        self.network.refresh(&mut self.prober, now);
        let received = self.network.receive(&mut self.prober, now);
        self.kernel_drops += received.drops;
        self.prober.handle_timeout(now);
        let sent = self.network.transmit(&mut self.prober, now);
        self.socket_errors += received.errors + sent.errors;
        self.resolve();
        while self.rounds.len() < ROUNDS_HELD_MAX {
            let Some(round) = self.prober.poll_round() else {
                break;
            };
            self.rounds.push(round);
        }
        while self.prober.poll_round().is_some() {
            self.results_dropped += 1;
        }
        if sent.is_full {
            return Duration::ZERO; // More may be due already.
        }
        let next = self.prober.poll_timeout();
        let until = next.map_or(TURN_MAX, |next| next.since(self.clock.tick()));
        until.clamp(TURN_MIN, TURN_MAX)
    }

    /// Takes the rounds that came out so far.
    pub(super) fn take_rounds(&mut self) -> Vec<RoundRecord> {
        std::mem::take(&mut self.rounds)
    }

    fn resolve(&mut self) {
        while self.resolver.as_ref().is_none_or(Resolver::has_room) {
            let Some(name) = self.prober.poll_resolve() else {
                break;
            };
            if self.resolver.is_none() {
                self.resolver = Resolver::start();
            }
            if let Some(resolver) = &self.resolver {
                resolver.ask(name);
            }
        }
        let Some(resolver) = &self.resolver else {
            return;
        };
        loop {
            match resolver.poll() {
                Ok(Answer { name, addresses, ttl }) => {
                    let answer = addresses.as_deref().map_err(|failure| *failure);
                    self.prober.handle_resolved(&name, answer, ttl, self.clock.tick());
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.resolver = None; // Its thread died: the next name starts another.
                    return;
                }
            }
        }
    }

    /// Hands rounds and vitals over, when it is time.
    fn hand_over(&mut self, shared: &Mutex<Shared>, rounds: &Sender<Vec<RoundRecord>>) {
        let now = self.clock.tick();
        let is_time = HAND_OVER_INTERVAL <= now.since(self.handed_over_at);
        if !is_time && self.rounds.len() < ROUNDS_BATCH_MAX {
            return;
        }
        if is_time {
            self.handed_over_at = now;
            self.publish(shared);
        }
        while !self.rounds.is_empty() {
            let batch = self.rounds.drain(..self.rounds.len().min(ROUNDS_BATCH_MAX)).collect();
            match rounds.try_send(batch) {
                Ok(()) => (),
                Err(TrySendError::Full(mut batch)) => {
                    batch.append(&mut self.rounds);
                    self.rounds = batch;
                    return;
                }
                Err(TrySendError::Closed(batch)) => self.results_dropped += batch.len() as u64,
            }
        }
    }

    fn publish(&mut self, shared: &Mutex<Shared>) {
        let send_lag = self.prober.take_send_lag();
        let mut shared = lock(shared);
        shared.counters = self.prober.counters();
        shared.send_lag.merge(&send_lag);
        let vitals = &mut shared.vitals;
        vitals.kernel_drops = self.kernel_drops;
        vitals.socket_errors = self.socket_errors;
        vitals.results_dropped = self.results_dropped;
        vitals.probes = u32::try_from(self.prober.probe_count()).unwrap_or(u32::MAX);
        let state = self.network.state();
        vitals.impediment = state.impediment;
        vitals.icmp_v4 = state.has_v4;
        vitals.icmp_v6 = state.has_v6;
    }
}
