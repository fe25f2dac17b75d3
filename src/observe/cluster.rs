//! Puts one pass' picture together, from the caches alone.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Service},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{ResourceExt, core::DynamicObject, runtime::reflector::ObjectRef};
use serde_json::Value;

use super::{
    Autoscaler, FreeThreadedPool, LivePool, LogSignal, LogTail, Observation, Obstacle, Pod, Precision,
    RollbackNote, RouteState, StandardPool, Stores,
    autoscaler::autoscaler,
    obstacles::{managed_by_other, taken},
    pods::{pod, text},
    preflight::preflight,
    routes::{self, Routed, routed},
    stores::{owner, selects},
};
use crate::{
    api::{
        ANNOTATION_REPLICAS, ANNOTATION_ROLLBACK, ANNOTATION_TEMPLATE_HASH, Check, FreeThreadRollout,
        LABEL_POOL, LABEL_PREFLIGHT, LABEL_ROLLOUT, MANAGER_FLAG, MANAGER_HAND_OVER, MANAGER_POOL,
        MANAGER_ROUTE, POOL_FREE_THREADED,
    },
    pool::{Rendered, render, standard_hash},
    route::{Backends, Plan},
};

/// Where managed fields say that somebody owns a part of the pod template, and the replicas.
const OWNS_TEMPLATE: &str = "/f:spec/f:template";
const OWNS_REPLICAS: &str = "/f:spec/f:replicas";

/// One pass' picture, and what `act` needs beside it.
#[derive(Debug, Clone)]
pub struct Scene {
    /// What is judged and decided by.
    pub observation: Observation,
    /// The pool as it should be; `None` where it cannot be rendered.
    pub rendered: Option<Rendered>,
    /// The Job of each check of the image that is asked for, as it should be.
    pub jobs: BTreeMap<Check, Value>,
    /// Our pods for the log watch: name, uid, restarts.
    pub our_pods: Vec<(String, String, i32)>,
    /// Who owns what of our Deployment, as the API server keeps it.
    pub live_owners: Vec<ManagedFieldsEntry>,
    /// The team's object that weights are written to; `None` by pod counts, and where there is none.
    pub route: Option<Arc<DynamicObject>>,
    /// The Services that it shares its traffic between.
    pub backends: Backends,
    /// Our Service as it should be, where the router needs one.
    pub service: Option<Value>,
    /// The route as it should be, where it is our own.
    pub managed: Option<Plan>,
}

/// Observe the world of one rollout. What the logs show and `scrape_interval_ms` come from their own rooms.
pub fn observe(
    rollout: &FreeThreadRollout,
    stores: &Stores,
    (log_signals, log_tails): (Vec<LogSignal>, Vec<LogTail>),
    scrape_interval_ms: i64,
) -> Scene {
    let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
    let find = |name: &str| stores.deployments.get(&ObjectRef::new(name).within(&namespace));
    let mut obstacles: Vec<Obstacle> = taken(rollout, stores).into_iter().collect();
    let workload = find(&rollout.spec.workload_ref.name).filter(|d| d.metadata.deletion_timestamp.is_none());
    let services = workload.as_ref().map(|w| serving(w, stores)).unwrap_or_default();
    let mut rendered = None;
    if let Some(workload) = &workload {
        obstacles.extend(managed_by_other(workload, &services, stores));
        // By weights nothing that selects the standard pool may select ours: weight 0 would be none.
        let by_pods = rollout.spec.traffic.pod_count.is_some();
        let selectors = services.iter().filter(|_| by_pods).filter_map(|s| s.spec.as_ref()?.selector.clone());
        let selectors: Vec<_> = selectors.collect();
        match render(&name, &namespace, workload, &rollout.spec.free_threaded, &selectors) {
            Ok(pool) => rendered = Some(pool),
            Err(error) => obstacles.push(Obstacle::Invalid { message: error.to_string() }),
        }
    }
    let live = find(&rollout.pool_name());
    if let Some(foreign) = live.as_ref().filter(|d| owner(d) != Some(name.as_str())) {
        let message = format!(
            "a Deployment {} exists already and is not this rollout's: rename the rollout",
            foreign.name_any()
        );
        obstacles.push(Obstacle::Invalid { message });
    }
    let live = live.filter(|d| owner(d) == Some(name.as_str()));
    let container = rendered.as_ref().map(|r| r.container.clone()).unwrap_or_default();
    let standard =
        workload.as_ref().map(|w| standard_pool(w, rendered.as_ref(), &services, stores, &container));
    let scaled = autoscaler(&namespace, &rollout.pool_name(), stores);
    if let Some(other) = scaled.as_ref().filter(|_| rollout.spec.traffic.pod_count.is_some()) {
        let (name, pool) = (&other.name, rollout.pool_name());
        let what =
            format!("HorizontalPodAutoscaler {name} scales Deployment {pool}, whose pods are the weight");
        obstacles.push(Obstacle::ManagedByOther { what });
    }
    let (pods, our_pods) = our_pods(&namespace, &name, &container, stores);
    let by_pods = route(
        &rollout.pool_name(),
        standard.as_ref(),
        live.as_deref(),
        &pods,
        rollout.spec.free_threaded.max_replicas,
    );
    let Routed { state: route, object, backends, service, managed, obstacle } =
        routed(rollout, &services, by_pods, live.as_deref(), rendered.as_ref(), stores);
    obstacles.extend(obstacle);
    let free_threaded = FreeThreadedPool {
        name: rollout.pool_name(),
        image: rendered.as_ref().map(|r| r.image.clone()).unwrap_or_default(),
        trouble: live.as_deref().and_then(replica_failure),
        service: routes::has_any(rollout, stores),
        service_missing: service.as_ref().is_some_and(|wanted| !routes::has(wanted, stores)),
        autoscaler: scaled,
        live: live.as_deref().map(live_pool),
        wanted_hash: rendered.as_ref().map(|r| r.hash.clone()).unwrap_or_default(),
        pods,
    };
    let (preflight, jobs) = preflight(rollout, workload.as_deref(), rendered.as_ref(), stores);
    let observation = Observation {
        standard,
        free_threaded,
        preflight,
        route,
        log_signals,
        log_tails,
        obstacles,
        scrape_interval_ms,
    };
    let live_owners = live.map(|d| d.managed_fields().to_vec()).unwrap_or_default();
    Scene { observation, rendered, jobs, our_pods, live_owners, route: object, backends, service, managed }
}

/// The Services that select the standard pool's pods.
fn serving(workload: &Deployment, stores: &Stores) -> Vec<Arc<Service>> {
    let labels = template_labels(workload);
    let selected = |service: &Service| {
        let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
        service.namespace() == workload.namespace()
            && selector.is_some_and(|s| !s.is_empty() && s.iter().all(|(k, v)| labels.get(k) == Some(v)))
    };
    let mut all = stores.services.state_filter(selected);
    all.sort_by_key(|s| s.name_any());
    all
}

fn template_labels(workload: &Deployment) -> BTreeMap<String, String> {
    let template = workload.spec.as_ref().and_then(|s| s.template.metadata.as_ref());
    template.and_then(|m| m.labels.clone()).unwrap_or_default()
}

fn standard_pool(
    workload: &Deployment,
    rendered: Option<&Rendered>,
    services: &[Arc<Service>],
    stores: &Stores,
    container: &str,
) -> StandardPool {
    let selector = workload.spec.as_ref().map(|s| s.selector.clone()).unwrap_or_default();
    let theirs = |p: &k8s_openapi::api::core::v1::Pod| {
        p.namespace() == workload.namespace()
            && !p.labels().contains_key(LABEL_POOL)
            && !p.labels().contains_key(LABEL_PREFLIGHT)
            && selects(&selector, p.labels())
    };
    let mut pods: Vec<Pod> = stores.pods.state_filter(theirs).iter().map(|p| pod(p, container)).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    let mut ours: BTreeMap<String, String> =
        services.iter().filter_map(|s| s.spec.as_ref()?.selector.clone()).flatten().collect();
    ours.insert(LABEL_POOL.into(), POOL_FREE_THREADED.into());
    let counts_ours = selects(&selector, &ours);
    let autoscaler = autoscaler(&workload.namespace().unwrap_or_default(), &workload.name_any(), stores);
    StandardPool {
        name: workload.name_any(),
        image: rendered.map(|r| r.standard_image.clone()).unwrap_or_default(),
        replicas: workload.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1),
        pods,
        template_hash: standard_hash(workload),
        scaled_by: scaled_by(workload, autoscaler.as_ref()),
        before: workload.annotations().get(ANNOTATION_REPLICAS).and_then(|text| text.parse().ok()),
        autoscaler_counts_ours: autoscaler.filter(|_| counts_ours).map(|autoscaler| autoscaler.name),
    }
}

/// Who would undo it if we changed the replicas of `workload`.
fn scaled_by(workload: &Deployment, autoscaler: Option<&Autoscaler>) -> Option<String> {
    let autoscaler = autoscaler.map(|autoscaler| format!("HorizontalPodAutoscaler {}", autoscaler.name));
    autoscaler.or_else(|| replicas_owner(workload).map(manager))
}

/// The manager that applies a number of replicas again and again: by server-side apply, or as a GitOps tool in any way.
pub(super) fn replicas_owner(workload: &Deployment) -> Option<&ManagedFieldsEntry> {
    const TOOLS: [&str; 4] = ["argocd", "flux", "kustomize-controller", "helm-controller"];
    other_owner_where(workload.managed_fields(), OWNS_REPLICAS, |entry| {
        let manager = entry.manager.as_deref().unwrap_or_default();
        entry.operation.as_deref() == Some("Apply") || TOOLS.iter().any(|tool| manager.contains(tool))
    })
}

fn our_pods(
    namespace: &str,
    rollout: &str,
    container: &str,
    stores: &Stores,
) -> (Vec<Pod>, Vec<(String, String, i32)>) {
    let ours = |p: &k8s_openapi::api::core::v1::Pod| {
        p.namespace().as_deref() == Some(namespace)
            && p.labels().get(LABEL_ROLLOUT).map(String::as_str) == Some(rollout)
            && p.labels().contains_key(LABEL_POOL)
            && !ended(p)
    };
    let mut found = stores.pods.state_filter(ours);
    found.sort_by_key(|p| p.name_any());
    found
        .iter()
        .map(|p| {
            let reduced = pod(p, container);
            let watched = (reduced.name.clone(), p.uid().unwrap_or_default(), reduced.restarts);
            (reduced, watched)
        })
        .unzip()
}

/// Its containers have ended for good (an evicted pod, say): it only waits to be cleaned up.
fn ended(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    phase.is_some_and(|phase| phase == "Failed" || phase == "Succeeded")
}

/// By pod counts: what is written is the Deployment's replicas, what serves are ready pods that are not on their way out.
fn route(
    name: &str,
    standard: Option<&StandardPool>,
    live: Option<&Deployment>,
    ours: &[Pod],
    max: i32,
) -> RouteState {
    let ready = |pods: &[Pod]| {
        let count = pods.iter().filter(|p| p.ready_since.is_some() && !p.going).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    let written = live.map(replicas);
    RouteState {
        what: format!("Deployment {name}"),
        written,
        least: written.unwrap_or(0),
        serving: Some(ready(ours)),
        standard_serving: standard.map_or(0, |s| ready(&s.pods)),
        precision: Precision::Pods { standard: standard.map_or(0, StandardPool::whole), max },
        edited_by: live.and_then(|d| other_owner(d.managed_fields(), OWNS_REPLICAS)).map(manager),
        note: live.and_then(|d| note(d.annotations())),
        ..RouteState::default()
    }
}

fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

/// Why the weight is 0, where it was written with it.
pub(super) fn note(annotations: &BTreeMap<String, String>) -> Option<RollbackNote> {
    annotations.get(ANNOTATION_ROLLBACK).and_then(|json| serde_json::from_str(json).ok())
}

fn live_pool(deployment: &Deployment) -> LivePool {
    let annotation = |name: &str| deployment.annotations().get(name);
    let editor = other_owner(deployment.managed_fields(), OWNS_TEMPLATE);
    LivePool {
        uid: deployment.uid().unwrap_or_default(),
        resource_version: deployment.resource_version().unwrap_or_default(),
        template_hash: annotation(ANNOTATION_TEMPLATE_HASH).cloned().unwrap_or_default(),
        replicas: replicas(deployment),
        deleting: deployment.metadata.deletion_timestamp.is_some(),
        edited_by: editor.map(manager),
        edited_at: editor.and_then(|entry| entry.time.as_ref()).map(|time| time.0),
    }
}

pub(super) fn manager(entry: &ManagedFieldsEntry) -> String {
    entry.manager.clone().unwrap_or_else(|| "someone".into())
}

/// Somebody else who owns what is ours: an edit, whether it changed a value or added one.
pub(super) fn other_owner<'a>(
    owners: &'a [ManagedFieldsEntry],
    what: &str,
) -> Option<&'a ManagedFieldsEntry> {
    other_owner_where(owners, what, |_| true)
}

fn other_owner_where<'a>(
    owners: &'a [ManagedFieldsEntry],
    what: &str,
    also: impl Fn(&ManagedFieldsEntry) -> bool,
) -> Option<&'a ManagedFieldsEntry> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref();
        foreign(entry) && also(entry) && fields.is_some_and(|fields| fields.0.pointer(what).is_some())
    };
    // Of several the last one: it made the value that is there.
    owners.iter().filter(owns).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
}

/// Whether an entry of an object's managed fields is somebody else's.
pub fn foreign(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref().is_none_or(|manager| {
        ![MANAGER_POOL, MANAGER_ROUTE, MANAGER_FLAG, MANAGER_HAND_OVER].contains(&manager)
    })
}

/// Why the Deployment's controller cannot create pods: a quota, an admission policy.
fn replica_failure(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    Some(text(failure.message.as_deref().unwrap_or("pods cannot be created")))
}
