//! SQLite: one file, one writer, its write-ahead log synced at each commit.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Executor as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

use super::{Conn, Tx, sql};
use crate::{StoreError, migrate};

/// Larger pages make trees flatter and blobs cheaper. Only takes at creation.
const PAGE_BYTES: u32 = 16_384;
/// How long a caller waits for the writer, or for a lock of a foreign process.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Readers at a time: pages and status requests, which are short.
const READERS_MAX: u32 = 4;
/// KiB of pages the writer keeps: those of a turn and the inner ones of busy indexes. The system
/// keeps the file as well, and a page that is not here costs a copy, not a disk.
const WRITER_CACHE_KIB: &str = "-16384";
/// KiB of pages a reader keeps: those of one statement. Every commit empties it, so more would not
/// help.
const READER_CACHE_KIB: &str = "-2048";
/// The write-ahead log is cut back to this after a large commit.
const WAL_BYTES_MAX: &str = "268435456";
/// Pages given back to the file system by one [`Store::vacuum_step`]: 16 MiB.
const VACUUM_PAGES: &str = "PRAGMA incremental_vacuum(1024)";

/// The open file.
#[derive(Debug)]
pub(super) struct Sqlite {
    pub(super) writer: SqlitePool,
    readers: SqlitePool,
    place: Place,
}

/// Where the file was when it was opened. SQLite goes on writing to one that was removed, or that
/// another file system was mounted over, and everything would be lost with the process.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Place {
    fn of(path: &Path) -> io::Result<Place> {
        let found = fs::metadata(path)?;
        Ok(Place { path: path.to_owned(), file: (found.dev(), found.ino()) })
    }

    fn check(&self) -> Result<(), StoreError> {
        match Place::of(&self.path) {
            Ok(now) if now.file == self.file => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::Gone { path: self.path.clone() }),
        }
    }
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Sqlite, StoreError> {
        make_private(path);
        let options = created_with(SqliteConnectOptions::new().filename(path))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT)
            .pragma("journal_size_limit", WAL_BYTES_MAX);
        // All of them are opened now: when the file is out of reach there would be no more, and
        // nobody could read what is wrong.
        let pool = |connections| {
            SqlitePoolOptions::new()
                .min_connections(connections)
                .max_connections(connections)
                .acquire_timeout(BUSY_WAIT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let mut first = options.connect().await?;
        assert_settings(&mut first).await?;
        let mut first = Conn::Sqlite(first);
        migrate::migrate(&mut first, migrate::STEPS).await?;
        first.close().await?;
        let writer =
            pool(1).connect_with(options.clone().pragma("cache_size", WRITER_CACHE_KIB)).await?;
        let readers = pool(READERS_MAX)
            .connect_with(
                options
                    .create_if_missing(false)
                    .pragma("query_only", "ON")
                    .pragma("cache_size", READER_CACHE_KIB),
            )
            .await?;
        let place = Place::of(path).map_err(|_| StoreError::Gone { path: path.to_owned() })?;
        Ok(Sqlite { writer, readers, place })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) async fn vacuum_step(&self) -> Result<u64, StoreError> {
        self.place.check()?;
        let mut writer = self.writer.acquire().await?;
        writer.execute(VACUUM_PAGES).await?;
        let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *writer).await?;
        Ok(u64::try_from(free).unwrap_or(0))
    }

    pub(super) async fn reader(&self) -> Result<Conn, StoreError> {
        Ok(Conn::Sqlite(self.readers.connect_options().connect().await?))
    }

    pub(super) async fn read(&self) -> Result<Tx, StoreError> {
        begin(&self.readers, "BEGIN").await
    }

    pub(super) async fn write(&self) -> Result<Tx, StoreError> {
        self.place.check()?;
        begin(&self.writer, "BEGIN IMMEDIATE").await
    }
}

pub(super) async fn size_bytes(conn: &mut Conn) -> Result<u64, StoreError> {
    let pages: i64 = sql("PRAGMA page_count").scalar(conn).await?;
    Ok(u64::from(PAGE_BYTES).saturating_mul(u64::try_from(pages).unwrap_or(0)))
}

/// Begins a transaction.
///
/// On a full or failing disk SQLite ends a transaction by itself, and the rollback behind it finds
/// none: the connection then counts one that is not there and begins no other for ever. Such a
/// connection is replaced.
async fn begin(pool: &SqlitePool, text: &'static str) -> Result<Tx, StoreError> {
    match pool.begin_with(text).await {
        Err(sqlx::Error::InvalidSavePointStatement) => {
            pool.acquire().await?.close().await?;
            Ok(pool.begin_with(text).await?.into())
        }
        begun => Ok(begun?.into()),
    }
}

/// Lets only its owner read the database; SQLite gives the files beside it the same mode. Where
/// this fails SQLite fails too, and says why.
pub(crate) fn make_private(path: &Path) {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(0o600);
    let set = |file: File| file.set_permissions(Permissions::from_mode(0o600));
    options.open(path).and_then(set).unwrap_or(());
}

/// What only takes when the file is created.
pub(crate) fn created_with(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.page_size(PAGE_BYTES).auto_vacuum(SqliteAutoVacuum::Incremental)
}

/// Reads back what was asked for: SQLite ignores some settings without a word.
async fn assert_settings(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let expected = [
        ("synchronous", "PRAGMA synchronous", "2"),
        ("journal_mode", "PRAGMA journal_mode", "wal"),
        ("foreign_keys", "PRAGMA foreign_keys", "1"),
        ("page_size", "PRAGMA page_size", "16384"),
        ("auto_vacuum", "PRAGMA auto_vacuum", "2"),
    ];
    for (setting, text, wanted) in expected {
        let row = sqlx::query(text).fetch_one(&mut *connection).await?;
        let found = match row.try_get_unchecked::<i64, _>(0) {
            Ok(number) if setting != "journal_mode" => number.to_string(),
            Ok(_) | Err(_) => row.try_get_unchecked::<String, _>(0)?,
        };
        if found != wanted {
            return Err(StoreError::Setting { setting, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use model::{LogPosition, UtcMicros};
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::{Commit, Store, db::Engine};

    const NOW: UtcMicros = UtcMicros(1_800_000_000_000_000);

    fn engine(store: &Store) -> &Sqlite {
        match &store.inner.engine {
            Engine::Sqlite(engine) => engine,
            Engine::Postgres(_) => panic!("it was opened as a file"),
        }
    }

    /// A store over a database of its own.
    async fn open() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("t.db")).await.unwrap();
        (folder, store)
    }

    /// Stores a turn whose checkpoint takes some pages.
    async fn commit(store: &Store, position: u64) -> Result<bool, StoreError> {
        let checkpoint = vec![7; 40 * PAGE_BYTES as usize];
        let commit = Commit {
            position: LogPosition(position),
            inventory_version: 0,
            decisions: &[],
            rounds: &[],
            highwaters: &[],
            gaps: &[],
            metrics: &[],
            checkpoint: Some(&checkpoint),
        };
        store.commit(&commit, NOW).await
    }

    /// `PRAGMA synchronous` belongs to a connection: each one must have it, and one that has not is
    /// refused.
    #[tokio::test]
    async fn every_connection_syncs_and_one_that_does_not_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("t.db")).await.unwrap();
        let mut writer = engine(&store).writer.acquire().await.unwrap();
        assert_settings(&mut writer).await.unwrap();
        let mut readers = Vec::new();
        for _ in 0..READERS_MAX {
            let mut reader = engine(&store).readers.acquire().await.unwrap();
            assert_settings(&mut reader).await.unwrap();
            readers.push(reader);
        }
        for (change, setting) in [
            ("PRAGMA synchronous=NORMAL", "synchronous"),
            ("PRAGMA foreign_keys=OFF", "foreign_keys"),
        ] {
            writer.execute(change).await.unwrap();
            let refused = assert_settings(&mut writer).await;
            assert!(matches!(refused, Err(StoreError::Setting { setting: s, .. }) if s == setting));
            writer.execute("PRAGMA synchronous=FULL").await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_named_leaves_nothing_half_done_and_passes_by_itself() {
        let (_folder, store) = open().await;
        assert!(commit(&store, 1).await.unwrap());
        let pages = store.size_bytes().await.unwrap() / u64::from(PAGE_BYTES);
        // No page more: what SQLite says to that, it says to a full disk.
        let limit = |pages: u64| format!("PRAGMA max_page_count = {pages}");
        engine(&store).writer.execute(AssertSqlSafe(limit(pages))).await.unwrap();
        let error = commit(&store, 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }) && error.is_of_place(), "{error:?}");
        assert_eq!(store.applied().await.unwrap().position, LogPosition(1));
        let kept = store.checkpoints().await.unwrap();
        assert_eq!(kept.iter().map(|kept| kept.position).collect::<Vec<_>>(), [LogPosition(1)]);
        engine(&store).writer.execute(AssertSqlSafe(limit(pages + 100))).await.unwrap();
        assert!(commit(&store, 2).await.unwrap());
        assert_eq!(store.applied().await.unwrap().position, LogPosition(2));
    }

    #[tokio::test]
    async fn a_database_that_may_not_be_written_is_named_and_passes_by_itself() {
        let (_folder, store) = open().await;
        let only_read = |is: bool| format!("PRAGMA query_only = {is}");
        engine(&store).writer.execute(AssertSqlSafe(only_read(true))).await.unwrap();
        let error = commit(&store, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
        engine(&store).writer.execute(AssertSqlSafe(only_read(false))).await.unwrap();
        assert!(commit(&store, 1).await.unwrap());
    }

    #[tokio::test]
    async fn nothing_is_stored_in_a_file_that_was_moved_away_until_it_is_back() {
        let (folder, store) = open().await;
        let (path, away) = (folder.path().join("t.db"), folder.path().join("away.db"));
        fs::rename(&path, &away).unwrap();
        for _ in 0..2 {
            let error = commit(&store, 1).await.unwrap_err();
            assert!(matches!(error, StoreError::Gone { .. }), "{error:?}");
            // Another file in its place is not it.
            fs::write(&path, "").unwrap();
        }
        assert!(store.probe().await.is_err());
        fs::rename(&away, &path).unwrap();
        assert!(commit(&store, 1).await.unwrap());
    }
}
