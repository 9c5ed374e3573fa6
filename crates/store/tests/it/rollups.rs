//! Roll-ups: at any moment what the rounds and minutes add up to that were recorded by then, and
//! after those are deleted what they added up to.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    AgentId, Cause, Confirm, Decision, DecisionKind, Entity, LogPosition, Minute, MinuteCounts,
    MinuteTruth, Outcome, ProbeId, Rollup, Round, RoundBatch, RoundFlags, Rtt, Rtts, Span, Subject,
    Times, UtcMicros, Verdict,
};
use store::{
    Commit, Database, DayMeans, NewAgent, ORG_DEFAULT, Retention, RollupsBefore, Store, StoreError,
    Who,
};

use crate::{Fixture, at, fixture, name, rollups_before};

const DAY: i64 = 24 * 60;

/// Everything of one span, slowly.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    worst: Option<(Minute, Verdict, Cause)>,
    /// Up, degraded, down, unknown.
    minutes: [usize; 4],
    rounds: u32,
    not_asked: u32,
    sent: u32,
    received: u32,
    times: Option<Rtts>,
    recorded: BTreeSet<Minute>,
}

/// What was recorded, as plain lists: the first round of an instant, the highest revision of a
/// minute. Of a consensus, the agent is 0.
#[derive(Default)]
struct Naive {
    rounds: BTreeMap<(ProbeId, AgentId, UtcMicros), Outcome>,
    minutes: BTreeMap<(ProbeId, AgentId, Minute), MinuteTruth>,
}

impl Naive {
    fn sum(&self, probe: ProbeId, agent: AgentId, span: Span, start: Minute) -> Sum {
        let end = Minute(start.0 + span.minutes());
        let minutes = self.minutes.range((probe, agent, start)..(probe, agent, end));
        let minutes: Vec<&MinuteTruth> = minutes.map(|(_, truth)| truth).collect();
        let agents = if agent.0 == 0 { 1..=2 } else { agent.0..=agent.0 };
        let rounds = agents.flat_map(|agent| {
            let (from, to) = (start.start(), end.start());
            self.rounds.range((probe, AgentId(agent), from)..(probe, AgentId(agent), to))
        });
        let mut all = Rollup::default();
        rounds.for_each(|(_, outcome)| all.add_round(outcome));
        let worst = minutes.iter().min_by_key(|m| (u8::MAX - m.verdict.badness(), m.minute));
        let total = |of: fn(&MinuteCounts) -> u32| minutes.iter().map(|m| of(&m.counts)).sum();
        let of = [Verdict::Up, Verdict::Degraded, Verdict::Down, Verdict::Unknown];
        Sum {
            worst: worst.map(|m| (m.minute, m.verdict, m.cause)),
            minutes: of.map(|verdict| minutes.iter().filter(|m| m.verdict == verdict).count()),
            rounds: total(|counts| counts.rounds),
            not_asked: total(|counts| counts.not_asked),
            sent: total(|counts| counts.sent),
            received: total(|counts| counts.received),
            times: all.times.told(),
            recorded: minutes.iter().map(|m| m.minute).collect(),
        }
    }

    /// The spans of a series that anything was recorded in.
    fn spans(&self, probe: ProbeId, span: Span) -> BTreeMap<AgentId, BTreeSet<Minute>> {
        let mut spans: BTreeMap<AgentId, BTreeSet<Minute>> = BTreeMap::new();
        for (_, agent, minute) in self.minutes.keys().filter(|(p, _, _)| *p == probe) {
            spans.entry(*agent).or_default().insert(span.start(*minute));
        }
        for (_, agent, when) in self.rounds.keys().filter(|(p, _, _)| *p == probe) {
            for agent in [AgentId(0), *agent] {
                spans.entry(agent).or_default().insert(span.start(when.minute()));
            }
        }
        spans
    }
}

pub(crate) struct World {
    pub(crate) f: Fixture,
    /// Of two groups.
    pub(crate) probes: Vec<ProbeId>,
    agents: Vec<AgentId>,
    pub(crate) first: Minute,
    position: u64,
    dice: u64,
    naive: Naive,
}

async fn world(seed: u64) -> World {
    world_over(fixture().await, seed).await
}

pub(crate) async fn world_over(f: Fixture, seed: u64) -> World {
    let mut probes = Vec::new();
    for n in 1..=65 {
        probes.push(f.target(&format!("core{n}"), &format!("192.0.2.{n}")).await.probe);
    }
    probes.retain(|probe| [1, 2, 64].contains(&probe.0));
    let mut agents = Vec::new();
    for agent in ["fra1", "ber1"] {
        let new = NewAgent { name: name(agent), witnesses: Vec::new() };
        agents.push(f.store.agent_create(&f.scope, &new, at(0)).await.unwrap().row.id);
    }
    let first = Span::Day.start(at(0).minute());
    World { f, probes, agents, first, position: 0, dice: seed, naive: Naive::default() }
}

impl World {
    fn below(&mut self, limit: u32) -> u32 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from((self.dice >> 33) % u64::from(limit)).unwrap()
    }

    fn outcome(&mut self) -> Outcome {
        let us_min = 1_000 + self.below(500_000) / (1 + self.below(400));
        let us_mean = us_min + self.below(300);
        let rtt = Rtt { us_min, us_mean, us_max: us_mean + self.below(9_000) };
        let received = u8::try_from(self.below(6)).unwrap();
        let rtt = (0 < received).then_some(rtt);
        Outcome::Asked { sent: 5, received, rtt, confirm: Confirm::default() }
    }

    /// Records some of a minute, `n` minutes after the first: some agents, rounds and truths.
    pub(crate) async fn record(&mut self, n: i64, now: Minute) {
        let minute = Minute(self.first.0 + n);
        let mut rounds: BTreeMap<AgentId, Vec<Round>> = BTreeMap::new();
        let mut decisions = Vec::new();
        for probe in self.probes.clone() {
            for agent in self.agents.clone() {
                for s in [0, 30].into_iter().take(self.below(3) as usize) {
                    let when = UtcMicros(minute.start().0 + s * 1_000_000);
                    let outcome = self.outcome();
                    rounds.entry(agent).or_default().push(Round {
                        subject: Subject::Probe(probe),
                        at: when,
                        outcome,
                        flags: RoundFlags::default(),
                        icmp_error: None,
                    });
                    self.naive.rounds.entry((probe, agent, when)).or_insert(outcome);
                }
            }
            for agent in [AgentId(0)].into_iter().chain(self.agents.clone()) {
                if self.below(8) == 0 {
                    continue;
                }
                let truth = self.truth(probe, agent, minute);
                let kind = DecisionKind::Minute(truth);
                decisions.push(Decision { org: ORG_DEFAULT, decided_at: now.start(), kind });
            }
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
        assert!(self.f.store.commit(&commit, now.start()).await.unwrap());
    }

    /// A revision, if there is one of it.
    fn truth(&mut self, probe: ProbeId, agent: AgentId, minute: Minute) -> MinuteTruth {
        let key = (probe, agent, minute);
        let before = self.naive.minutes.get(&key).map(|truth| truth.revision + 1);
        // Long the same, as the world is.
        let is_well = self.below(4) != 0;
        let verdict = if is_well { Verdict::Up } else { Verdict::ALL[self.below(4) as usize] };
        let cause = if is_well { Cause::Answering } else { Cause::ALL[self.below(21) as usize] };
        let received = 10 - u32::from(self.below(9) == 0);
        let counts = MinuteCounts { rounds: 2, sent: 10, received, ..MinuteCounts::default() };
        let entity = match agent {
            AgentId(0) => Entity::Consensus { probe },
            agent => Entity::Pair { probe, agent },
        };
        let (revision, said_first) = (before.unwrap_or(0), before.map(|_| Verdict::Unknown));
        let truth = MinuteTruth { entity, minute, verdict, cause, counts, revision, said_first };
        self.naive.minutes.insert(key, truth.clone());
        truth
    }

    pub(crate) async fn compact(&self, now: Minute) -> u64 {
        let mut rolled = 0;
        loop {
            let step = self.f.store.compact(now.start()).await.unwrap();
            rolled += step.rolled;
            if step.is_done {
                return rolled;
            }
        }
    }

    /// Until nothing is left to do: every step waits for quiet after the one before.
    async fn settle(&self, now: Minute) {
        for days in 0..4 {
            for minutes in [0, 20, 90, 500] {
                self.compact(Minute(now.0 + days * 400 * DAY + minutes)).await;
            }
        }
    }

    /// Everything of all three spans, in a range that is as long as what there is.
    async fn check(&self) {
        for span in Span::ALL {
            for probe in &self.probes {
                self.check_span(*probe, span, self.first, Minute(self.first.0 + 3 * DAY)).await;
            }
        }
        for probe in &self.probes {
            for (from, to) in [(0, 3), (0, 1), (1, 2)] {
                let of = |day: i64| Minute(self.first.0 + day * DAY);
                self.check_means(*probe, of(from), of(to)).await;
            }
        }
    }

    /// The counts of some whole days, merged, are those of all rounds that were in them.
    async fn check_means(&self, probe: ProbeId, from: Minute, to: Minute) {
        let found = self.f.store.day_means(&self.f.scope, probe, from, to).await.unwrap();
        for agent in [0, 1, 2].map(AgentId) {
            let mut all = Times::default();
            for ((of, by, when), outcome) in &self.naive.rounds {
                let is_of = *of == probe && [AgentId(0), *by].contains(&agent);
                if is_of && (from..to).contains(&when.minute()) {
                    all.add(outcome);
                }
            }
            let counted = found.get(&agent).cloned().unwrap_or_default();
            let expected = DayMeans { means: all.means, uncounted: 0 };
            assert_eq!(counted, expected, "{probe:?} {agent} {from:?} {to:?}");
        }
    }

    async fn check_span(&self, probe: ProbeId, span: Span, from: Minute, to: Minute) {
        let (store, scope) = (&self.f.store, &self.f.scope);
        let found = store.rollups(scope, probe, Who::Each, span, from, to).await.unwrap();
        let together = store.rollups(scope, probe, Who::Together, span, from, to).await.unwrap();
        assert_eq!(together, found[..1], "{probe:?} {span:?}: all together are the same alone");
        let mut expected = self.naive.spans(probe, span);
        expected.values_mut().for_each(|starts| starts.retain(|s| from <= *s && *s < to));
        expected.retain(|agent, starts| agent.0 == 0 || !starts.is_empty());
        let agents: BTreeSet<AgentId> =
            found.iter().map(|s| s.agent.as_ref().map_or(AgentId(0), |agent| agent.id)).collect();
        let all = expected.keys().copied().chain([AgentId(0)]).collect::<BTreeSet<_>>();
        assert_eq!(agents, all, "{probe:?} {span:?}");
        for series in found {
            let agent = series.agent.map_or(AgentId(0), |agent| agent.id);
            let starts: BTreeSet<Minute> = series.rollups.keys().copied().collect();
            assert_eq!(Some(&starts), expected.get(&agent).or(Some(&BTreeSet::new())));
            for (start, rollup) in series.rollups {
                let of = [Verdict::Up, Verdict::Degraded, Verdict::Down, Verdict::Unknown];
                let sum = Sum {
                    worst: rollup.worst.map(|worst| (worst.minute, worst.verdict, worst.cause)),
                    minutes: of.map(|verdict| rollup.minutes.of(verdict) as usize),
                    rounds: rollup.rounds,
                    not_asked: rollup.not_asked,
                    sent: rollup.sent,
                    received: rollup.received,
                    times: rollup.times,
                    recorded: rollup
                        .runs()
                        .flat_map(|r| (r.start.0..r.end.0).map(Minute))
                        .collect(),
                };
                let expected = self.naive.sum(probe, agent, span, start);
                assert_eq!(sum, expected, "{probe:?} {agent} {span:?} {start:?}");
            }
        }
    }

    /// How many marks and chunks of roll-ups there are.
    pub(crate) async fn ask(&self, text: &'static str) -> i64 {
        self.f.ask(text).await.first().copied().unwrap_or(0)
    }
}

/// Live and late rounds and revisions, sealed, rolled up and merged at every stage between.
pub(crate) async fn play(w: &mut World) {
    for n in (0..2 * DAY).step_by(31) {
        let now = Minute(w.first.0 + n + 1);
        w.record(n, now).await;
        // A backlog of some hours ago, or of the day before.
        if w.below(6) == 0 {
            let back = i64::from(w.below(30 * 60));
            w.record((n - back).max(0), now).await;
        }
        if w.below(3) == 0 {
            w.compact(now).await;
        }
        if w.below(20) == 0 {
            w.check().await;
        }
    }
}

#[tokio::test]
async fn roll_ups_are_what_rounds_and_minutes_add_up_to_at_any_moment() {
    for seed in [3, 4] {
        let mut w = world(seed).await;
        play(&mut w).await;
        w.check().await;
        for hours in [1, 3, 27, 60] {
            let now = Minute(w.first.0 + 2 * DAY + hours * 60);
            w.compact(now).await;
            w.check().await;
            w.record(3 * 60 + 7, now).await;
            w.check().await;
        }
        // Ranges that begin and end anywhere.
        for _ in 0..8 {
            let [a, b] = [0, 1].map(|_| i64::from(w.below(3 * 1_440)));
            let (from, to) = (Minute(w.first.0 + a.min(b)), Minute(w.first.0 + a.max(b) + 1));
            for span in Span::ALL {
                let to = Minute(span.start(to).0 + span.minutes());
                w.check_span(w.probes[0], span, span.start(from), to).await;
            }
        }
        w.settle(Minute(w.first.0 + 4 * DAY)).await;
        w.check().await;
        assert_eq!(w.ask("SELECT count(*) FROM history_due").await, 0, "all is rolled up");
        let merged = "SELECT count(*) FROM history_chunk WHERE kind >= 3 AND level < 3";
        assert_eq!(w.ask(merged).await, 0, "and merged");
        assert_eq!(w.f.store.damaged_places(), 0);
    }
}

#[tokio::test]
async fn times_of_a_range_are_those_of_all_its_rounds_unless_there_are_too_many() {
    let mut w = world(6).await;
    play(&mut w).await;
    let (store, scope, probe) = (&w.f.store, &w.f.scope, w.probes[0]);
    let range = w.first.start()..Minute(w.first.0 + 3 * DAY).start();
    let of = w.naive.rounds.iter().filter(|((of, ..), _)| *of == probe);
    let rounds: Vec<&Outcome> = of.map(|(_, outcome)| outcome).collect();
    let mut all = Times::default();
    rounds.iter().for_each(|outcome| all.add(outcome));
    let found = store.times(scope, probe, range.clone(), rounds.len()).await.unwrap();
    assert_eq!(found[&AgentId(0)], all);
    let merged = found[&AgentId(1)].means.total() + found[&AgentId(2)].means.total();
    assert_eq!(merged, all.means.total());
    let refused = store.times(scope, probe, range, rounds.len() - 1).await;
    let max = rounds.len() - 1;
    assert!(matches!(refused, Err(StoreError::TooMany { what: "rounds", max: m }) if m == max));
}

fn retention(before: UtcMicros, rollups_before: RollupsBefore) -> Retention {
    Retention {
        now: at(0),
        rounds_before: before,
        minutes_before: before,
        rollups_before,
        changes_before: at(0),
        incidents_before: at(0),
        facts_before: at(0),
        audit_before: at(0),
        highwaters_before: at(0),
    }
}

#[tokio::test]
async fn roll_ups_stay_what_they_were_when_their_rounds_are_deleted() {
    let mut w = world(5).await;
    play(&mut w).await;
    let end = Minute(w.first.0 + 2 * DAY);
    let all = retention(end.start(), rollups_before(w.first.start()));
    w.f.store.retain(&all).await.unwrap();
    w.check().await;
    // Nothing went that was not rolled up: now it is.
    w.settle(Minute(end.0 + DAY)).await;
    let swept = w.f.store.retain(&all).await.unwrap();
    assert!(0 < swept.rounds && 0 < swept.minutes && swept.rollups == 0, "{swept:?}");
    assert_eq!(w.ask("SELECT count(*) FROM history_chunk WHERE kind < 3").await, 0);
    w.check().await;
    // What comes so late changes nothing: beside what is deleted it would be all there is.
    let naive = std::mem::take(&mut w.naive);
    w.record(77, Minute(end.0 + 1)).await;
    w.naive = naive;
    w.check().await;
    w.settle(Minute(end.0 + 2_000 * DAY)).await;
    w.check().await;
    assert_eq!(w.ask("SELECT count(*) FROM history_due").await, 0);
}

#[tokio::test]
async fn each_level_is_forgotten_by_its_own_time() {
    let mut w = world(6).await;
    w.record(7, w.first).await;
    let end = Minute(w.first.0 + 2 * DAY);
    w.settle(Minute(end.0 + DAY)).await;
    // Months and years of chunks go when the last of them is too old.
    let late = UtcMicros(end.start().0 + 800 * 86_400_000_000);
    let (keep, kinds) = (w.first.start(), [3, 4, 5, 6, 7]);
    for gone in kinds {
        let of = |kind| if gone < kind { keep } else { late };
        let before = RollupsBefore {
            pair_fives: of(3),
            pair_hours: of(4),
            all_fives: of(5),
            all_hours: of(6),
            all_days: of(7),
        };
        w.f.store.retain(&retention(w.first.start(), before)).await.unwrap();
        let left = "
            SELECT DISTINCT CAST(kind AS BIGINT) AS k
              FROM history_chunk
             WHERE kind >= 3
             ORDER BY k";
        let left = w.f.ask(left);
        // Hours and days of each agent go by one time.
        let with_days = (gone < 4).then_some(8);
        let expected = kinds.into_iter().filter(|kind| gone < *kind).chain(with_days);
        let expected: Vec<i64> = expected.collect();
        assert_eq!(left.await, expected);
    }
}

/// Somebody else makes the same step, and seals more in between: nothing is lost or there twice.
#[tokio::test]
async fn two_who_roll_up_at_once_agree() {
    let mut w = world(8).await;
    let other = match &w.f.database {
        Database::Sqlite(path) => Store::open(path).await.unwrap(),
        // Nobody else may write there at all.
        Database::Postgres(_) => w.f.store.clone(),
    };
    for n in (0..DAY).step_by(23) {
        let now = Minute(w.first.0 + n + 1);
        w.record(n, now).await;
        w.record((n - 200).max(0), now).await;
        let both = tokio::join!(w.f.store.compact(now.start()), other.compact(now.start()));
        assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    }
    for days in [1, 2, 40, 400] {
        let now = Minute(w.first.0 + days * DAY + 300).start();
        for _ in 0..4 {
            let both = tokio::join!(w.f.store.compact(now), other.compact(now));
            assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
        }
        w.check().await;
    }
}

/// Roll-ups that were written in another way are made anew.
#[tokio::test]
async fn a_database_of_the_schema_before_is_rolled_up() {
    let mut w = world(9).await;
    play(&mut w).await;
    w.settle(Minute(w.first.0 + 3 * DAY)).await;
    w.f.store.close().await;
    // How much was forgotten then is known no more.
    let before = "DELETE FROM history_due;
                  UPDATE history_chunk SET head = head || head WHERE kind >= 3;
                  INSERT INTO history_swept (org_id, before) VALUES (1, 900000000);";
    w.f.raw(before).await;
    let [sqlite, postgres] = [
        include_str!("../../migrations/sqlite/0010_rounded_rollups.sql"),
        include_str!("../../migrations/postgres/0010_rounded_rollups.sql"),
    ];
    w.f.raw(if w.f.is_sqlite() { sqlite } else { postgres }).await;
    w.f.store = Store::open_at(&w.f.database).await.unwrap();
    w.check().await;
    // Nothing goes before it is rolled up.
    let end = Minute(w.first.0 + 2 * DAY).start();
    let early = retention(end, rollups_before(w.first.start()));
    let swept = w.f.store.retain(&early).await.unwrap();
    assert_eq!((swept.rounds, swept.minutes), (0, 0));
    w.settle(Minute(w.first.0 + 4 * DAY)).await;
    assert_eq!(w.ask("SELECT count(*) FROM history_due").await, 0);
    assert!(0 < w.ask("SELECT count(*) FROM history_chunk WHERE kind >= 3").await);
    w.check().await;
}

impl World {
    /// Changes a byte in the first page of each chunk of roll-ups of one kind, or of all.
    async fn flip(&self, text: [&'static str; 2]) {
        let [sqlite, postgres] = text;
        let text = if self.f.is_sqlite() { sqlite } else { postgres };
        self.f.raw(text).await;
    }

    /// Reads everything, whatever comes of it: so what is damaged is found.
    async fn look(&self) {
        for (span, probe) in
            Span::ALL.into_iter().flat_map(|s| self.probes.iter().map(move |p| (s, p)))
        {
            let to = Minute(self.first.0 + 3 * DAY);
            self.f
                .store
                .rollups(&self.f.scope, *probe, Who::Each, span, self.first, to)
                .await
                .unwrap();
        }
    }
}

/// The byte is in the middle of the first part, whatever it was.
macro_rules! flipped {
    ($kinds:literal) => {
        [
            concat!(
                "UPDATE history_part
                    SET body = CAST(
                            substr(body, 1, length(body) / 2)
                            || CASE hex(substr(body, length(body) / 2 + 1, 1))
                               WHEN 'FF' THEN x'00' ELSE x'FF' END
                            || substr(body, length(body) / 2 + 2) AS BLOB)
                  WHERE part = 0
                    AND chunk_id IN (SELECT id FROM history_chunk WHERE kind IN (",
                $kinds,
                "))"
            ),
            concat!(
                "UPDATE history_part
                    SET body = set_byte(body, length(body) / 2,
                                        255 - get_byte(body, length(body) / 2))
                  WHERE part = 0
                    AND chunk_id IN (SELECT id FROM history_chunk WHERE kind IN (",
                $kinds,
                "))"
            ),
        ]
    };
}

#[tokio::test]
async fn a_damaged_roll_up_is_made_anew_while_there_is_what_it_was_made_of() {
    let kinds = [flipped!("3"), flipped!("4"), flipped!("5, 6"), flipped!("7"), flipped!("6, 7")];
    let mut w = world(10).await;
    play(&mut w).await;
    w.settle(Minute(w.first.0 + 4 * DAY)).await;
    w.check().await;
    for (text, n) in kinds.into_iter().zip(0..) {
        w.flip(text).await;
        w.look().await;
        let damaged = w.f.store.damaged_places();
        assert!(0 < damaged, "{text:?} is found");
        let now = Minute(w.first.0 + (3_000 + n * 2_000) * DAY);
        let mut rebuilt = 0;
        loop {
            let step = w.f.store.compact(now.start()).await.unwrap();
            rebuilt += step.rebuilt;
            // Told as it was from the moment on in which it is known to be damaged.
            w.check().await;
            if step.is_done {
                break;
            }
        }
        assert_eq!((rebuilt, w.f.store.damaged_places()), (damaged, 0), "{text:?}");
        w.settle(now).await;
        w.check().await;
        assert_eq!(w.ask("SELECT count(*) FROM history_due").await, 0, "all is rolled up");
        let inspection = store::inspect(&w.f.database).await.unwrap();
        assert!(inspection.damage.is_empty(), "{text:?}: {:?}", inspection.damage);
    }
}

/// Rounds and minutes that are damaged by now leave what was made of them before as it is.
#[tokio::test]
async fn a_roll_up_is_not_made_poorer_by_rounds_that_were_damaged_since() {
    let mut w = world(12).await;
    play(&mut w).await;
    w.settle(Minute(w.first.0 + 4 * DAY)).await;
    w.check().await;
    w.flip(flipped!("1, 2")).await;
    let mark = "
        INSERT INTO history_due (org_id, series_group, minutes, start, chunk_id, marked_at)
        WITH RECURSIVE hour (number) AS (
            SELECT 0
             UNION ALL
            SELECT number + 1 FROM hour WHERE number < 23
        )
        SELECT org_id, series_group, 60, (start / 60 + number) * 60, max(id), 0
          FROM history_chunk
          JOIN hour ON number * 60 < minutes
         WHERE kind IN (1, 2)
         GROUP BY org_id, series_group, (start / 60 + number) * 60";
    w.f.raw(mark).await;
    w.settle(Minute(w.first.0 + 8 * DAY)).await;
    assert!(0 < w.f.store.damaged_places());
    assert_eq!(w.ask("SELECT count(*) FROM history_due").await, 0, "all was looked at");
    w.check().await;
}

/// Of what lies before the first round that is kept, nothing can be made: it is told, once, and
/// what else is in the chunk stays readable.
#[tokio::test]
async fn a_damaged_roll_up_of_which_nothing_is_left_is_told_as_lost() {
    let mut w = world(11).await;
    play(&mut w).await;
    let end = Minute(w.first.0 + 2 * DAY);
    w.settle(Minute(end.0 + DAY)).await;
    let all = retention(end.start(), rollups_before(w.first.start()));
    w.f.store.retain(&all).await.unwrap();
    w.flip(flipped!("3")).await;
    w.look().await;
    let damaged = w.f.store.damaged_places();
    assert!(0 < damaged);
    for n in 0..2 {
        let step = w.f.store.compact(Minute(end.0 + 4_000 * DAY).start()).await.unwrap();
        assert!(n == 0 || step.rebuilt == 0, "it is not tried again and again");
        w.look().await;
        assert_eq!(w.f.store.damaged_places(), damaged);
    }
    // The page that was hit is one series; the others are read.
    let mut told = 0;
    for probe in &w.probes {
        let read =
            w.f.store.rollups(&w.f.scope, *probe, Who::Each, Span::FiveMinutes, w.first, end).await;
        told += read.unwrap().iter().filter(|series| !series.rollups.is_empty()).count();
    }
    assert!(w.probes.len() < told, "{told} series");
    // Hours, days and all agents together were not hit.
    for probe in &w.probes {
        w.check_span(*probe, Span::Day, w.first, Minute(w.first.0 + 3 * DAY)).await;
        w.check_span(*probe, Span::Hour, w.first, Minute(w.first.0 + 3 * DAY)).await;
    }
}

mod tiers;
