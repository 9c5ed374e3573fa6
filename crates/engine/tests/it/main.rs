//! The engine as its driver sees it: scripts in, decisions out.

mod driver;
mod laws;
mod minutes;
mod play;
mod rules;
