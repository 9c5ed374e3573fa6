//! The database: how it is opened, who may write, how statements run and values go in and out.
//!
//! One connection writes, a few read; so writers queue here, in order, instead of failing on each
//! other's locks. This folder, [`crate::migrate`], [`crate::archive`], [`crate::tables`] and what
//! an error means ([`StoreError`]) know which database it is: everybody else writes one text a
//! statement, [`sql`], which every database takes, and reads a [`DbRow`].

mod conn;
pub(crate) mod postgres;
mod row;
mod sqlite;
mod statement;
mod url;
mod value;

use std::{path::Path, sync::Arc};

use model::OrgId;

use crate::{StoreError, damage::Damage, migrate};

use postgres::Postgres;
use sqlite::Sqlite;

pub(crate) use conn::{Conn, Tx};
pub(crate) use row::{Cell, DbRow, damaged};
pub(crate) use sqlite::{created_with, make_private};
pub(crate) use statement::{Bulk, Sql, Text, sql};
pub use url::{Database, DatabaseUrl, UrlError};
pub(crate) use value::{Binder, Value, big};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    damage: Damage,
}

#[derive(Debug)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

// Above organisations: what the database itself is.
const SQLITE_VERSION: &str = "SELECT sqlite_version()";
// Above organisations: what the database itself is.
const POSTGRES_VERSION: &str = "SELECT current_setting('server_version')";

/// What the statements of a transaction are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One organisation, and what belongs to the whole installation.
    Org(OrgId),
    /// All of them: the statements say why, above themselves.
    All,
}

impl Store {
    /// Opens SQLite's database at `path`, creates it if missing, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// As [`Store::open_at`].
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open_at(&path.into()).await
    }

    /// Opens a database, and brings its schema up to date. A file is created if missing, a database
    /// of PostgreSQL is not.
    ///
    /// # Errors
    ///
    /// [`StoreError::SchemaTooNew`] if a newer version wrote it; then nothing was changed.
    /// [`StoreError::Setting`] if it would not keep what it acknowledges.
    /// [`StoreError::Unreachable`], [`StoreError::Denied`], [`StoreError::Tls`],
    /// [`StoreError::Unsuitable`] and [`StoreError::Taken`] by PostgreSQL.
    pub async fn open_at(database: &Database) -> Result<Store, StoreError> {
        let engine = match database {
            Database::Sqlite(path) => Engine::Sqlite(Sqlite::open(path).await?),
            Database::Postgres(url) => Engine::Postgres(Postgres::open(url).await?),
        };
        Ok(Store { inner: Arc::new(Inner { engine, damage: Damage::default() }) })
    }

    /// Closes every connection; calls that wait for one fail.
    pub async fn close(&self) {
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.close().await,
            Engine::Postgres(engine) => engine.close().await,
        }
    }

    /// The number of the last schema step.
    pub async fn schema_version(&self) -> Result<u32, StoreError> {
        migrate::version(&mut *self.read_above().await?).await
    }

    /// The database engine: `sqlite` or `postgresql`.
    pub fn engine_name(&self) -> &'static str {
        match &self.inner.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgresql",
        }
    }

    /// The version of the database engine.
    pub async fn engine_version(&self) -> Result<String, StoreError> {
        let mut tx = self.read_above().await?;
        sql(tx.either(SQLITE_VERSION, POSTGRES_VERSION)).scalar(&mut tx).await
    }

    /// Bytes of the database: of SQLite's file, its write-ahead log apart; of everything in
    /// PostgreSQL's database, its indexes too.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        let mut tx = self.read_above().await?;
        match &self.inner.engine {
            Engine::Sqlite(_) => sqlite::size_bytes(&mut tx).await,
            Engine::Postgres(_) => postgres::size_bytes(&mut tx).await,
        }
    }

    /// Waits for the writer and its lock and gives both back: the caller times it.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.write_above().await?.rollback().await
    }

    /// Gives some free pages back to the file system and returns how many are left. PostgreSQL
    /// does that by itself, and fills the rest with what comes.
    pub async fn vacuum_step(&self) -> Result<u64, StoreError> {
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.vacuum_step().await,
            Engine::Postgres(_) => Ok(0),
        }
    }

    /// Places of the history that were found damaged since the start, and are left out.
    pub fn damaged_places(&self) -> u64 {
        self.inner.damage.places()
    }

    pub(crate) fn damage(&self) -> &Damage {
        &self.inner.damage
    }

    /// Opens a connection of its own that only reads.
    pub(crate) async fn reader(&self) -> Result<Conn, StoreError> {
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.reader().await,
            Engine::Postgres(engine) => engine.reader().await,
        }
    }

    /// Begins a transaction that sees one moment of the database, of one organisation.
    pub(crate) async fn read(&self, org: OrgId) -> Result<Tx, StoreError> {
        self.begin_read(Reach::Org(org)).await
    }

    /// As [`Store::read`], for statements above organisations.
    pub(crate) async fn read_above(&self) -> Result<Tx, StoreError> {
        self.begin_read(Reach::All).await
    }

    /// Begins a transaction that may write, and holds the lock from the start.
    pub(crate) async fn write(&self, org: OrgId) -> Result<Tx, StoreError> {
        self.begin_write(Reach::Org(org)).await
    }

    /// As [`Store::write`], for statements above organisations.
    pub(crate) async fn write_above(&self) -> Result<Tx, StoreError> {
        self.begin_write(Reach::All).await
    }

    async fn begin_read(&self, reach: Reach) -> Result<Tx, StoreError> {
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.read().await,
            Engine::Postgres(engine) => engine.read(reach).await,
        }
    }

    async fn begin_write(&self, reach: Reach) -> Result<Tx, StoreError> {
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.write().await,
            Engine::Postgres(engine) => engine.write(reach).await,
        }
    }
}
