//! What the two weeks before a demo were like: busy evenings, quiet nights, three outages.

use std::time::Duration;

use model::{Minute, UtcMicros};

use super::{net::Isp, plan::Asked, traffic};
use crate::rng::Rng;

/// Of each past outage: what began, how long ago it began, and how long it took, in minutes.
const OUTAGES: [(&str, i64, i64); 3] = [
    // A city without power, in the night of a weekend.
    ("phoenix-", 3 * 1_440 + 217, 41),
    // A router that was stopped.
    ("nashville-agg1", 26 * 60, 18),
    // An access router, today.
    ("raleigh-acc1", 7 * 60, 23),
];

/// What became of packets in a minute of the past.
#[derive(Debug)]
pub struct Climate {
    dice: Rng,
    /// Of each target: its line's queue, and the outages that hit it.
    targets: Vec<(bool, Vec<(Minute, Minute)>)>,
    /// How busy it was, of the minute that was asked last.
    busy: (Minute, f64),
}

impl Climate {
    /// Of everything that is asked, in its order.
    pub fn new(isp: &Isp, asked: &[Asked], now: UtcMicros) -> Climate {
        let end = now.0.div_euclid(60_000_000);
        let behind = |device: &str, what: &str| {
            // What hangs on a router of a small city has no other way.
            device.starts_with(what)
                || what.ends_with("-agg1")
                    && device.starts_with(what.trim_end_matches("agg1"))
                    && !device.contains("-core")
        };
        let targets = asked.iter().map(|each| {
            let hit = OUTAGES.iter().filter(|(what, _, _)| behind(&each.behind, what));
            let spans = hit.map(|(_, ago, lasted)| (Minute(end - ago), Minute(end - ago + lasted)));
            (each.tags.contains(&"line"), spans.collect())
        });
        let dice = Rng::new(isp.plan().seed).fork(31);
        Climate { dice, targets: targets.collect(), busy: (Minute(i64::MIN), 0.0) }
    }

    /// What queues added to a round trip, in microseconds.
    pub fn queue_us(&mut self, target: usize, minute: Minute) -> u32 {
        if self.busy.0 != minute {
            self.busy = (minute, traffic::busy(minute.start() + Duration::from_secs(30)));
        }
        let has_line = self.targets.get(target).is_some_and(|(has_line, _)| *has_line);
        traffic::queue_us(&mut self.dice, self.busy.1, has_line)
    }

    pub fn is_out(&self, target: usize, minute: Minute) -> bool {
        let spans = self.targets.get(target).map_or(&[][..], |(_, spans)| spans);
        spans.iter().any(|(from, until)| *from <= minute && minute < *until)
    }
}

#[cfg(test)]
mod tests {
    use model::Tick;

    use super::*;

    #[test]
    fn each_outage_of_the_past_hit_somebody_and_was_over() {
        let now = UtcMicros(1_795_240_440_000_000);
        let isp = Isp::new(400, 1, Tick(0), now).expect("a network");
        let asked = isp.plan().asked.clone();
        let climate = Climate::new(&isp, &asked, now);
        let end = now.0 / 60_000_000;
        for (what, ago, lasted) in OUTAGES {
            let out = |minute: i64| {
                (0..asked.len()).filter(|at| climate.is_out(*at, Minute(minute))).count()
            };
            assert_eq!(out(end - ago - 1), 0, "{what}");
            assert!((2..40).contains(&out(end - ago)), "{what}: {}", out(end - ago));
            assert_eq!(out(end - ago + lasted), 0, "{what}");
        }
    }
}
