//! A small network that answers a prober by script, one line for each instant.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, time::Duration};

use expect_test::Expect;
use model::{Address, IcmpError, NotAsked, Outcome, ProbeId, RoundFlags, Subject, Tick, TierId};
use sense::{
    Assignment, Config, Family, Key, ProbeTask, Prober, ResolveFailure, RoundRecord, TierTiming,
    icmp,
};

const IDENT: u16 = 7;

/// What an address does with the packets that are sent to it.
#[derive(Clone, Debug)]
enum Manner {
    Answer {
        after: Duration,
        times: u32,
    },
    Silent,
    Unsendable(NotAsked),
    /// An ICMP error comes back, with as many bytes of the request's payload.
    Refused {
        by: IpAddr,
        kind: u8,
        code: u8,
        payload_bytes: usize,
        after: Duration,
    },
    /// Somebody answers who has not the key, or the right answer comes from somewhere else.
    Forged,
    AnsweredBy(IpAddr),
}

pub(crate) struct World {
    prober: Prober,
    now: Tick,
    assignment: Assignment,
    manners: BTreeMap<IpAddr, Manner>,
    /// What is on its way back: when, from, message.
    flying: Vec<(Tick, IpAddr, Vec<u8>)>,
    lag: Duration,
    shows_packets: bool,
    report: String,
}

/// Plays a script and compares the rounds that came out.
///
/// A line is `time [word…]`; what happens between two lines happens by itself, but for a `stall`,
/// in which the driver does nothing.
#[track_caller]
pub(crate) fn check(script: &str, expected: Expect) {
    let mut world = World::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let at = Tick(0) + duration(words.next().expect("a time"));
        let words: Vec<&str> = words.collect();
        world.run_until(at);
        if let ["stall", time] = words[..] {
            world.now = at + duration(time);
            continue;
        }
        world.obey(&words);
    }
    expected.assert_eq(&world.report);
}

fn duration(text: &str) -> Duration {
    if let Some(ms) = text.strip_suffix("ms") {
        return Duration::from_millis(ms.parse().expect("milliseconds"));
    }
    let s: f64 = text.strip_suffix('s').and_then(|s| s.parse().ok()).expect("seconds");
    Duration::from_micros((s * 1_000_000.0).round() as u64)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl World {
    fn new() -> World {
        World {
            prober: Prober::new(Config { ident: IDENT }, Key::new([9; 16])),
            now: Tick(0),
            assignment: Assignment::default(),
            manners: BTreeMap::new(),
            flying: Vec::new(),
            lag: Duration::ZERO,
            shows_packets: false,
            report: String::new(),
        }
    }

    fn obey(&mut self, words: &[&str]) {
        match words {
            [] => (),
            ["tier", id, interval, packets, gap, timeout] => {
                let timing = TierTiming {
                    id: TierId(id.parse().expect("an id")),
                    interval: duration(interval),
                    packets: packets.parse().expect("packets"),
                    gap: duration(gap),
                    timeout: duration(timeout),
                    payload_bytes: 56,
                };
                self.assignment.tiers.retain(|tier| tier.id != timing.id);
                self.assignment.tiers.push(timing);
            }
            ["probe", id, tier, address] => {
                let id = ProbeId(id.parse().expect("an id"));
                self.assignment.probes.retain(|probe| probe.id != id);
                self.assignment.probes.push(ProbeTask {
                    id,
                    tier: TierId(tier.parse().expect("an id")),
                    address: Address::parse(address).expect("an address"),
                });
            }
            ["forget", id] => {
                let id = ProbeId(id.parse().expect("an id"));
                self.assignment.probes.retain(|probe| probe.id != id);
            }
            ["witness", address] => self.assignment.witnesses.push(ip(address)),
            ["assign"] => {
                for refusal in self.assignment.refusals() {
                    writeln!(self.report, "refused probe {}: {}", refusal.probe, refusal.reason)
                        .expect("room");
                }
                self.prober.set_assignment(&self.assignment, self.now);
            }
            ["gateway", "none"] => self.prober.set_gateway(None, self.now),
            ["gateway", address] => self.prober.set_gateway(Some(ip(address)), self.now),
            ["own", address] => self.prober.set_local_addresses(vec![ip(address)]),
            ["doubt"] => self.prober.handle_doubt(self.now),
            ["datagram"] => self.prober.set_ident_foreign(Family::V4, true),
            ["lag", lag] => self.lag = duration(lag),
            ["show", "packets"] => self.shows_packets = true,
            ["resolve", name, rest @ ..] => self.resolve(name, rest),
            ["counters"] => {
                let c = self.prober.counters();
                let (sent, replies, rounds) = (c.packets_sent, c.replies, c.rounds);
                writeln!(self.report, "{rounds} rounds, {sent} packets, {replies} replies")
                    .expect("room");
                let (strange, twice) = (c.strange_replies, c.duplicate_replies);
                let late = c.late_replies;
                writeln!(self.report, "{strange} strange, {twice} duplicate, {late} late")
                    .expect("room");
            }
            [address, manner @ ..] => {
                self.manners.insert(ip(address), parse_manner(manner));
            }
        }
    }

    fn resolve(&mut self, name: &str, rest: &[&str]) {
        let Ok(Address::Name(name)) = Address::parse(name) else { panic!("no name: {name}") };
        let (answer, ttl) = match rest {
            ["none"] => (Err(ResolveFailure::NoAddress), Duration::ZERO),
            ["unanswered"] => (Err(ResolveFailure::Unanswered), Duration::ZERO),
            [ttl, addresses @ ..] => {
                (Ok(addresses.iter().map(|a| ip(a)).collect::<Vec<_>>()), duration(ttl))
            }
            [] => panic!("resolve to what?"),
        };
        let answer = answer.as_deref().map_err(|failure| *failure);
        self.prober.handle_resolved(&name, answer, ttl, self.now);
    }

    /// Lets the prober and the network do what is due, in order, up to `until`.
    fn run_until(&mut self, until: Tick) {
        loop {
            self.turn();
            let flying = self.flying.iter().map(|(at, ..)| *at).min();
            let next = [self.prober.poll_timeout(), flying].into_iter().flatten().min();
            match next.map(|next| next.max(self.now)).filter(|next| *next <= until) {
                Some(next) => self.now = next,
                None => break,
            }
        }
        self.now = self.now.max(until);
    }

    fn turn(&mut self) {
        let now = self.now;
        self.flying.sort();
        while self.flying.first().is_some_and(|(at, ..)| *at <= now) {
            let (at, from, message) = self.flying.remove(0);
            self.prober.handle_receive(from, &message, at);
        }
        self.prober.handle_timeout(now);
        let mut packet = Vec::new();
        while let Some(transmit) = self.prober.poll_transmit(now, &mut packet) {
            let at = now + self.lag;
            if self.shows_packets {
                writeln!(self.report, "{}  packet to {}", s(at), transmit.to).expect("room");
            }
            let manner = self.manners.get(&transmit.to).cloned().unwrap_or(Manner::Silent);
            if let Manner::Unsendable(reason) = manner {
                self.prober.handle_sent(transmit.token, Err(reason));
                continue;
            }
            self.prober.handle_sent(transmit.token, Ok(at));
            self.answer(transmit.to, &packet, manner, at);
        }
        while let Some(name) = self.prober.poll_resolve() {
            writeln!(self.report, "{}  wants {}", s(now), name.as_str()).expect("room");
        }
        while let Some(round) = self.prober.poll_round() {
            let line = show(&round);
            writeln!(self.report, "{}  {line}", s(now)).expect("room");
        }
    }

    fn answer(&mut self, to: IpAddr, packet: &[u8], manner: Manner, at: Tick) {
        match manner {
            Manner::Answer { after, times } => {
                for _ in 0..times {
                    self.flying.push((at + after, to, reply(to, packet)));
                }
            }
            Manner::Forged => {
                let mut forged = packet.to_vec();
                let last = forged.len() - 40;
                forged[last] ^= 1;
                self.flying.push((at + Duration::from_millis(1), to, reply(to, &forged)));
            }
            Manner::AnsweredBy(other) => {
                self.flying.push((at + Duration::from_millis(1), other, reply(to, packet)));
            }
            Manner::Refused { by, kind, code, payload_bytes, after } => {
                let error = refusal(to, packet, kind, code, payload_bytes);
                self.flying.push((at + after, by, error));
            }
            Manner::Silent | Manner::Unsendable(_) => (),
        }
    }
}

fn parse_manner(words: &[&str]) -> Manner {
    match words {
        ["answers", after] => Manner::Answer { after: duration(after), times: 1 },
        ["answers", after, "twice"] => Manner::Answer { after: duration(after), times: 2 },
        ["silent"] => Manner::Silent,
        ["unsendable", "no-route"] => Manner::Unsendable(NotAsked::NoRoute),
        ["unsendable", "permission"] => Manner::Unsendable(NotAsked::Permission),
        ["refused", by, kind, code, payload_bytes, rest @ ..] => Manner::Refused {
            by: ip(by),
            kind: kind.parse().expect("a type"),
            code: code.parse().expect("a code"),
            payload_bytes: payload_bytes.parse().expect("bytes"),
            after: match rest {
                ["after", after] => duration(after),
                _ => Duration::from_millis(1),
            },
        },
        ["forged"] => Manner::Forged,
        ["answered", "by", other] => Manner::AnsweredBy(ip(other)),
        other => panic!("unknown manner {other:?}"),
    }
}

/// Turns a request into its reply, as a host does.
pub(crate) fn reply(to: IpAddr, packet: &[u8]) -> Vec<u8> {
    let mut reply = packet.to_vec();
    reply[0] = if to.is_ipv4() { 0 } else { 129 };
    seal(&mut reply);
    reply
}

/// Makes an ICMP error about a request of version 4, as a router does.
fn refusal(to: IpAddr, packet: &[u8], kind: u8, code: u8, payload_bytes: usize) -> Vec<u8> {
    let IpAddr::V4(to) = to else { panic!("version 4 only") };
    let mut error = vec![kind, code, 0, 0, 0, 0, 0, 0];
    let mut header = [0_u8; 20];
    header[0] = 0x45;
    header[9] = 1;
    header[16..].copy_from_slice(&to.octets());
    error.extend_from_slice(&header);
    error.extend_from_slice(&packet[..8 + payload_bytes]);
    seal(&mut error);
    error
}

fn seal(message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = icmp::checksum(message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
}

/// Seconds to the millisecond: the wheel's grain of 256 us is no news.
fn s(tick: Tick) -> String {
    format!("{}.{:03}s", tick.0 / 1_000_000, tick.0 / 1000 % 1000)
}

fn show(round: &RoundRecord) -> String {
    let who = match round.subject {
        Subject::Probe(id) => format!("probe {id}"),
        Subject::Gateway => "gateway".to_owned(),
        Subject::Witness(index) => format!("witness {index}"),
    };
    let outcome = match round.outcome {
        Outcome::Asked { sent, received, rtt, confirm } => {
            let rtt = rtt.map_or_else(String::new, |rtt| {
                format!(" rtt {}/{}/{}us", rtt.us_min, rtt.us_mean, rtt.us_max)
            });
            let confirm = match confirm.sent {
                0 => String::new(),
                sent => format!(" confirm {}/{sent}", confirm.received),
            };
            format!("{received}/{sent}{rtt}{confirm}")
        }
        Outcome::NotAsked(reason) => format!("not asked: {reason:?}"),
    };
    let names = ["doubtful", "local", "duplicate", "late", "icmp-error", "address-changed"];
    let flags: String = (0..)
        .zip(names)
        .filter(|(bit, _)| round.flags.contains(RoundFlags(1 << bit)))
        .map(|(_, name)| format!(" {name}"))
        .collect();
    let error = round.icmp_error.map_or_else(String::new, |IcmpError { kind, code, source }| {
        format!(" {kind}/{code} by {source}")
    });
    let address = round.address.map_or_else(String::new, |answer| {
        let was = answer.was.map_or_else(String::new, |was| format!("\n         it was {was}"));
        format!(" now {}{was}", answer.address)
    });
    format!("{who} due {}: {outcome}{flags}{error}{address}", s(round.due))
}
