//! One simulated agent: the real prober, the real wire, a spool that survives it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use model::{Address, Capabilities, Outcome, ProbeId, Subject, Tick, Tier, TierId};
use sense::{Assignment, ProbeTask, Prober, TierTiming};
use wire::flow::{Next, Offer, next};

use crate::{
    net::{VirtualNet, gateway_address, target_address},
    rng::Rng,
    uplink::{Frame, SpooledBatch, Uplink},
    world::World,
};

const FLUSH_US: u64 = 1_000_000;
const HEARTBEAT_US: u64 = 5_000_000;
const REDIAL_US: u64 = 2_000_000;
const RECENT_US_MAX: u64 = 15_000_000;
const ROUND_US_MAX: u64 = 5_000_000;
/// Time between two batches of a backlog, at least and at most: each agent draws its own.
const BACKLOG_GAP_US: (u64, u64) = (50_000, 1_000_000);
/// A spool that holds more has an end that never acknowledges.
pub(crate) const SPOOL_BATCHES_MAX: usize = 10_000;

pub(crate) struct SimAgent {
    pub id: u32,
    rng: Rng,
    /// `None` while the process is gone.
    prober: Option<Prober>,
    boot: u32,
    /// What the agent's monotonic clock showed at the start of the scenario, in this boot.
    tick_origin_us: u64,
    rounds: Vec<sense::RoundRecord>,
    flush_at_us: u64,
    heartbeat_at_us: u64,
    redial_at_us: u64,
    pub uplink: Uplink,
    is_connected: bool,
    pub epoch: u64,
    next_seq: u64,
    is_welcomed: bool,
    /// The newest epoch granted, and when batches begin to carry it.
    granted: (u64, u64),
    spool: VecDeque<SpooledBatch>,
    /// Batches of the spool that are on their way: epoch, seq.
    sent: BTreeSet<(u64, u64)>,
    /// Batches of this epoch and later are live, the others a backlog.
    live_from: u64,
    backlog_gap_us: u64,
    /// When another batch of the backlog may go.
    backlog_at_us: u64,
    /// What is in acknowledged or spooled batches, by probe.
    pub closed: BTreeMap<ProbeId, u64>,
    pub acknowledged: BTreeMap<ProbeId, u64>,
}

impl std::fmt::Debug for SimAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimAgent").field("id", &self.id).field("epoch", &self.epoch).finish()
    }
}

impl SimAgent {
    pub(crate) fn new(id: u32, rng: &Rng) -> SimAgent {
        let mut rng = rng.fork(100 + u64::from(id));
        let tick_origin_us = rng.between(1_000_000, 1_000_000_000_000);
        SimAgent {
            id,
            uplink: Uplink::new(rng.fork(7)),
            backlog_gap_us: rng.fork(9).between(BACKLOG_GAP_US.0, BACKLOG_GAP_US.1),
            backlog_at_us: 0,
            live_from: 0,
            is_welcomed: false,
            granted: (0, 0),
            rng,
            prober: None,
            boot: 0,
            tick_origin_us,
            rounds: Vec::new(),
            flush_at_us: 0,
            heartbeat_at_us: 0,
            redial_at_us: 0,
            is_connected: false,
            epoch: 0,
            next_seq: 1,
            spool: VecDeque::new(),
            sent: BTreeSet::new(),
            closed: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
        }
    }

    pub(crate) fn tick(&self, now_us: u64) -> Tick {
        Tick(self.tick_origin_us + now_us)
    }

    fn at_us(&self, tick: Tick) -> u64 {
        tick.0.saturating_sub(self.tick_origin_us)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Starts and stops the process as the world has it. A start may be of the whole machine: then
    /// its ticks begin anew.
    pub(crate) fn follow(&mut self, world: &World, now_us: u64) {
        let runs = world.agent_runs(self.id, now_us);
        if !runs && self.prober.is_some() {
            self.prober = None;
            self.rounds.clear();
            self.disconnect();
        }
        if runs && self.prober.is_none() {
            if self.boot == 0 || self.rng.chance_ppm(500_000) {
                self.boot += 1;
                self.tick_origin_us = self.rng.between(1_000_000, 1_000_000_000_000);
            }
            self.prober = Some(self.start_prober(world, now_us));
            self.flush_at_us = now_us + self.rng.between(1, FLUSH_US);
        }
        if !world.uplink_works(self.id, now_us) || !world.server_runs(now_us) {
            self.disconnect();
        }
    }

    fn start_prober(&mut self, world: &World, now_us: u64) -> Prober {
        let scenario = &world.scenario;
        let tier = TierId(1);
        let timing = TierTiming {
            id: tier,
            interval: Duration::from_secs(scenario.interval_s.into()),
            packets: scenario.packets,
            gap: Tier::GAP_DEFAULT,
            timeout: Tier::TIMEOUT_DEFAULT,
            payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
        };
        let task = |target| ProbeTask {
            id: ProbeId(target),
            tier,
            address: Address::Ip(target_address(target)),
        };
        let probes = (1..=scenario.targets).map(task).collect();
        let assignment = Assignment { version: 1, tiers: vec![timing], probes, witnesses: vec![] };
        let mut prober = crate::adapt::prober(&mut self.rng);
        prober.set_gateway(Some(gateway_address()), self.tick(now_us));
        prober.set_assignment(&assignment, self.tick(now_us));
        prober
    }

    pub(crate) fn disconnect(&mut self) {
        self.is_connected = false;
        self.is_welcomed = false;
        self.sent.clear();
        self.uplink.cut();
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let prober = self.prober.as_ref()?;
        let probing = prober.poll_timeout().map(|tick| self.at_us(tick));
        let dial = if self.is_connected { self.heartbeat_at_us } else { self.redial_at_us };
        let has_backlog = self.is_welcomed && self.unsent(false).is_some();
        let backlog = has_backlog.then_some(self.backlog_at_us);
        [probing, Some(self.flush_at_us), Some(dial), backlog].into_iter().flatten().min()
    }

    /// Takes what the network brought.
    pub(crate) fn handle_reply(&mut self, world: &World, from: IpAddr, bytes: &[u8], now_us: u64) {
        let tick = self.tick(now_us);
        if let Some(prober) = &mut self.prober {
            if from != gateway_address() && world.agent_drops(self.id, now_us) {
                prober.handle_doubt(tick);
            } else {
                prober.handle_receive(from, bytes, tick);
            }
        }
        self.collect();
    }

    pub(crate) fn handle_timeout(&mut self, world: &World, net: &mut VirtualNet, now_us: u64) {
        let tick = self.tick(now_us);
        let Some(prober) = &mut self.prober else {
            return;
        };
        prober.handle_timeout(tick);
        let may_send = world.agent_may_send(self.id, now_us);
        crate::adapt::transmit(prober, may_send, tick, |to, reply| {
            net.handle_transmit(world, self.id, to, reply, now_us);
        });
        self.collect();
        if self.flush_at_us <= now_us {
            self.flush_at_us = now_us + FLUSH_US;
            self.close_batch(world, now_us);
            self.turn(now_us);
        }
        self.talk(world, now_us);
    }

    fn collect(&mut self) {
        let Some(prober) = &mut self.prober else {
            return;
        };
        while let Some(record) = prober.poll_round() {
            self.rounds.push(record);
        }
    }

    fn wall_us(&self, world: &World, now_us: u64) -> i64 {
        let error_us = world.agent_clock_error_s(self.id, now_us) * 1_000_000;
        crate::run::ORIGIN.0 + i64::try_from(now_us).unwrap_or(0) + error_us
    }

    /// Puts what was learned into a batch, on disk. Without an epoch there is nothing to ask yet.
    fn close_batch(&mut self, world: &World, now_us: u64) {
        if self.rounds.is_empty() || self.epoch == 0 || SPOOL_BATCHES_MAX <= self.spool.len() {
            return;
        }
        let rounds = std::mem::take(&mut self.rounds);
        if world.agent_is_mute(self.id, now_us) {
            return;
        }
        let packets = sent_by_probe(&rounds);
        for (probe, sent) in &packets {
            *self.closed.entry(*probe).or_default() += sent;
        }
        let payload_zstd = crate::adapt::seal(&rounds);
        self.spool.push_back(SpooledBatch {
            epoch: self.epoch,
            seq: self.next_seq,
            boot: self.boot,
            closed_tick_us: self.tick(now_us).0,
            closed_wall_us: self.wall_us(world, now_us),
            payload_zstd,
            wall_error_us: self.wall_us(world, now_us) - crate::run::utc(now_us).0,
            packets,
        });
        self.next_seq += 1;
    }

    fn talk(&mut self, world: &World, now_us: u64) {
        let is_rough = world.uplink_is_rough(self.id, now_us);
        let (boot, tick_us) = (self.boot, self.tick(now_us).0);
        let wall_us = self.wall_us(world, now_us);
        if !self.is_connected {
            if now_us < self.redial_at_us {
                return;
            }
            self.redial_at_us = now_us + REDIAL_US;
            if !world.uplink_works(self.id, now_us) || !world.server_runs(now_us) {
                return;
            }
            self.uplink.cut();
            self.sent.clear();
            self.is_welcomed = false;
            let may_send = world.agent_may_send(self.id, now_us);
            let capabilities =
                if may_send { Capabilities::ICMP_V4 } else { Capabilities::default() };
            let hello = Frame::Hello { boot, tick_us, wall_us, capabilities };
            self.is_connected = self.uplink.send(hello, is_rough, now_us);
            self.heartbeat_at_us = now_us + HEARTBEAT_US;
            return;
        }
        if self.heartbeat_at_us <= now_us {
            self.heartbeat_at_us = now_us + HEARTBEAT_US;
            let frame = Frame::Heartbeat { boot, tick_us, wall_us };
            if !self.uplink.send(frame, is_rough, now_us) {
                return self.disconnect();
            }
        }
        if self.is_welcomed && !self.pump(is_rough, now_us) {
            self.disconnect();
        }
    }

    /// The first batch of a lane that is not on its way.
    fn unsent(&self, is_live: bool) -> Option<&SpooledBatch> {
        let is_of_lane = |batch: &&SpooledBatch| (self.live_from <= batch.epoch) == is_live;
        let mut lane = self.spool.iter().filter(is_of_lane);
        lane.find(|batch| !self.sent.contains(&(batch.epoch, batch.seq)))
    }

    /// Sends what may go, as the real agent chooses it. False if the stream broke over it.
    fn pump(&mut self, is_rough: bool, now_us: u64) -> bool {
        loop {
            let (live, backlog) = (self.unsent(true), self.unsent(false));
            let chosen = next(&Offer {
                has_live: live.is_some(),
                has_backlog: backlog.is_some(),
                has_room: true,
                is_live_open: true,
                is_backlog_open: true,
                pace: Duration::ZERO,
                backlog_pace: Duration::from_micros(self.backlog_at_us.saturating_sub(now_us)),
            });
            let batch = match chosen {
                Next::Live => live.cloned(),
                Next::Backlog => {
                    let batch = backlog.cloned();
                    self.backlog_at_us = now_us + self.backlog_gap_us;
                    batch
                }
                Next::Nothing | Next::Room | Next::Later(_) => None,
            };
            let Some(batch) = batch else {
                return true;
            };
            self.sent.insert((batch.epoch, batch.seq));
            if !self.uplink.send(Frame::Batch(batch), is_rough, now_us) {
                return false;
            }
        }
    }

    /// The server granted an epoch: batches from now on carry it.
    pub(crate) fn handle_welcome(&mut self, epoch: u64, now_us: u64) {
        self.is_welcomed = true;
        if self.granted.0 == epoch {
            return;
        }
        let tick_us = self.tick(now_us).0;
        let is_recent = self.spool.front().is_none_or(|oldest| {
            oldest.boot == self.boot
                && tick_us.saturating_sub(oldest.closed_tick_us) <= RECENT_US_MAX
        });
        self.live_from = if is_recent { 0 } else { epoch };
        let is_at_once = is_recent || self.epoch == 0;
        self.granted = (epoch, if is_at_once { now_us } else { now_us + ROUND_US_MAX });
        self.turn(now_us);
    }

    /// Lets batches carry the newest epoch when it is time.
    fn turn(&mut self, now_us: u64) {
        let (epoch, at_us) = self.granted;
        if self.epoch != epoch && at_us <= now_us {
            self.epoch = epoch;
            self.next_seq = 1;
        }
    }

    /// Everything of this epoch up to `seq` is durable at the server.
    pub(crate) fn handle_ack(&mut self, epoch: u64, seq: u64) {
        let is_taken = |batch: &SpooledBatch| batch.epoch == epoch && batch.seq <= seq;
        for (probe, sent) in self.spool.iter().filter(|b| is_taken(b)).flat_map(|b| &b.packets) {
            *self.acknowledged.entry(*probe).or_default() += sent;
        }
        self.spool.retain(|batch| !is_taken(batch));
        self.sent.retain(|(e, s)| *e != epoch || seq < *s);
    }

    pub(crate) fn spool_len(&self) -> usize {
        self.spool.len()
    }
}

/// Counts what a batch is about to carry, for the oracle alone.
fn sent_by_probe(rounds: &[sense::RoundRecord]) -> Vec<(ProbeId, u64)> {
    let counted = rounds.iter().filter_map(|record| match (record.subject, record.outcome) {
        (Subject::Probe(probe), Outcome::Asked { sent, .. }) => Some((probe, u64::from(sent))),
        _ => None,
    });
    counted.collect()
}
