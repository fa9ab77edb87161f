//! An invitation is taken back, or a knock refused, in a room that this server is not in.

use blaupause_data::Member;
use ruma::{OwnedUserId, RoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ending::as_told, outside::NewOutside};
use crate::{Rooms, RoomsError, member_event::MemberEvent};

#[derive(Deserialize)]
struct Concerns {
    state_key: OwnedUserId,
}

impl Rooms {
    /// Events of a room that this server is not in, sent to us. If one ends an invitation or knock
    /// of one of our people, they see it. Everything else is not for us.
    ///
    /// What the room says of it nobody here can know, neither who may do what there. So only whom
    /// the person had to do with is believed: the one who invited them or, where they knocked,
    /// whoever names the very event.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn take_outside_events(
        &self,
        origin: &ServerName,
        room: &RoomId,
        events: &[Box<RawValue>],
    ) -> Result<(), RoomsError> {
        for raw in events {
            self.take_outside_event(origin, room, raw).await?;
        }
        Ok(())
    }

    async fn take_outside_event(
        &self,
        origin: &ServerName,
        room: &RoomId,
        raw: &RawValue,
    ) -> Result<(), RoomsError> {
        let Ok(Concerns { state_key: user }) = serde_json::from_str(raw.get()) else {
            return Ok(());
        };
        if !self.data().is_local(&user) {
            return Ok(());
        }
        let Some(outside) = self.outside(&user, room).await? else { return Ok(()) };
        let row = self.data().membership(&user, room).await?.filter(|row| row.room_id == room);
        let Some(row) = row else { return Ok(()) };
        let Some(rules) = blaupause_graph::rules_of(&outside.version) else { return Ok(()) };
        let Ok(event) = MemberEvent::read(raw, &rules) else { return Ok(()) };
        let membership = match &*event.membership {
            "leave" => Member::Leave,
            "ban" => Member::Ban,
            _ => return Ok(()),
        };
        let pdu = &event.pdu;
        let concerns = pdu.room_id() == room && pdu.state_key() == Some(user.as_str());
        let is_believed = match row.membership {
            Member::Invite => *pdu.sender() == row.sender,
            _ => pdu.auth_events().contains(&outside.event_id),
        };
        let from_there =
            pdu.sender().server_name() == origin || outside.via.iter().any(|via| via == origin);
        if !concerns || !from_there || !is_believed {
            return Ok(());
        }
        let Ok(pdu) = self.verified(event, &rules).await else { return Ok(()) };
        let new = NewOutside {
            room: room.to_owned(),
            user,
            membership,
            sender: pdu.sender().to_owned(),
            stripped: as_told(&pdu),
            from: None,
            told: None,
        };
        self.write_outside(new, |now| matches!(now, Some(Member::Invite | Member::Knock))).await
    }
}
