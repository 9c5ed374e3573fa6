//! Full and broken disks under a running server and a running agent: said, refused, and over by
//! themselves once the disk is well. Nothing that was acknowledged is missing afterwards.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Setting, never_down};
use crate::{
    api::{items, number, text},
    clock, net,
    network::{AGENTS, Family},
    report::Report,
    world::{Rights, SETTLE_MAX, World, agent_name},
};

/// The server's disk: its reserve is 6 MiB.
const DATA_MIB: u64 = 192;
/// What is left of it at first: below the reserve, and enough to go on judging.
const LEFT_MIB: u64 = 5;
/// The agent's disk.
const STATE_MIB: u64 = 16;
/// How long it stays full to the last byte.
const FULL: Duration = Duration::from_secs(8);
/// Until the server notices what became of its disk: it looks each second.
const NOTICED_MAX_S: f64 = 10.0;
/// Until an agent fills the rest of a page, and tells it with its next heartbeat.
const AGENT_NOTICED_MAX: Duration = Duration::from_secs(60);
/// Until agents dial again (at most a minute later) and have delivered.
const DELIVERED_MAX: Duration = Duration::from_secs(120);
const INTERVAL_S: u64 = 5;
static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let data = setting.scratch.join("data");
    let state = setting.scratch.join(agent_name(1));
    // They go after the world that lives on them.
    let _disks =
        [Disk::mount(&data, "mode=0700", DATA_MIB)?, Disk::mount(&state, "mode=0700", STATE_MIB)?];
    let world = setting.world(Family::V4, [Rights::Root, Rights::Root], report)?;
    let before = (clock::now(), rounds(&world)?);

    server_full(&world, setting, &data, report)?;
    server_covered(&world, &data, report)?;
    log_removed(&world, &data, report)?;
    complete(&world, before, report)?;
    agent_full(&world, &state, report)?;
    damage(setting, report)?;
    never_down(&world, report)
}

/// A small disk, there until this is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, options: &str, mib: u64) -> anyhow::Result<Disk> {
        fs::create_dir_all(at).with_context(|| format!("cannot make `{}`", at.display()))?;
        let options = format!("size={mib}m,{options}");
        let arguments: [&OsStr; 6] = [
            "-t".as_ref(),
            "tmpfs".as_ref(),
            "-o".as_ref(),
            options.as_ref(),
            "lab".as_ref(),
            at.as_os_str(),
        ];
        net::run("mount", arguments)?;
        Ok(Disk(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let arguments: [&OsStr; 2] = ["--lazy".as_ref(), self.0.as_os_str()];
        if let Err(error) = net::run("umount", arguments) {
            eprintln!("a disk stays: {error:#}");
        }
    }
}

/// Fills a disk up to a rest, in a file that goes when this is dropped.
struct Filler(PathBuf);

impl Filler {
    fn new(disk: &Path, left_mib: u64) -> anyhow::Result<Filler> {
        let filler = Filler(disk.join("filler"));
        let todo = free_mib(disk)?.saturating_sub(left_mib) << 20;
        filler.fill(if left_mib == 0 { u64::MAX } else { todo })?;
        Ok(filler)
    }

    /// Fills up so many bytes, or to the last one.
    fn fill(&self, mut todo: u64) -> anyhow::Result<()> {
        let context = || format!("cannot fill `{}`", self.0.display());
        let file = File::options().create(true).append(true).open(&self.0);
        let mut file = file.with_context(context)?;
        let mut step = CHUNK.len();
        while step != 0 && todo != 0 {
            match file.write(CHUNK.get(..step).unwrap_or_default()) {
                Ok(written) => todo = todo.saturating_sub(written as u64),
                // What does not fit is tried smaller.
                Err(error) if error.kind() == ErrorKind::StorageFull => step /= 2,
                Err(error) => return Err(error).with_context(context),
            }
        }
        Ok(())
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("the filler stays: {error}");
        }
    }
}

fn free_mib(disk: &Path) -> anyhow::Result<u64> {
    let arguments: [&OsStr; 4] = ["-f".as_ref(), "-c".as_ref(), "%a %S".as_ref(), disk.as_os_str()];
    let said = net::run("stat", arguments)?;
    let mut numbers = said.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(blocks)), Some(Ok(bytes))) => Ok(blocks * bytes / (1 << 20)),
        _ => bail!("stat says something new: {said}"),
    }
}

/// Waits until `/readyz` says this, and notes the seconds it took.
fn readyz(
    world: &World,
    what: &str,
    parts: [&str; 2],
    most: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let begun = clock::now();
    let mut last = String::new();
    let says = || {
        last = world.api.readyz()?;
        let [status, part] = parts;
        Ok((last.starts_with(status) && last.contains(part)).then_some(()))
    };
    let found = clock::wait(what, begun, Duration::from_secs_f64(most), says);
    let ((), took) = found.with_context(|| format!("it says {last}"))?;
    report.range(&format!("s until {what}"), took.as_secs_f64(), 0.0, most);
    Ok(())
}

/// Waits until both agents are online with nothing left to deliver.
fn delivered(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let is_done = || {
        for number_of in 1..=AGENTS {
            let agent = world.api.agent(&agent_name(number_of))?;
            if text(&agent, "/state") != "online" || number(&agent, "/backlog_batches") != 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    };
    let ((), took) = clock::wait("the spools delivered", clock::now(), DELIVERED_MAX, is_done)?;
    let most = DELIVERED_MAX.as_secs_f64();
    report.range("s until the spools are delivered", took.as_secs_f64(), 0.0, most);
    world.settle().map(|_| ())
}

fn server_full(
    world: &World,
    setting: &Setting<'_>,
    data: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let filler = Filler::new(data, LEFT_MIB)?;
    readyz(world, "refused at the reserve", ["503", "kept for the server"], NOTICED_MAX_S, report)?;
    let health = world.api.get("/health")?;
    let status = text(&health, "/status");
    report.row("health with the reserve left", "failing", &status, status == "failing");
    filler.fill(u64::MAX)?;
    let mut answers = 0;
    clock::hold(FULL, || {
        let health = world.api.get("/health")?;
        answers += usize::from(text(&health, "/status") == "failing");
        Ok(())
    })?;
    report.row("health answers on a full disk", "yes", &answers.to_string(), 0 < answers);
    drop(filler);
    readyz(world, "ready with room again", ["200", "ready"], NOTICED_MAX_S, report)?;
    delivered(world, report)?;
    for (log, part) in [("server", "no results are taken"), ("agent1", "takes no results now")] {
        let said = fs::read_to_string(setting.scratch.join(format!("{log}.log")))?;
        let is_said = said.contains(part);
        report.row(&format!("said in the log of {log}"), part, &is_said.to_string(), is_said);
    }
    Ok(())
}

/// Another file system comes over the data directory, read-only and empty.
fn server_covered(world: &World, data: &Path, report: &mut Report) -> anyhow::Result<()> {
    let cover = Disk::mount(data, "ro", 1)?;
    readyz(world, "a read-only mount is named", ["503", "read-only"], NOTICED_MAX_S, report)?;
    drop(cover);
    readyz(world, "ready with its disk back", ["200", "ready"], NOTICED_MAX_S, report)?;
    delivered(world, report)
}

fn log_removed(world: &World, data: &Path, report: &mut Report) -> anyhow::Result<()> {
    let log = data.join("log");
    fs::remove_dir_all(&log).context("cannot remove the log")?;
    let is_back = || Ok(log.exists().then_some(()));
    let ((), took) = clock::wait("a new log", clock::now(), SETTLE_MAX, is_back)?;
    report.range("s until a removed log is made anew", took.as_secs_f64(), 0.0, NOTICED_MAX_S);
    readyz(world, "ready with a new log", ["200", "ready"], NOTICED_MAX_S, report)?;
    delivered(world, report)
}

/// Rounds of the first target by each agent.
fn rounds(world: &World) -> anyhow::Result<[u64; AGENTS as usize]> {
    let list = world.api.get(&format!("/targets/{}/rounds?limit=500", world.id(1)?))?;
    let mut counts = [0; AGENTS as usize];
    for (number, count) in (1..).zip(&mut counts) {
        let own = |round: &&Value| text(round, "/agent/name") == agent_name(number);
        *count = items(&list).iter().filter(own).count() as u64;
    }
    Ok(counts)
}

/// Every round that was asked meanwhile is there: agents kept what was refused.
fn complete(
    world: &World,
    (begun, before): (Instant, [u64; AGENTS as usize]),
    report: &mut Report,
) -> anyhow::Result<()> {
    let expected = begun.elapsed().as_secs() / INTERVAL_S;
    for (number, (after, before)) in (1..).zip(rounds(world)?.into_iter().zip(before)) {
        let what = format!("rounds of {} through all of it", agent_name(number));
        let (least, most) = (expected.saturating_sub(2), expected + 2);
        let found = after - before;
        let range = format!("{least} to {most}");
        report.row(&what, &range, &found.to_string(), (least..=most).contains(&found));
    }
    Ok(())
}

fn agent_full(world: &World, state: &Path, report: &mut Report) -> anyhow::Result<()> {
    let impediment = || {
        let agent = world.api.agent(&agent_name(1))?;
        Ok::<_, anyhow::Error>(text(&agent, "/impediment"))
    };
    // Who is just coming back could not keep its new epoch on a full disk, and could not tell.
    let before = rounds(world)?;
    let is_heard = || Ok(rounds(world)?.first().gt(&before.first()).then_some(()));
    clock::wait("rounds of agent1", clock::now(), AGENT_NOTICED_MAX, is_heard)?;
    let filler = Filler::new(state, 0)?;
    let is_told = || Ok(Some(impediment()?).filter(|said| !said.is_empty()));
    let begun = clock::now();
    let (said, took) = clock::wait("an impediment", begun, AGENT_NOTICED_MAX, is_told)?;
    let most = AGENT_NOTICED_MAX.as_secs_f64();
    report.range("s until a full spool is told", took.as_secs_f64(), 0.0, most);
    let is_named = said.contains("results may be lost") && said.contains("no room left");
    report.row("what the agent says", "results may be lost: no room left", &said, is_named);
    drop(filler);
    let is_over = || Ok(impediment()?.is_empty().then_some(()));
    let ((), took) = clock::wait("no impediment", clock::now(), AGENT_NOTICED_MAX, is_over)?;
    report.range("s until it is over", took.as_secs_f64(), 0.0, most);
    delivered(world, report)
}

/// Nobody found damage in what it kept.
fn damage(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    for log in ["server", "agent1", "agent2"] {
        let said = fs::read_to_string(setting.scratch.join(format!("{log}.log")))?;
        let is_loud = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        let mut lines = said.lines();
        let bad = lines
            .find(|line| line.contains("panicked") || (line.contains("damaged") && is_loud(line)));
        let what = format!("damage found by {log}");
        report.row(&what, "none", bad.unwrap_or("none"), bad.is_none());
    }
    Ok(())
}
