//! Roll-ups as columns.
//!
//! Spans follow each other, and what a target sends and hears in one is nearly always the same. A
//! span whose minutes all have one verdict, and are all there, is one number; of the others it
//! stands among what is rare. Round-trip times are steps, each beside what it usually is in its
//! series: whatever a path takes, its columns look like those of the others.
//!
//! Days keep the counts that their quantiles were told from, so that those of a longer time can be
//! told when the rounds are gone. Five minutes and hours keep none, and so none is made of others:
//! in these it would take more than all else together.

use model::{
    Minute, Rollup, RttSteps, Rtts, Scale, Sketch, Span, StateMinutes, ToldRollup, Verdict, Worst,
};

use super::{Damaged, Layout, Level, Packing, Reader, Record, Split, Writer, quiet_minutes};
use crate::code;

/// What is kept for one agent's five minutes; pinned, as all of them.
pub(crate) const PAIR_FIVE: u8 = 3;
pub(crate) const PAIR_HOUR: u8 = 4;
/// Of all agents together.
pub(crate) const ALL_FIVE: u8 = 5;
pub(crate) const ALL_HOUR: u8 = 6;
pub(crate) const ALL_DAY: u8 = 7;
pub(crate) const PAIR_DAY: u8 = 8;

pub(crate) type PairFive = RollRecord<PAIR_FIVE>;
pub(crate) type PairHour = RollRecord<PAIR_HOUR>;
pub(crate) type PairDay = RollRecord<PAIR_DAY>;
pub(crate) type AllFive = RollRecord<ALL_FIVE>;
pub(crate) type AllHour = RollRecord<ALL_HOUR>;
pub(crate) type AllDay = RollRecord<ALL_DAY>;

/// A roll-up; of which series and span, its kind and place say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RollRecord<const KIND: u8> {
    pub(crate) start: Minute,
    pub(crate) rollup: ToldRollup,
    /// Of a day that has times: what its quantiles were told from. `None` of shorter spans, and of
    /// days that were written before counts were kept.
    pub(crate) means: Option<Sketch>,
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
/// Each of [`numbers`] beside what is usual in the series.
const NUMBERS: [usize; 6] = [6, 7, 8, 9, 10, 11];
/// Of a day that has times: rounds that were counted, beside those that asked.
const COUNTED: usize = 12;
/// One more than the steps that were counted beside that of the median, which has what those leave
/// over: nearly all, and nothing is written of it. 0 if no counts are known.
const OTHERS: usize = 13;
/// Of each of these, in ascending order: the step, beside the one before, the first beside the
/// median's.
const STEP: usize = 14;
const COUNT: usize = 15;

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

const WITHOUT_MEANS: Layout = Layout { version: 3, columns: 12, is_timed: false };
const WITH_MEANS: Layout = Layout { version: 4, columns: 16, is_timed: false };

const fn span_of(kind: u8) -> Span {
    match kind {
        PAIR_FIVE | ALL_FIVE => Span::FiveMinutes,
        PAIR_HOUR | ALL_HOUR => Span::Hour,
        _ => Span::Day,
    }
}

const DAY_MINUTES: i64 = Span::Day.minutes();

/// A level of so many days, once nothing of it has come in for so many hours.
const fn days(number: u8, days: i64, quiet_hours: u64) -> Level {
    let (minutes, quiet) = (days * DAY_MINUTES, quiet_minutes(60 * quiet_hours));
    Level { number, minutes, quiet, packing: Packing::Compressed }
}

/// Five minutes are made by the hour, hours and days too; each is merged until its pages have some
/// thousand records, so that what every page costs is little beside them: but not over more than a
/// twentieth of the time that it is kept, because a chunk goes as a whole.
const PAIR_FIVES: [Level; 2] = [days(2, 1, 1), days(3, 4, 6)];
const PAIR_HOURS: [Level; 3] = [days(1, 1, 1), days(2, 8, 6), days(3, 32, 6)];
const ALL_FIVES: [Level; 2] = [days(2, 1, 1), days(3, 16, 6)];
const ALL_HOURS: [Level; 3] = [days(1, 1, 1), days(2, 8, 6), days(3, 64, 6)];
const PAIR_DAYS: [Level; 1] = [days(3, 30, 6)];
const ALL_DAYS: [Level; 2] = [days(2, 30, 6), days(3, 360, 24)];

/// What is nearly the same in all spans of a series.
type Numbers = [i64; NUMBERS.len()];

/// Steps, each beside another that it is usually near.
fn numbers(rtts: &Rtts) -> Numbers {
    let RttSteps { min, mean, max, p50, p95, p99 } = rtts.steps();
    let [min, fine, max, p50, p95, p99] = [min, mean, max, p50, p95, p99].map(i64::from);
    [min, fine - min, max - coarse(mean), p50 - coarse(mean), p95 - p50, p99 - p95]
}

fn rtts(packets: u64, [min, mean, max, p50, p95, p99]: Numbers) -> Result<Option<Rtts>, Damaged> {
    let step = |number| u16::try_from(number).map_err(|_| NOT_A_ROLLUP);
    let mean = step(min.wrapping_add(mean))?;
    let p50 = p50.wrapping_add(coarse(mean));
    let p95 = p95.wrapping_add(p50);
    let steps = RttSteps {
        min: step(min)?,
        mean,
        max: step(max.wrapping_add(coarse(mean)))?,
        p50: step(p50)?,
        p95: step(p95)?,
        p99: step(p99.wrapping_add(p95))?,
    };
    Ok((packets != 0).then(|| Rtts::from_steps(packets, steps)))
}

/// The coarse step that the middle of a fine one is in.
fn coarse(fine: u16) -> i64 {
    i64::from(Scale::Coarse.step_of(Scale::Fine.middle_of(fine)))
}

impl<const KIND: u8> RollRecord<KIND> {
    pub(crate) const SPAN: Span = span_of(KIND);

    fn end(&self) -> i64 {
        self.start.0.wrapping_add(Self::SPAN.minutes())
    }
}

impl<const KIND: u8> Record for RollRecord<KIND> {
    const KIND: u8 = KIND;
    const LAYOUT: Layout = match Self::SPAN {
        Span::Day => WITH_MEANS,
        Span::FiveMinutes | Span::Hour => WITHOUT_MEANS,
    };
    const OLDER: &'static [Layout] = match Self::SPAN {
        Span::Day => &[WITHOUT_MEANS],
        Span::FiveMinutes | Span::Hour => &[],
    };
    /// Some tens of megabytes: four days of five minutes of a group of 64 probes that 5 agents ask.
    const CHUNK_RECORDS_MAX: usize = 400_000;
    const LEVELS: &'static [Level] = match KIND {
        PAIR_FIVE => &PAIR_FIVES,
        PAIR_HOUR => &PAIR_HOURS,
        ALL_FIVE => &ALL_FIVES,
        ALL_HOUR => &ALL_HOURS,
        PAIR_DAY => &PAIR_DAYS,
        _ => &ALL_DAYS,
    };

    fn at(&self) -> i64 {
        self.start.start().0
    }

    /// It was made anew of all that is known by now.
    fn supersedes(&self, _: &Self) -> bool {
        true
    }

    fn split(series: &[Self], base: i64) -> Split {
        let mut split = Split::new(Self::LAYOUT);
        let mut rare = Writer::default();
        let usual = usual(series);
        let mut end = model::UtcMicros(base).minute().0;
        rare.signed(series.first().map_or(0, |first| first.start.0.wrapping_sub(end)));
        usual.iter().for_each(|number| rare.signed(*number));
        for (index, record) in series.iter().enumerate() {
            if 0 < index {
                split.push(SKIP, record.start.0.wrapping_sub(end).cast_unsigned());
            }
            end = record.end();
            write(record, &usual, &mut split, &mut rare);
        }
        split.rare = rare.bytes;
        split
    }

    fn join(split: &Split, base: i64) -> Result<Vec<Self>, Damaged> {
        let mut rare = Reader::new(&split.rare);
        let first = model::UtcMicros(base).minute().0.wrapping_add(rare.signed()?);
        let mut usual = [0; NUMBERS.len()];
        for number in &mut usual {
            *number = rare.signed()?;
        }
        let mut columns = Columns::new(split);
        let mut start = first;
        let mut records: Vec<Self> = Vec::with_capacity(split.column(STATE).count());
        for state in split.column(STATE) {
            if let Some(last) = records.last() {
                start = last.end().wrapping_add(columns.next(SKIP)?.cast_signed());
            }
            let start = Minute(start);
            let rollup = read(start, Self::SPAN, (state, &usual), &mut columns, &mut rare)?;
            let means = match &rollup.times {
                Some(rtts) if WITHOUT_MEANS.version < split.version => {
                    read_means((&rollup, rtts), &mut columns)?
                }
                Some(_) | None => None,
            };
            records.push(RollRecord { start, rollup, means });
        }
        Ok(records)
    }
}

/// What the numbers of a series' times usually are: of each, half are at most this.
fn usual<const KIND: u8>(series: &[RollRecord<KIND>]) -> Numbers {
    let times = series.iter().filter_map(|record| record.rollup.times.as_ref());
    let all: Vec<Numbers> = times.map(numbers).collect();
    let mut usual = [0; NUMBERS.len()];
    for (index, usual) in usual.iter_mut().enumerate() {
        let mut of: Vec<i64> = all.iter().filter_map(|one| one.get(index)).copied().collect();
        of.sort_unstable();
        *usual = of.get(of.len() / 2).copied().unwrap_or(0);
    }
    usual
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
pub(super) fn zigzag(value: u64, beside: u64) -> u64 {
    let value = value.wrapping_sub(beside).cast_signed();
    value.cast_unsigned() << 1 ^ (value >> 63).cast_unsigned()
}

pub(super) fn unzigzag(value: u64, beside: u64) -> u64 {
    let value = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
    beside.wrapping_add(value.cast_unsigned())
}

fn write<const KIND: u8>(
    record: &RollRecord<KIND>,
    usual: &Numbers,
    split: &mut Split,
    rare: &mut Writer,
) {
    let RollRecord { start, rollup, means } = record;
    let Rollup { worst, minutes, rounds, not_asked, sent, received, times, .. } = rollup;
    let is_plain = is_plain(rollup, *start, RollRecord::<KIND>::SPAN);
    let mut state = u64::from(*not_asked) << NOT_ASKED_SHIFT;
    if let Some(Worst { verdict, cause, .. }) = worst {
        state |= HAS_WORST | u64::from(code::of_verdict(*verdict).cast_unsigned());
        state |= u64::from(code::of_cause(*cause).cast_unsigned()) << CAUSE_SHIFT;
    }
    state |= if is_plain { IS_PLAIN } else { 0 };
    state |= if times.is_some() { HAS_TIMES } else { 0 };
    split.push(STATE, state);
    split.push(ROUNDS, u64::from(*rounds));
    split.push(SENT, u64::from(*sent));
    split.push(LOST, zigzag(u64::from(*sent), u64::from(*received)));
    if let Some(times) = times {
        split.push(PACKETS, zigzag(times.packets(), u64::from(*received)));
        for ((column, number), usual) in NUMBERS.into_iter().zip(numbers(times)).zip(usual) {
            split.push(column, zigzag(number.cast_unsigned(), usual.cast_unsigned()));
        }
        if RollRecord::<KIND>::LAYOUT.version == WITH_MEANS.version {
            write_means((rollup, times), means.as_ref(), split);
        }
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

fn write_means((rollup, rtts): (&ToldRollup, &Rtts), means: Option<&Sketch>, split: &mut Split) {
    let Some(means) = means else {
        split.push(OTHERS, 0);
        return;
    };
    split.push(COUNTED, zigzag(means.total(), u64::from(rollup.rounds)));
    let median = rtts.steps().p50;
    let (mut others, mut before) = (0, u64::from(median));
    for (step, count) in means.steps().filter(|(step, _)| *step != median) {
        split.push(STEP, zigzag(u64::from(step), before));
        split.push(COUNT, u64::from(count));
        (others, before) = (others + 1, u64::from(step));
    }
    split.push(OTHERS, others + 1);
}

fn read_means(
    (rollup, rtts): (&ToldRollup, &Rtts),
    columns: &mut Columns<'_>,
) -> Result<Option<Sketch>, Damaged> {
    let Some(others) = columns.next(OTHERS)?.checked_sub(1) else { return Ok(None) };
    let mut left = unzigzag(columns.next(COUNTED)?, u64::from(rollup.rounds));
    let (median, mut means) = (rtts.steps().p50, Sketch::default());
    let mut before = u64::from(median);
    for _ in 0..others {
        let count: u32 = columns.small(COUNT)?;
        left = left.checked_sub(u64::from(count)).ok_or(NOT_A_ROLLUP)?;
        before = unzigzag(columns.next(STEP)?, before);
        means.add_step(u16::try_from(before).map_err(|_| NOT_A_ROLLUP)?, count);
    }
    means.add_step(median, u32::try_from(left).map_err(|_| NOT_A_ROLLUP)?);
    Ok(Some(means))
}

/// Whether every minute of the span is in it and has its worst verdict; or none is.
fn is_plain(rollup: &ToldRollup, start: Minute, span: Span) -> bool {
    let mut plain = ToldRollup::default();
    plain.worst = rollup.worst;
    make_plain(&mut plain, start, span);
    let is_same = (plain.minutes, plain.worst) == (rollup.minutes, rollup.worst);
    is_same && plain.runs().eq(rollup.runs())
}

fn make_plain(rollup: &mut ToldRollup, start: Minute, span: Span) {
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
    (state, usual): (u64, &Numbers),
    columns: &mut Columns<'_>,
    rare: &mut Reader<'_>,
) -> Result<ToldRollup, Damaged> {
    let field = |shift: u32, bits: u32| (state >> shift) & ((1 << bits) - 1);
    let code_of = |number| i16::try_from(number).map_err(|_| NOT_A_ROLLUP);
    let mut rollup = ToldRollup::default();
    rollup.rounds = columns.small(ROUNDS)?;
    rollup.not_asked = u32::try_from(state >> NOT_ASKED_SHIFT).map_err(|_| NOT_A_ROLLUP)?;
    rollup.sent = columns.small(SENT)?;
    let lost = unzigzag(columns.next(LOST)?, 0);
    let received = u64::from(rollup.sent).wrapping_sub(lost);
    rollup.received = u32::try_from(received).map_err(|_| NOT_A_ROLLUP)?;
    if state & HAS_TIMES != 0 {
        let packets = unzigzag(columns.next(PACKETS)?, u64::from(rollup.received));
        let mut numbers = *usual;
        for (number, column) in numbers.iter_mut().zip(NUMBERS) {
            *number = unzigzag(columns.next(column)?, number.cast_unsigned()).cast_signed();
        }
        rollup.times = rtts(packets, numbers)?;
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
