//! How often a method is right.

use std::collections::BTreeSet;

use engine::graph::ElementIx;
use model::ElementKind;

use crate::scenario::Scenario;

/// What a method answers: causes, each an element or a class of them, the first one foremost.
pub(crate) type Answer = Vec<Vec<ElementIx>>;

/// Counts of one cell and one method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) scenarios: u32,
    pub(crate) class_top1: u32,
    pub(crate) exact: u32,
    pub(crate) found: u32,
    pub(crate) broken: u32,
    pub(crate) right: u32,
    pub(crate) said: u32,
    pub(crate) on_network: u32,
    pub(crate) messages: u32,
    pub(crate) suppressed: u32,
    pub(crate) suppressed_wrongly: u32,
}

/// The elements that are crossed by exactly the same pairs, and reported of in the same way.
pub(crate) fn class(scenario: &Scenario, element: ElementIx) -> BTreeSet<ElementIx> {
    let crossing = |element: &ElementIx| -> Vec<usize> {
        let rows = scenario.rows.iter().enumerate();
        rows.filter(|(_, (.., path, _))| path.contains(element)).map(|(at, _)| at).collect()
    };
    let facts = |element: &ElementIx| -> Vec<_> {
        let facts = scenario.case.facts.iter().filter(|fact| fact.element == *element);
        facts.map(|fact| (fact.kind, fact.end)).collect()
    };
    let mine = crossing(&element);
    let mut class = BTreeSet::from([element]);
    if let Some(first) = mine.first().and_then(|at| scenario.rows.get(*at)) {
        let same = |other: &&ElementIx| facts(other) == facts(&element) && crossing(other) == mine;
        class.extend(first.2.iter().filter(same).copied());
    }
    class
}

impl Tally {
    pub(crate) fn count(&mut self, scenario: &Scenario, answer: &Answer) -> bool {
        let classes: Vec<BTreeSet<ElementIx>> =
            scenario.broken.iter().map(|element| class(scenario, *element)).collect();
        let hits = |said: &Vec<ElementIx>| {
            scenario.broken.iter().zip(&classes).position(|(element, class)| {
                said.contains(element) && said.iter().all(|member| class.contains(member))
            })
        };
        self.scenarios += 1;
        let is_right = answer.first().is_some_and(|said| hits(said).is_some());
        self.class_top1 += u32::from(is_right);
        let is_exact =
            |said: &Vec<ElementIx>| said.len() == 1 && scenario.broken.contains(&said[0]);
        self.exact += u32::from(answer.first().is_some_and(is_exact));
        let found: BTreeSet<usize> = answer.iter().filter_map(hits).collect();
        self.found += found.len() as u32;
        self.broken += scenario.broken.len() as u32;
        self.right += answer.iter().filter(|said| hits(said).is_some()).count() as u32;
        self.said += answer.len() as u32;
        let topology = &scenario.case.topology;
        self.on_network += u32::from(answer.iter().flatten().any(|element| {
            !matches!(topology.kind(*element), ElementKind::Agent | ElementKind::Target)
        }));
        is_right
    }
}

/// A share with the 95 % interval of Wilson.
pub(crate) fn share(part: u32, of: u32) -> (f64, f64, f64) {
    if of == 0 {
        return (f64::NAN, f64::NAN, f64::NAN);
    }
    let (n, p, z) = (f64::from(of), f64::from(part) / f64::from(of), 1.96_f64);
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    (p, middle - half, middle + half)
}
