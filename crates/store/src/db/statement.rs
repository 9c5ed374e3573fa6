//! Statements: their text, their values, and running them on a connection.

use std::{borrow::Cow, fmt::Write as _};

use futures_util::{StreamExt as _, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, Database, IntoArguments, Postgres, Sqlite, postgres::PgArguments,
    sqlite::SqliteArguments,
};

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

type Query<D, A> = sqlx::query::Query<'static, D, A>;

impl Sql {
    /// A statement whose text was put together of constants.
    pub(crate) fn of(text: String, binder: Binder) -> Sql {
        Sql { text: Cow::Owned(text), binder }
    }

    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Sql {
        self.binder.add(value);
        self
    }

    fn sqlite(self) -> Result<Query<Sqlite, SqliteArguments>, StoreError> {
        Ok(query(self.text, self.binder.sqlite()?))
    }

    fn postgres(self) -> Result<Query<Postgres, PgArguments>, StoreError> {
        Ok(query(self.text, self.binder.postgres()?))
    }

    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<DbRow>, StoreError> {
        Ok(match conn.side() {
            Side::Sqlite(conn) => {
                let rows = self.sqlite()?.fetch_all(conn).await?;
                rows.into_iter().map(DbRow::Sqlite).collect()
            }
            Side::Postgres(conn) => {
                let rows = self.postgres()?.fetch_all(conn).await?;
                rows.into_iter().map(DbRow::Postgres).collect()
            }
        })
    }

    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<DbRow, StoreError> {
        Ok(match conn.side() {
            Side::Sqlite(conn) => DbRow::Sqlite(self.sqlite()?.fetch_one(conn).await?),
            Side::Postgres(conn) => DbRow::Postgres(self.postgres()?.fetch_one(conn).await?),
        })
    }

    pub(crate) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<DbRow>, StoreError> {
        Ok(match conn.side() {
            Side::Sqlite(conn) => self.sqlite()?.fetch_optional(conn).await?.map(DbRow::Sqlite),
            Side::Postgres(conn) => {
                self.postgres()?.fetch_optional(conn).await?.map(DbRow::Postgres)
            }
        })
    }

    /// The rows as they come.
    pub(crate) fn fetch(
        self,
        conn: &mut Conn,
    ) -> Result<BoxStream<'_, Result<DbRow, StoreError>>, StoreError> {
        Ok(match conn.side() {
            Side::Sqlite(conn) => {
                let rows = self.sqlite()?.fetch(conn);
                rows.map(|row| Ok(DbRow::Sqlite(row?))).boxed()
            }
            Side::Postgres(conn) => {
                let rows = self.postgres()?.fetch(conn);
                rows.map(|row| Ok(DbRow::Postgres(row?))).boxed()
            }
        })
    }

    /// Runs it and returns how many rows it changed.
    pub(crate) async fn execute(self, conn: &mut Conn) -> Result<u64, StoreError> {
        Ok(match conn.side() {
            Side::Sqlite(conn) => self.sqlite()?.execute(conn).await?.rows_affected(),
            Side::Postgres(conn) => self.postgres()?.execute(conn).await?.rows_affected(),
        })
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

fn query<A: IntoArguments<D>, D: Database>(text: Cow<'static, str>, arguments: A) -> Query<D, A> {
    match text {
        Cow::Borrowed(text) => sqlx::query_with(text, arguments),
        Cow::Owned(text) => sqlx::query_with(AssertSqlSafe(text), arguments),
    }
}

/// A statement that takes many rows at once: `head (?,?),(?,?),… tail`.
///
/// One call costs some tens of microseconds before it does anything, so thousands of rows need it.
/// The text depends on nothing but constants and the number of rows, of which there are three.
/// Placeholders are plain `?` for SQLite, which finds a numbered one by walking the list of all.
pub(crate) struct Bulk<'a> {
    pub(crate) head: &'a str,
    pub(crate) columns: usize,
    pub(crate) tail: &'a str,
}

/// Rows of one statement, largest first, so that each text is prepared once. The largest stays
/// below SQLite's 32,766 placeholders, and PostgreSQL's 65,535, with 17 columns.
const BULK_ROWS: [usize; 3] = [256, 16, 1];

impl Bulk<'_> {
    pub(crate) fn text(&self, rows: usize, is_numbered: bool) -> String {
        let mut text = String::from(self.head);
        let mut number = 0_usize;
        for row in 0..rows {
            text.push_str(if row == 0 { " (" } else { "),(" });
            for column in 0..self.columns {
                number = number.saturating_add(1);
                let comma = if column == 0 { "" } else { "," };
                if is_numbered {
                    // Writing to a String does not fail.
                    write!(text, "{comma}${number}").unwrap_or(());
                } else {
                    text.push_str(comma);
                    text.push('?');
                }
            }
        }
        text.push_str(") ");
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
                let text = self.text(size, conn.is_postgres());
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
