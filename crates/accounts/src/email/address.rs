//! What a mail address is: less than RFC 5322 allows, so that nothing can be read in two ways.
//!
//! A lenient reader of `a@evil.example@authority.example` decides about one address and mails to
//! another. Here is one form only: a local part without quotes or comments, one `@`, a host name.

use std::fmt;

use url::Host;

/// Bytes of the whole address and of its local part (RFC 5321, section 4.5.3.1).
const BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A mail address in its canonical form: lower case, the domain in A-labels. Two texts that a
/// person takes for the same address are the same value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress {
    text: String,
    at: usize,
}

impl EmailAddress {
    /// Pure. Read an address; `None` if it is none, or one that could be misread.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let (local, domain) = text.split_once('@')?;
        let local = canonical_local(local)?;
        let domain = canonical_domain(domain)?;
        let at = local.len();
        let text = format!("{local}@{domain}");
        (text.len() <= BYTES_MAX).then_some(Self { text, at })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }
}

/// Whose mail is nobody else's business.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress")
    }
}

/// A dot-atom of RFC 5322 in ASCII.
fn canonical_local(local: &str) -> Option<String> {
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&b))
    };
    let fits = local.len() <= LOCAL_BYTES_MAX && local.split('.').all(is_atom);
    fits.then(|| local.to_ascii_lowercase())
}

/// A host name of at least two labels, in A-labels.
fn canonical_domain(domain: &str) -> Option<String> {
    let odd = |c: char| {
        c.is_ascii() && !c.is_ascii_alphanumeric() && c != '.' && c != '-' || c.is_control()
    };
    if domain.is_empty() || domain.len() > DOMAIN_BYTES_MAX || domain.contains(odd) {
        return None;
    }
    let Ok(Host::Domain(canonical)) = Host::parse(domain) else { return None };
    // Letters that only look like those of ASCII are mapped to them: whoever writes so wants to
    // be taken for somebody else.
    if !domain.is_ascii() && !canonical.split('.').any(|label| label.starts_with("xn--")) {
        return None;
    }
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let top = canonical.rsplit('.').next()?;
    let is_name = canonical.len() <= DOMAIN_BYTES_MAX
        && canonical.contains('.')
        && canonical.split('.').all(is_label)
        && !top.bytes().all(|b| b.is_ascii_digit());
    is_name.then_some(canonical)
}

/// Domains whose addresses are taken. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmailDomains(Vec<Domain>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Domain {
    /// This one.
    Is(String),
    /// Those that end so, dot included.
    Under(String),
}

impl EmailDomains {
    /// `example.org` for the domain itself, `*.example.org` for all below it.
    ///
    /// # Errors
    /// The first that is no domain.
    pub fn parse<S: AsRef<str>>(domains: &[S]) -> Result<Self, String> {
        let one = |text: &S| {
            let text = text.as_ref();
            let (name, below) = match text.strip_prefix("*.") {
                Some(name) => (name, true),
                None => (text, false),
            };
            let name = canonical_domain(name).ok_or_else(|| {
                format!("{text:?} is not a domain such as example.org or *.example.org")
            })?;
            Ok(if below { Domain::Under(format!(".{name}")) } else { Domain::Is(name) })
        };
        domains.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address of this server's people may be there.
    pub fn allow(&self, address: &EmailAddress) -> bool {
        let domain = address.domain();
        self.0.is_empty()
            || self.0.iter().any(|allowed| match allowed {
                Domain::Is(name) => domain == name,
                Domain::Under(end) => domain.ends_with(end.as_str()),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        EmailAddress::parse(text).map(|address| address.as_str().to_owned())
    }

    #[test]
    fn addresses_have_one_form() {
        for (text, form) in [
            ("a@amt.de", "a@amt.de"),
            ("Erika.Muster+Matrix@Amt.DE", "erika.muster+matrix@amt.de"),
            ("x@münchen.de", "x@xn--mnchen-3ya.de"),
            ("x@XN--mnchen-3ya.de", "x@xn--mnchen-3ya.de"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(form), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_address() {
        let long_local = format!("{}@amt.de", "a".repeat(65));
        let long_domain = format!("a@{}.de", "a".repeat(64));
        for text in [
            "",
            "@",
            "a@",
            "@amt.de",
            "amt.de",
            "a@b@amt.de",
            "a@evil.tld@amt.de",
            "a@evil.tld>@amt.de",
            "\"a@evil.tld\"@amt.de",
            "a(comment)@amt.de",
            "A <a@amt.de>",
            "<a@amt.de>",
            "a@amt.de ",
            " a@amt.de",
            "a b@amt.de",
            ".a@amt.de",
            "a.@amt.de",
            "a..b@amt.de",
            "ä@amt.de",
            "a@amt",
            "a@amt.de.",
            "a@.amt.de",
            "a@amt..de",
            "a@-amt.de",
            "a@amt_x.de",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            "a@[::1]",
            "a@1",
            "a@amt.%64e",
            "a@amt.de\r\nBcc: b@evil.tld",
            "a\r\n@amt.de",
            "a@amt.de\0",
            "a@\u{ff41}mt.de",
            "a@amt\u{3002}de",
            &long_local,
            &long_domain,
        ] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
    }

    #[test]
    fn homographs_are_other_domains() {
        let allowed = EmailDomains::parse(&["amt.de"]).expect("a domain");
        // A Cyrillic a.
        let address = EmailAddress::parse("a@\u{430}mt.de").expect("an address");
        assert!(!allowed.allow(&address));
    }

    #[test]
    fn domains_are_compared_as_a_whole() {
        let allowed = EmailDomains::parse(&["amt.de", "*.bund.de"]).expect("domains");
        for (text, is) in [
            ("a@amt.de", true),
            ("a@AMT.DE", true),
            ("a@bmi.bund.de", true),
            ("a@x.bmi.bund.de", true),
            ("a@bund.de", false),
            ("a@evilbund.de", false),
            ("a@x.amt.de", false),
            ("a@amt.de.evil.tld", false),
            ("amt.de@evil.tld", false),
        ] {
            let address = EmailAddress::parse(text).expect("an address");
            assert_eq!(allowed.allow(&address), is, "{text}");
        }
        let address = EmailAddress::parse("a@anywhere.example").expect("an address");
        assert!(EmailDomains::default().allow(&address));
        for bad in ["", "*", "*.", "amt", "a@amt.de", "*.*.de", "amt.de/"] {
            assert!(EmailDomains::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
