//! What a password needs beside its length (MSC2000). Length is worth more (BSI ORP.4.A22), so there
//! are no such rules unless an operator must have them.

use std::fmt;

/// Kinds of characters that a new password needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PasswordRules {
    pub digit: bool,
    pub lowercase: bool,
    pub uppercase: bool,
    /// Anything that is neither letter nor digit.
    pub symbol: bool,
}

/// Why a new password is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFlaw {
    TooShort,
    NoDigit,
    NoLowercase,
    NoUppercase,
    NoSymbol,
}

impl fmt::Display for PasswordFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "it is too short",
            Self::NoDigit => "it needs a digit",
            Self::NoLowercase => "it needs a lower-case letter",
            Self::NoUppercase => "it needs an upper-case letter",
            Self::NoSymbol => "it needs a character that is neither letter nor digit",
        })
    }
}

impl PasswordRules {
    /// Pure. The first flaw.
    pub(crate) fn check(self, password: &str, is_short: bool) -> Result<(), PasswordFlaw> {
        let lacks = |needed: bool, is: fn(char) -> bool| needed && !password.contains(is);
        if is_short {
            Err(PasswordFlaw::TooShort)
        } else if lacks(self.digit, |c| c.is_ascii_digit()) {
            Err(PasswordFlaw::NoDigit)
        } else if lacks(self.lowercase, char::is_lowercase) {
            Err(PasswordFlaw::NoLowercase)
        } else if lacks(self.uppercase, char::is_uppercase) {
            Err(PasswordFlaw::NoUppercase)
        } else if lacks(self.symbol, |c| !c.is_alphanumeric()) {
            Err(PasswordFlaw::NoSymbol)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_asked_for_alone() {
        let none = PasswordRules::default();
        let rules = [
            (PasswordRules { digit: true, ..none }, "abc", "abc1", PasswordFlaw::NoDigit),
            (PasswordRules { lowercase: true, ..none }, "ABC", "ABc", PasswordFlaw::NoLowercase),
            (PasswordRules { uppercase: true, ..none }, "abc", "abÄ", PasswordFlaw::NoUppercase),
            (PasswordRules { symbol: true, ..none }, "abc", "a c", PasswordFlaw::NoSymbol),
        ];
        for (rule, bad, good, flaw) in rules {
            assert_eq!(rule.check(bad, false), Err(flaw));
            assert_eq!(rule.check(good, false), Ok(()));
        }
        assert_eq!(none.check("abc", true), Err(PasswordFlaw::TooShort));
    }
}
