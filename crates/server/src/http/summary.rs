//! What a whole range of a target's history adds up to, and by how much two ranges differ.

use axum::extract::State;
use model::TargetId;
use serde::{Deserialize, Serialize};
use store::AgentRef;
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    rounds::parse_range,
    views::{RefView, Timestamp, parse_time},
};
use crate::app::{
    App, Fields,
    history::{self, Coming, Sum, Summed},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SummaryQuery {
    /// An hour before `to` if left out.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Excluded; now if left out. At most five years after `from`.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// Begin of a second range that the first is compared with.
    #[param(value_type = Option<Timestamp>)]
    compare_from: Option<String>,
    /// Its end, excluded; if left out, it is as long as the first.
    #[param(value_type = Option<Timestamp>)]
    compare_to: Option<String>,
}

/// A range added up, by itself or beside another.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistorySummary)]
pub(crate) struct SummaryView {
    target: RefView,
    range: SummedRangeView,
    /// Null if none was asked for.
    #[schema(required)]
    compared: Option<SummedRangeView>,
    /// All agents together first, then each agent by name.
    series: Vec<SummarySeriesView>,
}

/// A range as it was added up: whole values of its level.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SummedRange)]
pub(crate) struct SummedRangeView {
    from: Timestamp,
    to: Timestamp,
    /// What minutes and packets were added up of: the level that `history` takes for this range.
    level: &'static str,
    /// What is left out, in words; empty as a rule.
    notes: Vec<String>,
}

/// One agent, or all together, in both ranges; null where it is not in one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SummarySeries)]
pub(crate) struct SummarySeriesView {
    /// Null for all agents together.
    #[schema(required)]
    agent: Option<RefView>,
    #[schema(required)]
    range: Option<SumView>,
    #[schema(required)]
    compared: Option<SumView>,
    #[schema(required)]
    difference: Option<DifferenceView>,
}

/// What all minutes of a range add up to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sum)]
pub(crate) struct SumView {
    /// Share of the known minutes that were up or degraded; null if none is known.
    #[schema(required)]
    availability: Option<f64>,
    /// Minutes of each verdict, those included of which nothing was recorded.
    minutes_up: u32,
    minutes_degraded: u32,
    minutes_down: u32,
    minutes_unknown: u32,
    rounds: u64,
    not_asked: u64,
    /// Packets, confirm bursts apart.
    sent: u64,
    lost: u64,
    /// Null if none was sent.
    #[schema(required)]
    loss_ratio: Option<f64>,
    /// Null if nothing was received. From roll-ups, as a note says, fastest and mean to within
    /// 0.4 %, the slowest to within 3.2 %.
    #[schema(required)]
    rtt_us_min: Option<u32>,
    #[schema(required)]
    rtt_us_mean: Option<u64>,
    #[schema(required)]
    rtt_us_max: Option<u32>,
    /// Quantiles of the means of all rounds of the range, to within 3.2 %. Where those are not all
    /// kept any more, of the whole days that it lies in, and null of less than a day, as a note
    /// says.
    #[schema(required)]
    rtt_us_p50: Option<u32>,
    #[schema(required)]
    rtt_us_p95: Option<u32>,
    #[schema(required)]
    rtt_us_p99: Option<u32>,
}

/// By how much the range is above the one that it is compared with; null where one of them is not
/// known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SumDifference)]
pub(crate) struct DifferenceView {
    #[schema(required)]
    availability: Option<f64>,
    minutes_up: i64,
    minutes_degraded: i64,
    minutes_down: i64,
    minutes_unknown: i64,
    sent: i64,
    lost: i64,
    #[schema(required)]
    loss_ratio: Option<f64>,
    #[schema(required)]
    rtt_us_min: Option<i64>,
    #[schema(required)]
    rtt_us_mean: Option<i64>,
    #[schema(required)]
    rtt_us_max: Option<i64>,
    #[schema(required)]
    rtt_us_p50: Option<i64>,
    #[schema(required)]
    rtt_us_p95: Option<i64>,
    #[schema(required)]
    rtt_us_p99: Option<i64>,
}

impl From<&Sum> for SumView {
    fn from(sum: &Sum) -> SumView {
        let rtts = sum.rtts;
        let quantiles = rtts.and_then(|rtts| rtts.us_quantiles);
        SumView {
            availability: sum.availability(),
            minutes_up: sum.minutes.up,
            minutes_degraded: sum.minutes.degraded,
            minutes_down: sum.minutes.down,
            minutes_unknown: sum.minutes.unknown,
            rounds: sum.rounds,
            not_asked: sum.not_asked,
            sent: sum.sent,
            lost: sum.lost(),
            loss_ratio: sum.loss_ratio(),
            rtt_us_min: rtts.map(|rtts| rtts.us_min),
            rtt_us_mean: rtts.map(|rtts| rtts.us_mean),
            rtt_us_max: rtts.map(|rtts| rtts.us_max),
            rtt_us_p50: quantiles.map(|[p50, ..]| p50),
            rtt_us_p95: quantiles.map(|[_, p95, _]| p95),
            rtt_us_p99: quantiles.map(|[.., p99]| p99),
        }
    }
}

impl DifferenceView {
    fn between(this: &SumView, other: &SumView) -> DifferenceView {
        let ratio = |of: fn(&SumView) -> Option<f64>| Some(of(this)? - of(other)?);
        let count = |of: fn(&SumView) -> u64| {
            let [this, other] = [this, other].map(|sum| i64::try_from(of(sum)).unwrap_or(i64::MAX));
            this - other
        };
        let us = |of: fn(&SumView) -> Option<u64>| {
            let of = |sum| of(sum).and_then(|us| i64::try_from(us).ok());
            Some(of(this)? - of(other)?)
        };
        DifferenceView {
            availability: ratio(|sum| sum.availability),
            minutes_up: count(|sum| sum.minutes_up.into()),
            minutes_degraded: count(|sum| sum.minutes_degraded.into()),
            minutes_down: count(|sum| sum.minutes_down.into()),
            minutes_unknown: count(|sum| sum.minutes_unknown.into()),
            sent: count(|sum| sum.sent),
            lost: count(|sum| sum.lost),
            loss_ratio: ratio(|sum| sum.loss_ratio),
            rtt_us_min: us(|sum| sum.rtt_us_min.map(u64::from)),
            rtt_us_mean: us(|sum| sum.rtt_us_mean),
            rtt_us_max: us(|sum| sum.rtt_us_max.map(u64::from)),
            rtt_us_p50: us(|sum| sum.rtt_us_p50.map(u64::from)),
            rtt_us_p95: us(|sum| sum.rtt_us_p95.map(u64::from)),
            rtt_us_p99: us(|sum| sum.rtt_us_p99.map(u64::from)),
        }
    }
}

impl From<&Summed> for SummedRangeView {
    fn from(summed: &Summed) -> SummedRangeView {
        SummedRangeView {
            from: summed.range.start.start().into(),
            to: summed.range.end.start().into(),
            level: summed.level.as_str(),
            notes: summed.notes.clone(),
        }
    }
}

/// A whole range added up, and compared with another
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/summary", tag = "history",
    params(("id" = u32, Path), SummaryQuery),
    responses((
        status = 200, description = "The sums of one range, or of two and what differs",
        body = SummaryView
    ))
)]
pub(crate) async fn target_summary(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
    Query(query): Query<SummaryQuery>,
) -> Result<Json<SummaryView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let mut fields = Fields::default();
    let asked = parse_range(&mut fields, app.now(), query.from, query.to);
    let from = fields.take_some("compare_from", query.compare_from.as_deref().map(parse_time));
    let to = fields.take_some("compare_to", query.compare_to.as_deref().map(parse_time));
    if query.compare_from.is_none() && query.compare_to.is_some() {
        fields.refuse("compare_from", "must be given if `compare_to` is");
    }
    fields.check()?;
    let target = app.target_get(&scope, id).await?;
    let retention = app.retention_of(&scope, [id]).await?;
    let range = |asked| {
        let range = history::range(asked, None, Coming::AtOnce, app.now(), &retention);
        range.map_err(|(_, reason)| reason)
    };
    let second = from.map(|from| (from, to.unwrap_or(from + asked.1.since(asked.0))));
    let second = second
        .map(|asked| range(asked).map_err(|reason| reason.replace("`from`", "`compare_from`")));
    let first = fields.take("to", range(asked));
    let second = fields.take_some("compare_to", second);
    let first = first.ok_or_else(|| fields.error())?;
    fields.check()?;
    let first = app.summed(&scope, &target, first).await?;
    let second = match second {
        Some(second) => Some(app.summed(&scope, &target, second).await?),
        None => None,
    };
    Ok(Json(SummaryView {
        target: RefView { id: target.id.0, name: target.name.to_string() },
        range: SummedRangeView::from(&first),
        compared: second.as_ref().map(SummedRangeView::from),
        series: series(&first, second.as_ref()),
    }))
}

/// Each agent that is in one of the ranges: in the order of the first, then those of the second.
fn series(first: &Summed, second: Option<&Summed>) -> Vec<SummarySeriesView> {
    let id = |agent: &Option<AgentRef>| agent.as_ref().map(|agent| agent.id);
    let sum_in = |summed: &Summed, agent: &Option<AgentRef>| {
        let found = summed.series.iter().find(|(other, _)| id(other) == id(agent));
        found.map(|(_, sum)| SumView::from(sum))
    };
    let others = second.into_iter().flat_map(|second| &second.series);
    let others = others.filter(|(agent, _)| sum_in(first, agent).is_none());
    let one = |(agent, _): &(Option<AgentRef>, Sum)| {
        let range = sum_in(first, agent);
        let compared = second.and_then(|second| sum_in(second, agent));
        let both = range.as_ref().zip(compared.as_ref());
        let difference = both.map(|(this, other)| DifferenceView::between(this, other));
        let agent = agent.as_ref().map(RefView::from);
        SummarySeriesView { agent, range, compared, difference }
    };
    first.series.iter().chain(others).map(one).collect()
}
