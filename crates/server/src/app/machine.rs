//! The machine the server runs on: load and memory. Linux only, like the server.
//!
//! What cannot be read is `None`: a Health page with a hole beats none.

use std::fs;

/// Average number of runnable tasks over 1, 5 and 15 minutes.
pub(crate) type Load = [f64; 3];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Of this process.
    pub(crate) rss_bytes: u64,
    pub(crate) total_bytes: u64,
    pub(crate) available_bytes: u64,
}

pub(crate) fn load() -> Option<Load> {
    parse_load(&fs::read_to_string("/proc/loadavg").ok()?)
}

pub(crate) fn memory() -> Option<Memory> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let process = fs::read_to_string("/proc/self/status").ok()?;
    Some(Memory {
        rss_bytes: parse_kib(&process, "VmRSS")?,
        total_bytes: parse_kib(&machine, "MemTotal")?,
        available_bytes: parse_kib(&machine, "MemAvailable")?,
    })
}

fn parse_load(text: &str) -> Option<Load> {
    let mut numbers = text.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// Reads a line such as `MemTotal:       24630808 kB`.
fn parse_kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_parsed() {
        assert_eq!(parse_load("0.52 0.58 0.59 1/467 12345\n"), Some([0.52, 0.58, 0.59]));
        assert_eq!(parse_load(""), None);
        let text = "MemTotal:       2 kB\nMemAvailable:   1 kB\n";
        assert_eq!(parse_kib(text, "MemTotal"), Some(2048));
        assert_eq!(parse_kib(text, "Mem"), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(load().is_some());
        assert!(memory().is_some_and(|memory| 0 < memory.rss_bytes));
    }
}
