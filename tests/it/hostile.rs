//! Every client endpoint against every kind of wrong input: whatever comes, the answer is an
//! answer, below 500, and says its error as the spec wants it said.

mod routes;
mod wrong;

use std::io;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cases::check_health,
    expect::Mismatches,
    fixture::Fixture,
    http::{Answer, Ask, Client, once},
    paths::{parameters, with_parameters},
    people::{self, Person},
    placeholders::{Names, Place, filled},
};

const ENDPOINTS: &str = include_str!("cases/endpoints.jsonl");

#[derive(Deserialize)]
struct Endpoint {
    method: String,
    path: String,
    #[serde(default)]
    query: Vec<String>,
    /// A plausible one.
    body: Option<Value>,
    /// Whether the specification asks for an access token.
    #[serde(default)]
    token: bool,
}

/// Somebody to spoil things for, on a server of the test's own.
struct Victim {
    fixture: Fixture,
    client: Client,
    person: Person,
    people: usize,
    mismatches: Mismatches,
}

impl Victim {
    fn new() -> Self {
        let fixture = Fixture::new("12");
        let client = fixture.server.client();
        let person = fixture.alice.clone();
        Self { fixture, client, person, people: 0, mismatches: Mismatches::default() }
    }

    /// The names for one endpoint's questions: a person that is signed in, and a fresh room, for
    /// some endpoints sign out or leave.
    fn names(&mut self) -> Names {
        let whoami = self.person.ask("GET", "/_matrix/client/v3/account/whoami");
        if self.client.ask(&whoami).map_or(0, |answer| answer.status) != 200 {
            self.people += 1;
            self.person = people::register(&mut self.client, &format!("mallory{}", self.people));
        }
        let mut names = self.fixture.fresh_names();
        let person = self.person.clone();
        let room = person.create_room(&mut self.client, &json!({ "preset": "private_chat" }));
        names.insert("event_id", person.send(&mut self.client, &room, "first", "hello"));
        names.insert("room_id", room);
        names.insert("user_id", person.id);
        names.insert("device_id", person.device);
        names.insert("token", person.token);
        names
    }

    fn ask(&mut self, ask: &Ask, what: &str) {
        self.ask_for(ask, what, |_| None);
    }

    /// Ask, with a further objection than the ones that always hold.
    fn ask_for(
        &mut self,
        ask: &Ask,
        what: &str,
        further: impl FnOnce(&Answer) -> Option<&'static str>,
    ) {
        self.mismatches.count_one();
        // A refused request may end the connection that others used before it.
        let answer = match self.client.ask(ask) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                once(self.fixture.server.address, ask)
            }
            outcome => outcome,
        };
        let id = format!("{} {}", ask.method, shortened(&ask.target));
        match answer {
            Ok(answer) => {
                if let Some(expected) = objection(&answer, &id).or_else(|| further(&answer)) {
                    self.mismatches.add(&id, expected.to_owned(), answer.shown(), what);
                }
            }
            Err(error) => {
                self.mismatches.add(&id, "an answer".to_owned(), error.to_string(), what);
            }
        }
    }

    fn finish(mut self) {
        // The person may have been signed out by the last question; alice is looked for.
        self.fixture.alice = self.person.clone();
        let whoami = self.person.ask("GET", "/_matrix/client/v3/account/whoami");
        if self.client.ask(&whoami).map_or(0, |answer| answer.status) == 401 {
            self.fixture.alice = people::register(&mut self.client, "survivor");
        }
        check_health(&mut self.fixture, &mut self.mismatches);
        self.mismatches.must_be_none();
    }
}

fn shortened(target: &[u8]) -> String {
    String::from_utf8_lossy(target).chars().take(160).collect()
}

/// What would have been right.
fn objection(answer: &Answer, id: &str) -> Option<&'static str> {
    if answer.status == 0 || answer.status >= 500 {
        return Some("an answer below 500");
    }
    let speaks_json = (id.contains("/_matrix/client") || id.contains("/_matrix/media"))
        && !id.contains("/fallback/web");
    if answer.status < 400 || !speaks_json {
        return None;
    }
    // A target that is no URL never reaches the part that knows error codes.
    let is_http_level = answer.body.is_empty() && id.contains('%');
    // User-interactive authentication answers 401 with flows.
    let says_why = answer.errcode().is_some() || answer.json().get("flows").is_some();
    (!says_why && !is_http_level).then_some("an error code")
}

fn endpoints() -> impl Iterator<Item = Endpoint> {
    ENDPOINTS.lines().map(|line| serde_json::from_str(line).expect("an endpoint"))
}

impl Endpoint {
    fn path(&self, names: &Names) -> String {
        let path = with_parameters(&self.path, names);
        // Long polls shall answer at once.
        if self.query.iter().any(|key| key == "timeout") { path + "?timeout=0" } else { path }
    }

    /// Of somebody who may ask: some endpoints are for application services.
    fn token<'n>(&self, names: &'n Names) -> &'n str {
        &names[if self.path.contains("/appservice/") { "as_token" } else { "token" }]
    }

    fn ask(&self, path: &str, names: &Names) -> Ask {
        let ask = Ask::new(&self.method, path).token(self.token(names));
        match &self.body {
            Some(body) => with_body(ask, body, names),
            None => ask,
        }
    }
}

fn with_body(ask: Ask, body: &Value, names: &Names) -> Ask {
    let body = filled(&body.to_string(), names, Place::Elsewhere);
    ask.header("content-type", "application/json").body(body)
}

/// The txn parameter is new in each question, otherwise only the first one would be looked at.
fn renew(victim: &Victim, names: &mut Names) {
    names.insert("txn", victim.fixture.fresh_names()["txn"].clone());
}

impl Endpoint {
    /// What the specification wants said to this token and this body.
    fn objection(&self, token: &str, body: wrong::Kind, answer: &Answer) -> Option<&'static str> {
        let code = answer.errcode().unwrap_or_default();
        // Comes with a later issue.
        if code == "M_UNRECOGNIZED" && [404, 405].contains(&answer.status) {
            return None;
        }
        let is =
            |status: u16, codes: &[&str]| answer.status == status && codes.contains(&code.as_str());
        // The first logout is the last; to register with a token is refused for the token.
        let takes_json = self.body.is_some()
            && self.path.starts_with("/_matrix/client/")
            && !self.path.contains("/logout")
            && !self.path.ends_with("/register");
        match token {
            "" if self.token && !is(401, &["M_MISSING_TOKEN"]) => Some("401 M_MISSING_TOKEN"),
            "bogus" if self.token && !is(401, &["M_UNKNOWN_TOKEN"]) => Some("401 M_UNKNOWN_TOKEN"),
            // Who may not call is told so first.
            "" | "bogus" => None,
            _ if !takes_json => None,
            _ => match body {
                wrong::Kind::NotJson if !is(400, &["M_NOT_JSON"]) => Some("400 M_NOT_JSON"),
                wrong::Kind::NoObject if !is(400, &["M_BAD_JSON", "M_NOT_JSON"]) => {
                    Some("400 M_BAD_JSON")
                }
                _ => None,
            },
        }
    }
}

#[test]
fn every_endpoint_refuses_a_wrong_token_and_a_body_that_is_no_object() {
    let mut victim = Victim::new();
    let bodies = wrong::bodies();
    for endpoint in endpoints() {
        let mut names = victim.names();
        let good = endpoint.token(&names).to_owned();
        for token in ["", "bogus", &good] {
            for (what, kind, body) in &bodies {
                renew(&victim, &mut names);
                let ask = Ask::new(&endpoint.method, endpoint.path(&names)).token(token);
                let ask = match body {
                    Some(body) => ask.body(body.clone()),
                    None => ask,
                };
                let further = |answer: &Answer| endpoint.objection(token, *kind, answer);
                victim.ask_for(&ask, what, further);
            }
        }
    }
    victim.finish();
}

#[test]
fn no_endpoint_fails_over_a_field_of_a_wrong_type() {
    let mut victim = Victim::new();
    for endpoint in endpoints() {
        let Some(body) = &endpoint.body else { continue };
        let mut names = victim.names();
        for (what, body) in wrong::mutations(body) {
            renew(&victim, &mut names);
            let ask =
                Ask::new(&endpoint.method, endpoint.path(&names)).token(endpoint.token(&names));
            victim.ask(&with_body(ask, &body, &names), &what);
        }
    }
    victim.finish();
}

#[test]
fn no_endpoint_fails_over_a_query() {
    let mut victim = Victim::new();
    for endpoint in endpoints() {
        let mut names = victim.names();
        for key in &endpoint.query {
            for value in wrong::query_values() {
                renew(&victim, &mut names);
                let path = endpoint.path(&names);
                let sign = if path.contains('?') && key != "timeout" { '&' } else { '?' };
                let path =
                    if key == "timeout" { with_parameters(&endpoint.path, &names) } else { path };
                let path = format!("{path}{sign}{key}={value}");
                victim.ask(&endpoint.ask(&path, &names), "a wrong value in the query");
            }
        }
    }
    victim.finish();
}

#[test]
fn no_endpoint_fails_over_a_path_parameter() {
    let mut victim = Victim::new();
    for endpoint in endpoints() {
        let mut names = victim.names();
        for parameter in parameters(&endpoint.path) {
            for value in wrong::path_values() {
                renew(&victim, &mut names);
                let spoiled = endpoint.path.replace(parameter, &value);
                let path = with_parameters(&spoiled, &names);
                victim.ask(&endpoint.ask(&path, &names), "a wrong value in the path");
            }
        }
    }
    victim.finish();
}

#[test]
fn a_refused_upload_gets_its_answer_although_it_is_still_being_sent() {
    let fixture = Fixture::new("12");
    let large = vec![b'a'; 3 * 1024 * 1024];
    for _ in 0..10 {
        for (token, status) in [("", 401), ("bogus", 401), (fixture.name("token"), 413)] {
            let ask = Ask::new("POST", "/_matrix/media/v3/upload").token(token);
            let answer = once(fixture.server.address, &ask.body(large.clone()));
            assert_eq!(answer.expect("an answer").status, status);
        }
    }
}
