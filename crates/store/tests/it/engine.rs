//! The engine's side: commits, history, retention.

use model::{
    Address, AgentId, AgentState, AgentStateChange, Cause, Confirm, Decision, DecisionKind, Entity,
    IcmpError, LogPosition, Minute, MinuteCounts, MinuteTruth, NameChange, NotAsked, OrgId,
    Outcome, ProbeId, Round, RoundBatch, RoundFlags, Rtt, Subject, UtcMicros, Verdict,
    VerdictChange, Why,
};
use store::{
    Applied, ChangeKind, Commit, Freshness, Highwater, MinuteGaps, MonitorGap, NewAgent,
    ORG_DEFAULT, Retention, RoundCursor, RoundQuery, Scope, StoreError, TargetRow, Who,
};

use crate::{Fixture, at, fixture, name, rollups_before};

struct World {
    f: Fixture,
    target: TargetRow,
    agent: AgentId,
}

async fn world() -> World {
    let f = fixture().await;
    let target = f.target("core1", "192.0.2.1").await;
    let new = NewAgent { name: name("fra1"), witnesses: Vec::new() };
    let agent = f.store.agent_create(&f.scope, &new, at(0)).await.unwrap().row.id;
    World { f, target, agent }
}

fn decision(kind: DecisionKind) -> Decision {
    Decision { org: ORG_DEFAULT, decided_at: at(0), kind }
}

fn verdict(entity: Entity, from: Verdict, to: Verdict, when: UtcMicros) -> Decision {
    decision(DecisionKind::Verdict(VerdictChange {
        entity,
        from,
        to,
        at: when,
        why: Why { cause: Cause::NoAnswer, text: format!("{from} to {to}") },
    }))
}

fn truth(entity: Entity, minute: Minute, verdict: Verdict, revision: u16) -> MinuteTruth {
    MinuteTruth {
        entity,
        minute,
        verdict,
        cause: Cause::Answering,
        counts: MinuteCounts {
            rounds: 2,
            not_asked: 1,
            sent: 10,
            received: 9,
            rtt_us_min: 100,
            rtt_us_sum: 1_800,
            rtt_us_max: 300,
        },
        revision,
        said_first: (0 < revision).then_some(Verdict::Unknown),
    }
}

impl World {
    fn consensus(&self) -> Entity {
        Entity::Consensus { probe: self.target.probe }
    }

    fn pair(&self) -> Entity {
        Entity::Pair { probe: self.target.probe, agent: self.agent }
    }

    async fn commit(&self, position: u64, decisions: &[Decision], rounds: &[RoundBatch]) -> bool {
        let commit = Commit {
            position: LogPosition(position),
            inventory_version: 4,
            decisions,
            rounds,
            highwaters: &[Highwater { agent: self.agent, epoch: 1, seq: position }],
            gaps: &[],
            metrics: &[],
            checkpoint: Some(&position.to_be_bytes()),
        };
        self.f.store.commit(&commit, at(1_000)).await.unwrap()
    }
}

#[tokio::test]
async fn a_commit_is_stored_once() {
    let w = world().await;
    let store = &w.f.store;
    assert_eq!(store.applied().await.unwrap(), Applied::default());
    let down = verdict(w.consensus(), Verdict::Unknown, Verdict::Down, at(10));
    assert!(w.commit(5, std::slice::from_ref(&down), &[]).await);
    for position in [5, 4] {
        let up = verdict(w.consensus(), Verdict::Down, Verdict::Up, at(20));
        assert!(!w.commit(position, &[up], &[]).await);
    }
    let row = w.f.target_now(w.target.id).await;
    assert_eq!((row.verdict, row.since, row.cause), (Verdict::Down, at(10), Cause::NoAnswer));
    let applied = store.applied().await.unwrap();
    let expected =
        Applied { position: LogPosition(5), inventory_version: 4, alive_at: Some(at(1_000)) };
    assert_eq!(applied, expected);
    store.alive(at(1_005)).await.unwrap();
    assert_eq!(store.applied().await.unwrap().alive_at, Some(at(1_005)));
    let highwater = Highwater { agent: w.agent, epoch: 1, seq: 5 };
    assert_eq!(store.highwaters().await.unwrap(), [highwater]);
    for position in [6, 7, 8] {
        assert!(w.commit(position, &[], &[]).await);
    }
    let positions = async || {
        let kept = store.checkpoints().await.unwrap();
        kept.iter().map(|checkpoint| checkpoint.position.0).collect::<Vec<_>>()
    };
    assert_eq!(positions().await, [8, 7]);
    assert_eq!(store.checkpoints().await.unwrap()[0].bytes, 8_u64.to_be_bytes());
    store.checkpoint_delete(LogPosition(8)).await.unwrap();
    assert_eq!(positions().await, [7]);
}

#[tokio::test]
async fn no_highwater_is_left_out_however_many_there_are() {
    let w = world().await;
    let mut highwaters = Vec::new();
    let new = NewAgent { name: name("ber1"), witnesses: Vec::new() };
    let other = w.f.store.agent_create(&w.f.scope, &new, at(0)).await;
    for agent in [w.agent, other.unwrap().row.id] {
        highwaters.extend((1..=601).map(|epoch| Highwater { agent, epoch, seq: epoch + 7 }));
    }
    let commit = Commit {
        position: LogPosition(1),
        inventory_version: 4,
        decisions: &[],
        rounds: &[],
        highwaters: &highwaters,
        gaps: &[],
        metrics: &[],
        checkpoint: None,
    };
    assert!(w.f.store.commit(&commit, at(1)).await.unwrap());
    assert_eq!(w.f.store.highwaters().await.unwrap(), highwaters);
}

#[tokio::test]
async fn verdicts_leave_their_spans() {
    let w = world().await;
    let changes = [
        verdict(w.pair(), Verdict::Unknown, Verdict::Up, at(1)),
        verdict(w.consensus(), Verdict::Unknown, Verdict::Up, at(1)),
        verdict(w.pair(), Verdict::Up, Verdict::Down, at(2)),
    ];
    w.commit(1, &changes, &[]).await;
    let offline = decision(DecisionKind::Agent(AgentStateChange {
        agent: w.agent,
        from: AgentState::NeverSeen,
        to: AgentState::Offline,
        at: at(4),
        text: "no heartbeat for 15 s".to_owned(),
    }));
    let later = [verdict(w.consensus(), Verdict::Up, Verdict::Down, at(3)), offline];
    w.commit(2, &later, &[]).await;

    let recent = w.f.store.changes_recent(&w.f.scope, 10).await.unwrap();
    let kinds: Vec<_> = recent.iter().map(|change| (change.at, change.kind.clone())).collect();
    let change = |from, to| ChangeKind::Verdict { from, to, cause: Cause::NoAnswer };
    let expected = [
        (at(4), ChangeKind::Agent { from: AgentState::NeverSeen, to: AgentState::Offline }),
        (at(3), change(Verdict::Up, Verdict::Down)),
        (at(1), change(Verdict::Unknown, Verdict::Up)),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(recent[1].target.as_ref().unwrap().name, name("core1"));
    let of = w.f.store.changes_of(&w.f.scope, w.target.id, 10).await.unwrap();
    let whose: Vec<_> = of.iter().map(|c| (c.at, c.agent.as_ref().map(|a| a.id))).collect();
    let fra1 = Some(w.agent);
    assert_eq!(whose, [(at(3), None), (at(2), fra1), (at(1), None), (at(1), fra1)]);
    let agent = w.f.store.agent_get(&w.f.scope, w.agent).await.unwrap();
    assert_eq!((agent.state, agent.state_since), (AgentState::Offline, at(4)));
}

#[tokio::test]
async fn what_a_name_stood_for_is_kept_for_its_own_organisation_until_it_is_too_old() {
    let w = world().await;
    let ip = |n: u8| std::net::IpAddr::from([192, 0, 2, n]);
    let Address::Name(hostname) = Address::parse("core1.example.net").unwrap() else {
        panic!("an address")
    };
    let change = |from, to, at| {
        let (probe, agent, name) = (w.pair().probe(), w.agent, hostname.clone());
        let (from, to) = (ip(from), ip(to));
        decision(DecisionKind::Name(NameChange { probe, agent, name, from, to, at }))
    };
    let up = verdict(w.pair(), Verdict::Unknown, Verdict::Up, at(2));
    w.commit(1, &[change(1, 2, at(1)), up, change(2, 7, at(3))], &[]).await;
    let of = w.f.store.changes_of(&w.f.scope, w.target.id, 2).await.unwrap();
    assert_eq!(of.iter().map(|change| change.at).collect::<Vec<_>>(), [at(3), at(2)]);
    let expected = ChangeKind::Name { name: hostname.clone(), from: ip(2), to: ip(7) };
    assert_eq!((&of[0].kind, of[0].agent.as_ref().unwrap().id), (&expected, w.agent));
    assert_eq!(of[0].why, "core1.example.net stands for 192.0.2.7 (was 192.0.2.2)");
    let foreign = Scope::system(OrgId(99));
    assert!(w.f.store.changes_of(&foreign, w.target.id, 2).await.is_err());
    let retention = Retention {
        now: at(0),
        rounds_before: at(0),
        minutes_before: at(0),
        rollups_before: rollups_before(at(0)),
        changes_before: at(3),
        highwaters_before: at(0),
        incidents_before: at(0),
        facts_before: at(0),
        audit_before: at(0),
    };
    w.f.store.retain(&retention).await.unwrap();
    let kept = w.f.store.changes_of(&w.f.scope, w.target.id, 9).await.unwrap();
    assert_eq!(kept.iter().map(|change| change.at).collect::<Vec<_>>(), [at(3), at(2)]);
}

#[tokio::test]
async fn what_was_deleted_keeps_its_name_and_no_verdict() {
    let w = world().await;
    let up = verdict(w.consensus(), Verdict::Unknown, Verdict::Up, at(1));
    w.commit(1, &[up], &[]).await;
    w.f.store.target_delete(&w.f.scope, w.target.id, at(2)).await.unwrap();
    // The engine has not heard of it yet.
    let down = verdict(w.consensus(), Verdict::Up, Verdict::Down, at(3));
    w.commit(2, &[down], &[]).await;
    let recent = w.f.store.changes_recent(&w.f.scope, 10).await.unwrap();
    assert_eq!(recent.len(), 2);
    assert_eq!(recent[0].target.as_ref().unwrap().name, name("core1"));
    let result = w.f.store.changes_of(&w.f.scope, w.target.id, 10).await;
    assert!(matches!(result, Err(StoreError::NotFound { what: "target" })));
    w.f.store.agent_delete(&w.f.scope, w.agent, at(4)).await.unwrap();
    assert!(w.commit(3, &[], &[]).await);
}

#[tokio::test]
async fn minutes_are_revised_upwards_only() {
    let w = world().await;
    let minute = at(0).minute();
    let minutes = |revision, verdict| {
        [w.consensus(), w.pair()]
            .map(|entity| decision(DecisionKind::Minute(truth(entity, minute, verdict, revision))))
    };
    let both: Vec<_> = [minutes(1, Verdict::Up), minutes(0, Verdict::Unknown)].concat();
    // The times of a minute are those of its rounds.
    let answered = |when, received, us_max| {
        let rtt = Some(Rtt { us_min: 100, us_mean: 200, us_max });
        let outcome = Outcome::Asked { sent: 5, received, rtt, confirm: Confirm::default() };
        round(Subject::Probe(w.target.probe), when, outcome)
    };
    let rounds = vec![answered(at(0), 5, 250), answered(at(30), 4, 300), answered(at(60), 5, 900)];
    w.commit(1, &both, &[RoundBatch::new(w.agent, rounds)]).await;
    w.commit(2, &minutes(0, Verdict::Down), &[]).await;
    let read = w.f.store.minutes(&w.f.scope, w.target.probe, Who::Each, minute, minute.next());
    let series = read.await.unwrap();
    assert_eq!(series[0].agent, None);
    assert_eq!(series[0].minutes, [truth(w.consensus(), minute, Verdict::Up, 1)]);
    assert_eq!(series[1].agent.as_ref().unwrap().name, name("fra1"));
    assert_eq!(series[1].minutes, [truth(w.pair(), minute, Verdict::Up, 1)]);
    let read = w.f.store.minutes(&w.f.scope, ProbeId(99), Who::Each, minute, minute.next());
    assert_eq!(read.await.unwrap().len(), 1);
    let far = Minute(minute.0 + 1_441);
    let result = w.f.store.minutes(&w.f.scope, w.target.probe, Who::Each, minute, far).await;
    assert!(matches!(result, Err(StoreError::TooMany { what: "minutes", .. })));
}

#[tokio::test]
async fn missing_minutes_are_counted_from_the_first() {
    let w = world().await;
    let start = at(0).minute().0;
    let decisions: Vec<_> = [0, 1, 4, 5, 7]
        .map(|n| truth(w.consensus(), Minute(start + n), Verdict::Up, 0))
        .map(|truth| decision(DecisionKind::Minute(truth)))
        .into();
    let gaps = async |from, to| {
        let (from, to) = (Minute(start + from), Minute(start + to));
        w.f.store.minute_gaps(&w.f.scope, from, to).await.unwrap()
    };
    assert_eq!(gaps(-100, 8).await, MinuteGaps::default());
    w.commit(1, &decisions, &[]).await;
    assert_eq!(
        gaps(-100, 8).await,
        MinuteGaps { runs: vec![(Minute(start + 2), 2), (Minute(start + 6), 1)] }
    );
    assert_eq!(gaps(5, 8).await, MinuteGaps { runs: vec![(Minute(start + 6), 1)] });
    let told = gaps(-100, 8).await;
    assert_eq!((told.missing(), told.largest()), (3, 2));
    let fresh = w.f.store.freshness(&w.f.scope).await.unwrap();
    let newest_minute = Some(Minute(start + 7));
    assert_eq!(fresh, Freshness { newest_round_at: None, newest_minute });
}

#[tokio::test]
async fn times_without_an_agent_are_listed_with_both_ends() {
    let w = world().await;
    let turn = |from, to, when| {
        let text = format!("{} to {}", AgentState::as_str(from), AgentState::as_str(to));
        let change = AgentStateChange { agent: w.agent, from, to, at: at(when), text };
        decision(DecisionKind::Agent(change))
    };
    let (online, offline, blind) = (AgentState::Online, AgentState::Offline, AgentState::Blind);
    let turns = [
        turn(AgentState::NeverSeen, online, 10),
        turn(online, offline, 20),
        turn(offline, online, 50),
        turn(online, blind, 60),
        turn(blind, offline, 70),
    ];
    w.commit(1, &turns, &[]).await;
    let outages = async |from, to| {
        let told = w.f.store.agent_outages(&w.f.scope, at(from), at(to), 10).await.unwrap();
        told.into_iter().map(|o| (o.state, o.from, o.to, o.why)).collect::<Vec<_>>()
    };
    let lasting = (offline, at(70), None, "blind to offline".to_owned());
    let unseeing = (blind, at(60), Some(at(70)), "online to blind".to_owned());
    let away = (offline, at(20), Some(at(50)), "online to offline".to_owned());
    assert_eq!(outages(0, 100).await, [lasting.clone(), unseeing.clone(), away]);
    assert_eq!(outages(50, 100).await, [lasting, unseeing.clone()]);
    assert_eq!(outages(50, 70).await, [unseeing]);
    // What a deleted agent missed keeps its name, and nothing of it lasts.
    w.f.store.agent_delete(&w.f.scope, w.agent, at(80)).await.unwrap();
    assert_eq!(outages(0, 100).await.len(), 2);
}

fn round(subject: Subject, when: UtcMicros, outcome: Outcome) -> Round {
    Round { subject, at: when, outcome, flags: RoundFlags::default(), icmp_error: None }
}

const LOST: Outcome =
    Outcome::Asked { sent: 5, received: 0, rtt: None, confirm: Confirm { sent: 3, received: 1 } };

/// One answered, one lost with an ICMP error, one not asked.
fn three_rounds(probe: ProbeId) -> Vec<Round> {
    let probe = Subject::Probe(probe);
    let answered = Outcome::Asked {
        sent: 5,
        received: 4,
        rtt: Some(Rtt { us_min: 10, us_mean: 20, us_max: 4_000_000_000 }),
        confirm: Confirm::default(),
    };
    vec![
        round(probe, at(0), answered),
        Round {
            flags: RoundFlags::DOUBTFUL.with(RoundFlags::ICMP_ERROR),
            icmp_error: Some(IcmpError {
                kind: 3,
                code: 1,
                source: "2001:db8::9".parse().unwrap(),
            }),
            ..round(probe, at(30), LOST)
        },
        round(probe, at(65), Outcome::NotAsked(NotAsked::NoRoute)),
    ]
}

#[tokio::test]
async fn rounds_come_back_as_they_were() {
    let w = world().await;
    let rounds = three_rounds(w.target.probe);
    let mut heard = rounds.clone();
    heard.push(round(Subject::Gateway, at(66), LOST));
    let batch = RoundBatch::new(w.agent, heard);
    w.commit(1, &[], std::slice::from_ref(&batch)).await;
    // The same rounds once more change nothing.
    w.commit(2, &[], &[batch]).await;
    let mut query = RoundQuery {
        probe: w.target.probe,
        agent: None,
        from: at(0),
        to: at(100),
        after: None,
        limit: 2,
    };
    let first = w.f.store.rounds(&w.f.scope, &query).await.unwrap();
    let found: Vec<_> = first.rows.iter().map(|row| row.round).collect();
    assert_eq!(found, rounds[..2]);
    let next = first.next.unwrap();
    assert_eq!(RoundCursor::parse(&next.to_string()), Some(next));
    query.after = Some(next);
    let second = w.f.store.rounds(&w.f.scope, &query).await.unwrap();
    assert_eq!((second.rows[0].round, second.next), (rounds[2], None));
    let count = async |agent, from, to| {
        let query = RoundQuery { agent, from: at(from), to: at(to), after: None, ..query };
        w.f.store.rounds(&w.f.scope, &query).await.unwrap().rows.len()
    };
    assert_eq!(count(Some(AgentId(77)), 0, 100).await, 0);
    assert_eq!(count(None, 30, 65).await, 1);
    let fresh = w.f.store.freshness(&w.f.scope).await.unwrap();
    assert_eq!(fresh.newest_round_at, Some(at(65)));
}

#[tokio::test]
async fn epochs_only_grow() {
    let w = world().await;
    let grant = async |spool: u8, last_epoch: u64| {
        let grant = w.f.store.epoch_grant(w.agent, &[spool; 16], last_epoch, at(0)).await.unwrap();
        (grant.epoch, grant.is_new_spool)
    };
    assert_eq!(grant(1, 0).await, (1, false));
    assert_eq!(grant(1, 1).await, (2, false));
    assert_eq!(grant(2, 2).await, (3, true));
    // The agent remembers more than a database restored from a backup.
    assert_eq!(grant(2, 7).await, (8, false));
    assert_eq!(grant(2, u64::MAX).await.0, 1_000_000_000_001);
    let result = w.f.store.epoch_grant(AgentId(99), &[0; 16], 0, at(0)).await;
    assert!(matches!(result, Err(StoreError::NotFound { what: "agent" })));
}

#[tokio::test]
async fn old_history_goes_and_the_rest_stays() {
    let w = world().await;
    let probe = Subject::Probe(w.target.probe);
    let rounds = (0..100_000).map(|n| round(probe, at(n), LOST)).collect();
    let decisions = [
        verdict(w.consensus(), Verdict::Unknown, Verdict::Up, at(1)),
        verdict(w.consensus(), Verdict::Up, Verdict::Down, at(2)),
        decision(DecisionKind::Minute(truth(w.consensus(), at(0).minute(), Verdict::Up, 0))),
    ];
    w.commit(1, &decisions, &[RoundBatch::new(w.agent, rounds)]).await;
    // Sealed, then merged to quarters of an hour, hours and days.
    for now in [110_000, 120_000, 130_000, 140_000] {
        while !w.f.store.compact(at(now)).await.unwrap().is_done {}
    }
    let gap = MonitorGap { from: at(0), to: at(10), cause: Cause::MonitorDown };
    w.f.store.gap_add(&w.f.scope, &gap).await.unwrap();
    let gaps = async |from, to| w.f.store.gaps(&w.f.scope, at(from), at(to)).await.unwrap();
    assert_eq!(gaps(9, 20).await, [gap]);
    assert_eq!(gaps(10, 20).await, []);
    let retention = Retention {
        now: at(0),
        rounds_before: at(60_000),
        minutes_before: at(60_000),
        rollups_before: rollups_before(at(60_000)),
        changes_before: at(500),
        incidents_before: at(0),
        facts_before: at(0),
        audit_before: at(0),
        highwaters_before: at(0),
    };
    let mut steps = 0;
    let (mut rounds, mut minutes, mut changes) = (0, 0, 0);
    loop {
        let step = w.f.store.retain(&retention).await.unwrap();
        steps += 1;
        rounds += step.rounds;
        minutes += step.minutes;
        changes += step.changes;
        if step.is_done {
            break;
        }
    }
    // The day that ended before, at(57_600). The ended span and the gap; the open span stays,
    // however old.
    assert_eq!((steps, rounds, minutes, changes), (1, 57_600, 1, 2));
    assert_eq!(w.f.target_now(w.target.id).await.verdict, Verdict::Down);
    let left = w.f.store.changes_recent(&w.f.scope, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    w.f.store.vacuum_step().await.unwrap();
}

#[tokio::test]
async fn the_audit_log_ends_and_what_the_engine_has_not_heard_stays() {
    let w = world().await;
    let (store, scope) = (&w.f.store, &w.f.scope);
    assert!(w.commit(1, &[], &[]).await);
    store.target_delete(scope, w.target.id, at(10)).await.unwrap();
    let before = at(1_000);
    let retention = Retention {
        now: at(0),
        rounds_before: before,
        minutes_before: before,
        rollups_before: rollups_before(before),
        changes_before: before,
        incidents_before: at(0),
        facts_before: at(0),
        audit_before: before,
        highwaters_before: at(0),
    };
    // Two tiers, target and agent were made; the engine knows of these.
    let audited = store.audit_list(scope, None, 100).await.unwrap().len();
    let swept = store.retain(&retention).await.unwrap().audited;
    assert_eq!(swept, u64::try_from(audited + 4).unwrap());
    assert!(store.audit_list(scope, None, 100).await.unwrap().is_empty());
    let (version, missed) = store.inventory_since(4).await.unwrap();
    assert_eq!((version, missed.len()), (5, 1));
    let heard = Commit {
        position: LogPosition(2),
        inventory_version: 5,
        decisions: &[],
        rounds: &[],
        highwaters: &[],
        gaps: &[],
        metrics: &[],
        checkpoint: None,
    };
    store.commit(&heard, at(1_000)).await.unwrap();
    assert_eq!(store.retain(&retention).await.unwrap().audited, 2);
    assert_eq!(store.highwaters().await.unwrap().len(), 1);
}
