//! What is compared, and the bounds that it is held to.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Counter, Percent, Span};

/// Bounds on the share of failed requests.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorRate {
    /// The objective: the free-threaded pool may not fail more than this, whatever the standard pool does.
    #[x_kube(validation = Rule::new("double(self.replace('%', '')) > 0.0 && double(self.replace('%', '')) <= 50.0").message("max must be over 0% and at most 50%: it is the share of failures that your objective allows, such as 1%"))]
    pub max: Percent,
    /// How much worse than the standard pool it may be.
    #[serde(default = "default_tolerate")]
    pub tolerate: Percent,
}

/// Bounds on the share of slow requests.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// A request that takes longer is slow. Between two buckets of the histogram the next one above is used, and status says so.
    pub threshold: Span,
    /// The objective on the share of slow requests.
    #[x_kube(validation = Rule::new("double(self.replace('%', '')) > 0.0 && double(self.replace('%', '')) <= 50.0").message("max must be over 0% and at most 50%: it is the share of slow requests that your objective allows, such as 1%"))]
    pub max: Percent,
    /// How much worse than the standard pool it may be.
    #[serde(default = "default_tolerate")]
    pub tolerate: Percent,
}

/// A counter of the user's own.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CounterTest {
    /// What sentences call it, such as `mismatches`.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z]([a-z0-9 -]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("!(self in ['errors', 'latency', 'restarts', 'memory'])").message("this name is taken by a comparison of the operator's own: choose another, such as mismatches"))]
    pub name: String,
    /// Counts what must not happen. It has to be exported at 0 before its first increase: a counter that nobody has ever seen is no good
    /// news.
    pub bad: Counter,
    /// Counts the tries, each of which can go wrong once, such as the answers that a shadow compared. The requests if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Counter>,
    /// The objective on the share of bad ones. None if nothing is said: then it is only compared with the standard pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("double(self.replace('%', '')) > 0.0 && double(self.replace('%', '')) <= 50.0").message("max must be over 0% and at most 50%: it is the share of bad ones that your objective allows, such as 0.1%"))]
    pub max: Option<Percent>,
    /// How much worse than the standard pool it may be; 0.1% if nothing is said.
    #[serde(default = "default_tolerate")]
    pub tolerate: Percent,
}

/// Bounds on restarts of containers.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestartRate {
    /// How many restarts more than the standard pool are tolerated, per pod and day.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub tolerate_per_day: i32,
}

/// Bounds on the growth of memory.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemoryGrowth {
    /// How much more than the standard pool's pods one of ours may grow in an hour.
    #[serde(default = "default_per_hour")]
    pub per_hour: ByteSize,
    /// Gauge of bytes, `process_resident_memory_bytes` if nothing is said. In the multiprocess mode of `prometheus_client` there is none:
    /// name one that is measured from outside, such as `container_memory_working_set_bytes` with a matcher on your container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Counter>,
    /// Intervals of this length are compared, by the median of each. At least four scrapes.
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("self.contains('d') || (duration(self) >= duration('4s') && duration(self) <= duration('1h'))").message("interval must be from 4s to 1h, such as 2m"))]
    pub interval: Span,
    /// What is left out after a pod became ready and after a change of the weight: caches fill, and heaps find their size.
    #[serde(default = "default_settle")]
    pub settle: Span,
}

fn default_per_hour() -> ByteSize {
    ByteSize::from_mib(20)
}
fn default_interval() -> Span {
    Span::from_secs(120)
}
fn default_settle() -> Span {
    Span::from_secs(1800)
}

/// A `PromQL` query of the user's own and the range in which all is well. It carries no bound on false alarms.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.min) || has(self.max)").message("a gauge needs a range: set max, min, or both"))]
pub struct Gauge {
    /// What sentences call it, such as `queue age`.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z]([a-z0-9 -]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("!(self in ['errors', 'latency', 'restarts', 'memory'])").message("this name is taken by a comparison of the operator's own: choose another, such as queue age"))]
    pub name: String,
    /// `PromQL` whose answer is one number, such as `max(app_queue_oldest_seconds{$pods})`. `$pods` becomes matchers on namespace and pods
    /// of the free-threaded pool, `$standardPods` those of the standard pool.
    #[schemars(length(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self.contains('$pods')").message("the query has to look at the free-threaded pool: write for example max(app_queue_oldest_seconds{$pods})"))]
    pub query: String,
    /// Smallest value that is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value that is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// How long it may be outside; 1m if nothing is said. Then the traffic goes back.
    #[serde(default = "default_lasting", rename = "for")]
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('5s') && duration(self) <= duration('1h')").message("for must be from 5s to 1h, such as 1m"))]
    pub lasting: Span,
}

fn default_lasting() -> Span {
    Span::from_secs(60)
}

fn default_tolerate() -> Percent {
    Percent::from_ratio(0.001)
}
