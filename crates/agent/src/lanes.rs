//! The two lanes of a stream: live batches, which are those of its own epoch, and the backlog.
//!
//! What is under way on each, and which batch goes next; the choice itself is [`wire::flow`]'s.
//! Pure but for the spool that it asks what there is: the time is passed in, nothing is sent here.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use model::Tick;
use wire::{
    flow::{self, Next, Offer},
    v1,
};

use crate::{
    pace::Pacer,
    spool::{Key, Spool},
};

/// Batches sent and not yet acknowledged: two round trips' worth on a long line.
const LIVE_BATCHES_MAX: usize = 64;
/// Their bytes: what a lost connection repeats at most.
const LIVE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Of the backlog fewer are under way at once: a live batch waits behind them in the connection.
const BACKLOG_BATCHES_MAX: usize = 16;
const BACKLOG_BYTES_MAX: u64 = 512 * 1024;
/// Of the batches a second that the server allows, this part (1 / 2) may be of the backlog: small
/// batches cost the server more than their bytes say.
const BACKLOG_SHARE: u32 = 2;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Send {
        key: Key,
        bytes: u64,
    },
    /// There is nothing, or an acknowledgement has to come first.
    Nothing,
    /// The connection has to take some frames first.
    Room,
    Later(Duration),
}

#[derive(Debug)]
pub(crate) struct Lanes {
    pacer: Pacer,
    batches_per_second: u32,
    /// Absent while the server wants nothing of the backlog.
    backlog_pacer: Option<Pacer>,
    /// Batches of this epoch and later are live.
    live_from: u64,
    live: Lane,
    backlog: Lane,
}

/// What was sent on one lane.
#[derive(Debug, Default)]
struct Lane {
    /// The batch that was sent last.
    cursor: Key,
    in_flight: BTreeMap<Key, u64>,
    in_flight_bytes: u64,
}

impl Lane {
    fn is_open(&self, batches_max: usize, bytes_max: u64) -> bool {
        self.in_flight.len() < batches_max && self.in_flight_bytes < bytes_max
    }

    fn settle(&mut self, keys: RangeInclusive<Key>) {
        let settled: Vec<Key> = self.in_flight.range(keys).map(|(key, _)| *key).collect();
        for key in settled {
            let bytes = self.in_flight.remove(&key).unwrap_or(0);
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        }
    }
}

impl Lanes {
    /// One lane, until they are parted: everything is live.
    pub(crate) fn new(welcome: &v1::Welcome, now: Tick) -> Lanes {
        let (batches, bytes) = (welcome.batches_per_second_max, welcome.bytes_per_second_max);
        let mut lanes = Lanes {
            pacer: Pacer::new(batches, bytes, now),
            batches_per_second: batches,
            backlog_pacer: None,
            live_from: 0,
            live: Lane::default(),
            backlog: Lane::default(),
        };
        lanes.pace_backlog(welcome.backlog_bytes_per_second_max, now);
        lanes
    }

    /// Parts the lanes: batches of `epoch` and later are live. Before anything is sent.
    ///
    /// Between whole epochs only: the server takes the batches of each in order.
    pub(crate) fn part(&mut self, epoch: u64) {
        self.live_from = epoch;
        self.live.cursor = (epoch, 0);
    }

    /// Lets the backlog use so many bytes a second; with 0 it waits.
    pub(crate) fn pace_backlog(&mut self, bytes_per_second: u64, now: Tick) {
        let batches = (self.batches_per_second / BACKLOG_SHARE).max(1);
        let pacer = Pacer::new(batches, bytes_per_second, now);
        self.backlog_pacer = (bytes_per_second != 0).then_some(pacer);
    }

    fn is_backlog(&self, key: Key) -> bool {
        key.0 < self.live_from
    }

    fn lane(&mut self, key: Key) -> &mut Lane {
        if self.is_backlog(key) { &mut self.backlog } else { &mut self.live }
    }

    /// Says what is to be done next.
    pub(crate) fn choose(&mut self, spool: &Spool, has_room: bool, now: Tick) -> Choice {
        let live = spool.next_after(self.live.cursor);
        let backlog =
            spool.next_after(self.backlog.cursor).filter(|(key, _)| self.is_backlog(*key));
        let backlog_pace = self.backlog_pacer.as_mut().map(|pacer| pacer.wait(now));
        let next = flow::next(&Offer {
            has_live: live.is_some(),
            has_backlog: backlog.is_some() && backlog_pace.is_some(),
            has_room,
            is_live_open: self.live.is_open(LIVE_BATCHES_MAX, LIVE_BYTES_MAX),
            is_backlog_open: self.backlog.is_open(BACKLOG_BATCHES_MAX, BACKLOG_BYTES_MAX),
            pace: self.pacer.wait(now),
            backlog_pace: backlog_pace.unwrap_or_default(),
        });
        let chosen = match next {
            Next::Live => live,
            Next::Backlog => backlog,
            Next::Nothing => None,
            Next::Room => return Choice::Room,
            Next::Later(wait) => return Choice::Later(wait),
        };
        chosen.map_or(Choice::Nothing, |(key, bytes)| Choice::Send { key, bytes })
    }

    /// Notes that a batch went out.
    pub(crate) fn note_sent(&mut self, key: Key, bytes: u64) {
        self.pacer.spend(bytes);
        if let Some(pacer) = self.backlog_pacer.as_mut().filter(|_| key.0 < self.live_from) {
            pacer.spend(bytes);
        }
        let lane = self.lane(key);
        lane.cursor = key;
        lane.in_flight.insert(key, bytes);
        lane.in_flight_bytes += bytes;
    }

    /// Goes on behind a batch that cannot be sent.
    pub(crate) fn skip(&mut self, key: Key) {
        self.lane(key).cursor = key;
    }

    /// The server has, or will never take, these batches.
    pub(crate) fn settle(&mut self, keys: RangeInclusive<Key>) {
        self.live.settle(keys.clone());
        self.backlog.settle(keys);
    }
}

#[cfg(test)]
mod tests;
