//! Everything of this server in one file.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};

use super::{caller::Caller, permission::Permission, problem::ApiError};
use crate::app::{App, backup::MEDIA_TYPE};

/// Makes a backup and sends it
///
/// One archive of everything as of now, sent while it is made; a connection that breaks off leaves
/// no archive, and `faultline verify` says so. Secrets in it are sealed under the master key, which
/// is not in it. One at a time.
#[utoipa::path(
    post, path = "/api/v1/backup", tag = "server",
    responses((
        status = 200, description = "The archive", body = String, content_type = "application/zstd"
    ))
)]
pub(crate) async fn backup_create(
    State(app): State<App>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let scope = caller.authorize(Permission::BackupCreate)?;
    let backup = app.backup_stream(&scope).await?;
    let mut response = Body::from_stream(backup.chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    let disposition = format!("attachment; filename=\"{}\"", backup.name);
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}
