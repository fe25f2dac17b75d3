//! Watches with caches: what is read in a pass comes from here, never from a list over the network.
//!
//! They run in every replica, leader or not, so that a new leader starts warm.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt, future::BoxFuture, stream};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::Job,
        core::v1::{Pod, Service},
    },
    apimachinery::pkg::apis::meta::v1::{FieldsV1, LabelSelector, ManagedFieldsEntry},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{
    cluster::replicas_owner,
    routes::{self, RouteStores},
};
use crate::api::{FreeThreadRollout, LABEL_POOL, LABEL_PREFLIGHT, LABEL_ROLLOUT, RouterKind};
use crate::flag::Evaluations;

/// Caches of everything that a pass reads.
#[derive(Clone)]
pub struct Stores {
    /// The rollouts.
    pub rollouts: Store<FreeThreadRollout>,
    /// All Deployments; of managed fields of those that are not ours only who applies their replicas.
    pub deployments: Store<Deployment>,
    /// All pods, reduced.
    pub pods: Store<Pod>,
    /// All Services.
    pub services: Store<Service>,
    /// All autoscalers.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// Our Jobs, by their label, reduced.
    pub jobs: Store<Job>,
    /// The kinds of routes that the installation switched on.
    pub routes: RouteStores,
    /// What was answered by the flags that this replica serves; `None` where the installation serves none.
    pub flags: Option<Evaluations>,
}

/// Where the operator looks.
#[derive(Debug, Clone)]
pub enum WatchScope {
    /// In all namespaces.
    Cluster,
    /// In one.
    Namespace(String),
}

impl WatchScope {
    /// An API for `K` in this scope.
    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match self {
            Self::Cluster => Api::all(client),
            Self::Namespace(namespace) => Api::namespaced(client, namespace),
        }
    }
}

/// Rollouts that should be looked at now. A set: a storm of events about one rollout is one look, and memory is bounded by the
/// number of rollouts.
#[derive(Debug, Clone, Default)]
pub struct Pokes(Arc<Waiting>);

/// Namespace and name of each rollout that waits to be looked at, and the bell.
#[derive(Debug, Default)]
struct Waiting {
    set: Mutex<BTreeSet<(String, String)>>,
    bell: Notify,
}

impl Pokes {
    /// Ask for a look at `namespace/name`.
    pub fn poke(&self, namespace: &str, name: &str) {
        // A poisoned set is still a set: a panic elsewhere must not end the wake-ups.
        self.0
            .set
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((namespace.to_owned(), name.to_owned()));
        self.0.bell.notify_one();
    }

    /// The asked-for rollouts, as they come.
    pub fn stream(&self) -> impl Stream<Item = ObjectRef<FreeThreadRollout>> + Send + use<> {
        stream::unfold(self.clone(), |pokes| async move {
            loop {
                let next = pokes.0.set.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
                if let Some((namespace, name)) = next {
                    return Some((ObjectRef::new(&name).within(&namespace), pokes));
                }
                pokes.0.bell.notified().await;
            }
        })
    }
}

/// Start nothing yet (of `routers` those that need a watch): the caches, and the futures that keep them up to date for as long as they are polled.
pub fn start_watches(
    client: &Client,
    scope: &WatchScope,
    routers: &BTreeSet<RouterKind>,
    pokes: &Pokes,
) -> (Stores, Vec<BoxFuture<'static, ()>>) {
    let (rollouts, rollouts_writer) = reflector::store::<FreeThreadRollout>();
    let (deployments, deployments_writer) = reflector::store::<Deployment>();
    let (pods, pods_writer) = reflector::store::<Pod>();
    let (services, services_writer) = reflector::store::<Service>();
    let (autoscalers, autoscalers_writer) = reflector::store::<HorizontalPodAutoscaler>();
    let (jobs, jobs_writer) = reflector::store::<Job>();
    let (of_routes, kinds) = routes::start(routers);
    let flags = routers.contains(&RouterKind::Flag).then(Evaluations::default);
    let stores =
        Stores { rollouts, deployments, pods, services, autoscalers, jobs, routes: of_routes, flags };
    let mut all = vec![
        keep(scope.api(client.clone()), "", rollouts_writer, prune_rollout, rivals, &stores, pokes),
        keep(
            scope.api(client.clone()),
            "",
            deployments_writer,
            prune_deployment,
            of_deployment,
            &stores,
            pokes,
        ),
        keep(scope.api(client.clone()), "", pods_writer, prune_pod, of_pod, &stores, pokes),
        keep(scope.api(client.clone()), "", services_writer, prune_rest, of_namespace, &stores, pokes),
        keep(scope.api(client.clone()), "", autoscalers_writer, prune_rest, of_namespace, &stores, pokes),
        keep(scope.api(client.clone()), LABEL_PREFLIGHT, jobs_writer, prune_job, of_job, &stores, pokes),
    ];
    all.extend(kinds.into_iter().map(|kind| routes::keep(client, scope, kind, &stores, pokes)));
    (stores, all)
}

impl Stores {
    /// Resolves when every cache has been filled once.
    pub async fn ready(&self) {
        // An error means that the writer is gone, which ends the process by itself.
        let _ = self.rollouts.wait_until_ready().await;
        let _ = self.deployments.wait_until_ready().await;
        let _ = self.pods.wait_until_ready().await;
        let _ = self.services.wait_until_ready().await;
        let _ = self.autoscalers.wait_until_ready().await;
        let _ = self.jobs.wait_until_ready().await;
    }
}

type Affected = Vec<(String, String)>;

/// Of all objects those that have the label, or all without one.
fn keep<K>(
    api: Api<K>,
    label: &str,
    writer: reflector::store::Writer<K>,
    prune: fn(&mut K),
    affected: fn(&K, &Stores) -> Affected,
    stores: &Stores,
    pokes: &Pokes,
) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (stores, pokes) = (stores.clone(), pokes.clone());
    let events = watcher(api, watcher::Config::default().labels(label))
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        .touched_objects();
    Box::pin(events.for_each(move |event| {
        match event {
            Ok(object) => {
                for (namespace, name) in affected(&object, &stores) {
                    pokes.poke(&namespace, &name);
                }
            }
            // The watcher reconnects by itself, with backoff.
            Err(error) => tracing::warn!(kind = %K::kind(&()), error = %error, "watch interrupted"),
        }
        std::future::ready(())
    }))
}

fn prune_rollout(rollout: &mut FreeThreadRollout) {
    rollout.metadata.managed_fields = None;
}

fn prune_deployment(deployment: &mut Deployment) {
    // Ours keep them: they tell who edited it.
    if owner(deployment).is_none() {
        // Of a team's only who decides about its replicas, where anybody does.
        let kept = replicas_owner(deployment).cloned();
        deployment.metadata.managed_fields = kept.map(|entry| vec![only_replicas(entry)]);
    }
    deployment.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// An entry that owns many fields, reduced to the one that is asked for.
fn only_replicas(entry: ManagedFieldsEntry) -> ManagedFieldsEntry {
    let replicas = serde_json::json!({"f:spec": {"f:replicas": {}}});
    ManagedFieldsEntry { fields_v1: Some(FieldsV1(replicas)), ..entry }
}

fn prune_pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    pod.spec = None;
    if let Some(status) = pod.status.as_mut() {
        status.pod_ips = None;
        status.host_ips = None;
        status.ephemeral_container_statuses = None;
    }
}

fn prune_job(job: &mut Job) {
    job.metadata.managed_fields = None;
    job.spec = None;
}

fn prune_rest<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

fn in_namespace<'a>(
    stores: &Stores,
    namespace: &'a str,
) -> impl Iterator<Item = Arc<FreeThreadRollout>> + use<'a> {
    stores.rollouts.state().into_iter().filter(move |r| r.namespace().as_deref() == Some(namespace))
}

fn key(rollout: &FreeThreadRollout) -> (String, String) {
    (rollout.namespace().unwrap_or_default(), rollout.name_any())
}

/// A rollout that comes or goes may free or take the workload of another one.
fn rivals(rollout: &FreeThreadRollout, stores: &Stores) -> Affected {
    let namespace = rollout.namespace().unwrap_or_default();
    in_namespace(stores, &namespace)
        .filter(|other| other.spec.workload_ref == rollout.spec.workload_ref && other.uid() != rollout.uid())
        .map(|other| key(&other))
        .collect()
}

fn of_deployment(deployment: &Deployment, stores: &Stores) -> Affected {
    let namespace = deployment.namespace().unwrap_or_default();
    let owner = owner(deployment);
    in_namespace(stores, &namespace)
        .filter(|r| owner == Some(r.name_any().as_str()) || r.spec.workload_ref.name == deployment.name_any())
        .map(|r| key(&r))
        .collect()
}

fn of_pod(pod: &Pod, stores: &Stores) -> Affected {
    let namespace = pod.namespace().unwrap_or_default();
    if pod.labels().contains_key(LABEL_POOL) || pod.labels().contains_key(LABEL_PREFLIGHT) {
        return pod.labels().get(LABEL_ROLLOUT).map(|name| (namespace, name.clone())).into_iter().collect();
    }
    in_namespace(stores, &namespace)
        .filter(|rollout| {
            let workload = ObjectRef::new(&rollout.spec.workload_ref.name).within(&namespace);
            let selector =
                stores.deployments.get(&workload).and_then(|d| d.spec.as_ref().map(|s| s.selector.clone()));
            selector.is_some_and(|selector| selects(&selector, pod.labels()))
        })
        .map(|r| key(&r))
        .collect()
}

fn of_job(job: &Job, _: &Stores) -> Affected {
    let namespace = job.namespace().unwrap_or_default();
    job.labels().get(LABEL_ROLLOUT).map(|name| (namespace, name.clone())).into_iter().collect()
}

fn of_namespace<K: Resource>(object: &K, stores: &Stores) -> Affected {
    let namespace = object.namespace().unwrap_or_default();
    in_namespace(stores, &namespace).map(|r| key(&r)).collect()
}

/// The rollout that a Deployment is the pool of, by its selector: that cannot be edited, a label can.
pub(super) fn owner(deployment: &Deployment) -> Option<&str> {
    let selector = deployment.spec.as_ref().and_then(|s| s.selector.match_labels.as_ref())?;
    selector.get(LABEL_ROLLOUT).map(String::as_str)
}

/// Whether a label selector matches; one that cannot be parsed matches nothing.
pub(super) fn selects(selector: &LabelSelector, labels: &std::collections::BTreeMap<String, String>) -> bool {
    kube::core::Selector::try_from(selector.clone())
        .is_ok_and(|s| kube::core::SelectorExt::matches(&s, labels))
}
