//! The engine as its driver sees it: scripts in, decisions out.

mod atlas;
mod case;
mod consensus;
#[cfg(feature = "seeded-defects")]
mod defects;
mod driver;
mod facts;
mod incidents;
mod laws;
mod live;
mod maintenance;
mod minutes;
mod play;
mod rules;
mod topology;
