//! The schema's steps: forward only, in order, each in a transaction, never edited once released.

use crate::{
    SchemaMark, StoreError,
    db::{Conn, sql},
};

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

/// All steps; the n-th (from 1) makes schema n.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "first", text: include_str!("../migrations/sqlite/0001_first.sql") },
    Step { name: "streams", text: include_str!("../migrations/sqlite/0002_streams.sql") },
    Step { name: "chunks", text: include_str!("../migrations/sqlite/0003_chunks.sql") },
    Step { name: "names", text: include_str!("../migrations/sqlite/0004_names.sql") },
    Step { name: "topology", text: include_str!("../migrations/sqlite/0005_topology.sql") },
];

const SCHEMA_STEP: &str = "
    CREATE TABLE IF NOT EXISTS schema_step (
        version    BIGINT NOT NULL PRIMARY KEY,
        name       TEXT   NOT NULL,
        checksum   BIGINT NOT NULL
    )";
// Above organisations: the schema is one.
const STEP_TABLE_FOUND: &str =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_step'";
// Above organisations: the schema is one.
const STEP_LAST: &str = "SELECT coalesce(max(version), 0) AS version FROM schema_step";
// Above organisations: the schema is one.
const STEP_LIST: &str = "SELECT version, checksum FROM schema_step ORDER BY version LIMIT $1";
// Above organisations: the schema is one.
const STEP_ADD: &str = "INSERT INTO schema_step (version, name, checksum) VALUES ($1, $2, $3)";

/// The schema that the database has; 0 if it is empty.
pub(crate) async fn version(connection: &mut Conn) -> Result<u32, StoreError> {
    let found: i64 = sql(STEP_TABLE_FOUND).scalar(&mut *connection).await?;
    if found == 0 {
        return Ok(0);
    }
    let row = sql(STEP_LAST).fetch_one(connection).await?;
    row.number("version")
}

/// Applies the steps that are missing.
///
/// # Errors
///
/// [`StoreError::SchemaTooNew`] and [`StoreError::SchemaChanged`], before anything is changed.
pub(crate) async fn migrate(connection: &mut Conn, steps: &[Step]) -> Result<(), StoreError> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let found = version(connection).await?;
    if known < found {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    if 0 < found {
        assert_unchanged(connection, steps).await?;
    }
    for (step, number) in steps.iter().zip(1_u32..) {
        if number <= found {
            continue;
        }
        connection.raw("BEGIN IMMEDIATE").await?;
        if let Err(error) = apply(connection, step, number).await {
            // What broke may have ended the transaction, too.
            connection.raw("ROLLBACK").await.unwrap_or(());
            return Err(error);
        }
        connection.raw("COMMIT").await?;
        tracing::info!(version = number, name = step.name, "schema step applied");
    }
    Ok(())
}

async fn apply(connection: &mut Conn, step: &Step, number: u32) -> Result<(), StoreError> {
    connection.raw(SCHEMA_STEP).await?;
    connection.raw(step.text).await?;
    sql(STEP_ADD)
        .bind(number)
        .bind(step.name)
        .bind(crc32fast::hash(step.text.as_bytes()))
        .execute(connection)
        .await?;
    Ok(())
}

/// The schema that the database has, with the checksums of its steps.
pub(crate) async fn mark(connection: &mut Conn) -> Result<SchemaMark, StoreError> {
    let version = version(connection).await?;
    let mut steps = Vec::new();
    if 0 < version {
        let rows = sql(STEP_LIST).bind(version).fetch_all(connection).await?;
        for row in rows {
            steps.push(row.number("checksum")?);
        }
    }
    Ok(SchemaMark { version, steps })
}

/// The steps of `all` that lead to a schema.
///
/// # Errors
///
/// [`StoreError::SchemaTooNew`] and [`StoreError::SchemaChanged`] if they are not among them.
pub(crate) fn steps_of<'a>(schema: &SchemaMark, all: &'a [Step]) -> Result<&'a [Step], StoreError> {
    let known = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let found = schema.version;
    let steps = all.get(..usize::try_from(found).unwrap_or(usize::MAX));
    let steps = steps.ok_or(StoreError::SchemaTooNew { found, known })?;
    for (step, version) in steps.iter().zip(1_u32..) {
        let index = usize::try_from(version - 1).unwrap_or(usize::MAX);
        if schema.steps.get(index) != Some(&crc32fast::hash(step.text.as_bytes())) {
            return Err(StoreError::SchemaChanged { version });
        }
    }
    Ok(steps)
}

async fn assert_unchanged(connection: &mut Conn, steps: &[Step]) -> Result<(), StoreError> {
    let applied = sql(STEP_LIST)
        .bind(i64::try_from(steps.len()).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    for row in applied {
        let version: u32 = row.number("version")?;
        let index = usize::try_from(version.saturating_sub(1)).unwrap_or(usize::MAX);
        let checksum: u32 = row.number("checksum")?;
        if steps.get(index).map(|s| crc32fast::hash(s.text.as_bytes())) != Some(checksum) {
            return Err(StoreError::SchemaChanged { version });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

    use super::*;

    const SCHEMA: &str = "SELECT name, sql FROM sqlite_schema ORDER BY name LIMIT 1000";

    async fn schema(connection: &mut Conn) -> Vec<(String, Option<String>)> {
        let rows = sql(SCHEMA).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| (row.value("name").unwrap(), row.value("sql").unwrap())).collect()
    }

    async fn empty() -> Conn {
        let options = SqliteConnectOptions::new().in_memory(true);
        Conn::Sqlite(options.connect().await.unwrap())
    }

    #[tokio::test]
    async fn a_fresh_database_equals_an_upgraded_one() {
        let mut fresh = empty().await;
        migrate(&mut fresh, STEPS).await.unwrap();
        let mut upgraded = empty().await;
        for count in 0..=STEPS.len() {
            migrate(&mut upgraded, &STEPS[..count]).await.unwrap();
            assert_eq!(version(&mut upgraded).await.unwrap() as usize, count);
        }
        assert_eq!(schema(&mut fresh).await, schema(&mut upgraded).await);
    }

    #[tokio::test]
    async fn a_failed_step_leaves_nothing() {
        let mut connection = empty().await;
        let broken = Step {
            name: "broken",
            text: "CREATE TABLE half (id BIGINT); CREATE TABLE half (id BIGINT);",
        };
        assert!(migrate(&mut connection, &[broken]).await.is_err());
        assert_eq!(schema(&mut connection).await, []);
    }

    #[tokio::test]
    async fn every_table_belongs_to_an_organisation() {
        let mut connection = empty().await;
        migrate(&mut connection, STEPS).await.unwrap();
        let of_all = [
            "org",
            "schema_step",
            "inventory_head",
            "engine_state",
            "engine_checkpoint",
            "sqlite_sequence",
        ];
        for (name, text) in schema(&mut connection).await {
            let text = text.unwrap_or_default();
            if text.starts_with("CREATE TABLE") && !of_all.contains(&name.as_str()) {
                assert!(text.contains("org_id"), "{name}");
            }
        }
    }
}
