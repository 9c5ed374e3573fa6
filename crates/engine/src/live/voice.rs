//! Whether people are told of an incident while maintenance goes on.
//!
//! 1 - What opens or comes back inside of an open window is silent: it is an incident as any
//!     other, and nobody outside is told of it.
//! 2 - It stays silent as long as it is inside, whatever becomes of it.
//! 3 - Once no window that it is inside of is open, it has [`RETURN_US`] to come back. What then is
//!     still seen did not come back: that is told, of all of a window at once, and it goes on as
//!     any other.
//! 4 - One whose cause is not inside while its window is open is a fault beside the work: it is
//!     told at once.
//! 5 - What is over while it is silent is told to nobody. If it comes back later outside of any
//!     window, it is news: nobody knew it.
//! 6 - What people were told of is never silenced: neither what it becomes nor its all-clear.
//! 7 - Nothing of this is decided of what is not seen: after a restart, and while the monitor is
//!     blind, it waits.

use model::{MaintenanceId, UtcMicros};

use crate::rca::Change;

/// What is asked every half minute is heard twice within this, and what just came back is back.
pub const RETURN_US: i64 = 60_000_000;

/// That nobody is told of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Of which window.
    pub window: MaintenanceId,
    /// Since when it is not inside of an open one any more.
    pub over_since: Option<UtcMicros>,
}

impl Silence {
    pub fn of(window: MaintenanceId) -> Silence {
        Silence { window, over_since: None }
    }
}

/// How an incident stands to the windows at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub now: UtcMicros,
    /// It is inside of this open window.
    pub inside: Option<MaintenanceId>,
    /// The window that it is silent of is open, whatever that reaches.
    pub is_window_open: bool,
    /// There is evidence of it, and the monitor sees.
    pub is_seen: bool,
}

/// What people outside are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// What happened to it, if that is told at all.
    Speaks,
    /// Nothing.
    Silent,
    /// That there is an incident: they did not know it.
    AsNews,
    /// That it did not come back from the window.
    NotBack(MaintenanceId),
}

/// Decides, with what changed of an incident if anything did; `silence` becomes what it is then.
pub fn voice(silence: &mut Option<Silence>, change: Option<Change>, place: Place) -> Voice {
    let is_new = matches!(change, Some(Change::Opened | Change::Reopened));
    let Some(kept) = silence.as_mut() else {
        let window = place.inside.filter(|_| is_new);
        *silence = window.map(Silence::of);
        return if window.is_some() { Voice::Silent } else { Voice::Speaks };
    };
    if let Some(window) = place.inside {
        *kept = Silence::of(window);
        return Voice::Silent;
    }
    if matches!(change, Some(Change::Resolved | Change::Unasked | Change::Merged { .. })) {
        return Voice::Silent;
    }
    if place.is_window_open || is_new {
        if !place.is_seen && !is_new {
            return Voice::Silent;
        }
        *silence = None;
        return Voice::AsNews;
    }
    let since = *kept.over_since.get_or_insert(place.now);
    if !place.is_seen || place.now.0 - since.0 < RETURN_US {
        return Voice::Silent;
    }
    let window = kept.window;
    *silence = None;
    Voice::NotBack(window)
}
