//! The event with which a membership ends in a room that this server is not in, as its owner's
//! clients see it.

use blaupause_graph::{Draft, Parents, Pdu, rules_of, seal};
use ruma::{RoomId, UserId, events::TimelineEventType};
use serde_json::{Map, Value, json};

use crate::{Rooms, RoomsError, stripped::STRIPPED_BYTES_MAX, validate};

/// As an event of a timeline, JSON; none if it is too long to be kept.
pub(super) fn as_told(pdu: &Pdu) -> Vec<String> {
    let event = json!({
        "type": pdu.kind(),
        "event_id": pdu.event_id(),
        "sender": pdu.sender(),
        "state_key": pdu.state_key(),
        "origin_server_ts": pdu.origin_server_ts(),
        "content": pdu.content(),
    });
    Some(event.to_string()).filter(|event| event.len() <= STRIPPED_BYTES_MAX).into_iter().collect()
}

impl Rooms {
    /// An own leave that follows the invitation or knock. The room may get another one, made from
    /// its template, or none: it may not even exist any more.
    pub(super) async fn own_leave(
        &self,
        room: &RoomId,
        user: &UserId,
        content: &Map<String, Value>,
    ) -> Result<Vec<String>, RoomsError> {
        let Some(outside) = self.outside(user, room).await? else { return Ok(Vec::new()) };
        let Some(rules) = rules_of(&outside.version) else { return Ok(Vec::new()) };
        let mut content = content.clone();
        content.insert("membership".to_owned(), json!("leave"));
        let draft = Draft::new(
            Some(room.to_owned()),
            user.to_owned(),
            TimelineEventType::RoomMember,
            validate::raw(&content)?,
            self.data().env().now(),
        );
        let before = vec![outside.event_id];
        let parents = Parents { prev_events: before.clone(), auth_events: before, depth: 1 };
        let data = self.data();
        let (draft, key) = (draft.state_key(user.as_str()), data.signing_key().pair());
        // A reason may be too long for an event; then others are told nothing of it, either.
        let leave = seal(&draft, &parents, data.server_name(), key, &rules);
        Ok(leave.map(|pdu| as_told(&pdu)).unwrap_or_default())
    }
}
