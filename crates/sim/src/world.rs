//! The truth: what is reachable from where, at every moment.
//!
//! The judged never sees this; the oracle compares with it. Times are microseconds since the start
//! of the scenario.

use std::{collections::BTreeMap, time::Duration};

use crate::scenario::{FaultKind, Scenario};

/// What happens to a packet on one path at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub loss_ppm: u32,
    pub rtt_us: u32,
}

const RTT_US_BASE: u32 = 8_000;
const LOSS_TOTAL: u32 = 1_000_000;
const FLICKER_US: u64 = 7_000_000;
const FLICKER_DOWN_US: u64 = 2_200_000;

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub scenario: Scenario,
    /// Devices and links between each agent and target: asked at every packet.
    ways: BTreeMap<(u32, u32), (Vec<u32>, Vec<u32>)>,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> World {
        let mut ways = BTreeMap::new();
        if let Some(network) = &scenario.network {
            for agent in 1..=scenario.agents {
                for target in 1..=scenario.targets {
                    ways.insert((agent, target), network.crossed(agent, target));
                }
            }
        }
        World { scenario, ways }
    }

    /// Devices and links between an agent and a target.
    fn way(&self, agent: u32, target: u32) -> (&[u32], &[u32]) {
        let way = self.ways.get(&(agent, target));
        way.map_or((&[], &[]), |(devices, links)| (devices, links))
    }

    pub(crate) fn active(&self, at_us: u64) -> impl Iterator<Item = &FaultKind> {
        let is_active = move |from: u32, until: u32| {
            u64::from(from) * 1_000_000 <= at_us && at_us < u64::from(until) * 1_000_000
        };
        let faults = self.scenario.faults.iter();
        faults.filter(move |f| is_active(f.from_s, f.until_s)).map(|fault| &fault.kind)
    }

    /// What lies beyond the agent's own access: faults of the target and of this one path.
    pub(crate) fn beyond(&self, agent: u32, target: u32, at_us: u64) -> Path {
        let mut path = Path { loss_ppm: 0, rtt_us: RTT_US_BASE + 137 * target + 1_000 * agent };
        let (devices, links) = self.way(agent, target);
        for fault in self.active(at_us) {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not of a path")]
            match *fault {
                FaultKind::TargetDown { target: t } if t == target => path.loss_ppm = LOSS_TOTAL,
                FaultKind::LinkDown { link } if links.contains(&link) => path.loss_ppm = LOSS_TOTAL,
                FaultKind::DeviceDown { device } if devices.contains(&device) => {
                    path.loss_ppm = LOSS_TOTAL;
                }
                FaultKind::PathDown { agent: a, target: t } if (a, t) == (agent, target) => {
                    path.loss_ppm = LOSS_TOTAL;
                }
                FaultKind::TargetLossy { target: t, loss_ppm } if t == target => {
                    path.loss_ppm = path.loss_ppm.max(loss_ppm);
                }
                FaultKind::TargetFlickers { target: t }
                    if t == target && at_us % FLICKER_US < FLICKER_DOWN_US =>
                {
                    path.loss_ppm = LOSS_TOTAL;
                }
                FaultKind::TargetSlow { target: t, rtt_us } if t == target => {
                    path.rtt_us = path.rtt_us.max(rtt_us);
                }
                _ => (),
            }
        }
        path
    }

    /// Whether the agent's own access to the network works.
    pub(crate) fn agent_sees(&self, agent: u32, at_us: u64) -> bool {
        let home = self.scenario.network.as_ref().and_then(|of| of.home(agent));
        !self.active(at_us).any(|fault| {
            if let FaultKind::DeviceDown { device } = *fault {
                return Some(device) == home;
            }
            let (FaultKind::AgentBlind { agent: a } | FaultKind::AgentIsolated { agent: a }) =
                *fault
            else {
                return false;
            };
            a == agent
        })
    }

    /// Whether the operating system lets the agent send.
    pub(crate) fn agent_may_send(&self, agent: u32, at_us: u64) -> bool {
        !self
            .active(at_us)
            .any(|fault| matches!(*fault, FaultKind::SendRefused { agent: a } if a == agent))
    }

    /// Whether the agent's own host drops the targets' replies.
    pub(crate) fn agent_drops(&self, agent: u32, at_us: u64) -> bool {
        self.active(at_us)
            .any(|fault| matches!(*fault, FaultKind::AgentDrops { agent: a } if a == agent))
    }

    /// Whether the agent keeps what it learns to itself.
    pub(crate) fn agent_is_mute(&self, agent: u32, at_us: u64) -> bool {
        self.active(at_us)
            .any(|fault| matches!(*fault, FaultKind::AgentMute { agent: a } if a == agent))
    }

    /// Whether the agent is to ask.
    pub(crate) fn agent_is_assigned(&self, agent: u32, at_us: u64) -> bool {
        !self
            .active(at_us)
            .any(|fault| matches!(*fault, FaultKind::AgentUnassigned { agent: a } if a == agent))
    }

    /// Whether the agent is always to ask.
    pub(crate) fn agent_stays_assigned(&self, agent: u32) -> bool {
        let mut faults = self.scenario.faults.iter();
        !faults.any(|f| matches!(f.kind, FaultKind::AgentUnassigned { agent: a } if a == agent))
    }

    /// Whether frames pass between agent and server.
    pub(crate) fn uplink_works(&self, agent: u32, at_us: u64) -> bool {
        !self.active(at_us).any(|fault| {
            let (FaultKind::UplinkDown { agent: a } | FaultKind::AgentIsolated { agent: a }) =
                *fault
            else {
                return false;
            };
            a == agent
        })
    }

    pub(crate) fn uplink_is_rough(&self, agent: u32, at_us: u64) -> bool {
        self.active(at_us)
            .any(|fault| matches!(*fault, FaultKind::UplinkRough { agent: a } if a == agent))
    }

    pub(crate) fn agent_runs(&self, agent: u32, at_us: u64) -> bool {
        !self
            .active(at_us)
            .any(|fault| matches!(*fault, FaultKind::AgentCrash { agent: a } if a == agent))
    }

    pub(crate) fn server_runs(&self, at_us: u64) -> bool {
        !self.active(at_us).any(|fault| matches!(*fault, FaultKind::ServerCrash))
    }

    /// How wrong the agent's wall clock is, in seconds.
    pub(crate) fn agent_clock_error_s(&self, agent: u32, at_us: u64) -> i64 {
        let mut error_s = 0;
        for fault in self.active(at_us) {
            if let FaultKind::AgentClockStep { agent: a, by_s } = *fault
                && a == agent
            {
                error_s += i64::from(by_s);
            }
        }
        error_s
    }

    /// Whether `holds` is true at every boundary of a fault and every second of a span.
    pub(crate) fn throughout(
        &self,
        from_us: u64,
        until_us: u64,
        holds: impl Fn(u64) -> bool,
    ) -> bool {
        self.moments(from_us, until_us).all(holds)
    }

    /// Whether `holds` is true at some boundary of a fault or second of a span.
    pub(crate) fn ever(&self, from_us: u64, until_us: u64, holds: impl Fn(u64) -> bool) -> bool {
        self.moments(from_us, until_us).any(holds)
    }

    /// Faults begin and end on whole seconds, so a look at each second misses none.
    fn moments(&self, from_us: u64, until_us: u64) -> impl Iterator<Item = u64> {
        const STEP_US: u64 = Duration::from_secs(1).as_micros() as u64;
        let first = from_us / STEP_US;
        (first..=until_us / STEP_US).map(move |second| (second * STEP_US).max(from_us))
    }
}
