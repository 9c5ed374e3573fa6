//! What of the history was found damaged since the start: told once each, counted, and skipped.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::chunks::Damaged;

/// Places that are remembered; beyond, they are as bad as all.
const PLACES_MAX: usize = 10_000;

/// Where damage was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Tail(i64),
    Chunk(i64),
}

#[derive(Debug, Default)]
pub(crate) struct Damage {
    places: Mutex<BTreeSet<Place>>,
    /// Chunks that nobody has looked at whether they can be made anew.
    fresh: Mutex<BTreeSet<i64>>,
    left_out: AtomicU64,
}

impl Damage {
    pub(crate) fn note(&self, place: Place, why: Damaged) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() < PLACES_MAX && places.insert(place) {
            tracing::error!(reason = %why, ?place, "a part of the history is left out");
            if let Place::Chunk(id) = place {
                self.keep_fresh(id);
            }
        }
    }

    pub(crate) fn keep_fresh(&self, chunk: i64) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(chunk);
    }

    pub(crate) fn take_fresh(&self) -> BTreeSet<i64> {
        std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets a place that is no more.
    pub(crate) fn mended(&self, place: Place) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(&place);
    }

    /// Notes samples for which no series could be made.
    pub(crate) fn leave_out(&self, samples: u64) {
        if samples != 0 && self.left_out.fetch_add(samples, Ordering::Relaxed) == 0 {
            tracing::error!("metrics are left out: there are as many series as may be");
        }
    }

    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    pub(crate) fn places(&self) -> u64 {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(places.len()).unwrap_or(u64::MAX)
    }
}
