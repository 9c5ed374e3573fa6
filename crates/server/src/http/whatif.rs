//! What the network would lose: for planning work, and for finding what must not fail.

use axum::extract::State;
use engine::{
    graph::{Topology, document::name_of},
    rca,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Query},
    permission::Permission,
    problem::ApiError,
};
use crate::app::{App, Fields};

/// Ids of one list in an answer; how many there are is said beside them.
const IDS_MAX: usize = 500;
/// Single points of one answer, the weightiest first.
const POINTS_MAX: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhatIfQuery {
    /// Ids of elements, with commas between them.
    #[param(example = "fra1--ber1")]
    down: Option<String>,
}

/// What would be lost if these were down. It looks at links, devices and needs, not at capacity.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WhatIf)]
pub(crate) struct WhatIfView {
    down: Vec<String>,
    topology_version: u64,
    #[schema(example = "without fra1--ber1 nobody reaches 1 target of weight 120: cpe-17")]
    sentence: String,
    /// Targets that nobody would reach.
    targets_lost: ElementIdsView,
    /// Behind them.
    weight: u64,
    /// Of all targets, for comparison.
    weight_total: u64,
    /// Devices that would be down or cut off.
    devices: ElementIdsView,
    /// Behind those devices.
    customers: u64,
    services: u64,
    /// Devices that one failure more would cut off.
    devices_exposed: ElementIdsView,
    /// Agents that would see nothing.
    agents_blind: ElementIdsView,
    /// Targets whose packets would take another way.
    targets_rerouted: u32,
    /// Targets that some agent would no longer reach, though another does.
    targets_split: u32,
}

/// Some ids, of targets names, and how many there are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ElementIds)]
pub(crate) struct ElementIdsView {
    total: usize,
    /// At most 500, by id.
    ids: Vec<String>,
}

impl ElementIdsView {
    fn of(topology: &Topology, elements: &[engine::graph::ElementIx]) -> ElementIdsView {
        let mut ids: Vec<&str> = elements.iter().map(|ix| name_of(topology, *ix)).collect();
        ids.sort_unstable();
        let ids = ids.into_iter().take(IDS_MAX).map(str::to_owned).collect();
        ElementIdsView { total: elements.len(), ids }
    }
}

/// Every element whose loss darkens targets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SinglePoints)]
pub(crate) struct SinglePointsView {
    topology_version: u64,
    total: usize,
    /// The weightiest first; at most 1,000.
    single_points: Vec<SinglePointView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SinglePoint)]
pub(crate) struct SinglePointView {
    element: String,
    #[schema(example = "device")]
    kind: &'static str,
    /// Targets that nobody would reach without it.
    targets: u32,
    /// Behind them.
    weight: u64,
}

/// Ask what would be lost
///
/// If some elements were down: for planning work on them. Nothing is changed.
#[utoipa::path(
    get, path = "/api/v1/topology/what-if", tag = "topology", params(WhatIfQuery),
    responses((status = 200, description = "What would be lost", body = WhatIfView))
)]
pub(crate) async fn what_if_get(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<WhatIfQuery>,
) -> Result<Json<WhatIfView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let down = query.down.unwrap_or_default();
    let mut fields = Fields::default();
    if down.trim().is_empty() {
        fields.refuse("down", "is missing: give the id of an element, or several with commas");
    }
    fields.check()?;
    let asked = app.what_if(&scope, &down).await?;
    let (topology, loss) = (&asked.held.topology, &asked.loss);
    let behind = |count: fn(&engine::graph::Element) -> u64| -> u64 {
        loss.devices.iter().filter_map(|ix| topology.get(*ix)).map(count).sum()
    };
    let ids = |elements| ElementIdsView::of(topology, elements);
    Ok(Json(WhatIfView {
        down: asked.down.iter().map(|ix| topology.id(*ix).to_owned()).collect(),
        topology_version: asked.held.version,
        sentence: rca::text::loss(topology, &asked.down, loss),
        targets_lost: ids(&loss.targets),
        weight: loss.weight,
        weight_total: topology.elements().iter().map(|element| element.weight).sum(),
        devices: ids(&loss.devices),
        customers: behind(|element| element.customers),
        services: behind(|element| element.services),
        devices_exposed: ids(&loss.devices_exposed),
        agents_blind: ids(&loss.agents),
        targets_rerouted: loss.rerouted,
        targets_split: loss.split,
    }))
}

/// List the single points of failure
///
/// Every element whose loss would leave targets that nobody reaches, the weightiest first.
#[utoipa::path(
    get, path = "/api/v1/topology/single-points", tag = "topology",
    responses((status = 200, description = "The single points", body = SinglePointsView))
)]
pub(crate) async fn single_points_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<SinglePointsView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let found = app.single_points(&scope).await?;
    let topology = &found.held.topology;
    let view = |point: &rca::SinglePoint| SinglePointView {
        element: topology.id(point.element).to_owned(),
        kind: topology.kind(point.element).as_str(),
        targets: point.targets,
        weight: point.weight,
    };
    Ok(Json(SinglePointsView {
        topology_version: found.held.version,
        total: found.points.len(),
        single_points: found.points.iter().take(POINTS_MAX).map(view).collect(),
    }))
}
