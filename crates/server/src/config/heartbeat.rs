//! The sign of life: an address that is asked for as long as this server does its work.

use std::time::Duration;

use super::{Address, ConfigError};

/// Names the address of the sign of life. It is a secret: whoever knows it can feign life.
pub const HEARTBEAT_URL_VARIABLE: &str = "FAULTLINE_HEARTBEAT_URL";
/// Whoever waits for it should be patient for three of them.
pub const HEARTBEAT_EVERY_DEFAULT: Duration = Duration::from_secs(60);
/// From each ten seconds to each hour.
const EVERY_S: std::ops::RangeInclusive<u64> = 10..=3_600;

/// A dead man's switch elsewhere, which raises the alarm when it is not asked for any more.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    pub(crate) address: Address,
    pub every: Duration,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileHeartbeat {
    url: Option<String>,
    every: Option<String>,
}

impl FileHeartbeat {
    /// `variable` wins over what the file says.
    pub(super) fn resolve(
        self,
        variable: Option<String>,
    ) -> Result<Option<HeartbeatConfig>, ConfigError> {
        let value = |key, reason: String| ConfigError::Value { key, reason };
        let Some(url) = variable.or(self.url) else {
            if self.every.is_some() {
                let reason = "is missing while `heartbeat.every` is set".to_owned();
                return Err(value("heartbeat.url", reason));
            }
            return Ok(None);
        };
        // The address itself is not said: it may be a secret.
        let address =
            Address::parse(&url).map_err(|must| value("heartbeat.url", must.to_owned()))?;
        let seconds =
            self.every.as_deref().map_or(Some(HEARTBEAT_EVERY_DEFAULT.as_secs()), |text| {
                text.strip_suffix('s')?.parse().ok()
            });
        let Some(seconds) = seconds.filter(|seconds| EVERY_S.contains(seconds)) else {
            let text = self.every.unwrap_or_default();
            let reason = format!("`{text}` is not a time from `10s` to `3600s`, such as `60s`");
            return Err(value("heartbeat.every", reason));
        };
        Ok(Some(HeartbeatConfig { address, every: Duration::from_secs(seconds) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(url: Option<&str>, every: Option<&str>) -> Result<String, String> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let file = FileHeartbeat { url: owned(url), every: owned(every) };
        let found = file.resolve(None).map_err(|error| error.to_string())?;
        Ok(found.map_or("none".to_owned(), |found| format!("{found:?}")))
    }

    #[test]
    fn a_sign_of_life_has_an_address_and_a_period_and_shows_no_secret() {
        assert_eq!(resolve(None, None).unwrap(), "none");
        let shown = resolve(Some("https://hc.example/ping/s3cret"), Some("30s")).unwrap();
        assert_eq!(shown, "HeartbeatConfig { address: https://hc.example, every: 30s }");
        let file = FileHeartbeat { url: Some("https://file.example".to_owned()), every: None };
        let found = file.resolve(Some("https://env.example".to_owned())).unwrap().unwrap();
        assert_eq!(
            (found.address.host(), found.every.as_secs()),
            ("https://env.example".into(), 60)
        );
        for (url, every, expected) in [
            (None, Some("60s"), "`heartbeat.url`: is missing"),
            (Some("ftp://s3cret"), None, "`heartbeat.url`: must be an address"),
            (Some("https://hc.example"), Some("9s"), "`heartbeat.every`: `9s`"),
            (Some("https://hc.example"), Some("1m"), "`heartbeat.every`: `1m`"),
        ] {
            let error = resolve(url, every).unwrap_err();
            assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
        }
    }
}
