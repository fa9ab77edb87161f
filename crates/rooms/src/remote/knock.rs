//! Knocking at a room that this server is not in.

use blaupause_data::Member;
use ruma::{ServerName, api::federation::membership::create_knock_event::v1::Request};
use serde_json::json;

use super::{handshake::Wish, outside::NewOutside, step_limits, stripped::stripped, via::Tries};
use crate::{ChangeMembership, Handshake, Rooms, RoomsError, profiles::add_profile, rows::Outside};

impl Rooms {
    pub(super) async fn knock_outside(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        let (user, room) = (&change.target, &change.room);
        // Who knocked already may do so again: it may have been refused, and the refusal is on its
        // way.
        let now = self.data().membership(user, room).await?.map(|row| row.value.membership);
        if now == Some(Member::Invite) {
            return Err(RoomsError::Forbidden("you are invited to this room"));
        }
        let servers = self.candidates(user, room, &change.via).await?;
        self.must_be_enterable(room, [], &[])?;
        let mut content = serde_json::Map::new();
        add_profile(&mut content, &self.profile(user).await?);
        content.extend(change.reason.as_ref().map(|reason| ("reason".to_owned(), json!(reason))));
        let wish = Wish { kind: Handshake::Knock, room, user, content: &content };
        let mut tries = Tries::default();
        for server in &servers {
            match self.knock_through(server, &wish).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.failed(server, error)?,
            }
        }
        Err(tries.end())
    }

    async fn knock_through(&self, server: &ServerName, wish: &Wish<'_>) -> Result<(), RoomsError> {
        let prepared = self.prepare(server, wish).await?;
        let event_id = prepared.pdu.event_id().to_owned();
        let request = Request::new(wish.room.clone(), event_id.clone(), prepared.pdu.to_raw());
        let answer = self.federation().call_within(server, request, step_limits()).await?;
        self.must_be_described_enterable(wish.room, &answer.knock_room_state)?;
        let stripped = stripped(answer.knock_room_state, &prepared.pdu, &prepared.rules);
        let new = NewOutside {
            room: wish.room.clone(),
            user: wish.user.clone(),
            membership: Member::Knock,
            sender: wish.user.clone(),
            stripped,
            from: Some(Outside {
                room_id: wish.room.clone(),
                event_id,
                version: prepared.version,
                via: vec![server.to_owned()],
                left: None,
            }),
            told: None,
        };
        // Somebody may have been invited meanwhile: that says more.
        self.write_outside(new, |now| now != Some(Member::Invite)).await
    }
}
