//! A server with some people and their things, and requests as `requests.jsonl` describes them.

mod around;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use ruma::UserId;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use self::around::Around;
use super::table::Row;
use crate::{
    cross_signing::CrossSigning,
    oauth,
    olm::Olm,
    server::{Answer, PASSWORD, Server},
};

/// Parameters that are a thing of the world, and others for which one value is as good as another.
const PARAMETERS: [(&str, &str); 23] = [
    ("userId", "{alice}"),
    ("roomId", "{room}"),
    ("roomIdOrAlias", "{room}"),
    ("roomAlias", "{alias}"),
    ("eventId", "{event}"),
    ("threadRootId", "{event}"),
    ("deviceId", "{device}"),
    ("filterId", "{filter}"),
    ("version", "{version}"),
    ("delayId", "{delay}"),
    ("mediaId", "{media}"),
    ("serverName", "example.org"),
    ("txnId", "txn"),
    ("type", "org.example.data"),
    ("eventType", "org.example.type"),
    ("stateKey", "key"),
    ("sessionId", "session"),
    ("keyName", "displayname"),
    ("tag", "u.work"),
    ("kind", "content"),
    ("ruleId", "mine"),
    ("receiptType", "m.read"),
    ("relType", "m.thread"),
];

/// A server, and the names of what is on it.
pub struct World {
    server: Server,
    around: Around,
    names: BTreeMap<String, String>,
    olm: Olm,
    people: AtomicUsize,
}

impl World {
    pub async fn new() -> Self {
        Self::with(false).await
    }

    /// A world in which people can sign in at an identity provider, too.
    pub async fn with(provider: bool) -> Self {
        let around = Around::new(provider).await;
        let server = around.server().await;
        let mut names: BTreeMap<String, String> =
            around.names().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut device = String::new();
        for name in ["alice", "bob", "admin"] {
            let person = server.user(name).await;
            names.insert(name.to_owned(), person.id.clone());
            names.insert(format!("{name}_token"), person.token);
            if name == "alice" {
                device = person.device;
            }
        }
        let admin = UserId::parse(&*names["admin"]).expect("an id");
        server.accounts.set_admin(&admin, true).await.expect("the account is there");
        let second = server.sign_in("alice").await.device;
        let olm = Olm::new(&names["alice"], &device);
        for (name, value) in [
            ("device", &*device),
            ("second_device", &second),
            ("password", PASSWORD),
            ("alias", "#room:example.org"),
        ] {
            names.insert(name.to_owned(), value.to_owned());
        }
        let mut world = Self { server, around, names, olm, people: AtomicUsize::new(0) };
        let room = json!({ "preset": "public_chat", "name": "Room", "room_alias_name": "room" });
        for step in [
            json!({ "method": "POST", "path": "/_matrix/client/v3/createRoom", "body": room,
                "take": { "room": "/room_id" } }),
            json!({ "method": "POST", "path": "/_matrix/client/v3/join/{room}", "who": "bob",
                "body": {} }),
            json!({ "method": "PUT", "path": "/_matrix/client/v3/rooms/{room}/send/m.room.message/0",
                "body": { "msgtype": "m.text", "body": "hello" }, "take": { "event": "/event_id" } }),
        ] {
            world.step(&step).await.expect("the world can be made");
        }
        world
    }

    /// The access token of somebody new of a kind: `user`, `guest`, `locked`, `suspended`.
    pub async fn fresh(&self, kind: &str) -> String {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        if kind == "guest" {
            let guest = self.server.post_open("/v3/register?kind=guest", json!({})).await.ok();
            return guest["access_token"].as_str().expect("a token").to_owned();
        }
        let person = self.server.user(&format!("{kind}{number}")).await;
        let user = UserId::parse(&*person.id).expect("an id");
        let accounts = &self.server.accounts;
        match kind {
            "locked" => accounts.set_locked(&user, true).await.expect("the account is there"),
            "suspended" => accounts.set_suspended(&user, true).await.expect("the account is there"),
            _ => {}
        }
        person.token
    }

    /// Status and error code that somebody gets for a row, asked with an empty object.
    pub async fn code(&self, row: &Row, token: Option<&str>) -> (u16, String) {
        let path = self.filled(&self.path_of(&row.path, &Value::Null));
        // Long polls shall answer at once.
        let path = if row.method == "GET" { path + "?timeout=0" } else { path };
        let mut request = Request::builder().method(&*row.method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if row.method == "GET" { Body::empty() } else { Body::from("{}") };
        let answer = self.server.send(request.body(body).expect("a request")).await;
        (answer.status.as_u16(), answer.code().to_owned())
    }

    /// The answer to a row's happy path, and before it whatever it needs.
    pub async fn ask(&mut self, request: &Value) -> Result<Value, String> {
        for step in request["before"].as_array().into_iter().flatten() {
            self.step(step).await?;
        }
        let (method, path) =
            request["of"].as_str().and_then(|of| of.split_once(' ')).expect("method and path");
        let mut path = self.path_of(path, &request["params"]);
        if let Some(query) = request["query"].as_str() {
            path = format!("{path}?{query}");
        }
        let mut step = request.clone();
        (step["method"], step["path"]) = (json!(method), json!(path));
        self.step(&step).await
    }

    /// One request, perhaps with user-interactive authentication.
    async fn step(&mut self, step: &Value) -> Result<Value, String> {
        if step.get("mails").is_some() {
            self.around.confirm(&self.server, &step["mails"]).await;
            return Ok(Value::Null);
        }
        if step.get("oauth_code").is_some() {
            let client = oauth::client(&self.server).await;
            let code = oauth::code(&self.server, &client).await;
            self.names.extend([("client".to_owned(), client), ("code".to_owned(), code)]);
            return Ok(Value::Null);
        }
        if let Some(part) = step["cross_signing"].as_str() {
            return self.cross_sign(step, part).await;
        }
        let mut answer = self.send(step, None).await;
        if answer.status == 401 && step.get("proves").is_some() {
            let auth = self.auth(&step["proves"], &answer.session());
            answer = self.send(step, Some(auth)).await;
        }
        self.checked(step, answer)
    }

    fn checked(&mut self, step: &Value, answer: Answer) -> Result<Value, String> {
        let wanted = step["status"].as_u64().unwrap_or(200);
        if u64::from(answer.status.as_u16()) != wanted {
            let (path, status) = (&step["path"], answer.status);
            return Err(format!("{path} answers {status} {}", answer.body));
        }
        for (name, pointer) in step["take"].as_object().into_iter().flatten() {
            let pointer = pointer.as_str().expect("a pointer");
            let value = answer.body.pointer(pointer).and_then(Value::as_str);
            let value = value.ok_or_else(|| format!("no {pointer} in {}", answer.body))?;
            if let Some(media) = value.strip_prefix("mxc://example.org/") {
                self.names.insert("media".to_owned(), media.to_owned());
            }
            // Of an address, its end: what is asked for later is a row's path.
            let end = value.rsplit_once("/rendezvous/").map_or(value, |(_, end)| end);
            self.names.insert(name.clone(), end.to_owned());
        }
        Ok(answer.body)
    }

    fn auth(&self, proves: &Value, session: &str) -> Value {
        if proves == "dummy" {
            return json!({ "type": "m.login.dummy", "session": session });
        }
        crate::server::password_auth("alice", session)
    }

    async fn send(&mut self, step: &Value, auth: Option<Value>) -> Answer {
        let method = step["method"].as_str().expect("a method");
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let path = self.filled(step["path"].as_str().expect("a path"));
        let mut request = Request::builder().method(method).uri(path);
        let who = step["who"].as_str().unwrap_or("alice");
        if who != "nobody" {
            let token = &self.names[&format!("{who}_token")];
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(kind) = step["type"].as_str() {
            request = request.header("content-type", kind);
        }
        if step.get("form").is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            let value = value.as_str().expect("a text");
            request = request.header(name, self.replaced(value, ToOwned::to_owned));
        }
        let form = step["form"].as_str().map(|form| self.replaced(form, ToOwned::to_owned));
        let body = match self.body(step) {
            Some(mut body) => {
                if let Some(auth) = auth {
                    body["auth"] = auth;
                }
                Body::from(body.to_string())
            }
            None if step.get("png").is_some() => Body::from(RED_PNG),
            None if step.get("text").is_some() => {
                Body::from(step["text"].as_str().expect("a text").to_owned())
            }
            None if form.is_some() => Body::from(form.unwrap_or_default()),
            None => Body::empty(),
        };
        let request = request.body(body).expect("a request");
        let response = self.server.router.clone().oneshot(request).await.expect("it answers");
        if let Some(etag) = response.headers().get("etag") {
            let etag = etag.to_str().expect("a text").to_owned();
            self.names.insert("etag".to_owned(), etag);
        }
        let status = response.status();
        let body = response.into_body().collect().await.expect("it is in memory").to_bytes();
        Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    /// The JSON body of a step, if it has one.
    fn body(&mut self, step: &Value) -> Option<Value> {
        if step.get("device_keys").is_some() {
            let keys = self.olm.one_time_keys(2);
            return Some(json!({ "device_keys": self.olm.device_keys(), "one_time_keys": keys }));
        }
        if step.get("dehydrated").is_some() {
            return Some(crate::dehydrated::device(&self.names["alice"], "LATER"));
        }
        let body = step.get("body")?;
        let text = self.replaced(&body.to_string(), |value| {
            Value::from(value).to_string().trim_matches('"').to_owned()
        });
        Some(serde_json::from_str(&text).expect("still JSON"))
    }

    /// New cross-signing keys, or a signature of the device by them.
    async fn cross_sign(&mut self, step: &Value, part: &str) -> Result<Value, String> {
        let keys = CrossSigning::new(&self.names["alice"]);
        let mut upload = Map::from_iter([
            ("of".to_owned(), json!("")),
            ("method".to_owned(), json!("POST")),
            ("path".to_owned(), json!("/_matrix/client/v3/keys/device_signing/upload")),
            ("body".to_owned(), keys.upload()),
            ("proves".to_owned(), json!(true)),
        ]);
        if part == "keys" {
            upload.insert("path".to_owned(), step["path"].clone());
            return Box::pin(self.step(&Value::Object(upload))).await;
        }
        Box::pin(self.step(&Value::Object(upload))).await?;
        let device = json!({ "method": "POST", "path": "/_matrix/client/v3/keys/upload",
            "device_keys": true });
        Box::pin(self.step(&device)).await?;
        let signed = keys.sign_device(self.olm.device_keys());
        let body = json!({ &self.names["alice"]: { &self.names["device"]: signed } });
        let sign = json!({ "method": "POST", "path": step["path"], "body": body });
        Box::pin(self.step(&sign)).await
    }

    /// The template with names of the world, or the request's own values, in it.
    fn path_of(&self, template: &str, own: &Value) -> String {
        let mut path = template.to_owned();
        for (parameter, value) in own.as_object().into_iter().flatten() {
            let value = value.as_str().expect("a text").replace('#', "%23");
            path = path.replace(&format!("{{{parameter}}}"), &value);
        }
        for (parameter, value) in PARAMETERS {
            path = path.replace(&format!("{{{parameter}}}"), value);
        }
        path
    }

    /// With the values of all names that are known; others get one that is as good as another.
    fn filled(&self, path: &str) -> String {
        let path = self.replaced(path, |value| value.replace('#', "%23"));
        let parts = path.split('{').enumerate().map(|(at, part)| match part.split_once('}') {
            Some((_, rest)) if at > 0 => format!("org.example.x{rest}"),
            _ => part.to_owned(),
        });
        parts.collect()
    }

    fn replaced(&self, text: &str, shown: impl Fn(&str) -> String) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.names {
            text = text.replace(&format!("{{{name}}}"), &shown(value));
        }
        text
    }
}

/// A red picture, 100 pixels wide and high.
const RED_PNG: &[u8] = include_bytes!("../../../../../tests/it/cases/red.png");
