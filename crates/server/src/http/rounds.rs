//! What happened to one target: minutes, rounds, changes.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::{AgentId, Confirm, NotAsked, Outcome, Rollup, RoundFlags, TargetId, UtcMicros};
use serde::{Deserialize, Serialize};
use store::{
    ChangeKind, ChangeRow, RoundCursor, RoundQuery, RoundRow, Scope, TargetRef, TargetRow, Who,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    columns::{self, Line},
    export::{self, Sheet, parse_format},
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    table::Format,
    views::{CauseView, LimitQuery, RefView, Timestamp, VerdictView, parse_limit, parse_time},
};
use crate::app::{
    App, Fields,
    buckets::{Bucket, Level},
    history::{self, Around, Coming, PaddedMinute, ToldSeries, Values},
};

/// The longest that rounds are told of in one table: more than anybody keeps them by default.
const ROUND_TABLE_MAX: Duration = Duration::from_secs(92 * 24 * 3600);
/// What is told if no range is asked for.
const RANGE_DEFAULT: Duration = Duration::from_secs(3600);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// An hour before `to` if left out.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Excluded; now if left out. At most five years after `from`.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// How much of the time one value is of: `1m`, `5m`, `1h` or `1d`. If left out, the finest that
    /// tells the range in not too many values and is kept for so long: minutes up to a day and as
    /// long as their rounds, with which times go, 5 minutes up to a week, hours up to 95 days.
    /// What is not kept any more has the cause `expired`.
    level: Option<String>,
    /// `json` (if left out), or a table, which is sent while it is made: `csv`, `jsonl` (an object
    /// a line) or `parquet`. A table may have any number of values at a level that is asked for.
    format: Option<String>,
}

/// Every minute or bucket of the range that has begun; one that is not stored is told with its
/// cause.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = History)]
pub(crate) struct HistoryView {
    from: Timestamp,
    to: Timestamp,
    /// `1m`: minutes are told; `5m`, `1h` or `1d`: buckets are.
    level: &'static str,
    /// All agents together first, then each agent by name.
    series: Vec<SeriesView>,
    /// What this answer leaves out, in words; empty as a rule.
    notes: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Series)]
pub(crate) struct SeriesView {
    /// Null for all agents together.
    #[schema(required)]
    agent: Option<RefView>,
    /// Empty at a longer level.
    minutes: Vec<MinuteView>,
    /// Empty at the level `1m`.
    buckets: Vec<BucketView>,
}

/// What the minutes of a longer span add up to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bucket)]
pub(crate) struct BucketView {
    /// Its start; spans begin at whole multiples of their length since 1970 in UTC.
    start: Timestamp,
    /// The worst of its minutes.
    verdict: VerdictView,
    /// Of the first minute that was as bad.
    cause: CauseView,
    /// Minutes of each verdict, told or not.
    minutes_up: u32,
    minutes_degraded: u32,
    minutes_down: u32,
    minutes_unknown: u32,
    rounds: u32,
    not_asked: u32,
    /// Packets, confirm bursts apart.
    sent: u32,
    received: u32,
    /// Null if nothing was received. Fastest and mean to within 0.4 %, the slowest to within
    /// 3.2 %.
    #[schema(required)]
    rtt_us_min: Option<u32>,
    #[schema(required)]
    rtt_us_mean: Option<u64>,
    #[schema(required)]
    rtt_us_max: Option<u32>,
    /// Quantiles of the rounds' means, to within 3.2 %.
    #[schema(required)]
    rtt_us_p50: Option<u32>,
    #[schema(required)]
    rtt_us_p95: Option<u32>,
    #[schema(required)]
    rtt_us_p99: Option<u32>,
    /// Some of its minutes are not closed yet.
    is_open: bool,
}

impl From<&Bucket> for BucketView {
    fn from(bucket: &Bucket) -> BucketView {
        let Rollup { minutes, rounds, not_asked, sent, received, times, .. } = &bucket.rollup;
        BucketView {
            start: bucket.start.start().into(),
            verdict: bucket.verdict.into(),
            cause: bucket.cause.into(),
            minutes_up: minutes.up,
            minutes_degraded: minutes.degraded,
            minutes_down: minutes.down,
            minutes_unknown: minutes.unknown,
            rounds: *rounds,
            not_asked: *not_asked,
            sent: *sent,
            received: *received,
            rtt_us_min: times.map(|rtts| rtts.us_min()),
            rtt_us_mean: times.map(|rtts| u64::from(rtts.us_mean())),
            rtt_us_max: times.map(|rtts| rtts.us_max()),
            rtt_us_p50: times.map(|rtts| rtts.us_p50()),
            rtt_us_p95: times.map(|rtts| rtts.us_p95()),
            rtt_us_p99: times.map(|rtts| rtts.us_p99()),
            is_open: bucket.is_open,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Minute)]
pub(crate) struct MinuteView {
    /// Its start.
    minute: Timestamp,
    /// The worst verdict held in it.
    verdict: VerdictView,
    cause: CauseView,
    rounds: u32,
    /// Rounds that could not ask.
    not_asked: u32,
    /// Packets, confirm bursts apart.
    sent: u32,
    received: u32,
    /// Null if nothing was received, or the minute is older than the rounds that are kept.
    #[schema(required)]
    rtt_us_min: Option<u32>,
    #[schema(required)]
    rtt_us_mean: Option<u64>,
    #[schema(required)]
    rtt_us_max: Option<u32>,
    /// Each revision by rounds that arrived late adds 1.
    revision: u16,
    /// What was said before the first revision.
    #[schema(required)]
    said_first: Option<VerdictView>,
    /// Not closed yet: the verdict held right now, which may still change.
    is_open: bool,
}

impl From<&PaddedMinute> for MinuteView {
    fn from(minute: &PaddedMinute) -> MinuteView {
        let counts = minute.counts;
        let times = minute_times(minute);
        MinuteView {
            minute: minute.minute.start().into(),
            verdict: minute.verdict.into(),
            cause: minute.cause.into(),
            rounds: counts.rounds,
            not_asked: counts.not_asked,
            sent: counts.sent,
            received: counts.received,
            rtt_us_min: times.map(|(min, ..)| min),
            rtt_us_mean: times.map(|(_, mean, _)| mean),
            rtt_us_max: times.map(|(.., max)| max),
            revision: minute.revision,
            said_first: minute.said_first.map(VerdictView::from),
            is_open: minute.is_open,
        }
    }
}

/// Fastest, mean and slowest answer of a minute; of one whose rounds are gone they are gone too.
pub(super) fn minute_times(minute: &PaddedMinute) -> Option<(u32, u64, u32)> {
    let counts = &minute.counts;
    let mean = counts.rtt_us_sum.checked_div(u64::from(counts.received))?;
    (0 < counts.rtt_us_max).then_some((counts.rtt_us_min, mean, counts.rtt_us_max))
}

/// Minute by minute, or in longer spans
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/history", tag = "history",
    params(("id" = u32, Path), HistoryQuery),
    responses((
        status = 200, description = "Every minute or bucket of the range that has begun",
        content(
            (HistoryView = "application/json"), (String = "text/csv"),
            (String = "application/x-ndjson"), (String = "application/vnd.apache.parquet")
        )
    ))
)]
pub(crate) async fn target_history(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let mut fields = Fields::default();
    let format = fields.take_some("format", query.format.as_deref().map(parse_format)).flatten();
    let level = fields.take_some("level", query.level.as_deref().map(parse_level));
    let asked = parse_range(&mut fields, app.now(), query.from, query.to);
    fields.check()?;
    let retention = app.retention_of(&scope, [id]).await?;
    let coming = if format.is_some() { Coming::InParts } else { Coming::AtOnce };
    let range = history::range(asked, level, coming, app.now(), &retention);
    let (range, level) = range.map_err(|(field, reason)| {
        fields.refuse(field, reason);
        fields.error()
    })?;
    let around = app.around(&scope, range, level).await?;
    if let Some(format) = format {
        let target = app.target_get(&scope, id).await?;
        let name = format!("{}-history", target.name);
        return send_table(&app, &scope, vec![target], around, (format, name, Who::Each)).await;
    }
    let (_, series) = app.history(&scope, id, &around, Who::Each).await?;
    let view = HistoryView {
        from: around.range.start.start().into(),
        to: around.range.end.start().into(),
        level: level.as_str(),
        series: series.iter().map(SeriesView::from).collect(),
        notes: around.notes.clone(),
    };
    Ok(Json(view).into_response())
}

/// Sends the history of targets as one table.
pub(super) async fn send_table(
    app: &App,
    scope: &Scope,
    targets: Vec<TargetRow>,
    around: Arc<Around>,
    (format, name, who): (Format, String, Who),
) -> Result<Response, ApiError> {
    let (level, notes) = (around.level, around.notes.clone());
    let parts = app.histories_in_parts(scope, targets, around, who);
    match level {
        Level::Minute => {
            let sheet = Sheet { format, columns: &columns::MINUTE, name, notes };
            let minutes = |values| match values {
                Values::Minutes(minutes) => minutes,
                Values::Buckets(_) => vec![],
            };
            export::send(app, sheet, parts.map_ok(move |part| lines(part, minutes))).await
        }
        Level::Bucket(_) => {
            let sheet = Sheet { format, columns: &columns::BUCKET, name, notes };
            let buckets = |values| match values {
                Values::Minutes(_) => vec![],
                Values::Buckets(buckets) => buckets,
            };
            export::send(app, sheet, parts.map_ok(move |part| lines(part, buckets))).await
        }
    }
}

/// One line for each series and value.
fn lines<V>(
    (target, told): (Arc<TargetRef>, Vec<ToldSeries>),
    values: impl Fn(Values) -> Vec<V>,
) -> Vec<Line<V>> {
    let mut lines = Vec::new();
    for series in told {
        let agent = series.agent.map(Arc::new);
        let line = |value| Line { target: Arc::clone(&target), agent: agent.clone(), value };
        lines.extend(values(series.values).into_iter().map(line));
    }
    lines
}

impl From<&ToldSeries> for SeriesView {
    fn from(series: &ToldSeries) -> SeriesView {
        let (minutes, buckets) = match &series.values {
            Values::Minutes(minutes) => (minutes.iter().map(MinuteView::from).collect(), vec![]),
            Values::Buckets(buckets) => (vec![], buckets.iter().map(BucketView::from).collect()),
        };
        SeriesView { agent: series.agent.as_ref().map(RefView::from), minutes, buckets }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RoundsQuery {
    /// An hour before `to` if left out.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Excluded; now if left out.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// Only of the agent with this id.
    #[param(value_type = Option<u32>)]
    agent: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `json` (if left out): a page, of at most a day. Or all rounds of at most 92 days as a table,
    /// which is sent while it is made: `csv`, `jsonl` (an object a line) or `parquet`.
    format: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoundPage)]
pub(crate) struct RoundPageView {
    /// Oldest first.
    items: Vec<RoundView>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One round of one agent: what it sent and what came back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Round)]
pub(crate) struct RoundView {
    agent: RefView,
    at: Timestamp,
    sent: u8,
    received: u8,
    /// The burst after a fully lost round; it confirms and is never counted as loss.
    confirm_sent: u8,
    confirm_received: u8,
    /// Null if nothing was received. Fastest and mean to within 0.4 %, the slowest to within
    /// 3.2 %.
    #[schema(required)]
    rtt_us_min: Option<u32>,
    #[schema(required)]
    rtt_us_mean: Option<u32>,
    #[schema(required)]
    rtt_us_max: Option<u32>,
    /// Why it could not ask; null if it did.
    #[schema(required)]
    not_asked: Option<NotAskedView>,
    flags: Vec<FlagView>,
    /// The first ICMP error that came back.
    #[schema(required)]
    icmp_error: Option<IcmpErrorView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = NotAsked)]
pub(crate) enum NotAskedView {
    NoRoute,
    Permission,
    Resolver,
    BufferFull,
    Socket,
    Overrun,
}

/// A mark on a round that does not change what it learned.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RoundFlag)]
pub(crate) enum FlagView {
    /// The agent's own lag, drops or a clock jump may have bent it.
    Doubtful,
    /// The address is the agent's own host.
    Local,
    /// A reply came more than once.
    Duplicate,
    /// A reply of an earlier round came after its timeout.
    Late,
    /// An ICMP error came back.
    IcmpError,
    /// The name resolved to another address than before.
    AddressChanged,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IcmpError)]
pub(crate) struct IcmpErrorView {
    /// ICMP type as on the wire.
    #[serde(rename = "type")]
    kind: u8,
    code: u8,
    /// Who sent it: often the router that knows why.
    source: String,
}

impl From<&RoundRow> for RoundView {
    fn from(row: &RoundRow) -> RoundView {
        let round = &row.round;
        let (sent, received, rtt, confirm, not_asked) = match round.outcome {
            Outcome::Asked { sent, received, rtt, confirm } => (sent, received, rtt, confirm, None),
            Outcome::NotAsked(reason) => (0, 0, None, Confirm::default(), Some(reason)),
        };
        RoundView {
            agent: RefView::from(&row.agent),
            at: round.at.into(),
            sent,
            received,
            confirm_sent: confirm.sent,
            confirm_received: confirm.received,
            rtt_us_min: rtt.map(|rtt| rtt.us_min),
            rtt_us_mean: rtt.map(|rtt| rtt.us_mean),
            rtt_us_max: rtt.map(|rtt| rtt.us_max),
            not_asked: not_asked.map(NotAskedView::from),
            flags: flags(round.flags),
            icmp_error: round.icmp_error.map(|error| IcmpErrorView {
                kind: error.kind,
                code: error.code,
                source: error.source.to_string(),
            }),
        }
    }
}

impl From<NotAsked> for NotAskedView {
    fn from(reason: NotAsked) -> NotAskedView {
        match reason {
            NotAsked::NoRoute => NotAskedView::NoRoute,
            NotAsked::Permission => NotAskedView::Permission,
            NotAsked::Resolver => NotAskedView::Resolver,
            NotAsked::BufferFull => NotAskedView::BufferFull,
            NotAsked::Socket => NotAskedView::Socket,
            NotAsked::Overrun => NotAskedView::Overrun,
        }
    }
}

/// As [`NotAskedView`] is written.
pub(super) fn not_asked_word(reason: NotAsked) -> &'static str {
    match reason {
        NotAsked::NoRoute => "no_route",
        NotAsked::Permission => "permission",
        NotAsked::Resolver => "resolver",
        NotAsked::BufferFull => "buffer_full",
        NotAsked::Socket => "socket",
        NotAsked::Overrun => "overrun",
    }
}

/// Each flag with its view, and as that is written.
const FLAGS: [(RoundFlags, FlagView, &str); 6] = [
    (RoundFlags::DOUBTFUL, FlagView::Doubtful, "doubtful"),
    (RoundFlags::LOCAL, FlagView::Local, "local"),
    (RoundFlags::DUPLICATE, FlagView::Duplicate, "duplicate"),
    (RoundFlags::LATE, FlagView::Late, "late"),
    (RoundFlags::ICMP_ERROR, FlagView::IcmpError, "icmp_error"),
    (RoundFlags::ADDRESS_CHANGED, FlagView::AddressChanged, "address_changed"),
];

fn flags(flags: RoundFlags) -> Vec<FlagView> {
    let set = FLAGS.into_iter().filter(|(flag, ..)| flags.contains(*flag));
    set.map(|(_, view, _)| view).collect()
}

pub(super) fn flag_words(flags: RoundFlags) -> Vec<&'static str> {
    let set = FLAGS.into_iter().filter(|(flag, ..)| flags.contains(*flag));
    set.map(|(.., word)| word).collect()
}

/// The rounds behind the minutes
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/rounds", tag = "history",
    params(("id" = u32, Path), RoundsQuery),
    responses((
        status = 200, description = "A page, or a table of all",
        content(
            (RoundPageView = "application/json"), (String = "text/csv"),
            (String = "application/x-ndjson"), (String = "application/vnd.apache.parquet")
        )
    ))
)]
pub(crate) async fn target_rounds(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
    Query(query): Query<RoundsQuery>,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let mut fields = Fields::default();
    let format = fields.take_some("format", query.format.as_deref().map(parse_format)).flatten();
    let (from, to) = parse_range(&mut fields, app.now(), query.from, query.to);
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let parse_agent = |text: &str| text.parse::<AgentId>().map_err(|_| "must be an id");
    let agent = fields.take_some("agent", query.agent.as_deref().map(parse_agent));
    let parse_cursor = |text: &str| RoundCursor::parse(text).ok_or("is not one of this list");
    let after = fields.take_some("cursor", query.cursor.as_deref().map(parse_cursor));
    if format.is_some() {
        for (name, given) in [("limit", query.limit), ("cursor", query.cursor)] {
            if given.is_some() {
                fields.refuse(name, "is of pages of json: a table has all rounds of its range");
            }
        }
        if ROUND_TABLE_MAX < to.since(from) {
            fields.refuse("to", "must be at most 92 days after `from`");
        }
    }
    fields.check()?;
    let target = app.target_get(&scope, id).await?;
    let query = RoundQuery { probe: target.probe, agent, from, to, after, limit };
    if let Some(format) = format {
        return send_rounds(&app, &scope, (target, query), format).await;
    }
    let page = app.rounds(&scope, &query).await?;
    let view = RoundPageView {
        items: page.rows.iter().map(RoundView::from).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    };
    Ok(Json(view).into_response())
}

/// Sends all rounds of a range as one table.
async fn send_rounds(
    app: &App,
    scope: &Scope,
    (target, query): (TargetRow, RoundQuery),
    format: Format,
) -> Result<Response, ApiError> {
    let name = format!("{}-rounds", target.name);
    let sheet = Sheet { format, columns: &columns::ROUND, name, notes: Vec::new() };
    let target = Arc::new(TargetRef { id: target.id, name: target.name });
    let rows = app.rounds_in_parts(scope, query).map(move |page| {
        let line = |value: RoundRow| {
            let agent = Some(Arc::new(value.agent.clone()));
            Line { target: Arc::clone(&target), agent, value }
        };
        Ok(page?.rows.into_iter().map(line).collect())
    });
    export::send(app, sheet, rows).await
}

pub(super) fn parse_level(text: &str) -> Result<Level, &'static str> {
    Level::parse(text).ok_or("must be 1m, 5m, 1h or 1d")
}

pub(super) fn parse_range(
    fields: &mut Fields,
    now: UtcMicros,
    from: Option<String>,
    to: Option<String>,
) -> (UtcMicros, UtcMicros) {
    let to = fields.take_some("to", to.as_deref().map(parse_time)).unwrap_or(now);
    let from = fields.take_some("from", from.as_deref().map(parse_time));
    (from.unwrap_or(to - RANGE_DEFAULT), to)
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetChanges)]
pub(crate) struct TargetChangesView {
    /// Newest first.
    items: Vec<TargetChangeView>,
}

/// A change of a target: of what is held of it, or of what its name stands for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetChange)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum TargetChangeView {
    Verdict(TargetVerdictChangeView),
    Name(TargetNameChangeView),
}

/// A change of what is held of a target.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetVerdictChange)]
pub(crate) struct TargetVerdictChangeView {
    at: Timestamp,
    /// Null for all agents together.
    #[schema(required)]
    agent: Option<RefView>,
    from: VerdictView,
    to: VerdictView,
    cause: CauseView,
    why: String,
}

/// A change of what a target's name stands for, as one agent found it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetNameChange)]
pub(crate) struct TargetNameChangeView {
    /// The start of the first round that asked the new address.
    at: Timestamp,
    agent: RefView,
    /// The DNS name, as it was the target's then.
    name: String,
    /// The address asked before.
    from: String,
    /// The address asked since.
    to: String,
    why: String,
}

impl TargetChangeView {
    fn of(row: ChangeRow) -> Option<TargetChangeView> {
        let at = row.at.into();
        let agent = row.agent.as_ref().map(RefView::from);
        match row.kind {
            ChangeKind::Verdict { from, to, cause } => {
                Some(TargetChangeView::Verdict(TargetVerdictChangeView {
                    at,
                    agent,
                    from: from.into(),
                    to: to.into(),
                    cause: cause.into(),
                    why: row.why,
                }))
            }
            ChangeKind::Name { name, from, to } => {
                Some(TargetChangeView::Name(TargetNameChangeView {
                    at,
                    agent: agent?,
                    name: name.as_str().to_owned(),
                    from: from.to_string(),
                    to: to.to_string(),
                    why: row.why,
                }))
            }
            ChangeKind::Agent { .. } => None,
        }
    }
}

/// How a target's verdicts changed, and what its name stands for
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/changes", tag = "history",
    params(("id" = u32, Path), LimitQuery),
    responses((status = 200, description = "Newest first", body = TargetChangesView))
)]
pub(crate) async fn target_changes(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TargetId>,
    Query(query): Query<LimitQuery>,
) -> Result<Json<TargetChangesView>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let rows = app.changes_of(&scope, id, query.parse()?).await?;
    let items = rows.into_iter().filter_map(TargetChangeView::of).collect();
    Ok(Json(TargetChangesView { items }))
}
