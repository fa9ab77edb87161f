//! Filters of room events (client-server API, "Filtering").

use blaupause_data::Event;
use ruma::{
    RoomId,
    api::client::filter::{RoomEventFilter, UrlFilter},
};
use serde::Deserialize;

/// Whether a pattern with `*` fits a text. Takes time in proportion to the text, whatever the
/// pattern.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(end)
}

/// Whether an event type passes lists of wanted and unwanted types.
pub fn type_passes(kind: &str, types: Option<&[String]>, not_types: &[String]) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, kind));
    !any(not_types) && types.is_none_or(any)
}

/// Whether events of a room can pass at all.
pub fn room_passes(filter: &RoomEventFilter, room: &RoomId) -> bool {
    let names = |rooms: &[ruma::OwnedRoomId]| rooms.iter().any(|named| named == room);
    !names(&filter.not_rooms) && filter.rooms.as_deref().is_none_or(names)
}

/// Whether an event passes, apart from its room.
pub fn event_passes(filter: &RoomEventFilter, event: &Event) -> bool {
    let sender_passes = !filter.not_senders.contains(&event.sender)
        && filter.senders.as_ref().is_none_or(|senders| senders.contains(&event.sender));
    sender_passes
        && type_passes(&event.kind, filter.types.as_deref(), &filter.not_types)
        && url_passes(filter.url_filter, event)
}

fn url_passes(wanted: Option<UrlFilter>, event: &Event) -> bool {
    #[derive(Deserialize)]
    struct Content {
        url: Option<serde::de::IgnoredAny>,
    }
    let Some(wanted) = wanted else { return true };
    let has_url = event.content_as::<Content>().is_some_and(|content| content.url.is_some());
    match wanted {
        UrlFilter::EventsWithUrl => has_url,
        UrlFilter::EventsWithoutUrl => !has_url,
    }
}

/// Which relations the events of a page have (MSC3874). Only pages of a room's history ask so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelationFilter {
    /// Only events with one of these; `None`: any, or none.
    pub types: Option<Vec<String>>,
    /// No event with one of these.
    pub not_types: Vec<String>,
}

impl RelationFilter {
    /// Every event passes.
    pub const OPEN: Self = Self { types: None, not_types: Vec::new() };

    pub(crate) fn is_open(&self) -> bool {
        self.types.is_none() && self.not_types.is_empty()
    }

    pub(crate) fn passes(&self, event: &Event) -> bool {
        #[derive(Deserialize)]
        struct Content {
            #[serde(rename = "m.relates_to")]
            relates_to: RelatesTo,
        }
        #[derive(Deserialize)]
        struct RelatesTo {
            rel_type: String,
        }
        if self.is_open() {
            return true;
        }
        let Some(content) = event.content_as::<Content>() else { return self.types.is_none() };
        let rel_type = &content.relates_to.rel_type;
        !self.not_types.contains(rel_type)
            && self.types.as_ref().is_none_or(|types| types.contains(rel_type))
    }
}

/// Whether the filter leaves every event of its rooms through.
pub fn is_open(filter: &RoomEventFilter) -> bool {
    filter.senders.is_none()
        && filter.types.is_none()
        && filter.url_filter.is_none()
        && filter.not_senders.is_empty()
        && filter.not_types.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("m.room.message", "m.room.message"),
            ("m.room.*", "m.room.message"),
            ("*", ""),
            ("**", "x"),
            ("m.*.message", "m.room.message"),
            ("*a*b*", "xaxbx"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("m.room", "m.room.message"), ("m.*.x", "m.room"), ("aa*aa", "aaa"), ("", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_are_not_slow() {
        assert!(!fits(&"*a".repeat(400), &"b".repeat(60_000)));
    }

    #[test]
    fn an_empty_list_of_types_lets_nothing_through() {
        assert!(!type_passes("m.room.message", Some(&[]), &[]));
        assert!(type_passes("m.room.message", None, &[]));
    }
}
