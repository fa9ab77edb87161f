//! What an event says it relates to (client-server API, "Forming relationships between events").

use blaupause_data::rows::EventNoRow;
use blaupause_graph::{Draft, EventNo};
use ruma::OwnedEventId;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{RoomsError, append::Appending};

/// Longest relation type that is indexed, in bytes. It is part of a key.
const REL_TYPE_BYTES_MAX: usize = 255;

/// The relation of a reply in a thread to the event that the thread began with.
pub(crate) const THREAD: &str = "m.thread";

/// A relation to an event that this room has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub target: EventNo,
    pub rel_type: String,
}

/// Relation type and target as the content says. A reply (`m.in_reply_to`) is no relation.
pub(crate) fn relation_in(content: &RawValue) -> Option<(String, OwnedEventId)> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: RelatesTo,
    }
    #[derive(Deserialize)]
    struct RelatesTo {
        rel_type: String,
        event_id: OwnedEventId,
    }
    let RelatesTo { rel_type, event_id } =
        serde_json::from_str::<Content>(content.get()).ok()?.relates_to;
    let fits = !rel_type.is_empty() && rel_type.len() <= REL_TYPE_BYTES_MAX;
    fits.then_some((rel_type, event_id))
}

impl Appending<'_> {
    /// The relation of a draft, if its target is an event of this room.
    pub(crate) async fn relation_of(&self, draft: &Draft) -> Result<Option<Relation>, RoomsError> {
        let Some((rel_type, target)) = relation_in(&draft.content) else { return Ok(None) };
        let data = self.rooms.data();
        let hash = data.parts().hash16(target.as_str());
        let row = data.get::<EventNoRow>(self.part(), &hash).await?;
        Ok(row.map(|row| Relation { target: row.value, rel_type }))
    }
}
