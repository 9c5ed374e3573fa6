//! A scenario: a small network, what goes wrong in it and when. Drawn from a seed, kept as TOML.
//!
//! Faults end before the settling time begins: first safety under faults, then liveness after
//! healing.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Time before the first fault, so that everything was seen well once.
const WARM_S: u32 = 60;
/// Time after the last fault has ended, in which everything must come back: the longest backlog
/// drains at one batch a second beside the live ones, and its minutes are said a minute later.
const SETTLE_S: u32 = 300;
/// What went on over a restart is over once its evidence is whole: after a quarter of an hour.
const SETTLE_NETWORK_S: u32 = 1_000;
const FAULTS_MAX: u64 = 6;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    pub seed: u64,
    pub agents: u32,
    pub targets: u32,
    pub interval_s: u32,
    pub packets: u8,
    /// Whether each agent's gateway answers.
    pub has_gateway: bool,
    /// What stands between agents and targets, and is told as the topology; `None`: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    pub faults: Vec<Fault>,
}

/// A tree of devices: each has the target of its number at it, and a link of its number to the one
/// that it hangs from. The first is the root and has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// From the second device on.
    pub parents: Vec<u32>,
    /// At which device each agent is.
    pub homes: Vec<u32>,
}

impl Network {
    fn draw(rng: &mut Rng, agents: u32, targets: u32) -> Network {
        Network {
            parents: (2..=targets).map(|device| u32_between(rng, 1, device - 1)).collect(),
            homes: (0..agents).map(|_| u32_between(rng, 1, targets)).collect(),
        }
    }

    /// What a device hangs from.
    pub(crate) fn parent(&self, device: u32) -> Option<u32> {
        let place = usize::try_from(device.checked_sub(2)?).ok()?;
        // A tree that somebody wrote is one only if each hangs from one before it.
        self.parents.get(place).copied().filter(|parent| (1..device).contains(parent))
    }

    pub(crate) fn home(&self, agent: u32) -> Option<u32> {
        self.homes.get(usize::try_from(agent.checked_sub(1)?).ok()?).copied()
    }

    /// Devices between an agent and a target, with both ends, and the links between them by the
    /// device that hangs on each.
    pub(crate) fn crossed(&self, agent: u32, target: u32) -> (Vec<u32>, Vec<u32>) {
        let (mut devices, mut links) = (Vec::new(), Vec::new());
        let Some(mut near) = self.home(agent) else { return (devices, links) };
        let mut far = target;
        // Who has the higher number is never above the other.
        while near != far {
            let low = near.max(far);
            devices.push(low);
            links.push(low);
            let Some(parent) = self.parent(low) else { break };
            if near == low {
                near = parent;
            } else {
                far = parent;
            }
        }
        devices.push(near);
        (devices, links)
    }
}

/// One thing that goes wrong from `from_s` until `until_s`, in seconds since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub from_s: u32,
    pub until_s: u32,
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// Agents and targets are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultKind {
    /// The target answers nobody.
    TargetDown { target: u32 },
    /// Nothing passes the link above a device of the network.
    LinkDown { link: u32 },
    /// A device of the network is off: what is at it and behind it is cut off.
    DeviceDown { device: u32 },
    /// One path loses everything, the others are well.
    PathDown { agent: u32, target: u32 },
    /// The target loses this share of packets on every path.
    TargetLossy { target: u32, loss_ppm: u32 },
    /// The target answers nobody for 2.2 s out of 7: long enough for a round, too short for all of
    /// its confirm burst.
    TargetFlickers { target: u32 },
    /// The target answers late but in time.
    TargetSlow { target: u32, rtt_us: u32 },
    /// The agent reaches nothing outside its host; the server still hears it.
    AgentBlind { agent: u32 },
    /// The agent reaches nothing, the server least of all.
    AgentIsolated { agent: u32 },
    /// The agent probes on, but the server is out of its reach.
    UplinkDown { agent: u32 },
    /// What the agent sends arrives late, twice, or breaks off and is sent again.
    UplinkRough { agent: u32 },
    /// The agent's process is gone and comes back at the end; its spool stays.
    AgentCrash { agent: u32 },
    /// The server's process is gone; what it had not synced is lost.
    ServerCrash,
    /// The agent's wall clock is wrong by this much.
    AgentClockStep { agent: u32, by_s: i32 },
    /// The agent's operating system refuses its packets.
    SendRefused { agent: u32 },
    /// The agent's host drops what comes back from targets, and the agent notices.
    AgentDrops { agent: u32 },
    /// The agent is heard, but what it learns does not leave it.
    AgentMute { agent: u32 },
    /// The agent is not to ask, and joins the others again at the end.
    AgentUnassigned { agent: u32 },
}

impl Scenario {
    /// Draws a scenario. Every option is drawn, so that no seed is special.
    pub fn draw(seed: u64) -> Scenario {
        let mut rng = Rng::new(seed).fork(1);
        let agents = u32_between(&mut rng, 1, 4);
        let targets = u32_between(&mut rng, 2, 10);
        let interval_s = *rng.pick(&[5, 5, 10, 30]).unwrap_or(&5);
        let fault_count = rng.between(1, FAULTS_MAX);
        let mut faults: Vec<Fault> =
            (0..fault_count).map(|_| draw_fault(&mut rng, agents, targets)).collect();
        let has_gateway = rng.chance_ppm(700_000);
        let network = rng.chance_ppm(500_000).then(|| Network::draw(&mut rng, agents, targets));
        if network.is_some() {
            // Some have nothing but one fault of the network: it has to be named.
            faults.truncate(usize::try_from(rng.between(0, FAULTS_MAX)).unwrap_or(0));
            faults.push(draw_network_fault(&mut rng, targets));
        }
        Scenario { seed, agents, targets, interval_s, packets: 5, has_gateway, network, faults }
    }

    /// When the last fault has ended and settling begins, in seconds.
    pub fn healed_s(&self) -> u32 {
        self.faults.iter().map(|fault| fault.until_s).max().unwrap_or(0).max(WARM_S)
    }

    pub fn end_s(&self) -> u32 {
        let settle_s = if self.network.is_some() { SETTLE_NETWORK_S } else { SETTLE_S };
        // 25 intervals: Degraded needs its window to fill with good packets again.
        self.healed_s() + settle_s + self.interval_s * 25
    }

    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be written: {error}\n"))
    }
}

fn u32_between(rng: &mut Rng, low: u32, high: u32) -> u32 {
    u32::try_from(rng.between(low.into(), high.into())).unwrap_or(low)
}

fn draw_network_fault(rng: &mut Rng, targets: u32) -> Fault {
    let from_s = WARM_S + u32_between(rng, 0, 240);
    let until_s = from_s + u32_between(rng, 1, 400);
    let kind = if rng.chance_ppm(600_000) {
        FaultKind::LinkDown { link: u32_between(rng, 2, targets) }
    } else {
        FaultKind::DeviceDown { device: u32_between(rng, 1, targets) }
    };
    Fault { from_s, until_s, kind }
}

fn draw_fault(rng: &mut Rng, agents: u32, targets: u32) -> Fault {
    let from_s = WARM_S + u32_between(rng, 0, 240);
    // Some are over before a confirm burst is.
    let longest_s = if rng.chance_ppm(300_000) { 4 } else { 200 };
    let until_s = from_s + u32_between(rng, 1, longest_s);
    let agent = u32_between(rng, 1, agents);
    let target = u32_between(rng, 1, targets);
    let kind = match rng.between(0, 17) {
        0..=2 => FaultKind::TargetDown { target },
        3 => FaultKind::PathDown { agent, target },
        4 => FaultKind::TargetLossy { target, loss_ppm: u32_between(rng, 100_000, 400_000) },
        5 => FaultKind::TargetSlow { target, rtt_us: u32_between(rng, 200_000, 800_000) },
        6 => FaultKind::AgentBlind { agent },
        7 => FaultKind::AgentIsolated { agent },
        8 => FaultKind::UplinkDown { agent },
        9 => FaultKind::UplinkRough { agent },
        10 => FaultKind::AgentCrash { agent },
        11 => FaultKind::ServerCrash,
        12 => FaultKind::AgentClockStep {
            agent,
            by_s: if rng.chance_ppm(500_000) { 3600 } else { -3600 },
        },
        13 => FaultKind::SendRefused { agent },
        14 => FaultKind::AgentDrops { agent },
        15 => FaultKind::TargetFlickers { target },
        16 => FaultKind::AgentUnassigned { agent },
        _ => FaultKind::AgentMute { agent },
    };
    Fault { from_s, until_s, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_scenario_and_toml_keeps_it() {
        for seed in 0..50 {
            let scenario = Scenario::draw(seed);
            assert_eq!(scenario, Scenario::draw(seed));
            let read: Scenario = toml::from_str(&scenario.to_toml()).expect("its own text");
            assert_eq!(read, scenario);
        }
    }
}
