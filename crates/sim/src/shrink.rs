//! Makes a failing scenario small enough to be read.

use crate::{Defect, Scenario, run::run};

/// Leaves out faults, agents and targets as long as the scenario still fails.
pub fn shrink(scenario: &Scenario, defect: Option<Defect>) -> Scenario {
    let mut smallest = scenario.clone();
    loop {
        let fails = |candidate: &Scenario| !run(candidate, defect).violations.is_empty();
        match smaller(&smallest).into_iter().find(fails) {
            Some(candidate) => smallest = candidate,
            None => return smallest,
        }
    }
}

/// All scenarios that are one step smaller.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let without = (0..scenario.faults.len()).map(|index| {
        let mut candidate = scenario.clone();
        candidate.faults.remove(index);
        candidate
    });
    let fewer = [
        Scenario { agents: scenario.agents.saturating_sub(1), ..scenario.clone() },
        Scenario { targets: scenario.targets.saturating_sub(1), ..scenario.clone() },
        Scenario { network: None, ..scenario.clone() },
    ];
    let is_whole = |candidate: &Scenario| candidate.agents != 0 && candidate.targets != 0;
    let is_smaller = |candidate: &Scenario| is_whole(candidate) && candidate != scenario;
    without.chain(fewer.into_iter().filter(is_smaller)).collect()
}
