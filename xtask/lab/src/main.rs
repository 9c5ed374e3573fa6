//! The lab: real servers and agents, real packets, in network namespaces.
//!
//! Each drill runs in a world of its own: this program starts itself once more in new network,
//! mount and process namespaces, and builds everything inside of them. When that process ends, for
//! whatever reason, the kernel takes back every interface, rule and process it made; nothing on the
//! machine is touched, and drills can run side by side.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod api;
mod clock;
mod drills;
mod net;
mod network;
mod relay;
mod report;
mod world;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use crate::{
    drills::{DRILLS, Drill},
    report::Report,
};

/// Worlds at a time. They mostly wait; more would make the machine itself the cause of delays.
const WORLDS_MAX: usize = 3;
/// No drill takes half as long; one that hangs must not hang everything.
const WORLD_S_MAX: &str = "900";
/// Programs that the drills are made of, and the Debian package of each.
const NEEDED: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ping", "iputils-ping"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
];

#[derive(Debug, Parser)]
#[command(name = "cargo xtask lab", about = "Drills with real packets in network namespaces")]
struct Args {
    #[command(subcommand)]
    inside: Option<Inside>,
    /// Drills to run; all of them if none is named.
    names: Vec<String>,
    /// Say which drills there are.
    #[arg(long)]
    list: bool,
    /// Folder of `faultline` and `faultline-agent`.
    #[arg(long, global = true, default_value = "target/release")]
    programs: PathBuf,
    /// Print JSON, one object a line, instead of tables.
    #[arg(long)]
    json: bool,
    /// Only measure how fast faults are seen, and print the summary of that.
    #[arg(long)]
    detect: bool,
    /// How many times each fault is made; more make the 95th percentile mean more.
    #[arg(long, global = true, default_value_t = 1)]
    repeat: u32,
}

#[derive(Debug, Subcommand)]
enum Inside {
    /// Runs one drill in the namespaces this process was started in.
    #[command(hide = true)]
    World { name: String },
    /// Passes packets on, later.
    #[command(hide = true)]
    Relay(relay::RelayArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.inside {
        Some(Inside::World { name }) => inside(name, &args),
        Some(Inside::Relay(relay)) => relay::run(relay).map(|()| true),
        None => outside(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts a world per drill and prints what they report. Returns whether all is as expected.
fn outside(args: &Args) -> anyhow::Result<bool> {
    if args.list {
        for drill in &DRILLS {
            println!("{:12} {}", drill.name, drill.about);
        }
        return Ok(true);
    }
    if let Some(why) = impediment() {
        println!("not run: {why}");
        return Ok(false);
    }
    let wanted = wanted(args)?;
    let todo = Mutex::new(wanted.iter().copied());
    let reports = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORLDS_MAX.min(wanted.len()) {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().ok().and_then(|mut todo| todo.next());
                    let Some(drill) = next else { return };
                    eprintln!("{}: {}", drill.name, drill.about);
                    let report = world(drill, args)
                        .unwrap_or_else(|error| Report::broken(drill.name, &format!("{error:#}")));
                    if !args.json {
                        print!("\n{report}");
                    }
                    if let Ok(mut reports) = reports.lock() {
                        reports.push(report);
                    }
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_default();
    if args.json {
        reports.iter().for_each(|report| print!("{}", report.to_json()));
    }
    if args.detect {
        println!("{}", report::detection(&reports));
    } else {
        println!("\n{}", report::closing(&reports));
    }
    Ok(reports.len() == wanted.len() && reports.iter().all(Report::is_good))
}

fn wanted(args: &Args) -> anyhow::Result<Vec<&'static Drill>> {
    if let Some(name) = args.names.iter().find(|name| drills::find(name).is_none()) {
        bail!("there is no drill `{name}`; `--list` says which there are");
    }
    let is_wanted = |drill: &&Drill| {
        let is_named = args.names.is_empty() || args.names.iter().any(|name| name == drill.name);
        is_named && (!args.detect || drill.measures)
    };
    Ok(DRILLS.iter().filter(is_wanted).collect())
}

/// Why no drill can run on this machine, with the remedy.
fn impediment() -> Option<String> {
    for (program, package) in NEEDED {
        if net::find(program).is_none() {
            return Some(format!("no `{program}`. Remedy: `apt-get install {package}`"));
        }
    }
    let made = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "true"])
        .stderr(Stdio::null())
        .status();
    let can = made.is_ok_and(|status| status.success());
    (!can).then(|| "namespaces need root. Remedy: run it as root".to_owned())
}

/// Runs one drill in new namespaces and reads its report.
fn world(drill: &Drill, args: &Args) -> anyhow::Result<Report> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let programs = std::path::absolute(&args.programs).context("cannot find the programs")?;
    let output = Command::new("timeout")
        .args([
            "--kill-after=5",
            WORLD_S_MAX,
            "unshare",
            "--net",
            "--mount",
            "--propagation=private",
        ])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(own)
        .args(["world", drill.name, "--repeat", &args.repeat.to_string(), "--programs"])
        .arg(programs)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start a world")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Report::from_json(drill.name, &text)
        .with_context(|| format!("the world ended without a report ({})", output.status))
}

/// Runs one drill here. Only what the report says goes to standard output.
fn inside(name: &str, args: &Args) -> anyhow::Result<bool> {
    let drill = drills::find(name).with_context(|| format!("there is no drill `{name}`"))?;
    net::make_private().context("cannot prepare the namespaces")?;
    let scratch = Path::new("/tmp").join(format!("fl-{}", clock::stamp()));
    let mut report = Report::new(drill.name);
    let result = (drill.run)(
        &drills::Setting {
            programs: &args.programs,
            scratch: &scratch,
            repeat: args.repeat.max(1),
        },
        &mut report,
    );
    if let Err(error) = result {
        report.fail(&format!("{error:#}"));
    }
    if !report.is_good() {
        report.keep_logs(&scratch);
    }
    // The world goes, its folder stays behind unless it is removed.
    std::fs::remove_dir_all(&scratch).ok();
    print!("{}", report.to_json());
    Ok(report.is_good())
}
