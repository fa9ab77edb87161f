//! Rooms with people of servers that are not on the list: what is said here would reach those
//! servers by others, and what they say would come in by others.

use ruma::{OwnedServerName, ServerName};

use crate::{FederationMode, ServerDenied, ServerPolicy};

/// What becomes of mixed rooms in a closed federation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MixedRooms {
    /// Nobody comes into one. One that this server is in already falls silent: nothing of ours goes
    /// in until the strangers are gone, and nothing of theirs is taken.
    #[default]
    Refuse,
    /// They can be joined and read, and nothing of ours goes in.
    Quarantine,
    /// They are rooms like others. Strangers themselves are still not spoken with.
    Allow,
}

impl ServerPolicy {
    /// How mixed rooms are treated. Only a closed federation knows strangers: in an open one a
    /// room is what its members make of it.
    fn mixed(&self) -> MixedRooms {
        match self.mode {
            FederationMode::Closed => self.mixed_rooms,
            FederationMode::Off | FederationMode::Open => MixedRooms::Allow,
        }
    }

    /// Whether our people may come into rooms with strangers.
    pub fn may_enter_mixed(&self) -> bool {
        self.mixed() != MixedRooms::Refuse
    }

    /// Whether our people may say something in rooms with strangers.
    pub fn may_speak_mixed(&self) -> bool {
        self.mixed() == MixedRooms::Allow
    }

    /// Whether what people of `server` say may be taken from others who pass it on. Who is refused
    /// by name is never heard.
    ///
    /// # Errors
    /// Why not.
    pub fn hears(&self, own: &ServerName, server: &ServerName) -> Result<(), ServerDenied> {
        match self.decide(own, server) {
            Err(ServerDenied::NotAllowed) if self.may_enter_mixed() => Ok(()),
            decision => decision,
        }
    }

    /// Those of the servers that are none of ours, in the order given.
    pub fn strangers<'a>(
        &self,
        own: &ServerName,
        servers: impl IntoIterator<Item = &'a OwnedServerName>,
    ) -> Vec<&'a OwnedServerName> {
        let servers = servers.into_iter();
        servers.filter(|server| self.decide(own, server).is_err()).collect()
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_server_name, server_name};

    use super::*;

    fn policy(mode: FederationMode, mixed_rooms: MixedRooms) -> ServerPolicy {
        let (allow, deny) = (["a.example"], ["evil.example"]);
        let patterns = |names: [&str; 1]| names.iter().map(|name| name.parse().unwrap()).collect();
        ServerPolicy { mode, allow: patterns(allow), deny: patterns(deny), mixed_rooms }
    }

    #[test]
    fn mixed_rooms_are_refused_unless_somebody_says_otherwise() {
        let policy = ServerPolicy::default();
        assert!(!policy.may_enter_mixed() && !policy.may_speak_mixed());
    }

    #[test]
    fn a_quarantine_is_entered_and_heard_but_not_spoken_in() {
        let own = server_name!("own.example");
        let (stranger, evil) = (server_name!("x.example"), server_name!("evil.example"));
        for (mixed, enters, speaks) in [
            (MixedRooms::Refuse, false, false),
            (MixedRooms::Quarantine, true, false),
            (MixedRooms::Allow, true, true),
        ] {
            let policy = policy(FederationMode::Closed, mixed);
            assert_eq!((policy.may_enter_mixed(), policy.may_speak_mixed()), (enters, speaks));
            assert_eq!(policy.hears(own, stranger).is_ok(), enters, "{mixed:?}");
            assert!(policy.hears(own, evil).is_err(), "{mixed:?}");
            for known in [own, server_name!("a.example")] {
                assert_eq!(policy.hears(own, known), Ok(()), "{mixed:?}");
            }
            // Nobody speaks with strangers themselves, ever.
            assert_eq!(policy.decide(own, stranger), Err(ServerDenied::NotAllowed));
        }
    }

    #[test]
    fn only_a_closed_federation_knows_strangers() {
        let open = policy(FederationMode::Open, MixedRooms::Refuse);
        assert!(open.may_enter_mixed() && open.may_speak_mixed());
        assert!(open.hears(server_name!("own.example"), server_name!("evil.example")).is_err());
    }

    #[test]
    fn strangers_are_all_but_us_and_those_on_the_list() {
        let policy = policy(FederationMode::Closed, MixedRooms::Refuse);
        let servers = ["a.example", "own.example", "x.example", "evil.example", "a.example:1"];
        let servers = servers.map(|name| ServerName::parse(name).expect("a name"));
        let strangers = policy.strangers(server_name!("own.example"), &servers);
        let expected = ["x.example", "evil.example", "a.example:1"];
        assert_eq!(strangers.iter().map(|it| it.as_str()).collect::<Vec<_>>(), expected);
        let nobody: Vec<OwnedServerName> = vec![owned_server_name!("own.example")];
        assert!(policy.strangers(server_name!("own.example"), &nobody).is_empty());
    }
}
