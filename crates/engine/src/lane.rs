//! What is kept of a late stream, of an agent and of each of its pairs, while it lasts.
//!
//! How rounds that come late change it, and what they revise, is `late`'s business.

use std::collections::BTreeSet;

use model::{Minute, ProbeId, Round, UtcMicros, Verdict};
use serde::{Deserialize, Serialize};

use crate::{
    rules::{MINUTE_US, SECOND_US, after},
    sight::Sight,
    watch::Watch,
};

/// A lane ends when it has heard nothing for this long: the agent has caught up.
const LANE_IDLE_US: i64 = 60 * SECOND_US;

/// Later than any: no minute is to be revised.
const NO_MINUTE: Minute = Minute(i64::MAX / MINUTE_US);

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
    /// It has judged a round.
    pub(crate) has_heard: bool,
    /// A round that began before its agent was heard again and came before the backlog: it is
    /// counted, and judged when the stream has come to it.
    pub(crate) ahead: Option<Round>,
}

/// On which way a round of the past came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Too late for live verdicts.
    Late,
    /// In time, and news to the live verdict as well.
    Live,
}

impl Late {
    pub(crate) fn new(watch: Watch, held_from: UtcMicros) -> Late {
        Late { watch, held_from, unrevised: NO_MINUTE, has_heard: false, ahead: None }
    }

    /// Goes on from a live watch. That it knew nothing was noted then.
    pub(crate) fn resumed(watch: &Watch) -> Late {
        let (last_at, until) = (watch.last_at(), watch.evidence_until());
        let watch = watch.resumed();
        let is_known = watch.verdict() != Verdict::Unknown;
        Late::new(watch, if is_known { last_at } else { last_at.max(until) })
    }
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
