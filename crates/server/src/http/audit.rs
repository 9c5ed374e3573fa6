//! Who changed what.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::AuditRow;
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Query},
    permission::Permission,
    problem::ApiError,
    views::{Timestamp, cut_page, parse_before, parse_limit},
};
use crate::app::{App, Fields};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(crate) struct AuditPageView {
    /// Newest first.
    items: Vec<AuditEntryView>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One change: who did what to what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditEntryView {
    id: u64,
    at: Timestamp,
    #[schema(example = "user ann")]
    actor: String,
    #[schema(example = "target.create")]
    action: String,
    #[schema(example = "target core1.fra")]
    object: String,
    /// As it was; null for something new. Never a secret.
    #[schema(required, value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    /// As it is now; null for something deleted.
    #[schema(required, value_type = Option<Object>)]
    after: Option<serde_json::Value>,
}

impl From<AuditRow> for AuditEntryView {
    fn from(row: AuditRow) -> AuditEntryView {
        AuditEntryView {
            id: row.id,
            at: row.at.into(),
            actor: words(&row.actor_kind, row.actor_id, &row.actor_name),
            action: row.action,
            object: words(&row.object_kind, row.object_id, &row.object_name),
            before: row.before,
            after: row.after,
        }
    }
}

/// Says kind and name, or the id where there is no name.
fn words(kind: &str, id: Option<u32>, name: &str) -> String {
    match (id, name) {
        (Some(id), "") => format!("{kind} {id}"),
        (None, "") => kind.to_owned(),
        (_, name) => format!("{kind} {name}"),
    }
}

/// Who changed what
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "users", params(AuditQuery),
    responses((status = 200, description = "A page", body = AuditPageView))
)]
pub(crate) async fn audit_list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditPageView>, ApiError> {
    let scope = caller.authorize(Permission::AuditRead)?;
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let before = parse_before(&mut fields, query.cursor.as_deref());
    fields.check()?;
    let mut rows = app.audit_list(&scope, before, limit + 1).await?;
    let next_cursor = cut_page(&mut rows, limit, |row| row.id);
    let items = rows.into_iter().map(AuditEntryView::from).collect();
    Ok(Json(AuditPageView { items, next_cursor }))
}
