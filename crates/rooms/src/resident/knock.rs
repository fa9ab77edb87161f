//! What somebody who knocks may know of the room.

use ruma::events::StateEventType;
use serde_json::value::RawValue;

use crate::{RoomsError, append::Appending, hot::StateName, stripped::STRIPPED_TYPES};

/// Bytes of the events that are sent along with an invitation or as the answer to a knock. Other
/// servers refuse, or choke on, requests that are much larger than an event (CVE-2023-32323).
const SENT_BYTES_MAX: usize = 60_000;

impl Appending<'_> {
    /// The events that describe the room to a server that is not in it, as whole events: the create
    /// event first, what is too large left out (server-server API, `PUT /invite`, `PUT
    /// /send_knock`). `sender`: whose member event is sent along, so that clients can show a name.
    pub(crate) async fn described(
        &mut self,
        sender: Option<&str>,
    ) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let mut names: Vec<StateName> =
            STRIPPED_TYPES.iter().map(|kind| (kind.clone(), String::new())).collect();
        names.extend(sender.map(|user| (StateEventType::RoomMember, user.to_owned())));
        self.look_up(&names).await?;
        let mut left = SENT_BYTES_MAX;
        let mut events = Vec::with_capacity(names.len());
        for (kind, key) in &names {
            let Some(pdu) = self.state(kind, key) else { continue };
            if let Some(rest) = left.checked_sub(pdu.json().len()) {
                left = rest;
                events.push(pdu.to_raw());
            }
        }
        Ok(events)
    }
}
