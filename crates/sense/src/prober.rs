//! The prober: a million probes, each resting or in the middle of one round.
//!
//! Dense on purpose: a probe is a slot of some 50 bytes with one deadline in the wheel; a round
//! under way borrows a [`Flight`]. Nothing allocates per packet or per round once the pools have
//! grown.
//!
//! The life of a round:
//!
//! 1 - it starts at phase + k * interval. A whole interval late it does not start at all: the round
//!     is `Overrun`, and the next one is the next in phase;
//! 2 - its packets leave a gap apart; what became of each is told by `handle_sent`;
//! 3 - a timeout after the last packet it ends;
//! 4 - if packets left, none was answered, and the round before was not fully lost, a confirm burst
//!     of [`Tier::CONFIRM_PACKETS`] follows at once, with the same gap and timeout;
//! 5 - then it is recorded, and the probe rests until its next start.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use model::{
    Address, Hostname, IcmpError, NameAnswer, NotAsked, Outcome, ProbeId, RoundFlags, Subject,
    Tick, Tier,
};

use crate::{
    Family, Key, ResolveFailure, RoundRecord, SendLag,
    assign::Timing,
    flight::{CONFIRM_FIRST, Flight, Flights, Stage},
    icmp,
    key::{STAMP_BYTES, Stamp},
    names::Names,
    schedule,
    wheel::Wheel,
};

/// Deadlines that one call of `handle_timeout` serves, and packets that wait to be polled: after a
/// stall the backlog leaves in bursts of this size, between which replies are read.
pub const TURN_EVENTS_MAX: usize = 256;
/// A packet that leaves later than this after its due time makes its round doubtful: a host that
/// stalls for so long may as well have missed replies. A tenth of the default timeout.
pub const SEND_LAG_MAX: Duration = Duration::from_millis(100);
/// The first round of a new name waits at least this long, so that a resolver can answer first.
const NAME_GRACE: Duration = Duration::from_secs(2);

pub(crate) const NONE: u32 = u32::MAX;
/// One entry per 16-bit sequence.
const SEQUENCES: usize = 1 << 16;

/// What a driver decides once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The identifier of our requests, for sockets that let us choose it.
    pub ident: u16,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub packets_sent: u64,
    /// Replies in time, each once; those to confirm bursts included.
    pub replies: u64,
    /// Echo replies with our identifier that are not answers to our packets.
    pub strange_replies: u64,
    pub duplicate_replies: u64,
    /// Replies after their timeout or after their round.
    pub late_replies: u64,
    pub icmp_errors: u64,
    pub rounds: u64,
    /// Packets that did not leave, for whatever reason.
    pub send_failures: u64,
}

/// Names one packet between `poll_transmit` and `handle_sent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    slot: u32,
    round: u32,
    tick: Tick,
    index: u8,
}

/// One packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub to: IpAddr,
    pub token: Token,
}

/// One probe: resting, or with a round under way.
#[derive(Debug)]
pub(crate) struct Probe {
    /// When the next round is due.
    due: Tick,
    subject: Subject,
    /// What is asked; of a name, what it stood for at the last round.
    pub(crate) address: Option<IpAddr>,
    /// Whether the last round that asked was fully lost.
    was_lost: bool,
    /// Whether a late reply came since the last record.
    is_late: bool,
    pub(crate) timing: u16,
    pub(crate) name: u32,
    /// The round under way, or `NONE`.
    pub(crate) flight: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Prober {
    pub(crate) config: Config,
    pub(crate) key: Key,
    /// The latest tick seen: time does not run backwards in here.
    pub(crate) now: Tick,
    pub(crate) probes: Vec<Probe>,
    free: Vec<u32>,
    pub(crate) by_id: Vec<(ProbeId, u32)>,
    pub(crate) gateway: Option<u32>,
    pub(crate) witnesses: Vec<u32>,
    /// Place 0 is that of the gateway and the witnesses.
    pub(crate) timings: Vec<Timing>,
    pub(crate) flights: Flights,
    pub(crate) names: Names,
    wheel: Wheel,
    /// Slots with a packet to send. A slot is in it at most once, and then has no deadline.
    queue: VecDeque<u32>,
    records: VecDeque<RoundRecord>,
    round: u32,
    sequence: u16,
    /// The slot that sent the last packet with a sequence.
    pub(crate) senders: Box<[u32]>,
    /// The first ICMP error since the last record, by slot: rare, so not in each of them.
    pub(crate) errors: BTreeMap<u32, IcmpError>,
    /// The address that was last recorded of each probe with a name.
    asked: BTreeMap<u32, IpAddr>,
    /// Sorted.
    local_addresses: Vec<IpAddr>,
    /// Whether the kernel chooses the identifier, for version 4 and 6.
    pub(crate) is_ident_foreign: [bool; 2],
    /// Rounds that were under way at this tick are doubtful.
    doubted_at: Option<Tick>,
    pub(crate) counters: Counters,
    send_lag: SendLag,
}

impl Prober {
    /// Makes a prober that has nothing to ask.
    pub fn new(config: Config, key: Key) -> Prober {
        let mut names = Names::default();
        names.set_families(true, true);
        Prober {
            config,
            key,
            now: Tick(0),
            probes: Vec::new(),
            free: Vec::new(),
            by_id: Vec::new(),
            gateway: None,
            witnesses: Vec::new(),
            timings: vec![Timing::witness()],
            flights: Flights::default(),
            names,
            wheel: Wheel::new(),
            queue: VecDeque::new(),
            records: VecDeque::new(),
            round: 0,
            sequence: 0,
            senders: vec![NONE; SEQUENCES].into_boxed_slice(),
            errors: BTreeMap::new(),
            asked: BTreeMap::new(),
            local_addresses: Vec::new(),
            is_ident_foreign: [false; 2],
            doubted_at: None,
            counters: Counters::default(),
            send_lag: SendLag::default(),
        }
    }

    /// Says whether the sockets of a family choose the identifier themselves, as Linux' datagram
    /// sockets do: then it is not compared, and the kernel has already done so.
    pub fn set_ident_foreign(&mut self, family: Family, is_foreign: bool) {
        let [v4, v6] = &mut self.is_ident_foreign;
        match family {
            Family::V4 => *v4 = is_foreign,
            Family::V6 => *v6 = is_foreign,
        }
    }

    /// Sets the host's own addresses: a round that asks one of them is marked `LOCAL`.
    pub fn set_local_addresses(&mut self, mut addresses: Vec<IpAddr>) {
        addresses.sort_unstable();
        self.local_addresses = addresses;
    }

    /// Sets which families the host can use; names resolve to an address of one of them.
    pub fn set_families(&mut self, v4: bool, v6: bool) {
        self.names.set_families(v4, v6);
    }

    /// Marks all rounds under way as doubtful: the kernel dropped replies, or its clock jumped.
    pub fn handle_doubt(&mut self, now: Tick) {
        self.doubted_at = Some(self.advance_now(now));
    }

    /// Returns the number of probes, the gateway and the witnesses apart.
    pub fn probe_count(&self) -> usize {
        self.by_id.len()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns how late packets left since the last call.
    pub fn take_send_lag(&mut self) -> SendLag {
        std::mem::take(&mut self.send_lag)
    }

    /// Serves what is due, at most [`TURN_EVENTS_MAX`] deadlines; `poll_timeout` says if more are.
    pub fn handle_timeout(&mut self, now: Tick) {
        let now = self.advance_now(now);
        self.names.handle_timeout(now);
        for _ in 0..TURN_EVENTS_MAX {
            if TURN_EVENTS_MAX <= self.queue.len() {
                return;
            }
            let Some(slot) = self.wheel.pop(now) else {
                return;
            };
            self.fire(slot, now);
        }
    }

    /// Returns when the prober has work next: now, if something waits to be polled.
    pub fn poll_timeout(&self) -> Option<Tick> {
        if !self.queue.is_empty() || !self.records.is_empty() || self.names.is_wanting() {
            return Some(self.now);
        }
        [self.wheel.next(), self.names.next()].into_iter().flatten().min()
    }

    pub fn poll_round(&mut self) -> Option<RoundRecord> {
        self.records.pop_front()
    }

    /// Returns a name whose addresses are wanted; answer with `handle_resolved`.
    pub fn poll_resolve(&mut self) -> Option<Hostname> {
        self.names.poll()
    }

    /// Takes the addresses of a name, or why there are none.
    ///
    /// A new address is asked from the next round on, which says that it changed.
    pub fn handle_resolved(
        &mut self,
        name: &Hostname,
        answer: Result<&[IpAddr], ResolveFailure>,
        ttl: Duration,
        now: Tick,
    ) {
        let now = self.advance_now(now);
        self.names.handle_answer(name, answer, ttl, now);
    }

    /// Writes the next packet to send into `packet`, an ICMP message without IP header.
    ///
    /// `packet` is only scratch: hand in the same one again to spare the allocation.
    pub fn poll_transmit(&mut self, now: Tick, packet: &mut Vec<u8>) -> Option<Transmit> {
        let now = self.advance_now(now);
        loop {
            let slot = self.queue.pop_front()?;
            let Some(probe) = self.probes.get(slot as usize) else {
                continue;
            };
            let (Some(flight), Some(to)) = (self.flights.get(probe.flight), probe.address) else {
                continue; // Removed while it waited.
            };
            let timing = self.timings.get(usize::from(flight.timing));
            let payload_bytes = timing.map_or(STAMP_BYTES, |t| usize::from(t.payload_bytes));
            let token = Token { slot, round: flight.round, tick: now, index: flight.next };
            self.sequence = self.sequence.wrapping_add(1);
            if let Some(sender) = self.senders.get_mut(usize::from(self.sequence)) {
                *sender = slot;
            }
            let stamp = Stamp { slot, round: token.round, tick_us: low(now), index: token.index };
            packet.clear();
            packet.resize(icmp::HEADER_BYTES, 0);
            packet.extend_from_slice(&self.key.seal(stamp, self.sequence));
            packet.resize(icmp::HEADER_BYTES + payload_bytes, 0);
            icmp::seal_request(Family::of(to), self.config.ident, self.sequence, packet);
            return Some(Transmit { to, token });
        }
    }

    /// Takes what became of a packet: when it left, or why it did not.
    pub fn handle_sent(&mut self, token: Token, result: Result<Tick, NotAsked>) {
        let Some(probe) = self.probes.get(token.slot as usize) else {
            return;
        };
        let index = probe.flight;
        let Some(flight) = self.flights.get_mut(index) else {
            return;
        };
        if flight.round != token.round || flight.next != token.index {
            return; // The probe was removed meanwhile, and its slot may be another's.
        }
        let at = match result {
            Ok(at) => {
                let lag = at.since(flight.packet_due);
                self.send_lag.count(lag);
                if SEND_LAG_MAX < lag {
                    flight.flags = flight.flags.with(RoundFlags::DOUBTFUL);
                }
                flight.mark_sent(token.index, at.0.saturating_sub(token.tick.0));
                self.counters.packets_sent += 1;
                at
            }
            Err(reason) => {
                flight.failure = flight.failure.or(Some(reason));
                self.counters.send_failures += 1;
                self.now
            }
        };
        self.follow(token.slot, index, at);
    }

    /// Sets the deadline after a packet was sent or failed at `at`.
    fn follow(&mut self, slot: u32, index: u32, at: Tick) {
        let Some(flight) = self.flights.get_mut(index) else {
            return;
        };
        let Some(timing) = self.timings.get(usize::from(flight.timing)) else {
            return;
        };
        flight.next += 1;
        let last = match flight.stage {
            Stage::Asking | Stage::Waiting => timing.packets,
            Stage::Confirming | Stage::Closing => CONFIRM_FIRST + Tier::CONFIRM_PACKETS,
        };
        if flight.next < last {
            // A late packet does not hurry the next one to less than half the gap.
            let gap = Duration::from_micros(u64::from(timing.gap_us));
            flight.packet_due = (flight.packet_due + gap).max(at + gap / 2);
            self.wheel.set(slot, flight.packet_due);
            return;
        }
        flight.stage = match flight.stage {
            Stage::Asking | Stage::Waiting => Stage::Waiting,
            Stage::Confirming | Stage::Closing => Stage::Closing,
        };
        if flight.sent() == 0 {
            self.finish(slot, index); // Nothing left, so there is nothing to wait for.
        } else {
            self.wheel.set(slot, at + Duration::from_micros(u64::from(timing.timeout_us)));
        }
    }

    fn fire(&mut self, slot: u32, now: Tick) {
        let Some(probe) = self.probes.get(slot as usize) else {
            return;
        };
        let (index, was_lost) = (probe.flight, probe.was_lost);
        let Some(flight) = self.flights.get_mut(index) else {
            self.start(slot, now);
            return;
        };
        match flight.stage {
            Stage::Asking | Stage::Confirming => self.queue.push_back(slot),
            Stage::Waiting => {
                let timing = self.timings.get(usize::from(flight.timing));
                let is_confirmed = timing.is_some_and(|t| t.is_confirmed);
                if is_confirmed && flight.is_lost() && !was_lost {
                    flight.stage = Stage::Confirming;
                    flight.next = CONFIRM_FIRST;
                    flight.packet_due = now;
                    self.queue.push_back(slot);
                    self.hasten_witnesses(now);
                } else {
                    self.finish(slot, index);
                }
            }
            Stage::Closing => self.finish(slot, index),
        }
    }

    /// Asks the gateway and the witnesses that rest at once: whether the agent itself sees while a
    /// target does not answer is known now or never. One answer a second is all they are asked for,
    /// since those under way are left alone.
    fn hasten_witnesses(&mut self, now: Tick) {
        for &slot in self.gateway.iter().chain(&self.witnesses) {
            if let Some(probe) = self.probes.get_mut(slot as usize)
                && probe.flight == NONE
                && now < probe.due
            {
                probe.due = now;
                self.wheel.set(slot, now);
            }
        }
    }

    /// Starts the round that is due, or says why it cannot.
    fn start(&mut self, slot: u32, now: Tick) {
        let Some(probe) = self.probes.get_mut(slot as usize) else {
            return;
        };
        let Some(timing) = self.timings.get(usize::from(probe.timing)) else {
            return;
        };
        let is_overrun = u128::from(timing.interval_us) <= now.since(probe.due).as_micros();
        if is_overrun {
            self.refuse(slot, NotAsked::Overrun);
            return;
        }
        let mut changed = None;
        if probe.name != NONE {
            let address = self.names.address(probe.name, now);
            if address.is_some() {
                changed = address.filter(|_| probe.address.is_some() && probe.address != address);
                probe.address = address;
            } else {
                self.refuse(slot, NotAsked::Resolver);
                return;
            }
        }
        let Some(address) = probe.address else {
            self.refuse(slot, NotAsked::NoRoute);
            return;
        };
        self.round = self.round.wrapping_add(1);
        let mut flight = Flight::new(probe.due, self.round, probe.timing);
        if address.is_loopback() || self.local_addresses.binary_search(&address).is_ok() {
            flight.flags = flight.flags.with(RoundFlags::LOCAL);
        }
        if changed.is_some() {
            flight.flags = flight.flags.with(RoundFlags::ADDRESS_CHANGED);
        }
        probe.flight = self.flights.start(flight);
        self.queue.push_back(slot);
    }

    /// Records a round that did not ask.
    fn refuse(&mut self, slot: u32, reason: NotAsked) {
        let Some(probe) = self.probes.get(slot as usize) else {
            return;
        };
        let (due, outcome) = (probe.due, Outcome::NotAsked(reason));
        self.record(slot, due, outcome, RoundFlags::default());
    }

    /// Ends a round under way.
    fn finish(&mut self, slot: u32, index: u32) {
        let Some(flight) = self.flights.get(index) else {
            return;
        };
        let (due, outcome, mut flags) = (flight.due, flight.outcome(), flight.flags);
        let is_lost = flight.is_lost();
        if self.doubted_at.is_some_and(|doubted_at| due <= doubted_at) {
            flags = flags.with(RoundFlags::DOUBTFUL);
        }
        self.flights.end(index);
        if let Some(probe) = self.probes.get_mut(slot as usize) {
            probe.flight = NONE;
            if matches!(outcome, Outcome::Asked { .. }) {
                probe.was_lost = is_lost;
            }
        }
        self.record(slot, due, outcome, flags);
    }

    /// Records a round and sets the deadline of the next one.
    fn record(&mut self, slot: u32, due: Tick, outcome: Outcome, mut flags: RoundFlags) {
        let Some(probe) = self.probes.get_mut(slot as usize) else {
            return;
        };
        if std::mem::take(&mut probe.is_late) {
            flags = flags.with(RoundFlags::LATE);
        }
        let icmp_error = self.errors.remove(&slot);
        if icmp_error.is_some() {
            flags = flags.with(RoundFlags::ICMP_ERROR);
        }
        let address = probe.address.filter(|_| probe.name != NONE).and_then(|address| {
            let was = self.asked.insert(slot, address);
            (was != Some(address)).then_some(NameAnswer { address, was })
        });
        self.counters.rounds += 1;
        self.records.push_back(RoundRecord {
            subject: probe.subject,
            due,
            outcome,
            flags,
            icmp_error,
            address,
        });
        let interval_us = self.timings.get(usize::from(probe.timing)).map_or(0, |t| t.interval_us);
        let next = due + Duration::from_micros(u64::from(interval_us));
        probe.due = if outcome == Outcome::NotAsked(NotAsked::Overrun) {
            let phase_us = schedule::phase_us(probe.subject, interval_us);
            schedule::next_due(phase_us, interval_us, self.now).max(next)
        } else {
            next
        };
        self.wheel.set(slot, probe.due);
    }

    pub(crate) fn advance_now(&mut self, now: Tick) -> Tick {
        self.now = self.now.max(now);
        self.now
    }

    /// Notes a reply that came after its round, for the next record of its probe.
    pub(crate) fn mark_late(&mut self, slot: u32) {
        self.counters.late_replies += 1;
        if let Some(probe) = self.probes.get_mut(slot as usize) {
            probe.is_late = true;
        }
    }

    /// Adds a subject whose first round is its next in phase.
    pub(crate) fn add(
        &mut self,
        subject: Subject,
        address: Option<&Address>,
        timing: u16,
        now: Tick,
    ) -> u32 {
        let interval_us = self.timings.get(usize::from(timing)).map_or(0, |t| t.interval_us);
        let (address, name, from) = match address {
            Some(Address::Ip(ip)) => (Some(*ip), NONE, now),
            Some(Address::Name(name)) => (None, self.names.acquire(name, now), now + NAME_GRACE),
            None => (None, NONE, now),
        };
        let phase_us = schedule::phase_us(subject, interval_us);
        let due = schedule::next_due(phase_us, interval_us, from);
        let probe = Probe {
            due,
            subject,
            address,
            was_lost: false,
            is_late: false,
            timing,
            name,
            flight: NONE,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.probes.get_mut(slot as usize) {
                    *place = probe;
                }
                slot
            }
            None => {
                self.probes.push(probe);
                self.wheel.grow(self.probes.len());
                u32::try_from(self.probes.len() - 1).unwrap_or(NONE)
            }
        };
        self.wheel.set(slot, due);
        slot
    }

    /// Removes a subject silently.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.wheel.clear(slot);
        self.errors.remove(&slot);
        self.asked.remove(&slot);
        let Some(probe) = self.probes.get_mut(slot as usize) else {
            return;
        };
        let flight = std::mem::replace(&mut probe.flight, NONE);
        let name = std::mem::replace(&mut probe.name, NONE);
        probe.address = None;
        probe.timing = 0;
        self.names.release(name);
        if flight != NONE {
            self.flights.end(flight);
            // A slot in the queue twice would send two packets where one is due.
            self.queue.retain(|queued| *queued != slot);
        }
        self.free.push(slot);
    }
}

/// Returns the part of a tick that a stamp carries.
pub(crate) fn low(tick: Tick) -> u32 {
    u32::try_from(tick.0 & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_at_rest_is_small() {
        assert!(size_of::<Probe>() <= 56, "{}", size_of::<Probe>());
    }
}
