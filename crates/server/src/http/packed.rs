//! What is the same for everybody, compressed once: anyone may ask for it, and must not make the
//! server work each time.

use std::io::Write as _;

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};

/// Content in the forms in which it is sent.
#[derive(Debug)]
pub(super) struct Packed {
    plain: Bytes,
    /// `None` if it would not be smaller.
    gzip: Option<Bytes>,
}

impl Packed {
    pub(super) fn new(plain: impl Into<Bytes>) -> Packed {
        let plain = plain.into();
        let gzip = gzip(&plain).ok().filter(|gzip| gzip.len() < plain.len()).map(Bytes::from);
        Packed { plain, gzip }
    }

    /// Answers in a form that the asker takes; the caller says what kind of content it is.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let Some(gzip) = self.gzip.as_ref().filter(|_| takes_gzip(asked)) else {
            return ([(VARY, ACCEPT_ENCODING.as_str())], self.plain.clone()).into_response();
        };
        let headers = [(VARY, ACCEPT_ENCODING.as_str()), (CONTENT_ENCODING, "gzip")];
        (headers, gzip.clone()).into_response()
    }
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Whether gzip is named and not refused by a weight of nothing.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(ACCEPT_ENCODING).iter().map(HeaderValue::to_str);
    lists.flatten().flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| 0.0 < weight)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: Option<&'static str>, coding: Option<&str>) {
        let packed = Packed::new("a ".repeat(1_000));
        let mut headers = HeaderMap::new();
        headers.extend(asked.map(|asked| (ACCEPT_ENCODING, HeaderValue::from_static(asked))));
        let answer = packed.answer(&headers);
        let found = answer.headers().get(CONTENT_ENCODING).map(|coding| coding.to_str().unwrap());
        assert_eq!(found, coding, "{asked:?}");
    }

    #[test]
    fn it_is_compressed_for_whoever_takes_it() {
        check(None, None);
        check(Some("br, gzip;q=0.5"), Some("gzip"));
        check(Some("gzip;q=0"), None);
        check(Some("identity"), None);
        assert!(Packed::new("short").gzip.is_none());
    }
}
