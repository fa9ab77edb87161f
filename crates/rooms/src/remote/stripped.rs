//! What another server tells of a room that we are not in: shown to one person, believed by
//! nobody.

use blaupause_graph::{Pdu, Unverified};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, RoomId,
    api::federation::membership::RawStrippedState, room_version_rules::RoomVersionRules,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Rooms, RoomsError,
    stripped::{STRIPPED_BYTES_MAX, strip},
};

/// Events that describe a room.
const EVENTS_MAX: usize = 50;

/// An event in few words. Anything else that came with it is left out.
#[derive(Deserialize, Serialize)]
struct Stripped<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    sender: OwnedUserId,
    state_key: String,
    #[serde(rename = "type")]
    kind: String,
    /// Of the create event, by which clients recognise a room of version 12 and later (MSC4311).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<OwnedEventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
}

/// Stripped state, as it is stored and shown: what has the right shape, bounded, and the member
/// event last. Pure.
pub(super) fn stripped(
    told: Vec<RawStrippedState>,
    member: &Pdu,
    rules: &RoomVersionRules,
) -> Vec<String> {
    let own = strip(member);
    let mut left = STRIPPED_BYTES_MAX.saturating_sub(own.len());
    let mut events: Vec<String> = told
        .into_iter()
        .take(EVENTS_MAX)
        .filter_map(|event| readable(&event, member, rules))
        .filter(|event| {
            let fits = event.len() <= left;
            left -= if fits { event.len() } else { 0 };
            fits
        })
        .collect();
    events.push(own);
    events
}

impl Rooms {
    /// May our people come into a room that is described like this?
    ///
    /// # Errors
    /// [`RoomsError::MixedRoom`].
    pub(super) fn must_be_described_enterable(
        &self,
        room: &RoomId,
        told: &[RawStrippedState],
    ) -> Result<(), RoomsError> {
        let told = told.iter().filter_map(|event| match event {
            RawStrippedState::Pdu(event) => Some(&**event),
            #[expect(deprecated, reason = "servers still send it")]
            RawStrippedState::Stripped(event) => Some(event.json()),
            _ => None,
        });
        self.must_be_enterable(room, told, &[])
    }
}

fn readable(told: &RawStrippedState, member: &Pdu, rules: &RoomVersionRules) -> Option<String> {
    let (json, id) = match told {
        RawStrippedState::Pdu(pdu) => {
            // A whole event says which room it is of; a create event even proves it.
            let whole = Unverified::parse(pdu, rules).ok();
            let whole = whole.filter(|whole| whole.room_id() == member.room_id())?;
            (pdu.get(), Some(whole.event_id().to_owned()))
        }
        #[expect(deprecated, reason = "servers still send it")]
        RawStrippedState::Stripped(event) => (event.json().get(), None),
        _ => return None,
    };
    let mut event: Stripped<'_> = serde_json::from_str(json).ok()?;
    event.event_id = id.filter(|_| event.kind == "m.room.create");
    event.origin_server_ts = event.origin_server_ts.filter(|_| event.event_id.is_some());
    let says_member =
        event.kind == "m.room.member" && Some(&*event.state_key) == member.state_key();
    // The member event itself comes from the event that was signed.
    (event.content.get().starts_with('{') && !says_member)
        .then(|| serde_json::to_string(&event).ok())
        .flatten()
}
