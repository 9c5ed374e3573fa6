//! Rounds as columns, and columns as rounds.
//!
//! A column of small differences compresses to a fraction of a row. What comes in is checked to
//! the last field: a decoded row is as good as one made here.

use std::net::IpAddr;

use model::{
    Confirm, IcmpError, NameAnswer, NotAsked, Outcome, ProbeId, RoundFlags, Rtt, Subject, Tick,
};

use crate::{WireError, limits, v1};

/// The handle of the agent's gateway. No probe has this id: they start at 1.
const GATEWAY: u32 = 0;
/// The handle of the first witness; probes stay below.
const WITNESS_FIRST: u32 = 0xFFFF_FF00;

/// One round as it travels: as the agent saw it, on the agent's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundRow {
    pub subject: Subject,
    /// When its first packet was due.
    pub due_tick: Tick,
    pub outcome: Outcome,
    pub flags: RoundFlags,
    pub icmp_error: Option<IcmpError>,
    /// What the name stands for from this round on, if that is news.
    pub address: Option<NameAnswer>,
}

/// Whether a probe's id has a handle of its own: not 0, and below those of the witnesses.
pub fn is_probe_handle(probe: ProbeId) -> bool {
    probe.0 != GATEWAY && probe.0 < WITNESS_FIRST
}

fn handle_of(subject: Subject) -> u32 {
    match subject {
        Subject::Gateway => GATEWAY,
        Subject::Witness(n) => WITNESS_FIRST + u32::from(n),
        Subject::Probe(probe) => probe.0,
    }
}

fn subject_of(handle: u32) -> Subject {
    match handle.checked_sub(WITNESS_FIRST) {
        Some(n) => Subject::Witness(u8::try_from(n).unwrap_or(u8::MAX)),
        None if handle == GATEWAY => Subject::Gateway,
        None => Subject::Probe(ProbeId(handle)),
    }
}

/// Turns rows into columns, in their order.
pub fn encode_rounds(rows: &[RoundRow]) -> v1::Rounds {
    let mut rounds = v1::Rounds::default();
    let mut due_before = 0;
    for (index, row) in (0..).zip(rows) {
        let due = row.due_tick.0.cast_signed();
        rounds.subject.push(handle_of(row.subject));
        rounds.due_tick_us_delta.push(due.wrapping_sub(due_before));
        due_before = due;
        rounds.flags.push(u32::from(row.flags.0));
        push_outcome(&mut rounds, index, row.outcome);
        if let Some(error) = row.icmp_error {
            rounds.icmp_error.push(v1::IcmpErrorMark {
                index,
                r#type: u32::from(error.kind),
                code: u32::from(error.code),
                source: bytes_of(error.source),
            });
        }
        if let Some(answer) = row.address {
            let address = bytes_of(answer.address);
            let was = answer.was.map(bytes_of).unwrap_or_default();
            rounds.address.push(v1::AddressMark { index, address, was });
        }
    }
    rounds
}

fn push_outcome(rounds: &mut v1::Rounds, index: u32, outcome: Outcome) {
    let (sent, received, rtt) = match outcome {
        Outcome::Asked { sent, received, rtt, confirm } => {
            if confirm.sent != 0 {
                rounds.confirm.push(v1::ConfirmMark {
                    index,
                    sent: u32::from(confirm.sent),
                    received: u32::from(confirm.received),
                });
            }
            (sent, received, rtt)
        }
        Outcome::NotAsked(reason) => {
            let reason = reason_of(reason).into();
            rounds.not_asked.push(v1::NotAskedMark { index, reason });
            (0, 0, None)
        }
    };
    let rtt = rtt.unwrap_or(Rtt { us_min: 0, us_mean: 0, us_max: 0 });
    rounds.sent.push(u32::from(sent));
    rounds.received.push(u32::from(received));
    rounds.rtt_us_min.push(rtt.us_min);
    rounds.rtt_us_mean_over.push(rtt.us_mean.saturating_sub(rtt.us_min));
    rounds.rtt_us_max_over.push(rtt.us_max.saturating_sub(rtt.us_min));
}

fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn reason_of(reason: NotAsked) -> v1::NotAskedReason {
    match reason {
        NotAsked::NoRoute => v1::NotAskedReason::NoRoute,
        NotAsked::Permission => v1::NotAskedReason::Permission,
        NotAsked::Resolver => v1::NotAskedReason::Resolver,
        NotAsked::BufferFull => v1::NotAskedReason::BufferFull,
        NotAsked::Socket => v1::NotAskedReason::Socket,
        NotAsked::Overrun => v1::NotAskedReason::Overrun,
    }
}

/// Turns columns into rows, checking everything.
///
/// # Errors
///
/// [`WireError`] names the column or the round that is wrong and what it must be.
pub fn decode_rounds(rounds: &v1::Rounds) -> Result<Vec<RoundRow>, WireError> {
    check_lengths(rounds)?;
    let mut rows = Vec::with_capacity(rounds.subject.len());
    let mut due_us = 0i64;
    for (index, handle) in rounds.subject.iter().enumerate() {
        let fail = |must| WireError::Round { index, must };
        let delta = column(&rounds.due_tick_us_delta, index);
        due_us = due_us
            .checked_add(delta)
            .filter(|due| 0 <= *due)
            .ok_or(fail("its tick must not be negative"))?;
        let flags = u8::try_from(column(&rounds.flags, index)).ok();
        rows.push(RoundRow {
            subject: subject_of(*handle),
            due_tick: Tick(due_us.cast_unsigned()),
            outcome: asked(rounds, index)?,
            flags: flags
                .filter(|f| f & !RoundFlags::KNOWN.0 == 0)
                .map(RoundFlags)
                .ok_or(fail("its flags must be known ones"))?,
            icmp_error: None,
            address: None,
        });
    }
    mark_not_asked(&mut rows, rounds)?;
    mark_confirm(&mut rows, rounds)?;
    mark_icmp_error(&mut rows, rounds)?;
    mark_address(&mut rows, rounds)?;
    Ok(rows)
}

fn check_lengths(rounds: &v1::Rounds) -> Result<(), WireError> {
    let count = rounds.subject.len();
    if limits::ROUNDS_MAX < count {
        return Err(WireError::TooMany { what: "the batch", count, max: limits::ROUNDS_MAX });
    }
    let columns = [
        ("due_tick_us_delta", rounds.due_tick_us_delta.len()),
        ("sent", rounds.sent.len()),
        ("received", rounds.received.len()),
        ("rtt_us_min", rounds.rtt_us_min.len()),
        ("rtt_us_mean_over", rounds.rtt_us_mean_over.len()),
        ("rtt_us_max_over", rounds.rtt_us_max_over.len()),
        ("flags", rounds.flags.len()),
    ];
    match columns.into_iter().find(|(_, length)| *length != count) {
        Some((column, length)) => {
            Err(WireError::ColumnLength { column, count: length, rounds: count })
        }
        None => Ok(()),
    }
}

/// The entry of a column whose length was checked.
fn column<T: Copy + Default>(values: &[T], index: usize) -> T {
    values.get(index).copied().unwrap_or_default()
}

/// 1 - At most 20 packets were sent, and not more received. 2 - A time exactly if one was
/// received. 3 - Minimum, mean and maximum in their order.
fn asked(rounds: &v1::Rounds, index: usize) -> Result<Outcome, WireError> {
    let fail = |must| WireError::Round { index, must };
    let (sent, received) = counts(column(&rounds.sent, index), column(&rounds.received, index))
        .ok_or(fail("received <= sent <= 20 must hold"))?;
    let min = column(&rounds.rtt_us_min, index);
    let mean_over = column(&rounds.rtt_us_mean_over, index);
    let max_over = column(&rounds.rtt_us_max_over, index);
    let rtt = if received == 0 {
        if (min, mean_over, max_over) != (0, 0, 0) {
            return Err(fail("nothing received must have no round-trip time"));
        }
        None
    } else {
        let us_max = min.checked_add(max_over);
        let us_max = us_max.ok_or(fail("its round-trip time must fit 32 bits"))?;
        if max_over < mean_over {
            return Err(fail("the mean must lie between minimum and maximum"));
        }
        Some(Rtt { us_min: min, us_mean: min + mean_over, us_max })
    };
    Ok(Outcome::Asked { sent, received, rtt, confirm: Confirm::default() })
}

fn counts(sent: u32, received: u32) -> Option<(u8, u8)> {
    let is_legal = received <= sent && sent <= u32::from(limits::PACKETS_MAX);
    is_legal.then_some((u8::try_from(sent).ok()?, u8::try_from(received).ok()?))
}

/// Finds the row of each mark of a sparse column.
fn marked<'a, M>(
    rows: &'a mut [RoundRow],
    column: &'static str,
    marks: &'a [M],
    index_of: impl Fn(&M) -> u32,
    mut set: impl FnMut(&mut RoundRow, &M) -> Result<(), &'static str>,
) -> Result<(), WireError> {
    let count = rows.len();
    let mut least = 0;
    for mark in marks {
        let index = index_of(mark);
        let place = usize::try_from(index).ok().filter(|at| least <= *at);
        let row = place.and_then(|at| rows.get_mut(at));
        let (Some(at), Some(row)) = (place, row) else {
            return Err(WireError::MarkIndex { column, index, rounds: count });
        };
        set(row, mark).map_err(|must| WireError::Round { index: at, must })?;
        least = at + 1;
    }
    Ok(())
}

/// A round that sent nothing says why, and no other does.
fn mark_not_asked(rows: &mut [RoundRow], rounds: &v1::Rounds) -> Result<(), WireError> {
    let index_of = |mark: &v1::NotAskedMark| mark.index;
    marked(rows, "not_asked", &rounds.not_asked, index_of, |row, mark| {
        if !matches!(row.outcome, Outcome::Asked { sent: 0, .. }) {
            return Err("a round that asked must not say why it could not");
        }
        let reason = match v1::NotAskedReason::try_from(mark.reason) {
            Ok(v1::NotAskedReason::NoRoute) => NotAsked::NoRoute,
            Ok(v1::NotAskedReason::Permission) => NotAsked::Permission,
            Ok(v1::NotAskedReason::Resolver) => NotAsked::Resolver,
            Ok(v1::NotAskedReason::BufferFull) => NotAsked::BufferFull,
            Ok(v1::NotAskedReason::Socket) => NotAsked::Socket,
            Ok(v1::NotAskedReason::Overrun) => NotAsked::Overrun,
            Ok(v1::NotAskedReason::Unspecified) | Err(_) => {
                return Err("its reason must be a known one");
            }
        };
        row.outcome = Outcome::NotAsked(reason);
        Ok(())
    })?;
    let silent = |row: &RoundRow| matches!(row.outcome, Outcome::Asked { sent: 0, .. });
    match rows.iter().position(silent) {
        Some(index) => {
            Err(WireError::Round { index, must: "a round that sent nothing must say why" })
        }
        None => Ok(()),
    }
}

fn mark_confirm(rows: &mut [RoundRow], rounds: &v1::Rounds) -> Result<(), WireError> {
    let index_of = |mark: &v1::ConfirmMark| mark.index;
    marked(rows, "confirm", &rounds.confirm, index_of, |row, mark| {
        let Outcome::Asked { confirm, .. } = &mut row.outcome else {
            return Err("a round that could not ask must have no confirm burst");
        };
        let (sent, received) = counts(mark.sent, mark.received)
            .filter(|(sent, _)| *sent != 0)
            .ok_or("received <= sent <= 20 and 0 < sent must hold for its confirm burst")?;
        *confirm = Confirm { sent, received };
        Ok(())
    })
}

fn mark_icmp_error(rows: &mut [RoundRow], rounds: &v1::Rounds) -> Result<(), WireError> {
    let index_of = |mark: &v1::IcmpErrorMark| mark.index;
    marked(rows, "icmp_error", &rounds.icmp_error, index_of, |row, mark| {
        let byte = |value: u32| u8::try_from(value).map_err(|_| "ICMP type and code must be bytes");
        row.icmp_error = Some(IcmpError {
            kind: byte(mark.r#type)?,
            code: byte(mark.code)?,
            source: address_of(&mark.source)?,
        });
        Ok(())
    })
}

fn mark_address(rows: &mut [RoundRow], rounds: &v1::Rounds) -> Result<(), WireError> {
    let index_of = |mark: &v1::AddressMark| mark.index;
    marked(rows, "address", &rounds.address, index_of, |row, mark| {
        let was = (!mark.was.is_empty()).then(|| address_of(&mark.was)).transpose()?;
        row.address = Some(NameAnswer { address: address_of(&mark.address)?, was });
        Ok(())
    })
}

fn address_of(bytes: &[u8]) -> Result<IpAddr, &'static str> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| v6()).map_err(|_| "an address must have 4 or 16 bytes")
}
