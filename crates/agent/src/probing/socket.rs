//! Opening ICMP sockets: datagram where the system allows it, raw with CAP_NET_RAW otherwise.
//!
//! The one that needs no privilege comes first, so that a program that could do more does not.
//! Only root, who may do all anyway, has the raw one first: it does not depend on a setting of the
//! network namespace, and one socket hears the errors of all its packets.
//! Raw sockets see every ICMP message of the host, so a filter in the kernel leaves only replies
//! with our identifier and the errors. Datagram sockets see only their own replies; errors come on
//! their error queue.

use std::io;

use nix::{
    libc, setsockopt_impl, sockopt_impl,
    sys::socket::{setsockopt, sockopt},
};
use sense::Family;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Wish for both buffers, in bytes: about a second of replies at 20,000 packets a second, each of
/// which the kernel counts with some 800 bytes. The kernel gives less if `rmem_max` says so.
const BUFFER_BYTES: usize = 16 << 20;

/// How a socket is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Raw,
    Datagram,
}

/// Why no socket of a family is open.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("not permitted to open an ICMP socket")]
    Permission(#[source] io::Error),
    #[error("cannot open an ICMP socket")]
    Unavailable(#[source] io::Error),
}

/// Opens a socket of a family.
///
/// # Errors
///
/// [`OpenError::Permission`] if the host has the family but lets us open neither kind.
pub(super) fn open(family: Family, ident: u16) -> Result<(Socket, Kind), OpenError> {
    let [first, second] = order(nix::unistd::geteuid().is_root());
    let refused = match open_kind(family, first, ident) {
        Ok(socket) => return Ok((socket, first)),
        Err(error) => error,
    };
    match open_kind(family, second, ident) {
        Ok(socket) => Ok((socket, second)),
        Err(error) if is_permission(&error) => Err(OpenError::Permission(error)),
        Err(_) if is_permission(&refused) => Err(OpenError::Permission(refused)),
        Err(error) => Err(OpenError::Unavailable(error)),
    }
}

/// Opens a raw socket of a family, whatever else would do: for what must hear the errors of packets
/// that are not echo requests as well.
///
/// # Errors
///
/// As the system gives it; without CAP_NET_RAW that is a want of permission.
pub(crate) fn open_raw(family: Family, ident: u16) -> io::Result<Socket> {
    open_kind(family, Kind::Raw, ident)
}

fn order(is_root: bool) -> [Kind; 2] {
    if is_root { [Kind::Raw, Kind::Datagram] } else { [Kind::Datagram, Kind::Raw] }
}

fn is_permission(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn open_kind(family: Family, kind: Kind, ident: u16) -> io::Result<Socket> {
    let (domain, protocol) = match family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let form = match kind {
        Kind::Raw => Type::RAW,
        Kind::Datagram => Type::DGRAM,
    };
    let socket = Socket::new(domain, form, Some(protocol))?;
    if family == Family::V4 {
        // Uncut packets need no identification, and finding one is a tenth of the cost of sending.
        setsockopt(&socket, MtuDiscover, &libc::IP_PMTUDISC_DO)?;
    }
    match (kind, family) {
        (Kind::Raw, Family::V4) => {
            setsockopt(&socket, IcmpFilter, &!V4_TYPES)?;
            socket.attach_filter(&filter_v4(ident))?;
        }
        (Kind::Raw, Family::V6) => socket.attach_filter(&filter_v6(ident))?,
        (Kind::Datagram, Family::V4) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
        (Kind::Datagram, Family::V6) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
    }
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    // Only with CAP_NET_ADMIN may the buffers go beyond the system's limit.
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
    }
    if setsockopt(&socket, sockopt::SndBufForce, &BUFFER_BYTES).is_err() {
        setsockopt(&socket, sockopt::SndBuf, &BUFFER_BYTES)?;
    }
    Ok(socket)
}

sockopt_impl!(
    /// Whether the kernel may cut packets that are too large for the path.
    MtuDiscover,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int
);

/// Lets the kernel cut packets of this IPv4 socket from now on, as it does by default.
pub(super) fn allow_cutting(socket: &Socket) {
    // If it refuses, the packet that was too large will be told so again.
    setsockopt(socket, MtuDiscover, &libc::IP_PMTUDISC_WANT).ok();
}

sockopt_impl!(
    /// Names the ICMP types that a raw socket does not want, a bit for each (linux/icmp.h). The
    /// kernel asks it before it copies a packet for us, so it is cheaper than any program.
    IcmpFilter,
    SetOnly,
    libc::SOL_RAW,
    ICMP_FILTER,
    u32
);
/// The option's number in linux/icmp.h.
const ICMP_FILTER: libc::c_int = 1;
/// Echo reply, unreachable, time exceeded, parameter problem.
const V4_TYPES: u32 = 1 | 1 << 3 | 1 << 11 | 1 << 12;

// Classic BPF, as in linux/filter.h.
const LOAD_BYTE_AT: u16 = 0x30;
const LOAD_HALF_AT: u16 = 0x28;
const LOAD_BYTE_BEHIND_X: u16 = 0x50;
const LOAD_HALF_BEHIND_X: u16 = 0x48;
const LOAD_X_IPV4_HEADER_BYTES: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;
const WHOLE: u32 = u32::MAX;

/// Passes echo replies with our identifier, and errors; the packet starts with its IP header.
fn filter_v4(ident: u16) -> [SockFilter; 10] {
    let op = SockFilter::new;
    [
        op(LOAD_X_IPV4_HEADER_BYTES, 0, 0, 0),
        op(LOAD_BYTE_BEHIND_X, 0, 0, 0),
        op(JUMP_IF_EQUAL, 3, 0, 0),  // echo reply: look at its identifier
        op(JUMP_IF_EQUAL, 5, 0, 3),  // unreachable
        op(JUMP_IF_EQUAL, 4, 0, 11), // time exceeded
        op(JUMP_IF_EQUAL, 3, 2, 12), // parameter problem
        op(LOAD_HALF_BEHIND_X, 0, 0, 4),
        op(JUMP_IF_EQUAL, 1, 0, u32::from(ident)),
        op(RETURN, 0, 0, 0),
        op(RETURN, 0, 0, WHOLE),
    ]
}

/// The same for version 6, where the packet starts with the ICMP header.
fn filter_v6(ident: u16) -> [SockFilter; 8] {
    let op = SockFilter::new;
    [
        op(LOAD_BYTE_AT, 0, 0, 0),
        op(JUMP_IF_EQUAL, 2, 0, 129), // echo reply: look at its identifier
        op(JUMP_IF_GREATER, 3, 0, 4), // neither reply nor error
        op(JUMP_IF_EQUAL, 2, 3, 0),   // type 0 has no meaning; 1 to 4 are the errors
        op(LOAD_HALF_AT, 0, 0, 4),
        op(JUMP_IF_EQUAL, 1, 0, u32::from(ident)),
        op(RETURN, 0, 0, 0),
        op(RETURN, 0, 0, WHOLE),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_that_needs_no_privilege_comes_first_but_for_root() {
        assert_eq!(order(false), [Kind::Datagram, Kind::Raw]);
        assert_eq!(order(true), [Kind::Raw, Kind::Datagram]);
    }
}
