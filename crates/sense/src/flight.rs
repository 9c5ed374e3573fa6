//! The state of a round under way.
//!
//! Only the probes in the middle of a round need it, a few percent of all: so it lives in a pool of
//! its own and is handed from round to round. The pool grows to the most rounds that were ever
//! under way at once, and never allocates otherwise.

use model::{Confirm, NotAsked, Outcome, RoundFlags, Rtt, Tick, Tier};

/// The first packet index of the confirm burst.
pub(crate) const CONFIRM_FIRST: u8 = Tier::PACKETS_MAX;
/// Packet indices of a round and its confirm burst.
const INDICES: usize = (Tier::PACKETS_MAX + Tier::CONFIRM_PACKETS) as usize;
const CONFIRM_MASK: u32 = !((1 << CONFIRM_FIRST) - 1);

/// What the round waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The next packet of the round.
    Asking,
    /// The last replies of the round.
    Waiting,
    /// The next packet of the confirm burst.
    Confirming,
    /// The last replies of the confirm burst.
    Closing,
}

/// One round under way. See the module.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) due: Tick,
    /// When the next packet, or the last one, was or is due.
    pub(crate) packet_due: Tick,
    /// The prober's count of rounds: what the packets carry.
    pub(crate) round: u32,
    /// Which timing the round was started with: a new assignment does not change it half way.
    pub(crate) timing: u16,
    pub(crate) stage: Stage,
    /// The index of the next packet, or of the one whose fate is not known yet.
    pub(crate) next: u8,
    pub(crate) flags: RoundFlags,
    /// Why the first packet that did not leave did not.
    pub(crate) failure: Option<NotAsked>,
    /// A bit per packet index.
    sent: u32,
    received: u32,
    rtt_us_min: u32,
    rtt_us_max: u32,
    rtt_us_sum: u32,
    /// How much later than stamped each packet left, in microseconds.
    stamp_lag_us: [u16; INDICES],
}

/// What a reply was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Counted,
    Duplicate,
    Late,
    /// It answers a packet that never left: nobody honest sends it.
    Strange,
}

impl Flight {
    pub(crate) fn new(due: Tick, round: u32, timing: u16) -> Flight {
        Flight {
            due,
            packet_due: due,
            round,
            timing,
            stage: Stage::Asking,
            next: 0,
            flags: RoundFlags::default(),
            failure: None,
            sent: 0,
            received: 0,
            rtt_us_min: u32::MAX,
            rtt_us_max: 0,
            rtt_us_sum: 0,
            stamp_lag_us: [0; INDICES],
        }
    }

    /// Notes that a packet left, `stamp_lag_us` after the time it carries.
    pub(crate) fn mark_sent(&mut self, index: u8, stamp_lag_us: u64) {
        let lag = match u16::try_from(stamp_lag_us) {
            Ok(lag) => lag,
            Err(_) => {
                // Its round-trip time cannot be told any more: it says too much by the rest.
                self.flags = self.flags.with(RoundFlags::DOUBTFUL);
                u16::MAX
            }
        };
        if let Some(entry) = self.stamp_lag_us.get_mut(usize::from(index)) {
            *entry = lag;
            self.sent |= 1 << index;
        }
    }

    /// Takes a reply that was received `us` microseconds after the stamp of its packet.
    pub(crate) fn take_reply(&mut self, index: u8, us: u32, timeout_us: u32) -> Reply {
        let bit = 1_u32.checked_shl(u32::from(index)).unwrap_or(0);
        let Some(lag) = self.stamp_lag_us.get(usize::from(index)) else {
            return Reply::Strange;
        };
        if self.sent & bit == 0 {
            return Reply::Strange;
        }
        if self.received & bit != 0 {
            self.flags = self.flags.with(RoundFlags::DUPLICATE);
            return Reply::Duplicate;
        }
        // On one host a reply can be stamped before the send call returns.
        let rtt_us = us.saturating_sub(u32::from(*lag)).max(1);
        if timeout_us < rtt_us {
            return Reply::Late;
        }
        self.received |= bit;
        if index < CONFIRM_FIRST {
            self.rtt_us_min = self.rtt_us_min.min(rtt_us);
            self.rtt_us_max = self.rtt_us_max.max(rtt_us);
            self.rtt_us_sum = self.rtt_us_sum.saturating_add(rtt_us);
        }
        Reply::Counted
    }

    /// Packets of the round itself that left.
    pub(crate) fn sent(&self) -> u8 {
        count(self.sent & !CONFIRM_MASK)
    }

    /// Says whether packets left and none was answered; the confirm burst is not asked.
    pub(crate) fn is_lost(&self) -> bool {
        self.sent & !CONFIRM_MASK != 0 && self.received & !CONFIRM_MASK == 0
    }

    /// Says what the round learned.
    ///
    /// 1 - packets left: those that left and those that were answered count, no others;
    /// 2 - none left: the round did not ask, for the reason that the first packet met.
    pub(crate) fn outcome(&self) -> Outcome {
        let (sent, received) = (self.sent(), count(self.received & !CONFIRM_MASK));
        if sent == 0 {
            return Outcome::NotAsked(self.failure.unwrap_or(NotAsked::Socket));
        }
        let rtt = self.rtt_us_sum.checked_div(u32::from(received)).map(|us_mean| Rtt {
            us_min: self.rtt_us_min,
            us_mean,
            us_max: self.rtt_us_max,
        });
        let confirm = Confirm {
            sent: count(self.sent & CONFIRM_MASK),
            received: count(self.received & CONFIRM_MASK),
        };
        Outcome::Asked { sent, received, rtt, confirm }
    }
}

fn count(mask: u32) -> u8 {
    u8::try_from(mask.count_ones()).unwrap_or(u8::MAX)
}

/// The rounds under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    pool: Vec<Flight>,
    free: Vec<u32>,
}

impl Flights {
    pub(crate) fn get(&self, index: u32) -> Option<&Flight> {
        self.pool.get(index as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Flight> {
        self.pool.get_mut(index as usize)
    }

    pub(crate) fn start(&mut self, flight: Flight) -> u32 {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.pool.get_mut(index as usize)
        {
            *place = flight;
            return index;
        }
        let index = u32::try_from(self.pool.len()).unwrap_or(u32::MAX);
        self.pool.push(flight);
        index
    }

    /// Frees a round.
    pub(crate) fn end(&mut self, index: u32) {
        self.free.push(index);
    }

    /// Lists the timings in use, for their table to be tidied.
    pub(crate) fn timings(&self) -> impl Iterator<Item = u16> {
        self.pool.iter().map(|flight| flight.timing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_rounds_under_way_fit_into_a_small_host() {
        assert!(size_of::<Flight>() <= 104, "{}", size_of::<Flight>());
    }
}
