//! One series of values that lie side by side, and reading it at a moment or over a window.

use std::ops::Range;

use super::{Labels, ast::Over};

/// How long a value that is still being written down is answered with the one before.
const PENDING_MS_MAX: i64 = 5 * 60_000;

/// Values of spans of one length, without a hole between them.
///
/// A value is told at the end of its span, when it is known; that of a span which has not ended is
/// told now.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// When the first span begins, and how long each is.
    pub(crate) start_ms: i64,
    pub(crate) span_ms: i64,
    /// The moment at which the last ends, if that was cut short.
    pub(crate) now_ms: i64,
    /// `None`: nothing is known.
    pub(crate) values: Vec<Option<f64>>,
    /// From here on values may still be on their way.
    pub(crate) pending_from: usize,
    /// Each value is what a counter grew by in its span.
    pub(crate) is_counter: bool,
}

impl Series {
    /// When a value is told.
    pub(crate) fn end_ms(&self, index: usize) -> i64 {
        let spans = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
        let end = self.start_ms.saturating_add(self.span_ms.saturating_mul(spans));
        end.min(self.now_ms)
    }

    /// How many values are told by then.
    fn told_by(&self, at_ms: i64) -> usize {
        if self.now_ms <= at_ms {
            return self.values.len();
        }
        let whole = at_ms.saturating_sub(self.start_ms).div_euclid(self.span_ms);
        usize::try_from(whole).unwrap_or(0).min(self.values.len())
    }

    /// The value that holds at a moment.
    ///
    /// 1 - The last that is told by then, until the next one is due.
    /// 2 - If that is still on its way, the one before, for a few minutes.
    pub(super) fn at(&self, at_ms: i64) -> Option<f64> {
        let last = self.told_by(at_ms).checked_sub(1)?;
        if self.end_ms(last).saturating_add(self.span_ms) <= at_ms {
            return None;
        }
        let is_fresh = |index: &usize| at_ms - self.end_ms(*index) <= PENDING_MS_MAX;
        let mut index = last;
        loop {
            let value = self.values.get(index).copied().flatten();
            if value.is_some() || index < self.pending_from {
                return value;
            }
            index = index.checked_sub(1).filter(is_fresh)?;
        }
    }

    /// Where the values of a window lie: those told after its beginning and by its end.
    ///
    /// No more of them than there are spans in it: the last may be told before it ends, and the
    /// first began before the window then.
    fn window(&self, end_ms: i64, range_ms: i64) -> Range<usize> {
        let end = self.told_by(end_ms);
        let spans = range_ms.saturating_add(self.span_ms - 1).div_euclid(self.span_ms);
        let first = end.saturating_sub(usize::try_from(spans).unwrap_or(0));
        self.told_by(end_ms.saturating_sub(range_ms)).max(first).min(end)..end
    }

    /// The values of a window with when they are told.
    pub(super) fn samples(&self, end_ms: i64, range_ms: i64) -> Vec<(i64, f64)> {
        let told = |index| Some((self.end_ms(index), self.values.get(index).copied().flatten()?));
        self.window(end_ms, range_ms).filter_map(told).collect()
    }

    /// What a window is made into; `None` if it holds no value.
    pub(super) fn over(
        &self,
        function: Over,
        param: f64,
        (end_ms, range_ms): (i64, i64),
    ) -> Option<f64> {
        let window = self.window(end_ms, range_ms);
        let values = self.values.get(window.clone()).unwrap_or_default();
        let mut known = values.iter().copied().flatten();
        let count = known.clone().count();
        if count == 0 {
            return None;
        }
        let sum = || known.clone().sum::<f64>();
        Some(match function {
            Over::Avg => sum() / as_float(count),
            Over::Sum | Over::Increase => sum(),
            Over::Count => as_float(count),
            Over::Present => 1.0,
            Over::Min => known.reduce(f64::min)?,
            Over::Max => known.reduce(f64::max)?,
            Over::Last => known.next_back()?,
            Over::Quantile => quantile(param, known.collect()),
            Over::Rate => sum() / self.counted_s(window),
        })
    }

    /// How long the spans of a window lasted of which something is known, in seconds.
    fn counted_s(&self, window: Range<usize>) -> f64 {
        let known = window.filter(|index| self.values.get(*index).is_some_and(Option::is_some));
        let ms = known.map(|index| {
            let before = i64::try_from(index).unwrap_or(i64::MAX);
            let start = self.start_ms.saturating_add(self.span_ms.saturating_mul(before));
            self.end_ms(index).saturating_sub(start)
        });
        seconds(ms.sum::<i64>().max(1))
    }
}

/// Between the two nearest values, as Prometheus does it.
pub(super) fn quantile(share: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || share.is_nan() {
        return f64::NAN;
    }
    if share < 0.0 {
        return f64::NEG_INFINITY;
    }
    if 1.0 < share {
        return f64::INFINITY;
    }
    // What is no number counts as less than any, whichever sign the machine gave it.
    values.sort_unstable_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = share * as_float(values.len() - 1);
    let below = whole(rank.floor());
    let at = |index: usize| values.get(index.min(values.len() - 1)).copied().unwrap_or(f64::NAN);
    let weight = rank - rank.floor();
    at(below) * (1.0 - weight) + at(below + 1) * weight
}

#[expect(clippy::cast_precision_loss, reason = "counts of values are far below 2^52")]
pub(super) fn as_float(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "times in milliseconds are far below 2^52")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has a number from 0 to some thousands"
)]
pub(super) fn whole(number: f64) -> usize {
    number as usize
}
