//! `status.attempt`: what an attempt remembers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Percent, SizingStatus, Span};

/// Most entries of `status.attempt.weightChanges`; the oldest ones are dropped first.
pub const WEIGHT_CHANGES_LIMIT: usize = 128;

/// One attempt: from weight 0 up, with its own evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Number of this attempt, from 1.
    pub number: i32,
    /// Evidence counts from here on.
    pub started_at: MicroTime,
    /// When the current step became the current one.
    pub step_started_at: MicroTime,
    /// When the step's weight was first read back as applied. The hold runs from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converged_at: Option<MicroTime>,
    /// From here on counts are of the current step's own weight; until it has been served, those of the step before are the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_counts_from: Option<MicroTime>,
    /// Since when pods have been missing for the current weight, for the progress deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<MicroTime>,
    /// Since when there has been no data of our pool alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind_since: Option<MicroTime>,
    /// The current step was approved by a person.
    #[serde(default)]
    pub approved: bool,
    /// A person consented to the overshoot of the current step.
    #[serde(default)]
    pub overshoot_approved: bool,
    /// Hash of the standard pool's template (without annotations) that this attempt began with.
    pub standard_hash: String,
    /// Hash of `spec.freeThreaded` and `spec.analysis`: another one is another attempt.
    pub spec_hash: String,
    /// Length of a cell of evidence: the scrape interval.
    pub cell: Span,
    /// What the standard pool's counts were like in the hour before the attempt: how much evidence is discounted. Read before the first
    /// request is shifted, and fixed then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<BaselineStatus>,
    /// How long each step will need for evidence, at the traffic of that hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimates: Vec<EstimateStatus>,
    /// The evidence as it stood, so that a restart goes on from there and not from the attempt's start: Prometheus may not reach back so far.
    /// Written when a step's own weight is served and every ten minutes while the steps are under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// Every change of the weight as written, oldest first: a cell that holds one is not counted.
    #[serde(default)]
    pub weight_changes: Vec<WeightChange>,
    /// Where users are shared out: the share of requests that was observed when the weight last rose. Users only join, so a pool that answers
    /// less than that at a higher weight answers less than it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_before: Option<Percent>,
    /// With `freeThreaded.replicas: auto`: what a request takes of a pod of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizing: Option<SizingStatus>,
    /// The guard's window after the end of the steps: evidence starts anew every 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard_since: Option<MicroTime>,
}

/// One change of the weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightChange {
    /// When it was written.
    pub at: MicroTime,
    /// Share that it asks for.
    pub share: Percent,
    /// What was written, in the router's unit: pods by pod counts, percent everywhere else.
    #[serde(default)]
    pub written: i32,
}

/// What one metric of the standard pool was like before the attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BaselineStatus {
    /// `errors` or `latency`.
    pub metric: String,
    /// All evidence (its logarithm) is divided by this: counts are that much burstier than coin tosses. At least 1, such as `1.2`.
    pub divided_by: String,
    /// By how much pods differ for good. The comparison tolerates about twice that, over the square root of the pods.
    pub pods_differ_by: Percent,
    /// Requests per second, all pods together.
    pub per_second: String,
    /// Share of bad requests.
    pub bad: Percent,
    /// What it was learnt from, or why it is assumed.
    pub source: String,
    /// Latency: where slow begins, in seconds: the bucket boundary that stands for the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_over: Option<String>,
    /// Latency: the other bucket boundaries at which the pools are compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boundaries: Vec<BoundaryStatus>,
    /// Latency: what the histogram's buckets can tell apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
}

/// What one boundary of a latency histogram was like before the attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundaryStatus {
    /// The boundary in seconds.
    pub over: String,
    /// Share of requests that were slower.
    pub slower: Percent,
    /// As for the threshold: the logarithm of the evidence is divided by this.
    pub divided_by: String,
    /// As for the threshold: by how much pods differ for good.
    pub pods_differ_by: Percent,
}

/// The judge's state over an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// Everything up to here is in it.
    pub until: MicroTime,
    /// For the operator alone, in base64.
    pub data: String,
}

/// How long a step will need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstimateStatus {
    /// Index of the step, from 0.
    pub step: i32,
    /// Time until a pool that is as good as the standard one is shown to be safe, in the middle of cases. Nothing where it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Span>,
    /// The same as a sentence, with what would help where it takes too long.
    pub message: String,
}
