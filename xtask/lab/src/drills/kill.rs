//! Server and agents are killed at random instants while rounds come in. Afterwards the rounds
//! that can be read are exactly those that were acknowledged and those that were still spooled,
//! each once.
//!
//! What must be there is known from two witnesses that the server has no hand in. A *courier* (an
//! agent of ours that asks nobody) numbers every round it sends and writes down what was
//! acknowledged. The real agents ask real targets; their spools keep every batch that they ever
//! made durable, because so few never fill a segment, and are read after their death.
//!
//! A kill leaves the operating system's memory of files alone: what a loss of power takes is for
//! the crash trials of the journal and the store.

mod courier;
mod place;
mod witness;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bench::fleet::Chance;

use self::{
    courier::Courier,
    place::{AGENTS, Place},
};
use super::Setting;
use crate::{clock, report::Report};

/// Of the server, and of the agents together.
const KILLS: u32 = 50;
/// Another seed is another drill; this one is said in the report.
const SEED: u64 = 20_261_126;
/// A victim lives at most so long after the kill before.
const LIFE_MS_MAX: u64 = 1_600;
/// One that is to die while it starts does so within this.
const START_MS_MAX: u64 = 250;
/// How long a server may take until it takes batches again: agents come back within seconds.
const TAKES_MAX: Duration = Duration::from_secs(20);
/// Time for the last backlog to be delivered, judged and stored.
const DELIVERED_MAX: Duration = Duration::from_secs(60);
/// Kills of the server that must have met it while it took batches; the others meet its start.
const DURING_INGEST_MIN: u32 = 25;
/// The whole drill, so that it has its place in the full test command.
const DRILL_S_MAX: f64 = 180.0;

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let begun = clock::now();
    let mut place = Place::new(setting)?;
    let courier = Courier::start(place.courier_identity()?, place.targets())?;
    courier.wait_taken(0, clock::now(), TAKES_MAX)?;
    let kills = kill(&mut place, &courier)?;
    report.row(
        &format!("kills (seed {SEED})"),
        &format!("{KILLS} of the server, {KILLS} of agents"),
        &format!("{} and {}", kills.server, kills.agents),
        (kills.server, kills.agents) == (KILLS, KILLS),
    );
    report.range(
        "kills of the server while it took batches",
        f64::from(kills.during_ingest),
        f64::from(DURING_INGEST_MIN),
        f64::from(KILLS),
    );
    place.wait_ready()?;
    let sent = courier.finish(DELIVERED_MAX)?;
    place.pause_all()?;
    place.wait_delivered(DELIVERED_MAX)?;
    place.kill_agents();
    witness::courier(&place, &sent, report)?;
    for number in 1..=AGENTS {
        witness::agent(&place, number, report)?;
    }
    witness::nothing_down(&place, report)?;
    report.range("s of the whole drill", begun.elapsed().as_secs_f64(), 0.0, DRILL_S_MAX);
    Ok(())
}

#[derive(Default)]
struct Kills {
    server: u32,
    agents: u32,
    during_ingest: u32,
}

/// Kills one after the other, by the dice; whoever was killed is started again at once.
///
/// Three of four kills of the server wait until it has taken a batch in this life. The fourth does
/// not, so that it dies while it starts, too.
fn kill(place: &mut Place, courier: &Courier) -> anyhow::Result<Kills> {
    let mut chance = Chance(SEED);
    let mut kills = Kills::default();
    let mut taken_before = courier.taken();
    while kills.server + kills.agents < 2 * KILLS {
        let left = u64::from(2 * KILLS - kills.server - kills.agents);
        let is_server = chance.below(left) < u64::from(KILLS - kills.server);
        let is_starting = is_server && chance.one_in(4);
        let life_ms_max = if is_starting { START_MS_MAX } else { LIFE_MS_MAX };
        let life = Duration::from_millis(chance.below(life_ms_max));
        if is_server {
            if !is_starting {
                courier.wait_taken(taken_before, clock::now(), TAKES_MAX)?;
            }
            pause(life);
            let taken = courier.taken();
            kills.during_ingest += u32::from(taken_before < taken);
            place.kill_server().context("before it was killed")?;
            // Whatever is acknowledged from here on is so by its next life.
            taken_before = courier.taken();
            place.start_server()?;
            kills.server += 1;
        } else {
            pause(life);
            let number = kills.agents % AGENTS + 1;
            place.kill_agent(number).context("before it was killed")?;
            place.start_agent(number)?;
            kills.agents += 1;
        }
        if !courier.is_running() {
            bail!("the courier gave up");
        }
    }
    Ok(kills)
}

/// Lets a part of a second pass. Nothing is waited for: the instant is what the dice say.
fn pause(time: Duration) {
    let end = clock::now() + time;
    loop {
        let left = end.saturating_duration_since(clock::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// How long since `begun`, for a message.
fn after(begun: Instant) -> String {
    format!("after {:.1} s", begun.elapsed().as_secs_f64())
}
