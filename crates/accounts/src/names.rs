//! Which names new users may have (spec: appendices, "User Identifiers").

use ruma::{OwnedUserId, ServerName, UserId};

use crate::AccountsError;

/// Bytes of a user id.
const USER_ID_BYTES_MAX: usize = 255;

/// Who chose the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The person who registers.
    Freely,
    /// An operator, who may also give names that start with an underscore.
    ByOperator,
    /// This server, for guests and for people who do not choose.
    ByServer,
}

/// The id of a new user. Upper case is turned into lower case, so that names are unique in any
/// case.
pub(crate) fn new_user_id(
    name: &str,
    server: &ServerName,
    chosen: Chosen,
) -> Result<OwnedUserId, AccountsError> {
    let refused = |why| Err(AccountsError::InvalidUsername(why));
    let name = name.to_ascii_lowercase();
    if name.is_empty() {
        return refused("it must not be empty");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._=-/+".contains(&b);
    if !name.bytes().all(allowed) {
        return refused("only a-z, 0-9 and ._=-/+ are allowed");
    }
    if chosen == Chosen::Freely && name.starts_with('_') {
        return refused("it must not start with an underscore");
    }
    if chosen != Chosen::ByServer && name.bytes().all(|b| b.is_ascii_digit()) {
        return refused("names of digits only are kept for guests");
    }
    let id = format!("@{name}:{server}");
    if id.len() > USER_ID_BYTES_MAX {
        return refused("it is too long");
    }
    UserId::parse(id).or_else(|_| refused("it is not possible"))
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn id(name: &str) -> Option<String> {
        let id = new_user_id(name, server_name!("a.example"), Chosen::Freely).ok()?;
        Some(id.to_string())
    }

    #[test]
    fn names_follow_the_grammar_and_are_lower_case() {
        assert_eq!(id("q-3._=/+x").as_deref(), Some("@q-3._=/+x:a.example"));
        assert_eq!(id("User-1").as_deref(), Some("@user-1:a.example"));
        let long = "a".repeat(300);
        for bad in ["", "a b", "a:b", "@a", "_x", "123", "é", "a\0b", "a\\", "a!", &long] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_may_fill_the_id() {
        let longest = 255 - "@:a.example".len();
        assert!(id(&"a".repeat(longest)).is_some());
        assert!(id(&"a".repeat(longest + 1)).is_none());
    }
}
