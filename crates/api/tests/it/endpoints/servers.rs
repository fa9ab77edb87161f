//! The rows of the server-server API, proved: who may not ask is refused, the happy path answers as
//! the specification says, and no route is without a row. And the rows that this server asks of
//! others: the test that they name is there.

use std::{collections::BTreeSet, fs, path::Path};

use blaupause_api::route_table;
use http::header;
use serde_json::{Value, json};

use super::{
    REQUESTS, SHAPES, by_row, must_be_none, served, shape,
    table::{Auth, Role, Row, rows, without_names},
};
use crate::federation::world::{Asking, World};

/// Rows that need no signature and yet refuse whoever shows nothing: status, code.
const REFUSES_NOBODY: [(&str, u16, &str); 2] = [
    ("GET /_matrix/federation/v1/openid/userinfo", 401, "M_MISSING_TOKEN"),
    ("PUT /_matrix/federation/v1/3pid/onbind", 400, "M_MISSING_PARAM"),
];

/// What the schemas want and nobody needs: events have no `origin` any more, and no page before or
/// behind this one is written as `null`.
const NOT_SAID: [&str; 3] =
    ["/event/origin is missing", "/next_batch is not string", "/prev_batch is not string"];

/// The old form of a path that has a row: with the id of a key.
const OLD_FORM: &str = "/_matrix/key/v2/server/{}";

pub fn rows_of_servers() -> impl Iterator<Item = Row> {
    served().filter(|row| row.area == "ss")
}

/// A row's happy path, or the row with an empty object.
pub async fn asking(world: &mut World, row: &Row) -> Asking {
    let line = by_row(REQUESTS).remove(&row.name());
    let bare = || {
        let body = (row.method != "GET").then(|| json!({}));
        body.map_or_else(
            || json!({ "of": row.name() }),
            |body| json!({ "of": row.name(), "body": body }),
        )
    };
    world.asking(&line.unwrap_or_else(bare)).await
}

#[test]
fn no_route_of_the_server_server_api_is_without_a_row() {
    let rows: BTreeSet<_> =
        rows().into_iter().map(|row| (row.method.clone(), without_names(&row.path))).collect();
    let routes = route_table().into_iter().filter(|route| {
        route.path.starts_with("/_matrix/federation/") || route.path.starts_with("/_matrix/key/")
    });
    let wrong: Vec<_> = routes
        .map(|route| (route.method, without_names(&route.path)))
        .filter(|route| !rows.contains(route) && route.1 != OLD_FORM)
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    must_be_none(&wrong);
}

#[tokio::test]
async fn every_row_of_servers_refuses_who_does_not_sign() {
    let mut wrong = Vec::new();
    for row in rows_of_servers() {
        let mut world = World::new().await;
        let asking = asking(&mut world, &row).await;
        let nobody = world.server.send(world.bare(&asking)).await;
        let mut with_token = world.bare(&asking);
        let token = format!("Bearer {}", world.names["token"]);
        with_token.headers_mut().insert(header::AUTHORIZATION, token.parse().expect("a header"));
        let person = world.server.send(with_token).await;
        for (who, answer) in [("nobody", nobody), ("a person", person)] {
            let got = (answer.status.as_u16(), answer.code().to_owned());
            let is_refused = got == (401, "M_UNAUTHORIZED".to_owned());
            if is_refused != (row.auth == Auth::Server) {
                wrong.push(format!("{}: {who} gets {got:?}", row.name()));
            }
        }
    }
    for (name, status, code) in REFUSES_NOBODY {
        let world = World::new().await;
        let (method, path) = name.split_once(' ').expect("method and path");
        let method: http::Method = method.parse().expect("a method");
        let body = (method != http::Method::GET).then(|| json!({}));
        let answer = world.server.call(method, path, None, body).await;
        if (answer.status.as_u16(), answer.code()) != (status, code) {
            wrong.push(format!("{name}: nobody gets {} {}", answer.status, answer.body));
        }
    }
    must_be_none(&wrong);
}

#[tokio::test]
async fn every_row_of_servers_answers_its_happy_path_as_the_specification_says() {
    let (requests, shapes) = (by_row(REQUESTS), by_row(SHAPES));
    let mut wrong = Vec::new();
    for row in rows_of_servers() {
        let name = row.name();
        let Some(request) = requests.get(&name) else { continue };
        let mut world = World::new().await;
        let asking = asking(&mut world, &row).await;
        let answer = match row.auth {
            Auth::Server => world.ask(&asking).await,
            _ => world.server.send(world.bare(&asking)).await,
        };
        if answer.status != 200 {
            wrong.push(format!("{name}: {} {}", answer.status, answer.body));
            continue;
        }
        if let Some(shape) = shapes.get(&name)
            && request.get("bytes").is_none()
        {
            let (shape, body): (_, &Value) = (&shape["shape"], &answer.body);
            let mut objections = Vec::new();
            shape::check(shape, body, "", &mut objections);
            let is_wrong = |what: &String| !NOT_SAID.contains(&&**what);
            let objections = objections.into_iter().filter(is_wrong);
            wrong.extend(objections.map(|what| format!("{name}: {what} in {body}")));
        }
    }
    must_be_none(&wrong);
}

#[test]
fn what_this_server_asks_of_others_is_asked_in_a_test() {
    let sources = sources();
    let called: Vec<_> = rows().into_iter().filter(|row| row.role == Role::Calls).collect();
    assert!(called.len() > 5, "{called:?}");
    let is_absent =
        |row: &Row| row.why.is_empty() || !sources.contains(&format!("fn {}(", row.why));
    let wrong: Vec<_> = called.iter().filter(|row| is_absent(row)).map(Row::name).collect();
    must_be_none(&wrong);
}

/// The text of all sources.
pub fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = String::new();
    for folder in ["crates", "tests"] {
        collect(&root.join(folder), &mut sources);
    }
    sources
}

/// The text of all sources below a folder.
fn collect(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|end| end == "rs") {
            out.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
}
