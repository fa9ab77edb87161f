//! Where an event stands in a room's timeline.

use blaupause_store::StreamPos;
use serde::{Deserialize, Serialize};

use crate::{
    NOW,
    codec::{KeyFields, KeyReader, KeyWriter},
};

/// A place in a room's timeline. Order of places is order of the timeline.
///
/// A live event's place holds the position of its batch, so that "what came after position S" is
/// one range of the timeline. History from before the server joined counts down, below all live
/// places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    era: u8,
    pos: u64,
    index: u16,
}

const HISTORY: u8 = 1;
const LIVE: u8 = 2;

impl Place {
    /// Before everything.
    pub const START: Self = Self { era: 0, pos: 0, index: 0 };
    /// After everything.
    pub const END: Self = Self { era: u8::MAX, pos: 0, index: 0 };

    /// Event number `index` of the batch that is about to be committed.
    pub const fn now(index: u16) -> Self {
        Self { era: LIVE, pos: NOW.0, index }
    }

    /// Event number `index` of the batch at a position.
    pub const fn live(pos: StreamPos, index: u16) -> Self {
        Self { era: LIVE, pos: pos.0, index }
    }

    /// As [`Place::now`], with room below for [`Place::ROOM_BELOW`] events that were said before
    /// it and come later: for an event behind a gap.
    pub const fn now_behind_gap(index: u16) -> Self {
        Self { era: LIVE, pos: NOW.0, index: Self::ROOM_BELOW.saturating_add(index) }
    }

    /// How many events fit below one that was placed behind a gap.
    pub const ROOM_BELOW: u16 = 1 << 15;

    /// The place directly below; whether it is free is another question. `None` where there is
    /// none: below the first event of a batch that was not placed behind a gap.
    #[must_use]
    pub fn below(self) -> Option<Self> {
        match self.era {
            LIVE => Some(Self { index: self.index.checked_sub(1)?, ..self }),
            HISTORY => Some(Self { pos: self.pos.checked_sub(1)?, ..self }),
            _ => None,
        }
    }

    /// The place after every event of all batches up to `pos`: an upper bound to read up to, and
    /// an exclusive lower bound for what came later.
    pub const fn after(pos: StreamPos) -> Self {
        Self { era: LIVE, pos: pos.0, index: u16::MAX }
    }

    /// History: `count` 0 lies directly before the first live event, larger ones earlier.
    pub const fn history(count: u64) -> Self {
        Self { era: HISTORY, pos: u64::MAX - 1 - count, index: 0 }
    }

    /// The position of the batch, for live events.
    pub fn position(self) -> Option<StreamPos> {
        (self.era == LIVE).then_some(StreamPos(self.pos))
    }

    /// A place as read back from a stored value of an event that was live when it was written:
    /// the position was not known then and stands beside the value.
    #[must_use]
    pub fn settled(self, pos: StreamPos) -> Self {
        if self.era == LIVE && self.pos == NOW.0 { Self { pos: pos.0, ..self } } else { self }
    }

    /// As opaque text for pagination tokens.
    pub fn to_token(self) -> String {
        format!("t{}_{}_{}", self.era, self.pos, self.index)
    }

    /// From a pagination token.
    pub fn from_token(token: &str) -> Option<Self> {
        let mut fields = token.strip_prefix('t')?.split('_');
        let place = Self {
            era: fields.next()?.parse().ok()?,
            pos: fields.next()?.parse().ok()?,
            index: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(place)
    }
}

impl KeyFields for Place {
    fn write(&self, out: &mut KeyWriter) {
        self.era.write(out);
        StreamPos(self.pos).write(out);
        self.index.write(out);
    }
    fn read(from: &mut KeyReader<'_>) -> Option<Self> {
        Some(Self { era: u8::read(from)?, pos: u64::read(from)?, index: u16::read(from)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_comes_before_live_events_and_older_history_first() {
        let mut places = [
            Place::live(StreamPos(4), 0),
            Place::history(0),
            Place::after(StreamPos(3)),
            Place::history(9),
            Place::live(StreamPos(3), 7),
        ];
        places.sort();
        assert_eq!(
            places,
            [
                Place::history(9),
                Place::history(0),
                Place::live(StreamPos(3), 7),
                Place::after(StreamPos(3)),
                Place::live(StreamPos(4), 0),
            ]
        );
    }

    #[test]
    fn tokens_read_back_and_garbage_does_not() {
        let place = Place::live(StreamPos(17), 3);
        assert_eq!(Place::from_token(&place.to_token()), Some(place));
        for bad in ["", "t", "t1", "t1_2", "t1_2_3_4", "tx_2_3", "s12", "t-1_2_3"] {
            assert_eq!(Place::from_token(bad), None, "{bad}");
        }
    }
}
