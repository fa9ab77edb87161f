//! The demo's accounts. Their passwords are made once and kept beside the data.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::progress;

/// Without letters that are mistaken for each other. 32 of them: five bits each.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const PASSWORD_LENGTH: usize = 16;

/// Somebody who can sign in.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: &'static str,
    pub password: String,
}

/// The accounts, made at the first start and found again at the later ones.
///
/// # Errors
/// If an account cannot be made.
pub fn ensure(
    server: &Path,
    config: &Path,
    folder: &Path,
    names: &[&'static str],
) -> Result<Vec<Person>> {
    let folder = folder.join("passwords");
    make_private_folder(&folder)?;
    names.iter().map(|name| ensure_one(server, config, &folder, name)).collect()
}

/// Make a folder that only its owner can enter, with its parents. That it exists is fine.
///
/// # Errors
/// If it cannot be made.
pub fn make_private_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))
}

/// The files of one account. `NAME.making` says that the account may exist, `NAME.made` that it does.
fn ensure_one(server: &Path, config: &Path, folder: &Path, name: &'static str) -> Result<Person> {
    let file = folder.join(name);
    let making = folder.join(format!("{name}.making"));
    let made = folder.join(format!("{name}.made"));
    let password = match fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => new_password(&file)?,
    };
    if !made.exists() {
        let maybe_there = making.exists();
        write_private(&making, "")?;
        match create(server, config, &file, name) {
            Ok(()) => {}
            // An earlier start was interrupted between making the account and noting it.
            Err(error) if maybe_there => println!("{error:#}; taking it for made"),
            Err(error) => {
                let _ = fs::remove_file(&making); // the next start is a first one again
                return Err(error);
            }
        }
        fs::rename(&making, &made).with_context(|| format!("cannot write {}", made.display()))?;
    }
    Ok(Person { name, password })
}

fn create(server: &Path, config: &Path, password_file: &Path, name: &str) -> Result<()> {
    println!("making the account {name}");
    let status = Command::new(server)
        .args(["user", "create", name, "--config"])
        .arg(config)
        .arg("--password-file")
        .arg(password_file)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", server.display()))?;
    progress::check(status, &format!("blaupause user create {name}"))
}

fn new_password(file: &Path) -> Result<String> {
    let mut bytes = [0_u8; PASSWORD_LENGTH];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    let password = spelled(&bytes);
    write_private(file, &password)?;
    Ok(password)
}

fn spelled(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    text
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;

    #[test]
    fn passwords_are_readable_and_private() {
        assert_eq!(spelled(&[0, 1, 31, 32, 33]), "ab9a-b");
        let file = std::env::temp_dir().join(format!("xtask-password-{}", std::process::id()));
        let first = new_password(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(new_password(&file).unwrap(), first);
        fs::remove_file(file).unwrap();
    }

    /// A folder with a program in it that stands for the server.
    fn folder_with_server(name: &str, script: &str) -> (PathBuf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        make_private_folder(&folder).unwrap();
        let server = folder.join("server");
        fs::write(&server, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&server, fs::Permissions::from_mode(0o700)).unwrap();
        (folder, server)
    }

    #[test]
    fn accounts_are_made_once() {
        let (folder, server) = folder_with_server("once", "echo $3 >> \"$5\"");
        let config = folder.join("calls");
        let first = ensure(&server, &config, &folder, &["anna", "ben"]).unwrap();
        let second = ensure(&server, &config, &folder, &["anna", "ben"]).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "anna\nben\n");
        assert_eq!(first[1].password, second[1].password);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failure_is_reported_each_time() {
        let (folder, server) = folder_with_server("failing", "exit 1");
        for _ in 0..2 {
            let error =
                ensure(&server, &folder.join("calls"), &folder, &["anna", "ben"]).unwrap_err();
            assert!(error.to_string().contains("anna"), "{error}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_interrupted_start_is_resumed() {
        // Making anna fails, because the interrupted start had made her.
        let (folder, server) = folder_with_server("resumed", "[ $3 = ben ]");
        make_private_folder(&folder.join("passwords")).unwrap();
        write_private(&folder.join("passwords/anna.making"), "").unwrap();
        ensure(&server, &folder.join("calls"), &folder, &["anna", "ben"]).unwrap();
        assert!(folder.join("passwords/anna.made").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
