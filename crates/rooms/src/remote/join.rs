//! Coming into a room through another server.

use std::time::Duration;

use blaupause_federation::{CallLimits, FederationError};
use blaupause_graph::{Pdu, Unverified};
use ruma::{
    ServerName,
    api::federation::membership::create_join_event::v2::{Request, RoomState},
    room_version_rules::RoomVersionRules,
};
use serde_json::{json, value::RawValue};

use super::{
    handshake::{Wish, bad_answer},
    via::Tries,
};
use crate::{
    ChangeMembership, Handshake, Rooms, RoomsError,
    import::Import,
    partial::{ServersSaid, servers_named},
    remote::handshake::Prepared,
};

/// State events of a room that a server may send us; a room with 100,000 members has some more
/// than that.
const STATE_EVENTS_MAX: usize = 500_000;
/// Events that those rest on.
const AUTH_EVENTS_MAX: usize = 500_000;

/// When other servers are asked again whether somebody may come in who should.
const ASK_AGAIN: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_millis(1_500)];

impl Rooms {
    /// Join a room that this server is not in.
    pub(super) async fn join_outside(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        if change.as_guest {
            return Err(RoomsError::Forbidden("guests join rooms of this server only"));
        }
        self.join_through_others(change).await
    }

    /// Join a room that this server is in, where nobody of it may let the person in, though they are
    /// in a room whose members may. They may have come there this moment: then the other servers do
    /// not know it yet, and are asked again.
    pub(crate) async fn join_by_others_leave(
        &self,
        change: &ChangeMembership,
    ) -> Result<(), RoomsError> {
        let (rooms, change) = (self.clone(), change.clone());
        let work = self.data().env().spawn(async move {
            let _turn = rooms.flights().enter(&change.room).await;
            for pause in ASK_AGAIN {
                match rooms.join_through_others(&change).await {
                    Err(error) if is_forbidden(&error) => tokio::time::sleep(pause).await,
                    done => return done,
                }
                match rooms.change_here(&change).await {
                    Err(RoomsError::CannotGrantJoin) => {}
                    done => return done,
                }
            }
            rooms.join_through_others(&change).await
        });
        work.await.unwrap_or_else(|_| Err(crate::send::busy()))
    }

    async fn join_through_others(&self, change: &ChangeMembership) -> Result<(), RoomsError> {
        let servers = self.candidates(&change.target, &change.room, &change.via).await?;
        self.must_be_enterable(&change.room, [], &[])?;
        let mut content = self.join_content(&change.target).await?;
        content.extend(change.reason.as_ref().map(|reason| ("reason".to_owned(), json!(reason))));
        let wish = Wish {
            kind: Handshake::Join,
            room: &change.room,
            user: &change.target,
            content: &content,
        };
        let mut tries = Tries::default();
        for server in &servers {
            match self.join_through(server, &wish).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.failed(server, error)?,
            }
        }
        Err(tries.end())
    }

    async fn join_through(&self, server: &ServerName, wish: &Wish<'_>) -> Result<(), RoomsError> {
        let prepared = self.prepare(server, wish).await?;
        let id = prepared.pdu.event_id().to_owned();
        let mut request = Request::new(wish.room.clone(), id, prepared.pdu.to_raw());
        request.omit_members = self.settings().faster_joins;
        let answer = self.federation().call_within(server, request, CallLimits::LARGE).await?;
        self.federation().handed_over(prepared.pdu.event_id());
        let taken = self.take_in(server, wish, prepared, answer.room_state).await;
        if let Err(error) = &taken {
            // There, we are in the room now; here, we are not and will not be.
            tracing::warn!(%server, room = %wish.room, %error, "a room was not taken over");
            self.take_back(server, wish);
        }
        taken
    }

    async fn take_in(
        &self,
        server: &ServerName,
        wish: &Wish<'_>,
        prepared: Prepared,
        answer: RoomState,
    ) -> Result<(), RoomsError> {
        let asked = self.settings().faster_joins;
        let event = joined_event(&prepared.pdu, &answer, asked, &prepared.rules)?;
        let partial = self.servers_said(server, &answer)?;
        let told = answer.state.iter().chain(&answer.auth_chain).map(|event| &**event);
        let said = partial.as_ref().map(|said| said.in_room.as_slice()).unwrap_or_default();
        self.must_be_enterable(wish.room, told, said)?;
        let is_outside = self.is_outside(wish.room).await?;
        if !is_outside || self.is_partial(wish.room).await? {
            // The room is here, or was until a moment ago: what is known of it goes on.
            match self.accept(server, wish.room, event.clone()).await {
                Ok(_) => return self.forget_outside(wish.user, wish.room).await,
                Err(error) if !is_outside => return Err(error),
                Err(error) => tracing::debug!(room = %wish.room, %error, "a room begins anew"),
            }
        }
        self.import(Import {
            room: wish.room.clone(),
            version: prepared.version,
            origin: server.to_owned(),
            state: answer.state,
            auth_chain: answer.auth_chain,
            event,
            partial,
        })
        .await
        .map_err(not_whole)?;
        self.forget_outside(wish.user, wish.room).await
    }

    /// Who is in the room, if its members were left out.
    fn servers_said(
        &self,
        server: &ServerName,
        answer: &RoomState,
    ) -> Result<Option<ServersSaid>, RoomsError> {
        if !answer.members_omitted {
            return Ok(None);
        }
        let names = answer.servers_in_room.as_deref();
        let names = names.ok_or_else(|| bad_answer("neither members nor servers are named"))?;
        let mut in_room = servers_named(names);
        let own = self.data().server_name();
        in_room.retain(|name| name != own);
        if !in_room.iter().any(|name| name == server) {
            in_room.push(server.to_owned());
        }
        Ok(Some(ServersSaid { via: server.to_owned(), in_room }))
    }
}

fn is_forbidden(error: &RoomsError) -> bool {
    matches!(error, RoomsError::Federation(FederationError::Remote { status: 403, .. }))
}

/// What is wrong with a room is not the fault of who wants to join it.
fn not_whole(error: RoomsError) -> RoomsError {
    match error {
        RoomsError::Refused(refusal) => bad_answer(refusal),
        error => error,
    }
}

/// The join as it is to be stored: ours, with the signature of whoever vouches. Pure.
fn joined_event(
    ours: &Pdu,
    answer: &RoomState,
    may_omit: bool,
    rules: &RoomVersionRules,
) -> Result<Box<RawValue>, RoomsError> {
    if answer.members_omitted && !may_omit {
        return Err(bad_answer("members are missing, and nobody asked for that"));
    }
    if answer.state.len() > STATE_EVENTS_MAX || answer.auth_chain.len() > AUTH_EVENTS_MAX {
        return Err(bad_answer("the room is too large"));
    }
    let Some(event) = &answer.event else { return Ok(ours.to_raw()) };
    // The id covers all but the signatures: the same id is the same event.
    let theirs = Unverified::parse(event, rules).map_err(bad_answer)?;
    if theirs.event_id() != ours.event_id() {
        return Err(bad_answer("the event is not the one that was sent"));
    }
    Ok(event.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn raw(json: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(json).expect("JSON")
    }

    #[test]
    fn an_answer_without_members_is_refused() {
        let rules = ruma::RoomVersionId::V11.rules().expect("known");
        let event = json!({
            "type": "m.room.member", "room_id": "!r:a.example", "sender": "@a:a.example",
            "state_key": "@a:a.example", "content": { "membership": "join" }, "depth": 2,
            "origin_server_ts": 1, "auth_events": [], "prev_events": [],
            "hashes": { "sha256": "AAAA" }, "signatures": {},
        });
        let ours = Unverified::parse(&raw(&event), &rules).expect("well formed");
        let id = ours.event_id().to_owned();
        let ours = Pdu::from_stored(event.to_string(), id, &rules).expect("well formed");
        let mut answer = RoomState::new();
        assert!(joined_event(&ours, &answer, false, &rules).is_ok(), "ours, if none is answered");
        answer.event = Some(raw(&event));
        assert!(joined_event(&ours, &answer, false, &rules).is_ok());
        let mut other = event;
        other["depth"] = json!(3);
        answer.event = Some(raw(&other));
        assert!(joined_event(&ours, &answer, false, &rules).is_err(), "another event");
        answer.event = None;
        answer.members_omitted = true;
        assert!(joined_event(&ours, &answer, false, &rules).is_err());
        assert!(joined_event(&ours, &answer, true, &rules).is_ok(), "where that was asked for");
    }
}
