//! What a process has used, by the operating system's account of it.

use std::fs;

use anyhow::Context;

/// The kernel's unit of CPU time in `/proc`, per second.
const TICKS_PER_S: f64 = 100.0;

/// User and system time of a process since its start.
pub(crate) fn cpu_s(process: u32) -> anyhow::Result<f64> {
    let text = read(process, "stat")?;
    // The name in brackets may hold blanks; `utime` and `stime` are the 12th and 13th after it.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let fields = after.split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.map(|field| field.parse().unwrap_or(0.0)).sum();
    Ok(ticks / TICKS_PER_S)
}

/// The most memory that a process had resident.
pub(crate) fn rss_bytes_peak(process: u32) -> anyhow::Result<u64> {
    memory(process, "VmHWM:")
}

/// The memory that a process has resident now.
pub(crate) fn rss_bytes(process: u32) -> anyhow::Result<u64> {
    memory(process, "VmRSS:")
}

fn memory(process: u32, field: &str) -> anyhow::Result<u64> {
    let text = read(process, "status")?;
    let line = text.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("the kernel names no {field}"))? * 1024)
}

fn read(process: u32, name: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{process}/{name}");
    fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))
}
