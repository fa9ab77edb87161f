//! Keys whose function this version does not have yet.
//!
//! They are in the schema so that one file fits a conformance run and the coming versions. Nobody
//! must believe in a function that is not there: a key that *opens* something and is set to more
//! than its default is a warning, a key that *forbids* something stops the start. Whoever builds a
//! function deletes its lines here.

use toml::{Table, Value};

use super::{Config, Findings};

/// Whether believing in the key does harm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum If {
    /// Something is missing that somebody will notice.
    Opens,
    /// Something is allowed that the operator believes to be forbidden.
    Forbids,
}

const INERT: [(&str, If); 27] = [
    ("server.extra_ca_file", If::Opens),
    ("rate_limits.presence", If::Opens),
    ("rate_limits.delayed_events", If::Opens),
    ("rate_limits.user_directory", If::Opens),
    ("rate_limits.federation", If::Opens),
    ("policy.create_rooms", If::Forbids),
    ("directory.publish", If::Forbids),
    ("directory.public_rooms_over_federation", If::Opens),
    ("presence.federation", If::Opens),
    ("delayed_events.enabled", If::Opens),
    ("delayed_events.delay_max", If::Opens),
    ("server_notices.enabled", If::Opens),
    ("server_notices.localpart", If::Opens),
    ("server_notices.display_name", If::Opens),
    ("server_notices.room_name", If::Opens),
    ("url_preview.enabled", If::Opens),
    ("url_preview.allow_private_addresses", If::Opens),
    // Without federation nobody is talked with, so allow and deny forbid nothing that happens.
    ("federation.allow", If::Opens),
    ("federation.deny", If::Opens),
    ("federation.allow_private_addresses", If::Opens),
    ("federation.notary_servers", If::Opens),
    ("federation.device_names", If::Opens),
    ("federation.request_timeout", If::Opens),
    ("federation.retry_backoff_min", If::Opens),
    ("federation.retry_backoff_max", If::Opens),
    ("push.allow_private_addresses", If::Opens),
    ("app_services.directory", If::Opens),
];

pub(super) fn check(config: &Config, found: &mut Findings) {
    let (given, default) = (table(config), table(&Config::default()));
    for (key, harm) in INERT {
        if value(&given, key) == value(&default, key) {
            continue;
        }
        match harm {
            If::Opens => {
                found.warn(key, "has no effect: this version does not have its function yet")
            }
            If::Forbids => found.error(
                key,
                "this version cannot enforce it yet; remove the key if that is acceptable",
            ),
        }
    }
}

fn table(config: &Config) -> Table {
    Table::try_from(config).expect("every section has a TOML form")
}

fn value<'t>(table: &'t Table, dotted: &str) -> Option<&'t Value> {
    match dotted.split_once('.') {
        Some((section, rest)) => value(table.get(section)?.as_table()?, rest),
        None => table.get(dotted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CreateRooms, Publish};

    #[test]
    fn every_inert_key_is_a_key() {
        let table = table(&Config::default());
        for (key, _) in INERT {
            assert!(value(&table, key).is_some(), "{key}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_said() {
        let mut config = Config::default();
        config.url_preview.enabled = true;
        let mut found = Findings::default();
        check(&config, &mut found);
        assert!(found.errors.is_empty());
        assert_eq!(found.warnings.len(), 1);
        assert_eq!(found.warnings[0].0, "url_preview.enabled");
    }

    #[test]
    fn what_cannot_be_forbidden_yet_stops_the_start() {
        let mut config = Config::default();
        config.policy.create_rooms = CreateRooms::Admins;
        config.directory.publish = Publish::Nobody;
        let mut found = Findings::default();
        check(&config, &mut found);
        let keys: Vec<&str> = found.errors.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["policy.create_rooms", "directory.publish"]);
    }
}
