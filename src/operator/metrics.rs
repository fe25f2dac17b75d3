//! The operator's own metrics. Labels are bounded: words of the API, and the names of at most [`NAMED_ROLLOUTS`] rollouts.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use kube::{ResourceExt, runtime::reflector::Store};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{
    api::{FreeThreadRollout, Phase, Reason},
    decide::{Decision, Movement},
    flag::FlagMetrics,
    judge::Blind,
};

/// Most rollouts that have series of their own; those beyond are only counted by phase.
pub const NAMED_ROLLOUTS: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

/// All metrics of the operator.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    rollbacks: Family<ReasonLabel, Counter>,
    findings: Family<KindLabel, Counter>,
    errors: Family<KindLabel, Counter>,
    query_failures: Family<KindLabel, Counter>,
    reconcile: Histogram,
    rollback: Histogram,
    weight_writes: Family<KindLabel, Counter>,
    /// Of the flags that this replica serves.
    pub(super) flags: FlagMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = || Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0]);
        let mut registry = Registry::with_prefix("freethread");
        let metrics = Self {
            rollbacks: Family::default(),
            findings: Family::default(),
            errors: Family::default(),
            query_failures: Family::default(),
            reconcile: buckets(),
            rollback: buckets(),
            weight_writes: Family::default(),
            flags: FlagMetrics::default(),
            registry: Arc::default(),
        };
        registry.register(
            "rollbacks",
            "Rollouts that gave their traffic back, by reason",
            metrics.rollbacks.clone(),
        );
        registry.register("findings", "Passes by what the judge found", metrics.findings.clone());
        registry.register(
            "reconcile_errors",
            "Passes that failed, by kind of failure",
            metrics.errors.clone(),
        );
        registry.register(
            "query_failures",
            "Prometheus queries that failed, by kind",
            metrics.query_failures.clone(),
        );
        registry.register("reconcile_seconds", "Duration of a pass", metrics.reconcile.clone());
        registry.register(
            "rollback_seconds",
            "From the finding to weight 0 read back",
            metrics.rollback.clone(),
        );
        registry.register("weight_writes", "Writes of a weight, by direction", metrics.weight_writes.clone());
        metrics.flags.register(&mut registry);
        Self { registry: Arc::new(registry), ..metrics }
    }
}

impl Metrics {
    /// A pass decided and was carried out.
    pub fn decided(&self, before: Phase, decision: &Decision, found: &str, took: Duration) {
        self.reconcile.observe(took.as_secs_f64());
        self.findings.get_or_create(&KindLabel { kind: found.to_owned() }).inc();
        let movement = decision.target.movement;
        if movement != Movement::Stay {
            self.weight_writes.get_or_create(&KindLabel { kind: format!("{movement:?}") }).inc();
        }
        if decision.status.phase == Phase::RolledBack && before != Phase::RolledBack {
            let reason: Reason = decision.status.reason;
            self.rollbacks.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
            if movement == Movement::Fall {
                self.rollback.observe(took.as_secs_f64());
            }
        }
    }

    /// A pass failed.
    pub fn failed(&self, kind: &str) {
        self.errors.get_or_create(&KindLabel { kind: kind.to_owned() }).inc();
    }

    /// A Prometheus query failed.
    pub fn query_failed(&self, kind: &str) {
        self.query_failures.get_or_create(&KindLabel { kind: kind.to_owned() }).inc();
    }

    /// The exposition: counters, and gauges computed now from the cache of rollouts.
    pub fn render(&self, rollouts: &Store<FreeThreadRollout>) -> String {
        let mut text = String::new();
        let all = rollouts.state();
        gauges(&mut text, &all);
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn gauges(text: &mut String, all: &[Arc<FreeThreadRollout>]) {
    let status = |r: &Arc<FreeThreadRollout>| r.status.clone().unwrap_or_default();
    let _ = writeln!(text, "# HELP freethread_rollouts Rollouts by phase\n# TYPE freethread_rollouts gauge");
    for phase in Phase::ALL {
        let count = all.iter().filter(|r| status(r).phase == phase).count();
        let _ = writeln!(text, "freethread_rollouts{{phase=\"{phase:?}\"}} {count}");
    }
    let blind = all.iter().filter(|r| status(r).attempt.is_some_and(|a| a.blind_since.is_some())).count();
    let _ = writeln!(
        text,
        "# HELP freethread_rollouts_blind Rollouts with traffic and no data of their pool\n# TYPE freethread_rollouts_blind gauge\nfreethread_rollouts_blind {blind}"
    );
    let _ = writeln!(
        text,
        "# HELP freethread_rollout_weight_percent Share of traffic on the free-threaded pool\n# TYPE freethread_rollout_weight_percent gauge"
    );
    for rollout in all.iter().take(NAMED_ROLLOUTS) {
        let weight = status(rollout).weight;
        // Names of Kubernetes objects hold nothing that would need escaping here.
        let labels = format!(
            "namespace=\"{}\",rollout=\"{}\"",
            rollout.namespace().unwrap_or_default(),
            rollout.name_any()
        );
        let _ =
            writeln!(text, "freethread_rollout_weight_percent{{{labels},kind=\"wanted\"}} {}", weight.wanted);
        for (kind, share) in [("serving", weight.serving), ("observed", weight.observed)] {
            if let Some(share) = share {
                let _ = writeln!(
                    text,
                    "freethread_rollout_weight_percent{{{labels},kind=\"{kind}\"}} {}",
                    share.percent()
                );
            }
        }
    }
}

/// The finding's name for metrics when the pool is blind.
pub(super) fn found(finding: &crate::judge::Finding) -> String {
    match finding.blind {
        Blind::No => format!("{:?}", finding.kind),
        blind => format!("Blind{blind:?}"),
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;

    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let (rollouts, _writer) = reflector::store();
        let metrics = Metrics::default();
        // Those with labels are exported once they have counted something.
        let _ = metrics.rollbacks.get_or_create(&ReasonLabel { reason: String::new() });
        for of_kind in [&metrics.findings, &metrics.errors, &metrics.query_failures, &metrics.weight_writes] {
            let _ = of_kind.get_or_create(&KindLabel { kind: String::new() });
        }
        metrics.flags.touch();
        let text = metrics.render(&rollouts);
        let documented = include_str!("../../docs/metrics.md");
        let mut all = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            assert!(documented.contains(&format!("`{name}`")), "{name} is not in docs/metrics.md");
            all += 1;
        }
        assert!(all >= 14, "{all} metrics:\n{text}");
    }
}
