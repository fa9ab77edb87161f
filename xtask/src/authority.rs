//! A certificate authority of our own, for servers on this machine. By openssl's program, so that this
//! one needs no cryptography.

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{progress, system};

/// Of keys: what BSI TR-02102 lists, and every TLS library has.
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// Make `ca.pem` and `ca.key`, and `NAME.pem` and `NAME.key` for each name. What is there stays.
///
/// # Errors
/// If openssl cannot be had, or a file cannot be written.
pub fn ensure(folder: &Path, title: &str, names: &[&str]) -> Result<()> {
    let path = |name: &str| folder.join(name);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if progress::output_of("openssl", &["version"]).is_none() {
        system::install(&["openssl"])?;
    }
    if !path("ca.pem").exists() {
        let mut authority = Command::new("openssl");
        authority.args(["req", "-x509", "-days", "3650", "-subj"]).arg(format!("/CN={title}"));
        authority.args(NEW_KEY).args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        authority.arg("-keyout").arg(path("ca.key")).arg("-out").arg(path("ca.pem"));
        quietly(&mut authority)?;
    }
    for name in names {
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        if file("pem").exists() {
            continue;
        }
        let mut ask = Command::new("openssl");
        ask.arg("req").args(NEW_KEY).arg("-subj").arg(format!("/CN={name}"));
        ask.arg("-keyout").arg(file("key")).arg("-out").arg(file("csr"));
        quietly(&mut ask)?;
        let names = format!("subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1\n");
        fs::write(file("ext"), names).context("cannot write a certificate's names")?;
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-days", "3650", "-CAcreateserial"]);
        sign.arg("-in").arg(file("csr")).arg("-extfile").arg(file("ext"));
        sign.arg("-CA").arg(path("ca.pem")).arg("-CAkey").arg(path("ca.key"));
        sign.arg("-out").arg(file("pem"));
        quietly(&mut sign)?;
    }
    Ok(())
}

/// Write a file that everybody on this machine may read, whatever the umask says.
///
/// # Errors
/// If it cannot be written.
pub fn write_readable(file: &Path, text: &[u8]) -> Result<()> {
    write_with(file, text, 0o644)
}

/// Write a file that is its owner's alone from its first moment on.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(file: &Path, text: &[u8]) -> Result<()> {
    write_with(file, text, 0o600)
}

fn write_with(file: &Path, text: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let mut open =
            fs::File::options().write(true).create(true).truncate(true).mode(mode).open(file)?;
        open.write_all(text)?;
        // The umask may have taken something, and a file that was there keeps what it had.
        open.set_permissions(fs::Permissions::from_mode(mode))
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Whether the server at an address shows a certificate for this name that `ca.pem` has signed.
///
/// # Errors
/// If not; the message says what openssl thinks of it.
pub fn check_server(folder: &Path, address: &str, name: &str) -> Result<()> {
    let mut look = Command::new("openssl");
    look.args(["s_client", "-brief", "-verify_return_error", "-connect", address]);
    look.args(["-servername", name, "-verify_hostname", name, "-CAfile"]);
    let output = look
        .arg(folder.join("ca.pem"))
        .stdin(Stdio::null())
        .output()
        .context("cannot start openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{address} as {name}: {said}");
    Ok(())
}

fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("cannot start openssl")?;
    if output.status.success() {
        return Ok(());
    }
    bail!("openssl: {}", String::from_utf8_lossy(&output.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_made_once_and_signs_for_newcomers() {
        let folder = std::env::temp_dir().join(format!("xtask-authority-{}", std::process::id()));
        ensure(&folder, "Test", &["a.example"]).unwrap();
        let first = fs::read(folder.join("ca.pem")).unwrap();
        ensure(&folder, "Test", &["a.example", "b.example"]).unwrap();
        assert_eq!(fs::read(folder.join("ca.pem")).unwrap(), first);
        let authority = folder.join("ca.pem").display().to_string();
        for name in ["a.example", "b.example"] {
            let server = folder.join(format!("{name}.pem")).display().to_string();
            let said = progress::output_of(
                "openssl",
                &["verify", "-verify_hostname", name, "-CAfile", &authority, &server],
            );
            assert!(said.is_some(), "{name}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_private_file_is_private_also_if_it_was_there() {
        let file = std::env::temp_dir().join(format!("xtask-private-{}", std::process::id()));
        write_readable(&file, b"a").unwrap();
        write_private(&file, b"b").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(file).unwrap();
    }
}
