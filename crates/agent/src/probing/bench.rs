//! How many probes a CPU-second carries, through the real sockets and the real prober.

use std::{net::Ipv4Addr, time::Duration};

use model::{Address, Outcome, ProbeId, RoundFlags, Subject, Tier, TierId};
use nix::sys::resource::{UsageWho, getrusage};
use sense::{Assignment, ProbeTask, TierTiming};

use super::{
    driver::{Driver, sleep},
    sockets,
};
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

/// A steady load: each target asked one packet each [`Tier::INTERVAL_MIN`].
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    /// The others follow it.
    pub first: Ipv4Addr,
    pub targets: u32,
    /// How often each is asked.
    pub rounds: u32,
}

/// What a steady load came to.
#[derive(Clone, Debug, Default)]
pub struct SteadyReport {
    /// Number of the target and its round-trip time in microseconds, in the order of the rounds;
    /// `None` if it did not answer or could not be asked.
    pub rtts: Vec<(u32, Option<u32>)>,
    /// Rounds that the agent itself would not judge by.
    pub doubtful: u64,
    /// From the assignment to the last round's end, in seconds.
    pub wall_s: f64,
}

/// Asks at the pace of a tier, through the same sockets and turns as always.
pub fn run_steady(steady: Steady) -> SteadyReport {
    let clock = Clock;
    let mut report = SteadyReport::default();
    let Ok(mut driver) = Driver::new(clock, sockets::reach(clock)) else {
        return report;
    };
    let (_held, woken) = std::sync::mpsc::sync_channel::<()>(1);
    let interval = Tier::INTERVAL_MIN;
    let begun = clock.tick();
    driver.prober.set_assignment(&assignment(steady.first, steady.targets, interval), begun);
    let end = begun + interval * steady.rounds;
    let expected = u64::from(steady.targets) * u64::from(steady.rounds);
    while (report.rtts.len() as u64) < expected && clock.tick() < end + PATIENCE {
        let wait = driver.turn();
        for round in driver.take_rounds() {
            let Subject::Probe(id) = round.subject else {
                continue;
            };
            if end <= round.due {
                continue; // One more than was wanted.
            }
            let rtt = match round.outcome {
                Outcome::Asked { rtt, .. } => rtt.map(|rtt| rtt.us_mean),
                Outcome::NotAsked(_) => None,
            };
            report.doubtful += u64::from(round.flags.contains(RoundFlags::DOUBTFUL));
            report.rtts.push((id.0.saturating_sub(1), rtt));
        }
        sleep(&woken, wait);
    }
    report.wall_s = clock.tick().since(begun).as_secs_f64();
    report
}

/// Asks `targets` loopback addresses one packet each, as fast as it goes.
///
/// The rounds are spread over an interval as always; the burst comes of sleeping through it. So it
/// takes that interval longer than it says, and every round is marked doubtful. It needs
/// the permission to send; without it no probe asks and the report says so.
pub fn run(targets: u32) -> BurstReport {
    let clock = Clock;
    let Ok(mut driver) = Driver::new(clock, sockets::reach(clock)) else {
        return BurstReport::default();
    };
    let interval = Tier::INTERVAL_MIN.max(TARGET_SHARE * targets);
    let assignment = assignment(FIRST, targets, interval);
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

fn assignment(first: Ipv4Addr, targets: u32, interval: Duration) -> Assignment {
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
        address: Address::Ip(Ipv4Addr::from(first.to_bits().wrapping_add(number)).into()),
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

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// A packet that the path does not take in one piece: 1,472 bytes and 28 of headers over a link
    /// of 1,280. Needs root for a link of its own; anybody else's run says so.
    #[test]
    fn a_packet_larger_than_the_link_is_cut_and_answered() {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            tracing::warn!("not run: a network namespace needs root");
            return;
        }
        for line in ["link set lo mtu 1280", "link set lo up"] {
            let status = std::process::Command::new("ip").args(line.split(' ')).status();
            assert!(status.expect("ip").success(), "ip {line}");
        }
        let clock = Clock;
        let mut driver = Driver::new(clock, sockets::reach(clock)).expect("random numbers");
        let mut assignment = assignment(FIRST, 3, Tier::INTERVAL_MIN);
        for tier in &mut assignment.tiers {
            tier.payload_bytes = Tier::PAYLOAD_BYTES_MAX;
        }
        let begun = clock.tick();
        driver.prober.set_assignment(&assignment, begun);
        let (_held, woken) = std::sync::mpsc::sync_channel::<()>(1);
        let mut outcomes = Vec::new();
        while outcomes.len() < 3 && clock.tick().since(begun) < PATIENCE {
            let wait = driver.turn();
            let rounds = driver.take_rounds().into_iter();
            let of_probes = rounds.filter(|round| matches!(round.subject, Subject::Probe(_)));
            outcomes.extend(of_probes.map(|round| round.outcome));
            sleep(&woken, wait);
        }
        let is_answered = |outcome: &Outcome| matches!(outcome, Outcome::Asked { received: 1, .. });
        assert!(outcomes.iter().all(is_answered), "{outcomes:?}");
    }
}
