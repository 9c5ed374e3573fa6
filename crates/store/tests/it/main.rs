//! The conformance suite: what every database behind the store must do alike.
//!
//! A run is about one database: SQLite, or the PostgreSQL that the variable
//! `FAULTLINE_TEST_POSTGRES` names. `cargo xtask test` starts one and makes both runs. What is only
//! of one of them says so: `sqlite()`, or the module `postgres`.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test, as the test itself does"
)]

mod archive;
mod chunks;
mod crash;
mod engine;
mod facts;
mod incidents;
mod inventory;
mod list;
mod maintenance;
mod map;
mod metrics;
mod open;
mod outbox;
mod paths;
mod people;
mod postgres;
mod rollups;
mod tables;
mod topology;
mod traces;

use model::{Address, Name, TargetId, UtcMicros};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use store::{
    Database, DatabaseUrl, NewTarget, ORG_DEFAULT, RollupsBefore, Scope, Store, TargetRow,
};

/// Names a database of PostgreSQL, as a URL without parameters, in which a role that is no
/// superuser may create schemas; databases, too.
const POSTGRES: &str = "FAULTLINE_TEST_POSTGRES";

/// A store over an empty database of its own.
struct Fixture {
    store: Store,
    scope: Scope,
    folder: tempfile::TempDir,
    database: Database,
    /// Of PostgreSQL: the database that the schema is in.
    url: Option<String>,
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration but this")]
fn postgres_url() -> Option<String> {
    std::env::var(POSTGRES).ok()
}

/// Over the database that this run is about.
async fn fixture() -> Fixture {
    match postgres_url() {
        None => sqlite().await,
        Some(url) => in_schema(&url).await,
    }
}

async fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("faultline.db"));
    opened(folder, database, None).await
}

/// Over a schema of its own.
async fn in_schema(url: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Postgres(empty_schema(url, &folder).await);
    opened(folder, database, Some(url.to_owned())).await
}

/// No two folders have one name, so no two schemas have.
fn schema_of(folder: &tempfile::TempDir) -> String {
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let letters = name.bytes().map(|byte| format!("{byte:02x}"));
    format!("t{}", letters.collect::<String>())
}

async fn empty_schema(url: &str, folder: &tempfile::TempDir) -> DatabaseUrl {
    let schema = schema_of(folder);
    let options: PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let text = format!("CREATE SCHEMA {schema}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    DatabaseUrl::parse(&format!("{url}?options=-csearch_path%3D{schema}")).unwrap()
}

async fn opened(folder: tempfile::TempDir, database: Database, url: Option<String>) -> Fixture {
    let store = Store::open_at(&database).await.unwrap();
    Fixture { store, scope: Scope::system(ORG_DEFAULT), folder, database, url }
}

/// Tells which half of the suite a run leaves out; the profile of nextest shows what it says.
#[test]
fn which_database_this_run_is_about() {
    match postgres_url() {
        None => println!(
            "the store was tested on SQLite ALONE: PostgreSQL's half was SKIPPED, because \
             {POSTGRES} names no database; `cargo xtask test` starts one"
        ),
        Some(_) => println!("the store was tested on PostgreSQL"),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Seconds after some day.
fn at(seconds: i64) -> UtcMicros {
    UtcMicros(1_800_000_000_000_000 + seconds * 1_000_000)
}

/// All of them up to the same time.
fn rollups_before(at: UtcMicros) -> RollupsBefore {
    RollupsBefore { pair_fives: at, pair_hours: at, all_fives: at, all_hours: at, all_days: at }
}

fn new_target(target: &str, to: &str) -> NewTarget {
    NewTarget {
        name: name(target),
        address: address(to),
        tier: None,
        tags: Vec::new(),
        note: String::new(),
        is_paused: false,
    }
}

impl Fixture {
    async fn target(&self, target: &str, to: &str) -> TargetRow {
        let new = new_target(target, to);
        let created = self.store.target_create(&self.scope, &new, at(0)).await;
        created.unwrap().row
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("faultline.db")
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }

    /// Runs statements past the store.
    async fn raw(&self, text: &'static str) {
        match &self.database {
            Database::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
                let mut connection = options.connect().await.unwrap();
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Database::Postgres(_) => {
                let mut connection = self.connection("all").await;
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// Asks for numbers past the store.
    async fn ask(&self, text: &'static str) -> Vec<i64> {
        match &self.database {
            Database::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                let mut connection = options.connect().await.unwrap();
                let found = sqlx::query_scalar(text).fetch_all(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                found
            }
            Database::Postgres(_) => {
                let mut connection = self.connection("all").await;
                let found = sqlx::query_scalar(text).fetch_all(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                found
            }
        }
    }

    /// A connection to PostgreSQL past the store, for what an organisation, or `all`, may see.
    async fn connection(&self, org: &str) -> PgConnection {
        let schema = schema_of(&self.folder);
        let options: PgConnectOptions = self.url.as_ref().unwrap().parse().unwrap();
        let settings = [("search_path", schema.as_str()), ("faultline.org_id", org)];
        options.options(settings).connect().await.unwrap()
    }

    async fn target_now(&self, id: TargetId) -> TargetRow {
        self.store.target_get(&self.scope, id).await.unwrap()
    }
}
