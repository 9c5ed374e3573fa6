//! PostgreSQL: one connection writes, some read, and no second server is let in.
//!
//! 1 - The connection that writes holds a lock of the database for as long as it lives, and a new
//!     one gets it before it writes anything, the steps of the schema too. So two servers on one
//!     database never both write: the second is refused at its start.
//! 2 - A transaction says whose rows it may see; the policies of the tables hold it to that.
//! 3 - A connection that broke is replaced by the next call. What was under way fails, and is
//!     undone by the database; whoever called tries again.
//! 4 - Who waits for the others is told so, and not that the server does not answer: callers take
//!     their turn before they take a connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Semaphore, time::timeout};

use super::{Conn, DatabaseUrl, DbRow, Reach, Tx, sql};
use crate::{Said, StoreError, migrate};

/// Readers at a time: pages and status requests, which are short, and a step of the history.
const READERS_MAX: u32 = 8;
/// Writers at a time.
const WRITERS_MAX: u32 = 1;
/// How long a caller waits for its turn, and then for a connection that has yet to be made.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared: all of ours, in the three sizes of a bulk.
const STATEMENTS_MAX: usize = 400;
/// Of the schema, for the connection that writes: the first number is "faultline" on a telephone.
// Above organisations: the writer is one.
const WRITER_LOCK: &str = "SELECT pg_advisory_lock(328585463, hashtext(current_schema()))";
/// What each connection asks of the server. A connection that is silent because the network is cut
/// must not keep the lock for the two hours that are usual.
const SETTINGS: [(&str, &str); 8] = [
    ("TimeZone", "UTC"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "15min"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Keepalives do not run while something is on its way; milliseconds.
    ("tcp_user_timeout", "25000"),
    // A plan that was made while a table was empty reads all of it for as long as nobody analyses
    // it: spans of 100,000 targets then cost ten seconds. Making one costs less than a millisecond.
    ("plan_cache_mode", "force_custom_plan"),
];
/// SQLSTATE: a lock was not got in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// The oldest server whose statements ours are, as PostgreSQL numbers them.
const VERSION_MIN: i64 = 140_000;

// Above organisations: what the database itself is.
const SUITABLE: &str = "
    SELECT CAST(current_setting('server_version_num') AS BIGINT) AS version,
           current_setting('server_encoding') AS encoding,
           CAST(pg_is_in_recovery() AS INT) AS is_standby,
           CAST(current_setting('transaction_read_only') = 'on' AS INT) AS is_read_only,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('fsync') AS fsync,
           CAST(coalesce(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS INT)
               AS may_create,
           (SELECT CAST(rolsuper OR rolbypassrls AS INT)
              FROM pg_catalog.pg_roles
             WHERE rolname = current_user) AS is_above_policies";
// Above organisations: what the database itself is.
const SIZE: &str = "SELECT pg_database_size(current_database())";

/// The connections to one database.
#[derive(Debug)]
pub(super) struct Postgres {
    writer: Turns,
    readers: Turns,
    options: Box<PgConnectOptions>,
    /// How often somebody else held the lock when a connection that writes was to be made.
    refusals: Arc<AtomicU64>,
}

/// Connections, and as many callers at a time as there may be of them.
#[derive(Debug)]
struct Turns {
    pool: PgPool,
    free: Arc<Semaphore>,
    /// How long a caller waits for its turn.
    wait: Duration,
}

impl Turns {
    fn new(pool: PgPool, count: u32) -> Turns {
        let count = usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS);
        Turns { pool, free: Arc::new(Semaphore::new(count)), wait: ACQUIRE_MAX }
    }

    async fn begin(&self, text: String) -> Result<Tx, StoreError> {
        let turn = timeout(self.wait, Arc::clone(&self.free).acquire_owned()).await;
        let turn = turn.map_err(|_| StoreError::Busy)?;
        let turn = turn.map_err(|_| StoreError::from(sqlx::Error::PoolClosed))?;
        let begun = self.pool.begin_with(AssertSqlSafe(text)).await;
        Ok(Tx::in_turn(begun.map_err(unreachable)?, turn))
    }

    async fn close(&self) {
        self.free.close();
        self.pool.close().await;
    }
}

/// Who has its turn and gets no connection waits for nobody but the server.
fn unreachable(error: sqlx::Error) -> StoreError {
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return StoreError::Unreachable { source: Said(error) };
    }
    error.into()
}

/// Everything that a connection needs.
pub(crate) fn options_of(url: &DatabaseUrl) -> PgConnectOptions {
    let options = url.options().statement_cache_capacity(STATEMENTS_MAX).options(SETTINGS);
    match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("faultline"),
    }
}

/// Opens a connection of its own, for statements of every organisation.
pub(crate) async fn connect(url: &DatabaseUrl) -> Result<Conn, StoreError> {
    let mut conn = Conn::Postgres(options_of(url).connect().await?);
    conn.raw(&format!("SET {}", scope_of(Reach::All))).await?;
    Ok(conn)
}

/// The setting that the policies of the tables read.
fn scope_of(reach: Reach) -> String {
    match reach {
        Reach::Org(org) => format!("faultline.org_id = '{}'", org.0),
        Reach::All => "faultline.org_id = 'all'".to_owned(),
    }
}

impl Postgres {
    pub(super) async fn open(url: &DatabaseUrl) -> Result<Postgres, StoreError> {
        // Alone, because it says at once why it fails, and a pool tries for a while.
        let mut first = connect(url).await?;
        assert_suitable(&mut first).await?;
        first.close().await?;
        let options = options_of(url);
        let refusals = Arc::new(AtomicU64::new(0));
        let writer = pool(WRITERS_MAX).after_connect({
            let refusals = Arc::clone(&refusals);
            move |conn, _| {
                let refusals = Arc::clone(&refusals);
                Box::pin(async move {
                    let locked = lock(conn).await;
                    if locked.as_ref().is_err_and(is_refusal) {
                        refusals.fetch_add(1, Ordering::Relaxed);
                    }
                    locked
                })
            }
        });
        let writer = writer.connect_with(options.clone()).await;
        let writer = writer.map_err(|error| match refusals.load(Ordering::Relaxed) {
            0 => unreachable(error),
            _ => StoreError::Taken,
        })?;
        let mut locked = Conn::PostgresPooled(writer.acquire().await?);
        locked.raw(&format!("SET {}", scope_of(Reach::All))).await?;
        migrate::migrate(&mut locked, migrate::STEPS).await?;
        locked.raw("RESET faultline.org_id").await?;
        drop(locked);
        let readers = pool(READERS_MAX).connect_with(options.clone()).await?;
        Ok(Postgres {
            writer: Turns::new(writer, WRITERS_MAX),
            readers: Turns::new(readers, READERS_MAX),
            options: Box::new(options),
            refusals,
        })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) async fn reader(&self) -> Result<Conn, StoreError> {
        let mut conn = Conn::Postgres(self.options.connect().await?);
        conn.raw(&format!("SET {}", scope_of(Reach::All))).await?;
        Ok(conn)
    }

    pub(super) async fn read(&self, reach: Reach) -> Result<Tx, StoreError> {
        let scope = scope_of(reach);
        let text = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL {scope}");
        self.readers.begin(text).await
    }

    pub(super) async fn write(&self, reach: Reach) -> Result<Tx, StoreError> {
        let refusals = self.refusals.load(Ordering::Relaxed);
        let begun = self.writer.begin(format!("BEGIN; SET LOCAL {}", scope_of(reach))).await;
        match begun {
            Err(StoreError::Unreachable { .. })
                if self.refusals.load(Ordering::Relaxed) != refusals =>
            {
                Err(StoreError::Taken)
            }
            begun => begun,
        }
    }
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
}

pub(super) async fn size_bytes(conn: &mut Conn) -> Result<u64, StoreError> {
    let bytes: i64 = sql(SIZE).scalar(conn).await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

async fn lock(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(WRITER_LOCK).execute(conn).await.map(drop)
}

/// Opens a connection of its own that writes: no server, and nobody else who does so, is let in
/// while it lives.
///
/// # Errors
///
/// [`StoreError::Taken`] if somebody is.
pub(crate) async fn connect_alone(url: &DatabaseUrl) -> Result<Conn, StoreError> {
    let mut conn = options_of(url).connect().await?;
    lock(&mut conn).await.map_err(|error| match is_refusal(&error) {
        true => StoreError::Taken,
        false => error.into(),
    })?;
    let mut conn = Conn::Postgres(conn);
    conn.raw(&format!("SET {}", scope_of(Reach::All))).await?;
    Ok(conn)
}

fn is_refusal(error: &sqlx::Error) -> bool {
    code(error) == Some(LOCK_NOT_AVAILABLE)
}

fn code(error: &sqlx::Error) -> Option<&str> {
    let said = error.as_database_error()?;
    said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().map(|said| said.code())
}

/// What a server says of itself, the database and the role.
#[derive(Clone, Debug)]
struct Found {
    version: i64,
    encoding: String,
    is_standby: bool,
    is_read_only: bool,
    may_create: bool,
    synchronous_commit: String,
}

impl Found {
    fn of(row: &DbRow) -> Result<Found, StoreError> {
        Ok(Found {
            version: row.value("version")?,
            encoding: row.value("encoding")?,
            is_standby: row.is("is_standby")?,
            is_read_only: row.is("is_read_only")?,
            may_create: row.is("may_create")?,
            synchronous_commit: row.value("synchronous_commit")?,
        })
    }

    /// Says why it cannot be ours, and what is to be done.
    fn refusal(&self) -> Option<StoreError> {
        let reason = if self.version < VERSION_MIN {
            let (found, known) = (self.version / 10_000, VERSION_MIN / 10_000);
            format!("PostgreSQL {found} is too old: use version {known} or later")
        } else if self.encoding != "UTF8" {
            let encoding = &self.encoding;
            format!(
                "its encoding is {encoding}: create one with `ENCODING 'UTF8' TEMPLATE template0`"
            )
        } else if self.is_standby {
            "the server is a standby: give the address of the primary".to_owned()
        } else if self.is_read_only {
            "its transactions only read: unset `default_transaction_read_only`".to_owned()
        } else if !self.may_create {
            "the role may not create tables in it: make it the owner of the database, or \
             `GRANT USAGE, CREATE ON SCHEMA public` to it"
                .to_owned()
        } else if self.synchronous_commit == "off" {
            let found = "off".to_owned();
            return Some(StoreError::Setting { setting: "synchronous_commit", found });
        } else {
            return None;
        };
        Some(StoreError::Unsuitable { reason })
    }
}

/// Looks whether this database can be ours, and says what is to be done if not.
pub(crate) async fn assert_suitable(conn: &mut Conn) -> Result<(), StoreError> {
    let row = sql(SUITABLE).fetch_one(conn).await?;
    if let Some(refusal) = Found::of(&row)?.refusal() {
        return Err(refusal);
    }
    if row.value::<&str>("fsync")? == "off" {
        tracing::warn!(
            "the database server has fsync = off: what is stored may be lost with its machine"
        );
    }
    if row.is("is_above_policies")? {
        tracing::warn!(
            "the database role is above row security: give the server a role of its own"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_ours_is_refused_with_what_to_do() {
        let good = Found {
            version: VERSION_MIN,
            encoding: "UTF8".to_owned(),
            is_standby: false,
            is_read_only: false,
            may_create: true,
            synchronous_commit: "on".to_owned(),
        };
        assert!(good.refusal().is_none());
        let text = |encoding: &str| encoding.to_owned();
        for (found, said) in [
            (
                Found { version: 130_014, ..good.clone() },
                "PostgreSQL 13 is too old: use version 14",
            ),
            (Found { version: 90_624, ..good.clone() }, "PostgreSQL 9 is too old"),
            (Found { encoding: text("LATIN1"), ..good.clone() }, "its encoding is LATIN1: create"),
            (Found { is_standby: true, ..good.clone() }, "give the address of the primary"),
            (Found { is_read_only: true, ..good.clone() }, "only read"),
            (Found { may_create: false, ..good.clone() }, "GRANT USAGE, CREATE"),
            (Found { synchronous_commit: text("off"), ..good.clone() }, "synchronous_commit"),
        ] {
            let refusal = found.refusal().unwrap().to_string();
            assert!(refusal.contains(said), "{refusal}");
        }
    }

    /// Connections to a server that is not there.
    fn nowhere() -> Turns {
        let options = PgConnectOptions::new().host("127.0.0.1").port(1).username("nobody");
        let wait = Duration::from_millis(10);
        let pool = pool(1).acquire_timeout(wait).connect_lazy_with(options);
        Turns { wait, ..Turns::new(pool, 1) }
    }

    #[tokio::test]
    async fn who_waits_for_others_is_told_so_and_not_that_the_server_is_away() {
        let turns = nowhere();
        let held = Arc::clone(&turns.free).acquire_owned().await.unwrap();
        let error = turns.begin("BEGIN".to_owned()).await.unwrap_err();
        assert!(matches!(error, StoreError::Busy), "{error:?}");
        drop(held);
        let error = turns.begin("BEGIN".to_owned()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        turns.close().await;
        let error = turns.begin("BEGIN".to_owned()).await.unwrap_err();
        assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_database_that_was_somebody_elses_and_is_away_now_is_away() {
        let postgres = Postgres {
            writer: nowhere(),
            readers: nowhere(),
            options: Box::new(PgConnectOptions::new()),
            refusals: Arc::new(AtomicU64::new(1)),
        };
        let error = postgres.write(Reach::All).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    }
}
