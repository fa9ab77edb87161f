//! A network between servers of one process.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use blaupause_federation::{CallLimits, Exchange, Wire, WireError};
use bytes::Bytes;
use parking_lot::Mutex;
use ruma::{EventId, OwnedServerName, RoomId, ServerName};
use serde_json::{Value, json};

use crate::{Gap, Rooms, RoomsError};

/// Who is there, who cannot be reached, and what was asked.
#[derive(Clone, Default)]
pub(super) struct Network(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    servers: HashMap<OwnedServerName, Rooms>,
    cut: HashSet<OwnedServerName>,
    /// Requests that a server does not answer, by a part of their path.
    refused: Vec<String>,
    /// Requests that a server answers with 404.
    denied: Vec<String>,
    asked: Vec<String>,
}

/// One server's end.
pub(super) struct End {
    pub from: OwnedServerName,
    pub network: Network,
}

impl Network {
    pub(super) fn add(&self, rooms: &Rooms) {
        let name = rooms.data().server_name().to_owned();
        self.0.lock().servers.insert(name, rooms.clone());
    }

    pub(super) fn cut(&self, server: &ServerName, is_cut: bool) {
        let mut inner = self.0.lock();
        if is_cut {
            inner.cut.insert(server.to_owned());
        } else {
            inner.cut.remove(server);
        }
    }

    pub(super) fn refuse(&self, path: &str) {
        self.0.lock().refused.push(path.to_owned());
    }

    pub(super) fn refuse_nothing(&self) {
        self.0.lock().refused.clear();
    }

    pub(super) fn deny(&self, path: &str) {
        self.0.lock().denied.push(path.to_owned());
    }

    /// Paths that were asked for, keys apart.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().asked)
    }
}

impl Wire for End {
    fn exchange<'a>(
        &'a self,
        to: &'a ServerName,
        request: http::Request<Bytes>,
        _: CallLimits,
    ) -> Exchange<'a> {
        Box::pin(async move {
            let path = request.uri().to_string();
            let (rooms, is_denied) = {
                let mut inner = self.network.0.lock();
                if !path.starts_with("/_matrix/key") {
                    inner.asked.push(path.clone());
                }
                let is_cut = inner.cut.contains(to) || inner.cut.contains(&self.from);
                if is_cut || inner.refused.iter().any(|part| path.contains(part)) {
                    return Err(WireError::Unreachable("cut".to_owned()));
                }
                let is_denied = inner.denied.iter().any(|part| path.contains(part));
                (inner.servers.get(to).cloned(), is_denied)
            };
            let Some(rooms) = rooms else {
                return Err(WireError::Unreachable("nobody there".to_owned()));
            };
            let body = request.into_body();
            let answer = match is_denied {
                true => Err(RoomsError::EventUnknown),
                false => Box::pin(answer(&rooms, &self.from, &path, &body)).await,
            };
            let (status, answer) = match answer {
                Ok(answer) => (200, answer),
                Err(error) => (404, json!({ "errcode": "M_UNKNOWN", "error": error.to_string() })),
            };
            let answer = serde_json::to_vec(&answer).expect("JSON");
            Ok(http::Response::builder().status(status).body(answer.into()).expect("an answer"))
        })
    }
}

async fn answer(
    rooms: &Rooms,
    from: &ServerName,
    path: &str,
    body: &[u8],
) -> Result<Value, RoomsError> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == "/_matrix/key/v2/server" {
        return Ok(json!(rooms.federation().own_key_document()));
    }
    let path = path.trim_start_matches("/_matrix/federation/v1/");
    let parts: Vec<String> = path.split('/').map(decode).collect();
    let room = || RoomId::parse(&parts[1]).expect("a room id");
    let named = query.trim_start_matches("event_id=");
    match &*parts[0] {
        "event" => {
            let id = EventId::parse(&parts[1]).expect("an event id");
            let pdu = rooms.event_for_server(from, &id).await?;
            Ok(json!({ "origin": from, "origin_server_ts": 1, "pdus": [pdu] }))
        }
        "get_missing_events" => {
            let asked: Value = serde_json::from_slice(body).expect("JSON");
            let ids = |name: &str| serde_json::from_value(asked[name].clone()).expect("ids");
            let gap = Gap {
                earliest: ids("earliest_events"),
                latest: ids("latest_events"),
                limit: asked["limit"].as_u64().unwrap_or(10),
                min_depth: 0,
            };
            let events = rooms.server_access(from, &room()).await?.missing(&gap).await?;
            Ok(json!({ "events": events }))
        }
        "state_ids" => {
            let id = EventId::parse(decode(named)).expect("an event id");
            let told = rooms.server_access(from, &room()).await?.state_ids_at(&id).await?;
            Ok(json!({ "pdu_ids": told.state, "auth_chain_ids": told.auth_chain }))
        }
        "state" => {
            let id = EventId::parse(decode(named)).expect("an event id");
            let told = rooms.server_access(from, &room()).await?.state_at(&id).await?;
            Ok(json!({ "pdus": told.state, "auth_chain": told.auth_chain }))
        }
        "event_auth" => {
            let id = EventId::parse(&parts[2]).expect("an event id");
            let chain = rooms.server_access(from, &room()).await?.event_auth(&id).await?;
            Ok(json!({ "auth_chain": chain }))
        }
        _ => Err(RoomsError::EventUnknown),
    }
}

fn decode(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("two digits"));
            let digits = std::str::from_utf8(&digits).expect("digits").to_owned();
            decoded.push(u8::from_str_radix(&digits, 16).expect("digits"));
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).expect("text")
}
