//! What the host says of itself and of this process.

use nix::sys::{
    resource::{UsageWho, getrusage},
    utsname::uname,
};

use crate::limited;

/// The operating system and its version, for people.
pub(crate) fn os() -> String {
    let Ok(names) = uname() else {
        return String::new();
    };
    let text = [names.sysname(), names.release(), names.machine()];
    let text: Vec<_> = text.iter().map(|part| part.to_string_lossy()).collect();
    limited(&text.join(" ")).to_owned()
}

pub(crate) fn name() -> String {
    let names = uname().map(|names| names.nodename().to_string_lossy().into_owned());
    limited(&names.unwrap_or_default()).to_owned()
}

/// Memory in RAM; 0 if the kernel does not say.
pub(crate) fn rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Processor time of all threads since the start, user and system.
pub(crate) fn cpu_us_total() -> u64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return 0;
    };
    let total = usage.user_time() + usage.system_time();
    let us = total.tv_sec().saturating_mul(1_000_000).saturating_add(total.tv_usec());
    u64::try_from(us).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        assert!(1024 * 1024 < rss_bytes());
        assert!(os().starts_with("Linux "));
    }
}
