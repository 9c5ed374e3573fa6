//! What happened to several targets, in one request: for a list of them, where one request each
//! would be a storm.

use std::collections::BTreeSet;

use axum::extract::State;
use model::TargetId;
use serde::{Deserialize, Serialize};
use store::Who;
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Query},
    permission::Permission,
    problem::ApiError,
    rounds::{SeriesView, parse_level, parse_range},
    views::{RefView, Timestamp, parse_flag},
};
use crate::app::{App, AppError, Fields, history};

/// Targets of one request: more rows than a screen shows at once.
const TARGETS_MAX: usize = 50;
/// Values of one request over all its targets, of each series: a day of minutes of as many targets
/// as can be asked for.
const TARGET_VALUES_MAX: i64 = 72_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoriesQuery {
    /// The ids of at most 50 targets, with commas between.
    #[param(example = "1,2,3")]
    targets: String,
    /// An hour before `to` if left out.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Excluded; now if left out. At most five years after `from`; all targets together may have
    /// 72,000 values of a series.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// As for one target.
    level: Option<String>,
    /// `true`: each agent is told, too; only all together if left out.
    #[param(value_type = Option<bool>)]
    agents: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Histories)]
pub(crate) struct HistoriesView {
    from: Timestamp,
    to: Timestamp,
    level: &'static str,
    /// In the order of their ids; a target that does not exist is left out.
    targets: Vec<TargetHistoryView>,
    /// What this answer leaves out, in words; empty as a rule.
    notes: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetHistory)]
pub(crate) struct TargetHistoryView {
    target: RefView,
    /// All agents together first, then each agent by name if they were asked for.
    series: Vec<SeriesView>,
}

/// Several targets at once, minute by minute or in longer spans
#[utoipa::path(
    get, path = "/api/v1/history", tag = "history", params(HistoriesQuery),
    responses((
        status = 200, description = "Every minute or bucket of the range that has begun, by target",
        body = HistoriesView
    ))
)]
pub(crate) async fn history_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<HistoriesQuery>,
) -> Result<Json<HistoriesView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let mut fields = Fields::default();
    let ids = fields.take("targets", parse_ids(&query.targets)).unwrap_or_default();
    let level = fields.take_some("level", query.level.as_deref().map(parse_level));
    let agents = fields.take_some("agents", query.agents.as_deref().map(parse_flag));
    let (from, to) = parse_range(&mut fields, app.now(), query.from, query.to);
    fields.check()?;
    let retention = app.retention_of(&scope, ids.iter().copied()).await?;
    let range = history::range(from, to, level, app.now(), &retention);
    let (range, level) = range.map_err(|(field, reason)| {
        fields.refuse(field, reason);
        fields.error()
    })?;
    let values = range.end.0.saturating_sub(range.start.0) / level.minutes();
    let too_many = format!(
        "together give more than {TARGET_VALUES_MAX} values; take fewer of them, a coarser level, \
         or a shorter range"
    );
    if TARGET_VALUES_MAX < values.saturating_mul(i64::try_from(ids.len()).unwrap_or(i64::MAX)) {
        fields.refuse("targets", too_many.clone());
        fields.check()?;
    }
    let around = app.around(&scope, range, level).await?;
    let who = if agents == Some(true) { Who::Each } else { Who::Together };
    let mut told_values = 0_i64;
    let mut targets = Vec::with_capacity(ids.len());
    for id in ids {
        let (target, series) = match app.history(&scope, id, &around, who).await {
            Ok(told) => told,
            Err(AppError::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        // How many agents there are is known only now.
        let count = i64::try_from(series.len()).unwrap_or(i64::MAX);
        told_values = told_values.saturating_add(count.saturating_mul(values));
        if TARGET_VALUES_MAX < told_values {
            fields.refuse("targets", too_many);
            return Err(fields.error().into());
        }
        let target = RefView { id: target.id.0, name: target.name.to_string() };
        let series = series.iter().map(SeriesView::from).collect();
        targets.push(TargetHistoryView { target, series });
    }
    Ok(Json(HistoriesView {
        from: around.range.start.start().into(),
        to: around.range.end.start().into(),
        level: level.as_str(),
        targets,
        notes: around.notes.clone(),
    }))
}

fn parse_ids(text: &str) -> Result<BTreeSet<TargetId>, String> {
    let parse = |part: &str| part.trim().parse::<TargetId>().map_err(|_| part.to_owned());
    let ids: Result<BTreeSet<TargetId>, String> = text.split(',').map(parse).collect();
    let ids = ids.map_err(|part| format!("must be ids with commas between; `{part}` is none"))?;
    if TARGETS_MAX < ids.len() {
        return Err(format!("must be at most {TARGETS_MAX} ids"));
    }
    Ok(ids)
}
