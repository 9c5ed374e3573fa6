//! Roll-ups as columns.
//!
//! Spans follow each other, and what a target sends and hears in one is nearly always the same. A
//! span whose minutes all have one verdict, and are all there, is one number; of the others it
//! stands among what is rare. Of a sketch the steps lie near each other, and the count of the last
//! is what the others leave.

use model::{Minute, Rollup, Sketch, Span, StateMinutes, Times, Verdict, Worst};

use super::{Damaged, Level, Reader, Record, Split, Writer, quiet_minutes};
use crate::code;

/// What is kept for one agent's five minutes; pinned, as all of them.
pub(crate) const PAIR_FIVE: u8 = 3;
pub(crate) const PAIR_HOUR: u8 = 4;
/// Of all agents together.
pub(crate) const ALL_FIVE: u8 = 5;
pub(crate) const ALL_HOUR: u8 = 6;
pub(crate) const ALL_DAY: u8 = 7;

/// A roll-up; of which series and span, its kind and place say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RollRecord<const KIND: u8> {
    pub(crate) start: Minute,
    pub(crate) rollup: Rollup,
}

/// Spans between the end of the one before and this one.
const SKIP: usize = 0;
const STATE: usize = 1;
const ROUNDS: usize = 2;
const SENT: usize = 3;
/// Sent and not received.
const LOST: usize = 4;
/// Answered packets whose times are known, beside those that were received.
const PACKETS: usize = 5;
/// Above the fastest of the series.
const RTT_MIN: usize = 6;
/// The sum, as if the fastest packet took no time.
const RTT_SUM: usize = 7;
/// Above the fastest packet.
const RTT_MAX: usize = 8;
/// Rounds whose times are known, beside those that asked.
const TIMED: usize = 9;
/// Steps of the sketch.
const STEPS: usize = 10;
/// How far each lies above the one before, or above that of the fastest packet.
const STEP: usize = 11;
/// Of each but the last, less one.
const COUNT: usize = 12;

/// Bits of a state: four of the worst verdict, a byte of its cause, and above them what else.
const CAUSE_SHIFT: u32 = 4;
const HAS_WORST: u64 = 1 << 12;
/// Every minute is there and has that verdict.
const IS_PLAIN: u64 = 1 << 13;
const HAS_TIMES: u64 = 1 << 14;
/// Above them, so that the rest is short, rounds that could not ask.
const NOT_ASKED_SHIFT: u32 = 15;

const NOT_A_ROLLUP: Damaged = Damaged("a roll-up is none");
/// Runs of minutes of one roll-up: every second minute of a day.
const RUNS_MAX: u64 = 720;

const fn span_of(kind: u8) -> Span {
    match kind {
        PAIR_FIVE | ALL_FIVE => Span::FiveMinutes,
        PAIR_HOUR | ALL_HOUR => Span::Hour,
        _ => Span::Day,
    }
}

const DAY_MINUTES: i64 = Span::Day.minutes();
/// Five minutes are made by the hour, hours and days too; each is merged until its pages have some
/// hundred records, so that what every page costs is little beside them.
const FIVES: [Level; 1] = [Level { number: 3, minutes: DAY_MINUTES, quiet: quiet_minutes(60) }];
const HOURS: [Level; 2] = [
    Level { number: 2, minutes: DAY_MINUTES, quiet: quiet_minutes(60) },
    Level { number: 3, minutes: 30 * DAY_MINUTES, quiet: quiet_minutes(6 * 60) },
];
const DAYS: [Level; 2] = [
    Level { number: 2, minutes: 30 * DAY_MINUTES, quiet: quiet_minutes(6 * 60) },
    Level { number: 3, minutes: 360 * DAY_MINUTES, quiet: quiet_minutes(24 * 60) },
];

impl<const KIND: u8> RollRecord<KIND> {
    pub(crate) const SPAN: Span = span_of(KIND);

    fn end(&self) -> i64 {
        self.start.0.wrapping_add(Self::SPAN.minutes())
    }
}

impl<const KIND: u8> Record for RollRecord<KIND> {
    const KIND: u8 = KIND;
    const COLUMNS: usize = 13;
    /// Sketches have many values each, and a column takes 16 million.
    const CHUNK_RECORDS_MAX: usize = 250_000;
    const LEVELS: &'static [Level] = match Self::SPAN {
        Span::FiveMinutes => &FIVES,
        Span::Hour => &HOURS,
        Span::Day => &DAYS,
    };

    fn at(&self) -> i64 {
        self.start.start().0
    }

    /// It was made anew of all that is known by now.
    fn supersedes(&self, _: &Self) -> bool {
        true
    }

    fn split(series: &[Self], base: i64) -> Split {
        let mut split = Split::new(Self::COLUMNS);
        let mut rare = Writer::default();
        let times = series.iter().map(|record| &record.rollup.times);
        let fastest = times.filter(|t| 0 < t.packets).map(|t| t.us_min).min().unwrap_or(0);
        let mut end = model::UtcMicros(base).minute().0;
        rare.signed(series.first().map_or(0, |first| first.start.0.wrapping_sub(end)));
        rare.number(u64::from(fastest));
        for (index, record) in series.iter().enumerate() {
            if 0 < index {
                split.push(SKIP, record.start.0.wrapping_sub(end).cast_unsigned());
            }
            end = record.end();
            write(record, fastest, &mut split, &mut rare);
        }
        split.rare = rare.bytes;
        split
    }

    fn join(split: &Split, base: i64) -> Result<Vec<Self>, Damaged> {
        let mut rare = Reader::new(&split.rare);
        let first = model::UtcMicros(base).minute().0.wrapping_add(rare.signed()?);
        let fastest: u32 = rare.small()?;
        let mut columns = Columns::new(split);
        let mut start = first;
        let mut records: Vec<Self> = Vec::with_capacity(split.column(STATE).count());
        for state in split.column(STATE) {
            if let Some(last) = records.last() {
                start = last.end().wrapping_add(columns.next(SKIP)?.cast_signed());
            }
            let start = Minute(start);
            let rollup = read(start, Self::SPAN, (state, fastest), &mut columns, &mut rare)?;
            records.push(RollRecord { start, rollup });
        }
        Ok(records)
    }
}

/// Takes the values of each column one by one.
struct Columns<'a> {
    columns: Vec<std::slice::Iter<'a, u64>>,
}

impl<'a> Columns<'a> {
    fn new(split: &'a Split) -> Columns<'a> {
        Columns { columns: split.columns.iter().map(|column| column.iter()).collect() }
    }

    fn next(&mut self, column: usize) -> Result<u64, Damaged> {
        let value = self.columns.get_mut(column).and_then(Iterator::next);
        value.copied().ok_or(NOT_A_ROLLUP)
    }

    fn small<T: TryFrom<u64>>(&mut self, column: usize) -> Result<T, Damaged> {
        T::try_from(self.next(column)?).map_err(|_| NOT_A_ROLLUP)
    }
}

/// A difference, so that small ones of either sign are small numbers.
fn zigzag(value: u64, beside: u64) -> u64 {
    let value = value.wrapping_sub(beside).cast_signed();
    value.cast_unsigned() << 1 ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64, beside: u64) -> u64 {
    let value = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
    beside.wrapping_add(value.cast_unsigned())
}

fn write<const KIND: u8>(
    record: &RollRecord<KIND>,
    fastest: u32,
    split: &mut Split,
    rare: &mut Writer,
) {
    let RollRecord { start, rollup } = record;
    let Rollup { worst, minutes, rounds, not_asked, sent, received, times, .. } = rollup;
    let is_plain = is_plain(rollup, *start, RollRecord::<KIND>::SPAN);
    let mut state = u64::from(*not_asked) << NOT_ASKED_SHIFT;
    if let Some(Worst { verdict, cause, .. }) = worst {
        state |= HAS_WORST | u64::from(code::of_verdict(*verdict).cast_unsigned());
        state |= u64::from(code::of_cause(*cause).cast_unsigned()) << CAUSE_SHIFT;
    }
    state |= if is_plain { IS_PLAIN } else { 0 };
    state |= if 0 < times.packets { HAS_TIMES } else { 0 };
    split.push(STATE, state);
    split.push(ROUNDS, u64::from(*rounds));
    split.push(SENT, u64::from(*sent));
    split.push(LOST, zigzag(u64::from(*sent), u64::from(*received)));
    if 0 < times.packets {
        write_times(times, (*rounds, *received), fastest, split);
    }
    if is_plain {
        return;
    }
    for verdict in Verdict::ALL {
        rare.number(u64::from(minutes.of(verdict)));
    }
    if let Some(worst) = worst {
        rare.signed(worst.minute.0.wrapping_sub(start.0));
    }
    rare.length(rollup.runs().count());
    let mut end = start.0;
    for run in rollup.runs() {
        rare.signed(run.start.0.wrapping_sub(end));
        rare.signed(run.end.0.wrapping_sub(run.start.0));
        end = run.end.0;
    }
}

fn write_times(times: &Times, (rounds, received): (u32, u32), fastest: u32, split: &mut Split) {
    let Times { packets, us_min, us_max, us_sum, means } = times;
    split.push(PACKETS, zigzag(*packets, u64::from(received)));
    split.push(RTT_MIN, u64::from(us_min.wrapping_sub(fastest)));
    split.push(RTT_SUM, us_sum.wrapping_sub(packets.wrapping_mul(u64::from(*us_min))));
    split.push(RTT_MAX, u64::from(us_max.wrapping_sub(*us_min)));
    split.push(TIMED, zigzag(means.total(), u64::from(rounds)));
    split.push(STEPS, u64::try_from(means.counts().len()).unwrap_or(0));
    let mut before = first_step(*us_min);
    for (index, (step, count)) in means.counts().iter().enumerate() {
        split.push(STEP, u64::from(step.wrapping_sub(before)));
        before = *step;
        if index + 1 < means.counts().len() {
            split.push(COUNT, u64::from(count.wrapping_sub(1)));
        }
    }
}

/// The step of the fastest packet: no mean lies below.
fn first_step(us_min: u32) -> u16 {
    let mut sketch = Sketch::default();
    sketch.add(us_min);
    sketch.counts().first().map_or(0, |(step, _)| *step)
}

/// Whether every minute of the span is in it and has its worst verdict; or none is.
fn is_plain(rollup: &Rollup, start: Minute, span: Span) -> bool {
    let mut plain = Rollup::default();
    plain.worst = rollup.worst;
    make_plain(&mut plain, start, span);
    let is_same = (plain.minutes, plain.worst) == (rollup.minutes, rollup.worst);
    is_same && plain.runs().eq(rollup.runs())
}

fn make_plain(rollup: &mut Rollup, start: Minute, span: Span) {
    if let Some(worst) = &mut rollup.worst {
        worst.minute = start;
        let minutes = u32::try_from(span.minutes()).unwrap_or(0);
        rollup.minutes.add(worst.verdict, minutes);
        rollup.add_run(start.0..start.0.saturating_add(span.minutes()));
    }
}

fn read(
    start: Minute,
    span: Span,
    (state, fastest): (u64, u32),
    columns: &mut Columns<'_>,
    rare: &mut Reader<'_>,
) -> Result<Rollup, Damaged> {
    let field = |shift: u32, bits: u32| (state >> shift) & ((1 << bits) - 1);
    let code_of = |number| i16::try_from(number).map_err(|_| NOT_A_ROLLUP);
    let mut rollup = Rollup::default();
    rollup.rounds = columns.small(ROUNDS)?;
    rollup.not_asked = u32::try_from(state >> NOT_ASKED_SHIFT).map_err(|_| NOT_A_ROLLUP)?;
    rollup.sent = columns.small(SENT)?;
    let lost = unzigzag(columns.next(LOST)?, 0);
    let received = u64::from(rollup.sent).wrapping_sub(lost);
    rollup.received = u32::try_from(received).map_err(|_| NOT_A_ROLLUP)?;
    if state & HAS_TIMES != 0 {
        rollup.times = read_times((rollup.rounds, rollup.received), fastest, columns)?;
    }
    if state & HAS_WORST != 0 {
        rollup.worst = Some(Worst {
            verdict: code::verdict(code_of(field(0, 4))?).ok_or(NOT_A_ROLLUP)?,
            cause: code::cause(code_of(field(CAUSE_SHIFT, 8))?).ok_or(NOT_A_ROLLUP)?,
            minute: start,
        });
    }
    if state & IS_PLAIN != 0 {
        make_plain(&mut rollup, start, span);
        return Ok(rollup);
    }
    let mut minutes = StateMinutes::default();
    for verdict in Verdict::ALL {
        minutes.add(verdict, rare.small()?);
    }
    rollup.minutes = minutes;
    if let Some(worst) = &mut rollup.worst {
        worst.minute = Minute(start.0.wrapping_add(rare.signed()?));
    }
    let runs = rare.number()?;
    if RUNS_MAX < runs {
        return Err(NOT_A_ROLLUP);
    }
    let mut end = start.0;
    for _ in 0..runs {
        let first = end.wrapping_add(rare.signed()?);
        end = first.wrapping_add(rare.signed()?);
        rollup.add_run(first..end);
    }
    Ok(rollup)
}

fn read_times(
    (rounds, received): (u32, u32),
    fastest: u32,
    columns: &mut Columns<'_>,
) -> Result<Times, Damaged> {
    let packets = unzigzag(columns.next(PACKETS)?, u64::from(received));
    let us_min = fastest.wrapping_add(columns.small(RTT_MIN)?);
    let floor = packets.wrapping_mul(u64::from(us_min));
    let us_sum = columns.next(RTT_SUM)?.wrapping_add(floor);
    let us_max = us_min.wrapping_add(columns.small(RTT_MAX)?);
    let mut left = unzigzag(columns.next(TIMED)?, u64::from(rounds));
    let steps: usize = columns.small(STEPS)?;
    let mut step = first_step(us_min);
    let mut counts = Vec::new();
    for index in 0..steps {
        step = step.wrapping_add(columns.small(STEP)?);
        let count = if index + 1 < steps { columns.next(COUNT)?.wrapping_add(1) } else { left };
        left = left.wrapping_sub(count);
        counts.push((step, u32::try_from(count).map_err(|_| NOT_A_ROLLUP)?));
    }
    let means = Sketch::from_counts(counts).ok_or(NOT_A_ROLLUP)?;
    Ok(Times { packets, us_min, us_max, us_sum, means })
}
