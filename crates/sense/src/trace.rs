//! A trace: the way that packets of one flow take, hop by hop, for one flow or several.
//!
//! Each flow keeps what routers choose a way by (see [`packet`]), so that its hops are those of one
//! way, and several flows show where ways part. A trace knows no clock and no socket: the driver
//! hands in ticks and what was received, as for [`crate::Prober`].
//!
//! The life of a flow:
//!
//! 1 - the first round finds its end: one packet for each hop count from 1 on, with at most
//!     [`AHEAD_MAX`] of them under way, so that little is sent beyond the target;
//! 2 - the end is the lowest hop count at which the target answered or somebody refused, otherwise
//!     `silent_max` hops behind the last answer, otherwise `hops_max`;
//! 3 - each further round sends one packet for each hop, in their order;
//! 4 - a router answers where the end was: the way has become longer, and so has the trace;
//! 5 - it is over when each packet is answered or its time is over.
//!
//! An answer counts if all of this holds: it is about a packet to the target of this trace; the
//! packet's stamp carries our tag, or, where a router quotes too little for that, identifier,
//! sequence and checksum (of UDP both ports and the length) are those of a packet under way; and it
//! is the first for it and came in time.

mod hops;
mod packet;

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
};

use model::{HopEnding, NotAsked, Tick, TraceHop, TraceOptions, TraceOptionsError, TraceProtocol};

use crate::{
    Family, Key,
    key::{STAMP_BYTES, Stamp},
    prober::low,
};

pub use packet::{Answer, AnswerKind, Quote, parse};
use packet::{LENGTHS, PORT_FIRST, write_echo, write_udp};

/// Packets of a flow under way while its end is not known.
pub const AHEAD_MAX: usize = 4;

/// What is to be traced, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub target: IpAddr,
    pub options: TraceOptions,
}

/// What makes the packets of one trace its own; the driver draws it at random.
#[derive(Clone, Debug)]
pub struct Marks {
    /// The identifier of echo requests, the same for all traces of one socket.
    pub ident: u16,
    /// Different for each trace that is under way.
    pub number: u32,
    pub sequence_first: u16,
    /// The checksums of the flows' echo requests follow from it.
    pub checksum_first: u16,
    /// The port that each flow sends from, if it is of UDP.
    pub source_ports: Vec<u16>,
}

/// One packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub to: IpAddr,
    /// Of UDP; 0 otherwise.
    pub port: u16,
    pub ttl: u8,
    pub flow: u8,
    pub token: Token,
}

/// Names one packet between `poll_transmit` and `handle_sent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(u16);

/// How a trace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Of at least one flow the target answered.
    Reached,
    /// A router refused all flows; the code of the last one.
    Unreachable { code: u8 },
    /// Nobody answers behind some hop, or there are more hops than asked.
    Silent,
    /// Not one packet could leave.
    NotAsked(NotAsked),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Polled; what became of it is not known.
    Leaving,
    Waiting {
        sent_at: Tick,
    },
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    flow: u8,
    ttl: u8,
    /// Its number in its flow, modulo [`LENGTHS`].
    length: u8,
    state: State,
}

/// One flow.
#[derive(Clone, Debug)]
struct Walk {
    rounds_left: u8,
    /// Whether the end is being looked for.
    is_first: bool,
    ttl_next: u8,
    /// When the round began or begins.
    due: Tick,
    answered: u8,
    end: Option<(u8, HopEnding)>,
    /// Packets sent so far, and those not yet over.
    sent: usize,
    under_way: usize,
    /// Of hop count 1 and on.
    hops: Vec<TraceHop>,
}

/// See the module.
#[derive(Debug)]
pub struct Trace {
    plan: Plan,
    marks: Marks,
    key: Key,
    now: Tick,
    walks: Vec<Walk>,
    packets: Vec<Packet>,
    /// In the order in which they left.
    waiting: VecDeque<u16>,
    changed: BTreeSet<(u8, u8)>,
    failure: Option<NotAsked>,
    is_cancelled: bool,
    late: u64,
}

impl Plan {
    /// # Errors
    ///
    /// [`TraceOptionsError`] for the first value outside its limits; an address that is not one
    /// host's is such a value.
    pub fn check(&self) -> Result<(), TraceOptionsError> {
        let is_one_host = match self.target {
            IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
            IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
        };
        if !is_one_host {
            let (field, must) = ("target", "must be the address of one host");
            return Err(TraceOptionsError { field, must });
        }
        self.options.check()
    }
}

impl Trace {
    /// Begins a trace.
    ///
    /// # Errors
    ///
    /// [`TraceOptionsError`] if the plan is outside the limits.
    pub fn new(plan: Plan, marks: Marks, key: Key, now: Tick) -> Result<Trace, TraceOptionsError> {
        plan.check()?;
        let walks = (0..u32::from(plan.options.flows)).map(|flow| Walk {
            rounds_left: plan.options.rounds,
            is_first: true,
            ttl_next: 1,
            due: now + plan.options.interval * flow,
            answered: 0,
            end: None,
            sent: 0,
            under_way: 0,
            hops: Vec::new(),
        });
        Ok(Trace {
            walks: walks.collect(),
            plan,
            marks,
            key,
            now,
            packets: Vec::new(),
            waiting: VecDeque::new(),
            changed: BTreeSet::new(),
            failure: None,
            is_cancelled: false,
            late: 0,
        })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Sends nothing more, and waits for nothing.
    pub fn cancel(&mut self) {
        self.is_cancelled = true;
    }

    /// Whether no packet is to be sent or waited for any more.
    pub fn is_over(&self) -> bool {
        self.is_cancelled || self.walks.iter().all(|walk| walk.is_over(&self.plan))
    }

    /// Says how it ended, or how it would if it ended now.
    pub fn end(&self) -> End {
        if let Some(reason) = self.failure.filter(|_| self.walks.iter().all(|w| w.sent == 0)) {
            return End::NotAsked(reason);
        }
        let mut refused = None;
        for walk in &self.walks {
            match walk.end {
                Some((_, HopEnding::Reached)) => return End::Reached,
                Some((_, HopEnding::Unreachable { code })) => refused = Some(code),
                None => {}
            }
        }
        match refused {
            Some(code) if self.walks.iter().all(|walk| walk.end.is_some()) => {
                End::Unreachable { code }
            }
            Some(_) | None => End::Silent,
        }
    }

    /// Answers that came after their time.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Gives up packets whose time is over.
    pub fn handle_timeout(&mut self, now: Tick) {
        self.advance(now);
        while let Some(&index) = self.waiting.front() {
            let Some(packet) = self.packets.get(usize::from(index)).copied() else { return };
            match packet.state {
                State::Waiting { sent_at } if self.now < sent_at + self.plan.options.timeout => {
                    return;
                }
                State::Waiting { .. } => self.settle(index, |hop| hop.lost += 1),
                State::Leaving | State::Over => {}
            }
            self.waiting.pop_front();
        }
        for walk in &mut self.walks {
            walk.turn(&self.plan, self.now);
        }
    }

    /// Returns when there is something to send or to give up; `None` if it is over.
    pub fn poll_timeout(&self) -> Option<Tick> {
        if self.is_over() {
            return None;
        }
        let next = self.waiting.iter().find_map(|index| {
            match self.packets.get(usize::from(*index))?.state {
                State::Waiting { sent_at } => Some(sent_at + self.plan.options.timeout),
                State::Leaving | State::Over => None,
            }
        });
        let sending = self.walks.iter().filter(|walk| walk.may_send(&self.plan));
        sending.map(|walk| walk.due).chain(next).min().map(|at| at.max(self.now))
    }

    /// Writes the next packet to send: of ICMP the message without IP header, of UDP the payload.
    ///
    /// Every packet that it gives has to be told of with [`Trace::handle_sent`].
    pub fn poll_transmit(&mut self, now: Tick, packet: &mut Vec<u8>) -> Option<Transmit> {
        self.advance(now);
        if self.is_cancelled || usize::from(u16::MAX) <= self.packets.len() {
            return None;
        }
        let now = self.now;
        let (flow, walk) = (0_u8..)
            .zip(&mut self.walks)
            .filter(|(_, walk)| walk.due <= now && walk.may_send(&self.plan))
            .min_by_key(|(_, walk)| walk.ttl_next)?;
        let (ttl, number) = (walk.ttl_next, walk.sent);
        walk.ttl_next += 1;
        walk.sent += 1;
        walk.under_way += 1;
        let index = u16::try_from(self.packets.len()).unwrap_or(u16::MAX);
        let length = u8::try_from(number % LENGTHS).unwrap_or(0);
        self.packets.push(Packet { flow, ttl, length, state: State::Leaving });
        let sequence = self.marks.sequence_first.wrapping_add(index);
        let stamp =
            Stamp { slot: self.marks.number, round: index.into(), tick_us: low(now), index: ttl };
        let stamp = self.key.seal(stamp, sequence);
        let family = Family::of(self.plan.target);
        let port = match self.plan.options.protocol {
            TraceProtocol::Icmp => {
                let head = (family, self.marks.ident, sequence);
                write_echo(head, self.checksum(flow), &stamp, packet);
                0
            }
            TraceProtocol::Udp => {
                write_udp(number, sequence, &stamp, packet);
                PORT_FIRST + u16::from(flow)
            }
        };
        Some(Transmit { to: self.plan.target, port, ttl, flow, token: Token(index) })
    }

    /// Says when a packet left, or why it did not.
    pub fn handle_sent(&mut self, Token(index): Token, sent: Result<Tick, NotAsked>) {
        let Some(packet) = self.packets.get_mut(usize::from(index)) else { return };
        if packet.state != State::Leaving {
            return;
        }
        match sent {
            Ok(sent_at) => {
                packet.state = State::Waiting { sent_at };
                let (flow, ttl) = (packet.flow, packet.ttl);
                self.waiting.push_back(index);
                if let Some(hop) = self.hop_mut(flow, ttl) {
                    hop.sent += 1;
                }
                self.changed.insert((flow, ttl));
            }
            Err(reason) => {
                packet.state = State::Over;
                let flow = usize::from(packet.flow);
                self.failure.get_or_insert(reason);
                if let Some(walk) = self.walks.get_mut(flow) {
                    walk.sent -= 1;
                    walk.under_way -= 1;
                    if walk.sent == 0 {
                        // Nothing leaves: to go on would only ask the host again.
                        walk.rounds_left = 0;
                        walk.ttl_next = u8::MAX;
                    }
                }
            }
        }
    }

    /// Takes what came from `from` at `at`; `false` if it is about no packet of this trace.
    pub fn handle_answer(&mut self, from: IpAddr, answer: &Answer<'_>, at: Tick) -> bool {
        if answer.destination != self.plan.target {
            return false;
        }
        let Some(index) = self.index_of(answer) else { return false };
        let Some(packet) = self.packets.get(usize::from(index)).copied() else { return false };
        let State::Waiting { sent_at } = packet.state else {
            self.late += 1;
            return true;
        };
        let rtt = at.since(sent_at);
        if self.plan.options.timeout < rtt {
            self.late += 1;
            return true;
        }
        let rtt_us = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        let ending = match answer.kind {
            AnswerKind::Reply => Some(HopEnding::Reached),
            AnswerKind::Unreachable { .. } if from == self.plan.target => Some(HopEnding::Reached),
            AnswerKind::Unreachable { code } => Some(HopEnding::Unreachable { code }),
            AnswerKind::TimeExceeded => None,
        };
        self.settle(index, |hop| {
            hops::take(hop, from, rtt_us);
            hop.ending = ending;
        });
        if let Some(walk) = self.walks.get_mut(usize::from(packet.flow)) {
            walk.learn(packet.ttl, ending, self.plan.options.hops_max);
        }
        true
    }

    /// Takes a hop that changed: as it is now.
    pub fn poll_hop(&mut self) -> Option<TraceHop> {
        loop {
            let (flow, ttl) = self.changed.pop_first()?;
            let behind = self.hops_of(flow).get(usize::from(ttl) - 1..).unwrap_or_default();
            if let Some(hop) = noted(behind) {
                return Some(hop);
            }
        }
    }

    /// All hops as they are now, by flow and hop count; those behind an end are left out.
    pub fn hops(&self) -> Vec<TraceHop> {
        let flows = (0..self.plan.options.flows).map(|flow| self.hops_of(flow));
        flows
            .flat_map(|hops| (0..hops.len()).map(|at| noted(hops.get(at..).unwrap_or_default())))
            .flatten()
            .collect()
    }

    fn hops_of(&self, flow: u8) -> &[TraceHop] {
        let Some(walk) = self.walks.get(usize::from(flow)) else { return &[] };
        let end = walk.end.map_or(walk.hops.len(), |(ttl, _)| usize::from(ttl));
        walk.hops.get(..end.min(walk.hops.len())).unwrap_or_default()
    }

    fn advance(&mut self, now: Tick) {
        self.now = self.now.max(now);
    }

    /// Never 0 and never all ones, which some take for no checksum; different for each flow.
    fn checksum(&self, flow: u8) -> u16 {
        let spread = u32::from(self.marks.checksum_first) + u32::from(flow) * 4_099;
        u16::try_from(1 + spread % 65_534).unwrap_or(1)
    }

    fn hop_mut(&mut self, flow: u8, ttl: u8) -> Option<&mut TraceHop> {
        let walk = self.walks.get_mut(usize::from(flow))?;
        while walk.hops.len() < usize::from(ttl) {
            let next = u8::try_from(walk.hops.len() + 1).unwrap_or(u8::MAX);
            walk.hops.push(hops::empty(flow, next));
        }
        walk.hops.get_mut(usize::from(ttl) - 1)
    }

    /// Ends the waiting for a packet.
    fn settle(&mut self, index: u16, edit: impl FnOnce(&mut TraceHop)) {
        let Some(packet) = self.packets.get_mut(usize::from(index)) else { return };
        packet.state = State::Over;
        let (flow, ttl) = (packet.flow, packet.ttl);
        if let Some(walk) = self.walks.get_mut(usize::from(flow)) {
            walk.under_way -= 1;
        }
        if let Some(hop) = self.hop_mut(flow, ttl) {
            edit(hop);
        }
        self.changed.insert((flow, ttl));
    }

    /// Finds the packet that an answer is about.
    fn index_of(&self, answer: &Answer<'_>) -> Option<u16> {
        match (self.plan.options.protocol, answer.quote) {
            (TraceProtocol::Icmp, Quote::Echo { ident, sequence, checksum, payload }) => {
                if ident != self.marks.ident {
                    return None;
                }
                let index = sequence.wrapping_sub(self.marks.sequence_first);
                if STAMP_BYTES <= payload.len() {
                    return self.stamped(payload, sequence).filter(|stamped| *stamped == index);
                }
                // Of version 6 the kernel made the checksum, and routers quote all there is.
                let packet = self.packets.get(usize::from(index))?;
                let is_v4 = Family::of(self.plan.target) == Family::V4;
                (is_v4 && packet.is_under_way() && checksum == self.checksum(packet.flow))
                    .then_some(index)
            }
            (TraceProtocol::Udp, Quote::Udp { source_port, destination_port, length, payload }) => {
                let flow = destination_port.checked_sub(PORT_FIRST)?;
                let ours = self.marks.source_ports.get(usize::from(flow))?;
                if source_port != *ours {
                    return None;
                }
                if let Some((stamp, rest)) = payload.split_first_chunk::<STAMP_BYTES>()
                    && let Some(sequence) = rest.first_chunk::<2>()
                {
                    return self.stamped(stamp, u16::from_be_bytes(*sequence));
                }
                let overhead = crate::icmp::HEADER_BYTES + packet::PAYLOAD_BYTES;
                let length = usize::from(length).checked_sub(overhead)?;
                let is_it = |packet: &Packet| {
                    u16::from(packet.flow) == flow
                        && usize::from(packet.length) == length
                        && packet.is_under_way()
                };
                u16::try_from(self.packets.iter().rposition(is_it)?).ok()
            }
            (TraceProtocol::Icmp, Quote::Udp { .. }) | (TraceProtocol::Udp, Quote::Echo { .. }) => {
                None
            }
        }
    }

    fn stamped(&self, payload: &[u8], sequence: u16) -> Option<u16> {
        let stamp = self.key.open(payload, sequence)?;
        (stamp.slot == self.marks.number).then_some(u16::try_from(stamp.round).ok()?)
    }
}

/// The first of these hops, with what the others say of it.
fn noted(hops: &[TraceHop]) -> Option<TraceHop> {
    let hop = hops.first()?.clone();
    Some(TraceHop { note: hops::note(hops), ..hop })
}

impl Packet {
    fn is_under_way(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }
}

impl Walk {
    /// The last hop count that is asked, as far as is known.
    fn last(&self, plan: &Plan) -> u8 {
        let silent =
            self.answered.saturating_add(plan.options.silent_max).min(plan.options.hops_max);
        self.end.map_or(silent, |(ttl, _)| ttl)
    }

    fn may_send(&self, plan: &Plan) -> bool {
        let is_free = !self.is_first || self.under_way < AHEAD_MAX;
        0 < self.rounds_left && self.ttl_next <= self.last(plan) && is_free
    }

    fn is_over(&self, plan: &Plan) -> bool {
        self.under_way == 0 && self.rounds_left <= 1 && self.last(plan) < self.ttl_next
            || self.rounds_left == 0 && self.under_way == 0
    }

    /// Begins the next round when this one is sent; the first one has to be answered, too.
    fn turn(&mut self, plan: &Plan, now: Tick) {
        let is_sent = self.last(plan) < self.ttl_next;
        if !is_sent || self.rounds_left <= 1 || (self.is_first && 0 < self.under_way) {
            return;
        }
        self.rounds_left -= 1;
        self.is_first = false;
        self.ttl_next = 1;
        self.due = now.max(self.due + plan.options.interval * u32::from(plan.options.flows));
    }

    /// Notes what an answer says of the length of the way.
    fn learn(&mut self, ttl: u8, ending: Option<HopEnding>, hops_max: u8) {
        self.answered = self.answered.max(ttl);
        match (ending, self.end) {
            (Some(ending), None) => self.end = Some((ttl, ending)),
            (Some(ending), Some((known, _))) if ttl <= known => self.end = Some((ttl, ending)),
            // A router where the end was: the way is longer than that now.
            (None, Some((known, _))) if ttl == known && ttl < hops_max => self.end = None,
            (Some(_) | None, _) => {}
        }
    }
}
