//! Sending in batches, and saying of each packet what became of it.

use std::{
    io::IoSlice,
    net::{IpAddr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, BorrowedFd},
};

use model::NotAsked;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, sendmmsg},
};
use sense::{Prober, Sent, Token};

use super::{
    host::Gateway,
    ports::{Port, Ports},
    socket::{Kind, OpenError, allow_cutting},
};
use crate::clock::Clock;

/// Packets in one system call. More would blur when each of them left, and keep replies waiting.
pub(super) const SEND_BATCH_MAX: usize = 64;
/// A datagram socket hands an ICMP error of an earlier packet to the next call. Repeating the call
/// shows whose error it is; this many errors in a row are the packet's own. Raw sockets without a
/// peer never do so.
const ATTEMPTS_MAX: u8 = 3;
/// How long one batch waits for room in the send buffer before its packets count as not sent.
const ROOM_WAIT_MS: u16 = 5;

/// The packets of one family that leave together.
struct Batch<S> {
    headers: MultiHeaders<S>,
    packets: Vec<Vec<u8>>,
    to: Vec<Option<S>>,
    tokens: Vec<Token>,
}

/// Sends for a prober.
pub(super) struct Transmitter {
    v4: Batch<SockaddrIn>,
    v6: Batch<SockaddrIn6>,
    scratch: Vec<u8>,
}

impl Transmitter {
    pub(super) fn new() -> Transmitter {
        Transmitter { v4: Batch::new(), v6: Batch::new(), scratch: Vec::new() }
    }

    /// Sends what the prober has to send, at most one batch.
    pub(super) fn transmit(
        &mut self,
        prober: &mut Prober,
        ports: &Ports,
        gateway: Option<Gateway>,
        clock: Clock,
    ) -> Sent {
        let now = clock.tick();
        let mut packets = 0;
        while packets < SEND_BATCH_MAX {
            let Some(transmit) = prober.poll_transmit(now, &mut self.scratch) else {
                break;
            };
            packets += 1;
            match transmit.to {
                IpAddr::V4(ip) => {
                    let to = SockaddrIn::from(SocketAddrV4::new(ip, 0));
                    self.v4.push(&mut self.scratch, to, transmit.token);
                }
                IpAddr::V6(ip) => {
                    let to = SocketAddrV6::new(ip, 0, 0, scope(ip, gateway));
                    self.v6.push(&mut self.scratch, to.into(), transmit.token);
                }
            }
        }
        let errors =
            self.v4.flush(prober, &ports.v4, clock) + self.v6.flush(prober, &ports.v6, clock);
        Sent { errors, is_full: packets == SEND_BATCH_MAX }
    }
}

/// Link-local addresses mean nothing without their link; ours are those of the gateway's.
fn scope(ip: Ipv6Addr, gateway: Option<Gateway>) -> u32 {
    match gateway {
        Some(gateway) if ip.is_unicast_link_local() => gateway.interface_index,
        Some(_) | None => 0,
    }
}

impl<S: SockaddrLike + Copy> Batch<S> {
    fn new() -> Batch<S> {
        Batch {
            headers: MultiHeaders::preallocate(SEND_BATCH_MAX, None),
            packets: Vec::with_capacity(SEND_BATCH_MAX),
            to: Vec::with_capacity(SEND_BATCH_MAX),
            tokens: Vec::with_capacity(SEND_BATCH_MAX),
        }
    }

    /// Takes a packet over, leaving an old buffer in its place.
    fn push(&mut self, packet: &mut Vec<u8>, to: S, token: Token) {
        let place = self.to.len();
        if self.packets.len() <= place {
            self.packets.push(Vec::new());
        }
        if let Some(held) = self.packets.get_mut(place) {
            std::mem::swap(held, packet);
        }
        self.to.push(Some(to));
        self.tokens.push(token);
    }

    /// Sends the batch and tells the prober of each packet; returns how many calls failed.
    fn flush(&mut self, prober: &mut Prober, port: &Result<Port, OpenError>, clock: Clock) -> u64 {
        let errors = match port {
            Ok(port) => self.send(prober, port, clock),
            Err(error) => {
                for token in &self.tokens {
                    prober.handle_sent(*token, Err(NotAsked::from(error)));
                }
                0
            }
        };
        self.to.clear();
        self.tokens.clear();
        errors
    }

    fn send(&mut self, prober: &mut Prober, port: &Port, clock: Clock) -> u64 {
        let (mut offset, mut attempts, mut errors) = (0, 0_u8, 0);
        let (mut may_wait, mut may_cut) = (true, true);
        while let Some(token) = self.tokens.get(offset).copied() {
            let before = clock.tick();
            match self.send_from(offset, port.fd()) {
                Ok(count) if 0 < count => {
                    let took_us = clock.tick().since(before).as_micros() as u64;
                    let left = self.tokens.get(offset..offset + count).unwrap_or_default();
                    for (nth, token) in (0_u64..).zip(left) {
                        // The kernel sends them one after the other at an even pace.
                        let after_us = took_us * nth / (count as u64);
                        let at = before + std::time::Duration::from_micros(after_us);
                        prober.handle_sent(*token, Ok(at));
                    }
                    offset += count;
                    attempts = 0;
                }
                Ok(_) | Err(Errno::EINTR) => (),
                Err(Errno::EAGAIN) if may_wait => {
                    may_wait = false;
                    wait_for_room(port.socket.as_fd());
                }
                Err(Errno::EMSGSIZE) if may_cut => {
                    // Larger than the path takes in one piece: a tier of large packets, a tunnel.
                    may_cut = false;
                    allow_cutting(&port.socket);
                }
                Err(error) => {
                    errors += 1;
                    attempts += 1;
                    if port.kind == Kind::Raw || is_own(error) || ATTEMPTS_MAX <= attempts {
                        prober.handle_sent(token, Err(reason(error)));
                        offset += 1;
                        attempts = 0;
                    }
                }
            }
        }
        errors
    }

    fn send_from(&mut self, offset: usize, fd: i32) -> nix::Result<usize> {
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.packets.iter().skip(offset).map(|packet| [IoSlice::new(packet)]).collect();
        let to = self.to.get(offset..).unwrap_or_default();
        sendmmsg(fd, &mut self.headers, &slices, to, [], MsgFlags::MSG_DONTWAIT)
            .map(Iterator::count)
    }
}

fn wait_for_room(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    // Whether there is room now shows when the packet is sent.
    poll(&mut fds, PollTimeout::from(ROOM_WAIT_MS)).ok();
}

/// Says whether an error can only come from the packet itself and never from an earlier one.
fn is_own(error: Errno) -> bool {
    matches!(error, Errno::EAGAIN | Errno::ENOBUFS | Errno::EPERM | Errno::EINVAL | Errno::EBADF)
}

/// Says why a packet did not leave.
pub(crate) fn reason(error: Errno) -> NotAsked {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of system errors is open")]
    match error {
        // EINVAL: a black-hole route, or a link-local address without its link.
        Errno::ENETUNREACH
        | Errno::EHOSTUNREACH
        | Errno::ENETDOWN
        | Errno::EADDRNOTAVAIL
        | Errno::EHOSTDOWN
        | Errno::EINVAL => NotAsked::NoRoute,
        Errno::EPERM | Errno::EACCES => NotAsked::Permission,
        Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM => NotAsked::BufferFull,
        _ => NotAsked::Socket,
    }
}
