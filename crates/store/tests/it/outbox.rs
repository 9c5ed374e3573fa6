//! Messages and their way to webhooks.

use model::{UtcMicros, WebhookId};
use store::{
    DELIVERIES_DUE_MAX, DeliveryNext, DeliveryState, DeliveryTry, NewMessage, PAGE_ROWS_MAX,
    StoreError, WEBHOOKS_MAX, WebhookDraft, WebhookRow,
};

use crate::{Fixture, at, fixture, name};

fn draft(called: &str) -> WebhookDraft {
    WebhookDraft {
        name: name(called),
        host: "https://noc.example".to_owned(),
        sealed: vec![7; 40],
        is_active: true,
    }
}

fn message(key: &str, subject: &str) -> NewMessage {
    NewMessage {
        key: key.to_owned(),
        kind: "incident.opened".to_owned(),
        subject: subject.to_owned(),
        body: format!("{{\"key\":\"{key}\"}}"),
    }
}

async fn webhook(f: &Fixture, called: &str) -> WebhookRow {
    f.store.webhook_create(&f.scope, &draft(called), at(0)).await.unwrap()
}

/// Keys of what is to be sent at a moment.
async fn due(f: &Fixture, now: UtcMicros) -> Vec<(WebhookId, String)> {
    let due = f.store.deliveries_due(now, 100).await.unwrap();
    due.into_iter().map(|due| (due.webhook, due.message.key)).collect()
}

/// One try of whatever is to be sent, with the same end for all.
async fn tried(f: &Fixture, now: UtcMicros, next: DeliveryNext) {
    let is_sent = next == DeliveryNext::Sent;
    let done = DeliveryTry {
        at: now,
        took_us: 1_500,
        status: is_sent.then_some(200),
        reason: (!is_sent).then(|| "no answer".to_owned()),
    };
    for due in f.store.deliveries_due(now, 100).await.unwrap() {
        f.store.delivery_tried(&f.scope, due.id, &done, next, now).await.unwrap();
    }
}

async fn states(f: &Fixture, of: WebhookId) -> Vec<(String, DeliveryState)> {
    let rows = f.store.delivery_list(&f.scope, of, None, (None, 100)).await.unwrap();
    rows.into_iter().rev().map(|row| (row.key, row.state)).collect()
}

#[tokio::test]
async fn a_message_goes_once_to_each_webhook_that_is_on() {
    let f = fixture().await;
    let (noc, off) = (webhook(&f, "noc").await, webhook(&f, "off").await);
    let switched = WebhookDraft { is_active: false, ..draft("off") };
    f.store.webhook_update(&f.scope, off.id, &switched, at(1)).await.unwrap();
    assert!(f.store.message_put(&f.scope, &message("a", "1"), at(2)).await.unwrap());
    assert!(!f.store.message_put(&f.scope, &message("a", "1"), at(3)).await.unwrap());
    assert_eq!(due(&f, at(2)).await, [(noc.id, "a".to_owned())]);
    tried(&f, at(4), DeliveryNext::Sent).await;
    assert_eq!(due(&f, at(999)).await, []);
    assert_eq!(states(&f, noc.id).await, [("a".to_owned(), DeliveryState::Sent)]);
    assert_eq!(states(&f, off.id).await, []);
}

#[tokio::test]
async fn what_fails_waits_and_keeps_its_order_within_its_subject_alone() {
    let f = fixture().await;
    let noc = webhook(&f, "noc").await;
    f.store.message_put(&f.scope, &message("a opened", "a"), at(1)).await.unwrap();
    tried(&f, at(1), DeliveryNext::Again { at: at(60) }).await;
    f.store.message_put(&f.scope, &message("a resolved", "a"), at(2)).await.unwrap();
    f.store.message_put(&f.scope, &message("b opened", "b"), at(3)).await.unwrap();
    // The end of `a` does not overtake its beginning; `b` has nothing to do with it.
    assert_eq!(due(&f, at(4)).await, [(noc.id, "b opened".to_owned())]);
    tried(&f, at(4), DeliveryNext::Sent).await;
    assert_eq!(due(&f, at(5)).await, []);
    assert_eq!(due(&f, at(60)).await, [(noc.id, "a opened".to_owned())]);
    tried(&f, at(60), DeliveryNext::Dead).await;
    assert_eq!(due(&f, at(61)).await, [(noc.id, "a resolved".to_owned())]);
    tried(&f, at(61), DeliveryNext::Sent).await;
    let all = states(&f, noc.id).await;
    let all: Vec<_> = all.iter().map(|(key, state)| (key.as_str(), state.as_str())).collect();
    assert_eq!(all, [("a opened", "dead"), ("a resolved", "sent"), ("b opened", "sent")]);
}

#[tokio::test]
async fn what_was_given_up_is_sent_again_when_somebody_asks_and_every_try_is_kept() {
    let f = fixture().await;
    let noc = webhook(&f, "noc").await;
    f.store.message_put(&f.scope, &message("a", "a"), at(1)).await.unwrap();
    tried(&f, at(1), DeliveryNext::Again { at: at(2) }).await;
    tried(&f, at(2), DeliveryNext::Dead).await;
    let rows = f.store.delivery_list(&f.scope, noc.id, None, (None, 1)).await.unwrap();
    let id = rows[0].id;
    assert_eq!(rows[0].reason.as_deref(), Some("no answer"));
    f.store.delivery_again(&f.scope, id, at(3)).await.unwrap();
    let again = f.store.deliveries_due(at(3), 9).await.unwrap();
    assert_eq!((again[0].tries, &again[0].message), (0, &message("a", "a")));
    tried(&f, at(3), DeliveryNext::Sent).await;
    let row = f.store.delivery_get(&f.scope, id).await.unwrap();
    assert_eq!((row.state, row.reason, row.tries_total), (DeliveryState::Sent, None, 3));
    let statuses: Vec<_> = row.tries.iter().map(|one| (one.at, one.status)).collect();
    assert_eq!(statuses, [(at(1), None), (at(2), None), (at(3), Some(200))]);
}

#[tokio::test]
async fn a_webhook_that_is_off_or_gone_gets_nothing_that_waited() {
    let f = fixture().await;
    let (noc, gone) = (webhook(&f, "noc").await, webhook(&f, "gone").await);
    f.store.message_put(&f.scope, &message("a", "a"), at(1)).await.unwrap();
    let switched = WebhookDraft { is_active: false, ..draft("noc") };
    f.store.webhook_update(&f.scope, noc.id, &switched, at(2)).await.unwrap();
    assert_eq!(due(&f, at(3)).await, [(gone.id, "a".to_owned())]);
    tried(&f, at(3), DeliveryNext::Gone).await;
    assert!(!f.store.webhook_get(&f.scope, gone.id).await.unwrap().is_active);
    let rows = f.store.delivery_list(&f.scope, noc.id, None, (None, 1)).await.unwrap();
    assert_eq!(rows[0].reason.as_deref(), Some("the webhook was switched off"));
    let asked = f.store.delivery_again(&f.scope, rows[0].id, at(4)).await;
    assert!(matches!(asked, Err(StoreError::Off { what: "webhook" })), "{asked:?}");
    f.store.webhook_delete(&f.scope, noc.id, at(5)).await.unwrap();
    let found = f.store.delivery_get(&f.scope, rows[0].id).await;
    assert!(matches!(found, Err(StoreError::NotFound { what: "delivery" })), "{found:?}");
}

#[tokio::test]
async fn too_many_that_wait_cost_the_oldest() {
    let f = fixture().await;
    let noc = webhook(&f, "noc").await;
    for number in 0..=DELIVERIES_DUE_MAX {
        let key = number.to_string();
        f.store.message_put(&f.scope, &message(&key, "one"), at(1)).await.unwrap();
    }
    let counts = f.store.delivery_counts(&f.scope).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|count| (count.state, count.count)).collect();
    let max = u64::from(DELIVERIES_DUE_MAX);
    assert_eq!(counts, [(DeliveryState::Dead, 1), (DeliveryState::Due, max)]);
    assert_eq!(due(&f, at(2)).await, [(noc.id, "1".to_owned())]);
}

#[tokio::test]
async fn a_test_goes_to_one_webhook_and_old_messages_are_forgotten() {
    let f = fixture().await;
    let (noc, _) = (webhook(&f, "noc").await, webhook(&f, "other").await);
    let sent = message("test", "test");
    let id = f.store.message_put_to(&f.scope, noc.id, &sent, (at(1), at(30))).await.unwrap();
    assert_eq!(due(&f, at(29)).await, []);
    assert_eq!(due(&f, at(30)).await, [(noc.id, "test".to_owned())]);
    assert_eq!(f.store.delivery_due(&f.scope, id).await.unwrap().message, sent);
    let [mut test, mut told] = [message("test 2", "test 2"), message("one", "one")];
    (test.kind, told.kind) = ("test".to_owned(), "incident.opened".to_owned());
    for (sent, at_s) in [(test, 1), (told, 1)] {
        let times = (at(at_s), at(at_s));
        let id = f.store.message_put_to(&f.scope, noc.id, &sent, times).await.unwrap();
        let failed = DeliveryTry { at: at(2), took_us: 1, status: None, reason: None };
        let next = DeliveryNext::Dead;
        f.store.delivery_tried(&f.scope, id, &failed, next, at(2)).await.unwrap();
    }
    let counts = f.store.delivery_counts(&f.scope).await.unwrap();
    let dead = counts.iter().find(|count| count.state == DeliveryState::Dead).unwrap();
    assert_eq!((dead.count, dead.since, dead.at), (1, at(1), at(2)), "no test is missed");
    assert_eq!(f.store.messages_sweep(at(1)).await.unwrap(), 0);
    assert_eq!(f.store.messages_sweep(at(2)).await.unwrap(), 3);
    assert_eq!(states(&f, noc.id).await, []);
}

#[tokio::test]
async fn webhooks_have_names_of_their_own_and_are_few() {
    let f = fixture().await;
    for number in 0..WEBHOOKS_MAX {
        webhook(&f, &format!("w{number:02}")).await;
    }
    let more = f.store.webhook_create(&f.scope, &draft("more"), at(0)).await;
    assert!(matches!(more, Err(StoreError::TooMany { what: "webhooks", .. })), "{more:?}");
    let all = f.store.webhook_list(&f.scope).await.unwrap();
    assert_eq!(all.len(), WEBHOOKS_MAX);
    let taken = f.store.webhook_update(&f.scope, all[0].id, &draft("w01"), at(1)).await;
    assert!(matches!(taken, Err(StoreError::NameTaken { field: "name" })), "{taken:?}");
}

/// The largest page that may be asked for, over one row more than it holds: the row that tells that
/// another page follows is there, and the next page has what is left.
#[tokio::test]
async fn a_full_page_of_deliveries_says_whether_there_are_more() {
    let f = fixture().await;
    let noc = webhook(&f, "noc").await;
    let count = PAGE_ROWS_MAX as usize + 1;
    for n in 0..count {
        f.store.message_put(&f.scope, &message(&format!("m{n}"), "a"), at(1)).await.unwrap();
    }
    let page = async |before| {
        let page = (before, PAGE_ROWS_MAX + 1);
        let rows = f.store.delivery_list(&f.scope, noc.id, None, page).await.unwrap();
        rows.iter().map(|row| row.id).collect::<Vec<u64>>()
    };
    let first = page(None).await;
    assert_eq!(first.len(), count, "one more than a page holds");
    let rest = page(Some(first[count - 2])).await;
    assert_eq!(rest, first[count - 1..], "and nothing twice");
    assert!(page(Some(rest[0])).await.is_empty());
}
