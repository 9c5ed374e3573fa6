//! Times in which something was the matter, asked about minute by minute.
//!
//! A range of years has as many minutes as it may have such times, so each question is answered by
//! one search, however many there are.

use model::UtcMicros;

/// Times, each from its first to its last moment; they may overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// From, to, and the latest `to` of all up to here; in the order of `from`.
    all: Vec<(UtcMicros, UtcMicros, UtcMicros)>,
}

/// No time at all.
pub(super) static NONE: Spans = Spans { all: Vec::new() };

impl Spans {
    /// Puts them in order.
    pub(super) fn new(spans: impl Iterator<Item = (UtcMicros, UtcMicros)>) -> Spans {
        let mut sorted: Vec<_> = spans.collect();
        sorted.sort_unstable();
        let mut latest = UtcMicros(i64::MIN);
        let with_latest = |(from, to): (UtcMicros, UtcMicros)| {
            latest = latest.max(to);
            (from, to, latest)
        };
        Spans { all: sorted.into_iter().map(with_latest).collect() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (UtcMicros, UtcMicros)> {
        self.all.iter().map(|(from, to, _)| (*from, *to))
    }

    /// The latest end of those that begin before a moment.
    pub(super) fn latest_end(&self, before: UtcMicros) -> Option<UtcMicros> {
        let count = self.all.partition_point(|(from, ..)| *from < before);
        self.all.get(count.checked_sub(1)?).map(|(.., latest)| *latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against looking at each.
    #[test]
    fn the_latest_end_is_that_of_any_that_has_begun() {
        let mut dice = 9_u64;
        let mut below = |limit: i64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            i64::try_from(dice >> 33).unwrap() % limit
        };
        for count in 0..40 {
            let spans: Vec<_> = (0..count)
                .map(|_| {
                    let from = below(50);
                    (UtcMicros(from), UtcMicros(from + below(30)))
                })
                .collect();
            let sorted = Spans::new(spans.iter().copied());
            for at in (0..60).map(UtcMicros) {
                let begun = spans.iter().filter(|(from, _)| *from < at);
                assert_eq!(sorted.latest_end(at), begun.map(|(_, to)| *to).max(), "{at:?}");
            }
        }
    }
}
