//! The brain: verdicts, consensus, minute truth, assignment. Pure: no clock, no socket, no randomness.
