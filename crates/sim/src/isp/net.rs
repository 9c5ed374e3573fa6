//! The demo's network at work: what is broken, what routers believe, what becomes of a packet.
//!
//! 1 - What is broken carries nothing from that moment on.
//! 2 - Routers go on as they believe the network to be; [`CONVERGENCE`] after a change they have
//!     noticed and agreed, and packets go another way where there is one.
//! 3 - What loses packets or is slow is not noticed by routing.
//! 4 - Devices report what their ports and sessions do, a moment later; one without power reports
//!     nothing, its neighbours do.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use engine::graph::{ElementIx, PathBook, Topology};
use model::{ElementKind, FactKind, PathSource, Tick, UtcMicros};

use super::{
    fault::{FLAP_DOWN, FLAP_UP, Fault, FaultError, FaultKind},
    plan::{self, Plan},
    traffic,
};
use crate::{
    grow::GrowError,
    rng::{Rng, hash},
};

/// Faults at the same time: more is no lesson any more.
pub const FAULTS_MAX: usize = 20;
/// From a change to the moment when packets take their new way: hellos that are missed, and the
/// computation. With it everybody sees what a cut does before it is gone round.
pub const CONVERGENCE: Duration = Duration::from_secs(9);
/// From what happens to a port until somebody reports it.
const REPORT_AFTER: Duration = Duration::from_millis(1_500);
/// A state that holds is reported again so often.
const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// Reports that nobody took: the oldest are forgotten.
const REPORTS_MAX: usize = 1_000;
/// Light in glass, there and back: 10 us a kilometre, and lines are longer than the crow flies.
const US_PER_KM: f64 = 13.0;
/// What a router takes, there and back.
const HOP_US: u32 = 40;
/// Between two routers of one place.
const LOCAL_US: u32 = 60;

/// Something that is broken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    pub id: u32,
    pub fault: Fault,
    pub since: Tick,
    /// Of what flaps, whether it is down at this moment; true of everything else.
    pub is_bad_now: bool,
}

/// What a device, or whoever asks it, would report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub element: String,
    pub kind: FactKind,
    /// Whose side of a link reports.
    pub end: Option<String>,
}

/// What happens later.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Converge,
    Flap { id: u32 },
    Reported(Report),
    Repeat,
    Begin(Fault),
    Mend(Fault),
}

/// One way, as it is now.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// From the agent's router on; links, devices and upstreams.
    pub(super) steps: Vec<ElementIx>,
    /// Flows take it up to this of 65,536.
    upto: u32,
    base_us: u32,
    /// What faults add.
    extra_us: u32,
    loss_ppm: u32,
    is_down: bool,
}

/// Where an address is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) end: ElementIx,
    pub(super) line_us: u32,
    pub(super) has_line: bool,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// Its answer is back after this.
    Answered {
        after_us: u32,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Isp {
    plan: Plan,
    topology: Topology,
    /// As routers believe it to be.
    believed: Topology,
    book: PathBook,
    places: BTreeMap<IpAddr, Place>,
    /// Of each element: what it adds to a round trip.
    delay_us: Vec<u32>,
    faults: BTreeMap<u32, Active>,
    next_id: u32,
    down: BTreeSet<ElementIx>,
    paths: BTreeMap<(ElementIx, ElementIx), Vec<Path>>,
    agenda: BTreeMap<(Tick, u64), Event>,
    events: u64,
    reports: VecDeque<Report>,
    /// The wall clock less the ticks.
    wall_offset_us: i64,
}

impl Isp {
    /// Grows a network in which `targets` are asked. `now` and `wall` are of one moment.
    ///
    /// # Errors
    ///
    /// [`GrowError`]: a defect.
    pub fn new(targets: usize, seed: u64, now: Tick, wall: UtcMicros) -> Result<Isp, GrowError> {
        let (plan, topology) = Plan::grow(targets, seed)?;
        let mut places = BTreeMap::new();
        for each in &plan.asked {
            let Some(end) = topology.find(&each.behind) else { continue };
            let (line_us, has_line) = (each.line_us, each.tags.contains(&"line"));
            places.insert(IpAddr::V4(each.address), Place { end, line_us, has_line });
        }
        let delay_us = (0..topology.elements().len())
            .map(|ix| delay_us(&topology, ElementIx(u32::try_from(ix).unwrap_or(u32::MAX))))
            .collect();
        let mut isp = Isp {
            plan,
            believed: topology.clone(),
            topology,
            book: PathBook::default(),
            places,
            delay_us,
            faults: BTreeMap::new(),
            next_id: 1,
            down: BTreeSet::new(),
            paths: BTreeMap::new(),
            agenda: BTreeMap::new(),
            events: 0,
            reports: VecDeque::new(),
            wall_offset_us: wall.0 - i64::try_from(now.0).unwrap_or(0),
        };
        isp.later(now + REPEAT_AFTER, Event::Repeat);
        Ok(isp)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What is broken, the oldest first.
    pub fn active(&self) -> impl Iterator<Item = &Active> {
        self.faults.values()
    }

    /// The time of day at a tick.
    pub fn wall(&self, at: Tick) -> UtcMicros {
        UtcMicros(i64::try_from(at.0).unwrap_or(i64::MAX).saturating_add(self.wall_offset_us))
    }

    /// Breaks something; the number is for mending it.
    ///
    /// # Errors
    ///
    /// [`FaultError`]: nothing was broken.
    pub fn begin(&mut self, fault: Fault, now: Tick) -> Result<u32, FaultError> {
        self.advance(now);
        self.check(&fault)?;
        let id = self.next_id;
        self.next_id += 1;
        if fault.kind == FaultKind::LinkFlaps {
            self.later(now + FLAP_DOWN, Event::Flap { id });
        }
        self.faults.insert(id, Active { id, fault, since: now, is_bad_now: true });
        self.changed(now);
        Ok(id)
    }

    /// Whether something could be broken.
    ///
    /// # Errors
    ///
    /// [`FaultError`]: why not.
    pub fn check(&self, fault: &Fault) -> Result<(), FaultError> {
        fault.check(&self.topology)?;
        if FAULTS_MAX <= self.faults.len() {
            return Err(FaultError::TooMany { max: FAULTS_MAX });
        }
        let is_same = |active: &Active| {
            active.fault.kind == fault.kind && active.fault.element == fault.element
        };
        if self.faults.values().any(is_same) {
            return Err(FaultError::Already { element: fault.element.clone() });
        }
        Ok(())
    }

    /// Mends one fault; false if it is not there.
    pub fn mend(&mut self, id: u32, now: Tick) -> bool {
        self.advance(now);
        let is_there = self.faults.remove(&id).is_some();
        if is_there {
            self.changed(now);
        }
        is_there
    }

    /// Mends everything; returns how much that was.
    pub fn mend_all(&mut self, now: Tick) -> usize {
        self.advance(now);
        let count = self.faults.len();
        self.faults.clear();
        if 0 < count {
            self.changed(now);
        }
        count
    }

    /// Breaks something at a time, and mends it at another.
    ///
    /// # Errors
    ///
    /// [`FaultError`] if there is no such thing.
    pub fn schedule(
        &mut self,
        fault: Fault,
        from: Tick,
        until: Option<Tick>,
    ) -> Result<(), FaultError> {
        fault.check(&self.topology)?;
        self.later(from, Event::Begin(fault.clone()));
        if let Some(until) = until {
            self.later(until, Event::Mend(fault));
        }
        Ok(())
    }

    /// Whether an agent's host reaches nobody, its server least of all.
    pub fn is_cut_off(&self, agent: &str) -> bool {
        let Some(agent) = self.topology.find(agent) else { return false };
        let host = self.topology.host(agent);
        self.down.contains(&agent) || host.is_some_and(|host| self.down.contains(&host))
    }

    /// Takes what was reported.
    pub fn take_reports(&mut self) -> Vec<Report> {
        self.reports.drain(..).collect()
    }

    /// Lets happen what is due.
    pub fn advance(&mut self, now: Tick) {
        while let Some(entry) = self.agenda.first_entry() {
            let at = entry.key().0;
            if now < at {
                return;
            }
            match entry.remove() {
                Event::Converge => self.converge(),
                Event::Flap { id } => self.flap(id, at),
                Event::Reported(report) => self.report(report),
                Event::Repeat => self.repeat(at),
                // One that was broken by hand meanwhile is broken.
                Event::Begin(fault) => self.begin(fault, at).map_or((), |_| ()),
                Event::Mend(fault) => {
                    let found = self.faults.values().find(|active| active.fault == fault);
                    if let Some(id) = found.map(|active| active.id) {
                        self.mend(id, at);
                    }
                }
            }
        }
    }

    fn later(&mut self, at: Tick, event: Event) {
        self.events += 1;
        self.agenda.insert((at, self.events), event);
    }

    fn report(&mut self, report: Report) {
        if REPORTS_MAX <= self.reports.len() {
            self.reports.pop_front();
        }
        self.reports.push_back(report);
    }

    /// Reports what is bad and stays so.
    fn repeat(&mut self, at: Tick) {
        for report in self.reported(&BTreeSet::new()) {
            self.report(report);
        }
        self.later(at + REPEAT_AFTER, Event::Repeat);
    }

    fn flap(&mut self, id: u32, at: Tick) {
        let Some(active) = self.faults.get_mut(&id) else { return };
        active.is_bad_now = !active.is_bad_now;
        let next = if active.is_bad_now { FLAP_DOWN } else { FLAP_UP };
        self.later(at + next, Event::Flap { id });
        self.changed(at);
    }

    /// Finds out what is down now, lets it be reported, and routers notice.
    fn changed(&mut self, now: Tick) {
        let mut down = BTreeSet::new();
        for active in self.faults.values().filter(|active| active.is_bad_now) {
            let is_down = !matches!(active.fault.kind, FaultKind::LinkLossy | FaultKind::LinkSlow);
            if let (true, Some(element)) = (is_down, self.topology.find(&active.fault.element)) {
                down.extend(self.topology.fate(element));
                if active.fault.kind == FaultKind::UpstreamGone {
                    // What it is attached to goes on.
                    down.retain(|ix| *ix == element || !self.is_host_of(*ix, element));
                }
            }
        }
        let before = std::mem::replace(&mut self.down, down);
        self.paths.clear();
        if before != self.down {
            for report in self.reported(&before) {
                self.later(now + REPORT_AFTER, Event::Reported(report));
            }
            self.later(now + CONVERGENCE, Event::Converge);
        }
    }

    fn is_host_of(&self, ix: ElementIx, of: ElementIx) -> bool {
        self.topology.host(of) == Some(ix)
    }

    /// What ports and sessions say of the difference.
    fn reported(&self, before: &BTreeSet<ElementIx>) -> Vec<Report> {
        let mut all = Vec::new();
        for link in self.topology.of_kind(ElementKind::Link) {
            let (was, is) = (self.carries(link, before), self.carries(link, &self.down));
            let Some(ends) = self.topology.get(link).and_then(|of| of.ends) else { continue };
            for end in ends.into_iter().filter(|_| was != is) {
                if self.down.contains(&end) {
                    continue; // Who has no power says nothing.
                }
                let kind = if is { FactKind::InterfaceUp } else { FactKind::InterfaceDown };
                let end = Some(self.topology.id(end).to_owned());
                all.push(Report { element: self.topology.id(link).to_owned(), kind, end });
            }
        }
        for upstream in self.topology.of_kind(ElementKind::Upstream) {
            let is_gone = |down: &BTreeSet<ElementIx>| down.contains(&upstream);
            let host = self.topology.host(upstream);
            if is_gone(before) == is_gone(&self.down) || host.is_some_and(|h| is_down(self, h)) {
                continue;
            }
            let kind = if is_gone(&self.down) { FactKind::BgpDown } else { FactKind::BgpUp };
            let element = self.topology.id(upstream).to_owned();
            all.push(Report { element, kind, end: None });
        }
        all
    }

    fn carries(&self, link: ElementIx, down: &BTreeSet<ElementIx>) -> bool {
        let ends = self.topology.get(link).and_then(|of| of.ends);
        !down.contains(&link) && ends.is_some_and(|ends| ends.iter().all(|e| !down.contains(e)))
    }

    /// Routers believe what is true now.
    fn converge(&mut self) {
        self.believed = self.topology.clone();
        for link in self.topology.of_kind(ElementKind::Link) {
            if !self.carries(link, &self.down) {
                self.believed.set_cost(link, u32::MAX, u32::MAX);
            }
        }
        self.book = PathBook::default();
        self.paths.clear();
    }

    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        self.places.get(&address).copied()
    }

    /// The way that one flow of an agent takes; `None` if nobody knows one.
    pub(super) fn path(&mut self, agent: ElementIx, end: ElementIx, flow: u64) -> Option<&Path> {
        if !self.paths.contains_key(&(agent, end)) {
            let paths = self.find_paths(agent, end);
            self.paths.insert((agent, end), paths);
        }
        let paths = self.paths.get(&(agent, end))?;
        let at = u32::try_from(flow % 65_536).unwrap_or(0);
        paths.iter().find(|path| at < path.upto).or(paths.last())
    }

    fn find_paths(&mut self, agent: ElementIx, end: ElementIx) -> Vec<Path> {
        let set = self.book.shortest(&self.believed, agent, Some(end));
        let Some(set) = self.book.get(set).filter(|set| set.source != PathSource::Unknown) else {
            return Vec::new();
        };
        let mut share = 0.0;
        let mut all = Vec::new();
        for route in &set.routes {
            share += route.share;
            let steps: Vec<ElementIx> = route.steps.iter().map(|step| step.element).collect();
            all.push(self.walk(steps, share));
        }
        all
    }

    fn walk(&self, mut steps: Vec<ElementIx>, share: f64) -> Path {
        steps.retain(|ix| {
            let kind = self.topology.kind(*ix);
            matches!(kind, ElementKind::Link | ElementKind::Device | ElementKind::Upstream)
        });
        let base_us = self.delay_upto(&steps);
        let (mut extra_us, mut passes) = (0, 1.0);
        for active in self.faults.values() {
            let element = self.topology.find(&active.fault.element);
            if !element.is_some_and(|element| steps.contains(&element)) {
                continue;
            }
            match active.fault.kind {
                FaultKind::LinkLossy => passes *= 1.0 - f64::from(active.fault.measure()) / 100.0,
                FaultKind::LinkSlow => extra_us += active.fault.measure() * 1_000,
                FaultKind::LinkCut
                | FaultKind::LinkFlaps
                | FaultKind::RouterStopped
                | FaultKind::SiteDark
                | FaultKind::ConduitDug
                | FaultKind::UpstreamGone
                | FaultKind::AgentIsolated => {}
            }
        }
        let (upto, loss_ppm) = ((share * 65_536.0) as u32, ((1.0 - passes) * 1e6) as u32);
        let is_down = steps.iter().any(|step| self.down.contains(step));
        Path { steps, upto, base_us, extra_us, loss_ppm, is_down }
    }

    /// What these steps add to a round trip.
    pub(super) fn delay_upto(&self, steps: &[ElementIx]) -> u32 {
        let of = |ix: &ElementIx| self.delay_us.get(ix.index()).copied().unwrap_or(0);
        steps.iter().map(of).sum()
    }

    pub(super) fn is_broken(&self, steps: &[ElementIx]) -> bool {
        steps.iter().any(|step| self.down.contains(step))
    }

    pub(super) fn is_isolated(&self, agent: ElementIx) -> bool {
        self.down.contains(&agent)
    }

    /// What becomes of a packet that an agent sends, and of its answer.
    pub(super) fn fate(&mut self, agent: ElementIx, to: IpAddr, busy: f64, dice: &mut Rng) -> Fate {
        let Some(place) = self.place(to) else { return Fate::Lost };
        if self.is_isolated(agent) {
            return Fate::Lost;
        }
        let flow = flow_of(agent, to, 0);
        let Some(path) = self.path(agent, place.end, flow) else { return Fate::Lost };
        if path.is_down || dice.chance_ppm(path.loss_ppm) || dice.chance_ppm(traffic::LOSS_PPM) {
            return Fate::Lost;
        }
        let queue_us = traffic::queue_us(dice, busy, place.has_line);
        Fate::Answered { after_us: path.base_us + path.extra_us + place.line_us + queue_us }
    }

    /// What a round trip of an agent takes as long as nothing is broken and nothing queues.
    pub fn round_trip_us(&mut self, agent: &str, to: IpAddr) -> Option<u32> {
        let (agent, place) = (self.topology.find(agent)?, self.place(to)?);
        let path = self.path(agent, place.end, flow_of(agent, to, 0))?;
        Some(path.base_us + place.line_us)
    }

    /// How busy the network is.
    pub(super) fn busy(&self, at: Tick) -> f64 {
        traffic::busy(self.wall(at))
    }
}

fn is_down(isp: &Isp, ix: ElementIx) -> bool {
    isp.down.contains(&ix)
}

/// What routers choose one of several equal ways by.
pub(super) fn flow_of(agent: ElementIx, to: IpAddr, ports: u32) -> u64 {
    hash(&format!("{} {to} {ports}", agent.0)) >> 7
}

/// What an element adds to a round trip.
fn delay_us(topology: &Topology, ix: ElementIx) -> u32 {
    let Some(element) = topology.get(ix) else { return 0 };
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is crossed")]
    match element.kind {
        ElementKind::Device => HOP_US,
        ElementKind::Link => {
            let Some(ends) = element.ends else { return 0 };
            let position = |end: ElementIx| {
                let site = topology.get(end).and_then(|device| device.site)?;
                topology.get(site).and_then(|site| site.position)
            };
            match ends.map(position) {
                [Some(a), Some(b)] if a != b => {
                    let us = plan::distance_km(a, b) * US_PER_KM;
                    let us = us as u32;
                    us + LOCAL_US
                }
                _ => LOCAL_US,
            }
        }
        _ => 0,
    }
}
