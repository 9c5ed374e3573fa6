//! Simpler methods on the same rows: what we have to be better than.
//!
//! Each gets paths and lost rounds, as we do, and its best setting; none gets reports.

use std::collections::{BTreeMap, BTreeSet};

use engine::graph::ElementIx;
use model::ElementKind;

use crate::{scenario::Scenario, score::Answer};

/// Causes of one answer.
const CAUSES_MAX: usize = 8;

/// Links and devices with the rows that cross them: (bad, good).
struct Bipartite {
    rows: Vec<(Vec<ElementIx>, bool)>,
    crossed: BTreeMap<ElementIx, Vec<usize>>,
}

fn bipartite(scenario: &Scenario) -> Bipartite {
    let topology = &scenario.case.topology;
    let is_part =
        |ix: &ElementIx| matches!(topology.kind(*ix), ElementKind::Link | ElementKind::Device);
    let mut crossed: BTreeMap<ElementIx, Vec<usize>> = BTreeMap::new();
    let mut rows = Vec::new();
    for (at, (.., path, is_bad)) in scenario.rows.iter().enumerate() {
        let path: Vec<ElementIx> = path.iter().copied().filter(is_part).collect();
        for element in &path {
            crossed.entry(*element).or_default().push(at);
        }
        rows.push((path, *is_bad));
    }
    Bipartite { rows, crossed }
}

impl Bipartite {
    fn is_bad(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(|(_, is_bad)| *is_bad)
    }

    /// Adds what `value` ranks first until no bad row is left or nothing has a value.
    fn greedy(&self, value: impl Fn(usize, usize, usize) -> Option<f64>) -> Answer {
        let mut left: BTreeSet<usize> =
            (0..self.rows.len()).filter(|at| self.is_bad(*at)).collect();
        let mut answer = Vec::new();
        while !left.is_empty() && answer.len() < CAUSES_MAX {
            let mut best: Option<(f64, ElementIx)> = None;
            for (element, rows) in &self.crossed {
                let explained = rows.iter().filter(|row| left.contains(row)).count();
                let bad = rows.iter().filter(|row| self.is_bad(**row)).count();
                let Some(value) = value(explained, bad, rows.len()) else { continue };
                if 0 < explained && best.is_none_or(|(most, _)| most < value) {
                    best = Some((value, *element));
                }
            }
            let Some((_, element)) = best else { break };
            answer.push(vec![element]);
            for row in self.crossed.get(&element).into_iter().flatten() {
                left.remove(row);
            }
        }
        answer
    }
}

/// Greedy cover: a good row exonerates everything on it (Tomo).
pub(crate) fn cover(scenario: &Scenario) -> Answer {
    let value = |explained: usize, bad: usize, all: usize| (bad == all).then_some(explained as f64);
    bipartite(scenario).greedy(value)
}

/// Greedy by hit ratio above a threshold, then by cover (SCORE).
pub(crate) fn risk_groups(scenario: &Scenario, threshold: f64) -> Answer {
    let value = |explained: usize, bad: usize, all: usize| {
        let ratio = bad as f64 / all as f64;
        (threshold <= ratio).then_some(explained as f64 + ratio * 1e-3)
    };
    bipartite(scenario).greedy(value)
}

/// Each bad row gives each of its elements one vote, shared (007).
pub(crate) fn votes(scenario: &Scenario) -> Answer {
    let net = bipartite(scenario);
    let mut votes: BTreeMap<ElementIx, f64> = BTreeMap::new();
    for (path, is_bad) in &net.rows {
        if *is_bad {
            for element in path {
                *votes.entry(*element).or_default() += 1.0 / path.len() as f64;
            }
        }
    }
    let best = votes.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    best.map(|(element, _)| vec![vec![element]]).unwrap_or_default()
}

/// The rule of parents, from the agent that sees most: a device is down if it does not answer and
/// the one before it on its path does.
pub(crate) fn parents(scenario: &Scenario) -> Answer {
    let mut best: Answer = Vec::new();
    let mut most = 0;
    let agents: BTreeSet<ElementIx> = scenario.rows.iter().map(|(agent, ..)| *agent).collect();
    for agent in agents {
        let rows = || scenario.rows.iter().filter(|(of, ..)| *of == agent);
        let host = |target: &ElementIx| scenario.case.topology.host(*target);
        let down: BTreeSet<ElementIx> = rows()
            .filter(|(.., is_bad)| *is_bad)
            .filter_map(|(_, target, ..)| host(target))
            .collect();
        let mut answer = Vec::new();
        for (_, target, path, is_bad) in rows() {
            let is_device =
                |ix: &&ElementIx| scenario.case.topology.kind(**ix) == ElementKind::Device;
            let mut devices = path.iter().rev().filter(is_device);
            let parent = devices.find(|ix| Some(**ix) != host(target));
            if *is_bad && parent.is_none_or(|parent| !down.contains(parent)) {
                answer.extend(host(target).map(|host| vec![host]));
            }
        }
        if most < down.len() || best.is_empty() {
            most = down.len();
            best = answer;
        }
    }
    best
}
