//! Where things lie: the checkout, the cache outside it, the folders cargo builds in.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The folders of one run.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// The checkout.
    pub root: PathBuf,
    /// The user's cache folder, for what survives a fresh clone.
    pub cache: PathBuf,
    /// Where the server is built.
    pub target: PathBuf,
    /// Where the test that uses matrix-sdk is built: a workspace of its own, so a folder of its own.
    pub clients_target: PathBuf,
}

impl Dirs {
    /// The folders, from the environment and from what exists.
    ///
    /// # Errors
    /// If there is neither `HOME` nor `XDG_CACHE_HOME`.
    pub fn find() -> Result<Self> {
        let var = |name| env::var_os(name).map(PathBuf::from);
        // At run time: a shared build folder may hold the xtask of another checkout.
        let manifest = var("CARGO_MANIFEST_DIR").context("start this as `cargo xtask`")?;
        let root = manifest.parent().context("xtask lies in a folder of the checkout")?;
        let cache = cache(var("XDG_CACHE_HOME"), var("HOME"))
            .context("set HOME: RocksDB's library is kept in $HOME/.cache")?;
        Ok(Self::from_parts(root, cache, var("CARGO_TARGET_DIR")))
    }

    fn from_parts(root: &Path, cache: PathBuf, wanted_target: Option<PathBuf>) -> Self {
        let warm = cache.join("blaupause-target");
        let is_warm = warm.is_dir();
        let target = match wanted_target {
            Some(folder) => root.join(folder),
            None if is_warm => warm,
            None => root.join("target"),
        };
        let clients_target = if is_warm {
            cache.join("blaupause-target-clients")
        } else {
            root.join("tests/clients/target")
        };
        Self { root: root.to_owned(), cache, target, clients_target }
    }

    /// Make a build folder that another checkout used last fit for this one.
    ///
    /// Cargo tells by modification times whether a crate has to be built again, and gives the same
    /// crate of two checkouts the same file names: without this, what the other checkout built
    /// counts as fresh if this one's files are older.
    ///
    /// # Errors
    /// The folder or a source file cannot be written.
    pub fn claim_target(&self) -> Result<()> {
        let stamp = self.target.join("checkout");
        let root = self.root.to_string_lossy();
        if std::fs::read_to_string(&stamp).is_ok_and(|last| last == root) {
            return Ok(());
        }
        for folder in ["src", "crates", "tests", "xtask"] {
            touch_sources(&self.root.join(folder), std::time::SystemTime::now())?;
        }
        std::fs::create_dir_all(&self.target)?;
        std::fs::write(&stamp, &*root)?;
        Ok(())
    }

    /// The server's binary, built with the dev profile or for release.
    pub fn server(&self, release: bool) -> PathBuf {
        self.target.join(if release { "release" } else { "debug" }).join("blaupause")
    }
}

/// Set the modification time of all Rust files below a folder.
fn touch_sources(folder: &Path, now: std::time::SystemTime) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_source = path.extension().is_some_and(|end| end == "rs");
        let is_built = ["target", "node_modules"].iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !is_built {
            touch_sources(&path, now)?;
        } else if kind.is_file() && is_source {
            std::fs::File::options().append(true).open(&path)?.set_modified(now)?;
        }
    }
    Ok(())
}

/// The XDG rule: a relative `XDG_CACHE_HOME` counts as not set.
fn cache(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    xdg.filter(|folder| folder.is_absolute())
        .or_else(|| home.filter(|folder| folder.is_absolute()).map(|home| home.join(".cache")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(path: &str) -> Option<PathBuf> {
        Some(PathBuf::from(path))
    }

    #[test]
    fn the_cache_follows_the_xdg_rule() {
        assert_eq!(cache(some("/c"), some("/home/a")), some("/c"));
        assert_eq!(cache(some("c"), some("/home/a")), some("/home/a/.cache"));
        assert_eq!(cache(None, some("/home/a")), some("/home/a/.cache"));
        assert_eq!(cache(None, some("")), None);
        assert_eq!(cache(None, None), None);
    }

    #[test]
    fn an_explicit_target_folder_always_wins() {
        let no_cache = PathBuf::from("/nonexistent");
        let root = Path::new("/work");
        let explicit = Dirs::from_parts(root, no_cache.clone(), some("/t"));
        assert_eq!(explicit.target, PathBuf::from("/t"));
        let relative = Dirs::from_parts(root, no_cache.clone(), some("t"));
        assert_eq!(relative.target, PathBuf::from("/work/t"));
        let plain = Dirs::from_parts(root, no_cache, None);
        assert_eq!(plain.target, PathBuf::from("/work/target"));
        assert_eq!(plain.clients_target, PathBuf::from("/work/tests/clients/target"));
        assert_eq!(plain.server(false), PathBuf::from("/work/target/debug/blaupause"));
    }
}
