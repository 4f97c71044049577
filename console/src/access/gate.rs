//! The gate: what every request must be before anything else looks at it. Pure rules.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use pumice_core::text::quoted;

/// Names of query parameters in which tokens are wont to travel; only the login link has one.
const TOKEN_NAMES: [&str; 5] = ["token", "access_token", "api_key", "key_token", "bearer"];

/// A URL by which browsers reach the console: scheme and host, with the port where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    is_secure: bool,
    host: String,
}

/// A text that is not such a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a URL of the console: give scheme and host, as in https://pumice.example.org")]
pub struct BadUrl(String);

impl PublicUrl {
    /// Whether it is reached by TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    fn origin(&self) -> String {
        format!("{}://{}", if self.is_secure { "https" } else { "http" }, self.host)
    }
}

impl FromStr for PublicUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadUrl(quoted(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let is_secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host_byte) {
            return Err(bad());
        }
        Ok(Self { is_secure, host })
    }
}

/// The names under which the console answers, exactly as a `Host` header has them, and the origins of its pages.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    hosts: BTreeSet<String>,
    origins: BTreeSet<String>,
}

impl Hosts {
    /// The names of a server that listens at an address and is reached by URLs besides.
    pub(crate) fn new(listen: SocketAddr, urls: &[PublicUrl]) -> Self {
        let port = listen.port();
        let mut names = Vec::new();
        if listen.ip().is_loopback() {
            names.extend(["127.0.0.1".to_owned(), "localhost".to_owned(), "[::1]".to_owned()]);
        }
        // Loopback has many addresses: the link that is printed has the one that it listens at.
        if !listen.ip().is_unspecified() {
            names.push(match listen.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            });
        }
        let own = names.into_iter().map(|name| match port {
            80 => name,
            port => format!("{name}:{port}"),
        });
        let own: Vec<String> = own.collect();
        let origins = own.iter().map(|host| format!("http://{host}"));
        Self {
            origins: origins.chain(urls.iter().map(PublicUrl::origin)).collect(),
            hosts: own.into_iter().chain(urls.iter().map(|url| url.host.clone())).collect(),
        }
    }

    /// Whether there is a name at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// Why a request is turned away before anything looks at what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// Why: a lower-case fragment.
    pub(crate) why: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, why: &'static str) -> Self {
        Self { status, why }
    }
}

/// The parts of a request that the gate has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It only asks.
    Read,
    /// It wants something changed, and a page of the console sent it.
    OwnWrite,
    /// It wants something changed, and only a bearer token can vouch for it.
    ForeignWrite,
}

/// Looks at a request's head.
///
/// The list of hosts stops pages of other sites that have their name point here (DNS rebinding): a browser takes them for
/// the same origin, and only the `Host` header shows it. `Sec-Fetch-Site`, which pages cannot set, names the site that sent a
/// write; browsers without it send `Origin`.
///
/// # Errors
/// [`Refusal`] when the request is not for this server, or of a form that it does not take.
pub(crate) fn look(
    hosts: &Hosts,
    max_url: usize,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
) -> Result<Seen, Refusal> {
    let length = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if length > max_url {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "the URL is too long"));
    }
    let misdirected =
        Refusal::new(StatusCode::MISDIRECTED_REQUEST, "this console does not answer under that host name");
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().map_err(|_| misdirected)?.to_ascii_lowercase(),
        _ => return Err(Refusal::new(StatusCode::BAD_REQUEST, "a request has one Host header")),
    };
    let is_ours = |host: &str| hosts.hosts.contains(&host.to_ascii_lowercase());
    if !is_ours(&host) || uri.authority().is_some_and(|authority| !is_ours(authority.as_str())) {
        return Err(misdirected);
    }
    if uri.path() != "/login" && holds_token(uri) {
        let why = "tokens do not belong into URLs, which are logged: send it as Authorization: Bearer";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
    }
    match *method {
        Method::GET | Method::HEAD => Ok(Seen::Read),
        Method::POST if is_from_own_page(hosts, headers) => Ok(Seen::OwnWrite),
        Method::POST => Ok(Seen::ForeignWrite),
        _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST are known")),
    }
}

fn holds_token(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query).any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        TOKEN_NAMES.contains(&name.as_str())
    })
}

/// Whether a page of the console sent a write.
fn is_from_own_page(hosts: &Hosts, headers: &HeaderMap) -> bool {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(|text| Some(text.to_ascii_lowercase())).map_err(|_| ()),
            _ => Err(()),
        }
    };
    let (Ok(site), Ok(origin)) = (one("sec-fetch-site"), one("origin")) else { return false };
    let is_own_origin = |origin: &String| hosts.origins.contains(origin);
    match (site.as_deref(), &origin) {
        (Some("same-origin"), None) => true,
        // A form of a page that sends no referrer has this origin (Fetch, append a request Origin header).
        (Some("same-origin"), Some(origin)) if origin == "null" => true,
        (Some("same-origin") | None, Some(origin)) => is_own_origin(origin),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str, urls: &[&str]) -> Hosts {
        let urls: Vec<PublicUrl> = urls.iter().map(|url| url.parse().unwrap()).collect();
        Hosts::new(listen.parse().unwrap(), &urls)
    }

    fn seen(hosts: &Hosts, method: Method, uri: &str, headers: &[(&str, &str)]) -> Result<Seen, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let uri: Uri = uri.parse().unwrap();
        look(hosts, 100, (&method, &uri, &map)).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn host_that_is_not_listed_is_misdirected() {
        let local = hosts("127.0.0.1:8377", &["https://pumice.example.org"]);
        let public = hosts("10.0.0.5:80", &[]);
        for (hosts, host, allowed) in [
            (&local, "127.0.0.1:8377", true),
            (&local, "localhost:8377", true),
            (&local, "LocalHost:8377", true),
            (&local, "[::1]:8377", true),
            (&local, "pumice.example.org", true),
            (&local, "localhost", false),
            (&local, "localhost:8378", false),
            (&local, "evil.example:8377", false),
            (&local, "localhost.evil.example:8377", false),
            (&local, "127.0.0.1.nip.io:8377", false),
            (&local, "pumice.example.org:8377", false),
            (&local, "user@localhost:8377", false),
            (&local, "localhost:8377.", false),
            (&public, "10.0.0.5", true),
            (&public, "localhost", false),
        ] {
            let found = seen(hosts, Method::GET, "/", &[("host", host)]);
            assert_eq!(found, if allowed { Ok(Seen::Read) } else { Err(421) }, "{host}");
        }
        assert_eq!(seen(&local, Method::GET, "/", &[]), Err(400));
        let two = [("host", "localhost:8377"), ("host", "evil.example")];
        assert_eq!(seen(&local, Method::GET, "/", &two), Err(400));
        let absolute = "http://evil.example/";
        assert_eq!(seen(&local, Method::GET, absolute, &two[..1]), Err(421));
        assert!(hosts("0.0.0.0:8377", &[]).is_empty());
        for (listen, other) in [("127.0.0.2:8377", "127.0.0.3:8377"), ("127.9.9.9:8377", "127.0.0.2:8377")] {
            let hosts = hosts(listen, &[]);
            for (host, expected) in
                [(listen, Ok(Seen::Read)), ("localhost:8377", Ok(Seen::Read)), (other, Err(421))]
            {
                assert_eq!(seen(&hosts, Method::GET, "/", &[("host", host)]), expected, "{listen}: {host}");
            }
            let own = format!("http://{listen}");
            let write = [("host", listen), ("origin", own.as_str())];
            assert_eq!(seen(&hosts, Method::POST, "/logout", &write), Ok(Seen::OwnWrite), "{listen}");
        }
    }

    #[test]
    fn write_is_own_only_when_the_browser_says_so() {
        let hosts = hosts("127.0.0.1:8377", &["https://pumice.example.org"]);
        for (headers, own) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8377")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("origin", "http://localhost:8377")], true),
            (&[("origin", "https://pumice.example.org")], true),
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://pumice.example.org")], false),
            (&[("origin", "http://127.0.0.1:8378")], false),
            (&[("origin", "http://evil.example")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "null")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8377")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
        ] {
            let all = [&[("host", "127.0.0.1:8377")], headers].concat();
            let found = seen(&hosts, Method::POST, "/run/cancel", &all);
            assert_eq!(found, Ok(if own { Seen::OwnWrite } else { Seen::ForeignWrite }), "{headers:?}");
        }
    }

    #[test]
    fn request_of_another_form_is_refused() {
        let hosts = hosts("127.0.0.1:8377", &[]);
        let host = [("host", "127.0.0.1:8377")];
        let long = format!("/?q={}", "x".repeat(100));
        for (method, uri, status) in [
            (Method::GET, long.as_str(), 414),
            (Method::PUT, "/", 405),
            (Method::DELETE, "/", 405),
            (Method::OPTIONS, "/", 405),
            (Method::GET, "/runs?token=x", 400),
            (Method::GET, "/runs?Access_Token=x", 400),
            (Method::POST, "/api/v1/dispatch?%74oken=x", 400),
        ] {
            assert_eq!(seen(&hosts, method, uri, &host), Err(status), "{uri}");
        }
        assert_eq!(seen(&hosts, Method::GET, "/login?token=x", &host), Ok(Seen::Read));
    }

    #[test]
    fn public_url_is_a_scheme_and_a_host() {
        for bad in
            ["", "pumice.example.org", "ftp://x", "http://", "https://a/b", "https://u@a", "https://a?b"]
        {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
        let url: PublicUrl = "https://Pumice.Example.org/".parse().unwrap();
        assert_eq!((url.origin().as_str(), url.is_secure()), ("https://pumice.example.org", true));
    }
}
