//! What of the history was found damaged since the start: told once each, counted, and skipped.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
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
}

impl Damage {
    pub(crate) fn note(&self, place: Place, why: Damaged) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() < PLACES_MAX && places.insert(place) {
            tracing::error!(reason = %why, ?place, "a part of the history is left out");
        }
    }

    pub(crate) fn places(&self) -> u64 {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(places.len()).unwrap_or(u64::MAX)
    }
}
