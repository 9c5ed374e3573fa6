//! Connections and transactions of whichever database it is.

use std::ops::{Deref, DerefMut};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Postgres, Sqlite, SqliteConnection,
    pool::PoolConnection,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::StoreError;

/// Something that statements run on.
#[derive(Debug)]
pub(crate) enum Conn {
    /// A connection of its own.
    Sqlite(SqliteConnection),
    SqliteTx(sqlx::Transaction<'static, Sqlite>),
    /// A connection of its own.
    Postgres(PgConnection),
    /// One that goes back to the others.
    PostgresPooled(PoolConnection<Postgres>),
    PostgresTx(sqlx::Transaction<'static, Postgres>),
}

/// Which database a connection is of.
pub(super) enum Side<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Conn {
    pub(super) fn side(&mut self) -> Side<'_> {
        match self {
            Conn::Sqlite(conn) => Side::Sqlite(conn),
            Conn::SqliteTx(tx) => Side::Sqlite(tx),
            Conn::Postgres(conn) => Side::Postgres(conn),
            Conn::PostgresPooled(conn) => Side::Postgres(conn),
            Conn::PostgresTx(tx) => Side::Postgres(tx),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Conn::Postgres(_) | Conn::PostgresPooled(_) | Conn::PostgresTx(_))
    }

    /// The one of two texts that this database understands.
    pub(crate) fn either(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        if self.is_postgres() { postgres } else { sqlite }
    }

    /// Runs one or several statements without values.
    pub(crate) async fn raw(&mut self, text: &str) -> Result<(), StoreError> {
        let text = sqlx::raw_sql(AssertSqlSafe(text));
        match self.side() {
            Side::Sqlite(conn) => text.execute(conn).await.map(|_| ())?,
            Side::Postgres(conn) => text.execute(conn).await.map(|_| ())?,
        }
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self {
            Conn::Sqlite(conn) => Ok(conn.close().await?),
            Conn::Postgres(conn) => Ok(conn.close().await?),
            Conn::PostgresPooled(_) => Ok(()),
            Conn::SqliteTx(tx) => Ok(tx.rollback().await?),
            Conn::PostgresTx(tx) => Ok(tx.rollback().await?),
        }
    }
}

/// A transaction. It is undone if it is not committed.
#[derive(Debug)]
pub(crate) struct Tx {
    conn: Conn,
    /// Of PostgreSQL: whoever waits for a connection comes when this one is given back.
    _turn: Option<OwnedSemaphorePermit>,
}

impl From<sqlx::Transaction<'static, Sqlite>> for Tx {
    fn from(tx: sqlx::Transaction<'static, Sqlite>) -> Tx {
        Tx { conn: Conn::SqliteTx(tx), _turn: None }
    }
}

impl Tx {
    pub(super) fn in_turn(
        tx: sqlx::Transaction<'static, Postgres>,
        turn: OwnedSemaphorePermit,
    ) -> Tx {
        Tx { conn: Conn::PostgresTx(tx), _turn: Some(turn) }
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.conn {
            Conn::SqliteTx(tx) => Ok(tx.commit().await?),
            Conn::PostgresTx(tx) => Ok(tx.commit().await?),
            // None is made of these.
            Conn::Sqlite(_) | Conn::Postgres(_) | Conn::PostgresPooled(_) => Ok(()),
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        self.conn.close().await
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
