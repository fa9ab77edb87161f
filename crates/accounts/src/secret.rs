//! Secrets: texts that must not be seen, and tokens.

use std::fmt;

use blaupause_data::{Env, Part};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A secret's text. Not shown by `Debug`, overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Take over a secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

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

/// SHA-256 of a token: what is stored instead of it. A fast hash is right, because tokens have
/// 256 random bits.
pub(crate) type TokenHash = [u8; 32];

/// What a token is good for. Part of its text, so that one kind never passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Access,
    Refresh,
    Login,
    OpenId,
    /// Of an OAuth client, for one exchange.
    AuthCode,
    /// The cookie of a browser on the account pages.
    Browser,
}

/// Longer texts are not tokens of ours.
const TOKEN_BYTES_MAX: usize = 128;

/// Hex digits of a partition.
const PART_DIGITS: usize = 16;

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "bp_",
            Self::Refresh => "bpr_",
            Self::Login => "bpl_",
            Self::OpenId => "bpo_",
            Self::AuthCode => "bpc_",
            Self::Browser => "bpb_",
        }
    }

    /// A new token. It carries the user's partition in clear, so that its row can lie there.
    pub fn make(self, env: &Env, part: Part) -> (String, TokenHash) {
        let text = format!("{}{:016x}_{}", self.prefix(), part.0, env.random_text::<32>());
        let hash = hash(&text);
        (text, hash)
    }

    /// A new token that carries the name of its family; see [`family_of`].
    pub fn make_in_family(self, env: &Env, part: Part, family: &str) -> (String, TokenHash) {
        let secret = env.random_text::<32>();
        let text = format!("{}{:016x}_{family}.{secret}", self.prefix(), part.0);
        let hash = hash(&text);
        (text, hash)
    }

    /// Where the token's row lies and its key; `None` if the text cannot be such a token.
    pub fn parse(self, text: &str) -> Option<(Part, TokenHash)> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let rest = text.strip_prefix(self.prefix())?;
        let digits = rest.get(..PART_DIGITS)?;
        let secret = rest.get(PART_DIGITS..)?.strip_prefix('_')?;
        // from_str_radix would take a sign as well.
        if secret.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some((Part(u64::from_str_radix(digits, 16).ok()?), hash(text)))
    }
}

/// The family in a refresh token's text: all refresh tokens of one OAuth session have the same,
/// and nobody else knows it. `None` for those of other sessions.
pub(crate) fn family_of(refresh_token: &str) -> Option<&str> {
    let rest = refresh_token.strip_prefix(TokenKind::Refresh.prefix())?;
    let (family, _) = rest.get(PART_DIGITS + 1..)?.split_once('.')?;
    (!family.is_empty()).then_some(family)
}

pub(crate) fn hash(text: &str) -> TokenHash {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_as_their_own_kind_only() {
        let (text, hash) = TokenKind::Access.make(&Env::manual(0), Part(0xabc));
        assert_eq!(TokenKind::Access.parse(&text), Some((Part(0xabc), hash)));
        for kind in [
            TokenKind::Refresh,
            TokenKind::Login,
            TokenKind::OpenId,
            TokenKind::AuthCode,
            TokenKind::Browser,
        ] {
            assert_eq!(kind.parse(&text), None);
            let (other, _) = kind.make(&Env::manual(0), Part(1));
            assert_eq!(TokenKind::Access.parse(&other), None);
        }
    }

    #[test]
    fn a_family_is_read_back_from_refresh_tokens_that_have_one() {
        let env = Env::manual(0);
        let (text, hash) = TokenKind::Refresh.make_in_family(&env, Part(0xabc), "fam-1_x");
        assert_eq!(TokenKind::Refresh.parse(&text), Some((Part(0xabc), hash)));
        assert_eq!(family_of(&text), Some("fam-1_x"));
        let (plain, _) = TokenKind::Refresh.make(&env, Part(0xabc));
        for other in
            [plain.as_str(), "", "bpr_", "bpr_0000000000000abc_.x", "bp_0000000000000abc_f.x"]
        {
            assert_eq!(family_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_looked_up() {
        let long = format!("bp_{}", "a".repeat(8_000));
        let bad =
            ["", " ", "\0", "a b", "bp_", "bp_0000000000000abc", "bp_0000000000000abc_", &long];
        let bad = bad.into_iter().chain(["bp_+000000000000abc_x", "bp_äääääääääääääääää_x"]);
        for text in bad {
            assert_eq!(TokenKind::Access.parse(text), None);
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret");
    }
}
