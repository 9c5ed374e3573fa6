//! `bench icmp`: one single-packet round to many loopback addresses through the agent's own
//! sockets, then the same list through fping, each judged by its own CPU time.
//!
//! A ratio against a peer of the same run: machines are shared and noisy.

use std::{fmt::Write as _, fs, net::Ipv4Addr, process::Command};

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::{Value, json};

use crate::{need, shell};

/// The first address; the others follow it. The agent's bench asks the same.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// fping reserves memory per target; this many at a time is what it is comfortable with.
const FPING_TARGETS_MAX: u32 = 50_000;
/// The kernel's unit of CPU time in `/proc`, per second.
const TICKS_PER_S: f64 = 100.0;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench icmp", no_binary_name = true)]
struct Args {
    #[arg(long, default_value_t = 100_000)]
    targets: u32,
    #[arg(long)]
    json: bool,
}

/// What one program did.
struct Run {
    probes: u64,
    replies: u64,
    wall_s: f64,
    cpu_s: f64,
}

impl Run {
    fn probes_per_cpu_s(&self) -> f64 {
        self.probes as f64 / self.cpu_s
    }

    fn json(&self, program: &str) -> Value {
        json!({
            "program": program, "probes": self.probes, "replies": self.replies,
            "wall_s": self.wall_s, "cpu_s": self.cpu_s,
            "probes_per_cpu_s": self.probes_per_cpu_s().round(),
        })
    }
}

pub(crate) fn run(rest: &[String]) -> anyhow::Result<()> {
    let args = Args::try_parse_from(rest)?;
    shell::run(shell::cargo().args(["build", "--quiet", "--release", "--package=agent"]))?;
    let ours = agent(args.targets)?;
    show(&args, &ours.json("faultline-agent"));
    let peer = match need::find("fping") {
        Some(_) => Some(fping(args.targets)?),
        None => None,
    };
    let mut summary = ours.json("faultline-agent");
    let fields = summary.as_object_mut().context("not an object")?;
    fields.remove("program");
    if let Some(peer) = peer {
        show(&args, &peer.json("fping"));
        let ratio = ours.probes_per_cpu_s() / peer.probes_per_cpu_s();
        fields.insert("fping_probes_per_cpu_s".to_owned(), json!(peer.probes_per_cpu_s().round()));
        fields.insert("ratio".to_owned(), json!((ratio * 100.0).round() / 100.0));
    }
    fields.insert("summary".to_owned(), json!(true));
    show(&args, &summary);
    // Its own result first, then its speed: a bench that asked nobody is fast.
    if ours.probes != u64::from(args.targets) || ours.replies != ours.probes {
        bail!("{} of {} targets asked, {} answered", ours.probes, args.targets, ours.replies);
    }
    Ok(())
}

fn show(args: &Args, value: &Value) {
    if args.json {
        println!("{value}");
        return;
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        println!("{name:24} {field}");
    }
    println!();
}

/// Runs a program and measures what it took: output of both kinds, wall and CPU seconds.
fn measure(command: &mut Command) -> anyhow::Result<(String, String, f64, f64)> {
    let (begun, cpu_before) = (shell::now(), children_cpu_s()?);
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let (wall_s, cpu_s) = (begun.elapsed().as_secs_f64(), children_cpu_s()? - cpu_before);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr), wall_s, cpu_s))
}

/// User and system time of all children that have ended, by the kernel's account.
fn children_cpu_s() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/self/stat").context("cannot read `/proc/self/stat`")?;
    // The name in brackets may hold blanks; `cutime` and `cstime` are the 14th and 15th after it.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let mut fields = after.split_whitespace().skip(13).map(|field| field.parse::<f64>());
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((user + system) / TICKS_PER_S),
        _ => bail!("`/proc/self/stat` says something new"),
    }
}

fn agent(targets: u32) -> anyhow::Result<Run> {
    let program = shell::target_dir()?.join("release/faultline-agent");
    let mut command = Command::new(program);
    command.args(["bench-icmp", "--json", "--targets", &targets.to_string()]);
    let (said, complaint, wall_s, cpu_s) = measure(&mut command)?;
    let last = said.lines().next_back().unwrap_or_default();
    let report: Value = serde_json::from_str(last)
        .with_context(|| format!("the agent's bench said: {said}{complaint}"))?;
    let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    Ok(Run { probes: count("probes"), replies: count("replies"), wall_s, cpu_s })
}

fn fping(targets: u32) -> anyhow::Result<Run> {
    let mut run = Run { probes: 0, replies: 0, wall_s: 0.0, cpu_s: 0.0 };
    let path = std::env::temp_dir().join(format!("faultline-fping-{}", std::process::id()));
    let mut begin = 0;
    while begin < targets {
        let end = targets.min(begin + FPING_TARGETS_MAX);
        let mut list = String::new();
        for number in begin..end {
            let address = Ipv4Addr::from(FIRST.to_bits().wrapping_add(number));
            writeln!(list, "{address}").context("cannot write to memory")?;
        }
        fs::write(&path, list).context("cannot write the list for fping")?;
        let mut command = Command::new("fping");
        command.args(["-c1", "-q", "-i0", "-r0", "-t1000", "-f"]).arg(&path);
        let (_, said, wall_s, cpu_s) = measure(&mut command)?;
        run.probes += said.lines().filter(|line| line.contains("xmt/rcv/%loss")).count() as u64;
        run.replies += said.lines().filter(|line| line.contains("= 1/1/0%")).count() as u64;
        run.wall_s += wall_s;
        run.cpu_s += cpu_s;
        begin = end;
    }
    fs::remove_file(&path).ok();
    if run.probes != u64::from(targets) {
        bail!("fping asked {} of {targets} targets", run.probes);
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_children_is_counted_once_they_ended() {
        let before = children_cpu_s().expect("a number");
        let (said, _, wall_s, cpu_s) = measure(Command::new("echo").arg("a")).expect("echo");
        assert_eq!(said, "a\n");
        assert!(0.0 <= cpu_s && cpu_s <= wall_s + 0.1);
        assert!(before <= children_cpu_s().expect("a number"));
    }
}
