//! Which RocksDB the workspace wants, read from `Cargo.toml` and `Cargo.lock`.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// The pinned RocksDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Version of the crate `rocksdb`.
    pub version: String,
    /// Version of the crate `librocksdb-sys`, which holds the C++ sources.
    pub sources: String,
    /// The dependency line of `Cargo.toml`, whole: version and features decide what is compiled.
    pub dependency: String,
}

impl Pin {
    /// Read the pin of a checkout.
    ///
    /// # Errors
    /// If a file cannot be read or does not name RocksDB.
    pub fn read(root: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = root.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let manifest = read("Cargo.toml")?;
        let lock = read("Cargo.lock")?;
        Ok(Self {
            version: locked(&lock, "rocksdb").context("Cargo.lock does not name rocksdb")?,
            sources: locked(&lock, "librocksdb-sys")
                .context("Cargo.lock does not name librocksdb-sys")?,
            dependency: dependency(&manifest, "rocksdb")
                .context("Cargo.toml has no line that begins with `rocksdb = `")?,
        })
    }

    /// What a library was built from; another text means that it has to be built again.
    pub fn stamp(&self) -> String {
        format!("{}\nlibrocksdb-sys {}\n", self.dependency, self.sources)
    }
}

/// The version of a package in the text of a `Cargo.lock`.
fn locked(lock: &str, package: &str) -> Option<String> {
    let wanted = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != wanted);
    lines.next()?;
    let version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
    Some(version.to_owned())
}

/// The line of a dependency in the text of a `Cargo.toml`. It has to be one line.
fn dependency(manifest: &str, package: &str) -> Option<String> {
    manifest
        .lines()
        .find(|line| line.split_once('=').is_some_and(|(name, _)| name.trim() == package))
        .map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "[[package]]\nname = \"librocksdb-sys\"\nversion = \"0.19.0+11.8.1\"\n\
        source = \"x\"\n\n[[package]]\nname = \"rocksdb\"\nversion = \"0.25.0\"\n";

    #[test]
    fn versions_come_from_the_lock_file() {
        assert_eq!(locked(LOCK, "rocksdb").as_deref(), Some("0.25.0"));
        assert_eq!(locked(LOCK, "librocksdb-sys").as_deref(), Some("0.19.0+11.8.1"));
        assert_eq!(locked(LOCK, "rocks"), None);
    }

    #[test]
    fn the_dependency_line_is_taken_whole() {
        let manifest = "rocksdb-extra = \"1\"\nrocksdb = { version = \"=0.25.0\" }\n";
        assert_eq!(
            dependency(manifest, "rocksdb").as_deref(),
            Some("rocksdb = { version = \"=0.25.0\" }")
        );
        assert_eq!(dependency(manifest, "lz4"), None);
    }

    #[test]
    fn this_checkout_names_its_rocksdb() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let pin = Pin::read(root).unwrap();
        assert!(pin.dependency.contains("version"), "{pin:?}");
        assert!(pin.dependency.ends_with('}'), "must be one line: {pin:?}");
    }

    #[test]
    fn other_features_ask_for_another_library() {
        let pin = Pin {
            version: "1".into(),
            sources: "2".into(),
            dependency: "rocksdb = { features = [\"lz4\"] }".into(),
        };
        let other = Pin { dependency: "rocksdb = { features = [] }".into(), ..pin.clone() };
        assert_ne!(pin.stamp(), other.stamp());
    }
}
