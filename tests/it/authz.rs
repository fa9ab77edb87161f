//! `cases/authz_matrix.jsonl`: who may call what.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    cases::check_health,
    expect::{Expect, Mismatches},
    fixture::Fixture,
    http::{Ask, encoded, once},
};

const MATRIX: &str = include_str!("cases/authz_matrix.jsonl");

#[derive(Deserialize)]
struct Row {
    api: String,
    method: String,
    path: String,
    expect: BTreeMap<String, Expect>,
}

/// Why this caller cannot ask yet; the function comes with a later issue.
fn not_yet(row: &Row, caller: &str) -> Option<&'static str> {
    if row.api == "server-server" {
        Some("the server-server API: federation, issue 5")
    } else if caller == "appservice" {
        Some("callers that are application services: issue 4")
    } else {
        None
    }
}

fn token<'f>(fixture: &'f Fixture, caller: &str) -> &'f str {
    match caller {
        "none" => "",
        "bogus" => "bogus",
        "guest" => fixture.name("guest_token"),
        "other_user" => fixture.name("token_b"),
        other => panic!("there is no caller {other}"),
    }
}

/// The path with alice's things in it, and the query without which an endpoint cannot be asked.
pub fn path_of_alice(fixture: &Fixture, path: &str) -> String {
    let names = fixture.fresh_names();
    let mut out = path.to_owned();
    for (parameter, value) in [
        ("userId", &names["user_id"]),
        ("roomId", &names["room_id"]),
        ("roomIdOrAlias", &names["alias_pub"]),
        ("roomAlias", &names["alias_pub"]),
        ("eventId", &names["event_id"]),
        ("threadRootId", &names["event_id"]),
        ("deviceId", &names["device_id"]),
        ("filterId", &names["filter_id"]),
        ("mediaId", &names["media_png"]),
        ("serverName", &names["server_name"]),
        ("txnId", &names["txn"]),
    ] {
        out = out.replace(&format!("{{{parameter}}}"), &encoded(value));
    }
    for (parameter, value) in [
        ("eventType", "m.room.message"),
        ("stateKey", "key"),
        ("type", "org.example.type"),
        ("keyName", "displayname"),
        ("kind", "override"),
        ("ruleId", ".m.rule.master"),
        ("receiptType", "m.read"),
        ("relType", "m.thread"),
        ("tag", "u.tag"),
        ("version", "1"),
        ("sessionId", "session"),
        ("fileName", "file.png"),
        ("authType", "m.login.dummy"),
        ("appserviceId", "bridge"),
        ("networkId", "network"),
        ("protocol", "irc"),
        ("idpId", "idp"),
        ("delayId", "delay"),
        ("id", "id"),
    ] {
        out = out.replace(&format!("{{{parameter}}}"), value);
    }
    out
}

fn query(path: &str) -> &'static str {
    if path.ends_with("/thumbnail/{serverName}/{mediaId}") {
        "?width=8&height=8"
    } else if path.ends_with("/register/available") {
        "?username=nobody"
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
            if let Some(reason) = not_yet(&row, caller) {
                *skipped.entry(reason).or_default() += 1;
                continue;
            }
            let path = format!("{}{}", path_of_alice(&fixture, &row.path), query(&row.path));
            let mut ask = Ask::new(&row.method, path).token(token(&fixture, caller));
            if row.method != "GET" {
                ask = ask.header("content-type", "application/json").body("{}");
            }
            let id = format!("{} {} as {caller}", row.method, row.path);
            match once(fixture.server.address, &ask) {
                Ok(answer) => mismatches.note(&id, expect, &answer, "authorisation matrix"),
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
