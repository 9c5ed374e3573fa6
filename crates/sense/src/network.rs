//! The seam between a prober and a network: the agent's sockets are one, a virtual network is
//! another, and whoever drives a prober does not know which.
//!
//! It is as wide as a turn and not as narrow as a packet, so that sockets send and receive in
//! batches and stamp each packet with their own clock.

use std::net::IpAddr;

use model::{NotAsked, Tick};

use crate::{Family, Prober};

/// A network as the driver of a prober reaches it.
pub trait Network {
    /// Opens what is not open and looks at the host, if it is time, and tells the prober: which
    /// families there are, the host's own addresses, its gateway.
    fn refresh(&mut self, prober: &mut Prober, now: Tick);

    /// Hands in everything that came by now, within bounds.
    fn receive(&mut self, prober: &mut Prober, now: Tick) -> Received;

    /// Sends what the prober has to send, at most one batch, and says of each packet what became
    /// of it.
    fn transmit(&mut self, prober: &mut Prober, now: Tick) -> Sent;

    fn state(&self) -> NetworkState;
}

/// What one turn of receiving came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Calls that failed.
    pub errors: u64,
    /// Packets that were thrown away since the last turn because nobody read them in time.
    pub drops: u64,
}

/// What one turn of sending came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Calls that failed.
    pub errors: u64,
    /// Whether the batch was full, so that more may be due already.
    pub is_full: bool,
}

/// Whether a network can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkState {
    /// Why nothing can be asked, in words, with the one command that helps.
    pub impediment: Option<String>,
    pub has_v4: bool,
    pub has_v6: bool,
}

/// A network as traces reach it, beside the probes.
pub trait TraceNetwork: Send {
    /// Sends a packet that may pass `ttl - 1` routers.
    ///
    /// # Errors
    ///
    /// Why it did not leave.
    fn send(&mut self, packet: TracePacket<'_>, now: Tick) -> Result<(), NotAsked>;

    /// Returns an ICMP message that came by now, without IP header: from whom, and when.
    fn poll_receive(&mut self, now: Tick) -> Option<(IpAddr, Vec<u8>, Tick)>;
}

/// One packet of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePacket<'a> {
    pub to: IpAddr,
    pub ttl: u8,
    /// Source and destination port of a UDP packet; `None` of an ICMP message.
    pub ports: Option<(u16, u16)>,
    /// The ICMP message, or the payload of UDP.
    pub bytes: &'a [u8],
}

impl TracePacket<'_> {
    pub fn family(&self) -> Family {
        Family::of(self.to)
    }
}
