//! `spec.analysis`: how the two pools are compared, and what is done with what is found.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CounterTest, ErrorRate, Gauge, Latency, MemoryGrowth, Metrics, Percent, Preset, RestartRate, Span,
    TargetLabels,
};

/// How the pools are compared.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.preset) != has(self.metrics)").message("name the metrics exactly once: either a preset, such as fastapi-instrumentator, or your own names under metrics"),
    validation = Rule::new("has(self.errorRate) || has(self.latency) || has(self.counters)").message("there is nothing to compare: set errorRate, for example errorRate: {max: 1%, tolerate: 0.2%}, or latency"),
    validation = Rule::new("!has(self.errorRate) || !has(self.metrics) || has(self.metrics.errors)").message("errorRate needs to know what failed: set metrics.errors, for example to the requests with status 5xx"),
    validation = Rule::new("!has(self.latency) || !has(self.metrics) || has(self.metrics.latency)").message("latency needs a histogram: set metrics.latency.histogram"),
)]
pub struct Analysis {
    /// Prometheus profile of the operator's configuration, by name. Never an address: tenants must not aim the operator.
    #[serde(default = "default_profile")]
    #[schemars(length(min = 1, max = 63))]
    pub prometheus: String,
    /// Names of the metrics as a common exporter writes them. `docs/metrics.md` says for each what counts as an error and what is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Your own metric names instead of a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Label names with which your Prometheus marks pod and namespace.
    #[serde(default)]
    pub labels: TargetLabels,
    /// Compare the share of failed requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<ErrorRate>,
    /// Compare the share of slow requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Compare counters of your own: mismatches of a shadow comparison, violated invariants, lost updates. By the same test, under the
    /// same `falseRollback`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self.all(c, self.exists_one(d, d.name == c.name))").message("two counters have the same name: give each one of its own"))]
    pub counters: Vec<CounterTest>,
    /// Compare how often containers restart, for whatever reason: a pool that hangs is killed by its liveness probe and leaves no exit
    /// code that says so. By the same test, under the same `falseRollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<RestartRate>,
    /// Compare how memory grows. The level says nothing: free-threaded CPython keeps what it once needed. A tenth of `falseRollback` is for
    /// this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryGrowth>,
    /// Queries of your own, each with the range in which all is well. They carry no bound on false alarms, and the administrator has to
    /// allow them: `userQueries` of the Prometheus profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self.all(g, self.exists_one(d, d.name == g.name))").message("two gauges have the same name: give each one of its own"))]
    pub gauges: Vec<Gauge>,
    /// Bound on the probability that a healthy pool is rolled back by the comparison, for a whole attempt: all metrics, all looks, all steps.
    #[serde(default = "default_false_rollback")]
    #[x_kube(validation = Rule::new("double(self.replace('%', '')) >= 0.01 && double(self.replace('%', '')) <= 20.0").message("falseRollback must be from 0.01% to 20%"))]
    pub false_rollback: Percent,
    /// How long there may be no data of the free-threaded pool alone while it has traffic. Then `onBlind` applies.
    #[serde(default = "default_blind_for")]
    pub blind_for: Span,
    /// What to do then. `RollBack` (default) or `Hold`. Blind on both pools, or without Prometheus, the operator always holds: an outage of the
    /// monitoring rolls nothing back.
    #[serde(default)]
    pub on_blind: OnBlind,
    /// What to do with a step that waits for evidence and has not been shown to be safe after its `maxHold`: `Pause` (default) until a
    /// person says promote or the evidence suffices after all; `Advance`, as long as nothing speaks against it; or `RollBack`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_inconclusive: OnInconclusive,
    /// Bound on the probability, per step that waits for evidence, that a pool at the edge of what is tolerated is taken for safe. 5% if
    /// nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("double(self.replace('%', '')) >= 0.1 && double(self.replace('%', '')) <= 50.0").message("unsafeAdvance must be from 0.1% to 50%"))]
    pub unsafe_advance: Option<Percent>,
    /// Most tries of one request within one pool, the first one included; 1 if nothing is said. A proxy that retries in the same pool makes
    /// failures come in packs, which looks like more evidence than it is: it is divided by this. Retries that go to the other pool are
    /// harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub attempts: Option<u32>,
}

impl Analysis {
    /// `unsafeAdvance`, or 5 %.
    pub fn unsafe_advance(&self) -> Percent {
        self.unsafe_advance.unwrap_or(Percent::from_ratio(0.05))
    }

    /// `attempts`, or 1.
    pub fn attempts(&self) -> u32 {
        self.attempts.unwrap_or(1).max(1)
    }
}

// What was not there in an earlier release and is not said is not written either: the hash of an old spec stays what it was, and an
// upgrade of the operator begins nothing anew.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_profile() -> String {
    "default".into()
}
fn default_false_rollback() -> Percent {
    Percent::from_ratio(0.01)
}
fn default_blind_for() -> Span {
    Span::from_secs(600)
}

/// Reaction to a step that evidence could not decide in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnInconclusive {
    /// Keep the weight until a person promotes, or the evidence suffices after all.
    #[default]
    Pause,
    /// Go on, as long as the verdict is clear.
    Advance,
    /// Weight 0.
    RollBack,
}

/// Reaction to silence of the metrics of our pool alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnBlind {
    /// Weight 0.
    #[default]
    RollBack,
    /// Keep the weight; never raise it.
    Hold,
}
