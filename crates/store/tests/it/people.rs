//! Users, sessions, keys and the audit.

use model::{Role, UserId};
use store::{
    Actor, AuditEntry, NewApiKey, NewSession, NewUser, ORG_DEFAULT, Scope, StoreError, UserPatch,
    UserRow,
};

use crate::{Fixture, at, fixture, name};

async fn user(fixture: &Fixture, who: &str, role: Role) -> UserRow {
    let new = NewUser { name: name(who), role, password_hash: format!("hash-of-{who}") };
    let created = fixture.store.user_create(&fixture.scope, &new, at(0)).await;
    created.unwrap()
}

async fn session(fixture: &Fixture, user: UserId, token: u8) {
    let new = NewSession {
        token_hash: [token; 32],
        user,
        csrf_token: "csrf".to_owned(),
        expires_at: at(100),
    };
    let created = fixture.store.session_create(&fixture.scope, &new, at(0));
    created.await.unwrap();
}

#[tokio::test]
async fn users_live_and_names_are_unique() {
    let f = fixture().await;
    assert_eq!(f.store.user_count(&f.scope).await.unwrap(), 0);
    let ann = user(&f, "ann", Role::Admin).await;
    let taken = NewUser { name: name("ann"), role: Role::Viewer, password_hash: String::new() };
    let result = f.store.user_create(&f.scope, &taken, at(1)).await;
    assert!(matches!(result, Err(StoreError::NameTaken { field: "name" })));
    let bob = user(&f, "bob", Role::Viewer).await;
    assert_eq!(f.store.user_list(&f.scope).await.unwrap(), [ann, bob.clone()]);
    let patch = UserPatch { name: Some(name("ann")), ..UserPatch::default() };
    let result = f.store.user_update(&f.scope, bob.id, &patch, at(2)).await;
    assert!(matches!(result, Err(StoreError::NameTaken { field: "name" })));
    f.store.user_set_password_hash(&f.scope, bob.id, "new", None, at(3)).await.unwrap();
    let found = f.store.user_by_name(&f.scope, &name("bob")).await.unwrap();
    assert_eq!(found.unwrap().password_hash, "new");
    f.store.user_delete(&f.scope, bob.id, at(4)).await.unwrap();
    let result = f.store.user_get(&f.scope, bob.id).await;
    assert!(matches!(result, Err(StoreError::NotFound { what: "user" })));
    // An id is never used again.
    let eve = user(&f, "eve", Role::Viewer).await;
    assert!(bob.id < eve.id);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let f = fixture().await;
    let ann = user(&f, "ann", Role::Admin).await;
    let demote = UserPatch { role: Some(Role::Operator), ..UserPatch::default() };
    let disable = UserPatch { is_active: Some(false), ..UserPatch::default() };
    for patch in [&demote, &disable] {
        let result = f.store.user_update(&f.scope, ann.id, patch, at(1)).await;
        assert!(matches!(result, Err(StoreError::LastAdmin)));
    }
    let result = f.store.user_delete(&f.scope, ann.id, at(1)).await;
    assert!(matches!(result, Err(StoreError::LastAdmin)));
    let bob = user(&f, "bob", Role::Admin).await;
    f.store.user_update(&f.scope, bob.id, &disable, at(2)).await.unwrap();
    // An inactive admin does not count.
    let result = f.store.user_delete(&f.scope, ann.id, at(3)).await;
    assert!(matches!(result, Err(StoreError::LastAdmin)));
    f.store.user_delete(&f.scope, bob.id, at(4)).await.unwrap();
}

async fn is_alive(f: &Fixture, token: u8, when: i64) -> bool {
    let found = f.store.session_find(&[token; 32], at(when)).await;
    found.unwrap().is_some()
}

#[tokio::test]
async fn sessions_end() {
    let f = fixture().await;
    let ann = user(&f, "ann", Role::Admin).await;
    let bob = user(&f, "bob", Role::Viewer).await;
    for (who, token) in [(ann.id, 1), (ann.id, 2), (bob.id, 3), (bob.id, 4)] {
        session(&f, who, token).await;
    }
    let found = f.store.session_find(&[1; 32], at(99)).await.unwrap();
    let found = found.unwrap();
    assert_eq!((found.org, &found.user), (ORG_DEFAULT, &ann));
    assert!(!is_alive(&f, 1, 100).await);
    let touched = f.store.session_touch(&[1; 32], at(50), at(200)).await;
    touched.unwrap();
    assert!(is_alive(&f, 1, 100).await);

    let kept = Some(&[1; 32]);
    let set = f.store.user_set_password_hash(&f.scope, ann.id, "new", kept, at(51));
    set.await.unwrap();
    assert!(is_alive(&f, 1, 51).await && !is_alive(&f, 2, 51).await);
    assert!(f.store.session_delete(&[3; 32]).await.unwrap());
    assert!(!f.store.session_delete(&[3; 32]).await.unwrap());
    let disable = UserPatch { is_active: Some(false), ..UserPatch::default() };
    let updated = f.store.user_update(&f.scope, bob.id, &disable, at(52)).await;
    updated.unwrap();
    assert!(!is_alive(&f, 4, 52).await);
    assert_eq!(f.store.sessions_sweep(at(300)).await.unwrap(), 1);
}

#[tokio::test]
async fn keys_are_found_until_they_expire() {
    let f = fixture().await;
    let new = NewApiKey {
        name: name("ci"),
        key_hash: [7; 32],
        role: Role::Operator,
        permissions: Some("target.read".to_owned()),
        expires_at: Some(at(10)),
    };
    let key = f.store.api_key_create(&f.scope, &new, at(0)).await.unwrap();
    let found = f.store.api_key_find(&[7; 32], at(9)).await.unwrap();
    assert_eq!(found, Some((ORG_DEFAULT, key.clone())));
    assert_eq!(f.store.api_key_find(&[7; 32], at(10)).await.unwrap(), None);
    f.store.api_key_used(key.id, at(5)).await.unwrap();
    let listed = f.store.api_key_list(&f.scope).await.unwrap();
    assert_eq!(listed[0].last_used_at, Some(at(5)));
    f.store.api_key_delete(&f.scope, key.id, at(6)).await.unwrap();
    let result = f.store.api_key_delete(&f.scope, key.id, at(6)).await;
    assert!(matches!(result, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn every_change_is_audited_and_no_secret_is() {
    let f = fixture().await;
    let ann = user(&f, "ann", Role::Admin).await;
    let scope =
        Scope { org: ORG_DEFAULT, actor: Actor::User { id: ann.id, name: ann.name.clone() } };
    f.store.user_set_password_hash(&scope, ann.id, "secret-hash", None, at(1)).await.unwrap();
    let new = crate::new_target("t", "192.0.2.1");
    let target = f.store.target_create(&scope, &new, at(2));
    let target = target.await.unwrap().row;
    f.store.target_delete(&scope, target.id, at(3)).await.unwrap();
    let login = AuditEntry {
        action: "session.create",
        object_kind: "user",
        object_id: Some(ann.id.0),
        object_name: "ann",
        before: None,
        after: None,
    };
    f.store.audit_append(&scope, &login, at(4)).await.unwrap();
    let rows = f.store.audit_list(&f.scope, None, 3).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["session.create", "target.delete", "target.create"]);
    assert_eq!((rows[1].actor_kind.as_str(), rows[1].actor_name.as_str()), ("user", "ann"));
    assert_eq!(rows[1].before, rows[2].after);
    let older = f.store.audit_list(&f.scope, Some(rows[2].id), 10).await.unwrap();
    assert_eq!(older.len(), 2);
    assert!(!format!("{older:?}").contains("hash"));
    // Another organisation sees nothing of it.
    let other = Scope::system(model::OrgId(2));
    assert_eq!(f.store.audit_list(&other, None, 10).await.unwrap(), []);
}
