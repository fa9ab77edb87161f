//! Rooms with a policy server (server-server API, "Policy Servers"): it is asked for its signature
//! before an event of ours goes in, and for one that an event of others lacks.
//!
//! Nobody is asked while a room is held. Whoever holds it and finds that the policy server has to
//! be asked gives up with [`RoomsError::Unasked`]; [`Rooms::before_next_try`] asks, and the next
//! try finds the answer.

mod ask;
mod words;

use std::borrow::Cow;

use blaupause_data::rows::RoomServerRow;
use blaupause_graph::{Draft, Pdu, PolicyServer};
use ruma::{OwnedRoomId, ServerName, events::StateEventType, room_version_rules::RoomVersionRules};

use words::Word;
pub(crate) use words::Words;

use crate::{Rooms, RoomsError, append::Appending, relates::Relation, remote_append::Standing};

/// A policy server has to be asked about an event.
#[derive(Debug)]
pub struct Unasked {
    server: PolicyServer,
    rules: RoomVersionRules,
    pdu: Pdu,
    /// Under which the signed event is kept, if it is one of ours.
    draft: Option<[u8; 16]>,
}

/// What the policy server says of an event that is to join the room.
pub(crate) enum Advice<'a> {
    /// Take it, perhaps with the signature that it lacked.
    Take(Cow<'a, Pdu>),
    /// Do not show it.
    Leave(String),
}

impl Appending<'_> {
    /// The room's policy server, if it has one.
    async fn policy_server(&mut self) -> Result<Option<PolicyServer>, RoomsError> {
        // A room that is being made has nobody in it yet who could be asked.
        if self.hot.version == 0 {
            return Ok(None);
        }
        let name = (StateEventType::from("m.room.policy"), String::new());
        self.look_up(std::slice::from_ref(&name)).await?;
        let server = self.state(&name.0, &name.1).and_then(|pdu| PolicyServer::of(pdu.content()));
        let Some(server) = server else { return Ok(None) };
        let is_joined = self.has_joined(server.via()).await?;
        Ok(is_joined.then_some(server))
    }

    /// Whether somebody of a server is joined.
    async fn has_joined(&self, server: &ServerName) -> Result<bool, RoomsError> {
        if let Some((_, now)) = self.servers.get(server) {
            return Ok(*now > 0);
        }
        if let Some(now) = self.hot.servers.peek(server) {
            return Ok(*now > 0);
        }
        let server = server.to_owned();
        let row = self.rooms.data().get::<RoomServerRow>(self.part(), &server).await?;
        Ok(row.is_some_and(|row| row.value > 0))
    }

    /// What the policy server says of another server's event that the room allows.
    ///
    /// # Errors
    /// [`RoomsError::Unasked`].
    pub(crate) async fn advice<'b>(&mut self, pdu: &'b Pdu) -> Result<Advice<'b>, RoomsError> {
        if !PolicyServer::is_asked_about(pdu) {
            return Ok(Advice::Take(Cow::Borrowed(pdu)));
        }
        let Some(server) = self.policy_server().await? else {
            return Ok(Advice::Take(Cow::Borrowed(pdu)));
        };
        let rules = self.hot.rules.clone();
        if server.recommends(pdu, &rules) {
            return Ok(Advice::Take(Cow::Borrowed(pdu)));
        }
        let rooms = self.rooms;
        match rooms.words().of(pdu.event_id(), &server, rooms.data().env().now_millis()) {
            Some(Word::Signed(signed)) => Ok(Advice::Take(Cow::Owned(*signed))),
            Some(Word::No(why)) => Ok(Advice::Leave(why)),
            None => {
                let pdu = pdu.clone();
                Err(RoomsError::Unasked(Box::new(Unasked { server, rules, pdu, draft: None })))
            }
        }
    }

    /// An event of ours that the policy server has signed for this draft; says so once.
    ///
    /// # Errors
    /// [`RoomsError::Unasked`] if it has to be asked about `pdu`, as which the draft was sealed.
    pub(crate) async fn signed_for(
        &mut self,
        draft: &Draft,
        pdu: &Pdu,
    ) -> Result<Option<Pdu>, RoomsError> {
        if !PolicyServer::is_asked_about(pdu) {
            return Ok(None);
        }
        let Some(server) = self.policy_server().await? else { return Ok(None) };
        let rooms = self.rooms;
        let key = rooms.draft_key(draft);
        let now_ms = rooms.data().env().now_millis();
        while let Some(signed) = rooms.words().take_draft(&key, now_ms) {
            // The same words once more are another event.
            let id = signed.event_id().to_owned();
            let is_new = rooms.event_no(self.part(), &id).await?.is_none();
            if is_new && server.recommends(&signed, &self.hot.rules) {
                return Ok(Some(signed));
            }
        }
        let (rules, pdu) = (self.hot.rules.clone(), pdu.clone());
        Err(RoomsError::Unasked(Box::new(Unasked { server, rules, pdu, draft: Some(key) })))
    }

    /// Our own event, sealed some time ago: others may have spoken meanwhile.
    pub(crate) async fn push_signed(
        &mut self,
        signed: Pdu,
        fresh: &Pdu,
        relation: Option<Relation>,
    ) -> Result<Result<Pdu, (Pdu, Option<Relation>)>, RoomsError> {
        let is_where_it_was = fresh.prev_events() == signed.prev_events()
            && fresh.auth_events() == signed.auth_events();
        if is_where_it_was {
            return Ok(Err((signed, relation)));
        }
        match Box::pin(self.take(&signed, crate::remote_append::Way::Live)).await? {
            Standing::Live | Standing::Aside | Standing::Known => Ok(Ok(signed)),
            Standing::Rejected(why) | Standing::SoftFailed(why) => {
                Err(blaupause_graph::Refusal::NotAllowed(why).into())
            }
            Standing::Missing(_) => Err(crate::send::busy()),
        }
    }
}

impl Rooms {
    /// Whether there is a room with a policy server that has to be asked about an event of ours
    /// before it is told to anybody: then the event with its signature.
    ///
    /// # Errors
    /// [`RoomsError::NotRecommended`], [`RoomsError::Federation`].
    pub(crate) async fn signed_by_policy_server(
        &self,
        room: &OwnedRoomId,
        pdu: Pdu,
    ) -> Result<Pdu, RoomsError> {
        let (server, rules) = {
            let mut lane = self.lane(room).await?;
            let mut batch = Appending::new(self, lane.room()?);
            let server = batch.policy_server().await?;
            (server, batch.hot.rules.clone())
        };
        match server.filter(|_| PolicyServer::is_asked_about(&pdu)) {
            Some(server) => self.ask_for_signature(&server, &pdu, &rules).await,
            None => Ok(pdu),
        }
    }

    fn draft_key(&self, draft: &Draft) -> [u8; 16] {
        let Draft { room_id, sender, kind, state_key, content, redacts, sticky_ms, .. } = draft;
        let text = format!(
            "{room_id:?}\0{sender}\0{kind}\0{state_key:?}\0{redacts:?}\0{sticky_ms:?}\0{content}"
        );
        self.data().parts().hash16(&text)
    }
}
