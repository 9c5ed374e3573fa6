//! PostgreSQL: one connection writes, some read, and no second server is let in.
//!
//! 1 - The connection that writes holds a lock of the database for as long as it lives, and a new
//!     one gets it before it writes anything. So two servers on one database never both write: the
//!     second is refused at its start.
//! 2 - A transaction says whose rows it may see; the policies of the tables hold it to that.
//! 3 - A connection that broke is replaced by the next call. What was under way fails, and is
//!     undone by the database; whoever called tries again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Conn, DatabaseUrl, Reach, Tx, sql};
use crate::{StoreError, migrate};

/// Readers at a time: pages and status requests, which are short, and a step of the history.
const READERS_MAX: u32 = 8;
/// How long a caller waits for a connection, also for one that has yet to be made.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared: all of ours, in the three sizes of a bulk.
const STATEMENTS_MAX: usize = 400;
/// Of the schema, for the connection that writes: the first number is "faultline" on a telephone.
// Above organisations: the writer is one.
const WRITER_LOCK: &str = "SELECT pg_advisory_lock(328585463, hashtext(current_schema()))";
/// What each connection asks of the server. A connection that is silent because the network is cut
/// must not keep the lock for the two hours that are usual.
const SETTINGS: [(&str, &str); 7] = [
    ("TimeZone", "UTC"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "15min"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Keepalives do not run while something is on its way; milliseconds.
    ("tcp_user_timeout", "25000"),
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
    writer: PgPool,
    readers: PgPool,
    options: Box<PgConnectOptions>,
    /// Whether somebody else held the lock when the last connection that writes was made.
    is_taken: Arc<AtomicBool>,
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
        let options = options_of(url);
        let mut first = options.connect().await?;
        lock(&mut first).await.map_err(|error| match code(&error) {
            Some(LOCK_NOT_AVAILABLE) => StoreError::Taken,
            Some(_) | None => error.into(),
        })?;
        first.close().await?;
        let mut first = connect(url).await?;
        assert_suitable(&mut first).await?;
        migrate::migrate(&mut first, migrate::STEPS).await?;
        first.close().await?;
        let is_taken = Arc::new(AtomicBool::new(false));
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_MAX)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let taken = Arc::clone(&is_taken);
        let writer = pool(1).after_connect(move |conn, _| {
            let taken = Arc::clone(&taken);
            Box::pin(async move {
                let locked = lock(conn).await;
                let is_refused = |error| code(error) == Some(LOCK_NOT_AVAILABLE);
                taken.store(locked.as_ref().is_err_and(is_refused), Ordering::Relaxed);
                locked
            })
        });
        let writer = writer.connect_with(options.clone()).await?;
        let readers = pool(READERS_MAX).connect_with(options.clone()).await?;
        Ok(Postgres { writer, readers, options: Box::new(options), is_taken })
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
        let text = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL {}",
            scope_of(reach)
        );
        match self.readers.begin_with(AssertSqlSafe(text)).await {
            Err(source @ sqlx::Error::PoolTimedOut) => Err(StoreError::Unreachable { source }),
            begun => Ok(begun?.into()),
        }
    }

    pub(super) async fn write(&self, reach: Reach) -> Result<Tx, StoreError> {
        let text = format!("BEGIN; SET LOCAL {}", scope_of(reach));
        match self.writer.begin_with(AssertSqlSafe(text)).await {
            Err(sqlx::Error::PoolTimedOut) if self.is_taken.load(Ordering::Relaxed) => {
                Err(StoreError::Taken)
            }
            Err(source @ sqlx::Error::PoolTimedOut) if self.writer.num_idle() == 0 => {
                Err(StoreError::Unreachable { source })
            }
            begun => Ok(begun?.into()),
        }
    }
}

pub(super) async fn size_bytes(conn: &mut Conn) -> Result<u64, StoreError> {
    let bytes: i64 = sql(SIZE).scalar(conn).await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

async fn lock(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(WRITER_LOCK).execute(conn).await.map(drop)
}

fn code(error: &sqlx::Error) -> Option<&str> {
    let said = error.as_database_error()?;
    said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().map(|said| said.code())
}

/// Looks whether this database can be ours, and says what is to be done if not.
pub(crate) async fn assert_suitable(conn: &mut Conn) -> Result<(), StoreError> {
    let row = sql(SUITABLE).fetch_one(conn).await?;
    let refused = |reason: String| Err(StoreError::Unsuitable { reason });
    let version: i64 = row.value("version")?;
    if version < VERSION_MIN {
        let (found, known) = (version / 10_000, VERSION_MIN / 10_000);
        return refused(format!("PostgreSQL {found} is too old: use version {known} or later"));
    }
    let encoding: &str = row.value("encoding")?;
    if encoding != "UTF8" {
        return refused(format!(
            "its encoding is {encoding}: create one with `ENCODING 'UTF8' TEMPLATE template0`"
        ));
    }
    if row.is("is_standby")? {
        return refused("the server is a standby: give the address of the primary".to_owned());
    }
    if row.is("is_read_only")? {
        let reason = "its transactions only read: unset `default_transaction_read_only`";
        return refused(reason.to_owned());
    }
    if !row.is("may_create")? {
        return refused(
            "the role may not create tables in it: make it the owner of the database, or \
             `GRANT USAGE, CREATE ON SCHEMA public` to it"
                .to_owned(),
        );
    }
    if row.value::<&str>("synchronous_commit")? == "off" {
        let found = "off".to_owned();
        return Err(StoreError::Setting { setting: "synchronous_commit", found });
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
