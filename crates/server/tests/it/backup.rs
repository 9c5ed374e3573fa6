//! Out of one server, into a file, into another server.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Cursor, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use model::{ProbeId, Tick};
use reqwest::Method;
use serde_json::{Value, json};
use server::{
    Config, Overrides,
    archive::{self, ArchiveError},
    backup::backup_offline,
    clock::{Clock, ReadClocks, Reading},
    http::routes::{Access, catalogue},
    restore::{GivenKey, RestoreError, restore, restore_from},
    secrets::MasterKey,
    verify::{Problem, verify_archive, verify_data},
};
use tempfile::TempDir;
use wire::rounds::RoundRow;

use crate::harness::{NOW_S, Server, answered, enrol, soon};

/// A clock that only the test moves.
#[derive(Debug, Default)]
pub(crate) struct Still(AtomicI64);

impl Still {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl ReadClocks for Still {
    fn read(&self) -> Reading {
        let boot_us = self.0.load(Ordering::SeqCst);
        Reading { wall_us: 1_795_240_440_000_000 + boot_us, boot_us }
    }
}

pub(crate) fn master_key(dir: &Path) -> MasterKey {
    MasterKey::read(&dir.join("keys/master.key")).unwrap().unwrap()
}

pub(crate) async fn download(server: &Server, to: &Path) {
    let answer = server.ask(Method::POST, "/backup").await.error_for_status().unwrap();
    assert_eq!(answer.headers()["content-type"], archive::MEDIA_TYPE);
    fs::write(to, answer.bytes().await.unwrap()).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What a restore may change, and why: see docs/durability.md.
fn comparable(path: &str, mut value: Value) -> Value {
    let cut = |value: &mut Value, fields: &[&str]| {
        for field in fields {
            value.as_object_mut().unwrap().remove(*field);
        }
    };
    let items = |value: &mut Value| value["items"].as_array_mut().unwrap().clone();
    match path {
        // Grows with every start.
        "/overview" => cut(&mut value, &["log_position"]),
        // Grows with every drawing of this process.
        "/map" => cut(&mut value, &["version"]),
        // Of this process and this machine.
        "/health" => cut(
            &mut value,
            &[
                "uptime_s",
                "started_at",
                "load",
                "memory",
                "disk",
                "log",
                "ingest",
                "checks",
                "storage",
            ],
        ),
        // This machine's own key is made anew.
        "/api-keys" => {
            let kept = items(&mut value).into_iter().filter(|key| key["name"] != "server-shell");
            value["items"] = kept.collect();
        }
        // Goes on with what the start did.
        "/audit" => {
            let kept = items(&mut value)
                .into_iter()
                .rev()
                .take_while(|row| row["action"] != "backup.download");
            value["items"] = kept.collect();
        }
        // What was measured of an agent since this process started.
        "/agents" => {
            for agent in value["items"].as_array_mut().unwrap() {
                agent.as_object_mut().unwrap().remove("clock_offset_ms");
            }
        }
        _ if path.starts_with("/agents/") => cut(&mut value, &["clock_offset_ms"]),
        _ if path.starts_with("/targets/") && path.ends_with("/status") => {
            cut(&mut value, &["server_since"]);
        }
        _ => (),
    }
    if path == "/health" {
        let database = &mut value["database"];
        cut(database, &["engine", "place", "version", "size_bytes", "latency_ms_p95"]);
    }
    value
}

/// Every answer of the API that a reader can get, by path.
pub(crate) async fn answers(server: &Server) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (method, path, access) in catalogue() {
        let is_data = matches!(access, Access::Needs(_)) && method == Method::GET;
        let Some(path) = path.strip_prefix("/api/v1").filter(|_| is_data) else {
            continue;
        };
        // Nothing of it is kept: a stream of what happens next, and what each process judges anew.
        if matches!(path, "/live" | "/diagnosis") {
            continue;
        }
        let ids = if path.contains("{id}") { 1..=4 } else { 1..=1 };
        for id in ids {
            let path = path.replace("{id}", &id.to_string());
            let answer = server.ask(Method::GET, &path).await;
            let status = answer.status().as_u16();
            let value = match status {
                200 => comparable(&path, answer.json().await.unwrap()),
                _ => json!(status),
            };
            all.insert(path, value);
        }
    }
    all
}

/// A server with something of everything, and its agent gone.
pub(crate) async fn lived_in(
    dir: &Path,
    clock: Clock,
    clocks: &Still,
) -> (Server, crate::harness::Identity) {
    let server = Server::start_by(dir, clock).await;
    server
        .post(
            "/users",
            &json!({
                "name": "ann", "role": "operator", "password": "a long enough password"
            }),
        )
        .await;
    server.post("/api-keys", &json!({ "name": "grafana", "role": "viewer" })).await;
    server.post("/tiers", &json!({ "name": "gold", "interval_s": 10 })).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    server
        .post(
            "/targets",
            &json!({
                "name": "core2", "address": "2001:db8::1", "tags": ["core", "zrh"], "note": "Zürich"
            }),
        )
        .await;
    let (gone, _) = server.new_target("gone", "192.0.2.9").await;
    server.delete(&format!("/targets/{gone}")).await;
    let (_, token) = server.new_agent("fra1").await;
    server.new_agent("ams1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let epoch = link.epoch;
    let rows: Vec<RoundRow> = (1..=10).map(|n| answered(probe, 30 * n)).rev().collect();
    link.send_rounds(1, &rows).await;
    link.acknowledged(epoch, 1).await;
    server.rounds_reach(target, 10).await;
    drop(link);
    soon(async {
        while !server.get("/agents/1").await["connected_from"].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Minutes close, and the agent is missed: by an entry of the log, which brings the time.
    for minutes in 1..=3 {
        clocks.pass(Duration::from_secs(60));
        server.new_target(&format!("late{minutes}"), "192.0.2.8").await;
    }
    (server, identity.process(1, epoch))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_gives_every_answer_that_was_given_before() {
    let old = tempfile::tempdir().unwrap();
    let clocks = Arc::new(Still::default());
    let clock = || Clock::over(clocks.clone());
    let (server, identity) = lived_in(old.path(), clock(), &clocks).await;
    let before = answers(&server).await;
    let given = before.values().filter(|value| !value.is_number()).count();
    assert!(25 < given, "{:#?}", before.keys());
    assert!(before["/targets/1/changes"].to_string().contains("up"), "{before:#?}");
    let file = old.path().join("backup");
    download(&server, &file).await;
    server.stop().await;

    let verified = verify_archive(&file, Some(&master_key(old.path())));
    assert_eq!(verified.problems, []);
    let new = tempfile::tempdir().unwrap();
    let dir = new.path().join("data");
    restore(&file, &dir, None, GivenKey::Put(&master_key(old.path()))).await.unwrap();
    assert_eq!(verify_data(&dir, None, None).await.problems, []);
    let server = Server::start_by(&dir, clock()).await;
    assert!(server.ready.first_start.is_none());
    let after = answers(&server).await;
    for (path, answer) in &before {
        assert_eq!(&after[path], answer, "{path}");
    }
    let audit = server.get("/audit").await;
    assert!(audit.to_string().contains("backup.download"), "{audit}");

    // The agent trusts the restored server as it is, and goes on.
    let mut link = identity.at(&server).link().await.unwrap();
    let epoch = link.epoch;
    link.send_rounds(1, &[answered(ProbeId(1), 5)]).await;
    link.acknowledged(epoch, 1).await;
    assert_eq!(server.rounds_reach(1, 11).await.len(), 11);
    server.stop().await;
}

/// An archive of a small installation that is stopped, in memory, and the key to it.
async fn small() -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.new_target("core1", "192.0.2.1").await;
    server.stop().await;
    let file = dir.path().join("backup");
    backup_offline(dir.path(), None, &file, Clock::system().now()).await.unwrap();
    let bytes = fs::read(file).unwrap();
    (dir, bytes)
}

fn read(bytes: &[u8]) -> Result<archive::Manifest, ArchiveError> {
    archive::read(bytes, |_| Ok(()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_with_any_byte_changed_or_cut_off_is_refused_by_the_name_of_the_thing() {
    let (_dir, bytes) = small().await;
    let manifest = read(&bytes).unwrap();
    assert_eq!(manifest.head.organisations, ["default"]);
    let mut things = BTreeMap::new();
    let mut refuse = |bent: &[u8], what: String| {
        let error = read(bent).expect_err(&what);
        if let ArchiveError::Damaged { thing, .. } = &error {
            *things.entry(thing.clone()).or_insert(0) += 1;
            assert!(error.to_string().contains(&format!("`{thing}`")), "{error}");
        }
    };
    for at in (0..bytes.len()).step_by(bytes.len() / 500 + 1).chain(0..64) {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << (at % 8);
        refuse(&bent, format!("byte {at} changed"));
        refuse(&bytes[..at], format!("cut off at {at}"));
    }
    for at in bytes.len() - 64..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 0x80;
        refuse(&bent, format!("byte {at} changed"));
        refuse(&bytes[..at], format!("cut off at {at}"));
    }
    refuse(&[bytes.as_slice(), b"x"].concat(), "something at the end".to_owned());
    assert!(1 < things.len(), "{things:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_restores_nothing_and_leaves_nothing() {
    let (_dir, bytes) = small().await;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    for at in (0..bytes.len()).step_by(bytes.len() / 24) {
        let mut bent = bytes.clone();
        bent[at] ^= 0xff;
        for bent in [bent, bytes[..at].to_vec()] {
            let error =
                restore_from(Cursor::new(bent), &dir, None, GivenKey::None).await.unwrap_err();
            assert!(matches!(error, RestoreError::Archive(_) | RestoreError::Store(_)), "{error}");
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "{error}");
        }
    }
    restore_from(Cursor::new(bytes), &dir, None, GivenKey::None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_empty_place_is_restored_into_and_only_with_the_right_key() {
    let (old, bytes) = small().await;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "mine").unwrap();
    let given = GivenKey::None;
    let error = restore_from(Cursor::new(bytes.clone()), &dir, None, given).await.unwrap_err();
    assert!(error.to_string().contains("is not empty: give a new data directory"), "{error}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    fs::remove_file(dir.join("mine")).unwrap();

    let wrong = MasterKey::parse(&format!("{}=", "A".repeat(43)), "it").unwrap();
    for given in [GivenKey::Check(&wrong), GivenKey::Put(&wrong)] {
        let error = restore_from(Cursor::new(bytes.clone()), &dir, None, given).await.unwrap_err();
        assert!(matches!(error, RestoreError::Key(_)), "{error}");
    }
    let right = master_key(old.path());
    restore_from(Cursor::new(bytes), &dir, None, GivenKey::Check(&right)).await.unwrap();
    // A key of the environment is not written down.
    assert!(!dir.join("keys/master.key").exists());
    let lost = start_error(&dir).await;
    assert!(lost.contains("put it back"), "{lost}");
}

/// Why a server does not start there.
async fn start_error(dir: &Path) -> String {
    let overrides = Overrides {
        data_dir: Some(dir.to_owned()),
        http_listen: Some("127.0.0.1:0".to_owned()),
        agent_listen: Some("127.0.0.1:0".to_owned()),
    };
    let config = Config::resolve("", &|_| None, &overrides).unwrap();
    let (ready, _) = tokio::sync::oneshot::channel();
    let stop = tokio_util::sync::CancellationToken::new();
    soon(server::serve(config, stop, ready)).await.unwrap_err().to_string()
}

/// Reads on, and at many places takes a picture of the disk as it would be if the machine died.
struct Pictures {
    bytes: Cursor<Vec<u8>>,
    step: usize,
    from: PathBuf,
    to: PathBuf,
    taken: usize,
}

impl Read for Pictures {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.taken * self.step) as u64 <= self.bytes.position() {
            copy(&self.from, &self.to.join(self.taken.to_string()));
            self.taken += 1;
        }
        let count = buffer.len().min(self.step);
        self.bytes.read(&mut buffer[..count])
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            // What goes while we look was not there any more.
            fs::copy(entry.path(), to).map_or_else(drop, drop);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_interrupted_leaves_nothing_that_starts() {
    let (old, bytes) = small().await;
    let parent = tempfile::tempdir().unwrap();
    let pictures = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let source = Pictures {
        step: bytes.len() / 20,
        bytes: Cursor::new(bytes.clone()),
        from: parent.path().to_owned(),
        to: pictures.path().to_owned(),
        taken: 0,
    };
    restore_from(source, &dir, None, GivenKey::None).await.unwrap();
    let taken: Vec<PathBuf> =
        fs::read_dir(pictures.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(10 < taken.len(), "{taken:?}");
    let key = master_key(old.path());
    for picture in taken {
        assert!(!picture.join("data").exists());
        let error = start_error(&picture.join("data.restoring")).await;
        assert!(error.contains("is what a restore left"), "{error}");
        // The next attempt clears it away.
        let data = picture.join("data");
        restore_from(Cursor::new(bytes.clone()), &data, None, GivenKey::Put(&key)).await.unwrap();
        assert!(!picture.join("data.restoring").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_during_ingest_has_all_that_was_acknowledged_before_it_each_once() {
    let old = tempfile::tempdir().unwrap();
    let server = Server::start(old.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let identity = enrol(&token).await.unwrap();
    let mut link = identity.link().await.unwrap();
    let epoch = link.epoch;
    let row = |seq: u64| RoundRow {
        due_tick: Tick((NOW_S - 60) * 1_000_000 + seq * 1_000),
        ..answered(probe, 0)
    };
    for seq in 1..=20 {
        link.send_rounds(seq, &[row(seq)]).await;
    }
    link.acknowledged(epoch, 20).await;
    let file = old.path().join("backup");
    let stop = tokio_util::sync::CancellationToken::new();
    let sending = async {
        let mut seq = 20;
        while !stop.is_cancelled() {
            seq += 1;
            link.send_rounds(seq, &[row(seq)]).await;
            link.acknowledged(epoch, seq).await;
        }
        seq
    };
    let backing_up = async {
        download(&server, &file).await;
        stop.cancel();
    };
    let (sent, ()) = tokio::join!(sending, backing_up);
    server.stop().await;
    assert_eq!(verify_archive(&file, Some(&master_key(old.path()))).problems, []);

    let new = tempfile::tempdir().unwrap();
    let dir = new.path().join("data");
    restore(&file, &dir, None, GivenKey::Put(&master_key(old.path()))).await.unwrap();
    assert_eq!(verify_data(&dir, None, None).await.problems, []);
    let server = Server::start(&dir).await;
    let rounds = server.rounds_reach(target, 20).await;
    let times: Vec<&str> = rounds.iter().map(|round| round["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "a round is there twice: {times:?}");
    assert!(rounds.len() as u64 <= sent);
    // A prefix of what was sent: nothing behind a hole.
    let highest = rounds.len() as u64;
    let mut link = identity.at(&server).process(1, epoch).link().await.unwrap();
    for seq in 1..=highest {
        link.send_again(epoch, seq, &[row(seq)]).await;
    }
    link.acknowledged(epoch, highest).await;
    assert_eq!(server.rounds(target).await.len() as u64, highest);
    server.stop().await;
}

fn backups(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until a counter of `/metrics` has this value.
async fn metric_reaches(server: &Server, name: &str, value: f64) {
    soon(async {
        while server.metric(name).await < value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_when_due_and_the_oldest_go_after_a_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("backups");
    fs::create_dir(&to).unwrap();
    for name in ["notes.txt", "faultline-20200101T000000Z.tar.zst.partial"] {
        fs::write(to.join(name), "").unwrap();
    }
    let config = format!("[backup]\ndir = {to:?}\nevery = \"10m\"\nkeep = 2");
    let clocks = Arc::new(Still::default());
    let data = dir.path().join("data");
    let start = || Server::start_with(&data, &config, Clock::over(clocks.clone()));
    let server = start().await;
    for made in 1..=3 {
        metric_reaches(&server, "faultline_backups_total", f64::from(made)).await;
        clocks.pass(Duration::from_secs(600));
    }
    metric_reaches(&server, "faultline_backups_total", 4.0).await;
    assert_eq!(
        backups(&to),
        ["faultline-20261121T061400Z.tar.zst", "faultline-20261121T062400Z.tar.zst", "notes.txt",]
    );
    let key = master_key(&data);
    for name in backups(&to).iter().filter(|name| name.ends_with(".zst")) {
        assert_eq!(verify_archive(&to.join(name), Some(&key)).problems, [], "{name}");
    }
    let health = server.get("/health").await;
    assert_eq!(health["backup"]["last_success_at"], "2026-11-21T06:24:00Z", "{health}");
    assert_eq!(health["backup"]["every_s"], 600);
    let audit = server.get("/audit").await.to_string();
    assert!(audit.contains("backup.create") && audit.contains("061400Z"), "{audit}");
    server.stop().await;

    // The next start knows that none is due.
    let server = start().await;
    soon(async {
        while server.get("/health").await["backup"]["last_success_at"].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(server.metric("faultline_backups_total").await, 0.0);
    assert_eq!(backups(&to).len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_is_told_and_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("backups");
    fs::write(&to, "not a folder").unwrap();
    let config = format!("[backup]\ndir = {to:?}");
    let server = Server::start_with(&dir.path().join("data"), &config, Clock::system()).await;
    metric_reaches(&server, "faultline_backup_failures_total", 1.0).await;
    let health = server.get("/health").await;
    assert_eq!(health["status"], "degraded");
    let checks = health["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "backup").unwrap();
    assert_eq!(check["status"], "degraded", "{check}");
    assert!(check["detail"].as_str().unwrap().contains("backups"), "{check}");
    server.stop().await;
}

fn words(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{} -> {}\n", problem.what, problem.remedy)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_data_directory_finds_each_damage_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (target, probe) = server.new_target("core1", "192.0.2.1").await;
    let (_, token) = server.new_agent("fra1").await;
    let mut link = enrol(&token).await.unwrap().link().await.unwrap();
    let epoch = link.epoch;
    link.send_rounds(1, &[answered(probe, 0)]).await;
    link.acknowledged(epoch, 1).await;
    server.rounds_reach(target, 1).await;
    let running = verify_data(dir.path(), None, None).await;
    assert_eq!(running.problems, []);
    assert!(running.facts.iter().any(|fact| fact == "a server has it open"), "{running:?}");
    server.stop().await;
    assert_eq!(verify_data(dir.path(), None, None).await.problems, []);

    let look = async |damage: &dyn Fn(&Path), expected: &str| {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        damage(copied.path());
        let found = words(&verify_data(copied.path(), None, None).await.problems);
        assert!(found.contains(expected), "{expected} is not in: {found}");
    };
    let key = |dir: &Path| dir.join("keys/master.key");
    look(
        &|dir| fs::set_permissions(key(dir), fs::Permissions::from_mode(0o644)).unwrap(),
        "chmod 600",
    )
    .await;
    look(&|dir| fs::remove_file(key(dir)).unwrap(), "put it back").await;
    let other = format!("{}=\n", "A".repeat(43));
    look(&|dir| fs::write(key(dir), &other).unwrap(), "another one than it was sealed under").await;
    look(&|dir| fs::remove_file(dir.join("keys/authority.crt")).unwrap(), "restore both files")
        .await;
    look(&|dir| fs::remove_file(dir.join("faultline.db")).unwrap(), "has no database").await;
    look(&|dir| fs::remove_dir_all(dir.join("log")).unwrap(), "the log").await;
    look(
        &|dir| {
            let path = dir.join("faultline.db");
            let mut bytes = fs::read(&path).unwrap();
            bytes.iter_mut().skip(16_384).step_by(5).for_each(|byte| *byte ^= 0x55);
            fs::write(path, bytes).unwrap();
        },
        "restore the newest good backup",
    )
    .await;
    look(
        &|dir| {
            let path = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
            let path = path.into_iter().find(|path| path.extension().is_some_and(|e| e == "seg"));
            let path = path.unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes[40] ^= 0xff;
            fs::write(path, bytes).unwrap();
        },
        "is damaged -> start the server",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_form_or_schema_is_refused_and_a_running_server_is_not_read_offline() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let file = dir.path().join("backup");
    let now = Clock::system().now();
    let error = backup_offline(dir.path(), None, &file, now).await.unwrap_err();
    assert!(error.to_string().contains("leave out --offline"), "{error}");
    assert!(!file.exists());
    server.stop().await;
    backup_offline(dir.path(), None, &file, now).await.unwrap();
    let again = backup_offline(dir.path(), None, &file, now).await.unwrap_err();
    assert!(again.to_string().contains("cannot use"), "{again}");

    let parent = tempfile::tempdir().unwrap();
    let schema = schema_of(&fs::read(&file).unwrap());
    for (from, to, expected) in [
        ("\"form\": 1", "\"form\": 2", "it has form 2"),
        (schema.as_str(), "\"version\": 99,", "schema 99 and this version knows"),
    ] {
        let bytes = rewritten(&fs::read(&file).unwrap(), from, to);
        let target = parent.path().join("data");
        let error =
            restore_from(Cursor::new(bytes), &target, None, GivenKey::None).await.unwrap_err();
        let error = chain(&error);
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What the head of an archive says of the schema.
fn schema_of(bytes: &[u8]) -> String {
    let tar = zstd::decode_all(&bytes[16..bytes.len() - 48]).unwrap();
    let head = String::from_utf8_lossy(&tar);
    let mut versions = head.split("\"version\": ").skip(1);
    let version = versions.find(|text| text.starts_with(|c: char| c.is_ascii_digit())).unwrap();
    format!("\"version\": {},", version.split(',').next().unwrap())
}

/// The same archive with another text in its head, as a later version would write it; white space
/// behind it may go.
fn rewritten(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let body = &bytes[16..bytes.len() - 48];
    let mut tar = zstd::decode_all(body).unwrap();
    let at = tar.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    tar[at..at + to.len()].copy_from_slice(to.as_bytes());
    let mut made = bytes[..16].to_vec();
    made.extend(zstd::encode_all(tar.as_slice(), 1).unwrap());
    let digest = Sha256::digest(&made);
    made.extend_from_slice(&bytes[bytes.len() - 48..bytes.len() - 32]);
    made.extend_from_slice(&digest);
    made
}
