//! Names that are part of the API: labels, annotations, the finalizer, field managers.
//!
//! Each is a promise to users (GitOps rules, label selectors, RBAC name them), so they live in one place.

use super::FreeThreadRollout;

/// API group of the resource.
pub const GROUP: &str = "freethreading.dev";
/// Label with the name of the rollout on everything that the operator creates. Also the sweep's selector.
pub const LABEL_ROLLOUT: &str = "freethreading.dev/rollout";
/// Label with the pool's name on the pods of the free-threaded pool. The standard pool's pods never carry it.
pub const LABEL_POOL: &str = "freethreading.dev/pool";
/// Value of [`LABEL_POOL`] on the free-threaded pool.
pub const POOL_FREE_THREADED: &str = "free-threaded";
/// Label on the Jobs that check an image before its pool exists, and on their pods: what is checked. These pods never carry
/// [`LABEL_POOL`] nor any label of the workload's.
pub const LABEL_PREFLIGHT: &str = "freethreading.dev/preflight";
/// `app.kubernetes.io/managed-by` on everything that the operator creates.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "freethread-rollout";
/// Annotation on our Deployment and on preflight Jobs: hash of the pod template that the operator rendered. See `act::pool`.
pub const ANNOTATION_TEMPLATE_HASH: &str = "freethreading.dev/template-hash";
/// Annotation on our Deployment, or on the route where there is one: why the weight is 0, written in the same request as the 0. See
/// `observe::RollbackNote`.
pub const ANNOTATION_ROLLBACK: &str = "freethreading.dev/rollback";
/// Annotation on our Deployment where the router is a flag: the weight in percent, which every replica serves from its cache.
pub const ANNOTATION_FLAG_WEIGHT: &str = "freethreading.dev/flag-weight";
/// Annotation on a route that has a weight of ours: the rollout that it is of. Written and removed in the same request as the weight.
pub const ANNOTATION_ROUTE: &str = "freethreading.dev/rollout";
/// Annotation on such a route: the standard pool's Service, beside which the weights were written.
pub const ANNOTATION_STANDARD: &str = "freethreading.dev/standard";
/// Annotation on such a route: the weight that the standard Service had where it was alone in a rule, as `KEY=WEIGHT`, `-` for none, by a hash of the
/// rule without its backends. What was not there is not there afterwards.
pub const ANNOTATION_BEFORE: &str = "freethreading.dev/before";
/// Annotation on the standard pool's Deployment while it is handed over: the replicas that it had. Written and removed by us alone.
pub const ANNOTATION_REPLICAS: &str = "freethreading.dev/replicas-before";
/// Annotation on a route of ours whose users stay on one side: names the rise from 0 that they were drawn in.
pub const ANNOTATION_COHORT: &str = "freethreading.dev/cohort";
/// Annotation on the rollout through which people give commands: `VERB@TIME`, for example
/// `promote@2026-11-23T19:00:00Z`. An annotation, so that neither Argo CD nor Flux reverts it: they leave alone
/// what is not in Git and not by `kubectl` ([`MANAGER_COMMAND`]). `status.command` acknowledges it.
pub const ANNOTATION_COMMAND: &str = "freethreading.dev/command";
/// Finalizer on the rollout: traffic is given back and the pool is removed before the rollout may go.
pub const FINALIZER: &str = "freethreading.dev/give-traffic-back";
/// Field manager of the pool's objects.
pub const MANAGER_POOL: &str = "freethread-rollout";
/// Field manager of routes, the replicas of our pool by pod counts among them: exactly one owner.
pub const MANAGER_ROUTE: &str = "freethread-rollout/route";
/// Field manager of the weight of a flag, an annotation of our Deployment.
pub const MANAGER_FLAG: &str = "freethread-rollout/flag";
/// Field manager of the standard pool's replicas, where they are handed over.
pub const MANAGER_HAND_OVER: &str = "freethread-rollout/hand-over";
/// Field manager of [`ANNOTATION_COMMAND`]. Flux takes away what a manager whose name begins with `kubectl` wrote.
pub const MANAGER_COMMAND: &str = "freethread-rollout/command";
/// Field manager of `status`.
pub const MANAGER_STATUS: &str = "freethread-rollout/status";

impl FreeThreadRollout {
    /// Name of the free-threaded pool's Deployment: `<rollout>-ft`.
    pub fn pool_name(&self) -> String {
        pool_name(self.metadata.name.as_deref().unwrap_or_default())
    }
}

/// Name of the free-threaded pool's Deployment for a rollout called `rollout`.
pub fn pool_name(rollout: &str) -> String {
    format!("{rollout}-ft")
}
