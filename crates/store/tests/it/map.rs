//! What a map is drawn of: targets, what is held of them, and what was.

use model::{
    AgentId, Cause, Decision, DecisionKind, Entity, IncidentId, LogPosition, OrgId, ProbeId,
    Verdict, VerdictChange, Why,
};
use store::{Commit, IncidentStep, IncidentTurn, MapIncident, NewTarget, ORG_DEFAULT, Scope};

use crate::{Fixture, at, fixture, incidents::save, name, new_target};

const AGENT: AgentId = AgentId(4);

fn other() -> Scope {
    Scope::system(OrgId(ORG_DEFAULT.0 + 1))
}

fn change(probe: ProbeId, agent: Option<AgentId>, to: Verdict, seconds: i64) -> Decision {
    let entity = match agent {
        Some(agent) => Entity::Pair { probe, agent },
        None => Entity::Consensus { probe },
    };
    let why = Why { cause: Cause::NoAnswer, text: String::new() };
    let from = if to == Verdict::Up { Verdict::Unknown } else { Verdict::Up };
    let kind = DecisionKind::Verdict(VerdictChange { entity, from, to, at: at(seconds), why });
    Decision { org: ORG_DEFAULT, decided_at: at(seconds), kind }
}

async fn commit(f: &Fixture, position: u64, decisions: &[Decision]) {
    let commit = Commit {
        position: LogPosition(position),
        inventory_version: 1,
        decisions,
        rounds: &[],
        highwaters: &[],
        gaps: &[],
        metrics: &[],
        checkpoint: None,
    };
    assert!(f.store.commit(&commit, at(100)).await.unwrap());
}

#[tokio::test]
async fn a_map_has_each_target_with_its_tags_and_no_other_organisations() {
    let f = fixture().await;
    let tags = vec![name("edge"), name("berlin")];
    let new = NewTarget { tags, is_paused: true, ..new_target("cpe1", "192.0.2.1") };
    let first = f.store.target_create(&f.scope, &new, at(0)).await.unwrap().row;
    let second = f.target("cpe2", "192.0.2.2").await;
    let rows = f.store.map_targets(&f.scope).await.unwrap();
    let [tagged, bare] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((tagged.target, tagged.probe, tagged.is_paused), (first.id, first.probe, true));
    assert_eq!((tagged.name.as_str(), tagged.tags.join(" ")), ("cpe1", "berlin edge".to_owned()));
    assert_eq!((bare.target, bare.is_paused, bare.tags.len()), (second.id, false, 0));
    assert!(f.store.map_targets(&other()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_held_is_told_with_its_beginning_and_what_was_held_with_its_moment() {
    let f = fixture().await;
    let probe = f.target("cpe1", "192.0.2.1").await.probe;
    let up = [change(probe, Some(AGENT), Verdict::Up, 1), change(probe, None, Verdict::Up, 1)];
    commit(&f, 1, &up).await;
    commit(&f, 2, &[change(probe, Some(AGENT), Verdict::Down, 5)]).await;

    let held = f.store.map_held(&f.scope).await.unwrap();
    let held: Vec<_> = held.iter().map(|one| (one.agent, one.verdict, one.since)).collect();
    assert_eq!(held, [(None, Verdict::Up, at(1)), (Some(AGENT), Verdict::Down, at(5))]);
    assert!(f.store.map_held(&other()).await.unwrap().is_empty());

    for (seconds, expected) in [(0, None), (1, Some(Verdict::Up)), (4, Some(Verdict::Up))] {
        let spans = f.store.map_spans(&f.scope, at(seconds)).await.unwrap();
        let of = |agent| spans.iter().find(|span| span.agent == agent).map(|span| span.verdict);
        let was = of(Some(AGENT)).filter(|verdict| *verdict != Verdict::Unknown);
        assert_eq!(was, expected, "{seconds}: {spans:?}");
    }
    let now = f.store.map_spans(&f.scope, at(5)).await.unwrap();
    assert!(now.iter().all(|span| span.agent != Some(AGENT)), "{now:?}");
    assert!(f.store.map_spans(&other(), at(4)).await.unwrap().is_empty());
}

async fn turn(f: &Fixture, turn: u64, step: IncidentStep, revision: u32) {
    let turn = IncidentTurn {
        run: 7,
        turn,
        at: at(i64::try_from(turn).unwrap()),
        inventory_version: 3,
        log_position: LogPosition(99),
        next: 4,
        saves: vec![save(1, step, revision)],
        tells: Vec::new(),
        traced: Vec::new(),
    };
    f.store.incidents_take(&f.scope, &turn).await.unwrap();
}

#[tokio::test]
async fn incidents_of_a_moment_are_as_they_were_believed_to_be_then() {
    let f = fixture().await;
    turn(&f, 10, IncidentStep::Opened, 1).await;
    turn(&f, 20, IncidentStep::Revised, 2).await;
    let told = |rows: Vec<MapIncident>| -> Vec<(IncidentId, String)> {
        rows.into_iter().map(|row| (row.id, row.sentence)).collect()
    };
    let believed = |revision| (IncidentId(1), format!("link r1--r2 is down ({revision})"));
    let open = f.store.map_incidents(&f.scope, None).await.unwrap();
    assert_eq!(told(open), [believed(2)]);
    turn(&f, 30, IncidentStep::Resolved, 3).await;
    assert!(f.store.map_incidents(&f.scope, None).await.unwrap().is_empty());
    for (seconds, expected) in
        [(9, vec![]), (10, vec![believed(1)]), (25, vec![believed(2)]), (31, vec![])]
    {
        let then = f.store.map_incidents(&f.scope, Some(at(seconds))).await.unwrap();
        assert_eq!(told(then), expected, "{seconds}");
    }
    assert!(f.store.map_incidents(&other(), Some(at(25))).await.unwrap().is_empty());
}
