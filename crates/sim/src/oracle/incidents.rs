//! What people are told of the network, against the truth.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    live::{MonitorChange, Told},
    rca::Change,
};

use super::{Oracle, SECOND_US};
use crate::{
    diagnosis::{Judged, Notice, device_id, link_id},
    scenario::FaultKind,
    world::Path,
};

/// From here on a way is slow enough that somebody may say so.
const RTT_US_SLOW: u32 = 100_000;
/// So long after a fault it may still be told of, beside what a verdict may linger: a target of
/// which root cause knows nothing waits for that, and those that are many wait for each other.
const TOLD_LATE_US: u64 = 100 * SECOND_US;
/// So long nothing else may have failed before a fault that has to be named.
const QUIET_US: u64 = 400 * SECOND_US;

/// What people know.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Open ones and those that are over, by number.
    told: BTreeMap<u32, bool>,
    is_blind: bool,
    /// As the last judgement said them.
    open: Vec<(u32, Told)>,
}

impl Oracle {
    /// Takes what a judgement said.
    pub(crate) fn handle_judged(&mut self, judged: Judged, at_us: u64) {
        for (number, notice) in &judged.notices {
            self.check_notice(*number, notice, at_us);
        }
        if let Some(change) = judged.monitor {
            let is_blind = matches!(change, MonitorChange::Blind { .. });
            if is_blind == self.incidents.is_blind {
                let text = format!("{change:?} is told again");
                self.object("11 told exactly once", at_us, text);
            }
            self.incidents.is_blind = is_blind;
        }
        let is_told = |number: &u32| self.incidents.told.get(number) == Some(&true);
        self.incidents.open =
            judged.open.into_iter().filter(|(number, _)| is_told(number)).collect();
        self.check_one_per_cause(at_us);
        self.check_suppressed(at_us);
        if !judged.is_waiting {
            self.check_named(at_us);
        }
    }

    /// 11: each incident is opened once, and is over once. 6: it has a reason. And something is
    /// the matter.
    fn check_notice(&mut self, number: u32, notice: &Notice, at_us: u64) {
        let before = self.incidents.told.get(&number).copied();
        let Notice { change, told } = notice;
        let (is_right, is_open) = match change {
            Change::Opened => (before.is_none(), true),
            Change::Reopened => (before == Some(false), true),
            Change::CauseChanged => (before == Some(true), true),
            Change::Resolved | Change::Unasked | Change::Merged { .. } => {
                (before == Some(true), false)
            }
        };
        self.incidents.told.insert(number, is_open);
        if !is_right {
            let text = format!("#{number} {change:?}, and it was {before:?}: {}", told.sentence);
            self.object("11 told exactly once", at_us, text);
        }
        let has_evidence = told.causes.first().is_none_or(|cause| !cause.evidence.is_empty());
        if *change == Change::Opened && !has_evidence {
            let text = format!("#{number} is opened without evidence: {}", told.sentence);
            self.object("6 every incident has evidence", at_us, text);
        }
        if is_open && !self.is_anything_wrong(at_us) {
            let text = format!("#{number} {change:?}, and all is well: {}", told.sentence);
            self.object("5 nobody is told of what is well", at_us, text);
        }
    }

    fn is_anything_wrong(&self, at_us: u64) -> bool {
        let from_us = at_us.saturating_sub(self.linger_us() + TOLD_LATE_US);
        self.world.ever(from_us, at_us, |t| self.world.active(t).next().is_some())
    }

    /// 3: nothing is the cause of two.
    fn check_one_per_cause(&mut self, at_us: u64) {
        let mut of: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
        let mut twice = None;
        for (number, told) in &self.incidents.open {
            let blamed = told.causes.first().map_or(&[][..], |cause| cause.elements.as_slice());
            for element in blamed {
                if let Some((other, said)) = of.insert(element, (*number, &told.sentence)) {
                    twice = Some(format!("#{other} {said}, and #{number} {}", told.sentence));
                }
            }
        }
        if let Some(text) = twice {
            self.object("3 one open incident per cause", at_us, text);
        }
    }

    /// 5: what an incident is said to explain was bad.
    fn check_suppressed(&mut self, at_us: u64) {
        let from_us = at_us.saturating_sub(self.linger_us() + TOLD_LATE_US);
        let is_bad = |path: Path| path.loss_ppm != 0 || RTT_US_SLOW <= path.rtt_us;
        let was_bad = |target: u32| {
            let mut agents = 1..=self.scenario().agents;
            agents.any(|agent| {
                self.world.ever(from_us, at_us, |t| {
                    is_bad(self.world.beyond(agent, target, t)) || !self.world.agent_sees(agent, t)
                })
            })
        };
        let all = self.incidents.open.iter().flat_map(|(_, told)| &told.suppressed);
        let targets: BTreeSet<u32> =
            all.filter_map(|name| name.strip_prefix("target")?.parse().ok()).collect();
        let well: Vec<u32> = targets.into_iter().filter(|target| !was_bad(*target)).collect();
        if !well.is_empty() {
            let text = format!("targets {well:?} are explained and were well");
            self.object("5 what is suppressed is out", at_us, text);
        }
    }

    /// 4: a fault of the network that is alone is named within its bound.
    fn check_named(&mut self, at_us: u64) {
        let Some((fault, from_us)) = self.lone_fault(at_us) else { return };
        if at_us < from_us + self.linger_us() + TOLD_LATE_US {
            return;
        }
        let Some(network) = &self.scenario().network else { return };
        let element = if let FaultKind::LinkDown { link } = fault {
            link_id(network, link)
        } else if let FaultKind::DeviceDown { device } = fault {
            Some(device_id(device))
        } else {
            None
        };
        let Some(element) = element else { return };
        let is_named = |(_, told): &(u32, Told)| {
            told.causes.first().is_some_and(|cause| cause.elements.contains(&element))
        };
        if !self.incidents.open.iter().any(is_named) {
            let said: Vec<&str> =
                self.incidents.open.iter().map(|(_, told)| told.sentence.as_str()).collect();
            let text = format!("{element} is down and not named: {said:?}");
            self.object("4 a single fault is named", at_us, text);
        }
    }

    /// The only fault that there is, and since when, if it is one of the network that some agent
    /// sees from outside.
    fn lone_fault(&self, at_us: u64) -> Option<(FaultKind, u64)> {
        let mut active = self.world.active(at_us);
        let fault = active.next()?.clone();
        if active.next().is_some() {
            return None;
        }
        let of = self.scenario().faults.iter().find(|of| of.kind == fault)?;
        let from_us = u64::from(of.from_s) * SECOND_US;
        let is_alone = |t: u64| self.world.active(t).all(|other| *other == fault);
        let quiet_us = from_us.saturating_sub(QUIET_US);
        if !self.world.throughout(quiet_us, at_us, is_alone) {
            return None;
        }
        let mut agents = 1..=self.scenario().agents;
        let is_seen = agents.any(|agent| {
            let out = |target| self.world.beyond(agent, target, at_us).loss_ppm != 0;
            self.world.agent_sees(agent, at_us)
                && (1..=self.scenario().targets).any(out)
                && !(1..=self.scenario().targets).all(out)
        });
        is_seen.then_some((fault, from_us))
    }

    /// 12: after healing nothing is open.
    pub(super) fn check_all_clear(&mut self, at_us: u64) {
        let open = self.incidents.told.iter().filter(|(_, is_open)| **is_open);
        let open: Vec<u32> = open.map(|(number, _)| *number).collect();
        for number in open {
            let said = self.incidents.open.iter().find(|(of, _)| *of == number);
            let said = said.map(|(_, told)| told.sentence.clone());
            self.object("12 healed", at_us, format!("#{number} is open at the end: {said:?}"));
        }
        if self.incidents.is_blind {
            self.object("12 healed", at_us, "the monitor is blind at the end".to_owned());
        }
    }
}
