//! Reading all tables as of one moment, while others go on writing.

use std::fmt;

use futures_util::{StreamExt as _, stream::BoxStream};
use model::LogPosition;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{RowPart, SchemaMark, TableShape, encode_row, quoted, sequence_shape, shapes};
use crate::{
    Applied, Store, StoreError, commit,
    db::{Binder, Conn, Database, DbRow, Sql, postgres, sql},
    migrate,
};

const BEGIN: &str = "BEGIN";
pub(super) const BEGIN_POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
// Above organisations: an archive is of the whole installation.
const CHECKPOINT_AT: &str = "SELECT coalesce(min(position), 0) AS position FROM engine_checkpoint";
// Above organisations: an archive is of the whole installation.
const ORGANISATIONS: &str = "SELECT name FROM org ORDER BY name LIMIT $1";
// Above organisations: an archive is of the whole installation.
const SEQUENCES_POSTGRES: &str = "
    SELECT regexp_replace(CAST(sequencename AS TEXT), '_id_seq$', '') COLLATE \"C\" AS name,
           last_value AS seq
      FROM pg_catalog.pg_sequences
     WHERE schemaname = current_schema()
       AND last_value IS NOT NULL
     ORDER BY name";
// Above organisations: an archive is of the whole installation.
const SEQUENCES: &str = "SELECT name, seq FROM sqlite_sequence ORDER BY name";
/// Names in the manifest of an archive: a label, not a record.
const ORGANISATIONS_MAX: i64 = 100;

/// One moment of the database, on a connection of its own.
///
/// While it is held the database's write-ahead log cannot be cut back: let it go soon.
#[derive(Debug)]
pub struct Dump {
    connection: Conn,
    pub tables: Vec<TableShape>,
    pub schema: SchemaMark,
    /// How far the log is applied.
    pub applied: Applied,
    /// Where the oldest checkpoint that is kept was made: the log behind it belongs to this
    /// moment. Zero if there is none.
    pub checkpoint: LogPosition,
    pub organisations: Vec<String>,
}

impl Store {
    /// Holds this moment, to read all of it.
    pub async fn dump(&self) -> Result<Dump, StoreError> {
        Dump::begin(self.reader().await?).await
    }
}

impl Dump {
    /// Holds a database that no server has open; its schema stays as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::SchemaTooNew`]: this version does not know what it would leave out.
    pub async fn open(database: &Database) -> Result<Dump, StoreError> {
        let conn = match database {
            Database::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                Conn::Sqlite(options.pragma("query_only", "ON").connect().await?)
            }
            Database::Postgres(url) => postgres::connect(url).await?,
        };
        Dump::begin(conn).await
    }

    async fn begin(mut connection: Conn) -> Result<Dump, StoreError> {
        connection.raw(connection.either(BEGIN, BEGIN_POSTGRES)).await?;
        // The first statement that reads is what fixes the moment.
        let schema = migrate::mark(&mut connection).await?;
        let applied = commit::applied(&mut connection).await?;
        let row = sql(CHECKPOINT_AT).fetch_one(&mut connection).await?;
        let checkpoint = LogPosition(row.number("position")?);
        let organisations = sql(ORGANISATIONS).bind(ORGANISATIONS_MAX);
        let organisations = organisations.scalars(&mut connection).await?;
        let mut tables = shapes(&mut connection).await?;
        tables.push(sequence_shape());
        Ok(Dump { connection, tables, schema, applied, checkpoint, organisations })
    }

    /// Reads the rows of one of [`Dump::tables`].
    ///
    /// # Errors
    ///
    /// As the database says.
    pub fn rows(&mut self, table: &TableShape) -> Result<Rows<'_>, StoreError> {
        let text = if *table == sequence_shape() {
            self.connection.either(SEQUENCES, SEQUENCES_POSTGRES).to_owned()
        } else {
            let columns: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
            format!("SELECT {} FROM {}", columns.join(", "), quoted(&table.name))
        };
        let rows = Sql::of(text, Binder::default()).fetch(&mut self.connection)?;
        Ok(Rows { rows, table: table.clone() })
    }
}

/// The rows of a table, part by part.
pub struct Rows<'a> {
    rows: BoxStream<'a, Result<DbRow, StoreError>>,
    table: TableShape,
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("table", &self.table.name).finish_non_exhaustive()
    }
}

impl Rows<'_> {
    /// Returns the next rows, at least `bytes` of them if there are as many; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] naming table and column of a value that no version writes.
    pub async fn part(&mut self, bytes: usize) -> Result<Option<RowPart>, StoreError> {
        let mut part = RowPart::default();
        while part.lines.len() < bytes {
            let Some(row) = self.rows.next().await else {
                break;
            };
            encode_row(&mut part.lines, &self.table, &row?)?;
            part.rows += 1;
        }
        Ok((part.rows != 0).then_some(part))
    }
}
