//! A large network in which nothing is broken, and every packet may be lost by chance: how often
//! people are told of something.

use engine::{
    graph::{ElementIx, PathBook},
    rca::{self, Ask, Board, Incidents, Pair, Picture, text},
};
use model::{ElementKind, UtcMicros};
use serde_json::json;

use sim::{
    Rng as Dice,
    grow::{self, Size},
};

use crate::scenario::{BREAK, INTERVAL_US};

const AGENTS: usize = 3;
/// Of each packet, independently.
const LOSS: f64 = 0.005;
const PACKETS: u16 = 5;
/// Judgements in an interval.
const STEPS: i64 = 3;
/// Rounds of a pair that are kept: as long as any of them is looked at.
const ASKS_MAX: usize = 6;
/// Intervals before anything counts.
const WARM_UP: i64 = 5;
const DAY_S: f64 = 86_400.0;

/// A pair, with its last rounds.
struct Asking {
    agent: ElementIx,
    target: ElementIx,
    /// Within the interval.
    phase_us: i64,
    asks: Vec<Ask>,
}

/// Plays `hours` and counts messages.
pub(crate) fn run(hours: f64, seed: u64) -> anyhow::Result<()> {
    let mut dice = Dice::new(seed);
    let topology = grow::grow_with(Size::L, &dice, AGENTS)?;
    let mut askings: Vec<Asking> = Vec::new();
    for agent in topology.of_kind(ElementKind::Agent) {
        for target in topology.of_kind(ElementKind::Target) {
            let phase_us = dice.below(INTERVAL_US as usize) as i64;
            askings.push(Asking { agent, target, phase_us, asks: Vec::new() });
        }
    }
    let (mut book, mut incidents) = (PathBook::default(), Incidents::default());
    let mut board = Board::default();
    let (mut told, mut opened) = (0_u32, 0_u32);
    let steps = (hours * 3600.0 * 1e6 / INTERVAL_US as f64 * STEPS as f64) as i64;
    for step in 0..WARM_UP * STEPS + steps {
        let now = BREAK + (step + 1) * INTERVAL_US / STEPS;
        for (at, asking) in askings.iter_mut().enumerate() {
            if asking.ask(now, &mut dice) {
                board.touch(at);
            }
        }
        let pairs: Vec<Pair<'_>> = askings
            .iter()
            .map(|Asking { agent, target, asks, .. }| Pair {
                agent: *agent,
                target: *target,
                interval_us: INTERVAL_US,
                asks,
            })
            .collect();
        let mut picture = Picture {
            now: UtcMicros(now),
            topology: &topology,
            paths: &mut book,
            pairs: &pairs,
            facts: &[],
            beats: &[],
            heartbeat_us: 5_000_000,
            works: &[],
        };
        let assessment = rca::assess(&mut picture, &mut board, None);
        let before = incidents.opened();
        let messages = incidents.take(&assessment, &|pair| board.heard_of(&pairs, pair));
        if step < WARM_UP * STEPS {
            continue;
        }
        opened += incidents.opened() - before;
        for message in messages.iter().filter(|message| message.change.is_counted()) {
            told += 1;
            let incident = incidents.list().find(|of| of.id == message.incident);
            let headline = incident.map(|of| text::headline(&topology, &of.finding));
            println!("{:?}: {}", message.change, headline.unwrap_or_default());
        }
    }
    let days = hours * 3600.0 / DAY_S;
    let (low, high) = poisson(told);
    let summary = json!({
        "summary": true, "pairs": askings.len(), "hours": hours, "packets_lost": LOSS,
        "incidents": opened, "told": told, "told_a_day": f64::from(told) / days,
        "told_a_day_95": [low / days, high / days],
    });
    println!("{summary}");
    Ok(())
}

impl Asking {
    /// Asks, if it is time to; whether it was.
    fn ask(&mut self, now: i64, dice: &mut Dice) -> bool {
        let span = INTERVAL_US / STEPS;
        let at = (now - BREAK - span).div_euclid(INTERVAL_US) * INTERVAL_US + self.phase_us + BREAK;
        if !(now - span..now).contains(&at) {
            return false;
        }
        // Most rounds lose nothing: one draw for those.
        let mut received = PACKETS;
        if (1.0 - LOSS).powi(i32::from(PACKETS)) < dice.part() {
            received = loop {
                let got = (0..PACKETS).filter(|_| !dice.chance(LOSS)).count() as u16;
                if got < PACKETS {
                    break got;
                }
            };
        }
        let rtt_us = (0 < received).then_some(5_000);
        if ASKS_MAX <= self.asks.len() {
            self.asks.remove(0);
        }
        self.asks.push(Ask { at: UtcMicros(at), sent: PACKETS, received, rtt_us });
        true
    }
}

/// The 95 % interval of a count (Garwood, by the Wilson and Hilferty approximation).
fn poisson(count: u32) -> (f64, f64) {
    let of =
        |count: f64, z: f64| count * (1.0 - 1.0 / (9.0 * count) + z / (3.0 * count.sqrt())).powi(3);
    let n = f64::from(count);
    let low = if count == 0 { 0.0 } else { of(n, -1.96) };
    (low, of(n + 1.0, 1.96))
}
