//! The pass as the operator does it, over the server's state: observe, decide, act.

use freethread_rollout::{
    act::{ActError, Actor, Done, Written, act},
    api::{
        ANNOTATION_COMMAND, FINALIZER, FreeThreadRollout, FreeThreadRolloutStatus, LABEL_POOL, LABEL_ROLLOUT,
        POOL_FREE_THREADED, Reason,
    },
    decide::{Decision, Input, decide},
    judge::Finding,
    observe::{RouteStores, Scene, Stores, observe},
};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Client, Resource, ResourceExt,
    runtime::{reflector, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::findings::clear;
use super::server::{Call, Seen, Server};

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) now: Timestamp,
    pub(crate) finding: Finding,
    /// Pods of the standard pool, all ready.
    pub(crate) standard: i32,
    /// Pods of ours that are ready, where those are not just the ones that are written.
    pub(crate) serving: Option<i64>,
}

/// What one pass saw and decided.
pub(crate) struct Pass {
    pub(crate) rollout: FreeThreadRollout,
    pub(crate) scene: Scene,
    pub(crate) decision: Decision,
}

impl World {
    /// A rollout that nobody has looked at yet: 20 %, then 50 %, beside four pods.
    pub(crate) fn new() -> Self {
        let server = Server::with(json!({
            "apiVersion": "freethreading.dev/v1alpha1",
            "kind": "FreeThreadRollout",
            "metadata": {"name": "orders", "namespace": "shop", "uid": "rollout-1", "generation": 1,
                "creationTimestamp": "2026-11-23T18:00:00Z", "finalizers": ["other/finalizer", FINALIZER]},
            "spec": {
                "workloadRef": {"name": "orders"},
                "freeThreaded": {"image": "orders:{tag}-ft", "warmUp": "0s"},
                "traffic": {"podCount": {}},
                "steps": [{"weight": 20, "hold": "10s"}, {"weight": 50, "hold": "1h"}],
                "analysis": {"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}},
            },
        }));
        Self {
            client: server.client(),
            server,
            now: "2026-11-23T19:00:00Z".parse().unwrap(),
            finding: clear(),
            standard: 4,
            serving: None,
        }
    }

    /// With the first step's pod serving, and nothing to do.
    pub(crate) async fn holding() -> Self {
        let mut world = Self::new();
        world.until(|world, _| world.status().reason == Reason::Holding).await;
        assert_eq!(world.server.written(), Some(1));
        world.seen().await;
        world
    }

    /// Just before the first pod is written.
    pub(crate) async fn rising() -> (Self, Pass) {
        let mut world = Self::new();
        let pass = world.until(|_, pass| pass.decision.target.weight == 1).await;
        world.seen().await;
        (world, pass)
    }

    /// Whole passes, until the next one is such; that one is decided and not acted on.
    pub(crate) async fn until(&mut self, such: impl Fn(&Self, &Pass) -> bool) -> Pass {
        for _ in 0..100 {
            let pass = self.decide();
            if such(self, &pass) {
                return pass;
            }
            self.act(&pass).await.unwrap();
            self.tick();
        }
        panic!("never: {:#?}", self.status());
    }

    pub(crate) fn tick(&mut self) {
        self.now += SignedDuration::from_millis(500);
    }

    /// Another process: nothing is left but what the server keeps.
    pub(crate) fn restart(&mut self) {
        self.client = self.server.client();
    }

    pub(crate) fn status(&self) -> FreeThreadRolloutStatus {
        let rollout = self.server.rollout().unwrap_or_default();
        serde_json::from_value(rollout["status"].clone()).unwrap_or_default()
    }

    pub(crate) fn decide(&self) -> Pass {
        let rollout: FreeThreadRollout = serde_json::from_value(self.server.rollout().unwrap()).unwrap();
        let scene = observe(&rollout, &self.stores(&rollout), <_>::default(), 1000);
        let status = rollout.status.clone().unwrap_or_default();
        let decision = decide(&Input {
            name: "orders",
            spec: &rollout.spec,
            generation: 1,
            giving_back: false,
            deleting: rollout.metadata.deletion_timestamp.is_some(),
            command: rollout.annotations().get(ANNOTATION_COMMAND).map(String::as_str),
            status: &status,
            observation: &scene.observation,
            finding: &self.finding,
            now: self.now,
        });
        Pass { rollout, scene, decision }
    }

    pub(crate) async fn act(&self, pass: &Pass) -> Result<Done, ActError> {
        let (client, written) = (&self.client, &Written::default());
        let actor = Actor { client, instance: "operator-1", written };
        act(actor, &pass.rollout, &pass.scene, &pass.decision).await
    }

    /// One whole pass.
    pub(crate) async fn pass(&mut self) -> Result<Done, ActError> {
        let pass = self.decide();
        let done = self.act(&pass).await;
        self.tick();
        done
    }

    /// Calls since the last time, once nothing is under way any more (events are published on their own).
    pub(crate) async fn calls(&self) -> Vec<Call> {
        self.seen().await.iter().map(|seen| seen.call).collect()
    }

    pub(crate) async fn seen(&self) -> Vec<Seen> {
        // Time stands still: this is over when every task waits for something.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.server.seen()
    }

    /// Somebody edits the pool's template.
    pub(crate) fn edit(&self) {
        self.server.edit_pool(|pool| {
            pool["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
            pool["metadata"]["managedFields"] = json!([{"manager": "kubectl-edit", "operation": "Update",
                "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:template": {}}}}]);
        });
    }

    /// Somebody deletes the rollout.
    pub(crate) fn delete(&self) {
        self.server.edit_rollout(|rollout| {
            rollout["metadata"]["deletionTimestamp"] = json!("2026-11-23T19:30:00Z");
        });
    }

    fn stores(&self, rollout: &FreeThreadRollout) -> Stores {
        let service = json!({"metadata": {"name": "orders", "namespace": "shop"},
            "spec": {"selector": {"app": "orders"}}});
        let standard = json!({
            "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {"replicas": self.standard, "selector": {"matchLabels": {"app": "orders"}},
                "template": {"metadata": {"labels": {"app": "orders"}},
                    "spec": {"containers": [{"name": "web", "image": "orders:1"}]}}},
        });
        let theirs =
            (0..self.standard).map(|index| pod(&format!("orders-{index}"), &json!({"app": "orders"})));
        let ready = self.serving.or(self.server.written()).unwrap_or(0);
        let labels = json!({LABEL_ROLLOUT: "orders", LABEL_POOL: POOL_FREE_THREADED});
        let ours = (0..ready).map(|index| pod(&format!("orders-ft-{index}"), &labels));
        Stores {
            rollouts: store([serde_json::to_value(rollout).unwrap()]),
            deployments: store([standard].into_iter().chain(self.server.pool())),
            pods: store(theirs.chain(ours)),
            services: store([service]),
            autoscalers: store([]),
            jobs: store([]),
            routes: RouteStores::default(),
            flags: None,
        }
    }
}

fn pod(name: &str, labels: &Value) -> Value {
    let since = "2026-11-23T18:00:00Z";
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels, "creationTimestamp": since},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}],
            "containerStatuses": [{"name": "web", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": since}}}],
        },
    })
}

fn store<K>(objects: impl IntoIterator<Item = Value>) -> reflector::Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    let (store, mut writer) = reflector::store();
    for object in objects {
        writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value::<K>(object).unwrap()));
    }
    store
}
