//! Paths: the same one is seen later, another one ends it.

use std::{collections::BTreeSet, net::IpAddr};

use model::{AgentId, TargetId, TraceId};
use store::{NewPath, ORG_DEFAULT, PathHops, PathQuery, PathSeen, Scope};

use crate::{Fixture, at, fixture, name};

fn hops(last: &[u8]) -> PathHops {
    let address = |last: &u8| BTreeSet::from([IpAddr::from([192, 0, 2, *last])]);
    last.iter().map(address).collect()
}

async fn take(f: &Fixture, seconds: i64, seen: &[u8]) -> Option<String> {
    let new = NewPath {
        agent: AgentId(4),
        agent_name: name("fra1"),
        target: TargetId(7),
        target_name: name("edge"),
        trace: TraceId(u32::try_from(seconds).unwrap()),
        at: at(seconds),
        hops: hops(seen),
    };
    let judge = |known: &store::PathRow, _: Option<&store::PathRow>| match known.hops == new.hops {
        true => PathSeen::Same(known.hops.clone()),
        false => PathSeen::Other("another".to_owned()),
    };
    f.store.path_take(&f.scope, &new, judge).await.unwrap()
}

#[tokio::test]
async fn a_path_is_seen_again_and_again_until_another_one_is_seen() {
    let f = fixture().await;
    assert_eq!(take(&f, 1, &[1, 2]).await, None);
    assert_eq!(take(&f, 5, &[1, 2]).await, None);
    assert_eq!(take(&f, 9, &[1, 3]).await.as_deref(), Some("another"));
    assert_eq!(take(&f, 8, &[1, 2]).await, None, "it ended before the last one");
    let query = PathQuery { target: Some(TargetId(7)), limit: 10, ..PathQuery::default() };
    let rows = f.store.path_list(&f.scope, &query).await.unwrap();
    let [now, before] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((before.since, before.seen, before.seen_count), (at(1), at(5), 2));
    assert_eq!((before.is_latest, before.trace), (false, TraceId(5)));
    assert_eq!((now.after, now.since, now.is_latest), (Some(at(5)), at(9), true));
    assert_eq!((&now.hops, now.change.as_str()), (&hops(&[1, 3]), "another"));
    let query = PathQuery { before_id: Some(now.id), ..query };
    assert_eq!(f.store.path_list(&f.scope, &query).await.unwrap().len(), 1);
    let query = PathQuery { agent: Some(AgentId(5)), limit: 10, ..PathQuery::default() };
    assert!(f.store.path_list(&f.scope, &query).await.unwrap().is_empty());
    let other = Scope::system(model::OrgId(ORG_DEFAULT.0 + 1));
    let query = PathQuery { limit: 10, ..PathQuery::default() };
    assert!(f.store.path_list(&other, &query).await.unwrap().is_empty());
}
