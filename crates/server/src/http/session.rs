//! Signing in and out.

use std::time::Duration;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::SET_COOKIE};
use serde::{Deserialize, Serialize};
use store::UserRow;
use utoipa::ToSchema;

use super::{
    caller::{Caller, Peer, SESSION_COOKIE},
    extract::Json,
    permission,
    problem::ApiError,
    views::{PermissionView, RoleView},
};
use crate::app::{App, Fields, password::NewPassword, sessions};

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignIn)]
pub(crate) struct SignInBody {
    #[schema(example = "admin")]
    name: String,
    password: String,
}

/// A person's session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    user: SessionUserView,
    /// What this person may do.
    permissions: Vec<PermissionView>,
    /// To be sent as `x-csrf-token` with everything that changes something.
    csrf_token: String,
    /// Whether this is a demo, with a desk for breaking its network.
    is_demo: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionUser)]
pub(crate) struct SessionUserView {
    id: u32,
    name: String,
    role: RoleView,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange)]
pub(crate) struct PasswordBody {
    current_password: String,
    /// At least 12 characters.
    #[schema(min_length = 12)]
    new_password: String,
}

impl SessionView {
    fn new(app: &App, user: &UserRow, csrf_token: String) -> SessionView {
        let permissions = permission::permissions(user.role);
        SessionView {
            user: SessionUserView {
                id: user.id.0,
                name: user.name.to_string(),
                role: user.role.into(),
            },
            permissions: permissions.iter().map(|&permission| permission.into()).collect(),
            csrf_token,
            is_demo: app.has_desk(),
        }
    }
}

/// Sign in
#[utoipa::path(
    post, path = "/api/v1/session", tag = "session",
    request_body = SignInBody,
    responses((status = 200, description = "Signed in; the cookie is set", body = SessionView))
)]
pub(crate) async fn session_create(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Json(body): Json<SignInBody>,
) -> Result<Response, ApiError> {
    let signed_in = app.sign_in(&body.name, body.password, peer).await?;
    let cookie = session_cookie(&app, &headers, &signed_in.token.text, sessions::AGE_MAX);
    let view = SessionView::new(&app, &signed_in.user, signed_in.csrf_token);
    Ok(([(SET_COOKIE, cookie)], Json(view)).into_response())
}

/// Who is signed in
#[utoipa::path(
    get, path = "/api/v1/session", tag = "session",
    responses((status = 200, description = "The session", body = SessionView))
)]
pub(crate) async fn session_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<SessionView>, ApiError> {
    let (_, person) = caller.person()?;
    Ok(Json(SessionView::new(&app, &person.user, person.csrf_token)))
}

/// Sign out
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "Signed out; the cookie is cleared"))
)]
pub(crate) async fn session_delete(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (scope, person) = caller.person()?;
    app.sign_out(&scope, &person.user, &person.token_hash).await?;
    let cookie = session_cookie(&app, &headers, "", Duration::ZERO);
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// Change one's own password
///
/// All other sessions of this person end.
#[utoipa::path(
    put, path = "/api/v1/session/password", tag = "session",
    request_body = PasswordBody,
    responses((status = 204, description = "Changed"))
)]
pub(crate) async fn password_change(
    State(app): State<App>,
    caller: Caller,
    Peer(peer): Peer,
    Json(body): Json<PasswordBody>,
) -> Result<StatusCode, ApiError> {
    let (scope, person) = caller.person()?;
    let mut fields = Fields::default();
    let new = fields.take("new_password", NewPassword::parse(&body.new_password));
    let new = new.ok_or_else(|| fields.error())?;
    let current = body.current_password;
    let (user, session) = (person.user.id, &person.token_hash);
    app.password_change(&scope, user, session, current, new, peer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The header that sets the cookie. It is marked Secure wherever the browser came over TLS, to this
/// server or to a proxy in front of it.
fn session_cookie(app: &App, headers: &HeaderMap, value: &str, age: Duration) -> String {
    let over_proxy = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let is_secure = app.config.http.tls.is_some() || over_proxy;
    let secure = if is_secure { "; Secure" } else { "" };
    let age_s = age.as_secs();
    format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}{secure}")
}
