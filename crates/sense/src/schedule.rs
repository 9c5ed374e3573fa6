//! When rounds are due: a stable phase for each subject, spread evenly over the interval.
//!
//! Deliberately no state and no randomness: the phase follows from the subject alone, so that a
//! restart, a new assignment or another agent's arrival moves nobody.

use model::{Subject, Tick};

/// 2^32 divided by the golden ratio. Consecutive multiples of it, modulo 2^32, fill a circle more
/// evenly than any hash: each new point falls into one of the largest gaps.
const GOLDEN: u32 = 2_654_435_769;

/// Returns the phase of a subject within an interval, in microseconds.
pub fn phase_us(subject: Subject, interval_us: u32) -> u32 {
    let number = match subject {
        Subject::Probe(probe) => probe.0,
        // From the other end of the numbers, where no probe id will ever be.
        Subject::Gateway => u32::MAX,
        Subject::Witness(index) => u32::MAX - 1 - u32::from(index),
    };
    let turn = u64::from(number.wrapping_mul(GOLDEN));
    let phase = (turn * u64::from(interval_us)) >> 32;
    u32::try_from(phase).unwrap_or(0)
}

/// Returns the first tick at or after `from` that is a whole number of intervals after `phase_us`.
pub fn next_due(phase_us: u32, interval_us: u32, from: Tick) -> Tick {
    let (phase, interval) = (u64::from(phase_us), u64::from(interval_us.max(1)));
    let past = from.0.saturating_sub(phase);
    Tick(past.div_ceil(interval).saturating_mul(interval).saturating_add(phase))
}
