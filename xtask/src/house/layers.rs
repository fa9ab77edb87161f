//! Dependencies point down only, and three names stay in their places: docs/architecture.md.

/// Each crate's level; it may use lower levels only. `testkit` is for tests and may use all.
const LEVELS: &[(&str, u8)] = &[
    ("graph", 0),
    ("outbound", 0),
    ("policy", 0),
    ("store", 0),
    ("data", 1),
    ("accounts", 2),
    ("federation", 2),
    ("rooms", 3),
    ("e2ee", 3),
    ("media", 3),
    ("sso", 3),
    ("notify", 4),
    ("sync", 5), // a sync answer carries notify's unread counts
    ("api", 6),
];

/// A name in code, and the paths that may use it.
const PLACES: &[(&str, &[&str])] = &[
    ("rocksdb::", &["crates/store/src/rocks.rs", "crates/store/src/rocks/"]),
    // Telemetry names the driver to keep its rows out of the log.
    (
        "tokio_postgres::",
        &["crates/store/src/postgres.rs", "crates/store/src/postgres/", "src/telemetry.rs"],
    ),
    ("axum::", &["crates/api/", "src/", "crates/testkit/", "tests/"]),
];

fn level(package: &str) -> Option<u8> {
    LEVELS.iter().find(|(name, _)| *name == package).map(|(_, level)| *level)
}

/// Dependencies of a crate's manifest that do not point down.
pub fn check_manifest(path: &str, text: &str) -> Vec<String> {
    let package = path.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml"));
    let Some((package, own)) = package.and_then(|name| Some((name, level(name)?))) else {
        return Vec::new();
    };
    let mut in_dependencies = false;
    let mut broken = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.trim() == "[dependencies]";
        }
        let Some(used) = line.strip_prefix("blaupause-").filter(|_| in_dependencies) else {
            continue;
        };
        let used = used.split(['.', ' ', '=']).next().unwrap_or_default();
        if level(used).is_none_or(|other| other >= own) {
            broken.push(format!("{path}:{}: {package} may not use {used}: not below it", at + 1));
        }
    }
    broken
}

/// Names in code outside their places. Comments may talk about anything.
pub fn check_source(path: &str, text: &str) -> Vec<String> {
    if path.starts_with("xtask/") {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for (name, places) in PLACES {
        if places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let uses = |line: &str| !line.trim_start().starts_with("//") && line.contains(name);
        if let Some(at) = text.lines().position(uses) {
            broken.push(format!(
                "{path}:{}: `{name}` is named in {} only",
                at + 1,
                places.join(", ")
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_point_down() {
        let manifest = "[dependencies]\nblaupause-data.workspace = true\n";
        assert!(check_manifest("crates/rooms/Cargo.toml", manifest).is_empty());
        assert_eq!(check_manifest("crates/data/Cargo.toml", manifest).len(), 1);
        assert_eq!(check_manifest("crates/policy/Cargo.toml", manifest).len(), 1);
        assert!(check_manifest("crates/testkit/Cargo.toml", manifest).is_empty());
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let manifest = "[dev-dependencies]\nblaupause-testkit.workspace = true\n";
        assert!(check_manifest("crates/rooms/Cargo.toml", manifest).is_empty());
        let manifest = manifest.replace("dev-", "");
        assert_eq!(check_manifest("crates/rooms/Cargo.toml", &manifest).len(), 1);
    }

    #[test]
    fn only_the_engine_names_the_engine() {
        let code = "use rocksdb::DB;\n";
        assert!(check_source("crates/store/src/rocks.rs", code).is_empty());
        assert!(check_source("crates/store/src/rocks/open.rs", code).is_empty());
        assert_eq!(check_source("crates/store/src/memory.rs", code).len(), 1);
        assert!(check_source("crates/store/src/lib.rs", "// see rocksdb::DB\n").is_empty());
    }
}
