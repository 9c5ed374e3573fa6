//! The database file: how it is opened, who may write, how values go in and out.
//!
//! One connection writes, a few read; so writers queue here, in order, instead of failing on each
//! other's locks. This module and [`crate::migrate`] are the only places that know it is SQLite:
//! pragmas, the form of a bulk statement's placeholders, and the size of the file.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::{Address, Cause, Name, UtcMicros, Verdict};
use sqlx::{
    AssertSqlSafe, Executor, Row, Sqlite, SqliteConnection, SqlitePool,
    error::BoxDynError,
    sqlite::{
        SqliteArguments, SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode,
        SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use crate::{StoreError, code, damage::Damage, migrate};

/// Larger pages make trees flatter and blobs cheaper. Only takes at creation.
const PAGE_BYTES: u32 = 16_384;
/// How long a caller waits for the writer, or for a lock of a foreign process.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Readers at a time: pages and status requests, which are short.
const READERS_MAX: u32 = 4;
/// KiB of pages the writer keeps, so that busy indexes stay in memory.
const WRITER_CACHE_KIB: &str = "-65536";
/// KiB of pages a reader keeps. Every commit empties it, so more would not help.
const READER_CACHE_KIB: &str = "-16384";
/// The write-ahead log is cut back to this after a large commit.
const WAL_BYTES_MAX: &str = "268435456";
/// Pages given back to the file system by one [`Store::vacuum_step`]: 16 MiB.
const VACUUM_PAGES: &str = "PRAGMA incremental_vacuum(1024)";

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Arc<Pools>,
}

#[derive(Debug)]
struct Pools {
    writer: SqlitePool,
    readers: SqlitePool,
    place: Place,
    damage: Damage,
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

pub(crate) type Tx = sqlx::Transaction<'static, Sqlite>;

impl Store {
    /// Opens the database at `path`, creates it if missing, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::SchemaTooNew`] if a newer version wrote it; then nothing was changed.
    /// [`StoreError::Setting`] if it would not keep what it acknowledges.
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
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
        let writer =
            pool(1).connect_with(options.clone().pragma("cache_size", WRITER_CACHE_KIB)).await?;
        let mut connection = writer.acquire().await?;
        assert_settings(&mut connection).await?;
        migrate::migrate(&mut connection, migrate::STEPS).await?;
        drop(connection);
        let readers = pool(READERS_MAX)
            .connect_with(
                options
                    .create_if_missing(false)
                    .pragma("query_only", "ON")
                    .pragma("cache_size", READER_CACHE_KIB),
            )
            .await?;
        let place = Place::of(path).map_err(|_| StoreError::Gone { path: path.to_owned() })?;
        let damage = Damage::default();
        Ok(Store { pools: Arc::new(Pools { writer, readers, place, damage }) })
    }

    /// Closes every connection; calls that wait for one fail.
    pub async fn close(&self) {
        self.pools.readers.close().await;
        self.pools.writer.close().await;
    }

    /// The number of the last schema step.
    pub async fn schema_version(&self) -> Result<u32, StoreError> {
        migrate::version(&mut *self.read().await?).await
    }

    /// The version of SQLite.
    pub async fn engine_version(&self) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar("SELECT sqlite_version()").fetch_one(self.readers()).await?)
    }

    /// Bytes of the database file, its write-ahead log apart.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(self.readers()).await?;
        Ok(u64::from(PAGE_BYTES).saturating_mul(u64::try_from(pages).unwrap_or(0)))
    }

    /// Waits for the writer and its lock and gives both back: the caller times it.
    pub async fn probe(&self) -> Result<(), StoreError> {
        Ok(self.write().await?.rollback().await?)
    }

    /// Gives some free pages back to the file system and returns how many are left.
    pub async fn vacuum_step(&self) -> Result<u64, StoreError> {
        self.pools.place.check()?;
        let mut writer = self.pools.writer.acquire().await?;
        writer.execute(VACUUM_PAGES).await?;
        let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *writer).await?;
        Ok(u64::try_from(free).unwrap_or(0))
    }

    /// Places of the history that were found damaged since the start, and are left out.
    pub fn damaged_places(&self) -> u64 {
        self.pools.damage.places()
    }

    pub(crate) fn damage(&self) -> &Damage {
        &self.pools.damage
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.pools.readers
    }

    /// Begins a transaction that sees one moment of the database.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        begin(&self.pools.readers, "BEGIN").await
    }

    /// Begins a transaction that may write, and holds the lock from the start.
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        self.pools.place.check()?;
        begin(&self.pools.writer, "BEGIN IMMEDIATE").await
    }
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
            Ok(pool.begin_with(text).await?)
        }
        begun => Ok(begun?),
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

/// A statement that takes many rows at once: `head (?,?),(?,?),… tail`.
///
/// One call costs some tens of microseconds before it does anything, so thousands of rows need it.
/// The text depends on nothing but constants and the number of rows, of which there are three.
/// Placeholders are plain `?` here: SQLite finds a numbered one by walking the list of all.
pub(crate) struct Bulk {
    pub(crate) head: &'static str,
    pub(crate) columns: usize,
    pub(crate) tail: &'static str,
}

/// Rows of one statement, largest first, so that each text is prepared once. The largest stays
/// below SQLite's 32,766 placeholders with 17 columns.
const BULK_ROWS: [usize; 3] = [256, 16, 1];

impl Bulk {
    pub(crate) fn text(&self, rows: usize) -> String {
        let row = format!("({}?)", "?,".repeat(self.columns.saturating_sub(1)));
        let mut text = String::from(self.head);
        for index in 0..rows {
            text.push(if index == 0 { ' ' } else { ',' });
            text.push_str(&row);
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }

    /// Runs it over `rows`; `bind` adds one row's columns. Gives what `RETURNING` returns.
    pub(crate) async fn run<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(&T, &mut Binder),
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let mut returned = Vec::new();
        for size in BULK_ROWS {
            while let Some((chunk, rest)) = rows.split_at_checked(size) {
                rows = rest;
                let mut binder = Binder::default();
                for row in chunk {
                    bind(row, &mut binder);
                }
                let arguments = binder.finish()?;
                let query = sqlx::query_with(AssertSqlSafe(self.text(size)), arguments);
                returned.extend(query.fetch_all(&mut *connection).await?);
            }
        }
        Ok(returned)
    }
}

/// Collects the values of a statement; the first that cannot be encoded is kept as the error.
#[derive(Default)]
pub(crate) struct Binder {
    arguments: SqliteArguments,
    error: Option<BoxDynError>,
}

impl Binder {
    pub(crate) fn add<'q, T: sqlx::Encode<'q, Sqlite> + sqlx::Type<Sqlite>>(
        &mut self,
        value: T,
    ) -> &mut Binder {
        if let Err(error) = sqlx::Arguments::add(&mut self.arguments, value) {
            self.error.get_or_insert(error);
        }
        self
    }

    pub(crate) fn finish(self) -> Result<SqliteArguments, StoreError> {
        match self.error {
            None => Ok(self.arguments),
            Some(error) => Err(sqlx::Error::Encode(error).into()),
        }
    }
}

/// A counter as the database holds it. None of ours comes near the limit.
pub(crate) fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reading typed values out of a row.
pub(crate) trait Columns {
    fn value<'r, T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>>(
        &'r self,
        column: &'static str,
    ) -> Result<T, StoreError>;

    /// A value with a text form that was checked before it was written.
    fn parsed<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text: &str = self.value(column)?;
        parse(text).ok_or_else(|| damaged(column))
    }

    fn name(&self, column: &'static str) -> Result<Name, StoreError> {
        self.parsed(column, |text| Name::parse(text).ok())
    }

    fn address(&self, column: &'static str) -> Result<Address, StoreError> {
        self.parsed(column, |text| Address::parse(text).ok())
    }

    fn at(&self, column: &'static str) -> Result<UtcMicros, StoreError> {
        self.value(column).map(UtcMicros)
    }

    fn at_opt(&self, column: &'static str) -> Result<Option<UtcMicros>, StoreError> {
        Ok(self.value::<Option<i64>>(column)?.map(UtcMicros))
    }

    fn is(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.value::<i64>(column)? != 0)
    }

    /// Any unsigned number, checked against the width it must have.
    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        T::try_from(self.value(column)?).map_err(|_| damaged(column))
    }

    fn number_opt<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        match self.value::<Option<i64>>(column)? {
            None => Ok(None),
            Some(value) => T::try_from(value).map(Some).map_err(|_| damaged(column)),
        }
    }

    fn verdict(&self, column: &'static str) -> Result<Verdict, StoreError> {
        code::verdict(self.number(column)?).ok_or_else(|| damaged(column))
    }

    fn cause(&self, column: &'static str) -> Result<Cause, StoreError> {
        code::cause(self.number(column)?).ok_or_else(|| damaged(column))
    }
}

impl Columns for SqliteRow {
    fn value<'r, T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>>(
        &'r self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        // Unchecked: what an expression yields has no declared type in SQLite.
        Ok(self.try_get_unchecked(column)?)
    }
}

pub(crate) fn damaged(column: &str) -> StoreError {
    StoreError::Damaged { column: column.to_owned() }
}

/// A statement whose conditions depend on what is asked for.
///
/// Only constants become text; everything else becomes a numbered value.
pub(crate) struct Text {
    text: String,
    values: usize,
    binder: Binder,
}

impl Text {
    pub(crate) fn new(head: &'static str) -> Text {
        Text { text: head.to_owned(), values: 0, binder: Binder::default() }
    }

    pub(crate) fn push(&mut self, constant: &'static str) -> &mut Text {
        self.text.push_str(constant);
        self
    }

    pub(crate) fn value<'q, T: sqlx::Encode<'q, Sqlite> + sqlx::Type<Sqlite>>(
        &mut self,
        value: T,
    ) -> &mut Text {
        self.values = self.values.saturating_add(1);
        self.text.push_str(&format!("${}", self.values));
        self.binder.add(value);
        self
    }

    pub(crate) async fn fetch_all(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let arguments = self.binder.finish()?;
        Ok(sqlx::query_with(AssertSqlSafe(self.text), arguments).fetch_all(connection).await?)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use model::{LogPosition, UtcMicros};

    use super::*;
    use crate::Commit;

    const NOW: UtcMicros = UtcMicros(1_800_000_000_000_000);

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
        let mut writer = store.pools.writer.acquire().await.unwrap();
        assert_settings(&mut writer).await.unwrap();
        let mut readers = Vec::new();
        for _ in 0..READERS_MAX {
            let mut reader = store.pools.readers.acquire().await.unwrap();
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
        store.pools.writer.execute(AssertSqlSafe(limit(pages))).await.unwrap();
        let error = commit(&store, 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }) && error.is_of_disk(), "{error:?}");
        assert_eq!(store.applied().await.unwrap().position, LogPosition(1));
        let kept = store.checkpoints().await.unwrap();
        assert_eq!(kept.iter().map(|kept| kept.position).collect::<Vec<_>>(), [LogPosition(1)]);
        store.pools.writer.execute(AssertSqlSafe(limit(pages + 100))).await.unwrap();
        assert!(commit(&store, 2).await.unwrap());
        assert_eq!(store.applied().await.unwrap().position, LogPosition(2));
    }

    #[tokio::test]
    async fn a_database_that_may_not_be_written_is_named_and_passes_by_itself() {
        let (_folder, store) = open().await;
        let only_read = |is: bool| format!("PRAGMA query_only = {is}");
        store.pools.writer.execute(AssertSqlSafe(only_read(true))).await.unwrap();
        let error = commit(&store, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
        store.pools.writer.execute(AssertSqlSafe(only_read(false))).await.unwrap();
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
