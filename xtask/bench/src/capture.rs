//! What a wire carried, by the kernel's own stamps: every echo request and reply of a namespace.
//!
//! A packet socket sees a packet when the device takes it to send it and when the device hands it
//! up, which is where `tcpdump` sees it. It judges nothing; it pairs requests with their replies.

use std::{
    collections::{BTreeMap, HashMap},
    io::IoSliceMut,
    net::Ipv4Addr,
    os::fd::AsRawFd,
};

use anyhow::Context;
use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
use socket2::{Domain, Protocol, Socket, Type};

/// Every protocol: only then a packet socket sees what leaves (linux/if_ether.h).
const ETH_P_ALL: u16 = 3;
/// Some seconds of the load that is measured, each packet counted with some 800 bytes.
const BUFFER_BYTES: usize = 128 << 20;
const BATCH_MAX: usize = 256;
/// IPv4 header with options, and the head of an ICMP message.
const PACKET_BYTES_MAX: usize = 96;
const ICMP: u8 = 1;
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

/// Listens in the network namespace in which it was opened.
pub(crate) struct Capture {
    socket: Socket,
    buffers: Vec<[u8; PACKET_BYTES_MAX]>,
    seen: Seen,
}

/// Requests by their destination, in the order in which they left.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    requests: BTreeMap<Ipv4Addr, Vec<Request>>,
    /// Where the request of (destination, sequence) stands that left last.
    last: HashMap<(Ipv4Addr, u16), usize>,
    pub(crate) packets: u64,
    /// Packets that the kernel threw away before they were read.
    pub(crate) dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    left_ns: i64,
    rtt_ns: Option<i64>,
}

impl Seen {
    /// Round-trip times of the requests to `target`, in their order; `None` if not answered.
    pub(crate) fn rtts_ns(&self, target: Ipv4Addr) -> Vec<Option<i64>> {
        let requests = self.requests.get(&target).map_or(&[][..], Vec::as_slice);
        requests.iter().map(|request| request.rtt_ns).collect()
    }

    /// Takes an IPv4 packet without its link header.
    fn see(&mut self, packet: &[u8], at_ns: i64) {
        let Some(echo) = parse(packet) else {
            return;
        };
        self.packets += 1;
        let key = (echo.peer, echo.sequence);
        if echo.is_request {
            let requests = self.requests.entry(echo.peer).or_default();
            self.last.insert(key, requests.len());
            requests.push(Request { left_ns: at_ns, rtt_ns: None });
            return;
        }
        let place = self.last.get(&key).copied();
        let request = place.and_then(|place| self.requests.get_mut(&echo.peer)?.get_mut(place));
        if let Some(request) = request
            && request.rtt_ns.is_none()
        {
            request.rtt_ns = Some(at_ns - request.left_ns);
        }
    }
}

struct Echo {
    is_request: bool,
    /// Whom the request asks, who answers.
    peer: Ipv4Addr,
    sequence: u16,
}

fn parse(packet: &[u8]) -> Option<Echo> {
    let (&first, &protocol) = (packet.first()?, packet.get(9)?);
    if first >> 4 != 4 || protocol != ICMP {
        return None;
    }
    let icmp = packet.get(usize::from(first & 0x0f) * 4..)?;
    let is_request = match *icmp.first()? {
        ECHO_REQUEST => true,
        ECHO_REPLY => false,
        _ => return None,
    };
    let at = if is_request { 16 } else { 12 };
    let peer: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    let sequence: [u8; 2] = icmp.get(6..8)?.try_into().ok()?;
    Some(Echo { is_request, peer: peer.into(), sequence: u16::from_be_bytes(sequence) })
}

impl Capture {
    /// # Errors
    ///
    /// Without the privilege to capture.
    pub(crate) fn open() -> anyhow::Result<Capture> {
        let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        // A datagram socket of packets leaves the link header out.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol));
        let socket = socket.context("cannot capture packets: are you root?")?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)?;
        let buffers = vec![[0; PACKET_BYTES_MAX]; BATCH_MAX];
        Ok(Capture { socket, buffers, seen: Seen::default() })
    }

    /// Reads what is there; false if nothing was.
    pub(crate) fn read(&mut self) -> anyhow::Result<bool> {
        let mut headers =
            MultiHeaders::<()>::preallocate(BATCH_MAX, Some(cmsg_space!(TimeSpec, u32)));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(&mut buffer[..])]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let fd = self.socket.as_raw_fd();
        let messages = match recvmmsg(fd, &mut headers, &mut slices, flags, None) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(error) => return Err(error).context("the capture ended"),
        };
        for message in messages {
            let mut at_ns = None;
            for control in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::ScmTimestampns(stamp) = control {
                    at_ns = Some(stamp.tv_sec() * 1_000_000_000 + stamp.tv_nsec());
                } else if let ControlMessageOwned::RxqOvfl(count) = control {
                    self.seen.dropped = u64::from(count);
                }
            }
            if let (Some(at_ns), Some(bytes)) = (at_ns, message.iovs().next()) {
                self.seen.see(bytes, at_ns);
            }
        }
        Ok(true)
    }

    pub(crate) fn finish(self) -> Seen {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo message from 10.0.0.1 to 10.0.0.2, or back.
    fn packet(kind: u8, sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, ICMP, 0, 0];
        let [from, to] = if kind == ECHO_REQUEST { [1, 2] } else { [2, 1] };
        packet.extend([10, 0, 0, from, 10, 0, 0, to, kind, 0, 0, 0, 0, 7]);
        packet.extend(sequence.to_be_bytes());
        packet
    }

    #[test]
    fn a_reply_belongs_to_the_request_of_its_sequence() {
        let mut seen = Seen::default();
        seen.see(&packet(ECHO_REQUEST, 1), 1_000);
        seen.see(&packet(ECHO_REQUEST, 2), 2_000);
        seen.see(&packet(ECHO_REPLY, 2), 2_500);
        seen.see(&packet(ECHO_REPLY, 2), 2_900); // A duplicate.
        seen.see(&packet(ECHO_REPLY, 9), 3_000); // Nobody asked.
        seen.see(&packet(3, 1), 3_500); // Unreachable.
        let target = Ipv4Addr::new(10, 0, 0, 2);
        assert_eq!(seen.rtts_ns(target), [None, Some(500)]);
        // The sequence comes round again: a reply is that of the newest request.
        seen.see(&packet(ECHO_REQUEST, 2), 9_000);
        seen.see(&packet(ECHO_REPLY, 2), 9_100);
        assert_eq!(seen.rtts_ns(target), [None, Some(500), Some(100)]);
        assert_eq!(seen.packets, 7);
        assert!(parse(&packet(ECHO_REQUEST, 1)[..20]).is_none());
    }
}
