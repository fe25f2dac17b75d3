//! A stable hash of what the user wrote: FNV-1a over JSON, the same in every version of the operator.

use serde::Serialize;

use crate::api::FreeThreadRolloutSpec;

/// 64-bit FNV-1a in hexadecimal over the JSON of `value`. Fields and maps serialise in a fixed order.
pub fn hash<T: Serialize>(value: &T) -> String {
    // What cannot be serialised hashes like `null`: it is the same text every time, which is all that is asked of it.
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".into());
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{fnv:016x}")
}

/// What an attempt goes by: the pool's half and the analysis' half, joined by a dot. Another pool starts the steps
/// again, another analysis only the evidence.
pub fn spec_hash(spec: &FreeThreadRolloutSpec) -> String {
    format!("{}.{}", hash(&spec.free_threaded), hash(&spec.analysis))
}

/// Whether two spec hashes are about the same pool.
pub(super) fn same_pool(one: &str, other: &str) -> bool {
    let pool = |text: &str| text.split_once('.').map(|(pool, _)| pool.to_owned());
    pool(one) == pool(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_stable_for_ever() {
        // Known values of FNV-1a: a change here would redeploy every pool when the operator is upgraded.
        assert_eq!(hash(&""), format!("{:016x}", fnv(b"\"\"")));
        assert_eq!(hash(&serde_json::json!({"b": 1, "a": 2})), hash(&serde_json::json!({"a": 2, "b": 1})));
        assert_eq!(hash(&"a"), "d4272417d7c77eea");
    }

    fn fnv(bytes: &[u8]) -> u64 {
        let mut hash = 14_695_981_039_346_656_037_u64;
        for byte in bytes {
            hash ^= u64::from(*byte);
            hash = hash.wrapping_mul(1_099_511_628_211);
        }
        hash
    }

    #[test]
    fn tells_the_pool_from_the_analysis() {
        assert!(same_pool("aa.bb", "aa.cc"));
        assert!(!same_pool("aa.bb", "ab.bb"));
    }
}
