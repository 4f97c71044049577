//! The addresses that are never called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one that no request may go to: the link-local ranges, where clouds hand out the credentials of
/// their hosts (RFC 3927, RFC 4291 section 2.5.6), and the range in which AWS does so by IPv6. An IPv4 address within an
/// IPv6 address counts too: mapped and compatible (RFC 4291 section 2.5.5), translated (RFC 6052, RFC 8215) and 6to4
/// (RFC 3056).
#[must_use]
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            let is_own = first & 0xffc0 == 0xfe80 || (first, second) == (0xfd00, 0x0ec2);
            is_own || embedded(address).is_some_and(|address| address.is_link_local())
        }
    }
}

/// Why no request can ever go to a URL, as far as its text shows.
#[must_use]
pub fn url_fault(url: &str) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("the URL must begin with http:// or https://".to_owned());
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Some("the URL must begin with http:// or https://".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("the URL has a user name in it: give a header Authorization instead".to_owned());
    }
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() {
        return Some("the URL has no host: write it as https://host/path".to_owned());
    }
    let address = host.parse::<IpAddr>().ok().filter(|address| is_forbidden(*address))?;
    Some(format!(
        "the address {address} is link-local, where clouds hand out credentials: it is never called"
    ))
}

/// The IPv4 address within an IPv6 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let at = |start: usize| {
        let four: [u8; 4] = octets.get(start..start + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(four))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => at(12),
        [0x64, 0xff9b, 0 | 1, ..] => at(12),
        [0x2002, ..] => at(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_metadata_in_any_form_is_forbidden() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_forbidden(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn url_that_is_never_called_is_known_by_its_text() {
        for (url, wanted) in [
            ("ftp://a", "must begin with http"),
            ("a.example", "must begin with http"),
            ("http://", "no host"),
            ("https:///x", "no host"),
            ("http://:80/", "no host"),
            ("http://user:pw@host/x", "user name"),
            ("http://169.254.169.254/latest", "link-local"),
            ("HTTP://169.254.169.254:80?x", "link-local"),
            ("http://[fd00:ec2::254]/", "link-local"),
        ] {
            assert!(url_fault(url).is_some_and(|why| why.contains(wanted)), "{url}: {:?}", url_fault(url));
        }
        for url in
            ["http://a", "https://a.example:8080/x@y?u=http://b@c", "http://[::1]:80/", "http://10.0.0.1#@"]
        {
            assert_eq!(url_fault(url), None, "{url}");
        }
    }

    #[test]
    fn address_of_other_hosts_is_allowed() {
        for text in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "192.168.1.1",
            "169.253.255.255",
            "169.255.0.0",
            "fd00:ec3::254",
            "fec0::1",
            "::ffff:127.0.0.1",
            "2606:4700::1111",
        ] {
            assert!(!is_forbidden(text.parse().unwrap()), "{text}");
        }
    }
}
