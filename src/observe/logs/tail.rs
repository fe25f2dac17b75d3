//! The last lines of pods' logs, within bounds.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{LogTail, MAX_PODS};

/// Lines that are kept of one pod: enough for the stacks of a crash.
pub const TAIL_LINES: usize = 25;
/// Characters that are kept of one line.
pub const TAIL_CHARS: usize = 200;

/// Tails by rollout's uid.
#[derive(Debug, Default)]
pub(super) struct Tails(Mutex<BTreeMap<String, Rollout>>);

/// A rollout's pods; those that came first go first when they become too many.
type Rollout = VecDeque<(String, VecDeque<String>)>;

impl Tails {
    /// Add a line of `pod`.
    pub(super) fn add(&self, rollout: &str, pod: &str, text: &str) {
        let mut all = self.lock();
        let pods = all.entry(rollout.to_owned()).or_default();
        if !pods.iter().any(|(name, _)| name == pod) {
            if pods.len() == MAX_PODS {
                pods.pop_front();
            }
            pods.push_back((pod.to_owned(), VecDeque::new()));
        }
        let Some((_, lines)) = pods.iter_mut().find(|(name, _)| name == pod) else { return };
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        // A status is read in terminals and on web pages: nothing in it may steer them.
        lines.push_back(text.chars().filter(|c| !c.is_control()).take(TAIL_CHARS).collect());
    }

    /// All tails of a rollout, the oldest pod first.
    pub(super) fn of(&self, rollout: &str) -> Vec<LogTail> {
        let tail = |(pod, lines): &(String, VecDeque<String>)| LogTail {
            pod: pod.clone(),
            lines: lines.iter().cloned().collect(),
        };
        self.lock().get(rollout).map(|pods| pods.iter().map(tail).collect()).unwrap_or_default()
    }

    /// Uids of the rollouts that there are tails of.
    pub(super) fn rollouts(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Forget a rollout.
    pub(super) fn forget(&self, rollout: &str) {
        self.lock().remove(rollout);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Rollout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_within_its_bounds() {
        let tails = Tails::default();
        for line in 0..100 {
            tails.add("uid", "a", &format!("line {line}\u{1b}[31m{}", "x".repeat(500)));
        }
        let [tail] = tails.of("uid").try_into().unwrap();
        assert_eq!(tail.lines.len(), TAIL_LINES);
        assert!(tail.lines[TAIL_LINES - 1].starts_with("line 99[31mx"), "{}", tail.lines[TAIL_LINES - 1]);
        assert!(tail.lines.iter().all(|line| line.chars().count() <= TAIL_CHARS));
        for pod in 0..2 * MAX_PODS {
            tails.add("uid", &format!("p{pod}"), "hello");
        }
        let pods = tails.of("uid");
        assert_eq!((pods.len(), pods[0].pod.as_str()), (MAX_PODS, format!("p{MAX_PODS}").as_str()));
        tails.forget("uid");
        assert_eq!(tails.of("uid"), []);
    }
}
