//! Names that application services want to hear of or to own (spec: application service API,
//! "Registration"). Pure.

use regex::{Regex, RegexBuilder};

/// Bytes that one compiled expression may take.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// Names that fit a regular expression.
#[derive(Clone, Debug)]
pub struct Namespace {
    expression: Regex,
    exclusive: bool,
}

impl Namespace {
    /// `expression` is matched from the beginning of the whole name (`@alice:example.org`), as
    /// every existing registration expects; it need not reach to the end. Look-around and back
    /// references are not possible: what is left needs linear time, whatever the name.
    ///
    /// # Errors
    /// Why the expression cannot be used.
    pub fn new(expression: &str, exclusive: bool) -> Result<Self, String> {
        let build = |text: &str| RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
        // On its own first: what is no expression may become one in the brackets.
        build(expression).map_err(|error| error.to_string())?;
        let expression = build(&format!("^(?:{expression})")).map_err(|error| error.to_string())?;
        Ok(Self { expression, exclusive })
    }

    /// Whether a name lies in it.
    pub fn contains(&self, name: &str) -> bool {
        self.expression.is_match(name)
    }
}

/// What one service registered.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    pub users: Vec<Namespace>,
    pub aliases: Vec<Namespace>,
    pub rooms: Vec<Namespace>,
}

/// Whether a name lies in one of the namespaces.
pub(super) fn contain(namespaces: &[Namespace], name: &str) -> bool {
    namespaces.iter().any(|namespace| namespace.contains(name))
}

/// Whether a name lies in one that nobody else may use.
pub(super) fn own(namespaces: &[Namespace], name: &str) -> bool {
    namespaces.iter().any(|namespace| namespace.exclusive && namespace.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(expression: &str) -> Namespace {
        Namespace::new(expression, false).expect("an expression")
    }

    #[test]
    fn an_expression_matches_from_the_beginning_and_need_not_reach_the_end() {
        let irc = namespace("@_irc_");
        assert!(irc.contains("@_irc_alice:example.org"));
        assert!(!irc.contains("x@_irc_alice:example.org"));
        let whole = namespace(r"^@_irc_.*:example\.org$");
        assert!(whole.contains("@_irc_alice:example.org"));
        assert!(!whole.contains("@_irc_alice:example.org.evil"));
        assert!(!whole.contains("@_irc_alice:exampleXorg"));
    }

    #[test]
    fn alternatives_are_anchored_too() {
        let either = namespace("@a_.*|@b_.*");
        assert!(either.contains("@b_x:example.org"));
        assert!(!either.contains("@c@b_x:example.org"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for bad in ["[", "a)(b", "(?=x)", r"(a)\1", "a{1000}{1000}{1000}", "*"] {
            assert!(Namespace::new(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_name_takes_no_longer_than_others() {
        let greedy = namespace("@(a+)+$");
        assert!(!greedy.contains(&format!("@{}b", "a".repeat(10_000))));
    }

    #[test]
    fn only_exclusive_namespaces_are_owned() {
        let shared = [namespace("@x")];
        let owned = [namespace("@y"), Namespace::new("@x", true).expect("an expression")];
        assert!(contain(&shared, "@x") && !own(&shared, "@x"));
        assert!(own(&owned, "@x") && !own(&owned, "@y"));
    }
}
