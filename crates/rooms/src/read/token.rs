//! Pagination tokens. One names a gap in the timeline: the one directly before a place.

use blaupause_data::{Place, StreamPos};

use crate::RoomsError;

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 100;

/// The gap that a token names: those that we gave with pages, and those of sync (`s<position>`),
/// which stand for the gap behind everything up to that position.
///
/// # Errors
/// [`RoomsError::Invalid`] if we cannot have given it.
pub(crate) fn parse(token: &str) -> Result<Place, RoomsError> {
    let unknown = RoomsError::Invalid("unknown pagination token");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(unknown);
    }
    Place::from_token(token).or_else(|| sync_token(token)).ok_or(unknown)
}

/// As [`parse`], for an optional parameter.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_optional(token: Option<&str>) -> Result<Option<Place>, RoomsError> {
    token.map(parse).transpose()
}

fn sync_token(token: &str) -> Option<Place> {
    let mut fields = token.strip_prefix('s')?.split('_');
    let pos = fields.next()?.parse().ok()?;
    // What follows is about things that are not in any timeline.
    fields.all(|field| field.parse::<u64>().is_ok()).then(|| Place::after(StreamPos(pos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_pages_and_of_sync_are_understood() {
        let place = Place::live(StreamPos(9), 2);
        assert_eq!(parse(&place.to_token()).ok(), Some(place));
        assert_eq!(parse("s7").ok(), Some(Place::after(StreamPos(7))));
        assert_eq!(parse("s7_123_4").ok(), Some(Place::after(StreamPos(7))));
    }

    #[test]
    fn garbage_is_refused() {
        for bad in ["", "s", "garbage", "s-1", "t1_2", "s1_x", "🦀"] {
            assert!(matches!(parse(bad), Err(RoomsError::Invalid(_))), "{bad}");
        }
        assert!(parse(&format!("s{}", "1".repeat(10_000))).is_err());
    }
}
