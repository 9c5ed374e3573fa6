//! The allocator of this program, and what makes it give back what nobody uses.

use std::{hint::black_box, time::Duration};

/// Also for what is not Rust, SQLite above all. The C library's own keeps a heap for each of a
/// dozen threads, and what one of them freed serves no other: a server of 300,000 pairs held three
/// times what it used (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So often what was freed is given back.
pub(crate) const GIVE_BACK_INTERVAL: Duration = Duration::from_secs(2);

/// Above 16 MiB the allocator takes a region for a piece alone, and frees it with the piece.
const REGION_BYTES: usize = 17 << 20;

/// A region of memory that nobody touches, so it takes none.
///
/// Only when it frees a region does the allocator look whether it is time to give back others that
/// were freed before. A server at rest may not do that for hours: the 19 MiB of a sign-in stayed.
pub(crate) struct Untouched {
    region: Vec<u8>,
}

impl Untouched {
    pub(crate) fn new() -> Untouched {
        Untouched { region: black_box(Vec::with_capacity(REGION_BYTES)) }
    }

    /// Gives back what was freed a tenth of a second ago or longer.
    pub(crate) fn exchange(&mut self) {
        // Freed first: a new one might lie where there is something to be given back, and keep it.
        self.region = Vec::new();
        *self = Untouched::new();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// More than anything else in this process takes meanwhile.
    const FREED_BYTES: usize = 64 << 20;
    /// A tenth of a second is over long before.
    const TRIES_MAX: u32 = 1_000_000;

    /// What is resident, of pages of 4 KiB.
    fn rss_bytes() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// One test, as both look at the memory of the process.
    #[test]
    fn what_was_freed_is_given_back_while_nobody_asks_for_memory_and_it_takes_none_itself() {
        let before = rss_bytes();
        let mut untouched = Untouched::new();
        (0..10).for_each(|_| untouched.exchange());
        assert!(rss_bytes() < before + REGION_BYTES / 4, "{} MB", rss_bytes() / 1_000_000);

        let before = rss_bytes();
        drop(black_box(vec![1_u8; FREED_BYTES]));
        let is_given_back = (0..TRIES_MAX).any(|_| {
            untouched.exchange();
            rss_bytes() < before + FREED_BYTES / 2
        });
        assert!(is_given_back, "{} MB are held", rss_bytes() / 1_000_000);
    }
}
