//! The sockets of traces: a raw one a family, which hears every answer, and for UDP one a flow,
//! which only sends.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
};

use model::TraceProtocol;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6, recvfrom},
};
use sense::{Family, icmp};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{files, probing::socket::open_raw};

/// Larger than any ICMP error: what is behind it no packet of ours has.
const MESSAGE_BYTES_MAX: usize = 2048;
/// Messages read of one family in one turn: a host in a storm of errors must not stop sending.
const MESSAGES_MAX: usize = 256;

/// The raw sockets. They are opened when first needed, and closed with this.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) ident: u16,
    v4: Option<Socket>,
    v6: Option<Socket>,
}

impl Ports {
    pub(super) fn new() -> Ports {
        Ports { ident: u16::from_ne_bytes(files::random()), v4: None, v6: None }
    }

    /// Opens what a trace needs, and its ports if it is of UDP.
    pub(super) fn open(
        &mut self,
        (family, protocol): (Family, TraceProtocol),
        flows: u8,
    ) -> io::Result<Vec<Socket>> {
        let ident = self.ident;
        let raw = self.of(family);
        if raw.is_none() {
            *raw = Some(open_raw(family, ident)?);
        }
        match protocol {
            TraceProtocol::Icmp => Ok(Vec::new()),
            TraceProtocol::Udp => (0..flows).map(|_| open_udp(family)).collect(),
        }
    }

    fn of(&mut self, family: Family) -> &mut Option<Socket> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Sends an ICMP message.
    pub(super) fn send(&mut self, to: IpAddr, ttl: u8, message: &[u8]) -> io::Result<()> {
        match self.of(Family::of(to)) {
            Some(socket) => send(socket, SocketAddr::new(to, 0), ttl, message),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits until something can be read, at most `ms`.
    pub(super) fn wait(&self, ms: u16) {
        let open = [&self.v4, &self.v6].into_iter().flatten();
        let mut fds: Vec<PollFd<'_>> =
            open.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        // What can be read shows when it is read.
        poll(&mut fds, PollTimeout::from(ms)).ok();
    }

    /// Hands every ICMP message that came to `take`, without IP header.
    pub(super) fn receive(&self, mut take: impl FnMut(IpAddr, &[u8])) {
        let mut buffer = [0_u8; MESSAGE_BYTES_MAX];
        if let Some(socket) = &self.v4 {
            for _ in 0..MESSAGES_MAX {
                let read = recvfrom::<SockaddrIn>(socket.as_raw_fd(), &mut buffer);
                let Ok((length, Some(from))) = read else { break };
                let packet = buffer.get(..length).unwrap_or_default();
                if let Some(message) = icmp::strip_ipv4_header(packet) {
                    take(from.ip().into(), message);
                }
            }
        }
        if let Some(socket) = &self.v6 {
            for _ in 0..MESSAGES_MAX {
                let read = recvfrom::<SockaddrIn6>(socket.as_raw_fd(), &mut buffer);
                let Ok((length, Some(from))) = read else { break };
                take(from.ip().into(), buffer.get(..length).unwrap_or_default());
            }
        }
    }
}

/// Sends a packet that may pass `ttl - 1` routers.
pub(super) fn send(socket: &Socket, to: SocketAddr, ttl: u8, packet: &[u8]) -> io::Result<()> {
    match to {
        SocketAddr::V4(_) => socket.set_ttl_v4(ttl.into())?,
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(ttl.into())?,
    }
    let flags = MsgFlags::MSG_DONTWAIT.bits();
    socket.send_to_with_flags(packet, &SockAddr::from(to), flags).map(drop)
}

fn open_udp(family: Family) -> io::Result<Socket> {
    let (domain, any) = match family {
        Family::V4 => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Family::V6 => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, 0).into())?;
    Ok(socket)
}

/// The port that a socket sends from.
pub(super) fn port_of(socket: &Socket) -> u16 {
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    address.map_or(0, |address| address.port())
}
