//! The rule that most canaries are judged by, for comparison: a success rate under a threshold, so many times.
//!
//! As Flagger does it: one check per window, each on the window's own requests, and back after so many failed ones. It knows nothing of
//! the standard pool. A window without requests is no failed check here, though Flagger takes it for one.

use crate::judge::{Cell, Pool};

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    /// Success rate under which a check fails, 0 to 1.
    pub(super) success: f64,
    /// Length of a window, ms: one check each.
    pub(super) window: i64,
    /// Failed checks after which it rolls back.
    pub(super) failures: u32,
}

/// The rule over time.
#[derive(Clone, Debug)]
pub(super) struct Thresholds {
    pub(super) rule: Rule,
    /// Start of the open window, ms.
    opened: Option<i64>,
    requests: f64,
    bad: f64,
    /// Checks so far, and those that failed.
    pub(super) checks: u32,
    pub(super) failed: u32,
    /// When it would have rolled back, ms.
    pub(super) acted: Option<i64>,
}

impl Thresholds {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, opened: None, requests: 0.0, bad: 0.0, checks: 0, failed: 0, acted: None }
    }

    /// Takes a cell of errors.
    pub(super) fn push(&mut self, cell: &Cell) {
        if self.acted.is_some() {
            return;
        }
        let opened = *self.opened.get_or_insert(cell.start);
        let over = cell.start - opened;
        if over >= self.rule.window {
            // Windows in which nothing was seen are no checks.
            self.opened = Some(opened + over / self.rule.window * self.rule.window);
            (self.requests, self.bad) = (0.0, 0.0);
        }
        let counts = cell.sum(Pool::FreeThreaded, true);
        self.requests += counts.n;
        self.bad += counts.k;
        let ends = self.opened.unwrap_or(cell.start).saturating_add(self.rule.window);
        if cell.end >= ends {
            self.check(cell.end);
            self.opened = Some(cell.end.max(ends));
        }
    }

    fn check(&mut self, at: i64) {
        let (requests, bad) = (self.requests, self.bad);
        (self.requests, self.bad) = (0.0, 0.0);
        if requests <= 0.0 {
            return;
        }
        self.checks += 1;
        if (requests - bad) / requests < self.rule.success {
            self.failed += 1;
        }
        if self.failed >= self.rule.failures {
            self.acted = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::judge::{Counts, PodCounts};

    fn cell(i: i64, bad: f64) -> Cell {
        let pod = PodCounts::new(Pool::FreeThreaded, false, Counts::new(100.0, bad));
        Cell::plain(i * 15_000, (i + 1) * 15_000, BTreeMap::from([("a".to_owned(), pod)]))
    }

    fn rule() -> Thresholds {
        Thresholds::new(Rule { success: 0.99, window: 60_000, failures: 2 })
    }

    #[test]
    fn it_acts_on_the_last_of_so_many_failed_windows() {
        let mut rule = rule();
        for i in 0..20 {
            rule.push(&cell(i, if i >= 6 { 5.0 } else { 0.0 }));
        }
        // The window from 60 s holds two bad intervals, 2.5 %; the one from 120 s four.
        assert_eq!((rule.acted, rule.checks, rule.failed), (Some(180_000), 3, 2));
    }

    #[test]
    fn one_percent_is_not_under_ninety_nine() {
        let mut rule = rule();
        (0..40).for_each(|i| rule.push(&cell(i, 1.0)));
        assert_eq!((rule.acted, rule.checks, rule.failed), (None, 10, 0));
    }
}
