//! Failures over time: from before they happen until after they are repaired, judged every ten
//! seconds. It counts what people are told.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    case::{Case, Counted, Player, Seen, Step},
    graph::{Arc, ElementIx, PathBook, Topology},
    rca::{Ask, Beat, Change, Fact, text},
};
use model::{ElementKind, FactKind, UtcMicros};
use serde_json::json;

use sim::{
    Rng as Dice,
    grow::{self, Size},
    hash,
};

use crate::scenario::{self, BREAK, Failure, INTERVAL_US, NOISE};

const SECOND_US: i64 = 1_000_000;
/// Judged from here on.
const BEFORE_US: i64 = 120 * SECOND_US;
/// And until so long after the repair.
const AFTER_US: i64 = 180 * SECOND_US;
const STEP_US: i64 = 10 * SECOND_US;
const HEARTBEAT_US: i64 = 5 * SECOND_US;
/// Routing goes round a failure after this long, drawn evenly.
const CONVERGED_US: std::ops::Range<i64> = SECOND_US..40 * SECOND_US;
/// The median of how long failures last, and the spread of its logarithm: most last some minutes.
const LASTS_MEDIAN_US: f64 = 240e6;
const LASTS_SPREAD: f64 = 0.7;
const LASTS_MAX_US: i64 = 1_200 * SECOND_US;

const FAILURES: [Failure; 11] = [
    Failure::Access,
    Failure::Device,
    Failure::Link,
    Failure::TwoLinks,
    Failure::Site,
    Failure::Conduit,
    Failure::Upstream,
    Failure::AgentDead,
    Failure::Reboot,
    Failure::Flapping,
    Failure::Nothing,
];
/// How long a device takes to start again.
const REBOOT_US: i64 = 90 * SECOND_US;
/// A link that flaps is down for so long, and up for as long.
const FLAP_US: i64 = 45 * SECOND_US;

/// One failure and its course.
struct Story<'a> {
    topology: &'a Topology,
    failure: Failure,
    fate: BTreeSet<ElementIx>,
    converged_at: i64,
    healed_at: i64,
    dice: Dice,
}

/// What became of the stories of one kind of failure.
#[derive(Default)]
struct Told {
    stories: u32,
    /// Nobody could have seen it.
    unseen: u32,
    /// Messages of each: openings and changes of cause.
    messages: Vec<u32>,
    silent: u32,
    /// The first message named what broke, or a class with it.
    right_at_once: u32,
    /// Seconds from the failure to the first message.
    delays_s: Vec<f64>,
    /// Some incident was open at the end.
    open_at_end: u32,
}

pub(crate) fn run(size: Size, args: &crate::Args) -> anyhow::Result<()> {
    let (scenarios, seed, is_json) = (args.scenarios, args.seed, args.json);
    let dice = Dice::new(seed);
    let topology = grow::grow(size, &dice)?;
    let mut all = Vec::new();
    let is_asked = |failure: &Failure| {
        let name = format!("{failure:?}");
        args.failure.as_ref().is_none_or(|asked| asked.eq_ignore_ascii_case(&name))
    };
    for failure in FAILURES.into_iter().filter(is_asked) {
        let mut told = Told::default();
        for nth in 0..scenarios {
            let dice = dice.fork(hash(&format!("{failure:?} {nth}")));
            tell(&topology, failure, dice, &mut told, args.say);
        }
        all.extend(told.messages.iter().filter(|_| failure != Failure::Nothing).copied());
        print(failure, &mut told, is_json);
    }
    all.sort_unstable();
    let summary = json!({
        "summary": true, "size": format!("{size:?}"), "stories": all.len(),
        "messages_p50": quantile(&all, 0.5), "messages_p95": quantile(&all, 0.95),
        "messages_max": all.last(),
    });
    println!("{summary}");
    Ok(())
}

/// Plays one story and counts.
fn tell(topology: &Topology, failure: Failure, mut dice: Dice, told: &mut Told, says: bool) {
    let broken = scenario::broken(topology, failure, &mut dice);
    let fate = broken.iter().flat_map(|ix| topology.fate(*ix)).collect();
    let span = CONVERGED_US.end - CONVERGED_US.start;
    let converged_at = CONVERGED_US.start + dice.below(span as usize) as i64;
    let lasts = (LASTS_MEDIAN_US * (LASTS_SPREAD * normal(&mut dice)).exp()) as i64;
    let healed_at = if failure == Failure::Reboot {
        REBOOT_US
    } else if failure == Failure::Flapping {
        // The last thing it does is to come up.
        (lasts / (2 * FLAP_US)).clamp(2, 6) * 2 * FLAP_US - FLAP_US
    } else {
        lasts.clamp(2 * INTERVAL_US, LASTS_MAX_US)
    };
    let mut story = Story { topology, failure, fate, converged_at, healed_at, dice };
    let Some(case) = story.case() else {
        told.unseen += 1;
        return;
    };
    told.stories += 1;
    let mut player = Player::new(&case, None);
    let mut messages = 0;
    if says {
        let names = text::names(topology, &broken);
        let seconds = |us: i64| us / SECOND_US;
        let (round, over) = (seconds(converged_at), seconds(healed_at));
        println!("{failure:?} {names}, gone round after {round} s, over after {over} s");
    }
    while let Some(step) = player.step() {
        if says {
            say(&player, &step);
        }
        for message in step.messages.iter().filter(|message| message.change.is_counted()) {
            messages += 1;
            if message.change != Change::Opened || 1 < messages {
                continue;
            }
            let incident = player.incidents().list().find(|of| of.id == message.incident);
            let cause = incident.and_then(|incident| incident.finding.causes.first());
            let is_right = cause
                .is_some_and(|cause| broken.iter().any(|element| cause.elements.contains(element)));
            told.right_at_once += u32::from(is_right);
            told.delays_s.push((step.at.0 - BREAK) as f64 / 1e6);
        }
    }
    told.silent += u32::from(messages == 0);
    told.messages.push(messages);
    let is_open = |incident: &engine::rca::Incident| {
        let cause = incident.finding.causes.first();
        let is_likely = cause.is_some_and(|cause| 0.5 <= cause.probability);
        incident.state == engine::rca::State::Open && is_likely
    };
    told.open_at_end += u32::from(player.incidents().list().any(is_open));
    if says {
        let known: BTreeSet<u32> = player.incidents().told().map(|(_, id)| id.0).collect();
        for incident in player.incidents().list().filter(|incident| is_open(incident)) {
            let headline = text::headline(topology, &incident.finding);
            let (id, pairs) = (incident.id.0, incident.finding.pairs.len());
            let who = if known.contains(&id) { "people know" } else { "nobody was told" };
            println!("  still open: i{id} {headline}; {pairs} pairs, {who}");
        }
    }
}

/// Prints each message with what it named.
fn say(player: &Player<'_>, step: &Step) {
    for message in &step.messages {
        let incident = player.incidents().list().find(|of| of.id == message.incident);
        let Some(incident) = incident else { continue };
        let headline = text::headline(player.topology(), &incident.finding);
        let (at, pairs) = ((step.at.0 - BREAK) / SECOND_US, incident.finding.pairs.len());
        let (id, change) = (message.incident.0, message.change);
        println!("  {at:4} s  i{id} {change:?}: {headline}; {pairs} pairs");
    }
}

impl Story<'_> {
    fn case(&mut self) -> Option<Case> {
        let gone = scenario::without(self.topology, &self.fate);
        let (mut book, mut book_after) = (PathBook::default(), PathBook::default());
        let mut seen = Vec::new();
        let mut is_felt = matches!(self.failure, Failure::Nothing | Failure::AgentDead);
        for agent in self.topology.of_kind(ElementKind::Agent) {
            for target in self.topology.of_kind(ElementKind::Target) {
                let before = scenario::route(&mut book, self.topology, agent, target);
                let is_hit = before.iter().any(|element| self.fate.contains(element));
                let is_gone = is_hit && {
                    let after = scenario::route(&mut book_after, &gone, agent, target);
                    after.is_empty() || after.iter().any(|element| self.fate.contains(element))
                };
                is_felt |= is_hit;
                let asks = self.asks(agent, is_hit, is_gone);
                seen.push(Seen { agent, target, interval_us: INTERVAL_US, asks });
            }
        }
        let count = (BEFORE_US + self.healed_at + AFTER_US) / STEP_US;
        let case = Case {
            topology: self.topology.clone(),
            told: Vec::new(),
            seen,
            facts: self.facts(),
            beats: self.beats(),
            works: Vec::new(),
            steps: (1..=count).map(|nth| at(nth * STEP_US - BEFORE_US)).collect(),
            heartbeat_us: HEARTBEAT_US,
            expected: None,
            counted: Counted::default(),
        };
        is_felt.then_some(case)
    }

    /// Whether the agent runs.
    fn is_alive(&self, agent: ElementIx, us: i64) -> bool {
        !self.fate.contains(&agent) || us < 0 || self.healed_at <= us
    }

    /// Every round of a pair. `is_gone`: there is no other way.
    fn asks(&mut self, agent: ElementIx, is_hit: bool, is_gone: bool) -> Vec<Ask> {
        let phase = self.dice.below(INTERVAL_US as usize) as i64 - BEFORE_US - INTERVAL_US;
        let end = self.healed_at + AFTER_US;
        let mut asks = Vec::new();
        for us in (phase..end).step_by(INTERVAL_US as usize) {
            if !self.is_alive(agent, us) {
                continue;
            }
            let until = if is_gone { self.healed_at } else { self.converged_at };
            let is_out = is_hit
                && if self.failure == Failure::Flapping {
                    let of_turn = us.rem_euclid(2 * FLAP_US);
                    (0..self.healed_at).contains(&us) && of_turn < until.min(FLAP_US)
                } else {
                    (0..until).contains(&us)
                };
            let is_lost = if is_out {
                !self.dice.chance(NOISE.false_good)
            } else {
                self.dice.chance(NOISE.false_bad)
            };
            let received = if is_lost { 0 } else { 5 };
            let rtt_us = (!is_lost).then_some(5_000);
            asks.push(Ask { at: at(us), sent: 5, received, rtt_us });
        }
        asks
    }

    /// Ports go down and come up; each report arrives most of the time.
    fn facts(&mut self) -> Vec<Fact> {
        let topology = self.topology;
        let mut ports: Vec<(ElementIx, ElementIx)> = Vec::new();
        for element in &self.fate {
            if topology.kind(*element) == ElementKind::Device {
                let alive = |arc: &&Arc| !self.fate.contains(&arc.to);
                let arcs = topology.arcs(*element).iter().filter(alive);
                ports.extend(arcs.map(|arc| (arc.link, arc.to)));
            } else if topology.kind(*element) == ElementKind::Link {
                let ends = topology.get(*element).and_then(|element| element.ends);
                ports.extend(ends.into_iter().flatten().map(|end| (*element, end)));
            }
        }
        let mut facts = Vec::new();
        for (link, end) in ports {
            for (from, kind) in self.turns() {
                if self.dice.chance(NOISE.telemetry) {
                    let us = from + SECOND_US + self.dice.below(5_000_000) as i64;
                    facts.push(Fact {
                        element: link,
                        end: Some(end),
                        agent: None,
                        kind: Some(kind),
                        at: at(us),
                        until: None,
                        value: None,
                        weight: 1.0,
                        by: None,
                    });
                }
            }
        }
        if self.failure == Failure::Reboot {
            for device in &self.fate {
                if self.dice.chance(NOISE.telemetry) {
                    facts.push(Fact {
                        element: *device,
                        end: None,
                        agent: None,
                        kind: Some(FactKind::Restarted),
                        at: at(self.healed_at + SECOND_US),
                        until: None,
                        value: None,
                        weight: 1.0,
                        by: None,
                    });
                }
            }
        }
        facts.sort_by_key(|fact| (fact.at, fact.element, fact.end));
        facts
    }

    /// When ports go down, and up again.
    fn turns(&self) -> Vec<(i64, FactKind)> {
        let once =
            |down: i64, up: i64| [(down, FactKind::InterfaceDown), (up, FactKind::InterfaceUp)];
        if self.failure != Failure::Flapping {
            return once(0, self.healed_at).to_vec();
        }
        let turns = (0..self.healed_at).step_by(2 * FLAP_US as usize);
        turns.flat_map(|down| once(down, down + FLAP_US)).collect()
    }

    fn beats(&self) -> Vec<Beat> {
        let end = self.healed_at + AFTER_US;
        let mut beats = Vec::new();
        for agent in self.topology.of_kind(ElementKind::Agent) {
            let times = (-BEFORE_US - INTERVAL_US..end).step_by(HEARTBEAT_US as usize);
            let alive = times.filter(|us| self.is_alive(agent, *us));
            beats.extend(alive.map(|us| Beat { agent, at: at(us), is_gateway_ok: true }));
        }
        beats
    }
}

fn at(us: i64) -> UtcMicros {
    UtcMicros(BREAK + us)
}

/// From the standard normal distribution (Box and Muller).
fn normal(dice: &mut Dice) -> f64 {
    let (radius, angle) = (dice.part().max(f64::MIN_POSITIVE), dice.part());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

fn print(failure: Failure, told: &mut Told, is_json: bool) {
    told.messages.sort_unstable();
    told.delays_s.sort_by(f64::total_cmp);
    let name = format!("{failure:?}");
    let delay = |of: f64| quantile(&told.delays_s, of);
    let by_count: BTreeMap<u32, usize> = told.messages.iter().fold(BTreeMap::new(), |mut by, n| {
        *by.entry(*n).or_default() += 1;
        by
    });
    if is_json {
        let line = json!({
            "failure": name, "stories": told.stories, "unseen": told.unseen,
            "silent": told.silent, "right_at_once": told.right_at_once,
            "messages": by_count, "messages_p95": quantile(&told.messages, 0.95),
            "first_s_p50": delay(0.5), "first_s_p95": delay(0.95),
            "open_at_end": told.open_at_end,
        });
        println!("{line}");
        return;
    }
    println!(
        "{name:10} stories {:3} unseen {:2}  untold {:2}  right at once {:3}  messages p50 {:?} \
         p95 {:?} {by_count:?}  first after {:.0} s (p95 {:.0})  open at the end {}",
        told.stories,
        told.unseen,
        told.silent,
        told.right_at_once,
        quantile(&told.messages, 0.5).unwrap_or(0),
        quantile(&told.messages, 0.95).unwrap_or(0),
        delay(0.5).unwrap_or(f64::NAN),
        delay(0.95).unwrap_or(f64::NAN),
        told.open_at_end,
    );
}

/// Of sorted values, the nearest rank.
fn quantile<T: Copy>(sorted: &[T], of: f64) -> Option<T> {
    let rank = (sorted.len() as f64 * of).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What routing leaves behind while a large failure lasts is part of it, and no news.
    #[test]
    fn people_are_told_once_of_a_site_that_routing_goes_round() {
        let dice = Dice::new(1);
        let topology = grow::grow(Size::S, &dice).expect("a network");
        let mut told = Told::default();
        tell(&topology, Failure::Site, dice.fork(hash("Site 2")), &mut told, false);
        assert_eq!((told.messages, told.right_at_once), (vec![1], 1));
    }
}
