//! The network of the demo: the cities and lines of a real backbone, with aggregation rings,
//! access devices, concentrators, customers and upstreams grown around them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use engine::graph::{Draft, ElementDraft, Position, TargetDraft, Topology, import};
use model::{ElementKind, ElementRole};

use crate::{
    grow::{self, GrowError, Grower},
    rng::Rng,
};

/// Licence and authors: [`super::CREDIT`].
const BACKBONE: &str = include_str!("../../../../scenarios/topologies/AttMpls.graphml");

/// What the file calls its nodes, and the cities that these are.
const CITIES: [(&str, &str); 25] = [
    ("NY54", "newyork"),
    ("CMBR", "cambridge"),
    ("CHCG", "chicago"),
    ("CLEV", "cleveland"),
    ("RLGH", "raleigh"),
    ("ATLN", "atlanta"),
    ("PHLA", "philadelphia"),
    ("WASH", "washington"),
    ("NSVL", "nashville"),
    ("STLS", "stlouis"),
    ("NWOR", "neworleans"),
    ("HSTN", "houston"),
    ("SNAN", "sanantonio"),
    ("DLLS", "dallas"),
    ("ORLD", "orlando"),
    ("DNVR", "denver"),
    ("KSCY", "kansascity"),
    ("SNFN", "sanfrancisco"),
    ("SCRM", "sacramento"),
    ("PTLD", "portland"),
    ("STTL", "seattle"),
    ("SLKC", "saltlake"),
    ("LA03", "losangeles"),
    ("SNDG", "sandiego"),
    ("PHNX", "phoenix"),
];
/// Cities with two core routers and a ring.
const LARGE: [&str; 10] = [
    "newyork",
    "chicago",
    "atlanta",
    "philadelphia",
    "stlouis",
    "dallas",
    "denver",
    "sanfrancisco",
    "saltlake",
    "losangeles",
];
/// Small cities that have subscribers' sessions of their own.
const SMALL_WITH_SESSIONS: [&str; 5] = ["houston", "nashville", "phoenix", "seattle", "washington"];
/// Where agents stand, each at a core router.
const WATCHED_FROM: [&str; 8] =
    ["newyork", "chicago", "dallas", "sanfrancisco", "atlanta", "denver", "losangeles", "seattle"];
/// The ways out, and where they are.
const UPSTREAMS: [(&str, &str, ElementRole); 3] = [
    ("transit-east", "newyork-core2", ElementRole::Transit),
    ("transit-west", "losangeles-core2", ElementRole::Transit),
    ("ix-chicago", "chicago-core2", ElementRole::Peering),
];
/// What is asked beyond each upstream.
const BEYOND: usize = 10;
/// Access devices of a large city with a second link to its ring.
const DUAL_SHARE: f64 = 0.4;
/// A line of this cost is ten kilometres long; equal ways are rare then, as they are on maps.
const KM_PER_COST: f64 = 10.0;
const EARTH_RADIUS_KM: f64 = 6_371.0;
/// Subscribers behind one line of a concentrator that is asked: the others are not.
const SUBSCRIBERS_PER_LINE: u64 = 25;
/// Everything that is asked, at least: each router and what is beyond the upstreams.
pub(super) const TARGETS_MIN: usize = 200;
/// And at most: what the addresses set aside for benchmarks (RFC 2544) hold with ease.
pub(super) const TARGETS_MAX: usize = 50_000;

/// How often something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Fast,
    Standard,
}

/// Something that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// As in the inventory.
    pub name: String,
    pub address: Ipv4Addr,
    pub pace: Pace,
    pub tags: Vec<&'static str>,
    /// The device or upstream it stands behind.
    pub behind: String,
    /// What its own line adds to every round trip, in microseconds.
    pub line_us: u32,
}

/// An agent, and how it is told that it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    pub name: String,
    pub site: String,
    pub device: String,
    pub address: Ipv4Addr,
    /// The router it stands at.
    pub gateway: Ipv4Addr,
    pub witnesses: Vec<Ipv4Addr>,
}

/// Everything that the demo's server is told, and that its network is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub draft: Draft,
    pub asked: Vec<Asked>,
    pub watchers: Vec<Watcher>,
    pub seed: u64,
}

/// One line of the backbone.
struct Span {
    ends: [String; 2],
    km: f64,
}

impl Plan {
    /// Grows a network in which `targets` are asked, as near as it can be.
    ///
    /// # Errors
    ///
    /// [`GrowError`] if what was grown is no network, which is a defect.
    pub fn grow(targets: usize, seed: u64) -> Result<(Plan, Topology), GrowError> {
        let dice = Rng::new(seed).fork(11);
        let mut grower = Grower::new(dice.fork(1), |_, a, b| format!("{a}--{b}"));
        let (places, spans) = backbone()?;
        for (place, position) in &places {
            grow_site(&mut grower, place, *position);
        }
        for (nth, span) in spans.iter().enumerate() {
            grow_span(&mut grower, span, nth);
        }
        for (id, at, role) in UPSTREAMS {
            grower.upstream(id, at, Some(role));
        }
        for place in WATCHED_FROM {
            grower.agent(&format!("agent-{place}"), &core(place, 1));
        }
        let asked = asked(&grower.draft, targets, &mut dice.fork(2));
        let mut draft = grower.draft;
        for each in &asked {
            let mut target = TargetDraft::new(each.name.clone(), Some(each.behind.clone()));
            if each.tags.contains(&"pppoe") {
                target.weight = SUBSCRIBERS_PER_LINE;
            }
            draft.targets.push(target);
        }
        count_customers(&mut draft);
        let watchers = watchers(&asked);
        // A router and the target that stands for it are called alike in the inventory.
        let topology = grow::build(&draft.with_own_targets())?;
        Ok((Plan { draft, asked, watchers, seed }, topology))
    }
}

fn core(place: &str, side: usize) -> String {
    format!("{place}-core{side}")
}

fn is_large(place: &str) -> bool {
    LARGE.contains(&place)
}

/// Cities with their positions, and the lines between them, each once.
fn backbone() -> Result<(BTreeMap<String, Position>, Vec<Span>), GrowError> {
    let draft = import::graphml(BACKBONE).map_err(|problem| GrowError::of(vec![problem]))?;
    let city = |id: &str| {
        let known = CITIES.iter().find(|(label, _)| *label == id);
        known.map_or_else(|| id.to_ascii_lowercase(), |(_, city)| (*city).to_owned())
    };
    let mut places = BTreeMap::new();
    for element in &draft.elements {
        if let (ElementKind::Device, Some(position)) = (element.kind, element.position) {
            places.insert(city(&element.id), position);
        }
    }
    let mut known = BTreeSet::new();
    let mut spans = Vec::new();
    for [a, b] in draft.elements.iter().filter_map(|element| element.ends.as_ref()) {
        let mut ends = [city(a), city(b)];
        ends.sort();
        let [a, b] = &ends;
        let (Some(from), Some(to)) = (places.get(a), places.get(b)) else { continue };
        if a != b && known.insert(ends.clone()) {
            spans.push(Span { km: distance_km(*from, *to), ends });
        }
    }
    Ok((places, spans))
}

/// Along a great circle.
pub(super) fn distance_km(a: Position, b: Position) -> f64 {
    let (from, to) = (a.latitude.to_radians(), b.latitude.to_radians());
    let north = ((to - from) / 2.0).sin().powi(2);
    let east = ((b.longitude - a.longitude).to_radians() / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_KM * (north + from.cos() * to.cos() * east).sqrt().asin()
}

fn grow_site(grower: &mut Grower, place: &str, position: Position) {
    let count = if is_large(place) { 2 } else { 1 };
    let cores: Vec<String> = (1..=count).map(|side| core(place, side)).collect();
    let ring: Vec<String> = (1..=count).map(|nth| format!("{place}-agg{nth}")).collect();
    grower.site(place, Some(position), &cores, &ring);
    for nth in 0..count {
        let id = format!("{place}-acc{}", nth + 1);
        grower.access(&id, place, ElementRole::Access, (&ring, nth), DUAL_SHARE);
    }
    if is_large(place) || SMALL_WITH_SESSIONS.contains(&place) {
        let id = format!("{place}-bng1");
        grower.access(&id, place, ElementRole::Concentrator, (&ring, 0), 1.0);
    }
}

/// Two lines in one conduit between large cities, one line otherwise.
fn grow_span(grower: &mut Grower, span: &Span, nth: usize) {
    let [a, b] = &span.ends;
    let cost = ((span.km / KM_PER_COST) as i64).max(1);
    if is_large(a) && is_large(b) {
        let conduit = format!("conduit-{a}-{b}");
        let mut group = ElementDraft::new(conduit.clone(), ElementKind::Srlg);
        group.role = Some(ElementRole::Conduit);
        grower.draft.elements.push(group);
        for side in 1..=2 {
            grower.link(&core(a, side), &core(b, side), cost, Some(&conduit));
        }
        return;
    }
    let side = |place: &str| if is_large(place) { 1 + nth % 2 } else { 1 };
    grower.link(&core(a, side(a)), &core(b, side(b)), cost, None);
}

/// Counts, never persons.
fn count_customers(draft: &mut Draft) {
    let mut lines: BTreeMap<&str, u64> = BTreeMap::new();
    for target in &draft.targets {
        let device = target.device.as_deref().unwrap_or_default();
        if target.id != device {
            *lines.entry(device).or_default() += target.weight;
        }
    }
    for element in &mut draft.elements {
        let behind = lines.get(element.id.as_str()).copied().unwrap_or(0);
        match element.role {
            Some(ElementRole::Concentrator) => element.customers = Some(behind),
            Some(ElementRole::Access) => {
                element.customers = Some(behind);
                element.services = Some(behind / 4);
            }
            _ => (),
        }
    }
}

/// Routers, what is beyond the upstreams, and lines of customers for the rest.
fn asked(draft: &Draft, targets: usize, dice: &mut Rng) -> Vec<Asked> {
    let targets = targets.clamp(TARGETS_MIN, TARGETS_MAX);
    let mut all = Vec::new();
    let devices = draft.elements.iter().filter(|element| element.kind == ElementKind::Device);
    for (nth, device) in (1..).zip(devices.clone()) {
        all.push(Asked {
            name: device.id.clone(),
            address: address([198, 19, 0, 0], nth),
            pace: Pace::Fast,
            tags: vec!["router", device.role.map_or("router", ElementRole::as_str)],
            behind: device.id.clone(),
            line_us: 0,
        });
    }
    for (upstream, (id, _, _)) in (0_u32..).zip(UPSTREAMS) {
        for (nth, beyond) in (1..).zip(1..=BEYOND) {
            all.push(Asked {
                name: format!("{id}-{beyond:02}"),
                address: address([203, 0, 113, 0], upstream * 32 + nth),
                pace: Pace::Fast,
                tags: vec!["beyond"],
                behind: id.to_owned(),
                line_us: drawn(dice, 2_000, 20_000),
            });
        }
    }
    let edges: Vec<&ElementDraft> = devices
        .filter(|device| {
            matches!(device.role, Some(ElementRole::Access | ElementRole::Concentrator))
        })
        .collect();
    let lines = targets.saturating_sub(all.len());
    for (nth, line) in (1..).zip(0..lines) {
        let Some(edge) = edges.get(line % edges.len().max(1)) else { break };
        let is_session = edge.role == Some(ElementRole::Concentrator);
        all.push(Asked {
            name: format!("{}-{:04}", edge.id, 1 + line / edges.len()),
            address: address([198, 18, 0, 0], nth),
            pace: Pace::Standard,
            tags: if is_session { vec!["line", "pppoe"] } else { vec!["line", "ethernet"] },
            behind: edge.id.clone(),
            line_us: if is_session { drawn(dice, 7_000, 19_000) } else { drawn(dice, 600, 3_000) },
        });
    }
    all
}

fn drawn(dice: &mut Rng, low: u32, high: u32) -> u32 {
    u32::try_from(dice.between(low.into(), high.into())).unwrap_or(low)
}

fn address(net: [u8; 4], nth: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be_bytes(net).wrapping_add(nth))
}

fn watchers(asked: &[Asked]) -> Vec<Watcher> {
    let of = |name: &str| asked.iter().find(|each| each.name == name).map(|each| each.address);
    let mut all = Vec::new();
    for (nth, place) in (1..).zip(WATCHED_FROM) {
        let device = core(place, 1);
        let Some(gateway) = of(&device) else { continue };
        // Core routers of other cities: one that answers proves that the agent sees.
        let others = WATCHED_FROM.iter().filter(|other| **other != place);
        let near = others.cycle().skip(all.len()).take(3);
        all.push(Watcher {
            name: format!("agent-{place}"),
            site: place.to_owned(),
            address: address([198, 19, 255, 0], nth),
            gateway,
            witnesses: near.filter_map(|other| of(&core(other, 1))).collect(),
            device,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_operators_network() {
        let (plan, topology) = Plan::grow(5_000, 1).expect("a network");
        let of = |kind| topology.of_kind(kind).count();
        assert_eq!(of(ElementKind::Site), 25);
        assert_eq!(of(ElementKind::Device), 120);
        assert_eq!((of(ElementKind::Upstream), of(ElementKind::Agent)), (3, 8));
        assert_eq!((plan.asked.len(), of(ElementKind::Target)), (5_000, 5_000));
        assert!(topology.orphans().is_empty());
        let sites = plan.draft.elements.iter().filter(|e| e.kind == ElementKind::Site);
        assert!(sites.clone().all(|site| site.position.is_some_and(Position::is_on_earth)));
        let addresses: BTreeSet<Ipv4Addr> = plan.asked.iter().map(|each| each.address).collect();
        assert_eq!(addresses.len(), plan.asked.len());
        let sessions = plan.draft.elements.iter().filter(|e| {
            e.role == Some(ElementRole::Concentrator) && e.customers.is_some_and(|c| 0 < c)
        });
        assert_eq!(sessions.count(), 15);
    }

    #[test]
    fn no_line_of_the_backbone_cuts_a_city_off() {
        let (_, topology) = Plan::grow(TARGETS_MIN, 1).expect("a network");
        let root: Vec<_> = topology.of_kind(ElementKind::Agent).take(1).collect();
        let host = topology.host(root[0]).expect("a host");
        let bridges = engine::graph::Bridges::new(&topology, &[host], &[]);
        let mut backbone = 0;
        for link in topology.of_kind(ElementKind::Link) {
            let [a, b] = topology.get(link).and_then(|of| of.ends).expect("ends");
            let site = |end| topology.get(end).and_then(|of| of.site);
            if site(a) != site(b) {
                backbone += 1;
                assert!(!bridges.is_bridge(link), "{}", topology.id(link));
            }
        }
        assert!(56 < backbone, "{backbone}");
    }
}
