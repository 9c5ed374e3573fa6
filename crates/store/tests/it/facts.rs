//! Facts: what is one, which is the last word, and a request that is done once.

use model::{FactKind, UtcMicros};
use store::{
    FACTS_LIVE_MAX, FACTS_PER_REQUEST_MAX, FactQuery, FactRequest, FactRow, FactsTaken, NewFact,
    NewFacts, Retention, RollupsBefore, StoreError,
};

use crate::{Fixture, at, fixture};

fn fact(kind: FactKind, since: i64, seen: i64) -> NewFact {
    NewFact {
        source: "snmp-fra".to_owned(),
        element: "r1--r2".to_owned(),
        end: "r1".to_owned(),
        agent: String::new(),
        kind,
        value: None,
        since: at(since),
        seen: at(seen),
    }
}

async fn take(f: &Fixture, facts: &[NewFact]) -> FactsTaken {
    let new = NewFacts { facts: facts.to_vec(), ..NewFacts::default() };
    f.store.facts_take(&f.scope, &new, at(1_000)).await.unwrap()
}

async fn list(f: &Fixture, query: FactQuery) -> Vec<FactRow> {
    f.store.fact_list(&f.scope, &FactQuery { limit: 100, ..query }).await.unwrap()
}

fn seconds(of: UtcMicros) -> i64 {
    (of.0 - at(0).0) / 1_000_000
}

/// Kind, since, seen, until, and a mark for the last word; by when it began.
async fn told(f: &Fixture) -> Vec<String> {
    let mut rows = list(f, FactQuery::default()).await;
    rows.sort_by_key(|row| (row.since, row.id));
    let line = |row: &FactRow| {
        let until = row.until.map_or_else(|| "-".to_owned(), |until| seconds(until).to_string());
        let mark = if row.is_latest { " *" } else { "" };
        let (since, seen) = (seconds(row.since), seconds(row.seen));
        format!("{} {since} {seen} {until}{mark}", row.kind.as_str())
    };
    rows.iter().map(line).collect()
}

#[tokio::test]
async fn a_state_that_is_reported_again_is_the_same_fact_seen_later() {
    let f = fixture().await;
    let down = FactKind::InterfaceDown;
    let first = take(&f, &[fact(down, 0, 0), fact(down, 30, 30)]).await;
    assert_eq!((first.new, first.repeated), (1, 1));
    let again = take(&f, &[fact(down, 0, 60)]).await;
    assert_eq!((again.new, again.repeated), (0, 1));
    assert_eq!(told(&f).await, ["interface_down 0 60 - *"]);
    take(&f, &[fact(FactKind::InterfaceUp, 90, 100)]).await;
    assert_eq!(told(&f).await, ["interface_down 0 60 90", "interface_up 90 100 - *"]);
    let latest = FactQuery { is_latest: true, ..FactQuery::default() };
    assert_eq!(list(&f, latest).await.len(), 1);
}

/// Every order of so many.
fn orders(of: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for at in 0..of {
        let longer = all.into_iter().flat_map(|order: Vec<usize>| {
            (0..=order.len()).map(move |to| {
                let mut order = order.clone();
                order.insert(to, at);
                order
            })
        });
        all = longer.collect();
    }
    all
}

/// What was seen in between is not kept: a state may begin later than it did, when it was seen to
/// be so, and be seen until its contrary began.
#[tokio::test]
async fn reports_that_come_late_tell_the_same_story() {
    let down = |since, seen| fact(FactKind::InterfaceDown, since, seen);
    let up = |since, seen| fact(FactKind::InterfaceUp, since, seen);
    let known_later = vec![down(10, 15), up(20, 25), down(30, 35), down(30, 40), up(50, 60)];
    let in_the_midst = vec![up(0, 0), down(30, 30), up(40, 40), down(50, 55)];
    let f = fixture().await;
    for story in [known_later, in_the_midst] {
        let mut orders = orders(story.len());
        orders.sort();
        let mut expected: Vec<FactRow> = Vec::new();
        for order in orders {
            let told = told_in(&f, &story, &order).await;
            if expected.is_empty() {
                expected.clone_from(&told);
            }
            assert_eq!(told.len(), expected.len(), "{order:?}: {told:#?}");
            let ends = told.iter().skip(1).map(|next| Some(next.since)).chain([None]);
            for ((row, end), known) in told.iter().zip(ends).zip(&expected) {
                assert_eq!(row.kind, known.kind, "{order:?}: {told:#?}");
                assert_eq!(
                    (row.until, row.is_latest),
                    (end, end.is_none()),
                    "{order:?}: {told:#?}"
                );
                let seen_max = known.until.unwrap_or(known.seen);
                let is_within = (known.since..=known.seen).contains(&row.since)
                    && (known.seen..=seen_max).contains(&row.seen);
                assert!(is_within, "{order:?}: {row:#?} is not {known:#?}");
            }
        }
    }
}

/// Takes one report after the other, of an element of their own; by when they began.
async fn told_in(f: &Fixture, story: &[NewFact], order: &[usize]) -> Vec<FactRow> {
    let element = format!("{} {order:?}", story.len());
    for at in order {
        take(f, &[NewFact { element: element.clone(), ..story[*at].clone() }]).await;
    }
    let mut told = list(f, FactQuery { element: Some(element), ..FactQuery::default() }).await;
    told.sort_by_key(|row| (row.since, row.id));
    told
}

/// A poller says of each port that is up that it is, again and again.
#[tokio::test]
async fn a_judgement_looks_at_what_is_bad_before_what_is_good_and_says_that_it_is_cut() {
    let f = fixture().await;
    let of = |port: usize, kind, seen| NewFact {
        element: format!("port-{port}"),
        ..fact(kind, seen, seen)
    };
    let max = usize::try_from(FACTS_LIVE_MAX).unwrap();
    let up: Vec<NewFact> = (1..max).map(|port| of(port, FactKind::InterfaceUp, 20)).collect();
    take(&f, &[of(0, FactKind::InterfaceDown, 10)]).await;
    for some in up.chunks(FACTS_PER_REQUEST_MAX) {
        take(&f, some).await;
    }
    let live = f.store.facts_live(&f.scope, at(0)).await.unwrap();
    assert_eq!((live.rows.len(), live.is_cut), (max, false));
    take(&f, &[of(max, FactKind::BgpUp, 30)]).await;
    let live = f.store.facts_live(&f.scope, at(0)).await.unwrap();
    assert_eq!((live.rows.len(), live.is_cut), (max, true));
    let ends = [&live.rows[0], &live.rows[max - 1]].map(|row| row.kind);
    assert_eq!(ends, [FactKind::InterfaceDown, FactKind::BgpUp]);
}

/// A port goes down and up again while the collector's first message is on its way.
#[tokio::test]
async fn what_comes_late_is_not_the_last_word() {
    let f = fixture().await;
    take(&f, &[fact(FactKind::InterfaceUp, 0, 0), fact(FactKind::InterfaceUp, 50, 50)]).await;
    take(&f, &[fact(FactKind::InterfaceDown, 30, 30)]).await;
    assert_eq!(
        told(&f).await,
        ["interface_up 0 30 30", "interface_down 30 30 50", "interface_up 50 50 - *"]
    );
}

#[tokio::test]
async fn an_event_of_another_moment_is_another_and_other_sources_are_others() {
    let f = fixture().await;
    let restarted = |since| fact(FactKind::Restarted, since, since);
    take(&f, &[restarted(10), restarted(10), restarted(50)]).await;
    assert_eq!(told(&f).await, ["restarted 10 10 -", "restarted 50 50 - *"]);
    let other = NewFact { source: "syslog".to_owned(), ..restarted(50) };
    assert_eq!(take(&f, &[other]).await.new, 1);
    let of = FactQuery { source: Some("syslog".to_owned()), ..FactQuery::default() };
    assert_eq!(list(&f, of).await.len(), 1);
}

#[tokio::test]
async fn the_same_request_is_done_once_and_answered_the_same() {
    let f = fixture().await;
    let request = |key: &str, digest| FactRequest { key: key.to_owned(), digest: vec![digest; 4] };
    let new = |request| NewFacts {
        facts: vec![fact(FactKind::Restarted, 1, 1)],
        unknown: (vec!["r1--r2".to_owned()], 1),
        request: Some(request),
    };
    let first = f.store.facts_take(&f.scope, &new(request("a", 1)), at(2)).await.unwrap();
    let again = f.store.facts_take(&f.scope, &new(request("a", 1)), at(900)).await.unwrap();
    assert_eq!((first.new, first.unknown_total), (1, 1));
    assert_eq!(first, again);
    let other = f.store.facts_take(&f.scope, &new(request("a", 2)), at(3)).await;
    assert!(matches!(other, Err(StoreError::KeyReused)), "{other:?}");
    let fresh = f.store.facts_take(&f.scope, &new(request("b", 2)), at(3)).await.unwrap();
    assert_eq!((fresh.new, fresh.repeated), (0, 1));
    let audited = f.store.audit_list(&f.scope, None, 100).await.unwrap();
    let audited = audited.iter().filter(|row| row.action == "fact.send").count();
    assert_eq!(audited, 1, "what says nothing new is not in the audit");
}

#[tokio::test]
async fn too_many_at_once_are_refused_and_none_is_stored() {
    let f = fixture().await;
    let facts: Vec<NewFact> = (0..=i64::try_from(FACTS_PER_REQUEST_MAX).unwrap())
        .map(|since| fact(FactKind::Restarted, since, since))
        .collect();
    let new = NewFacts { facts, ..NewFacts::default() };
    let refused = f.store.facts_take(&f.scope, &new, at(0)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    assert_eq!(told(&f).await, [""; 0]);
}

#[tokio::test]
async fn lists_are_filtered_and_read_page_by_page() {
    let f = fixture().await;
    let of = |element: &str, kind, since| NewFact {
        element: element.to_owned(),
        value: Some(2.5),
        ..fact(kind, since, since + 5)
    };
    take(
        &f,
        &[
            of("r1", FactKind::Restarted, 10),
            of("r2", FactKind::PowerLost, 20),
            of("r1", FactKind::BgpDown, 30),
            of("r3", FactKind::BgpUp, 40),
        ],
    )
    .await;
    let names = |rows: Vec<FactRow>| -> Vec<String> {
        rows.iter().map(|row| format!("{} {}", row.element, row.kind.as_str())).collect()
    };
    let of_r1 = FactQuery { element: Some("r1".to_owned()), ..FactQuery::default() };
    assert_eq!(names(list(&f, of_r1).await), ["r1 bgp_down", "r1 restarted"]);
    let kinds = vec![FactKind::BgpUp, FactKind::BgpDown, FactKind::BgpUp];
    let bgp = FactQuery { kinds, ..FactQuery::default() };
    assert_eq!(names(list(&f, bgp).await), ["r3 bgp_up", "r1 bgp_down"]);
    let (since, until) = (Some(at(20)), Some(at(40)));
    let between = FactQuery { since, until, ..FactQuery::default() };
    assert_eq!(names(list(&f, between).await), ["r1 bgp_down", "r2 power_lost"]);
    let page = FactQuery { limit: 3, ..FactQuery::default() };
    let first = f.store.fact_list(&f.scope, &page).await.unwrap();
    assert_eq!(first[0].value, Some(2.5));
    let page = FactQuery { before_id: Some(first[2].id), ..page };
    assert_eq!(names(f.store.fact_list(&f.scope, &page).await.unwrap()), ["r1 restarted"]);
    let live = f.store.facts_live(&f.scope, at(30)).await.unwrap();
    assert!(!live.is_cut);
    assert_eq!(names(live.rows), ["r1 bgp_down", "r3 bgp_up"], "by when they began");
}

#[tokio::test]
async fn what_was_not_seen_for_long_is_forgotten_with_requests_of_yesterday() {
    let f = fixture().await;
    let request = FactRequest { key: "a".to_owned(), digest: vec![1] };
    let new = NewFacts {
        facts: vec![fact(FactKind::Restarted, 10, 10), fact(FactKind::InterfaceDown, 10, 90)],
        unknown: (Vec::new(), 0),
        request: Some(request.clone()),
    };
    f.store.facts_take(&f.scope, &new, at(0)).await.unwrap();
    let none = at(0);
    let retention = Retention {
        now: at(2 * 86_400),
        rounds_before: none,
        minutes_before: none,
        rollups_before: RollupsBefore {
            pair_fives: none,
            pair_hours: none,
            all_fives: none,
            all_hours: none,
            all_days: none,
        },
        changes_before: none,
        incidents_before: none,
        facts_before: at(50),
        audit_before: none,
        highwaters_before: none,
    };
    f.store.retain(&retention).await.unwrap();
    assert_eq!(told(&f).await, ["interface_down 10 90 - *"]);
    let new = NewFacts { request: Some(FactRequest { digest: vec![2], ..request }), ..new };
    assert!(f.store.facts_take(&f.scope, &new, at(0)).await.is_ok(), "its key is free again");
}
