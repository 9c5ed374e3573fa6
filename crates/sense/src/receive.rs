//! What comes back: replies, duplicates, late ones, strangers', and ICMP errors.
//!
//! A reply counts if all of this holds:
//!
//! 1 - its identifier is ours, where we choose it;
//! 2 - its payload carries our tag, which covers its sequence too;
//! 3 - it comes from the address that was asked;
//! 4 - the round it belongs to is under way and its packet left;
//! 5 - it is the first for its packet and came within the timeout.

use std::net::IpAddr;

use model::{IcmpError, Tick};

use crate::{
    Family,
    flight::Reply,
    icmp::{self, Echo, Message},
    key::{STAMP_BYTES, Stamp},
    prober::{Prober, low},
};

impl Prober {
    /// Takes an ICMP message, without IP header, that came from `from` at `at`.
    pub fn handle_receive(&mut self, from: IpAddr, message: &[u8], at: Tick) {
        match icmp::parse(Family::of(from), message) {
            Some(Message::EchoReply(echo)) => self.handle_reply(from, echo, at),
            Some(Message::Error { kind, code, destination, original })
                if self.is_ours(Family::of(destination), original.ident) =>
            {
                let error = IcmpError { kind, code, source: from };
                self.handle_icmp_error(error, destination, original);
            }
            Some(Message::Error { .. }) | None => (),
        }
    }

    /// Takes an ICMP error about a request of ours to `destination`.
    ///
    /// Error queues give it this way; `original` is the request as it came back, cut as it may be.
    /// Routers need to send only its first 8 bytes (RFC 792): then the sequence tells which one.
    /// A router that asks in vain for its neighbour answers after three seconds, when the round may
    /// be over: then the error is in the next record.
    pub fn handle_icmp_error(&mut self, error: IcmpError, destination: IpAddr, original: Echo<'_>) {
        let slot = if STAMP_BYTES <= original.payload.len() {
            match self.key.open(original.payload, original.sequence) {
                Some(Stamp { slot, .. }) => slot,
                None => return,
            }
        } else {
            match self.senders.get(usize::from(original.sequence)) {
                Some(slot) => *slot,
                None => return,
            }
        };
        let Some(probe) = self.probes.get(slot as usize) else {
            return;
        };
        if probe.address == Some(destination) {
            self.counters.icmp_errors += 1;
            self.errors.entry(slot).or_insert(error);
        }
    }

    fn handle_reply(&mut self, from: IpAddr, echo: Echo<'_>, at: Tick) {
        if !self.is_ours(Family::of(from), echo.ident) {
            return;
        }
        let stamp = self.key.open(echo.payload, echo.sequence);
        let Some(Stamp { slot, round, tick_us, index }) = stamp else {
            self.counters.strange_replies += 1;
            return;
        };
        let Some(probe) = self.probes.get(slot as usize).filter(|p| p.address == Some(from)) else {
            self.counters.strange_replies += 1;
            return;
        };
        let flight = self.flights.get_mut(probe.flight).filter(|flight| flight.round == round);
        let Some(flight) = flight else {
            self.mark_late(slot);
            return;
        };
        let timeout_us =
            self.timings.get(usize::from(flight.timing)).map_or(0, |timing| timing.timeout_us);
        // Stamped after it was received: only if a clock was bent. It is as fast as can be.
        let us = low(at).wrapping_sub(tick_us);
        let us = if u32::MAX / 2 < us { 0 } else { us };
        match flight.take_reply(index, us, timeout_us) {
            Reply::Counted => self.counters.replies += 1,
            Reply::Duplicate => self.counters.duplicate_replies += 1,
            Reply::Late => self.mark_late(slot),
            Reply::Strange => self.counters.strange_replies += 1,
        }
    }

    fn is_ours(&self, family: Family, ident: u16) -> bool {
        let [v4, v6] = self.is_ident_foreign;
        let is_foreign = match family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        is_foreign || ident == self.config.ident
    }
}
