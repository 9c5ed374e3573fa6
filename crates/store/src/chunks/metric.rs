//! Samples of gauges and counters as columns.
//!
//! What a series shows changes little from one sample to the next. Gauges are mostly whole numbers,
//! or millionths of one, as measured: they are written as such where that loses nothing, and by
//! their bits where it would.

use model::{Count, MetricValue, Reading, UtcMicros};

use super::{
    Damaged, Layout, Reader, Record, Split, Writer,
    rollup::{unzigzag, zigzag},
};

/// What a series showed at an instant; of which series, its key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetricRecord {
    pub(crate) at: UtcMicros,
    pub(crate) value: MetricValue,
}

/// Time since the sample before.
const GAP: usize = 0;
/// What there is to read: nearly always the same number.
const SHAPE: usize = 1;
/// How far it is from the one before.
const VALUE: usize = 2;

/// Bits of a shape.
const IS_COUNTER: u64 = 1;
const IS_32_BIT: u64 = 2;
/// Its epoch is another than that of the counter before it, and stands among the rare.
const HAS_EPOCH: u64 = 4;

pub(super) const NOT_A_METRIC: Damaged = Damaged("a metric is none");

impl Record for MetricRecord {
    const KIND: u8 = 9;
    const LAYOUT: Layout = Layout { version: 2, columns: 3, is_timed: false };

    fn at(&self) -> i64 {
        self.at.0
    }

    /// What was heard of an instant first, stays.
    fn supersedes(&self, _: &MetricRecord) -> bool {
        false
    }

    fn split(series: &[MetricRecord], base: i64) -> Split {
        let mut split = Split::new(MetricRecord::LAYOUT);
        let mut rare = Writer::default();
        rare.signed(series.first().map_or(0, |first| first.at.0.wrapping_sub(base)));
        let gauges = series.iter().filter_map(|record| match record.value {
            MetricValue::Gauge(value) => Some(value),
            MetricValue::Counter(_) => None,
        });
        let scale = Scale::of(gauges);
        rare.bytes.push(scale.code());
        let (mut gauge, mut counter) = (0, Counters::default());
        for pair in series.windows(2) {
            let [before, record] = pair else { continue };
            split.push(GAP, record.at.0.wrapping_sub(before.at.0).cast_unsigned());
        }
        for record in series {
            match record.value {
                MetricValue::Gauge(value) => {
                    let number = scale.number(value);
                    split.push(SHAPE, 0);
                    split.push(VALUE, zigzag(number, gauge));
                    gauge = number;
                }
                MetricValue::Counter(count) => {
                    let before = counter.total;
                    split.push(SHAPE, IS_COUNTER | counter.write(count, &mut rare));
                    split.push(VALUE, zigzag(count.total, before));
                }
            }
        }
        split.rare = rare.bytes;
        split
    }

    fn join(split: &Split, base: i64) -> Result<Vec<MetricRecord>, Damaged> {
        let mut rare = Reader::new(&split.rare);
        let mut at = base.wrapping_add(rare.signed()?);
        let scale = Scale::parse(rare.byte()?)?;
        let (mut gaps, mut values) = (split.column(GAP), split.column(VALUE));
        let (mut gauge, mut counter) = (0, Counters::default());
        let mut records = Vec::with_capacity(split.column(SHAPE).count());
        for shape in split.column(SHAPE) {
            if !records.is_empty() {
                at = at.wrapping_add(gaps.next().ok_or(NOT_A_METRIC)?.cast_signed());
            }
            let value = values.next().ok_or(NOT_A_METRIC)?;
            let value = if shape & IS_COUNTER == 0 {
                gauge = unzigzag(value, gauge);
                MetricValue::Gauge(scale.reading(gauge)?)
            } else {
                let total = unzigzag(value, counter.total);
                MetricValue::Counter(counter.read(total, shape, &mut rare)?)
            };
            records.push(MetricRecord { at: UtcMicros(at), value });
        }
        Ok(records)
    }
}

/// What is known of a counter from the sample before.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) total: u64,
    epoch: u32,
}

impl Counters {
    /// Returns the bits of its shape.
    pub(super) fn write(&mut self, count: Count, rare: &mut Writer) -> u64 {
        let Count { total, epoch, is_32_bit } = count;
        let mut shape = if is_32_bit { IS_32_BIT } else { 0 };
        if epoch != self.epoch {
            shape |= HAS_EPOCH;
            rare.number(u64::from(epoch));
        }
        *self = Counters { total, epoch };
        shape
    }

    pub(super) fn read(
        &mut self,
        total: u64,
        shape: u64,
        rare: &mut Reader<'_>,
    ) -> Result<Count, Damaged> {
        let epoch = if shape & HAS_EPOCH == 0 { self.epoch } else { rare.small()? };
        *self = Counters { total, epoch };
        Ok(Count { total, epoch, is_32_bit: shape & IS_32_BIT != 0 })
    }
}

/// How numbers of gauges are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// As whole numbers of 1, of a thousandth, of a millionth.
    Parts(u32),
    Bits,
}

const PARTS: [u32; 3] = [1, 1_000, 1_000_000];
const BITS: u8 = 255;
/// Beyond, whole numbers are not all there.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl Scale {
    /// The coarsest that loses nothing.
    pub(super) fn of(readings: impl Iterator<Item = Reading> + Clone) -> Scale {
        let fits = |parts: &u32| {
            readings.clone().all(|value| {
                let number = whole(value, *parts);
                number.is_some_and(|n| part(n, *parts).to_bits() == value.get().to_bits())
            })
        };
        PARTS.into_iter().find(fits).map_or(Scale::Bits, Scale::Parts)
    }

    pub(super) fn code(self) -> u8 {
        let place = |parts| PARTS.iter().position(|known| *known == parts);
        match self {
            Scale::Parts(parts) => place(parts).and_then(|n| u8::try_from(n).ok()).unwrap_or(BITS),
            Scale::Bits => BITS,
        }
    }

    pub(super) fn parse(code: u8) -> Result<Scale, Damaged> {
        match PARTS.get(usize::from(code)) {
            Some(parts) => Ok(Scale::Parts(*parts)),
            None if code == BITS => Ok(Scale::Bits),
            None => Err(NOT_A_METRIC),
        }
    }

    pub(super) fn number(self, value: Reading) -> u64 {
        match self {
            Scale::Parts(parts) => whole(value, parts).unwrap_or(0).cast_unsigned(),
            Scale::Bits => value.get().to_bits(),
        }
    }

    pub(super) fn reading(self, number: u64) -> Result<Reading, Damaged> {
        let value = match self {
            Scale::Parts(parts) => part(number.cast_signed(), parts),
            Scale::Bits => f64::from_bits(number),
        };
        Reading::new(value).ok_or(NOT_A_METRIC)
    }
}

/// The nearest whole number of parts; `None` if it is too large to be exact.
fn whole(value: Reading, parts: u32) -> Option<i64> {
    let number = (value.get() * f64::from(parts)).round();
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number of 53 bits")]
    (number.abs() <= WHOLE_MAX).then_some(number as i64)
}

#[expect(clippy::cast_precision_loss, reason = "what was written has 53 bits")]
fn part(number: i64, parts: u32) -> f64 {
    number as f64 / f64::from(parts)
}
