//! Tiers: how a group of targets is watched.

use std::time::Duration;

use crate::{Name, TierId};

/// A monitoring policy: how often, with how many packets, by which agents, judged how.
///
/// Invariant: the ranges of [`Tier::check`] hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    pub id: TierId,
    pub name: Name,
    /// Time between the starts of two rounds of one probe. 5 s to 1 h, default 30 s.
    pub interval: Duration,
    /// Packets per round. 1 to 20, default 5.
    pub packets: u8,
    /// Time between two packets of a round. 20 ms to 1 s, default 200 ms.
    pub gap: Duration,
    /// How long a packet's reply is waited for. 100 ms to 10 s, default 1 s.
    pub timeout: Duration,
    /// Bytes of ICMP payload. 24 (the key and stamps) to 1,472, default 56.
    pub payload_bytes: u16,
    pub strategy: Strategy,
    pub loss: LossRule,
    pub rtt: RttRule,
}

/// Which agents ask the targets of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every capable agent.
    All,
    /// This many capable agents for each target, chosen by rendezvous hashing.
    Count(u8),
}

/// When lost packets make a pair Degraded. Judged over the last 100 packets, never on one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossRule {
    /// This many or more lost of the last 100 packets raise. 1 to 100, default 7.
    pub lost_raise: u8,
    /// This many or fewer clear. Below `lost_raise`, default 2.
    pub lost_clear: u8,
}

/// When slow replies make a pair Degraded. Judged on a round's mean, 2 of the last 3 rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RttRule {
    /// Above this raises. 1 ms to 60 s, default 150 ms.
    pub us_raise: u32,
    /// At or below this clears. From 1 ms, at most `us_raise`, default 120 ms.
    pub us_clear: u32,
}

/// Which range of a [`Tier`] is broken: the field, what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{must}")]
pub struct TierError {
    pub field: &'static str,
    pub must: &'static str,
}

impl Tier {
    pub const INTERVAL_MIN: Duration = Duration::from_secs(5);
    pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
    pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(30);
    pub const PACKETS_MAX: u8 = 20;
    pub const PACKETS_DEFAULT: u8 = 5;
    pub const GAP_MIN: Duration = Duration::from_millis(20);
    pub const GAP_MAX: Duration = Duration::from_secs(1);
    pub const GAP_DEFAULT: Duration = Duration::from_millis(200);
    pub const TIMEOUT_MIN: Duration = Duration::from_millis(100);
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(10);
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
    /// Key, stamp and sequence of a probe packet need this many bytes.
    pub const PAYLOAD_BYTES_MIN: u16 = 24;
    /// Ethernet's 1,500 bytes less the IPv4 and ICMP headers.
    pub const PAYLOAD_BYTES_MAX: u16 = 1472;
    pub const PAYLOAD_BYTES_DEFAULT: u16 = 56;
    /// Below this is noise of the agent's own host.
    pub const RTT_US_MIN: u32 = 1_000;
    /// No reply is waited for as long.
    pub const RTT_US_MAX: u32 = 60_000_000;
    /// Packets of the burst that follows a first fully lost round.
    pub const CONFIRM_PACKETS: u8 = 3;
    /// Lost packets are judged over this many.
    pub const LOSS_WINDOW_PACKETS: u8 = 100;

    /// The policy that a new installation starts with.
    pub fn standard(id: TierId, name: Name) -> Tier {
        Tier {
            id,
            name,
            interval: Tier::INTERVAL_DEFAULT,
            packets: Tier::PACKETS_DEFAULT,
            gap: Tier::GAP_DEFAULT,
            timeout: Tier::TIMEOUT_DEFAULT,
            payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
            strategy: Strategy::All,
            loss: LossRule { lost_raise: 7, lost_clear: 2 },
            rtt: RttRule { us_raise: 150_000, us_clear: 120_000 },
        }
    }

    /// Time from the first packet of a round until its last reply can count.
    pub fn round_span(&self) -> Duration {
        self.gap * u32::from(self.packets.saturating_sub(1)) + self.timeout
    }

    /// Time from the first packet of a confirm burst until its last reply can count.
    pub fn confirm_span(&self) -> Duration {
        self.gap * u32::from(Tier::CONFIRM_PACKETS - 1) + self.timeout
    }

    /// How long a round speaks for its target, from the round's start: one interval and timeout.
    pub fn evidence_span(&self) -> Duration {
        self.interval + self.timeout
    }

    /// Checks every range.
    ///
    /// # Errors
    ///
    /// The first of [`Tier::broken_ranges`].
    pub fn check(&self) -> Result<(), TierError> {
        self.broken_ranges().next().map_or(Ok(()), Err)
    }

    /// Returns every broken range, with the field's name and what it must be.
    ///
    /// A round and its confirm burst must end before the next round starts, so that one probe
    /// never has two rounds under way.
    pub fn broken_ranges(&self) -> impl Iterator<Item = TierError> + use<> {
        let in_range = |value: Duration, min: Duration, max: Duration| min <= value && value <= max;
        let rules = [
            (
                in_range(self.interval, Tier::INTERVAL_MIN, Tier::INTERVAL_MAX),
                "interval",
                "must be from 5s to 1h",
            ),
            ((1..=Tier::PACKETS_MAX).contains(&self.packets), "packets", "must be from 1 to 20"),
            (in_range(self.gap, Tier::GAP_MIN, Tier::GAP_MAX), "gap", "must be from 20ms to 1s"),
            (
                in_range(self.timeout, Tier::TIMEOUT_MIN, Tier::TIMEOUT_MAX),
                "timeout",
                "must be from 100ms to 10s",
            ),
            (
                (Tier::PAYLOAD_BYTES_MIN..=Tier::PAYLOAD_BYTES_MAX).contains(&self.payload_bytes),
                "payload_bytes",
                "must be from 24 to 1472",
            ),
            (self.strategy != Strategy::Count(0), "strategy", "must ask at least one agent"),
            (
                (1..=Tier::LOSS_WINDOW_PACKETS).contains(&self.loss.lost_raise),
                "lost_raise",
                "must be from 1 to 100",
            ),
            (self.loss.lost_clear < self.loss.lost_raise, "lost_clear", "must be below lost_raise"),
            (
                (Tier::RTT_US_MIN..=Tier::RTT_US_MAX).contains(&self.rtt.us_raise),
                "rtt_us_raise",
                "must be from 1000 to 60000000",
            ),
            (
                (Tier::RTT_US_MIN..=self.rtt.us_raise).contains(&self.rtt.us_clear),
                "rtt_us_clear",
                "must be from 1000 to rtt_us_raise",
            ),
            (
                self.round_span() + self.confirm_span() <= self.interval,
                "interval",
                "must leave room for a round and its confirm burst: fewer packets, a smaller gap \
                 or timeout, or a longer interval",
            ),
        ];
        let broken = rules.into_iter().filter(|(holds, ..)| !holds);
        broken.map(|(_, field, must)| TierError { field, must })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier() -> Tier {
        Tier::standard(TierId(1), Name::parse("standard").expect("a good name"))
    }

    #[test]
    fn the_standard_tier_is_legal_down_to_the_shortest_interval() {
        assert_eq!(tier().check(), Ok(()));
        assert_eq!(Tier { interval: Tier::INTERVAL_MIN, ..tier() }.check(), Ok(()));
    }

    #[test]
    fn a_round_that_cannot_end_in_time_is_refused() {
        let slow =
            Tier { interval: Duration::from_secs(5), timeout: Duration::from_secs(4), ..tier() };
        assert_eq!(slow.check().map_err(|e| e.field), Err("interval"));
    }

    #[test]
    fn each_range_names_its_field() {
        let broken = [
            Tier { packets: 0, ..tier() },
            Tier { payload_bytes: 23, ..tier() },
            Tier { strategy: Strategy::Count(0), ..tier() },
            Tier { loss: LossRule { lost_raise: 3, lost_clear: 3 }, ..tier() },
            Tier { rtt: RttRule { us_raise: 1_000, us_clear: 1_001 }, ..tier() },
            Tier { rtt: RttRule { us_raise: 60_000_001, us_clear: 2_000 }, ..tier() },
            Tier { rtt: RttRule { us_raise: 2_000, us_clear: 999 }, ..tier() },
        ];
        let fields = broken.map(|tier| tier.check().map_err(|e| e.field));
        let expected = [
            "packets",
            "payload_bytes",
            "strategy",
            "lost_clear",
            "rtt_us_clear",
            "rtt_us_raise",
            "rtt_us_clear",
        ];
        assert_eq!(fields, expected.map(Err));
    }
}
