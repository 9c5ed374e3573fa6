//! Traces: the way from an agent to a target, hop by hop.
//!
//! What is learned while one is under way is told as a `trace` event of the live stream; the trace
//! itself is read again then.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use axum::extract::State;
use http::StatusCode;
use model::{
    Address, AgentId, HopEnding, HopNote, IncidentId, TargetId, TraceEnd, TraceHop, TraceId,
    TraceOptions, TraceProtocol, TraceState, TraceWhy,
};
use serde::{Deserialize, Serialize};
use store::{TraceQuery, TraceRow};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder, schema::Type},
};

use super::{
    caller::Caller,
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    views::{RefView, Timestamp, cut_page, parse_before, parse_limit},
};
use crate::app::{
    App, Fields,
    traces::{KnownHop, TraceSubject, Traced},
};

/// A closed list of words of the model, so that the document cannot drift from it.
macro_rules! word_view {
    ($(#[$doc:meta])* $view:ident, $of:ty, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Serialize)]
        pub(crate) struct $view(&'static str);

        impl From<$of> for $view {
            fn from(value: $of) -> $view {
                $view(value.as_str())
            }
        }

        impl PartialSchema for $view {
            fn schema() -> RefOr<Schema> {
                let texts = <$of>::ALL.iter().map(|value| value.as_str());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts)).into()
            }
        }

        impl ToSchema for $view {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}
word_view!(
    /// What the packets of a trace are: echo requests, or UDP to ports that nothing listens on.
    TraceProtocolView, TraceProtocol, "TraceProtocol"
);
word_view!(
    /// Where a trace stands. All but `ordered` and `running` are final.
    TraceStateView, TraceState, "TraceState"
);
word_view!(
    /// Why a trace was made: somebody asked for it; a pair went bad, or healed; to hold beside one
    /// that went bad; or to tell two causes of an incident apart.
    TraceWhyView, TraceWhy, "TraceWhy"
);
word_view!(
    /// What the end of a trace was: the target answered; a router refused; nobody answers beyond;
    /// or no packet could leave.
    TraceEndView, TraceEnd, "TraceEnd"
);
word_view!(
    /// What the losses of a hop mean. `rate_limited`: it answers only some and passes everything
    /// on, so that nothing is lost there; `silent`: it answers nothing and passes on; `lossy`: it
    /// loses, and so does everything behind it; `unclear`: too few packets to say; `dark`: neither
    /// it nor anything behind it answers.
    HopNoteView, HopNote, "HopNote"
);

/// What is to be traced: a target, by its id or its address; nothing else is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TraceBody)]
pub(crate) struct TraceBody {
    /// Id of the agent that traces.
    agent: u32,
    /// Id of the target; or give `address`.
    target: Option<u32>,
    /// The address of a target; or give `target`.
    #[schema(example = "192.0.2.1")]
    address: Option<String>,
    /// `icmp` if left out.
    #[schema(value_type = Option<TraceProtocolView>)]
    protocol: Option<String>,
    /// 1 to 16, which show where equal ways part; 1 if left out. Times `rounds` at most 64.
    #[schema(minimum = 1, maximum = 16)]
    flows: Option<u8>,
    /// 30 if left out.
    #[schema(minimum = 1, maximum = 64)]
    hops_max: Option<u8>,
    /// Packets for each hop of each flow; 5 if left out.
    #[schema(minimum = 1, maximum = 64)]
    rounds: Option<u8>,
    /// How long an answer is waited for; 1000 if left out.
    #[schema(minimum = 200, maximum = 5000)]
    timeout_ms: Option<u32>,
    /// From one round to the next, of whichever flow; 500 if left out.
    #[schema(minimum = 100, maximum = 2000)]
    interval_ms: Option<u32>,
    /// Hops in a row that answer nothing, after which it goes no further; 5 if left out.
    #[schema(minimum = 1, maximum = 64)]
    silent_max: Option<u8>,
}

/// A trace without its hops.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceHead)]
pub(crate) struct TraceHeadView {
    id: u32,
    agent: RefView,
    /// Both may be gone by now; then the names say what they were called.
    target: RefView,
    /// What was asked for.
    address: String,
    /// What was traced; null while a name has no address.
    #[schema(required, value_type = Option<String>)]
    traced: Option<IpAddr>,
    protocol: TraceProtocolView,
    flows: u8,
    rounds: u8,
    hops_max: u8,
    state: TraceStateView,
    /// Null while it is under way, and if it came to no end.
    #[schema(required)]
    end: Option<TraceEndView>,
    /// Why it is so, where that needs words.
    reason: String,
    /// Who asked for it; null if it was the software itself.
    #[schema(required)]
    asker: Option<String>,
    why: TraceWhyView,
    /// The same in a sentence; empty of what somebody asked for.
    #[schema(example = "edge7 is down from fra1")]
    why_note: String,
    /// The incident whose timeline it stands in.
    #[schema(required)]
    incident: Option<u32>,
    created_at: Timestamp,
    /// Null while it is under way.
    #[schema(required)]
    ended_at: Option<Timestamp>,
}

/// A trace with what it found so far.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trace)]
pub(crate) struct TraceView {
    #[serde(flatten)]
    head: TraceHeadView,
    /// Grows with everything that is learned while it is under way.
    revision: u64,
    /// By flow and hop count.
    hops: Vec<TraceHopView>,
}

/// One hop of one flow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceHop)]
pub(crate) struct TraceHopView {
    /// From 0.
    flow: u8,
    /// 1 is the first router.
    hop: u8,
    sent: u16,
    received: u16,
    /// Not answered in time. The rest of `sent` is still under way.
    lost: u16,
    note: HopNoteView,
    /// It is the target.
    is_target: bool,
    /// The code of the ICMP message with which it refused to take packets further.
    #[schema(required)]
    refused_code: Option<u8>,
    /// By their first answers; more than one if the way changed, or a router spreads the packets
    /// of one flow. None if nobody answers.
    answers: Vec<HopAnswerView>,
}

/// One address that answered at a hop.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HopAnswer)]
pub(crate) struct HopAnswerView {
    #[schema(value_type = String)]
    address: IpAddr,
    received: u16,
    rtt_us_min: u32,
    rtt_us_mean: u32,
    rtt_us_max: u32,
    /// The target that has this address.
    #[schema(required)]
    target: Option<RefView>,
    /// The element of the topology that it stands behind.
    #[schema(required)]
    element: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracePage)]
pub(crate) struct TracePageView {
    /// Newest first.
    items: Vec<TraceHeadView>,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TracesQuery {
    /// Only of this target, by its id.
    #[param(value_type = Option<u32>)]
    target: Option<String>,
    /// Only from this agent, by its id.
    #[param(value_type = Option<u32>)]
    agent: Option<String>,
    /// Only those that were made by themselves, or only those that somebody asked for.
    #[param(value_type = Option<bool>)]
    automatic: Option<String>,
    /// Only those in the timeline of this incident, by its number.
    #[param(value_type = Option<u32>)]
    incident: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl From<&TraceRow> for TraceHeadView {
    fn from(row: &TraceRow) -> TraceHeadView {
        let (new, done) = (&row.new, &row.done);
        let literal = match &new.address {
            Address::Ip(ip) => Some(*ip),
            Address::Name(_) => None,
        };
        TraceHeadView {
            id: row.id.0,
            agent: RefView { id: new.agent.0, name: new.agent_name.to_string() },
            target: RefView { id: new.target.0, name: new.target_name.to_string() },
            address: new.address.to_string(),
            traced: done.resolved.or(literal),
            protocol: new.options.protocol.into(),
            flows: new.options.flows,
            rounds: new.options.rounds,
            hops_max: new.options.hops_max,
            state: done.state.into(),
            end: done.end.map(TraceEndView::from),
            reason: done.reason.clone(),
            asker: Some(row.asker_name.clone()).filter(|name| !name.is_empty()),
            why: new.why.into(),
            why_note: new.why_note.clone(),
            incident: row.incident.map(|incident| incident.0),
            created_at: row.created_at.into(),
            ended_at: row.ended_at.map(Timestamp::from),
        }
    }
}

impl From<&Traced> for TraceView {
    fn from(Traced { row, revision, known }: &Traced) -> TraceView {
        let hops = row.done.hops.iter().map(|hop| TraceHopView::of(hop, known)).collect();
        TraceView { head: row.into(), revision: *revision, hops }
    }
}

impl TraceHopView {
    fn of(hop: &TraceHop, known: &BTreeMap<IpAddr, KnownHop>) -> TraceHopView {
        let answers = hop.answers.iter().map(|answer| {
            let known = known.get(&answer.from);
            HopAnswerView {
                address: answer.from,
                received: answer.received,
                rtt_us_min: answer.rtt_us_min,
                rtt_us_mean: answer.rtt_us_mean,
                rtt_us_max: answer.rtt_us_max,
                target: known.map(|k| RefView { id: k.target.0, name: k.name.clone() }),
                element: known.and_then(|known| known.element.clone()),
            }
        });
        TraceHopView {
            flow: hop.flow,
            hop: hop.ttl,
            sent: hop.sent,
            received: hop.received(),
            lost: hop.lost,
            note: hop.note.into(),
            is_target: hop.ending == Some(HopEnding::Reached),
            refused_code: match hop.ending {
                Some(HopEnding::Unreachable { code }) => Some(code),
                Some(HopEnding::Reached) | None => None,
            },
            answers: answers.collect(),
        }
    }
}

/// Reads what is asked for, or says of each field what is wrong with it.
fn parse(body: TraceBody) -> Result<(AgentId, TraceSubject, TraceOptions), ApiError> {
    let mut fields = Fields::default();
    let subject = match (body.target, &body.address) {
        (Some(target), None) => Some(TraceSubject::Target(TargetId(target))),
        (None, Some(address)) => {
            fields.take("address", Address::parse(address)).map(TraceSubject::Address)
        }
        (None, None) => {
            fields.refuse("target", "is missing: give the target, or its `address`");
            None
        }
        (Some(_), Some(_)) => {
            fields.refuse("address", "is given beside `target`: give one of them");
            None
        }
    };
    let protocol = body
        .protocol
        .as_deref()
        .map(|text| TraceProtocol::parse(text).ok_or_else(|| "must be icmp or udp".to_owned()));
    let protocol = fields.take_some("protocol", protocol);
    fields.check()?;
    let plain = TraceOptions::default();
    let in_ms = |ms: u32| Duration::from_millis(ms.into());
    let options = TraceOptions {
        protocol: protocol.unwrap_or(plain.protocol),
        flows: body.flows.unwrap_or(plain.flows),
        hops_max: body.hops_max.unwrap_or(plain.hops_max),
        rounds: body.rounds.unwrap_or(plain.rounds),
        timeout: body.timeout_ms.map_or(plain.timeout, in_ms),
        interval: body.interval_ms.map_or(plain.interval, in_ms),
        silent_max: body.silent_max.unwrap_or(plain.silent_max),
    };
    let subject = subject.ok_or_else(|| ApiError::from(fields.error()))?;
    Ok((AgentId(body.agent), subject, options))
}

/// Trace a target
///
/// Lets an agent find the way to a target, hop by hop. It answers at once; the hops come as the
/// agent finds them, and each time a `trace` event says so. Too many are refused with 429: at once
/// 8 of an organisation and 4 at an agent, and 12 a minute.
#[utoipa::path(
    post, path = "/api/v1/traces", tag = "traces", request_body = TraceBody,
    responses((status = 201, description = "It is ordered", body = TraceView))
)]
pub(crate) async fn trace_run(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<TraceBody>,
) -> Result<(StatusCode, Json<TraceView>), ApiError> {
    let scope = caller.authorize(Permission::TraceRun)?;
    let (agent, subject, options) = parse(body)?;
    let traced = app.trace_run(&scope, (agent, subject), options).await?;
    Ok((StatusCode::CREATED, Json(TraceView::from(&traced))))
}

/// Traces
///
/// Without their hops.
#[utoipa::path(
    get, path = "/api/v1/traces", tag = "traces", params(TracesQuery),
    responses((status = 200, description = "A page of traces", body = TracePageView))
)]
pub(crate) async fn trace_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TracesQuery>,
) -> Result<Json<TracePageView>, ApiError> {
    let scope = caller.authorize(Permission::TraceRead)?;
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let before = parse_before(&mut fields, query.cursor.as_deref());
    let id = |text: &str| text.parse::<u32>().map_err(|_| "must be an id");
    let target = fields.take_some("target", query.target.as_deref().map(id));
    let agent = fields.take_some("agent", query.agent.as_deref().map(id));
    let incident = fields.take_some("incident", query.incident.as_deref().map(id));
    let is = |text: &str| text.parse::<bool>().map_err(|_| "must be true or false");
    let is_automatic = fields.take_some("automatic", query.automatic.as_deref().map(is));
    fields.check()?;
    let query = TraceQuery {
        target: target.map(TargetId),
        agent: agent.map(AgentId),
        is_automatic,
        incident: incident.map(IncidentId),
        before: before.map(|id| TraceId(u32::try_from(id).unwrap_or(u32::MAX))),
        limit: limit + 1,
    };
    let mut rows = app.traces(&scope, &query).await?;
    let next_cursor = cut_page(&mut rows, limit, |row| row.id.0.into());
    Ok(Json(TracePageView { items: rows.iter().map(TraceHeadView::from).collect(), next_cursor }))
}

/// A trace
///
/// With the hops that are found so far.
#[utoipa::path(
    get, path = "/api/v1/traces/{id}", tag = "traces",
    params(("id" = u32, Path, description = "Id of the trace")),
    responses((status = 200, description = "The trace", body = TraceView))
)]
pub(crate) async fn trace_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<u32>,
) -> Result<Json<TraceView>, ApiError> {
    let scope = caller.authorize(Permission::TraceRead)?;
    Ok(Json(TraceView::from(&app.trace(&scope, TraceId(id)).await?)))
}

/// Cancel a trace
///
/// One that is under way ends now, and keeps what it found. One that is over stays as it is: 409.
#[utoipa::path(
    delete, path = "/api/v1/traces/{id}", tag = "traces",
    params(("id" = u32, Path, description = "Id of the trace")),
    responses((status = 200, description = "The trace as it ended", body = TraceView))
)]
pub(crate) async fn trace_cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<u32>,
) -> Result<Json<TraceView>, ApiError> {
    let scope = caller.authorize(Permission::TraceRun)?;
    Ok(Json(TraceView::from(&app.trace_cancel(&scope, TraceId(id)).await?)))
}
