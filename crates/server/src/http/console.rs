//! The console: the files of `ui/dist`, compiled into the program.
//!
//! It renders nothing; the page talks to the API like any other client.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    http::Uri,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{
    packed::Packed,
    problem::{ApiError, Code},
};

/// The folder exists even without a built console: `build.rs` sees to that.
#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
struct Files;

const INDEX: &str = "index.html";
/// The build puts a hash of the content into the names of the files here.
const HASHED_FOLDER: &str = "assets/";
const NOT_BUILT: &str = "the console is not built: cargo xtask up builds it\n";

/// Answers everything that no route answers: a file, or the console's page, which routes itself.
pub(crate) async fn console(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    // Whoever asks for these is a program, and would take the console's page for an answer.
    if matches!(path.split('/').next(), Some("api" | "openapi")) {
        return ApiError::new(Code::NotFound, "there is no such route; see /api/v1/openapi.json")
            .into_response();
    }
    if let Some(file) = Files::get(path) {
        return answer(path, &file, &headers);
    }
    if path.starts_with(HASHED_FOLDER) {
        return ApiError::new(Code::NotFound, "there is no such file").into_response();
    }
    match Files::get(INDEX) {
        Some(file) => answer(INDEX, &file, &headers),
        None => (StatusCode::OK, NOT_BUILT).into_response(),
    }
}

/// The content of an embedded file. They are few and do not change while the program runs.
fn packed(path: &str, file: &EmbeddedFile) -> Arc<Packed> {
    static PACKED: Mutex<BTreeMap<String, Arc<Packed>>> = Mutex::new(BTreeMap::new());
    let mut all = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let made = || Arc::new(Packed::new(file.data.to_vec()));
    Arc::clone(all.entry(path.to_owned()).or_insert_with(made))
}

fn answer(path: &str, file: &EmbeddedFile, asked: &HeaderMap) -> Response {
    let is_hashed = path.starts_with(HASHED_FOLDER);
    let caching = if is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let hash = file.metadata.sha256_hash();
    let tag: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    // Weak: a compressed answer has other bytes and the same meaning.
    let tag = format!("W/\"{tag}\"");
    let is_known = asked.get(IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        packed(path, file).answer(asked)
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(kind) = HeaderValue::from_str(file.metadata.mimetype()) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}
