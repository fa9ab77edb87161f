//! Which addresses a user may have the server connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks that are allowed although they are not public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

impl AllowedNetworks {
    /// From CIDR notation: `10.1.0.0/16`, `fd00::/8`, or a single address.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn parse<S: AsRef<str>>(networks: &[S]) -> Result<Self, String> {
        let one = |text: &S| {
            let text = text.as_ref();
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("{text:?} is not a network such as 10.1.0.0/16"))
        };
        networks.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a user may name this address.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|network| network.contains(&address))
    }
}

/// Whether an address is one of the internet (IANA's special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0 // "this network"
        || (a == 100 && b & 0xc0 == 64) // shared by carriers
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // relays to IPv6, withdrawn
        || (a == 198 && b & 0xfe == 18) // benchmarks
        || a >= 224; // multicast and reserved
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Ways to write an IPv4 address: what is inside decides.
    if let Some(inside) = embedded_v4(segments) {
        return is_public_v4(inside);
    }
    // Global unicast is 2000::/3; everything else is local, multicast or not assigned.
    let global = segments[0] & 0xe000 == 0x2000;
    let special = match segments[0] {
        // Protocol assignments, Teredo; documentation.
        0x2001 => segments[1] < 0x0200 || segments[1] == 0x0db8,
        // Documentation.
        0x3fff => segments[1] < 0x1000,
        _ => false,
    };
    global && !special
}

/// The IPv4 address that a translator would connect to (NAT64 of RFC 6052, 6to4).
fn embedded_v4(segments: [u16; 8]) -> Option<Ipv4Addr> {
    let (high, low) = match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(address: &str) -> bool {
        AllowedNetworks::default().allow(address.parse().expect("address"))
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        for address in
            ["1.1.1.1", "100.63.0.1", "198.20.0.1", "2606:4700::1111", "64:ff9b::101:101"]
        {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn local_and_special_addresses_are_not() {
        let local = [
            "127.0.0.1",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
        ];
        for address in local {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn a_local_address_written_in_another_way_stays_local() {
        for address in ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:a00:1::1", "::127.0.0.1"] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn networks_of_the_operator_are_allowed() {
        let allowed = AllowedNetworks::parse(&["10.1.0.0/16", "fd00::/8", "127.0.0.1"]).unwrap();
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "127.0.0.1"] {
            assert!(allowed.allow(address.parse().unwrap()), "{address}");
        }
        assert!(!allowed.allow("10.2.0.1".parse().unwrap()));
        assert!(!allowed.allow("127.0.0.2".parse().unwrap()));
        assert!(AllowedNetworks::parse(&["ten"]).unwrap_err().contains("ten"));
    }
}
