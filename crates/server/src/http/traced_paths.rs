//! Paths: which way packets take from an agent to a target, since when, and what changed.

use std::{collections::BTreeMap, net::IpAddr};

use axum::extract::State;
use model::{AgentId, TargetId};
use serde::{Deserialize, Serialize};
use store::{PathQuery, PathRow};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Query},
    permission::Permission,
    problem::ApiError,
    views::{RefView, Timestamp, cut_page, parse_before, parse_limit},
};
use crate::app::{App, Fields, traces::KnownHop};

/// A way that packets took.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedPath)]
pub(crate) struct PathView {
    id: u64,
    agent: RefView,
    target: RefView,
    /// When the path before it was seen last: it began after that. Null of the first that is kept.
    #[schema(required)]
    after: Option<Timestamp>,
    /// When it was seen first.
    since: Timestamp,
    /// When it was seen last.
    seen: Timestamp,
    /// No other was seen since.
    is_latest: bool,
    /// The trace that saw it last.
    trace: u32,
    /// How many traces saw it.
    seen_count: u32,
    /// What it is other in than the path before; empty of the first.
    #[schema(example = "path from fra1 to edge7 changed at hop 4: was core2, is core3")]
    change: String,
    /// From the first on.
    hops: Vec<PathHopView>,
}

/// Who answered at one hop; nobody, if it is silent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedPathHop)]
pub(crate) struct PathHopView {
    hop: usize,
    answers: Vec<PathAnswerView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedPathAnswer)]
pub(crate) struct PathAnswerView {
    #[schema(value_type = String)]
    address: IpAddr,
    /// The target that has this address.
    #[schema(required)]
    target: Option<RefView>,
    /// The element of the topology that it stands behind.
    #[schema(required)]
    element: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedPathPage)]
pub(crate) struct PathPageView {
    /// Those that began last first.
    items: Vec<PathView>,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PathsQuery {
    /// Only to this target, by its id.
    #[param(value_type = Option<u32>)]
    target: Option<String>,
    /// Only from this agent, by its id.
    #[param(value_type = Option<u32>)]
    agent: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl PathView {
    fn of(row: &PathRow, known: &BTreeMap<IpAddr, KnownHop>) -> PathView {
        let answer = |address: &IpAddr| {
            let known = known.get(address);
            PathAnswerView {
                address: *address,
                target: known.map(|k| RefView { id: k.target.0, name: k.name.clone() }),
                element: known.and_then(|known| known.element.clone()),
            }
        };
        let hops = row.hops.iter().enumerate().map(|(at, hop)| PathHopView {
            hop: at + 1,
            answers: hop.iter().map(answer).collect(),
        });
        PathView {
            id: row.id,
            agent: RefView { id: row.agent.0, name: row.agent_name.to_string() },
            target: RefView { id: row.target.0, name: row.target_name.to_string() },
            after: row.after.map(Timestamp::from),
            since: row.since.into(),
            seen: row.seen.into(),
            is_latest: row.is_latest,
            trace: row.trace.0,
            seen_count: row.seen_count,
            change: row.change.clone(),
            hops: hops.collect(),
        }
    }
}

/// Paths
///
/// Which way traces saw packets take, since when, and what changed. A hop that nobody answers is
/// no change, nor is a trace that ends early.
#[utoipa::path(
    get, path = "/api/v1/traces/paths", tag = "traces", params(PathsQuery),
    responses((status = 200, description = "A page of paths", body = PathPageView))
)]
pub(crate) async fn traced_paths(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PathsQuery>,
) -> Result<Json<PathPageView>, ApiError> {
    let scope = caller.authorize(Permission::TraceRead)?;
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let before_id = parse_before(&mut fields, query.cursor.as_deref());
    let id = |text: &str| text.parse::<u32>().map_err(|_| "must be an id");
    let target = fields.take_some("target", query.target.as_deref().map(id)).map(TargetId);
    let agent = fields.take_some("agent", query.agent.as_deref().map(id)).map(AgentId);
    fields.check()?;
    let query = PathQuery { target, agent, before_id, limit: limit + 1 };
    let (mut rows, known) = app.paths(&scope, &query).await?;
    let next_cursor = cut_page(&mut rows, limit, |row| row.id);
    let items = rows.iter().map(|row| PathView::of(row, &known)).collect();
    Ok(Json(PathPageView { items, next_cursor }))
}
