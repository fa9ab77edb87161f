//! Keys whose function this version does not have yet.
//!
//! They are in the schema because a conformance run sets them (docs/operations/configure.md), and
//! one file shall fit it and the coming versions. Nobody must believe in a function that is not
//! there: set to more than its default, each is a warning. All of them open something; a key that
//! forbids something must not be here. Whoever builds a function deletes its lines.

use toml::{Table, Value};

use super::{Config, Findings};

const INERT: [&str; 3] =
    ["directory.public_rooms_over_federation", "presence.federation", "federation.device_names"];

pub(super) fn check(config: &Config, found: &mut Findings) {
    let (given, default) = (table(config), table(&Config::default()));
    for key in INERT {
        if value(&given, key) != value(&default, key) {
            found.warn(key, "has no effect: this version does not have its function yet");
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

    #[test]
    fn every_inert_key_is_a_key() {
        let table = table(&Config::default());
        for key in INERT {
            assert!(value(&table, key).is_some(), "{key}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_said() {
        let mut config = Config::default();
        config.federation.device_names = true;
        let mut found = Findings::default();
        check(&config, &mut found);
        assert!(found.errors.is_empty());
        assert_eq!(found.warnings.len(), 1);
        assert_eq!(found.warnings[0].0, "federation.device_names");
    }
}
