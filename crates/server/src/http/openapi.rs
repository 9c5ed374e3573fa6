//! The description of the API, made from the table of routes and the types of the handlers.
//!
//! Its text is the same for the same program: keys are sorted.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, HttpMethod, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem,
        Ref, ResponseBuilder, SecurityRequirement,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::app::{App, webhooks::message_schema_json};

use super::{
    caller::SESSION_COOKIE,
    packed::Packed,
    problem::Problem,
    routes::{self, Access},
};

const DESCRIPTION: &str = "Faultline's API. People sign in with POST /api/v1/session and send the \
    session's token in `x-csrf-token` with everything that changes something; programs send \
    `authorization: Bearer flk_…`. Errors are problem details (RFC 9457). Times are RFC 3339 in \
    UTC, ids are never used twice.";
const SESSION: &str = "session";
const API_KEY: &str = "api_key";

/// The description of the API
///
/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn openapi_get(State(app): State<App>, headers: HeaderMap) -> Response {
    static OF_DEMO: LazyLock<Packed> = LazyLock::new(|| Packed::new(openapi_json()));
    // A server says of itself what it has.
    static PACKED: LazyLock<Packed> = LazyLock::new(|| Packed::new(written(false)));
    let packed = if app.has_desk() { &OF_DEMO } else { &PACKED };
    let mut response = packed.answer(&headers);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The description of the API, where it is in the source
///
/// The same document as `/api/v1/openapi.json`.
#[utoipa::path(
    get, path = "/openapi/v1.json", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn openapi_file(state: State<App>, headers: HeaderMap) -> Response {
    openapi_get(state, headers).await
}

/// The JSON schema of webhooks' messages
///
/// JSON Schema 2020-12, made of the types that are sent; `openapi/webhook-messages.json` in the
/// source is the same.
#[utoipa::path(
    get, path = "/api/v1/webhook-messages.json", tag = "webhooks",
    responses((status = 200, description = "A JSON schema", body = Object,
                content_type = "application/schema+json"))
)]
pub(crate) async fn message_schema_get(headers: HeaderMap) -> Response {
    static PACKED: LazyLock<Packed> = LazyLock::new(|| Packed::new(message_schema_json()));
    let mut response = PACKED.answer(&headers);
    let kind = HeaderValue::from_static("application/schema+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Returns the OpenAPI document of this program as text, with sorted keys and the demo's routes.
pub fn openapi_json() -> String {
    written(true)
}

fn written(is_demo: bool) -> String {
    let value = serde_json::to_value(document(is_demo)).map(sorted).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

/// Sorts the keys whatever map `serde_json` is built with, and says numbers as wide as they are.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            widen(&mut map);
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => leaf,
    }
}

/// An unsigned number of 32 bits is said to be an `int32` by what writes the schemas, which is only
/// half of it.
fn widen(schema: &mut BTreeMap<String, Value>) {
    let is = |key: &str, value: Value| schema.get(key) == Some(&value);
    if is("format", "int32".into()) && is("minimum", 0.into()) {
        schema.insert("format".to_owned(), "int64".into());
        schema.entry("maximum".to_owned()).or_insert_with(|| u32::MAX.into());
    }
}

fn document(is_demo: bool) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Faultline")
        // Of the API, not of the program: the document must not change with each release.
        .version("1")
        .description(Some(DESCRIPTION))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    let mut components = Components::new();
    add_security(&mut components);
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    let has = |route: &routes::Route| is_demo || !route.is_of_demo;
    for mut route in routes::table().into_iter().filter(has) {
        schemas.append(&mut route.schemas);
        for (path, mut item) in route.paths.paths {
            let methods = methods(&item);
            for operation in operations(&mut item) {
                finish(operation, route.access);
            }
            for method in methods {
                if let Some(operation) = take(&mut item, &method) {
                    document.paths.add_path_operation(&path, vec![method], operation);
                }
            }
        }
    }
    components.schemas.extend(schemas);
    document.components = Some(components);
    document
}

fn add_security(components: &mut Components) {
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
        SESSION_COOKIE,
        "Set by POST /api/v1/session. What changes something also needs `x-csrf-token`.",
    ));
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(cookie));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("flk_…").build();
    components.add_security_scheme(API_KEY, SecurityScheme::Http(bearer));
}

/// Adds to an operation what is the same for all: the problem, and who may call it.
fn finish(operation: &mut Operation, access: Access) {
    let problem = ResponseBuilder::new()
        .description("Problem details; `code` says which, `errors` names the fields.")
        .content(
            "application/problem+json",
            Content::new(Some(Ref::from_schema_name(Problem::name()))),
        )
        .build();
    operation.responses.responses.insert("default".to_owned(), problem.into());
    let none: [&str; 0] = [];
    let session = SecurityRequirement::new(SESSION, none);
    let (security, words) = match access {
        Access::Public => (vec![], "Open to everyone.".to_owned()),
        Access::Person => (vec![session], "Open to every person who signed in.".to_owned()),
        Access::Needs(permission) => (
            vec![session, SecurityRequirement::new(API_KEY, none)],
            format!("Needs the permission `{}`.", permission.as_str()),
        ),
        Access::LocalOr(permission) => (
            vec![SecurityRequirement::default(), session, SecurityRequirement::new(API_KEY, none)],
            format!(
                "Open to the server's own machine; others need the permission `{}`.",
                permission.as_str()
            ),
        ),
    };
    operation.security = Some(security);
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{words}"),
        Some(_) | None => words,
    });
}

/// Returns the methods of a path.
pub(crate) fn methods(item: &PathItem) -> Vec<HttpMethod> {
    let all = [
        (HttpMethod::Get, item.get.is_some()),
        (HttpMethod::Post, item.post.is_some()),
        (HttpMethod::Put, item.put.is_some()),
        (HttpMethod::Patch, item.patch.is_some()),
        (HttpMethod::Delete, item.delete.is_some()),
    ];
    all.into_iter().filter(|(_, is_there)| *is_there).map(|(method, _)| method).collect()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
        .into_iter()
        .flatten()
}

fn take(item: &mut PathItem, method: &HttpMethod) -> Option<Operation> {
    match method {
        HttpMethod::Get => item.get.take(),
        HttpMethod::Post => item.post.take(),
        HttpMethod::Put => item.put.take(),
        HttpMethod::Patch => item.patch.take(),
        HttpMethod::Delete => item.delete.take(),
        HttpMethod::Options | HttpMethod::Head | HttpMethod::Trace => None,
    }
}
