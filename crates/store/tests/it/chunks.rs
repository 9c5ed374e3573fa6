//! History as chunks: the same whatever it was made of, and as much as possible of it when damaged.

use std::collections::BTreeMap;

use model::{
    AgentId, Cause, Confirm, Decision, DecisionKind, Entity, LogPosition, Minute, MinuteCounts,
    MinuteTruth, Outcome, ProbeId, Round, RoundBatch, RoundFlags, Rtt, Subject, UtcMicros, Verdict,
};
use store::{Commit, Database, NewAgent, ORG_DEFAULT, Retention, RoundQuery, Store, Who};

use crate::{Fixture, at, fixture, name, rollups_before};

const DAY_S: i64 = 24 * 3600;

/// What was recorded, as a plain list: the first round of an instant, the highest revision of a
/// minute.
#[derive(Default)]
struct Naive {
    rounds: BTreeMap<(ProbeId, UtcMicros, AgentId), Round>,
    minutes: BTreeMap<(ProbeId, Minute), MinuteTruth>,
}

struct World {
    f: Fixture,
    probes: Vec<ProbeId>,
    agents: Vec<AgentId>,
    position: u64,
    dice: u64,
    naive: Naive,
}

async fn world() -> World {
    let f = fixture().await;
    let mut probes = Vec::new();
    for n in 1..=3 {
        probes.push(f.target(&format!("core{n}"), &format!("192.0.2.{n}")).await.probe);
    }
    let mut agents = Vec::new();
    for agent in ["fra1", "ber1"] {
        let new = NewAgent { name: name(agent), witnesses: Vec::new() };
        agents.push(f.store.agent_create(&f.scope, &new, at(0)).await.unwrap().row.id);
    }
    World { f, probes, agents, position: 0, dice: 7, naive: Naive::default() }
}

impl World {
    fn below(&mut self, limit: u32) -> u32 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from((self.dice >> 33) % u64::from(limit)).unwrap()
    }

    fn round(&mut self, probe: ProbeId, when: UtcMicros) -> Round {
        let us_min = 10_000 + self.below(500);
        let rtt = Rtt { us_min, us_mean: us_min + 30, us_max: us_min + self.below(90_000) };
        let received = if self.below(20) == 0 { 4 } else { 5 };
        let confirm = Confirm { sent: u8::from(self.below(50) == 0) * 3, received: 0 };
        Round {
            subject: Subject::Probe(probe),
            at: when,
            outcome: Outcome::Asked { sent: 5, received, rtt: Some(rtt), confirm },
            flags: RoundFlags(u8::from(self.below(40) == 0)),
            icmp_error: None,
        }
    }

    /// Commits a minute of all, as of `when`, in seconds: two rounds of each agent and the truth.
    async fn commit(&mut self, minute_s: i64, when: i64, revision: u16) {
        let mut rounds: BTreeMap<AgentId, Vec<Round>> = BTreeMap::new();
        let mut decisions = Vec::new();
        for probe in self.probes.clone() {
            for agent in self.agents.clone() {
                for s in [0, 30] {
                    let round = self.round(probe, at(minute_s + s));
                    rounds.entry(agent).or_default().push(round);
                    self.naive.rounds.entry((probe, round.at, agent)).or_insert(round);
                }
            }
            let verdict = Verdict::ALL[self.below(4) as usize];
            let truth = MinuteTruth {
                entity: Entity::Consensus { probe },
                minute: at(minute_s).minute(),
                verdict,
                cause: Cause::Loss,
                counts: MinuteCounts { rounds: 4, sent: 20, ..MinuteCounts::default() },
                revision,
                said_first: (0 < revision).then_some(Verdict::Unknown),
            };
            let key = (probe, truth.minute);
            let before = self.naive.minutes.get(&key).map_or(0, |before| before.revision);
            if before <= revision {
                self.naive.minutes.insert(key, truth.clone());
            }
            let kind = DecisionKind::Minute(truth);
            decisions.push(Decision { org: ORG_DEFAULT, decided_at: at(when), kind });
        }
        self.position += 1;
        let batches: Vec<_> =
            rounds.into_iter().map(|(agent, rounds)| RoundBatch::new(agent, rounds)).collect();
        let commit = Commit {
            position: LogPosition(self.position),
            inventory_version: 1,
            decisions: &decisions,
            rounds: &batches,
            highwaters: &[],
            gaps: &[],
            metrics: &[],
            checkpoint: None,
        };
        assert!(self.f.store.commit(&commit, at(when)).await.unwrap());
    }

    async fn rounds(&self, probe: ProbeId, from: i64, to: i64) -> Vec<(UtcMicros, AgentId, Round)> {
        let mut query =
            RoundQuery { probe, agent: None, from: at(from), to: at(to), after: None, limit: 499 };
        let mut found = Vec::new();
        loop {
            let page = self.f.store.rounds(&self.f.scope, &query).await.unwrap();
            found.extend(page.rows.iter().map(|row| (row.round.at, row.agent.id, row.round)));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return found,
            }
        }
    }

    /// Everything that was recorded is read, whatever it is kept in by now.
    async fn check(&self) {
        for probe in &self.probes {
            for day in 0..2 {
                let (from, to) = (day * DAY_S, (day + 1) * DAY_S);
                let expected = self.naive.rounds.range((*probe, at(from), AgentId(0))..);
                let expected: Vec<_> = expected
                    .take_while(|((p, when, _), _)| p == probe && *when < at(to))
                    .map(|((_, when, agent), round)| (*when, *agent, *round))
                    .collect();
                assert!(self.rounds(*probe, from, to).await == expected, "rounds of {probe:?}");
                let (from, to) = (at(from).minute(), at(to).minute());
                let read =
                    self.f.store.minutes(&self.f.scope, *probe, Who::Each, from, to).await.unwrap();
                let expected = self.naive.minutes.range((*probe, from)..(*probe, to));
                let expected: Vec<_> = expected.map(|(_, truth)| truth.clone()).collect();
                assert_eq!(read.len(), 1);
                assert!(read[0].minutes == expected, "minutes of {probe:?}");
            }
        }
    }

    async fn compact(&self, now: i64) -> u64 {
        let mut merged = 0;
        loop {
            let step = self.f.store.compact(at(now)).await.unwrap();
            merged += step.merged;
            if step.is_done {
                return merged;
            }
        }
    }

    /// Asks the database itself, past the store.
    async fn ask(&self, text: &'static str) -> Vec<i64> {
        self.f.ask(text).await
    }
}

#[tokio::test]
async fn history_is_the_same_in_the_tail_and_in_chunks_of_any_size() {
    let mut w = world().await;
    // Three hours of every fourth minute, sealed as they come.
    for minute in (0..176).step_by(4) {
        let now = minute * 60 + 61;
        w.commit(minute * 60, now, 0).await;
        w.compact(now).await;
    }
    w.check().await;
    assert!(!w.ask("SELECT id FROM history_tail").await.is_empty(), "the tail holds the newest");
    // Late ones, some of which were heard before; and revisions.
    for minute in [8, 9, 10, 60, 61, 120] {
        w.commit(minute * 60, 180 * 60, 1).await;
    }
    w.check().await;
    assert_eq!(w.compact(3 * 3600 + 400).await, 0, "nothing is merged while more comes in");
    w.check().await;
    for now in [3 * 3600 + 550, 4 * 3600] {
        assert!(0 < w.compact(now).await);
        w.check().await;
    }
    let hours = w.ask("SELECT minutes FROM history_chunk WHERE kind = 1 ORDER BY start").await;
    assert_eq!(hours, [60, 60, 60], "an hour is one chunk once it is quiet");
    w.compact(2 * DAY_S + 3601).await;
    w.check().await;
    let days = w.ask("SELECT minutes FROM history_chunk WHERE kind = 1").await;
    assert_eq!(days, [1_440], "and a day");
    // A backlog of that day, when it has long been one chunk.
    w.commit(7 * 60, 2 * DAY_S + 4_000, 2).await;
    w.check().await;
    w.compact(2 * DAY_S + 5_000).await;
    w.check().await;
    assert_eq!(w.ask("SELECT id FROM history_chunk WHERE kind = 1").await.len(), 2);
    w.compact(3 * DAY_S).await;
    w.check().await;
    assert_eq!(w.ask("SELECT id FROM history_chunk WHERE kind = 1").await.len(), 1);
    assert_eq!(w.f.store.damaged_places(), 0);
}

#[tokio::test]
async fn a_damaged_page_is_told_and_the_rest_stays_readable() {
    let mut w = world().await;
    for minute in 0..30 {
        w.commit(minute * 60, minute * 60 + 61, 0).await;
    }
    w.compact(3_000).await;
    w.check().await;
    // The first byte of the first page: of core1 by fra1, in its first quarter of an hour.
    w.f.raw(match w.f.database {
        Database::Sqlite(_) => {
            "UPDATE history_part SET body = x'ff' || substr(body, 2)
              WHERE chunk_id = (
                        SELECT id FROM history_chunk WHERE kind = 1 ORDER BY start LIMIT 1)"
        }
        Database::Postgres(_) => {
            "UPDATE history_part SET body = set_byte(body, 0, 255)
              WHERE chunk_id = (
                        SELECT id FROM history_chunk WHERE kind = 1 ORDER BY start LIMIT 1)"
        }
    })
    .await;
    let lost = |when: &UtcMicros, agent: &AgentId| {
        when.minute() < at(900).minute() && *agent == w.agents[0]
    };
    let expected = |probe: ProbeId, of_all: bool| {
        let of = w
            .naive
            .rounds
            .iter()
            .filter(move |((p, when, agent), _)| *p == probe && (of_all || !lost(when, agent)));
        of.map(|((_, when, agent), round)| (*when, *agent, *round)).collect::<Vec<_>>()
    };
    let check = async || {
        let damaged = w.rounds(w.probes[0], 0, DAY_S).await;
        assert!(damaged == expected(w.probes[0], false), "{} rounds", damaged.len());
        assert!(w.rounds(w.probes[1], 0, DAY_S).await == expected(w.probes[1], true));
    };
    check().await;
    assert_eq!(w.f.store.damaged_places(), 1);
    // It stays as it is, and what lies beside it is merged on.
    w.compact(3 * DAY_S).await;
    check().await;
    assert_eq!(
        w.ask(
            "SELECT CAST(is_damaged AS BIGINT) AS damaged
               FROM history_chunk WHERE kind = 1 ORDER BY damaged"
        )
        .await,
        [0, 1]
    );
    let inspection = store::inspect(&w.f.database).await.unwrap();
    assert_eq!(inspection.damage.len(), 1, "{:?}", inspection.damage);
}

/// What one commit recorded is damaged before it is sealed: it is told, stays where it is, is read
/// by nobody, and goes with its retention.
#[tokio::test]
async fn a_damaged_row_of_the_tail_is_kept_and_not_sealed() {
    let mut w = world().await;
    for minute in 0..3 {
        w.commit(minute * 60, minute * 60 + 61, 0).await;
    }
    w.f.raw(match w.f.database {
        Database::Sqlite(_) => {
            "UPDATE history_tail
                SET body = CAST(substr(body, 1, 20) || x'ff' || substr(body, 22) AS BLOB)
              WHERE id = (SELECT min(id) FROM history_tail WHERE kind = 1)"
        }
        Database::Postgres(_) => {
            "UPDATE history_tail SET body = set_byte(body, 20, 255)
              WHERE id = (SELECT min(id) FROM history_tail WHERE kind = 1)"
        }
    })
    .await;
    let marks = "SELECT CAST(is_damaged AS BIGINT) FROM history_tail";
    w.compact(3_000).await;
    assert_eq!(w.f.store.damaged_places(), 1);
    assert_eq!(w.ask(marks).await, [1]);
    let probe = w.probes[0];
    let is_left = |when: UtcMicros| at(60) <= when;
    let of = w.naive.rounds.iter().filter(|((p, when, _), _)| *p == probe && is_left(*when));
    let expected: Vec<_> = of.map(|((_, when, agent), round)| (*when, *agent, *round)).collect();
    assert!(w.rounds(probe, 0, DAY_S).await == expected);
    // It is not tried again, also by a store that knows nothing of it.
    w.compact(3 * DAY_S).await;
    if let Database::Sqlite(path) = &w.f.database {
        let other = Store::open(path).await.unwrap();
        assert!(other.compact(at(3 * DAY_S)).await.unwrap().is_done);
    }
    assert_eq!(w.ask(marks).await, [1]);
    let inspection = store::inspect(&w.f.database).await.unwrap();
    assert_eq!(inspection.damage.len(), 1, "{:?}", inspection.damage);
    assert!(inspection.damage[0].contains("tail"), "{:?}", inspection.damage);
    let retention = Retention {
        now: at(0),
        rounds_before: at(5 * DAY_S),
        minutes_before: at(5 * DAY_S),
        rollups_before: rollups_before(at(5 * DAY_S)),
        changes_before: at(0),
        incidents_before: at(0),
        facts_before: at(0),
        audit_before: at(0),
        highwaters_before: at(0),
    };
    w.f.store.retain(&retention).await.unwrap();
    assert!(w.ask("SELECT id FROM history_tail").await.is_empty());
}

#[tokio::test]
async fn what_is_forgotten_gives_its_space_back() {
    let mut w = world().await;
    for minute in 0..120 {
        w.commit(minute * 60, minute * 60 + 61, 0).await;
    }
    let retention = Retention {
        now: at(0),
        rounds_before: at(5 * DAY_S),
        minutes_before: at(0),
        rollups_before: rollups_before(at(0)),
        changes_before: at(0),
        incidents_before: at(0),
        facts_before: at(0),
        audit_before: at(0),
        highwaters_before: at(0),
    };
    w.compact(3 * DAY_S).await;
    let unrolled = w.f.store.retain(&retention).await.unwrap();
    assert_eq!(unrolled.rounds, 0, "they stay until they are rolled up");
    w.compact(3 * DAY_S + 601).await;
    let unrolled = w.f.store.retain(&retention).await.unwrap();
    assert_eq!(unrolled.rounds, 0, "the day is made of them, too");
    w.compact(3 * DAY_S + 4_300).await;
    let before = w.f.store.size_bytes().await.unwrap();
    let swept = w.f.store.retain(&retention).await.unwrap();
    assert_eq!((swept.rounds, swept.minutes), (120 * 2 * 3 * 2, 0));
    assert!(w.rounds(w.probes[0], 0, DAY_S).await.is_empty());
    let (from, to) = (at(0).minute(), at(DAY_S).minute());
    let minutes = w.f.store.minutes(&w.f.scope, w.probes[0], Who::Each, from, to).await.unwrap();
    assert_eq!(minutes[0].minutes.len(), 120);
    while 0 < w.f.store.vacuum_step().await.unwrap() {}
    // PostgreSQL fills what is free with what comes.
    if w.f.is_sqlite() {
        assert!(w.f.store.size_bytes().await.unwrap() < before);
        assert_eq!(w.ask("PRAGMA freelist_count").await, [0]);
    }
}

/// Somebody else made the same step: nothing is there twice.
#[tokio::test]
async fn two_who_compact_at_once_do_not_count_twice() {
    let mut w = world().await;
    for minute in 0..40 {
        w.commit(minute * 60, minute * 60 + 61, 0).await;
    }
    let other = match &w.f.database {
        Database::Sqlite(path) => Store::open(path).await.unwrap(),
        Database::Postgres(_) => w.f.store.clone(),
    };
    for now in [2_500, 10_000, 3 * DAY_S] {
        let steps = tokio::join!(w.f.store.compact(at(now)), other.compact(at(now)));
        assert!(steps.0.is_ok() && steps.1.is_ok(), "{steps:?}");
        w.check().await;
    }
}

/// A page of a long day costs what is in it and two pages of each agent beside it, not the day.
#[tokio::test]
async fn a_page_of_rounds_decodes_a_bounded_part_of_the_day() {
    /// What stands beside the rounds of a page: two pages of the chunk, of each of two agents.
    const BESIDE: usize = 2 * 2 * 720;
    let mut w = world().await;
    for minute in 0..24 * 60 {
        w.commit(minute * 60, minute * 60 + 61, 0).await;
    }
    let day: usize = 24 * 60 * 2 * 2;
    let probe = w.probes[1];
    let page = async |w: &World, from: i64, after, limit| {
        let (from, to) = (at(from), at(DAY_S));
        let query = RoundQuery { probe, agent: None, from, to, after, limit };
        w.f.store.rounds(&w.f.scope, &query).await.unwrap()
    };
    // In the tail and in quarters of an hour as well as in a day.
    for now in [DAY_S, DAY_S + 200, 3 * DAY_S] {
        w.compact(now).await;
        let (mut after, mut pages, mut decoded, mut rows) = (None, 0, 0, 0);
        loop {
            let page = page(&w, 0, after, 100).await;
            assert!(page.decoded <= 8 * page.rows.len().max(100) + BESIDE, "{}", page.decoded);
            (pages, decoded, rows) = (pages + 1, decoded + page.decoded, rows + page.rows.len());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((pages, rows), (day.div_ceil(100), day));
        assert!(decoded < pages * day / 2, "{decoded} for {pages} pages");
    }
    // One search finds a page of evenly spaced rounds, also behind a cursor.
    let first = page(&w, 0, None, 500).await;
    let second = page(&w, 0, first.next, 500).await;
    assert_eq!((second.rows.len(), second.decoded), (500, 2 * 720), "a page of each agent");
    let first = page(&w, 3600 + 1, None, 2).await;
    assert_eq!((first.rows.len(), first.decoded), (2, 2 * 720), "a page of each agent");
    let none = page(&w, DAY_S - 1, None, 500).await;
    assert_eq!((none.rows.len(), none.decoded), (0, 0));
    w.check().await;
}

/// Of many chunks each part stays with its own, and one that is gone takes only
/// its own rounds with it.
#[tokio::test]
async fn what_lies_in_many_chunks_is_read_as_a_whole_and_without_a_part_that_is_gone() {
    const HOURS: i64 = 10;
    let mut w = world().await;
    for minute in 0..HOURS * 60 {
        w.commit(minute * 60, HOURS * 3600, 0).await;
    }
    // Sealed, and not quiet for long enough to be merged.
    w.compact(HOURS * 3600 + 301).await;
    assert_eq!(w.ask("SELECT count(*) FROM history_chunk WHERE kind = 1").await, [HOURS * 4]);
    w.check().await;
    w.f.raw(
        "DELETE FROM history_part
          WHERE chunk_id = (SELECT id
                              FROM history_chunk
                             WHERE kind = 1
                             ORDER BY start
                             LIMIT 1 OFFSET 6)",
    )
    .await;
    let probe = w.probes[2];
    let (from, to) = (at(0), at(HOURS * 3600));
    let query = RoundQuery { probe, agent: None, from, to, after: None, limit: 10_000 };
    let page = w.f.store.rounds(&w.f.scope, &query).await.unwrap();
    let read: Vec<Round> = page.rows.iter().map(|row| row.round).collect();
    let expected =
        w.naive.rounds.iter().filter(|((of, when, _), _)| {
            *of == probe && !(at(90 * 60)..at(105 * 60)).contains(when)
        });
    let expected: Vec<Round> = expected.map(|(_, round)| *round).collect();
    assert!(read == expected, "{} rounds instead of {}", read.len(), expected.len());
    assert_eq!(w.f.store.damaged_places(), 1);
}

/// A data directory of the format before, whose chunks do not say of what time their pages are.
#[tokio::test]
async fn chunks_of_the_layout_before_are_read_and_merged_with_newer_ones() {
    let w = world().await;
    for n in 4..=7 {
        w.f.target(&format!("core{n}"), &format!("192.0.2.{n}")).await;
    }
    // An hour of 1970 of the seventh probe, recorded twice: 40 rounds, of which none could ask.
    w.f.raw(match w.f.database {
        Database::Sqlite(_) => {
            "INSERT INTO history_chunk (org_id, kind, series_group, level, start, minutes, records,
                                        written_at, is_damaged, head)
             SELECT 1, 1, 0, 2, 0, 60, 40, 0, 0,
                    x'a51d2abb020101000c040401001000001c4e0e00000c0404'
                    || x'01001000000000400000000000010701280000359fc92a31'
               FROM (SELECT 1 UNION ALL SELECT 2);
             UPDATE history_chunk SET head = CAST(head AS BLOB);
             INSERT INTO history_part (chunk_id, part, org_id, body)
             SELECT id, 0, 1,
                    CAST(x'270028000000000000002a00002a2a2a2a2a2a2a2a2a2a2a2a2a'
                         || x'2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a' AS BLOB)
               FROM history_chunk"
        }
        Database::Postgres(_) => {
            "INSERT INTO history_chunk (org_id, kind, series_group, level, start, minutes, records,
                                        written_at, is_damaged, head)
             SELECT 1, 1, 0, 2, 0, 60, 40, 0, 0,
                    decode('a51d2abb020101000c040401001000001c4e0e00000c0404'
                           '01001000000000400000000000010701280000359fc92a31', 'hex')
               FROM generate_series(1, 2);
             INSERT INTO history_part (chunk_id, part, org_id, body)
             SELECT id, 0, 1,
                    decode('270028000000000000002a00002a2a2a2a2a2a2a2a2a2a2a2a2a'
                           '2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a', 'hex')
               FROM history_chunk"
        }
    })
    .await;
    let query = |limit| {
        let (from, to) = (UtcMicros(0), UtcMicros(DAY_S * 1_000_000));
        RoundQuery { probe: ProbeId(7), agent: None, from, to, after: None, limit }
    };
    let before = w.f.store.rounds(&w.f.scope, &query(500)).await.unwrap();
    let times: Vec<i64> = before.rows.iter().map(|row| row.round.at.0 / 30_000_000).collect();
    assert_eq!(times, (0..40).collect::<Vec<_>>());
    assert!(store::inspect(&w.f.database).await.unwrap().damage.is_empty());
    w.compact(DAY_S).await;
    assert_eq!(w.ask("SELECT records FROM history_chunk WHERE kind = 1").await, [40]);
    let rounds = |page: &store::RoundPage| page.rows.iter().map(|r| r.round).collect::<Vec<_>>();
    let after = w.f.store.rounds(&w.f.scope, &query(500)).await.unwrap();
    assert_eq!(rounds(&after), rounds(&before));
    let first = w.f.store.rounds(&w.f.scope, &query(3)).await.unwrap();
    assert_eq!((rounds(&first), first.decoded), (rounds(&before)[..3].to_vec(), 40));
    assert_eq!(w.f.store.damaged_places(), 0);
}
