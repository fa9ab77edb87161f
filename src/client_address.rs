//! Who is really asking, behind proxies.

use std::net::IpAddr;

use blaupause_api::{REQUEST_ID, RequestId};
use http::HeaderMap;

use crate::config::Net;

/// Addresses of `X-Forwarded-For` that are looked at; a real chain of proxies is shorter.
const HOPS_MAX: usize = 16;

/// The client's address. Pure.
///
/// `X-Forwarded-For` is read from its end, where the nearest proxy writes, and only as long as each
/// hop is a trusted proxy: what stands further left was written by somebody we do not trust. What
/// is no address ends the walk.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Net]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    let hops = headers
        .get_all("x-forwarded-for")
        .iter()
        .rev()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.rsplit(','))
        .take(HOPS_MAX);
    for hop in hops {
        if !is_trusted(client) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

/// The id that a trusted proxy gave the request, so that its log and ours can be read together.
/// From everybody else it is not taken: whoever chooses ids can hide among others. Pure.
pub fn request_id(peer: IpAddr, headers: &HeaderMap, trusted: &[Net]) -> Option<RequestId> {
    let peer = peer.to_canonical();
    if !trusted.iter().any(|net| net.contains(peer)) {
        return None;
    }
    headers.get(REQUEST_ID).and_then(RequestId::from_proxy)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        map
    }

    fn seen(peer: &str, values: &[&'static str], trusted: &[&str]) -> String {
        let trusted: Vec<Net> = trusted.iter().map(|n| n.parse().expect("a net")).collect();
        client_address(peer.parse().expect("an address"), &headers(values), &trusted).to_string()
    }

    #[test]
    fn the_header_of_a_stranger_is_ignored() {
        assert_eq!(seen("203.0.113.9", &["1.2.3.4"], &[]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &["1.2.3.4"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn a_trusted_proxy_says_who_asked() {
        assert_eq!(seen("10.0.0.1", &["1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(seen("::ffff:10.0.0.1", &["1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(seen("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn what_the_client_itself_wrote_into_the_header_does_not_count() {
        assert_eq!(seen("10.0.0.1", &["9.9.9.9, 1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(seen("10.0.0.1", &["9.9.9.9", "1.2.3.4, 10.0.0.2"], &["10.0.0.0/8"]), "1.2.3.4");
    }

    #[test]
    fn garbage_in_the_header_ends_the_walk() {
        assert_eq!(seen("10.0.0.1", &["9.9.9.9, nonsense, 10.0.0.2"], &["10.0.0.0/8"]), "10.0.0.2");
        assert_eq!(seen("10.0.0.1", &[""], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn only_a_trusted_proxy_gives_requests_their_ids() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("abc"));
        let trusted: Vec<Net> = vec!["10.0.0.0/8".parse().expect("a net")];
        let given = |peer: &str| request_id(peer.parse().expect("an address"), &headers, &trusted);
        assert!(given("10.0.0.1").is_some());
        assert!(given("::ffff:10.0.0.1").is_some());
        assert_eq!(given("203.0.113.9"), None);
    }
}
