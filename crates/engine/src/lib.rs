//! The brain of Faultline: rounds in, verdicts and minute truths out.
//!
//! [`Engine`] judges what each agent holds of each probe, what all agents together hold, whether
//! an agent is online, offline or blind, what every minute was, and which agents ask what. It is
//! pure: no clock, no socket, no log, no randomness. The same inputs give the same decisions and
//! the same checkpoint, byte for byte, and a restored engine goes on as if it had never stopped.
//!
//! Beside it, and pure as well, stands root cause: [`graph`] is the network, [`rca`] judges what
//! was seen of it, [`case`] reads and plays case files, [`live`] does it for the network as it is
//! now.
//!
//! It deliberately does not know alerts or people; it asks nothing and stores nothing. Its driver
//! feeds it what the log holds, in order, and stores its decisions before anyone acts on them.
//!
//! The modules form a line, each using only those before it: `graph`, `rca`, `case`, `live`,
//! `assign`, `defect`, `rules`, `loss`, `watch`, `sight`, `consensus`, `minutes`, `why`, `lane`,
//! `state`, `engine`, then the engine's parts `inventory`, `rounds`, `late`, `turn`, `snapshot`.

pub mod assign;
pub mod case;
mod consensus;
mod defect;
mod engine;
pub mod graph;
mod inventory;
mod lane;
mod late;
pub mod live;
mod loss;
mod minutes;
pub mod rca;
mod rounds;
mod rules;
mod sight;
mod snapshot;
mod state;
mod turn;
mod watch;
mod why;

#[cfg(feature = "seeded-defects")]
pub use defect::Defect;
pub use engine::{AgentStatus, Counters, Engine, PairStatus, ProbeStatus};
pub use snapshot::CheckpointError;
