//! What tests with PostgreSQL need from the system. Programs only: clusters are made by the tests,
//! in temporary folders, and no service of the machine is started, stopped or changed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{dirs::Dirs, progress, system};

/// Where Debian puts the programs of each version.
const VERSIONS_FOLDER: &str = "/usr/lib/postgresql";
/// Says where the programs are if not there; the tests know it too.
const BIN_FOLDER: &str = "BLAUPAUSE_POSTGRES_BIN";
/// Says below which folder etcd and Patroni are; the tests know it too.
pub const TOOLS_FOLDER: &str = "BLAUPAUSE_FAILOVER_TOOLS";

/// With this in place Debian's package makes no cluster when it is installed, and its service
/// has nothing to start.
const NO_CLUSTER_FILE: &str = "/etc/postgresql-common/createcluster.d/blaupause-xtask.conf";

/// Whether whoever runs this wants no PostgreSQL; the tests know the variable too.
pub fn is_left_out() -> bool {
    env::var_os("BLAUPAUSE_TEST_POSTGRES").is_some_and(|value| value == "skip")
}

/// Install PostgreSQL's programs where there are none.
///
/// # Errors
/// If they cannot be installed; the message says what to do.
pub fn ensure_programs() -> Result<()> {
    if has_programs() {
        return Ok(());
    }
    let guard = format!(
        "mkdir -p $(dirname {NO_CLUSTER_FILE}) && \
         echo 'create_main_cluster = false' > {NO_CLUSTER_FILE}"
    );
    let guarded = system::is_debian_here();
    if guarded {
        system::as_root(&["sh", "-c", &guard], &["postgresql"])?;
    }
    let installed = system::install(&["postgresql"]);
    if guarded {
        // What the operator of this machine installs later is none of our business.
        system::as_root(&["rm", "-f", NO_CLUSTER_FILE], &["postgresql"])?;
    }
    installed?;
    ensure!(has_programs(), "PostgreSQL is installed, but there is no initdb in {VERSIONS_FOLDER}");
    Ok(())
}

fn has_programs() -> bool {
    if env::var_os(BIN_FOLDER).is_some() {
        return true; // whoever sets it knows better
    }
    let versions = fs::read_dir(VERSIONS_FOLDER).into_iter().flatten().flatten();
    versions.map(|entry| entry.path().join("bin/initdb")).any(|initdb| initdb.exists())
}

/// The folder below which etcd and Patroni are: `/` if they are installed, else Debian's packages
/// unpacked in the cache. Unpacked and not installed, because installing starts services.
///
/// `None` with the reason if this system has no such packages.
///
/// # Errors
/// If they cannot be fetched or unpacked.
pub fn failover_tools(dirs: &Dirs) -> Result<std::result::Result<PathBuf, String>> {
    if let Some(folder) = env::var_os(TOOLS_FOLDER) {
        return Ok(Ok(folder.into()));
    }
    if is_complete(Path::new("/")) {
        return Ok(Ok("/".into()));
    }
    if !system::is_debian_here() {
        return Ok(Err("install etcd and Patroni: I can fetch them on Debian only".to_owned()));
    }
    // With its standard library, which python3-minimal comes without.
    if progress::output_of("/usr/bin/python3", &["-c", "import json"]).is_none() {
        system::install(&["python3"])?;
    }
    let cache = dirs.cache.join("blaupause-failover");
    let folder = cache.join("root");
    if !is_complete(&folder) {
        fetch(&cache, &folder)?;
        ensure!(is_complete(&folder), "{} lacks etcd or Patroni", folder.display());
    }
    Ok(Ok(folder))
}

fn is_complete(root: &Path) -> bool {
    root.join("usr/bin/etcd").is_file()
        && root.join("usr/lib/python3/dist-packages/patroni").is_dir()
}

/// Needs no rights: apt names what is missing, fetches it into a folder, and dpkg unpacks it there.
fn fetch(cache: &Path, root: &Path) -> Result<()> {
    let packages = match missing_packages() {
        Ok(packages) => packages,
        Err(_) => {
            // A fresh machine has no package lists.
            system::update_lists(&["etcd-server", "patroni"])?;
            missing_packages()?
        }
    };
    println!("fetching into {}: {}", cache.display(), packages.join(" "));
    let debs = cache.join("debs");
    // Leftovers of a broken download.
    let _ = fs::remove_dir_all(cache);
    fs::create_dir_all(&debs).with_context(|| format!("cannot make {}", debs.display()))?;
    let mut download = Command::new("apt-get");
    download.args(["-q", "download"]).args(&packages).current_dir(&debs);
    if progress::run(&mut download, "apt-get download").is_err() {
        // The lists name versions that are not there any more.
        system::update_lists(&["etcd-server", "patroni"])?;
        progress::run(&mut download, "apt-get download")?;
    }
    // Renamed at the end: a folder that is there is complete.
    let unpacked = cache.join("unpacked");
    for entry in fs::read_dir(&debs).context("cannot read the packages")? {
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.arg("-x").arg(entry?.path()).arg(&unpacked);
        progress::check(dpkg.status().context("cannot start dpkg-deb")?, "dpkg-deb")?;
    }
    fs::rename(&unpacked, root).context("cannot name the unpacked packages")?;
    fs::remove_dir_all(&debs).context("cannot remove the packages")
}

/// etcd, Patroni and what they need and this system has not.
fn missing_packages() -> Result<Vec<String>> {
    let arguments = ["-s", "install", "--no-install-recommends", "etcd-server", "patroni"];
    let text = progress::output_of("apt-get", &arguments);
    let packages = named_in(&text.unwrap_or_default());
    if packages.is_empty() {
        bail!("apt-get knows no packages etcd-server and patroni");
    }
    Ok(packages)
}

/// `Inst NAME (VERSION …)` lines of a simulated installation; `Inst NAME [OLD] …` is an upgrade of
/// what is there.
fn named_in(simulated: &str) -> Vec<String> {
    let names = simulated.lines().filter_map(|line| {
        let mut words = line.strip_prefix("Inst ")?.split(' ');
        let name = words.next()?;
        words.next()?.starts_with('(').then(|| name.to_owned())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_to_install_are_named_and_upgrades_are_not() {
        let text = "Reading package lists...\n\
                    Inst etcd-server (3.4.23-4+b4 Debian:12 [amd64])\n\
                    Inst libpq5 [15.1] (15.2 Debian:12 [amd64])\n\
                    Conf etcd-server (3.4.23-4+b4 Debian:12 [amd64])\n\
                    Inst patroni (3.0.2-1 Debian:12 [all])\n";
        assert_eq!(named_in(text), ["etcd-server", "patroni"]);
        assert!(named_in("").is_empty());
    }
}
