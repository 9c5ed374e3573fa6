//! How many probes a CPU-second carries, through the real sockets and the real prober.

use std::{net::Ipv4Addr, time::Duration};

use model::{Address, Outcome, ProbeId, Subject, Tier, TierId};
use nix::sys::resource::{UsageWho, getrusage};
use sense::{Assignment, ProbeTask, TierTiming};

use super::driver::{Driver, sleep};
use crate::clock::Clock;

/// The first address asked; the others follow it.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// Gives up after this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval for each target: far slower than any host asks, so that no round is a whole one late.
const TARGET_SHARE: Duration = Duration::from_micros(50);

/// What a burst came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BurstReport {
    /// Rounds that asked.
    pub probes: u64,
    /// Rounds that were answered.
    pub replies: u64,
    /// From the first packet due to the last round's end, in seconds.
    pub wall_s: f64,
    /// User and system time of the whole process in that time, in seconds.
    pub cpu_s: f64,
}

/// Asks `targets` loopback addresses one packet each, as fast as it goes.
///
/// The rounds are spread over an interval as always; the burst comes of sleeping through it. So it
/// takes that interval longer than it says, and every round is marked doubtful. It needs
/// the permission to send; without it no probe asks and the report says so.
pub fn run(targets: u32) -> BurstReport {
    let clock = Clock;
    let Ok(mut driver) = Driver::new(clock) else {
        return BurstReport::default();
    };
    let interval = Tier::INTERVAL_MIN.max(TARGET_SHARE * targets);
    let assignment = assignment(targets, interval);
    // Nothing ever wakes it: the receiver only serves to sleep as the probing thread does.
    let (_held, woken) = std::sync::mpsc::sync_channel::<()>(1);
    let assigned = clock.tick();
    driver.prober.set_assignment(&assignment, assigned);
    // The last tenth of the rounds starts in its time, behind the burst of the others.
    sleep(&woken, (interval * 9 / 10).saturating_sub(clock.tick().since(assigned)));
    let (started, cpu_before) = (clock.tick(), cpu_s());
    let (mut rounds, mut probes, mut replies) = (0, 0, 0);
    while rounds < targets && clock.tick().since(started) < PATIENCE {
        let wait = driver.turn();
        for round in driver.take_rounds() {
            if !matches!(round.subject, Subject::Probe(_)) || assigned + interval <= round.due {
                continue; // A second round.
            }
            rounds += 1;
            if let Outcome::Asked { received, .. } = round.outcome {
                probes += 1;
                replies += u64::from(received);
            }
        }
        sleep(&woken, wait);
    }
    let wall_s = clock.tick().since(started).as_secs_f64();
    BurstReport { probes, replies, wall_s, cpu_s: cpu_s() - cpu_before }
}

fn assignment(targets: u32, interval: Duration) -> Assignment {
    let tier = TierTiming {
        id: TierId(1),
        interval,
        packets: 1,
        gap: Tier::GAP_MIN,
        timeout: Tier::TIMEOUT_DEFAULT,
        payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
    };
    let task = |number: u32| ProbeTask {
        id: ProbeId(number + 1),
        tier: tier.id,
        address: Address::Ip(Ipv4Addr::from(FIRST.to_bits().wrapping_add(number)).into()),
    };
    Assignment {
        version: 1,
        tiers: vec![tier],
        probes: (0..targets).map(task).collect(),
        witnesses: Vec::new(),
    }
}

fn cpu_s() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return 0.0;
    };
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1_000_000.0;
    seconds(usage.user_time()) + seconds(usage.system_time())
}
