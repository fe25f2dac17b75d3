//! How many evaluations went to which pool at the weight that stands, by rollout: the observed share of a flag.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::Pool;

/// Most rollouts that are counted.
const MOST: usize = 10_000;

/// Evaluations of this replica, at one weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The weight that they were made at.
    pub weight: i32,
    /// Answered with the free-threaded pool.
    pub ours: u64,
    /// Answered with the standard pool.
    pub standard: u64,
}

/// Counts of this replica, by namespace and rollout.
#[derive(Debug, Clone, Default)]
pub struct Evaluations(Arc<Mutex<BTreeMap<(String, String), Tally>>>);

impl Evaluations {
    /// One more. Another weight begins anew.
    pub fn count(&self, namespace: &str, rollout: &str, weight: i32, pool: Pool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), rollout.to_owned());
        if !all.contains_key(&key) && all.len() >= MOST {
            return;
        }
        let tally = all.entry(key).or_default();
        if tally.weight != weight {
            *tally = Tally { weight, ..Tally::default() };
        }
        match pool {
            Pool::FreeThreaded => tally.ours += 1,
            Pool::Standard => tally.standard += 1,
        }
    }

    /// What was counted at this weight.
    pub fn at(&self, namespace: &str, rollout: &str, weight: i32) -> Option<Tally> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(namespace.to_owned(), rollout.to_owned())).copied().filter(|tally| tally.weight == weight)
    }

    /// Forget all rollouts but those that `stays` says.
    pub fn keep(&self, stays: impl Fn(&str, &str) -> bool) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(namespace, rollout), _| stays(namespace, rollout));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_of_one_weight() {
        let all = Evaluations::default();
        all.count("shop", "orders", 5, Pool::Standard);
        all.count("shop", "orders", 5, Pool::FreeThreaded);
        assert_eq!(all.at("shop", "orders", 5), Some(Tally { weight: 5, ours: 1, standard: 1 }));
        all.count("shop", "orders", 25, Pool::FreeThreaded);
        assert_eq!(all.at("shop", "orders", 5), None);
        assert_eq!(all.at("shop", "orders", 25), Some(Tally { weight: 25, ours: 1, standard: 0 }));
        all.keep(|_, _| false);
        assert_eq!(all.at("shop", "orders", 25), None);
    }
}
