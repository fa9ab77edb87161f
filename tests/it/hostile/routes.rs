//! Every route that the server has, taken from its route table: none is forgotten because nobody
//! wrote it into a list.

use std::collections::{BTreeMap, BTreeSet};

use blaupause_api::{Route, route_table};
use serde_json::{Map, Value, json};

use super::{Victim, endpoints, renew, wrong};
use crate::{
    http::{Answer, Ask, encoded},
    paths::parameters,
    placeholders::Names,
};

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"];

/// What the program has here, where nothing is switched on.
fn served() -> impl Iterator<Item = Route> {
    route_table().into_iter().filter(|route| route.only_with.is_none())
}

/// Parameters whose value is a name of the fixture.
const NAMED: [(&str, &str); 11] = [
    ("{room_id}", "room_id"),
    ("{room_id_or_alias}", "alias_pub"),
    ("{room_alias}", "alias_pub"),
    ("{user_id}", "user_id"),
    ("{event_id}", "event_id"),
    ("{thread_root}", "event_id"),
    ("{device_id}", "device_id"),
    ("{filter_id}", "filter_id"),
    ("{server}", "server_name"),
    ("{id}", "media_png"),
    ("{txn_id}", "txn"),
];

/// The path with its parameters filled in; those without a name get one that is as good as another.
fn path(template: &str, names: &Names) -> String {
    let mut path = template.to_owned();
    for (parameter, name) in NAMED {
        path = path.replace(parameter, &encoded(&names[name]));
    }
    for parameter in parameters(template) {
        path = path.replace(parameter, "org.example.x");
    }
    path
}

/// Long polls shall answer at once.
fn hurried(path: String) -> String {
    if path.ends_with("/sync") || path.ends_with("/events") { path + "?timeout=0" } else { path }
}

fn is_client(route: &Route) -> bool {
    route.path.starts_with("/_matrix/client") || route.path.starts_with("/_matrix/media")
}

/// Everybody's fields at once, all of the same wrong type.
fn all_fields_as(value: &Value) -> Value {
    let mut names = BTreeSet::new();
    for endpoint in endpoints() {
        collect_names(&endpoint.body.unwrap_or_default(), &mut names);
    }
    assert!(names.len() > 50, "{names:?}");
    Value::Object(names.into_iter().map(|name| (name, value.clone())).collect::<Map<_, _>>())
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

#[test]
fn every_route_refuses_a_method_that_is_not_its_own() {
    let mut victim = Victim::new();
    let mut methods = BTreeMap::<String, BTreeSet<String>>::new();
    for route in served() {
        methods.entry(route.path).or_default().insert(route.method);
    }
    let names = victim.names();
    for (template, own) in &methods {
        for method in METHODS.into_iter().filter(|method| !own.contains(*method)) {
            // A literal part of one path may be a parameter of another.
            let path = path(template, &names);
            let ask = Ask::new(method, path).token(&names["token"]).body("{}");
            victim.ask_for(&ask, "a wrong method", |answer| {
                let is_refused =
                    answer.status == 405 && answer.errcode().as_deref() == Some("M_UNRECOGNIZED");
                (!is_refused).then_some("405 M_UNRECOGNIZED")
            });
        }
    }
    victim.finish();
}

#[test]
fn every_route_that_needs_a_token_refuses_none_and_a_wrong_one() {
    let mut victim = Victim::new();
    let names = victim.names();
    let wanted =
        [("", "M_MISSING_TOKEN"), ("bogus", "M_UNKNOWN_TOKEN"), ("syt_a_b_c", "M_UNKNOWN_TOKEN")];
    for route in served().filter(|route| route.needs_token == Some(true)) {
        for (token, code) in wanted {
            for body in [None, Some("{}"), Some("no json")] {
                let mut ask = Ask::new(&route.method, path(&route.path, &names)).token(token);
                if let Some(body) = body {
                    ask = ask.body(body);
                }
                victim.ask_for(&ask, "who may not call is told so first", |answer: &Answer| {
                    let is_refused =
                        answer.status == 401 && answer.errcode().as_deref() == Some(code);
                    (!is_refused).then_some("401 and why")
                });
            }
        }
    }
    victim.finish();
}

#[test]
fn no_route_fails_over_a_body() {
    let mut victim = Victim::new();
    let types = [json!(null), json!(-1), json!(1.5), json!("x"), json!([{}]), json!({ "x": [] })];
    let mut bodies: Vec<(&str, Vec<u8>)> = types
        .iter()
        .map(|value| ("every field of a wrong type", all_fields_as(value).to_string().into_bytes()))
        .collect();
    bodies.extend(wrong::bodies().into_iter().filter_map(|(what, _, body)| Some((what, body?))));
    bodies.push(("too many bytes", format!(r#"{{"a":"{}"}}"#, "x".repeat(2_000_000)).into()));
    let many: Map<_, _> = (0..50_000).map(|n| (n.to_string(), Value::Null)).collect();
    bodies.push(("too many fields", Value::Object(many).to_string().into_bytes()));
    for route in served().filter(|route| is_client(route) && route.method != "GET") {
        let mut names = victim.names();
        for (what, body) in &bodies {
            renew(&victim, &mut names);
            let path = hurried(path(&route.path, &names));
            let ask = Ask::new(&route.method, path).token(&names["token"]);
            victim.ask(&ask.body(body.clone()), what);
        }
    }
    victim.finish();
}

#[test]
fn no_route_fails_over_its_path() {
    let mut victim = Victim::new();
    for route in served() {
        let mut names = victim.names();
        for parameter in parameters(&route.path) {
            for value in wrong::path_values() {
                renew(&victim, &mut names);
                let spoiled = hurried(path(&route.path.replace(parameter, &value), &names));
                let ask = Ask::new(&route.method, spoiled).token(&names["token"]);
                let ask = if route.method == "GET" { ask } else { ask.body("{}") };
                victim.ask(&ask, "a wrong value in the path");
            }
        }
    }
    victim.finish();
}

#[test]
fn no_route_fails_over_its_query() {
    let mut victim = Victim::new();
    let many: String = (0..2_000).map(|number| format!("a{number}=b&")).collect();
    let twice: String = ["limit", "from", "dir", "since", "filter", "access_token", "user_id"]
        .iter()
        .map(|name| format!("{name}=x&{name}=%00&"))
        .collect();
    let queries = [many, twice, "&&&===&".to_owned(), "%FF=%FF&%zz".to_owned(), "a=".repeat(9_000)];
    for route in served() {
        let mut names = victim.names();
        for query in &queries {
            renew(&victim, &mut names);
            let path = format!("{}?timeout=0&{query}", path(&route.path, &names));
            let ask = Ask::new(&route.method, path).token(&names["token"]);
            let ask = if route.method == "GET" { ask } else { ask.body("{}") };
            victim.ask(&ask, "a wrong query");
        }
    }
    victim.finish();
}
