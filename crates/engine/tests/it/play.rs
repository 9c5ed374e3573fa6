//! Plays a script of rounds and signs of life against an engine, and writes down what it decides.
//!
//! One line per thing that happens; its first word is when, counted from 12:00:00 UTC. A round is
//! stamped with that time and arrives when it can: after its span, its confirm burst and a flush.
//!
//! ```text
//! probe p1 interval=5s paused          (before the script starts, or at a time: `90s probe …`)
//! 0s fra1 p1 good | lost | lost! | lost-2 | confirmed | 3/5 | 250ms | denied | noroute
//!            [doubtful] [local] [+600s | @600s]
//! 0s..60s/5s fra1 gw good              (every 5 s from 0 s on, before 60 s)
//! 20s..90s fra1 dies                   (no heartbeat in that time)
//! 20s fra1 joins                       (it is not there before)
//! 90s fra1 goes                        (it is deleted)
//! 0s server down..200s                 (nothing is handled until 200 s, then it starts)
//! ```
//!
//! `lost!` has a whole unanswered confirm burst, `+600s` arrives that much after its start, `@600s`
//! at that time in a backlog. All
//! agents of the header send heartbeats every 5 s.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use engine::Engine;
use expect_test::Expect;
use model::{
    Address, AgentEvent, AgentId, AgentSpec, Cause, Confirm, Decision, DecisionKind, Entity,
    InventoryChange, MonitorEvent, Name, NotAsked, OrgId, Outcome, ProbeId, ProbeSpec, Round,
    RoundBatch, RoundFlags, Rtt, Strategy, Subject, TargetId, Tier, TierId, UtcMicros,
};

pub(crate) const NOON: &str = "2026-11-21T12:00:00Z";

pub(crate) fn noon() -> UtcMicros {
    UtcMicros::parse(NOON).expect("a time")
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).expect("a good name")
}

pub(crate) fn tier(id: u32, interval: Duration) -> Tier {
    Tier { interval, ..Tier::standard(TierId(id), name("t")) }
}

pub(crate) fn agent(id: u32, text: &str) -> InventoryChange {
    let spec = AgentSpec { id: AgentId(id), org: OrgId(1), name: name(text), is_active: true };
    InventoryChange::AgentSet(spec)
}

pub(crate) fn probe(id: u32, tier: u32) -> ProbeSpec {
    ProbeSpec {
        id: ProbeId(id),
        org: OrgId(1),
        target: TargetId(id),
        target_name: name("target"),
        address: Address::parse("192.0.2.1").expect("an address"),
        tier: TierId(tier),
        paused: false,
    }
}

pub(crate) fn good(subject: Subject, at: UtcMicros) -> Round {
    answered(subject, at, 5, 5, 12_000)
}

pub(crate) fn answered(subject: Subject, at: UtcMicros, sent: u8, received: u8, us: u32) -> Round {
    let rtt = (0 < received).then_some(Rtt { us_min: us, us_mean: us, us_max: us });
    let outcome = Outcome::Asked { sent, received, rtt, confirm: Confirm::default() };
    Round { subject, at, outcome, flags: RoundFlags::default(), icmp_error: None }
}

pub(crate) fn lost(subject: Subject, at: UtcMicros, sent: u8, confirm: u8) -> Round {
    let confirm = Confirm { sent: confirm, received: 0 };
    let outcome = Outcome::Asked { sent, received: 0, rtt: None, confirm };
    Round { subject, at, outcome, flags: RoundFlags::default(), icmp_error: None }
}

/// Something that happens when its time has come.
#[derive(Clone, Debug)]
enum Happening {
    Round(AgentId, Round),
    Change(InventoryChange),
    Heartbeat(AgentId),
    Started { down_since: UtcMicros },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Changes of verdicts and agents.
    Changes,
    /// The same with their sentences.
    Reasons,
    /// Minutes, of pairs and of all.
    Minutes,
}

pub(crate) struct Play {
    agents: Vec<String>,
    queue: BTreeMap<(i64, u64), Happening>,
    sequence: u64,
    silences: Vec<(AgentId, i64, i64)>,
    downtimes: Vec<(i64, i64)>,
    end: i64,
}

pub(crate) fn seconds(text: &str) -> i64 {
    let number: f64 = text.strip_suffix('s').expect("seconds").parse().expect("a number");
    (number * 1e6).round() as i64
}

fn number_after(letter: char, text: &str) -> u32 {
    let number = text.strip_prefix(letter).expect("a letter and a number");
    number.parse().expect("a number")
}

impl Play {
    /// `header` names the agents; what follows is the script.
    pub(crate) fn new(header: &str, script: &str) -> Play {
        let mut play = Play {
            agents: header.split_whitespace().map(str::to_owned).collect(),
            queue: BTreeMap::new(),
            sequence: 0,
            silences: Vec::new(),
            downtimes: Vec::new(),
            end: 0,
        };
        for (id, text) in (1..).zip(play.agents.clone()) {
            if !script.contains(&format!("{text} joins")) {
                play.push(0, Happening::Change(agent(id, &text)));
            }
        }
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            play.line(line);
        }
        for id in 1..=u32::try_from(play.agents.len()).expect("few agents") {
            for beat in 0..=play.end / 5_000_000 {
                let at = beat * 5_000_000;
                let is_silent = |&(agent, from, to): &(AgentId, i64, i64)| {
                    agent == AgentId(id) && from <= at && at < to
                };
                if !play.silences.iter().any(is_silent) {
                    play.push(at, Happening::Heartbeat(AgentId(id)));
                }
            }
        }
        play
    }

    fn push(&mut self, at: i64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
        self.end = self.end.max(at);
    }

    fn line(&mut self, line: &str) {
        if line.starts_with("probe") {
            return self.probe(0, line);
        }
        let (when, what) = line.split_once(' ').expect("a time and what happens");
        let what = what.trim();
        let (range, step) = when.split_once('/').unwrap_or((when, "0s"));
        let (from, to) = range.split_once("..").unwrap_or((range, range));
        let (from, to, step) = (seconds(from), seconds(to), seconds(step));
        self.end = self.end.max(to);
        if what.starts_with("probe") {
            return self.probe(from, what);
        }
        if what == "end" {
            return;
        }
        let words: Vec<&str> = what.split_whitespace().collect();
        if words[0] == "server" {
            self.downtimes.push((from, to));
            let down_since = UtcMicros(noon().0 + from);
            return self.push(to, Happening::Started { down_since });
        }
        let index = self.agents.iter().position(|a| a == words[0]).expect("a known agent");
        let agent = AgentId(u32::try_from(index).expect("few agents") + 1);
        match words[1] {
            "dies" => return self.silences.push((agent, from, to)),
            "joins" => {
                let change = self::agent(agent.0, words[0]);
                return self.push(from, Happening::Change(change));
            }
            "goes" => {
                let change = InventoryChange::AgentRemoved(agent);
                return self.push(from, Happening::Change(change));
            }
            _ => (),
        }
        let mut at = from;
        loop {
            self.round(agent, at, &words[1..]);
            at += step.max(1);
            if step == 0 || to <= at {
                return;
            }
        }
    }

    fn probe(&mut self, at: i64, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let id = number_after('p', words[1]);
        let mut spec = probe(id, id);
        let mut tier = tier(id, Duration::from_secs(5));
        for word in &words[2..] {
            match word.split_once('=').unwrap_or((word, "")) {
                ("interval", text) => {
                    tier.interval = Duration::from_micros(seconds(text).unsigned_abs());
                }
                ("packets", text) => tier.packets = text.parse().expect("a number"),
                ("paused", _) => spec.paused = true,
                ("agents", text) => {
                    tier.strategy = Strategy::Count(text.parse().expect("a number"));
                }
                ("gone", _) => {
                    let change = InventoryChange::ProbeRemoved(spec.id);
                    return self.push(at, Happening::Change(change));
                }
                ("address", text) => spec.address = Address::parse(text).expect("an address"),
                other => panic!("no such property of a probe: {other:?}"),
            }
        }
        self.push(at, Happening::Change(InventoryChange::TierSet(tier)));
        self.push(at, Happening::Change(InventoryChange::ProbeSet(spec)));
    }

    fn round(&mut self, agent: AgentId, at: i64, words: &[&str]) {
        let start = UtcMicros(noon().0 + at);
        let subject = match words[0] {
            "gw" => Subject::Gateway,
            text => match text.strip_prefix('w') {
                Some(digit) => Subject::Witness(digit.parse().expect("a digit")),
                None => Subject::Probe(ProbeId(number_after('p', text))),
            },
        };
        let packets = if matches!(subject, Subject::Probe(_)) { 5 } else { 1 };
        let not_asked = |reason| Round {
            outcome: Outcome::NotAsked(reason),
            ..lost(subject, start, packets, 0)
        };
        let mut round = match words[1] {
            "good" => answered(subject, start, packets, packets, 12_000),
            "lost" => lost(subject, start, packets, 0),
            "lost!" => lost(subject, start, packets, 3),
            "lost-2" => lost(subject, start, packets, 2),
            "denied" => not_asked(NotAsked::Permission),
            "noroute" => not_asked(NotAsked::NoRoute),
            text if text.ends_with("ms") => {
                let ms = text.trim_end_matches("ms");
                let ms: u32 = ms.parse().expect("a number");
                answered(subject, start, packets, packets, ms * 1_000)
            }
            text if text.starts_with("confirm") => {
                let mut round = lost(subject, start, packets, 3);
                if let Outcome::Asked { confirm, .. } = &mut round.outcome {
                    confirm.received = 2;
                }
                round
            }
            text => {
                let (received, sent) = text.split_once('/').expect("like 3/5");
                let number = |text: &str| text.parse().expect("a number");
                answered(subject, start, number(sent), number(received), 12_000)
            }
        };
        let mut arrival = at + arrival_after(&round);
        for word in &words[2..] {
            match *word {
                "doubtful" => round.flags = round.flags.with(RoundFlags::DOUBTFUL),
                "local" => round.flags = round.flags.with(RoundFlags::LOCAL),
                text => {
                    arrival = if let Some(delay) = text.strip_prefix('+') {
                        at + seconds(delay)
                    } else {
                        // A backlog: in the order of time, a millisecond apart per second.
                        seconds(text.strip_prefix('@').expect("a delay")) + at / 1_000
                    };
                }
            }
        }
        self.push(arrival, Happening::Round(agent, round));
    }

    /// Plays it on a new engine.
    pub(crate) fn decisions(&self) -> Vec<Decision> {
        let mut engine = Engine::new(noon());
        self.play(&mut engine, |_| ())
    }

    /// Plays it; `between` may do to the engine what it likes after each thing that happened.
    pub(crate) fn play(
        &self,
        engine: &mut Engine,
        mut between: impl FnMut(&mut Engine),
    ) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let mut queue = self.queue.clone();
        for &(from, to) in &self.downtimes {
            // What would have come while the server is down comes when it is back, in order.
            let keys: Vec<(i64, u64)> =
                queue.range((from, 0)..(to, 0)).map(|(key, _)| *key).collect();
            for key in keys {
                if let Some(happening) = queue.remove(&key)
                    && !matches!(happening, Happening::Heartbeat(_))
                {
                    queue.insert((to + 500_000, key.1), happening);
                }
            }
        }
        for ((at, _), happening) in queue {
            let now = UtcMicros(noon().0 + at);
            let is_down = |wake: i64| self.downtimes.iter().any(|&(f, t)| f <= wake && wake < t);
            while let Some(wakeup) = engine.poll_timeout().filter(|wakeup| wakeup.at < now) {
                if is_down(wakeup.at.0 - noon().0) {
                    break;
                }
                engine.handle_timeout(wakeup.at);
                decisions.extend(std::iter::from_fn(|| engine.poll_decision()));
                between(engine);
            }
            match happening {
                Happening::Round(agent, round) => {
                    engine.handle_batch(&RoundBatch::new(agent, vec![round]), now);
                }
                Happening::Change(change) => engine.handle_change(&change, now),
                Happening::Heartbeat(agent) => {
                    engine.handle_agent(agent, AgentEvent::Heartbeat, now);
                }
                Happening::Started { down_since } => {
                    let down_since = Some(down_since);
                    engine.handle_monitor(MonitorEvent::Started { down_since }, now);
                }
            }
            engine.handle_timeout(now);
            decisions.extend(std::iter::from_fn(|| engine.poll_decision()));
            between(engine);
        }
        decisions
    }

    pub(crate) fn describe(&self, decisions: &[Decision], show: Show) -> String {
        let mut text = String::new();
        for decision in decisions {
            if let Some(line) = self.line_of(decision, show) {
                writeln!(text, "{line}").expect("a string takes everything");
            }
        }
        text
    }

    fn who(&self, entity: Entity) -> String {
        match entity {
            Entity::Pair { probe, agent } => {
                format!("{}/p{probe}", self.agents[agent.0 as usize - 1])
            }
            Entity::Consensus { probe } => format!("all/p{probe}"),
        }
    }

    fn line_of(&self, decision: &Decision, show: Show) -> Option<String> {
        let after = |at: UtcMicros| (at.0 - noon().0) as f64 / 1e6;
        match (&decision.kind, show) {
            (DecisionKind::Verdict(change), Show::Changes | Show::Reasons) => {
                let who = self.who(change.entity);
                let text =
                    if show == Show::Reasons { wrapped(&change.why.text) } else { String::new() };
                let cause = if change.why.cause == Cause::Answering {
                    String::new()
                } else {
                    format!(" {}", change.why.cause)
                };
                let at = after(change.at);
                Some(format!("{at}s {who} {} -> {}{cause}{text}", change.from, change.to))
            }
            (DecisionKind::Agent(change), Show::Changes | Show::Reasons) => {
                let who = &self.agents[change.agent.0 as usize - 1];
                let text =
                    if show == Show::Reasons { wrapped(&change.text) } else { String::new() };
                let at = after(change.at);
                Some(format!(
                    "{at}s {who} {} -> {}{text}",
                    change.from.as_str(),
                    change.to.as_str()
                ))
            }
            (DecisionKind::Minute(truth), Show::Minutes) => {
                let minute = (truth.minute.start().0 - noon().0) / 60_000_000;
                let counts = truth.counts;
                let mut line = format!(
                    "12:{minute:02} {} {} {} {}/{} of {}",
                    self.who(truth.entity),
                    truth.verdict,
                    truth.cause,
                    counts.received,
                    counts.sent,
                    counts.rounds,
                );
                if let Some(first) = truth.said_first {
                    write!(line, " revision {} of {first}", truth.revision).expect("a string");
                }
                Some(line)
            }
            (DecisionKind::Minute(_) | DecisionKind::Name(_), _) | (_, Show::Minutes) => None,
        }
    }
}

/// A sentence on lines of its own, short enough for the expectation to fit the page.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("it begins with one");
        if 76 < line.len() + word.len() {
            lines.push(word.to_owned());
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("\n    {}", line.trim())).collect()
}

/// When a round arrives after its start: when it is over, its confirm burst too, half a flush and
/// the network.
fn arrival_after(round: &Round) -> i64 {
    match (round.subject, round.outcome) {
        (_, Outcome::NotAsked(_)) => 500_000,
        (Subject::Probe(_), Outcome::Asked { sent, received, .. }) if sent == received => 1_300_000,
        (Subject::Probe(_), Outcome::Asked { confirm: Confirm { sent: 0, .. }, .. }) => 2_300_000,
        (Subject::Probe(_), Outcome::Asked { .. }) => 3_700_000,
        (_, Outcome::Asked { received: 0, .. }) => 1_500_000,
        (_, Outcome::Asked { .. }) => 500_000,
    }
}

/// Plays a script and compares what `show` shows of it.
#[track_caller]
pub(crate) fn check(show: Show, agents: &str, script: &str, expected: Expect) {
    let play = Play::new(agents, script);
    expected.assert_eq(&play.describe(&play.decisions(), show));
}
