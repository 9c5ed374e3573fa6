//! The sockets of traces: a raw one a family, which hears every answer, and for UDP one a flow,
//! which only sends.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
};

use model::{NotAsked, Tick, TraceProtocol};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6, recvfrom},
};
use sense::{Family, TraceNetwork, TracePacket, icmp};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{
    clock::Clock,
    files,
    probing::{socket::open_raw, transmit},
};

/// Larger than any ICMP error: what is behind it no packet of ours has.
const MESSAGE_BYTES_MAX: usize = 2048;
/// Messages read of one family in one turn: a host in a storm of errors must not stop sending.
const MESSAGES_MAX: usize = 256;

/// The first port of flows in a network that is not this host's.
const VIRTUAL_PORT_FIRST: u16 = 50_000;

/// What traces send and receive through.
pub(super) struct Ports {
    pub(super) ident: u16,
    way: Way,
}

enum Way {
    /// The raw sockets. They are opened when first needed.
    Sockets {
        v4: Option<Socket>,
        v6: Option<Socket>,
    },
    Network(Box<dyn TraceNetwork>),
}

/// What one flow sends from.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) port: u16,
    /// `None` in a network that is not this host's.
    socket: Option<Socket>,
}

impl Ports {
    pub(super) fn new(network: Option<Box<dyn TraceNetwork>>) -> Ports {
        let way = network.map_or(Way::Sockets { v4: None, v6: None }, Way::Network);
        Ports { ident: u16::from_ne_bytes(files::random()), way }
    }

    /// Closes what is open; it is opened again when it is needed.
    pub(super) fn close(&mut self) {
        if let Way::Sockets { v4, v6 } = &mut self.way {
            (*v4, *v6) = (None, None);
            self.ident = u16::from_ne_bytes(files::random());
        }
    }

    /// Opens what a trace needs, and its ports if it is of UDP.
    pub(super) fn open(
        &mut self,
        (family, protocol): (Family, TraceProtocol),
        flows: u8,
    ) -> io::Result<Vec<Flow>> {
        let ident = self.ident;
        let virtual_flow = |nth| Flow { port: VIRTUAL_PORT_FIRST + u16::from(nth), socket: None };
        match (&mut self.way, protocol) {
            (Way::Sockets { v4, v6 }, _) => {
                let raw = match family {
                    Family::V4 => v4,
                    Family::V6 => v6,
                };
                if raw.is_none() {
                    *raw = Some(open_raw(family, ident)?);
                }
                match protocol {
                    TraceProtocol::Icmp => Ok(Vec::new()),
                    TraceProtocol::Udp => (0..flows).map(|_| open_udp(family)).collect(),
                }
            }
            (Way::Network(_), TraceProtocol::Icmp) => Ok(Vec::new()),
            (Way::Network(_), TraceProtocol::Udp) => Ok((0..flows).map(virtual_flow).collect()),
        }
    }

    /// Sends an ICMP message, or from a flow to a port a packet of UDP.
    pub(super) fn send(
        &mut self,
        flow: Option<(&Flow, u16)>,
        (to, ttl): (IpAddr, u8),
        bytes: &[u8],
        now: Tick,
    ) -> Result<(), NotAsked> {
        match &mut self.way {
            Way::Network(network) => {
                let ports = flow.map(|(flow, port)| (flow.port, port));
                network.send(TracePacket { to, ttl, ports, bytes }, now)
            }
            Way::Sockets { v4, v6 } => {
                let raw = match Family::of(to) {
                    Family::V4 => v4,
                    Family::V6 => v6,
                };
                let (socket, port) = match flow {
                    Some((flow, port)) => (flow.socket.as_ref(), port),
                    None => (raw.as_ref(), 0),
                };
                let socket = socket.ok_or(NotAsked::Socket)?;
                send(socket, SocketAddr::new(to, port), ttl, bytes).map_err(|error| why(&error))
            }
        }
    }

    /// Waits until something can be read, at most `ms`.
    pub(super) fn wait(&self, ms: u16) {
        let open = match &self.way {
            Way::Sockets { v4, v6 } => [v4.as_ref(), v6.as_ref()],
            Way::Network(_) => [None, None],
        };
        let open = open.into_iter().flatten();
        let mut fds: Vec<PollFd<'_>> =
            open.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        // What can be read shows when it is read.
        poll(&mut fds, PollTimeout::from(ms)).ok();
    }

    /// Hands every ICMP message that came to `take`, without IP header, with when it came.
    pub(super) fn receive(&mut self, clock: Clock, mut take: impl FnMut(IpAddr, &[u8], Tick)) {
        let (v4, v6) = match &mut self.way {
            Way::Sockets { v4, v6 } => (v4, v6),
            Way::Network(network) => {
                let now = clock.tick();
                for _ in 0..MESSAGES_MAX {
                    let Some((from, message, at)) = network.poll_receive(now) else { break };
                    take(from, &message, at);
                }
                return;
            }
        };
        let mut buffer = [0_u8; MESSAGE_BYTES_MAX];
        if let Some(socket) = v4 {
            for _ in 0..MESSAGES_MAX {
                let read = recvfrom::<SockaddrIn>(socket.as_raw_fd(), &mut buffer);
                let Ok((length, Some(from))) = read else { break };
                let packet = buffer.get(..length).unwrap_or_default();
                if let Some(message) = icmp::strip_ipv4_header(packet) {
                    take(from.ip().into(), message, clock.tick());
                }
            }
        }
        if let Some(socket) = v6 {
            for _ in 0..MESSAGES_MAX {
                let read = recvfrom::<SockaddrIn6>(socket.as_raw_fd(), &mut buffer);
                let Ok((length, Some(from))) = read else { break };
                take(from.ip().into(), buffer.get(..length).unwrap_or_default(), clock.tick());
            }
        }
    }
}

/// Sends a packet that may pass `ttl - 1` routers.
fn send(socket: &Socket, to: SocketAddr, ttl: u8, packet: &[u8]) -> io::Result<()> {
    match to {
        SocketAddr::V4(_) => socket.set_ttl_v4(ttl.into())?,
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(ttl.into())?,
    }
    let flags = MsgFlags::MSG_DONTWAIT.bits();
    socket.send_to_with_flags(packet, &SockAddr::from(to), flags).map(drop)
}

fn open_udp(family: Family) -> io::Result<Flow> {
    let (domain, any) = match family {
        Family::V4 => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Family::V6 => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, 0).into())?;
    let address = socket.local_addr()?.as_socket();
    let port = address.map_or(0, |address| address.port());
    Ok(Flow { port, socket: Some(socket) })
}

fn why(error: &io::Error) -> NotAsked {
    match error.raw_os_error() {
        Some(code) => transmit::reason(Errno::from_raw(code)),
        None => NotAsked::Socket,
    }
}
