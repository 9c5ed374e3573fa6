//! Opening: durable settings, forward-only schema.

use std::os::unix::fs::PermissionsExt as _;

use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use store::{Store, StoreError};

use crate::sqlite;

/// Changes a closed database behind the store's back and opens it again.
async fn reopened(change: &'static str) -> Result<Store, StoreError> {
    let fixture = sqlite().await;
    fixture.store.close().await;
    let path = fixture.folder.path().join("faultline.db");
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    Store::open(&path).await
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let fixture = sqlite().await;
    fixture.target("core1", "192.0.2.1").await;
    let version = fixture.store.schema_version().await.unwrap();
    fixture.store.close().await;
    let path = fixture.folder.path().join("faultline.db");
    let store = Store::open(&path).await.unwrap();
    for file in ["faultline.db", "faultline.db-wal", "faultline.db-shm"] {
        let meta = std::fs::metadata(fixture.folder.path().join(file)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{file}");
    }
    let counts = store.target_counts(&fixture.scope).await.unwrap();
    assert_eq!((counts.total, counts.unknown), (1, 1));
    assert_eq!(store.schema_version().await.unwrap(), version);
    assert!(0 < store.size_bytes().await.unwrap());
    store.probe().await.unwrap();
    store.vacuum_step().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let result = reopened("INSERT INTO schema_step VALUES (99, 'later', 0)").await;
    assert!(matches!(result, Err(StoreError::SchemaTooNew { found: 99, .. })));
}

#[tokio::test]
async fn an_edited_step_is_refused() {
    let result = reopened("UPDATE schema_step SET checksum = checksum - 1").await;
    assert!(matches!(result, Err(StoreError::SchemaChanged { version: 1 })));
}

#[tokio::test]
async fn a_database_of_another_form_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faultline.db");
    let options =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).page_size(4096);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE strange (id BIGINT)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let result = Store::open(&path).await;
    assert!(matches!(result, Err(StoreError::Setting { setting: "page_size", .. })));
}
