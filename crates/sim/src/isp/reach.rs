//! How an agent reaches the demo's network: the same seam that its sockets implement.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use engine::graph::ElementIx;
use model::{ElementKind, NotAsked, Tick};
use sense::{Network, NetworkState, Prober, Received, Sent, TraceNetwork, TracePacket, icmp};

use super::{
    net::{Fate, Isp, flow_of},
    plan::Watcher,
};
use crate::{adapt, rng::Rng};

/// Packets sent in one turn.
const SEND_BATCH_MAX: usize = 128;
/// Answers under way to one agent: more is a network gone wild.
const UNDER_WAY_MAX: usize = 100_000;

/// Answers in the order of their arrival; the number keeps equal times apart.
#[derive(Debug, Default)]
struct Arrivals {
    under_way: BTreeMap<(Tick, u64), (IpAddr, Vec<u8>)>,
    count: u64,
}

impl Arrivals {
    fn push(&mut self, at: Tick, from: IpAddr, message: Vec<u8>) {
        if self.under_way.len() < UNDER_WAY_MAX {
            self.count += 1;
            self.under_way.insert((at, self.count), (from, message));
        }
    }

    fn pop(&mut self, now: Tick) -> Option<(IpAddr, Vec<u8>, Tick)> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), (from, message)) = entry.remove_entry();
        Some((from, message, at))
    }
}

/// What an agent's prober sends and receives through.
#[derive(Debug)]
pub struct Reach {
    isp: Arc<Mutex<Isp>>,
    agent: ElementIx,
    gateway: IpAddr,
    own: IpAddr,
    dice: Rng,
    arrivals: Arrivals,
    scratch: Vec<u8>,
    is_told: bool,
}

/// What an agent's traces send and receive through.
#[derive(Debug)]
pub struct TraceReach {
    isp: Arc<Mutex<Isp>>,
    agent: ElementIx,
    own: Ipv4Addr,
    dice: Rng,
    arrivals: Arrivals,
}

/// What a panicked thread left is still a network.
fn lock(isp: &Mutex<Isp>) -> MutexGuard<'_, Isp> {
    isp.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reach {
    /// Of the agent that is called as the watcher; `None` if the network has no such agent.
    pub fn new(isp: &Arc<Mutex<Isp>>, watcher: &Watcher) -> Option<Reach> {
        let (agent, seed) = {
            let isp = lock(isp);
            (isp.topology().find(&watcher.name)?, isp.plan().seed)
        };
        Some(Reach {
            isp: Arc::clone(isp),
            agent,
            gateway: IpAddr::V4(watcher.gateway),
            own: IpAddr::V4(watcher.address),
            dice: Rng::new(seed).fork(1_000 + u64::from(agent.0)),
            arrivals: Arrivals::default(),
            scratch: Vec::new(),
            is_told: false,
        })
    }
}

impl Network for Reach {
    fn refresh(&mut self, prober: &mut Prober, now: Tick) {
        if !self.is_told {
            self.is_told = true;
            prober.set_families(true, false);
            prober.set_local_addresses(vec![self.own]);
            prober.set_gateway(Some(self.gateway), now);
        }
    }

    fn receive(&mut self, prober: &mut Prober, now: Tick) -> Received {
        while let Some((from, message, at)) = self.arrivals.pop(now) {
            prober.handle_receive(from, &message, at);
        }
        Received::default()
    }

    fn transmit(&mut self, prober: &mut Prober, now: Tick) -> Sent {
        let isp = Arc::clone(&self.isp);
        let mut isp = lock(&isp);
        isp.advance(now);
        let busy = isp.busy(now);
        for _ in 0..SEND_BATCH_MAX {
            let Some(transmit) = prober.poll_transmit(now, &mut self.scratch) else {
                return Sent { errors: 0, is_full: false };
            };
            prober.handle_sent(transmit.token, Ok(now));
            match isp.fate(self.agent, transmit.to, busy, &mut self.dice) {
                Fate::Lost => (),
                Fate::Answered { after_us } => {
                    let at = Tick(now.0 + u64::from(after_us));
                    self.arrivals.push(at, transmit.to, adapt::reply(&self.scratch));
                }
            }
        }
        Sent { errors: 0, is_full: true }
    }

    fn state(&self) -> NetworkState {
        NetworkState { impediment: None, has_v4: true, has_v6: false }
    }
}

impl TraceReach {
    /// As [`Reach::new`].
    pub fn new(isp: &Arc<Mutex<Isp>>, watcher: &Watcher) -> Option<TraceReach> {
        let (agent, seed) = {
            let isp = lock(isp);
            (isp.topology().find(&watcher.name)?, isp.plan().seed)
        };
        let dice = Rng::new(seed).fork(2_000 + u64::from(agent.0));
        let arrivals = Arrivals::default();
        Some(TraceReach { isp: Arc::clone(isp), agent, own: watcher.address, dice, arrivals })
    }
}

impl TraceNetwork for TraceReach {
    fn send(&mut self, packet: TracePacket<'_>, now: Tick) -> Result<(), NotAsked> {
        let IpAddr::V4(to) = packet.to else { return Err(NotAsked::NoRoute) };
        let isp = Arc::clone(&self.isp);
        let mut isp = lock(&isp);
        isp.advance(now);
        let busy = isp.busy(now);
        let (Some(place), false) = (isp.place(packet.to), isp.is_isolated(self.agent)) else {
            return Ok(());
        };
        let ports = packet.ports.map_or(0, |(a, b)| u32::from(a) << 16 | u32::from(b));
        let flow = flow_of(self.agent, packet.to, ports);
        let Some(path) = isp.path(self.agent, place.end, flow) else { return Ok(()) };
        let steps = path.steps.clone();
        // A router that is asked itself is the last hop; whoever stands behind one is a hop more.
        let mut routers = steps
            .iter()
            .enumerate()
            .filter(|(_, ix)| isp.topology().kind(**ix) == ElementKind::Device);
        let at = routers.nth(usize::from(packet.ttl).saturating_sub(1));
        let answer = at.and_then(|(at, router)| {
            let walked = steps.get(..=at)?.to_vec();
            let name = isp.topology().id(*router);
            let asked = isp.plan().asked.iter().find(|each| each.name == name)?;
            (asked.address != to).then_some((asked.address, walked))
        });
        if let Some((from, walked)) = answer {
            if !isp.is_broken(&walked) {
                let us = isp.delay_upto(&walked) + self.dice.below(300) as u32;
                let message = error((11, 0), self.own, to, &packet);
                self.arrivals.push(Tick(now.0 + u64::from(us)), IpAddr::V4(from), message);
            }
            return Ok(());
        }
        if let Fate::Answered { after_us } = isp.fate(self.agent, packet.to, busy, &mut self.dice) {
            let message = match packet.ports {
                None => adapt::reply(packet.bytes),
                Some(_) => error((3, 3), self.own, to, &packet),
            };
            self.arrivals.push(Tick(now.0 + u64::from(after_us)), packet.to, message);
        }
        Ok(())
    }

    fn poll_receive(&mut self, now: Tick) -> Option<(IpAddr, Vec<u8>, Tick)> {
        self.arrivals.pop(now)
    }
}

/// An ICMP error about a packet, which it quotes whole (RFC 792, RFC 1812).
fn error(
    (kind, code): (u8, u8),
    from: Ipv4Addr,
    to: Ipv4Addr,
    packet: &TracePacket<'_>,
) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    let udp = packet.ports.map(|(source, destination)| {
        let length = u16::try_from(8 + packet.bytes.len()).unwrap_or(u16::MAX);
        [source, destination, length, 0].map(u16::to_be_bytes).concat()
    });
    let body = udp.as_ref().map_or(0, Vec::len) + packet.bytes.len();
    let length = u16::try_from(20 + body).unwrap_or(u16::MAX).to_be_bytes();
    let protocol = if udp.is_some() { 17 } else { 1 };
    message.extend([0x45, 0, length[0], length[1], 0, 0, 0, 0, 1, protocol, 0, 0]);
    message.extend(from.octets());
    message.extend(to.octets());
    message.extend(udp.unwrap_or_default());
    message.extend(packet.bytes);
    let [high, low] = icmp::checksum(&message).to_be_bytes();
    if let Some((header, _)) = message.split_first_chunk_mut::<4>() {
        *header = [kind, code, high, low];
    }
    message
}
