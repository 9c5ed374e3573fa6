//! Targets: list, create, get, update, delete, and what is held of one right now.

use std::{collections::BTreeMap, time::Duration};

use axum::extract::State;
use http::StatusCode;
use model::{Address, Name, TargetId, TierId, Verdict};
use serde::{Deserialize, Serialize};
use store::{
    AgentRow, MonitorGap, NewTarget, Scope, TargetPatch, TargetQuery, TargetRow, TargetSort,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    views::{AgentStateView, CauseView, RefView, Timestamp, VerdictView, parse_limit},
};
use crate::app::{
    App, AppError, Fields,
    import::parse_tags,
    live::{HeldVerdict, PairStatusView as PairStatus},
    targets::parse_note,
};

/// From the start of a target's first round until it is judged: to tell its agents takes a second,
/// the round with its confirm burst some more, and the way here one.
const FIRST_ROUND_TOLD: Duration = Duration::from_secs(10);
/// A search is a few words.
const SEARCH_BYTES_MAX: usize = 200;

/// Something that is watched, with what all agents together hold of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Target)]
pub(crate) struct TargetView {
    id: u32,
    #[schema(example = "core1.fra")]
    name: String,
    #[schema(example = "192.0.2.1")]
    address: String,
    tier: RefView,
    tags: Vec<String>,
    note: String,
    is_paused: bool,
    probe_id: u32,
    verdict: VerdictView,
    cause: CauseView,
    /// The reason in words, with its numbers.
    why: String,
    since: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&TargetRow> for TargetView {
    fn from(row: &TargetRow) -> TargetView {
        TargetView {
            id: row.id.0,
            name: row.name.to_string(),
            address: row.address.to_string(),
            tier: RefView::from(&row.tier),
            tags: row.tags.iter().map(Name::to_string).collect(),
            note: row.note.clone(),
            is_paused: row.is_paused,
            probe_id: row.probe.0,
            verdict: row.verdict.into(),
            cause: row.cause.into(),
            why: why(row),
            since: row.since.into(),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

/// The reason of what is held; before anything is, what is waited for.
fn why(row: &TargetRow) -> String {
    if !row.why.is_empty() {
        row.why.clone()
    } else if row.is_paused {
        "paused before its first round".to_owned()
    } else {
        let within = (row.interval + FIRST_ROUND_TOLD).as_secs();
        format!("no round yet: the first comes within {within} s while an agent for it is online")
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetPage)]
pub(crate) struct TargetPageView {
    items: Vec<TargetView>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
    /// Of all pages.
    total: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TargetsQuery {
    /// The `next_cursor` of the page before, in the same order.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `name` (if left out), `-name`, `verdict` (worst first), `since` (newest change first) or
    /// `address`.
    sort: Option<String>,
    /// Part of the name, address or note, in any case.
    q: Option<String>,
    /// One or several of up, degraded, down, unknown, with commas between.
    #[param(example = "down,degraded")]
    verdict: Option<String>,
    /// Id or name of a tier.
    tier: Option<String>,
    /// A tag that the targets have.
    tag: Option<String>,
}

/// A target to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TargetBody)]
pub(crate) struct TargetBody {
    /// 1 to 63 of letters, digits, `-`, `_`, `.`; starts with a letter or digit.
    #[schema(example = "core1.fra")]
    name: String,
    /// IPv4 or IPv6 address, or DNS name.
    #[schema(example = "192.0.2.1")]
    address: String,
    /// The oldest tier if left out.
    #[serde(default)]
    tier_id: Option<u32>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    note: String,
    #[serde(default)]
    is_paused: bool,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TargetPatch)]
pub(crate) struct TargetPatchBody {
    name: Option<String>,
    address: Option<String>,
    tier_id: Option<u32>,
    tags: Option<Vec<String>>,
    note: Option<String>,
    is_paused: Option<bool>,
}

/// What is held of a target right now, by all agents together and by each.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetStatus)]
pub(crate) struct TargetStatusView {
    target: TargetView,
    consensus: HeldView,
    agents: Vec<PairStatusView>,
    /// How often it is asked, in seconds.
    interval_s: u64,
    /// Since when this server runs: what is held on older rounds is from the run before.
    server_since: Timestamp,
    /// When no server ran since `consensus.since`, oldest first: what was held before and is held
    /// after is told as one, and nobody looked in between.
    unwatched: Vec<UnwatchedView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Unwatched)]
pub(crate) struct UnwatchedView {
    from: Timestamp,
    to: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Held)]
pub(crate) struct HeldView {
    verdict: VerdictView,
    cause: CauseView,
    why: String,
    since: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PairStatus)]
pub(crate) struct PairStatusView {
    agent: AgentStateRefView,
    verdict: VerdictView,
    cause: CauseView,
    why: String,
    since: Timestamp,
    #[schema(required)]
    last_round_at: Option<Timestamp>,
    /// Packets that loss is judged over, and how many of them were lost.
    window_packets: u32,
    window_lost: u32,
    /// Of the last answered round; null if none was.
    #[schema(required)]
    rtt_us_mean: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentStateRef)]
pub(crate) struct AgentStateRefView {
    id: u32,
    name: String,
    state: AgentStateView,
    since: Timestamp,
}

impl From<&MonitorGap> for UnwatchedView {
    fn from(gap: &MonitorGap) -> UnwatchedView {
        UnwatchedView { from: gap.from.into(), to: gap.to.into() }
    }
}

impl From<&HeldVerdict> for HeldView {
    fn from(held: &HeldVerdict) -> HeldView {
        HeldView {
            verdict: held.verdict.into(),
            cause: held.why.cause.into(),
            why: held.why.text.clone(),
            since: held.since.into(),
        }
    }
}

/// List targets
#[utoipa::path(
    get, path = "/api/v1/targets", tag = "targets", params(TargetsQuery),
    responses((status = 200, description = "A page", body = TargetPageView))
)]
pub(crate) async fn target_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TargetsQuery>,
) -> Result<Json<TargetPageView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let query = parse_query(&app, &scope, query).await?;
    let page = app.target_list(&scope, &query).await?;
    Ok(Json(TargetPageView {
        items: page.rows.iter().map(TargetView::from).collect(),
        next_cursor: page.next,
        total: page.total,
    }))
}

/// Create a target
#[utoipa::path(
    post, path = "/api/v1/targets", tag = "targets",
    request_body = TargetBody,
    responses((status = 201, description = "Created", body = TargetView))
)]
pub(crate) async fn target_create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<TargetBody>,
) -> Result<(StatusCode, Json<TargetView>), ApiError> {
    let scope = caller.authorize(Permission::TargetWrite)?;
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&body.name));
    let address = fields.take("address", Address::parse_target(&body.address));
    let tags = fields.take("tags", parse_tags(&body.tags));
    let note = fields.take("note", parse_note(&body.note));
    let (Some(name), Some(address), Some(tags), Some(note)) = (name, address, tags, note) else {
        return Err(fields.error().into());
    };
    let tier = body.tier_id.map(TierId);
    let new = NewTarget { name, address, tier, tags, note, is_paused: body.is_paused };
    let row = app.target_create(&scope, new).await.map_err(tier_as_field)?;
    Ok((StatusCode::CREATED, Json(TargetView::from(&row))))
}

/// Get a target
#[utoipa::path(
    get, path = "/api/v1/targets/{id}", tag = "targets", params(("id" = u32, Path)),
    responses((status = 200, description = "The target", body = TargetView))
)]
pub(crate) async fn target_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
) -> Result<Json<TargetView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let row = app.target_get(&scope, id).await?;
    Ok(Json(TargetView::from(&row)))
}

/// Change a target
#[utoipa::path(
    patch, path = "/api/v1/targets/{id}", tag = "targets", params(("id" = u32, Path)),
    request_body = TargetPatchBody,
    responses((status = 200, description = "As it is now", body = TargetView))
)]
pub(crate) async fn target_update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
    Json(body): Json<TargetPatchBody>,
) -> Result<Json<TargetView>, ApiError> {
    let scope = caller.authorize(Permission::TargetWrite)?;
    let mut fields = Fields::default();
    let patch = TargetPatch {
        name: fields.take_some("name", body.name.as_deref().map(Name::parse)),
        address: fields.take_some("address", body.address.as_deref().map(Address::parse_target)),
        tier: body.tier_id.map(TierId),
        tags: fields.take_some("tags", body.tags.as_deref().map(parse_tags)),
        note: fields.take_some("note", body.note.as_deref().map(parse_note)),
        is_paused: body.is_paused,
        topology: None,
    };
    fields.check()?;
    let row = app.target_update(&scope, id, patch).await.map_err(tier_as_field)?;
    Ok(Json(TargetView::from(&row)))
}

/// Delete a target
///
/// Its history stays until it is old enough; its id is never used again.
#[utoipa::path(
    delete, path = "/api/v1/targets/{id}", tag = "targets", params(("id" = u32, Path)),
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn target_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::TargetWrite)?;
    app.target_delete(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is held of a target right now
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/status", tag = "targets", params(("id" = u32, Path)),
    responses((status = 200, description = "As of now", body = TargetStatusView))
)]
pub(crate) async fn target_status(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
) -> Result<Json<TargetStatusView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let status = app.target_status(&scope, id).await?;
    let by_id = |agent: AgentRow| (agent.id, agent);
    let known: BTreeMap<_, _> = app.agents(&scope).await?.into_iter().map(by_id).collect();
    let pair = |pair: &PairStatus| {
        let agent = known.get(&pair.agent)?;
        let awaited_since = app.awaited_since(agent);
        let agent = AgentStateRefView {
            id: agent.id.0,
            name: agent.name.to_string(),
            state: awaited_since.map_or(agent.state.into(), |_| AgentStateView::AWAITED),
            since: agent.state_since.into(),
        };
        Some(pair_view(agent, pair))
    };
    let mut agents: Vec<PairStatusView> = status.held.pairs.iter().filter_map(pair).collect();
    agents.sort_by(|a, b| a.agent.name.cmp(&b.agent.name));
    let target = &status.target;
    // A target of which the engine has not heard yet is as the store says.
    let consensus = status.held.consensus.as_ref().map_or_else(
        || HeldView {
            verdict: target.verdict.into(),
            cause: target.cause.into(),
            why: target.why.clone(),
            since: target.since.into(),
        },
        HeldView::from,
    );
    let target = TargetView::from(target);
    Ok(Json(TargetStatusView {
        target,
        consensus,
        agents,
        interval_s: status.interval_s,
        server_since: status.server_since.into(),
        unwatched: status.unwatched.iter().map(UnwatchedView::from).collect(),
    }))
}

fn pair_view(agent: AgentStateRefView, pair: &PairStatus) -> PairStatusView {
    PairStatusView {
        agent,
        verdict: pair.held.verdict.into(),
        cause: pair.held.why.cause.into(),
        why: pair.held.why.text.clone(),
        since: pair.held.since.into(),
        last_round_at: pair.last_round_at.map(Timestamp::from),
        window_packets: pair.window_packets,
        window_lost: pair.window_lost,
        rtt_us_mean: pair.rtt_us_mean,
    }
}

async fn parse_query(
    app: &App,
    scope: &Scope,
    query: TargetsQuery,
) -> Result<TargetQuery, ApiError> {
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let sort = fields.take_some("sort", query.sort.as_deref().map(parse_sort));
    let verdicts = fields.take_some("verdict", query.verdict.as_deref().map(parse_verdicts));
    let tag = fields.take_some("tag", some(query.tag.as_deref()).map(Name::parse));
    if query.q.as_ref().is_some_and(|q| SEARCH_BYTES_MAX < q.len()) {
        fields.refuse("q", format!("must have at most {SEARCH_BYTES_MAX} bytes"));
    }
    let tier = match some(query.tier.as_deref()) {
        None => None,
        Some(text) => match text.parse::<TierId>() {
            Ok(id) => Some(id),
            Err(_) => fields.take("tier", tier_by_name(app, scope, text).await?),
        },
    };
    fields.check()?;
    Ok(TargetQuery {
        q: query.q.filter(|q| !q.is_empty()),
        verdicts: verdicts.unwrap_or_default(),
        tier,
        tag,
        sort: sort.unwrap_or_default(),
        after: query.cursor,
        limit,
    })
}

/// A filter that is there and empty is a form that was not filled in.
fn some(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

async fn tier_by_name(
    app: &App,
    scope: &Scope,
    name: &str,
) -> Result<Result<TierId, &'static str>, ApiError> {
    let tiers = app.tiers(scope).await?;
    let found = tiers.iter().find(|row| row.tier.name.as_str() == name);
    Ok(found.map(|row| row.tier.id).ok_or("is neither id nor name of a tier"))
}

fn parse_sort(text: &str) -> Result<TargetSort, &'static str> {
    match text {
        "name" => Ok(TargetSort::Name),
        "-name" => Ok(TargetSort::NameDesc),
        "verdict" => Ok(TargetSort::Verdict),
        "since" => Ok(TargetSort::Since),
        "address" => Ok(TargetSort::Address),
        _ => Err("must be name, -name, verdict, since or address"),
    }
}

fn parse_verdicts(text: &str) -> Result<Vec<Verdict>, &'static str> {
    let words = text.split(',').filter(|word| !word.is_empty());
    let verdicts: Option<Vec<Verdict>> = words.map(Verdict::parse).collect();
    verdicts.ok_or("must be up, degraded, down or unknown; several with commas between")
}

/// A tier that does not exist is a bad field of the target, not a missing page.
fn tier_as_field(error: AppError) -> AppError {
    if !matches!(error, AppError::NotFound { what: "tier" }) {
        return error;
    }
    let mut fields = Fields::default();
    fields.refuse("tier_id", "there is no such tier");
    fields.error()
}
