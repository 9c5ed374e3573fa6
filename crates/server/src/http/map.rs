//! The network as a map shows it: what each site, device and link is, now or at a moment.

use axum::extract::State;
use engine::{
    graph::ElementIx,
    live::{Counts, Mark, Part},
};
use model::Verdict;
use serde::{Deserialize, Serialize};
use store::MapIncident;
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Query},
    permission::Permission,
    problem::ApiError,
    views::{Timestamp, VerdictView, parse_time},
};
use crate::app::{
    App, Fields, aside,
    map::{Map, MapTargetRow},
};

/// Targets of one answer, the worst first; how many there are is said beside them.
const TARGETS_MAX: usize = 500;
/// Ids of one incident's cause or devices.
const IDS_MAX: usize = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MapQuery {
    /// A moment of the last 7 days; now, if left out. Sites, devices and links are those that are
    /// described now.
    #[param(value_type = Option<Timestamp>)]
    at: Option<String>,
    /// The `version` of an answer: only what changed since. Not together with `at`.
    after: Option<String>,
}

/// What each site, device and link is, with the reason.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Map)]
pub(crate) struct MapView {
    /// Send it as `after` to get what changed since.
    #[schema(example = "1795240440000007")]
    version: String,
    /// Everything is in the answer; otherwise only what changed: put it in the place of what has
    /// its id.
    is_whole: bool,
    /// The moment that is shown.
    at: Timestamp,
    is_past: bool,
    /// Nothing was recorded in that minute, so that nothing is known of it.
    is_unrecorded: bool,
    topology_version: u64,
    sites: Vec<MapSiteView>,
    devices: Vec<MapDeviceView>,
    links: Vec<MapLinkView>,
    /// All that were open, the worst first; at most 200. Empty without `incident_read`.
    incidents: Vec<MapIncidentView>,
    /// Targets that the topology puts nowhere.
    targets_outside: u32,
}

/// What is shown of an element.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapMark)]
pub(crate) struct MarkView {
    state: VerdictView,
    #[schema(example = "2 of 4 targets down")]
    why: String,
    /// Left out if no open incident names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<MapPartView>,
    /// Numbers of open incidents that name it, or what stands there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    incidents: Vec<u32>,
    /// Of targets that stand at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<MapCountsView>,
}

/// What an incident says of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MapPart)]
pub(crate) enum MapPartView {
    /// It is the likeliest cause.
    Cause,
    /// It is one of several that nothing tells apart.
    Suspect,
    /// It is down or cut off.
    Hit,
}

/// How many targets are what; each is counted once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapCounts)]
pub(crate) struct MapCountsView {
    up: u32,
    degraded: u32,
    down: u32,
    unknown: u32,
    paused: u32,
}

/// A site, or a device that stands at none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapSite)]
pub(crate) struct MapSiteView {
    #[schema(example = "fra")]
    id: String,
    /// `site`, or `device` for one that stands at none.
    #[schema(example = "site")]
    kind: &'static str,
    /// Its own, or the middle of its devices; left out if nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    latitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longitude: Option<f64>,
    /// Of targets that stand there; at most 50. Left out without `target_read`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    tags: Vec<String>,
    /// Names of agents that stand there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    agents: Vec<String>,
    #[serde(flatten)]
    mark: MarkView,
}

/// A device, or an upstream at its device's site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapDevice)]
pub(crate) struct MapDeviceView {
    #[schema(example = "r1")]
    id: String,
    /// `device` or `upstream`.
    #[schema(example = "device")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "core")]
    role: Option<&'static str>,
    /// Id in `sites`.
    site: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customers: Option<u64>,
    #[serde(flatten)]
    mark: MarkView,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapLink)]
pub(crate) struct MapLinkView {
    #[schema(example = "r1--r2")]
    id: String,
    /// `link`, `lag` or `agent_uplink`.
    #[schema(example = "link")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "physical")]
    role: Option<&'static str>,
    /// Ids in `devices`.
    from: String,
    to: String,
    /// Ids of shared risks that it takes part in, and of the LAG that it is a member of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    groups: Vec<String>,
    #[serde(flatten)]
    mark: MarkView,
}

/// An incident as it was believed to be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapIncident)]
pub(crate) struct MapIncidentView {
    id: u32,
    #[schema(example = "major")]
    severity: &'static str,
    sentence: String,
    opened_at: Timestamp,
    /// Ids of the likeliest cause: several if nothing tells them apart.
    cause: Vec<String>,
    /// Ids of devices that are down or cut off; at most 500.
    devices: Vec<String>,
    targets_down: u32,
    targets_degraded: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MapTargetsQuery {
    /// Id of a site or a device.
    #[param(example = "fra")]
    of: Option<String>,
}

/// The targets of a site or a device, the worst first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapTargets)]
pub(crate) struct MapTargetsView {
    total: usize,
    /// At most 500.
    items: Vec<MapTargetView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MapTarget)]
pub(crate) struct MapTargetView {
    id: u32,
    name: String,
    /// Id of the device that it stands at.
    device: String,
    is_paused: bool,
    verdict: VerdictView,
    since: Timestamp,
}

/// What the caller may read beside the topology.
#[derive(Clone, Copy, Debug)]
struct May {
    read_targets: bool,
    read_incidents: bool,
}

impl MarkView {
    fn of(mark: &Mark, may: May) -> MarkView {
        let view = MarkView::whole(mark);
        if may.read_incidents || mark.incidents.is_empty() {
            return view;
        }
        // The reason may quote an incident.
        let why = "an incident that you may not read names it".to_owned();
        MarkView { why, part: None, incidents: Vec::new(), ..view }
    }

    fn whole(mark: &Mark) -> MarkView {
        let counts = Some(mark.counts).filter(|counts| *counts != Counts::default());
        MarkView {
            state: mark.state.into(),
            why: mark.why.clone(),
            part: match mark.part {
                Part::None => None,
                Part::Hit => Some(MapPartView::Hit),
                Part::Suspect => Some(MapPartView::Suspect),
                Part::Cause => Some(MapPartView::Cause),
            },
            incidents: mark.incidents.iter().map(|id| id.0).collect(),
            targets: counts.map(|counts| MapCountsView {
                up: counts.up,
                degraded: counts.degraded,
                down: counts.down,
                unknown: counts.unknown,
                paused: counts.paused,
            }),
        }
    }
}

impl From<&MapIncident> for MapIncidentView {
    fn from(incident: &MapIncident) -> MapIncidentView {
        let impact = &incident.body.impact;
        let cause = incident.body.causes.first();
        MapIncidentView {
            id: incident.id.0,
            severity: incident.severity.as_str(),
            sentence: incident.sentence.clone(),
            opened_at: incident.opened_at.into(),
            cause: cause
                .map(|cause| cause.elements.iter().take(IDS_MAX).cloned().collect())
                .unwrap_or_default(),
            devices: impact.devices.iter().take(IDS_MAX).cloned().collect(),
            targets_down: impact.targets_down,
            targets_degraded: impact.targets_degraded,
        }
    }
}

impl MapView {
    /// What changed after a turn, or all for `None`.
    fn of(map: &Map, after: Option<u64>, may: May) -> MapView {
        let after = after.filter(|after| (map.sheet_turn..=map.turn).contains(after));
        let is_new = |turns: &[u64], at: usize| match after {
            Some(after) => turns.get(at).is_some_and(|turn| after < *turn),
            None => true,
        };
        let (sheet, topology) = (&map.sheet, &map.sheet.held.topology);
        let atlas = &sheet.atlas;
        let id = |element: ElementIx| topology.id(element).to_owned();
        let role = |element: ElementIx| topology.get(element)?.role.map(|role| role.as_str());
        let kind = |element: ElementIx| topology.kind(element).as_str();
        let texts = |all: &[Vec<String>], at: usize| all.get(at).cloned().unwrap_or_default();
        let sites = atlas.places.iter().zip(&map.marks.places).enumerate();
        let sites = sites.filter(|(at, _)| is_new(&map.turns.places, *at));
        let devices = atlas.nodes.iter().zip(&map.marks.nodes).enumerate();
        let devices = devices.filter(|(at, _)| is_new(&map.turns.nodes, *at));
        let links = atlas.lines.iter().zip(&map.marks.lines).enumerate();
        let links = links.filter(|(at, _)| is_new(&map.turns.lines, *at));
        let incidents = if may.read_incidents { map.incidents.as_slice() } else { &[] };
        let node_id = |at: usize| atlas.nodes.get(at).map(|node| id(node.element));
        MapView {
            version: map.turn.to_string(),
            is_whole: after.is_none(),
            at: map.at.into(),
            is_past: map.is_past,
            is_unrecorded: map.is_unrecorded,
            topology_version: sheet.held.version,
            sites: sites
                .map(|(at, (place, mark))| MapSiteView {
                    id: id(place.element),
                    kind: kind(place.element),
                    latitude: place.position.map(|(latitude, _)| latitude),
                    longitude: place.position.map(|(_, longitude)| longitude),
                    tags: if may.read_targets { texts(&sheet.tags, at) } else { Vec::new() },
                    agents: texts(&sheet.agents, at),
                    mark: MarkView::of(mark, may),
                })
                .collect(),
            devices: devices
                .filter_map(|(_, (node, mark))| {
                    let element = topology.get(node.element)?;
                    Some(MapDeviceView {
                        id: id(node.element),
                        kind: kind(node.element),
                        role: role(node.element),
                        site: id(atlas.places.get(node.place)?.element),
                        customers: Some(element.customers).filter(|count| 0 < *count),
                        mark: MarkView::of(mark, may),
                    })
                })
                .collect(),
            links: links
                .filter_map(|(_, (line, mark))| {
                    let element = topology.get(line.element)?;
                    Some(MapLinkView {
                        id: id(line.element),
                        kind: kind(line.element),
                        role: role(line.element),
                        from: node_id(line.ends[0])?,
                        to: node_id(line.ends[1])?,
                        groups: element.groups.iter().map(|group| id(*group)).collect(),
                        mark: MarkView::of(mark, may),
                    })
                })
                .collect(),
            incidents: incidents.iter().map(MapIncidentView::from).collect(),
            targets_outside: map.outside,
        }
    }
}

impl From<&MapTargetRow> for MapTargetView {
    fn from(row: &MapTargetRow) -> MapTargetView {
        // A paused target is not asked: what was held of it before says nothing of now.
        let verdict = if row.is_paused { Verdict::Unknown } else { row.verdict };
        MapTargetView {
            id: row.id.0,
            name: row.name.clone(),
            device: row.device.clone(),
            is_paused: row.is_paused,
            verdict: verdict.into(),
            since: row.since.into(),
        }
    }
}

/// Read the map
///
/// What each site, device and link is, from the verdicts of the targets that stand there and behind
/// it and from what open incidents name, with the reason. What cannot be known is `unknown`.
#[utoipa::path(
    get, path = "/api/v1/map", tag = "topology", params(MapQuery),
    responses((status = 200, description = "The map", body = MapView))
)]
pub(crate) async fn map_get(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<MapQuery>,
) -> Result<Json<MapView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let may = May {
        read_targets: caller.allows(Permission::TargetRead),
        read_incidents: caller.allows(Permission::IncidentRead),
    };
    let mut fields = Fields::default();
    let at = fields.take_some("at", query.at.as_deref().map(parse_time));
    if query.at.is_some() && query.after.is_some() {
        fields.refuse("after", "a moment of the past does not change: leave one of them out");
    }
    fields.check()?;
    // One that was never given gets everything.
    let after = query.after.and_then(|after| after.parse().ok());
    let map = match at {
        Some(at) => app.map_at(&scope, at).await?,
        None => app.map(&scope).await?,
    };
    Ok(Json(aside(move || Ok(MapView::of(&map, after, may))).await?))
}

/// List the targets of a site or a device
///
/// Those that the topology puts there, the worst first.
#[utoipa::path(
    get, path = "/api/v1/map/targets", tag = "topology", params(MapTargetsQuery),
    responses((status = 200, description = "The targets", body = MapTargetsView))
)]
pub(crate) async fn map_targets(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<MapTargetsQuery>,
) -> Result<Json<MapTargetsView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let mut fields = Fields::default();
    if query.of.is_none() {
        fields.refuse("of", "is missing: give the id of a site or a device");
    }
    fields.check()?;
    let rows = app.map_targets(&scope, &query.of.unwrap_or_default()).await?;
    let items = rows.iter().take(TARGETS_MAX).map(MapTargetView::from).collect();
    Ok(Json(MapTargetsView { total: rows.len(), items }))
}
