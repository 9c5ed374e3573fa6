//! The packets of a trace, and what comes back about them.
//!
//! A flow looks the same to every router that spreads packets over several ways: of ICMP the
//! identifier and the checksum stay, of UDP both ports. What tells one packet from the next lies
//! where such routers do not look: in ICMP's sequence, in UDP's length, and in the stamp.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    Family,
    icmp::{self, HEADER_BYTES},
    key::STAMP_BYTES,
};

/// Stamp and a word: in ICMP it keeps the checksum, in UDP it is the sequence.
pub(super) const PAYLOAD_BYTES: usize = STAMP_BYTES + 2;
/// A UDP packet is longer than that by its number in its flow, modulo this: so the eight bytes that
/// the oldest routers quote name it among those under way.
pub(super) const LENGTHS: usize = 256;
/// Ports that nothing listens on, as every traceroute since the first has used.
pub(super) const PORT_FIRST: u16 = 33_434;

const V4_ECHO_REPLY: u8 = 0;
const V4_UNREACHABLE: u8 = 3;
const V4_ECHO_REQUEST: u8 = 8;
const V4_TIME_EXCEEDED: u8 = 11;
const V6_UNREACHABLE: u8 = 1;
const V6_TIME_EXCEEDED: u8 = 3;
const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;
/// Time to live exceeded in transit; the other code is of fragments.
const IN_TRANSIT: u8 = 0;
const PROTOCOL_ICMP_V4: u8 = 1;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMP_V6: u8 = 58;
const IPV4_HEADER_BYTES_MIN: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;

/// What came back about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub kind: AnswerKind,
    /// Where the packet was going.
    pub destination: IpAddr,
    pub quote: Quote<'a>,
}

/// What a host or router said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// The target answers.
    Reply,
    /// The packet had passed as many routers as it might.
    TimeExceeded,
    /// It is not taken further, or there is nobody to take it.
    Unreachable { code: u8 },
}

/// As much of the packet as came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote<'a> {
    Echo { ident: u16, sequence: u16, checksum: u16, payload: &'a [u8] },
    Udp { source_port: u16, destination_port: u16, length: u16, payload: &'a [u8] },
}

/// Parses an ICMP message, without any IP header before it, that came from `from`.
///
/// `None` for anything that says nothing of an echo request or a UDP packet.
pub fn parse(from: IpAddr, message: &[u8]) -> Option<Answer<'_>> {
    let (header, rest) = message.split_first_chunk::<HEADER_BYTES>()?;
    let [kind, code, ..] = *header;
    let family = Family::of(from);
    if family == Family::V4 && icmp::checksum(message) != 0 {
        return None;
    }
    let kind = match (family, kind) {
        (Family::V4, V4_ECHO_REPLY) | (Family::V6, V6_ECHO_REPLY) => {
            let quote = quote_echo(header, rest);
            return Some(Answer { kind: AnswerKind::Reply, destination: from, quote });
        }
        (Family::V4, V4_TIME_EXCEEDED) | (Family::V6, V6_TIME_EXCEEDED) if code == IN_TRANSIT => {
            AnswerKind::TimeExceeded
        }
        (Family::V4, V4_UNREACHABLE) | (Family::V6, V6_UNREACHABLE) => {
            AnswerKind::Unreachable { code }
        }
        (Family::V4 | Family::V6, _) => return None,
    };
    let (destination, protocol, body) = match family {
        Family::V4 => ipv4_body(rest)?,
        Family::V6 => ipv6_body(rest)?,
    };
    let (header, rest) = body.split_first_chunk::<HEADER_BYTES>()?;
    let quote = match (family, protocol, header[0]) {
        (Family::V4, PROTOCOL_ICMP_V4, V4_ECHO_REQUEST)
        | (Family::V6, PROTOCOL_ICMP_V6, V6_ECHO_REQUEST) => quote_echo(header, rest),
        (_, PROTOCOL_UDP, _) => {
            let [a, b, c, d, e, f, _, _] = *header;
            Quote::Udp {
                source_port: u16::from_be_bytes([a, b]),
                destination_port: u16::from_be_bytes([c, d]),
                length: u16::from_be_bytes([e, f]),
                payload: rest,
            }
        }
        (Family::V4 | Family::V6, _, _) => return None,
    };
    Some(Answer { kind, destination, quote })
}

fn quote_echo<'a>(header: &[u8; HEADER_BYTES], payload: &'a [u8]) -> Quote<'a> {
    let [_, _, a, b, c, d, e, f] = *header;
    Quote::Echo {
        checksum: u16::from_be_bytes([a, b]),
        ident: u16::from_be_bytes([c, d]),
        sequence: u16::from_be_bytes([e, f]),
        payload,
    }
}

/// Returns destination, protocol and body of a quoted IPv4 packet that is no later fragment.
fn ipv4_body(packet: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    let (header, _) = packet.split_first_chunk::<IPV4_HEADER_BYTES_MIN>()?;
    let header_bytes = usize::from(header[0] & 0x0F) * 4;
    let is_first_fragment = u16::from_be_bytes([header[6] & 0x1F, header[7]]) == 0;
    if header[0] >> 4 != 4 || !is_first_fragment || header_bytes < IPV4_HEADER_BYTES_MIN {
        return None;
    }
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    packet.get(header_bytes..).map(|body| (destination.into(), header[9], body))
}

/// The same of IPv6 without extension headers, which packets of ours never have.
fn ipv6_body(packet: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    let (header, body) = packet.split_first_chunk::<IPV6_HEADER_BYTES>()?;
    let (_, destination) = header.split_last_chunk::<16>()?;
    (header[0] >> 4 == 6).then(|| (Ipv6Addr::from(*destination).into(), header[6], body))
}

/// Writes an echo request whose checksum is `checksum`, whatever the sequence and the stamp say.
///
/// Of IPv6 the kernel makes the checksum: it is another one, and stays as well.
pub(super) fn write_echo(
    (family, ident, sequence): (Family, u16, u16),
    checksum: u16,
    stamp: &[u8; STAMP_BYTES],
    packet: &mut Vec<u8>,
) {
    packet.clear();
    packet.resize(HEADER_BYTES, 0);
    packet.extend_from_slice(stamp);
    packet.extend_from_slice(&[0, 0]);
    icmp::seal_request(family, ident, sequence, packet);
    if let Some((header, _)) = packet.split_first_chunk_mut::<HEADER_BYTES>() {
        (header[2], header[3]) = (0, 0);
    }
    let word = add(!checksum, icmp::checksum(packet));
    packet.truncate(HEADER_BYTES + STAMP_BYTES);
    packet.extend_from_slice(&word.to_be_bytes());
    icmp::seal_request(family, ident, sequence, packet);
}

/// Writes the payload of a UDP packet, the `number`-th of its flow.
pub(super) fn write_udp(
    number: usize,
    sequence: u16,
    stamp: &[u8; STAMP_BYTES],
    packet: &mut Vec<u8>,
) {
    packet.clear();
    packet.extend_from_slice(stamp);
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.resize(PAYLOAD_BYTES + number % LENGTHS, 0);
}

/// Adds as the internet checksum does (RFC 1071).
fn add(a: u16, b: u16) -> u16 {
    let (sum, is_over) = a.overflowing_add(b);
    sum + u16::from(is_over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_has_the_checksum_of_its_flow_whatever_it_carries() {
        for n in 0..500_u16 {
            let stamp = std::array::from_fn(|at| (n.wrapping_mul(31) as usize * (at + 7)) as u8);
            let checksum = 1 + n.wrapping_mul(4_099) % 65_534;
            let mut packet = Vec::new();
            write_echo((Family::V4, 7, n), checksum, &stamp, &mut packet);
            assert_eq!(packet[2..4], checksum.to_be_bytes(), "{n}");
            assert_eq!(icmp::checksum(&packet), 0, "{n}");
            assert_eq!(packet[8..32], stamp, "{n}");
            // The kernel adds only what stays.
            write_echo((Family::V6, 7, n), checksum, &stamp, &mut packet);
            assert_eq!(icmp::checksum(&packet), checksum, "{n}");
        }
    }
}
