//! Topologies: all of a change or nothing, on the version that its maker saw, with its history.

use store::{ORG_DEFAULT, Scope, StoreError, TopologyEdit, TopologyPart};

use crate::{at, fixture};

fn part(section: &str, id: &str, body: &str) -> TopologyPart {
    let (section, id) = (section.to_owned(), id.to_owned());
    TopologyPart { section, id, kind: "device".to_owned(), body: body.to_owned() }
}

fn edit(basis: u64, sets: Vec<TopologyPart>) -> TopologyEdit {
    TopologyEdit { basis, sets, action: "topology.import", ..TopologyEdit::default() }
}

#[tokio::test]
async fn a_topology_changes_as_a_whole_and_only_from_what_was_seen() {
    let f = fixture().await;
    assert_eq!(f.store.topology_version(&f.scope).await.unwrap(), 0);
    let parts = vec![
        part("element", "r1", r#"{"id":"r1"}"#),
        part("element", "a \"b\"", "{}"),
        part("target", "r1", "{}"),
    ];
    let first = f.store.topology_change(&f.scope, &edit(0, parts), at(1)).await.unwrap();
    assert_eq!(first.version, f.store.inventory_version().await.unwrap());
    let stale = f.store.topology_change(&f.scope, &edit(0, Vec::new()), at(2)).await;
    assert!(matches!(stale, Err(StoreError::Stale { what: "topology" })));
    let nothing =
        f.store.topology_change(&f.scope, &edit(first.version, Vec::new()), at(2)).await.unwrap();
    assert_eq!(nothing.version, first.version);

    let second = TopologyEdit {
        removes: vec![("element".to_owned(), "a \"b\"".to_owned())],
        ..edit(first.version, vec![part("element", "r1", r#"{"id":"r1","role":"core"}"#)])
    };
    let second = f.store.topology_change(&f.scope, &second, at(3)).await.unwrap();
    let row = f.store.topology(&f.scope).await.unwrap();
    assert_eq!((row.version, row.updated_at), (second.version, Some(at(3))));
    let told: Vec<(&str, &str, &str)> =
        row.parts.iter().map(|p| (p.section.as_str(), p.id.as_str(), p.body.as_str())).collect();
    assert_eq!(told, [("element", "r1", r#"{"id":"r1","role":"core"}"#), ("target", "r1", "{}")]);
}

#[tokio::test]
async fn a_change_of_the_topology_is_a_version_that_the_engine_need_not_hear() {
    let f = fixture().await;
    let before = f.store.inventory_version().await.unwrap();
    let change = edit(0, vec![part("element", "r1", "{}")]);
    f.store.topology_change(&f.scope, &change, at(1)).await.unwrap();
    let (version, changes) = f.store.inventory_since(before).await.unwrap();
    assert_eq!((version, changes), (before + 1, Vec::new()));
    let audit = f.store.audit_list(&f.scope, None, 10).await.unwrap();
    assert_eq!(audit[0].action, "topology.import");
    assert_eq!(audit[0].after.as_ref().unwrap()["set"], 1);
}

#[tokio::test]
async fn a_topology_belongs_to_its_organisation() {
    let f = fixture().await;
    let change = edit(0, vec![part("element", "r1", "{}")]);
    f.store.topology_change(&f.scope, &change, at(1)).await.unwrap();
    assert_eq!(f.scope.org, ORG_DEFAULT);
    let other = Scope::system(model::OrgId(2));
    assert_eq!(f.store.topology_version(&other).await.unwrap(), 0);
    assert!(f.store.topology(&other).await.unwrap().parts.is_empty());
}
