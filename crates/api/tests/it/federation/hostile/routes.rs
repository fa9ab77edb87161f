//! Every route for servers against every wrong kind of caller and every wrong kind of question:
//! whatever comes, the answer is quick, below 500, and says its error as the specification wants it.

use std::time::Duration;

use axum::body::Body;
use blaupause_policy::{FederationMode, ServerPolicy};
use http::{Request, Uri, header};
use serde_json::json;

use crate::{
    endpoints::{
        servers::{asking, rows_of_servers},
        table::{Auth, Row},
    },
    federation::{
        peer::Peer,
        world::{Asking, World, encoded},
    },
    server::Answer,
};

/// Longer than any answer may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(5);

/// A world that is asked wrong things, and what went wrong.
pub struct Victim {
    pub world: World,
    wrong: Vec<String>,
    asked: usize,
}

impl Victim {
    pub async fn new() -> Self {
        Self { world: World::new().await, wrong: Vec::new(), asked: 0 }
    }

    pub async fn send(
        &mut self,
        what: &str,
        request: Request<Body>,
        objection: impl FnOnce(&Answer) -> Option<String>,
    ) {
        self.asked += 1;
        let shown: String = format!("{} {}", request.method(), request.uri());
        let shown: String = shown.chars().take(150).collect();
        let answer = tokio::time::timeout(PATIENCE, self.world.server.send(request)).await;
        let objection = match &answer {
            Err(_) => Some("no answer in time".to_owned()),
            Ok(answer) => plain_objection(answer).or_else(|| objection(answer)),
        };
        if let Some(objection) = objection {
            let got = answer.map(|answer| format!("{} {}", answer.status, answer.body));
            let got: String = format!("{got:?}").chars().take(200).collect();
            self.wrong.push(format!("{shown} ({what}): {objection}: {got}"));
        }
    }

    /// A wrong question of somebody who may ask.
    pub async fn asks(&mut self, what: &str, asking: &Asking, row: &Row) {
        // What is no URI never reaches the router.
        if asking.path.parse::<Uri>().is_err() {
            return;
        }
        let request = match row.auth {
            Auth::Server => self.world.signed(asking),
            _ => self.world.bare(asking),
        };
        self.send(what, request, |_| None).await;
    }

    #[track_caller]
    pub fn must_be_well(self) {
        println!("{} requests", self.asked);
        let count = self.wrong.len();
        assert!(self.wrong.is_empty(), "{count} wrong answers:\n{}", self.wrong.join("\n"));
    }
}

/// What is wrong with an answer, whatever was asked.
fn plain_objection(answer: &Answer) -> Option<String> {
    let status = answer.status.as_u16();
    if status >= 500 && status != 504 {
        return Some("not below 500".to_owned());
    }
    (status >= 400 && !answer.code().starts_with("M_")).then(|| "no error code".to_owned())
}

/// This status, and one of these codes.
fn must_be(status: u16, codes: &'static [&str]) -> impl Fn(&Answer) -> Option<String> {
    move |answer| {
        let is = answer.status.as_u16() == status && codes.contains(&answer.code());
        (!is).then(|| format!("not {status} {codes:?}"))
    }
}

/// The same request with another header, made of the signed one.
fn with_header(mut request: Request<Body>, change: impl FnOnce(String) -> String) -> Request<Body> {
    let header = request.headers()[header::AUTHORIZATION].to_str().expect("text").to_owned();
    let changed = change(header.clone());
    assert_ne!(header, changed, "nothing was changed");
    request.headers_mut().insert(header::AUTHORIZATION, changed.parse().expect("a header"));
    request
}

/// Every parameter of the header in another way.
fn parameter(header: &str, name: &str) -> String {
    let start = header.find(&format!("{name}=")).expect("it is there") + name.len() + 1;
    let value = &header[start..];
    value[..value.find(',').unwrap_or(value.len())].trim_matches('"').to_owned()
}

#[tokio::test]
async fn every_route_refuses_servers_that_are_not_who_they_say() {
    let mut victim = Victim::new().await;
    let stranger = Peer::new(&victim.world.network, "stranger.example");
    let nowhere = ruma::server_name!("nowhere.example");
    let refused = || must_be(401, &["M_UNAUTHORIZED", "M_FORBIDDEN"]);
    for row in rows_of_servers().filter(|row| row.auth == Auth::Server) {
        let asking = asking(&mut victim.world, &row).await;
        let signed = |world: &World| world.signed(&asking);
        let replace = |name: &'static str, by: &'static str| {
            move |header: String| header.replace(&parameter(&header, name), by)
        };
        let world = &victim.world;
        let body = asking.body.as_ref().map(|body| body.to_string().into_bytes());
        let by_stranger = |to: &ruma::ServerName| {
            let body = body.clone().unwrap_or_default();
            stranger.request(to, asking.method.clone(), &asking.path, body)
        };
        let here = world.server.data.server_name();
        let elsewhere = world.peer.request(
            nowhere,
            asking.method.clone(),
            &asking.path,
            body.clone().unwrap_or_default(),
        );
        let other_path =
            Asking { path: format!("{}{}x=1", asking.path, sign(&asking.path)), ..asking.clone() };
        let mut other_path = world.signed(&other_path);
        *other_path.uri_mut() = asking.path.parse().expect("a path");
        let bare = world.bare(&asking);
        let mut bearer = world.bare(&asking);
        let token = format!("Bearer {}", world.names["token"]).parse().expect("a header");
        bearer.headers_mut().insert(header::AUTHORIZATION, token);
        let unreachable = with_header(by_stranger(here), replace("origin", "gone.example"));
        let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let cases = [
            ("nobody", bare),
            ("a person", bearer),
            (
                "a signature of zeros",
                with_header(signed(world), move |header| {
                    let sig = parameter(&header, "sig");
                    header.replace(&sig, &zeros[..86])
                }),
            ),
            ("a short signature", with_header(signed(world), replace("sig", "AAAA"))),
            ("no base64", with_header(signed(world), replace("sig", "%%%%"))),
            ("an unknown key", with_header(signed(world), replace("key", "ed25519:none"))),
            ("an unknown kind of key", with_header(signed(world), replace("key", "rsa:peer"))),
            ("another's name", with_header(by_stranger(here), replace("origin", "peer.example"))),
            ("our name", with_header(signed(world), replace("origin", "example.org"))),
            ("no name", with_header(signed(world), replace("origin", "not a name"))),
            ("a name that is no server's", unreachable),
            ("for another server", elsewhere),
            (
                "another destination",
                with_header(signed(world), replace("destination", "a.example")),
            ),
            ("another path", other_path),
            ("Basic", with_header(signed(world), |_| "Basic eDp5".to_owned())),
            ("half a header", with_header(signed(world), |header| header[..40].to_owned())),
        ];
        for (what, request) in cases {
            victim.send(what, request, refused()).await;
        }
    }
    victim.must_be_well();
}

fn sign(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

#[tokio::test]
async fn every_route_refuses_servers_that_are_not_on_the_list() {
    let mut victim = Victim::new().await;
    let allow: Vec<_> = vec!["friend.example".parse().expect("a pattern")];
    let mode = FederationMode::Closed;
    let closed = ServerPolicy { mode, allow: allow.into(), ..ServerPolicy::open() };
    for row in rows_of_servers().filter(|row| row.auth == Auth::Server) {
        victim.world.server.federation.set_servers(ServerPolicy::open());
        let asking = asking(&mut victim.world, &row).await;
        victim.world.server.federation.set_servers(closed.clone());
        let request = victim.world.signed(&asking);
        victim.send("denied", request, must_be(403, &["M_FORBIDDEN"])).await;
    }
    victim.must_be_well();
}

#[tokio::test]
async fn no_route_tells_a_server_of_a_room_that_it_is_not_in() {
    let mut victim = Victim::new().await;
    let (room, private) =
        (victim.world.names["room"].clone(), victim.world.names["private"].clone());
    let inside = victim.world.names["event_of_private"].clone();
    let event = victim.world.names["event_of_room"].clone();
    let none = "!nothing:example.org".to_owned();
    for row in rows_of_servers().filter(|row| row.path.contains("{roomId}")) {
        let knocking = victim.world.names["knock_room"].clone();
        let asking = asking(&mut victim.world, &row).await;
        if row.path.contains("/invite/") {
            continue;
        }
        for (what, other) in [("not in", &private), ("unknown", &none)] {
            let from = if asking.path.contains(&encoded(&knocking)) { &knocking } else { &room };
            let body = asking.body.as_ref().map(|body| {
                let text = body.to_string().replace(from, other).replace(&event, &inside);
                serde_json::from_str(&text).expect("still JSON")
            });
            let path = asking.path.replace(&encoded(from), &encoded(other));
            let path = path.replace(&encoded(&event), &encoded(&inside));
            let asking = Asking { path, body, ..asking.clone() };
            let request = victim.world.signed(&asking);
            victim
                .send(what, request, |answer| {
                    let refused = matches!(answer.status.as_u16(), 400 | 403 | 404);
                    (!refused).then(|| "not refused".to_owned())
                })
                .await;
        }
    }
    // What is of another room is not told by way of a room that the server is in.
    for path in [
        format!("event_auth/{room}/{inside}"),
        format!("state/{room}?event_id={inside}"),
        format!("state_ids/{room}?event_id={inside}"),
        format!("event/{inside}"),
    ] {
        let path = format!("/_matrix/federation/v1/{path}");
        let asking = Asking { method: http::Method::GET, path, body: None };
        let request = victim.world.signed(&asking);
        victim
            .send("of another room", request, |answer| {
                let refused = matches!(answer.status.as_u16(), 403 | 404);
                (!refused).then(|| "not refused".to_owned())
            })
            .await;
    }
    victim.must_be_well();
}

#[tokio::test]
async fn unknown_paths_and_methods_are_said_to_be_so() {
    let mut victim = Victim::new().await;
    for path in [
        "/_matrix/federation/",
        "/_matrix/federation/v1/nothing",
        "/_matrix/federation/v1/query/nothing",
        "/_matrix/federation/v3/send_join/a/b",
        "/_matrix/federation/v1/version/",
        "/_matrix/federation/v1/version/more",
        "/_matrix/federation//v1/version",
        "/_matrix/key/v1/server",
        "/_matrix/key/v2/",
        "/_matrix/x/federation/v1/version",
    ] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        victim.send("unknown", request, must_be(404, &["M_UNRECOGNIZED"])).await;
    }
    let rows: Vec<Row> = rows_of_servers().collect();
    for row in &rows {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if rows.iter().any(|other| other.path == row.path && other.method == method) {
                continue;
            }
            let mut asking = victim.world.asking(&json!({ "of": row.name() })).await;
            asking.method = method.parse().expect("a method");
            let request = victim.world.bare(&asking);
            victim.send("another method", request, must_be(405, &["M_UNRECOGNIZED"])).await;
        }
    }
    victim.must_be_well();
}
