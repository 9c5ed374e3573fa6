//! The overview: counts by verdict, and what changed last.

use axum::extract::State;
use model::AgentState;
use serde::Serialize;
use store::{ChangeKind, ChangeRow};
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::Json,
    permission::Permission,
    problem::ApiError,
    views::{CauseView, RefView, Timestamp},
};
use crate::app::App;

/// What changed last: as many as fit a screen.
const CHANGES: u32 = 50;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Overview)]
pub(crate) struct OverviewView {
    as_of: Timestamp,
    /// Everything up to here is in the answer; `/api/v1/live` resumes after it.
    log_position: u64,
    /// False while no results are taken: what is shown gets old.
    is_intake_open: bool,
    /// How far judging is behind what was accepted, in whole seconds.
    ingest_lag_s: u64,
    targets: TargetCountsView,
    agents: AgentCountsView,
    /// Newest first.
    changes: Vec<ChangeView>,
}

/// Every target is counted once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetCounts)]
pub(crate) struct TargetCountsView {
    total: u64,
    up: u64,
    degraded: u64,
    down: u64,
    unknown: u64,
    paused: u64,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = AgentCounts)]
pub(crate) struct AgentCountsView {
    total: u64,
    online: u64,
    offline: u64,
    blind: u64,
    never_seen: u64,
    /// Online or blind before the server started, and not heard since.
    awaited: u64,
}

/// A change of a verdict, or of an agent's state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Change)]
pub(crate) struct ChangeView {
    at: Timestamp,
    #[schema(required)]
    target: Option<RefView>,
    /// Whose verdict or state it is; null for all agents together.
    #[schema(required)]
    agent: Option<RefView>,
    kind: ChangeKindView,
    #[schema(example = "up")]
    from: &'static str,
    #[schema(example = "down")]
    to: &'static str,
    /// Null for an agent.
    #[schema(required)]
    cause: Option<CauseView>,
    why: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeKind)]
pub(crate) enum ChangeKindView {
    Verdict,
    Agent,
}

impl ChangeView {
    /// `None` for what is of one target alone: its page tells it.
    fn of(row: ChangeRow) -> Option<ChangeView> {
        let (kind, from, to, cause) = match row.kind {
            ChangeKind::Verdict { from, to, cause } => {
                (ChangeKindView::Verdict, from.as_str(), to.as_str(), Some(cause.into()))
            }
            ChangeKind::Agent { from, to } => {
                (ChangeKindView::Agent, from.as_str(), to.as_str(), None)
            }
            ChangeKind::Name { .. } => return None,
        };
        Some(ChangeView {
            at: row.at.into(),
            target: row.target.as_ref().map(RefView::from),
            agent: row.agent.as_ref().map(RefView::from),
            kind,
            from,
            to,
            cause,
            why: row.why,
        })
    }
}

/// Counts by verdict, and what changed last
#[utoipa::path(
    get, path = "/api/v1/overview", tag = "targets",
    responses((status = 200, description = "As of now", body = OverviewView))
)]
pub(crate) async fn overview_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<OverviewView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    // Read first: what is stored after it comes again over the live events, which is harmless.
    let log_position = app.log_position().0;
    let intake = app.intake();
    let targets = app.target_counts(&scope).await?;
    let mut agents = AgentCountsView::default();
    for agent in app.agents(&scope).await? {
        agents.total += 1;
        *match agent.state {
            _ if app.awaited_since(&agent).is_some() => &mut agents.awaited,
            AgentState::NeverSeen => &mut agents.never_seen,
            AgentState::Online => &mut agents.online,
            AgentState::Offline => &mut agents.offline,
            AgentState::Blind => &mut agents.blind,
        } += 1;
    }
    let changes = app.changes_recent(&scope, CHANGES).await?;
    Ok(Json(OverviewView {
        as_of: app.now().into(),
        log_position,
        is_intake_open: intake.is_open,
        ingest_lag_s: intake.lag.as_secs(),
        targets: TargetCountsView {
            total: targets.total,
            up: targets.up,
            degraded: targets.degraded,
            down: targets.down,
            unknown: targets.unknown,
            paused: targets.paused,
        },
        agents,
        changes: changes.into_iter().filter_map(ChangeView::of).collect(),
    }))
}
