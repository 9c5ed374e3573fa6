//! The journal against a real disk and against a cruel one.

mod crash;
mod disk;
mod sim;
