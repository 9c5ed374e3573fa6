//! What supervisors and collectors ask: does it live, can it work, its numbers.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header::CONTENT_TYPE;

use super::problem::{ApiError, Code};
use crate::app::{App, FieldError};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process lives
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain"))
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The server can work
///
/// 503 with problem details that name what keeps it: database, disk, log or conductor.
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses((status = 200, description = "It can", body = String, content_type = "text/plain"))
)]
pub(crate) async fn readyz(State(app): State<App>) -> Result<&'static str, ApiError> {
    let reasons = app.not_ready().await;
    if reasons.is_empty() {
        return Ok("ready\n");
    }
    let names: Vec<&str> = reasons.iter().map(|(name, _)| *name).collect();
    let detail = format!("not ready: {}", names.join(", "));
    let errors = reasons.into_iter().map(|(name, reason)| FieldError::new(name, reason));
    Err(ApiError::new(Code::Unavailable, detail).with_errors(errors.collect()))
}

/// Numbers for Prometheus
///
/// A collector on another machine sends an API key: numbers tell a stranger how large the network
/// is.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((
        status = 200, description = "OpenMetrics", body = String,
        content_type = "application/openmetrics-text"
    ))
)]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, OPEN_METRICS)], app.metrics_text()).into_response()
}
