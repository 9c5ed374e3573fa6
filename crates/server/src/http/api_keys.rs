//! API keys: for programs.

use axum::extract::State;
use http::StatusCode;
use model::{ApiKeyId, Name, Role, UtcMicros};
use serde::{Deserialize, Serialize};
use store::ApiKeyRow;
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::{Json, Path},
    permission::{Permission, permissions},
    problem::ApiError,
    views::{PermissionView, RoleView, Timestamp, parse_role, parse_time},
};
use crate::app::{App, Fields};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeys)]
pub(crate) struct ApiKeysView {
    /// By name.
    items: Vec<ApiKeyView>,
}

/// An API key, but for its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyView {
    id: u32,
    name: String,
    role: RoleView,
    /// What it may do.
    permissions: Vec<PermissionView>,
    created_by: String,
    created_at: Timestamp,
    /// Null: it does not expire.
    #[schema(required)]
    expires_at: Option<Timestamp>,
    #[schema(required)]
    last_used_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyBody)]
pub(crate) struct ApiKeyBody {
    #[schema(example = "grafana")]
    name: String,
    #[schema(value_type = RoleView)]
    role: String,
    /// Some of the role's permissions; all of them if left out.
    #[schema(value_type = Option<Vec<PermissionView>>)]
    permissions: Option<Vec<String>>,
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<String>,
}

/// A new API key with its text, which is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyCreated)]
pub(crate) struct ApiKeyCreatedView {
    #[serde(flatten)]
    api_key: ApiKeyView,
    #[schema(example = "flk_…")]
    key: String,
}

impl From<&ApiKeyRow> for ApiKeyView {
    fn from(row: &ApiKeyRow) -> ApiKeyView {
        let is_held = |permission: &Permission| is_held(row.permissions.as_deref(), *permission);
        let held = permissions(row.role).iter().copied().filter(is_held);
        ApiKeyView {
            id: row.id.0,
            name: row.name.to_string(),
            role: row.role.into(),
            permissions: held.map(PermissionView::from).collect(),
            created_by: row.created_by.clone(),
            created_at: row.created_at.into(),
            expires_at: row.expires_at.map(Timestamp::from),
            last_used_at: row.last_used_at.map(Timestamp::from),
        }
    }
}

/// List API keys
#[utoipa::path(
    get, path = "/api/v1/api-keys", tag = "users",
    responses((status = 200, description = "All of them", body = ApiKeysView))
)]
pub(crate) async fn api_key_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<ApiKeysView>, ApiError> {
    let scope = caller.authorize(Permission::ApiKeyManage)?;
    let rows = app.api_keys(&scope).await?;
    Ok(Json(ApiKeysView { items: rows.iter().map(ApiKeyView::from).collect() }))
}

/// Create an API key
#[utoipa::path(
    post, path = "/api/v1/api-keys", tag = "users",
    request_body = ApiKeyBody,
    responses((status = 201, description = "Created", body = ApiKeyCreatedView))
)]
pub(crate) async fn api_key_create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<ApiKeyBody>,
) -> Result<(StatusCode, Json<ApiKeyCreatedView>), ApiError> {
    let scope = caller.authorize(Permission::ApiKeyManage)?;
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&body.name));
    let role = fields.take("role", parse_role(&body.role));
    let listed = body.permissions.as_deref().map(|listed| parse_listed(listed, role));
    let listed = fields.take_some("permissions", listed);
    // A key that is less than its role must not make one that is more.
    let held = |permission: &&Permission| is_held(listed.as_deref(), **permission);
    let granted = role.map(permissions).unwrap_or_default().iter().filter(held);
    for missing in granted.filter(|permission| !caller.allows(**permission)) {
        fields.refuse("permissions", format!("you have not `{}` yourself", missing.as_str()));
    }
    let expires_at = body.expires_at.as_deref().map(|text| parse_expiry(text, app.now()));
    let expires_at = fields.take_some("expires_at", expires_at);
    fields.check()?;
    let (Some(name), Some(role)) = (name, role) else {
        return Err(fields.error().into());
    };
    let (row, key) = app.api_key_create(&scope, name, role, listed, expires_at).await?;
    Ok((StatusCode::CREATED, Json(ApiKeyCreatedView { api_key: ApiKeyView::from(&row), key })))
}

/// Delete an API key
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{id}", tag = "users", params(("id" = u32, Path)),
    responses((status = 204, description = "Deleted; it is refused from now on"))
)]
pub(crate) async fn api_key_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ApiKeyId>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::ApiKeyManage)?;
    app.api_key_delete(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says whether a key has a permission of its role, by the list that the store keeps; without a
/// list it has all.
pub(crate) fn is_held(listed: Option<&str>, permission: Permission) -> bool {
    listed.is_none_or(|listed| listed.split(',').any(|name| name == permission.as_str()))
}

/// Reads some of a role's permissions as the store keeps them.
fn parse_listed(names: &[String], role: Option<Role>) -> Result<String, String> {
    let mut listed = Vec::new();
    for name in names {
        let permission = Permission::parse(name).ok_or_else(|| format!("`{name}` is not known"))?;
        if let Some(role) = role.filter(|&role| !permissions(role).contains(&permission)) {
            return Err(format!("`{name}` is not one of the role {role}"));
        }
        listed.push(permission.as_str());
    }
    Ok(listed.join(","))
}

fn parse_expiry(text: &str, now: UtcMicros) -> Result<UtcMicros, &'static str> {
    let expires_at = parse_time(text)?;
    if now < expires_at { Ok(expires_at) } else { Err("must be in the future") }
}
