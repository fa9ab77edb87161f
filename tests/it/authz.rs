//! `cases/authz_matrix.jsonl`: who may call what.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    cases::check_health,
    expect::{Expect, Mismatches},
    fixture::Fixture,
    http::{Ask, once},
    paths::with_parameters,
};

const MATRIX: &str = include_str!("cases/authz_matrix.jsonl");

#[derive(Deserialize)]
struct Row {
    method: String,
    path: String,
    expect: BTreeMap<String, Expect>,
}

/// Client endpoints that come with "The whole client-server API", issue 4.
const ISSUE_4: &[&str] = &["/_matrix/client/v3/events", "/_matrix/client/v3/notifications"];

/// Rows that say what a server answers on which the function is switched off. Here it is there.
const SERVED_HERE: &[&str] = &[
    "/_matrix/client/v1/admin/suspend/{userId}",
    "/_matrix/client/v1/login/get_token",
    "/_matrix/client/v3/account/password/msisdn/requestToken",
];

/// Why this caller cannot ask yet, or need not.
fn not_asked(row: &Row, caller: &str) -> Option<&'static str> {
    if ["badsig", "peer_not_in_room"].contains(&caller) {
        Some("callers that are other servers: federation, issue 5")
    } else if ISSUE_4.contains(&row.path.as_str()) {
        Some("endpoints of issue 4")
    } else if SERVED_HERE.contains(&row.path.as_str()) {
        Some("the matrix says what a server without this function answers")
    } else {
        None
    }
}

fn token<'f>(fixture: &'f Fixture, caller: &str) -> &'f str {
    match caller {
        "none" => "",
        "bogus" => "bogus",
        "appservice" => fixture.name("as_token"),
        "guest" => fixture.name("guest_token"),
        // Of the server-server API: somebody's own token is no server's signature.
        "client_token" => fixture.name("token"),
        "other_user" => fixture.name("token_b"),
        other => panic!("there is no caller {other}"),
    }
}

/// Without which the endpoint answers 400 to everybody.
fn query(path: &str) -> &'static str {
    if path.ends_with("/thumbnail/{serverName}/{mediaId}") {
        "?width=8&height=8"
    } else if path.ends_with("/register/available") {
        "?username=nobody"
    } else if path.ends_with("/thirdparty/location") {
        "?alias=%23nothing:example.org"
    } else if path.ends_with("/timestamp_to_event") {
        "?ts=0&dir=f"
    } else {
        ""
    }
}

#[test]
fn each_kind_of_caller_gets_what_the_matrix_says() {
    let mut fixture = Fixture::new("12");
    let mut mismatches = Mismatches::default();
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for line in MATRIX.lines() {
        let row: Row = serde_json::from_str(line).expect("a row");
        for (caller, expect) in &row.expect {
            if let Some(reason) = not_asked(&row, caller) {
                *skipped.entry(reason).or_default() += 1;
                continue;
            }
            let path = with_parameters(&row.path, &fixture.fresh_names()) + query(&row.path);
            let mut ask = Ask::new(&row.method, path).token(token(&fixture, caller));
            if row.method != "GET" {
                ask = ask.header("content-type", "application/json").body("{}");
            }
            let id = format!("{} {} as {caller}", row.method, row.path);
            match once(fixture.server.address, &ask) {
                Ok(answer) => mismatches.note_caller(&id, expect, &answer),
                Err(error) => mismatches.add(&id, "an answer".into(), error.to_string(), ""),
            }
        }
    }
    for (reason, count) in skipped {
        println!("{count} questions left out: {reason}");
    }
    check_health(&mut fixture, &mut mismatches);
    mismatches.must_be_none();
}
