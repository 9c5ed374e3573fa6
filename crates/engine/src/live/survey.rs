//! What a judgement knows of pairs that may be traced: which incident explains one, which answers
//! on much the same way, and which would tell causes apart.

use model::{ElementKind, UtcMicros};

use super::{
    alerts::Alerts,
    ledger::Ledger,
    net::Net,
    roster::Roster,
    scout::{Question, Way},
    standing::Standing,
};
use crate::{
    graph::ElementIx,
    rca::{Incident, State},
};

/// Pairs of one agent that are compared, to find the one that shares most of a way.
const COMPARED_MAX: usize = 64;
/// A round of longer ago says nothing of now: the slowest tier asks each minute.
const ANSWERED_US: i64 = 150_000_000;
/// Likelier causes than this are told apart enough.
const SURE: f64 = 0.9;
/// Less likely ones are not asked about.
const UNLIKELY: f64 = 0.1;

impl Standing {
    /// The open incident that explains a pair, if one does.
    pub fn incident_of(&self, roster: &Roster, way: Way) -> Option<u32> {
        let pair = self.agents.get(&way.0).copied().zip(self.probes.get(&way.1).copied());
        let is_open = |incident: &&Incident| incident.state == State::Open;
        let explains = |incident: &&Incident| {
            pair.is_some_and(|pair| incident.finding.pairs.binary_search(&pair).is_ok())
        };
        let found = self.incidents.list().filter(is_open).find(explains);
        found.map(|incident| incident.id.0).or_else(|| {
            let (_, name) = roster.target_of(way.1)?;
            self.alerts.of(name)
        })
    }

    /// A pair of the same agent that was answered just now, and whose way shares most with this
    /// one's. Where nothing is drawn nobody knows what shares a way.
    pub fn reference(&mut self, ledger: &Ledger, way: Way, now: UtcMicros) -> Option<Way> {
        let agent = *self.agents.get(&way.0)?;
        let target = *self.probes.get(&way.1)?;
        let own = self.net.as_mut()?.paths(agent, target, now)?;
        let pages = self.seen.pairs.iter().zip(ledger.pages());
        let answering = pages.filter_map(|(named, page)| {
            let named = named.filter(|named| named.agent == agent && named.target != target)?;
            let last = page.asks.last()?;
            let is_fresh = now.0 - last.at.0 <= ANSWERED_US && last.received == last.sent;
            is_fresh.then_some((page.probe, named.target))
        });
        let answering: Vec<_> = answering.take(COMPARED_MAX).collect();
        let net = self.net.as_mut()?;
        let mut best = None;
        for (probe, other) in answering {
            let paths = net.paths(agent, other, now);
            let shared = paths.map_or(0, |paths| {
                let crossed = |element| own.crossing(element).is_some();
                paths.crossings.iter().filter(|crossing| crossed(crossing.element)).count()
            });
            if best.is_none_or(|(most, _)| most < shared) {
                best = Some((shared, probe));
            }
        }
        best.map(|(_, probe)| (way.0, probe))
    }

    /// What would tell the likeliest causes of open incidents apart: a pair that is out, and whose
    /// way crosses as many of them as possible. How far its packets come says which it is.
    pub fn questions(&mut self, now: UtcMicros) -> Vec<Question> {
        let Standing { net: Some(net), incidents, agents, probes, .. } = self else {
            return Vec::new();
        };
        let mut questions = Vec::new();
        for incident in incidents.list().filter(|incident| incident.state == State::Open) {
            let Some(causes) = undecided(net, incident) else { continue };
            let mut best = None;
            for (agent, target) in incident.finding.pairs.iter().take(COMPARED_MAX) {
                let paths = net.paths(*agent, *target, now);
                let crossed = paths.map_or(0, |paths| {
                    causes.iter().filter(|cause| paths.crossing(**cause).is_some()).count()
                });
                if 0 < crossed && best.is_none_or(|(most, _)| most < crossed) {
                    best = Some((crossed, (*agent, *target)));
                }
            }
            let Some((_, (agent, target))) = best else { continue };
            let agent = agents.iter().find(|(_, ix)| **ix == agent).map(|(id, _)| *id);
            let probe = probes.iter().find(|(_, ix)| **ix == target).map(|(id, _)| *id);
            let Some(way) = agent.zip(probe) else { continue };
            let mut names: Vec<&str> = causes.iter().map(|ix| net.topology().id(*ix)).collect();
            names.sort_unstable();
            let causes = names.join(" or ");
            questions.push(Question { incident: incident.id.0, way, causes });
        }
        questions
    }
}

/// Causes of an incident that nothing tells apart; `None` if one is likely enough, or if no way
/// decides between them.
fn undecided(net: &Net, incident: &Incident) -> Option<Vec<ElementIx>> {
    debug_assert!(!Alerts::is_one(incident.id.0), "an alert has no causes");
    let mut causes = incident.finding.causes.iter();
    let first = causes.next()?;
    let mut elements = first.elements.clone();
    if elements.len() < 2 {
        let second = causes.next().filter(|cause| UNLIKELY <= cause.probability);
        elements.extend(second.and_then(|cause| cause.elements.first()).copied());
    }
    let is_undecided = 1 < elements.len() && (1 < first.elements.len() || first.probability < SURE);
    let is_on_a_way = |ix: &ElementIx| {
        let kind = net.topology().kind(*ix);
        matches!(
            kind,
            ElementKind::Device
                | ElementKind::Link
                | ElementKind::Lag
                | ElementKind::Interface
                | ElementKind::Upstream
        )
    };
    (is_undecided && elements.iter().any(is_on_a_way)).then_some(elements)
}
