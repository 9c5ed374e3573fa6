//! The console: the files of `ui/dist`, compiled into the program.
//!
//! It renders nothing; the page talks to the API like any other client.

use axum::{
    http::Uri,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::{ApiError, Code};

/// The folder exists even without a built console: `build.rs` sees to that.
#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
struct Files;

const INDEX: &str = "index.html";
/// The build puts a hash of the content into the names of the files here.
const HASHED_FOLDER: &str = "assets/";
const NOT_BUILT: &str = "the console is not built: cargo xtask up builds it\n";

/// Answers everything that no route answers: a file, or the console's page, which routes itself.
pub(crate) async fn console(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return ApiError::new(Code::NotFound, "there is no such route; see /api/v1/openapi.json")
            .into_response();
    }
    if let Some(file) = Files::get(path) {
        return answer(path, &file);
    }
    if path.starts_with(HASHED_FOLDER) {
        return ApiError::new(Code::NotFound, "there is no such file").into_response();
    }
    match Files::get(INDEX) {
        Some(file) => answer(INDEX, &file),
        None => (StatusCode::OK, NOT_BUILT).into_response(),
    }
}

fn answer(path: &str, file: &EmbeddedFile) -> Response {
    let caching =
        if path.starts_with(HASHED_FOLDER) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = file.data.to_vec().into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(kind) = HeaderValue::from_str(file.metadata.mimetype()) {
        headers.insert(CONTENT_TYPE, kind);
    }
    let hash: String = file.metadata.sha256_hash().iter().map(|b| format!("{b:02x}")).collect();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(ETAG, tag);
    }
    response
}
