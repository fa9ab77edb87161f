//! Application services: bridges and bots that act for many users of theirs (spec: application
//! service API).
//!
//! They are registered by the operator's files, never over the network; what they are told is
//! `notify`'s. A service proves itself by its token, of which only the hash is kept.

mod namespaces;
mod people;

use std::{fmt, sync::Arc};

use ruma::{OwnedUserId, RoomAliasId, RoomId, ServerName, UserId};
use url::Url;

use crate::{
    Secret,
    names::{Chosen, new_user_id},
    secret::{TokenHash, hash},
};

pub use namespaces::{Namespace, Namespaces};

/// Characters of a service's id.
const ID_LENGTH_MAX: usize = 255;

/// A registration as the operator's file has it.
#[derive(Clone, Debug)]
pub struct ServiceRegistration {
    pub id: String,
    /// Where the service listens; `None`: it wants to hear nothing.
    pub url: Option<String>,
    /// By which it proves itself to us.
    pub as_token: Secret,
    /// By which we prove ourselves to it.
    pub hs_token: Secret,
    pub sender_localpart: String,
    pub namespaces: Namespaces,
    pub rate_limited: bool,
    pub ephemeral: Ephemeral,
    pub protocols: Vec<String>,
    pub encryption: Encryption,
}

/// Whether a service hears of typing, receipts and presence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ephemeral {
    #[default]
    No,
    Yes,
    /// It was written before they were in the specification, and looks for their old name.
    UnderOldName,
}

/// What a service wants for end-to-end encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// It is told of device lists and key counts (MSC3202).
    pub device_lists: bool,
    /// It makes one-time keys when they are claimed (MSC3983).
    pub claims: bool,
    /// It is asked for the keys of its devices (MSC3984).
    pub queries: bool,
}

/// A registered application service.
pub struct AppService {
    id: String,
    url: Option<Url>,
    token: TokenHash,
    hs_token: Secret,
    sender: OwnedUserId,
    namespaces: Namespaces,
    rate_limited: bool,
    ephemeral: Ephemeral,
    protocols: Vec<String>,
    encryption: Encryption,
}

impl fmt::Debug for AppService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppService({})", self.id)
    }
}

impl AppService {
    /// A service of the server of this name.
    ///
    /// # Errors
    /// What is wrong with the registration, without its tokens.
    pub fn new(server: &ServerName, registered: ServiceRegistration) -> Result<Self, String> {
        let ServiceRegistration {
            id, url, as_token, hs_token, sender_localpart, namespaces, ..
        } = registered;
        if id.is_empty() || id.chars().count() > ID_LENGTH_MAX || id.chars().any(char::is_control) {
            return Err("id must be a text of 1 to 255 characters".to_owned());
        }
        for (name, token) in [("as_token", &as_token), ("hs_token", &hs_token)] {
            let fits = |byte: u8| byte.is_ascii_graphic();
            if token.reveal().is_empty() || !token.reveal().bytes().all(fits) {
                return Err(format!("{name} must be a text of ASCII characters without spaces"));
            }
        }
        if as_token == hs_token {
            return Err("as_token and hs_token must differ".to_owned());
        }
        let sender = new_user_id(&sender_localpart, server, Chosen::ByOperator)
            .map_err(|error| format!("sender_localpart: {error}"))?;
        Ok(Self {
            token: hash(as_token.reveal()),
            url: url.as_deref().map(base_url).transpose()?,
            id,
            hs_token,
            sender,
            namespaces,
            rate_limited: registered.rate_limited,
            ephemeral: registered.ephemeral,
            protocols: registered.protocols,
            encryption: registered.encryption,
        })
    }

    /// Its name among the services.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it listens, without a slash at the end; `None`: it wants to hear nothing.
    pub fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// By which we prove ourselves to it.
    pub fn hs_token(&self) -> &Secret {
        &self.hs_token
    }

    /// The user it acts as if it does not say otherwise.
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// Whether it hears of typing, receipts and presence.
    pub fn ephemeral(&self) -> Ephemeral {
        self.ephemeral
    }

    /// Networks that it bridges to.
    pub fn protocols(&self) -> &[String] {
        &self.protocols
    }

    /// What it wants for end-to-end encryption.
    pub fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// Whether what it does as this user counts against the rate limits. The sender is free of
    /// them (spec: registration, `rate_limited`).
    pub fn is_limited(&self, user: &UserId) -> bool {
        self.rate_limited && user != self.sender
    }

    /// Whether requests in no user's name count against the rate limits.
    pub fn is_rate_limited(&self) -> bool {
        self.rate_limited
    }

    /// Whether it may act as this user, and hears of what concerns them. Users of other servers
    /// are none of its users, whatever their names.
    pub fn has_user(&self, user: &UserId) -> bool {
        user.server_name() == self.sender.server_name()
            && (user == self.sender || namespaces::contain(&self.namespaces.users, user.as_str()))
    }

    /// Whether nobody else may use this user id.
    pub fn owns_user(&self, user: &UserId) -> bool {
        user.server_name() == self.sender.server_name()
            && (user == self.sender || namespaces::own(&self.namespaces.users, user.as_str()))
    }

    /// Whether it hears of rooms with this alias, and may make it.
    pub fn has_alias(&self, alias: &RoomAliasId) -> bool {
        namespaces::contain(&self.namespaces.aliases, alias.as_str())
    }

    /// Whether nobody else may use this alias.
    pub fn owns_alias(&self, alias: &RoomAliasId) -> bool {
        namespaces::own(&self.namespaces.aliases, alias.as_str())
    }

    /// Whether some aliases are of interest: if not, none needs to be looked up.
    pub fn has_aliases(&self) -> bool {
        !self.namespaces.aliases.is_empty()
    }

    /// Whether it hears of everything in this room.
    pub fn has_room(&self, room: &RoomId) -> bool {
        namespaces::contain(&self.namespaces.rooms, room.as_str())
    }
}

/// An address below which the paths of the specification lie.
fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("url: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("url must begin with http:// or https:// and name a host".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("url must have no query, no fragment and no user name".to_owned());
    }
    Ok(url)
}

/// Two services that cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twice {
    /// What both have.
    pub what: &'static str,
    /// Which of the list.
    pub first: usize,
    pub second: usize,
}

/// All application services of this server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AppServices(Arc<[Arc<AppService>]>);

impl AppServices {
    /// Services that differ in id, token and sender.
    ///
    /// # Errors
    /// The first two that do not.
    pub fn new(services: Vec<AppService>) -> Result<Self, Twice> {
        for (second, service) in services.iter().enumerate() {
            let earlier = || services[..second].iter();
            let found = [
                ("id", earlier().position(|other| other.id == service.id)),
                ("as_token", earlier().position(|other| other.token == service.token)),
                ("sender_localpart", earlier().position(|other| other.sender == service.sender)),
            ];
            if let Some((what, Some(first))) = found.into_iter().find(|(_, first)| first.is_some())
            {
                return Err(Twice { what, first, second });
            }
        }
        Ok(Self(services.into_iter().map(Arc::new).collect()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the operator's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<AppService>> {
        self.0.iter()
    }

    /// Whose token this is. Hashes are compared, and all of them: how long that takes says nothing
    /// about any token.
    pub fn by_token(&self, token: &str) -> Option<&Arc<AppService>> {
        if self.0.is_empty() {
            return None;
        }
        let shown = hash(token);
        let differs = |service: &AppService| {
            service.token.iter().zip(&shown).fold(0, |differs, (a, b)| differs | (a ^ b)) != 0
        };
        self.iter()
            .fold(None, |found, service| if differs(service) { found } else { Some(service) })
    }

    /// Who alone may use this user id.
    pub fn owner_of_user(&self, user: &UserId) -> Option<&Arc<AppService>> {
        self.iter().find(|service| service.owns_user(user))
    }

    /// Whether somebody must not use this user id: it is another service's alone, or the service
    /// itself did not register it.
    pub fn keep_user_from(&self, by: Option<&AppService>, user: &UserId) -> bool {
        by.is_some_and(|by| !by.has_user(user))
            || self.iter().any(|other| is_other(other, by) && other.owns_user(user))
    }

    /// As [`Self::keep_user_from`], for room aliases.
    pub fn keep_alias_from(&self, by: Option<&AppService>, alias: &RoomAliasId) -> bool {
        by.is_some_and(|by| !by.has_alias(alias))
            || self.iter().any(|other| is_other(other, by) && other.owns_alias(alias))
    }
}

fn is_other(service: &AppService, than: Option<&AppService>) -> bool {
    than.is_none_or(|than| than.id != service.id)
}

#[cfg(test)]
mod tests {
    use ruma::{room_alias_id, server_name, user_id};

    use super::*;

    fn registered(id: &str) -> ServiceRegistration {
        let users = vec![Namespace::new(&format!("@_{id}_"), true).expect("an expression")];
        let aliases = vec![Namespace::new(&format!("#_{id}_"), true).expect("an expression")];
        ServiceRegistration {
            id: id.to_owned(),
            url: Some("http://localhost:1/base/".to_owned()),
            as_token: Secret::new(format!("as-{id}")),
            hs_token: Secret::new(format!("hs-{id}")),
            sender_localpart: format!("{id}bot"),
            namespaces: Namespaces { users, aliases, rooms: Vec::new() },
            rate_limited: true,
            ephemeral: Ephemeral::No,
            protocols: Vec::new(),
            encryption: Encryption::default(),
        }
    }

    fn service(registered: ServiceRegistration) -> AppService {
        AppService::new(server_name!("x"), registered).expect("nothing is wrong")
    }

    #[test]
    fn a_service_has_its_sender_and_its_namespaces_on_this_server_only() {
        let irc = service(registered("irc"));
        assert!(irc.has_user(user_id!("@ircbot:x")) && irc.has_user(user_id!("@_irc_alice:x")));
        assert!(irc.owns_user(user_id!("@ircbot:x")));
        assert!(!irc.has_user(user_id!("@_irc_alice:y")) && !irc.has_user(user_id!("@alice:x")));
        assert!(irc.has_alias(room_alias_id!("#_irc_a:x")));
    }

    #[test]
    fn names_are_kept_from_people_and_from_other_services() {
        let services =
            AppServices::new(vec![service(registered("irc")), service(registered("sms"))]);
        let services = services.expect("they differ");
        let (irc, sms) = (&services.0[0], &services.0[1]);
        let user = user_id!("@_irc_alice:x");
        assert!(services.keep_user_from(None, user) && services.keep_user_from(Some(sms), user));
        assert!(!services.keep_user_from(Some(irc), user));
        assert!(!services.keep_user_from(None, user_id!("@alice:x")));
        assert!(services.keep_user_from(Some(irc), user_id!("@alice:x")));
        let alias = room_alias_id!("#_irc_a:x");
        assert!(
            services.keep_alias_from(None, alias) && services.keep_alias_from(Some(sms), alias)
        );
        assert!(!services.keep_alias_from(Some(irc), alias));
        assert!(services.keep_alias_from(Some(irc), room_alias_id!("#a:x")));
    }

    #[test]
    fn a_token_finds_its_service_and_nothing_else_does() {
        let services =
            AppServices::new(vec![service(registered("irc")), service(registered("sms"))]);
        let services = services.expect("they differ");
        let id = |token| services.by_token(token).map(|service| service.id());
        assert_eq!((id("as-irc"), id("as-sms")), (Some("irc"), Some("sms")));
        for wrong in ["", "hs-irc", "as-ir", "as-ircx", "as-irc "] {
            assert_eq!(id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn services_must_differ() {
        let same = |change: fn(&mut ServiceRegistration)| {
            let mut other = registered("sms");
            change(&mut other);
            let twice = AppServices::new(vec![service(registered("irc")), service(other)]);
            twice.expect_err("they do not differ")
        };
        assert_eq!(same(|other| other.id = "irc".into()).what, "id");
        let token = same(|other| other.as_token = Secret::new("as-irc".into()));
        assert_eq!(token, Twice { what: "as_token", first: 0, second: 1 });
        assert_eq!(same(|other| other.sender_localpart = "ircbot".into()).what, "sender_localpart");
    }

    #[test]
    fn a_wrong_registration_says_why() {
        let wrong = |change: fn(&mut ServiceRegistration)| {
            let mut wrong = registered("irc");
            change(&mut wrong);
            AppService::new(server_name!("x"), wrong).expect_err("something is wrong")
        };
        assert!(wrong(|it| it.id = String::new()).contains("id"));
        assert!(wrong(|it| it.as_token = Secret::new(" ".into())).contains("as_token"));
        assert!(wrong(|it| it.hs_token = Secret::new(String::new())).contains("hs_token"));
        assert!(wrong(|it| it.hs_token = Secret::new("as-irc".into())).contains("differ"));
        assert!(wrong(|it| it.sender_localpart = "a b".into()).contains("sender_localpart"));
        for url in ["localhost:1", "ftp://x", "http://x/?a", "http://x/#a", "http://u@x/", ""] {
            let mut with = registered("irc");
            with.url = Some(url.to_owned());
            let why = AppService::new(server_name!("x"), with).expect_err("no base");
            assert!(why.starts_with("url"), "{url}: {why}");
        }
    }
}
