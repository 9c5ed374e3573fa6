//! Looking at a database without changing it, also at one that a server has open or that is
//! damaged.

use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{SchemaMark, dump::BEGIN_POSTGRES};
use crate::{
    Applied, Checkpoint, StoreError, commit,
    db::{Conn, Database, postgres, sql},
    migrate, series,
};

/// As a function it would take the bound number for the name of a table.
const INTEGRITY: &str = "PRAGMA integrity_check(10)";
// Above organisations: an archive is of the whole installation.
const DANGLING: &str = "
    SELECT \"table\" || ' refers to a row of ' || \"parent\" || ' that is not there'
      FROM pragma_foreign_key_check
     LIMIT $1";
/// Findings of one kind: the first say what is broken.
const FINDINGS_MAX: i64 = 10;
const INTACT: &str = "ok";

/// What a database says of itself.
#[derive(Debug)]
pub struct Inspection {
    pub schema: SchemaMark,
    /// What the database engine finds broken, and what of the history cannot be read; empty if
    /// nothing is.
    pub damage: Vec<String>,
    /// References without their row.
    pub dangling: Vec<String>,
    pub applied: Applied,
    /// The newest.
    pub checkpoint: Option<Checkpoint>,
}

/// Looks at a database.
///
/// # Errors
///
/// [`StoreError`] if it cannot be read at all, or its schema is none of this version.
pub async fn inspect(database: &Database) -> Result<Inspection, StoreError> {
    let (mut connection, mut damage) = match database {
        Database::Sqlite(path) => {
            // Read-only: a look must not bring the write-ahead log of a crash into the file.
            let options = SqliteConnectOptions::new().filename(path).read_only(true);
            let mut connection = Conn::Sqlite(options.connect().await?);
            let damage: Vec<String> = sql(INTEGRITY).scalars(&mut connection).await?;
            (connection, damage)
        }
        // It looks after its pages and its references itself.
        Database::Postgres(url) => {
            let mut connection = postgres::connect(url).await?;
            connection.raw(BEGIN_POSTGRES).await?;
            (connection, Vec::new())
        }
    };
    damage.retain(|finding| finding != INTACT);
    let schema = migrate::mark(&mut connection).await?;
    let past = migrate::steps_of(&schema, migrate::STEPS)?;
    if past.len() == migrate::STEPS.len() {
        damage.extend(series::inspect(&mut connection).await?);
    }
    let dangling = match connection.is_postgres() {
        true => Vec::new(),
        false => sql(DANGLING).bind(FINDINGS_MAX).scalars(&mut connection).await?,
    };
    Ok(Inspection {
        schema,
        damage,
        dangling,
        applied: commit::applied(&mut connection).await?,
        checkpoint: commit::checkpoints(&mut connection).await?.into_iter().next(),
    })
}
