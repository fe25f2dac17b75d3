//! One immutable picture of the world for one pass. Plain data without a client: `judge` and `decide` may import it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{api::Check, judge::Share, preflight::image::CheckFinding};

/// Everything that one pass of a rollout goes by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The standard pool; `None` when the workload does not exist (or is being deleted).
    pub standard: Option<StandardPool>,
    /// The free-threaded pool.
    pub free_threaded: FreeThreadedPool,
    /// The checks of the image; `None` where there are none and none are to be.
    #[serde(default)]
    pub preflight: Option<PreflightSeen>,
    /// The route as read back.
    pub route: RouteState,
    /// What only pods' logs show, since the attempt began; bounded.
    pub log_signals: Vec<LogSignal>,
    /// The last lines of our pods' logs; bounded in pods, lines and length.
    #[serde(default)]
    pub log_tails: Vec<LogTail>,
    /// Why this rollout may not work as it stands; the first one counts.
    pub obstacles: Vec<Obstacle>,
    /// The scrape interval that the Prometheus profile states, in milliseconds; becomes the attempt's cell.
    pub scrape_interval_ms: i64,
}

/// The user's Deployment and its pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandardPool {
    /// The Deployment's name.
    pub name: String,
    /// Image of the container that runs Python.
    pub image: String,
    /// Pods wanted (`spec.replicas`).
    pub replicas: i32,
    /// Its pods, ours never among them.
    pub pods: Vec<Pod>,
    /// Hash of its pod template without annotations.
    pub template_hash: String,
    /// Name of an autoscaler that counts our pods too, because the Deployment's selector matches them.
    pub autoscaler_counts_ours: Option<String>,
    /// Who decides about its replicas and would undo a change of ours: an autoscaler, a GitOps tool.
    #[serde(default)]
    pub scaled_by: Option<String>,
    /// The replicas that it had before it was handed over.
    #[serde(default)]
    pub before: Option<i32>,
}

impl StandardPool {
    /// Pods wanted for all of the traffic: as many as there are, or were before they were handed over.
    pub fn whole(&self) -> i32 {
        self.replicas.max(self.before.unwrap_or(0))
    }
}

/// Our Deployment and its pods.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FreeThreadedPool {
    /// The Deployment's name.
    pub name: String,
    /// Image that it will have or has.
    pub image: String,
    /// What exists in the cluster; `None` when there is no Deployment.
    pub live: Option<LivePool>,
    /// Template hash that the current spec and standard template render to.
    pub wanted_hash: String,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Why pods cannot even be created, in Kubernetes' words (a quota, say).
    #[serde(default)]
    pub trouble: Option<String>,
    /// It has a Service.
    #[serde(default)]
    pub service: bool,
    /// Its Service, where the router needs one, is not there or not as it should be.
    #[serde(default)]
    pub service_missing: bool,
    /// An autoscaler of the pool's own.
    #[serde(default)]
    pub autoscaler: Option<Autoscaler>,
}

impl FreeThreadedPool {
    /// KEDA decides how many pods there are.
    pub fn by_keda(&self) -> bool {
        self.autoscaler.as_ref().is_some_and(|autoscaler| autoscaler.by_keda)
    }
}

/// A `HorizontalPodAutoscaler`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscaler {
    /// Name.
    pub name: String,
    /// KEDA made it. Others stop where there are no pods; KEDA decides about the first and the last one too, at any time.
    pub by_keda: bool,
}

/// Our Deployment as it is in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LivePool {
    /// Its uid.
    pub uid: String,
    /// Its resource version: a rising weight is written only on top of it.
    pub resource_version: String,
    /// Template hash that the operator recorded on it.
    pub template_hash: String,
    /// Its `spec.replicas`.
    #[serde(default)]
    pub replicas: i32,
    /// It is being deleted.
    pub deleting: bool,
    /// Field manager that changed what is ours, if somebody did.
    pub edited_by: Option<String>,
    /// When it did, to the second; `None` where the API server does not say.
    #[serde(default)]
    pub edited_at: Option<Timestamp>,
}

/// Written together with weight 0, in the same request: should the operator die before it can write the status, the next
/// one finds here why the traffic is back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackNote {
    /// Attempt that ended.
    pub attempt: i32,
    /// Phase that it ended in.
    pub phase: crate::api::Phase,
    /// Why, as one word.
    pub reason: crate::api::Reason,
    /// Why, as one sentence.
    pub message: String,
}

/// One pod, reduced to what is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Creation.
    pub created: Timestamp,
    /// Start of its (Python) container's current run.
    pub started: Option<Timestamp>,
    /// Ready since; `None` when it is not ready.
    pub ready_since: Option<Timestamp>,
    /// It is being deleted, drained, preempted or evicted: what it does from now on says nothing about the runtime.
    pub going: bool,
    /// Restarts of all its containers.
    pub restarts: i32,
    /// The last ends of containers, at most one per container.
    pub exits: Vec<Exit>,
    /// Why it is not running or not ready, in Kubernetes' words: `ImagePullBackOff: ...`, `Unschedulable: ...`, `CrashLoopBackOff: ...`.
    pub trouble: Option<String>,
    /// A container waits in `CrashLoopBackOff`.
    pub crash_loop: bool,
    /// What its (Python) container runs, as the node names it.
    #[serde(default)]
    pub image_id: Option<String>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 139 is SIGSEGV, 134 SIGABRT, 137 SIGKILL.
    pub code: i32,
    /// Kubernetes' reason, such as `Error` or `OOMKilled`.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What only a pod itself shows: in its log, or by a gauge that is no count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogSignal {
    /// The pod.
    pub pod: String,
    /// When the line was written, or the gauge read.
    pub at: Timestamp,
    /// What it says.
    pub kind: LogSignalKind,
}

/// The lines that are understood, and the one gauge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogSignalKind {
    /// CPython's warning that it enabled the GIL to load a module.
    GilEnabled {
        /// The module, `[\w.]{1,128}`.
        module: String,
    },
    /// `python_gil_enabled` is 1, scrape after scrape.
    GilGauge {
        /// The module, where the probe knows it, `[\w.]{1,128}`.
        module: Option<String>,
    },
    /// `Fatal Python error: ...`
    FatalError {
        /// What follows the colon, at most 128 characters.
        error: String,
    },
    /// A server's word that a worker died of a signal.
    WorkerKilled {
        /// The signal's name, such as `SIGSEGV`.
        signal: String,
    },
}

/// The end of a pod's log, kept because the pod may not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTail {
    /// The pod.
    pub pod: String,
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
}

/// The checks of the image, as they should be and as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PreflightSeen {
    /// Fingerprint of the Job of each check that is asked for, as the current spec and standard template render it; in order, and empty
    /// where there is no pool to be.
    pub wanted: BTreeMap<Check, String>,
    /// The Job's name: there is one at a time.
    pub name: String,
    /// What exists in the cluster; `None` when there is no Job.
    pub job: Option<LiveJob>,
}

/// A Job of ours as it is in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveJob {
    /// Its uid.
    pub uid: String,
    /// Fingerprint that the operator recorded on it.
    pub of: String,
    /// What it does; `None` where its label says nothing that is known.
    pub check: Option<Check>,
    /// It is being deleted.
    pub deleting: bool,
    /// When Kubernetes started it.
    pub started: Option<Timestamp>,
    /// It has ended, and this is why, as far as Kubernetes says so.
    pub ended: Option<String>,
    /// Its pod, once there is one.
    pub pod: Option<String>,
    /// Why the pod does not run, in Kubernetes' words.
    pub trouble: Option<String>,
    /// What the pod's container runs, as the node names it.
    pub image_id: Option<String>,
    /// What the pod's log says, once it has ended and the log is read.
    pub finding: Option<CheckFinding>,
}

/// The route as read back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteState {
    /// What carries the weight: `Deployment orders-ft` by pod counts, `HTTPRoute orders` and the like.
    pub what: String,
    /// Its API group; empty by pod counts.
    pub group: String,
    /// Where it has its weights, as `jq` says it; empty by pod counts.
    pub jq: String,
    /// What is written, in the router's unit: pods by pod counts (`spec.replicas` of our pool), percent everywhere else. `None` when nothing of
    /// ours is written (any more).
    pub written: Option<i32>,
    /// The least that is written where a route has it in several places; as `written` everywhere else.
    pub least: i32,
    /// What is known to be in effect, in the same unit: ready endpoints by pod counts, else the weight that the gateway has taken, as far as there
    /// are ready pods for it. `None`: the gateway has not looked yet.
    pub serving: Option<i32>,
    /// The route cannot be seen (yet): `written` is what was written last, and nothing may be concluded from the rest.
    pub unseen: bool,
    /// Ready endpoints of the standard pool.
    pub standard_serving: i32,
    /// What the router can do.
    pub precision: Precision,
    /// A route of ours that is not what it should be at its weight: it is not there, somebody changed it, or the spec did.
    pub stale: bool,
    /// Who is shared out.
    pub drawn: Drawn,
    /// A route of our own was seen.
    pub ours: bool,
    /// Field manager that changed the weight after us, or a route of ours, if somebody did.
    pub edited_by: Option<String>,
    /// When it changed a route of ours, to the second.
    pub edited_at: Option<Timestamp>,
    /// The rollback that the last weight-0 write recorded, see [`RollbackNote`].
    pub note: Option<RollbackNote>,
    /// The share that a flag gave out at this weight, as far as this replica was asked.
    pub evaluated: Option<Share>,
    /// Why the route cannot share its traffic, with what to write instead.
    pub unusable: Option<String>,
    /// Why the gateway does not serve the route as it is written, in its words.
    pub trouble: Option<String>,
}

/// Who is shared out by a weight: of requests the share may be another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drawn {
    /// Requests.
    #[default]
    Requests,
    /// Requests, but for those of people who choose for themselves.
    Rest,
    /// Users, each of whom stays on one side.
    Users,
}

/// How fine a router's shares are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Precision {
    /// Whole pods: the share is ours over all.
    Pods {
        /// Pods wanted of the standard pool.
        standard: i32,
        /// Most pods of ours.
        max: i32,
    },
    /// Whole percents of requests, whatever the pods.
    Percent {
        /// Pods wanted of the standard pool.
        standard: i32,
        /// How many pods of ours there are while there is weight.
        size: Size,
        /// Most pods of ours.
        max: i32,
    },
}

/// Pods of a pool whose router does not count them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Size {
    /// The spec says how many.
    Fixed(i32),
    /// The weight's share of the standard pool's, where one of ours does the work of so many of them.
    Works(f64),
}

impl Precision {
    /// Pods wanted of the standard pool.
    pub fn standard(self) -> i32 {
        match self {
            Self::Pods { standard, .. } | Self::Percent { standard, .. } => standard,
        }
    }

    /// The weight is a number of percent, and pods follow it.
    pub fn is_percent(self) -> bool {
        matches!(self, Self::Percent { .. })
    }
}

impl Default for Precision {
    fn default() -> Self {
        Self::Pods { standard: 0, max: 1 }
    }
}

/// Why a rollout cannot work as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// An older rollout has the workload.
    WorkloadTaken {
        /// Its name.
        by: String,
    },
    /// Flagger or Argo Rollouts manages the workload or its Service.
    ManagedByOther {
        /// Which, and what it manages.
        what: String,
    },
    /// The spec cannot work; says what to write instead.
    Invalid {
        /// The sentence.
        message: String,
    },
}
