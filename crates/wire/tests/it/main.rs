//! The contract held against friends and enemies.

mod hostile;
mod round_trip;
