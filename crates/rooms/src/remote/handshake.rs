//! The first step with another server: a template, compared, and our own event made of it.

use blaupause_federation::FederationError;
use blaupause_graph::{Pdu, seal};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomVersionId, ServerName,
    api::federation::membership::{prepare_join_event, prepare_knock_event, prepare_leave_event},
    room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value, value::RawValue};

use super::{
    step_limits,
    template::{Wanted, rebuild},
};
use crate::{Handshake, Rooms, RoomsError, SUPPORTED_VERSIONS};

/// Our signed event, ready to be handed over.
pub(super) struct Prepared {
    pub version: RoomVersionId,
    pub rules: RoomVersionRules,
    pub pdu: Pdu,
}

/// What is asked of each server in turn.
pub(super) struct Wish<'a> {
    pub kind: Handshake,
    pub room: &'a OwnedRoomId,
    pub user: &'a OwnedUserId,
    /// Content of the event.
    pub content: &'a Map<String, Value>,
}

impl Rooms {
    /// Ask a server for a template, and make our event.
    pub(super) async fn prepare(
        &self,
        server: &ServerName,
        wish: &Wish<'_>,
    ) -> Result<Prepared, RoomsError> {
        let (version, template) = self.template_of(server, wish).await?;
        let (version, rules) = self.supported(Some(&version))?;
        let data = self.data();
        let wanted = Wanted {
            room: wish.room,
            user: wish.user,
            membership: wish.kind.membership(),
            content: wish.content,
            now: data.env().now(),
        };
        let (draft, parents) = rebuild(&template, &wanted).map_err(bad_answer)?;
        let pdu = seal(&draft, &parents, data.server_name(), data.signing_key().pair(), &rules)
            .map_err(bad_answer)?;
        self.must_be_vouched_by_ours(&pdu)?;
        Ok(Prepared { version, rules, pdu })
    }

    async fn template_of(
        &self,
        server: &ServerName,
        wish: &Wish<'_>,
    ) -> Result<(RoomVersionId, Box<RawValue>), RoomsError> {
        let (room, user) = (wish.room.clone(), wish.user.clone());
        let (federation, limits) = (self.federation(), step_limits());
        // Who says no version means the first, which nobody here knows.
        let (version, template) = match wish.kind {
            Handshake::Join => {
                let mut request = prepare_join_event::v1::Request::new(room, user);
                request.ver = SUPPORTED_VERSIONS.to_vec();
                let answer = federation.call_within(server, request, limits).await?;
                (answer.room_version, answer.event)
            }
            Handshake::Knock => {
                let mut request = prepare_knock_event::v1::Request::new(room, user);
                request.ver = SUPPORTED_VERSIONS.to_vec();
                let answer = federation.call_within(server, request, limits).await?;
                (Some(answer.room_version), answer.event)
            }
            Handshake::Leave => {
                let request = prepare_leave_event::v1::Request::new(room, user);
                let answer = federation.call_within(server, request, limits).await?;
                (answer.room_version, answer.event)
            }
        };
        Ok((version.unwrap_or(RoomVersionId::V1), template))
    }
}

/// Another server's answer is not what it should be.
pub(super) fn bad_answer(why: impl std::fmt::Display) -> RoomsError {
    FederationError::BadAnswer(why.to_string()).into()
}
