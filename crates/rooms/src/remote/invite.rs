//! Inviting somebody of another server: their server signs before the event is part of the room.

use std::{collections::BTreeSet, time::Duration};

use blaupause_graph::{Draft, Pdu};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedUserId, RoomId, RoomVersionId,
    ServerName, UserId,
    api::federation::membership::{RawStrippedState, create_invite::v2::Request},
    room_version_rules::RoomVersionRules,
};
use serde_json::{Map, json, value::RawValue};

use super::handshake::bad_answer;
use crate::{
    ChangeMembership, CreateRoom, MembershipAction, Rooms, RoomsError, append::Appending,
    member_event::MemberEvent, send::busy, validate,
};

/// Signatures of one server on one event. A server has one key, two while it changes.
const SIGNATURES_MAX: usize = 4;

/// What an invitation would be.
enum Proposal {
    /// The room has it already.
    Said(OwnedEventId),
    New(Box<Proposed>),
}

/// How long somebody who makes a room waits for the invited.
const WAIT_TIME: Duration = Duration::from_secs(20);

/// An invitation that is not yet in the room.
struct Proposed {
    version: RoomVersionId,
    rules: RoomVersionRules,
    pdu: Pdu,
    described: Vec<Box<RawValue>>,
}

impl Rooms {
    pub(super) async fn invite_other(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        let mut content = Map::new();
        content.insert("membership".to_owned(), json!("invite"));
        content.extend(change.reason.as_ref().map(|reason| ("reason".to_owned(), json!(reason))));
        if change.is_direct {
            content.insert("is_direct".to_owned(), json!(true));
        }
        let ChangeMembership { room, sender, target, .. } = change;
        let draft = self.member_draft(room, sender, target, &content)?;
        self.invite_by(target, draft).await.map(drop)
    }

    /// As other state events are sent: the content is the sender's. It goes on even if nobody waits
    /// for it any more.
    pub(crate) async fn invite_with(
        &self,
        target: &UserId,
        draft: Draft,
    ) -> Result<OwnedEventId, RoomsError> {
        let (rooms, target) = (self.clone(), target.to_owned());
        let work = self.data().env().spawn(async move { rooms.invite_by(&target, draft).await });
        work.await.unwrap_or_else(|_| Err(busy()))
    }

    /// The people of other servers who are invited to a new room. The room is there, whatever
    /// becomes of it: who cannot be reached can be invited again.
    pub(crate) async fn invite_others(
        &self,
        request: &CreateRoom,
        room: &RoomId,
        others: BTreeSet<OwnedUserId>,
    ) {
        if others.is_empty() {
            return;
        }
        let (rooms, room, by) = (self.clone(), room.to_owned(), request.creator.clone());
        let is_direct = request.is_direct;
        // One after the other, so that the events do not fork the room.
        let work = self.data().env().spawn(async move {
            for other in others {
                let (room, by) = (room.clone(), by.clone());
                let mut change = ChangeMembership::of(room, by, other, MembershipAction::Invite);
                change.is_direct = is_direct;
                if let Err(error) = rooms.invite_other(&change).await {
                    tracing::info!(room = %change.room, %error, "somebody could not be invited");
                }
            }
        });
        // The rest goes on without whoever waits.
        drop(tokio::time::timeout(WAIT_TIME, work).await);
    }

    async fn invite_by(&self, target: &UserId, draft: Draft) -> Result<OwnedEventId, RoomsError> {
        let server = target.server_name();
        self.federation().permits(server)?;
        let room = draft.room_id.clone().ok_or(RoomsError::RoomUnknown)?;
        let Proposed { version, rules, pdu, described } =
            match self.proposal(&room, server, &draft).await? {
                Proposal::Said(event) => return Ok(event),
                Proposal::New(proposed) => *proposed,
            };
        let pdu = self.signed_by_policy_server(&room, pdu).await?;
        let state = described.into_iter().map(RawStrippedState::Pdu).collect();
        let id = pdu.event_id().to_owned();
        let request = Request::new(room.clone(), id.clone(), version, pdu.to_raw(), state);
        let answer = self.federation().call(server, request).await?;
        let signed = with_signature(&pdu, &answer.event, server, &rules)?;
        self.must_be_cosigned(&signed, server, &rules).await?;
        self.accept(self.data().server_name(), &room, signed).await?;
        Ok(id)
    }

    /// Nobody of the room asks for the signature of who is invited, so that a wrong one would never
    /// be found later.
    async fn must_be_cosigned(
        &self,
        event: &RawValue,
        server: &ServerName,
        rules: &RoomVersionRules,
    ) -> Result<(), RoomsError> {
        // With the signature it must still be an event.
        let mut event = MemberEvent::read(event, rules).map_err(bad_answer)?;
        event.unverified = event.unverified.signed_by(server.to_owned());
        self.verified(event, rules).await.map(drop).map_err(bad_answer)
    }

    /// The event, if it says anything new.
    async fn proposal(
        &self,
        room: &RoomId,
        server: &ServerName,
        draft: &Draft,
    ) -> Result<Proposal, RoomsError> {
        validate::nesting(&draft.content)?;
        let mut lane = self.lane(room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        if batch.must_admit(server).await.is_err() {
            return Err(RoomsError::Forbidden("this person's server is kept out of this room"));
        }
        // A second invitation with the same words says nothing new.
        if let Some(same) = batch.says_already(draft).await? {
            return Ok(Proposal::Said(same.event_id().to_owned()));
        }
        let pdu = batch.propose(draft).await?;
        let described = batch.described(Some(draft.sender.as_str())).await?;
        let (version, rules) = (batch.head.version.clone(), batch.hot.rules.clone());
        Ok(Proposal::New(Box::new(Proposed { version, rules, pdu, described })))
    }
}

/// Our event with the other server's signature. Of the answer nothing else is taken: what was
/// changed in it does not matter. Pure.
fn with_signature(
    ours: &Pdu,
    answer: &RawValue,
    server: &ServerName,
    rules: &RoomVersionRules,
) -> Result<Box<RawValue>, RoomsError> {
    let theirs = MemberEvent::read(answer, rules).map_err(bad_answer)?;
    if theirs.pdu.event_id() != ours.event_id() {
        return Err(bad_answer("the event is not the one that was sent"));
    }
    let parse = |pdu: &Pdu| serde_json::from_str::<CanonicalJsonObject>(pdu.json());
    let (mut event, theirs) =
        (parse(ours).map_err(bad_answer)?, parse(&theirs.pdu).map_err(bad_answer)?);
    let signed = theirs.get("signatures").and_then(CanonicalJsonValue::as_object);
    let signed = signed.and_then(|signatures| signatures.get(server.as_str()));
    let signed = signed.and_then(CanonicalJsonValue::as_object);
    let signed = signed.filter(|keys| !keys.is_empty() && keys.len() <= SIGNATURES_MAX);
    let Some(signed) = signed else {
        return Err(bad_answer("the event is not signed by the server that was asked"));
    };
    if let Some(CanonicalJsonValue::Object(signatures)) = event.get_mut("signatures") {
        signatures.insert(server.to_string(), CanonicalJsonValue::Object(signed.clone()));
    }
    validate::raw(&event)
}
