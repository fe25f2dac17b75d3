//! The stage of a scenario: a namespace of its own with the example service and the load generator, and the way to leave nothing behind.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use freethread_rollout::api::{FreeThreadRollout, Reason};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{
    Api, ResourceExt as _,
    api::DeleteParams,
    runtime::{conditions::is_deleted, wait::await_condition},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Result,
    cluster::{Cluster, within},
    context,
    load::{self, Load},
    operator, plugin, queue,
    reading::{yaml, yaml_documents},
    route::{Route, filled, gateway},
    vocabulary::{ExpectedPlugin, Scenario, Setting, Step},
    world::World,
};

/// Name of the service, its Deployment and the rollout.
pub(crate) const NAME: &str = "orders";
/// The pod that can kill processes of its node.
const KILLER: &str = "killer";
const KILLER_PORT: u16 = 9001;

/// A namespace, set up.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) world: Arc<World>,
    pub(crate) load: Load,
    pub(crate) folder: PathBuf,
    /// The rollout's manifest.
    rollout: Value,
    /// Deployments (namespace, name, replicas) that get their replicas back at the end.
    restore: Vec<(String, String, i32)>,
    /// The operator is not installed as it was: it is again at the end.
    pub(crate) reinstall: bool,
    /// The other namespace.
    elsewhere: Option<String>,
    /// The team's route.
    pub(crate) route: Option<Route>,
}

impl Stage {
    /// Creates the namespace. Nothing is in it yet, so that what fails later can be cleaned up.
    pub(crate) async fn open(cluster: &Cluster, scenario: &Scenario, directory: &Path) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let namespace = format!("scenario-{}-{:x}", scenario.name, since.as_secs() % 0x10_0000);
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        cluster.apply("", &manifest).await?;
        Ok(Self {
            cluster: cluster.clone(),
            world: World::watch(&cluster.client, &namespace),
            load: Load { cluster: cluster.clone(), namespace: namespace.clone() },
            folder: directory.join(&scenario.name),
            rollout: rollout(&scenario.setting, directory, &namespace)?,
            restore: Vec::new(),
            reinstall: false,
            elsewhere: None,
            route: None,
            namespace,
        })
    }

    /// Deploys the service with its standard pool, waits until it is ready, starts the load, applies the rollout.
    pub(crate) async fn furnish(&mut self, scenario: &Scenario) -> Result<()> {
        if std::env::var("OPERATOR").is_ok_and(|value| value == "off") {
            let name = self.cluster.operator().await?;
            let namespace = self.cluster.operator_namespace.clone();
            println!("  OPERATOR=off: the operator is scaled to 0 for this scenario");
            self.scale_for_now(namespace, name, 0).await?;
        }
        let manifests = service(&scenario.setting)?;
        if scenario.setting.queue {
            queue::deploy(self, manifests).await?;
        } else {
            for manifest in manifests {
                self.cluster.apply(&self.namespace, &manifest).await?;
            }
        }
        for name in &scenario.setting.manifests {
            self.apply(name).await?;
        }
        if let Some(name) = &scenario.setting.route {
            let text = std::fs::read_to_string(self.folder.join(name)).map_err(context(name))?;
            let text = filled(&text, &self.namespace, scenario.setting.via);
            let manifest: Value = serde_yaml::from_str(&text).map_err(context(name))?;
            self.cluster.apply(&self.namespace, &manifest).await?;
            self.route = Some(Route::of(&self.cluster, &self.namespace, &manifest).await?);
        }
        if scenario.steps.iter().any(|step| matches!(step, Step::Kill(_))) {
            self.place_killer().await?;
        }
        let replicas = usize::try_from(scenario.setting.standard.replicas).unwrap_or(0);
        self.world
            .until(Instant::now() + Duration::from_mins(3), |state| {
                let ready = state.view().standard_ready;
                // Workers have no endpoints: they were waited for.
                if ready == replicas || scenario.setting.queue {
                    Ok(String::new())
                } else {
                    Err(format!("{ready} of {replicas} standard pods are ready"))
                }
            })
            .await
            .map_err(context("the service does not start"))?;
        if scenario.setting.hopeless {
            self.world.disturb();
        }
        // Without a route of the team's nobody gets through before the operator has written one.
        let through_ours = scenario.setting.via.is_some() && scenario.setting.route.is_none();
        if through_ours {
            self.apply("rollout").await?;
        }
        self.start_load(&scenario.setting).await?;
        if through_ours { Ok(()) } else { self.apply("rollout").await }
    }

    /// What the plugin prints has these words, and is a manifest where that is said.
    pub(crate) async fn expect_plugin(&self, expected: &ExpectedPlugin) -> Result<String> {
        let printed = plugin::run(&self.namespace, &expected.run).await?;
        if let Some(missing) = expected.says.iter().find(|words| !printed.contains(*words)) {
            return Err(format!("it does not say '{missing}':\n{printed}").into());
        }
        if expected.accepted {
            let manifest: Value = serde_yaml::from_str(&printed).map_err(context("what it printed"))?;
            self.cluster.would_take(&self.namespace, &manifest).await?;
        }
        Ok(format!("{} lines", printed.lines().count()))
    }

    /// Applies a manifest of the scenario's folder, or the rollout.
    pub(crate) async fn apply(&self, name: &str) -> Result<()> {
        if name == "rollout" {
            return self.cluster.apply(&self.namespace, &self.rollout).await;
        }
        for mut manifest in yaml_documents(&self.folder.join(name))? {
            self.cluster.fill_owners(&self.namespace, &mut manifest).await?;
            self.cluster.apply(&self.namespace, &manifest).await?;
        }
        Ok(())
    }

    /// Applies the rollout in a namespace beside this one, in which there is nothing else.
    pub(crate) async fn apply_elsewhere(&mut self) -> Result<()> {
        let namespace = format!("{}-elsewhere", self.namespace);
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.cluster.apply("", &manifest).await?;
        self.elsewhere = Some(namespace.clone());
        self.cluster.apply(&namespace, &self.rollout).await
    }

    /// An operator that looked at the other rollout would have said that its workload is missing.
    pub(crate) async fn expect_elsewhere_untouched(&self) -> Result<String> {
        let namespace = self.elsewhere.as_deref().ok_or("nothing was applied elsewhere")?;
        let rollouts: Api<FreeThreadRollout> = Api::namespaced(self.cluster.client.clone(), namespace);
        let found = within(rollouts.get(NAME)).await.map_err(context("the rollout elsewhere"))?;
        // The API server gives a new one the status that the CRD has for it, which is about no generation.
        let looked_at = found.status.as_ref().is_some_and(|status| status.observed_generation >= 0);
        if !looked_at && found.finalizers().is_empty() {
            return Ok("nobody has looked at it, and it has no finalizer".into());
        }
        let (finalizers, status) = (found.finalizers(), &found.status);
        Err(format!("it has the finalizers {finalizers:?} and the status {status:?}").into())
    }

    async fn start_load(&self, setting: &Setting) -> Result<()> {
        let target = match setting.via {
            Some(via) => gateway(&self.cluster, via).await?,
            None => self.service_address(if setting.queue { queue::PRODUCER } else { NAME }).await?,
        };
        let image = std::env::var("LOAD_IMAGE").unwrap_or_else(|_| "registry.example/load:test".into());
        let host = format!("--host={}.example", self.namespace);
        let users = format!("--users={}", setting.users);
        let args = [format!("--target={target}"), format!("--rps={}", setting.rps), host, users];
        self.cluster
            .apply(&self.namespace, &pod(load::POD, &image, &json!({"args": args}), &json!({})))
            .await?;
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let seen = match self.load.counts().await {
                Ok(counts) if counts.total.pools.get("standard").is_some_and(|pool| pool.answered > 0) => {
                    return Ok(());
                }
                Ok(_) => "it gets no answers".to_owned(),
                Err(error) => format!("{error}{}", self.world.now().why_waiting(load::POD)),
            };
            if Instant::now() > deadline {
                return Err(format!("the load generator does not start: {seen}").into());
            }
            tokio::time::sleep(load::PERIOD).await;
        }
    }

    async fn service_address(&self, name: &str) -> Result<String> {
        let services: Api<Service> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let service = within(services.get(name)).await.map_err(context("the service"))?;
        let spec = service.spec.unwrap_or_default();
        let address = spec.cluster_ip.unwrap_or_default();
        let port = spec.ports.unwrap_or_default().first().map_or(8080, |port| port.port);
        Ok(format!("{address}:{port}"))
    }

    /// Kills the operator that leads: its process at once, then its pod, so that it does not come back under its old name.
    pub(crate) async fn kill_leader(&self) -> Result<String> {
        let leader = self.cluster.leader().await?;
        let body = json!({"pod": leader.pod});
        let killed = self.cluster.to_pod(&self.namespace, KILLER, KILLER_PORT, "/kill", Some(&body)).await?;
        if killed.trim() == "0" {
            return Err(format!("no process of pod {} was found on its node", leader.pod).into());
        }
        self.cluster.delete_now(&self.cluster.operator_namespace, &leader.pod).await?;
        Ok(format!("killed {} ({} processes)", leader.pod, killed.trim()))
    }

    /// A pod on the leader's node that sees all processes there. Ready beforehand: the kill must not take its time to start.
    async fn place_killer(&self) -> Result<()> {
        let leader = self.cluster.leader().await?;
        let image = std::env::var("PYTHON_IMAGE").unwrap_or_else(|_| "registry.example/orders:1.0".into());
        let container = json!({
            "command": ["python3", "-c", include_str!("../killer.py")],
            "securityContext": {"runAsUser": 0, "runAsNonRoot": false, "privileged": true},
        });
        let spec = json!({"hostPID": true, "nodeName": leader.node});
        self.cluster.apply(&self.namespace, &pod(KILLER, &image, &container, &spec)).await?;
        let deadline = Instant::now() + Duration::from_mins(1);
        while let Err(error) = self.cluster.to_pod(&self.namespace, KILLER, KILLER_PORT, "/", None).await {
            if Instant::now() > deadline {
                let why = self.world.now().why_waiting(KILLER);
                return Err(format!("the killer does not start: {error}{why}").into());
            }
            tokio::time::sleep(load::PERIOD).await;
        }
        Ok(())
    }

    /// Scales a Deployment until the scenario ends.
    pub(crate) async fn scale_for_now(
        &mut self,
        namespace: String,
        name: String,
        replicas: i32,
    ) -> Result<()> {
        let had = self.cluster.scale(&namespace, &name, replicas).await?;
        if !self.restore.iter().any(|(ns, n, _)| (ns, n) == (&namespace, &name)) {
            self.restore.push((namespace.clone(), name.clone(), had));
        }
        if replicas == 0 {
            self.wait_for_ready(&namespace, &name, 0).await?;
        }
        Ok(())
    }

    /// Waits until the Deployment has so many ready pods.
    pub(crate) async fn wait_for_ready(&self, namespace: &str, name: &str, ready: i32) -> Result<()> {
        let reached = |deployment: Option<&k8s_openapi::api::apps::v1::Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.and_then(|status| status.ready_replicas).unwrap_or(0) == ready
        };
        let waiting = await_condition(self.cluster.deployments(namespace), name, reached);
        match tokio::time::timeout(Duration::from_secs(90), waiting).await {
            Ok(ended) => ended.map(drop).map_err(context(&format!("watch Deployment {namespace}/{name}"))),
            Err(_) => {
                Err(format!("Deployment {namespace}/{name} has not {ready} ready pods after 90 s").into())
            }
        }
    }

    /// Gives everything back and deletes the namespace. A namespace that does not go is a failure: something blocks it.
    pub(crate) async fn strike(self, keep: bool) -> Result<()> {
        let mut failures = Vec::new();
        if self.reinstall
            && let Err(error) = operator::install(&self.cluster, None).await
        {
            failures.push(error.to_string());
        }
        for (namespace, name, replicas) in &self.restore {
            let restored = async {
                self.cluster.scale(namespace, name, *replicas).await?;
                self.wait_for_ready(namespace, name, *replicas).await
            };
            if let Err(error) = restored.await {
                failures.push(error.to_string());
            }
        }
        for namespace in self.elsewhere.iter().chain([&self.namespace]) {
            if keep {
                println!("  namespace {namespace} is kept");
            } else if let Err(error) = self.delete_namespace(namespace).await {
                failures.push(error.to_string());
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
    }

    async fn delete_namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        let Some(found) = within(namespaces.get_opt(name)).await? else {
            return Ok(());
        };
        within(namespaces.delete(name, &DeleteParams::default())).await?;
        self.until_namespace_gone(name, found.uid().unwrap_or_default(), Duration::from_mins(2)).await
    }

    /// Waits until the namespace with this name and uid is gone.
    pub(crate) async fn until_namespace_gone(
        &self,
        name: &str,
        uid: String,
        patience: Duration,
    ) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        let gone = await_condition(namespaces.clone(), name, is_deleted(&uid));
        if let Ok(ended) = tokio::time::timeout(patience, gone).await {
            return ended.map(drop).map_err(context("watch the namespace"));
        }
        let left = within(namespaces.get_opt(name)).await?.and_then(|ns| ns.status);
        let conditions = left.and_then(|status| status.conditions).unwrap_or_default();
        let why: Vec<String> = conditions
            .into_iter()
            .filter(|condition| condition.status == "True")
            .filter_map(|condition| condition.message)
            .collect();
        let waited = patience.as_secs();
        Err(format!("namespace {name} is not gone after {waited} s: {}", why.join("; ")).into())
    }
}

/// The example's manifests with the scenario's replicas and environment for the standard pool.
fn service(setting: &Setting) -> Result<Vec<Value>> {
    let path = if setting.queue { queue::MANIFESTS } else { "examples/service/orders.yaml" };
    let mut manifests = yaml_documents(Path::new(path))?;
    let standard =
        |manifest: &&mut Value| manifest["kind"] == "Deployment" && manifest["metadata"]["name"] == NAME;
    for manifest in manifests.iter_mut().filter(standard) {
        manifest["spec"]["replicas"] = json!(setting.standard.replicas);
        let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
        let mut env: Vec<Value> = container["env"].as_array().cloned().unwrap_or_default();
        env.retain(|entry| !setting.standard.env.contains_key(entry["name"].as_str().unwrap_or_default()));
        env.extend(setting.standard.env.iter().map(|(name, value)| json!({"name": name, "value": value})));
        container["env"] = Value::Array(env);
    }
    Ok(manifests)
}

/// The rollout: the scenario's spec merged over the one that all share.
fn rollout(setting: &Setting, directory: &Path, namespace: &str) -> Result<Value> {
    let mut spec = yaml(&directory.join("rollout.yaml"))?;
    json_patch::merge(
        &mut spec,
        &if setting.rollout.is_null() { json!({}) } else { setting.rollout.clone() },
    );
    let manifest = json!({
        "apiVersion": "freethreading.dev/v1alpha1",
        "kind": "FreeThreadRollout",
        "metadata": {"name": NAME},
        "spec": spec,
    });
    let manifest: Value = serde_json::from_str(&filled(&manifest.to_string(), namespace, setting.via))?;
    serde_json::from_value::<FreeThreadRollout>(manifest.clone()).map_err(context("the rollout's spec"))?;
    Ok(manifest)
}

fn pod(name: &str, image: &str, container: &Value, spec: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [{"name": name, "image": image, "imagePullPolicy": "IfNotPresent"}],
        },
    });
    json_patch::merge(&mut pod["spec"], spec);
    json_patch::merge(&mut pod["spec"]["containers"][0], container);
    pod
}

/// Reason as a word.
pub(crate) fn word(reason: Reason) -> String {
    reason.as_str()
}
