//! How a server answers the others: what `blaupause-api` does for the same requests, without what
//! only HTTP needs. The signature of a request is checked, and ruma reads and writes it.

use blaupause_rooms::{
    Gap, HandedOver, Handshake, Invited, RoomsError, ServerAccess, TemplateQuery,
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use ruma::{
    OwnedEventId, OwnedServerName, RoomId,
    api::{
        IncomingRequest, IncomingRequestExt, OutgoingResponse, OutgoingResponseExt,
        federation::{
            authorization::get_event_authorization::v1 as event_auth,
            backfill::get_backfill::v1 as backfill,
            event::{
                get_event::v1 as event, get_missing_events::v1 as missing,
                get_room_state::v1 as state, get_room_state_ids::v1 as state_ids,
            },
            membership::{
                create_invite::v2 as invite, create_join_event::v2 as send_join,
                create_leave_event::v2 as send_leave, prepare_join_event::v1 as make_join,
                prepare_leave_event::v1 as make_leave,
            },
            transactions::send_transaction_message::v1 as send,
        },
    },
};
use serde_json::{Value, json};

use super::server::Server;

type Answered = Result<Response<Bytes>, Refused>;

/// Status and words.
struct Refused(StatusCode, String);

impl From<RoomsError> for Refused {
    fn from(error: RoomsError) -> Self {
        let status = match &error {
            RoomsError::Data(_) => StatusCode::INTERNAL_SERVER_ERROR,
            RoomsError::RoomUnknown | RoomsError::EventUnknown => StatusCode::NOT_FOUND,
            RoomsError::Forbidden(_) | RoomsError::Refused(_) | RoomsError::NotJoined => {
                StatusCode::FORBIDDEN
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

/// Answer a request.
pub async fn answer(server: &Server, request: Request<Bytes>) -> Response<Bytes> {
    match Box::pin(answered(server, request)).await {
        Ok(answer) => answer,
        Err(Refused(status, why)) => {
            let errcode =
                if status == StatusCode::NOT_FOUND { "M_NOT_FOUND" } else { "M_FORBIDDEN" };
            let body = json!({ "errcode": errcode, "error": why }).to_string();
            Response::builder().status(status).body(body.into()).expect("an answer")
        }
    }
}

async fn answered(server: &Server, request: Request<Bytes>) -> Answered {
    let path = request.uri().path().to_owned();
    if path == "/_matrix/key/v2/server" {
        let document = json!(server.federation.own_key_document()).to_string();
        return Ok(Response::new(document.into()));
    }
    let who = server.federation.verify_request(&request).await;
    let who = who.map_err(|error| Refused(StatusCode::UNAUTHORIZED, error.to_string()))?;
    let mut parts = path.trim_start_matches("/_matrix/federation/").split('/').map(decoded);
    let (version, endpoint) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let args: Vec<String> = parts.collect();
    let asked = Asked { server, who, request, args };
    match (version.as_str(), endpoint.as_str()) {
        ("v1", "send") => asked.transaction().await,
        ("v1", "get_missing_events") => asked.missing().await,
        ("v1", "state_ids") => asked.state_ids().await,
        ("v1", "state") => asked.state().await,
        ("v1", "event") => asked.event().await,
        ("v1", "event_auth") => asked.event_auth().await,
        ("v1", "backfill") => asked.backfill().await,
        ("v1", "make_join") => asked.make_join().await,
        ("v1", "make_leave") => asked.make_leave().await,
        ("v2", "send_join") => asked.send_join().await,
        ("v2", "send_leave") => asked.send_leave().await,
        ("v2", "invite") => asked.invite().await,
        _ => Err(Refused(StatusCode::NOT_FOUND, format!("{path} is not simulated"))),
    }
}

/// A request of somebody who is known.
struct Asked<'a> {
    server: &'a Server,
    who: OwnedServerName,
    request: Request<Bytes>,
    args: Vec<String>,
}

impl Asked<'_> {
    fn read<R: IncomingRequest>(&self) -> Result<R, Refused> {
        let (parts, body) = self.request.clone().into_parts();
        let request = Request::from_parts(parts, &*body);
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let bad =
            |error: &dyn std::fmt::Display| Refused(StatusCode::BAD_REQUEST, error.to_string());
        R::try_from_http_request(request, &args).map_err(|error| bad(&error))
    }

    async fn transaction(&self) -> Answered {
        let send::Request { transaction_id, pdus, edus, .. } = self.read()?;
        let (federation, who) = (&self.server.federation, &self.who);
        let _turn = federation.turn_of(who).await;
        let received = federation.received(who, &transaction_id).await.map_err(RoomsError::from)?;
        if let Some(before) = received {
            let events = before
                .events
                .into_iter()
                .filter_map(|(id, why)| Some((id.try_into().ok()?, why.map_or(Ok(()), Err))));
            return written(send::Response::new(events.collect()));
        }
        let staged = self.server.rooms.stage(who, pdus).await?;
        for edu in edus {
            let edu: Value = serde_json::from_str(edu.json().get()).expect("it was read once");
            if let Some(number) = edu["content"]["number"].as_u64() {
                self.server.messages.lock().insert(number);
            }
        }
        let events = staged.iter().map(|(id, result)| (id.to_string(), result.clone().err()));
        let noted = federation.note_received(who, &transaction_id, events.collect()).await;
        noted.map_err(RoomsError::from)?;
        written(send::Response::new(staged))
    }

    async fn before(
        &self,
        room: &RoomId,
        events: &[OwnedEventId],
    ) -> Result<ServerAccess, Refused> {
        Ok(self.server.rooms.server_access_before(&self.who, room, events).await?)
    }

    async fn missing(&self) -> Answered {
        let asked: missing::Request = self.read()?;
        let access = self.before(&asked.room_id, &asked.latest_events).await?;
        let gap = Gap {
            earliest: asked.earliest_events,
            latest: asked.latest_events,
            limit: asked.limit.into(),
            min_depth: asked.min_depth.into(),
        };
        written(missing::Response::new(access.missing(&gap).await?))
    }

    async fn state_ids(&self) -> Answered {
        let asked: state_ids::Request = self.read()?;
        let access = self.before(&asked.room_id, std::slice::from_ref(&asked.event_id)).await?;
        let found = access.state_ids_at(&asked.event_id).await?;
        written(state_ids::Response::new(found.auth_chain, found.state))
    }

    async fn state(&self) -> Answered {
        let asked: state::Request = self.read()?;
        let access = self.before(&asked.room_id, std::slice::from_ref(&asked.event_id)).await?;
        let found = access.state_at(&asked.event_id).await?;
        written(state::Response::new(found.auth_chain, found.state))
    }

    async fn event(&self) -> Answered {
        let asked: event::Request = self.read()?;
        let pdu = self.server.rooms.event_for_server(&self.who, &asked.event_id).await?;
        let (own, now) = (self.server.name().to_owned(), self.server.env.now());
        written(event::Response::new(own, now, pdu))
    }

    async fn event_auth(&self) -> Answered {
        let asked: event_auth::Request = self.read()?;
        let access = self.before(&asked.room_id, std::slice::from_ref(&asked.event_id)).await?;
        written(event_auth::Response::new(access.event_auth(&asked.event_id).await?))
    }

    async fn backfill(&self) -> Answered {
        let asked: backfill::Request = self.read()?;
        let access = self.server.rooms.server_access(&self.who, &asked.room_id).await?;
        let pdus = access.backfill(&asked.v, asked.limit.into()).await?;
        let (own, now) = (self.server.name().to_owned(), self.server.env.now());
        written(backfill::Response::new(own, now, pdus))
    }

    async fn make_join(&self) -> Answered {
        let make_join::Request { room_id, user_id, ver, .. } = self.read()?;
        let query = self.query(room_id, user_id, Some(ver));
        let template = self.server.rooms.member_template(Handshake::Join, &query).await?;
        let mut response = make_join::Response::new(template.event);
        response.room_version = Some(template.version);
        written(response)
    }

    async fn make_leave(&self) -> Answered {
        let make_leave::Request { room_id, user_id, .. } = self.read()?;
        let query = self.query(room_id, user_id, None);
        let template = self.server.rooms.member_template(Handshake::Leave, &query).await?;
        written(make_leave::Response::new(Some(template.version), template.event))
    }

    fn query(
        &self,
        room: ruma::OwnedRoomId,
        user: ruma::OwnedUserId,
        versions: Option<Vec<ruma::RoomVersionId>>,
    ) -> TemplateQuery {
        TemplateQuery { origin: self.who.clone(), room, user, versions }
    }

    async fn send_join(&self) -> Answered {
        let send_join::Request { room_id, event_id, pdu, .. } = self.read()?;
        let handed = HandedOver { origin: self.who.clone(), room: room_id, event_id, event: pdu };
        let joined = self.server.rooms.take_join(&handed).await?;
        let mut room = send_join::RoomState::new();
        room.auth_chain = joined.auth_chain;
        room.state = joined.state;
        room.event = Some(joined.event);
        written(send_join::Response::new(room))
    }

    async fn send_leave(&self) -> Answered {
        let send_leave::Request { room_id, event_id, pdu, .. } = self.read()?;
        let handed = HandedOver { origin: self.who.clone(), room: room_id, event_id, event: pdu };
        self.server.rooms.take_leave(&handed).await?;
        written(send_leave::Response::new())
    }

    async fn invite(&self) -> Answered {
        let asked: invite::Request = self.read()?;
        let invited = Invited {
            origin: self.who.clone(),
            room: asked.room_id,
            event_id: asked.event_id,
            version: asked.room_version,
            event: asked.event,
            state: asked.invite_room_state,
        };
        written(invite::Response::new(self.server.rooms.take_invite(invited).await?))
    }
}

fn written(response: impl OutgoingResponse) -> Answered {
    let response = response.try_into_http_response::<BytesMut>().expect("an answer");
    Ok(response.map(BytesMut::freeze))
}

fn decoded(part: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: Vec<u8> = bytes.by_ref().take(2).collect();
            let digits = std::str::from_utf8(&digits).expect("digits");
            decoded.push(u8::from_str_radix(digits, 16).expect("digits"));
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).expect("text")
}
