//! `FreeThreadRollout.spec`: what a platform team writes.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::EnvVar,
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FreeThreadRolloutStatus, Percent, Span};

/// Moves one workload to free-threaded CPython: a dedicated pool beside the standard one, traffic in steps, a
/// continuous comparison of the two, and the way back by itself.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "freethreading.dev",
    version = "v1alpha1",
    kind = "FreeThreadRollout",
    plural = "freethreadrollouts",
    singular = "freethreadrollout",
    shortname = "ftr",
    namespaced,
    status = "FreeThreadRolloutStatus",
    derive = "PartialEq",
    doc = "Moves one workload to free-threaded CPython: a dedicated pool beside the standard one, traffic in steps, a continuous comparison of the two, and the way back by itself.",
    validation = Rule::new("self.metadata.name.size() <= 52").message("the rollout's name may have at most 52 characters: the pool's name is made of it"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.stepLabel", description = "Current step of all steps"),
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".status.weight.wanted", description = "Share of traffic that the step wants on the free-threaded pool, in percent"),
    printcolumn(name = "Observed", type_ = "string", json_path = ".status.weight.observed", description = "Share of requests that the free-threaded pool answered"),
    printcolumn(name = "Standard", type_ = "string", json_path = ".status.standard.readyLabel", description = "Ready pods of the standard pool"),
    printcolumn(name = "Free-threaded", type_ = "string", json_path = ".status.freeThreaded.readyLabel", description = "Ready pods of the free-threaded pool"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.traffic.podCount) || self.steps.all(s, s.weight < 100)")
        .message("pod counts cannot reach 100 %: the standard pool stays whole. End with a step under 100 (a hybrid), such as 50")
        .field_path(".steps"),
)]
pub struct FreeThreadRolloutSpec {
    /// The workload as it runs today: the standard pool. It is only read, never changed. Immutable: create another
    /// rollout for another workload.
    #[x_kube(validation = Rule::new("self == oldSelf").message("workloadRef is immutable: delete this rollout (traffic goes back first) and create another"))]
    pub workload_ref: WorkloadRef,

    /// `Active` (default) moves traffic. `Observe` does everything else (it builds the pool, at 0, judges what there is,
    /// says what it would have done) and moves none. Changing it to `Observe` gives all traffic back.
    #[serde(default)]
    pub mode: Mode,

    /// The free-threaded pool: the standard pool's pod template with these changes. A change while traffic flows
    /// gives the traffic back, rebuilds the pool and starts the steps again.
    pub free_threaded: FreeThreaded,

    /// How traffic is shifted: exactly one router. Immutable.
    pub traffic: Traffic,

    /// The way up, in order. Weights may not fall. An edit in mid-rollout keeps the current position: the step with the same index
    /// applies with its new weight; a weight that falls takes effect at once, one that rises waits for fresh evidence as ever.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.map(s, s.weight).isSorted()").message("the weights of the steps must rise: order them from the smallest to the largest"))]
    pub steps: Vec<Step>,

    /// How the two pools are compared. An edit in mid-rollout starts a new attempt's evidence at the current step; it never raises traffic.
    pub analysis: Analysis,

    /// Longest time that the pool may take to become ready for a step's share. Then the rollout is rolled back with the pod's own reason.
    #[serde(default = "default_progress_deadline")]
    pub progress_deadline: Span,

    /// What a real change of the standard pool's template does (a new image, say; annotations alone, as `kubectl rollout restart` makes,
    /// are none). `Restart`: give traffic back, rebuild the free-threaded pool from it, start the steps again. `Hold`: keep pool and
    /// weight as they are, raise nothing, and wait for a person to retry.
    #[serde(default)]
    pub on_standard_change: OnStandardChange,

    /// Kill switch: weight 0 now, for as long as it is true. Setting it back starts the steps again; the evidence of the attempt is kept.
    #[serde(default)]
    pub suspend: bool,
}

fn default_progress_deadline() -> Span {
    Span::from_secs(600)
}

/// Reference to the standard pool's workload, in the same namespace.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadRef {
    /// `apps/v1`.
    #[serde(default = "apps_v1")]
    #[x_kube(validation = Rule::new("self == 'apps/v1'").message("only apps/v1 Deployments can be rolled out so far: write apiVersion: apps/v1"))]
    pub api_version: String,
    /// `Deployment`.
    #[serde(default = "deployment")]
    #[x_kube(validation = Rule::new("self == 'Deployment'").message("only Deployments can be rolled out so far: write kind: Deployment"))]
    pub kind: String,
    /// The Deployment's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn apps_v1() -> String {
    "apps/v1".into()
}
fn deployment() -> String {
    "Deployment".into()
}

/// Whether traffic is moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Move traffic.
    #[default]
    Active,
    /// Do everything but move traffic, and say what would have been done.
    Observe,
}

/// Reaction to a changed standard template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnStandardChange {
    /// Give traffic back, rebuild, start again.
    #[default]
    Restart,
    /// Keep everything as it is until a person retries.
    Hold,
}

/// What makes the free-threaded pool different from the standard one.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreeThreaded {
    /// Image with a free-threaded interpreter. `{tag}` stands for the tag of the standard pool's image, so that the pool follows
    /// its version: `registry.example/app:{tag}-py3.14t`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("!self.contains(' ')").message("image may not contain spaces: write registry/name:tag or registry/name@sha256:..."))]
    pub image: String,
    /// The container that runs Python. Needed only when the pod has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// Environment variables of that container, added to or replacing the standard pool's. The operator itself never sets `PYTHON_GIL`:
    /// forcing the GIL off hides which dependency needs it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
    /// Resources of that container instead of the standard pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Command that starts the interpreter in the image. An init container runs it to check that the build is free-threaded before the
    /// pod may become ready: an image that is none never gets traffic.
    #[serde(default = "default_python")]
    #[schemars(length(min = 1, max = 256))]
    pub python: String,
    /// Most pods that the free-threaded pool may have.
    #[serde(default = "default_max_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Strategic merge patch of the pod template, for everything else. It may not change the service account, host namespaces or paths,
    /// nor weaken a security context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub patch: Option<Value>,
    /// Time after a pod became ready in which it counts as young: caches are cold, so the comparison leaves it out (not the
    /// objective on errors, nor crashes), and the weight does not rise.
    #[serde(default = "default_warm_up")]
    pub warm_up: Span,
}

fn default_python() -> String {
    "python3".into()
}
fn default_max_replicas() -> i32 {
    50
}
fn default_warm_up() -> Span {
    Span::from_secs(120)
}
fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Requests and limits, by resource name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// What the pod is guaranteed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What the pod may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, IntOrString>,
}

impl Resources {
    /// One side (`requests` or `limits`) as Kubernetes' quantities.
    pub fn quantities(side: &BTreeMap<String, IntOrString>) -> BTreeMap<String, Quantity> {
        let text = |value: &IntOrString| match value {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        side.iter().map(|(name, value)| (name.clone(), Quantity(text(value)))).collect()
    }
}

/// The router. Exactly one field is set.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.podCount)").message("name exactly one router: write traffic: {podCount: {}}"),
    validation = Rule::new("has(self.podCount) == has(oldSelf.podCount)").message("the router is immutable: delete this rollout (traffic goes back first) and create another"),
)]
pub struct Traffic {
    /// By the number of ready pods behind the team's Service: needs nothing else, in steps of one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_count: Option<PodCount>,
}

/// Traffic by pod counts: the share is ready free-threaded pods over all ready pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodCount {
    /// Consent to a share of more than twice the wanted one, where one pod is already more (5 % wanted with 3 standard pods is 25 %).
    /// Without it the rollout pauses there and says so.
    #[serde(default)]
    pub allow_overshoot: bool,
}

/// One step of the way up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Share of traffic for the free-threaded pool, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// How long the weight must be observed, with evidence and without a finding, before the next step. On the last step: before the
    /// rollout counts as settled.
    #[serde(default = "default_hold")]
    pub hold: Span,
    /// Wait at this step until a person says `kubectl freethread promote`.
    #[serde(default)]
    pub pause: bool,
}

fn default_hold() -> Span {
    Span::from_secs(600)
}

/// How the pools are compared.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.preset) != has(self.metrics)").message("name the metrics exactly once: either a preset, such as fastapi-instrumentator, or your own names under metrics"),
    validation = Rule::new("has(self.errorRate) || has(self.latency)").message("there is nothing to compare: set errorRate, for example errorRate: {max: 1%, tolerate: 0.2%}, or latency"),
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

/// Reaction to silence of the metrics of our pool alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnBlind {
    /// Weight 0.
    #[default]
    RollBack,
    /// Keep the weight; never raise it.
    Hold,
}

/// Exporters whose metric names are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// prometheus-fastapi-instrumentator: `http_requests_total`, `http_request_duration_seconds`.
    FastapiInstrumentator,
    /// `starlette_exporter`: `starlette_requests_total`, `starlette_request_duration_seconds`.
    StarletteExporter,
    /// prometheus-flask-exporter: `flask_http_request_duration_seconds`, whose count has the path that the counter lacks.
    FlaskExporter,
    /// django-prometheus: `django_http_responses_total_by_status_view_method_total`, `django_http_requests_latency_seconds_by_view_method`.
    DjangoPrometheus,
    /// granian's own metrics: `granian_requests_handled`, `granian_connections_err`. An application's own 500 is not among them, and
    /// there are no durations.
    Granian,
    /// dramatiq's middleware: `dramatiq_messages_total`, `dramatiq_message_errors_total`, `dramatiq_message_duration_milliseconds`.
    Dramatiq,
}

/// The user's own metric names.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metrics {
    /// Counter of requests, failed ones included.
    pub requests: Counter,
    /// Counter of failed requests: with the same name as `requests`, its series are the ones among them that also match; with another name, a counter of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Counter>,
    /// Histogram of durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Histogram>,
}

/// A counter by name, and which of its series count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counter {
    /// Metric name, such as `http_requests_total`.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub name: String,
    /// Label matchers that all have to hold. Namespace and pod are always added by the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matchers: Vec<Matcher>,
}

/// A classic histogram by its base name (without `_bucket`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Histogram {
    /// Base name, such as `http_request_duration_seconds`.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub histogram: String,
    /// Unit of its buckets.
    #[serde(default)]
    pub unit: DurationUnit,
    /// Label matchers that all have to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matchers: Vec<Matcher>,
}

/// Unit of a histogram's buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DurationUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// One condition on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matcher {
    /// Label name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub label: String,
    /// How the value is compared.
    #[serde(default)]
    pub operator: MatchOperator,
    /// The value, or a regular expression (RE2, anchored on both ends).
    #[schemars(length(max = 512))]
    pub value: String,
}

/// PromQL's four comparisons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MatchOperator {
    /// `=`
    #[default]
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

/// Label names of the user's Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TargetLabels {
    /// Label with the pod's name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub pod: String,
    /// Label with the namespace. Its matcher is always the rollout's namespace.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub namespace: String,
}

impl Default for TargetLabels {
    fn default() -> Self {
        Self { pod: "pod".into(), namespace: "namespace".into() }
    }
}

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

fn default_tolerate() -> Percent {
    Percent::from_ratio(0.001)
}
