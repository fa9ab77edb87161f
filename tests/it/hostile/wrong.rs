//! Wrong values.

use serde_json::{Value, json};

/// What a body is not.
#[derive(Clone, Copy)]
pub enum Kind {
    NotJson,
    /// JSON, but no object. Too deep counts as this: both codes are right for it.
    NoObject,
    /// Empty: for some endpoints that is as good as `{}`.
    Harmless,
}

/// Bodies that are no JSON object, or none at all, each with its name.
pub fn bodies() -> Vec<(&'static str, Kind, Option<Vec<u8>>)> {
    let nested = |open: &str, close: &str| {
        let depth = 100_000;
        Some(format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes())
    };
    let text = |text: &[u8]| Some(text.to_vec());
    vec![
        ("no body", Kind::Harmless, None),
        ("an empty body", Kind::Harmless, Some(Vec::new())),
        ("no JSON", Kind::NotJson, text(b"not json")),
        ("half a JSON text", Kind::NotJson, text(b"{\"a\":")),
        ("two JSON texts", Kind::NotJson, text(b"{}{}")),
        ("a comma too many", Kind::NotJson, text(b"{\"a\":1,}")),
        ("a number that is none", Kind::NotJson, text(b"{\"a\":NaN}")),
        ("no UTF-8", Kind::NotJson, text(b"{\"a\":\"\xff\xfe\"}")),
        ("a lone surrogate", Kind::Harmless, text(br#"{"a":"\ud800"}"#)),
        ("an array", Kind::NoObject, text(b"[1]")),
        ("null", Kind::NoObject, text(b"null")),
        ("a text", Kind::NoObject, text(b"\"a\"")),
        ("a huge number", Kind::NoObject, text(b"1e400")),
        ("an empty object", Kind::Harmless, text(b"{}")),
        ("deep arrays", Kind::NoObject, nested("[", "]")),
        ("deep objects", Kind::NoObject, nested("{\"a\":", "}")),
    ]
}

/// The body with one value exchanged or one key missing, for every value in it and every wrong one.
pub fn mutations(body: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut pointers = Vec::new();
    collect_pointers(body, String::new(), &mut pointers);
    for pointer in pointers {
        for wrong in values() {
            let mut spoiled = body.clone();
            let Some(place) = spoiled.pointer_mut(&pointer) else { continue };
            let what =
                format!("{pointer} = {}", wrong.to_string().chars().take(30).collect::<String>());
            *place = wrong;
            found.push((what, spoiled));
        }
        if let Some(spoiled) = without(body, &pointer) {
            found.push((format!("without {pointer}"), spoiled));
        }
    }
    found.push(("as it is".to_owned(), body.clone()));
    found
}

fn collect_pointers(value: &Value, here: String, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                collect_pointers(value, format!("{here}/{key}"), out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                collect_pointers(value, format!("{here}/{index}"), out);
            }
        }
        _ => {}
    }
    if !here.is_empty() {
        out.push(here);
    }
}

fn without(body: &Value, pointer: &str) -> Option<Value> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let mut spoiled = body.clone();
    let fields = spoiled.pointer_mut(parent)?.as_object_mut()?;
    fields.remove(&key.replace("~1", "/").replace("~0", "~"))?;
    Some(spoiled)
}

fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(9_007_199_254_740_992_u64),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("a\u{0}b"),
        json!("x".repeat(70_000)),
        json!([]),
        json!({}),
        json!([[null]]),
        json!({ "x": { "x": 1 } }),
    ]
}

pub fn query_values() -> Vec<String> {
    let fixed = [
        "",
        "-1",
        "x",
        "0.5",
        "99999999999999999999",
        "%00",
        "%FF%FE",
        "%5B%5D",
        "%7B%7D",
        "%7B%22room%22%3A%5B%5D%7D",
        "%zz",
        "b",
        "true",
    ];
    fixed.into_iter().map(str::to_owned).chain(["a".repeat(3_000)]).collect()
}

pub fn path_values() -> Vec<String> {
    let fixed = include_str!("../cases/path_values.txt").lines();
    fixed.map(str::to_owned).chain(["a".repeat(3_000)]).collect()
}
