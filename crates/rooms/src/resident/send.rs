//! The second step: the event is handed over.

use std::collections::HashSet;

use blaupause_graph::countersign;
use ruma::OwnedServerName;
use serde_json::value::RawValue;

use super::{HandedOver, Handshake};
use crate::{
    Rooms, RoomsError, ServerAccess, StateAt, append::Appending, member_event::MemberEvent,
};

/// The room as somebody who joins gets it.
#[derive(Clone, Debug)]
pub struct JoinedState {
    /// The event as it is in the room, with our signature if we vouched.
    pub event: Box<RawValue>,
    /// The state before the join.
    pub state: Vec<Box<RawValue>>,
    /// What the state and the join rest on.
    pub auth_chain: Vec<Box<RawValue>>,
    /// Members were left out: the servers that were in the room before the join.
    pub servers: Option<Vec<OwnedServerName>>,
}

impl Rooms {
    /// Another server's user joins (`send_join`). Durable when this returns.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`], [`RoomsError::Forbidden`], [`RoomsError::Refused`],
    /// [`RoomsError::Missing`], [`RoomsError::Invalid`], [`RoomsError::CannotAuthoriseJoin`].
    pub async fn take_join(&self, handed: &HandedOver) -> Result<JoinedState, RoomsError> {
        let (event, access, _) = self.let_in(handed).await?;
        let before = access.state_at(&handed.event_id).await?;
        let rests_on = access.event_auth(&handed.event_id).await?;
        let mut auth_chain = before.auth_chain;
        let have: HashSet<&str> = auth_chain.iter().map(|event| event.get()).collect();
        let more = rests_on.into_iter().filter(|event| !have.contains(event.get()));
        let more: Vec<_> = more.collect();
        auth_chain.extend(more);
        Ok(JoinedState { event, state: before.state, auth_chain, servers: None })
    }

    /// As [`Rooms::take_join`], for who does without being told at once who is in the room, but for
    /// those after whom it is called (`omit_members`).
    ///
    /// # Errors
    /// As there.
    pub async fn take_join_without_members(
        &self,
        handed: &HandedOver,
    ) -> Result<JoinedState, RoomsError> {
        let (event, access, servers) = self.let_in(handed).await?;
        let told = access.state_without_members_at(&handed.event_id).await?;
        let StateAt { state, auth_chain } = told;
        Ok(JoinedState { event, state, auth_chain, servers: Some(servers) })
    }

    /// The event as it is in the room, what its server may read there, and the servers that were
    /// there before.
    async fn let_in(
        &self,
        handed: &HandedOver,
    ) -> Result<(Box<RawValue>, ServerAccess, Vec<OwnedServerName>), RoomsError> {
        let event = self.checked(Handshake::Join, handed).await?;
        let servers = self.data().servers_in(&handed.room).await?;
        let event = self.accept(&handed.origin, &handed.room, event).await?.pdu.to_raw();
        self.pass_on(&handed.room, &handed.event_id, &handed.origin).await?;
        let access = self.server_access(&handed.origin, &handed.room).await?;
        Ok((event, access, servers))
    }

    /// Another server's user leaves or declines (`send_leave`). Durable when this returns.
    ///
    /// # Errors
    /// As [`Rooms::take_join`].
    pub async fn take_leave(&self, handed: &HandedOver) -> Result<(), RoomsError> {
        let event = self.checked(Handshake::Leave, handed).await?;
        self.accept(&handed.origin, &handed.room, event).await?;
        self.pass_on(&handed.room, &handed.event_id, &handed.origin).await?;
        Ok(())
    }

    /// Another server's user knocks (`send_knock`): gets what may be known of the room. Durable
    /// when this returns.
    ///
    /// # Errors
    /// As [`Rooms::take_join`].
    pub async fn take_knock(&self, handed: &HandedOver) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let event = self.checked(Handshake::Knock, handed).await?;
        self.accept(&handed.origin, &handed.room, event).await?;
        self.pass_on(&handed.room, &handed.event_id, &handed.origin).await?;
        let mut lane = self.lane(&handed.room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        batch.described(None).await
    }

    /// The event, if it is what the endpoint is for; with our signature where we vouch for a join.
    async fn checked(
        &self,
        kind: Handshake,
        handed: &HandedOver,
    ) -> Result<Box<RawValue>, RoomsError> {
        if kind != Handshake::Leave {
            self.must_be_whole_for_others(&handed.room).await?;
        }
        let mut lane = self.lane(&handed.room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        batch.must_serve(&handed.origin).await?;
        let rules = batch.hot.rules.clone();
        let member = MemberEvent::read(&handed.event, &rules)?;
        member.must_be(kind.membership(), &handed.room, &handed.event_id, &handed.origin)?;
        member.must_be_own()?;
        let own = self.data().server_name();
        let asks_us = member.voucher.is_some_and(|by| by.server_name() == own);
        if kind != Handshake::Join || !asks_us {
            return Ok(member.pdu.to_raw());
        }
        batch.must_vouch_for(member.pdu.sender()).await?;
        let key = self.data().signing_key();
        Ok(countersign(&member.pdu, own, key.pair(), &rules)?.to_raw())
    }
}
