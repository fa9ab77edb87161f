//! Where a client may be sent back to (spec: client-server API, "Redirect URI validation").
//!
//! A redirect URI is the only proof of who a client is, so what may be registered is narrow and
//! what is asked for later must be the same, letter by letter.

use url::{Host, Url};

use super::ApplicationKind;

/// Bytes of a redirect URI.
const BYTES_MAX: usize = 2_000;

/// Pure. Whether a client of this kind with this `client_uri` may register the URI.
///
/// # Errors
/// Why not.
pub(crate) fn check(
    uri: &str,
    kind: ApplicationKind,
    client_uri: &Url,
) -> Result<(), &'static str> {
    if uri.len() > BYTES_MAX {
        return Err("a redirect URI is too long");
    }
    // What the parser would quietly leave out is not the same for others who read it.
    if !uri.is_ascii() || uri.contains(|c: char| c.is_control() || c == ' ' || c == '\\') {
        return Err("a redirect URI has characters that must be escaped");
    }
    let parsed = Url::parse(uri).map_err(|_| "a redirect URI is not an absolute URI")?;
    if parsed.fragment().is_some() {
        return Err("a redirect URI must not have a fragment");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("a redirect URI must not have a user or password");
    }
    match (parsed.scheme(), kind) {
        ("https", _) if has_base(&parsed, client_uri) => Ok(()),
        ("https", _) => Err("a redirect URI must be on the host of client_uri or below it"),
        ("http", ApplicationKind::Native) if !is_loopback(&parsed) => {
            Err("an http redirect URI must be on the loopback interface")
        }
        ("http", ApplicationKind::Native) if parsed.port().is_some() => {
            Err("a loopback redirect URI must be registered without a port")
        }
        ("http", ApplicationKind::Native) => Ok(()),
        (_, ApplicationKind::Web) => Err("a redirect URI of a web client must use https"),
        (scheme, ApplicationKind::Native) if !is_own_scheme(scheme, client_uri) => {
            Err("a custom scheme must begin with the host of client_uri in reverse")
        }
        (scheme, ApplicationKind::Native) => {
            let rest = uri.get(scheme.len() + 1..).unwrap_or_default();
            if rest.starts_with("//") {
                return Err("a redirect URI with a custom scheme must not have an authority");
            }
            Ok(())
        }
    }
}

/// Pure. Whether a URI is on the host of `base` or below it.
pub(crate) fn has_base(uri: &Url, base: &Url) -> bool {
    match (uri.host(), base.host()) {
        (Some(Host::Domain(host)), Some(Host::Domain(base))) => {
            // Nobody owns everything below a name without a dot.
            let below = host.strip_suffix(base).is_some_and(|rest| rest.ends_with('.'));
            host == base || (below && base.contains('.'))
        }
        (Some(host), Some(base)) => host == base,
        _ => false,
    }
}

/// Pure. Whether a registered URI allows the one that is asked for. They must be the same; only
/// the port of a native client's loopback URI is free, because it is taken at run time (RFC 8252,
/// section 7.3).
pub(crate) fn allows(registered: &str, kind: ApplicationKind, asked: &str) -> bool {
    if registered == asked {
        return true;
    }
    if kind != ApplicationKind::Native || asked.len() > BYTES_MAX {
        return false;
    }
    let (Ok(registered), Ok(mut asked)) = (Url::parse(registered), Url::parse(asked)) else {
        return false;
    };
    registered.scheme() == "http"
        && is_loopback(&registered)
        && asked.scheme() == "http"
        && asked.set_port(None).is_ok()
        && asked == registered
}

fn is_loopback(uri: &Url) -> bool {
    matches!(uri.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Schemes come from the host in reverse: `https://example.com/` owns `com.example` and
/// `com.example.app`.
fn is_own_scheme(scheme: &str, client_uri: &Url) -> bool {
    let Some(Host::Domain(host)) = client_uri.host() else { return false };
    if !host.contains('.') {
        return false;
    }
    let mut labels: Vec<&str> = host.split('.').collect();
    labels.reverse();
    let base = labels.join(".");
    let rest = scheme.strip_prefix(&base);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ApplicationKind::{Native, Web};

    fn may(uri: &str, kind: ApplicationKind) -> bool {
        let base = Url::parse("https://example.com/").expect("a URL");
        check(uri, kind, &base).is_ok()
    }

    /// The lists of the specification, and more.
    #[test]
    fn web_clients_return_to_their_own_https_host() {
        for good in [
            "https://example.com/callback",
            "https://app.example.com/callback",
            "https://example.com:5173/?query=value",
            "https://EXAMPLE.com/",
        ] {
            assert!(may(good, Web), "{good}");
        }
        for bad in [
            "https://example.com/callback#fragment",
            "https://example.com/callback#",
            "http://example.com/callback",
            "http://localhost/",
            "https://localhost/",
            "https://user@example.com/",
            "https://user:secret@example.com/",
            "https://example.com.evil.org/",
            "https://evilexample.com/",
            "https://example.com@evil.org/",
            "https://example.com\\@evil.org/",
            "https://com/",
            "https:\n//example.com/",
            "https://example.com/a b",
            "com.example:/callback",
            "javascript:alert(1)",
            "data:text/html,x",
            "/callback",
            "",
        ] {
            assert!(!may(bad, Web), "{bad}");
        }
    }

    #[test]
    fn native_clients_return_to_their_own_scheme_the_loopback_or_claimed_https() {
        for good in [
            "com.example.app:/callback",
            "com.example:/",
            "com.example:callback",
            "com.example.app:/callback?x=1",
            "http://localhost/callback",
            "http://127.0.0.1/callback",
            "http://[::1]/callback",
            "https://example.com/callback",
        ] {
            assert!(may(good, Native), "{good}");
        }
        for bad in [
            "example:/callback",
            "com.example.app://callback",
            "com.example.app:///callback",
            "com.exampleapp:/callback",
            "https://localhost/callback",
            "http://localhost:1234/callback",
            "http://localhost.evil.org/callback",
            "http://127.0.0.2/callback",
            "http://127.0.0.1.evil.org/callback",
            "http://user@localhost/callback",
            "http://localhost/callback#x",
            "http://example.com/callback",
            "javascript:alert(1)",
            "intent://x",
        ] {
            assert!(!may(bad, Native), "{bad}");
        }
    }

    #[test]
    fn hosts_without_a_domain_own_nothing_below_them() {
        let single = Url::parse("https://intranet/").expect("a URL");
        assert!(check("https://intranet/x", Web, &single).is_ok());
        assert!(check("https://a.intranet/x", Web, &single).is_err());
        assert!(check("intranet.app:/", Native, &single).is_err());
        let address = Url::parse("https://192.0.2.1/").expect("a URL");
        assert!(check("https://192.0.2.1/x", Web, &address).is_ok());
        assert!(check("https://192.0.2.2/x", Web, &address).is_err());
        assert!(check("1.2.0.192:/", Native, &address).is_err());
    }

    #[test]
    fn what_is_asked_for_is_what_was_registered() {
        let web = "https://example.com/callback?a=b";
        assert!(allows(web, Web, web));
        for bad in [
            "https://example.com/callback",
            "https://example.com/callback?a=b&c=d",
            "https://example.com/callback/?a=b",
            "https://EXAMPLE.com/callback?a=b",
            "https://example.com:443/callback?a=b",
            "https://example.com/x/../callback?a=b",
        ] {
            assert!(!allows(web, Web, bad) && !allows(web, Native, bad), "{bad}");
        }
    }

    #[test]
    fn the_port_of_a_loopback_uri_is_free_for_native_clients() {
        let loopback = "http://127.0.0.1/callback";
        assert!(allows(loopback, Native, "http://127.0.0.1:49152/callback"));
        assert!(allows("http://[::1]/", Native, "http://[::1]:1/"));
        assert!(!allows(loopback, Web, "http://127.0.0.1:49152/callback"));
        for bad in [
            "http://127.0.0.1:49152/other",
            "http://localhost:49152/callback",
            "https://127.0.0.1:49152/callback",
            "http://127.0.0.1:49152/callback#x",
            "http://127.0.0.1:49152/callback?x",
            "http://user@127.0.0.1:49152/callback",
            "http://127.0.0.1:99999/callback",
        ] {
            assert!(!allows(loopback, Native, bad), "{bad}");
        }
        let https = "https://example.com/callback";
        assert!(!allows(https, Native, "https://example.com:8443/callback"));
    }
}
