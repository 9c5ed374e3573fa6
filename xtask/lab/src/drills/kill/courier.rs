//! The agent that knows what it sent: numbered rounds, resent until they are acknowledged.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use bench::{
    fleet::TICK_BEGIN_US,
    link::{Identity, Link},
    now,
};
use model::{Confirm, Outcome, ProbeId, RoundFlags, Rtt, Subject, Tick};
use wire::{rounds::RoundRow, v1};

use crate::clock;

/// Rounds of a batch: few, so that many batches are under way whenever the server dies.
const BATCH_ROUNDS: usize = 20;
/// 40 batches a second: some are between their arrival and their acknowledgement at any instant.
const PACE: Duration = Duration::from_millis(25);
/// Batches that may wait for their acknowledgement. More are not made: like a spool that is full.
const WAITING_MAX: usize = 400;
/// How soon a server is dialled again: at once, for the kills to meet it at work.
const REDIAL: Duration = Duration::from_millis(50);

/// A batch as it was made. It keeps its name however often it is sent.
struct Parcel {
    epoch: u64,
    seq: u64,
    payload_zstd: Vec<u8>,
}

/// What is known from outside.
#[derive(Default)]
struct Told {
    /// Batches acknowledged.
    taken: AtomicU64,
    stop: AtomicBool,
}

/// Its work, in a thread of its own.
pub(super) struct Courier {
    told: Arc<Told>,
    work: JoinHandle<anyhow::Result<Sent>>,
}

/// Everything that was sent and acknowledged: the number of a round is its place in the list, its
/// probe is the entry. The number travels as the round-trip time.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) probes: Vec<u32>,
    /// Batches that were sent more than once.
    pub(super) resent: u64,
    pub(super) sessions: u64,
}

impl Courier {
    pub(super) fn start(identity: Identity, targets: u32) -> anyhow::Result<Courier> {
        let told = Arc::new(Told::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("no runtime for the courier")?;
        let own = Arc::clone(&told);
        let work = thread::spawn(move || runtime.block_on(carry(&identity, targets, &own)));
        Ok(Courier { told, work })
    }

    /// Batches that were acknowledged.
    pub(super) fn taken(&self) -> u64 {
        self.told.taken.load(Ordering::SeqCst)
    }

    pub(super) fn is_running(&self) -> bool {
        !self.work.is_finished()
    }

    /// Waits until more than `before` batches were acknowledged.
    pub(super) fn wait_taken(
        &self,
        before: u64,
        begun: Instant,
        max: Duration,
    ) -> anyhow::Result<()> {
        let look = || {
            if !self.is_running() {
                bail!("the courier gave up");
            }
            Ok((before < self.taken()).then_some(()))
        };
        clock::wait("the server takes a batch", begun, max, look).map(|_| ())
    }

    /// Makes no more rounds, and returns all of them when the last is acknowledged.
    pub(super) fn finish(self, max: Duration) -> anyhow::Result<Sent> {
        self.told.stop.store(true, Ordering::SeqCst);
        let is_done = || Ok(self.work.is_finished().then_some(()));
        clock::wait("the courier's last batches", clock::now(), max, is_done)?;
        self.work.join().map_err(|_| anyhow!("the courier panicked"))?
    }
}

/// Session after session, until everything is acknowledged and no more is wanted.
async fn carry(identity: &Identity, targets: u32, told: &Told) -> anyhow::Result<Sent> {
    let begun = now();
    let mut sent = Sent::default();
    let mut waiting: VecDeque<Parcel> = VecDeque::new();
    let mut probes = Vec::new();
    let mut last_epoch = 0;
    loop {
        let Ok(mut link) = Link::open(identity, begun, last_epoch).await else {
            tokio::time::sleep(REDIAL).await;
            continue;
        };
        last_epoch = link.epoch();
        if probes.is_empty() {
            let Ok(assigned) = link.assigned(targets).await else { continue };
            probes = assigned;
        }
        sent.sessions += 1;
        sent.resent += waiting.len() as u64;
        let mut session = Session { link: &mut link, probes: &probes, begun, told };
        match session.run(&mut waiting, &mut sent).await {
            Ok(()) => return Ok(sent),
            // What is refused stays refused: that is no broken session.
            Err(error) if error.to_string().contains("refused") => return Err(error),
            Err(_) => (),
        }
    }
}

struct Session<'a> {
    link: &'a mut Link,
    probes: &'a [u32],
    begun: Instant,
    told: &'a Told,
}

impl Session<'_> {
    /// Ends well when all is acknowledged and no more is wanted.
    async fn run(&mut self, waiting: &mut VecDeque<Parcel>, sent: &mut Sent) -> anyhow::Result<()> {
        for parcel in waiting.iter() {
            self.link.send(parcel.epoch, parcel.seq, parcel.payload_zstd.clone()).await?;
        }
        let mut seq = 0;
        let mut next_at = now();
        loop {
            let is_over = self.told.stop.load(Ordering::SeqCst);
            if is_over && waiting.is_empty() {
                return Ok(());
            }
            tokio::select! {
                answer = self.link.acknowledged() => self.settle(answer?, waiting),
                () = tokio::time::sleep_until(next_at.into()) => {
                    next_at = now() + PACE;
                    if is_over || WAITING_MAX <= waiting.len() {
                        continue;
                    }
                    seq += 1;
                    let payload_zstd = self.make(sent)?;
                    let parcel = Parcel { epoch: self.link.epoch(), seq, payload_zstd };
                    let (epoch, payload) = (parcel.epoch, parcel.payload_zstd.clone());
                    // First kept, then sent: as a spool does.
                    waiting.push_back(parcel);
                    self.link.send(epoch, seq, payload).await?;
                }
            }
        }
    }

    fn settle(&self, (epoch, seq): (u64, u64), waiting: &mut VecDeque<Parcel>) {
        let before = waiting.len();
        waiting.retain(|parcel| parcel.epoch != epoch || seq < parcel.seq);
        let taken = (before - waiting.len()) as u64;
        self.told.taken.fetch_add(taken, Ordering::SeqCst);
    }

    fn make(&self, sent: &mut Sent) -> anyhow::Result<Vec<u8>> {
        let tick = Tick(TICK_BEGIN_US + u64::try_from(self.begun.elapsed().as_micros())?);
        let mut rows = Vec::with_capacity(BATCH_ROUNDS);
        for _ in 0..BATCH_ROUNDS {
            let number = sent.probes.len();
            let probe = self.probes.get(number % self.probes.len()).context("no probes")?;
            sent.probes.push(*probe);
            rows.push(round(*probe, tick, u32::try_from(number)?));
        }
        let kind = v1::payload::Kind::Rounds(wire::rounds::encode_rounds(&rows));
        wire::seal(&v1::Payload { kind: Some(kind) }).context("cannot seal a payload")
    }
}

fn round(probe: u32, due_tick: Tick, number: u32) -> RoundRow {
    let rtt = Rtt { us_min: number, us_mean: number, us_max: number };
    RoundRow {
        subject: Subject::Probe(ProbeId(probe)),
        due_tick,
        outcome: Outcome::Asked {
            sent: 5,
            received: 5,
            rtt: Some(rtt),
            confirm: Confirm::default(),
        },
        flags: RoundFlags::default(),
        icmp_error: None,
        address: None,
    }
}
