//! Rounds as columns.
//!
//! Times lie on a grid, so their differences are few. What a round sent, received and is marked
//! with is one number that is nearly always the same. Round-trip times vary by how far each lies
//! above the fastest of its series, whatever that is: series of one chunk look alike then. Confirm
//! bursts, ICMP errors and reasons not to ask are rare and stand apart.

use std::net::IpAddr;

use model::{
    Confirm, IcmpError, NotAsked, Outcome, ProbeId, Round, RoundFlags, Rtt, Subject, UtcMicros,
};

use super::{Damaged, Layout, Reader, Record, Split, Writer};
use crate::code;

/// A round of a probe; of which one, its series says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundRecord {
    pub(crate) at: UtcMicros,
    pub(crate) outcome: Outcome,
    pub(crate) flags: RoundFlags,
    pub(crate) icmp_error: Option<IcmpError>,
}

impl RoundRecord {
    pub(crate) fn of(round: &Round) -> RoundRecord {
        let Round { subject: _, at, outcome, flags, icmp_error } = *round;
        RoundRecord { at, outcome, flags, icmp_error }
    }

    pub(crate) fn round(self, probe: ProbeId) -> Round {
        let RoundRecord { at, outcome, flags, icmp_error } = self;
        Round { subject: Subject::Probe(probe), at, outcome, flags, icmp_error }
    }

    fn rtt(&self) -> Option<Rtt> {
        match self.outcome {
            Outcome::Asked { rtt, .. } => rtt,
            Outcome::NotAsked(_) => None,
        }
    }
}

/// Time since the round before.
const GAP: usize = 0;
/// Sent, received, flags, and what else there is to read.
const SHAPE: usize = 1;
/// Above the fastest of the series.
const RTT_MIN: usize = 2;
/// Above the one before.
const RTT_MEAN: usize = 3;
const RTT_MAX: usize = 4;

/// Bits of a shape, above a byte each of sent, received and flags.
const HAS_RTT: u64 = 1 << 24;
const HAS_CONFIRM: u64 = 1 << 25;
const HAS_ICMP_ERROR: u64 = 1 << 26;
const IS_NOT_ASKED: u64 = 1 << 27;

const NOT_A_ROUND: Damaged = Damaged("a round is none");

/// Of this version a series has one page in each chunk.
const UNTIMED: Layout = Layout { version: 2, columns: 5, is_timed: false };

impl Record for RoundRecord {
    const KIND: u8 = 1;
    const LAYOUT: Layout = Layout { version: 3, columns: 5, is_timed: true };
    const OLDER: &'static [Layout] = &[UNTIMED];
    /// Six hours of a round every 30 s.
    const PAGE_RECORDS_MAX: usize = 720;

    fn at(&self) -> i64 {
        self.at.0
    }

    /// The same round once more changes nothing.
    fn supersedes(&self, _: &RoundRecord) -> bool {
        false
    }

    fn split(series: &[RoundRecord], base: i64) -> Split {
        let mut split = Split::default();
        RoundRecord::split_into(series, base, &mut split);
        split
    }

    fn split_into(series: &[RoundRecord], base: i64, split: &mut Split) {
        split.clear(RoundRecord::LAYOUT);
        let mut rare = Writer { bytes: std::mem::take(&mut split.rare) };
        let fastest = series.iter().filter_map(RoundRecord::rtt).map(|rtt| rtt.us_min).min();
        let fastest = fastest.unwrap_or(0);
        rare.signed(series.first().map_or(0, |first| first.at.0.wrapping_sub(base)));
        rare.number(u64::from(fastest));
        for pair in series.windows(2) {
            let [before, round] = pair else { continue };
            split.push(GAP, round.at.0.wrapping_sub(before.at.0).cast_unsigned());
        }
        for round in series {
            split.push(SHAPE, shape(round));
            if let Some(rtt) = round.rtt() {
                split.push(RTT_MIN, u64::from(rtt.us_min - fastest));
                split.push(RTT_MEAN, u64::from(rtt.us_mean.wrapping_sub(rtt.us_min)));
                split.push(RTT_MAX, u64::from(rtt.us_max.wrapping_sub(rtt.us_mean)));
            }
            write_rare(&mut rare, round);
        }
        split.rare = rare.bytes;
    }

    fn join(split: &Split, base: i64) -> Result<Vec<RoundRecord>, Damaged> {
        let mut rounds = Vec::with_capacity(split.column(SHAPE).count());
        RoundRecord::join_into(split, base, &mut rounds)?;
        Ok(rounds)
    }

    fn join_into(split: &Split, base: i64, rounds: &mut Vec<RoundRecord>) -> Result<(), Damaged> {
        let mut rare = Reader::new(&split.rare);
        let mut at = base.wrapping_add(rare.signed()?);
        let fastest: u32 = rare.small()?;
        let mut gaps = split.column(GAP);
        let narrow = |column| {
            split.column(column).map(|value| u32::try_from(value).map_err(|_| NOT_A_ROUND))
        };
        let (mut mins, mut means, mut maxs) = (narrow(RTT_MIN), narrow(RTT_MEAN), narrow(RTT_MAX));
        let mut next_rtt = || {
            let above = mins.next().ok_or(NOT_A_ROUND)??;
            let us_min = fastest.checked_add(above).ok_or(NOT_A_ROUND)?;
            let us_mean = us_min.wrapping_add(means.next().ok_or(NOT_A_ROUND)??);
            let us_max = us_mean.wrapping_add(maxs.next().ok_or(NOT_A_ROUND)??);
            Ok(Rtt { us_min, us_mean, us_max })
        };
        for (index, shape) in split.column(SHAPE).enumerate() {
            if index != 0 {
                at = at.wrapping_add(gaps.next().ok_or(NOT_A_ROUND)?.cast_signed());
            }
            let rtt = if shape & HAS_RTT != 0 { Some(next_rtt()?) } else { None };
            rounds.push(read_round(UtcMicros(at), shape, rtt, &mut rare)?);
        }
        Ok(())
    }
}

fn shape(round: &RoundRecord) -> u64 {
    let (sent, received, bits) = match round.outcome {
        Outcome::Asked { sent, received, rtt, confirm } => {
            let rtt = rtt.map_or(0, |_| HAS_RTT);
            let confirm = if confirm == Confirm::default() { 0 } else { HAS_CONFIRM };
            (sent, received, rtt | confirm)
        }
        Outcome::NotAsked(_) => (0, 0, IS_NOT_ASKED),
    };
    let [sent, received, flags] = [sent, received, round.flags.0].map(u64::from);
    let icmp_error = round.icmp_error.map_or(0, |_| HAS_ICMP_ERROR);
    sent | received << 8 | flags << 16 | bits | icmp_error
}

fn write_rare(rare: &mut Writer, round: &RoundRecord) {
    match round.outcome {
        Outcome::Asked { confirm, .. } if confirm != Confirm::default() => {
            rare.bytes.extend([confirm.sent, confirm.received]);
        }
        Outcome::Asked { .. } => (),
        Outcome::NotAsked(reason) => rare.signed(i64::from(code::of_not_asked(reason))),
    }
    if let Some(IcmpError { kind, code, source }) = round.icmp_error {
        rare.bytes.extend([kind, code]);
        match source {
            IpAddr::V4(source) => rare.counted(&source.octets()),
            IpAddr::V6(source) => rare.counted(&source.octets()),
        }
    }
}

fn read_round(
    at: UtcMicros,
    shape: u64,
    rtt: Option<Rtt>,
    rare: &mut Reader<'_>,
) -> Result<RoundRecord, Damaged> {
    let [sent, received, flags, ..] = shape.to_le_bytes();
    let outcome = if shape & IS_NOT_ASKED != 0 {
        Outcome::NotAsked(read_not_asked(rare)?)
    } else {
        let confirm = if shape & HAS_CONFIRM != 0 {
            Confirm { sent: rare.byte()?, received: rare.byte()? }
        } else {
            Confirm::default()
        };
        Outcome::Asked { sent, received, rtt, confirm }
    };
    let icmp_error = if shape & HAS_ICMP_ERROR != 0 {
        let (kind, code) = (rare.byte()?, rare.byte()?);
        Some(IcmpError { kind, code, source: read_source(rare.counted()?)? })
    } else {
        None
    };
    Ok(RoundRecord { at, outcome, flags: RoundFlags(flags), icmp_error })
}

fn read_not_asked(rare: &mut Reader<'_>) -> Result<NotAsked, Damaged> {
    let number = i16::try_from(rare.signed()?).map_err(|_| NOT_A_ROUND)?;
    code::not_asked(number).ok_or(NOT_A_ROUND)
}

fn read_source(octets: &[u8]) -> Result<IpAddr, Damaged> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6).map_err(|_| NOT_A_ROUND)
}
