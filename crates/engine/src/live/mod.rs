//! Root cause of the network as it is now: the topology in force, the rounds of the last minutes,
//! and what follows from them.
//!
//! [`Net`] holds a topology with its paths and follows changes of it; [`Roster`] is the inventory
//! as far as it gives names to both; [`Ledger`] keeps the evidence; [`Standing`] judges it and
//! goes on with what it said before. All of it is pure: whoever drives it hands in the entries of
//! the log in their order, so the same entries give the same answers. It deliberately decides no
//! verdict and is no part of the engine's checkpoint: its evidence begins anew with a process, and
//! what people were told goes on by [`Standing::restore`].

mod alerts;
mod atlas;
mod facts;
mod kept;
mod ledger;
mod net;
mod reach;
mod roster;
mod scout;
mod standing;
mod survey;
mod told;
mod vigil;
mod voice;
mod ways;

pub use alerts::Out;
pub use atlas::{Atlas, Blamed, Counts, Line, Mark, Marks, Node, Part, Place as AtlasPlace, Seen};
pub use facts::{
    Contradiction, FACT_FRESH_US, FACT_STALE_US, FactTold, HOLD_US, Reported, fact_weight, for_case,
};
pub use kept::{Kept, PAIRS_KEPT_MAX};
pub use ledger::{ASKS_TOTAL_MAX, Ledger, ask};
pub use net::{Moved, Net};
pub use reach::{Reach, Works};
pub use roster::Roster;
pub use scout::{Note, Question, Scene, Scout, Turn, Turned, Way, Wish};
pub use standing::{Hearing, Standing};
pub use told::{Blame, Clue, Hit, Report, Sight, Told, told};
pub use vigil::MonitorChange;
pub use voice::{Place, RETURN_US, Silence, Voice, voice};
pub use ways::{WAY_HOPS_MAX, WayChange, WayHops};
