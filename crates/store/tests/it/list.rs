//! Lists of targets: every filter in every order, page by page.

use model::{Decision, DecisionKind, Entity, LogPosition, TierId, Verdict, VerdictChange, Why};
use store::{Commit, ImportRow, StoreError, TargetQuery, TargetRow, TargetSort};

use crate::{Fixture, address, at, fixture, name};

const SORTS: [TargetSort; 5] = [
    TargetSort::Name,
    TargetSort::NameDesc,
    TargetSort::Verdict,
    TargetSort::Since,
    TargetSort::Address,
];

/// `count` targets with verdicts, tiers, tags and notes that repeat with different periods.
async fn fleet(count: u32) -> Fixture {
    let f = fixture().await;
    let rows: Vec<_> = (0..count)
        .map(|n| ImportRow {
            name: name(&format!("n{}", n * 7 % count)),
            address: match n % 10 {
                0 => address(&format!("2001:db8::{:x}", n + 1)),
                1 => address(&format!("host{n}.example.net")),
                _ => address(&format!("10.0.{}.{}", n / 200, n % 200 + 1)),
            },
            tier: (n % 4 == 0).then(|| name("fast")),
            tags: Some(if n % 5 == 0 { vec![name("core"), name("x")] } else { Vec::new() }),
            note: (n % 6 == 0).then(|| "Backup 100% LINK".to_owned()),
            is_paused: Some(n % 50 == 3),
        })
        .collect();
    f.store.targets_import(&f.scope, &rows, false, at(0)).await.unwrap();
    let decisions: Vec<_> = (1..=count)
        .map(|id| Decision {
            org: f.scope.org,
            decided_at: at(0),
            kind: DecisionKind::Verdict(VerdictChange {
                entity: Entity::Consensus { probe: model::ProbeId(id) },
                from: Verdict::Unknown,
                to: Verdict::ALL[(id as usize * id as usize % 11 + id as usize % 2) % 4],
                at: at(i64::from(id % 13)),
                why: Why { cause: model::Cause::Answering, text: format!("because {id}") },
            }),
        })
        .collect();
    let commit = Commit {
        position: LogPosition(1),
        inventory_version: 1_000_000,
        decisions: &decisions,
        rounds: &[],
        highwaters: &[],
        gaps: &[],
        metrics: &[],
        checkpoint: None,
    };
    assert!(f.store.commit(&commit, at(20)).await.unwrap());
    f
}

async fn all_pages(f: &Fixture, query: &TargetQuery) -> (Vec<TargetRow>, u64) {
    let mut query = query.clone();
    let mut rows = Vec::new();
    loop {
        let page = f.store.target_list(&f.scope, &query).await.unwrap();
        assert!(page.rows.len() <= query.limit as usize);
        rows.extend(page.rows);
        match page.next {
            None => return (rows, page.total),
            Some(next) => {
                assert!(next.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
                query.after = Some(next);
            }
        }
    }
}

/// What the list must be, said the slow way.
fn expected(all: &[TargetRow], query: &TargetQuery) -> Vec<TargetRow> {
    let mut rows: Vec<_> = all
        .iter()
        .filter(|row| query.verdicts.is_empty() || query.verdicts.contains(&row.verdict))
        .filter(|row| query.tier.is_none_or(|tier| row.tier.id == tier))
        .filter(|row| query.tag.as_ref().is_none_or(|tag| row.tags.contains(tag)))
        .filter(|row| {
            let text = format!("{}\n{}\n{}", row.name, row.address, row.note).to_lowercase();
            query.q.as_ref().is_none_or(|q| text.contains(&q.to_lowercase()))
        })
        .cloned()
        .collect();
    rows.sort_by(|a, b| match query.sort {
        TargetSort::Name => a.name.cmp(&b.name),
        TargetSort::NameDesc => b.name.cmp(&a.name),
        TargetSort::Verdict => (b.verdict.badness(), &a.name).cmp(&(a.verdict.badness(), &b.name)),
        TargetSort::Since => (b.since, b.id).cmp(&(a.since, a.id)),
        TargetSort::Address => (&a.address, a.id).cmp(&(&b.address, b.id)),
    });
    rows
}

#[tokio::test]
async fn every_filter_in_every_order() {
    let f = fleet(300).await;
    let everything = TargetQuery { limit: 500, ..TargetQuery::default() };
    let (all, total) = all_pages(&f, &everything).await;
    assert_eq!((all.len(), total), (300, 300));
    assert_eq!(all[0], f.target_now(all[0].id).await);
    let filters = [
        TargetQuery::default(),
        TargetQuery { verdicts: vec![Verdict::Down], ..TargetQuery::default() },
        TargetQuery { verdicts: vec![Verdict::Down, Verdict::Up], ..TargetQuery::default() },
        TargetQuery { tier: Some(TierId(2)), ..TargetQuery::default() },
        TargetQuery { tag: Some(name("core")), ..TargetQuery::default() },
        TargetQuery { q: Some("100% link".to_owned()), ..TargetQuery::default() },
        TargetQuery { q: Some("EXAMPLE".to_owned()), ..TargetQuery::default() },
        TargetQuery { q: Some("_".to_owned()), ..TargetQuery::default() },
        TargetQuery {
            q: Some("n1".to_owned()),
            verdicts: vec![Verdict::Up, Verdict::Unknown, Verdict::Degraded],
            tier: Some(TierId(2)),
            tag: Some(name("x")),
            ..TargetQuery::default()
        },
    ];
    for filter in filters {
        for sort in SORTS {
            let query = TargetQuery { sort, limit: 37, ..filter.clone() };
            let (rows, total) = all_pages(&f, &query).await;
            let expected = expected(&all, &query);
            let ids = |rows: &[TargetRow]| rows.iter().map(|r| r.id).collect::<Vec<_>>();
            assert_eq!(ids(&rows), ids(&expected), "{query:?}");
            assert_eq!(total, expected.len() as u64, "{query:?}");
        }
    }
}

#[tokio::test]
async fn many_matches_are_found_by_the_order() {
    let f = fleet(5_300).await;
    let everything = TargetQuery { limit: 500, ..TargetQuery::default() };
    let (all, _) = all_pages(&f, &everything).await;
    for sort in SORTS {
        let query = TargetQuery {
            sort,
            verdicts: vec![Verdict::Up, Verdict::Degraded, Verdict::Down, Verdict::Unknown],
            q: Some("n".to_owned()),
            limit: 500,
            ..TargetQuery::default()
        };
        let (rows, total) = all_pages(&f, &query).await;
        assert_eq!(total, 5_300);
        assert!(rows == expected(&all, &query), "{sort:?}");
    }
}

#[tokio::test]
async fn counts_add_up() {
    let f = fleet(300).await;
    let counts = f.store.target_counts(&f.scope).await.unwrap();
    let sum = counts.up + counts.degraded + counts.down + counts.unknown + counts.paused;
    assert_eq!((counts.total, sum, counts.paused), (300, 300, 6));
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let f = fleet(10).await;
    for (sort, after) in [
        (TargetSort::Name, "d.n1"),
        (TargetSort::Name, ""),
        (TargetSort::Verdict, "v.x.n1"),
        (TargetSort::Since, "s.1"),
        (TargetSort::Address, "a.0.1"),
        (TargetSort::Address, "a.zz.1"),
    ] {
        let query =
            TargetQuery { sort, after: Some(after.to_owned()), limit: 5, ..TargetQuery::default() };
        let result = f.store.target_list(&f.scope, &query).await;
        assert!(matches!(result, Err(StoreError::CursorInvalid)), "{after}");
    }
}

#[tokio::test]
async fn targets_out_are_those_that_are_down_and_those_that_are_followed_and_unknown() {
    let f = fleet(60).await;
    let (rows, _) = all_pages(&f, &TargetQuery { limit: 50, ..TargetQuery::default() }).await;
    let of = |verdict: Verdict| {
        let rows = rows.iter().filter(move |row| row.verdict == verdict && !row.is_paused);
        rows.map(|row| row.name.to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    let names: Vec<String> = rows.iter().map(|row| row.name.to_string()).collect();
    let out = f.store.targets_out(&f.scope, &names).await.unwrap();
    assert!(!out.down.is_empty() && !out.still.is_empty(), "the fleet has both");
    assert_eq!(
        out.down.keys().cloned().collect::<std::collections::BTreeSet<_>>(),
        of(Verdict::Down)
    );
    let still: std::collections::BTreeSet<_> =
        of(Verdict::Unknown).union(&of(Verdict::Down)).cloned().collect();
    assert!(out.still != of(Verdict::Down), "the fleet has unknown ones");
    assert_eq!(out.still, still);
    let since = |name: &str| rows.iter().find(|row| row.name.as_str() == name).unwrap().since;
    assert!(out.down.iter().all(|(name, at)| *at == since(name)));
    let alone = f.store.targets_out(&f.scope, &[]).await.unwrap();
    assert_eq!((alone.down, alone.still.len()), (out.down, 0));
}
