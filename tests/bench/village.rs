//! Many rollouts that rest: some rolled back, some in Hybrid with traffic.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use freethread_rollout::api::{ANNOTATION_COMMAND, FreeThreadRollout, Phase};
use futures::{
    StreamExt as _, TryStreamExt as _,
    future::{join_all, try_join_all},
    stream,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
    runtime::{conditions::is_deleted, wait::await_condition},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::SCENARIOS;
use crate::{
    Result,
    cluster::{Cluster, within},
    context,
    reading::{yaml, yaml_documents},
    stage::Stage,
    vocabulary::Scenario,
};

/// Requests under way at a time while many objects are made.
const AT_A_TIME: usize = 4;
/// Time between two looks at all rollouts.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time to roll all back, to bring all up, and to remove all.
const PATIENCE: Duration = Duration::from_mins(5);
/// The example service's manifests.
const SERVICE: &str = "examples/service/orders.yaml";

/// The namespaces: one for those without pods, and one for each of the others.
pub(super) struct Village {
    cluster: Cluster,
    namespace: String,
    stages: Vec<Stage>,
    scenario: Scenario,
}

impl Village {
    /// Creates the namespaces, nothing in them.
    pub(super) async fn open(cluster: &Cluster, hybrids: usize) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let namespace = format!("bench-idle-{:x}", since.as_secs() % 0x10_0000);
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        cluster.apply("", &manifest).await?;
        let setting = json!({
            "description": "a benchmark",
            "standard": {"replicas": 1},
            "rps": 20,
            "rollout": {"steps": [{"weight": 50, "hold": "1s"}]},
        });
        let setting = serde_json::from_value(setting).map_err(context("the benchmark's setting"))?;
        let mut village = Self {
            cluster: cluster.clone(),
            namespace,
            stages: Vec::new(),
            scenario: Scenario { name: String::new(), setting, steps: Vec::new() },
        };
        for number in 1..=hybrids {
            village.scenario.name = format!("bench-idle-{number}");
            village.stages.push(Stage::open(cluster, &village.scenario, Path::new(SCENARIOS)).await?);
        }
        Ok(village)
    }

    /// Makes so many rollouts of workloads without pods, and aborts each as soon as it has begun.
    pub(super) async fn roll_back(&self, count: usize) -> Result<()> {
        let spec = yaml(&Path::new(SCENARIOS).join("rollout.yaml"))?;
        let deployment =
            yaml_documents(Path::new(SERVICE))?.into_iter().find(|found| found["kind"] == "Deployment");
        let deployment = deployment.ok_or_else(|| format!("{SERVICE} has no Deployment"))?;
        let names: Vec<String> = (1..=count).map(|number| format!("idle-{number:03}")).collect();
        let make = |name: String| {
            let manifests = resting(&name, &deployment, &spec);
            async move {
                for manifest in &manifests {
                    insist(async || self.cluster.apply(&self.namespace, manifest).await).await?;
                }
                Ok::<(), crate::Error>(())
            }
        };
        stream::iter(names).map(Ok).try_for_each_concurrent(AT_A_TIME, make).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rollouts = self.list(&self.namespace).await?;
            let status = |rollout: &FreeThreadRollout| rollout.status.clone().unwrap_or_default();
            let done = rollouts.iter().filter(|rollout| status(rollout).phase == Phase::RolledBack).count();
            if done == count {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{done} of {count} rollouts are rolled back").into());
            }
            // A command that is older than the attempt is not acted on.
            let begun = rollouts.iter().filter(|rollout| {
                status(rollout).attempt.is_some() && !rollout.annotations().contains_key(ANNOTATION_COMMAND)
            });
            let abort = |name: String| async move {
                let command = format!("abort@{:.0}", Timestamp::now());
                let set = json!({"metadata": {"annotations": {ANNOTATION_COMMAND: command}}});
                let patched = self.cluster.patch(
                    &self.namespace,
                    "FreeThreadRollout",
                    &name,
                    "kubectl-freethread",
                    &set,
                    false,
                );
                // What was not taken is given again with the next look.
                let _ = patched.await;
            };
            let begun: Vec<String> = begun.map(kube::ResourceExt::name_any).collect();
            stream::iter(begun).for_each_concurrent(AT_A_TIME, abort).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Brings the others to where they stay for good.
    pub(super) async fn settle(&mut self) -> Result<()> {
        try_join_all(self.stages.iter_mut().map(|stage| stage.furnish(&self.scenario))).await?;
        for stage in &self.stages {
            let there = |state: &crate::world::State| {
                let view = state.view();
                let seen = format!("{:?} ({:?}): {}", view.phase, view.reason, view.message);
                // After the last step evidence starts anew, once: at rest is who is clear again.
                let mut guarded =
                    state.timeline.iter().skip_while(|moment| moment.view.phase != Phase::Hybrid);
                let anew = guarded.any(|moment| moment.view.verdict.as_deref() == Some("Unknown"));
                let rests = view.phase == Phase::Hybrid && anew && view.verdict.as_deref() == Some("Clear");
                if rests { Ok(seen) } else { Err(format!("{seen} (verdict {:?})", view.verdict)) }
            };
            stage.world.until(Instant::now() + PATIENCE, there).await?;
        }
        Ok(())
    }

    /// Waits until no rollout has changed for so long; `false` when that did not happen within the patience.
    pub(super) async fn quiet(&self, long: Duration, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        let (mut last, mut since) = (self.rollouts().await?, Instant::now());
        while Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            let now = self.rollouts().await?;
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= long {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All rollouts' status and resource version, by namespace and name.
    pub(super) async fn rollouts(&self) -> Result<BTreeMap<String, Value>> {
        let mut found = BTreeMap::new();
        let namespaces = self.stages.iter().map(|stage| &stage.namespace).chain([&self.namespace]);
        for namespace in namespaces {
            for rollout in self.list(namespace).await? {
                let seen = json!({"resourceVersion": rollout.resource_version(), "status": rollout.status});
                found.insert(format!("{namespace}/{}", rollout.name_any()), seen);
            }
        }
        Ok(found)
    }

    async fn list(&self, namespace: &str) -> Result<Vec<FreeThreadRollout>> {
        let api: Api<FreeThreadRollout> = Api::namespaced(self.cluster.client.clone(), namespace);
        let all = insist(async || within(api.list(&ListParams::default())).await).await;
        Ok(all.map_err(context("the rollouts"))?.items)
    }

    /// Removes everything.
    pub(super) async fn strike(self) -> Result<()> {
        let struck = join_all(self.stages.into_iter().map(|stage| stage.strike(false))).await;
        let mut failures: Vec<String> =
            struck.into_iter().filter_map(Result::err).map(|e| e.to_string()).collect();
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        let name = &self.namespace;
        if let Some(found) = within(namespaces.get_opt(name)).await? {
            within(namespaces.delete(name, &DeleteParams::default())).await?;
            let uid = found.uid().unwrap_or_default();
            let gone = await_condition(namespaces.clone(), name, is_deleted(&uid));
            if tokio::time::timeout(PATIENCE, gone).await.is_err() {
                failures.push(format!("namespace {name} is not gone after {} s", PATIENCE.as_secs()));
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
    }
}

/// Asks again after a failure: an API server that has a hundred objects to digest may take its time.
async fn insist<T>(request: impl AsyncFn() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match request().await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            ended => return ended,
        }
    }
}

/// A workload without pods, and its rollout.
fn resting(name: &str, deployment: &Value, spec: &Value) -> [Value; 2] {
    let mut deployment = deployment.clone();
    let labels = json!({"app": name});
    deployment["metadata"] = json!({"name": name, "labels": labels});
    deployment["spec"]["replicas"] = json!(0);
    deployment["spec"]["selector"]["matchLabels"] = labels.clone();
    deployment["spec"]["template"]["metadata"]["labels"] = labels;
    let mut spec = spec.clone();
    spec["workloadRef"]["name"] = json!(name);
    let rollout = json!({
        "apiVersion": "freethreading.dev/v1alpha1",
        "kind": "FreeThreadRollout",
        "metadata": {"name": name},
        "spec": spec,
    });
    [deployment, rollout]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resting_workload_has_no_pods_and_labels_of_its_own() {
        let pattern = yaml_documents(Path::new(SERVICE)).unwrap();
        let pattern = pattern.into_iter().find(|found| found["kind"] == "Deployment").unwrap();
        let spec = yaml(&Path::new(SCENARIOS).join("rollout.yaml")).unwrap();
        let [deployment, rollout] = resting("idle-007", &pattern, &spec);
        assert_eq!(deployment["spec"]["replicas"], 0);
        let labels = ["/spec/selector/matchLabels", "/spec/template/metadata/labels"];
        assert!(labels.iter().all(|at| deployment.pointer(at).unwrap() == &json!({"app": "idle-007"})));
        assert!(serde_json::from_value::<FreeThreadRollout>(rollout).is_ok());
    }
}
