//! What the API server says about one namespace, kept by watches: the present, and the way there.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use freethread_rollout::api::{
    FINALIZER, FreeThreadRollout, LABEL_POOL, POOL_FREE_THREADED, Phase, Reason, pool_name,
};
use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment, core::v1::Pod, discovery::v1::EndpointSlice, events::v1::Event as KubeEvent,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{Result, cluster::revision, stage::NAME, vocabulary::Forbidden};

/// One namespace, watched.
pub(crate) struct World {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    guards: Mutex<Vec<(usize, Forbidden)>>,
    /// What may never happen as long as nothing has been done to the rollout.
    calm: Mutex<Option<Forbidden>>,
    _watches: JoinSet<()>,
}

/// The objects as they are now, and the views since the start.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) rollouts: Mirror<FreeThreadRollout>,
    pub(crate) deployments: Mirror<Deployment>,
    pub(crate) pods: Mirror<Pod>,
    pub(crate) slices: Mirror<EndpointSlice>,
    pub(crate) events: Mirror<KubeEvent>,
    /// Pods that were ever seen: whether they are of the free-threaded pool.
    free_threaded: HashMap<String, bool>,
    /// Every change of the view, oldest first.
    pub(crate) timeline: Vec<Moment>,
    /// The last failure of a watch.
    pub(crate) trouble: Option<String>,
}

/// A view and since when it has been so.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    /// Resource version of the object that changed: orders what different watches saw.
    pub(crate) revision: u64,
    pub(crate) view: View,
}

/// What scenarios look at, in one line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct View {
    /// The rollout exists.
    pub(crate) rollout: bool,
    /// Our finalizer is on it.
    pub(crate) finalizer: bool,
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) step_label: Option<String>,
    pub(crate) message: String,
    pub(crate) wanted: i32,
    pub(crate) verdict: Option<String>,
    pub(crate) evidence: Option<String>,
    /// Replicas asked of the free-threaded pool's Deployment, if it exists.
    pub(crate) pool: Option<i32>,
    /// Replicas asked of the standard Deployment, if it exists.
    pub(crate) standard: Option<i32>,
    pub(crate) standard_ready: usize,
    pub(crate) free_threaded_ready: usize,
    pub(crate) free_threaded_listed: usize,
}

/// The objects of one kind, by name.
pub(crate) struct Mirror<K> {
    pub(crate) objects: BTreeMap<String, K>,
    listing: BTreeMap<String, K>,
}

impl<K> Default for Mirror<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listing: BTreeMap::new() }
    }
}

impl<K: Resource> Mirror<K> {
    /// Takes a watch event and returns the resource version it brings.
    fn take(&mut self, event: Event<K>) -> u64 {
        match event {
            Event::Apply(object) => {
                let at = revision(&object);
                self.objects.insert(object.name_any(), object);
                at
            }
            Event::Delete(object) => {
                self.objects.remove(&object.name_any());
                revision(&object)
            }
            Event::Init => {
                self.listing.clear();
                0
            }
            Event::InitApply(object) => {
                self.listing.insert(object.name_any(), object);
                0
            }
            Event::InitDone => {
                self.objects = std::mem::take(&mut self.listing);
                self.objects.values().map(revision).max().unwrap_or(0)
            }
        }
    }
}

impl World {
    /// Watches a namespace for as long as it lives.
    pub(crate) fn watch(client: &Client, namespace: &str) -> Arc<Self> {
        Arc::new_cyclic(|world| {
            let mut watches = JoinSet::new();
            macro_rules! follow {
                ($kind:ty, $field:ident) => {
                    let api = Api::<$kind>::namespaced(client.clone(), namespace);
                    watches.spawn(follow(world.clone(), api, |state| &mut state.$field));
                };
            }
            follow!(FreeThreadRollout, rollouts);
            follow!(Deployment, deployments);
            follow!(Pod, pods);
            follow!(EndpointSlice, slices);
            follow!(KubeEvent, events);
            Self {
                state: Mutex::default(),
                changed: watch::Sender::new(()),
                guards: Mutex::default(),
                calm: Mutex::new(Some(Forbidden {
                    phase: vec![Phase::RolledBack, Phase::Failed],
                    ..Forbidden::default()
                })),
                _watches: watches,
            }
        })
    }

    /// The present.
    pub(crate) fn now(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until `check` is content and returns its words. `check` says what it sees as long as it is not. Fails at the deadline,
    /// and at once when something happens that is forbidden.
    pub(crate) async fn until(
        &self,
        deadline: Instant,
        mut check: impl FnMut(&State) -> std::result::Result<String, String>,
    ) -> Result<String> {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            self.guard()?;
            let seen = match check(&self.now()) {
                Ok(content) => return Ok(content),
                Err(seen) => seen,
            };
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                let trouble =
                    self.now().trouble.clone().map(|t| format!(" (a watch failed: {t})")).unwrap_or_default();
                return Err(format!("{seen}{trouble}").into());
            }
        }
    }

    /// From now on this is forbidden.
    pub(crate) fn forbid(&self, what: Forbidden) {
        let from = self.now().timeline.len().saturating_sub(1);
        self.guards.lock().unwrap_or_else(PoisonError::into_inner).push((from, what));
    }

    /// Something is done to the rollout: from now on it may give traffic back.
    pub(crate) fn disturb(&self) {
        *self.calm.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Nothing is forbidden any more.
    pub(crate) fn lift(&self) {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Fails if something forbidden has happened.
    pub(crate) fn guard(&self) -> Result<()> {
        let state = self.now();
        for (from, forbidden) in self.guards.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(broken) = broken(forbidden, state.timeline.get(*from..).unwrap_or_default()) {
                return Err(format!("what may never happen did: {broken}").into());
            }
        }
        if let Some(calm) = self.calm.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && let Some(broken) = broken(calm, &state.timeline)
        {
            return Err(format!("nothing has been done to the rollout yet, and it is {broken}").into());
        }
        Ok(())
    }

    fn change(&self, with: impl FnOnce(&mut State) -> u64) {
        let mut state = self.now();
        let revision = with(&mut state);
        state.look(revision);
        drop(state);
        self.changed.send_replace(());
    }
}

fn broken(forbidden: &Forbidden, moments: &[Moment]) -> Option<String> {
    for pair in moments.windows(2) {
        let [before, after] = [&pair[0].view, &pair[1].view];
        if forbidden.weight_rises && before.rollout && after.rollout && after.wanted > before.wanted {
            return Some(format!("the wanted weight rose from {} % to {} %", before.wanted, after.wanted));
        }
        if let (true, Some(from), Some(to)) = (forbidden.weight_rises, before.pool, after.pool)
            && to > from
        {
            return Some(format!("the free-threaded pool rose from {from} to {to} replicas"));
        }
        if let (true, Some(from), Some(to)) = (forbidden.standard_shrinks, before.standard, after.standard)
            && to < from
        {
            return Some(format!("the standard pool fell from {from} to {to} replicas"));
        }
    }
    let there =
        moments.iter().map(|m| &m.view).find(|view| view.rollout && forbidden.phase.contains(&view.phase))?;
    Some(format!("{:?} ({:?}): {}", there.phase, there.reason, there.message))
}

async fn follow<K>(world: std::sync::Weak<World>, api: Api<K>, of: fn(&mut State) -> &mut Mirror<K>)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    // The world is finished right after its watches were spawned.
    while world.strong_count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut stream = pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = stream.next().await {
        let Some(world) = world.upgrade() else { return };
        match event {
            Ok(event) => world.change(|state| of(state).take(event)),
            Err(error) => world.now().trouble = Some(error.to_string()),
        }
    }
}

impl State {
    /// The rollout.
    pub(crate) fn rollout(&self) -> Option<&FreeThreadRollout> {
        self.rollouts.objects.get(NAME)
    }

    /// The present view.
    pub(crate) fn view(&self) -> View {
        self.timeline.last().map(|moment| moment.view.clone()).unwrap_or_default()
    }

    /// Running pods of the example service, by pool.
    pub(crate) fn pods_of(&self, free_threaded: bool) -> Vec<String> {
        self.pods
            .objects
            .values()
            // Behind a route our pods carry no label of the service's.
            .filter(|pod| pod.labels().get("app").is_some_and(|app| app == NAME) || is_free_threaded(pod))
            .filter(|pod| is_free_threaded(pod) == free_threaded && pod.metadata.deletion_timestamp.is_none())
            .filter(|pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running"))
            .map(ResourceExt::name_any)
            .collect()
    }

    /// Why a pod's containers wait, in words; nothing if they do not.
    pub(crate) fn why_waiting(&self, pod: &str) -> String {
        let status = self.pods.objects.get(pod).and_then(|pod| pod.status.as_ref());
        let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        containers
            .iter()
            .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
            .map(|waiting| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("; its container waits: {} {}", text(&waiting.reason), text(&waiting.message))
            })
            .collect::<Vec<String>>()
            .concat()
    }

    fn look(&mut self, revision: u64) {
        for pod in self.pods.objects.values() {
            self.free_threaded.insert(pod.name_any(), is_free_threaded(pod));
        }
        let view = self.build_view();
        if self.timeline.last().is_none_or(|last| last.view != view) {
            self.timeline.push(Moment { at: Instant::now(), revision, view });
        }
    }

    fn build_view(&self) -> View {
        let replicas = |name: &str| {
            let deployment = self.deployments.objects.get(name)?;
            Some(deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1))
        };
        let mut view = View { pool: replicas(&pool_name(NAME)), standard: replicas(NAME), ..View::default() };
        if let Some(rollout) = self.rollout() {
            view.rollout = true;
            view.finalizer = rollout.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
            if let Some(status) = &rollout.status {
                view.phase = status.phase;
                view.reason = status.reason;
                view.step_label.clone_from(&status.step_label);
                view.message.clone_from(&status.message);
                view.wanted = status.weight.wanted;
                view.verdict = status.verdict.as_ref().map(|verdict| verdict.overall.clone());
                view.evidence = status.verdict.as_ref().and_then(|verdict| verdict.evidence.clone());
            }
        }
        let of_service = |slice: &&EndpointSlice| {
            slice
                .labels()
                .get("kubernetes.io/service-name")
                .is_some_and(|service| *service == NAME || *service == pool_name(NAME))
        };
        for endpoint in
            self.slices.objects.values().filter(of_service).flat_map(|s| s.endpoints.iter().flatten())
        {
            let pod =
                endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref()).unwrap_or_default();
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let ours = self
                .free_threaded
                .get(pod)
                .copied()
                .unwrap_or_else(|| pod.starts_with(&format!("{}-", pool_name(NAME))));
            if ours {
                view.free_threaded_listed += 1;
                view.free_threaded_ready += usize::from(ready);
            } else {
                view.standard_ready += usize::from(ready);
            }
        }
        view
    }
}

fn is_free_threaded(pod: &Pod) -> bool {
    pod.labels().get(LABEL_POOL).is_some_and(|pool| pool == POOL_FREE_THREADED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wanted: i32, pool: i32, phase: Phase) -> Moment {
        let view = View { rollout: true, wanted, pool: Some(pool), phase, ..View::default() };
        Moment { at: Instant::now(), revision: 0, view }
    }

    #[test]
    fn what_is_forbidden_is_found_anywhere_on_the_way() {
        let way = [
            moment(25, 1, Phase::Progressing),
            moment(25, 2, Phase::Progressing),
            moment(25, 1, Phase::RolledBack),
            moment(0, 0, Phase::Paused),
        ];
        let rises = Forbidden { weight_rises: true, ..Forbidden::default() };
        assert_eq!(broken(&rises, &way).unwrap(), "the free-threaded pool rose from 1 to 2 replicas");
        assert_eq!(broken(&rises, &way[1..]), None);
        let phase = Forbidden { phase: vec![Phase::RolledBack], ..Forbidden::default() };
        assert!(broken(&phase, &way).is_some());
        assert_eq!(broken(&phase, &way[..2]), None);
    }
}
