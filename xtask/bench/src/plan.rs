//! `bench plan`: what `faultline plan` says beside what is measured, and no more than 15 % off.
//!
//! 1 - Disk: days of rounds and minutes of one group of targets through the real store, rolled up
//!     and merged as time passes ([`crate::play`]). Looked at just before a midnight, when the most
//!     is not merged yet; then time goes on until all is merged, as nearly all of a long memory is.
//!     The plan is of the default times, but of no more days than were played.
//! 2 - Memory, results and packets: a real server and the agents of `fleet`, through the door.

mod disk;
mod load;

use std::path::PathBuf;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::show;

/// As far as a plan may be off.
const OFF_MAX: f64 = 0.15;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Days of the part about disk, of one group of 64 targets.
    #[arg(long, default_value_t = 6)]
    days: u32,
    /// Targets of the part about memory.
    #[arg(long, default_value_t = 10_000)]
    targets: u32,
    #[arg(long, default_value_t = 3)]
    agents: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    json: bool,
    /// Folder of `faultline` and `faultline-agent`.
    #[arg(long)]
    programs: PathBuf,
}

/// One figure of a plan.
struct Compared {
    name: &'static str,
    planned: f64,
    measured: f64,
    /// How it came about, where it was not measured as it stands.
    note: &'static str,
}

impl Compared {
    /// Of the measured figure.
    fn off(&self) -> f64 {
        self.planned / self.measured.max(f64::MIN_POSITIVE) - 1.0
    }

    fn is_good(&self) -> bool {
        self.off().abs() <= OFF_MAX
    }

    fn line(&self) -> Value {
        json!({
            "figure": self.name,
            "planned": self.planned.round(),
            "measured": self.measured.round(),
            "off_percent": (self.off() * 1_000.0).round() / 10.0,
            "note": self.note,
        })
    }

    fn show(&self, is_json: bool) {
        if is_json {
            return show(true, &self.line());
        }
        let off = self.off() * 100.0;
        let verdict = if self.is_good() { "" } else { "  TOO FAR OFF" };
        println!(
            "{:22} planned {:>14.0}  measured {:>14.0}  {off:>+6.1} %{verdict}  {}",
            self.name, self.planned, self.measured, self.note
        );
    }
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut all = disk::run(args.days, args.seed).await?;
    all.extend(load::run(args).await?);
    all.iter().for_each(|compared| compared.show(args.json));
    let bad: Vec<&str> = all.iter().filter(|c| !c.is_good()).map(|c| c.name).collect();
    let worst = all.iter().map(|c| c.off().abs());
    let worst = worst.fold(0.0, f64::max);
    let summary = json!({
        "summary": true,
        "off_percent_worst": (worst * 1_000.0).round() / 10.0,
        "off_percent_max": OFF_MAX * 100.0,
        "too_far_off": bad,
    });
    show(args.json, &summary);
    ensure!(bad.is_empty(), "the plan is more than 15 % off: {}", bad.join(", "));
    Ok(())
}
