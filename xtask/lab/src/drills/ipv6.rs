//! A network without IPv4, the server's side included.

use super::{CUT_TO_DOWN_MAX, HEALED_TO_UP_MAX, Setting, others, seconds_until, untouched};
use crate::{clock, network::Family, report::Report, world::Rights};

const CUT: u32 = 7;

pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let world = setting.world(Family::V6, [Rights::Root, Rights::Datagram], report)?;
    let begun = clock::now();
    let fault = world.network.cut(CUT)?;
    let took = seconds_until(&world, &[(CUT, "down")], begun, CUT_TO_DOWN_MAX)?;
    report.times("cut off to Down", "cut_to_down", &took, CUT_TO_DOWN_MAX);
    drop(fault);
    let took = seconds_until(&world, &[(CUT, "up")], clock::now(), HEALED_TO_UP_MAX)?;
    report.times("healed to Up", "healed_to_up", &took, HEALED_TO_UP_MAX);
    untouched(&world, &others(&[CUT]), report)
}
