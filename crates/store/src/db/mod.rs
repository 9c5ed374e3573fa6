//! The database: how it is opened, who may write, how statements run and values go in and out.
//!
//! One connection writes, a few read; so writers queue here, in order, instead of failing on each
//! other's locks. This folder, [`crate::migrate`] and [`crate::archive`] are the only places that
//! know which database it is: everybody else writes one text a statement, [`sql`], which every
//! database takes, and reads a [`DbRow`].

mod conn;
mod row;
mod sqlite;
mod statement;
mod value;

use std::{path::Path, sync::Arc};

use model::OrgId;

use crate::{StoreError, damage::Damage, migrate};

use sqlite::Sqlite;

pub(crate) use conn::{Conn, Tx};
pub(crate) use row::{Cell, DbRow, damaged};
pub(crate) use sqlite::{created_with, make_private};
pub(crate) use statement::{Bulk, Sql, Text, sql};
pub(crate) use value::{Binder, Value, big};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Sqlite,
    damage: Damage,
}

/// What the statements of a transaction are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One organisation, and what belongs to the whole installation.
    Org(OrgId),
    /// All of them: the statements say why, above themselves.
    All,
}

impl Store {
    /// Opens the database at `path`, creates it if missing, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::SchemaTooNew`] if a newer version wrote it; then nothing was changed.
    /// [`StoreError::Setting`] if it would not keep what it acknowledges.
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
        let database = Sqlite::open(path).await?;
        Ok(Store { inner: Arc::new(Inner { database, damage: Damage::default() }) })
    }

    /// Closes every connection; calls that wait for one fail.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    /// The number of the last schema step.
    pub async fn schema_version(&self) -> Result<u32, StoreError> {
        migrate::version(&mut *self.read_above().await?).await
    }

    /// The version of SQLite.
    pub async fn engine_version(&self) -> Result<String, StoreError> {
        sql("SELECT sqlite_version()").scalar(&mut *self.read_above().await?).await
    }

    /// Bytes of the database file, its write-ahead log apart.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        sqlite::size_bytes(&mut *self.read_above().await?).await
    }

    /// Waits for the writer and its lock and gives both back: the caller times it.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.write_above().await?.rollback().await
    }

    /// Gives some free pages back to the file system and returns how many are left.
    pub async fn vacuum_step(&self) -> Result<u64, StoreError> {
        self.inner.database.vacuum_step().await
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
        self.inner.database.reader().await
    }

    /// Begins a transaction that sees one moment of the database, of one organisation.
    pub(crate) async fn read(&self, org: OrgId) -> Result<Tx, StoreError> {
        self.inner.database.read(Reach::Org(org)).await
    }

    /// As [`Store::read`], for statements above organisations.
    pub(crate) async fn read_above(&self) -> Result<Tx, StoreError> {
        self.inner.database.read(Reach::All).await
    }

    /// Begins a transaction that may write, and holds the lock from the start.
    pub(crate) async fn write(&self, org: OrgId) -> Result<Tx, StoreError> {
        self.inner.database.write(Reach::Org(org)).await
    }

    /// As [`Store::write`], for statements above organisations.
    pub(crate) async fn write_above(&self) -> Result<Tx, StoreError> {
        self.inner.database.write(Reach::All).await
    }
}
