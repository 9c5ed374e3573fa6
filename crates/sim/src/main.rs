//! `sim`: plays scenarios by seed or from a file, prints what was not true, exits with 1 if any.

use std::{ops::Range, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::json;
use sim::{Defect, Report, Scenario, run, shrink};

/// Plays drawn scenarios and lets the oracle judge the judge.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Args {
    /// Seeds to play, the end not included.
    #[arg(long, value_name = "A..B", default_value = "0..50")]
    seeds: String,
    /// Play this scenario (TOML) instead of seeds.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// One JSON object a line, the last with "summary": true.
    #[arg(long)]
    json: bool,
    /// Put in each known mistake in turn and show which seed catches it.
    #[arg(long)]
    defects: bool,
}

fn main() -> ExitCode {
    match play(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("sim: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn play(args: &Args) -> anyhow::Result<bool> {
    let seeds = parse_seeds(&args.seeds)?;
    if args.defects {
        return Ok(catch_defects(seeds));
    }
    if let Some(path) = &args.scenario {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let scenario = toml::from_str(&text)
            .with_context(|| format!("`{}` is not a scenario", path.display()))?;
        let report = run(&scenario, None);
        tell(&report, args.json);
        return Ok(report.violations.is_empty());
    }
    let (mut steps, mut violations, mut first) = (0, 0, None);
    for seed in seeds.clone() {
        let report = run(&Scenario::draw(seed), None);
        steps += report.steps;
        if !report.violations.is_empty() {
            violations += report.violations.len();
            if first.is_none() {
                first = Some(seed);
                tell(&run(&shrink(&report.scenario, None), None), args.json);
            } else {
                tell(&report, args.json);
            }
        }
    }
    let count = seeds.end - seeds.start;
    if args.json {
        say(&json!({ "summary": true, "seeds": count, "steps": steps, "violations": violations,
            "first_failing_seed": first })
        .to_string());
    } else {
        say(&format!("{count} seeds, {steps} steps, {violations} violations"));
    }
    Ok(violations == 0)
}

/// Prints the table of catches. True if every defect was caught.
fn catch_defects(seeds: Range<u64>) -> bool {
    let mut all_caught = true;
    for defect in Defect::all() {
        let caught = seeds.clone().find_map(|seed| {
            let report = run(&Scenario::draw(seed), Some(defect));
            let violation = report.violations.into_iter().next()?;
            Some((seed, violation.check))
        });
        all_caught &= caught.is_some();
        match caught {
            Some((seed, check)) => {
                say(&format!("{defect:?}: caught at seed {seed} by \"{check}\""))
            }
            None => say(&format!("{defect:?}: NOT CAUGHT within {} seeds", seeds.end)),
        }
    }
    all_caught
}

fn tell(report: &Report, as_json: bool) {
    let scenario = report.scenario.to_toml();
    if as_json {
        let violations: Vec<_> = report
            .violations
            .iter()
            .map(|v| json!({ "check": v.check, "at_s": v.at_s, "text": v.text }))
            .collect();
        say(&json!({ "seed": report.scenario.seed, "scenario": scenario,
            "violations": violations })
        .to_string());
        return;
    }
    if report.violations.is_empty() {
        return say(&format!("seed {}: nothing untrue", report.scenario.seed));
    }
    say(&format!("seed {} fails:", report.scenario.seed));
    for violation in &report.violations {
        say(&format!("  {:>5} s  {}: {}", violation.at_s, violation.check, violation.text));
    }
    say(&format!("smallest scenario that fails:\n{scenario}"));
}

fn parse_seeds(text: &str) -> anyhow::Result<Range<u64>> {
    let parsed = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    match parsed {
        Some(range) if range.start < range.end => Ok(range),
        Some(_) | None => bail!("`{text}` is no range of seeds: write 0..200"),
    }
}

#[expect(clippy::print_stdout, reason = "the report is the output of this program")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the one place where it says why it could not play")]
fn complain(text: &str) {
    eprintln!("{text}");
}
