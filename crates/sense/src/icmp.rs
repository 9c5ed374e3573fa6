//! ICMP echo and error messages, version 4 (RFC 792) and 6 (RFC 4443).
//!
//! Deliberately not here: the rest of ICMP, IP options beyond skipping them, and the checksum of
//! version 6, which covers addresses that only the kernel knows for sure; the kernel makes and
//! checks it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The version of IP that a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// Type, code, checksum, identifier, sequence.
pub const HEADER_BYTES: usize = 8;

const V4_ECHO_REPLY: u8 = 0;
const V4_UNREACHABLE: u8 = 3;
const V4_ECHO_REQUEST: u8 = 8;
const V4_TIME_EXCEEDED: u8 = 11;
const V4_PARAMETER_PROBLEM: u8 = 12;
const V6_UNREACHABLE: u8 = 1;
const V6_PARAMETER_PROBLEM: u8 = 4;
const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;
const PROTOCOL_ICMP_V4: u8 = 1;
const PROTOCOL_ICMP_V6: u8 = 58;
const IPV4_HEADER_BYTES_MIN: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;

/// An echo request or reply without its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    pub ident: u16,
    pub sequence: u16,
    pub payload: &'a [u8],
}

/// An ICMP message that concerns a prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    EchoReply(Echo<'a>),
    /// A router or host could not deliver an echo request.
    Error {
        kind: u8,
        code: u8,
        /// Where the request was going.
        destination: IpAddr,
        /// As much of the request's ICMP message as came back: its payload may be cut or missing.
        original: Echo<'a>,
    },
}

/// Writes an echo request into `packet`, whose payload stands already behind the header's room.
///
/// The identifier is a wish: datagram sockets put their own in.
pub fn seal_request(family: Family, ident: u16, sequence: u16, packet: &mut [u8]) {
    let Some((header, _)) = packet.split_first_chunk_mut::<HEADER_BYTES>() else {
        return;
    };
    let [ident_high, ident_low] = ident.to_be_bytes();
    let [sequence_high, sequence_low] = sequence.to_be_bytes();
    let kind = match family {
        Family::V4 => V4_ECHO_REQUEST,
        Family::V6 => V6_ECHO_REQUEST,
    };
    *header = [kind, 0, 0, 0, ident_high, ident_low, sequence_high, sequence_low];
    if family == Family::V4 {
        let [high, low] = checksum(packet).to_be_bytes();
        if let Some((header, _)) = packet.split_first_chunk_mut::<HEADER_BYTES>() {
            header[2] = high;
            header[3] = low;
        }
    }
}

/// Computes the internet checksum (RFC 1071) of `bytes`.
///
/// Zero over a message that carries its own right checksum.
pub fn checksum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|w| u64::from(u32::from_be_bytes(*w))).sum();
    let mut last = [0_u8; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    sum += u64::from(u32::from_be_bytes(last));
    while 0xFFFF < sum {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let [.., high, low] = sum.to_be_bytes();
    !u16::from_be_bytes([high, low])
}

/// Returns the ICMP message inside an IPv4 packet as raw sockets deliver it.
///
/// `None` if it is no whole IPv4 header with ICMP behind it, or a later fragment.
pub fn strip_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    ipv4_body(packet).map(|(_, body)| body)
}

/// Parses an ICMP message, without any IP header before it.
///
/// `None` for anything that is neither an echo reply nor an error about an echo request.
pub fn parse(family: Family, message: &[u8]) -> Option<Message<'_>> {
    let (header, rest) = message.split_first_chunk::<HEADER_BYTES>()?;
    let [kind, code, ..] = *header;
    match (family, kind) {
        (Family::V4, V4_ECHO_REPLY) => {
            (checksum(message) == 0).then_some(Message::EchoReply(echo(header, rest)))
        }
        (Family::V6, V6_ECHO_REPLY) => Some(Message::EchoReply(echo(header, rest))),
        (Family::V4, V4_UNREACHABLE | V4_TIME_EXCEEDED | V4_PARAMETER_PROBLEM) => {
            let (destination, original) = ipv4_body(rest)?;
            let original = parse_request(Family::V4, original)?;
            Some(Message::Error { kind, code, destination: destination.into(), original })
        }
        (Family::V6, V6_UNREACHABLE..=V6_PARAMETER_PROBLEM) => {
            let (destination, original) = ipv6_body(rest)?;
            let original = parse_request(Family::V6, original)?;
            Some(Message::Error { kind, code, destination: destination.into(), original })
        }
        (Family::V4 | Family::V6, _) => None,
    }
}

/// Parses an echo request as it comes back inside an error: its payload may be cut.
pub fn parse_request(family: Family, message: &[u8]) -> Option<Echo<'_>> {
    let (header, rest) = message.split_first_chunk::<HEADER_BYTES>()?;
    let kind = match family {
        Family::V4 => V4_ECHO_REQUEST,
        Family::V6 => V6_ECHO_REQUEST,
    };
    (header[0] == kind).then_some(echo(header, rest))
}

fn echo<'a>(header: &[u8; HEADER_BYTES], payload: &'a [u8]) -> Echo<'a> {
    let [_, _, _, _, ident_high, ident_low, sequence_high, sequence_low] = *header;
    Echo {
        ident: u16::from_be_bytes([ident_high, ident_low]),
        sequence: u16::from_be_bytes([sequence_high, sequence_low]),
        payload,
    }
}

/// Returns destination and ICMP message of an IPv4 packet.
fn ipv4_body(packet: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (header, _) = packet.split_first_chunk::<IPV4_HEADER_BYTES_MIN>()?;
    let header_bytes = usize::from(header[0] & 0x0F) * 4;
    let is_first_fragment = u16::from_be_bytes([header[6] & 0x1F, header[7]]) == 0;
    let is_ours = header[0] >> 4 == 4 && header[9] == PROTOCOL_ICMP_V4 && is_first_fragment;
    if !is_ours || header_bytes < IPV4_HEADER_BYTES_MIN {
        return None;
    }
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    packet.get(header_bytes..).map(|body| (destination, body))
}

/// Returns destination and ICMP message of an IPv6 packet without extension headers, which our
/// own requests never have.
fn ipv6_body(packet: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let (header, body) = packet.split_first_chunk::<IPV6_HEADER_BYTES>()?;
    let (_, destination) = header.split_last_chunk::<16>()?;
    (header[0] >> 4 == 6 && header[6] == PROTOCOL_ICMP_V6)
        .then_some((Ipv6Addr::from(*destination), body))
}
