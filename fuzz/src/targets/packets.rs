//! What comes out of the network that is asked.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use model::{Address, Outcome, ProbeId, Tick, TierId};
use sense::{
    Assignment, Config, Family, Key, ProbeTask, Prober, TierTiming,
    icmp::{self, Message},
};

/// Packets of one input.
const PACKETS_MAX: usize = 64;
/// The end of the only round that counts.
const END: Tick = Tick(3_000_000);

/// A whole IPv4 packet, as raw sockets deliver it.
pub(crate) fn icmp_v4(bytes: &[u8]) -> bool {
    let Some(message) = icmp::strip_ipv4_header(bytes) else { return false };
    assert!(message.len() < bytes.len(), "a header has bytes");
    is_message(Family::V4, message)
}

/// An ICMPv6 message, as the kernel delivers it.
pub(crate) fn icmp_v6(bytes: &[u8]) -> bool {
    is_message(Family::V6, bytes)
}

fn is_message(family: Family, message: &[u8]) -> bool {
    match icmp::parse(family, message) {
        None => false,
        Some(Message::EchoReply(echo)) => {
            assert!(
                echo.payload.len() + icmp::HEADER_BYTES <= message.len(),
                "payload from beyond"
            );
            true
        }
        Some(Message::Error { destination, original, .. }) => {
            assert_eq!(Family::of(destination), family, "another family's request");
            assert!(original.payload.len() < message.len(), "payload from beyond");
            true
        }
    }
}

/// A prober with a round under way to two addresses, and the packets it sent.
pub(crate) fn under_way() -> (Prober, Vec<(IpAddr, Vec<u8>)>) {
    let tier = TierTiming {
        id: TierId(1),
        interval: Duration::from_secs(5),
        packets: 3,
        gap: Duration::from_millis(20),
        timeout: Duration::from_secs(1),
        payload_bytes: 24,
    };
    let task = |id: u32, ip: IpAddr| ProbeTask {
        id: ProbeId(id),
        tier: tier.id,
        address: Address::Ip(ip),
    };
    let probes = vec![
        task(1, Ipv4Addr::new(192, 0, 2, 1).into()),
        task(2, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    let assignment = Assignment { version: 1, tiers: vec![tier], probes, witnesses: Vec::new() };
    let mut prober = Prober::new(Config { ident: 7 }, Key::new([3; 16]));
    prober.set_assignment(&assignment, Tick(0));
    let (mut packet, mut sent) = (Vec::new(), Vec::new());
    let mut now = Tick(0);
    // Both rounds begin within the interval; the later one is still under way at its end.
    while sent.len() < 6 {
        prober.handle_timeout(now);
        while let Some(transmit) = prober.poll_transmit(now, &mut packet) {
            sent.push((transmit.to, packet.clone()));
            prober.handle_sent(transmit.token, Ok(now));
        }
        now = prober.poll_timeout().map_or(now, |next| next.max(now));
    }
    (prober, sent)
}

/// Messages to a prober with rounds under way, each a family, a length and its bytes.
pub(crate) fn prober(bytes: &[u8]) -> bool {
    let (mut prober, sent) = under_way();
    let mut rest = bytes;
    let mut now = END;
    for _ in 0..PACKETS_MAX {
        let Some(([from, length], tail)) = rest.split_first_chunk() else { break };
        let (message, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        let from = sent.get(usize::from(*from) % sent.len()).map(|(from, _)| *from);
        now = now + Duration::from_micros(1);
        prober.handle_receive(from.expect("packets were sent"), message, now);
    }
    let counters = prober.counters();
    assert!(counters.replies <= counters.packets_sent, "more replies than packets");
    let mut taken = counters.replies + counters.late_replies + counters.icmp_errors;
    prober.handle_timeout(Tick(now.0 + 30_000_000));
    while let Some(record) = prober.poll_round() {
        if let Outcome::Asked { sent, received, rtt, .. } = record.outcome {
            assert!(received <= sent, "{record:?}");
            assert_eq!(rtt.is_some(), received != 0, "{record:?}");
            taken += u64::from(received);
        }
    }
    taken != 0
}
