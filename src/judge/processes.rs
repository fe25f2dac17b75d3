//! Several worker processes behind one port: each scrape hits another one, and the counters jump between them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Repeated resets are remembered for this long, in ms.
const MEMORY_MS: i64 = 600_000;

/// This many resets without a new process within [`MEMORY_MS`] are not resets.
const UNEXPLAINED: usize = 2;

/// Start times closer than this are the same process, in seconds: some exporters compute them anew at each scrape.
const SAME_SECONDS: f64 = 1.5;

/// A container start explains a reset this long before its scrape and after it, in ms: the two clocks differ.
const SLACK_MS: i64 = 5_000;

/// How many start times are remembered.
const STARTS: usize = 8;

/// Watches the start times and resets of one pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Processes {
    /// Start times seen, in seconds since the epoch, the current one last.
    starts: VecDeque<f64>,
    container: Option<i64>,
    unexplained: VecDeque<i64>,
    alternated: Option<i64>,
}

impl Processes {
    pub(super) fn container_started(&mut self, at: i64) {
        self.container = Some(at);
    }

    /// Not the process that answered last.
    pub(super) fn is_new(&self, start: f64) -> bool {
        self.starts.back().is_some_and(|last| !same(*last, start))
    }

    /// Takes one scrape; true if another process answered than before.
    pub(super) fn observe(&mut self, at: i64, previous: Option<i64>, start: Option<f64>, fell: bool) -> bool {
        let mut replaced = false;
        if let Some(start) = start {
            replaced = self.is_new(start);
            if replaced && self.starts.iter().any(|seen| same(*seen, start)) {
                self.alternated = Some(at);
            }
            self.starts.retain(|seen| !same(*seen, start));
            self.starts.push_back(start);
            while self.starts.len() > STARTS {
                self.starts.pop_front();
            }
        }
        let restarted =
            |since: i64| self.container.is_some_and(|c| c > since - SLACK_MS && c <= at + SLACK_MS);
        if fell && !replaced && !previous.is_some_and(restarted) {
            self.unexplained.push_back(at);
        }
        while self.unexplained.front().is_some_and(|first| at - first > MEMORY_MS) {
            self.unexplained.pop_front();
        }
        replaced
    }

    pub(super) fn several(&self, at: i64) -> bool {
        self.unexplained.iter().filter(|x| at - **x <= MEMORY_MS).count() >= UNEXPLAINED
            || self.alternated.is_some_and(|x| at - x <= MEMORY_MS)
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < SAME_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_not_several_processes() {
        let mut seen = Processes::default();
        for (at, start) in [(0, 10.0), (15_000, 10.4), (30_000, 400.0), (45_000, 800.0)] {
            assert_eq!(seen.observe(at, Some(at - 15_000), Some(start), true), at > 15_000);
        }
        // The first scrape fell without a process before it, the second within the same process: two unexplained ones.
        assert!(seen.several(60_000));
        assert!(!seen.several(660_000));
    }

    #[test]
    fn a_container_restart_explains_a_reset() {
        let mut seen = Processes::default();
        for at in [15_000, 30_000, 45_000] {
            seen.container_started(at - 4_000);
            seen.observe(at, Some(at - 15_000), None, true);
        }
        assert!(!seen.several(45_000));
    }

    #[test]
    fn two_that_alternate_are() {
        let mut seen = Processes::default();
        for (at, start) in [(1, 10.0), (2, 20.0), (3, 10.0)] {
            assert!(!seen.several(at));
            seen.observe(at, Some(at - 1), Some(start), false);
        }
        assert!(seen.several(3));
    }
}
