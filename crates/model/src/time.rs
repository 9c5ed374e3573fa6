//! Time: the server's wall clock, an agent's monotonic tick, and the minute of the record.

use std::{fmt, ops, time::Duration};

/// Microseconds since 1970-01-01T00:00:00Z on the server's clock.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct UtcMicros(pub i64);

/// Microseconds on one agent's monotonic clock, since an origin that is fixed for one boot.
///
/// Ticks of different agents, or of different boots of one agent, do not compare.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Tick(pub u64);

/// A minute of the record: whole minutes since 1970-01-01T00:00Z.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Minute(pub i64);

const US_PER_MINUTE: i64 = 60_000_000;

/// Converts, clamped: no interval of ours comes near 292,000 years.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl UtcMicros {
    pub fn minute(self) -> Minute {
        Minute(self.0.div_euclid(US_PER_MINUTE))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: UtcMicros) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339 text such as `2026-11-21T05:54:33Z`.
    pub fn parse(text: &str) -> Option<UtcMicros> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        Some(UtcMicros(timestamp.as_microsecond()))
    }
}

impl Minute {
    pub fn start(self) -> UtcMicros {
        UtcMicros(self.0.saturating_mul(US_PER_MINUTE))
    }

    /// The first instant after this minute.
    pub fn end(self) -> UtcMicros {
        self.next().start()
    }

    pub fn next(self) -> Minute {
        Minute(self.0.saturating_add(1))
    }
}

impl Tick {
    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl ops::Add<Duration> for UtcMicros {
    type Output = UtcMicros;
    fn add(self, rhs: Duration) -> UtcMicros {
        UtcMicros(self.0.saturating_add(micros(rhs)))
    }
}

impl ops::Sub<Duration> for UtcMicros {
    type Output = UtcMicros;
    fn sub(self, rhs: Duration) -> UtcMicros {
        UtcMicros(self.0.saturating_sub(micros(rhs)))
    }
}

impl ops::Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, rhs: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC with as many decimals as needed.
impl fmt::Display for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            // Outside years -9999 to 9999: show the number rather than lie.
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_rfc_3339() {
        let at = UtcMicros(1_795_240_473_250_000);
        assert_eq!(at.to_string(), "2026-11-21T05:54:33.25Z");
        assert_eq!(UtcMicros::parse("2026-11-21T05:54:33.25Z"), Some(at));
        assert_eq!(UtcMicros::parse("yesterday"), None);
    }

    #[test]
    fn a_minute_holds_its_start_and_not_its_end() {
        let minute = UtcMicros(90_000_000).minute();
        assert_eq!(minute, Minute(1));
        assert_eq!(minute.start().minute(), minute);
        assert_eq!(minute.end().minute(), minute.next());
        assert_eq!(UtcMicros(-1).minute(), Minute(-1));
    }

    #[test]
    fn time_does_not_run_backwards() {
        assert_eq!(UtcMicros(5).since(UtcMicros(9)), Duration::ZERO);
    }
}
