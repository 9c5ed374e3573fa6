//! Out of one database, into another.

use std::collections::BTreeMap;

use model::{AgentId, LogPosition, MetricBatch, MetricSubject, MetricValue, Reading, Role};
use store::{
    Commit, Database, Dump, Highwater, Load, NewAgent, NewSession, NewUser, Store, StoreError,
    TableShape, check_rows, inspect,
};

use crate::{
    Fixture, at, empty_schema, fixture, metrics::sample, name, new_target, postgres_url, sqlite,
};

type Tables = Vec<(TableShape, Vec<Vec<u8>>)>;

/// Everything in a dump; parts are as small as they come.
async fn read(mut dump: Dump) -> Tables {
    let mut all = Vec::new();
    for table in dump.tables.clone() {
        let mut rows = dump.rows(&table).unwrap();
        let mut parts = Vec::new();
        while let Some(part) = rows.part(100).await.unwrap() {
            assert_eq!(check_rows(&table, &part.lines).unwrap(), part.rows);
            parts.push(part.lines);
        }
        all.push((table, parts));
    }
    all
}

/// The rows of each table, in an order that is of no database.
fn texts(tables: &Tables) -> BTreeMap<String, String> {
    let text = |parts: &Vec<Vec<u8>>| {
        let text = String::from_utf8(parts.concat()).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    tables.iter().map(|(table, parts)| (table.name.clone(), text(parts))).collect()
}

/// A database with something in many of its tables, of which something was deleted.
async fn lived_in() -> Fixture {
    filled(fixture().await).await
}

async fn filled(f: Fixture) -> Fixture {
    let user = NewUser { name: name("ann"), role: Role::Admin, password_hash: "#".to_owned() };
    let ann = f.store.user_create(&f.scope, &user, at(0)).await.unwrap();
    let session = NewSession {
        token_hash: [1; 32],
        user: ann.id,
        csrf_token: "csrf".to_owned(),
        expires_at: at(100),
    };
    f.store.session_create(&f.scope, &session, at(0)).await.unwrap();
    let mut new = new_target("core1", "192.0.2.1");
    new.note = "Zürich\n\"rack\" 7 \u{1f4a1}".to_owned();
    new.tags = vec![name("core"), name("zrh")];
    f.store.target_create(&f.scope, &new, at(1)).await.unwrap();
    let gone = f.target("core2", "2001:db8::1").await;
    f.store.target_delete(&f.scope, gone.id, at(2)).await.unwrap();
    let agent = NewAgent { name: name("fra1"), witnesses: Vec::new() };
    let agent = f.store.agent_create(&f.scope, &agent, at(0)).await.unwrap().row.id;
    commit(&f.store, agent, 7).await;
    f
}

async fn commit(store: &Store, agent: AgentId, position: u64) {
    let value = MetricValue::Gauge(Reading::from(7));
    let samples = vec![sample("agent_probes", at(900), value)];
    let commit = Commit {
        position: LogPosition(position),
        inventory_version: 4,
        decisions: &[],
        rounds: &[],
        highwaters: &[Highwater { agent, epoch: 1, seq: position }],
        gaps: &[],
        metrics: &[MetricBatch { subject: MetricSubject::Agent(agent), samples }],
        checkpoint: Some(&[0, 255, 10, 13]),
    };
    store.commit(&commit, at(1_000)).await.unwrap();
}

#[tokio::test]
async fn what_comes_out_of_one_database_goes_into_another_and_is_the_same() {
    let f = lived_in().await;
    let dump = f.store.dump().await.unwrap();
    assert_eq!((dump.applied.position, dump.checkpoint), (LogPosition(7), LogPosition(7)));
    assert_eq!(dump.organisations, ["default"]);
    let schema = dump.schema.clone();
    let before = read(dump).await;
    // Into a file, and into PostgreSQL if there is one.
    let folder = tempfile::tempdir().unwrap();
    let mut others = vec![Database::Sqlite(f.folder.path().join("other.db"))];
    if let Some(url) = postgres_url() {
        others.push(Database::Postgres(empty_schema(&url, &folder).await));
    }
    for other in others {
        let mut load = Load::create(&other, &schema).await.unwrap();
        for (table, parts) in &before {
            for part in parts {
                load.rows(table, part).await.unwrap();
            }
        }
        load.finish(None).await.unwrap();
        let found = inspect(&other).await.unwrap();
        assert!(found.damage.is_empty() && found.dangling.is_empty(), "{found:?}");
        let store = Store::open_at(&other).await.unwrap();
        let after = read(store.dump().await.unwrap()).await;
        assert_eq!(texts(&after), texts(&before));
        let subject = MetricSubject::Agent(AgentId(1));
        let series = store.metric_series(&f.scope, subject).await.unwrap().remove(0);
        let (from, to) = (at(0).minute(), at(1_000).minute());
        let read = store.metric_rollups(&f.scope, &series, None, from, to).await.unwrap();
        assert_eq!(read.len(), 1, "what was measured is there");
        // An id is never used again, not even that of something deleted before the backup.
        let next = store.target_create(&f.scope, &new_target("core3", "192.0.2.3"), at(9)).await;
        assert_eq!(next.unwrap().row.id.0, 3);
    }
    assert!(!texts(&before).contains_key("session"));
    assert!(texts(&before)["target"].contains("rack"));
}

#[tokio::test]
async fn a_dump_is_of_one_moment_while_others_write() {
    let f = lived_in().await;
    let dump = f.store.dump().await.unwrap();
    f.target("later", "192.0.2.9").await;
    commit(&f.store, AgentId(1), 8).await;
    let tables = texts(&read(dump).await);
    assert!(!tables["target"].contains("later"));
    assert!(tables["engine_state"].starts_with("[1,7,"), "{}", tables["engine_state"]);
    let later = texts(&read(f.store.dump().await.unwrap()).await);
    assert!(later["target"].contains("later"));
}

#[tokio::test]
async fn a_value_that_no_column_of_ours_holds_is_named() {
    let f = filled(sqlite().await).await;
    f.store.close().await;
    let path = f.path();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::raw_sql("UPDATE target SET note = x'00'").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let mut dump = Dump::open(&f.database).await.unwrap();
    let target = dump.tables.iter().find(|table| table.name == "target").unwrap().clone();
    let error = dump.rows(&target).unwrap().part(1).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { column } if column == "target.note"));
}

#[tokio::test]
async fn a_broken_page_and_a_dangling_row_are_found_without_a_change() {
    let f = filled(sqlite().await).await;
    f.store.close().await;
    let path = f.path();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).foreign_keys(false);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let cut = "DELETE FROM target WHERE id = 1";
    sqlx::raw_sql(cut).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let found = inspect(&f.database).await.unwrap();
    assert!(found.damage.is_empty(), "{found:?}");
    assert!(found.dangling.iter().any(|line| line.contains("target_tag")), "{found:?}");

    let mut bytes = std::fs::read(&path).unwrap();
    let page = 16_384;
    // Not the first page, which says what the file is.
    for byte in bytes.iter_mut().skip(page).step_by(7) {
        *byte ^= 0x55;
    }
    std::fs::write(&path, &bytes).unwrap();
    let damage = inspect(&f.database).await.map(|found| found.damage);
    assert!(damage.is_err() || damage.is_ok_and(|damage| !damage.is_empty()));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_database_keeps_its_first_name_and_gives_it_to_no_archive() {
    let f = fixture().await;
    assert_eq!(f.store.installation().await.unwrap(), None);
    assert_eq!(f.store.installation_claim("a1").await.unwrap(), "a1");
    assert_eq!(f.store.installation_claim("b2").await.unwrap(), "a1");
    assert_eq!(f.store.installation().await.unwrap().as_deref(), Some("a1"));
    let tables = f.store.dump().await.unwrap().tables;
    assert!(tables.iter().all(|table| table.name != "installation"));
}
