//! What people can do with the server: the operations that the HTTP API calls.
//!
//! They work on domain types, know nothing of HTTP, and are the only ones that change the
//! inventory: each change is committed first and then handed to the conductor, in the order of
//! the commits.

pub(crate) mod agent_metrics;
pub(crate) mod agents;
pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod buckets;
pub mod desk;
pub(crate) mod digest;
pub(crate) mod export;
pub(crate) mod facts;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod incidents;
pub mod keys;
pub(crate) mod live;
pub(crate) mod machine;
pub(crate) mod maintenance;
pub(crate) mod map;
pub mod password;
pub(crate) mod prom;
pub(crate) mod readiness;
pub(crate) mod sessions;
pub(crate) mod storage;
pub(crate) mod targets;
pub(crate) mod tiers;
pub(crate) mod topology;
pub(crate) mod traces;
pub(crate) mod unknown;
pub(crate) mod users;
pub(crate) mod webhooks;
mod whatif;

use std::{error::Error as StdError, fmt, iter, sync::Arc, time::Duration};

use model::InventoryChange;
use store::{ActRefused, Changed, Store, StoreError};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::notify::Notifier;
use crate::{authority::Authority, clock::Clock, conductor::Conductor, config::Config};
pub(crate) use crate::{config::Network, diagnosis, panics::Panics};
use attempts::Attempts;
use backup::Backups;
use diagnosis::Diagnosis;
use export::Exports;
use map::Maps;
use prom::Queries;
use readiness::Readiness;
use storage::Measured;
use topology::Topologies;
use traces::Traces;

/// What the HTTP API works with. A clone is the same server.
#[derive(Clone, Debug)]
pub struct App {
    pub store: Store,
    pub conductor: Conductor,
    pub authority: Arc<Authority>,
    pub config: Arc<Config>,
    pub clock: Clock,
    attempts: Arc<Attempts>,
    readiness: Arc<Readiness>,
    backups: Arc<Backups>,
    exports: Exports,
    topologies: Topologies,
    maps: Maps,
    queries: Queries,
    measured: Arc<Measured>,
    pub(crate) traces: Traces,
    pub(crate) diagnosis: Diagnosis,
    pub(crate) notifier: Notifier,
    /// Only in a demo.
    desk: Option<Arc<dyn desk::Desk>>,
    /// Held from a commit until the conductor has it, so that changes arrive in their order.
    inventory_order: Arc<Mutex<()>>,
    /// Changes under way. They end even if the caller hangs up between commit and hand-over.
    changes: TaskTracker,
}

/// One value that cannot be accepted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub field: String,
    pub reason: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), reason: reason.into() }
    }
}

/// Why an operation was not done: one variant for each answer a caller can give.
#[derive(Debug)]
pub enum AppError {
    NotFound {
        what: &'static str,
    },
    /// All fields that cannot be accepted.
    Invalid(Vec<FieldError>),
    /// It clashes with what is there. The field is empty if no single one is to blame.
    Conflict(FieldError),
    /// A later attempt may succeed.
    Unavailable {
        detail: String,
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    BadCredentials,
    TooManyAttempts {
        retry_after: Duration,
    },
    /// So much of it is done already that one more has to wait.
    Busy {
        detail: String,
        retry_after: Duration,
    },
    /// A failure of ours.
    Internal(Box<dyn StdError + Send + Sync>),
}

impl AppError {
    pub(crate) fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> AppError {
        AppError::Internal(source.into())
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> AppError {
        let conflict =
            |field: &str, reason: String| AppError::Conflict(FieldError::new(field, reason));
        match error {
            StoreError::NotFound { what } => AppError::NotFound { what },
            StoreError::NameTaken { field } => {
                conflict(field, format!("another one has this {field}"))
            }
            StoreError::InUse { what, count } => conflict(
                "",
                format!("the {what} is still used {count} times: move or delete its users first"),
            ),
            StoreError::LastAdmin => conflict(
                "role",
                "nobody could administer this server: make another user an admin first".to_owned(),
            ),
            StoreError::Stale { what } => conflict(
                "",
                format!("the {what} was changed by somebody else meanwhile: read it again"),
            ),
            StoreError::ActRefused { source } => {
                let is_seen = matches!(source, ActRefused::StillSeen { .. });
                conflict(if is_seen { "force" } else { "" }, source.to_string())
            }
            error @ StoreError::KeyReused => conflict("Idempotency-Key", error.to_string()),
            StoreError::Off { what } => {
                conflict("", format!("the {what} is switched off: switch it on first"))
            }
            StoreError::AgentRevoked => {
                conflict("", "the agent was revoked: it needs a new token".to_owned())
            }
            StoreError::LastTier => {
                conflict("", "targets need a tier: create another one first".to_owned())
            }
            StoreError::Tier { source } => {
                AppError::Invalid(vec![FieldError::new(source.field, source.must)])
            }
            StoreError::TierKept { source } => {
                AppError::Invalid(vec![FieldError::new("kept_days", source.to_string())])
            }
            StoreError::CursorInvalid => AppError::Invalid(vec![FieldError::new(
                "cursor",
                "is not one that this list gave; start again without it",
            )]),
            StoreError::TooMany { what, max } => {
                AppError::Invalid(vec![FieldError::new(what, format!("at most {max} are allowed"))])
            }
            error @ StoreError::Busy => AppError::Unavailable {
                detail: "the database is busy; try again".to_owned(),
                source: Some(error.into()),
            },
            error @ (StoreError::Full { .. }
            | StoreError::Unwritable { .. }
            | StoreError::Gone { .. }
            | StoreError::Unreachable { .. }
            | StoreError::Denied { .. }
            | StoreError::Tls { .. }
            | StoreError::Unsuitable { .. }
            | StoreError::Taken) => {
                AppError::Unavailable { detail: error.to_string(), source: Some(error.into()) }
            }
            error @ (StoreError::SchemaTooNew { .. }
            | StoreError::SchemaChanged { .. }
            | StoreError::Setting { .. }
            | StoreError::Damaged { .. }
            | StoreError::Archive { .. }
            | StoreError::Chunk { .. }
            | StoreError::Database { .. }) => AppError::internal(error),
        }
    }
}

/// Runs what takes a while away from everybody else's work.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(AppError::internal)?
}

/// Joins an error and its sources into one line, for the log.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for source in iter::successors(error.source(), |error| (*error).source()) {
        let cause = source.to_string();
        // Transparent wrappers, and drivers of databases, say the same again.
        if !text.ends_with(&cause) {
            text += ": ";
            text += &cause;
        }
    }
    text
}

/// Collects the values that cannot be accepted, so that a person learns of all at once.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<FieldError>);

impl Fields {
    /// Keeps a good value, notes a bad one.
    pub(crate) fn take<T>(
        &mut self,
        field: &str,
        result: Result<T, impl fmt::Display>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(reason) => {
                self.refuse(field, reason.to_string());
                None
            }
        }
    }

    /// As [`Fields::take`], for a value that may be left out.
    pub(crate) fn take_some<T, E: fmt::Display>(
        &mut self,
        field: &str,
        result: Option<Result<T, E>>,
    ) -> Option<T> {
        result.and_then(|result| self.take(field, result))
    }

    pub(crate) fn refuse(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(FieldError::new(field, reason));
    }

    /// Fails with everything that was noted.
    pub(crate) fn check(&mut self) -> Result<(), AppError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.error()) }
    }

    /// The error for a value that is missing because it was noted.
    pub(crate) fn error(&mut self) -> AppError {
        AppError::Invalid(std::mem::take(&mut self.0))
    }

    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.0
    }
}

impl App {
    pub(crate) fn new(
        store: Store,
        conductor: Conductor,
        authority: Arc<Authority>,
        config: Arc<Config>,
        notifier: Notifier,
    ) -> App {
        App {
            store,
            conductor,
            authority,
            config,
            clock: notifier.clock.clone(),
            attempts: Arc::default(),
            readiness: Arc::default(),
            backups: Arc::default(),
            exports: Exports::default(),
            topologies: Topologies::default(),
            maps: Maps::default(),
            queries: Queries::default(),
            measured: Arc::default(),
            traces: Traces::default(),
            diagnosis: Diagnosis::default(),
            notifier,
            desk: None,
            inventory_order: Arc::default(),
            changes: TaskTracker::new(),
        }
    }

    /// Where panics are noted.
    pub(crate) fn panics(&self) -> Panics {
        self.conductor.metrics().panics.clone()
    }

    /// Commits a change of the inventory and hands it to the conductor.
    ///
    /// A conductor that does not take it is no error of the caller: the change is stored, and a
    /// periodic task hands over what the conductor missed.
    pub(crate) async fn change<T, F>(&self, commit: F) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Changed<T>, StoreError>> + Send + 'static,
    {
        self.change_and(commit, |_| ()).await
    }

    /// As [`App::change`], and hands over the version also where no object of the engine's changed;
    /// `None` if there is no newer version.
    pub(crate) async fn change_version<F>(&self, commit: F) -> Result<(), AppError>
    where
        F: Future<Output = Result<Option<(Vec<InventoryChange>, u64)>, StoreError>>
            + Send
            + 'static,
    {
        let app = self.clone();
        let task = self.changes.spawn(async move {
            let _order = app.inventory_order.lock().await;
            let Some((changes, version)) = commit.await? else { return Ok(()) };
            if let Err(error) = app.conductor.inventory_changed(changes, version).await {
                let error = crate::chain(&error);
                tracing::error!(%error, "a stored change of the inventory is not yet in force");
            }
            Ok(())
        });
        task.await.map_err(AppError::internal)?
    }

    /// As [`App::change`], and does `act` as soon as it is committed: whether the caller is still
    /// there and whether the conductor gets on must not decide if an agent is cut off.
    async fn change_and<T, F, A>(&self, commit: F, act: A) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Changed<T>, StoreError>> + Send + 'static,
        A: FnOnce(&Conductor) + Send + 'static,
    {
        let app = self.clone();
        let task = self.changes.spawn(async move {
            let _order = app.inventory_order.lock().await;
            let changed = commit.await?;
            act(&app.conductor);
            if changed.changes.is_empty() {
                return Ok(changed.row);
            }
            let handed_over = app.conductor.inventory_changed(changed.changes, changed.version);
            if let Err(error) = handed_over.await {
                let error = crate::chain(&error);
                tracing::error!(%error, "a stored change of the inventory is not yet in force");
            }
            Ok(changed.row)
        });
        task.await.map_err(AppError::internal)?
    }
}

#[cfg(test)]
mod tests {
    use journal::{Disk, Journal};
    use model::{LogPosition, Name};
    use store::{NewAgent, ORG_DEFAULT, Scope};
    use tokio::{sync::mpsc, time::timeout};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        conductor::Claim,
        config::Overrides,
        log::{self, LogStart},
        notify::Sender,
        secrets::Secrets,
    };

    #[tokio::test]
    async fn a_revoked_agent_is_cut_off_though_the_conductor_stands_still() {
        let dir = tempfile::tempdir().unwrap();
        let overrides = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
        let config = Arc::new(Config::resolve("", &|_| None, &overrides).unwrap());
        let _lock = crate::first::settle(&config).unwrap();
        let clock = Clock::system();
        let now = clock.now();
        let store = Store::open_at(&config.database()).await.unwrap();
        let secrets = Secrets::load(None, &config.keys_dir().join("master.key")).unwrap();
        let authority = Arc::new(Authority::load(&config.keys_dir(), &secrets, now).unwrap());
        let options = log::options(LogPosition(0));
        let (journal, _) = Journal::open(config.log_dir(), options, Disk).unwrap();
        let start = LogStart { journal, highwaters: log::Highwaters::default(), last_at: now };
        // Nobody takes what becomes durable, so no change is ever applied.
        let (durable, _entries) = mpsc::channel(1);
        let metrics = Arc::default();
        let (log, _) = log::start(start, clock.clone(), Arc::clone(&metrics), durable).unwrap();
        let (conductor, _requests) = Conductor::new(log, metrics, now, LogPosition(0));
        // Another test of this process may have installed it.
        rustls::crypto::ring::default_provider().install_default().unwrap_or(());
        let sender = Sender::new().unwrap();
        let notifier = Notifier { store: store.clone(), secrets, clock, sender };
        let app = App::new(store, conductor, authority, config, notifier);
        let scope = Scope::system(ORG_DEFAULT);
        let new = NewAgent { name: Name::parse("fra1").unwrap(), witnesses: Vec::new() };
        let agent = app.store.agent_create(&scope, &new, now).await.unwrap().row.id;

        let claim = Claim {
            from: None,
            hostname: String::new(),
            instance: [1; 16],
            original_heard_at: None,
        };
        let link = app.conductor.link(agent, claim, now, &CancellationToken::new()).unwrap();
        tokio::select! {
            _ = app.agent_revoke(&scope, agent) => panic!("the conductor did not stand still"),
            cut = timeout(Duration::from_secs(10), link.ended.cancelled()) => cut.unwrap(),
        }
    }
}
