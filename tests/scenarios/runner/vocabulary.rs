//! The words of a `scenario.yaml`. `tests/scenarios/README.md` lists them for people.

use std::collections::BTreeMap;

use freethread_rollout::api::{Phase, Reason, Span};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    queue::ExpectedTasks,
    route::{ExpectedRoute, ExpectedShare, Reverted, Via},
};

/// One scenario: what is deployed, and what happens to it step by step.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

impl Scenario {
    /// Whether it does something to what all scenarios share: the operator, Prometheus.
    pub(crate) fn disturbs_others(&self) -> bool {
        let shared = |step: &Step| {
            matches!(
                step,
                Step::Kill(_) | Step::Operator(_) | Step::Scale(Scale::Prometheus(_) | Scale::Operator(_))
            )
        };
        std::env::var("OPERATOR").is_ok_and(|value| value == "off") || self.steps.iter().any(shared)
    }
}

/// What is deployed before the first step.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Setting {
    /// What it shows, in one sentence.
    pub(crate) description: String,
    /// The standard pool.
    pub(crate) standard: Standard,
    /// Requests per second; half of them over persistent connections.
    pub(crate) rps: f64,
    /// People who send them in turns, with the cookies that they were given; 0: each request is by itself.
    #[serde(default)]
    pub(crate) users: u32,
    /// Spec of the rollout, merged (RFC 7396) over `rollout.yaml`, which all scenarios share.
    #[serde(default)]
    pub(crate) rollout: Value,
    /// The rollout cannot work from the start: it may be rolled back before anything is done to it.
    #[serde(default)]
    pub(crate) hopeless: bool,
    /// The example with a queue instead of the service: requests go to its producer.
    #[serde(default)]
    pub(crate) queue: bool,
    /// The gateway that requests go through; straight to the Service otherwise.
    pub(crate) via: Option<Via>,
    /// Manifest with the team's route, relative to the folder. `$NAMESPACE` stands for the scenario's namespace and `$GATEWAY` for the
    /// gateway's name, there and in `rollout`.
    pub(crate) route: Option<String>,
    /// Manifests of this folder that are applied before the rollout.
    #[serde(default)]
    pub(crate) manifests: Vec<String>,
}

/// The standard pool: the example service, or the workers of the example with a queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Standard {
    pub(crate) replicas: i32,
    /// Environment variables that are added to its container.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

/// One step. Those that do something end at once; those that wait end when what they wait for is so, or fail at their deadline.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Waits until the rollout is as said; the deadline runs from the step's start.
    Wait(Expected),
    /// The same, and the deadline runs from the last disturbance (fault, kill, scale, patch, delete).
    Expect(Expected),
    /// Makes pods misbehave.
    Fault(Fault),
    /// Kills a process.
    Kill(Kill),
    /// Scales a Deployment.
    Scale(Scale),
    /// Patches an object as somebody.
    Patch(Patch),
    /// Applies a manifest of the scenario's folder; `rollout` is the rollout.
    Apply(String),
    /// Applies every file of `examples/` beside a Deployment that it names, and waits until the operator has built its pool.
    ApplyExamples(ApplyExamples),
    /// Deletes an object.
    Delete(Delete),
    /// Installs or uninstalls the operator, with Helm. The normal installation is back when the scenario ends.
    Operator(Operator),
    /// Applies the rollout in another namespace, alone.
    ApplyElsewhere,
    /// Gives the rollout a command, by `kubectl freethread`.
    Command(String),
    /// Changes the requests per second.
    Rate(f64),
    /// Headers of every request from here on; `{}` for none.
    Headers(BTreeMap<String, String>),
    /// Starts a new window of the load generator's counts.
    Mark(String),
    /// Checks the load generator's counts.
    ExpectCounts(ExpectedCounts),
    /// The verdict rests on more of the free-threaded pool's answers than there were before the last mark, and than there were since:
    /// nothing of either was forgotten.
    ExpectJudged(Across),
    /// Waits until all orders are done, and checks how often, and by whom.
    ExpectTasks(ExpectedTasks),
    /// Checks who answers the next requests.
    ExpectNext(ExpectedNext),
    /// Waits until the Service has so many endpoints of a pool.
    ExpectEndpoints(ExpectedEndpoints),
    /// Waits until objects are gone.
    ExpectGone(ExpectedGone),
    /// Checks the rollout in the other namespace.
    ExpectElsewhere(Elsewhere),
    /// Checks the order in which things went since the last `delete` or `operator: uninstall`.
    ExpectOrder(Vec<Went>),
    /// Checks `status.history`.
    ExpectHistory(ExpectedHistory),
    /// Waits for an event.
    ExpectEvent(ExpectedEvent),
    /// Waits until a field of an object is as said.
    ExpectObject(ExpectedObject),
    /// Checks which pool answered how many of the requests from here on.
    ExpectShare(ExpectedShare),
    /// The team edits its route, with JSON Patch.
    TeamEdits(Vec<Value>),
    /// Somebody puts the team's route back as the team left it.
    RouteReverted(Reverted),
    /// Waits until the route is as the team left it.
    ExpectRoute(ExpectedRoute),
    /// Checks what the kubectl plugin prints.
    ExpectPlugin(ExpectedPlugin),
    /// From here on this may not happen, up to `lift` or the end.
    Never(Forbidden),
    /// Ends all `never`.
    Lift,
}

/// What `kubectl freethread ...` prints in the scenario's namespace.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExpectedPlugin {
    /// Its arguments.
    pub(crate) run: Vec<String>,
    /// All of these are in it.
    pub(crate) says: Vec<String>,
    /// It is a manifest that the API server would take.
    #[serde(default)]
    pub(crate) accepted: bool,
}

/// The rollout's status. All that is given must hold at the same time, about the current generation of the spec.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Expected {
    /// One phase or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) phase: Vec<Phase>,
    /// One reason or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) reason: Vec<Reason>,
    /// Current step, from 1.
    pub(crate) step: Option<i32>,
    /// Number of the attempt; 0: there is none.
    pub(crate) attempt: Option<i32>,
    /// Contained in `status.message`, ignoring case.
    pub(crate) sentence: Option<String>,
    /// Weight wanted.
    pub(crate) wanted: Option<i32>,
    /// Overall verdict.
    pub(crate) verdict: Option<String>,
    /// Ready pods of the standard pool.
    pub(crate) standard: Option<i32>,
    /// Ready pods of the free-threaded pool.
    pub(crate) free_threaded: Option<i32>,
    /// Conditions: the status, or status and a text that the message contains.
    pub(crate) conditions: BTreeMap<String, ExpectedCondition>,
    /// Contained in the note of one of the pools, ignoring case.
    pub(crate) note: Option<String>,
    /// Edits of our pool that were put back.
    pub(crate) drift: Option<i32>,
    /// Deadline. Required.
    pub(crate) within: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum ExpectedCondition {
    Status(String),
    Both { status: String, says: String },
}

/// Which pool is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pool {
    Standard,
    FreeThreaded,
    /// Both; in counts: no answer.
    #[serde(alias = "both")]
    None,
}

impl Pool {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::FreeThreaded => "free-threaded",
            Self::None => "none",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Fault {
    /// `standard`, `free-threaded` or `both`.
    pub(crate) pool: Pool,
    /// What the pods do from now on, as the example service reads it at `/faults`; `{}` ends all faults.
    pub(crate) set: Value,
    /// Only so many of the pool's pods.
    pub(crate) pods: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Kill {
    /// The operator's process, with SIGKILL, and its pod with no grace.
    pub(crate) operator: Which,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Which {
    /// The one that holds the lease.
    Leader,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scale {
    Standard(i32),
    /// Restored when the scenario ends.
    Prometheus(i32),
    /// Restored when the scenario ends.
    Operator(i32),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Patch {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Field manager.
    #[serde(rename = "as")]
    pub(crate) manager: String,
    /// A strategic merge patch, or a merge patch where the kind knows no other.
    pub(crate) set: Value,
    /// Apply `set` server-side instead.
    #[serde(default)]
    pub(crate) applied: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ApplyExamples {
    pub(crate) within: Span,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Delete {
    Rollout(Propagation),
    /// Deployment of the free-threaded pool.
    Pool(Propagation),
    Standard(Propagation),
    Namespace(Propagation),
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operator {
    Uninstall,
    Install(Install),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Install {
    /// All namespaces where it is left out.
    pub(crate) watch: Option<Watch>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Watch {
    /// The scenario's namespace alone, with rights in that namespace alone.
    Here,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Elsewhere {
    /// No operator has written to it.
    Untouched,
}

/// What a verdict rests on both sides of.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Across {
    /// The last mark: a `kill`, say.
    Mark,
}

/// Where counting begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Since {
    #[default]
    Start,
    /// The last `mark`, or the last step that makes one itself: `fault`, `kill` and `delete`.
    Mark,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ExpectedCounts {
    pub(crate) since: Since,
    /// Answers of this pool only (`none`: no answer); all requests otherwise.
    pub(crate) pool: Option<Pool>,
    /// Waits until so many requests have ended.
    pub(crate) at_least: Option<u64>,
    pub(crate) at_most: Option<u64>,
    /// Exactly so many that failed.
    pub(crate) failed: Option<u64>,
    pub(crate) failed_at_least: Option<u64>,
    pub(crate) failed_at_most: Option<u64>,
    /// At least so many times a user went from the standard to the free-threaded pool ...
    pub(crate) joined_at_least: Option<u64>,
    /// ... and exactly so many times back.
    pub(crate) left: Option<u64>,
    /// Share of the requests over persistent connections, give or take 0.02.
    pub(crate) kept_share: Option<f64>,
    pub(crate) within: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExpectedNext {
    /// The next so many requests, over new and persistent connections, all answered well ...
    pub(crate) answers: u64,
    /// ... by this pool.
    pub(crate) pool: Pool,
    pub(crate) within: Span,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ExpectedEndpoints {
    /// Ready endpoints of the standard pool.
    pub(crate) standard: Option<usize>,
    /// Ready endpoints of the free-threaded pool.
    pub(crate) free_threaded: Option<usize>,
    /// Endpoints of the free-threaded pool that are listed at all, those of terminating pods included.
    pub(crate) free_threaded_listed: Option<usize>,
    pub(crate) within: Option<Span>,
}

#[allow(clippy::struct_excessive_bools, reason = "independent words")]
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ExpectedGone {
    pub(crate) rollout: bool,
    pub(crate) pool: bool,
    pub(crate) namespace: bool,
    pub(crate) operator: bool,
    pub(crate) within: Option<Span>,
}

/// What goes when a rollout is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Went {
    /// The last ready endpoint of the free-threaded pool.
    Traffic,
    /// The Deployment of the free-threaded pool.
    Pool,
    /// Our finalizer.
    Finalizer,
    /// The rollout.
    Rollout,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ExpectedHistory {
    /// These entries, in this order; others may stand between them.
    pub(crate) in_order: Vec<Entry>,
    /// No entry like these.
    pub(crate) without: Vec<Entry>,
}

/// An entry of the history, by what is given.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Entry {
    pub(crate) phase: Option<Phase>,
    pub(crate) reason: Option<Reason>,
    pub(crate) weight: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExpectedEvent {
    pub(crate) reason: Option<String>,
    /// Contained in the note, ignoring case.
    pub(crate) says: Option<String>,
    pub(crate) within: Span,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExpectedObject {
    /// Name of a Deployment ...
    pub(crate) deployment: Option<String>,
    /// ... or of a rollout; without both it is the rollout of the scenario.
    pub(crate) rollout: Option<String>,
    /// JSON pointer.
    pub(crate) at: String,
    /// The value there.
    pub(crate) is: Option<Value>,
    /// A text that the value, written as JSON, contains.
    pub(crate) says: Option<String>,
    /// A text that the value, written as JSON, does not contain.
    pub(crate) lacks: Option<String>,
    pub(crate) within: Span,
}

/// What may not happen. All that is given is forbidden.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Forbidden {
    /// The wanted weight or the replicas of the free-threaded pool rise.
    pub(crate) weight_rises: bool,
    /// The rollout is in one of these phases.
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) phase: Vec<Phase>,
    /// The standard pool is asked for fewer replicas than it had.
    pub(crate) standard_shrinks: bool,
}

fn one_or_many<'de, D, T>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    let list = if value.is_array() { value } else { Value::Array(vec![value]) };
    serde_json::from_value(list).map_err(serde::de::Error::custom)
}
