//! `cases/badinputs.jsonl`: each malformed or unauthorised request gets one of the answers that
//! its line allows, and the server is as well afterwards as before.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    expect::{Expect, Mismatches},
    fixture::Fixture,
    http::{Answer, Ask, once},
    placeholders::{Names, Place, filled},
};

const CASES: &str = include_str!("cases/badinputs.jsonl");

#[derive(Deserialize)]
struct Case {
    id: String,
    method: String,
    path: String,
    headers: BTreeMap<String, Value>,
    body: Option<String>,
    expect: Expect,
    why: String,
    #[serde(default)]
    needs: Vec<String>,
}

impl Case {
    /// Why this case cannot be asked yet; the function comes with a later issue.
    fn not_yet(&self) -> Option<&'static str> {
        let needs = |what: &str| self.needs.iter().any(|need| need == what);
        if needs("signed_peer") {
            Some("needs a signing peer: federation, issue 5")
        } else if self.path.contains("/admin/whois/") {
            Some("asks an endpoint of issue 4")
        } else {
            None
        }
    }

    fn ask(&self, names: &Names) -> Ask {
        let mut ask = Ask::new(&self.method, filled(&self.path, names, Place::Path));
        for (name, value) in &self.headers {
            // A list is a header that is sent several times.
            let values = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
            for value in values {
                let text = value.as_str().expect("a header is a string");
                ask = ask.header(name, filled(text, names, Place::Elsewhere));
            }
        }
        match &self.body {
            Some(body) => ask.body(filled(body, names, Place::Elsewhere)),
            None => ask,
        }
    }
}

fn run(room_version: &str) {
    let mut fixture = Fixture::new(room_version);
    let mut mismatches = Mismatches::default();
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for line in CASES.lines() {
        let case: Case = serde_json::from_str(line).expect("a case");
        if let Some(reason) = case.not_yet() {
            *skipped.entry(reason).or_default() += 1;
            continue;
        }
        match once(fixture.server.address, &case.ask(&fixture.fresh_names())) {
            Ok(answer) => mismatches.note(&case.id, &case.expect, &answer, &case.why),
            Err(error) => {
                mismatches.add(&case.id, "an answer".into(), error.to_string(), &case.why)
            }
        }
    }
    for (reason, count) in skipped {
        println!("{count} cases left out: {reason}");
    }
    check_health(&mut fixture, &mut mismatches);
    mismatches.must_be_none();
}

/// The server still runs, has complained of nothing, and knows alice.
pub fn check_health(fixture: &mut Fixture, mismatches: &mut Mismatches) {
    let whoami = fixture.alice.ask("GET", "/_matrix/client/v3/account/whoami");
    let answer = once(fixture.server.address, &whoami).unwrap_or_else(|error| Answer {
        body: error.to_string().into_bytes(),
        ..Answer::default()
    });
    if answer.json()["user_id"] != fixture.alice.id {
        mismatches.add("afterwards", "alice's name".into(), answer.shown(), "alice is signed in");
    }
    if !fixture.server.is_running() {
        mismatches.add("afterwards", "a server".into(), "none".into(), "nothing may end it");
    }
    for line in fixture.server.complaints() {
        mismatches.add("log", "no error and no panic".into(), line, "input is no reason for these");
    }
}

#[test]
fn wrong_requests_get_what_the_cases_say() {
    run("12");
}

#[test]
fn wrong_requests_get_the_same_where_rooms_are_of_version_11() {
    run("11");
}
