//! Rounds: what an agent asked, what came back, and why it could not ask.

use std::{net::IpAddr, time::Duration};

use crate::{AgentId, Capabilities, ProbeId, UtcMicros};

/// What a round asked.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Subject {
    Probe(ProbeId),
    /// The agent's own next hop. It proves that the agent sees; it is nobody's target.
    Gateway,
    /// The n-th witness configured for the agent.
    Witness(u8),
}

/// Witnesses that an agent can have: the engine keeps what each of them is worth beside the agent,
/// and three have never all failed at once for reasons of their own.
pub const WITNESSES_MAX: usize = 8;

/// The round-trip times of the replies that counted in one round, in microseconds.
///
/// Both ends are read from the agent's monotonic clock, so clock steps cannot bend them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rtt {
    /// The fastest: queues can only add delay, so it is the best estimate of the path.
    pub us_min: u32,
    pub us_mean: u32,
    pub us_max: u32,
}

/// The burst that follows a first fully lost round. It confirms; it never enters loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Confirm {
    /// Zero if no burst was sent.
    pub sent: u8,
    pub received: u8,
}

/// Why an agent could not ask. It is not loss.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum NotAsked {
    /// The host has no route to the address.
    NoRoute,
    /// The process may not open the socket it needs.
    Permission,
    /// The name has no address of a family the agent can use, or no resolver answered.
    Resolver,
    /// The socket's send buffer stayed full.
    BufferFull,
    /// Any other error of the socket.
    Socket,
    /// The agent was too late to start this round at all.
    Overrun,
}

/// What a round learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Outcome {
    /// `sent` packets left; `received` of them were answered in time (0 to `sent`).
    Asked {
        sent: u8,
        received: u8,
        /// `None` exactly if nothing was received; that is not zero.
        rtt: Option<Rtt>,
        confirm: Confirm,
    },
    NotAsked(NotAsked),
}

/// Marks on a round that do not change what it learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RoundFlags(pub u8);

impl RoundFlags {
    /// The agent's own lag, kernel drops or a clock jump may have bent it: it must not convict.
    pub const DOUBTFUL: RoundFlags = RoundFlags(1);
    /// The address is the agent's own host: an answer proves nothing about the network.
    pub const LOCAL: RoundFlags = RoundFlags(2);
    /// A reply came more than once.
    pub const DUPLICATE: RoundFlags = RoundFlags(4);
    /// A reply of an earlier round came after its timeout.
    pub const LATE: RoundFlags = RoundFlags(8);
    /// An ICMP error came back.
    pub const ICMP_ERROR: RoundFlags = RoundFlags(16);
    /// The name resolved to another address than in the round before.
    pub const ADDRESS_CHANGED: RoundFlags = RoundFlags(32);
    /// All bits with a meaning.
    pub const KNOWN: RoundFlags = RoundFlags(63);

    pub fn contains(self, other: RoundFlags) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn with(self, other: RoundFlags) -> RoundFlags {
        RoundFlags(self.0 | other.0)
    }
}

/// An ICMP error that answered a probe packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IcmpError {
    /// ICMP type and code as on the wire (RFC 792, RFC 4443).
    pub kind: u8,
    pub code: u8,
    /// Who sent it: often the router that knows why.
    pub source: IpAddr,
}

/// One round of one subject by one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Round {
    pub subject: Subject,
    /// When its first packet was due, on the server's clock.
    pub at: UtcMicros,
    pub outcome: Outcome,
    pub flags: RoundFlags,
    /// The first ICMP error of the round, if any.
    pub icmp_error: Option<IcmpError>,
}

/// What a DNS name turned out to stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAnswer {
    pub address: IpAddr,
    /// What the agent had asked before; `None` if this is the first since it started.
    pub was: Option<IpAddr>,
}

/// What the name of a probe stood for, from a round on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameSeen {
    pub probe: ProbeId,
    pub at: UtcMicros,
    pub answer: NameAnswer,
}

/// Rounds of one agent as the engine hears them: placed on the server's clock, in arrival order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundBatch {
    pub agent: AgentId,
    pub rounds: Vec<Round>,
    /// In the order of their rounds; none from most batches.
    pub names: Vec<NameSeen>,
}

impl RoundBatch {
    /// Rounds in which no name was seen to stand for anything new.
    pub fn new(agent: AgentId, rounds: Vec<Round>) -> RoundBatch {
        RoundBatch { agent, rounds, names: Vec::new() }
    }
}

/// What the server noticed about an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// A stream began; the agent says what it can ask. Counts as a heartbeat.
    Hello(Capabilities),
    /// A heartbeat (5 s apart).
    Heartbeat,
    /// The stream ended. The agent stays trusted until its heartbeat is overdue.
    Disconnected,
}

/// What the server noticed about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorEvent {
    /// The server started; it had heard nothing since `down_since`.
    Started { down_since: Option<UtcMicros> },
    /// Its wall clock jumped by this much against its monotonic clock.
    ClockStepped { forward: bool, by: Duration },
}

/// A place in the server's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition(pub u64);
