//! Where a request goes.

use fluent_uri::{Uri, UriRef};
use pumice_core::ports::HttpError;

/// Longest URL, in bytes.
const MAX_URL: usize = 8192;

/// The parts of a URL that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    url: Uri<String>,
    /// Whether the connection is encrypted.
    pub(super) tls: bool,
    /// The host, an IPv6 address without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// Path and query.
    pub(super) path: String,
}

fn refused(why: impl Into<String>) -> HttpError {
    HttpError::Refused(why.into())
}

impl Target {
    /// Reads a URL (RFC 3986).
    ///
    /// # Errors
    /// [`HttpError::Refused`] saying what is wrong with it. It shows nothing of the URL but scheme and host.
    pub(super) fn parse(url: &str) -> Result<Self, HttpError> {
        if url.len() > MAX_URL {
            return Err(refused(format!("the URL has {} bytes; the limit is {MAX_URL}", url.len())));
        }
        let parsed = Uri::parse(url).map_err(|error| {
            let at = url.get(..error.index()).map_or(0, |before| before.chars().count()) + 1;
            refused(format!(
                "the URL is invalid at character {at}: write it as https://host/path, other characters than ASCII as %XX"
            ))
        })?;
        Self::of(parsed.to_owned())
    }

    fn of(url: Uri<String>) -> Result<Self, HttpError> {
        let scheme = url.scheme().as_str().to_ascii_lowercase();
        let tls = match scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(refused("the URL must begin with http:// or https://")),
        };
        let Some(authority) = url.authority().filter(|authority| !authority.host().is_empty()) else {
            return Err(refused("the URL has no host: write it as https://host/path"));
        };
        if authority.has_userinfo() {
            return Err(refused("the URL has a user name in it: give a header Authorization instead"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.contains('%') {
            return Err(refused("the URL's host has a % in it: write the host in ASCII"));
        }
        let port = authority.port_to_u16().ok().and_then(|port| match port {
            Some(0) => None,
            Some(port) => Some(port),
            None => Some(if tls { 443 } else { 80 }),
        });
        let port = port.ok_or_else(|| refused("the URL's port is not between 1 and 65535"))?;
        let path = if url.path().as_str().is_empty() { "/" } else { url.path().as_str() };
        let query = url.query().map(|query| format!("?{}", query.as_str())).unwrap_or_default();
        let path = format!("{path}{query}");
        Ok(Self { tls, host, port, path, url })
    }

    /// Where a response's `Location` leads (RFC 9110 section 10.2.2).
    ///
    /// # Errors
    /// [`HttpError::Refused`] when a request cannot go there, or when it is not encrypted although this one is.
    pub(super) fn follow(&self, location: &str) -> Result<Self, HttpError> {
        let because =
            |why: &str| refused(format!("{} redirects to a place that is not called: {why}", self.origin()));
        if location.len() > MAX_URL {
            return Err(because("its URL is too long"));
        }
        let reference = UriRef::parse(location).map_err(|_| because("its URL is invalid"))?;
        let resolved = reference
            .resolve_against(&self.url.strip_fragment())
            .map_err(|_| because("its URL is invalid"))?;
        let next = Self::of(resolved).map_err(|error| because(&error.to_string()))?;
        if self.tls && !next.tls {
            return Err(because(&format!("{} is not encrypted", next.origin())));
        }
        Ok(next)
    }

    /// Host and port as the header `Host` has them: the port only where it is not the scheme's.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// Scheme, host and port: what messages show.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_taken_apart() {
        for (url, authority, path, port) in [
            ("http://a", "a", "/", 80),
            ("HTTPS://A.example/x%20y?q=1#part", "a.example", "/x%20y?q=1", 443),
            ("http://[::1]:8080/?", "[::1]:8080", "/?", 8080),
            ("https://a:443/", "a", "/", 443),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.authority().as_str(), target.path.as_str(), target.port),
                (authority, path, port)
            );
        }
    }

    #[test]
    fn url_that_is_wrong_is_refused_without_showing_it() {
        for (url, why) in [
            ("", "the URL is invalid at character 1"),
            ("a/secret", "the URL is invalid at character"),
            ("http://a/secret x", "the URL is invalid at character 16"),
            ("http://ä/secret", "the URL is invalid at character 8"),
            ("http:///secret", "the URL has no host"),
            ("file:///secret", "the URL must begin with http:// or https://"),
            ("ftp://a/secret", "the URL must begin with http:// or https://"),
            ("http://ann:secret@a/", "the URL has a user name in it"),
            ("http://a%2fsecret/", "the URL's host has a % in it"),
            ("http://a:0/secret", "the URL's port is not"),
            ("http://a:65536/secret", "the URL's port is not"),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.starts_with(why) && !error.contains("secret"), "{url}: {error}");
        }
        let long = Target::parse(&format!("http://a/{}", "x".repeat(MAX_URL))).unwrap_err().to_string();
        assert_eq!(long, "the URL has 8201 bytes; the limit is 8192");
    }

    #[test]
    fn redirect_is_resolved_and_never_to_plain_text() {
        let from = Target::parse("https://a/x/y?q#part").unwrap();
        for (location, origin, path) in [
            ("z", "https://a", "/x/z"),
            ("../../z?r", "https://a", "/z?r"),
            ("/z", "https://a", "/z"),
            ("//b:1/z", "https://b:1", "/z"),
            ("https://c/", "https://c", "/"),
        ] {
            let next = from.follow(location).unwrap();
            assert_eq!((next.origin().as_str(), next.path.as_str()), (origin, path));
        }
        for (location, why) in [
            ("http://a/", "http://a is not encrypted"),
            ("file:///etc/passwd", "the URL must begin with http:// or https://"),
            ("a b", "its URL is invalid"),
        ] {
            let error = from.follow(location).unwrap_err().to_string();
            let wanted = format!("https://a redirects to a place that is not called: {why}");
            assert_eq!(error, wanted);
        }
    }
}
