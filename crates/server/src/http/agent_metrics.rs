//! What an agent says of itself over time.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use model::{AgentId, Cause, GaugeRollup, MetricKind, MetricName, MetricRollup, UtcMicros};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    columns,
    export::{self, Sheet, parse_format},
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    rounds::{parse_level, parse_range},
    views::{CauseView, Timestamp},
};
use crate::app::{
    App, Fields,
    agent_metrics::{self, MetricBucket, MetricHistory},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MetricsQuery {
    /// Only of this name; all of the agent if left out.
    #[param(example = "agent_send_lag_seconds")]
    name: Option<String>,
    /// An hour before `to` if left out.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Excluded; now if left out. At most five years after `from`; all metrics together may have
    /// 50,000 values.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// `1m`, `5m`, `1h` or `1d`. If left out, the finest that tells the range in not too many
    /// values and is kept for so long.
    level: Option<String>,
    /// `json` (if left out), or a table: `csv`, `jsonl` (an object a line) or `parquet`.
    format: Option<String>,
}

/// Every bucket of the range that has begun; an empty one is told with its cause.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Metrics)]
pub(crate) struct MetricsView {
    from: Timestamp,
    to: Timestamp,
    level: &'static str,
    /// In the order of names and labels.
    series: Vec<MetricSeriesView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricSeries)]
pub(crate) struct MetricSeriesView {
    #[schema(example = "agent_send_lag_seconds")]
    name: String,
    labels: BTreeMap<String, String>,
    kind: MetricKindView,
    /// As the name says it; empty for a plain number.
    unit: String,
    buckets: Vec<MetricBucketView>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MetricKind)]
pub(crate) enum MetricKindView {
    Gauge,
    Counter,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricBucket)]
pub(crate) struct MetricBucketView {
    start: Timestamp,
    /// Samples; the rest is null without any.
    pub(super) count: u32,
    /// Of a gauge; null for a counter.
    #[schema(required)]
    pub(super) min: Option<f64>,
    #[schema(required)]
    pub(super) mean: Option<f64>,
    #[schema(required)]
    pub(super) max: Option<f64>,
    /// Of a gauge; null for a counter.
    #[schema(required)]
    pub(super) last: Option<f64>,
    /// What a counter counted since the sample before the bucket; null if nobody knows.
    #[schema(required)]
    pub(super) increase: Option<u64>,
    /// The same by the time between the two, so that a silence makes no peak.
    #[schema(required)]
    pub(super) rate_per_s: Option<f64>,
    /// How often a counter began again within the bucket.
    pub(super) resets: u32,
    /// Why there is no sample; null if there is one.
    #[schema(required)]
    cause: Option<CauseView>,
    /// It is not over.
    pub(super) is_open: bool,
}

impl From<&MetricBucket> for MetricBucketView {
    fn from(bucket: &MetricBucket) -> MetricBucketView {
        let gauge: Option<&GaugeRollup> = match &bucket.rollup {
            Some(MetricRollup::Gauge(gauge)) => Some(gauge),
            Some(MetricRollup::Counter(_)) | None => None,
        };
        let resets = match &bucket.rollup {
            Some(MetricRollup::Counter(counter)) => counter.resets,
            Some(MetricRollup::Gauge(_)) | None => 0,
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate is known to 53 bits")]
        let rate =
            |(increase, us): (u64, u64)| (us != 0).then(|| increase as f64 / (us as f64 / 1e6));
        MetricBucketView {
            start: bucket.start.start().into(),
            count: bucket.rollup.as_ref().map_or(0, MetricRollup::count),
            min: gauge.map(|gauge| gauge.min.get()),
            mean: gauge.map(GaugeRollup::mean),
            max: gauge.map(|gauge| gauge.max.get()),
            last: gauge.map(|gauge| gauge.last.get()),
            increase: bucket.counted.map(|(increase, _)| increase),
            rate_per_s: bucket.counted.and_then(rate),
            resets,
            cause: bucket.cause.map(CauseView::from),
            is_open: bucket.is_open,
        }
    }
}

impl From<&MetricHistory> for MetricSeriesView {
    fn from(history: &MetricHistory) -> MetricSeriesView {
        let series = &history.series;
        let labels = series.labels.iter();
        MetricSeriesView {
            name: series.name.to_string(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            kind: match series.kind {
                MetricKind::Gauge => MetricKindView::Gauge,
                MetricKind::Counter | MetricKind::Counter32 => MetricKindView::Counter,
            },
            unit: series.name.unit().to_owned(),
            buckets: history.buckets.iter().map(MetricBucketView::from).collect(),
        }
    }
}

/// What an agent says of itself over time
///
/// Gauges with their least, mean, largest and last value, counters with what they counted and at
/// what rate. The agent's heartbeats are kept every 30 seconds.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}/metrics", tag = "agents",
    params(("id" = u32, Path), MetricsQuery),
    responses((
        status = 200, description = "Every bucket of the range that has begun",
        content(
            (MetricsView = "application/json"), (String = "text/csv"),
            (String = "application/x-ndjson"), (String = "application/vnd.apache.parquet")
        )
    ))
)]
pub(crate) async fn agent_metrics(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(query): Query<MetricsQuery>,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::AgentRead)?;
    let mut fields = Fields::default();
    let format = fields.take_some("format", query.format.as_deref().map(parse_format)).flatten();
    let name = fields.take_some("name", query.name.as_deref().map(MetricName::parse));
    let level = fields.take_some("level", query.level.as_deref().map(parse_level));
    let asked = parse_range(&mut fields, app.now(), query.from, query.to);
    fields.check()?;
    let told = agent_metrics::range(asked, level, app.now(), &app.config.retention);
    let (range, level) = told.map_err(|(field, reason)| {
        fields.refuse(field, reason);
        fields.error()
    })?;
    let told = app.agent_metrics(&scope, id, name.as_ref(), (range.clone(), level)).await?;
    let (agent, histories) = told;
    if let Some(format) = format {
        let name = format!("{}-metrics", agent.name);
        let sheet = Sheet { format, columns: &columns::METRIC, name, notes: Vec::new() };
        return export::send(&app, sheet, export::at_once(lines(&histories))).await;
    }
    let series = histories.iter().map(MetricSeriesView::from).collect();
    let (from, to) = (range.start.start().into(), range.end.start().into());
    Ok(Json(MetricsView { from, to, level: level.as_str(), series }).into_response())
}

/// Which series a line of a table is of.
pub(super) struct LineSeries {
    pub(super) name: String,
    pub(super) labels: String,
    pub(super) kind: &'static str,
}

/// One line of a table: a bucket of a series.
pub(super) struct MetricLine {
    pub(super) series: Arc<LineSeries>,
    pub(super) start: UtcMicros,
    pub(super) cause: Option<Cause>,
    pub(super) bucket: MetricBucketView,
}

fn lines(histories: &[MetricHistory]) -> Vec<MetricLine> {
    let mut lines = Vec::new();
    for MetricHistory { series, buckets } in histories {
        let series = Arc::new(LineSeries {
            name: series.name.to_string(),
            labels: series.labels.to_string(),
            kind: match series.kind {
                MetricKind::Gauge => "gauge",
                MetricKind::Counter | MetricKind::Counter32 => "counter",
            },
        });
        let line = |bucket: &MetricBucket| MetricLine {
            series: Arc::clone(&series),
            start: bucket.start.start(),
            cause: bucket.cause,
            bucket: MetricBucketView::from(bucket),
        };
        lines.extend(buckets.iter().map(line));
    }
    lines
}
