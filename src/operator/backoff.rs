//! When to try again after a failure.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::act::{ActError, Kind};

/// Failures in a row, by uid of the rollout. Entries go with the first success, or with the rollout.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<HashMap<String, Row>>);

#[derive(Debug, Default)]
struct Row {
    failures: u32,
    /// What the API server has against our pool.
    refusal: Option<String>,
}

impl Backoff {
    /// Forget the failures of `uid`.
    pub(super) fn succeeded(&self, uid: &str) {
        self.rows().remove(uid);
    }

    /// Count a failure and say how long to wait, and whether it is the first one that is refused.
    pub(super) fn failed(&self, uid: &str, error: &ActError) -> (Duration, bool) {
        let mut rows = self.rows();
        let row = rows.entry(uid.to_owned()).or_default();
        row.failures = row.failures.saturating_add(1);
        // The first words stay: some differ with each try, and each would be another status.
        let before = row.refusal.take();
        let first = before.is_none();
        row.refusal = error.refusal().map(|new| before.unwrap_or(new));
        (delay(uid, row.failures, error.kind(), error.urgent()), first && row.refusal.is_some())
    }

    /// Forget all but these: what goes without our finalizer is not reconciled again.
    pub(super) fn keep(&self, uids: &BTreeSet<String>) {
        self.rows().retain(|uid, _| uids.contains(uid));
    }

    /// Why our pool could not be written in the last pass, if the API server refuses it.
    pub(super) fn refusal(&self, uid: &str) -> Option<String> {
        self.rows().get(uid)?.refusal.clone()
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let timeout = || RouteError::Timeout {
            wrote: "1 pods".into(),
            what: "p".into(),
            after: Duration::from_secs(2),
        };
        let backoff = Backoff::default();
        let rise = (0..20).map(|_| backoff.failed("a", &ActError::Raise(timeout())).0).last().unwrap();
        assert!(rise > Duration::from_secs(20), "{rise:?}");
        assert!(backoff.failed("a", &ActError::Lower(timeout())).0 <= Duration::from_secs(1));
        backoff.succeeded("a");
        assert!(backoff.failed("a", &ActError::Raise(timeout())).0 <= Duration::from_millis(250));
    }

    #[test]
    fn a_refusal_of_the_pool_is_remembered_until_it_passes() {
        let refused = |code| {
            let status = serde_json::json!({"message": "exceeded quota", "code": code, "details": {"kind": "deployments"}});
            let status = Box::new(serde_json::from_value(status).unwrap());
            Box::new(kube::Error::Api(status))
        };
        let answer =
            |code| ActError::Pool(Box::new(ActError::Api { doing: "applying", source: refused(code) }));
        let backoff = Backoff::default();
        assert!(backoff.failed("a", &answer(403)).1, "the first is told");
        assert!(!backoff.failed("a", &answer(403)).1, "and no other");
        assert_eq!(backoff.refusal("a").as_deref(), Some("exceeded quota"));
        assert_eq!(backoff.refusal("b"), None);
        backoff.failed("a", &answer(503));
        assert_eq!(backoff.refusal("a"), None, "that passes by itself");
        let weight =
            |code| RouteError::Api { wrote: "0 pods".into(), what: "p".into(), source: refused(code) };
        assert!(backoff.failed("a", &ActError::Lower(weight(403))).1);
        assert_eq!(backoff.refusal("a").as_deref(), Some("exceeded quota"));
        backoff.succeeded("a");
        assert_eq!(backoff.refusal("a"), None);
        backoff.failed("a", &ActError::Raise(weight(403)));
        backoff.keep(&BTreeSet::from(["b".to_owned()]));
        assert_eq!(backoff.refusal("a"), None, "the rollout is gone");
        let status = ActError::Api { doing: "writing the status", source: refused(403) };
        assert!(!backoff.failed("a", &status).1, "that is not about the pool");
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
