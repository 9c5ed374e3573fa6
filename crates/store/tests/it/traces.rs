//! Traces: what is written of one, and what is kept.

use std::net::IpAddr;

use model::{
    AgentId, HopAnswer, HopEnding, HopNote, TargetId, TraceEnd, TraceHop, TraceId, TraceOptions,
    TraceProtocol, TraceState, TraceWhy,
};
use store::{NewTrace, ORG_DEFAULT, Scope, StoreError, TraceDone, TraceQuery};

use crate::{Fixture, address, at, fixture, name};

fn new(target: u32) -> NewTrace {
    NewTrace {
        agent: AgentId(4),
        agent_name: name("fra1"),
        target: TargetId(target),
        target_name: name("edge"),
        address: address("host.example.net"),
        options: TraceOptions { protocol: TraceProtocol::Udp, flows: 3, ..TraceOptions::default() },
        why: TraceWhy::Asked,
        why_note: String::new(),
    }
}

fn done(state: TraceState) -> TraceDone {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let answer = HopAnswer {
        from: ip("2001:db8::1"),
        received: 4,
        rtt_us_min: 1,
        rtt_us_mean: 2,
        rtt_us_max: 3,
    };
    let hop = |ttl, ending, answers| TraceHop {
        flow: 2,
        ttl,
        sent: 5,
        lost: 1,
        answers,
        ending,
        note: HopNote::RateLimited,
    };
    let hops = vec![
        hop(1, None, vec![answer]),
        hop(2, Some(HopEnding::Unreachable { code: 13 }), Vec::new()),
        hop(3, Some(HopEnding::Reached), Vec::new()),
    ];
    let (end, resolved) = (Some(TraceEnd::Reached), Some(ip("2001:db8::9")));
    TraceDone { state, reason: "as it was".to_owned(), end, resolved, hops }
}

async fn add(f: &Fixture, target: u32) -> TraceId {
    f.store.trace_add(&f.scope, &new(target), at(1)).await.unwrap().id
}

#[tokio::test]
async fn what_a_trace_found_is_read_back_and_its_end_stays() {
    let f = fixture().await;
    let id = add(&f, 7).await;
    let asked = f.store.trace_get(&f.scope, id).await.unwrap();
    assert_eq!((asked.new, asked.done.state), (new(7), TraceState::Ordered));
    assert_eq!((asked.asker_kind.as_str(), asked.ended_at), ("system", None));
    f.store.trace_end(&f.scope, id, &done(TraceState::Done), at(9)).await.unwrap();
    f.store.trace_end(&f.scope, id, &done(TraceState::Expired), at(20)).await.unwrap();
    let ended = f.store.trace_get(&f.scope, id).await.unwrap();
    assert_eq!((ended.done, ended.ended_at), (done(TraceState::Done), Some(at(9))));
    let audit = f.store.audit_list(&f.scope, None, 10).await.unwrap();
    assert_eq!(audit[0].action, "trace.run");
}

#[tokio::test]
async fn traces_are_listed_by_target_and_agent_without_their_hops() {
    let f = fixture().await;
    let (first, other, last) = (add(&f, 7).await, add(&f, 8).await, add(&f, 7).await);
    f.store.trace_end(&f.scope, last, &done(TraceState::Done), at(9)).await.unwrap();
    let list = async |query: TraceQuery| -> Vec<TraceId> {
        let rows = f.store.trace_list(&f.scope, &TraceQuery { limit: 10, ..query }).await.unwrap();
        assert!(rows.iter().all(|row| row.done.hops.is_empty()));
        rows.iter().map(|row| row.id).collect()
    };
    assert_eq!(list(TraceQuery::default()).await, [last, other, first]);
    let of = TraceQuery { target: Some(TargetId(7)), ..TraceQuery::default() };
    assert_eq!(list(of).await, [last, first]);
    assert_eq!(list(TraceQuery { before: Some(last), ..of }).await, [first]);
    let none = TraceQuery { agent: Some(AgentId(5)), ..TraceQuery::default() };
    assert_eq!(list(none).await, []);
}

#[tokio::test]
async fn another_organisation_sees_none_of_them() {
    let f = fixture().await;
    let id = add(&f, 7).await;
    let other = Scope::system(model::OrgId(ORG_DEFAULT.0 + 1));
    let missing = f.store.trace_get(&other, id).await;
    assert!(matches!(missing, Err(StoreError::NotFound { what: "trace" })));
}

#[tokio::test]
async fn what_was_under_way_when_the_server_ended_has_failed() {
    let f = fixture().await;
    let (ended, open) = (add(&f, 7).await, add(&f, 7).await);
    f.store.trace_end(&f.scope, ended, &done(TraceState::Done), at(2)).await.unwrap();
    assert_eq!(f.store.traces_interrupt("it was stopped", at(30)).await.unwrap(), 1);
    let row = f.store.trace_get(&f.scope, open).await.unwrap();
    assert_eq!((row.done.state, row.ended_at), (TraceState::Failed, Some(at(30))));
    assert_eq!(row.done.reason, "it was stopped");
}

#[tokio::test]
async fn a_hop_is_known_by_the_target_that_has_its_address() {
    let f = fixture().await;
    let target = f.target("core-1", "192.0.2.1").await.id;
    let asked = [address("192.0.2.9"), address("192.0.2.1"), address("host.example.net")];
    let found = f.store.targets_at(&f.scope, &asked).await.unwrap();
    let found: Vec<_> =
        found.iter().map(|at| (at.address.to_string(), at.target, at.name.as_str())).collect();
    assert_eq!(found, [("192.0.2.1".to_owned(), target, "core-1")]);
    assert_eq!(f.store.targets_at(&f.scope, &[]).await.unwrap(), []);
}
