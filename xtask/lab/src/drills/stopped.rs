//! An agent that is gone: nothing is heard of its targets, and that is all that is known.

use super::{GONE_TO_UNKNOWN_MAX, Setting, all, never_down, others, pairs_until, seconds_until};
use crate::{
    clock,
    network::Family,
    report::Report,
    world::{Rights, SETTLE_MAX},
};

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let mut world = setting.world(Family::V4, [Rights::Root, Rights::Root], report)?;

    let begun = clock::now();
    world.kill_agent(1);
    let took = pairs_until(&world, 1, "unknown", begun, GONE_TO_UNKNOWN_MAX)?;
    report.times(
        "one agent gone to its pairs Unknown",
        "gone_to_unknown",
        &[took],
        GONE_TO_UNKNOWN_MAX,
    );
    let up = world.api.targets()?.values().filter(|seen| seen.verdict == "up").count();
    report.row("targets up by the other agent", "30", &up.to_string(), up == 30);

    let begun = clock::now();
    world.kill_agent(2);
    let took = seconds_until(&world, &all(&others(&[]), "unknown"), begun, GONE_TO_UNKNOWN_MAX)?;
    report.times("all agents gone to Unknown", "gone_to_unknown", &took, GONE_TO_UNKNOWN_MAX);

    world.start_agent(1)?;
    world.start_agent(2)?;
    let took = world.settle()?;
    report.range("s from started again to Up", took.as_secs_f64(), 0.0, SETTLE_MAX.as_secs_f64());
    never_down(&world, report)
}
