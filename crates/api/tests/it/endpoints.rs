//! The table of all endpoints (`docs/reference/endpoints.tsv`), proved row by row: the route exists,
//! the wrong kinds of caller are refused with the right code, and the happy path answers with what
//! the specification's response schema demands.
//!
//! `requests.jsonl` has a request for each row, `shapes.jsonl` the schemas (see `shapes.py`).

pub mod servers;
mod shape;
pub mod table;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use blaupause_api::route_table;
use serde_json::{Value, json};

use self::{
    table::{Auth, Role, Row, rows, without_names},
    world::World,
};

/// One happy path a line.
const REQUESTS: &str = include_str!("endpoints/requests.jsonl");
/// What the 200 answers of the specification must hold, one a line.
const SHAPES: &str = include_str!("endpoints/shapes.jsonl");
/// Rows that are served and have no happy path here: method, path, why.
const WITHOUT: &str = include_str!("endpoints/without.tsv");
/// How many those are. Whoever changes this number says why in `without.tsv`.
const WITHOUT_COUNT: usize = 8;

/// Rows that say they need nobody and yet refuse somebody without a token, and why.
const REFUSES_NOBODY: [(&str, &str); 2] = [
    ("POST /_matrix/client/v3/account/deactivate", "there is no other proof than a session"),
    ("GET /_matrix/client/v3/publicRooms", "only with the operator's permission"),
];

fn by_row(lines: &str) -> BTreeMap<String, Value> {
    let lines = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        (line["of"].as_str().expect("a row").to_owned(), line)
    });
    lines.collect()
}

fn served() -> impl Iterator<Item = Row> {
    rows().into_iter().filter(|row| row.served)
}

/// What clients ask. What servers ask each other is proved in `servers.rs`.
fn served_to_clients() -> impl Iterator<Item = Row> {
    served().filter(|row| row.area != "ss")
}

#[track_caller]
fn must_be_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_says_what_is_served() {
    let routes: BTreeSet<_> =
        route_table().into_iter().map(|route| (route.method, without_names(&route.path))).collect();
    let wrong: Vec<_> = rows()
        .into_iter()
        // Answered for every path, by a layer.
        .filter(|row| row.method != "OPTIONS")
        .filter(|row| {
            let is_at = |path: &str| routes.contains(&(row.method.clone(), without_names(path)));
            // What is done with a delayed event is a parameter of the route.
            let action = row.path.rsplit_once('/').map(|(start, _)| format!("{start}/{{action}}"));
            let is_action = row.path.contains("/delayed_events/{delayId}/");
            let exists = is_at(&row.path) || is_action && action.is_some_and(|path| is_at(&path));
            exists != row.served && row.role != Role::Calls
        })
        .map(|row| format!("{}: served is {}", row.name(), row.served))
        .collect();
    must_be_none(&wrong);
}

#[test]
fn every_row_that_is_not_served_says_why() {
    let wrong: Vec<_> = rows()
        .into_iter()
        .filter(|row| row.served != row.why.is_empty())
        .map(|row| row.name())
        .collect();
    must_be_none(&wrong);
}

#[test]
fn rows_without_a_happy_path_are_named_and_counted() {
    let requests = by_row(REQUESTS);
    let named: BTreeSet<_> = WITHOUT
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|fields| {
            assert!(fields.len() == 3 && !fields[2].is_empty(), "{fields:?} says why");
            format!("{} {}", fields[0], fields[1])
        })
        .collect();
    let without: BTreeSet<_> =
        served().map(|row| row.name()).filter(|name| !requests.contains_key(name)).collect();
    assert_eq!(without, named, "served without a happy path (left), and named (right)");
    assert_eq!(named.len(), WITHOUT_COUNT);
    let known: BTreeSet<_> = rows().into_iter().map(|row| row.name()).collect();
    let unknown: Vec<_> = requests.into_keys().filter(|name| !known.contains(name)).collect();
    must_be_none(&unknown);
}

#[tokio::test]
async fn every_row_refuses_the_wrong_kinds_of_caller() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for row in served_to_clients() {
        for objection in refusals(&world, &row).await {
            wrong.push(format!("{}: {objection}", row.name()));
        }
    }
    must_be_none(&wrong);
}

/// What is wrong with how a row treats those who may not ask.
async fn refusals(world: &World, row: &Row) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |who: &str, got: (u16, String), wanted: (u16, &str)| {
        if (got.0, &*got.1) != wanted {
            wrong.push(format!("{who} gets {got:?} and not {wanted:?}"));
        }
    };
    let nobody = world.code(row, None).await;
    match row.auth {
        Auth::Cookie | Auth::Server => return wrong,
        Auth::None | Auth::Optional => {
            let refuses = REFUSES_NOBODY.iter().any(|(of, _)| *of == row.name());
            if refuses != (nobody.1 == "M_MISSING_TOKEN") {
                wrong.push(format!("nobody gets {nobody:?}"));
            }
            return wrong;
        }
        Auth::Token | Auth::Service => {
            must("nobody", nobody, (401, "M_MISSING_TOKEN"));
            let unknown = world.code(row, Some("bogus")).await;
            must("an unknown token", unknown, (401, "M_UNKNOWN_TOKEN"));
        }
    }
    if row.auth == Auth::Service {
        let user = world.code(row, Some(&world.fresh("user").await)).await;
        must("a user", user, (403, "M_FORBIDDEN"));
        return wrong;
    }
    let locked = world.code(row, Some(&world.fresh("locked").await)).await;
    if row.path.contains("/logout") {
        must("a locked user", locked, (200, ""));
    } else {
        must("a locked user", locked, (401, "M_USER_LOCKED"));
    }
    for (who, may, code) in [
        ("guest", row.guests, "M_GUEST_ACCESS_FORBIDDEN"),
        ("suspended", row.suspended, "M_USER_SUSPENDED"),
    ] {
        let got = world.code(row, Some(&world.fresh(who).await)).await;
        if may && got.1 == code {
            wrong.push(format!("a {who} user gets {got:?}, and may ask"));
        }
        if !may && (got.0, &*got.1) != (403, code) {
            wrong.push(format!("a {who} user gets {got:?}, and may not ask"));
        }
    }
    wrong
}

#[tokio::test]
async fn every_row_answers_its_happy_path_as_the_specification_says() {
    let (requests, shapes) = (by_row(REQUESTS), by_row(SHAPES));
    let served: BTreeSet<_> = served_to_clients().map(|row| row.name()).collect();
    let mut wrong = Vec::new();
    let mut proved = 0;
    for (name, request) in &requests {
        if !served.contains(name) {
            continue;
        }
        let mut world = World::with(request["provider"] == true).await;
        let answer = match world.ask(request).await {
            Ok(answer) => answer,
            Err(why) => {
                wrong.push(format!("{name}: {why}"));
                continue;
            }
        };
        proved += 1;
        if let Some(shape) = shapes.get(name)
            && request.get("bytes").is_none()
        {
            let mut objections = Vec::new();
            shape::check(&shape["shape"], &answer, "", &mut objections);
            wrong.extend(objections.into_iter().map(|what| format!("{name}: {what} in {answer}")));
        }
    }
    println!("{proved} of {} served rows answer their happy path", served.len());
    must_be_none(&wrong);
}

#[test]
fn a_wrong_answer_is_found() {
    let shape = json!({
        "type": "object",
        "required": ["a"],
        "properties": { "a": { "type": "array", "items": { "type": "integer" } } },
    });
    for (answer, count) in [
        (json!({ "a": [1, 2], "more": null }), 0),
        (json!({ "a": [1, "2"] }), 1),
        (json!({}), 1),
        (json!([]), 1),
        (json!({ "a": { "0": 1 } }), 1),
    ] {
        let mut objections = Vec::new();
        shape::check(&shape, &answer, "", &mut objections);
        assert_eq!(objections.len(), count, "{answer}: {objections:?}");
    }
}
