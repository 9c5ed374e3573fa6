//! How people outside are told: the outbox is emptied into webhooks, one try after another.
//!
//! A message was stored with what it tells of before it comes here. It is sent at least once, with
//! the same id each time, so that a receiver that keeps ids takes it once; a crash between an
//! answer and its note sends it again. One message at a time goes to each webhook, and none
//! overtakes an earlier one of its subject. What failed is tried again with growing pauses for
//! about a day and then given up; it stays visible and can be sent again by hand.

pub(crate) mod message;
mod retry;
mod send;
mod sign;

use std::{collections::BTreeSet, time::Duration};

use model::WebhookId;
use store::{DeliveryNext, DeliveryTry, DueDelivery, Scope, Store, StoreError};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Address,
    metrics::Metrics,
    secrets::{Secrets, SecretsError, random},
};

pub(crate) use send::Sender;
pub(crate) use sign::Key;

/// How soon a message that was stored is on its way.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Messages on their way at once, each to another webhook.
const UNDER_WAY_MAX: u32 = 64;
/// What sealed addresses are bound to.
const SEALED_CONTEXT: &str = "webhook";

/// Where messages go and what they are signed with: what is sealed in the database.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) key: Key,
}

impl Endpoint {
    /// Seals the key and, after a line feed, the address: neither has one.
    pub(crate) fn seal(&self, secrets: &Secrets) -> Result<Vec<u8>, SecretsError> {
        let plain = format!("{}\n{}", self.key.to_text(), self.address.as_str());
        secrets.seal(SEALED_CONTEXT, plain.as_bytes())
    }

    pub(crate) fn open(secrets: &Secrets, sealed: &[u8]) -> Result<Endpoint, SecretsError> {
        let plain = secrets.open(SEALED_CONTEXT, sealed)?;
        let read = || {
            let (key, address) = str::from_utf8(&plain).ok()?.split_once('\n')?;
            Some(Endpoint { address: Address::parse(address).ok()?, key: Key::parse(key)? })
        };
        read().ok_or(SecretsError::Open { context: SEALED_CONTEXT })
    }
}

/// Empties the outbox. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    pub(crate) store: Store,
    pub(crate) secrets: Secrets,
    pub(crate) clock: Clock,
    pub(crate) sender: Sender,
}

impl Notifier {
    /// Sends whatever is due until `stop`. What was under way then is sent again after the start.
    pub(crate) async fn run(self, metrics: &Metrics, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        let mut busy: BTreeSet<WebhookId> = BTreeSet::new();
        let mut is_behind = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(done) = under_way.join_next() => {
                    // One that panicked is due still, and its webhook is not busy any more.
                    match done {
                        Ok((webhook, noted)) => {
                            busy.remove(&webhook);
                            note(metrics, &mut is_behind, noted);
                        }
                        Err(_) => busy.clear(),
                    }
                }
                _ = look.tick() => (),
            }
            let due = self.store.deliveries_due(self.clock.now(), UNDER_WAY_MAX).await;
            let due = match due {
                Ok(due) => due,
                Err(error) => {
                    note(metrics, &mut is_behind, Err(error));
                    continue;
                }
            };
            for due in due {
                if busy.insert(due.webhook) {
                    let (notifier, webhook) = (self.clone(), due.webhook);
                    let panics = metrics.panics.clone();
                    under_way.spawn(async move {
                        let tried = panics.catch("notify", notifier.deliver(&due));
                        (webhook, tried.await.unwrap_or(Ok(false)))
                    });
                }
            }
        }
    }

    /// Tries one delivery and notes what became of it; whether it was taken.
    async fn deliver(&self, due: &DueDelivery) -> Result<bool, StoreError> {
        let done = self.attempt(due).await;
        let next = match (&done.reason, done.status) {
            (None, _) => DeliveryNext::Sent,
            (Some(_), Some(GONE)) => DeliveryNext::Gone,
            (Some(_), _) => {
                let dice = random::<1>().map_or(u8::MAX, |[dice]| dice);
                match retry::after(due.tries, done.wait, dice) {
                    Some(pause) => DeliveryNext::Again { at: self.clock.now() + pause },
                    None => DeliveryNext::Dead,
                }
            }
        };
        self.note(due, &done, next).await?;
        Ok(next == DeliveryNext::Sent)
    }

    /// Tries one delivery now and once: somebody waits for what becomes of it.
    pub(crate) async fn deliver_once(&self, due: &DueDelivery) -> Result<(), StoreError> {
        let done = self.attempt(due).await;
        let next = if done.reason.is_none() { DeliveryNext::Sent } else { DeliveryNext::Dead };
        self.note(due, &done, next).await
    }

    async fn attempt(&self, due: &DueDelivery) -> send::Done {
        let at = self.clock.now();
        let mut done = match Endpoint::open(&self.secrets, &due.sealed) {
            Ok(endpoint) => {
                self.sender.send(&endpoint, &due.message.key, &due.message.body, at).await
            }
            Err(error) => send::Done::failed(error.to_string()),
        };
        done.took = self.clock.now().since(at);
        done
    }

    async fn note(
        &self,
        due: &DueDelivery,
        done: &send::Done,
        next: DeliveryNext,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (webhook, host) = (due.webhook.0, &due.host);
        if let Some(reason) = &done.reason {
            let (message, tries) = (&due.message.key, due.tries + 1);
            tracing::warn!(webhook, %host, %message, tries, %reason, "a message was not delivered");
        }
        let tried = DeliveryTry {
            at: now - done.took,
            took_us: u64::try_from(done.took.as_micros()).unwrap_or(u64::MAX),
            status: done.status,
            reason: done.reason.clone(),
        };
        let scope = Scope::system(due.org);
        self.store.delivery_tried(&scope, due.id, &tried, next, now).await
    }
}

/// `410 Gone`: the receiver wants no more.
const GONE: u16 = 410;

/// Counts what became of a try, and says once that the outbox cannot be read or written.
fn note(metrics: &Metrics, is_behind: &mut bool, noted: Result<bool, StoreError>) {
    match noted {
        Ok(is_sent) => {
            *is_behind = false;
            let counter = if is_sent { &metrics.messages_sent } else { &metrics.message_failures };
            counter.inc();
        }
        Err(error) => {
            if !*is_behind {
                let error = crate::chain(&error);
                tracing::warn!(%error, "messages wait: the outbox cannot be used");
            }
            *is_behind = true;
        }
    }
}
