//! The demo's fault desk. Only a server that was started as a demo has these routes.

use axum::extract::State;
use http::StatusCode;
use model::UtcMicros;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::{Json, Path},
    permission::Permission,
    problem::ApiError,
    views::Timestamp,
};
use crate::app::{
    App, FieldError,
    desk::{DeskFault, DeskKind, DeskPlace, DeskState, DeskStop, FaultOrder},
};

/// Faults of one request: what happens at once.
const FAULTS_MAX: usize = 10;

/// What can be broken, what is broken, and a tour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Desk)]
pub(crate) struct DeskView {
    /// Whose the network's data are.
    credit: String,
    /// From a change until routing has gone round it.
    convergence_s: u64,
    kinds: Vec<FaultKindView>,
    places: Vec<PlaceView>,
    /// The oldest first.
    active: Vec<FaultView>,
    tour: Vec<StopView>,
}

/// A way to break something.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeskKind)]
pub(crate) struct FaultKindView {
    #[schema(example = "link-cut")]
    kind: &'static str,
    /// The kind of element that it happens to.
    #[schema(example = "link")]
    element: &'static str,
    /// Null for what has no measure.
    #[schema(required)]
    size: Option<SizeView>,
    /// An element that shows it well.
    example: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeskSize)]
pub(crate) struct SizeView {
    default: u32,
    /// From 1.
    max: u32,
    #[schema(example = "% of packets")]
    unit: &'static str,
}

/// Something that can be broken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeskPlace)]
pub(crate) struct PlaceView {
    id: String,
    kind: &'static str,
    #[schema(required)]
    role: Option<&'static str>,
    #[schema(required)]
    site: Option<String>,
}

/// Something that is broken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeskFault)]
pub(crate) struct FaultView {
    id: u32,
    kind: &'static str,
    element: String,
    #[schema(required)]
    size: Option<u32>,
    /// What is the matter, in words.
    words: String,
    since: Timestamp,
    /// Of what flaps, whether it is down at this moment; true of everything else.
    is_bad_now: bool,
}

/// One stop of the guided tour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeskStop)]
pub(crate) struct StopView {
    title: String,
    story: String,
    watch: String,
    says: String,
    faults: Vec<FaultBody>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FaultOrder)]
pub(crate) struct FaultBody {
    #[schema(example = "link-cut")]
    kind: String,
    /// Id of an element of the topology.
    #[schema(min_length = 1, max_length = 255)]
    element: String,
    /// Percent of packets, or milliseconds; as usual if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
}

/// What breaks at once: all of it or nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FaultsBody)]
pub(crate) struct FaultsBody {
    #[schema(min_items = 1, max_items = 10)]
    faults: Vec<FaultBody>,
}

impl From<DeskState> for DeskView {
    fn from(state: DeskState) -> DeskView {
        DeskView {
            credit: state.credit,
            convergence_s: state.convergence_s,
            kinds: state.kinds.into_iter().map(FaultKindView::from).collect(),
            places: state.places.into_iter().map(PlaceView::from).collect(),
            active: state.active.into_iter().map(FaultView::from).collect(),
            tour: state.tour.into_iter().map(StopView::from).collect(),
        }
    }
}

impl From<DeskKind> for FaultKindView {
    fn from(of: DeskKind) -> FaultKindView {
        let size =
            of.size.map(|size| SizeView { default: size.default, max: size.max, unit: size.unit });
        FaultKindView { kind: of.kind, element: of.element, size, example: of.example }
    }
}

impl From<DeskPlace> for PlaceView {
    fn from(of: DeskPlace) -> PlaceView {
        PlaceView { id: of.id, kind: of.kind, role: of.role, site: of.site }
    }
}

impl From<DeskFault> for FaultView {
    fn from(of: DeskFault) -> FaultView {
        let DeskFault { id, kind, element, size, words, since: UtcMicros(us), is_bad_now } = of;
        let since = UtcMicros(us).into();
        FaultView { id, kind, element, size, words, since, is_bad_now }
    }
}

impl From<DeskStop> for StopView {
    fn from(of: DeskStop) -> StopView {
        let faults = of.faults.into_iter().map(|order| FaultBody {
            kind: order.kind,
            element: order.element,
            size: order.size,
        });
        let faults = faults.collect();
        StopView { title: of.title, story: of.story, watch: of.watch, says: of.says, faults }
    }
}

/// The fault desk
///
/// Only in a demo: elsewhere there is no such path.
#[utoipa::path(
    get, path = "/api/v1/demo/desk", tag = "demo",
    responses((status = 200, description = "The desk", body = DeskView))
)]
pub(crate) async fn desk_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<DeskView>, ApiError> {
    caller.authorize(Permission::TopologyRead)?;
    Ok(Json(app.desk_state()?.into()))
}

/// Break something
///
/// Only in a demo: elsewhere there is no such path.
#[utoipa::path(
    post, path = "/api/v1/demo/faults", tag = "demo", request_body = FaultsBody,
    responses((status = 201, description = "The desk, with what is broken now", body = DeskView))
)]
pub(crate) async fn fault_begin(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<FaultsBody>,
) -> Result<(StatusCode, Json<DeskView>), ApiError> {
    let scope = caller.authorize(Permission::TopologyWrite)?;
    if body.faults.is_empty() || FAULTS_MAX < body.faults.len() {
        let reason = format!("must be 1 to {FAULTS_MAX} faults");
        return Err(ApiError::invalid(vec![FieldError::new("faults", reason)]));
    }
    let orders: Vec<FaultOrder> = body
        .faults
        .into_iter()
        .map(|fault| FaultOrder { kind: fault.kind, element: fault.element, size: fault.size })
        .collect();
    let state = app.desk_begin(&scope, &orders).await?;
    Ok((StatusCode::CREATED, Json(state.into())))
}

/// Mend one thing
///
/// Only in a demo: elsewhere there is no such path.
#[utoipa::path(
    delete, path = "/api/v1/demo/faults/{id}", tag = "demo", params(("id" = u32, Path)),
    responses((status = 204, description = "Mended"))
)]
pub(crate) async fn fault_mend(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<u32>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::TopologyWrite)?;
    app.desk_mend(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mend everything
///
/// Only in a demo: elsewhere there is no such path.
#[utoipa::path(
    delete, path = "/api/v1/demo/faults", tag = "demo",
    responses((status = 204, description = "Mended"))
)]
pub(crate) async fn fault_mend_all(
    State(app): State<App>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::TopologyWrite)?;
    app.desk_mend_all(&scope).await?;
    Ok(StatusCode::NO_CONTENT)
}
