//! The configuration: a TOML file, the environment, the command line; each wins over the one
//! before. Everything has a documented default, so an empty file is a complete one.
//!
//! The only place of this crate that reads the environment. An unknown key is an error that names
//! it: a misspelt limit must not be a silent default. It deliberately starts nothing and opens
//! nothing but the file itself.

mod address;
mod digest;
mod heartbeat;
mod network;
mod public;
mod tables;

use std::{
    fmt::Write as _,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use model::plan::Kept;
use store::{Database, DatabaseUrl, RollupTables};

use crate::secrets::{MASTER_KEY_VARIABLE, MasterKey, SecretsError};
pub(crate) use address::Address;
pub use digest::DIGEST_EVERY_DEFAULT;
pub use heartbeat::{HEARTBEAT_EVERY_DEFAULT, HEARTBEAT_URL_VARIABLE, HeartbeatConfig};
pub use network::Network;
pub use public::PublicUrl;
pub use tables::{DETAIL_DEFAULT, KEEP_1D_DEFAULT, KEEP_1H_DEFAULT, KEEP_5M_DEFAULT};

/// Where everything is kept.
pub const DATA_DIR_DEFAULT: &str = "data";
/// The database in a data directory.
pub(crate) const DATABASE_FILE: &str = "faultline.db";
/// Names a database of PostgreSQL to use instead of a file in the data directory. It is a secret.
pub const DATABASE_URL_VARIABLE: &str = "DATABASE_URL";
/// Console and API: this machine only, until TLS or a proxy is set up.
pub const HTTP_LISTEN_DEFAULT: &str = "127.0.0.1:7480";
const BACKLOG_BYTES_PER_SECOND_MIN: u64 = 4096;
/// Agents dial in from anywhere; the listener takes nobody without a certificate or a token.
pub const AGENT_LISTEN_DEFAULT: &str = "0.0.0.0:7481";
/// Batches that one agent may send a second: it flushes once a second, the rest is for catching up.
pub const BATCHES_PER_SECOND_DEFAULT: u32 = 50;
/// Bytes that one agent may send a second: 100,000 targets each 30 s are about 100 kB/s.
pub const BYTES_PER_SECOND_DEFAULT: u64 = 16 * 1024 * 1024;
/// Of these, what one agent may use for its backlog after an outage: 4 Mbit/s on its line, and a
/// day of 10,000 results a second is caught up within hours.
pub const BACKLOG_BYTES_PER_SECOND_DEFAULT: u64 = 512 * 1024;
/// Rounds are for looking into a minute of the last weeks.
pub const ROUNDS_KEPT_DEFAULT: Duration = Duration::from_secs(14 * DAY_S);
/// Minutes are the record that customers are answered from.
pub const MINUTES_KEPT_DEFAULT: Duration = Duration::from_secs(90 * DAY_S);
/// There are as many series of agents as pairs of agent and target: the largest part of what is
/// kept, and soon nobody asks which agent it was.
pub const AGENT_5M_KEPT_DEFAULT: Duration = Duration::from_secs(90 * DAY_S);
/// The year before, month by month.
pub const AGENT_1H_KEPT_DEFAULT: Duration = Duration::from_secs(400 * DAY_S);
pub const TARGET_5M_KEPT_DEFAULT: Duration = Duration::from_secs(400 * DAY_S);
/// Five years, with their leap days.
pub const TARGET_1H_KEPT_DEFAULT: Duration = Duration::from_secs(1_826 * DAY_S);
pub const TARGET_1D_KEPT_DEFAULT: Duration = Duration::from_secs(1_826 * DAY_S);
/// Changes of verdicts are small and tell the story of a year.
pub const CHANGES_KEPT_DEFAULT: Duration = Duration::from_secs(400 * DAY_S);
/// Incidents that are over: five years, so that the same season can be compared.
pub const INCIDENTS_KEPT_DEFAULT: Duration = Duration::from_secs(1_826 * DAY_S);
/// Facts that were seen last so long ago: the story behind an incident for a quarter of a year.
pub const FACTS_KEPT_DEFAULT: Duration = Duration::from_secs(90 * DAY_S);
/// Who changed what: two years, so that the last audit can still ask about the one before.
pub const AUDIT_KEPT_DEFAULT: Duration = Duration::from_secs(730 * DAY_S);
/// What was told to whom: for the talk after an outage.
pub const MESSAGES_KEPT_DEFAULT: Duration = Duration::from_secs(90 * DAY_S);
/// A day lost at most, if nothing else is left.
pub const BACKUP_EVERY_DEFAULT: Duration = Duration::from_secs(DAY_S);
/// A week of days.
pub const BACKUP_KEEP_DEFAULT: u32 = 7;
/// A backup reads the whole database: not more often than this.
pub const BACKUP_EVERY_MIN: Duration = Duration::from_secs(600);
/// Addresses that an enrolment token carries.
pub const ADVERTISE_MAX: usize = 8;

/// Networks of proxies: each is looked through for every request.
pub const TRUSTED_PROXIES_MAX: usize = 32;

const DAY_S: u64 = 86_400;
/// A configuration is a page of text.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why the configuration cannot be used: the key, the reason, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the configuration is no valid TOML or has a key that nobody knows: {reason}")]
    Syntax { reason: String },
    #[error("`{key}`: {reason}")]
    Value { key: &'static str, reason: String },
    #[error(
        "`http.listen` is {listen}, which other machines reach, and there is no TLS: set \
         `http.tls_certificate` and `http.tls_key`, or `http.allow_plaintext = true` if a proxy \
         in front of it does TLS"
    )]
    Plaintext { listen: SocketAddr },
    #[error(transparent)]
    MasterKey(#[from] SecretsError),
}

/// The server's configuration, complete and checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    /// `None`: a file in the data directory.
    pub database_url: Option<DatabaseUrl>,
    pub http: HttpConfig,
    pub agents: AgentsConfig,
    pub log_format: LogFormat,
    pub retention: RetentionConfig,
    /// What PostgreSQL has of roll-ups as tables.
    pub rollup_tables: RollupTables,
    /// `None`: none are made by themselves.
    pub backup: Option<BackupConfig>,
    /// `None`: nobody outside notices when this server is gone.
    pub heartbeat: Option<HeartbeatConfig>,
    /// Between two digests; `None`: there are none.
    pub digest: Option<Duration>,
    /// From the environment only; without it the key file is used.
    pub master_key: Option<MasterKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// PEM files. `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// A proxy in front does TLS: plain HTTP on an address that others reach is meant so.
    pub allow_plaintext: bool,
    /// Whose `X-Forwarded-For` is believed. Empty: this machine's, and a request without the
    /// header is its own; otherwise a request through this machine may be anybody's.
    pub trusted_proxies: Vec<Network>,
    /// Where people reach the console: messages link to it. `None`: they carry the path alone.
    pub public_url: Option<PublicUrl>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentsConfig {
    pub listen: SocketAddr,
    /// `host:port` of this server as agents reach it; tokens carry them. Empty in a file means
    /// this machine's own addresses; once the server runs it is never empty.
    pub advertise: Vec<String>,
    pub batches_per_second_max: u32,
    pub bytes_per_second_max: u64,
    pub backlog_bytes_per_second_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    pub rounds: Duration,
    pub minutes: Duration,
    /// Roll-ups of what each agent recorded; its days are told from its hours.
    pub agent_5m: Duration,
    pub agent_1h: Duration,
    /// Roll-ups of all agents together.
    pub target_5m: Duration,
    pub target_1h: Duration,
    pub target_1d: Duration,
    pub changes: Duration,
    pub incidents: Duration,
    pub facts: Duration,
    pub audit: Duration,
    pub messages: Duration,
}

/// Backups that the server makes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupConfig {
    /// Best on another disk, or one that is copied to another machine.
    pub dir: PathBuf,
    pub every: Duration,
    /// The newest so many stay.
    pub keep: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What the command line says; it wins over everything.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub data_dir: Option<PathBuf>,
    pub http_listen: Option<String>,
    pub agent_listen: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileConfig {
    data_dir: Option<PathBuf>,
    database_url: Option<String>,
    log_format: Option<String>,
    http: FileHttp,
    agents: FileAgents,
    retention: FileRetention,
    rollup_tables: tables::FileTables,
    backup: FileBackup,
    heartbeat: heartbeat::FileHeartbeat,
    digest: digest::FileDigest,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileHttp {
    listen: Option<String>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    allow_plaintext: Option<bool>,
    trusted_proxies: Vec<String>,
    public_url: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileAgents {
    listen: Option<String>,
    advertise: Option<Vec<String>>,
    batches_per_second_max: Option<u32>,
    bytes_per_second_max: Option<u64>,
    backlog_bytes_per_second_max: Option<u64>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileRetention {
    rounds: Option<String>,
    minutes: Option<String>,
    agent_5m: Option<String>,
    agent_1h: Option<String>,
    target_5m: Option<String>,
    target_1h: Option<String>,
    target_1d: Option<String>,
    changes: Option<String>,
    incidents: Option<String>,
    facts: Option<String>,
    audit: Option<String>,
    messages: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileBackup {
    dir: Option<PathBuf>,
    every: Option<String>,
    keep: Option<u32>,
}

impl Config {
    /// Reads the file, the environment and what the command line said.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the key.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => read(path)?,
        };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Config::resolve(&text, &variable, overrides)
    }

    /// The pure part of [`Config::load`].
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn resolve(
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
        overrides: &Overrides,
    ) -> Result<Config, ConfigError> {
        let file: FileConfig = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            reason: error.to_string().trim_end().to_owned(),
        })?;
        let over = |flag: &Option<String>, name: &str, file: Option<String>| {
            flag.clone().or_else(|| variable(name)).or(file)
        };
        let data_dir = overrides
            .data_dir
            .clone()
            .or_else(|| variable("FAULTLINE_DATA_DIR").map(PathBuf::from))
            .or(file.data_dir)
            .unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT));
        let http_listen = over(&overrides.http_listen, "FAULTLINE_HTTP_LISTEN", file.http.listen);
        let agent_listen =
            over(&overrides.agent_listen, "FAULTLINE_AGENT_LISTEN", file.agents.listen);
        let database_url = variable(DATABASE_URL_VARIABLE).or(file.database_url);
        let database_url = database_url.filter(|text| !text.is_empty());
        let log_format = variable("FAULTLINE_LOG_FORMAT").or(file.log_format);
        let advertise = match variable("FAULTLINE_AGENT_ADVERTISE") {
            Some(list) => list.split(',').map(|a| a.trim().to_owned()).collect(),
            None => file.agents.advertise.unwrap_or_default(),
        };
        let master_key = variable(MASTER_KEY_VARIABLE)
            .map(|text| MasterKey::parse(&text, MASTER_KEY_VARIABLE))
            .transpose()?;
        let config = Config {
            data_dir,
            database_url: database_url.as_deref().map(parse_database_url).transpose()?,
            http: HttpConfig {
                listen: parse_listen("http.listen", http_listen, HTTP_LISTEN_DEFAULT)?,
                tls: tls_files(file.http.tls_certificate, file.http.tls_key)?,
                allow_plaintext: file.http.allow_plaintext.unwrap_or(false),
                trusted_proxies: parse_networks(&file.http.trusted_proxies)?,
                public_url: file.http.public_url.as_deref().map(parse_public).transpose()?,
            },
            agents: AgentsConfig {
                listen: parse_listen("agents.listen", agent_listen, AGENT_LISTEN_DEFAULT)?,
                advertise,
                batches_per_second_max: (file.agents.batches_per_second_max)
                    .unwrap_or(BATCHES_PER_SECOND_DEFAULT),
                bytes_per_second_max: (file.agents.bytes_per_second_max)
                    .unwrap_or(BYTES_PER_SECOND_DEFAULT),
                backlog_bytes_per_second_max: (file.agents.backlog_bytes_per_second_max)
                    .unwrap_or(BACKLOG_BYTES_PER_SECOND_DEFAULT),
            },
            log_format: parse_log_format(log_format)?,
            retention: retention(&file.retention)?,
            rollup_tables: file.rollup_tables.resolve()?,
            backup: backup(file.backup)?,
            heartbeat: file.heartbeat.resolve(variable(HEARTBEAT_URL_VARIABLE))?,
            digest: file.digest.resolve()?,
            master_key,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let is_reachable = !self.http.listen.ip().is_loopback();
        if is_reachable && self.http.tls.is_none() && !self.http.allow_plaintext {
            return Err(ConfigError::Plaintext { listen: self.http.listen });
        }
        let value = |key, reason: &str| Err(ConfigError::Value { key, reason: reason.to_owned() });
        if ADVERTISE_MAX < self.agents.advertise.len() {
            return value("agents.advertise", "has more than 8 addresses");
        }
        if let Some(bad) = self.agents.advertise.iter().find(|a| !wire::is_host_port(a)) {
            let reason = format!("`{bad}` is not host:port, such as `monitor.example.net:7481`");
            return Err(ConfigError::Value { key: "agents.advertise", reason });
        }
        if self.agents.batches_per_second_max < 2 {
            return value(
                "agents.batches_per_second_max",
                "must be 2 or more: one is sent a second",
            );
        }
        if self.agents.bytes_per_second_max < wire::limits::FRAME_BYTES_MAX as u64 {
            return value("agents.bytes_per_second_max", "must be 1048576 or more: one frame");
        }
        if self.agents.backlog_bytes_per_second_max < BACKLOG_BYTES_PER_SECOND_MIN {
            let reason = "must be 4096 or more: a backlog has to come to an end";
            return value("agents.backlog_bytes_per_second_max", reason);
        }
        Ok(())
    }

    /// The configuration in force as TOML, without secrets, for `--print-config`.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let path = |path: &Path| quote(&path.to_string_lossy());
        let days = |duration: Duration| quote(&format!("{}d", duration.as_secs() / DAY_S));
        let advertise: Vec<_> = self.agents.advertise.iter().map(|a| quote(a)).collect();
        let mut line = |line: String| {
            // Writing to a String cannot fail.
            writeln!(text, "{line}").unwrap_or(());
        };
        line(format!("data_dir = {}", path(&self.data_dir)));
        if let Some(url) = &self.database_url {
            line(format!("# database_url is not shown: {url}"));
        }
        let format = if self.log_format == LogFormat::Json { "json" } else { "text" };
        line(format!("log_format = {}", quote(format)));
        line("\n[http]".to_owned());
        line(format!("listen = {}", quote(&self.http.listen.to_string())));
        if let Some(tls) = &self.http.tls {
            line(format!("tls_certificate = {}", path(&tls.certificate)));
            line(format!("tls_key = {}", path(&tls.key)));
        }
        line(format!("allow_plaintext = {}", self.http.allow_plaintext));
        let proxies = self.http.trusted_proxies.iter().map(|proxy| quote(&proxy.to_string()));
        let proxies = proxies.collect::<Vec<_>>().join(", ");
        line(format!("trusted_proxies = [{proxies}]"));
        if let Some(public) = &self.http.public_url {
            line(format!("public_url = {}", quote(public.as_str())));
        }
        line("\n[agents]".to_owned());
        line(format!("listen = {}", quote(&self.agents.listen.to_string())));
        line(format!("advertise = [{}]", advertise.join(", ")));
        line(format!("batches_per_second_max = {}", self.agents.batches_per_second_max));
        line(format!("bytes_per_second_max = {}", self.agents.bytes_per_second_max));
        let backlog = self.agents.backlog_bytes_per_second_max;
        line(format!("backlog_bytes_per_second_max = {backlog}"));
        line("\n[retention]".to_owned());
        line(format!("rounds = {}", days(self.retention.rounds)));
        line(format!("minutes = {}", days(self.retention.minutes)));
        line(format!("agent_5m = {}", days(self.retention.agent_5m)));
        line(format!("agent_1h = {}", days(self.retention.agent_1h)));
        line(format!("target_5m = {}", days(self.retention.target_5m)));
        line(format!("target_1h = {}", days(self.retention.target_1h)));
        line(format!("target_1d = {}", days(self.retention.target_1d)));
        line(format!("changes = {}", days(self.retention.changes)));
        line(format!("incidents = {}", days(self.retention.incidents)));
        line(format!("facts = {}", days(self.retention.facts)));
        line(format!("audit = {}", days(self.retention.audit)));
        line(format!("messages = {}", days(self.retention.messages)));
        line("\n[rollup_tables]".to_owned());
        line(format!("detail = {}", quote(self.rollup_tables.detail.as_str())));
        line(format!("keep_5m = {}", days(self.rollup_tables.fives)));
        line(format!("keep_1h = {}", days(self.rollup_tables.hours)));
        line(format!("keep_1d = {}", days(self.rollup_tables.days)));
        if let Some(backup) = &self.backup {
            line("\n[backup]".to_owned());
            line(format!("dir = {}", path(&backup.dir)));
            line(format!("every = {}", quote(&format!("{}m", backup.every.as_secs() / 60))));
            line(format!("keep = {}", backup.keep));
        }
        let minutes = |every: Duration| format!("{}m", every.as_secs() / 60);
        let every = self.digest.map_or("off".to_owned(), minutes);
        line(format!("\n[digest]\nevery = {}", quote(&every)));
        if let Some(heartbeat) = &self.heartbeat {
            let (host, every) = (heartbeat.address.host(), heartbeat.every.as_secs());
            line(format!("\n# [heartbeat] url is not shown: {host}, each {every} s"));
        }
        text
    }

    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// Where the database is.
    pub fn database(&self) -> Database {
        database_of(&self.data_dir, self.database_url.as_ref())
    }

    pub fn log_dir(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    /// The API key for whoever may read this machine's data directory.
    pub fn local_api_key_path(&self) -> PathBuf {
        self.keys_dir().join("local-api.key")
    }

    /// Fills in this machine's own addresses if none are configured.
    pub(crate) fn complete_advertise(&mut self, bound: SocketAddr) {
        if !self.agents.advertise.is_empty() {
            return;
        }
        let mut ips = if bound.ip().is_unspecified() { own_addresses() } else { vec![bound.ip()] };
        if bound.ip().is_unspecified() {
            ips.truncate(ADVERTISE_MAX - 1);
            ips.push(IpAddr::from([127, 0, 0, 1]));
        }
        let texts = ips.into_iter().map(|ip| SocketAddr::new(ip, bound.port()).to_string());
        self.agents.advertise = texts.collect();
    }
}

/// Where the database of a data directory is: the URL given, or a file in it.
pub(crate) fn database_of(data_dir: &Path, url: Option<&DatabaseUrl>) -> Database {
    match url {
        Some(url) => Database::Postgres(url.clone()),
        None => Database::Sqlite(data_dir.join(DATABASE_FILE)),
    }
}

/// This machine's addresses that others could dial.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for storage in interfaces.filter_map(|interface| interface.address) {
        let v4 = storage.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        let v6 = storage.as_sockaddr_in6().map(|a| IpAddr::from(a.ip()));
        let is_link_local =
            |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        found.extend(v4.or(v6).filter(|ip| !ip.is_loopback() && !is_link_local(ip)));
    }
    found
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        if FILE_BYTES_MAX < fs::metadata(path)?.len() {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        fs::read_to_string(path)
    };
    read().map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

fn parse_listen(
    key: &'static str,
    text: Option<String>,
    default: &str,
) -> Result<SocketAddr, ConfigError> {
    let text = text.unwrap_or_else(|| default.to_owned());
    text.parse().map_err(|_| ConfigError::Value {
        key,
        reason: format!("`{text}` is not an address with a port, such as `{default}`"),
    })
}

fn parse_database_url(text: &str) -> Result<DatabaseUrl, ConfigError> {
    DatabaseUrl::parse(text).map_err(|error| ConfigError::Value {
        key: "database_url",
        reason: format!("(or {DATABASE_URL_VARIABLE}) {error}"),
    })
}

fn parse_log_format(text: Option<String>) -> Result<LogFormat, ConfigError> {
    match text.as_deref() {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => Err(ConfigError::Value {
            key: "log_format",
            reason: format!("`{other}` is neither `text` nor `json`"),
        }),
    }
}

fn tls_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (Some(_), None) => Err(ConfigError::Value {
            key: "http.tls_key",
            reason: "is missing while `http.tls_certificate` is set".to_owned(),
        }),
        (None, Some(_)) => Err(ConfigError::Value {
            key: "http.tls_certificate",
            reason: "is missing while `http.tls_key` is set".to_owned(),
        }),
    }
}

fn parse_public(text: &str) -> Result<PublicUrl, ConfigError> {
    let value = |must: &str| ConfigError::Value { key: "http.public_url", reason: must.to_owned() };
    PublicUrl::parse(text).map_err(value)
}

fn parse_networks(texts: &[String]) -> Result<Vec<Network>, ConfigError> {
    const KEY: &str = "http.trusted_proxies";
    if TRUSTED_PROXIES_MAX < texts.len() {
        let reason = format!("has more than {TRUSTED_PROXIES_MAX} networks");
        return Err(ConfigError::Value { key: KEY, reason });
    }
    let network = |text: &String| {
        let value = |must| ConfigError::Value { key: KEY, reason: format!("`{text}` {must}") };
        Network::parse(text).map_err(value)
    };
    texts.iter().map(network).collect()
}

impl RetentionConfig {
    /// What a plan has to know of it.
    pub fn kept(&self) -> Kept {
        Kept {
            rounds: self.rounds,
            minutes: self.minutes,
            agent_5m: self.agent_5m,
            agent_1h: self.agent_1h,
            target_5m: self.target_5m,
            target_1h: self.target_1h,
            target_1d: self.target_1d,
        }
    }

    /// The same for what is kept by `kept`.
    pub(crate) fn with(&self, kept: &Kept) -> RetentionConfig {
        let Kept { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d } = *kept;
        RetentionConfig {
            rounds,
            minutes,
            agent_5m,
            agent_1h,
            target_5m,
            target_1h,
            target_1d,
            ..*self
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> RetentionConfig {
        RetentionConfig {
            rounds: ROUNDS_KEPT_DEFAULT,
            minutes: MINUTES_KEPT_DEFAULT,
            agent_5m: AGENT_5M_KEPT_DEFAULT,
            agent_1h: AGENT_1H_KEPT_DEFAULT,
            target_5m: TARGET_5M_KEPT_DEFAULT,
            target_1h: TARGET_1H_KEPT_DEFAULT,
            target_1d: TARGET_1D_KEPT_DEFAULT,
            changes: CHANGES_KEPT_DEFAULT,
            incidents: INCIDENTS_KEPT_DEFAULT,
            facts: FACTS_KEPT_DEFAULT,
            audit: AUDIT_KEPT_DEFAULT,
            messages: MESSAGES_KEPT_DEFAULT,
        }
    }
}

fn retention(file: &FileRetention) -> Result<RetentionConfig, ConfigError> {
    let kept = RetentionConfig::default();
    let days = |key, text: &Option<String>, default| parse_days(key, text.as_deref(), default);
    Ok(RetentionConfig {
        rounds: days("retention.rounds", &file.rounds, kept.rounds)?,
        minutes: days("retention.minutes", &file.minutes, kept.minutes)?,
        agent_5m: days("retention.agent_5m", &file.agent_5m, kept.agent_5m)?,
        agent_1h: days("retention.agent_1h", &file.agent_1h, kept.agent_1h)?,
        target_5m: days("retention.target_5m", &file.target_5m, kept.target_5m)?,
        target_1h: days("retention.target_1h", &file.target_1h, kept.target_1h)?,
        target_1d: days("retention.target_1d", &file.target_1d, kept.target_1d)?,
        changes: days("retention.changes", &file.changes, kept.changes)?,
        incidents: days("retention.incidents", &file.incidents, kept.incidents)?,
        facts: days("retention.facts", &file.facts, kept.facts)?,
        audit: days("retention.audit", &file.audit, kept.audit)?,
        messages: days("retention.messages", &file.messages, kept.messages)?,
    })
}

fn parse_days(
    key: &'static str,
    text: Option<&str>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let days = text.strip_suffix('d').and_then(|n| n.parse::<u64>().ok());
    match days {
        Some(days @ 1..=36_500) => Ok(Duration::from_secs(days * DAY_S)),
        Some(_) | None => {
            let reason = format!("`{text}` is not a number of days from `1d` to `36500d`");
            Err(ConfigError::Value { key, reason })
        }
    }
}

fn backup(file: FileBackup) -> Result<Option<BackupConfig>, ConfigError> {
    let value = |key, reason: String| Err(ConfigError::Value { key, reason });
    let Some(dir) = file.dir else {
        if file.every.is_some() || file.keep.is_some() {
            return value("backup.dir", "is missing while others of `[backup]` are set".to_owned());
        }
        return Ok(None);
    };
    let every = file.every.as_deref().map_or(Some(BACKUP_EVERY_DEFAULT), parse_period);
    let Some(every) = every.filter(|every| BACKUP_EVERY_MIN <= *every) else {
        let text = file.every.unwrap_or_default();
        let reason = format!("`{text}` is not a time from `10m` to `365d`, such as `24h`");
        return value("backup.every", reason);
    };
    let keep = file.keep.unwrap_or(BACKUP_KEEP_DEFAULT);
    if keep == 0 {
        return value("backup.keep", "must be 1 or more".to_owned());
    }
    Ok(Some(BackupConfig { dir, every, keep }))
}

/// Minutes, hours or days: `90m`, `24h`, `7d`.
fn parse_period(text: &str) -> Option<Duration> {
    const MINUTES_MAX: u64 = 365 * 24 * 60;
    let unit = text.chars().last()?;
    let minutes = match unit {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let minutes = count.checked_mul(minutes).filter(|minutes| *minutes <= MINUTES_MAX)?;
    Some(Duration::from_secs(minutes * 60))
}

#[cfg(test)]
mod tests;
