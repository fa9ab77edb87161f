//! Every route for servers against every wrong path, query, field and body.

use serde_json::{Value, json};

use super::routes::Victim;
use crate::{
    endpoints::{
        servers::{asking, rows_of_servers},
        table::Row,
    },
    federation::world::{Asking, World, encoded},
};

/// What stands in a path where something else should.
const PATH_VALUES: &str = include_str!("../../../../../../tests/it/cases/path_values.txt");

#[tokio::test]
async fn no_route_fails_over_its_path() {
    let mut victim = Victim::new().await;
    let long = "a".repeat(3_000);
    let ids = [
        "!",
        "!a",
        "$",
        "@",
        "@a",
        "@:b",
        "!a:b:c:d:e",
        "%24",
        "%21x%3A%00",
        "%40x%3Apeer.example%3A99999",
    ];
    for row in rows_of_servers().filter(|row| row.path.contains('{')) {
        let line = json!({ "of": row.name() });
        let names: Vec<&str> =
            row.path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        for name in names {
            for value in PATH_VALUES.lines().chain([&*long]).chain(ids) {
                let mut asking = victim.world.asking(&line).await;
                asking.path = spoiled(&victim.world, &row, name, value).await;
                asking.body = (row.method != "GET").then(|| json!({}));
                victim.asks(name, &asking, &row).await;
            }
        }
    }
    victim.must_be_well();
}

/// A row's path with this for one parameter, as it is.
async fn spoiled(world: &World, row: &Row, name: &str, value: &str) -> String {
    let mut path = row.path.replace(&format!("{{{name}}}"), value);
    for (name, value) in [
        ("roomId", "room"),
        ("eventId", "event"),
        ("userId", "user"),
        ("mediaId", "media"),
        ("serverName", "server"),
        ("txnId", "peer"),
    ] {
        path = path.replace(&format!("{{{name}}}"), &encoded(&world.names[value]));
    }
    path
}

#[tokio::test]
async fn no_route_fails_over_its_query() {
    let mut victim = Victim::new().await;
    let values = [
        "",
        "x",
        "-1",
        "0",
        "1.5",
        "true",
        "null",
        "99999999999999999999999",
        "9007199254740993",
        "%00",
        "%FF",
        "%zz",
        "!a",
        "$",
        "@",
        "#",
        "%23x",
        "[]",
        "18446744073709551615",
    ];
    let long = "a".repeat(9_000);
    for row in rows_of_servers() {
        let asking = asking(&mut victim.world, &row).await;
        let Some((path, query)) = asking.path.split_once('?') else { continue };
        let pairs: Vec<&str> = query.split('&').collect();
        for at in 0..pairs.len() {
            let name = pairs[at].split('=').next().expect("a name");
            let with = |new: Option<String>| {
                let mut pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
                match new {
                    Some(new) => pairs[at] = new,
                    None => drop(pairs.remove(at)),
                }
                Asking { path: format!("{path}?{}", pairs.join("&")), ..asking.clone() }
            };
            victim.asks("left out", &with(None), &row).await;
            for value in values.into_iter().chain([&*long]) {
                victim.asks(name, &with(Some(format!("{name}={value}"))), &row).await;
                victim
                    .asks(name, &with(Some(format!("{0}&{name}={value}", pairs[at]))), &row)
                    .await;
            }
            let many = format!("{name}=x&").repeat(2_000);
            victim.asks(name, &with(Some(many)), &row).await;
        }
    }
    victim.must_be_well();
}

fn wrong_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(1e300),
        json!(9_007_199_254_740_993_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("x"),
        json!("\u{0}"),
        json!("x".repeat(70_000)),
        json!([]),
        json!([null]),
        json!([[]]),
        json!(["x"]),
        json!([{}]),
        json!({}),
        json!({ "x": "y" }),
        json!({ "": {} }),
        json!({ "@x:peer.example": { "x": [] } }),
        json!({ "example.org": 5 }),
    ]
}

/// Places of all values in some JSON, as pointers; lists by their first item.
fn places(of: &Value, at: &str, out: &mut Vec<String>) {
    let fields: Vec<(String, &Value)> = match of {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().take(1).map(|value| ("0".to_owned(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in fields {
        let name = name.replace('~', "~0").replace('/', "~1");
        let at = format!("{at}/{name}");
        places(value, &at, out);
        out.push(at);
    }
}

/// The same without what is at a pointer.
fn without(json: &Value, at: &str) -> Value {
    let mut json = json.clone();
    let (parent, name) = at.rsplit_once('/').expect("a pointer");
    let name = name.replace("~1", "/").replace("~0", "~");
    match json.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&name)),
        Some(Value::Array(items)) => items.clear(),
        _ => {}
    }
    json
}

#[tokio::test]
async fn no_route_fails_over_a_field() {
    let mut victim = Victim::new().await;
    for row in rows_of_servers().filter(|row| row.method != "GET") {
        let asking = asking(&mut victim.world, &row).await;
        let body = asking.body.clone().expect("it has one");
        let mut pointers = Vec::new();
        places(&body, "", &mut pointers);
        for at in pointers {
            let left_out = Asking { body: Some(without(&body, &at)), ..asking.clone() };
            victim.asks(&format!("without {at}"), &left_out, &row).await;
            for value in wrong_values() {
                let mut body = body.clone();
                *body.pointer_mut(&at).expect("it is there") = value;
                let spoiled = Asking { body: Some(body), ..asking.clone() };
                victim.asks(&at, &spoiled, &row).await;
            }
        }
        for value in wrong_values() {
            let spoiled = Asking { body: Some(value), ..asking.clone() };
            victim.asks("another body", &spoiled, &row).await;
        }
    }
    victim.must_be_well();
}

#[tokio::test]
async fn no_route_fails_over_a_body_that_is_no_json() {
    let mut victim = Victim::new().await;
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"x".to_vec(),
        b"{\"a\":NaN}".to_vec(),
        b"{\"a\":1e400}".to_vec(),
        b"{\"a\":-0}".to_vec(),
        b"{\"a\":1,\"a\":2}".to_vec(),
        b"{\"pdus\":[],\"pdus\":5}".to_vec(),
        b"{\"a\":\"\xff\"}".to_vec(),
        br#"{"a":"\ud800"}"#.to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{}{}".to_vec(),
        "{\"a\":".repeat(50_000).into_bytes(),
        format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000)).into_bytes(),
        format!("{{\"a\":\"{}\"}}", "x".repeat(12_000_000)).into_bytes(),
    ];
    for row in rows_of_servers().filter(|row| row.method != "GET") {
        let asking = asking(&mut victim.world, &row).await;
        for body in &bodies {
            let what: String = String::from_utf8_lossy(body).chars().take(20).collect();
            let to = victim.world.server.data.server_name().to_owned();
            let (method, path) = (asking.method.clone(), &*asking.path);
            let request = victim.world.peer.request(&to, method, path, body.clone());
            victim
                .send(&what, request, |answer| {
                    let refused = (400..500).contains(&answer.status.as_u16());
                    let is_fine = refused || body.starts_with(b"{\"");
                    (!is_fine).then(|| "not refused".to_owned())
                })
                .await;
        }
    }
    victim.must_be_well();
}
