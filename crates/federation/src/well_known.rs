//! `/.well-known/matrix/server` of others (spec: server-server API, "Resolving server names"):
//! what it says, and for how long. Pure.

use std::time::Duration;

use http::{HeaderMap, header};
use ruma::OwnedServerName;
use serde::Deserialize;

/// What says nothing about its age is asked again after this …
const DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// … and what says more than this, after this.
const MAX: Duration = Duration::from_secs(48 * 60 * 60);
/// However short-lived it says it is: it is not asked for each request.
const MIN: Duration = Duration::from_secs(5 * 60);
/// The first time after which a server without a usable document is asked again; it doubles …
const ERROR_MIN: Duration = Duration::from_secs(2 * 60);
/// … up to this.
const ERROR_MAX: Duration = Duration::from_secs(60 * 60);

/// Where a server says that its people's server is; `None` if the document is not one.
pub(crate) fn delegated(body: &[u8]) -> Option<OwnedServerName> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(rename = "m.server")]
        server: OwnedServerName,
    }
    serde_json::from_slice::<Document>(body).ok().map(|document| document.server)
}

/// How long an answer is good.
pub(crate) fn lifetime(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let directives = values.filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    let mut found = None;
    for directive in directives.map(|it| it.trim().to_ascii_lowercase()) {
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return MIN;
        }
        let age = directive.strip_prefix("max-age=").map(|age| age.trim_matches('"').parse());
        if let Some(Ok(seconds)) = age {
            found = Some(Duration::from_secs(seconds));
        }
    }
    found.unwrap_or(DEFAULT).clamp(MIN, MAX)
}

/// How long a failure counts, by how many came in a row.
pub(crate) fn pause(failures: u32) -> Duration {
    ERROR_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(ERROR_MAX)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_document_names_a_server() {
        let read = |text: &str| delegated(text.as_bytes()).map(|name| name.to_string());
        assert_eq!(read(r#"{"m.server":"m.example:443"}"#).as_deref(), Some("m.example:443"));
        assert_eq!(read(r#"{"m.server":"[::1]","x":1}"#).as_deref(), Some("[::1]"));
        for bad in [
            "",
            "<html>",
            "null",
            "[]",
            "{}",
            r#"{"m.server":5}"#,
            r#"{"m.server":""}"#,
            r#"{"m.server":"https://m.example"}"#,
            r#"{"m.server":"m.example:99999"}"#,
            r#"{"m.server":"m.example/path"}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn its_age_is_between_five_minutes_and_two_days() {
        let of = |value: &'static str| {
            let header = (header::CACHE_CONTROL, HeaderValue::from_static(value));
            lifetime(&HeaderMap::from_iter([header])).as_secs()
        };
        assert_eq!(lifetime(&HeaderMap::new()).as_secs(), 86_400);
        assert_eq!(of("max-age=3600"), 3_600);
        assert_eq!(of("public, Max-Age=\"7200\""), 7_200);
        assert_eq!(of("max-age=99999999"), 172_800);
        assert_eq!(of("max-age=0"), 300);
        assert_eq!(of("max-age=3600, no-store"), 300);
        assert_eq!(of("max-age=x"), 86_400);
        assert_eq!(of(""), 86_400);
    }

    #[test]
    fn failures_count_longer_each_time() {
        let minutes: Vec<u64> = (1..8).map(|failures| pause(failures).as_secs() / 60).collect();
        assert_eq!(minutes, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX), ERROR_MAX);
    }
}
