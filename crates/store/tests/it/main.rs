//! The conformance suite: what every database behind the store must do alike.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test, as the test itself does"
)]

mod archive;
mod chunks;
mod crash;
mod engine;
mod inventory;
mod list;
mod open;
mod people;
mod topology;

use model::{Address, Name, TargetId, UtcMicros};
use store::{NewTarget, ORG_DEFAULT, Scope, Store, TargetRow};

/// A store over an empty database of its own.
struct Fixture {
    store: Store,
    scope: Scope,
    folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("faultline.db")).await.unwrap();
    Fixture { store, scope: Scope::system(ORG_DEFAULT), folder }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Seconds after some day.
fn at(seconds: i64) -> UtcMicros {
    UtcMicros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn new_target(target: &str, to: &str) -> NewTarget {
    NewTarget {
        name: name(target),
        address: address(to),
        tier: None,
        tags: Vec::new(),
        note: String::new(),
        is_paused: false,
    }
}

impl Fixture {
    async fn target(&self, target: &str, to: &str) -> TargetRow {
        let new = new_target(target, to);
        let created = self.store.target_create(&self.scope, &new, at(0)).await;
        created.unwrap().row
    }

    async fn target_now(&self, id: TargetId) -> TargetRow {
        self.store.target_get(&self.scope, id).await.unwrap()
    }
}
