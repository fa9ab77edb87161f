//! What a build needs from the system: libclang for RocksDB's bindings, a C++ compiler, and make for
//! jemalloc.
//! On Debian and its relatives it is installed, elsewhere the packages are named.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::progress;

/// Check the toolchain, install what is missing.
///
/// # Errors
/// If something is missing and cannot be installed; the message says what to do.
pub fn ensure(root: &Path) -> Result<()> {
    check_rust(root)?;
    let mut missing = Vec::new();
    if !has_libclang() {
        missing.push("libclang-dev");
    }
    if !has_compiler() {
        missing.push("g++");
    }
    if progress::output_of("make", &["--version"]).is_none() {
        missing.push("make");
    }
    install(&missing)
}

/// Install Debian packages. Nothing to install is a success.
///
/// # Errors
/// If this is not a Debian-like system, or apt-get fails, or we may not run it.
pub fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    println!("missing: {}", packages.join(", "));
    if !is_debian_here() {
        bail!("{}", advice(packages));
    }
    let by = Installer::find(packages)?;
    // A fresh machine has no package lists; they may also be too old to be of use.
    let update = progress::run(by.apt_get().arg("update"), "apt-get update");
    progress::run(
        by.apt_get().args(["install", "-y", "--no-install-recommends"]).args(packages),
        "apt-get install",
    )
    .with_context(|| match update {
        Ok(()) => format!("cannot install {}", packages.join(" ")),
        Err(_) => format!("cannot install {} (apt-get update failed too)", packages.join(" ")),
    })
}

/// Fetch the package lists; `packages` are what they are wanted for.
///
/// # Errors
/// If apt-get fails or we may not run it.
pub fn update_lists(packages: &[&str]) -> Result<()> {
    progress::run(Installer::find(packages)?.apt_get().arg("update"), "apt-get update")
}

/// Run a command as root, on the way to installing packages.
///
/// # Errors
/// If we may not or it fails.
pub fn as_root(command: &[&str], packages: &[&str]) -> Result<()> {
    let mut by = Installer::find(packages)?.root();
    progress::check(by.args(command).status().context("cannot start a command")?, "a command")
}

/// Whether this machine installs its programs with apt-get.
pub fn is_debian_here() -> bool {
    is_debian(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

/// How apt-get is called: as root, or through sudo.
struct Installer {
    sudo: bool,
}

impl Installer {
    fn find(packages: &[&str]) -> Result<Self> {
        if progress::output_of("id", &["-u"]).is_some_and(|id| id.trim() == "0") {
            return Ok(Self { sudo: false });
        }
        if progress::output_of("sudo", &["-n", "true"]).is_some() {
            return Ok(Self { sudo: true });
        }
        bail!(
            "this needs root. Run it yourself and start again:\n  sudo apt-get install {}",
            packages.join(" ")
        )
    }

    /// Runs what its arguments say.
    fn root(&self) -> Command {
        Command::new(if self.sudo { "sudo" } else { "env" })
    }

    fn apt_get(&self) -> Command {
        let mut command = self.root();
        // Wait for another apt-get instead of failing; ask nothing.
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
        command.args(["-o", "DPkg::Lock::Timeout=300"]);
        command
    }
}

fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '))
        .any(|id| id == "debian" || id == "ubuntu")
}

fn advice(packages: &[&str]) -> String {
    format!(
        "I know how to install packages on Debian and Ubuntu only. Please install what they call \
         {}, and start again. Elsewhere:
  Fedora, RHEL      clang-devel gcc-c++ make nodejs npm chromium postgresql-server
  openSUSE          clang-devel gcc-c++ make nodejs npm chromium postgresql-server
  Arch              clang gcc make nodejs npm chromium postgresql
  Alpine            clang-dev g++ make nodejs npm chromium postgresql
  macOS             xcode-select --install; brew install llvm node, and set LIBCLANG_PATH
A browser elsewhere than `chromium` in PATH: set CHROMIUM
PostgreSQL's programs elsewhere than in /usr/lib/postgresql: set BLAUPAUSE_POSTGRES_BIN",
        packages.join(", ")
    )
}

/// libclang *and* the headers that belong to it: with the library alone the bindings fail later
/// at `stddef.h`.
fn has_libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return true; // whoever sets it knows better
    }
    let mut folders = vec![
        PathBuf::from("/usr/lib"),
        PathBuf::from("/usr/lib64"),
        PathBuf::from("/usr/local/lib"),
    ];
    for folder in entries(Path::new("/usr/lib")) {
        let name = name_of(&folder);
        if name.starts_with("llvm") {
            folders.push(folder.join("lib"));
        } else if name.contains("-linux-gnu") {
            folders.push(folder);
        }
    }
    let library = folders.iter().flat_map(|folder| entries(folder)).any(|file| is_libclang(&file));
    let headers = folders
        .iter()
        .flat_map(|folder| entries(&folder.join("clang")))
        .any(|version| version.join("include/stddef.h").is_file());
    library && headers
}

fn is_libclang(file: &Path) -> bool {
    let name = name_of(file);
    (name.starts_with("libclang.so") || name.starts_with("libclang-"))
        && name.contains(".so")
        && !name.starts_with("libclang-cpp")
}

fn has_compiler() -> bool {
    let there = |program: &str| progress::output_of(program, &["--version"]).is_some();
    (env::var_os("CXX").is_some() || there("c++")) && (env::var_os("CC").is_some() || there("cc"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|all| all.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
        .unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Cargo says so itself for this workspace; this also covers a toolchain that a `RUSTC` names.
fn check_rust(root: &Path) -> Result<()> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let wanted = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .and_then(|rest| minor(rest.trim_end_matches('"')))
        .context("Cargo.toml has no rust-version")?;
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let text = progress::output_of(&rustc, &["--version"]).context("cannot run rustc")?;
    let have = text.split(' ').nth(1).and_then(minor);
    let have = have.with_context(|| format!("cannot read the version in {text:?}"))?;
    if have < wanted {
        bail!(
            "Blaupause needs Rust {}.{} or newer, this is {}. Update it: rustup update stable",
            wanted.0,
            wanted.1,
            text.trim()
        );
    }
    Ok(())
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_relatives_are_known() {
        assert!(is_debian("NAME=x\nID=debian\n"));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\n"));
        assert!(!is_debian("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n"));
        assert!(!is_debian(""));
    }

    #[test]
    fn an_unknown_system_is_told_the_packages() {
        let text = advice(&["libclang-dev", "g++"]);
        assert!(text.contains("libclang-dev, g++") && text.contains("Fedora"), "{text}");
    }

    #[test]
    fn only_libclang_counts_as_libclang() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so.14.0.6"] {
            assert!(is_libclang(Path::new(name)), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclang_rt.asan-x86_64.so", "libclangSema.a"] {
            assert!(!is_libclang(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(minor("1.100.0") > minor("1.90"));
        assert_eq!(minor("1.95.0-nightly"), Some((1, 95)));
        assert_eq!(minor("stable"), None);
    }
}
