//! Names that an authenticating proxy sends: taken from the proxies that are named, refused from everything else.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use pumice_core::text::{acts, quoted};

use super::gate::Refusal;
use super::login::{Caller, LINK_NAME};
use super::role::Role;

/// Longest name of a user, in characters.
const MAX_NAME: usize = 200;
/// Headers that mean something else already, which browsers and HTTP itself send.
const TAKEN: [&str; 14] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "idempotency-key",
    "if-match",
    "origin",
    "referer",
    "te",
    "transfer-encoding",
    "user-agent",
];
/// Beginnings of names of headers, likewise.
const TAKEN_BEGINNINGS: [&str; 3] = ["sec-", "x-pumice-", "accept-"];

/// The name of a header in which a proxy sends a user's name or role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHeader(HeaderName);

/// A text that is not the name of such a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// It is not the name of a header.
    #[error("{0} is not the name of a header, as X-Forwarded-User is")]
    Name(String),
    /// It means something else.
    #[error(
        "{0} is a header that clients send themselves: name one that the proxy sets, as X-Forwarded-User"
    )]
    Taken(String),
}

impl FromStr for TrustedHeader {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name: HeaderName = text.parse().map_err(|_| BadHeader::Name(quoted(text)))?;
        let is_taken = TAKEN.contains(&name.as_str())
            || TAKEN_BEGINNINGS.iter().any(|begin| name.as_str().starts_with(begin));
        if is_taken { Err(BadHeader::Taken(quoted(text))) } else { Ok(Self(name)) }
    }
}

/// The address of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyAddr(IpAddr);

/// A text that is not the address of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the address of one proxy, as 10.0.0.7 is")]
pub struct BadProxy(String);

impl FromStr for ProxyAddr {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadProxy(quoted(text));
        let address = text.parse::<IpAddr>().map_err(|_| bad())?.to_canonical();
        if address.is_unspecified() || address.is_multicast() { Err(bad()) } else { Ok(Self(address)) }
    }
}

/// The rule for the role of a user whose name a proxy sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedRole {
    /// All have the same.
    Fixed(Role),
    /// The proxy sends it, too.
    Header(TrustedHeader),
}

/// An authenticating proxy before the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxy {
    user: TrustedHeader,
    role: TrustedRole,
    proxies: Vec<ProxyAddr>,
}

/// Why such a proxy cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTrust {
    /// Every client of the console could name any user.
    #[error("no proxy is named whose header is trusted: every client of the console could name any user")]
    NoProxy,
    /// A user could name their own role.
    #[error("the header of the role is that of the user: a name would be a role")]
    SameHeader,
}

impl TrustedProxy {
    /// Proxies that send the user's name in a header.
    ///
    /// # Errors
    /// [`BadTrust`] when no proxy is named, or both headers are one.
    pub fn new(user: TrustedHeader, role: TrustedRole, proxies: Vec<ProxyAddr>) -> Result<Self, BadTrust> {
        if proxies.is_empty() {
            return Err(BadTrust::NoProxy);
        }
        if matches!(&role, TrustedRole::Header(header) if *header == user) {
            return Err(BadTrust::SameHeader);
        }
        Ok(Self { user, role, proxies })
    }

    /// The user whose name a request has from a proxy; `None` when it has none.
    ///
    /// # Errors
    /// [`Refusal`] when another than a named proxy sent such a header, or one that is not exactly one name and one role: it is
    /// never passed over, since that would leave a mistake of the proxy or an attack unseen.
    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let role_header = match &self.role {
            TrustedRole::Header(header) => Some(&header.0),
            TrustedRole::Fixed(_) => None,
        };
        let is_named = headers.contains_key(&self.user.0);
        if !is_named && !role_header.is_some_and(|header| headers.contains_key(header)) {
            return Ok(None);
        }
        let forbidden = |why| Err(Refusal::new(StatusCode::FORBIDDEN, why));
        if !self.proxies.iter().any(|proxy| proxy.0 == peer.to_canonical()) {
            return forbidden(
                "a header that names the user came from another address than that of a trusted proxy",
            );
        }
        if !is_named {
            return forbidden("the proxy sent a role and no user");
        }
        let name = match one(headers, &self.user.0) {
            Ok(name) if is_name(name) => name.to_owned(),
            Ok(_) | Err(Odd::Text) => {
                return forbidden("the proxy sent a name that is not the name of one user");
            }
            Err(Odd::Several) => return forbidden("the header that names the user is there more than once"),
        };
        let role = match (&self.role, role_header.map(|header| one(headers, header))) {
            (TrustedRole::Fixed(role), _) => *role,
            (_, Some(Ok(text))) => match text.parse() {
                Ok(role) => role,
                Err(_) => {
                    return forbidden("the proxy sent a role that is neither viewer, operator nor editor");
                }
            },
            _ => return forbidden("the proxy sent no role, or more than one"),
        };
        Ok(Some(Caller::by_proxy(name, role, self.user.0.as_str())))
    }
}

enum Odd {
    Several,
    Text,
}

/// The one value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Odd> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => std::str::from_utf8(value.as_bytes()).map_err(|_| Odd::Text),
        (Some(_), Some(_)) => Err(Odd::Several),
        (None, _) => Err(Odd::Text),
    }
}

/// Whether a text is the name of one user. Commas are what lines of several headers are joined with.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty()
        && text.trim() == text
        && text != LINK_NAME
        && text.chars().count() <= MAX_NAME
        && !text.contains(|c: char| c == ',' || c.is_control() || acts(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.7";

    fn trust(role: TrustedRole) -> TrustedProxy {
        let user = "X-Forwarded-User".parse().unwrap();
        TrustedProxy::new(user, role, vec![PROXY.parse().unwrap(), "fd00::7".parse().unwrap()]).unwrap()
    }

    fn by_header() -> TrustedRole {
        TrustedRole::Header("X-Forwarded-Role".parse().unwrap())
    }

    fn caller(
        trust: &TrustedProxy,
        peer: &str,
        headers: &[(&str, &[u8])],
    ) -> Result<Option<(String, Role)>, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, axum::http::HeaderValue::from_bytes(value).unwrap());
        }
        let found = trust.caller(peer.parse().unwrap(), &map).map_err(|refusal| refusal.why)?;
        Ok(found.map(|caller| (caller.name, caller.role)))
    }

    #[test]
    fn name_is_taken_from_named_proxies_alone() {
        let fixed = trust(TrustedRole::Fixed(Role::Operator));
        let ada: &[(&str, &[u8])] = &[("x-forwarded-user", b"ada")];
        let taken = Ok(Some(("ada".to_owned(), Role::Operator)));
        for peer in [PROXY, "::ffff:10.0.0.7", "fd00::7"] {
            assert_eq!(caller(&fixed, peer, ada), taken, "{peer}");
            assert_eq!(caller(&fixed, peer, &[]), Ok(None), "{peer}");
        }
        for peer in ["127.0.0.1", "::1", "10.0.0.8", "fd00::8", "0.0.0.0"] {
            assert!(caller(&fixed, peer, ada).unwrap_err().contains("trusted proxy"), "{peer}");
            assert_eq!(caller(&fixed, peer, &[]), Ok(None), "{peer}");
        }
        // The header of the role alone is just as false.
        let role: &[(&str, &[u8])] = &[("x-forwarded-role", b"editor")];
        assert!(caller(&trust(by_header()), "10.0.0.8", role).unwrap_err().contains("trusted proxy"));
        assert!(caller(&trust(by_header()), PROXY, role).unwrap_err().contains("no user"));
    }

    #[test]
    fn name_that_is_not_one_name_is_refused() {
        let fixed = trust(TrustedRole::Fixed(Role::Viewer));
        let long = "x".repeat(MAX_NAME + 1);
        for name in [
            &b""[..],
            b" ",
            b"ada,eve",
            b"ada, eve",
            b"ada\teve",
            b"\xff",
            b"login link",
            "ada\u{202e}eve".as_bytes(),
            "ada\u{85}".as_bytes(),
            long.as_bytes(),
        ] {
            let refused = caller(&fixed, PROXY, &[("x-forwarded-user", name)]);
            assert!(refused.is_err(), "{:?} {refused:?}", String::from_utf8_lossy(name));
        }
        let twice: &[(&str, &[u8])] = &[("x-forwarded-user", b"ada"), ("x-forwarded-user", b"ada")];
        assert!(caller(&fixed, PROXY, twice).unwrap_err().contains("more than once"));
        let fits = "ä".repeat(MAX_NAME);
        assert_eq!(
            caller(&fixed, PROXY, &[("x-forwarded-user", fits.as_bytes())]),
            Ok(Some((fits.clone(), Role::Viewer)))
        );
    }

    #[test]
    fn role_of_a_header_is_one_role() {
        let by_header = trust(by_header());
        let with = |roles: &[&str]| {
            let mut headers: Vec<(&str, &[u8])> = vec![("x-forwarded-user", b"ada")];
            headers.extend(roles.iter().map(|role| ("x-forwarded-role", role.as_bytes())));
            caller(&by_header, PROXY, &headers)
        };
        assert_eq!(with(&["editor"]), Ok(Some(("ada".to_owned(), Role::Editor))));
        for roles in [&[][..], &["boss"], &["Editor"], &["viewer, editor"], &["viewer", "editor"], &[""]] {
            assert!(with(roles).is_err(), "{roles:?}");
        }
    }

    #[test]
    fn trust_that_is_not_safe_cannot_be_made() {
        let user = || "X-Forwarded-User".parse::<TrustedHeader>().unwrap();
        let role = TrustedRole::Fixed(Role::Viewer);
        assert_eq!(TrustedProxy::new(user(), role, Vec::new()), Err(BadTrust::NoProxy));
        let same = TrustedRole::Header("x-forwarded-USER".parse().unwrap());
        let proxies = vec![PROXY.parse().unwrap()];
        assert_eq!(TrustedProxy::new(user(), same, proxies), Err(BadTrust::SameHeader));
        for bad in ["", "a b", "Cookie", "HOST", "Authorization", "Sec-Fetch-Site", "x:y"] {
            assert!(bad.parse::<TrustedHeader>().is_err(), "{bad}");
        }
        for bad in ["", "0.0.0.0", "::", "10.0.0.0/8", "proxy.example.org", "224.0.0.1", "10.0.0.7:80"] {
            assert!(bad.parse::<ProxyAddr>().is_err(), "{bad}");
        }
    }
}
