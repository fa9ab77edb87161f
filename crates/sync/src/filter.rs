//! Event filters (spec: client-server API, "Filtering").

use blaupause_data::Event;
use ruma::api::client::filter::{Filter, RoomEventFilter, UrlFilter};
use serde::Deserialize;

/// Whether a pattern with `*` matches. Linear: no pattern can make this slow.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// Whether a type passes lists of wanted and unwanted types.
pub(crate) fn type_passes(kind: &str, types: Option<&[String]>, not_types: &[String]) -> bool {
    !not_types.iter().any(|pattern| matches(pattern, kind))
        && types.is_none_or(|types| types.iter().any(|pattern| matches(pattern, kind)))
}

/// Whether a room event passes a filter. Rooms are filtered before.
pub(crate) fn event_passes(filter: &RoomEventFilter, event: &Event) -> bool {
    #[derive(Deserialize)]
    struct Url {
        url: Option<serde::de::IgnoredAny>,
    }
    if filter.not_senders.contains(&event.sender)
        || filter.senders.as_ref().is_some_and(|senders| !senders.contains(&event.sender))
        || !type_passes(&event.kind, filter.types.as_deref(), &filter.not_types)
    {
        return false;
    }
    filter.url_filter.as_ref().is_none_or(|wanted| {
        let has = event.content_as::<Url>().is_some_and(|content| content.url.is_some());
        match wanted {
            UrlFilter::EventsWithUrl => has,
            UrlFilter::EventsWithoutUrl => !has,
        }
    })
}

/// Whether the filter leaves every event through.
pub(crate) fn is_open(filter: &RoomEventFilter) -> bool {
    filter.senders.is_none()
        && filter.types.is_none()
        && filter.url_filter.is_none()
        && filter.not_senders.is_empty()
        && filter.not_types.is_empty()
}

/// Whether a filter for account data or presence lets a type through.
pub(crate) fn plain_passes(filter: &Filter, kind: &str) -> bool {
    type_passes(kind, filter.types.as_deref(), &filter.not_types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("m.room.*", "m.room.message"));
        assert!(matches("*", "anything"));
        assert!(matches("m.*.message", "m.room.message"));
        assert!(!matches("m.room", "m.room.message"));
        assert!(!matches("m.*.x", "m.room.message"));
        assert!(!matches("aa*aa", "aaa"));
    }

    #[test]
    fn many_stars_are_not_slow() {
        let pattern = "*a".repeat(400);
        assert!(!matches(&pattern, &"b".repeat(60_000)));
    }
}
