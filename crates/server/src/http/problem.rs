//! What goes wrong, told as problem details (RFC 9457). [`ApiError`] is the only error that
//! becomes a response.
//!
//! The body is written by [`super::shell`], which knows the request's id; what an operator must
//! not see (the chain of sources) goes to the log only, once.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{AppError, FieldError};

/// What went wrong, for programs. The list is closed: a new kind of failure gets a new code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    BadBody,
    BadQuery,
    BadPath,
    /// The request was understood; `errors` names the fields that cannot be accepted.
    Invalid,
    NotSignedIn,
    BadCredentials,
    BadCsrfToken,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// It clashes with what is there: a taken name, or something still in use.
    Conflict,
    TooLarge,
    BadMediaType,
    TooManyAttempts,
    Internal,
    /// A part of the server that is needed does not answer; a later attempt may succeed.
    Unavailable,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Code::BadBody | Code::BadQuery | Code::BadPath => StatusCode::BAD_REQUEST,
            Code::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Code::NotSignedIn | Code::BadCredentials => StatusCode::UNAUTHORIZED,
            Code::BadCsrfToken | Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Code::Conflict => StatusCode::CONFLICT,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::BadMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Code::BadBody => "The body cannot be read",
            Code::BadQuery => "The query cannot be read",
            Code::BadPath => "The path cannot be read",
            Code::Invalid => "Some fields cannot be accepted",
            Code::NotSignedIn => "Not signed in",
            Code::BadCredentials => "Wrong name or password",
            Code::BadCsrfToken => "The CSRF token is missing or wrong",
            Code::Forbidden => "Not allowed",
            Code::NotFound => "Not found",
            Code::MethodNotAllowed => "Method not allowed",
            Code::Conflict => "It clashes with what is there",
            Code::TooLarge => "The body is too large",
            Code::BadMediaType => "The body is of another kind",
            Code::TooManyAttempts => "Too many attempts",
            Code::Internal => "The server failed",
            Code::Unavailable => "Not available now",
        }
    }
}

/// Problem details as RFC 9457 defines them, with this API's `code`, `request_id` and `errors`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:faultline:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:faultline:problem:invalid")]
    kind: String,
    title: &'static str,
    #[schema(example = 422)]
    status: u16,
    code: Code,
    /// What happened, for the person who reads it.
    detail: String,
    /// Names this request in the server's log.
    request_id: String,
    /// Every field that cannot be accepted, not only the first.
    errors: Vec<ProblemField>,
}

/// One field that cannot be accepted, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemField {
    #[schema(example = "address")]
    pub(crate) field: String,
    pub(crate) reason: String,
}

impl From<&FieldError> for ProblemField {
    fn from(error: &FieldError) -> ProblemField {
        ProblemField { field: error.field.clone(), reason: error.reason.clone() }
    }
}

/// Why a request got no answer of its own kind.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ApiError {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> ApiError {
        let detail = detail.into();
        ApiError { code, detail, errors: Vec::new(), retry_after: None, source: None }
    }

    /// The request was understood, but these fields cannot be accepted.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> ApiError {
        let detail = "the fields in `errors` cannot be accepted";
        ApiError { errors, ..ApiError::new(Code::Invalid, detail) }
    }

    /// Names the fields that made something unreadable.
    #[must_use]
    pub(crate) fn with_errors(self, errors: Vec<FieldError>) -> ApiError {
        ApiError { errors, ..self }
    }

    /// A failure of our own. The caller learns that it is one; the log learns which.
    pub(crate) fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> ApiError {
        let detail = "the server failed; its log has the reason under this request id";
        ApiError { source: Some(source.into()), ..ApiError::new(Code::Internal, detail) }
    }

    pub(crate) fn problem(&self, request_id: &str) -> Problem {
        let code = serde_json::to_value(self.code).unwrap_or_default();
        Problem {
            kind: format!("urn:faultline:problem:{}", code.as_str().unwrap_or_default()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code,
            detail: self.detail.clone(),
            request_id: request_id.to_owned(),
            errors: self.errors.iter().map(ProblemField::from).collect(),
        }
    }
}

/// Carries the error to [`super::shell`], which writes the body.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(retry_after) = self.retry_after {
            let seconds = retry_after.as_secs().saturating_add(1);
            response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<AppError> for ApiError {
    fn from(error: AppError) -> ApiError {
        match error {
            AppError::NotFound { what } => {
                ApiError::new(Code::NotFound, format!("there is no such {what}"))
            }
            AppError::Invalid(errors) => ApiError::invalid(errors),
            AppError::Conflict(error) => {
                ApiError::new(Code::Conflict, error.reason.clone()).with_errors(vec![error])
            }
            AppError::Unavailable { detail, source } => {
                ApiError { source, ..ApiError::new(Code::Unavailable, detail) }
            }
            AppError::BadCredentials => ApiError::new(
                Code::BadCredentials,
                "no user with this name and password; names and passwords are case-sensitive",
            ),
            AppError::TooManyAttempts { retry_after } => ApiError {
                retry_after: Some(retry_after),
                ..ApiError::new(
                    Code::TooManyAttempts,
                    format!(
                        "too many failed attempts to sign in; try again in {} s",
                        retry_after.as_secs().saturating_add(1)
                    ),
                )
            },
            AppError::Busy { detail, retry_after } => ApiError {
                retry_after: Some(retry_after),
                ..ApiError::new(Code::TooManyAttempts, detail)
            },
            AppError::Internal(source) => ApiError::internal(source),
        }
    }
}
