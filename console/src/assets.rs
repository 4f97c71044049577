//! The files that pages need, kept in the program.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::answer::Fault;

/// A file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset {
        name: "console.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("../assets/console.css"),
    },
    Asset {
        name: "console.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../assets/console.js"),
    },
    Asset {
        name: "idiomorph.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../assets/vendor/idiomorph/idiomorph.min.js"),
    },
    Asset { name: "icon.svg", kind: "image/svg+xml", text: include_str!("../assets/icon.svg") },
];

/// The stylesheet, for a document that stands alone.
pub(crate) const STYLE: &str = ASSETS[0].text;

/// Distinguishes a version of a file from others.
fn mark(text: &str) -> String {
    let mut mark = Uuid::from_u128(fingerprint(text)).simple().to_string();
    mark.truncate(12);
    mark
}

/// A hash of a file (FNV-1a, 128 bits): it distinguishes versions, and protects nothing.
const fn fingerprint(text: &str) -> u128 {
    let (bytes, mut hash, mut at) = (text.as_bytes(), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u128).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B);
        at += 1;
    }
    hash
}

/// The URL of a file, which changes with it.
pub(crate) fn url(name: &str) -> String {
    let text = ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.text);
    format!("/assets/{name}?v={}", mark(text))
}

/// The file of a name. Nothing but the names of the table is looked up.
pub(crate) fn serve(name: &str, headers: &HeaderMap) -> Result<Response, Fault> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "no such file"))?;
    // Weak: compressed it has the same one.
    let tag = format!("W/\"{}\"", mark(asset.text));
    let mut response =
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Response::new(Body::from(asset.text))
        };
    let given = response.headers_mut();
    given.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    given.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        given.insert(header::ETAG, tag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_known_by_its_name_alone() {
        for asset in &ASSETS {
            let response = serve(asset.name, &HeaderMap::new()).unwrap();
            let tag = response.headers()[header::ETAG].clone();
            let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
            assert_eq!(serve(asset.name, &known).unwrap().status(), 304);
        }
        for name in ["", "..", "../Cargo.toml", "console.css/", "CONSOLE.CSS", "/etc/passwd"] {
            assert!(serve(name, &HeaderMap::new()).is_err_and(|fault| fault.status == 404), "{name}");
        }
    }

    #[test]
    fn scripts_are_small() {
        let own = ASSETS.iter().find(|one| one.name == "console.js").unwrap();
        assert!(own.text.len() <= 20 * 1024, "{}", own.text.len());
        assert!(STYLE.len() <= 24 * 1024, "{}", STYLE.len());
    }

    #[test]
    fn url_changes_with_the_file() {
        assert!(url("console.css").starts_with("/assets/console.css?v="));
        assert_ne!(mark("a"), mark("b"));
    }
}
