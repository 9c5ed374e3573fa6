//! What happened to several targets, in one request: for a list of them, where one request each
//! would be a storm.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use model::TargetId;
use serde::{Deserialize, Serialize};
use store::{Scope, TargetRow, Who};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    export::parse_format,
    extract::{Json, Query},
    permission::Permission,
    problem::ApiError,
    rounds::{SeriesView, parse_level, parse_range, send_table},
    views::{RefView, Timestamp, parse_flag},
};
use crate::app::{
    App, AppError, Fields,
    history::{self, Around, Coming},
};

/// Targets of one request: more rows than a screen shows at once.
const TARGETS_MAX: usize = 50;
/// Targets of one table, which is sent while it is made; their ids fit into one request.
const TABLE_TARGETS_MAX: usize = 1_000;
/// Values of one table over all its targets, of each series: a quarter of minutes of some forty
/// targets, or five years of hours of a hundred.
const TABLE_VALUES_MAX: i64 = 5_000_000;
/// Values of one request over all its targets, of each series: a day of minutes of as many targets
/// as can be asked for.
const TARGET_VALUES_MAX: i64 = 72_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoriesQuery {
    /// The ids of at most 50 targets, of a table 1,000, with commas between.
    #[param(example = "1,2,3")]
    targets: String,
    /// An hour before `to` if left out.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Excluded; now if left out. At most five years after `from`; all targets together may have
    /// 72,000 values of a series, of a table 5,000,000.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// As for one target.
    level: Option<String>,
    /// `true`: each agent is told, too; only all together if left out.
    #[param(value_type = Option<bool>)]
    agents: Option<String>,
    /// `json` (if left out), or one table of all targets, which is sent while it is made: `csv`,
    /// `jsonl` (an object a line) or `parquet`.
    format: Option<String>,
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
        content(
            (HistoriesView = "application/json"), (String = "text/csv"),
            (String = "application/x-ndjson"), (String = "application/vnd.apache.parquet")
        )
    ))
)]
pub(crate) async fn history_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<HistoriesQuery>,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let mut fields = Fields::default();
    let format = fields.take_some("format", query.format.as_deref().map(parse_format)).flatten();
    let (targets_max, values_max, coming) = match format {
        Some(_) => (TABLE_TARGETS_MAX, TABLE_VALUES_MAX, Coming::InParts),
        None => (TARGETS_MAX, TARGET_VALUES_MAX, Coming::AtOnce),
    };
    let ids = fields.take("targets", parse_ids(&query.targets, targets_max)).unwrap_or_default();
    let level = fields.take_some("level", query.level.as_deref().map(parse_level));
    let agents = fields.take_some("agents", query.agents.as_deref().map(parse_flag));
    let asked = parse_range(&mut fields, app.now(), query.from, query.to);
    fields.check()?;
    let retention = app.retention_of(&scope, ids.iter().copied()).await?;
    let range = history::range(asked, level, coming, app.now(), &retention);
    let (range, level) = range.map_err(|(field, reason)| {
        fields.refuse(field, reason);
        fields.error()
    })?;
    let values = range.end.0.saturating_sub(range.start.0) / level.minutes();
    let asked = values.saturating_mul(i64::try_from(ids.len()).unwrap_or(i64::MAX));
    if values_max < asked {
        fields.refuse("targets", too_many(values_max));
        fields.check()?;
    }
    let around = app.around(&scope, range, level).await?;
    let who = if agents == Some(true) { Who::Each } else { Who::Together };
    if let Some(format) = format {
        let targets = targets(&app, &scope, ids).await?;
        return send_table(&app, &scope, targets, around, (format, "history".to_owned(), who))
            .await;
    }
    let targets = told(&app, &scope, ids, (&around, who)).await?;
    let view = HistoriesView {
        from: around.range.start.start().into(),
        to: around.range.end.start().into(),
        level: level.as_str(),
        targets,
        notes: around.notes.clone(),
    };
    Ok(Json(view).into_response())
}

/// The targets that exist.
async fn targets(
    app: &App,
    scope: &Scope,
    ids: BTreeSet<TargetId>,
) -> Result<Vec<TargetRow>, AppError> {
    let mut targets = Vec::with_capacity(ids.len());
    for id in ids {
        match app.target_get(scope, id).await {
            Ok(target) => targets.push(target),
            Err(AppError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(targets)
}

/// Tells the targets that exist, all at once.
async fn told(
    app: &App,
    scope: &Scope,
    ids: BTreeSet<TargetId>,
    (around, who): (&Arc<Around>, Who),
) -> Result<Vec<TargetHistoryView>, AppError> {
    let values = around.range.end.0.saturating_sub(around.range.start.0) / around.level.minutes();
    let mut told_values = 0_i64;
    let mut targets = Vec::with_capacity(ids.len());
    for id in ids {
        let (target, series) = match app.history(scope, id, around, who).await {
            Ok(told) => told,
            Err(AppError::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        // How many agents there are is known only now.
        let count = i64::try_from(series.len()).unwrap_or(i64::MAX);
        told_values = told_values.saturating_add(count.saturating_mul(values));
        if TARGET_VALUES_MAX < told_values {
            let mut fields = Fields::default();
            fields.refuse("targets", too_many(TARGET_VALUES_MAX));
            return Err(fields.error());
        }
        let target = RefView { id: target.id.0, name: target.name.to_string() };
        let series = series.iter().map(SeriesView::from).collect();
        targets.push(TargetHistoryView { target, series });
    }
    Ok(targets)
}

fn too_many(values_max: i64) -> String {
    let other =
        if values_max == TARGET_VALUES_MAX { ", or format=csv, jsonl or parquet" } else { "" };
    format!(
        "together give more than {values_max} values; take fewer of them, a coarser level, a \
         shorter range{other}"
    )
}

fn parse_ids(text: &str, targets_max: usize) -> Result<BTreeSet<TargetId>, String> {
    let parse = |part: &str| part.trim().parse::<TargetId>().map_err(|_| part.to_owned());
    let ids: Result<BTreeSet<TargetId>, String> = text.split(',').map(parse).collect();
    let ids = ids.map_err(|part| format!("must be ids with commas between; `{part}` is none"))?;
    if targets_max < ids.len() {
        return Err(format!("must be at most {targets_max} ids"));
    }
    Ok(ids)
}
