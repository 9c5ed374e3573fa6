//! The lab itself, seen by `ping`: a drill in a world that lies would prove nothing.

use super::Setting;
use crate::{
    network::{Family, Network, SLOW, TARGETS},
    report::Report,
};

const PINGS: u32 = 200;

pub(crate) fn run(_: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let mut network = Network::new(Family::V4)?;
    let mut answered = 0;
    for target in 1..=TARGETS {
        answered += network.ping(1 + target % 2, target, 1)?.0;
    }
    report.range("targets that answer at all", answered.into(), 30.0, 30.0);
    loss(&network, report)?;
    delay(&mut network, report)?;

    let cut = network.cut(3)?;
    let (received, _) = network.ping(2, 3, 5)?;
    report.range("packets that arrive through a cut", received.into(), 0.0, 0.0);
    drop(cut);
    let blind = network.cut_probing(1)?;
    let (received, _) = network.ping(1, 4, 5)?;
    report.range("packets of a blind agent that arrive", received.into(), 0.0, 0.0);
    drop(blind);
    Ok(())
}

fn loss(network: &Network, report: &mut Report) -> anyhow::Result<()> {
    let fault = network.lose(1, 20)?;
    let (received, _) = network.ping(1, 1, PINGS)?;
    let lost = PINGS - received;
    report.range("packets lost of 200 at 20 %", lost.into(), 15.0, 70.0);
    let (received, _) = network.ping(1, 2, PINGS)?;
    report.range("packets of its neighbour that arrive", received.into(), 200.0, 200.0);
    let dropped = fault.heal()?;
    let measured = format!("{lost} and {dropped}");
    report.row("packets lost and dropped", "equal", &measured, u64::from(lost) == dropped);
    let (received, _) = network.ping(1, 1, PINGS)?;
    report.range("packets that arrive once healed", received.into(), 200.0, 200.0);
    Ok(())
}

fn delay(network: &mut Network, report: &mut Report) -> anyhow::Result<()> {
    let (_, before_ms) = network.ping(1, SLOW, 20)?;
    network.delay(100_000, 0)?;
    let (received, slow_ms) = network.ping(1, SLOW, 20)?;
    report.range("ms of delay added, 100 ms each way", slow_ms - before_ms, 199.0, 215.0);
    report.range("packets that arrive late but do", received.into(), 20.0, 20.0);
    network.delay(0, 0)?;
    let (_, after_ms) = network.ping(1, SLOW, 20)?;
    report.range("ms through the wire once healed", after_ms, 0.0, 20.0);
    Ok(())
}
