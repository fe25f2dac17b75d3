//! Reasons why a rollout may not work as it stands.

use kube::ResourceExt;

use super::{Obstacle, Stores};
use crate::api::FreeThreadRollout;

/// Annotation that Argo Rollouts puts on the Services whose selector it manages.
const ARGO_ANNOTATION: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Label that Argo Rollouts adds to the selectors of such Services.
const ARGO_LABEL: &str = "rollouts-pod-template-hash";
/// API group of Flagger's Canary, the owner of the Services and Deployments that it makes.
const FLAGGER_GROUP: &str = "flagger.app/";

/// An older rollout of the same workload has it; the name decides between two of the same second.
pub(super) fn taken(rollout: &FreeThreadRollout, stores: &Stores) -> Option<Obstacle> {
    let age = |r: &FreeThreadRollout| (r.creation_timestamp().map(|t| t.0), r.name_any());
    stores
        .rollouts
        .state()
        .into_iter()
        .filter(|other| other.namespace() == rollout.namespace() && other.uid() != rollout.uid())
        .filter(|other| other.spec.workload_ref == rollout.spec.workload_ref && age(other) < age(rollout))
        .min_by_key(|other| age(other))
        .map(|other| Obstacle::WorkloadTaken { by: other.name_any() })
}

/// Flagger or Argo Rollouts manages the workload, or a Service that selects it: two controllers would undo each other.
pub(super) fn managed_by_other(
    workload: &k8s_openapi::api::apps::v1::Deployment,
    services: &[std::sync::Arc<k8s_openapi::api::core::v1::Service>],
    stores: &Stores,
) -> Option<Obstacle> {
    let other = |what: String| Some(Obstacle::ManagedByOther { what });
    let of_flagger = |owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]| {
        owners.iter().any(|o| o.api_version.starts_with(FLAGGER_GROUP))
    };
    let (namespace, name) = (workload.namespace(), workload.name_any());
    let primary = format!("{name}-primary");
    let has_primary = |d: &k8s_openapi::api::apps::v1::Deployment| {
        d.namespace() == namespace && d.name_any() == primary && of_flagger(d.owner_references())
    };
    if of_flagger(workload.owner_references()) || stores.deployments.find(has_primary).is_some() {
        return other(format!("Flagger manages Deployment {name}"));
    }
    for service in services {
        if service.annotations().contains_key(ARGO_ANNOTATION)
            || service.spec.as_ref().is_some_and(selects_argo)
        {
            return other(format!("Argo Rollouts manages Service {}", service.name_any()));
        }
        if of_flagger(service.owner_references()) {
            return other(format!("Flagger manages Service {}", service.name_any()));
        }
    }
    None
}

fn selects_argo(service: &k8s_openapi::api::core::v1::ServiceSpec) -> bool {
    service.selector.as_ref().is_some_and(|s| s.contains_key(ARGO_LABEL))
}
