//! Secrets stand in files of their own; the configuration names the files.

use std::{fmt, fs, path::Path};

use zeroize::Zeroizing;

use super::{Config, Findings, RegistrationMode};

/// A secret's text. Not shown by `Debug`, overwritten when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Every secret the configuration names.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    pub registration_shared: Option<Secret>,
    pub registration_tokens: Vec<Secret>,
    pub turn_shared: Option<Secret>,
    pub turn_password: Option<Secret>,
    pub mail_password: Option<Secret>,
}

/// Below this, a secret can be guessed.
const SECRET_LENGTH_MIN: usize = 16;

/// A secret file is a line or a list of tokens, never more.
const SECRET_FILE_SIZE_MAX: u64 = 1 << 20;

impl Secrets {
    /// Read every secret file; what is missing or empty becomes a finding.
    pub(super) fn read(config: &Config, found: &mut Findings) -> Self {
        let registration = &config.registration;
        let mut one = |key: &str, file: Option<&Path>| {
            let text = read_file(key, file?, found)?;
            if text.reveal().len() < SECRET_LENGTH_MIN {
                found
                    .warn(key, format!("the secret has fewer than {SECRET_LENGTH_MIN} characters"));
            }
            Some(text)
        };
        let registration_shared =
            one("registration.shared_secret_file", registration.shared_secret_file.path());
        let turn_shared = one("turn.shared_secret_file", config.turn.shared_secret_file.path());
        let registration_tokens = match (registration.mode, registration.tokens_file.path()) {
            (RegistrationMode::Token, Some(file)) => read_tokens(file, found),
            _ => Vec::new(),
        };
        // Chosen by others, so their length is not our business.
        let mut foreign = |key: &str, file: Option<&Path>| read_file(key, file?, found);
        let turn_password = foreign("turn.password_file", config.turn.password_file.path());
        let mail_password = foreign("mail.password_file", config.mail.password_file.path());
        Self { registration_shared, registration_tokens, turn_shared, turn_password, mail_password }
    }
}

fn read_tokens(file: &Path, found: &mut Findings) -> Vec<Secret> {
    const KEY: &str = "registration.tokens_file";
    let Some(text) = read_file(KEY, file, found) else { return Vec::new() };
    let tokens: Vec<Secret> = text
        .reveal()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Secret(Zeroizing::new(line.to_owned())))
        .collect();
    if tokens.is_empty() {
        found.error(KEY, format!("{} holds no token", file.display()));
    }
    // Spec (registration token): 1 to 64 of these characters.
    let fits = |token: &str| {
        token.len() <= 64
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
    };
    if let Some(at) = tokens.iter().position(|token| !fits(token.reveal())) {
        found.error(
            KEY,
            format!("token number {} of {} is longer than 64 characters or has others than A-Z a-z 0-9 . _ ~ -", at + 1, file.display()),
        );
    }
    tokens
}

pub(super) fn read_file(key: &str, file: &Path, found: &mut Findings) -> Option<Secret> {
    let text = match read_text(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            found.error(key, format!("cannot read {}: {error}", file.display()));
            return None;
        }
    };
    warn_if_public(key, file, found);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        found.error(key, format!("{} is empty", file.display()));
        return None;
    }
    Some(Secret(Zeroizing::new(trimmed.to_owned())))
}

fn read_text(file: &Path) -> std::io::Result<String> {
    let meta = fs::metadata(file)?;
    if !meta.is_file() && meta.is_dir() {
        return Err(std::io::Error::other("is a directory"));
    }
    if meta.len() > SECRET_FILE_SIZE_MAX {
        return Err(std::io::Error::other("is larger than 1 MiB"));
    }
    fs::read_to_string(file)
}

/// A secret that everybody on the machine can read is none.
pub(super) fn warn_if_public(key: &str, file: &Path, found: &mut Findings) {
    use std::os::unix::fs::PermissionsExt;
    if fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0) {
        found.warn(
            key,
            format!("{} can be read by every user of this machine (chmod 600)", file.display()),
        );
    }
}
