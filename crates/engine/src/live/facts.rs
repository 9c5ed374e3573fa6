//! What was reported of devices, as evidence of now.
//!
//! 1 - A report counts in full for [`FACT_FRESH_US`] after it was seen to be so, then less and
//!     less, and not at all from [`FACT_STALE_US`] on: then it is shown as stale.
//! 2 - The same said by two sources at about the same time is one report: it happened once.
//! 3 - What names an element that the topology does not know says nothing until it does.
//! 4 - A session that is seen up long after nothing passes any more is a contradiction. It is
//!     shown, and changes nothing: what routers tell one another is not what becomes of packets.
//!
//! No verdict of a target is made of any of this.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{ElementKind, FactKind, UtcMicros};

use crate::{
    case::CaseFact,
    graph::{ElementIx, PathBook, Topology},
    rca::{self, Ask, Fact, Pair, Pairs, text},
};

/// As long as whoever asks devices every few minutes takes to say it again.
pub const FACT_FRESH_US: i64 = 5 * 60_000_000;
/// Nobody repeated it two times over.
pub const FACT_STALE_US: i64 = 15 * 60_000_000;
/// Two sources that tell of one event tell it within this.
const SAME_US: i64 = 120_000_000;
/// A session that still holds so long after nothing passes is no late news: BGP gives up after
/// three minutes without a word, OSPF and BFD sooner.
pub const HOLD_US: i64 = 180_000_000;
/// Facts that are shown with a judgement; how many there are is said beside it.
const SHOWN_MAX: usize = 500;

/// A report, in names.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    pub source: Arc<str>,
    pub element: String,
    /// Whose side of a link.
    pub end: Option<String>,
    /// From which agent it could, or could not, be reached.
    pub agent: Option<String>,
    pub kind: FactKind,
    pub value: Option<f64>,
    pub since: UtcMicros,
    /// When it was seen to be so last.
    pub seen: UtcMicros,
    /// When the contrary began.
    pub until: Option<UtcMicros>,
}

/// A fact beside a judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct FactTold {
    pub text: String,
    pub source: String,
    pub element: String,
    pub kind: FactKind,
    pub since: UtcMicros,
    pub seen: UtcMicros,
    pub until: Option<UtcMicros>,
    /// What is left of its weight as evidence, of 1: 0 is stale.
    pub weight: f64,
    /// Whether the topology knows its element.
    pub is_known: bool,
}

/// A session that is up though nothing passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    pub text: String,
    pub element: String,
    pub kind: FactKind,
    pub source: String,
    /// When the session was seen to be up last.
    pub seen: UtcMicros,
    /// Since when nothing passes.
    pub silent_since: UtcMicros,
}

/// What is left of the weight of a report that was seen to be so at `seen`.
pub fn fact_weight(seen: UtcMicros, now: UtcMicros) -> f64 {
    let age = (now.0 - seen.0).max(0);
    let left = (FACT_STALE_US - age) as f64 / (FACT_STALE_US - FACT_FRESH_US) as f64;
    left.clamp(0.0, 1.0)
}

/// Makes evidence of what was reported, by when it began.
pub(super) fn evidence(
    topology: &Topology,
    agents: &BTreeMap<String, ElementIx>,
    reported: &[Reported],
    now: UtcMicros,
) -> Vec<Fact> {
    let mut facts: Vec<Fact> =
        reported.iter().filter_map(|of| fact(topology, agents, of, now)).collect();
    facts.sort_by_key(|fact| (fact.at, fact.element, fact.end, fact.agent, fact.kind));
    let mut told: Vec<Fact> = Vec::with_capacity(facts.len());
    let mut first: BTreeMap<_, usize> = BTreeMap::new();
    for fact in facts {
        let about = (fact.element, fact.end, fact.agent, fact.kind);
        let again = first.get(&about).and_then(|at| told.get_mut(*at));
        let again = again.filter(|first| first.by != fact.by && fact.at.0 - first.at.0 <= SAME_US);
        if let Some(first) = again {
            // As good as the best of them, and so while one of them says so.
            first.weight = first.weight.max(fact.weight);
            first.until = first.until.zip(fact.until).map(|(one, other)| one.max(other));
        } else {
            first.insert(about, told.len());
            told.push(fact);
        }
    }
    told
}

/// What a judgement of `now` would have had of these reports, as a case file tells it: what was
/// said later is taken back, what counts no more is left out.
pub fn for_case(topology: &Topology, reported: &[Reported], now: UtcMicros) -> Vec<CaseFact> {
    let agents = topology.of_kind(ElementKind::Agent).filter_map(|ix| {
        let element = topology.get(ix)?;
        Some((element.name.as_deref().unwrap_or(&element.id).to_owned(), ix))
    });
    let agents: BTreeMap<String, ElementIx> = agents.collect();
    let then = |of: &Reported| Reported {
        seen: of.seen.min(now),
        until: of.until.filter(|until| *until <= now),
        ..of.clone()
    };
    let then: Vec<Reported> = reported.iter().map(then).collect();
    let id = |ix: ElementIx| topology.id(ix).to_owned();
    let told = evidence(topology, &agents, &then, now).into_iter().filter_map(|fact| {
        Some(CaseFact {
            element: id(fact.element),
            end: fact.end.map(id),
            agent: fact.agent.map(id),
            kind: fact.kind?,
            at: fact.at,
            until: fact.until,
            value: fact.value,
        })
    });
    told.collect()
}

fn fact(
    topology: &Topology,
    agents: &BTreeMap<String, ElementIx>,
    of: &Reported,
    now: UtcMicros,
) -> Option<Fact> {
    let weight = fact_weight(of.seen, now);
    if weight <= 0.0 || now < of.since {
        return None;
    }
    let agent = match &of.agent {
        None => None,
        Some(agent) => Some(topology.find(agent).or_else(|| agents.get(agent).copied())?),
    };
    Some(Fact {
        element: topology.find(&of.element)?,
        end: of.end.as_ref().and_then(|end| topology.find(end)),
        agent,
        kind: Some(of.kind),
        // Whether it can be reached is asked again and again: the last answer is of now.
        at: if agent.is_some() { of.seen } else { of.since },
        until: of.until,
        value: of.value,
        weight,
        by: Some(Arc::clone(&of.source)),
    })
}

/// What is shown beside a judgement: what was seen last comes first, and how many there are.
pub(super) fn shown(
    topology: &Topology,
    reported: &[Reported],
    now: UtcMicros,
) -> (Vec<FactTold>, usize) {
    let told = |of: &Reported| FactTold {
        text: text::fact(of.kind, &of.element, of.end.as_deref().or(of.agent.as_deref())),
        source: of.source.to_string(),
        element: of.element.clone(),
        kind: of.kind,
        since: of.since,
        seen: of.seen,
        until: of.until,
        weight: fact_weight(of.seen, now),
        is_known: topology.find(&of.element).is_some(),
    };
    let mut latest: Vec<&Reported> = reported.iter().collect();
    latest.sort_by_key(|of| std::cmp::Reverse((of.seen, of.since)));
    (latest.into_iter().take(SHOWN_MAX).map(told).collect(), reported.len())
}

/// Whose rounds say what passes.
pub(super) struct Traffic<'a> {
    pub(super) now: UtcMicros,
    pub(super) pairs: &'a dyn Pairs,
    /// Agents whose rounds speak of themselves.
    pub(super) blind: &'a [ElementIx],
}

/// Finds sessions that are up though nothing passes. `silent` is since when nothing passes which
/// element, of the judgement before; it is brought up to now.
pub(super) fn contradictions(
    topology: &Topology,
    paths: &mut PathBook,
    traffic: &Traffic<'_>,
    reported: &[Reported],
    silent: &mut BTreeMap<String, UtcMicros>,
) -> Vec<Contradiction> {
    let now = traffic.now;
    let mut up: Vec<(&Reported, Vec<ElementIx>)> = Vec::new();
    for of in reported.iter().filter(|of| is_session_up(of, now)) {
        if let Some(element) = topology.find(&of.element) {
            up.push((of, carriers(topology, element)));
        }
    }
    let wanted: BTreeSet<ElementIx> =
        up.iter().flat_map(|(_, elements)| elements).copied().collect();
    let quiet = quiet(topology, paths, traffic, &wanted);
    let before = std::mem::take(silent);
    for (element, since) in &quiet {
        let id = topology.id(*element).to_owned();
        let since = before.get(&id).map_or(*since, |before| (*before).min(*since));
        silent.insert(id, since);
    }
    let mut found: Vec<Contradiction> = up
        .into_iter()
        .filter_map(|(of, elements)| {
            let quiet = elements.iter().find(|element| quiet.contains_key(element))?;
            let silent_since = *silent.get(topology.id(*quiet))?;
            let is_late = of.seen.0 - silent_since.0 < HOLD_US;
            (!is_late).then(|| Contradiction {
                text: text::contradiction(of.kind, &of.element, now.0 - silent_since.0),
                element: of.element.clone(),
                kind: of.kind,
                source: of.source.to_string(),
                seen: of.seen,
                silent_since,
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.element, a.kind, &a.source).cmp(&(&b.element, b.kind, &b.source)));
    found.truncate(SHOWN_MAX);
    found
}

fn is_session_up(of: &Reported, now: UtcMicros) -> bool {
    matches!(of.kind, FactKind::BgpUp | FactKind::OspfNeighborUp | FactKind::BfdUp)
        && of.until.is_none()
        && now.0 - of.seen.0 <= FACT_FRESH_US
}

/// What carries the packets of an element: of a port its links.
fn carriers(topology: &Topology, element: ElementIx) -> Vec<ElementIx> {
    if topology.kind(element) != ElementKind::Interface {
        return vec![element];
    }
    let arcs = topology.arcs(topology.node_of(element)).iter();
    arcs.filter(|arc| arc.ports[0] == Some(element)).map(|arc| arc.link).collect()
}

/// Of the elements that are wanted, those that packets have to cross and none does: since when.
fn quiet(
    topology: &Topology,
    paths: &mut PathBook,
    traffic: &Traffic<'_>,
    wanted: &BTreeSet<ElementIx>,
) -> BTreeMap<ElementIx, UtcMicros> {
    let mut quiet: BTreeMap<ElementIx, UtcMicros> = BTreeMap::new();
    if wanted.is_empty() {
        return quiet;
    }
    let now = traffic.now;
    let is_heard = |pair: &Pair<'_>| {
        let heard_at = pair.asks.last().map(|ask| ask.at.0);
        heard_at.is_some_and(|at| now.0 - at <= rca::window_us(pair.interval_us))
            && !traffic.blind.contains(&pair.agent)
    };
    let pairs = (0..traffic.pairs.count()).filter_map(|at| traffic.pairs.get(at));
    let heard: Vec<Pair<'_>> = pairs.map(|pair| pair.until(now)).filter(is_heard).collect();
    for pair in &heard {
        let Some(since) = dead_since(pair.asks) else { continue };
        let set = paths.set_at(topology, pair.agent, pair.target, now);
        let crossings = paths.get(set).map_or(&[][..], |set| set.crossings.as_slice());
        let sure = crossings.iter().filter(|c| 1.0 <= c.share && wanted.contains(&c.element));
        for crossing in sure {
            let known = quiet.entry(crossing.element).or_insert(since);
            *known = (*known).max(since);
        }
    }
    if quiet.is_empty() {
        return quiet;
    }
    for pair in heard.iter().filter(|pair| dead_since(pair.asks).is_none()) {
        let set = paths.set_at(topology, pair.agent, pair.target, now);
        for crossing in paths.get(set).map_or(&[][..], |set| set.crossings.as_slice()) {
            quiet.remove(&crossing.element);
        }
    }
    quiet
}

/// Since when a pair's rounds are lost, all of them; `None` if the last was answered.
fn dead_since(asks: &[Ask]) -> Option<UtcMicros> {
    asks.iter().rev().take_while(|ask| ask.is_dead()).last().map(|ask| ask.at)
}
