//! When to leave a Prometheus alone for a moment. Pure: `now` is an argument.
//!
//! Two kinds of gate: one for the whole profile, for failures that are Prometheus' own; and one per rollout and metric, so that one
//! rollout's expensive or broken query blinds nobody else.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::QueryProblem;

const FIRST_PAUSE_MS: u64 = 500;
const LONGEST_PAUSE_MS: u64 = 10_000;
/// How long a single rollout may try a silent profile alone before the next one may.
const PROBE_MS: u64 = 6_000;
const MAX_GATES: usize = 20_000;

/// One query's owner: rollout and metric.
pub(super) type Owner = (String, String);

/// The gates of one profile.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    profile: Gate,
    /// Rollout that may try while everybody else waits.
    probing: Option<String>,
    owners: BTreeMap<Owner, Gate>,
    /// Rollout whose query failed in a way that may be its own fault, since the last success.
    suspect: Option<String>,
}

#[derive(Debug, Default)]
struct Gate {
    failures: u32,
    until: u64,
    problem: Option<QueryProblem>,
}

impl Gate {
    fn closed(&self, now: u64) -> Option<&QueryProblem> {
        self.problem.as_ref().filter(|_| now < self.until)
    }

    fn fail(&mut self, problem: &QueryProblem, now: u64, seed: &impl Hash) {
        // Queries that were under way together count as one failure.
        if now >= self.until || self.problem.is_none() {
            self.failures = self.failures.saturating_add(1);
            self.until = now.saturating_add(pause(self.failures, seed));
        }
        self.problem = Some(problem.clone());
    }
}

/// Doubles from 500 ms to 10 s, and a quarter less or more, so that many operators do not return at the same moment.
fn pause(failures: u32, seed: &impl Hash) -> u64 {
    let base = FIRST_PAUSE_MS.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE_MS);
    let mut hasher = DefaultHasher::new();
    (seed, failures).hash(&mut hasher);
    (base * 3 / 4 + hasher.finish() % (base / 2)).min(LONGEST_PAUSE_MS)
}

/// Whose failure it is.
enum Blame {
    Profile,
    Suspect,
    Owner,
}

fn blame(problem: &QueryProblem) -> Blame {
    match problem {
        QueryProblem::Unreachable { .. } | QueryProblem::Configuration { .. } => Blame::Profile,
        QueryProblem::Status { code: 300..=399 | 401 | 403 | 404 | 407 | 429 | 502 | 504, .. } => {
            Blame::Profile
        }
        QueryProblem::Timeout { .. } | QueryProblem::Status { code: 500.., .. } => Blame::Suspect,
        _ => Blame::Owner,
    }
}

impl Circuit {
    /// Whether a query may be sent now; else the problem that stands in its way.
    pub(super) fn check(&mut self, owner: &Owner, now: u64) -> Result<(), QueryProblem> {
        if let Some(problem) = self.owners.get(owner).and_then(|gate| gate.closed(now)) {
            return Err(problem.clone());
        }
        let Some(problem) = &self.profile.problem else { return Ok(()) };
        if now >= self.profile.until {
            // One rollout finds out; the others keep waiting.
            self.probing = Some(owner.0.clone());
            self.profile.until = now.saturating_add(PROBE_MS);
            return Ok(());
        }
        if self.probing.as_deref() == Some(owner.0.as_str()) { Ok(()) } else { Err(problem.clone()) }
    }

    /// What became of a query.
    pub(super) fn report(&mut self, owner: &Owner, problem: Option<&QueryProblem>, now: u64) {
        let Some(problem) = problem else {
            self.profile = Gate::default();
            self.probing = None;
            self.suspect = None;
            self.owners.remove(owner);
            return;
        };
        let everybody = match blame(problem) {
            Blame::Profile => true,
            Blame::Owner => false,
            Blame::Suspect => {
                let another = self.suspect.as_ref().is_some_and(|suspect| *suspect != owner.0);
                self.suspect.get_or_insert_with(|| owner.0.clone());
                another || self.profile.problem.is_some()
            }
        };
        if everybody {
            if self.probing.take().is_some() {
                self.profile.until = now;
            }
            self.profile.fail(problem, now, owner);
        } else {
            if self.owners.len() >= MAX_GATES && !self.owners.contains_key(owner) {
                self.owners.retain(|_, gate| now < gate.until);
            }
            if self.owners.len() < MAX_GATES || self.owners.contains_key(owner) {
                self.owners.entry(owner.clone()).or_default().fail(problem, now, owner);
            }
        }
    }

    /// Forgets a rollout.
    pub(super) fn forget(&mut self, rollout: &str) {
        self.owners.retain(|(owner, _), _| owner != rollout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(rollout: &str) -> Owner {
        (rollout.into(), "m".into())
    }
    fn refused() -> QueryProblem {
        QueryProblem::Unreachable { profile: "p".into(), query: "q".into(), why: "refused".into() }
    }
    fn slow() -> QueryProblem {
        QueryProblem::Timeout { profile: "p".into(), query: "q".into(), within: 5000 }
    }

    #[test]
    fn an_outage_is_answered_at_once_and_tried_by_one() {
        let mut circuit = Circuit::default();
        assert!(circuit.check(&owner("a"), 0).is_ok());
        circuit.report(&owner("a"), Some(&refused()), 10);
        assert_eq!(circuit.check(&owner("b"), 100), Err(refused()));
        assert!(circuit.check(&owner("b"), 1000).is_ok(), "b may find out");
        assert!(circuit.check(&owner("b"), 1000).is_ok(), "with all of its queries");
        assert_eq!(circuit.check(&owner("a"), 1000), Err(refused()), "while a waits");
        circuit.report(&owner("b"), None, 1001);
        assert!(circuit.check(&owner("a"), 1002).is_ok());
    }

    #[test]
    fn pauses_grow_to_ten_seconds_and_failures_in_flight_count_once() {
        let mut circuit = Circuit::default();
        let (mut now, mut last) = (0, 0);
        for round in 0..12 {
            assert!(circuit.check(&owner("a"), now).is_ok());
            for _ in 0..3 {
                circuit.report(&owner("a"), Some(&refused()), now);
            }
            let pause = circuit.profile.until - now;
            assert!((375..=LONGEST_PAUSE_MS).contains(&pause), "{round}: {pause}");
            assert!(round != 0 || pause <= 625, "{pause}");
            last = pause;
            now = circuit.profile.until;
        }
        assert!(last >= 7500, "{last}");
    }

    #[test]
    fn one_rollouts_timeouts_blind_nobody_else_but_two_rollouts_timeouts_do() {
        let mut circuit = Circuit::default();
        circuit.report(&owner("a"), Some(&slow()), 0);
        circuit.report(&owner("a"), Some(&slow()), 1);
        assert_eq!(circuit.check(&owner("a"), 10), Err(slow()));
        assert!(circuit.check(&owner("b"), 10).is_ok());
        circuit.report(&owner("b"), Some(&slow()), 20);
        assert_eq!(circuit.check(&owner("c"), 30), Err(slow()));
    }

    #[test]
    fn a_bad_query_is_its_owners_alone() {
        let mut circuit = Circuit::default();
        let bad = QueryProblem::Status {
            profile: "p".into(),
            query: "q".into(),
            code: 400,
            body: "parse error".into(),
        };
        circuit.report(&owner("a"), Some(&bad), 0);
        circuit.report(&owner("b"), Some(&bad), 0);
        assert_eq!(circuit.check(&owner("a"), 1), Err(bad));
        assert!(circuit.check(&owner("c"), 1).is_ok());
        circuit.forget("a");
        assert!(circuit.check(&owner("a"), 1).is_ok());
    }
}
