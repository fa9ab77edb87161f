//! `docs/reference/endpoints.tsv`.

const TABLE: &str = include_str!("../../../../../docs/reference/endpoints.tsv");

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    None,
    /// Everybody; with an access token it may be more.
    Optional,
    /// Somebody with an access token.
    Token,
    /// An application service.
    Service,
    /// Somebody with a session of the account pages.
    Cookie,
    /// Another server, which signs.
    Server,
}

/// What this server has to do with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Serves,
    /// It asks others; [`Row::why`] names the test.
    Calls,
    Neither,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Row {
    pub area: String,
    pub method: String,
    pub path: String,
    pub auth: Auth,
    /// Specification version or proposal.
    pub since: String,
    pub guests: bool,
    pub suspended: bool,
    pub served: bool,
    pub role: Role,
    pub why: String,
}

impl Row {
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// All rows.
pub fn rows() -> Vec<Row> {
    TABLE.lines().skip(1).map(row).collect()
}

fn row(line: &str) -> Row {
    let fields: Vec<&str> = line.split('\t').collect();
    let [area, method, path, auth, since, guests, suspended, served, why] = fields[..] else {
        panic!("nine fields: {line}")
    };
    Row {
        area: area.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        auth: match auth {
            "none" => Auth::None,
            "optional" => Auth::Optional,
            "token" => Auth::Token,
            "service" => Auth::Service,
            "cookie" => Auth::Cookie,
            "server" => Auth::Server,
            other => panic!("{other} is no kind of caller: {line}"),
        },
        since: since.to_owned(),
        guests: guests == "y",
        suspended: suspended == "y",
        served: served == "y",
        role: match served {
            "y" => Role::Serves,
            "c" => Role::Calls,
            _ => Role::Neither,
        },
        why: why.to_owned(),
    }
}

/// `/rooms/{roomId}/state` as `/rooms/{}/state`.
pub fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}
