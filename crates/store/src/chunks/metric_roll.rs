//! Roll-ups of gauges and counters as columns.
//!
//! What a counter shows at the end of a span is mostly what it showed at its beginning and what it
//! counted since, and its next span begins a little above.

use model::{Count, CounterRollup, GaugeRollup, MetricRollup, Minute, Reading, Span, UtcMicros};

use super::{
    AllDay, Damaged, Layout, Level, PairFive, PairHour, Reader, Record, Split, Writer,
    metric::{Counters, NOT_A_METRIC, Scale},
    rollup::{unzigzag, zigzag},
};

/// Kinds of chunks; pinned.
pub(crate) const METRIC_FIVE: u8 = 10;
pub(crate) const METRIC_HOUR: u8 = 11;
pub(crate) const METRIC_DAY: u8 = 12;

/// A roll-up of a metric; of which series and span, its kind and place say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MetricRollRecord<const KIND: u8> {
    pub(crate) start: Minute,
    pub(crate) rollup: MetricRollup,
}

/// Spans between the end of the one before and this one.
const SKIP: usize = 0;
/// What there is to read: nearly always the same number.
const SHAPE: usize = 1;
const COUNT: usize = 2;
/// When its last sample was, since the start of the span.
const LAST_AT: usize = 3;
/// Of a gauge: the last, from that of the span before; how far the least lies below it and the
/// largest above; the sum, from that of the span before.
const LAST: usize = 4;
const BELOW: usize = 5;
const ABOVE: usize = 6;
const SUM: usize = 7;
/// Of a counter: the first, from the last before; what it counted; the last, from what that makes;
/// when the first was.
const FIRST: usize = 8;
const INCREASE: usize = 9;
const REST: usize = 10;
const FIRST_AT: usize = 11;

/// Bits of a shape; those of its first and its last count lie above.
const IS_COUNTER: u64 = 1;
/// How often it was reset stands among the rare.
const HAS_RESETS: u64 = 2;
const FIRST_SHIFT: u32 = 8;
const LAST_SHIFT: u32 = 16;

const fn span_of(kind: u8) -> Span {
    match kind {
        METRIC_FIVE => Span::FiveMinutes,
        METRIC_HOUR => Span::Hour,
        _ => Span::Day,
    }
}

impl<const KIND: u8> MetricRollRecord<KIND> {
    pub(crate) const SPAN: Span = span_of(KIND);
}

impl<const KIND: u8> Record for MetricRollRecord<KIND> {
    const KIND: u8 = KIND;
    const LAYOUT: Layout = Layout { version: 2, columns: 12, is_timed: false };
    const LEVELS: &'static [Level] = match Self::SPAN {
        Span::FiveMinutes => PairFive::LEVELS,
        Span::Hour => PairHour::LEVELS,
        Span::Day => AllDay::LEVELS,
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
        let mut end = UtcMicros(base).minute().0;
        rare.signed(series.first().map_or(0, |first| first.start.0.wrapping_sub(end)));
        let gauges = || series.iter().filter_map(|record| gauge_of(&record.rollup));
        let mut form = Form {
            scale: Scale::of(gauges().flat_map(|gauge| [gauge.min, gauge.max, gauge.last])),
            sums: Scale::of(gauges().map(|gauge| gauge.sum)),
            ..Form::default()
        };
        rare.bytes.extend([form.scale.code(), form.sums.code()]);
        for (index, record) in series.iter().enumerate() {
            if 0 < index {
                split.push(SKIP, record.start.0.wrapping_sub(end).cast_unsigned());
            }
            end = record.start.0.wrapping_add(Self::SPAN.minutes());
            let start = record.start.start();
            match &record.rollup {
                MetricRollup::Gauge(gauge) => form.write_gauge(gauge, start, &mut split),
                MetricRollup::Counter(counter) => {
                    form.write_counter(counter, start, &mut split, &mut rare);
                }
            }
        }
        split.rare = rare.bytes;
        split
    }

    fn join(split: &Split, base: i64) -> Result<Vec<Self>, Damaged> {
        let mut rare = Reader::new(&split.rare);
        let mut start = UtcMicros(base).minute().0.wrapping_add(rare.signed()?);
        let mut form = Form {
            scale: Scale::parse(rare.byte()?)?,
            sums: Scale::parse(rare.byte()?)?,
            ..Form::default()
        };
        let mut columns = Columns { columns: split.columns.iter().map(|c| c.iter()).collect() };
        let mut records: Vec<Self> = Vec::with_capacity(split.column(SHAPE).count());
        for shape in split.column(SHAPE) {
            if !records.is_empty() {
                let skip = columns.next(SKIP)?.cast_signed();
                start = start.wrapping_add(Self::SPAN.minutes()).wrapping_add(skip);
            }
            let at = Minute(start).start();
            let rollup = if shape & IS_COUNTER == 0 {
                MetricRollup::Gauge(form.read_gauge(at, &mut columns)?)
            } else {
                MetricRollup::Counter(form.read_counter(at, shape, &mut columns, &mut rare)?)
            };
            records.push(MetricRollRecord { start: Minute(start), rollup });
        }
        Ok(records)
    }
}

fn gauge_of(rollup: &MetricRollup) -> Option<&GaugeRollup> {
    match rollup {
        MetricRollup::Gauge(gauge) => Some(gauge),
        MetricRollup::Counter(_) => None,
    }
}

/// How the values are written, and what the span before ended with.
struct Form {
    scale: Scale,
    sums: Scale,
    last: u64,
    sum: u64,
    counter: Counters,
}

impl Default for Form {
    fn default() -> Form {
        let (scale, sums) = (Scale::Bits, Scale::Bits);
        Form { scale, sums, last: 0, sum: 0, counter: Counters::default() }
    }
}

/// Takes the values of each column one by one.
struct Columns<'a> {
    columns: Vec<std::slice::Iter<'a, u64>>,
}

impl Columns<'_> {
    fn next(&mut self, column: usize) -> Result<u64, Damaged> {
        let value = self.columns.get_mut(column).and_then(Iterator::next);
        value.copied().ok_or(NOT_A_METRIC)
    }

    fn small(&mut self, column: usize) -> Result<u32, Damaged> {
        u32::try_from(self.next(column)?).map_err(|_| NOT_A_METRIC)
    }

    fn at(&mut self, column: usize, start: UtcMicros) -> Result<UtcMicros, Damaged> {
        Ok(UtcMicros(start.0.wrapping_add(self.next(column)?.cast_signed())))
    }
}

fn since(at: UtcMicros, start: UtcMicros) -> u64 {
    at.0.wrapping_sub(start.0).cast_unsigned()
}

impl Form {
    fn write_gauge(&mut self, gauge: &GaugeRollup, start: UtcMicros, split: &mut Split) {
        let GaugeRollup { count, min, max, sum, last, last_at } = *gauge;
        let [min, max, last] = [min, max, last].map(|value| self.scale.number(value));
        let sum = self.sums.number(sum);
        split.push(SHAPE, 0);
        split.push(COUNT, u64::from(count));
        split.push(LAST_AT, since(last_at, start));
        split.push(LAST, zigzag(last, self.last));
        split.push(BELOW, zigzag(last, min));
        split.push(ABOVE, zigzag(max, last));
        split.push(SUM, zigzag(sum, self.sum));
        (self.last, self.sum) = (last, sum);
    }

    fn read_gauge(
        &mut self,
        start: UtcMicros,
        columns: &mut Columns<'_>,
    ) -> Result<GaugeRollup, Damaged> {
        let (count, last_at) = (columns.small(COUNT)?, columns.at(LAST_AT, start)?);
        self.last = unzigzag(columns.next(LAST)?, self.last);
        let min = self.last.wrapping_sub(unzigzag(columns.next(BELOW)?, 0));
        let max = unzigzag(columns.next(ABOVE)?, self.last);
        self.sum = unzigzag(columns.next(SUM)?, self.sum);
        let of = |number| -> Result<Reading, Damaged> { self.scale.reading(number) };
        let (min, max, last) = (of(min)?, of(max)?, of(self.last)?);
        Ok(GaugeRollup { count, min, max, sum: self.sums.reading(self.sum)?, last, last_at })
    }

    fn write_counter(
        &mut self,
        counter: &CounterRollup,
        start: UtcMicros,
        split: &mut Split,
        rare: &mut Writer,
    ) {
        let CounterRollup { count, first, first_at, last, last_at, increase, resets } = *counter;
        split.push(FIRST, zigzag(first.total, self.counter.total));
        let mut shape = IS_COUNTER | self.counter.write(first, rare) << FIRST_SHIFT;
        shape |= self.counter.write(last, rare) << LAST_SHIFT;
        if resets != 0 {
            shape |= HAS_RESETS;
            rare.number(u64::from(resets));
        }
        split.push(SHAPE, shape);
        split.push(COUNT, u64::from(count));
        split.push(FIRST_AT, since(first_at, start));
        split.push(LAST_AT, since(last_at, start));
        split.push(INCREASE, increase);
        split.push(REST, zigzag(last.total, first.total.wrapping_add(increase)));
    }

    fn read_counter(
        &mut self,
        start: UtcMicros,
        shape: u64,
        columns: &mut Columns<'_>,
        rare: &mut Reader<'_>,
    ) -> Result<CounterRollup, Damaged> {
        let total = unzigzag(columns.next(FIRST)?, self.counter.total);
        let first = self.counter.read(total, shape >> FIRST_SHIFT & 0xFF, rare)?;
        let increase = columns.next(INCREASE)?;
        let total = unzigzag(columns.next(REST)?, first.total.wrapping_add(increase));
        let last: Count = self.counter.read(total, shape >> LAST_SHIFT & 0xFF, rare)?;
        let resets = if shape & HAS_RESETS == 0 { 0 } else { rare.small()? };
        let (first_at, last_at) = (columns.at(FIRST_AT, start)?, columns.at(LAST_AT, start)?);
        let count = columns.small(COUNT)?;
        Ok(CounterRollup { count, first, first_at, last, last_at, increase, resets })
    }
}
