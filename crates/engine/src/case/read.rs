//! From the bytes of a case file to a [`Case`].
//!
//! 1 - A file is refused whole, at its first fault, with the fault's place: no half of a case is
//!     judged.
//! 2 - A field that is unknown is a fault; a fact of an unknown kind is counted and says nothing.
//! 3 - What is of later than the last step never arrives; it is counted.

use std::collections::BTreeMap;

use model::{ElementKind, FactKind, PathSource, UtcMicros};

use super::{
    expect::{Expected, ExpectedCause},
    raw::{RawCase, RawElement, RawExpected, RawFact, RawNeed, RawPath, RawRound},
};
use crate::{
    graph::{
        Dependency, Draft, ElementDraft, ElementIx, Need, Problem, TargetDraft, Told, Topology,
    },
    rca::{Ask, Beat, Fact, Work},
};

/// The largest file: a case of the largest network with a day of rounds is smaller.
pub const CASE_BYTES_MAX: usize = 1 << 30;
/// Moments at which one case can be asked.
const STEPS_MAX: usize = 10_000;
/// Elements of one path; a packet lives for 255 hops of device, port, link and port.
const PATH_ELEMENTS_MAX: usize = 1_024;
/// A tier without an interval, as the product's standard one.
const INTERVAL_US: i64 = 30_000_000;
const HEARTBEAT_US: i64 = 5_000_000;
/// The longest interval: a day. More is a mistake in the unit.
const INTERVAL_US_MAX: i64 = 86_400_000_000;

/// Why a case file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct CaseError {
    /// Where, as `rounds[17].sent`; `.` is the file itself.
    pub path: String,
    pub reason: String,
}

impl From<Problem> for CaseError {
    fn from(problem: Problem) -> CaseError {
        CaseError { path: problem.place, reason: problem.reason }
    }
}

/// A pair with all rounds of the case, by time.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub agent: ElementIx,
    pub target: ElementIx,
    pub interval_us: i64,
    pub asks: Vec<Ask>,
}

/// What counts for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub rounds_not_asked: u32,
    pub rounds_doubtful: u32,
    pub facts_unknown: u32,
    /// Rounds, facts and heartbeats of later than the last step.
    pub from_the_future: u32,
}

/// Everything that a case file says.
#[derive(Clone, Debug)]
pub struct Case {
    pub topology: Topology,
    pub told: Vec<Told>,
    /// By agent and target.
    pub seen: Vec<Seen>,
    /// By time.
    pub facts: Vec<Fact>,
    /// By agent and time.
    pub beats: Vec<Beat>,
    pub works: Vec<Work>,
    /// Ascending.
    pub steps: Vec<UtcMicros>,
    pub heartbeat_us: i64,
    pub expected: Option<Expected>,
    pub counted: Counted,
}

impl Case {
    /// Whether anybody had asked anything by then, so that silence means health. A round that could
    /// not ask, or is doubtful, is none.
    pub fn is_watched(&self, at: UtcMicros) -> bool {
        self.seen.iter().any(|seen| seen.asks.iter().any(|ask| ask.at <= at))
    }

    /// Reads a case file.
    ///
    /// # Errors
    ///
    /// The first fault with its place: no JSON, a file cut off, an unknown field, an id that
    /// nothing has or two have, a number that cannot be.
    pub fn read(bytes: &[u8]) -> Result<Case, CaseError> {
        if CASE_BYTES_MAX < bytes.len() {
            let reason = format!("{} bytes; a case has at most {CASE_BYTES_MAX}", bytes.len());
            return Err(fault(".", reason));
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let raw: RawCase = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            // A field without a name has no place but the file.
            let path = Some(error.path().to_string()).filter(|path| !path.is_empty());
            fault(path.unwrap_or(".".to_owned()), error.into_inner().to_string())
        })?;
        reader.end().map_err(|error| fault(".", error.to_string()))?;
        resolve(raw)
    }
}

fn fault(path: impl Into<String>, reason: impl Into<String>) -> CaseError {
    CaseError { path: path.into(), reason: reason.into() }
}

fn resolve(raw: RawCase) -> Result<Case, CaseError> {
    if raw.version != 1 {
        return Err(fault("version", format!("{} is not known; this reads 1", raw.version)));
    }
    let steps = steps(&raw.steps_us)?;
    let heartbeat_us = span("heartbeat_us", raw.heartbeat_us, HEARTBEAT_US)?;
    let intervals = intervals(&raw)?;
    let draft = draft(&raw);
    let topology = Topology::build(&draft).map_err(|problems| {
        let first = problems.into_iter().next();
        first.map_or_else(|| fault(".", "unknown"), |problem| of_case(&raw, problem))
    })?;
    let mut reader =
        Reader { topology: &topology, end: steps.last().copied(), counted: Counted::default() };
    let mut told = Vec::new();
    for (at, path) in raw.paths.iter().flatten().enumerate() {
        told.push(reader.path(at, path)?);
    }
    let seen = reader.rounds(&raw, &intervals)?;
    let mut facts = Vec::new();
    for (at, fact) in raw.facts.iter().flatten().enumerate() {
        facts.extend(reader.fact(at, fact)?);
    }
    facts.sort_by_key(|fact| fact.at);
    let beats = reader.beats(&raw)?;
    let works = reader.works(&raw)?;
    let expected = raw.expected.map(expected);
    let counted = reader.counted;
    Ok(Case { told, seen, facts, beats, works, steps, heartbeat_us, expected, counted, topology })
}

fn steps(raw: &[i64]) -> Result<Vec<UtcMicros>, CaseError> {
    if raw.is_empty() {
        return Err(fault("steps_us", "a case has at least one step"));
    }
    if STEPS_MAX < raw.len() {
        let reason = format!("{} steps; a case has at most {STEPS_MAX}", raw.len());
        return Err(fault("steps_us", reason));
    }
    if let Some(at) = raw.windows(2).position(|pair| matches!(pair, [a, b] if b <= a)) {
        return Err(fault(format!("steps_us[{}]", at + 1), "steps go forward in time"));
    }
    for (at, step) in raw.iter().enumerate() {
        time(&format!("steps_us[{at}]"), *step)?;
    }
    Ok(raw.iter().copied().map(UtcMicros).collect())
}

/// A moment whose differences to others cannot overflow.
fn time(path: &str, at: i64) -> Result<UtcMicros, CaseError> {
    const LATEST: i64 = i64::MAX / 4;
    if at.unsigned_abs() < LATEST.unsigned_abs() {
        Ok(UtcMicros(at))
    } else {
        Err(fault(path, format!("{at} µs is no time")))
    }
}

fn span(path: &str, us: Option<i64>, default: i64) -> Result<i64, CaseError> {
    match us {
        None => Ok(default),
        Some(us) if 0 < us && us <= INTERVAL_US_MAX => Ok(us),
        Some(us) => Err(fault(path, format!("{us} µs is not between 1 and {INTERVAL_US_MAX}"))),
    }
}

/// The interval of each tier.
fn intervals(raw: &RawCase) -> Result<BTreeMap<&str, i64>, CaseError> {
    let mut intervals = BTreeMap::new();
    for (at, tier) in raw.tiers.iter().flatten().enumerate() {
        let place = |field: &str| format!("tiers[{at}].{field}");
        let interval = span(&place("interval_us"), tier.interval_us, INTERVAL_US)?;
        span(&place("timeout_us"), tier.timeout_us, INTERVAL_US)?;
        if tier.packets == Some(0) {
            return Err(fault(place("packets"), "a round has at least one packet"));
        }
        if intervals.insert(tier.id.as_str(), interval).is_some() {
            return Err(fault(place("id"), format!("the id `{}` is there twice", tier.id)));
        }
    }
    Ok(intervals)
}

fn draft(raw: &RawCase) -> Draft {
    let element = |raw: &RawElement| ElementDraft {
        site: raw.site.clone(),
        groups: raw.srlg.clone().unwrap_or_default(),
        ends: raw.ends.clone(),
        cost: raw.cost,
        cost_back: raw.cost_back,
        device: raw.device.clone(),
        ..ElementDraft::new(raw.id.clone(), raw.kind)
    };
    let targets = raw.targets.iter().flatten().map(|target| TargetDraft {
        id: target.id.clone(),
        device: target.device.clone(),
        weight: target.weight.unwrap_or(1),
        pins: Vec::new(),
    });
    Draft {
        elements: raw.elements.iter().flatten().map(element).collect(),
        targets: targets.collect(),
        dependencies: needs(raw).map(|(dependency, _)| dependency).collect(),
    }
}

/// What elements and targets need, each with where it is written.
fn needs(raw: &RawCase) -> impl Iterator<Item = (Dependency, String)> + '_ {
    let elements = raw.elements.iter().flatten().enumerate();
    let elements = elements.map(|(at, e)| (format!("elements[{at}]"), &e.id, &e.needs));
    let targets = raw.targets.iter().flatten().enumerate();
    let targets = targets.map(|(at, t)| (format!("targets[{at}]"), &t.id, &t.needs));
    elements.chain(targets).flat_map(|(place, of, needs)| {
        needs.iter().flatten().enumerate().map(move |(nth, need)| {
            let (need, on) = match need {
                RawNeed::Any(on) => (Need::Any, on),
                RawNeed::All(on) => (Need::All, on),
            };
            let dependency = Dependency { of: of.clone(), need, on: on.clone() };
            (dependency, format!("{place}.needs[{nth}]"))
        })
    })
}

/// A problem of a topology by its place in the case.
fn of_case(raw: &RawCase, problem: Problem) -> CaseError {
    let number = problem.place.strip_prefix("dependencies[").and_then(|rest| rest.split_once(']'));
    let named = number.and_then(|(nth, rest)| {
        let (_, place) = needs(raw).nth(nth.parse().ok()?)?;
        Some(format!("{place}{}", rest.replace(".on[", "[")))
    });
    match named {
        Some(place) => fault(place, problem.reason),
        None => problem.into(),
    }
}

struct Reader<'a> {
    topology: &'a Topology,
    end: Option<UtcMicros>,
    counted: Counted,
}

impl Reader<'_> {
    fn find(
        &self,
        place: String,
        id: &str,
        kind: Option<ElementKind>,
    ) -> Result<ElementIx, CaseError> {
        let Some(found) = self.topology.find(id) else {
            let what = kind.map_or("element", ElementKind::as_str);
            return Err(fault(place, format!("there is no {what} `{id}`")));
        };
        let is = self.topology.kind(found);
        match kind {
            Some(kind) if kind != is => {
                Err(fault(place, format!("`{id}` is a {is}, not a {kind}")))
            }
            _ => Ok(found),
        }
    }

    fn agent(&self, place: String, id: &str) -> Result<ElementIx, CaseError> {
        self.find(place, id, Some(ElementKind::Agent))
    }

    fn is_of_the_future(&mut self, at: UtcMicros) -> bool {
        let is_late = self.end.is_some_and(|end| end < at);
        self.counted.from_the_future += u32::from(is_late);
        is_late
    }

    fn path(&self, at: usize, raw: &RawPath) -> Result<Told, CaseError> {
        let place = |field: &str| format!("paths[{at}].{field}");
        let agent = self.agent(place("agent"), &raw.agent)?;
        let target = self.find(place("target"), &raw.target, Some(ElementKind::Target))?;
        if PATH_ELEMENTS_MAX < raw.elements.len() {
            let reason = format!("more than {PATH_ELEMENTS_MAX} elements");
            return Err(fault(place("elements"), reason));
        }
        let mut elements = Vec::with_capacity(raw.elements.len());
        for (nth, id) in raw.elements.iter().enumerate() {
            let element = self.find(format!("paths[{at}].elements[{nth}]"), id, None)?;
            // Who asks and who is asked are on every path of theirs.
            if element != agent && element != target {
                elements.push(element);
            }
        }
        let weight = raw.weight.unwrap_or(1.0);
        if !(0.0..=1e6).contains(&weight) {
            return Err(fault(place("weight"), format!("{weight} is no share of flows")));
        }
        let from = raw.from_us.map(|us| time(&place("from_us"), us)).transpose()?;
        let until = raw.until_us.map(|us| time(&place("until_us"), us)).transpose()?;
        if from.zip(until).is_some_and(|(from, until)| until < from) {
            return Err(fault(place("until_us"), "it ends before it begins"));
        }
        let source = raw.source.unwrap_or(PathSource::Trace);
        Ok(Told { agent, target, elements, weight, source, from, until })
    }

    fn rounds(
        &mut self,
        raw: &RawCase,
        intervals: &BTreeMap<&str, i64>,
    ) -> Result<Vec<Seen>, CaseError> {
        let mut tiers: BTreeMap<&str, i64> = BTreeMap::new();
        for (at, target) in raw.targets.iter().flatten().enumerate() {
            let Some(tier) = &target.tier else { continue };
            let Some(interval) = intervals.get(tier.as_str()) else {
                let reason = format!("there is no tier `{tier}`");
                return Err(fault(format!("targets[{at}].tier"), reason));
            };
            tiers.insert(&target.id, *interval);
        }
        let mut pairs: BTreeMap<(ElementIx, ElementIx), Seen> = BTreeMap::new();
        for (at, round) in raw.rounds.iter().flatten().enumerate() {
            let Some((agent, target, ask)) = self.round(at, round)? else { continue };
            let interval_us = tiers.get(round.target.as_str()).copied().unwrap_or(INTERVAL_US);
            let seen = pairs.entry((agent, target)).or_insert_with(|| Seen {
                agent,
                target,
                interval_us,
                asks: Vec::new(),
            });
            seen.asks.push(ask);
        }
        let mut seen: Vec<Seen> = pairs.into_values().collect();
        seen.iter_mut().for_each(|seen| seen.asks.sort_by_key(|ask| ask.at));
        Ok(seen)
    }

    /// A round that asked and is not doubted; `None` for the others.
    fn round(
        &mut self,
        at: usize,
        raw: &RawRound,
    ) -> Result<Option<(ElementIx, ElementIx, Ask)>, CaseError> {
        let place = |field: &str| format!("rounds[{at}].{field}");
        let agent = self.agent(place("agent"), &raw.agent)?;
        let target = self.find(place("target"), &raw.target, Some(ElementKind::Target))?;
        let moment = time(&place("at_us"), raw.at_us)?;
        let (sent, received) = (raw.sent.unwrap_or(0), raw.received.unwrap_or(0));
        if sent < received {
            let reason = format!("{received} answers to {sent} packets");
            return Err(fault(place("received"), reason));
        }
        if raw.not_asked == Some(true) || sent == 0 {
            self.counted.rounds_not_asked += 1;
            return Ok(None);
        }
        if raw.doubtful == Some(true) {
            self.counted.rounds_doubtful += 1;
            return Ok(None);
        }
        if self.is_of_the_future(moment) {
            return Ok(None);
        }
        let ask = Ask { at: moment, sent, received, rtt_us: raw.rtt_us };
        Ok(Some((agent, target, ask)))
    }

    fn fact(&mut self, at: usize, raw: &RawFact) -> Result<Option<Fact>, CaseError> {
        let place = |field: &str| format!("facts[{at}].{field}");
        let element = self.find(place("element"), &raw.element, None)?;
        let end = raw.end.as_deref().map(|end| self.find(place("end"), end, None)).transpose()?;
        let agent = raw.agent.as_deref().map(|agent| self.agent(place("agent"), agent));
        let agent = agent.transpose()?;
        let moment = time(&place("at_us"), raw.at_us)?;
        let until = raw.until_us.map(|us| time(&place("until_us"), us)).transpose()?;
        if until.is_some_and(|until| until < moment) {
            return Err(fault(place("until_us"), "it ends before it begins"));
        }
        let kind = FactKind::parse(&raw.kind);
        let needs_agent = matches!(kind, Some(FactKind::UnreachableFrom | FactKind::ReachableFrom));
        if needs_agent && agent.is_none() {
            return Err(fault(place("agent"), format!("`{}` says from which agent", raw.kind)));
        }
        if self.is_of_the_future(moment) {
            return Ok(None);
        }
        self.counted.facts_unknown += u32::from(kind.is_none());
        let (at, value) = (moment, raw.value);
        Ok(Some(Fact { element, end, agent, kind, at, until, value, weight: 1.0, by: None }))
    }

    fn beats(&mut self, raw: &RawCase) -> Result<Vec<Beat>, CaseError> {
        let mut beats = Vec::new();
        for (at, beat) in raw.heartbeats.iter().flatten().enumerate() {
            let agent = self.agent(format!("heartbeats[{at}].agent"), &beat.agent)?;
            let moment = time(&format!("heartbeats[{at}].at_us"), beat.at_us)?;
            if !self.is_of_the_future(moment) {
                let is_gateway_ok = beat.gateway_ok.unwrap_or(true);
                beats.push(Beat { agent, at: moment, is_gateway_ok });
            }
        }
        beats.sort_by_key(|beat| (beat.agent, beat.at));
        Ok(beats)
    }

    fn works(&self, raw: &RawCase) -> Result<Vec<Work>, CaseError> {
        let mut works = Vec::new();
        for (at, work) in raw.maintenance.iter().flatten().enumerate() {
            let place = |field: &str| format!("maintenance[{at}].{field}");
            let element = self.find(place("element"), &work.element, None)?;
            let from = time(&place("from_us"), work.from_us)?;
            let until = time(&place("until_us"), work.until_us)?;
            if until < from {
                return Err(fault(place("until_us"), "it ends before it begins"));
            }
            works.push(Work { element, from, until });
        }
        Ok(works)
    }
}

fn expected(raw: RawExpected) -> Expected {
    let cause = |cause: super::raw::RawCause| ExpectedCause {
        elements: cause.elements.into_iter().collect(),
        kind: cause.kind,
        mode: cause.mode,
    };
    Expected {
        causes: raw.causes.map(|causes| causes.into_iter().map(cause).collect()),
        blind_agents: raw.blind_agents.map(|ids| ids.into_iter().collect()),
        suppressed: raw.suppressed.map(|ids| ids.into_iter().collect()),
        messages: raw.messages,
    }
}
