//! Agents that may not send: they run, they say what is wrong and how to put it right, and their
//! targets are Unknown for that reason.

use std::time::Duration;

use super::{Setting, never_down, pair};
use crate::{
    api::text,
    clock,
    network::Family,
    report::Report,
    world::{Rights, World, agent_name},
};

/// Time for the first rounds and for any rule that would speak too early.
const SILENCE: Duration = Duration::from_secs(25);

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
    never_down(&world, report)
}
