//! Asks the engine at each step of a case, with what had arrived by then.

use model::UtcMicros;

use super::read::{Case, Seen};
use crate::{
    graph::{PathBook, Topology},
    rca::{self, Assessment, Beat, Board, Fact, Incidents, Message, Pair, Pairs, Picture},
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
    board: Board,
    incidents: Incidents,
    next: usize,
    budget: Option<u64>,
}

impl<'a> Player<'a> {
    /// `budget` bounds the work of a step, in covers weighed; `None` is no limit.
    pub fn new(case: &'a Case, budget: Option<u64>) -> Player<'a> {
        let paths = PathBook::new(&case.topology, &case.told);
        let (board, incidents) = (Board::default(), Incidents::default());
        Player { case, paths, board, incidents, next: 0, budget }
    }

    /// Asks at the next step; `None` after the last.
    pub fn step(&mut self) -> Option<Step> {
        let now = *self.case.steps.get(self.next)?;
        self.next += 1;
        let arrived = self.case.facts.partition_point(|fact| fact.at <= now);
        let facts: &[Fact] = self.case.facts.get(..arrived).unwrap_or(&[]);
        let beats: Vec<Beat> =
            self.case.beats.iter().filter(|beat| beat.at <= now).copied().collect();
        let mut picture = Picture {
            now,
            topology: &self.case.topology,
            paths: &mut self.paths,
            pairs: &self.case.seen,
            facts,
            beats: &beats,
            heartbeat_us: self.case.heartbeat_us,
            works: &self.case.works,
        };
        let assessment = rca::assess(&mut picture, &mut self.board, self.budget);
        let heard = |pair| self.board.heard_of(&self.case.seen, pair);
        let messages = self.incidents.take(&assessment, &heard);
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

impl Pairs for Vec<Seen> {
    fn count(&self) -> usize {
        self.len()
    }

    fn get(&self, at: usize) -> Option<Pair<'_>> {
        let Seen { agent, target, interval_us, asks } = self.as_slice().get(at)?;
        Some(Pair { agent: *agent, target: *target, interval_us: *interval_us, asks })
    }
}
