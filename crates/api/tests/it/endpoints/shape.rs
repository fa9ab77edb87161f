//! Answers against the specification's schemas: types and required fields.

use serde_json::Value;

/// Add to `wrong` what an answer lacks or has of another type.
pub fn check(shape: &Value, answer: &Value, at: &str, wrong: &mut Vec<String>) {
    let types: Vec<&str> = match &shape["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|kind| is_a(answer, kind)) {
        wrong.push(format!("{at} is not {}", types.join(" or ")));
        return;
    }
    match answer {
        Value::Object(fields) => {
            let required = shape["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    wrong.push(format!("{at}/{name} is missing"));
                }
            }
            for (name, value) in fields {
                let of_name = shape["properties"].get(name);
                if let Some(shape) = of_name.or_else(|| shape.get("additionalProperties")) {
                    check(shape, value, &format!("{at}/{name}"), wrong);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(&shape["items"], item, &format!("{at}/{index}"), wrong);
            }
        }
        _ => {}
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the type {other} is new"),
    }
}
