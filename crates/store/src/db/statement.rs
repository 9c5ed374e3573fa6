//! Statements: their text, their values, and running them on a connection.

use std::borrow::Cow;

use futures_util::{StreamExt as _, stream::BoxStream};
use sqlx::{AssertSqlSafe, sqlite::SqliteArguments};

use super::{
    conn::{Conn, Side},
    row::{DbRow, FromCell},
    value::{Binder, Value},
};
use crate::StoreError;

/// A statement with its values.
#[derive(Debug)]
pub(crate) struct Sql {
    text: Cow<'static, str>,
    binder: Binder,
}

/// Begins a statement. Its values are `$1`, `$2`, … in the order in which they are bound.
pub(crate) fn sql(text: &'static str) -> Sql {
    Sql { text: Cow::Borrowed(text), binder: Binder::default() }
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, SqliteArguments>;

impl Sql {
    /// A statement whose text was put together of constants.
    pub(crate) fn of(text: String, binder: Binder) -> Sql {
        Sql { text: Cow::Owned(text), binder }
    }

    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Sql {
        self.binder.add(value);
        self
    }

    fn sqlite(self) -> Result<Query, StoreError> {
        let arguments = self.binder.sqlite()?;
        Ok(match self.text {
            Cow::Borrowed(text) => sqlx::query_with(text, arguments),
            Cow::Owned(text) => sqlx::query_with(AssertSqlSafe(text), arguments),
        })
    }

    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<DbRow>, StoreError> {
        let Side::Sqlite(conn) = conn.side();
        let rows = self.sqlite()?.fetch_all(conn).await?;
        Ok(rows.into_iter().map(DbRow).collect())
    }

    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<DbRow, StoreError> {
        let Side::Sqlite(conn) = conn.side();
        Ok(DbRow(self.sqlite()?.fetch_one(conn).await?))
    }

    pub(crate) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<DbRow>, StoreError> {
        let Side::Sqlite(conn) = conn.side();
        Ok(self.sqlite()?.fetch_optional(conn).await?.map(DbRow))
    }

    /// The rows as they come.
    pub(crate) fn fetch(
        self,
        conn: &mut Conn,
    ) -> Result<BoxStream<'_, Result<DbRow, StoreError>>, StoreError> {
        let Side::Sqlite(conn) = conn.side();
        let rows = self.sqlite()?.fetch(conn);
        Ok(rows.map(|row| Ok(DbRow(row?))).boxed())
    }

    /// Runs it and returns how many rows it changed.
    pub(crate) async fn execute(self, conn: &mut Conn) -> Result<u64, StoreError> {
        let Side::Sqlite(conn) = conn.side();
        Ok(self.sqlite()?.execute(conn).await?.rows_affected())
    }

    /// The only value of the only row.
    pub(crate) async fn scalar<T: for<'r> FromCell<'r>>(
        self,
        conn: &mut Conn,
    ) -> Result<T, StoreError> {
        self.fetch_one(conn).await?.only()
    }

    /// The only value of the row, if there is one.
    pub(crate) async fn scalar_optional<T: for<'r> FromCell<'r>>(
        self,
        conn: &mut Conn,
    ) -> Result<Option<T>, StoreError> {
        self.fetch_optional(conn).await?.map(|row| row.only()).transpose()
    }

    /// The only value of each row.
    pub(crate) async fn scalars<T: for<'r> FromCell<'r>>(
        self,
        conn: &mut Conn,
    ) -> Result<Vec<T>, StoreError> {
        self.fetch_all(conn).await?.iter().map(DbRow::only).collect()
    }
}

/// A statement that takes many rows at once: `head (?,?),(?,?),… tail`.
///
/// One call costs some tens of microseconds before it does anything, so thousands of rows need it.
/// The text depends on nothing but constants and the number of rows, of which there are three.
/// Placeholders are plain `?` here: SQLite finds a numbered one by walking the list of all.
pub(crate) struct Bulk {
    pub(crate) head: &'static str,
    pub(crate) columns: usize,
    pub(crate) tail: &'static str,
}

/// Rows of one statement, largest first, so that each text is prepared once. The largest stays
/// below SQLite's 32,766 placeholders with 17 columns.
const BULK_ROWS: [usize; 3] = [256, 16, 1];

impl Bulk {
    pub(crate) fn text(&self, rows: usize) -> String {
        let row = format!("({}?)", "?,".repeat(self.columns.saturating_sub(1)));
        let mut text = String::from(self.head);
        for index in 0..rows {
            text.push(if index == 0 { ' ' } else { ',' });
            text.push_str(&row);
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }

    /// Runs it over `rows`; `bind` adds one row's columns. Gives what `RETURNING` returns.
    pub(crate) async fn run<T>(
        &self,
        conn: &mut Conn,
        mut rows: &[T],
        bind: impl Fn(&T, &mut Binder),
    ) -> Result<Vec<DbRow>, StoreError> {
        let mut returned = Vec::new();
        for size in BULK_ROWS {
            while let Some((chunk, rest)) = rows.split_at_checked(size) {
                rows = rest;
                let mut binder = Binder::default();
                for row in chunk {
                    bind(row, &mut binder);
                }
                let text = self.text(size);
                returned.extend(Sql::of(text, binder).fetch_all(&mut *conn).await?);
            }
        }
        Ok(returned)
    }
}

/// A statement whose conditions depend on what is asked for.
///
/// Only constants become text; everything else becomes a numbered value.
pub(crate) struct Text {
    text: String,
    binder: Binder,
}

impl Text {
    pub(crate) fn new(head: &'static str) -> Text {
        Text { text: head.to_owned(), binder: Binder::default() }
    }

    pub(crate) fn push(&mut self, constant: &'static str) -> &mut Text {
        self.text.push_str(constant);
        self
    }

    pub(crate) fn value(&mut self, value: impl Into<Value>) -> &mut Text {
        self.binder.add(value);
        self.text.push_str(&format!("${}", self.binder.len()));
        self
    }

    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<DbRow>, StoreError> {
        Sql::of(self.text, self.binder).fetch_all(conn).await
    }
}

#[cfg(test)]
impl Text {
    /// The same statement, asking how it would be run.
    pub(crate) fn explained(mut self) -> Text {
        self.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        self
    }
}
