//! `cargo xtask agencies`: what docker/agencies.yaml starts three servers with. An authority, a
//! certificate and a configuration for each, and a secret with which accounts are made.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{authority, dirs::Dirs, image::USER};

/// Name of the service in docker/agencies.yaml, and of the server.
const AGENCIES: [(&str, &str); 3] =
    [("bund", "bund.example"), ("land", "land.example"), ("stadt", "stadt.example")];

const SECRET_BYTES: usize = 24;

/// Write what is not there yet.
///
/// # Errors
/// If a word is too many, or something cannot be made.
pub fn run(dirs: &Dirs, arguments: &[String]) -> Result<()> {
    let folder = match arguments {
        [] => dirs.root.join("docker/agencies"),
        [folder] if !folder.starts_with('-') => PathBuf::from(folder),
        other => bail!("agencies takes one folder, not {other:?}"),
    };
    write(&folder)?;
    println!("written: {}", folder.display());
    println!("start them: docker compose -f docker/agencies.yaml up -d   (see docker/README.md)");
    Ok(())
}

fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Nobody else gets in here; the engine mounts what lies inside.
    set_mode(folder, 0o700)?;
    let keys = folder.join("authority");
    authority::ensure(&keys, "Blaupause agencies", &AGENCIES.map(|(_, name)| name))?;
    for (service, name) in AGENCIES {
        let own = folder.join(service);
        fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        set_mode(&own, 0o755)?;
        let made = |file: &str| fs::read(keys.join(file)).with_context(|| format!("no {file}"));
        authority::write_readable(&own.join("ca.pem"), &made("ca.pem")?)?;
        authority::write_readable(&own.join("tls.pem"), &made(&format!("{name}.pem"))?)?;
        put_secret(&own.join("tls.key"), &made(&format!("{name}.key"))?)?;
        let secret = own.join("registration_secret");
        if !secret.exists() {
            put_secret(&secret, random()?.as_bytes())?;
        }
        // It may have been changed since.
        let config = own.join("blaupause.toml");
        if !config.exists() {
            authority::write_readable(&config, configuration(service).as_bytes())?;
        }
    }
    Ok(())
}

/// A file for the user in the container. Root gives it to that user; others can only let everybody
/// read it, behind a folder that is theirs.
fn put_secret(file: &Path, text: &[u8]) -> Result<()> {
    authority::write_private(file, text)?;
    match chown(file, Some(USER), Some(USER)) {
        Ok(()) => Ok(()),
        Err(_) => set_mode(file, 0o644),
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the rights of {}", path.display()))
}

fn random() -> Result<String> {
    let mut bytes = [0_u8; SECRET_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Closed to everybody but the other two, whom it finds by the names of their containers.
fn configuration(service: &str) -> String {
    let (own, others): (Vec<_>, Vec<_>) =
        AGENCIES.into_iter().partition(|(candidate, _)| *candidate == service);
    let name = own.first().map_or(service, |(_, name)| name);
    let allow: Vec<String> = others.iter().map(|(_, name)| format!("{name:?}")).collect();
    let places: String =
        others.iter().map(|(service, name)| format!("{name:?} = \"{service}:8448\"\n")).collect();
    format!(
        r#"# Written by `cargo xtask agencies`; every other key has its default: config/blaupause.toml

[server]
name = "{name}"
listen = ["0.0.0.0:8008"]

[tls]
listen = ["0.0.0.0:8448"]
cert_file = "/etc/blaupause/tls.pem"
key_file = "/etc/blaupause/tls.key"

[metrics]
# For the health check; nobody outside the container reaches it.
listen = ["127.0.0.1:9100"]

[storage]
path = "/var/lib/blaupause/db"

[media]
path = "/var/lib/blaupause/media"

[registration]
mode = "closed"
# With it `blaupause user create` asks the running server.
shared_secret_file = "/etc/blaupause/registration_secret"

[federation]
mode = "closed"
allow = [{allow}]
ca_file = "/etc/blaupause/ca.pem"
trust_system_roots = false

[federation.addresses]
{places}"#,
        allow = allow.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agency_knows_the_two_others() {
        let text = configuration("land");
        assert!(text.contains("\nname = \"land.example\"\n"), "{text}");
        assert!(text.contains("\nallow = [\"bund.example\", \"stadt.example\"]\n"), "{text}");
        assert!(text.contains("\n\"stadt.example\" = \"stadt:8448\"\n"), "{text}");
        assert!(!text.contains("\"land.example\" = "), "{text}");
    }

    #[test]
    fn what_was_written_stays() {
        let folder = std::env::temp_dir().join(format!("xtask-agencies-{}", std::process::id()));
        write(&folder).unwrap();
        let files = ["bund/registration_secret", "stadt/tls.pem", "land/blaupause.toml"];
        let read = || files.map(|file| fs::read_to_string(folder.join(file)).unwrap());
        let first = read();
        write(&folder).unwrap();
        assert_eq!(read(), first);
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::remove_dir_all(folder).unwrap();
    }
}
