//! What an attempt goes by, as one word that is the same for as long as nothing changes.

use crate::api::{FreeThreadRolloutSpec, hash};

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
    fn tells_the_pool_from_the_analysis() {
        assert!(same_pool("aa.bb", "aa.cc"));
        assert!(!same_pool("aa.bb", "ab.bb"));
    }
}
