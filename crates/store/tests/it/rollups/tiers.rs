//! Tiers that keep what is recorded for another time than their neighbours.

use model::{KeptDays, Tier, TierId};
use store::{RoundQuery, TargetPatch};

use super::*;

/// What is kept, each with the level it is of, the longest time that one chunk of it covers, in
/// days, and when it was: ten times the minute, and some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    level: &'static str,
    chunk_days: i64,
    probe: ProbeId,
    agent: AgentId,
    start: i64,
}

type Found = BTreeMap<What, String>;

/// As a configuration that keeps everything for so many days.
const OTHERS: i64 = 20;

impl World {
    async fn kept(&self) -> Found {
        let mut found = Found::new();
        for probe in self.probes.clone() {
            for day in 0..3 {
                let (from, to) = (self.first.0 + day * DAY, self.first.0 + (day + 1) * DAY);
                self.add_rounds(probe, (from, to), &mut found).await;
                self.add_minutes(probe, (from, to), &mut found).await;
            }
            for (span, levels, days) in [
                (Span::FiveMinutes, ["target_5m", "agent_5m"], [16, 4]),
                (Span::Hour, ["target_1h", "agent_1h"], [64, 32]),
                (Span::Day, ["target_1d", "agent_1h"], [360, 30]),
            ] {
                let (from, to) = (self.first, Minute(self.first.0 + 3 * DAY));
                let (store, scope) = (&self.f.store, &self.f.scope);
                let all = store.rollups(scope, probe, Who::Each, span, from, to).await.unwrap();
                for series in all {
                    let agent = series.agent.map_or(AgentId(0), |agent| agent.id);
                    let of = usize::from(agent.0 != 0);
                    for (start, rollup) in series.rollups {
                        // Hours and days of an agent are of one level.
                        let start = start.0 * 10 + i64::from(span == Span::Day);
                        let (level, chunk_days) = (levels[of], days[of]);
                        let what = What { level, chunk_days, probe, agent, start };
                        found.insert(what, format!("{rollup:?}"));
                    }
                }
            }
        }
        found
    }

    async fn add_rounds(&self, probe: ProbeId, (from, to): (i64, i64), found: &mut Found) {
        let (from, to) = (Minute(from).start(), Minute(to).start());
        let mut query = RoundQuery { probe, agent: None, from, to, after: None, limit: 499 };
        loop {
            let page = self.f.store.rounds(&self.f.scope, &query).await.unwrap();
            for row in page.rows {
                let (agent, at) = (row.agent.id, row.round.at);
                let start = at.minute().0 * 10 + i64::from(at != at.minute().start());
                let what = What { level: "rounds", chunk_days: 1, probe, agent, start };
                found.insert(what, format!("{:?}", row.round));
            }
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
    }

    async fn add_minutes(&self, probe: ProbeId, (from, to): (i64, i64), found: &mut Found) {
        let (store, scope) = (&self.f.store, &self.f.scope);
        let all = store.minutes(scope, probe, Who::Each, Minute(from), Minute(to)).await.unwrap();
        for series in all {
            let agent = series.agent.map_or(AgentId(0), |agent| agent.id);
            for minute in series.minutes {
                let start = minute.minute.0 * 10;
                let what = What { level: "minutes", chunk_days: 1, probe, agent, start };
                // Its times are those of rounds that may be gone.
                found.insert(what, format!("{:?} {:?}", minute.verdict, minute.counts.received));
            }
        }
    }

    /// Forgets everything that is to be forgotten at that time.
    async fn forget(&self, now: Minute) {
        let before = Minute(now.0 - OTHERS * DAY).start();
        let retention = Retention { now: now.start(), ..retention(before, rollups_before(before)) };
        while !self.f.store.retain(&retention).await.unwrap().is_done {}
    }

    async fn tier(&self, tier: &str, kept: KeptDays) -> TierId {
        let new = Tier::standard(TierId(0), name(tier));
        let created = self.f.store.tier_create(&self.f.scope, &new, kept, at(0)).await.unwrap();
        created.row.tier.id
    }

    async fn follow(&self, probe: u32, tier: TierId) {
        // Of this world the probe of a target has its number.
        let patch = TargetPatch { tier: Some(tier), ..TargetPatch::default() };
        let id = model::TargetId(probe);
        let changed = self.f.store.target_update(&self.f.scope, id, &patch, at(1)).await.unwrap();
        assert_eq!(changed.row.probe, ProbeId(probe));
    }
}

fn days_of(kept: &KeptDays, level: &str) -> i64 {
    let level = kept.levels().into_iter().find(|(name, _)| *name == level).unwrap();
    level.1.map_or(OTHERS, i64::from)
}

/// What is younger than its tier says is what it was; what is in a chunk that ended before is gone.
fn check_kept(was: &Found, is: &Found, now: Minute, tier_of: impl Fn(ProbeId) -> KeptDays) {
    assert!(is.keys().all(|what| was.contains_key(what)), "nothing comes back");
    let (mut stayed, mut gone) = (0, 0);
    for (what, value) in was {
        let before = now.0 - days_of(&tier_of(what.probe), what.level) * DAY;
        let minute = what.start / 10;
        let span = what.chunk_days * DAY;
        let end = minute.div_euclid(span) * span + span;
        if before <= minute {
            assert_eq!(is.get(what), Some(value), "{what:?} at {now:?}");
            stayed += 1;
        } else if end + DAY <= before {
            assert_eq!(is.get(what), None, "{what:?} at {now:?}");
            gone += 1;
        }
    }
    assert!(0 < stayed + gone);
}

fn bronze() -> KeptDays {
    KeptDays {
        rounds: Some(3),
        minutes: Some(5),
        agent_5m: Some(8),
        agent_1h: Some(60),
        target_5m: Some(10),
        target_1h: None,
        target_1d: Some(1),
    }
}

fn gold() -> KeptDays {
    KeptDays {
        rounds: Some(60),
        minutes: Some(100),
        target_5m: Some(1_000),
        target_1d: Some(2_000),
        ..KeptDays::default()
    }
}

/// Three tiers, two of them in one group; live and late, at every age.
#[tokio::test]
async fn each_tier_keeps_each_level_for_its_own_time() {
    let mut w = world(21).await;
    let (bronze_id, gold_id) = (w.tier("bronze", bronze()).await, w.tier("gold", gold()).await);
    w.follow(1, bronze_id).await;
    w.follow(64, gold_id).await;
    let tier_of = |probe| match probe {
        ProbeId(1) => bronze(),
        ProbeId(64) => gold(),
        _ => KeptDays::default(),
    };
    play(&mut w).await;
    w.settle(Minute(w.first.0 + 3 * DAY)).await;
    let was = w.kept().await;
    for days in [2, 4, 5, 7, 9, 14, 18, 22, 25, 40, 80, 110, 500] {
        let now = Minute(w.first.0 + days * DAY + 75);
        w.forget(now).await;
        w.compact(now).await;
        check_kept(&was, &w.kept().await, now, tier_of);
    }
    let forgotten = "SELECT count(*) FROM history_chunk WHERE forgotten <> 0";
    assert!(0 < w.ask(forgotten).await, "some chunks are of many and kept for one");
    w.forget(Minute(w.first.0 + 4_000 * DAY)).await;
    assert_eq!(w.ask("SELECT count(*) FROM history_chunk").await, 0);
    assert_eq!(w.ask("SELECT count(*) FROM history_part").await, 0);
    assert_eq!(w.f.store.damaged_places(), 0);
}

/// What a tier forgot early does not make its roll-ups poorer, nor hold up its neighbours'.
#[tokio::test]
async fn late_rounds_of_a_neighbour_are_rolled_up_and_those_of_the_forgotten_are_not() {
    let mut w = world(22).await;
    let bronze = KeptDays { rounds: Some(1), minutes: Some(1), ..KeptDays::default() };
    let bronze = w.tier("bronze", bronze).await;
    w.follow(1, bronze).await;
    play(&mut w).await;
    w.settle(Minute(w.first.0 + 3 * DAY)).await;
    let now = Minute(w.first.0 + 4 * DAY + 75);
    w.forget(now).await;
    w.check().await;
    let before = w.kept().await;
    assert!(!before.keys().any(|what| what.level == "rounds" && what.probe == ProbeId(1)));
    // A backlog of two days and more ago, of all of them.
    w.record(3 * 60 + 8, now).await;
    w.settle(now).await;
    for span in Span::ALL {
        for probe in w.probes[1..].iter().copied() {
            w.check_span(probe, span, w.first, Minute(w.first.0 + 3 * DAY)).await;
        }
    }
    let is_of_first = |what: &What| what.probe == ProbeId(1) && what.level.len() == 9;
    let rollups = |found: Found| found.into_iter().filter(|(what, _)| is_of_first(what));
    let after: Found = rollups(w.kept().await).collect();
    assert_eq!(after, rollups(before).collect::<Found>());
}

/// Who moves a target decides about all of its history, from the next time that anything goes.
#[tokio::test]
async fn a_target_that_moves_is_kept_as_its_new_tier_says() {
    let mut w = world(23).await;
    let (bronze_id, gold_id) = (w.tier("bronze", bronze()).await, w.tier("gold", gold()).await);
    for probe in [1, 2, 64] {
        w.follow(probe, gold_id).await;
    }
    play(&mut w).await;
    w.settle(Minute(w.first.0 + 3 * DAY)).await;
    let was = w.kept().await;
    let now = Minute(w.first.0 + 30 * DAY);
    w.forget(now).await;
    check_kept(&was, &w.kept().await, now, |_| gold());
    let was = w.kept().await;
    w.follow(2, bronze_id).await;
    w.forget(now).await;
    let of = |probe| if probe == ProbeId(2) { bronze() } else { gold() };
    check_kept(&was, &w.kept().await, now, of);
    // And back: what is gone stays gone.
    w.follow(2, gold_id).await;
    w.forget(now).await;
    let is = w.kept().await;
    assert!(!is.keys().any(|what| what.level == "rounds" && what.probe == ProbeId(2)));
    // A target that is deleted is kept as what no tier says otherwise of.
    w.f.store.target_delete(&w.f.scope, model::TargetId(1), at(2)).await.unwrap();
    w.forget(now).await;
    let of = |probe| if probe == ProbeId(1) { KeptDays::default() } else { gold() };
    let rest = |found: &Found| {
        found.clone().into_iter().filter(|(what, _)| what.probe != ProbeId(2)).collect::<Found>()
    };
    check_kept(&rest(&was), &rest(&w.kept().await), now, of);
}

/// Pages that go out of a chunk leave the file, too.
#[tokio::test]
async fn what_one_tier_forgets_gives_its_space_back() {
    let mut w = world(24).await;
    let bronze = KeptDays { rounds: Some(1), minutes: Some(1), ..KeptDays::default() };
    let bronze = w.tier("bronze", bronze).await;
    w.follow(1, bronze).await;
    play(&mut w).await;
    w.settle(Minute(w.first.0 + 3 * DAY)).await;
    let before = w.f.store.history_size().await.unwrap();
    w.forget(Minute(w.first.0 + 4 * DAY)).await;
    let after = w.f.store.history_size().await.unwrap();
    for (before, after) in [(before.rounds, after.rounds), (before.minutes, after.minutes)] {
        assert_eq!(before.chunks, after.chunks, "neighbours are in them");
        assert!(after.records < before.records && after.bytes < before.bytes);
    }
    while 0 < w.f.store.vacuum_step().await.unwrap() {}
    if w.f.is_sqlite() {
        assert_eq!(w.ask("PRAGMA freelist_count").await, 0);
    }
}
