//! The drills: each makes one kind of fault and compares what is said with what is true.

mod blind;
mod cause;
mod disks;
mod faults;
mod ground;
mod ipv6;
mod kill;
mod permission;
mod stopped;
mod traces;
mod uplink;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    api::Pair,
    clock,
    network::{Family, TARGETS},
    report::Report,
    world::{Rights, World, agent_name, target_name},
};

/// Figures of the detection table, in seconds, for the interval of 5 s.
const CUT_TO_DOWN_MAX: f64 = 11.0;
const HEALED_TO_UP_MAX: f64 = 13.0;
const LOSS_TO_DEGRADED_MAX: f64 = 33.0;
/// Two slow rounds and their way here: as long as two good ones.
const DELAY_TO_DEGRADED_MAX: f64 = HEALED_TO_UP_MAX;
/// Three heartbeats of 5 s and a second.
const GONE_TO_UNKNOWN_MAX: f64 = 16.0;
/// How much longer than its figure a state is waited for, so that a miss gets a number.
const PATIENCE: f64 = 3.0;

/// What a drill gets from outside.
pub(crate) struct Setting<'a> {
    pub(crate) programs: &'a Path,
    pub(crate) scratch: &'a Path,
    /// How many targets each fault is made on.
    pub(crate) repeat: u32,
}

impl Setting<'_> {
    /// Builds a world and waits until it is quiet.
    fn world(
        &self,
        family: Family,
        rights: [Rights; 2],
        report: &mut Report,
    ) -> anyhow::Result<World> {
        let world = World::new(family, rights, self.programs, self.scratch)?;
        let took = world.settle()?;
        report.range("s until all 30 targets are up", took.as_secs_f64(), 0.0, 60.0);
        Ok(world)
    }
}

pub(crate) struct Drill {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Gives figures of the detection table.
    pub(crate) measures: bool,
    pub(crate) run: fn(&Setting<'_>, &mut Report) -> anyhow::Result<()>,
}

/// The longest first: they are started in this order, several at a time.
pub(crate) const DRILLS: [Drill; 11] = [
    Drill {
        name: "kill",
        about: "server and agents killed at random instants: every round is there, once",
        measures: false,
        run: kill::run,
    },
    Drill {
        name: "disks",
        about: "full, covered and removed disks are said, refused and over by themselves",
        measures: false,
        run: disks::run,
    },
    Drill {
        name: "uplink",
        about: "an agent that only loses the server: nothing Down, the past is complete later",
        measures: false,
        run: uplink::run,
    },
    Drill {
        name: "faults",
        about: "loss, delay and cuts are judged right and in time, nobody else is touched",
        measures: true,
        run: faults::run,
    },
    Drill {
        name: "blind",
        about: "an agent whose network is cut judges nobody",
        measures: false,
        run: blind::run,
    },
    Drill {
        name: "cause",
        about: "a link that is cut is named, with whom it hits; a blind agent is no such cause",
        measures: false,
        run: cause::run,
    },
    Drill {
        name: "traces",
        about: "each hop is found, equal ways part, a limit of answers is no loss",
        measures: false,
        run: traces::run,
    },
    Drill {
        name: "stopped",
        about: "an agent that is gone leaves Unknown behind, not Down",
        measures: true,
        run: stopped::run,
    },
    Drill { name: "ipv6", about: "a network without IPv4", measures: false, run: ipv6::run },
    Drill {
        name: "permission",
        about: "agents that may not send say so, and their targets are Unknown",
        measures: false,
        run: permission::run,
    },
    Drill {
        name: "ground",
        about: "the lab itself loses, delays and cuts what it says, and nothing else",
        measures: false,
        run: ground::run,
    },
];

pub(crate) fn find(name: &str) -> Option<&'static Drill> {
    DRILLS.iter().find(|drill| drill.name == name)
}

/// Waits until each of some targets has the verdict that is expected of it; returns the seconds
/// since `begun`, in their order. One that did not get there in `most` and some patience counts
/// with the time it was waited for.
fn seconds_until(
    world: &World,
    wanted: &[(u32, &str)],
    begun: Instant,
    most: f64,
) -> anyhow::Result<Vec<f64>> {
    let max = Duration::from_secs_f64(most * PATIENCE);
    let mut found: Vec<Option<f64>> = vec![None; wanted.len()];
    clock::wait("verdicts", begun, max + clock::LOOK_INTERVAL, || {
        let seen = world.api.targets()?;
        let elapsed = begun.elapsed();
        for ((target, verdict), found) in wanted.iter().zip(&mut found) {
            let is_there = seen.get(&target_name(*target)).is_some_and(|s| s.verdict == *verdict);
            if is_there || max < elapsed {
                found.get_or_insert(elapsed.as_secs_f64());
            }
        }
        Ok(found.iter().all(Option::is_some).then_some(()))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// The same verdict for all of them.
fn all<'a>(targets: &[u32], verdict: &'a str) -> Vec<(u32, &'a str)> {
    targets.iter().map(|target| (*target, verdict)).collect()
}

/// What an agent says of a target now.
fn pair(world: &World, target: u64, agent: u32) -> anyhow::Result<Pair> {
    let found = pair_if_asked(world, target, agent)?;
    found.with_context(|| format!("{} does not ask target {target}", agent_name(agent)))
}

fn pair_if_asked(world: &World, target: u64, agent: u32) -> anyhow::Result<Option<Pair>> {
    let pairs = world.api.pairs(target)?;
    Ok(pairs.into_iter().find(|pair| pair.agent == agent_name(agent)))
}

/// Waits until an agent asks every target and says `verdict` of it; returns the seconds since
/// `begun`.
fn pairs_until(
    world: &World,
    agent: u32,
    verdict: &str,
    begun: Instant,
    most: f64,
) -> anyhow::Result<f64> {
    let mut open: Vec<u64> = world.api.targets()?.into_values().map(|seen| seen.id).collect();
    let max = Duration::from_secs_f64(most * PATIENCE);
    let what = format!("all pairs of {} {verdict}", agent_name(agent));
    let mut last = None;
    let found = clock::wait(&what, begun, max, || {
        while let Some(target) = open.last() {
            let pair = pair_if_asked(world, *target, agent)?;
            if pair.as_ref().is_none_or(|pair| pair.verdict != verdict) {
                last = pair;
                return Ok(None);
            }
            open.pop();
        }
        Ok(Some(()))
    });
    let ((), took) = found.with_context(|| {
        let state = world.api.agent(&agent_name(agent)).unwrap_or_default();
        format!("{} others wait for {last:?}; the agent is {state}", open.len())
    })?;
    Ok(took.as_secs_f64())
}

/// Judges that nothing ever turned `Down`, neither for one agent nor for all.
fn never_down(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let mut said = Vec::new();
    for (name, seen) in world.api.targets()? {
        let changes = world.api.changes(seen.id)?;
        let downs = changes.into_iter().filter(|(.., to)| to == "down");
        said.extend(downs.map(|(agent, ..)| format!("{name} by {agent}")));
    }
    let measured = if said.is_empty() { "never".to_owned() } else { said.join(", ") };
    report.row("turned Down", "never", &measured, said.is_empty());
    Ok(())
}

/// Judges that these targets only ever turned up.
fn untouched(world: &World, targets: &[u32], report: &mut Report) -> anyhow::Result<()> {
    let mut said = Vec::new();
    for target in targets {
        for (agent, from, to) in world.api.changes(world.id(*target)?)? {
            if to != "up" {
                said.push(format!("{} {agent} {from} -> {to}", target_name(*target)));
            }
        }
    }
    let measured = if said.is_empty() { "none".to_owned() } else { said.join(", ") };
    let what = format!("changes of {} other targets", targets.len());
    report.row(&what, "none", &measured, said.is_empty());
    Ok(())
}

/// Every target but these.
fn others(but: &[u32]) -> Vec<u32> {
    (1..=TARGETS).filter(|target| !but.contains(target)).collect()
}
