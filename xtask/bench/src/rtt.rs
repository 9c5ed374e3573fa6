//! `bench rtt`: what the agent measures against what the wire saw, at the load of 100,000 targets
//! asked once each 5 s.
//!
//! Two namespaces and a veth between them. Beyond it one host answers for all targets. The agent
//! asks through its real sockets; a capture on its side of the veth stamps each request and each
//! reply. Both know each packet, so each round-trip time is compared with its own.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use crate::{
    account::{cpu_s, rss_bytes_peak},
    capture::{Capture, Seen},
    show,
};

/// The first target; the range is routed to the other namespace, which takes all of it as its own.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 1);
const RANGE: &str = "10.128.0.0/10";
/// How long the capture rests when nothing came: its buffer holds some seconds.
const REST: Duration = Duration::from_millis(5);
/// Replies under way when the agent has ended.
const TAIL_READS: u32 = 50;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 100_000)]
    targets: u32,
    /// How often each is asked, 5 s apart.
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    #[arg(long)]
    pub(crate) json: bool,
    /// Folder of `faultline-agent`.
    #[arg(long)]
    programs: PathBuf,
}

/// Two namespaces and the cable; they go with their owner.
struct Wire {
    near: String,
    far: String,
    scratch: PathBuf,
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in [&self.near, &self.far] {
            ip(&format!("netns del {name}")).ok();
        }
        fs::remove_dir_all(&self.scratch).ok();
    }
}

fn ip(line: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(line.split_whitespace()).output();
    let output = output.context("cannot start `ip`; remedy: install iproute2")?;
    if !output.status.success() {
        bail!("`ip {line}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

impl Wire {
    /// Lays it and moves this thread to the near end: what it opens and starts is there.
    fn lay() -> anyhow::Result<Wire> {
        let id = std::process::id();
        let wire = Wire {
            near: format!("fl-rtt-{id}-a"),
            far: format!("fl-rtt-{id}-b"),
            scratch: std::env::temp_dir().join(format!("faultline-rtt-{id}")),
        };
        fs::create_dir_all(&wire.scratch).context("cannot make a folder")?;
        let (near, far) = (&wire.near, &wire.far);
        for name in [near, far] {
            ip(&format!("netns add {name}")).context("namespaces need root")?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        ip(&format!("link add near netns {near} type veth peer name far netns {far}"))?;
        for (name, link, address) in [(near, "near", "10.64.0.1/30"), (far, "far", "10.64.0.2/30")]
        {
            ip(&format!("-n {name} address add {address} dev {link}"))?;
            ip(&format!("-n {name} link set {link} up"))?;
        }
        ip(&format!("-n {near} route add {RANGE} via 10.64.0.2"))?;
        ip(&format!("-n {far} route add local {RANGE} dev lo"))?;
        let place = File::open(Path::new("/run/netns").join(near)).context("no namespace")?;
        setns(place, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace")?;
        Ok(wire)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let wire = Wire::lay()?;
    let mut capture = Capture::open()?;
    let list = wire.scratch.join("rtts");
    let mut agent = start(args, &list)?;
    let (mut used_s, mut rss_bytes) = (0.0, 0);
    let status = loop {
        while capture.read()? {}
        if let Some(status) = agent.try_wait().context("the agent cannot be waited for")? {
            break status;
        }
        // Read while it lives: an account ends with its process.
        used_s = cpu_s(agent.id()).unwrap_or(used_s);
        rss_bytes = rss_bytes_peak(agent.id()).unwrap_or(rss_bytes);
        // Not until the next packet: one wake-up serves many, and spares the machine's other core.
        std::thread::park_timeout(REST);
    };
    for _ in 0..TAIL_READS {
        capture.read()?;
    }
    if !status.success() {
        bail!("the agent's bench failed ({status})");
    }
    let said = agent.stdout.take().context("the agent said nothing")?;
    let report: Value = serde_json::from_reader(said).context("the agent's bench said no JSON")?;
    let errors = compare(args, &list, &capture.finish())?;
    let wall_s = report.get("wall_s").and_then(Value::as_f64).unwrap_or(0.0);
    let summary = json!({
        "summary": true,
        "targets": args.targets,
        "packets": errors.us.len(),
        "doubtful": report.get("doubtful"),
        "error_us_p50": percentile(&errors.us, 50),
        "error_us_p95": percentile(&errors.us, 95),
        "error_us_p99": percentile(&errors.us, 99),
        "error_us_max": errors.us.last(),
        "agent_longer_us_p50": percentile(&errors.longer_us, 50),
        "wire_rtt_us_p50": percentile(&errors.wire_us, 50),
        "wire_rtt_us_p99": percentile(&errors.wire_us, 99),
        "cpu_share": (used_s / wall_s * 1_000.0).round() / 1_000.0,
        "rss_bytes_peak": rss_bytes,
    });
    show(args.json, &summary);
    Ok(())
}

fn start(args: &Args, list: &Path) -> anyhow::Result<Child> {
    Command::new(args.programs.join("faultline-agent"))
        .args(["bench-icmp", "--json", "--targets", &args.targets.to_string()])
        .args(["--rounds", &args.rounds.to_string(), "--first", &FIRST.to_string(), "--list"])
        .arg(list)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start `faultline-agent`")
}

/// Sorted, in microseconds.
struct Errors {
    us: Vec<i64>,
    /// Signed: how much longer the agent's time is than the wire's.
    longer_us: Vec<i64>,
    wire_us: Vec<i64>,
}

/// Pairs each round of the agent with its packet on the wire.
fn compare(args: &Args, list: &Path, seen: &Seen) -> anyhow::Result<Errors> {
    let (expected, dropped) = (u64::from(args.targets) * u64::from(args.rounds), seen.dropped);
    let mut rounds: Vec<Vec<Option<i64>>> = vec![Vec::new(); args.targets as usize];
    for line in BufReader::new(File::open(list).context("the agent left no list")?).lines() {
        let line = line.context("the list broke off")?;
        let (number, rtt_us) = line.split_once(' ').context("not a line of the list")?;
        let number: usize = number.parse().context("not a number of a target")?;
        let of_target = rounds.get_mut(number).context("the list has a target too many")?;
        of_target.push(rtt_us.parse().ok());
    }
    let listed: usize = rounds.iter().map(Vec::len).sum();
    if listed as u64 != expected || 0 < dropped {
        bail!("{listed} of {expected} rounds are listed, the capture dropped {dropped} packets");
    }
    let mut errors = Errors { us: Vec::new(), longer_us: Vec::new(), wire_us: Vec::new() };
    for (number, of_target) in (0..).zip(&rounds) {
        let wire = seen.rtts_ns(Ipv4Addr::from(FIRST.to_bits().wrapping_add(number)));
        if wire.len() < of_target.len() {
            bail!(
                "target {number}: {} rounds, {} requests on the wire",
                of_target.len(),
                wire.len()
            );
        }
        for (agent_us, wire_ns) in of_target.iter().zip(wire) {
            let (Some(agent_us), Some(wire_ns)) = (agent_us, wire_ns) else {
                bail!(
                    "target {number}: answered for the agent {agent_us:?}, on the wire {wire_ns:?}"
                );
            };
            let wire_us = (wire_ns + 500) / 1_000;
            errors.us.push((agent_us - wire_us).abs());
            errors.longer_us.push(agent_us - wire_us);
            errors.wire_us.push(wire_us);
        }
    }
    errors.us.sort_unstable();
    errors.longer_us.sort_unstable();
    errors.wire_us.sort_unstable();
    Ok(errors)
}

/// The value that `percent` of the sorted ones do not exceed.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<i64> = (1..=200).collect();
        assert_eq!(
            [50, 95, 99, 100].map(|p| percentile(&values, p)),
            [100, 190, 198, 200].map(Some)
        );
        assert_eq!((percentile(&[7], 99), percentile(&[], 99)), (Some(7), None));
    }
}
