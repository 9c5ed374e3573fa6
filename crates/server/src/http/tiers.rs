//! Tiers: how groups of targets are watched.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use model::{Kept, KeptDays, LossRule, Name, RttRule, Strategy, Tier, TierId};
use serde::{Deserialize, Serialize};
use store::TierRow;
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::{Json, Object, Path},
    permission::Permission,
    problem::ApiError,
};
use crate::app::{App, Fields};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tiers)]
pub(crate) struct TiersView {
    /// By name.
    items: Vec<TierView>,
    /// What this server keeps where a tier says nothing, in days.
    kept_days: KeptDaysView,
}

/// For how many days each level of the history is kept.
///
/// Of a tier, null or left out is as long as the server's configuration says. A target that moves
/// to another tier is kept as that one says, with all of its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = KeptDays)]
pub(crate) struct KeptDaysView {
    /// Every round of every agent.
    #[schema(minimum = 1, maximum = 36_500, example = 14)]
    rounds: Option<u32>,
    #[schema(minimum = 1, maximum = 36_500, example = 90)]
    minutes: Option<u32>,
    /// Roll-ups of five minutes of each agent.
    #[schema(minimum = 1, maximum = 36_500, example = 90)]
    agent_5m: Option<u32>,
    /// Roll-ups of an hour of each agent, and its days.
    #[schema(minimum = 1, maximum = 36_500, example = 400)]
    agent_1h: Option<u32>,
    /// Roll-ups of all agents together.
    #[schema(minimum = 1, maximum = 36_500, example = 400)]
    target_5m: Option<u32>,
    #[schema(minimum = 1, maximum = 36_500, example = 1_826)]
    target_1h: Option<u32>,
    #[schema(minimum = 1, maximum = 36_500, example = 1_826)]
    target_1d: Option<u32>,
}

impl From<KeptDays> for KeptDaysView {
    fn from(kept: KeptDays) -> KeptDaysView {
        let KeptDays { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d } =
            kept;
        KeptDaysView { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d }
    }
}

impl From<KeptDaysView> for KeptDays {
    fn from(view: KeptDaysView) -> KeptDays {
        let KeptDaysView { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d } =
            view;
        KeptDays { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d }
    }
}

impl From<Kept> for KeptDaysView {
    fn from(kept: Kept) -> KeptDaysView {
        let days = |kept: Duration| u32::try_from(kept.as_secs() / 86_400).ok();
        KeptDaysView {
            rounds: days(kept.rounds),
            minutes: days(kept.minutes),
            agent_5m: days(kept.agent_5m),
            agent_1h: days(kept.agent_1h),
            target_5m: days(kept.target_5m),
            target_1h: days(kept.target_1h),
            target_1d: days(kept.target_1d),
        }
    }
}

/// How a group of targets is watched, by which agents, judged how.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tier)]
pub(crate) struct TierView {
    id: u32,
    name: String,
    interval_s: u64,
    packets: u8,
    gap_ms: u64,
    timeout_ms: u64,
    payload_bytes: u16,
    strategy: StrategyView,
    /// With the strategy `count`: how many agents ask each target.
    #[schema(required)]
    agent_count: Option<u8>,
    lost_raise: u8,
    lost_clear: u8,
    rtt_us_raise: u32,
    rtt_us_clear: u32,
    kept_days: KeptDaysView,
    targets_total: u64,
}

/// Which agents ask the targets: every capable one, or some of them for each target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Strategy)]
pub(crate) enum StrategyView {
    All,
    Count,
}

/// A tier to create; what is left out is as in a standard tier.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TierBody)]
pub(crate) struct TierBody {
    #[schema(example = "gold")]
    name: String,
    #[serde(flatten)]
    rules: TierRules,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TierPatch)]
pub(crate) struct TierPatchBody {
    name: Option<String>,
    #[serde(flatten)]
    rules: TierRules,
}

/// A round and its confirm burst must end before the next round starts.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = TierRules)]
pub(crate) struct TierRules {
    /// Seconds between the starts of two rounds.
    #[schema(minimum = 5, maximum = 3600, example = 30)]
    interval_s: Option<u64>,
    /// Packets in a round.
    #[schema(minimum = 1, maximum = 20, example = 5)]
    packets: Option<u8>,
    /// Milliseconds between two packets.
    #[schema(minimum = 20, maximum = 1000, example = 200)]
    gap_ms: Option<u64>,
    /// Milliseconds that a reply is waited for.
    #[schema(minimum = 100, maximum = 10000, example = 1000)]
    timeout_ms: Option<u64>,
    #[schema(minimum = 24, maximum = 1472, example = 56)]
    payload_bytes: Option<u16>,
    strategy: Option<StrategyView>,
    /// Needed with the strategy `count`.
    #[schema(minimum = 1, maximum = 255)]
    agent_count: Option<u8>,
    /// So many lost of the last 100 packets make Degraded.
    #[schema(minimum = 1, maximum = 100, example = 7)]
    lost_raise: Option<u8>,
    /// So many or fewer end it.
    #[schema(minimum = 0, maximum = 99, example = 2)]
    lost_clear: Option<u8>,
    /// A mean round-trip time above this makes Degraded, in microseconds.
    #[schema(minimum = 1000, maximum = 60_000_000, example = 150_000)]
    rtt_us_raise: Option<u32>,
    /// At or below this ends it; at most `rtt_us_raise`.
    #[schema(minimum = 1000, maximum = 60_000_000, example = 120_000)]
    rtt_us_clear: Option<u32>,
    /// Taken as a whole: a level that is left out is kept as the server keeps it.
    #[schema(value_type = Option<KeptDaysView>)]
    kept_days: Option<Object<KeptDaysView>>,
}

impl From<&TierRow> for TierView {
    fn from(row: &TierRow) -> TierView {
        let tier = &row.tier;
        let (strategy, agent_count) = match tier.strategy {
            Strategy::All => (StrategyView::All, None),
            Strategy::Count(count) => (StrategyView::Count, Some(count)),
        };
        TierView {
            id: tier.id.0,
            name: tier.name.to_string(),
            interval_s: tier.interval.as_secs(),
            packets: tier.packets,
            gap_ms: in_ms(tier.gap),
            timeout_ms: in_ms(tier.timeout),
            payload_bytes: tier.payload_bytes,
            strategy,
            agent_count,
            lost_raise: tier.loss.lost_raise,
            lost_clear: tier.loss.lost_clear,
            rtt_us_raise: tier.rtt.us_raise,
            rtt_us_clear: tier.rtt.us_clear,
            kept_days: row.kept.into(),
            targets_total: row.targets_total,
        }
    }
}

impl TierRules {
    /// Returns `tier` with what is given here.
    fn apply(&self, tier: Tier) -> Tier {
        let ms = |given: Option<u64>, kept| given.map_or(kept, Duration::from_millis);
        // An agent count alone means the strategy that has one.
        let strategy = match (self.strategy, self.agent_count, tier.strategy) {
            (Some(StrategyView::All), _, _) => Strategy::All,
            (Some(StrategyView::Count), None, Strategy::Count(kept)) => Strategy::Count(kept),
            (Some(StrategyView::Count), given, _) => Strategy::Count(given.unwrap_or(0)),
            (None, Some(given), _) => Strategy::Count(given),
            (None, None, kept) => kept,
        };
        Tier {
            interval: self.interval_s.map_or(tier.interval, Duration::from_secs),
            packets: self.packets.unwrap_or(tier.packets),
            gap: ms(self.gap_ms, tier.gap),
            timeout: ms(self.timeout_ms, tier.timeout),
            payload_bytes: self.payload_bytes.unwrap_or(tier.payload_bytes),
            strategy,
            loss: LossRule {
                lost_raise: self.lost_raise.unwrap_or(tier.loss.lost_raise),
                lost_clear: self.lost_clear.unwrap_or(tier.loss.lost_clear),
            },
            rtt: RttRule {
                us_raise: self.rtt_us_raise.unwrap_or(tier.rtt.us_raise),
                us_clear: self.rtt_us_clear.unwrap_or(tier.rtt.us_clear),
            },
            ..tier
        }
    }
}

impl TierRules {
    /// For how long the history is kept, in the place of `kept`.
    fn kept(&self, kept: KeptDays) -> KeptDays {
        self.kept_days.map_or(kept, |Object(given)| given.into())
    }
}

/// A tier's times are at most an hour.
fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn refuse_broken_ranges(fields: &mut Fields, tier: &Tier, kept: &KeptDays) {
    for broken in kept.broken() {
        fields.refuse(kept_field(broken.level), broken.to_string());
    }
    for broken in tier.broken_ranges() {
        // The API's fields carry their unit in the name.
        let field = match broken.field {
            "interval" => "interval_s",
            "gap" => "gap_ms",
            "timeout" => "timeout_ms",
            "strategy" => "agent_count",
            other => other,
        };
        fields.refuse(field, broken.must);
    }
}

/// The field of a level, as it stands in a body.
fn kept_field(level: &'static str) -> &'static str {
    match level {
        "rounds" => "kept_days.rounds",
        "minutes" => "kept_days.minutes",
        "agent_5m" => "kept_days.agent_5m",
        "agent_1h" => "kept_days.agent_1h",
        "target_5m" => "kept_days.target_5m",
        "target_1h" => "kept_days.target_1h",
        "target_1d" => "kept_days.target_1d",
        other => other,
    }
}

/// List tiers
#[utoipa::path(
    get, path = "/api/v1/tiers", tag = "tiers",
    responses((status = 200, description = "All of them", body = TiersView))
)]
pub(crate) async fn tier_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<TiersView>, ApiError> {
    let scope = caller.authorize(Permission::TierRead)?;
    let rows = app.tiers(&scope).await?;
    let kept_days = app.config.retention.kept().into();
    Ok(Json(TiersView { items: rows.iter().map(TierView::from).collect(), kept_days }))
}

/// Create a tier
#[utoipa::path(
    post, path = "/api/v1/tiers", tag = "tiers",
    request_body = TierBody,
    responses((status = 201, description = "Created", body = TierView))
)]
pub(crate) async fn tier_create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<TierBody>,
) -> Result<(StatusCode, Json<TierView>), ApiError> {
    let scope = caller.authorize(Permission::TierWrite)?;
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&body.name));
    // A bad name must not hide bad ranges: they are checked under another.
    let Some(name) = name.or_else(|| Name::parse("unnamed").ok()) else {
        return Err(fields.error().into());
    };
    let tier = body.rules.apply(Tier::standard(TierId(0), name));
    let kept = body.rules.kept(KeptDays::default());
    refuse_broken_ranges(&mut fields, &tier, &kept);
    fields.check()?;
    let row = app.tier_create(&scope, tier, kept).await?;
    Ok((StatusCode::CREATED, Json(TierView::from(&row))))
}

/// Get a tier
#[utoipa::path(
    get, path = "/api/v1/tiers/{id}", tag = "tiers", params(("id" = u32, Path)),
    responses((status = 200, description = "The tier", body = TierView))
)]
pub(crate) async fn tier_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TierId>,
) -> Result<Json<TierView>, ApiError> {
    let scope = caller.authorize(Permission::TierRead)?;
    let row = app.tier_get(&scope, id).await?;
    Ok(Json(TierView::from(&row)))
}

/// Change a tier
#[utoipa::path(
    patch, path = "/api/v1/tiers/{id}", tag = "tiers", params(("id" = u32, Path)),
    request_body = TierPatchBody,
    responses((status = 200, description = "As it is now", body = TierView))
)]
pub(crate) async fn tier_update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TierId>,
    Json(body): Json<TierPatchBody>,
) -> Result<Json<TierView>, ApiError> {
    let scope = caller.authorize(Permission::TierWrite)?;
    let mut fields = Fields::default();
    let name = fields.take_some("name", body.name.as_deref().map(Name::parse));
    let present = app.tier_get(&scope, id).await?;
    let kept = body.rules.kept(present.kept);
    refuse_broken_ranges(&mut fields, &body.rules.apply(present.tier), &kept);
    fields.check()?;
    let edit = move |tier: &mut Tier, kept: &mut KeptDays| {
        *kept = body.rules.kept(*kept);
        let changed = body.rules.apply(tier.clone());
        *tier = changed;
        if let Some(name) = name {
            tier.name = name;
        }
    };
    let row = app.tier_update(&scope, id, edit).await?;
    Ok(Json(TierView::from(&row)))
}

/// Delete a tier
///
/// Refused while targets are in it, and for the last one.
#[utoipa::path(
    delete, path = "/api/v1/tiers/{id}", tag = "tiers", params(("id" = u32, Path)),
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn tier_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TierId>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::TierWrite)?;
    app.tier_delete(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
