//! The table of routes: every route with what its caller must be allowed to do.
//!
//! Path, method and documentation come from the handler's own `utoipa::path`; who may call it is
//! said here and nowhere else. A handler that is not in the table is not reachable, and there is
//! no way into the table without an [`Access`].

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::MethodRouter};
use http::Method;
use utoipa::openapi::{
    RefOr, Schema,
    path::{HttpMethod, Paths},
};
use utoipa_axum::routes;

use super::{
    agent_metrics, agents, api_keys, audit, backup, caller, desk, diagnosis, facts, health,
    histories, import, incidents, live, maintenance, map, openapi, overview,
    permission::Permission, plan, probes, prom, rounds, session, summary, targets, tiers, topology,
    traced_paths, traces, users, webhooks, whatif,
};
use crate::app::App;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone, without signing in.
    Public,
    /// Every person who signed in, for what is theirs; no API key.
    Person,
    /// Whoever has the permission.
    Needs(Permission),
    /// As [`Access::Needs`], and whoever asks from the server's own machine, without signing in.
    LocalOr(Permission),
}

/// A form has a few fields; the longest is a note.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The facts of one request at some 500 bytes each.
const FACTS_BODY_BYTES_MAX: usize = 512 * 1024;
/// The rows of the largest import at some 160 bytes each.
const IMPORT_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The parts of the largest topology at some 300 bytes each.
const TOPOLOGY_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One path with one method.
pub(crate) struct Route {
    pub(crate) access: Access,
    pub(crate) paths: Paths,
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    body_bytes_max: usize,
    /// Whether only a demo has it.
    pub(crate) is_of_demo: bool,
    handler: MethodRouter<App>,
}

macro_rules! route {
    ($handler:path, $access:expr) => {{
        let (schemas, paths, handler) = routes!($handler);
        let (access, body_bytes_max, is_of_demo) = ($access, BODY_BYTES_MAX, false);
        Route { access, paths, schemas, body_bytes_max, is_of_demo, handler }
    }};
}

/// Returns every route there is.
pub(crate) fn table() -> Vec<Route> {
    use Access::{Needs, Person, Public};
    use Permission as P;
    let import = route!(import::target_import, Needs(P::TargetWrite));
    let mut all = vec![
        route!(session::session_create, Public),
        route!(session::session_get, Person),
        route!(session::session_delete, Person),
        route!(session::password_change, Person),
        route!(overview::overview_get, Needs(P::TargetRead)),
        route!(targets::target_list, Needs(P::TargetRead)),
        route!(targets::target_create, Needs(P::TargetWrite)),
        Route { body_bytes_max: IMPORT_BODY_BYTES_MAX, ..import },
        route!(targets::target_get, Needs(P::TargetRead)),
        route!(targets::target_update, Needs(P::TargetWrite)),
        route!(targets::target_delete, Needs(P::TargetWrite)),
        route!(targets::target_status, Needs(P::TargetRead)),
        route!(rounds::target_history, Needs(P::TargetRead)),
        route!(summary::target_summary, Needs(P::TargetRead)),
        route!(histories::history_list, Needs(P::TargetRead)),
        route!(rounds::target_rounds, Needs(P::TargetRead)),
        route!(rounds::target_changes, Needs(P::TargetRead)),
        route!(live::live, Needs(P::TargetRead)),
        route!(tiers::tier_list, Needs(P::TierRead)),
        route!(tiers::tier_create, Needs(P::TierWrite)),
        route!(tiers::tier_get, Needs(P::TierRead)),
        route!(tiers::tier_update, Needs(P::TierWrite)),
        route!(tiers::tier_delete, Needs(P::TierWrite)),
        route!(plan::plan_get, Needs(P::TierRead)),
        route!(agents::agent_list, Needs(P::AgentRead)),
        route!(agents::agent_create, Needs(P::AgentWrite)),
        route!(agents::agent_get, Needs(P::AgentRead)),
        route!(agent_metrics::agent_metrics, Needs(P::AgentRead)),
        route!(agents::agent_update, Needs(P::AgentWrite)),
        route!(agents::agent_delete, Needs(P::AgentWrite)),
        route!(agents::agent_token, Needs(P::AgentWrite)),
        route!(agents::agent_revoke, Needs(P::AgentWrite)),
        route!(health::health_get, Needs(P::HealthRead)),
        route!(users::user_list, Needs(P::UserManage)),
        route!(users::user_create, Needs(P::UserManage)),
        route!(users::user_update, Needs(P::UserManage)),
        route!(users::user_reset_password, Needs(P::UserManage)),
        route!(users::user_delete, Needs(P::UserManage)),
        route!(api_keys::api_key_list, Needs(P::ApiKeyManage)),
        route!(api_keys::api_key_create, Needs(P::ApiKeyManage)),
        route!(api_keys::api_key_delete, Needs(P::ApiKeyManage)),
        route!(audit::audit_list, Needs(P::AuditRead)),
        route!(backup::backup_create, Needs(P::BackupCreate)),
    ];
    all.extend(network());
    all.extend(described());
    all.extend(incidents());
    all.extend(facts());
    all.extend(traces().into_iter().chain(maintenance()));
    all.extend(webhooks());
    all.extend(prometheus());
    all.extend(demo());
    all
}

/// What breaks the demo's network: no other server has it.
fn demo() -> Vec<Route> {
    let read = Access::Needs(Permission::TopologyRead);
    let write = Access::Needs(Permission::TopologyWrite);
    let all = [
        route!(desk::desk_get, read),
        route!(desk::fault_begin, write),
        route!(desk::fault_mend_all, write),
        route!(desk::fault_mend, write),
    ];
    all.map(|route| Route { is_of_demo: true, ..route }).into()
}

/// The topology, and what follows from it.
fn network() -> Vec<Route> {
    use Access::Needs;
    use Permission as P;
    let topology = route!(topology::topology_import, Needs(P::TopologyWrite));
    vec![
        route!(topology::topology_get, Needs(P::TopologyRead)),
        route!(topology::topology_check, Needs(P::TopologyRead)),
        route!(topology::topology_export, Needs(P::TopologyRead)),
        Route { body_bytes_max: TOPOLOGY_BODY_BYTES_MAX, ..topology },
        route!(topology::topology_element_get, Needs(P::TopologyRead)),
        route!(topology::topology_element_set, Needs(P::TopologyWrite)),
        route!(topology::topology_element_delete, Needs(P::TopologyWrite)),
        route!(topology::topology_target_set, Needs(P::TopologyWrite)),
        route!(topology::topology_target_delete, Needs(P::TopologyWrite)),
        route!(whatif::what_if_get, Needs(P::TopologyRead)),
        route!(whatif::single_points_get, Needs(P::TopologyRead)),
        route!(map::map_get, Needs(P::TopologyRead)),
        route!(map::map_targets, Needs(P::TargetRead)),
        route!(diagnosis::paths_get, Needs(P::TopologyRead)),
        route!(diagnosis::diagnosis_get, Needs(P::TopologyRead)),
    ]
}

/// What the server says of itself, also to programs that do not sign in.
fn described() -> Vec<Route> {
    vec![
        route!(openapi::openapi_get, Access::Public),
        route!(openapi::openapi_file, Access::Public),
        route!(openapi::message_schema_get, Access::Public),
        route!(probes::healthz, Access::Public),
        route!(probes::readyz, Access::Public),
        route!(probes::metrics, Access::LocalOr(Permission::HealthRead)),
    ]
}

/// What is the matter, and who does what about it.
fn incidents() -> Vec<Route> {
    let read = Access::Needs(Permission::IncidentRead);
    let manage = Access::Needs(Permission::IncidentManage);
    vec![
        route!(incidents::incident_list, read),
        route!(incidents::incident_assignees, manage),
        route!(incidents::incident_get, read),
        route!(incidents::incident_revisions, read),
        route!(incidents::incident_case, read),
        route!(incidents::incident_report, read),
        route!(incidents::incident_acknowledge, manage),
        route!(incidents::incident_unacknowledge, manage),
        route!(incidents::incident_assign, manage),
        route!(incidents::incident_comment, manage),
        route!(incidents::incident_close, manage),
        route!(incidents::incident_reopen, manage),
    ]
}

/// What devices reported.
fn facts() -> Vec<Route> {
    let send = route!(facts::fact_send, Access::Needs(Permission::FactWrite));
    vec![
        Route { body_bytes_max: FACTS_BODY_BYTES_MAX, ..send },
        route!(facts::fact_list, Access::Needs(Permission::FactRead)),
    ]
}

/// The ways from agents to targets.
fn traces() -> Vec<Route> {
    let read = Access::Needs(Permission::TraceRead);
    let run = Access::Needs(Permission::TraceRun);
    vec![
        route!(traces::trace_list, read),
        route!(traces::trace_run, run),
        route!(traces::trace_get, read),
        route!(traces::trace_cancel, run),
        route!(traced_paths::traced_paths, read),
    ]
}

/// When somebody works on what.
fn maintenance() -> Vec<Route> {
    let read = Access::Needs(Permission::MaintenanceRead);
    let write = Access::Needs(Permission::MaintenanceWrite);
    vec![
        route!(maintenance::maintenance_list, read),
        route!(maintenance::maintenance_create, write),
        route!(maintenance::maintenance_preview, read),
        route!(maintenance::maintenance_get, read),
        route!(maintenance::maintenance_update, write),
        route!(maintenance::maintenance_reach, read),
        route!(maintenance::maintenance_cancel, write),
        route!(maintenance::maintenance_end, write),
        route!(maintenance::maintenance_extend, write),
        route!(maintenance::target_maintenance, read),
    ]
}

/// Where messages go, and what became of them.
fn webhooks() -> Vec<Route> {
    let manage = Access::Needs(Permission::WebhookManage);
    vec![
        route!(webhooks::webhook_list, manage),
        route!(webhooks::webhook_create, manage),
        route!(webhooks::webhook_get, manage),
        route!(webhooks::webhook_update, manage),
        route!(webhooks::webhook_delete, manage),
        route!(webhooks::webhook_secret, manage),
        route!(webhooks::webhook_test, manage),
        route!(webhooks::delivery_list, manage),
        route!(webhooks::delivery_get, manage),
        route!(webhooks::delivery_resend, manage),
    ]
}

/// Prometheus's own paths, below one of ours.
fn prometheus() -> Vec<Route> {
    let read = Access::Needs(Permission::TargetRead);
    vec![
        route!(prom::prom_query, read),
        route!(prom::prom_query_post, read),
        route!(prom::prom_query_range, read),
        route!(prom::prom_query_range_post, read),
        route!(prom::prom_series, read),
        route!(prom::prom_series_post, read),
        route!(prom::prom_labels, read),
        route!(prom::prom_labels_post, read),
        route!(prom::prom_label_values, read),
        route!(prom::prom_metadata, read),
        route!(prom::prom_buildinfo, read),
    ]
}

/// Returns method, path and access of every route.
pub fn catalogue() -> Vec<(Method, String, Access)> {
    let mut all = Vec::new();
    for route in table() {
        for (path, item) in &route.paths.paths {
            for method in openapi::methods(item) {
                all.push((plain_method(&method), path.clone(), route.access));
            }
        }
    }
    all
}

fn plain_method(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Options => Method::OPTIONS,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Trace => Method::TRACE,
    }
}

/// Puts every route that this server has behind its gate.
pub(crate) fn add_all(router: Router<App>, app: &App) -> Router<App> {
    let has = |route: &Route| !route.is_of_demo || app.has_desk();
    table().into_iter().filter(has).fold(router, |router, route| {
        let path = route.paths.paths.keys().next().cloned().unwrap_or_default();
        let gate = middleware::from_fn_with_state((app.clone(), route.access), caller::gate);
        let handler = route
            .handler
            .route_layer(DefaultBodyLimit::max(route.body_bytes_max))
            .route_layer(gate);
        router.route(&path, handler)
    })
}
