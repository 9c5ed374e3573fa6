//! Root cause: from rounds, paths and reports to the one sentence, with its probability, what
//! speaks for it and against it, and whom it hits.
//!
//! The method is an epoch-aware path likelihood with telemetry factors. Rounds of one agent over
//! one set of paths are a row; a cause is weighed by how much likelier it makes the rows, the
//! reports and the heartbeats than nothing would; the best set of causes is searched, and what
//! else could be is kept beside it. `docs/root-cause.md` says it in plain words.
//!
//! It is pure and deterministic. It deliberately does not know verdicts, alerts or people: it
//! reasons on the evidence below verdicts, and may speak before the second bad round.

mod assess;
mod board;
mod class;
mod evidence;
mod impact;
mod incidents;
mod noise;
mod picture;
mod prior;
mod regime;
mod report;
mod rows;
mod score;
mod search;
mod steps;
mod targets;
mod telemetry;
pub mod text;
mod ways;
mod whatif;

pub use board::Board;
pub use evidence::{AgentNote, REFS_MAX};
pub(crate) use impact::cut_off;
pub use incidents::{
    Change, Heard, Incident, IncidentId, Incidents, Known, Message, OPEN_PROBABILITY, REOPEN_US,
    State,
};
pub use picture::{Ask, Beat, Fact, Pair, Pairs, Picture, Work};
pub use report::{
    Assessment, Evidence, Finding, Impact, RankedCause, SUPPRESS_PROBABILITY, Source,
};
pub use rows::window_us;
pub use steps::next_steps;
pub use whatif::{Loss, SinglePoint, absent_agents, single_points, what_if};

/// Judges a picture. `board` has the evidence of the judgements before, or is empty: that changes
/// how long it takes and nothing else. `budget` bounds the work, in covers weighed; `None` is no
/// limit.
pub fn assess(picture: &mut Picture<'_>, board: &mut Board, budget: Option<u64>) -> Assessment {
    board.take(picture);
    let judgement = assess::judge(picture, board, budget);
    report::report(picture, &judgement)
}
