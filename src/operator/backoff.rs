//! When to try again after a failure.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::act::{ActError, Kind};

/// Failures in a row, by uid of the rollout. Entries go with the first success, or with the rollout.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Forget the failures of `uid`.
    pub(super) fn succeeded(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Count a failure and say how long to wait.
    pub(super) fn failed(&self, uid: &str, error: &ActError) -> Duration {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = all.entry(uid.to_owned()).or_insert(0);
        *failures = failures.saturating_add(1);
        delay(uid, *failures, error.kind(), error.urgent())
    }
}

fn delay(uid: &str, failures: u32, kind: Kind, urgent: bool) -> Duration {
    let (first, longest) = match (urgent, kind) {
        (true, _) => (50, 1_000),
        (false, Kind::Conflict) => (30, 5_000),
        (false, Kind::Transient) => (250, 30_000),
        (false, Kind::Dependency) => (5_000, 60_000),
    };
    let base = first * 2_u64.saturating_pow(failures.saturating_sub(1).min(16));
    // Jitter of a quarter, from what tells rollouts and tries apart: many that failed together do not come back together.
    let mut hasher = DefaultHasher::new();
    (uid, failures).hash(&mut hasher);
    let base = base.min(longest);
    Duration::from_millis(base - base / 4 + hasher.finish() % (base / 4 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::RouteError;

    #[test]
    fn a_rise_that_fails_waits_like_anything_else_and_a_fall_does_not() {
        let timeout = || RouteError::Timeout { pool: "p".into(), pods: 1, after: Duration::from_secs(2) };
        let backoff = Backoff::default();
        let rise = (0..20).map(|_| backoff.failed("a", &ActError::Raise(timeout()))).last().unwrap();
        assert!(rise > Duration::from_secs(20), "{rise:?}");
        assert!(backoff.failed("a", &ActError::Lower(timeout())) <= Duration::from_secs(1));
        backoff.succeeded("a");
        assert!(backoff.failed("a", &ActError::Raise(timeout())) <= Duration::from_millis(250));
    }

    #[test]
    fn grows_to_its_bound_and_a_falling_weight_never_waits_long() {
        for failures in 1..100 {
            assert!(delay("a", failures, Kind::Dependency, true) <= Duration::from_secs(1));
            assert!(delay("a", failures, Kind::Transient, false) <= Duration::from_secs(30));
        }
        assert!(delay("a", 9, Kind::Transient, false) > delay("a", 2, Kind::Transient, false));
        assert!(delay("a", 1, Kind::Conflict, false) <= Duration::from_millis(30));
        assert_ne!(delay("a", 5, Kind::Transient, false), delay("b", 5, Kind::Transient, false));
    }
}
