//! How we ask: probe state machines and packet codecs. Pure: no clock, no socket.
//!
//! [`Prober`] turns an [`Assignment`] and ticks into packets, and packets into rounds. Whoever
//! drives it owns the sockets and the clock: the agent with real ones, the simulator with its own.
//!
//! A driver's turn, in this order:
//!
//! 1. hand in what was received ([`Prober::handle_receive`]): before the deadlines, so that a reply
//!    that was in time counts even if it is read late;
//! 2. [`Prober::handle_timeout`] with the time it is;
//! 3. send what [`Prober::poll_transmit`] gives and say of each packet what became of it
//!    ([`Prober::handle_sent`]), without exception: a probe whose packet is forgotten stands still;
//! 4. take the rounds ([`Prober::poll_round`]) and the names to resolve ([`Prober::poll_resolve`]);
//! 5. wait until [`Prober::poll_timeout`].
//!
//! It judges nothing: a lost round is a lost round, and what it means is said elsewhere.

mod assign;
mod flight;
pub mod icmp;
pub mod key;
mod lag;
mod names;
mod network;
mod prober;
mod receive;
pub mod schedule;
pub mod trace;
mod wheel;

use std::{net::IpAddr, time::Duration};

use model::{
    Address, IcmpError, NameAnswer, Outcome, ProbeId, RoundFlags, Subject, Tick, Tier, TierId,
};

pub use icmp::Family;
pub use key::Key;
pub use lag::SendLag;
pub use names::{RESOLVE_PATIENCE, RESOLVE_RETRY, ResolveFailure, STALE_MAX, TTL_MAX, TTL_MIN};
pub use network::{Network, NetworkState, Received, Sent, TraceNetwork, TracePacket};
pub use prober::{Config, Counters, Prober, SEND_LAG_MAX, TURN_EVENTS_MAX, Token, Transmit};

/// Probes that one agent takes: what the memory of a small host and a 32-bit slot carry with ease.
pub const PROBES_MAX: usize = 1 << 20;
/// Different timings in one assignment: far above any sensible number of tiers.
pub const TIMINGS_MAX: usize = 4096;
/// Refusals that are listed by name; the others are only counted.
pub const REFUSALS_MAX: usize = 100;

/// How the gateway and the witnesses are asked: often enough that three in a row fit between two
/// rounds of an ordinary tier, with one packet because they only prove that the agent sees.
pub const WITNESS_INTERVAL: Duration = Duration::from_secs(5);
/// See [`WITNESS_INTERVAL`].
pub const WITNESS_TIMEOUT: Duration = Duration::from_secs(1);

/// What an agent is to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    pub version: u64,
    pub tiers: Vec<TierTiming>,
    pub probes: Vec<ProbeTask>,
    /// Addresses that prove that the agent sees. At most [`model::WITNESSES_MAX`]; the others are
    /// ignored.
    pub witnesses: Vec<IpAddr>,
}

/// When and how the probes of a tier are asked. The ranges are those of [`Tier::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierTiming {
    pub id: TierId,
    pub interval: Duration,
    pub packets: u8,
    pub gap: Duration,
    pub timeout: Duration,
    pub payload_bytes: u16,
}

/// One probe to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTask {
    pub id: ProbeId,
    pub tier: TierId,
    pub address: Address,
}

/// A probe that an assignment names and the prober does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub probe: ProbeId,
    /// Why, in words that follow "probe 7: ".
    pub reason: &'static str,
}

/// What one round learned, on the agent's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundRecord {
    pub subject: Subject,
    /// When its first packet was due.
    pub due: Tick,
    pub outcome: Outcome,
    pub flags: RoundFlags,
    /// The first ICMP error that came back since the record before: mostly about this round, at
    /// times a late one about the round before.
    pub icmp_error: Option<IcmpError>,
    /// What the name stands for, if this round is the first to ask it.
    pub address: Option<NameAnswer>,
}

impl Assignment {
    /// Lists the probes that a prober will not take, at most [`REFUSALS_MAX`], in id order.
    ///
    /// The rest of the assignment is taken: one bad tier must not blind an agent.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut refused = Vec::new();
        assign::accept(self, |refusal| {
            if refused.len() < REFUSALS_MAX {
                refused.push(refusal);
            }
        });
        refused
    }
}

impl TierTiming {
    /// Takes the part of a tier that an agent needs.
    pub fn of(tier: &Tier) -> TierTiming {
        TierTiming {
            id: tier.id,
            interval: tier.interval,
            packets: tier.packets,
            gap: tier.gap,
            timeout: tier.timeout,
            payload_bytes: tier.payload_bytes,
        }
    }
}
