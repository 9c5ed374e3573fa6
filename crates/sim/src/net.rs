//! The virtual network: answers what the agents send, from the truth.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use crate::{rng::Rng, world::World};

/// Where a packet of an agent goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Gateway,
    Target(u32),
    Nowhere,
}

/// Packets under way on all paths; more than this is a simulator gone wild.
pub(crate) const UNDER_WAY_MAX: usize = 200_000;

/// The address of the n-th target; the agents all know it by the same one.
pub(crate) fn target_address(target: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + target))
}

pub(crate) fn gateway_address() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1))
}

pub(crate) fn destination(to: IpAddr, targets: u32) -> Destination {
    if to == gateway_address() {
        return Destination::Gateway;
    }
    let IpAddr::V4(v4) = to else {
        return Destination::Nowhere;
    };
    match v4.to_bits().wrapping_sub(0x0A00_0000) {
        target if (1..=targets).contains(&target) => Destination::Target(target),
        _ => Destination::Nowhere,
    }
}

/// A reply that will arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub agent: u32,
    pub from: IpAddr,
    pub bytes: Vec<u8>,
}

/// Packets between agents and targets, in the order of their arrival.
#[derive(Debug)]
pub(crate) struct VirtualNet {
    rng: Rng,
    under_way: BTreeMap<(u64, u64), Reply>,
    count: u64,
}

/// Share of replies that the network doubles; nothing may come of it.
const DUPLICATE_PPM: u32 = 2_000;
/// Queues add up to this to every round trip.
const JITTER_US_MAX: u64 = 3_000;

impl VirtualNet {
    pub(crate) fn new(rng: Rng) -> VirtualNet {
        VirtualNet { rng, under_way: BTreeMap::new(), count: 0 }
    }

    /// Takes a packet that left an agent; `reply` is what its destination would answer.
    pub(crate) fn handle_transmit(
        &mut self,
        world: &World,
        agent: u32,
        to: IpAddr,
        reply: Vec<u8>,
        now_us: u64,
    ) {
        let scenario = &world.scenario;
        let path = match destination(to, scenario.targets) {
            Destination::Target(target) => world.beyond(agent, target, now_us),
            Destination::Gateway if scenario.has_gateway => {
                crate::world::Path { loss_ppm: 0, rtt_us: 400 }
            }
            Destination::Gateway | Destination::Nowhere => return,
        };
        if !world.agent_sees(agent, now_us) || self.rng.chance_ppm(path.loss_ppm) {
            return;
        }
        let arrives_us = now_us + u64::from(path.rtt_us) + self.rng.between(0, JITTER_US_MAX);
        let copies = if self.rng.chance_ppm(DUPLICATE_PPM) { 2 } else { 1 };
        for _ in 0..copies {
            if UNDER_WAY_MAX <= self.under_way.len() {
                return;
            }
            self.count += 1;
            let reply = Reply { agent, from: to, bytes: reply.clone() };
            self.under_way.insert((arrives_us, self.count), reply);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.under_way.first_key_value().map(|(&(at_us, _), _)| at_us)
    }

    /// Hands over what has arrived. A reply does not reach an agent that is cut off by then.
    pub(crate) fn poll_arrival(&mut self, world: &World, now_us: u64) -> Option<Reply> {
        while let Some(entry) = self.under_way.first_entry() {
            if now_us < entry.key().0 {
                return None;
            }
            let reply = entry.remove();
            if world.agent_sees(reply.agent, now_us) && world.agent_runs(reply.agent, now_us) {
                return Some(reply);
            }
        }
        None
    }
}
