//! Networks grown to a size: an operator's cities, rings and access, with shared risks and
//! upstreams, as the collections of real topologies have none of.

use engine::graph::{Draft, ElementDraft, TargetDraft, Topology};
use model::{ElementKind, ElementRole};

use crate::dice::Dice;

/// How large a network is grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Size {
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

impl Size {
    fn plan(self) -> Plan {
        match self {
            Size::S => Plan { sites: 5, agents: 3, ring: 2, access: 10, edges: 4, targets: 10 },
            Size::M => Plan { sites: 20, agents: 20, ring: 4, access: 20, edges: 20, targets: 25 },
            Size::L => Plan { sites: 100, agents: 10, ring: 8, access: 20, edges: 20, targets: 50 },
        }
    }
}

struct Grower {
    draft: Draft,
    dice: Dice,
    links: usize,
}

/// Grows a network; agents stand at core routers.
pub(crate) fn grow(size: Size, dice: &Dice) -> anyhow::Result<Topology> {
    grow_with(size, dice, size.plan().agents)
}

/// The same, with another number of agents.
pub(crate) fn grow_with(size: Size, dice: &Dice, agents: usize) -> anyhow::Result<Topology> {
    let plan = Plan { agents, ..size.plan() };
    let mut grower = Grower { draft: Draft::default(), dice: dice.fork(7), links: 0 };
    for site in 0..plan.sites {
        grower.site(site, &plan);
    }
    grower.core(plan.sites);
    grower.upstreams(plan.sites);
    let sites: Vec<usize> = (0..plan.sites).collect();
    for (nth, site) in grower.dice.some(&sites, plan.agents).into_iter().enumerate() {
        let mut agent = ElementDraft::new(format!("agent{nth}"), ElementKind::Agent);
        agent.device = Some(core(site, nth % 2));
        grower.draft.elements.push(agent);
    }
    Topology::build(&grower.draft).map_err(|problems| {
        let problems: Vec<String> = problems.iter().take(5).map(ToString::to_string).collect();
        anyhow::anyhow!("a grown network is wrong: {}", problems.join("; "))
    })
}

fn core(site: usize, side: usize) -> String {
    format!("s{site}-core{side}")
}

impl Grower {
    fn device(&mut self, id: &str, site: usize, role: ElementRole) {
        let mut device = ElementDraft::new(id, ElementKind::Device);
        device.site = Some(format!("s{site}"));
        device.role = Some(role);
        self.draft.elements.push(device);
    }

    fn link(&mut self, a: &str, b: &str, cost: i64, conduit: Option<&str>) {
        let mut link = ElementDraft::link(format!("l{}", self.links), a, b);
        self.links += 1;
        link.cost = Some(cost);
        link.groups = conduit.into_iter().map(str::to_owned).collect();
        self.draft.elements.push(link);
    }

    /// Two core routers, a ring of aggregation between them, access devices on the ring.
    fn site(&mut self, site: usize, plan: &Plan) {
        self.draft.elements.push(ElementDraft::new(format!("s{site}"), ElementKind::Site));
        for side in 0..2 {
            self.device(&core(site, side), site, ElementRole::Core);
        }
        self.link(&core(site, 0), &core(site, 1), 1, None);
        let mut before = core(site, 0);
        for nth in 0..plan.ring {
            let id = format!("s{site}-agg{nth}");
            self.device(&id, site, ElementRole::Aggregation);
            self.link(&before, &id, 10, None);
            before = id;
        }
        self.link(&before, &core(site, 1), 10, None);
        for nth in 0..plan.access {
            self.access(site, nth, plan);
        }
    }

    fn access(&mut self, site: usize, nth: usize, plan: &Plan) {
        let id = format!("s{site}-acc{nth}");
        self.device(&id, site, ElementRole::Access);
        let at = nth % plan.ring;
        self.link(&format!("s{site}-agg{at}"), &id, 10, None);
        if self.dice.chance(DUAL_SHARE) {
            self.link(&format!("s{site}-agg{}", (at + 1) % plan.ring), &id, 10, None);
        }
        for target in 0..plan.targets {
            self.target(format!("t{site}-{nth}-{target}"), &id);
        }
        for edge in 0..plan.edges / plan.access {
            let edge = format!("s{site}-ce{nth}-{edge}");
            self.device(&edge, site, ElementRole::CustomerEdge);
            self.link(&id, &edge, 10, None);
        }
    }

    fn target(&mut self, id: String, device: &str) {
        let device = Some(device.to_owned());
        self.draft.targets.push(TargetDraft::new(id, device));
    }

    /// Two rings of cities, the links of one span in one conduit, and some chords.
    fn core(&mut self, sites: usize) {
        for site in 0..sites {
            let next = (site + 1) % sites;
            let cost = 20 + self.dice.below(30) as i64;
            let conduit = format!("conduit{site}");
            self.draft.elements.push(ElementDraft::new(conduit.clone(), ElementKind::Srlg));
            for side in 0..2 {
                self.link(&core(site, side), &core(next, side), cost, Some(&conduit));
            }
            if self.dice.chance(CHORDS) && 4 < sites {
                let far = (site + 2 + self.dice.below(sites - 3)) % sites;
                let cost = 30 + self.dice.below(40) as i64;
                self.link(&core(site, 0), &core(far, 1), cost, None);
            }
        }
    }

    /// Each at a core router of its own, with targets beyond it.
    fn upstreams(&mut self, sites: usize) {
        for nth in 0..UPSTREAMS {
            let id = format!("upstream{nth}");
            let mut upstream = ElementDraft::new(id.clone(), ElementKind::Upstream);
            upstream.device = Some(core(nth * sites / UPSTREAMS, 0));
            self.draft.elements.push(upstream);
            for beyond in 0..BEYOND {
                self.target(format!("beyond{nth}-{beyond}"), &id);
            }
        }
    }
}
