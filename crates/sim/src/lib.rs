//! Virtual networks, fleets, faults, and the oracle that judges the judge.
//!
//! A scenario is drawn from a seed. The agents are the real `sense` speaking the real `wire`; the
//! judge is the real `engine` behind a log that a crash can shorten. There is one clock, moved to
//! the earliest wake-up, and nothing sleeps. The oracle knows the truth and says what was not true.
//!
//! It does not test sockets, disks or databases: the drills and the crash suites do.

mod adapt;
mod agent;
mod diagnosis;
pub mod grow;
pub mod isp;
mod net;
mod oracle;
mod rng;
mod run;
mod scenario;
mod server;
mod shrink;
mod uplink;
mod world;

pub use oracle::Violation;
pub use rng::{Rng, hash};
pub use run::{Report, run, run_restarting};
pub use scenario::{Fault, FaultKind, Scenario};
pub use shrink::shrink;

/// A mistake put in on purpose, to prove that the oracle would see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The server acknowledges before the log is synced.
    AckBeforeDurable,
    /// The server takes a batch again that it has already.
    DedupeLost,
    /// The server does not tell the engine that it was down.
    StartForgotten,
    /// After a restart the server does not know what people were told.
    IncidentsForgotten,
    /// After a restart the last message is sent once more.
    NoticeTwice,
    /// Every target is said to be explained by every incident.
    AllSuppressed,
    /// Whatever fails, the root is blamed.
    RootBlamed,
    /// A mistake inside the engine.
    #[cfg(feature = "defects")]
    Engine(engine::Defect),
}

impl Defect {
    /// Every known mistake, those inside the engine only where they are built in.
    pub fn all() -> Vec<Defect> {
        let own = [
            Defect::AckBeforeDurable,
            Defect::DedupeLost,
            Defect::StartForgotten,
            Defect::IncidentsForgotten,
            Defect::NoticeTwice,
            Defect::AllSuppressed,
            Defect::RootBlamed,
        ];
        #[cfg(feature = "defects")]
        let own = own.into_iter().chain(engine::Defect::ALL.into_iter().map(Defect::Engine));
        own.into_iter().collect()
    }
}
