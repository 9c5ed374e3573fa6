//! What a process has used, by the operating system's account of it.

use std::fs;

use anyhow::Context;
use bench::now;
use nix::sys::{resource::UsageWho, time::TimeValLike as _};

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

/// What this process took for something: by the clock, and by accounts that other work does not
/// touch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) ms: f64,
    pub(crate) cpu_ms: f64,
    /// Calls that read from a file or the like.
    pub(crate) reads: f64,
    /// What the disk was read for.
    pub(crate) disk_kib: f64,
}

/// The accounts when something began.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: std::time::Instant,
    then: Cost,
}

impl Meter {
    pub(crate) fn start() -> anyhow::Result<Meter> {
        Ok(Meter { then: own()?, begun: now() })
    }

    pub(crate) fn stop(self) -> anyhow::Result<Cost> {
        let ms = self.begun.elapsed().as_secs_f64() * 1e3;
        let (then, now) = (self.then, own()?);
        Ok(Cost {
            ms,
            cpu_ms: now.cpu_ms - then.cpu_ms,
            reads: now.reads - then.reads,
            disk_kib: now.disk_kib - then.disk_kib,
        })
    }
}

/// What this process took since its start; the clock apart.
fn own() -> anyhow::Result<Cost> {
    let used = nix::sys::resource::getrusage(UsageWho::RUSAGE_SELF)?;
    let cpu_us = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64;
    let text = read(std::process::id(), "io")?;
    let field = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    };
    Ok(Cost {
        ms: 0.0,
        cpu_ms: (cpu_us(used.user_time()) + cpu_us(used.system_time())) / 1e3,
        reads: field("syscr:"),
        disk_kib: field("read_bytes:") / 1024.0,
    })
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
