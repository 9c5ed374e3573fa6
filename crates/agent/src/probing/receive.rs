//! Reading replies in batches, with the kernel's receive stamps, and the error queues.
//!
//! Kernel stamps are wall-clock time. They are turned into ticks with both clocks read beside each
//! batch; when the wall clock jumped between two batches, this one's stamps are not used and the
//! rounds under way are marked doubtful.

use std::{
    io::IoSliceMut,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use model::{IcmpError, Tick, UtcMicros};
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6,
            SockaddrLike, recvmmsg, recvmsg,
        },
        time::TimeSpec,
    },
};
use sense::{Family, Prober, Received, icmp};

use super::{ports::Port, ports::Ports, socket::Kind};
use crate::clock::Clock;

/// Packets in one system call.
const RECEIVE_BATCH_MAX: usize = 128;
/// Batches of one family in one turn: then sending has its turn, however much comes in.
const BATCHES_MAX: usize = 64;
/// Entries of an error queue in one turn.
const ERRORS_MAX: usize = 256;
/// The largest packet of ours with the longest IPv4 header. Longer ones are nobody's of ours.
const PACKET_BYTES_MAX: usize = 1600;
/// Two readings of both clocks that differ by more than this are a jump; an NTP slew is at most
/// 500 us in a second.
const JUMP_MAX: Duration = Duration::from_millis(1);
/// Both clocks are read again if the thread was interrupted in between for longer than this.
const READING_MAX: Duration = Duration::from_micros(50);
const READINGS_MAX: usize = 4;

/// Receives for a prober.
pub(super) struct Receiver {
    buffers: Vec<[u8; PACKET_BYTES_MAX]>,
    stamps: Stamps,
}

impl Receiver {
    pub(super) fn new() -> Receiver {
        Receiver {
            buffers: vec![[0; PACKET_BYTES_MAX]; RECEIVE_BATCH_MAX],
            stamps: Stamps::default(),
        }
    }

    /// Reads everything that came in, within bounds, and hands it to the prober.
    pub(super) fn receive(
        &mut self,
        prober: &mut Prober,
        ports: &mut Ports,
        clock: Clock,
    ) -> Received {
        let mut received = Received::default();
        if let Ok(port) = &mut ports.v4 {
            self.receive_family::<SockaddrIn>(Family::V4, prober, port, clock, &mut received);
        }
        if let Ok(port) = &mut ports.v6 {
            self.receive_family::<SockaddrIn6>(Family::V6, prober, port, clock, &mut received);
        }
        if 0 < received.drops {
            prober.handle_doubt(clock.tick());
        }
        received
    }

    fn receive_family<S: Source>(
        &mut self,
        family: Family,
        prober: &mut Prober,
        port: &mut Port,
        clock: Clock,
        received: &mut Received,
    ) {
        for _ in 0..BATCHES_MAX {
            match self.receive_batch::<S>(family, prober, port, clock, received) {
                Ok(count) if count == RECEIVE_BATCH_MAX => (),
                Ok(_) | Err(Errno::EAGAIN) => break,
                // An ICMP error of an earlier packet; it is on the error queue with its name.
                Err(_) => received.errors += 1,
            }
        }
        if port.kind == Kind::Datagram {
            for _ in 0..ERRORS_MAX {
                if receive_error::<S>(family, prober, port).is_err() {
                    break;
                }
            }
        }
    }

    fn receive_batch<S: Source>(
        &mut self,
        family: Family,
        prober: &mut Prober,
        port: &mut Port,
        clock: Clock,
        received: &mut Received,
    ) -> nix::Result<usize> {
        // Made anew for each call: the kernel shortens the room for control messages in it.
        let mut headers =
            MultiHeaders::<S>::preallocate(RECEIVE_BATCH_MAX, Some(cmsg_space!(TimeSpec, u32)));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(&mut buffer[..])]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(port.fd(), &mut headers, &mut slices, flags, None)?;
        let reading = self.stamps.read(clock);
        if reading.is_jump {
            tracing::warn!("the wall clock jumped; the rounds under way are doubtful");
            prober.handle_doubt(reading.now);
        }
        let mut count = 0;
        for message in messages {
            count += 1;
            let (at, drops) = control(&message, reading);
            if let Some(drops) = drops {
                received.drops += u64::from(drops.wrapping_sub(port.drops_seen));
                port.drops_seen = drops;
            }
            let (Some(bytes), Some(from)) = (message.iovs().next(), message.address) else {
                continue;
            };
            let bytes = match (family, port.kind) {
                (Family::V4, Kind::Raw) => icmp::strip_ipv4_header(bytes),
                (Family::V4, Kind::Datagram) | (Family::V6, _) => Some(bytes),
            };
            if let Some(bytes) = bytes {
                prober.handle_receive(from.ip(), bytes, at);
            }
        }
        Ok(count)
    }
}

/// Reads one entry of the error queue of a datagram socket.
fn receive_error<S: Source>(family: Family, prober: &mut Prober, port: &Port) -> nix::Result<()> {
    let mut buffer = [0_u8; PACKET_BYTES_MAX];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let mut room = cmsg_space!(TimeSpec, u32, libc::sock_extended_err, libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<S>(port.fd(), &mut slices, Some(&mut room), flags)?;
    let error = message.cmsgs()?.find_map(|control| icmp_error(&control));
    let (Some(error), Some(to), Some(bytes)) = (error, message.address, message.iovs().next())
    else {
        return Ok(());
    };
    if let Some(original) = icmp::parse_request(family, bytes) {
        prober.handle_icmp_error(error, to.ip(), original);
    }
    Ok(())
}

/// Reads who refused what; `None` for errors that came from no ICMP message.
fn icmp_error(control: &ControlMessageOwned) -> Option<IcmpError> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of control messages is open")]
    let (error, source) = match control {
        ControlMessageOwned::Ipv4RecvErr(error, Some(from)) => {
            let source = IpAddr::from(u32::from_be(from.sin_addr.s_addr).to_be_bytes());
            (error, source)
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(from)) => {
            (error, IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)))
        }
        _ => return None,
    };
    let is_icmp = matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
    is_icmp.then_some(IcmpError { kind: error.ee_type, code: error.ee_code, source })
}

/// Reads when a packet came, and the kernel's count of dropped ones if it is not zero.
fn control<S>(message: &RecvMsg<'_, '_, S>, reading: Reading) -> (Tick, Option<u32>) {
    let (mut at, mut drops) = (reading.now, None);
    for control in message.cmsgs().into_iter().flatten() {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of control messages is open")]
        match control {
            ControlMessageOwned::ScmTimestampns(stamp) => at = reading.tick(stamp),
            ControlMessageOwned::RxqOvfl(count) => drops = Some(count),
            _ => (),
        }
    }
    (at, drops)
}

/// A socket address that says whose it is.
trait Source: SockaddrLike + Copy {
    fn ip(&self) -> IpAddr;
}

impl Source for SockaddrIn {
    fn ip(&self) -> IpAddr {
        IpAddr::V4(SockaddrIn::ip(self))
    }
}

impl Source for SockaddrIn6 {
    fn ip(&self) -> IpAddr {
        IpAddr::V6(SockaddrIn6::ip(self))
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    now: Tick,
    wall: UtcMicros,
    is_jump: bool,
}

impl Reading {
    /// Turns a kernel stamp into a tick, never after now.
    fn tick(&self, stamp: TimeSpec) -> Tick {
        if self.is_jump {
            return self.now;
        }
        let stamp_us = stamp.tv_sec() * 1_000_000 + stamp.tv_nsec() / 1000;
        let ago_us = u64::try_from(self.wall.0 - stamp_us).unwrap_or(0);
        Tick(self.now.0.saturating_sub(ago_us))
    }
}

/// Remembers how the clocks stood to each other.
#[derive(Debug, Default)]
struct Stamps {
    last: Option<(Tick, i64)>,
}

impl Stamps {
    fn read(&mut self, clock: Clock) -> Reading {
        let (mut now, mut wall) = (clock.tick(), clock.wall());
        for _ in 0..READINGS_MAX {
            let after = clock.tick();
            if after.since(now) <= READING_MAX {
                break;
            }
            (now, wall) = (after, clock.wall());
        }
        Reading { now, wall, is_jump: self.compare(now, wall) }
    }

    fn compare(&mut self, now: Tick, wall: UtcMicros) -> bool {
        let offset = wall.0 - i64::try_from(now.0).unwrap_or(i64::MAX);
        let last = self.last.replace((now, offset));
        last.is_some_and(|(then, before)| {
            let allowed = JUMP_MAX + now.since(then) / 1000;
            allowed < Duration::from_micros(offset.abs_diff(before))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(readings: &[(u64, i64)], jumps: &[bool]) {
        let mut stamps = Stamps::default();
        let seen: Vec<bool> = readings
            .iter()
            .map(|(tick, wall)| stamps.compare(Tick(*tick), UtcMicros(*wall)))
            .collect();
        assert_eq!(seen, jumps);
    }

    #[test]
    fn a_slew_is_no_jump_and_a_step_is() {
        check(&[(0, 5_000_000), (1_000_000, 6_000_500)], &[false, false]);
        check(
            &[(0, 5_000_000), (1_000_000, 16_000_000), (2_000_000, 17_000_000)],
            &[false, true, false],
        );
        check(&[(0, 5_000_000), (1_000_000, 5_900_000)], &[false, true]);
    }

    #[test]
    fn a_stamp_becomes_the_tick_at_which_the_packet_came() {
        let reading = Reading { now: Tick(10_000), wall: UtcMicros(7_000_000_000), is_jump: false };
        assert_eq!(reading.tick(TimeSpec::new(6999, 999_000_000)), Tick(9_000));
        // From the future: the wall clock was set back by less than a jump.
        assert_eq!(reading.tick(TimeSpec::new(7000, 500_000)), Tick(10_000));
    }
}
