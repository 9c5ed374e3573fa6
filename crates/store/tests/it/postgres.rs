//! What is only of PostgreSQL. Without one there is nothing to test here, and the test
//! `which_database_this_run_is_about` says so.

use std::error::Error;

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use store::{Database, DatabaseUrl, Store, StoreError, TargetQuery};

use crate::{Fixture, at, empty_schema, in_schema, new_target, postgres_url, sqlite};

async fn postgres() -> Option<Fixture> {
    Some(in_schema(&postgres_url()?).await)
}

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    let Some(f) = postgres().await else { return };
    let other = sqlite().await;
    let (ours, theirs) = (f.store.dump().await.unwrap(), other.store.dump().await.unwrap());
    assert_eq!(ours.tables, theirs.tables);
    assert_eq!(ours.schema, theirs.schema);
}

/// Names of columns or tables for which a condition holds.
async fn names(connection: &mut PgConnection, text: &'static str) -> Vec<String> {
    sqlx::query_scalar(text).fetch_all(connection).await.unwrap()
}

#[tokio::test]
async fn every_text_compares_bytewise() {
    let Some(f) = postgres().await else { return };
    let others = "
        SELECT table_name || '.' || column_name
          FROM information_schema.columns
         WHERE table_schema = current_schema()
           AND data_type = 'text'
           AND table_name <> 'schema_step'
           AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(names(&mut f.connection("all").await, others).await, [""; 0]);
}

#[tokio::test]
async fn every_table_of_organisations_is_held_to_its_policy() {
    let Some(f) = postgres().await else { return };
    let others = "
        SELECT relname::TEXT
          FROM pg_catalog.pg_class
          JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid AND attname = 'org_id'
         WHERE relnamespace = current_schema()::regnamespace
           AND relkind IN ('r', 'p')
           AND NOT (relrowsecurity AND relforcerowsecurity AND EXISTS (
                       SELECT 1 FROM pg_catalog.pg_policy WHERE polrelid = pg_class.oid))";
    assert_eq!(names(&mut f.connection("all").await, others).await, [""; 0]);
}

#[tokio::test]
async fn a_statement_that_forgets_the_organisation_sees_and_changes_nothing_of_another() {
    let Some(f) = postgres().await else { return };
    f.target("core1", "192.0.2.1").await;
    f.raw("INSERT INTO org (id, name, created_at) VALUES (2, 'other', 0)").await;
    for (org, seen) in [("1", 1), ("2", 0), ("", 0), ("all", 1)] {
        let mut connection = f.connection(org).await;
        for text in ["SELECT name FROM target", "UPDATE target SET note = 'x' RETURNING name"] {
            assert_eq!(names(&mut connection, text).await.len(), seen, "{text} for `{org}`");
        }
    }
    // Nor does it put anything there.
    let mut connection = f.connection("2").await;
    let put = "INSERT INTO target_tag (org_id, tag, target_id) VALUES (1, 'a', 1)";
    let error = sqlx::raw_sql(put).execute(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("row-level security"), "{error}");
    // The role is the owner of the tables, and no more than that.
    let of_others = "SELECT tablename::TEXT FROM pg_tables
                      WHERE schemaname = current_schema() AND tableowner <> current_user";
    assert_eq!(names(&mut connection, of_others).await, [""; 0]);
    let above = "SELECT rolname::TEXT FROM pg_roles
                  WHERE rolname = current_user AND (rolsuper OR rolbypassrls)";
    assert_eq!(names(&mut connection, above).await, [""; 0]);
}

#[tokio::test]
async fn a_broken_connection_costs_one_call_at_most_and_passes_by_itself() {
    let Some(f) = postgres().await else { return };
    f.target("core1", "192.0.2.1").await;
    let all = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
                  AND objid = (hashtext(current_schema())::BIGINT & 4294967295)::OID";
    let mut connection = f.connection("all").await;
    let held = format!("SELECT count(*)::TEXT FROM ({all}) AS held");
    let count: String =
        sqlx::query_scalar(sqlx::AssertSqlSafe(held)).fetch_one(&mut connection).await.unwrap();
    assert_eq!(count, "1", "the connection that writes holds the lock");
    let end = format!("SELECT pg_terminate_backend(pid)::TEXT FROM ({all}) AS held");
    sqlx::query(sqlx::AssertSqlSafe(end)).fetch_all(&mut connection).await.unwrap();
    let new = new_target("core2", "192.0.2.2");
    if let Err(error) = f.store.target_create(&f.scope, &new, at(1)).await {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        f.store.target_create(&f.scope, &new, at(1)).await.unwrap();
    }
    assert_eq!(f.store.target_counts(&f.scope).await.unwrap().total, 2);
}

#[tokio::test]
async fn a_second_server_is_refused_while_the_first_has_the_database() {
    let Some(f) = postgres().await else { return };
    let refused = Store::open_at(&f.database).await;
    assert!(matches!(refused, Err(StoreError::Taken)), "{refused:?}");
    f.store.close().await;
    Store::open_at(&f.database).await.unwrap();
}

#[tokio::test]
async fn of_two_servers_that_start_at_once_one_makes_the_schema_and_the_other_is_refused() {
    let Some(url) = postgres_url() else { return };
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Postgres(empty_schema(&url, &folder).await);
    let (one, other) = tokio::join!(Store::open_at(&database), Store::open_at(&database));
    let (opened, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    assert!(matches!(refused, Err(StoreError::Taken)), "{refused:?}");
    assert!(0 < opened.unwrap().schema_version().await.unwrap());
}

#[tokio::test]
async fn what_the_database_says_is_said_once() {
    let Some(f) = postgres().await else { return };
    f.raw("DROP TABLE audit").await;
    let error = f.store.audit_list(&f.scope, None, 1).await.unwrap_err();
    let first: &dyn Error = &error;
    let sources = std::iter::successors(Some(first), |error| (*error).source());
    let text = sources.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let said = "the database failed: relation \"audit\" does not exist (code 42P01)";
    assert_eq!(text, said);
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let Some(url) = postgres_url() else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    // One that a run before has left is as good.
    let make = "CREATE DATABASE faultline_latin1
                  WITH ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let made = sqlx::raw_sql(make).execute(&mut connection).await;
    let said = made.map_or_else(|error| error.to_string(), |_| String::new());
    assert!(said.is_empty() || said.contains("already exists"), "{said}");
    let (server, _) = url.rsplit_once('/').unwrap();
    let url = DatabaseUrl::parse(&format!("{server}/faultline_latin1")).unwrap();
    let error = Store::open_at(&Database::Postgres(url)).await.unwrap_err();
    let StoreError::Unsuitable { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains("its encoding is LATIN1: create one with"), "{reason}");
}

/// Opens the database with something of its URL changed.
async fn opened_with(change: impl Fn(&str) -> String) -> StoreError {
    let url = postgres_url().unwrap();
    let url = DatabaseUrl::parse(&change(&url)).unwrap();
    Store::open_at(&Database::Postgres(url)).await.unwrap_err()
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_what_to_do() {
    if postgres_url().is_none() {
        return;
    }
    let error = opened_with(|url| format!("{url}_is_not_there")).await;
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    let error = opened_with(|url| format!("{url}?port=1")).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    for (option, reason) in [
        ("search_path%3Dnowhere", "GRANT USAGE, CREATE"),
        ("default_transaction_read_only%3Don", "only read"),
    ] {
        let error = opened_with(|url| format!("{url}?options=-c{option}")).await;
        let StoreError::Unsuitable { reason: found } = &error else { panic!("{error:?}") };
        assert!(found.contains(reason), "{found}");
    }
    // It has no TLS, or a certificate that nobody knows.
    let error = opened_with(|url| format!("{url}?sslmode=verify-full")).await;
    assert!(matches!(error, StoreError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("look at sslmode and sslrootcert"), "{error}");
    let error = opened_with(|url| format!("{url}?options=-csynchronous_commit%3Doff")).await;
    assert!(matches!(error, StoreError::Setting { setting: "synchronous_commit", .. }));
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let Some(f) = postgres().await else { return };
    f.target("core1", "192.0.2.1").await;
    f.store.close().await;
    let store = Store::open_at(&f.database).await.unwrap();
    let page = store.target_list(&f.scope, &TargetQuery { limit: 10, ..Default::default() }).await;
    assert_eq!(page.unwrap().total, 1);
    assert!(store.engine_version().await.unwrap().starts_with(char::is_numeric));
    assert!(0 < store.size_bytes().await.unwrap());
    store.probe().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_and_an_edited_step_are_refused() {
    for (change, is_expected) in [
        (
            "INSERT INTO schema_step VALUES (99, 'later', 0)",
            (|error| matches!(error, StoreError::SchemaTooNew { found: 99, .. }))
                as fn(&StoreError) -> bool,
        ),
        ("UPDATE schema_step SET checksum = checksum - 1", |error| {
            matches!(error, StoreError::SchemaChanged { version: 1 })
        }),
    ] {
        let Some(f) = postgres().await else { return };
        f.store.close().await;
        f.raw(change).await;
        let error = Store::open_at(&f.database).await.unwrap_err();
        assert!(is_expected(&error), "{error:?}");
        let mut connection = f.connection("all").await;
        connection.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_nul_in_a_text_fails_nothing() {
    let Some(f) = postgres().await else { return };
    let mut new = new_target("core1", "192.0.2.1");
    new.note = "a\0b".to_owned();
    let made = f.store.target_create(&f.scope, &new, at(0)).await.unwrap().row;
    assert_eq!(made.note, "a\u{fffd}b");
    let query = TargetQuery { q: Some("A\0B".to_owned()), limit: 10, ..Default::default() };
    assert_eq!(f.store.target_list(&f.scope, &query).await.unwrap().total, 1);
}
