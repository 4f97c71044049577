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
