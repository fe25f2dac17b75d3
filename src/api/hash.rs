//! A stable hash of what users and we write: FNV-1a over JSON, the same in every version of the operator.

use serde::Serialize;
use serde_json::Value;

/// 64-bit FNV-1a in hexadecimal over the JSON of `value`, keys in order: stable over versions of the operator and of its libraries.
pub fn hash<T: Serialize>(value: &T) -> String {
    // What cannot be serialised hashes like `null`: it is the same text every time, which is all that is asked of it.
    let text = sorted(serde_json::to_value(value).unwrap_or_default()).to_string();
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{fnv:016x}")
}

/// Keys in order, whatever map type `serde_json` was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn is_stable_for_ever() {
        // Known values of FNV-1a: a change here would redeploy every pool when the operator is upgraded.
        assert_eq!(hash(&"a"), "d4272417d7c77eea");
        assert_eq!(
            hash(&json!({"b": [{"d": 1, "c": 2}], "a": 2})),
            hash(&json!({"a": 2, "b": [{"c": 2, "d": 1}]}))
        );
        assert_ne!(hash(&json!([1, 2])), hash(&json!([2, 1])), "lists keep their order");
    }
}
