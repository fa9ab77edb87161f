//! Cargo with everything a build of this workspace needs in its environment.

use std::{env, fmt::Write as _, process::Command};

use anyhow::Result;

use crate::{
    dirs::Dirs,
    pins::Pin,
    rocksdb::{self, Library},
    system,
};

/// What children are started with.
#[derive(Clone, Debug)]
pub struct Tools {
    dirs: Dirs,
    library: Library,
}

impl Tools {
    /// Install what is missing, build RocksDB's library if the cache has none.
    ///
    /// # Errors
    /// If something cannot be installed or built; the message says what to do.
    pub fn prepare(dirs: &Dirs) -> Result<Self> {
        dirs.claim_target()?;
        system::ensure(&dirs.root)?;
        let library = rocksdb::ensure(dirs, &Pin::read(&dirs.root)?)?;
        Ok(Self { dirs: dirs.clone(), library })
    }

    /// The same without installing or building anything: for `env`, which must answer at once.
    pub fn without_preparing(dirs: &Dirs) -> Self {
        let library = Pin::read(&dirs.root)
            .map_or_else(|_| Library::absent(), |pin| rocksdb::look(dirs, &pin));
        Self { dirs: dirs.clone(), library }
    }

    /// `cargo`, in the checkout.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.dirs.root).env("CARGO_TARGET_DIR", &self.dirs.target);
        cargo.envs(self.library.variables());
        forget_this_package(&mut cargo);
        cargo
    }

    /// Shell lines that give a plain `cargo` the same environment.
    pub fn exports(&self) -> String {
        let mut text = String::new();
        if self.dirs.target != self.dirs.root.join("target") {
            export(&mut text, "CARGO_TARGET_DIR", &self.dirs.target.to_string_lossy());
        }
        let variables = self.library.variables();
        if variables.is_empty() {
            eprintln!("RocksDB's library is not built yet; first run: cargo xtask prepare");
        }
        for (name, value) in variables {
            export(&mut text, name, &value.to_string_lossy());
        }
        text
    }
}

fn export(text: &mut String, name: &str, value: &str) {
    let quoted = value.replace('\'', r"'\''");
    writeln!(text, "export {name}='{quoted}'").expect("writing to a string");
}

/// `cargo run` tells this process about the package xtask; a cargo started from here must not
/// take that for its own, and build scripts that look at it must not run again because of it.
pub fn forget_this_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_values_survive_the_shell() {
        let mut text = String::new();
        export(&mut text, "A", "it's here");
        assert_eq!(text, "export A='it'\\''s here'\n");
    }
}
