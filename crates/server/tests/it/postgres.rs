//! A server over PostgreSQL. Without one there is nothing to test here; `cargo xtask test` starts
//! one, and the store's tests say which half of them a run leaves out.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use reqwest::Method;
use server::{
    Config, DatabaseUrl, Overrides,
    clock::Clock,
    restore::{GivenKey, restore, restore_from},
    verify::verify_data,
};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    backup::{Still, answers, download, lived_in, master_key},
    harness::{Server, answered, enrol, soon},
};

#[expect(clippy::disallowed_methods, reason = "a test has no configuration but this")]
fn postgres() -> Option<PgConnectOptions> {
    Some(std::env::var("FAULTLINE_TEST_POSTGRES").ok()?.parse().unwrap())
}

/// The URL of an empty schema, as it is reached at an address.
async fn empty_schema(options: &PgConnectOptions, folder: &TempDir, at: SocketAddr) -> String {
    let schema = schema_of(folder);
    let mut connection = options.connect().await.unwrap();
    let text = format!("CREATE SCHEMA {schema}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let (user, database) = (options.get_username(), options.get_database().unwrap());
    format!("postgresql://{user}@{at}/{database}?options=-csearch_path%3D{schema}")
}

/// No two folders have one name.
fn schema_of(folder: &TempDir) -> String {
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let letters = name.bytes().map(|byte| format!("{byte:02x}"));
    format!("s{}", letters.collect::<String>())
}

/// A connection to a schema, past the server.
async fn schema(options: &PgConnectOptions, folder: &TempDir) -> PgConnection {
    let settings = [("search_path", schema_of(folder))];
    options.clone().options(settings).connect().await.unwrap()
}

fn address(options: &PgConnectOptions) -> SocketAddr {
    format!("{}:{}", options.get_host(), options.get_port()).parse().unwrap()
}

async fn start(dir: &Path, url: &str, clock: Clock) -> Server {
    Server::start_with(dir, &format!("database_url = \"{url}\""), clock).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_moves_a_server_from_sqlite_to_postgres_and_back_with_every_answer() {
    let Some(options) = postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Still::default());
    let clock = || Clock::over(clocks.clone());
    let old = folder.path().join("old");
    fs::create_dir(&old).unwrap();
    let (server, _) = lived_in(&old, clock(), &clocks).await;
    let before = answers(&server).await;
    let there = folder.path().join("there");
    download(&server, &there).await;
    server.stop().await;

    let moved = folder.path().join("moved");
    let text = empty_schema(&options, &folder, address(&options)).await;
    let url = DatabaseUrl::parse(&text).unwrap();
    let key = master_key(&old);
    restore(&there, &moved, Some(&url), GivenKey::Put(&key)).await.unwrap();
    assert!(!moved.join("faultline.db").exists());
    assert_eq!(verify_data(&moved, Some(&url), None).await.problems, []);
    let server = start(&moved, &text, clock()).await;
    assert!(server.ready.first_start.is_none());
    let on_postgres = answers(&server).await;
    for (path, answer) in &before {
        assert_eq!(&on_postgres[path], answer, "{path}");
    }
    let health = server.get("/health").await;
    assert_eq!(health["database"]["engine"], "postgresql");
    // What is new there comes back, too.
    let new = serde_json::json!({ "name": "new", "address": "192.0.2.77" });
    server.post("/targets", &new).await;
    let before = answers(&server).await;
    let back = folder.path().join("back");
    download(&server, &back).await;
    server.stop().await;

    let home = folder.path().join("home");
    restore(&back, &home, None, GivenKey::Put(&key)).await.unwrap();
    assert_eq!(verify_data(&home, None, None).await.problems, []);
    let server = Server::start_by(&home, clock()).await;
    let after = answers(&server).await;
    for (path, answer) in &before {
        assert_eq!(&after[path], answer, "{path}");
    }
    server.stop().await;
    // Nothing is restored over what is there, and nothing is left of the attempt.
    let again = folder.path().join("again");
    let refused = restore(&there, &again, Some(&url), GivenKey::None).await.unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("give an empty one"));
    assert!(!again.exists());
}

/// What keeps a server from starting, with its reasons.
async fn refused(dir: &Path, url: &str) -> String {
    let overrides = Overrides {
        data_dir: Some(dir.to_owned()),
        http_listen: Some("127.0.0.1:0".to_owned()),
        agent_listen: Some("127.0.0.1:0".to_owned()),
    };
    let text = format!("database_url = \"{url}\"");
    let config = Config::resolve(&text, &|_| None, &overrides).unwrap();
    let (ready, _is_ready) = oneshot::channel();
    let stop = CancellationToken::new();
    server::serve_with(config, Clock::system(), stop, ready).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_and_a_database_of_different_installations_are_refused() {
    let Some(options) = postgres() else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut pairs = Vec::new();
    for folder in &folders {
        let url = empty_schema(&options, folder, address(&options)).await;
        let dir = folder.path().join("data");
        start(&dir, &url, Clock::system()).await.stop().await;
        pairs.push((dir, url));
    }
    let [(dir, url), (_, other)] = &pairs[..] else { panic!("there are two") };
    let error = refused(dir, other).await;
    assert!(error.contains("is of the installation ") && error.contains("as before"), "{error}");
    // A new directory does not take over a database, nor a database a directory.
    let error = refused(&folders[0].path().join("new"), url).await;
    assert!(error.contains("is of no installation yet"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let empty = empty_schema(&options, &empty, address(&options)).await;
    let error = refused(dir, &empty).await;
    assert!(error.contains("of no installation yet: keys, log"), "{error}");
    // Nothing of it has changed what belongs together.
    start(dir, url, Clock::system()).await.stop().await;
    // One that an older version used has no name yet.
    fs::write(dir.join("database-elsewhere"), "PostgreSQL somewhere\n").unwrap();
    let mut connection = schema(&options, &folders[0]).await;
    sqlx::raw_sql("DELETE FROM installation").execute(&mut connection).await.unwrap();
    start(dir, url, Clock::system()).await.stop().await;
    let error = refused(dir, other).await;
    assert!(error.contains("is of the installation "), "{error}");
}

/// An archive that puts a file into the data directory when it has been read.
struct InTheWay {
    archive: fs::File,
    dir: PathBuf,
}

impl io::Read for InTheWay {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.archive.read(buf)?;
        if read == 0 {
            fs::create_dir_all(&self.dir)?;
            fs::write(self.dir.join("somebodys"), "")?;
        }
        Ok(read)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_at_the_end_leaves_the_database_empty() {
    let Some(options) = postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Still::default());
    let old = folder.path().join("old");
    fs::create_dir(&old).unwrap();
    let (server, _) = lived_in(&old, Clock::over(clocks.clone()), &clocks).await;
    let there = folder.path().join("there");
    download(&server, &there).await;
    server.stop().await;
    let text = empty_schema(&options, &folder, address(&options)).await;
    let url = DatabaseUrl::parse(&text).unwrap();
    let dir = folder.path().join("new");
    let archive = InTheWay { archive: fs::File::open(&there).unwrap(), dir: dir.clone() };
    let error = restore_from(archive, &dir, Some(&url), GivenKey::None).await.unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
    let mut connection = schema(&options, &folder).await;
    let left: i64 = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    // So the next try needs nothing.
    let key = master_key(&old);
    let dir = folder.path().join("newer");
    restore(&there, &dir, Some(&url), GivenKey::Put(&key)).await.unwrap();
    start(&dir, &text, Clock::over(clocks.clone())).await.stop().await;
}

/// The way to the database, which a test cuts and mends.
struct Way {
    to: SocketAddr,
    at: SocketAddr,
    open: JoinSet<()>,
}

impl Way {
    async fn new(to: SocketAddr) -> Way {
        let mut way = Way { to, at: "127.0.0.1:0".parse().unwrap(), open: JoinSet::new() };
        way.mend().await;
        way
    }

    async fn mend(&mut self) {
        let listener = TcpListener::bind(self.at).await.unwrap();
        (self.at, self.open) = (listener.local_addr().unwrap(), JoinSet::new());
        let to = self.to;
        self.open.spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                pairs.spawn(async move {
                    let mut to = TcpStream::connect(to).await.unwrap();
                    copy_bidirectional(&mut from, &mut to).await.map_or((), drop)
                });
            }
        });
    }

    async fn cut(&mut self) {
        self.open.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_a_while_costs_nothing_that_was_acknowledged() {
    let Some(options) = postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut way = Way::new(address(&options)).await;
    let url = empty_schema(&options, &folder, way.at).await;
    let server = start(&folder.path().join("data"), &url, Clock::system()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let epoch = link.epoch;
    link.send_rounds(1, &[answered(probe, 90)]).await;
    link.acknowledged(epoch, 1).await;
    server.rounds_reach(target, 1).await;

    way.cut().await;
    // It is in the log, and so it is acknowledged.
    link.send_rounds(2, &[answered(probe, 60)]).await;
    link.acknowledged(epoch, 2).await;
    let answer = server.ask(Method::GET, "/targets").await;
    assert_eq!(answer.status().as_u16(), 503);
    let said = answer.text().await.unwrap();
    assert!(said.contains("the database server does not answer"), "{said}");

    way.mend().await;
    soon(async { while !server.ask(Method::GET, "/targets").await.status().is_success() {} }).await;
    server.rounds_reach(target, 2).await;
    link.send_rounds(3, &[answered(probe, 30)]).await;
    link.acknowledged(epoch, 3).await;
    assert_eq!(server.rounds_reach(target, 3).await.len(), 3);
    drop(link);
    server.stop().await;
}
