//! Topologies from the files of others.
//!
//! Each reader makes a [`Draft`](super::Draft) of a text and says the first fault with its place;
//! it reads no file itself.

mod graphml;
mod topohub;

pub use graphml::graphml;
pub use topohub::topohub;

/// The largest file that is read: a million elements with all their attributes.
pub const FILE_BYTES_MAX: usize = 1 << 30;
