//! From a provider's claims to a person here. Pure.

use std::str::FromStr;

use serde_json::Value;

use crate::jose::Claims;

/// Bytes of what a template gives.
const RESULT_BYTES_MAX: usize = 255;

/// Text with claims in it: `{given_name} {family_name}`, `{realm.uuid}`, `{email|localpart}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Claim {
        /// Names from the outside to the inside.
        path: Vec<String>,
        form: Form,
    },
}

/// What is made of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    /// Of a mail address, what stands before the `@`.
    Localpart,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, behind) =
                after.split_once('}').ok_or_else(|| format!("`{text}`: a {{ is not closed"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(claim(inside).ok_or_else(|| {
                format!(
                    "`{text}`: {{{inside}}} is not a claim such as {{email}} or {{email|localpart}}"
                )
            })?);
            rest = behind;
        }
        if rest.contains('}') {
            return Err(format!("`{text}`: a }} has no {{"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

fn claim(inside: &str) -> Option<Piece> {
    let (path, form) = match inside.split_once('|') {
        None => (inside, Form::Whole),
        Some((path, "localpart")) => (path, Form::Localpart),
        Some(_) => return None,
    };
    let path: Vec<String> = path.trim().split('.').map(ToOwned::to_owned).collect();
    let is_name = |name: &String| {
        !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "{}|".contains(c))
    };
    path.iter().all(is_name).then_some(Piece::Claim { path, form })
}

impl Template {
    /// The text with the claims filled in.
    ///
    /// # Errors
    /// The name of the first claim that is not there.
    pub(crate) fn fill(&self, claims: &Claims) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Claim { path, form } => {
                    let found = text_of(find(claims, path)).ok_or_else(|| path.join("."))?;
                    filled.push_str(match form {
                        Form::Whole => &found,
                        Form::Localpart => found.split('@').next().unwrap_or_default(),
                    });
                }
            }
        }
        let filled = filled.trim();
        let most = filled.len().min(RESULT_BYTES_MAX);
        let end = (0..=most).rev().find(|at| filled.is_char_boundary(*at)).unwrap_or_default();
        Ok(filled[..end].to_owned())
    }

    /// As [`Self::fill`]; `None` if a claim is not there or nothing stands in them.
    pub(crate) fn fill_if_there(&self, claims: &Claims) -> Option<String> {
        self.fill(claims).ok().filter(|filled| !filled.is_empty())
    }
}

/// A claim by its path. A name with a dot in it is found, too: `https://a.example/role`.
pub(crate) fn find<'c>(claims: &'c Claims, path: &[String]) -> Option<&'c Value> {
    if let Some(found) = claims.get(&path.join(".")) {
        return Some(found);
    }
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.get(first)?, |value, name| value.get(name))
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A claim that must have, or contain, one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// With dots between the names.
    pub claim: String,
    pub one_of: Vec<String>,
}

impl Condition {
    pub(crate) fn holds(&self, claims: &Claims) -> bool {
        let path: Vec<String> = self.claim.split('.').map(ToOwned::to_owned).collect();
        let is_one = |value: &Value| match value {
            Value::String(text) => self.one_of.contains(text),
            Value::Bool(flag) => self.one_of.contains(&flag.to_string()),
            Value::Number(number) => self.one_of.contains(&number.to_string()),
            _ => false,
        };
        match find(claims, &path) {
            Some(Value::Array(values)) => values.iter().any(is_one),
            Some(value) => is_one(value),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> Claims {
        let claims = json!({
            "preferred_username": "Erika.M",
            "given_name": "Erika",
            "family_name": "Mustermann",
            "email": "erika@amt.example",
            "number": 4711,
            "empty": " ",
            "nested": { "uuid": "u-1" },
            "https://a.example/role": "x",
            "groups": ["/a", "/matrix"],
            "employee": true,
        });
        claims.as_object().expect("an object").clone()
    }

    fn fill(template: &str) -> Result<String, String> {
        template.parse::<Template>().expect("a template").fill(&claims())
    }

    #[test]
    fn claims_are_filled_in() {
        for (template, wanted) in [
            ("{preferred_username}", "Erika.M"),
            ("{given_name} {family_name}", "Erika Mustermann"),
            ("{family_name}, {given_name} (Amt)", "Mustermann, Erika (Amt)"),
            ("{email|localpart}", "erika"),
            ("p{number}", "p4711"),
            ("{nested.uuid}", "u-1"),
            ("{https://a.example/role}", "x"),
            ("fixed", "fixed"),
        ] {
            assert_eq!(fill(template).as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn a_claim_that_is_not_there_is_named() {
        for (template, wanted) in [
            ("{nobody}", "nobody"),
            ("{nested}", "nested"),
            ("{nested.x}", "nested.x"),
            ("{empty}", "empty"),
            ("{groups}", "groups"),
        ] {
            assert_eq!(fill(template), Err(wanted.to_owned()), "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for bad in ["{", "}", "{a", "a}", "{}", "{a b}", "{a|upper}", "{a..b}", "{{a}}"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_result_has_an_end() {
        let long = json!({ "x": "ä".repeat(1_000) });
        let filled = "{x}".parse::<Template>().expect("a template");
        let filled = filled.fill(long.as_object().expect("an object")).expect("it is there");
        assert_eq!(filled.len(), 254);
    }

    #[test]
    fn a_condition_looks_at_texts_lists_and_flags() {
        let holds = |claim: &str, value: &str| {
            let one_of = vec!["other".to_owned(), value.to_owned()];
            Condition { claim: claim.to_owned(), one_of }.holds(&claims())
        };
        assert!(holds("groups", "/matrix"));
        assert!(holds("employee", "true"));
        assert!(holds("nested.uuid", "u-1"));
        assert!(holds("number", "4711"));
        for (claim, value) in [("groups", "/matrix/x"), ("nobody", ""), ("nested", "uuid")] {
            assert!(!holds(claim, value), "{claim}");
        }
    }
}
