//! Asks the engine at each step of a case, with what had arrived by then.

use model::UtcMicros;

use super::read::{Case, Seen};
use crate::{
    graph::{PathBook, Topology},
    rca::{self, Ask, Assessment, Beat, Fact, Incidents, Message, Pair, Picture},
};

/// What the engine said at one step.
#[derive(Debug)]
pub struct Step {
    pub at: UtcMicros,
    pub assessment: Assessment,
    pub messages: Vec<Message>,
}

/// Plays a case, step by step.
#[derive(Debug)]
pub struct Player<'a> {
    case: &'a Case,
    paths: PathBook,
    incidents: Incidents,
    next: usize,
    budget: Option<u64>,
}

impl<'a> Player<'a> {
    /// `budget` bounds the work of a step, in covers weighed; `None` is no limit.
    pub fn new(case: &'a Case, budget: Option<u64>) -> Player<'a> {
        let paths = PathBook::new(&case.topology, &case.told);
        Player { case, paths, incidents: Incidents::default(), next: 0, budget }
    }

    /// Asks at the next step; `None` after the last.
    pub fn step(&mut self) -> Option<Step> {
        let now = *self.case.steps.get(self.next)?;
        self.next += 1;
        let pairs: Vec<Pair<'_>> = self.case.seen.iter().map(|seen| pair(seen, now)).collect();
        let arrived = self.case.facts.partition_point(|fact| fact.at <= now);
        let facts: &[Fact] = self.case.facts.get(..arrived).unwrap_or(&[]);
        let beats: Vec<Beat> =
            self.case.beats.iter().filter(|beat| beat.at <= now).copied().collect();
        let mut picture = Picture {
            now,
            topology: &self.case.topology,
            paths: &mut self.paths,
            pairs: &pairs,
            facts,
            beats: &beats,
            heartbeat_us: self.case.heartbeat_us,
            works: &self.case.works,
        };
        let assessment = rca::assess(&mut picture, self.budget);
        let messages = self.incidents.take(&assessment, &|pair| rca::is_answering(&pairs, pair));
        Some(Step { at: now, assessment, messages })
    }

    pub fn topology(&self) -> &Topology {
        &self.case.topology
    }

    /// The incidents after the last step.
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }
}

fn pair(seen: &Seen, now: UtcMicros) -> Pair<'_> {
    let arrived = seen.asks.partition_point(|ask| ask.at <= now);
    let asks: &[Ask] = seen.asks.get(..arrived).unwrap_or(&[]);
    Pair { agent: seen.agent, target: seen.target, interval_us: seen.interval_us, asks }
}
