//! The prober as its driver sees it: scripts in, rounds out.

mod codec;
mod rounds;
mod scale;
mod trace;
mod world;
