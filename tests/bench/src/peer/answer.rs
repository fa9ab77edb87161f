//! What a peer answers.

use std::{convert::Infallible, rc::Rc, time::Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Peer, object};

/// Until the program ends.
pub async fn serve(peer: Rc<Peer>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (peer, acceptor) = (Rc::clone(&peer), acceptor.clone());
        tokio::task::spawn_local(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| answer(Rc::clone(&peer), request));
            // It ends when the other side closes it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path: Vec<String> = head.uri.path().split('/').skip(2).map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let (status, text) = match answer_to(&peer, &path, head.uri.query().unwrap_or(""), &body) {
        Ok(Some(text)) => (200, text),
        Ok(None) => (404, r#"{"errcode":"M_NOT_FOUND","error":"not here"}"#.to_owned()),
        Err(error) => {
            (400, json!({ "errcode": "M_UNKNOWN", "error": error.to_string() }).to_string())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

/// `path`: what follows `/_matrix/`.
fn answer_to(peer: &Peer, path: &[&str], query: &str, body: &Bytes) -> Result<Option<String>> {
    let [area, _, path @ ..] = path else { return Ok(None) };
    let room = |id: &str| peer.room(id).context("this room is not here");
    Ok(Some(match (*area, path) {
        ("key", ["server", ..]) => peer.keys()?,
        ("federation", ["version"]) => json!({ "server": { "name": "bench" } }).to_string(),
        ("federation", ["send", _]) => {
            peer.arrived.borrow_mut().push((Instant::now(), body.clone()));
            peer.progress.notify_one();
            r#"{"pdus":{}}"#.to_owned()
        }
        ("federation", ["make_join", id, user]) => room(id)?.template(user)?.to_string(),
        ("federation", ["send_join", id, _]) => {
            let text = std::str::from_utf8(body)?;
            let event = object(serde_json::from_str(text)?)?;
            room(id)?.take_join(&peer.event_id(&event)?, text, &peer.name)
        }
        ("federation", ["state", id]) => {
            let (room, at) = (room(id)?, parameter(query, "event_id"));
            let state = room.state_before(at.as_deref());
            format!("{{\"pdus\":[{state}],\"auth_chain\":[{}]}}", room.auth_chain())
        }
        ("federation", ["state_ids", id]) => {
            let (room, at) = (room(id)?, parameter(query, "event_id").unwrap_or_default());
            let state = room.state_ids_before(&at);
            json!({ "pdu_ids": state, "auth_chain_ids": room.auth_ids() }).to_string()
        }
        ("federation", ["event_auth", id, _]) => {
            format!("{{\"auth_chain\":[{}]}}", room(id)?.auth_chain())
        }
        ("federation", ["get_missing_events", _]) => r#"{"events":[]}"#.to_owned(),
        ("federation", ["backfill", id]) => {
            let from = parameter(query, "v").unwrap_or_default();
            let limit = parameter(query, "limit").and_then(|limit| limit.parse().ok());
            transaction(peer, &room(id)?.back_from(&from, limit.unwrap_or(100)))
        }
        ("federation", ["event", id]) => {
            let rooms = peer.rooms.borrow();
            let Some(event) = rooms.values().find_map(|room| room.event(id)) else {
                return Ok(None);
            };
            transaction(peer, &event)
        }
        ("federation", ["user", "devices", user]) => {
            json!({ "user_id": user, "stream_id": 1, "devices": [] }).to_string()
        }
        _ => return Ok(None),
    }))
}

fn transaction(peer: &Peer, events: &str) -> String {
    format!("{{\"origin\":\"{}\",\"origin_server_ts\":1,\"pdus\":[{events}]}}", peer.name)
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

/// Without percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, left @ ..] = rest {
        let hex = left.get(..2).filter(|_| *first == b'%');
        let byte = hex.and_then(|hex| hex::decode(hex).ok()).and_then(|byte| byte.first().copied());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &left[2..] } else { left };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
