//! An agent whose network is cut cannot tell its own trouble from everybody's: it must judge
//! nobody, whether the server still hears it or not.

use std::time::Duration;

use super::{GONE_TO_UNKNOWN_MAX, Setting, never_down, others, pairs_until};
use crate::{
    api::{items, text},
    clock,
    network::Family,
    report::Report,
    world::{Rights, World, agent_name},
};

/// Nothing answered for one interval, and the way of that news.
const BLIND_MAX: f64 = 11.0;
/// Time to dial again, which is tried every 10 s at least, and two good rounds.
const BACK_MAX: f64 = 30.0;
/// Longer than any rule of three rounds needs to speak.
const SILENCE: Duration = Duration::from_secs(25);

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let world = setting.world(Family::V4, [Rights::Root, Rights::Root], report)?;

    // Everything: the server does not hear the agent either.
    let begun = clock::now();
    let faults = [world.network.cut_probing(1)?, world.network.cut_management(1)?];
    let took = pairs_until(&world, 1, "unknown", begun, GONE_TO_UNKNOWN_MAX);
    report.seconds("s from all cut to Unknown", took, GONE_TO_UNKNOWN_MAX);
    clock::hold(SILENCE, || Ok(()))?;
    drop(faults);
    let took = pairs_until(&world, 1, "up", clock::now(), BACK_MAX);
    report.seconds("s from healed to Up", took, BACK_MAX);

    // Only what it probes: the server hears that the agent hears nothing.
    let begun = clock::now();
    let fault = world.network.cut_probing(2)?;
    let took = pairs_until(&world, 2, "unknown", begun, BLIND_MAX);
    report.seconds("s from probing cut to Unknown", took, BLIND_MAX);
    let state = text(&world.api.agent(&agent_name(2))?, "/state");
    report.row("state of the agent that is cut", "blind", &state, state == "blind");
    clock::hold(SILENCE, || Ok(()))?;
    drop(fault);
    let took = pairs_until(&world, 2, "up", clock::now(), BACK_MAX);
    report.seconds("s from healed to Up", took, BACK_MAX);

    never_down(&world, report)?;
    no_minute_down(&world, report)
}

/// What a blind agent delivers later must not turn the past Down.
fn no_minute_down(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let mut downs = 0;
    for target in others(&[]) {
        let history = world.api.get(&format!("/targets/{}/history", world.id(target)?))?;
        for series in history.get("series").map_or(&[][..], items) {
            let minutes = series.get("minutes").map_or(&[][..], items);
            downs += minutes.iter().filter(|minute| text(minute, "/verdict") == "down").count();
        }
    }
    report.row("minutes Down in the history", "0", &downs.to_string(), downs == 0);
    Ok(())
}
