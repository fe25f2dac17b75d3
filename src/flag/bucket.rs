//! Which pool a targeting key belongs to. Pure.
//!
//! As flagd's `fractional` does it, in the third generation of its hash: Murmur3 (32 bit) of the flag's key and the targeting key as a CBOR array of two
//! texts, in integer arithmetic, so that an evaluator of that generation (`openfeature-flagd-core` 2.0 for Python) comes to the same pool for the
//! same key: <https://flagd.dev/reference/custom-operations/fractional-operation/>. The free-threaded pool has the low end of the range and the total
//! never changes: as the weight grows keys only ever join it, and as it falls they only leave.

use std::io::Cursor;

/// Whether a key is the free-threaded pool's at `weight` percent (0 to 100).
pub fn is_ours(flag: &str, key: &str, weight: i32) -> bool {
    // An array of two.
    let mut bytes = vec![0x82];
    for text in [flag, key] {
        encode(&mut bytes, text);
    }
    // Reading from memory cannot fail; if it did, the standard pool would be the answer.
    let Ok(hash) = murmur3::murmur3_32(&mut Cursor::new(bytes), 0) else { return false };
    let bucket = (u64::from(hash) * 100) >> 32;
    i64::try_from(bucket).is_ok_and(|bucket| bucket < i64::from(weight))
}

/// A text in CBOR (RFC 8949, 3.1, major type 3), its length in as few bytes as there may be.
fn encode(bytes: &mut Vec<u8>, text: &str) {
    let length = text.len() as u64;
    let [.., c, d, e, f] = length.to_be_bytes();
    match length {
        0..=23 => bytes.push(0x60 | f),
        24..=0xff => bytes.extend([0x78, f]),
        0x100..=0xffff => bytes.extend([0x79, e, f]),
        // Longer ones than four bytes can say are no text that arrives here.
        _ => bytes.extend([0x7a, c, d, e, f]),
    }
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(weight: i32) -> f64 {
        let ours = (0..100_000).filter(|user| is_ours("orders", &format!("user-{user}"), weight)).count();
        ours as f64 / 1000.0
    }

    #[test]
    fn keys_join_as_the_weight_grows_and_none_ever_switches_back() {
        let mut pool = vec![false; 100_000];
        for weight in 0..=100 {
            for (user, ours) in pool.iter_mut().enumerate() {
                let now = is_ours("orders", &format!("user-{user}"), weight);
                assert!(now || !*ours, "user-{user} switched back at {weight} %");
                *ours = now;
            }
        }
        assert!(pool.iter().all(|ours| *ours), "all of them at 100 %");
    }

    #[test]
    fn the_share_is_the_weight() {
        assert!(share(0).abs() < f64::EPSILON);
        for weight in [1, 5, 25, 50] {
            // Four standard deviations of chance.
            let p = f64::from(weight) / 100.0;
            let bound = 400.0 * (p * (1.0 - p) / 100_000.0).sqrt();
            assert!((share(weight) - f64::from(weight)).abs() < bound, "{weight}: {}", share(weight));
        }
    }

    /// Made by `fractional` of openfeature-flagd-core 2.0.0: the first bucket of each key (tests/flag/record.py).
    #[test]
    fn an_evaluator_of_flagd_comes_to_the_same_pool() {
        let known: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/flag/buckets.json")).unwrap();
        let cases = known.as_array().unwrap();
        assert!(cases.len() >= 1000);
        for case in cases {
            let (flag, key) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
            let weight = i32::try_from(case[2].as_i64().unwrap()).unwrap();
            assert!(is_ours(flag, key, weight) && !is_ours(flag, key, weight - 1), "{case}");
        }
    }

    #[test]
    fn flags_do_not_share_their_users() {
        let both = (0..10_000).filter(|user| {
            let key = format!("user-{user}");
            is_ours("orders", &key, 50) && is_ours("thumbnails", &key, 50)
        });
        let both = both.count();
        assert!((2_300..2_700).contains(&both), "{both} of 10,000 are in both halves");
    }
}
