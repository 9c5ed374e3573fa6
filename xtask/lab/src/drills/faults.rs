//! Loss on one target, delay on another, a cut on a third, at the same time; then all healed.

use std::time::{Duration, Instant};

use super::{
    CUT_TO_DOWN_MAX, DELAY_TO_DEGRADED_MAX, HEALED_TO_UP_MAX, LOSS_TO_DEGRADED_MAX, Setting, all,
    others, seconds_until, untouched,
};
use crate::{
    api::{items, number, text},
    clock,
    net::Fault,
    network::{Family, SLOW},
    report::Report,
    world::{Rights, World, target_name},
};

/// Lost packets clear when the window of 100 packets has moved past them: 20 rounds of 5 s, and
/// the way of the last one.
const LOSS_CLEARED_MAX: f64 = 115.0;
/// Targets that each fault may be made on at once; the rest are there to stay untouched.
const EACH_MAX: u32 = 10;
/// Three rounds: time for the second agent to see what the first saw.
const CAUSE_MAX: Duration = Duration::from_secs(15);
const FIRST_CUT: u32 = EACH_MAX + 1;
const DELAY_US: u64 = 100_000;
const LOSS_PERCENT: u32 = 20;

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let mut world = setting.world(Family::V4, [Rights::Root, Rights::Datagram], report)?;
    let each = setting.repeat.min(EACH_MAX);
    let faulty =
        Faulty { lossy: (1..=each).collect(), cut: (FIRST_CUT..FIRST_CUT + each).collect() };

    let begun = clock::now();
    world.network.delay(DELAY_US, 0)?;
    let lose = |target: &u32| world.network.lose(*target, LOSS_PERCENT);
    let losses: Vec<Fault> = faulty.lossy.iter().map(lose).collect::<Result<_, _>>()?;
    let cut = |target: &u32| world.network.cut(*target);
    let cuts: Vec<Fault> = faulty.cut.iter().map(cut).collect::<Result<_, _>>()?;
    broken(&world, &faulty, begun, report)?;

    let healed = clock::now();
    world.network.delay(0, 0)?;
    drop(cuts);
    let dropped = losses.into_iter().map(Fault::heal).sum::<anyhow::Result<u64>>()?;
    whole(&world, &faulty, healed, report)?;

    let lost = |target: &u32| lost_packets(&world, *target);
    let lost = faulty.lossy.iter().map(lost).sum::<anyhow::Result<u64>>()?;
    let measured = format!("{lost} and {dropped}");
    report.row("packets measured lost, packets dropped", "equal", &measured, lost == dropped);
    let touched = [faulty.lossy, faulty.cut, vec![SLOW]].concat();
    untouched(&world, &others(&touched), report)
}

/// Which targets have which fault; [`SLOW`] is delayed.
struct Faulty {
    lossy: Vec<u32>,
    cut: Vec<u32>,
}

/// Looks at all of them at once: none must wait for another to be seen.
fn look(
    world: &World,
    faulty: &Faulty,
    [lossy, cut, slow]: [&str; 3],
    begun: Instant,
    most: f64,
) -> anyhow::Result<[Vec<f64>; 3]> {
    let wanted = [all(&faulty.lossy, lossy), all(&faulty.cut, cut), all(&[SLOW], slow)].concat();
    let mut took = seconds_until(world, &wanted, begun, most)?.into_iter();
    let lossy = took.by_ref().take(faulty.lossy.len()).collect();
    let cut = took.by_ref().take(faulty.cut.len()).collect();
    Ok([lossy, cut, took.collect()])
}

fn broken(
    world: &World,
    faulty: &Faulty,
    begun: Instant,
    report: &mut Report,
) -> anyhow::Result<()> {
    let verdicts = ["degraded", "down", "degraded"];
    let [lossy, cut, slow] = look(world, faulty, verdicts, begun, LOSS_TO_DEGRADED_MAX)?;
    report.times("cut off to Down", "cut_to_down", &cut, CUT_TO_DOWN_MAX);
    report.times("200 ms slower to Degraded", "delay_to_degraded", &slow, DELAY_TO_DEGRADED_MAX);
    report.times("20 % loss to Degraded", "loss_to_degraded", &lossy, LOSS_TO_DEGRADED_MAX);
    for (target, cause) in [(1, "loss"), (FIRST_CUT, "no_answer"), (SLOW, "slow")] {
        let name = target_name(target);
        // One agent sees it before the other: until then the cause is that they disagree.
        let mut found = String::new();
        let is_told = clock::wait(cause, clock::now(), CAUSE_MAX, || {
            found = world.api.targets()?.remove(&name).map_or(found.clone(), |seen| seen.cause);
            Ok((found == cause).then_some(()))
        });
        report.row(&format!("cause of {name}"), cause, &found, is_told.is_ok());
    }
    Ok(())
}

fn whole(
    world: &World,
    faulty: &Faulty,
    healed: Instant,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [lossy, cut, slow] = look(world, faulty, ["up"; 3], healed, LOSS_CLEARED_MAX)?;
    report.times("cut healed to Up", "healed_to_up", &cut, HEALED_TO_UP_MAX);
    report.times("delay healed to Up", "delay_healed_to_up", &slow, HEALED_TO_UP_MAX);
    report.times("loss healed to Up", "loss_healed_to_up", &lossy, LOSS_CLEARED_MAX);
    Ok(())
}

/// Packets of a target that no agent got an answer to, since the beginning.
fn lost_packets(world: &World, target: u32) -> anyhow::Result<u64> {
    let id = world.id(target)?;
    let mut lost = 0;
    let mut cursor = String::new();
    loop {
        let path = format!("/targets/{id}/rounds?limit=500{cursor}");
        let page = world.api.get(&path)?;
        for round in items(&page) {
            lost += number(round, "/sent") - number(round, "/received");
            lost += number(round, "/confirm_sent") - number(round, "/confirm_received");
        }
        match text(&page, "/next_cursor") {
            next if next.is_empty() => return Ok(lost),
            next => cursor = format!("&cursor={next}"),
        }
    }
}
