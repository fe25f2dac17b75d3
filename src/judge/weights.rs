//! The share of the traffic that the free-threaded pool was served, over time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::samples::WeightChange;

/// Changes of weight, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    changes: BTreeMap<i64, f64>,
    /// Changes before this time were dropped, all but the last of them.
    pruned: i64,
}

impl Weights {
    /// No change yet: the share is unknown.
    pub fn new() -> Self {
        Self { changes: BTreeMap::new(), pruned: i64::MIN }
    }

    /// Adds what is new among `changes`. A share that is not a number in 0 to 1 is taken as unknown.
    pub fn learn(&mut self, changes: &[WeightChange]) {
        for change in changes.iter().filter(|c| c.at >= self.pruned) {
            let share = if (0.0..=1.0).contains(&change.share) { change.share } else { f64::NAN };
            self.changes.insert(change.at, share);
        }
    }

    /// Whether the weight changed in `[start, end)` (ms).
    pub fn changed_in(&self, start: i64, end: i64) -> bool {
        start < end && self.changes.range(start..end).next().is_some()
    }

    /// The share served at `at` (ms), if known.
    pub fn at(&self, at: i64) -> Option<f64> {
        self.changes.range(..=at).next_back().map(|(_, share)| *share).filter(|share| share.is_finite())
    }

    /// Whether all of the traffic is the free-threaded pool's from `at` (ms) on: nobody is left to compare with.
    pub fn is_all(&self, at: i64) -> bool {
        self.at(at).is_some_and(|share| share >= 1.0)
    }

    /// Forgets what no longer matters from `before` (ms) on.
    pub fn prune(&mut self, before: i64) {
        if let Some((keep, _)) = self.changes.range(..=before).next_back() {
            let keep = *keep;
            self.changes = self.changes.split_off(&keep);
            self.pruned = self.pruned.max(keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_counts() {
        let mut weights = Weights::new();
        let changes =
            [(100, 0.1), (200, 0.25), (300, f64::NAN)].map(|(at, share)| WeightChange { at, share });
        weights.learn(&changes);
        assert_eq!([99, 100, 250, 300].map(|at| weights.at(at)), [None, Some(0.1), Some(0.25), None]);
        assert_eq!(
            [(0, 100), (100, 101), (101, 200)].map(|(a, b)| weights.changed_in(a, b)),
            [false, true, false]
        );
        weights.learn(&[WeightChange { at: 400, share: 1.0 }]);
        assert_eq!([200, 300, 400].map(|at| weights.is_all(at)), [false, false, true]);
        weights.prune(250);
        weights.learn(&changes);
        assert_eq!([150, 250].map(|at| weights.at(at)), [None, Some(0.25)]);
    }
}
