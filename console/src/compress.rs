//! Answers are sent compressed to clients that accept it.

use std::io::Write as _;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The sizes of what is compressed, in bytes: less gains nothing, and more would keep the others waiting.
const SIZES: std::ops::RangeInclusive<u64> = 1_024..=4 * 1024 * 1024;
/// Up to how many bytes are compressed thoroughly, as every page is.
const THOROUGHLY: u64 = 1024 * 1024;
/// What compresses well.
const KINDS: [&str; 7] = [
    "text/html",
    "application/json",
    "application/problem+json",
    "text/plain",
    "text/css",
    "text/javascript",
    "image/svg+xml",
];

/// Whether a client accepts gzip.
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let is_none = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_none
    })
}

/// An answer whose body is whole, compressed. Streams stay as they are, and so does what has a strong tag: it is that of its
/// bytes. A weak one is that of what they say (RFC 9110, 8.8.1).
pub(crate) async fn compressed(mut response: Response) -> Response {
    let headers = response.headers();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_kind = KINDS.iter().any(|one| kind.starts_with(one));
    let size = response.body().size_hint().exact().filter(|size| SIZES.contains(size));
    let is_of_bytes = headers.get(header::ETAG).is_some_and(|tag| !tag.as_bytes().starts_with(b"W/"));
    let (true, false, Some(size)) = (is_kind, is_of_bytes, size) else {
        return response;
    };
    let body = std::mem::take(response.body_mut());
    // A body of known size is in memory: neither reading nor writing it fails.
    let Ok(bytes) = to_bytes(body, usize::try_from(size).unwrap_or(usize::MAX)).await else {
        return response;
    };
    let level = if size <= THOROUGHLY { Compression::default() } else { Compression::fast() };
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    match encoder.write_all(&bytes).and_then(|()| encoder.finish()) {
        Ok(packed) => {
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            *response.body_mut() = Body::from(packed);
        }
        Err(_) => *response.body_mut() = Body::from(bytes),
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_where_it_is_accepted() {
        for (text, accepted) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, br", false),
            ("br", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, text.parse().unwrap())]);
            assert_eq!(is_accepted(&headers), accepted, "{text}");
        }
    }
}
