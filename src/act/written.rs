//! What we wrote last of each rollout, until the watch has it too.
//!
//! A pass is brought about by whatever changes first, most often our own Deployment, and then the cache still has the status from before our
//! last write. Decided on that, the pass would write a status that is refused, and with it what only that status could tell: whose edit
//! was just put back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;

use crate::api::FreeThreadRollout;

/// Most versions of one rollout that are known to be older than our last write.
const MOST_OLDER: usize = 16;

/// Our last writes, by uid of the rollout.
#[derive(Debug, Default)]
pub struct Written(Mutex<BTreeMap<String, Row>>);

#[derive(Debug)]
struct Row {
    /// Versions that our last write is newer than.
    older: Vec<Option<String>>,
    rollout: Arc<FreeThreadRollout>,
}

impl Written {
    /// `cached`, or what we wrote on top of it. Once the cache has our write, or a later one of anybody, that counts.
    pub fn newest(&self, cached: Arc<FreeThreadRollout>) -> Arc<FreeThreadRollout> {
        let uid = cached.uid().unwrap_or_default();
        let mut rows = self.rows();
        match rows.get(&uid) {
            Some(row) if row.older.contains(&cached.resource_version()) => row.rollout.clone(),
            Some(_) => {
                rows.remove(&uid);
                cached
            }
            None => cached,
        }
    }

    /// `now` was written on top of `before`.
    pub(super) fn wrote(&self, before: &FreeThreadRollout, now: FreeThreadRollout) {
        let (uid, older) = (before.uid().unwrap_or_default(), before.resource_version());
        if older == now.resource_version() {
            return;
        }
        let mut rows = self.rows();
        let mut all = match rows.remove(&uid) {
            Some(row) if row.rollout.resource_version() == older => row.older,
            _ => Vec::new(),
        };
        all.push(older);
        let over = all.len().saturating_sub(MOST_OLDER);
        all.drain(..over);
        rows.insert(uid, Row { older: all, rollout: Arc::new(now) });
    }

    /// Forget all rollouts but these.
    pub fn keep(&self, uids: &BTreeSet<String>) {
        self.rows().retain(|uid, _| uids.contains(uid));
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(version: &str) -> FreeThreadRollout {
        serde_json::from_value(json!({
            "apiVersion": "freethreading.dev/v1alpha1", "kind": "FreeThreadRollout",
            "metadata": {"name": "orders", "uid": "u", "resourceVersion": version},
            "spec": {
                "workloadRef": {"name": "orders"}, "freeThreaded": {"image": "x"}, "traffic": {"podCount": {}},
                "steps": [{"weight": 10, "hold": "1m"}],
                "analysis": {"preset": "granian", "errorRate": {"max": "1%"}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn ours_counts_until_the_cache_has_it_or_something_later() {
        let written = Written::default();
        let newest = |cached: &str| written.newest(Arc::new(at(cached))).resource_version().unwrap();
        assert_eq!(newest("1"), "1");
        written.wrote(&at("1"), at("2"));
        written.wrote(&at("2"), at("3"));
        assert_eq!((newest("1"), newest("2")), ("3".to_owned(), "3".to_owned()), "the cache is behind");
        assert_eq!(newest("3"), "3");
        assert_eq!(newest("1"), "1", "and then it is forgotten");
        written.wrote(&at("3"), at("4"));
        assert_eq!(newest("7"), "7", "somebody else wrote since");
        assert_eq!(newest("3"), "3");
        written.wrote(&at("7"), at("7"));
        assert_eq!(newest("7"), "7");
        written.wrote(&at("7"), at("8"));
        written.keep(&BTreeSet::new());
        assert_eq!(newest("7"), "7");
    }
}
