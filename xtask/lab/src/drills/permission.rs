//! Agents that may not send: they run, they say what is wrong and how to put it right, and their
//! targets are Unknown for that reason. Then one gets the right by the command it named: it says so
//! by itself, and is given the targets that one agent is to ask.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use super::{Setting, never_down, pair, pairs_until};
use crate::{
    api::{items, number, text},
    clock,
    network::Family,
    report::Report,
    world::{Rights, World, agent_name},
};

/// Time for the first rounds and for any rule that would speak too early.
const SILENCE: Duration = Duration::from_secs(25);
/// Two attempts to open a socket and to say so, 5 s each, then two good rounds of 5 s.
const PERMITTED_TO_UP_MAX: f64 = 30.0;

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let rights = [Rights::None, Rights::None];
    let world = World::new(Family::V4, rights, setting.programs, setting.scratch)?;
    let begun = clock::now();
    let has_impediment = || {
        let agent = world.api.agent(&agent_name(1))?;
        let is_told = !text(&agent, "/impediment").is_empty();
        Ok(is_told.then(|| (text(&agent, "/state"), text(&agent, "/impediment"))))
    };
    let ((state, impediment), _) =
        clock::wait("an impediment", begun, Duration::from_secs(30), has_impediment)?;
    report.row("state of the agent", "online", &state, state == "online");
    let remedy = ["ping_group_range", "setcap", "cap_net_raw"];
    let names_remedy = remedy.iter().any(|word| impediment.to_lowercase().contains(word));
    report.row("the remedy it names", remedy[0], &impediment, names_remedy);

    clock::hold(SILENCE, || Ok(()))?;
    let targets = world.api.targets()?;
    let unknown = targets.values().filter(|seen| seen.verdict == "unknown").count();
    report.row("targets Unknown", "30", &unknown.to_string(), unknown == 30);
    let pair = pair(&world, world.id(1)?, 1)?;
    let said = format!("{} ({})", pair.why, pair.cause);
    report.row("the reason it gives", "permission", &said, said.contains("permission"));
    never_down(&world, report)?;

    let tiers = world.api.get("/tiers")?;
    let drill = items(&tiers).iter().find(|tier| text(tier, "/name") == "drill");
    let id = number(drill.context("no tier of the drill")?, "/id");
    world.api.patch(&format!("/tiers/{id}"), &json!({ "strategy": "count", "agent_count": 1 }))?;
    let begun = clock::now();
    world.permit(1)?;
    let took = pairs_until(&world, 1, "up", begun, PERMITTED_TO_UP_MAX)?;
    report.range("s from the right to ask until it has all 30 up", took, 0.0, PERMITTED_TO_UP_MAX);
    let others: usize = world.api.targets()?.into_values().try_fold(0, |sum, seen| {
        anyhow::Ok(sum + world.api.pairs(seen.id)?.len().saturating_sub(1))
    })?;
    report.row("pairs of the agent that may not", "0", &others.to_string(), others == 0);
    Ok(())
}
