//! Metrics: what a thing says of itself in numbers, as gauges and counters.
//!
//! A series is a thing, a canonical name and labels. Names follow OpenMetrics: words in lower case
//! joined by `_`, the unit last, and `_total` behind it if it is a counter. A counter only grows;
//! what it grew by between two samples is [`Count::step_to`], which knows that it may begin again.

use std::fmt;

use crate::{AgentId, UtcMicros};

/// What a series is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricSubject {
    Agent(AgentId),
}

impl MetricSubject {
    /// The code as stored, and the number beside it.
    pub fn parts(self) -> (&'static str, u32) {
        match self {
            MetricSubject::Agent(agent) => ("agent", agent.0),
        }
    }
}

/// How the values of a series are to be read; pinned in its text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// A level, such as a temperature.
    Gauge,
    /// A count that only grows, of which nobody says how wide it is.
    Counter,
    /// A count that begins at zero again after 2^32 - 1.
    Counter32,
}

impl MetricKind {
    pub const ALL: [MetricKind; 3] =
        [MetricKind::Gauge, MetricKind::Counter, MetricKind::Counter32];

    /// The code as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
            MetricKind::Counter32 => "counter32",
        }
    }

    pub fn parse(text: &str) -> Option<MetricKind> {
        MetricKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A canonical name.
///
/// Invariant: 1 to 100 bytes; small letters, digits and `_`; starts with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricName(Box<str>);

/// Labels of a series, in the order of their keys, none twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

/// Why a text is no name or label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    #[error("a metric's name has 1 to {} bytes", MetricName::BYTES_MAX)]
    Length,
    #[error("a metric's name has small letters, digits and `_`, and starts with a letter")]
    Name,
    #[error("a label's value has at most {} bytes and no control characters", Labels::BYTES_MAX)]
    Label,
    #[error("a series has at most {} labels, none twice", Labels::COUNT_MAX)]
    Labels,
}

/// Units that a name may end with. All are base units, but for those of counters that would lose
/// their fraction.
const UNITS: [&str; 5] = ["seconds", "microseconds", "bytes", "ratio", "celsius"];

impl MetricName {
    /// Long enough for any name that says what it is of and its unit.
    pub const BYTES_MAX: usize = 100;

    /// # Errors
    ///
    /// [`MetricError`] says which rule is broken.
    pub fn parse(text: &str) -> Result<MetricName, MetricError> {
        if text.is_empty() || MetricName::BYTES_MAX < text.len() {
            return Err(MetricError::Length);
        }
        if !is_word(text) {
            return Err(MetricError::Name);
        }
        Ok(MetricName(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The unit that the name ends with; empty for a plain number.
    pub fn unit(&self) -> &str {
        let name = self.0.strip_suffix("_total").unwrap_or(&self.0);
        let last = name.rsplit('_').next().unwrap_or_default();
        if UNITS.contains(&last) { last } else { "" }
    }
}

fn is_word(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && text.bytes().all(is_allowed)
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Labels {
    /// Of one series: what tells it from its neighbours, not a description.
    pub const COUNT_MAX: usize = 8;
    /// Of one value: an interface's description fits.
    pub const BYTES_MAX: usize = 128;

    /// Takes labels in any order.
    ///
    /// # Errors
    ///
    /// [`MetricError`] says which rule is broken.
    pub fn new<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Labels, MetricError> {
        let mut held: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (key, value) in labels {
            if MetricName::BYTES_MAX < key.len() || !is_word(key) {
                return Err(MetricError::Name);
            }
            if Labels::BYTES_MAX < value.len() || value.chars().any(char::is_control) {
                return Err(MetricError::Label);
            }
            if held.len() == Labels::COUNT_MAX || held.iter().any(|(held, _)| **held == *key) {
                return Err(MetricError::Labels);
            }
            held.push((key.into(), value.into()));
        }
        held.sort_unstable();
        Ok(Labels(held.into()))
    }

    /// Reads what `Display` writes.
    ///
    /// # Errors
    ///
    /// [`MetricError`] says which rule is broken.
    pub fn parse(text: &str) -> Result<Labels, MetricError> {
        let mut labels: Vec<(String, String)> = Vec::new();
        let mut rest = text.chars();
        while !rest.as_str().is_empty() {
            let key: String = rest.by_ref().take_while(|c| *c != '=').collect();
            if rest.next() != Some('"') {
                return Err(MetricError::Label);
            }
            let mut value = String::new();
            loop {
                match rest.next().ok_or(MetricError::Label)? {
                    '"' => break,
                    '\\' => value.push(rest.next().ok_or(MetricError::Label)?),
                    other => value.push(other),
                }
            }
            labels.push((key, value));
            // Behind a comma there is one more.
            if !rest.as_str().is_empty() && (rest.next() != Some(',') || rest.as_str().is_empty()) {
                return Err(MetricError::Label);
            }
        }
        Labels::new(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

/// As OpenMetrics writes them, without the braces: `key="value",…`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "{}{key}=\"{value}\"", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A finite number with one form: neither NaN nor the negative zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Reading(f64);

// Without NaN each is equal to itself.
impl Eq for Reading {}

impl Reading {
    /// `None` if it is not finite.
    pub fn new(value: f64) -> Option<Reading> {
        // Adding zero makes the negative one positive.
        value.is_finite().then_some(Reading(value + 0.0))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl From<u32> for Reading {
    fn from(value: u32) -> Reading {
        Reading(value.into())
    }
}

/// A counter at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub total: u64,
    /// Another one means that it began again meanwhile, whatever the total says: a number made of
    /// what names the process or the boot that counts.
    pub epoch: u32,
    /// Whether it is known to have 32 bits.
    pub is_32_bit: bool,
}

/// What a counter did between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it counted, at least: what it had counted when it was reset, nobody saw.
    pub increase: u64,
    pub is_reset: bool,
}

/// A 32-bit counter that is lower than before went round if it then grew by less than this.
const WRAP_STEP_MAX: u64 = 1 << 31;

impl Count {
    /// What it counted until a later sample.
    ///
    /// 1 - Another epoch: it was reset, and counted what it shows.
    /// 2 - Not lower than before: the difference.
    /// 3 - Lower, known to have 32 bits, and less than half its range on if it went round: it did,
    ///     and what it counted goes across.
    /// 4 - Lower otherwise: it was reset, and counted what it shows.
    pub fn step_to(self, later: Count) -> Step {
        let reset = Step { increase: later.total, is_reset: true };
        if self.epoch != later.epoch {
            return reset;
        }
        if let Some(increase) = later.total.checked_sub(self.total) {
            return Step { increase, is_reset: false };
        }
        let across = later.total.wrapping_add(1 << 32).wrapping_sub(self.total);
        if self.is_32_bit && later.is_32_bit && across < WRAP_STEP_MAX {
            return Step { increase: across, is_reset: false };
        }
        reset
    }
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricValue {
    Gauge(Reading),
    Counter(Count),
}

impl MetricValue {
    pub fn kind(self) -> MetricKind {
        match self {
            MetricValue::Gauge(_) => MetricKind::Gauge,
            MetricValue::Counter(Count { is_32_bit: false, .. }) => MetricKind::Counter,
            MetricValue::Counter(Count { is_32_bit: true, .. }) => MetricKind::Counter32,
        }
    }
}

/// One value of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSample {
    pub name: MetricName,
    pub labels: Labels,
    pub at: UtcMicros,
    pub value: MetricValue,
}

/// What was heard of one thing at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricBatch {
    pub subject: MetricSubject,
    pub samples: Vec<MetricSample>,
}

/// What a gauge showed in a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaugeRollup {
    /// Samples; never zero.
    pub count: u32,
    pub min: Reading,
    pub max: Reading,
    /// Of all samples.
    pub sum: Reading,
    pub last: Reading,
    pub last_at: UtcMicros,
}

impl GaugeRollup {
    pub fn mean(&self) -> f64 {
        self.sum.0 / f64::from(self.count.max(1))
    }
}

/// What a counter counted in a span of time, from its first sample to its last.
///
/// What it counted since the sample before the span is not in it: see [`Count::step_to`] and
/// [`CounterRollup::since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterRollup {
    /// Samples; never zero.
    pub count: u32,
    pub first: Count,
    pub first_at: UtcMicros,
    pub last: Count,
    pub last_at: UtcMicros,
    pub increase: u64,
    pub resets: u32,
}

impl CounterRollup {
    /// What it counted since the span before, and in how many microseconds: without one, since its
    /// own first sample. So no increase is lost between spans, nor is it counted in two, and a time
    /// of silence lowers the rate of what follows but is no burst.
    pub fn since(&self, before: Option<&CounterRollup>) -> (u64, u64) {
        let (step, from) = match before {
            Some(before) => (before.last.step_to(self.first).increase, before.last_at),
            None => (0, self.first_at),
        };
        let us = self.last_at.0.saturating_sub(from.0);
        (self.increase.saturating_add(step), u64::try_from(us).unwrap_or(0))
    }
}

/// What the samples of a span add up to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricRollup {
    Gauge(GaugeRollup),
    Counter(CounterRollup),
}

impl MetricRollup {
    /// Of one sample.
    pub fn of(at: UtcMicros, value: MetricValue) -> MetricRollup {
        match value {
            MetricValue::Gauge(value) => MetricRollup::Gauge(GaugeRollup {
                count: 1,
                min: value,
                max: value,
                sum: value,
                last: value,
                last_at: at,
            }),
            MetricValue::Counter(count) => MetricRollup::Counter(CounterRollup {
                count: 1,
                first: count,
                first_at: at,
                last: count,
                last_at: at,
                increase: 0,
                resets: 0,
            }),
        }
    }

    pub fn count(&self) -> u32 {
        match self {
            MetricRollup::Gauge(gauge) => gauge.count,
            MetricRollup::Counter(counter) => counter.count,
        }
    }

    /// Adds what follows. However samples are cut, what they add up to is the same, but for the
    /// rounding of a gauge's sum.
    ///
    /// A series has one kind; of two, the earlier stays.
    pub fn push(&mut self, later: &MetricRollup) {
        match (self, later) {
            (MetricRollup::Gauge(held), MetricRollup::Gauge(later)) => held.push(later),
            (MetricRollup::Counter(held), MetricRollup::Counter(later)) => held.push(later),
            (MetricRollup::Gauge(_), MetricRollup::Counter(_))
            | (MetricRollup::Counter(_), MetricRollup::Gauge(_)) => (),
        }
    }
}

impl GaugeRollup {
    fn push(&mut self, later: &GaugeRollup) {
        self.count = self.count.saturating_add(later.count);
        self.min = if later.min < self.min { later.min } else { self.min };
        self.max = if self.max < later.max { later.max } else { self.max };
        // The sum of numbers near the largest may be no number.
        self.sum = Reading::new(self.sum.0 + later.sum.0).unwrap_or(self.sum);
        self.last = later.last;
        self.last_at = later.last_at;
    }
}

impl CounterRollup {
    fn push(&mut self, later: &CounterRollup) {
        let step = self.last.step_to(later.first);
        self.count = self.count.saturating_add(later.count);
        self.increase = self.increase.saturating_add(step.increase).saturating_add(later.increase);
        let resets = self.resets.saturating_add(later.resets);
        self.resets = resets.saturating_add(u32::from(step.is_reset));
        self.last = later.last;
        self.last_at = later.last_at;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counter(total: u64, epoch: u32, is_32_bit: bool) -> Count {
        Count { total, epoch, is_32_bit }
    }

    #[test]
    fn a_drop_is_a_reset_and_only_a_known_width_goes_round() {
        let near = u64::from(u32::MAX) - 9;
        let step = |is_32_bit, from, to| {
            let Step { increase, is_reset } =
                counter(from, 1, is_32_bit).step_to(counter(to, 1, is_32_bit));
            (increase, is_reset)
        };
        assert_eq!(step(false, 5, 9), (4, false));
        assert_eq!(step(false, near, 20), (20, true), "its width is not known");
        assert_eq!(step(true, near, 20), (30, false));
        assert_eq!(step(true, 5_000, 20), (20, true), "so much in one step is a reset");
        assert_eq!(step(true, u64::MAX, 20), (20, true), "that has not 32 bits");
        let other = counter(near, 1, true).step_to(counter(near + 1, 2, true));
        assert_eq!(other, Step { increase: near + 1, is_reset: true }, "another process counts");
    }

    #[test]
    fn a_name_ends_with_its_unit() {
        let unit = |text| MetricName::parse(text).unwrap().unit().to_owned();
        assert_eq!(unit("agent_spool_bytes"), "bytes");
        assert_eq!(unit("agent_cpu_microseconds_total"), "microseconds");
        assert_eq!(
            (unit("agent_rounds_total"), unit("agent_probes")),
            (String::new(), String::new())
        );
        for bad in ["", "Agent", "1st", "a-b", "a b", &"a".repeat(101)] {
            assert!(MetricName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_have_one_form() {
        let labels = Labels::new([("stat", "p50"), ("if", "a\"\\b")]).unwrap();
        assert_eq!(labels, Labels::new([("if", "a\"\\b"), ("stat", "p50")]).unwrap());
        assert_eq!(labels.to_string(), r#"if="a\"\\b",stat="p50""#);
        assert_eq!(Labels::parse(&labels.to_string()), Ok(labels));
        assert_eq!(Labels::parse(""), Ok(Labels::default()));
        for bad in ["a", "a=", "a=\"", "a=\"1\"b=\"2\"", "a=\"1\\", "=\"1\"", "a=\"1\","] {
            assert!(Labels::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Labels::new([("a", "1"), ("a", "2")]), Err(MetricError::Labels));
        assert_eq!(Labels::new([("a", "\n")]), Err(MetricError::Label));
    }

    #[test]
    fn a_silence_is_no_burst() {
        let of = |second: i64, total| {
            MetricRollup::of(
                UtcMicros(second * 1_000_000),
                MetricValue::Counter(counter(total, 1, false)),
            )
        };
        let (MetricRollup::Counter(before), MetricRollup::Counter(after)) =
            (of(0, 100), of(3_600, 3_700))
        else {
            panic!("two counters")
        };
        assert_eq!(after.since(Some(&before)), (3_600, 3_600_000_000), "1 a second, as before");
        assert_eq!(after.since(None), (0, 0));
    }

    /// What a counter does until the next sample.
    #[derive(Clone, Debug)]
    enum Does {
        Counts(u64),
        /// Begins again, and counts so much.
        Restarts(u64),
        /// The same, and nobody says so.
        Drops(u64),
    }

    fn does() -> impl Strategy<Value = Does> {
        prop_oneof![
            6 => (0..1_000_000_u64).prop_map(Does::Counts),
            2 => (0..1_u64 << 31).prop_map(Does::Counts),
            1 => (0..1_u64 << 40).prop_map(Does::Restarts),
            1 => (0..1_000_u64).prop_map(Does::Drops),
        ]
    }

    /// Samples of a counter, and what it counted at least: without what was lost with a reset.
    fn play(does: &[Does], is_32_bit: bool) -> (Vec<Count>, u64, u32) {
        let (mut total, mut epoch, mut counted, mut resets) = (1 << 20, 1, 0, 0);
        let mask = if is_32_bit { u64::from(u32::MAX) } else { u64::MAX };
        let mut samples = vec![counter(total, epoch, is_32_bit)];
        for does in does {
            match does {
                Does::Counts(more) => {
                    total = (total + more) & mask;
                    counted += more;
                }
                Does::Restarts(more) => {
                    (total, epoch, resets) = (more & mask, epoch + 1, resets + 1);
                    counted += total;
                }
                // So far below that it is neither a step up nor a way round.
                Does::Drops(more) if 1_000 < total && total < 1 << 31 => {
                    (total, resets) = (*more, resets + 1);
                    counted += total;
                }
                Does::Drops(_) => (),
            }
            samples.push(counter(total, epoch, is_32_bit));
        }
        (samples, counted, resets)
    }

    proptest! {
        /// Against the one who counted: with resets, wraps, and however the samples are cut.
        #[test]
        fn a_counters_increase_is_what_was_counted(
            does in prop::collection::vec(does(), 0..60),
            is_32_bit in any::<bool>(),
            cuts in prop::collection::vec(any::<bool>(), 60),
        ) {
            let (samples, counted, resets) = play(&does, is_32_bit);
            let mut parts: Vec<MetricRollup> = Vec::new();
            let cuts = cuts.iter().chain([&false]);
            for ((second, count), is_cut) in (0_i64..).zip(&samples).zip(cuts) {
                let one = MetricRollup::of(UtcMicros(second), MetricValue::Counter(*count));
                match parts.last_mut().filter(|_| !is_cut) {
                    Some(part) => part.push(&one),
                    None => parts.push(one),
                }
            }
            // Told one by one, each with the one before, they say the same as all together.
            let mut told = 0;
            let mut before: Option<CounterRollup> = None;
            for part in &parts {
                let MetricRollup::Counter(part) = part else { panic!("a counter") };
                told += part.since(before.as_ref()).0;
                before = Some(*part);
            }
            prop_assert_eq!(told, counted);
            let mut all = parts[0];
            parts[1..].iter().for_each(|part| all.push(part));
            let MetricRollup::Counter(all) = all else { panic!("a counter") };
            prop_assert_eq!((all.increase, all.resets), (counted, resets));
            prop_assert_eq!(all.count as usize, samples.len());
        }
    }
}
