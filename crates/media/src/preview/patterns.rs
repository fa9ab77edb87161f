//! Which pages an operator means.

use url::Url;

/// Hosts, each perhaps with the beginning of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlPatterns(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    host: String,
    /// Whether all hosts below it are meant, and not itself.
    below: bool,
    /// `/news/`; `/` for all.
    path: String,
}

impl UrlPatterns {
    /// `example.org`, `*.example.org`, `example.org/news/`.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, String> {
        patterns
            .iter()
            .map(|text| Pattern::parse(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a page is meant.
    pub(super) fn fit(&self, url: &Url) -> bool {
        self.0.iter().any(|pattern| pattern.fits(url))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a host such as *.example.org, or one with a path");
        let (host, path) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, "/"),
        };
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        if host.is_empty() || host.contains(['*', '@', '?', '#', ':']) && !host.starts_with('[') {
            return Err(bad());
        }
        // Written as the address of a page has it: lower case, A-labels.
        let page = Url::parse(&format!("https://{host}{path}")).map_err(|_| bad())?;
        let host = page.host_str().ok_or_else(bad)?.to_owned();
        Ok(Self { host, below, path: page.path().to_owned() })
    }

    fn fits(&self, url: &Url) -> bool {
        // A dot at the end names the same host.
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let is_host = if self.below {
            host.strip_suffix(self.host.as_str()).is_some_and(|rest| rest.ends_with('.'))
        } else {
            host == self.host
        };
        is_host && url.path().starts_with(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_hosts_and_paths() {
        let patterns =
            UrlPatterns::parse(&["example.org", "*.amt.de", "x.net/news/"]).expect("fine");
        for (url, fits) in [
            ("https://example.org/", true),
            ("http://EXAMPLE.org:8080/a", true),
            ("https://example.org./a", true),
            ("https://www.example.org/", false),
            ("https://example.org.evil.tld/", false),
            ("https://www.amt.de/x", true),
            ("https://amt.de/", false),
            ("https://evilamt.de/", false),
            ("https://x.net/news/1", true),
            ("https://x.net/news/../admin", false),
            ("https://x.net/", false),
        ] {
            assert_eq!(patterns.fit(&Url::parse(url).expect("a URL")), fits, "{url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "*", "*.", "/a", "https://example.org/", "a*b.org", "a@b.org", "a b"] {
            assert!(UrlPatterns::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
