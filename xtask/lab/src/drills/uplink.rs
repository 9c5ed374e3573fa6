//! An agent that only loses the server goes on asking: its rounds arrive later and complete the
//! past, and nobody is called Down meanwhile.

use std::time::Duration;

use super::{GONE_TO_UNKNOWN_MAX, Setting, never_down, others, pairs_until};
use crate::{
    api::{items, number, text},
    clock,
    network::Family,
    report::Report,
    world::{Rights, World, agent_name},
};
use anyhow::Context;
use serde_json::Value;

/// Holds one full minute of the clock wherever it begins.
const OUTAGE: Duration = Duration::from_secs(125);
/// Time to dial again, and to deliver two minutes of rounds.
const DELIVERED_MAX: Duration = Duration::from_secs(60);
/// Rounds of one pair in a minute at 5 s; the phase may push one over either edge.
const ROUNDS_PER_MINUTE: u64 = 12;

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let world = setting.world(Family::V4, [Rights::Root, Rights::Datagram], report)?;
    // The minute in which a pair's first round fell can never be complete.
    clock::next_minute();
    let begun = clock::now();
    let fault = world.network.cut_management(1)?;
    let took = pairs_until(&world, 1, "unknown", begun, GONE_TO_UNKNOWN_MAX)?;
    report.range("s until its pairs are Unknown", took, 0.0, GONE_TO_UNKNOWN_MAX);
    let mut not_up = 0;
    clock::hold(OUTAGE.saturating_sub(begun.elapsed()), || {
        let targets = world.api.targets()?;
        not_up = not_up.max(targets.values().filter(|seen| seen.verdict != "up").count());
        Ok(())
    })?;
    report.row("targets not up meanwhile", "0", &not_up.to_string(), not_up == 0);
    drop(fault);

    let healed = clock::now();
    let is_delivered = || {
        let agent = world.api.agent(&agent_name(1))?;
        let is_done = text(&agent, "/state") == "online" && number(&agent, "/backlog_batches") == 0;
        Ok(is_done.then_some(()))
    };
    let found = clock::wait("the backlog delivered", healed, DELIVERED_MAX, is_delivered);
    let ((), took) =
        found.with_context(|| world.api.agent(&agent_name(1)).unwrap_or_default().to_string())?;
    report.range("s until the backlog is delivered", took.as_secs_f64(), 0.0, 60.0);
    let took = pairs_until(&world, 1, "up", healed, 30.0)?;
    report.range("s until its pairs are Up again", took, 0.0, 60.0);

    let complete = || {
        let (minutes, bad) = revised(&world)?;
        Ok((0 < minutes && bad.is_empty()).then_some(()))
    };
    let found = clock::wait("the past revised", clock::now(), DELIVERED_MAX, complete);
    let (minutes, bad) = revised(&world)?;
    let measured = format!("{} of {minutes}", minutes - bad.len());
    bad.iter().take(3).for_each(|minute| eprintln!("not complete: {minute}"));
    report.row("minutes revised to Up, complete", "all", &measured, found.is_ok());
    never_down(&world, report)
}

/// Counts the agent's minutes that were said to be Unknown at first, and finds those of them that
/// are not complete now.
fn revised(world: &World) -> anyhow::Result<(usize, Vec<String>)> {
    let (mut count, mut bad) = (0, Vec::new());
    for target in others(&[]) {
        let history = world.api.get(&format!("/targets/{}/history", world.id(target)?))?;
        let series = history.get("series").map_or(&[][..], items);
        let own = series.iter().find(|series| text(series, "/agent/name") == agent_name(1));
        let own = own.context("the agent has no history")?;
        let minutes = own.get("minutes").map_or(&[][..], items);
        // The minute in which a target was first asked began before it: it has fewer rounds.
        let whole = minutes.iter().skip_while(|minute| number(minute, "/rounds") == 0).skip(1);
        let is_of_outage = |minute: &&Value| text(minute, "/said_first") == "unknown";
        for minute in whole.filter(is_of_outage) {
            count += 1;
            let is_complete = number(minute, "/rounds").abs_diff(ROUNDS_PER_MINUTE) <= 1
                && text(minute, "/verdict") == "up"
                && number(minute, "/sent") == number(minute, "/received");
            if !is_complete {
                bad.push(format!("t{target:02} {minute}"));
            }
        }
    }
    Ok((count, bad))
}
