//! Agents: their state and what they measure of themselves; create, enrol, cut off.

use std::net::IpAddr;

use axum::extract::State;
use http::StatusCode;
use model::{AgentId, Name, UtcMicros};
use serde::{Deserialize, Serialize};
use store::{AgentPatch, AgentRow, CertificateRow, NewAgent};
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::{Json, Path},
    permission::Permission,
    problem::ApiError,
    views::{AgentStateView, Timestamp},
};
use crate::app::{
    App, Fields,
    agents::Enrolment,
    live::{AgentVitals, Rival},
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agents)]
pub(crate) struct AgentsView {
    /// By name.
    items: Vec<AgentView>,
}

/// A process that asks, and what it measured of itself when it was last heard.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(crate) struct AgentView {
    id: u32,
    #[schema(example = "pop-north")]
    name: String,
    state: AgentStateView,
    state_since: Timestamp,
    state_why: String,
    is_paused: bool,
    #[schema(required)]
    version: Option<String>,
    #[schema(required)]
    os: Option<String>,
    #[schema(required)]
    hostname: Option<String>,
    /// Null while it is not connected.
    #[schema(required)]
    connected_from: Option<String>,
    #[schema(required)]
    last_heartbeat_at: Option<Timestamp>,
    /// Probes that it works on.
    probes: u32,
    /// Batches that wait in its spool.
    backlog_batches: u64,
    backlog_bytes: u64,
    /// How late its packets left, since its last heartbeat.
    send_lag_us_p50: u32,
    send_lag_us_max: u32,
    /// Replies that its kernel dropped before it could read them.
    kernel_drops: u64,
    socket_errors: u64,
    /// Replies that no packet of its own explains.
    strange_replies: u64,
    /// Its clock less the server's.
    clock_offset_ms: i64,
    /// Why it cannot ask, or keep what it learns, with the remedy.
    #[schema(required)]
    impediment: Option<String>,
    /// A second process with its identity that is refused; null if none knocked since the server
    /// started.
    #[schema(required)]
    rival: Option<RivalView>,
    #[schema(required)]
    certificate: Option<CertificateView>,
    /// Addresses that it asks to know whether it sees at all.
    witnesses: Vec<String>,
    created_at: Timestamp,
}

/// A second process with an agent's identity, as a copied state directory makes one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentRival)]
pub(crate) struct RivalView {
    /// Where the refused one comes from.
    #[schema(required)]
    from: Option<String>,
    hostname: String,
    /// Where the one that stays was connected from.
    #[schema(required)]
    holder: Option<String>,
    holder_hostname: String,
    first_at: Timestamp,
    last_at: Timestamp,
    /// How often it was refused.
    refusals: u64,
}

impl From<Rival> for RivalView {
    fn from(rival: Rival) -> RivalView {
        RivalView {
            from: rival.from.map(|from| from.to_string()),
            hostname: rival.hostname,
            holder: rival.holder.map(|holder| holder.to_string()),
            holder_hostname: rival.holder_hostname,
            first_at: rival.first_at.into(),
            last_at: rival.last_at.into(),
            refusals: rival.refusals,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Certificate)]
pub(crate) struct CertificateView {
    serial: String,
    not_after: Timestamp,
    status: CertificateStatusView,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CertificateStatus)]
pub(crate) enum CertificateStatusView {
    Active,
    Expired,
    Revoked,
}

impl CertificateView {
    fn new(row: &CertificateRow, now: UtcMicros) -> CertificateView {
        let status = if row.revoked_at.is_some() {
            CertificateStatusView::Revoked
        } else if row.not_after <= now {
            CertificateStatusView::Expired
        } else {
            CertificateStatusView::Active
        };
        CertificateView { serial: row.serial.clone(), not_after: row.not_after.into(), status }
    }
}

impl AgentView {
    fn new(app: &App, row: &AgentRow) -> AgentView {
        let vitals = app.agent_vitals(row.id);
        let AgentVitals { last_heartbeat_at, .. } = vitals;
        let awaited_since = app.awaited_since(row);
        AgentView {
            id: row.id.0,
            name: row.name.to_string(),
            state: awaited_since.map_or(row.state.into(), |_| AgentStateView::AWAITED),
            state_since: awaited_since.unwrap_or(row.state_since).into(),
            state_why: awaited_since.map_or_else(
                || row.state_why.clone(),
                |since| {
                    let was = row.state.as_str();
                    format!("not heard since the server started at {since}; it was {was} before")
                },
            ),
            is_paused: row.is_paused,
            version: row.hello.as_ref().map(|hello| hello.version.clone()),
            os: row.hello.as_ref().map(|hello| hello.os.clone()),
            hostname: row.hello.as_ref().map(|hello| hello.hostname.clone()),
            connected_from: vitals.connected_from.map(|peer| peer.to_string()),
            last_heartbeat_at: last_heartbeat_at.or(row.last_seen_at).map(Timestamp::from),
            probes: vitals.probes,
            backlog_batches: vitals.backlog_batches,
            backlog_bytes: vitals.backlog_bytes,
            send_lag_us_p50: vitals.send_lag_us_p50,
            send_lag_us_max: vitals.send_lag_us_max,
            kernel_drops: vitals.kernel_drops_total,
            socket_errors: vitals.socket_errors_total,
            strange_replies: vitals.strange_replies_total,
            clock_offset_ms: vitals.clock_offset_us.unwrap_or_default() / 1_000,
            impediment: vitals.impediment,
            rival: vitals.rival.map(RivalView::from),
            certificate: (row.certificate.as_ref())
                .map(|certificate| CertificateView::new(certificate, app.now())),
            witnesses: row.witnesses.iter().map(IpAddr::to_string).collect(),
            created_at: row.created_at.into(),
        }
    }
}

/// An agent to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentBody)]
pub(crate) struct AgentBody {
    #[schema(example = "pop-north")]
    name: String,
    /// Up to 8 addresses beyond its own network that practically always answer.
    #[serde(default)]
    witnesses: Vec<String>,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentPatch)]
pub(crate) struct AgentPatchBody {
    name: Option<String>,
    is_paused: Option<bool>,
    witnesses: Option<Vec<String>>,
}

/// A one-time token. It is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = EnrolToken)]
pub(crate) struct EnrolTokenView {
    token: String,
    /// To be typed on the agent's host.
    command: String,
    expires_at: Timestamp,
    /// Why an agent elsewhere cannot use it, with the remedy; null if it can.
    #[schema(required)]
    warning: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AgentCreated)]
pub(crate) struct AgentCreatedView {
    agent: AgentView,
    token: String,
    command: String,
    expires_at: Timestamp,
    /// As of an `EnrolToken`.
    #[schema(required)]
    warning: Option<String>,
}

impl From<Enrolment> for EnrolTokenView {
    fn from(enrolment: Enrolment) -> EnrolTokenView {
        EnrolTokenView {
            token: enrolment.token,
            command: enrolment.command,
            expires_at: enrolment.expires_at.into(),
            warning: enrolment.warning,
        }
    }
}

/// List agents
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents",
    responses((status = 200, description = "All of them", body = AgentsView))
)]
pub(crate) async fn agent_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<AgentsView>, ApiError> {
    let scope = caller.authorize(Permission::AgentRead)?;
    let rows = app.agents(&scope).await?;
    Ok(Json(AgentsView { items: rows.iter().map(|row| AgentView::new(&app, row)).collect() }))
}

/// Create an agent
///
/// The answer has the command to type on its host within 10 minutes.
#[utoipa::path(
    post, path = "/api/v1/agents", tag = "agents",
    request_body = AgentBody,
    responses((status = 201, description = "Created", body = AgentCreatedView))
)]
pub(crate) async fn agent_create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<AgentBody>,
) -> Result<(StatusCode, Json<AgentCreatedView>), ApiError> {
    let scope = caller.authorize(Permission::AgentWrite)?;
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&body.name));
    let witnesses = fields.take("witnesses", parse_witnesses(&body.witnesses));
    let (Some(name), Some(witnesses)) = (name, witnesses) else {
        return Err(fields.error().into());
    };
    let (row, enrolment) = app.agent_create(&scope, NewAgent { name, witnesses }).await?;
    let EnrolTokenView { token, command, expires_at, warning } = enrolment.into();
    let agent = AgentView::new(&app, &row);
    let created = AgentCreatedView { agent, token, command, expires_at, warning };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Get an agent
#[utoipa::path(
    get, path = "/api/v1/agents/{id}", tag = "agents", params(("id" = u32, Path)),
    responses((status = 200, description = "The agent", body = AgentView))
)]
pub(crate) async fn agent_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AgentId>,
) -> Result<Json<AgentView>, ApiError> {
    let scope = caller.authorize(Permission::AgentRead)?;
    let row = app.agent_get(&scope, id).await?;
    Ok(Json(AgentView::new(&app, &row)))
}

/// Change an agent
///
/// A paused agent gets nothing to ask and judges nobody.
#[utoipa::path(
    patch, path = "/api/v1/agents/{id}", tag = "agents", params(("id" = u32, Path)),
    request_body = AgentPatchBody,
    responses((status = 200, description = "As it is now", body = AgentView))
)]
pub(crate) async fn agent_update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Json(body): Json<AgentPatchBody>,
) -> Result<Json<AgentView>, ApiError> {
    let scope = caller.authorize(Permission::AgentWrite)?;
    let mut fields = Fields::default();
    let witnesses = body.witnesses.as_deref().map(parse_witnesses);
    let patch = AgentPatch {
        name: fields.take_some("name", body.name.as_deref().map(Name::parse)),
        is_paused: body.is_paused,
        witnesses: fields.take_some("witnesses", witnesses),
        topology: None,
    };
    fields.check()?;
    let row = app.agent_update(&scope, id, patch).await?;
    Ok(Json(AgentView::new(&app, &row)))
}

/// Delete an agent
///
/// Its certificates are revoked and it is cut off at once.
#[utoipa::path(
    delete, path = "/api/v1/agents/{id}", tag = "agents", params(("id" = u32, Path)),
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn agent_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AgentId>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::AgentWrite)?;
    app.agent_delete(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a new one-time token
///
/// Earlier tokens of the agent are void.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/token", tag = "agents", params(("id" = u32, Path)),
    responses((status = 200, description = "Valid for 10 minutes, once", body = EnrolTokenView))
)]
pub(crate) async fn agent_token(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AgentId>,
) -> Result<Json<EnrolTokenView>, ApiError> {
    let scope = caller.authorize(Permission::AgentWrite)?;
    Ok(Json(app.agent_token(&scope, id).await?.into()))
}

/// Revoke an agent's certificates
///
/// It is cut off at once and stays so until it enrols with a new token.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/revoke", tag = "agents", params(("id" = u32, Path)),
    responses((status = 204, description = "Revoked"))
)]
pub(crate) async fn agent_revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AgentId>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::AgentWrite)?;
    app.agent_revoke(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_witnesses(texts: &[String]) -> Result<Vec<IpAddr>, String> {
    let parse = |text: &String| match model::Address::parse(text) {
        Ok(model::Address::Ip(ip)) => Ok(ip),
        Ok(model::Address::Name(_)) => Err(format!("`{text}` is not an IP address")),
        Err(error) => Err(format!("`{text}`: {error}")),
    };
    let mut witnesses = Vec::with_capacity(texts.len());
    for text in texts {
        let witness = parse(text)?;
        if witnesses.contains(&witness) {
            return Err(format!("`{text}` is there twice"));
        }
        witnesses.push(witness);
    }
    Ok(witnesses)
}
