//! Connections and transactions of whichever database it is.

use std::ops::{Deref, DerefMut};

use sqlx::{AssertSqlSafe, Connection as _, Sqlite, SqliteConnection};

use crate::StoreError;

/// Something that statements run on.
#[derive(Debug)]
pub(crate) enum Conn {
    /// A connection of its own.
    Sqlite(SqliteConnection),
    SqliteTx(sqlx::Transaction<'static, Sqlite>),
}

/// Which database a connection is of.
pub(super) enum Side<'a> {
    Sqlite(&'a mut SqliteConnection),
}

impl Conn {
    pub(super) fn side(&mut self) -> Side<'_> {
        match self {
            Conn::Sqlite(conn) => Side::Sqlite(conn),
            Conn::SqliteTx(tx) => Side::Sqlite(tx),
        }
    }

    /// Runs one or several statements without values.
    pub(crate) async fn raw(&mut self, text: &str) -> Result<(), StoreError> {
        let Side::Sqlite(conn) = self.side();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(conn).await?;
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self {
            Conn::Sqlite(conn) => Ok(conn.close().await?),
            Conn::SqliteTx(tx) => Ok(tx.rollback().await?),
        }
    }
}

/// A transaction. It is undone if it is not committed.
#[derive(Debug)]
pub(crate) struct Tx(Conn);

impl Tx {
    pub(super) fn sqlite(tx: sqlx::Transaction<'static, Sqlite>) -> Tx {
        Tx(Conn::SqliteTx(tx))
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Conn::SqliteTx(tx) => Ok(tx.commit().await?),
            Conn::Sqlite(_) => Ok(()),
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self.0 {
            Conn::SqliteTx(tx) => Ok(tx.rollback().await?),
            Conn::Sqlite(_) => Ok(()),
        }
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}
