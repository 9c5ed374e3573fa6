//! What watching would cost, before anything is watched.

use std::{ops::RangeInclusive, time::Duration};

use axum::extract::State;
use model::{
    KeptDays, Plan, Tier,
    plan::{Level, Question, Traffic},
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

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlanQuery {
    #[param(value_type = u64, required = true, minimum = 1, maximum = 10_000_000, example = 1000)]
    targets: Option<String>,
    /// That ask each of the targets.
    #[param(value_type = u64, required = true, minimum = 1, maximum = 1000, example = 3)]
    agents: Option<String>,
    /// Seconds between the starts of two rounds; 30 if left out.
    #[param(value_type = Option<u64>, minimum = 5, maximum = 3600)]
    interval_s: Option<String>,
    /// Packets in a round; 5 if left out.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 20)]
    packets: Option<String>,
    /// Days for which rounds are kept; as long as the server keeps them if left out, like the
    /// others.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 36_500)]
    rounds_days: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 36_500)]
    minutes_days: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 36_500)]
    agent_5m_days: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 36_500)]
    agent_1h_days: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 36_500)]
    target_5m_days: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 36_500)]
    target_1h_days: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 36_500)]
    target_1d_days: Option<String>,
}

/// What watching costs once everything has been kept for its time, as this server is configured.
///
/// Disk and memory are derived from measured bytes of each record and pair; docs/operate.md says
/// how far that goes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanView {
    /// What the data directory is made of.
    levels: Vec<PlanLevelView>,
    /// Their sum: the whole data directory.
    disk_bytes: u64,
    /// Of the server, between its peaks.
    memory_bytes: u64,
    memory_peak_bytes: u64,
    /// Rounds of all agents.
    results_per_s: f64,
    /// Of an agent that asks all of the targets.
    agent: PlanTrafficView,
    together: PlanTrafficView,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanLevel)]
pub(crate) struct PlanLevelView {
    /// A level of the history, `unmerged` (the last day's, until it is merged), `free` (what the
    /// file is larger by than what is in it) or `log`.
    #[schema(example = "rounds")]
    name: &'static str,
    /// Rounds, minutes or spans of time; null where bytes are all that is known.
    #[schema(required)]
    records: Option<u64>,
    bytes: u64,
}

/// What is sent; as much comes back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanTraffic)]
pub(crate) struct PlanTrafficView {
    packets_per_s: f64,
    /// With the headers of IPv4 and ICMP, without those of the line; 56 bytes in each packet.
    bits_per_s: f64,
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> PlanView {
        let level =
            |&Level { name, records, bytes, .. }: &Level| PlanLevelView { name, records, bytes };
        let traffic =
            |Traffic { packets_per_s, bits_per_s }| PlanTrafficView { packets_per_s, bits_per_s };
        PlanView {
            levels: plan.levels.iter().map(level).collect(),
            disk_bytes: plan.disk_bytes(),
            memory_bytes: plan.memory_bytes,
            memory_peak_bytes: plan.memory_peak_bytes,
            results_per_s: plan.results_per_s,
            agent: traffic(plan.agent),
            together: traffic(plan.together),
        }
    }
}

/// Plan disk, memory and traffic
///
/// For targets of one tier, with the times for which this server keeps its history, or those that
/// the tier is to keep it for.
#[utoipa::path(
    get, path = "/api/v1/plan", tag = "tiers", params(PlanQuery),
    responses((status = 200, description = "What it costs", body = PlanView))
)]
pub(crate) async fn plan_get(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PlanQuery>,
) -> Result<Json<PlanView>, ApiError> {
    caller.authorize(Permission::TierRead)?;
    let question = question(&app, &query)?;
    Ok(Json(PlanView::from(&Plan::of(&question))))
}

fn question(app: &App, query: &PlanQuery) -> Result<Question, ApiError> {
    let (interval, packets) = (Tier::INTERVAL_DEFAULT.as_secs(), Tier::PACKETS_DEFAULT);
    let intervals = Tier::INTERVAL_MIN.as_secs()..=Tier::INTERVAL_MAX.as_secs();
    let mut fields = Fields::default();
    let mut number = |field, text: Option<&str>, default, range| {
        fields.take(field, parse_number(text, default, &range))
    };
    let targets = number("targets", query.targets.as_deref(), None, 1..=Question::TARGETS_MAX);
    let agents = number("agents", query.agents.as_deref(), None, 1..=Question::AGENTS_MAX);
    let interval = number("interval_s", query.interval_s.as_deref(), Some(interval), intervals);
    let range = 1..=u64::from(Tier::PACKETS_MAX);
    let packets = number("packets", query.packets.as_deref(), Some(packets.into()), range);
    let packets = packets.and_then(|packets| u8::try_from(packets).ok());
    let kept = kept_days(query, &mut fields);
    let (Some(targets), Some(agents), Some(interval), Some(packets)) =
        (targets, agents, interval, packets)
    else {
        return Err(fields.error().into());
    };
    fields.check()?;
    Ok(Question {
        targets,
        agents,
        interval: Duration::from_secs(interval),
        packets,
        payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
        kept: kept.or(&app.config.retention.kept()),
    })
}

/// What a tier of the question keeps for a time of its own.
fn kept_days(query: &PlanQuery, fields: &mut Fields) -> KeptDays {
    let mut days = |field, text: Option<&str>| {
        let text = text?;
        let range = 1..=u64::from(KeptDays::DAYS_MAX);
        let days = fields.take(field, parse_number(Some(text), None, &range));
        days.and_then(|days| u32::try_from(days).ok())
    };
    KeptDays {
        rounds: days("rounds_days", query.rounds_days.as_deref()),
        minutes: days("minutes_days", query.minutes_days.as_deref()),
        agent_5m: days("agent_5m_days", query.agent_5m_days.as_deref()),
        agent_1h: days("agent_1h_days", query.agent_1h_days.as_deref()),
        target_5m: days("target_5m_days", query.target_5m_days.as_deref()),
        target_1h: days("target_1h_days", query.target_1h_days.as_deref()),
        target_1d: days("target_1d_days", query.target_1d_days.as_deref()),
    }
}

fn parse_number(
    text: Option<&str>,
    default: Option<u64>,
    range: &RangeInclusive<u64>,
) -> Result<u64, String> {
    let number = text.map_or(default, |text| text.parse().ok());
    let must = || format!("must be a number from {} to {}", range.start(), range.end());
    number.filter(|number| range.contains(number)).ok_or_else(must)
}
