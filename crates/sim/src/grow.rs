//! Networks grown to a size: an operator's cities, rings and access, with shared risks and
//! upstreams, as the collections of real topologies have none of.
//!
//! [`Grower`] has the parts, for whoever grows a network of another shape.

use std::fmt;

use engine::graph::{Draft, ElementDraft, Position, Problem, TargetDraft, Topology};
use model::{ElementKind, ElementRole};

use crate::rng::Rng;

/// How large a network is grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// 500 targets, 3 agents.
    S,
    /// 10,000 targets, 20 agents.
    M,
    /// 100,000 targets, 10 agents, 5,000 devices.
    L,
}

/// What a size means.
struct Plan {
    sites: usize,
    agents: usize,
    /// Routers of one site's aggregation ring, its two core routers apart.
    ring: usize,
    access: usize,
    /// Customers' edges, which nobody asks.
    edges: usize,
    /// Targets behind one access device.
    targets: usize,
}

/// Upstreams of the whole network, and what is asked beyond each.
const UPSTREAMS: usize = 3;
const BEYOND: usize = 10;
/// Access devices with a second link to the ring.
const DUAL_SHARE: f64 = 0.4;
/// Links between cities beside the two rings, for each city.
const CHORDS: f64 = 0.5;
/// What links within a site cost: between its core routers, and on its rings.
const COST_CORE: i64 = 1;
const COST_RING: i64 = 10;
/// Problems of a network that is wrong, as far as they are told.
const PROBLEMS_SHOWN: usize = 5;

impl Size {
    fn plan(self) -> Plan {
        match self {
            Size::S => Plan { sites: 5, agents: 3, ring: 2, access: 10, edges: 4, targets: 10 },
            Size::M => Plan { sites: 20, agents: 20, ring: 4, access: 20, edges: 20, targets: 25 },
            Size::L => Plan { sites: 100, agents: 10, ring: 8, access: 20, edges: 20, targets: 50 },
        }
    }
}

/// A network was grown that is none: a defect of whatever grew it.
#[derive(Debug, thiserror::Error)]
pub struct GrowError(Vec<Problem>);

impl GrowError {
    pub(crate) fn of(problems: Vec<Problem>) -> GrowError {
        GrowError(problems)
    }
}

impl fmt::Display for GrowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().take(PROBLEMS_SHOWN);
        let problems: Vec<String> = shown.map(ToString::to_string).collect();
        write!(f, "a grown network is wrong: {}", problems.join("; "))
    }
}

/// Builds what was grown.
///
/// # Errors
///
/// [`GrowError`] if it is no network.
pub(crate) fn build(draft: &Draft) -> Result<Topology, GrowError> {
    Topology::build(draft).map_err(GrowError)
}

/// Grows a network; agents stand at core routers.
///
/// # Errors
///
/// [`GrowError`] if it is no network.
pub fn grow(size: Size, dice: &Rng) -> Result<Topology, GrowError> {
    grow_with(size, dice, size.plan().agents)
}

/// The same, with another number of agents.
///
/// # Errors
///
/// As [`grow`].
pub fn grow_with(size: Size, dice: &Rng, agents: usize) -> Result<Topology, GrowError> {
    let plan = Plan { agents, ..size.plan() };
    let mut grower = Grower::new(dice.fork(7), |nth, _, _| format!("l{nth}"));
    for site in 0..plan.sites {
        grow_site(&mut grower, site, &plan);
    }
    grow_core(&mut grower, plan.sites);
    grow_upstreams(&mut grower, plan.sites);
    let sites: Vec<usize> = (0..plan.sites).collect();
    for (nth, site) in grower.dice.some(&sites, plan.agents).into_iter().enumerate() {
        grower.agent(&format!("agent{nth}"), &core(site, nth % 2));
    }
    build(&grower.draft)
}

fn core(site: usize, side: usize) -> String {
    format!("s{site}-core{side}")
}

/// Two core routers, a ring of aggregation between them, access devices on the ring.
fn grow_site(grower: &mut Grower, site: usize, plan: &Plan) {
    let place = format!("s{site}");
    let ring: Vec<String> = (0..plan.ring).map(|nth| format!("s{site}-agg{nth}")).collect();
    grower.site(&place, None, &[core(site, 0), core(site, 1)], &ring);
    for nth in 0..plan.access {
        let id = format!("s{site}-acc{nth}");
        grower.access(&id, &place, ElementRole::Access, (&ring, nth), DUAL_SHARE);
        for target in 0..plan.targets {
            grower.target(format!("t{site}-{nth}-{target}"), &id);
        }
        for edge in 0..plan.edges / plan.access {
            let edge = format!("s{site}-ce{nth}-{edge}");
            grower.device(&edge, &place, ElementRole::CustomerEdge);
            grower.link(&id, &edge, COST_RING, None);
        }
    }
}

/// Two rings of cities, the links of one span in one conduit, and some chords.
fn grow_core(grower: &mut Grower, sites: usize) {
    for site in 0..sites {
        let next = (site + 1) % sites;
        let cost = 20 + cost_of(grower.dice.below(30));
        let conduit = format!("conduit{site}");
        grower.draft.elements.push(ElementDraft::new(conduit.clone(), ElementKind::Srlg));
        for side in 0..2 {
            grower.link(&core(site, side), &core(next, side), cost, Some(&conduit));
        }
        if grower.dice.chance(CHORDS) && 4 < sites {
            let far = (site + 2 + grower.dice.below(sites - 3)) % sites;
            let cost = 30 + cost_of(grower.dice.below(40));
            grower.link(&core(site, 0), &core(far, 1), cost, None);
        }
    }
}

fn cost_of(drawn: usize) -> i64 {
    i64::try_from(drawn).unwrap_or(i64::MAX)
}

/// Each at a core router of its own, with targets beyond it.
fn grow_upstreams(grower: &mut Grower, sites: usize) {
    for nth in 0..UPSTREAMS {
        let id = format!("upstream{nth}");
        grower.upstream(&id, &core(nth * sites / UPSTREAMS, 0), None);
        for beyond in 0..BEYOND {
            grower.target(format!("beyond{nth}-{beyond}"), &id);
        }
    }
}

/// What an operator's network is put together from.
pub(crate) struct Grower {
    pub(crate) draft: Draft,
    pub(crate) dice: Rng,
    /// Names a link: the how manieth it is, and its ends.
    name: fn(usize, &str, &str) -> String,
    links: usize,
}

impl Grower {
    pub(crate) fn new(dice: Rng, name: fn(usize, &str, &str) -> String) -> Grower {
        Grower { draft: Draft::default(), dice, name, links: 0 }
    }

    pub(crate) fn device(&mut self, id: &str, site: &str, role: ElementRole) {
        let mut device = ElementDraft::new(id, ElementKind::Device);
        device.site = Some(site.to_owned());
        device.role = Some(role);
        self.draft.elements.push(device);
    }

    pub(crate) fn link(&mut self, a: &str, b: &str, cost: i64, conduit: Option<&str>) {
        let mut link = ElementDraft::link((self.name)(self.links, a, b), a, b);
        self.links += 1;
        link.cost = Some(cost);
        link.groups = conduit.into_iter().map(str::to_owned).collect();
        self.draft.elements.push(link);
    }

    /// A place with its core routers, one or two, and a ring of aggregation between them.
    pub(crate) fn site(
        &mut self,
        place: &str,
        position: Option<Position>,
        cores: &[String],
        ring: &[String],
    ) {
        let site = ElementDraft::new(place, ElementKind::Site);
        self.draft.elements.push(ElementDraft { position, ..site });
        for id in cores {
            self.device(id, place, ElementRole::Core);
        }
        let (Some(first), Some(last)) = (cores.first(), cores.last()) else { return };
        if first != last {
            self.link(first, last, COST_CORE, None);
        }
        let mut before = first;
        for id in ring {
            self.device(id, place, ElementRole::Aggregation);
            self.link(before, id, COST_RING, None);
            before = id;
        }
        // A ring of one router at one core router is the link that is there already.
        if first != last || 1 < ring.len() {
            self.link(before, last, COST_RING, None);
        }
    }

    /// A device on the `nth` router of a ring, some of them on the next one too.
    pub(crate) fn access(
        &mut self,
        id: &str,
        place: &str,
        role: ElementRole,
        (ring, nth): (&[String], usize),
        dual_share: f64,
    ) {
        self.device(id, place, role);
        let at = |nth: usize| ring.get(nth % ring.len().max(1)).cloned();
        let (first, second) = (at(nth), at(nth + 1));
        let is_dual = self.dice.chance(dual_share);
        if let Some(first) = &first {
            self.link(first, id, COST_RING, None);
        }
        if let Some(second) = second.filter(|second| is_dual && Some(second) != first.as_ref()) {
            self.link(&second, id, COST_RING, None);
        }
    }

    pub(crate) fn upstream(&mut self, id: &str, at: &str, role: Option<ElementRole>) {
        let mut upstream = ElementDraft::new(id, ElementKind::Upstream);
        upstream.device = Some(at.to_owned());
        upstream.role = role;
        self.draft.elements.push(upstream);
    }

    pub(crate) fn agent(&mut self, id: &str, at: &str) {
        let mut agent = ElementDraft::new(id, ElementKind::Agent);
        agent.device = Some(at.to_owned());
        self.draft.elements.push(agent);
    }

    pub(crate) fn target(&mut self, id: String, behind: &str) {
        self.draft.targets.push(TargetDraft::new(id, Some(behind.to_owned())));
    }
}
