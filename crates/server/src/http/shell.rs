//! What wraps every request: its id, the headers every answer carries, the body of an error, the
//! access log, and the last net under a panic.
//!
//! It does not know what a request means or who sent it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use tokio::time::Instant;

use super::problem::ApiError;
use crate::app::Panics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");

/// Everything from here and nothing inline, but for styles: the console's components size and
/// place themselves with style elements, which cannot run anything.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// Names one request in the log and in its answer.
#[derive(Clone, Debug)]
struct RequestId(String);

impl RequestId {
    fn new() -> RequestId {
        // Without randomness the id is useless, not wrong: the request is still served.
        RequestId(format!("{:016x}", getrandom::u64().unwrap_or_default()))
    }
}

/// A handler panicked: a defect of ours. What it said is in the log already.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct HandlerPanicked;

/// Runs a request and finishes its answer.
pub(crate) async fn shell(State(panics): State<Panics>, request: Request, next: Next) -> Response {
    let id = RequestId::new();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let served = panics.catch("a request", next.run(request)).await;
    let mut response =
        served.unwrap_or_else(|| ApiError::internal(HandlerPanicked).into_response());
    if let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() {
        log_error(&error, &id, &method, &path);
        response = with_problem(response, &error, &id);
    }
    finish_headers(response.headers_mut(), &path, &id);
    tracing::debug!(
        request_id = %id.0,
        %method,
        path,
        status = response.status().as_u16(),
        took_us = begun.elapsed().as_micros(),
        "answered"
    );
    response
}

fn with_problem(response: Response, error: &ApiError, id: &RequestId) -> Response {
    let body = serde_json::to_vec(&error.problem(&id.0)).unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let kind = HeaderValue::from_static("application/problem+json");
    parts.headers.insert(CONTENT_TYPE, kind);
    Response::from_parts(parts, Body::from(body))
}

/// Logs what the caller does not get to see.
fn log_error(error: &ApiError, id: &RequestId, method: &Method, path: &str) {
    let Some(source) = &error.source else { return };
    tracing::error!(
        error = %crate::chain(source.as_ref()),
        request_id = %id.0,
        %method,
        path,
        "a request failed"
    );
}

fn finish_headers(headers: &mut HeaderMap, path: &str, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    headers.insert(CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
    let none = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
    headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(none));
    if path.starts_with("/api/") || !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, middleware, routing::get};
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    const BODY_BYTES_MAX: usize = 4096;

    async fn fails() {
        let nothing: [u8; 0] = [];
        assert_eq!(nothing.len(), 1, "the secret of the house");
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_without_its_reason() {
        let shell = middleware::from_fn_with_state(Panics::default(), shell);
        let router = Router::new().route("/api/v1/fails", get(fails)).layer(shell);
        let request = Request::builder().uri("/api/v1/fails").body(Body::empty());
        let response = router.oneshot(request.expect("a request")).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let id = response.headers()[REQUEST_ID].to_str().expect("text").to_owned();
        let body = to_bytes(response.into_body(), BODY_BYTES_MAX).await.expect("a body");
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(text.contains(&format!("\"request_id\":\"{id}\"")), "{text}");
        assert!(text.contains("\"code\":\"internal\"") && !text.contains("secret"), "{text}");
    }
}
