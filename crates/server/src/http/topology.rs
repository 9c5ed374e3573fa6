//! The network as its operator describes it: elements, where targets stand, files in and out.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use engine::graph::{
    Draft,
    document::{Format, Part, PartKey, Section},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use model::ElementKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{BODY_TIME_MAX, Json, Path, Query, in_time, media_type, too_large_or_cut},
    permission::Permission,
    problem::{ApiError, Code, ProblemField},
    views::{Timestamp, parse_flag},
};
use crate::app::{
    App, FieldError, Fields, aside,
    topology::{Held, ImportMode, TopologyImport},
    unknown::Checked,
};

/// Parts that one answer tells: a large network whole; a file has everything.
const PARTS_MAX: usize = 50_000;
/// Ids that a report names of each sort; how many there are is said beside them.
const REPORT_KEYS_MAX: usize = 1_000;

/// One element of the network. What does not apply to its kind is left out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TopologyElement)]
pub(crate) struct TopologyElementView {
    #[schema(example = "fra1--ber1")]
    id: String,
    /// `device`, `interface`, `link`, `lag`, `site`, `srlg`, `upstream`, `agent` or `agent_uplink`.
    #[schema(example = "link")]
    kind: String,
    /// Of an agent: what it is called in the inventory, if not by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of a device: `core`, `edge`, `aggregation`, `access`, `concentrator`, `customer_edge`; of a
    /// link or LAG: `physical`, `logical`; of an upstream: `transit`, `peering`; of a shared risk:
    /// `conduit`, `ring`, `power`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latitude: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    longitude: Option<f64>,
    /// The device of an interface, or that an agent or upstream is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The two devices, or interfaces, that a link connects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<Vec<String>>,
    /// From the first end to the second; 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<i64>,
    /// From the second end to the first; as `cost` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_back: Option<i64>,
    /// Shared risks that it takes part in, and the LAG that it is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    srlg: Option<Vec<String>>,
    /// Subscribers whose lines or sessions end here: a count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customers: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    services: Option<u64>,
    /// What it needs beside links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    needs: Option<Vec<TopologyNeedView>>,
}

/// One of these is enough (`any`), or it takes each (`all`).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[schema(as = TopologyNeed)]
pub(crate) enum TopologyNeedView {
    Any(Vec<String>),
    All(Vec<String>),
}

/// Where a target of the inventory stands, by its name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TopologyTarget)]
pub(crate) struct TopologyTargetView {
    /// Its name in the inventory.
    #[schema(example = "core1.fra")]
    id: String,
    /// What it stands behind: a device, interface, link, upstream or agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// Subscribers or services behind it; 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    needs: Option<Vec<TopologyNeedView>>,
    /// Pinned paths to it: they count before what follows from links and costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<TopologyPathView>>,
}

/// What the packets of an agent cross to a target, by the operator's word. Several of one agent
/// are alternatives.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TopologyPath)]
pub(crate) struct TopologyPathView {
    /// Id of an agent in the topology.
    #[schema(example = "fra1")]
    agent: String,
    /// Devices, ports and links in the order walked from the agent.
    via: Vec<String>,
    /// How many of the flows take it, against the pair's other paths; 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Topology)]
pub(crate) struct TopologyView {
    /// Of the inventory, at the last change; 0 before the first.
    version: u64,
    #[schema(required)]
    updated_at: Option<Timestamp>,
    /// Of the whole topology, whatever was asked for.
    elements_total: usize,
    targets_total: usize,
    /// By id.
    elements: Vec<TopologyElementView>,
    /// By id.
    targets: Vec<TopologyTargetView>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopologyQuery {
    /// Only what stands at this site, with its links and targets.
    site: Option<String>,
    /// Only this device, with what is attached to it.
    device: Option<String>,
    /// Only elements of this kind; `target` for targets.
    kind: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopologyExportQuery {
    /// `json` (if left out), `yaml`, `csv`, `graphml` or `topohub`. The last two have room for
    /// devices and links alone; the header `x-left-out` counts the rest.
    format: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopologyImportQuery {
    /// `json`, `yaml`, `csv`, `graphml` or `topohub`; by the body's media type if left out.
    format: Option<String>,
    /// `merge` (if left out): what the file does not name stays. `replace`: it goes.
    mode: Option<String>,
    /// Only say what would be done. False if left out.
    #[param(value_type = Option<bool>)]
    dry_run: Option<String>,
}

/// What an import did, or would do: all of it or nothing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopologyImportReport)]
pub(crate) struct TopologyImportView {
    dry_run: bool,
    added: TopologyKeysView,
    changed: TopologyKeysView,
    removed: TopologyKeysView,
    unchanged: usize,
    /// Why nothing would be done: each with its line, as far as the format has lines.
    problems: Vec<ProblemField>,
    /// What is probably a mistake and harmless.
    doubts: Vec<String>,
    /// Targets and agents that the inventory does not have, each with the name that was probably
    /// meant: no rounds are counted for them.
    warnings: Vec<String>,
}

/// What is odd about the topology that is in force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopologyCheck)]
pub(crate) struct TopologyCheckView {
    /// Of the inventory, at the last change; 0 before the first.
    version: u64,
    elements: usize,
    /// How many of the elements are devices: without any, no cause can be named.
    devices: usize,
    targets: usize,
    /// What is probably a mistake and harmless.
    doubts: Vec<String>,
    /// Targets and agents that the inventory does not have, each with the name that was probably
    /// meant: no rounds are counted for them.
    warnings: Vec<String>,
}

/// Some ids, and how many there are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopologyKeys)]
pub(crate) struct TopologyKeysView {
    total: usize,
    /// At most 1,000; those of targets with `target ` before them.
    ids: Vec<String>,
}

impl From<&[PartKey]> for TopologyKeysView {
    fn from(keys: &[PartKey]) -> TopologyKeysView {
        let name = |key: &PartKey| match key.section {
            Section::Element => key.id.clone(),
            Section::Target => format!("target {}", key.id),
        };
        let ids = keys.iter().take(REPORT_KEYS_MAX).map(name).collect();
        TopologyKeysView { total: keys.len(), ids }
    }
}

fn broken(error: serde_json::Error) -> ApiError {
    ApiError::internal(error)
}

fn views(held: &Held, query: &TopologyQuery) -> Result<TopologyView, ApiError> {
    let is_wanted = filter(&held.draft, query);
    let wanted = || held.parts.iter().filter(|part| is_wanted(part));
    let count = wanted().count();
    if PARTS_MAX < count {
        let reason = format!(
            "{count} parts are more than {PARTS_MAX} that one answer tells: narrow it by site, \
             device or kind, or take the file: GET /api/v1/topology/export"
        );
        return Err(ApiError::invalid(vec![FieldError::new("site", reason)]));
    }
    let of = |section| wanted().filter(move |part| part.key.section == section);
    let elements = of(Section::Element).map(|part| serde_json::from_str(&part.json));
    let targets = of(Section::Target).map(|part| serde_json::from_str(&part.json));
    Ok(TopologyView {
        version: held.version,
        updated_at: held.updated_at.map(Timestamp::from),
        elements_total: held.draft.elements.len(),
        targets_total: held.draft.targets.len(),
        elements: elements.collect::<Result<_, _>>().map_err(broken)?,
        targets: targets.collect::<Result<_, _>>().map_err(broken)?,
    })
}

/// What is asked for: everything, or what hangs together with a site or a device.
fn filter<'a>(draft: &'a Draft, query: &'a TopologyQuery) -> impl Fn(&Part) -> bool + 'a {
    use std::collections::BTreeSet;
    let is_all = query.site.is_none() && query.device.is_none();
    let is_root = |element: &&engine::graph::ElementDraft| {
        let at = |id: &Option<String>| id.as_deref().is_some_and(|id| id == element.id);
        let stands = query.site.is_some() && element.site == query.site;
        at(&query.device) || at(&query.site) || stands
    };
    let mut ids: BTreeSet<&str> =
        draft.elements.iter().filter(is_root).map(|element| element.id.as_str()).collect();
    // Ports first, then what ends at them.
    for _ in 0..2 {
        let hangs = draft.elements.iter().filter(|element| {
            let on = |id: &String| ids.contains(id.as_str());
            element.device.iter().any(on) || element.ends.iter().flatten().any(on)
        });
        let more: Vec<&str> = hangs.map(|element| element.id.as_str()).collect();
        ids.extend(more);
    }
    let behind = draft
        .targets
        .iter()
        .filter(|target| target.device.as_deref().is_some_and(|device| ids.contains(device)));
    let targets: BTreeSet<&str> = behind.map(|target| target.id.as_str()).collect();
    move |part: &Part| {
        let id = part.key.id.as_str();
        let is_near = match part.key.section {
            Section::Element => ids.contains(id),
            Section::Target => targets.contains(id),
        };
        let is_kind = query.kind.as_deref().is_none_or(|kind| kind == part.kind.as_str());
        (is_all || is_near) && is_kind
    }
}

/// Read the topology
///
/// All of it, or what stands at a site or is attached to a device.
#[utoipa::path(
    get, path = "/api/v1/topology", tag = "topology", params(TopologyQuery),
    responses((status = 200, description = "The topology", body = TopologyView))
)]
pub(crate) async fn topology_get(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TopologyQuery>,
) -> Result<Json<TopologyView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let mut fields = Fields::default();
    if let Some(kind) = query.kind.as_deref().filter(|kind| ElementKind::parse(kind).is_none()) {
        let kinds: Vec<&str> = ElementKind::ALL.iter().map(|kind| kind.as_str()).collect();
        fields.refuse("kind", format!("`{kind}` is none of {}", kinds.join(", ")));
    }
    fields.check()?;
    let held = app.topology(&scope).await?;
    // A hundred thousand parts take a while.
    Ok(Json(aside(move || Ok(views(&held, &query))).await??))
}

/// Check the topology
///
/// What is odd about it: parts that nothing reaches, names that the inventory does not have.
#[utoipa::path(
    get, path = "/api/v1/topology/check", tag = "topology",
    responses((status = 200, description = "What is odd", body = TopologyCheckView))
)]
pub(crate) async fn topology_check(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<TopologyCheckView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let Checked { held, doubts, warnings } = app.topology_check(&scope).await?;
    let devices = held.topology.of_kind(ElementKind::Device).count();
    let (elements, targets) = (held.draft.elements.len(), held.draft.targets.len());
    let version = held.version;
    Ok(Json(TopologyCheckView { version, elements, devices, targets, doubts, warnings }))
}

/// Export the topology
#[utoipa::path(
    get, path = "/api/v1/topology/export", tag = "topology", params(TopologyExportQuery),
    responses((
        status = 200, description = "The file",
        content(
            (serde_json::Value = "application/json"), (String = "application/yaml"),
            (String = "text/csv"), (String = "application/xml")
        )
    ))
)]
pub(crate) async fn topology_export(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TopologyExportQuery>,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let mut fields = Fields::default();
    let format = fields.take_some("format", query.format.as_deref().map(parse_format));
    fields.check()?;
    let format = format.unwrap_or(Format::Json);
    let written = app.topology_export(&scope, format).await?;
    let mut response = written.text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert("x-left-out", HeaderValue::from(written.left_out));
    let end = if format == Format::Topohub { "json" } else { format.as_str() };
    let disposition = format!("attachment; filename=\"topology.{end}\"");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

fn parse_format(text: &str) -> Result<Format, String> {
    let names: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
    Format::parse(text).ok_or_else(|| format!("`{text}` is none of {}", names.join(", ")))
}

fn parse_mode(text: &str) -> Result<ImportMode, String> {
    match text {
        "merge" => Ok(ImportMode::Merge),
        "replace" => Ok(ImportMode::Replace),
        _ => Err(format!("`{text}` is neither merge nor replace")),
    }
}

/// A body as text, with the format that its media type says.
#[derive(Debug)]
pub(crate) struct Text {
    format: Option<Format>,
    text: String,
}

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Text, ApiError> {
        let format = match media_type(request.headers()).as_str() {
            "application/json" => Some(Format::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" => Some(Format::Yaml),
            "text/csv" => Some(Format::Csv),
            "application/xml" | "text/xml" | "application/graphml+xml" => Some(Format::GraphMl),
            _ => None,
        };
        let body = in_time(BODY_TIME_MAX, Bytes::from_request(request, state)).await?;
        let body = body.map_err(|error: BytesRejection| too_large_or_cut(error.status()))?;
        let text = String::from_utf8(body.into());
        let text = text.map_err(|error| {
            let line = error.as_bytes().get(..error.utf8_error().valid_up_to());
            let line = line.map_or(0, |good| good.iter().filter(|b| **b == b'\n').count()) + 1;
            let detail = format!("line {line} is no UTF-8: save the file as UTF-8");
            ApiError::new(Code::BadBody, detail)
        })?;
        Ok(Text { format, text })
    }
}

/// Import a topology
///
/// All of the file or nothing. A problem is told with its line.
#[utoipa::path(
    post, path = "/api/v1/topology/import", tag = "topology", params(TopologyImportQuery),
    request_body(content(
        (String = "text/csv", example = "kind,id,end_a,end_b\ndevice,r1,,\n"),
        (String = "application/yaml"), (Object = "application/json"), (String = "application/xml"),
    )),
    responses((status = 200, description = "The report", body = TopologyImportView))
)]
pub(crate) async fn topology_import(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TopologyImportQuery>,
    body: Text,
) -> Result<Json<TopologyImportView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyWrite)?;
    let mut fields = Fields::default();
    let dry_run = fields.take_some("dry_run", query.dry_run.as_deref().map(parse_flag));
    let format = fields.take_some("format", query.format.as_deref().map(parse_format));
    let mode = fields.take_some("mode", query.mode.as_deref().map(parse_mode));
    fields.check()?;
    let Some(format) = format.or(body.format) else {
        let detail = "say what it is: `format=csv`, or `content-type: text/csv`";
        return Err(ApiError::new(Code::BadMediaType, detail));
    };
    if format == Format::Json && !body.text.trim_start().starts_with('{') {
        let detail = "a topology is an object: {\"elements\": [], \"targets\": []}";
        return Err(ApiError::new(Code::BadBody, detail));
    }
    let dry_run = dry_run.unwrap_or(false);
    let mode = mode.unwrap_or(ImportMode::Merge);
    let import = app.topology_import(&scope, (format, body.text), mode, dry_run).await?;
    let TopologyImport { difference, faults, doubts, warnings } = import;
    let problems = faults.iter().map(|fault| {
        let line = fault.line.filter(|line| 0 < *line).map(|line| format!("line {line}"));
        let place = Some(fault.place.clone()).filter(|place| !place.is_empty());
        let field: Vec<String> = line.into_iter().chain(place).collect();
        ProblemField { field: field.join(": "), reason: fault.reason.clone() }
    });
    Ok(Json(TopologyImportView {
        dry_run,
        added: difference.added.as_slice().into(),
        changed: difference.changed.as_slice().into(),
        removed: difference.removed.as_slice().into(),
        unchanged: difference.unchanged,
        problems: problems.collect(),
        doubts,
        warnings,
    }))
}

/// Makes the part that a body describes, with the id of the path.
async fn set(
    app: &App,
    caller: &Caller,
    key: PartKey,
    body: &impl Serialize,
) -> Result<Part, ApiError> {
    let scope = caller.authorize(Permission::TopologyWrite)?;
    let value = serde_json::to_value(body).map_err(broken)?;
    let serde_json::Value::Object(map) = value else {
        return Err(ApiError::new(Code::BadBody, "a part is an object"));
    };
    let id = map.get("id").and_then(serde_json::Value::as_str);
    if id != Some(key.id.as_str()) {
        let reason = format!("it is not `{}`, which the path names", key.id);
        return Err(ApiError::invalid(vec![FieldError::new("id", reason)]));
    }
    Ok(app.topology_set(&scope, key, map).await?)
}

/// Get an element
#[utoipa::path(
    get, path = "/api/v1/topology/elements/{id}", tag = "topology",
    params(("id" = String, Path)),
    responses((status = 200, description = "The element", body = TopologyElementView))
)]
pub(crate) async fn topology_element_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<TopologyElementView>, ApiError> {
    let scope = caller.authorize(Permission::TopologyRead)?;
    let held = app.topology(&scope).await?;
    let part = held.part(&PartKey { section: Section::Element, id });
    let part = part.ok_or_else(|| ApiError::new(Code::NotFound, "there is no such element"))?;
    Ok(Json(serde_json::from_str(&part.json).map_err(broken)?))
}

/// Create or replace an element
///
/// The whole network must still make sense with it: every id that it names is there, nothing needs
/// itself.
#[utoipa::path(
    put, path = "/api/v1/topology/elements/{id}", tag = "topology",
    params(("id" = String, Path)), request_body = TopologyElementView,
    responses((status = 200, description = "As it is now", body = TopologyElementView))
)]
pub(crate) async fn topology_element_set(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<TopologyElementView>,
) -> Result<Json<TopologyElementView>, ApiError> {
    let key = PartKey { section: Section::Element, id };
    let part = set(&app, &caller, key, &body).await?;
    Ok(Json(serde_json::from_str(&part.json).map_err(broken)?))
}

/// Delete an element
///
/// Refused while others name it.
#[utoipa::path(
    delete, path = "/api/v1/topology/elements/{id}", tag = "topology",
    params(("id" = String, Path)),
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn topology_element_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::TopologyWrite)?;
    app.topology_remove(&scope, PartKey { section: Section::Element, id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say where a target stands
#[utoipa::path(
    put, path = "/api/v1/topology/targets/{id}", tag = "topology",
    params(("id" = String, Path)), request_body = TopologyTargetView,
    responses((status = 200, description = "As it is now", body = TopologyTargetView))
)]
pub(crate) async fn topology_target_set(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<TopologyTargetView>,
) -> Result<Json<TopologyTargetView>, ApiError> {
    let key = PartKey { section: Section::Target, id };
    let part = set(&app, &caller, key, &body).await?;
    Ok(Json(serde_json::from_str(&part.json).map_err(broken)?))
}

/// Forget where a target stands
///
/// The target itself stays.
#[utoipa::path(
    delete, path = "/api/v1/topology/targets/{id}", tag = "topology",
    params(("id" = String, Path)),
    responses((status = 204, description = "Forgotten"))
)]
pub(crate) async fn topology_target_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::TopologyWrite)?;
    app.topology_remove(&scope, PartKey { section: Section::Target, id }).await?;
    Ok(StatusCode::NO_CONTENT)
}
