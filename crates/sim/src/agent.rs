//! One simulated agent: the real prober, the real wire, a spool that survives it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use model::{Address, Outcome, ProbeId, Subject, Tick, Tier, TierId};
use sense::{Assignment, ProbeTask, Prober, TierTiming};

use crate::{
    net::{VirtualNet, gateway_address, target_address},
    rng::Rng,
    uplink::{Frame, SpooledBatch, Uplink},
    world::World,
};

const FLUSH_US: u64 = 1_000_000;
const HEARTBEAT_US: u64 = 5_000_000;
const REDIAL_US: u64 = 2_000_000;
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
    spool: VecDeque<SpooledBatch>,
    /// How many of the spool, from its front, are on their way.
    sent_count: usize,
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
            sent_count: 0,
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
        self.sent_count = 0;
        self.uplink.cut();
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let prober = self.prober.as_ref()?;
        let probing = prober.poll_timeout().map(|tick| self.at_us(tick));
        let dial = if self.is_connected { self.heartbeat_at_us } else { self.redial_at_us };
        [probing, Some(self.flush_at_us), Some(dial)].into_iter().flatten().min()
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
            self.sent_count = 0;
            self.is_connected =
                self.uplink.send(Frame::Hello { boot, tick_us, wall_us }, is_rough, now_us);
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
        while let Some(batch) = self.spool.get(self.sent_count) {
            if !self.uplink.send(Frame::Batch(batch.clone()), is_rough, now_us) {
                return self.disconnect();
            }
            self.sent_count += 1;
        }
    }

    /// The server granted an epoch: batches from now on carry it.
    pub(crate) fn handle_welcome(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.next_seq = 1;
        }
    }

    /// Everything of this epoch up to `seq` is durable at the server.
    pub(crate) fn handle_ack(&mut self, epoch: u64, seq: u64) {
        while let Some(batch) = self.spool.front() {
            if batch.epoch != epoch || seq < batch.seq {
                return;
            }
            for (probe, sent) in &batch.packets {
                *self.acknowledged.entry(*probe).or_default() += sent;
            }
            self.spool.pop_front();
            self.sent_count = self.sent_count.saturating_sub(1);
        }
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
