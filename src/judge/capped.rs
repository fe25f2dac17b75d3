//! The burst cap: one pod alone cannot bring a test to its bar in a short time.
//!
//! Real counts come in bursts that belong to one pod: a slow disk, a hot key, a client that repeats one bad request. Uncapped they
//! raise 10 to 90 % false alarms. So within any window one pod may lift a component of the mixture only by a part of what it lacks to
//! the bar. The cap holds per component, not for the mixture, and starts from where the component was: a healthy hour shrinks it, and a
//! cap from the starting mass would forget that.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::mixture::{Mixture, PARTS, Parts};

/// How many pods' rises it takes to reach the bar, and in which window (ms) one pod's are added up, by the pods counted.
const fn pods_and_window(counted: usize) -> (i64, i64) {
    match counted {
        0 | 1 => (2, 75_000),
        2 => (2, 120_000),
        _ => (3, 120_000),
    }
}

/// The longest look back that any of them needs, ms.
const LONGEST_MS: i64 = 3 * 120_000;

/// A mixture whose components one pod can raise only so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Capped {
    mixture: Mixture,
    used: usize,
    /// `ln(1/(α·w))`.
    bar: f64,
    /// What cells' evidence was added to.
    bases: [Minima; PARTS],
    pods: BTreeMap<String, Rise>,
}

/// What one pod has brought.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Rise {
    total: Parts,
    lows: [Minima; PARTS],
    /// End of its last cell, ms.
    last: i64,
}

impl Capped {
    /// Nothing counted yet. `bar`: `ln(1/(α·w))`.
    pub(super) fn new(used: usize, bar: f64) -> Self {
        Self { mixture: Mixture::new(used), used, bar, bases: Default::default(), pods: BTreeMap::new() }
    }

    /// As new: the clock of the onset and the cap's history go as well.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.used, self.bar);
    }

    /// `ln M`.
    pub(super) fn ln_m(&self) -> f64 {
        self.mixture.ln_m()
    }

    /// Adds the cell `[start, end)` (ms) with what each pod would bring; returns `ln M`.
    pub(super) fn push(&mut self, start: i64, end: i64, brought: &[(&str, Parts)]) -> f64 {
        let (pods, window) = pods_and_window(brought.len());
        let base = self.mixture.begin((end - start) as f64 / 1000.0);
        let long = end - pods * window;
        let mut caps = [0.0; PARTS];
        for ((cap, minima), base) in caps.iter_mut().zip(&mut self.bases).zip(base) {
            minima.push(start, *base);
            *cap = (self.bar - minima.since(long)) / pods as f64;
            minima.forget(end - LONGEST_MS);
        }
        let mut sum = [0.0; PARTS];
        for (name, net) in brought {
            if !self.pods.contains_key(*name) {
                self.pods.insert((*name).to_owned(), Rise::default());
            }
            let Some(rise) = self.pods.get_mut(*name) else { continue };
            let got = rise.add(start, end, window, &caps, net);
            for (sum, got) in sum.iter_mut().zip(got) {
                *sum += got;
            }
        }
        // A pod away for longer than any window starts with the same room as a new one.
        self.pods.retain(|_, rise| rise.last >= end - LONGEST_MS);
        self.mixture.weigh(&sum)
    }
}

impl Rise {
    /// What counts of `net`: the rise from the lowest total in the window stays under the cap. Never less than nothing of a gain: a cap
    /// that shrank takes nothing back.
    fn add(&mut self, start: i64, end: i64, window: i64, caps: &Parts, net: &Parts) -> Parts {
        let mut got = [0.0; PARTS];
        let each = got.iter_mut().zip(net).zip(caps).zip(&mut self.total).zip(&mut self.lows);
        for ((((got, net), cap), total), lows) in each {
            lows.push(start, *total);
            let room = (cap - (*total - lows.since(end - window))).max(0.0);
            lows.forget(end - window.max(120_000));
            *got = net.min(room);
            *total += *got;
            lows.push(end, *total);
        }
        self.last = end;
        got
    }
}

/// Values over time, asked for the lowest since some time. Holds only those that can still be an answer: a value that is as low and
/// later replaces all before it that are not lower, so what is held rises from front to back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Minima(VecDeque<(i64, f64)>);

impl Minima {
    /// A value from `at` (ms) on, later than all before.
    fn push(&mut self, at: i64, value: f64) {
        while self.0.back().is_some_and(|(_, last)| *last >= value) {
            self.0.pop_back();
        }
        self.0.push_back((at, value));
    }

    /// The lowest value at `from` (ms) or later; the last one always belongs to them.
    fn since(&self, from: i64) -> f64 {
        let first = self.0.iter().find(|(at, _)| *at >= from).or(self.0.back());
        first.map_or(0.0, |(_, value)| *value)
    }

    /// Drops what nobody will ask for: values before `from` (ms), all but the last.
    fn forget(&mut self, from: i64) {
        while self.0.len() > 1 && self.0.front().is_some_and(|(at, _)| *at < from) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn minima_are_those_of_the_whole_list(values in proptest::collection::vec((1..40i64, -5.0..5.0f64), 1..60), back in 0..200i64) {
            let (mut minima, mut all, mut at) = (Minima::default(), Vec::new(), 0);
            for (step, value) in values {
                at += step;
                minima.push(at, value);
                all.push((at, value));
                let plain = all.iter().filter(|(t, _)| *t >= at - back || *t == at).map(|(_, v)| *v).fold(f64::INFINITY, f64::min);
                prop_assert!((minima.since(at - back) - plain).abs() < 1e-12);
                minima.forget(at - 200);
            }
        }
    }

    #[test]
    fn one_pod_alone_stays_under_the_bar_and_three_do_not() {
        let bar = 200f64.ln();
        let burst = [8.0; PARTS];
        let mut one = Capped::new(PARTS, bar);
        let mut most = f64::MIN;
        for i in 0..4 {
            let brought = [("a", burst), ("b", [0.0; PARTS]), ("c", [0.0; PARTS])];
            most = most.max(one.push(i * 15_000, (i + 1) * 15_000, &brought));
        }
        assert!(most < bar, "one pod of three, for a minute: {most}");
        let mut all = Capped::new(PARTS, bar);
        let brought = [("a", burst), ("b", burst), ("c", burst)];
        assert!(all.push(0, 15_000, &brought) >= bar, "all three, in one cell");
    }
}
