//! The parts of a request as typed values; what cannot be read becomes an [`ApiError`].
//!
//! Meaning is not checked here: bodies and queries hold texts and numbers, and the handlers parse
//! them into domain types.

use std::{collections::BTreeMap, fmt, marker::PhantomData, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header::CONTENT_TYPE, request::Parts};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use tokio::time::timeout;

use super::problem::{ApiError, Code};
use crate::app::FieldError;

/// A JSON body, in or out.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// The query. A key that comes several times is read as one list, separated by commas; an
/// unknown key is an error, since a mistyped filter would silently show everything.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The variable parts of the path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, ApiError> {
        let kind = media_type(request.headers());
        if kind != "application/json" && !kind.ends_with("+json") {
            let detail = "send `content-type: application/json`";
            return Err(ApiError::new(Code::BadMediaType, detail));
        }
        let body = in_time(BODY_TIME_MAX, Bytes::from_request(request, state)).await?;
        let body = body.map_err(|error| too_large_or_cut(error.status()))?;
        // A list would be read as the fields in their order, which nobody promised.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(bad(Code::BadBody, "invalid type: sequence, expected an object"));
        }
        match axum::Json::from_bytes(&body) {
            Ok(axum::Json(value)) => Ok(Json(value)),
            Err(rejection) => Err(json_error(&rejection)),
        }
    }
}

/// An object within a body: a list would be read as its fields in their order, which nobody
/// promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(ObjectOf(PhantomData))
    }
}

struct ObjectOf<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOf<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, ApiError> {
        let bad = |text: String| bad(Code::BadQuery, &text);
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| bad(error.body_text()))?;
        let mut joined = BTreeMap::<String, String>::new();
        for (key, value) in pairs.0 {
            let known = joined.entry(key).or_default();
            if !known.is_empty() {
                known.push(',');
            }
            known.push_str(&value);
        }
        let texts = joined.into_iter().map(|(key, value)| (key, Value::String(value)));
        serde_json::from_value(Value::Object(texts.collect()))
            .map(Query)
            .map_err(|error| bad(error.to_string()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Path(value)),
            Err(rejection) => Err(ApiError::new(Code::BadPath, rejection.body_text())),
        }
    }
}

fn json_error(rejection: &JsonRejection) -> ApiError {
    let text = rejection.body_text();
    // Without what every such message begins with: that it could not be read.
    bad(Code::BadBody, text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason))
}

/// Returns the kind of a body without its parameters; empty if it is not said.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// A body arrives within this, or its request is refused: 16 MiB over a slow line.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// Waits for a body, not for ever.
///
/// # Errors
///
/// [`Code::BadBody`] if it takes longer than `time_max`.
pub(crate) async fn in_time<T>(
    time_max: Duration,
    reading: impl Future<Output = T>,
) -> Result<T, ApiError> {
    let late = |_| ApiError::new(Code::BadBody, format!("the body took longer than {time_max:?}"));
    timeout(time_max, reading).await.map_err(late)
}

/// The body did not arrive whole: it exceeds the limit of its route, or the sender went away.
pub(crate) fn too_large_or_cut(status: http::StatusCode) -> ApiError {
    if status == http::StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::new(Code::TooLarge, "the body exceeds the limit of this route; send it in parts")
    } else {
        ApiError::new(Code::BadBody, "the body did not arrive whole")
    }
}

/// Makes the error, with the field that the message names.
fn bad(code: Code, text: &str) -> ApiError {
    let error = ApiError::new(code, text);
    match named_field(text) {
        Some(error_of_field) => error.with_errors(vec![error_of_field]),
        None => error,
    }
}

/// 1 - A field that is missing or not known is named between backticks.
/// 2 - A value of another kind comes after the path to it: one word and a colon.
pub(crate) fn named_field(text: &str) -> Option<FieldError> {
    let reasons = [("missing field `", "is missing"), ("unknown field `", "is not known here")];
    let named =
        reasons.into_iter().find_map(|(before, reason)| Some((text.split_once(before)?.1, reason)));
    if let Some((rest, reason)) = named {
        let (field, _) = rest.split_once('`')?;
        return Some(FieldError::new(field, reason));
    }
    let (field, reason) = text.split_once(": ")?;
    (!field.contains(' ')).then(|| FieldError::new(field, reason))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, Bytes},
        http::header::CONTENT_TYPE,
    };

    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_refused() {
        let endless = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::builder().header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from_stream(endless)).expect("a request");
        let read = axum::Json::<Value>::from_request(request, &());
        let refused = in_time(Duration::from_millis(10), read).await.expect_err("no body");
        assert_eq!(refused.code, Code::BadBody);
    }

    #[test]
    fn the_field_is_read_from_the_message_of_serde() {
        let field = |text| named_field(text).map(|error| (error.field, error.reason));
        assert_eq!(
            field("missing field `name` at line 1 column 2"),
            Some(("name".to_owned(), "is missing".to_owned()))
        );
        assert_eq!(
            field("unknown field `nam`, expected `name`"),
            Some(("nam".to_owned(), "is not known here".to_owned()))
        );
        assert_eq!(
            field("tags[0]: invalid type: integer `7`"),
            Some(("tags[0]".to_owned(), "invalid type: integer `7`".to_owned()))
        );
        assert_eq!(field("expected value"), None);
        assert_eq!(field("invalid type: map, expected a sequence"), None);
    }
}
