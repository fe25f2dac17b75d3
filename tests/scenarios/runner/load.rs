//! The load generator's counts, read through the API server.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Result,
    cluster::Cluster,
    context,
    vocabulary::{ExpectedCounts, Pool, Since},
};

/// Name of the pod.
pub(crate) const POD: &str = "load";
/// Time between two looks at the counts.
pub(crate) const PERIOD: Duration = Duration::from_millis(200);
const PORT: u16 = 9000;

/// The load generator of one namespace.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
}

/// What it counted. See `tests/load`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counts {
    pub(crate) total: Tally,
    pub(crate) window: Tally,
}

/// One window.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Tally {
    pub(crate) unsent: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) kept: u64,
    pub(crate) joined: u64,
    pub(crate) left: u64,
    pub(crate) pools: BTreeMap<String, PoolTally>,
}

/// One pool of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PoolTally {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// When it first failed, and when it last answered, in milliseconds since the epoch.
    pub(crate) first_bad_unix_ms: Option<i64>,
    pub(crate) last_unix_ms: Option<i64>,
    outcomes: BTreeMap<String, ByConnection>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct ByConnection {
    new: u64,
    kept: u64,
}

impl Load {
    pub(crate) async fn counts(&self) -> Result<Counts> {
        let text = self.cluster.to_pod(&self.namespace, POD, PORT, "/counts", None).await?;
        serde_json::from_str(&text).map_err(context("the load generator's counts"))
    }
    /// Starts a new window.
    pub(crate) async fn mark(&self, name: &str) -> Result<()> {
        self.cluster.to_pod(&self.namespace, POD, PORT, "/mark", Some(&json!({"name": name}))).await.map(drop)
    }
    /// The last requests that failed, one by one.
    pub(crate) async fn bad(&self) -> Result<Vec<Value>> {
        let text = self.cluster.to_pod(&self.namespace, POD, PORT, "/bad?n=100", None).await?;
        serde_json::from_str(&text).map_err(context("the load generator's failures"))
    }
    pub(crate) async fn headers(&self, headers: &BTreeMap<String, String>) -> Result<()> {
        let body = json!(headers);
        self.cluster.to_pod(&self.namespace, POD, PORT, "/headers", Some(&body)).await.map(drop)
    }
    pub(crate) async fn rate(&self, rps: f64) -> Result<()> {
        self.cluster.to_pod(&self.namespace, POD, PORT, "/rate", Some(&json!({"rps": rps}))).await.map(drop)
    }
}

impl Counts {
    pub(crate) fn since(&self, since: Since) -> &Tally {
        match since {
            Since::Start => &self.total,
            Since::Mark => &self.window,
        }
    }
}

impl Tally {
    pub(crate) fn pool(&self, pool: Pool) -> PoolTally {
        self.pools.get(pool.word()).cloned().unwrap_or_default()
    }

    /// In words, for people.
    pub(crate) fn describe(&self) -> String {
        let mut parts = vec![format!("{} of {} requests failed", self.failed, self.answered)];
        for (name, pool) in &self.pools {
            if pool.answered > 0 {
                parts.push(format!("{name} {}{}", pool.answered, pool.describe_failures()));
            }
        }
        if self.joined + self.left > 0 {
            parts.push(format!("{} times a user joined and {} times one left", self.joined, self.left));
        }
        if self.unsent > 0 {
            parts.push(format!("{} could not be sent", self.unsent));
        }
        parts.join(", ")
    }
}

impl PoolTally {
    /// Answers over new and over persistent connections.
    pub(crate) fn by_connection(&self) -> (u64, u64) {
        self.outcomes.values().fold((0, 0), |(new, kept), by| (new + by.new, kept + by.kept))
    }

    fn describe_failures(&self) -> String {
        let failures: Vec<String> = self
            .outcomes
            .iter()
            .filter(|(outcome, by)| *outcome != "ok" && by.new + by.kept > 0)
            .map(|(outcome, by)| format!("{outcome} {}", by.new + by.kept))
            .collect();
        if failures.is_empty() { String::new() } else { format!(" ({})", failures.join(", ")) }
    }
}

/// What is to be said about counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// As expected.
    Met(String),
    /// Not enough yet.
    NotYet(String),
    /// Too much of something: waiting does not help.
    Broken(String),
}

impl ExpectedCounts {
    pub(crate) fn check(&self, counts: &Counts) -> Checked {
        let tally = counts.since(self.since);
        let (who, answered, failed, kept) = match self.pool {
            Some(pool) => {
                let tally = tally.pool(pool);
                (pool.word(), tally.answered, tally.failed, tally.by_connection().1)
            }
            // What could not be sent has failed the people who wanted to send it.
            None => ("all", tally.answered, tally.failed + tally.unsent, tally.kept),
        };
        let seen = format!("{failed} failed of {answered} ({who}); {}", tally.describe());
        let too_many = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value > limit);
        if too_many(self.failed.or(self.failed_at_most), failed)
            || too_many(self.at_most, answered)
            || too_many(self.left, tally.left)
        {
            return Checked::Broken(seen);
        }
        let too_few = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value < limit);
        if too_few(self.at_least, answered)
            || too_few(self.failed.or(self.failed_at_least), failed)
            || too_few(self.joined_at_least, tally.joined)
            || too_few(self.left, tally.left)
        {
            return Checked::NotYet(seen);
        }
        let share = kept as f64 / answered.max(1) as f64;
        if self.kept_share.is_some_and(|wanted| (share - wanted).abs() > 0.02) {
            return Checked::NotYet(format!("{:.1} % over persistent connections; {seen}", share * 100.0));
        }
        let of = self.pool.map(|pool| format!(" of the {} pool", pool.word())).unwrap_or_default();
        let kept = if self.kept_share.is_some() {
            format!(", {:.0} % over persistent connections", share * 100.0)
        } else {
            String::new()
        };
        let moved = if self.joined_at_least.or(self.left).is_some() {
            format!(", users joined {} times and left {} times", tally.joined, tally.left)
        } else {
            String::new()
        };
        Checked::Met(format!("{failed} of {answered} requests{of} failed{kept}{moved}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(answered: u64, failed: u64, kept: u64) -> Counts {
        let tally = Tally { answered, failed, kept, ..Tally::default() };
        Counts { total: tally.clone(), window: tally }
    }

    #[test]
    fn too_few_is_not_yet_and_too_many_failures_are_final() {
        let expected = ExpectedCounts {
            at_least: Some(100),
            failed: Some(0),
            kept_share: Some(0.5),
            ..ExpectedCounts::default()
        };
        assert!(matches!(expected.check(&counts(99, 0, 50)), Checked::NotYet(_)));
        assert!(matches!(expected.check(&counts(99, 1, 50)), Checked::Broken(_)));
        assert!(matches!(expected.check(&counts(100, 0, 40)), Checked::NotYet(_)));
        assert_eq!(
            expected.check(&counts(100, 0, 50)),
            Checked::Met("0 of 100 requests failed, 50 % over persistent connections".into())
        );
    }

    #[test]
    fn what_could_not_be_sent_failed() {
        let expected = ExpectedCounts { failed: Some(0), ..ExpectedCounts::default() };
        let mut counts = counts(100, 0, 50);
        counts.total.unsent = 3;
        assert!(matches!(expected.check(&counts), Checked::Broken(_)));
    }
}
