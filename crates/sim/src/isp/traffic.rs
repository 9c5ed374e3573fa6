//! How busy the network is by the hour, and what that does to a packet.

use model::UtcMicros;

use crate::rng::Rng;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Behind UTC, in the middle of the network.
const ZONE_US: i64 = 6 * HOUR_US;
/// When most people are at home with nothing else to do.
const PEAK_US: i64 = 20 * HOUR_US + HOUR_US / 2;
/// Of the night against the evening.
const LEAST: f64 = 0.2;
/// A second, lower peak: offices, at eleven.
const OFFICES_US: i64 = 11 * HOUR_US;
const OFFICES_SHARE: f64 = 0.35;
/// Queues of a router, and those of a customer's line at the busiest hour, on average.
const QUEUE_US: f64 = 60.0;
const LINE_QUEUE_US: f64 = 4_000.0;
/// Packets that get lost for no reason, of a million: cables and radios are no better.
pub(super) const LOSS_PPM: u32 = 30;

/// How busy it is, from 0.2 in the night to 1 in the evening.
pub(super) fn busy(at: UtcMicros) -> f64 {
    let of_day = (at.0 - ZONE_US).rem_euclid(DAY_US);
    let near = |peak: i64, width_hours: f64| {
        let apart = (of_day - peak).rem_euclid(DAY_US);
        let apart = apart.min(DAY_US - apart) as f64 / HOUR_US as f64;
        (-(apart / width_hours).powi(2)).exp()
    };
    let more = near(PEAK_US, 4.5).max(OFFICES_SHARE * near(OFFICES_US, 4.0));
    LEAST + (1.0 - LEAST) * more
}

/// What queues add to one round trip, in microseconds: short mostly, long at times.
pub(super) fn queue_us(dice: &mut Rng, busy: f64, has_line: bool) -> u32 {
    let mean = if has_line { QUEUE_US + LINE_QUEUE_US * busy.powi(4) } else { QUEUE_US };
    // Some twenty times the mean at most.
    (-mean * (1.0 - dice.part()).max(1e-9).ln()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evening_is_busier_than_the_morning_and_the_morning_than_the_night() {
        let at = |hour: i64| busy(UtcMicros(ZONE_US + 1_000 * DAY_US + hour * HOUR_US));
        assert!(0.95 < at(20) && at(20) <= 1.0, "{}", at(20));
        assert!(at(4) < at(11) && at(11) < at(20), "{} {}", at(4), at(11));
        assert!(at(4) < 0.3, "{}", at(4));
    }
}
