//! Plays inputs against a target, and makes what failed as small as it gets.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use peak_alloc::PeakAlloc;

use crate::{
    Target, corpus,
    mutate::{Dice, mutated},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One target at a time: what others allocate meanwhile would be counted with it.
static TURN: Mutex<()> = Mutex::new(());

/// Attempts to shorten what failed.
const SHRINKS_MAX: u32 = 2_000;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    pub runs: u64,
    /// Inputs of the corpus that were taken.
    pub corpus_taken: u64,
    /// Mutations that were taken.
    pub taken: u64,
    /// The most that one input made the target hold.
    pub bytes_peak: usize,
}

/// Plays the corpus and mutations of it until `is_enough`, which is asked after each.
///
/// # Errors
///
/// The smallest input found that breaks the target, and how.
pub fn play(target: &Target, seed: u64, is_enough: impl Fn(u64) -> bool) -> Result<Played, String> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let inputs = corpus::load(target).map_err(|error| {
        format!("{}: no corpus ({error}): run `cargo run -p fuzz -- --write-seeds`", target.name)
    })?;
    let mut played = Played::default();
    for input in &inputs {
        let (is_taken, bytes) = attempt(target, input).map_err(|why| told(target, input, &why))?;
        played.corpus_taken += u64::from(is_taken);
        played.bytes_peak = played.bytes_peak.max(bytes);
    }
    let mut dice = Dice(seed);
    while !is_enough(played.runs) {
        let input = mutated(&inputs, &mut dice);
        let (is_taken, bytes) = attempt(target, &input).map_err(|why| {
            let smallest = shrunk(target, input);
            told(target, &smallest, &why)
        })?;
        played.runs += 1;
        played.taken += u64::from(is_taken);
        played.bytes_peak = played.bytes_peak.max(bytes);
    }
    Ok(played)
}

/// Whether the input was taken, and how much memory it took at most.
fn attempt(target: &Target, input: &[u8]) -> Result<(bool, usize), String> {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let bytes = MEMORY.peak_usage().saturating_sub(before);
    match result {
        Err(_) => Err("it panics".to_owned()),
        Ok(_) if target.bytes_max < bytes => {
            Err(format!("it holds {bytes} bytes at once; {} at most", target.bytes_max))
        }
        Ok(is_taken) => Ok((is_taken, bytes)),
    }
}

/// Leaves parts out for as long as it fails without them.
fn shrunk(target: &Target, mut input: Vec<u8>) -> Vec<u8> {
    let mut attempts = 0;
    let mut part = input.len().div_ceil(2);
    while 0 < part && attempts < SHRINKS_MAX {
        let mut at = 0;
        while at < input.len() && attempts < SHRINKS_MAX {
            attempts += 1;
            let mut shorter = input.clone();
            shorter.drain(at..(at + part).min(input.len()));
            if attempt(target, &shorter).is_err() {
                input = shorter;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    input
}

fn told(target: &Target, input: &[u8], why: &str) -> String {
    let mut hex = String::new();
    for byte in input {
        // Writing to a text cannot fail.
        write!(hex, "{byte:02x}").unwrap_or(());
    }
    format!(
        "{}: {why}\nkeep it: `printf %s {hex} | xxd -r -p > fuzz/corpus/{}/found-NAME`\n{}",
        target.name,
        target.name,
        input.escape_ascii()
    )
}
