//! The placeholders of `cases/README.md`, filled in.

use std::collections::BTreeMap;

use crate::http::encoded;

/// Name (without braces) to value.
pub type Names = BTreeMap<&'static str, String>;

/// Where a text goes: in a path, values are percent-encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Elsewhere,
}

/// Names first, then the generators.
///
/// # Panics
/// If a placeholder is not known: a case that is sent half filled proves nothing.
pub fn filled(text: &str, names: &Names, place: Place) -> Vec<u8> {
    generated(named(text, names, place).as_bytes())
}

fn named(text: &str, names: &Names, place: Place) -> String {
    let mut text = text.to_owned();
    for (name, value) in names {
        let value = if place == Place::Path { encoded(value) } else { value.clone() };
        text = text.replace(&format!("{{{name}}}"), &value);
    }
    text
}

fn generated(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match generator(rest, &mut out) {
            Some(length) => rest = &rest[length..],
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

/// Write what the generator at the beginning of the text makes; gives its length in the text.
fn generator(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let inner = text.strip_prefix(b"{")?;
    let colon = inner.iter().position(|byte| *byte == b':').filter(|at| *at < 10)?;
    let (kind, rest) = (&inner[..colon], &inner[colon + 1..]);
    if kind == b"rep" {
        return repeated(rest, out).map(|length| 1 + colon + 1 + length);
    }
    let end = rest.iter().position(|byte| *byte == b'}')?;
    let argument = std::str::from_utf8(&rest[..end]).ok()?;
    let count = argument.parse::<usize>();
    match (kind, count) {
        (b"pad", Ok(count)) => out.extend(std::iter::repeat_n(b'a', count)),
        (b"nest", Ok(count)) => nest(out, count, b"[", b"", b"]"),
        (b"nestobj", Ok(count)) => nest(out, count, br#"{"a":"#, b"1", b"}"),
        (b"hex", _) => out.extend(hex::decode(argument).ok()?),
        _ => return None,
    }
    Some(1 + colon + 1 + end + 1)
}

fn nest(out: &mut Vec<u8>, count: usize, open: &[u8], core: &[u8], close: &[u8]) {
    (0..count).for_each(|_| out.extend_from_slice(open));
    out.extend_from_slice(core);
    (0..count).for_each(|_| out.extend_from_slice(close));
}

/// `N:<<text>>}`
fn repeated(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let count: usize = std::str::from_utf8(&text[..colon]).ok()?.parse().ok()?;
    let body = text[colon + 1..].strip_prefix(b"<<")?;
    let end = body.windows(3).position(|window| window == b">>}")?;
    (0..count).for_each(|_| out.extend_from_slice(&body[..end]));
    Some(colon + 1 + 2 + end + 3)
}

#[test]
fn placeholders_are_filled_names_first() {
    let names = Names::from([("a", "x:y".to_owned())]);
    let text = |text: &str, place| String::from_utf8(filled(text, &names, place)).expect("text");
    assert_eq!(text("/{a}/b", Place::Path), "/x%3Ay/b");
    assert_eq!(text("{rep:2:<<{a},>>}{pad:3}", Place::Elsewhere), "x:y,x:y,aaa");
    assert_eq!(
        text(r#"{"n":{nest:2},"o":{nestobj:2}}"#, Place::Elsewhere),
        r#"{"n":[[]],"o":{"a":{"a":1}}}"#
    );
    assert_eq!(filled("\"{hex:e282}\"", &names, Place::Elsewhere), b"\"\xe2\x82\"");
    assert_eq!(text(r#"{"users":{"x":5}}"#, Place::Elsewhere), r#"{"users":{"x":5}}"#);
}
