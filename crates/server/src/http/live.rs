//! What changes, as server-sent events: ids and versions, not bodies.
//!
//! The event id is the position in the log, so a browser that comes back resumes where it was; if
//! that place is no longer kept it is told to read everything anew.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use model::{LogPosition, OrgId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    caller::Caller,
    permission::Permission,
    problem::ApiError,
    views::{AgentStateView, Timestamp, VerdictView},
};
use crate::app::{
    App,
    live::{LiveEvent, LiveItem},
};

/// A stream ends after this, and the browser comes back by itself: then it is asked again who it
/// is, so that a revoked session does not listen for ever.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Longer silence would make proxies close the connection.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// The data of an event; which one it is says the event's name.
///
/// `verdict`, `agent`, `inventory`, `incident`, `trace`, `minute`, `tick` and `resync` come by
/// these names.
/// The event's id is the position in the log; send it as `Last-Event-ID` to resume.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = LiveEvent)]
pub(crate) enum LiveEventView {
    /// `verdict`: what is held of a target changed.
    Verdict(VerdictEventView),
    /// `agent`: the state of an agent changed.
    Agent(AgentEventView),
    /// `inventory`: targets, tiers or agents were changed.
    Inventory(InventoryEventView),
    /// `incident`: an incident was written, by a judgement or by a person.
    Incident(IncidentEventView),
    /// `trace`: a trace was begun, learned something or ended.
    Trace(TraceEventView),
    /// `minute`: a minute was closed, for all targets.
    Minute(MinuteEventView),
    /// `tick`: the server lives, whatever happens.
    Tick(TickEventView),
    /// `resync`: events were missed; read everything anew.
    Resync(ResyncEventView),
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerdictEvent)]
pub(crate) struct VerdictEventView {
    position: u64,
    /// Id of the target.
    target: u32,
    /// Id of the probe.
    probe: u32,
    /// Id of the agent; null for all agents together.
    #[schema(required)]
    agent: Option<u32>,
    from: VerdictView,
    to: VerdictView,
    at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentEvent)]
pub(crate) struct AgentEventView {
    position: u64,
    /// Id of the agent.
    agent: u32,
    to: AgentStateView,
    at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InventoryEvent)]
pub(crate) struct InventoryEventView {
    position: u64,
    version: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IncidentEvent)]
pub(crate) struct IncidentEventView {
    position: u64,
    /// Its number.
    incident: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceEvent)]
pub(crate) struct TraceEventView {
    position: u64,
    /// Id of the trace.
    trace: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinuteEvent)]
pub(crate) struct MinuteEventView {
    position: u64,
    /// Its start.
    minute: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TickEvent)]
pub(crate) struct TickEventView {
    position: u64,
    at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResyncEvent)]
pub(crate) struct ResyncEventView {
    position: u64,
}

/// What changes, as it changes
///
/// Server-sent events. Each has a name and as data one of the schemas of `LiveEvent`.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "server",
    params(("Last-Event-ID" = Option<u64>, Header, description = "Resume after this event")),
    responses((
        status = 200, description = "Events", content_type = "text/event-stream",
        body = LiveEventView
    ))
)]
pub(crate) async fn live(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let scope = caller.authorize(Permission::TargetRead)?;
    let sees = Sees {
        agents: caller.allows(Permission::AgentRead),
        incidents: caller.allows(Permission::IncidentRead),
        traces: caller.allows(Permission::TraceRead),
    };
    // An id that is no position was never given: such a subscriber must read everything anew.
    let after = headers.get("last-event-id").map(|id| {
        let position = id.to_str().ok().and_then(|id| id.parse().ok());
        LogPosition(position.unwrap_or(u64::MAX))
    });
    let events = stream::unfold(app.live(after)?, move |mut stream| async move {
        loop {
            let item = stream.next().await?;
            if is_for(&item.event, scope.org, sees) {
                return Some((Ok(event(&item)), stream));
            }
        }
    });
    let events = events.take_until(tokio::time::sleep(AGE_MAX));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY).text("alive")))
}

/// What a subscriber may be told of beside targets.
#[derive(Clone, Copy)]
struct Sees {
    agents: bool,
    incidents: bool,
    traces: bool,
}

/// Whether a subscriber of `org` may be told this. What is left out needs no place of its own: the
/// next tick carries one.
fn is_for(event: &LiveEvent, org: OrgId, sees: Sees) -> bool {
    match event {
        LiveEvent::Verdict { org: of, .. } => *of == org,
        LiveEvent::Agent { org: of, .. } => *of == org && sees.agents,
        LiveEvent::Incident { org: of, .. } => *of == org && sees.incidents,
        LiveEvent::Trace { org: of, .. } => *of == org && sees.traces,
        LiveEvent::Inventory { .. }
        | LiveEvent::Minute { .. }
        | LiveEvent::Tick { .. }
        | LiveEvent::Resync { .. } => true,
    }
}

fn event(item: &LiveItem) -> Event {
    let (name, view) = view(&item.event);
    // The views hold texts and numbers, which always become JSON.
    let data = serde_json::to_string(&view).unwrap_or_default();
    let event = Event::default().event(name).data(data);
    match item.id {
        Some(position) => event.id(position.0.to_string()),
        None => event,
    }
}

fn view(event: &LiveEvent) -> (&'static str, LiveEventView) {
    let position = event.position().0;
    match event {
        LiveEvent::Verdict { probe, target, agent, from, to, at, .. } => {
            let view = VerdictEventView {
                position,
                target: target.0,
                probe: probe.0,
                agent: agent.map(|agent| agent.0),
                from: (*from).into(),
                to: (*to).into(),
                at: (*at).into(),
            };
            ("verdict", LiveEventView::Verdict(view))
        }
        LiveEvent::Agent { agent, to, at, .. } => {
            let (to, at) = ((*to).into(), (*at).into());
            ("agent", LiveEventView::Agent(AgentEventView { position, agent: agent.0, to, at }))
        }
        LiveEvent::Inventory { version, .. } => {
            let view = InventoryEventView { position, version: *version };
            ("inventory", LiveEventView::Inventory(view))
        }
        LiveEvent::Incident { incident, .. } => {
            let view = IncidentEventView { position, incident: incident.0 };
            ("incident", LiveEventView::Incident(view))
        }
        LiveEvent::Trace { trace, .. } => {
            ("trace", LiveEventView::Trace(TraceEventView { position, trace: trace.0 }))
        }
        LiveEvent::Minute { minute, .. } => {
            let view = MinuteEventView { position, minute: minute.start().into() };
            ("minute", LiveEventView::Minute(view))
        }
        LiveEvent::Tick { at, .. } => {
            ("tick", LiveEventView::Tick(TickEventView { position, at: (*at).into() }))
        }
        LiveEvent::Resync { .. } => ("resync", LiveEventView::Resync(ResyncEventView { position })),
    }
}

#[cfg(test)]
mod tests {
    use model::{AgentId, AgentState, IncidentId, ProbeId, TargetId, TraceId, UtcMicros, Verdict};

    use super::*;

    #[test]
    fn what_names_an_object_is_told_to_its_organisation_and_to_who_may_see_it() {
        let (org, position, at) = (OrgId(1), LogPosition(7), UtcMicros(0));
        let (from, to) = (Verdict::Up, Verdict::Down);
        let (target, probe, agent) = (TargetId(1), ProbeId(1), AgentId(1));
        let verdict =
            LiveEvent::Verdict { position, org, target, probe, agent: None, from, to, at };
        let agent = LiveEvent::Agent { position, org, agent, to: AgentState::Blind, at };
        let minute = LiveEvent::Tick { position, at };
        let incident = LiveEvent::Incident { position, org, incident: IncidentId(1) };
        let trace = LiveEvent::Trace { position, org, trace: TraceId(1) };
        let told = |org, agents, incidents, traces| {
            let sees = Sees { agents, incidents, traces };
            let all = [&verdict, &agent, &incident, &trace, &minute];
            all.map(|event| is_for(event, OrgId(org), sees))
        };
        assert_eq!(told(1, true, true, true), [true, true, true, true, true]);
        assert_eq!(told(1, false, true, true), [true, false, true, true, true]);
        assert_eq!(told(1, true, false, true), [true, true, false, true, true]);
        assert_eq!(told(1, true, true, false), [true, true, true, false, true]);
        assert_eq!(told(2, true, true, true), [false, false, false, false, true]);
    }
}
