//! Filling a new database with the rows of an archive.

use std::path::Path;

use sqlx::{
    ConnectOptions as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    SEQUENCE_TABLE, SchemaMark, TableShape, decode, quoted, refused, sequence_shape, shapes,
};
use crate::{
    Said, StoreError,
    db::{Binder, Bulk, Conn, Database, Sql, Value, created_with, make_private, postgres, sql},
    installation,
    migrate::{self, Step},
};

// Above organisations: an archive is of the whole installation.
const SEQUENCE_SET: &str = "UPDATE sqlite_sequence SET seq = $2 WHERE name = $1";
// Above organisations: an archive is of the whole installation.
const SEQUENCE_ADD: &str = "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)";
// Above organisations: an archive is of the whole installation.
const SEQUENCE_POSTGRES: &str = "
    SELECT setval(pg_get_serial_sequence($1, 'id'), greatest($2, 1), $2 > 0)";
// Above organisations: an archive is of the whole installation.
const DANGLING: &str = "SELECT \"table\", \"parent\" FROM pragma_foreign_key_check LIMIT 1";
/// Values of one statement, below SQLite's 32,766.
const VALUES_MAX: usize = 4_096;

/// A database that is being filled: of SQLite a new file, of which nothing is durable before the
/// caller syncs it; of PostgreSQL an empty database, all in one transaction.
#[derive(Debug)]
pub struct Load {
    connection: Conn,
    /// The tables as the archive's schema has them.
    tables: Vec<TableShape>,
    /// What the schema is brought up to.
    steps: &'static [Step],
}

impl Load {
    /// Begins a database with the archive's schema and no row in it.
    ///
    /// # Errors
    ///
    /// [`StoreError::SchemaTooNew`] or [`StoreError::SchemaChanged`] if this version does not know
    /// the schema. [`StoreError::Unsuitable`] if PostgreSQL's database is not empty,
    /// [`StoreError::Taken`] if somebody else is filling it.
    pub async fn create(database: &Database, schema: &SchemaMark) -> Result<Load, StoreError> {
        Load::create_by(database, schema, migrate::STEPS).await
    }

    async fn create_by(
        database: &Database,
        schema: &SchemaMark,
        steps: &'static [Step],
    ) -> Result<Load, StoreError> {
        let past = migrate::steps_of(schema, steps)?;
        let mut connection = match database {
            Database::Sqlite(path) => {
                let mut connection = new_file(path).await?;
                migrate::migrate(&mut connection, past).await?;
                connection
            }
            Database::Postgres(url) => {
                let mut connection = postgres::connect_alone(url).await?;
                postgres::assert_suitable(&mut connection).await?;
                if migrate::version(&mut connection).await? != 0 {
                    let reason = "it is in use already: give an empty one to restore into";
                    return Err(StoreError::Unsuitable { reason: reason.to_owned() });
                }
                connection.raw("BEGIN").await?;
                migrate::apply_all(&mut connection, past).await?;
                // Tables come in the order of their names, not of their references.
                connection.raw("SET CONSTRAINTS ALL DEFERRED").await?;
                connection
            }
        };
        let mut tables = shapes(&mut connection).await?;
        for table in &tables {
            let text = format!("DELETE FROM {}", quoted(&table.name));
            connection.raw(&text).await?;
        }
        tables.push(sequence_shape());
        Ok(Load { connection, tables, steps })
    }

    /// Adds rows to a table and returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Archive`] if the table or a row is none of this schema. PostgreSQL takes no
    /// more rows then.
    pub async fn rows(&mut self, table: &TableShape, lines: &[u8]) -> Result<u64, StoreError> {
        if !self.tables.contains(table) {
            return Err(refused(table, "the schema has no such table with these columns"));
        }
        let rows = decode(table, lines)?;
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        if self.connection.is_postgres() {
            add_all(&mut self.connection, table, &rows).await?;
            return Ok(count);
        }
        self.connection.raw("BEGIN").await?;
        if let Err(error) = add_all(&mut self.connection, table, &rows).await {
            // What broke may have ended the transaction, too.
            self.connection.raw("ROLLBACK").await.unwrap_or(());
            return Err(error);
        }
        self.connection.raw("COMMIT").await?;
        Ok(count)
    }

    /// Brings the schema up to date, checks that every reference has its row, gives the database
    /// the name of an installation, if there is one, and closes it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Archive`] naming the table of a reference without its row.
    pub async fn finish(mut self, installation: Option<&str>) -> Result<(), StoreError> {
        if self.connection.is_postgres() {
            let checked = self.connection.raw("SET CONSTRAINTS ALL IMMEDIATE").await;
            checked.map_err(dangling)?;
            migrate::apply_all(&mut self.connection, self.steps).await?;
            self.claim(installation).await?;
            self.connection.raw("COMMIT").await?;
            return self.connection.close().await;
        }
        migrate::migrate(&mut self.connection, self.steps).await?;
        if let Some(row) = sql(DANGLING).fetch_optional(&mut self.connection).await? {
            let (table, parent): (String, String) = (row.value("table")?, row.value("parent")?);
            let reason = format!("a row refers to one of `{parent}` that is not there");
            return Err(StoreError::Archive { table, reason });
        }
        self.claim(installation).await?;
        self.connection.close().await
    }

    /// Only the present schema is sure to have a place for it.
    async fn claim(&mut self, installation: Option<&str>) -> Result<(), StoreError> {
        if let Some(name) = installation {
            installation::claim(&mut self.connection, name).await?;
        }
        Ok(())
    }
}

/// Makes the file of a database. It is thrown away if anything fails, so there is nothing to go
/// back to.
async fn new_file(path: &Path) -> Result<Conn, StoreError> {
    make_private(path);
    let options = created_with(SqliteConnectOptions::new().filename(path))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(false);
    Ok(Conn::Sqlite(options.connect().await?))
}

/// What PostgreSQL says of a reference without its row.
fn dangling(error: StoreError) -> StoreError {
    let StoreError::Database { source: Said(sqlx::Error::Database(said)) } = &error else {
        return error;
    };
    match (said.is_foreign_key_violation(), said.table()) {
        (true, Some(table)) => {
            StoreError::Archive { table: table.to_owned(), reason: said.message().to_owned() }
        }
        (_, _) => error,
    }
}

async fn add_all(
    connection: &mut Conn,
    table: &TableShape,
    rows: &[Vec<Value>],
) -> Result<(), StoreError> {
    if table.name == SEQUENCE_TABLE {
        for row in rows {
            set_sequence(connection, table, row).await?;
        }
        return Ok(());
    }
    let rows_max = (VALUES_MAX / table.columns.len().max(1)).max(1);
    for chunk in rows.chunks(rows_max) {
        add(connection, table, chunk).await?;
    }
    Ok(())
}

async fn add(
    connection: &mut Conn,
    table: &TableShape,
    rows: &[Vec<Value>],
) -> Result<(), StoreError> {
    let columns: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
    let head = format!("INSERT INTO {} ({}) VALUES", quoted(&table.name), columns.join(", "));
    let bulk = Bulk { head: &head, columns: columns.len(), tail: "" };
    let text = bulk.text(rows.len(), connection.is_postgres());
    let mut binder = Binder::default();
    for value in rows.iter().flatten() {
        binder.add(value.clone());
    }
    match Sql::of(text, binder).execute(connection).await {
        Ok(_) => Ok(()),
        Err(StoreError::Database { source: Said(sqlx::Error::Database(said)) }) => {
            Err(refused(table, said.message()))
        }
        Err(error) => Err(error),
    }
}

/// Adding the rows has counted already, but not those that were deleted since.
async fn set_sequence(
    connection: &mut Conn,
    table: &TableShape,
    row: &[Value],
) -> Result<(), StoreError> {
    let [Value::Text(Some(name)), Value::Int(Some(last))] = row else {
        return Err(refused(table, "a row lacks a value"));
    };
    let texts: &[&'static str] =
        if connection.is_postgres() { &[SEQUENCE_POSTGRES] } else { &[SEQUENCE_SET, SEQUENCE_ADD] };
    for text in texts {
        let done = sql(text).bind(name).bind(last).execute(connection).await?;
        if done != 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnKind, ColumnShape, Store};

    /// The present schema, and one that comes after it.
    const LATER: &[Step] = &[
        migrate::STEPS[0],
        Step {
            name: "later",
            sqlite: "ALTER TABLE org ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'",
            postgres: "ALTER TABLE org ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'",
        },
    ];

    async fn filled(path: &Path, schema: &SchemaMark) -> Load {
        let mut load = Load::create_by(&path.into(), schema, LATER).await.unwrap();
        let org = load.tables.iter().find(|table| table.name == "org").unwrap().clone();
        load.rows(&org, b"[7,\"seven\",1]\n").await.unwrap();
        load
    }

    fn first() -> SchemaMark {
        let text = LATER[0].sqlite.as_bytes();
        SchemaMark { version: 1, steps: vec![crc32fast::hash(text)] }
    }

    #[tokio::test]
    async fn rows_of_an_older_schema_are_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        filled(&path, &first()).await.finish(None).await.unwrap();
        let connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let mut connection = Conn::Sqlite(connection);
        let row = sql("SELECT id, name, colour FROM org").fetch_one(&mut connection);
        let row = row.await.unwrap();
        assert_eq!(row.value::<i64>("id").unwrap(), 7);
        assert_eq!(row.value::<String>("colour").unwrap(), "grey");
        assert_eq!(migrate::version(&mut connection).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn an_archive_of_before_installations_had_names_is_given_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let steps = migrate::STEPS[..7].iter();
        let steps = steps.map(|step| crc32fast::hash(step.sqlite.as_bytes())).collect();
        let schema = SchemaMark { version: 7, steps };
        let load = Load::create_by(&path.as_path().into(), &schema, migrate::STEPS).await.unwrap();
        load.finish(Some("a1")).await.unwrap();
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.installation().await.unwrap(), Some("a1".to_owned()));
    }

    #[tokio::test]
    async fn a_newer_or_a_changed_schema_is_refused_before_a_file_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let newer = SchemaMark { version: 3, ..first() };
        let result = Load::create_by(&path.as_path().into(), &newer, LATER).await;
        assert!(matches!(result, Err(StoreError::SchemaTooNew { found: 3, known: 2 })));
        let changed = SchemaMark { version: 1, steps: vec![1] };
        let result = Load::create_by(&path.as_path().into(), &changed, LATER).await;
        assert!(matches!(result, Err(StoreError::SchemaChanged { version: 1 })));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_reference_without_its_row_and_a_strange_table_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let shapes = Store::open(&path).await.unwrap().dump().await.unwrap().tables;
        let mut load = filled(&folder.path().join("u.db"), &first()).await;
        let tag = shapes.iter().find(|table| table.name == "target_tag").unwrap();
        load.rows(tag, b"[7,\"core\",99]\n").await.unwrap();
        let again = load.rows(tag, b"[7,\"core\",99]\n").await.unwrap_err();
        assert!(again.to_string().contains("`target_tag`"), "{again}");
        let strange = TableShape {
            name: "strange".to_owned(),
            columns: vec![ColumnShape { name: "id".to_owned(), kind: ColumnKind::Integer }],
        };
        let error = load.rows(&strange, b"[1]\n").await.unwrap_err();
        assert!(error.to_string().contains("`strange`"), "{error}");
        let error = load.finish(None).await.unwrap_err().to_string();
        assert!(error.contains("`target_tag`") && error.contains("`target`"), "{error}");
    }
}
