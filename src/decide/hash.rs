//! What an attempt goes by, as one word that is the same for as long as nothing changes.

use crate::api::{Analysis, FreeThreadRolloutSpec, OnInconclusive, hash};

/// What an attempt goes by: the pool's half and the analysis' half, joined by a dot. Another pool starts the steps
/// again, another analysis only the evidence. What becomes of a step that nothing decides is no part of the evidence.
pub fn spec_hash(spec: &FreeThreadRolloutSpec) -> String {
    let analysis = Analysis { on_inconclusive: OnInconclusive::default(), ..spec.analysis.clone() };
    format!("{}.{}", hash(&spec.free_threaded), hash(&analysis))
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
