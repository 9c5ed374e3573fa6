//! Tiers, targets, agents, their versions, and enrolment.

use std::time::Duration;

use model::{
    AgentId, InventoryChange, KeptDays, OrgId, ProbeSpec, Strategy, Tier, TierId, Verdict,
};
use store::{
    AgentHello, AgentPatch, AgentRow, CertificateStatus, ImportAction, ImportRow, NewAgent,
    NewCertificate, NewTarget, ORG_DEFAULT, Scope, StoreError, TargetPatch,
};

use crate::{Fixture, address, at, fixture, name, new_target};

async fn agent(f: &Fixture, who: &str) -> AgentRow {
    let new = NewAgent {
        name: name(who),
        witnesses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
    };
    let created = f.store.agent_create(&f.scope, &new, at(0)).await;
    created.unwrap().row
}

#[tokio::test]
async fn two_tiers_are_there_from_the_start() {
    let f = fixture().await;
    let tiers = f.store.tier_list(&f.scope).await.unwrap();
    let standard = Tier::standard(TierId(1), name("standard"));
    let fast = Tier { interval: Duration::from_secs(5), ..Tier::standard(TierId(2), name("fast")) };
    let found: Vec<_> = tiers.into_iter().map(|row| row.tier).collect();
    assert_eq!(found, [fast.clone(), standard.clone()]);
    fast.check().unwrap();
    let (version, changes) = f.store.inventory_snapshot().await.unwrap();
    let expected = [standard, fast].map(InventoryChange::TierSet);
    assert_eq!((version, changes.as_slice()), (2, expected.as_slice()));
}

#[tokio::test]
async fn tiers_change_within_their_ranges() {
    let f = fixture().await;
    let new = Tier { strategy: Strategy::Count(2), ..Tier::standard(TierId(0), name("slow")) };
    let created = f.store.tier_create(&f.scope, &new, KeptDays::default(), at(0)).await.unwrap();
    assert_eq!(created.version, 3);
    let id = created.row.tier.id;
    let edit = |tier: &mut Tier, _: &mut KeptDays| tier.interval = Duration::from_secs(1);
    let result = f.store.tier_update(&f.scope, id, edit, at(1)).await;
    assert!(matches!(result, Err(StoreError::Tier { source }) if source.field == "interval"));
    let same = f.store.tier_update(&f.scope, id, |_, _| (), at(1)).await.unwrap();
    assert_eq!((same.version, same.changes), (3, Vec::new()));
    let edit = |tier: &mut Tier, _: &mut KeptDays| tier.name = name("fast");
    let result = f.store.tier_update(&f.scope, id, edit, at(1)).await;
    assert!(matches!(result, Err(StoreError::NameTaken { field: "name" })));
    let edit = |tier: &mut Tier, _: &mut KeptDays| tier.interval = Duration::from_secs(60);
    let changed = f.store.tier_update(&f.scope, id, edit, at(1)).await.unwrap();
    assert_eq!(changed.row, f.store.tier_get(&f.scope, id).await.unwrap());
    assert_eq!(changed.changes, [InventoryChange::TierSet(changed.row.tier)]);
}

#[tokio::test]
async fn a_tier_in_use_stays_and_so_does_the_last() {
    let f = fixture().await;
    f.target("a", "192.0.2.1").await;
    f.target("b", "192.0.2.2").await;
    let result = f.store.tier_delete(&f.scope, TierId(1), at(1)).await;
    assert!(matches!(result, Err(StoreError::InUse { what: "tier", count: 2 })));
    let deleted = f.store.tier_delete(&f.scope, TierId(2), at(1)).await.unwrap();
    assert_eq!(deleted.changes, [InventoryChange::TierRemoved(TierId(2))]);
    for id in [1, 2] {
        f.store.target_delete(&f.scope, model::TargetId(id), at(2)).await.unwrap();
    }
    let result = f.store.tier_delete(&f.scope, TierId(1), at(3)).await;
    assert!(matches!(result, Err(StoreError::LastTier)));
}

#[tokio::test]
async fn a_target_lives() {
    let f = fixture().await;
    let new = NewTarget {
        tags: vec![name("pop"), name("core"), name("pop")],
        note: "in Rack 5".to_owned(),
        ..new_target("core1", "192.0.2.1")
    };
    let created = f.store.target_create(&f.scope, &new, at(0)).await.unwrap();
    let row = created.row;
    assert_eq!(row.tags, [name("core"), name("pop")]);
    assert_eq!((row.tier.name.as_str(), row.verdict), ("standard", Verdict::Unknown));
    let spec = ProbeSpec {
        id: row.probe,
        org: ORG_DEFAULT,
        target: row.id,
        target_name: name("core1"),
        address: address("192.0.2.1"),
        tier: TierId(1),
        paused: false,
    };
    assert_eq!(created.changes, [InventoryChange::ProbeSet(spec.clone())]);
    assert_eq!(row, f.target_now(row.id).await);

    let result = f.store.target_create(&f.scope, &new, at(1)).await;
    assert!(matches!(result, Err(StoreError::NameTaken { field: "name" })));
    let patch = TargetPatch { tags: Some(vec![name("edge")]), ..TargetPatch::default() };
    let tagged = f.store.target_update(&f.scope, row.id, &patch, at(2)).await.unwrap();
    assert_eq!((tagged.row.tags, tagged.changes), (vec![name("edge")], Vec::new()));
    assert_eq!(tagged.version, created.version + 1);
    let again = f.store.target_update(&f.scope, row.id, &patch, at(3)).await.unwrap();
    assert_eq!((again.version, again.row.updated_at), (tagged.version, at(2)));
    let patch =
        TargetPatch { is_paused: Some(true), tier: Some(TierId(2)), ..TargetPatch::default() };
    let paused = f.store.target_update(&f.scope, row.id, &patch, at(4)).await.unwrap();
    let expected = ProbeSpec { paused: true, tier: TierId(2), ..spec };
    assert_eq!(paused.changes, [InventoryChange::ProbeSet(expected)]);
}

#[tokio::test]
async fn a_tier_that_is_not_there_is_refused() {
    let f = fixture().await;
    let row = f.target("core1", "192.0.2.1").await;
    let patch = TargetPatch { tier: Some(TierId(9)), ..TargetPatch::default() };
    let result = f.store.target_update(&f.scope, row.id, &patch, at(5)).await;
    assert!(matches!(result, Err(StoreError::NotFound { what: "tier" })));
}

#[tokio::test]
async fn ids_are_never_used_again_and_removals_are_told() {
    let f = fixture().await;
    let a = f.target("a", "192.0.2.1").await;
    let b = f.target("b", "192.0.2.2").await;
    let agent = agent(&f, "fra1").await;
    let slept_at = f.store.inventory_version().await.unwrap();
    f.store.target_delete(&f.scope, b.id, at(1)).await.unwrap();
    f.store.agent_delete(&f.scope, agent.id, at(2)).await.unwrap();
    let again = f.target("b", "192.0.2.2").await;
    assert!(b.id < again.id && b.probe < again.probe);
    let patch = TargetPatch { address: Some(address("192.0.2.9")), ..TargetPatch::default() };
    f.store.target_update(&f.scope, a.id, &patch, at(3)).await.unwrap();
    let (version, missed) = f.store.inventory_since(slept_at).await.unwrap();
    assert_eq!(version, slept_at + 4);
    let probes: Vec<_> = missed
        .iter()
        .filter_map(|change| {
            let InventoryChange::ProbeSet(spec) = change else {
                return None;
            };
            Some((spec.id, spec.address.to_string()))
        })
        .collect();
    let expected = [(a.probe, "192.0.2.9".to_owned()), (again.probe, "192.0.2.2".to_owned())];
    assert_eq!(probes, expected);
    let gone = [InventoryChange::ProbeRemoved(b.probe), InventoryChange::AgentRemoved(agent.id)];
    assert_eq!(missed[2..], gone);
    assert_eq!(f.store.inventory_since(version).await.unwrap(), (version, Vec::new()));
}

#[tokio::test]
async fn organisations_do_not_see_each_other() {
    let f = fixture().await;
    let target = f.target("a", "192.0.2.1").await;
    let other = Scope::system(OrgId(2));
    let result = f.store.target_get(&other, target.id).await;
    assert!(matches!(result, Err(StoreError::NotFound { what: "target" })));
    let result = f.store.target_delete(&other, target.id, at(1)).await;
    assert!(matches!(result, Err(StoreError::NotFound { what: "target" })));
    assert_eq!(f.store.tier_list(&other).await.unwrap(), []);
    assert_eq!(f.store.target_counts(&other).await.unwrap().total, 0);
}

fn import_row(target: &str, to: &str) -> ImportRow {
    ImportRow {
        name: name(target),
        address: address(to),
        tier: None,
        tags: None,
        note: None,
        is_paused: None,
    }
}

#[tokio::test]
async fn an_import_says_what_became_of_each_row() {
    let f = fixture().await;
    f.target("same", "192.0.2.1").await;
    f.target("moved", "192.0.2.2").await;
    let rows = [
        import_row("same", "192.0.2.1"),
        ImportRow { tags: Some(vec![name("x")]), ..import_row("moved", "192.0.2.20") },
        ImportRow { tier: Some(name("fast")), ..import_row("new", "192.0.2.3") },
        ImportRow { tier: Some(name("nope")), ..import_row("lost", "192.0.2.4") },
        import_row("new", "192.0.2.5"),
    ];
    let expected = [
        ImportAction::Unchanged,
        ImportAction::Update,
        ImportAction::Create,
        ImportAction::Fail,
        ImportAction::Fail,
    ];
    let before = f.store.inventory_version().await.unwrap();
    let tried = f.store.targets_import(&f.scope, &rows, true, at(1)).await.unwrap();
    assert_eq!(f.store.inventory_version().await.unwrap(), before);
    assert_eq!(f.store.target_counts(&f.scope).await.unwrap().total, 2);
    let done = f.store.targets_import(&f.scope, &rows, false, at(1)).await.unwrap();
    assert_eq!(tried.row, done.row);
    let actions: Vec<_> = done.row.iter().map(|result| result.action).collect();
    assert_eq!(actions, expected);
    assert_eq!((done.row[3].field, done.row[4].field), ("tier", "name"));
    assert_eq!((done.version, done.changes.len()), (before + 2, 2));
    let again = f.store.targets_import(&f.scope, &rows[..3], false, at(2)).await.unwrap();
    assert_eq!((again.version, again.changes.len()), (before + 2, 0));
}

#[tokio::test]
async fn a_large_import_keeps_names_and_ids_together() {
    let f = fixture().await;
    let rows: Vec<_> = (0..1_000)
        .map(|n| ImportRow {
            tags: Some(vec![name("all"), name(&format!("t{}", n % 3))]),
            ..import_row(&format!("n{n}"), &format!("10.0.{}.{}", n / 250, n % 250 + 1))
        })
        .collect();
    let done = f.store.targets_import(&f.scope, &rows, false, at(1)).await.unwrap();
    assert_eq!(done.changes.len(), 1_000);
    let (_, snapshot) = f.store.inventory_snapshot().await.unwrap();
    assert_eq!(snapshot[2..], done.changes);
    let again = f.store.targets_import(&f.scope, &rows, false, at(2)).await.unwrap();
    assert!(again.row.iter().all(|r| r.action == ImportAction::Unchanged));
}

#[tokio::test]
async fn an_agent_lives() {
    let f = fixture().await;
    let row = agent(&f, "fra1").await;
    assert_eq!((row.state, row.state_since), (model::AgentState::NeverSeen, at(0)));
    assert_eq!(row.witnesses.len(), 2);
    let hello = AgentHello {
        version: "0.1.0".to_owned(),
        os: "linux".to_owned(),
        hostname: "pop1".to_owned(),
    };
    f.store.agent_hello(row.id, &hello, at(1)).await.unwrap();
    f.store.agents_seen(&[(row.id, at(9))]).await.unwrap();
    let now = f.store.agent_get(&f.scope, row.id).await.unwrap();
    assert_eq!((now.hello, now.last_seen_at), (Some(hello), Some(at(9))));
    let patch = AgentPatch { is_paused: Some(true), ..AgentPatch::default() };
    let paused = f.store.agent_update(&f.scope, row.id, &patch, at(2)).await.unwrap();
    let [InventoryChange::AgentSet(spec)] = paused.changes.as_slice() else {
        panic!("{:?}", paused.changes);
    };
    assert!(!spec.is_active);
    let patch = AgentPatch {
        witnesses: Some(vec!["192.0.2.1".parse().unwrap(); 9]),
        ..AgentPatch::default()
    };
    let result = f.store.agent_update(&f.scope, row.id, &patch, at(3)).await;
    assert!(matches!(result, Err(StoreError::TooMany { what: "witnesses", max: 8 })));
}

#[tokio::test]
async fn a_token_is_good_once_and_not_for_long() {
    let f = fixture().await;
    let agent = agent(&f, "fra1").await;
    f.store.token_create(&f.scope, agent.id, &[1; 32], at(600), at(0)).await.unwrap();
    f.store.token_create(&f.scope, agent.id, &[2; 32], at(600), at(1)).await.unwrap();
    // The newer token voided the older.
    assert_eq!(f.store.token_redeem(&[1; 32], at(2)).await.unwrap(), None);
    assert_eq!(f.store.token_redeem(&[2; 32], at(600)).await.unwrap(), None);
    let both =
        tokio::join!(f.store.token_redeem(&[2; 32], at(3)), f.store.token_redeem(&[2; 32], at(3)));
    let redeemed: Vec<_> = [both.0.unwrap(), both.1.unwrap()].into_iter().flatten().collect();
    assert_eq!(redeemed, [(ORG_DEFAULT, agent)]);
}

fn certificate(agent: AgentId, serial: &str, not_after: i64) -> NewCertificate {
    NewCertificate { agent, serial: serial.to_owned(), not_before: at(0), not_after: at(not_after) }
}

async fn status_of(f: &Fixture, serial: &str) -> CertificateStatus {
    f.store.certificate_status(serial).await.unwrap()
}

#[tokio::test]
async fn the_shortest_interval_is_of_a_target_that_is_watched() {
    let f = fixture().await;
    let interval = async || f.store.tier_interval_min(&f.scope).await.unwrap();
    assert_eq!(interval().await, None, "tiers without targets are not in use");
    let target = f.target("core1", "192.0.2.1").await;
    assert_eq!(interval().await, Some(Tier::INTERVAL_DEFAULT));
    let patch = TargetPatch { is_paused: Some(true), ..TargetPatch::default() };
    f.store.target_update(&f.scope, target.id, &patch, at(1)).await.unwrap();
    assert_eq!(interval().await, None);
}

#[tokio::test]
async fn a_revoked_certificate_stays_revoked() {
    let f = fixture().await;
    let agent = agent(&f, "fra1").await;
    let certificate = |serial, not_after| certificate(agent.id, serial, not_after);
    let added = f.store.certificate_add(&f.scope, &certificate("0a", 100), at(1)).await.unwrap();
    assert_eq!(added.changes, []);
    assert_eq!(added.row.certificate.unwrap().serial, "0a");
    let status = status_of(&f, "0a").await;
    let org = ORG_DEFAULT;
    assert_eq!(status, CertificateStatus::Active { org, agent: agent.id });
    assert_eq!(status_of(&f, "ff").await, CertificateStatus::Unknown);

    let revoked = f.store.certificates_revoke(&f.scope, agent.id, at(2)).await.unwrap();
    assert_eq!((revoked.row.as_slice(), revoked.changes.len()), (["0a".to_owned()].as_slice(), 1));
    let status = status_of(&f, "0a").await;
    assert_eq!(status, CertificateStatus::Revoked { org, agent: agent.id });
    assert!(f.store.agent_get(&f.scope, agent.id).await.unwrap().is_revoked);

    // A renewal that was under way comes too late; a token from before is void.
    let late = f.store.certificate_add(&f.scope, &certificate("0b", 200), at(3)).await;
    assert!(matches!(late, Err(StoreError::AgentRevoked)));
    assert_eq!(status_of(&f, "0b").await, CertificateStatus::Unknown);
    f.store.token_create(&f.scope, agent.id, &[9; 32], at(600), at(3)).await.unwrap();
    let late = f.store.certificate_add(&f.scope, &certificate("0b", 200), at(3)).await;
    assert!(matches!(late, Err(StoreError::AgentRevoked)));
    f.store.token_redeem(&[9; 32], at(3)).await.unwrap().unwrap();
    let again = f.store.certificate_add(&f.scope, &certificate("0b", 200), at(3)).await.unwrap();
    assert_eq!((again.changes.len(), again.row.is_revoked), (1, false));
    f.store.agent_delete(&f.scope, agent.id, at(4)).await.unwrap();
    let status = status_of(&f, "0b").await;
    assert_eq!(status, CertificateStatus::Revoked { org, agent: agent.id });
}
