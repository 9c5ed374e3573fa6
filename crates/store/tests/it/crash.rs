//! The database after a loss of power: what was committed is there, and nothing else is half there.
//!
//! Snapshots of the files are taken around every commit, and around every time that what was
//! committed is sealed into chunks and chunks are merged. From two of them the trial makes what a
//! disk may hold if power goes in between, and opens that without help.
//!
//! 1 - A commit returns after its frames in the write-ahead log are synced: of what was appended
//!     since, each sector is there, or zero, and the file may end anywhere.
//! 2 - A checkpoint copies pages into the database only after the log that has them is synced: of
//!     what changed, each page is the old one or the new one, and the log is whole.
//! 3 - A log that begins again gets its first sector synced before anything else is written, and
//!     not before the database is: then each further sector is an old or a new one.
//!
//! What a kill leaves behind is not this: the operating system keeps what was written. The drill
//! `kill` does that with the real server.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use model::{
    AgentId, Cause, Confirm, Count, Decision, DecisionKind, Entity, LogPosition, MetricBatch,
    MetricKind, MetricRollup, MetricSubject, MetricValue, Minute, Outcome, ProbeId, Reading, Round,
    RoundBatch, RoundFlags, Rtt, Rtts, Span, Subject, UtcMicros, Verdict, VerdictChange, Why,
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use store::{Commit, Highwater, NewAgent, ORG_DEFAULT, RoundQuery, Scope, Store, Who};

use crate::{at, metrics::sample, name, sqlite};

const SECTOR_BYTES: usize = 512;
/// As the store asks for; the trial finds out if that changes, for nothing would open.
const PAGE_BYTES: usize = 16_384;
/// The header and a checksum: what is synced alone when a log begins again.
const LOG_HEADER_BYTES: usize = 32;
/// Commits of a run, with one checkpoint of the log at least.
const COMMITS: u64 = 14;
/// Images made of each; of a compaction one.
const IMAGES: u64 = 2;
const ROUNDS_MAX: usize = 40;
/// So that the log is copied into the database, and begins again, within the run.
const BODY_BYTES_MAX: usize = 3 << 20;

/// A small generator with a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}

/// The bytes of both files at one moment at which nothing is under way.
#[derive(Clone)]
struct Snapshot {
    database: Vec<u8>,
    log: Vec<u8>,
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

impl Snapshot {
    fn of(path: &Path) -> Snapshot {
        let (database, log) = (fs::read(path).unwrap(), fs::read(log_of(path)).unwrap());
        Snapshot { database, log }
    }

    fn put(&self, path: &Path) {
        fs::write(path, &self.database).unwrap();
        fs::write(log_of(path), &self.log).unwrap();
        // The index of the log is memory of processes that are gone.
        fs::remove_file(path.with_extension("db-shm")).unwrap_or(());
    }
}

/// Of each piece the old or the new; where there is no old one, nothing.
fn mixed(old: &[u8], new: &[u8], from: usize, piece_bytes: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = new.to_vec();
    let mut at = from;
    while at < bytes.len() {
        let end = (at + piece_bytes).min(bytes.len());
        if dice.below(2) == 0 {
            for (offset, byte) in bytes[at..end].iter_mut().enumerate() {
                *byte = old.get(at + offset).copied().unwrap_or(0);
            }
        }
        at = end;
    }
    bytes
}

/// What happened to the files in one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happened {
    Appended,
    /// And then copied into the database.
    Copied,
    BeganAgain,
}

fn happened(before: &Snapshot, after: &Snapshot) -> Happened {
    let is_same_log = before.log.get(..LOG_HEADER_BYTES) == after.log.get(..LOG_HEADER_BYTES);
    if !is_same_log {
        Happened::BeganAgain
    } else if before.database != after.database {
        Happened::Copied
    } else {
        Happened::Appended
    }
}

/// What a disk may hold if power goes between two snapshots, and whether the commit in between must
/// be there, because only what follows it was under way.
fn image(before: &Snapshot, after: &Snapshot, synced: usize, dice: &mut Dice) -> (Snapshot, bool) {
    let torn = |from: usize, old: &[u8], dice: &mut Dice| {
        let mut log = mixed(old, &after.log, from, SECTOR_BYTES, dice);
        if old.len() < log.len() && dice.below(2) == 0 {
            let least = from.max(old.len());
            log.truncate(least + dice.below(log.len() - least + 1));
        }
        log
    };
    match happened(before, after) {
        // The log had room behind its end, from before it began again: that is old, too.
        Happened::Appended => {
            let log = torn(synced, &before.log, dice);
            (Snapshot { database: after.database.clone(), log }, false)
        }
        Happened::Copied => {
            let mut database = before.database.clone();
            database.resize(after.database.len(), 0);
            let database = mixed(&database, &after.database, 0, PAGE_BYTES, dice);
            (Snapshot { database, log: after.log.clone() }, true)
        }
        Happened::BeganAgain => {
            let log = torn(SECTOR_BYTES, &before.log, dice);
            (Snapshot { database: before.database.clone(), log }, false)
        }
    }
}

struct Trial {
    scope: Scope,
    agent: AgentId,
    probe: ProbeId,
    target: model::TargetId,
    /// Rounds of each commit, from the first.
    rounds: Vec<usize>,
}

fn decision(position: u64) -> Decision {
    let (from, to) = match position % 2 {
        0 => (Verdict::Down, Verdict::Up),
        _ => (Verdict::Up, Verdict::Down),
    };
    let why = Why { cause: Cause::NoAnswer, text: position.to_string() };
    let entity = Entity::Consensus { probe: ProbeId(1) };
    let change = VerdictChange { entity, from, to, at: when(position), why };
    let kind = DecisionKind::Verdict(change);
    Decision { org: ORG_DEFAULT, decided_at: when(position), kind }
}

fn when(position: u64) -> UtcMicros {
    at(i64::try_from(position).unwrap() * 1_000)
}

impl Trial {
    fn batch(&self, position: u64) -> RoundBatch {
        let count = self.rounds[usize::try_from(position - 1).unwrap()];
        let round = |n: usize| {
            let rtt = Rtt { us_min: 1, us_mean: 2, us_max: 3 };
            Round {
                subject: Subject::Probe(self.probe),
                at: UtcMicros(when(position).0 + i64::try_from(n).unwrap()),
                outcome: Outcome::Asked {
                    sent: 5,
                    received: 5,
                    rtt: Some(rtt),
                    confirm: Confirm::default(),
                },
                flags: RoundFlags::default(),
                icmp_error: None,
            }
        };
        RoundBatch::new(self.agent, (0..count).map(round).collect())
    }

    /// A counter that grows by one with each sample, and a gauge.
    fn metrics(&self, position: u64) -> MetricBatch {
        let before: usize = self.rounds.iter().take(usize::try_from(position - 1).unwrap()).sum();
        let count = self.rounds[usize::try_from(position - 1).unwrap()];
        let samples = (0..count).flat_map(|n| {
            let at = UtcMicros(when(position).0 + i64::try_from(n).unwrap());
            let total = u64::try_from(before + n).unwrap();
            let counter = MetricValue::Counter(Count { total, epoch: 1, is_32_bit: false });
            let gauge = MetricValue::Gauge(Reading::from(7));
            [sample("agent_rounds_total", at, counter), sample("agent_probes", at, gauge)]
        });
        MetricBatch { subject: MetricSubject::Agent(self.agent), samples: samples.collect() }
    }

    async fn commit(&self, store: &Store, position: u64, body: &[u8]) -> bool {
        let commit = Commit {
            position: LogPosition(position),
            inventory_version: 1,
            decisions: &[decision(position)],
            rounds: &[self.batch(position)],
            gaps: &[],
            metrics: &[self.metrics(position)],
            highwaters: &[Highwater { agent: self.agent, epoch: 1, seq: position }],
            checkpoint: Some(body),
        };
        store.commit(&commit, when(position)).await.unwrap()
    }

    /// Opens what power left, and returns how far it goes: everything in it must say the same.
    async fn recovered(&self, path: &Path) -> u64 {
        let store = Store::open(path).await.expect("opens without help");
        let LogPosition(position) = store.applied().await.unwrap().position;
        let checkpoint = store.checkpoints().await.unwrap().into_iter().next();
        let checkpoint =
            checkpoint.map(|c| (c.position.0, c.at, c.bytes[0], c.bytes[c.bytes.len() - 1]));
        let byte = u8::try_from(position).unwrap();
        assert_eq!(checkpoint, Some((position, when(position), byte, byte)));
        let highwater = Highwater { agent: self.agent, epoch: 1, seq: position };
        assert_eq!(store.highwaters().await.unwrap(), [highwater]);
        let row = store.target_get(&self.scope, self.target).await.unwrap();
        assert_eq!((row.since, row.why), (when(position), position.to_string()));
        let changes = store.changes_of(&self.scope, self.target, 500).await.unwrap();
        assert_eq!(changes.len() as u64, position, "each verdict once");
        let expected: Vec<UtcMicros> =
            (1..=position).flat_map(|p| self.batch(p).rounds).map(|round| round.at).collect();
        assert_eq!(self.read(&store).await, expected, "each round once");
        self.rolled_up(&store, &expected).await;
        self.measured(&store, position).await;
        for after in [100, 101, 190] {
            while !store.compact(when(COMMITS + after)).await.unwrap().is_done {}
        }
        assert_eq!(self.read(&store).await, expected, "each round once, in chunks");
        self.rolled_up(&store, &expected).await;
        self.measured(&store, position).await;
        // What was committed is not taken again; what follows is.
        assert!(!self.commit(&store, position, b"again").await);
        let next = position + 1;
        if next <= COMMITS {
            assert!(self.commit(&store, next, b"on").await);
        }
        store.close().await;
        sound(path).await;
        position
    }

    /// Each round is in the roll-ups of all three spans once.
    async fn rolled_up(&self, store: &Store, rounds: &[UtcMicros]) {
        for span in Span::ALL {
            let (from, to) = (span.start(at(0).minute()), when(COMMITS + 1).minute());
            let to = Minute(span.start(to).0 + span.minutes());
            let found =
                store.rollups(&self.scope, self.probe, Who::Each, span, from, to).await.unwrap();
            for series in found {
                let counted = series.rollups.into_iter();
                let packets = |times: Option<Rtts>| times.map_or(0, |rtts| rtts.packets());
                let counted: Vec<_> =
                    counted.map(|(start, rollup)| (start, packets(rollup.times))).collect();
                let mut expected: BTreeMap<Minute, u64> = BTreeMap::new();
                for round in rounds {
                    *expected.entry(span.start(round.minute())).or_default() += 5;
                }
                assert_eq!(counted, expected.into_iter().collect::<Vec<_>>(), "{span:?}");
            }
        }
    }

    /// Each sample is at every level once, and the counter counted each.
    async fn measured(&self, store: &Store, position: u64) {
        let samples: usize = (1..=position).map(|p| self.batch(p).rounds.len()).sum();
        let subject = MetricSubject::Agent(self.agent);
        let series = store.metric_series(&self.scope, subject).await.unwrap();
        assert_eq!(series.len(), if position == 0 { 0 } else { 2 });
        let spans = [None, Some(Span::FiveMinutes), Some(Span::Hour), Some(Span::Day)];
        for (series, span) in series.iter().flat_map(|s| spans.map(|span| (s, span))) {
            let from = Span::Day.start(at(0).minute());
            let to = Minute(Span::Day.start(when(COMMITS + 1).minute()).0 + 1_440);
            let read = store.metric_rollups(&self.scope, series, span, from, to).await.unwrap();
            let count: u32 = read.values().map(MetricRollup::count).sum();
            assert_eq!(count as usize, samples, "{} {span:?}", series.name);
            let mut before = None;
            let mut counted = 0;
            for rollup in read.into_values() {
                if let MetricRollup::Counter(counter) = rollup {
                    counted += counter.since(before.as_ref()).0;
                    before = Some(counter);
                }
            }
            let is_counter = series.kind == MetricKind::Counter;
            assert_eq!(counted, if is_counter { samples as u64 - 1 } else { 0 }, "{span:?}");
        }
    }

    async fn read(&self, store: &Store) -> Vec<UtcMicros> {
        let mut query = RoundQuery {
            probe: self.probe,
            agent: None,
            from: at(0),
            to: when(COMMITS + 1),
            after: None,
            limit: 500,
        };
        let mut found = Vec::new();
        loop {
            let page = store.rounds(&self.scope, &query).await.unwrap();
            found.extend(page.rows.iter().map(|row| row.round.at));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return found,
            }
        }
    }
}

/// SQLite's own look at every page and index.
async fn sound(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    let said: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(said, "ok");
    connection.close().await.unwrap();
}

/// The files after a commit or a compaction, and how many commits they hold.
struct Taken {
    position: u64,
    snapshot: Snapshot,
}

/// A run of commits, each followed by a compaction, with a snapshot after each of both.
async fn run(seed: u64) -> (Trial, Vec<Taken>, tempfile::TempDir) {
    let mut dice = Dice(seed);
    let f = sqlite().await;
    let target = f.target("core1", "192.0.2.1").await;
    assert_eq!(target.probe, ProbeId(1));
    let new = NewAgent { name: name("fra1"), witnesses: Vec::new() };
    let agent = f.store.agent_create(&f.scope, &new, at(0)).await.unwrap().row.id;
    let rounds = (0..COMMITS).map(|_| 1 + dice.below(ROUNDS_MAX)).collect();
    let scope = Scope::system(ORG_DEFAULT);
    let trial = Trial { scope, agent, probe: target.probe, target: target.id, rounds };
    let path = f.folder.path().join("faultline.db");
    let mut taken = Vec::new();
    let (mut merged, mut rolled) = (0, 0);
    for position in 1..=COMMITS {
        let body = vec![u8::try_from(position).unwrap(); 1 + dice.below(BODY_BYTES_MAX)];
        assert!(trial.commit(&f.store, position, &body).await);
        taken.push(Taken { position, snapshot: Snapshot::of(&path) });
        // Seals the commit before, merges what is quiet, and rolls it up.
        let step = f.store.compact(when(position)).await.unwrap();
        (merged, rolled) = (merged + step.merged, rolled + step.rolled);
        taken.push(Taken { position, snapshot: Snapshot::of(&path) });
    }
    assert!(0 < merged && 0 < rolled, "chunks were merged and rolled up");
    f.store.close().await;
    (trial, taken, f.folder)
}

/// How much of the log was in use: what lies behind it is left over from before it began again.
fn end_of_log(log: &[u8]) -> usize {
    let frame_bytes = 24 + PAGE_BYTES;
    let Some(salts) = log.get(16..24) else { return 0 };
    let mut end = LOG_HEADER_BYTES;
    while log.get(end + 8..end + 16) == Some(salts) && end + frame_bytes <= log.len() {
        end += frame_bytes;
    }
    end
}

#[tokio::test]
async fn power_may_go_at_any_instant_and_what_was_committed_is_there_once() {
    let (trial, taken, folder) = run(7).await;
    let path = folder.path().join("image.db");
    let mut dice = Dice(11);
    let mut seen = BTreeSet::new();
    let (mut with, mut without, mut compactions) = (0, 0, 0);
    for pair in taken.windows(2) {
        let [old, new] = pair else { panic!("two") };
        let is_compaction = old.position == new.position;
        let (before, after) = (&old.snapshot, &new.snapshot);
        // A compaction is several transactions: one that copied and one that began again are two.
        let has_begun_again = happened(before, after) == Happened::BeganAgain;
        if is_compaction && has_begun_again && before.database != after.database {
            continue;
        }
        seen.insert(happened(before, after));
        for _ in 0..if is_compaction { 1 } else { IMAGES } {
            let synced = end_of_log(&before.log);
            let (image, must_be_there) = image(before, after, synced, &mut dice);
            image.put(&path);
            let found = trial.recovered(&path).await;
            let is_legal = found == new.position || (found == old.position && !must_be_there);
            assert!(is_legal, "commit {found} of {}, {must_be_there}", new.position);
            if is_compaction {
                compactions += 1;
            } else if found == old.position {
                without += 1;
            } else {
                with += 1;
            }
        }
    }
    assert_eq!(seen.len(), 3, "the log was appended to, copied and begun again: {seen:?}");
    assert!(0 < with && 0 < without, "the last commit is there ({with}) or not ({without})");
    assert!(COMMITS / 2 < compactions, "{compactions} within a compaction");
}

/// The trial itself must be able to fail: a disk that calls synced what it has not kept loses
/// commits that were acknowledged.
#[tokio::test]
async fn a_disk_that_lies_is_found_out() {
    let (trial, taken, folder) = run(7).await;
    let path = folder.path().join("image.db");
    let is_commit = |pair: &&[Taken]| pair[0].position < pair[1].position;
    let pair = taken
        .windows(2)
        .filter(is_commit)
        .find(|pair| happened(&pair[0].snapshot, &pair[1].snapshot) == Happened::Appended);
    let [old, new] = pair.expect("a commit that only appends") else { panic!("two") };
    let (before, new) = (old.position, &new.snapshot);
    let lost = Snapshot { database: new.database.clone(), log: vec![0; new.log.len()] };
    lost.put(&path);
    let store = Store::open(&path).await;
    let position = match &store {
        Ok(store) => store.applied().await.map_or(0, |applied| applied.position.0),
        Err(_) => 0,
    };
    assert!(position < before, "{position}: nothing of the log was kept");
    drop(trial);
}
