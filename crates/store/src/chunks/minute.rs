//! Minutes as runs: as many minutes in a row as differ in nothing but their time and their losses.
//!
//! Minutes of a run in which a packet was lost stand apart, so that a packet now and then does not
//! cut a day into hundreds of runs; where nothing came back at all, the run says so itself.
//!
//! The round-trip times of a minute are not kept with it, only what it is judged by and counted
//! from: they are those of its rounds, which are kept apart. So a target that is well is a few runs
//! a day.

use model::{Cause, Minute, MinuteCounts, MinuteTruth, Verdict};

use super::{Damaged, Layout, Reader, Record, Split, Writer};
use crate::code;

/// What a minute was; of whom, its series says. The round-trip times in `counts` are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinuteRecord {
    pub(crate) minute: Minute,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) counts: MinuteCounts,
    pub(crate) revision: u16,
    pub(crate) said_first: Option<Verdict>,
}

impl MinuteRecord {
    pub(crate) fn of(truth: &MinuteTruth) -> MinuteRecord {
        let MinuteTruth { entity: _, minute, verdict, cause, counts, revision, said_first } =
            *truth;
        let MinuteCounts { rounds, not_asked, sent, received, .. } = counts;
        let counts = MinuteCounts { rounds, not_asked, sent, received, ..MinuteCounts::default() };
        MinuteRecord { minute, verdict, cause, counts, revision, said_first }
    }

    /// Whether it is the one before it, a minute later, but for some lost packets.
    fn continues(&self, before: &MinuteRecord) -> bool {
        let mut next = MinuteRecord { minute: before.minute.next(), ..*before };
        next.counts.received = self.counts.received;
        *self == next && self.is_all_lost() == before.is_all_lost()
    }

    fn is_all_lost(&self) -> bool {
        self.counts.received == 0 && 0 < self.counts.sent
    }

    fn lost(&self) -> u32 {
        self.counts.sent.wrapping_sub(self.counts.received)
    }
}

/// Minutes between the end of the run before and this one.
const SKIP: usize = 0;
/// Minutes of a run, less one.
const LENGTH: usize = 1;
/// Verdict, cause, revision and rounds that could not ask: nearly always the same number.
const STATE: usize = 2;
const ROUNDS: usize = 3;
const SENT: usize = 4;
/// Minutes since the one before in which some of the packets were lost.
const LOST_GAP: usize = 5;
/// How many were, less one.
const LOST: usize = 6;

/// Before losses stood apart: of each run, how many were sent and not received.
const WITH_LOSSES: Layout = Layout { version: 2, columns: 6, is_timed: false };
const LOST_OF_RUN: usize = 5;

/// Bits of a state: three of the verdict, whether nothing came back, a byte of the cause, whether
/// what was said first stands among the rare, the revision; and above them, so that the rest is
/// short, rounds that could not ask.
const IS_ALL_LOST: u64 = 1 << 3;
const CAUSE_SHIFT: u32 = 4;
const IS_REVISED: u64 = 1 << 12;
const REVISION_SHIFT: u32 = 13;
const NOT_ASKED_SHIFT: u32 = 29;

const NOT_A_MINUTE: Damaged = Damaged("a minute is none");
/// Minutes of one page: more than a year. A run says with one number how many there are.
const PAGE_MINUTES_MAX: usize = 600_000;

impl Record for MinuteRecord {
    const KIND: u8 = 2;
    const LAYOUT: Layout = Layout { version: 3, columns: 7, is_timed: false };
    const OLDER: &'static [Layout] = &[WITH_LOSSES];

    fn at(&self) -> i64 {
        self.minute.start().0
    }

    /// A revision takes the place of what was said before; of two alike, the later one.
    fn supersedes(&self, earlier: &MinuteRecord) -> bool {
        earlier.revision <= self.revision
    }

    fn split(series: &[MinuteRecord], base: i64) -> Split {
        let mut split = Split::default();
        MinuteRecord::split_into(series, base, &mut split);
        split
    }

    fn split_into(series: &[MinuteRecord], base: i64, split: &mut Split) {
        split.clear(MinuteRecord::LAYOUT);
        let mut rare = Writer { bytes: std::mem::take(&mut split.rare) };
        let base = model::UtcMicros(base).minute();
        let mut end = base;
        for run in series.chunk_by(|before, minute| minute.continues(before)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            if first.minute == series.first().map_or(first.minute, |first| first.minute) {
                rare.signed(first.minute.0.wrapping_sub(base.0));
            } else {
                split.push(SKIP, first.minute.0.wrapping_sub(end.0).cast_unsigned());
            }
            end = last.minute.next();
            split.push(LENGTH, u64::try_from(run.len().saturating_sub(1)).unwrap_or(0));
            let MinuteCounts { rounds, sent, .. } = first.counts;
            split.push(STATE, state(first));
            split.push(ROUNDS, u64::from(rounds));
            split.push(SENT, u64::from(sent));
            if let Some(verdict) = first.said_first {
                rare.signed(i64::from(code::of_verdict(verdict)));
            }
        }
        let mut next = 0;
        for (index, minute) in (0_u64..).zip(series) {
            if minute.lost() != 0 && !minute.is_all_lost() {
                split.push(LOST_GAP, index.wrapping_sub(next));
                split.push(LOST, u64::from(minute.lost().wrapping_sub(1)));
                next = index.wrapping_add(1);
            }
        }
        split.rare = rare.bytes;
    }

    fn join(split: &Split, base: i64) -> Result<Vec<MinuteRecord>, Damaged> {
        let mut rare = Reader::new(&split.rare);
        let mut minutes: Vec<MinuteRecord> = Vec::new();
        let mut skips = split.column(SKIP);
        for (index, length) in split.column(LENGTH).enumerate() {
            let first = match minutes.last() {
                None => model::UtcMicros(base).minute().0.wrapping_add(rare.signed()?),
                Some(last) => {
                    let skip = skips.next().ok_or(NOT_A_MINUTE)?.cast_signed();
                    last.minute.next().0.wrapping_add(skip)
                }
            };
            let run = run_at(split, index, Minute(first), &mut rare)?;
            let length = usize::try_from(length).map_err(|_| NOT_A_MINUTE)?;
            if PAGE_MINUTES_MAX < length.saturating_add(minutes.len()) {
                return Err(NOT_A_MINUTE);
            }
            let mut minute = run.minute;
            for _ in 0..=length {
                minutes.push(MinuteRecord { minute, ..run });
                minute = minute.next();
            }
        }
        if split.version != WITH_LOSSES.version {
            read_losses(split, &mut minutes)?;
        }
        Ok(minutes)
    }
}

fn read_losses(split: &Split, minutes: &mut [MinuteRecord]) -> Result<(), Damaged> {
    let mut rest = minutes.iter_mut();
    for (gap, lost) in split.column(LOST_GAP).zip(split.column(LOST)) {
        let gap = usize::try_from(gap).map_err(|_| NOT_A_MINUTE)?;
        let minute = rest.nth(gap).ok_or(NOT_A_MINUTE)?;
        let lost = u32::try_from(lost).map_err(|_| NOT_A_MINUTE)?.wrapping_add(1);
        minute.counts.received = minute.counts.sent.wrapping_sub(lost);
    }
    Ok(())
}

fn state(minute: &MinuteRecord) -> u64 {
    let verdict = u64::from(code::of_verdict(minute.verdict).cast_unsigned());
    let cause = u64::from(code::of_cause(minute.cause).cast_unsigned());
    let revised = minute.said_first.map_or(0, |_| IS_REVISED);
    let revision = u64::from(minute.revision) << REVISION_SHIFT;
    let not_asked = u64::from(minute.counts.not_asked) << NOT_ASKED_SHIFT;
    let all_lost = if minute.is_all_lost() { IS_ALL_LOST } else { 0 };
    verdict | all_lost | cause << CAUSE_SHIFT | revised | revision | not_asked
}

fn run_at(
    split: &Split,
    index: usize,
    minute: Minute,
    rare: &mut Reader<'_>,
) -> Result<MinuteRecord, Damaged> {
    let wide = |column: usize| {
        let value = split.columns.get(column).and_then(|values| values.get(index));
        value.copied().ok_or(NOT_A_MINUTE)
    };
    let value = |column| u32::try_from(wide(column)?).map_err(|_| NOT_A_MINUTE);
    let state = wide(STATE)?;
    let field = |shift: u32, bits: u32| (state >> shift) & ((1 << bits) - 1);
    let code_of = |number| i16::try_from(number).map_err(|_| NOT_A_MINUTE);
    let said_first = if state & IS_REVISED != 0 {
        let number = i16::try_from(rare.signed()?).map_err(|_| NOT_A_MINUTE)?;
        Some(code::verdict(number).ok_or(NOT_A_MINUTE)?)
    } else {
        None
    };
    let sent = value(SENT)?;
    let lost = if split.version == WITH_LOSSES.version {
        value(LOST_OF_RUN)?
    } else if state & IS_ALL_LOST != 0 {
        sent
    } else {
        0
    };
    let not_asked = u32::try_from(state >> NOT_ASKED_SHIFT).map_err(|_| NOT_A_MINUTE)?;
    Ok(MinuteRecord {
        minute,
        verdict: code::verdict(code_of(field(0, 3))?).ok_or(NOT_A_MINUTE)?,
        cause: code::cause(code_of(field(CAUSE_SHIFT, 8))?).ok_or(NOT_A_MINUTE)?,
        counts: MinuteCounts {
            rounds: value(ROUNDS)?,
            not_asked,
            sent,
            received: sent.wrapping_sub(lost),
            ..MinuteCounts::default()
        },
        revision: u16::try_from(field(REVISION_SHIFT, 16)).map_err(|_| NOT_A_MINUTE)?,
        said_first,
    })
}
