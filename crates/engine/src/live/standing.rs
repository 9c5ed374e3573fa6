//! Judges one organisation's network, again and again.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use model::{AgentId, ElementKind, OrgId, ProbeId, UtcMicros};

use super::{
    alerts::{Alerts, Beside, Out},
    facts::{self, Reported, Traffic},
    kept::{self, Kept},
    ledger::Ledger,
    net::{Described, Moved, Net},
    reach::{Announced, Works, window_of},
    roster::Roster,
    told::{Report, Sight, told},
    vigil::Vigil,
};
use crate::{
    graph::{Draft, ElementIx, Problem, Topology, document::own_id},
    rca::{self, Ask, Beat, Board, Heard, Incidents, Message, Pair, Pairs, Picture},
};

/// Between two heartbeats of an agent.
const HEARTBEAT_US: i64 = 5_000_000;
/// What a gateway did longer ago says nothing of now.
const GATEWAY_AGE_US_MAX: i64 = 60_000_000;

/// What there is to judge.
#[derive(Clone, Copy, Debug)]
pub struct Hearing<'a> {
    pub now: UtcMicros,
    pub roster: &'a Roster,
    pub ledger: &'a Ledger,
    /// When each agent's heartbeat came last.
    pub heard: &'a [(AgentId, UtcMicros)],
    /// What was reported of the organisation's devices.
    pub reported: &'a [Reported],
    /// What the verdicts say of the organisation's targets, if they were read.
    pub out: Option<&'a Out>,
    /// Bounds the work, in covers weighed; `None` is no limit.
    pub budget: Option<u64>,
}

/// A topology in force, and what is the matter with it.
#[derive(Clone, Debug)]
pub struct Standing {
    org: OrgId,
    pub(super) net: Option<Net>,
    pub(super) incidents: Incidents,
    pub(super) alerts: Alerts,
    vigil: Vigil,
    pub(super) agents: BTreeMap<AgentId, ElementIx>,
    pub(super) probes: BTreeMap<ProbeId, ElementIx>,
    /// Targets that stand behind nothing.
    unplaced: usize,
    /// Agents by what they are called.
    called: BTreeMap<String, ElementIx>,
    /// Since when nothing passes an element whose sessions are up.
    silent: BTreeMap<String, UtcMicros>,
    announced: Announced,
    pub(super) seen: Seen,
}

/// The ledger as it was read last.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) board: Board,
    /// Edition of the ledger and tempo of the roster.
    of: Option<(u64, u64)>,
    /// How much of what was written is read.
    position: u64,
    /// Who asks whom, by page; `None` of who stands nowhere, or of a further probe of the same.
    pub(super) pairs: Vec<Option<Named>>,
    /// The page that counts, as a target may have several probes.
    first: BTreeMap<(ElementIx, ElementIx), u32>,
    rounds: usize,
}

/// A page of the ledger by elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) agent: ElementIx,
    pub(super) target: ElementIx,
    interval_us: i64,
    rounds: usize,
}

/// Pages of the ledger as pairs.
#[derive(Debug)]
struct Read<'a> {
    ledger: &'a Ledger,
    pairs: &'a [Option<Named>],
}

impl Pairs for Read<'_> {
    fn count(&self) -> usize {
        self.pairs.len()
    }

    fn get(&self, at: usize) -> Option<Pair<'_>> {
        let Named { agent, target, interval_us, .. } = (*self.pairs.get(at)?)?;
        let asks: &[Ask] = &self.ledger.pages().get(at)?.asks;
        Some(Pair { agent, target, interval_us, asks })
    }
}

/// Who is to be asked, and by whom: read once somebody is silent.
#[derive(Debug)]
struct Asked<'a> {
    roster: &'a Roster,
    agents: &'a BTreeMap<AgentId, ElementIx>,
    probes: &'a BTreeMap<ProbeId, ElementIx>,
    read: OnceCell<(BTreeSet<ElementIx>, BTreeSet<ElementIx>)>,
}

impl Asked<'_> {
    fn is_asked(&self, (agent, target): (ElementIx, ElementIx)) -> bool {
        let (agents, targets) = self.read.get_or_init(|| {
            let probes = self.probes.iter().filter(|(id, _)| self.roster.is_asked(**id));
            (self.agents.values().copied().collect(), probes.map(|(_, ix)| *ix).collect())
        });
        agents.contains(&agent) && targets.contains(&target)
    }
}

impl Standing {
    pub fn new(org: OrgId) -> Standing {
        Standing {
            org,
            net: None,
            incidents: Incidents::default(),
            alerts: Alerts::default(),
            vigil: Vigil::default(),
            agents: BTreeMap::new(),
            probes: BTreeMap::new(),
            unplaced: 0,
            seen: Seen::default(),
            called: BTreeMap::new(),
            silent: BTreeMap::new(),
            announced: Announced::default(),
        }
    }

    pub fn net(&self) -> Option<&Net> {
        self.net.as_ref()
    }

    /// Takes the topology that is in force now, or the one before with another inventory. One
    /// without a device is none: nothing follows from it.
    ///
    /// # Errors
    ///
    /// As [`Topology::build`]; then it stays what it was.
    pub fn set_topology(&mut self, roster: &Roster, draft: &Draft) -> Result<Moved, Vec<Problem>> {
        let has_device = draft.elements.iter().any(|e| e.kind == ElementKind::Device);
        if !has_device {
            let incidents = std::mem::take(&mut self.incidents);
            let alerts = std::mem::take(&mut self.alerts);
            *self = Standing { incidents, alerts, vigil: self.vigil, ..Self::new(self.org) };
            self.incidents.translate(|_| None);
            return Ok(Moved::Rebuilt);
        }
        let (agents, targets) = roster.missing(self.org, draft);
        let described = Described::with(draft, &agents, &targets);
        let moved = match &mut self.net {
            Some(net) => {
                let (moved, before) = net.be(&described)?;
                if let Some(before) = before {
                    self.incidents.translate(|ix| net.topology().find(before.id(ix)));
                } else {
                    // A link that is gone has no name any more.
                    let is_there = |ix: &ElementIx| !net.topology().id(*ix).is_empty();
                    self.incidents.translate(|ix| Some(ix).filter(is_there));
                }
                moved
            }
            None => {
                self.net = Some(Net::of(&described)?);
                Moved::Rebuilt
            }
        };
        self.announced.forget();
        let is_same = !self.name(roster);
        match (moved, &mut self.net) {
            (Moved::Followed { .. }, Some(net)) if is_same => {
                let (topology, paths) = net.parts();
                self.seen.board.follow(topology, paths);
            }
            (Moved::Nothing, _) if is_same => {}
            _ => self.seen = Seen::default(),
        }
        Ok(moved)
    }

    /// Finds which element each agent and probe is; whether that is another than before.
    fn name(&mut self, roster: &Roster) -> bool {
        let Some(net) = &self.net else { return false };
        let topology = net.topology();
        let agents = topology.of_kind(ElementKind::Agent).filter_map(|ix| {
            let element = topology.get(ix)?;
            Some((element.name.as_deref().unwrap_or(&element.id), ix))
        });
        let by_name: BTreeMap<&str, ElementIx> = agents.collect();
        let agents = roster.agents(self.org);
        let agents = agents.filter_map(|(id, name)| Some((id, *by_name.get(name)?))).collect();
        let probes = roster.probes(self.org);
        let probes = probes.filter_map(|(id, name)| Some((id, target(topology, name)?))).collect();
        let is_other = (&self.agents, &self.probes) != (&agents, &probes);
        let placed: &BTreeMap<ProbeId, ElementIx> = &probes;
        let targets: BTreeSet<ElementIx> = placed.values().copied().collect();
        self.unplaced = targets.into_iter().filter(|ix| topology.host(*ix).is_none()).count();
        (self.agents, self.probes) = (agents, probes);
        self.called = by_name.into_iter().map(|(name, ix)| (name.to_owned(), ix)).collect();
        is_other
    }

    /// Whether what an agent reports is evidence: it stands in the topology.
    pub fn hears(&self, agent: AgentId) -> bool {
        self.agents.contains_key(&agent)
    }

    /// Goes on with the incidents of a process before, instead of those it has; says which of its
    /// own each is. `None` is one whose causes are no longer in the topology.
    pub fn restore(&mut self, kept: &[Kept], now: UtcMicros) -> Vec<Option<u32>> {
        let topology = self.net.as_ref().map(Net::topology);
        let known = |kept| topology.and_then(|of| kept::known(of, kept, |name| target(of, name)));
        let known: Vec<_> = kept.iter().map(known).collect();
        let mut next = 0;
        let ids = known.iter().zip(kept).map(|(known, kept)| {
            let of_alert = self.alerts.restore(kept);
            of_alert.or_else(|| {
                known.as_ref().map(|_| {
                    next += 1;
                    next
                })
            })
        });
        let ids = ids.collect();
        self.incidents = Incidents::restore(known.into_iter().flatten(), now);
        ids
    }

    /// Goes on as blind, if people were told that before the process began.
    pub fn restore_blind(&mut self, since: Option<UtcMicros>) {
        self.vigil = Vigil::restore(since);
    }

    /// Takes the maintenance windows that are open from now on.
    pub fn set_works(&mut self, open: &[Works]) {
        self.announced.set(open);
    }

    /// Agents and targets of an incident's pairs, as many as are kept of it.
    pub fn pairs_of(&self, id: u32) -> Vec<(String, String)> {
        if Alerts::is_one(id) {
            return self.alerts.pairs_of(id);
        }
        let found = self.net.as_ref().zip(self.incidents.list().find(|one| one.id.0 == id));
        found.map_or_else(Vec::new, |(net, one)| kept::pairs_of(net.topology(), one))
    }

    /// From how many agents each target of an incident is out.
    pub fn agents_by_target(&self, id: u32) -> BTreeMap<String, u32> {
        let found = self.net.as_ref().zip(self.incidents.list().find(|one| one.id.0 == id));
        found.map_or_else(BTreeMap::new, |(net, one)| kept::agents_by_target(net.topology(), one))
    }

    /// Judges. While the monitor does not see, incidents stay as they are; without a topology there
    /// is nothing but whether it does.
    pub fn judge(&mut self, hearing: &Hearing<'_>) -> Report {
        let was_waiting = !self.vigil.may_judge();
        let monitor = self.vigil.handle_seen(&self.seen_last(hearing), hearing.now);
        if was_waiting && self.vigil.may_judge() {
            self.incidents.handle_sight(hearing.now);
            self.alerts.handle_sight();
        }
        let (blind_since, is_waiting) = (self.vigil.blind_since(), !self.vigil.may_judge());
        let sight = Sight { monitor, blind_since, is_waiting };
        let mut report = self.judge_network(hearing).unwrap_or_default();
        if !is_waiting {
            report.messages.extend(self.alert(hearing));
        }
        let topology = self.net.as_ref().map(Net::topology);
        for told in self.alerts.told() {
            let names = self.alerts.names_of(told.id);
            let window = self.announced.window_of_targets(topology, &names);
            report.maintained.extend(window.map(|window| (told.id, window)));
            report.incidents.push(told);
        }
        Report { at: hearing.now, sight, ..report }
    }

    /// Tells of targets that are down and that nothing people know explains.
    fn alert(&mut self, hearing: &Hearing<'_>) -> Vec<Message> {
        let Some(out) = hearing.out else { return Vec::new() };
        let topology = self.net.as_ref().map(Net::topology);
        let told: BTreeMap<ElementIx, _> = self.incidents.told().collect();
        let explained = out.down.keys().chain(&out.still).filter_map(|name| {
            let id = told.get(&target(topology?, name)?)?;
            Some((name.clone(), *id))
        });
        let explained: BTreeMap<String, _> = explained.collect();
        let is_placed = |name: &str| {
            topology.is_some_and(|of| target(of, name).and_then(|ix| of.host(ix)).is_some())
        };
        let asked = OnceCell::new();
        let is_asked = |name: &str| {
            let all = || {
                let probes = hearing.roster.probes(self.org);
                let asked = probes.filter(|(probe, _)| hearing.roster.is_asked(*probe));
                asked.map(|(_, name)| name).collect::<BTreeSet<&str>>()
            };
            asked.get_or_init(all).contains(name)
        };
        let beside = Beside {
            now: hearing.now,
            explained: &explained,
            is_placed: &is_placed,
            is_asked: &is_asked,
        };
        self.alerts.take(out, &beside)
    }

    /// Targets whose verdict decides whether they are still told of.
    pub fn followed(&self) -> Vec<String> {
        self.alerts.followed().map(str::to_owned).collect()
    }

    /// `None` without a topology.
    fn judge_network(&mut self, hearing: &Hearing<'_>) -> Option<Report> {
        self.net.as_ref()?;
        self.read(hearing);
        let beats = self.beats(hearing);
        let Seen { board, pairs, rounds, .. } = &mut self.seen;
        let pairs = Read { ledger: hearing.ledger, pairs };
        let Hearing { now, reported, roster, .. } = *hearing;
        let (topology, paths) = self.net.as_mut()?.parts();
        let evidence = facts::evidence(topology, &self.called, reported, now);
        let announced = self.announced.find(topology);
        let works: Vec<_> =
            announced.iter().flat_map(|(works, reach)| reach.works(works.open)).collect();
        let mut picture = Picture {
            now,
            topology,
            paths,
            pairs: &pairs,
            facts: &evidence,
            beats: &beats,
            heartbeat_us: HEARTBEAT_US,
            works: &works,
        };
        let mut assessment = rca::assess(&mut picture, board, hearing.budget);
        // It is an incident as any other; whether people are told is decided of the window's reach.
        assessment.findings.iter_mut().for_each(|finding| finding.is_announced = false);
        let asked =
            Asked { roster, agents: &self.agents, probes: &self.probes, read: OnceCell::new() };
        let heard = |pair| {
            let heard = board.heard_of(&pairs, pair);
            let is_asked = heard != Heard::Silent || asked.is_asked(pair);
            if is_asked { heard } else { Heard::Unasked }
        };
        let messages = if self.vigil.may_judge() {
            self.incidents.take(&assessment, &heard)
        } else {
            Vec::new()
        };
        let report = told(topology, now, &assessment, &self.incidents);
        let inside = self.incidents.list().filter_map(|incident| {
            Some((incident.id.0, window_of(&incident.finding, &announced)?))
        });
        let maintained = inside.collect();
        let traffic = Traffic { now, pairs: &pairs, blind: &assessment.blind };
        let silent = &mut self.silent;
        let contradictions =
            facts::contradictions(topology, picture.paths, &traffic, reported, silent);
        let (facts, facts_total) = facts::shown(topology, reported, now);
        let (pairs, rounds) = (board.heard(), *rounds);
        let targets_outside = self.targets_outside(hearing.ledger);
        let report = Report { messages, pairs, rounds, targets_outside, maintained, ..report };
        Some(Report { facts, facts_total, contradictions, ..report })
    }

    /// When each agent of the organisation saw last: it was heard, and its gateway answered it.
    fn seen_last(&self, hearing: &Hearing<'_>) -> BTreeMap<AgentId, UtcMicros> {
        let own: BTreeSet<AgentId> = hearing.roster.agents(self.org).map(|(id, _)| id).collect();
        let heard = hearing.heard.iter().filter(|(id, _)| own.contains(id));
        heard
            .map(|(id, at)| (*id, gateway_silent(hearing, *id).map_or(*at, |s| s.min(*at))))
            .collect()
    }

    /// Targets that stand behind nothing, or that are asked only by the host they are.
    fn targets_outside(&self, ledger: &Ledger) -> usize {
        let topology = self.net.as_ref().map(Net::topology);
        let is_placed = |ix: &ElementIx| topology.is_some_and(|of| of.host(*ix).is_some());
        let local = ledger.local().filter_map(|probe| self.probes.get(&probe).copied());
        let local: BTreeSet<ElementIx> = local
            .filter(|target| is_placed(target) && !self.seen.board.is_asked(*target))
            .collect();
        self.unplaced + local.len()
    }

    /// Reads what was written in the ledger since the last time.
    fn read(&mut self, hearing: &Hearing<'_>) {
        let Hearing { roster, ledger, .. } = *hearing;
        let of = Some((ledger.edition(), roster.tempo()));
        if self.seen.of != of {
            self.seen = Seen { of, ..Seen::default() };
        }
        let known = self.seen.pairs.len();
        for (page, at) in ledger.pages().iter().zip(0u32..).skip(known) {
            let agent = self.agents.get(&page.agent).copied();
            let named = agent.zip(self.probes.get(&page.probe).copied());
            self.seen.pairs.push(named.map(|(agent, target)| Named {
                agent,
                target,
                interval_us: roster.interval_us(page.probe),
                rounds: 0,
            }));
            self.seen.keep_first(ledger, at);
        }
        let seen = &mut self.seen;
        match ledger.written_since(seen.position) {
            Some(written) => written.iter().for_each(|at| seen.note(ledger, *at as usize)),
            None => (0..ledger.pages().len()).for_each(|at| seen.note(ledger, at)),
        }
        seen.position = ledger.position();
    }

    /// By agent and time.
    fn beats(&self, hearing: &Hearing<'_>) -> Vec<Beat> {
        let mut beats = Vec::new();
        for (id, at) in hearing.heard {
            let Some(agent) = self.agents.get(id).copied() else { continue };
            let silent = gateway_silent(hearing, *id);
            if let Some(since) = silent.filter(|since| since < at) {
                beats.push(Beat { agent, at: since, is_gateway_ok: false });
            }
            beats.push(Beat { agent, at: *at, is_gateway_ok: silent.is_none() });
        }
        beats.sort_by_key(|beat| (beat.agent, beat.at));
        beats
    }
}

impl Seen {
    /// Of several probes of one target, the first one counts.
    fn keep_first(&mut self, ledger: &Ledger, at: u32) {
        let Some(Some(Named { agent, target, .. })) = self.pairs.get(at as usize) else { return };
        let probe = |at: u32| ledger.pages().get(at as usize).map(|page| page.probe);
        let first = self.first.entry((*agent, *target)).or_insert(at);
        let other = if probe(at) < probe(*first) { std::mem::replace(first, at) } else { at };
        if other == *first {
            return;
        }
        if let Some(named) = self.pairs.get_mut(other as usize).and_then(Option::take) {
            self.rounds -= named.rounds;
        }
        self.board.touch(other as usize);
    }

    /// Something was written on a page.
    fn note(&mut self, ledger: &Ledger, at: usize) {
        let Some(Some(named)) = self.pairs.get_mut(at) else { return };
        let rounds = ledger.pages().get(at).map_or(0, |page| page.asks.len());
        self.rounds = self.rounds + rounds - named.rounds;
        named.rounds = rounds;
        self.board.touch(at);
    }
}

/// Since when an agent's gateway does not answer it, nor anything behind that.
fn gateway_silent(hearing: &Hearing<'_>, agent: AgentId) -> Option<UtcMicros> {
    let fresh_from = UtcMicros(hearing.now.0 - GATEWAY_AGE_US_MAX);
    hearing.ledger.gateway_silent(agent, fresh_from)
}

/// A target by its name in the inventory.
pub(super) fn target(topology: &Topology, name: &str) -> Option<ElementIx> {
    let is_other =
        |id: &str| topology.find(id).is_some_and(|ix| topology.kind(ix) != ElementKind::Target);
    topology.find(&own_id(name, is_other))
}
