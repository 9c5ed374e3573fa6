//! What is kept of a late stream, of an agent and of each of its pairs, while it lasts.
//!
//! How rounds that come late change it, and what they revise, is `late`'s business.

use std::collections::BTreeSet;

use model::{Minute, ProbeId, UtcMicros};
use serde::{Deserialize, Serialize};

use crate::{
    rules::{SECOND_US, after},
    sight::Sight,
    watch::Watch,
};

/// A lane ends when it has heard nothing for this long: the agent has caught up.
const LANE_IDLE_US: i64 = 60 * SECOND_US;

/// The late stream of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) sight: Sight,
    pub(crate) is_blind: bool,
    /// The time that the stream has come to.
    pub(crate) now: UtcMicros,
    pub(crate) stepped_at: UtcMicros,
    /// When, by the server's clock, it last heard something.
    pub(crate) fed_at: UtcMicros,
    /// Probes with a late watch: at most what is assigned to the agent.
    pub(crate) members: BTreeSet<ProbeId>,
    pub(crate) waiting: BTreeSet<ProbeId>,
    /// Members that were heard since minutes were last revised.
    pub(crate) touched: BTreeSet<ProbeId>,
}

/// The late stream of one pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Late {
    pub(crate) watch: Watch,
    /// Up to here the verdicts it held are noted in the minutes.
    pub(crate) held_from: UtcMicros,
    /// The oldest minute that it changed and that is not revised yet.
    pub(crate) unrevised: Minute,
}

impl Lane {
    pub(crate) fn new(live: &Sight, at: UtcMicros) -> Lane {
        Lane {
            sight: live.for_past(at),
            is_blind: false,
            now: at,
            stepped_at: at,
            fed_at: at,
            members: BTreeSet::new(),
            waiting: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    pub(crate) fn forget_probe(&mut self, id: ProbeId) {
        self.members.remove(&id);
        self.waiting.remove(&id);
        self.touched.remove(&id);
    }

    /// When it is to be looked at again, unless it hears something before.
    pub(crate) fn due_at(&self) -> UtcMicros {
        after(self.fed_at, LANE_IDLE_US)
    }

    pub(crate) fn feed(&mut self, at: UtcMicros, now: UtcMicros) {
        self.now = self.now.max(at);
        self.fed_at = now;
    }

    pub(crate) fn notice_sight(&mut self, before: Option<UtcMicros>) {
        if self.is_blind && before < self.sight.seen_at() {
            self.is_blind = false;
            self.sight.regain();
        }
    }
}
