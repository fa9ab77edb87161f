//! `docs/reference/api.md` lists what is served. It is written from the route table:
//! `cargo xtask api-docs`, or this test with `BLAUPAUSE_WRITE_DOCS=1`.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use blaupause_api::{OnlyWith, Route, route_table};

use crate::endpoints::table::{Auth, Row, rows, without_names};

const WRITE: &str = "BLAUPAUSE_WRITE_DOCS";

/// Beginnings of paths and the part of the document that they stand in, the first that fits.
const PARTS: [(&str, &str); 9] = [
    ("/_matrix/client/unstable/", "Proposals (unstable)"),
    ("/_matrix/client/r0/", "Client-server API, old paths (r0)"),
    ("/_matrix/client/", "Client-server API"),
    ("/_matrix/media/", "Media (deprecated paths)"),
    ("/_matrix/federation/", "Server-server API"),
    ("/_matrix/key/", "Keys of servers (server-server API)"),
    ("/.well-known/", "Discovery"),
    ("/_synapse/", "Administration"),
    ("/", "OAuth 2.0 and account pages"),
];

/// What the table of endpoints knows of a route.
fn facts() -> BTreeMap<(String, String), Row> {
    let rows = rows().into_iter();
    rows.map(|row| ((row.method.clone(), without_names(&row.path)), row)).collect()
}

fn document() -> String {
    let facts = facts();
    let mut parts: BTreeMap<usize, Vec<(Route, &str)>> = BTreeMap::new();
    for route in route_table() {
        let only = match route.only_with {
            None | Some(OnlyWith::Federation) => "",
            Some(OnlyWith::OAuth) => "with `[oauth]`",
            Some(OnlyWith::Pages) => "with `[oauth]` or `[[login.oidc]]`",
            Some(OnlyWith::Mail) => "with `[mail]`",
            Some(OnlyWith::AnyPage) => "with `[oauth]`, `[[login.oidc]]` or `[mail]`",
        };
        let part = PARTS.iter().position(|(start, _)| route.path.starts_with(start));
        parts.entry(part.expect("the last one fits all")).or_default().push((route, only));
    }
    let mut text = String::from(
        "# What is served\n\n\
         Written by `cargo xtask api-docs` from the routes in the code; a test fails if it is \
         stale. Facts about the specification come from `endpoints.tsv` beside it, which also says \
         what is not served and why.\n\n\
         *Caller*: `token` needs an access token, `service` that of an application service, \
         `server` the signature of another server, \
         `optional` answers more to whoever has one, `anybody` needs none, `cookie` a session of \
         the account pages. *Since*: version of the specification, or the proposal.\n",
    );
    for (part, mut routes) in parts {
        routes.sort_by(|(a, _), (b, _)| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
        let _ = write!(
            text,
            "\n## {}\n\n| | path | caller | since |\n|---|---|---|---|\n",
            PARTS[part].1
        );
        for (route, only) in routes {
            let row = facts.get(&(route.method.clone(), without_names(&route.path)));
            let only = if only.is_empty() { String::new() } else { format!(" ({only})") };
            let (method, path) = (&route.method, &route.path);
            let (caller, since) = (caller(&route, row), since(&route, row));
            let _ = writeln!(text, "| {method} | `{path}` | {caller}{only} | {since} |");
        }
    }
    text
}

/// Whether servers ask there without a signature.
fn is_open_to_servers(path: &str) -> bool {
    path.starts_with("/_matrix/key/") || path == "/_matrix/federation/v1/version"
}

/// Whether the caller is a server that signs.
fn is_signed(path: &str) -> bool {
    path.starts_with("/_matrix/federation/") && !is_open_to_servers(path)
}

fn caller(route: &Route, row: Option<&Row>) -> &'static str {
    match (row.map(|row| row.auth), route.needs_token) {
        (Some(Auth::Service), _) => "service",
        (Some(Auth::Cookie), _) => "cookie",
        (Some(Auth::Server), _) => "server",
        (Some(Auth::Optional), _) => "optional",
        (Some(Auth::None), _) => "anybody",
        (Some(Auth::Token), _) | (None, Some(true)) => "token",
        (None, Some(false)) if is_signed(&route.path) => "server",
        (None, Some(false)) if is_open_to_servers(&route.path) => "anybody",
        (None, Some(false)) => "optional",
        (None, None) if route.path.starts_with("/_matrix/client") => "token",
        (None, None) => "anybody",
    }
}

/// The version that is known, the proposal in the path, or the version in the path.
fn since(route: &Route, row: Option<&Row>) -> String {
    if let Some(row) = row {
        return row.since.clone();
    }
    let proposal = route.path.split(['/', '.']).find_map(|part| {
        let digits = part.strip_prefix("msc")?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("MSC{digits}"))
    });
    let version = ["r0", "v1", "v3"].into_iter().find(|version| {
        route.path.starts_with(&format!("/_matrix/client/{version}/"))
            || route.path.starts_with(&format!("/_matrix/media/{version}/"))
    });
    proposal.or_else(|| version.map(ToOwned::to_owned)).unwrap_or_else(|| "-".to_owned())
}

#[test]
fn the_list_of_what_is_served_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/api.md");
    let now = document();
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &now).expect("the file can be written");
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let line = written.lines().zip(now.lines()).find(|(written, now)| written != now);
    assert!(written == now, "docs/reference/api.md is stale: cargo xtask api-docs\n{line:?}");
}
