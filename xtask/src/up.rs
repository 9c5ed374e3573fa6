//! `cargo xtask up`: from a fresh clone to a running system with one command.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context, bail};

use crate::{console, need, shell};

pub(crate) fn run(rest: &[String]) -> anyhow::Result<()> {
    let mut faultline = built()?;
    faultline.arg("up").args(rest);
    if !rest.iter().any(|argument| argument.starts_with("--data-dir")) {
        faultline.arg("--data-dir").arg(shell::root().join("data"));
    }
    // Takes this program's place, so that signals and the exit code are its own.
    Err(faultline.exec()).context("cannot start `faultline up`")
}

/// `cargo xtask demo`: the same to a running demo.
pub(crate) fn demo(rest: &[String]) -> anyhow::Result<()> {
    Err(built()?.arg("demo").args(rest).exec()).context("cannot start `faultline demo`")
}

/// Builds what is shipped; returns the command that starts it.
fn built() -> anyhow::Result<Command> {
    let missing = need::missing_for_build();
    if !missing.is_empty() {
        bail!("this machine lacks:\n  - {}", missing.join("\n  - "));
    }
    println!("1/3  building the console");
    console::build()?;
    println!("2/3  building server and agent (the first time takes some minutes)");
    let folder = shell::build_release()?;
    println!("3/3  starting\n");
    Ok(shell::command(folder.join("faultline")))
}
