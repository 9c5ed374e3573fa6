//! Whether results are taken right now, and if not, why.
//!
//! 1 - A disk that the server writes to has only its reserve left, is read-only or gone: closed at
//!     once. What was accepted is still judged and stored.
//! 2 - The database has taken nothing for some seconds: closed, for what was accepted piles up.
//! 3 - Otherwise open. A log that fails refuses each batch by itself.
//!
//! Closed, a stream ends with a status that says to try again: agents keep what they have, and say
//! why. Nothing here reads a disk or a clock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::UtcMicros;
use tokio::sync::watch;

use crate::trouble::Trouble;

/// A shorter trouble of the database is waited out: agents need not hear of it.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// The gate. `None` while it is open.
#[derive(Debug)]
pub(crate) struct Intake {
    closed: watch::Sender<Option<Arc<str>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    disk: Option<String>,
    store: Option<String>,
    store_trouble: Trouble,
    closed: Trouble,
}

impl Default for Intake {
    fn default() -> Intake {
        Intake { closed: watch::Sender::new(None), state: Mutex::default() }
    }
}

impl Intake {
    /// Changes when the gate does.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.closed.subscribe()
    }

    pub(super) fn is_open(&self) -> bool {
        self.closed.borrow().is_none()
    }

    pub(super) fn disk(&self) -> Option<String> {
        self.lock().disk.clone()
    }

    pub(super) fn store(&self) -> Option<String> {
        self.lock().store.clone()
    }

    /// Takes what the disks are like now, once a second.
    pub(super) fn set_disk(&self, impediment: Option<String>, now: UtcMicros) {
        let mut state = self.lock();
        state.disk = impediment;
        self.settle(state, now);
    }

    /// Notes that storing failed; whether that is to be told now.
    pub(super) fn store_failed(&self, impediment: String, now: UtcMicros) -> bool {
        let mut state = self.lock();
        state.store = Some(impediment);
        let is_told = state.store_trouble.is_told(now);
        self.settle(state, now);
        is_told
    }

    /// Notes that storing works; how long it did not.
    pub(super) fn store_works(&self, now: UtcMicros) -> Option<Duration> {
        let mut state = self.lock();
        let lasted = state.store_trouble.end(now);
        if lasted.is_some() {
            state.store = None;
            self.settle(state, now);
        }
        lasted
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, now: UtcMicros) {
        let is_store_away =
            state.store_trouble.lasted(now).is_some_and(|lasted| STORE_PATIENCE <= lasted);
        let store = state.store.as_ref().filter(|_| is_store_away);
        let reason: Option<Arc<str>> =
            state.disk.as_ref().or(store).map(|text| Arc::from(text.as_str()));
        match &reason {
            Some(reason) if state.closed.is_told(now) => {
                tracing::error!(%reason, "no results are taken; agents keep them and try again");
            }
            Some(_) => (),
            None => {
                if let Some(lasted) = state.closed.end(now) {
                    tracing::info!(after_s = lasted.as_secs(), "results are taken again");
                }
            }
        }
        drop(state);
        self.closed.send_if_modified(|closed| {
            let is_turned = closed.is_some() != reason.is_some();
            *closed = reason;
            is_turned
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros(seconds * 1_000_000)
    }

    #[test]
    fn a_disk_closes_it_at_once_and_opens_it_again() {
        let intake = Intake::default();
        let mut seen = intake.subscribe();
        intake.set_disk(Some("full".to_owned()), at(0));
        assert!(!intake.is_open() && seen.has_changed().unwrap());
        assert_eq!(seen.borrow_and_update().as_deref(), Some("full"));
        intake.set_disk(Some("fuller".to_owned()), at(1));
        assert!(!seen.has_changed().unwrap(), "it is closed still");
        assert_eq!(seen.borrow().as_deref(), Some("fuller"));
        intake.set_disk(None, at(2));
        assert!(intake.is_open() && seen.has_changed().unwrap());
    }

    #[test]
    fn a_database_that_fails_for_some_seconds_closes_it() {
        let intake = Intake::default();
        assert!(intake.store_failed("no room".to_owned(), at(0)));
        assert!(!intake.store_failed("no room".to_owned(), at(4)), "it was told");
        assert!(intake.is_open());
        assert_eq!(intake.store().as_deref(), Some("no room"), "but it is seen at once");
        intake.set_disk(None, at(5));
        assert!(!intake.is_open());
        assert_eq!(intake.store_works(at(7)), Some(Duration::from_secs(7)));
        assert!(intake.is_open());
        assert_eq!((intake.store(), intake.store_works(at(8))), (None, None));
    }
}
