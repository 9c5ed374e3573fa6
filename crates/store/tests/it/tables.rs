//! Roll-ups as tables of PostgreSQL: they say what the roll-ups say, whatever happens to either.

use std::time::Duration;

use model::{Minute, ProbeId, Rtts, Span, ToldRollup, UtcMicros};
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use store::{RollupDetail, RollupTables, Store, Who};

use crate::{
    at, in_schema, postgres_url,
    rollups::{World, play, world_over},
};

const DAY: i64 = 24 * 60;

fn wanted(detail: RollupDetail) -> RollupTables {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    RollupTables { detail, fives: days(14), hours: days(90), days: days(1_826) }
}

async fn told(store: &Store, wanted: &RollupTables, now: Minute) {
    while !store.rollup_tables_step(wanted, now.start()).await.unwrap() {}
}

/// The rows of a table, as text, in an order of their own.
async fn rows(connection: &mut PgConnection, table: &str) -> Vec<String> {
    let text = format!(
        "SELECT concat_ws(' ', probe_id, agent_id,
                    CAST(extract(epoch FROM bucket) / 60 AS BIGINT), minutes_up, minutes_degraded,
                    minutes_down, minutes_unknown, rounds, rounds_not_asked, packets_sent,
                    packets_lost, coalesce(rtt_us_min, -1), coalesce(rtt_us_mean, -1),
                    coalesce(rtt_us_max, -1), coalesce(rtt_us_p50, -1), coalesce(rtt_us_p95, -1),
                    coalesce(rtt_us_p99, -1), coalesce(worst, '-'), coalesce(worst_cause, '-'))
           FROM {table}
          ORDER BY probe_id, agent_id, bucket"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_all(connection).await.unwrap()
}

/// A roll-up as [`rows`] has it.
fn row(probe: ProbeId, agent: u32, start: Minute, rollup: &ToldRollup) -> String {
    let minutes = rollup.minutes;
    let us = |of: fn(&Rtts) -> u32| {
        rollup.times.as_ref().map_or("-1".to_owned(), |rtts| of(rtts).to_string())
    };
    let lost = rollup.sent - rollup.received.min(rollup.sent);
    let worst = rollup.worst.map_or("- -".to_owned(), |w| format!("{} {}", w.verdict, w.cause));
    [
        format!("{probe} {agent} {}", start.0),
        format!("{} {} {}", minutes.up, minutes.degraded, minutes.down),
        format!("{} {} {}", minutes.unknown, rollup.rounds, rollup.not_asked),
        format!("{} {lost} {}", rollup.sent, us(Rtts::us_min)),
        format!("{} {}", us(Rtts::us_mean), us(Rtts::us_max)),
        format!("{} {} {} {worst}", us(Rtts::us_p50), us(Rtts::us_p95), us(Rtts::us_p99)),
    ]
    .join(" ")
}

/// What the tables are to say, of the roll-ups.
async fn expected(w: &World, span: Span, is_told: impl Fn(u32) -> bool) -> Vec<String> {
    let (from, to) = (w.first, Minute(w.first.0 + 3 * DAY));
    let mut expected = Vec::new();
    for probe in &w.probes {
        let found = w.f.store.rollups(&w.f.scope, *probe, Who::Each, span, from, to).await.unwrap();
        for series in found {
            let agent = series.agent.map_or(0, |agent| agent.id.0);
            if is_told(agent) {
                let starts = series.rollups.iter();
                expected.extend(starts.map(|(start, rollup)| row(*probe, agent, *start, rollup)));
            }
        }
    }
    expected
}

async fn check(w: &World, detail: RollupDetail) {
    let of_agents = |from: RollupDetail| move |agent: u32| agent == 0 || from <= detail;
    let mut connection = w.f.connection("all").await;
    let fives = expected(w, Span::FiveMinutes, of_agents(RollupDetail::All)).await;
    assert!(!fives.is_empty());
    assert_eq!(rows(&mut connection, "rollup_5m").await, fives);
    let hours = expected(w, Span::Hour, of_agents(RollupDetail::Agents)).await;
    assert_eq!(rows(&mut connection, "rollup_1h").await, hours);
    let days = expected(w, Span::Day, of_agents(RollupDetail::Agents)).await;
    assert_eq!(rows(&mut connection, "rollup_1d").await, days);
}

/// Plays two days over a database, and rolls up and tells all of it.
async fn played(mut w: World, wanted: &RollupTables) -> (World, Minute) {
    play(&mut w).await;
    let now = Minute(w.first.0 + 3 * DAY);
    for hours in 0..3 {
        w.compact(Minute(now.0 + hours * 60)).await;
    }
    assert_eq!(w.ask("SELECT count(*) FROM history_due").await, 0, "all is rolled up");
    told(&w.f.store, wanted, now).await;
    (w, now)
}

async fn postgres() -> Option<World> {
    Some(world_over(in_schema(&postgres_url()?).await, 11).await)
}

#[tokio::test]
async fn the_tables_say_what_the_roll_ups_say_and_late_rounds_revise_them() {
    let Some(w) = postgres().await else { return };
    let all = wanted(RollupDetail::All);
    let (mut w, now) = played(w, &all).await;
    check(&w, RollupDetail::All).await;
    assert_eq!(w.ask("SELECT count(*) FROM rollup_due").await, 0);
    // Late ones; and what is due when its chunks are merged stays due.
    for n in [7, 3 * 60 + 5, 26 * 60] {
        w.record(n, now).await;
    }
    for minutes in [20, 90, 500, 31 * DAY] {
        w.compact(Minute(now.0 + minutes)).await;
    }
    let merged = "SELECT count(*) FROM history_chunk WHERE kind >= 3 AND level > 1
                     AND id IN (SELECT chunk_id FROM rollup_due)";
    assert!(0 < w.ask(merged).await);
    told(&w.f.store, &all, now).await;
    check(&w, RollupDetail::All).await;
}

#[tokio::test]
async fn the_tables_are_made_anew_when_they_are_to_hold_something_else_or_nothing_is_known_of_them()
{
    let Some(w) = postgres().await else { return };
    let (w, now) = played(w, &wanted(RollupDetail::Targets)).await;
    check(&w, RollupDetail::Targets).await;
    for detail in [RollupDetail::Agents, RollupDetail::None, RollupDetail::Targets] {
        told(&w.f.store, &wanted(detail), now).await;
        match detail {
            RollupDetail::None => {
                let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()
                                 AND tablename ~ '^rollup_[15]'";
                assert_eq!(w.ask(tables).await, 0);
            }
            RollupDetail::Targets | RollupDetail::Agents | RollupDetail::All => {
                check(&w, detail).await;
            }
        }
    }
    // As after a restore: no archive has them, and none of what says that they are made.
    let tables = w.f.store.dump().await.unwrap().tables;
    assert!(tables.iter().all(|table| !table.name.starts_with("rollup_")));
    w.f.raw("DELETE FROM rollup_form; DELETE FROM rollup_due; TRUNCATE rollup_5m").await;
    told(&w.f.store, &wanted(RollupDetail::Targets), now).await;
    check(&w, RollupDetail::Targets).await;
}

#[tokio::test]
async fn a_lock_on_a_table_holds_up_nothing_but_the_tables() {
    let Some(w) = postgres().await else { return };
    let all = wanted(RollupDetail::All);
    let (mut w, now) = played(w, &all).await;
    w.record(7, now).await;
    // Sealed, and rolled up when it is quiet.
    for minutes in [20, 90] {
        w.compact(Minute(now.0 + minutes)).await;
    }
    let mut connection = w.f.connection("all").await;
    let lock = "BEGIN; LOCK TABLE rollup_5m IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
    // Less than any other statement waits for a lock.
    let within = Duration::from_secs(2);
    for detail in [RollupDetail::All, RollupDetail::Targets] {
        let tables = wanted(detail);
        let step = w.f.store.rollup_tables_step(&tables, now.start());
        let step = tokio::time::timeout(within, step).await.expect("it waits for nobody");
        assert!(step.is_err(), "{detail:?}: {step:?}");
        tokio::time::timeout(within, w.record(9, now)).await.expect("a commit waits for nobody");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
    // And the days, when those are quiet.
    for minutes in [200, 300, 500] {
        w.compact(Minute(now.0 + minutes)).await;
    }
    told(&w.f.store, &all, now).await;
    check(&w, RollupDetail::All).await;
}

#[tokio::test]
async fn a_table_that_was_dropped_by_hand_comes_back() {
    let Some(w) = postgres().await else { return };
    let all = wanted(RollupDetail::All);
    let (w, now) = played(w, &all).await;
    w.f.raw("DROP TABLE rollup_1h CASCADE").await;
    told(&w.f.store, &all, now).await;
    check(&w, RollupDetail::All).await;
}

#[tokio::test]
async fn the_tables_and_their_views_show_an_organisation_its_own_with_names_of_before() {
    let Some(w) = postgres().await else { return };
    let (w, _) = played(w, &wanted(RollupDetail::Agents)).await;
    w.f.raw("INSERT INTO org (id, name, created_at) VALUES (2, 'other', 0)").await;
    let part = "rollup_5m_20270115";
    for name in ["rollup_5m", part, "rollup_1h", "rollup_1d", "rollup_5m_named", "rollup_1h_named"]
    {
        for (org, is_shown) in [("1", true), ("2", false), ("", false), ("all", true)] {
            let mut connection = w.f.connection(org).await;
            let text = format!("SELECT count(*) FROM {name}");
            let count = sqlx::query_scalar(sqlx::AssertSqlSafe(text));
            let count: i64 = count.fetch_one(&mut connection).await.unwrap();
            assert_eq!(0 < count, is_shown, "{name} for `{org}`");
        }
    }
    // A target that was deleted keeps its name.
    let names = "SELECT DISTINCT concat_ws(' ', target_id, target, coalesce(agent_id, 0),
                                 coalesce(agent, '-'))
                   FROM rollup_1h_named WHERE target_id = 2 ORDER BY 1";
    let expected = ["2 core2 0 -", "2 core2 1 fra1", "2 core2 2 ber1"];
    let mut connection = w.f.connection("1").await;
    let found: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut connection).await.unwrap();
    assert_eq!(found, expected);
    w.f.store.target_delete(&w.f.scope, model::TargetId(2), at(9)).await.unwrap();
    let found: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut connection).await.unwrap();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_old_goes_by_partitions_which_are_there_ahead_of_their_time() {
    let Some(w) = postgres().await else { return };
    let (w, _) = played(w, &wanted(RollupDetail::Targets)).await;
    let ask = "SELECT CAST(right(relname, 8) AS BIGINT) FROM pg_inherits
                 JOIN pg_class ON pg_class.oid = inhrelid
                WHERE inhparent = 'rollup_5m'::regclass ORDER BY 1";
    let parts = async || w.f.ask(ask).await;
    assert_eq!(parts().await, [20_270_115, 20_270_116]);
    let sweep = async |now: UtcMicros| {
        let mut short = wanted(RollupDetail::Targets);
        short.fives = Duration::from_secs(86_400);
        w.f.store.rollup_tables_sweep(&short, now).await
    };
    sweep(at(86_400)).await.unwrap();
    assert_eq!(parts().await, [20_270_115, 20_270_116, 20_270_117]);
    // Whoever reads is not waited for, nor does he lose what he reads.
    let mut reader = w.f.connection("all").await;
    let hold = "BEGIN; SELECT count(*) FROM rollup_5m";
    sqlx::raw_sql(hold).execute(&mut reader).await.unwrap();
    let busy = sweep(at(3 * 86_400)).await.unwrap_err();
    assert!(matches!(busy, store::StoreError::Busy), "{busy:?}");
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    sweep(at(3 * 86_400)).await.unwrap();
    assert_eq!(parts().await, [20_270_117, 20_270_118, 20_270_119]);
    assert!(rows(&mut reader, "rollup_5m").await.is_empty());
    assert!(!rows(&mut reader, "rollup_1h").await.is_empty());
}

/// A database of its own with TimescaleDB, if the server has it.
async fn timescale() -> Option<String> {
    let url = postgres_url()?;
    let options: PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    // One that a run before has left is as good.
    let made = sqlx::raw_sql("CREATE DATABASE faultline_timescale").execute(&mut connection).await;
    let said = made.map_or_else(|error| error.to_string(), |_| String::new());
    assert!(said.is_empty() || said.contains("already exists"), "{said}");
    let mut connection = options.database("faultline_timescale").connect().await.unwrap();
    let made = "CREATE EXTENSION IF NOT EXISTS timescaledb";
    let (server, _) = url.rsplit_once('/').unwrap();
    let made = sqlx::raw_sql(made).execute(&mut connection).await;
    made.ok().map(|_| format!("{server}/faultline_timescale"))
}

#[tokio::test]
async fn with_timescaledb_the_tables_are_hypertables_that_compress_and_forget() {
    let Some(url) = timescale().await else {
        println!("NOT RUN on TimescaleDB: the PostgreSQL of this run does not have it");
        return;
    };
    let all = wanted(RollupDetail::All);
    let (mut w, now) = played(world_over(in_schema(&url).await, 11).await, &all).await;
    check(&w, RollupDetail::All).await;
    let jobs = "SELECT count(*) FROM timescaledb_information.jobs
                 WHERE hypertable_schema = current_schema()
                   AND proc_name IN ('policy_compression', 'policy_retention')";
    assert_eq!(w.ask(jobs).await, 6);
    let kept = "SELECT CAST(config ->> 'drop_after' AS TEXT) FROM timescaledb_information.jobs
                 WHERE hypertable_schema = current_schema() AND proc_name = 'policy_retention'
                 ORDER BY hypertable_name";
    let mut connection = w.f.connection("all").await;
    let found: Vec<String> = sqlx::query_scalar(kept).fetch_all(&mut connection).await.unwrap();
    assert_eq!(found, ["1826 days", "90 days", "14 days"]);
    // What is compressed is revised, too.
    let compress = "SELECT public.compress_chunk(chunk) FROM public.show_chunks('rollup_5m') chunk;
                    SELECT public.compress_chunk(chunk) FROM public.show_chunks('rollup_1h') chunk";
    w.f.raw(compress).await;
    w.record(3 * 60 + 5, now).await;
    for minutes in [20, 90, 500] {
        w.compact(Minute(now.0 + minutes)).await;
    }
    told(&w.f.store, &all, now).await;
    check(&w, RollupDetail::All).await;
    // It compresses nothing that has row security: the views hold to the organisation.
    for (org, is_shown) in [("1", true), ("2", false), ("", false)] {
        let mut connection = w.f.connection(org).await;
        let count = sqlx::query_scalar("SELECT count(*) FROM rollup_1h_named");
        let count: i64 = count.fetch_one(&mut connection).await.unwrap();
        assert_eq!(0 < count, is_shown, "for `{org}`");
    }
    // Other times are told to it without making anything anew.
    let longer = RollupTables { hours: Duration::from_secs(100 * 86_400), ..all };
    told(&w.f.store, &longer, now).await;
    let found: Vec<String> = sqlx::query_scalar(kept).fetch_all(&mut connection).await.unwrap();
    assert_eq!(found, ["1826 days", "100 days", "14 days"]);
    check(&w, RollupDetail::All).await;
}
