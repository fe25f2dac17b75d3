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

use super::{
    Analysis, Benefit, FreeThreadRolloutStatus, HandOver, PoolReplicas, Preflight, Span, Step, Traffic,
};

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
    validation = Rule::new("!has(self.traffic.podCount) || !has(self.freeThreaded.replicas)")
        .message("by pod counts the weight decides how many pods there are: leave freeThreaded.replicas out, or choose another router under traffic")
        .field_path(".freeThreaded"),
    validation = Rule::new("!has(self.benefit) || self.steps.all(s, s.weight < 100)")
        .message("benefit compares the two pools at the last step, and at 100 the standard pool has no work: end with a step under 100, such as 90")
        .field_path(".steps"),
    validation = Rule::new("!has(self.handOver) || self.steps.exists(s, s.weight == 100)")
        .message("handOver is for what comes after 100 %: end with a step of weight 100, or leave handOver out")
        .field_path(".handOver"),
)]
#[schemars(transform = super::schema::no_defaults_in_lists)]
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

    /// What is tried in the free-threaded image before any traffic. Nothing is tried if nothing is said, beyond the pool's own check that the
    /// build is free-threaded. An edit counts from the next time that traffic starts at 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<Preflight>,

    /// How traffic is shifted: exactly one router. Immutable.
    pub traffic: Traffic,

    /// The way up, in order. Weights may not fall. An edit in mid-rollout keeps the current position: the step with the same index
    /// applies with its new weight; a weight that falls takes effect at once, one that rises waits for fresh evidence as ever.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.map(s, s.weight).isSorted()").message("the weights of the steps must rise: order them from the smallest to the largest"))]
    pub steps: Vec<Step>,

    /// How the two pools are compared. An edit in mid-rollout starts a new attempt's evidence at the current step; it never raises traffic.
    pub analysis: Analysis,

    /// Is it worth it? Throughput per core of the two pools, measured at the last step, and what to do if it is less than you want.
    /// Nothing is measured if nothing is said. An edit begins no new attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benefit: Option<Benefit>,

    /// What becomes of the standard pool when all traffic has been on the free-threaded one for long enough. Nothing if nothing is said: it stays
    /// as large as it is. An edit begins no new attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOver>,

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
    /// Put the probe `freethread_probe` into the pods, which says at run time whether the GIL is off and which module turned it on, however well
    /// the application hides the interpreter's warning. An init container writes it into a volume, and `PYTHONPATH` names it; the image
    /// stays as it is, and so does the path that it sets.
    #[serde(default, skip_serializing_if = "is_false")]
    pub probe: bool,
    /// Pods of the free-threaded pool while it has traffic, where the router does not count pods: a number from 1 to 1000, or `auto`. If
    /// nothing is said it is the weight's share of the standard pool's pods, rounded up. `auto` makes that pods for the same work: it takes
    /// in the CPU that a pod asks for and, from the second step on, the CPU that a request was measured to take. There are never fewer
    /// while there is weight; an autoscaler of the pool's own goes before all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("type(self) == int ? self >= 1 && self <= 1000 : self == 'auto'").message("replicas must be a number from 1 to 1000, or auto"))]
    pub replicas: Option<PoolReplicas>,
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
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
