//! `spec.handOver` and `status.handOver`: what becomes of the standard pool when all of its traffic is elsewhere.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// After a promotion has settled the standard pool keeps only a few pods. On the way home its replicas come back, and the weight
/// follows its ready pods.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandOver {
    /// Pods that the standard pool keeps: what there is at once if the free-threaded pool fails.
    #[serde(default = "default_standby")]
    #[schemars(range(min = 1, max = 1000))]
    pub standby: i32,
    /// How long all traffic has been on the free-threaded pool, without a finding, before the standard pool shrinks.
    #[serde(default = "default_after")]
    pub after: Span,
}

fn default_standby() -> i32 {
    1
}
fn default_after() -> Span {
    Span::from_secs(86_400)
}

/// What a promotion did to the standard pool. Once for each attempt: whoever gives it its pods back keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandOverStatus {
    /// Attempt that was promoted.
    pub attempt: i32,
    /// Pods that the standard pool had.
    pub had: i32,
    /// When it shrank.
    pub at: MicroTime,
}
