//! Wrong values.

use serde_json::{Value, json};

/// Bodies that are no JSON object, or none at all, each with its name.
pub fn bodies() -> Vec<(&'static str, Option<Vec<u8>>)> {
    let nested = |open: &str, close: &str| {
        let depth = 100_000;
        let mut text = open.repeat(depth);
        text.push_str(&close.repeat(depth));
        Some(text.into_bytes())
    };
    vec![
        ("no body", None),
        ("an empty body", Some(Vec::new())),
        ("no JSON", Some(b"not json".to_vec())),
        ("half a JSON text", Some(b"{\"a\":".to_vec())),
        ("no UTF-8", Some(b"{\"a\":\"\xff\xfe\"}".to_vec())),
        ("a lone surrogate", Some(br#"{"a":"\ud800"}"#.to_vec())),
        ("an array", Some(b"[1]".to_vec())),
        ("null", Some(b"null".to_vec())),
        ("a number", Some(b"1e400".to_vec())),
        ("an empty object", Some(b"{}".to_vec())),
        ("deep arrays", nested("[", "]")),
        ("deep objects", nested("{\"a\":", "}")),
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
    let fixed = [
        "%00",
        "%FF%FE",
        "%2F",
        "..%2F..%2Fetc",
        "%F0%9F%92%A9",
        "x",
        "%40x%3Ay",
        "!x:y",
        "$x",
        "%23x%3Ay",
        "%",
        "%zz",
        ";",
        "a%0D%0Aset-cookie:%20x",
        "18446744073709551616",
        "-1",
    ];
    fixed.into_iter().map(str::to_owned).chain(["a".repeat(3_000)]).collect()
}
