//! What comes over HTTP, as far as the server parses it itself.

pub(crate) fn csv_import(bytes: &[u8]) -> bool {
    server::fuzz::csv_import(bytes)
}

pub(crate) fn json_import(bytes: &[u8]) -> bool {
    server::fuzz::json_import(bytes)
}

pub(crate) fn headers(bytes: &[u8]) -> bool {
    server::fuzz::headers(bytes)
}
