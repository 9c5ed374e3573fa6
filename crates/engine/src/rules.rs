//! The fixed times of judging, and a tier's policy in the form the hot path reads.
//!
//! Everything is in microseconds as `i64`, because a round costs a few dozen nanoseconds and
//! `Duration` arithmetic would be a third of that. It decides nothing.

use std::time::Duration;

use model::{Strategy, Tier, UtcMicros};
use serde::{Deserialize, Serialize};

use crate::defect::Defects;

pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;

/// A time before everything: "never yet".
pub(crate) const NEVER: UtcMicros = UtcMicros(i64::MIN);

/// Three heartbeats of 5 s: an agent that missed them is offline.
pub(crate) const OFFLINE_AFTER_US: i64 = 15 * SECOND_US;

/// A heartbeat of 5 s and a second for its way. With none for longer, nobody knows whether the
/// agent is there.
pub(crate) const HEARTBEAT_US: i64 = 6 * SECOND_US;

/// How much longer than its evidence speaks a pair may be silent: three heartbeats, so that an
/// agent that is really gone is called offline and not silent.
pub(crate) const GRACE_US: i64 = 15 * SECOND_US;

/// Gateway and witnesses are asked one packet this often.
pub(crate) const WITNESS_INTERVAL_US: i64 = 5 * SECOND_US;
/// How long their reply is waited for.
pub(crate) const WITNESS_SPAN_US: i64 = SECOND_US;

/// Rounds are flushed to the server at least this often.
pub(crate) const FLUSH_US: i64 = SECOND_US;

/// A round joins the evidence before it if it starts at most this long after its end: placing an
/// agent's ticks on the server's clock is not exact, and after a restart of the server it is off
/// by a flush and the network. At most half of what a missing round would leave.
const JOIN_US_MAX: i64 = 5 * SECOND_US;

/// A minute is closed at least this long after its end: the longest ordinary way of a round is its
/// span, its confirm burst, a flush and the network, 5 s with the default tier.
const CLOSE_DELAY_US_MIN: i64 = 10 * SECOND_US;
/// Below a minute, so that two open minutes suffice. The longest legal round and confirm burst
/// take 41 s.
const CLOSE_DELAY_US_MAX: i64 = 50 * SECOND_US;

/// Tiers up to this interval are there for fast detection; see [`crate::loss::Pool`].
const FAST_INTERVAL_US: i64 = 10 * SECOND_US;

/// A tier's policy, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
    pub(crate) interval_us: i64,
    /// How far back the loss window reaches when nothing is missing.
    pub(crate) window_us: i64,
    /// How long a round speaks, from its start.
    pub(crate) evidence_us: i64,
    /// A later round joins the evidence before it across a gap up to this.
    pub(crate) join_us: i64,
    pub(crate) timeout_us: i64,
    /// From the first packet to the end of the last one's timeout.
    pub(crate) round_us: i64,
    /// The same of a confirm burst, which starts when the round ends.
    pub(crate) confirm_us: i64,
    /// From the first packet of a round to its last.
    pub(crate) sending_us: i64,
    /// The same of a confirm burst.
    pub(crate) confirm_sending_us: i64,
    pub(crate) close_delay_us: i64,
    pub(crate) payload_bytes: u16,
    pub(crate) packets: u8,
    pub(crate) lost_raise: u8,
    pub(crate) lost_clear: u8,
    pub(crate) rtt_us_raise: u32,
    pub(crate) rtt_us_clear: u32,
    /// `None` is every agent.
    pub(crate) agent_count: Option<u8>,
    #[serde(skip)]
    pub(crate) defects: Defects,
}

fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

impl Rules {
    pub(crate) fn new(tier: &Tier) -> Rules {
        let (round_us, confirm_us) = (us(tier.round_span()), us(tier.confirm_span()));
        let (timeout_us, gap_us) = (us(tier.timeout), us(tier.gap));
        let journey_us = round_us + confirm_us + 2 * FLUSH_US;
        Rules {
            interval_us: us(tier.interval),
            window_us: us(tier.interval) * i64::from(Tier::LOSS_WINDOW_PACKETS)
                / i64::from(tier.packets.max(1)),
            evidence_us: us(tier.evidence_span()),
            join_us: ((us(tier.interval) - timeout_us) / 2).clamp(0, JOIN_US_MAX),
            timeout_us,
            round_us,
            confirm_us,
            sending_us: round_us - timeout_us,
            confirm_sending_us: gap_us * (i64::from(Tier::CONFIRM_PACKETS) - 1),
            close_delay_us: journey_us.clamp(CLOSE_DELAY_US_MIN, CLOSE_DELAY_US_MAX),
            payload_bytes: tier.payload_bytes,
            packets: tier.packets,
            lost_raise: tier.loss.lost_raise,
            lost_clear: tier.loss.lost_clear,
            rtt_us_raise: tier.rtt.us_raise,
            rtt_us_clear: tier.rtt.us_clear,
            agent_count: match tier.strategy {
                Strategy::All => None,
                Strategy::Count(count) => Some(count),
            },
            defects: Defects::default(),
        }
    }

    /// The rules of [`Tier::standard`], for a probe whose tier nobody has named yet.
    pub(crate) fn standard() -> Rules {
        Rules {
            interval_us: 30 * SECOND_US,
            window_us: 600 * SECOND_US,
            evidence_us: 31 * SECOND_US,
            join_us: JOIN_US_MAX,
            timeout_us: SECOND_US,
            round_us: 1_800_000,
            confirm_us: 1_400_000,
            sending_us: 800_000,
            confirm_sending_us: 400_000,
            close_delay_us: CLOSE_DELAY_US_MIN,
            payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
            packets: Tier::PACKETS_DEFAULT,
            lost_raise: 7,
            lost_clear: 2,
            rtt_us_raise: 150_000,
            rtt_us_clear: 120_000,
            agent_count: None,
            defects: Defects::default(),
        }
    }

    pub(crate) fn strategy(&self) -> Strategy {
        self.agent_count.map_or(Strategy::All, Strategy::Count)
    }

    pub(crate) fn is_fast(&self) -> bool {
        self.interval_us <= FAST_INTERVAL_US
    }

    /// How long after the start of a round it is too late for live verdicts.
    pub(crate) fn late_after_us(&self) -> i64 {
        self.evidence_us + GRACE_US
    }
}

/// Adds microseconds without wrapping.
pub(crate) fn after(at: UtcMicros, us: i64) -> UtcMicros {
    UtcMicros(at.0.saturating_add(us))
}

/// How many microseconds `at` is after `earlier`; negative if it is before.
pub(crate) fn us_since(at: UtcMicros, earlier: UtcMicros) -> i64 {
    at.0.saturating_sub(earlier.0)
}

#[cfg(test)]
mod tests {
    use model::{Name, TierId};

    use super::*;

    #[test]
    fn the_standard_rules_are_those_of_the_standard_tier() {
        let tier = Tier::standard(TierId(1), Name::parse("standard").expect("a good name"));
        assert_eq!(Rules::new(&tier), Rules::standard());
    }
}
