//! Every route that there is, taken from the route table, against everything wrong: whatever comes,
//! the answer is below 500 and says its error as the specification wants it said.
//!
//! `tests/it` asks the real program the same over a socket; this is quick and needs no store.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use axum::body::Body;
use blaupause_accounts::Settings;
use blaupause_api::{OAuth, OnlyWith, Route, Settings as ApiSettings, route_table};
use http::{Method, Request, Uri};
use serde_json::{Map, Value, json};

use crate::server::{Answer, Server, settings};

/// Longer than any answer may take, long polls apart.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every field that some endpoint knows.
const ENDPOINTS: &str = include_str!("../../../../tests/it/cases/endpoints.jsonl");

/// What stands in a path where something else should.
const PATH_VALUES: &str = include_str!("../../../../tests/it/cases/path_values.txt");

/// A server and somebody on it; what went wrong is collected.
struct Victim {
    server: Server,
    token: String,
    device: String,
    room: String,
    event: String,
    people: usize,
    wrong: Vec<String>,
}

impl Victim {
    async fn new() -> Self {
        let accounts = Settings { failed_logins: None, ..settings() };
        let oauth = Some(OAuth { base_url: "https://matrix.example.org".to_owned() });
        let server = Server::with_api(accounts, ApiSettings { oauth, ..Default::default() }).await;
        let text = String::new;
        let (token, device, room, event) = (text(), text(), text(), text());
        let mut victim = Self { server, token, device, room, event, people: 0, wrong: Vec::new() };
        victim.recover().await;
        victim
    }

    /// Some questions sign out or leave: somebody who is there, with a room.
    async fn recover(&mut self) {
        let alive = self.server.get("/v3/account/whoami", &self.token).await;
        if !self.token.is_empty() && alive.status == 200 {
            return;
        }
        self.people += 1;
        let name = format!("victim{}", self.people);
        let person = self.server.user(&name).await;
        let made = person.post("/v3/createRoom", json!({})).await.ok();
        let room = made["room_id"].as_str().expect("an id").to_owned();
        let message = json!({ "msgtype": "m.text", "body": "a" });
        let path = format!("/v3/rooms/{room}/send/m.room.message/1");
        let sent = person.put(&path, message).await.ok();
        let event = sent["event_id"].as_str().expect("an id").to_owned();
        let (token, device) = (person.token.clone(), person.device.clone());
        (self.token, self.device, self.room, self.event) = (token, device, room, event);
    }

    fn path(&self, template: &str) -> String {
        let user = format!("@victim{}:example.org", self.people);
        let mut path = template.to_owned();
        for parameter in parameters(template) {
            let value = match parameter {
                "{user_id}" => &user,
                "{room_id}" | "{room_id_or_alias}" => &self.room,
                "{event_id}" | "{thread_root}" => &self.event,
                "{device_id}" => &self.device,
                "{server}" | "{server_name}" => "example.org",
                _ => "org.example.x",
            };
            path = path.replace(parameter, &value.replace('#', "%23"));
        }
        path
    }

    /// Ask; `objection` says what would have been right.
    async fn ask(
        &mut self,
        (method, path): (&str, &str),
        token: Option<&str>,
        body: impl Into<Body>,
        objection: impl FnOnce(&Answer) -> Option<&'static str>,
    ) {
        // What is no URI never reaches the router.
        let Ok(uri) = path.parse::<Uri>() else { return };
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = Request::builder().method(method.clone()).uri(uri);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body.into()).expect("a request");
        let answer = tokio::time::timeout(PATIENCE, self.server.send(request)).await;
        let shown: String = path.chars().take(120).collect();
        let wrong = match &answer {
            Err(_) => Some("an answer in time"),
            Ok(answer) => plain_objection(&shown, answer).or_else(|| objection(answer)),
        };
        if let Some(wanted) = wrong {
            let got = answer.map(|answer| format!("{} {}", answer.status, answer.body));
            self.wrong.push(format!("{method} {shown}: not {wanted} but {got:?}"));
        }
    }

    #[track_caller]
    fn must_be_well(self) {
        assert!(
            self.wrong.is_empty(),
            "{} wrong answers:\n{}",
            self.wrong.len(),
            self.wrong.join("\n")
        );
    }
}

/// What would have been right, whatever was asked.
fn plain_objection(path: &str, answer: &Answer) -> Option<&'static str> {
    let status = answer.status.as_u16();
    if status >= 500 && status != 504 {
        return Some("an answer below 500");
    }
    let speaks_json = path.starts_with("/_matrix/client") || path.starts_with("/_matrix/media");
    let is_page = path.contains("/fallback/web");
    // User-interactive authentication answers 401 with flows.
    let says_why = !answer.code().is_empty() || answer.body.get("flows").is_some();
    (status >= 400 && speaks_json && !is_page && !says_why).then_some("an error code")
}

fn parameters(template: &str) -> Vec<&str> {
    template.split_inclusive('}').filter_map(|part| part.find('{').map(|at| &part[at..])).collect()
}

/// Long polls shall answer at once.
fn hurried(path: String) -> String {
    let polls = path.ends_with("/sync") || path.ends_with("/events");
    if polls { path + "?timeout=0" } else { path }
}

/// What the victim's server has: all but what needs another program.
fn served() -> impl Iterator<Item = Route> {
    let is_off =
        |route: &Route| matches!(route.only_with, Some(OnlyWith::Federation | OnlyWith::Mail));
    route_table().into_iter().filter(move |route| !is_off(route))
}

/// Everybody's fields at once, all of the same wrong type.
fn all_fields_as(value: &Value) -> Vec<u8> {
    let mut names = BTreeSet::new();
    for line in ENDPOINTS.lines() {
        let endpoint: Value = serde_json::from_str(line).expect("an endpoint");
        collect_names(&endpoint["body"], &mut names);
    }
    assert!(names.len() > 50, "{names:?}");
    let fields: Map<_, _> = names.into_iter().map(|name| (name, value.clone())).collect();
    Value::Object(fields).to_string().into_bytes()
}

fn collect_names(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            out.insert(name.clone());
            collect_names(value, out);
        }),
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, out)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_refuses_a_method_that_is_not_its_own() {
    let mut victim = Victim::new().await;
    let mut methods = BTreeMap::<String, BTreeSet<String>>::new();
    for route in served() {
        methods.entry(route.path).or_default().insert(route.method);
    }
    for (template, own) in &methods {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
            if own.contains(method) {
                continue;
            }
            let (path, token) = (victim.path(template), victim.token.clone());
            let to = (method, &*path);
            victim
                .ask(to, Some(&token), "{}", |answer| {
                    let is_refused = answer.status == 405 && answer.code() == "M_UNRECOGNIZED";
                    (!is_refused).then_some("405 M_UNRECOGNIZED")
                })
                .await;
        }
    }
    victim.must_be_well();
}

#[tokio::test]
async fn every_route_that_needs_a_token_refuses_none_and_a_wrong_one() {
    let mut victim = Victim::new().await;
    let wanted = [(None, "M_MISSING_TOKEN"), (Some("bogus"), "M_UNKNOWN_TOKEN")];
    for route in served().filter(|route| route.needs_token == Some(true)) {
        for (token, code) in wanted {
            for body in ["", "{}", "no json"] {
                let path = victim.path(&route.path);
                let to = (&*route.method, &*path);
                victim
                    .ask(to, token, body, |answer| {
                        let is_refused = answer.status == 401 && answer.code() == code;
                        (!is_refused).then_some("401 and why")
                    })
                    .await;
            }
        }
    }
    victim.must_be_well();
}

#[tokio::test]
async fn no_route_fails_over_a_body() {
    let mut victim = Victim::new().await;
    let types = [json!(null), json!(-1), json!(1.5), json!("x"), json!([{}]), json!({ "x": [] })];
    let mut bodies: Vec<Vec<u8>> = types.iter().map(all_fields_as).collect();
    let many: Map<_, _> = (0..20_000).map(|n| (n.to_string(), Value::Null)).collect();
    bodies.extend([
        b"".to_vec(),
        b"not json".to_vec(),
        b"[1]".to_vec(),
        b"null".to_vec(),
        b"{\"a\":\"\xff\"}".to_vec(),
        br#"{"a":"\ud800"}"#.to_vec(),
        "{\"a\":".repeat(50_000).into_bytes(),
        format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000)).into_bytes(),
        format!("{{\"a\":\"{}\"}}", "x".repeat(2_000_000)).into_bytes(),
        Value::Object(many).to_string().into_bytes(),
    ]);
    for route in served().filter(|route| route.method != "GET") {
        for body in &bodies {
            victim.recover().await;
            let (path, token) = (hurried(victim.path(&route.path)), victim.token.clone());
            victim.ask((&route.method, &path), Some(&token), body.clone(), |_| None).await;
        }
    }
    victim.must_be_well();
}

#[tokio::test]
async fn no_route_fails_over_its_path() {
    let mut victim = Victim::new().await;
    let long = "a".repeat(3_000);
    for route in served() {
        for parameter in parameters(&route.path) {
            for value in PATH_VALUES.lines().chain([&*long]) {
                victim.recover().await;
                let path = hurried(victim.path(&route.path.replace(parameter, value)));
                let token = victim.token.clone();
                let body = if route.method == "GET" { "" } else { "{}" };
                victim.ask((&route.method, &path), Some(&token), body, |_| None).await;
            }
        }
    }
    victim.must_be_well();
}

#[tokio::test]
async fn no_route_fails_over_its_query() {
    let mut victim = Victim::new().await;
    let many: String = (0..2_000).map(|number| format!("a{number}=b&")).collect();
    let names = ["limit", "from", "dir", "since", "filter", "ts", "user_id", "session", "at"];
    let twice: String = names.iter().map(|name| format!("{name}=x&{name}=%00&")).collect();
    let queries = [many, twice, "&&&===&".to_owned(), "%FF=%FF&%zz".to_owned(), "a=".repeat(9_000)];
    for route in served() {
        for query in &queries {
            victim.recover().await;
            let path = format!("{}?timeout=0&{query}", victim.path(&route.path));
            let token = victim.token.clone();
            let body = if route.method == "GET" { "" } else { "{}" };
            victim.ask((&route.method, &path), Some(&token), body, |_| None).await;
        }
    }
    victim.must_be_well();
}
