//! A server over PostgreSQL. Without one there is nothing to test here; `cargo xtask test` starts
//! one, and the store's tests say which half of them a run leaves out.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use reqwest::Method;
use server::{
    DatabaseUrl,
    clock::Clock,
    restore::{GivenKey, restore},
    verify::verify_data,
};
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

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
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let letters = name.bytes().map(|byte| format!("{byte:02x}"));
    let schema = format!("s{}", letters.collect::<String>());
    let mut connection = options.connect().await.unwrap();
    let text = format!("CREATE SCHEMA {schema}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let (user, database) = (options.get_username(), options.get_database().unwrap());
    format!("postgresql://{user}@{at}/{database}?options=-csearch_path%3D{schema}")
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
