//! `cargo xtask bench NAME`, `sim` and `lab`: builds in release, runs the program that does it.
//!
//! Measures nothing itself but what stands beside a peer (`icmp` against fping). The last line of
//! `--json` is the summary.

use std::process::Command;

use anyhow::bail;

use crate::{icmp, shell};

/// Targets that each fault is made on at once to measure detection.
const DETECT_REPEAT: &str = "10";

pub(crate) fn run(name: &str, rest: &[String]) -> anyhow::Result<()> {
    match name {
        "icmp" => icmp::run(rest),
        "sim" => sim(rest),
        "ingest" | "fleet" | "rtt" | "empty" | "plan" | "start" => {
            let folder = shell::build_release()?;
            let mut cargo = shell::cargo();
            cargo.args(["run", "--quiet", "--release", "--locked", "--package=bench", "--", name]);
            shell::run(cargo.arg("--programs").arg(folder).args(rest))
        }
        "history" => {
            let mut cargo = shell::cargo();
            cargo.args(["run", "--quiet", "--release", "--locked", "--package=bench", "--", name]);
            shell::run(cargo.args(rest))
        }
        "rca" => {
            let mut cargo = shell::cargo();
            cargo.args(["run", "--quiet", "--release", "--locked", "--package=rca-bench", "--"]);
            shell::run(cargo.args(rest))
        }
        "detect" => {
            let folder = shell::build_release()?;
            // A 95th percentile of one is no percentile; who wants another number says so.
            let is_said = rest.iter().any(|argument| argument == "--repeat");
            let repeat: &[&str] = if is_said { &[] } else { &["--repeat", DETECT_REPEAT] };
            shell::run(
                lab_command().arg("--programs").arg(folder).arg("--detect").args(repeat).args(rest),
            )
        }
        _ => bail!(
            "there is no bench `{name}`; there are: icmp, rtt, ingest, fleet, history, empty, \
             plan, start, sim, detect, rca"
        ),
    }
}

/// The simulator's program, in release: it is all computation.
pub(crate) fn sim_command(arguments: &[&str]) -> Command {
    let mut cargo = shell::cargo();
    cargo.args(["run", "--quiet", "--release", "--locked", "--package=sim", "--"]).args(arguments);
    cargo
}

/// The simulator with its switchable mistakes built in.
pub(crate) fn defects_command(arguments: &[&str]) -> Command {
    let mut cargo = shell::cargo();
    cargo.args(["run", "--quiet", "--release", "--locked", "--package=sim"]);
    cargo.args(["--features=defects", "--", "--defects"]).args(arguments);
    cargo
}

pub(crate) fn sim(rest: &[String]) -> anyhow::Result<()> {
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    shell::run(&mut sim_command(&rest))
}

/// The lab's program.
pub(crate) fn lab_command() -> Command {
    let mut cargo = shell::cargo();
    cargo.args(["run", "--quiet", "--locked", "--package=lab", "--"]);
    cargo
}

pub(crate) fn lab(rest: &[String]) -> anyhow::Result<()> {
    let mut lab = lab_command();
    if !rest.iter().any(|argument| argument == "--list" || argument == "--help") {
        lab.arg("--programs").arg(shell::build_release()?);
    }
    shell::run(lab.args(rest))
}
