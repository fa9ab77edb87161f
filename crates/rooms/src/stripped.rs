//! The view of a room for those who are not in it (client-server API, "Stripped state").

use blaupause_graph::Pdu;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch,
    events::{StateEventType, TimelineEventType},
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{RoomsError, append::Appending, hot::StateName};

/// What somebody who is invited may know of the room.
pub(crate) const STRIPPED_TYPES: [StateEventType; 7] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
];

/// Longest stripped state, in bytes: the row that holds it must stay small. What does not fit is
/// left out, the create and the member event last.
pub(crate) const STRIPPED_BYTES_MAX: usize = 60_000;

#[derive(Serialize)]
struct Stripped<'a> {
    content: &'a RawValue,
    sender: &'a str,
    state_key: &'a str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    of_create: Option<OfCreate<'a>>,
}

/// What comes with a create event beyond the rest: clients recognise the room by it (MSC4311).
#[derive(Serialize)]
struct OfCreate<'a> {
    event_id: &'a EventId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
}

/// An event as stripped state, JSON.
pub(crate) fn strip(pdu: &Pdu) -> String {
    let stripped = Stripped {
        content: pdu.content(),
        sender: pdu.sender().as_str(),
        state_key: pdu.state_key().unwrap_or_default(),
        kind: pdu.kind().to_string(),
        of_create: (*pdu.kind() == TimelineEventType::RoomCreate).then(|| OfCreate {
            event_id: pdu.event_id(),
            origin_server_ts: pdu.origin_server_ts(),
        }),
    };
    serde_json::to_string(&stripped).expect("an event is JSON")
}

impl Appending<'_> {
    /// Stripped state that goes with an invite or knock, the member event last. With an invite goes
    /// the member event of who invites: clients show their name and avatar.
    pub(crate) async fn stripped_for(&mut self, member: &Pdu) -> Result<Vec<String>, RoomsError> {
        let mut names: Vec<StateName> =
            STRIPPED_TYPES.iter().map(|kind| (kind.clone(), String::new())).collect();
        if member.state_key() != Some(member.sender().as_str()) {
            names.push((StateEventType::RoomMember, member.sender().to_string()));
        }
        self.look_up(&names).await?;
        let member = strip(member);
        let mut left = STRIPPED_BYTES_MAX.saturating_sub(member.len());
        let mut events: Vec<String> = names
            .iter()
            .filter_map(|(kind, state_key)| self.state(kind, state_key))
            .map(|pdu| strip(&pdu))
            .filter(|event| {
                let fits = event.len() <= left;
                left -= if fits { event.len() } else { 0 };
                fits
            })
            .collect();
        events.push(member);
        Ok(events)
    }
}
