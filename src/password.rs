//! Passwords for `user create`: from a file, or made here.

use std::{fs, path::Path};

use anyhow::{Context, anyhow, ensure};
use zeroize::Zeroizing;

/// 32 characters that are not mistaken for each other when copied from paper: no 0, 1, l, o.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 20 letters of 5 bits each: 100 bits.
const LENGTH: usize = 20;

/// Make a password of 100 random bits, in groups of five letters.
///
/// # Errors
/// If the operating system gives no random bytes.
pub fn make() -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0_u8; LENGTH]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|error| anyhow!("the operating system gives no random bytes: {error}"))?;
    let mut password = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / 5));
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            password.push('-');
        }
        password.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    Ok(password)
}

/// The first line of a file.
///
/// # Errors
/// If the file cannot be read or the line is empty.
pub fn read(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = Zeroizing::new(
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
    );
    let line = text.lines().next().unwrap_or_default();
    ensure!(!line.is_empty(), "the first line of {} is empty", file.display());
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_passwords_differ_and_have_twenty_letters() {
        let (a, b) = (make().expect("random"), make().expect("random"));
        assert_ne!(*a, *b);
        assert_eq!(a.chars().filter(|c| *c != '-').count(), LENGTH);
        assert_eq!(a.len(), LENGTH + 3);
    }
}
