//! The way between an agent and the server: one ordered stream, which delays, breaks and repeats.

use std::collections::VecDeque;

use model::{Capabilities, ProbeId};

use crate::rng::Rng;

/// A batch as the agent keeps it until it is acknowledged: the bytes of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpooledBatch {
    pub epoch: u64,
    pub seq: u64,
    pub boot: u32,
    pub closed_tick_us: u64,
    pub closed_wall_us: i64,
    pub payload_zstd: Vec<u8>,
    /// Not on the wire: how wrong the wall clock was, for the oracle.
    pub wall_error_us: i64,
    /// Not on the wire: what the oracle counts.
    pub packets: Vec<(ProbeId, u64)>,
}

/// What goes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Hello { boot: u32, tick_us: u64, wall_us: i64, capabilities: Capabilities },
    Heartbeat { boot: u32, tick_us: u64, wall_us: i64 },
    Batch(SpooledBatch),
}

/// Frames under way; a stream that carries more has lost its other end.
pub(crate) const UNDER_WAY_MAX: usize = 50_000;
const DELAY_US: u64 = 20_000;
const ROUGH_DELAY_US_MAX: u64 = 3_000_000;
/// Of the frames on a rough stream, these break it; as many come twice.
const ROUGH_BREAK_PPM: u32 = 50_000;

#[derive(Debug)]
pub(crate) struct Uplink {
    rng: Rng,
    /// Arrival time and frame, in order.
    under_way: VecDeque<(u64, Frame)>,
}

impl Uplink {
    pub(crate) fn new(rng: Rng) -> Uplink {
        Uplink { rng, under_way: VecDeque::new() }
    }

    /// Sends a frame. Returns false if the stream broke over it: the frame is lost.
    pub(crate) fn send(&mut self, frame: Frame, is_rough: bool, now_us: u64) -> bool {
        if is_rough && self.rng.chance_ppm(ROUGH_BREAK_PPM) {
            return false;
        }
        if UNDER_WAY_MAX <= self.under_way.len() {
            return false;
        }
        let extra_us = if is_rough { self.rng.between(0, ROUGH_DELAY_US_MAX) } else { 0 };
        let last_us = self.under_way.back().map_or(0, |&(at_us, _)| at_us);
        let arrives_us = (now_us + DELAY_US + extra_us).max(last_us);
        if is_rough && self.rng.chance_ppm(ROUGH_BREAK_PPM) {
            self.under_way.push_back((arrives_us, frame.clone()));
        }
        self.under_way.push_back((arrives_us, frame));
        true
    }

    /// The stream is gone, with all that was in it.
    pub(crate) fn cut(&mut self) {
        self.under_way.clear();
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.under_way.front().map(|&(at_us, _)| at_us)
    }

    pub(crate) fn poll_arrival(&mut self, now_us: u64) -> Option<Frame> {
        match self.under_way.front() {
            Some(&(at_us, _)) if at_us <= now_us => self.under_way.pop_front().map(|(_, f)| f),
            Some(_) | None => None,
        }
    }
}
