//! Who may sign in.

use axum::extract::State;
use http::StatusCode;
use model::{Name, UserId};
use serde::{Deserialize, Serialize};
use store::{UserPatch, UserRow};
use utoipa::ToSchema;

use super::{
    caller::Caller,
    extract::{Json, Path},
    permission::Permission,
    problem::{ApiError, Code},
    views::{RoleView, Timestamp, parse_role},
};
use crate::app::{App, Fields, password::NewPassword};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Users)]
pub(crate) struct UsersView {
    /// By name.
    items: Vec<UserView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    id: u32,
    name: String,
    role: RoleView,
    /// Cannot sign in.
    is_disabled: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&UserRow> for UserView {
    fn from(row: &UserRow) -> UserView {
        UserView {
            id: row.id.0,
            name: row.name.to_string(),
            role: row.role.into(),
            is_disabled: !row.is_active,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserBody)]
pub(crate) struct UserBody {
    #[schema(example = "ann")]
    name: String,
    #[schema(value_type = RoleView)]
    role: String,
    /// At least 12 characters.
    #[schema(min_length = 12)]
    password: String,
}

/// What to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserPatch)]
pub(crate) struct UserPatchBody {
    name: Option<String>,
    #[schema(value_type = Option<RoleView>)]
    role: Option<String>,
    /// At least 12 characters. All sessions of the user end.
    #[schema(min_length = 12)]
    password: Option<String>,
    is_disabled: Option<bool>,
}

/// A new password. It is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = PasswordReset)]
pub(crate) struct PasswordResetView {
    password: String,
}

/// List users
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users",
    responses((status = 200, description = "All of them", body = UsersView))
)]
pub(crate) async fn user_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<UsersView>, ApiError> {
    let scope = caller.authorize(Permission::UserManage)?;
    let rows = app.users(&scope).await?;
    Ok(Json(UsersView { items: rows.iter().map(UserView::from).collect() }))
}

/// Create a user
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users",
    request_body = UserBody,
    responses((status = 201, description = "Created", body = UserView))
)]
pub(crate) async fn user_create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<UserBody>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    let scope = caller.authorize(Permission::UserManage)?;
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&body.name));
    let role = fields.take("role", parse_role(&body.role));
    let password = fields.take("password", NewPassword::parse(&body.password));
    let (Some(name), Some(role), Some(password)) = (name, role, password) else {
        return Err(fields.error().into());
    };
    caller.authorize_role(role)?;
    let row = app.user_create(&scope, name, role, password).await?;
    Ok((StatusCode::CREATED, Json(UserView::from(&row))))
}

/// Change a user
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", tag = "users", params(("id" = u32, Path)),
    request_body = UserPatchBody,
    responses((status = 200, description = "As it is now", body = UserView))
)]
pub(crate) async fn user_update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(body): Json<UserPatchBody>,
) -> Result<Json<UserView>, ApiError> {
    let scope = caller.authorize(Permission::UserManage)?;
    let mut fields = Fields::default();
    let password = body.password.as_deref().map(NewPassword::parse);
    let password = fields.take_some("password", password);
    let patch = UserPatch {
        name: fields.take_some("name", body.name.as_deref().map(Name::parse)),
        role: fields.take_some("role", body.role.as_deref().map(parse_role)),
        is_active: body.is_disabled.map(|is_disabled| !is_disabled),
    };
    fields.check()?;
    caller.authorize_role(app.user(&scope, id).await?.role)?;
    if let Some(role) = patch.role {
        caller.authorize_role(role)?;
    }
    let row = app.user_update(&scope, id, &patch, password).await?;
    Ok(Json(UserView::from(&row)))
}

/// Give a user a new password
///
/// The server makes it and shows it once; all sessions of the user end. One's own password is
/// changed by `PUT /api/v1/session/password`.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/password", tag = "users", params(("id" = u32, Path)),
    responses((status = 200, description = "Shown once", body = PasswordResetView))
)]
pub(crate) async fn user_reset_password(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<PasswordResetView>, ApiError> {
    let scope = caller.authorize(Permission::UserManage)?;
    if caller.user_id() == Some(id) {
        return Err(ApiError::new(Code::Conflict, "this is you: change your own password instead"));
    }
    caller.authorize_role(app.user(&scope, id).await?.role)?;
    let password = app.user_reset_password(&scope, id).await?;
    Ok(Json(PasswordResetView { password }))
}

/// Delete a user
///
/// Their sessions end. Nobody deletes themselves, and not the last admin.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}", tag = "users", params(("id" = u32, Path)),
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn user_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::UserManage)?;
    if caller.user_id() == Some(id) {
        return Err(ApiError::new(Code::Conflict, "you cannot delete yourself; another admin can"));
    }
    caller.authorize_role(app.user(&scope, id).await?.role)?;
    app.user_delete(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
