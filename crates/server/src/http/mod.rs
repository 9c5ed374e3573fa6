//! The HTTP side: routes, permissions, problem details, live events, the embedded console.
//!
//! Each handler authorises, parses, calls [`crate::app`] and nothing else, and shows. No SQL, no
//! business steps, no domain type on the wire: `…Body`, `…Query` and `…View` beside their handler
//! are the only serialisable structs. Nobody else imports this module.

mod agent_metrics;
mod agents;
mod api_keys;
mod audit;
mod backup;
mod caller;
mod columns;
mod console;
mod desk;
mod diagnosis;
mod export;
mod extract;
mod facts;
mod health;
mod histories;
mod import;
mod incidents;
mod live;
mod maintenance;
mod map;
mod openapi;
mod overview;
mod packed;
pub mod permission;
mod plan;
mod probes;
mod problem;
mod prom;
mod rounds;
pub mod routes;
mod session;
mod shell;
mod summary;
mod table;
mod targets;
mod tiers;
mod topology;
mod traced_paths;
mod traces;
mod users;
mod views;
mod webhooks;
mod whatif;

use axum::{Router, middleware, response::IntoResponse};
use tower_http::compression::{
    CompressionLayer,
    predicate::{DefaultPredicate, NotForContentType, Predicate as _},
};

use crate::app::{App, backup::MEDIA_TYPE};
use problem::{ApiError, Code};

pub(crate) use caller::is_understood;
pub(crate) use import::read_json as import_rows;
pub use openapi::openapi_json;

/// Everything that is answered over HTTP.
pub fn router(app: App) -> Router {
    // What is compressed already does not get smaller.
    let is_compressed = NotForContentType::const_new(MEDIA_TYPE)
        .and(NotForContentType::const_new(table::PARQUET_TYPE));
    let compression = CompressionLayer::new();
    let compression = compression.compress_when(DefaultPredicate::new().and(is_compressed));
    let panics = app.panics();
    routes::add_all(Router::new(), &app)
        .fallback(console::console)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
        .layer(compression)
        .layer(middleware::from_fn_with_state(panics, shell::shell))
}

async fn method_not_allowed() -> axum::response::Response {
    let detail = "this path has no such method; see /api/v1/openapi.json";
    ApiError::new(Code::MethodNotAllowed, detail).into_response()
}
