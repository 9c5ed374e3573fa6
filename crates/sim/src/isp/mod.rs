//! A virtual internet provider in real time: what the demo watches.
//!
//! [`Plan`] is its network as an operator would describe it, and everything that is asked in it;
//! [`Isp`] is that network at work: packets, faults, rerouting, what its devices report; [`Reach`]
//! is how an agent's prober and traces reach it. Time is handed in with every call, so whoever
//! drives it owns the clock; the same seed grows the same network and draws the same loads.

mod fault;
mod net;
mod past;
mod plan;
mod reach;
mod scenario;
mod tour;
mod traffic;

pub use fault::{Fault, FaultError, FaultKind, Size as FaultSize};
pub use net::{Active, CONVERGENCE, FAULTS_MAX, Isp, Report};
pub use past::Climate;
pub use plan::{Asked, Pace, Plan, Watcher};
pub use reach::{Reach, TraceReach};
pub use scenario::{Timed, Timetable};
pub use tour::{Stop, tour};

/// Whose network the demo's grew from, as its licence asks.
pub const CREDIT: &str = "The backbone's cities and lines are those of AttMpls in The Internet \
    Topology Zoo (Knight, Nguyen, Falkner, Bowden, Roughan, IEEE JSAC 29(9), 2011), CC BY 4.0. \
    Everything else is made up.";
