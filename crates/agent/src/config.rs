//! What an operator may set: flags and environment over a TOML file over defaults.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use wire::is_host_port;

use crate::{files, spool::SpoolLimits};

/// Where identity, spool and assignment are kept.
pub const STATE_DIR_DEFAULT: &str = "/var/lib/faultline-agent";
/// Read if it is there and no other is named.
pub const FILE_DEFAULT: &str = "/etc/faultline/agent.toml";
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How this agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub state_dir: PathBuf,
    /// Where the server is dialled, if not where the token said.
    pub addresses: Option<Vec<String>>,
    pub spool: SpoolLimits,
    /// A filter such as `info` or `agent=debug`.
    pub log: String,
    pub is_log_json: bool,
}

/// What flags and environment said.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub state_dir: Option<PathBuf>,
    pub log: Option<String>,
    pub is_log_json: Option<bool>,
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{}` is no valid TOML of an agent: {reason}", path.display())]
    NotToml { path: PathBuf, reason: String },
    #[error("`{field}` in `{}` {must}", path.display())]
    Value { path: PathBuf, field: &'static str, must: &'static str },
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    state_dir: Option<PathBuf>,
    servers: Option<Vec<String>>,
    spool_size_max: Option<String>,
    spool_age_max: Option<String>,
    log: Option<String>,
    log_format: Option<String>,
}

impl Config {
    /// Reads the file, if there is one, and puts flags and environment over it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a named file is not there, or anything in it is not understood.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Config, ConfigError> {
        let path = file.unwrap_or(Path::new(FILE_DEFAULT));
        let bytes = match files::read_limited(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => Vec::new(),
            Err(source) => {
                let path = path.to_owned();
                return Err(ConfigError::Unreadable { path, source });
            }
        };
        Config::resolve(path, &bytes, overrides)
    }

    /// The pure part of [`Config::load`]: `bytes` are what `path` holds.
    pub(crate) fn resolve(
        path: &Path,
        bytes: &[u8],
        overrides: Overrides,
    ) -> Result<Config, ConfigError> {
        let text = parse(path, bytes)?;
        let broken = |field, must| ConfigError::Value { path: path.to_owned(), field, must };
        let mut spool = SpoolLimits::default();
        if let Some(text) = text.spool_size_max {
            let bytes = bytes_of(&text).filter(|bytes| 16 << 20 <= *bytes);
            spool.bytes_max = bytes.ok_or(broken(
                "spool_size_max",
                "must be as `512 MiB`, at \
                least 16 MiB",
            ))?;
        }
        if let Some(text) = text.spool_age_max {
            let legal = Duration::from_secs(60)..=wire::limits::SPOOL_AGE_MAX;
            let age = duration_of(&text).filter(|age| legal.contains(age));
            let must = "must be as `7d`, from 1m to 30d: the server knows duplicates no longer";
            spool.age_max = age.ok_or(broken("spool_age_max", must))?;
        }
        let are_addresses =
            |list: &Vec<String>| !list.is_empty() && list.iter().all(|a| is_host_port(a));
        if !text.servers.as_ref().is_none_or(are_addresses) {
            return Err(broken("servers", "must be a list of `host:port`"));
        }
        let is_json = match text.log_format.as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(_) => return Err(broken("log_format", "must be `text` or `json`")),
        };
        let state_dir = overrides.state_dir.or(text.state_dir);
        Ok(Config {
            state_dir: state_dir.unwrap_or(PathBuf::from(STATE_DIR_DEFAULT)),
            addresses: text.servers,
            spool,
            log: overrides.log.or(text.log).unwrap_or("info".to_owned()),
            is_log_json: overrides.is_log_json.unwrap_or(is_json),
        })
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Text, ConfigError> {
    toml::from_slice(bytes)
        .map_err(|e| ConfigError::NotToml { path: path.to_owned(), reason: e.to_string() })
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn duration_of(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, overrides: Overrides, then: impl Fn(Result<Config, String>)) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).expect("writes");
        then(Config::load(Some(&path), overrides).map_err(|e| e.to_string()));
    }

    #[test]
    fn flags_go_over_the_file_and_the_file_over_defaults() {
        let text = "state_dir = \"/x\"\nlog = \"debug\"\nspool_size_max = \"1 GiB\"\n\
                    spool_age_max = \"2d\"\nservers = [\"a.example:7481\"]";
        let overrides = Overrides { log: Some("trace".to_owned()), ..Overrides::default() };
        let expected = Config {
            state_dir: "/x".into(),
            addresses: Some(vec!["a.example:7481".to_owned()]),
            spool: SpoolLimits { bytes_max: 1 << 30, age_max: Duration::from_secs(172_800) },
            log: "trace".to_owned(),
            is_log_json: false,
        };
        loaded(text, overrides, |config| assert_eq!(config, Ok(expected.clone())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("spool_size_max = \"12\"", "`spool_size_max`"),
            ("spool_size_max = \"1 MiB\"", "at least 16 MiB"),
            ("spool_age_max = \"week\"", "`spool_age_max`"),
            ("spool_age_max = \"31d\"", "from 1m to 30d"),
            ("servers = [\"x\"]", "`servers`"),
            ("log_format = \"xml\"", "`log_format`"),
            ("spol = 1", "unknown field"),
        ] {
            loaded(text, Overrides::default(), |config| {
                let error = config.expect_err("is refused");
                assert!(error.contains(part), "{error}");
            });
        }
        let missing = Config::load(Some(Path::new("/nowhere.toml")), Overrides::default());
        assert!(missing.is_err());
    }
}
