//! From whom a user takes invitations (spec: client-server API, "Invite permissions"; MSC4380), and
//! the finer rules that were proposed beside it (MSC4155).

use ruma::UserId;
use serde::Deserialize;

/// Account data with a default for everybody, under its stable and its unstable name.
const CONFIGS: [&str; 2] =
    ["m.invite_permission_config", "org.matrix.msc4380.invite_permission_config"];
/// Account data with lists of people and servers.
const LISTS: &str = "org.matrix.msc4155.invite_permission_config";
/// Patterns of a list that are looked at.
const PATTERNS_MAX: usize = 1_000;

/// What becomes of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteAnswer {
    Take,
    /// It is sent, and never shown.
    Ignore,
    /// It is not sent.
    Block,
}

/// From whom a user takes invitations. The default takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InviteRules {
    blocks_everybody: bool,
    lists: Lists,
}

#[derive(Deserialize)]
struct Config {
    default_action: String,
}

/// Patterns with `*` for any text and `?` for one character.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Lists {
    enabled: Option<bool>,
    allowed_users: Vec<String>,
    ignored_users: Vec<String>,
    blocked_users: Vec<String>,
    allowed_servers: Vec<String>,
    ignored_servers: Vec<String>,
    blocked_servers: Vec<String>,
}

impl InviteRules {
    /// Types of global account data that the rules are made of, in the order of [`Self::parse`].
    pub const TYPES: [&str; 3] = [CONFIGS[0], CONFIGS[1], LISTS];

    /// Pure. Contents that cannot be read count as absent.
    pub fn parse(contents: [Option<&str>; 3]) -> Self {
        let [stable, unstable, lists] = contents;
        let blocks = |json: &str| {
            serde_json::from_str::<Config>(json)
                .is_ok_and(|config| config.default_action == "block")
        };
        let blocks_everybody = [stable, unstable].into_iter().flatten().any(blocks);
        let lists = lists.and_then(|json| serde_json::from_str::<Lists>(json).ok());
        let lists = lists.filter(|lists| lists.enabled != Some(false)).unwrap_or_default();
        Self { blocks_everybody, lists }
    }

    /// What becomes of an invitation from somebody. Pure. The first list that names them decides:
    /// people before servers, and what is allowed before what is not.
    pub fn answer(&self, by: &UserId) -> InviteAnswer {
        if self.blocks_everybody {
            return InviteAnswer::Block;
        }
        let lists = &self.lists;
        let (user, server) = (by.as_str(), by.server_name().host());
        let decisions = [
            (&lists.allowed_users, user, InviteAnswer::Take),
            (&lists.ignored_users, user, InviteAnswer::Ignore),
            (&lists.blocked_users, user, InviteAnswer::Block),
            (&lists.allowed_servers, server, InviteAnswer::Take),
            (&lists.ignored_servers, server, InviteAnswer::Ignore),
            (&lists.blocked_servers, server, InviteAnswer::Block),
        ];
        let names = |patterns: &[String], text| {
            patterns.iter().take(PATTERNS_MAX).any(|pattern| fits(pattern, text))
        };
        let first = decisions.into_iter().find(|(patterns, text, _)| names(patterns, text));
        first.map_or(InviteAnswer::Take, |(.., answer)| answer)
    }
}

/// Whether a pattern fits a text. Takes at most the product of their lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last star is, and what it has swallowed up to.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(one) if *one == '?' || *one == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((place, swallowed)) => {
                    star = Some((place, swallowed + 1));
                    (at, from) = (place + 1, swallowed + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn patterns_fit_as_globs_do() {
        for (pattern, text) in [
            ("*", ""),
            ("@a*:x", "@anna:x"),
            ("@?:x", "@a:x"),
            ("*.de", "a.b.de"),
            ("a*b*c", "abbc"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("@?:x", "@ab:x"), ("a*b", "abc"), ("a", "ab")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(!fits(&"*a".repeat(100), &"b".repeat(255)));
    }

    #[test]
    fn the_first_list_that_names_somebody_decides() {
        let lists = r#"{
            "allowed_users": ["@boss:evil.example"],
            "ignored_users": ["@noisy:*"],
            "blocked_users": ["@enemy:b.example", "@noisy:b.example"],
            "allowed_servers": ["b.example"],
            "blocked_servers": ["*"]
        }"#;
        let rules = InviteRules::parse([None, None, Some(lists)]);
        for (user, answer) in [
            (user_id!("@boss:evil.example"), InviteAnswer::Take),
            (user_id!("@other:evil.example"), InviteAnswer::Block),
            (user_id!("@noisy:b.example"), InviteAnswer::Ignore),
            (user_id!("@enemy:b.example"), InviteAnswer::Block),
            (user_id!("@friend:b.example:8448"), InviteAnswer::Take),
        ] {
            assert_eq!(rules.answer(user), answer, "{user}");
        }
    }

    #[test]
    fn whoever_blocks_everybody_takes_nothing_and_switched_off_lists_do_not_count() {
        let user = user_id!("@a:b.example");
        let block = Some(r#"{"default_action":"block"}"#);
        let allow = Some(r#"{"allowed_users":["*"]}"#);
        assert_eq!(InviteRules::parse([block, None, allow]).answer(user), InviteAnswer::Block);
        assert_eq!(InviteRules::parse([None, block, None]).answer(user), InviteAnswer::Block);
        let off = Some(r#"{"enabled":false,"blocked_users":["*"]}"#);
        assert_eq!(InviteRules::parse([None, None, off]).answer(user), InviteAnswer::Take);
        for garbage in ["", "[]", r#"{"blocked_users":7}"#, r#"{"default_action":["block"]}"#] {
            let rules = InviteRules::parse([Some(garbage); 3]);
            assert_eq!(rules.answer(user), InviteAnswer::Take, "{garbage}");
        }
    }
}
