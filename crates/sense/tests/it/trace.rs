//! Traces against networks of routers that answer, stay silent, limit their answers and lose.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::{
    HopEnding as Ending, HopNote as Note, NotAsked, Tick, TraceHop, TraceOptions,
    TraceProtocol as Protocol,
};
use proptest::prelude::*;
use sense::{
    Family, Key, icmp,
    trace::{Answer, AnswerKind, End, Marks, Plan, Quote, Trace, Transmit, parse},
};

const KEY: [u8; 16] = [7; 16];
const SOURCE: &str = "198.51.100.2";
const TARGET: &str = "203.0.113.9";

/// What a node does with a packet that ends at it.
#[derive(Clone, Copy)]
enum Mood {
    Answers,
    Silent,
    /// Answers each so many-th.
    Each(u32),
    /// Refuses to pass anything on.
    Refuses,
    /// Swallows each so many-th packet, those that are to pass included.
    Loses(u32),
}

/// A way of nodes, the last of which is the target.
struct World {
    nodes: Vec<(&'static str, Mood)>,
    /// Ways instead of `nodes` by flow.
    ways: BTreeMap<u8, Vec<(&'static str, Mood)>>,
    /// How much of a packet routers quote beyond the IP header.
    quoted: usize,
    counts: BTreeMap<(usize, &'static str), u32>,
    sent: Vec<(Transmit, Vec<u8>)>,
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn world(nodes: &[(&'static str, Mood)]) -> World {
    World {
        nodes: nodes.to_vec(),
        ways: BTreeMap::new(),
        quoted: 64,
        counts: BTreeMap::new(),
        sent: Vec::new(),
    }
}

impl World {
    /// The answer to a packet, and how long it takes; `None` if there is none.
    fn answer(&mut self, transmit: &Transmit, packet: &[u8]) -> Option<(IpAddr, Vec<u8>, u64)> {
        let nodes = self.ways.get(&transmit.flow).unwrap_or(&self.nodes).clone();
        let last = nodes.len().min(usize::from(transmit.ttl));
        let mut is_refused = false;
        for (at, (name, mood)) in nodes.iter().enumerate().take(last) {
            let count = self.counts.entry((at, *name)).or_default();
            let is_end = at + 1 == last;
            *count += u32::from(is_end || matches!(mood, Mood::Loses(_)));
            let is_gone = match mood {
                Mood::Loses(each) => (*count).is_multiple_of(*each),
                Mood::Silent => is_end,
                Mood::Each(each) => is_end && !(*count).is_multiple_of(*each),
                Mood::Refuses => {
                    is_refused = true;
                    false
                }
                Mood::Answers => false,
            };
            if is_gone {
                return None;
            }
            let is_target = at + 1 == nodes.len();
            if is_end || is_refused {
                let message = reply(transmit, packet, (is_target, is_refused), self.quoted);
                return Some((ip(name), message, 1_000 * (at as u64 + 1)));
            }
        }
        None
    }
}

/// The ICMP message that a node sends, as the RFCs have it.
fn reply(
    transmit: &Transmit,
    packet: &[u8],
    (is_target, is_refused): (bool, bool),
    quoted: usize,
) -> Vec<u8> {
    let is_udp = transmit.port != 0;
    if is_target && !is_udp {
        let mut message = packet.to_vec();
        message[0] = 0;
        return summed(message);
    }
    let (kind, code) = match (is_target, is_refused) {
        (true, _) => (3, 3),
        (false, true) => (3, 13),
        (false, false) => (11, 0),
    };
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    let protocol = if is_udp { 17 } else { 1 };
    message.extend_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 1, protocol, 0, 0]);
    let octets = |address: IpAddr| match address {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => unreachable!("worlds are of version 4"),
    };
    message.extend_from_slice(&octets(ip(SOURCE)));
    message.extend_from_slice(&octets(transmit.to));
    let mut body = Vec::new();
    if is_udp {
        body.extend_from_slice(&(40_000 + u16::from(transmit.flow)).to_be_bytes());
        body.extend_from_slice(&transmit.port.to_be_bytes());
        body.extend_from_slice(&(packet.len() as u16 + 8).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
    }
    body.extend_from_slice(packet);
    body.truncate(quoted);
    message.extend_from_slice(&body);
    summed(message)
}

fn summed(mut message: Vec<u8>) -> Vec<u8> {
    (message[2], message[3]) = (0, 0);
    let sum = icmp::checksum(&message).to_be_bytes();
    (message[2], message[3]) = (sum[0], sum[1]);
    message
}

fn marks() -> Marks {
    Marks {
        ident: 0x1234,
        number: 3,
        sequence_first: 65_500,
        checksum_first: 9,
        source_ports: (40_000..40_016).collect(),
    }
}

fn options(protocol: Protocol) -> TraceOptions {
    TraceOptions { protocol, ..TraceOptions::default() }
}

/// As the default but for some.
fn with(options: TraceOptions) -> Plan {
    Plan { target: ip(TARGET), options }
}

fn plan(protocol: Protocol) -> Plan {
    Plan { target: ip(TARGET), options: options(protocol) }
}

/// Plays a trace to its end; returns it with the time that it took.
fn play(plan: Plan, world: &mut World) -> (Trace, Duration) {
    let mut trace = Trace::new(plan, marks(), Key::new(KEY), Tick(0)).expect("a plan");
    let mut due: BTreeMap<(u64, usize), (IpAddr, Vec<u8>)> = BTreeMap::new();
    let (mut now, mut packet) = (Tick(0), Vec::new());
    while !trace.is_over() {
        while let Some(entry) = due.first_entry().filter(|entry| entry.key().0 <= now.0) {
            let ((at, _), (from, message)) = entry.remove_entry();
            let answer = parse(from, &message).expect("an answer");
            assert!(trace.handle_answer(from, &answer, Tick(at)));
        }
        trace.handle_timeout(now);
        while let Some(transmit) = trace.poll_transmit(now, &mut packet) {
            if let Some((from, message, us)) = world.answer(&transmit, &packet) {
                due.insert((now.0 + us, world.sent.len()), (from, message));
            }
            world.sent.push((transmit, packet.clone()));
            trace.handle_sent(transmit.token, Ok(now));
        }
        let next = due.keys().next().map(|(at, _)| Tick(*at));
        let next = [next, trace.poll_timeout()].into_iter().flatten().min();
        now = next.map_or(now, |next| next.max(now));
        assert!(now.0 < 600_000_000, "it does not end");
    }
    (trace, now.since(Tick(0)))
}

/// One line for each hop.
fn told(trace: &Trace) -> String {
    let line = |hop: &TraceHop| {
        let who: Vec<String> = hop.answers.iter().map(|a| a.from.to_string()).collect();
        let who = if who.is_empty() { "*".to_owned() } else { who.join(" ") };
        let ending = match hop.ending {
            None => String::new(),
            Some(Ending::Reached) => " target".to_owned(),
            Some(Ending::Unreachable { code }) => format!(" refused {code}"),
        };
        let (flow, ttl, sent, received) = (hop.flow, hop.ttl, hop.sent, hop.received());
        format!("{flow}/{ttl} {who} {received}/{sent} {:?}{ending}\n", hop.note)
    };
    let hops: String = trace.hops().iter().map(line).collect();
    format!("{hops}{:?}", trace.end())
}

#[track_caller]
fn check(plan: Plan, world: &mut World, expected: &str) {
    let (trace, _) = play(plan, world);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(told(&trace), expected.join("\n"));
}

const R1: (&str, Mood) = ("192.0.2.1", Mood::Answers);
const R2: (&str, Mood) = ("192.0.2.2", Mood::Answers);
const R3: (&str, Mood) = ("192.0.2.3", Mood::Answers);
const LAST: (&str, Mood) = (TARGET, Mood::Answers);

#[test]
fn every_hop_of_the_way_and_then_the_target() {
    for protocol in [Protocol::Icmp, Protocol::Udp] {
        check(
            plan(protocol),
            &mut world(&[R1, R2, R3, LAST]),
            "
            0/1 192.0.2.1 5/5 Clean
            0/2 192.0.2.2 5/5 Clean
            0/3 192.0.2.3 5/5 Clean
            0/4 203.0.113.9 5/5 Clean target
            Reached",
        );
    }
}

#[test]
fn a_hop_that_limits_its_answers_is_no_loss_and_one_that_loses_is() {
    let plan = with(TraceOptions { rounds: 20, ..options(Protocol::Icmp) });
    check(
        plan,
        &mut world(&[R1, ("192.0.2.2", Mood::Each(3)), R3, LAST]),
        "
        0/1 192.0.2.1 20/20 Clean
        0/2 192.0.2.2 6/20 RateLimited
        0/3 192.0.2.3 20/20 Clean
        0/4 203.0.113.9 20/20 Clean target
        Reached",
    );
    let mut lossy = world(&[R1, ("192.0.2.2", Mood::Loses(4)), R3, LAST]);
    let (trace, _) = play(plan, &mut lossy);
    let notes: Vec<Note> = trace.hops().iter().map(|hop| hop.note).collect();
    assert_eq!(notes, [Note::Clean, Note::Lossy, Note::Lossy, Note::Lossy]);
}

#[test]
fn a_limit_before_a_loss_is_still_a_limit() {
    // Nine of ten answers are not given, and behind it one packet of seven is lost.
    let mut both = world(&[("192.0.2.1", Mood::Each(10)), ("192.0.2.2", Mood::Loses(7)), LAST]);
    let (trace, _) = play(with(TraceOptions { rounds: 40, ..options(Protocol::Icmp) }), &mut both);
    let notes: Vec<Note> = trace.hops().iter().map(|hop| hop.note).collect();
    assert_eq!(notes, [Note::RateLimited, Note::Lossy, Note::Lossy]);
}

#[test]
fn one_missing_answer_before_few_packets_says_nothing() {
    check(
        with(TraceOptions { rounds: 3, ..options(Protocol::Icmp) }),
        &mut world(&[("192.0.2.1", Mood::Each(2)), LAST]),
        "
        0/1 192.0.2.1 1/3 RateLimited
        0/2 203.0.113.9 3/3 Clean target
        Reached",
    );
    check(
        with(TraceOptions { rounds: 2, ..options(Protocol::Icmp) }),
        &mut world(&[("192.0.2.1", Mood::Each(2)), LAST]),
        "
        0/1 192.0.2.1 1/2 Unclear
        0/2 203.0.113.9 2/2 Clean target
        Reached",
    );
}

#[test]
fn a_silent_hop_on_the_way_is_passed_and_silence_to_the_end_stops() {
    check(
        with(TraceOptions { rounds: 2, ..options(Protocol::Udp) }),
        &mut world(&[R1, ("192.0.2.2", Mood::Silent), LAST]),
        "
        0/1 192.0.2.1 2/2 Clean
        0/2 * 0/2 Silent
        0/3 203.0.113.9 2/2 Clean target
        Reached",
    );
    let dark = ("192.0.2.7", Mood::Silent);
    check(
        with(TraceOptions { rounds: 1, silent_max: 3, ..options(Protocol::Icmp) }),
        &mut world(&[R1, dark, dark, dark, dark, dark, dark]),
        "
        0/1 192.0.2.1 1/1 Clean
        0/2 * 0/1 Dark
        0/3 * 0/1 Dark
        0/4 * 0/1 Dark
        Silent",
    );
}

#[test]
fn a_router_that_refuses_ends_the_way() {
    check(
        with(TraceOptions { rounds: 1, ..options(Protocol::Icmp) }),
        &mut world(&[R1, ("192.0.2.2", Mood::Refuses), LAST]),
        "
        0/1 192.0.2.1 1/1 Clean
        0/2 192.0.2.2 1/1 Clean refused 13
        Unreachable { code: 13 }",
    );
}

#[test]
fn flows_show_where_ways_part() {
    let mut parted = world(&[R1, R2, LAST]);
    parted.ways.insert(1, vec![R1, R3, LAST]);
    check(
        with(TraceOptions { flows: 2, rounds: 1, ..options(Protocol::Udp) }),
        &mut parted,
        "
        0/1 192.0.2.1 1/1 Clean
        0/2 192.0.2.2 1/1 Clean
        0/3 203.0.113.9 1/1 Clean target
        1/1 192.0.2.1 1/1 Clean
        1/2 192.0.2.3 1/1 Clean
        1/3 203.0.113.9 1/1 Clean target
        Reached",
    );
}

#[test]
fn what_routers_choose_a_way_by_stays_within_a_flow() {
    let plan_of = |protocol| with(TraceOptions { flows: 3, rounds: 4, ..options(protocol) });
    let mut echo = world(&[R1, R2, LAST]);
    play(plan_of(Protocol::Icmp), &mut echo);
    let mut marks = BTreeMap::<u8, Vec<&[u8]>>::new();
    for (transmit, packet) in &echo.sent {
        marks.entry(transmit.flow).or_default().push(&packet[..6]);
    }
    assert!(marks.values().all(|of| of.windows(2).all(|pair| pair[0] == pair[1])));
    let mut firsts: Vec<&[u8]> = marks.values().map(|of| of[0]).collect();
    firsts.dedup();
    assert_eq!(firsts.len(), 3, "each flow is another");
    let mut udp = world(&[R1, R2, LAST]);
    play(plan_of(Protocol::Udp), &mut udp);
    assert!(udp.sent.iter().all(|(t, _)| t.port == 33_434 + u16::from(t.flow)));
}

#[test]
fn routers_that_quote_eight_bytes_are_understood() {
    for protocol in [Protocol::Icmp, Protocol::Udp] {
        let mut old = world(&[R1, R2, LAST]);
        old.quoted = 8;
        let (trace, _) = play(plan(protocol), &mut old);
        assert!(trace.hops().iter().all(|hop| hop.received() == 5), "{}", told(&trace));
    }
}

#[test]
fn little_is_sent_beyond_the_target_and_time_is_bounded() {
    let mut short = world(&[R1, LAST]);
    let (_, took) = play(plan(Protocol::Icmp), &mut short);
    assert!(short.sent.iter().all(|(transmit, _)| transmit.ttl <= 5));
    assert!(short.sent.len() <= 5 + 4 * 2, "{}", short.sent.len());
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_way_that_grows_while_it_is_traced_is_followed() {
    let mut trace = Trace::new(
        with(TraceOptions { rounds: 3, ..options(Protocol::Icmp) }),
        marks(),
        Key::new(KEY),
        Tick(0),
    )
    .expect("a plan");
    let (mut short, mut long) = (world(&[R1, LAST]), world(&[R1, R2, R3, LAST]));
    let (mut now, mut packet) = (Tick(0), Vec::new());
    while !trace.is_over() {
        trace.handle_timeout(now);
        while let Some(transmit) = trace.poll_transmit(now, &mut packet) {
            trace.handle_sent(transmit.token, Ok(now));
            let way = if now.0 < 200_000 { &mut short } else { &mut long };
            if let Some((from, message, us)) = way.answer(&transmit, &packet) {
                let answer = parse(from, &message).expect("an answer");
                assert!(trace.handle_answer(from, &answer, Tick(now.0 + us)));
            }
        }
        now = trace.poll_timeout().map_or(now, |next| next.max(now));
    }
    let hops = trace.hops();
    assert_eq!(hops.len(), 4, "{}", told(&trace));
    let second: Vec<IpAddr> = hops[1].answers.iter().map(|a| a.from).collect();
    assert_eq!(second, [ip(TARGET), ip("192.0.2.2")], "both are told of");
}

#[test]
fn what_is_not_about_our_packet_does_not_count() {
    let mut trace =
        Trace::new(plan(Protocol::Icmp), marks(), Key::new(KEY), Tick(0)).expect("a plan");
    let mut packet = Vec::new();
    let transmit = trace.poll_transmit(Tick(0), &mut packet).expect("a packet");
    trace.handle_sent(transmit.token, Ok(Tick(0)));
    let from = ip("192.0.2.1");
    let mut take = |from: IpAddr, message: &[u8]| {
        parse(from, message).is_some_and(|answer| trace.handle_answer(from, &answer, Tick(500)))
    };
    let good = reply(&transmit, &packet, (false, false), 64);
    let other = Transmit { to: ip("203.0.113.10"), ..transmit };
    assert!(!take(from, &reply(&other, &packet, (false, false), 64)), "another destination");
    for at in [28 + 4, 28 + 6, 28 + 8, 28 + 20] {
        let mut forged = good.clone();
        forged[at] ^= 1;
        assert!(!take(from, &summed(forged)), "byte {at} is another");
    }
    let mut cut = reply(&transmit, &packet, (false, false), 8);
    cut[28 + 2] ^= 1;
    assert!(!take(from, &summed(cut)), "a quote of eight bytes with another checksum");
    let mut unsound = good.clone();
    unsound[30] ^= 1;
    assert!(!take(from, &unsound), "a message whose own checksum is wrong");
    assert!(take(from, &good));
    assert!(take(from, &good), "a second answer is ours");
    assert_eq!(trace.hops()[0].received(), 1, "and counts once");
    assert_eq!(trace.late(), 1);
}

#[test]
fn a_host_without_a_route_ends_it_at_once_and_says_why() {
    let mut trace =
        Trace::new(plan(Protocol::Udp), marks(), Key::new(KEY), Tick(0)).expect("a plan");
    let mut packet = Vec::new();
    let transmit = trace.poll_transmit(Tick(0), &mut packet).expect("a packet");
    trace.handle_sent(transmit.token, Err(NotAsked::NoRoute));
    assert!(trace.is_over());
    assert_eq!(trace.end(), End::NotAsked(NotAsked::NoRoute));
}

#[test]
fn a_cancelled_trace_sends_nothing_more() {
    let mut trace =
        Trace::new(plan(Protocol::Icmp), marks(), Key::new(KEY), Tick(0)).expect("a plan");
    trace.cancel();
    assert!(trace.poll_transmit(Tick(0), &mut Vec::new()).is_none());
    assert!(trace.is_over() && trace.poll_timeout().is_none());
}

#[test]
fn plans_beyond_the_limits_are_refused_by_field() {
    let good = options(Protocol::Icmp);
    let field = |options: TraceOptions| with(options).check().err().map(|error| error.field);
    assert_eq!(field(good), None);
    assert_eq!(field(TraceOptions { flows: 17, ..good }), Some("flows"));
    assert_eq!(field(TraceOptions { flows: 16, rounds: 5, ..good }), Some("rounds"));
    assert_eq!(field(TraceOptions { hops_max: 0, ..good }), Some("hops_max"));
    let timeout = Duration::from_secs(9);
    assert_eq!(field(TraceOptions { timeout, ..good }), Some("timeout_ms"));
    for target in ["224.0.0.5", "255.255.255.255", "0.0.0.0", "ff02::1", "::"] {
        let plan = Plan { target: ip(target), options: good };
        assert_eq!(plan.check().err().map(|error| error.field), Some("target"), "{target}");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("hexadecimal") as u8;
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

/// What Linux routers and hosts sent, as it came from raw sockets.
#[test]
fn recorded_answers_are_read() {
    let payload: Vec<u8> = (0..26).collect();
    let udp = |source_port| Quote::Udp {
        source_port,
        destination_port: 33_434,
        length: 34,
        payload: &payload,
    };
    let echo = |checksum| Quote::Echo { ident: 0x1234, sequence: 7, checksum, payload: &payload };
    let tail = "000102030405060708090a0b0c0d0e0f10111213141516171819";
    let far = ip("203.0.113.2");
    let far_v6 = ip("2001:db8:b::2");
    for (from, hex, kind, destination, quote) in [
        (
            "198.51.100.1",
            "0b00d2eb00000000450000366c1240000111a76cc6336402cb0071029c41829a0022666c",
            AnswerKind::TimeExceeded,
            far,
            udp(40_001),
        ),
        (
            "198.51.100.1",
            "0b00f4ff00000000450000369be34000010177abc6336402cb0071020800491b12340007",
            AnswerKind::TimeExceeded,
            far,
            echo(0x491b),
        ),
        (
            "203.0.113.2",
            "0303daa900000000450000366cea40003f116894c6336402cb0071029c80829a0022666c",
            AnswerKind::Unreachable { code: 3 },
            far,
            udp(40_064),
        ),
        ("203.0.113.2", "0000511b12340007", AnswerKind::Reply, far, echo(0x511b)),
        (
            "2001:db8:a::1",
            "030031630000000060038b6f0022110120010db8000a0000000000000000000220010db8000b00000000\
             00000000\
             00029c41829a00225bbe",
            AnswerKind::TimeExceeded,
            far_v6,
            udp(40_001),
        ),
        (
            "2001:db8:a::1",
            "03008592000000006005818b00223a0120010db8000a0000000000000000000220010db8000b00000000\
             00000000\
             00028000753312340007",
            AnswerKind::TimeExceeded,
            far_v6,
            echo(0x7533),
        ),
    ] {
        let message = bytes(&format!("{hex}{tail}"));
        assert_eq!(parse(ip(from), &message), Some(Answer { kind, destination, quote }), "{from}");
    }
}

proptest! {
    #[test]
    fn arbitrary_messages_never_panic_and_never_count(
        family in prop_oneof![Just(Family::V4), Just(Family::V6)],
        mut message in prop::collection::vec(any::<u8>(), 0..160),
        kind in 0_u8..16,
    ) {
        let from = ip(if family == Family::V4 { "192.0.2.1" } else { "2001:db8::1" });
        if message.len() >= 8 {
            message[0] = kind;
            message = summed(message);
        }
        let mut trace =
            Trace::new(plan(Protocol::Icmp), marks(), Key::new(KEY), Tick(0)).expect("a plan");
        if let Some(answer) = parse(from, &message) {
            prop_assert!(!trace.handle_answer(from, &answer, Tick(1)));
        }
    }

    #[test]
    fn counts_add_up_whatever_the_network_does(
        moods in prop::collection::vec(0_u8..5, 1..9),
        flows in 1_u8..4,
        rounds in 1_u8..6,
        is_udp: bool,
    ) {
        let names = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5",
            "192.0.2.6", "192.0.2.7", "192.0.2.8"];
        let mut nodes: Vec<(&'static str, Mood)> = names.iter().zip(&moods).map(|(name, mood)| {
            let mood = match mood {
                0 => Mood::Silent,
                1 => Mood::Each(2),
                2 => Mood::Loses(3),
                _ => Mood::Answers,
            };
            (*name, mood)
        }).collect();
        nodes.push(LAST);
        let protocol = if is_udp { Protocol::Udp } else { Protocol::Icmp };
        let plan = with(TraceOptions { flows, rounds, ..options(protocol) });
        let mut world = world(&nodes);
        let (trace, took) = play(plan, &mut world);
        prop_assert!(took < Duration::from_secs(60));
        prop_assert!(world.sent.len() <= usize::from(flows) * usize::from(rounds) * 30);
        for hop in trace.hops() {
            prop_assert_eq!(hop.sent, hop.lost + hop.received());
            prop_assert!(hop.note != Note::Waiting);
            prop_assert!(hop.sent <= u16::from(rounds));
        }
    }
}
