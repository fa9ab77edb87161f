//! Cargo with everything a build of this workspace needs in its environment.

use std::{
    env,
    fmt::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    dirs::Dirs,
    pins::Pin,
    progress,
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
        self.program(Path::new("cargo"))
    }

    /// Another program in cargo's environment.
    pub fn program(&self, program: &Path) -> Command {
        let mut cargo = Command::new(program);
        cargo.current_dir(&self.dirs.root).env("CARGO_TARGET_DIR", &self.dirs.target);
        cargo.envs(self.library.variables());
        forget_this_package(&mut cargo);
        cargo
    }

    /// The server's own tests, `tests/it`. Built with all tests of the workspace, which the step
    /// `unit` has done already: alone they would get other features of their dependencies, and be
    /// built anew.
    ///
    /// # Errors
    /// If they cannot be built.
    pub fn server_test(&self) -> Result<Command> {
        println!("$ cargo test --workspace --locked --no-run");
        let built = self
            .cargo()
            .args(["test", "--workspace", "--locked", "--no-run", "--message-format=json"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        progress::check(built.status, "building the tests")?;
        let source = self.dirs.root.join("tests/it/main.rs");
        let said = String::from_utf8_lossy(&built.stdout);
        let program = said.lines().find_map(|line| executable(line, &source.to_string_lossy()));
        Ok(self.program(Path::new(&program.context("cargo names no program for tests/it")?)))
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

/// The program in a line that cargo prints about one it has built from this source.
fn executable(line: &str, source: &str) -> Option<String> {
    let text = |key: &str| {
        let (_, rest) = line.split_once(&format!("\"{key}\":\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    (text("src_path")? == source).then(|| text("executable")).flatten()
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
    fn the_program_is_found_in_what_cargo_prints() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"it","src_path":"/w/tests/it/main.rs"},"executable":"/t/it-1","fresh":true}"#;
        assert_eq!(executable(line, "/w/tests/it/main.rs").as_deref(), Some("/t/it-1"));
        assert_eq!(executable(line, "/w/crates/store/tests/it/main.rs"), None);
        let check = line.replace("\"/t/it-1\"", "null");
        assert_eq!(executable(&check, "/w/tests/it/main.rs"), None);
    }

    #[test]
    fn exported_values_survive_the_shell() {
        let mut text = String::new();
        export(&mut text, "A", "it's here");
        assert_eq!(text, "export A='it'\\''s here'\n");
    }
}
