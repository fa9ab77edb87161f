//! Which language a person reads.

use http::{HeaderMap, header};

/// Languages of the pages. Both stand side by side where a text is used, so that none is
/// forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    De,
    En,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::De, Self::En];

    /// The text in this language.
    pub(crate) fn t<'t>(self, de: &'t str, en: &'t str) -> &'t str {
        match self {
            Self::De => de,
            Self::En => en,
        }
    }

    /// BCP 47.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::De => "de",
            Self::En => "en",
        }
    }

    /// The language's name for itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::De => "Deutsch",
            Self::En => "English",
        }
    }

    pub(super) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// Pure. What the browser prefers; English for those who read neither.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let ranges = wanted.unwrap_or_default().split(',').take(50).enumerate();
        let known = ranges.filter_map(|(place, range)| {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next()?.to_ascii_lowercase();
            let language = Self::of_code(tag.split('-').next()?)?;
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
            (weight > 0.0).then_some((language, weight, place))
        });
        // Of equal weights the first one counts.
        let best = known.max_by(|a, b| a.1.total_cmp(&b.1).then(b.2.cmp(&a.2)));
        best.map_or(Self::En, |(language, ..)| language)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(accept: &'static str) -> Language {
        let value = HeaderValue::from_static(accept);
        Language::of_headers(&HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, value)]))
    }

    #[test]
    fn the_best_language_of_the_browser_is_taken() {
        for accept in
            ["de", "de-AT", "DE-de,en;q=0.9", "fr, de;q=0.5, en;q=0.4", "de,en", "en;q=0,de"]
        {
            assert_eq!(of(accept), Language::De, "{accept}");
        }
        for accept in ["en", "fr", "", "*", "de;q=0.1,en;q=0.2", "en,de", "de;q=0", "de;q=x"] {
            assert_eq!(of(accept), Language::En, "{accept}");
        }
        assert_eq!(Language::of_headers(&HeaderMap::new()), Language::En);
    }
}
