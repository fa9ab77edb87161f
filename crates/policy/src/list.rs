//! Lists of servers, and who is on them.

use std::collections::HashSet;

use ruma::ServerName;

use crate::ServerPattern;

/// A list of servers: names, and domains below which everything counts. Thousands of entries are
/// looked through in no more time than a few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerList {
    /// Whole names, lower case.
    names: HashSet<String>,
    /// Domains with the dot in front, lower case.
    domains: HashSet<String>,
}

impl FromIterator<ServerPattern> for ServerList {
    fn from_iter<I: IntoIterator<Item = ServerPattern>>(patterns: I) -> Self {
        let mut list = Self::default();
        for pattern in patterns {
            match pattern {
                ServerPattern::Exactly(name) => list.names.insert(name),
                ServerPattern::Below(domain) => list.domains.insert(domain),
            };
        }
        list
    }
}

impl From<Vec<ServerPattern>> for ServerList {
    fn from(patterns: Vec<ServerPattern>) -> Self {
        patterns.into_iter().collect()
    }
}

impl ServerList {
    /// Whether nobody is on it.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.domains.is_empty()
    }

    /// Whether the list names this server.
    pub fn names(&self, server: &ServerName) -> bool {
        let name = server.as_str().to_ascii_lowercase();
        self.names.contains(&name) || self.is_below(server, &name)
    }

    /// Whether the list names this server or its host at another port: who is refused shall not
    /// come back by another door.
    pub(crate) fn names_host_of(&self, server: &ServerName) -> bool {
        self.names(server) || self.names.contains(&server.host().to_ascii_lowercase())
    }

    fn is_below(&self, server: &ServerName, name: &str) -> bool {
        if self.domains.is_empty() || ServerPattern::is_address(server) {
            return false;
        }
        let host = &name[..server.host().len()];
        // Something has to stand before the dot.
        let dots = host.char_indices().filter(|(at, letter)| *letter == '.' && *at > 0);
        dots.into_iter().any(|(at, _)| self.domains.contains(&host[at..]))
    }
}
