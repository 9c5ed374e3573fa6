//! The digest: how often people are told of what they were not told one by one.

use std::time::Duration;

use super::{ConfigError, parse_period};

/// Three times the pause that alerting of others leaves between two messages of one group: who is
/// not woken by it reads it with the next coffee.
pub const DIGEST_EVERY_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// From each minute to each day.
const EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(24 * 3_600);

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileDigest {
    every: Option<String>,
}

impl FileDigest {
    /// `None`: there is none.
    pub(super) fn resolve(&self) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = self.every.as_deref() else { return Ok(Some(DIGEST_EVERY_DEFAULT)) };
        if text == "off" {
            return Ok(None);
        }
        let every = parse_period(text).filter(|every| EVERY.contains(every));
        every.map(Some).ok_or_else(|| ConfigError::Value {
            key: "digest.every",
            reason: format!("`{text}` is neither `off` nor a time from `1m` to `24h`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_comes_each_quarter_of_an_hour_or_as_is_said_or_never() {
        let every = |text: Option<&str>| {
            let file = FileDigest { every: text.map(str::to_owned) };
            file.resolve().map_err(|error| error.to_string())
        };
        assert_eq!(every(None), Ok(Some(Duration::from_secs(900))));
        assert_eq!(every(Some("2h")), Ok(Some(Duration::from_secs(7_200))));
        assert_eq!(every(Some("off")), Ok(None));
        for bad in ["0m", "2d", "often"] {
            let error = every(Some(bad)).unwrap_err();
            assert!(error.contains("`digest.every`") && error.contains(bad), "{error}");
        }
    }
}
