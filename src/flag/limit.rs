//! A bound on evaluations a second for each namespace: one that asks without end does not starve the others.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Evaluations a second of each namespace.
#[derive(Debug)]
pub struct Limit {
    per_second: u32,
    windows: Mutex<BTreeMap<String, (Instant, u32)>>,
}

const WINDOW: Duration = Duration::from_secs(1);

impl Limit {
    /// At most `per_second` a namespace.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, windows: Mutex::default() }
    }

    /// Whether `cost` more are within the bound, `now`.
    pub fn allows(&self, namespace: &str, cost: u32, now: Instant) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, used) = match windows.get_mut(namespace) {
            Some(window) => window,
            None => windows.entry(namespace.to_owned()).or_insert((now, 0)),
        };
        if now.duration_since(*since) >= WINDOW {
            (*since, *used) = (now, 0);
        }
        // The first of a window is always answered: a bulk may be larger than the bound.
        let within = *used == 0 || used.saturating_add(cost) <= self.per_second;
        if within {
            *used = used.saturating_add(cost);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_its_own_bound_by_the_second() {
        let (limit, now) = (Limit::new(2), Instant::now());
        let allowed = |namespace: &str, at: Instant| limit.allows(namespace, 1, at);
        assert!(allowed("shop", now) && allowed("shop", now) && !allowed("shop", now));
        assert!(allowed("other", now), "another namespace");
        assert!(allowed("shop", now + WINDOW), "another second");
        assert!(Limit::new(2).allows("shop", 5, now), "a bulk that is larger than the bound");
    }
}
