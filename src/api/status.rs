//! `FreeThreadRollout.status`: what people and GitOps tools read, and the operator's only memory.
//!
//! Everything that a restart must not forget is here; everything else is recomputed. Lists are bounded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttemptStatus, BenefitStatus, HandOverStatus, Percent, PreflightStatus};

/// Most entries of `status.history`; older ones are dropped.
pub const HISTORY_LIMIT: usize = 20;
/// Most entries of `status.lastLogs`; pods that showed why come first.
pub const LAST_LOGS_LIMIT: usize = 3;

/// Where a rollout is, why, and what comes next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
// Without a status kstatus, and so Flux, takes what nobody has looked at yet for done.
#[schemars(extend("default" = serde_json::json!({"observedGeneration": -1})))]
pub struct FreeThreadRolloutStatus {
    /// Generation of the spec that this status is about; -1 where the operator has not looked yet.
    pub observed_generation: i64,
    /// Where the rollout is.
    pub phase: Phase,
    /// Why, as one word; the same word is the condition's reason, the event's reason and the metric's label.
    pub reason: Reason,
    /// Why, as one sentence with its numbers.
    pub message: String,
    /// Index of the current step, from 0.
    pub step: i32,
    /// Current step of all steps, for people: `2/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_label: Option<String>,
    /// Shares of traffic: wanted, reachable, observed.
    pub weight: WeightStatus,
    /// The standard pool.
    pub standard: PoolStatus,
    /// The free-threaded pool.
    pub free_threaded: PoolStatus,
    /// The attempt under way (or the last one). Each has its own bound on false alarms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptStatus>,
    /// What is known of the image, where `spec.preflight` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
    /// The comparison of the pools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictStatus>,
    /// Throughput per core at the last step, where `spec.benefit` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub benefit: Option<BenefitStatus>,
    /// The standard pool was handed over: it keeps `spec.handOver.standby` pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOverStatus>,
    /// What happens next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStatus>,
    /// Paused by a person, until resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<MicroTime>,
    /// The last command that a person gave, and what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandStatus>,
    /// Edits of our pool by others that were put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// The last lines of the logs of pods that traffic was taken from, at most 3 pods and 25 lines each: the pods themselves are gone.
    /// Whoever may read the rollout reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_logs: Vec<LastLog>,
    /// The last changes of phase and weight, oldest first, at most 20.
    pub history: Vec<HistoryEntry>,
    /// Standard conditions (kstatus): Ready, Reconciling, Stalled; and `PreflightPassed` (where it is asked for), `PoolAvailable`, `TrafficConverged`, `MetricsAvailable`, `GilDisabled`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a rollout is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    /// Waits for something that has to exist first: the workload, its pods, metrics.
    #[default]
    Pending,
    /// The free-threaded image is looked at, before any traffic.
    Preflight,
    /// On its way up.
    Progressing,
    /// Stays where it is until a person or something outside acts.
    Paused,
    /// All traffic is on the free-threaded pool, for good.
    Promoted,
    /// All steps are done and the last one is under 100 %: both pools serve, for good.
    Hybrid,
    /// Traffic is back on the standard pool, because of evidence or a person.
    RolledBack,
    /// Traffic is back on the standard pool, because the free-threaded one was shown not to be worth it. Nothing went wrong.
    NoBenefit,
    /// It cannot work as it is: the spec, or the image that was looked at.
    Failed,
}

impl Phase {
    /// Every phase, in the order of a rollout's life.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Preflight,
        Self::Progressing,
        Self::Paused,
        Self::Promoted,
        Self::Hybrid,
        Self::RolledBack,
        Self::NoBenefit,
        Self::Failed,
    ];

    /// The attempt is over and all traffic is back, until a person retries or something changes.
    pub fn is_over(self) -> bool {
        matches!(self, Self::RolledBack | Self::NoBenefit)
    }
}

/// Why a rollout is where it is. One word of the API: condition reason, event reason, metric label.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Reason {
    /// Not looked at yet.
    #[default]
    New,
    /// The workload does not exist.
    WorkloadNotFound,
    /// The standard pool has not all its pods ready.
    StandardNotReady,
    /// No usable metrics (yet).
    MetricsUnavailable,
    /// The image is being inspected.
    PreflightRunning,
    /// Something stands against the image.
    PreflightFailed,
    /// What is to be known of the image cannot be told.
    PreflightUnknown,
    /// The steps are under way.
    Stepping,
    /// A write of the weight has not been read back as applied yet.
    Converging,
    /// The pods of the free-threaded pool are not ready yet.
    WaitingForPods,
    /// The pods are young: caches are cold.
    WarmingUp,
    /// The weight is held while evidence is collected.
    Holding,
    /// Not enough evidence to go on.
    InsufficientEvidence,
    /// A step that waits for evidence was not shown to be safe within its `maxHold`.
    Inconclusive,
    /// A step asks for approval.
    AwaitingApproval,
    /// The smallest reachable share is more than twice the wanted one.
    AwaitingOvershootConsent,
    /// Paused by a person.
    PausedByUser,
    /// `spec.suspend`.
    Suspended,
    /// `spec.mode: Observe`.
    Observing,
    /// Both pools got worse together.
    SharedIncident,
    /// No data about our pool, and the spec says hold; or no data about both.
    Blind,
    /// The standard pool's template changed and the spec says hold.
    StandardChanged,
    /// Our pool was deleted by someone else.
    PoolDeleted,
    /// Our pool is edited again and again by someone else.
    PoolContested,
    /// The route does not exist, or cannot share its traffic as it is.
    RouteUnusable,
    /// The gateway has not accepted the route as it was written.
    RouteNotAccepted,
    /// Our weight is edited again and again by someone else.
    RouteContested,
    /// The API server refuses a write of the pool or of its weight.
    WriteRefused,
    /// All steps are done.
    Completed,
    /// The standard pool was handed over after a promotion, or somebody gave it its pods back.
    HandedOver,
    /// The free-threaded pool was shown to bring less throughput per core than is wanted.
    NoBenefit,
    /// The comparison of errors found a regression.
    ErrorRate,
    /// The comparison of slow requests found a regression.
    Latency,
    /// The comparison of a counter of the user's own found a regression.
    Counter,
    /// The comparison of restarts found a regression.
    Restarts,
    /// The memory of the free-threaded pool grows and grows.
    Memory,
    /// A gauge of the user's own was outside its range.
    Gauge,
    /// Half of the requests fail.
    HalfFailing,
    /// The pool fell silent: it completes next to nothing of what its share predicts.
    Silent,
    /// A container or a worker process crashed.
    Crash,
    /// A container was killed for its memory.
    OutOfMemory,
    /// A container restarts again and again.
    CrashLoop,
    /// The GIL came back.
    GilEnabled,
    /// The pool has traffic and no ready pod.
    NoReadyPod,
    /// No data about our pool for longer than `blindFor`.
    BlindTooLong,
    /// The pool did not become ready in time.
    ProgressDeadlineExceeded,
    /// A person said abort.
    Aborted,
    /// The spec cannot work.
    InvalidSpec,
    /// Another rollout has this workload.
    WorkloadTaken,
    /// Flagger or Argo Rollouts manages this workload or its Service.
    ManagedByOther,
    /// The rollout is being deleted.
    Deleting,
    /// The operator is being uninstalled, or was: traffic is given back.
    Uninstalled,
}

impl Reason {
    /// The word itself.
    pub fn as_str(self) -> String {
        // The variant's name is the API's word; Debug of a unit variant is exactly that.
        format!("{self:?}")
    }
}

/// Shares of traffic on the free-threaded pool. Configured is never taken for observed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightStatus {
    /// What the current step wants, in percent.
    pub wanted: i32,
    /// The nearest share that the router can reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<Percent>,
    /// The share by ready endpoints, as read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<Percent>,
    /// The share of requests that the free-threaded pool answered lately, by its counters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Percent>,
}

/// One pool, for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolStatus {
    /// The Deployment's name.
    pub name: String,
    /// Image of the container that runs Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Pods wanted.
    pub replicas: i32,
    /// Pods ready.
    pub ready: i32,
    /// `ready/replicas`, for people.
    pub ready_label: String,
    /// What is worth knowing about the pool, such as an autoscaler that counts our pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The comparison of the pools.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerdictStatus {
    /// `HardSignal`, `Breach`, `SharedIncident`, `Unknown`, `Clear` or `Safe`.
    pub overall: String,
    /// The sentence with its numbers.
    pub sentence: String,
    /// Evidence against the free-threaded pool, as `x:1`; it is acted on at `bound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The bound, as `x:1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// One line per metric.
    pub metrics: Vec<MetricStatus>,
}

/// One metric's verdict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricStatus {
    /// `errors` or `latency`.
    pub name: String,
    /// Its verdict.
    pub verdict: String,
    /// The sentence with its numbers.
    pub sentence: String,
}

/// What happens next, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextStatus {
    /// What happens, as a sentence.
    pub what: String,
    /// When, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<MicroTime>,
}

/// A person's command and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandStatus {
    /// The command as it was given: `VERB@TIME`.
    pub given: String,
    /// What became of it.
    pub result: String,
}

/// Edits of our pool by others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// How often it was put back in this attempt.
    pub count: i32,
    /// Field manager of the last edit.
    pub manager: String,
    /// When it was counted.
    pub at: MicroTime,
    /// When the last edit of the pod template was made, as the API server says: the same one counts once, however long it takes to put
    /// it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<MicroTime>,
    /// When what is contested was last put back: that happens at most every 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_back_at: Option<MicroTime>,
}

/// The end of a pod's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastLog {
    /// The pod.
    pub pod: String,
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
}

/// One change of phase or weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When.
    pub at: MicroTime,
    /// The phase from then on.
    pub phase: Phase,
    /// Why, as one word.
    pub reason: Reason,
    /// Wanted share in percent from then on.
    pub weight: i32,
    /// Why, as one sentence with its numbers.
    pub message: String,
}
