//! The cases of `tests/it/cases` that need a server which signs: each gets an answer that its line
//! allows.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Method, Request, header};
use serde_json::Value;

use crate::{
    federation::world::{World, encoded},
    server::Answer,
};

const REQUESTS: &str = include_str!("../../../../../../tests/it/cases/badinputs.jsonl");
const MATRIX: &str = include_str!("../../../../../../tests/it/cases/authz_matrix.jsonl");

/// What the lines call the things of the world.
fn names(world: &World) -> BTreeMap<&'static str, String> {
    let of = |name: &str| world.names[name].clone();
    BTreeMap::from([
        ("room_id", of("private")),
        ("event_id", of("event_of_private")),
        ("room_pub", of("room")),
        ("user_id", of("user")),
        ("user_b", "@bob:example.org".to_owned()),
        ("alias_pub", of("alias")),
        ("media_png", of("media")),
        ("server_name", of("server")),
        ("peer", of("peer")),
        ("token", of("token")),
        ("device_id", of("device")),
        ("txn", "t".to_owned()),
    ])
}

fn filled(text: &str, names: &BTreeMap<&str, String>, is_path: bool) -> String {
    let mut text = text.to_owned();
    for (name, value) in names {
        let value = if is_path { encoded(value) } else { value.clone() };
        text = text.replace(&format!("{{{name}}}"), &value);
    }
    while let Some((before, count, after)) = cut(&text, "{pad:", "}") {
        text = format!("{before}{}{after}", "a".repeat(count.parse().expect("a number")));
    }
    while let Some((before, repeated, after)) = cut(&text, "{rep:", ">>}") {
        let (count, what) = repeated.split_once(":<<").expect("a count");
        text = format!("{before}{}{after}", what.repeat(count.parse().expect("a number")));
    }
    text
}

/// The text before a mark, up to its end, and behind that.
fn cut<'t>(text: &'t str, begin: &str, end: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let (before, rest) = text.split_once(begin)?;
    let (inside, after) = rest.split_once(end)?;
    Some((before, inside, after))
}

fn allows(expect: &Value, answer: &Answer) -> bool {
    let statuses = expect["status"].as_array().expect("a list");
    let status = statuses.contains(&answer.status.as_u16().into());
    let code = Value::from(answer.code());
    let is_code = |wanted: &Value| match wanted {
        Value::Null => true,
        wanted => *wanted == code,
    };
    status
        && match &expect["errcode"] {
            Value::Array(any) => any.iter().any(is_code),
            one => is_code(one),
        }
}

#[tokio::test]
async fn wrong_requests_of_a_server_get_what_the_cases_say() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for line in REQUESTS.lines() {
        let case: Value = serde_json::from_str(line).expect("a case");
        if !case["needs"].to_string().contains("signed_peer") {
            continue;
        }
        let world = World::new().await;
        let names = names(&world);
        let path = filled(case["path"].as_str().expect("a path"), &names, true);
        let body = case["body"].as_str().map(|body| filled(body, &names, false));
        let method: Method = case["method"].as_str().expect("a method").parse().expect("one");
        let how = case["headers"]["Authorization"].as_str().unwrap_or_default();
        let nowhere = ruma::server_name!("elsewhere.example");
        let to = match how {
            "{xmatrix:wrongdest}" => nowhere,
            _ => world.server.data.server_name(),
        };
        let body = body.unwrap_or_default().into_bytes();
        let mut request = world.peer.request(to, method, &path, body);
        let value = request.headers()[header::AUTHORIZATION].to_str().expect("text").to_owned();
        let value = match how {
            "{xmatrix:unknownkey}" => value.replace("ed25519:peer", "ed25519:other"),
            "{xmatrix:badsig}" => value.replace("sig=", "sig=AAAA"),
            "{xmatrix:nodest}" => value.replace("destination=example.org,", ""),
            _ => value,
        };
        request.headers_mut().insert(header::AUTHORIZATION, value.parse().expect("a header"));
        let answer = world.server.send(request).await;
        asked += 1;
        if !allows(&case["expect"], &answer) {
            wrong.push(format!("{}: {} {}", case["id"], answer.status, answer.body));
        }
    }
    assert!(asked > 20, "{asked}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rows that are not as the matrix has them: a thumbnail has a size, a transaction an origin, the
/// specification has another code for spaces, and of questions only its own have a path.
const LEFT_OUT: [(&str, &str); 7] = [
    ("/_matrix/federation/v1/hierarchy/{roomId}", "peer_not_in_room"),
    ("/_matrix/federation/v1/send/{txnId}", "peer_not_in_room"),
    ("/_matrix/federation/v1/media/thumbnail/{mediaId}", "peer_not_in_room"),
    ("/_matrix/federation/v1/query/{queryType}", "none"),
    ("/_matrix/federation/v1/query/{queryType}", "bogus"),
    ("/_matrix/federation/v1/query/{queryType}", "client_token"),
    ("/_matrix/federation/v1/query/{queryType}", "badsig"),
];

#[tokio::test]
async fn servers_may_ask_what_the_matrix_says() {
    let parameters = [
        ("roomId", "private"),
        ("eventId", "event_of_private"),
        ("userId", "user"),
        ("mediaId", "media"),
        ("serverName", "server"),
        ("txnId", "peer"),
    ];
    let mut wrong = Vec::new();
    for line in MATRIX.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        if row["api"] != "server-server" {
            continue;
        }
        let world = World::new().await;
        let mut path = row["path"].as_str().expect("a path").to_owned();
        for (name, value) in parameters {
            path = path.replace(&format!("{{{name}}}"), &encoded(&world.names[value]));
        }
        let method: Method = row["method"].as_str().expect("a method").parse().expect("one");
        let body = if method == Method::GET { "" } else { "{}" };
        for (who, expect) in row["expect"].as_object().expect("callers") {
            let to = world.server.data.server_name();
            let signed = || world.peer.request(to, method.clone(), &path, body.into());
            let bare = |value: Option<String>| {
                let mut request = Request::builder().method(method.clone()).uri(&*path);
                if let Some(value) = value {
                    request = request.header(header::AUTHORIZATION, value);
                }
                request.body(Body::from(body)).expect("a request")
            };
            let request = match &**who {
                "none" => bare(None),
                "bogus" => bare(Some("X-Matrix bogus".to_owned())),
                "client_token" => bare(Some(format!("Bearer {}", world.names["token"]))),
                "badsig" => {
                    let value = signed().headers()[header::AUTHORIZATION].clone();
                    let text = value.to_str().expect("text").to_owned();
                    let (head, _) = text.split_once("sig=").expect("it is signed");
                    bare(Some(format!("{head}sig={}", "A".repeat(86))))
                }
                "peer_not_in_room" => signed(),
                other => panic!("{other} is a new kind of caller"),
            };
            let answer = world.server.send(request).await;
            let is_unknown =
                answer.code() == "M_UNRECOGNIZED" && expect["status"].to_string().contains("404");
            let is_known = LEFT_OUT.contains(&(row["path"].as_str().unwrap_or_default(), &**who));
            if !allows(expect, &answer) && !is_unknown && !is_known {
                let at = format!("{method} {path} {who}");
                wrong.push(format!("{at}: {} {}, not {expect}", answer.status, answer.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
